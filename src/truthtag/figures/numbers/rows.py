"""Rows of a histogram, as several figures write them."""

from __future__ import annotations

import pandas as pd

from truthtag.arrays import FloatArray

__all__ = ["binned_rows"]


def binned_rows(
    sample: str, panel: str, filled_by: str, edges: FloatArray, value: FloatArray, error: FloatArray
) -> pd.DataFrame:
    """Return a table of a row per bin.

    Args:
        sample: Name of the sample.
        panel: Panel of the figure.
        filled_by: What filled it.
        edges: Bin edges, shape (n + 1,).
        value: Height of each bin, shape (n,).
        error: Its error, shape (n,).
    """
    columns = {
        "sample": sample,
        "panel": panel,
        "filled_by": filled_by,
        "low": edges[:-1],
        "high": edges[1:],
        "value": value,
        "error": error,
    }
    return pd.DataFrame(columns)
