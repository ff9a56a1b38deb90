"""Networks that fail: found by their seed, left out by one rule, and never used by mistake."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from cli_files import network, run, write_networks

import truthtag
from truthtag.data.files import write_frame
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.estimators.cross_fitting import CrossFitted, Folds
from truthtag.estimators.ensemble import Ensemble, members_listed, write_manifest
from truthtag.estimators.failures import Failure, failure_in, without_failed
from truthtag.estimators.network import job, trainer
from truthtag.estimators.network.estimator import NetworkEstimator
from truthtag.estimators.network.failed import FailedNetwork
from truthtag.estimators.network.options import NetworkOptions
from truthtag.estimators.predictions import predict
from truthtag.estimators.resampling import resamples_of
from truthtag.figures.inputs import read_inputs
from truthtag.figures.numbers.training import training as training_numbers
from truthtag.workflow.report import left_out_sentences, render_page

SEEDS = [(1, "gnn", 0), (1, "gnn", 1), (1, "gnn", 2)]
BAD = 1
OPTIONS = NetworkOptions(
    seeds=3,
    architecture={"width": 8, "blocks": 1, "head": [8]},
    training={"epochs": 3, "batch_events": 40, "learning_rate": 0.01, "precision": "float32"},
)
FAILURE = Failure((1, "net", 3), "its loss is nan on training and nan on validation events", "Try.")


def spoil(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the network of one seed weights from which nothing finite follows."""
    usual = trainer._new_network

    def new_network(*arguments: Any) -> Any:
        made = usual(*arguments)
        if arguments[-1] == SEEDS[BAD]:
            with torch.no_grad():
                for weight in made.parameters():
                    weight.mul_(1e30)
        return made

    monkeypatch.setattr(trainer, "_new_network", new_network)


