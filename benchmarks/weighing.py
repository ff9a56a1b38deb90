"""Weighing a file of an experiment into its friend: events a second and peak memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from benchmarks.chain import peak_memory
from benchmarks.readers import read_alone
from benchmarks.timing import Row, Toy, alternate
from tests.nano import write_nano
from truthtag.data.labels import Labels
from truthtag.data.readers.options import ReaderOptions
from truthtag.data.readers.reading import read_events
from truthtag.estimators.ensemble import load
from truthtag.estimators.network.estimator import NetworkEstimator
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.network.options import Architecture
from truthtag.estimators.protocol import kind_and_options
from truthtag.exports.weighing import weigh_file

COUNTS = (100_000, 1_000_000)
LABELS = Labels((0, 4, 5))
OPTIONS = ReaderOptions(format="nanoaod", pt=(20.0, None), abs_eta=(None, 2.5))
MEASURE = """
from benchmarks.weighing import weigh_into_friend
weigh_into_friend("{model}", "{path}")
"""


def weighing_rows(toy: Toy) -> list[Row]:
    """Measure weighing files of NanoAOD's layout, where uproot is installed."""
    if find_spec("uproot") is None:
        return []
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        models = {"map": Path(folder) / "map.parquet", "network": Path(folder) / "network.pt"}
        save_map(toy, models["map"])
        save_network(models["network"])
        sample = toy.sample(max(COUNTS))
        for count in COUNTS:
            path = Path(folder) / f"{count}.root"
            write_nano(sample.first(count), path, np.random.default_rng(1))
            rows += rows_of(count, path, models)
    return rows


def rows_of(count: int, path: Path, models: dict[str, Path]) -> list[Row]:
    """Measure one file."""
    steps: list[Callable[[], object]]
    steps = [partial(read_alone, path), partial(read_and_check, path)]
    steps += [partial(weigh_into_friend, model, path) for model in models.values()]
    # A million events take long enough to be measured once.
    alone, read, *weighed = alternate(steps, 3 if count < max(COUNTS) else 1)
    events = f"{count:,} events of NanoAOD"
    rows = [Row(f"reading and checking {events}", count / read, "events/s", alone / read)]
    for (name, model), time in zip(models.items(), weighed, strict=True):
        what = f"weighing {events} with a {name}"
        rows.append(Row(f"{what}, a friend written", count / time, "events/s", alone / time))
        if Path("/proc/self/status").exists():
            memory = peak_memory(MEASURE.format(model=model, path=path))
            rows.append(Row(f"peak memory, {what}", memory, "MB"))
    return rows


def save_map(toy: Toy, path: Path) -> None:
    """Fit a map, and write it."""
    kind, options = kind_and_options(toy.config.estimators["map"], "estimators.map")
    sample = toy.sample(20_000)
    kind.fit(sample, sample, options, (1, "bench")).save(path, {})


def save_network(path: Path) -> None:
    """Write a small network, which need not be trained to be timed."""
    torch.manual_seed(1)
    network = EfficiencyNetwork(Architecture(kind="factorised", width=32), LABELS.flavours)
    NetworkEstimator(network).save(path, {})


def read_and_check(path: Path) -> int:
    """Read, select, sort and check the jets, and do nothing with them."""
    chunks = read_events(path, OPTIONS, LABELS, {}, {}, tags=False)
    return sum(chunk.counts.entries for chunk in chunks)


def weigh_into_friend(model: str | Path, path: str | Path) -> int:
    """Weight the events of a file with a stored model, and write the friend of the file."""
    torch.set_num_threads(1)
    target = Path(path).with_suffix(".friend.root")
    return weigh_file(load(model), path, OPTIONS, root_path=target).entries
