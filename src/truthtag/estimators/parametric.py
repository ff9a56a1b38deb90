"""A maximum-likelihood fit of the form of Eq. 2: the best that can be done where it is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np

from truthtag.arrays import BoolArray, FloatArray, IntArray
from truthtag.data.jets import Jets
from truthtag.data.kinematics import delta_r
from truthtag.errors import DataError
from truthtag.estimators.bins import (
    flavour_index,
    flavours_of,
    tags_of,
    training_tags,
    unlearned_flavours,
    with_unlearned,
)
from truthtag.estimators.counts import WeightedOptions, check_positive_sum, weights_of
from truthtag.estimators.protocol import ResampledOptions
from truthtag.estimators.table_file import TableEstimator
from truthtag.seeds import Seed
from truthtag.toy.neighbour_product import NeighbourProduct
from truthtag.toy.shapes import GaussianBase, NearbyDip

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PARAMETERS", "ParametricFit", "ParametricOptions"]

PARAMETERS = ("amplitude", "pt_mean", "pt_width", "eta_width", "depth", "width")
"""Parameters of each flavour: four of a jet's own efficiency, two of its effect on others."""

OWN = 4
"""How many of them describe a jet's own efficiency."""

BOUNDED = [0, 4]
"""Positions of amplitude and depth, which are in (0, 1)."""

WIDTHS = [2, 3, 5]
"""Positions of the three widths."""

# All parameters but the amplitude, which begins as the tagged fraction; momenta and eta in units of
# their spread.
START = (0.0, 2.0, 2.0, 0.2, 0.5)
# Smallest widths: a single tag would otherwise be fitted best by a spike.
NARROWEST = np.array([0.25, 0.25, 0.05])
# The fit ends where the gradient is so small, in units of its fluctuation from sample to sample.
TOLERANCE = 1e-3
# Added to the diagonal of the curvature, for parameters that the tags say nothing about: the steps
# stay finite.
RIDGE = 1e-6
EPS = float(np.finfo(np.float64).eps)
# Events that are worked on at once: more do not fit the memory of a small machine.
BLOCK = 50_000


class ParametricOptions(WeightedOptions):
    """A maximum-likelihood fit of the form of Eq. 2, which is taken for granted."""

    kind: str = "parametric"
    """Kind of estimator, `parametric`."""


