import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.basedir)
LIBRARY = ROOT / "src" / "truthtag"

# The rule files use light modules of the library; the jobs import the installed package.
sys.path.insert(0, str(LIBRARY.parent))

from truthtag.errors import ConfigError, DataError
from truthtag.estimators.protocol import KINDS
from truthtag.figures.catalogue import (
    figures_of,
    has_truth,
    options_of,
    samples_of,
    standard_figures,
)
from truthtag.figures.labels import drawing_options
from truthtag.toy.generation import GENERATORS
from truthtag.toy.with_variable import modules_of_truth
from truthtag.workflow.bases import on_base
from truthtag.workflow.claim import Claim
from truthtag.workflow.digests import code_digest
from truthtag.workflow.interrupts import JOBS_IGNORE_INTERRUPTS, stop_on_interrupt
from truthtag.workflow.layout import Layout
from truthtag.workflow.options import check_config, first_events
from truthtag.workflow.resources import Work, Workload, memory_mb, runtime_minutes
from truthtag.workflow.sample_files import check_files
from truthtag.workflow.scheduling import look_when_jobs_end

if workflow.is_main_process:
    stop_on_interrupt()
    shell.prefix(JOBS_IGNORE_INTERRUPTS)

try:
    checked = check_config(on_base(config, ROOT / "config"))
    check_files(checked)
    layout = Layout(checked)
    config = checked.model_dump(mode="json")
    catalogue = figures_of(config)
except ConfigError as error:
    raise WorkflowError(str(error)) from None

# Taken when jobs are about to start.
claim = Claim(layout.results)

ENVIRONMENT = str(ROOT / "envs" / "truthtag.yaml")


# Used with --software-deployment-method apptainer alone; docs/cluster.md says how to build it.
container: str(ROOT / "envs" / "truthtag.sif")


ESTIMATORS = config["estimators"]
ROLES = config["roles"]
GENERATED = [name for name in config["samples"] if not checked.is_read(name)]
READ = [name for name in config["samples"] if checked.is_read(name)]
WEIGHTED = checked.weighted
# How the training samples are cut into folds, if they are.
FOLDS = {"count": ROLES["folds"], "by": ROLES["fold_by"]} if ROLES["folds"] > 1 else None
# Graphics processors that a job asks for where networks are trained or evaluated.
GPUS = int(config["device"] == "cuda")


def names(known):
    """A wildcard constraint: one of the names, or nothing at all."""
    return "|".join(known) or "none"


wildcard_constraints:
    estimator=names(ESTIMATORS),
    sample=names(config["samples"]),
    distribution=names(config["distributions"]),
    figure=names(catalogue),
    shard=r"\d+",
    seed=r"\d+",
    fold=r"\d+",
    first=r"\d+",
    last=r"\d+",
    part=r"\d+",
    events=r"\d+",


@cache
def code(script, *modules):
    """Content of a script and of the library modules that it uses: an edit re-runs its steps.

    Args:
        script: Name of the script.
        modules: Further modules, those that the config names: a kind of estimator, say.
    """
    return code_digest(ROOT / "workflow" / "scripts" / script, LIBRARY, *modules)


def kind_module(name):
    """The module of an estimator's kind."""
    return KINDS.module(ESTIMATORS[name]["kind"], f"estimators.{name}.kind")


def engine_modules(name):
    """The module that predicts with several members at once, where an estimator's kind has one."""
    kind = KINDS.load(ESTIMATORS[name]["kind"], f"estimators.{name}.kind")
    place = getattr(kind, "engine_of", None)
    return [place.partition(":")[0]] if place else []


def sample_of(distribution):
    """The sample that a distribution is filled with."""
    return config["distributions"][distribution]["sample"]


def fit_options(name):
    """What an estimator is fitted with: not its number of replicas, which a fit does not need."""
    return {key: value for key, value in ESTIMATORS[name].items() if key != "replicas"}


def without_storage(options):
    """Options of networks but for where training keeps its events, which changes no number."""
    return {key: value for key, value in options.items() if key != "memory_limit"}


def training_options(estimator):
    """What a network is trained with: not the number of networks, but that of their resamples."""
    options = {**estimator.model_dump(mode="json"), "seeds": 1, "seeds_per_job": 0, "threads": 1}
    # Neither memory nor threads change a network: they are no parameters of its training.
    options = without_storage(options)
    # Kinds of other packages need not share resamples.
    if hasattr(estimator, "distinct_resamples"):
        options["resamples"] = estimator.distinct_resamples(layout.n_folds)
    return options


def span_of(sample, shard):
    """The events of one file of a sample, as (first, last) with the last one excluded."""
    span = layout.shard_span(sample, shard)
    return span.start, span.stop


def generator_of(sample):
    """The options of the generator of a sample."""
    return config["generators"][config["samples"][sample]["generator"]]


def reader_of(sample):
    """The options of the reader of a sample, columns of a variation in place."""
    return checked.reader_of(sample).model_dump(mode="json")


