"""Closure figures: histograms that were filled before, and the residuals of single jets."""

from __future__ import annotations

import numpy as np
import pandas as pd

from truthtag.arrays import FloatArray
from truthtag.errors import DataError
from truthtag.figures.inputs import Inputs
from truthtag.figures.numbers.rows import binned_rows
from truthtag.statistics.accuracy import relative_residual
from truthtag.statistics.running import Moments

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
    sample = inputs.sample_names[0]
    edges = inputs.edges("residual")
    counts: dict[str, FloatArray] = {}
    moments: dict[str, Moments] = {}
    for block in inputs.in_blocks(sample):
        at_loosest = block.at_loosest_point()
        true = at_loosest.samples[sample].efficiency_true
        if true is None:
            msg = (
                f"figure 6 compares with the true efficiency; the sample {sample!r} has no column "
                "'efficiency_true'"
            )
            raise DataError(msg)
        for name, efficiency in at_loosest.efficiencies(sample).items():
            residual = relative_residual(true, efficiency)
            before = counts.get(name, np.zeros(len(edges) - 1, dtype=int))
            counts[name] = before + np.histogram(residual, edges)[0]
            moments.setdefault(name, Moments()).add(residual)
    parts = []
    for name, count in counts.items():
        rows = binned_rows(sample, "residual", name, edges, count, np.sqrt(count))
        parts.append(rows.assign(mean=float(moments[name].mean), rms=float(moments[name].std)))
    residuals = pd.concat(parts, ignore_index=True).rename(columns={"value": "yield"})
    return pd.concat([residuals, weighted_histograms(inputs)], ignore_index=True)
