"""What a factorised network has learned, beside the truth: Figure 3 recovered from tags."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from truthtag.data.files import rows_by
from truthtag.figures.plots.style import FLAVOUR_NAMES, LINES, new_figure, stamp, style

__all__ = ["draw_factors"]


def draw_factors(frame: pd.DataFrame, flavours: Sequence[str]) -> Figure:
    """Draw the learned efficiency of a jet alone and the learned factor of a neighbour, with the spread of networks."""
    with style():
        figure = new_figure(15, 6.5)
        left, right = figure.subplots(1, 2)
        for axes, panel, what in ((left, "base", "jet"), (right, "factor", "neighbour")):
            by_flavour = rows_by(frame[frame["panel"] == panel], "flavour")
            for flavour, look in zip(flavours, LINES, strict=False):
                rows = by_flavour[flavour]
                name = f"{FLAVOUR_NAMES.get(flavour, flavour)} {what}"
                axes.plot(
                    rows["x"],
                    rows["mean"],
                    color=look["color"],
                    linestyle=look["linestyle"],
                    label=name,
                )
                low, high = rows["mean"] - rows["std"], rows["mean"] + rows["std"]
                axes.fill_between(
                    rows["x"], low, high, color=look["color"], alpha=0.25, linewidth=0
                )
                axes.plot(
                    rows["x"], rows["true"], color="black", linestyle=(0, (1, 1.5)), linewidth=1.4
                )
            axes.plot([], [], color="black", linestyle=(0, (1, 1.5)), linewidth=1.4, label="truth")
            axes.set_xlim(rows["x"].min(), rows["x"].max())
            stamp(axes, "learned from tags; band: spread of networks")
        eta = frame["eta"].iloc[0]
        left.set(
            xlabel=r"$p_\mathrm{T}$ [GeV]",
            ylabel=rf"$\epsilon$ of a jet alone, $\eta = {eta:g}$",
            yscale="log",
        )
        left.set_ylim(5e-3, 5)
        left.legend(loc="upper right", ncols=2)
        right.set(
            xlabel=r"$\Delta R$ to the neighbour", ylabel=r"factor on $\epsilon$", ylim=(0.4, 1.12)
        )
        right.axhline(1, color="0.3", linewidth=1)
        right.legend(loc="lower right")
    return figure