@dataclass(frozen=True, eq=False)
class ParametricFit(TableEstimator):
    r"""The form of Eq. 2 with its parameters fitted to tags, unbinned, with all neighbours at once.

    .. math:: \hat\theta = \mathrm{argmax}_\theta \sum_i w_i \left[t_i \ln \epsilon_i(\theta)
        + (1 - t_i) \ln(1 - \epsilon_i(\theta))\right]

    with :math:`\epsilon_i` that of :class:`NeighbourProduct`, :math:`t_i` 1 where jet i is tagged,
    0 otherwise, and :math:`w_i` its weight. If the form is right, the mean regret of p parameters
    fitted to N jets of weight 1 is p / (2 N).

    Amplitudes and depths are in (0, 1); a jet's own efficiency is at least as wide as a quarter of
    the spread of the sample in pT and eta, and a dip as 0.05. A flavour without tags gets an
    amplitude near 0. Errors are those of the inverse information matrix, and infinite where no tag
    tells anything about a parameter, which then is where the fit began: the depth, say, where every
    jet is alone. With weights they are those of

    .. math:: I_1^{-1} I_2\, I_1^{-1}, \quad I_n = \sum_i w_i^n I^{(i)}

    for the information :math:`I^{(i)}` of one jet. A jet of a flavour that no training jet has is
    refused. Where negative weights prevail in some region, there need be no largest likelihood: the
    fit then does not converge, or is at the end of what is allowed.

    Source: Eq. 2 of arXiv:2004.02665; the regret follows from Wilks, doi 10.1214/aoms/1177732360;
    errors with weights, Langenbruch, doi 10.1140/epjc/s10052-022-10254-8.

    Args:
        flavours: Hadron flavours, rising.
        values: The parameters of :data:`PARAMETERS` per flavour, shape (n_flavours, 6); those of
            pT in [GeV].
        errors: Their standard deviations, the same shape.
        unlearned: Those of the flavours that no training jet has.
    """

    flavours: tuple[int, ...]
    values: FloatArray
    errors: FloatArray
    unlearned: tuple[int, ...] = ()
    options_type: ClassVar[type[ResampledOptions]] = ParametricOptions
    columns: ClassVar[tuple[str, ...]] = ("flavour", "parameter", "value", "error")

    @classmethod
    def fit(
        cls,
        train: Jets,
        validation: Jets,  # noqa: ARG003
        options: ParametricOptions,
        seed: Seed,  # noqa: ARG003
    ) -> Self:
        """Maximise the likelihood of the tags of a sample.

        Args:
            train: A tagged sample.
            validation: Not used.
            options: Which weights.
            seed: Not used.

        Raises:
            DataError: The sample has no tags or no jets, its weights do not sum to more than 0, or
                the fit does not converge.
        """
        is_tagged = training_tags(train)
        if not train.n_jets:
            msg = "the sample has no jets; a fit needs some. Give it a sample that has jets."
            raise DataError(msg)
        flavours = flavours_of(train)
        weights = weights_of(train, options.weights)
        if weights is not None:
            check_positive_sum(float(weights.sum()), float(np.abs(weights).sum()))
        centre, scale = _standard(train)
        blocks = []
        for first in range(0, train.n_events, BLOCK):
            some = train.take(slice(first, first + BLOCK))
            of_block = slice(train.offsets[first], train.offsets[first] + some.n_jets)
            own = None if weights is None else weights[of_block]
            blocks.append(_prepare(some, flavours, centre, scale, own))
        start = _start(flavour_index(flavours, train), is_tagged, len(flavours))
        values = _maximise(blocks, start, train.n_jets)
        spread = None if weights is None else _information(blocks, values, power=2)
        errors = _errors(_information(blocks, values), spread).reshape(values.shape)
        # Back to GeV and eta, from units of their spread around the mean pT.
        unit = np.array([1.0, scale[0], scale[0], scale[1], 1.0, 1.0])
        shift = [0.0, centre, 0.0, 0.0, 0.0, 0.0]
        unlearned = unlearned_flavours(train)
        return cls(flavours, values * unit + shift, errors * unit, unlearned)

    @property
    def product(self) -> NeighbourProduct:
        """The fitted function."""
        base = {}
        correction = {}
        for flavour, row in zip(self.flavours, self.values.tolist(), strict=True):
            base[flavour] = GaussianBase(*row[:OWN])
            correction[flavour] = NearbyDip(*row[OWN:])
        return NeighbourProduct(base, correction)

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the efficiency of each jet, shape (n_jets,).

        Raises:
            DataError: A jet has a flavour that the map does not know.
        """
        flavour_index(self.flavours, jets)
        return with_unlearned(self.product.efficiency(jets), self.unlearned, jets)

    def describe(self) -> str:
        """Return the number of parameters."""
        return f"{self.values.size} parameters"

    def to_frame(self) -> pd.DataFrame:
        """Return a row per flavour and parameter."""
        import pandas as pd

        flavour, parameter = (axis.ravel() for axis in np.indices(self.values.shape))
        columns = {
            "flavour": np.array(self.flavours, dtype=np.int8)[flavour],
            "parameter": np.array(PARAMETERS, dtype=object)[parameter],
            "value": self.values.ravel(),
            "error": self.errors.ravel(),
        }
        return pd.DataFrame(columns)

    @property
    def settings(self) -> dict[str, Any]:
        """What the table does not hold: the flavours that nothing was learned of, if any."""
        return {"unlearned": list(self.unlearned)} if self.unlearned else {}

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, **settings: Any) -> Self:
        """Rebuild a fit from its table.

        Raises:
            DataError: A parameter is missing, stands twice, or is not finite.
        """
        import pandas as pd

        flavours = tuple(int(flavour) for flavour in np.unique(frame["flavour"]))
        table = frame.set_index(["flavour", "parameter"])
        wanted = pd.MultiIndex.from_product([flavours, PARAMETERS])
        if len(table) != len(wanted):
            msg = f"it has {len(table)} rows, not one for each of {len(wanted)} parameters"
            raise DataError(msg)
        shape = (len(flavours), len(PARAMETERS))
        values = table["value"].reindex(wanted).to_numpy(dtype=np.float64).reshape(shape)
        errors = table["error"].reindex(wanted).to_numpy(dtype=np.float64).reshape(shape)
        if not np.isfinite(values).all():
            flavour, position = np.argwhere(~np.isfinite(values))[0]
            name = PARAMETERS[position]
            msg = f"{name!r} of flavour {flavours[flavour]} is missing, or not finite"
            raise DataError(msg)
        unlearned = tuple(int(flavour) for flavour in settings.get("unlearned", ()))
        return cls(flavours, values, errors, unlearned)


def _maximise(blocks: Sequence[_Block], start: FloatArray, n_jets: int) -> FloatArray:
    """Return the parameters of the largest likelihood, in units of the spread of the sample.

    Args:
        blocks: The events.
        start: Where the fit begins, shape (n_flavours, 6).
        n_jets: Number of jets in all blocks.

    Raises:
        DataError: The fit does not converge.
    """
    from scipy.optimize import minimize

    result = minimize(
        partial(_loss, blocks),
        _to_free(start),
        jac=True,
        hess=partial(_curvature, blocks),
        method="trust-exact",
        options={
            # The gradient of the mean loss fluctuates by about 1 / sqrt(N) from sample to sample,
            # for N effective jets.
            "gtol": TOLERANCE / np.sqrt(_effective_jets(blocks)),
            "max_trust_radius": 10.0,
            "maxiter": 500,
        },
    )
    if not result.success:
        remedy = "Fit it to more events."
        if any((block.weight < 0).any() for block in blocks):
            remedy = "Fit it to more events, or without negative weights: absolute or ignore."
        msg = (
            f"the fit of {result.x.size} parameters to {n_jets} jets did not converge in "
            f"{result.nit} steps: the tags do not determine them. {remedy}"
        )
        raise DataError(msg)
    return _from_free(result.x)


class _Block(NamedTuple):
    """Some events: all that does not change while the parameters do.

    Attributes:
        flavour: Positions of the flavours, shape (n,).
        pt: Transverse momenta, centred and in units of their spread, shape (n,).
        eta: Pseudorapidities in units of their spread, shape (n,).
        is_tagged: The tags, shape (n,).
        weight: The weights, shape (n,).
        pairs: For each flavour, the jets that have a neighbour of it, and the squared Delta R to
            that neighbour.
    """

    flavour: IntArray
    pt: FloatArray
    eta: FloatArray
    is_tagged: BoolArray
    weight: FloatArray
    pairs: list[tuple[IntArray, FloatArray]]


def _standard(jets: Jets) -> tuple[float, tuple[float, float]]:
    """Return mean pT [GeV], and the spreads of pT [GeV] and eta; 1 in place of a spread of 0."""
    pt = jets.pt.astype(np.float64)
    eta = jets.eta.astype(np.float64)
    pt_spread = float(pt.std()) or 1.0
    eta_spread = float(eta.std()) or 1.0
    return float(pt.mean()), (pt_spread, eta_spread)


def _prepare(
    jets: Jets,
    flavours: Sequence[int],
    centre: float,
    scale: tuple[float, float],
    weights: FloatArray | None = None,
) -> _Block:
    """Compute what the likelihood needs of some events.

    Args:
        jets: The events, tagged.
        flavours: Those of the fit, rising.
        centre: Mean pT [GeV].
        scale: Spreads of pT [GeV] and eta.
        weights: The weight of each jet; 1 by default.
    """
    flavour = flavour_index(flavours, jets)
    jet, neighbour, squared = _neighbour_pairs(jets)
    of = flavour[neighbour]
    pairs = []
    for position in range(len(flavours)):
        chosen = of == position
        pairs.append((jet[chosen], squared[chosen]))
    pt = (jets.pt.astype(np.float64) - centre) / scale[0]
    eta = jets.eta.astype(np.float64) / scale[1]
    weight = np.ones(jets.n_jets) if weights is None else weights
    return _Block(flavour, pt, eta, tags_of(jets), weight, pairs)


def _neighbour_pairs(jets: Jets) -> tuple[IntArray, IntArray, FloatArray]:
    """Return all ordered pairs of jets of one event: jet, its neighbour, squared Delta R."""
    near: list[IntArray] = [np.zeros(0, np.int64)]
    other: list[IntArray] = [np.zeros(0, np.int64)]
    squared: list[FloatArray] = [np.zeros(0)]
    for _, index in jets.by_multiplicity():
        eta = jets.eta[index]
        phi = jets.phi[index]
        distance = delta_r(eta[:, :, None], phi[:, :, None], eta[:, None], phi[:, None])
        i, j = np.nonzero(~np.eye(index.shape[1], dtype=bool))
        near.append(index[:, i].ravel())
        other.append(index[:, j].ravel())
        squared.append(distance[:, i, j].ravel() ** 2)
    return np.concatenate(near), np.concatenate(other), np.concatenate(squared)


def _start(flavour: IntArray, is_tagged: BoolArray, n_flavours: int = 0) -> FloatArray:
    """Return where the fit begins, shape (n_flavours, 6): wide, as high as the tagged fraction."""
    total = np.bincount(flavour, minlength=n_flavours)
    tagged = np.bincount(flavour[is_tagged], minlength=len(total))
    # Half a jet more on either side: without tags, the logarithm of the amplitude is infinite.
    amplitude = (tagged + 0.5) / (total + 1)
    return np.column_stack([amplitude, np.tile(START, (len(total), 1))])


def _to_free(values: FloatArray) -> FloatArray:
    """Return coordinates without limits: logits of amplitudes and depths, logs of widths; flat."""
    from scipy.special import logit

    free = values.copy()
    free[:, BOUNDED] = logit(values[:, BOUNDED])
    free[:, WIDTHS] = np.log(values[:, WIDTHS] - NARROWEST)
    return free.ravel()


def _from_free(free: FloatArray) -> FloatArray:
    """Return the parameters, shape (n_flavours, 6)."""
    from scipy.special import expit

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
    """Return efficiencies, their logarithms, and the derivatives of those.

    Args:
        block: Some events, n jets.
        values: The parameters, shape (n_flavours, 6).

    Returns:
        Shapes (n,), (n,) and (n, 6 n_flavours).
    """
    size = len(block.flavour)
    slopes = np.zeros((size, *values.shape))
    log, own = _own_efficiency(block, values)
    # A jet's own efficiency depends on the parameters of its own flavour only.
    slopes[np.arange(size), block.flavour, :OWN] = own
    for position, (jet, squared) in enumerate(block.pairs):
        depth, width = values[position, OWN:]
        dip = np.exp(-squared / (2 * width**2))
        # A depth near 1 at Delta R = 0 would make the factor 0, and its logarithm infinite.
        factor = np.maximum(1 - depth * dip, EPS)
        by_depth = dip / factor
        by_width = by_depth * squared
        # Sums over the neighbours of each jet: the logarithm of a product of factors.
        log += np.bincount(jet, np.log(factor), size)
        slopes[:, position, OWN] = -np.bincount(jet, by_depth, size)
        slopes[:, position, OWN + 1] = -np.bincount(jet, by_width, size) * depth / width**3
    # Below 1, so that 1 - eff has a logarithm.
    eff = np.minimum(np.exp(log), 1 - EPS)
    return eff, log, slopes.reshape(size, values.size)


def _own_efficiency(block: _Block, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the logarithm of each jet's own efficiency, (n,), and its derivatives, (n, 4)."""
    amplitude, mean, pt_width, eta_width = values[block.flavour, :OWN].T
    x = (block.pt - mean) / pt_width
    y = block.eta / eta_width
    log = np.log(amplitude) - (x**2 + y**2) / 2
    by_amplitude = 1 / amplitude
    by_mean = x / pt_width
    by_pt_width = x**2 / pt_width
    by_eta_width = y**2 / eta_width
    return log, np.stack([by_amplitude, by_mean, by_pt_width, by_eta_width], axis=1)


