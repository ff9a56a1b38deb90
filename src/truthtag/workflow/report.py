"""Pages of the HTML report: tables to read, and the verdicts that it opens with."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

import pandas as pd

from truthtag.estimators.failures import Failure
from truthtag.statistics.panels import GLOBAL
from truthtag.statistics.points import WORKING_POINT, with_marks
from truthtag.statistics.words import CLOSES, FAILS, UNCERTAIN, UNTESTED, WITHIN

__all__ = [
    "left_out_sentences",
    "power_sentences",
    "render_page",
    "too_few_events",
    "verdict_page",
    "with_titles",
]

CLASSES = {
    CLOSES: "closes",
    WITHIN: "within",
    UNCERTAIN: "uncertain",
    FAILS: "fails",
    UNTESTED: "untested",
}
STYLE = """<style>
.prose:has(.verdict) { max-width: min(92vw, max(68rem, 100vw - 20rem)); }
.prose:has(.verdict) > p { max-width: 68rem; }
.h-screen:has(.verdict) { align-items: flex-start; }
.items-start:has(.verdict) { flex-wrap: wrap; }
div.verdict { overflow-x: auto; }
div.verdict table { font-size: .8rem; margin: .5rem 0; }
div.verdict th, div.verdict td {
  padding: .25rem .5rem; text-align: left; white-space: nowrap; border-bottom: 1px solid #ddd;
}
div.verdict td.closes { background: #d5ecd9; }
div.verdict td.within { background: #eef3c7; }
div.verdict td.uncertain { background: #f8e3b8; }
div.verdict td.fails { background: #f6cfc4; font-weight: 600; }
div.verdict td.untested { color: #666; }
div.verdict p.warning { font-weight: 600; }
div.verdict tr.global td { font-weight: 600; border-bottom: 2px solid #999; }
@media (max-width: 640px) {
  .w-screen:has(.verdict) { flex-direction: column; height: auto; }
  .w-screen:has(.verdict) nav { width: 100%; height: auto; }
  .w-screen:has(.verdict) .h-screen { height: auto; }
}
</style>
"""

TITLES = {
    "samples": "Samples",
    "verdict": "Verdict: does weighting reproduce the tags?",
    "overall": "All tests of an efficiency on a sample together",
    "power": "What each sample would have found: smallest bias, found in nine cases of ten",
    "closure": "Closure: direct tagging against weights",
    "coverage": "Coverage: is the truth within the errors?",
    "likelihood": "Likelihood of the tags: difference to the best efficiency",
    "shifts": "Differences between efficiencies: shift of a yield towards the best one",
    "summary": "Against the truth, all jets",
    "in_range": "Against the truth, jets inside the training range",
    "in_domain": "Against the truth, jets in the domain",
}
"""Titles of the tables, in the order of the page."""

WITHOUT_TRUTH = ("Against the truth", "Predicted and tagged")
"""How the title of a table begins, and how where no truth is known."""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>truthtag tables</title><style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 1.5rem; color: #111; background: #fff; }}
div {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .2rem .7rem; text-align: right; white-space: nowrap; }}
th, td {{ border-bottom: 1px solid #ddd; }}
th {{ border-bottom: 2px solid #555; }}
tr:hover {{ background: #f2f2f2; }}
</style></head><body>
{body}
</body></html>
"""


def render_page(tables: Mapping[str, pd.DataFrame], warnings: Sequence[str] = ()) -> str:
    """Return an HTML page of tables under their titles, numbers to five significant digits.

    Args:
        tables: The tables by title.
        warnings: Sentences that stand before them.
    """
    sections = [f"<p><b>{html.escape(text)}</b></p>" for text in warnings]
    for title, table in tables.items():
        rows = table.to_html(index=False, border=0, float_format="{:.5g}".format, na_rep="–")
        sections.append(f"<h2>{title}</h2>\n<div>{rows}</div>")
    return PAGE.format(body="\n".join(sections))


def with_titles(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return tables under their titles, in the order of the page.

    Args:
        tables: Some of the tables that :data:`TITLES` names, by these names.
    """
    titled = {}
    for name, title in TITLES.items():
        if name not in tables:
            continue
        table = tables[name]
        known = "regret" in table or not title.startswith(WITHOUT_TRUTH[0])
        titled[title if known else title.replace(*WITHOUT_TRUTH)] = table
    return titled


def too_few_events(
    verdicts: pd.DataFrame, samples: pd.DataFrame | None, minimum_events: float
) -> list[str]:
    """Say of which samples it cannot be told whether weighting reproduces their tags.

    Args:
        verdicts: What :func:`truthtag.statistics.verdict.verdict_table` returns.
        samples: What :func:`truthtag.statistics.samples.sample_table` returns of each sample, and
            in each row the ``sample``; None where that was not made.
        minimum_events: Smallest effective number of events of a merged bin.

    Returns:
        A sentence for each sample whose histograms all have too few events, or that has fewer
        effective events than one bin needs.
    """
    whole = pd.Series(dtype=float)
    if samples is not None:
        whole = samples[samples["flavour"] == "all"].set_index("sample")["effective_events"]
    sentences = []
    for sample, rows in verdicts.groupby("sample", sort=False):
        keys = with_marks(["sample", "distribution", "panel", "events"], rows)
        # An efficiency that a histogram does not have is no verdict on it.
        words = pd.Series(rows.drop(columns=keys).to_numpy().ravel()).dropna()
        effective = float(whole.get(sample, float("nan")))
        if (words == UNTESTED).all() or effective < minimum_events:
            reason = "there are too few events"
            if not math.isnan(effective):
                reason = f"{effective:.1f} effective events are too few to tell"
            sentences.append(
                f"Whether weighting reproduces the tags of {sample} cannot be told: {reason}."
            )
    return sentences


def left_out_sentences(members: Mapping[str, tuple[int, Sequence[Failure]]]) -> list[str]:
    """Say of which ensembles some members failed, and are left out.

    Args:
        members: By the name of an ensemble, the number of its members, and why others are left out:
            what :func:`truthtag.estimators.ensemble.members_listed` returns.

    Returns:
        A sentence for each ensemble that lacks members.
    """
    sentences = []
    for name, (count, failures) in members.items():
        if failures:
            told = "; ".join(map(str, failures))
            asked = count + len(failures)
            sentences.append(f"{name} has {count} of its {asked} networks. Left out: {told}.")
    return sentences


def power_sentences(power: pd.DataFrame) -> list[str]:
    """Say which bias each sample would have found.

    Args:
        power: What :func:`truthtag.statistics.power.power_table` returns. What a sample finds
            depends on its jets, and hardly on the efficiency: the first one speaks for all.

    Returns:
        A sentence per sample, and working point where there are several.
    """
    sentences = []
    keys = with_marks(["sample"], power)
    of_all = power[power["events"] == "all"]
    for values, rows in of_all.groupby(keys, sort=False, dropna=False):
        first = rows[rows["efficiency"] == rows["efficiency"].iloc[0]]
        bias = first.set_index("jets")["smallest_bias"]
        told = [
            f"{_percent(bias[name])} for {name} jets"
            for name in bias.index
            if name == "close" or not name.startswith("close ")
        ]
        point = f" at {values[1]}" if WORKING_POINT in keys else ""
        sentences.append(
            f"{values[0]}{point} would have found, in nine cases of ten, an efficiency that is too "
            f"high by {', '.join(told)}."
        )
    return sentences


def _percent(bias: float) -> str:
    """Return a bias in words."""
    return f"{bias:.1%}" if math.isfinite(bias) else "no amount"


def verdict_page(
    verdicts: pd.DataFrame, warnings: Sequence[str] = (), remarks: Sequence[str] = ()
) -> str:
    """Return the verdicts on all events as a piece of HTML, to open the report with.

    Its style also makes room on the report's first page, which is laid out for a paragraph beside
    a graph.

    Args:
        verdicts: What :func:`truthtag.statistics.verdict.verdict_table` returns.
        warnings: Sentences that stand before them, of :func:`too_few_events` say.
        remarks: Sentences that stand after them, of :func:`power_sentences` say.
    """
    table = verdicts[verdicts["events"] == "all"].drop(columns="events")
    keys = [*with_marks(["sample", "distribution"], table), "panel"]
    efficiencies = [name for name in table.columns if name not in keys]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in (*keys, *efficiencies))
    body = []
    for row in table.to_dict("records"):
        cells = [f"<td>{html.escape(_text(row[name]))}</td>" for name in keys]
        for name in efficiencies:
            word = str(row[name])
            # The size of an uncertainty follows in brackets.
            look = CLASSES.get(word.partition(" (")[0], "")
            cells.append(f'<td class="{look}">{html.escape(word)}</td>')
        kind = f' class="{GLOBAL}"' if row["distribution"] == GLOBAL else ""
        body.append(f"<tr{kind}>{''.join(cells)}</tr>")
    said = "".join(f'<p class="warning">{html.escape(text)}</p>' for text in warnings)
    added = "".join(f"<p>{html.escape(text)}</p>" for text in remarks)
    return (
        f'{STYLE}<div class="verdict">{said}<table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>{added}</div>\n"
    )


def _text(value: object) -> str:
    """Return what a cell says; nothing where there is nothing."""
    return "" if pd.isna(value) else str(value)  # type: ignore[call-overload]
