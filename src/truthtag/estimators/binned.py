"""Binned maps: what experiments use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from hist.intervals import clopper_pearson_interval

from truthtag.arrays import FloatArray, IntArray, divide
from truthtag.data.jets import Jets
from truthtag.estimators.bins import BIN_COLUMNS, Axis, Bins, flavour_mean

__all__ = ["COLUMNS", "BinnedMap"]

COLUMNS = (*BIN_COLUMNS, "tagged", "total", "efficiency", "low", "high")
"""Columns of a binned map on disk, a row per bin."""


@dataclass(frozen=True, eq=False)
class BinnedMap:
    r"""Efficiency in bins of transverse momentum and pseudorapidity, per flavour.

    .. math:: \tilde\epsilon_f(p_T, \eta) = N_\mathrm{tagged} / N

    The interval is that of Clopper and Pearson. A bin without jets takes the efficiency of its flavour and pT bin over
    all pseudorapidities, or, where that is empty too, of its flavour over all bins; its interval is then [0, 1].
    A jet outside the axes is treated as ``outside`` says: ``clamp`` takes the nearest bin, ``error`` refuses.

    Source: Section 4 and Eq. 4 of arXiv:2004.02665; Clopper and Pearson, doi 10.1093/biomet/26.4.404.

    Args:
        bins: The bins, and what to do with jets outside them.
        tagged: Tagged jets per bin, shape (n_flavours, n_pt, n_eta).
        total: All jets per bin, the same shape.
        coverage: Coverage of the interval, 0.68 say.
    """

    bins: Bins
    tagged: IntArray
    total: IntArray
    coverage: float
    columns: ClassVar[tuple[str, ...]] = COLUMNS

    @classmethod
    def fit(cls, jets: Jets, pt: Axis, eta: Axis, outside: str, coverage: float) -> BinnedMap:
        """Count the jets of a tagged sample; the options are those of the config.

        Args:
            jets: A tagged sample.
            pt: Bin edges [GeV], or ``{bins, low, high}``.
            eta: Bin edges, or ``{bins, low, high}``.
            outside: ``clamp`` or ``error``.
            coverage: Coverage of the interval.

        Raises:
            DataError: The sample has no tags, or a jet is outside the axes where that is refused.
        """
        bins = Bins.of(jets, pt, eta, outside)
        return cls(bins, *bins.count(jets), coverage)

    @property
    def values(self) -> FloatArray:
        """Efficiency per bin, empty bins filled, shape (n_flavours, n_pt, n_eta)."""
        value = flavour_mean(self.tagged, self.total)
        value = divide(
            self.tagged.sum(axis=2, keepdims=True), self.total.sum(axis=2, keepdims=True), value
        )
        return divide(self.tagged, self.total, value)

    def interval(self) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper ends of the interval, each of shape (n_flavours, n_pt, n_eta)."""
        low, high = clopper_pearson_interval(self.tagged, self.total, self.coverage)
        return np.where(self.total > 0, low, 0.0), np.where(self.total > 0, high, 1.0)

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the efficiency of each jet's bin, shape (n_jets,).

        Raises:
            DataError: A jet has a flavour that the map does not know, or is outside the axes where that is refused.
        """
        return np.asarray(self.values[self.bins.index(jets)])

    def describe(self) -> str:
        """Return the number of bins, and how many of them are empty."""
        return f"{self.total.size} bins, {int((self.total == 0).sum())} of them empty"

    def to_frame(self) -> pd.DataFrame:
        """Return the map as a table with a row per bin, the columns of :data:`COLUMNS`."""
        low, high = self.interval()
        columns = {
            "tagged": self.tagged,
            "total": self.total,
            "efficiency": self.values,
            "low": low,
            "high": high,
        }
        return self.bins.to_frame().assign(
            **{name: values.ravel() for name, values in columns.items()}
        )

    @property
    def policy(self) -> dict[str, Any]:
        """What the table does not hold: how to treat jets outside the axes, and the coverage of the interval."""
        return {"outside": self.bins.outside, "coverage": self.coverage}

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, outside: str, coverage: float) -> BinnedMap:
        """Rebuild a map from its table and policy."""
        return cls(*Bins.from_frame(frame, outside), coverage)