def _loss(blocks: Sequence[_Block], free: FloatArray) -> tuple[float, FloatArray]:
    """Return the mean log-loss of the tags [nats/jet] and its gradient."""
    values = _from_free(free)
    loss = 0.0
    gradient = np.zeros(free.size)
    for block in blocks:
        eff, log, slopes = _slopes(block, values)
        loss -= (block.weight * np.where(block.is_tagged, log, np.log1p(-eff))).sum()
        # d ln(1 - eff) = -eff / (1 - eff) d ln eff.
        slope = np.where(block.is_tagged, 1.0, -eff / (1 - eff))
        gradient -= (block.weight * slope) @ slopes
    total = _total_weight(blocks)
    return float(loss) / total, gradient * _stretch(values) / total


def _information(blocks: Sequence[_Block], values: FloatArray, power: int = 1) -> FloatArray:
    """Return the expected information on the parameters, shape (6 n_flavours, 6 n_flavours).

    Args:
        blocks: The events.
        values: The parameters, shape (n_flavours, 6).
        power: Power of the weights.
    """
    total = np.zeros((values.size, values.size))
    for block in blocks:
        eff, _, slopes = _slopes(block, values)
        # Fisher information of a yes-or-no outcome, in derivatives of the logarithm.
        odds = block.weight**power * (eff / (1 - eff))
        total += (slopes * odds[:, None]).T @ slopes
    return total