@pytest.fixture
def bad_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spoil the network of one seed."""
    spoil(monkeypatch)


def train(few: Jets, seeds: Sequence[Any] = SEEDS, **more: Any) -> list[Any]:
    validation = few.take(slice(200, 300))
    return NetworkEstimator.fit_members(few.take(slice(0, 200)), validation, OPTIONS, seeds, **more)


def failed(seed: int = 3) -> FailedNetwork:
    history = {"epoch": [1], "train_loss": [np.nan], "validation_loss": [np.nan], "seconds": [1.0]}
    failure = Failure((1, "net", seed), FAILURE.reason, FAILURE.remedy)
    return FailedNetwork(failure, {"seed": [1, "net", seed]}, pd.DataFrame(history))


def write_some(folder: Path, bad: Sequence[int], count: int, folds: int = 1) -> list[Path]:
    """Write networks of which some failed; the networks of a fold follow each other."""
    files = [folder / f"seed_{seed}.pt" for seed in range(count)]
    for seed, file in enumerate(files):
        (failed(seed) if seed in bad else network(seed)).save(file, {})
    how = Folds(folds) if folds > 1 else None
    numbers = [seed // (count // folds) for seed in range(count)] if how else ()
    write_manifest(files, folder / "ensemble.json", folds=how, fold_of_member=numbers)
    return files


# ---- training


def test_a_network_that_diverges_changes_no_bit_of_those_beside_it(
    few: Jets, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = train(few)
    spoil(monkeypatch)
    together = train(few)
    assert isinstance(together[BAD], FailedNetwork)
    assert together[BAD].failure.seed == SEEDS[BAD]
    assert together[BAD].failure.reason == (
        "its loss is nan on training and nan on validation events in epoch 1"
    )
    assert len(together[BAD].history) == 1
    assert (
        "the network of seed (1, 'gnn', 1) has failed, and no ensemble will use it" in caplog.text
    )
    assert "Lower training.learning_rate (0.01)" in caplog.text
    for which in (0, 2):
        ours = together[which].network.state_dict().values()
        assert all(map(torch.equal, ours, undisturbed[which].network.state_dict().values()))


@pytest.mark.usefixtures("bad_start")
def test_a_job_that_was_killed_after_a_network_failed_goes_on(
    few: Jets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    straight = train(few)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    checkpoint = tmp_path / "seeds.checkpoint.pt"
    with monkeypatch.context() as patch:
        patch.setattr(job, "_log_epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            train(few, checkpoint=checkpoint)
    with caplog.at_level(logging.INFO):
        resumed = train(few, checkpoint=checkpoint)
    assert f"going on from {checkpoint} after 1 epochs" in caplog.text
    assert resumed[BAD].failure == straight[BAD].failure
    for which in (0, 2):
        ours = resumed[which].network.state_dict().values()
        assert all(map(torch.equal, ours, straight[which].network.state_dict().values()))


@pytest.mark.usefixtures("bad_start")
def test_a_fit_of_one_network_that_fails_is_an_error(few: Jets) -> None:
    with pytest.raises(DataError, match=r"seed \(1, 'gnn', 1\) has failed: its loss is nan"):
        NetworkEstimator.fit(few, few, OPTIONS, SEEDS[BAD])


def test_the_file_of_a_network_that_failed_cannot_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "seed_3.pt"
    failed().save(path, {"versions": {}})
    for load in (truthtag.load, NetworkEstimator.load):
        with pytest.raises(DataError, match=r"seed_3\.pt: holds no network, its training failed"):
            load(path)
    assert failure_in(path) == FAILURE
    code, out, _ = run(capsys, "inspect", path)
    assert code == 0
    assert "a network that failed: ensembles leave it out" in out
    assert FAILURE.reason in out
    damaged = path.read_bytes().replace(b"its loss", b"itsXloss")
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"seed_3\.pt: is damaged"):
        failure_in(path)


# ---- ensembles


def test_an_ensemble_says_whom_it_leaves_out(
    few: Jets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write_some(tmp_path, bad=[3], count=5)
    loaded = truthtag.load(tmp_path)
    assert [str(one) for one in loaded.left_out] == [f"seed 3: {FAILURE.reason}"]
    assert loaded.describe() == "4 members, the mean, 1 left out"
    others = Ensemble.load([file for file in files if file.name != "seed_3.pt"])
    assert np.array_equal(predict(loaded, few).values, predict(others, few).values)
    assert loaded.accelerated().left_out == loaded.left_out
    assert members_listed(tmp_path / "ensemble.json") == (4, loaded.left_out)
    _, out, _ = run(capsys, "inspect", tmp_path)
    assert f"seed 3: {FAILURE.reason}" in out


def test_the_list_of_a_whole_ensemble_names_nobody_left_out(tmp_path: Path) -> None:
    write_networks(tmp_path, 2)
    assert set(json.loads((tmp_path / "ensemble.json").read_text())) == {
        "kind",
        "members",
        "digest",
    }
    assert truthtag.load(tmp_path).left_out == []


@pytest.mark.parametrize(
    ("bad", "count", "folds", "message"),
    [
        ([0], 1, 1, r"1 of 1 networks failed, and at least 1 must be left\. seed 0: its loss"),
        ([1], 2, 1, r"1 of 2 networks failed, and at least 2 must be left\. seed 1: its loss"),
        (
            [1, 3],
            7,
            1,
            r"2 of 7 networks failed, and at least 6 must be left\. seed 1: .*; seed 3: ",
        ),
        (
            [5],
            6,
            3,
            r"1 of 2 networks of fold 2 failed, and at least 2 must be left\. seed 5: its ",
        ),
    ],
)
def test_too_few_networks_are_refused(
    bad: list[int], count: int, folds: int, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message + r".*Try\."):
        write_some(tmp_path, bad, count, folds)
    assert not (tmp_path / "ensemble.json").exists()


def test_a_quarter_of_the_networks_may_fail(tmp_path: Path) -> None:
    files = write_some(tmp_path, bad=[0, 7], count=8)
    used, left_out = without_failed(files)
    assert used == files[1:7]
    assert list(left_out) == [files[0], files[7]]


def test_folds_of_unequal_size(few: Jets, tmp_path: Path) -> None:
    write_some(tmp_path, bad=[5], count=8, folds=2)
    fitted = truthtag.load(tmp_path)
    assert isinstance(fitted, CrossFitted)
    assert [len(part.members) for part in fitted.parts] == [4, 3]
    assert [one.seed[-1] for one in fitted.left_out] == [5]
    assert fitted.describe() == "7 members in 2 folds, 1 left out"
    values, replicas = fitted.held_out.with_replicas(few)
    assert len(replicas) == 3
    of_fold = Folds(2).of(few)[few.event_of_jet] == 1
    expected = fitted.parts[1].efficiency(few)
    assert np.allclose(values[of_fold], expected[of_fold], rtol=1e-6)
    # What replicas of such folds share is not known.
    assert resamples_of(fitted.held_out) is None


# ---- figures and pages


def test_the_figure_of_training_leaves_it_out(tmp_path: Path) -> None:
    good = pd.DataFrame(
        {"epoch": [1, 2], "train_loss": [0.5, 0.4], "validation_loss": [0.5, 0.4], "seconds": 1.0}
    )
    files = [tmp_path / f"seed_{seed}.history.parquet" for seed in range(3)]
    for seed, file in enumerate(files):
        bad = failed()
        write_frame(bad.history if seed == 1 else good, file, bad.notes if seed == 1 else {})
    inputs = read_inputs({"histories": {"gnn": files}}, {}, {})
    assert training_numbers(inputs)["seed"].tolist() == [0, 0, 2, 2]


def test_the_folder_of_results_says_who_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_some(tmp_path / "estimators/net", bad=[3], count=4)
    write_networks(tmp_path / "estimators/whole")
    code, out, _ = run(capsys, "inspect", tmp_path)
    assert code == 0
    told = " ".join(out.split())
    assert f"left out net has 3 of its 4 networks. Left out: seed 3: {FAILURE.reason}." in told
    assert "whole has" not in told


def test_pages_say_who_is_left_out() -> None:
    members = {"maps": (20, []), "gnn": (19, [FAILURE])}
    (sentence,) = left_out_sentences(members)
    assert sentence == f"gnn has 19 of its 20 networks. Left out: seed 3: {FAILURE.reason}."
    assert sentence in render_page({}, [sentence])
