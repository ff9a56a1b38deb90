"""A friend of a file that a sample was read from: efficiencies and weights of several estimators.

What is predicted of a sample is in tables of the whole sample; a friend belongs to one file of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from truthtag.arrays import AnyArray
from truthtag.data.event_rows import EventRows, open_rows
from truthtag.data.files import check_columns, open_parquet, read_metadata
from truthtag.data.folds import file_number
from truthtag.data.readers.entries import Entries, read_entries
from truthtag.data.readers.options import ReaderOptions
from truthtag.data.readers.raw_events import ENTRY_BITS
from truthtag.errors import DataError
from truthtag.estimators.prediction_files import POINTS
from truthtag.estimators.predictions import Prediction
from truthtag.exports.alignment import SELECTED, Places, number_columns, require_format
from truthtag.exports.friends import FriendFile
from truthtag.exports.weighing import ORIGIN_COLUMNS, efficiency_columns

__all__ = ["write_friend"]

OF_EVENTS = ("event", "event_number", "n_jets_in_file", "weight")
OF_JETS = ("event", "position")


def write_friend(
    path: str | Path,
    options: ReaderOptions,
    shard_path: str | Path,
    events_path: str | Path,
    predictions: Mapping[str, str | Path],
    weights: Mapping[str, str | Path],
    *,
    root_path: str | Path | None = None,
    parquet_path: str | Path | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> int:
    """Write a friend of a file with what was predicted of the sample that was read from it.

    The file is read again, for the numbers of its events and jets only. All is read and written
    some events at a time. Columns are ``Jet_eff_<estimator>``, and those of the weights with the
    name of the estimator behind; entries and jets that are not in the sample have what
    :func:`~truthtag.exports.weighing.weigh_file` gives them.

    Args:
        path: The file.
        options: Where things are in it.
        shard_path: The part of the sample that was read from it, with a row per jet.
        events_path: The table of its events.
        predictions: Files of what is predicted of the jets of the whole sample, by estimator.
        weights: Files of the weights of the events of the whole sample, by estimator.
        root_path: The ROOT file to write; None for none.
        parquet_path: The Parquet file to write; None for none.
        provenance: What to record about the origin; anything that JSON holds.

    Returns:
        The number of entries.

    Raises:
        DataError: A file is missing or damaged, the tables are not those of one sample, or the file
            has changed since it was read.
        ConfigError: An output is an input, or is no friend of ours; or a ROOT file is asked for
            beside one that is none.
    """
    require_format(options, root_path)
    inputs = [path, shard_path, events_path, *predictions.values(), *weights.values()]
    with (
        _open_tables(path, shard_path, events_path, predictions, weights) as tables,
        FriendFile(root_path, parquet_path, inputs, provenance) as friend,
    ):
        for entries in read_entries(path, options):
            rows = tables.rows_of(entries)
            columns = number_columns(entries, options, str(path))
            columns[SELECTED] = rows.places.is_selected
            for name, values in rows.of_events.items():
                columns[name] = rows.places.of_events(values)
            eff = {name: rows.places.of_jets(values) for name, values in rows.of_jets.items()}
            friend.write(entries.n_jets, columns, eff)
        tables.events.require_all_given()
        tables.jets.require_all_given()
        return friend.n_entries


@dataclass(frozen=True, eq=False)
class _Rows:
    """What is known of some entries of a file.

    Args:
        places: Where the events and jets of the sample are among them.
        of_events: Weights by the names of their columns, each of shape (n_events,).
        of_jets: Efficiencies likewise, each of shape (n_jets,).
    """

    places: Places
    of_events: Mapping[str, AnyArray]
    of_jets: Mapping[str, AnyArray]


@dataclass(frozen=True, eq=False)
class _Tables:
    """The tables of a sample, those of their rows that belong to one file.

    Args:
        shown: What the error messages call the file.
        file: Number of the file.
        events: Its events.
        jets: Their jets.
        predictions: What is predicted of them, by estimator.
        points: Names of the working points of that, by estimator.
        weights: Weights of the events, by estimator.
    """

    shown: str
    file: int
    events: EventRows
    jets: EventRows
    predictions: Mapping[str, EventRows]
    points: Mapping[str, tuple[str, ...]]
    weights: Mapping[str, EventRows]

    def rows_of(self, entries: Entries) -> _Rows:
        """Return the rows of some entries, which come after those of the last call."""
        end = (self.file << ENTRY_BITS) | entries.last
        events = self.events.below(end)
        jets = self.jets.below(end)
        places = Places(entries, events["event"], jets["event"], jets["position"], self.shown)
        places.require_same("the number of jets", events["n_jets_in_file"], entries.n_jets)
        places.require_same("event_number", events["event_number"], entries.event_number)
        of_events: dict[str, AnyArray] = {"weight": events["weight"]}
        for name, rows in self.weights.items():
            found = rows.below(end)
            _require_same_events(rows, found, events["event"])
            own = [column for column in found if column not in (*ORIGIN_COLUMNS, "weight")]
            of_events |= {f"{column}_{name}": found[column] for column in own}
        of_jets: dict[str, AnyArray] = {}
        for name, rows in self.predictions.items():
            found = rows.below(end)
            _require_same_events(rows, found, jets["event"])
            of_jets |= efficiency_columns(self._prediction(name, found), name)
        return _Rows(places, of_events, of_jets)

    def _prediction(self, name: str, rows: Mapping[str, AnyArray]) -> Prediction:
        event, *values = rows.values()
        stacked = np.column_stack(values) if len(values) > 1 else values[0]
        return Prediction(event, stacked, points=self.points[name])


@contextmanager
def _open_tables(
    path: str | Path,
    shard_path: str | Path,
    events_path: str | Path,
    predictions: Mapping[str, str | Path],
    weights: Mapping[str, str | Path],
) -> Iterator[_Tables]:
    """Open the tables of a sample; arguments are those of :func:`write_friend`."""
    file = _number_of_file(events_path, path)
    bounds = (file << ENTRY_BITS, (file + 1) << ENTRY_BITS)
    with ExitStack() as stack:

        def opened(table: str | Path, columns: Sequence[str]) -> EventRows:
            return stack.enter_context(open_rows(table, columns, *bounds))

        points = {name: _points_of(table) for name, table in predictions.items()}
        yield _Tables(
            str(path),
            file,
            opened(events_path, OF_EVENTS),
            opened(shard_path, OF_JETS),
            {
                name: opened(table, ["event", *_efficiencies(points[name])])
                for name, table in predictions.items()
            },
            points,
            {name: opened(table, _weights_in(table)) for name, table in weights.items()},
        )


def _number_of_file(events_path: str | Path, path: str | Path) -> int:
    """Return the number of a file that its events have in the sample."""
    with open_parquet(events_path) as table:
        check_columns(events_path, table.schema_arrow.names, OF_EVENTS)
        for batch in table.iter_batches(1, columns=["event"]):
            return int(batch["event"][0].as_py()) >> ENTRY_BITS
    return file_number(str(path))


def _points_of(path: str | Path) -> tuple[str, ...]:
    """Return the names of the working points of a stored prediction."""
    return tuple(map(str, read_metadata(path).get(POINTS, ())))


def _efficiencies(points: tuple[str, ...]) -> list[str]:
    """Return the names of the columns of efficiencies of a stored prediction."""
    return [f"efficiency_{point}" for point in points] if len(points) > 1 else ["efficiency"]


def _weights_in(path: str | Path) -> list[str]:
    """Return the names of the columns of a table of weights, that of the event first."""
    with open_parquet(path) as table:
        names: list[str] = table.schema_arrow.names
    return ["event", *(name for name in names if name != "event")]


def _require_same_events(
    rows: EventRows, found: Mapping[str, AnyArray], expected: AnyArray
) -> None:
    """Refuse a table of other events or jets than those of the sample."""
    if not np.array_equal(found["event"], expected):
        msg = (
            f"{rows.path}: does not belong to the sample: it has {len(found['event'])} rows where "
            f"the sample has {len(expected)}, or they are of other events. Make it again."
        )
        raise DataError(msg)
