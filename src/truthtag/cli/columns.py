"""Files of one table with what is known of them, and sketches of their columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from truthtag.arrays import FloatArray
from truthtag.cli.output import plural
from truthtag.cli.scan import Extent, batches
from truthtag.cli.sketch import BINS, Row, sketch

__all__ = ["Described", "Tables", "axis", "histogram"]

WIDE = 30.0
"""An axis whose ends have this ratio, or more, is a logarithmic one."""


@dataclass(frozen=True)
class Tables:
    """Files of one table, with what is known of all of them.

    Args:
        paths: The files.
        metadata: What the first one records.
        columns: What their columns hold.
        n_rows: Rows in all of them.
    """

    paths: Sequence[Path]
    metadata: Mapping[str, Any]
    columns: Sequence[Extent]
    n_rows: int

    def has(self, *names: str) -> bool:
        """Return whether all these columns are there."""
        return set(names) <= {one.name for one in self.columns}

    def extent(self, name: str) -> Extent:
        """Return what one column holds."""
        return next(one for one in self.columns if one.name == name)

    def beginning(self, stem: str) -> list[str]:
        """Return the names of the columns that begin with a text."""
        return [one.name for one in self.columns if one.name.startswith(stem)]


Described = tuple[dict[str, str], list[list[str]]]
"""Facts of a table, and sketches."""


def axis(low: float, high: float, n_bins: int = BINS) -> FloatArray:
    """Return edges of bins: of one width, or, over a wide range of positive numbers, one ratio."""
    if low > 0 and high / low > WIDE:
        edges = np.geomspace(low, high, n_bins + 1)
    else:
        edges = np.linspace(low, high, n_bins + 1)
    # Rounding must not leave the ends out.
    edges[0] = low
    edges[-1] = high
    return edges


def histogram(given: Tables, name: str, title: str) -> list[str]:
    """Sketch the rows of a table in one of its columns."""
    extent = given.extent(name)
    if not extent.low < extent.high:
        return []
    whole = "int" in extent.kind and extent.high - extent.low < BINS
    edges = axis(extent.low, extent.high)
    if whole:
        edges = np.arange(extent.low, extent.high + 2) - 0.5
    counts = np.zeros(len(edges) - 1)
    for some in batches(given.paths, (name,)):
        values = some[name].astype(np.float64)
        counts += np.histogram(values[np.isfinite(values)], edges)[0]
    row = Row("", counts, plural(int(counts.sum()), "row"))
    return sketch(title, extent.low, extent.high, [row])
