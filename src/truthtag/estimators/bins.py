"""Bins of transverse momentum and pseudorapidity per flavour, and which of them each jet is in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from truthtag.arrays import BoolArray, FloatArray, IntArray, divide
from truthtag.data.axes import check_edges, edges_of
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError, DataError

__all__ = [
    "BIN_COLUMNS",
    "OUTSIDE",
    "Axis",
    "Bins",
    "bin_of",
    "flavour_index",
    "flavour_mean",
    "tags_of",
]

Axis = Mapping[str, Any] | Sequence[float]
OUTSIDE = ("clamp", "error")
BIN_COLUMNS = ("flavour", "pt_low", "pt_high", "eta_low", "eta_high")
"""Columns that name a bin."""


@dataclass(frozen=True, eq=False)
class Bins:
    """Bins of (flavour, pT, eta), and what to do with jets outside them.

    Args:
        flavours: Hadron flavours of the first axis, rising.
        pt_edges: Bin edges, rising, shape (n_pt + 1,) [GeV].
        eta_edges: Bin edges, rising, shape (n_eta + 1,).
        outside: ``clamp`` takes the nearest bin, ``error`` refuses the jet.

    Raises:
        ConfigError: Edges do not rise, or the policy is unknown.
    """

    flavours: tuple[int, ...]
    pt_edges: FloatArray
    eta_edges: FloatArray
    outside: str

    def __post_init__(self) -> None:
        for name in ("pt_edges", "eta_edges"):
            check_edges(getattr(self, name).tolist(), name)
        if self.outside not in OUTSIDE:
            msg = f"maps: outside is {self.outside!r}; allowed are {', '.join(OUTSIDE)}"
            raise ConfigError(msg)

    @classmethod
    def of(cls, jets: Jets, pt: Axis, eta: Axis, outside: str) -> Bins:
        """Make the bins that a config means, for the flavours of a sample."""
        flavours = tuple(int(f) for f in np.unique(jets.flavour))
        return cls(flavours, np.asarray(edges_of(pt)), np.asarray(edges_of(eta)), outside)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of flavours, pT bins and eta bins."""
        return len(self.flavours), len(self.pt_edges) - 1, len(self.eta_edges) - 1

    def check_range(self, jets: Jets) -> None:
        """Refuse jets outside the axes, where the policy says so.

        Raises:
            DataError: There is such a jet.
        """
        if self.outside == "error":
            _refuse_outside("pt", jets.pt, self.pt_edges)
            _refuse_outside("eta", jets.eta, self.eta_edges)

    def index(self, jets: Jets) -> tuple[IntArray, IntArray, IntArray]:
        """Return the bin of each jet on the three axes, each of shape (n_jets,).

        Raises:
            DataError: A jet has an unknown flavour, or is outside the axes where that is refused.
        """
        flavour = flavour_index(self.flavours, jets)
        self.check_range(jets)
        return flavour, bin_of(jets.pt, self.pt_edges), bin_of(jets.eta, self.eta_edges)

    def count(self, jets: Jets) -> tuple[IntArray, IntArray]:
        """Count tagged jets and all jets per bin, each of shape (n_flavours, n_pt, n_eta).

        Raises:
            DataError: The sample has no tags, or as in :meth:`index`.
        """
        is_tagged, index = tags_of(jets), self.index(jets)
        tagged, total = np.zeros((2, *self.shape), dtype=np.int64)
        np.add.at(total, index, 1)
        np.add.at(tagged, index, is_tagged.astype(np.int64))
        return tagged, total

    def to_frame(self) -> pd.DataFrame:
        """Return a row per bin, the columns of :data:`BIN_COLUMNS`; the order is that of a raveled array of bins."""
        f, p, e = (axis.ravel() for axis in np.indices(self.shape))
        return pd.DataFrame(
            {
                "flavour": np.array(self.flavours, dtype=np.int8)[f],
                "pt_low": self.pt_edges[p],
                "pt_high": self.pt_edges[p + 1],
                "eta_low": self.eta_edges[e],
                "eta_high": self.eta_edges[e + 1],
            }
        )

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, outside: str) -> tuple[Bins, IntArray, IntArray]:
        """Rebuild bins from a table; also the columns ``tagged`` and ``total``, in their shape."""
        flavours = tuple(int(f) for f in np.unique(frame["flavour"]))
        pt, eta = (
            np.r_[np.unique(frame[f"{x}_low"]), frame[f"{x}_high"].max()].astype(np.float64)
            for x in ("pt", "eta")
        )
        bins = cls(flavours, pt, eta, outside)
        ordered = frame.sort_values(["flavour", "pt_low", "eta_low"])
        tagged, total = (
            ordered[name].to_numpy().reshape(bins.shape) for name in ("tagged", "total")
        )
        return bins, tagged, total


def tags_of(jets: Jets) -> BoolArray:
    """Return the tags of a sample, shape (n_jets,).

    Raises:
        DataError: It has none.
    """
    if jets.is_tagged is None:
        msg = "the sample has no column 'is_tagged': a map is fitted to tags. Tag it first."
        raise DataError(msg)
    return jets.is_tagged


def flavour_index(flavours: Sequence[int], jets: Jets) -> IntArray:
    """Return the position of each jet's flavour among those of a map, shape (n_jets,).

    Raises:
        DataError: A jet has a flavour that the map does not know.
    """
    jets.require_flavours(
        flavours, "the map was fitted to the flavours", "Fit it to a sample that has this flavour"
    )
    return np.searchsorted(np.asarray(flavours), jets.flavour)


def bin_of(values: FloatArray, edges: FloatArray) -> IntArray:
    """Return the bin of each value, the nearest where it lies outside; the last bin is closed at its upper edge."""
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)


def flavour_mean(tagged: IntArray, total: IntArray) -> FloatArray:
    """Return the efficiency of each flavour over all bins, 0 where there are no jets; shape (n_flavours, 1, 1)."""
    return divide(
        tagged.sum(axis=(1, 2), keepdims=True), total.sum(axis=(1, 2), keepdims=True), 0.0
    )


def _refuse_outside(name: str, values: FloatArray, edges: FloatArray) -> None:
    """Refuse values outside an axis, naming the first."""
    beyond = (values < edges[0]) | (values > edges[-1])
    if beyond.any():
        msg = (
            f"{int(beyond.sum())} jets lie outside the map's {name} axis [{edges[0]}, {edges[-1]}], the first at "
            f"{values[beyond][0]}. Widen the axis, or set outside: clamp to use the nearest bin."
        )
        raise DataError(msg)
