"""Coverage: how often the truth lies within the errors."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from truthtag.data.files import rows_by
from truthtag.figures.labels import FLAVOUR_NAMES, DrawingContext
from truthtag.figures.plots.style import (
    bin_edges,
    look_of,
    new_figure,
    rows_by_point,
    stamp,
    style,
)

__all__ = ["draw_coverage"]

GAUSSIAN = {"within_1": 68.27, "within_2": 95.45}
"""Fractions within one and two standard deviations of a Gaussian [%]."""
TOLERANCE = {"within_1": 5.0, "within_2": 3.0}
"""Half widths of the bands about them [%]."""
MIN_JETS = 100
"""Bins with fewer jets are not drawn; the table has them."""
VARIABLES = {"pt": r"$p_\mathrm{T}$ [GeV]", "delta_r": r"$\Delta R$ to the nearest jet"}


def draw_coverage(frame: pd.DataFrame, context: DrawingContext) -> Figure:
    """Draw how often the truth lies within one and two standard deviations, by pT and Delta R.

    Args:
        frame: Rows of :func:`truthtag.statistics.coverage.jet_coverage`, ``raw`` and ``corrected``;
            of several working points, each has panels of its own, the loosest above.
        context: Names of the flavours; each has a column of panels.
    """
    with style():
        of_jets = frame[frame["variable"].isin(VARIABLES)]
        by_point = rows_by_point(of_jets)
        panels_of = [(point, variable) for point in by_point for variable in VARIABLES]
        figure = new_figure(17, 11 * len(by_point))
        there = set(of_jets["flavour"])
        present = [flavour for flavour in context.flavours if flavour in there]
        # Where nothing has a spread, the panels are empty.
        columns = present or list(context.flavours)
        grid = figure.subplots(len(panels_of), len(columns), sharey=True, squeeze=False)
        looks = look_of(list(of_jets["efficiency"].unique()))
        for panels, (point, variable) in zip(grid, panels_of, strict=True):
            of_point = by_point[point]
            of_variable = of_point[of_point["variable"] == variable]
            for axes, flavour in zip(panels, columns, strict=True):
                _expected(axes)
                of_flavour = of_variable[of_variable["flavour"] == flavour]
                for name, rows in rows_by(of_flavour, "efficiency").items():
                    _draw_efficiency(axes, rows_by(rows, "spread"), looks[name])
                axes.set(xlabel=VARIABLES[variable], ylim=(0, 105))
                which = f"{FLAVOUR_NAMES.get(flavour, flavour)} jets, in domain"
                stamp(axes, f"{which}, {point}" if point else which)
            panels[0].set_ylabel("truth within 1, 2 std. dev. [%]")
        _legend(figure, grid[0, 0], looks)
    return figure


def _expected(axes: Axes) -> None:
    """Draw what Gaussian errors give, with a band about it."""
    for within, value in GAUSSIAN.items():
        axes.axhline(value, color="0.3", linewidth=1)
        tolerance = TOLERANCE[within]
        axes.axhspan(value - tolerance, value + tolerance, color="0.85", zorder=0)


def _draw_efficiency(axes: Axes, by_spread: dict[str, pd.DataFrame], look: dict[str, Any]) -> None:
    """Draw the coverage of one efficiency: dotted, the spread as it is; full, corrected."""
    corrected = by_spread["corrected"]
    centres = (corrected["low"] + corrected["high"]) / 2
    color = look["color"]
    for within in GAUSSIAN:
        _steps(axes, by_spread["raw"], within, color, alpha=0.6, linestyle=":")
        _steps(axes, corrected, within, color)
    for within in GAUSSIAN:
        axes.plot(centres, _percent(corrected, within), look["marker"], color=color, markersize=5)


def _legend(figure: Figure, axes: Axes, looks: dict[str, dict[str, Any]]) -> None:
    """Name the efficiencies above all panels."""
    for name, look in looks.items():
        axes.plot([], [], color=look["color"], marker=look["marker"], markersize=6, label=name)
    axes.plot([], [], color="0.3", linestyle=":", label="spread as it is")
    figure.legend(loc="outside upper center", ncols=len(looks) + 1)


def _steps(axes: Axes, rows: pd.DataFrame, within: str, color: str, **line: Any) -> None:
    height = _percent(rows, within)
    axes.stairs(height, bin_edges(rows), baseline=None, color=color, linewidth=1.4, **line)


def _percent(rows: pd.DataFrame, within: str) -> pd.Series[float]:
    """Return the coverage in percent, NaN in bins of too few jets."""
    return 100 * rows[within].where(rows["count"] >= MIN_JETS)
