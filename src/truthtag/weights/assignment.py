"""Tags that are drawn: for selections that ask which jets are tagged, not only how many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from truthtag.arrays import BoolArray, FloatArray, IntArray, in_unit_interval, plain_array
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.weights.tag_counts import check_tag_number, considered, tag_probabilities

__all__ = ["Assignment", "assign_tags", "draw_tags"]


def draw_tags(efficiency: FloatArray, count: IntArray, rng: np.random.Generator) -> BoolArray:
    r"""Draw which jets are tagged, given how many are.

    Jet after jet, with r tags still to be given and :math:`Q_{i,r}` the probability of r tags
    among jets i, i + 1, …:

    .. math:: P(t_i = 1 \mid r) = \frac{\epsilon_i\, Q_{i+1,r-1}}{Q_{i,r}}

    so that each set of jets has its probability among all sets of that size.

    Args:
        efficiency: Efficiencies of the jets, shape (m, n).
        count: Number of tags of each event, shape (m,).
        rng: Where the draws come from.

    Returns:
        Which jets are tagged, shape (m, n).

    Raises:
        DataError: An event cannot have so many tags.

    Example:
        >>> draw_tags(np.array([[1.0, 0.3, 0.0]]), np.array([2]), np.random.default_rng(1)).tolist()
        [[True, True, False]]
    """
    eff = in_unit_interval(plain_array(efficiency, "an efficiency"), "an efficiency")
    size, n_jets = eff.shape
    left = np.array(plain_array(count, "count"))
    if left.shape != (size,) or left.dtype.kind not in "iu":
        msg = (
            f"count holds {left.dtype} values of shape {left.shape}; "
            f"it must be one whole number per event, ({size},)"
        )
        raise DataError(msg)
    # Q of all tails, the empty one first.
    tails = [np.ones((size, 1))]
    for i in reversed(range(n_jets)):
        last = tails[-1]
        chance = eff[:, i, None]
        without_tag = np.pad(last * (1 - chance), ((0, 0), (0, 1)))
        with_tag = np.pad(last * chance, ((0, 0), (1, 0)))
        tails.append(without_tag + with_tag)
    rows = np.arange(size)
    impossible = (left < 0) | (left > n_jets)
    impossible |= tails[-1][rows, np.clip(left, 0, n_jets)] <= 0
    if impossible.any():
        row = int(np.argmax(impossible))
        msg = (
            f"event {row} of {n_jets} jets cannot have {left[row]} tags with the efficiencies "
            f"{eff[row].tolist()} ({int(impossible.sum())} such events). "
            "Leave out events whose probability is 0."
        )
        raise DataError(msg)
    tagged = np.zeros(eff.shape, dtype=bool)
    for i in range(n_jets):
        behind = n_jets - i - 1
        rest = tails[behind]
        ahead = np.where(left > 0, rest[rows, np.maximum(left - 1, 0)], 0.0)
        # As a product: a quotient of rounded numbers can miss 1, and a certain tag with it.
        without = np.where(left <= behind, rest[rows, np.minimum(left, behind)], 0.0)
        stay = without * (1 - eff[:, i])
        take = ahead * eff[:, i]
        tagged[:, i] = rng.random(size) * (take + stay) < take
        left = left - tagged[:, i]
    return tagged


@dataclass(frozen=True, eq=False)
class Assignment:
    """Tags that were drawn, and what they weigh.

    Args:
        is_tagged: Which jets are tagged, shape (n_jets,).
        weight: Probability that the event has the number of tags asked for, shape (n_events,);
            where it is 0, no jet is tagged.
    """

    is_tagged: BoolArray
    weight: FloatArray


def assign_tags(
    jets: Jets,
    efficiency: FloatArray,
    count: int,
    rng: np.random.Generator,
    *,
    or_more: bool = False,
    chosen: BoolArray | None = None,
) -> Assignment:
    """Give every event the number of tags that a selection asks for, and a weight.

    For selections that ask which jets are tagged, not only how many.

    Args:
        jets: The events.
        efficiency: Efficiency of each jet, shape (n_jets,), in [0, 1].
        count: Number of tags.
        rng: Where the draws come from.
        or_more: Whether more tags will do; how many is drawn then, too.
        chosen: Which jets count, shape (n_jets,); all by default.

    Raises:
        DataError: An efficiency is outside [0, 1] or not a number, the shapes do not fit the jets,
            ``chosen`` is no mask, or ``count`` is below 0.
    """
    check_tag_number(count, "count")
    eff = considered(jets, efficiency, chosen)
    is_tagged = np.zeros(jets.n_jets, dtype=bool)
    weight = np.zeros(jets.n_events)
    if count == 0:
        weight[jets.multiplicity == 0] = 1.0
    for events, index in jets.by_multiplicity():
        probability = tag_probabilities(eff[index])
        allowed = np.zeros_like(probability)
        wanted = slice(count, None if or_more else count + 1)
        allowed[:, wanted] = probability[:, wanted]
        weight[events] = allowed[:, ::-1].sum(axis=1)
        can = weight[events] > 0
        tags = _draw_count(allowed[can], rng)
        is_tagged[index[can]] = draw_tags(eff[index[can]], tags, rng)
    return Assignment(is_tagged, weight)


def _draw_count(probability: FloatArray, rng: np.random.Generator) -> IntArray:
    """Draw a number of tags for each row, by its probabilities, which need not sum to 1."""
    cumulative = np.cumsum(probability, axis=1)
    total = cumulative[:, -1]
    # A draw of nearly 1 times the total can be rounded to the total, which no number would hold.
    threshold = np.minimum(rng.random(len(probability)) * total, np.nextafter(total, 0))
    return np.asarray((cumulative <= threshold[:, None]).sum(axis=1))
