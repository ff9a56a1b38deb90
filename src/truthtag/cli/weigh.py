"""``truthtag weigh``: weights of the events of files, a friend for each file."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truthtag.arrays import FloatArray
from truthtag.cli.jobs import Job, jobs_of
from truthtag.cli.kinds import load_model
from truthtag.cli.output import GAP, number, plural
from truthtag.cli.tally import Tally, ranges_of, total
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError
from truthtag.progress import Progress

if TYPE_CHECKING:
    from truthtag.data.labels import Labels
    from truthtag.data.readers.counts import Counts
    from truthtag.data.readers.options import Input, ReaderOptions
    from truthtag.exports.weighing import TagWeights
    from truthtag.workflow.options import Config

__all__ = ["AtPoint", "Request", "weigh"]

PT_MIN = 20.0
ABS_ETA_MAX = 2.5
"""Jets that are weighed where nothing else is stated: those of ``config/nanoaod.yaml`` [GeV]."""

TAGS = 3


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


def weigh(request: Request) -> Iterator[str]:
    """Weigh the events of all inputs, one after the other, and say what they add up to.

    Args:
        request: What is asked for.

    Yields:
        Lines: after each input, what was written for it, and the sums over its events.

    Raises:
        ConfigError: An option is not allowed, an output is an input, or a package is missing.
        DataError: A file is missing, damaged or foreign, or the efficiency does not suit it.
        KeyboardInterrupt: It was stopped; the text says what was written, and what was not.
    """
    jobs = jobs_of(request.inputs, request.output, parquet=request.parquet)
    reading = _reading_of(request, jobs)
    model = _model_of(request)
    domain = _domain_of(request)
    tallies = []
    for position, job in enumerate(jobs):
        tally = Tally(reading.tag_weights, ranges_of(model), domain)
        tallies.append(tally)
        try:
            yield from _run(job, model, reading, request, tally)
        except KeyboardInterrupt as stop:
            written = [str(path) for done in jobs[:position] for path in done.targets]
            left = [str(path) for other in jobs[position:] for path in other.targets]
            msg = (
                f"Written whole: {', '.join(written) or 'nothing'}. Not written: {', '.join(left)}."
            )
            raise KeyboardInterrupt(msg) from stop
    if len(tallies) > 1:
        yield f"{len(tallies)} inputs together:"
        yield from _indented(total(tallies).lines())


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"{GAP}{line}" for line in lines]


def _run(job: Job, model: Any, reading: Reading, request: Request, tally: Tally) -> Iterator[str]:
    """Weigh one input, and say what it adds up to."""
    from truthtag.exports.weighing import weigh_file, weigh_sample

    provenance = _provenance(job, reading, request)
    started = time.monotonic()
    said = []
    if job.is_sample:
        progress = _progress(_events_of_sample(job.source))
        weigh_sample(
            model, job.source, job.targets[0], weigh=tally, provenance=provenance, progress=progress
        )
    else:
        counts = weigh_file(
            model,
            job.source,
            reading.options,
            reading.labels_for(model),
            reading.working_points,
            reading.inputs,
            root_path=job.root_path,
            parquet_path=job.parquet_path,
            weigh=tally,
            provenance=provenance,
            progress=_progress(_entries_of(job.source, reading.options)),
        )
        said = _said_of(counts, reading.options)
    rate = tally.n_events / max(time.monotonic() - started, 1e-9)
    done = f"{plural(tally.n_events, 'event')}, {plural(tally.n_jets, 'jet')}"
    yield f"{job.source}: {done}, {rate:,.0f} events/s"
    yield from _indented([*said, *tally.lines()])
    yield from _indented([f"written: {path}" for path in job.targets])


def _said_of(counts: Counts, options: ReaderOptions) -> list[str]:
    """Say which jets and events of a file count, and what became of the others."""
    ends = {"pt [GeV]": options.pt, "abs(eta)": options.abs_eta}
    ranges = []
    for name, (low, high) in ends.items():
        ranges += [f"{name} above {number(low)}"] if low is not None else []
        ranges += [f"{name} below {number(high)}"] if high is not None else []
    ranges += [f"{name} in a range" for name in (*options.jets, *options.events)]
    left_out = {
        "jet not selected": counts.jets_rejected,
        "jet beyond the largest number": counts.jets_beyond_max,
        "event not selected": counts.entries - counts.events,
        "event without jets": counts.events_without_jets,
        "jet not scored": counts.unscored,
    }
    texts = []
    for what, count in left_out.items():
        one, *rest = what.split()
        if count:
            texts.append(f"{plural(count, one)} {' '.join(rest)}")
    return [
        f"{options.format}, jets with {', '.join(ranges) or 'any momentum'}",
        ", ".join(texts),
    ][: 1 + bool(texts)]


def _domain_of(request: Request) -> Any:
    if request.domain is None:
        return None
    from truthtag.statistics.domain import Domain

    return Domain.read(request.domain)


def _provenance(job: Job, reading: Reading, request: Request) -> dict[str, Any]:
    """Return what an output records about its origin."""
    from truthtag.workflow.digests import digest, versions

    settings: dict[str, Any] = {
        "tags": reading.tag_weights.tags,
        "leading": reading.tag_weights.leading,
        "keep_tags_of": list(reading.tag_weights.keep_tags_of),
        "working_points": dict(reading.working_points),
        "point": request.point,
    }
    if not job.is_sample:
        settings["reader"] = reading.options.model_dump(mode="json", exclude_defaults=True)
    return {
        "estimator": request.model,
        "file": job.source,
        "config": digest(settings),
        "settings": settings,
        "versions": versions(("truthtag", "numpy", "pyarrow", "uproot", "torch")),
    }


# ---- the efficiency


@dataclass(frozen=True)
class AtPoint:
    """An efficiency at one of its working points, as of a tagger that has no other.

    Args:
        model: An efficiency of several working points.
        point: Which of them.
        place: Its position among them.
    """

    model: Any
    point: str
    place: int

    @property
    def base(self) -> Any:
        """What it is made of, which knows flavours and inputs."""
        return self.model

    @property
    def points(self) -> tuple[str, ...]:
        """The one point."""
        return (self.point,)

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the probability that each jet passes the point, shape (n_jets,)."""
        values: FloatArray = self.model.efficiency(jets)
        return values[:, self.place]


