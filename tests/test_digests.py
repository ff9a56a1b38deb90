"""Digests of code and settings, logs, and the environment."""

from __future__ import annotations

import logging
import os
import shutil
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from conftest import ROOT
from truthtag import __version__
from truthtag.errors import ConfigError, DataError
from truthtag.progress import Progress, clock
from truthtag.workflow import digests
from truthtag.workflow.digests import code_digest, digest, modules_used, versions
from truthtag.workflow.logs import job_log

PINS = [
    line
    for line in (ROOT / "envs/requirements.txt").read_text().splitlines()
    if not line.startswith("#")
]


LIBRARY = ROOT / "src/truthtag"
SCRIPTS = ROOT / "workflow/scripts"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A package of three modules, a uses b, c stands alone; the script uses a."""
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
    assert [path.name for path in used] == ["a.py", "b.py"]
    used = modules_used(library.parent / "script.py", library, "truthtag.c")
    assert [path.name for path in used] == ["a.py", "b.py", "c.py"]


@pytest.mark.parametrize(
    ("file", "text", "changes"),
    [
        ("b.py", "x = 2\n", True),
        ("b.py", "# why\nx  =  1\n", False),
        ("a.py", '"""Other doc."""\nfrom truthtag.b import x\n', False),
        ("a.py", 'from truthtag.b import x\n__all__ = ["x"]\n', False),
        ("c.py", "y = 2\n", False),
        ("__init__.py", '__version__ = "9.9.9"\n', False),
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


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("if x > 1:\n    pass\n", "if x > 2:\n    pass\n", True),
        ('"""Doc."""\nx: int = 1\n"""About x."""\n', '"""Doc!"""\nx: int = 1\n', False),
        ("log.info('%d jets', n)\nx = 1\n", "x = 1\n", False),
        ("self.logger.warning(f'{n} jets')\n", "self.logger.warning('jets')\n", False),
        ("math.log(2)\n", "math.log(3)\n", True),
        ("np.log(x).info(1)\n", "np.log(x).info(2)\n", True),
        ("msg = f'{n} jets'\nraise E(msg)\n", "msg = 'jets ' f'{n}'\nraise E(msg)\n", False),
        ("msg = 'a' + f'{b}'\nraise E(msg)\n", "raise E('b', c) from d\n", False),
        ("raise E(1)\n", "raise F(1)\n", True),
        ("msg = 'a'\nwrite(msg)\n", "msg = 'b'\nwrite(msg)\n", True),
        ("msg = f(1)\nraise E(msg)\n", "msg = f(2)\nraise E(msg)\n", True),
        (
            "R = Registry('a', {'b': 'c:d'})\n",
            "R = Registry('a', {'b': 'c:e', 'f': 'g:h'})\n",
            False,
        ),
        ("R = dict({'b': 'c:d'})\n", "R = dict({'b': 'c:e'})\n", True),
        ("if TYPE_CHECKING:\n    import a\n", "if TYPE_CHECKING:\n    import b\n", False),
        ("f(a, b)\n", "f(b, a)\n", True),
        ("x = [1, [2], 3]\n", "x = [1, [2, 3]]\n", True),
        ("x = 1\n", "x = True\n", True),
        ("def f():\n    return 1\n", "def f():\n    'Doc.'\n    return 1\n", False),
        ("def f(a, *, b=1): ...\n", "def f(a, b=1): ...\n", True),
        ("x = f'{a:.3f}'\n", "x = f'{a:.4f}'\n", True),
    ],
)
def test_only_what_can_change_a_result_counts(
    library: Path, old: str, new: str, changes: bool
) -> None:
    script = library.parent / "script.py"
    script.write_text(old)
    before = code_digest(script, library)
    script.write_text(new)
    assert (code_digest(script, library) != before) == changes


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("def f():\n    from truthtag import c\n", True),
        ("def f():\n    import truthtag.c\n", True),
        ("if TYPE_CHECKING:\n    from truthtag.c import y\n", False),
        ("if typing.TYPE_CHECKING:\n    pass\nelse:\n    from truthtag.c import y\n", True),
        ("R = Registry('a', {'y': 'truthtag.c:y'})\n", False),
    ],
)
def test_imports_that_count(library: Path, text: str, counts: bool) -> None:
    script = library.parent / "script.py"
    script.write_text(text)
    assert (library / "c.py" in modules_used(script, library)) == counts


def test_a_module_of_another_package_can_be_named(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = library.parent / "script.py"
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    mine = folder / "my_estimator_of_the_digest_test.py"
    mine.write_text("from truthtag.c import y\nk = 1\n")
    monkeypatch.syspath_prepend(folder)
    assert modules_used(script, library, mine.stem)[-1].name == "c.py"
    before = code_digest(script, library, mine.stem)
    assert before != code_digest(script, library)
    mine.write_text("from truthtag.c import y\nk = 2\n")
    assert before != code_digest(script, library, mine.stem)
    (library / "c.py").write_text("y = 2\n")
    mine.write_text("from truthtag.c import y\nk = 1\n")
    assert before != code_digest(script, library, mine.stem)
    for missing in ("truthtag.nothing", "no_such_package", "no_such_package.module"):
        with pytest.raises(ConfigError, match=f"module '{missing}' is not found; correct the name"):
            code_digest(script, library, missing)


def test_a_digest_does_not_depend_on_where_the_library_is(library: Path, tmp_path: Path) -> None:
    before = code_digest(library.parent / "script.py", library)
    moved = tmp_path / "clone"
    shutil.copytree(library, moved / "truthtag")
    shutil.copy(library.parent / "script.py", moved)
    assert code_digest(moved / "script.py", moved / "truthtag") == before


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the library, to be edited."""
    return shutil.copytree(LIBRARY, tmp_path / "truthtag", ignore=shutil.ignore_patterns("*.pyc"))


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text, f"{file} does not hold {old!r}"
    file.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("__init__.py", '__version__ = "', '__version__ = "9.'),
        ("workflow/logs.py", "%H:%M:%S", "%H:%M"),
        ("errors.py", "class DataError", "class OtherError(Exception): ...\n\n\nclass DataError"),
        ("registry.py", "n=1", "n=2"),
        (
            "estimators/protocol.py",
            '"binned":',
            '"newest": "truthtag.estimators.new:New",\n        "binned":',
        ),
        ("toy/multijet.py", "Raise eta_max, or", "Raise eta_max or"),
        ("toy/multijet.py", "or leading jets lie outside", "since leading jets lie outside"),
        ("workflow/digests.py", "16]", "12]"),
    ],
)
def test_edits_that_cannot_change_a_network_do_not_train_it_again(
    copied: Path, file: str, old: str, new: str
) -> None:
    script = SCRIPTS / "train_network.py"
    before = code_digest(script, copied, "truthtag.toy.multijet")
    edit(copied / file, old, new)
    assert code_digest(script, copied, "truthtag.toy.multijet") == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("seeds.py", "zlib.crc32", "zlib.adler32"),
        ("toy/multijet.py", "** 1.5", "** 1.6"),
        ("toy/distributions.py", "np.expm1(-self.range", "np.expm1(-2 * self.range"),
        ("arrays.py", "np.where(below != 0", "np.where(below > 0"),
    ],
)
def test_edits_that_can_change_a_sample_make_it_again(
    copied: Path, file: str, old: str, new: str
) -> None:
    script = SCRIPTS / "generate_sample.py"
    modules = ["truthtag.toy.multijet", "truthtag.arrays"]
    before = code_digest(script, copied, *modules)
    edit(copied / file, old, new)
    assert code_digest(script, copied, *modules) != before


