"""Histograms filled directly and weighted, with their ratios: of any distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from truthtag.arrays import FloatArray, divide
from truthtag.data.files import rows_by
from truthtag.figures.labels import DrawingContext
from truthtag.figures.plots.style import bin_edges, look_of, new_figure, split_figure, stamp, style
from truthtag.figures.plots.style import points as draw_points
from truthtag.figures.plots.style import steps as draw_steps

__all__ = [
    "draw_boson_closure",
    "draw_closure",
    "draw_events_closure",
    "draw_jets_closure",
    "with_ratio",
]

RESIDUAL = r"$(\epsilon_\mathrm{true} - \epsilon_\mathrm{predicted})\,/\,\epsilon_\mathrm{true}$"
HEIGHTS = [2.2, 1]
LABELS = {"direct": "direct tagging", "true": r"true $\epsilon$"}
LIMITS = (0.4, 1.8)
"""Limits of ratios, where nothing is known of the distribution."""


def draw_closure(
    frame: pd.DataFrame, context: DrawingContext, limits: tuple[float, float] = LIMITS
) -> Figure:
    """Draw the closure histograms of any distributions, a panel with a ratio pad for each.

    Args:
        frame: Rows of closure histograms; those of events in the domain are left to the tables.
        context: Labels of the distributions.
        limits: Limits of the ratio pads.
    """
    histograms = _all_events(frame).groupby(["distribution", "panel"], sort=False)
    count = histograms.ngroups
    columns = min(count, 3)
    rows = -(-count // 3)
    width = {1: 8.5, 2: 15.0, 3: 17.0}[columns]
    height = 7.5 if columns < 3 else 6.25 * rows
    with style():
        figure = new_figure(width, height)
        pairs = _pairs(figure, count, columns)
        # One legend for many panels; they share it.
        for number, (pair, (key, one)) in enumerate(zip(pairs, histograms, strict=True)):
            distribution, panel = key
            label = context.distribution(str(distribution))
            text = label.text(str(panel))
            legend = number == 0 or count < 3
            with_ratio(pair, one, label.axis, text, limits, legend)
            stamp(pair[0], context.origin)
    return figure


def draw_events_closure(frame: pd.DataFrame, context: DrawingContext) -> Figure:
    """Draw Figure 7: the mass of the two leading jets, a panel for each pair of flavours."""
    return draw_closure(frame, context, (0.4, 1.8))


def draw_boson_closure(frame: pd.DataFrame, context: DrawingContext) -> Figure:
    """Draw Figure 8: Delta R and mass of the two jets of the boson sample, by their flavour."""
    return draw_closure(frame, context, (0.5, 1.8))


def draw_jets_closure(frame: pd.DataFrame, context: DrawingContext) -> Figure:
    """Draw Figure 6: relative residuals above, Delta R of the two leading jets below."""
    histogram = _all_events(frame)
    distribution = str(histogram["distribution"].iloc[0])
    panel = str(histogram["panel"].iloc[0])
    first = histogram[histogram["panel"] == panel]
    label = context.distribution(distribution)
    with style():
        figure = new_figure(8, 12)
        above, below = split_figure(figure, 2, 1, height_ratios=[1, 1.35])
        axes = above.subplots()
        _residuals(axes, frame[frame["panel"] == "residual"])
        pair = below.subplots(2, 1, sharex=True, height_ratios=HEIGHTS)
        with_ratio(pair, first, label.axis, label.text(panel), (0.72, 1.48))
        stamp(axes, context.origin)
        stamp(pair[0], context.origin)
    return figure


def with_ratio(
    pair: Sequence[Axes],
    frame: pd.DataFrame,
    label: str,
    text: str,
    limits: tuple[float, float],
    legend: bool = True,
) -> None:
    """Draw one closure histogram, and below it ratios to the truth; to direct tagging without one.

    Args:
        pair: Axes of the histogram and of the ratios.
        frame: Rows of one closure histogram.
        label: Label of the horizontal axis.
        text: Written into the panel.
        limits: Limits of the ratios.
        legend: Whether the panel has a legend.
    """
    top, bottom = pair
    by_name = rows_by(frame, "filled_by")
    direct = by_name.pop("direct")
    truth = by_name.get("true")
    if truth is None:
        by_name = {name: _over_direct(filled, direct) for name, filled in by_name.items()}
    look = look_of(list(by_name))
    edges = bin_edges(direct)
    if truth is not None:
        top.stairs(truth["yield"], edges, fill=True, color="0.8", label=LABELS["true"])
        scatter = direct["ratio_error"].to_numpy()
        bottom.stairs(1 + scatter, edges, baseline=1 - scatter, fill=True, color="0.8")
    reference = direct if truth is None else truth
    for name, filled in by_name.items():
        if name != "true":
            draw_steps(top, filled, look[name], label=name)
            _band(bottom, filled, reference, look[name]["color"])
            draw_steps(bottom, filled, look[name], ratio=True)
    draw_points(top, direct, label=LABELS["direct"])
    if truth is not None:
        draw_points(bottom, direct, ratio=True)
    top.set_ylabel("events / bin")
    _set_heights(top, [direct, *by_name.values()], legend)
    top.text(0.05, 0.95, text, transform=top.transAxes, va="top", fontsize=13)
    if legend:
        top.legend(loc="upper right", borderaxespad=1.0)
    bottom.axhline(1, color="0.3", linewidth=1)
    known = "true" if truth is not None else "direct"
    bottom.set(ylim=limits, ylabel=f"ratio to {known}", xlabel=label)
    bottom.set_xlim(edges[0], edges[-1])


def _all_events(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave out the histograms of events in the domain, which tables compare."""
    return frame[frame["events"] == "all"]


