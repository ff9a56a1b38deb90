"""The network: efficiency of each jet of an event, from all jets of the event."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.estimators.network.batches import Batch, features
from truthtag.estimators.network.bodies import body_of
from truthtag.estimators.network.device import events_at_once
from truthtag.estimators.network.inputs import InputColumns
from truthtag.estimators.network.layers import Standardise, take_columns, without_single_point
from truthtag.estimators.network.options import FLAVOUR, Architecture
from truthtag.estimators.network.pairs import pair_geometry

__all__ = ["EfficiencyNetwork", "require_finite"]


class EfficiencyNetwork(nn.Module):
    r"""Efficiency of each jet of an event, from all jets of the event.

    Inputs are standardised, pairs get their geometry, and the body gives the logit of the score
    :math:`s` that Eq. 5 trains. Non-tagged jets weigh :math:`\mu` in that loss, so that the
    efficiency is

    .. math:: \epsilon = \frac{\mu s}{1 - s + \mu s}, \quad
        \mathrm{logit}(\epsilon) = \mathrm{logit}(s) + \log \mu

    With K working points, the loosest first, the body gives K logits: this one, and those of
    passing each point given that the jet passes the one before. The efficiency at point k is the
    product of the first k probabilities,

    .. math:: \epsilon_k = \prod_{j \le k} \sigma(z_j), \quad z_1 = \mathrm{logit}(s) + \log\mu

    so that a tighter point never has a higher efficiency than a looser one.

    Where the network was balanced (:mod:`.balance`), its logits have an offset for the flavour of
    the jet at each point, the buffer ``offset`` of shape (n_flavours, n_points).

    Source: Section 5 and Appendix B of arXiv:2004.02665.

    Args:
        architecture: Sizes of the layers, and what they see.
        flavours: Hadron flavours that the network knows; any other is refused.
        mu: Weight of non-tagged jets in the loss.
        points: Names of the working points, the loosest first; empty, or one, for a single point.
        categories: Values of those further inputs that are categories, by name.

    Example:
        >>> network = EfficiencyNetwork(Architecture(width=256))
        >>> sum(p.numel() for p in network.parameters())
        1435245
    """

    offset: Tensor | None

    def __init__(
        self,
        architecture: Architecture,
        flavours: Sequence[int] = (0, 4, 5),
        mu: float = 1.0,
        points: Sequence[str] = (),
        categories: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.flavours = tuple(flavours)
        self.mu = mu
        self.points = tuple(points)
        self.columns = InputColumns.of(architecture.inputs, categories or {})
        self.standardise = Standardise(len(self.columns.names))
        self.seen = self.columns.positions(architecture.scaled_inputs)
        self.body = body_of(architecture, self.n_seen, self.n_points, self._seen_by_pairs())
        # Nothing where there is no offset: such a network has the state that it always had.
        self.register_buffer("offset", None)

    @property
    def n_points(self) -> int:
        """Number of working points, at least 1."""
        return max(1, len(self.points))

    @property
    def has_indicators(self) -> bool:
        """Whether it sees a column of 0 and 1 for each flavour that it knows."""
        return len(self.architecture.scaled_inputs) < len(self.architecture.inputs)

    @property
    def n_seen(self) -> int:
        """Number of columns that the body sees of each jet."""
        return len(self.seen) + (len(self.flavours) if self.has_indicators else 0)

    def _seen_by_pairs(self) -> list[int] | None:
        """Return which of the columns that the body sees it sees of pairs; None for all."""
        chosen = self.architecture.pair_inputs
        if chosen is None:
            return None
        scaled = [name for name in chosen if name in self.architecture.scaled_inputs]
        found = [self.seen.index(place) for place in self.columns.positions(scaled)]
        if len(scaled) < len(chosen):
            found += range(len(self.seen), self.n_seen)
        return found

    @property
    def meaning(self) -> dict[str, Any]:
        """Return what its outputs and further inputs mean, as JSON holds it.

        Returns:
            ``points`` and ``categories``, each only where there are any.
        """
        known: dict[str, Any] = {}
        if self.points:
            known["points"] = list(self.points)
        if self.columns.categories:
            values = self.columns.categories
            known["categories"] = {name: list(values[name]) for name in sorted(values)}
        return known

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits of the scores, shape (n_jets,), or (n_jets, n_points) where several."""
        logits: Tensor = self.body(self.see(batch.features), batch.shape, self.edges(batch))
        if self.body.outputs_probability:
            logits = self._plus_at_first_point(logits, -math.log(self.mu))
        return logits if self.offset is None else logits + self.offset_of(batch)

    def see(self, rows: Tensor) -> Tensor:
        """Return what the body sees of each jet, shape (n_jets, n_seen).

        Args:
            rows: The columns of the jets, neither shifted nor scaled, shape (n_jets, n_columns).
        """
        x = take_columns(self.standardise(rows), self.seen)
        if not self.has_indicators:
            return x
        # Compared with plain numbers: a tensor of them would have to be copied to a GPU each time.
        flavour = rows[:, FLAVOUR]
        indicators = torch.stack([flavour == known for known in self.flavours], dim=-1)
        return torch.cat([x, indicators.to(x.dtype)], dim=-1)

    def offset_of(self, batch: Batch) -> Tensor:
        """Return what is added to the logits of each jet, in the shape of the logits.

        Args:
            batch: The jets; 0 for those of a flavour that the network does not know.
        """
        flavours = batch.features[:, FLAVOUR]
        shift = torch.zeros(len(flavours), self.n_points, device=flavours.device)
        if self.offset is not None:
            for flavour, of_points in zip(self.flavours, self.offset, strict=True):
                shift = torch.where((flavours == flavour)[:, None], of_points, shift)
        return without_single_point(shift)

    def _plus_at_first_point(self, logits: Tensor, shift: float) -> Tensor:
        """Add a number to the logits of the loosest point."""
        if self.n_points == 1:
            return logits + shift
        return torch.cat([logits[..., :1] + shift, logits[..., 1:]], dim=-1)

    def edges(self, batch: Batch) -> Tensor | None:
        """Return the edge features of all ordered pairs, shape (n_pairs, n_edge), or None."""
        return pair_geometry(batch.features, batch.shape, self.architecture.edge_features)

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the efficiency of each jet.

        Args:
            jets: Any number of events of any number of jets; tags are not needed.

        Returns:
            Shape (n_jets,), or (n_jets, n_points) where there are several working points: falling
            from point to point.

        Raises:
            DataError: The jets lack a column that the network sees, a jet has a flavour or category
                that it does not know or a value that is not finite, or the network gives it no
                finite efficiency.
        """
        self.require_flavours(jets)
        rows = features(jets, self.columns)
        eff = np.empty((jets.n_jets, self.n_points))
        device = self.standardise.mean.device
        at_once = events_at_once(device)
        self.eval()
        with torch.inference_mode():
            for _, index in jets.by_multiplicity():
                for first in range(0, len(index), at_once):
                    chosen = index[first : first + at_once]
                    batch = Batch(rows[chosen.ravel()].to(device), [chosen.shape])
                    # Corrected for mu in float64, where it costs no precision.
                    logits = self._plus_at_first_point(self(batch).double(), math.log(self.mu))
                    probabilities = torch.sigmoid(logits).cpu().numpy()
                    eff[chosen] = probabilities.reshape(*chosen.shape, self.n_points)
        # Of probabilities in [0, 1], whose rounded product is never above either factor.
        np.cumprod(eff, axis=1, out=eff)
        require_finite(eff, jets)
        return eff if self.n_points > 1 else eff[:, 0]

    def require_flavours(self, jets: Jets) -> None:
        """Refuse jets of a flavour that the network does not know.

        Raises:
            DataError: There is such a jet.
        """
        remedy = "Train on a sample that has this flavour"
        jets.require_flavours(self.flavours, "the network was trained on the flavours", remedy)


def require_finite(eff: FloatArray, jets: Jets) -> None:
    """Refuse efficiencies that are not finite.

    Args:
        eff: Efficiencies of a network, shape (n_jets, n_points).
        jets: The jets.

    Raises:
        DataError: A value is not finite; the error names the first such jet.
    """
    bad = ~np.isfinite(eff).all(axis=1)
    if bad.any():
        row = int(np.argmax(bad))
        wrong = eff[row][~np.isfinite(eff[row])][0]
        event = jets.per_jet("event")[row]
        msg = (
            f"the network gives jet {row} (event {event}, pt {jets.pt[row]}, eta {jets.eta[row]}) "
            f"the efficiency {wrong} ({int(bad.sum())} such jets): it must lie in [0, 1]. "
            "Its weights are not finite, or this jet is far from all that it was trained on: "
            "train the network again, or drop such jets."
        )
        raise DataError(msg)
