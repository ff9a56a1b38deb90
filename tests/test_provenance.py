"""Digests of code and settings, logs, and the environment."""

from __future__ import annotations

import logging
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from conftest import ROOT
from truthtag import __version__
from truthtag.errors import DataError
from truthtag.workflow.digests import code_digest, digest, modules_used, versions
from truthtag.workflow.logs import Progress, clock, job_log

PINS = [
    line
    for line in (ROOT / "envs/requirements.txt").read_text().splitlines()
    if not line.startswith("#")
]


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A package of three modules, a uses b, c stands alone."""
    package = tmp_path / "truthtag"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text('"""Doc."""\nfrom truthtag.b import x\n')
    (package / "b.py").write_text("x = 1\n")
    (package / "c.py").write_text("y = 1\n")
    (tmp_path / "script.py").write_text("from truthtag.a import x\nimport numpy\n")
    return package


def test_modules_are_found_through_others(library: Path) -> None:
    used = modules_used(library.parent / "script.py", library)
    assert [path.name for path in used] == ["__init__.py", "a.py", "b.py"]


@pytest.mark.parametrize(
    ("file", "text", "changes"),
    [
        ("b.py", "x = 2\n", True),
        ("b.py", "# why\nx  =  1\n", False),
        ("a.py", '"""Other doc."""\nfrom truthtag.b import x\n', False),
        ("c.py", "y = 2\n", False),
        ("../script.py", "from truthtag.a import x\nimport numpy\nprint(x)\n", True),
    ],
)
def test_the_digest_changes_with_what_the_code_does(
    library: Path, file: str, text: str, changes: bool
) -> None:
    script = library.parent / "script.py"
    before = code_digest(script, library)
    (library / file).write_text(text)
    assert (code_digest(script, library) != before) == changes


def test_every_script_of_the_workflow_uses_the_library() -> None:
    for script in (ROOT / "workflow/scripts").glob("*.py"):
        names = {path.name for path in modules_used(script, ROOT / "src/truthtag")}
        assert {"__init__.py", "logs.py", "errors.py"} <= names, script


def test_drawing_code_does_not_concern_training() -> None:
    used = modules_used(ROOT / "workflow/scripts/train_network.py", ROOT / "src/truthtag")
    assert "training.py" in {path.name for path in used}
    assert not any("plots" in path.parts for path in used)


def test_the_library_knows_neither_snakemake_nor_matplotlib_outside_plots() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text()
        assert not re.search(r"^\s*(from|import) snakemake", text, re.MULTILINE), path
        assert "plots" in path.parts or not re.search(
            r"^\s*(from|import) (matplotlib|mplhep)", text, re.MULTILINE
        ), path


def test_digests_of_settings() -> None:
    assert digest({"a": 1.5}) != digest({"a": 1.25})
    assert set(versions()) == {"python", "truthtag", "numpy", "pyarrow"}
    assert versions(["no-such-package"]).keys() == {"python"}


def test_errors_of_the_user_are_told_without_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.log"
    with pytest.raises(SystemExit), job_log(path):
        raise DataError("a.parquet: column 'pt' is missing")
    assert "ERROR a.parquet: column 'pt' is missing" in path.read_text()
    assert "Traceback" not in path.read_text()


def test_faults_of_the_program_are_told_with_one(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), job_log(tmp_path / "a.log") as log:
        log.info("half way")
        _ = 1 / 0
    text = (tmp_path / "a.log").read_text()
    assert "half way" in text
    assert "Traceback" in text
    assert logging.getLogger("truthtag").handlers == []


def test_progress_counts_only_what_this_run_did(caplog: pytest.LogCaptureFixture) -> None:
    ticks = iter([0.0, 5.0, 10.0, 20.0])
    progress = Progress(
        logging.getLogger("truthtag"), 1000, "events", done=500, every=8, now=lambda: next(ticks)
    )
    with caplog.at_level(logging.INFO, "truthtag"):
        for _ in range(3):
            progress.add(100)
    assert caplog.messages == [
        "70% of 1000 events, 20.0 events/s, 0:15 left",
        "80% of 1000 events, 15.0 events/s, 0:13 left",
    ]
    assert (clock(59.6), clock(3661)) == ("1:00", "1:01:01")


def test_the_locks_and_pyproject_agree() -> None:
    conda = yaml.safe_load((ROOT / "envs/truthtag.yaml").read_text())
    assert next(entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict)) == PINS
    locked = {canonicalize_name(pin.split("==")[0]): pin.split("==")[1] for pin in PINS}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    for requirement in map(Requirement, wanted):
        version = locked.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not locked: run 'make lock'"
        assert requirement.specifier.contains(version), (
            f"{requirement} does not allow the locked {version}"
        )
    assert locked["torch"] == "2.13.0"
    minimum = project["requires-python"].removeprefix(">=")
    assert f"python={minimum}" in conda["dependencies"]


def test_versions_agree() -> None:
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert f"version: {__version__}" in (ROOT / "CITATION.cff").read_text()
