"""Closure: histograms of tagged and of weighted events, and how far the two may differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from truthtag.arrays import AnyArray, BoolArray, FloatArray, divide
from truthtag.data.axes import bin_index, check_edges
from truthtag.errors import DataError
from truthtag.statistics.closure_tests import (
    MIN_REPLICAS,
    ClosureTest,
    closure_test,
    require_entries,
)
from truthtag.statistics.covariance import Histogram, covariance
from truthtag.statistics.spread import student_quantile

__all__ = [
    "DIRECT",
    "REPLICA",
    "ClosureHistogram",
    "Entries",
    "Filling",
    "histograms_in",
]

DIRECT = "direct"
"""The way of filling that counts the events that pass."""

REPLICA = "replica_"
"""What the columns with the yields by replica begin with."""


@dataclass(frozen=True, eq=False)
class Entries:
    """What fills one closure histogram: an entry per event, passing or not.

    Args:
        values: The variable of the histogram, shape (m,).
        weight: Generator weights, shape (m,).
        passed: Whether the tagger's own decisions pass the event, shape (m,).
        probability: Probability that the event passes, by the name of the efficiency, each of
            shape (m,).
        replicas: The same by each replica, for efficiencies that have some, each of shape
            (n_replicas, m).

    Raises:
        DataError: A value is masked or not finite, or the shapes do not fit.
    """

    values: FloatArray
    weight: FloatArray
    passed: BoolArray
    probability: Mapping[str, FloatArray]
    replicas: Mapping[str, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        size = np.shape(self.values)
        require_entries("the variable of the histogram", self.values, size)
        require_entries("the weights", self.weight, size)
        require_entries("passed", self.passed, size)
        for name, one in self.probability.items():
            require_entries(f"the probability by {name!r}", one, size)
        for name, some in self.replicas.items():
            require_entries(f"the replicas of {name!r}", some, (len(some), *size))

    def where(self, chosen: BoolArray) -> Entries:
        """Return the entries of some events."""
        probability = {name: p[chosen] for name, p in self.probability.items()}
        replicas = {name: p[:, chosen] for name, p in self.replicas.items()}
        return Entries(
            self.values[chosen], self.weight[chosen], self.passed[chosen], probability, replicas
        )


@dataclass(frozen=True, eq=False)
class Filling:
    """One way of filling a closure histogram, bin by bin.

    Args:
        total: Yields, shape (n,).
        error: Statistical errors of the yields, events being drawn anew, shape (n,).
        difference_variance: Variance of direct minus this, shape (n,); NaN for direct.
        effective_events: Events of weight 1 that have the same relative error, shape (n,).
        mean_weight: Generator weight of an event in the bin, :math:`\\sum w^2 p / \\sum |w| p`,
            shape (n,): 1 where all weights are 1 or -1. It tells how many events a variance is
            worth.
        ratio: Ratio to the reference, shape (n,); NaN where there is none.
        ratio_error: Its error, shape (n,); for direct, the expected scatter about the reference.
        replicas: Yields by each replica, shape (n_replicas, n); none without replicas.
    """

    total: FloatArray
    error: FloatArray
    effective_events: FloatArray
    difference_variance: FloatArray
    mean_weight: FloatArray
    ratio: FloatArray
    ratio_error: FloatArray
    replicas: FloatArray

    @property
    def covariance(self) -> FloatArray | None:
        """Covariance of the yields due to the efficiency, (n, n); None below two replicas."""
        return covariance(self.replicas) if len(self.replicas) > 1 else None

    @property
    def efficiency_error(self) -> FloatArray:
        """Error of the yields that is due to the efficiency, shape (n,); NaN without replicas."""
        if not len(self.replicas):
            return np.full(len(self.total), np.nan)
        return Histogram.from_replicas(self.total, self.replicas).error

    @property
    def uncertainty_of_sum(self) -> float:
        """Relative error of the sum over bins that is due to the efficiency; NaN without."""
        if self.covariance is None:
            return np.nan
        error = np.sqrt(max(float(self.covariance.sum()), 0.0))
        return float(divide(error, abs(self.total.sum())))

    def gain(self, direct: Filling, with_efficiency: bool) -> FloatArray:
        """Return the relative error of direct tagging over that of this, shape (n,).

        Args:
            direct: The histogram filled directly.
            with_efficiency: Whether the efficiency's own error counts.

        Returns:
            The gain of each bin; NaN where no event passes.
        """
        variance = self.error**2
        if with_efficiency:
            variance = variance + self.efficiency_error**2
        relative = divide(direct.error, np.abs(direct.total))
        return divide(relative * np.abs(self.total), np.sqrt(variance))


@dataclass(frozen=True, eq=False)
class ClosureHistogram:
    r"""One histogram filled directly and weighted by each efficiency, to be compared.

    Direct and weighted yields share their events, so the variance of their difference is not the
    sum of two: with :math:`p_e` the probability that event e passes,

    .. math:: \mathrm{Var}\Big(\sum_e w_e [\mathrm{passed}_e - p_e]\Big)
        = \sum_e w_e^2\, p_e (1 - p_e).

    Two weighted yields share all their events, too: their ratio :math:`R = \sum w p / \sum w q`
    has the variance :math:`\sum w^2 (p - R q)^2 / (\sum w q)^2`.

    Args:
        edges: Bin edges, rising, shape (n + 1,).
        fillings: Each way of filling by its name, ``direct`` first.
    """

    edges: FloatArray
    fillings: Mapping[str, Filling]

    @classmethod
    def fill(cls, entries: Entries, edges: FloatArray, reference: str = "true") -> ClosureHistogram:
        """Fill a histogram in all ways.

        Args:
            entries: What to fill; events outside the edges are left out.
            edges: Bin edges, rising, shape (n + 1,).
            reference: The efficiency that ratios are taken to, where it is among the entries.

        Raises:
            ConfigError: The edges do not rise.
        """
        limits = np.asarray(edges, dtype=np.float64)
        check_edges(limits.tolist(), "edges of the histogram")
        index = bin_index(entries.values, limits, "the variable of the histogram")
        bins = _Bins(index, len(limits) - 1)
        ways = {DIRECT: entries.passed.astype(np.float64), **entries.probability}
        totals = {name: bins.sum(entries.weight * p) for name, p in ways.items()}
        fillings = {}
        for name, p in ways.items():
            ratio = np.full(bins.count, np.nan)
            ratio_error = np.full(bins.count, np.nan)
            if reference in ways:
                ratio = divide(totals[name], totals[reference])
                scatter = _ratio_scatter(entries.weight, p, ways[reference], ratio, bins)
                if name == DIRECT:
                    base = ways[reference]
                    scatter = bins.sum(entries.weight**2 * base * (1 - base))
                # A yield of negative weights still has a positive error.
                ratio_error = divide(np.sqrt(scatter), np.abs(totals[reference]))
            fillings[name] = _filling(entries, name, p, totals[name], ratio, ratio_error, bins)
        return cls(limits, fillings)

    @property
    def direct(self) -> Filling:
        """The histogram of the events that pass."""
        return self.fillings[DIRECT]

    @property
    def filled_by(self) -> list[str]:
        """Names of the efficiencies that weight it."""
        return [name for name in self.fillings if name != DIRECT]

    def weighted(self, name: str) -> Filling:
        """Return the histogram weighted by an efficiency.

        Raises:
            DataError: It was not filled by this efficiency.
        """
        if name not in self.filled_by:
            msg = f"the histogram is not weighted by {name!r}; it is by {', '.join(self.filled_by)}"
            raise DataError(msg)
        return self.fillings[name]

    def replicas(self, name: str) -> FloatArray:
        """Return the yields by each replica of an efficiency, shape (n_replicas, n)."""
        return self.weighted(name).replicas

    def test(
        self, name: str, minimum_events: float, with_efficiency: bool = False
    ) -> ClosureTest | None:
        """Test that direct yields scatter about weighted ones as they should.

        Args:
            name: The efficiency.
            minimum_events: As in :func:`closure_test`.
            with_efficiency: Whether the covariance of the efficiency is added. The spread is taken
                to be stretched by :func:`~truthtag.statistics.spread.small_sample_factor`; its
                part that is Student's is taken out, since the test knows Student's distribution.

        Returns:
            The outcome; None where the covariance is asked for and there are fewer than
            :data:`~truthtag.statistics.closure_tests.MIN_REPLICAS` replicas.
        """
        weighted = self.weighted(name)
        replicas = None
        if with_efficiency:
            count = len(weighted.replicas)
            if count < MIN_REPLICAS:
                return None
            mean = weighted.replicas.mean(axis=0)
            replicas = mean + (weighted.replicas - mean) / student_quantile(count)
        return closure_test(
            self.direct.total,
            weighted.total,
            weighted.difference_variance,
            minimum_events,
            mean_weight=weighted.mean_weight,
            replicas=replicas,
        )

    def to_frame(self) -> pd.DataFrame:
        """Return a row per way of filling and bin.

        Returns:
            The columns ``filled_by, low, high, yield, error, effective_events,
            difference_variance, mean_weight, ratio, ratio_error, efficiency_error, gain,
            gain_total``, and the yield by each replica in ``replica_0, replica_1, ...``.
        """
        parts = []
        for name, one in self.fillings.items():
            nothing = np.full(len(one.total), np.nan)
            columns = {
                "filled_by": name,
                "low": self.edges[:-1],
                "high": self.edges[1:],
                "yield": one.total,
                "error": one.error,
                "effective_events": one.effective_events,
                "difference_variance": one.difference_variance,
                "mean_weight": one.mean_weight,
                "ratio": one.ratio,
                "ratio_error": one.ratio_error,
                "efficiency_error": one.efficiency_error,
                "gain": nothing if name == DIRECT else one.gain(self.direct, False),
                "gain_total": nothing if name == DIRECT else one.gain(self.direct, True),
            }
            for number, replica in enumerate(one.replicas):
                columns[f"{REPLICA}{number}"] = replica
            parts.append(pd.DataFrame(columns))
        return pd.concat(parts, ignore_index=True)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> ClosureHistogram:
        """Rebuild a histogram from the rows of :meth:`to_frame`.

        Raises:
            DataError: A column is missing, or there are no directly filled rows.
        """
        needed = (
            *("filled_by", "low", "high", "yield", "error", "effective_events"),
            *("difference_variance", "mean_weight", "ratio", "ratio_error"),
        )
        missing = [name for name in needed if name not in frame]
        if missing or DIRECT not in set(frame["filled_by"]):
            what = f"column {missing[0]!r}" if missing else "rows filled by 'direct'"
            msg = f"a closure histogram lacks its {what}; fill it again"
            raise DataError(msg)
        fillings = {}
        for name, rows in frame.groupby("filled_by", sort=False):
            arrays = {column: rows[column].to_numpy() for column in needed[3:]}
            total = arrays.pop("yield")
            by_replica = rows.filter(regex=rf"^{REPLICA}\d+$").dropna(axis="columns")
            fillings[str(name)] = Filling(total=total, replicas=by_replica.to_numpy().T, **arrays)
        direct = frame[frame["filled_by"] == DIRECT]
        edges = np.append(direct["low"].to_numpy(), direct["high"].to_numpy()[-1])
        ordered = {DIRECT: fillings.pop(DIRECT), **fillings}
        return cls(edges, ordered)


def histograms_in(
    frame: pd.DataFrame, keys: list[str]
) -> Iterator[tuple[tuple[str, ...], ClosureHistogram]]:
    """Go through the histograms of a table.

    Args:
        frame: Rows of :meth:`ClosureHistogram.to_frame`, and columns that tell histograms apart.
        keys: Names of these columns.

    Yields:
        The values of the keys, and the histogram.
    """
    for values, rows in frame.groupby(keys, sort=False):
        yield tuple(map(str, values)), ClosureHistogram.from_frame(rows)


def _filling(
    entries: Entries,
    name: str,
    p: FloatArray,
    total: FloatArray,
    ratio: FloatArray,
    ratio_error: FloatArray,
    bins: _Bins,
) -> Filling:
    """Fill a histogram one way; the ratio is known already."""
    weight = entries.weight
    squares = bins.sum((weight * p) ** 2)
    scatter = bins.sum(weight**2 * p * (1 - p))
    templates = [bins.sum(weight * replica) for replica in entries.replicas.get(name, ())]
    return Filling(
        total=total,
        error=np.sqrt(squares),
        effective_events=divide(total**2, squares, 0.0),
        difference_variance=np.full(bins.count, np.nan) if name == DIRECT else scatter,
        # Negative weights cancel in the yield, and must not make an event weigh more.
        mean_weight=divide(bins.sum(weight**2 * p), bins.sum(np.abs(weight) * p)),
        ratio=ratio,
        ratio_error=ratio_error,
        replicas=np.stack(templates) if templates else np.empty((0, bins.count)),
    )


def _ratio_scatter(
    weight: FloatArray, p: FloatArray, base: FloatArray, ratio: FloatArray, bins: _Bins
) -> FloatArray:
    """Return the variance of a weighted yield about its ratio times the reference, per bin."""
    inside = np.clip(bins.index, 0, bins.count - 1)
    return bins.sum(weight**2 * (p - ratio[inside] * base) ** 2)


@dataclass(frozen=True, eq=False)
class _Bins:
    """The bin of each entry, -1 below the axis and ``count`` above it."""

    index: AnyArray
    count: int

    def sum(self, weight: FloatArray) -> FloatArray:
        """Sum weights in bins, what is outside left out, shape (count,)."""
        inside = (self.index >= 0) & (self.index < self.count)
        sums = np.bincount(self.index[inside], weight[inside], self.count)
        return np.asarray(sums, dtype=np.float64)
