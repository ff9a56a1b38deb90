"""Sketches of numbers in lines of text: a row of bars, one letter for each bin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from truthtag.arrays import FloatArray, IntArray
from truthtag.cli.output import GAP, number

__all__ = ["BARS", "BINS", "Row", "bars", "flavour_name", "sketch"]

BARS = " ▁▂▃▄▅▆▇█"
"""Letters of rising height, the first for nothing at all."""

BINS = 24
"""Bins of a sketch, each a letter."""

NAMES = {5: "b", 4: "c", 0: "light", 15: "tau"}
"""Names of hadron flavours, where a file has only their numbers."""


class Row(NamedTuple):
    """A row of a sketch.

    Attributes:
        name: What it is of.
        values: A value for each bin.
        remark: What is said beside it.
    """

    name: str
    values: Sequence[float] | FloatArray | IntArray
    remark: str = ""


def bars(values: Sequence[float] | FloatArray | IntArray) -> str:
    """Return a letter for each value, as high as it is in units of the largest one.

    What is above 0 never looks like 0; negative values, and such that are not finite, do.

    Args:
        values: The values, shape (n,).

    Example:
        >>> bars([0, 1, 2, 4])
        ' ▂▄█'
    """
    given = np.asarray(values, dtype=np.float64)
    heights = np.where(np.isfinite(given) & (given > 0), given, 0.0)
    top = heights.max(initial=0.0)
    if top == 0:
        return BARS[0] * len(heights)
    steps = np.ceil(heights / top * (len(BARS) - 1)).astype(int)
    steps = np.maximum(steps, heights > 0)
    return "".join(BARS[step] for step in steps)


def sketch(title: str, low: float, high: float, rows: Sequence[Row]) -> list[str]:
    """Return a sketch: a line with the ends of the axis, and a line of bars for each row.

    Each row has a scale of its own.

    Args:
        title: What the axis is, with its unit.
        low: Where the axis begins.
        high: Where it ends.
        rows: The rows, all of as many bins; none gives no line.

    Example:
        >>> print("\\n".join(sketch("pt [GeV]", 20, 600, [Row("b", [1] * 8 + [4] * 8, "16 jets")])))
        pt [GeV]  20           600
               b  ▂▂▂▂▂▂▂▂████████  16 jets
    """
    if not rows:
        return []
    width = max(len(title), *(len(row.name) for row in rows))
    n_bins = len(rows[0].values)
    ends = number(low)
    ends += number(high).rjust(max(n_bins - len(ends), 1 + len(number(high))))
    return [f"{title:>{width}}{GAP}{ends}", *(_line(row, width) for row in rows)]


def _line(row: Row, width: int) -> str:
    return f"{row.name:>{width}}{GAP}{bars(row.values)}{GAP}{row.remark}".rstrip()


def flavour_name(flavour: int) -> str:
    """Return what a hadron flavour is called, with its number.

    Example:
        >>> flavour_name(5), flavour_name(21)
        ('b (5)', '21')
    """
    name = NAMES.get(flavour)
    return str(flavour) if name is None else f"{name} ({flavour})"
