"""Networks in pairs: partners share events, and tell what the spread of networks is made of."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import make_jets
from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.cross_fitting import CrossFitted, Folds
from truthtag.estimators.ensemble import Ensemble
from truthtag.estimators.network.batches import TrainingEvents
from truthtag.estimators.network.estimator import NetworkEstimator
from truthtag.estimators.network.options import Architecture, NetworkOptions, TrainingOptions
from truthtag.estimators.network.trainer import Training, resample_number
from truthtag.estimators.predictions import Prediction
from truthtag.estimators.resampling import resamples_of
from truthtag.statistics.partners import error_of_mean, sampling_share
from truthtag.statistics.spread import small_sample_factor, spread_scales

FLAVOURS = {"b": 5, "c": 4, "light": 0}
OPTIONS = TrainingOptions(
    epochs=1, batch_events=100, learning_rate=3e-3, bootstrap=True, precision="float32"
)
SMALL = Architecture(width=4, blocks=0, head=(4,))
PAIRS = [*range(10), *range(10)]


# ---- resamples that networks share


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(1, 7), st.integers(0, 9))
def test_balanced_resamples_hold_every_event_as_often_together(
    multiplicities: list[int], of: int, seed: int
) -> None:
    events = TrainingEvents(make_jets([2, *multiplicities]))
    total = [torch.zeros(len(tags), dtype=torch.float64) for _, tags in events.groups]
    for number in range(of):
        drawn = events.resample(torch.Generator().manual_seed(seed), number, of)
        for summed, counts, (_, tags) in zip(
            total, events.counts_of(drawn), events.groups, strict=True
        ):
            assert counts.sum() == len(tags)
            summed += counts
    for summed in total:
        assert (summed == of).all()


def test_a_balanced_resample_scatters_nearly_as_any_other() -> None:
    events = TrainingEvents(make_jets([2] * 4000))
    for of in (2, 10):
        (counts,) = events.counts_of(events.resample(torch.Generator().manual_seed(1), 1, of))
        assert float(counts.var()) == pytest.approx(1 - 1 / of, abs=0.1)


def test_partners_learn_from_the_same_events_and_differ_else(few: Jets) -> None:
    events = TrainingEvents(few)
    seeds = [(1, "gnn", number) for number in range(4)]
    training = Training(SMALL, OPTIONS, events, seeds, distinct=2)
    first, second, third, fourth = training.resamples
    for one, other, partner in zip(first, second, third, strict=True):
        assert torch.equal(one, partner)
        assert len(one) < 5 or not torch.equal(one, other)
    assert all(map(torch.equal, second, fourth))
    start = [training.networks.state(which)["body.head.0.weight"] for which in (0, 2)]
    assert not torch.equal(*start)
    # Other ensembles have resamples of their own.
    other = Training(SMALL, OPTIONS, events, [(1, "mlp", 0)], distinct=2)
    assert not all(map(torch.equal, first, other.resamples[0]))


def test_a_network_that_shares_nothing_draws_as_it_always_did(few: Jets) -> None:
    events = TrainingEvents(few)
    seeds = [(1, "gnn", 0), (1, "gnn", 2)]
    alone = Training(SMALL, OPTIONS, events, seeds)
    assert not all(map(torch.equal, *alone.resamples))
    assert alone.distinct == 0
    without = OPTIONS.model_copy(update={"bootstrap": False})
    assert Training(SMALL, without, events, seeds, distinct=2).resamples == []


def test_a_seed_must_say_which_resample_is_its_own() -> None:
    assert resample_number((1, "gnn", 13), 10) == 3
    with pytest.raises(ConfigError, match="ends with a name; where networks share resamples"):
        resample_number((1, "gnn"), 10)


@pytest.mark.parametrize(
    ("seeds", "folds", "expected"),
    [(1, 1, 0), (2, 1, 2), (7, 1, 7), (20, 1, 20), (20, 5, 4)],
)
def test_as_many_resamples_as_networks_where_nothing_is_said(
    seeds: int, folds: int, expected: int
) -> None:
    parts: dict[str, Any] = {"architecture": SMALL, "training": OPTIONS}
    assert NetworkOptions(seeds=seeds, **parts).distinct_resamples(folds) == expected
    assert NetworkOptions(seeds=seeds, resamples=4, **parts).distinct_resamples(folds) == 4


def test_files_say_who_partners_are(few: Jets, tmp_path: Path) -> None:
    options = NetworkOptions(seeds=6, resamples=3, architecture=SMALL, training=OPTIONS)
    seeds = [(1, "net", 1), (1, "net", 4)]
    members = NetworkEstimator.fit_members(few, few, options, seeds)
    assert [member.provenance["resample"] for member in members] == [{"number": 1, "of": 3}] * 2
    members[1].save(tmp_path / "seed_4.pt", {})
    assert NetworkEstimator.load(tmp_path / "seed_4.pt").resample == 1
    (alone,) = NetworkEstimator.fit_members(
        few, few, options.model_copy(update={"seeds": 1, "resamples": 0}), seeds[:1]
    )
    assert "resample" not in alone.provenance
    assert alone.resample is None


def test_a_checkpoint_of_other_resamples_is_not_used(
    few: Jets, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "checkpoint.pt"
    for seeds, resumed in ((6, False), (6, True), (8, False)):
        caplog.clear()
        options = NetworkOptions(seeds=seeds, architecture=SMALL, training=OPTIONS)
        with caplog.at_level(logging.INFO):
            NetworkEstimator.fit_members(few, few, options, [(1, "net", 0)], checkpoint=path)
        assert ("going on from" in caplog.text) == resumed


# ---- which replicas are partners


@dataclass(frozen=True)
class Member:
    """An efficiency that says its own number, and which resample it learned from."""

    number: float
    resample: int | None

    def efficiency(self, jets: Jets) -> FloatArray:
        return np.full(jets.n_jets, self.number)


def test_partners_of_ensembles() -> None:
    members = [Member(0.1 * number, number % 3) for number in range(6)]
    assert resamples_of(Ensemble(members)) == [0, 1, 2, 0, 1, 2]
    assert resamples_of(Ensemble(members, nominal=members[0])) is None
    assert resamples_of(Ensemble([*members, Member(0.9, None)])) is None
    assert resamples_of(members[0]) is None


def test_partners_of_folds() -> None:
    """In other samples all networks are replicas; of held-out events one of each fold makes one."""
    parts = []
    for fold in range(3):
        numbers = range(4 * fold, 4 * fold + 4)
        parts.append(Ensemble([Member(0.01 * number, number % 2) for number in numbers]))
    fitted = CrossFitted(Folds(3), parts)
    assert resamples_of(fitted) == [0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 4, 5]
    assert resamples_of(fitted.held_out) == [0, 1, 0, 1]
    jets = make_jets([1, 1, 1])
    learned_from = [
        np.round(100 * replica).astype(int) % 2
        for replica in fitted.held_out.with_replicas(jets)[1]
    ]
    assert learned_from[0].tolist() == learned_from[2].tolist() != learned_from[1].tolist()


# ---- the share of the sample


def replicas_of(
    rng: np.random.Generator, share: float, resample: list[int], n_jets: int
) -> tuple[FloatArray, FloatArray]:
    """Draw how far networks are from what the whole sample gives, of variance 1, and the truth."""
    labels = np.array(resample)
    count = labels.max() + 1
    common = rng.normal(size=(count, n_jets))
    # Balanced resamples: their mean is the sample itself.
    common -= common.mean(axis=0)
    noise = rng.normal(size=(len(labels), n_jets))
    truth = math.sqrt(share) * rng.normal(size=n_jets)
    return math.sqrt(share) * common[labels] + math.sqrt(1 - share) * noise, truth


CASES = [PAIRS, [0, 0, 0, 1, 1, 1, 2, 2, 2], [*range(7), *range(6)], [0, 1, 2, 0, 1, 2]]


@pytest.mark.parametrize("resample", CASES)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_known_share_is_found(share: float, resample: list[int]) -> None:
    rng = np.random.default_rng(3)
    found, _ = replicas_of(rng, share, resample, 4000)
    measured = sampling_share(0.4 + 1e-3 * found, resample)
    assert measured is not None
    assert measured.share == pytest.approx(share, abs=0.05)
    assert measured.resamples == max(resample) + 1


def test_the_jackknife_tells_how_sure_the_share_is() -> None:
    rng = np.random.default_rng(4)
    found = [
        sampling_share(0.4 + 1e-3 * replicas_of(rng, 0.5, PAIRS, 12)[0], PAIRS) for _ in range(300)
    ]
    errors = [one.error for one in found if one]
    scatter = np.std([one.share for one in found if one])
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(scatter, rel=0.25)


@pytest.mark.parametrize("resample", CASES)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 1.0])
def test_the_error_of_the_mean_is_as_large_as_it_says(share: float, resample: list[int]) -> None:
    rng = np.random.default_rng(5)
    found, truth = replicas_of(rng, share, resample, 60_000)
    known = error_of_mean(share, resample)
    distance = truth - found.mean(axis=0)
    assert distance.std() == pytest.approx(known.of_mean, rel=0.02)
    # The spread of few replicas covers what one Gaussian standard deviation does.
    error = known.of_mean * known.small_sample * found.std(axis=0, ddof=1)
    assert np.mean(np.abs(distance) < error) == pytest.approx(0.6827, abs=0.015)


def test_pairs_need_no_larger_errors_than_the_sample_has() -> None:
    all_sampling = error_of_mean(1.0, PAIRS)
    assert all_sampling.of_mean == pytest.approx(1)
    all_noise = error_of_mean(0.0, PAIRS)
    assert all_noise.of_mean == pytest.approx(math.sqrt(1 / 20))
    assert all_noise.small_sample == pytest.approx(small_sample_factor(20) / math.sqrt(1 + 1 / 20))


def test_a_share_that_cannot_be_measured() -> None:
    rng = np.random.default_rng(6)
    replicas = rng.uniform(0.3, 0.7, (4, 50))
    assert sampling_share(replicas, [0, 1, 2, 3]) is None
    assert sampling_share(replicas, [7, 7, 7, 7]) is None
    assert sampling_share(replicas[:, :0], [0, 0, 1, 1]) is None
    assert sampling_share(replicas[[0, 0, 0, 0]], [0, 0, 1, 1]) is None
    two = sampling_share(replicas, [0, 0, 1, 1])
    assert two is not None
    assert math.isnan(two.error)
    # Efficiencies of exactly 0 and 1 have a weight.
    replicas[:, 0] = [0, 0, 0, 0]
    replicas[:, 1] = [0, 1, 1, 1]
    ends = sampling_share(replicas, [0, 0, 1, 1])
    assert ends is not None
    assert 0 <= ends.share <= 1


def test_wrong_labels_and_shares_are_refused() -> None:
    replicas = np.full((3, 5), 0.4)
    with pytest.raises(DataError, match=r"resamples of 3 replicas have shape \(2,\)"):
        sampling_share(replicas, [0, 1])
    with pytest.raises(DataError, match="give one integer for each replica"):
        sampling_share(replicas, [0.0, 0.0, 1.0])  # type: ignore[list-item]
    with pytest.raises(DataError, match=r"variance is 1.5; it must lie in \[0, 1\]"):
        error_of_mean(1.5, PAIRS)
    with pytest.raises(DataError, match="3 replicas of 3 resamples: at least two resamples"):
        error_of_mean(0.5, [0, 1, 2])


# ---- the table of scales


def test_scales_of_networks_in_pairs(sample: Jets) -> None:
    """Each flavour has a share of its own; the scale is smaller by what the mean averages away."""
    rng = np.random.default_rng(7)
    assert sample.efficiency_true is not None
    shares = {5: 0.3, 4: 0.6, 0: 0.9}
    found = np.zeros((20, sample.n_jets))
    for flavour, share in shares.items():
        chosen = sample.flavour == flavour
        found[:, chosen] = replicas_of(rng, share, PAIRS, int(chosen.sum()))[0]
    replicas = np.clip(sample.efficiency_true * (1 + 0.02 * found), 0, 1)
    prediction = Prediction(sample.per_jet("event"), sample.efficiency_true, replicas)
    table = spread_scales(sample, prediction, FLAVOURS, 8, 0.3, resample=PAIRS)
    for row in table.itertuples():
        assert row.sampling_share == pytest.approx(shares[row.number], abs=0.06)
        assert 0 < row.sampling_share_error < 0.15
        known = error_of_mean(row.sampling_share, PAIRS)
        assert row.of_mean == pytest.approx(known.of_mean)
        assert row.small_sample_factor == pytest.approx(known.small_sample)
        assert row.scale == pytest.approx(
            row.of_mean * row.small_sample_factor * row.from_tags, rel=1e-12
        )
    # Where nobody has a partner, nothing of this is known.
    for labels in (None, list(range(20))):
        alone = spread_scales(sample, prediction, FLAVOURS, 8, 0.3, resample=labels)
        assert (alone["of_mean"] == 1).all()
        assert alone["small_sample_factor"].tolist() == [small_sample_factor(20)] * 3
        assert alone["sampling_share"].isna().all()
    assert (table["scale"] < alone["scale"]).all()
