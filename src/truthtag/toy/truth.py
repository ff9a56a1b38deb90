"""The true tagging efficiency of the toy (Eq. 2), and the tagger that obeys it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from truthtag.arrays import FloatArray, IntArray
from truthtag.data.jets import Jets
from truthtag.data.kinematics import delta_r
from truthtag.data.neighbours import nearest_jet
from truthtag.registry import choose

__all__ = [
    "FORMS",
    "GaussianBase",
    "NearbyDip",
    "NearestNeighbour",
    "NeighbourProduct",
    "Truth",
    "make_truth",
    "tag",
]


class Truth(Protocol):
    """What the toy needs of a true efficiency."""

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the probability that each jet is tagged, shape (n_jets,)."""
        ...

    def own(self, flavour: int, pt: FloatArray, eta: FloatArray) -> FloatArray:
        """Return the efficiency of a jet that is alone."""
        ...

    def factor(self, flavour: int, distance: FloatArray, pt: float) -> FloatArray:
        """Return the factor by which one neighbour of the given flavour lowers the efficiency of a jet of that pT [GeV]."""
        ...


@dataclass(frozen=True)
class GaussianBase:
    r"""Efficiency of a jet on its own.

    .. math:: A \exp\left(-\frac{(p_T - \mu)^2}{2 s_{p_T}^2} - \frac{\eta^2}{2 s_\eta^2}\right)

    Args:
        amplitude: Largest efficiency :math:`A`, in [0, 1].
        pt_mean: Where it is largest, :math:`\mu` [GeV].
        pt_width: Width :math:`s_{p_T}` [GeV].
        eta_width: Width :math:`s_\eta`.
    """

    amplitude: float
    pt_mean: float
    pt_width: float
    eta_width: float

    def __call__(self, pt: FloatArray, eta: FloatArray) -> FloatArray:
        """Return the efficiency at each (pT, eta)."""
        exponent = ((pt - self.pt_mean) / self.pt_width) ** 2 + (eta / self.eta_width) ** 2
        return np.asarray(self.amplitude * np.exp(-exponent / 2))


@dataclass(frozen=True)
class NearbyDip:
    r"""Factor by which a neighbour lowers the efficiency; at most 1.

    .. math:: 1 - a \exp\left(-\frac{\Delta R^2}{2 w^2}\right)

    Args:
        depth: :math:`a`, in [0, 1].
        width: :math:`w`.
    """

    depth: float
    width: float

    def __call__(self, distance: FloatArray) -> FloatArray:
        """Return the factor at each Delta R."""
        return np.asarray(1 - self.depth * np.exp(-((distance / self.width) ** 2) / 2))


