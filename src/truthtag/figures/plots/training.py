"""How the networks learned."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from truthtag.data.files import rows_by
from truthtag.figures.plots.style import look_of, new_figure, stamp, style

__all__ = ["draw_training"]


def draw_training(frame: pd.DataFrame, flavours: Sequence[str]) -> Figure:  # noqa: ARG001
    """Draw the loss of every ensemble, on training and on validation events, epoch by epoch: mean and range of the seeds."""
    with style():
        figure = new_figure(9, 7)
        axes = figure.subplots()
        by_name = rows_by(frame, "network")
        look = look_of(["map", *by_name])
        for network, rows in by_name.items():
            for column, dash in (("train_loss", (0, (1, 1.2))), ("validation_loss", "-")):
                loss = rows.groupby("epoch")[column].agg(["mean", "min", "max"])
                color, label = look[network]["color"], f"{network}, {column.removesuffix('_loss')}"
                axes.plot(
                    loss.index,
                    loss["mean"],
                    color=color,
                    linestyle=dash,
                    linewidth=1.6,
                    label=label,
                )
                axes.fill_between(
                    loss.index, loss["min"], loss["max"], color=color, alpha=0.2, linewidth=0
                )
        low, high = frame["validation_loss"].min(), frame["validation_loss"].max()
        axes.set_ylim(low - 0.15 * (high - low), high + 0.5 * (high - low))
        axes.set(xlabel="epoch", ylabel="loss (Eq. 5) [nats/event]")
        axes.legend(
            loc="upper right", title="line: mean of the seeds, band: their range", title_fontsize=12
        )
        stamp(axes)
    return figure