def group_weight(sample):
    """The factor that the weights of a sample's events are multiplied by."""
    group = config["samples"][sample]["group"]
    return config["groups"][group]["weight"] if group else 1.0


TRUTH_MODULES = modules_of_truth(checked.truth) if checked.truth else []


def prediction_files(sample):
    """The files of all predictions on a sample and of their replicas."""
    return [file for files in layout.predictions_with_replicas(sample).values() for file in files]


workload = Workload(layout)
# The profile of HTCondor names what its executor asks for; Slurm's takes mem_mb and runtime.
FOR_HTCONDOR = "htcondor_request_mem_mb" in (workflow.resource_settings.default_resources or ())


def memory_limit(wildcards):
    """Memory [MB] beyond which a training keeps its events in files."""
    return ESTIMATORS[wildcards.estimator].get("memory_limit", 0)


def needs(step, work, gpu=None):
    """Resources of a rule, as functions of the work of a job and of how often it was tried.

    Args:
        step: What they are known by in `truthtag.workflow.resources`.
        work: The work of a job, as a function of its wildcards.
        gpu: Graphics processors, as a function of the wildcards; none by default.
    """

    def memory(wildcards, attempt):
        return memory_mb(step, work(wildcards), attempt)

    def minutes(wildcards, attempt):
        return runtime_minutes(step, work(wildcards), attempt)

    def seconds(wildcards, attempt):
        return 60 * minutes(wildcards, attempt)

    asked = {"mem_mb": memory, "runtime": minutes}
    if step == "train_network":
        # No parameter: to change it trains no network again.
        asked["training_mb"] = memory_limit
    if gpu:
        asked["gpu"] = gpu
    if FOR_HTCONDOR:
        asked["htcondor_request_mem_mb"] = memory
        asked["allowed_execute_duration"] = seconds
    if FOR_HTCONDOR and gpu:
        # Asking for none would leave out the machines that have none.
        asked["request_gpus"] = lambda wildcards: gpu(wildcards) or None
    return asked


# Calibration and coverage are measured on the first sample that is judged.
JUDGED = ROLES["judged"][0]
TRUTH_IS_KNOWN = has_truth(JUDGED, config)
HISTOGRAMS = [layout.histograms(name) for name in config["distributions"]]
CELLS = [layout.cells(sample) for sample in ROLES["judged"]]
JUDGED_HISTOGRAMS = [
    layout.histograms(name) for name in config["distributions"] if sample_of(name) == JUDGED
]
REQUIRED_CLOSURE = [
    {key: value for key, value in entry.items() if value is not None}
    for entry in config["closure"]["required"]
]
COVERAGE_AXES = {
    variable: config["figures"]["axes"][f"coverage_{variable}"] for variable in ("pt", "delta_r")
}


def inputs_of(name):
    """Columns of the jets that a network sees."""
    return ESTIMATORS[name]["architecture"]["inputs"]


def export_options(form):
    """The options of a form that estimators leave in, without their names."""
    section = config["exports"][form] or {}
    return {key: value for key, value in section.items() if key != "of"}


def is_parquet(sample):
    """Whether a sample is read from Parquet files, not from ROOT files."""
    return reader_of(sample)["format"] == "parquet"


# What leaves for other frameworks.
ATHENA = {"layout": "athena", **export_options("athena")}
FRIENDS = layout.exported("friends")
FRIEND_FORMATS = export_options("friends").get("formats", [])

# The learning curve.
CURVE = config.get("learning_curve") or {"sample": JUDGED, "points": []}
CURVE_SAMPLE = CURVE["sample"]
CURVE_POINTS = [
    layout.curve_point(point["events"], name) for name in ESTIMATORS for point in CURVE["points"]
]


def events_of_point(events):
    """How many of the first training and validation events a point takes."""
    return first_events(checked, int(events))


def first_shards(role, events):
    """The files that hold the events of a role that a point takes."""
    return layout.first_shards(ROLES[role][0], events_of_point(events)[role])


def options_at_point(name, events):
    """What a network is trained with at a point."""
    return training_options(checked.estimator_at(name, int(events)))


# Repeated training samples.
REPEATED = [files for name in ESTIMATORS for files in layout.repeated_measured(name)]
JUDGED_DISTRIBUTIONS = {
    name: options
    for name, options in config["distributions"].items()
    if options["sample"] == JUDGED
}


def repeated_shards(name, first, last):
    """The files that hold the events of some repeated samples."""
    return layout.shards_with(ROLES["train"][0], layout.repeated_span(name, first, last))


def place_in_files(name, first, last):
    """Where the events of some repeated samples are in their files, as (first, last)."""
    span = layout.span_in_files(layout.repeated_span(name, first, last))
    return span.start, span.stop


# Figures.
CHOSEN_FIGURES = config["figures"].get("only") or []
FIGURES = CHOSEN_FIGURES or standard_figures(config)
FIGURE_FILES = [file for figure in FIGURES for file in layout.figure_files(figure)]


