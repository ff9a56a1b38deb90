"""Some events, selected, sorted, tagged and counted: jets of the sample and a table of events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from truthtag.arrays import AnyArray, BoolArray, FloatArray, IntArray
from truthtag.data.folds import fold_of
from truthtag.data.jets import Jets
from truthtag.data.kinematics import wrap_angle_float32
from truthtag.data.readers.counts import Counts, count_jets
from truthtag.data.readers.entries import Entries, entries_of
from truthtag.data.readers.raw_events import Context, RawEvents
from truthtag.data.readers.selection import (
    n_repeated,
    order_by_falling_pt,
    strictly_between,
    within,
)
from truthtag.data.validation import LIMITS, Limit
from truthtag.errors import DataError

__all__ = ["EVENT_COLUMNS", "ReadChunk", "read_chunk"]

EVENT_COLUMNS: dict[str, Any] = {
    "event": np.int64,
    "file": np.int32,
    "entry": np.int64,
    "run": np.int64,
    "luminosity_block": np.int64,
    "event_number": np.int64,
    "weight": np.float64,
    "n_jets": np.int32,
    "n_jets_in_file": np.int32,
}
"""Columns of the table of events, and their types.

``event`` is our own number, ``(file << 32) | entry``; ``file`` is the number of the file
(:func:`truthtag.data.folds.file_number`), ``entry`` that of the event in it, counted from 0.
``run``, ``luminosity_block`` and ``event_number`` are the experiment's; where a file has none, the
first two are 0, and the event number is the entry. ``weight`` holds the factor of the group.
``n_jets`` counts the jets that are in the sample, ``n_jets_in_file`` all of the event in the file.
"""


@dataclass(frozen=True)
class ReadChunk:
    """Some consecutive events of a file.

    Args:
        jets: The events that have selected jets: by falling transverse momentum, ``position`` the
            place of a jet in its event in the file, ``score`` NaN where it was not scored.
        events: A row per event of the sample, also those without jets; columns
            :data:`EVENT_COLUMNS`.
        counts: What happened to events and jets.
        entries: All events that were read, also those that are not in the sample.
    """

    jets: Jets
    events: pa.Table
    counts: Counts
    entries: Entries


def read_chunk(raw: RawEvents) -> ReadChunk:
    """Select, sort, tag, check and count some events.

    Args:
        raw: The events, as the file holds them.

    Raises:
        DataError: A flavour is unknown, or a number is not finite or not possible.
    """
    is_taken = _is_taken(raw)
    is_event = is_taken & raw.in_ranges(raw.context.plan.events, per_jet=False)
    selection = _select(raw, is_event)
    jets = _Jets(raw, selection)
    entries = entries_of(raw)
    table = _table(raw, entries, is_event, selection.counts)
    weight = table["weight"].to_numpy()
    n_jets_in_file = int(raw.counts[is_event].sum())
    counts = Counts(
        entries=raw.n_events,
        events_not_taken=int((~is_taken).sum()),
        events_rejected=int(is_taken.sum() - is_event.sum()),
        events=table.num_rows,
        events_without_jets=int((selection.counts[is_event] == 0).sum()),
        events_repeated=n_repeated(table),
        negative_weights=int((weight < 0).sum()),
        sum_of_weights=float(weight.sum()),
        sum_of_squared_weights=float((weight**2).sum()),
        jets=len(selection.rows),
        jets_rejected=n_jets_in_file - len(selection.rows) - selection.n_beyond,
        jets_beyond_max=selection.n_beyond,
        merged=jets.merged,
        points=raw.context.labels.points,
        by_region=jets.counted(),
    )
    return ReadChunk(jets.checked(), table, counts, entries)


def _is_taken(raw: RawEvents) -> BoolArray:
    """Return which events belong to the share of the sample, shape (n_events,)."""
    take = raw.context.take
    if take is None:
        return np.ones(raw.n_events, dtype=bool)
    return np.isin(fold_of(raw.event_numbers, take.of, take.by), take.remainders)


@dataclass(frozen=True)
class _Selection:
    """Which jets count.

    Args:
        rows: The jets, event by event by falling transverse momentum, shape (n,).
        counts: How many each event has, shape (n_events,).
        n_beyond: Jets that were left out since their events have too many.
    """

    rows: IntArray
    counts: IntArray
    n_beyond: int


def _select(raw: RawEvents, is_event: BoolArray) -> _Selection:
    """Select jets and sort them.

    Args:
        raw: The events.
        is_event: Which of them count, shape (n_events,).
    """
    options = raw.context.options
    pt = raw.kinematics["pt"]
    keep = raw.in_ranges(raw.context.plan.jets, per_jet=True)
    keep &= strictly_between(pt, options.pt)
    keep &= strictly_between(np.abs(raw.kinematics["eta"]), options.abs_eta)
    if not is_event.all():
        keep &= np.repeat(is_event, raw.counts)
    rows = np.flatnonzero(keep)
    counts = np.diff(np.r_[0, np.cumsum(keep)][raw.offsets])
    rows = rows[order_by_falling_pt(pt[rows], counts)]
    most = options.max_jets
    if most is None or counts.max(initial=0) <= most:
        return _Selection(rows, counts, 0)
    rank = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = rows[rank < most]
    return _Selection(kept, np.minimum(counts, most), len(rows) - len(kept))


def _table(raw: RawEvents, entries: Entries, is_event: BoolArray, counts: IntArray) -> pa.Table:
    """Return the table of the events that count.

    Args:
        raw: The events.
        entries: Which they are.
        is_event: Which of them count, shape (n_events,).
        counts: Number of selected jets of each, shape (n_events,).
    """
    values: dict[str, AnyArray] = {
        "event": raw.own_numbers,
        "file": np.full(raw.n_events, raw.context.file),
        "entry": raw.entries,
        "run": entries.run,
        "luminosity_block": entries.luminosity_block,
        "event_number": entries.event_number,
        "weight": raw.weights,
        "n_jets": counts,
        "n_jets_in_file": raw.counts,
    }
    columns = {}
    for name, kind in EVENT_COLUMNS.items():
        columns[name] = values[name][is_event].astype(kind)
    return pa.table(columns)


class _Jets:
    """The selected jets of some events.

    Args:
        raw: The events.
        selection: Which jets count.
    """

    def __init__(self, raw: RawEvents, selection: _Selection) -> None:
        self.raw = raw
        self.rows = selection.rows
        self.n_of_event = selection.counts
        self.labels = raw.context.labels
        self.merged: dict[str, int] = {}
        columns = self._kinematics()
        columns["flavour"] = self._flavours()
        columns |= self._tags()
        columns |= self._truth()
        self.columns = columns

    @cached_property
    def _context(self) -> Context:
        return self.raw.context

    def checked(self) -> Jets:
        """Return the events that have jets, every rule of jets checked."""
        filled = np.flatnonzero(self.n_of_event)
        return Jets(
            event=self.raw.own_numbers[filled],
            offsets=np.r_[0, np.cumsum(self.n_of_event[filled])],
            weight=self.raw.weights[filled],
            event_number=self.raw.event_numbers[filled],
            position=self.rows - np.repeat(self.raw.offsets[:-1], self.n_of_event),
            further=self._further(),
            labels=self.labels,
            **self.columns,
        )

    def counted(self) -> Any:
        """Return the jets by flavour and region."""
        columns = self.columns
        score = columns.get("score")
        passes = columns.get("tag_bin", columns.get("is_tagged"))
        none = np.zeros(len(self.rows), dtype=bool)
        return count_jets(
            self._context.options.layout,
            columns["flavour"],
            np.abs(columns["eta"]),
            columns["pt"],
            none if score is None else np.isnan(score),
            (none if passes is None else passes).astype(np.int64),
            self.labels.n_points,
        )

    def _kinematics(self) -> dict[str, AnyArray]:
        """Return momenta, angles and masses in single precision, all possible."""
        stored: dict[str, AnyArray] = {}
        for name, values in self.raw.kinematics.items():
            chosen = values[self.rows].astype(np.float32)
            if name == "phi":
                chosen = self._wrapped(chosen)
            self.raw.require_within(chosen, self.raw.what(name), LIMITS[name], self.rows)
            stored[name] = chosen
        return stored

    def _wrapped(self, phi: FloatArray) -> FloatArray:
        """Bring angles of [0, 2 pi) to [-pi, pi)."""
        size = np.abs(phi)
        if not len(phi) or size.max() <= np.float32(np.pi):
            return phi
        far = size > 2 * np.pi * (1 + 1e-6)
        if far.any():
            rule = "it must be an angle in rad, in [-pi, pi) or [0, 2 pi); is it in degrees?"
            self.raw.refuse_jet(self.raw.what("phi"), far, phi, rule, self.rows)
        return wrap_angle_float32(phi)

    def _values(self, name: str) -> AnyArray:
        """Return a column of the plan for the selected jets."""
        plan = self._context.plan
        formula = plan.formulas.get(name) or plan.inputs[name]
        return self.raw.per_jet(formula, self.raw.what(name))[self.rows]

    def _flavours(self) -> IntArray:
        """Return the flavours, merged, and note how many were merged."""
        what = self.raw.what("flavour")
        values = self.raw.integers(self._values("flavour"), what, self.rows)
        flavour = values.copy()
        for old, new in self._context.options.merge_flavours.items():
            is_old = values == old
            count = int(is_old.sum())
            if count:
                flavour[is_old] = new
                self.merged[f"{old} to {new}"] = count
        known = self.labels.flavours
        if known:
            is_known = np.isin(flavour, known)
            if not is_known.all():
                self._refuse_flavours(flavour[~is_known], known)
        return flavour

    def _refuse_flavours(self, strange: IntArray, known: Sequence[int]) -> None:
        found, counts = np.unique(strange, return_counts=True)
        listed = [f"{one} ({count} jets)" for one, count in zip(found, counts, strict=True)]
        first = self.raw.first_entry
        msg = (
            f"{self._context.shown}: {self.raw.what('flavour')} is {', '.join(listed)} in entries "
            f"{first} to {first + self.raw.n_events - 1}, and the flavours of the config are "
            f"{', '.join(map(str, known))}. Count it as one of them with merge_flavours: "
            f"{{{found[0]}: {known[0]}}}, say, or add it to 'flavours'."
        )
        raise DataError(msg)

    def _tags(self) -> dict[str, AnyArray]:
        """Return scores and tags."""
        formulas = self._context.plan.formulas
        if "discriminant" in formulas:
            return self._tags_of_scores()
        found: dict[str, AnyArray] = {}
        for name, most in (("is_tagged", 1), ("tag_bin", self.labels.n_points)):
            if name in formulas:
                what = self.raw.what(name)
                values = self.raw.integers(self._values(name), what, self.rows)
                limit = Limit(0, most, f"it must be 0 to {most}")
                self.raw.require_within(values, what, limit, self.rows)
                found[name] = values.astype(bool) if name == "is_tagged" else values
        if "score" in formulas:
            found["score"] = self._values("score").astype(np.float64)
        return found

    def _tags_of_scores(self) -> dict[str, AnyArray]:
        plan = self._context.plan
        values = self._values("discriminant")
        is_scored = np.isfinite(values)
        if plan.valid is not None:
            is_scored &= within(values, plan.valid)
        score = values.astype(np.float64)
        score[~is_scored] = np.nan
        if not plan.thresholds:
            return {"score": score}
        passes = np.zeros(len(self.rows), dtype=np.int8)
        for threshold in plan.thresholds:
            # In the precision of the branch: one that is stored at the threshold is not above it.
            passes += is_scored & (values > threshold)
        if self.labels.n_points > 1:
            return {"score": score, "tag_bin": passes}
        return {"score": score, "is_tagged": passes > 0}

    def _truth(self) -> dict[str, AnyArray]:
        """Return true efficiencies, one for each working point where there are several."""
        limit = Limit(0.0, 1.0, "a true efficiency must lie in [0, 1]")
        truths = []
        for formula in self._context.plan.truths:
            values = self.raw.per_jet(formula, formula.text)[self.rows].astype(np.float64)
            self.raw.require_within(values, formula.text, limit, self.rows)
            truths.append(values)
        if not truths:
            return {}
        return {"efficiency_true": truths[0] if len(truths) == 1 else np.column_stack(truths)}

    def _further(self) -> dict[str, AnyArray]:
        """Return further columns, all finite, categories known."""
        found = {}
        for name in self._context.plan.inputs:
            what = self.raw.what(name)
            values = self._values(name)
            finite = np.isfinite(values)
            if not finite.all():
                rule = "an input must be finite; leave such jets out with a range under 'jets'"
                self.raw.refuse_jet(what, ~finite, values, rule, self.rows)
            known = self.labels.categories.get(name)
            if known is not None:
                values = self.raw.integers(values, what, self.rows)
                strange = ~np.isin(values, known)
                if strange.any():
                    rule = f"the categories of the input are {', '.join(map(str, known))}"
                    self.raw.refuse_jet(what, strange, values, rule, self.rows)
            found[name] = values
        return found
