"""What every network must beat: an efficiency that is one constant for each flavour."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from truthtag.estimators.network.batches import EVALUATION_EVENTS, Batch, TrainingEvents
from truthtag.estimators.network.loss import weighted_loss
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.network.options import FEATURES

__all__ = [
    "MIN_STEPS_TO_JUDGE",
    "BaselineComparison",
    "compare_with_constant",
    "constant_logits",
]

FLAVOUR = FEATURES.index("flavour")
MAX_STANDARD_ERRORS = 3.0
"""A loss counts as above that of the constant from so many standard errors of the difference."""

MIN_STEPS_TO_JUDGE = 200
"""Steps of training from which a network must have learned at least the constant."""

MAX_UNTRAINED_LOSSES = 2.0
"""A loss of so many times that of an untrained network means that training diverged."""


@dataclass(frozen=True)
class BaselineComparison:
    """Losses of a network and of a constant per flavour on the same events.

    Attributes:
        loss: Mean of Eq. 5 over the events, of the network [nats/event].
        constant_loss: The same of the constant [nats/event].
        untrained_loss: The same of a score of 1/2 for every jet, about where training begins
            [nats/event].
        error: Standard error of the difference of network and constant, from its variance over
            events [nats/event].
    """

    loss: float
    constant_loss: float
    untrained_loss: float
    error: float

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


def constant_logits(events: TrainingEvents, mu: float) -> dict[int, float]:
    r"""Return the logit of the score of each flavour, for an efficiency that is constant.

    The efficiency is the tagged fraction, counted as :math:`\epsilon = (k + 1/2) / (n + 1)` with k
    tagged jets of n, so that it is never 0 or 1. The score that Eq. 5 gives it is

    .. math:: \mathrm{logit}(s) = \mathrm{logit}(\epsilon) - \log\mu

    Args:
        events: The events that the fractions are those of.
        mu: Weight of non-tagged jets.

    Returns:
        Logits by hadron flavour.
    """
    flavours = torch.cat([rows[..., FLAVOUR].flatten() for rows, _ in events.groups])
    tags = torch.cat([group_tags.flatten() for _, group_tags in events.groups]).double()
    logits = {}
    for flavour in events.flavours:
        of_flavour = tags[flavours == flavour]
        tagged = float(of_flavour.sum()) + 0.5
        not_tagged = len(of_flavour) + 1 - tagged
        logits[flavour] = math.log(tagged / not_tagged) - math.log(mu)
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
    constants = constant_logits(events, network.mu)
    of_network = []
    of_constant = []
    of_untrained = []
    with torch.inference_mode():
        for stacked, tags in validation.batches(EVALUATION_EVENTS):
            # Features come with a leading axis for the networks, of which there is one.
            batch = Batch(stacked.features[0], stacked.shape)
            of_network.append(_event_losses(network(batch), tags[0], batch, network.mu))
            logits = _constant_of_jets(batch, constants)
            of_constant.append(_event_losses(logits, tags[0], batch, network.mu))
            no_logits = torch.zeros_like(logits)
            of_untrained.append(_event_losses(no_logits, tags[0], batch, network.mu))
    loss = torch.cat(of_network)
    constant_loss = torch.cat(of_constant)
    difference = loss - constant_loss
    # One event has no variance: then nothing is significant.
    error = float(difference.std()) if len(difference) > 1 else math.inf
    return BaselineComparison(
        loss=float(loss.mean()),
        constant_loss=float(constant_loss.mean()),
        untrained_loss=float(torch.cat(of_untrained).mean()),
        error=error / math.sqrt(len(difference)),
    )


def _constant_of_jets(batch: Batch, constants: Mapping[int, float]) -> Tensor:
    """Return the logits of a constant per flavour, shape (n_jets,)."""
    flavours = batch.features[:, FLAVOUR]
    logits = torch.zeros_like(flavours)
    for flavour, logit in constants.items():
        logits[flavours == flavour] = logit
    return logits


def _event_losses(logits: Tensor, tags: Tensor, batch: Batch, mu: float) -> Tensor:
    """Return the mean of Eq. 5 over the jets of each event, float64, shape (n_events,)."""
    losses = weighted_loss(logits.double(), tags.double(), mu)
    of_events = []
    sizes = [m * n for m, n in batch.shape]
    for loss, (m, n) in zip(torch.split(losses, sizes), batch.shape, strict=True):
        of_events.append(loss.view(m, n).mean(dim=1))
    return torch.cat(of_events)