@dataclass(frozen=True)
class NeighbourProduct:
    r"""True efficiency of Eq. 2: a jet's own efficiency times a factor for each other jet of the event.

    .. math:: \epsilon_i = \epsilon_{f_i}(p_{T,i}, \eta_i) \prod_{j \ne i} \hat\epsilon_{f_j}(\Delta R_{ij})

    Source: Section 3, Eq. 2 and Figure 3 of arXiv:2004.02665.

    Args:
        base: The jet's own efficiency, by the flavour of the jet.
        correction: The factor of a neighbour, by the flavour of the neighbour.
    """

    base: Mapping[int, GaussianBase]
    correction: Mapping[int, NearbyDip]

    @classmethod
    def from_config(
        cls, options: Mapping[str, Any], flavours: Mapping[str, int]
    ) -> NeighbourProduct:
        """Build from the ``truth`` section of a config; flavours are named there and numbered here."""
        return cls(**_parts_of(options, flavours))

    def own(self, flavour: int, pt: FloatArray, eta: FloatArray) -> FloatArray:
        """Return the efficiency of a jet that is alone."""
        return self.base[flavour](pt, eta)

    def factor(self, flavour: int, distance: FloatArray, pt: float) -> FloatArray:  # noqa: ARG002
        """Return the factor of one neighbour; it does not depend on the jet's own pT."""
        return self.correction[flavour](distance)

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the true efficiency of each jet, shape (n_jets,).

        Raises:
            DataError: A jet has a flavour that the truth does not know.
        """
        eff = _own_efficiencies(self.base, jets)
        for _, index in jets.by_multiplicity():
            eff[index] *= self._neighbours(jets, index)
        return eff

    def _neighbours(self, jets: Jets, index: IntArray) -> FloatArray:
        """Multiply the factors of all other jets, for events of one multiplicity; shape of ``index``."""
        eta, phi, flavour = jets.eta[index], jets.phi[index], jets.flavour[index]
        product = np.ones(index.shape)
        # Each unordered pair once: the distance is symmetric, the factors are not.
        for i in range(index.shape[1]):
            for j in range(i + 1, index.shape[1]):
                distance = delta_r(eta[:, i], phi[:, i], eta[:, j], phi[:, j])
                product[:, i] *= _by_flavour(self.correction, flavour[:, j], distance)
                product[:, j] *= _by_flavour(self.correction, flavour[:, i], distance)
        return product


@dataclass(frozen=True)
class NearestNeighbour:
    r"""True efficiency that does not factorise: only the nearest jet matters, and more so for hard jets.

    .. math:: \epsilon_i = \epsilon_{f_i}(p_{T,i}, \eta_i) \left[1 - \frac{p_{T,i}}{p_{T,i} + p_0}
        \left(1 - \hat\epsilon_{f_k}(\Delta R_{ik})\right)\right], \quad k = \mathrm{argmin}_{j \ne i} \Delta R_{ij}

    Source: this project; a toy on which the assumption of Eq. 2 fails.

    Args:
        base: The jet's own efficiency, by the flavour of the jet.
        correction: The full effect of the nearest jet, by its flavour.
        pt_half: Transverse momentum at which a jet feels half of it, :math:`p_0` [GeV].
    """

    base: Mapping[int, GaussianBase]
    correction: Mapping[int, NearbyDip]
    pt_half: float

    @classmethod
    def from_config(
        cls, options: Mapping[str, Any], flavours: Mapping[str, int]
    ) -> NearestNeighbour:
        """Build from the ``truth`` section of a config."""
        return cls(**_parts_of(options, flavours), pt_half=options["pt_half"])

    def own(self, flavour: int, pt: FloatArray, eta: FloatArray) -> FloatArray:
        """Return the efficiency of a jet that is alone."""
        return self.base[flavour](pt, eta)

    def factor(self, flavour: int, distance: FloatArray, pt: float) -> FloatArray:
        """Return the factor of the nearest neighbour."""
        return 1 - pt / (pt + self.pt_half) * (1 - self.correction[flavour](distance))

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the true efficiency of each jet, shape (n_jets,).

        Raises:
            DataError: A jet has a flavour that the truth does not know.
        """
        eff = _own_efficiencies(self.base, jets)
        nearest, distance = nearest_jet(jets)
        near = np.flatnonzero(nearest >= 0)
        full = 1 - _by_flavour(self.correction, jets.flavour[nearest[near]], distance[near])
        pt = jets.pt[near].astype(np.float64)
        eff[near] *= 1 - pt / (pt + self.pt_half) * full
        return eff


def _parts_of(options: Mapping[str, Any], flavours: Mapping[str, int]) -> dict[str, Any]:
    """Read base and correction from the ``truth`` section of a config."""
    return {
        "base": {
            flavours[name]: GaussianBase(**values) for name, values in options["base"].items()
        },
        "correction": {
            flavours[name]: NearbyDip(**values) for name, values in options["correction"].items()
        },
    }


def _own_efficiencies(base: Mapping[int, GaussianBase], jets: Jets) -> FloatArray:
    """Return what each jet's efficiency would be if it were alone; refuse unknown flavours."""
    remedy = "Add it to truth.base and truth.correction"
    jets.require_flavours(sorted(base), "the true efficiency knows the flavours", remedy)
    return _by_flavour(base, jets.flavour, jets.pt.astype(np.float64), jets.eta.astype(np.float64))


def _by_flavour(
    functions: Mapping[int, Callable[..., FloatArray]], flavour: IntArray, *x: FloatArray
) -> FloatArray:
    """Apply to each row the function of its flavour."""
    out = np.empty(len(flavour))
    for number, function in functions.items():
        inside = flavour == number
        out[inside] = function(*(values[inside] for values in x))
    return out


FORMS: dict[str, type[NeighbourProduct | NearestNeighbour]] = {
    "neighbour_product": NeighbourProduct,
    "nearest_neighbour": NearestNeighbour,
}
"""Forms of the true efficiency that the config can name (``truth.form``)."""


def make_truth(options: Mapping[str, Any], flavours: Mapping[str, int]) -> Truth:
    """Build the true efficiency that the ``truth`` section of a config describes.

    Raises:
        ConfigError: The form is unknown.
    """
    return choose(FORMS, options["form"], "truth.form").from_config(options, flavours)


def tag(jets: Jets, truth: Truth, rng: np.random.Generator) -> Jets:
    """Tag each jet with the probability that the truth gives it.

    A jet is tagged where its score, uniform on [0, 1), is below its efficiency; the score is kept, so that any
    other efficiency can be tagged with the same draws.

    Args:
        jets: The jets.
        truth: The true efficiency.
        rng: Where the scores come from.

    Returns:
        The same jets with ``score``, ``is_tagged`` and ``efficiency_true``.
    """
    eff = truth.efficiency(jets)
    score = rng.random(jets.n_jets)
    return jets.with_columns(score=score, is_tagged=score < eff, efficiency_true=eff)
