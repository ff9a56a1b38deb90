"""Events of a file of any format, as checked jets and a table of events, some at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from truthtag.data.folds import file_number
from truthtag.data.labels import Labels
from truthtag.data.readers.counts import Counts, total
from truthtag.data.readers.events import ReadChunk, read_chunk
from truthtag.data.readers.names import Names
from truthtag.data.readers.opening import open_source
from truthtag.data.readers.options import Input, ReaderOptions, Take
from truthtag.data.readers.plan import make_plan
from truthtag.data.readers.raw_events import Context, RawEvents
from truthtag.errors import DataError

__all__ = ["read_events"]

FEW_JETS = 20
"""Fewest jets of a file of which it is odd that none was scored."""


def read_events(
    path: str | Path,
    options: ReaderOptions,
    labels: Labels,
    working_points: Mapping[str, float],
    inputs: Mapping[str, Input],
    weight: float = 1.0,
    take: Take | None = None,
    *,
    tags: bool = True,
) -> Iterator[ReadChunk]:
    """Read a file, checked, a bounded number of events at a time.

    Selection: a jet counts where pt and abs(eta) are strictly between the ends of their ranges, and
    each further branch is in its range, ends included; a value that is not finite is in no range.
    Numbers are compared in the precision of the branch. Jets are then sorted by falling pt, jets of
    one pt in the order of the file, and those beyond ``max_jets`` dropped: they are counted, and
    are no neighbours of the others.

    Tags: a jet passes a working point where its discriminant is above the threshold. Where the
    discriminant is not finite or outside its valid range, the jet was not scored: it stays, passes
    no point, has the score NaN, and is counted.

    Numbers of run, luminosity block and event may repeat, as when a file was made from two: each
    event has a number of its own, and events of one number are in one fold or share. Repetitions
    within a reading step are counted.

    Args:
        path: A local file, or an address that uproot can read.
        options: Where things are in the file, and which jets and events count.
        labels: Flavours, working points and categories that the sample knows.
        working_points: Thresholds of the discriminant by name, the loosest first.
        inputs: Further columns by name, each a branch with one value per jet, or per event, which
            is repeated for its jets.
        weight: Factor of the group, by which the weights of the events are multiplied.
        take: Which share of the events; all by default.
        tags: Whether to read tags and scores, which whoever only weights events does not need.

    Yields:
        The events in the order of the file; one chunk without events where the file has none.

    Raises:
        DataError: The file is missing, damaged or of another format, or lacks a branch; lists of an
            event differ in length; a flavour is unknown; a number is not finite or not possible;
            the unit is another; no jet was scored.
        ConfigError: The options contradict the labels or themselves, or a package is missing.
    """
    parts = []
    with open_source(path, options) as source:
        names = Names(source.keys, options.layout, source.shown)
        plan = make_plan(names, options, labels, working_points, inputs, tags=tags)
        context = Context(source, options, labels, plan, weight, take, file_number(str(path)))
        unit_is_checked = not options.check_unit
        for block in source.blocks(plan.keys, options.step_events):
            raw = RawEvents(context, block)
            if not unit_is_checked and raw.n_jets:
                raw.require_unit()
                unit_is_checked = True
            chunk = read_chunk(raw)
            # Few numbers, and what is said of the whole file at its end.
            parts.append(chunk.counts)
            parts = [total(parts)]
            yield chunk
        _require_scores(parts[0], context)


def _require_scores(counts: Counts, context: Context) -> None:
    """Refuse a file none of whose jets was scored."""
    if "discriminant" not in context.plan.formulas:
        return
    if counts.jets < FEW_JETS or counts.unscored < counts.jets:
        return
    low, high = context.plan.valid or (None, None)
    text = context.plan.formulas["discriminant"].text
    allowed = "finite"
    if context.plan.valid:
        allowed = f"in [{'' if low is None else low}, {'' if high is None else high}]"
    msg = (
        f"{context.shown}: none of the {counts.jets} selected jets was scored: the discriminant "
        f"{text} is nowhere {allowed}. State another 'discriminant', or the range 'valid' of this "
        "one."
    )
    raise DataError(msg)
