"""What every network must beat: an efficiency that is one constant for each flavour."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from truthtag.estimators.network.batches import Batch, TrainingEvents
from truthtag.estimators.network.loss import weighted_loss
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.network.options import FEATURES

__all__ = ["BaselineComparison", "compare_with_constant", "constant_logits"]

FLAVOUR = FEATURES.index("flavour")
EVALUATION_EVENTS = 1_000
MAX_STANDARD_ERRORS = 3.0
"""A network is refused where its loss is so many standard errors above that of the constant."""


@dataclass(frozen=True)
class BaselineComparison:
    """Losses of a network and of a constant per flavour on the same events.

    Attributes:
        loss: Mean of Eq. 5 over the events, of the network [nats/event].
        constant_loss: The same of the constant [nats/event].
        error: Standard error of the difference, from its variance over events [nats/event].
    """

    loss: float
    constant_loss: float
    error: float

    @property
    def is_worse(self) -> bool:
        r"""Whether the network is significantly worse than the constant.

        .. math:: \bar L - \bar L_\mathrm{const} > 3 \sigma

        or its loss is more than twice that of the constant: where training diverged, a few events can
        have losses so large that their mean has no meaningful error.
        """
        excess = self.loss - self.constant_loss
        is_significant = excess > MAX_STANDARD_ERRORS * self.error
        return is_significant or excess > self.constant_loss


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
    with torch.inference_mode():
        for stacked, tags in validation.batches(EVALUATION_EVENTS):
            # Features come with a leading axis for the networks, of which there is one.
            batch = Batch(stacked.features[0], stacked.shape)
            of_network.append(_event_losses(network(batch), tags[0], batch, network.mu))
            logits = _constant_of_jets(batch, constants)
            of_constant.append(_event_losses(logits, tags[0], batch, network.mu))
    loss = torch.cat(of_network)
    constant_loss = torch.cat(of_constant)
    difference = loss - constant_loss
    # One event has no variance: then nothing is significant.
    error = float(difference.std()) if len(difference) > 1 else math.inf
    return BaselineComparison(
        loss=float(loss.mean()),
        constant_loss=float(constant_loss.mean()),
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
