"""From the efficiencies of jets to weights of events: probabilities of numbers of tags, and drawn tags."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from truthtag.arrays import BoolArray, FloatArray, IntArray
from truthtag.data.jets import Jets
from truthtag.errors import DataError

__all__ = [
    "Assignment",
    "TagCounts",
    "assign_tags",
    "at_least",
    "draw_tags",
    "effective_events",
    "hybrid",
    "leading",
    "tag_counts",
    "tag_probabilities",
    "weights_table",
]


def tag_probabilities(efficiency: FloatArray) -> FloatArray:
    r"""Probability of exactly 0, 1, … n tags among n jets that are tagged independently.

    Adding one jet after the other, with :math:`P_k` the probability of k tags so far:

    .. math:: P_k \to (1 - \epsilon_i) P_k + \epsilon_i P_{k-1}

    which is Eq. 3 of arXiv:2004.02665 for two jets, and the Poisson-binomial distribution for any number.

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
    eff = _checked(efficiency)
    n_jets = eff.shape[-1]
    probability = np.zeros((*eff.shape[:-1], n_jets + 1))
    probability[..., 0] = 1.0
    for i in range(n_jets):
        tagged = probability[..., : i + 1] * eff[..., i, None]
        probability[..., : i + 1] -= tagged
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
    """Probabilities of the numbers of tags of each event; a number of tags that an event cannot have has 0.

    Args:
        exactly: Of exactly 0, 1, … tags, shape (n_events, most + 1).
        at_least: Of at least 0, 1, … tags, the same shape.
    """

    exactly: FloatArray
    at_least: FloatArray


def tag_counts(
    jets: Jets, efficiency: FloatArray, most: int, chosen: BoolArray | None = None
) -> TagCounts:
    """Probability of each number of tags among the chosen jets of each event.

    Args:
        jets: The events; any number of jets, none included.
        efficiency: Efficiency of each jet, shape (n_jets,), in [0, 1].
        most: Largest number of tags asked for.
        chosen: Which jets count, shape (n_jets,), as :func:`leading` gives it; all by default.

    Raises:
        DataError: An efficiency is outside [0, 1] or not a number, or the shapes do not fit the jets.

    Example:
        >>> jets = Jets.from_columns({**row, "event": np.array([7, 7, 9])})
        >>> tag_counts(jets, np.array([0.5, 0.2, 0.9]), most=2).at_least.round(3).tolist()
        [[1.0, 0.6, 0.1], [1.0, 0.9, 0.0]]
    """
    eff = _among(jets, efficiency, chosen)
    exactly, least = np.zeros((2, jets.n_events, most + 1))
    exactly[:, 0] = least[:, 0] = 1.0
    for events, index in jets.buckets():
        probability = tag_probabilities(eff[index])
        width = min(most + 1, probability.shape[1])
        exactly[events, :width] = probability[:, :width]
        least[events, :width] = at_least(probability)[:, :width]
    return TagCounts(exactly, least)


def leading(jets: Jets, count: int) -> BoolArray:
    """Return which jets are among the ``count`` hardest of their event, shape (n_jets,)."""
    return np.asarray(np.arange(jets.n_jets) - jets.offsets[:-1][jets.event_of_jet] < count)


def hybrid(jets: Jets, efficiency: FloatArray, direct: Iterable[int]) -> FloatArray:
    """Return efficiencies in which jets of some flavours keep their tag: 1 where tagged, 0 where not.

    What is abundant among the events that pass, b jets say, then is counted, and only the rest weighted.

    Args:
        jets: Tagged jets.
        efficiency: Efficiency of each jet, shape (n_jets,).
        direct: Hadron flavours that keep their tag.

    Raises:
        DataError: The jets have no tags.
    """
    if jets.is_tagged is None:
        msg = "hybrid tagging keeps the tags of some flavours; the sample has no column 'is_tagged'. Tag it first."
        raise DataError(msg)
    return np.where(
        np.isin(jets.flavour, list(direct)), jets.is_tagged.astype(np.float64), efficiency
    )


