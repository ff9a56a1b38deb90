"""Binned maps with a correction for the nearest jet: what analyses added by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from truthtag.arrays import FloatArray, IntArray, divide
from truthtag.data.axes import check_edges, edges_of
from truthtag.data.jets import Jets
from truthtag.data.neighbours import nearest_jet
from truthtag.estimators.binned import COLUMNS, BinnedMap
from truthtag.estimators.bins import Axis, bin_of, flavour_index, tags_of

__all__ = ["CorrectedMap"]


@dataclass(frozen=True, eq=False)
class CorrectedMap:
    r"""A binned map times a factor in bins of Delta R to the nearest other jet of the event, per flavour of the jet.

    .. math:: \tilde\epsilon_f(p_T, \eta)\; c_f(\Delta R_\mathrm{min}), \quad
        c_f(b) = \sum_{i \in b} \mathrm{tagged}_i \Big/ \sum_{i \in b} \tilde\epsilon_f(p_{T,i}, \eta_i)

    The sums run over the jets of flavour f in bin b; the factor is 1 where the denominator is 0. Jets nearer than the
    first edge count in the first bin; those that are alone or beyond the last edge have a bin of their own. The
    product is clipped to [0, 1].

    Source: the correction that Section 4 of arXiv:2004.02665 describes.

    Args:
        base: The binned map.
        edges: Edges of the bins of Delta R, rising, shape (n + 1,).
        tagged: Tagged jets per flavour and bin, the last bin for jets without a near one, shape (n_flavours, n + 1).
        total: All jets, the same shape.
        expected: Sum of the map's efficiencies, the same shape.

    Raises:
        ConfigError: The edges do not rise.
    """

    base: BinnedMap
    edges: FloatArray
    tagged: IntArray
    total: IntArray
    expected: FloatArray
    columns: ClassVar[tuple[str, ...]] = (
        *COLUMNS,
        "delta_r_low",
        "delta_r_high",
        "expected",
        "correction",
    )

    def __post_init__(self) -> None:
        check_edges(self.edges.tolist(), "delta_r")

    @classmethod
    def fit(
        cls, jets: Jets, pt: Axis, eta: Axis, delta_r: Axis, outside: str, coverage: float
    ) -> CorrectedMap:
        """Fit the map, then the correction to the same jets; the options are those of the config.

        Args:
            jets: A tagged sample.
            pt: Bin edges of the map [GeV], or ``{bins, low, high}``.
            eta: Bin edges of the map, or ``{bins, low, high}``.
            delta_r: Bin edges of the correction, or ``{bins, low, high}``.
            outside: ``clamp`` or ``error``.
            coverage: Coverage of the map's interval.

        Raises:
            DataError: The sample has no tags, or a jet is outside the axes where that is refused.
        """
        base, edges = BinnedMap.fit(jets, pt, eta, outside, coverage), np.asarray(edges_of(delta_r))
        shape, index = (
            (len(base.bins.flavours), len(edges)),
            _bins_of(jets, base.bins.flavours, edges),
        )
        tagged, total = np.zeros((2, *shape), dtype=np.int64)
        expected = np.zeros(shape)
        np.add.at(total, index, 1)
        np.add.at(tagged, index, tags_of(jets).astype(np.int64))
        np.add.at(expected, index, base.efficiency(jets))
        return cls(base, edges, tagged, total, expected)

    @property
    def correction(self) -> FloatArray:
        """The factor per flavour and bin, the last bin for jets without a near one; shape (n_flavours, n + 1)."""
        return divide(self.tagged, self.expected, 1.0)

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the efficiency of each jet, shape (n_jets,).

        Raises:
            DataError: A jet has a flavour that the map does not know, or is outside the axes where that is refused.
        """
        factor = self.correction[_bins_of(jets, self.base.bins.flavours, self.edges)]
        return np.clip(self.base.efficiency(jets) * factor, 0.0, 1.0)

    def describe(self) -> str:
        """Return the numbers of bins of the map and of the correction."""
        return f"{self.base.describe()}, and {self.tagged.size} bins of Delta R"

    def to_frame(self) -> pd.DataFrame:
        """Return the rows of the map, then those of the correction, each with NaN in the columns of the other."""
        f, b = (axis.ravel() for axis in np.indices(self.tagged.shape))
        correction = pd.DataFrame(
            {
                "flavour": np.array(self.base.bins.flavours, dtype=np.int8)[f],
                "delta_r_low": self.edges[b],
                "delta_r_high": np.r_[self.edges[1:], np.inf][b],
                "tagged": self.tagged.ravel(),
                "total": self.total.ravel(),
                "expected": self.expected.ravel(),
                "correction": self.correction.ravel(),
            }
        )
        return pd.concat([self.base.to_frame(), correction], ignore_index=True)[list(self.columns)]

    @property
    def policy(self) -> dict[str, Any]:
        """What the table does not hold: how to treat jets outside the axes, and the coverage of the map's interval."""
        return self.base.policy

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, outside: str, coverage: float) -> CorrectedMap:
        """Rebuild a map from its table and policy."""
        of_map = frame["delta_r_low"].isna()
        base = BinnedMap.from_frame(frame[of_map], outside, coverage)
        ordered = frame[~of_map].sort_values(["flavour", "delta_r_low"])
        shape = (len(base.bins.flavours), -1)
        tagged, total, expected = (
            ordered[name].to_numpy().reshape(shape) for name in ("tagged", "total", "expected")
        )
        return cls(base, np.unique(ordered["delta_r_low"]), tagged, total, expected)


def _bins_of(jets: Jets, flavours: tuple[int, ...], edges: FloatArray) -> tuple[IntArray, IntArray]:
    """Return the flavour and the bin of Delta R of each jet, one bin more than the edges make: no jet near."""
    _, distance = nearest_jet(jets)
    near = distance <= edges[-1]
    return flavour_index(flavours, jets), np.where(near, bin_of(distance, edges), len(edges) - 1)
