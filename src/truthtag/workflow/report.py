"""Pages of the HTML report: tables to read, and the verdicts that it opens with."""

from __future__ import annotations

import html
from collections.abc import Mapping

import pandas as pd

from truthtag.statistics.verdict import CLOSES, FAILS, UNTESTED, WITHIN

__all__ = ["render_page", "verdict_page"]

CLASSES = {CLOSES: "closes", WITHIN: "within", FAILS: "fails", UNTESTED: "untested"}
STYLE = """<style>
.prose:has(.verdict) { max-width: min(68rem, 92vw); }
.h-screen:has(.verdict) { align-items: flex-start; }
.items-start:has(.verdict) { flex-wrap: wrap; }
div.verdict { overflow-x: auto; }
div.verdict table { font-size: .8rem; margin: .5rem 0; }
div.verdict th, div.verdict td {
  padding: .25rem .5rem; text-align: left; white-space: nowrap; border-bottom: 1px solid #ddd;
}
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


def render_page(tables: Mapping[str, pd.DataFrame]) -> str:
    """Return an HTML page of tables under their titles, numbers to five significant digits."""
    sections = []
    for title, table in tables.items():
        html = table.to_html(index=False, border=0, float_format="{:.5g}".format, na_rep="–")
        sections.append(f"<h2>{title}</h2>\n<div>{html}</div>")
    return PAGE.format(body="\n".join(sections))


def verdict_page(verdicts: pd.DataFrame) -> str:
    """Return the verdicts on all events as a piece of HTML, to open the report with.

    Its style also makes room on the report's first page, which is laid out for a paragraph beside
    a graph.

    Args:
        verdicts: What :func:`truthtag.statistics.verdict.verdict_table` returns.
    """
    table = verdicts[verdicts["events"] == "all"].drop(columns="events")
    keys = ["sample", "distribution", "panel"]
    efficiencies = [name for name in table.columns if name not in keys]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in (*keys, *efficiencies))
    body = []
    for row in table.to_dict("records"):
        cells = [f"<td>{html.escape(str(row[name]))}</td>" for name in keys]
        for name in efficiencies:
            word = str(row[name])
            cells.append(f'<td class="{CLASSES.get(word, "")}">{html.escape(word)}</td>')
        body.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'{STYLE}<div class="verdict"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>\n"
    )
