"""Histograms filled directly and weighted, with their ratios to the truth: Figures 1, 6, 7 and 8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from truthtag.arrays import FloatArray
from truthtag.data.files import rows_by
from truthtag.figures.plots.style import (
    bin_edges,
    look_of,
    new_figure,
    pair_name,
    split_figure,
    stamp,
    style,
)

__all__ = ["draw_boson_closure", "draw_events_closure", "draw_jets_closure", "draw_weighting"]

AXES = {
    "delta_r": r"$\Delta R(j_1, j_2)$",
    "m_jj": r"$m_{j_1 j_2}$ [GeV]",
    "residual": r"$(\epsilon_\mathrm{true} - \epsilon_\mathrm{predicted})\,/\,\epsilon_\mathrm{true}$",
}
HEIGHTS = [2.2, 1]
WEIGHTED: dict[str, Any] = {"color": "#CC79A7", "linestyle": "-", "marker": "D"}
LABELS = {"direct": "direct tagging", "true": r"true $\epsilon$"}


def draw_jets_closure(frame: pd.DataFrame, flavours: Sequence[str]) -> Figure:  # noqa: ARG001
    """Draw Figure 6: relative residuals above, Delta R of the two leading jets below."""
    with style():
        figure = new_figure(8, 12)
        above, below = split_figure(figure, 2, 1, height_ratios=[1, 1.35])
        _residuals(above.subplots(), frame[frame["panel"] == "residual"])
        pair = below.subplots(2, 1, sharex=True, height_ratios=HEIGHTS)
        with_ratio(
            pair,
            _all_events(frame[frame["panel"] == "delta_r"]),
            AXES["delta_r"],
            "leading jet tagged",
            (0.72, 1.48),
        )
    return figure


def draw_events_closure(frame: pd.DataFrame, flavours: Sequence[str]) -> Figure:  # noqa: ARG001
    """Draw Figure 7: the mass of the two leading jets, both tagged, a panel for each pair of flavours."""
    with style():
        figure = new_figure(17, 12.5)
        panels = rows_by(_all_events(frame), "panel")
        for number, (pair, (panel, rows)) in enumerate(
            zip(_pairs(figure, len(panels)), panels.items(), strict=True)
        ):
            with_ratio(
                pair,
                rows,
                AXES["m_jj"],
                f"{pair_name(panel)} jets, both tagged",
                (0.4, 1.8),
                legend=number == 0,
            )
    return figure


def draw_boson_closure(frame: pd.DataFrame, flavours: Sequence[str]) -> Figure:  # noqa: ARG001
    """Draw Figure 8: Delta R and mass of the two jets of the boson sample."""
    with style():
        figure = new_figure(15, 7.5)
        panels = rows_by(_all_events(frame), "panel")
        for pair, (panel, rows) in zip(
            _pairs(figure, len(panels), columns=2), panels.items(), strict=True
        ):
            text = "boosted boson, both tagged\nnot in the training sample"
            with_ratio(pair, rows, AXES[panel], text, (0.7, 1.75))
    return figure


def draw_weighting(frame: pd.DataFrame, flavours: Sequence[str]) -> Figure:  # noqa: ARG001
    """Draw Figure 1: cutting events away, weighting them, and the statistical error of either."""
    with style():
        figure = new_figure(15, 8)
        grid = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=[2.4, 1])
        by_name = rows_by(frame, "filled_by")
        everything, direct, weighted = by_name["generated"], by_name["direct"], by_name["true"]
        edges = bin_edges(direct)
        pair = pair_name(frame["panel"].iloc[0])
        for axes in grid[0]:
            axes.stairs(
                everything["yield"],
                edges,
                color="0.6",
                fill=True,
                alpha=0.45,
                label="all generated events",
            )
            axes.set(yscale="log", ylim=(0.1, 30 * everything["yield"].max()))
            stamp(axes)
        _points(grid[0, 0], direct, label="direct tagging: the events that pass")
        _steps(
            grid[0, 1],
            weighted,
            WEIGHTED,
            label=r"every event, weight $\epsilon_1\epsilon_2$ (true $\epsilon$)",
        )
        for axes, one, color in (
            (grid[1, 0], direct, "black"),
            (grid[1, 1], weighted, WEIGHTED["color"]),
        ):
            filled = one["yield"].to_numpy() > 0
            relative = np.where(filled, one["error"] / one["yield"].where(filled, 1), np.nan)
            axes.stairs(100 * relative, edges, color=color, linewidth=2, baseline=None)
            axes.set_xlabel(AXES["m_jj"])
        for axes, title in zip(grid[0], ("cut", "weight"), strict=True):
            axes.legend(
                loc="upper right", title=f"{title}: {pair} jets, both tagged", title_fontsize=13
            )
        grid[0, 0].set_ylabel("events / bin")
        grid[1, 0].set_ylabel("stat. error [%]")
        grid[1, 0].set_ylim(bottom=0)
        _trim(grid[1, 0], edges)
    return figure


def _all_events(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave out the histograms of events in the domain, which tables compare."""
    return frame[frame["events"] == "all"]