def _over_direct(filled: pd.DataFrame, direct: pd.DataFrame) -> pd.DataFrame:
    """Return the same rows with ratios to direct tagging; both share their events."""
    base = direct["yield"].to_numpy()
    ratio = divide(filled["yield"].to_numpy(), base)
    error = divide(np.sqrt(filled["difference_variance"].to_numpy()), np.abs(base))
    return filled.assign(ratio=ratio, ratio_error=error)


def _set_heights(axes: Axes, histograms: Sequence[pd.DataFrame], legend: bool) -> None:
    """Leave room for legend and text above bins and bars, and for negative yields below zero."""
    lines = len(histograms)
    room = 1.4 + 0.12 * lines if legend else 1.4
    yields = np.concatenate([one["yield"].to_numpy(dtype=float) for one in histograms])
    errors = np.concatenate([one["error"].to_numpy(dtype=float) for one in histograms])
    lowest = min(float(np.nanmin(yields, initial=0.0)), 0.0)
    # Bins of a few events have bars as long as they are high, which must not cross the legend.
    highest = max(float(np.nanmax(yields + errors, initial=0.0)), 0.0)
    # Without an event in any bin, the axis still needs two ends.
    top = room * highest if highest > 0 else max(1.0, -lowest)
    axes.set_ylim(1.1 * lowest, top)


def _pairs(figure: Figure, count: int, columns: int) -> list[tuple[Axes, Axes]]:
    """Return aligned pairs of axes, each a panel and its ratio pad, row by row."""
    rows = -(-count // columns)
    grid = figure.subplots(2 * rows, columns, height_ratios=HEIGHTS * rows, squeeze=False)
    pairs = [
        (grid[2 * row, column], grid[2 * row + 1, column])
        for row in range(rows)
        for column in range(columns)
    ]
    for top, bottom in pairs:
        top.sharex(bottom)
        top.tick_params(labelbottom=False)
    for top, bottom in pairs[count:]:
        top.remove()
        bottom.remove()
    return pairs[:count]


def _residuals(axes: Axes, frame: pd.DataFrame) -> None:
    by_name = rows_by(frame, "filled_by")
    look = look_of(list(by_name))
    for name, filled in by_name.items():
        text = f"{name}: mean {filled['mean'].iloc[0]:.3f}, RMS {filled['rms'].iloc[0]:.3f}"
        draw_steps(axes, filled, look[name], label=text)
    axes.axvline(0, color="0.3", linewidth=1)
    axes.set_xlabel(RESIDUAL)
    axes.set_ylabel("jets / bin")
    highest = float(frame["yield"].max()) or 1.0
    axes.set_ylim(0, (1.1 + 0.12 * len(by_name)) * highest)
    axes.legend(loc="upper left")
    edges = bin_edges(next(iter(by_name.values())))
    axes.set_xlim(edges[0], edges[-1])


def _band(axes: Axes, filled: pd.DataFrame, reference: pd.DataFrame, color: str) -> None:
    """Shade what the efficiency's own error leaves open in a ratio."""
    if "efficiency_error" not in filled:
        return
    base = np.abs(reference["yield"].to_numpy())
    ratio = filled["ratio"].to_numpy()
    error: FloatArray = divide(filled["efficiency_error"].to_numpy(), base)
    look: dict[str, Any] = {"fill": True, "color": color, "alpha": 0.25}
    axes.stairs(ratio + error, bin_edges(filled), baseline=ratio - error, **look)
