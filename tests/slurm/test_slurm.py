"""The workflow on a real Slurm: the numbers of a local run, whatever happens to its jobs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from one_node import CannotStartError, Job, OneNode, one_node, why_not
from workplace import TIMEOUT, Workplace

CONFIG = {
    "results": "results/slurm",
    "samples": {"train": {"events": 2000}, "test": {"events": 2000}},
    "estimators": {
        **dict.fromkeys(("additive", "delta_r", "gnn", "gnn_geometric", "mlp")),
        # Long enough to be stopped after its first checkpoint.
        "gnn_factorised": {"seeds": 2, "training": {"epochs": 12}},
    },
    "distributions": dict.fromkeys(("m_jj", "boson_m_jj")),
    "exports": {"onnx": {"of": "gnn_factorised"}, "correctionlib": {"of": "map"}},
    "figures": {"efficiencies": ["map", "gnn_factorised"]},
    "closure": {"required": [{"efficiency": "true", "sample": "test"}]},
}
"""What changes the tiny config: a map and a network, and fewer jobs, but every kind of job."""

RESULTS = Path("results/slurm")
TIMES = ["seconds", "events_per_second"]
STOPPED = "estimators/gnn_factorised/seed_0"

MEMORY = "100 if attempt == 1 and wildcards.sample == 'test' else 2000"
"""[MB] Less than Snakemake itself takes within a job, for seconds before the script begins, so that
Slurm, which looks once a second, finds it on a machine of any speed; then more."""

MINUTES = "1 if attempt == 1 and wildcards.seed == '0' else 20"

ON_THIS_SLURM = (
    ("--workflow-profile", "profiles/slurm"),
    # There is no accounting; a look costs nothing here.
    ("--slurm-status-command", "squeue"),
    ("--slurm-init-seconds-before-status-checks", "4"),
    ("--resources", "mem_mb=4000", "runtime=60"),
    ("--set-resources", f"fill_cells:mem_mb={MEMORY}", f"train_network:runtime={MINUTES}"),
)


@pytest.fixture(scope="module")
def slurm() -> Iterator[OneNode]:
    if reason := why_not():
        pytest.skip(reason)
    try:
        with one_node() as running:
            yield running
    except CannotStartError as error:
        pytest.skip(f"no Slurm could be started: {error}")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, slurm: OneNode) -> Workplace:
    """A run of the same config without Slurm."""
    place = Workplace(tmp_path_factory.mktemp("local"))
    outcome = place.run(config=place.overlay("slurm.yaml", **CONFIG))
    assert outcome.returncode == 0, outcome.stdout
    return place


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory, slurm: OneNode) -> Workplace:
    """A run through Slurm, in which one training hangs."""
    place = Workplace(tmp_path_factory.mktemp("batch"))
    configs = ["--configfile", *place.overlay("slurm.yaml", **CONFIG).split()]
    command = [sys.executable, "-m", "snakemake"]
    for option in ON_THIS_SLURM:
        command += option
    over = threading.Event()
    watcher = threading.Thread(target=stop_training, args=(place.folder / RESULTS, over))
    watcher.start()
    try:
        outcome = subprocess.run(
            [*command, *configs], check=False, timeout=2 * TIMEOUT, **place.options
        )
    finally:
        over.set()
        watcher.join()
    assert outcome.returncode == 0, outcome.stdout
    return place


def stop_training(results: Path, over: threading.Event) -> None:
    """Stop one training after its first checkpoint, as a file system that hangs would.

    So it reaches its limit of time on a machine of any speed. The second try is left alone.
    """
    checkpoint = results / f"{STOPPED}.checkpoint.pt"
    seen: int | None = None
    while not over.wait(0.02):
        process = process_of(results / f"logs/{STOPPED}.log")
        seen = seen or process
        if process != seen:
            return
        if process and checkpoint.exists():
            os.kill(process, signal.SIGSTOP)
            return


def process_of(log: Path) -> int | None:
    """Return the process that writes a log; None before it has begun."""
    try:
        named = re.search(r"process (\d+) on", log.read_text())
    except OSError:
        return None
    return int(named[1]) if named else None


def tries(slurm: OneNode, step: str) -> list[Job]:
    return [job for job in slurm.jobs() if job.step == step]


def test_a_job_out_of_memory_is_tried_again_with_more(slurm: OneNode, batch: Workplace) -> None:
    first, second = tries(slurm, "rule_fill_cells_wildcards_test")
    assert "exceeded memory limit" in slurm.said_of(first)
    assert (first.state, first.memory) == ("FAILED", 100)
    assert (second.state, second.memory) == ("COMPLETED", 2000)


def test_a_job_out_of_time_goes_on_where_it_was(slurm: OneNode, batch: Workplace) -> None:
    first, second = tries(slurm, "rule_train_network_wildcards_gnn_factorised_0")
    assert (first.state, first.minutes) == ("TIMEOUT", 1)
    assert (second.state, second.minutes) == ("COMPLETED", 20)
    # Twice as much by the rule itself, or the most that a job can get here.
    assert (first.memory, second.memory) == (2100, 4000)
    assert "going on from" in (batch.folder / RESULTS / f"logs/{STOPPED}.log").read_text()


def test_all_other_jobs_end_well_at_once(slurm: OneNode, batch: Workplace) -> None:
    failed = [job.step for job in slurm.jobs() if job.state != "COMPLETED"]
    assert sorted(failed) == [
        "rule_fill_cells_wildcards_test",
        "rule_train_network_wildcards_gnn_factorised_0",
    ]


def test_every_result_is_that_of_a_local_run(local: Workplace, batch: Workplace) -> None:
    ours = results(batch)
    theirs = results(local)
    assert any(name.match("tables/*.csv") for name in theirs)
    assert sorted(ours) == sorted(theirs)
    different = [str(name) for name in theirs if ours[name] != theirs[name]]
    assert different == []


def results(place: Workplace) -> dict[Path, bytes | str]:
    """Return the content of every file: tables, figures, predictions, networks.

    Logs say when, and a checksum beside a table holds the times that :func:`content` leaves out.
    """
    folder = place.folder / RESULTS
    files = [file for file in folder.rglob("*") if file.is_file() and file.suffix != ".sha256"]
    names = [file.relative_to(folder) for file in files]
    return {name: content(folder / name) for name in names if name.parts[0] != "logs"}


def content(file: Path) -> bytes | str:
    """Return all that a file holds, but how long the epochs of a training took."""
    if file.name.endswith(".history.parquet"):
        table = pd.read_parquet(file)
    elif file.name == "training.csv":
        table = pd.read_csv(file)
    else:
        return file.read_bytes()
    return table.drop(columns=TIMES).to_csv()
