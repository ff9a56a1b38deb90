"""What a folder of results says: accuracy and verdict of each efficiency, and where to read on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from truthtag.cli.output import Report, table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FOLDERS", "describe_results"]

FOLDERS = ("samples", "estimators", "predictions", "weights", "exports", "tables", "figures")
"""Folders that a folder of results has."""

UNTOLD = "–"
"""Stands where nothing was measured."""


def describe_results(path: Path) -> Report | None:
    """Return what a folder of results says; None where it is no such folder.

    Args:
        path: The folder.

    Raises:
        DataError: A table, or the list of an ensemble, is damaged.
    """
    facts = {}
    for name in FOLDERS:
        entries = sorted(one.name for one in path.glob(f"{name}/*") if not one.name.startswith("."))
        facts[name] = ", ".join(entries)
    if not any(facts.values()):
        return None
    blocks = list(_samples(path / "tables"))
    left_out = "\n".join(_left_out(path / "estimators"))
    if not blocks:
        facts["left out"] = left_out
        return Report("results of the workflow; name one of its folders to see more", facts)
    report = path / "report.html"
    places = {
        "report": str(report) if report.exists() else "",
        "tables": str(path / "tables"),
        "figures": str(path / "figures") if facts["figures"] else "",
        "weights": str(path / "weights") if facts["weights"] else "",
        "left out": left_out,
    }
    return Report("results of the workflow", places, blocks)


def _left_out(estimators: Path) -> list[str]:
    """Say of which ensembles some members failed."""
    from truthtag.estimators.ensemble import MANIFEST, members_listed
    from truthtag.workflow.report import left_out_sentences

    manifests = sorted(estimators.glob(f"*/{MANIFEST}"))
    return left_out_sentences({path.parent.name: members_listed(path) for path in manifests})


def _samples(tables: Path) -> Iterator[list[str]]:
    """Go through the judged samples: a table of the efficiencies on each, as lines."""
    from truthtag.data.files import read_csv
    from truthtag.statistics.panels import GLOBAL
    from truthtag.statistics.points import with_known_points, with_marks

    needed = [tables / f"{name}.csv" for name in ("verdict", "summary", "likelihood")]
    if not all(path.exists() for path in needed):
        return
    verdicts, summary, likelihood = (with_known_points(read_csv(path)) for path in needed)
    chosen = (verdicts["distribution"] == GLOBAL) & (verdicts["events"] == "all")
    keys = with_marks(["sample"], verdicts)
    known = list(dict.fromkeys(summary["efficiency"]))
    for _, row in verdicts[chosen].iterrows():
        accuracy = _rows_of(summary[summary["flavour"] == "all"], row, keys)
        losses = _rows_of(likelihood, row, keys)
        truth_is_known = "regret" in accuracy
        title = " at ".join(str(row[key]) for key in keys if row[key])
        header = [
            title,
            "regret [nats/jet]" if truth_is_known else "loss above the best [nats/jet]",
        ]
        lines = []
        for name in [one for one in known if one in row.index]:
            value = _cell(accuracy, name, "regret") if truth_is_known else _loss(losses, name)
            lines.append([name, value, str(row[name])])
        yield table([*header, "all closure tests together"], lines)


def _rows_of(frame: pd.DataFrame, row: pd.Series, keys: list[str]) -> pd.DataFrame:
    """Return the rows of a table on the sample (and working point) of a verdict, by efficiency."""
    for key in keys:
        frame = frame[frame[key] == row[key]]
    return frame.set_index("efficiency")


def _cell(frame: pd.DataFrame, name: str, column: str) -> str:
    """Return a number of an efficiency, where there is one."""
    return f"{float(frame[column][name]):.2e}" if name in frame.index else UNTOLD


def _loss(frame: pd.DataFrame, name: str) -> str:
    """Return by how much the loss on tags is above that of the best efficiency, with its error."""
    if name not in frame.index:
        return UNTOLD
    difference = float(frame["difference"][name])
    error = float(frame["error"][name])
    return f"{difference:.2e} ± {error:.1e}" if difference else "the best"
