"""A true efficiency that does not factorise: only the nearest jet counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.data.neighbours import nearest_jet
from truthtag.options import Real
from truthtag.toy.shapes import (
    GaussianBase,
    NearbyDip,
    TruthOptions,
    by_flavour,
    own_efficiencies,
)

__all__ = ["NearestNeighbour", "NearestNeighbourOptions"]


class NearestNeighbourOptions(TruthOptions):
    """A true efficiency that does not factorise: the nearest jet counts, most for hard jets."""

    pt_half: Annotated[Real, Field(gt=0)]
    """Transverse momentum at which a jet feels half of the nearest neighbour's effect [GeV]."""


@dataclass(frozen=True)
class NearestNeighbour:
    r"""True efficiency that does not factorise: the nearest jet counts, and most for hard jets.

    .. math:: \epsilon_i = \epsilon_{f_i}(p_{T,i}, \eta_i)
        \left[1 - \frac{p_{T,i}}{p_{T,i} + p_0}
        \left(1 - \hat\epsilon_{f_k}(\Delta R_{ik})\right)\right],
        \quad k = \mathrm{argmin}_{j \ne i} \Delta R_{ij}

    Source: this project; a toy on which the assumption of Eq. 2 fails.

    Args:
        base: The jet's own efficiency, by the flavour of the jet.
        correction: The full effect of the nearest jet, by its flavour.
        pt_half: Transverse momentum at which a jet feels half of it, :math:`p_0` [GeV].
    """

    base: Mapping[int, GaussianBase]
    correction: Mapping[int, NearbyDip]
    pt_half: float

    options_type: ClassVar[type[NearestNeighbourOptions]] = NearestNeighbourOptions

    @classmethod
    def from_options(
        cls, options: NearestNeighbourOptions, flavours: Mapping[str, int]
    ) -> NearestNeighbour:
        """Build from options; flavours are named there and numbered here."""
        base = options.base_by_number(flavours)
        correction = options.correction_by_number(flavours)
        return cls(base, correction, options.pt_half)

    def own(self, flavour: int, pt: FloatArray, eta: FloatArray) -> FloatArray:
        """Return the efficiency of a jet that is alone."""
        return self.base[flavour](pt, eta)

    def factor(self, flavour: int, distance: FloatArray, pt: float) -> FloatArray:
        """Return the factor of the nearest neighbour."""
        return 1 - pt / (pt + self.pt_half) * (1 - self.correction[flavour](distance))

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the true efficiency of each jet, shape (n_jets,).

        Raises:
            DataError: A jet has a flavour that the truth does not have.
        """
        eff = own_efficiencies(self.base, jets)
        nearest, distance = nearest_jet(jets)
        near = np.flatnonzero(nearest >= 0)
        full = 1 - by_flavour(self.correction, jets.flavour[nearest[near]], distance[near])
        pt = jets.pt[near].astype(np.float64)
        eff[near] *= 1 - pt / (pt + self.pt_half) * full
        return eff
