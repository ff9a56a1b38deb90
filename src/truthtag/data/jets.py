"""The jets of many events: flat columns and event offsets, in memory and on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from truthtag.arrays import AnyArray, BoolArray, FloatArray, IntArray
from truthtag.data.files import read_table, whole_file, with_metadata
from truthtag.errors import DataError

__all__ = [
    "SCHEMA",
    "UNITS",
    "Bucket",
    "Jets",
    "concatenate",
    "read_jets",
    "shards_of",
    "write_jets",
]

SCHEMA: dict[str, Any] = {
    "event": np.int64,
    "pt": np.float32,
    "eta": np.float32,
    "phi": np.float32,
    "mass": np.float32,
    "flavour": np.int8,
    "weight": np.float64,
    "score": np.float64,
    "is_tagged": np.bool_,
    "efficiency_true": np.float64,
}
"""Columns of a sample on disk and their types, in order."""

UNITS = {
    "pt": "GeV",
    "eta": "1",
    "phi": "rad",
    "mass": "GeV",
    "weight": "1",
    "score": "1",
    "efficiency_true": "1",
}
"""Units of the columns that have one."""

OPTIONAL = ("score", "is_tagged", "efficiency_true")
REQUIRED = tuple(name for name in SCHEMA if name not in OPTIONAL)
PER_EVENT = ("event", "weight")


class Bucket(NamedTuple):
    """All events of one jet multiplicity.

    Attributes:
        events: Positions of the events, shape (m,).
        jets: Positions of their jets, shape (m, n).
    """

    events: IntArray
    jets: IntArray


@dataclass(frozen=True, eq=False)
class Jets:
    r"""Jets of many events, ragged: flat columns, and offsets that say where each event begins.

    Event :math:`e` owns the jets ``offsets[e]`` to ``offsets[e + 1] - 1``, ordered by falling transverse momentum.
    An event may have no jets in memory (the two offsets are equal); on disk, a row per jet, it cannot.

    Args:
        event: Identifiers of the events, unique, shape (n_events,).
        offsets: Where each event begins, and the number of jets at the end, shape (n_events + 1,).
        pt: Transverse momenta, shape (n_jets,) [GeV].
        eta: Pseudorapidities, shape (n_jets,).
        phi: Azimuthal angles in :math:`[-\pi, \pi)`, shape (n_jets,) [rad].
        mass: Masses, shape (n_jets,) [GeV].
        flavour: Hadron flavour labels (5 b, 4 c, 0 light), shape (n_jets,).
        weight: Generator weights of the events, shape (n_events,).
        score: Scores of the tagger, shape (n_jets,), or None.
        is_tagged: Whether the tagger accepted each jet, shape (n_jets,), or None.
        efficiency_true: True efficiencies where known, shape (n_jets,), or None.

    Raises:
        DataError: The shapes do not fit together.
    """

    event: IntArray
    offsets: IntArray
    pt: FloatArray
    eta: FloatArray
    phi: FloatArray
    mass: FloatArray
    flavour: IntArray
    weight: FloatArray
    score: FloatArray | None = None
    is_tagged: BoolArray | None = None
    efficiency_true: FloatArray | None = None

    def __post_init__(self) -> None:
        if (
            len(self.offsets) != len(self.event) + 1
            or self.offsets[0] != 0
            or np.any(np.diff(self.offsets) < 0)
        ):
            msg = f"offsets of {len(self.event)} events must rise from 0 and be one more than the events"
            raise DataError(msg)
        for name, size in (
            ("weight", self.n_events),
            *((name, self.n_jets) for name in self.jet_columns),
        ):
            if np.shape(getattr(self, name)) != (size,):
                msg = f"column {name!r} has shape {np.shape(getattr(self, name))}, it must be ({size},)"
                raise DataError(msg)

    @classmethod
    def from_columns(cls, columns: Mapping[str, AnyArray], source: str = "jets") -> Jets:
        """Make jets from columns with one value per jet, checking all that can be checked.

        Args:
            columns: One array per column of :data:`SCHEMA`, each of shape (n_jets,); the optional ones may be absent.
            source: What the error messages call the data: a file's path, say.

        Returns:
            The jets; consecutive rows with the same ``event`` make an event.

        Raises:
            DataError: A value is not allowed; the message names the column, the row and the value.
        """
        cols = {name: _cast(name, columns[name], source) for name in SCHEMA if name in columns}
        _check_values(cols, source)
        event = cols["event"]
        starts = (
            np.flatnonzero(np.r_[True, event[1:] != event[:-1]])
            if len(event)
            else np.zeros(0, dtype=np.int64)
        )
        _check_events(cols, starts, source)
        weight = cols.pop("weight")[starts]
        del cols["event"]
        return cls(event=event[starts], offsets=np.r_[starts, len(event)], weight=weight, **cols)

    @property
    def n_events(self) -> int:
        """Number of events."""
        return len(self.event)

    @property
    def n_jets(self) -> int:
        """Number of jets in all events."""
        return int(self.offsets[-1])

    def __len__(self) -> int:
        return self.n_jets

    @property
    def jet_columns(self) -> tuple[str, ...]:
        """Names of the columns present that have one value per jet."""
        return tuple(n for n in SCHEMA if n not in PER_EVENT and getattr(self, n) is not None)

    @cached_property
    def multiplicity(self) -> IntArray:
        """Number of jets of each event, shape (n_events,)."""
        return np.diff(self.offsets)

    @cached_property
    def event_of_jet(self) -> IntArray:
        """Position of the event that each jet belongs to, shape (n_jets,)."""
        return np.repeat(np.arange(self.n_events), self.multiplicity)

    def per_jet(self, name: str) -> AnyArray:
        """Return a column with one value per jet, per-event columns repeated; shape (n_jets,)."""
        values: AnyArray = getattr(self, name)
        return values[self.event_of_jet] if name in PER_EVENT else values

    def buckets(self, events: IntArray | None = None) -> Iterator[Bucket]:
        """Go through the events by jet multiplicity, so that each bucket is a plain rectangle.

        Args:
            events: Positions of the events to consider; all of them by default.

        Yields:
            One bucket per multiplicity of at least 1, in rising order, events in their order.

        Example:
            >>> jets = Jets.from_columns({**row, "event": np.array([7, 7, 9])})
            >>> [bucket.jets.tolist() for bucket in jets.buckets()]
            [[[2]], [[0, 1]]]
        """
        chosen = np.arange(self.n_events) if events is None else events
        counts = self.multiplicity[chosen]
        for n in np.unique(counts[counts > 0]):
            inside = chosen[counts == n]
            yield Bucket(inside, self.offsets[inside][:, None] + np.arange(n))

    def leading(self, count: int) -> Bucket:
        """Return the events with at least ``count`` jets, and the positions of the ``count`` hardest of each."""
        events = np.flatnonzero(self.multiplicity >= count)
        return Bucket(events, self.offsets[events][:, None] + np.arange(count))

    def take(self, events: IntArray | slice) -> Jets:
        """Return the chosen events, in the order given.

        Args:
            events: Positions of events, a mask over events, or a slice.
        """
        chosen = np.arange(self.n_events)[events]
        counts = self.multiplicity[chosen]
        offsets = np.r_[0, np.cumsum(counts)]
        rows = np.repeat(self.offsets[chosen] - offsets[:-1], counts) + np.arange(offsets[-1])
        columns = {name: getattr(self, name)[rows] for name in self.jet_columns}
        return Jets(
            event=self.event[chosen], offsets=offsets, weight=self.weight[chosen], **columns
        )

    def first(self, count: int) -> Jets:
        """Return the first events: the same as a sample generated with so many.

        Args:
            count: Number of events.

        Raises:
            DataError: There are not so many events.
        """
        if not 0 <= count <= self.n_events:
            msg = (
                f"the first {count} events were asked for, the sample has {self.n_events}. "
                f"Ask for 0 to {self.n_events}, or make the sample longer."
            )
            raise DataError(msg)
        return self.take(slice(0, count))

    def require_flavours(self, known: Sequence[int], knower: str, remedy: str) -> None:
        """Refuse jets of a flavour that an efficiency does not know.

        Args:
            known: The flavours that it knows.
            knower: Who knows them, as the error begins: "the map was fitted to the flavours", say.
            remedy: What to do, as the error ends.

        Raises:
            DataError: There is such a jet.
        """
        strange = ~np.isin(self.flavour, known)
        if strange.any():
            msg = (
                f"{knower} {list(known)}, a jet has {self.flavour[strange][0]} ({int(strange.sum())} such jets). "
                f"{remedy}, or drop those jets."
            )
            raise DataError(msg)

    def with_columns(self, **columns: Any) -> Jets:
        """Return the same jets with some columns replaced."""
        return replace(self, **columns)

    def to_table(self) -> pa.Table:
        """Return the jets as an Arrow table, a row per jet, units in the metadata of each field.

        Raises:
            DataError: An event has no jets, and so would vanish.
        """
        empty = np.flatnonzero(self.multiplicity == 0)
        if len(empty):
            msg = (
                f"event {self.event[empty[0]]} has no jets ({len(empty)} such events): a file with a row per jet "
                "cannot hold it. Select the events that have jets first, with take(multiplicity > 0)."
            )
            raise DataError(msg)
        names = [n for n in SCHEMA if getattr(self, n) is not None]
        arrays = [pa.array(self.per_jet(n).astype(SCHEMA[n], copy=False)) for n in names]
        metadata = [{"unit": UNITS[n]} if n in UNITS else None for n in names]
        schema = [
            pa.field(n, a.type, nullable=False, metadata=m)
            for n, a, m in zip(names, arrays, metadata, strict=True)
        ]
        return pa.Table.from_arrays(arrays, schema=pa.schema(schema))


def concatenate(parts: Sequence[Jets]) -> Jets:
    """Join samples one after the other; a column survives where every part has it.

    Raises:
        DataError: There is nothing to join, or an event identifier stands in two parts.
    """
    if not parts:
        msg = "no jets to join: the list of samples is empty"
        raise DataError(msg)
    if len(parts) == 1:
        return parts[0]
    names = [n for n in parts[0].jet_columns if all(n in part.jet_columns for part in parts)]
    event = np.concatenate([part.event for part in parts])
    unique, counts = np.unique(event, return_counts=True)
    if len(unique) < len(event):
        msg = f"event {unique[counts > 1][0]} stands in two of the samples to join; identifiers must be unique"
        raise DataError(msg)
    return Jets(
        event=event,
        offsets=np.r_[0, np.cumsum(np.concatenate([part.multiplicity for part in parts]))],
        weight=np.concatenate([part.weight for part in parts]),
        **{n: np.concatenate([getattr(part, n) for part in parts]) for n in names},
    )


def write_jets(
    blocks: Iterable[Jets], path: str | Path, metadata: Mapping[str, Any] | None = None
) -> int:
    """Write blocks of jets to one Parquet file, a row group per block, in memory that does not grow.

    Args:
        blocks: The jets, block by block.
        path: The file to write.
        metadata: What to record about the origin (seed, config digest, versions); units are added.

    Returns:
        The number of jets written.

    Raises:
        DataError: There is no block, or an event has no jets.
    """
    writer, n_jets = None, 0
    with whole_file(path) as beside:
        try:
            for block in blocks:
                table = with_metadata(block.to_table(), {**(metadata or {}), "units": UNITS})
                writer = writer or pq.ParquetWriter(beside, table.schema, compression="zstd")
                writer.write_table(table)
                n_jets += table.num_rows
        finally:
            if writer is not None:
                writer.close()
        if writer is None:
            msg = f"{path}: no events to write"
            raise DataError(msg)
    return n_jets


def shards_of(path: str | Path) -> list[Path]:
    """Return the Parquet files that a path means: the file itself, or those of a folder in the order of their names.

    Raises:
        DataError: The folder holds none.
    """
    path = Path(path)
    if not path.is_dir():
        return [path]
    shards = sorted(p for p in path.glob("*.parquet") if not p.name.startswith("."))
    if not shards:
        msg = f"{path}: the folder holds no .parquet file. Check the path, or run the workflow to make the sample."
        raise DataError(msg)
    return shards


def read_jets(paths: str | Path | Sequence[str | Path]) -> Jets:
    """Read a sample: one Parquet file, a folder of them, or a list of either.

    Args:
        paths: Where the sample is; the rows of its files follow each other.

    Returns:
        The jets, every value checked.

    Raises:
        DataError: A file is missing, truncated or foreign, lacks a column, or holds a value that is not allowed.
    """
    listed = [paths] if isinstance(paths, str | Path) else list(paths)
    files = [file for path in listed for file in shards_of(path)]
    return concatenate([_read_file(file) for file in files])


def _read_file(path: Path) -> Jets:
    table = read_table(path, REQUIRED)
    present = [name for name in SCHEMA if name in table.column_names]
    for name in present:
        if table[name].null_count:
            row = int(np.flatnonzero(table[name].is_null().to_numpy())[0])
            msg = f"{path}: column {name!r} is empty in row {row}. Fill it, or drop the event."
            raise DataError(msg)
    return Jets.from_columns({n: table[n].to_numpy() for n in present}, str(path))


def _cast(name: str, values: AnyArray, source: str) -> AnyArray:
    """Bring a column to its type, refusing values that the type cannot hold."""
    kind = SCHEMA[name]
    values = np.asarray(values)
    numeric = values.dtype.kind in "iufb"
    with np.errstate(over="ignore", invalid="ignore"):
        cast = values.astype(kind) if numeric else None
    if cast is None or (kind in (np.int64, np.int8, np.bool_) and not np.array_equal(cast, values)):
        wrong = (
            values[np.flatnonzero(cast != values)[:1]].tolist()
            if cast is not None
            else [str(values.dtype)]
        )
        msg = f"{source}: column {name!r} must be {np.dtype(kind).name}, it holds {wrong[0]!r}"
        raise DataError(msg)
    return cast


def _check_values(cols: Mapping[str, AnyArray], source: str) -> None:
    """Refuse values outside what each column allows, naming the first."""
    missing = [name for name in REQUIRED if name not in cols]
    if missing:
        msg = f"{source}: column {missing[0]!r} is missing; there are {', '.join(cols) or 'no columns'}"
        raise DataError(msg)
    sizes = {name: len(values) for name, values in cols.items()}
    if len(set(sizes.values())) > 1:
        msg = f"{source}: the columns differ in length: {sizes}"
        raise DataError(msg)
    for name in ("pt", "eta", "phi", "mass", "weight", "score", "efficiency_true"):
        if name in cols:
            _refuse(~np.isfinite(cols[name]), cols, name, "every value must be finite", source)
    _refuse(cols["pt"] <= 0, cols, "pt", "it must be above 0 GeV", source)
    # One part in 10^6 more: other tools round pi up when they store float32.
    _refuse(
        np.abs(cols["phi"]) > np.pi * (1 + 1e-6),
        cols,
        "phi",
        "it must lie in [-pi, pi); wrap it first",
        source,
    )
    if "efficiency_true" in cols:
        eff = cols["efficiency_true"]
        _refuse((eff < 0) | (eff > 1), cols, "efficiency_true", "it must lie in [0, 1]", source)


def _check_events(cols: Mapping[str, AnyArray], starts: IntArray, source: str) -> None:
    """Refuse events whose rows are apart, out of order, or of several weights."""
    event, pt, weight = cols["event"], cols["pt"], cols["weight"]
    unique, first = np.unique(event[starts], return_index=True)
    if len(unique) < len(starts):
        again = np.setdiff1d(np.arange(len(starts)), first)[0]
        bad = np.zeros(len(event), dtype=bool)
        bad[starts[again]] = True
        _refuse(
            bad,
            cols,
            "event",
            "the jets of an event must be adjacent; sort by event and falling pt",
            source,
        )
    same = np.r_[False, event[1:] == event[:-1]]
    rising = same & (np.r_[0, pt[1:] - pt[:-1]] > 0)
    _refuse(
        rising, cols, "pt", "the jets of an event must be ordered by falling pt; sort them", source
    )
    changed = same & (np.r_[0, weight[1:] != weight[:-1]] != 0)
    _refuse(changed, cols, "weight", "the jets of an event must share its weight", source)


def _refuse(
    bad: BoolArray, cols: Mapping[str, AnyArray], name: str, allowed: str, source: str
) -> None:
    """Raise a DataError that names the first bad row, if there is one."""
    if bad.any():
        row = int(np.argmax(bad))
        value, event = cols[name][row], cols["event"][row]
        msg = f"{source}: column {name!r} is {value} in row {row} (event {event}), {int(bad.sum())} such rows: {allowed}"
        raise DataError(msg)
