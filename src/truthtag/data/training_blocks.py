"""Samples that are learned from, of any size, as blocks that are gone through again and again.

Whatever sums over events takes blocks in place of jets in memory, and so needs the memory of one
block. A block holds whole events; where blocks are cut must change no result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from truthtag.arrays import BoolArray
from truthtag.data.blocks import SampleFiles, cut_anew
from truthtag.data.jets import Jets, read_samples, refuse_other_labels
from truthtag.data.labels import Labels
from truthtag.errors import DataError

__all__ = [
    "Blocks",
    "EqualBlocks",
    "EventChoice",
    "TrainingBlocks",
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


def as_blocks(sample: Jets | Blocks) -> Blocks:
    """Return a sample as blocks; jets in memory are one."""
    return [sample] if isinstance(sample, Jets) else sample


def open_samples(files: Sequence[str | Path], *, in_blocks: bool) -> Any:
    """Return samples as one: blocks that are read as they are gone through, or jets in memory.

    Args:
        files: The files, as :class:`TrainingBlocks` takes them.
        in_blocks: Whether blocks are wanted.

    Raises:
        DataError: As :class:`TrainingBlocks`.
    """
    return TrainingBlocks(files) if in_blocks else read_samples(files)


def labels_of(blocks: Blocks) -> Labels:
    """Return what the labels of a sample say, those of its first block.

    Raises:
        DataError: There is no block.
    """
    if isinstance(blocks, TrainingBlocks):
        return blocks.labels
    for block in blocks:
        return block.labels
    msg = "the sample has no events. Give it a sample that has some."
    raise DataError(msg)


def number_of_jets(sample: Jets | Blocks) -> int:
    """Return the number of jets of a sample."""
    if isinstance(sample, Jets | TrainingBlocks):
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
        return cut_anew(self.blocks, self.events)


class TrainingBlocks:
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
        DataError: A file is missing, damaged or foreign, lacks a column that others have, or has
            other labels. While it is read: a value is not allowed, or, after the last block of a
            sample, an event number stands in two places.
    """

    def __init__(self, files: Sequence[str | Path]) -> None:
        if not files:
            msg = "no jets to read: the list of files is empty"
            raise DataError(msg)
        groups = groupby(map(Path, files), key=lambda path: path.parent)
        self._samples = [SampleFiles(list(some)) for _, some in groups]
        folders = [one.files[0].parent for one in self._samples]
        refuse_other_labels([one.labels for one in self._samples], folders)
        self.labels = self._samples[0].labels
        self.n_jets = sum(one.n_jets for one in self._samples)
        columns = [set(one.columns) for one in self._samples]
        # Columns that only some of the samples have; all have the numbers of the experiment, if
        # events are counted anew.
        everywhere = columns[0].intersection(*columns)
        self._dropped = columns[0].union(*columns) - everywhere - {"event_number"}

    def __iter__(self) -> Iterator[Jets]:
        if len(self._samples) == 1:
            yield from self._samples[0]
            return
        first = 0
        for sample in self._samples:
            for block in sample:
                yield self._shared(_counted_anew(block, first))
                first += block.n_events

    def _shared(self, block: Jets) -> Jets:
        """Drop columns that not all samples have."""
        present = {*block.jet_columns, *block.event_columns, *block.further}
        without: dict[str, Any] = dict.fromkeys(self._dropped & present)
        return block.with_columns(**without) if without else block


def _counted_anew(block: Jets, first: int) -> Jets:
    numbers = block.event if block.event_number is None else block.event_number
    event = np.arange(first, first + block.n_events)
    return block.with_columns(event=event, event_number=numbers)
