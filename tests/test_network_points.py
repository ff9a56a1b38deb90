"""Networks for several working points: a chain of conditional probabilities."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from textbook import textbook_network

from conftest import make_jets
from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.data.labels import Labels
from truthtag.errors import DataError
from truthtag.estimators.network.baseline import compare_with_constant, constant_logits
from truthtag.estimators.network.batches import Batch, TrainingEvents, features
from truthtag.estimators.network.content import write_content
from truthtag.estimators.network.estimator import NetworkEstimator
from truthtag.estimators.network.file import load_network, read_network_file, save_network
from truthtag.estimators.network.learned_factors import read_factors
from truthtag.estimators.network.loss import batch_loss, chain_losses, weighted_loss
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.network.options import Architecture, NetworkOptions, TrainingOptions
from truthtag.estimators.network.stacked import StackedNetworks
from truthtag.estimators.network.trainer import Training, evaluate, train
from truthtag.statistics.accuracy import excess_loss
from truthtag.toy.neighbour_product import NeighbourProduct

POINTS = ("loose", "medium", "tight")
LABELS = Labels(flavours=(0, 4, 5), points=POINTS)
EDGES = ("delta_eta", "delta_phi", "delta_r")
KINDS = {
    "graph": Architecture(width=8, blocks=2, head=(8,)),
    "factorised": Architecture(
        kind="factorised",
        width=8,
        head=(8,),
        inputs=("pt", "eta", "flavour"),
        edge_features=EDGES,
    ),
}
OPTIONS = TrainingOptions(epochs=3, batch_events=20, learning_rate=0.01, precision="float32")
every_kind = pytest.mark.parametrize("kind", KINDS)


def binned_jets(multiplicities: list[int], seed: int = 0, **changes: Any) -> Jets:
    """Make jets that pass some of three working points."""
    rng = np.random.default_rng(seed)
    jets = make_jets(multiplicities, seed, is_tagged=None, efficiency_true=None)
    bins = rng.integers(0, 4, jets.n_jets)
    return jets.with_columns(**{"tag_bin": bins, "labels": LABELS, **changes})


def small_network(kind: str = "graph", points: tuple[str, ...] = POINTS, **changes: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = EfficiencyNetwork(KINDS[kind], points=points, **changes)
    network.standardise.fit(features(make_jets([3, 4, 5])))
    return network.eval()


def network_options(kind: str = "graph", **training: Any) -> NetworkOptions:
    return NetworkOptions(
        kind="network",
        seeds=1,
        architecture=KINDS[kind],
        training={**OPTIONS.model_dump(), **training},
    )


# ---- efficiencies


@given(
    st.sampled_from(list(KINDS)),
    st.sampled_from([0.2, 1.0, 5.0]),
    st.lists(st.integers(1, 5), min_size=1, max_size=6),
)
def test_equals_the_textbook(kind: str, mu: float, counts: list[int]) -> None:
    jets = binned_jets(counts, len(counts))
    network = small_network(kind, mu=mu)
    rows = features(jets)
    expected = [
        textbook_network(network, rows[a:b])
        for a, b in zip(jets.offsets[:-1], jets.offsets[1:], strict=True)
    ]
    eff = network.efficiency(jets)
    assert eff.shape == (jets.n_jets, 3)
    assert eff.dtype == np.float64
    np.testing.assert_allclose(eff, torch.cat(expected).detach().numpy(), atol=1e-5)


@every_kind
def test_a_tighter_point_is_never_above_a_looser_one(kind: str) -> None:
    network = small_network(kind)
    jets = binned_jets([0, 1, 2, 5, 30])
    with torch.no_grad():
        # Some probabilities of almost 1, some of almost 0.
        for layers in (network.body.head,) if kind == "graph" else (network.body.base,):
            layers[-1].weight.mul_(300)
    eff = network.efficiency(jets)
    assert (np.diff(eff, axis=1) <= 0).all()
    assert (eff >= 0).all()
    assert (eff <= 1).all()
    assert network.efficiency(make_jets([])).shape == (0, 3)


@every_kind
def test_one_point_is_what_it_always_was(kind: str) -> None:
    jets = make_jets([3, 1, 4])
    plain = small_network(kind, ())
    named = small_network(kind, ("loose",))
    assert plain.efficiency(jets).shape == (8,)
    assert np.array_equal(plain.efficiency(jets), named.efficiency(jets))
    for name, value in plain.state_dict().items():
        assert torch.equal(value, named.state_dict()[name])
    with torch.inference_mode():
        batch = Batch(features(jets.take(slice(0, 1))), [(1, 3)])
        logits = plain(batch)
        assert logits.shape == (3,)
        expected = torch.sigmoid(logits.double()).numpy()
    np.testing.assert_array_equal(plain.efficiency(jets.take(slice(0, 1))), expected)


@every_kind
def test_other_events_and_the_order_of_jets_change_nothing(kind: str) -> None:
    network = small_network(kind)
    jets = binned_jets([3, 1, 4, 3])
    alone = np.concatenate([network.efficiency(jets.take(slice(i, i + 1))) for i in range(4)])
    np.testing.assert_allclose(network.efficiency(jets), alone, rtol=1e-5)
    order = [2, 0, 3, 1]
    rows = features(binned_jets([4]))
    with torch.inference_mode():
        straight = network(Batch(rows, [(1, 4)]))
        permuted = network(Batch(rows[order], [(1, 4)]))
    assert straight.shape == (4, 3)
    torch.testing.assert_close(permuted, straight[order], atol=1e-5, rtol=1e-4)


@every_kind
def test_networks_computed_as_one_are_those_computed_alone(kind: str) -> None:
    networks = []
    for seed in range(3):
        torch.manual_seed(seed)
        network = EfficiencyNetwork(KINDS[kind], points=POINTS)
        network.standardise.fit(features(make_jets([3, 4, 5])))
        networks.append(network)
    batch = Batch(features(binned_jets([1, 3, 3])), [(1, 1), (2, 3)])
    with torch.inference_mode():
        rows = batch.features.expand(3, -1, -1)
        together = StackedNetworks(networks)(Batch(rows, batch.shape))
        assert together.shape == (3, 7, 3)
        for which, network in enumerate(networks):
            torch.testing.assert_close(together[which], network(batch), atol=1e-5, rtol=1e-5)


# ---- loss


def test_the_loss_is_the_likelihood_of_the_tag_bin() -> None:
    jets = binned_jets([3] * 50)
    network = small_network()
    events = TrainingEvents(jets)
    with torch.inference_mode():
        batch, tags = next(events.batches(10**9))
        logits = network(Batch(batch.features[0], batch.shape)).double()
        losses = chain_losses(logits, tags[0].double(), 1.0).sum(dim=-1)
        loss = batch_loss(logits, tags[0].double(), batch.shape, 1.0, 3)
    eff = network.efficiency(jets)
    # Probabilities of passing none, the first only, the first two only, and all.
    edges = np.column_stack([np.ones(len(eff)), eff, np.zeros(len(eff))])
    probability = (edges[:, :-1] - edges[:, 1:])[np.arange(len(eff)), jets.tag_bin]
    np.testing.assert_allclose(losses.numpy(), -np.log(probability), rtol=1e-6)
    assert float(loss) == pytest.approx(-np.log(probability).mean(), rel=1e-6)


def test_at_one_point_the_chain_is_eq_5() -> None:
    logits = torch.randn(7)
    tags = (torch.rand(7) < 0.5).float()
    chain = chain_losses(logits[:, None], tags[:, None], 3.0)
    assert torch.equal(chain.squeeze(-1), weighted_loss(logits, tags, 3.0))


def test_mu_weighs_jets_that_pass_no_point() -> None:
    logits = torch.logit(torch.tensor([[0.3, 0.6]] * 3))
    passes = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    losses = chain_losses(logits, passes, 4.0)
    expected = [
        [-4 * math.log(0.7), 0.0],
        [-math.log(0.3), -math.log(0.4)],
        [-math.log(0.3), -math.log(0.6)],
    ]
    torch.testing.assert_close(losses, torch.tensor(expected), atol=1e-6, rtol=1e-6)


@given(
    st.floats(0.05, 20), st.floats(0.02, 0.98), st.floats(0.02, 0.98), st.sampled_from(list(KINDS))
)
def test_where_the_loss_is_least_the_efficiency_is_right(
    mu: float, loose: float, conditional: float, kind: str
) -> None:
    """The least expected loss of a jet whose probabilities are known, by Newton's method."""
    of_bins = torch.tensor([1 - loose, loose * (1 - conditional), loose * conditional]).double()
    passes = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]).double()
    logits = torch.zeros(2, dtype=torch.float64, requires_grad=True)

    def expected_loss(at: torch.Tensor) -> torch.Tensor:
        return (of_bins * chain_losses(at.expand(3, 2), passes, mu).sum(dim=-1)).sum()

    for _ in range(50):
        gradient = torch.autograd.functional.jacobian(expected_loss, logits)
        curvature = torch.autograd.functional.hessian(expected_loss, logits)
        step = torch.linalg.solve(curvature, gradient).clamp(-1, 1)
        logits = (logits - step).detach().requires_grad_()
    network = small_network(kind, ("loose", "tight"), mu=mu)
    layers = network.body.head if kind == "graph" else network.body.base
    # A network that gives these scores whatever it sees.
    with torch.no_grad():
        layers[-1].weight.zero_()
        layers[-1].bias.copy_(logits)
        if kind == "factorised":
            layers[-1].bias[0] += math.log(mu)
    eff = network.efficiency(make_jets([1]))
    np.testing.assert_allclose(eff[0], [loose, loose * conditional], rtol=1e-4, atol=1e-5)


