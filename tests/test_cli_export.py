"""``truthtag export``: files of ONNX and correctionlib, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cli_files import network, run, write_map, write_networks, write_results

from truthtag.cli.ranges import ranges_of, ranges_of_domain
from truthtag.data.jets import Jets
from truthtag.estimators.cross_fitting import Folds
from truthtag.estimators.ensemble import load
from truthtag.exports.correction_json import read_corrections
from truthtag.statistics.domain import Domain


@pytest.fixture(scope="module")
def results(few: Jets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_results(tmp_path_factory.mktemp("export"), few)


# ---- correctionlib


def test_a_map_becomes_a_file_of_correctionlib(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "map.json"
    arguments = ("export", results / "estimators/binned", "--to", "correctionlib", "-o", target)
    code, out, err = run(capsys, *arguments, "--working-point", "L")
    assert (code, err) == (0, "")
    size = f"{target.stat().st_size:,} bytes"
    assert out == f"{target}: {size}; truthtag inspect says what it holds\n"
    stored = read_corrections(target)
    assert stored.corrections[0].inputs == ("systematic", "working_point", "flavor", "eta", "pt")
    assert stored.record["provenance"]["estimator"] == str(results / "estimators/binned")
    once = target.read_bytes()
    run(capsys, *arguments, "--working-point", "L")
    assert target.read_bytes() == once
    run(capsys, *arguments, "--names", "truthtag")
    assert read_corrections(target).corrections[0].inputs == ("systematic", "flavour", "eta", "pt")


def test_a_file_of_correctionlib_is_described(
    results: Path, few: Jets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "map.json.gz"
    model = results / "estimators/binned"
    run(capsys, "export", model, "--to", "correctionlib", "-o", target, "--working-point", "L")
    code, out, err = run(capsys, "inspect", target)
    assert (code, err) == (0, "")
    for line in (
        "a file of correctionlib\n",
        "kind       binned\n",
        "efficiency  systematic     string  central, up, down\n",
        "            flavor         int     0, 4, 5\n",
        "            pt             real    20 to 600\n",
        f"estimator  {model}\n",
    ):
        assert line in out


def test_a_file_of_correctionlib_is_sketched(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("correctionlib", reason="the extra 'scale-factors' is not installed")
    target = tmp_path / "map.json"
    model = results / "estimators/binned"
    run(capsys, "export", model, "--to", "correctionlib", "-o", target)
    _, out, _ = run(capsys, "inspect", target)
    assert "at systematic central, eta 0" in out
    _, of_map, _ = run(capsys, "inspect", model / "nominal.parquet")
    # The same efficiencies, so the same bars.
    bars = [line.split("  ")[2:] for line in out.splitlines() if " b (5)" in line]
    assert bars
    sketched = next(line for line in of_map.splitlines() if " b (5)" in line)
    assert all(part in sketched for part in bars[0])


def test_corrections_of_others_are_described_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file of scale factors: its systematic names are what a config needs."""
    content = {
        "nodetype": "category",
        "input": "systematic",
        "content": [{"key": name, "value": 1.0} for name in ("central", "up_jes", "down_jes")],
    }
    correction = {
        "name": "particleNet_comb",
        "version": 1,
        "inputs": [{"name": "systematic", "type": "string"}],
        "output": {"name": "weight", "type": "real"},
        "data": content,
    }
    stored = {"schema_version": 2, "corrections": [correction]}
    (tmp_path / "sf.json").write_text(json.dumps(stored))
    code, out, _ = run(capsys, "inspect", tmp_path / "sf.json")
    assert code == 0
    assert "made by  others: truthtag did not write it" in out
    assert "particleNet_comb  systematic  string  central, up_jes, down_jes" in out


def test_other_json_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_text('{"a": 1}')
    code, _, err = run(capsys, "inspect", tmp_path / "a.json")
    assert code == 1
    assert f"{tmp_path}/a.json: its schema_version is None, not 2" in err


