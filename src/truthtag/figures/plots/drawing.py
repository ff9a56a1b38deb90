"""Draw any figure of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from truthtag.figures.labels import DrawingContext
from truthtag.figures.plots.style import add_remark
from truthtag.registry import load_object

__all__ = ["draw_figure", "shown_rows"]


def draw_figure(drawing: str, numbers: pd.DataFrame, context: DrawingContext) -> Figure:
    """Draw a figure from its numbers, without the efficiencies that figures do not show.

    Args:
        drawing: Where the function that draws is, ``module:function``.
        numbers: The numbers of the figure.
        context: Names, labels and the remark.

    Raises:
        ConfigError: The drawing function cannot be imported.
    """
    draw = load_object(drawing, "the drawing of a figure")
    rows = shown_rows(numbers, context.shown, context.known)
    figure: Figure = draw(rows, context)
    if context.remark:
        add_remark(figure, context.remark)
    return figure


def shown_rows(numbers: pd.DataFrame, shown: Sequence[str], known: Sequence[str]) -> pd.DataFrame:
    """Leave out the rows of efficiencies that figures do not show.

    Args:
        numbers: Numbers of a figure.
        shown: Names of the efficiencies that it shows.
        known: Names of all; what is not among them, direct tagging for example, stays.
    """
    for column in ("filled_by", "efficiency"):
        if column in numbers:
            names = numbers[column]
            numbers = numbers[names.isin(shown) | ~names.isin(known)]
    return numbers
