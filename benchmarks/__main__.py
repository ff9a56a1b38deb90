"""Measure speed against plain references: ``make bench``. Each figure is a median over repeats, each claim a ratio in one run."""

from __future__ import annotations

import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks.reference import ConcatenatedNetwork
from truthtag.config import check_config
from truthtag.ensemble import Ensemble
from truthtag.jets import Jets, concatenate, read_jets, write_jets
from truthtag.maps import fit_map
from truthtag.network import Architecture, EfficiencyNetwork
from truthtag.toy import generate, make_process
from truthtag.training import Events, batch_loss
from truthtag.truth import make_truth

ROOT = Path(__file__).parent.parent
BATCH_EVENTS = 500
REPEATS = 5


def median_seconds(step: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the median time of a step, after one that does not count [s]."""
    step()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def training_step(network: torch.nn.Module, events: Events) -> Callable[[], object]:
    """Return a whole training step on one batch: forward, backward, optimiser."""
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    batch, tags = next(events.batches(BATCH_EVENTS, torch.Generator().manual_seed(0)))

    def step() -> None:
        loss = batch_loss(network(batch), tags, list(batch.shape), 1.0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def multiply_rate() -> float:
    """Return the rate of a large matrix product [FLOP/s], which bounds everything below."""
    a, b = torch.randn(4096, 1024), torch.randn(1024, 1024)
    return 2 * 4096 * 1024 * 1024 / median_seconds(lambda: a @ b, 9)


def flops_per_event(architecture: Architecture, counts: np.ndarray, split: bool) -> float:
    """Count the operations of a training step per event: two per weight forward, and twice that backward.

    Args:
        architecture: Sizes of the network.
        counts: Jets of each event.
        split: Whether the first layer of the pair network is applied per jet (ours) or per pair (the textbook).
    """
    network = EfficiencyNetwork(architecture)
    jets, pairs = counts.mean(), (counts * (counts - 1)).mean()
    total = weights(network.body.head) * jets
    for block in network.body.blocks:
        first = block.edge[0].weight.numel()
        total += (weights(block.node) + weights(block.merge)) * jets
        total += (weights(block.edge) - first) * pairs + first * (jets if split else pairs)
    return 6 * total


def weights(layers: torch.nn.Module) -> int:
    """Return the number of weights, biases excluded."""
    return sum(p.numel() for p in layers.parameters() if p.dim() == 2)


def bench_training(sample: Jets) -> list[dict[str, Any]]:
    """Compare our training step with that of the textbook network and with the arithmetic limit."""
    rate, rows = multiply_rate(), []
    selections: dict[str, Jets] = {f"{n} jets": sample.take(sample.multiplicity == n) for n in range(2, 7)}
    selections["mixture"] = sample
    for width in (64, 256):
        architecture = Architecture(width=width)
        for name, jets in selections.items():
            if width == 256 and name not in ("2 jets", "6 jets", "mixture"):
                continue
            events = Events(jets)
            torch.manual_seed(0)
            ours = EfficiencyNetwork(architecture, events.flavours)
            ours.standardise.fit(events.rows)
            size = sum(m for m, _ in next(events.batches(BATCH_EVENTS))[0].shape)
            fast, plain = (
                size / median_seconds(training_step(network, events)) for network in (ours, ConcatenatedNetwork(ours))
            )
            limit = rate / flops_per_event(architecture, jets.multiplicity, split=True)
            rows.append(
                {
                    "what": f"training, width {width}, {name}",
                    "value": fast,
                    "unit": "events/s",
                    "ratio to textbook": fast / plain,
                    "share of limit": fast / limit,
                }
            )
    return rows


def bench_rest(config: dict[str, Any], sample: Jets) -> list[dict[str, Any]]:
    """Measure generation, Parquet, map fitting and prediction."""
    flavours = config["flavours"]
    process, truth = make_process(config["generators"]["multijet"], flavours), make_truth(config["truth"], flavours)
    blocks = 5
    generated = median_seconds(lambda: [*generate(process, truth, range(blocks * 10_000), (1, "bench"))], 3)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample.parquet"
        write = median_seconds(lambda: write_jets([sample], path), 3)
        size = path.stat().st_size / 1e6
        read = median_seconds(lambda: read_jets(path), 3)
    fit = median_seconds(lambda: fit_map(sample, config["maps"]["map"]), 3)
    ensemble = Ensemble([EfficiencyNetwork(Architecture(width=64)) for _ in range(20)])
    part = sample.take(slice(0, 2000))
    predict = median_seconds(lambda: ensemble.efficiency(part), 3)
    rows = [
        ("generation with efficiencies and tags", blocks * 10_000 / generated, "events/s"),
        ("writing Parquet", size / write, "MB/s"),
        ("reading Parquet, every value checked", size / read, "MB/s"),
        ("fitting a map", sample.n_jets / fit, "jets/s"),
        ("prediction, 20 networks of width 64", part.n_jets / predict, "jets/s"),
    ]
    return [{"what": what, "value": value, "unit": unit} for what, value, unit in rows]


def table(rows: list[dict[str, Any]]) -> str:
    """Return the figures as text, a line each."""
    lines = [f"{'':48} {'':>12} {'':9} {'x textbook':>11} {'of limit':>9}"]
    for row in rows:
        ratio = f"{row['ratio to textbook']:11.2f}" if "ratio to textbook" in row else " " * 11
        share = f"{row['share of limit']:9.0%}" if "share of limit" in row else " " * 9
        lines.append(f"{row['what']:48} {row['value']:12,.0f} {row['unit']:9} {ratio} {share}")
    return "\n".join(lines)


def main() -> None:
    """Measure, print a table, and write the figures as JSON."""
    torch.set_num_threads(1)
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    config = check_config(yaml.safe_load((ROOT / "config/config.yaml").read_text()), schema)
    process = make_process(config["generators"]["multijet"], config["flavours"])
    truth = make_truth(config["truth"], config["flavours"])
    sample = concatenate([*generate(process, truth, range(20_000), (1, "bench"))])
    rows = [*bench_training(sample), *bench_rest(config, sample)]
    machine = {"machine": platform.machine(), "python": platform.python_version(), "torch": torch.__version__}
    print(f"one thread, batches of {BATCH_EVENTS} events, medians of {REPEATS}; {machine}\n{table(rows)}")
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "benchmarks/results/bench.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
