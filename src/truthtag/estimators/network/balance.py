r"""Balance: a network that predicts as many tags as there are, by one shift per flavour and point.

A likelihood fit with an intercept for every flavour predicts as many tags as its sample has. A
network whose training ends at a finite number of steps misses that by as much as the statistics of
the sample allow. After training, the logit of each flavour f and working point k is shifted by the
number that makes up for it,

.. math:: \sum_{i \in f} w_i\, \epsilon_{i,k-1}\, \sigma(z_{ik} + \beta_{fk})
    = \sum_{i \in f} w_i\, t_{ik}, \quad \epsilon_{i0} = 1

with the weights w of the events that the network learned from, and as often as it did.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from truthtag.estimators.network.batches import Batch, TrainingEvents
from truthtag.estimators.network.device import events_at_once
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.network.options import FLAVOUR

__all__ = ["Unbalanced", "balance", "find_shift"]

MAX_STEPS = 100
"""Steps in which a shift is found; each at least halves the interval that holds it."""

MAX_SHIFT = 30.0
"""Largest shift that is looked for: it takes a probability of 1e-9 to 0.9999."""

JETS_AT_ONCE = 2**22
"""Jets whose sums are taken in one go; those of more jets are added up."""

PRECISION = 1e-12
"""By so much of the wanted tags the predicted ones may differ."""


@dataclass(frozen=True)
class Unbalanced:
    """A flavour that no shift of the logits balances.

    Attributes:
        flavour: Hadron flavour.
        point: Position of the working point, 0 for the loosest.
        tags: Sum of the weights of its tagged jets.
        jets: Sum of the weights of its jets, or of those that are predicted to pass the point
            before.
    """

    flavour: int
    point: int
    tags: float
    jets: float


def balance(
    network: EfficiencyNetwork, events: TrainingEvents, resample: Sequence[Tensor] | None = None
) -> list[Unbalanced]:
    """Shift the logits of a network so that it predicts the tags of the events it learned from.

    Args:
        network: The network, on the device of the events; its ``offset`` is set.
        events: The training events.
        resample: What it learned from, as :meth:`.batches.TrainingEvents.resample` draws it; each
            event once by default.

    Returns:
        The flavours that have no shift, since none of their jets is tagged, or all are.
    """
    n_points = network.n_points
    network.offset = None
    logits, tags, flavours, weights = _columns(network, events, resample)
    offset = torch.zeros(len(network.flavours), n_points, dtype=torch.float64)
    without = []
    for position, flavour in enumerate(network.flavours):
        chosen = flavours == flavour
        passing = weights[chosen]
        for point in range(n_points):
            wanted = float((weights[chosen] * tags[chosen, point]).sum())
            shift = find_shift(logits[chosen, point], passing, wanted)
            if shift is None:
                without.append(Unbalanced(flavour, point, wanted, float(passing.sum())))
            else:
                offset[position, point] = shift
            # In float32 as the network adds it.
            shifted = logits[chosen, point] + offset[position, point].float()
            passing = passing * torch.sigmoid(shifted)
    if bool(offset.any()):
        network.offset = offset.float().to(events.device)
    return without


def find_shift(logits: Tensor, weights: Tensor, wanted: float) -> float | None:
    r"""Return the shift of logits at which probabilities have a wanted sum.

    .. math:: \sum_i w_i\, \sigma(z_i + \beta) = T

    It is found by Newton's method, kept within an interval that holds the solution.

    Args:
        logits: The logits z, float64, shape (n,).
        weights: The weights w, float64, shape (n,).
        wanted: The sum T.

    Returns:
        None where no shift of at most 30 gives it.

    Example:
        >>> half = torch.zeros(4, dtype=torch.float64)
        >>> round(find_shift(half, torch.ones_like(half), 1.0), 6)
        -1.098612
        >>> find_shift(half, torch.ones_like(half), 0.0) is None
        True
    """
    low, high = -MAX_SHIFT, MAX_SHIFT
    if not _sum(logits, weights, low) < wanted < _sum(logits, weights, high):
        return None
    shift = 0.0
    for _ in range(MAX_STEPS):
        total, slope = _sum_and_slope(logits, weights, shift)
        excess = total - wanted
        if abs(excess) <= PRECISION * abs(wanted):
            break
        low, high = (low, shift) if excess > 0 else (shift, high)
        newton = shift - excess / slope if slope > 0 else math.inf
        shift = newton if low < newton < high else (low + high) / 2
    return shift


def _sum(logits: Tensor, weights: Tensor, shift: float) -> float:
    return _sum_and_slope(logits, weights, shift)[0]


def _sum_and_slope(logits: Tensor, weights: Tensor, shift: float) -> tuple[float, float]:
    """Return the weighted sum of shifted probabilities, and its derivative."""
    total = slope = 0.0
    parts = (torch.split(one, JETS_AT_ONCE) for one in (logits, weights))
    for of_logits, of_weights in zip(*parts, strict=True):
        probabilities = torch.sigmoid(of_logits + shift)
        total += float((of_weights * probabilities).sum())
        slope += float((of_weights * probabilities * (1 - probabilities)).sum())
    return total, slope


def _columns(
    network: EfficiencyNetwork, events: TrainingEvents, resample: Sequence[Tensor] | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return of all jets, on the CPU: logits of the probabilities to pass each point given the one
    before and tags, float64, shape (n_jets, n_points); flavours and weights, shape (n_jets,)."""
    n_points = network.n_points
    shift = torch.zeros(n_points, dtype=torch.float64)
    # The first point's are those of scores, in which non-tagged jets weigh mu.
    shift[0] = math.log(network.mu)
    n_jets = len(events.rows)
    empty = events.storage.empty
    logits = empty((n_jets, n_points), torch.float64)
    tags = empty((n_jets, n_points), torch.float64)
    flavours = empty((n_jets,))
    of_jets = empty((n_jets,), torch.float64)
    counts = None if resample is None else events.counts_of(resample)
    last = 0
    at_once = events_at_once(events.device)
    with torch.inference_mode():
        for number, (group_rows, group_tags) in enumerate(events.groups):
            n_events, n = group_tags.shape[:2]
            weights = torch.ones(n_events, dtype=torch.float64)
            if counts is not None:
                weights = weights * counts[number]
            if events.weights is not None:
                weights = weights * events.weights[number].cpu().double()
            for first in range(0, n_events, at_once):
                some = slice(first, first + at_once)
                rows = group_rows[some]
                batch = Batch(rows.flatten(0, 1), [(len(rows), n)])
                jets = slice(last, last + len(rows) * n)
                logits[jets] = network(batch).reshape(-1, n_points).cpu().double() + shift
                tags[jets] = group_tags[some].reshape(-1, n_points).cpu().double()
                flavours[jets] = rows[..., FLAVOUR].flatten().cpu()
                of_jets[jets] = weights[some].repeat_interleave(n)
                last = jets.stop
    return logits, tags, flavours, of_jets
