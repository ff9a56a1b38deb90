"""Some events as a file holds them: formulas evaluated, every number checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import numpy as np

from truthtag.arrays import AnyArray, BoolArray, FloatArray, IntArray
from truthtag.data.labels import Labels
from truthtag.data.readers.column import Column
from truthtag.data.readers.formula import Formula
from truthtag.data.readers.names import Branch
from truthtag.data.readers.options import ReaderOptions, Take
from truthtag.data.readers.plan import Plan
from truthtag.data.readers.selection import followed, within
from truthtag.data.readers.source import Block, Source
from truthtag.data.validation import Limit
from truthtag.errors import DataError

__all__ = ["ENTRY_BITS", "Context", "RawEvents"]

ENTRY_BITS = 32
"""Bits of our own number of an event that hold its place in the file; the others hold the file."""

MOST_GEV = 1000.0
"""Median transverse momentum above which momenta are thought to be in MeV [GeV]."""

LEAST_GEV = 1.0
"""Median transverse momentum below which momenta are thought to be in GeV where MeV is said."""

MEV_PER_GEV = 1000.0


@dataclass(frozen=True)
class Context:
    """What is the same for all events of a file.

    Args:
        source: The file.
        options: Where things are in it, and what counts.
        labels: What the sample knows.
        plan: What is read.
        weight: Factor of the weights.
        take: Which share of the events; None for all.
        file: Number of the file.
    """

    source: Source
    options: ReaderOptions
    labels: Labels
    plan: Plan
    weight: float
    take: Take | None
    file: int

    @property
    def shown(self) -> str:
        """What the error messages call the file."""
        return self.source.shown

    @property
    def unit(self) -> str:
        """Unit of momenta and masses in the file."""
        return self.options.unit or self.options.layout.unit


class RawEvents:
    """Consecutive events of a file, before anything is selected.

    Args:
        context: What is the same for all events of the file.
        block: Their branches.

    Raises:
        DataError: The transverse momentum is no list, or a link leads nowhere sensible.
    """

    def __init__(self, context: Context, block: Block) -> None:
        self.context = context
        self.first_entry = block.first_entry
        self.columns = {
            name: self._branch(branch, block) for name, branch in context.plan.branches.items()
        }
        pt = self._evaluated(context.plan.formulas["pt"])
        if pt.offsets is None:
            msg = (
                f"{context.shown}: {self.what('pt')} has one value per event; a list with one for "
                "each jet is wanted. State the branch of the jets under 'columns'."
            )
            raise DataError(msg)
        self.offsets = pt.offsets
        self.counts = pt.counts()

    @property
    def n_events(self) -> int:
        """Number of events."""
        return len(self.counts)

    @property
    def n_jets(self) -> int:
        """Number of jets."""
        return int(self.offsets[-1])

    @cached_property
    def entries(self) -> IntArray:
        """Numbers of the events in the file, shape (n_events,)."""
        return np.arange(self.first_entry, self.first_entry + self.n_events)

    @cached_property
    def own_numbers(self) -> IntArray:
        """Numbers of the events that no event of another file has, shape (n_events,)."""
        return (self.context.file << ENTRY_BITS) | self.entries

    @cached_property
    def event_numbers(self) -> IntArray:
        """The experiment's numbers of the events, or those in the file, shape (n_events,)."""
        if "event_number" not in self.context.plan.formulas:
            return self.entries
        return self.numbers("event_number")

    def _branch(self, branch: Branch, block: Block) -> Column:
        """Return a branch, brought to the jets where a link leads from them to it."""
        column = block.columns[branch.key]
        if branch.link is None:
            return column
        index, key = (block.columns[name] for name in branch.link)
        return followed(column, index, key, branch, self.context.shown, block.first_entry)

    def _evaluated(self, formula: Formula) -> Column:
        return formula.evaluate(self.columns, self.context.shown, self.first_entry)

    def what(self, name: str) -> str:
        """Say which branch holds a column, for an error."""
        plan = self.context.plan
        formula = plan.formulas.get(name) or plan.inputs[name]
        return name if formula.text == name else f"{name} ({formula.text})"

    def per_event(self, formula: Formula, what: str) -> AnyArray:
        """Return a value for each event, shape (n_events,).

        Args:
            formula: What gives it.
            what: What the error message calls it.

        Raises:
            DataError: It is a list in each event.
        """
        if not formula.branches:
            return np.full(self.n_events, self._constant(formula))
        return self.context.source.event_values(self._evaluated(formula), what, self.first_entry)

    def _constant(self, formula: Formula) -> float:
        nothing = {"": Column(np.zeros(1))}
        return float(formula.evaluate(nothing, self.context.shown, self.first_entry).values[0])

    def per_jet(self, formula: Formula, what: str) -> AnyArray:
        """Return a value for each jet, shape (n_jets,); one per event is repeated.

        Args:
            formula: What gives it.
            what: What the error message calls it.

        Raises:
            DataError: Its lists are not as long as those of the transverse momentum.
        """
        if not formula.branches:
            return np.full(self.n_jets, self._constant(formula))
        column = self._evaluated(formula)
        if column.offsets is None:
            return np.repeat(column.values, self.counts)
        if column.offsets is self.offsets:
            return column.values
        counts = column.counts()
        differs = counts != self.counts
        if differs.any():
            event = int(np.argmax(differs))
            msg = (
                f"{self.context.shown}: {what} has {counts[event]} values in entry "
                f"{self.first_entry + event}, where {self.what('pt')} has {self.counts[event]} "
                f"({int(differs.sum())} such events): it is no branch of these jets, or one of the "
                "two was filtered alone"
            )
            raise DataError(msg)
        return column.values

    def in_ranges(self, ranges: Sequence[tuple[Formula, Any]], *, per_jet: bool) -> BoolArray:
        """Return which jets, or events, are in all of some ranges, ends included."""
        inside = np.ones(self.n_jets if per_jet else self.n_events, dtype=bool)
        for formula, ends in ranges:
            values = (self.per_jet if per_jet else self.per_event)(formula, formula.text)
            inside &= within(values, ends)
        return inside

    @cached_property
    def kinematics(self) -> dict[str, FloatArray]:
        """Momenta, angles and masses of all jets, all finite [GeV], in the file's precision."""
        found = {}
        for name in ("pt", "eta", "phi", "mass"):
            values = self.per_jet(self.context.plan.formulas[name], self.what(name))
            if values.dtype.kind != "f":
                values = values.astype(np.float64)
            finite = np.isfinite(values)
            if not finite.all():
                rule = "every value must be finite; mend the file"
                self.refuse_jet(self.what(name), ~finite, values, rule)
            if name in ("pt", "mass") and self.context.unit == "MeV":
                values = values / values.dtype.type(MEV_PER_GEV)
            found[name] = values
        return found

    @cached_property
    def weights(self) -> FloatArray:
        """Weights of the events, times that of the group, shape (n_events,)."""
        what = self.what("weight")
        values = self.per_event(self.context.plan.formulas["weight"], what).astype(np.float64)
        finite = np.isfinite(values)
        if not finite.all():
            event = int(np.argmin(finite))
            msg = (
                f"{self.context.shown}: {what} is {values[event]} in entry "
                f"{self.first_entry + event} ({int((~finite).sum())} such events): every value "
                "must be finite; mend the file"
            )
            raise DataError(msg)
        return values * self.context.weight

    def numbers(self, name: str) -> IntArray:
        """Return a column of integers per event, shape (n_events,); 0 where the file has none.

        Integers beyond int64 keep their bits.

        Raises:
            DataError: The file holds other values.
        """
        formula = self.context.plan.formulas.get(name)
        if formula is None:
            return np.zeros(self.n_events, dtype=np.int64)
        values = self.per_event(formula, self.what(name))
        if values.dtype.kind not in "iu":
            msg = (
                f"{self.context.shown}: {self.what(name)} holds {values.dtype} values; integers "
                "are wanted, since floating numbers of two events can be one after rounding"
            )
            raise DataError(msg)
        return values.astype(np.int64)

    def integers(self, values: AnyArray, what: str, rows: IntArray) -> IntArray:
        """Return integers, which a file can hold as floating numbers.

        Args:
            values: Of some jets, shape (n,).
            what: What the error message calls them.
            rows: Which jets, shape (n,).

        Raises:
            DataError: A value is no integer.
        """
        if values.dtype.kind != "f":
            return values.astype(np.int64)
        with np.errstate(invalid="ignore"):
            whole = values.astype(np.int64)
        wrong = whole != values
        if wrong.any():
            self.refuse_jet(what, wrong, values, "it must be an integer", rows)
        return whole

    def require_within(self, values: AnyArray, what: str, limit: Limit, rows: IntArray) -> None:
        """Refuse values of some jets that a column may not have.

        Arguments are those of :meth:`integers`, and the limit.
        """
        if not len(values) or (values.min() >= limit.low and values.max() <= limit.high):
            return
        bad = ~((values >= limit.low) & (values <= limit.high))
        self.refuse_jet(what, bad, values, limit.rule, rows)

    def refuse_jet(
        self,
        what: str,
        bad: BoolArray,
        values: AnyArray,
        rule: str,
        rows: IntArray | None = None,
    ) -> NoReturn:
        """Raise an error that names the first bad jet.

        Args:
            what: The branch.
            bad: Which values are bad, shape (n,).
            values: The values, shape (n,).
            rule: What is allowed, and what to do.
            rows: Which jets they are, shape (n,); all by default.
        """
        first = int(np.argmax(bad))
        row = first if rows is None else int(rows[first])
        event = int(np.searchsorted(self.offsets, row, side="right")) - 1
        msg = (
            f"{self.context.shown}: {what} is {values[first]} in entry {self.first_entry + event}, "
            f"jet {row - self.offsets[event]} ({int(bad.sum())} such jets): {rule}"
        )
        raise DataError(msg)

    def require_unit(self) -> None:
        """Refuse momenta that are in another unit, by their median.

        Raises:
            DataError: They are thought to be.
        """
        median = float(np.median(self.kinematics["pt"]))
        unit = self.context.unit
        too_much = unit == "GeV" and median > MOST_GEV
        too_little = unit == "MeV" and median < LEAST_GEV
        if too_much or too_little:
            other = "MeV" if too_much else "GeV"
            msg = (
                f"{self.context.shown}: the median of {self.what('pt')} is {median:.3g} GeV, if it "
                f"is in {unit}; is it in {other}? Then state unit: {other}; if not, state "
                "check_unit: false."
            )
            raise DataError(msg)
