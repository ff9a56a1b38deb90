"""From the replicas of an efficiency to the uncertainty of what is weighted with it, with its correlations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.stats import norm as normal
from scipy.stats import t as student

from truthtag.arrays import BoolArray, FloatArray, IntArray
from truthtag.data.jets import Jets
from truthtag.data.neighbours import nearest_jet
from truthtag.errors import DataError
from truthtag.estimators.predictions import Prediction

__all__ = [
    "Histogram",
    "Scale",
    "Variation",
    "correct",
    "covariance",
    "few_replicas",
    "measure_scales",
    "regions",
    "spread_scale",
]

SMALLEST = float(np.exp(-3))
"""Scales are sought from here on."""


def covariance(replicas: FloatArray) -> FloatArray:
    r"""Return the covariance of numbers that each replica gives.

    .. math:: C_{ij} = \frac{1}{K - 1} \sum_k (x^k_i - \bar x_i)(x^k_j - \bar x_j)

    Args:
        replicas: Numbers by each of K replicas, the yields in the bins of a histogram say, shape (K, n).

    Returns:
        Shape (n, n); NaN where there is only one replica, which tells of no spread.

    Raises:
        DataError: There is no replica, or a number is not finite.

    Example:
        >>> covariance(np.array([[1.0, 4.0], [3.0, 0.0]])).tolist()
        [[2.0, -4.0], [-4.0, 8.0]]
    """
    values = np.asarray(replicas, dtype=np.float64)
    if values.ndim != 2 or not len(values):
        msg = f"replicas have shape {values.shape}; they must have a row for each replica, at least one"
        raise DataError(msg)
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        msg = f"replica {row} is {values[row, column]} at position {column}; every number must be finite"
        raise DataError(msg)
    if len(values) == 1:
        return np.full((values.shape[1],) * 2, np.nan)
    difference = values - values.mean(axis=0)
    return np.asarray(difference.T @ difference / (len(values) - 1))


@dataclass(frozen=True, eq=False)
class Variation:
    """One of the independent ways in which a histogram may be wrong: an eigenvector of its covariance.

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
        covariance: Covariance of the yields that is due to the efficiency, shape (n, n).

    Example:
        >>> histogram = Histogram.of(np.array([2.0, 2.0]), np.array([[1.0, 4.0], [3.0, 0.0]]))
        >>> histogram.up.round(3).tolist(), histogram.down.round(3).tolist()
        ([3.414, 4.828], [0.586, -0.828])
        >>> [round(variation.share, 6) for variation in histogram.leading(1)]
        [1.0]
    """

    nominal: FloatArray
    covariance: FloatArray

    @classmethod
    def of(cls, nominal: FloatArray, replicas: FloatArray) -> Histogram:
        """Take the covariance from yields by each replica, shape (K, n).

        Raises:
            DataError: The shapes do not fit, or a number is not finite.
        """
        if np.shape(replicas)[1:] != np.shape(nominal):
            msg = f"replicas of shape {np.shape(replicas)} do not fit {np.shape(nominal)[0]} bins"
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
        """Correlation between bins, shape (n, n); 0 with a bin that does not vary, 1 with itself."""
        scale = np.where(self.error > 0, self.error, 1.0)
        correlation: FloatArray = self.covariance / np.outer(scale, scale)
        np.fill_diagonal(correlation, 1.0)
        return correlation

    def leading(self, count: int) -> list[Variation]:
        """Return the largest independent variations; the sum over all of ``change`` times itself is the covariance.

        Args:
            count: How many, at most as many as there are bins. The sign of each is such that its sum is positive.

        Raises:
            DataError: The covariance is not finite.
        """
        if not np.isfinite(self.covariance).all():
            msg = "the covariance is not finite: one replica tells of no spread. Use at least two."
            raise DataError(msg)
        values, vectors = np.linalg.eigh(self.covariance)
        values = np.clip(values, 0, None)
        total = values.sum()
        return [
            Variation(
                change=np.sqrt(values[i]) * vectors[:, i] * (-1 if vectors[:, i].sum() < 0 else 1),
                share=float(values[i] / total) if total > 0 else 0.0,
            )
            for i in np.argsort(-values)[:count]
        ]


@dataclass(frozen=True)
class Scale:
    """By how much the spread of replicas must be stretched to be the error of the efficiency.

    Attributes:
        scale: The factor.
        error: Its statistical error.
        regions: Number of regions in which tagged and predicted jets were compared: those where a tag can scatter.
        chi2: Of tagged minus predicted jets in the regions, with the covariance of the spread as it is.
        chi2_scaled: The same with the spread stretched.
    """

    scale: float
    error: float
    regions: int
    chi2: float
    chi2_scaled: float


def regions(jets: Jets, chosen: BoolArray, count: int) -> IntArray:
    """Cut jets into regions of equal numbers, halving again and again in pT, Delta R to the nearest jet, and abs(eta).

    Args:
        jets: The jets.
        chosen: Which of them to cut, shape (n_jets,).
        count: Number of regions; fewer where there are not so many jets.

    Returns:
        The region of each chosen jet, from 0, shape (n_chosen,).
    """
    closeness = 1 / (1 + nearest_jet(jets)[1])
    variables = np.stack([jets.pt, closeness, np.abs(jets.eta)], axis=1)[chosen]
    region = np.zeros(len(variables), dtype=np.int64)
    pieces = [(np.arange(len(variables)), 0, min(count, len(variables)), 0)]
    while pieces:
        rows, first, parts, depth = pieces.pop()
        if parts <= 1:
            region[rows] = first
            continue
        ordered = rows[np.argsort(variables[rows, depth % 3], kind="stable")]
        left = parts // 2
        middle = len(rows) * left // parts
        pieces.append((ordered[:middle], first, left, depth + 1))
        pieces.append((ordered[middle:], first + left, parts - left, depth + 1))
    return region


def spread_scale(
    is_tagged: BoolArray,
    values: FloatArray,
    replicas: FloatArray,
    region: IntArray,
    prior: float,
    largest: float = np.inf,
) -> Scale:
    r"""Measure by tags alone how much larger or smaller the error of an efficiency is than the spread of its replicas.

    In region r, tagged minus predicted jets has two sources of variance: the tags, which are independent, and the
    efficiency, whose error regions share,

    .. math:: d_r = \sum_{i \in r} (t_i - \epsilon_i), \quad \langle d_r d_q \rangle = \delta_{rq} S_r + s^2 C_{rq}, \quad
        S_r = \sum_{i \in r} \epsilon_i (1 - \epsilon_i), \quad
        C_{rq} = \mathrm{Cov}_k \Big(\sum_{i \in r} \epsilon^k_i, \sum_{i \in q} \epsilon^k_i\Big)

    s maximises the Gaussian likelihood of all :math:`d_r` times a prior, :math:`\ln s` Gaussian about 0. The prior
    matters: the tags of a sample smaller than the training sample tell little about errors that the training sample made.

    Args:
        is_tagged: Tags of jets that the efficiency was not learned from, shape (n_jets,).
        values: Their efficiencies, shape (n_jets,).
        replicas: The same by each replica, shape (n_replicas, n_jets).
        region: The region of each jet, numbered from 0, shape (n_jets,).
        prior: Standard deviation of ln s before the tags have spoken.
        largest: Largest scale. Where tags ask for more, the efficiency is wrong in a way that no replica knows of: closure
            should say so, and not a stretched error hide it.

    Returns:
        The scale; 1 with an infinite error where there is one replica only, and so no spread to stretch.
    """
    count = int(region.max(initial=-1)) + 1
    if len(replicas) < 2 or not count:
        return Scale(1.0, float("inf"), count, float("nan"), float("nan"))

    def summed(weights: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(region, weights.astype(np.float64), count), dtype=np.float64)

    difference, tags = summed(is_tagged - values), summed(values * (1 - values))
    # Where no tag can scatter, efficiencies of 0 say, no scale explains one.
    some = tags > np.finfo(float).tiny
    root = np.sqrt(tags[some])
    shared = _shrunk(np.stack([summed(replica)[some] / root for replica in replicas]))
    # Along the eigenvectors of C in units of the scatter of tags, all is independent.
    spread, directions = np.linalg.eigh(shared)
    spread, pulls = np.clip(spread, 0, None), (directions.T @ (difference[some] / root)) ** 2

    def total(log_scale: float) -> FloatArray:
        return np.asarray(1 + np.exp(2 * log_scale) * spread)

    def cost(log_scale: float) -> float:
        variance = total(log_scale)
        return float(
            0.5 * np.sum(np.log(variance) + pulls / variance) + 0.5 * (log_scale / prior) ** 2
        )

    best = float(
        minimize_scalar(
            cost, bounds=(np.log(SMALLEST), np.log(min(largest, 1 / SMALLEST))), method="bounded"
        ).x
    )
    scale = float(np.exp(best))
    # Fisher's information on ln s, and that of the prior.
    information = float(np.sum(2 * (1 - 1 / total(best)) ** 2)) + prior**-2
    chi2, chi2_scaled = (float(np.sum(pulls / total(x))) for x in (0.0, best))
    return Scale(scale, scale / float(np.sqrt(information)), len(root), chi2, chi2_scaled)


def _shrunk(replicas: FloatArray) -> FloatArray:
    r"""Return the covariance over few replicas, its correlations shrunk by as much as they are noise.

    .. math:: C_{ij} \to (1 - \lambda) C_{ij}, \quad
        \lambda = \sum_{i \ne j} \mathrm{Var}(C_{ij}) \Big/ \sum_{i \ne j} C_{ij}^2 \le 1

    K replicas span K - 1 directions; where there are more, the covariance as it is leaves directions without any error.

    Source: Schäfer and Strimmer, doi 10.2202/1544-6115.1175.
    """
    plain, count = covariance(replicas), len(replicas)
    difference = replicas - replicas.mean(axis=0)
    products = difference[:, :, None] * difference[:, None, :]
    noise = count / (count - 1) ** 3 * ((products - products.mean(axis=0)) ** 2).sum(axis=0)
    apart = ~np.eye(len(plain), dtype=bool)
    squares = float((plain[apart] ** 2).sum())
    share = min(1.0, float(noise[apart].sum()) / squares) if squares > 0 else 1.0
    return np.where(apart, (1 - share) * plain, plain)


def few_replicas(count: int) -> float:
    r"""Return what the spread of few replicas must be stretched by to be a standard deviation.

    .. math:: f_K = \sqrt{1 + 1/K}\; t_{K-1}(\Phi(1))

    K replicas know their own spread badly, and their mean is uncertain: a further number of the same origin lies within
    :math:`f_K` times their standard deviation of their mean with the probability of one Gaussian standard deviation,
    68.3%, by Student's distribution. It is 1.05 for 20 replicas, 2.25 for two.

    Args:
        count: Number of replicas; 1, for no stretch at all, where there is only one.

    Example:
        >>> round(few_replicas(20), 3)
        1.052
    """
    return (
        float(np.sqrt(1 + 1 / count) * student.ppf(normal.cdf(1), count - 1)) if count > 1 else 1.0
    )


def measure_scales(
    jets: Jets,
    prediction: Prediction,
    flavours: Mapping[str, int],
    count: int,
    prior: float,
    largest: float = np.inf,
) -> pd.DataFrame:
    """Measure the scale of every flavour.

    Args:
        jets: A tagged sample that the efficiency was not learned from.
        prediction: The efficiency on it, with replicas.
        flavours: Numbers of the hadron flavours, by name.
        count: Regions per flavour.
        prior: As in :func:`spread_scale`.
        largest: As in :func:`spread_scale`.

    Returns:
        A row per flavour: ``flavour, number, jets``; ``scale`` and its ``error``, the product of ``few_replicas``
        (:func:`few_replicas`) and ``from_tags`` (:func:`spread_scale` of a spread that is stretched by the first);
        ``regions, chi2, chi2_scaled``.

    Raises:
        DataError: The sample has no tags, or the prediction no replicas.
    """
    if jets.is_tagged is None or prediction.replicas is None:
        msg = "the error of an efficiency is measured with tags and replicas; the sample or the prediction lacks them"
        raise DataError(msg)
    rows, few = [], few_replicas(len(prediction.replicas))
    mean = prediction.replicas.mean(axis=0)
    for name, number in flavours.items():
        chosen = jets.flavour == number
        region = regions(jets, chosen, count)
        stretched = mean[chosen] + few * (prediction.replicas[:, chosen] - mean[chosen])
        found = asdict(
            spread_scale(
                jets.is_tagged[chosen], prediction.values[chosen], stretched, region, prior, largest
            )
        )
        from_tags, error = found.pop("scale"), found.pop("error")
        product = {
            "scale": few * from_tags,
            "error": few * error,
            "few_replicas": few,
            "from_tags": from_tags,
        }
        rows.append(
            {"flavour": name, "number": number, "jets": int(chosen.sum()), **product, **found}
        )
    return pd.DataFrame(rows)


def correct(prediction: Prediction, jets: Jets, scales: Mapping[int, float]) -> Prediction:
    r"""Stretch the spread of the replicas, and centre it on the efficiency.

    .. math:: \epsilon^k \to \epsilon + s_f (\epsilon^k - \langle \epsilon^k \rangle), \quad \text{clipped to } [0, 1]

    Args:
        prediction: An efficiency on a sample; without replicas it comes back as it is.
        jets: The sample.
        scales: The scale of each hadron flavour; 1 for flavours that are not there.
    """
    if prediction.replicas is None:
        return prediction
    scale = np.ones(jets.n_jets, dtype=np.float32)
    for number, value in scales.items():
        scale[jets.flavour == number] = value
    difference = prediction.replicas - prediction.replicas.mean(axis=0)
    replicas = np.clip(prediction.values.astype(np.float32) + scale * difference, 0, 1)
    return replace(prediction, replicas=replicas)
