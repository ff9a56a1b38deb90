"""Tiny files of every kind that truthtag writes, for tests of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from estimator_kinds import OPTIONS, SEED, fit

from truthtag.cli.main import main
from truthtag.data.files import write_frame
from truthtag.data.jets import Jets, write_jets
from truthtag.data.labels import Labels
from truthtag.estimators.cross_fitting import Folds
from truthtag.estimators.ensemble import Ensemble, load, write_manifest
from truthtag.estimators.network.estimator import NetworkEstimator
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.network.options import Architecture, TrainingOptions
from truthtag.estimators.prediction_files import write_prediction, write_replicas
from truthtag.estimators.predictions import predict
from truthtag.estimators.table_file import save_replicas
from truthtag.statistics.distributions import Distribution, fill_distribution
from truthtag.statistics.domain import Domain
from truthtag.weights.events import weights_table
from truthtag.weights.tag_counts import tag_counts
from truthtag.workflow.digests import digest, versions

PROVENANCE: dict[str, Any] = {
    "sample": "train",
    "seed": 1,
    "config": digest({}),
    "versions": versions(),
}
FLAVOURS = (0, 4, 5)
TRAINING = TrainingOptions(epochs=1, batch_events=10, learning_rate=0.1)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run the command line in this process; return exit code, output and errors."""
    code = main([str(one) for one in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def network(
    seed: int = 0, points: Sequence[str] = (), inputs: Sequence[str] = ()
) -> NetworkEstimator:
    """Return a network that nobody trained, with the scaling of jets around 100 GeV."""
    torch.manual_seed(seed)
    architecture = Architecture(
        width=4,
        blocks=1,
        head=(4,),
        inputs=("pt", "eta", "flavour", *inputs),
        edge_features=("delta_r",),
    )
    made = EfficiencyNetwork(architecture, FLAVOURS, points=points).eval()
    made.standardise.mean[0] = 100.0
    made.standardise.scale[0] = 50.0
    provenance = {"seed": [1, "net", seed], "train_events": 300, "validation_loss": 0.4}
    return NetworkEstimator(made, TRAINING, {**provenance, "versions": versions()})


def write_networks(folder: Path, count: int = 2, folds: Folds | None = None, **more: Any) -> Path:
    """Write an ensemble of networks."""
    files = [folder / f"seed_{seed}.pt" for seed in range(count)]
    for seed, file in enumerate(files):
        network(seed, **more).save(file, {})
    numbers = [seed % folds.count for seed in range(count)] if folds else ()
    write_manifest(files, folder / "ensemble.json", folds=folds, fold_of_member=numbers)
    return folder


def write_map(folder: Path, jets: Jets, kind: str = "binned", replicas: int = 2) -> Path:
    """Write a map, and as many replicas, which are fits to parts of the events."""
    provenance = {
        **{name: value for name, value in PROVENANCE.items() if name != "sample"},
        "options": OPTIONS[kind],
        "seed": list(SEED),
        "train_jets": jets.n_jets,
    }
    fit(kind, jets).save(folder / "nominal.parquet", provenance)
    if replicas:
        parts = [fit(kind, jets.take(slice(part, None, 2))) for part in range(replicas)]
        save_replicas(parts, folder / "replicas.parquet", provenance)
    return folder


def write_results(folder: Path, jets: Jets) -> Path:
    """Write a folder of results with one file of each kind."""
    labels = Labels(flavours=FLAVOURS)
    jets = jets.with_columns(labels=labels)
    half = jets.n_events // 2
    for shard, part in enumerate((slice(None, half), slice(half, None))):
        write_jets([jets.take(part)], folder / f"samples/train/{shard:04d}.parquet", PROVENANCE)
    for kind in ("binned", "nearest_jet", "parametric", "smoothed"):
        write_map(folder / "estimators" / kind, jets, kind)
    write_networks(folder / "estimators/net")
    versions_only = {"versions": versions()}
    history = {"epoch": [1, 2, 3], "validation_loss": [0.7, 0.5, 0.6], "best": [True, True, False]}
    write_frame(
        pd.DataFrame(history), folder / "estimators/net/seed_0.history.parquet", versions_only
    )
    model = load(folder / "estimators/binned")
    prediction = predict(model, jets)
    metadata = {"estimator": "results/estimators/binned", **versions_only}
    write_prediction(prediction, folder / "predictions/train/binned.parquet", metadata)
    write_replicas(prediction, folder / "predictions/train/binned.replicas.parquet", metadata)
    _write_domain(folder, jets)
    table, effective = weights_table(jets, tag_counts(jets, prediction.values, 2))
    weights = {"options": {"tags": 2}, "effective_events": effective, **versions_only}
    write_frame(table, folder / "weights/train/binned.parquet", weights)
    options = {"sample": "train", "observable": "pt_1", "tagged": [1], "axis": [20.0, 100.0, 600.0]}
    frame = fill_distribution(
        Distribution.from_options("leading_pt", options),
        jets,
        {"binned": prediction},
        np.ones(jets.n_jets, dtype=bool),
        {"b": 5, "c": 4, "light": 0},
    )
    write_frame(frame, folder / "histograms/leading_pt.parquet", {"distribution": options})
    return folder


def _write_domain(folder: Path, jets: Jets) -> None:
    rng = np.random.default_rng(0)
    options = {"flagged": 0.01, "neighbours": 2, "max_reference_jets": 50}
    domain = Domain.fit(jets, jets, rng, **options)  # type: ignore[arg-type]
    domain.write(folder / "domain.parquet", {"options": options, "versions": versions()})
    inside = domain.contains(jets)
    flags = {"event": jets.per_jet("event"), "in_domain": inside}
    write_frame(pd.DataFrame(flags), folder / "domain/train.parquet", {"versions": versions()})


def mean_of(models: Sequence[Any]) -> Ensemble:
    return Ensemble(models)
