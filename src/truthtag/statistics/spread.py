"""The spread of replicas beside the error of the efficiency, which tags measure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, stdtrit

from truthtag.arrays import (
    AnyArray,
    BoolArray,
    FloatArray,
    IntArray,
    jet_mask,
    per_jet,
    plain_array,
    probabilities,
)
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.predictions import Prediction
from truthtag.estimators.sample_blocks import Block
from truthtag.statistics.covariance import shrunk_covariance
from truthtag.statistics.partners import MeanError, PartnerSums, error_of_mean
from truthtag.statistics.points import WORKING_POINT, rows_at
from truthtag.statistics.regions import RegionsOfFlavours

__all__ = [
    "MIN_SCALE",
    "Scale",
    "SpreadOptions",
    "fit_spread_scale",
    "inflate_spread",
    "scales_by_name",
    "small_sample_factor",
    "spread_scales",
    "spread_scales_in_blocks",
    "student_quantile",
]

MIN_SCALE = float(np.exp(-3))
"""Lower bound of the fitted scale; the inverse is the upper one, where no smaller one is given."""


@dataclass(frozen=True)
class Scale:
    """By how much the spread of replicas must be stretched to be the error of the efficiency.

    Attributes:
        scale: The factor.
        error: Its statistical error.
        regions: Number of regions in which tagged and predicted jets were compared: those where a
            tag can scatter.
        chi2: Of tagged minus predicted jets in the regions, with the covariance as it is.
        chi2_scaled: The same with the spread stretched.
    """

    scale: float
    error: float
    regions: int
    chi2: float
    chi2_scaled: float


def fit_spread_scale(
    is_tagged: BoolArray,
    values: FloatArray,
    replicas: FloatArray,
    region: IntArray,
    prior_width: float,
    max_scale: float = np.inf,
) -> Scale:
    r"""Fit the ratio of an efficiency's error to the spread of its replicas, by tags alone.

    In region r, tagged minus predicted jets has two sources of variance: the tags, which are
    independent, and the efficiency, whose error regions share,

    .. math:: d_r = \sum_{i \in r} (t_i - \epsilon_i), \quad
        \langle d_r d_q \rangle = \delta_{rq} S_r + s^2 C_{rq}

    .. math:: S_r = \sum_{i \in r} \epsilon_i (1 - \epsilon_i), \quad
        C_{rq} = \mathrm{Cov}_k
        \Big(\sum_{i \in r} \epsilon^k_i, \sum_{i \in q} \epsilon^k_i\Big)

    s maximises the Gaussian likelihood of all :math:`d_r` times a prior, :math:`\ln s` Gaussian
    about 0. The prior matters: the tags of a sample smaller than the training sample tell little
    about errors that the training sample made.

    Args:
        is_tagged: Tags of jets that the efficiency was not learned from, shape (n_jets,).
        values: Their efficiencies, shape (n_jets,).
        replicas: The same by each replica, shape (n_replicas, n_jets).
        region: The region of each jet, numbered from 0, shape (n_jets,).
        prior_width: Standard deviation of the prior on ln s.
        max_scale: Largest scale. Where tags ask for more, the efficiency is wrong in a way that no
            replica has: closure should say so, and no stretched error should hide it.

    Returns:
        The scale; 1 with an infinite error where there is one replica only, and so no spread to
        stretch.

    Raises:
        DataError: An array has another length or kind, or a number is not allowed.
        ConfigError: The width of the prior or the largest scale is not allowed.
    """
    _check_options(prior_width, max_scale)
    # Efficiencies keep their precision: float32 sums differ from those of float64.
    values = np.asarray(values)
    n_jets = len(values)
    probabilities(values, n_jets, "values")
    is_tagged = jet_mask(is_tagged, n_jets, "is_tagged")
    replicas = _replicas(replicas, n_jets)
    region = _region_numbers(region, n_jets)

    sums = _RegionSums(int(region.max(initial=-1)) + 1)
    sums.add(is_tagged, values, replicas, region)
    return sums.fit(prior_width, max_scale)


class _RegionSums:
    """What :func:`fit_spread_scale` needs of the jets, summed by region, block by block.

    Args:
        count: Number of regions.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._difference = np.zeros(count)
        self._tag_variance = np.zeros(count)
        self._by_replica: FloatArray = np.zeros((0, count))

    def add(
        self, is_tagged: BoolArray, values: FloatArray, replicas: FloatArray, region: IntArray
    ) -> None:
        """Add jets; arguments are those of :func:`fit_spread_scale`."""

        def sum_by_region(per_jet: FloatArray) -> FloatArray:
            total = np.bincount(region, per_jet.astype(np.float64), self.count)
            return np.asarray(total, dtype=np.float64)

        self._difference += sum_by_region(is_tagged - values)
        self._tag_variance += sum_by_region(values * (1 - values))
        if not len(self._by_replica):
            self._by_replica = np.zeros((len(replicas), self.count))
        for total, replica in zip(self._by_replica, replicas, strict=True):
            total += sum_by_region(replica)

    def fit(self, prior_width: float, max_scale: float, stretch: float = 1.0) -> Scale:
        """Fit the scale of a spread that is stretched before, about the mean of the replicas."""
        count = len(self._by_replica)
        if count < 2 or self.count == 0:
            return Scale(1.0, float("inf"), self.count, float("nan"), float("nan"))
        mean = self._by_replica.mean(axis=0)
        stretched = mean + stretch * (self._by_replica - mean)
        return _fit_scale(self._difference, self._tag_variance, stretched, prior_width, max_scale)


