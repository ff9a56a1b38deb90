"""How the networks learned."""

from __future__ import annotations

import pandas as pd

from truthtag.figures.inputs import Inputs

__all__ = ["training"]


def training(inputs: Inputs) -> pd.DataFrame:
    """Return the training histories of all networks, with the name of the ensemble and the seed."""
    parts = []
    for network, histories in inputs.histories.items():
        for seed, history in enumerate(histories):
            parts.append(history.assign(network=network, seed=seed))
    return pd.concat(parts, ignore_index=True)
