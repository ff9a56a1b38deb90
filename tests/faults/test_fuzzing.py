"""Garbled configs, files and command lines: an answer in words, and never a traceback."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from cli_files import write_map, write_networks
from fuzz_cases import ODD_NAMES, ODD_VALUES, changed_bytes, changed_config, fuzzing
from hypothesis import given
from hypothesis import strategies as st
from nano import write_nano
from reader_files import LABELS, chunks_of, options_of
from workplace import Workplace

from conftest import ROOT, make_jets
from truthtag.cli.main import main
from truthtag.data.jets import Jets, write_jets
from truthtag.data.readers.formula import parse_formula
from truthtag.data.readers.options import ReaderOptions
from truthtag.errors import TruthtagError

CONFIGS = {
    name: yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text())
    for name in ("config", "samples", "nanoaod", "studies/two_points", "studies/repeated")
}
FUZZING = fuzzing(60)


def answer(*arguments: object) -> tuple[int, str]:
    """Run the command line in this process; return its exit code and what it said."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = main([str(one) for one in arguments])
    return code, said.getvalue()


def require_polite(code: int, text: str) -> None:
    """Accept success, bad input and bad usage, the last two with a reason."""
    assert code in (0, 1, 2)
    assert "Traceback" not in text
    assert "fault of the program" not in text
    assert code == 0 or text.strip()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder of its own, with an estimator of each form and some events."""
    place = tmp_path_factory.mktemp("fuzzing")
    jets = make_jets([2, 3, 1, 2, 4, 2] * 5, seed=1)
    write_map(place / "map", jets)
    write_networks(place / "net")
    write_jets([jets], place / "jets.parquet", {"sample": "some"})
    before = Path.cwd()
    os.chdir(place)
    yield place
    os.chdir(before)


# ---- configs


@FUZZING
@given(st.sampled_from(sorted(CONFIGS)).flatmap(lambda name: changed_config(CONFIGS[name])))
def test_a_config_of_any_content_is_checked_or_refused(folder: Path, config: Any) -> None:
    path = folder / "any.yaml"
    path.write_text(yaml.safe_dump(config, allow_unicode=True))
    require_polite(*answer("check", path, "--workflow", ROOT))


@FUZZING
@given(changed_bytes((ROOT / "config/tiny.yaml").read_bytes()))
def test_the_text_of_a_config_is_checked_or_refused(folder: Path, content: bytes) -> None:
    path = folder / "text.yaml"
    path.write_bytes(content)
    require_polite(*answer("check", path, "--workflow", ROOT))


@FUZZING
@given(ODD_VALUES | st.binary(max_size=50))
def test_what_is_no_config_at_all_is_refused(folder: Path, content: Any) -> None:
    path = folder / "no.yaml"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(yaml.safe_dump(content, allow_unicode=True))
    require_polite(*answer("check", path, "--workflow", ROOT))


GARBLED = {
    "a name that leaves": ("estimators: {../x: {kind: binned}}\n", "estimators.'../x'"),
    "a wrong type": ("samples: [1, 2]\n", "samples: [1, 2] is not allowed"),
    "python": ("results: !!python/object/apply:os.getcwd []\n", "is not valid JSON or YAML"),
}


@pytest.mark.slow(seconds=15)
def test_snakemake_says_the_same_without_a_traceback(tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    for name, (text, message) in GARBLED.items():
        (tmp_path / "garbled.yaml").write_text(text)
        outcome = place.run("--dry-run", config="garbled.yaml")
        assert outcome.returncode == 1, name
        assert message in outcome.stdout
        assert "Traceback" not in outcome.stdout


# ---- events of others


@pytest.fixture(scope="module")
def given_files(folder: Path, few: Jets) -> dict[str, bytes]:
    """Files of events as an analysis may bring them, by suffix and form."""
    pytest.importorskip("uproot", reason="the extra 'readers' is not installed")
    jets = few.take(slice(0, 40))
    for ntuple in (False, True):
        write_nano(jets, folder / f"{ntuple}.root", np.random.default_rng(1), ntuple=ntuple)
    rows = pd.DataFrame({name: jets.per_jet(name) for name in ("event", "pt", "eta", "phi")})
    rows = rows.assign(mass=1.0, flavour=jets.flavour, score=0.7)
    rows.to_parquet(folder / "rows.parquet")
    names = {"TTree": "False.root", "RNTuple": "True.root", "Parquet": "rows.parquet"}
    return {form: (folder / name).read_bytes() for form, name in names.items()}


ROWS = {"format": "parquet", "discriminant": "score", "columns": {"weight": "1"}}


@pytest.mark.parametrize("form", ["TTree", "RNTuple", "Parquet"])
def test_files_of_events_that_are_damaged(
    form: str, folder: Path, given_files: dict[str, bytes]
) -> None:
    is_rows = form == "Parquet"
    path = folder / ("damaged.parquet" if is_rows else "damaged.root")
    options = ReaderOptions.model_validate(ROWS) if is_rows else options_of()
    path.write_bytes(given_files[form])
    assert chunks_of(path, options, LABELS)

    @fuzzing(40)
    @given(changed_bytes(given_files[form]))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        try:
            chunks_of(path, options, LABELS)
        except TruthtagError as error:
            assert str(path) in str(error)  # noqa: PT017 - not every change is an error

    check()


# ---- files that truthtag wrote, as the command line reads them


@pytest.fixture(scope="module")
def own_files(folder: Path) -> dict[str, bytes]:
    """Efficiencies in every form, by the name of the file."""
    pytest.importorskip("onnxruntime", reason="the extra 'export' is not installed")
    assert answer("export", "map", "--to", "correctionlib", "-o", "map.json")[0] == 0
    assert answer("export", "map", "--to", "correctionlib", "-o", "map.json.gz")[0] == 0
    assert answer("export", "net", "--to", "onnx", "-o", "net.onnx")[0] == 0
    # As another program copies it: without seal and checksums.
    table = pq.read_table(folder / "map/nominal.parquet")
    pq.write_table(table, folder / "copy.parquet")
    names = ("map.json", "map.json.gz", "net.onnx", "copy.parquet", "net/seed_0.pt")
    return {Path(name).name: (folder / name).read_bytes() for name in names}


FORMS = ("map.json", "map.json.gz", "net.onnx", "copy.parquet", "seed_0.pt")


@pytest.mark.parametrize("form", FORMS)
def test_own_files_that_are_damaged(form: str, folder: Path, own_files: dict[str, bytes]) -> None:
    path = folder / f"damaged_{form}"
    path.write_bytes(own_files[form])
    for command in (("inspect", path), ("weigh", path, "jets.parquet", "-o", "out.parquet")):
        code, text = answer(*command)
        assert code == 0 or "json" in form, text

    @fuzzing(20)
    @given(changed_bytes(own_files[form]))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        require_polite(*answer("inspect", path))
        require_polite(*answer("weigh", path, "jets.parquet", "-o", "out.parquet"))

    check()


def test_a_file_of_correctionlib_whose_edges_do_not_rise(
    folder: Path, own_files: dict[str, bytes]
) -> None:
    """Found by a campaign: correctionlib's error reached the user."""
    path = folder / "falling.json"
    path.write_bytes(own_files["map.json"].replace(b"111.578", b"11.578"))
    code, text = answer("inspect", path)
    assert code == 1
    assert f"{path}: correctionlib cannot read it (binning edges are not monotone" in text


