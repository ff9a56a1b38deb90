"""What ``truthtag weigh`` is asked for, and how it reads files: as options say, or as a config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from truthtag.cli.scaled import ScaledWeights
from truthtag.errors import ConfigError, DataError

if TYPE_CHECKING:
    from truthtag.data.labels import Labels
    from truthtag.data.readers.options import Input, ReaderOptions
    from truthtag.exports.weighing import TagWeights
    from truthtag.workflow.options import Config

__all__ = ["Reading", "Request", "reading_of"]

PT_MIN = 20.0
ABS_ETA_MAX = 2.5
"""Jets that are weighed where nothing else is stated: those of ``config/nanoaod.yaml`` [GeV]."""

NANOAOD = "nanoaod"

TAGS = 3
"""Largest number of tags that is told apart where nothing else is stated."""

NAMELESS = "tagged"
"""What a working point is called that has no name."""

OPTIONS = {
    "format": "--format",
    "tree": "--tree",
    "columns": "--column",
    "discriminant": "--discriminant",
    "pt": "--pt-min",
    "abs_eta": "--abs-eta-max",
}
"""Options of the command line, by what they state of a reader."""


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Args:
        model: File or folder of an efficiency.
        inputs: Samples of ours, and files of the user.
        output: A folder, or the file to write for a single input.
        parquet: Whether to write a Parquet table beside each tree.
        trusted: Kinds of estimator, ``module:Class``, that may be imported.
        domain: File of the domain of the training jets, or None.
        point: The working point to weigh at; None for all.
        held_out: Whether events are those of a training sample, each to be weighed with what did
            not see its fold.
        tags: Largest number of tags; None for that of the config, or 3.
        leading: How many jets of an event count; None for that of the config, or all.
        keep_tags_of: Flavours that keep their tag; none for those of the config.
        direct: Whether to read the tags, and to sum the events that have them.
        configs: Configs of the workflow, which say how files are read.
        workflow: Folder of the workflow; None to look for it.
        reader: Name of a reader of the config.
        stated: Options of a reader, those that are stated.
        working_points: Thresholds of the discriminant, by name.
        branches: Branches of further columns, by name.
    """

    model: str
    inputs: Sequence[str]
    output: str
    parquet: bool = False
    trusted: Sequence[str] = ()
    domain: str | None = None
    point: str | None = None
    held_out: bool = False
    tags: int | None = None
    leading: int | None = None
    keep_tags_of: tuple[int, ...] = ()
    direct: bool = False
    configs: Sequence[str] = ()
    workflow: str | None = None
    reader: str | None = None
    stated: Mapping[str, Any] = field(default_factory=dict)
    working_points: Mapping[str, float] = field(default_factory=dict)
    branches: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reading:
    """How files of the user are read.

    Args:
        options: Where things are, and which jets and events count.
        labels: Flavours, working points and categories; None for those that the model knows.
        working_points: Thresholds of the discriminant by name; none where no tags are read.
        inputs: Further columns by name; None for a branch of its name each.
        tag_weights: What is computed.
        needs_tags: Whether tags are read.
    """

    options: ReaderOptions
    labels: Labels | None
    working_points: Mapping[str, float]
    inputs: Mapping[str, Input] | None
    tag_weights: TagWeights | ScaledWeights
    needs_tags: bool

    def labels_for(self, model: Any) -> Labels:
        """Return the labels that files are read with."""
        from truthtag.estimators.knowledge import labels_of

        known = labels_of(model)
        points = tuple(self.points_for(model)) or known.points
        return replace(known if self.labels is None else self.labels, points=points)

    def points_for(self, model: Any) -> Mapping[str, float]:
        """Return the thresholds by working point; none where no tags are read."""
        from truthtag.estimators.knowledge import labels_of

        if not self.needs_tags or self.working_points:
            return self.working_points
        # The file itself says which jets are tagged, and no threshold is looked at.
        names = labels_of(model).points or (NAMELESS,)
        return {name: float(place) for place, name in enumerate(names)}


