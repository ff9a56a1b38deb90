"""Scale factors of a table of our own: a row per bin, CSV or Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from truthtag.arrays import AnyArray, FloatArray, IntArray
from truthtag.data.axes import bin_index
from truthtag.data.files import check_columns, read_csv, read_frame
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.weights.lookup import Absent, Beyond, Cell, Found

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "Table", "read_scale_factor_table"]

NAMES = ("systematic", "working_point")
NUMBERS = ("flavour", "abs_eta_low", "abs_eta_high", "pt_low", "pt_high", "scale_factor")
COLUMNS = (*NAMES, *NUMBERS)
"""Columns of a table of scale factors, a row per bin; pT in GeV, flavours as numbers."""

AXES = ("abs_eta", "pt")


@dataclass(frozen=True, eq=False)
class Grid:
    """Scale factors of one flavour at one working point in one variation.

    Args:
        edges: Bin edges in abs(eta) and pT [GeV], by name.
        values: The scale factors, shape (n_abs_eta, n_pt).
    """

    edges: Mapping[str, FloatArray]
    values: FloatArray


@dataclass(frozen=True, eq=False)
class Table:
    """A table of scale factors, as a :class:`~truthtag.weights.lookup.Lookup`.

    Args:
        path: The file.
        grids: Scale factors in bins, by what they are of, in the order of the file.
    """

    path: Path
    grids: Mapping[Cell, Grid]

    @property
    def place(self) -> str:
        """What error messages call it."""
        return str(self.path)

    @property
    def points(self) -> tuple[str, ...]:
        """Names of its working points."""
        return tuple(dict.fromkeys(str(cell.point) for cell in self.grids))

    def systematics(self, point: str | None, flavour: int) -> tuple[str, ...]:
        """Return the names of its variations at a working point for a flavour."""
        cells = [cell for cell in self.grids if (cell.point, cell.flavour) == (point, flavour)]
        return tuple(dict.fromkeys(cell.systematic for cell in cells))

    def absent(self, cell: Cell) -> Absent | None:
        """Return what it lacks of a cell; None where it has all of it."""
        left = list(self.grids)
        wanted = {"working_point": "point", "flavour": "flavour", "systematic": "systematic"}
        for what, name in wanted.items():
            value = getattr(cell, name)
            known = tuple(dict.fromkeys(getattr(one, name) for one in left))
            if value not in known:
                return Absent(what, value, known)
            left = [one for one in left if getattr(one, name) == value]
        return None

    def find(self, cell: Cell, jets: Jets, rows: IntArray) -> Found:
        """Return the scale factors of some of the jets.

        Which bin a jet on an edge belongs to is the rule of :func:`~truthtag.data.axes.bin_index`.
        """
        grid = self.grids[cell]
        kinematics = {"abs_eta": np.abs(jets.eta[rows]), "pt": jets.pt[rows]}
        index = []
        beyond = []
        for name, values in kinematics.items():
            edges = grid.edges[name]
            bins = bin_index(values, edges, name)
            last = len(edges) - 2
            outside = (bins < 0) | (bins > last)
            if outside.any():
                ends = (float(edges[0]), float(edges[-1]))
                beyond.append(Beyond(name, *ends, rows[outside], values[outside]))
            index.append(np.clip(bins, 0, last))
        return Found(grid.values[tuple(index)], tuple(beyond))


def read_scale_factor_table(path: Path) -> Table:
    """Read a table of scale factors, the columns of :data:`COLUMNS`.

    Each variation of each flavour at each working point has bins of its own in abs(eta) and pT: all
    that their edges make, none missing and none twice.

    Args:
        path: The file, CSV or Parquet.

    Raises:
        DataError: The file is missing or damaged, lacks a column, or holds what is no number; or
            bins are missing, overlap or leave gaps.
    """
    frame = read_csv(path, {"systematic": str}) if path.suffix == ".csv" else read_frame(path)
    check_columns(path, list(frame.columns), COLUMNS)
    if frame.empty:
        msg = f"{path}: has no rows; a row per bin is wanted"
        raise DataError(msg)
    numbers = {name: _numbers(frame, name, path) for name in NUMBERS}
    _refuse(numbers["flavour"] % 1 != 0, numbers["flavour"], "flavour", "a whole number", path)
    below = numbers["abs_eta_low"] < 0
    _refuse(below, numbers["abs_eta_low"], "abs_eta_low", "0 or above", path)
    for name in NAMES:
        empty = frame[name].isna().to_numpy()
        _refuse(empty, frame[name].to_numpy(), name, "a name", path)
    cells = zip(*(frame[name].astype(str) for name in NAMES), numbers["flavour"], strict=True)
    rows: dict[Cell, list[int]] = {}
    for row, (systematic, point, flavour) in enumerate(cells):
        rows.setdefault(Cell(systematic, point, int(flavour)), []).append(row)
    grids = {}
    for cell, of_cell in rows.items():
        grids[cell] = _grid(numbers, np.array(of_cell), f"{path}: {_shown(cell)}")
    return Table(path, grids)


def _numbers(frame: pd.DataFrame, name: str, path: Path) -> FloatArray:
    """Return a column of numbers; only the upper end of a bin may be infinite."""
    import pandas as pd

    values = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64)
    wrong = ~np.isfinite(values)
    if name.endswith("_high"):
        wrong &= values != np.inf
    _refuse(wrong, frame[name].to_numpy(), name, "a finite number", path)
    return values


def _refuse(wrong: AnyArray, values: AnyArray, name: str, allowed: str, path: Path) -> None:
    """Refuse values of a column, naming the first."""
    if wrong.any():
        row = int(np.argmax(wrong))
        msg = (
            f"{path}: column {name!r} is {values[row]} in row {row}; it must be {allowed} "
            f"({int(wrong.sum())} such rows)"
        )
        raise DataError(msg)


def _grid(numbers: Mapping[str, FloatArray], rows: IntArray, source: str) -> Grid:
    """Put the rows of a cell into bins, and refuse gaps and overlaps."""
    edges = {}
    index = []
    for name in AXES:
        low = numbers[f"{name}_low"][rows]
        high = numbers[f"{name}_high"][rows]
        edges[name] = np.unique(np.concatenate([low, high]))
        first = np.searchsorted(edges[name], low)
        after = np.minimum(first + 1, len(edges[name]) - 1)
        spans = (edges[name][after] != high) | (high <= low)
        if spans.any():
            row = int(np.argmax(spans))
            msg = (
                f"{source}: the bin in {name} from {low[row]:g} to {high[row]:g} (row {rows[row]}) "
                f"ends at or below its beginning, or holds the edge {edges[name][after[row]]:g} of "
                "another one. Bins must not overlap"
            )
            raise DataError(msg)
        index.append(first)
    shape = tuple(len(edges[name]) - 1 for name in AXES)
    place = np.ravel_multi_index(tuple(index), shape)
    count = np.bincount(place, minlength=shape[0] * shape[1])
    wrong = count != 1
    if wrong.any():
        position = int(np.argmax(wrong))
        bins = np.unravel_index(position, shape)
        where = []
        for name, bin_ in zip(AXES, bins, strict=True):
            where.append(f"{name} {edges[name][bin_]:g} to {edges[name][bin_ + 1]:g}")
        how = "is missing" if count[position] == 0 else f"stands {count[position]} times"
        msg = (
            f"{source}: the bin {', '.join(where)} {how} ({int(wrong.sum())} such bins). All bins "
            "that the edges make must be there, each once"
        )
        raise DataError(msg)
    values = np.zeros(shape)
    values.ravel()[place] = numbers["scale_factor"][rows]
    return Grid(edges, values)


def _shown(cell: Cell) -> str:
    """Return what a cell is, for the error."""
    parts: dict[str, Any] = {
        "systematic": cell.systematic,
        "working_point": cell.point,
        "flavour": cell.flavour,
    }
    return ", ".join(f"{name} {value}" for name, value in parts.items())
