"""Does weighting reproduce the tags? A test of every histogram, and a verdict to act on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from truthtag.arrays import FloatArray, divide
from truthtag.errors import DataError
from truthtag.statistics.closure import ClosureHistogram, Filling, histograms_in
from truthtag.statistics.panels import GLOBAL
from truthtag.statistics.points import with_known_points, with_marks
from truthtag.statistics.words import CLOSES, WITHIN, stated, verdict_on

__all__ = ["closure_table", "gains", "require_closure", "verdict_table"]


def closure_table(
    histograms: pd.DataFrame,
    minimum_events: float,
    p_value: float,
    max_uncertainty: float = np.inf,
) -> pd.DataFrame:
    """Test closure in every histogram that was filled directly and weighted.

    Args:
        histograms: Rows of all distributions, as
            :func:`truthtag.statistics.distributions.fill_distribution` makes them, and of cells of
            :func:`truthtag.statistics.cells.fill_cells`.
        minimum_events: As in :func:`truthtag.statistics.closure_tests.closure_test`.
        p_value: Smallest p-value of a histogram that closes, in (0, 1).
        max_uncertainty: Largest relative error of a yield within which a histogram may close.

    Returns:
        A row per sample, distribution, panel, choice of events and efficiency: ``direct`` and
        ``weighted`` yields; ``chi2, ndf, chi2_ndf, p_value`` of the test with the scatter of the
        tags alone, ``pull, p_sum`` of the sum over bins, and ``p_both`` of the two together;
        ``chi2_total, p_value_total, pull_total, p_sum_total, p_both_total`` with the covariance of
        the efficiency added (NaN where it has too few replicas); ``uncertainty``, the relative
        error of the yield that is due to the efficiency; the ``verdict``, by ``p_both`` and
        ``p_both_total``; ``largest_deviation``, the ratio to the truth that is
        furthest from 1 among bins that hold at least ``minimum_events`` expected events (NaN where
        the truth is unknown); and what weighting gains, see :func:`gains`. Where histograms are of
        several working points, the column ``working_point``, too.

    Raises:
        DataError: The p-value is not between 0 and 1.
    """
    if not 0 < p_value < 1:
        msg = f"p_value is {p_value}; it must be above 0 and below 1. Take 0.01, say."
        raise DataError(msg)
    rows = []
    used = with_known_points(histograms[histograms["spread"] == "corrected"])
    keys = with_marks(["sample", "distribution", "title", "panel", "events"], used)
    for values, histogram in histograms_in(used, keys):
        marks = dict(zip(keys, values, strict=True))
        for name in histogram.filled_by:
            tested = _tested(histogram, name, minimum_events)
            verdict = verdict_on(
                tested["ndf"],
                tested["p_both"],
                tested["p_both_total"],
                tested["uncertainty"],
                p_value,
                max_uncertainty,
            )
            weighted = histogram.weighted(name)
            row = {
                **marks,
                "efficiency": name,
                **tested,
                "verdict": verdict,
                "largest_deviation": _largest_deviation(weighted, minimum_events),
                **gains(histogram.direct, weighted, weighted.covariance),
            }
            rows.append(row)
    return pd.DataFrame(rows)


def gains(direct: Filling, weighted: Filling, uncertainty: FloatArray | None) -> dict[str, float]:
    """Measure what weighting gains over cutting, in one histogram.

    Args:
        direct: It filled directly.
        weighted: It filled with weights.
        uncertainty: Covariance of the weighted yields that is due to the efficiency, or None.

    Returns:
        ``direct_events`` and ``effective_events``: events that pass, and as many as weighted ones
        are worth. ``gain``: the relative error of a bin filled directly over that of the weighted
        one, the median over bins in which an event passes; ``gain_total``: the same with the
        efficiency's error in the weighted one. ``gain_sum`` and ``gain_sum_total``: the same for
        the sum of all bins, where the efficiency's error, being correlated, counts most.
    """
    passing = float(direct.total.sum())
    squares = float((direct.error**2).sum())
    total = float(weighted.total.sum())
    weighted_squares = float((weighted.error**2).sum())
    full = np.nan
    if uncertainty is not None:
        full = max(weighted_squares + float(uncertainty.sum()), 0.0)
    relative = divide(np.sqrt(squares), abs(passing))
    return {
        "direct_events": float(divide(passing**2, squares, 0.0)),
        "effective_events": float(divide(total**2, weighted_squares, 0.0)),
        "gain": _median(weighted.gain(direct, False)),
        "gain_total": _median(weighted.gain(direct, True)),
        "gain_sum": float(divide(relative * abs(total), np.sqrt(weighted_squares))),
        "gain_sum_total": float(divide(relative * abs(total), np.sqrt(full))),
    }


def _median(values: FloatArray) -> float:
    """Return the median of the numbers among some values; NaN where there is none."""
    return float(pd.Series(values).median())


def verdict_table(closure: pd.DataFrame, overall: pd.DataFrame | None = None) -> pd.DataFrame:
    """Put the verdicts of :func:`closure_table` side by side.

    Args:
        closure: The tests.
        overall: What :func:`truthtag.statistics.global_verdict.global_table` makes of them; its
            rows come first.

    Returns:
        A row per sample, distribution, panel and choice of events, a column per efficiency, which
        names the size of the uncertainty where the verdict leans on it; and the column
        ``working_point`` where there are several.
    """
    if overall is not None:
        closure = pd.concat([overall, closure], ignore_index=True)
    closure = with_known_points(closure)
    keys = with_marks(["sample", "distribution", "panel", "events"], closure)
    words = [stated(*one) for one in zip(closure["verdict"], closure["uncertainty"], strict=True)]
    wide = closure.assign(said=words).pivot(index=keys, columns="efficiency", values="said")
    rows = pd.MultiIndex.from_frame(closure[keys].drop_duplicates())
    return wide.loc[rows, closure["efficiency"].unique()].reset_index().rename_axis(columns=None)


def require_closure(
    closure: pd.DataFrame,
    required: Iterable[Mapping[str, Any]],
    overall: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Refuse a closure table in which something that must close does not.

    Args:
        closure: What :func:`closure_table` returns.
        required: Each entry names columns of the table and their values, such as
            ``{"efficiency": "gnn", "sample": "test"}``. Every row that has these values must
            close, within the uncertainty of the efficiency at least. An entry that names neither
            ``distribution`` nor ``panel`` is about the global line; so is one whose distribution is
            ``global``.
        overall: What :func:`truthtag.statistics.global_verdict.global_table` returns; without it,
            an entry is about all histograms that it fits.

    Returns:
        The rows that were required.

    Raises:
        DataError: A row does not close, or an entry fits no row.
    """
    chosen = []
    for entry in required:
        table = closure
        asks_for_all = "distribution" not in entry and "panel" not in entry
        if overall is not None and (asks_for_all or entry.get("distribution") == GLOBAL):
            table = overall
        rows = table[np.logical_and.reduce([table[key] == value for key, value in entry.items()])]
        if rows.empty:
            msg = (
                f"closure.required: no histogram has {dict(entry)}; "
                "see the columns of tables/closure.csv"
            )
            raise DataError(msg)
        chosen.append(rows)
    table = pd.concat([closure.iloc[:0], *chosen]).drop_duplicates()
    failed = table[~table["verdict"].isin([CLOSES, WITHIN])]
    if not failed.empty:
        lines = "\n".join(map(_failure, failed.to_dict("records")))
        msg = (
            f"{len(failed)} of {len(table)} required closures fail:\n{lines}\n"
            "Do not use these weights there; improve the efficiency (or give the sample more "
            "events, where there are too few), or take the entry out of closure.required."
        )
        raise DataError(msg)
    return table