def reading_of(request: Request, files: Sequence[str]) -> Reading:
    """Return how files are read: as a config says, or as the options of the command line do.

    Args:
        request: What is asked for.
        files: Those of the inputs that are no samples of ours.

    Raises:
        ConfigError: An option is not allowed, there is no such reader, or the config has a fault.
    """
    if request.configs:
        return _from_config(request)
    if request.reader is not None:
        msg = f"--reader {request.reader}: is a reader of a config; name that, too: --config CONFIG"
        raise ConfigError(msg)
    return _from_options(request, files)


def _from_options(request: Request, files: Sequence[str]) -> Reading:
    from truthtag.data.readers.options import Input, ReaderOptions
    from truthtag.exports.weighing import TagWeights
    from truthtag.registry import validated

    stated: dict[str, Any] = {"pt": [PT_MIN, None], "abs_eta": [None, ABS_ETA_MAX]}
    stated |= request.stated
    if "format" not in stated:
        stated["format"] = _format_of(files)
    options = validated(ReaderOptions, stated, "the reader")
    needs_tags = request.direct or bool(request.keep_tags_of)
    if files and needs_tags and options.needs_threshold and not request.working_points:
        msg = (
            f"tags are made of the discriminant {options.tagger}, and nothing says from where on "
            "a jet is tagged: --working-point NAME=THRESHOLD"
        )
        raise ConfigError(msg)
    inputs = {name: Input(branch=branch) for name, branch in request.branches.items()}
    weights = TagWeights(_or(request.tags, TAGS), request.leading, request.keep_tags_of)
    needs_tags = needs_tags or bool(request.working_points)
    return Reading(options, None, request.working_points, inputs or None, weights, needs_tags)


def _format_of(files: Sequence[str]) -> str:
    """Return the format that files have by their names, and by the trees of the first of them."""
    tables = [file for file in files if file.endswith(".parquet")]
    if tables and len(tables) < len(files):
        msg = f"{tables[0]}: is no ROOT file, as others are. Weigh the two kinds one by one."
        raise ConfigError(msg)
    if tables:
        return "parquet"
    return _format_of_trees(files[0]) if files else NANOAOD


def _format_of_trees(file: str) -> str:
    """Return the format of an experiment whose tree a ROOT file has; NanoAOD where it has none."""
    from truthtag.data.readers.options import ReaderOptions
    from truthtag.data.readers.root_file import open_root

    for name in (NANOAOD, "physlite"):
        with (
            suppress(DataError),
            open_root(file, ReaderOptions.model_validate({"format": name})),
        ):
            return name
    return NANOAOD


def _from_config(request: Request) -> Reading:
    from truthtag.cli.check import checked_config
    from truthtag.exports.weighing import TagWeights
    from truthtag.registry import choose
    from truthtag.weights.scale_factors import ScaleFactors

    twice = [OPTIONS[name] for name in request.stated]
    twice += ["--working-point"] if request.working_points else []
    twice += ["--input"] if request.branches else []
    if twice:
        msg = f"{twice[0]} is stated beside --config, which says it already; leave one of them out"
        raise ConfigError(msg)
    config = checked_config(request.configs, request.workflow)
    own = config.weights
    kept = request.keep_tags_of or tuple(config.flavours[name] for name in own.keep_tags_of)
    chosen = (_or(request.tags, own.tags), _or(request.leading, own.leading), kept)
    needs_tags = request.direct or bool(kept)
    points = dict(config.working_points)
    if request.point is not None and points:
        points = {request.point: choose(points, request.point, "--point")}
    weights: TagWeights | ScaledWeights = TagWeights(*chosen)
    if own.scale_factors is not None:
        factors = ScaleFactors.from_options(own.scale_factors, config.flavours, tuple(points))
        weights = ScaledWeights(*chosen, factors, direct=own.scale_factors.direct)
    return Reading(
        _reader_of(config, request.reader),
        config.labels,
        points if needs_tags else {},
        config.inputs,
        weights,
        needs_tags,
    )


def _reader_of(config: Config, name: str | None) -> ReaderOptions:
    from truthtag.registry import choose

    readers = config.readers
    if name is None and len(readers) != 1:
        listed = ", ".join(readers) or "none"
        msg = f"the config has the readers {listed}; name the one to use: --reader NAME"
        raise ConfigError(msg)
    return choose(readers, next(iter(readers)) if name is None else name, "--reader")


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value