def with_ratio(
    pair: Sequence[Axes],
    frame: pd.DataFrame,
    label: str,
    text: str,
    limits: tuple[float, float],
    legend: bool = True,
) -> None:
    """Draw one closure histogram, and below it the ratios to the truth where that is known."""
    top, bottom = pair
    by_name = rows_by(frame, "filled_by")
    direct = by_name.pop("direct")
    look, edges = look_of(list(by_name)), bin_edges(direct)
    truth = by_name.get("true")
    if truth is not None:
        top.stairs(truth["yield"], edges, fill=True, color="0.8", label=LABELS["true"])
        band = direct["ratio_error"].to_numpy()
        bottom.stairs(1 + band, edges, baseline=1 - band, fill=True, color="0.8")
    for name, filled in by_name.items():
        if name != "true":
            _steps(top, filled, look[name], label=name)
            _band(bottom, filled, truth, look[name]["color"])
            _steps(bottom, filled, look[name], ratio=True)
    _points(top, direct, label=LABELS["direct"])
    _points(bottom, direct, ratio=True)
    top.set_ylabel("events / bin")
    # Room for the legend above the highest bin.
    room = 1.25 + 0.09 * (len(by_name) + 1) if legend else 1.4
    top.set_ylim(0, room * float(max(f["yield"].max() for f in [direct, *by_name.values()])))
    top.text(0.05, 0.95, text, transform=top.transAxes, va="top", fontsize=13)
    if legend:
        top.legend(loc="upper right", borderaxespad=1.0)
    bottom.axhline(1, color="0.3", linewidth=1)
    bottom.set(ylim=limits, ylabel="ratio to true", xlabel=label)
    stamp(top)
    _trim(bottom, edges)


def _pairs(figure: Figure, count: int, columns: int = 3) -> list[tuple[Axes, Axes]]:
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
        _steps(axes, filled, look[name], label=text)
    axes.axvline(0, color="0.3", linewidth=1)
    axes.set_xlabel(AXES["residual"])
    axes.set_ylabel("jets / bin")
    axes.set_ylim(0, (1.1 + 0.12 * len(by_name)) * frame["yield"].max())
    axes.legend(loc="upper left")
    stamp(axes)
    _trim(axes, bin_edges(next(iter(by_name.values()))))


def _steps(
    axes: Axes, filled: pd.DataFrame, look: dict[str, Any], label: str = "", ratio: bool = False
) -> None:
    """Draw a histogram as steps with error bars at the bin centres."""
    value, error = (
        filled[c].to_numpy() for c in (("ratio", "ratio_error") if ratio else ("yield", "error"))
    )
    edges = bin_edges(filled)
    axes.stairs(
        value, edges, baseline=None, color=look["color"], linestyle=look["linestyle"], linewidth=1.8
    )
    axes.errorbar(
        (edges[1:] + edges[:-1]) / 2,
        value,
        error,
        fmt=look["marker"],
        color=look["color"],
        markersize=3.5,
        elinewidth=1.2,
    )
    if label:
        axes.plot(
            [],
            [],
            color=look["color"],
            linestyle=look["linestyle"],
            marker=look["marker"],
            ms=4,
            label=label,
        )


def _band(axes: Axes, filled: pd.DataFrame, truth: pd.DataFrame | None, color: str) -> None:
    """Shade what the efficiency's own error leaves open in a ratio to the truth."""
    if truth is None or "efficiency_error" not in filled:
        return
    base = np.where(truth["yield"] > 0, truth["yield"], np.nan)
    ratio, error = filled["ratio"].to_numpy(), filled["efficiency_error"].to_numpy() / base
    axes.stairs(
        ratio + error, bin_edges(filled), baseline=ratio - error, fill=True, color=color, alpha=0.25
    )


def _points(axes: Axes, direct: pd.DataFrame, label: str = "", ratio: bool = False) -> None:
    """Draw direct tagging as points; bins without an event have none."""
    value, error = (
        direct[c].to_numpy() for c in (("ratio", "ratio_error") if ratio else ("yield", "error"))
    )
    filled = direct["yield"].to_numpy() > 0
    centres = (direct["low"] + direct["high"]).to_numpy() / 2
    axes.errorbar(
        centres[filled],
        value[filled],
        error[filled],
        fmt="o",
        color="black",
        markersize=4,
        elinewidth=1.2,
        label=label,
    )


def _trim(axes: Axes, edges: FloatArray) -> None:
    axes.set_xlim(edges[0], edges[-1])
