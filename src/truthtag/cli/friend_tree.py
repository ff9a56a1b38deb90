"""What a friend tree of truthtag holds: its branches, their ranges, sums of weights."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from truthtag.arrays import AnyArray
from truthtag.cli.output import Report, number, plural
from truthtag.cli.provenance import origin, short
from truthtag.cli.scan import Extent, column_table
from truthtag.cli.sketch import BINS, Row, sketch
from truthtag.errors import DataError

__all__ = ["FRIEND", "Sums", "describe_friend", "efficiency_sketch", "facts_of"]

FRIEND = "weights of the events of a file, entry by entry"

STEP = 100_000
"""Entries that are in memory at a time."""

EFFICIENCY = "Jet_eff"
"""What the branches begin with that hold efficiencies; -1 stands where a jet has none."""

EDGES = np.linspace(0, 1, BINS + 1)


def describe_friend(path: Path) -> Report:
    """Say what a friend tree is.

    Raises:
        DataError: It is damaged, or truthtag did not write it.
        ConfigError: uproot or awkward is not installed.
    """
    from truthtag.exports.friends import TREE, is_friend

    if not is_friend(path):
        msg = (
            f"{path}: is a ROOT file that truthtag did not write. `truthtag weigh MODEL {path} -o "
            "FOLDER` reads its events."
        )
        raise DataError(msg)
    metadata, extents, n_entries, sums = _scanned(path)
    facts = {"tree": TREE, "entries": f"{n_entries:,}", **facts_of(metadata)}
    facts |= sums.facts()
    return Report(
        f"a friend tree: {FRIEND}", facts, [column_table(extents), efficiency_sketch(sums.counts)]
    )


def facts_of(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return what a friend records about its origin, of either format."""
    return {**origin(metadata), "settings": short(metadata.get("settings"))}


class Sums:
    """Sums of weights and counts of efficiencies, over all entries."""

    def __init__(self) -> None:
        self.weighted: defaultdict[str, float] = defaultdict(float)
        self.counts: dict[str, AnyArray] = {}

    def add(self, columns: Mapping[str, AnyArray]) -> None:
        """Take in some entries, flat columns by name."""
        weight = columns.get("weight")
        for name, values in columns.items():
            if name.startswith("p_tag_") and weight is not None:
                self.weighted[name] += float(np.nansum(weight * values))
            elif name.startswith(EFFICIENCY):
                some = np.histogram(values[values >= 0], EDGES)[0]
                self.counts[name] = self.counts.get(name, 0) + some

    def facts(self) -> dict[str, str]:
        """Return the sums in words."""
        lines = [f"{name}: {number(value)}" for name, value in self.weighted.items()]
        return {"sums": "\n".join(lines)}


def efficiency_sketch(counts: Mapping[str, AnyArray]) -> list[str]:
    """Return a sketch of how many jets have which efficiency."""
    rows = [Row(name, one, plural(int(one.sum()), "jet")) for name, one in counts.items()]
    return sketch("efficiency", 0, 1, rows)


def _scanned(path: Path) -> tuple[Mapping[str, Any], list[Extent], int, Sums]:
    """Read a tree once: provenance, extents of the branches, number of entries, sums."""
    from truthtag.data.readers.options import ReaderOptions
    from truthtag.data.readers.root_file import open_root
    from truthtag.exports.friends import PROVENANCE, TREE

    sums = Sums()
    n_entries = 0
    found: dict[str, Extent] = {}
    with open_root(path, ReaderOptions(format="root", tree=TREE)) as source:
        metadata = _parsed(str(source.tree.file.root_directory[PROVENANCE]))
        for columns in _blocks(source):
            n_entries += columns.pop(_ENTRIES)[0]
            sums.add(columns)
            for name, values in columns.items():
                one = found.setdefault(name, Extent(name, "", str(values.dtype)))
                one.add_numbers(values)
    return metadata, list(found.values()), n_entries, sums


_ENTRIES = "number of entries"


def _blocks(source: Any) -> Iterator[dict[str, AnyArray]]:
    for block in source.blocks(source.keys, STEP):
        columns = {name: column.values for name, column in block.columns.items()}
        n_entries = next(iter(block.columns.values())).n_events
        yield {**columns, _ENTRIES: np.array([n_entries])}


def _parsed(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
