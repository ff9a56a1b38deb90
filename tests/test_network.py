"""The network: sizes, invariances, equality with the textbook, files."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from textbook import textbook_block, textbook_network

from benchmarks.reference import ConcatenatedNetwork
from conftest import make_jets
from truthtag.data.jets import Jets, concatenate
from truthtag.data.kinematics import delta_phi, wrap_angle_float32
from truthtag.errors import DataError
from truthtag.estimators.network.batches import Batch, features
from truthtag.estimators.network.bodies import GNBlock
from truthtag.estimators.network.file import load_network, save_network
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.network.options import Architecture
from truthtag.estimators.predictions import Efficiency

EDGES = ("delta_eta", "delta_phi", "delta_r")
NEAR = ("near_0.3", "near_1")
SEEN = ("pt", "eta", "flavour")
KINDS = {
    "gnn": Architecture(width=16, blocks=2, head=(8,)),
    "gnn_geometric": Architecture(
        width=16, blocks=2, head=(8,), inputs=SEEN, edge_features=EDGES, hidden=12
    ),
    "gnn_factorised": Architecture(
        kind="factorised", width=16, head=(8,), inputs=SEEN, edge_features=EDGES
    ),
    "one_hot": Architecture(
        width=16, blocks=1, head=(8,), inputs=SEEN, edge_features=NEAR, flavour="one_hot"
    ),
    "one_hot_factorised": Architecture(
        kind="factorised", width=16, head=(8,), inputs=SEEN[::-1], flavour="one_hot"
    ),
    "pair_inputs": Architecture(
        kind="factorised",
        width=16,
        head=(8,),
        inputs=SEEN,
        flavour="one_hot",
        pair_inputs=("flavour", "eta"),
        edge_features=NEAR,
    ),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def small_network(kind: str = "gnn", **changes: Any) -> EfficiencyNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = EfficiencyNetwork(KINDS[kind], **changes)
    network.standardise.fit(features(make_jets([3, 4, 5])))
    return network.eval()


def test_parameters_of_appendix_b() -> None:
    assert (
        sum(p.numel() for p in EfficiencyNetwork(Architecture(width=256)).parameters()) == 1_435_245
    )


def test_layer_sizes_of_appendix_b() -> None:
    network = EfficiencyNetwork(Architecture(width=256))
    for block, d_in in zip(network.body.blocks, [4, 260, 260, 260], strict=True):
        pair = (2 * d_in + 128) // 2
        single = (d_in + 128) // 2
        assert sizes(block.edge) == [(2 * d_in, pair), (pair, pair), (pair, 128)]
        assert sizes(block.node) == [(d_in, single), (single, 128)]
        assert sizes(block.merge) == [(128, 128), (128, 128)]
        assert isinstance(block.edge[-1], torch.nn.Tanh)
    assert sizes(network.body.head) == [(260, 256), (256, 128), (128, 50), (50, 1)]


def sizes(layers: torch.nn.Sequential) -> list[tuple[int, int]]:
    return [
        (one.in_features, one.out_features) for one in layers if isinstance(one, torch.nn.Linear)
    ]


@given(
    st.sampled_from(list(KINDS)),
    st.lists(st.integers(1, 7), min_size=1, max_size=8),
    st.integers(0, 1000),
)
def test_equals_the_textbook(kind: str, counts: list[int], seed: int) -> None:
    jets = make_jets(counts, seed)
    network = small_network(kind, mu=2.0)
    rows = features(jets)
    expected = [
        textbook_network(network, rows[a:b])
        for a, b in zip(jets.offsets[:-1], jets.offsets[1:], strict=True)
    ]
    np.testing.assert_allclose(
        network.efficiency(jets), torch.cat(expected).detach().numpy(), atol=1e-5
    )


@pytest.mark.parametrize("width", [64, 256])
def test_block_and_its_gradients_equal_the_textbook(width: int) -> None:
    block = GNBlock(width + 4, width)
    x = torch.randn(20, width + 4, requires_grad=True)
    shape = [(2, 1), (3, 2), (4, 3)]
    fast = block(x, shape)
    none = [[torch.zeros(0)] * 3] * 3
    starts = [0, 1, 2, 4, 6, 8, 11, 14, 17, 20]
    slow = torch.cat([textbook_block(block, x[a:b], none) for a, b in itertools.pairwise(starts)])
    torch.testing.assert_close(fast, slow, atol=1e-5, rtol=0)
    weight = torch.randn_like(fast)
    gradients = [
        torch.autograd.grad((out * weight).sum(), [x, *block.parameters()], retain_graph=True)
        for out in (fast, slow)
    ]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


def test_the_reference_of_the_benchmarks_is_the_same_function() -> None:
    network = small_network()
    jets = make_jets([2, 2, 3, 5, 5])
    batch = Batch(features(jets), [(2, 2), (1, 3), (2, 5)])
    torch.testing.assert_close(
        ConcatenatedNetwork(network)(batch), network(batch), atol=1e-5, rtol=0
    )


@given(st.sampled_from(list(KINDS)), st.integers(1, 7), st.randoms(use_true_random=False))
def test_jets_may_be_permuted(kind: str, n: int, random: Any) -> None:
    network = small_network(kind)
    jets = make_jets([n])
    order = list(range(n))
    random.shuffle(order)
    rows = features(jets)
    with torch.inference_mode():
        straight = network(Batch(rows, [(1, n)]))
        permuted = network(Batch(rows[order], [(1, n)]))
    torch.testing.assert_close(permuted, straight[order], atol=1e-5, rtol=1e-4)


@given(
    st.sampled_from(["gnn_geometric", "gnn_factorised"]), st.floats(-10, 10), st.integers(0, 100)
)
def test_rotations_change_nothing_where_the_network_sees_differences(
    kind: str, angle: float, seed: int
) -> None:
    jets = make_jets([1, 2, 4], seed)
    network = small_network(kind)
    turned = jets.with_columns(phi=wrap_angle_float32(jets.phi.astype(np.float64) + angle))
    # phi is rounded to float32: close to Delta phi = pi that can flip the sign.
    seam = np.abs(np.abs(delta_phi(jets.phi[:, None], jets.phi[None, :])) - np.pi) < 1e-5
    if not seam.any():
        np.testing.assert_allclose(network.efficiency(turned), network.efficiency(jets), rtol=2e-5)


def test_a_rotation_does_change_what_sees_phi() -> None:
    jets = make_jets([2, 4])
    network = small_network("gnn")
    turned = jets.with_columns(phi=wrap_angle_float32(jets.phi.astype(np.float64) + 1))
    assert np.abs(network.efficiency(turned) / network.efficiency(jets) - 1).max() > 1e-3


@every_kind
def test_other_events_change_nothing(kind: str) -> None:
    network = small_network(kind)
    jets = make_jets([3, 1, 4, 3])
    alone = np.concatenate([network.efficiency(jets.take(slice(i, i + 1))) for i in range(4)])
    np.testing.assert_allclose(network.efficiency(jets), alone, rtol=1e-5)


@every_kind
def test_other_jets_of_the_event_do_change_it(kind: str) -> None:
    network = small_network(kind)
    jets = make_jets([3])
    lonely = jets.take(slice(0, 1)).with_columns(
        offsets=np.array([0, 1, 2, 3]), event=np.arange(3), weight=np.ones(3)
    )
    assert np.all(np.abs(network.efficiency(jets) - network.efficiency(lonely)) > 1e-6)


def test_without_blocks_a_jet_is_alone() -> None:
    network = EfficiencyNetwork(Architecture(width=16, blocks=0, head=(8,))).eval()
    jets = make_jets([3])
    lonely = jets.with_columns(
        offsets=np.array([0, 1, 2, 3]), event=np.arange(3), weight=np.ones(3)
    )
    np.testing.assert_allclose(network.efficiency(jets), network.efficiency(lonely), rtol=1e-6)


@every_kind
def test_events_of_zero_one_and_many_jets(kind: str) -> None:
    eff = small_network(kind).efficiency(make_jets([0, 1, 30]))
    assert eff.shape == (31,)
    assert np.all((eff > 0) & (eff < 1))
    assert small_network(kind).efficiency(make_jets([])).shape == (0,)
    alone = Batch(features(make_jets([1, 1])), [(2, 1)])
    small_network(kind)(alone).sum().backward()


def test_a_lone_jet_of_a_factorised_network_has_its_own_efficiency() -> None:
    network = small_network("gnn_factorised")
    jets = make_jets([1, 3])
    batch = Batch(features(jets), [(1, 1), (1, 3)])
    with torch.inference_mode():
        x = network.see(batch.features)
        base, factors = network.body.terms(x, batch.shape, network.edges(batch))
    assert factors.shape == (6,)
    assert (factors < 0).all()
    eff = network.efficiency(jets)
    assert eff[0] == pytest.approx(float(base[0].exp()), rel=1e-5)
    assert (eff[1:] < base[1:].exp().numpy()).all()


@pytest.mark.parametrize("mu", [0.1, 1.0, 30.0])
def test_efficiency_is_corrected_for_mu(mu: float) -> None:
    jets = make_jets([2, 3])
    score = small_network().efficiency(jets)
    np.testing.assert_allclose(
        small_network(mu=mu).efficiency(jets), mu * score / (1 - score + mu * score), rtol=1e-6
    )
    # The product of a factorised network is the efficiency itself, whatever mu.
    factorised = [small_network("gnn_factorised", mu=m).efficiency(jets) for m in (mu, 1.0)]
    np.testing.assert_allclose(*factorised, rtol=1e-5)


@every_kind
def test_a_file_is_enough_to_predict(kind: str, few: Jets, tmp_path: Path) -> None:
    network = small_network(kind, mu=2.0)
    save_network(network, tmp_path / "seed_0.pt", {"seed": 1})
    assert np.array_equal(
        load_network(tmp_path / "seed_0.pt").efficiency(few), network.efficiency(few)
    )
    content = torch.load(tmp_path / "seed_0.pt", weights_only=True)
    assert Architecture(**content["architecture"]) == KINDS[kind]
    assert content["provenance"] == {"seed": 1}


def test_bad_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "seed_0.pt"
    with pytest.raises(DataError, match=r"seed_0\.pt: no such file"):
        load_network(path)
    save_network(small_network(), path, {})
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(
        DataError, match=r"seed_0\.pt: cannot be read as a network.*train the network again"
    ):
        load_network(path)
    torch.save({"weights": 1}, path)
    with pytest.raises(DataError, match="is not a network file of this version"):
        load_network(path)


def test_an_untrained_flavour_is_refused() -> None:
    jets = make_jets([2], flavour=np.array([5, 15]))
    with pytest.raises(
        DataError, match=r"trained on the flavours \[0, 4, 5\], a jet has 15 \(1 such jets\)"
    ):
        small_network().efficiency(jets)


def test_inputs_that_cannot_be_scaled_are_refused() -> None:
    jets = make_jets([2, 2], eta=np.zeros(4))
    with pytest.raises(
        DataError,
        match=r"input 'eta' has mean 0.0 and standard deviation 0.0.*must be finite and vary",
    ):
        small_network().standardise.fit(features(jets))
    inputs = features(make_jets([2, 2]))
    inputs[1, 0] = np.nan
    with pytest.raises(DataError, match="input 'pt' has mean nan"):
        small_network().standardise.fit(inputs)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"width": -64}, "width\n.*greater than or equal to 4"),
        ({"width": 6}, "width\n.*multiple of 4"),
        ({"blocks": -1}, "blocks\n.*greater than or equal to 0"),
        ({"head": (0,)}, r"head\.0\n.*greater than or equal to 1"),
        ({"hidden": 0}, r"hidden\n.*greater than or equal to 1"),
        ({"kind": "tree"}, "kind\n.*'graph' or 'factorised'"),
        ({"inputs": ["pt", "2b"]}, r"inputs\.1\n.*'2b' is no name of a column: it must begin"),
        ({"inputs": ["pt", ""]}, r"inputs\.1\n.*'' is no name of a column"),
        ({"inputs": ["pt", 3]}, r"inputs\.1\n.*valid string"),
        ({"inputs": ["is_tagged"]}, r"inputs\.0\n.*'is_tagged' is nothing that an efficiency may"),
        ({"inputs": ["efficiency_true_x"]}, r"inputs\.0\n.*is nothing that an efficiency may"),
        ({"inputs": ["pt", "pt"]}, "inputs\n.*'pt' is named twice"),
        ({"inputs": []}, "inputs\n.*at least 1 item"),
        (
            {"edge_features": ["mass"]},
            r"edge_features\.0\n.*'mass' is not allowed; allowed are delta",
        ),
        ({"edge_features": ["near_0"]}, r"edge_features\.0\n.*'near_0' is not allowed; .* above 0"),
        ({"edge_features": ["near_-1"]}, r"edge_features\.0\n.*'near_-1' is not allowed"),
        ({"pair_inputs": ["pt"]}, "pair_inputs are for the kind 'factorised', this is 'graph'"),
        (
            {"kind": "factorised", "pair_inputs": ["mass"]},
            "'mass' of pair_inputs is not one of the inputs pt, eta, phi, flavour",
        ),
        ({"flavour": "binary"}, "flavour\n.*'number' or 'one_hot'"),
        ({"depth": 3}, "depth\n.*Extra inputs are not permitted"),
    ],
)
def test_bad_architectures_are_refused(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Architecture(**{"width": 8, **bad})


def test_a_network_is_an_efficiency(truth: Any) -> None:
    assert isinstance(small_network(), Efficiency)
    assert isinstance(truth, Efficiency)


def test_prediction_does_not_depend_on_what_else_is_predicted(sample: Jets) -> None:
    network = small_network()
    part = sample.take(slice(0, 1500))
    twice = concatenate([part, part.with_columns(event=part.event + 10**9)])
    np.testing.assert_allclose(
        network.efficiency(twice), np.tile(network.efficiency(part), 2), rtol=1e-5
    )
