"""All events of a file, those of a sample and others: which they are, and how many jets each has.

What is written beside a file, one entry for each of its own, needs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from truthtag.arrays import AnyArray, IntArray
from truthtag.data.folds import file_number
from truthtag.data.labels import Labels
from truthtag.data.readers.names import Names
from truthtag.data.readers.opening import open_source
from truthtag.data.readers.options import ReaderOptions
from truthtag.data.readers.plan import plan_of_entries
from truthtag.data.readers.raw_events import ENTRY_BITS, Context, RawEvents

__all__ = ["Entries", "entries_of", "entry_of", "read_entries"]


@dataclass(frozen=True, eq=False)
class Entries:
    """Consecutive events of a file, none left out.

    Args:
        first: Number of the first of them in the file, counted from 0.
        n_jets: Number of jets that each has in the file, shape (n,).
        run: The experiment's number of the run, 0 where the file has none, shape (n,).
        luminosity_block: The same of the luminosity block.
        event_number: The experiment's number of the event, or else its place in the file.
    """

    first: int
    n_jets: IntArray
    run: IntArray
    luminosity_block: IntArray
    event_number: IntArray

    def __len__(self) -> int:
        return len(self.n_jets)

    @property
    def last(self) -> int:
        """Number in the file of the event that comes after them."""
        return self.first + len(self)


def entries_of(raw: RawEvents) -> Entries:
    """Return which events a file holds in a part of it."""
    return Entries(
        raw.first_entry,
        raw.counts,
        raw.numbers("run"),
        raw.numbers("luminosity_block"),
        raw.event_numbers,
    )


def entry_of(event: AnyArray) -> IntArray:
    """Return the places in their file of events that are known by our own numbers.

    Example:
        >>> entry_of(np.array([(7 << 32) | 0, (7 << 32) | 41])).tolist()
        [0, 41]
    """
    return np.asarray(event) & ((1 << ENTRY_BITS) - 1)


def read_entries(path: str | Path, options: ReaderOptions) -> Iterator[Entries]:
    """Read which events a file holds, all of them, some at a time.

    Only the branches that say so are read: numbers of events, and the transverse momentum.

    Args:
        path: A local file, or an address that uproot can read.
        options: Where things are in the file; what they select does not count.

    Yields:
        The events in the order of the file; one part without events where the file has none.

    Raises:
        DataError: The file is missing, damaged or of another format, or lacks a branch.
        ConfigError: A package is missing.
    """
    with open_source(path, options) as source:
        names = Names(source.keys, options.layout, source.shown)
        plan = plan_of_entries(names, options)
        context = Context(source, options, Labels(), plan, 1.0, None, file_number(str(path)))
        for block in source.blocks(plan.keys, options.step_events):
            yield entries_of(RawEvents(context, block))
