import sys
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.basedir)
LIBRARY = ROOT / "src" / "truthtag"

# The rule files use two light modules of the library; the jobs import the installed package.
sys.path.insert(0, str(LIBRARY.parent))

from truthtag.workflow.options import check_config, factor_figures, first_events, standard_figures
from truthtag.errors import ConfigError
from truthtag.workflow.digests import code_digest

try:
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    config = check_config(config, schema)
except ConfigError as error:
    raise WorkflowError(str(error)) from None

RESULTS = config["results"]
ENVIRONMENT = str(ROOT / "envs" / "truthtag.yaml")
EFFICIENCIES = [*config["maps"], *config["networks"]]
# Graphics processors that a job asks for where networks are trained or evaluated.
GPUS = int(config["device"] == "cuda")
FACTOR_FIGURES = factor_figures(config)
# Where figures are chosen, only they are made.
CHOSEN_FIGURES = config["figures"].get("draw", [])
CURVE = config.get("learning_curve", {"sample": "test", "points": []})
REPEATED = config.get("repeated", {"samples": 0, "events": 0})
POINTS = {str(point["events"]): point for point in CURVE["points"]}

# Which samples each figure is made from; their predictions by every efficiency come with them.
FIGURE_SAMPLES = {
    "fig1": ["test"],
    "fig2": ["test", "boson"],
    "fig3": [],
    "fig6": ["test"],
    "fig7": ["test"],
    "fig8": ["boson"],
    "calibration": ["test"],
    "coverage": ["test"],
}


wildcard_constraints:
    efficiency="|".join(EFFICIENCIES) or "none",
    sample="|".join(config["samples"]),
    shard=r"\d+",
    seed=r"\d+",
    map="|".join(config["maps"]) or "none",
    network="|".join(config["networks"]) or "none",


def code(script):
    """Content of a script and of the library modules it uses: an edit re-runs the steps that use it."""
    return code_digest(ROOT / "workflow" / "scripts" / script, LIBRARY)


def shard_events(sample):
    """The events of each shard of a sample, as (first, last) with the last one excluded."""
    total, size = config["samples"][sample]["events"], config["events_per_shard"]
    return [(first, min(first + size, total)) for first in range(0, total, size)]


def events_of(wildcards):
    """The events of one shard of a sample."""
    spans = shard_events(wildcards.sample)
    number = int(wildcards.shard)
    if number >= len(spans):
        raise WorkflowError(
            f"sample {wildcards.sample} has {len(spans)} shards of {config['events_per_shard']} events, "
            f"there is no shard {wildcards.shard}"
        )
    return spans[number]


def shards(sample):
    """The files of a sample."""
    return [f"{RESULTS}/samples/{sample}/{i:04d}.parquet" for i in range(len(shard_events(sample)))]


def first_shards(sample, events):
    """The files that hold the first events of a sample."""
    return [
        file for file, (first, _) in zip(shards(sample), shard_events(sample)) if first < events
    ]


def networks(network, folder=RESULTS):
    """The files of the networks of an ensemble."""
    return [
        f"{folder}/networks/{network}/seed_{i}.pt"
        for i in range(config["networks"][network]["seeds"])
    ]


def seeds_per_job(options):
    """How many networks of an ensemble each training job makes."""
    alone = 1 if config["device"] != "cuda" else options["seeds"]
    return options["seeds_per_job"] or alone


def seed_groups(options):
    """The numbers of the networks that each training job of an ensemble makes."""
    numbers, size = range(options["seeds"]), seeds_per_job(options)
    return [numbers[first : first + size] for first in range(0, len(numbers), size)]


def predictions(sample):
    """The predictions on a sample, by the name of the efficiency."""
    return {
        efficiency: f"{RESULTS}/predictions/{sample}/{efficiency}.parquet"
        for efficiency in EFFICIENCIES
    }


def with_replicas(sample):
    """The predictions on a sample and what their replicas say, by the name of the efficiency."""
    return {
        name: [path, path.replace(".parquet", ".replicas.parquet")]
        for name, path in predictions(sample).items()
    }


def domain(sample):
    """Which jets of a sample are like the training jets."""
    return f"{RESULTS}/domain/{sample}.parquet"


def part(wildcards):
    """How many of the first events of `train` and `validation` a point takes."""
    return first_events(config, int(wildcards.events))


def part_of(sample):
    """The files that hold the events of a sample that a point takes."""
    return lambda wildcards: first_shards(sample, part(wildcards)[sample])


def fitted_on_part(wildcards):
    """The map, or the networks, fitted to the events of a point."""
    folder, name = f"{RESULTS}/learning_curve/{wildcards.events}", wildcards.efficiency
    if name in config["maps"]:
        return [f"{folder}/maps/{name}.parquet"]
    return networks(name, folder)


def map_options(wildcards):
    """What a map is fitted with."""
    return {key: value for key, value in config["maps"][wildcards.map].items() if key != "replicas"}


def span_of(wildcards):
    """The events of one of the repeated training samples, as (first, last) with the last one excluded."""
    first = int(wildcards.part) * REPEATED["events"]
    return first, first + REPEATED["events"]


def shards_of_part(wildcards):
    """The files that hold the events of one of the repeated training samples."""
    first, last = span_of(wildcards)
    return [
        file
        for file, (low, high) in zip(shards("train"), shard_events("train"))
        if low < last and high > first
    ]


def place_in_files(wildcards):
    """Where these events are in these files."""
    first, last = span_of(wildcards)
    size = config["events_per_shard"]
    return first - first // size * size, last - first // size * size


def memory(wildcards):
    """A kilobyte for each event and efficiency, most of it replicas, beside what every job takes."""
    events = sum(config["samples"][sample]["events"] for sample in FIGURE_SAMPLES[wildcards.figure])
    return 4000 + events * len(EFFICIENCIES) // 1000


onstart:
    # A folder is a sample: shards that an earlier config left would be read as part of it.
    for sample in config["samples"]:
        for stale in set(Path(RESULTS, "samples", sample).glob("*.parquet")) - set(
            map(Path, shards(sample))
        ):
            logger.info(
                f"Removing {stale}: the config asks for fewer events than an earlier run."
            )
            stale.unlink()
