"""Binned efficiency maps: what experiments use, and what the network is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from hist.intervals import clopper_pearson_interval

from truthtag.arrays import FloatArray, IntArray
from truthtag.config import check_edges, choose, edges_of
from truthtag.errors import ConfigError, DataError
from truthtag.jets import Jets
from truthtag.tables import check_columns, read_frame, read_metadata, write_frame

__all__ = ["COLUMNS", "KINDS", "BinnedMap", "fit_map", "read_map", "write_map"]

COLUMNS = ("flavour", "pt_low", "pt_high", "eta_low", "eta_high", "tagged", "total", "efficiency", "low", "high")
"""Columns of a map on disk, a row per bin."""

Axis = Mapping[str, Any] | Sequence[float]
OUTSIDE = ("clamp", "error")


@dataclass(frozen=True, eq=False)
class BinnedMap:
    r"""Efficiency in bins of transverse momentum and pseudorapidity, per flavour.

    .. math:: \tilde\epsilon_f(p_T, \eta) = N_\mathrm{tagged} / N

    The interval is that of Clopper and Pearson. A bin without jets takes the efficiency of its flavour and pT bin over
    all pseudorapidities, or, where that is empty too, of its flavour over all bins; its interval is then [0, 1].
    A jet outside the axes is treated as ``outside`` says: ``clamp`` takes the nearest bin, ``error`` refuses.

    Source: Section 4 and Eq. 4 of arXiv:2004.02665; Clopper and Pearson, doi 10.1093/biomet/26.4.404.

    Args:
        flavours: Hadron flavours of the first axis, rising.
        pt_edges: Bin edges, rising, shape (n_pt + 1,) [GeV].
        eta_edges: Bin edges, rising, shape (n_eta + 1,).
        tagged: Tagged jets per bin, shape (n_flavours, n_pt, n_eta).
        total: All jets per bin, the same shape.
        outside: ``clamp`` or ``error``.
        coverage: Coverage of the interval, 0.68 say.
    """

    flavours: tuple[int, ...]
    pt_edges: FloatArray
    eta_edges: FloatArray
    tagged: IntArray
    total: IntArray
    outside: str
    coverage: float
    columns: ClassVar[tuple[str, ...]] = COLUMNS

    def __post_init__(self) -> None:
        for name in ("pt_edges", "eta_edges"):
            check_edges(getattr(self, name).tolist(), name)
        if self.outside not in OUTSIDE:
            msg = f"maps: outside is {self.outside!r}; allowed are {', '.join(OUTSIDE)}"
            raise ConfigError(msg)

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
        if jets.is_tagged is None:
            msg = "the sample has no column 'is_tagged': a map is fitted to tags. Tag it first."
            raise DataError(msg)
        flavours = tuple(int(f) for f in np.unique(jets.flavour))
        pt_edges, eta_edges = np.asarray(edges_of(pt)), np.asarray(edges_of(eta))
        empty = np.zeros((len(flavours), len(pt_edges) - 1, len(eta_edges) - 1), dtype=np.int64)
        index = cls(flavours, pt_edges, eta_edges, empty, empty, outside, coverage)._index(jets)
        total, tagged = empty.copy(), empty.copy()
        np.add.at(total, index, 1)
        np.add.at(tagged, index, jets.is_tagged.astype(np.int64))
        return cls(flavours, pt_edges, eta_edges, tagged, total, outside, coverage)

    @property
    def values(self) -> FloatArray:
        """Efficiency per bin, empty bins filled, shape (n_flavours, n_pt, n_eta)."""
        value = _ratio(self.tagged.sum(axis=(1, 2), keepdims=True), self.total.sum(axis=(1, 2), keepdims=True), 0.0)
        value = _ratio(self.tagged.sum(axis=2, keepdims=True), self.total.sum(axis=2, keepdims=True), value)
        return _ratio(self.tagged, self.total, value)

    def interval(self) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper ends of the interval, each of shape (n_flavours, n_pt, n_eta)."""
        low, high = clopper_pearson_interval(self.tagged, self.total, self.coverage)
        return np.where(self.total > 0, low, 0.0), np.where(self.total > 0, high, 1.0)

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the efficiency of each jet's bin, shape (n_jets,).

        Raises:
            DataError: A jet has a flavour that the map does not know, or is outside the axes where that is refused.
        """
        return np.asarray(self.values[self._index(jets)])

    def _index(self, jets: Jets) -> tuple[IntArray, IntArray, IntArray]:
        """Return the bin of each jet on the three axes."""
        remedy = "Fit it to a sample that has this flavour"
        jets.require_flavours(self.flavours, "the map was fitted to the flavours", remedy)
        flavour = np.searchsorted(np.asarray(self.flavours), jets.flavour)
        return flavour, self._bin("pt", jets.pt, self.pt_edges), self._bin("eta", jets.eta, self.eta_edges)

    def _bin(self, name: str, values: FloatArray, edges: FloatArray) -> IntArray:
        """Return the bin of each value, the last bin closed at its upper edge."""
        beyond = (values < edges[0]) | (values > edges[-1])
        if self.outside == "error" and beyond.any():
            msg = (
                f"{int(beyond.sum())} jets lie outside the map's {name} axis [{edges[0]}, {edges[-1]}], the first at "
                f"{values[beyond][0]}. Widen the axis, or set outside: clamp to use the nearest bin."
            )
            raise DataError(msg)
        return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)

    def to_frame(self) -> pd.DataFrame:
        """Return the map as a table with a row per bin, the columns of :data:`COLUMNS`."""
        low, high = self.interval()
        f, p, e = (axis.ravel() for axis in np.indices(self.total.shape))
        return pd.DataFrame(
            {
                "flavour": np.array(self.flavours, dtype=np.int8)[f],
                "pt_low": self.pt_edges[p],
                "pt_high": self.pt_edges[p + 1],
                "eta_low": self.eta_edges[e],
                "eta_high": self.eta_edges[e + 1],
                "tagged": self.tagged.ravel(),
                "total": self.total.ravel(),
                "efficiency": self.values.ravel(),
                "low": low.ravel(),
                "high": high.ravel(),
            }
        )

    @property
    def policy(self) -> dict[str, Any]:
        """What the table does not hold: how to treat jets outside the axes, and the coverage of the interval."""
        return {"outside": self.outside, "coverage": self.coverage}

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, outside: str, coverage: float) -> BinnedMap:
        """Rebuild a map from its table and policy."""
        flavours = tuple(int(f) for f in np.unique(frame["flavour"]))
        pt, eta = (
            np.r_[np.unique(frame[f"{x}_low"]), frame[f"{x}_high"].max()].astype(np.float64) for x in ("pt", "eta")
        )
        shape = (len(flavours), len(pt) - 1, len(eta) - 1)
        ordered = frame.sort_values(["flavour", "pt_low", "eta_low"])
        tagged, total = (ordered[name].to_numpy().reshape(shape) for name in ("tagged", "total"))
        return cls(flavours, pt, eta, tagged, total, outside, coverage)


KINDS = {"binned": BinnedMap}
"""Kinds of map that the config can name (``maps.*.kind``)."""


def fit_map(jets: Jets, options: Mapping[str, Any]) -> BinnedMap:
    """Fit the kind of map that an entry of the config's ``maps`` describes.

    Raises:
        ConfigError: The kind is unknown.
    """
    rest = {key: value for key, value in options.items() if key != "kind"}
    return choose(KINDS, options["kind"], "maps: kind").fit(jets, **rest)


def write_map(fitted: BinnedMap, path: str | Path, metadata: Mapping[str, Any]) -> None:
    """Write a map as Parquet, a row per bin; its kind and policy go into the metadata."""
    kind = next(name for name, known in KINDS.items() if type(fitted) is known)
    write_frame(fitted.to_frame(), path, {**metadata, "map": {"kind": kind, **fitted.policy}})


def read_map(path: str | Path) -> BinnedMap:
    """Read a map that :func:`write_map` wrote.

    Raises:
        DataError: The file is missing, truncated or foreign, or lacks a column.
    """
    frame = read_frame(path)
    policy = read_metadata(path).get("map")
    if policy is None or policy.get("kind") not in KINDS:
        msg = f"{path}: does not say which of the kinds {', '.join(KINDS)} it is; fit the map again with truthtag"
        raise DataError(msg)
    kind = KINDS[policy.pop("kind")]
    check_columns(path, [str(name) for name in frame.columns], kind.columns)
    return kind.from_frame(frame, **policy)


def _ratio(part: IntArray, whole: IntArray, otherwise: FloatArray | float) -> FloatArray:
    """Divide, with another value where the denominator is zero."""
    return np.where(whole > 0, part / np.maximum(whole, 1), otherwise)
