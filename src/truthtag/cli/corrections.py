"""What a file of correctionlib holds, whoever wrote it: corrections, inputs, choices, ranges."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from truthtag.cli.output import Report, number, table
from truthtag.cli.provenance import origin, section, short
from truthtag.cli.sketch import BINS, Row, flavour_name, sketch
from truthtag.errors import DataError

__all__ = ["choices_of", "describe_corrections"]

MOST_CHOICES = 8
"""Choices of an input that are shown."""


def describe_corrections(path: Path) -> Report:
    """Say what a file of correctionlib is.

    Raises:
        DataError: It is damaged, or holds no corrections of schema version 2.
    """
    from truthtag.exports.correction_json import read_corrections

    stored = read_corrections(path)
    content = _content(path)
    provenance = section(stored.record, "provenance")
    facts = {
        "says": stored.description,
        "kind": short(stored.record.get("kind")),
        "outside": short(stored.record.get("outside")),
        "spread": short(stored.record.get("spread")),
        **origin(provenance),
    }
    if not stored.record:
        facts["made by"] = "others: truthtag did not write it"
    rows = [row for one in content["corrections"] for row in _rows(one)]
    listed = table(["correction", "input", "type", "values"], rows, left=4)
    try:
        sketches = [_sketch(path, one) for one in content["corrections"]] if stored.record else []
    except RuntimeError as error:
        # Of correctionlib, which checks what it computes.
        reason = " ".join(str(error).split())[:200]
        msg = (
            f"{path}: correctionlib cannot read it ({reason}). It is damaged, or was changed: "
            "export it again."
        )
        raise DataError(msg) from error
    return Report("a file of correctionlib", facts, [listed, *sketches])


def _content(path: Path) -> Any:
    """Return the JSON of a file that :func:`read_corrections` has accepted."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as file:
        return json.loads(file.read())


def _rows(correction: Mapping[str, Any]) -> list[list[str]]:
    """Return a row of the table for each input of a correction."""
    choices = choices_of(correction.get("data"))
    rows = []
    name = str(correction["name"])
    for given in correction["inputs"]:
        own = choices.get(str(given["name"]), [])
        rows.append([name, str(given["name"]), str(given.get("type", "")), _shown(own)])
        name = ""
    return rows


def choices_of(data: Any) -> dict[str, list[Any]]:
    """Return what the nodes of a correction choose between, by the name of the input.

    Args:
        data: Its nodes.

    Returns:
        The keys of categories; of bins their edges.

    Example:
        >>> choices_of({"nodetype": "binning", "input": "pt", "edges": [20, 600], "content": [1]})
        {'pt': [20, 600]}
    """
    found: dict[str, list[Any]] = {}
    stack = [data]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack += reversed(node)
        if not isinstance(node, Mapping):
            continue
        if node.get("nodetype") == "category":
            keys = [one.get("key") for one in node.get("content", ()) if isinstance(one, Mapping)]
            _add(found, node.get("input"), keys)
        elif node.get("nodetype") == "binning":
            _add(found, node.get("input"), _edges(node.get("edges")))
        elif node.get("nodetype") == "multibinning":
            for name, edges in zip(node.get("inputs", ()), node.get("edges", ()), strict=False):
                _add(found, name, _edges(edges))
        stack += [node[name] for name in ("content", "value", "default") if name in node]
    return found


def _edges(edges: Any) -> list[Any]:
    if isinstance(edges, Mapping):
        return [edges.get("low"), edges.get("high")]
    return list(edges) if isinstance(edges, list) else []


def _add(found: dict[str, list[Any]], name: Any, values: Sequence[Any]) -> None:
    known = found.setdefault(str(name), [])
    known += [value for value in values if value not in known]


def _shown(values: Sequence[Any]) -> str:
    """Return choices, or from where to where bins reach."""
    if any(isinstance(value, float) for value in values):
        ends = sorted(float(value) for value in values)
        return f"{number(ends[0])} to {number(ends[-1])}"
    some = ", ".join(map(short, values[:MOST_CHOICES]))
    return f"{some} ..." if len(values) > MOST_CHOICES else some


def _sketch(path: Path, correction: Mapping[str, Any]) -> list[str]:
    """Sketch a correction of ours over pT for each flavour, where correctionlib is installed."""
    try:
        import correctionlib
    except ImportError:
        return []
    choices = choices_of(correction["data"])
    names = [str(given["name"]) for given in correction["inputs"]]
    flavour = next((name for name in names if name in ("flavor", "flavour")), None)
    if flavour is None or "pt" not in choices:
        return []
    ends = [float(value) for value in choices["pt"] if np.isfinite(float(value))]
    edges = np.linspace(min(ends), max(ends), BINS + 1)
    pt = (edges[1:] + edges[:-1]) / 2
    evaluate = correctionlib.CorrectionSet.from_file(str(path))[str(correction["name"])].evaluate
    rows = []
    for number_of in sorted(choices[flavour], reverse=True):
        given = {"pt": pt, flavour: number_of}
        inputs = [given[name] if name in given else _usual(choices[name]) for name in names]
        values = np.asarray(evaluate(*inputs))
        remark = f"{values.min():.3g} to {values.max():.3g}"
        rows.append(Row(flavour_name(number_of), values, remark))
    fixed = [f"{name} {_usual(choices[name])}" for name in names if name not in ("pt", flavour)]
    return [
        *[f"at {', '.join(fixed)}"][: len(fixed)],
        *sketch("pt [GeV]", min(ends), max(ends), rows),
    ]


def _usual(values: Sequence[Any]) -> Any:
    """Return the first choice, or, of an axis, what is nearest to 0 in it."""
    if not any(isinstance(value, float) for value in values):
        return values[0]
    ends = [float(value) for value in values]
    return min(max(min(ends), 0.0), max(ends))
