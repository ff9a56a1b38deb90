"""Small networks of every kind, and jets for them, that the tests of ONNX share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from conftest import make_jets
from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.data.labels import Labels
from truthtag.estimators.cross_fitting import CrossFitted, Folds
from truthtag.estimators.ensemble import Ensemble
from truthtag.estimators.network.batches import features
from truthtag.estimators.network.estimator import NetworkEstimator
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.network.options import Architecture

EDGES = ("delta_eta", "delta_phi", "delta_r")
FURTHER = ("origin", "pt", "eta", "flavour", "width", "mass")
ORIGINS = (-1, 0, 7)
POINTS = ("85", "77", "70", "60")

KINDS = {
    "mlp": Architecture(width=8, blocks=0, head=(8,)),
    "graph": Architecture(width=8, blocks=2, head=(8, 6)),
    "geometric": Architecture(
        width=8, blocks=2, head=(8,), inputs=("pt", "eta", "flavour"), edge_features=EDGES, hidden=6
    ),
    "one edge": Architecture(width=8, blocks=1, head=(8,), edge_features=("delta_r",)),
    "factorised": Architecture(kind="factorised", width=8, head=(8,)),
    "factorised, edges": Architecture(
        kind="factorised", width=8, head=(8,), inputs=("flavour", "pt"), edge_features=EDGES[::-1]
    ),
    "one-hot": Architecture(width=8, blocks=1, head=(8,), inputs=FURTHER, flavour="one_hot"),
    "pair inputs": Architecture(
        kind="factorised",
        width=8,
        head=(8,),
        inputs=("width", "flavour", "pt"),
        pair_inputs=("flavour", "width"),
        flavour="one_hot",
        edge_features=("near_1",),
    ),
    "near": Architecture(
        width=8, blocks=1, head=(8,), edge_features=("near_0.3", "delta_r", "near_1")
    ),
    "factorised, one-hot": Architecture(
        kind="factorised",
        width=8,
        head=(8,),
        inputs=("flavour", "pt"),
        edge_features=EDGES,
        flavour="one_hot",
    ),
    "categories": Architecture(width=8, blocks=1, head=(8,), inputs=FURTHER, edge_features=EDGES),
    "factorised, categories": Architecture(kind="factorised", width=8, head=(8,), inputs=FURTHER),
}


def jets_of(multiplicities: list[int], seed: int = 0, **changes: Any) -> Jets:
    """Make jets with all columns that one of the networks sees."""
    jets = make_jets(multiplicities, seed)
    rng = np.random.default_rng(seed + 1)
    further = {
        "width": rng.uniform(0, 0.4, jets.n_jets),
        "origin": rng.choice(ORIGINS, jets.n_jets),
    }
    mass = rng.uniform(1, 30, jets.n_jets)
    return jets.with_columns(**{"further": further, "mass": mass, **changes})


EVERY_MULTIPLICITY = [*range(21), 32, 60, 3, 3, 2, 2, 2]
SAMPLE = jets_of(EVERY_MULTIPLICITY)
"""Events of every number of jets to 20, of 32 and of 60, several of some."""


def networks(
    kind: str = "graph", count: int = 3, points: tuple[str, ...] = (), mu: float = 2.0
) -> list[EfficiencyNetwork]:
    """Return networks that differ in their weights, their scaling and their mu."""
    found = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for number in range(count):
            network = EfficiencyNetwork(
                KINDS[kind], points=points, mu=mu * (number + 1), categories={"origin": ORIGINS}
            )
            columns = network.columns
            rows = features(jets_of([4, 5, 6], seed=number), columns)
            network.standardise.fit(rows, columns.names, None, columns.indicators)
            _sharpen(network)
            found.append(network.eval())
    return found


def _sharpen(network: EfficiencyNetwork) -> None:
    """Make efficiencies depend on the jets as much as those of trained networks do."""
    for weight in network.parameters():
        if weight.ndim == 2:
            is_last = weight.shape[0] == network.n_points
            weight.detach().mul_(2.0 if is_last else 1.4)


def ensemble(
    kind: str = "graph", count: int = 3, points: tuple[str, ...] = (), mu: float = 2.0
) -> Ensemble:
    """Return the same networks as an ensemble."""
    return Ensemble(list(map(NetworkEstimator, networks(kind, count, points, mu))))


def cross_fitted(kind: str = "graph", per_fold: int = 2) -> CrossFitted:
    """Return networks of three folds."""
    members = ensemble(kind, 3 * per_fold).members
    parts = [Ensemble(members[fold * per_fold :][:per_fold]) for fold in range(3)]
    return CrossFitted(Folds(3), parts)


def with_labels(jets: Jets, points: tuple[str, ...]) -> Jets:
    """Return jets whose tagger has these working points."""
    tags = {"is_tagged": None, "efficiency_true": None, "tag_bin": np.zeros(jets.n_jets, int)}
    return jets.with_columns(labels=Labels(points=points), **tags)


def largest_ratio(found: FloatArray, expected: FloatArray) -> float:
    """Return the largest relative difference of two arrays of one shape."""
    assert found.shape == expected.shape
    return float(np.abs(found / expected - 1).max(initial=0.0))
