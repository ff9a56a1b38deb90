"""How the networks learned."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from truthtag.data.files import rows_by
from truthtag.figures.labels import DrawingContext
from truthtag.figures.plots.style import look_of, new_figure, stamp, style

__all__ = ["draw_training"]

DASHES = {"train_loss": (0, (1, 1.2)), "validation_loss": "-"}


def draw_training(frame: pd.DataFrame, context: DrawingContext) -> Figure:
    """Draw the losses of every ensemble by epoch: mean and range of the seeds.

    Args:
        frame: Training histories, with the columns ``network`` and ``seed``.
        context: What the numbers are from.
    """
    with style():
        figure = new_figure(9, 7)
        axes = figure.subplots()
        by_name = rows_by(frame, "network")
        # The first colour is that of maps in the other figures.
        look = look_of(["map", *by_name])
        for network, rows in by_name.items():
            _draw_losses(axes, rows, network, look[network]["color"])
        low = frame["validation_loss"].min()
        high = frame["validation_loss"].max()
        # Training that fails at once has one loss only.
        reach = (high - low) or 1.0
        axes.set_ylim(low - 0.15 * reach, high + 0.5 * reach)
        axes.set(xlabel="epoch", ylabel="loss (Eq. 5) [nats/event]")
        title = "line: mean of the seeds, band: their range"
        axes.legend(loc="upper right", title=title, title_fontsize=12)
        stamp(axes, context.origin)
    return figure


def _draw_losses(axes: Axes, rows: pd.DataFrame, network: str, color: str) -> None:
    for column, dash in DASHES.items():
        loss = rows.groupby("epoch")[column].agg(["mean", "min", "max"])
        label = f"{network}, {column.removesuffix('_loss')}"
        line: dict[str, Any] = {"color": color, "linestyle": dash, "linewidth": 1.6}
        axes.plot(loss.index, loss["mean"], label=label, **line)
        band: dict[str, Any] = {"color": color, "alpha": 0.2, "linewidth": 0}
        axes.fill_between(loss.index, loss["min"], loss["max"], **band)
