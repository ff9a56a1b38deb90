"""What the tables of truthtag are: samples, events, predictions, weights, histograms, maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from truthtag.cli.columns import Described, Tables, histogram
from truthtag.cli.output import Report, number, table
from truthtag.cli.provenance import origin, section, short, texts
from truthtag.cli.samples import describe_events, describe_sample
from truthtag.cli.scan import batches, column_table, extents, names_of
from truthtag.cli.sketch import Row, flavour_name, sketch
from truthtag.data.files import is_ours, read_frame, read_metadata
from truthtag.errors import DataError
from truthtag.estimators.failures import FAILED, LEFT_OUT

__all__ = ["describe_tables", "kind_of_table"]


def describe_tables(paths: Sequence[Path]) -> Report:
    """Say what the files of a table are.

    Args:
        paths: Parquet files, one at least: those of a folder, or one alone.

    Raises:
        DataError: A file is damaged, or not of truthtag.
    """
    metadata = read_metadata(paths[0])
    if not metadata:
        listed = ", ".join(names_of(paths[0])[:12])
        msg = (
            f"{paths[0]}: is a Parquet file that truthtag did not write; it has the columns "
            f"{listed}. Events of your own are read by `truthtag weigh --format parquet`, or with "
            "a reader of the config."
        )
        raise DataError(msg)
    kind = kind_of_table(metadata, names_of(paths[0]))
    kinds = {path.name: kind_of_table(read_metadata(path), names_of(path)) for path in paths}
    if len(set(kinds.values())) > 1:
        return Report(f"a folder of {len(paths)} tables; name one to see more", kinds)
    found, n_rows = extents(paths)
    given = Tables(paths, metadata, found, n_rows)
    facts: dict[str, str] = {}
    if len(paths) > 1:
        facts["files"] = number(len(paths))
    facts["rows"] = f"{n_rows:,}"
    own, sketches = _DESCRIBED.get(kind, _nothing)(given)
    facts |= own | origin(metadata)
    if not all(map(is_ours, paths)):
        facts["seal"] = "none: another program wrote this copy"
    return Report(kind, facts, [column_table(found), *sketches])


SAMPLE = "the jets of a sample"
EVENTS = "the events of a sample that was read"
MAP = "an estimator"
MAPS = "the replicas of an estimator"
PREDICTION = "the efficiencies of the jets of a sample"
REPLICAS = "what the replicas of an estimator say of the jets of a sample"
WEIGHTS = "the weights of the events of a sample"
HISTOGRAMS = "histograms of a distribution"
CELLS = "the single jets of a sample in cells"
DOMAIN = "the domain of the training jets"
FLAGS = "which jets of a sample are in the domain"
HISTORY = "the history of a training"
FRIENDS = "a table of weights: those of the events of a file, entry by entry"
OTHER = "a table of truthtag"


def kind_of_table(metadata: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return what a table is, in words.

    Args:
        metadata: What its file records.
        names: Its columns.

    Example:
        >>> kind_of_table({"jets_digest": "1f"}, ["event", "efficiency"])
        'the efficiencies of the jets of a sample'
    """
    if section(metadata, "estimator"):
        return MAPS if "replica" in names else MAP
    if metadata.get("content") == "friend tree":
        return FRIENDS
    by_key = {
        "domain": DOMAIN,
        "distribution": HISTOGRAMS,
        "cells": CELLS,
        "jets_digest": PREDICTION,
        "prediction_digest": REPLICAS,
        "units": SAMPLE,
        "effective_events": WEIGHTS,
    }
    for key, kind in by_key.items():
        if key in metadata:
            return kind
    by_column = {"n_jets_in_file": EVENTS, "in_domain": FLAGS, "validation_loss": HISTORY}
    for name, kind in by_column.items():
        if name in names:
            return kind
    return OTHER


def _nothing(given: Tables) -> Described:  # noqa: ARG001
    return {}, []


# ---- predictions, weights, domain


def _prediction(given: Tables) -> Described:
    """Working points, digests, and how the efficiencies are spread."""
    facts = {
        "points": ", ".join(texts(given.metadata, "points")),
        "jets": short(given.metadata.get("jets_digest")),
        "left out": "\n".join(texts(given.metadata, LEFT_OUT)),
    }
    names = [name for name in given.beginning("efficiency") if "_std" not in name]
    return facts, [histogram(given, name, name) for name in names]


def _replicas(given: Tables) -> Described:
    names = given.beginning("difference_")
    numbers = {name.split("_")[1] for name in names}
    facts = {
        "replicas": number(len(numbers)),
        "points": ", ".join(texts(given.metadata, "points")),
        "prediction": short(given.metadata.get("prediction_digest")),
    }
    return facts, []


