"""Smoothed maps: a continuous efficiency in place of steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field

from truthtag.arrays import FloatArray, IntArray, divide
from truthtag.axis import EqualBins
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError
from truthtag.estimators.bins import BIN_COLUMNS, Bins, Outside, flavour_mean
from truthtag.estimators.protocol import ResampledOptions
from truthtag.estimators.table_file import TableEstimator
from truthtag.options import Options, Real
from truthtag.seeds import Seed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SmoothedMap", "SmoothedOptions", "Smoothing"]


class Smoothing(Options):
    """Standard deviations of the Gaussian that jets are smoothed with; 0 does not smooth."""

    pt: Annotated[Real, Field(ge=0)]
    """In transverse momentum [GeV]."""

    eta: Annotated[Real, Field(ge=0)]
    """In pseudorapidity."""


class SmoothedOptions(ResampledOptions):
    """The ratio of smoothed counts in fine bins, interpolated between bin centres."""

    kind: str = "smoothed"
    """Kind of estimator, `smoothed`."""

    pt: EqualBins
    """Fine bins of one width in transverse momentum [GeV]."""

    eta: EqualBins
    """Fine bins of one width in pseudorapidity."""

    smoothing: Smoothing
    """Standard deviations of the Gaussian that tagged and all jets are smoothed with; 0 does not
    smooth."""

    outside: Outside = "clamp"
    """Jets outside the axes: `clamp` takes the nearest bin, `error` refuses them."""


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
    ``outside`` says: ``clamp`` takes the nearest bin centre, ``error`` refuses.

    Source: Nadaraya, doi 10.1137/1109020; Watson, Sankhya A 26 (1964) 359.

    Args:
        bins: Fine bins, those of one axis of one width.
        tagged: Tagged jets per bin, shape (n_flavours, n_pt, n_eta).
        total: All jets per bin, the same shape.
        smoothing: Standard deviations of the Gaussian.

    Raises:
        ConfigError: The bins of an axis differ in width.
    """

    bins: Bins
    tagged: IntArray
    total: IntArray
    smoothing: Smoothing
    options_type: ClassVar[type[ResampledOptions]] = SmoothedOptions
    columns: ClassVar[tuple[str, ...]] = (*BIN_COLUMNS, "tagged", "total", "efficiency")

    def __post_init__(self) -> None:
        _require_one_width("pt", self.bins.pt_edges)
        _require_one_width("eta", self.bins.eta_edges)

    @classmethod
    def fit(
        cls,
        train: Jets,
        validation: Jets,  # noqa: ARG003
        options: SmoothedOptions,
        seed: Seed,  # noqa: ARG003
    ) -> Self:
        """Count the jets of a tagged sample.

        Args:
            train: A tagged sample.
            validation: Not used.
            options: The fine bins, the widths of the Gaussian, and what to do with jets outside.
            seed: Not used.

        Raises:
            DataError: The sample has no tags, or a jet is outside the axes where that is refused.
        """
        bins = Bins.from_axes(train, options.pt, options.eta, options.outside)
        tagged, total = bins.count(train)
        return cls(bins, tagged, total, options.smoothing)

    @cached_property
    def values(self) -> FloatArray:
        """Efficiency at each bin centre, shape (n_flavours, n_pt, n_eta)."""
        from scipy.ndimage import gaussian_filter

        pt_sigma = self.smoothing.pt / _width(self.bins.pt_edges)
        eta_sigma = self.smoothing.eta / _width(self.bins.eta_edges)
        # In units of bins; flavours are not smoothed into each other.
        sigma = (0.0, pt_sigma, eta_sigma)
        tagged = gaussian_filter(self.tagged.astype(np.float64), sigma, mode="constant")
        total = gaussian_filter(self.total.astype(np.float64), sigma, mode="constant")
        return divide(tagged, total, flavour_mean(self.tagged, self.total))

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the efficiency of each jet, shape (n_jets,).

        Raises:
            DataError: A jet has a flavour that the map does not know, or is outside the axes where
                that is refused.
        """
        from scipy.ndimage import map_coordinates

        # Refuses what has no bin; the bins themselves are not needed.
        flavour, _, _ = self.bins.index(jets)
        pt = _in_bins(jets.pt, self.bins.pt_edges)
        eta = _in_bins(jets.eta, self.bins.eta_edges)
        coordinates = np.stack([flavour, pt, eta])
        values = map_coordinates(self.values, coordinates, order=1, mode="nearest")
        # Rounding of the interpolation can leave [0, 1].
        return np.asarray(np.clip(values, 0.0, 1.0))

    def describe(self) -> str:
        """Return the number of bins and the widths of the Gaussian."""
        return (
            f"{self.total.size} bins smoothed by {self.smoothing.pt:g} GeV "
            f"and {self.smoothing.eta:g} in eta"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return the map as a table, a row per bin; ``efficiency`` is that at the bin centre."""
        return self.bins.to_frame().assign(
            tagged=self.tagged.ravel(),
            total=self.total.ravel(),
            efficiency=self.values.ravel(),
        )

    @property
    def settings(self) -> dict[str, Any]:
        """The widths of the Gaussian, and how to treat jets outside the axes."""
        return {
            "smoothing": self.smoothing.model_dump(mode="json"),
            "outside": self.bins.outside,
        }

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, **settings: Any) -> Self:
        """Rebuild a map from its table and settings.

        Raises:
            DataError: The table does not hold the bins of a map.
        """
        bins, tagged, total = Bins.from_frame(frame, settings["outside"])
        return cls(bins, tagged, total, Smoothing.model_validate(settings["smoothing"]))


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
