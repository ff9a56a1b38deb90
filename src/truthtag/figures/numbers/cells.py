"""Single jets in cells, summed over pT."""

from __future__ import annotations

import pandas as pd

from truthtag.figures.inputs import Inputs
from truthtag.statistics.cells import ALONE, summed_over_pt

__all__ = ["cells"]


def cells(inputs: Inputs) -> pd.DataFrame:
    """Return tagged and predicted jets by flavour, neighbour and Delta R.

    Returns:
        Rows of :func:`truthtag.statistics.cells.summed_over_pt`, all jets that have a neighbour.
    """
    parts = [summed_over_pt(filled) for filled in inputs.cells.values()]
    table = pd.concat(parts, ignore_index=True)
    near = (table["events"] == "all") & (table["neighbour"] != ALONE)
    return table[near].reset_index(drop=True)
