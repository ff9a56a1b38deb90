"""A file of a sample of any size, read some events at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from truthtag.data.columns import REQUIRED
from truthtag.data.files import check_columns, open_parquet
from truthtag.data.jets import Jets, jets_of_table, labels_and_further, stored_columns

__all__ = ["read_blocks"]

ROWS = 200_000
"""Jets that are read at a time."""


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
            not allowed. That an event stands in two blocks is not noticed, nor are rows counted
            from the start of the file.
    """
    labels, others = labels_and_further(path, further)
    with open_parquet(path, in_steps=True) as file:
        names = file.schema_arrow.names
        check_columns(path, names, (*REQUIRED, *others))
        wanted = [name for name in stored_columns(labels, others) if name in names]
        rows_there = file.schema_arrow.empty_table().select(wanted)
        for batch in file.iter_batches(batch_size=rows, columns=wanted):
            # The last event of what is there can go on in the new rows.
            cut = _last_event(rows_there["event"].to_numpy())
            if cut:
                yield jets_of_table(rows_there.slice(0, cut), path, labels, others)
            new = pa.Table.from_batches([batch])
            rows_there = pa.concat_tables([rows_there.slice(cut), new])
        yield jets_of_table(rows_there, path, labels, others)


def _last_event(event: np.ndarray) -> int:
    """Return the row in which the last event begins; 0 where there is no other."""
    changed = np.flatnonzero(event[1:] != event[:-1])
    return int(changed[-1]) + 1 if len(changed) else 0
