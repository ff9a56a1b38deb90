"""Smoothed maps: a continuous efficiency in place of steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field

from truthtag.arrays import AnyArray, FloatArray, IntArray, divide
from truthtag.axis import EqualBins
from truthtag.data.jets import Jets
from truthtag.data.training_blocks import Blocks, as_blocks
from truthtag.errors import ConfigError
from truthtag.estimators.bins import (
    BIN_COLUMNS,
    Bins,
    BinsOptions,
    flavour_mean,
    with_unlearned,
)
from truthtag.estimators.counts import ROUNDING, Counts, Entries
from truthtag.estimators.protocol import ResampledOptions
from truthtag.estimators.table_file import TableEstimator
from truthtag.options import Options, Real
from truthtag.seeds import Seed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SmoothedMap", "SmoothedOptions", "Smoothing"]


CONTENT = ("tagged", "total", "efficiency")


class Smoothing(Options):
    """Standard deviations of the Gaussian that jets are smoothed with; 0 does not smooth."""

    pt: Annotated[Real, Field(ge=0)]
    """In transverse momentum [GeV]."""

    eta: Annotated[Real, Field(ge=0)]
    """In pseudorapidity."""


class SmoothedOptions(BinsOptions):
    """The ratio of smoothed counts in fine bins, interpolated between bin centres."""

    kind: str = "smoothed"
    """Kind of estimator, `smoothed`."""

    pt: EqualBins
    """Fine bins of one width in transverse momentum [GeV]."""

    eta: EqualBins
    """Fine bins of one width in pseudorapidity."""

    smoothing: Smoothing
    """Standard deviations of the Gaussian that tagged and all jets are smoothed with; 0 does not
    smooth. Further axes are not smoothed: each of their bins has a map of its own."""


@dataclass(frozen=True, eq=False)
class SmoothedMap(TableEstimator):
    r"""Efficiency as a continuous function of transverse momentum and pseudorapidity, per flavour.

    Tagged jets and all jets are counted in fine bins, both counts are smoothed with the same
    Gaussian K, and their ratio is interpolated linearly between bin centres.

    .. math:: \tilde\epsilon_f(p_T, \eta) =
        \frac{\sum_b K(p_T - p_b, \eta - \eta_b)\, N^\mathrm{tagged}_b}
        {\sum_b K(p_T - p_b, \eta - \eta_b)\, N_b}

    Beyond the axes there is nothing to count, in numerator and denominator alike: a constant
    efficiency stays constant up to the edge. Where there are no jets within four widths, the
    efficiency is that of the flavour over all bins. A jet outside the axes is treated as
    ``outside`` says: ``clamp`` takes the nearest bin centre, ``error`` refuses. A flavour without
    any jet keeps its empty bins, and a jet of it has the efficiency 1/2.

    Bins of further axes, like flavours, have a map each. Where the bins of an absolute value of eta
    begin at 0, jets at both signs of eta are smoothed into each other. With weights, numbers of
    jets are sums of weights; where negative ones take the ratio out of [0, 1], it is clipped.

    Source: Nadaraya, doi 10.1137/1109020; Watson, Sankhya A 26 (1964) 359.

    Args:
        bins: Fine bins, those of one axis of one width.
        tagged: Tagged jets per bin, shape (n_flavours, n_pt, n_eta, ...).
        total: All jets per bin, the same shape.
        smoothing: Standard deviations of the Gaussian.
        entries: Where these are sums of weights, what those do not say; None for counts.

    Raises:
        ConfigError: The bins of an axis differ in width.
    """

    bins: Bins
    tagged: AnyArray
    total: AnyArray
    smoothing: Smoothing
    entries: Entries | None = None
    options_type: ClassVar[type[ResampledOptions]] = SmoothedOptions
    columns: ClassVar[tuple[str, ...]] = (*BIN_COLUMNS, *CONTENT)
    streams: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _require_one_width("pt", self.bins.pt_edges)
        _require_one_width("eta", self.bins.eta_edges)

    @classmethod
    def fit(
        cls,
        train: Jets | Blocks,
        validation: Jets | Blocks,  # noqa: ARG003
        options: SmoothedOptions,
        seed: Seed,  # noqa: ARG003
    ) -> Self:
        """Count the jets of a tagged sample.

        Args:
            train: A tagged sample.
            validation: Not used.
            options: The fine bins, the widths of the Gaussian, the weights, and what to do with
                jets outside.
            seed: Not used.

        Raises:
            DataError: The sample has no tags or lacks a column, or a jet is outside the axes where
                that is refused.
        """
        return cls.resampled(as_blocks(train), options)[0]

    @classmethod
    def resampled(
        cls, train: Blocks, options: SmoothedOptions, times: IntArray | None = None
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
        return [cls(bins, one.tagged, one.total, options.smoothing, one.entries) for one in found]

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
        """Efficiency at each bin centre, shape (n_flavours, n_pt, n_eta, ...)."""
        ratio = self._ratio
        return ratio if self.entries is None else np.clip(ratio, 0.0, 1.0)

    @cached_property
    def _ratio(self) -> FloatArray:
        """The ratio of the smoothed numbers, before it is clipped."""
        tagged = self._smooth(self.tagged)
        total = self._smooth(self.total)
        if self.entries is not None:
            # As where there are no jets: sums that are negative, or zero but for rounding.
            most = np.sqrt(self.entries.jets * self.entries.squares)
            total = np.where(total > ROUNDING * self._smooth(most), total, 0.0)
        return divide(tagged, total, flavour_mean(self.counts))

    def _smooth(self, numbers: AnyArray) -> FloatArray:
        """Return numbers per bin, smoothed in pT and eta."""
        from scipy.ndimage import gaussian_filter

        pt_sigma = self.smoothing.pt / _width(self.bins.pt_edges)
        eta_sigma = self.smoothing.eta / _width(self.bins.eta_edges)
        # In units of bins; neither flavours nor further axes are smoothed into each other.
        sigma = (0.0, pt_sigma, eta_sigma, *(0.0 for _ in self.bins.further))
        values = numbers.astype(np.float64)
        n_eta = values.shape[2]
        if self.bins.abs_eta and self.bins.eta_edges[0] == 0:
            values = np.concatenate([np.flip(values, axis=2), values], axis=2)
        smooth: FloatArray = gaussian_filter(values, sigma, mode="constant")
        return smooth[:, :, -n_eta:]

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the efficiency of each jet, shape (n_jets,).

        Raises:
            DataError: A jet has a flavour that the map does not know, or is outside the axes where
                that is refused; or the jets lack a column.
        """
        from scipy.ndimage import map_coordinates

        # Refuses what has no bin; of pT and eta, the bins themselves are not needed.
        flavour, _, _, *further = self.bins.index(jets)
        pt = _in_bins(jets.pt, self.bins.pt_edges)
        of_eta = np.abs(jets.eta) if self.bins.abs_eta else jets.eta
        eta = _in_bins(of_eta, self.bins.eta_edges)
        coordinates = np.stack([flavour, pt, eta, *further])
        values = map_coordinates(self.values, coordinates, order=1, mode="nearest")
        # Rounding of the interpolation can leave [0, 1].
        eff = np.clip(values, 0.0, 1.0)
        return with_unlearned(eff, self.unlearned, jets)

    def describe(self) -> str:
        """Return the number of bins and the widths of the Gaussian."""
        return (
            f"{self.total.size} bins smoothed by {self.smoothing.pt:g} GeV "
            f"and {self.smoothing.eta:g} in eta{self.counts.describe()}"
        )

    @property
    def notes(self) -> dict[str, Any]:
        """How many bins negative weights have spoilt, before and after they are smoothed."""
        beyond = (self._ratio < -ROUNDING) | (self._ratio > 1 + ROUNDING)
        after = {"clipped_after_smoothing": int(beyond.sum())} if beyond.any() else {}
        return {**self.counts.notes, **after}

    def to_frame(self) -> pd.DataFrame:
        """Return the map as a table, a row per bin; ``efficiency`` is that at the bin centre.

        With weights, two more columns are those of
        :data:`~truthtag.estimators.counts.WEIGHT_COLUMNS`.
        """
        columns = self.counts.columns() | {"efficiency": self.values.ravel()}
        names = [*CONTENT, *(name for name in columns if name not in CONTENT)]
        return self.bins.to_frame().assign(**{name: columns[name] for name in names})

    @property
    def settings(self) -> dict[str, Any]:
        """The widths of the Gaussian, what the axes are of, how to treat jets outside them."""
        return {"smoothing": self.smoothing.model_dump(mode="json"), **self.bins.settings}

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
        smoothing = Smoothing.model_validate(settings.pop("smoothing"))
        bins, counts = Bins.from_frame(frame, **settings)
        return cls(bins, counts.tagged, counts.total, smoothing, counts.entries)


def _require_one_width(name: str, axis: FloatArray) -> None:
    """Refuse bins of different widths, for which a Gaussian has no one width in bins."""
    widths = np.diff(axis)
    if not (np.isfinite(widths).all() and np.allclose(widths, widths[0])):
        msg = (
            f"{name}: the bins of a smoothed map must be of one width, "
            f"those given have {widths.min():g} to {widths.max():g}; give {{bins, low, high}}"
        )
        raise ConfigError(msg)


def _width(axis: FloatArray) -> float:
    return float(axis[1] - axis[0])


def _in_bins(values: FloatArray, axis: FloatArray) -> FloatArray:
    """Return positions in units of bins, 0 at the centre of the first."""
    from_edge = values.astype(np.float64) - axis[0]
    return np.asarray(from_edge / (axis[1] - axis[0]) - 0.5)