def _fit_scale(
    difference: FloatArray,
    tag_variance: FloatArray,
    by_replica: FloatArray,
    prior_width: float,
    max_scale: float,
) -> Scale:
    """Fit the scale to sums over the jets of each region; see :func:`fit_spread_scale`.

    Args:
        difference: Tagged minus predicted jets, shape (n_regions,).
        tag_variance: Variance of the tagged ones, shape (n_regions,).
        by_replica: Predicted jets by each replica, shape (n_replicas, n_regions).
        prior_width: As there.
        max_scale: As there.
    """
    # Where no tag can scatter, as with efficiencies of 0, no scale explains one.
    can_scatter = tag_variance > np.finfo(float).tiny
    # All is measured in units of the scatter of the tags, whose covariance is then the unit matrix.
    unit = np.sqrt(tag_variance[can_scatter])
    shared = shrunk_covariance(by_replica[:, can_scatter] / unit)
    # Along the eigenvectors of that covariance all differences are independent.
    variances, directions = np.linalg.eigh(shared)
    variances = np.clip(variances, 0, None)
    squares = (directions.T @ (difference[can_scatter] / unit)) ** 2
    likelihood = _Likelihood(variances, squares, prior_width)

    # It takes half a second to import, and most users of this module do not fit.
    from scipy.optimize import minimize_scalar

    lower = np.log(MIN_SCALE)
    upper = np.log(min(max_scale, 1 / MIN_SCALE))
    fit = minimize_scalar(likelihood.cost, bounds=(lower, upper), method="bounded")
    log_scale = float(fit.x)
    scale = float(np.exp(log_scale))
    # The error of s is that of ln s times s.
    error = scale / float(np.sqrt(likelihood.information(log_scale)))
    return Scale(
        scale=scale,
        error=error,
        regions=len(unit),
        chi2=likelihood.chi2(0.0),
        chi2_scaled=likelihood.chi2(log_scale),
    )


@dataclass(frozen=True, eq=False)
class _Likelihood:
    """The likelihood of independent differences d, each in units of the scatter of the tags.

    Args:
        variances: Variance of each by the efficiency, at a scale of 1, shape (n,).
        squares: The differences squared, shape (n,).
        prior_width: Standard deviation of the prior on ln s.
    """

    variances: FloatArray
    squares: FloatArray
    prior_width: float

    def total_variance(self, log_scale: float) -> FloatArray:
        """Return the variance of each difference: 1 by the tags, the rest by the efficiency."""
        return np.asarray(1 + np.exp(2 * log_scale) * self.variances)

    def cost(self, log_scale: float) -> float:
        """Return minus the logarithm of likelihood times prior, up to a constant."""
        variance = self.total_variance(log_scale)
        of_data = 0.5 * np.sum(np.log(variance) + self.squares / variance)
        of_prior = 0.5 * (log_scale / self.prior_width) ** 2
        return float(of_data + of_prior)

    def information(self, log_scale: float) -> float:
        """Return Fisher's information on ln s, and that of the prior added."""
        share = 1 - 1 / self.total_variance(log_scale)
        of_data = float(np.sum(2 * share**2))
        return of_data + self.prior_width**-2

    def chi2(self, log_scale: float) -> float:
        """Return the sum of squared differences over their variances."""
        return float(np.sum(self.squares / self.total_variance(log_scale)))


