"""One pass over the columns of Parquet files: what they hold, from where to where."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from truthtag.arrays import AnyArray
from truthtag.cli.output import number, table
from truthtag.data.columns import UNITS
from truthtag.data.files import open_parquet
from truthtag.errors import DataError

__all__ = ["Extent", "batches", "column_table", "extents", "names_of"]

ROWS = 100_000
"""Rows that are in memory at a time."""

MOST_WORDS = 6
"""Different texts of a column that are shown."""

TEXTS = 3
"""How many of the columns of a table of columns are texts: name, unit, type."""

FEW_ALIKE = 4
"""So many columns that differ in a number only are still listed one by one."""


@dataclass
class Extent:
    """What a column holds.

    Attributes:
        name: Its name.
        unit: Its unit; empty where it has none.
        kind: Its type.
        low: Its least number.
        high: Its largest number.
        missing: How many rows have no number.
        words: The different texts in it, where it holds texts.
    """

    name: str
    unit: str
    kind: str
    low: float = np.inf
    high: float = -np.inf
    missing: int = 0
    words: list[str] = field(default_factory=list)

    def add(self, array: Any) -> None:
        """Take in some rows, an array of Arrow."""
        array = _flat(array)
        kind = array.type
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
            self.add_numbers(array.to_numpy(zero_copy_only=False))
        elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
            for word in array.unique().to_pylist():
                if word not in self.words:
                    self.words.append(str(word))
            del self.words[MOST_WORDS + 1 :]

    def add_numbers(self, numbers: AnyArray) -> None:
        """Take in numbers, shape (n,); those that are NaN are missing."""
        values = numbers.astype(np.float64)
        there = ~np.isnan(values)
        self.missing += int((~there).sum())
        self.low = min(self.low, float(values[there].min(initial=np.inf)))
        self.high = max(self.high, float(values[there].max(initial=-np.inf)))

    def cells(self) -> list[str]:
        """Return what a table shows of it."""
        what = [self.name, self.unit, self.kind]
        missing = number(self.missing) if self.missing else ""
        if self.words:
            shown = ", ".join(self.words[:MOST_WORDS])
            return [*what, shown if len(self.words) <= MOST_WORDS else f"{shown} ...", "", missing]
        if self.low > self.high:
            return [*what, "", "", missing]
        return [*what, *map(self._shown, (self.low, self.high)), missing]

    def _shown(self, value: float) -> str:
        return number(int(value)) if "int" in self.kind else number(value)


def names_of(path: Path) -> list[str]:
    """Return the names of the columns of a Parquet file.

    Raises:
        DataError: The file is missing, damaged or no Parquet.
    """
    with open_parquet(path) as file:
        names: list[str] = list(file.schema_arrow.names)
    return names


def batches(paths: Sequence[Path], names: Sequence[str]) -> Iterator[dict[str, AnyArray]]:
    """Go through columns of numbers, some rows at a time.

    Args:
        paths: Parquet files with the same columns.
        names: Which columns.

    Raises:
        DataError: A file is missing, damaged or no Parquet, or lacks a column.
    """
    for path in paths:
        for batch in _batches(path, names):
            yield {name: _flat(batch[name]).to_numpy(zero_copy_only=False) for name in names}


def _flat(array: Any) -> Any:
    """Return an array of Arrow without its lists."""
    while pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        array = array.flatten()
    return array


def _batches(path: Path, names: Sequence[str] | None) -> Iterator[Any]:
    with open_parquet(path) as file:
        missing = [name for name in names or () if name not in file.schema_arrow.names]
        if missing:
            msg = f"{path}: column {missing[0]!r} is missing, which other files of the folder have."
            raise DataError(msg)
        yield from file.iter_batches(batch_size=ROWS, columns=None if names is None else [*names])


def extents(paths: Sequence[Path]) -> tuple[list[Extent], int]:
    """Return what the columns of files hold, and the number of rows.

    Args:
        paths: Parquet files with the same columns.

    Raises:
        DataError: A file is missing, damaged or no Parquet, or lacks a column of the first one.
    """
    with open_parquet(paths[0]) as file:
        schema = file.schema_arrow
        found = [Extent(one.name, _unit(one), _kind(one.type)) for one in schema]
    names = [one.name for one in found]
    n_rows = 0
    for path in paths:
        for batch in _batches(path, names):
            n_rows += batch.num_rows
            for one, column in zip(found, batch.columns, strict=True):
                one.add(column)
    return found, n_rows


def _kind(kind: Any) -> str:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"list of {_kind(kind.value_type)}"
    return str(kind).removeprefix("large_")


def _unit(column: pa.Field) -> str:
    stated = (column.metadata or {}).get(b"unit", b"").decode("utf-8", "replace")
    unit = stated or UNITS.get(column.name, "")
    return "" if unit == "1" else unit


def column_table(found: Sequence[Extent]) -> list[str]:
    """Return a table of columns; many that differ in a number only are one line of it."""
    rows = []
    for group in _alike(found):
        first = group[0]
        if len(group) > FEW_ALIKE:
            first = Extent(
                f"{group[0].name} to {group[-1].name}",
                first.unit,
                first.kind,
                min(one.low for one in group),
                max(one.high for one in group),
                sum(one.missing for one in group),
            )
            group = [first]
        rows += [one.cells() for one in group]
    header = ["column", "unit", "type", "least", "largest", "missing"]
    kept = [position for position in range(len(header)) if any(row[position] for row in rows)]
    cut = [[row[position] for position in kept] for row in rows]
    n_texts = sum(position < TEXTS for position in kept)
    return table([header[position] for position in kept], cut, left=n_texts)


def _alike(found: Sequence[Extent]) -> list[list[Extent]]:
    """Put columns together whose names differ in their first number only."""
    groups: dict[str, list[Extent]] = {}
    for one in found:
        stem = re.sub(r"_\d+", "_#", one.name, count=1)
        groups.setdefault(stem if stem != one.name else f"={one.name}", []).append(one)
    return list(groups.values())