def test_a_map_has_a_file_for_each_fold(
    few: Jets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "net.json"
    code, _, err = run(
        capsys,
        *("export", write_map(tmp_path / "map", few), "--to", "correctionlib", "-o", target),
        "--by-fold",
    )
    assert code == 1
    assert "there are no folds" in err


# ---- ONNX


@pytest.fixture
def onnx() -> None:
    pytest.importorskip("onnx", reason="the extra 'export' is not installed")
    pytest.importorskip("onnxruntime", reason="the extra 'export' is not installed")


@pytest.mark.usefixtures("onnx")
@pytest.mark.parametrize("target", ["onnx", "athena"])
def test_networks_become_an_onnx_file(
    target: str, results: Path, few: Jets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.onnx"
    code, out, err = run(capsys, "export", results / "estimators/net", "--to", target, "-o", path)
    assert (code, err) == (0, "")
    assert out.startswith(f"{path}: ")
    exported = load(path)
    expected = load(results / "estimators/net").efficiency(few)
    assert np.allclose(exported.efficiency(few), expected, rtol=1e-5)
    assert exported.content.layout == {"onnx": "truthtag"}.get(target, target)
    known = ranges_of_domain(Domain.read(results / "domain.parquet"))
    assert set(ranges_of(exported)) == {"pt", "eta", "n_jets"}
    for name, ends in ranges_of(exported).items():
        assert ends == pytest.approx(known[name])
    code, text, _ = run(capsys, "inspect", path)
    assert code == 0
    unit = "MeV" if target == "athena" else "GeV"
    factor = 1000 if target == "athena" else 1
    low, high = known["pt"]
    assert f"pt [{unit}], trained on {factor * low:.6g} to {factor * high:.6g}\n" in text
    assert f"layout     {exported.content.layout}\n" in text
    assert "networks   2\n" in text
    assert "jets alone, pt [GeV]" in text
    assert ("±" in text) == (target == "onnx")


@pytest.mark.usefixtures("onnx")
def test_an_exported_efficiency_weighs_like_its_networks(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.onnx"
    networks = results / "estimators/net"
    sample = results / "samples/train"
    run(capsys, "export", networks, "--to", "onnx", "-o", path)
    said = []
    for model in (networks, path):
        code, out, err = run(capsys, "weigh", model, sample, "-o", tmp_path / "w")
        assert (code, err) == (0, "")
        said.append(out.splitlines()[1:-2])
    assert said[0] == said[1]


@pytest.mark.usefixtures("onnx")
def test_a_point_of_several_is_exported(
    few: Jets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network(points=("loose", "tight")).save(tmp_path / "net.pt", {})
    arguments = ("export", tmp_path / "net.pt", "--to", "athena", "-o", tmp_path / "net.onnx")
    code, _, err = run(capsys, *arguments)
    assert code == 1
    assert "layout 'athena' with the working points loose, tight" in err
    code, _, err = run(capsys, *arguments, "--point", "tight")
    assert (code, err) == (0, "")
    expected = load(tmp_path / "net.pt").efficiency(few)[:, 1]
    exported = load(tmp_path / "net.onnx")
    assert exported.points == ("tight",)
    assert np.allclose(exported.efficiency(few), expected, rtol=1e-5)
    assert exported.ranges == {}
    code, out, _ = run(capsys, "inspect", tmp_path / "net.onnx")
    assert code == 0
    assert "points     tight" in out
    assert "jets alone" not in out


@pytest.mark.usefixtures("onnx")
def test_networks_have_a_file_for_each_fold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_networks(tmp_path / "net", 2, Folds(2, "event"))
    target = tmp_path / "net.onnx"
    arguments = ("export", tmp_path / "net", "--to", "onnx", "-o", target)
    code, out, err = run(capsys, *arguments, "--by-fold")
    assert (code, err) == (0, "")
    files = [tmp_path / f"net.fold_{fold}.onnx" for fold in (0, 1)]
    assert [line.partition(": ")[0] for line in out.splitlines()] == list(map(str, files))
    code, out, _ = run(capsys, "inspect", files[1])
    assert code == 0
    assert "folds      fold 1 of 2 by event, for the events of which it is\n" in out
    run(capsys, *arguments)
    _, out, _ = run(capsys, "inspect", target)
    assert "folds      2 by event; this file is for samples that nothing was trained on\n" in out


@pytest.mark.usefixtures("onnx")
def test_onnx_files_of_others_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([], "foreign", [value], [value])
    path = tmp_path / "other.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    for command in (("inspect", path), ("weigh", path, "a.root", "-o", tmp_path / "w")):
        code, out, err = run(capsys, *command)
        assert (code, out) == (1, "")
        assert f"{path}: is not an ONNX file that truthtag wrote" in err


# ---- what is refused


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("estimators/net", "--to", "correctionlib", "-o", "a.json"),
            "a network sees all jets of an event, a correction one jet. Export it as ONNX",
        ),
        (
            ("estimators/binned", "--to", "onnx", "-o", "a.onnx"),
            "BinnedMap cannot be written as ONNX, only networks can",
        ),
        (
            ("estimators/binned", "--to", "correctionlib", "-o", "a.json", "--point", "tight"),
            "--point does nothing with --to correctionlib; leave it out",
        ),
        (
            ("estimators/net", "--to", "onnx", "-o", "a.onnx", "--names", "cms"),
            "--names does nothing with --to onnx",
        ),
        (
            ("estimators/net", "--to", "athena", "-o", "a.onnx", "--working-point", "L"),
            "--working-point does nothing with --to athena",
        ),
        (
            ("estimators/binned", "--to", "correctionlib", "-o", "a.txt"),
            "a.txt: a file of corrections ends in .json or .json.gz",
        ),
        (
            ("estimators/net", "--to", "onnx", "-o", "samples"),
            "samples: is a folder; name the file",
        ),
        (
            ("estimators/net", "--to", "onnx", "-o", "estimators/net/seed_0.pt"),
            "estimators/net/seed_0.pt: belongs to the efficiency that is exported",
        ),
        (
            ("estimators/net/seed_0.pt", "--to", "onnx", "-o", "estimators/net/seed_0.pt"),
            "estimators/net/seed_0.pt: belongs to the efficiency that is exported",
        ),
        (("estimators/none", "--to", "onnx", "-o", "a.onnx"), "estimators/none: no such file"),
        (
            ("estimators/net", "--to", "onnx", "-o", "a.onnx", "--domain", "none.parquet"),
            "none.parquet: no such file",
        ),
        (
            ("estimators/net", "--to", "onnx", "-o", "a.onnx", "--point", "tight"),
            "the networks have no working point 'tight'",
        ),
    ],
)
def test_what_cannot_be_exported_is_refused(
    arguments: tuple[str, ...],
    said: str,
    results: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(results)
    code, out, err = run(capsys, "export", *arguments)
    assert (code, out) == (1, "")
    assert err.startswith("truthtag: error: ")
    assert said in err
    assert not list(results.glob("a.*"))