def _curvature(blocks: Sequence[_Block], free: FloatArray) -> FloatArray:
    """Return the expected second derivatives of the mean log-loss."""
    values = _from_free(free)
    stretch = _stretch(values)
    information = _information(blocks, values)
    scaled = information * np.outer(stretch, stretch) / _total_weight(blocks)
    return scaled + RIDGE * np.eye(free.size)


def _total_weight(blocks: Sequence[_Block]) -> float:
    return sum(float(block.weight.sum()) for block in blocks)


def _effective_jets(blocks: Sequence[_Block]) -> float:
    """Return the number of jets of one weight that would be worth as much."""
    squares = sum(float((block.weight**2).sum()) for block in blocks)
    return _total_weight(blocks) ** 2 / squares


def _errors(information: FloatArray, spread: FloatArray | None = None) -> FloatArray:
    """Return standard deviations from an information matrix; infinite where it has nothing.

    Args:
        information: Shape (n, n).
        spread: With squared weights in the place of weights, the same shape; by default the same.

    Returns:
        Shape (n,).
    """
    # Negative weights may leave less than nothing.
    root = np.sqrt(np.maximum(np.diag(information), 0))
    known = root > 0
    unit = np.where(known, root, 1.0)
    # Scaled to a unit diagonal, so that one limit on the eigenvalues suits all parameters.
    eigenvalues, vectors = np.linalg.eigh(information / np.outer(unit, unit))
    if spread is None:
        variance = (vectors**2 / np.maximum(eigenvalues, EPS)).sum(axis=1)
    else:
        inverse = (vectors / np.maximum(eigenvalues, EPS)) @ vectors.T
        variance = np.diag(inverse @ (spread / np.outer(unit, unit)) @ inverse)
    return np.where(known, np.sqrt(variance) / unit, np.inf)
