"""Coverage: how often the truth lies within the errors."""

from __future__ import annotations

import pandas as pd

from truthtag.figures.inputs import Inputs

__all__ = ["coverage"]


def coverage(inputs: Inputs) -> pd.DataFrame:
    """Return the coverage of jets and of histogram bins, as it was computed.

    Returns:
        Rows of :func:`truthtag.statistics.coverage.jet_coverage` and ``bin_coverage``; the column
        ``spread`` says whether the replicas were taken as they are (``raw``) or ``corrected``.
    """
    return inputs.tables["coverage"].reset_index(drop=True)
