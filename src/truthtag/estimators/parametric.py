"""A maximum-likelihood fit of the form of Eq. 2: how well tags can be predicted where the form is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit, logit

from truthtag.arrays import BoolArray, FloatArray, IntArray
from truthtag.data.jets import Jets
from truthtag.data.kinematics import delta_r
from truthtag.errors import DataError
from truthtag.estimators.bins import flavour_index, tags_of
from truthtag.toy.neighbour_product import NeighbourProduct
from truthtag.toy.shapes import GaussianBase, NearbyDip

__all__ = ["PARAMETERS", "FittedProduct"]

PARAMETERS = ("amplitude", "pt_mean", "pt_width", "eta_width", "depth", "width")
"""Parameters of each flavour: four of a jet's own efficiency, two of its effect on others."""

OWN = 4
# All parameters but the amplitude, which begins as the tagged fraction; momenta and eta in units of their spread.
START = (0.0, 2.0, 2.0, 0.2, 0.5)
# Smallest widths: a single tag would otherwise be fitted best by a spike.
NARROWEST = np.array([0.25, 0.25, 0.05])
BOUNDED, WIDTHS = [0, 4], [2, 3, 5]
EPS = float(np.finfo(np.float64).eps)
BLOCK = 50_000


@dataclass(frozen=True, eq=False)
class FittedProduct:
    r"""The form of Eq. 2 with its parameters fitted to tags, unbinned and with all neighbours at once.

    .. math:: \hat\theta = \mathrm{argmax}_\theta \sum_i \left[t_i \ln \epsilon_i(\theta)
        + (1 - t_i) \ln(1 - \epsilon_i(\theta))\right]

    with :math:`\epsilon_i` that of :class:`~truthtag.toy.neighbour_product.NeighbourProduct` and :math:`t_i` 1 where jet i is tagged,
    0 otherwise. If the form is right, the mean regret of p parameters fitted to N jets is p / (2 N).

    Amplitudes and depths are in (0, 1); a jet's own efficiency is at least as wide as a quarter of the spread of the
    sample in pT and eta, and a dip as 0.05. A flavour without tags gets an amplitude near 0. Errors are those of the
    inverse information matrix, and infinite where no tag tells anything about a parameter, which then is where the
    fit began: the depth, say, where every jet is alone.

    Source: Eq. 2 of arXiv:2004.02665; the regret follows from Wilks, doi 10.1214/aoms/1177732360.

    Args:
        flavours: Hadron flavours, rising.
        values: The parameters of :data:`PARAMETERS` per flavour, shape (n_flavours, 6); those of pT in [GeV].
        errors: Their standard deviations, the same shape.
    """

    flavours: tuple[int, ...]
    values: FloatArray
    errors: FloatArray
    columns: ClassVar[tuple[str, ...]] = ("flavour", "parameter", "value", "error")

    @classmethod
    def fit(cls, jets: Jets) -> FittedProduct:
        """Maximise the likelihood of the tags of a sample; there are no options.

        Args:
            jets: A tagged sample.

        Raises:
            DataError: The sample has no tags or no jets, or the fit does not converge.
        """
        is_tagged = tags_of(jets)
        if not jets.n_jets:
            msg = "the sample has no jets; a fit needs some. Give it a sample that has jets."
            raise DataError(msg)
        flavours = tuple(int(f) for f in np.unique(jets.flavour))
        centre, scale = _standard(jets)
        parts = (jets.take(slice(first, first + BLOCK)) for first in range(0, jets.n_events, BLOCK))
        blocks = [_prepare(part, flavours, centre, scale) for part in parts]
        result = minimize(
            partial(_loss, blocks),
            _to_free(_start(flavour_index(flavours, jets), is_tagged)),
            jac=True,
            hess=partial(_curvature, blocks),
            method="trust-exact",
            # The gradient of the mean loss fluctuates by about 1 / sqrt(N) from sample to sample.
            options={"gtol": 1e-3 / np.sqrt(jets.n_jets), "max_trust_radius": 10.0, "maxiter": 500},
        )
        if not result.success:
            msg = (
                f"the fit of {result.x.size} parameters to {jets.n_jets} jets did not converge in {result.nit} steps: "
                "the tags do not determine them. Fit it to more events."
            )
            raise DataError(msg)
        values = _from_free(result.x)
        errors = _errors(_information(blocks, values)).reshape(values.shape)
        unit = np.array([1.0, scale[0], scale[0], scale[1], 1.0, 1.0])
        return cls(flavours, values * unit + [0.0, centre, 0.0, 0.0, 0.0, 0.0], errors * unit)

    @property
    def product(self) -> NeighbourProduct:
        """The fitted function."""
        rows = dict(zip(self.flavours, self.values.tolist(), strict=True))
        base = {flavour: GaussianBase(*row[:OWN]) for flavour, row in rows.items()}
        return NeighbourProduct(
            base, {flavour: NearbyDip(*row[OWN:]) for flavour, row in rows.items()}
        )

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the efficiency of each jet, shape (n_jets,).

        Raises:
            DataError: A jet has a flavour that the map does not know.
        """
        flavour_index(self.flavours, jets)
        return self.product.efficiency(jets)

    def describe(self) -> str:
        """Return the number of parameters."""
        return f"{self.values.size} parameters"

    def to_frame(self) -> pd.DataFrame:
        """Return a row per flavour and parameter."""
        f, p = (axis.ravel() for axis in np.indices(self.values.shape))
        return pd.DataFrame(
            {
                "flavour": np.array(self.flavours, dtype=np.int8)[f],
                "parameter": np.array(PARAMETERS, dtype=object)[p],
                "value": self.values.ravel(),
                "error": self.errors.ravel(),
            }
        )

    @property
    def policy(self) -> dict[str, Any]:
        """What the table does not hold: nothing."""
        return {}

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> FittedProduct:
        """Rebuild a fit from its table."""
        flavours = tuple(int(f) for f in np.unique(frame["flavour"]))
        table = frame.set_index(["flavour", "parameter"])
        wanted = pd.MultiIndex.from_product([flavours, PARAMETERS])
        values, errors = (
            table[name].reindex(wanted).to_numpy().reshape(len(flavours), -1)
            for name in ("value", "error")
        )
        return cls(flavours, values, errors)


class _Block(NamedTuple):
    """Some events: all that does not change while the parameters do.

    Attributes:
        flavour: Positions of the flavours, shape (n,).
        pt: Transverse momenta, centred and in units of their spread, shape (n,).
        eta: Pseudorapidities in units of their spread, shape (n,).
        is_tagged: The tags, shape (n,).
        pairs: For each flavour, the jets that have a neighbour of it, and the squared Delta R to that neighbour.
    """

    flavour: IntArray
    pt: FloatArray
    eta: FloatArray
    is_tagged: BoolArray
    pairs: list[tuple[IntArray, FloatArray]]


def _standard(jets: Jets) -> tuple[float, tuple[float, float]]:
    """Return the mean pT [GeV], and the spreads of pT [GeV] and eta; 1 in place of a spread of 0."""
    pt, eta = jets.pt.astype(np.float64), jets.eta.astype(np.float64)
    return float(pt.mean()), (float(pt.std()) or 1.0, float(eta.std()) or 1.0)


def _prepare(
    jets: Jets, flavours: Sequence[int], centre: float, scale: tuple[float, float]
) -> _Block:
    """Compute what the likelihood needs of some events."""
    flavour = flavour_index(flavours, jets)
    near: list[IntArray] = [np.zeros(0, np.int64)]
    other: list[IntArray] = [np.zeros(0, np.int64)]
    squared: list[FloatArray] = [np.zeros(0)]
    for _, index in jets.by_multiplicity():
        eta, phi = jets.eta[index], jets.phi[index]
        distance = delta_r(eta[:, :, None], phi[:, :, None], eta[:, None], phi[:, None])
        i, j = np.nonzero(~np.eye(index.shape[1], dtype=bool))
        near.append(index[:, i].ravel())
        other.append(index[:, j].ravel())
        squared.append(distance[:, i, j].ravel() ** 2)
    jet, of, square = np.concatenate(near), flavour[np.concatenate(other)], np.concatenate(squared)
    pairs = [(jet[of == f], square[of == f]) for f in range(len(flavours))]
    pt, eta = (
        (jets.pt.astype(np.float64) - centre) / scale[0],
        jets.eta.astype(np.float64) / scale[1],
    )
    return _Block(flavour, pt, eta, tags_of(jets), pairs)


def _start(flavour: IntArray, is_tagged: BoolArray) -> FloatArray:
    """Return where the fit begins, shape (n_flavours, 6): wide, and as high as the tagged fraction."""
    total = np.bincount(flavour)
    tagged = np.bincount(flavour[is_tagged], minlength=len(total))
    # Half a jet more on either side: without tags, the logarithm of the amplitude would be infinite.
    amplitude = (tagged + 0.5) / (total + 1)
    return np.column_stack([amplitude, np.tile(START, (len(total), 1))])


def _to_free(values: FloatArray) -> FloatArray:
    """Return coordinates without limits: logits of amplitudes and depths, logarithms of widths; flat."""
    free = values.copy()
    free[:, BOUNDED] = logit(values[:, BOUNDED])
    free[:, WIDTHS] = np.log(values[:, WIDTHS] - NARROWEST)
    return free.ravel()


def _from_free(free: FloatArray) -> FloatArray:
    """Return the parameters, shape (n_flavours, 6)."""
    values = free.reshape(-1, len(PARAMETERS)).copy()
    values[:, BOUNDED] = expit(values[:, BOUNDED])
    values[:, WIDTHS] = NARROWEST + np.exp(values[:, WIDTHS])
    return values


def _stretch(values: FloatArray) -> FloatArray:
    """Return the derivative of each parameter with respect to its free coordinate; flat."""
    stretch = np.ones_like(values)
    stretch[:, BOUNDED] = values[:, BOUNDED] * (1 - values[:, BOUNDED])
    stretch[:, WIDTHS] = values[:, WIDTHS] - NARROWEST
    return stretch.ravel()


def _slopes(block: _Block, values: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return efficiencies, their logarithms, and the derivatives of those, shapes (n,), (n,) and (n, 6 n_flavours)."""
    size = len(block.flavour)
    amplitude, mean, pt_width, eta_width = values[block.flavour, :OWN].T
    x, y = (block.pt - mean) / pt_width, block.eta / eta_width
    log = np.log(amplitude) - (x**2 + y**2) / 2
    slopes = np.zeros((size, *values.shape))
    own = np.stack([1 / amplitude, x / pt_width, x**2 / pt_width, y**2 / eta_width], axis=1)
    slopes[np.arange(size), block.flavour, :OWN] = own
    for f, (jet, squared) in enumerate(block.pairs):
        depth, width = values[f, OWN:]
        dip = np.exp(-squared / (2 * width**2))
        factor = np.maximum(1 - depth * dip, EPS)
        log += np.bincount(jet, np.log(factor), size)
        slopes[:, f, OWN] = -np.bincount(jet, dip / factor, size)
        slopes[:, f, OWN + 1] = -np.bincount(jet, dip / factor * squared, size) * depth / width**3
    return np.minimum(np.exp(log), 1 - EPS), log, slopes.reshape(size, values.size)


