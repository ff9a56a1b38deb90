"""Closure figures: histograms that were filled before, and the residuals of single jets."""

from __future__ import annotations

import numpy as np
import pandas as pd

from truthtag.errors import DataError
from truthtag.figures.inputs import Inputs
from truthtag.figures.numbers.rows import binned_rows
from truthtag.statistics.accuracy import relative_residual

__all__ = ["residuals_and_histograms", "weighted_histograms"]


def weighted_histograms(inputs: Inputs) -> pd.DataFrame:
    """Figures 7 and 8, and that of any distribution: its histograms, with the corrected spread.

    Returns:
        The rows of all distributions of the figure, of all events and of those in the domain.
    """
    parts = []
    for frame in inputs.histograms.values():
        corrected = frame[frame["spread"] == "corrected"]
        # Replicas of other ensembles may be more: their columns are empty here.
        parts.append(corrected.drop(columns="spread"))
    return pd.concat(parts, ignore_index=True)


def residuals_and_histograms(inputs: Inputs) -> pd.DataFrame:
    """Figure 6: the relative residuals of single jets, and Delta R of the two leading ones.

    Returns:
        Rows of the panel ``residual``, with ``mean`` and ``rms`` of the residuals, and the rows of
        :func:`weighted_histograms`.

    Raises:
        DataError: The sample has no true efficiencies.
    """
    inputs = inputs.at_loosest_point()
    sample, jets = next(iter(inputs.samples.items()))
    if jets.efficiency_true is None:
        msg = (
            f"figure 6 compares with the true efficiency; the sample {sample!r} has no column "
            "'efficiency_true'"
        )
        raise DataError(msg)
    edges = inputs.edges("residual")
    parts = []
    for name, efficiency in inputs.efficiencies(sample).items():
        residual = relative_residual(jets.efficiency_true, efficiency)
        count = np.histogram(residual, edges)[0]
        rows = binned_rows(sample, "residual", name, edges, count, np.sqrt(count))
        parts.append(rows.assign(mean=residual.mean(), rms=residual.std()))
    residuals = pd.concat(parts, ignore_index=True).rename(columns={"value": "yield"})
    return pd.concat([residuals, weighted_histograms(inputs)], ignore_index=True)