# ---- training


def test_events_carry_which_points_each_jet_passes() -> None:
    jets = binned_jets([1, 2, 2, 3])
    events = TrainingEvents(jets)
    assert [tuple(tags.shape) for _, tags in events.groups] == [(1, 1, 3), (2, 2, 3), (1, 3, 3)]
    assert events.points == POINTS
    found = []
    for batch, tags in events.batches(2):
        assert tags.shape == (1, batch.features.shape[1], 3)
        found.append(torch.cat([batch.features[0], tags[0]], dim=1))
    rows = torch.cat([features(jets), torch.tensor(jets.passes()).float()], dim=1)
    assert sorted(torch.cat(found).tolist()) == sorted(rows.tolist())
    # A resample draws events with all that belongs to them.
    drawn = events.resample(torch.Generator().manual_seed(0))
    known = set(map(tuple, rows.tolist()))
    for batch, tags in events.batches(2, resamples=[drawn]):
        assert set(map(tuple, torch.cat([batch.features[0], tags[0]], dim=1).tolist())) <= known
    other = jets.with_columns(tag_bin=(jets.tag_bin + 1) % 4)
    assert TrainingEvents(other).digest() != events.digest()


def test_untagged_samples_are_refused() -> None:
    with pytest.raises(DataError, match="no column 'tag_bin': a network learns from tags"):
        TrainingEvents(binned_jets([2], tag_bin=None))


