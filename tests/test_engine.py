"""Predictions by onnxruntime: the same as by torch, refused alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_cases import (
    POINTS,
    SAMPLE,
    cross_fitted,
    ensemble,
    jets_of,
    largest_ratio,
    networks,
    with_labels,
)

from conftest import ROOT, make_jets
from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.estimators.ensemble import Ensemble, accelerated
from truthtag.estimators.network import engine, runtime
from truthtag.estimators.network.engine import OnnxEngine
from truthtag.estimators.network.estimator import NetworkEstimator
from truthtag.estimators.predictions import predict
from truthtag.workflow.digests import modules_used

SCRIPTS = ROOT / "workflow/scripts"
LIBRARY = ROOT / "src/truthtag"


@dataclass
class Half:
    """An efficiency that has no engine."""

    def efficiency(self, jets: Jets) -> FloatArray:
        return np.full(jets.n_jets, 0.5)


# ---- the same efficiencies


@pytest.mark.parametrize("kind", ["graph", "factorised", "categories"])
@pytest.mark.parametrize("points", [(), POINTS])
def test_equals_torch(kind: str, points: tuple[str, ...]) -> None:
    slow = ensemble(kind, 2, points)
    fast = slow.accelerated()
    jets = with_labels(SAMPLE, points) if points else SAMPLE
    for found, expected in zip(fast.with_replicas(jets), slow.with_replicas(jets), strict=True):
        assert largest_ratio(found, expected) < 1e-5
        assert found.dtype == np.float64
    assert largest_ratio(fast.efficiency(jets), slow.efficiency(jets)) < 1e-5


@settings(max_examples=10)
@given(st.lists(st.integers(0, 6), max_size=12), st.integers(1, 60))
def test_chunks_hold_every_jet_once(multiplicities: list[int], pairs: int) -> None:
    jets = make_jets(multiplicities)
    found = list(runtime.chunks(jets, pairs))
    rows = [row for index in found for row in index.ravel()]
    assert sorted(rows) == list(range(jets.n_jets))
    for index in found:
        n_events, n = index.shape
        assert n_events == 1 or n_events * n * (n - 1) <= pairs


@pytest.mark.parametrize("pairs", [1, 100])
def test_the_size_of_chunks_changes_only_the_last_digits(
    pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = OnnxEngine(networks("geometric", 2))
    expected = of.efficiencies(SAMPLE)
    monkeypatch.setattr(engine, "PAIRS_AT_ONCE", pairs)
    assert largest_ratio(of.efficiencies(SAMPLE), expected) < 1e-6


@pytest.mark.parametrize("points", [(), POINTS])
def test_nothing_to_predict(points: tuple[str, ...]) -> None:
    of = OnnxEngine(networks("graph", 2, points))
    shape = (2, 0, 4) if points else (2, 0)
    assert of.efficiencies(make_jets([])).shape == shape
    assert of.efficiencies(make_jets([0, 0])).shape == shape


def test_efficiencies_fall_from_point_to_point() -> None:
    eff = OnnxEngine(networks("factorised", 2, POINTS)).efficiencies(SAMPLE)
    assert (np.diff(eff, axis=-1) <= 0).all()
    assert (eff >= 0).all()
    assert (eff <= 1).all()


# ---- who has it


def test_folds_are_computed_by_it_too() -> None:
    slow = cross_fitted()
    fast = accelerated(slow)
    jets = jets_of([2, 3, 4, 1, 0, 2, 5])
    assert slow.engine is None
    assert fast.engine.name.startswith("onnxruntime ")
    for one, other in ((fast, slow), (fast.held_out, slow.held_out)):
        found = one.with_replicas(jets)
        expected = other.with_replicas(jets)
        assert largest_ratio(found[0], expected[0]) < 1e-5
        assert largest_ratio(found[1], expected[1]) < 1e-5


def test_a_prediction_has_the_replicas_of_the_ensemble() -> None:
    slow = ensemble("graph")
    fast = accelerated(slow)
    assert fast.members == slow.members
    jets = jets_of([3, 2])
    replicas = predict(fast, jets).replicas
    assert replicas is not None
    assert replicas.shape == (3, 5)
    assert predict(fast, jets).digest() == predict(fast, jets).digest()


def test_what_has_no_engine_stays_as_it_is() -> None:
    for one in (Half(), Ensemble([Half(), Half()]), Ensemble([ensemble().members[0], Half()])):
        assert accelerated(one) is one


def test_torch_computes_where_onnxruntime_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"onnx": object()}
    monkeypatch.setattr(runtime, "find_spec", there.get)
    slow = ensemble()
    assert slow.accelerated().engine is None
    assert largest_ratio(slow.accelerated().efficiency(SAMPLE), slow.efficiency(SAMPLE)) == 0


def test_networks_elsewhere_or_of_other_inputs_have_none() -> None:
    of = networks("graph", 2)
    assert engine.is_available(of)
    assert not engine.is_available([of[0].to("meta"), of[1]])
    assert not engine.is_available([*networks("graph", 1), *networks("mlp", 1)])
    assert not engine.is_available([*networks("graph", 1), *networks("graph", 1, ("a",))])


# ---- refusals


def test_unknown_flavours_and_lacking_columns_are_refused() -> None:
    fast = ensemble("categories").accelerated()
    strange = jets_of([2]).with_columns(flavour=np.array([5, 15], dtype=np.int8))
    with pytest.raises(DataError, match=r"trained on the flavours \[0, 4, 5\], a jet has 15"):
        fast.efficiency(strange)
    with pytest.raises(
        DataError, match="sees the column 'origin' of each jet, and these jets lack"
    ):
        fast.efficiency(make_jets([2]))
    origin = jets_of([2]).with_columns(further={"origin": [0, 3], "width": [0.1, 0.2]})
    with pytest.raises(DataError, match="column 'origin' is 3 in row 1"):
        fast.efficiency(origin)


@pytest.mark.parametrize("kind", ["mlp", "graph", "factorised"])
def test_a_weight_that_is_not_finite_is_noticed(kind: str) -> None:
    of = networks(kind, 2)
    last = [name for name in of[1].state_dict() if name.endswith("bias")][-1]
    of[1].state_dict()[last][0] = float("nan")
    fast = Ensemble(list(map(NetworkEstimator, of))).accelerated()
    with pytest.raises(DataError, match=r"the network gives jet 0 \(event 0, .*efficiency nan"):
        fast.efficiency(make_jets([3]))


# ---- what depends on it


def test_its_code_concerns_predictions_and_no_training() -> None:
    kind = "truthtag.estimators.network.estimator"
    module = NetworkEstimator.engine_of.partition(":")[0]
    engine_files = {"engine.py", "onnx_builder.py", "onnx_graph.py", "runtime.py"}
    of_training = modules_used(SCRIPTS / "train_network.py", LIBRARY, kind)
    assert not engine_files & {path.name for path in of_training}
    of_prediction = modules_used(SCRIPTS / "predict.py", LIBRARY, kind, module)
    assert engine_files <= {path.name for path in of_prediction}
    of_maps = modules_used(SCRIPTS / "predict.py", LIBRARY, "truthtag.estimators.binned")
    assert not any("network" in path.parts for path in of_maps)
