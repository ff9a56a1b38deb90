"""Every kind of file that a later step reads: damage is found and named, or changes nothing."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from cli_files import network, write_networks, write_results
from fuzz_cases import fuzzing
from hypothesis import given
from hypothesis import strategies as st

from truthtag.data.files import read_csv, read_frame, read_metadata, write_frame
from truthtag.data.jets import Jets, read_jets
from truthtag.errors import DataError
from truthtag.estimators.ensemble import load, write_manifest
from truthtag.estimators.network.content import write_content
from truthtag.estimators.network.estimator import NetworkEstimator
from truthtag.estimators.prediction_files import read_prediction
from truthtag.exports.onnx_file import export_onnx
from truthtag.figures.tables import read_rows
from truthtag.statistics.domain import Domain

REMEDY = re.compile(r"(?i)\b(again|anew|delete|check|copy|run|fit|train|export|name|move|give)\b")
"""What an error asks for, one of it at least."""


@dataclass(frozen=True)
class Kind:
    """A kind of file, and what a later step takes from it.

    Attributes:
        path: Where it is, in the folder of results.
        read: Reads it, given the folder and some jets, and returns what was read, to compare.
        tries: How many damaged copies are tried.
        any_table: Whether the step takes any table here, and asks for columns later.
    """

    path: str
    read: Callable[[Path, Jets], object]
    tries: int = 30
    any_table: bool = False


def of_frame(frame: pd.DataFrame) -> object:
    # As text: what is missing differs from itself.
    return {name: repr(frame[name].tolist()) for name in frame}


def of_shard(folder: Path, _: Jets) -> object:
    path = folder / "samples/train/0000.parquet"
    jets = read_jets(path)
    assert jets.is_tagged is not None
    numbers = (jets.weight.tolist(), jets.is_tagged.tolist(), jets.per_jet("event").tolist())
    return jets.digest(), numbers, jets.labels, read_metadata(path)


def of_table(path: str) -> Callable[[Path, Jets], object]:
    return lambda folder, _: (of_frame(read_frame(folder / path)), read_metadata(folder / path))


def of_estimator(path: str) -> Callable[[Path, Jets], object]:
    def read(folder: Path, jets: Jets) -> object:
        model = load(folder / path)
        values, replicas = model.with_replicas(jets)
        return values.tolist(), replicas.tolist()

    return read


def of_prediction(folder: Path, jets: Jets) -> object:
    stem = "predictions/train/binned"
    prediction = read_prediction(folder / f"{stem}.parquet", folder / f"{stem}.replicas.parquet")
    assert prediction.replicas is not None
    return prediction.aligned_to(jets).values.tolist(), prediction.replicas.tolist()


def of_onnx(folder: Path, jets: Jets) -> object:
    return load(folder / "exports/onnx/net.onnx").efficiency(jets).tolist()


def of_domain(folder: Path, jets: Jets) -> object:
    return Domain.read(folder / "domain.parquet").contains(jets).tolist()


def of_csv(folder: Path, _: Jets) -> object:
    path = folder / "tables/scales.csv"
    return of_frame(read_csv(path)), of_frame(read_rows(path))


KINDS = {
    "a shard of a sample": Kind("samples/train/0000.parquet", of_shard),
    "a map": Kind("estimators/binned/nominal.parquet", of_estimator("estimators/binned"), 20),
    "replicas of a map": Kind(
        "estimators/binned/replicas.parquet", of_estimator("estimators/binned"), 20
    ),
    "a network": Kind("estimators/net/seed_1.pt", of_estimator("estimators/net"), 20),
    "a network alone": Kind(
        "estimators/alone/seed_0.pt",
        lambda folder, jets: (
            NetworkEstimator.load(folder / "estimators/alone/seed_0.pt").efficiency(jets).tolist()
        ),
    ),
    "a network of a group": Kind(
        "estimators/together/seeds_0_to_1/seed_1.pt", of_estimator("estimators/together"), 20
    ),
    "the list of an ensemble": Kind(
        "estimators/net/ensemble.json", of_estimator("estimators/net"), 40
    ),
    "a prediction": Kind("predictions/train/binned.parquet", of_prediction),
    "replicas of a prediction": Kind("predictions/train/binned.replicas.parquet", of_prediction),
    "the domain": Kind("domain.parquet", of_domain, 20),
    **{
        name: Kind(path, of_table(path), any_table=True)
        for name, path in {
            "flags": "domain/train.parquet",
            "weights": "weights/train/binned.parquet",
            "histograms": "histograms/leading_pt.parquet",
            "a history": "estimators/net/seed_0.history.parquet",
        }.items()
    },
    "an ONNX file": Kind("exports/onnx/net.onnx", of_onnx, 20),
    "a CSV table": Kind("tables/scales.csv", of_csv),
}


@pytest.fixture(scope="module")
def jets() -> Jets:
    from conftest import make_jets

    return make_jets([2, 3, 1, 4, 2, 2, 3] * 6, seed=3)


def write_group(folder: Path) -> None:
    """Write networks as a job that trains them together does, in a folder of their own."""
    files = [folder / f"seeds_0_to_1/seed_{seed}.pt" for seed in range(2)]
    for seed, file in enumerate(files):
        network(seed).save(file, {})
    write_manifest(files, folder / "ensemble.json")


@pytest.fixture(scope="module")
def results(jets: Jets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results with a file of each kind."""
    folder = tmp_path_factory.mktemp("whole") / "results"
    with torch.random.fork_rng(devices=[]):
        write_results(folder, jets)
        write_networks(folder / "estimators/alone", 1)
        write_group(folder / "estimators/together")
    pytest.importorskip("onnxruntime")
    export_onnx(load(folder / "estimators/net"), folder / "exports/onnx/net.onnx")
    scales = pd.DataFrame({"efficiency": ["gnn", "007"], "scale": [1.25, 0.875], "number": [5, 4]})
    write_frame(scales, folder / "tables/scales.csv")
    return folder