def test_every_script_of_the_workflow_logs() -> None:
    for script in SCRIPTS.glob("*.py"):
        assert "from truthtag.workflow.logs import" in script.read_text(), script


def test_support_modules_and_packages_do_not_count() -> None:
    for script in SCRIPTS.glob("*.py"):
        names = {path.name for path in modules_used(script, LIBRARY)}
        assert not names & {"__init__.py", "logs.py", "errors.py", "registry.py", "digests.py"}


def test_drawing_code_does_not_concern_training() -> None:
    kind = "truthtag.estimators.network.estimator"
    used = modules_used(SCRIPTS / "train_network.py", LIBRARY, kind)
    rooms = {path.relative_to(LIBRARY).parts[:-1] for path in used}
    assert ("estimators", "network") in rooms
    assert not any("figures" in room for room in rooms)


def test_a_file_is_read_once_as_long_as_it_does_not_change(library: Path) -> None:
    script = library.parent / "script.py"
    for file in (script, *library.glob("*.py")):
        os.utime(file, (1, 1))
    code_digest(script, library)
    before = digests._read_once.cache_info()
    code_digest(script, library)
    after = digests._read_once.cache_info()
    assert after.misses == before.misses
    assert after.hits > before.hits


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
    pins = [Requirement(line) for line in PINS]
    locked = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    # HTCondor's plugin is installed by those who have a pool.
    extras = {**project["optional-dependencies"], "htcondor": []}
    wanted = [*project["dependencies"], *(line for extra in extras.values() for line in extra)]
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
