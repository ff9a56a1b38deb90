"""Measure speed against plain references: ``make bench``.

Each figure is a median over repeats; each claim is a ratio within one run, steps compared in turn.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.additive import additive_rows
from benchmarks.chain import chain_rows
from benchmarks.engines import engine_rows
from benchmarks.planning import planning_rows
from benchmarks.readers import reader_rows
from benchmarks.timing import ROOT, Row, Toy, seconds
from benchmarks.training import gpu_rows, growth_rows, memory_rows, training_rows
from benchmarks.weighing import weighing_rows
from truthtag.arrays import FloatArray
from truthtag.estimators.trees import BoostedTrees, TreesOptions, why_no_trees
from truthtag.statistics.accuracy import excess_loss

SAMPLES = ("train", "validation", "test")


def tree_rows(toy: Toy) -> list[Row]:
    """Fit boosted trees to as many events as the default config has, if LightGBM is installed."""
    if why_no_trees():
        return []
    events = {name: toy.config.samples[name].events or 0 for name in SAMPLES}
    train, validation, test = (toy.sample(events[name], name) for name in SAMPLES)
    rows = []
    for crowding, name in ((False, "neighbours"), (True, "neighbours and crowding")):
        options = TreesOptions(crowding=crowding)

        predicted: list[FloatArray] = []

        def fit_and_predict(
            options: TreesOptions = options, predicted: list[FloatArray] = predicted
        ) -> None:
            fitted = BoostedTrees.fit(train, validation, options, (1, "bench"))
            predicted.append(fitted.efficiency(test))

        time = seconds(fit_and_predict)
        regret = excess_loss(test.per_jet("efficiency_true"), predicted[0]).mean()
        rows.append(Row(f"boosted trees on {name}: fit and predict", time, "s"))
        rows.append(Row(f"boosted trees on {name}: regret", 1e6 * regret, "1e-6"))
    return rows


def table(rows: list[Row]) -> str:
    """Return the figures as text, a line each."""
    width = max(len(row.what) for row in rows)
    lines = [f"{'':{width}} {'':>12} {'':9} {'x textbook':>11} {'share':>6}"]
    for row in rows:
        ratio = f"{row.ratio:11.2f}" if row.ratio is not None else " " * 11
        share = f"{row.share:6.0%}" if row.share is not None else " " * 6
        lines.append(f"{row.what:{width}} {row.value:12,.1f} {row.unit:9} {ratio} {share}".rstrip())
    return "\n".join(lines)


def main() -> None:
    """Measure, print a table, and write the figures as JSON."""
    toy = Toy.load()
    sample = toy.sample(20_000)
    rows = [
        # First: from then on this process keeps what it frees.
        *memory_rows(toy, sample),
        *training_rows(toy, sample),
        *growth_rows(toy, sample),
        *gpu_rows(toy, sample),
        *chain_rows(toy, sample),
        *engine_rows(toy, sample),
        *reader_rows(toy),
        *weighing_rows(toy),
        *additive_rows(toy),
        *tree_rows(toy),
        *planning_rows(),
    ]
    machine = {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
    print(f"{machine}\n{table(rows)}")
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "benchmarks/results/bench.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(
        json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=1)
    )


if __name__ == "__main__":
    main()