def figure_inputs(figure):
    """The files that the numbers of a figure are made from, by the name of the input."""
    entry = catalogue[figure]
    known = {
        "samples": lambda: {sample: layout.shards(sample) for sample in entry.samples},
        "predictions": lambda: {sample: layout.predictions(sample) for sample in entry.samples},
        "replicas": lambda: {
            sample: {name: layout.prediction_replicas(sample, name) for name in ESTIMATORS}
            for sample in entry.samples
        },
        "domains": lambda: {sample: layout.in_domain(sample) for sample in entry.samples},
        "scales": lambda: layout.table("scales"),
        "calibration": lambda: layout.table("calibration"),
        "coverage": lambda: layout.table("coverage_by_bin"),
        "histories": lambda: {name: layout.histories(name) for name in layout.seeded},
        "validation": lambda: flat(layout.shards_of(ROLES["validation"])),
        "learning_curve": lambda: CURVE_POINTS,
        "repeated": lambda: [files["histograms"] for files in REPEATED],
    }
    files = {name: known[name]() for name in entry.inputs if name in known}
    for name in entry.inputs_of("histograms"):
        files[f"histograms:{name}"] = layout.histograms(name)
    for name in entry.inputs_of("cells"):
        files[f"cells:{name}"] = layout.cells(name)
    for name in entry.inputs_of("members"):
        files[f"members:{name}"] = layout.members(name)
    for name in entry.inputs_of("fit"):
        # With folds, the fit without the first of them.
        files[f"fit:{name}"] = layout.fitted(name)[0]
    return files


def figure_needs(figure):
    """The files that must be there before the numbers of a figure are computed."""
    entry = catalogue[figure]
    trained = set(entry.inputs_of("members"))
    if "histories" in entry.inputs:
        trained.update(layout.seeded)
    needs = [file for name in sorted(trained) for file in layout.training_outputs(name)]
    for name, files in figure_inputs(figure).items():
        if name != "histories" and not name.startswith("members:"):
            needs += flat(files)
    return needs


def flat(files):
    """All files in lists and dictionaries of files."""
    if isinstance(files, str):
        return [files]
    inner = files.values() if isinstance(files, dict) else files
    return [file for part in inner for file in flat(part)]


def figure_work(figure):
    """The work of computing the numbers of a figure: that of its largest sample."""
    works = [workload.replicas(sample) for sample in samples_of(catalogue[figure], config)]
    return max(works, key=lambda work: work.events, default=Work())


def modules_of_numbers(entry):
    """The module that computes the numbers of a figure, and those that the config names for it."""
    truth = TRUTH_MODULES if "truth" in entry.inputs else []
    estimators = [*entry.inputs_of("members"), *entry.inputs_of("fit")]
    return [entry.numbers_module, *truth, *map(kind_module, estimators)]


TABLES = [
    layout.table(name)
    for name in (
        "summary",
        "summary_in_range",
        "summary_in_domain",
        "likelihood",
        "closure",
        "global",
        "verdict",
        "cells",
        "power",
        "shifts",
        "templates",
        "calibration",
        "scales",
        "samples",
    )
]
if TRUTH_IS_KNOWN:
    TABLES.append(layout.table("coverage"))
STUDY_TABLES = {
    "learning_curve": ["learning_curve"],
    "repeated": ["repeated_covariance", "repeated_coverage", "repeated_accuracy"],
}
# Where figures are chosen, only they are made, and the tables that belong to them.
CHOSEN_TABLES = [
    layout.table(table) for figure in CHOSEN_FIGURES for table in STUDY_TABLES.get(figure, [])
]
# All files that any step makes: one that was removed is made again, whatever made use of it.
EVERYTHING = [
    *TABLES,
    *([layout.table("coverage_by_bin")] if TRUTH_IS_KNOWN else []),
    *(layout.table_page(page) for page in ("tables", "verdict")),
    *([layout.table("required_closure")] if REQUIRED_CLOSURE else []),
    *(layout.weights(sample, name) for sample in WEIGHTED for name in ESTIMATORS),
    layout.domain(),
    *(layout.in_domain(sample) for sample in WEIGHTED),
    *layout.export_files(),
    *CELLS,
    *HISTOGRAMS,
    *(file for sample in WEIGHTED for file in prediction_files(sample)),
    *(file for name in ESTIMATORS for file in layout.fit_outputs(name)),
    *(file for sample in config["samples"] for file in layout.shards(sample)),
    *(file for sample in config["samples"] for file in layout.event_files(sample)),
]


onstart:
    try:
        for note in claim.take():
            logger.info(note)
    except DataError as error:
        raise WorkflowError(str(error)) from None
    look_when_jobs_end(workflow.scheduler)
    # What an earlier config left must not be taken for a result of this one.
    for stale in layout.stale_files():
        logger.info(f"Removing {stale}: this config does not ask for it.")
        stale.unlink()


onsuccess:
    claim.give_back()


onerror:
    claim.give_back()