@every_kind
@pytest.mark.parametrize("count", [1, 3])
def test_trainings_repeat_and_resume(kind: str, count: int, tmp_path: Path) -> None:
    jets = binned_jets([1, 2, 3, 4] * 20)
    events = TrainingEvents(jets)
    options = TrainingOptions(**{**OPTIONS.model_dump(), "bootstrap": True, "average": 0.5})
    seeds = [(1, kind, number) for number in range(count)]
    straight = Training(KINDS[kind], options, events, seeds)
    list(train(straight, events, events))
    killed = Training(KINDS[kind], options, events, seeds)
    next(train(killed, events, events))
    killed.save(tmp_path / "checkpoint.pt", {})
    resumed = Training(KINDS[kind], options, events, seeds)
    assert resumed.resume(tmp_path / "checkpoint.pt", {})
    list(train(resumed, events, events))
    for which in range(count):
        one = straight.best_network(which)
        other = resumed.best_network(which)
        assert one.efficiency(jets).shape == (jets.n_jets, 3)
        assert np.array_equal(one.efficiency(jets), other.efficiency(jets))


def test_samples_of_other_points_are_refused() -> None:
    jets = binned_jets([2] * 10)
    other = jets.with_columns(labels=Labels(flavours=(0, 4, 5), points=("a", "b", "c")))
    events = TrainingEvents(jets)
    training = Training(KINDS["graph"], OPTIONS, events, [(1, "a", 0)])
    message = r"have the working points \['loose', 'medium', 'tight'\], the validation events \['a'"
    with pytest.raises(DataError, match=message):
        next(train(training, events, TrainingEvents(other)))


