"""Files of networks and checkpoints: damage is noticed, and every error names the file."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import make_jets
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.estimators.network.batches import TrainingEvents, features
from truthtag.estimators.network.content import content_digest, read_content, write_content
from truthtag.estimators.network.file import load_network, read_network_file, save_network
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.network.options import Architecture, TrainingOptions
from truthtag.estimators.network.trainer import Training, train

SMALL = Architecture(width=8, blocks=1, head=(8,))
OPTIONS = TrainingOptions(
    epochs=2, batch_events=100, learning_rate=3e-3, average=1.0, precision="float32"
)
IDENTITY = {"run": "a"}


def small_network(architecture: Architecture = SMALL) -> EfficiencyNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = EfficiencyNetwork(architecture)
    network.standardise.fit(features(make_jets([3, 4, 5])))
    return network.eval()


def new_training(events: TrainingEvents) -> Training:
    return Training(SMALL, OPTIONS, events, [(1, "gnn", 0)])


@pytest.fixture
def checkpoint(few: Jets, tmp_path: Path) -> Path:
    """A checkpoint after one epoch."""
    events = TrainingEvents(few)
    training = new_training(events)
    next(train(training, events, events))
    path = tmp_path / "seed_0.checkpoint.pt"
    training.save(path, IDENTITY)
    return path


def flip_one_bit(whole: bytes, rng: np.random.Generator) -> bytes:
    damaged = bytearray(whole)
    position = int(rng.integers(len(damaged)))
    damaged[position] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def test_a_flipped_bit_in_a_network_is_never_used(few: Jets, tmp_path: Path) -> None:
    path = tmp_path / "seed_0.pt"
    save_network(small_network(), path, {"seed": [1, "gnn", 0]}, OPTIONS)
    whole = path.read_bytes()
    expected = load_network(path).efficiency(few)
    rng = np.random.default_rng(1)
    noticed = 0
    for _ in range(200):
        path.write_bytes(flip_one_bit(whole, rng))
        try:
            network = load_network(path)
        except DataError as error:
            assert str(path) in str(error)  # noqa: PT017 - not every flip is an error
            noticed += 1
        else:
            # What torch does not read, the padding of the archive say, changes nothing.
            assert np.array_equal(network.efficiency(few), expected)
    assert noticed > 100


def test_a_flipped_bit_in_a_checkpoint_is_never_used(
    few: Jets, checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = checkpoint.read_bytes()
    events = TrainingEvents(few)
    expected = new_training(events)
    assert expected.resume(checkpoint, IDENTITY)
    rng = np.random.default_rng(2)
    anew = 0
    # More than half of so small a file is padding, which nobody reads.
    for _ in range(300):
        checkpoint.write_bytes(flip_one_bit(whole, rng))
        training = new_training(events)
        fresh = content_digest(training._state())
        caplog.clear()
        if training.resume(checkpoint, IDENTITY):
            assert content_digest(training._state()) == content_digest(expected._state())
        else:
            assert content_digest(training._state()) == fresh
            assert f"training starts anew: {checkpoint}" in caplog.text
            anew += 1
    assert anew > 100


def damage(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the content of a file, and sign it again: what a digest cannot notice."""
    content = torch.load(path, weights_only=True)
    del content["digest"]
    change(content)
    write_content(content, path)


