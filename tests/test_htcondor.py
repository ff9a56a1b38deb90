"""Jobs for HTCondor, as far as they can be looked at without a pool."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from workplace import TIMEOUT, Workplace, jobs_of

from conftest import ROOT

PLUGIN = "snakemake_executor_plugin_htcondor"

pytestmark = pytest.mark.skipif(
    find_spec(PLUGIN) is None, reason=f"{PLUGIN} is not installed; see `make test-htcondor`"
)

PROFILE = ("--workflow-profile", "profiles/htcondor")
SHARD = "results/tiny/samples/test/0000.parquet"


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    folder = tmp_path / "place"
    folder.mkdir()
    return Workplace(folder)


def submit(place: Workplace, *arguments: str) -> tuple[list[dict[str, str]], str]:
    """Return the submit descriptions of a run, and what snakemake says; the first job is held."""
    record = place.folder / "descriptions.json"
    pool = [sys.executable, str(ROOT / "tests/htcondor_pool.py"), str(record)]
    often = ["--seconds-between-status-checks", "1"]
    configs = ["--configfile", "config/tiny.yaml"]
    command = [*pool, *arguments, *PROFILE, *often, *configs]
    outcome = subprocess.run(command, check=False, timeout=TIMEOUT, **place.options)
    assert record.exists(), outcome.stdout
    return json.loads(record.read_text()), outcome.stdout


def test_the_whole_workflow_is_planned(place: Workplace) -> None:
    planned = jobs_of(place.dry_run(*PROFILE))
    assert {"generate_sample", "train_network", "predict", "closure"} <= set(planned)


@pytest.mark.slow(seconds=10)
def test_a_job_that_is_held_is_submitted_again_and_asks_for_more(place: Workplace) -> None:
    (first, second), said = submit(place, SHARD)
    assert "is held: over its memory" in said
    assert (place.folder / SHARD).exists()
    assert first["executable"] == sys.executable
    # A copy of the interpreter would not find its packages.
    assert first["transfer_executable"] == "False"
    assert first["request_cpus"] == "1"
    assert "request_gpus" not in first
    assert megabytes(second) == 2 * megabytes(first) > 0
    assert seconds(second) == 2 * seconds(first) > 0


@pytest.mark.slow(seconds=5)
def test_networks_on_a_gpu_ask_for_one_and_for_no_more_than_there_is(place: Workplace) -> None:
    for file in ("train/0000", "train/0001", "validation/0000"):
        sample = place.folder / f"results/tiny/samples/{file}.parquet"
        sample.parent.mkdir(parents=True, exist_ok=True)
        sample.touch()
    network = "results/tiny/estimators/gnn/seeds_0_to_1"
    most = ["--resources", "htcondor_request_mem_mb=1200", "allowed_execute_duration=600"]
    once = ["--retries", "0", "--config", "device=cuda"]
    (description,), _ = submit(place, network, *most, *once)
    assert description["request_gpus"] == "1"
    assert (megabytes(description), seconds(description)) == (1200, 600)


def megabytes(description: dict[str, str]) -> int:
    return int(description["request_memory"].removesuffix("MB"))


def seconds(description: dict[str, str]) -> int:
    return int(description["allowed_execute_duration"])
