"""Closure: histograms filled with tagged events and with weights, and whether they differ by more than they may."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import boost_histogram as bh
import numpy as np
import pandas as pd
from scipy.stats import chi2 as chi2_distribution

from truthtag.arrays import BoolArray, FloatArray, IntArray, divide
from truthtag.data.jets import Jets
from truthtag.data.kinematics import delta_r, invariant_mass
from truthtag.errors import DataError
from truthtag.statistics.uncertainty import Histogram
from truthtag.weights.tag_counts import tag_probabilities

__all__ = [
    "ClosureTest",
    "Entries",
    "Pairs",
    "closure_histogram",
    "closure_test",
    "dijet",
    "merged_bins",
    "replica_yields",
]


@dataclass(frozen=True, eq=False)
class Entries:
    """What fills one closure histogram: an entry per event, passing or not.

    Args:
        values: The variable of the histogram, shape (m,).
        weight: Generator weights, shape (m,).
        passed: Whether the tagger's own decisions pass the event, shape (m,).
        probability: Probability that the event passes, by the name of the efficiency, each of shape (m,).
        replicas: The same by each replica, for efficiencies that have some, each of shape (n_replicas, m).
    """

    values: FloatArray
    weight: FloatArray
    passed: BoolArray
    probability: Mapping[str, FloatArray]
    replicas: Mapping[str, FloatArray] = field(default_factory=dict)

    def where(self, chosen: BoolArray) -> Entries:
        """Return the entries of some events."""
        probability = {name: p[chosen] for name, p in self.probability.items()}
        replicas = {name: p[:, chosen] for name, p in self.replicas.items()}
        return Entries(
            self.values[chosen], self.weight[chosen], self.passed[chosen], probability, replicas
        )


@dataclass(frozen=True, eq=False)
class Pairs:
    """The two leading jets of each event, as entries of histograms.

    Args:
        delta_r: Entries in their Delta R.
        mass: Entries in their invariant mass [GeV].
        jets: Positions of the two jets in the sample, shape (m, 2).
        tagged: Positions of those that must be tagged, shape (m, 1) or (m, 2).
    """

    delta_r: Entries
    mass: Entries
    jets: IntArray
    tagged: IntArray


def dijet(
    jets: Jets,
    efficiencies: Mapping[str, FloatArray],
    both: bool = True,
    replicas: Mapping[str, FloatArray] | None = None,
) -> Pairs:
    """Prepare Delta R and invariant mass of the two leading jets of each event.

    Args:
        jets: A tagged sample.
        efficiencies: Efficiencies of the jets by name, each of shape (n_jets,).
        both: Require both jets to be tagged; otherwise only the leading one.
        replicas: Efficiencies by each replica, by name, each of shape (n_replicas, n_jets).

    Raises:
        DataError: The sample has no tags.
    """
    if jets.is_tagged is None:
        msg = "closure compares with the tags; the sample has no column 'is_tagged'"
        raise DataError(msg)
    events, pair = jets.leading_jets(2)
    chosen = pair if both else pair[:, :1]
    passed = np.asarray(jets.is_tagged[chosen].all(axis=1))
    probability = {
        name: tag_probabilities(eff[chosen])[..., -1] for name, eff in efficiencies.items()
    }
    by_replica = {
        name: tag_probabilities(eff[:, chosen])[..., -1] for name, eff in (replicas or {}).items()
    }
    eta, phi = jets.eta[pair], jets.phi[pair]
    distance = delta_r(eta[:, 0], phi[:, 0], eta[:, 1], phi[:, 1])
    mass = invariant_mass(jets.pt[pair], eta, phi, jets.mass[pair])
    weight = jets.weight[events]
    return Pairs(
        Entries(distance, weight, passed, probability, by_replica),
        Entries(mass, weight, passed, probability, by_replica),
        pair,
        chosen,
    )


def closure_histogram(entries: Entries, edges: FloatArray, reference: str = "true") -> pd.DataFrame:
    r"""Fill one histogram directly and weighted by each efficiency, with the errors of their comparison.

    Direct and weighted yields share their events, so the variance of their difference is not the sum of two: with
    :math:`p_e` the probability that event e passes,

    .. math:: \mathrm{Var}\Big(\sum_e w_e [\mathrm{passed}_e - p_e]\Big) = \sum_e w_e^2\, p_e (1 - p_e).

    Two weighted yields share all their events, too: their ratio :math:`R = \sum w p / \sum w q` has the variance
    :math:`\sum w^2 (p - R q)^2 / (\sum w q)^2`.

    Args:
        entries: What to fill; events outside the edges are left out.
        edges: Bin edges, rising.
        reference: The efficiency that ratios are taken to, where it is among the entries.

    Returns:
        A row per way of filling (``direct`` first) and bin: ``filled_by, low, high, yield, error`` (of the yield
        itself, events being drawn anew), ``effective_events`` behind it, ``difference_variance`` (of direct minus this,
        NaN for direct), ``ratio, ratio_error`` (to the reference; for direct, the expected scatter about it),
        ``efficiency_error`` (that of the efficiency alone, NaN where it has no replicas), ``gain, gain_total`` (the
        relative error of direct tagging over that of this, without and with the efficiency's; NaN where no event passes),
        and the yield by each replica in ``replica_0, replica_1, ...``.
    """
    filled = {"direct": entries.passed.astype(np.float64), **entries.probability}
    frames = {name: _filled(entries, edges, name, p) for name, p in filled.items()}
    direct = divide(
        frames["direct"]["error"].to_numpy(), frames["direct"]["yield"].abs().to_numpy()
    )
    for name, frame in frames.items():
        total, squares = frame["yield"].to_numpy(), frame["error"].to_numpy() ** 2
        frame["ratio"], frame["ratio_error"] = _ratio(
            entries, edges, name, filled, frames, reference
        )
        both = squares + frame["efficiency_error"].to_numpy() ** 2
        for column, variance in (("gain", squares), ("gain_total", both)):
            frame[column] = (
                np.nan if name == "direct" else divide(direct * np.abs(total), np.sqrt(variance))
            )
    table = pd.concat(frames.values(), ignore_index=True)
    by_replica = [column for column in table if str(column).startswith("replica_")]
    return table[[*(column for column in table if column not in by_replica), *by_replica]]


def replica_yields(rows: pd.DataFrame) -> FloatArray:
    """Return the yields by each replica in the rows of one way of filling, shape (n_replicas, n); none without replicas."""
    return rows.filter(regex=r"^replica_\d+$").dropna(axis="columns").to_numpy().T


def _filled(entries: Entries, edges: FloatArray, name: str, p: FloatArray) -> pd.DataFrame:
    """Fill a histogram one way."""
    w = entries.weight
    total, squares = _fill(entries.values, edges, w * p), _fill(entries.values, edges, (w * p) ** 2)
    spread = _fill(entries.values, edges, w**2 * p * (1 - p))
    templates = [
        _fill(entries.values, edges, w * replica) for replica in entries.replicas.get(name, ())
    ]
    columns = {
        "low": edges[:-1],
        "high": edges[1:],
        "yield": total,
        "error": np.sqrt(squares),
        "effective_events": divide(total**2, squares, 0.0),
        "difference_variance": np.nan if name == "direct" else spread,
        "efficiency_error": Histogram.of(total, np.stack(templates)).error if templates else np.nan,
    }
    by_replica = {f"replica_{number}": template for number, template in enumerate(templates)}
    return pd.DataFrame({"filled_by": name, **columns, **by_replica})


def _ratio(
    entries: Entries,
    edges: FloatArray,
    name: str,
    filled: Mapping[str, FloatArray],
    frames: Mapping[str, pd.DataFrame],
    reference: str,
) -> tuple[FloatArray, FloatArray]:
    """Return the ratio of one way of filling to the reference, and its error; NaN where there is no reference."""
    if reference not in filled:
        nothing = np.full(len(edges) - 1, np.nan)
        return nothing, nothing
    w, p, base = entries.weight, filled[name], filled[reference]
    total, base_yield = (frames[way]["yield"].to_numpy() for way in (name, reference))
    ratio = divide(total, base_yield)
    if name == "direct":
        variance = _fill(entries.values, edges, w**2 * base * (1 - base))
    else:
        bins = np.clip(np.searchsorted(edges, entries.values, side="right") - 1, 0, len(ratio) - 1)
        variance = _fill(entries.values, edges, w**2 * (p - ratio[bins] * base) ** 2)
    return ratio, divide(np.sqrt(variance), base_yield)


@dataclass(frozen=True)
class ClosureTest:
    """Outcome of comparing a weighted histogram with the direct one.

    Attributes:
        chi2: Difference squared over its variance, summed over bins; with correlations where there are.
        ndf: Number of bins, after merging those with too few expected events.
        p_value: Probability of a larger chi2 if the efficiency is right.
    """

    chi2: float
    ndf: int
    p_value: float


def closure_test(
    direct: FloatArray,
    weighted: FloatArray,
    variance: FloatArray,
    minimum_variance: float,
    covariance: FloatArray | None = None,
) -> ClosureTest:
    r"""Test that direct yields scatter about weighted ones as they should.

    .. math:: \chi^2 = d^T (V + C)^{-1} d, \quad d = \mathrm{direct} - \mathrm{weighted}, \quad V_{bb} = \sum_{e \in b} w_e^2\, p_e (1 - p_e)

    V is what the tags of these events scatter by, C what the efficiency's own statistical error adds; without C, the
    sum over bins of squared pulls. Nothing was fitted to these events, so each bin counts as a degree of freedom. Bins are
    merged with the next until the variance is large enough for a Gaussian; what is left over at the end joins the last one.

    Args:
        direct: Yields of the events that pass, shape (n,).
        weighted: Yields weighted by the probability to pass, shape (n,).
        variance: Variance of their difference, shape (n,).
        minimum_variance: Smallest variance of a merged bin; for unit weights, about the expected number of events.
        covariance: Covariance of the weighted yields that is due to the efficiency, shape (n, n); none by default.

    Returns:
        The outcome; with no bin that is large enough, ``ndf`` is 0 and the p-value NaN.

    Example:
        >>> closure_test(np.array([12.0, 30.0]), np.array([10.0, 36.0]), np.array([4.0, 9.0]), 4.0).chi2
        5.0
        >>> closure_test(np.array([12.0]), np.array([10.0]), np.array([3.0]), 1.0, np.array([[1.0]])).chi2
        1.0
    """
    merge = merged_bins(variance, minimum_variance)
    difference, total = merge @ (direct - weighted), np.diag(merge @ variance)
    if covariance is not None:
        total = total + merge @ covariance @ merge.T
    ndf = len(merge)
    if not ndf:
        return ClosureTest(0.0, 0, float("nan"))
    value = float(difference @ np.linalg.solve(total, difference))
    return ClosureTest(value, ndf, float(chi2_distribution.sf(value, ndf)))


def merged_bins(variance: FloatArray, minimum: float) -> FloatArray:
    """Merge bins with the next until the variance is large enough; what is left over at the end joins the last one.

    Returns:
        1 where a bin of the second axis is part of a merged one, shape (n_merged, n).

    Example:
        >>> merged_bins(np.array([1.0, 2.0, 3.0, 1.0]), 3.0).tolist()
        [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]
    """
    merged, first, total = np.zeros((len(variance), len(variance))), 0, 0.0
    count = 0
    for last, value in enumerate(variance, start=1):
        total += value
        if total >= minimum:
            merged[count, first:last] = 1.0
            count, first, total = count + 1, last, 0.0
    if count:
        merged[count - 1, first:] = 1.0
    return merged[:count]


def _fill(values: FloatArray, edges: FloatArray, weight: FloatArray) -> FloatArray:
    """Sum weights in bins."""
    histogram = bh.Histogram(bh.axis.Variable(edges), storage=bh.storage.Double())
    histogram.fill(values, weight=weight)
    return np.asarray(histogram.values())
