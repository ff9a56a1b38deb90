"""What more training events or time buy, and what repeated training samples say of errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from truthtag.data.files import rows_by
from truthtag.figures.labels import DrawingContext
from truthtag.figures.plots.style import bin_edges, look_of, new_figure, stamp, style

__all__ = ["draw_learning_curve", "draw_repeated", "draw_training_cost"]

FLOOR: dict[str, Any] = {"color": "0.45", "linestyle": (0, (4, 3)), "linewidth": 1.4}
REPLICAS = "#0072B2"


def draw_learning_curve(frame: pd.DataFrame, context: DrawingContext) -> Figure:
    """Draw the regret of every efficiency against the events that it was fitted to.

    Args:
        frame: Points of a learning curve; networks, which have seeds, get filled markers.
        context: What the numbers are from.
    """
    with style():
        figure = new_figure(11.5, 7)
        axes = figure.subplots()
        by_name = rows_by(frame[frame["flavour"] == "all"], "efficiency")
        look = look_of(list(by_name))
        for name, rows in by_name.items():
            is_network = rows["seeds"].notna().any()
            face = look[name]["color"] if is_network else "white"
            marker = {**look[name], "markersize": 7, "markerfacecolor": face}
            axes.plot(rows["events"], rows["regret"], label=name, **marker)
            if rows["floor"].notna().any():
                label = rf"{name}, expected: $p\,/\,2N_\mathrm{{jets}}$"
                axes.plot(rows["events"], rows["floor"], **FLOOR, zorder=1, label=label)
        axes.set(xlabel="training events", ylabel="regret [nats/jet]", xscale="log", yscale="log")
        _legend_beside(axes, "open: map or fit, filled: network")
        stamp(axes, context.origin)
    return figure


def draw_training_cost(frame: pd.DataFrame, context: DrawingContext) -> Figure:
    """Draw the validation loss of every network above that of the truth against its training time.

    Args:
        frame: Losses by network and epoch, means over the seeds.
        context: What the numbers are from.
    """
    with style():
        figure = new_figure(11.5, 7)
        axes = figure.subplots()
        by_name = rows_by(frame, "network")
        look = look_of(list(by_name))
        for name, rows in by_name.items():
            _draw_cost(axes, rows, name, look[name])
        axes.set(
            xlabel="training time of a network [s]",
            ylabel="validation loss above that of the truth [nats/event]",
        )
        axes.set(xscale="log", yscale="log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        several = bool((frame["seeds"] > 1).any())
        title = "marker: the end\nbar: spread of seeds" if several else "marker: the end"
        _legend_beside(axes, title)
        stamp(axes, context.origin)
    return figure


def draw_repeated(frame: pd.DataFrame, context: DrawingContext) -> Figure:
    """Draw the error of each bin by replicas, and its scatter over repeated training samples.

    Args:
        frame: Errors by efficiency, distribution, panel and bin. Each efficiency has a row of
            panels; of a distribution that is split by flavour, only the first panel is drawn.
        context: Labels of the distributions.
    """
    by_name = rows_by(frame, "efficiency")
    panels = {
        distribution: str(rows["panel"].iloc[0])
        for distribution, rows in rows_by(frame, "distribution").items()
    }
    with style():
        figure = new_figure(7.5 * len(panels), 5.2 * len(by_name))
        grid = figure.subplots(len(by_name), len(panels), squeeze=False)
        for row, (name, of_name) in zip(grid, by_name.items(), strict=True):
            for axes, (distribution, panel) in zip(row, panels.items(), strict=True):
                chosen = of_name["distribution"] == distribution
                rows = of_name[chosen & (of_name["panel"] == panel)]
                _draw_errors(axes, rows)
                label = context.distribution(distribution)
                axes.set_xlabel(f"{label.axis}, {label.text(panel)}")
                axes.legend(loc="upper right", title=name, title_fontsize=12)
                stamp(axes, context.origin)
            row[0].set_ylabel("error of the yield [%]")
    return figure


def _draw_cost(axes: Axes, rows: pd.DataFrame, name: str, look: dict[str, Any]) -> None:
    """Draw the loss of one network by time, and mark where its training ends."""
    color = look["color"]
    dash = look["linestyle"]
    marker = look["marker"]
    axes.plot(rows["seconds"], rows["excess"], color=color, linestyle=dash, linewidth=1.4)
    end = rows.iloc[-1]
    # A single seed has no spread.
    std = None if np.isnan(end["excess_std"]) else end["excess_std"]
    bars = {"color": color, "marker": marker, "markersize": 9, "elinewidth": 1.4}
    axes.errorbar(end["seconds"], end["excess"], std, **bars)
    axes.plot([], [], color=color, linestyle=dash, marker=marker, label=name)


def _draw_errors(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw the relative error of each bin; bins without events leave a gap."""
    edges = bin_edges(rows)
    percent = 100 / rows["yield"].where(rows["yield"] > 0).to_numpy()
    claimed = percent * rows["replicas"].to_numpy()
    scatter = percent * rows["replicas_std"].to_numpy()
    seen = percent * rows["repeated"].to_numpy()
    seen_error = percent * rows["repeated_error"].to_numpy()
    low = claimed - scatter
    high = claimed + scatter
    axes.stairs(high, edges, baseline=low, fill=True, color=REPLICAS, alpha=0.25)
    line: dict[str, Any] = {"baseline": None, "color": REPLICAS, "linewidth": 1.8}
    axes.stairs(claimed, edges, label="replicas of one sample", **line)
    centres = (edges[1:] + edges[:-1]) / 2
    look: dict[str, Any] = {"fmt": "o", "color": "black", "markersize": 4}
    axes.errorbar(centres, seen, seen_error, label="repeated samples", **look)
    heights = np.append(high, seen + seen_error)
    highest = float(np.nan_to_num(heights).max()) or 1.0
    axes.set(ylim=(0, 1.6 * highest), xlim=(edges[0], edges[-1]))


def _legend_beside(axes: Axes, title: str) -> None:
    """Put the legend beside the axes, where it hides nothing."""
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0}
    axes.legend(**place, handlelength=3.2, title=title, title_fontsize=12, alignment="left")
