"""The network: efficiency of each jet of an event, from all jets of the event."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.estimators.network.batches import Batch, features
from truthtag.estimators.network.bodies import BODIES
from truthtag.estimators.network.layers import Standardise
from truthtag.estimators.network.options import FEATURES, Architecture
from truthtag.estimators.network.pairs import pair_geometry

__all__ = ["EfficiencyNetwork"]

PREDICTION_EVENTS = 1_000
"""Events that are predicted at once: their layers stay in a processor's cache."""


class EfficiencyNetwork(nn.Module):
    r"""Efficiency of each jet of an event, from all jets of the event.

    Inputs are standardised, pairs get their geometry, and the body gives the logit of the score
    :math:`s` that Eq. 5 trains. Non-tagged jets weigh :math:`\mu` in that loss, so that the
    efficiency is

    .. math:: \epsilon = \frac{\mu s}{1 - s + \mu s}, \quad
        \mathrm{logit}(\epsilon) = \mathrm{logit}(s) + \log \mu

    Source: Section 5 and Appendix B of arXiv:2004.02665.

    Args:
        architecture: Sizes of the layers, and what they see.
        flavours: Hadron flavours of the training sample; any other is refused.
        mu: Weight of non-tagged jets in the loss.

    Example:
        >>> network = EfficiencyNetwork(Architecture(width=256))
        >>> sum(p.numel() for p in network.parameters())
        1435245
    """

    def __init__(
        self, architecture: Architecture, flavours: Sequence[int] = (0, 4, 5), mu: float = 1.0
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.flavours = tuple(flavours)
        self.mu = mu
        self.standardise = Standardise(len(FEATURES))
        self.seen = [FEATURES.index(name) for name in architecture.inputs]
        self.body = BODIES[architecture.kind](architecture)

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits of the scores, shape (n_jets,)."""
        x = self.standardise(batch.features)[:, self.seen]
        logits: Tensor = self.body(x, batch.shape, self.edges(batch))
        if self.body.outputs_probability:
            return logits - math.log(self.mu)
        return logits

    def edges(self, batch: Batch) -> Tensor | None:
        """Return the edge features of all ordered pairs, shape (n_pairs, n_edge), or None."""
        return pair_geometry(batch.features, batch.shape, self.architecture.edge_features)

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the efficiency of each jet, shape (n_jets,).

        Args:
            jets: Any number of events of any number of jets; tags are not needed.

        Raises:
            DataError: A jet has a flavour that the network was not trained on, or the network gives
                it no finite efficiency.
        """
        remedy = "Train on a sample that has this flavour"
        jets.require_flavours(self.flavours, "the network was trained on the flavours", remedy)
        rows = features(jets)
        eff = np.empty(jets.n_jets)
        device = self.standardise.mean.device
        self.eval()
        with torch.inference_mode():
            for _, index in jets.by_multiplicity():
                for first in range(0, len(index), PREDICTION_EVENTS):
                    chosen = index[first : first + PREDICTION_EVENTS]
                    batch = Batch(rows[chosen.ravel()].to(device), [chosen.shape])
                    # Corrected for mu in float64, where it costs no precision.
                    logits = self(batch).double() + math.log(self.mu)
                    eff[chosen] = torch.sigmoid(logits).cpu().numpy().reshape(chosen.shape)
        _require_finite(eff, jets)
        return eff


def _require_finite(eff: FloatArray, jets: Jets) -> None:
    bad = ~np.isfinite(eff)
    if bad.any():
        row = int(np.argmax(bad))
        event = jets.per_jet("event")[row]
        msg = (
            f"the network gives jet {row} (event {event}, pt {jets.pt[row]}, eta {jets.eta[row]}) "
            f"the efficiency {eff[row]} ({int(bad.sum())} such jets): it must lie in [0, 1]. "
            "Its weights are not finite, or this jet is far from all that it was trained on: "
            "train the network again, or drop such jets."
        )
        raise DataError(msg)
