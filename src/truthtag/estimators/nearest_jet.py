"""Binned maps with a correction for the nearest jet: what analyses added by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from truthtag.arrays import AnyArray, FloatArray, IntArray, divide
from truthtag.axis import Axis, edges
from truthtag.data.axes import bin_index, check_edges
from truthtag.data.jets import Jets
from truthtag.data.neighbours import nearest_jet
from truthtag.data.training_blocks import Blocks, as_blocks
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.binned import COLUMNS, BinnedMap, BinnedOptions
from truthtag.estimators.bins import flavour_index, tags_of, with_times
from truthtag.estimators.counts import (
    WEIGHT_COLUMNS,
    Counts,
    Entries,
    Tally,
    weights_of,
)
from truthtag.estimators.protocol import ResampledOptions
from truthtag.estimators.table_file import TableEstimator
from truthtag.seeds import Seed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NearestJetMap", "NearestJetOptions"]

OF_CORRECTION = ("delta_r_low", "delta_r_high", "expected", "correction")
"""Columns of the correction; ``tagged`` and ``total`` are those of the map, too."""


class NearestJetOptions(BinnedOptions):
    """A binned map times a factor in bins of Delta R to the nearest jet (Section 4)."""

    kind: str = "nearest_jet"
    """Kind of estimator, `nearest_jet`."""

    delta_r: Axis
    """Bin edges in Delta R to the nearest jet; jets that are alone or beyond the last edge have a
    bin of their own."""


@dataclass(frozen=True, eq=False)
class NearestJetMap(TableEstimator):
    r"""A binned map times a factor in bins of Delta R to the nearest other jet, per flavour.

    .. math:: \tilde\epsilon_f(p_T, \eta)\; c_f(\Delta R_\mathrm{min}), \quad
        c_f(b) = \sum_{i \in b} \mathrm{tagged}_i
        \Big/ \sum_{i \in b} \tilde\epsilon_f(p_{T,i}, \eta_i)

    The sums run over the jets of flavour f in bin b; the factor is 1 where the denominator is 0.
    Jets nearer than the first edge count in the first bin; those that are alone or beyond the last
    edge have a bin of their own. The product is clipped to [0, 1]. With weights, both sums are
    weighted; a factor that negative weights make negative is 0.

    Source: the correction that Section 4 of arXiv:2004.02665 describes.

    Args:
        base: The binned map.
        edges: Edges of the bins of Delta R, rising and finite, shape (n + 1,).
        tagged: Tagged jets per flavour and bin, the last bin for jets without a near one, shape
            (n_flavours, n + 1).
        total: All jets, the same shape.
        expected: Sum of the map's efficiencies, the same shape.
        entries: Where these are sums of weights, what those do not say; None for counts.

    Raises:
        ConfigError: The edges do not rise, or the last is infinite.
    """

    base: BinnedMap
    edges: FloatArray
    tagged: AnyArray
    total: AnyArray
    expected: FloatArray
    entries: Entries | None = None
    options_type: ClassVar[type[ResampledOptions]] = NearestJetOptions
    columns: ClassVar[tuple[str, ...]] = (*COLUMNS, *OF_CORRECTION)
    streams: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_edges(self.edges.tolist(), "delta_r")
        if np.isinf(self.edges[-1]):
            msg = (
                "delta_r: the last edge is infinite; jets beyond it have a bin of their own anyway"
            )
            raise ConfigError(msg)

    @classmethod
    def fit(
        cls,
        train: Jets | Blocks,
        validation: Jets | Blocks,  # noqa: ARG003
        options: NearestJetOptions,
        seed: Seed,  # noqa: ARG003
    ) -> Self:
        """Fit the map, then the correction to the same jets.

        Args:
            train: A tagged sample.
            validation: Not used.
            options: The bins of the map, and those of the correction.
            seed: Not used.

        Raises:
            DataError: The sample has no tags or lacks a column, or a jet is outside the axes where
                that is refused.
        """
        return cls.resampled(as_blocks(train), options)[0]

    @classmethod
    def resampled(
        cls, train: Blocks, options: NearestJetOptions, times: IntArray | None = None
    ) -> list[Self]:
        """Fit map and correction to several resamples of a sample with one working point.

        Args:
            train: A tagged sample.
            options: As in :meth:`fit`.
            times: How often each event is in each resample, shape (n_resamples, n_events); by
                default there is one, with every event once.
        """
        bases = BinnedMap.resampled(train, options, times)
        flavours = bases[0].bins.flavours
        delta_r_edges = np.asarray(edges(options.delta_r))
        # As many bins as edges: one more for jets without a near one.
        shape = (len(flavours), len(delta_r_edges))
        tallies = [Tally(shape) for _ in bases]
        expected = [np.zeros(shape) for _ in bases]
        for block, of_jets in with_times(train, times):
            index = _bins_of(block, flavours, delta_r_edges)
            is_tagged = tags_of(block)
            weights = weights_of(block, options.weights)
            # Jets of flavours without an efficiency are in no resample.
            of_map = bases[0].bins.index(block)
            for base, tally, sums, often in zip(bases, tallies, expected, of_jets, strict=True):
                tally.add(index, is_tagged, weights, often)
                eff = base.values[of_map]
                eff = eff if weights is None else weights * eff
                np.add.at(sums, index, eff if often is None else often * eff)
        maps = []
        for base, tally, sums in zip(bases, tallies, expected, strict=True):
            found = tally.counts
            maps.append(cls(base, delta_r_edges, found.tagged, found.total, sums, found.entries))
        return maps

    @property
    def unlearned(self) -> tuple[int, ...]:
        """Flavours that no training jet has."""
        return self.base.unlearned

    @property
    def counts(self) -> Counts:
        """The jets per flavour and bin of Delta R."""
        return Counts(self.tagged, self.total, self.entries)

    @property
    def correction(self) -> FloatArray:
        """The factor per flavour and bin, the last for jets alone; shape (n_flavours, n + 1)."""
        # Without weights, neither is negative.
        return divide(np.maximum(self.tagged, 0), np.maximum(self.expected, 0), 1.0)

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the efficiency of each jet, shape (n_jets,).

        Raises:
            DataError: A jet has a flavour that the map does not know, or is outside the axes where
                that is refused; or the jets lack a column.
        """
        factor = self.correction[_bins_of(jets, self.base.bins.flavours, self.edges)]
        return np.clip(self.base.efficiency(jets) * factor, 0.0, 1.0)

    def describe(self) -> str:
        """Return the numbers of bins of the map and of the correction."""
        text = f"{self.base.describe()}, and {self.tagged.size} bins of Delta R"
        spoilt = self.notes.get("corrections_of_negative_weights", 0)
        return f"{text}, {spoilt} of them 0 or 1 for negative weights" if spoilt else text

    @property
    def notes(self) -> dict[str, Any]:
        """How many bins of the map and of the correction negative weights have spoilt."""
        notes = self.base.notes
        negative = (self.counts.jets > 0) & ((self.tagged < 0) | (self.expected < 0))
        if negative.any():
            notes["corrections_of_negative_weights"] = int(negative.sum())
        return notes

    def to_frame(self) -> pd.DataFrame:
        """Return the rows of the map, then the correction's, NaN in the other's columns."""
        import pandas as pd

        flavour, bin_ = (axis.ravel() for axis in np.indices(self.tagged.shape))
        upper = np.r_[self.edges[1:], np.inf]
        columns = {
            "flavour": np.array(self.base.bins.flavours, dtype=np.int8)[flavour],
            "delta_r_low": self.edges[bin_],
            "delta_r_high": upper[bin_],
            **self.counts.columns(),
            "expected": self.expected.ravel(),
            "correction": self.correction.ravel(),
        }
        both = pd.concat([self.base.to_frame(), pd.DataFrame(columns)], ignore_index=True)
        names = self.columns_of(self.settings)
        return both[[*names, *(name for name in WEIGHT_COLUMNS if name in both)]]

    @property
    def settings(self) -> dict[str, Any]:
        """Those of the map."""
        return self.base.settings

    @classmethod
    def columns_of(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the columns that the table must have, by what the settings say of the axes."""
        return (*BinnedMap.columns_of(settings), *OF_CORRECTION)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, **settings: Any) -> Self:
        """Rebuild a map from its table and settings.

        Raises:
            DataError: The table does not hold the bins of a map and of a correction.
        """
        of_map = frame["delta_r_low"].isna()
        base = BinnedMap.from_frame(frame[of_map].reset_index(drop=True), **settings)
        rows = frame[~of_map].sort_values(["flavour", "delta_r_low"])
        flavours = base.bins.flavours
        lower = np.unique(rows["delta_r_low"])
        shape = (len(flavours), len(lower))
        # Upper edges, too: a bin that is cut off would make another one the bin of jets alone.
        stored = rows[["flavour", "delta_r_low", "delta_r_high"]].to_numpy(dtype=np.float64)
        upper = np.r_[lower[1:], np.inf]
        flavour = np.repeat(flavours, len(lower))
        wanted = np.column_stack(
            [flavour, np.tile(lower, len(flavours)), np.tile(upper, len(flavours))]
        )
        if not np.array_equal(stored, wanted):
            msg = (
                f"the {len(rows)} rows of the correction are not the bins that its edges make: "
                "rows are missing, stand twice or overlap"
            )
            raise DataError(msg)
        counts = Counts.from_frame(rows, shape)
        if (counts.entries is None) is not (base.entries is None):
            msg = "of the map and the correction, only one holds sums of weights"
            raise DataError(msg)
        expected = rows["expected"].to_numpy(dtype=np.float64).reshape(shape)
        is_possible = (expected >= 0) | (counts.entries is not None)
        if not (np.isfinite(expected) & is_possible).all():
            msg = "column 'expected' must be finite and not negative"
            raise DataError(msg)
        return cls(base, lower, counts.tagged, counts.total, expected, counts.entries)


def _bins_of(jets: Jets, flavours: tuple[int, ...], axis: FloatArray) -> tuple[IntArray, IntArray]:
    """Return the flavour and the bin of Delta R of each jet, one bin more for no jet near."""
    _, distance = nearest_jet(jets)
    # Below the first edge -1, beyond the last one and for jets alone the number of bins.
    index = bin_index(distance, axis, "delta_r")
    return flavour_index(flavours, jets), np.maximum(index, 0)
