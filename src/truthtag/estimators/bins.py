"""Bins of transverse momentum and pseudorapidity per flavour, and which of them each jet is in."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from truthtag.arrays import BoolArray, FloatArray, IntArray, divide, per_jet
from truthtag.axis import EqualBins, edges
from truthtag.data.axes import bin_index, check_edges
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "BIN_COLUMNS",
    "OUTSIDE",
    "Bins",
    "Outside",
    "check_counts",
    "flavour_index",
    "flavour_mean",
    "flavours_of",
    "nearest_bin",
    "tags_of",
    "training_tags",
]

Outside = Literal["clamp", "error"]
OUTSIDE = ("clamp", "error")
"""What a map can do with jets outside its axes: take the nearest bin, or refuse them."""

BIN_COLUMNS = ("flavour", "pt_low", "pt_high", "eta_low", "eta_high")
"""Columns that name a bin."""


@dataclass(frozen=True, eq=False)
class Bins:
    """Bins of (flavour, pT, eta), and what to do with jets outside them.

    Which bin a jet on an edge belongs to is the rule of :func:`~truthtag.data.axes.bin_index`.

    Args:
        flavours: Hadron flavours of the first axis, rising.
        pt_edges: Bin edges, rising, the last may be infinite, shape (n_pt + 1,) [GeV].
        eta_edges: Bin edges, rising, the last may be infinite, shape (n_eta + 1,).
        outside: ``clamp`` takes the nearest bin, ``error`` refuses the jet.

    Raises:
        ConfigError: Edges do not rise, or ``outside`` is something else.
    """

    flavours: tuple[int, ...]
    pt_edges: FloatArray
    eta_edges: FloatArray
    outside: str

    def __post_init__(self) -> None:
        check_edges(self.pt_edges.tolist(), "pt_edges")
        check_edges(self.eta_edges.tolist(), "eta_edges")
        if self.outside not in OUTSIDE:
            msg = f"outside is {self.outside!r}; allowed are {', '.join(OUTSIDE)}"
            raise ConfigError(msg)

    @classmethod
    def from_axes(
        cls,
        jets: Jets,
        pt: EqualBins | Sequence[float],
        eta: EqualBins | Sequence[float],
        outside: str,
    ) -> Bins:
        """Make the bins that axes of the config mean, for the flavours of a sample."""
        pt_edges = np.asarray(edges(pt))
        eta_edges = np.asarray(edges(eta))
        return cls(flavours_of(jets), pt_edges, eta_edges, outside)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of flavours, pT bins and eta bins."""
        return len(self.flavours), len(self.pt_edges) - 1, len(self.eta_edges) - 1

    def index(self, jets: Jets) -> tuple[IntArray, IntArray, IntArray]:
        """Return the bin of each jet on the three axes, each of shape (n_jets,).

        Raises:
            DataError: A jet has an unknown flavour or NaN, or is outside the axes where that is
                refused.
        """
        flavour = flavour_index(self.flavours, jets)
        pt = self._axis_index("pt", jets.pt, self.pt_edges)
        eta = self._axis_index("eta", jets.eta, self.eta_edges)
        return flavour, pt, eta

    def _axis_index(self, name: str, values: FloatArray, axis: FloatArray) -> IntArray:
        """Return the bin of each value on one axis, shape (n_jets,)."""
        index = bin_index(values, axis, name)
        beyond = (index < 0) | (index > len(axis) - 2)
        if self.outside == "error" and beyond.any():
            msg = (
                f"{int(beyond.sum())} jets lie outside the map's {name} axis "
                f"[{axis[0]}, {axis[-1]}], the first at {values[beyond][0]}. "
                "Widen the axis, or set outside: clamp to use the nearest bin."
            )
            raise DataError(msg)
        return _nearest(index, len(axis) - 1)

    def count(self, jets: Jets) -> tuple[IntArray, IntArray]:
        """Count tagged jets and all jets per bin, each of shape (n_flavours, n_pt, n_eta).

        Raises:
            DataError: The sample has no tags, or as in :meth:`index`.
        """
        is_tagged = training_tags(jets)
        index = self.index(jets)
        total = np.zeros(self.shape, dtype=np.int64)
        tagged = np.zeros(self.shape, dtype=np.int64)
        np.add.at(total, index, 1)
        np.add.at(tagged, index, is_tagged.astype(np.int64))
        return tagged, total

    def to_frame(self) -> pd.DataFrame:
        """Return a row per bin, the columns of :data:`BIN_COLUMNS`, in the order of ``ravel``."""
        import pandas as pd

        flavour, pt, eta = (axis.ravel() for axis in np.indices(self.shape))
        columns = {
            "flavour": np.array(self.flavours, dtype=np.int8)[flavour],
            "pt_low": self.pt_edges[pt],
            "pt_high": self.pt_edges[pt + 1],
            "eta_low": self.eta_edges[eta],
            "eta_high": self.eta_edges[eta + 1],
        }
        return pd.DataFrame(columns)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, outside: str) -> tuple[Bins, IntArray, IntArray]:
        """Rebuild bins from a table; also the columns ``tagged`` and ``total``, in their shape.

        Raises:
            DataError: Rows are missing, overlap, or hold numbers that are no counts.
        """
        flavours = tuple(int(flavour) for flavour in np.unique(frame["flavour"]))
        pt_edges = _stored_edges(frame, "pt")
        eta_edges = _stored_edges(frame, "eta")
        bins = cls(flavours, pt_edges, eta_edges, outside)
        ordered = frame.sort_values(["flavour", "pt_low", "eta_low"])
        stored = ordered[list(BIN_COLUMNS)].to_numpy(dtype=np.float64)
        expected = bins.to_frame().to_numpy(dtype=np.float64)
        if not np.array_equal(stored, expected):
            msg = (
                f"its {len(frame)} rows are not the {expected.shape[0]} bins that its edges make: "
                "rows are missing, stand twice or overlap"
            )
            raise DataError(msg)
        tagged = ordered["tagged"].to_numpy()
        total = ordered["total"].to_numpy()
        check_counts(tagged, total)
        return bins, tagged.reshape(bins.shape), total.reshape(bins.shape)


