"""Rows of a table that belong to one file of a sample, some events at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from truthtag.arrays import AnyArray
from truthtag.data.files import check_columns, open_parquet
from truthtag.errors import DataError

__all__ = ["EventRows", "open_rows"]

ROWS = 20_000
"""Rows that are read at a time."""


class EventRows:
    """Rows of a Parquet table whose events are within bounds, read in their order.

    Within the bounds the numbers of events must not fall from row to row, as those of one file do
    not.

    Args:
        path: What the error messages call the table.
        file: The table, opened by pyarrow.
        columns: The columns to read; the first is that of the number of the event.
        low: Lowest number of an event.
        high: The number that all must be below.
    """

    def __init__(
        self, path: str | Path, file: Any, columns: Sequence[str], low: int, high: int
    ) -> None:
        self.path = path
        self.file = file
        self.columns = list(columns)
        self.low = low
        self.high = high
        self.n_given = 0
        self._batches = self._inside()
        self._held = self._empty()

    def _empty(self) -> dict[str, AnyArray]:
        schema = self.file.schema_arrow
        table = schema.empty_table().select(self.columns)
        return {name: table[name].to_numpy() for name in self.columns}

    def below(self, event: int) -> dict[str, AnyArray]:
        """Return the rows of all events below a number that were not returned before.

        Args:
            event: The number.

        Returns:
            The columns by name, each of shape (n_rows,).

        Raises:
            DataError: The rows are in another order, or the table is damaged.
        """
        number = self.columns[0]
        while not len(self._held[number]) or self._held[number][-1] < event:
            batch = next(self._batches, None)
            if batch is None:
                break
            before = self._held
            self._held = {name: np.r_[before[name], batch[name]] for name in self.columns}
            self._require_order(self._held[number])
        cut = int(np.searchsorted(self._held[number], event))
        self.n_given += cut
        given = {name: values[:cut] for name, values in self._held.items()}
        self._held = {name: values[cut:] for name, values in self._held.items()}
        return given

    def _inside(self) -> Iterator[dict[str, AnyArray]]:
        """Read the rows within the bounds, without what statistics say is outside."""
        groups = [group for group in range(self.file.num_row_groups) if self._may_hold(group)]
        number = self.columns[0]
        for batch in self.file.iter_batches(ROWS, row_groups=groups, columns=self.columns):
            rows = {name: batch[name].to_numpy(zero_copy_only=False) for name in self.columns}
            inside = (rows[number] >= self.low) & (rows[number] < self.high)
            if inside.any():
                yield {name: values[inside] for name, values in rows.items()}

    def _may_hold(self, group: int) -> bool:
        """Tell whether a row group can have an event within the bounds."""
        described = self.file.metadata.row_group(group)
        names = [described.column(place).path_in_schema for place in range(described.num_columns)]
        found = described.column(names.index(self.columns[0])).statistics
        if found is None or not found.has_min_max:
            return True
        return bool(found.max >= self.low and found.min < self.high)

    def _require_order(self, event: AnyArray) -> None:
        falls = event[1:] < event[:-1]
        if falls.any():
            row = int(np.argmax(falls))
            msg = (
                f"{self.path}: event {event[row + 1]} comes after {event[row]}; the events of a "
                "file must be in the order of the file. Make the table again."
            )
            raise DataError(msg)

    def require_all_given(self) -> None:
        """Refuse a table of which rows are left, or outside the bounds.

        Raises:
            DataError: There are such rows.
        """
        count = self.file.metadata.num_rows
        if self.n_given != count:
            msg = (
                f"{self.path}: {count - self.n_given} of its {count} rows belong to no entry of "
                "the file. Read the file again."
            )
            raise DataError(msg)


@contextmanager
def open_rows(path: str | Path, columns: Sequence[str], low: int, high: int) -> Iterator[EventRows]:
    """Open a table for reading the rows of some events; arguments are those of :class:`EventRows`.

    Raises:
        DataError: The file is missing, damaged or no Parquet, or lacks a column.
    """
    with open_parquet(path, in_steps=True) as file:
        check_columns(path, file.schema_arrow.names, columns)
        yield EventRows(path, file, columns, low, high)