def small_sample_factor(count: int) -> float:
    r"""Return what the spread of few replicas must be stretched by to be a standard deviation.

    .. math:: f_K = \sqrt{1 + 1/K}\; t_{K-1}(\Phi(1))

    K replicas tell their own spread badly, and their mean is uncertain: a further number of the
    same origin lies within :math:`f_K` times their standard deviation of their mean with the
    probability of one Gaussian standard deviation, 68.3%, by Student's distribution. It is 1.05
    for 20 replicas, 2.25 for two.

    Args:
        count: Number of replicas; 1, for no stretch at all, where there is only one.

    Example:
        >>> round(small_sample_factor(20), 3)
        1.052
    """
    if count < 2:
        return 1.0
    return float(np.sqrt(1 + 1 / count)) * student_quantile(count)


def student_quantile(count: int) -> float:
    r"""Return the part of :func:`small_sample_factor` that is Student's, :math:`t_{K-1}(\Phi(1))`.

    Args:
        count: Number of replicas, at least 2.

    Example:
        >>> round(student_quantile(20), 3)
        1.027
    """
    return float(stdtrit(count - 1, ndtr(1.0)))


def spread_scales(
    jets: Jets,
    prediction: Prediction,
    flavours: Mapping[str, int],
    count: int,
    prior_width: float,
    max_scale: float = np.inf,
    resample: Sequence[int] | None = None,
) -> pd.DataFrame:
    """Measure the scale of every flavour. Every jet counts once, whatever the weight of its event.

    Args:
        jets: A tagged sample that the efficiency was not learned from, at one working point.
        prediction: The efficiency on it, with replicas.
        flavours: Numbers of the hadron flavours, by name.
        count: Regions per flavour.
        prior_width: As in :func:`fit_spread_scale`.
        max_scale: As in :func:`fit_spread_scale`.
        resample: Which resample each replica learned from, where some learned from the same.

    Returns:
        A row per flavour: ``flavour, number, jets``; ``scale`` and its ``error``, the product of
        ``of_mean``, ``small_sample_factor`` and ``from_tags`` (:func:`fit_spread_scale` of a spread
        that is stretched by the first two); ``regions, chi2, chi2_scaled``; ``sampling_share`` and
        ``sampling_share_error``.

        Where replicas have partners, the share of the sample in their variance is measured
        (:func:`.partners.sampling_share`), and the first two are those of
        :func:`.partners.error_of_mean`. Elsewhere the share is NaN, ``of_mean`` 1, and the second
        that of :func:`small_sample_factor`.

    Raises:
        DataError: The sample has no tags, or the prediction no replicas, or it is not for these
            jets.
        ConfigError: An option is out of range.
    """
    name = "efficiency"
    resamples = {} if resample is None else {name: resample}
    options = SpreadOptions(count, prior_width, max_scale)
    blocks = [Block(jets, {name: prediction})]
    table = spread_scales_in_blocks(blocks, flavours, options, resamples)
    return table.drop(columns="efficiency")


@dataclass(frozen=True)
class SpreadOptions:
    """How scales are measured: the arguments of :func:`spread_scales`."""

    count: int
    prior_width: float
    max_scale: float = np.inf


