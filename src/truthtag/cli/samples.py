"""What samples and their tables of events hold: flavours, weights, tags, counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from truthtag.arrays import IntArray
from truthtag.cli.columns import Described, Tables, axis, histogram
from truthtag.cli.output import number, plural
from truthtag.cli.provenance import section, short, texts
from truthtag.cli.scan import batches
from truthtag.cli.sketch import Row, flavour_name, sketch
from truthtag.data.labels import LABELS

__all__ = ["describe_events", "describe_sample"]


def describe_sample(given: Tables) -> Described:
    """Flavours, working points, events and their weights; pT and tags per flavour."""
    labels = section(given.metadata, LABELS)
    points = texts(labels, "points")
    facts = {"events": _events(given)}
    facts["flavours"] = ", ".join(
        flavour_name(one) for one in labels.get("flavours", ()) if isinstance(one, int)
    )
    facts["points"] = ", ".join(points)
    facts["inputs"] = ", ".join(texts(given.metadata, "further"))
    facts["categories"] = short(labels.get("categories") or None)
    return facts, _by_flavour(given, points)


def _events(given: Tables) -> str:
    """Say how many events there are, and what their weights are worth."""
    count = 0
    total = 0.0
    squares = 0.0
    negative = 0
    last: Any = None
    for some in batches(given.paths, ("event", "weight")):
        event = some["event"]
        first = np.r_[True, event[1:] != event[:-1]][: len(event)]
        if len(event):
            first[0] = last is None or event[0] != last
            last = event[-1]
        weight = some["weight"][first]
        count += len(weight)
        total += float(weight.sum())
        squares += float((weight**2).sum())
        negative += int((weight < 0).sum())
    if not count:
        return "none"
    text = f"{count:,} with jets, sum of weights {number(total)}"
    if squares:
        text += f", effective {number(total**2 / squares)}"
    return f"{text}, {negative / count:.1%} negative" if negative else text


def _by_flavour(given: Tables, points: Sequence[str]) -> list[list[str]]:
    """Sketch pT of each flavour, and how often its jets are tagged."""
    pt = given.extent("pt")
    if not pt.low < pt.high:
        return []
    edges = axis(pt.low, pt.high)
    tags = next((name for name in ("tag_bin", "is_tagged") if given.has(name)), None)
    counts: dict[int, IntArray] = {}
    tagged: dict[int, IntArray] = {}
    n_points = max(1, len(points))
    for some in batches(given.paths, ("pt", "flavour", *([tags] if tags else []))):
        for flavour in np.unique(some["flavour"]).tolist():
            inside = some["flavour"] == flavour
            values = some["pt"][inside]
            counts[flavour] = counts.get(flavour, 0) + np.histogram(values, edges)[0]
            if tags is None:
                continue
            passed = some[tags][inside].astype(int)
            by_point = [np.histogram(values[passed > k], edges)[0] for k in range(n_points)]
            tagged[flavour] = tagged.get(flavour, 0) + np.array(by_point)
    rows = [_counted_row(flavour, counts[flavour]) for flavour in sorted(counts, reverse=True)]
    sketches = [sketch(f"jets in pt [{pt.unit}]", pt.low, pt.high, rows)]
    if tags is not None:
        sketches.append(sketch("tagged", pt.low, pt.high, _tagged_rows(counts, tagged, points)))
    return sketches


def _counted_row(flavour: int, counts: IntArray) -> Row:
    return Row(flavour_name(flavour), counts, plural(int(counts.sum()), "jet"))


def _tagged_rows(
    counts: Mapping[int, IntArray], tagged: Mapping[int, IntArray], points: Sequence[str]
) -> list[Row]:
    rows = []
    for flavour in sorted(tagged, reverse=True):
        for position, some in enumerate(tagged[flavour]):
            name = flavour_name(flavour)
            if len(points) > 1:
                name += f" {points[position]}"
            share = some / np.maximum(counts[flavour], 1)
            rows.append(Row(name, share, f"{some.sum() / counts[flavour].sum():.4f}"))
    return rows


def describe_events(given: Tables) -> Described:
    """What happened to events and jets while a file was read."""
    from truthtag.data.readers.counts import Counts

    facts = {}
    stored = section(given.metadata, "counts")
    if stored and len(given.paths) == 1:
        counts = Counts.from_metadata(stored)
        facts["counts"] = str(counts)
        facts["jets"] = f"{counts.jets_rejected} not selected, {counts.negative_weights} events of"
        facts["jets"] += " negative weight"
        lines = []
        for flavour, one in counts.by_flavour().items():
            passed = zip(counts.points, one.tagged, strict=False)
            said = ", ".join(f"{count} {point}" for point, count in passed)
            lines.append(f"{flavour_name(flavour)}: {plural(one.jets, 'jet')}, tagged {said}")
        facts["flavours"] = "\n".join(lines)
    return facts, [histogram(given, "n_jets", "events in n_jets")]
