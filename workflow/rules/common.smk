import sys
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.basedir)
LIBRARY = ROOT / "src" / "truthtag"

# The rule files use two light modules of the library; the jobs import the installed package.
sys.path.insert(0, str(LIBRARY.parent))

from truthtag.config import check_config
from truthtag.errors import ConfigError
from truthtag.provenance import code_digest

try:
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    config = check_config(config, schema)
except ConfigError as error:
    raise WorkflowError(str(error)) from None

RESULTS = config["results"]
ENVIRONMENT = str(ROOT / "envs" / "truthtag.yaml")
EFFICIENCIES = [*config["maps"], *config["networks"]]
# Factorised networks can be read: each has a counterpart of Figure 3.
FACTOR_FIGURES = [
    f"fig3_{network}"
    for network, options in config["networks"].items()
    if options["architecture"]["kind"] == "factorised"
]


wildcard_constraints:
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


def networks(network):
    """The files of the networks of an ensemble."""
    return [f"{RESULTS}/networks/{network}/seed_{i}.pt" for i in range(config["networks"][network]["seeds"])]


def predictions(sample):
    """The predictions on a sample, by the name of the efficiency."""
    return {efficiency: f"{RESULTS}/predictions/{sample}/{efficiency}.parquet" for efficiency in EFFICIENCIES}


onstart:
    # A folder is a sample: shards that an earlier config left would be read as part of it.
    for sample in config["samples"]:
        for stale in set(Path(RESULTS, "samples", sample).glob("*.parquet")) - set(map(Path, shards(sample))):
            logger.info(f"Removing {stale}: the config asks for fewer events than an earlier run.")
            stale.unlink()
