r"""What the spread of an ensemble is made of: partners that learned from the same events tell.

The difference of a network k from the mean has two parts: that of the resample r that it learned
from, which its partners share, and that of the start and the order of its training,

.. math:: \epsilon_{rk} = \epsilon + a_r + b_{rk}, \quad \mathrm{Var}(a) = q\,\sigma^2,
    \quad \mathrm{Var}(b) = (1 - q)\,\sigma^2

The mean of K networks has the first part of the training sample itself, which no number of networks
averages away, and a K-th of the variance of the second. Its error is the spread times

.. math:: \sqrt{q\,(1 + n) + (1 - q) / K}

where n is what drawing resamples adds: :math:`\sum_r (K_r / K)^2 - 1/R` for R balanced resamples
with :math:`K_r` networks each, which is 0 where they have as many.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr, stdtrit

from truthtag.arrays import FloatArray, IntArray, plain_array
from truthtag.errors import DataError

__all__ = ["MeanError", "PartnerSums", "SamplingShare", "error_of_mean", "sampling_share"]

CLIP = 1e-6
"""Efficiencies nearer to 0 or 1 have the weight of this one: that of 0 would be infinite."""


@dataclass(frozen=True)
class SamplingShare:
    """How much of the variance of replicas is that of the training sample.

    Attributes:
        share: The share q, from 0 to 1.
        error: Its statistical error, by the jackknife over resamples; NaN with two of them.
        resamples: Number of resamples.
    """

    share: float
    error: float
    resamples: int


@dataclass(frozen=True)
class MeanError:
    r"""What the spread of replicas is multiplied by to be the error of their mean.

    Attributes:
        of_mean: The error of the mean in units of the spread, as above.
        small_sample: What few replicas must be stretched by: the quantile of Student's
            distribution that holds 68.3%, with the degrees of freedom that the spread has, over the
            share of the variance that so few resamples show.
    """

    of_mean: float
    small_sample: float


def sampling_share(replicas: FloatArray, resample: Sequence[int]) -> SamplingShare | None:
    r"""Measure how much of the variance of replicas partners have in common.

    It is the analysis of variance in one direction: with the sums of squares within and between
    resamples, for K replicas of R resamples,

    .. math:: \hat\sigma_b^2 = \frac{SS_w}{K - R}, \quad
        \hat\sigma_a^2 = \frac{1}{m} \Big(\frac{SS_b}{R - 1} - \hat\sigma_b^2\Big), \quad
        m = \frac{K - \sum_r K_r^2 / K}{R - 1}

    All squares are sums over jets, divided by :math:`\epsilon (1 - \epsilon)`: so weighted, a
    squared difference is twice the regret that it costs. No tags are needed.

    Source: Searle, Casella and McCulloch, *Variance Components*, doi 10.1002/9780470316856.

    Args:
        replicas: Efficiencies of jets by each replica, shape (n_replicas, n_jets).
        resample: Which resample each learned from, shape (n_replicas,).

    Returns:
        None where it cannot be measured: with one resample, without partners, without jets, or
        where all replicas agree.

    Raises:
        DataError: The numbers of resamples are not one integer for each replica.

    Example:
        >>> alike = np.array([[0.4], [0.4], [0.6], [0.6]])
        >>> sampling_share(alike, [0, 0, 1, 1]).share
        1.0
    """
    sums = PartnerSums(resample)
    sums.add(replicas)
    return sums.share()


class PartnerSums:
    """The share of :func:`sampling_share`, of jets that are given block by block.

    Args:
        resample: Which resample each replica learned from, shape (n_replicas,).
    """

    def __init__(self, resample: Sequence[int]) -> None:
        self._resample = resample
        self._products: FloatArray | float = 0.0
        self._within: FloatArray | float = 0.0
        self._n_jets = 0

    def add(self, replicas: FloatArray) -> None:
        """Add jets; arguments and errors are those of :func:`sampling_share`."""
        replicas = np.asarray(replicas, dtype=np.float64)
        labels = _labels(self._resample, len(replicas))
        count = int(labels.max(initial=-1)) + 1
        self._n_jets += replicas.shape[1]
        if not replicas.shape[1] or not count:
            return
        mean = np.clip(replicas.mean(axis=0), CLIP, 1 - CLIP)
        # In these units the sum of squares over jets is one number.
        scaled = (replicas - mean) / np.sqrt(mean * (1 - mean))
        of_resamples = np.stack([scaled[labels == number].mean(axis=0) for number in range(count)])
        squares = np.square(scaled - of_resamples[labels]).sum(axis=1)
        self._within = self._within + np.bincount(labels, squares)
        self._products = self._products + of_resamples @ of_resamples.T

    def share(self) -> SamplingShare | None:
        """Return the share of all jets so far, as :func:`sampling_share` does."""
        sizes = np.bincount(_labels(self._resample, len(self._resample)))
        if not _has_partners(sizes) or not self._n_jets:
            return None
        products = np.asarray(self._products)
        within = np.asarray(self._within)
        share = _share(products, within, sizes)
        if not math.isfinite(share):
            return None
        inside = min(max(share, 0.0), 1.0)
        return SamplingShare(inside, _jackknife(products, within, sizes), len(sizes))


def error_of_mean(share: float, resample: Sequence[int]) -> MeanError:
    """Return by what the spread of replicas must be multiplied to be the error of their mean.

    Args:
        share: The share of :func:`sampling_share`.
        resample: Which of the balanced resamples each replica learned from, shape (n_replicas,).

    Raises:
        DataError: The share is not in [0, 1], there are no partners, or labels are wrong.

    Example:
        >>> pairs = error_of_mean(0.5, [*range(10), *range(10)])
        >>> round(pairs.of_mean, 3), round(pairs.small_sample, 3)
        (0.725, 1.048)
    """
    if not 0 <= share <= 1:
        msg = f"the share of the sample in the variance is {share}; it must lie in [0, 1]"
        raise DataError(msg)
    labels = _labels(resample, len(resample))
    sizes = np.bincount(labels)
    if not _has_partners(sizes):
        msg = (
            f"{len(labels)} replicas of {len(sizes)} resamples: at least two resamples are needed, "
            "and one with two replicas"
        )
        raise DataError(msg)
    count = len(labels)
    between = len(sizes) - 1
    within = count - len(sizes)
    drawing = float(np.sum((sizes / count) ** 2)) - 1 / len(sizes)
    of_mean = math.sqrt(share * (1 + drawing) + (1 - share) / count)
    # Expected mean squares between and within resamples, in units of the variance of a replica.
    square_between = _partners_each(sizes) * share + 1 - share
    square_within = 1 - share
    seen = (between * square_between + within * square_within) / (count - 1)
    scatter = between * square_between**2 + within * square_within**2
    # Satterthwaite's approximation, doi 10.2307/3002019.
    freedom = (seen * (count - 1)) ** 2 / scatter
    quantile = float(stdtrit(freedom, ndtr(1.0)))
    return MeanError(of_mean, quantile / math.sqrt(seen))


def _share(products: FloatArray, within: FloatArray, sizes: IntArray) -> float:
    """Return the share, from scalar products of the means of resamples; NaN without a spread.

    By chance it can lie outside [0, 1].

    Args:
        products: Scalar products over jets of the means of resamples, shape (R, R).
        within: Sums of squares about them, shape (R,).
        sizes: Number of replicas of each, shape (R,).
    """
    count = int(sizes.sum())
    weights = sizes / count
    # The sum of squares about the mean of all: it may be any of their means, but for that.
    between = float(sizes @ np.diag(products)) - count * float(weights @ products @ weights)
    noise = float(within.sum()) / (count - len(sizes))
    of_sample = (between / (len(sizes) - 1) - noise) / _partners_each(sizes)
    total = of_sample + noise
    return of_sample / total if total > 0 else math.nan


def _jackknife(products: FloatArray, within: FloatArray, sizes: IntArray) -> float:
    """Return the standard error of the share, leaving out one resample at a time."""
    count = len(sizes)
    shares = []
    for left_out in range(count):
        kept = np.arange(count) != left_out
        if not _has_partners(sizes[kept]):
            return math.nan
        shares.append(_share(products[np.ix_(kept, kept)], within[kept], sizes[kept]))
    return math.sqrt((count - 1) * float(np.var(shares)))


def _partners_each(sizes: IntArray) -> float:
    """Return how many replicas a resample has, on average over resamples as variances need it."""
    count = float(sizes.sum())
    return (count - float(np.sum(sizes**2)) / count) / (len(sizes) - 1)


def _has_partners(sizes: IntArray) -> bool:
    return len(sizes) > 1 and bool((sizes > 1).any())


def _labels(resample: Any, count: int) -> IntArray:
    """Return the resample of each replica, numbered from 0 without gaps."""
    array = plain_array(resample, "resamples")
    if array.shape != (count,) or array.dtype.kind not in "iu":
        msg = (
            f"resamples of {count} replicas have shape {array.shape} and type {array.dtype}; give "
            "one integer for each replica"
        )
        raise DataError(msg)
    return np.asarray(np.unique(array, return_inverse=True)[1])
