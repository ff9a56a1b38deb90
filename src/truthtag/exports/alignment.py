"""Events and jets of a sample, put where they are in the file that they were read from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from truthtag.arrays import AnyArray, BoolArray, FloatArray, IntArray
from truthtag.data.readers.entries import Entries, entry_of
from truthtag.data.readers.options import ReaderOptions
from truthtag.errors import ConfigError, DataError
from truthtag.exports.friends import NO_EFFICIENCY

__all__ = ["SELECTED", "Places", "number_columns", "require_format"]

SELECTED = "is_selected"
"""Column that says which entries are in the sample."""

NUMBERS: dict[str, Any] = {
    "run": np.uint32,
    "luminosity_block": np.uint32,
    "event_number": np.uint64,
}
"""The experiment's numbers of an event, and their types in the experiments' formats."""


class Places:
    """Where events and jets of a sample are among consecutive entries of a file.

    Args:
        entries: The entries, those of the sample and others.
        event: Our own numbers of the events of the sample among them, shape (n_events,).
        event_of_jet: The same for each of their jets in the sample, shape (n_jets,).
        position: Place of each jet among those of its entry, shape (n_jets,).
        shown: What the error messages call the file.

    Raises:
        DataError: An event or a jet is not in the file, or stands in the sample twice.
    """

    def __init__(
        self,
        entries: Entries,
        event: IntArray,
        event_of_jet: IntArray,
        position: IntArray,
        shown: str,
    ) -> None:
        self.entries = entries
        self.shown = shown
        self.rows = self._rows(event)
        rows_of_jets = self._rows(event_of_jet)
        if ((position < 0) | (position >= entries.n_jets[rows_of_jets])).any():
            self._refuse("an event of the sample has more jets than its entry there")
        first_jets = np.cumsum(entries.n_jets) - entries.n_jets
        self.jets = first_jets[rows_of_jets] + position
        for places in (self.rows, self.jets):
            if np.bincount(places, minlength=1).max() > 1:
                self._refuse("an event or a jet stands in the sample twice")

    def _rows(self, event: IntArray) -> IntArray:
        rows = entry_of(event) - self.entries.first
        if ((rows < 0) | (rows >= len(self.entries))).any():
            self._refuse(f"an event of the sample is not among its {self.entries.last} entries")
        return rows

    def _refuse(self, what: str) -> NoReturn:
        msg = (
            f"{self.shown}: is not the file that the sample was read from, or has changed since: "
            f"{what}. Read it again."
        )
        raise DataError(msg)

    def require_same(self, name: str, of_sample: AnyArray, of_file: AnyArray) -> None:
        """Refuse events of the sample that were others when they were read.

        Args:
            name: What is compared.
            of_sample: Its values in the sample, shape (n_events,).
            of_file: Its values in the file, shape (n_entries,).

        Raises:
            DataError: Two differ.
        """
        differs = of_sample != of_file[self.rows]
        if differs.any():
            event = int(np.argmax(differs))
            row = self.rows[event]
            self._refuse(
                f"{name} of entry {self.entries.first + row} is {of_file[row]} now, and was "
                f"{of_sample[event]}"
            )

    @property
    def is_selected(self) -> BoolArray:
        """Which entries are in the sample, shape (n_entries,)."""
        selected = np.zeros(len(self.entries), dtype=bool)
        selected[self.rows] = True
        return selected

    def of_events(self, values: AnyArray) -> FloatArray:
        """Bring numbers of the events to all entries; those that are not in the sample have NaN.

        Args:
            values: Shape (n_events,).

        Returns:
            Shape (n_entries,), in double precision.
        """
        brought = np.full(len(self.entries), np.nan)
        brought[self.rows] = values
        return brought

    def of_jets(self, values: AnyArray) -> FloatArray:
        """Bring numbers of the jets to all jets of the file, -1 where one is not in the sample.

        Args:
            values: Shape (n_jets,).

        Returns:
            Entry by entry in the order of the file, in single precision.
        """
        brought = np.full(int(self.entries.n_jets.sum()), NO_EFFICIENCY, dtype=np.float32)
        brought[self.jets] = values
        return brought


def number_columns(entries: Entries, options: ReaderOptions, shown: str) -> dict[str, AnyArray]:
    """Return run, luminosity block and number of each entry, by the names that the format has.

    Args:
        entries: The entries.
        options: How the file is read.
        shown: What the error messages call it.

    Returns:
        Columns of shape (n_entries,): ``run``, ``luminosityBlock`` and ``event`` for NanoAOD.

    Raises:
        DataError: A number does not fit the type that the format has for it.
    """
    columns: dict[str, AnyArray] = {}
    for role, kind in NUMBERS.items():
        values: IntArray = getattr(entries, role)
        name = options.layout.columns[role][0].rpartition(".")[2]
        if not options.layout.trees:
            columns[name] = values
            continue
        # Numbers of events beyond int64 have kept their bits.
        stored = values.astype(kind)
        if role != "event_number" and (stored != values).any():
            wrong = values[stored != values][0]
            msg = f"{shown}: {role} is {wrong}; {np.dtype(kind)} is wanted. State another column."
            raise DataError(msg)
        columns[name] = stored
    return columns


def require_format(options: ReaderOptions, root_path: str | Path | None) -> None:
    """Refuse a tree as a friend of what is no tree.

    Args:
        options: How the file is read.
        root_path: The ROOT file that is asked for, or None.

    Raises:
        ConfigError: One is asked for beside a Parquet file.
    """
    if options.format == "parquet" and root_path is not None:
        msg = (
            f"{root_path}: a ROOT file can be no friend of a Parquet file; name a .parquet file "
            "for the output"
        )
        raise ConfigError(msg)
