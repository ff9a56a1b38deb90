"""Weights of the events of a file of any size, some at a time: efficiency, tags, friend tree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from truthtag.arrays import FloatArray
from truthtag.data.blocks import read_blocks
from truthtag.data.jets import Jets, shards_of
from truthtag.data.labels import Labels
from truthtag.data.readers.counts import Counts, total
from truthtag.data.readers.events import ReadChunk
from truthtag.data.readers.options import Input, ReaderOptions
from truthtag.data.readers.reading import read_events
from truthtag.errors import ConfigError
from truthtag.estimators.knowledge import inputs_of, labels_of
from truthtag.estimators.predictions import Prediction, predict
from truthtag.estimators.protocol import Efficiency
from truthtag.exports.alignment import SELECTED, Places, number_columns, require_format
from truthtag.exports.friends import FriendFile
from truthtag.weights.events import ORIGIN, weights_table
from truthtag.weights.sample_weights import (
    SampleWeights,
    ScaleFactorTally,
    Selection,
    sample_weights,
)
from truthtag.weights.tag_counts import is_leading

if TYPE_CHECKING:
    import pandas as pd

    from truthtag.weights.scale_factors import ScaleFactors

__all__ = ["TagWeights", "Weigh", "efficiency_columns", "weigh_file", "weigh_sample"]

Weigh = Callable[[Jets, Prediction, "pd.DataFrame | None"], "pd.DataFrame"]
"""What turns jets and their efficiencies into weights of events.

It is given some events, what is predicted of them, and the table of all these events with those
that have no jets, where there is one; its table is that of
:func:`~truthtag.weights.events.weights_table`, with any columns of weights beside. Where it has a
method ``finish``, that is called after the last events of an input, before anything is in its
place, and may refuse them.
"""

ORIGIN_COLUMNS = ("event", *ORIGIN)
"""Columns of the table of weights that say which event it is; a friend has numbers of its own."""


@dataclass(frozen=True)
class TagWeights:
    """Probabilities of numbers of tags, as the workflow's weights have them.

    Args:
        tags: Largest number of tags.
        leading: How many jets of an event count, the hardest; all where it is None.
        keep_tags_of: Flavours that keep their tag, and are not weighted.
    """

    tags: int = 3
    leading: int | None = None
    keep_tags_of: tuple[int, ...] = ()

    def __call__(
        self, jets: Jets, prediction: Prediction, events: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Return the table of weights; see :data:`Weigh`."""
        return weights_table(jets, self.weights(jets, prediction).counts, events)[0]

    def weights(
        self,
        jets: Jets,
        prediction: Prediction,
        scale_factors: ScaleFactors | None = None,
        *,
        direct: bool = False,
        tally: ScaleFactorTally | None = None,
    ) -> SampleWeights:
        """Return the weights as such; see :func:`~truthtag.weights.sample_weights.sample_weights`.

        Args:
            jets: The events.
            prediction: Their efficiencies.
            scale_factors: Scale factors, if any.
            direct: Whether events with tags get weights for direct tagging, too.
            tally: Where the events are some of a sample.
        """
        chosen = is_leading(jets, self.leading) if self.leading else None
        selection = Selection(self.tags, chosen, self.keep_tags_of)
        eff = prediction.at_points_of(jets)
        return sample_weights(jets, eff, selection, scale_factors, direct=direct, tally=tally)


