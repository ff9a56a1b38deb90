"""Coverage: how often the truth lies within the errors."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from truthtag.data.files import rows_by
from truthtag.figures.labels import FLAVOUR_NAMES, DrawingContext
from truthtag.figures.plots.style import (
    look_of,
    new_figure,
    rows_by_point,
    stamp,
    style,
)

__all__ = ["draw_coverage"]

GAUSSIAN = 68.27
"""Fraction within one standard deviation of a Gaussian [%]."""
TOLERANCE = 5.0
"""Half width of the band about it [%]."""
MIN_JETS = 100
"""Bins with fewer jets are not drawn; the table has them."""
VARIABLES = {"pt": r"$p_\mathrm{T}$ [GeV]", "delta_r": r"$\Delta R$ to the nearest jet"}


def draw_coverage(frame: pd.DataFrame, context: DrawingContext) -> Figure:
    """Draw how often the truth lies within one standard deviation, by pT and Delta R.

    Args:
        frame: Rows of :func:`truthtag.statistics.coverage.jet_coverage`, of which the ``corrected``
            are drawn; of several working points, each has panels of its own, the loosest above.
        context: Names of the flavours; each has a column of panels.
    """
    with style():
        drawn = frame["variable"].isin(VARIABLES) & (frame["spread"] == "corrected")
        of_jets = frame[drawn]
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
                _draw_efficiencies(axes, rows_by(of_flavour, "efficiency"), looks)
                axes.set(xlabel=VARIABLES[variable], ylim=(0, 105))
                which = f"{FLAVOUR_NAMES.get(flavour, flavour)} jets, in domain"
                stamp(axes, f"{which}, {point}" if point else which)
            panels[0].set_ylabel("truth within 1 std. dev. [%]")
        _legend(figure, grid[0, 0], looks)
    return figure


def _expected(axes: Axes) -> None:
    """Draw what Gaussian errors give, with a band about it."""
    axes.axhline(GAUSSIAN, color="0.3", linewidth=1)
    axes.axhspan(GAUSSIAN - TOLERANCE, GAUSSIAN + TOLERANCE, color="0.85", zorder=0)


def _draw_efficiencies(
    axes: Axes, by_name: dict[str, pd.DataFrame], looks: dict[str, dict[str, Any]]
) -> None:
    """Draw the coverage of each efficiency, side by side within a bin."""
    names = list(looks)
    for name, rows in by_name.items():
        # Evenly over the middle half of a bin, in the order of the legend.
        share = 0.25 + 0.5 * (names.index(name) + 0.5) / len(names)
        x = rows["low"] + share * (rows["high"] - rows["low"])
        look = looks[name]
        line = {"color": look["color"], "linewidth": 0.8, "alpha": 0.9}
        axes.plot(x, _percent(rows), marker=look["marker"], markersize=5, **line)


def _legend(figure: Figure, axes: Axes, looks: dict[str, dict[str, Any]]) -> None:
    """Name the efficiencies above all panels."""
    for name, look in looks.items():
        axes.plot([], [], color=look["color"], marker=look["marker"], markersize=6, label=name)
    axes.plot([], [], color="0.3", linewidth=1, label="Gaussian errors")
    figure.legend(loc="outside upper center", ncols=len(looks) + 1)


def _percent(rows: pd.DataFrame) -> pd.Series[float]:
    """Return the coverage in percent, NaN in bins of too few jets."""
    return 100 * rows["within_1"].where(rows["count"] >= MIN_JETS)