def _model_of(request: Request) -> Any:
    from truthtag.exports.knowledge import labels_of

    model = load_model(request.model, request.trusted)
    if request.point is None:
        return model
    points = labels_of(model).points
    if request.point not in points:
        listed = ", ".join(points) or "none with a name"
        msg = f"--point {request.point}: the efficiency has no such working point; it has {listed}"
        raise ConfigError(msg)
    if len(points) == 1:
        return model
    return AtPoint(model, request.point, points.index(request.point))


# ---- how files are read


@dataclass(frozen=True)
class Reading:
    """How files of the user are read.

    Args:
        options: Where things are, and which jets and events count.
        labels: Flavours, working points and categories; None for those that the model knows.
        working_points: Thresholds of the discriminant by name; none where no tags are read.
        inputs: Further columns by name; None for a branch of its name each.
        tag_weights: What is computed.
    """

    options: ReaderOptions
    labels: Labels | None
    working_points: Mapping[str, float]
    inputs: Mapping[str, Input] | None
    tag_weights: TagWeights

    def labels_for(self, model: Any) -> Labels:
        """Return the labels that files are read with."""
        from truthtag.exports.knowledge import labels_of

        known = labels_of(model)
        points = tuple(self.working_points) or known.points
        return replace(known if self.labels is None else self.labels, points=points)


