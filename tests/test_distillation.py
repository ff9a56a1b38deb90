"""Distillation: one network that says what an ensemble says; events that fill the domain."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from estimator_kinds import fit
from hypothesis import given
from hypothesis import strategies as st

from conftest import make_jets
from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.data.labels import Labels
from truthtag.data.neighbours import nearest_jet
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.cross_fitting import CrossFitted, Folds
from truthtag.estimators.ensemble import Ensemble, load
from truthtag.estimators.network.batches import TrainingEvents, features
from truthtag.estimators.network.distillation import Distilled, distil
from truthtag.estimators.network.estimator import NetworkEstimator
from truthtag.estimators.network.filling import fill_events
from truthtag.estimators.network.lesson import Lesson, excess_losses
from truthtag.estimators.network.loss import batch_loss, chain_losses
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.network.options import Architecture, DistilOptions, TrainingOptions
from truthtag.estimators.network.trainer import Training, train
from truthtag.estimators.protocol import Efficiency
from truthtag.registry import validated
from truthtag.statistics.accuracy import excess_loss

POINTS = ("loose", "medium", "tight")
SMALL = Architecture(width=8, blocks=1, head=(8,))
FACTORISED = Architecture(
    kind="factorised",
    width=8,
    head=(8,),
    inputs=("pt", "eta", "flavour"),
    edge_features=("delta_r",),
)
SEED = (1, "gnn", "distilled")
QUICK = {"epochs": 2, "batch_events": 50, "precision": "float32"}
STILL = {**QUICK, "epochs": 1, "learning_rate": 1e-12, "fill": 0.0}
"""No step of these is long enough to change a network."""


class Constant:
    """An efficiency that is the same for all jets."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def efficiency(self, jets: Jets) -> FloatArray:
        shape = (jets.n_jets, *np.shape(self.value))
        return np.broadcast_to(np.asarray(self.value, dtype=float), shape)


def options(**changes: Any) -> DistilOptions:
    return DistilOptions(**{**QUICK, **changes})


