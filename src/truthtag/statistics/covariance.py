"""Errors and correlations of numbers that are made with an efficiency, from its replicas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from truthtag.arrays import FloatArray, plain_array
from truthtag.errors import DataError

__all__ = ["Histogram", "Variation", "covariance", "shrunk_covariance"]


def covariance(replicas: FloatArray) -> FloatArray:
    r"""Return the covariance of numbers that each replica gives.

    .. math:: C_{ij} = \frac{1}{K - 1} \sum_k (x^k_i - \bar x_i)(x^k_j - \bar x_j)

    Args:
        replicas: Numbers by each of K replicas, such as the yields in the bins of a histogram,
            shape (K, n).

    Returns:
        Shape (n, n); NaN where there is only one replica, which tells of no spread.

    Raises:
        DataError: There is no replica, or a number is masked, complex or not finite.

    Example:
        >>> covariance(np.array([[1.0, 4.0], [3.0, 0.0]])).tolist()
        [[2.0, -4.0], [-4.0, 8.0]]
    """
    values = _numbers(replicas, "replicas")
    if values.ndim != 2 or not len(values):
        msg = (
            f"replicas have shape {values.shape}; they must have a row for each replica, "
            "at least one"
        )
        raise DataError(msg)
    wrong = ~np.isfinite(values)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        msg = (
            f"replica {row} is {values[row, column]} at position {column}; "
            "every number must be finite"
        )
        raise DataError(msg)
    n_replicas, n_numbers = values.shape
    if n_replicas == 1:
        return np.full((n_numbers, n_numbers), np.nan)
    difference = values - values.mean(axis=0)
    return np.asarray(difference.T @ difference / (n_replicas - 1))


def shrunk_covariance(replicas: FloatArray) -> FloatArray:
    r"""Return the covariance over few replicas, its correlations shrunk by their share of noise.

    .. math:: C_{ij} \to (1 - \lambda) C_{ij}, \quad
        \lambda = \sum_{i \ne j} \mathrm{Var}(C_{ij}) \Big/ \sum_{i \ne j} C_{ij}^2 \le 1

    K replicas span K - 1 directions; where there are more, the covariance as it is leaves
    directions without any error.

    Args:
        replicas: Numbers by each of K replicas, at least two, shape (K, n).

    Returns:
        Shape (n, n).

    Source: Schäfer and Strimmer, doi 10.2202/1544-6115.1175.
    """
    count = len(replicas)
    plain = covariance(replicas)
    # The variance of an element, from the scatter of the products whose mean it is.
    difference = replicas - replicas.mean(axis=0)
    products = difference[:, :, None] * difference[:, None, :]
    scatter = ((products - products.mean(axis=0)) ** 2).sum(axis=0)
    noise = count / (count - 1) ** 3 * scatter
    # Variances stay; only what is off the diagonal is shrunk.
    off_diagonal = ~np.eye(len(plain), dtype=bool)
    squares = float((plain[off_diagonal] ** 2).sum())
    share = 1.0
    if squares > 0:
        share = min(1.0, float(noise[off_diagonal].sum()) / squares)
    return np.where(off_diagonal, (1 - share) * plain, plain)


@dataclass(frozen=True, eq=False)
class Variation:
    """One of the independent ways in which a histogram may be wrong: an eigenvector.

    Args:
        change: The change of each bin at one standard deviation, shape (n,).
        share: Its part of the sum of all variances.
    """

    change: FloatArray
    share: float


@dataclass(frozen=True, eq=False)
class Histogram:
    """Yields in bins, and what an efficiency's statistical error makes uncertain in them.

    Args:
        nominal: Yields, shape (n,).
        covariance: Covariance of the yields that is due to the efficiency, shape (n, n); NaN where
            it is not known.

    Raises:
        DataError: A number is masked or complex, a yield is not finite, or the shapes do not fit.

    Example:
        >>> replicas = np.array([[1.0, 4.0], [3.0, 0.0]])
        >>> histogram = Histogram.from_replicas(np.array([2.0, 2.0]), replicas)
        >>> histogram.up.round(3).tolist(), histogram.down.round(3).tolist()
        ([3.414, 4.828], [0.586, -0.828])
        >>> [round(variation.share, 6) for variation in histogram.eigenvariations(1)]
        [1.0]
    """

    nominal: FloatArray
    covariance: FloatArray

    def __post_init__(self) -> None:
        nominal = _numbers(self.nominal, "nominal yields")
        if nominal.ndim != 1:
            msg = f"nominal yields have shape {nominal.shape}; they must have one number per bin"
            raise DataError(msg)
        wrong = ~np.isfinite(nominal)
        if wrong.any():
            place = int(np.argmax(wrong))
            msg = f"the nominal yield of bin {place} is {nominal[place]}; it must be finite"
            raise DataError(msg)
        matrix = _numbers(self.covariance, "covariance")
        if matrix.shape != (len(nominal), len(nominal)):
            msg = f"covariance has shape {matrix.shape}; it does not fit {len(nominal)} bins"
            raise DataError(msg)
        object.__setattr__(self, "nominal", nominal)
        object.__setattr__(self, "covariance", matrix)

    @classmethod
    def from_replicas(cls, nominal: FloatArray, replicas: FloatArray) -> Histogram:
        """Take the covariance from yields by each replica.

        Args:
            nominal: Yields, shape (n,).
            replicas: Yields by each of K replicas, shape (K, n).

        Raises:
            DataError: The shapes do not fit, or a number is masked, complex or not finite.
        """
        if np.shape(replicas)[1:] != np.shape(nominal):
            msg = f"replicas of shape {np.shape(replicas)} do not fit {np.size(nominal)} bins"
            raise DataError(msg)
        return cls(nominal, covariance(replicas))

    @property
    def error(self) -> FloatArray:
        """Standard deviation of each bin, shape (n,)."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def up(self) -> FloatArray:
        """Yields where every bin is one standard deviation higher, shape (n,)."""
        return self.nominal + self.error

    @property
    def down(self) -> FloatArray:
        """Yields where every bin is one standard deviation lower, shape (n,)."""
        return self.nominal - self.error

    @property
    def correlation(self) -> FloatArray:
        """Correlation between bins, shape (n, n).

        A bin that does not vary has 0 with the others, and 1 with itself.
        """
        scale = np.where(self.error > 0, self.error, 1.0)
        correlation: FloatArray = self.covariance / np.outer(scale, scale)
        np.fill_diagonal(correlation, 1.0)
        return correlation

    def eigenvariations(self, count: int) -> list[Variation]:
        r"""Return the largest independent variations, the largest first.

        .. math:: C = \sum_v \Delta_v \Delta_v^T

        The sum runs over the variations of all eigenvectors, with :math:`\Delta_v` their
        ``change``. Its sign is such that the sum over the bins is positive.

        Args:
            count: How many, at least 0; at most as many as there are bins come back.

        Raises:
            DataError: The covariance is not finite, or the count is negative.
        """
        if count < 0:
            msg = f"eigenvariations: {count} were asked for; ask for 0 or more"
            raise DataError(msg)
        if not np.isfinite(self.covariance).all():
            msg = "the covariance is not finite: one replica tells of no spread. Use at least two."
            raise DataError(msg)
        variances, vectors = np.linalg.eigh(self.covariance)
        # Rounding makes variances of zero slightly negative.
        variances = np.clip(variances, 0, None)
        total = variances.sum()
        result = []
        for i in np.argsort(-variances)[:count]:
            vector = vectors[:, i]
            sign = -1 if vector.sum() < 0 else 1
            change = np.sqrt(variances[i]) * vector * sign
            share = float(variances[i] / total) if total > 0 else 0.0
            result.append(Variation(change, share))
        return result


def _numbers(values: Any, name: str) -> FloatArray:
    """Return values as float64; refuse masked entries and what is no real number."""
    array = plain_array(values, name)
    if array.dtype.kind not in "biuf":
        msg = f"{name}: holds {array.dtype} values; give numbers"
        raise DataError(msg)
    return np.asarray(array, dtype=np.float64)
