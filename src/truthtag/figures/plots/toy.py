"""What weighting buys, universality, and the true efficiency: Figures 1 to 3."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from truthtag.arrays import FloatArray, divide
from truthtag.data.files import rows_by
from truthtag.figures.labels import FLAVOUR_NAMES, DrawingContext, pair_name
from truthtag.figures.plots.style import (
    LINES,
    bin_edges,
    look_of,
    new_figure,
    points,
    split_figure,
    stamp,
    steps,
    style,
)

__all__ = ["draw_true_efficiency", "draw_universality", "draw_weighting"]

MASS = r"$m_{j_1 j_2}$ [GeV]"
PT = r"$p_\mathrm{T}$ [GeV]"
WEIGHTED: dict[str, Any] = {"color": "#CC79A7", "linestyle": "-", "marker": "D"}
SAMPLE_LOOKS: tuple[dict[str, Any], ...] = (
    {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    {"color": "#D55E00", "marker": "s", "linestyle": (0, (4, 1.5))},
    *LINES[2:],
)


def draw_weighting(frame: pd.DataFrame, context: DrawingContext) -> Figure:
    """Draw Figure 1: cutting events away, weighting them, and the statistical error of either.

    Args:
        frame: Rows of a closure histogram, and those of all generated events. Weights are those of
            the true efficiency or, where that is not known, of the last one.
        context: What the numbers are from.
    """
    by_name = rows_by(frame, "filled_by")
    everything = by_name.pop("generated")
    direct = by_name.pop("direct")
    name = "true" if "true" in by_name else next(reversed(by_name), "")
    # Without any efficiency, nothing is weighted.
    weighted = by_name.get(name, everything.assign(**{"yield": 0.0, "error": 0.0}))
    edges = bin_edges(direct)
    pair = pair_name(frame["panel"].iloc[0])
    with style():
        figure = new_figure(15, 8)
        grid = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=[2.4, 1])
        # Without an event, a logarithmic axis still needs an upper end.
        highest = max(float(everything["yield"].max()), 1.0)
        filled: dict[str, Any] = {"color": "0.6", "fill": True, "alpha": 0.45}
        for axes in grid[0]:
            axes.stairs(everything["yield"], edges, label="all generated events", **filled)
            # Limits first: matplotlib warns of a logarithmic axis without positive values.
            axes.set_ylim(0.1, 30 * highest)
            axes.set_yscale("log")
            stamp(axes, context.origin)
        points(grid[0, 0], direct, label="direct tagging: the events that pass")
        efficiency = r"true $\epsilon$" if name == "true" else name
        weight = rf"every event, weight $\epsilon_1\epsilon_2$ ({efficiency})"
        steps(grid[0, 1], weighted, WEIGHTED, label=weight)
        _relative_error(grid[1, 0], direct, "black")
        _relative_error(grid[1, 1], weighted, WEIGHTED["color"])
        for axes, word in zip(grid[0], ("cut", "weight"), strict=True):
            title = f"{word}: {pair} jets, both tagged"
            axes.legend(loc="upper right", title=title, title_fontsize=13)
        grid[0, 0].set_ylabel("events / bin")
        grid[1, 0].set_ylabel("stat. error [%]")
        grid[1, 0].set_ylim(bottom=0)
        grid[1, 0].set_xlim(edges[0], edges[-1])
    return figure


def draw_universality(frame: pd.DataFrame, context: DrawingContext) -> Figure:
    """Draw Figure 2: samples differ in Delta R, and so in efficiency at one pT.

    Args:
        frame: Densities, tagged fractions and ratios, by sample.
        context: Names of flavours and samples. Ratios are those of the last sample in the table.
    """
    flavour = FLAVOUR_NAMES.get(context.flavours[0], context.flavours[0])
    by_sample = rows_by(frame, "sample")
    last = list(by_sample)[-1]
    with style():
        figure = new_figure(17, 6)
        left, middle, right = figure.subplots(1, 3)
        for (sample, rows), look in zip(by_sample.items(), SAMPLE_LOOKS, strict=False):
            label = context.sample(sample)
            by_panel = rows_by(rows, "panel")
            _density(left, by_panel["density"], look, label)
            if "tagged_fraction" in by_panel:
                _fractions(middle, by_panel["tagged_fraction"], look, label)
        of_last = by_sample[last]
        _ratios(right, of_last[of_last["panel"] == "direct_over_predicted"])
        left.set(xlabel=r"$\Delta R$ to the nearest jet", ylabel=f"density of {flavour} jets")
        middle.set(xlabel=PT, ylabel=f"tagged fraction of {flavour} jets", ylim=(0, 1))
        _legend(left)
        _legend(middle)
        several = len(by_sample) > 1
        stamp(left, "samples differ in what maps leave out" if several else context.origin)
        stamp(middle, "so one map cannot serve both" if several else context.origin)
        stamp(right, f"{context.sample(last)}, fits from {context.trained_on}")
    return figure


def draw_true_efficiency(frame: pd.DataFrame, context: DrawingContext) -> Figure:
    """Draw Figure 3: the efficiency of a jet alone per flavour, and the factor of a neighbour.

    Args:
        frame: The efficiency over (pT, eta), and the factor over Delta R, by flavour.
        context: Names of the flavours.
    """
    flavours = context.flavours
    with style():
        figure = new_figure(17, 8.5)
        above, below = split_figure(figure, 2, 1)
        panels = above.subplots(1, len(flavours), sharey=True, squeeze=False)[0]
        base = frame[frame["panel"] == "base"]
        for axes, flavour in zip(panels, flavours, strict=True):
            _draw_base(above, axes, base[base["flavour"] == flavour], flavour)
            stamp(axes, context.origin)
        panels[0].set_ylabel(r"$\eta$")
        axes = below.subplots()
        correction = frame[frame["panel"] == "correction"]
        for flavour, look in zip(flavours, LINES, strict=False):
            rows = correction[correction["flavour"] == flavour]
            line = {"color": look["color"], "linestyle": look["linestyle"]}
            label = f"{FLAVOUR_NAMES.get(flavour, flavour)} neighbour"
            axes.plot(rows["delta_r"], rows["factor"], label=label, **line)
        axes.axhline(1, color="0.3", linewidth=1)
        axes.set(xlabel=r"$\Delta R$ to the neighbour", ylabel=r"factor on $\epsilon$")
        # From what the paper shows down to what the config asks for.
        lowest = float(correction["factor"].min())
        axes.set_ylim(min(0.4, lowest - 0.05), 1.05)
        axes.set_xlim(left=0, right=float(frame["delta_r"].max()))
        axes.legend(loc="lower right")
        stamp(axes, context.origin)
    return figure


def _relative_error(axes: Axes, rows: pd.DataFrame, color: str) -> None:
    """Draw the relative statistical error of each bin; bins without events leave a gap."""
    relative: FloatArray = divide(rows["error"].to_numpy(), np.abs(rows["yield"].to_numpy()))
    axes.stairs(100 * relative, bin_edges(rows), color=color, linewidth=2, baseline=None)
    axes.set_xlabel(MASS)


def _density(axes: Axes, rows: pd.DataFrame, look: dict[str, Any], label: str) -> None:
    color = look["color"]
    dash = look["linestyle"]
    axes.stairs(rows["value"], bin_edges(rows), label=label, color=color, linestyle=dash)
    centres = (rows["low"] + rows["high"]) / 2
    bars: dict[str, Any] = {"fmt": "none", "color": color, "elinewidth": 1}
    axes.errorbar(centres, rows["value"], rows["error"], **bars)


def _fractions(axes: Axes, rows: pd.DataFrame, look: dict[str, Any], label: str) -> None:
    value = rows["value"].to_numpy()
    reach = np.abs(rows[["value_low", "value_high"]].to_numpy().T - value)
    centres = (rows["low"] + rows["high"]) / 2
    bars: dict[str, Any] = {"fmt": look["marker"], "color": look["color"], "markersize": 5}
    axes.errorbar(centres, value, reach, label=label, **bars)


def _ratios(axes: Axes, frame: pd.DataFrame) -> None:
    """Draw tagged over predicted for each efficiency, side by side in each bin."""
    by_name = rows_by(frame, "filled_by")
    look = look_of(list(by_name))
    for number, (name, rows) in enumerate(by_name.items()):
        width = (rows["high"] - rows["low"]).to_numpy()
        # Markers fill the middle half of the bin, so that they do not hide each other.
        shift = 0.25 + 0.5 * number / max(len(by_name) - 1, 1)
        place = rows["low"].to_numpy() + width * shift
        marker = look[name]["marker"] or "_"
        bars: dict[str, Any] = {"fmt": marker, "color": look[name]["color"], "markersize": 5}
        label = r"true $\epsilon(p_\mathrm{T}, \eta, \Delta R)$" if name == "true" else name
        axes.errorbar(place, rows["value"], rows["error"], label=label, **bars)
    axes.axhline(1, color="0.3", linewidth=1)
    axes.set(xlabel=PT, ylabel="tagged / predicted", ylim=(0.6, 1.3 + 0.06 * len(by_name)))
    _legend(axes)


def _legend(axes: Axes) -> None:
    """Name what is drawn; a sample can lack the flavour, and then nothing is."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper right")


def _draw_base(figure: SubFigure, axes: Axes, rows: pd.DataFrame, flavour: str) -> None:
    """Draw the efficiency of a jet alone as a map with contours."""
    grid = rows.pivot_table(index="eta", columns="pt", values="efficiency")
    place = (grid.columns, grid.index, grid.to_numpy())
    image = axes.pcolormesh(*place, cmap="viridis", vmin=0, rasterized=True)
    lines = axes.contour(*place, 5, colors="white", linewidths=0.8)
    axes.clabel(lines, fontsize=10)
    name = FLAVOUR_NAMES.get(flavour, flavour)
    figure.colorbar(image, ax=axes, label=rf"$\epsilon$ of a {name} jet alone")
    axes.set_xlabel(PT)
