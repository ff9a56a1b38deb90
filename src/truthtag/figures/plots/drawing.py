"""Draw any figure of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from truthtag.data.files import check_columns
from truthtag.figures.catalogue import FigureEntry
from truthtag.figures.labels import DrawingContext
from truthtag.figures.plots.style import add_remark

__all__ = ["draw_figure", "shown_rows"]


def draw_figure(entry: FigureEntry, numbers: pd.DataFrame, context: DrawingContext) -> Figure:
    """Draw a figure from its numbers, without the efficiencies that figures do not show.

    Args:
        entry: The figure.
        numbers: What its function ``numbers`` returned.
        context: Names, labels and the remark.

    Raises:
        DataError: The numbers lack a column that the drawing needs.
        ConfigError: The drawing function cannot be imported.
    """
    check_columns(f"the numbers of {entry.name}", list(numbers.columns), entry.columns)
    rows = shown_rows(numbers, context.shown, context.known)
    figure: Figure = entry.load_drawing()(rows, context)
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
