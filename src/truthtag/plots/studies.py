"""What more training events buy, and what more training time buys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from truthtag.plots.style import look_of, new_figure, stamp, style
from truthtag.tables import rows_by

__all__ = ["draw_learning_curve", "draw_work"]

FLOOR: dict[str, Any] = {"color": "0.45", "linestyle": (0, (4, 3)), "linewidth": 1.4}


def draw_learning_curve(frame: pd.DataFrame, flavours: Sequence[str]) -> Figure:  # noqa: ARG001
    """Draw the regret of every efficiency against the events that it was fitted to, networks with filled markers."""
    with style():
        figure = new_figure(11.5, 7)
        axes = figure.subplots()
        by_name = rows_by(frame[frame["flavour"] == "all"], "efficiency")
        look = look_of(list(by_name))
        for name, rows in by_name.items():
            face = look[name]["color"] if rows["seeds"].notna().any() else "white"
            axes.plot(rows["events"], rows["regret"], **look[name], markersize=7, markerfacecolor=face, label=name)
            if rows["floor"].notna().any():
                label = rf"{name}, expected: $p\,/\,2N_\mathrm{{jets}}$"
                axes.plot(rows["events"], rows["floor"], **FLOOR, zorder=1, label=label)
        axes.set(xlabel="training events", ylabel="regret [nats/jet]", xscale="log", yscale="log")
        beside(axes, "open: map or fit, filled: network")
        stamp(axes)
    return figure


def draw_work(frame: pd.DataFrame, flavours: Sequence[str]) -> Figure:  # noqa: ARG001
    """Draw the validation loss of every network above that of the truth, against the time that it was trained."""
    with style():
        figure = new_figure(11.5, 7)
        axes = figure.subplots()
        by_name = rows_by(frame, "network")
        look = look_of(list(by_name))
        for name, rows in by_name.items():
            color, dash, marker = (look[name][key] for key in ("color", "linestyle", "marker"))
            axes.plot(rows["seconds"], rows["excess"], color=color, linestyle=dash, linewidth=1.4)
            end = rows.iloc[-1]
            spread = None if np.isnan(end["excess_std"]) else end["excess_std"]
            axes.errorbar(
                end["seconds"], end["excess"], spread, color=color, marker=marker, markersize=9, elinewidth=1.4
            )
            axes.plot([], [], color=color, linestyle=dash, marker=marker, label=name)
        axes.set(xlabel="training time of a network [s]", ylabel="validation loss above that of the truth [nats/event]")
        axes.set(xscale="log", yscale="log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        beside(axes, "marker: the end\nbar: spread of seeds" if (frame["seeds"] > 1).any() else "marker: the end")
        stamp(axes)
    return figure


def beside(axes: Axes, title: str) -> None:
    """Put the legend beside the axes, where it hides nothing."""
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0}
    axes.legend(**place, handlelength=3.2, title=title, title_fontsize=12, alignment="left")