def member(
    seed: int,
    architecture: Architecture = SMALL,
    points: tuple[str, ...] = (),
    mu: float = 1.0,
    scale: float = 5.0,
) -> NetworkEstimator:
    """Return a network of random weights that says something different for each jet."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = EfficiencyNetwork(architecture, points=points, mu=mu)
    network.standardise.fit(features(make_jets([3, 4, 5])))
    layers = network.body.head if architecture.kind == "graph" else network.body.base
    with torch.no_grad():
        # Random weights say about the same of all jets.
        layers[-1].weight.mul_(scale)  # type: ignore[index, operator, union-attr]
    return NetworkEstimator(network.eval())


def halves(few: Jets) -> tuple[Jets, Jets]:
    return few.take(slice(0, 200)), few.take(slice(200, 300))


def pointed(jets: Jets) -> Jets:
    """Return jets of a sample with three working points, without tags."""
    labels = Labels(flavours=(0, 4, 5), points=POINTS)
    return jets.with_columns(is_tagged=None, score=None, efficiency_true=None, labels=labels)


def weights(network: NetworkEstimator) -> list[torch.Tensor]:
    return list(network.network.state_dict().values())


# ---- soft targets


@pytest.mark.parametrize("n_points", [1, 3])
def test_targets_of_0_and_1_are_tags(few: Jets, n_points: int) -> None:
    jets = few
    if n_points == 3:
        bins = np.random.default_rng(1).integers(0, 4, few.n_jets)
        jets = pointed(few).with_columns(tag_bin=bins)
    options = TrainingOptions(epochs=2, batch_events=50, learning_rate=0.01, precision="float32")
    states = []
    for targets in (None, jets.passes().astype(float)):
        events = TrainingEvents(jets, targets=targets)
        training = Training(SMALL, options, events, [SEED])
        list(train(training, events, events))
        states.append(training.networks.state(0))
    assert all(map(torch.equal, states[0].values(), states[1].values()))


probability = st.floats(0.0, 1.0)


@given(st.lists(probability, min_size=2, max_size=4), st.lists(st.floats(-5, 5), min_size=4))
def test_the_loss_of_probabilities_is_that_expected_of_tags(
    drawn: list[float], logits: list[float]
) -> None:
    efficiency = torch.tensor(sorted(drawn, reverse=True), dtype=torch.float64)
    n_points = len(efficiency)
    z = torch.tensor(logits[:n_points], dtype=torch.float64)
    edges = torch.cat([torch.ones(1), efficiency, torch.zeros(1)])
    expected = torch.zeros(n_points, dtype=torch.float64)
    for passed in range(n_points + 1):
        tags = (torch.arange(n_points) < passed).double()
        expected += (edges[passed] - edges[passed + 1]) * chain_losses(z, tags, 0.7)
    torch.testing.assert_close(chain_losses(z, efficiency, 0.7), expected)


def test_the_loss_is_lowest_at_the_probabilities_themselves() -> None:
    efficiency = torch.tensor([[0.6, 0.3, 0.03], [0.1, 0.1, 0.05]], dtype=torch.float64)
    given_last = efficiency / torch.cat([torch.ones(2, 1), efficiency[:, :-1]], dim=1)
    logits = torch.logit(given_last.clamp(max=1 - 1e-12)).requires_grad_()
    batch_loss(logits, efficiency, [(1, 2)], 1.0, n_points=3).backward()
    assert logits.grad is not None
    assert float(logits.grad.abs().max()) < 1e-12


def test_targets_need_no_tags(few: Jets) -> None:
    bare = few.with_columns(is_tagged=None)
    with pytest.raises(DataError, match="no column 'is_tagged'"):
        TrainingEvents(bare)
    events = TrainingEvents(bare, targets=few.efficiency_true)
    held = torch.cat([tags.flatten() for _, tags in events.groups])
    assert few.efficiency_true is not None
    np.testing.assert_allclose(sorted(held.tolist()), sorted(few.efficiency_true), rtol=1e-6)


# ---- the excess


def test_the_excess_at_one_point_is_that_of_the_regret() -> None:
    rng = np.random.default_rng(0)
    true, predicted = rng.random((2, 200))
    true[:4] = [0.0, 1.0, 0.0, 1.0]
    predicted[:4] = [0.0, 1.0, 1.0, 0.0]
    found = excess_losses(true[:, None], predicted[:, None])
    np.testing.assert_allclose(found, excess_loss(true, predicted), atol=2e-6)


@given(st.lists(st.tuples(probability, probability), min_size=2, max_size=4))
def test_the_excess_of_several_points_is_that_of_the_chain(
    pairs: list[tuple[float, float]],
) -> None:
    drawn = 0.05 + 0.9 * np.array(pairs)
    true = np.sort(drawn[:, 0])[::-1] * 0.99 ** np.arange(len(pairs))
    predicted = np.sort(drawn[:, 1])[::-1] * 0.99 ** np.arange(len(pairs))
    by_hand = 0.0
    for point in range(len(pairs)):
        before = (true[point - 1], predicted[point - 1]) if point else (1.0, 1.0)
        given_last = np.array([true[point] / before[0], predicted[point] / before[1]])
        by_hand += before[0] * float(excess_loss(given_last[:1], given_last[1:])[0])
    assert excess_losses(true[None], predicted[None])[0] == pytest.approx(by_hand, abs=1e-6)
    assert excess_losses(true[None], true[None])[0] == pytest.approx(0.0, abs=1e-12)


# ---- events that fill the domain


def rich(multiplicities: list[int]) -> Jets:
    """Make jets with further columns, in which light jets have a range of their own."""
    jets = make_jets(multiplicities, len(multiplicities))
    light = jets.flavour == 0
    origin = np.arange(jets.n_jets) % 3
    return jets.with_columns(
        eta=np.where(light, jets.eta / 4, jets.eta),
        position=np.arange(jets.n_jets),
        further={"tracks": np.arange(jets.n_jets), "origin": origin},
        labels=Labels(flavours=(0, 4, 5, 15), categories={"origin": (0, 1, 2, 7)}),
    )


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30).filter(any), st.integers(0, 3))
def test_filling_events_stay_in_the_ranges_of_their_sample(counts: list[int], seed: int) -> None:
    jets = rich(counts)
    filling = fill_events(jets, 50, (seed,))
    assert filling.n_events == 50
    assert set(filling.multiplicity) <= set(jets.multiplicity) - {0}
    assert filling.labels == jets.labels
    assert not filling.has_tags
    assert filling.event_columns == ("event", "weight")
    assert filling.jet_columns == ("pt", "eta", "phi", "mass", "flavour")
    for flavour in np.unique(filling.flavour):
        for name in ("pt", "eta"):
            old = getattr(jets, name)[jets.flavour == flavour]
            new = getattr(filling, name)[filling.flavour == flavour]
            assert old.min() <= new.min() <= new.max() <= old.max()
    for name in ("tracks", "origin"):
        assert set(filling.further[name]) <= set(jets.further[name])
    assert nearest_jet(filling)[1].min() >= nearest_jet(jets)[1].min()
    # The jets themselves check the order of momenta and the angles.
    assert filling.pt.dtype == filling.eta.dtype == filling.phi.dtype == np.float32


def test_filling_events_follow_from_their_seed(few: Jets) -> None:
    digests = [fill_events(few, 100, seed).digest() for seed in ((1, "a"), (1, "a"), (1, "b"))]
    assert digests[0] == digests[1] != digests[2]
    assert fill_events(few, 0, (1,)).n_events == 0


def test_filling_events_are_there_where_the_sample_has_few(sample: Jets) -> None:
    filling = fill_events(sample, 20_000, (1,))
    assert (filling.multiplicity == 6).mean() > 1.2 * (sample.multiplicity == 6).mean()
    assert (filling.pt > 500).mean() > 2 * (sample.pt > 500).mean()
    assert (np.abs(filling.eta) > 1.8).mean() > 1.2 * (np.abs(sample.eta) > 1.8).mean()
    assert (nearest_jet(filling)[1] < 0.1).mean() > 3 * (nearest_jet(sample)[1] < 0.1).mean()
    # Nearly none of these events is spoilt, and nearly every one is varied.
    assert (~np.isin(filling.pt, sample.pt)).mean() == pytest.approx(0.25, abs=0.02)


def test_two_jets_that_lie_on_each_other_do_no_harm() -> None:
    jets = make_jets([2, 3]).with_columns(eta=np.zeros(5), phi=np.zeros(5))
    filling = fill_events(jets, 20, (1,))
    assert np.array_equal(filling.eta, np.zeros(filling.n_jets))


def test_a_jet_is_brought_near_another_one() -> None:
    # Two jets at eta 0 each: 2 events in which they are near, 98 in which they are opposite.
    jets = make_jets([2] * 100)
    phi = np.where(np.arange(200) % 2 == 0, 0.0, 3.0)
    phi[1:4:2] = 0.01
    filling = fill_events(jets.with_columns(eta=np.zeros(200), phi=phi), 20_000, (1,))
    distance = nearest_jet(filling)[1]
    # One of the two is moved in 3/8 of the events. Its distance is uniform in the logarithm from
    # 0.01 to 3, at any angle, of which phi is left: 81% are below 0.5, and 12%, below 0.01, undone.
    assert (distance < 0.5).mean() == pytest.approx(3 / 8 * (0.81 - 0.12), abs=0.02)
    assert distance.min() >= 0.00999


def test_lonely_jets_stay_alone() -> None:
    filling = fill_events(make_jets([1, 1, 0, 1]), 20, (1,))
    assert filling.multiplicity.tolist() == [1] * 20


def test_filling_needs_jets_and_a_number(few: Jets) -> None:
    with pytest.raises(DataError, match=r"no jets: there are none to vary\. Check how"):
        fill_events(make_jets([0, 0]), 10, (1,))
    with pytest.raises(DataError, match=r"-1 events .* are asked for; ask for 0 or more"):
        fill_events(few, -1, (1,))


# ---- lessons


def test_what_rises_by_rounding_is_brought_into_order(few: Jets) -> None:
    jets = pointed(few)
    lesson = Lesson.of(Constant([0.4, 0.4 + 1e-9, 0.2]), jets)
    assert lesson.target[0].tolist() == [0.4, 0.4, 0.2]


def test_constants_are_the_means_of_flavours() -> None:
    jets = make_jets([3], flavour=np.array([5, 5, 0]))
    lesson = Lesson(jets, np.array([[0.4, 0.2], [0.6, 0.4], [0.2, 0.0]]))
    others = make_jets([4], flavour=np.array([0, 5, 5, 4]))
    expected = [[0.2, 0.0], [0.5, 0.3], [0.5, 0.3], [0.4, 0.2]]
    np.testing.assert_allclose(lesson.constants(others), expected)


def test_nothing_is_relative_to_an_efficiency_of_0() -> None:
    jets = make_jets([2])
    measured = Lesson(jets, np.array([[0.0], [0.4]])).measure(np.array([0.1, 0.3]))
    assert measured["difference_max"] == pytest.approx(0.25)
    nothing = Lesson(jets, np.zeros((2, 1))).measure(np.array([0.1, 0.3]))
    assert nothing["difference_99"] is nothing["difference_max"] is None
    excess = -(np.log(0.9) + np.log(0.7)) / 2
    assert nothing["added_regret"] == pytest.approx(excess)


# ---- distillation


@pytest.fixture(scope="module")
def two() -> Ensemble:
    """Two networks that differ, though less than the jets do."""
    return Ensemble([member(1), member(1, scale=8.0)])


def test_a_constant_is_learned(few: Jets) -> None:
    chosen = options(architecture=SMALL, epochs=20, batch_events=20, learning_rate=0.02)
    distilled = distil(Constant(0.3), *halves(few), chosen, SEED)
    assert distilled.network.efficiency(few) == pytest.approx(0.3, abs=0.05)
    report = distilled.report
    assert report["validation"]["added_regret"] < 1e-3
    assert report["constant_regret"] == pytest.approx(0.0, abs=1e-12)
    assert report["start"] is None
    assert report["member_regret"] is None
    assert report["ensemble"]["description"] == "Constant"
    assert report["ensemble"]["networks"] == []
    assert report["filled"]["added_regret"] < 2e-3


def test_the_truth_is_learned_from_what_it_says(sample: Jets) -> None:
    truth = fit("parametric", sample)
    chosen = options(architecture=FACTORISED, batch_events=50, epochs=5, learning_rate=0.02)
    distilled = distil(truth, sample.first(2_000), sample.take(slice(4_000, 5_000)), chosen, SEED)
    report = distilled.report
    assert report["validation"]["added_regret"] < 0.2 * report["constant_regret"]
    assert report["filled"]["added_regret"] < 0.2 * report["constant_regret"]


def test_one_network_says_what_two_say(two: Ensemble, few: Jets) -> None:
    train_jets, validation = halves(few)
    distilled = distil(two, train_jets, validation, options(epochs=10), SEED)
    report = distilled.report
    alone = [one.efficiency(validation) for one in two.members]
    mean = two.efficiency(validation)
    regrets = [excess_loss(mean, one).mean() for one in alone]
    assert report["member_regret"] == pytest.approx(np.mean(regrets), rel=1e-6)
    assert report["start"] == int(np.argmin(regrets))
    measured = report["validation"]
    assert measured["added_regret"] < 0.1 * min(regrets)
    # The report is what anyone finds who measures again.
    own = distilled.network.efficiency(validation)
    excess = excess_loss(mean, own)
    assert measured["events"] == 100
    assert measured["added_regret"] == pytest.approx(excess.mean(), rel=1e-6)
    assert set(measured["by_flavour"]) == {"0", "4", "5"}
    of_b = excess[validation.flavour == 5].mean()
    assert measured["by_flavour"]["5"] == pytest.approx(of_b, rel=1e-6)
    relative = np.abs(own - mean) / mean
    assert measured["difference_max"] == pytest.approx(relative.max())
    assert measured["difference_99"] == pytest.approx(np.quantile(relative, 0.99))
    assert (report["train_events"], report["filling_events"]) == (200, 100)
    assert report["filled"]["events"] == 100


def test_the_same_seed_gives_the_same_file(two: Ensemble, few: Jets, tmp_path: Path) -> None:
    found = [distil(two, *halves(few), options(), seed) for seed in (SEED, SEED, (2, "gnn"))]
    paths = [tmp_path / f"{number}.pt" for number in range(3)]
    for distilled, path in zip(found, paths, strict=True):
        distilled.network.save(path, {"versions": {"torch": "2"}})
    assert paths[0].read_bytes() == paths[1].read_bytes() != paths[2].read_bytes()
    loaded = load(paths[0])
    assert np.array_equal(loaded.efficiency(few), found[0].network.efficiency(few))
    assert loaded.provenance["distilled"] == found[0].report
    assert json.loads(json.dumps(found[0].report)) == found[0].report
    digests = loaded.provenance["distilled"]["ensemble"]["networks"]
    assert len(set(digests)) == 2
    history = found[0].network.history
    assert history is not None
    assert history["epoch"].tolist() == [1, 2]
    assert found[0].report["ensemble"]["targets"] != found[2].report["ensemble"]["targets"]


@pytest.mark.parametrize("architecture", [SMALL, FACTORISED], ids=["graph", "factorised"])
@pytest.mark.parametrize("points", [(), POINTS], ids=["one point", "three points"])
def test_it_begins_with_the_member_that_is_nearest(
    architecture: Architecture, points: tuple[str, ...], few: Jets
) -> None:
    jets = pointed(few) if points else few
    members = [member(seed, architecture, points, mu=0.2) for seed in (1, 2, 3)]
    ensemble = Ensemble(members)
    still = distil(ensemble, *halves(jets), options(**STILL), SEED)
    nearest = members[still.report["start"]]
    eff = still.network.efficiency(jets)
    # Without the weight mu of its member it says the same.
    assert still.network.network.mu == 1.0
    np.testing.assert_allclose(eff, nearest.efficiency(jets), rtol=1e-5)
    assert still.report["filling_events"] == 0


def test_another_architecture_begins_anew(two: Ensemble, few: Jets) -> None:
    wide = Architecture(width=12, blocks=1, head=(8,))
    distilled = distil(two, *halves(few), options(architecture=wide), SEED)
    assert distilled.report["start"] is None
    assert distilled.report["member_regret"] > 0
    assert distilled.network.network.architecture == wide
    assert distilled.network.settings["training"]["epochs"] == 2


def test_several_points_fall(few: Jets) -> None:
    jets = pointed(few)
    ensemble = Ensemble([member(seed, points=POINTS) for seed in (1, 2)])
    distilled = distil(ensemble, *halves(jets), options(epochs=10), SEED)
    eff = distilled.network.efficiency(jets)
    assert eff.shape == (jets.n_jets, 3)
    assert (np.diff(eff, axis=1) <= 0).all()
    assert distilled.network.points == POINTS
    report = distilled.report
    assert report["validation"]["added_regret"] < 0.2 * report["member_regret"]


def test_a_map_of_several_points_can_be_distilled(sample: Jets) -> None:
    jets = sample.first(600)
    bins = np.random.default_rng(0).integers(0, 4, jets.n_jets)
    tagged = pointed(jets).with_columns(tag_bin=bins)
    fitted = fit("binned", tagged)
    chosen = options(architecture=SMALL)
    distilled = distil(fitted, tagged.first(400), tagged.take(slice(400, 600)), chosen, SEED)
    assert distilled.network.points == POINTS
    assert distilled.report["ensemble"]["networks"] == []
    renamed = tagged.with_columns(
        labels=Labels(flavours=(0, 4, 5), points=("loose", "medium", "tightest"))
    )
    with pytest.raises(DataError, match=r"knows the working points \['loose'.*'tightest'\]\. Take"):
        distil(fitted, renamed, renamed, chosen, SEED)


def test_events_to_fill_the_domain_can_be_given(two: Ensemble, few: Jets) -> None:
    train_jets, validation = halves(few)
    filling = fill_events(train_jets, 100, (*SEED, "fill"))
    given_them = distil(two, train_jets, validation, options(fill=0.0), SEED, filling)
    made = distil(two, train_jets, validation, options(fill=0.5), SEED)
    assert all(map(torch.equal, weights(given_them.network), weights(made.network)))
    without = distil(two, train_jets, validation, options(fill=0.0), SEED)
    assert without.report["filling_events"] == 0
    assert not all(map(torch.equal, weights(without.network), weights(made.network)))


def test_of_large_samples_a_part_is_taken_evenly(two: Ensemble, few: Jets) -> None:
    chosen = options(events=50, fill=1.0)
    distilled = distil(two, *halves(few), chosen, SEED)
    report = distilled.report
    assert (report["train_events"], report["filling_events"]) == (50, 50)
    assert (report["validation"]["events"], report["filled"]["events"]) == (50, 50)
    train_jets, validation = halves(few)
    every_fourth = train_jets.take(slice(0, None, 4))
    again = distil(two, every_fourth, validation.take(slice(0, None, 2)), chosen, SEED)
    assert again.report == report


def test_what_was_cross_fitted_is_distilled_as_its_mean(few: Jets) -> None:
    fitted = CrossFitted(Folds(2), [Ensemble([member(1)]), Ensemble([member(2), member(3)])])
    distilled = distil(fitted, *halves(few), options(**STILL), SEED)
    validation = halves(few)[1]
    excess = excess_loss(
        fitted.efficiency(validation), distilled.network.efficiency(validation)
    ).mean()
    assert distilled.report["validation"]["added_regret"] == pytest.approx(excess, rel=1e-6)
    assert len(distilled.report["ensemble"]["networks"]) == 3
    with pytest.raises(ConfigError, match=r"goes by the fold of each event.*Distil what was cross"):
        distil(fitted.held_out, *halves(few), options(), SEED)


def test_further_inputs_are_seen(few: Jets) -> None:
    labels = Labels(flavours=(0, 4, 5), categories={"origin": (0, 1, 2)})
    origin = np.arange(few.n_jets) % 3
    jets = few.with_columns(further={"origin": origin}, labels=labels)

    class ByOrigin:
        def efficiency(self, jets: Jets) -> FloatArray:
            return np.array([0.1, 0.4, 0.8])[jets.further["origin"]]

    sees = Architecture(width=8, blocks=0, head=(8,), inputs=("pt", "origin"))
    chosen = options(architecture=sees, epochs=8, learning_rate=0.05)
    distilled = distil(ByOrigin(), *halves(jets), chosen, SEED)
    assert distilled.report["validation"]["added_regret"] < 0.01
    with pytest.raises(DataError, match="the network sees the column 'origin' of each jet"):
        distil(Constant(0.3), *halves(few), chosen, SEED)


def test_a_network_that_is_no_better_than_a_member_is_warned_of(
    two: Ensemble, few: Jets, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    distil(two, *halves(few), options(**STILL), SEED)
    assert "one network in place of 2 members, the mean: adds " in caplog.text
    assert "the nearest of the members alone" in caplog.text
    assert "after 4 steps it has learned little. Teach it longer: raise epochs (1)" in caplog.text
    caplog.clear()
    distil(two, *halves(few), options(epochs=10), SEED)
    assert "has learned" not in caplog.text
    # A single network has no other members to be compared with.
    distil(two.members[0], *halves(few), options(**STILL), SEED)
    assert "has learned" not in caplog.text


def test_a_network_that_has_learned_nothing_is_refused(
    few: Jets, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = options(**{**STILL, "architecture": SMALL})
    distil(Constant(0.0), *halves(few), chosen, SEED)
    assert "after 4 steps it has learned nothing" in caplog.text
    longer = options(**{**STILL, "architecture": SMALL, "epochs": 10, "batch_events": 10})
    message = r"flavour 0: after 200 steps it has learned nothing\. Teach it longer: raise epochs"
    with pytest.raises(DataError, match=message):
        distil(Constant(0.0), *halves(few), longer, SEED)


REFUSED: dict[str, tuple[Efficiency, str]] = {
    "shape": (Constant([0.4, 0.2]), r"have shape \(\d+, 2\); for these jets, of 1 working point"),
    "above 1": (Constant(1.2), "efficiencies to distil is 1.2; it must lie in"),
    "no number": (Constant(np.nan), "efficiencies to distil is nan; it must lie in"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_efficiency_is_refused(case: str, few: Jets) -> None:
    wrong, message = REFUSED[case]
    with pytest.raises(DataError, match=message):
        distil(wrong, *halves(few), options(architecture=SMALL), SEED)


def test_points_that_rise_are_refused(few: Jets) -> None:
    with pytest.raises(DataError, match=r"are \[0.2, 0.4, 0.1\] for jet 0 .* Name the points from"):
        chosen = options(architecture=SMALL)
        distil(Constant([0.2, 0.4, 0.1]), *halves(pointed(few)), chosen, SEED)


def test_a_map_needs_an_architecture(few: Jets) -> None:
    with pytest.raises(
        ConfigError, match=r"architecture: it is not given.*Give one, \{width: 64\}"
    ):
        distil(fit("binned", few), *halves(few), options(), SEED)


def test_samples_without_jets_are_refused(two: Ensemble, few: Jets) -> None:
    nothing = make_jets([0, 0])
    for samples in ((nothing, few), (few, nothing)):
        with pytest.raises(DataError, match=r"no jets: there is nothing to be learned or measured"):
            distil(two, *samples, options(), SEED)
    # Nothing to fill the domain with is no harm.
    without = distil(two, *halves(few), options(**STILL), SEED, make_jets([]))
    assert without.report["filling_events"] == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("events", 0),
        ("batch_events", 0),
        ("learning_rate", 0.0),
        ("fill", -0.1),
        ("seeds", 2),
    ],
)
def test_options_that_are_not_allowed_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"exports\.distil\.{name}"):
        validated(DistilOptions, {name: value}, "exports.distil")


def test_options_need_no_torch() -> None:
    code = (
        "import sys\n"
        "from truthtag.estimators.network.options import DistilOptions\n"
        "DistilOptions()\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_result_is_plain(two: Ensemble, few: Jets) -> None:
    distilled = distil(two, *halves(few), options(), SEED)
    assert isinstance(distilled, Distilled)
    assert isinstance(distilled.network, NetworkEstimator)
    assert isinstance(distilled.network, Efficiency)
