"""How the networks learned."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from truthtag.plots.style import look_of, new_figure, stamp, style

__all__ = ["draw_training"]


def draw_training(frame: pd.DataFrame, flavours: Sequence[str]) -> Figure:  # noqa: ARG001
    """Draw the loss of every network, on training and on validation events, epoch by epoch."""
    with style():
        figure = new_figure(9, 7)
        axes = figure.subplots()
        names = list(frame["network"].unique())
        look = look_of(["map", *names])
        for (network, seed), rows in frame.groupby(["network", "seed"], sort=False):
            color, first = look[str(network)]["color"], seed == frame.loc[frame["network"] == network, "seed"].iloc[0]
            for column, dash in (("train_loss", (0, (1, 1.2))), ("validation_loss", "-")):
                label = f"{network}, {column.removesuffix('_loss')}" if first else None
                axes.plot(rows["epoch"], rows[column], color=color, linestyle=dash, linewidth=1.2, label=label)
            best = rows[rows["best"]].iloc[-1]
            axes.plot(best["epoch"], best["validation_loss"], marker="o", markersize=4, color=color)
        low, high = frame["validation_loss"].min(), frame["validation_loss"].max()
        axes.set_ylim(low - 0.15 * (high - low), high + 0.5 * (high - low))
        axes.set(xlabel="epoch", ylabel="loss (Eq. 5) [nats/event]")
        axes.legend(loc="upper right", title="a line per seed, dot: best epoch", title_fontsize=12)
        stamp(axes)
    return figure
