"""Balance: a network predicts as many tags as it learned from, wherever it is computed."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx_cases import KINDS, POINTS, SAMPLE, jets_of, largest_ratio, networks, with_labels

from conftest import make_jets
from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.data.labels import Labels
from truthtag.errors import DataError
from truthtag.estimators.network.balance import Unbalanced, balance, find_shift
from truthtag.estimators.network.batches import Batch, TrainingEvents, Weighting, features
from truthtag.estimators.network.content import write_content
from truthtag.estimators.network.distillation import distil
from truthtag.estimators.network.engine import OnnxEngine, logits_model
from truthtag.estimators.network.estimator import NetworkEstimator
from truthtag.estimators.network.file import load_network, read_network_file, save_network
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.network.onnx_builder import Graph
from truthtag.estimators.network.onnx_graph import Events, NetworkStack, find_neighbours
from truthtag.estimators.network.options import (
    Architecture,
    DistilOptions,
    NetworkOptions,
    TrainingOptions,
)
from truthtag.estimators.network.runtime import open_session
from truthtag.estimators.network.stacked import StackedNetworks

SMALL = Architecture(width=4, blocks=1, head=(4,))
OPTIONS = TrainingOptions(
    epochs=2, batch_events=100, learning_rate=3e-3, bootstrap=True, precision="float32"
)
NETWORKS = NetworkOptions(seeds=2, architecture=SMALL, training=OPTIONS)
SEEDS = [(1, "net", 0), (1, "net", 1)]


def tagged(points: tuple[str, ...] = (), count: int = 600, seed: int = 3) -> Jets:
    """Return jets with all that networks see, tagged at random."""
    rng = np.random.default_rng(seed)
    jets = jets_of(list(rng.integers(0, 6, count)), seed)
    jets = jets.with_columns(weight=rng.uniform(0.5, 2, count))
    if not points:
        return jets
    bins = rng.choice(len(points) + 1, jets.n_jets)
    return with_labels(jets, points).with_columns(tag_bin=bins)


def sums(
    network: EfficiencyNetwork, jets: Jets, of_event: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return predicted and tagged jets of each flavour, shape (n_flavours, n_points)."""
    weights = of_event[jets.event_of_jet][:, None]
    predicted = network.efficiency(jets).reshape(jets.n_jets, -1) * weights
    passing = jets.passes().reshape(jets.n_jets, -1) * weights
    flavours = network.flavours
    return (
        np.stack([predicted[jets.flavour == one].sum(axis=0) for one in flavours]),
        np.stack([passing[jets.flavour == one].sum(axis=0) for one in flavours]),
    )


def counts_by_event(events: TrainingEvents, jets: Jets, resample: list[torch.Tensor]) -> FloatArray:
    """Return how often each event of the sample was drawn."""
    counts = np.zeros(jets.n_events)
    groups = [chosen for chosen, _ in jets.by_multiplicity()]
    for chosen, drawn in zip(groups, events.counts_of(resample), strict=True):
        counts[chosen] = drawn.numpy()
    return counts


# ---- the shift


@given(
    st.lists(st.floats(-25, 25), min_size=1, max_size=20),
    st.floats(0.01, 0.99),
    st.integers(0, 5),
)
def test_a_shift_gives_the_wanted_sum(logits: list[float], share: float, seed: int) -> None:
    z = torch.tensor(logits, dtype=torch.float64)
    weights = torch.tensor(np.random.default_rng(seed).uniform(0.1, 3, len(logits)))
    wanted = share * float(weights.sum())
    shift = find_shift(z, weights, wanted)
    low, high = (float((weights * torch.sigmoid(z + end)).sum()) for end in (-30, 30))
    if not low < wanted < high:
        assert shift is None
        return
    assert shift is not None
    assert float((weights * torch.sigmoid(z + shift)).sum()) == pytest.approx(wanted, rel=1e-9)


def test_where_there_is_no_shift() -> None:
    logits = torch.zeros(3, dtype=torch.float64)
    ones = torch.ones_like(logits)
    for wanted in (0.0, 3.0, -1.0, float("nan")):
        assert find_shift(logits, ones, wanted) is None
    assert find_shift(logits[:0], ones[:0], 0.0) is None
    assert find_shift(logits, -ones, -1.0) is None
    assert find_shift(torch.full_like(logits, float("nan")), ones, 1.0) is None
    assert find_shift(logits, ones, 1.5) == 0


# ---- networks


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("points", [(), POINTS])
@pytest.mark.parametrize("weights", ["ignore", "use"])
def test_predictions_and_tags_have_one_sum(
    kind: str, points: tuple[str, ...], weights: Weighting
) -> None:
    """Of its own events, as often as it saw them, with their weights, at every point."""
    jets = tagged(points)
    (network,) = networks(kind, 1, points, mu=3.0)
    events = TrainingEvents(jets, columns=network.columns, weights=weights)
    resample = events.resample(torch.Generator().manual_seed(1))
    of_event = counts_by_event(events, jets, resample)
    if weights == "use":
        of_event = of_event * jets.weight
    before, wanted = sums(network, jets, of_event)
    assert np.abs(before / wanted - 1).max() > 0.05
    assert balance(network, events, resample) == []
    after, _ = sums(network, jets, of_event)
    np.testing.assert_allclose(after, wanted, rtol=3e-6)
    # A balanced network stays as it is, to the last digits of single precision.
    assert network.offset is not None
    offset = network.offset.clone()
    balance(network, events, resample)
    torch.testing.assert_close(network.offset, offset, atol=0, rtol=0)


