"""Which jets and events count, in what order, and where a link leads: on plain arrays."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from truthtag.arrays import AnyArray, BoolArray, FloatArray, IntArray
from truthtag.data.readers.column import Column
from truthtag.data.readers.names import Branch
from truthtag.errors import DataError

__all__ = ["followed", "n_repeated", "order_by_falling_pt", "strictly_between", "within"]


def within(values: AnyArray, ends: tuple[float | None, ...]) -> BoolArray:
    """Return which values are in a range, ends included."""
    low, high = ends
    inside = np.isfinite(values)
    if low is not None:
        inside &= values >= low
    if high is not None:
        inside &= values <= high
    return inside


def strictly_between(values: AnyArray, ends: tuple[float | None, ...]) -> BoolArray:
    """Return which values are strictly between two ends."""
    low, high = ends
    inside = np.ones(len(values), dtype=bool)
    if low is not None:
        inside &= values > low
    if high is not None:
        inside &= values < high
    return inside


def order_by_falling_pt(pt: FloatArray, counts: IntArray) -> IntArray | slice:
    """Return the order of jets by falling pt within each event; all of them where that is theirs.

    Only jets of events that are out of order are sorted.

    Args:
        pt: Transverse momenta, event by event, shape (n_jets,).
        counts: How many jets each event has, shape (n_events,).
    """
    rises = pt[1:] > pt[:-1]
    event = np.repeat(np.arange(len(counts)), counts)
    rises &= event[1:] == event[:-1]
    if not rises.any():
        return slice(None)
    unsorted = np.zeros(len(counts), dtype=bool)
    unsorted[event[1:][rises]] = True
    some = np.flatnonzero(unsorted[event])
    order = np.arange(len(pt))
    order[some] = some[np.lexsort((-pt[some], event[some]))]
    return order


def followed(
    column: Column, index: Column, key: Column, branch: Branch, shown: str, first_entry: int
) -> Column:
    """Bring a branch to the jets, by the link that each jet has.

    Args:
        column: The branch, a list per event.
        index: Where in that list each jet is, a list per event.
        key: Which container each link leads to; 0 where it leads nowhere.
        branch: Its names, for the error.
        shown: What the error messages call the file.
        first_entry: Number of the first event in the file.

    Returns:
        A list per event with one value for each jet; NaN where the link leads nowhere.
    """
    containers = np.unique(key.values[key.values != 0])
    if column.offsets is None or index.offsets is None or len(containers) > 1:
        msg = (
            f"{shown}: branch {branch.name!r} cannot be brought to the jets: their links lead to "
            f"{len(containers)} containers from entry {first_entry} on, where one is wanted. State "
            "a discriminant whose branches are those of the jets."
        )
        raise DataError(msg)
    counts = index.counts()
    place = index.values.astype(np.int64)
    leads = (key.values != 0) & (place < np.repeat(column.counts(), counts))
    rows = np.repeat(column.offsets[:-1], counts) + place
    if leads.all():
        return Column(column.values[rows], index.offsets)
    values = np.full(len(rows), np.nan)
    values[leads] = column.values[rows[leads]]
    return Column(values, index.offsets)


def n_repeated(table: pa.Table) -> int:
    """Count events whose run, luminosity block and number stand in an earlier row, too."""
    numbers = [table[name].to_numpy() for name in ("event_number", "luminosity_block", "run")]
    if np.all(numbers[0][1:] > numbers[0][:-1]):
        return 0
    order = np.lexsort(numbers)
    same = np.ones(max(len(order) - 1, 0), dtype=bool)
    for values in numbers:
        ordered = values[order]
        same &= ordered[1:] == ordered[:-1]
    return int(same.sum())
