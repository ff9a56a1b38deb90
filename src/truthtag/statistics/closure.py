"""Closure: histograms of tagged and of weighted events, and how far the two may differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields

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
    "ClosureSums",
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
        sums = ClosureSums(edges, reference)
        sums.add(entries)
        return sums.histogram()

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


class ClosureSums:
    """A closure histogram that is filled block by block.

    All is a sum over entries, so that a histogram filled with blocks is that of all their entries,
    but for the last digits of sums.

    Args:
        edges: Bin edges, rising, shape (n + 1,).
        reference: The efficiency that ratios are taken to, where it is among the entries.

    Raises:
        ConfigError: The edges do not rise.
    """

    def __init__(self, edges: FloatArray, reference: str = "true") -> None:
        self.edges = np.asarray(edges, dtype=np.float64)
        check_edges(self.edges.tolist(), "edges of the histogram")
        self.reference = reference
        self.n_entries = 0
        self._ways: dict[str, _Sums] = {}

    @property
    def count(self) -> int:
        """Number of bins."""
        return len(self.edges) - 1

    def add(self, entries: Entries) -> None:
        """Add entries; those outside the edges are left out.

        Raises:
            DataError: They are filled in other ways than those before.
        """
        index = bin_index(entries.values, self.edges, "the variable of the histogram")
        bins = _Bins(index, self.count)
        ways = {DIRECT: entries.passed.astype(np.float64), **entries.probability}
        if self._ways and list(ways) != list(self._ways):
            msg = (
                f"a block of entries is filled by {', '.join(ways)}, those before by "
                f"{', '.join(self._ways)}; all of them need the same"
            )
            raise DataError(msg)
        base = ways.get(self.reference)
        for name, p in ways.items():
            found = _sums(entries, name, p, base, bins)
            self._ways[name] = found + self._ways[name] if name in self._ways else found
        self.n_entries += len(entries.values)

    def histogram(self) -> ClosureHistogram:
        """Return the histogram of all entries so far."""
        fillings = {}
        for name, sums in self._ways.items():
            ratio = np.full(self.count, np.nan)
            ratio_error = np.full(self.count, np.nan)
            reference = self._ways.get(self.reference)
            if reference is not None:
                ratio = divide(sums.total, reference.total)
                scatter = reference.scatter
                if name != DIRECT:
                    scatter = sums.scatter_about(ratio, reference.squares)
                # A yield of negative weights still has a positive error.
                ratio_error = divide(np.sqrt(scatter), np.abs(reference.total))
            fillings[name] = Filling(
                total=sums.total,
                error=np.sqrt(sums.squares),
                effective_events=divide(sums.total**2, sums.squares, 0.0),
                difference_variance=(
                    np.full(self.count, np.nan) if name == DIRECT else sums.scatter
                ),
                # Negative weights cancel in the yield, and must not make an event weigh more.
                mean_weight=divide(sums.weight_squares, sums.weight_sizes),
                ratio=ratio,
                ratio_error=ratio_error,
                replicas=sums.replicas,
            )
        return ClosureHistogram(self.edges, fillings)


@dataclass(frozen=True, eq=False)
class _Sums:
    """What is summed over the entries of each bin for one way of filling, each of shape (n,).

    Args:
        total: Of w p.
        squares: Of (w p)^2.
        scatter: Of w^2 p (1 - p).
        weight_squares: Of w^2 p.
        weight_sizes: Of abs(w) p.
        apart: Of w^2 (p - q)^2, where q is the probability of the reference; 0 without one.
        apart_base: Of w^2 (p - q) q.
        replicas: Of w p by each replica, shape (n_replicas, n).
    """

    total: FloatArray
    squares: FloatArray
    scatter: FloatArray
    weight_squares: FloatArray
    weight_sizes: FloatArray
    apart: FloatArray
    apart_base: FloatArray
    replicas: FloatArray

    def __add__(self, other: _Sums) -> _Sums:
        names = [one.name for one in fields(self)]
        return _Sums(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def scatter_about(self, ratio: FloatArray, base_squares: FloatArray) -> FloatArray:
        r"""Return the variance of a weighted yield about its ratio times the reference.

        About R = 1, near which it is, the sum does not cancel:

        .. math:: \sum w^2 (p - R q)^2 = \sum w^2 (p - q)^2 - 2 (R - 1) \sum w^2 (p - q)\, q
            + (R - 1)^2 \sum w^2 q^2

        Args:
            ratio: R, shape (n,).
            base_squares: Sums of (w q)^2, shape (n,).
        """
        beyond = ratio - 1
        scatter = self.apart - 2 * beyond * self.apart_base + beyond**2 * base_squares
        return np.maximum(scatter, 0.0)


def _sums(
    entries: Entries, name: str, p: FloatArray, base: FloatArray | None, bins: _Bins
) -> _Sums:
    """Sum over the entries of each bin, filled one way."""
    weight = entries.weight
    apart = np.zeros_like(p) if base is None else p - base
    templates = [bins.sum(weight * replica) for replica in entries.replicas.get(name, ())]
    return _Sums(
        total=bins.sum(weight * p),
        squares=bins.sum((weight * p) ** 2),
        scatter=bins.sum(weight**2 * p * (1 - p)),
        weight_squares=bins.sum(weight**2 * p),
        weight_sizes=bins.sum(np.abs(weight) * p),
        apart=bins.sum((weight * apart) ** 2),
        apart_base=bins.sum(weight**2 * apart * (0.0 if base is None else base)),
        replicas=np.stack(templates) if templates else np.empty((0, bins.count)),
    )


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
