import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.basedir)
LIBRARY = ROOT / "src" / "truthtag"

# The rule files use light modules of the library; the jobs import the installed package.
sys.path.insert(0, str(LIBRARY.parent))

from truthtag.errors import ConfigError
from truthtag.estimators.protocol import KINDS
from truthtag.figures.catalogue import figures_of
from truthtag.toy.generation import GENERATORS
from truthtag.toy.truth import TRUTHS
from truthtag.workflow.digests import code_digest
from truthtag.workflow.layout import Layout
from truthtag.workflow.options import check_config, first_events

try:
    config = check_config(config).model_dump(mode="json", exclude_none=True)
    layout = Layout(config)
    catalogue = figures_of(config)
except ConfigError as error:
    raise WorkflowError(str(error)) from None

ENVIRONMENT = str(ROOT / "envs" / "truthtag.yaml")
ESTIMATORS = config["estimators"]
ROLES = config["roles"]
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
    first=r"\d+",
    last=r"\d+",
    part=r"\d+",
    events=r"\d+",


def code(script, *modules):
    """Content of a script and of the library modules that it uses: an edit re-runs the steps that use it.

    Args:
        script: Name of the script.
        modules: Further modules, those that the config names: a kind of estimator, say.
    """
    return code_digest(ROOT / "workflow" / "scripts" / script, LIBRARY, *modules)


def kind_module(name):
    """The module of an estimator's kind."""
    return KINDS.module(ESTIMATORS[name]["kind"], f"estimators.{name}.kind")


def sample_of(distribution):
    """The sample that a distribution is filled with."""
    return config["distributions"][distribution]["sample"]


def fit_options(name):
    """What an estimator is fitted with; the number of its replicas does not matter for the fit itself."""
    return {key: value for key, value in ESTIMATORS[name].items() if key != "replicas"}


def training_options(name):
    """What a network is trained with; the number of networks does not matter for one of them."""
    return {**ESTIMATORS[name], "seeds": 1, "seeds_per_job": 0, "threads": 1}


def generator_of(sample):
    """The options of the generator of a sample."""
    return config["generators"][config["samples"][sample]["generator"]]


TRUTH_MODULE = TRUTHS.module(config["truth"]["kind"], "truth.kind")


def predictions_with_replicas(sample):
    """The files of every prediction on a sample, by the name of the estimator."""
    return {
        name: [layout.prediction(sample, name), layout.prediction_replicas(sample, name)]
        for name in ESTIMATORS
    }


def prediction_files(sample):
    """The same files in one list."""
    return [file for files in predictions_with_replicas(sample).values() for file in files]


def sample_memory(sample):
    """A kilobyte for each event and estimator, most of it replicas, beside what every job takes."""
    return 4000 + config["samples"][sample]["events"] * len(ESTIMATORS) // 1000


onstart:
    # What an earlier config left must not be taken for a result of this one.
    for stale in layout.stale_files():
        logger.info(f"Removing {stale}: this config does not ask for it.")
        stale.unlink()
