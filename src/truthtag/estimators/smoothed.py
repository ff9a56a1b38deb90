"""Smoothed maps: a continuous efficiency in place of steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter, map_coordinates

from truthtag.arrays import FloatArray, IntArray, divide
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError
from truthtag.estimators.bins import BIN_COLUMNS, Axis, Bins, flavour_index, flavour_mean

__all__ = ["SmoothedMap"]


@dataclass(frozen=True, eq=False)
class SmoothedMap:
    r"""Efficiency as a continuous function of transverse momentum and pseudorapidity, per flavour.

    Tagged jets and all jets are counted in fine bins, both counts are smoothed with the same Gaussian K, and their
    ratio is interpolated linearly between bin centres.

    .. math:: \tilde\epsilon_f(p_T, \eta) = \frac{\sum_b K(p_T - p_b, \eta - \eta_b)\, N^\mathrm{tagged}_b}
        {\sum_b K(p_T - p_b, \eta - \eta_b)\, N_b}

    Beyond the axes there is nothing to count, in numerator and denominator alike: a constant efficiency stays constant
    up to the edge. Where there are no jets within four widths, the efficiency is that of the flavour over all bins.
    A jet outside the axes is treated as ``outside`` says: ``clamp`` takes the nearest bin centre, ``error`` refuses.

    Source: Nadaraya, doi 10.1137/1109020; Watson, Sankhya A 26 (1964) 359.

    Args:
        bins: Fine bins, those of one axis of one width.
        tagged: Tagged jets per bin, shape (n_flavours, n_pt, n_eta).
        total: All jets per bin, the same shape.
        smoothing: Standard deviations of the Gaussian: ``pt`` [GeV] and ``eta``; 0 does not smooth.

    Raises:
        ConfigError: The bins of an axis differ in width.
    """

    bins: Bins
    tagged: IntArray
    total: IntArray
    smoothing: Mapping[str, float]
    columns: ClassVar[tuple[str, ...]] = (*BIN_COLUMNS, "tagged", "total", "efficiency")

    def __post_init__(self) -> None:
        for name, edges in self._axes.items():
            widths = np.diff(edges)
            if not np.allclose(widths, widths[0]):
                msg = (
                    f"{name}: the bins of a smoothed map must be of one width, "
                    f"those given have {widths.min():g} to {widths.max():g}; give {{bins, low, high}}"
                )
                raise ConfigError(msg)

    @classmethod
    def fit(
        cls, jets: Jets, pt: Axis, eta: Axis, smoothing: Mapping[str, float], outside: str
    ) -> SmoothedMap:
        """Count the jets of a tagged sample; the options are those of the config.

        Args:
            jets: A tagged sample.
            pt: ``{bins, low, high}`` [GeV], or edges at equal distances.
            eta: ``{bins, low, high}``, or edges at equal distances.
            smoothing: Standard deviations of the Gaussian: ``pt`` [GeV] and ``eta``.
            outside: ``clamp`` or ``error``.

        Raises:
            DataError: The sample has no tags, or a jet is outside the axes where that is refused.
        """
        bins = Bins.of(jets, pt, eta, outside)
        return cls(bins, *bins.count(jets), smoothing)

    @property
    def _axes(self) -> dict[str, FloatArray]:
        return {"pt": self.bins.pt_edges, "eta": self.bins.eta_edges}

    @cached_property
    def values(self) -> FloatArray:
        """Efficiency at each bin centre, shape (n_flavours, n_pt, n_eta)."""
        widths = (
            self.smoothing[name] / (edges[1] - edges[0]) for name, edges in self._axes.items()
        )
        sigma = (0.0, *widths)
        tagged, total = (
            gaussian_filter(counts.astype(np.float64), sigma, mode="constant")
            for counts in (self.tagged, self.total)
        )
        return divide(tagged, total, flavour_mean(self.tagged, self.total))

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the efficiency of each jet, shape (n_jets,).

        Raises:
            DataError: A jet has a flavour that the map does not know, or is outside the axes where that is refused.
        """
        flavour = flavour_index(self.bins.flavours, jets)
        self.bins.check_range(jets)
        columns = {"pt": jets.pt, "eta": jets.eta}
        positions = (
            (columns[name].astype(np.float64) - edges[0]) / (edges[1] - edges[0]) - 0.5
            for name, edges in self._axes.items()
        )
        coordinates = np.stack([flavour, *positions])
        # Rounding of the interpolation can leave [0, 1].
        return np.asarray(
            np.clip(map_coordinates(self.values, coordinates, order=1, mode="nearest"), 0.0, 1.0)
        )

    def describe(self) -> str:
        """Return the number of bins and the widths of the Gaussian."""
        return f"{self.total.size} bins smoothed by {self.smoothing['pt']:g} GeV and {self.smoothing['eta']:g} in eta"

    def to_frame(self) -> pd.DataFrame:
        """Return the map as a table with a row per bin; ``efficiency`` is that at the bin centre."""
        columns = {"tagged": self.tagged, "total": self.total, "efficiency": self.values}
        return self.bins.to_frame().assign(
            **{name: values.ravel() for name, values in columns.items()}
        )

    @property
    def policy(self) -> dict[str, Any]:
        """What the table does not hold: the widths of the Gaussian, and how to treat jets outside the axes."""
        return {"smoothing": dict(self.smoothing), "outside": self.bins.outside}

    @classmethod
    def from_frame(
        cls, frame: pd.DataFrame, smoothing: Mapping[str, float], outside: str
    ) -> SmoothedMap:
        """Rebuild a map from its table and policy."""
        return cls(*Bins.from_frame(frame, outside), smoothing)
