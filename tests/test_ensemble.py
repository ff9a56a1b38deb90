"""Ensembles: nominal and mean, the manifest, members that do not belong together."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from estimator_kinds import SEED, class_of, fit, options_of

from conftest import make_jets
from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.estimators.ensemble import Ensemble, load, write_manifest
from truthtag.estimators.predictions import predict
from truthtag.estimators.resampling import fit_replicas
from truthtag.estimators.table_file import save_replicas


@dataclass
class Constant:
    """An estimator with one value, stored as JSON: it stands for a network."""

    value: float
    width: int = 8
    device: str = "cpu"
    settings: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.settings = {"architecture": {"width": self.width}}

    def efficiency(self, jets: Jets) -> FloatArray:
        return np.full(jets.n_jets, self.value)

    def to(self, device: str) -> Self:
        self.device = device
        return self

    def write(self, path: Path) -> Path:
        path.write_text(json.dumps([self.value, self.width]))
        return path

    @classmethod
    def load(cls, path: str | Path) -> Self:
        return cls(*json.loads(Path(path).read_text()))


KIND = "test_ensemble:Constant"


def three(folder: Path) -> list[Path]:
    values = (0.1, 0.2, 0.6)
    return [Constant(v).write(folder / f"seed_{i}.pt") for i, v in enumerate(values)]


# ---- nominal and members


def test_the_mean_of_the_members_or_the_nominal() -> None:
    jets = make_jets([2, 1])
    members = [Constant(0.1), Constant(0.3)]
    mean = Ensemble(members)
    assert mean.efficiency(jets).tolist() == pytest.approx([0.2] * 3)
    values, replicas = mean.with_replicas(jets)
    assert values.tolist() == mean.efficiency(jets).tolist()
    assert replicas.tolist() == [[0.1] * 3, [0.3] * 3]
    around = Ensemble(members, Constant(0.15))
    assert around.efficiency(jets).tolist() == [0.15] * 3
    values, replicas = around.with_replicas(jets)
    assert values.tolist() == [0.15] * 3
    assert replicas.tolist() == [[0.1] * 3, [0.3] * 3]


def test_an_ensemble_without_members_is_refused() -> None:
    with pytest.raises(DataError, match="an ensemble needs at least one member; there is none"):
        Ensemble([])
    with pytest.raises(DataError, match="an ensemble needs at least one member; there is none"):
        Ensemble.load([])


# ---- a folder with a manifest


def test_a_folder_gives_the_members_that_its_manifest_lists(tmp_path: Path) -> None:
    paths = three(tmp_path)
    write_manifest(paths, tmp_path / "ensemble.json", kind=KIND)
    # What an earlier config, with more seeds, left behind.
    Constant(0.9, width=4).write(tmp_path / "seed_3.pt")
    ensemble = load(tmp_path)
    assert [member.value for member in ensemble.members] == [0.1, 0.2, 0.6]
    assert ensemble.nominal is None
    assert [member.device for member in load(tmp_path, "cuda").members] == ["cuda"] * 3
    # A file of a member goes by the manifest beside it.
    assert load(paths[1]).value == 0.2
    content = json.loads((tmp_path / "ensemble.json").read_text())
    assert content["kind"] == KIND
    assert [member["file"] for member in content["members"]] == [path.name for path in paths]


def test_a_member_that_changed_is_refused(tmp_path: Path) -> None:
    paths = three(tmp_path)
    write_manifest(paths, tmp_path / "ensemble.json", kind=KIND)
    Constant(0.3).write(paths[1])
    with pytest.raises(DataError, match=r"seed_1\.pt: is not the file that .*ensemble\.json lists"):
        load(tmp_path)
    paths[1].unlink()
    with pytest.raises(DataError, match=r"seed_1\.pt: no such file, and .*ensemble\.json lists it"):
        load(tmp_path)


def test_members_that_differ_are_refused_by_their_files(tmp_path: Path) -> None:
    paths = three(tmp_path)
    Constant(0.2, width=4).write(paths[2])
    message = (
        r"seed_0\.pt and .*seed_2\.pt do not belong to one ensemble: they differ in "
        r"architecture\.width \(8 and 4\)"
    )
    with pytest.raises(DataError, match=message):
        Ensemble.load(paths, kind=KIND)
    with pytest.raises(DataError, match=message):
        write_manifest(paths, tmp_path / "ensemble.json", kind=KIND)
    assert not (tmp_path / "ensemble.json").exists()


def test_members_of_two_kinds_are_refused(few: Jets, tmp_path: Path) -> None:
    paths = []
    for kind in ("binned", "smoothed"):
        paths.append(tmp_path / f"{kind}.parquet")
        fit(kind, few).save(paths[-1], {})
    with pytest.raises(
        DataError, match=r"binned\.parquet and .*smoothed\.parquet .* differ in kind"
    ):
        Ensemble.load(paths)


def test_a_member_elsewhere_is_refused(tmp_path: Path) -> None:
    paths = three(tmp_path)
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match=r"seed_0\.pt: a member must lie beside the manifest"):
        write_manifest(paths, tmp_path / "other/ensemble.json", kind=KIND)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"kind": "network"}',
        '{"kind": 3, "members": [{"file": "seed_0.pt", "digest": ""}]}',
        '{"kind": "network", "members": []}',
        '{"kind": "network", "members": [{"file": "../seed_0.pt", "digest": ""}]}',
        '{"kind": "network", "members": [{"file": "seed_0.pt"}]}',
    ],
)
def test_a_damaged_manifest_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "ensemble.json").write_text(text)
    with pytest.raises(DataError, match=r"ensemble\.json: is damaged"):
        load(tmp_path)


# ---- a folder with a nominal fit and replicas


def folder_of(kind: str, jets: Jets, folder: Path, **changes: Any) -> tuple[Any, list[Any]]:
    options = options_of(kind, **changes)
    nominal = fit(kind, jets, **changes)
    replicas = fit_replicas(class_of(kind), jets, jets, options, 3, SEED)
    provenance = {"options": options.model_dump(mode="json")}
    nominal.save(folder / "nominal.parquet", provenance)
    save_replicas(replicas, folder / "replicas.parquet", provenance)
    return nominal, replicas


@pytest.mark.parametrize("kind", ["binned", "trees"])
def test_a_folder_gives_the_nominal_fit_and_its_replicas(
    kind: str, few: Jets, tmp_path: Path
) -> None:
    nominal, replicas = folder_of(kind, few, tmp_path)
    prediction = predict(load(tmp_path), few)
    assert np.array_equal(prediction.values, nominal.efficiency(few))
    assert len(prediction.replicas) == 3
    assert np.array_equal(prediction.replicas[2], replicas[2].efficiency(few))
    (tmp_path / "replicas.parquet").unlink()
    assert type(load(tmp_path)) is type(nominal)


def test_replicas_of_other_options_are_refused(few: Jets, tmp_path: Path) -> None:
    folder_of("binned", few, tmp_path)
    fit("binned", few, outside="error").save(tmp_path / "nominal.parquet", {})
    with pytest.raises(
        DataError,
        match=r"nominal\.parquet and .*replicas\.parquet .*differ in outside \(error and clamp\)",
    ):
        load(tmp_path)
    # Other bins, which the settings do not hold.
    changed = options_of("binned", pt=[20.0, 600.0])
    fit("binned", few, pt=[20.0, 600.0]).save(
        tmp_path / "nominal.parquet", {"options": changed.model_dump(mode="json")}
    )
    with pytest.raises(DataError, match=r"they differ in pt \(\[20.0, 600.0\] and \{'bins': 19"):
        load(tmp_path)


def test_another_number_of_replicas_is_no_other_option(few: Jets, tmp_path: Path) -> None:
    folder_of("binned", few, tmp_path)
    changed = options_of("binned", replicas=50)
    provenance = {"options": changed.model_dump(mode="json")}
    fit("binned", few).save(tmp_path / "nominal.parquet", provenance)
    assert len(load(tmp_path).members) == 3


# ---- what is not there


def test_what_holds_no_estimator_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.parquet: no such file"):
        load(tmp_path / "none.parquet")
    with pytest.raises(DataError, match=r"holds neither ensemble\.json nor nominal\.parquet"):
        load(tmp_path)
    (tmp_path / "notes.txt").write_text("no estimator")
    with pytest.raises(DataError, match=r"notes\.txt: holds no estimator that truthtag knows"):
        load(tmp_path / "notes.txt")
    (tmp_path / "map.parquet").write_text("no estimator")
    with pytest.raises(DataError, match=r"map\.parquet: cannot be read as Parquet"):
        load(tmp_path / "map.parquet")