def _failure(row: Mapping[Any, Any]) -> str:
    """Say in a line what does not close."""
    what = f"{row['efficiency']}, sample {row['sample']}, {row['distribution']}"
    where = f"{what}, panel {row['panel']}, events {row['events']}: {row['verdict']}"
    if row["distribution"] == GLOBAL:
        if not row["tests"]:
            return f"  {where}"
        of_all = f"p-value {row['p_value']:.2g} of {row['tests']:.0f} tests"
        return f"  {where}, {of_all}, worst in {row['smallest']}"
    return f"  {where}, chi2 {row['chi2']:.1f} for {row['ndf']:.0f} bins"


def _tested(histogram: ClosureHistogram, name: str, minimum_events: float) -> dict[str, Any]:
    """Test one histogram; columns of its row in the table."""
    weighted = histogram.weighted(name)
    alone = histogram.test(name, minimum_events)
    total = histogram.test(name, minimum_events, with_efficiency=True)
    if alone is None:
        msg = f"the histogram weighted by {name!r} cannot be tested; fill it again"
        raise DataError(msg)
    return {
        "direct": histogram.direct.total.sum(),
        "weighted": weighted.total.sum(),
        "chi2": alone.chi2,
        "ndf": alone.ndf,
        "chi2_ndf": alone.chi2 / alone.ndf if alone.ndf else np.nan,
        "p_value": alone.p_value,
        "pull": alone.pull,
        "p_sum": alone.p_sum,
        "p_both": alone.p_both,
        "chi2_total": total.chi2 if total else np.nan,
        "p_value_total": total.p_value if total else np.nan,
        "pull_total": total.pull if total else np.nan,
        "p_sum_total": total.p_sum if total else np.nan,
        "p_both_total": total.p_both if total else np.nan,
        "uncertainty": weighted.uncertainty_of_sum,
    }


def _largest_deviation(weighted: Filling, minimum_events: float) -> float:
    """Return the ratio furthest from 1 among bins with enough events; NaN where there is none."""
    events = divide(weighted.difference_variance, weighted.mean_weight**2, 0.0)
    full = (events >= minimum_events) & np.isfinite(weighted.ratio)
    if not full.any():
        return float("nan")
    ratio = weighted.ratio[full]
    return float(ratio[np.argmax(np.abs(ratio - 1))])
