"""What a file of any format gives: its branches, block by block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from truthtag.arrays import AnyArray
from truthtag.data.readers.column import Column
from truthtag.errors import DataError

__all__ = ["Block", "Source", "is_remote", "require_file"]


@dataclass(frozen=True)
class Block:
    """Consecutive events of a file.

    Args:
        first_entry: Number of the first of them in the file, counted from 0.
        columns: Their branches, by key.
    """

    first_entry: int
    columns: Mapping[str, Column]


class Source(ABC):
    """A file with events, open for reading.

    Args:
        shown: What the error messages call it.
        keys: What it calls its branches.
    """

    def __init__(self, shown: str, keys: Sequence[str]) -> None:
        self.shown = shown
        self.keys = keys

    @abstractmethod
    def blocks(self, keys: Sequence[str], step: int) -> Iterator[Block]:
        """Go through the events in the order of the file.

        Args:
            keys: Which branches to read.
            step: Most events of a block.

        Yields:
            The events; one block without events where the file has none.

        Raises:
            DataError: The file is damaged, or a branch holds no numbers.
        """

    def event_values(self, column: Column, name: str, first_entry: int) -> AnyArray:
        """Return a branch that must have one value per event, shape (n_events,).

        Args:
            column: The branch.
            name: What the error message calls it.
            first_entry: Number of the first event in the file.

        Raises:
            DataError: It has a list per event.
        """
        if column.offsets is None:
            return column.values
        counts = column.counts()
        event = int(np.argmax(counts != 1)) if len(counts) else 0
        some = f" ({counts[event]} in entry {first_entry + event})" if len(counts) else ""
        msg = (
            f"{self.shown}: {name} is a list in each event{some}; one value per event is wanted. "
            "State the branch of the events, or an element of the list: name[0]."
        )
        raise DataError(msg)


def is_remote(path: str | Path) -> bool:
    """Return whether a path is no local one: ``root://`` or ``https://``, say."""
    return isinstance(path, str) and "://" in path


def require_file(path: str | Path) -> Path:
    """Return a local path that must be that of a file.

    Raises:
        DataError: There is nothing, or a folder.
    """
    local = Path(path)
    if local.is_dir():
        msg = f"{path}: is a folder, a file is wanted. Name the files in it: {path}/*.root, say."
        raise DataError(msg)
    if not local.is_file():
        msg = f"{path}: no such file. Check the path."
        raise DataError(msg)
    return local
