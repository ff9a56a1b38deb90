"""Tables of all events of a sample, those without jets among them, in step with its blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa

from truthtag.data.blocks import EVENTS, EventNumbers, open_steps
from truthtag.data.files import check_columns, open_parquet, read_table
from truthtag.data.jets import Jets
from truthtag.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EventTables", "with_last"]

One = TypeVar("One")


class EventTables:
    """Tables that were written with the files of a sample, a row per event.

    Args:
        files: The tables, in the order of the files of the sample.

    Raises:
        DataError: A table is missing, damaged or no Parquet, or lacks a column.
    """

    def __init__(self, files: Sequence[str | Path]) -> None:
        self.files = [Path(file) for file in files]
        self._numbers = EventNumbers()
        self._parts = self._read()
        self._held = next(self._parts)

    def _read(self) -> Iterator[pa.Table]:
        """Read the rows, some at a time; at least one table, which may be empty."""
        with open_parquet(self.files[0]) as first:
            columns: list[str] = first.schema_arrow.names
        check_columns(self.files[0], columns, ("event", "n_jets"))
        for file in self.files:
            with open_steps(file, columns) as rows:
                yield rows.take(0)
                while rows.n_given < rows.n_rows:
                    table = rows.take(EVENTS)
                    self._numbers.add(table["event"].to_numpy())
                    yield table

    def __iter__(self) -> Iterator[pd.DataFrame]:
        """Go through the rows that were not taken, some at a time."""
        yield self._held.to_pandas()
        for part in self._parts:
            yield part.to_pandas()

    def take_for(self, jets: Jets, is_last: bool) -> pd.DataFrame:
        """Return the rows of the events that follow, those without jets before them included.

        Args:
            jets: The next events of the sample.
            is_last: Whether no others follow: then all rows that are left are theirs.

        Raises:
            DataError: A table is damaged, or an event stands in them twice.
        """
        parts = [self._held]
        n_with_jets = _with_jets(self._held)
        while is_last or n_with_jets < jets.n_events:
            part = next(self._parts, None)
            if part is None:
                break
            parts.append(part)
            n_with_jets += _with_jets(part)
        held = pa.concat_tables(parts)
        cut = len(held)
        if not is_last and n_with_jets >= jets.n_events:
            cut = int(np.flatnonzero(held["n_jets"].to_numpy() > 0)[jets.n_events - 1]) + 1
        self._held = held.slice(cut)
        if is_last and self._numbers.may_repeat():
            self._refuse_repeated()
        frame: pd.DataFrame = held.slice(0, cut).to_pandas()
        return frame

    def _refuse_repeated(self) -> None:
        numbers = [read_table(file, only=["event"])["event"].to_numpy() for file in self.files]
        event = np.concatenate(numbers)
        if len(np.unique(event)) < len(event):
            msg = (
                f"the table of events in {self.files[0].parent}: an event stands in it twice; each "
                "needs a row of its own"
            )
            raise DataError(msg)


def _with_jets(table: pa.Table) -> int:
    """Return how many events have jets."""
    return int((table["n_jets"].to_numpy() > 0).sum())


def with_last(items: Iterable[One]) -> Iterator[tuple[One, bool]]:
    """Go through items, and tell of each whether it is the last.

    Example:
        >>> list(with_last("ab"))
        [('a', False), ('b', True)]
    """
    iterator = iter(items)
    for before in iterator:
        held = before
        for item in iterator:
            yield held, False
            held = item
        yield held, True
