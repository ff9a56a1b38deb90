"""Files and configs of somebody who means harm: nothing is executed, nothing outside is touched."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import torch
import yaml
from cli_files import run, write_networks
from fuzz_cases import ODD_NAMES, fuzzing
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

import truthtag
from conftest import ROOT
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.ensemble import load
from truthtag.estimators.failures import failure_in
from truthtag.estimators.network.batches import TrainingEvents
from truthtag.estimators.network.options import Architecture, TrainingOptions
from truthtag.estimators.network.trainer import Training
from truthtag.workflow.bases import on_base
from truthtag.workflow.layout import Layout
from truthtag.workflow.options import EstimatorName, Name, check_config


class Payload:
    """Runs a command where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """A file that payloads make."""
    return tmp_path / "executed"


# ---- pickles


READERS: dict[str, Callable[[Path], object]] = {
    "load": truthtag.load,
    "load from the list": lambda path: load(path.parent),
    "look for a failure": failure_in,
}


@pytest.mark.parametrize("format_of", ["truthtag network 2", "truthtag failed network 1", None])
@pytest.mark.parametrize("read", READERS)
def test_no_pickle_in_a_network_is_executed(
    read: str, format_of: str | None, tmp_path: Path, mark: Path
) -> None:
    folder = write_networks(tmp_path / "net", 1)
    content = {"format": format_of or Payload(mark), "state": Payload(mark), "digest": "0"}
    torch.save(content, folder / "seed_0.pt")
    with pytest.raises(DataError, match=r"seed_0\.pt: (cannot be read|is not the file)"):
        READERS[read](folder / "seed_0.pt")
    assert not mark.exists()


def test_no_pickle_in_a_checkpoint_is_executed(
    few: Jets, tmp_path: Path, mark: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "seed_0.checkpoint.pt"
    torch.save({"format": "truthtag checkpoint 3", "state": Payload(mark)}, path)
    options = TrainingOptions(epochs=1, batch_events=50, learning_rate=0.01)
    small = Architecture(width=4, blocks=1, head=(4,))
    training = Training(small, options, TrainingEvents(few), [(1, "net", 0)])
    assert not training.resume(path, {})
    assert f"training starts anew: {path}: cannot be read as a checkpoint" in caplog.text
    assert not mark.exists()


# ---- configs


@pytest.mark.parametrize(
    "text",
    [
        'results: !!python/object/apply:os.system ["touch {mark}"]\n',
        'results: !!python/object/new:os.system ["touch {mark}"]\n',
        "results: !!python/name:os.system\n",
        "? !!python/object/apply:os.system ['touch {mark}']\n: 1\n",
    ],
)
def test_no_object_in_yaml_is_made(
    text: str, tmp_path: Path, mark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text.replace("{mark}", str(mark)))
    code, _, err = run(capsys, "check", path, "--workflow", ROOT)
    assert code == 1
    assert f"{path}: is no YAML (could not determine a constructor" in err
    assert not mark.exists()


def test_a_config_that_uses_templates_is_refused_by_check(
    tmp_path: Path, mark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Snakemake itself evaluates them: a config is code there (docs/reliability.md)."""
    path = tmp_path / "config.yaml"
    path.write_text(f"__use_yte__: true\nresults: ?__import__('os').system('touch {mark}')\n")
    code, _, err = run(capsys, "check", path, "--workflow", ROOT)
    assert code == 1
    assert "unknown key '__use_yte__'" in err
    assert not mark.exists()


def with_reader(**changes: Any) -> dict[str, Any]:
    """Return a config that reads files, its reader changed."""
    stated = yaml.safe_load((ROOT / "config/nanoaod.yaml").read_text())
    reader = next(iter(stated["readers"].values()))
    reader.update(changes)
    return on_base(stated, ROOT / "config")


@pytest.mark.parametrize(
    "formula",
    [
        "__import__('os').system('touch {mark}')",
        "Jet_pt.__class__.__base__.__subclasses__()",
        "open('{mark}', 'w')",
        "(lambda: 1)()",
        "[x for x in Jet_pt]",
        "Jet_pt if Jet_pt else 1",
        "f'{Jet_pt}'",
        "eval(Jet_pt)",
        "9**9**9**9 + Jet_pt",
    ],
)
def test_no_formula_runs_code(formula: str, mark: Path) -> None:
    text = formula.replace("{mark}", str(mark))
    for changes in ({"columns": {"pt": text}}, {"discriminant": text}):
        try:
            check_config(with_reader(**changes))
        except ConfigError as error:
            assert "readers." in str(error)  # noqa: PT017 - numbers alone are allowed
        else:
            assert formula.startswith("9**9")
    assert not mark.exists()


# ---- names


SECTIONS: dict[str, Any] = {
    "samples": {"generator": "multijet", "events": 10},
    "estimators": {"kind": "parametric"},
    "distributions": {"observable": "pt_1", "tagged": [1], "axis": [20.0, 100.0]},
    "generators": {"kind": "boson"},
    "readers": {"format": "nanoaod"},
    "groups": {"weight": 1.0},
    "inputs": {},
    "flavours": 21,
    "working_points": 0.5,
}


@pytest.mark.parametrize("section", SECTIONS)
def test_a_name_that_could_leave_the_results_is_refused(section: str) -> None:
    config = on_base({section: dict.fromkeys(ODD_NAMES, SECTIONS[section])}, ROOT / "config")
    with pytest.raises(ConfigError) as refused:
        check_config(config)
    lines = str(refused.value).splitlines()
    for name in ODD_NAMES:
        if len(name) > 64:
            path = f"  {section}.{name[:20]}...: this name has 300 letters, and it becomes that of"
        else:
            plain = name.isprintable() and not set(name) & set(". ") and name
            path = f"  {section}.{name if plain else repr(name)}: this is not allowed as a name"
        told = [line for line in lines if line.startswith(path)]
        # "con" is a name like any other where the workflow runs.
        assert bool(told) != (name == "con"), path
        assert all(
            "must begin with a letter" in line or "CSV" in line or "64" in line for line in told
        )


@fuzzing(150)
@given(
    st.text(max_size=70) | st.from_regex(r"[A-Za-z][A-Za-z0-9_./~-]*") | st.sampled_from(ODD_NAMES)
)
def test_every_name_that_is_allowed_is_one_step_of_a_path(name: str) -> None:
    for kind in (Name, EstimatorName):
        try:
            TypeAdapter(kind).validate_python(name)
        except ValidationError:
            continue
        assert name.isascii()
        assert PurePosixPath(f"results/{name}/x.parquet").parts == ("results", name, "x.parquet")
        assert len(f".{name}.replicas.1234567.part.parquet") < 255


def test_every_path_lies_in_the_results() -> None:
    stated = yaml.safe_load((ROOT / "config/tiny.yaml").read_text())
    layout = Layout(check_config(on_base(stated, ROOT / "config")))
    for path in layout._wanted():
        assert PurePosixPath(path).is_relative_to(layout.results)
        assert ".." not in PurePosixPath(path).parts


@pytest.mark.parametrize("results", ["a\nb", "{seed}", "", "  ", "x" * 300, "a\0b"])
def test_a_folder_of_results_that_is_none_is_refused(results: str) -> None:
    with pytest.raises(ConfigError, match=r"results: .* is not allowed; "):
        check_config(on_base({"results": results}, ROOT / "config"))