def _stored_edges(frame: pd.DataFrame, name: str) -> FloatArray:
    """Return the edges of one axis from the lower and upper ends of its bins."""
    lower = np.unique(frame[f"{name}_low"])
    upper = frame[f"{name}_high"].max()
    return np.asarray(np.r_[lower, upper], dtype=np.float64)


def check_counts(tagged: IntArray, total: IntArray) -> None:
    """Refuse numbers of jets that cannot be.

    Raises:
        DataError: A number is no integer, or not 0 <= tagged <= total.
    """
    if tagged.dtype.kind not in "iu" or total.dtype.kind not in "iu":
        msg = f"columns 'tagged' and 'total' are {tagged.dtype} and {total.dtype}, not integers"
        raise DataError(msg)
    wrong = (tagged < 0) | (tagged > total)
    if wrong.any():
        row = int(np.argmax(wrong))
        msg = f"{tagged[row]} of {total[row]} jets are tagged in row {row}, which cannot be"
        raise DataError(msg)


def flavours_of(jets: Jets) -> tuple[int, ...]:
    """Return the flavours of a sample, rising."""
    return tuple(int(flavour) for flavour in np.unique(jets.flavour))


def tags_of(jets: Jets) -> BoolArray:
    """Return the tags of a sample, shape (n_jets,).

    Raises:
        DataError: It has none, or a tag is neither 0 nor 1.
    """
    if jets.is_tagged is None:
        msg = "the sample has no column 'is_tagged': a map is fitted to tags. Tag it first."
        raise DataError(msg)
    tags = per_jet(jets.is_tagged, jets.n_jets, "column 'is_tagged'")
    is_truth_value = np.isin(tags, (0, 1))
    if not is_truth_value.all():
        row = int(np.argmin(is_truth_value))
        msg = f"column 'is_tagged' is {tags[row]} in row {row}; a tag is 0 or 1, False or True"
        raise DataError(msg)
    return np.asarray(tags, dtype=np.bool_)


def training_tags(jets: Jets) -> BoolArray:
    """Return the tags of a sample that is learned from; log a warning where all are the same.

    Raises:
        DataError: As in :func:`tags_of`.
    """
    is_tagged = tags_of(jets)
    if is_tagged.size and is_tagged.all() == is_tagged.any():
        which = "all" if is_tagged.all() else "none"
        text = "%s of the %d jets are tagged: such a sample tells nothing of how efficiencies vary"
        logging.getLogger("truthtag").warning(text, which, is_tagged.size)
    return is_tagged


def flavour_index(flavours: Sequence[int], jets: Jets) -> IntArray:
    """Return the position of each jet's flavour among those of a map, shape (n_jets,).

    Raises:
        DataError: A jet has a flavour that the map does not know.
    """
    jets.require_flavours(
        flavours, "the map was fitted to the flavours", "Fit it to a sample that has this flavour"
    )
    return np.searchsorted(np.asarray(flavours), jets.flavour)


def nearest_bin(values: FloatArray, axis: FloatArray, name: str) -> IntArray:
    """Return the bin of each value, the nearest where it lies outside the axis.

    Raises:
        DataError: A value is NaN, which is in no bin.
    """
    return _nearest(bin_index(values, axis, name), len(axis) - 1)


def _nearest(index: IntArray, n_bins: int) -> IntArray:
    return np.clip(index, 0, n_bins - 1)


def flavour_mean(tagged: IntArray, total: IntArray) -> FloatArray:
    """Return the efficiency of each flavour over all bins, 0 without jets, (n_flavours, 1, 1)."""
    all_tagged = tagged.sum(axis=(1, 2), keepdims=True)
    all_jets = total.sum(axis=(1, 2), keepdims=True)
    return divide(all_tagged, all_jets, 0.0)
