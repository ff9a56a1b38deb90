"""Cost of every step by the number of events: ``python -m benchmarks.scaling``.

Runs the workflow on samples of several sizes, from generation to closure, and reads processor time
and peak memory of every job from its log. Other work on the machine changes neither by much.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from benchmarks.timing import ROOT
from truthtag.workflow.bases import on_base
from truthtag.workflow.layout import Layout
from truthtag.workflow.options import check_config

SHARD = 1_000_000
"""Events of a shard, where a sample has more."""

VALIDATION = 20_000
"""Validation events, whatever the size of the other samples."""

ENDED = re.compile(r"; ([\d.]+) s of processor time, (\d+) MB of memory at most")

CONFIG: dict[str, Any] = {
    "samples": {"validation": {"events": VALIDATION}, "boson": None},
    "generators": {"boson": None},
    "events_per_shard": SHARD,
    "roles": {"judged": ["test"]},
    "estimators": {
        "mlp": None,
        "gnn": None,
        "gnn_geometric": None,
        "gnn_factorised": {"seeds": 1, "training": {"epochs": 1, "bootstrap": False}},
    },
    "closure": {"required": []},
    "figures": {"efficiencies": ["map", "delta_r", "additive", "gnn_factorised"]},
}
"""What differs from the default config: one small network, one epoch, and no second sample."""


@dataclass(frozen=True)
class Cost:
    """What one step took.

    Args:
        seconds: Processor time of all its jobs [s].
        memory: Most memory that one of them had [MB].
    """

    seconds: float
    memory: int


def scaled_config(events: int, results: Path) -> dict[str, Any]:
    """Return the config of so many training and test events."""
    base = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    of_boson = [name for name, one in base["distributions"].items() if one["sample"] == "boson"]
    of_size = {name: {"events": events} for name in ("train", "test")}
    return CONFIG | {
        "results": str(results),
        "samples": CONFIG["samples"] | of_size,
        "distributions": dict.fromkeys(of_boson),
    }


def targets(config: dict[str, Any]) -> list[str]:
    """Return the files that are made: weights, closure, calibration and coverage."""
    checked = check_config(on_base(config, ROOT / "config"))
    layout = Layout(checked)
    weights = [layout.weights("test", name) for name in checked.estimators]
    tables = ("closure", "verdict", "calibration", "coverage", "summary")
    return [*weights, *(layout.table(name) for name in tables)]


def run(events: int, folder: Path, chosen: Sequence[str]) -> dict[str, Cost]:
    """Run the workflow on samples of one size, and return the cost of its steps."""
    results = folder / str(events)
    results.mkdir(parents=True, exist_ok=True)
    config = scaled_config(events, results)
    file = results / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    files = [str(results / name) for name in chosen] or targets(config)
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "rules", "--nolock"]
    subprocess.run([*command, "--configfile", str(file), "--", *files], cwd=ROOT, check=True)
    return costs(results / "logs")


def costs(logs: Path) -> dict[str, Cost]:
    """Read what jobs took from their logs; jobs whose logs differ by a number are one step."""
    found: dict[str, Cost] = {}
    for path in sorted(logs.rglob("*.log")):
        ended = ENDED.search(path.read_text())
        if ended is None:
            continue
        step = re.sub(r"\d+", "*", str(path.relative_to(logs).with_suffix("")))
        before = found.get(step, Cost(0.0, 0))
        seconds = before.seconds + float(ended[1])
        found[step] = Cost(seconds, max(before.memory, int(ended[2])))
    return found


def table(sizes: Sequence[int], of_sizes: Sequence[dict[str, Cost]]) -> str:
    """Return the costs as a table in Markdown.

    The last column compares what an event more costs between the two largest sizes with the same
    between the two before: 1 where the cost is linear, whatever a job takes to begin.
    """
    heads = [f"{size:,}: s | MB" for size in sizes]
    lines = [
        f"| step | {' | '.join(heads)} | events/s | linear: 1 |",
        "|---|" + "---|" * (2 * len(sizes) + 2),
    ]
    for step in sorted({name for found in of_sizes for name in found}):
        cells = []
        for found in of_sizes:
            one = found.get(step)
            cells += [f"{one.seconds:.1f}", str(one.memory)] if one else ["", ""]
        slopes = _slopes(step, sizes, of_sizes)
        rate = f"{1 / slopes[-1]:,.0f}" if slopes and slopes[-1] > 0 else ""
        linear = ""
        if len(slopes) > 1 and slopes[-2] > 0:
            linear = f"{slopes[-1] / slopes[-2]:.2f}"
        lines.append(f"| `{step}` | {' | '.join(cells)} | {rate} | {linear} |")
    return "\n".join(lines)


def _slopes(step: str, sizes: Sequence[int], of_sizes: Sequence[dict[str, Cost]]) -> list[float]:
    """Return what an event more costs from size to size [s]."""
    known = [(n, found[step]) for n, found in zip(sizes, of_sizes, strict=True) if step in found]
    slopes = []
    for (fewer, before), (more, after) in pairwise(known):
        slopes.append((after.seconds - before.seconds) / (more - fewer))
    return slopes


def main() -> None:
    """Run all sizes, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, default=ROOT / "benchmarks/results/scaling")
    parser.add_argument("--files", nargs="*", default=[], help="files of the results to make only")
    given = parser.parse_args()
    sizes = sorted(given.events)
    found = [run(size, given.folder.resolve(), given.files) for size in sizes]
    print(table(sizes, found))


if __name__ == "__main__":
    main()