def weigh_file(
    model: Efficiency,
    path: str | Path,
    options: ReaderOptions,
    labels: Labels | None = None,
    working_points: Mapping[str, float] | None = None,
    inputs: Mapping[str, Input] | None = None,
    *,
    root_path: str | Path | None = None,
    parquet_path: str | Path | None = None,
    weigh: Weigh | None = None,
    weight: float = 1.0,
    provenance: Mapping[str, Any] | None = None,
    progress: Callable[[int], object] | None = None,
) -> Counts:
    """Weight the events of a file with an efficiency, into a friend of the file.

    The file is read once, and ``options.step_events`` of its events are in memory at a time. An
    entry that ``options.events`` rejects has ``is_selected`` false, NaN for weights and -1 for the
    efficiencies of its jets; so has every jet that the selection of jets leaves out. Events without
    selected jets have no tags for certain.

    Args:
        model: Anything with an efficiency per jet, or per jet and working point.
        path: The file, or an address that uproot can read.
        options: Where things are in the file, and which jets and events count.
        labels: Flavours, working points and categories; by default what the model knows.
        working_points: Thresholds of the discriminant by name, the loosest first, where the tags of
            the file are needed; by default they are not read.
        inputs: Further columns by name; by default a branch of its name for each that the model
            needs.
        root_path: The ROOT file to write; None for none.
        parquet_path: The Parquet file to write; None for none.
        weigh: What makes weights of efficiencies; by default :class:`TagWeights`.
        weight: Factor by which the weights of the events are multiplied.
        provenance: What to record about the origin; anything that JSON holds.
        progress: Called with the number of entries that are done, after each step.

    Returns:
        What happened to events and jets.

    Raises:
        DataError: As in :func:`~truthtag.data.readers.reading.read_events`, or the model does not
            know a flavour or category, or gives no probability.
        ConfigError: An output is an input, or is no friend of ours; the model needs a column that
            nothing says how to read, or knows other working points than the labels; or a ROOT file
            is asked for beside one that is none.
    """
    known = labels_of(model)
    labels = known if labels is None else labels
    _require_points(known, labels)
    stated = {name: Input() for name in inputs_of(model)} if inputs is None else dict(inputs)
    _require_inputs(model, stated)
    require_format(options, root_path)
    weigh = TagWeights() if weigh is None else weigh
    chunks = read_events(
        path, options, labels, working_points or {}, stated, weight, tags=bool(working_points)
    )
    parts: list[Counts] = []
    with FriendFile(root_path, parquet_path, [path], provenance) as friend:
        for chunk in chunks:
            prediction = _predicted(model, chunk.jets)
            weights = weigh(chunk.jets, prediction, chunk.events.to_pandas())
            _write_chunk(friend, chunk, prediction, weights, options, str(path))
            parts = [total([*parts, chunk.counts])]
            if progress is not None:
                progress(chunk.counts.entries)
        _finish(weigh)
        friend.require_entries(parts[0].entries, path)
    return parts[0]


def weigh_sample(
    model: Efficiency,
    paths: str | Path | Sequence[str | Path],
    parquet_path: str | Path,
    *,
    weigh: Weigh | None = None,
    provenance: Mapping[str, Any] | None = None,
    progress: Callable[[int], object] | None = None,
) -> int:
    """Weight the events of a sample of ours with an efficiency, into a table with a row for each.

    Rows are in the order of the sample, and lists of efficiencies in that of its jets, by falling
    pt. Events without jets are not in a sample; whoever reads them from a file of an experiment has
    them with :func:`weigh_file`.

    Args:
        model: Anything with an efficiency per jet, or per jet and working point.
        paths: The sample: a Parquet file with a row per jet, a folder of them, or a list of either.
        parquet_path: The file to write.
        weigh: As in :func:`weigh_file`.
        provenance: What to record about the origin; anything that JSON holds.
        progress: Called with the number of events that are done, after each step.

    Returns:
        The number of events.

    Raises:
        DataError: A file is missing, damaged or foreign, lacks a column that the model needs, or
            holds a value that is not allowed; or the model does not know a flavour.
        ConfigError: The output is an input, or in its folder, or is there already and none of ours.
    """
    listed = [paths] if isinstance(paths, str | Path) else list(paths)
    files = [file for path in listed for file in shards_of(path)]
    weigh = TagWeights() if weigh is None else weigh
    with FriendFile(None, parquet_path, [*listed, *files], provenance) as table:
        for jets in chain.from_iterable(map(read_blocks, files)):
            prediction = _predicted(model, jets)
            weights = weigh(jets, prediction, None)
            of_events = {str(name): weights[name].to_numpy() for name in weights}
            of_jets = {
                name: values.astype(np.float32)
                for name, values in efficiency_columns(prediction).items()
            }
            table.write(jets.multiplicity, of_events, of_jets)
            if progress is not None:
                progress(jets.n_events)
        _finish(weigh)
        return table.n_entries


