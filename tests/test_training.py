"""Training: the loss of Eq. 5, batches, rotations, resuming, learning."""

from __future__ import annotations

import copy
import math
import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from conftest import ROOT, make_jets
from truthtag.data.jets import Jets
from truthtag.data.kinematics import delta_r
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.ensemble import Ensemble
from truthtag.estimators.network import gradients
from truthtag.estimators.network.alignment import can_be_filled_up, filled_up
from truthtag.estimators.network.augmentation import transform
from truthtag.estimators.network.baseline import compare_with_constant, constant_logits
from truthtag.estimators.network.batches import Batch, TrainingEvents, Weighting
from truthtag.estimators.network.device import choose_device, uses_bfloat16
from truthtag.estimators.network.gradients import (
    Compiled,
    Gradients,
    Objective,
    Recorded,
    gradients_of,
)
from truthtag.estimators.network.loss import batch_loss, weighted_loss
from truthtag.estimators.network.optimiser import Adam, learning_rate
from truthtag.estimators.network.options import Architecture, TrainingOptions
from truthtag.estimators.network.trainer import EpochResult, Training, evaluate, train
from truthtag.estimators.predictions import replica_std
from truthtag.statistics.accuracy import excess_loss

SMALL = Architecture(width=8, blocks=1, head=(8,))
OPTIONS = TrainingOptions(
    epochs=4,
    batch_events=100,
    micro_batch_events=0,
    learning_rate=3e-3,
    schedule="one_cycle",
    warm_up=0.3,
    average=0.0,
    patience=0,
    mu=1.0,
    bootstrap=False,
    rotate_phi=True,
    reflect_phi=True,
    reflect_eta=True,
    precision="float32",
)
SEED = (1, "gnn", 0)


def changed(options: TrainingOptions, **changes: Any) -> TrainingOptions:
    """Return the options with some of them changed, all checked."""
    return TrainingOptions(**{**options.model_dump(), **changes})


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_eq_5_by_hand() -> None:
    scores = torch.tensor([0.5, 0.2, 0.9])
    tags = torch.tensor([1.0, 0.0, 0.0])
    logits = torch.logit(scores)
    expected = [-math.log(0.5), -3 * math.log(0.8), -3 * math.log(0.1)]
    assert weighted_loss(logits, tags, 3.0).tolist() == pytest.approx(expected, rel=1e-5)
    # One event of one jet, one of two: the mean over jets of each, then over events.
    by_event = (expected[0] + (expected[1] + expected[2]) / 2) / 2
    assert float(batch_loss(logits, tags, [(1, 1), (1, 2)], 3.0)) == pytest.approx(
        by_event, rel=1e-5
    )


def collect(batches: Iterator[tuple[Batch, torch.Tensor]]) -> list[tuple[float, ...]]:
    """Return all rows of some batches, tags appended, after checking their shapes."""
    rows: list[tuple[float, ...]] = []
    for batch, tags in batches:
        assert batch.features.shape == (1, sum(m * n for m, n in batch.shape), 4)
        assert tags.shape == batch.features.shape[:2]
        rows += map(tuple, torch.cat([batch.features[0], tags[0, :, None]], dim=1).tolist())
    return rows


@given(st.lists(st.integers(1, 6), min_size=1, max_size=60), st.integers(1, 30))
def test_batches_in_order_hold_every_event_once(counts: list[int], size: int) -> None:
    events = TrainingEvents(make_jets(counts))
    rows = collect(events.batches(size))
    assert sorted(row[:4] for row in rows) == sorted(map(tuple, events.rows.tolist()))


@given(st.lists(st.integers(1, 6), min_size=1, max_size=300), st.integers(1, 60), st.integers(0, 9))
def test_shuffled_batches_hold_no_event_twice_and_leave_few_out(
    counts: list[int], size: int, seed: int
) -> None:
    jets = make_jets(counts)
    events = TrainingEvents(jets)
    rows = collect(events.batches(size, [generator(seed)]))
    assert len(set(rows)) == len(rows)
    assert {row[:4] for row in rows} <= set(map(tuple, events.rows.tolist()))
    steps = events.steps(size)
    for n, total in zip(*np.unique(jets.multiplicity, return_counts=True), strict=True):
        kept = total - total % steps if total // steps >= 16 else total
        pts = set(jets.pt[jets.multiplicity[jets.event_of_jet] == n].tolist())
        assert sum(row[0] in pts for row in rows) == kept * n


def test_batches_have_one_shape_and_the_composition_of_the_sample(sample: Jets) -> None:
    shapes = {
        tuple(batch.shape) for batch, _ in TrainingEvents(sample).batches(500, [torch.Generator()])
    }
    assert len(shapes) == 1
    (shape,) = shapes
    share = {n: m / sum(m for m, _ in shape) for m, n in shape}
    for n in range(2, 7):
        assert share[n] == pytest.approx((sample.multiplicity == n).mean(), abs=2 / 500)
    # The events that are left out are others in the next epoch.
    events = TrainingEvents(sample)
    kept = [set(collect(events.batches(500, [generator(s)]))) for s in (1, 2)]
    assert kept[0] != kept[1]
    assert len(kept[0]) > 0.98 * sample.n_jets


def test_epochs_shuffle_and_seeds_differ(few: Jets) -> None:
    events = TrainingEvents(few)
    first = [next(events.batches(50, [generator(s)]))[0].features for s in (1, 1, 2)]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])


