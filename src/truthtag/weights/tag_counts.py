"""Probabilities of numbers of tags, from the efficiencies of jets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from truthtag.arrays import (
    BoolArray,
    FloatArray,
    in_unit_interval,
    jet_mask,
    plain_array,
    probabilities,
)
from truthtag.data.jets import Jets
from truthtag.errors import DataError

__all__ = [
    "TagCounts",
    "at_least",
    "check_tag_number",
    "considered",
    "is_leading",
    "tag_counts",
    "tag_probabilities",
]


def tag_probabilities(efficiency: FloatArray) -> FloatArray:
    r"""Probability of exactly 0, 1, … n tags among n jets that are tagged independently.

    Adding one jet after the other, with :math:`P_k` the probability of k tags so far:

    .. math:: P_k \to (1 - \epsilon_i) P_k + \epsilon_i P_{k-1}

    which is Eq. 3 of arXiv:2004.02665 for two jets, and the Poisson-binomial distribution for any
    number. Only products and sums of positive numbers occur, so that every probability keeps its
    digits, also that of few tags among jets whose efficiencies are nearly 1.

    Args:
        efficiency: Efficiencies of the jets considered, shape (..., n), in [0, 1].

    Returns:
        Probabilities, shape (..., n + 1); they sum to 1 over the last axis.

    Raises:
        DataError: A value is outside [0, 1], or not a number.

    Example:
        >>> tag_probabilities(np.array([0.5, 0.2])).round(3).tolist()
        [0.4, 0.5, 0.1]
    """
    eff = in_unit_interval(plain_array(efficiency, "an efficiency"), "an efficiency")
    n_jets = eff.shape[-1]
    probability = np.zeros((*eff.shape[:-1], n_jets + 1))
    # Without jets there are 0 tags for certain; each jet may add one.
    probability[..., 0] = 1.0
    for i in range(n_jets):
        tagged = probability[..., : i + 1] * eff[..., i, None]
        probability[..., : i + 1] *= 1 - eff[..., i, None]
        probability[..., 1 : i + 2] += tagged
    return probability


def at_least(probability: FloatArray) -> FloatArray:
    r"""Probability of at least 0, 1, … n tags, from the probabilities of exactly so many.

    .. math:: P_{\ge k} = \sum_{l \ge k} P_l

    The sum begins with the small terms of many tags, so that a rare event keeps all its digits.

    Args:
        probability: Probabilities of exactly 0 to n tags, shape (..., n + 1).

    Returns:
        Shape (..., n + 1).

    Example:
        >>> at_least(np.array([0.4, 0.5, 0.1])).round(3).tolist()
        [1.0, 0.6, 0.1]
    """
    return np.asarray(np.flip(np.cumsum(np.flip(probability, axis=-1), axis=-1), axis=-1))


@dataclass(frozen=True, eq=False)
class TagCounts:
    """Probabilities of the numbers of tags of each event; 0 where it has too few jets.

    Args:
        exactly: Of exactly 0, 1, … tags, shape (n_events, max_tags + 1).
        at_least: Of at least 0, 1, … tags, the same shape.
    """

    exactly: FloatArray
    at_least: FloatArray


def tag_counts(
    jets: Jets, efficiency: FloatArray, max_tags: int, chosen: BoolArray | None = None
) -> TagCounts:
    """Probability of each number of tags among the chosen jets of each event.

    Args:
        jets: The events; any number of jets, none included.
        efficiency: Efficiency of each jet, shape (n_jets,), in [0, 1].
        max_tags: Largest number of tags asked for.
        chosen: Which jets count, shape (n_jets,), as :func:`is_leading` gives it; all by default.

    Raises:
        DataError: An efficiency is outside [0, 1] or not a number, the shapes do not fit the jets,
            ``chosen`` is no mask, or ``max_tags`` is below 0.

    Example:
        >>> jets = Jets.from_columns({**row, "event": np.array([7, 7, 9])})
        >>> tag_counts(jets, np.array([0.5, 0.2, 0.9]), max_tags=2).at_least.round(3).tolist()
        [[1.0, 0.6, 0.1], [1.0, 0.9, 0.0]]
    """
    check_tag_number(max_tags, "max_tags")
    eff = considered(jets, efficiency, chosen)
    exactly = np.zeros((jets.n_events, max_tags + 1))
    least = np.zeros((jets.n_events, max_tags + 1))
    # Events without jets have 0 tags for certain; all others are filled below.
    exactly[:, 0] = 1.0
    least[:, 0] = 1.0
    for events, index in jets.by_multiplicity():
        probability = tag_probabilities(eff[index])
        width = min(max_tags + 1, probability.shape[1])
        exactly[events, :width] = probability[:, :width]
        least[events, :width] = at_least(probability)[:, :width]
    return TagCounts(exactly, least)


def is_leading(jets: Jets, count: int) -> BoolArray:
    """Return which jets are among the ``count`` hardest of their event, shape (n_jets,)."""
    rank = np.arange(jets.n_jets) - jets.offsets[:-1][jets.event_of_jet]
    return np.asarray(rank < count)


def considered(jets: Jets, efficiency: FloatArray, chosen: BoolArray | None) -> FloatArray:
    """Return the efficiencies of the chosen jets, 0 for the others, which then are never tagged.

    Args:
        jets: The events.
        efficiency: Efficiency of each jet, shape (n_jets,), in [0, 1].
        chosen: Which jets count, shape (n_jets,), boolean; all where it is None.

    Raises:
        DataError: An efficiency is no probability, ``chosen`` is no mask, or a shape is wrong.
    """
    eff = probabilities(efficiency, jets.n_jets, "efficiency")
    if chosen is None:
        return eff
    return np.where(jet_mask(chosen, jets.n_jets, "chosen"), eff, 0.0)


def check_tag_number(number: Any, name: str) -> None:
    """Refuse a number of tags that is no whole number from 0 on.

    Raises:
        DataError: It is negative, or no integer.
    """
    whole = isinstance(number, int | np.integer) and not isinstance(number, bool)
    if not whole or number < 0:
        msg = f"{name} is {number!r}; a number of tags is a whole number, 0 or more"
        raise DataError(msg)
