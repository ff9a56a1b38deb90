"""``truthtag weigh``: weights of the events of files, a friend for each file."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truthtag.arrays import FloatArray
from truthtag.cli.jobs import Job, jobs_of
from truthtag.cli.kinds import load_model
from truthtag.cli.output import GAP, number, plural
from truthtag.cli.ranges import Ranges, domain_beside, ranges_of, ranges_of_domain
from truthtag.cli.reading import Reading, Request, reading_of
from truthtag.cli.scaled import ScaledWeights
from truthtag.cli.tally import Tally, total
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError
from truthtag.progress import Progress

if TYPE_CHECKING:
    from truthtag.data.readers.counts import Counts
    from truthtag.data.readers.options import ReaderOptions
    from truthtag.estimators.cross_fitting import CrossFitted

__all__ = ["AtPoint", "weigh"]


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
    reading = reading_of(request, [job.source for job in jobs if not job.is_sample])
    model = _model_of(request)
    domain = _domain_of(request)
    ranges = _ranges_of(model, request)
    tallies = []
    for position, job in enumerate(jobs):
        tally = Tally(reading.tag_weights, ranges, domain, request.point)
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
    if isinstance(reading.tag_weights, ScaledWeights):
        yield reading.tag_weights.describe()


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"{GAP}{line}" for line in lines]


def _run(job: Job, model: Any, reading: Reading, request: Request, tally: Tally) -> Iterator[str]:
    """Weigh one input, and say what it adds up to."""
    from truthtag.exports.weighing import weigh_file, weigh_sample

    provenance = _provenance(job, reading, request)
    said = []
    if job.is_sample:
        progress = _progress(_events_of_sample(job.source))
        started = time.monotonic()
        weigh_sample(
            model, job.source, job.targets[0], weigh=tally, provenance=provenance, progress=progress
        )
    else:
        progress = _progress(_entries_of(job.source, reading.options))
        started = time.monotonic()
        counts = weigh_file(
            model,
            job.source,
            reading.options,
            reading.labels_for(model),
            reading.points_for(model),
            reading.inputs,
            root_path=job.root_path,
            parquet_path=job.parquet_path,
            weigh=tally,
            provenance=provenance,
            progress=progress,
        )
        said = _said_of(counts, reading.options)
    seconds = max(time.monotonic() - started, 1e-9)
    done = f"{plural(tally.n_events, 'event')}, {plural(tally.n_jets, 'jet')}"
    yield f"{job.source}: {done} in {seconds:.1f} s, {tally.n_events / seconds:,.0f} events/s"
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


def _ranges_of(model: Any, request: Request) -> Ranges:
    """Return the ranges that an efficiency states, or else those of the domain beside it."""
    from truthtag.statistics.domain import Domain

    ranges = ranges_of(model)
    beside = domain_beside(Path(request.model))
    if not ranges and beside is not None:
        return ranges_of_domain(Domain.read(beside))
    return ranges


def _provenance(job: Job, reading: Reading, request: Request) -> dict[str, Any]:
    """Return what an output records about its origin."""
    from truthtag.workflow.digests import digest, versions

    settings: dict[str, Any] = {
        "tags": reading.tag_weights.tags,
        "leading": reading.tag_weights.leading,
        "keep_tags_of": list(reading.tag_weights.keep_tags_of),
        "working_points": dict(reading.working_points),
        "point": request.point,
        "held_out": request.held_out,
    }
    if isinstance(reading.tag_weights, ScaledWeights):
        settings["scale_factors"] = dict(reading.tag_weights.scale_factors.provenance)
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
    """Return the efficiency, of the events and at the point that are asked for.

    Raises:
        ConfigError: It has no folds, or no such point.
        DataError: It cannot be read.
    """
    from truthtag.estimators.cross_fitting import CrossFitted
    from truthtag.estimators.ensemble import accelerated
    from truthtag.estimators.knowledge import labels_of

    model = accelerated(load_model(request.model, request.trusted))
    if isinstance(model, CrossFitted):
        model = _of_folds(model, held_out=request.held_out)
    elif request.held_out:
        msg = f"--held-out: {request.model} was not fitted without each of some folds; leave it out"
        raise ConfigError(msg)
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


def _of_folds(model: CrossFitted, *, held_out: bool) -> Any:
    """Return what weighs events of a training sample, or of others, and say which it is."""
    if held_out:
        return model.held_out
    logging.getLogger("truthtag").info(
        "the efficiency has %d folds by %s; all of them weigh each event, as is right for samples "
        "that it was not trained on. For a training sample state --held-out.",
        model.folds.count,
        model.folds.by,
    )
    return model


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