@given(st.lists(st.integers(1, 6), min_size=1, max_size=60), st.integers(0, 9))
def test_resamples_keep_the_number_of_events_of_each_multiplicity(
    counts: list[int], seed: int
) -> None:
    events = TrainingEvents(make_jets(counts))
    drawn = events.resample(generator(seed))
    assert [len(d) for d in drawn] == [len(tags) for _, tags in events.groups]
    assert all(0 <= int(d.min()) <= int(d.max()) < len(d) for d in drawn)
    again, other = (events.resample(generator(s)) for s in (seed, seed + 1))
    assert all(map(torch.equal, drawn, again))
    assert len(counts) < 20 or not all(map(torch.equal, drawn, other))


def test_a_resample_draws_every_event_as_often_as_any_other(sample: Jets) -> None:
    events = TrainingEvents(sample)
    for drawn in events.resample(generator(3)):
        times = torch.bincount(drawn, minlength=len(drawn)).numpy()
        n = len(drawn)
        # Events never drawn: their number and its variance, by counting one and two given events.
        one = (1 - 1 / n) ** n
        two = (1 - 2 / n) ** n
        variance = n * one + n * (n - 1) * two - (n * one) ** 2
        assert abs((times == 0).sum() - n * one) < 4 * math.sqrt(variance)
        assert one == pytest.approx(1 - 0.632, abs=1e-3)
        # Their numbers nearly follow Poisson with a mean of 1, whose fourth central moment is 4.
        assert abs(times.var() - 1) < 4 * math.sqrt(3 / n)
        # No part of the sample is drawn more often than another.
        first = times[: n // 2].sum()
        assert abs(first - n / 2) < 4 * math.sqrt(n / 4)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=60), st.integers(1, 30), st.integers(0, 9))
def test_batches_in_order_hold_every_event_as_often_as_it_was_drawn(
    counts: list[int], size: int, seed: int
) -> None:
    jets = make_jets(counts)
    events = TrainingEvents(jets)
    drawn = events.resample(generator(seed))
    rows = Counter(collect(events.batches(size, resamples=[drawn])))
    # The same sample, taken from the jets: events of one multiplicity are in their order.
    order = [
        bucket.events[d.numpy()] for bucket, d in zip(jets.by_multiplicity(), drawn, strict=True)
    ]
    assert rows == Counter(collect(TrainingEvents(jets.take(np.concatenate(order))).batches(10**9)))


@given(st.lists(st.integers(1, 6), min_size=1, max_size=300), st.integers(1, 60), st.integers(0, 9))
def test_shuffled_batches_hold_the_drawn_events_but_those_left_out(
    counts: list[int], size: int, seed: int
) -> None:
    events = TrainingEvents(make_jets(counts))
    drawn = events.resample(generator(seed))
    plain, drawn_batches = (
        list(events.batches(size, [generator(seed)], resamples=resamples))
        for resamples in ((), [drawn])
    )
    # What is left out is as many of each multiplicity as without: the shapes are the same.
    assert [batch.shape for batch, _ in drawn_batches] == [batch.shape for batch, _ in plain]
    every = Counter(collect(events.batches(10**9, resamples=[drawn])))
    assert Counter(collect(iter(drawn_batches))) <= every


def test_each_network_has_batches_of_its_own_resample(few: Jets) -> None:
    events = TrainingEvents(few)
    resamples = [events.resample(generator(s)) for s in (1, 2)]
    together = list(
        events.batches(50, [generator(3), generator(4)], micro_batches=2, resamples=resamples)
    )
    for which, seed in enumerate((3, 4)):
        alone = events.batches(50, [generator(seed)], micro_batches=2, resamples=[resamples[which]])
        for (batch, tags), (own_batch, own_tags) in zip(together, alone, strict=True):
            assert torch.equal(batch.features[which], own_batch.features[0])
            assert torch.equal(tags[which], own_tags[0])


def test_transformations_keep_what_the_truth_sees(few: Jets) -> None:
    batch, _ = next(TrainingEvents(few).batches(10**9))
    moved = transform(batch, OPTIONS, [generator(0)])
    assert torch.equal(moved.features[..., [0, 3]], batch.features[..., [0, 3]])
    assert torch.equal(moved.features[..., 1].abs(), batch.features[..., 1].abs())
    assert moved.features[..., 2].abs().max() <= math.pi + 1e-6
    start = 0
    for m, n in batch.shape:
        before, after = (
            b.features[0, start : start + m * n].view(m, n, 4).numpy() for b in (batch, moved)
        )
        for i in range(1, n):
            distances = [
                delta_r(x[:, 0, 1], x[:, 0, 2], x[:, i, 1], x[:, i, 2]) for x in (before, after)
            ]
            np.testing.assert_allclose(*distances, atol=2e-6)
        start += m * n
    assert not torch.allclose(moved.features, batch.features)


@pytest.mark.parametrize("name", ["rotate_phi", "reflect_phi", "reflect_eta"])
def test_each_symmetry_can_be_chosen_alone(name: str, few: Jets) -> None:
    batch, _ = next(TrainingEvents(few).batches(10**9))
    none = changed(OPTIONS, rotate_phi=False, reflect_phi=False, reflect_eta=False)
    assert transform(batch, none, [torch.Generator()]) is batch
    moved = transform(batch, changed(none, **{name: True}), [generator(0)]).features
    columns = {i for i in range(4) if not torch.equal(moved[..., i], batch.features[..., i])}
    assert columns == ({1} if name == "reflect_eta" else {2})


def run(
    few: Jets, options: TrainingOptions = OPTIONS, seed: tuple[int | str, ...] = SEED
) -> Training:
    events = TrainingEvents(few.take(slice(0, 250)))
    validation = TrainingEvents(few.take(slice(250, 300)))
    training = Training(SMALL, options, events, [seed])
    list(train(training, events, validation))
    return training