def draw_tags(efficiency: FloatArray, count: IntArray, rng: np.random.Generator) -> BoolArray:
    r"""Draw which jets are tagged, given how many are.

    Jet after jet, with r tags still to be given and :math:`Q_{i,r}` the probability of r tags among jets i, i + 1, …:

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
    eff = _checked(efficiency)
    size, n_jets = eff.shape
    # Q of all tails, the empty one first.
    tails = [np.ones((size, 1))]
    for i in reversed(range(n_jets)):
        last, chance = tails[-1], eff[:, i, None]
        tails.append(
            np.pad(last * (1 - chance), ((0, 0), (0, 1))) + np.pad(last * chance, ((0, 0), (1, 0)))
        )
    rows, left = np.arange(size), np.array(count)
    impossible = (left < 0) | (left > n_jets)
    impossible |= tails[-1][rows, np.clip(left, 0, n_jets)] <= 0
    if impossible.any():
        row = int(np.argmax(impossible))
        msg = (
            f"event {row} of {n_jets} jets cannot have {left[row]} tags with the efficiencies {eff[row].tolist()} "
            f"({int(impossible.sum())} such events). Leave out events whose probability is 0."
        )
        raise DataError(msg)
    tagged = np.zeros(eff.shape, dtype=bool)
    for i in range(n_jets):
        rest = tails[n_jets - i - 1]
        ahead = np.where(left > 0, rest[rows, np.maximum(left - 1, 0)], 0.0)
        # As a product: a quotient of rounded numbers can miss 1, and a certain tag would be missed now and then.
        stay = np.where(
            left <= n_jets - i - 1, rest[rows, np.minimum(left, n_jets - i - 1)], 0.0
        ) * (1 - eff[:, i])
        take = ahead * eff[:, i]
        tagged[:, i] = rng.random(size) * (take + stay) < take
        left = left - tagged[:, i]
    return tagged


@dataclass(frozen=True, eq=False)
class Assignment:
    """Tags that were drawn, and what they weigh.

    Args:
        is_tagged: Which jets are tagged, shape (n_jets,).
        weight: Probability that the event has the number of tags asked for, shape (n_events,); where it is 0, no jet
            is tagged.
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
    """Give every event the number of tags that a selection asks for, and a weight; for selections that ask which jets.

    Args:
        jets: The events.
        efficiency: Efficiency of each jet, shape (n_jets,), in [0, 1].
        count: Number of tags.
        rng: Where the draws come from.
        or_more: Whether more tags will do; how many is drawn then, too.
        chosen: Which jets count, shape (n_jets,); all by default.

    Raises:
        DataError: An efficiency is outside [0, 1] or not a number, or the shapes do not fit the jets.
    """
    eff = _among(jets, efficiency, chosen)
    is_tagged, weight = np.zeros(jets.n_jets, dtype=bool), np.zeros(jets.n_events)
    if count == 0:
        weight[jets.multiplicity == 0] = 1.0
    for events, index in jets.buckets():
        probability = tag_probabilities(eff[index])
        allowed = np.zeros_like(probability)
        wanted = slice(count, None if or_more else count + 1)
        allowed[:, wanted] = probability[:, wanted]
        weight[events] = allowed[:, ::-1].sum(axis=1)
        can = weight[events] > 0
        tags = _draw_count(allowed[can], rng)
        is_tagged[index[can]] = draw_tags(eff[index[can]], tags, rng)
    return Assignment(is_tagged, weight)


def weights_table(jets: Jets, counts: TagCounts) -> tuple[pd.DataFrame, dict[str, float]]:
    """Put the weights of events in a table.

    Args:
        jets: The events.
        counts: Probabilities of their numbers of tags.

    Returns:
        A row per event: ``event``, the generator's ``weight``, ``p_tag_0``, ``p_tag_1``, … (exactly so many tags) and
        ``p_tag_ge_1``, ``p_tag_ge_2``, … (at least so many); the weight of an event in a selection is ``weight`` times
        one of these. And for each of these the number of effective events of that product.
    """
    most = counts.exactly.shape[1] - 1
    columns = {f"p_tag_{k}": counts.exactly[:, k] for k in range(most + 1)}
    columns |= {f"p_tag_ge_{k}": counts.at_least[:, k] for k in range(1, most + 1)}
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
    squares = float(np.square(weight).sum())
    return float(np.sum(weight)) ** 2 / squares if squares > 0 else 0.0


def _draw_count(probability: FloatArray, rng: np.random.Generator) -> IntArray:
    """Draw a number of tags for each row, by its probabilities, which need not sum to 1."""
    cumulative = np.cumsum(probability, axis=1)
    # A draw of nearly 1 times the total can be rounded to the total, which no number of tags would hold.
    threshold = np.minimum(
        rng.random(len(probability)) * cumulative[:, -1], np.nextafter(cumulative[:, -1], 0)
    )
    return np.asarray((cumulative <= threshold[:, None]).sum(axis=1))


def _among(jets: Jets, efficiency: FloatArray, chosen: BoolArray | None) -> FloatArray:
    """Return the efficiencies of the chosen jets, 0 for the others, which then are never tagged."""
    for name, values in (("efficiency", efficiency), ("chosen", chosen)):
        if values is not None and np.shape(values) != (jets.n_jets,):
            msg = f"{name} has shape {np.shape(values)}; it must have one value per jet, ({jets.n_jets},)"
            raise DataError(msg)
    eff = _checked(efficiency)
    return eff if chosen is None else np.where(chosen, eff, 0.0)


def _checked(efficiency: FloatArray) -> FloatArray:
    eff = np.asarray(efficiency, dtype=np.float64)
    wrong = ~((eff >= 0) & (eff <= 1))
    if wrong.any():
        msg = f"an efficiency is {eff[wrong][0]}; it must lie in [0, 1]"
        raise DataError(msg)
    return eff
