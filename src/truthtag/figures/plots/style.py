"""How every figure looks: the style of the field, and colours that differ in grey, too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import mplhep
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.style import context as style_context

from truthtag.arrays import FloatArray
from truthtag.data.files import atomic_write, rows_by
from truthtag.statistics.points import WORKING_POINT

__all__ = [
    "add_remark",
    "bin_edges",
    "look_of",
    "new_figure",
    "points",
    "rows_by_point",
    "save_figure",
    "split_figure",
    "stamp",
    "steps",
    "style",
]

# Okabe and Ito's colours, and two of Tol's, differ in lightness as well as in hue. Every line has
# a dash and a marker of its own as well.
LINES: tuple[dict[str, Any], ...] = (
    {"color": "#0072B2", "linestyle": (0, (5, 1.5)), "marker": "s"},
    {"color": "#D55E00", "linestyle": "-", "marker": "v"},
    {"color": "#009E73", "linestyle": (0, (3, 1, 1, 1)), "marker": "^"},
    {"color": "#CC79A7", "linestyle": (0, (1, 1)), "marker": "D"},
    {"color": "#56B4E9", "linestyle": (0, (7, 2, 2, 2)), "marker": "P"},
    {"color": "#E69F00", "linestyle": (0, (2, 1)), "marker": "X"},
    {"color": "#882255", "linestyle": (0, (5, 1, 1, 1, 1, 1)), "marker": "p"},
    {"color": "#999933", "linestyle": (0, (9, 2)), "marker": "*"},
)
FIXED: dict[str, dict[str, Any]] = {
    "direct": {"color": "black", "linestyle": "none", "marker": "o"},
    "true": {"color": "0.45", "linestyle": "-", "marker": ""},
}
STAMP = "stamp"


@contextmanager
def style() -> Iterator[None]:
    """Draw in the style that the field expects."""
    smaller = {
        "figure.dpi": 100,
        "font.size": 15,
        "axes.labelsize": "medium",
        "legend.fontsize": 12.5,
        "xtick.labelsize": "small",
        "ytick.labelsize": "small",
        "lines.linewidth": 1.8,
        "savefig.transparent": False,
        # Without this, matplotlib looks for a calligraphic font that no label uses, and warns.
        "mathtext.cal": "sans",
        # Dates and random identifiers would make two runs differ.
        "svg.hashsalt": "truthtag",
    }
    with mpl.rc_context(), style_context([mplhep.style.ROOT, smaller]):
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches that arranges its axes itself."""
    return Figure(figsize=(width, height), layout="constrained")


def split_figure(figure: Figure, rows: int, columns: int, **options: Any) -> list[SubFigure]:
    """Divide a figure into parts, row by row."""
    parts: Any = figure.subfigures(rows, columns, squeeze=False, **options)
    return list(parts.ravel())


def look_of(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return colour, dash and marker of each way of filling.

    Where there are more names than colours, a colour comes back with another dash and marker.
    """
    free = (_look(number) for number in range(len(names)))
    return {name: FIXED.get(name) or next(free) for name in names}


def _look(number: int) -> dict[str, Any]:
    repeat, place = divmod(number, len(LINES))
    # When the colours are used up, dashes and markers shift against them by different steps.
    places = {"color": place, "linestyle": place + 3 * repeat, "marker": place + 5 * repeat}
    return {key: LINES[which % len(LINES)][key] for key, which in places.items()}


def stamp(axes: Axes, text: str) -> None:
    """Write the project's name above the axes, and on the other side what they show."""
    above: dict[str, Any] = {"transform": axes.transAxes, "va": "bottom"}
    axes.text(0, 1.015, "truthtag", weight="bold", ha="left", fontsize=13, **above)
    axes.text(1, 1.015, text, ha="right", fontsize=12, gid=STAMP, **above)


def add_remark(figure: Figure, remark: str) -> None:
    """Put a remark, ``quick look`` say, before what is written above each of the axes."""
    # Not findobj: it makes all ticks, which takes as long as drawing.
    for axes in figure.axes:
        for text in axes.texts:
            if text.get_gid() == STAMP:
                text.set_text(f"{remark}: {text.get_text()}")


def rows_by_point(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Split a table by the working point; of one point only, all rows are under an empty name."""
    if WORKING_POINT not in frame or frame.empty:
        return {"": frame}
    return rows_by(frame, WORKING_POINT)


def bin_edges(frame: pd.DataFrame) -> FloatArray:
    """Return the bin edges of a histogram's rows."""
    return np.append(frame["low"].to_numpy(), frame["high"].iloc[-1])


def steps(
    axes: Axes, filled: pd.DataFrame, look: dict[str, Any], label: str = "", ratio: bool = False
) -> None:
    """Draw a histogram as steps with error bars at the bin centres.

    Args:
        axes: Where to draw.
        filled: Rows of one way of filling.
        look: Colour, dash and marker, as :func:`look_of` gives them.
        label: Its line in the legend; empty for none.
        ratio: Draw the columns ``ratio`` and ``ratio_error`` in place of ``yield`` and ``error``.
    """
    value, error = _heights(filled, ratio)
    edges = bin_edges(filled)
    line = {"color": look["color"], "linestyle": look["linestyle"]}
    bars = {"fmt": look["marker"], "color": look["color"], "markersize": 3.5, "elinewidth": 1.2}
    axes.stairs(value, edges, baseline=None, linewidth=1.8, **line)
    axes.errorbar((edges[1:] + edges[:-1]) / 2, value, error, **bars)
    if label:
        # Steps and bars are two artists; the legend shows one line with a marker.
        axes.plot([], [], marker=look["marker"], markersize=4, label=label, **line)


def points(axes: Axes, direct: pd.DataFrame, label: str = "", ratio: bool = False) -> None:
    """Draw direct tagging as points; bins without an event have none.

    Args:
        axes: Where to draw.
        direct: Rows of direct tagging.
        label: Its line in the legend; empty for none.
        ratio: Draw the columns ``ratio`` and ``ratio_error`` in place of ``yield`` and ``error``.
    """
    value, error = _heights(direct, ratio)
    # Weights of both signs can add up to any yield; the error is 0 only without events.
    filled = direct["error"].to_numpy() > 0
    centres = (direct["low"] + direct["high"]).to_numpy() / 2
    look: dict[str, Any] = {"fmt": "o", "color": "black", "markersize": 4, "elinewidth": 1.2}
    axes.errorbar(centres[filled], value[filled], error[filled], label=label, **look)


def _heights(filled: pd.DataFrame, ratio: bool) -> tuple[FloatArray, FloatArray]:
    """Return what to draw of a histogram, and its errors."""
    columns = ("ratio", "ratio_error") if ratio else ("yield", "error")
    value, error = (filled[column].to_numpy() for column in columns)
    return value, error


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure, whole or not at all; the suffix of the path tells the format.

    Its axes then stay where they are: to arrange them takes as long as to draw them, and all
    formats show the same.
    """
    kind = Path(path).suffix.removeprefix(".")
    metadata = {"CreationDate": None} if kind == "pdf" else {}
    # Fonts are looked up when a figure is written, not when it is drawn.
    with style(), atomic_write(path) as beside:
        figure.savefig(beside, format=kind, dpi=150, metadata=metadata)
    figure.set_layout_engine(None)