@pytest.mark.parametrize("part", ["networks", "optimiser", "steps", "averages", "records"])
def test_a_checkpoint_without_a_part_is_not_used(
    part: str, few: Jets, checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damage(checkpoint, lambda content: content["state"].pop(part))
    training = new_training(TrainingEvents(few))
    assert not training.resume(checkpoint, IDENTITY)
    assert training.epochs_done == 0
    message = f"training starts anew: {checkpoint}: the checkpoint lacks its part {part!r}"
    assert message in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["state"]["networks"].clear(),
        lambda content: content["state"]["averages"].clear(),
        lambda content: content["state"]["averages"].reverse(),
        lambda content: content["state"].update(optimiser=3),
        lambda content: content["state"]["records"][0].pop("best"),
        lambda content: content["state"]["records"][0]["history"][0].pop("epoch"),
        lambda content: content["state"]["networks"][0].popitem(),
        lambda content: content["state"]["optimiser"].pop("means"),
        lambda content: content["state"]["optimiser"]["squares"].pop(),
        lambda content: content["state"].update(steps="many"),
        lambda content: content["state"].update(records=3),
    ],
)
def test_a_checkpoint_of_another_shape_changes_nothing(
    change: Callable[[dict[str, Any]], object],
    few: Jets,
    checkpoint: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    damage(checkpoint, change)
    training = new_training(TrainingEvents(few))
    fresh = content_digest(training._state())
    assert not training.resume(checkpoint, IDENTITY)
    assert content_digest(training._state()) == fresh
    assert f"training starts anew: {checkpoint}: does not fit" in caplog.text


def test_folders_in_place_of_files_are_named(few: Jets, tmp_path: Path) -> None:
    path = tmp_path / "seed_0.pt"
    path.mkdir()
    with pytest.raises(DataError, match=r"seed_0\.pt: is a folder; a network is a file"):
        load_network(path)
    with pytest.raises(DataError, match=r"seed_0\.pt: is a folder, and a file is to be written"):
        save_network(small_network(), path, {})
    training = new_training(TrainingEvents(few))
    with pytest.raises(DataError, match=r"seed_0\.pt: is a folder; a checkpoint is to be written"):
        training.resume(path, IDENTITY)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("state"), "KeyError: 'state'"),
        (lambda content: content.pop("architecture"), "KeyError: 'architecture'"),
        (lambda content: content["architecture"].update(width=16), "size mismatch"),
        (lambda content: content["architecture"].update(width=5), "multiple of 4"),
        (lambda content: content.update(architecture=3), "ValidationError"),
        (lambda content: content.update(flavours=3), "TypeError"),
        (lambda content: content["state"].popitem(), "Missing key"),
        (lambda content: content.update(state=3), "state_dict"),
    ],
)
def test_network_files_of_another_shape_are_refused(
    change: Callable[[dict[str, Any]], object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "seed_0.pt"
    save_network(small_network(), path, {})
    damage(path, change)
    with pytest.raises(DataError, match=rf"seed_0\.pt: does not hold a whole network.*{message}"):
        load_network(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["body.head.0.weight", "standardise.mean"])
def test_weights_that_are_not_finite_are_refused(name: str, value: float, tmp_path: Path) -> None:
    path = tmp_path / "seed_0.pt"
    network = small_network()
    network.state_dict()[name].view(-1)[0] = value
    save_network(network, path, {})
    with pytest.raises(DataError, match=rf"seed_0\.pt: weight '{name}' has 1 values that are not"):
        load_network(path)


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    first = tmp_path / "a.pt"
    second = tmp_path / "b.pt"
    save_network(small_network(), first, {"seed": [1, "gnn", 0], "name": "gnn"}, OPTIONS)
    # Equal texts, but another object for each.
    name = json.loads('"gnn"')
    save_network(load_network(first), second, {"name": name, "seed": [1, name, 0]}, OPTIONS)
    assert first.read_bytes() == second.read_bytes()


def test_files_hold_tensors_and_plain_values(tmp_path: Path) -> None:
    path = tmp_path / "seed_0.pt"
    save_network(small_network(), path, {"seed": [1, "gnn", 0]}, OPTIONS)
    content = read_network_file(path)
    plain = {name: value for name, value in content.items() if name != "state"}
    assert json.loads(json.dumps(plain)) == plain
    assert content["kind"] == "network"
    assert TrainingOptions(**content["training"]) == OPTIONS


def test_all_that_a_file_holds_counts_in_its_digest() -> None:
    base: dict[str, Any] = {"a": torch.tensor([1.0, 2.0]), "b": {"c": 1, "d": [1.5, True]}}
    others: list[dict[str, Any]] = [
        {**base, "a": torch.tensor([1.0, 2.5])},
        {**base, "a": torch.tensor([[1.0, 2.0]])},
        {**base, "a": torch.tensor([1.0, 2.0], dtype=torch.float64)},
        {**base, "b": {"c": 2, "d": [1.5, True]}},
        {**base, "b": {"c": 1, "d": [1.5, False]}},
        {**base, "b": {"e": 1, "d": [1.5, True]}},
        {"z": base["a"], "b": base["b"]},
        {**base, "e": None},
    ]
    digests = {content_digest(one) for one in [base, *others]}
    assert len(digests) == 1 + len(others)
    assert content_digest({"x": torch.zeros(0), "y": torch.tensor(1, dtype=torch.bfloat16)})


def test_files_without_digest_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save({"format": "f", "value": 1}, path)
    with pytest.raises(DataError, match=r"x\.pt: is damaged: its content does not have the digest"):
        read_content(path, "network", "f", "Train again.")
    torch.save({"format": "f", "value": {1, 2}}, path)
    with pytest.raises(DataError, match=r"x\.pt: "):
        read_content(path, "network", "f", "Train again.")


def test_no_checkpoint_is_no_warning(
    few: Jets, tmp_path: Path, checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    training = new_training(TrainingEvents(few))
    logger = logging.getLogger("truthtag")
    assert not training.resume(tmp_path / "none.pt", IDENTITY, logger)
    assert not caplog.records
    with caplog.at_level(logging.INFO):
        assert not training.resume(checkpoint, {"run": "b"}, logger)
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert "is of other options, seeds, events or code" in record.getMessage()
