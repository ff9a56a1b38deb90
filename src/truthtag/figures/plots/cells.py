"""Single jets by their neighbours: tagged over predicted."""

from __future__ import annotations

import itertools
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from truthtag.data.files import rows_by
from truthtag.figures.labels import FLAVOUR_NAMES, DrawingContext
from truthtag.figures.plots.style import look_of, new_figure, rows_by_point, stamp, style

__all__ = ["draw_cells"]

MIN_TAGS = 5
"""Cells with fewer predicted tags are not drawn; the table has them."""


def draw_cells(frame: pd.DataFrame, context: DrawingContext) -> Figure:
    """Draw tagged over predicted jets by flavour, flavour of the nearest jet and Delta R to it.

    Args:
        frame: Rows of :func:`truthtag.statistics.cells.summed_over_pt`; of several working points,
            each has panels of its own, the loosest above.
        context: Names of the flavours; each has a row and a column of panels if none is missing.
    """
    with style():
        by_point = rows_by_point(frame)
        flavours = list(context.flavours)
        every = list(itertools.product(by_point, flavours, flavours))
        # A boson decays to two jets of one flavour: what no jet is next to has no panel.
        present = [panel for panel in every if not _of_panel(by_point, panel).empty]
        panels = present or every
        n_rows = -(-len(panels) // len(flavours))
        figure = new_figure(6 * len(flavours), 4.2 * n_rows + 0.6)
        # Where nothing is missing, a row is of one flavour.
        share: Literal["row", "none"] = "row" if panels == every else "none"
        grid = figure.subplots(n_rows, len(flavours), sharex=True, sharey=share, squeeze=False)
        looks = look_of(list(frame["efficiency"].unique()))
        # All panels share their axis, whichever bins their own jets are in.
        bins = sorted(set(zip(frame["delta_r_low"], frame["delta_r_high"], strict=True)))
        for axes in grid.flat[len(panels) :]:
            axes.set_axis_off()
        for axes, panel in zip(grid.flat, panels, strict=False):
            _draw_panel(axes, rows_by(_of_panel(by_point, panel), "efficiency"), looks, bins)
            point, flavour, neighbour = panel
            which = f"{_named(flavour)} next to {_named(neighbour)}"
            stamp(axes, f"{which}, {point}" if point else which)
        for axes in grid[:, 0]:
            axes.set_ylabel("tagged / predicted")
        for column in grid.T:
            lowest = [axes for axes in column if axes.axison][-1]
            lowest.set_xlabel(r"$\Delta R$ to the nearest jet")
            lowest.tick_params(labelbottom=True)
        _legend(figure, grid[0, 0], looks)
    return figure


def _of_panel(by_point: dict[str, pd.DataFrame], panel: tuple[str, str, str]) -> pd.DataFrame:
    """Return the rows of a panel: of a working point, a flavour and that of the nearest jet."""
    point, flavour, neighbour = panel
    rows = by_point[point]
    return rows[(rows["flavour"] == flavour) & (rows["neighbour"] == neighbour)]


def _draw_panel(
    axes: Axes,
    by_name: dict[str, pd.DataFrame],
    looks: dict[str, dict[str, Any]],
    bins: list[tuple[float, float]],
) -> None:
    """Draw the bins of Delta R one beside the other, and in each the efficiencies."""
    axes.axhline(1, color="0.3", linewidth=1)
    if not by_name:
        return
    lows = [low for low, _ in bins]
    width = 0.8 / len(by_name)
    for number, (name, rows) in enumerate(by_name.items()):
        enough = rows[rows["predicted"].abs() >= MIN_TAGS]
        predicted = enough["predicted"].to_numpy()
        ratio = enough["tagged"].to_numpy() / predicted
        error = enough["error"].to_numpy() / np.abs(predicted)
        of_efficiency = np.nan_to_num(enough["efficiency_error"].to_numpy()) / np.abs(predicted)
        place = np.array([lows.index(low) for low in enough["delta_r_low"]], dtype=float)
        place += (number + 0.5) * width - 0.4
        look = looks[name]
        marker = look["marker"] or "o"
        full = np.hypot(error, of_efficiency)
        axes.bar(place, 2 * full, width, bottom=ratio - full, color=look["color"], alpha=0.25)
        axes.errorbar(place, ratio, error, fmt=marker, color=look["color"], markersize=4)
    axes.tick_params(axis="x", which="minor", bottom=False, top=False)
    axes.set_xticks(range(len(bins)), [_label(low, high) for low, high in bins])


def _label(low: float, high: float) -> str:
    """Return what is written below a bin."""
    return f"{low:g}-{high:g}" if np.isfinite(high) else f"> {low:g}"


def _named(flavour: str) -> str:
    return FLAVOUR_NAMES.get(flavour, flavour)


def _legend(figure: Figure, axes: Axes, looks: dict[str, dict[str, Any]]) -> None:
    """Name the efficiencies above all panels."""
    for name, look in looks.items():
        marker = look["marker"] or "o"
        axes.plot([], [], marker, color=look["color"], markersize=6, label=name)
    if looks:
        figure.legend(loc="outside upper center", ncols=min(len(looks), 8))
