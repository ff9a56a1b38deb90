"""What samples hold: events, weights, jets of each flavour, how many of them are tagged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from truthtag.arrays import AnyArray, BoolArray, FloatArray, divide
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.weights.effective import EffectiveEvents

__all__ = ["ALL", "SampleSums", "sample_table"]

ALL = "all"
"""What the row of all flavours is called."""


def sample_table(
    jets: Jets,
    flavours: Mapping[str, int],
    events: pd.DataFrame | None = None,
    counts: Iterable[Mapping[str, Any]] = (),
    eta: float = 2.5,
) -> pd.DataFrame:
    """Describe a sample, all of it and by flavour.

    Args:
        jets: The sample.
        flavours: Numbers of the hadron flavours, by name.
        events: All events of it, those without jets among them: a table with the columns
            ``weight`` and ``n_jets``. By default the events of the jets.
        counts: Jets that were counted when the sample was read, in rows with ``flavour``,
            ``abs_eta`` (a region: "below 2.5", "1 to 2", "from 2.5") and ``unscored``. By default
            those jets of the sample are counted that have no score.
        eta: Absolute pseudorapidity inside which taggers score jets.

    Returns:
        A row for all flavours, called ``all``, and one per flavour: ``n_events``, of a flavour
        those with such a jet; ``events_without_jets``, in the first row; ``sum_of_weights`` and
        ``effective_events`` of them, and ``negative_weights``, the share of weights below 0;
        ``jets``; ``unscored_inside`` and ``unscored_outside`` of ``eta``, missing where nobody
        counted; ``tagged_fraction``, where every jet counts once, and ``weighted_fraction``, where
        it counts with the weight of its event. Of several working points these two are there for
        each, with its name behind; without tags they are not.

    Raises:
        DataError: The table of events lacks a column.
    """
    sums = SampleSums(flavours, eta)
    sums.add(jets)
    if events is not None:
        sums.add_events(events)
    return sums.table(counts)


class SampleSums:
    """The table of :func:`sample_table`, of a sample that is given block by block.

    Args:
        flavours: Numbers of the hadron flavours, by name.
        eta: Absolute pseudorapidity inside which taggers score jets.
    """

    def __init__(self, flavours: Mapping[str, int], eta: float = 2.5) -> None:
        self.flavours = flavours
        self.eta = eta
        self._rows = {name: _Row() for name in (ALL, *flavours)}
        self._of_jets = _EventSums()
        self._of_table: _EventSums | None = None

    def add(self, jets: Jets) -> None:
        """Add events that have jets."""
        self._of_jets.add(jets.weight, jets.multiplicity)
        for name, row in self._rows.items():
            inside = np.ones(jets.n_jets, dtype=bool)
            if name != ALL:
                inside = np.asarray(jets.flavour == self.flavours[name])
            row.add(jets, inside, self.eta)

    def add_events(self, events: pd.DataFrame) -> None:
        """Add rows of the table of all events, if there is one.

        Raises:
            DataError: It lacks a column.
        """
        for name in ("weight", "n_jets"):
            if name not in events:
                listed = ", ".join(map(str, events.columns)) or "no columns"
                msg = f"the table of events: column {name!r} is missing; it has {listed}"
                raise DataError(msg)
        self._of_table = self._of_table or _EventSums()
        self._of_table.add(events["weight"].to_numpy(), events["n_jets"].to_numpy())

    def table(self, counts: Iterable[Mapping[str, Any]] = ()) -> pd.DataFrame:
        """Return the table of all events so far.

        Args:
            counts: As in :func:`sample_table`.
        """
        unscored = _counted(counts, self.flavours, self.eta)
        rows = []
        for name, row in self._rows.items():
            events = row.events
            empty = None
            if name == ALL:
                events = self._of_table or self._of_jets
                empty = events.empty
            inside, outside = unscored.get(name, (None, None)) if unscored else row.unscored
            columns = {
                "flavour": name,
                "n_events": events.count,
                "events_without_jets": empty,
                "sum_of_weights": events.effective.sum,
                "effective_events": events.effective.value,
                "negative_weights": float(divide(float(events.negative), float(events.count))),
                "jets": row.n_jets,
                "unscored_inside": inside,
                "unscored_outside": outside,
                **row.fractions(),
            }
            rows.append(columns)
        whole = ("events_without_jets", "unscored_inside", "unscored_outside")
        return pd.DataFrame(rows).astype(dict.fromkeys(whole, "Int64"))


class _EventSums:
    """Sums over events.

    Attributes:
        count: Number of events.
        empty: Of those without jets.
        negative: Of those of a weight below 0.
        effective: Their effective number, and the sum of weights.
    """

    def __init__(self) -> None:
        self.count = 0
        self.empty = 0
        self.negative = 0
        self.effective = EffectiveEvents()

    def add(self, weight: FloatArray, n_jets: AnyArray) -> None:
        """Add events: their weights and numbers of jets."""
        self.count += len(weight)
        self.empty += int((n_jets == 0).sum())
        self.negative += int((weight < 0).sum())
        self.effective.add(weight)


class _Row:
    """Sums over the jets of one row.

    Attributes:
        events: Sums over the events that have such jets.
        n_jets: Number of jets.
        unscored: How many of them have no score, inside and outside; None where scores are not
            known.
    """

    def __init__(self) -> None:
        self.events = _EventSums()
        self.n_jets = 0
        self.unscored: tuple[int | None, int | None] = (None, None)
        self._weight = 0.0
        self._tagged: dict[str, tuple[int, float]] = {}

    def add(self, jets: Jets, inside: BoolArray, eta: float) -> None:
        """Add the jets of a block that belong to the row."""
        events = np.unique(jets.event_of_jet[inside])
        self.events.add(jets.weight[events], jets.multiplicity[events])
        self.n_jets += int(inside.sum())
        if jets.score is not None:
            missing = inside & np.isnan(jets.score)
            within = np.abs(jets.eta) < eta
            before = [number or 0 for number in self.unscored]
            now = [int((missing & within).sum()), int((missing & ~within).sum())]
            self.unscored = (before[0] + now[0], before[1] + now[1])
        if not jets.has_tags:
            return
        weight = jets.per_jet("weight")[inside]
        self._weight += float(weight.sum())
        for point, tagged in enumerate(jets.passes()[inside].T):
            suffix = f"_{jets.labels.points[point]}" if jets.n_points > 1 else ""
            number, sum_of_weights = self._tagged.get(suffix, (0, 0.0))
            number += int(tagged.sum())
            sum_of_weights += float(weight[tagged].sum())
            self._tagged[suffix] = (number, sum_of_weights)

    def fractions(self) -> dict[str, float]:
        """Return the tagged fractions at each working point, without and with weights."""
        fractions = {}
        for suffix, (number, sum_of_weights) in self._tagged.items():
            plain = divide(float(number), float(self.n_jets))
            weighted = divide(sum_of_weights, self._weight)
            fractions[f"tagged_fraction{suffix}"] = float(plain)
            fractions[f"weighted_fraction{suffix}"] = float(weighted)
        return fractions


def _counted(
    counts: Iterable[Mapping[str, Any]], flavours: Mapping[str, int], eta: float
) -> dict[str, tuple[int, int]]:
    """Return how many jets inside and outside were counted to have no score, by flavour."""
    names = {number: name for name, number in flavours.items()}
    found = {name: [0, 0] for name in (ALL, *flavours)}
    rows = list(counts)
    for row in rows:
        # The last number of a region is its upper end, where it has one.
        region = str(row["abs_eta"])
        outside = region.startswith("from") or float(region.split()[-1]) > eta
        for name in {ALL, names.get(int(row["flavour"]), ALL)}:
            found[name][int(outside)] += int(row["unscored"])
    return {name: (inside, outside) for name, (inside, outside) in found.items()} if rows else {}
