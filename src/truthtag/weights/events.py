"""Weights of events: hybrid efficiencies, the table of weights, effective numbers of events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from truthtag.arrays import FloatArray, IntArray, probabilities
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.weights.effective import effective_events
from truthtag.weights.tag_counts import TagCounts

__all__ = ["hybrid", "weights_table"]

ORIGIN = ("file", "entry", "run", "luminosity_block", "event_number")
"""Columns of the table of events that say where an event came from."""


def hybrid(jets: Jets, efficiency: FloatArray, keep_tags_of: Iterable[int]) -> FloatArray:
    """Return efficiencies in which jets of some flavours keep their tag: 1 where tagged, else 0.

    What is abundant among the events that pass, b jets say, then is counted, the rest weighted.

    Args:
        jets: Tagged jets, at one working point.
        efficiency: Efficiency of each jet, shape (n_jets,), in [0, 1].
        keep_tags_of: Hadron flavours that keep their tag.

    Raises:
        DataError: The jets have no tags, an efficiency is no probability, there is not one per
            jet, or a flavour is no whole number.
    """
    if jets.is_tagged is None:
        msg = (
            "hybrid tagging keeps the tags of some flavours; "
            "the sample has no column 'is_tagged'. Tag it first."
        )
        raise DataError(msg)
    eff = probabilities(efficiency, jets.n_jets, "efficiency")
    flavours: list[Any] = list(keep_tags_of)
    for flavour in flavours:
        if not isinstance(flavour, int | np.integer):
            msg = f"keep_tags_of holds {flavour!r}; give flavours as whole numbers, 5 for b, say"
            raise DataError(msg)
    kept = np.isin(jets.flavour, flavours)
    return np.where(kept, jets.is_tagged.astype(np.float64), eff)


def weights_table(
    jets: Jets,
    counts: TagCounts | Mapping[str, TagCounts],
    events: pd.DataFrame | None = None,
    factors: Mapping[str, FloatArray] | None = None,
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Put the weights of events in a table.

    Args:
        jets: The events.
        counts: Probabilities of their numbers of tags; where there are several working points, or
            variations of scale factors, by the ending of the names of their columns: the name of
            the point, say.
        events: All events in the order of the file that they were read from, those without jets
            among them: the columns ``event``, ``weight`` and ``n_jets``, and those of
            :data:`ORIGIN` that are known. By default the events of the jets.
        factors: Further columns with a factor for the weight of each event, shape (n_events,), by
            name: ``weight_direct``, say; 1 where an event has no jets.

    Returns:
        A row per event: ``event``, where it came from, the generator's ``weight``, ``p_tag_0``,
        ``p_tag_1``, … (exactly so many tags) and ``p_tag_ge_1``, ``p_tag_ge_2``, … (at least so
        many), with the ending behind each where there are several, then the factors; an event
        without jets has 0 tags for certain. The weight of an event in a selection is ``weight``
        times one of these. And for each of these the number of effective events of that product,
        over all events.

    Raises:
        DataError: The probabilities are those of another number of events, two columns would have
            one name, or the table of events does not belong to the jets.
    """
    by_ending = {"": counts} if isinstance(counts, TagCounts) else dict(counts)
    rows = None if events is None else _rows_of_jets(events, jets)
    columns: dict[str, FloatArray] = {}
    for ending, of_ending in by_ending.items():
        suffix = f"_{ending}" if ending else ""
        for name, values in _selections(of_ending).items():
            without = 1.0 if name == "p_tag_0" else 0.0
            _add(columns, name + suffix, values, without, rows, jets)
    for name, values in (factors or {}).items():
        _add(columns, name, values, 1.0, rows, jets)
    origin: dict[str, Any] = {"event": jets.event}
    weight: FloatArray = jets.weight
    if events is not None:
        weight = events["weight"].to_numpy()
        origin = {name: events[name] for name in ("event", *ORIGIN) if name in events}
    effective = {name: effective_events(weight * values) for name, values in columns.items()}
    return pd.DataFrame({**origin, "weight": weight, **columns}), effective


def _selections(counts: TagCounts) -> dict[str, FloatArray]:
    """Return the probability of each selection, exactly and at least so many tags, by its name."""
    max_tags = counts.exactly.shape[1] - 1
    columns = {f"p_tag_{k}": counts.exactly[:, k] for k in range(max_tags + 1)}
    columns |= {f"p_tag_ge_{k}": counts.at_least[:, k] for k in range(1, max_tags + 1)}
    return columns


def _rows_of_jets(events: pd.DataFrame, jets: Jets) -> IntArray:
    """Return the place of each event of a table among those of the jets; -1 where it has none."""
    for name in ("event", "weight", "n_jets"):
        if name not in events:
            listed = ", ".join(map(str, events.columns)) or "no columns"
            msg = f"the table of events: column {name!r} is missing; it has {listed}"
            raise DataError(msg)
    numbers = events["event"].to_numpy()
    if len(np.unique(numbers)) < len(numbers):
        msg = "the table of events: an event stands in it twice; each needs a row of its own"
        raise DataError(msg)
    rows = pd.Index(jets.event).get_indexer(pd.Index(numbers))
    there = np.where(rows >= 0, jets.multiplicity[rows], 0) if jets.n_events else 0 * numbers
    differs = events["n_jets"].to_numpy() != there
    if differs.any():
        row = int(np.argmax(differs))
        msg = (
            f"the table of events: event {numbers[row]} has {events['n_jets'].iloc[row]} jets "
            f"there, the sample has {there[row]} of them ({int(differs.sum())} such events). "
            "Give the table that was written with the sample."
        )
        raise DataError(msg)
    missing = ~np.isin(jets.event, numbers)
    if missing.any():
        msg = (
            f"the table of events lacks event {jets.event[missing][0]}, which has jets "
            f"({int(missing.sum())} such events). Give the table that was written with the sample."
        )
        raise DataError(msg)
    return rows


def _add(
    columns: dict[str, FloatArray],
    name: str,
    values: FloatArray,
    without: float,
    rows: IntArray | None,
    jets: Jets,
) -> None:
    """Add a column, in the order of the table of events where there is one.

    Args:
        columns: The columns so far.
        name: Its name.
        values: One per event that has jets.
        without: Its value for events without jets.
        rows: Place of each event of the table among those of the jets; None without a table.
        jets: The events.
    """
    if len(values) != jets.n_events:
        msg = f"the probabilities are of {len(values)} events, the jets of {jets.n_events}"
        raise DataError(msg)
    if name in columns:
        msg = (
            f"two columns of weights would be called {name!r}: names of working points and of "
            "systematics run together. Give the working point another name."
        )
        raise DataError(msg)
    columns[name] = values if rows is None else _spread(values, without, rows)


def _spread(values: FloatArray, without: float, rows: IntArray) -> FloatArray:
    """Bring values into the order of a table; events without jets have one of their own."""
    if not len(values):
        return np.full(len(rows), without)
    return np.where(rows >= 0, values[rows], without)
