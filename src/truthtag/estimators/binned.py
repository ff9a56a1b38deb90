"""Binned maps: what experiments use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field

from truthtag.arrays import FloatArray, IntArray, divide
from truthtag.axis import OpenAxis
from truthtag.data.jets import Jets
from truthtag.estimators.bins import BIN_COLUMNS, Bins, Outside, flavour_mean
from truthtag.estimators.protocol import ResampledOptions
from truthtag.estimators.table_file import TableEstimator
from truthtag.options import Real
from truthtag.seeds import Seed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "BinnedMap", "BinnedOptions", "Coverage"]

COLUMNS = (*BIN_COLUMNS, "tagged", "total", "efficiency", "low", "high")
"""Columns of a binned map on disk, a row per bin."""

Coverage = Annotated[Real, Field(gt=0, le=0.9999)]


class BinnedOptions(ResampledOptions):
    """Tagged over all jets in bins of transverse momentum and pseudorapidity (Section 4)."""

    kind: str = "binned"
    """Kind of estimator, `binned`."""

    pt: OpenAxis
    """Bin edges in transverse momentum [GeV]."""

    eta: OpenAxis
    """Bin edges in pseudorapidity."""

    outside: Outside = "clamp"
    """Jets outside the axes: `clamp` takes the nearest bin, `error` refuses them."""

    coverage: Coverage = 0.6827
    """Coverage of the interval of each bin."""


@dataclass(frozen=True, eq=False)
class BinnedMap(TableEstimator):
    r"""Efficiency in bins of transverse momentum and pseudorapidity, per flavour.

    .. math:: \tilde\epsilon_f(p_T, \eta) = N_\mathrm{tagged} / N

    The interval is that of Clopper and Pearson. A bin without jets takes the efficiency of its
    flavour and pT bin over all pseudorapidities, or, where that is empty too, of its flavour over
    all bins; its interval is then [0, 1]. A jet outside the axes is treated as ``outside`` says:
    ``clamp`` takes the nearest bin, ``error`` refuses.

    Source: Section 4 and Eq. 4 of arXiv:2004.02665; Clopper and Pearson, doi
    10.1093/biomet/26.4.404.

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
    options_type: ClassVar[type[ResampledOptions]] = BinnedOptions
    columns: ClassVar[tuple[str, ...]] = COLUMNS

    @classmethod
    def fit(
        cls,
        train: Jets,
        validation: Jets,  # noqa: ARG003
        options: BinnedOptions,
        seed: Seed,  # noqa: ARG003
    ) -> Self:
        """Count the jets of a tagged sample.

        Args:
            train: A tagged sample.
            validation: Not used.
            options: The bins, what to do with jets outside them, and the coverage.
            seed: Not used.

        Raises:
            DataError: The sample has no tags, or a jet is outside the axes where that is refused.
        """
        bins = Bins.from_axes(train, options.pt, options.eta, options.outside)
        tagged, total = bins.count(train)
        return cls(bins, tagged, total, options.coverage)

    @property
    def values(self) -> FloatArray:
        """Efficiency per bin, empty bins filled, shape (n_flavours, n_pt, n_eta)."""
        of_flavour = flavour_mean(self.tagged, self.total)
        tagged_in_pt = self.tagged.sum(axis=2, keepdims=True)
        total_in_pt = self.total.sum(axis=2, keepdims=True)
        of_pt = divide(tagged_in_pt, total_in_pt, of_flavour)
        return divide(self.tagged, self.total, of_pt)

    def interval(self) -> tuple[FloatArray, FloatArray]:
        """Return the ends of the interval, each of shape (n_flavours, n_pt, n_eta)."""
        from hist.intervals import clopper_pearson_interval

        low, high = clopper_pearson_interval(self.tagged, self.total, self.coverage)
        has_jets = self.total > 0
        return np.where(has_jets, low, 0.0), np.where(has_jets, high, 1.0)

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the efficiency of each jet's bin, shape (n_jets,).

        Raises:
            DataError: A jet has a flavour that the map does not know, or is outside the axes where
                that is refused.
        """
        return np.asarray(self.values[self.bins.index(jets)])

    def describe(self) -> str:
        """Return the number of bins, and how many of them are empty."""
        return f"{self.total.size} bins, {int((self.total == 0).sum())} of them empty"

    def to_frame(self) -> pd.DataFrame:
        """Return the map as a table with a row per bin, the columns of :data:`COLUMNS`."""
        low, high = self.interval()
        return self.bins.to_frame().assign(
            tagged=self.tagged.ravel(),
            total=self.total.ravel(),
            efficiency=self.values.ravel(),
            low=low.ravel(),
            high=high.ravel(),
        )

    @property
    def settings(self) -> dict[str, Any]:
        """How to treat jets outside the axes, and the coverage of the interval."""
        return {"outside": self.bins.outside, "coverage": self.coverage}

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, **settings: Any) -> Self:
        """Rebuild a map from its table and settings.

        Raises:
            DataError: The table does not hold the bins of a map.
        """
        bins, tagged, total = Bins.from_frame(frame, settings["outside"])
        return cls(bins, tagged, total, settings["coverage"])
