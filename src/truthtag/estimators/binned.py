"""Binned maps: what experiments use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field

from truthtag.arrays import AnyArray, FloatArray, IntArray
from truthtag.axis import OpenAxis
from truthtag.data.jets import Jets
from truthtag.data.training_blocks import Blocks, as_blocks
from truthtag.estimators.bins import (
    BIN_COLUMNS,
    Bins,
    BinsOptions,
    flavour_mean,
    with_unlearned,
)
from truthtag.estimators.counts import Counts, Entries
from truthtag.estimators.protocol import ResampledOptions
from truthtag.estimators.table_file import TableEstimator
from truthtag.options import Real
from truthtag.seeds import Seed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "BinnedMap", "BinnedOptions", "Coverage"]

CONTENT = ("tagged", "total", "efficiency", "low", "high")

COLUMNS = (*BIN_COLUMNS, *CONTENT)
"""Columns of a binned map on disk, a row per bin, where there are no further axes or weights."""

Coverage = Annotated[Real, Field(gt=0, le=0.9999)]


class BinnedOptions(BinsOptions):
    """Tagged over all jets in bins of transverse momentum and pseudorapidity (Section 4)."""

    kind: str = "binned"
    """Kind of estimator, `binned`."""

    pt: OpenAxis
    """Bin edges in transverse momentum [GeV]."""

    eta: OpenAxis
    """Bin edges in pseudorapidity."""

    coverage: Coverage = 0.6827
    """Coverage of the interval of each bin."""


@dataclass(frozen=True, eq=False)
class BinnedMap(TableEstimator):
    r"""Efficiency in bins of transverse momentum, pseudorapidity and further columns, per flavour.

    .. math:: \tilde\epsilon_f(p_T, \eta) = N_\mathrm{tagged} / N

    The interval is that of Clopper and Pearson. A bin without jets takes the efficiency of its
    flavour and pT bin over all other axes, or, where that is empty too, of its flavour over all
    bins; its interval is then [0, 1]. A jet outside the axes is treated as ``outside`` says:
    ``clamp`` takes the nearest bin, ``error`` refuses. A flavour without any jet keeps its empty
    bins, and a jet of it is refused.

    With weights, numbers of jets are sums of weights, see
    :class:`~truthtag.estimators.counts.Counts`. Negative ones can take an efficiency out of [0, 1];
    it is clipped. A bin whose weights do not sum to more than 0 is filled like an empty one.

    Source: Section 4 and Eq. 4 of arXiv:2004.02665; Clopper and Pearson, doi
    10.1093/biomet/26.4.404.

    Args:
        bins: The bins, and what to do with jets outside them.
        tagged: Tagged jets per bin, shape (n_flavours, n_pt, n_eta, ...).
        total: All jets per bin, the same shape.
        coverage: Coverage of the interval, 0.68 say.
        entries: Where these are sums of weights, what those do not say; None for counts.
    """

    bins: Bins
    tagged: AnyArray
    total: AnyArray
    coverage: float
    entries: Entries | None = None
    options_type: ClassVar[type[ResampledOptions]] = BinnedOptions
    columns: ClassVar[tuple[str, ...]] = COLUMNS
    streams: ClassVar[bool] = True

    @classmethod
    def fit(
        cls,
        train: Jets | Blocks,
        validation: Jets | Blocks,  # noqa: ARG003
        options: BinnedOptions,
        seed: Seed,  # noqa: ARG003
    ) -> Self:
        """Count the jets of a tagged sample.

        Args:
            train: A tagged sample.
            validation: Not used.
            options: The bins, what to do with jets outside them, the weights and the coverage.
            seed: Not used.

        Raises:
            DataError: The sample has no tags or lacks a column, or a jet is outside the axes where
                that is refused.
        """
        return cls.resampled(as_blocks(train), options)[0]

    @classmethod
    def resampled(
        cls, train: Blocks, options: BinnedOptions, times: IntArray | None = None
    ) -> list[Self]:
        """Count the jets of several resamples of a sample with one working point.

        Args:
            train: A tagged sample.
            options: As in :meth:`fit`.
            times: How often each event is in each resample, shape (n_resamples, n_events); by
                default there is one, with every event once.
        """
        bins = Bins.from_axes(train, options.pt, options.eta, options)
        found = bins.count(train, options.weights, times)
        return [cls(bins, one.tagged, one.total, options.coverage, one.entries) for one in found]

    @property
    def unlearned(self) -> tuple[int, ...]:
        """Flavours that no training jet has."""
        return self.bins.without_jets(self.counts)

    @property
    def counts(self) -> Counts:
        """The jets per bin."""
        return Counts(self.tagged, self.total, self.entries)

    @cached_property
    def values(self) -> FloatArray:
        """Efficiency per bin, empty bins filled, shape (n_flavours, n_pt, n_eta, ...)."""
        beside_pt = tuple(range(2, self.total.ndim))
        of_pt = self.counts.sum(beside_pt).efficiency(flavour_mean(self.counts))
        return self.counts.efficiency(of_pt)

    def interval(self) -> tuple[FloatArray, FloatArray]:
        """Return the ends of the interval, each of shape (n_flavours, n_pt, n_eta, ...)."""
        return self.counts.interval(self.coverage)

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the efficiency of each jet's bin, shape (n_jets,).

        Raises:
            DataError: A jet has a flavour that the map does not know, or is outside the axes where
                that is refused; or the jets lack a column.
        """
        eff = np.asarray(self.values[self.bins.index(jets)])
        return with_unlearned(eff, self.unlearned, jets)

    def describe(self) -> str:
        """Return the number of bins, and how many of them are empty or spoilt."""
        empty = int((self.counts.jets == 0).sum())
        return f"{self.total.size} bins, {empty} of them empty{self.counts.describe()}"

    @property
    def notes(self) -> dict[str, Any]:
        """How many bins negative weights have spoilt."""
        return self.counts.notes

    def to_frame(self) -> pd.DataFrame:
        """Return the map as a table with a row per bin, the columns of :meth:`columns_of`.

        With weights, two more columns are those of
        :data:`~truthtag.estimators.counts.WEIGHT_COLUMNS`.
        """
        low, high = self.interval()
        columns = self.counts.columns()
        columns |= {
            "efficiency": self.values.ravel(),
            "low": low.ravel(),
            "high": high.ravel(),
        }
        # Those of weights come last, after what every map has.
        names = [*CONTENT, *(name for name in columns if name not in CONTENT)]
        return self.bins.to_frame().assign(**{name: columns[name] for name in names})

    @property
    def settings(self) -> dict[str, Any]:
        """How to treat jets outside the axes, what the axes are of, the interval's coverage."""
        return {**self.bins.settings, "coverage": self.coverage}

    @classmethod
    def columns_of(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the columns that the table must have, by what the settings say of the axes."""
        return (*Bins.columns_of(settings), *CONTENT)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, **settings: Any) -> Self:
        """Rebuild a map from its table and settings.

        Raises:
            DataError: The table does not hold the bins of a map.
        """
        coverage = settings.pop("coverage")
        bins, counts = Bins.from_frame(frame, **settings)
        return cls(bins, counts.tagged, counts.total, coverage, counts.entries)
