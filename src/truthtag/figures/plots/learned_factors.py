"""What a factorised network has learned, beside the truth: Figure 3 recovered from tags."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from truthtag.data.files import rows_by
from truthtag.figures.labels import FLAVOUR_NAMES, DrawingContext
from truthtag.figures.plots.style import LINES, new_figure, stamp, style

__all__ = ["draw_factors"]

TRUTH: dict[str, Any] = {"color": "black", "linestyle": (0, (1, 1.5)), "linewidth": 1.4}


def draw_factors(frame: pd.DataFrame, context: DrawingContext) -> Figure:
    """Draw the learned efficiency of a jet alone and the learned factor of a neighbour.

    Args:
        frame: Rows of :func:`truthtag.estimators.network.learned_factors.read_factors`.
        context: Names of the flavours.
    """
    with style():
        figure = new_figure(15, 6.5)
        left, right = figure.subplots(1, 2)
        _draw_panel(left, frame[frame["panel"] == "base"], "jet", context)
        _draw_panel(right, frame[frame["panel"] == "factor"], "neighbour", context)
        eta = frame["eta"].iloc[0]
        alone = rf"$\epsilon$ of a jet alone, $\eta = {eta:g}$"
        left.set(xlabel=r"$p_\mathrm{T}$ [GeV]", ylabel=alone, yscale="log")
        left.set_ylim(5e-3, 5)
        left.legend(loc="upper right", ncols=2)
        right.set(xlabel=r"$\Delta R$ to the neighbour", ylabel=r"factor on $\epsilon$")
        right.set_ylim(0.4, 1.12)
        right.axhline(1, color="0.3", linewidth=1)
        right.legend(loc="lower right")
    return figure


def _draw_panel(axes: Axes, frame: pd.DataFrame, what: str, context: DrawingContext) -> None:
    """Draw a curve per flavour: the mean of the networks, their spread, and the truth."""
    by_flavour = rows_by(frame, "flavour")
    for flavour, look in zip(context.flavours, LINES, strict=False):
        rows = by_flavour[flavour]
        color = look["color"]
        name = f"{FLAVOUR_NAMES.get(flavour, flavour)} {what}"
        axes.plot(rows["x"], rows["mean"], color=color, linestyle=look["linestyle"], label=name)
        low = rows["mean"] - rows["std"]
        high = rows["mean"] + rows["std"]
        axes.fill_between(rows["x"], low, high, color=color, alpha=0.25, linewidth=0)
        axes.plot(rows["x"], rows["true"], **TRUTH)
    axes.plot([], [], label="truth", **TRUTH)
    axes.set_xlim(frame["x"].min(), frame["x"].max())
    stamp(axes, "learned from tags; band: spread of networks")
