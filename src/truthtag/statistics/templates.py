"""What no replica knows: differences between efficiencies, as templates for an analysis."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from truthtag.arrays import divide
from truthtag.errors import DataError
from truthtag.statistics.closure import ClosureHistogram, histograms_in
from truthtag.statistics.points import WORKING_POINT, with_marks

__all__ = ["best_efficiencies", "shift_table", "template_table"]

KEYS = ["sample", "distribution", "panel", "events"]
"""Columns that tell histograms apart, beside the working point."""

TEMPLATE = ("efficiency", "best", "low", "high", "yield", "difference", "uncertainty")
SHIFT = ("efficiency", "best", "shift", "uncertainty", "largest")
"""Columns of the two tables after those."""

TRUE = "true"
"""What histograms call the true efficiency, which is no rival."""


def best_efficiencies(likelihood: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Return the efficiency that the tags of each sample like best.

    Args:
        likelihood: What :func:`truthtag.statistics.accuracy.compare_likelihoods` returns of each
            sample, and in each row the ``sample`` (and ``working_point``).

    Returns:
        Names of efficiencies, by sample and point; the point is empty for the loosest, which also
        has its name where there are several.

    Example:
        >>> rows = {"sample": "test", "efficiency": ["map", "gnn"], "log_loss": [0.4, 0.3]}
        >>> best_efficiencies(pd.DataFrame(rows))
        {('test', ''): 'gnn'}
    """
    rivals = likelihood[likelihood["efficiency"] != TRUE]
    found: dict[tuple[str, str], str] = {}
    points = rivals[WORKING_POINT].fillna("") if WORKING_POINT in rivals else ""
    marked = rivals.assign(**{WORKING_POINT: points})
    for (sample, point), rows in marked.groupby(["sample", WORKING_POINT], sort=False):
        best = str(rows.set_index("efficiency")["log_loss"].idxmin())
        found.setdefault((str(sample), ""), best)
        found[str(sample), str(point)] = best
    return found


def template_table(histograms: pd.DataFrame, likelihood: pd.DataFrame) -> pd.DataFrame:
    r"""Return by how much each efficiency's yields differ from those of the best one.

    Replicas have the statistics of the training sample, not what all networks of one architecture
    get wrong alike. Two architectures get different things wrong: their difference

    .. math:: \delta_b = y_b^\mathrm{best} - y_b

    in all bins b at once is a variation that an analysis can take as fully correlated, up and down.

    Args:
        histograms: Rows of all distributions, as
            :func:`truthtag.statistics.distributions.fill_distribution` makes them.
        likelihood: As :func:`best_efficiencies` takes it.

    Returns:
        A row per bin of each histogram and efficiency, those of the best and the true one left out:
        ``efficiency, best, low, high, yield, difference``, and ``uncertainty``, the error of the
        yield that the replicas give (NaN without replicas).

    Raises:
        DataError: The likelihood of a sample is missing.
    """
    parts = []
    for marks, name, best, histogram in _pairs(histograms, likelihood):
        weighted = histogram.weighted(name)
        columns = {
            **marks,
            "efficiency": name,
            "best": best,
            "low": histogram.edges[:-1],
            "high": histogram.edges[1:],
            "yield": weighted.total,
            "difference": histogram.weighted(best).total - weighted.total,
            "uncertainty": weighted.efficiency_error,
        }
        parts.append(pd.DataFrame(columns))
    if not parts:
        return pd.DataFrame(columns=[*with_marks(KEYS, histograms), *TEMPLATE])
    return pd.concat(parts, ignore_index=True)


def shift_table(histograms: pd.DataFrame, likelihood: pd.DataFrame) -> pd.DataFrame:
    """Return by how much each efficiency's sum over bins differs from that of the best one.

    Args:
        histograms: As for :func:`template_table`.
        likelihood: As there.

    Returns:
        A row per histogram and efficiency: ``efficiency, best, shift``, the difference as a
        fraction of the yield; ``uncertainty``, the relative error that the replicas give (NaN
        without replicas); and ``largest``, the largest shift of a bin in units of that bin's own
        uncertainty.

    Raises:
        DataError: The likelihood of a sample is missing.
    """
    rows = []
    for marks, name, best, histogram in _pairs(histograms, likelihood):
        weighted = histogram.weighted(name)
        difference = histogram.weighted(best).total - weighted.total
        total = abs(float(weighted.total.sum()))
        covariance = weighted.covariance
        error = np.nan
        largest = np.nan
        if covariance is not None:
            error = float(np.sqrt(max(float(covariance.sum()), 0.0)))
            pulls = np.abs(divide(difference, weighted.efficiency_error))
            largest = float(pd.Series(pulls).max())
        row = {
            **marks,
            "efficiency": name,
            "best": best,
            "shift": float(divide(float(difference.sum()), total)),
            "uncertainty": float(divide(error, total)),
            "largest": largest,
        }
        rows.append(row)
    return pd.DataFrame(rows, columns=[*with_marks(KEYS, histograms), *SHIFT])


def _pairs(
    histograms: pd.DataFrame, likelihood: pd.DataFrame
) -> list[tuple[dict[str, Any], str, str, ClosureHistogram]]:
    """Return each histogram with each efficiency that is not the best, and with the best."""
    best_of = best_efficiencies(likelihood)
    used = histograms[histograms["spread"] == "corrected"]
    keys = with_marks(KEYS, used)
    found = []
    if WORKING_POINT in used:
        # Samples that have one working point only have no name for it.
        used = used.assign(**{WORKING_POINT: used[WORKING_POINT].fillna("")})
    for values, histogram in histograms_in(used, keys):
        marks = dict(zip(keys, values, strict=True))
        sample = marks["sample"]
        # A bin between two points has no likelihood of its own.
        best = best_of.get((sample, marks.get(WORKING_POINT, ""))) or best_of.get((sample, ""))
        if best is None:
            msg = (
                f"the likelihood table has no row of the sample {sample!r}, of which there are "
                "histograms. Make both from the same samples."
            )
            raise DataError(msg)
        rivals = [name for name in histogram.filled_by if name not in (best, TRUE)]
        found += [(marks, name, best, histogram) for name in rivals]
    return found