def weights(training: Training) -> dict[str, Any]:
    return {name: value.clone() for name, value in training.best_network().state_dict().items()}


def assert_same_weights(a: Training, b: Training) -> None:
    for name, value in weights(a).items():
        assert torch.equal(value, weights(b)[name]), name


def test_same_seed_same_weights_other_seed_other_weights(few: Jets) -> None:
    assert_same_weights(run(few), run(few))
    head = "body.head.0.weight"
    assert not torch.equal(weights(run(few))[head], weights(run(few, seed=(1, "gnn", 1)))[head])


def test_bootstrapped_networks_repeat_and_differ_from_those_trained_on_every_event(
    few: Jets,
) -> None:
    options = changed(OPTIONS, bootstrap=True)
    first = run(few, options)
    # Whatever else is drawn meanwhile.
    torch.rand(3)
    assert_same_weights(first, run(few, options))
    head = "body.head.0.weight"
    plain = run(few)
    other = run(few, options, (1, "gnn", 1))
    assert plain.resamples == []
    assert not torch.equal(weights(first)[head], weights(plain)[head])
    # Every network has a sample of its own.
    assert any(
        not torch.equal(a, b) for a, b in zip(first.resamples[0], other.resamples[0], strict=True)
    )


def test_a_bootstrapped_network_learns_from_the_drawn_events_only(few: Jets) -> None:
    """Where weights hardly move, the loss of an epoch is that of the drawn events alone."""
    jets = few.take(slice(0, 250))
    validation = TrainingEvents(few.take(slice(250, 300)))
    still = changed(
        OPTIONS,
        epochs=1,
        batch_events=250,
        learning_rate=1e-12,
        schedule="constant",
        bootstrap=True,
    )
    options = changed(still, rotate_phi=False, reflect_phi=False, reflect_eta=False)
    training = Training(SMALL, options, TrainingEvents(jets), [SEED, (1, "gnn", 1)])
    fixed = copy.deepcopy(training.networks)
    (losses,) = train(training, TrainingEvents(jets), validation)
    for which, drawn in enumerate(training.resamples):
        chosen = np.concatenate(
            [
                bucket.events[d.numpy()]
                for bucket, d in zip(jets.by_multiplicity(), drawn, strict=True)
            ]
        )
        expected = evaluate(fixed, TrainingEvents(jets.take(chosen)), 1.0)[which]
        assert losses[which].train_loss == pytest.approx(expected, rel=1e-5)
        assert losses[which].train_loss != pytest.approx(
            evaluate(fixed, TrainingEvents(jets), 1.0)[which], rel=1e-3
        )
        # The validation events are not drawn.
        assert losses[which].validation_loss == pytest.approx(
            evaluate(fixed, validation, 1.0)[which], rel=1e-5
        )


@pytest.mark.parametrize(
    "change", [{}, {"schedule": "constant"}, {"average": 1.5}, {"bootstrap": True}]
)
@pytest.mark.parametrize("killed_after", [1, 3])
def test_a_killed_run_resumes_to_the_same_weights(
    few: Jets, tmp_path: Path, change: dict[str, Any], killed_after: int
) -> None:
    options = changed(OPTIONS, **change)
    events = TrainingEvents(few.take(slice(0, 250)))
    validation = TrainingEvents(few.take(slice(250, 300)))
    identity = {"run": "a"}
    path = tmp_path / "seed_0.checkpoint.pt"
    killed = Training(SMALL, options, events, [SEED])
    for _ in train(killed, events, validation):
        killed.save(path, identity)
        if killed.epochs_done == killed_after:
            break
    resumed = Training(SMALL, options, events, [SEED])
    assert resumed.resume(path, identity)
    assert resumed.epochs_done == killed_after
    list(train(resumed, events, validation))
    straight = run(few, options)
    assert_same_weights(resumed, straight)
    timeless = [
        [replace(row, seconds=0, events_per_second=0) for row in t.records[0].history]
        for t in (resumed, straight)
    ]
    assert timeless[0] == timeless[1]


def test_checkpoints_of_other_runs_and_broken_ones_are_not_used(few: Jets, tmp_path: Path) -> None:
    path = tmp_path / "seed_0.checkpoint.pt"
    training = run(few)
    fresh = Training(SMALL, OPTIONS, TrainingEvents(few), [SEED])
    assert not fresh.resume(path, {"run": "a"})
    training.save(path, {"run": "a"})
    assert not fresh.resume(path, {"run": "b"})
    path.write_bytes(path.read_bytes()[:500])
    assert not fresh.resume(path, {"run": "a"})
    assert fresh.epochs_done == 0


def test_the_best_epoch_by_validation_loss_is_kept(few: Jets) -> None:
    # A learning rate this large makes the loss jump about, so that the last epoch is not the best.
    training = run(few, changed(OPTIONS, epochs=12, learning_rate=0.3, schedule="constant"))
    losses = [row.validation_loss for row in training.records[0].history]
    assert training.records[0].best_loss == min(losses)
    assert [row.best for row in training.records[0].history] == [
        loss == min(losses[: i + 1]) for i, loss in enumerate(losses)
    ]


def test_patience_stops_early(few: Jets) -> None:
    training = run(
        few, changed(OPTIONS, epochs=200, learning_rate=0.3, schedule="constant", patience=3)
    )
    losses = [row.validation_loss for row in training.records[0].history]
    assert len(losses) < 200
    assert losses.index(min(losses)) == len(losses) - 4


