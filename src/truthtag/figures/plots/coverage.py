"""Whether efficiencies and their errors can be trusted: calibration and coverage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, NullFormatter

from truthtag.data.files import rows_by
from truthtag.figures.plots.style import FLAVOUR_NAMES, bin_edges, look_of, new_figure, stamp, style

__all__ = ["draw_calibration", "draw_coverage"]

GAUSSIAN = {"within_1": 68.27, "within_2": 95.45}
TOLERANCE = {"within_1": 5.0, "within_2": 3.0}
FEWEST = 100
"""Bins with fewer jets are not drawn; the table has them."""
VARIABLES = {"pt": r"$p_\mathrm{T}$ [GeV]", "delta_r": r"$\Delta R$ to the nearest jet"}


def draw_calibration(frame: pd.DataFrame, flavours: Sequence[str]) -> Figure:
    """Draw the tagged fraction of jets against the efficiency predicted for them, and their ratio, a column per flavour."""
    with style():
        figure = new_figure(17, 8)
        # Logarithmic axes have no place for efficiencies of 0; the table has them.
        frame = frame[frame["predicted"] > 0]
        present = [flavour for flavour in flavours if flavour in set(frame["flavour"])]
        grid = figure.subplots(2, len(present), sharex="col", squeeze=False, height_ratios=[1.6, 1])
        looks = look_of(list(frame["efficiency"].unique()))
        for (top, bottom), flavour in zip(grid.T, present, strict=True):
            of_flavour = frame[frame["flavour"] == flavour]
            for name, rows in rows_by(of_flavour, "efficiency").items():
                x, y = rows["predicted"].to_numpy(), rows["tagged_fraction"].to_numpy()
                reach = np.stack(
                    [y - rows["tagged_low"].to_numpy(), rows["tagged_high"].to_numpy() - y]
                )
                look = {
                    "fmt": looks[name]["marker"],
                    "color": looks[name]["color"],
                    "markersize": 5,
                    "elinewidth": 1.1,
                }
                top.errorbar(x, y, reach, label=name, **look)
                bottom.errorbar(x, y / x, reach / x, **look)
            ends = np.array(
                [of_flavour["predicted"].min() * 0.8, of_flavour["predicted"].max() * 1.25]
            )
            top.plot(ends, ends, color="0.3", linewidth=1)
            top.set(xscale="log", yscale="log", xlim=ends, ylim=(ends[0] * 0.7, ends[1] * 1.3))
            bottom.axhline(1, color="0.3", linewidth=1)
            bottom.set(
                ylim=(0.5, 1.5),
                xlabel=rf"predicted $\epsilon$ of {FLAVOUR_NAMES.get(flavour, flavour)} jets",
            )
            for axis in (top.xaxis, top.yaxis, bottom.xaxis):
                _few_labels(axis, *ends)
            stamp(top)
        grid[0, 0].legend(loc="upper left")
        grid[0, 0].set_ylabel("tagged fraction")
        grid[1, 0].set_ylabel("tagged / predicted")
    return figure


def draw_coverage(frame: pd.DataFrame, flavours: Sequence[str]) -> Figure:
    """Draw how often the truth lies within one and two standard deviations, by pT and Delta R, a column per flavour."""
    with style():
        figure = new_figure(17, 11)
        of_jets = frame[frame["variable"].isin(VARIABLES)]
        # Where nothing has a spread, the panels are empty.
        present = [flavour for flavour in flavours if flavour in set(of_jets["flavour"])] or list(
            flavours
        )
        grid = figure.subplots(len(VARIABLES), len(present), sharey=True, squeeze=False)
        looks = look_of(list(of_jets["efficiency"].unique()))
        for panels, (variable, label) in zip(grid, VARIABLES.items(), strict=True):
            for axes, flavour in zip(panels, present, strict=True):
                for within, value in GAUSSIAN.items():
                    axes.axhline(value, color="0.3", linewidth=1)
                    axes.axhspan(
                        value - TOLERANCE[within], value + TOLERANCE[within], color="0.85", zorder=0
                    )
                part = of_jets[(of_jets["variable"] == variable) & (of_jets["flavour"] == flavour)]
                for name, rows in rows_by(part, "efficiency").items():
                    by_spread = rows_by(rows, "spread")
                    for within in GAUSSIAN:
                        _steps(
                            axes,
                            by_spread["raw"],
                            within,
                            looks[name]["color"],
                            alpha=0.6,
                            linestyle=":",
                        )
                        _steps(axes, by_spread["corrected"], within, looks[name]["color"])
                    corrected = by_spread["corrected"]
                    centres = (corrected["low"] + corrected["high"]) / 2
                    for within in GAUSSIAN:
                        height = 100 * corrected[within].where(corrected["count"] >= FEWEST)
                        axes.plot(
                            centres, height, looks[name]["marker"], color=looks[name]["color"], ms=5
                        )
                axes.set(xlabel=label, ylim=(0, 105))
                stamp(axes, f"{FLAVOUR_NAMES.get(flavour, flavour)} jets, in domain")
            panels[0].set_ylabel("truth within 1, 2 std. dev. [%]")
        for name, look in looks.items():
            grid[0, 0].plot(
                [], [], color=look["color"], marker=look["marker"], markersize=6, label=name
            )
        grid[0, 0].plot([], [], color="0.3", linestyle=":", label="spread as it is")
        figure.legend(loc="outside upper center", ncols=len(looks) + 1)
    return figure


def _steps(axes: Axes, rows: pd.DataFrame, column: str, color: str, **line: Any) -> None:
    axes.stairs(
        100 * rows[column].where(rows["count"] >= FEWEST),
        bin_edges(rows),
        baseline=None,
        color=color,
        linewidth=1.4,
        **line,
    )


def _few_labels(axis: Axis, low: float, high: float) -> None:
    """Label the minor ticks of a logarithmic axis where it is too short for powers of ten alone."""
    short = high / low < 30
    axis.set_minor_formatter(
        LogFormatterSciNotation(minor_thresholds=(2, 0.5)) if short else NullFormatter()
    )
