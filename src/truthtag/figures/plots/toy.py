"""What the toy is made of, and what a universal efficiency means: Figures 2 and 3."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from truthtag.data.files import rows_by
from truthtag.figures.plots.style import (
    FLAVOUR_NAMES,
    LINES,
    bin_edges,
    look_of,
    new_figure,
    split_figure,
    stamp,
    style,
)

__all__ = ["draw_true_efficiency", "draw_universality"]

SAMPLE_LOOKS = (
    {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    {"color": "#D55E00", "marker": "s", "linestyle": (0, (4, 1.5))},
)
SAMPLE_NAMES = {"test": "multijet", "boson": "boosted boson"}


def draw_universality(frame: pd.DataFrame, flavours: Sequence[str]) -> Figure:
    """Draw Figure 2: two samples differ in Delta R and so in efficiency at one pT; not so given all that matters."""
    flavour = FLAVOUR_NAMES.get(flavours[0], flavours[0])
    with style():
        figure = new_figure(17, 6)
        left, middle, right = figure.subplots(1, 3)
        looks = dict(zip(frame["sample"].unique(), SAMPLE_LOOKS, strict=False))
        for (sample, panel), rows in frame.groupby(["sample", "panel"], sort=False):
            look, label = looks[sample], SAMPLE_NAMES.get(str(sample), str(sample))
            centres = (rows["low"] + rows["high"]) / 2
            if panel == "density":
                left.stairs(
                    rows["value"],
                    bin_edges(rows),
                    label=label,
                    color=look["color"],
                    linestyle=look["linestyle"],
                )
                left.errorbar(
                    centres,
                    rows["value"],
                    rows["error"],
                    fmt="none",
                    color=look["color"],
                    elinewidth=1,
                )
            elif panel == "tagged_fraction":
                spread = np.abs(
                    rows[["value_low", "value_high"]].to_numpy().T - rows["value"].to_numpy()
                )
                middle.errorbar(
                    centres,
                    rows["value"],
                    spread,
                    fmt=look["marker"],
                    color=look["color"],
                    label=label,
                    markersize=5,
                )
        _ratios(
            right, frame[(frame["panel"] == "direct_over_predicted") & (frame["sample"] == "boson")]
        )
        left.set(xlabel=r"$\Delta R$ to the nearest jet", ylabel=f"density of {flavour} jets")
        middle.set(
            xlabel=r"$p_\mathrm{T}$ [GeV]", ylabel=f"tagged fraction of {flavour} jets", ylim=(0, 1)
        )
        for axes in (left, middle):
            axes.legend(loc="upper right")
        for axes, text in (
            (left, "samples differ in what maps leave out"),
            (middle, "so one map cannot serve both"),
            (right, "boosted boson, fits from multijet"),
        ):
            stamp(axes, text)
    return figure


def _ratios(axes: Axes, frame: pd.DataFrame) -> None:
    by_name = rows_by(frame, "filled_by")
    look = look_of(list(by_name))
    for shift, (name, rows) in enumerate(by_name.items()):
        width = (rows["high"] - rows["low"]).to_numpy()
        place = rows["low"].to_numpy() + width * (0.25 + 0.5 * shift / max(len(by_name) - 1, 1))
        axes.errorbar(
            place,
            rows["value"],
            rows["error"],
            fmt=look[name]["marker"] or "_",
            color=look[name]["color"],
            markersize=5,
            label=r"true $\epsilon(p_\mathrm{T}, \eta, \Delta R)$" if name == "true" else name,
        )
    axes.axhline(1, color="0.3", linewidth=1)
    axes.set(
        xlabel=r"$p_\mathrm{T}$ [GeV]",
        ylabel="tagged / predicted",
        ylim=(0.6, 1.3 + 0.06 * len(by_name)),
    )
    axes.legend(loc="upper right")


def draw_true_efficiency(frame: pd.DataFrame, flavours: Sequence[str]) -> Figure:
    """Draw Figure 3: the efficiency of a jet alone per flavour, and the factor of a neighbour."""
    with style():
        figure = new_figure(17, 8.5)
        above, below = split_figure(figure, 2, 1)
        panels = above.subplots(1, len(flavours), sharey=True, squeeze=False)[0]
        for axes, flavour in zip(panels, flavours, strict=True):
            rows = frame[(frame["panel"] == "base") & (frame["flavour"] == flavour)]
            grid = rows.pivot_table(index="eta", columns="pt", values="efficiency")
            image = axes.pcolormesh(
                grid.columns, grid.index, grid.to_numpy(), cmap="viridis", vmin=0, rasterized=True
            )
            lines = axes.contour(
                grid.columns, grid.index, grid.to_numpy(), 5, colors="white", linewidths=0.8
            )
            axes.clabel(lines, fontsize=10)
            above.colorbar(
                image,
                ax=axes,
                label=rf"$\epsilon$ of a {FLAVOUR_NAMES.get(flavour, flavour)} jet alone",
            )
            axes.set_xlabel(r"$p_\mathrm{T}$ [GeV]")
            stamp(axes)
        panels[0].set_ylabel(r"$\eta$")
        axes = below.subplots()
        for flavour, look in zip(flavours, LINES, strict=False):
            rows = frame[(frame["panel"] == "correction") & (frame["flavour"] == flavour)]
            name = FLAVOUR_NAMES.get(flavour, flavour)
            axes.plot(
                rows["delta_r"],
                rows["factor"],
                color=look["color"],
                linestyle=look["linestyle"],
                label=f"{name} neighbour",
            )
        axes.axhline(1, color="0.3", linewidth=1)
        axes.set(
            xlabel=r"$\Delta R$ to the neighbour", ylabel=r"factor on $\epsilon$", ylim=(0.4, 1.05)
        )
        axes.set_xlim(left=0, right=float(frame["delta_r"].max()))
        axes.legend(loc="lower right")
        stamp(axes)
    return figure
