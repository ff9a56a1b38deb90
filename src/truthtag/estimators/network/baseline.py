"""What every network must beat: an efficiency that is one constant for each flavour and point."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from truthtag.estimators.network.batches import Batch, TrainingEvents
from truthtag.estimators.network.device import events_at_once
from truthtag.estimators.network.loss import chain_losses
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.network.options import FLAVOUR

__all__ = [
    "MIN_STEPS_TO_JUDGE",
    "BaselineComparison",
    "compare_with_constant",
    "constant_logits",
]

EVENTS_AT_ONCE = 100_000
"""Events whose tags are counted together."""

MAX_STANDARD_ERRORS = 3.0
"""A loss counts as above that of the constant from so many standard errors of the difference."""

MIN_STEPS_TO_JUDGE = 200
"""Steps of training from which a network must have learned at least the constant."""

MAX_UNTRAINED_LOSSES = 2.0
"""A loss of so many times that of an untrained network means that training diverged."""


@dataclass(frozen=True)
class BaselineComparison:
    """Losses of a network and of a constant per flavour on the same events.

    With several working points the constants are those of passing each point given that the jet
    passes the one before, and the losses are summed over the points.

    Attributes:
        loss: Mean of Eq. 5 over the events, of the network [nats/event].
        constant_loss: The same of the constant [nats/event].
        untrained_loss: The same of a score of 1/2 for every jet, about where training begins
            [nats/event].
        error: Standard error of the difference of network and constant, from its variance over
            events [nats/event].
        of_points: The same for each working point alone, where there are several.
    """

    loss: float
    constant_loss: float
    untrained_loss: float
    error: float
    of_points: tuple[BaselineComparison, ...] = ()

    @property
    def is_worse(self) -> bool:
        """Whether the loss is above that of the constant by more than three standard errors."""
        return self.loss - self.constant_loss > MAX_STANDARD_ERRORS * self.error

    @property
    def has_diverged(self) -> bool:
        """Whether the loss is above twice that of an untrained network.

        Then a few events can have losses so large that their mean has no meaningful error.
        """
        return self.loss > MAX_UNTRAINED_LOSSES * self.untrained_loss

    def is_refused(self, steps: int) -> bool:
        """Return whether a network that was trained for so many steps is not to be used.

        It is refused where training diverged, and where it is worse than the constant after
        :data:`MIN_STEPS_TO_JUDGE` steps: by then every network that learns has learned the
        constant.
        """
        return self.has_diverged or (self.is_worse and steps >= MIN_STEPS_TO_JUDGE)


def constant_logits(events: TrainingEvents, mu: float, point: int = 0) -> dict[int, float]:
    r"""Return the logit of the score of each flavour, for an efficiency that is constant.

    The efficiency is the tagged fraction, counted as :math:`\epsilon = (k + 1/2) / (n + 1)` with k
    tagged jets of n, so that it is never 0 or 1, and 1/2 for a flavour without jets. The score that
    Eq. 5 gives it is

    .. math:: \mathrm{logit}(s) = \mathrm{logit}(\epsilon) - \log\mu

    At a tighter working point the fraction is that of jets that pass it, among those that pass the
    one before, and :math:`\mu` does not enter. Where weights of events are used, jets are counted
    with them; counts that are negative then are taken as 0.

    Args:
        events: The events that the fractions are those of.
        mu: Weight of non-tagged jets.
        point: Position of the working point, 0 for the loosest.

    Returns:
        Logits by hadron flavour.
    """
    counted = dict.fromkeys(events.flavours, 0.0)
    passing = dict.fromkeys(events.flavours, 0.0)
    for number, (group_rows, group_tags) in enumerate(events.groups):
        for first in range(0, len(group_tags), EVENTS_AT_ONCE):
            some = slice(first, first + EVENTS_AT_ONCE)
            tags = group_tags[some]
            passes = tags.double().view(*tags.shape[:2], events.n_points)
            count = torch.ones_like(passes[..., 0]) if point == 0 else passes[..., point - 1]
            if events.weights is not None:
                count = count * events.weights[number][some].double()[:, None]
            tagged = count * passes[..., point]
            of_jets = group_rows[some, :, FLAVOUR]
            for flavour in events.flavours:
                chosen = of_jets == flavour
                counted[flavour] += float(count[chosen].sum())
                passing[flavour] += float(tagged[chosen].sum())
    shift = math.log(mu) if point == 0 else 0.0
    logits = {}
    for flavour, tagged_jets in passing.items():
        not_tagged = counted[flavour] - tagged_jets
        odds = (max(tagged_jets, 0.0) + 0.5) / (max(not_tagged, 0.0) + 0.5)
        logits[flavour] = math.log(odds) - shift
    return logits


def compare_with_constant(
    network: EfficiencyNetwork,
    events: TrainingEvents,
    validation: TrainingEvents,
) -> BaselineComparison:
    """Compare the loss of a network with that of a constant per flavour.

    Args:
        network: The network, on the device of the events.
        events: The training events, whose tagged fractions are the constants.
        validation: The events on which both are judged.
    """
    n_points = network.n_points
    constants = [constant_logits(events, network.mu, point) for point in range(n_points)]
    found = []
    at_once = events_at_once(validation.device)
    with torch.inference_mode():
        for stacked, stacked_tags, weights in validation.weighted_batches(at_once):
            # Features come with a leading axis for the networks, of which there is one.
            batch = Batch(stacked.features[0], stacked.shape)
            tags = stacked_tags[0].reshape(-1, n_points)
            of_events = None if weights is None else weights[0].double()
            logits = network(batch).reshape(-1, n_points)
            constant = _constant_of_jets(batch, constants)
            compared = torch.stack([logits, constant, torch.zeros_like(logits)])
            found.append(_event_losses(compared, tags, batch, network.mu, of_events))
    losses = torch.cat(found, dim=1)
    total = _comparison(losses.sum(dim=-1))
    if n_points == 1:
        return total
    return replace(total, of_points=tuple(map(_comparison, losses.unbind(dim=-1))))


def _comparison(losses: Tensor) -> BaselineComparison:
    """Compare the losses of network, constant and untrained network, shape (3, n_events)."""
    loss, constant_loss, untrained_loss = losses
    difference = loss - constant_loss
    # One event has no variance: then nothing is significant.
    error = float(difference.std()) if len(difference) > 1 else math.inf
    return BaselineComparison(
        loss=float(loss.mean()),
        constant_loss=float(constant_loss.mean()),
        untrained_loss=float(untrained_loss.mean()),
        error=error / math.sqrt(len(difference)),
    )


def _constant_of_jets(batch: Batch, constants: Sequence[Mapping[int, float]]) -> Tensor:
    """Return the logits of a constant per flavour and working point, shape (n_jets, n_points)."""
    flavours = batch.features[:, FLAVOUR]
    of_points = []
    for of_flavours in constants:
        logits = torch.zeros_like(flavours)
        for flavour, logit in of_flavours.items():
            logits[flavours == flavour] = logit
        of_points.append(logits)
    return torch.stack(of_points, dim=-1)


def _event_losses(
    logits: Tensor, tags: Tensor, batch: Batch, mu: float, weights: Tensor | None
) -> Tensor:
    """Return the mean of Eq. 5 over the jets of each event, times the weight of the event.

    Args:
        logits: Logits of the scores, shape (..., n_jets, n_points).
        tags: Which points each jet passes, shape (n_jets, n_points).
        batch: The jets.
        mu: Weight of non-tagged jets.
        weights: Weights of the events, float64, shape (n_events,), or None.

    Returns:
        float64, shape (..., n_events, n_points).
    """
    losses = chain_losses(logits.double(), tags.double(), mu)
    of_events = []
    sizes = [m * n for m, n in batch.shape]
    for loss, (m, n) in zip(torch.split(losses, sizes, dim=-2), batch.shape, strict=True):
        by_event = loss.reshape(*loss.shape[:-2], m, n, loss.shape[-1])
        of_events.append(by_event.mean(dim=-2))
    mean = torch.cat(of_events, dim=-2)
    return mean if weights is None else mean * weights[:, None]
