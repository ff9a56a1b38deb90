"""Figures: tables in, a matplotlib ``Figure`` out. Nothing is computed here that a table does not hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
from matplotlib.figure import Figure

from truthtag.plots.closure import draw_boson_closure, draw_events_closure, draw_jets_closure, draw_weighting
from truthtag.plots.reading import draw_factors
from truthtag.plots.studies import draw_learning_curve, draw_work
from truthtag.plots.style import add_remark, save_figure
from truthtag.plots.toy import draw_true_efficiency, draw_universality
from truthtag.plots.training import draw_training

__all__ = ["DRAWINGS", "add_remark", "save_figure"]

DRAWINGS: dict[str, Callable[[pd.DataFrame, Sequence[str]], Figure]] = {
    "fig1": draw_weighting,
    "fig2": draw_universality,
    "fig3": draw_true_efficiency,
    "fig6": draw_jets_closure,
    "fig7": draw_events_closure,
    "fig8": draw_boson_closure,
    "factors": draw_factors,
    "training": draw_training,
    "learning_curve": draw_learning_curve,
    "work": draw_work,
}
"""What draws each figure from its numbers and the names of the flavours."""
