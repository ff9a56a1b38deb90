"""The curves of an additive model, with their bands, beside the truth where it is known."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from truthtag.data.files import rows_by
from truthtag.figures.labels import FLAVOUR_NAMES, DrawingContext
from truthtag.figures.plots.style import LINES, new_figure, split_figure, stamp, style

__all__ = ["draw_curves"]

TRUTH: dict[str, Any] = {"color": "black", "linestyle": (0, (1, 1.5)), "linewidth": 1.4}

BAND = "band: one standard deviation"


def draw_curves(frame: pd.DataFrame, context: DrawingContext) -> Figure:
    """Draw the efficiency of a jet alone, and below the factors of its neighbours.

    Args:
        frame: Rows of :func:`truthtag.figures.numbers.additive_curves.additive_curves`.
        context: Names of the flavours.
    """
    flavours = [name for name in context.flavours if (frame["flavour"] == name).any()]
    with style():
        figure = new_figure(16, 11.5)
        above, below = split_figure(figure, 2, 1)
        left, right = above.subplots(1, 2, sharey=True)
        pt, eta = frame["pt"].iloc[0], frame["eta"].iloc[0]
        _draw_own(left, frame[frame["panel"] == "pt"], flavours, f"$\\eta = {eta:g}$")
        _draw_own(
            right, frame[frame["panel"] == "eta"], flavours, rf"$p_\mathrm{{T}} = {pt:g}$ GeV"
        )
        left.set(xlabel=r"$p_\mathrm{T}$ [GeV]", ylabel=r"$\epsilon$ of a jet alone", yscale="log")
        right.set(xlabel=r"$\eta$")
        # Room for the legend above the curves.
        low, high = left.get_ylim()
        left.set_ylim(low, high * (high / low) ** 0.25)
        left.legend(loc="upper right", ncols=2)
        panels = below.subplots(1, len(flavours), sharey=True, squeeze=False)[0]
        by_flavour = rows_by(frame[frame["panel"] == "factor"], "flavour")
        for axes, name in zip(panels, flavours, strict=True):
            _draw_factors(axes, by_flavour[name], flavours)
            stamp(axes, f"on the efficiency of a {FLAVOUR_NAMES.get(name, name)} jet")
        panels[0].set_ylabel(r"factor of a neighbour")
        # A rare flavour has bands that would hide all else.
        values = frame.loc[frame["panel"] == "factor", "value"]
        panels[0].set_ylim(max(values.min() - 0.15, 0.0), min(values.max() + 0.1, 2.0))
        panels[-1].legend(loc="lower right")
    return figure


def _draw_own(axes: Axes, frame: pd.DataFrame, flavours: list[str], where: str) -> None:
    """Draw a curve per flavour of the jet."""
    by_flavour = rows_by(frame, "flavour")
    for name, look in zip(flavours, LINES, strict=False):
        _draw_curve(axes, by_flavour[name], look, f"{FLAVOUR_NAMES.get(name, name)} jet")
    _finish(axes, frame)
    stamp(axes, f"{where}; {BAND}")


def _draw_factors(axes: Axes, frame: pd.DataFrame, flavours: list[str]) -> None:
    """Draw a curve per flavour of the neighbour."""
    by_neighbour = rows_by(frame, "neighbour")
    for name, look in zip(flavours, LINES, strict=False):
        _draw_curve(axes, by_neighbour[name], look, f"{FLAVOUR_NAMES.get(name, name)} neighbour")
    axes.axhline(1, color="0.3", linewidth=1)
    _finish(axes, frame)
    axes.set_xlabel(r"$\Delta R$ to the neighbour")


def _draw_curve(axes: Axes, rows: pd.DataFrame, look: dict[str, Any], label: str) -> None:
    color = look["color"]
    axes.plot(rows["x"], rows["value"], color=color, linestyle=look["linestyle"], label=label)
    axes.fill_between(rows["x"], rows["low"], rows["high"], color=color, alpha=0.2, linewidth=0)
    if rows["true"].notna().any():
        axes.plot(rows["x"], rows["true"], **TRUTH)


def _finish(axes: Axes, frame: pd.DataFrame) -> None:
    if frame["true"].notna().any():
        axes.plot([], [], label="truth", **TRUTH)
    axes.set_xlim(frame["x"].min(), frame["x"].max())
