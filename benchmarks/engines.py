"""Prediction by onnxruntime beside torch, in batches and one event a call, on one thread."""

from __future__ import annotations

import tempfile
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.timing import Row, Toy, alternate, median_seconds
from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.estimators.ensemble import Ensemble
from truthtag.estimators.network.batches import features
from truthtag.estimators.network.estimator import NetworkEstimator
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.network.options import NetworkOptions
from truthtag.estimators.network.runtime import open_session
from truthtag.exports.onnx_file import export_onnx, read_onnx

NETWORKS = 20
BATCHED_EVENTS = 2_000
SINGLE_EVENTS = 200


def engine_rows(toy: Toy, sample: Jets) -> list[Row]:
    """Measure the prediction of each network of the config, where onnxruntime is installed."""
    if find_spec("onnx") is None or find_spec("onnxruntime") is None:
        return []
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, options in toy.networks.items():
            members = untrained(options, sample)
            rows += batched_rows(name, members, sample.first(BATCHED_EVENTS), Path(folder))
            rows += single_rows(name, members, sample.first(SINGLE_EVENTS), Path(folder))
    return rows


def untrained(options: NetworkOptions, sample: Jets) -> list[NetworkEstimator]:
    """Return networks with their inputs scaled and their weights as training begins."""
    torch.manual_seed(0)
    members = []
    for _ in range(NETWORKS):
        network = EfficiencyNetwork(options.architecture)
        network.standardise.fit(features(sample), used=options.architecture.inputs)
        members.append(NetworkEstimator(network.eval()))
    return members


def batched_rows(name: str, members: list[NetworkEstimator], jets: Jets, folder: Path) -> list[Row]:
    """Measure events of one number of jets together, in turn with torch."""
    ensemble = Ensemble(members)
    accelerated = ensemble.accelerated()
    export_onnx(ensemble, folder / "all.onnx")
    file = read_onnx(folder / "all.onnx")
    ways = (ensemble, accelerated, file)
    reference, engine, exported = alternate([partial(way.efficiency, jets) for way in ways])
    what = f"prediction with {NETWORKS} networks, {name}"
    return [
        Row(f"{what}, torch", jets.n_jets / reference, "jets/s"),
        Row(f"{what}, onnxruntime", jets.n_jets / engine, "jets/s", reference / engine),
        Row(f"{what}, ONNX file", jets.n_jets / exported, "jets/s", reference / exported),
    ]


def single_rows(name: str, members: list[NetworkEstimator], jets: Jets, folder: Path) -> list[Row]:
    """Measure one event a call, as an experiment's framework asks, for all networks and one."""
    rows = features(jets).numpy()
    events = np.split(rows[None], jets.offsets[1:-1], axis=1)
    found = []
    for count in (len(members), 1):
        path = folder / f"{count}.onnx"
        export_onnx(Ensemble(members[:count]), path)
        session = open_session(path.read_bytes())
        time = median_seconds(partial(one_by_one, session, events)) / jets.n_events
        found.append(Row(f"one event a call, {name}, {count} network(s)", 1e6 * time, "us"))
    return found


def one_by_one(session: Any, events: list[FloatArray]) -> None:
    """Compute each event in a call of its own."""
    for event in events:
        session.run(None, {"jets": event})
