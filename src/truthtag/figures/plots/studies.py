"""What more training events or time buy, and what repeated training samples say of errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from truthtag.data.files import rows_by
from truthtag.figures.plots.style import bin_edges, look_of, new_figure, pair_name, stamp, style

__all__ = ["draw_learning_curve", "draw_repeated", "draw_work"]

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
            axes.plot(
                rows["events"],
                rows["regret"],
                **look[name],
                markersize=7,
                markerfacecolor=face,
                label=name,
            )
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
                end["seconds"],
                end["excess"],
                spread,
                color=color,
                marker=marker,
                markersize=9,
                elinewidth=1.4,
            )
            axes.plot([], [], color=color, linestyle=dash, marker=marker, label=name)
        axes.set(
            xlabel="training time of a network [s]",
            ylabel="validation loss above that of the truth [nats/event]",
        )
        axes.set(xscale="log", yscale="log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        beside(
            axes,
            "marker: the end\nbar: spread of seeds"
            if (frame["seeds"] > 1).any()
            else "marker: the end",
        )
        stamp(axes)
    return figure


def draw_repeated(frame: pd.DataFrame, flavours: Sequence[str]) -> Figure:
    """Draw the error of each bin by replicas, and its scatter over repeated training samples, a row per network."""
    first = flavours[0]
    labels = {
        "delta_r": r"$\Delta R(j_1, j_2)$, leading jet tagged",
        f"{first}-{first}": rf"$m_{{j_1 j_2}}$ [GeV], {pair_name(f'{first}-{first}')} jets, both tagged",
    }
    with style():
        by_network = rows_by(frame, "network")
        figure = new_figure(15, 5.2 * len(by_network))
        grid = figure.subplots(len(by_network), len(labels), squeeze=False)
        for panels, (network, of_network) in zip(grid, by_network.items(), strict=True):
            for axes, (panel, label) in zip(panels, labels.items(), strict=True):
                rows = of_network[of_network["panel"] == panel]
                percent, edges = (
                    100 / rows["yield"].where(rows["yield"] > 0).to_numpy(),
                    bin_edges(rows),
                )
                claimed, spread = (
                    percent * rows[name].to_numpy() for name in ("replicas", "replicas_std")
                )
                axes.stairs(
                    claimed + spread,
                    edges,
                    baseline=claimed - spread,
                    fill=True,
                    color="#0072B2",
                    alpha=0.25,
                )
                axes.stairs(
                    claimed,
                    edges,
                    baseline=None,
                    color="#0072B2",
                    linewidth=1.8,
                    label="replicas of one sample",
                )
                seen, error = (
                    percent * rows[name].to_numpy() for name in ("repeated", "repeated_error")
                )
                centres = (edges[1:] + edges[:-1]) / 2
                axes.errorbar(
                    centres,
                    seen,
                    error,
                    fmt="o",
                    color="black",
                    markersize=4,
                    label="repeated samples",
                )
                highest = (
                    float(np.nan_to_num(np.append(claimed + spread, seen + error)).max()) or 1.0
                )
                axes.set(xlabel=label, ylim=(0, 1.6 * highest), xlim=(edges[0], edges[-1]))
                axes.legend(loc="upper right", title=network, title_fontsize=12)
                stamp(axes)
            panels[0].set_ylabel("error of the yield [%]")
    return figure


def beside(axes: Axes, title: str) -> None:
    """Put the legend beside the axes, where it hides nothing."""
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0}
    axes.legend(**place, handlelength=3.2, title=title, title_fontsize=12, alignment="left")
