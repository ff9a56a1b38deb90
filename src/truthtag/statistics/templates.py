"""What no replica knows: differences between efficiencies, as templates for an analysis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from truthtag.arrays import FloatArray, divide
from truthtag.errors import DataError
from truthtag.statistics.closure import ClosureHistogram, Filling, histograms_in
from truthtag.statistics.points import WORKING_POINT, with_known_points, with_marks

__all__ = ["Difference", "best_efficiencies", "differences", "shift_table", "template_table"]

KEYS = ["sample", "distribution", "panel", "events"]
"""Columns that tell histograms apart, beside the working point."""

TEMPLATE = [*KEYS, "efficiency", "best", "low", "high", "yield", "difference", "uncertainty"]
SHIFT = [*KEYS, "efficiency", "best", "shift", "uncertainty", "largest"]
"""Columns of the two tables, also where nothing differs."""

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
    rivals = with_known_points(likelihood[likelihood["efficiency"] != TRUE])
    found: dict[tuple[str, str], str] = {}
    for values, rows in rivals.groupby(with_marks(["sample"], rivals), sort=False):
        sample, *point = map(str, values)
        best = str(rows.set_index("efficiency")["log_loss"].idxmin())
        found.setdefault((sample, ""), best)
        found[sample, "".join(point)] = best
    return found


@dataclass(frozen=True, eq=False)
class Difference:
    r"""One histogram, weighted by an efficiency and by the one that the tags like best.

    Replicas have the statistics of the training sample, not what all networks of one architecture
    get wrong alike. Two architectures get different things wrong: their difference

    .. math:: \delta_b = y_b^\mathrm{best} - y_b

    in all bins b at once is a variation that an analysis can take as fully correlated, up and down.

    Args:
        marks: What tells the histogram apart: ``sample, distribution, panel, events`` (and
            ``working_point``).
        efficiency: Name of the efficiency.
        best: Name of the best one.
        histogram: The histogram.
    """

    marks: Mapping[str, str]
    efficiency: str
    best: str
    histogram: ClosureHistogram

    @property
    def weighted(self) -> Filling:
        """The histogram weighted by the efficiency."""
        return self.histogram.weighted(self.efficiency)

    @property
    def names(self) -> dict[str, str]:
        """The columns that say what it is about."""
        return {**self.marks, "efficiency": self.efficiency, "best": self.best}

    @property
    def by_bin(self) -> FloatArray:
        """The difference in each bin, shape (n,)."""
        return self.histogram.weighted(self.best).total - self.weighted.total


def differences(histograms: pd.DataFrame, likelihood: pd.DataFrame) -> list[Difference]:
    """Return each histogram with each efficiency but the best and the true one.

    Args:
        histograms: Rows of all distributions, as
            :func:`truthtag.statistics.distributions.fill_distribution` makes them.
        likelihood: As :func:`best_efficiencies` takes it.

    Raises:
        DataError: The likelihood of a sample is missing.
    """
    best_of = best_efficiencies(likelihood)
    used = with_known_points(histograms[histograms["spread"] == "corrected"])
    keys = with_marks(KEYS, used)
    found = []
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
        found += [Difference(marks, name, best, histogram) for name in rivals]
    return found


def template_table(found: Sequence[Difference]) -> pd.DataFrame:
    """Return differences bin by bin.

    Returns:
        A row per bin: the marks of the histogram, ``efficiency, best, low, high, yield,
        difference``, and ``uncertainty``, the error of the yield that the replicas give (NaN
        without replicas).
    """
    parts = []
    for one in found:
        columns = {
            **one.names,
            "low": one.histogram.edges[:-1],
            "high": one.histogram.edges[1:],
            "yield": one.weighted.total,
            "difference": one.by_bin,
            "uncertainty": one.weighted.efficiency_error,
        }
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=TEMPLATE)


def shift_table(found: Sequence[Difference]) -> pd.DataFrame:
    """Return differences of the sums over bins.

    Returns:
        A row per difference: the marks of the histogram, ``efficiency, best, shift``, the
        difference as a fraction of the yield; ``uncertainty``, the relative error that the
        replicas give (NaN without replicas); and ``largest``, the largest shift of a bin in units
        of that bin's own uncertainty.
    """
    rows = []
    for one in found:
        shift = divide(float(one.by_bin.sum()), abs(float(one.weighted.total.sum())))
        pulls = np.abs(divide(one.by_bin, one.weighted.efficiency_error))
        row = {
            **one.names,
            "shift": float(shift),
            "uncertainty": one.weighted.uncertainty_of_sum,
            "largest": float(pd.Series(pulls).max()),
        }
        rows.append(row)
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=SHIFT)
