"""Does weighting reproduce the tags? A test of every histogram, and a verdict that a reader can act on."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from truthtag.arrays import FloatArray, divide
from truthtag.data.files import rows_by
from truthtag.errors import DataError
from truthtag.statistics.closure import closure_test, replica_yields
from truthtag.statistics.covariance import covariance

__all__ = [
    "CLOSES",
    "FAILS",
    "UNTESTED",
    "WITHIN",
    "closure_table",
    "gains",
    "require_closure",
    "verdict_page",
    "verdict_table",
]

CLOSES = "closes"
WITHIN = "within uncertainty"
FAILS = "does not close"
UNTESTED = "too few events"

CLASSES = {CLOSES: "closes", WITHIN: "within", FAILS: "fails", UNTESTED: "untested"}
STYLE = """<style>
.prose:has(.verdict) { max-width: min(68rem, 92vw); }
.h-screen:has(.verdict) { align-items: flex-start; }
.items-start:has(.verdict) { flex-wrap: wrap; }
div.verdict { overflow-x: auto; }
div.verdict table { font-size: .8rem; margin: .5rem 0; }
div.verdict th, div.verdict td { padding: .25rem .5rem; text-align: left; white-space: nowrap; border-bottom: 1px solid #ddd; }
div.verdict td.closes { background: #d5ecd9; }
div.verdict td.within { background: #eef3c7; }
div.verdict td.fails { background: #f6cfc4; font-weight: 600; }
div.verdict td.untested { color: #666; }
@media (max-width: 640px) {
  .w-screen:has(.verdict) { flex-direction: column; height: auto; }
  .w-screen:has(.verdict) nav { width: 100%; height: auto; }
  .w-screen:has(.verdict) .h-screen { height: auto; }
}
</style>
"""

DISTRIBUTIONS = {
    ("fig6", "delta_r"): "Delta R, leading jet tagged",
    ("fig8", "delta_r"): "Delta R, both jets tagged",
    ("fig8", "m_jj"): "m_jj, both jets tagged",
}


def closure_table(
    figures: Mapping[str, pd.DataFrame], minimum_variance: float, p_value: float
) -> pd.DataFrame:
    """Test closure in every histogram that was filled directly and weighted.

    Args:
        figures: Numbers of the figures, by name, as :mod:`truthtag.figures.numbers` makes them.
        minimum_variance: As in :func:`truthtag.statistics.closure.closure_test`.
        p_value: Smallest p-value of a histogram that closes.

    Returns:
        A row per sample, distribution, choice of events and efficiency: ``direct`` and ``weighted`` yields; ``chi2, ndf,
        chi2_ndf, p_value`` of the test with the scatter of the tags alone, ``chi2_total, p_value_total`` with the
        covariance of the efficiency added (NaN where it has none); the ``verdict``; ``largest_deviation``, the ratio to
        the truth that is furthest from 1 among bins that hold at least ``minimum_variance`` expected events (NaN where
        the truth is unknown); and what weighting gains, see :func:`gains`.
    """
    rows = []
    for figure, frame in figures.items():
        histograms = frame[frame["difference_variance"].notna() | (frame["filled_by"] == "direct")]
        for (sample, panel, events), part in histograms.groupby(
            ["sample", "panel", "events"], sort=False
        ):
            by_name = rows_by(part, "filled_by")
            direct = by_name.pop("direct")
            for name, weighted in by_name.items():
                what = {"figure": figure, "panel": panel, "events": events, "efficiency": name}
                distribution = DISTRIBUTIONS.get(
                    (figure, str(panel)), f"m_jj of {panel}, both jets tagged"
                )
                tested = _tested(direct, weighted, minimum_variance, p_value)
                rows.append({"sample": sample, "distribution": distribution, **what, **tested})
    return pd.DataFrame(rows)


def gains(
    direct: pd.DataFrame, weighted: pd.DataFrame, uncertainty: FloatArray | None
) -> dict[str, float]:
    """Measure what weighting gains over cutting, in one histogram.

    Args:
        direct: Its rows filled directly.
        weighted: Its rows filled with weights.
        uncertainty: Covariance of the weighted yields that is due to the efficiency, or None.

    Returns:
        ``direct_events`` and ``effective_events``: events that pass, and as many as weighted ones are worth.
        ``gain``: the relative error of a bin filled directly over that of the weighted one, the median over bins in
        which an event passes; ``gain_total``: the same with the efficiency's error in the weighted one. ``gain_sum`` and
        ``gain_sum_total``: the same for the sum of all bins, where the efficiency's error, being correlated, counts most.
    """
    (passing, squares), (total, weighted_squares) = (
        (float(rows["yield"].sum()), float((rows["error"] ** 2).sum()))
        for rows in (direct, weighted)
    )
    variances = {
        "": weighted_squares,
        "_total": np.nan if uncertainty is None else max(weighted_squares + uncertainty.sum(), 0.0),
    }
    relative = divide(np.sqrt(squares), abs(passing))
    return {
        "direct_events": float(divide(passing**2, squares, 0.0)),
        "effective_events": float(divide(total**2, weighted_squares, 0.0)),
        **{f"gain{kind}": float(weighted[f"gain{kind}"].median()) for kind in variances},
        **{
            f"gain_sum{kind}": float(divide(relative * abs(total), np.sqrt(value)))
            for kind, value in variances.items()
        },
    }


def verdict_table(closure: pd.DataFrame) -> pd.DataFrame:
    """Put the verdicts of :func:`closure_table` side by side, a row per distribution, a column per efficiency."""
    keys = ["sample", "distribution", "events"]
    wide = closure.pivot(index=keys, columns="efficiency", values="verdict")
    rows = pd.MultiIndex.from_frame(closure[keys].drop_duplicates())
    return wide.loc[rows, closure["efficiency"].unique()].reset_index().rename_axis(columns=None)


def verdict_page(verdicts: pd.DataFrame) -> str:
    """Return the verdicts on all events as a piece of HTML, to open the report with.

    Its style also makes room on the report's first page, which is laid out for a paragraph beside a graph.

    Args:
        verdicts: What :func:`verdict_table` returns.
    """
    table = verdicts[verdicts["events"] == "all"].drop(columns="events")
    efficiencies = list(table.columns[2:])
    head = "".join(
        f"<th>{html.escape(name)}</th>" for name in ("sample", "distribution", *efficiencies)
    )
    rows = []
    for row in table.to_dict("records"):
        names = "".join(
            f"<td>{html.escape(str(row[name]))}</td>" for name in ("sample", "distribution")
        )
        cells = "".join(
            f'<td class="{CLASSES.get(row[e], "")}">{html.escape(str(row[e]))}</td>'
            for e in efficiencies
        )
        rows.append(f"<tr>{names}{cells}</tr>")
    return f'{STYLE}<div class="verdict"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>\n'


def require_closure(closure: pd.DataFrame, required: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Refuse a closure table in which something that must close does not.

    Args:
        closure: What :func:`closure_table` returns.
        required: Each entry names columns of the table and their values, ``{"efficiency": "gnn", "sample": "test"}``
            say; every row that has these values must close, within the uncertainty of the efficiency at least.

    Returns:
        The rows that were required.

    Raises:
        DataError: A row does not close, or an entry fits no row.
    """
    chosen = []
    for entry in required:
        rows = closure[
            np.logical_and.reduce([closure[key] == value for key, value in entry.items()])
        ]
        if rows.empty:
            msg = f"closure.required: no histogram has {dict(entry)}; see the columns of tables/closure.csv"
            raise DataError(msg)
        chosen.append(rows)
    table = pd.concat([closure.iloc[:0], *chosen]).drop_duplicates()
    failed = table[~table["verdict"].isin([CLOSES, WITHIN])]
    if not failed.empty:
        lines = "\n".join(
            f"  {row.efficiency}, sample {row.sample}, {row.distribution}, events {row.events}: {row.verdict}, "
            f"chi2 {row.chi2:.1f} for {row.ndf} bins"
            for row in failed.itertuples()
        )
        msg = (
            f"{len(failed)} of {len(table)} required closures fail:\n{lines}\n"
            "Do not use these weights there; improve the efficiency (or give the sample more events, where there are too few), "
            "or take the entry out of closure.required."
        )
        raise DataError(msg)
    return table


def _tested(
    direct: pd.DataFrame, weighted: pd.DataFrame, minimum_variance: float, p_value: float
) -> dict[str, Any]:
    """Test one histogram; the columns of its row in the table."""
    yields, variance, ratio = (
        weighted[name].to_numpy() for name in ("yield", "difference_variance", "ratio")
    )
    passing = direct["yield"].to_numpy()
    by_replica = replica_yields(weighted)
    uncertainty = covariance(by_replica) if len(by_replica) > 1 else None
    alone = closure_test(passing, yields, variance, minimum_variance)
    total = (
        closure_test(passing, yields, variance, minimum_variance, uncertainty)
        if uncertainty is not None
        else None
    )
    full = (variance >= minimum_variance) & np.isfinite(ratio)
    return {
        "direct": passing.sum(),
        "weighted": yields.sum(),
        "chi2": alone.chi2,
        "ndf": alone.ndf,
        "chi2_ndf": alone.chi2 / alone.ndf if alone.ndf else np.nan,
        "p_value": alone.p_value,
        "chi2_total": total.chi2 if total else np.nan,
        "p_value_total": total.p_value if total else np.nan,
        "verdict": _verdict(alone.ndf, alone.p_value, total.p_value if total else np.nan, p_value),
        "largest_deviation": ratio[full][np.argmax(np.abs(ratio[full] - 1))]
        if full.any()
        else np.nan,
        **gains(direct, weighted, uncertainty),
    }


def _verdict(bins: int, alone: float, total: float, smallest: float) -> str:
    if not bins:
        return UNTESTED
    if alone >= smallest:
        return CLOSES
    return WITHIN if total >= smallest else FAILS
