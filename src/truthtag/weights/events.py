"""Weights of events: hybrid efficiencies, the table of weights, effective numbers of events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from truthtag.arrays import FloatArray, plain_array, probabilities
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.weights.tag_counts import TagCounts

__all__ = ["effective_events", "hybrid", "weights_table"]


def hybrid(jets: Jets, efficiency: FloatArray, keep_tags_of: Iterable[int]) -> FloatArray:
    """Return efficiencies in which jets of some flavours keep their tag: 1 where tagged, else 0.

    What is abundant among the events that pass, b jets say, then is counted, the rest weighted.

    Args:
        jets: Tagged jets.
        efficiency: Efficiency of each jet, shape (n_jets,), in [0, 1].
        keep_tags_of: Hadron flavours that keep their tag.

    Raises:
        DataError: The jets have no tags, an efficiency is no probability, there is not one per
            jet, or a flavour is no whole number.
    """
    if jets.is_tagged is None:
        msg = (
            "hybrid tagging keeps the tags of some flavours; "
            "the sample has no column 'is_tagged'. Tag it first."
        )
        raise DataError(msg)
    eff = probabilities(efficiency, jets.n_jets, "efficiency")
    flavours: list[Any] = list(keep_tags_of)
    for flavour in flavours:
        if not isinstance(flavour, int | np.integer):
            msg = f"keep_tags_of holds {flavour!r}; give flavours as whole numbers, 5 for b, say"
            raise DataError(msg)
    kept = np.isin(jets.flavour, flavours)
    return np.where(kept, jets.is_tagged.astype(np.float64), eff)


def weights_table(jets: Jets, counts: TagCounts) -> tuple[pd.DataFrame, dict[str, float]]:
    """Put the weights of events in a table.

    Args:
        jets: The events.
        counts: Probabilities of their numbers of tags.

    Returns:
        A row per event: ``event``, the generator's ``weight``, ``p_tag_0``, ``p_tag_1``, …
        (exactly so many tags) and ``p_tag_ge_1``, ``p_tag_ge_2``, … (at least so many); the weight
        of an event in a selection is ``weight`` times one of these. And for each of these the
        number of effective events of that product.

    Raises:
        DataError: The probabilities are those of another number of events.
    """
    if len(counts.exactly) != jets.n_events:
        msg = f"the probabilities are of {len(counts.exactly)} events, the jets of {jets.n_events}"
        raise DataError(msg)
    max_tags = counts.exactly.shape[1] - 1
    columns = {f"p_tag_{k}": counts.exactly[:, k] for k in range(max_tags + 1)}
    columns |= {f"p_tag_ge_{k}": counts.at_least[:, k] for k in range(1, max_tags + 1)}
    effective = {name: effective_events(jets.weight * values) for name, values in columns.items()}
    return pd.DataFrame({"event": jets.event, "weight": jets.weight, **columns}), effective


def effective_events(weight: FloatArray) -> float:
    r"""Return how many events of weight 1 have the same relative error as these weights.

    .. math:: n_\mathrm{eff} = \left(\sum_e w_e\right)^2 / \sum_e w_e^2

    It is 0 where all weights are 0.

    Example:
        >>> effective_events(np.array([0.5, 0.5, 0.5, 0.5]))
        4.0
    """
    plain = plain_array(weight, "weight")
    squares = float(np.square(plain).sum())
    return float(np.sum(plain)) ** 2 / squares if squares > 0 else 0.0
