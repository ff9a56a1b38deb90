"""What samples hold: events, weights, jets of each flavour, how many of them are tagged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from truthtag.arrays import AnyArray, BoolArray, FloatArray, divide
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.weights.effective import effective_events

__all__ = ["ALL", "sample_table"]

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
    weight, n_jets = _events_of(jets, events)
    chosen = {ALL: np.ones(jets.n_jets, dtype=bool)}
    for name, number in flavours.items():
        chosen[name] = np.asarray(jets.flavour == number)
    unscored = _counted(counts, flavours, eta) or _without_score(jets, chosen, eta)
    rows = []
    for name, inside in chosen.items():
        of_flavour = weight
        if name != ALL:
            of_flavour = jets.weight[np.unique(jets.event_of_jet[inside])]
        empty = int((n_jets == 0).sum()) if name == ALL else None
        row = {
            "flavour": name,
            "n_events": len(of_flavour),
            "events_without_jets": empty,
            "sum_of_weights": float(of_flavour.sum()),
            "effective_events": effective_events(of_flavour),
            "negative_weights": float(np.mean(of_flavour < 0)) if len(of_flavour) else np.nan,
            "jets": int(inside.sum()),
            "unscored_inside": unscored.get(name, (None, None))[0],
            "unscored_outside": unscored.get(name, (None, None))[1],
            **_fractions(jets, inside),
        }
        rows.append(row)
    whole = ("events_without_jets", "unscored_inside", "unscored_outside")
    return pd.DataFrame(rows).astype(dict.fromkeys(whole, "Int64"))


def _events_of(jets: Jets, events: pd.DataFrame | None) -> tuple[FloatArray, AnyArray]:
    """Return weights and numbers of jets of all events, each of shape (n_events,)."""
    if events is None:
        return jets.weight, jets.multiplicity
    for name in ("weight", "n_jets"):
        if name not in events:
            listed = ", ".join(map(str, events.columns)) or "no columns"
            msg = f"the table of events: column {name!r} is missing; it has {listed}"
            raise DataError(msg)
    return events["weight"].to_numpy(), events["n_jets"].to_numpy()


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


def _without_score(
    jets: Jets, chosen: Mapping[str, BoolArray], eta: float
) -> dict[str, tuple[int, int]]:
    """Return how many jets inside and outside have no score, by flavour."""
    if jets.score is None:
        return {}
    missing = np.isnan(jets.score)
    within = np.abs(jets.eta) < eta
    return {
        name: (int((one & missing & within).sum()), int((one & missing & ~within).sum()))
        for name, one in chosen.items()
    }


def _fractions(jets: Jets, inside: BoolArray) -> dict[str, float]:
    """Return the tagged fractions of some jets at each working point, without and with weights."""
    if not jets.has_tags:
        return {}
    passes = jets.passes()[inside]
    weight = jets.per_jet("weight")[inside]
    fractions = {}
    for point, tagged in enumerate(passes.T):
        suffix = f"_{jets.labels.points[point]}" if jets.n_points > 1 else ""
        plain = divide(float(tagged.sum()), float(len(tagged)))
        weighted = divide(float(weight[tagged].sum()), float(weight.sum()))
        fractions[f"tagged_fraction{suffix}"] = float(plain)
        fractions[f"weighted_fraction{suffix}"] = float(weighted)
    return fractions
