"""Events in a Parquet file: lists in a row per event, or a row per jet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from truthtag.arrays import AnyArray, BoolArray, IntArray
from truthtag.data.files import open_parquet
from truthtag.data.readers.column import Column
from truthtag.data.readers.formula import parse_formula
from truthtag.data.readers.names import Names
from truthtag.data.readers.options import ReaderOptions
from truthtag.data.readers.source import Block, Source, is_remote, require_file
from truthtag.errors import DataError

__all__ = ["JetRows", "ParquetLists", "open_events"]

Places = Mapping[str, tuple[str, ...]]
"""Where each branch of a file is: a column, and the fields inside it."""

ROWS_PER_EVENT = 4
"""Rows that are read at a time of a file with a row per jet, for each event asked for."""


@contextmanager
def open_events(path: str | Path, options: ReaderOptions) -> Iterator[Source]:
    """Open a Parquet file with events.

    Args:
        path: A local file.
        options: Which column holds what.

    Yields:
        A file with a row per event, where the transverse momentum is a list, or a row per jet.

    Raises:
        DataError: The file is missing, damaged or no Parquet, or lacks the column of the transverse
            momentum, or that which numbers the events.
    """
    if is_remote(path):
        msg = f"{path}: Parquet is read from local files only. Copy it first."
        raise DataError(msg)
    local = require_file(path)
    with open_parquet(local) as file:
        places = _places(file.schema_arrow)
        names = Names(list(places), options.layout, str(path))
        pt = names.require(_column_of("pt", options), "for the transverse momentum").key
        if _is_list(file.schema_arrow.field(places[pt][0]).type):
            yield ParquetLists(str(path), file, places)
            return
        need = "which numbers the events of a file with a row per jet"
        numbers = [names.require(_column_of("event", options), need)]
        for role in ("luminosity_block", "run"):
            found = names.find(_column_of(role, options))
            if found is not None:
                numbers.insert(0, found)
        yield JetRows(str(path), file, places, [branch.key for branch in numbers])


def _column_of(role: str, options: ReaderOptions) -> str:
    """Return the name of the column that tells how a file is laid out."""
    branches = parse_formula(options.columns.get(role, role)).branches
    return branches[0] if branches else role


class _ParquetSource(Source):
    """A Parquet file.

    Args:
        shown: What the error messages call the file.
        file: The file, opened by pyarrow.
        places: Where each branch is.
    """

    def __init__(self, shown: str, file: Any, places: Places) -> None:
        super().__init__(shown, list(places))
        self.file = file
        self.places = places

    def _batches(self, keys: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """Read the columns of some branches, some rows at a time; at least one batch."""
        columns = list(dict.fromkeys(self.places[key][0] for key in keys))
        any_rows = False
        for batch in self.file.iter_batches(batch_size=rows, columns=columns):
            yield batch
            any_rows = True
        if not any_rows:
            schema = self.file.schema_arrow
            fields = [schema.field(column) for column in columns]
            nothing = [pa.array([], type=field.type) for field in fields]
            yield pa.RecordBatch.from_arrays(nothing, schema=pa.schema(fields))

    def _column(self, batch: pa.RecordBatch, key: str, first_row: int) -> Column:
        """Return a branch of some rows."""
        name, *fields = self.places[key]
        array = _storage(batch[name])
        offsets = None
        if array.null_count:
            row = first_row + int(np.flatnonzero(array.is_null().to_numpy(False))[0])
            if _is_list(array.type) or not pa.types.is_floating(array.type):
                msg = (
                    f"{self.shown}: column {key!r} is empty in row {row}. Fill it, or drop the row."
                )
                raise DataError(msg)
        if _is_list(array.type):
            starts = np.asarray(array.offsets).astype(np.int64)
            offsets = starts - starts[0]
            array = _storage(array.flatten())
        for field in fields:
            array = _storage(array.field(field))
        kind = array.type
        if not (
            pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
        ):
            msg = (
                f"{self.shown}: column {key!r} holds {kind}; a number per row, or a list of "
                "numbers, is wanted. State another column."
            )
            raise DataError(msg)
        if array.null_count and not pa.types.is_floating(kind):
            msg = f"{self.shown}: column {key!r} has gaps from row {first_row} on. Fill them."
            raise DataError(msg)
        return Column(array.to_numpy(zero_copy_only=False), offsets)


class ParquetLists(_ParquetSource):
    """A file with a row per event and lists for the jets, as ``awkward.to_parquet`` writes it."""

    def blocks(self, keys: Sequence[str], step: int) -> Iterator[Block]:
        """Go through the events; arguments and errors are those of :class:`Source`."""
        first_entry = 0
        for batch in self._batches(keys, step):
            columns = {key: self._column(batch, key, first_entry) for key in keys}
            yield Block(first_entry, columns)
            first_entry += batch.num_rows


class JetRows(_ParquetSource):
    """A file with a row per jet; rows of an event are adjacent and share its number.

    Args:
        shown: What the error messages call the file.
        file: The file, opened by pyarrow.
        places: Where each branch is.
        numbers: Keys of the branches that tell events apart: run, luminosity block, event.
    """

    def __init__(self, shown: str, file: Any, places: Places, numbers: Sequence[str]) -> None:
        super().__init__(shown, file, places)
        self.numbers = numbers

    def blocks(self, keys: Sequence[str], step: int) -> Iterator[Block]:
        """Go through the events; arguments and errors are those of :class:`Source`."""
        wanted = list(dict.fromkeys([*keys, *self.numbers]))
        last: list[Any] = []
        rising = True
        n_events = 0
        for rows in self._rows_of_whole_events(wanted, step * ROWS_PER_EVENT):
            offsets = self._offsets(rows)
            numbers = [rows[key][offsets[:-1]] for key in self.numbers]
            if last:
                numbers = [np.r_[pair] for pair in zip(last, numbers, strict=True)]
            rising = rising and bool(_rises(numbers).all())
            last = [values[-1:] for values in numbers]
            for begin in range(0, max(len(offsets) - 1, 1), step):
                some = offsets[begin : begin + step + 1]
                columns = {
                    key: Column(rows[key][some[0] : some[-1]], some - some[0]) for key in keys
                }
                yield Block(n_events + begin, columns)
            n_events += len(offsets) - 1
        if not rising:
            self._require_adjacent(step * ROWS_PER_EVENT)

    def _rows_of_whole_events(
        self, keys: Sequence[str], rows: int
    ) -> Iterator[dict[str, AnyArray]]:
        """Read rows; those of the last event wait, since the next rows can belong to it."""
        held: dict[str, AnyArray] = {}
        first_row = 0
        for batch in self._batches(keys, rows):
            new = {key: self._column(batch, key, first_row).values for key in keys}
            first_row += batch.num_rows
            if held:
                new = {key: np.concatenate([held[key], new[key]]) for key in keys}
            cut = int(self._offsets(new)[-2:][0]) if len(new[keys[0]]) else 0
            if cut:
                yield {key: values[:cut] for key, values in new.items()}
            held = {key: values[cut:] for key, values in new.items()}
        yield held

    def _offsets(self, rows: Mapping[str, AnyArray]) -> IntArray:
        """Return where the events begin, and the number of rows."""
        n_rows = len(rows[self.numbers[-1]])
        changed = np.zeros(max(n_rows - 1, 0), dtype=bool)
        for key in self.numbers:
            values = rows[key]
            if values.dtype.kind not in "iu":
                msg = (
                    f"{self.shown}: column {key!r} holds {values.dtype} values; events are told "
                    "apart by integers"
                )
                raise DataError(msg)
            changed |= values[1:] != values[:-1]
        starts = np.flatnonzero(np.r_[True, changed][:n_rows])
        offsets: IntArray = np.r_[starts, n_rows]
        return offsets

    def _require_adjacent(self, rows: int) -> None:
        """Refuse events whose rows stand apart; called where the numbers do not rise."""
        found: list[list[AnyArray]] = [[] for _ in self.numbers]
        for some in self._rows_of_whole_events(self.numbers, rows):
            starts = self._offsets(some)[:-1]
            for key, values in zip(self.numbers, found, strict=True):
                values.append(some[key][starts])
        numbers = [np.concatenate(values) for values in found]
        order = np.lexsort(numbers[::-1])
        numbers = [values[order] for values in numbers]
        again = ~_rises(numbers)
        if again.any():
            place = int(np.argmax(again))
            what = ", ".join(
                f"{key} {values[place]}" for key, values in zip(self.numbers, numbers, strict=True)
            )
            msg = (
                f"{self.shown}: rows of the event with {what} stand apart ({int(again.sum())} such "
                "events); the jets of an event must be adjacent. Sort the rows by event, or, if "
                "two events share the number, number them anew."
            )
            raise DataError(msg)

    def event_values(self, column: Column, name: str, first_entry: int) -> AnyArray:
        """Return the value that all rows of an event must share, shape (n_events,).

        Raises:
            DataError: They differ in an event.
        """
        if column.offsets is None:
            return column.values
        values = column.values
        first = values[column.offsets[:-1]]
        changed = np.repeat(first, column.counts()) != values
        if changed.any():
            row = int(np.argmax(changed))
            event = int(np.searchsorted(column.offsets, row, side="right")) - 1
            msg = (
                f"{self.shown}: {name} is {values[row]} in a row of entry {first_entry + event}, "
                f"and {first[event]} in its first: the jets of an event must share it"
            )
            raise DataError(msg)
        return first


def _rises(arrays: Sequence[AnyArray]) -> BoolArray:
    """Return whether each row is above the one before it, the first array counting most."""
    above = np.zeros(max(len(arrays[0]) - 1, 0), dtype=bool)
    equal = ~above
    for values in arrays:
        above |= equal & (values[1:] > values[:-1])
        equal &= values[1:] == values[:-1]
    return above


def _places(schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    """Return where each branch is: ``Jet.pt`` is the field ``pt`` of the column ``Jet``."""
    places: dict[str, tuple[str, ...]] = {}
    for field in schema:
        kind = field.type
        if _is_list(kind):
            kind = kind.value_type
        if pa.types.is_struct(kind):
            for inner in kind:
                places[f"{field.name}.{inner.name}"] = (field.name, inner.name)
        else:
            places[field.name] = (field.name,)
    return places


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _storage(array: pa.Array) -> pa.Array:
    """Return the plain array inside an extension type, as awkward can write it."""
    while isinstance(array, pa.ExtensionArray):
        array = array.storage
    return array