def _weights(given: Tables) -> Described:
    """Sums of weights and numbers of effective events of every selection."""
    names = given.beginning("p_tag_")
    sums = dict.fromkeys(names, 0.0)
    for some in batches(given.paths, ("weight", *names)):
        for name in names:
            sums[name] += float((some["weight"] * some[name]).sum())
    effective = section(given.metadata, "effective_events")
    lines = []
    for name in names:
        text = f"{name}: {number(sums[name])}"
        if isinstance(effective.get(name), float | int):
            text += f", effective events {number(effective[name])}"
        lines.append(text)
    facts = {"options": short(given.metadata.get("options")), "sums": "\n".join(lines)}
    return facts, []


def _friends(given: Tables) -> Described:
    """Sums of weights, and how the efficiencies are spread."""
    from truthtag.cli.friend_tree import Sums, efficiency_sketch, facts_of

    sums = Sums()
    names = ["weight", *given.beginning("p_tag_"), *given.beginning("Jet_eff")]
    for some in batches(given.paths, names):
        sums.add(some)
    return {**facts_of(given.metadata), **sums.facts()}, [efficiency_sketch(sums.counts)]


def _domain(given: Tables) -> Described:
    """Ranges of the variables and numbers of reference jets, by flavour."""
    from truthtag.statistics.domain import Domain

    domain = Domain.read(given.paths[0])
    rows = []
    for flavour, low, high in zip(domain.flavours, domain.low, domain.high, strict=True):
        count = int((domain.reference_flavour == flavour).sum())
        ends = zip(low.tolist(), high.tolist(), strict=True)
        ranges = [f"{number(least)} to {number(largest)}" for least, largest in ends]
        rows.append([flavour_name(flavour), f"{count:,}", *ranges])
    ranges_table = table(["range of", "jets", *domain.variables], rows)
    return {"neighbours": number(domain.neighbours)}, [ranges_table]


def _flags(given: Tables) -> Described:
    inside = 0
    for some in batches(given.paths, ("in_domain",)):
        inside += int(some["in_domain"].sum())
    return {"in domain": f"{inside / max(given.n_rows, 1):.2%} of the jets"}, []


# ---- histograms, histories


def _histograms(given: Tables) -> Described:
    """Options, panels, and yields of the first panel by what fills it."""
    frame = read_frame(given.paths[0], ("filled_by", "low", "high", "yield", "panel"))
    panels = frame["panel"].astype(str).unique().tolist()
    keys = [name for name in ("sample", "panel", "events", "spread") if name in frame]
    first = frame[(frame[keys] == frame[keys].iloc[0]).all(axis=1)]
    rows = []
    for name, some in first.groupby("filled_by", sort=False):
        rows.append(Row(str(name), some["yield"].to_numpy(), number(float(some["yield"].sum()))))
    title = f"yield, {panels[0]}"
    low = float(first["low"].min())
    high = float(first["high"].max())
    facts = {
        "distribution": short(given.metadata.get("distribution")),
        "panels": ", ".join(panels),
        "filled by": ", ".join(frame["filled_by"].astype(str).unique().tolist()),
    }
    return facts, [sketch(title, low, high, rows)]


def _history(given: Tables) -> Described:
    frame = read_frame(given.paths[0], ("epoch", "validation_loss"))
    loss = frame["validation_loss"].to_numpy(dtype=np.float64)
    facts = {"failed": short(given.metadata.get(FAILED))}
    loss = np.where(np.isfinite(loss), loss, np.nan)
    if np.isnan(loss).all():
        return facts, []
    best = int(np.nanargmin(loss))
    remark = f"lowest {number(float(loss[best]))} in epoch {frame['epoch'].iloc[best]}"
    row = Row("", loss - np.nanmin(loss), remark)
    first = float(frame["epoch"].iloc[0])
    last = float(frame["epoch"].iloc[-1])
    return facts, [sketch("validation loss above its lowest, by epoch", first, last, [row])]


def _map(given: Tables) -> Described:
    from truthtag.cli.models import describe_map

    return describe_map(given.paths[0], given.metadata)


_DESCRIBED: Mapping[str, Callable[[Tables], Described]] = {
    MAP: _map,
    MAPS: _map,
    SAMPLE: describe_sample,
    EVENTS: describe_events,
    PREDICTION: _prediction,
    REPLICAS: _replicas,
    WEIGHTS: _weights,
    FRIENDS: _friends,
    HISTOGRAMS: _histograms,
    DOMAIN: _domain,
    FLAGS: _flags,
    HISTORY: _history,
}
