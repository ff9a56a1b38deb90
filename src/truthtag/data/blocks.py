"""Samples of any size, and tables beside them, read some events at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from truthtag.arrays import IntArray
from truthtag.data.columns import REQUIRED
from truthtag.data.files import check_columns, open_parquet, read_table
from truthtag.data.jets import (
    Jets,
    append,
    jets_of_table,
    labels_and_further,
    read_file,
    refuse_columns_of_some,
    refuse_other_labels,
    refuse_shared_events,
    shards_of,
    stored_columns,
)
from truthtag.data.labels import Labels
from truthtag.errors import DataError

__all__ = [
    "EVENTS",
    "EventNumbers",
    "RowSteps",
    "SampleFiles",
    "cut_anew",
    "open_steps",
    "read_blocks",
]

ROWS = 200_000
"""Jets that are read at a time."""

EVENTS = 20_000
"""Events of a block of a sample, counted from its first event: sums over blocks are then the same
for any number of files."""


class SampleFiles:
    """A sample of any size: to go through it is to read it, whole events, in blocks.

    All blocks but the last have the same number of events, whatever the files; a sample without
    events has one block without. What is not known of all files is left out, as in
    :func:`~truthtag.data.jets.read_jets`.

    Args:
        paths: One Parquet file, a folder of them, or a list of either.
        further: Names of further columns to read; by default those that truthtag wrote.
        events: Events of a block.

    Attributes:
        files: The files.
        labels: What flavours and tags mean.
        columns: Names of the columns that its jets have.
        n_jets: Number of jets.

    Raises:
        DataError: A file is missing, damaged or foreign, lacks a column that others have, or has
            other labels. While it is read: a value is not allowed, or, after the last block, an
            event stands in two places.
    """

    def __init__(
        self,
        paths: str | Path | Sequence[str | Path],
        further: Sequence[str] | None = None,
        events: int = EVENTS,
    ) -> None:
        listed = [paths] if isinstance(paths, str | Path) else list(paths)
        self.files = [file for path in listed for file in shards_of(path)]
        if not self.files:
            msg = "a sample of no files cannot be read; name at least one"
            raise DataError(msg)
        self.events = events
        self._further = further
        described = [labels_and_further(file, further) for file in self.files]
        refuse_other_labels([labels for labels, _ in described], list(map(str, self.files)))
        self.labels = described[0][0]
        self.n_jets = 0
        names = []
        for file, (_, others) in zip(self.files, described, strict=True):
            with open_parquet(file) as table:
                check_columns(file, table.schema_arrow.names, (*REQUIRED, *others))
                names.append(_with_truth(table.schema_arrow.names, self.labels))
                self.n_jets += table.metadata.num_rows
        refuse_columns_of_some(names, self.files)
        self._others = [
            name for name in described[0][1] if all(name in others for _, others in described)
        ]
        stored = stored_columns(self.labels, self._others)
        self._columns = [name for name in stored if all(name in one for one in names)]
        self.columns = _with_joined_truth(self._columns, self.labels)

    def __iter__(self) -> Iterator[Jets]:
        numbers = EventNumbers()
        yield from cut_anew(self._parts(numbers), self.events)
        if numbers.may_repeat():
            self._refuse_repeated()

    def _parts(self, numbers: EventNumbers) -> Iterator[Jets]:
        for file in self.files:
            for part in _whole_events(file, self.labels, self._others, self._columns, ROWS):
                numbers.add(part.event)
                yield part

    def _refuse_repeated(self) -> None:
        """Refuse an event that stands in two places."""
        events = []
        for file in self.files:
            rows = read_table(file, only=["event"])["event"].to_numpy()
            events.append(rows[np.r_[True, rows[1:] != rows[:-1]][: len(rows)]])
            if len(np.unique(events[-1])) < len(events[-1]):
                # Whoever reads the whole file sees where, and refuses it.
                read_file(file, self._further)
        sizes = [len(one) for one in events]
        refuse_shared_events(np.concatenate(events), sizes, list(map(str, self.files)))


def _with_joined_truth(names: Sequence[str], labels: Labels) -> list[str]:
    """Return the names that jets have for stored columns."""
    named = _with_truth(names, labels)
    of_points = [f"efficiency_true_{point}" for point in labels.points]
    return [name for name in dict.fromkeys(named) if name not in of_points]


def _with_truth(names: Sequence[str], labels: Labels) -> list[str]:
    """Add the name of the true efficiency where it is there at each of several working points."""
    of_points = [f"efficiency_true_{point}" for point in labels.points]
    known = labels.n_points > 1 and all(name in names for name in of_points)
    return [*names, "efficiency_true"] if known else list(names)


def cut_anew(parts: Iterable[Jets], events: int) -> Iterator[Jets]:
    """Cut parts of a sample anew, into blocks of equally many events; the last one is smaller.

    Args:
        parts: The sample, in any parts.
        events: Events of a block.

    Yields:
        The blocks; one without events where the sample has none.
    """
    held: list[Jets] = []
    n_held = 0
    is_first = True
    for part in parts:
        held.append(part)
        n_held += part.n_events
        if n_held < events:
            continue
        whole = append(held)
        start = 0
        while n_held - start >= events:
            yield whole.take(slice(start, start + events))
            is_first = False
            start += events
        held = [whole.take(slice(start, n_held))]
        n_held -= start
    if n_held or is_first:
        yield append(held)


class EventNumbers:
    """Tells whether a number of an event may stand twice, from stretches in which numbers rise."""

    def __init__(self) -> None:
        self._first: list[IntArray] = []
        self._last: list[IntArray] = []
        self._highest: int | None = None
        self._rise = True

    def add(self, event: IntArray) -> None:
        """Add the numbers of the events that follow."""
        if not len(event):
            return
        falls = np.flatnonzero(event[1:] <= event[:-1])
        self._first.append(event[np.r_[0, falls + 1]])
        self._last.append(event[np.r_[falls, len(event) - 1]])
        joins = self._highest is None or event[0] > self._highest
        self._rise = self._rise and joins and not len(falls)
        self._highest = int(event[-1])

    def may_repeat(self) -> bool:
        """Return whether two stretches overlap."""
        if self._rise:
            return False
        first = np.concatenate(self._first)
        last = np.concatenate(self._last)
        order = np.argsort(first, kind="stable")
        return bool((first[order][1:] <= last[order][:-1]).any())


def read_blocks(
    path: str | Path, further: Sequence[str] | None = None, rows: int = ROWS
) -> Iterator[Jets]:
    """Read one file of a sample, whole events, some at a time.

    Args:
        path: The file, with a row per jet.
        further: Names of further columns to read; by default those that truthtag wrote.
        rows: About how many jets are read at a time.

    Yields:
        The events in the order of the file; one block without events where the file has none.

    Raises:
        DataError: The file is missing, damaged or foreign, lacks a column, or holds a value that is
            not allowed. That an event stands in two blocks is not noticed.
    """
    labels, others = labels_and_further(path, further)
    yield from _whole_events(path, labels, others, stored_columns(labels, others), rows)


def _whole_events(
    path: str | Path, labels: Labels, others: Sequence[str], columns: Sequence[str], rows: int
) -> Iterator[Jets]:
    """Read some columns of a file; see :func:`read_blocks`."""
    with open_parquet(path, in_steps=True) as file:
        names = file.schema_arrow.names
        check_columns(path, names, (*REQUIRED, *others))
        wanted = [name for name in columns if name in names]
        rows_there = file.schema_arrow.empty_table().select(wanted)
        done = 0
        for batch in file.iter_batches(batch_size=rows, columns=wanted):
            # The last event of what is there can go on in the new rows.
            cut = _last_event(rows_there["event"].to_numpy())
            if cut:
                yield jets_of_table(rows_there.slice(0, cut), _place(path, done), labels, others)
            new = pa.Table.from_batches([batch])
            rows_there = pa.concat_tables([rows_there.slice(cut), new])
            done += cut
        yield jets_of_table(rows_there, _place(path, done), labels, others)


def _place(path: str | Path, done: int) -> str:
    """Return what errors call the rows of a file after so many: they count from there."""
    return f"{path}, after its first {done} rows" if done else str(path)


def _last_event(event: np.ndarray) -> int:
    """Return the row in which the last event begins; 0 where there is no other."""
    changed = np.flatnonzero(event[1:] != event[:-1])
    return int(changed[-1]) + 1 if len(changed) else 0


class RowSteps:
    """Rows of a Parquet table, as many at a time as are asked for.

    Args:
        path: What the error messages call the table.
        file: The table, opened by pyarrow.
        columns: The columns to read.
    """

    def __init__(self, path: str | Path, file: Any, columns: Sequence[str]) -> None:
        self.path = path
        self.n_rows = int(file.metadata.num_rows)
        self.n_given = 0
        self._columns = list(columns)
        self._batches = file.iter_batches(ROWS, columns=self._columns)
        self._held = file.schema_arrow.empty_table().select(self._columns)

    def take(self, count: int) -> pa.Table:
        """Return the next rows; fewer where the table ends.

        Args:
            count: How many.
        """
        parts = [self._held]
        n_held = len(self._held)
        while n_held < count and (batch := next(self._batches, None)) is not None:
            parts.append(pa.Table.from_batches([batch]).select(self._columns))
            n_held += len(batch)
        held = pa.concat_tables(parts)
        self._held = held.slice(count)
        given = held.slice(0, count)
        self.n_given += len(given)
        return given


@contextmanager
def open_steps(path: str | Path, columns: Sequence[str]) -> Iterator[RowSteps]:
    """Open a table for reading its rows in steps; arguments are those of :class:`RowSteps`.

    Raises:
        DataError: The file is missing, damaged or no Parquet, or lacks a column.
    """
    with open_parquet(path, in_steps=True) as file:
        check_columns(path, file.schema_arrow.names, columns)
        yield RowSteps(path, file, columns)
