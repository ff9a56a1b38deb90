"""The command line itself: help, exit codes, errors; and what it says of configs."""

from __future__ import annotations

import copy
import io
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli_files import run
from hypothesis import given
from hypothesis import strategies as st
from reader_files import NANO

import truthtag
from conftest import ROOT
from truthtag.cli import check, main
from truthtag.cli.arguments import make_parser
from truthtag.cli.output import Report, say, table
from truthtag.cli.sketch import BARS, Row, bars, sketch
from truthtag.registry import load_object

COMMANDS = ("check", "inspect", "export", "weigh")
HEAVY = (
    *("awkward", "correctionlib", "matplotlib", "numpy", "onnx", "onnxruntime", "pandas"),
    *("pyarrow", "pydantic", "scipy", "torch", "uproot", "yaml"),
)


# ---- help, usage


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, f"truthtag {truthtag.__version__}\n", "")


def test_help_names_every_command_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--help")
    assert (code, err) == (0, "")
    for word in (*COMMANDS, "Exit codes", "130"):
        assert word in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: truthtag {command}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "the following arguments are required: COMMAND"),
        (("fit",), "invalid choice: 'fit'"),
        (("check",), "the following arguments are required: CONFIG"),
        (("inspect",), "the following arguments are required: FILE"),
        (("weigh", "model"), "the following arguments are required: INPUT"),
        (("weigh", "model", "in.root"), "the following arguments are required: -o/--output"),
        (("export", "model", "--to", "pickle", "-o", "a"), "invalid choice: 'pickle'"),
        (
            ("weigh", "m", "in.root", "-o", "w", "--working-point", "medium"),
            "'medium' is no NAME=VALUE",
        ),
        (
            ("weigh", "m", "in.root", "-o", "w", "--working-point", "medium=hard"),
            "'hard' is no number; NAME=THRESHOLD is wanted",
        ),
    ],
)
def test_wrong_usage_is_code_2(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.parametrize("arguments", [["--version"], *([name, "--help"] for name in COMMANDS)])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import json, sys; from truthtag.cli.main import main; "
        f"main({arguments!r}); print(json.dumps(list(sys.modules)))"
    )
    loaded = json.loads(_python("-c", code).stdout.splitlines()[-1])
    assert not set(HEAVY) & set(loaded)


def _python(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, check=True, text=True, capture_output=True, cwd=ROOT / "src", **more
    )


def test_python_runs_the_package() -> None:
    assert _python("-m", "truthtag", "--version").stdout == f"truthtag {truthtag.__version__}\n"


