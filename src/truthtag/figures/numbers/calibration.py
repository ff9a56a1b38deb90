"""Calibration: whether jets are tagged as often as predicted."""

from __future__ import annotations

import pandas as pd

from truthtag.figures.inputs import Inputs

__all__ = ["calibration"]


def calibration(inputs: Inputs) -> pd.DataFrame:
    """Return the table of :func:`truthtag.statistics.coverage.calibration`, as it was computed."""
    return inputs.tables["calibration"].reset_index(drop=True)
