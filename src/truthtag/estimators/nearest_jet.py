"""Binned maps with a correction for the nearest jet: what analyses added by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from truthtag.arrays import FloatArray, IntArray, divide
from truthtag.axis import Axis, edges
from truthtag.data.axes import bin_index, check_edges
from truthtag.data.jets import Jets
from truthtag.data.neighbours import nearest_jet
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.binned import COLUMNS, BinnedMap, BinnedOptions
from truthtag.estimators.bins import check_counts, flavour_index, tags_of
from truthtag.estimators.protocol import ResampledOptions
from truthtag.estimators.table_file import TableEstimator
from truthtag.seeds import Seed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NearestJetMap", "NearestJetOptions"]


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
    edge have a bin of their own. The product is clipped to [0, 1].

    Source: the correction that Section 4 of arXiv:2004.02665 describes.

    Args:
        base: The binned map.
        edges: Edges of the bins of Delta R, rising and finite, shape (n + 1,).
        tagged: Tagged jets per flavour and bin, the last bin for jets without a near one, shape
            (n_flavours, n + 1).
        total: All jets, the same shape.
        expected: Sum of the map's efficiencies, the same shape.

    Raises:
        ConfigError: The edges do not rise, or the last is infinite.
    """

    base: BinnedMap
    edges: FloatArray
    tagged: IntArray
    total: IntArray
    expected: FloatArray
    options_type: ClassVar[type[ResampledOptions]] = NearestJetOptions
    columns: ClassVar[tuple[str, ...]] = (
        *COLUMNS,
        "delta_r_low",
        "delta_r_high",
        "expected",
        "correction",
    )

    def __post_init__(self) -> None:
        check_edges(self.edges.tolist(), "delta_r")
        if np.isinf(self.edges[-1]):
            msg = (
                "delta_r: the last edge is infinite; jets beyond it have a bin of their own anyway"
            )
            raise ConfigError(msg)

    @classmethod
    def fit(cls, train: Jets, validation: Jets, options: NearestJetOptions, seed: Seed) -> Self:
        """Fit the map, then the correction to the same jets.

        Args:
            train: A tagged sample.
            validation: Not used.
            options: The bins of the map, and those of the correction.
            seed: Not used.

        Raises:
            DataError: The sample has no tags, or a jet is outside the axes where that is refused.
        """
        base = BinnedMap.fit(train, validation, options, seed)
        delta_r_edges = np.asarray(edges(options.delta_r))
        # As many bins as edges: one more for jets without a near one.
        shape = (len(base.bins.flavours), len(delta_r_edges))
        index = _bins_of(train, base.bins.flavours, delta_r_edges)
        tagged = np.zeros(shape, dtype=np.int64)
        total = np.zeros(shape, dtype=np.int64)
        expected = np.zeros(shape)
        np.add.at(total, index, 1)
        np.add.at(tagged, index, tags_of(train).astype(np.int64))
        np.add.at(expected, index, base.efficiency(train))
        return cls(base, delta_r_edges, tagged, total, expected)

    @property
    def correction(self) -> FloatArray:
        """The factor per flavour and bin, the last for jets alone; shape (n_flavours, n + 1)."""
        return divide(self.tagged, self.expected, 1.0)

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the efficiency of each jet, shape (n_jets,).

        Raises:
            DataError: A jet has a flavour that the map does not know, or is outside the axes where
                that is refused.
        """
        factor = self.correction[_bins_of(jets, self.base.bins.flavours, self.edges)]
        return np.clip(self.base.efficiency(jets) * factor, 0.0, 1.0)

    def describe(self) -> str:
        """Return the numbers of bins of the map and of the correction."""
        return f"{self.base.describe()}, and {self.tagged.size} bins of Delta R"

    def to_frame(self) -> pd.DataFrame:
        """Return the rows of the map, then the correction's, NaN in the other's columns."""
        import pandas as pd

        flavour, bin_ = (axis.ravel() for axis in np.indices(self.tagged.shape))
        upper = np.r_[self.edges[1:], np.inf]
        columns = {
            "flavour": np.array(self.base.bins.flavours, dtype=np.int8)[flavour],
            "delta_r_low": self.edges[bin_],
            "delta_r_high": upper[bin_],
            "tagged": self.tagged.ravel(),
            "total": self.total.ravel(),
            "expected": self.expected.ravel(),
            "correction": self.correction.ravel(),
        }
        both = pd.concat([self.base.to_frame(), pd.DataFrame(columns)], ignore_index=True)
        return both[list(self.columns)]

    @property
    def settings(self) -> dict[str, Any]:
        """How to treat jets outside the axes, and the coverage of the map's interval."""
        return self.base.settings

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
        tagged = rows["tagged"].to_numpy()
        total = rows["total"].to_numpy()
        check_counts(tagged, total)
        expected = rows["expected"].to_numpy(dtype=np.float64)
        if not (np.isfinite(expected) & (expected >= 0)).all():
            msg = "column 'expected' must be finite and not negative"
            raise DataError(msg)
        return cls(
            base, lower, tagged.reshape(shape), total.reshape(shape), expected.reshape(shape)
        )


def _bins_of(jets: Jets, flavours: tuple[int, ...], axis: FloatArray) -> tuple[IntArray, IntArray]:
    """Return the flavour and the bin of Delta R of each jet, one bin more for no jet near."""
    _, distance = nearest_jet(jets)
    # Below the first edge -1, beyond the last one and for jets alone the number of bins.
    index = bin_index(distance, axis, "delta_r")
    return flavour_index(flavours, jets), np.maximum(index, 0)