def test_a_flavour_without_tags_has_no_offset() -> None:
    jets = tagged()
    assert jets.is_tagged is not None
    jets = jets.with_columns(is_tagged=jets.is_tagged & (jets.flavour != 4) | (jets.flavour == 0))
    (network,) = networks("graph", 1)
    before = network.efficiency(jets)
    n = {flavour: float((jets.flavour == flavour).sum()) for flavour in (0, 4)}
    assert balance(network, TrainingEvents(jets)) == [
        Unbalanced(flavour=0, point=0, tags=n[0], jets=n[0]),
        Unbalanced(flavour=4, point=0, tags=0.0, jets=n[4]),
    ]
    after = network.efficiency(jets)
    assert (after == before)[jets.flavour != 5].all()
    assert (after != before)[jets.flavour == 5].any()
    # Nothing at all to shift: the network is as it was.
    assert balance(
        network, TrainingEvents(jets.with_columns(is_tagged=np.zeros(jets.n_jets, bool)))
    )
    assert network.offset is None


@pytest.mark.parametrize("kind", ["graph", "factorised"])
def test_trained_networks_are_balanced(kind: str, few: Jets) -> None:
    architecture = Architecture(kind=kind, width=4, blocks=1, head=(4,))
    options = NETWORKS.model_copy(update={"architecture": architecture})
    members = NetworkEstimator.fit_members(few, few, options, SEEDS)
    # Two balanced resamples: together they are the sample, twice.
    total = np.zeros((2, 3))
    events = TrainingEvents(few)
    for number, member in enumerate(members):
        resample = events.resample(_stream(), number, 2)
        predicted, wanted = sums(member.network, few, counts_by_event(events, few, resample))
        np.testing.assert_allclose(predicted, wanted, rtol=3e-6)
        total += predicted[:, 0], wanted[:, 0]
    np.testing.assert_allclose(
        total[0], 2 * sums(member.network, few, np.ones(few.n_events))[1][:, 0]
    )
    assert members[0].settings["training"]["balance"] is True


def _stream() -> torch.Generator:
    """Return the random stream of the resamples of ``SEEDS``."""
    from truthtag.estimators.network.trainer import _generator

    return _generator((1, "net"), "bootstrap")


def test_balance_can_be_left_out(few: Jets) -> None:
    plain = OPTIONS.model_copy(update={"balance": False})
    options = NETWORKS.model_copy(update={"training": plain})
    without = NetworkEstimator.fit(few, few, options, SEEDS[0]).network
    balanced = NetworkEstimator.fit(few, few, NETWORKS, SEEDS[0]).network
    assert without.offset is None
    assert balanced.offset is not None
    assert "offset" not in without.state_dict()
    # All else is the same.
    balanced.offset = None
    assert (balanced.efficiency(few) == without.efficiency(few)).all()


def test_the_log_says_which_flavour_has_no_offset(
    few: Jets, caplog: pytest.LogCaptureFixture
) -> None:
    assert few.is_tagged is not None
    no_c = few.with_columns(is_tagged=few.is_tagged & (few.flavour != 4))
    with caplog.at_level(logging.INFO):
        NetworkEstimator.fit(no_c, no_c, NETWORKS, SEEDS[0])
    assert "(1, 'net', 0) has no offset for flavour 4: 0 of" in caplog.text
    assert "flavour 5" not in caplog.text


