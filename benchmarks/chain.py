"""The rest of the chain: generation, Parquet, maps, prediction; their growth in time and memory."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import torch

from benchmarks.timing import Row, Toy, median_seconds, seconds
from truthtag.data.jets import Jets, read_jets, write_jets
from truthtag.estimators.ensemble import Ensemble
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.protocol import kind_and_options
from truthtag.toy.generation import generate

# In a process of its own: the peak of this one holds what was measured before.
# Linux counts it anew from the start of a program; getrusage would report that of the parent, where
# it is larger.
MEMORY = """
from pathlib import Path
from benchmarks.timing import Toy
{what}
status = Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) / 1024)
"""
GENERATE = """
import tempfile
from truthtag.data.jets import write_jets
from truthtag.toy.generation import generate
toy = Toy.load()
with tempfile.TemporaryDirectory() as folder:
    blocks = generate(toy.generator, toy.truth, range({count}), (1, "bench"))
    write_jets(blocks, folder + "/sample.parquet")
"""
TRAIN = """
from benchmarks.training import epoch_of
toy = Toy.load()
epoch_of(toy, toy.sample({count}), "gnn_factorised")()
"""


def chain_rows(toy: Toy, sample: Jets) -> list[Row]:
    """Measure generation, Parquet, map fitting and prediction."""
    torch.set_num_threads(1)
    rows = []
    for count in (10_000, 100_000, 1_000_000, 10_000_000):

        def make(count: int = count) -> None:
            for _ in generate(toy.generator, toy.truth, range(count), (1, "bench")):
                pass

        time = seconds(make) if count > 100_000 else median_seconds(make, 3)
        rows.append(
            Row(f"generation, efficiencies, tags: {count:,} events", count / time, "events/s")
        )
    for count in (10_000, 1_000_000):
        rows += table_rows(toy, toy.sample(count))
    part = sample.first(2_000)
    for name, options in toy.networks.items():
        ensemble = Ensemble([EfficiencyNetwork(options.architecture) for _ in range(20)])
        predict = median_seconds(partial(ensemble.efficiency, part), 3)
        rows.append(Row(f"prediction with 20 networks, {name}", part.n_jets / predict, "jets/s"))
    if not Path("/proc/self/status").exists():
        return rows
    for what, code in (("generating and writing", GENERATE), ("training on", TRAIN)):
        for count in (10_000, 1_000_000):
            rows.append(
                Row(
                    f"peak memory, {what} {count:,} events",
                    peak_memory(code.format(count=count)),
                    "MB",
                )
            )
    return rows


def table_rows(toy: Toy, sample: Jets) -> list[Row]:
    """Measure writing, reading and fitting a map."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample.parquet"
        write = median_seconds(lambda: write_jets([sample], path), 3)
        size = path.stat().st_size / 1e6
        read = median_seconds(lambda: read_jets(path), 3)
    kind, options = kind_and_options(toy.config.estimators["map"], "estimators.map")
    fit = median_seconds(lambda: kind.fit(sample, sample, options, (1, "bench")), 3)
    events = f"{sample.n_events:,} events"
    return [
        Row(f"writing Parquet, {events}", size / write, "MB/s"),
        Row(f"reading Parquet, every value checked, {events}", size / read, "MB/s"),
        Row(f"fitting a map, {events}", sample.n_jets / fit, "jets/s"),
    ]


def peak_memory(what: str) -> float:
    """Return the peak memory of a fresh process that does something [MB]."""
    code = MEMORY.format(what=what)
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    return float(done.stdout)
