"""Networks as a kind of estimator: training jobs, what they refuse, files."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import make_jets
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.network import job
from truthtag.estimators.network.baseline import compare_with_constant, constant_logits
from truthtag.estimators.network.batches import TrainingEvents
from truthtag.estimators.network.content import write_content
from truthtag.estimators.network.estimator import NetworkEstimator
from truthtag.estimators.network.layers import Standardise
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.network.options import Architecture, NetworkOptions
from truthtag.estimators.protocol import KINDS, Efficiency

ARCHITECTURE = {"width": 8, "blocks": 1, "head": [8]}
TRAINING = {"epochs": 3, "batch_events": 20, "learning_rate": 0.01, "precision": "float32"}
SEEDS = [(1, "gnn", 0), (1, "gnn", 1)]


def options(architecture: dict[str, Any] | None = None, **training: Any) -> NetworkOptions:
    return NetworkOptions(
        kind="network",
        seeds=2,
        architecture={**ARCHITECTURE, **(architecture or {})},
        training={**TRAINING, **training},
    )


def halves(few: Jets) -> tuple[Jets, Jets]:
    return few.take(slice(0, 200)), few.take(slice(200, 300))


def weights(member: NetworkEstimator) -> list[torch.Tensor]:
    return list(member.network.state_dict().values())


def test_the_kind_is_found_without_torch() -> None:
    code = (
        "import sys\n"
        "from truthtag.estimators.network.estimator import NetworkEstimator\n"
        "NetworkEstimator.options_type\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert KINDS.load("network", "estimators.gnn.kind") is NetworkEstimator


def test_members_repeat_and_predict_from_their_files(few: Jets, tmp_path: Path) -> None:
    train, validation = halves(few)
    members = NetworkEstimator.fit_members(train, validation, options(), SEEDS[:1])
    again = NetworkEstimator.fit(train, validation, options(), SEEDS[0])
    assert all(map(torch.equal, weights(members[0]), weights(again)))
    path = tmp_path / "seed_0.pt"
    again.save(path, {"versions": {"torch": "2"}})
    loaded = NetworkEstimator.load(path)
    assert isinstance(loaded, Efficiency)
    assert np.array_equal(loaded.efficiency(few), again.efficiency(few))
    assert loaded.settings == again.settings
    assert loaded.settings["training"]["epochs"] == 3
    assert loaded.provenance["seed"] == [1, "gnn", 0]
    assert loaded.provenance["versions"] == {"torch": "2"}
    assert again.history is not None
    assert again.history["epoch"].tolist() == [1, 2, 3]
    lowest = again.history["validation_loss"].min()
    assert loaded.provenance["validation_loss"] == lowest
    assert f"validation loss {lowest:.6f} nats/event" in loaded.describe()


def test_settings_tell_networks_apart_that_were_trained_otherwise(few: Jets) -> None:
    train, validation = halves(few)
    base = NetworkEstimator.fit(train, validation, options(epochs=1), SEEDS[0])
    for other in (options(epochs=2), options({"width": 12}, epochs=1)):
        assert NetworkEstimator.fit(train, validation, other, SEEDS[0]).settings != base.settings


def test_a_job_goes_on_from_its_checkpoint_and_no_other(
    few: Jets, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    train, validation = halves(few)
    path = tmp_path / "seeds.checkpoint.pt"
    straight = NetworkEstimator.fit_members(train, validation, options(), SEEDS)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(job, "_log_epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            NetworkEstimator.fit_members(
                train, validation, options(), SEEDS, checkpoint=path, identity="code"
            )
    assert path.is_file()
    whole = path.read_bytes()
    caplog.clear()
    resumed = NetworkEstimator.fit_members(
        train, validation, options(), SEEDS, checkpoint=path, identity="code"
    )
    assert f"going on from {path} after 1 epochs" in caplog.text
    assert "epoch 3 of 3: loss " in caplog.text
    for one, other in zip(straight, resumed, strict=True):
        assert all(map(torch.equal, weights(one), weights(other)))
    for change in (
        {"identity": "other code"},
        {"options": options(learning_rate=0.02)},
        {"seeds": SEEDS[:1]},
        {"train": few.take(slice(0, 150))},
        {"validation": few.take(slice(250, 300))},
    ):
        path.write_bytes(whole)
        caplog.clear()
        arguments = {
            "train": train,
            "validation": validation,
            "options": options(),
            "seeds": SEEDS,
            "identity": "code",
        }
        NetworkEstimator.fit_members(**{**arguments, **change}, checkpoint=path)
        assert "going on from" not in caplog.text
        assert f"training starts anew: {path}: is of other options, seeds, events" in caplog.text


def test_a_network_that_diverged_is_refused_by_its_seed(few: Jets) -> None:
    train, validation = halves(few)
    message = (
        r"network of seed \(1, 'gnn', 1\) has failed: its validation loss is .* nats/event, above "
        r"that of one constant per flavour, 0\.37.*Lower training\.learning_rate \(1000000\.0\), or"
    )
    with pytest.raises(DataError, match=message):
        NetworkEstimator.fit(train, validation, options(learning_rate=1e6), SEEDS[1])


@pytest.mark.slow(seconds=10)
def test_a_network_that_is_worse_than_a_constant_is_refused_after_enough_steps(
    sample: Jets, caplog: pytest.LogCaptureFixture
) -> None:
    train = sample.take(slice(0, 2000))
    validation = sample.take(slice(2000, 4000))
    # So slow that nothing is learned.
    slow = {"learning_rate": 1e-7, "epochs": 2}
    with pytest.raises(DataError, match=r"lower training\.batch_events \(20\), which gives more"):
        NetworkEstimator.fit(train, validation, options(**slow), SEEDS[0])
    NetworkEstimator.fit(train, validation, options(**slow, batch_events=40), SEEDS[0])
    assert "100 steps of training are too few to be of use" in caplog.text
    assert "from 200 steps such a network fails" in caplog.text
    caplog.clear()
    # One that learns is below the constant long before.
    NetworkEstimator.fit(train, validation, options(epochs=6), SEEDS[0])
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


@pytest.mark.parametrize("mu", [0.1, 1.0, 20.0])
def test_the_constant_is_the_best_that_does_not_look_at_the_jet(sample: Jets, mu: float) -> None:
    jets = sample.take(sample.multiplicity == 3)
    events = TrainingEvents(jets)
    network = EfficiencyNetwork(Architecture(width=8, blocks=0, head=(8,)), mu=mu)
    network.standardise.fit(events.rows)
    compared = compare_with_constant(network, events, events)
    logits = constant_logits(events, mu)
    for flavour, logit in logits.items():
        score = 1 / (1 + np.exp(-logit))
        tagged = jets.is_tagged[jets.flavour == flavour].mean()
        assert mu * score / (1 - score + mu * score) == pytest.approx(tagged, rel=0.02)
    # Eq. 5 by hand.
    score = 1 / (1 + np.exp(-np.vectorize(logits.__getitem__)(jets.flavour)))
    losses = np.where(jets.is_tagged, -np.log(score), -mu * np.log1p(-score))
    assert compared.constant_loss == pytest.approx(losses.mean(), rel=1e-5)
    half = np.where(jets.is_tagged, 1, mu) * np.log(2)
    assert compared.untrained_loss == pytest.approx(half.mean(), rel=1e-5)
    assert compared.loss > compared.constant_loss


def test_a_network_without_finite_efficiency_names_the_jet(few: Jets) -> None:
    network = EfficiencyNetwork(Architecture(width=8, blocks=1, head=(8,)))
    network.standardise.fit(TrainingEvents(few).rows)
    network.state_dict()["body.head.0.bias"][0] = float("nan")
    event = few.per_jet("event")[0]
    with pytest.raises(DataError, match=rf"gives jet 0 \(event {event}, .*efficiency nan"):
        NetworkEstimator(network).efficiency(few)


def test_inputs_that_are_not_used_need_not_vary() -> None:
    jets = make_jets([2] * 100, flavour=np.full(200, 5, dtype=np.int8))
    few = {"inputs": ["pt", "eta"]}
    member = NetworkEstimator.fit(jets, jets, options(few, epochs=1), SEEDS[0])
    assert np.isfinite(member.efficiency(jets)).all()
    assert member.network.standardise.scale[3] == 1.0
    with pytest.raises(
        DataError, match=r"input 'flavour' has mean 5\.0 and standard deviation 0\.0"
    ):
        NetworkEstimator.fit(jets, jets, options(epochs=1), SEEDS[0])


def test_the_scaling_of_used_inputs_does_not_depend_on_the_others() -> None:
    rows = torch.randn(50, 4)
    one = Standardise(4)
    one.fit(rows)
    other = Standardise(4)
    other.fit(torch.cat([rows[:, :3], torch.ones(50, 1)], dim=1), used=("pt", "eta", "phi"))
    assert torch.equal(one.mean[:3], other.mean[:3])
    assert torch.equal(one.scale[:3], other.scale[:3])


@pytest.mark.parametrize(("tag", "text"), [(False, "no jet"), (True, "every jet")])
def test_samples_with_tags_of_one_kind_are_warned_of(
    tag: bool, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    jets = make_jets([2] * 100, is_tagged=np.full(200, tag))
    NetworkEstimator.fit(jets, jets, options(epochs=2), SEEDS[0])
    assert f"{text} of the training sample (200 jets) is tagged" in caplog.text


def test_devices_that_do_not_exist_are_refused(few: Jets, tmp_path: Path) -> None:
    train, validation = halves(few)
    message = "device is 'gpu'; allowed are auto, cpu, cuda.*A GPU is called 'cuda'"
    with pytest.raises(ConfigError, match=message):
        NetworkEstimator.fit_members(train, validation, options(), SEEDS, device="gpu")
    member = NetworkEstimator.fit(train, validation, options(epochs=1), SEEDS[0])
    member.save(tmp_path / "seed_0.pt", {})
    with pytest.raises(ConfigError, match=message):
        NetworkEstimator.load(tmp_path / "seed_0.pt", device="gpu")


def test_threads_are_those_of_the_options_and_only_while_training(
    few: Jets, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    train, validation = halves(few)
    two = NetworkOptions(**{**options(epochs=1).model_dump(), "threads": 2})
    NetworkEstimator.fit(train, validation, two, SEEDS[0])
    assert "cpu, 2 threads" in caplog.text
    assert torch.get_num_threads() == 1


def test_micro_batches_of_less_than_an_event_are_not_made(few: Jets) -> None:
    small = few.take(slice(0, 30))
    tiny = options(epochs=1, batch_events=500, micro_batch_events=1)
    assert NetworkEstimator.fit(small, small, tiny, SEEDS[0]).network is not None


def test_a_job_says_how_many_events_weights_leave(
    few: Jets, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    train, validation = halves(few)
    weight = np.where(np.arange(200) < 20, -1.0, 1.0)
    signed = train.with_columns(weight=weight)
    positive = validation.with_columns(weight=np.ones(100))
    for mode, level, effective in (("use", "WARNING", 128.0), ("absolute", "INFO", 200.0)):
        caplog.clear()
        member = NetworkEstimator.fit(signed, positive, options(weights=mode), SEEDS[0])
        (record,) = [one for one in caplog.records if "training.weights" in one.getMessage()]
        assert record.levelname == level
        assert "200 events with jets, 20 events of negative weight, have the statistics of " in (
            record.getMessage()
        )
        assert f"{effective} events of one weight" in record.getMessage()
        assert ("need not have a minimum" in record.getMessage()) == (mode == "use")
        assert member.settings["training"]["weights"] == mode
    caplog.clear()
    NetworkEstimator.fit(signed, positive, options(), SEEDS[0])
    assert "training.weights" not in caplog.text


def test_files_from_before_there_were_weights_are_read(few: Jets, tmp_path: Path) -> None:
    train, validation = halves(few)
    member = NetworkEstimator.fit(train, validation, options(epochs=1), SEEDS[0])
    path = tmp_path / "seed_0.pt"
    member.save(path, {})
    content = torch.load(path, weights_only=True)
    del content["digest"]
    del content["training"]["weights"]
    write_content(content, path)
    loaded = NetworkEstimator.load(path)
    assert loaded.settings == member.settings
    assert np.array_equal(loaded.efficiency(few), member.efficiency(few))