def test_a_killed_job_ends_with_the_same_offset(few: Jets, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    straight = NetworkEstimator.fit_members(few, few, NETWORKS, SEEDS[:1])[0].network
    NetworkEstimator.fit_members(few, few, NETWORKS, SEEDS[:1], checkpoint=path)
    # Killed after its last epoch, before anything was saved.
    resumed = NetworkEstimator.fit_members(few, few, NETWORKS, SEEDS[:1], checkpoint=path)[0]
    assert straight.offset is not None
    assert resumed.network.offset is not None
    assert torch.equal(straight.offset, resumed.network.offset)


# ---- files


def test_offsets_are_in_the_file(tmp_path: Path) -> None:
    (network,) = networks("graph", 1, POINTS)
    before = network.efficiency(SAMPLE)
    plain, balanced = tmp_path / "plain.pt", tmp_path / "balanced.pt"
    save_network(network, plain, {})
    assert "offset" not in read_network_file(plain)["state"]
    jets = tagged(POINTS)
    balance(network, TrainingEvents(jets, columns=network.columns))
    save_network(network, balanced, {})
    after = network.efficiency(SAMPLE)
    assert (load_network(plain).efficiency(SAMPLE) == before).all()
    assert (load_network(balanced).efficiency(SAMPLE) == after).all()
    assert (after != before).all()


def test_an_offset_of_another_shape_is_refused(tmp_path: Path) -> None:
    (network,) = networks("graph", 1)
    balance(network, TrainingEvents(tagged(), columns=network.columns))
    path = tmp_path / "seed_0.pt"
    save_network(network, path, {})
    content = read_network_file(path)
    content["state"]["offset"] = torch.zeros(2, 1)
    write_content(content, path)
    with pytest.raises(DataError, match=r"seed_0\.pt: does not hold a whole network.*offset"):
        load_network(path)


def test_files_from_before_balance_are_not_balanced(tmp_path: Path, few: Jets) -> None:
    plain = OPTIONS.model_copy(update={"balance": False})
    options = NETWORKS.model_copy(update={"training": plain})
    member = NetworkEstimator.fit(few, few, options, SEEDS[0])
    path = tmp_path / "old.pt"
    member.save(path, {})
    content = read_network_file(path)
    del content["training"]["balance"]
    write_content(content, path)
    old = NetworkEstimator.load(path)
    assert old.training == plain
    assert (old.efficiency(few) == member.efficiency(few)).all()


# ---- wherever it is computed


def balanced_networks(kind: str, points: tuple[str, ...]) -> list[EfficiencyNetwork]:
    """Return three networks, of which the last is not balanced."""
    of = networks(kind, 3, points)
    jets = tagged(points)
    for number, network in enumerate(of[:2]):
        balance(
            network, TrainingEvents(jets.take(slice(100 * number, None)), columns=network.columns)
        )
    return of


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("points", [(), POINTS])
def test_onnx_has_the_offsets(kind: str, points: tuple[str, ...]) -> None:
    of = balanced_networks(kind, points)
    found = OnnxEngine(of).efficiencies(SAMPLE)
    expected = np.stack([network.efficiency(SAMPLE) for network in of])
    assert largest_ratio(found, expected) < 1e-5
    rows = features(SAMPLE, of[0].columns).numpy()
    index = next(index for _, index in SAMPLE.by_multiplicity() if index.shape[1] == 3)
    one_by_one, stacked = (
        open_session(model.SerializeToString()).run(None, {"jets": rows[index]})[0]
        for model in (logits_model(of), _stacked(of))
    )
    np.testing.assert_allclose(stacked.reshape(one_by_one.shape), one_by_one, atol=1e-5)


def _stacked(of: list[EfficiencyNetwork]) -> object:
    """Return networks as one stack, in place of one after the other."""
    graph = Graph()
    n_columns = len(of[0].columns.names)
    events = Events.of_input(graph, "jets", n_columns)
    logits = NetworkStack(graph, of).logits(events, find_neighbours(graph, events))
    graph.add("Reshape", logits, graph.integers([3, -1, of[0].n_points]), output="logits")
    shape = (3, "n_rows", of[0].n_points)
    return graph.model({"jets": ("n_events", "n_jets", n_columns)}, {"logits": shape}, {})


def test_networks_without_offsets_have_the_graph_that_they_always_had() -> None:
    of = networks("graph", 2)
    operators = [node.op_type for node in logits_model(of).graph.node]
    assert "Where" not in operators


@pytest.mark.parametrize("points", [(), POINTS])
def test_stacked_networks_have_the_offsets(points: tuple[str, ...]) -> None:
    of = balanced_networks("graph", points)[:2]
    rows = features(SAMPLE.take(SAMPLE.multiplicity == 3), of[0].columns)
    shape = [(len(rows) // 3, 3)]
    with torch.inference_mode():
        together = StackedNetworks(of)(Batch(rows.expand(2, -1, -1), shape))
        for found, network in zip(together, of, strict=True):
            torch.testing.assert_close(found, network(Batch(rows, shape)), atol=1e-5, rtol=1e-5)


def test_a_balanced_network_can_be_distilled(few: Jets) -> None:
    """The new network begins with the offset, and so with all that the balanced one says."""
    member = NetworkEstimator.fit(few, few, NETWORKS, SEEDS[0])
    options = DistilOptions(epochs=1, batch_events=50, fill=0.0, learning_rate=1e-5)
    found = distil(member, few, few, options, (1, "distilled"))
    assert found.report["start"] == 0
    assert found.report["validation"]["added_regret"] < found.report["constant_regret"] / 2
    assert torch.equal(found.network.network.offset, member.network.offset)


def test_labels_that_name_a_flavour_without_jets() -> None:
    jets = make_jets([3] * 50).with_columns(labels=Labels(flavours=(0, 4, 5, 15)))
    events = TrainingEvents(jets)
    network = EfficiencyNetwork(SMALL, events.flavours)
    network.standardise.fit(events.rows)
    assert balance(network, events) == [Unbalanced(15, 0, 0.0, 0.0)]
    assert network.offset is not None
    assert network.offset[3].tolist() == [0.0]
