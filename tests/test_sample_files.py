"""The files of samples: patterns, faults, and no event in two samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import ROOT
from truthtag.data.folds import file_number
from truthtag.errors import ConfigError
from truthtag.workflow import sample_files
from truthtag.workflow.bases import on_base
from truthtag.workflow.layout import Layout
from truthtag.workflow.options import Config, check_config
from truthtag.workflow.sample_files import check_files, files_of


def config_of(samples: dict[str, Any], **roles: Any) -> Config:
    """A config that reads samples."""
    names = list(samples)
    stated = {
        "base": "samples",
        "readers": {"cms": {"format": "nanoaod"}},
        "working_points": {"medium": 0.2},
        "samples": {name: {"reader": "cms", **one} for name, one in samples.items()},
        "roles": {"train": names[0], "validation": names[1], "judged": names[2:], **roles},
    }
    return check_config(on_base(stated, ROOT / "config"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b.root", "a.root", "deep/c.root"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).touch()
    monkeypatch.chdir(tmp_path)
    files_of.cache_clear()
    return tmp_path


def test_patterns_become_files_in_order(folder: Path) -> None:
    assert files_of(("data/*.root",)) == ("data/a.root", "data/b.root")
    assert files_of(("data/**/*.root",)) == ("data/a.root", "data/b.root", "data/deep/c.root")
    whole = str(folder / "data/*.root")
    assert files_of((whole,)) == (f"{folder}/data/a.root", f"{folder}/data/b.root")


def test_addresses_are_left_as_they_are() -> None:
    address = "root://eospublic.cern.ch//eos/x*.root"
    assert files_of((address,)) == (address,)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ("data/d.root", r"samples\.a\.files: 'data/d.root' is no file"),
        ("data/*.parquet", r"samples\.a\.files: 'data/\*.parquet' is no file, and means none"),
        ("data", r"samples\.a\.files: 'data' is no file"),
        (["data/a.root", "data/*.root"], r"samples\.a\.files: 'data/a.root' is named twice"),
        (["data/a.root", "./data/a.root"], r"samples\.a\.files: './data/a.root' is named twice"),
    ],
)
def test_files_that_are_not_there_are_refused(files: Any, fault: str) -> None:
    config = config_of({"a": {"files": files}, "b": {"files": "x"}, "c": {"files": "y"}})
    with pytest.raises(ConfigError, match=fault):
        check_files(config)


def take(of: int, *remainders: int, **more: Any) -> dict[str, Any]:
    return {"files": "data/a.root", "take": {"of": of, "remainders": list(remainders), **more}}


@pytest.mark.usefixtures("folder")
def test_one_file_serves_all_roles_where_events_are_apart() -> None:
    config = config_of({"a": take(10, 0, 1, 2, 3), "b": take(10, 4, 5), "c": take(10, 6, 7, 8, 9)})
    check_files(config)
    layout = Layout(config)
    assert layout.shards("a") == ["results/samples/samples/a/0000.parquet"]
    assert layout.event_files("a") == ["results/samples/events/a/0000.parquet"]
    assert layout.local_file("a", 0) == ["data/a.root"]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "other", [take(10, 3, 4), take(5, 4), take(10, 4, by="hash"), {"files": "data/*.root"}]
)
def test_an_event_that_could_be_in_two_samples_is_refused(other: dict[str, Any]) -> None:
    config = config_of({"a": take(10, 0, 1, 2, 3), "b": other, "c": {"files": "data/deep/c.root"}})
    with pytest.raises(ConfigError, match=r"samples\.b\.files: 'data/a.root' is read by samples.a"):
        check_files(config)


@pytest.mark.parametrize("name", ["./data/a.root", "data/../data/a.root", "whole", "link.root"])
def test_a_file_is_the_same_by_any_of_its_names(folder: Path, name: str) -> None:
    (folder / "link.root").symlink_to("data/a.root")
    other = str(folder / "data/a.root") if name == "whole" else name
    samples = {"a": "data/a.root", "b": other, "c": "data/b.root"}
    config = config_of({one: {"files": file} for one, file in samples.items()})
    with pytest.raises(ConfigError, match=r"samples\.b\.files: '.*root' is read by samples\.a"):
        check_files(config)


@pytest.mark.usefixtures("folder")
def test_files_of_one_number_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_files, "file_number", lambda file: 7)
    one = {"files": "data/a.root"}
    other = {"files": "data/b.root"}
    config = config_of({"a": one, "b": other, "c": {"files": "data/deep/c.root"}})
    with pytest.raises(ConfigError, match=r"'data/a.root' and 'data/b.root' would give"):
        check_files(config)


def test_the_number_of_a_file_leaves_room_for_its_events() -> None:
    assert file_number("data/a.root") < 2**31
    assert (file_number("data/a.root") << 32) < 2**63


def test_the_folds_of_a_layout() -> None:
    stated = yaml.safe_load((ROOT / "config/nanoaod.yaml").read_text())
    layout = Layout(check_config(on_base(stated, ROOT / "config")))
    folder = "results/nanoaod/estimators"
    assert layout.fitted("map")[:2] == [
        f"{folder}/map/fold_0/nominal.parquet",
        f"{folder}/map/fold_0/replicas.parquet",
    ]
    assert len(layout.fitted("map")) == 10
    folds = [layout.fold_of_seed("gnn_factorised", seed) for seed in range(10)]
    assert folds == layout.folds_of_seeds("gnn_factorised") == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert [list(group) for group in layout.seed_groups("gnn_factorised")][:2] == [[0], [1]]