@pytest.mark.parametrize("garbled", [b"{", b"\x80", b'{"index_columns": 7}', b'{"columns": [1]}'])
def test_a_table_whose_types_are_garbled(folder: Path, garbled: bytes) -> None:
    """Found by a campaign: errors of pandas reached the user."""
    path = folder / "types.parquet"
    table = pq.read_table(folder / "map/nominal.parquet")
    metadata = {**table.schema.metadata, b"pandas": garbled}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    for command in (("inspect", path), ("weigh", path, "jets.parquet", "-o", "out.parquet")):
        code, text = answer(*command)
        assert code == 1
        assert f"{path}: what it says of the types of its columns cannot be understood" in text


# ---- the command line

WORDS = st.sampled_from(
    [
        *("check", "inspect", "export", "weigh", "--help", "--version", "--to", "-o", "--output"),
        *("onnx", "athena", "correctionlib", "map", "net", "jets.parquet", "out.json", "out.onnx"),
        *("out", "out.parquet", "out.root", ".", "any.yaml", "nowhere", "--point", "--tags", "2"),
        *("--leading", "-1", "--keep-tags-of", "5", "--direct", "--held-out", "--parquet"),
        *("--format", "root", "parquet", "--tree", "Events", "--column", "pt=Jet_pt", "pt=os.x"),
        *("--input", "x=y", "--working-point", "L=0.5", "L=nan", "--discriminant", "score"),
        *("--pt-min", "nan", "1e400", "--abs-eta-max", "--config", "--reader", "--workflow"),
        *("--trust", "no.such:Thing", "os:system", "--domain", "--by-fold", "--names", "cms"),
        *ODD_NAMES,
    ]
) | st.text(st.characters(blacklist_categories=["Cs"]), max_size=6)
LINES = st.lists(WORDS, max_size=8) | st.tuples(
    st.sampled_from(
        [
            ["check", "any.yaml"],
            ["inspect", "map"],
            ["export", "map", "--to", "correctionlib", "-o", "out.json"],
            ["export", "net", "--to", "onnx", "-o", "out.onnx"],
            ["weigh", "map", "jets.parquet", "-o", "out"],
            ["weigh", "net", "jets.parquet", "-o", "out.parquet"],
        ]
    ),
    st.lists(WORDS, max_size=4),
).map(lambda parts: [*parts[0], *parts[1]])


@FUZZING
@given(LINES)
def test_command_lines_of_any_kind(folder: Path, words: list[str]) -> None:
    assert Path.cwd() == folder
    (folder / "jets.parquet").stat()
    require_polite(*answer(*words))


# ---- formulas


@fuzzing(150)
@given(
    st.lists(
        st.sampled_from(
            [
                *("pt", "Jet_pt", "1", "2.5", "1e400", "+", "-", "*", "/", "**", "%", "(", ")"),
                *("<", "==", "&", "|", "~", "abs", "sqrt", "[", "]", ".", ",", "'x'", "__class__"),
                *("lambda", ":", "=", "import", "os", "if", "else", "for", "in", "None", "{", "}"),
            ]
        )
        | st.text(max_size=3),
        max_size=9,
    ).map(" ".join)
)
def test_formulas_of_any_text(text: str) -> None:
    try:
        parse_formula(text)
    except TruthtagError:
        return
