"""Networks as an ONNX graph: the same function as torch, for any number of jets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import checker
from onnx_cases import KINDS, POINTS, SAMPLE, largest_ratio, networks

from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.estimators.network.batches import Batch, features
from truthtag.estimators.network.engine import logits_model
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.network.onnx_builder import IR_VERSION, OPERATORS, OPSET, Graph
from truthtag.estimators.network.onnx_graph import Events, NetworkStack, find_neighbours
from truthtag.estimators.network.runtime import chunks, open_session

every_kind = pytest.mark.parametrize("kind", KINDS)


def stacked_model(of: list[EfficiencyNetwork]) -> Any:
    """Return networks as one stack, in place of one after the other."""
    graph = Graph()
    n_columns = len(of[0].columns.names)
    events = Events.of_input(graph, "jets", n_columns)
    logits = NetworkStack(graph, of).logits(events, find_neighbours(graph, events))
    count = graph.integers([len(of), -1, of[0].n_points])
    graph.add("Reshape", logits, count, output="logits")
    shape = (len(of), "n_rows", of[0].n_points)
    return graph.model({"jets": ("n_events", "n_jets", n_columns)}, {"logits": shape}, {})


FORMS = {"one by one": logits_model, "stacked": stacked_model}
every_form = pytest.mark.parametrize("form", FORMS)


def torch_odds(network: EfficiencyNetwork, rows: FloatArray, n: int) -> FloatArray:
    """Return exp(logit) of an efficiency, and of passing each point given the one before."""
    import torch

    with torch.inference_mode():
        logits = network(Batch(torch.tensor(rows), [(len(rows) // n, n)]))
    logits = logits.reshape(len(rows), -1).double().numpy()
    logits[:, 0] += np.log(network.mu)
    return np.exp(logits)


def check_against_torch(of: list[EfficiencyNetwork], model: Any, jets: Jets) -> None:
    session = open_session(model.SerializeToString())
    rows = features(jets, of[0].columns).numpy()
    for index in chunks(jets, 1000):
        (logits,) = session.run(None, {"jets": rows[index]})
        odds = np.exp(logits.astype(np.float64))
        for network, found in zip(of, odds, strict=True):
            expected = torch_odds(network, rows[index.ravel()], index.shape[1])
            assert largest_ratio(found, expected) < 1e-5


# ---- parity


@every_kind
@every_form
@pytest.mark.parametrize("points", [(), POINTS])
def test_equals_torch_for_every_number_of_jets(
    kind: str, form: str, points: tuple[str, ...]
) -> None:
    of = networks(kind, 3, points)
    check_against_torch(of, FORMS[form](of), SAMPLE)


@every_kind
def test_a_single_network_needs_no_stack(kind: str) -> None:
    of = networks(kind, 1)
    check_against_torch(of, stacked_model(of), SAMPLE)


@every_form
def test_mu_of_one_is_no_shift(form: str) -> None:
    of = networks("graph", 1, mu=1.0)
    check_against_torch(of, FORMS[form](of), SAMPLE)


@every_kind
@every_form
@pytest.mark.parametrize("shape", [(3, 0), (0, 2), (0, 0)])
def test_events_without_jets_and_no_events(kind: str, form: str, shape: tuple[int, int]) -> None:
    of = networks(kind, 2, POINTS)
    session = open_session(FORMS[form](of).SerializeToString())
    jets = np.zeros((*shape, len(of[0].columns.names)), dtype=np.float32)
    (logits,) = session.run(None, {"jets": jets})
    assert logits.shape == (2, 0, 4)


# ---- properties


@settings(max_examples=15)
@given(st.integers(1, 6), st.permutations(range(6)), st.integers(0, 5))
def test_jets_may_be_permuted_and_events_do_not_see_each_other(
    n: int, order: list[int], seed: int
) -> None:
    of = networks("geometric", 1)
    session = SESSIONS.setdefault("geometric", open_session(logits_model(of).SerializeToString()))
    rng = np.random.default_rng(seed)
    # Within the scaling, where a network is not saturated.
    rows = rng.normal([[[100, 0, 0, 2]]], [[[50, 1, 1, 2]]], size=(4, n, 4)).astype(np.float32)
    (logits,) = session.run(None, {"jets": rows})
    logits = logits.reshape(4, n)
    moved = [place for place in order if place < n]
    (permuted,) = session.run(None, {"jets": rows[:, moved]})
    np.testing.assert_allclose(permuted.reshape(4, n), logits[:, moved], atol=1e-5)
    (alone,) = session.run(None, {"jets": rows[2:3]})
    np.testing.assert_allclose(alone.reshape(n), logits[2], atol=1e-5)


SESSIONS: dict[str, Any] = {}


@pytest.mark.parametrize("turn", [0.0, 1.0, 3.0, 6.0])
def test_the_difference_in_phi_is_wrapped(turn: float) -> None:
    """Without phi as an input, an event may be turned, also across -pi."""
    of = networks("geometric", 1)
    session = open_session(logits_model(of).SerializeToString())
    rows = np.array([[[90, 0.3, -1.5, 5], [60, -0.8, 0.2, 0], [30, 1.0, 1.9, 4]]], dtype=np.float32)
    (expected,) = session.run(None, {"jets": rows})
    rows[..., 2] = np.mod(rows[..., 2] + turn + np.pi, 2 * np.pi) - np.pi
    (found,) = session.run(None, {"jets": rows})
    np.testing.assert_allclose(found, expected, atol=1e-5)


# ---- the model


@every_kind
@every_form
def test_the_model_is_plain_and_its_axes_are_symbolic(kind: str, form: str) -> None:
    of = networks(kind, 2)
    model = FORMS[form](of)
    checker.check_model(model, full_check=True)
    assert model.ir_version == IR_VERSION == 8
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
    assert {node.op_type for node in model.graph.node} <= OPERATORS
    assert not any(node.doc_string for node in model.graph.node)
    (jets,) = model.graph.input
    axes = jets.type.tensor_type.shape.dim
    assert [axis.dim_param for axis in axes] == ["n_events", "n_jets", ""]
    again = FORMS[form](of)
    assert again.SerializeToString(deterministic=True) == model.SerializeToString(
        deterministic=True
    )


def test_every_operator_that_we_allow_is_in_use() -> None:
    from truthtag.exports.onnx_file import OnnxOptions, _content
    from truthtag.exports.onnx_layout import exported_model

    used = set()
    for kind, layout, points in (
        ("geometric", "truthtag", POINTS),
        ("factorised", "athena", POINTS),
        ("categories", "athena", ()),
    ):
        of = networks(kind, 2, points)
        content = _content(of, OnnxOptions(layout=layout), {}, {}, {})
        used |= {node.op_type for node in exported_model(of, content).graph.node}
    used |= {node.op_type for node in logits_model(networks("graph", 1)).graph.node}
    assert used == OPERATORS


# ---- the builder


def test_equal_constants_are_stored_once() -> None:
    graph = Graph()
    one = graph.floats([1.0, 2.0])
    assert graph.floats(np.array([1.0, 2.0])) == one
    assert graph.floats([2.0, 1.0]) != one
    # Of other types or shapes they are others.
    assert graph.integers(1) != graph.integers([1])
    assert graph.floats(1.0) != graph.integers(1)
    graph.add("Add", one, one, output="y")
    model = graph.model({}, {"y": (2,)}, {"who": "me"})
    assert [list(tensor.dims) for tensor in model.graph.initializer].count([]) == 2
    assert len(model.graph.initializer) == 5
    assert [(entry.key, entry.value) for entry in model.metadata_props] == [("who", "me")]