@pytest.mark.parametrize("bootstrap", [False, True])
def test_networks_trained_together_are_those_trained_alone(
    few: Jets, tmp_path: Path, bootstrap: bool
) -> None:
    """Batched float32 sums differ in the last digits, and Adam makes a little more of them."""
    # A learning rate this large makes some stop by patience before the others do.
    options = changed(
        OPTIONS,
        epochs=6,
        learning_rate=0.03,
        schedule="constant",
        patience=2,
        average=0.5,
        bootstrap=bootstrap,
    )
    events = TrainingEvents(few.take(slice(0, 250)))
    validation = TrainingEvents(few.take(slice(250, 300)))
    seeds = [(1, "gnn", i) for i in range(3)]
    together = Training(SMALL, options, events, seeds)
    path = tmp_path / "seeds.checkpoint.pt"
    for _ in train(together, events, validation):
        together.save(path, {"run": "a"})
        if together.epochs_done == 1:
            break
    resumed = Training(SMALL, options, events, seeds)
    assert resumed.resume(path, {"run": "a"})
    list(train(resumed, events, validation))
    lengths = []
    for which, seed in enumerate(seeds):
        alone = run(few, options, seed)
        ours = resumed.records[which].history
        theirs = alone.records[0].history
        lengths.append(len(ours))
        assert [row.epoch for row in ours] == [row.epoch for row in theirs]
        for a, b in zip(ours, theirs, strict=True):
            assert (a.train_loss, a.validation_loss) == pytest.approx(
                (b.train_loss, b.validation_loss), rel=1e-4
            )
        eff = [
            network.efficiency(few)
            for network in (resumed.best_network(which), alone.best_network())
        ]
        np.testing.assert_allclose(*eff, rtol=2e-3)
    assert len(lengths) == 3


def test_micro_batches_add_up_to_the_batch(few: Jets) -> None:
    """One step on 240 events at once, or in four micro-batches: the same weights."""
    jets = make_jets([3] * 240)
    options = changed(
        OPTIONS,
        epochs=1,
        batch_events=240,
        rotate_phi=False,
        reflect_phi=False,
        reflect_eta=False,
        schedule="constant",
    )
    states = []
    for micro in (0, 60):
        training = Training(
            SMALL, changed(options, micro_batch_events=micro), TrainingEvents(jets), [SEED]
        )
        list(train(training, TrainingEvents(jets), TrainingEvents(few)))
        states.append(weights(training))
    assert Training(SMALL, options, TrainingEvents(jets), [SEED]).steps_per_epoch == 1
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], rtol=1e-3, atol=1e-5, msg=name)


def test_averaged_weights_are_those_of_the_path(few: Jets) -> None:
    """Averaged over less than a step they are the weights; over two epochs they are not."""
    events = TrainingEvents(few.take(slice(0, 250)))
    validation = TrainingEvents(few.take(slice(250, 300)))
    training = Training(SMALL, changed(OPTIONS, average=1e-6), events, [SEED])
    list(train(training, events, validation))
    plain = run(few)
    assert_same_weights(training, plain)
    averaged = run(few, changed(OPTIONS, average=2.0))
    assert not torch.equal(
        weights(averaged)["body.head.0.weight"], weights(plain)["body.head.0.weight"]
    )
    # The weights that training goes on with are not the averages.
    with averaged.averaged():
        inside = averaged.networks.state(0)
    outside = averaged.networks.state(0)
    assert not torch.equal(inside["body.head.0.weight"], outside["body.head.0.weight"])