def _loss(blocks: Sequence[_Block], free: FloatArray) -> tuple[float, FloatArray]:
    """Return the mean log-loss of the tags [nats/jet] and its gradient."""
    values, loss, gradient = _from_free(free), 0.0, np.zeros(free.size)
    for block in blocks:
        eff, log, slopes = _slopes(block, values)
        loss -= np.where(block.is_tagged, log, np.log1p(-eff)).sum()
        gradient -= np.where(block.is_tagged, 1.0, -eff / (1 - eff)) @ slopes
    jets = sum(len(block.flavour) for block in blocks)
    return float(loss) / jets, gradient * _stretch(values) / jets


def _information(blocks: Sequence[_Block], values: FloatArray) -> FloatArray:
    """Return the expected information on the parameters, shape (6 n_flavours, 6 n_flavours)."""
    total = np.zeros((values.size, values.size))
    for block in blocks:
        eff, _, slopes = _slopes(block, values)
        total += (slopes * (eff / (1 - eff))[:, None]).T @ slopes
    return total


def _curvature(blocks: Sequence[_Block], free: FloatArray) -> FloatArray:
    """Return the expected second derivatives of the mean log-loss."""
    values = _from_free(free)
    stretch, jets = _stretch(values), sum(len(block.flavour) for block in blocks)
    # A little on the diagonal, for parameters that the tags say nothing about: the steps stay finite.
    return _information(blocks, values) * np.outer(stretch, stretch) / jets + 1e-6 * np.eye(
        free.size
    )


def _errors(information: FloatArray) -> FloatArray:
    """Return standard deviations from an information matrix; infinite where it has nothing on a parameter."""
    root = np.sqrt(np.diag(information))
    known = root > 0
    unit = np.where(known, root, 1.0)
    eigenvalues, vectors = np.linalg.eigh(information / np.outer(unit, unit))
    variance = (vectors**2 / np.maximum(eigenvalues, EPS)).sum(axis=1)
    return np.where(known, np.sqrt(variance) / unit, np.inf)
