"""What planning a large run takes: 5 ensembles of 20 networks for each of 5 folds, 100 shards."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from benchmarks.timing import ROOT, Row

FOLDS = 5
SHARDS = 100
EVENTS = 1_000_000
NETWORKS = ("mlp", "gnn", "gnn_geometric", "gnn_factorised", "gnn_second")
SECOND = {
    "kind": "network",
    "architecture": {"width": 32},
    "training": {"epochs": 3, "batch_events": 500, "learning_rate": 0.003, "bootstrap": True},
}


def large_config(results: Path) -> dict[str, Any]:
    """Return what differs from the default config; none of its files need exist."""
    seeds = {"seeds": 20 * FOLDS}
    estimators: dict[str, Any] = dict.fromkeys(("map", "smoothed", "delta_r", "additive"))
    estimators |= dict.fromkeys(NETWORKS, seeds)
    estimators["gnn_second"] = SECOND | seeds
    return {
        "results": str(results),
        "samples": {name: {"events": EVENTS} for name in ("train", "test", "boson")},
        "events_per_shard": EVENTS // SHARDS,
        "roles": {"validation": "train", "folds": FOLDS},
        "estimators": estimators,
        "figures": {"efficiencies": list(NETWORKS)},
    }


def planning_rows() -> list[Row]:
    """Plan the run, once, and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(yaml.safe_dump(large_config(Path(folder) / "results")))
        command = [sys.executable, "-m", "snakemake", "--cores", "1", "--dry-run", "--nolock"]
        command += ["--quiet", "all", "--configfile", str(file)]

        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # Of the processor: planning takes one core, and other work makes it no longer.
        took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return [Row("planning 500 networks and 300 shards: snakemake -n", took, "s")]
