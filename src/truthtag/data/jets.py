"""The jets of many events: flat columns and event offsets, in memory and on disk."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from truthtag.arrays import AnyArray, BoolArray, FloatArray, IntArray, plain_array
from truthtag.data.column_digests import ColumnsDigest
from truthtag.data.columns import PER_EVENT, REQUIRED, SCHEMA, UNITS
from truthtag.data.files import ParquetBlocks, atomic_write, read_metadata, read_table
from truthtag.data.labels import LABELS, Labels
from truthtag.data.validation import (
    check_labels,
    check_offsets,
    check_rows_of_events,
    check_shapes,
    check_unique_events,
    check_values,
    further_columns,
    plain_column,
    pt_order,
    stored_column,
)
from truthtag.errors import DataError

__all__ = [
    "SCHEMA",
    "UNITS",
    "Jets",
    "JetsDigest",
    "MultiplicityGroup",
    "append",
    "concatenate",
    "jets_of_table",
    "labels_and_further",
    "read_file",
    "read_jets",
    "read_samples",
    "refuse_columns_of_some",
    "refuse_other_labels",
    "refuse_shared_events",
    "shards_of",
    "stored_columns",
    "write_jets",
]


class MultiplicityGroup(NamedTuple):
    """Events of one jet multiplicity.

    Attributes:
        events: Positions of the events, shape (m,).
        jets: Positions of their jets, shape (m, n).
    """

    events: IntArray
    jets: IntArray


@dataclass(frozen=True, eq=False)
class Jets:
    r"""Jets of many events, ragged: flat columns, and offsets that say where each event begins.

    Event :math:`e` owns the jets ``offsets[e]`` to ``offsets[e + 1] - 1``, ordered by falling
    transverse momentum. An event may have no jets in memory (the two offsets are equal); on disk,
    a row per jet, it cannot.

    Args:
        event: Identifiers of the events, unique, shape (n_events,).
        offsets: Where each event begins, and the number of jets at the end, shape (n_events + 1,).
        pt: Transverse momenta, shape (n_jets,) [GeV].
        eta: Pseudorapidities, shape (n_jets,).
        phi: Azimuthal angles in :math:`[-\pi, \pi)`, shape (n_jets,) [rad].
        mass: Masses, shape (n_jets,) [GeV].
        flavour: Hadron flavour labels (5 b, 4 c, 0 light), shape (n_jets,).
        weight: Generator weights of the events, shape (n_events,).
        event_number: Numbers that the experiment gave the events, shape (n_events,), or None.
        position: Place of each jet among those of its event in the file that it was read from,
            shape (n_jets,), or None.
        score: Scores of the tagger, shape (n_jets,), or None; NaN where there is none.
        is_tagged: Whether the tagger accepted each jet, shape (n_jets,), or None.
        tag_bin: Number of working points that each jet passes, where there are several, shape
            (n_jets,), or None.
        efficiency_true: True efficiencies where known, shape (n_jets,), or (n_jets, n_points) where
            there are several working points, or None.
        further: Further columns by name, each of shape (n_jets,): floating numbers in single
            precision, and integers, all of them finite.
        labels: What flavours, tags and categories mean.

    Raises:
        DataError: The shapes do not fit together, or a value breaks a rule of
            :mod:`truthtag.data.validation`. The arrays are read-only afterwards: change jets with
            :meth:`with_columns`, which checks them again.
    """

    event: IntArray
    offsets: IntArray
    pt: FloatArray
    eta: FloatArray
    phi: FloatArray
    mass: FloatArray
    flavour: IntArray
    weight: FloatArray
    event_number: IntArray | None = None
    position: IntArray | None = None
    score: FloatArray | None = None
    is_tagged: BoolArray | None = None
    tag_bin: IntArray | None = None
    efficiency_true: FloatArray | None = None
    further: Mapping[str, AnyArray] = field(default_factory=dict)
    labels: Labels = field(default_factory=Labels)

    def __post_init__(self) -> None:
        columns = {
            name: plain_column(name, getattr(self, name), "jets")
            for name in SCHEMA
            if getattr(self, name) is not None
        }
        further = further_columns(self.further, "jets")
        # A copy, as of all columns: whoever made the array may still write to it.
        offsets = np.array(self.offsets)
        check_offsets(columns["event"], offsets)
        check_shapes({**columns, **further}, offsets, self.labels)
        check_values({**columns, **further}, offsets, "jets")
        check_labels(columns, further, offsets, self.labels, "jets")
        check_unique_events(columns["event"], "jets")
        self._hold(offsets, columns, further, self.labels)

    def _hold(
        self,
        offsets: IntArray,
        columns: Mapping[str, AnyArray],
        further: Mapping[str, AnyArray],
        labels: Labels,
    ) -> None:
        """Take in checked arrays, so that nobody changes them unchecked."""
        for name, values in {"offsets": offsets, **columns}.items():
            object.__setattr__(self, name, _read_only(values))
        held = {name: _read_only(values) for name, values in further.items()}
        object.__setattr__(self, "further", MappingProxyType(held))
        object.__setattr__(self, "labels", labels)

    @classmethod
    def _of_checked(
        cls,
        offsets: IntArray,
        columns: Mapping[str, AnyArray],
        further: Mapping[str, AnyArray],
        labels: Labels,
    ) -> Jets:
        """Make jets of columns that keep all rules, without checking them again."""
        jets = object.__new__(cls)
        jets._hold(offsets, columns, further, labels)
        return jets

    @classmethod
    def from_columns(
        cls,
        columns: Mapping[str, AnyArray],
        source: str = "jets",
        *,
        sort: bool = False,
        further: Mapping[str, AnyArray] | None = None,
        labels: Labels | None = None,
    ) -> Jets:
        """Make jets from columns with one value per jet, checking all that can be checked.

        Args:
            columns: One array per column of :data:`SCHEMA`, each of shape (n_jets,); the optional
                ones may be absent. True efficiencies at several working points have a column
                each, ``efficiency_true_loose`` say.
            source: What the error messages call the data: a file's path, say.
            sort: Whether to bring the jets of each event into the order of falling pt.
            further: Further columns by name, each of shape (n_jets,).
            labels: What flavours, tags and categories mean; by default, only what occurs is known.

        Returns:
            The jets; consecutive rows with the same ``event`` make an event.

        Raises:
            DataError: A value is not allowed; the message names the column, the row and the value.
        """
        labels = labels or Labels()
        stated = _with_joined_truth(columns, labels)
        given = {n: stored_column(n, stated[n], source) for n in SCHEMA if n in stated}
        others = further_columns(further or {}, source)
        rows = _rows_of_one_length({**given, **others}, labels, source)
        event = given["event"]
        starts = np.flatnonzero(np.r_[True, event[1:] != event[:-1]][:rows])
        check_rows_of_events(given, starts, source)
        offsets = np.r_[starts, rows]
        kept = {name: v[starts] if name in PER_EVENT else v for name, v in given.items()}
        if sort:
            order = pt_order(kept["pt"], offsets)
            kept = _reordered(kept, order)
            others = _reordered(others, order)
        check_shapes({**kept, **others}, offsets, labels)
        check_values({**kept, **others}, offsets, source)
        check_labels(kept, others, offsets, labels, source)
        return cls._of_checked(offsets, kept, others, labels)

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

    @property
    def event_columns(self) -> tuple[str, ...]:
        """Names of the columns present that have one value per event."""
        return tuple(name for name in PER_EVENT if getattr(self, name) is not None)

    @cached_property
    def multiplicity(self) -> IntArray:
        """Number of jets of each event, shape (n_events,)."""
        return np.diff(self.offsets)

    @cached_property
    def event_of_jet(self) -> IntArray:
        """Position of the event that each jet belongs to, shape (n_jets,)."""
        return np.repeat(np.arange(self.n_events), self.multiplicity)

    def per_jet(self, name: str) -> AnyArray:
        """Return a column with one value per jet, per-event columns repeated; shape (n_jets,).

        Args:
            name: A column of :data:`SCHEMA`, or a further one.

        Raises:
            DataError: There is no such column.
        """
        values = self.further.get(name) if name not in SCHEMA else getattr(self, name)
        if values is None:
            present = [*PER_EVENT, *self.jet_columns, *self.further]
            msg = f"the jets have no column {name!r}; there are {', '.join(present)}"
            raise DataError(msg)
        return values[self.event_of_jet] if name in PER_EVENT else values

    @property
    def n_points(self) -> int:
        """Number of working points, at least 1."""
        return self.labels.n_points

    @property
    def has_tags(self) -> bool:
        """Whether it is known which jets the tagger accepted."""
        return self.is_tagged is not None or self.tag_bin is not None

    def passes(self) -> BoolArray:
        """Return whether each jet passes each working point, shape (n_jets, n_points).

        Raises:
            DataError: The jets have no tags.
        """
        if self.tag_bin is not None:
            return self.tag_bin[:, None] > np.arange(self.n_points)
        if self.is_tagged is not None:
            return self.is_tagged[:, None]
        msg = "the jets have no tags: neither a column 'is_tagged' nor 'tag_bin'. Tag them first."
        raise DataError(msg)

    def at_point(self, point: str | None = None, below: str | None = None) -> Jets:
        """Return the same jets, tagged where they pass one working point.

        Args:
            point: Its name; by default the loosest.
            below: A tighter point, which tagged jets must fail: then tags are those of a bin
                between two points.

        Returns:
            Jets with ``is_tagged``, without ``tag_bin``, and with the true efficiency of that
            selection where it is known. Where there is one point only, the jets themselves.

        Raises:
            DataError: There is no such point, or ``below`` is not the tighter one.
        """
        if self.n_points == 1:
            if point not in (None, *self.labels.points) or below is not None:
                self.labels.position(below or str(point))
            return self
        first = self.labels.position(point) if point else 0
        last = self.labels.position(below) if below else self.n_points
        if last <= first:
            msg = f"working point {below!r} is not tighter than {point!r}; exchange them"
            raise DataError(msg)
        tagged = None
        if self.tag_bin is not None:
            tagged = (self.tag_bin > first) & (self.tag_bin <= last)
        true = self.efficiency_true
        if true is not None:
            true = true[:, first] - (true[:, last] if below else 0.0)
        labels = replace(self.labels, points=())
        return replace(self, is_tagged=tagged, tag_bin=None, efficiency_true=true, labels=labels)

    def by_multiplicity(
        self, events: IntArray | BoolArray | slice | None = None
    ) -> Iterator[MultiplicityGroup]:
        """Go through the events by jet multiplicity, so that each group is a plain rectangle.

        Args:
            events: The events to consider, as in :meth:`take`; all of them by default.

        Yields:
            One group per multiplicity of at least 1, in rising order, events in their order.

        Example:
            >>> jets = Jets.from_columns({**row, "event": np.array([7, 7, 9])})
            >>> [group.jets.tolist() for group in jets.by_multiplicity()]
            [[[2]], [[0, 1]]]
        """
        chosen = self._positions(slice(None) if events is None else events)
        counts = self.multiplicity[chosen]
        for n in np.unique(counts[counts > 0]):
            inside = chosen[counts == n]
            yield MultiplicityGroup(inside, self.offsets[inside][:, None] + np.arange(n))

    def leading_jets(self, count: int) -> MultiplicityGroup:
        """Return the events of at least ``count`` jets, and the ``count`` hardest jets of each."""
        events = np.flatnonzero(self.multiplicity >= count)
        return MultiplicityGroup(events, self.offsets[events][:, None] + np.arange(count))

    def take(self, events: IntArray | BoolArray | slice) -> Jets:
        """Return the chosen events, in the order given.

        Args:
            events: Positions of events, a mask over events, or a slice. Where a position stands
                twice, as in a bootstrap sample, the events are numbered anew from 0: each event
                needs a number of its own.

        Raises:
            DataError: A position is outside the sample, or the mask has another length.
        """
        chosen = self._positions(events)
        counts = self.multiplicity[chosen]
        offsets = np.r_[0, np.cumsum(counts)]
        rows = np.repeat(self.offsets[chosen] - offsets[:-1], counts) + np.arange(offsets[-1])
        columns = {name: getattr(self, name)[rows] for name in self.jet_columns}
        columns |= {name: getattr(self, name)[chosen] for name in self.event_columns}
        repeated = len(chosen) > 0 and np.bincount(chosen).max() > 1
        if repeated:
            columns["event"] = np.arange(len(chosen))
        further = {name: values[rows] for name, values in self.further.items()}
        # All other rules hold event by event: what is taken whole keeps them.
        return Jets._of_checked(offsets, columns, further, self.labels)

    def _positions(self, events: IntArray | BoolArray | slice) -> IntArray:
        """Return the positions of events that are given by positions, a mask or a slice."""
        which = events if isinstance(events, slice) else plain_array(events, "events")
        if not isinstance(which, slice) and which.size == 0 and which.dtype.kind == "f":
            # An empty list has no integers from which NumPy could tell its type.
            which = which.astype(np.int64)
        try:
            return np.atleast_1d(np.arange(self.n_events)[which])
        except IndexError as error:
            msg = (
                f"these events cannot be taken from {self.n_events} events ({error}). Give "
                "positions below that number, a mask of one truth value per event, or a slice."
            )
            raise DataError(msg) from error

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

    def require_flavours(self, known: Sequence[int], opening: str, remedy: str) -> None:
        """Refuse jets of a flavour that an efficiency does not know.

        Args:
            known: The flavours that it knows.
            opening: How the error begins: "the map was fitted to the flavours", say.
            remedy: What to do, as the error ends.

        Raises:
            DataError: There is such a jet.
        """
        strange = ~np.isin(self.flavour, known)
        if strange.any():
            msg = (
                f"{opening} {list(known)}, a jet has {self.flavour[strange][0]} "
                f"({int(strange.sum())} such jets). {remedy}, or drop those jets."
            )
            raise DataError(msg)

    def with_columns(self, *, sort: bool = False, **columns: Any) -> Jets:
        """Return the same jets with some columns replaced.

        Args:
            sort: Whether to bring the jets of each event into the order of falling pt afterwards,
                all columns along. Arrays that are no columns stay as they are;
                :func:`~truthtag.data.validation.pt_order` gives the rows that bring them along.
            columns: The new columns by name; None drops an optional one.

        Raises:
            DataError: A value is not allowed, or the jets are no longer ordered by falling pt.
        """
        unknown = [n for n in columns if n not in (*SCHEMA, "offsets", "further", "labels")]
        if unknown:
            msg = f"jets have no column {unknown[0]!r}; there are {', '.join(SCHEMA)}"
            raise DataError(msg)
        if not sort:
            return replace(self, **columns)
        return self._with_sorted_columns(columns)

    def _with_sorted_columns(self, columns: Mapping[str, Any]) -> Jets:
        names = (*self.event_columns, *self.jet_columns)
        merged = {name: getattr(self, name) for name in names} | dict(columns)
        given = {
            name: plain_column(name, values, "jets")
            for name, values in merged.items()
            if values is not None and name in SCHEMA
        }
        labels = columns.get("labels", self.labels)
        further = further_columns(columns.get("further", self.further), "jets")
        offsets = np.asarray(merged.get("offsets", self.offsets))
        check_offsets(given["event"], offsets)
        check_shapes({**given, **further}, offsets, labels)
        order = pt_order(given["pt"], offsets)
        ordered = _reordered(given, order)
        others = _reordered(further, order)
        return Jets(offsets=offsets, further=others, labels=labels, **ordered)

    def digest(self) -> str:
        """Return a short text that stands for the jets: events, kinematics, flavours, further
        columns.

        Tags, weights, scores and true efficiencies do not count: an efficiency does not see them.
        The values count as they are stored, so jets keep their digest on disk.
        """
        digest = JetsDigest()
        digest.add(self)
        return digest.text()

    def to_table(self) -> pa.Table:
        """Return the jets as an Arrow table, a row per jet, units in the metadata of each field.

        Raises:
            DataError: An event has no jets, and so would vanish.
        """
        empty = np.flatnonzero(self.multiplicity == 0)
        if len(empty):
            msg = (
                f"event {self.event[empty[0]]} has no jets ({len(empty)} such events): a file with "
                "a row per jet cannot hold it. Select the events that have jets first, with "
                "take(multiplicity > 0)."
            )
            raise DataError(msg)
        columns: dict[str, AnyArray] = {}
        for name in SCHEMA:
            if getattr(self, name) is None:
                continue
            values = self.per_jet(name).astype(SCHEMA[name], copy=False)
            if values.ndim == 1:
                columns[name] = values
                continue
            for point, of_point in zip(self.labels.points, values.T, strict=True):
                columns[f"{name}_{point}"] = of_point
        columns |= self.further
        fields = []
        arrays = []
        for name, values in columns.items():
            arrays.append(pa.array(values))
            unit = UNITS.get(name)
            metadata = {"unit": unit} if unit else None
            fields.append(pa.field(name, arrays[-1].type, nullable=False, metadata=metadata))
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


class JetsDigest:
    """The digest of a sample that is given in blocks: :meth:`Jets.digest` of all of it."""

    def __init__(self) -> None:
        self._columns = ColumnsDigest()

    def add(self, jets: Jets) -> None:
        """Add the events that follow."""
        self._columns.add("n_jets", jets.multiplicity, "<i8")
        for name in ("event", "pt", "eta", "phi", "mass", "flavour"):
            self._columns.add(name, getattr(jets, name), SCHEMA[name])
        for name in sorted(jets.further):
            values = jets.further[name]
            self._columns.add(f"further {name}", values, values.dtype)

    def text(self) -> str:
        """Return the digest of all events so far."""
        return self._columns.text()


def _rows_of_one_length(columns: Mapping[str, AnyArray], labels: Labels, source: str) -> int:
    """Return the number of rows, the same for all columns that must be there."""
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        present = ", ".join(columns) or "no columns"
        msg = f"{source}: column {missing[0]!r} is missing; there are {present}"
        raise DataError(msg)
    for name, values in columns.items():
        # True efficiencies have a column for each working point, where there are several.
        of_points = name == "efficiency_true" and labels.n_points > 1
        if values.ndim != (2 if of_points else 1):
            msg = (
                f"{source}: column {name!r} has shape {values.shape}; a row per jet is wanted, "
                "a column is one value for each. Flatten it."
            )
            raise DataError(msg)
    sizes = {name: len(values) for name, values in columns.items()}
    if len(set(sizes.values())) > 1:
        msg = f"{source}: the columns differ in length: {sizes}"
        raise DataError(msg)
    return sizes["event"]


def _read_only(values: AnyArray) -> AnyArray:
    held = values.view()
    held.flags.writeable = False
    return held


def _with_joined_truth(columns: Mapping[str, AnyArray], labels: Labels) -> dict[str, AnyArray]:
    """Put the true efficiencies at several working points into one array, a column for each."""
    stated = dict(columns)
    names = [f"efficiency_true_{point}" for point in labels.points]
    if labels.n_points > 1 and all(name in columns for name in names):
        stated["efficiency_true"] = np.column_stack([columns[name] for name in names])
    return stated


def _reordered(columns: Mapping[str, AnyArray], rows: IntArray) -> dict[str, AnyArray]:
    """Bring all columns per jet into another order."""
    return {n: values if n in PER_EVENT else values[rows] for n, values in columns.items()}


def concatenate(parts: Sequence[Jets]) -> Jets:
    """Join samples one after the other; a column survives where every part has it.

    Raises:
        DataError: There is nothing to join, or an event number stands in two parts.
    """
    return _joined(parts, [f"part {position}" for position in range(len(parts))])


def _joined(parts: Sequence[Jets], sources: Sequence[str]) -> Jets:
    """Join samples, with a name for each in the error messages."""
    if not parts:
        msg = "no jets to join: the list of samples is empty"
        raise DataError(msg)
    refuse_other_labels([part.labels for part in parts], sources)
    event = np.concatenate([part.event for part in parts])
    refuse_shared_events(event, [part.n_events for part in parts], sources)
    return append(parts)


def append(parts: Sequence[Jets]) -> Jets:
    """Join parts of one sample, whose labels are the same and whose events are known to differ.

    A column survives where every part has it.
    """
    if len(parts) == 1:
        return parts[0]
    names = [n for n in parts[0].jet_columns if all(n in part.jet_columns for part in parts)]
    of_events = [n for n in parts[0].event_columns if all(n in p.event_columns for p in parts)]
    others = [n for n in parts[0].further if all(n in part.further for part in parts)]
    multiplicity = np.concatenate([part.multiplicity for part in parts])
    columns = {}
    for name in (*of_events, *names):
        columns[name] = np.concatenate([getattr(part, name) for part in parts])
    further = {n: np.concatenate([part.further[n] for part in parts]) for n in others}
    # Each part keeps the rules of an event; between parts only an event number can clash.
    offsets = np.r_[0, np.cumsum(multiplicity)]
    return Jets._of_checked(offsets, columns, further, parts[0].labels)


def refuse_other_labels(labels: Sequence[Labels], sources: Sequence[str | Path]) -> None:
    """Refuse parts whose labels are not those of the first one.

    Raises:
        DataError: The message names both.
    """
    for one, source in zip(labels, sources, strict=True):
        if one != labels[0]:
            msg = (
                f"{sources[0]} and {source} cannot be joined: their labels differ "
                f"({labels[0]} and {one}). Make both with the same flavours, working points "
                "and categories."
            )
            raise DataError(msg)


def refuse_shared_events(event: IntArray, sizes: Sequence[int], sources: Sequence[str]) -> None:
    """Refuse an event number that stands in two parts.

    Args:
        event: The numbers of all parts, one part after the other.
        sizes: How many events each part has.
        sources: What the error messages call the parts.

    Raises:
        DataError: The message names the number and both parts.
    """
    if np.all(event[1:] > event[:-1]):
        return
    unique, counts = np.unique(event, return_counts=True)
    shared = unique[counts > 1]
    if len(shared):
        owner = np.repeat(np.arange(len(sizes)), sizes)
        first, second = owner[np.flatnonzero(event == shared[0])[:2]]
        msg = (
            f"event {shared[0]} stands in two of the samples to join, {sources[first]} and "
            f"{sources[second]} ({len(shared)} such events). If they are two events, give each "
            "a number of its own; if an event is cut in two, put all its jets into one of them."
        )
        raise DataError(msg)


def write_jets(
    blocks: Iterable[Jets], path: str | Path, metadata: Mapping[str, Any] | None = None
) -> int:
    """Write blocks of jets to one Parquet file, a row group per block; one block is in memory.

    Args:
        blocks: The jets, block by block.
        path: The file to write.
        metadata: What to record about the origin (seed, config digest, versions); units, labels and
            the names of further columns are added.

    Returns:
        The number of jets written.

    Raises:
        DataError: There is no block, an event has no jets, the blocks differ in their columns, or
            the file cannot be written.
    """
    n_jets = 0
    with (
        atomic_write(path) as temporary,
        ParquetBlocks(temporary, {**(metadata or {}), "units": UNITS}, path) as file,
    ):
        for block in blocks:
            if file.is_empty:
                described = {LABELS: block.labels.to_metadata(), FURTHER: list(block.further)}
                file.metadata = {**file.metadata, **described}
            table = block.to_table()
            file.write(table)
            n_jets += table.num_rows
        if file.is_empty:
            msg = f"{path}: no events to write"
            raise DataError(msg)
    return n_jets


FURTHER = "further"
"""Where the metadata of a sample hold the names of its further columns."""

_PART = re.compile(r"\.(parquet|parq|pq)(\.\w+)?$", re.IGNORECASE)
"""Names of files that look like a part of a sample."""


def shards_of(path: str | Path) -> list[Path]:
    """Return the Parquet files that a path means.

    Args:
        path: A file, which is returned itself, or a folder: its files ``*.parquet``, by name.

    Raises:
        DataError: The folder holds none, or holds what looks like a part and would not be read.
    """
    path = Path(path)
    if not path.is_dir():
        return [path]
    shards = []
    for file in sorted(path.rglob("*")):
        inside = file.relative_to(path)
        # Hidden files are nobody's data: ours are unfinished. Pandas leaves them out, too.
        if any(part.startswith(".") for part in inside.parts) or not _PART.search(file.name):
            continue
        is_shard = file.is_file() and file.parent == path and file.suffix == ".parquet"
        if not is_shard or file.name.startswith("_"):
            msg = (
                f"{path}: {inside} looks like a part of the sample and would not be read; the "
                "files NAME.parquet directly in the folder are. Rename it, move it, or list "
                "the files one by one."
            )
            raise DataError(msg)
        shards.append(file)
    if not shards:
        msg = (
            f"{path}: the folder holds no .parquet file. "
            "Check the path, or run the workflow to make the sample."
        )
        raise DataError(msg)
    return shards


def read_jets(
    paths: str | Path | Sequence[str | Path], further: Sequence[str] | None = None
) -> Jets:
    """Read a sample: one Parquet file, a folder of them, or a list of either.

    Args:
        paths: Where the sample is; the rows of its files follow each other.
        further: Names of further columns to read; by default those that truthtag wrote.

    Returns:
        The jets, every value checked.

    Raises:
        DataError: A file is missing, damaged or foreign, lacks a column that others have, or
            holds a value that is not allowed.
    """
    listed = [paths] if isinstance(paths, str | Path) else list(paths)
    files = [file for path in listed for file in shards_of(path)]
    parts = [read_file(file, further) for file in files]
    refuse_columns_of_some([part.jet_columns for part in parts], files)
    return _joined(parts, [str(file) for file in files])


def read_samples(files: Sequence[str | Path], further: Sequence[str] | None = None) -> Jets:
    """Read several samples as one; the files of a folder are one sample.

    Events of several samples can share their numbers, so these are counted anew; the numbers that
    they had stay as ``event_number``, where there is none yet.

    Args:
        files: The files, those of a sample one after the other.
        further: As in :func:`read_jets`.

    Raises:
        DataError: As in :func:`read_jets`, or the samples have other labels.
    """
    listed = [Path(file) for file in files]
    groups = [list(group) for _, group in groupby(listed, key=lambda file: file.parent)]
    if len(groups) == 1:
        return read_jets(listed, further)
    parts = []
    first = 0
    for group in groups:
        part = read_jets(group, further)
        numbers = part.event if part.event_number is None else part.event_number
        event = np.arange(first, first + part.n_events)
        parts.append(part.with_columns(event=event, event_number=numbers))
        first += part.n_events
    return _joined(parts, [str(group[0].parent) for group in groups])


def refuse_columns_of_some(columns: Sequence[Sequence[str]], files: Sequence[Path]) -> None:
    """Refuse tags and true efficiencies that only some of the files have.

    Args:
        columns: Names of the columns of each file.
        files: The files.

    Raises:
        DataError: The message names the column and the first file without.
    """
    for name in ("is_tagged", "tag_bin", "efficiency_true"):
        without = [file for file, names in zip(files, columns, strict=True) if name not in names]
        if without and len(without) < len(files):
            msg = (
                f"{without[0]}: column {name!r} is missing, which other files of the sample have "
                f"({len(without)} of {len(files)} lack it). Add it, or drop it from all of them."
            )
            raise DataError(msg)


def read_file(path: Path, further: Sequence[str] | None = None) -> Jets:
    """Read one file of a sample; arguments and errors are those of :func:`read_jets`."""
    labels, others = labels_and_further(path, further)
    table = read_table(path, (*REQUIRED, *others), only=stored_columns(labels, others))
    return jets_of_table(table, path, labels, others)


def labels_and_further(
    path: str | Path, further: Sequence[str] | None = None
) -> tuple[Labels, list[str]]:
    """Return what a file of a sample says of its labels, and which further columns to read.

    Args:
        path: The file.
        further: Names of further columns; by default those that truthtag wrote.

    Raises:
        DataError: The file is missing, damaged or no Parquet.
    """
    metadata = read_metadata(path)
    labels = Labels.from_metadata(metadata.get(LABELS))
    stated = metadata.get(FURTHER, []) if further is None else further
    return labels, [str(name) for name in stated]


def stored_columns(labels: Labels, further: Sequence[str]) -> list[str]:
    """Return the names of all columns that a file of a sample can have."""
    return [*SCHEMA, *(f"efficiency_true_{point}" for point in labels.points), *further]


def jets_of_table(
    table: pa.Table, source: str | Path, labels: Labels, further: Sequence[str]
) -> Jets:
    """Make jets of a table with a row for each.

    Args:
        table: The table; it has :data:`REQUIRED` and the further columns.
        source: What the error messages call it.
        labels: What its numbers mean.
        further: Names of the further columns.

    Raises:
        DataError: A value is missing, or not allowed.
    """
    for name in table.column_names:
        # Nothing is computed from the score, so it may be unknown.
        if name != "score" and table[name].null_count:
            row = int(np.flatnonzero(table[name].is_null().to_numpy())[0])
            msg = f"{source}: column {name!r} is empty in row {row}. Fill it, or drop the event."
            raise DataError(msg)
    columns = {name: table[name].to_numpy() for name in table.column_names}
    extra = {name: columns.pop(name) for name in further}
    return Jets.from_columns(columns, str(source), further=extra, labels=labels)