@pytest.fixture(scope="module")
def sample(jets: Jets, results: Path) -> Jets:
    """The jets as the files of the sample say them."""
    return read_jets(sorted((results / "samples/train").glob("*.parquet")))


@pytest.fixture(scope="module")
def copy(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the results, for tests that put back what they damaged."""
    return Path(shutil.copytree(results, tmp_path_factory.mktemp("damaged") / "results"))


def outcome(kind: Kind, folder: Path, jets: Jets) -> object:
    """Return what a later step reads, or None where it refuses the file in a proper way."""
    try:
        return kind.read(folder, jets)
    except DataError as error:
        path = folder / kind.path
        # Of files that belong together, the error may name the other one.
        together = {path.name, "nominal.parquet", f"{path.stem}.replicas.parquet"}
        text = str(error)
    assert any(name in text for name in together), text
    assert REMEDY.search(text), text
    return None


@pytest.mark.parametrize("name", KINDS)
def test_a_flipped_byte_or_a_cut_is_found_or_changes_nothing(
    name: str, copy: Path, sample: Jets
) -> None:
    kind = KINDS[name]
    path = copy / kind.path
    whole = path.read_bytes()
    expected = kind.read(copy, sample)
    found: list[bool] = []

    @fuzzing(kind.tries)
    @given(st.integers(0, len(whole) - 1), st.integers(0, 255))
    def check(place: int, change: int) -> None:
        damaged = bytearray(whole)
        # No change of the byte stands for a cut before it.
        damaged[place] ^= change
        path.write_bytes(damaged if change else whole[:place])
        read = outcome(kind, copy, sample)
        found.append(read is None)
        assert read is None or read == expected

    try:
        check()
    finally:
        path.write_bytes(whole)
    # Bytes that nobody reads are few.
    assert np.mean(found) > 0.6


def empty(path: Path, _: Path) -> None:
    path.write_bytes(b"")


def folder_in_place(path: Path, _: Path) -> None:
    path.unlink()
    path.mkdir()


def of_another_kind(path: Path, results: Path) -> None:
    other = "estimators/net/seed_0.pt" if path.suffix != ".pt" else "domain/train.parquet"
    path.write_bytes((results / other).read_bytes())


def another_table(path: Path, results: Path) -> None:
    names = ("domain/train.parquet", "histograms/leading_pt.parquet")
    other = names[str(path).endswith(names[0])]
    path.write_bytes((results / other).read_bytes())


FAULTS = (empty, folder_in_place, of_another_kind, another_table)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", KINDS)
def test_what_is_no_such_file_is_refused(
    name: str, fault: Callable[[Path, Path], None], copy: Path, sample: Jets
) -> None:
    kind = KINDS[name]
    path = copy / kind.path
    whole = path.read_bytes()
    try:
        fault(path, copy)
        read = outcome(kind, copy, sample)
        assert read is None or (kind.any_table and fault is another_table)
    finally:
        if path.is_dir():
            path.rmdir()
        path.write_bytes(whole)


@pytest.mark.parametrize("name", sorted(set(KINDS) - {"replicas of a map"}))
def test_a_file_that_is_missing_is_named(name: str, copy: Path, sample: Jets) -> None:
    kind = KINDS[name]
    path = copy / kind.path
    aside = path.rename(path.with_name("aside"))
    try:
        assert outcome(kind, copy, sample) is None
    finally:
        aside.rename(path)


# ---- files of other versions, and files that were put together wrongly


def test_a_list_of_members_without_digest_is_read(copy: Path, sample: Jets) -> None:
    """Version 0.2.0 wrote none: that its members are whole is all that can be said."""
    path = copy / "estimators/net/ensemble.json"
    whole = path.read_bytes()
    expected = load(path.parent).efficiency(sample)
    try:
        content = json.loads(whole)
        del content["digest"]
        path.write_text(json.dumps(content))
        assert np.array_equal(load(path.parent).efficiency(sample), expected)
    finally:
        path.write_bytes(whole)


HUGE_FOLDS = {"folds": {"count": 10**12, "by": "event"}}


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "binned"},
        {"folds": {"count": 2, "by": "hash"}},
        {"members": []},
        {"left_out": [{"seed": [], "reason": "none"}]},
        {"left_out": 7},
        {"remark": "by hand"},
        HUGE_FOLDS,
        {"folds": {"count": float("inf"), "by": "event"}},
    ],
)
@pytest.mark.parametrize("signed", [True, False])
def test_a_list_of_members_that_was_changed_is_refused(
    change: dict[str, Any], signed: bool, copy: Path
) -> None:
    path = copy / "estimators/net/ensemble.json"
    whole = path.read_bytes()
    content = {**json.loads(whole), **change}
    if not signed:
        del content["digest"]
    try:
        path.write_text(json.dumps(content))
        with pytest.raises(DataError, match=r"ensemble\.json: is damaged|seed_0\.pt"):
            load(path.parent)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize(
    "old", ["truthtag network 1", "truthtag network 3", "truthtag checkpoint 2"]
)
def test_networks_of_other_versions_are_refused(old: str, tmp_path: Path) -> None:
    path = tmp_path / "seed_0.pt"
    write_content({"format": old}, path)
    with pytest.raises(DataError, match=r"seed_0\.pt: is not a network file of this version .*Del"):
        NetworkEstimator.load(path)


def test_a_table_that_was_changed_by_hand_is_named_with_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "scales.csv"
    write_frame(pd.DataFrame({"efficiency": ["gnn"], "scale": [1.25]}), path)
    path.write_text(path.read_text().replace("1.25", "1.35"))
    for read in (read_csv, read_rows):
        with pytest.raises(
            DataError, match=r"scales\.csv: is damaged, or was changed .* on purpose"
        ):
            read(path)
    # As it says: whoever means it deletes the digest.
    (tmp_path / ".scales.csv.sha256").unlink()
    assert read_csv(path)["scale"].tolist() == [1.35]
    # Written again, it has one again.
    write_frame(read_csv(path), path)
    assert (tmp_path / ".scales.csv.sha256").read_text().endswith("  scales.csv\n")
