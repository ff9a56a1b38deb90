"""Figures: tables in, a matplotlib ``Figure`` out. Nothing is computed here that a table does not hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
from matplotlib.figure import Figure

from truthtag.figures.plots.closure import (
    draw_boson_closure,
    draw_events_closure,
    draw_jets_closure,
    draw_weighting,
)
from truthtag.figures.plots.coverage import draw_calibration, draw_coverage
from truthtag.figures.plots.learned_factors import draw_factors
from truthtag.figures.plots.studies import draw_learning_curve, draw_repeated, draw_work
from truthtag.figures.plots.style import add_remark, save_figure
from truthtag.figures.plots.toy import draw_true_efficiency, draw_universality
from truthtag.figures.plots.training import draw_training

__all__ = ["DRAWINGS", "add_remark", "save_figure", "shown"]

DRAWINGS: dict[str, Callable[[pd.DataFrame, Sequence[str]], Figure]] = {
    "fig1": draw_weighting,
    "fig2": draw_universality,
    "fig3": draw_true_efficiency,
    "fig6": draw_jets_closure,
    "fig7": draw_events_closure,
    "fig8": draw_boson_closure,
    "calibration": draw_calibration,
    "coverage": draw_coverage,
    "factors": draw_factors,
    "training": draw_training,
    "learning_curve": draw_learning_curve,
    "work": draw_work,
    "repeated": draw_repeated,
}
"""What draws each figure from its numbers and the names of the flavours."""


def shown(frame: pd.DataFrame, efficiencies: Sequence[str], known: Sequence[str]) -> pd.DataFrame:
    """Leave out the rows of efficiencies that a figure does not show.

    Args:
        frame: Numbers of a figure.
        efficiencies: Names of those that it shows.
        known: Names of all; what is not among them, direct tagging say, stays.
    """
    for column in ("filled_by", "efficiency"):
        if column in frame:
            frame = frame[frame[column].isin(efficiencies) | ~frame[column].isin(known)]
    return frame
