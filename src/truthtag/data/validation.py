"""The rules that all jets keep: types, shapes, values, order within an event, one number per event.

Every way to make or change jets comes through here. The usual case, good jets, costs two passes
over a column; which row is wrong is worked out only after a rule is found to be broken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from truthtag.arrays import AnyArray, BoolArray, FloatArray, IntArray, plain_array
from truthtag.data.columns import PER_EVENT, SCHEMA
from truthtag.data.labels import Labels
from truthtag.errors import DataError

__all__ = [
    "LIMITS",
    "Limit",
    "check_labels",
    "check_offsets",
    "check_rows_of_events",
    "check_shapes",
    "check_unique_events",
    "check_values",
    "further_columns",
    "plain_column",
    "pt_order",
    "stored_column",
]


@dataclass(frozen=True)
class Limit:
    """The values that a column may have.

    Args:
        low: Smallest value.
        high: Largest value.
        rule: How the error message says it, with the remedy.
    """

    low: float
    high: float
    rule: str


_SMALLEST = float(np.nextafter(0.0, 1.0))
_LARGEST = float(np.finfo(np.float64).max)

LIMITS: dict[str, Limit] = {
    "pt": Limit(
        _SMALLEST, 1e6, "it must be above 0 GeV and at most 1e6 GeV; is it in another unit?"
    ),
    "eta": Limit(-20.0, 20.0, "it must lie in [-20, 20]; drop jets along the beam"),
    # One part in 10^6 more: other tools round pi up when they store float32.
    "phi": Limit(
        -np.pi * (1 + 1e-6), np.pi * (1 + 1e-6), "it must lie in [-pi, pi); wrap it first"
    ),
    # A massless jet may come out slightly negative: its mass is a difference of large numbers.
    "mass": Limit(-0.01, 1e6, "it must lie in [-0.01, 1e6] GeV; is it in another unit?"),
    "weight": Limit(-_LARGEST, _LARGEST, "every value must be finite"),
    "efficiency_true": Limit(0.0, 1.0, "it must lie in [0, 1]"),
}
"""Allowed values by column. The score has none: nothing is computed from it."""

ANY_NUMBER = Limit(-_LARGEST, _LARGEST, "every value must be finite")
"""What a further column may hold."""


def stored_column(name: str, values: AnyArray, source: str) -> AnyArray:
    """Bring a column to the type that it has on disk.

    Args:
        name: Its name in :data:`~truthtag.data.columns.SCHEMA`.
        values: Its values.
        source: What the error messages call the data.

    Raises:
        DataError: The type cannot hold the values, or they are no plain numbers.
    """
    return _as_type(name, plain_array(values, f"{source}: column {name!r}"), source)


def plain_column(name: str, values: AnyArray, source: str) -> AnyArray:
    """Return a column in memory: floating numbers keep their precision, all else is as on disk.

    Raises:
        DataError: As in :func:`stored_column`.
    """
    array = plain_array(values, f"{source}: column {name!r}")
    if np.dtype(SCHEMA[name]).kind == array.dtype.kind == "f":
        # Whoever made a writable array may still write to it; the jets' own are read-only.
        return array.copy() if array.flags.writeable else array
    return _as_type(name, array, source)


def _as_type(name: str, values: AnyArray, source: str) -> AnyArray:
    kind = np.dtype(SCHEMA[name])
    if name == "event" and values.dtype.kind in "fb" and values.size:
        msg = (
            f"{source}: column 'event' must be int64, it holds {values.dtype} values: "
            "floating numbers of two events can be one after rounding "
            "(float32 from 16777216 on). Store the event numbers as integers."
        )
        raise DataError(msg)
    if values.dtype.kind not in "iufb":
        msg = f"{source}: column {name!r} must be {kind.name}, it holds {str(values.dtype)!r}"
        raise DataError(msg)
    with np.errstate(over="ignore", invalid="ignore"):
        cast = values.astype(kind)
    if kind.kind != "f" and not np.array_equal(cast, values):
        wrong = values[cast != values].flat[0].item()
        allowed = "; tags are 0 or 1" if name == "is_tagged" else ""
        msg = f"{source}: column {name!r} must be {kind.name}, it holds {wrong!r}{allowed}"
        raise DataError(msg)
    return cast


def further_columns(columns: Mapping[str, AnyArray], source: str) -> dict[str, AnyArray]:
    """Bring further columns to the types that they have on disk: float32, or int32 for integers.

    Raises:
        DataError: A name is taken or no name, or a column does not hold plain finite numbers.
    """
    stored = {}
    for name, values in columns.items():
        taken = name in SCHEMA or name == "offsets" or name.startswith("efficiency_true")
        if taken or not re.fullmatch(r"[A-Za-z]\w*", name):
            msg = (
                f"{source}: a further column cannot be called {name!r}: it must begin with a "
                f"letter, hold letters, digits and _, and be none of {', '.join(SCHEMA)}"
            )
            raise DataError(msg)
        array = plain_array(values, f"{source}: column {name!r}")
        if array.dtype.kind not in "iufb":
            msg = f"{source}: column {name!r} holds {str(array.dtype)!r} values; numbers are wanted"
            raise DataError(msg)
        kind = np.float32 if array.dtype.kind == "f" else np.int32
        with np.errstate(over="ignore", invalid="ignore"):
            cast = array.astype(kind)
        if kind is np.int32 and not np.array_equal(cast, array):
            wrong = array[cast != array].flat[0].item()
            msg = f"{source}: column {name!r} must be int32, it holds {wrong!r}"
            raise DataError(msg)
        stored[name] = cast
    return stored


def check_labels(
    columns: Mapping[str, AnyArray],
    further: Mapping[str, AnyArray],
    offsets: IntArray,
    labels: Labels,
    source: str,
) -> None:
    """Refuse flavours, tag bins and categories that the labels do not know.

    Args:
        columns: Columns of :data:`~truthtag.data.columns.SCHEMA`.
        further: Further columns.
        offsets: Where each event begins, shape (n_events + 1,).
        labels: What they mean.
        source: What the error messages call the data.

    Raises:
        DataError: The message names the row, the value, and what is allowed.
    """
    if labels.flavours:
        known = ", ".join(map(str, labels.flavours))
        rule = f"the flavours of the sample are {known}; merge it into one of them, or drop it"
        _check_known("flavour", columns, offsets, labels.flavours, source, rule)
    for name, allowed in labels.categories.items():
        if name in further:
            rule = f"the categories of the column are {', '.join(map(str, allowed))}"
            _check_known(name, {**columns, **further}, offsets, allowed, source, rule)
    has_bins = "tag_bin" in columns
    if has_bins and labels.n_points < 2:
        msg = (
            f"{source}: column 'tag_bin' counts the working points that a jet passes; name them in "
            "labels.points, at least two, or use 'is_tagged'"
        )
        raise DataError(msg)
    if "is_tagged" in columns and labels.n_points > 1:
        msg = (
            f"{source}: column 'is_tagged' cannot say which of {labels.n_points} working points a "
            "jet passes; give 'tag_bin', the number of points that it passes"
        )
        raise DataError(msg)
    if has_bins:
        rule = f"it must be a number of working points, 0 to {labels.n_points}"
        bins = tuple(range(labels.n_points + 1))
        _check_known("tag_bin", columns, offsets, bins, source, rule)


def _check_known(
    name: str,
    columns: Mapping[str, AnyArray],
    offsets: IntArray,
    allowed: tuple[int, ...],
    source: str,
    rule: str,
) -> None:
    """Refuse values that are not among those allowed."""
    unknown = ~np.isin(columns[name], allowed)
    if unknown.any():
        _refuse(name, unknown, columns, offsets, source, rule)


def check_offsets(event: AnyArray, offsets: AnyArray) -> None:
    """Refuse offsets that do not cut jets into the events.

    Raises:
        DataError: They are no integers, not one more than the events, or do not rise from 0.
    """
    fits = offsets.dtype.kind == "i" and event.ndim == 1 and offsets.shape == (len(event) + 1,)
    if not fits or offsets[0] != 0 or np.any(offsets[1:] < offsets[:-1]):
        msg = (
            f"offsets of {event.size} events must rise from 0 and be one more than the events; "
            f"they are {offsets.dtype} of shape {offsets.shape}"
        )
        raise DataError(msg)


def check_shapes(columns: Mapping[str, AnyArray], offsets: IntArray, labels: Labels) -> None:
    """Refuse columns that do not have one value per jet, or per event.

    True efficiencies have one for each working point, where there are several.

    Raises:
        DataError: A column has another shape.
    """
    for name, values in columns.items():
        size = len(offsets) - 1 if name in PER_EVENT else int(offsets[-1])
        shape: tuple[int, ...] = (size,)
        if name == "efficiency_true" and labels.n_points > 1:
            shape = (size, labels.n_points)
        if values.shape != shape:
            what = "event" if name in PER_EVENT else "jet"
            msg = (
                f"column {name!r} has shape {values.shape}, it must be {shape}: "
                f"one value per {what} is wanted"
            )
            raise DataError(msg)


def check_values(columns: Mapping[str, AnyArray], offsets: IntArray, source: str) -> None:
    """Refuse values outside :data:`LIMITS`, and jets that are not ordered by falling pt.

    Args:
        columns: Columns of a sample, those of ``PER_EVENT`` per event, the others per jet. Of
            further columns every value must be finite.
        offsets: Where each event begins, shape (n_events + 1,).
        source: What the error messages call the data.

    Raises:
        DataError: The message names the column, the row, the event, the value, and what to do.
    """
    for name, values in columns.items():
        limit = LIMITS.get(name, ANY_NUMBER if name not in SCHEMA else None)
        if limit is not None and not _within(values, limit):
            _refuse_values(name, limit, columns, offsets, source)
    pt = columns["pt"]
    rising = pt[1:] > pt[:-1]
    # Between two events the pt may rise.
    first_rows = offsets[1:-1]
    first_rows = first_rows[(first_rows > 0) & (first_rows < len(pt))]
    rising[first_rows - 1] = False
    if rising.any():
        rule = (
            "the jets of an event must be ordered by falling pt; sort them (sort=True of "
            "from_columns and with_columns does), unless two events share this number: "
            "sorting would merge them, so number the events anew"
        )
        _refuse("pt", np.r_[False, rising], columns, offsets, source, rule)


def check_unique_events(event: IntArray, source: str) -> None:
    """Refuse two events of one number.

    Raises:
        DataError: The message names the number and the positions of both events.
    """
    # Most samples are numbered in rising order, where no search is needed.
    if np.all(event[1:] > event[:-1]):
        return
    order = np.argsort(event, kind="stable")
    again = np.flatnonzero(event[order][1:] == event[order][:-1])
    if len(again):
        first = int(order[again[0]])
        second = int(order[again[0] + 1])
        msg = (
            f"{source}: the events at positions {first} and {second} share the number "
            f"{event[first]} ({len(again)} such pairs): each event needs a number of its own. "
            "Number them anew: with_columns(event=numpy.arange(n_events)), say."
        )
        raise DataError(msg)


def check_rows_of_events(columns: Mapping[str, AnyArray], starts: IntArray, source: str) -> None:
    """Refuse rows of an event that stand apart, or that differ in its weight.

    Rows out of order are told apart from two events of one number, since sorting helps the first
    and merges the second: there, each group of rows falls in pt and begins anew with a hard jet.

    Args:
        columns: Columns with one value per row, ``event`` and ``weight`` too.
        starts: Rows at which another event number begins.
        source: What the error messages call the data.

    Raises:
        DataError: The message names the row and what to do.
    """
    event = columns["event"]
    numbers = event[starts]
    if not np.all(numbers[1:] > numbers[:-1]):
        _refuse_rows_apart(columns, starts, source)
    weight = columns["weight"]
    # Only the weight of an event's first row is kept, so all rows are looked at here.
    infinite = ~np.isfinite(weight)
    if infinite.any():
        _refuse_row("weight", infinite, weight, event, source, LIMITS["weight"].rule)
    for name in PER_EVENT:
        if name not in columns:
            continue
        values = columns[name]
        changed = np.r_[False, (event[1:] == event[:-1]) & (values[1:] != values[:-1])]
        if changed.any():
            rule = (
                f"the jets of an event must share its {name.replace('_', ' ')}; if two events "
                "share the number, number them anew"
            )
            _refuse_row(name, changed, values, event, source, rule)


def _refuse_rows_apart(columns: Mapping[str, AnyArray], starts: IntArray, source: str) -> None:
    event = columns["event"]
    numbers = event[starts]
    order = np.argsort(numbers, kind="stable")
    again = np.flatnonzero(numbers[order][1:] == numbers[order][:-1])
    if not len(again):
        return
    earlier = order[again]
    later = order[again + 1]
    pt = columns["pt"]
    ends = np.r_[starts[1:], len(event)] - 1
    rising = (event[1:] == event[:-1]) & (pt[1:] > pt[:-1])
    # Two events: no group of rows is out of order in itself, and most begin anew.
    begins_anew = pt[starts[later]] > pt[ends[earlier]]
    two_events = not rising.any() and np.mean(begins_anew) > 0.75
    bad = np.zeros(len(event), dtype=bool)
    bad[starts[later]] = True
    row = int(np.argmax(bad))
    before = int(starts[earlier[later == np.searchsorted(starts, row)]][0])
    if two_events:
        rule = (
            f"two events share this number, the other begins in row {before}: each falls in pt "
            "by itself, so sorting would merge them. Give each event a number of its own: count "
            "them, or join the run number and the event number into one."
        )
    else:
        rule = (
            f"rows of this event stand in row {before} already; the jets of an event must be "
            "adjacent; sort by event and falling pt, unless two events share a number: "
            "number these anew first, since sorting would merge them"
        )
    _refuse_row("event", bad, event, event, source, rule)


def pt_order(pt: FloatArray, offsets: IntArray) -> IntArray:
    """Return the rows of the jets by falling pt within each event; jets of one pt keep their order.

    Args:
        pt: Transverse momenta, shape (n_jets,) [GeV].
        offsets: Where each event begins, shape (n_events + 1,).

    Returns:
        Positions, shape (n_jets,): ``values[pt_order(pt, offsets)]`` brings a column along.
    """
    event_of_jet = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return np.lexsort((-pt, event_of_jet))


def _within(values: AnyArray, limit: Limit) -> bool:
    """Return whether all values keep a limit; NaN does not, since it passes through min and max."""
    if not values.size:
        return True
    return bool(float(values.min()) >= limit.low and float(values.max()) <= limit.high)


def _refuse_values(
    name: str, limit: Limit, columns: Mapping[str, AnyArray], offsets: IntArray, source: str
) -> NoReturn:
    values = columns[name]
    if values.ndim == 2:
        # True efficiencies, a column for each working point: the first that has a bad one.
        of_points = [values[:, number] for number in range(values.shape[1])]
        values = next(one for one in of_points if not _within(one, limit))
    bad = ~np.isfinite(values)
    rule = "every value must be finite"
    if not bad.any():
        # In float32 the smallest positive number of float64 would be 0.
        exact = values.astype(np.float64)
        bad = ~((exact >= limit.low) & (exact <= limit.high))
        rule = limit.rule
    _refuse(name, bad, {**columns, name: values}, offsets, source, rule)


def _refuse(
    name: str,
    bad: BoolArray,
    columns: Mapping[str, AnyArray],
    offsets: IntArray,
    source: str,
    rule: str,
) -> NoReturn:
    """Raise a DataError that names the first bad value of a column per jet or per event."""
    multiplicity = np.diff(offsets)
    event = np.repeat(columns["event"], multiplicity)
    values = columns[name]
    if name in PER_EVENT and len(offsets) - 1 == len(values):
        place = int(np.argmax(bad))
        if multiplicity[place] == 0:
            msg = f"{source}: column {name!r} is {values[place]} of event {place}: {rule}"
            raise DataError(msg)
        bad = np.repeat(bad, multiplicity)
        values = np.repeat(values, multiplicity)
    _refuse_row(name, bad, values, event, source, rule)


def _refuse_row(
    name: str, bad: BoolArray, values: AnyArray, event: IntArray, source: str, rule: str
) -> NoReturn:
    row = int(np.argmax(bad))
    msg = (
        f"{source}: column {name!r} is {values[row]} in row {row} (event {event[row]}), "
        f"{int(bad.sum())} such rows: {rule}"
    )
    raise DataError(msg)
