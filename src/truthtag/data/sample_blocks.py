"""Samples of any size as blocks of events, which can be gone through again and again.

Whatever sums over events takes blocks in place of jets in memory, and so needs the memory of one
block. A block holds whole events; where blocks are cut must change no result.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa

from truthtag.arrays import BoolArray, IntArray
from truthtag.data.blocks import read_blocks
from truthtag.data.files import check_columns, open_parquet
from truthtag.data.jets import (
    Jets,
    concatenate,
    labels_and_further,
    read_samples,
    refuse_columns_of_some,
    refuse_other_labels,
    refuse_shared_events,
    stored_columns,
)
from truthtag.data.labels import Labels
from truthtag.data.validation import check_unique_events
from truthtag.errors import DataError

__all__ = [
    "Blocks",
    "EqualBlocks",
    "EventChoice",
    "SampleBlocks",
    "as_blocks",
    "at_point",
    "first_events",
    "labels_of",
    "number_of_jets",
    "open_samples",
    "some_events",
]

Blocks = Iterable[Jets]
"""The events of a sample, some at a time: an iterable that begins anew each time."""

EVENTS_AT_ONCE = 1_000_000
"""Rows of the column of event numbers that are looked at together."""


def as_blocks(sample: Jets | Blocks) -> Blocks:
    """Return a sample as blocks; jets in memory are one."""
    return [sample] if isinstance(sample, Jets) else sample


def open_samples(files: Sequence[str | Path], *, in_blocks: bool) -> Any:
    """Return samples as one: blocks that are read as they are gone through, or jets in memory.

    Args:
        files: The files, as :class:`SampleBlocks` takes them.
        in_blocks: Whether blocks are wanted.

    Raises:
        DataError: As :class:`SampleBlocks`.
    """
    return SampleBlocks(files) if in_blocks else read_samples(files)


def labels_of(blocks: Blocks) -> Labels:
    """Return what the labels of a sample say, those of its first block.

    Raises:
        DataError: There is no block.
    """
    for block in blocks:
        return block.labels
    msg = "the sample has no events. Give it a sample that has some."
    raise DataError(msg)


def number_of_jets(sample: Jets | Blocks) -> int:
    """Return the number of jets of a sample."""
    if isinstance(sample, Jets | SampleBlocks):
        return sample.n_jets
    return sum(block.n_jets for block in sample)


def at_point(sample: Jets | Blocks, point: str) -> Any:
    """Return the same events, tagged where they pass one working point: jets of jets, or blocks."""
    if isinstance(sample, Jets):
        return sample.at_point(point)
    return _Changed(sample, lambda jets: jets.at_point(point))


def first_events(sample: Jets | Blocks, count: int) -> Any:
    """Return the first events, as a sample generated with so many has: jets of jets, or blocks.

    Raises:
        DataError: There are not so many events; of blocks, when they have been gone through.
    """
    return sample.first(count) if isinstance(sample, Jets) else _FirstEvents(sample, count)


def some_events(sample: Jets | Blocks, first: int, last: int) -> Any:
    """Return events by their positions, the last excluded: jets of jets, or blocks."""
    if isinstance(sample, Jets):
        return sample.take(slice(first, last))
    return _SomeEvents(sample, first, last)


@dataclass(frozen=True)
class _Changed:
    """Blocks, each as a function changes it."""

    blocks: Blocks
    change: Callable[[Jets], Jets]

    def __iter__(self) -> Iterator[Jets]:
        return map(self.change, self.blocks)


@dataclass(frozen=True)
class EventChoice:
    """Which events of a training sample are taken.

    Args:
        which: Tells which events of some jets are, shape (n_events,).
        otherwise: What is wrong where no event is, as an error ends.
    """

    which: Callable[[Jets], BoolArray]
    otherwise: str

    def of(self, sample: Jets | Blocks) -> Any:
        """Return the events that are taken: jets of jets, blocks of blocks.

        Raises:
            DataError: There is none; of blocks, when they have been gone through.
        """
        if not isinstance(sample, Jets):
            return _ChosenEvents(sample, self)
        taken = self.which(sample)
        self.require(bool(taken.any()), sample.n_events)
        return sample.take(taken)

    def require(self, any_taken: bool, n_events: int) -> None:
        """Refuse a sample of which nothing is taken.

        Raises:
            DataError: Nothing is.
        """
        if not any_taken:
            msg = f"of the {n_events} training events, {self.otherwise}"
            raise DataError(msg)


@dataclass(frozen=True)
class _ChosenEvents:
    """The events of a sample that a choice takes."""

    blocks: Blocks
    choice: EventChoice

    def __iter__(self) -> Iterator[Jets]:
        n_events = 0
        any_taken = False
        for block in self.blocks:
            taken = self.choice.which(block)
            n_events += block.n_events
            any_taken |= bool(taken.any())
            yield block.take(taken)
        self.choice.require(any_taken, n_events)


@dataclass(frozen=True)
class _FirstEvents:
    """The first events of a sample."""

    blocks: Blocks
    count: int

    def __iter__(self) -> Iterator[Jets]:
        left = self.count
        for block in self.blocks:
            if left <= block.n_events:
                yield block.first(left)
                return
            yield block
            left -= block.n_events
        msg = (
            f"the first {self.count} events were asked for, the sample has {self.count - left}. "
            f"Ask for 0 to {self.count - left}, or make the sample longer."
        )
        raise DataError(msg)


@dataclass(frozen=True)
class _SomeEvents:
    """Events of a sample by their positions."""

    blocks: Blocks
    first: int
    last: int

    def __iter__(self) -> Iterator[Jets]:
        begin = 0
        for block in self.blocks:
            end = begin + block.n_events
            if begin < self.last and self.first < end:
                yield block.take(slice(max(self.first - begin, 0), self.last - begin))
            begin = end


@dataclass(frozen=True)
class EqualBlocks:
    """The same events in blocks of equally many, the last one of fewer.

    Sums of each block, and then of these, so do not depend on how a sample is stored.

    Args:
        blocks: The sample.
        events: Events of a block.
    """

    blocks: Blocks
    events: int

    def __iter__(self) -> Iterator[Jets]:
        waiting: list[Jets] = []
        for block in self.blocks:
            first = 0
            missing = self.events - sum(one.n_events for one in waiting)
            while block.n_events - first >= missing:
                waiting.append(block.take(slice(first, first + missing)))
                yield concatenate(waiting)
                waiting = []
                first += missing
                missing = self.events
            if first < block.n_events:
                waiting.append(block.take(slice(first, None)))
        if waiting:
            yield concatenate(waiting)


class SampleBlocks:
    """The events of samples on disk, as :func:`~truthtag.data.jets.read_samples` reads them.

    Events of several samples are counted anew; the numbers that they had stay as ``event_number``,
    where there is none yet.

    Args:
        files: The files, those of a sample one after the other; the files of a folder are one
            sample.

    Attributes:
        labels: What flavours and tags mean.
        n_jets: Number of jets.

    Raises:
        DataError: A file is missing, damaged or foreign, lacks a column that others have, has other
            labels, or an event number stands in two places.
    """

    def __init__(self, files: Sequence[str | Path]) -> None:
        if not files:
            msg = "no jets to read: the list of files is empty"
            raise DataError(msg)
        paths = [Path(file) for file in files]
        of_folders = groupby(paths, key=lambda path: path.parent)
        self._samples = [_Sample.of(list(some)) for _, some in of_folders]
        folders = [one.files[0].parent for one in self._samples]
        refuse_other_labels([one.labels for one in self._samples], folders)
        self.labels = self._samples[0].labels
        self.n_jets = sum(one.n_jets for one in self._samples)
        self._columns = set.intersection(*(one.columns for one in self._samples))
        self._further = [name for name in self._samples[0].further if name in self._columns]

    def __iter__(self) -> Iterator[Jets]:
        are_several = len(self._samples) > 1
        first = 0
        for sample in self._samples:
            for path in sample.files:
                for block in read_blocks(path, self._further):
                    some = _with_only(block, sample.columns)
                    if are_several:
                        some = _with_only(_counted_anew(some, first), self._columns | NUMBERS)
                    first += some.n_events
                    yield some


NUMBERS = {"event_number"}
"""What all events have that are counted anew."""


def _with_only(block: Jets, columns: Collection[str]) -> Jets:
    """Drop columns of a block that not all blocks have."""
    present = {*block.jet_columns, *block.event_columns}
    without: dict[str, Any] = dict.fromkeys(present.difference(columns))
    return block.with_columns(**without) if without else block


def _counted_anew(block: Jets, first: int) -> Jets:
    numbers = block.event if block.event_number is None else block.event_number
    event = np.arange(first, first + block.n_events)
    return block.with_columns(event=event, event_number=numbers)


class _Sample(NamedTuple):
    """The files of one folder.

    Attributes:
        files: The files.
        labels: What their numbers mean.
        further: Names of the further columns that all of them have.
        columns: Names of all columns that all of them have.
        n_jets: Number of jets.
    """

    files: list[Path]
    labels: Labels
    further: list[str]
    columns: set[str]
    n_jets: int

    @classmethod
    def of(cls, files: list[Path]) -> Self:
        """Look into the files.

        Raises:
            DataError: They make no sample.
        """
        contents = [_content_of(file) for file in files]
        refuse_other_labels([one.labels for one in contents], files)
        refuse_columns_of_some([one.columns for one in contents], files)
        _check_events(files)
        columns = set.intersection(*(set(one.columns) for one in contents))
        further = [name for name in contents[0].further if name in columns]
        n_jets = sum(one.n_jets for one in contents)
        return cls(files, contents[0].labels, further, columns, n_jets)


class _Content(NamedTuple):
    """What a file holds.

    Attributes:
        labels: What its numbers mean.
        further: Names of its further columns.
        columns: Names of all columns that jets of it have.
        n_jets: Number of jets.
    """

    labels: Labels
    further: list[str]
    columns: list[str]
    n_jets: int


def _content_of(path: Path) -> _Content:
    labels, further = labels_and_further(path)
    with open_parquet(path) as file:
        names = file.schema_arrow.names
        columns = [name for name in stored_columns(labels, further) if name in names]
        # The true efficiencies at all working points are one column of jets.
        truth = [f"efficiency_true_{point}" for point in labels.points]
        if labels.n_points > 1 and all(name in columns for name in truth):
            columns.append("efficiency_true")
        return _Content(labels, further, columns, file.metadata.num_rows)


class _Numbers(NamedTuple):
    """The event numbers of a file.

    Attributes:
        low: The smallest.
        high: The largest.
        rise: Whether each is above the one before.
    """

    low: int
    high: int
    rise: bool


def _check_events(files: Sequence[Path]) -> None:
    """Refuse an event number that stands in two places of a sample.

    Where the numbers rise in each file, and files have ranges of their own, as almost all samples
    do, nothing is kept in memory; otherwise the numbers are.
    """
    of_files = [_numbers_of(path) for path in files]
    ordered = sorted(one for one in of_files if one is not None)
    apart = all(one.high < after.low for one, after in pairwise(ordered))
    if apart and all(one.rise for one in ordered):
        return
    numbers = [np.concatenate([*_events(path)]) for path in files]
    for path, of_file in zip(files, numbers, strict=True):
        check_unique_events(of_file, str(path))
    sizes = [len(of_file) for of_file in numbers]
    refuse_shared_events(np.concatenate(numbers), sizes, [str(path) for path in files])


def _numbers_of(path: Path) -> _Numbers | None:
    """Return what is to be known of the event numbers of a file, None where it has no events."""
    low: list[int] = []
    high: list[int] = []
    rise = True
    for event in _events(path):
        rise &= bool((event[1:] > event[:-1]).all()) and (not high or bool(event[0] > high[-1]))
        low.append(int(event.min()))
        high.append(int(event.max()))
    return _Numbers(min(low), max(high), rise) if low else None


def _events(path: Path) -> Iterator[IntArray]:
    """Go through the event numbers of a file, many at a time, each once."""
    last = None
    with open_parquet(path, in_steps=True) as file:
        check_columns(path, file.schema_arrow.names, ("event",))
        for batch in file.iter_batches(batch_size=EVENTS_AT_ONCE, columns=["event"]):
            if batch["event"].null_count or not pa.types.is_integer(batch["event"].type):
                # Whoever reads the file says what is wrong with it.
                return
            rows = batch["event"].to_numpy()
            begins = np.r_[rows[:1] != last, rows[1:] != rows[:-1]]
            if len(rows):
                last = rows[-1]
            if begins.any():
                yield rows[begins]
