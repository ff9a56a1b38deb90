"""The true efficiency of Eq. 2: every other jet of the event has its own factor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from truthtag.arrays import FloatArray, IntArray
from truthtag.data.jets import Jets
from truthtag.data.kinematics import delta_r
from truthtag.toy.shapes import (
    GaussianBase,
    NearbyDip,
    TruthOptions,
    by_flavour,
    own_efficiencies,
)

__all__ = ["NeighbourProduct", "NeighbourProductOptions"]


class NeighbourProductOptions(TruthOptions):
    """The true efficiency of Eq. 2: a jet's own, times a factor for each other jet of the event."""


@dataclass(frozen=True)
class NeighbourProduct:
    r"""True efficiency of Eq. 2: a jet's own, times a factor for each other jet of the event.

    .. math:: \epsilon_i = \epsilon_{f_i}(p_{T,i}, \eta_i)
        \prod_{j \ne i} \hat\epsilon_{f_j}(\Delta R_{ij})

    Source: Section 3, Eq. 2 and Figure 3 of arXiv:2004.02665.

    Args:
        base: The jet's own efficiency, by the flavour of the jet.
        correction: The factor of a neighbour, by the flavour of the neighbour.
    """

    base: Mapping[int, GaussianBase]
    correction: Mapping[int, NearbyDip]

    options_type: ClassVar[type[NeighbourProductOptions]] = NeighbourProductOptions

    @classmethod
    def from_options(
        cls, options: NeighbourProductOptions, flavours: Mapping[str, int]
    ) -> NeighbourProduct:
        """Build from options; flavours are named there and numbered here."""
        return cls(options.base_by_number(flavours), options.correction_by_number(flavours))

    def own(self, flavour: int, pt: FloatArray, eta: FloatArray) -> FloatArray:
        """Return the efficiency of a jet that is alone."""
        return self.base[flavour](pt, eta)

    def factor(self, flavour: int, distance: FloatArray, pt: float) -> FloatArray:  # noqa: ARG002
        """Return the factor of one neighbour; it does not depend on the jet's own pT."""
        return self.correction[flavour](distance)

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the true efficiency of each jet, shape (n_jets,).

        Raises:
            DataError: A jet has a flavour that the truth does not have.
        """
        eff = own_efficiencies(self.base, jets)
        for _, index in jets.by_multiplicity():
            eff[index] *= self._neighbours(jets, index)
        return eff

    def _neighbours(self, jets: Jets, index: IntArray) -> FloatArray:
        """Multiply the factors of all other jets, for events of one multiplicity.

        Args:
            jets: The jets.
            index: Positions of the jets of each event, shape (n_events, n).

        Returns:
            The product for each jet, of the shape of ``index``.
        """
        eta = jets.eta[index]
        phi = jets.phi[index]
        flavour = jets.flavour[index]
        product = np.ones(index.shape)
        # Each unordered pair once: the distance is symmetric, the factors are not.
        for i in range(index.shape[1]):
            for j in range(i + 1, index.shape[1]):
                distance = delta_r(eta[:, i], phi[:, i], eta[:, j], phi[:, j])
                product[:, i] *= by_flavour(self.correction, flavour[:, j], distance)
                product[:, j] *= by_flavour(self.correction, flavour[:, i], distance)
        return product
