"""Training events beyond a limit are in files, and train the same networks."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.estimators.network import balance, batches, job, layers
from truthtag.estimators.network.batches import TrainingEvents
from truthtag.estimators.network.estimator import NetworkEstimator
from truthtag.estimators.network.options import Architecture, NetworkOptions, TrainingOptions
from truthtag.estimators.network.storage import IN_MEMORY, Storage

SEEDS = [(1, "net", number) for number in range(2)]


def options(memory_limit: int) -> NetworkOptions:
    training = TrainingOptions(epochs=3, batch_events=40, learning_rate=0.01, bootstrap=True)
    architecture = Architecture(width=8, blocks=1, head=(8,))
    return NetworkOptions(
        seeds=2, memory_limit=memory_limit, architecture=architecture, training=training
    )


def pieces(jets: Jets) -> list[Jets]:
    return [jets.take(slice(0, 70)), jets.take(slice(70, 71)), jets.take(slice(71, None))]


def weights(member: Any) -> list[Tensor]:
    return [*member.network.state_dict().values(), member.network.offset]


def test_a_job_with_its_events_in_files_is_the_job_in_memory(
    few: Jets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit by bit, from blocks or not, also where it is killed and goes on."""
    train, validation = few.take(slice(0, 200)), few.take(slice(200, 300))
    in_memory = NetworkEstimator.fit_members(train, validation, options(1000), SEEDS)
    path = tmp_path / "seeds.checkpoint.pt"

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    made: list[Path | None] = []
    empty = Storage.empty

    def noted(self: Storage, *arguments: Any) -> Tensor:
        made.append(self.folder)
        return empty(self, *arguments)

    monkeypatch.setattr(Storage, "empty", noted)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(job, "_log_epoch", killed)
        NetworkEstimator.fit_members(
            pieces(train), pieces(validation), options(0), SEEDS, checkpoint=path
        )
    # Where the process ends, nothing is left of them.
    assert set(made) == {tmp_path}
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    # The job goes on whether or not there is more memory now.
    for limit in (0, 1000):
        resumed = NetworkEstimator.fit_members(
            pieces(train), validation, options(limit), SEEDS, checkpoint=path
        )
        for one, other in zip(in_memory, resumed, strict=True):
            assert all(map(torch.equal, weights(one), weights(other)))


def test_events_of_blocks_are_those_of_jets(few: Jets, tmp_path: Path) -> None:
    weight = np.random.default_rng(1).normal(1, 0.5, few.n_events)
    jets = few.with_columns(weight=weight)
    whole = TrainingEvents(jets, weights="use")
    parts = TrainingEvents(pieces(jets), weights="use", storage=Storage(tmp_path))
    assert parts.digest() == whole.digest()
    assert parts.effective_count == whole.effective_count
    assert parts.negative == int((weight < 0).sum())
    assert parts.n_passing(0) == int(few.is_tagged.sum())


def test_sums_of_many_jets_run_over_parts_of_them(
    few: Jets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the scaling of inputs and of the balance: the same but for rounding."""
    rows = TrainingEvents(few).rows
    whole = layers.Standardise(4)
    whole.fit(rows)
    monkeypatch.setattr(layers, "ROWS_AT_ONCE", 100)
    parts = layers.Standardise(4)
    parts.fit(rows)
    torch.testing.assert_close(parts.mean, whole.mean)
    torch.testing.assert_close(parts.scale, whole.scale)
    logits = torch.linspace(-3, 1, 500, dtype=torch.float64)
    ones = torch.ones_like(logits)
    shift = balance.find_shift(logits, ones, 100.0)
    monkeypatch.setattr(balance, "JETS_AT_ONCE", 99)
    assert balance.find_shift(logits, ones, 100.0) == pytest.approx(shift, rel=1e-9)


def test_a_place_for_tensors(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "new", limit=1)
    assert storage.for_bytes(2**20) is IN_MEMORY
    beyond = storage.for_bytes(2**20 + 1)
    assert beyond == Storage(tmp_path / "new")
    tensor = beyond.empty((3, 5, 2), torch.float64)
    tensor[...] = torch.arange(30).reshape(3, 5, 2)
    assert tensor.sum() == 435
    assert beyond.empty((0, 5)).shape == (0, 5)
    assert not list((tmp_path / "new").iterdir())


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is written: later, the system would end the process without a word."""

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DataError, match=r"no 7 MB can be written for training events \(No space"):
        Storage(tmp_path).empty((2_000_000,))
    assert not list(tmp_path.iterdir())


def test_the_number_of_bytes_is_that_of_the_tensors(few: Jets) -> None:
    asked: list[int] = []

    class Asked(Storage):
        def for_bytes(self, size: int) -> Storage:
            asked.append(size)
            return IN_MEMORY

    events = TrainingEvents(few, storage=Asked())
    tensors = [events.rows, *(tensor for group in events.groups for tensor in group)]
    assert asked == [sum(batches.NUMBER_BYTES * tensor.numel() for tensor in tensors)]
