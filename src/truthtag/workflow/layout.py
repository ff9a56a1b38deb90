"""Where everything is in the folder of results: one class knows every path, and what is stale."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from truthtag.data.files import is_ours
from truthtag.errors import ConfigError
from truthtag.workflow.export_options import exported
from truthtag.workflow.sample_files import files_of, is_remote

if TYPE_CHECKING:
    from truthtag.workflow.options import Config, Repeated, RepeatedSeeds

__all__ = ["Layout"]

BYTES_PER_EVENT = 500
"""Least bytes of an event in a file of the user's; analyses' own files are the smallest."""

SHARD = re.compile(r"\d{4,}\.parquet")
TABLE = re.compile(r"\w+(\.replicas)?\.parquet")
DISTILLED = "distilled"
"""Where the report of a distilled network holds what it says."""

SUFFIXES = {"onnx": "onnx", "athena": "onnx", "correctionlib": "json.gz"}
"""Suffix of the file of an estimator, by the form that it leaves in."""

EXPORT = re.compile(r"\w+(\.fold_\d+|\.athena)?\.(onnx|json\.gz|json|pt)")
FRIEND = re.compile(r"\d{4,}\.(root|parquet)")
GROUP = re.compile(r"seeds_\d+_to_\d+|fold_\d+")
FITTED = re.compile(
    r"(nominal|replicas)\.parquet|ensemble\.json"
    r"|seed_\d+\.(pt|checkpoint\.pt|history\.parquet)|seeds_\d+_to_\d+\.checkpoint\.pt"
)


@dataclass(frozen=True)
class Layout:
    """Paths of the folder of results, relative to the working folder as Snakemake wants them.

    Wherever a name or a number is asked for, a wildcard may be given: ``prediction("{sample}",
    "{estimator}")`` is a pattern of paths. Estimators lie in the folder of results itself, and,
    where they are fitted to other events, in the folder of a point of the learning curve or of a
    repeated sample: the argument ``folder`` tells which.

    Args:
        config: The config, checked.
    """

    config: Config

    # ---- the folder, tables, figures, logs

    @property
    def results(self) -> str:
        """The folder of results."""
        return self.config.results

    def path(self, *steps: str | int) -> str:
        """Return a path in the folder of results."""
        return str(PurePosixPath(self.results, *map(str, steps)))

    def table(self, name: str) -> str:
        """Return the path of a table, ``tables/{name}.csv``."""
        return self.path("tables", f"{name}.csv")

    def table_page(self, name: str) -> str:
        """Return the path of a table as a page for the browser, ``tables/{name}.html``."""
        return self.path("tables", f"{name}.html")

    def figure(self, name: str, suffix: str) -> str:
        """Return the path of a figure, or of its numbers: suffix ``png``, ``pdf`` or ``csv``."""
        return self.path("figures", f"{name}.{suffix}")

    def figure_files(self, name: str) -> list[str]:
        """Return the three files of a figure: two pictures and the numbers."""
        return [self.figure(name, suffix) for suffix in ("png", "pdf", "csv")]

    def log(self, *steps: str | int) -> str:
        """Return the path of a log; ``log("samples", "train", "0000")`` is
        ``logs/samples/train/0000.log``."""
        path = self.path("logs", *steps)
        return f"{path}.log"

    # ---- samples -------------------------------------------------------------------------------

    def shard(self, sample: str, number: int | str) -> str:
        """Return the path of one file of a sample, ``samples/{sample}/{shard}.parquet``."""
        return self.path("samples", sample, _shard_name(number))

    def shard_spans(self, sample: str) -> list[range]:
        """Return the events of each file of a generated sample."""
        total = self.config.samples[sample].events or 0
        size = self.config.events_per_shard
        return [range(first, min(first + size, total)) for first in range(0, total, size)]

    def shard_span(self, sample: str, number: int | str) -> range:
        """Return the events of one file of a sample.

        Raises:
            ConfigError: The sample has no such file.
        """
        spans = self.shard_spans(sample)
        if int(number) >= len(spans):
            msg = (
                f"sample {sample} has {len(spans)} shards of {self.config.events_per_shard} "
                "events, "
                f"there is no shard {number}"
            )
            raise ConfigError(msg)
        return spans[int(number)]

    def expected_events(self, sample: str) -> int:
        """Return about how many events a sample has: where it is read, from the size of its
        files."""
        if not self.config.is_read(sample):
            return self.config.samples[sample].events or 0
        local = [file for file in self.files(sample) if not is_remote(file)]
        return sum(Path(file).stat().st_size for file in local) // BYTES_PER_EVENT

    def files(self, sample: str) -> tuple[str, ...]:
        """Return the user's files that a sample is read from; none where it is generated."""
        return files_of(self.config.samples[sample].files)

    def file(self, sample: str, number: int | str) -> str:
        """Return the user's file that becomes one shard of a sample."""
        return self.files(sample)[int(number)]

    def local_file(self, sample: str, number: int | str) -> list[str]:
        """Return the same as an input of a rule; none where it is an address."""
        file = self.file(sample, number)
        return [] if is_remote(file) else [file]

    def n_shards(self, sample: str) -> int:
        """Return the number of files of a sample in the folder of results."""
        if self.config.is_read(sample):
            return len(self.files(sample))
        return len(self.shard_spans(sample))

    def shards(self, sample: str) -> list[str]:
        """Return all files of a sample."""
        return [self.shard(sample, number) for number in range(self.n_shards(sample))]

    def shards_of(self, samples: Sequence[str]) -> list[list[str]]:
        """Return all files of several samples, a list for each."""
        return [self.shards(sample) for sample in samples]

    def events(self, sample: str, number: int | str) -> str:
        """Return the events of one file that was read, ``events/{sample}/{shard}.parquet``."""
        return self.path("events", sample, _shard_name(number))

    def event_files(self, sample: str) -> list[str]:
        """Return the events of all files of a sample; none where it is generated."""
        if not self.config.is_read(sample):
            return []
        return [self.events(sample, number) for number in range(self.n_shards(sample))]

    def shards_with(self, sample: str, events: range) -> list[str]:
        """Return the files of a sample that hold some of these events."""
        files = []
        for number, span in enumerate(self.shard_spans(sample)):
            if span.start < events.stop and span.stop > events.start:
                files.append(self.shard(sample, number))
        return files

    def first_shards(self, sample: str, events: int) -> list[str]:
        """Return the files that hold the first so many events of a sample."""
        return self.shards_with(sample, range(events))

    def span_in_files(self, events: range) -> range:
        """Return where events are in the files that :meth:`shards_with` names, counted from the
        first of these."""
        size = self.config.events_per_shard
        skipped = events.start // size * size
        return range(events.start - skipped, events.stop - skipped)

    # ---- estimators ----------------------------------------------------------------------------

    def estimator(self, name: str, folder: str | None = None) -> str:
        """Return the folder of an estimator, ``estimators/{name}``; all its files lie there."""
        return str(PurePosixPath(folder or self.results, "estimators", name))

    @property
    def n_folds(self) -> int:
        """Number of folds of the training samples; 1 where there is no cross-fitting."""
        return self.config.roles.folds

    def fold(self, name: str, fold: int | str) -> str:
        """Return the folder of what is fitted without the events of one fold."""
        return f"{self.estimator(name)}/fold_{fold}"

    def fold_of_seed(self, name: str, seed: int | str) -> int | None:
        """Return the fold that the network of a seed does not see; None without folds."""
        if self.n_folds == 1:
            return None
        return int(seed) // (len(self.seeds(name)) // self.n_folds)

    def folds_of_seeds(self, name: str) -> list[int]:
        """Return the fold of each member of an ensemble; nothing without folds."""
        folds = [self.fold_of_seed(name, seed) for seed in self.seeds(name)]
        return [fold for fold in folds if fold is not None]

    def nominal_without(self, name: str, fold: int | str) -> str:
        """Return the file of the nominal fit without the events of a fold."""
        return f"{self.fold(name, fold)}/nominal.parquet"

    def replicas_without(self, name: str, fold: int | str) -> str:
        """Return the file of the fits to resampled events, without those of a fold."""
        return f"{self.fold(name, fold)}/replicas.parquet"

    def nominal(self, name: str, folder: str | None = None) -> str:
        """Return the file of the nominal fit of an estimator that is resampled."""
        return f"{self.estimator(name, folder)}/nominal.parquet"

    def replicas(self, name: str, folder: str | None = None) -> str:
        """Return the file of the fits to resampled events."""
        return f"{self.estimator(name, folder)}/replicas.parquet"

    def fitted(self, name: str) -> list[str]:
        """Return the nominal fits and the replicas of an estimator, of each fold where there are
        some."""
        if self.n_folds == 1:
            return [self.nominal(name), self.replicas(name)]
        files = []
        for fold in range(self.n_folds):
            files += [self.nominal_without(name, fold), self.replicas_without(name, fold)]
        return files

    def seed(self, name: str, seed: int | str, folder: str | None = None) -> str:
        """Return the file of the member of an ensemble that was made with a seed."""
        return f"{self.estimator(name, folder)}/seed_{seed}.pt"

    def history(self, name: str, seed: int | str, folder: str | None = None) -> str:
        """Return the losses by epoch of the member of an ensemble that was made with a seed."""
        return f"{self.estimator(name, folder)}/seed_{seed}.history.parquet"

    def checkpoint(self, name: str, job: int | str, folder: str | None = None) -> str:
        """Return the checkpoint of a training job: of a seed, or of a group of seeds by its
        name."""
        stem = job if isinstance(job, str) and job.startswith("seed") else f"seed_{job}"
        return f"{self.estimator(name, folder)}/{stem}.checkpoint.pt"

    def manifest(self, name: str, folder: str | None = None) -> str:
        """Return the list of the members of an ensemble, ``estimators/{name}/ensemble.json``."""
        return f"{self.estimator(name, folder)}/ensemble.json"

    def is_seeded(self, name: str) -> bool:
        """Tell whether an estimator is an ensemble with a member for each seed, as networks are."""
        return self.config.estimators[name].members == "seeds"

    @property
    def seeded(self) -> list[str]:
        """Names of the estimators that are ensembles with a member for each seed, in the order of
        the config."""
        return [name for name in self.config.estimators if self.is_seeded(name)]

    @property
    def resampled(self) -> list[str]:
        """Names of the estimators whose replicas are fits to resampled events, in the order of the
        config."""
        return [name for name in self.config.estimators if not self.is_seeded(name)]

    def seeds(self, name: str) -> range:
        """Return the seeds of an ensemble."""
        return range(self.config.estimators[name].seeds)  # type: ignore[attr-defined]

    def seeds_per_job(self, name: str) -> int:
        """Return how many members of an ensemble each training job makes: all of them on a GPU, or
        one."""
        options = self.config.estimators[name]
        asked: int = getattr(options, "seeds_per_job", 0)
        if asked:
            return asked
        return len(self.seeds(name)) if self.config.device == "cuda" else 1

    def seed_groups(self, name: str) -> list[range]:
        """Return the seeds that each training job of an ensemble takes, all of one fold."""
        seeds = self.seeds(name)
        size = self.seeds_per_job(name)
        of_fold = len(seeds) // self.n_folds
        groups = []
        for start in range(0, len(seeds), of_fold):
            members = seeds[start : start + of_fold]
            groups += [members[first : first + size] for first in range(0, len(members), size)]
        return groups

    @staticmethod
    def group_name(seeds: Sequence[int]) -> str:
        """Return the name of a training job, of its log and of its checkpoint: ``seed_3``,
        ``seeds_0_to_4``."""
        if len(seeds) == 1:
            return f"seed_{seeds[0]}"
        return f"seeds_{seeds[0]}_to_{seeds[-1]}"

    def group(self, name: str, first: int | str, last: int | str) -> str:
        """Return the folder of the networks that one job trains together."""
        return f"{self.estimator(name)}/seeds_{first}_to_{last}"

    def seed_files(self, name: str, folder: str | None = None) -> list[str]:
        """Return the files of all members of an ensemble, one job each, as studies train them."""
        return [self.seed(name, seed, folder) for seed in self.seeds(name)]

    def members(self, name: str) -> list[str]:
        """Return the files of all members of an ensemble; a group of seeds has a folder."""
        files = []
        for seeds in self.seed_groups(name):
            if len(seeds) == 1:
                files.append(self.seed(name, seeds[0]))
                continue
            folder = self.group(name, seeds[0], seeds[-1])
            files += [f"{folder}/seed_{seed}.pt" for seed in seeds]
        return files

    def histories(self, name: str) -> list[str]:
        """Return the losses by epoch of all members of an ensemble."""
        suffix = ".history.parquet"
        return [str(PurePosixPath(file).with_suffix(suffix)) for file in self.members(name)]

    def training_outputs(self, name: str) -> list[str]:
        """Return what the training jobs of an ensemble make: files of seeds, folders of groups."""
        outputs = []
        for seeds in self.seed_groups(name):
            if len(seeds) == 1:
                outputs += [self.seed(name, seeds[0]), self.history(name, seeds[0])]
            else:
                outputs.append(self.group(name, seeds[0], seeds[-1]))
        return outputs

    def fit_outputs(self, name: str) -> list[str]:
        """Return what rules make of an estimator, the file by which it is read first."""
        if self.is_seeded(name):
            return [self.manifest(name), *self.training_outputs(name)]
        return self.fitted(name)

    def estimator_files(self, name: str, folder: str | None = None) -> list[str]:
        """Return all files of an estimator that rules make, checkpoints left aside."""
        if not self.is_seeded(name):
            if folder is None:
                return self.fitted(name)
            return [self.nominal(name, folder), self.replicas(name, folder)]
        if folder is None:
            return [*self.members(name), self.manifest(name), *self.histories(name)]
        # In studies each network has a job of its own, and nothing averages them.
        histories = [self.history(name, seed, folder) for seed in self.seeds(name)]
        return [*self.seed_files(name, folder), *histories]

    # ---- predictions, domain, weights, histograms

    def prediction(self, sample: str, estimator: str) -> str:
        """Return the efficiencies of the jets of a sample,
        ``predictions/{sample}/{estimator}.parquet``."""
        return self.path("predictions", sample, f"{estimator}.parquet")

    def prediction_replicas(self, sample: str, estimator: str) -> str:
        """Return the efficiencies of every replica,
        ``predictions/{sample}/{estimator}.replicas.parquet``."""
        return self.path("predictions", sample, f"{estimator}.replicas.parquet")

    def predictions(self, sample: str) -> dict[str, str]:
        """Return the predictions on a sample by the name of the estimator."""
        return {name: self.prediction(sample, name) for name in self.config.estimators}

    def predictions_with_replicas(self, sample: str) -> dict[str, list[str]]:
        """Return the predictions on a sample and their replicas by the name of the estimator."""
        files = {}
        for name in self.config.estimators:
            files[name] = [self.prediction(sample, name), self.prediction_replicas(sample, name)]
        return files

    def domain(self) -> str:
        """Return where the training jets are, ``domain.parquet``; no name of a sample can collide
        with it."""
        return self.path("domain.parquet")

    def in_domain(self, sample: str) -> str:
        """Return which jets of a sample are like the training jets, ``domain/{sample}.parquet``."""
        return self.path("domain", f"{sample}.parquet")

    def weights(self, sample: str, estimator: str) -> str:
        """Return the event weights of a sample, ``weights/{sample}/{estimator}.parquet``."""
        return self.path("weights", sample, f"{estimator}.parquet")

    def histograms(self, distribution: str) -> str:
        """Return the histograms of a distribution, ``histograms/{distribution}.parquet``."""
        return self.path("histograms", f"{distribution}.parquet")

    def cells(self, sample: str) -> str:
        """Return the single jets of a sample in cells, ``cells/{sample}.parquet``."""
        return self.path("cells", f"{sample}.parquet")

    # ---- exports -------------------------------------------------------------------------------

    def exported(self, form: str) -> list[str]:
        """Return the names of the estimators that leave in a form, ``onnx`` say."""
        folds = self.config.roles.folds
        return exported(self.config.exports, form, self.config.estimators, folds)

    def export(self, form: str, estimator: str) -> str:
        """Return an export of an estimator, ``exports/{form}/{estimator}.onnx`` say."""
        return self.path("exports", form, f"{estimator}.{SUFFIXES[form]}")

    def exports_by_fold(self, form: str, estimator: str) -> list[str]:
        """Return the exports for the events of each fold, ``{estimator}.fold_0.onnx`` say; none
        without folds."""
        if self.n_folds == 1:
            return []
        suffix = SUFFIXES[form]
        names = [f"{estimator}.fold_{fold}.{suffix}" for fold in range(self.n_folds)]
        return [self.path("exports", form, name) for name in names]

    def distilled(self, estimator: str) -> dict[str, str]:
        """Return the files of a distilled network: the network, its report, and its forms."""
        files = {"network": "pt", "report": "json", "onnx": "onnx", "athena": "athena.onnx"}
        stem = self.path("exports", "distilled", estimator)
        forms = [name for name in files if name not in SUFFIXES or self.config.exports.has(name)]
        return {name: f"{stem}.{files[name]}" for name in forms}

    def friend_formats(self, sample: str) -> list[str]:
        """Return the formats of the friends of a sample's files; none where they have none."""
        section = self.config.exports.friends
        reader = self.config.reader_of(sample)
        if section is None or reader is None:
            return []
        # A file that is no ROOT file can have no friend that is one.
        return ["parquet"] if reader.format == "parquet" else list(section.formats)

    def friends(self, sample: str, number: int | str, formats: Sequence[str]) -> dict[str, str]:
        """Return the friends of one file of a sample, ``exports/friends/{sample}/{shard}.root``
        and so on, by their format."""
        stem = PurePosixPath(self.path("exports", "friends", sample, _shard_name(number)))
        return {name: str(stem.with_suffix(f".{name}")) for name in formats}

    def export_files(self) -> list[str]:
        """Return all exports."""
        files = []
        for form in SUFFIXES:
            for name in self.exported(form):
                files += [self.export(form, name), *self.exports_by_fold(form, name)]
        for name in self.exported("distilled"):
            files += self.distilled(name).values()
        for sample in self.config.samples:
            formats = self.friend_formats(sample)
            for number in range(self.n_shards(sample) if formats else 0):
                files += self.friends(sample, number, formats).values()
        return files

    # ---- studies -------------------------------------------------------------------------------

    def curve_folder(self, events: int | str) -> str:
        """Return the folder of a point of the learning curve, ``learning_curve/{events}``."""
        return self.path("learning_curve", events)

    def curve_point(self, events: int | str, estimator: str) -> str:
        """Return the numbers of an estimator at a point,
        ``learning_curve/{events}/{estimator}.csv``."""
        return self.path("learning_curve", events, f"{estimator}.csv")

    @property
    def curve_events(self) -> list[int]:
        """Numbers of events of the points of the learning curve; none where the config has no
        curve."""
        curve = self.config.learning_curve
        return [point.events for point in curve.points] if curve else []

    def curve_seeds(self, name: str, events: int | str) -> range:
        """Return the seeds of an ensemble at a point of the learning curve."""
        curve = self.config.learning_curve
        seeds = self.seeds(name)
        for point in curve.points if curve else ():
            if point.events == int(events) and point.seeds is not None:
                return seeds[: point.seeds]
        return seeds

    def curve_members(self, name: str, events: int | str) -> list[str]:
        """Return the files of what is measured at a point: the fit, or the networks."""
        folder = self.curve_folder(events)
        if not self.is_seeded(name):
            return [self.nominal(name, folder)]
        return [self.seed(name, seed, folder) for seed in self.curve_seeds(name, events)]

    def repeated_folder(self, number: int | str) -> str:
        """Return the folder of one of the repeated training samples, ``repeated/{number}``."""
        return self.path("repeated", number)

    def repeated_group_folder(self, first: int | str, last: int | str) -> str:
        """Return the folder of the repeated training samples that one job takes,
        ``repeated/samples_{first}_to_{last}``."""
        return self.path("repeated", f"samples_{first}_to_{last}")

    @staticmethod
    def repeated_files(folder: str, estimator: str) -> dict[str, str]:
        """Return what is measured with repeated samples: ``{estimator}.histograms.csv``,
        ``{estimator}.coverage.csv`` and ``{estimator}.accuracy.csv`` of a folder."""
        kinds = ("histograms", "coverage", "accuracy")
        return {kind: str(PurePosixPath(folder, f"{estimator}.{kind}.csv")) for kind in kinds}

    def repeated_measured(self, name: str) -> list[dict[str, str]]:
        """Return the files of all repeated samples of an estimator: of each of an ensemble's, or of
        each group of samples."""
        if self.is_seeded(name):
            folders = [self.repeated_folder(number) for number in self.repeated_numbers(name)]
        else:
            groups = self.repeated_groups(name)
            folders = [self.repeated_group_folder(group[0], group[-1]) for group in groups]
        return [self.repeated_files(folder, name) for folder in folders]

    def repeated_span(self, name: str, first: int | str, last: int | str | None = None) -> range:
        """Return the events of the training sample that a repeated sample is made of.

        Args:
            name: The estimator.
            first: Number of the sample.
            last: Number of the last sample, where a range of them is asked for.
        """
        events = self.repeated_events(name)
        end = first if last is None else last
        return range(int(first) * events, (int(end) + 1) * events)

    def repeated_events(self, name: str) -> int:
        """Return the events of each repeated sample of an estimator; 0 without any."""
        options = self._repeated_of(name)
        return options.events if options else 0

    def repeated_numbers(self, name: str) -> range:
        """Return the numbers of the repeated training samples of an estimator; none where the
        config does not repeat."""
        options = self._repeated_of(name)
        return range(options.samples if options else 0)

    def repeated_groups(self, name: str) -> list[range]:
        """Return the numbers of the repeated samples that each job takes."""
        numbers = self.repeated_numbers(name)
        repeated = self.config.repeated
        size = repeated.samples_per_job if repeated else 1
        return [numbers[first : first + size] for first in range(0, len(numbers), size)]

    def _repeated_of(self, name: str) -> Repeated | RepeatedSeeds | None:
        """Return how many repeated samples of how many events an estimator has."""
        repeated = self.config.repeated
        if repeated is not None and repeated.networks is not None and self.is_seeded(name):
            return repeated.networks
        return repeated

    # ---- what an earlier config left

    def stale_files(self, root: str | Path = ".") -> list[Path]:
        """Find files that an earlier config left, and that could be mistaken for results of this
        one.

        These are seeds and shards beyond those asked for, estimators, predictions, weights, flags
        and histograms that are no longer named. Only what truthtag wrote is found: files of its
        folders that have the names it gives, and that, where they are Parquet, carry its metadata.
        Links are never followed.

        Args:
            root: The working folder, which the paths are relative to.

        Returns:
            The files, sorted; nothing is deleted.
        """
        base = Path(root)
        wanted = {base / path for path in self._wanted()}
        found = set()
        for path in self._candidates(base / self.results):
            if path not in wanted and _is_ours(path):
                found.add(path)
        return sorted(found)

    def _wanted(self) -> Iterator[str]:
        """Go through the files that this config makes in the folders that are searched for stale
        ones."""
        for sample in self.config.samples:
            yield from self.shards(sample)
            yield from self.event_files(sample)
        for sample in self.config.weighted:
            yield self.in_domain(sample)
            for estimator in self.config.estimators:
                yield self.prediction(sample, estimator)
                yield self.prediction_replicas(sample, estimator)
                yield self.weights(sample, estimator)
        yield from self.export_files()
        for distribution in self.config.distributions:
            yield self.histograms(distribution)
        for sample in self.config.roles.judged:
            yield self.cells(sample)
        curve = [self.curve_folder(events) for events in self.curve_events]
        for estimator in self.config.estimators:
            numbers = self.repeated_numbers(estimator)
            repeated = [self.repeated_folder(number) for number in numbers]
            for folder in [None, *curve, *repeated]:
                yield from self._estimator_and_checkpoints(estimator, folder)

    def _estimator_and_checkpoints(self, name: str, folder: str | None) -> Iterator[str]:
        yield from self.estimator_files(name, folder)
        if self.is_seeded(name):
            for seeds in self.seed_groups(name):
                yield self.checkpoint(name, self.group_name(seeds), folder)
            for seed in self.seeds(name):
                yield self.checkpoint(name, seed, folder)

    def _candidates(self, results: Path) -> Iterator[Path]:
        """Go through the files that look like truthtag's in the folders that only truthtag writes
        to."""
        # A sample that this config does not name is left alone: it may be the user's own.
        for sample in self.config.samples:
            yield from _files(results / "samples" / sample, SHARD)
            yield from _files(results / "events" / sample, SHARD)
        yield from _files(results / "domain", TABLE)
        yield from _files(results / "histograms", TABLE)
        yield from _files(results / "cells", TABLE)
        for kind in ("predictions", "weights"):
            for folder in _folders(results / kind):
                yield from _files(folder, TABLE)
        for form in (*SUFFIXES, "distilled"):
            yield from _files(results / "exports" / form, EXPORT)
        for sample in self.config.samples:
            yield from _files(results / "exports" / "friends" / sample, FRIEND)
        studies = [*_folders(results / "learning_curve"), *_folders(results / "repeated")]
        for parent in [results, *(folder for folder in studies if folder.name.isdecimal())]:
            for folder in _folders(parent / "estimators"):
                yield from _files(folder, FITTED)
                for group in _folders(folder):
                    if GROUP.fullmatch(group.name):
                        yield from _files(group, FITTED)