def _reading_of(request: Request, jobs: Sequence[Job]) -> Reading:
    """Return how files are read: as a config says, or as the options of the command line do.

    Raises:
        ConfigError: An option is not allowed, there is no such reader, or the config has a fault.
    """
    files = [job.source for job in jobs if not job.is_sample]
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

    usual = {"pt": [PT_MIN, None], "abs_eta": [None, ABS_ETA_MAX], "format": _format_of(files)}
    options = validated(ReaderOptions, usual | dict(request.stated), "the reader")
    needs_tags = request.direct or bool(request.keep_tags_of)
    if files and needs_tags and options.needs_threshold and not request.working_points:
        msg = (
            f"tags are made of the discriminant {options.tagger}, and nothing says from where on "
            "a jet is tagged: --working-point NAME=THRESHOLD"
        )
        raise ConfigError(msg)
    inputs = {name: Input(branch=branch) for name, branch in request.branches.items()}
    weights = TagWeights(_or(request.tags, TAGS), request.leading, request.keep_tags_of)
    return Reading(options, None, request.working_points, inputs or None, weights)


def _format_of(files: Sequence[str]) -> str:
    """Return the format that the names of files tell."""
    tables = [file for file in files if file.endswith(".parquet")]
    if tables and len(tables) < len(files):
        msg = f"{tables[0]}: is no ROOT file, as others are. Weigh the two kinds one by one."
        raise ConfigError(msg)
    return "parquet" if tables else "nanoaod"


def _from_config(request: Request) -> Reading:
    from truthtag.cli.check import checked_config
    from truthtag.exports.weighing import TagWeights

    twice = [*request.stated, *request.working_points, *request.branches]
    if twice:
        msg = f"{twice[0]} is stated beside --config, which says it already; leave one of them out"
        raise ConfigError(msg)
    config = checked_config(request.configs, request.workflow)
    own = config.weights
    kept = request.keep_tags_of or tuple(config.flavours[name] for name in own.keep_tags_of)
    weights = TagWeights(_or(request.tags, own.tags), _or(request.leading, own.leading), kept)
    points = config.working_points if request.direct or kept else {}
    labels = config.labels
    if request.point is not None:
        points = {name: value for name, value in points.items() if name == request.point}
        labels = replace(labels, points=(request.point,))
    return Reading(_reader_of(config, request.reader), labels, points, config.inputs, weights)


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


# ---- progress


def _progress(total: int | None) -> Callable[[int], object]:
    """Return what is told of every step, and says every ten seconds how far it is."""
    log = logging.getLogger("truthtag")
    if total is None:
        return _Counted(log).add
    return Progress(log, max(total, 1), "events").add


class _Counted:
    """Says how many events are done, where nobody knows how many there are."""

    def __init__(self, logger: logging.Logger) -> None:
        self.logger = logger
        self.done = 0
        self.last = time.monotonic()

    def add(self, count: int) -> None:
        self.done += count
        if time.monotonic() - self.last >= 10:
            self.last = time.monotonic()
            self.logger.info("%s events", number(self.done))


def _entries_of(source: str, options: ReaderOptions) -> int | None:
    """Return the number of events of a file; None where a row is a jet."""
    from truthtag.data.readers.opening import open_source
    from truthtag.data.readers.parquet_file import ParquetLists
    from truthtag.data.readers.root_file import RootFile

    with open_source(source, options) as opened:
        if isinstance(opened, RootFile):
            return int(opened.tree.num_entries)
        if isinstance(opened, ParquetLists):
            return int(opened.file.metadata.num_rows)
    return None


def _events_of_sample(source: str) -> int:
    """Return the number of events of a sample of ours, whose rows are jets."""
    from truthtag.cli.scan import batches
    from truthtag.data.jets import shards_of

    count = 0
    for path in shards_of(Path(source)):
        for some in batches([path], ("event",)):
            event = some["event"]
            count += int((event[1:] != event[:-1]).sum()) + bool(len(event))
    return count