def _finish(weigh: Weigh) -> None:
    """Let what makes weights judge all events of an input, where it does."""
    finish = getattr(weigh, "finish", None)
    if finish is not None:
        finish()


def efficiency_columns(prediction: Prediction, name: str = "") -> dict[str, FloatArray]:
    """Return efficiencies by the names that friends have for them.

    Args:
        prediction: The efficiencies.
        name: That of the estimator, where there are several.

    Returns:
        ``Jet_eff``, with the name behind it; with several working points one for each, with its
        name behind that. Each has shape (n_jets,).

    Example:
        >>> values = np.array([[0.8, 0.5], [0.4, 0.1]])
        >>> both = Prediction(np.array([7, 7]), values, points=("loose", "tight"))
        >>> list(efficiency_columns(both, "gnn"))
        ['Jet_eff_gnn_loose', 'Jet_eff_gnn_tight']
    """
    stem = f"Jet_eff_{name}" if name else "Jet_eff"
    if prediction.n_points == 1:
        return {stem: prediction.values}
    return {
        f"{stem}_{point}": values
        for point, values in zip(prediction.points, prediction.values.T, strict=True)
    }


@dataclass(frozen=True)
class _Nominal:
    """An efficiency without its replicas, which weights do not need.

    Args:
        model: The efficiency.
        points: Names of its working points.
    """

    model: Efficiency
    points: tuple[str, ...]

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return what the model says; of no jets, nothing."""
        if jets.n_jets:
            return self.model.efficiency(jets)
        return np.empty((0, len(self.points)) if len(self.points) > 1 else 0)


def _predicted(model: Efficiency, jets: Jets) -> Prediction:
    """Return the efficiencies of some jets, every value checked."""
    points = labels_of(model).points or jets.labels.points
    return predict(_Nominal(model, points), jets)


def _write_chunk(
    friend: FriendFile,
    chunk: ReadChunk,
    prediction: Prediction,
    weights: pd.DataFrame,
    options: ReaderOptions,
    shown: str,
) -> None:
    """Write what is said of some entries of a file, those of the sample and others."""
    jets = chunk.jets
    entries = chunk.entries
    event = chunk.events["event"].to_numpy()
    # A jet that was read from a file always has its place in it.
    position = np.asarray(jets.position)
    places = Places(entries, event, jets.per_jet("event"), position, shown)
    of_events = {**number_columns(entries, options, shown), SELECTED: places.is_selected}
    for name in weights:
        if name not in ORIGIN_COLUMNS:
            of_events[str(name)] = places.of_events(weights[name].to_numpy())
    of_jets = {}
    for name, values in efficiency_columns(prediction).items():
        of_jets[name] = places.of_jets(values)
    friend.write(entries.n_jets, of_events, of_jets)


def _require_points(known: Labels, labels: Labels) -> None:
    """Refuse labels that name other working points than those that a model knows."""
    if known.n_points > 1 and labels.points != known.points:
        msg = (
            f"the model knows the working points {', '.join(known.points)}, and the labels name "
            f"{', '.join(labels.points) or 'none'}; they must be the same, in that order"
        )
        raise ConfigError(msg)


def _require_inputs(model: Efficiency, inputs: Mapping[str, Input]) -> None:
    """Refuse inputs that lack a column which a model needs."""
    for name in inputs_of(model):
        if name not in inputs:
            msg = (
                f"the model needs the column {name!r} of a jet, and nothing says how to read it "
                f"(inputs: {', '.join(inputs) or 'none'}). State inputs.{name} with its branch."
            )
            raise ConfigError(msg)