def _shard_name(number: int | str) -> str:
    """Return the name of a shard by its number, or by a wildcard."""
    stem = number if isinstance(number, str) else f"{number:04d}"
    return f"{stem}.parquet"


def _folders(parent: Path) -> list[Path]:
    """Return the folders in a folder; neither links nor what is in a link."""
    if parent.is_symlink() or not parent.is_dir():
        return []
    return [path for path in sorted(parent.iterdir()) if path.is_dir() and not path.is_symlink()]


def _files(folder: Path, names: re.Pattern[str]) -> list[Path]:
    """Return the files in a folder whose whole name fits a pattern; neither links nor what is in a
    link."""
    if folder.is_symlink() or not folder.is_dir():
        return []
    files = [path for path in folder.iterdir() if path.is_file() and not path.is_symlink()]
    return [path for path in files if names.fullmatch(path.name)]


def _is_ours(path: Path) -> bool:
    """Tell whether truthtag wrote a file: its Parquet files carry metadata, its lists of members
    name their kind, its reports of distilled networks say what they are."""
    if path.suffix == ".parquet":
        return is_ours(path)
    if path.suffix == ".json":
        try:
            content = json.loads(path.read_text())
        except (OSError, ValueError):
            return False
        if not isinstance(content, dict):
            return False
        return {"kind", "members"} <= set(content) or DISTILLED in content
    return True