def spread_scales_in_blocks(
    blocks: Iterable[Block],
    flavours: Mapping[str, int],
    options: SpreadOptions,
    resamples: Mapping[str, Sequence[int]],
    point: str | None = None,
) -> pd.DataFrame:
    """Measure the scales of all efficiencies on a sample that comes in blocks.

    What jets are cut in, twelve bytes each, and their regions are held for the whole sample; the
    replicas of a block only.

    Args:
        blocks: The tagged sample, with predictions; it is gone through twice.
        flavours: Numbers of the hadron flavours, by name.
        options: Regions per flavour, and what the fit needs.
        resamples: Which resample each replica learned from, where some learned from the same, by
            the name of the efficiency.
        point: The working point; the loosest by default.

    Returns:
        Rows of :func:`spread_scales` of one efficiency after the other; ``efficiency`` in front.

    Raises:
        DataError: The sample has no tags, or a prediction no replicas, or an array does not fit.
        ConfigError: An option is out of range.
    """
    _check_options(options.prior_width, options.max_scale)
    region_of = RegionsOfFlavours(blocks, flavours, options.count)
    found: dict[tuple[str, str], _FlavourSums] = {}
    for block in blocks:
        at_one = block.at_point(point)
        jets = at_one.jets
        region_of_block = region_of.take(jets)
        for name, prediction in at_one.predictions.items():
            if jets.is_tagged is None or prediction.replicas is None:
                msg = (
                    "the error of an efficiency is measured with tags and replicas; the sample or "
                    "the prediction lacks them"
                )
                raise DataError(msg)
            values = per_jet(prediction.values, jets.n_jets, "prediction.values")
            probabilities(values, jets.n_jets, "values")
            replicas = _replicas(prediction.replicas, jets.n_jets)
            for flavour, number in flavours.items():
                key = (name, flavour)
                if key not in found:
                    found[key] = _FlavourSums(region_of.count(flavour), resamples.get(name))
                chosen = jets.flavour == number
                found[key].add(
                    jets.is_tagged[chosen],
                    values[chosen],
                    replicas[:, chosen],
                    region_of_block[chosen],
                )
    rows = []
    for (name, flavour), sums in found.items():
        row = {"flavour": flavour, "number": flavours[flavour]}
        rows.append({"efficiency": name, **row, **sums.columns(options)})
    return pd.DataFrame(rows)


class _FlavourSums:
    """What the scale of one efficiency and flavour is measured from, block by block.

    Args:
        count: Number of regions.
        resample: Which resample each replica learned from, if that is known.
    """

    def __init__(self, count: int, resample: Sequence[int] | None) -> None:
        self._jets = 0
        self._n_replicas = 0
        self._regions = _RegionSums(count)
        self._resample = resample
        self._partners = None if resample is None else PartnerSums(resample)

    def add(
        self, is_tagged: BoolArray, values: FloatArray, replicas: FloatArray, region: IntArray
    ) -> None:
        """Add the jets of a block; arguments are those of :func:`fit_spread_scale`."""
        self._jets += len(values)
        self._n_replicas = len(replicas)
        self._regions.add(is_tagged, values, replicas, region)
        if self._partners is not None:
            self._partners.add(replicas)

    def columns(self, options: SpreadOptions) -> dict[str, Any]:
        """Return the numbers of a row of :func:`spread_scales`."""
        shared = None if self._partners is None else self._partners.share()
        if shared is None or self._resample is None:
            known = MeanError(1.0, small_sample_factor(self._n_replicas))
        else:
            known = error_of_mean(shared.share, self._resample)
        factor = known.of_mean * known.small_sample
        found = self._regions.fit(options.prior_width, options.max_scale, factor)
        return {
            "jets": self._jets,
            "scale": factor * found.scale,
            "error": factor * found.error,
            "of_mean": known.of_mean,
            "small_sample_factor": known.small_sample,
            "from_tags": found.scale,
            "regions": found.regions,
            "chi2": found.chi2,
            "chi2_scaled": found.chi2_scaled,
            "sampling_share": shared.share if shared else np.nan,
            "sampling_share_error": shared.error if shared else np.nan,
        }


def scales_by_name(
    frame: pd.DataFrame, point: str | None = None, below: str | None = None
) -> dict[str, dict[int, float]]:
    """Return the scales of a table by the name of the efficiency and the number of the flavour.

    Args:
        frame: Rows of :func:`spread_scales`, and in each the name in the column ``efficiency``, and
            the ``working_point`` where there are several.
        point: The working point; by default the first of the table, the loosest.
        below: A tighter point: of the bin between the two, the larger scale counts.

    Raises:
        DataError: A column is missing, a scale is no number of at least 0, or an efficiency has
            two for one flavour.

    Example:
        >>> rows = {"efficiency": ["gnn", "gnn"], "number": [5, 4], "scale": [1.5, 1.2]}
        >>> scales_by_name(pd.DataFrame(rows))
        {'gnn': {5: 1.5, 4: 1.2}}
    """
    for column in ("efficiency", "number", "scale"):
        if column not in frame:
            listed = ", ".join(map(str, frame.columns))
            msg = f"scales: column {column!r} is missing; the table has {listed}"
            raise DataError(msg)
    scales = _scales_at(frame, point)
    if WORKING_POINT not in frame or below is None:
        return scales
    tighter = _scales_at(frame, below)
    return {
        name: {number: max(scale, tighter[name][number]) for number, scale in of_one.items()}
        for name, of_one in scales.items()
    }


