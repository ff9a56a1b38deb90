"""Calibration: tagged against predicted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, NullFormatter

from truthtag.arrays import FloatArray
from truthtag.data.files import rows_by
from truthtag.figures.labels import FLAVOUR_NAMES, DrawingContext
from truthtag.figures.plots.style import look_of, new_figure, rows_by_point, stamp, style

__all__ = ["draw_calibration"]


def draw_calibration(frame: pd.DataFrame, context: DrawingContext) -> Figure:
    """Draw the tagged fraction of jets against their predicted efficiency, and the ratio.

    Args:
        frame: Rows of :func:`truthtag.statistics.coverage.calibration`; of several working points,
            each has panels of its own, the loosest above.
        context: Names of the flavours; each has a column of panels.
    """
    with style():
        # Logarithmic axes have no place for efficiencies of 0; the table has them.
        positive = frame[frame["predicted"] > 0]
        there = set(positive["flavour"])
        present = [flavour for flavour in context.flavours if flavour in there]
        columns = max(len(present), 1)
        by_point = rows_by_point(positive)
        figure = new_figure(17, 8 * len(by_point))
        rows = 2 * len(by_point)
        heights = [1.6, 1] * len(by_point)
        grid = figure.subplots(rows, columns, sharex="col", squeeze=False, height_ratios=heights)
        looks = look_of(list(positive["efficiency"].unique()))
        for number, (point, of_point) in enumerate(by_point.items()):
            panels = grid[2 * number : 2 * number + 2]
            for (top, bottom), flavour in zip(panels.T, present, strict=False):
                of_flavour = of_point[of_point["flavour"] == flavour]
                for name, bins in rows_by(of_flavour, "efficiency").items():
                    _draw_bins(top, bottom, bins, name, looks[name])
                all_points = positive.loc[positive["flavour"] == flavour, "predicted"]
                ends = np.array([all_points.min() * 0.8, all_points.max() * 1.25])
                _finish(top, bottom, flavour, ends)
                stamp(top, f"{context.origin}, {point}" if point else context.origin)
            panels[0, 0].set_ylabel("tagged fraction")
            panels[1, 0].set_ylabel("tagged / predicted")
        if present:
            grid[0, 0].legend(loc="upper left")
    return figure


def _draw_bins(top: Axes, bottom: Axes, rows: pd.DataFrame, name: str, look: Any) -> None:
    """Draw the bins of one efficiency, with the intervals of the tagged fraction."""
    predicted = rows["predicted"].to_numpy()
    fraction = rows["tagged_fraction"].to_numpy()
    below = fraction - rows["tagged_low"].to_numpy()
    above = rows["tagged_high"].to_numpy() - fraction
    reach = np.stack([below, above])
    bars = {"fmt": look["marker"], "color": look["color"], "markersize": 5, "elinewidth": 1.1}
    top.errorbar(predicted, fraction, reach, label=name, **bars)
    bottom.errorbar(predicted, fraction / predicted, reach / predicted, **bars)


def _finish(top: Axes, bottom: Axes, flavour: str, ends: FloatArray) -> None:
    """Draw what perfect calibration is, and label the axes."""
    top.plot(ends, ends, color="0.3", linewidth=1)
    top.set(xscale="log", yscale="log", xlim=ends, ylim=(ends[0] * 0.7, ends[1] * 1.3))
    bottom.axhline(1, color="0.3", linewidth=1)
    name = FLAVOUR_NAMES.get(flavour, flavour)
    bottom.set(ylim=(0.5, 1.5), xlabel=rf"predicted $\epsilon$ of {name} jets")
    for axis in (top.xaxis, top.yaxis, bottom.xaxis):
        _few_labels(axis, *ends)


def _few_labels(axis: Axis, low: float, high: float) -> None:
    """Label the minor ticks of a logarithmic axis that is too short for powers of ten alone."""
    short = high / low < 30
    minor = LogFormatterSciNotation(minor_thresholds=(2, 0.5))
    axis.set_minor_formatter(minor if short else NullFormatter())
