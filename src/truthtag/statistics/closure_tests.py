"""Tests that direct yields scatter about weighted ones as they should."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import chdtrc, ndtr

from truthtag.arrays import FloatArray, divide, plain_array
from truthtag.errors import DataError
from truthtag.statistics.covariance import shrunk_covariance

__all__ = [
    "MIN_REPLICAS",
    "ClosureTest",
    "closure_test",
    "merged_bins",
    "normal_score",
    "require_entries",
    "sidak",
]

MIN_REPLICAS = 8
"""Fewest replicas whose covariance enters a test: fewer do not know what they do not know, and
right efficiencies would fail in several times as many cases as the p-value says."""


def require_entries(name: str, values: Any, shape: tuple[int, ...]) -> None:
    """Refuse an array that cannot fill a histogram, naming the first bad entry."""
    array = plain_array(values, name)
    if array.shape != shape:
        msg = f"{name} have shape {array.shape}; they must have one entry per event, {shape}"
        raise DataError(msg)
    if array.dtype.kind not in "biuf":
        msg = f"{name} hold {array.dtype} values; a histogram is filled with numbers"
        raise DataError(msg)
    bad = ~np.isfinite(array)
    if bad.any():
        place = np.argwhere(bad)[0].tolist()
        msg = (
            f"{name} hold {array[tuple(place)]} at position {place[-1]} ({int(bad.sum())} such "
            "entries); every entry of a histogram must be finite. "
            "Check the jets that it is made of."
        )
        raise DataError(msg)


@dataclass(frozen=True)
class ClosureTest:
    """Outcome of comparing a weighted histogram with the direct one.

    Attributes:
        chi2: Difference squared over its variance, summed over bins; with correlations where there
            are some.
        ndf: Number of bins, after merging those with too few expected events.
        p_value: Probability of a larger chi2 if the efficiency is right.
        pull: Difference of the sums over all bins, direct minus weighted, over its standard
            deviation.
        p_sum: Probability of a pull that is farther from 0 if the efficiency is right.
    """

    chi2: float
    ndf: int
    p_value: float
    pull: float
    p_sum: float

    @property
    def p_both(self) -> float:
        """The p-value of both tests together, by :func:`sidak`; of one bin they are the same."""
        if self.ndf <= 1:
            return self.p_value
        return sidak(min(self.p_value, self.p_sum), 0.5)


def closure_test(
    direct: FloatArray,
    weighted: FloatArray,
    variance: FloatArray,
    minimum_events: float,
    covariance: FloatArray | None = None,
    mean_weight: FloatArray | None = None,
    replicas: FloatArray | None = None,
) -> ClosureTest:
    r"""Test that direct yields scatter about weighted ones as they should.

    .. math:: \chi^2 = d^T (V + C)^{-1} d, \quad
        \mathrm{pull} = \frac{1^T d}{\sqrt{1^T (V + C) 1}}

    .. math:: d = \mathrm{direct} - \mathrm{weighted},
        \quad V_{bb} = \sum_{e \in b} w_e^2\, p_e (1 - p_e)

    V is what the tags of these events scatter by, C what the efficiency's own statistical error
    adds; without C, chi2 is the sum over bins of squared pulls. Nothing was fitted to these events,
    so each bin counts as a degree of freedom. Bins are merged until a Gaussian describes them, see
    :func:`merged_bins`. The pull of the sum sees a shift that all bins share, which chi2 dilutes.

    C of K replicas is an estimate: its correlations are shrunk
    (:func:`~truthtag.statistics.covariance.shrunk_covariance`), and along each of its eigenvectors
    u, in units of V and with the variance :math:`\lambda` that C has there, the difference follows
    Student's distribution with about
    :math:`\nu = (K - 1) (1 + \lambda)^2 / \lambda^2` degrees of freedom (Welch and
    Satterthwaite). chi2 is the sum of the squares of what :func:`normal_score` makes of these.

    Args:
        direct: Yields of the events that pass, shape (n,).
        weighted: Yields weighted by the probability to pass, shape (n,).
        variance: Variance of their difference, shape (n,).
        minimum_events: Smallest effective number of events of a merged bin.
        covariance: Covariance of the weighted yields that is due to the efficiency where it is
            known exactly, shape (n, n); none by default.
        mean_weight: Generator weight of an event in each bin, shape (n,); 1 by default.
        replicas: Weighted yields by each replica, from which that covariance is estimated, shape
            (K, n); in place of the covariance.

    Returns:
        The outcome; with no bin that is large enough, ``ndf`` is 0 and the p-values NaN.

    Raises:
        DataError: The shapes do not fit, or a number is not finite.

    Example:
        >>> yields = np.array([12.0, 30.0]), np.array([10.0, 36.0]), np.array([4.0, 9.0])
        >>> closure_test(*yields, 4.0).chi2
        5.0
        >>> one = np.array([12.0]), np.array([10.0]), np.array([3.0])
        >>> closure_test(*one, 1.0, np.array([[1.0]])).chi2
        1.0
    """
    shape = np.shape(direct)
    for name, values in (("direct", direct), ("weighted", weighted), ("variance", variance)):
        require_entries(f"the yields {name!r}", values, shape)
    if not minimum_events > 0:
        msg = f"minimum_events is {minimum_events}; it must be above 0. Take 10, say."
        raise DataError(msg)
    scale = np.ones(shape) if mean_weight is None else np.nan_to_num(mean_weight, nan=1.0)
    merge = merged_bins(variance, minimum_events, scale)
    if not len(merge):
        return ClosureTest(0.0, 0, float("nan"), float("nan"), float("nan"))
    scatter = merge @ variance
    # In units of what tags scatter by, their covariance is the unit matrix.
    unit = np.sqrt(scatter)
    difference = merge @ (direct - weighted)
    if replicas is not None:
        by_replica = _checked_replicas(replicas, shape) @ merge.T
        chi2 = _estimated_chi2(difference / unit, by_replica / unit)
        pull = _estimated_pull(difference.sum(), scatter.sum(), by_replica.sum(axis=1))
    else:
        total = np.diag(scatter)
        if covariance is not None:
            require_entries("the covariance", covariance, (*shape, *shape))
            total = total + merge @ covariance @ merge.T
        chi2 = float(difference @ np.linalg.solve(total, difference))
        pull = float(difference.sum() / np.sqrt(total.sum()))
    ndf = len(merge)
    p_value = float(chdtrc(ndf, chi2))
    return ClosureTest(chi2, ndf, p_value, pull, float(2 * ndtr(-abs(pull))))


def _checked_replicas(replicas: Any, shape: tuple[int, ...]) -> FloatArray:
    """Return yields by each of at least two replicas; refuse what has not one per bin."""
    require_entries("the yields by each replica", replicas, (len(replicas), *shape))
    if len(replicas) < 2:
        msg = f"{len(replicas)} replicas tell of no spread; give at least {MIN_REPLICAS}"
        raise DataError(msg)
    return np.asarray(replicas, dtype=np.float64)


def _estimated_chi2(difference: FloatArray, replicas: FloatArray) -> float:
    """Return chi2 with the covariance of replicas; all is in units of the scatter of the tags."""
    variances, directions = np.linalg.eigh(shrunk_covariance(replicas))
    variances = np.clip(variances, 0, None)
    distance = directions.T @ difference / np.sqrt(1 + variances)
    freedom = _freedom(1.0, variances, len(replicas))
    return float(np.sum(normal_score(distance, freedom) ** 2))


def _estimated_pull(difference: float, scatter: float, replicas: FloatArray) -> float:
    """Return the pull of a sum, with the variance of the sums by each replica."""
    variance = float(replicas.var(ddof=1))
    distance = np.asarray(difference / np.sqrt(scatter + variance))
    return float(normal_score(distance, _freedom(scatter, np.asarray(variance), len(replicas))))


def _freedom(known: float, estimated: FloatArray, count: int) -> FloatArray:
    """Return the degrees of freedom of a known variance plus one that replicas estimate."""
    share = estimated / (known + estimated)
    return (count - 1) / np.maximum(share, 1e-9) ** 2


def normal_score(value: FloatArray, freedom: FloatArray) -> FloatArray:
    r"""Return the Gaussian number that is as improbable as one of Student's distribution.

    .. math:: x = \frac{8 \nu + 1}{8 \nu + 3} \sqrt{\nu \ln (1 + t^2 / \nu)}

    with the sign of t.

    Source: Wallace, Ann. Math. Statist. 30 (1959) 1121.

    Args:
        value: Numbers t, of any shape.
        freedom: Degrees of freedom of each, above 0, of that shape.

    Example:
        >>> normal_score(np.array([2.0, -3.5]), np.array([1e12, 7.0])).round(3).tolist()
        [2.0, -2.571]
    """
    size = np.sqrt(freedom * np.log1p(value**2 / freedom))
    return np.asarray(np.sign(value) * size * (8 * freedom + 1) / (8 * freedom + 3))


def sidak(p_value: float, share: float) -> float:
    r"""Return the p-value of several tests together, from that of one of them.

    .. math:: 1 - (1 - p)^{1 / w}

    The smallest of these over tests whose shares w sum to 1 is a p-value of all: uniform where they
    are independent, and too large rather than too small where they rise and fall together.

    Source: Sidak, J. Am. Stat. Assoc. 62 (1967) 626.

    Args:
        p_value: Of one test.
        share: Its share of the false alarms, in (0, 1]; 1 over the number of tests where all are
            alike.

    Example:
        >>> round(sidak(0.01, 0.5), 6)
        0.0199
    """
    if not p_value < 1:
        return p_value
    # Differences to 1 are lost for the p-values that matter most.
    return float(-np.expm1(np.log1p(-p_value) / share))


def merged_bins(
    variance: FloatArray, minimum: float, mean_weight: FloatArray | None = None
) -> FloatArray:
    r"""Merge bins with the next until they hold enough events; the rest joins the last one.

    A variance of weights is worth :math:`V / \bar w^2` events, so that the same bins are merged
    whatever the unit of the weights. For unit weights this is the variance itself.

    Args:
        variance: Variance of direct minus weighted yields, shape (n,).
        minimum: Smallest number of events of a merged bin.
        mean_weight: Generator weight of an event in each bin, shape (n,); 1 by default.

    Returns:
        1 where a bin of the second axis is part of a merged one, shape (n_merged, n).

    Example:
        >>> merged_bins(np.array([1.0, 2.0, 3.0, 1.0]), 3.0).tolist()
        [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]
    """
    size = len(variance)
    scale = np.ones(size) if mean_weight is None else mean_weight
    events = divide(variance, scale**2, 0.0)
    merged = np.zeros((size, size))
    count = 0
    first = 0
    total = 0.0
    for last, value in enumerate(events, start=1):
        total += value
        if total >= minimum:
            merged[count, first:last] = 1.0
            count += 1
            first = last
            total = 0.0
    if count:
        merged[count - 1, first:] = 1.0
    return merged[:count]