def test_losses_and_constants_by_hand() -> None:
    jets = binned_jets([3] * 200, flavour=np.tile([0, 4, 5], 200))
    events = TrainingEvents(jets)
    network = small_network(mu=2.0)
    compared = compare_with_constant(network, events, events)
    eff = network.efficiency(jets)
    passes = jets.passes()
    conditional = eff / np.column_stack([np.ones(len(eff)), eff[:, :-1]])
    # The score that Eq. 5 trains, from the efficiency at the loosest point.
    conditional[:, 0] = eff[:, 0] / (eff[:, 0] + 2 * (1 - eff[:, 0]))
    candidates = np.column_stack([np.ones(len(eff), dtype=bool), passes[:, :-1]])
    losses = chain_by_hand(conditional, passes, candidates)
    assert compared.loss == pytest.approx(losses.sum(axis=1).mean(), rel=1e-5)
    found = [one.loss for one in compared.of_points]
    assert found == pytest.approx(list(losses.mean(axis=0)), rel=1e-5)
    assert evaluate(StackedNetworks([network]), events, 2.0) == pytest.approx([compared.loss])
    constant = np.zeros_like(eff)
    for point in range(3):
        logits = constant_logits(events, 2.0, point)
        for flavour in (0, 4, 5):
            chosen = (jets.flavour == flavour) & candidates[:, point]
            tagged = passes[chosen, point].sum() + 0.5
            odds = tagged / (chosen.sum() + 1 - tagged) / (2.0 if point == 0 else 1.0)
            assert logits[flavour] == pytest.approx(math.log(odds))
            constant[jets.flavour == flavour, point] = odds / (1 + odds)
    expected = chain_by_hand(constant, passes, candidates)
    assert compared.constant_loss == pytest.approx(expected.sum(axis=1).mean(), rel=1e-5)
    untrained = chain_by_hand(np.full_like(eff, 0.5), passes, candidates)
    assert compared.untrained_loss == pytest.approx(untrained.sum(axis=1).mean(), rel=1e-6)
    assert sum(one.untrained_loss for one in compared.of_points) == pytest.approx(
        compared.untrained_loss
    )


def chain_by_hand(scores: FloatArray, passes: Any, candidates: Any) -> FloatArray:
    """Return Eq. 5 with mu = 2 at the first point, shape (n_jets, n_points)."""
    mu = np.array([2.0, 1.0, 1.0])
    losses: FloatArray = candidates * np.where(passes, -np.log(scores), -mu * np.log1p(-scores))
    return losses


def two_points(sample: Jets, seed: int) -> Jets:
    """Tag jets at two points; the tighter depends on pT and on the number of jets, too."""
    rng = np.random.default_rng(seed)
    n = sample.multiplicity[sample.event_of_jet]
    conditional = (0.4 + 0.5 * sample.pt / (sample.pt + 100)) * (1.1 - 0.1 * n)
    eff = np.column_stack([sample.efficiency_true, sample.efficiency_true * conditional])
    return sample.with_columns(
        is_tagged=None,
        tag_bin=(rng.random((sample.n_jets, 1)) < eff).sum(axis=1),
        efficiency_true=eff,
        labels=Labels(flavours=(0, 4, 5), points=("loose", "tight")),
    )


@pytest.mark.slow(seconds=15)
def test_two_points_are_learned_as_well_as_each_alone(sample: Jets) -> None:
    jets = two_points(sample, 1)
    test = jets.take(slice(17_000, 20_000))
    architecture = Architecture(width=16, blocks=1, head=(32,))
    options = TrainingOptions(epochs=6, batch_events=100, learning_rate=0.01, precision="float32")

    def regrets(tagged: Jets, true: FloatArray) -> FloatArray:
        """Return the regret of three networks at each point, shape (3, n_points)."""
        events = TrainingEvents(tagged.take(slice(0, 4000)))
        validation = TrainingEvents(tagged.take(slice(15_000, 16_000)))
        found = []
        for seed in range(3):
            training = Training(architecture, options, events, [(1, "gnn", seed)])
            list(train(training, events, validation))
            eff = training.best_network().efficiency(test).reshape(true.shape)
            found.append([excess_loss(*pair).mean() for pair in zip(true.T, eff.T, strict=True)])
        return np.array(found)

    together = regrets(jets, test.efficiency_true)
    for number, point in enumerate(("loose", "tight")):
        alone = regrets(jets.at_point(point), test.efficiency_true[:, [number]])[:, 0]
        ours = together[:, number]
        spread = math.hypot(alone.std(ddof=1), ours.std(ddof=1)) / math.sqrt(3)
        assert ours.mean() < alone.mean() + 3 * spread + 0.1 * alone.mean()
        # One constant per flavour.
        constant = np.empty(test.n_jets)
        for flavour in (0, 4, 5):
            chosen = test.flavour == flavour
            constant[chosen] = test.efficiency_true[chosen, number].mean()
        assert ours.max() < 0.8 * excess_loss(test.efficiency_true[:, number], constant).mean()


