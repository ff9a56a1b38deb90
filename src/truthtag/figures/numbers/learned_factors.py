"""What a factorised network has learned of Eq. 2."""

from __future__ import annotations

import pandas as pd

from truthtag.estimators.failures import without_failed
from truthtag.estimators.network.file import load_network
from truthtag.estimators.network.learned_factors import read_factors
from truthtag.figures.inputs import Inputs

__all__ = ["learned_factors"]


def learned_factors(inputs: Inputs) -> pd.DataFrame:
    """Read the two parts of a factorised ensemble beside those of the truth.

    Returns:
        The rows of :func:`truthtag.estimators.network.learned_factors.read_factors`, for the jet
        that the config describes in ``figures.factor_probe``.
    """
    files = next(iter(inputs.members.values()))
    used, _ = without_failed(files)
    networks = [load_network(path) for path in used]
    probe = inputs.options["factor_probe"]
    jet = {**probe, "flavour": inputs.flavours[probe["flavour"]]}
    pt = inputs.edges("pt_fine")
    distance = inputs.edges("delta_r")
    return read_factors(networks, inputs.the_truth(), inputs.flavours, jet, pt, distance)
