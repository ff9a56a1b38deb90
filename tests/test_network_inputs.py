"""Further inputs of networks: columns of numbers and of categories, flavours from the labels."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from textbook import textbook_network

from conftest import make_jets
from truthtag.data.jets import Jets
from truthtag.data.labels import Labels
from truthtag.errors import DataError
from truthtag.estimators.network.augmentation import transform
from truthtag.estimators.network.baseline import constant_logits
from truthtag.estimators.network.batches import Batch, TrainingEvents, features
from truthtag.estimators.network.estimator import NetworkEstimator
from truthtag.estimators.network.file import load_network, read_network_file, save_network
from truthtag.estimators.network.inputs import InputColumns
from truthtag.estimators.network.layers import Standardise
from truthtag.estimators.network.learned_factors import read_factors
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.network.options import Architecture, NetworkOptions, TrainingOptions
from truthtag.estimators.network.trainer import Training, train
from truthtag.toy.neighbour_product import NeighbourProduct

INPUTS = ("origin", "pt", "eta", "flavour", "width", "mass")
ORIGINS = (-1, 0, 7)
LABELS = Labels(flavours=(0, 4, 5), categories={"origin": ORIGINS})
COLUMNS = InputColumns(("origin", "width", "mass"), {"origin": ORIGINS})
EDGES = ("delta_eta", "delta_phi", "delta_r")
KINDS = {
    "graph": Architecture(width=8, blocks=2, head=(8,), inputs=INPUTS),
    "geometric": Architecture(width=8, blocks=1, head=(8,), inputs=INPUTS, edge_features=EDGES),
    "factorised": Architecture(
        kind="factorised", width=8, head=(8,), inputs=INPUTS, edge_features=EDGES
    ),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def further_jets(multiplicities: list[int], seed: int = 0, **changes: Any) -> Jets:
    """Make jets with a column of numbers, one of categories, and labels that know all values."""
    jets = make_jets(multiplicities, seed)
    rng = np.random.default_rng(seed + 1)
    further = {
        "width": rng.uniform(0, 0.4, jets.n_jets),
        "origin": rng.choice(ORIGINS, jets.n_jets),
        "unused": np.arange(jets.n_jets),
    }
    mass = rng.uniform(1, 30, jets.n_jets)
    return jets.with_columns(**{"further": further, "labels": LABELS, "mass": mass, **changes})


def small_network(kind: str = "graph", **changes: Any) -> EfficiencyNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = EfficiencyNetwork(KINDS[kind], categories=LABELS.categories, **changes)
    columns = network.columns
    network.standardise.fit(
        features(further_jets([3, 4, 5]), columns), columns.names, None, columns.indicators
    )
    return network.eval()


def options(**training: Any) -> NetworkOptions:
    return NetworkOptions(
        kind="network",
        seeds=1,
        architecture=KINDS["graph"],
        training={
            "epochs": 2,
            "batch_events": 20,
            "learning_rate": 0.01,
            "precision": "float32",
            **training,
        },
    )


def test_rows_by_hand() -> None:
    jets = further_jets([2]).with_columns(
        further={"width": np.array([0.25, 0.5]), "origin": np.array([7, -1])}
    )
    rows = features(jets, COLUMNS)
    assert COLUMNS.names == (
        *("pt", "eta", "phi", "flavour"),
        *("origin=-1", "origin=0", "origin=7", "width", "mass"),
    )
    assert torch.equal(rows[:, :4], features(jets))
    assert rows[:, 4:7].tolist() == [[0, 0, 1], [1, 0, 0]]
    assert rows[:, 7].tolist() == [0.25, 0.5]
    assert rows[:, 8].tolist() == jets.mass.astype(np.float32).tolist()
    # What the network sees of a row, in the order of its inputs.
    assert COLUMNS.positions(INPUTS) == [4, 5, 6, 0, 1, 3, 7, 8]
    assert InputColumns.of(INPUTS, {"origin": ORIGINS, "other": (1,)}) == COLUMNS
    # Without categories in the labels a column of integers is one of numbers.
    plain = InputColumns.of(("pt", "origin"), {})
    assert features(jets, plain)[:, 4].tolist() == [7, -1]


def test_categories_and_numbers_are_scaled_as_they_should() -> None:
    jets = further_jets([3] * 20)
    # A value that never occurs, and one that every jet has.
    origin = np.full(jets.n_jets, 7)
    jets = jets.with_columns(further={**jets.further, "origin": origin})
    events = TrainingEvents(jets, columns=COLUMNS)
    training = Training(KINDS["graph"], options().training, events, [(1, "a", 0)])
    network = training.best_network()
    scaled = network.standardise(events.rows)
    assert scaled[:, 4:7].tolist() == [[0, 0, 1]] * jets.n_jets
    assert scaled[:, [0, 1, 3, 7, 8]].mean(dim=0).abs().max() < 1e-5
    assert (scaled[:, [0, 1, 3, 7, 8]].std(dim=0) - 1).abs().max() < 1e-5
    list(train(training, events, events))
    other = jets.with_columns(further={**jets.further, "origin": np.full(jets.n_jets, -1)})
    assert np.isfinite(training.best_network().efficiency(other)).all()


def test_numbers_that_do_not_vary_are_refused() -> None:
    jets = further_jets([3] * 20)
    # 0.1 is no binary fraction: the rounded mean of equal values differs from them.
    width = np.full(jets.n_jets, 0.1)
    events = TrainingEvents(jets.with_columns(further={**jets.further, "width": width}), "cpu")
    assert events.rows.shape[1] == 4
    with pytest.raises(
        DataError,
        match=r"input 'width' has mean 0\.1\d* and standard deviation 0\.0 .*leave it out of arch",
    ):
        NetworkEstimator.fit(
            jets.with_columns(further={**jets.further, "width": width}),
            jets,
            options(),
            (1, "a", 0),
        )


def test_inputs_that_are_not_there_are_named() -> None:
    jets = further_jets([2, 2])
    lacking = jets.with_columns(further={"width": jets.further["width"]})
    message = (
        r"the network sees the column 'origin' of each jet, and these jets lack it; there are pt, "
        r"eta, phi, mass, flavour, width\. Read or make the jets with that column"
    )
    with pytest.raises(DataError, match=message):
        small_network().efficiency(lacking)
    with pytest.raises(DataError, match=message):
        NetworkEstimator.fit(lacking, jets, options(), (1, "a", 0))
    with pytest.raises(DataError, match=message):
        NetworkEstimator.fit(jets, lacking, options(), (1, "a", 0))


def test_unknown_categories_are_named_by_row() -> None:
    jets = further_jets([2, 2], labels=Labels())
    strange = jets.with_columns(further={**jets.further, "origin": np.array([7, 0, 3, 3])})
    with pytest.raises(
        DataError,
        match=r"column 'origin' is 3 in row 2 \(event 1\), 2 such rows: the network knows the "
        r"values -1, 0, 7\. Train on a sample",
    ):
        small_network().efficiency(strange)
    # Labels of the jets themselves need not say what the network knows.
    np.testing.assert_array_equal(
        small_network().efficiency(jets), small_network().efficiency(further_jets([2, 2]))
    )


def test_inputs_that_are_not_finite_are_named_by_row() -> None:
    jets = further_jets([2, 2])
    # No way to make jets allows this; a reader of the future might.
    width = jets.further["width"].copy()
    width[3] = np.nan
    broken = jets.with_columns()
    object.__setattr__(broken, "further", {**jets.further, "width": width})
    with pytest.raises(
        DataError, match=r"column 'width' is nan in row 3 \(event 1\), 1 such rows: a network needs"
    ):
        small_network().efficiency(broken)


@given(st.sampled_from(list(KINDS)), st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_equals_the_textbook(kind: str, counts: list[int]) -> None:
    jets = further_jets(counts, len(counts))
    network = small_network(kind, mu=2.0)
    rows = features(jets, network.columns)
    expected = [
        textbook_network(network, rows[a:b])
        for a, b in zip(jets.offsets[:-1], jets.offsets[1:], strict=True)
    ]
    np.testing.assert_allclose(
        network.efficiency(jets), torch.cat(expected).detach().numpy(), atol=1e-5
    )


@given(st.sampled_from(list(KINDS)), st.integers(1, 7), st.randoms(use_true_random=False))
def test_jets_may_be_permuted(kind: str, n: int, random: Any) -> None:
    network = small_network(kind)
    order = list(range(n))
    random.shuffle(order)
    rows = features(further_jets([n]), network.columns)
    with torch.inference_mode():
        straight = network(Batch(rows, [(1, n)]))
        permuted = network(Batch(rows[order], [(1, n)]))
    torch.testing.assert_close(permuted, straight[order], atol=1e-5, rtol=1e-4)


@every_kind
def test_other_events_change_nothing(kind: str) -> None:
    network = small_network(kind)
    jets = further_jets([3, 1, 4, 3])
    alone = np.concatenate([network.efficiency(jets.take(slice(i, i + 1))) for i in range(4)])
    np.testing.assert_allclose(network.efficiency(jets), alone, rtol=1e-5)


@every_kind
@pytest.mark.parametrize("name", ["origin", "width"])
def test_further_inputs_of_a_jet_change_it_and_its_neighbours(kind: str, name: str) -> None:
    network = small_network(kind)
    jets = further_jets([3, 2])
    values = jets.further[name].copy()
    values[0] = next(one for one in ORIGINS if one != values[0]) if name == "origin" else 0.9
    other = jets.with_columns(further={**jets.further, name: values})
    changed = np.abs(network.efficiency(other) / network.efficiency(jets) - 1) > 1e-6
    assert changed.tolist() == [True, True, True, False, False]
    ignored = jets.with_columns(further={**jets.further, "unused": np.zeros(jets.n_jets)})
    np.testing.assert_array_equal(network.efficiency(ignored), network.efficiency(jets))


def test_turns_and_reflections_leave_further_columns_as_they_are() -> None:
    batch, _ = next(TrainingEvents(further_jets([3] * 9), columns=COLUMNS).batches(10**9))
    moved = transform(batch, options().training, [torch.Generator().manual_seed(0)])
    kept = [0, 3, 4, 5, 6, 7, 8]
    assert torch.equal(moved.features[..., kept], batch.features[..., kept])
    assert not torch.equal(moved.features[..., 1], batch.features[..., 1])
    assert not torch.equal(moved.features[..., 2], batch.features[..., 2])


@every_kind
def test_a_file_knows_its_inputs(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "seed_0.pt"
    network = small_network(kind)
    save_network(network, path, {})
    jets = further_jets([2, 3])
    loaded = load_network(path)
    assert loaded.columns == network.columns
    assert np.array_equal(loaded.efficiency(jets), network.efficiency(jets))
    assert read_network_file(path)["categories"] == {"origin": list(ORIGINS)}


def test_a_file_of_the_usual_inputs_is_as_before(tmp_path: Path) -> None:
    path = tmp_path / "seed_0.pt"
    save_network(EfficiencyNetwork(Architecture(width=8)), path, {})
    usual = {"format", "kind", "architecture", "training", "flavours", "mu", "provenance", "state"}
    assert set(read_network_file(path)) == usual


def test_networks_learn_what_only_a_further_input_tells(tmp_path: Path) -> None:
    jets = further_jets([2] * 600, labels=LABELS)
    rng = np.random.default_rng(3)
    chance = np.where(jets.further["origin"] == 7, 0.8, 0.1)
    jets = jets.with_columns(is_tagged=rng.random(jets.n_jets) < chance)
    train_jets = jets.take(slice(0, 500))
    member = NetworkEstimator.fit(train_jets, train_jets, options(epochs=8), (1, "a", 0))
    eff = member.efficiency(jets.take(slice(500, 600)))
    of_seven = jets.take(slice(500, 600)).further["origin"] == 7
    assert eff[of_seven].mean() == pytest.approx(0.8, abs=0.12)
    assert eff[~of_seven].mean() == pytest.approx(0.1, abs=0.08)
    assert member.provenance["inputs"] == list(INPUTS)
    assert member.provenance["categories"] == {"origin": list(ORIGINS)}
    assert member.settings["categories"] == {"origin": list(ORIGINS)}
    assert member.settings["points"] == []
    assert "further inputs origin (3 categories), width, mass" in member.describe()
    member.save(tmp_path / "seed_0.pt", {})
    assert NetworkEstimator.load(tmp_path / "seed_0.pt").settings == member.settings


def test_events_and_networks_are_prepared_alike() -> None:
    jets = further_jets([2] * 20)
    message = r"prepared with the further inputs \[\], the networks see \['origin', 'width', 'mass'"
    with pytest.raises(DataError, match=message):
        Training(KINDS["graph"], options().training, TrainingEvents(jets), [(1, "a", 0)])
    events = TrainingEvents(jets, columns=COLUMNS)
    training = Training(KINDS["graph"], options().training, events, [(1, "a", 0)])
    with pytest.raises(DataError, match=r"training events have the columns .* validation events"):
        next(train(training, events, TrainingEvents(jets)))


# ---- flavours


def test_flavours_are_those_of_the_labels(caplog: pytest.LogCaptureFixture) -> None:
    jets = make_jets([2] * 60, flavour=np.tile([0, 5], 60).astype(np.int8))
    architecture = {"width": 8, "blocks": 1, "head": [8]}
    plain = NetworkOptions(
        kind="network", seeds=1, architecture=architecture, training=options().training
    )
    known = jets.with_columns(labels=Labels(flavours=(0, 4, 5)))
    c_jets = known.with_columns(flavour=np.full(120, 4))
    member = NetworkEstimator.fit(known, known, plain, (1, "a", 0))
    assert member.network.flavours == (0, 4, 5)
    assert np.isfinite(member.efficiency(c_jets)).all()
    assert "no jet of the training sample has the flavour 4" in caplog.text
    # A part for validation may have a flavour that the training part lacks.
    NetworkEstimator.fit(known, c_jets, plain, (1, "a", 0))
    unlabelled = NetworkEstimator.fit(jets, jets, plain, (1, "a", 0))
    assert unlabelled.network.flavours == (0, 5)
    with pytest.raises(DataError, match=r"trained on the flavours \[0, 5\], a jet has 4"):
        unlabelled.efficiency(c_jets)
    # What is learned from the same jets is the same.
    learned = member.network.state_dict()
    # The flavour without jets has no offset.
    offset = learned.pop("offset")
    assert offset[1].tolist() == [0]
    assert torch.equal(offset[[0, 2]], unlabelled.network.offset)
    for name, value in learned.items():
        assert torch.equal(value, unlabelled.network.state_dict()[name])


def test_a_part_with_one_of_the_known_flavours_can_be_trained_on() -> None:
    jets = make_jets([2] * 60, flavour=np.full(120, 5), labels=Labels(flavours=(0, 4, 5)))
    training = TrainingOptions(epochs=1, batch_events=20, learning_rate=0.01, precision="float32")
    plain = NetworkOptions(
        kind="network", seeds=1, architecture={"width": 8, "blocks": 1}, training=training
    )
    member = NetworkEstimator.fit(jets, jets, plain, (1, "a", 0))
    # Scaled by the flavours that there could be.
    assert float(member.network.standardise.mean[3]) == pytest.approx(3)
    assert float(member.network.standardise.scale[3]) == pytest.approx(np.std([0, 4, 5]))
    assert np.isfinite(member.efficiency(jets.with_columns(flavour=np.zeros(120)))).all()


def test_the_constant_of_a_flavour_without_jets_is_a_half() -> None:
    flavour = np.full(40, 5)
    tags = np.arange(40) < 10
    labels = Labels(flavours=(0, 5))
    jets = make_jets([2] * 20, flavour=flavour, is_tagged=tags, labels=labels)
    logits = constant_logits(TrainingEvents(jets), 3.0)
    assert logits[0] == pytest.approx(-np.log(3.0))
    assert logits[5] == pytest.approx(np.log(10.5 / 30.5) - np.log(3.0))


def test_columns_of_0_and_1_are_never_divided_by_zero() -> None:
    rows = torch.tensor([[1.0, 0.0, 2.0], [1.0, 0.0, 4.0], [1.0, 0.0, 6.0]])
    scaling = Standardise(3)
    scaling.fit(rows, ["a=1", "a=2", "b"], indicators=["a=1", "a=2"])
    assert scaling(rows).tolist() == [[1, 0, -1], [1, 0, 0], [1, 0, 1]]


# ---- learned factors


def test_factors_are_read_at_the_mean_of_further_numbers(truth: NeighbourProduct) -> None:
    network = small_network("factorised")
    width = float(network.standardise.mean[network.columns.names.index("width")])
    jet = {"pt": 100.0, "eta": 0.5, "flavour": 5, "origin": 7}
    places = (np.array([100.0]), np.array([0.3]))
    read = read_factors([network], truth, {"b": 5}, jet, *places)
    said = read_factors([network], truth, {"b": 5}, {**jet, "width": width}, *places)
    np.testing.assert_allclose(read["mean"], said["mean"], rtol=1e-6)
    other = read_factors([network], truth, {"b": 5}, {**jet, "width": 0.9}, *places)
    assert (np.abs(other["mean"] - read["mean"]) > 1e-6).all()
    # The jet that this describes, alone in its event.
    mass = float(network.standardise.mean[network.columns.names.index("mass")])
    alone = further_jets(
        [1],
        pt=np.array([100.0]),
        eta=np.array([0.5]),
        phi=np.zeros(1),
        flavour=np.array([5]),
        mass=np.array([mass]),
        further={"width": np.array([width]), "origin": np.array([7])},
    )
    assert network.efficiency(alone)[0] == pytest.approx(read["mean"][0], rel=1e-5)


def test_factors_need_a_category(truth: NeighbourProduct) -> None:
    jet = {"pt": 100.0, "eta": 0.5, "flavour": 5}
    places = (np.array([100.0]), np.array([0.3]))
    for change, text in (({}, "none"), ({"origin": 3}, "3")):
        message = rf"sees the category 'origin', and the jet .* has {text}; .* one of -1, 0, 7"
        with pytest.raises(DataError, match=message):
            read_factors([small_network("factorised")], truth, {"b": 5}, {**jet, **change}, *places)


def test_a_job_tells_nothing_where_all_flavours_occur(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    jets = further_jets([3] * 40)
    NetworkEstimator.fit(jets, jets, options(epochs=1), (1, "a", 0))
    assert "no jet of the training sample" not in caplog.text
    assert "training.weights" not in caplog.text