def test_devices_by_name() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda")
    with pytest.raises(ConfigError, match="device is 'tpu'; allowed are auto, cpu, cuda"):
        choose_device("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_reported() -> None:
    with pytest.raises(ConfigError, match=r"shows no GPU to torch\. Use 'auto' or 'cpu'"):
        choose_device("cuda")


GEOMETRIC: dict[str, Any] = {
    "inputs": ("pt", "eta", "flavour"),
    "flavour": "one_hot",
    "edge_features": ("near_0.3", "delta_r"),
}
KINDS = {
    "paper": {},
    "filled_up": {"width": 16, "hidden": 10},
    "geometric": GEOMETRIC,
    "factorised": {**GEOMETRIC, "kind": "factorised", "pair_inputs": ("flavour",)},
}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("compiled", [False, True], ids=["recorded", "compiled"])
@pytest.mark.parametrize("bootstrap", [False, True], ids=["plain", "bootstrap"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_gives_the_same_networks(
    few: Jets, kind: str, bootstrap: bool, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradients, "COMPILE_FROM", 0.0 if compiled else math.inf)
    seeds = [(1, "gnn", i) for i in range(3)]
    options = changed(OPTIONS, bootstrap=bootstrap, precision="float32", average=1.0)
    losses = []
    for device in ("cpu", "cuda"):
        events, validation = (
            TrainingEvents(few.take(part), device) for part in (slice(0, 250), slice(250, 300))
        )
        architecture = Architecture(**{**SMALL.model_dump(), **KINDS[kind]})
        training = Training(architecture, options, events, seeds, device)
        list(train(training, events, validation))
        losses.append([record.best_loss for record in training.records])
        assert training.best_network(2).efficiency(few).shape == (few.n_jets,)
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def gradients_by(
    way: Gradients, training: Training, events: TrainingEvents
) -> Iterator[list[torch.Tensor]]:
    """Return the losses and gradients of each batch of an epoch."""
    rngs = [torch.Generator().manual_seed(i) for i in range(len(training.seeds))]
    parameters = list(training.networks.weights.values())
    for batch, tags, weights in events.weighted_batches(60, rngs):
        training.optimiser.forget()
        losses = way(batch, tags, weights).clone()
        yield [losses, *(torch.clone(one.grad) for one in parameters if one.grad is not None)]


def weighted_training(few: Jets, device: str, kind: str) -> tuple[Training, TrainingEvents]:
    events = TrainingEvents(few, device, weights="use")
    architecture = Architecture(**{**SMALL.model_dump(), **KINDS[kind]})
    seeds = [(1, "gnn", i) for i in range(2)]
    options = changed(OPTIONS, weights="use")
    return Training(architecture, options, events, seeds, device), events


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", KINDS)
def test_recorded_gradients_are_those_worked_out_step_by_step(few: Jets, kind: str) -> None:
    training, events = weighted_training(few, "cuda", kind)
    objective = Objective(training.networks, mu=2.0, in_bfloat16=True)
    # The first batch is worked out, the second recorded and replayed, the others replayed.
    ways = (gradients_by(way, training, events) for way in (objective, Recorded(objective)))
    for step_by_step, replayed in zip(*ways, strict=True):
        for one, other in zip(step_by_step, replayed, strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("kind", ["geometric", "factorised"])
def test_compiled_gradients_are_those_worked_out_step_by_step(few: Jets, kind: str) -> None:
    training, events = weighted_training(few, "cpu", kind)
    objective = Objective(training.networks, mu=2.0, in_bfloat16=False)
    # What is traced is what would be compiled; compiling takes a minute.
    compiled = Compiled(objective, backend="eager")
    ways = (gradients_by(way, training, events) for way in (objective, compiled))
    for step_by_step, traced in zip(*ways, strict=True):
        for one, other in zip(step_by_step, traced, strict=True):
            torch.testing.assert_close(one, other)


def test_what_computes_gradients_follows_from_the_device_and_the_work(
    few: Jets, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    training, _ = weighted_training(few, "cpu", "paper")
    objective = Objective(training.networks, mu=1.0, in_bfloat16=False)
    parameters = sum(weight.numel() for weight in training.networks.weights.values())
    enough = math.ceil(gradients.COMPILE_FROM / parameters)
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 0))
    monkeypatch.setattr(gradients, "find_spec", lambda _: True)
    monkeypatch.setattr(gradients.shutil, "which", lambda name: name if name == "cc" else None)
    assert gradients_of(objective, cpu, enough) is objective
    assert isinstance(gradients_of(objective, cuda, enough - 1), Recorded)
    assert isinstance(gradients_of(objective, cuda, enough), Compiled)
    monkeypatch.setattr(gradients.shutil, "which", lambda _: None)
    with caplog.at_level("INFO"):
        assert gradients_of(objective, cuda, enough) is objective
    assert "needs triton and a C compiler" in caplog.text


@pytest.mark.parametrize("kind", ["paper", "filled_up", "geometric"])
@pytest.mark.parametrize("width", [16, 48])
def test_weights_that_are_filled_up_give_the_same_logits_and_gradients(
    few: Jets, kind: str, width: int
) -> None:
    architecture = Architecture(
        **{**SMALL.model_dump(), "blocks": 2, "head": (12, 5), **KINDS[kind], "width": width}
    )
    events = TrainingEvents(few)
    training = Training(architecture, OPTIONS, events, [(1, "gnn", i) for i in range(2)])
    networks = training.networks
    filled = filled_up(networks.weights, architecture)
    assert can_be_filled_up(architecture)
    assert any(filled[name].shape != weight.shape for name, weight in networks.weights.items())
    for name, weight in filled.items():
        of_edges = 2 if name.endswith("edge.0.weight") and kind == "geometric" else 0
        is_last = name.startswith(f"body.head.{2 * len(architecture.head)}.")
        sizes = [weight.shape[-1] - of_edges, *([] if is_last else [weight.shape[1]])]
        assert not any(size % 8 for size in sizes) or (is_last and name.endswith("bias"))
    rngs = [torch.Generator().manual_seed(i) for i in range(2)]
    batch, _ = next(events.batches(100, rngs))
    found = []
    for weights in (networks.weights, filled):
        logits = networks.compute(weights, networks.buffers, batch)
        gradients_of_all = torch.autograd.grad(
            logits.square().sum(), list(networks.weights.values())
        )
        found.append([logits, *gradients_of_all])
    for plain, other in zip(*found, strict=True):
        torch.testing.assert_close(plain, other, rtol=1e-4, atol=1e-5)


def test_what_cannot_be_filled_up() -> None:
    for changes in ({"width": 8}, {"width": 16, "blocks": 0}, KINDS["factorised"]):
        assert not can_be_filled_up(Architecture(**{**SMALL.model_dump(), **changes}))


def test_history_rows(few: Jets) -> None:
    ticks: list[int] = []
    events = TrainingEvents(few.take(slice(0, 250)))
    validation = TrainingEvents(few.take(slice(250, 300)))
    training = Training(SMALL, OPTIONS, events, [SEED])
    rows = [row for (row,) in train(training, events, validation, ticks.append)]
    assert [row.epoch for row in rows] == [1, 2, 3, 4]
    assert 4 * 230 < sum(ticks) <= 4 * 250
    assert all(
        isinstance(row, EpochResult) and row.seconds > 0 and row.events_per_second > 0
        for row in rows
    )
    # That of the last step of each epoch: one cycle ends far below where it peaked.
    steps = training.steps_per_epoch
    expected = [learning_rate(OPTIONS, steps * row.epoch - 1, steps * 4) for row in rows]
    assert [row.learning_rate for row in rows] == expected
    assert learning_rate(OPTIONS, steps * 4, steps * 4) < 1e-2 * OPTIONS.learning_rate


def test_a_network_whose_loss_explodes_stops(few: Jets) -> None:
    training = run(few, changed(OPTIONS, learning_rate=1e30, schedule="constant"))
    (record,) = training.records
    assert not record.is_finite
    assert len(record.history) == 1
    assert math.isnan(record.history[0].train_loss)


@pytest.mark.parametrize(
    "bad",
    [
        {"epochs": 0},
        {"mu": -1.0},
        {"warm_up": 0.0},
        {"warm_up": 1.0},
        {"schedule": "cosine"},
        {"precision": "float8"},
        {"weights": "absolut"},
        {"learning_rate": float("nan")},
        {"betas": (0.9,)},
        {"betas": (0.9, 1.0)},
        {"betas": (-0.1, 0.9)},
        # All efficiencies would be 1, or all 0.
        {"mu": 1e6},
        {"mu": 1e-6},
        {"epoch": 3},
    ],
)
def test_bad_options_are_refused(bad: dict[str, Any]) -> None:
    (name,) = bad
    with pytest.raises(ValidationError, match=name):
        changed(OPTIONS, **bad)


def test_adam_has_the_betas_of_the_options(few: Jets) -> None:
    """A shorter memory takes other steps."""
    usual = run(few, OPTIONS).records[0].history[-1].train_loss
    short = changed(OPTIONS, betas=(0.8, 0.9))
    training = run(few, short)
    assert training.optimiser.betas == (0.8, 0.9)
    assert training.records[0].history[-1].train_loss != usual


@pytest.mark.parametrize("warm_up", [0.1, 0.3])
@pytest.mark.parametrize("steps", [1, 2, 4, 9, 10])
def test_any_number_of_steps_has_a_schedule(steps: int, warm_up: float) -> None:
    """With 9 steps and a warm-up of 0.1, the rise has no step: torch divides by zero."""
    jets = make_jets([2] * 20 * steps)
    options = changed(OPTIONS, epochs=1, batch_events=20, warm_up=warm_up)
    events = TrainingEvents(jets)
    training = Training(SMALL, options, events, [SEED])
    assert training.steps_per_epoch == steps
    assert len(list(train(training, events, events))) == 1
    peak = options.learning_rate
    assert all(0 < learning_rate(options, step, steps) <= peak for step in range(steps))


@pytest.mark.parametrize("warm_up", [0.1, 0.25, 0.9])
@pytest.mark.parametrize("steps", [1, 4, 57, 1000])
def test_the_schedule_is_that_of_torch(steps: int, warm_up: float) -> None:
    options = changed(OPTIONS, schedule="one_cycle", warm_up=warm_up)
    weight = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.Adam([weight], lr=options.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        max_lr=options.learning_rate,
        total_steps=steps + 1,
        pct_start=warm_up,
        cycle_momentum=False,
    )
    for step in range(steps):
        assert learning_rate(options, step, steps) == optimiser.param_groups[0]["lr"]
        optimiser.step()
        schedule.step()
    constant = changed(OPTIONS, schedule="constant")
    assert learning_rate(constant, steps, steps) == constant.learning_rate


@given(st.integers(0, 2**31), st.integers(1, 20))
def test_the_steps_of_adam_are_those_of_torch(seed: int, steps: int) -> None:
    """Also where a weight has no gradient, now and then."""
    rng = torch.Generator().manual_seed(seed)
    ours = [torch.randn(shape, generator=rng) for shape in ((3, 4), (5,), ())]
    theirs = [weight.clone() for weight in ours]
    optimiser = Adam(ours, (0.9, 0.95))
    reference = torch.optim.Adam(theirs, lr=1.0, betas=(0.9, 0.95), fused=True)
    for _ in range(steps):
        rate = float(torch.rand((), generator=rng))
        for one, other in zip(ours, theirs, strict=True):
            if torch.rand((), generator=rng) < 0.8:
                one.grad = torch.randn(one.shape, generator=rng)
                other.grad = one.grad.clone()
        reference.param_groups[0]["lr"] = rate
        reference.step()
        reference.zero_grad()
        optimiser.step(rate)
        assert all(one.grad is None for one in ours)
        assert all(map(torch.equal, ours, theirs))


def test_memory_that_is_freed_is_kept() -> None:
    """An array that takes the place of another needs no new pages of the system."""
    program = """
import resource, torch
from truthtag.estimators.network.allocation import keep_freed_memory

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        arrays = [torch.ones(2**20) for _ in range(8)]
        del arrays
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

usual = pages()
print(keep_freed_memory())
pages()
print(usual, pages())
"""
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("the C library is not glibc")
    command = [sys.executable, "-c", program]
    outcome = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    told, counts = outcome.stdout.splitlines()
    usual, kept = map(int, counts.split())
    assert told == "True"
    # Eight arrays of 1,024 pages each, a hundred times: a page is 4,096 bytes, or larger.
    assert kept < usual / 100


def test_training_does_not_load_the_compiler_of_torch() -> None:
    """That would take every job a second."""
    program = """
import sys
from conftest import make_jets
from truthtag.estimators.network.batches import TrainingEvents
from truthtag.estimators.network.options import Architecture, TrainingOptions
from truthtag.estimators.network.trainer import Training, train
events = TrainingEvents(make_jets([2, 3] * 20))
options = TrainingOptions(epochs=1, batch_events=10, learning_rate=1e-3)
training = Training(Architecture(width=4), options, events, [(1, 0)])
assert len(list(train(training, events, events))) == 1
training.best_network().efficiency(make_jets([2]))
sys.exit("torch._dynamo" in sys.modules)
"""
    outcome = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert outcome.returncode == 0


# ---- weights of events


def weighted_run(few: Jets, mode: Weighting, **changes: Any) -> Training:
    """Train on events whose weights are used in one way."""
    events = TrainingEvents(few.take(slice(0, 250)), weights=mode)
    validation = TrainingEvents(few.take(slice(250, 300)), weights=mode)
    training = Training(SMALL, changed(OPTIONS, weights=mode, **changes), events, [SEED])
    list(train(training, events, validation))
    return training


def losses_of(training: Training) -> list[tuple[float, float]]:
    return [(row.train_loss, row.validation_loss) for row in training.records[0].history]


def test_weights_of_one_are_no_weights(few: Jets) -> None:
    ones = few.with_columns(weight=np.ones(few.n_events))
    plain = run(few)
    for mode in ("use", "absolute"):
        used = weighted_run(ones, mode, micro_batch_events=50)
        assert_same_weights(used, run(few, changed(OPTIONS, micro_batch_events=50)))
        assert_same_weights(weighted_run(ones, mode), plain)
        assert losses_of(weighted_run(ones, mode)) == losses_of(plain)
    # They are ignored where nothing is said.
    assert_same_weights(run(few.with_columns(weight=np.arange(few.n_events) * 1.0)), plain)


def test_the_unit_of_weights_does_not_matter(few: Jets) -> None:
    weight = np.random.default_rng(1).exponential(1.0, few.n_events)
    one = weighted_run(few.with_columns(weight=weight), "use")
    # A power of two changes no digit of the ratios.
    assert_same_weights(one, weighted_run(few.with_columns(weight=1024 * weight), "use"))
    assert_same_weights(one, weighted_run(few.with_columns(weight=-1024 * weight), "absolute"))
    other = weighted_run(few.with_columns(weight=3e7 * weight), "use")
    for name, value in weights(one).items():
        torch.testing.assert_close(value, weights(other)[name], rtol=1e-2, atol=1e-3)
    assert not torch.equal(
        weights(one)["body.head.0.weight"], weights(run(few))["body.head.0.weight"]
    )


def test_an_event_of_weight_two_is_that_event_twice(few: Jets) -> None:
    weight = np.where(np.arange(300) < 100, 2.0, 1.0)
    twice = few.take(np.r_[np.arange(300), np.arange(100)])
    weighted = TrainingEvents(few.with_columns(weight=weight), weights="use")
    repeated = TrainingEvents(twice)
    training = run(few)
    for mu in (1.0, 4.0):
        expected = evaluate(training.networks, repeated, mu)
        assert evaluate(training.networks, weighted, mu) == pytest.approx(expected, rel=1e-5)
        for flavour, logit in constant_logits(weighted, mu).items():
            # But for the half jet that is added to each.
            assert logit == pytest.approx(constant_logits(repeated, mu)[flavour], abs=0.02)
    network = training.best_network()
    of_weighted = compare_with_constant(network, weighted, weighted)
    of_repeated = compare_with_constant(network, repeated, repeated)
    assert of_weighted.loss == pytest.approx(of_repeated.loss, rel=1e-5)
    assert of_weighted.untrained_loss == pytest.approx(of_repeated.untrained_loss, rel=1e-5)
    assert of_weighted.constant_loss == pytest.approx(of_repeated.constant_loss, rel=1e-3)


def test_batches_bring_the_weights_of_their_events() -> None:
    jets = make_jets([0, 1, 2, 2, 3], weight=np.array([50.0, 1.0, 2.0, -1.0, 6.0]))
    events = TrainingEvents(jets, weights="use")
    assert events.weights is not None
    assert [w.tolist() for w in events.weights] == [[0.5], [1.0, -0.5], [3.0]]
    assert events.effective_count == pytest.approx(8**2 / 42)
    assert TrainingEvents(jets, weights="absolute").effective_count == pytest.approx(10**2 / 42)
    assert TrainingEvents(jets).effective_count == 4
    seen = []
    for batch, tags, of_events in events.weighted_batches(2, [generator(1), generator(2)]):
        assert of_events is not None
        assert of_events.shape == (2, sum(m for m, _ in batch.shape))
        assert tags.shape == batch.features.shape[:2]
        start = 0
        for (m, n), part in zip(
            batch.shape, of_events.split([m for m, _ in batch.shape], dim=1), strict=True
        ):
            first = batch.features[:, start : start + m * n : n, 0]
            seen += list(zip(first.flatten().tolist(), part.flatten().tolist(), strict=True))
            start += m * n
    leading = jets.pt[jets.offsets[1:-1]].tolist()
    assert set(seen) == set(zip(leading, [0.5, 1.0, -0.5, 3.0], strict=True))
    assert [of for *_, of in TrainingEvents(jets).weighted_batches(2)] == [None, None]
    assert events.digest() != TrainingEvents(jets).digest()


def test_weights_multiply_the_loss_of_each_event() -> None:
    logits = torch.randn(5)
    tags = (torch.rand(5) < 0.5).float()
    shape = [(1, 1), (2, 2)]
    factors = torch.tensor([0.5, 2.0, -0.25])
    alone = [
        batch_loss(logits[:1], tags[:1], [(1, 1)], 2.0),
        batch_loss(logits[1:3], tags[1:3], [(1, 2)], 2.0),
        batch_loss(logits[3:], tags[3:], [(1, 2)], 2.0),
    ]
    expected = (factors * torch.stack(alone)).sum() / 3
    found = batch_loss(logits, tags, shape, 2.0, weights=factors)
    torch.testing.assert_close(found, expected)


def test_weights_without_a_positive_sum_are_refused() -> None:
    jets = make_jets([2, 2, 2], weight=np.array([1.0, -2.0, 1.0]))
    message = r"weights of 3 events have the mean 0\.0; .*set training\.weights to 'absolute'"
    with pytest.raises(DataError, match=message):
        TrainingEvents(jets, weights="use")
    assert TrainingEvents(jets, weights="absolute").weights is not None


def test_events_whose_weights_are_used_otherwise_are_refused(few: Jets) -> None:
    message = r"prepared with weights 'ignore', training\.weights is 'use'"
    with pytest.raises(DataError, match=message):
        Training(SMALL, changed(OPTIONS, weights="use"), TrainingEvents(few), [SEED])
    events = TrainingEvents(few, weights="absolute")
    training = Training(SMALL, changed(OPTIONS, weights="absolute"), events, [SEED])
    with pytest.raises(DataError, match="have the weights absolute, the validation events ignore"):
        next(train(training, events, TrainingEvents(few)))


def test_weights_are_learned_where_the_inputs_lack_what_both_depend_on() -> None:
    """Of two kinds of events that look alike, the heavy ones are tagged more often."""
    rng = np.random.default_rng(4)
    jets = make_jets([2] * 2000)
    heavy = rng.random(2000) < 0.5
    weight = np.where(heavy, 3.0, 1.0)
    tags = rng.random(4000) < np.repeat(np.where(heavy, 0.6, 0.2), 2)
    jets = jets.with_columns(weight=weight, is_tagged=tags)
    expected = {"ignore": tags.mean(), "use": np.average(tags, weights=np.repeat(weight, 2))}
    found = {}
    for mode in ("ignore", "use"):
        events = TrainingEvents(jets, weights=mode)
        options = changed(OPTIONS, weights=mode, epochs=3, batch_events=50, learning_rate=0.01)
        training = Training(SMALL, options, events, [SEED])
        list(train(training, events, events))
        found[mode] = training.best_network().efficiency(jets).mean()
        assert found[mode] == pytest.approx(expected[mode], abs=0.03)
    assert found["use"] - found["ignore"] > 0.05


def test_untagged_and_empty_samples_are_refused() -> None:
    with pytest.raises(DataError, match="no column 'is_tagged': a network learns from tags"):
        TrainingEvents(make_jets([2], is_tagged=None))
    with pytest.raises(DataError, match="the sample has no jets"):
        TrainingEvents(make_jets([0]))


def test_validation_events_of_an_untrained_flavour_are_refused() -> None:
    jets = make_jets([2] * 20)
    other = make_jets([2], flavour=np.array([5, 15]))
    training = Training(SMALL, OPTIONS, TrainingEvents(jets), [SEED])
    message = r"validation events have jets of flavour 15, the training events only \[0, 4, 5\]"
    with pytest.raises(DataError, match=message):
        next(train(training, TrainingEvents(jets), TrainingEvents(other)))


def test_events_know_their_content(few: Jets) -> None:
    flipped = few.with_columns(is_tagged=~few.is_tagged)
    assert (
        TrainingEvents(few).digest()
        == TrainingEvents(few).digest()
        != TrainingEvents(flipped).digest()
    )


def test_bfloat16_stays_close_to_float32(few: Jets) -> None:
    """Weights and loss stay in float32; products of 8 bits keep the loss to 0.5%."""
    precise, fast = (run(few, changed(OPTIONS, precision=p)) for p in ("float32", "bfloat16"))
    assert fast.best_network().body.head[0].weight.dtype == torch.float32
    for a, b in zip(*(training.records[0].history for training in (precise, fast)), strict=True):
        assert b.validation_loss == pytest.approx(a.validation_loss, rel=5e-3)
        assert b.train_loss == pytest.approx(a.train_loss, rel=5e-3)
    assert uses_bfloat16("bfloat16")
    assert not uses_bfloat16("float32")
    assert isinstance(uses_bfloat16("auto"), bool)


def test_one_jet_events_can_be_trained_on() -> None:
    jets = make_jets([1] * 50 + [2] * 50)
    training = Training(SMALL, OPTIONS, TrainingEvents(jets), [SEED])
    assert len(list(train(training, TrainingEvents(jets), TrainingEvents(jets)))) == 4


@pytest.mark.slow(seconds=10)
def test_a_network_learns_the_neighbours_from_tags(sample: Jets) -> None:
    """On 15,000 events, better than a smoothed map fitted to a million, 8.1e-3 nats/jet."""
    events = TrainingEvents(sample.take(slice(0, 15_000)))
    validation = TrainingEvents(sample.take(slice(15_000, 17_000)))
    test = sample.take(slice(17_000, 20_000))
    options = changed(OPTIONS, epochs=12, batch_events=250, learning_rate=5e-3)
    training = Training(Architecture(width=32, blocks=2, head=(32,)), options, events, [SEED])
    list(train(training, events, validation))
    eff = training.best_network().efficiency(test)
    assert excess_loss(test.efficiency_true, eff).mean() < 8.1e-3
    assert Batch._fields == ("features", "shape")


def test_ensembles_average() -> None:
    class Constant:
        def __init__(self, value: float) -> None:
            self.value = value

        def efficiency(self, jets: Jets) -> np.ndarray:
            return np.full(jets.n_jets, self.value)

    jets = make_jets([2, 1])
    ensemble = Ensemble([Constant(0.1), Constant(0.3), Constant(0.8)])
    mean, replicas = ensemble.with_replicas(jets)
    assert mean.tolist() == pytest.approx([0.4] * 3)
    assert replicas.tolist() == [[0.1] * 3, [0.3] * 3, [0.8] * 3]
    assert np.array_equal(ensemble.efficiency(jets), mean)
    assert replica_std(replicas).tolist() == pytest.approx(
        [math.sqrt((0.09 + 0.01 + 0.16) / 2)] * 3
    )
    assert np.isnan(replica_std(Ensemble([Constant(0.5)]).with_replicas(jets)[1])).all()
    with pytest.raises(DataError, match="at least one member"):
        Ensemble([])