# ---- estimators


@every_kind
def test_members_know_their_points(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    jets = binned_jets([2, 3] * 40)
    member = NetworkEstimator.fit(jets, jets, network_options(kind), (1, "a", 0))
    assert member.points == POINTS
    assert member.settings["points"] == list(POINTS)
    assert "working points loose, medium, tight" in member.describe()
    assert member.provenance["points"] == list(POINTS)
    of_points = member.provenance["validation_losses"]
    assert sum(of_points) == pytest.approx(member.provenance["validation_loss"], rel=1e-5)
    member.save(tmp_path / "seed_0.pt", {})
    loaded = NetworkEstimator.load(tmp_path / "seed_0.pt")
    assert loaded.settings == member.settings
    assert np.array_equal(loaded.efficiency(jets), member.efficiency(jets))
    assert read_network_file(tmp_path / "seed_0.pt")["points"] == list(POINTS)
    # Trained for another point, it is another network.
    single = NetworkEstimator.fit(
        jets.at_point("tight"), jets.at_point("tight"), network_options(kind), (1, "a", 0)
    )
    assert single.settings != member.settings
    assert single.efficiency(jets).shape == (jets.n_jets,)


@pytest.mark.parametrize("points", [3, [1, 2, 3], ["loose", "tight"]])
def test_files_of_other_points_are_refused(points: Any, tmp_path: Path) -> None:
    path = tmp_path / "seed_0.pt"
    save_network(small_network(), path, {})
    content = torch.load(path, weights_only=True)
    del content["digest"]
    write_content({**content, "points": points}, path)
    with pytest.raises(DataError, match=r"seed_0\.pt: does not hold a whole network"):
        load_network(path)


def test_points_that_cannot_be_learned_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    jets = binned_jets([2] * 60)
    without = jets.with_columns(tag_bin=np.minimum(jets.tag_bin, 1))
    NetworkEstimator.fit(without, without, network_options(), (1, "a", 0))
    passing = int((without.tag_bin > 0).sum())
    message = (
        f"no jet of the training sample that passes the point before ({passing} jets) is tagged "
        "at point 'medium': the share that passes will be near 0 everywhere. "
        "Check the column 'tag_bin'"
    )
    assert message in caplog.text
    assert "'loose'" not in caplog.text
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert not any("'tight'" in text for text in warned)


def test_a_point_that_is_worse_than_a_constant_is_warned_of(
    sample: Jets, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    jets = two_points(sample, 2)
    options = network_options(epochs=4, learning_rate=5e-3)
    head = {"body.head.2.bias"}

    def spoiled(self: Training, which: int = 0) -> EfficiencyNetwork:
        network = best(self, which)
        assert head <= set(network.state_dict())
        network.state_dict()["body.head.2.bias"][1] += 0.8
        return network

    best = Training.best_network
    monkeypatch.setattr(Training, "best_network", spoiled)
    caplog.set_level(logging.WARNING)
    NetworkEstimator.fit(
        jets.take(slice(0, 1500)), jets.take(slice(2000, 4000)), options, (1, "a", 0)
    )
    assert "at the working point 'tight', given the one before, above that of one" in caplog.text
    assert "at the working point 'loose'" not in caplog.text


def test_factors_are_read_at_any_point(truth: NeighbourProduct) -> None:
    network = small_network("factorised")
    jet = {"pt": 100.0, "eta": 0.5, "flavour": 5}
    places = (np.array([100.0]), np.array([0.3]))
    pair = make_jets(
        [1, 2],
        pt=np.full(3, 100.0),
        eta=np.full(3, 0.5),
        phi=np.array([0.0, 0.0, 0.3]),
        flavour=np.full(3, 5),
    )
    eff = network.efficiency(pair)
    for point in range(3):
        read = read_factors([network], truth, {"b": 5}, jet, *places, point=point)
        assert read["mean"][0] == pytest.approx(eff[0, point], rel=1e-5)
        assert read["mean"][1] == pytest.approx(eff[1, point] / eff[0, point], rel=1e-5)
    loosest = read_factors([network], truth, {"b": 5}, jet, *places)
    assert loosest["mean"][0] == pytest.approx(eff[0, 0], rel=1e-5)
    with pytest.raises(DataError, match="working point 3 was asked for; the network has 3"):
        read_factors([network], truth, {"b": 5}, jet, *places, point=3)