def test_the_installed_command_is_the_same() -> None:
    """An installer makes a script that calls what pyproject.toml names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(project["scripts"]) == {"truthtag"}
    place = project["scripts"]["truthtag"]
    assert load_object(place, "scripts") is main.main
    module, _, name = place.partition(":")
    code = f"import sys; from {module} import {name}; sys.exit({name}())"
    assert _python("-c", code, "--version").stdout == f"truthtag {truthtag.__version__}\n"


# ---- errors


def _fails_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a command that ends with an error."""

    def fail(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(check, "check", fail)


def test_a_fault_of_the_program_keeps_its_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _fails_with(RuntimeError("our bug"), monkeypatch)
    with pytest.raises(RuntimeError, match="our bug"):
        run(capsys, "check", "a.yaml")
    assert "this is a fault of the program, not of its input" in capsys.readouterr().err


def test_ctrl_c_is_code_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _fails_with(KeyboardInterrupt(), monkeypatch)
    said = "truthtag: stopped. What was written is whole.\n"
    assert run(capsys, "check", "a.yaml") == (130, "", said)


def test_a_file_that_cannot_be_read_is_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _fails_with(PermissionError(13, "Permission denied", "secret.yaml"), monkeypatch)
    said = "truthtag: error: secret.yaml: Permission denied. Check the path.\n"
    assert run(capsys, "check", "a.yaml") == (1, "", said)


def test_an_error_of_the_system_without_a_file_is_a_fault(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _fails_with(OSError("who knows"), monkeypatch)
    with pytest.raises(OSError, match="who knows"):
        run(capsys, "check", "a.yaml")
    assert "a fault of the program" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error() -> None:
    """As of ``truthtag check ... | head -1``."""
    code = (
        "import sys; from truthtag.cli import main, check\n"
        "check.check = lambda *_: ('line' for _ in range(100_000))\n"
        "sys.exit(main.main(['check', 'a.yaml']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT / "src",
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "line\n"
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


# ---- what is written


def test_no_text_of_a_file_steers_the_terminal() -> None:
    stream = io.StringIO()
    say("pt\x1b[2J\x07\tname\nnext ä", stream)
    assert stream.getvalue() == "pt\\x1b[2J\\x07\\tname\nnext ä\n"


def test_streams_without_the_letters_get_others() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    say(f"{BARS} ± ä", stream)
    stream.flush()
    assert raw.getvalue() == b" .:-=+*#@ ~ \\xe4\n"


def test_reports_align_their_facts() -> None:
    report = Report("a map", {"kind": "binned", "no": "", "made by": "a\nb"}, [["x"], []])
    assert list(report.lines("m.parquet")) == [
        "m.parquet: a map",
        "  kind     binned",
        "  made by  a",
        "           b",
        "",
        "  x",
    ]


def test_tables_align_their_columns() -> None:
    assert table(["a", "b"], [["long", "1"], ["s", "100"]]) == [
        "a       b",
        "long    1",
        "s     100",
    ]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=30))
def test_bars_tell_nothing_from_something(values: list[float]) -> None:
    drawn = bars(values)
    assert len(drawn) == len(values)
    finite = [value for value in values if 0 < value < float("inf")]
    for letter, value in zip(drawn, values, strict=True):
        assert letter in BARS
        assert (letter != BARS[0]) == (value in finite)
        if finite and value == max(finite):
            assert letter == BARS[-1]


def test_a_sketch_has_the_ends_of_its_axis() -> None:
    assert sketch("x", 0, 1, []) == []
    first, second = sketch("pt [GeV]", 20, 600, [Row("b", range(24), "n")])
    assert first == f"pt [GeV]  20{' ' * 19}600"
    assert second == f"       b  {bars(range(24))}  n"


# ---- check


@pytest.mark.parametrize("name", ["config", "quick", "tiny", "paper"])
def test_a_config_of_the_toy_is_described(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "check", ROOT / f"config/{name}.yaml")
    assert (code, err) == (0, "")
    stated = yaml.safe_load((ROOT / f"config/{name}.yaml").read_text())
    assert out.startswith(f"{ROOT}/config/{name}.yaml: no faults; lies on the base paper\n")
    assert f"  results        {stated['results']}\n" in out
    events = stated.get("samples", {}).get("train", {}).get("events", 100_000)
    assert f"train       {events:,} events of the generator multijet" in out
    assert "judged      test, boson" in out
    assert "delta_r, m_jj, boson_delta_r, boson_m_jj" in out


def test_a_later_config_is_laid_on_an_earlier_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("results: results/mine\nestimators: {mlp: {seeds: 3}, map: {replicas: 7}}\n")
    code, out, _ = run(capsys, "check", ROOT / "config/tiny.yaml", mine, "--workflow", ROOT)
    assert code == 0
    assert "results/mine" in out
    assert "map             binned, 7 replicas" in out
    assert "mlp             network, 3 seeds" in out
    assert "gnn_geometric   network, 2 seeds" in out


OWN = """
base: samples
results: results/own
readers: {cms: {format: nanoaod, pt: [20.0, null]}}
working_points: {loose: 0.05, medium: 0.2}
inputs: {n_constituents: {branch: Jet_nConstituents}}
samples:
  some: {reader: cms, files: [SOME], take: {of: 5, remainders: [0, 2], by: hash}}
  rest: {reader: cms, files: [SOME], take: {of: 5, remainders: [1, 3, 4], by: hash}}
roles: {train: some, validation: some, judged: [some, rest], folds: 5, fold_by: hash}
weights: {tags: 2}
figures: {only: [closure_m_jj]}
"""


def test_a_config_of_own_samples_is_described(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.root").write_bytes(b"root")
    config = tmp_path / "own.yaml"
    config.write_text(OWN.replace("SOME", f"{tmp_path}/*.root"))
    code, out, err = run(capsys, "check", config)
    assert (code, err) == (0, "")
    for line in (
        "points         loose above 0.05, medium above 0.2",
        "inputs         n_constituents",
        "some  1 file (nanoaod) of the reader cms, shares 0, 2 of 5 by hash",
        "folds       5, by hash",
        "map             binned, 20 replicas without each of 5 folds",
        "weights        up to 2 tags",
        "figures        closure_m_jj",
    ):
        assert line in out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1", "is no YAML (while parsing a flow sequence"),
        ("[" * 5000, "is no YAML"),
        ("- a", "holds no keys; a config is `key: value` in each line"),
        ("", "holds no keys"),
        (
            "wieghts: {}",
            "the config has 1 fault(s); nothing was started:\n  the config: unknown key 'wieghts'",
        ),
        ("samples: {x: {reader: a, files: b.root}}", "samples.x.reader: 'a' is not"),
        ("base: mine", "base"),
        ("device: !!python/object/apply:os.system [touch executed]", "is no YAML"),
    ],
)
def test_a_fault_of_a_config_is_named(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text(text)
    code, out, err = run(capsys, "check", config)
    assert (code, out) == (1, "")
    assert err.startswith(f"truthtag: error: {config}: ")
    assert said in err
    assert not Path("executed").exists()


def test_a_file_of_a_sample_that_is_missing_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "own.yaml"
    config.write_text(OWN.replace("SOME", f"{tmp_path}/none.root"))
    code, _, err = run(capsys, "check", config)
    assert code == 1
    assert (
        f"truthtag: error: {config}: samples.some.files: '{tmp_path}/none.root' is no file" in err
    )


def test_configs_that_are_not_there_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = f"truthtag: error: {tmp_path}/no.yaml: no such file. Check the path.\n"
    assert run(capsys, "check", tmp_path / "no.yaml") == (1, "", said)
    said = f"truthtag: error: {tmp_path}: is a folder, a config is a file. Check the path.\n"
    assert run(capsys, "check", tmp_path) == (1, "", said)


def test_a_folder_without_the_workflow_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.yaml").write_text("seed: 2")
    code, _, err = run(capsys, "check", tmp_path / "a.yaml", "--workflow", tmp_path)
    assert code == 1
    assert f"{tmp_path}: has no config/config.yaml, which configs lie on" in err
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(check, "__file__", str(tmp_path / "lib/truthtag/cli/check.py"))
    code, _, err = run(capsys, "check", "a.yaml")
    assert code == 1
    assert "no folder here, or above a config, has config/config.yaml, which" in err
    assert "--workflow FOLDER" in err


def test_a_package_that_is_missing_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    code, _, err = run(capsys, "check", ROOT / "config/tiny.yaml")
    assert code == 1
    assert "pip install truthtag[workflow]" in err


NESTED = st.recursive(
    st.none() | st.integers(0, 3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
CONFIGS = st.dictionaries(st.sampled_from("abc"), NESTED, max_size=3)


@given(CONFIGS, CONFIGS)
def test_configs_are_laid_as_snakemake_lays_them(below: Any, above: Any) -> None:
    utils = pytest.importorskip("snakemake.utils", reason="the extra 'workflow' is not installed")
    expected = copy.deepcopy(below)
    utils.update_config(expected, copy.deepcopy(above))
    assert check.laid(below, above) == expected


# ---- the page of the documentation

PAGE = ROOT / "docs/command-line.md"
BLOCKS = re.findall(r"```console\n\$ truthtag (.*)\n((?:.*\n)*?)```", PAGE.read_text())


@pytest.mark.parametrize("command", [command for command, _ in BLOCKS])
def test_commands_of_the_page_are_understood(command: str) -> None:
    given = make_parser().parse_args(shlex.split(command))
    assert given.command in COMMANDS


def test_options_of_the_page_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    known = "".join(run(capsys, command, "--help")[1] for command in COMMANDS)
    named = set(re.findall(r"--[a-z][a-z-]+", PAGE.read_text())) - {"--help", "--configfile"}
    assert len(named) > 15
    for option in named:
        assert option in known, option


def test_the_page_has_every_exit_code() -> None:
    codes = set(re.findall(r"^\| (\d+) \|", PAGE.read_text(), re.MULTILINE))
    ours = {main.GOOD, main.BAD_INPUT, main.STOPPED, main.NO_READER}
    assert codes == {"2", *map(str, ours)}


@pytest.mark.skipif(not NANO.is_file(), reason="the file of the example is not there")
def test_the_page_shows_what_check_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    shown = dict(BLOCKS)["check config/nanoaod.yaml"]
    assert run(capsys, "check", "config/nanoaod.yaml") == (0, shown, "")