def _scales_at(frame: pd.DataFrame, point: str | None) -> dict[str, dict[int, float]]:
    """Return the scales at one working point, by efficiency and flavour."""
    if WORKING_POINT in frame and point not in (None, *frame[WORKING_POINT]):
        listed = ", ".join(map(str, frame[WORKING_POINT].unique())) or "none"
        msg = (
            f"scales: there are none at the working point {point!r}, only at {listed}. "
            "Measure them there, too."
        )
        raise DataError(msg)
    result: dict[str, dict[int, float]] = {}
    for name, rows in rows_at(frame, point).groupby("efficiency", sort=False):
        scales: dict[int, float] = {}
        for number, scale in zip(rows["number"], rows["scale"], strict=True):
            if int(number) in scales:
                msg = f"scales: efficiency {name!r} has two rows for flavour {number}. Drop one."
                raise DataError(msg)
            scales[int(number)] = _checked_scale(float(scale), int(number))
        result[str(name)] = scales
    return result


def inflate_spread(prediction: Prediction, jets: Jets, scales: Mapping[int, float]) -> Prediction:
    r"""Stretch the spread of the replicas, and centre it on the efficiency.

    .. math:: \epsilon^k \to \epsilon + s_f (\epsilon^k - \langle \epsilon^k \rangle),
        \quad \text{clipped to } [0, 1]

    Args:
        prediction: An efficiency on a sample; without replicas it comes back as it is.
        jets: The sample.
        scales: The scale of each hadron flavour; 1 for flavours that are not there.

    Raises:
        DataError: The prediction has another number of jets, a number is masked or no probability,
            or a scale is no number of at least 0.
    """
    if prediction.replicas is None:
        return prediction
    values = per_jet(prediction.values, jets.n_jets, "prediction.values")
    replicas = _replicas(prediction.replicas, jets.n_jets)
    scale = np.ones(jets.n_jets, dtype=np.float32)
    for number, value in scales.items():
        scale[jets.flavour == number] = _checked_scale(value, number)
    difference = replicas - replicas.mean(axis=0)
    stretched = values.astype(np.float32) + scale * difference
    return replace(prediction, replicas=np.clip(stretched, 0, 1))


def _check_options(prior_width: float, max_scale: float) -> None:
    """Refuse options of the fit that make no scale."""
    if not (prior_width > 0 and np.isfinite(prior_width)):
        msg = f"uncertainty.prior_width is {prior_width}; it must be above 0. Take 0.3, say."
        raise ConfigError(msg)
    if not max_scale > MIN_SCALE:
        msg = (
            f"uncertainty.max_scale is {max_scale}; it must be above {MIN_SCALE:.3f}, where the "
            "search for the scale begins. Take 2, say."
        )
        raise ConfigError(msg)


def _checked_scale(value: float, number: int) -> float:
    """Return a scale; refuse what stretches no spread."""
    if not (value >= 0 and np.isfinite(value)):
        msg = f"the scale of flavour {number} is {value}; it must be a number of at least 0"
        raise DataError(msg)
    return value


def _replicas(values: Any, n_jets: int) -> AnyArray:
    """Return the efficiencies by each replica; stretched ones may lie outside [0, 1]."""
    array = plain_array(values, "replicas")
    if array.ndim != 2 or array.shape[1] != n_jets:
        msg = (
            f"replicas have shape {array.shape}; they must have a row for each replica and "
            f"{n_jets} jets in each"
        )
        raise DataError(msg)
    if array.dtype.kind not in "biuf":
        msg = f"replicas: hold {array.dtype} values; give numbers"
        raise DataError(msg)
    finite = np.isfinite(array)
    if not finite.all():
        row, jet = np.argwhere(~finite)[0]
        msg = f"replica {row} is {array[row, jet]} for jet {jet}; every number must be finite"
        raise DataError(msg)
    return array


def _region_numbers(values: Any, n_jets: int) -> IntArray:
    """Return the region of each jet; refuse what is no number of a region."""
    array = per_jet(values, n_jets, "region")
    if array.dtype.kind not in "iu":
        msg = f"region: holds {array.dtype} values; regions are numbered 0, 1, ..."
        raise DataError(msg)
    if array.min(initial=0) < 0:
        msg = f"region is {array.min()} for jet {int(np.argmin(array))}; regions begin at 0"
        raise DataError(msg)
    return array
