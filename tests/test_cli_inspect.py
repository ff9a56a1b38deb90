"""``truthtag inspect`` on every kind of file, on those of others, and on bytes of any kind."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from cli_files import network, run, write_map, write_networks, write_results
from hypothesis import given, settings
from hypothesis import strategies as st

import truthtag
from conftest import make_jets
from truthtag.cli.corrections import choices_of
from truthtag.cli.inspect import inspect
from truthtag.cli.models import grid_of
from truthtag.cli.provenance import origin
from truthtag.cli.sketch import BINS
from truthtag.cli.tables import kind_of_table
from truthtag.data.files import write_frame
from truthtag.data.jets import Jets, write_jets
from truthtag.data.labels import Labels
from truthtag.data.readers.convert import convert
from truthtag.errors import DataError, TruthtagError
from truthtag.estimators.cross_fitting import Folds
from truthtag.estimators.network.checkpoint import write_checkpoint
from truthtag.estimators.network.estimator import NetworkEstimator
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.network.options import Architecture


@pytest.fixture(scope="module")
def results(few: Jets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_results(tmp_path_factory.mktemp("results"), few)


def said(path: Path) -> str:
    """Return what is said of a file, without the name in front."""
    first, *rest = inspect(path)
    assert first.startswith(f"{path}: ")
    return "\n".join([first.removeprefix(f"{path}: "), *rest])


# ---- tables


def test_a_sample_is_described(results: Path, few: Jets) -> None:
    text = said(results / "samples/train")
    assert text.startswith("the jets of a sample\n")
    weight = few.weight
    effective = weight.sum() ** 2 / (weight**2).sum()
    for line in (
        "files     2",
        f"rows      {few.n_jets:,}",
        f"events    {few.n_events} with jets, sum of weights {weight.sum():.6g}",
        f"effective {effective:.6g}",
        "flavours  light (0), c (4), b (5)",
        "sample    train",
        "seed      1",
        f"made by   truthtag {truthtag.__version__}, ",
    ):
        assert f" {line}" in text
    row = next(line for line in text.splitlines() if line.startswith("  pt  "))
    assert row.split() == ["pt", "GeV", "float", f"{few.pt.min():.6g}", f"{few.pt.max():.6g}"]
    for flavour, name in ((5, "b (5)"), (4, "c (4)"), (0, "light (0)")):
        inside = few.flavour == flavour
        assert few.is_tagged is not None
        share = few.is_tagged[inside].mean()
        lines = [line for line in text.splitlines() if line.strip().startswith(name)]
        assert lines[0].endswith(f"{inside.sum()} jets")
        assert lines[1].endswith(f"{share:.4f}")


def test_a_shard_counts_its_own_rows(results: Path, few: Jets) -> None:
    half = few.take(slice(None, few.n_events // 2))
    text = said(results / "samples/train/0000.parquet")
    assert f"rows      {half.n_jets}\n" in text
    assert f"{half.n_events} with jets" in text


def test_several_working_points_and_inputs_are_named(few: Jets, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = Labels(flavours=(0, 4, 5), points=("loose", "tight"), categories={"origin": (0, 1)})
    jets = few.with_columns(
        is_tagged=None,
        efficiency_true=None,
        tag_bin=rng.integers(0, 3, few.n_jets),
        further={"origin": rng.integers(0, 2, few.n_jets), "width": rng.random(few.n_jets)},
        labels=labels,
        weight=np.where(np.arange(few.n_events) % 4 == 0, -1.0, 1.0),
    )
    write_jets([jets], tmp_path / "a.parquet")
    text = said(tmp_path / "a.parquet")
    assert "points      loose, tight\n" in text
    assert "inputs      origin, width\n" in text
    assert 'categories  {"origin": [0, 1]}\n' in text
    assert "25.0% negative" in text
    inside = jets.flavour == 5
    assert jets.tag_bin is not None
    share = (jets.tag_bin[inside] == 2).mean()
    assert any(line.endswith(f"{share:.4f}") for line in text.splitlines() if "b (5) tight" in line)


KINDS = {
    "samples/train": "the jets of a sample",
    "predictions/train/binned.parquet": "the efficiencies of the jets of a sample",
    "predictions/train/binned.replicas.parquet": "what the replicas of an estimator say of the "
    "jets of a sample",
    "weights/train/binned.parquet": "the weights of the events of a sample",
    "histograms/leading_pt.parquet": "histograms of a distribution",
    "domain.parquet": "the domain of the training jets",
    "domain/train.parquet": "which jets of a sample are in the domain",
    "estimators/binned/nominal.parquet": "an estimator",
    "estimators/binned/replicas.parquet": "the replicas of an estimator",
    "estimators/parametric/nominal.parquet": "an estimator",
    "estimators/nearest_jet": "an estimator",
    "estimators/parametric": "an estimator",
    "estimators/net": "an estimator",
    "estimators/net/seed_0.pt": "a network",
    "estimators/net/seed_0.history.parquet": "the history of a training",
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_named_with_what_made_it(
    name: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "inspect", results / name)
    assert (code, err) == (0, "")
    assert out.startswith(f"{results / name}: {KINDS[name]}\n")
    if name != "histograms/leading_pt.parquet":
        assert f"truthtag {truthtag.__version__}" in out


def test_several_files_are_described_whatever_one_of_them_is(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(
        capsys, "inspect", results / "domain.parquet", tmp_path / "no", results / "estimators/net"
    )
    assert code == 1
    assert err == f"truthtag: error: {tmp_path}/no: no such file or folder. Check the path.\n"
    assert "the domain of the training jets" in out
    assert "an estimator" in out


def test_weights_are_summed(results: Path) -> None:
    frame = pd.read_parquet(results / "weights/train/binned.parquet")
    text = said(results / "weights/train/binned.parquet")
    for name in ("p_tag_0", "p_tag_ge_2"):
        weighted = frame["weight"] * frame[name]
        effective = weighted.sum() ** 2 / (weighted**2).sum()
        line = f"{name}: {weighted.sum():.6g}, effective events {effective:.6g}"
        assert line in text


def test_a_prediction_has_its_range(results: Path) -> None:
    values = pd.read_parquet(results / "predictions/train/binned.parquet")["efficiency"]
    text = said(results / "predictions/train/binned.parquet")
    row = next(line for line in text.splitlines() if line.startswith("  efficiency  "))
    assert row.split()[-2:] == [f"{values.min():.6g}", f"{values.max():.6g}"]
    assert text.endswith(f"{len(values):,} rows")
    replicas = said(results / "predictions/train/binned.replicas.parquet")
    assert "replicas    2" in replicas


def test_flags_are_counted(results: Path) -> None:
    inside = pd.read_parquet(results / "domain/train.parquet")["in_domain"]
    assert f"in domain  {inside.mean():.2%} of the jets" in said(results / "domain/train.parquet")


def test_a_domain_has_its_ranges(results: Path, few: Jets) -> None:
    text = said(results / "domain.parquet")
    pt = few.pt[few.flavour == 5]
    row = next(line for line in text.splitlines() if line.startswith("  b (5)"))
    assert f"{pt.min():.6g} to {pt.max():.6g}" in row
    assert "neighbours  2" in text


def test_histograms_name_what_fills_them(results: Path) -> None:
    text = said(results / "histograms/leading_pt.parquet")
    assert "filled by     direct, " in text
    assert "panels        all" in text
    assert "yield, all" in text


def test_the_best_epoch_is_named(results: Path) -> None:
    assert "lowest 0.5 in epoch 2" in said(results / "estimators/net/seed_0.history.parquet")


def test_the_table_of_events_says_what_happened(few: Jets, tmp_path: Path) -> None:
    pytest.importorskip("uproot", reason="the extra 'readers' is not installed")
    from nano import write_nano
    from reader_files import LABELS, POINT, options_of

    write_nano(few, tmp_path / "a.root", np.random.default_rng(1))
    targets = (tmp_path / "jets.parquet", tmp_path / "events.parquet")
    metadata = {"sample": "some", "file": "a.root"}
    convert(tmp_path / "a.root", options_of(), LABELS, POINT, {}, 1.0, None, *targets, metadata)
    text = said(targets[1])
    assert text.startswith("the events of a sample that was read\n")
    assert f"{few.n_jets} jets" in text
    assert "file      a.root" in text
    assert few.is_tagged is not None
    tagged = few.is_tagged[few.flavour == 5].sum()
    assert f"b (5): {(few.flavour == 5).sum()} jets, tagged {tagged} medium" in text
    assert "events in n_jets" in text


def test_many_columns_of_one_kind_are_one_line(tmp_path: Path) -> None:
    columns = {f"x_{number}": [float(number)] for number in range(9)} | {"y": [1.5]}
    write_frame(pd.DataFrame(columns), tmp_path / "a.parquet", {"note": 1})
    text = said(tmp_path / "a.parquet")
    assert "x_0 to x_8  double      0        8" in text
    assert "y           double    1.5      1.5" in text


def test_missing_numbers_are_counted(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1.0, np.nan, np.inf], "word": ["b", "a", "b"]})
    write_frame(frame, tmp_path / "a.parquet", {"note": 1})
    text = said(tmp_path / "a.parquet")
    assert text.splitlines()[-2].split() == ["x", "double", "1", "inf", "1"]
    assert text.splitlines()[-1].split() == ["word", "string", "b,", "a"]


def test_a_copy_by_another_program_is_called_one(results: Path, tmp_path: Path) -> None:
    table = pq.read_table(results / "samples/train/0000.parquet")
    pq.write_table(table, tmp_path / "copy.parquet")
    assert "seal      none: another program wrote this copy" in said(tmp_path / "copy.parquet")


# ---- estimators


def test_an_efficiency_is_sketched_with_its_spread(results: Path) -> None:
    model = truthtag.load(results / "estimators/binned")
    text = said(results / "estimators/binned")
    grid = grid_of(model.nominal)
    assert grid is not None
    assert (grid.low, grid.high, list(grid.flavours)) == (20.0, 600.0, [5, 4, 0])
    values, replicas = model.with_replicas(grid.jets())
    of_b = slice(0, BINS)
    spread = replicas.std(axis=0, ddof=1)[of_b].mean()
    remark = f"{values[of_b].min():.3g} to {values[of_b].max():.3g}, ± {spread:.2g}"
    assert any(line.endswith(remark) for line in text.splitlines() if " b (5) " in line)


def test_a_network_is_described(results: Path) -> None:
    text = said(results / "estimators/net/seed_0.pt")
    for line in (
        "flavours  light (0), c (4), b (5)",
        "inputs    pt 100 ± 50",
        "pairs     delta_r",
        "events    300 training events",
        "seed      1, net, 0",
    ):
        assert f"  {line}\n" in text
    assert "validation loss 0.400000 nats/event" in text
    assert "jets alone, pt [GeV]" in text


def test_networks_of_several_points_and_categories_are_described(tmp_path: Path) -> None:
    member = network(points=("loose", "tight"), inputs=("width",))
    member.save(tmp_path / "a.pt", {})
    text = said(tmp_path / "a.pt")
    assert "points    loose, tight" in text
    assert "width 0 ± 1" in text
    assert "b (5) tight" in text


def test_a_flavour_that_is_one_hot_has_values_and_pairs_say_what_they_show(tmp_path: Path) -> None:
    architecture = Architecture(
        kind="factorised",
        width=8,
        head=(8,),
        inputs=("pt", "flavour"),
        flavour="one_hot",
        pair_inputs=("flavour",),
        edge_features=("near_0.3",),
    )
    member = NetworkEstimator(EfficiencyNetwork(architecture))
    member.save(tmp_path / "a.pt", {})
    text = said(tmp_path / "a.pt")
    assert "flavour one of 0, 4, 5" in text
    assert "pairs     flavour, near_0.3" in text


def test_folds_are_described(few: Jets, tmp_path: Path) -> None:
    write_networks(tmp_path / "net", 4, Folds(2, "hash"))
    text = said(tmp_path / "net")
    assert "4 members in 2 folds" in text
    assert "2 by hash: events of the training samples are weighted by what did not see" in text


def test_a_map_without_replicas_has_no_spread(few: Jets, tmp_path: Path) -> None:
    write_map(tmp_path, few, replicas=0)
    text = said(tmp_path)
    assert "jets alone" in text
    assert "±" not in text


def test_a_folder_of_results_names_what_is_in_it(results: Path) -> None:
    text = said(results)
    assert text.startswith("results of the workflow")
    assert "estimators   binned, nearest_jet, net, parametric, smoothed" in text


GLOBAL_ROW = {"distribution": "global", "panel": "all", "events": "all"}
VERDICTS = [
    {"sample": "test", **GLOBAL_ROW, "true": "closes", "map": "does not close", "gnn": "closes"},
    {"sample": "test", **GLOBAL_ROW, "events": "in_domain", "true": "x", "map": "x", "gnn": "x"},
    {"sample": "test", **GLOBAL_ROW, "distribution": "m_jj", "true": "x", "map": "x", "gnn": "x"},
]
LIKELIHOOD = [
    {"sample": "test", "efficiency": "map", "difference": 0.00123, "error": 0.0001},
    {"sample": "test", "efficiency": "gnn", "difference": 0.0, "error": 0.0},
]


def tables_of_a_run(folder: Path, accuracy: dict[str, list[float]]) -> Path:
    summary = {
        "sample": "test",
        "efficiency": ["map", "gnn", "map"],
        "flavour": [*["all"] * 2, "b"],
    }
    frames = {
        "verdict": pd.DataFrame(VERDICTS),
        "summary": pd.DataFrame({**summary, **accuracy}),
        "likelihood": pd.DataFrame(LIKELIHOOD),
    }
    (folder / "tables").mkdir(parents=True)
    for name, frame in frames.items():
        frame.to_csv(folder / f"tables/{name}.csv", index=False)
    return folder


def test_results_say_how_accurate_each_efficiency_is_and_whether_it_closes(tmp_path: Path) -> None:
    folder = tables_of_a_run(tmp_path / "results", {"regret": [0.01, 3e-4, 9.0]})
    (folder / "report.html").touch()
    lines = said(folder).splitlines()
    assert lines[0] == "results of the workflow"
    assert lines[1].split() == ["report", f"{folder}/report.html"]
    assert lines[2].split() == ["tables", f"{folder}/tables"]
    assert lines[-3:] == [
        "  test  regret [nats/jet]  all closure tests together",
        "  map            1.00e-02              does not close",
        "  gnn            3.00e-04                      closes",
    ]


def test_results_name_the_points_of_samples_that_have_several(tmp_path: Path) -> None:
    """A sample with one point has an empty cell in its rows, which is no name."""
    folder = tables_of_a_run(tmp_path / "results", {"regret": [0.01, 3e-4, 9.0]})
    for name in ("verdict", "summary", "likelihood"):
        path = folder / f"tables/{name}.csv"
        frame = pd.read_csv(path)
        named = frame.assign(sample="other", working_point="tight")
        pd.concat([frame, named]).to_csv(path, index=False)
    lines = said(folder).splitlines()
    first, second = lines.index("  map            1.00e-02              does not close"), -2
    assert lines[first - 1].split()[0] == "test"
    assert lines[second - 1].split()[:3] == ["other", "at", "tight"]
    assert lines[second].split()[:2] == ["map", "1.00e-02"]


def test_results_without_a_truth_compare_likelihoods(tmp_path: Path) -> None:
    folder = tables_of_a_run(tmp_path / "results", {"deviation": [0.01, 3e-4, 9.0]})
    lines = said(folder).splitlines()
    assert "report" not in lines[1]
    assert lines[-3].split("  ")[2:] == [
        "loss above the best [nats/jet]",
        "all closure tests together",
    ]
    assert lines[-2].split() == ["map", "1.23e-03", "±", "1.0e-04", "does", "not", "close"]
    assert lines[-1].split() == ["gnn", "the", "best", "closes"]


def test_a_folder_of_several_tables_lists_them(results: Path) -> None:
    text = said(results / "predictions/train")
    assert text.startswith("a folder of 2 tables")
    assert "binned.parquet           the efficiencies of the jets of a sample" in text


# ---- what others wrote, what is damaged, what is hostile


def _refused(path: Path, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "inspect", path)
    assert (code, out) == (1, "")
    assert err.startswith(f"truthtag: error: {path}: ")
    assert words in err


def test_files_of_others_are_refused_politely(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(pa.table({"Jet_pt": [1.0]}), tmp_path / "mine.parquet")
    words = "is a Parquet file that truthtag did not write; it has the columns Jet_pt"
    _refused(tmp_path / "mine.parquet", words, capsys)
    (tmp_path / "notes.txt").write_text("pt eta")
    _refused(tmp_path / "notes.txt", "is of no format that is known", capsys)
    (tmp_path / "empty").write_text("")
    _refused(tmp_path / "empty", "is empty", capsys)
    (tmp_path / "folder").mkdir()
    _refused(tmp_path / "folder", "the folder holds nothing of truthtag", capsys)
    torch.save({"weights": torch.zeros(2)}, tmp_path / "other.pt")
    _refused(tmp_path / "other.pt", "is not a network file of this version", capsys)
    write_checkpoint(tmp_path / "run.checkpoint.pt", {}, {})
    _refused(tmp_path / "run.checkpoint.pt", "is not a network file", capsys)


def test_damage_is_named(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (results / "domain.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    _refused(tmp_path / "cut.parquet", "cannot be read as Parquet", capsys)
    net = write_networks(tmp_path / "net")
    (net / "seed_1.pt").write_bytes((net / "seed_0.pt").read_bytes())
    code, _, err = run(capsys, "inspect", net)
    assert code == 1
    assert f"{net}/seed_1.pt: is not the file that {net}/ensemble.json lists" in err


class Hostile:
    """Runs a command where it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


def test_no_code_of_a_file_is_executed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark = tmp_path / "executed"
    torch.save({"format": Hostile(f"touch {mark}")}, tmp_path / "net.pt")
    _refused(tmp_path / "net.pt", "cannot be read as a network", capsys)
    assert not mark.exists()


def test_no_module_that_a_file_names_is_imported(
    few: Jets,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "strange_module.py").write_text("class Map: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    frame = pd.DataFrame({"flavour": [5], "efficiency": [0.5]})
    metadata = {"estimator": {"kind": "strange_module:Map", "settings": {}}}
    write_frame(frame, tmp_path / "a.parquet", metadata)
    code, out, _ = run(capsys, "inspect", tmp_path / "a.parquet")
    assert code == 0
    assert "strange_module:Map, which truthtag does not know: it was not loaded" in out
    write_frame(frame, tmp_path / "model/nominal.parquet", metadata)
    code, _, err = run(capsys, "inspect", tmp_path / "model")
    assert code == 1
    assert "is of the kind 'strange_module:Map', which neither truthtag nor an installed" in err
    net = write_networks(tmp_path / "net")
    manifest = net / "ensemble.json"
    manifest.write_text(manifest.read_text().replace('"network"', '"strange_module:Map"'))
    code, _, err = run(capsys, "inspect", net)
    assert code == 1
    assert f"{manifest}: is of the kind 'strange_module:Map'" in err
    manifest.write_text("{")
    code, _, err = run(capsys, "inspect", net)
    assert code == 1
    assert f"{manifest}: is damaged" in err
    assert "strange_module" not in sys.modules


SUFFIXES = (".parquet", ".pt", ".root", ".onnx", ".json", ".json.gz", ".csv", "")
BEGINNINGS = (b"", b"PAR1", b"PK\x03\x04", b"root", b"{", b"\x1f\x8b", b"\x08\x08")


@settings(max_examples=120)
@given(
    st.binary(max_size=200), st.sampled_from(BEGINNINGS), st.sampled_from(SUFFIXES), st.booleans()
)
def test_bytes_of_any_kind_are_refused(
    tmp_path_factory: pytest.TempPathFactory,
    content: bytes,
    beginning: bytes,
    suffix: str,
    ends: bool,
) -> None:
    path = tmp_path_factory.getbasetemp() / f"random{suffix}"
    path.write_bytes(beginning + content + (b"PAR1" if ends else b""))
    with pytest.raises(TruthtagError) as refused:
        list(inspect(path))
    assert str(refused.value).startswith(f"{path}: ")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["kind", "settings", "points", "flavours", "low", "count", "by", "fold", "tagged"]
            )
            | st.text(max_size=2),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)
KEYS = (
    *("estimator", "domain", "distribution", "jets_digest", "prediction_digest", "units"),
    *("effective_events", "labels", "further", "versions", "seed", "folds", "counts", "points"),
    *("options", "notes", "train_jets", "content", "settings", "sample"),
)
FRAME = pd.DataFrame(
    {
        "event": [0, 0, 1],
        "weight": [1.0, 1.0, -1.0],
        "pt": [50.0, 40.0, 30.0],
        "flavour": [5, 4, 0],
        "p_tag_0": [0.1, 0.2, 0.3],
        "efficiency": [0.5, 0.6, 0.7],
        "n_jets": [1, 2, 3],
        "Jet_eff": [0.5, -1.0, 0.7],
    }
)


@settings(max_examples=120)
@given(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=5))
def test_metadata_of_any_kind_are_described_or_refused(
    tmp_path_factory: pytest.TempPathFactory, metadata: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "odd.parquet"
    write_frame(FRAME, path, metadata)
    try:
        lines = list(inspect(path))
    except DataError as error:
        assert str(path) in str(error)  # noqa: PT017 - either answer is right
    else:
        assert lines[0].startswith(f"{path}: {kind_of_table(metadata, list(FRAME))}")


def test_what_does_not_fit_together_is_refused_with_a_reason(
    few: Jets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.DataFrame({"pt": [1.0, 2.0], "flavour": ["a", "b"]})
    write_frame(frame, tmp_path / "a.parquet", {"units": {}})
    code, _, err = run(capsys, "inspect", tmp_path / "a.parquet")
    assert code == 1
    assert f"{tmp_path}/a.parquet" in err


# ---- parts


def test_the_origin_of_folds_is_said_in_words() -> None:
    fold = {"count": 5, "by": "event", "fold": 0, "learned_from": [2, 3], "chosen_on": [1]}
    said_of = origin({"folds": fold, "seed": [1, "gnn", 0]})
    assert said_of == {
        "seed": "1, gnn, 0",
        "folds": "number 0 of 5 by event not seen; learned from 2, 3; epoch chosen on 1",
    }
    weighted = origin({"folds": {"count": 5, "by": "event", "weighted_by": {}}})
    assert weighted["folds"] == "5 by event; each event by what did not see its fold"


def test_choices_of_corrections_are_found_in_any_depth() -> None:
    bins = {
        "nodetype": "multibinning",
        "inputs": ["pt", "eta"],
        "edges": [[20.0, 600.0], {"n": 5, "low": 0.0, "high": 2.5}],
        "content": [0.5],
    }
    data = {
        "nodetype": "category",
        "input": "systematic",
        "content": [{"key": "central", "value": bins}, {"key": "up", "value": 0.5}],
    }
    wanted = {"systematic": ["central", "up"], "pt": [20.0, 600.0], "eta": [0.0, 2.5]}
    assert choices_of(data) == wanted


def test_jets_of_one_momentum_need_no_sketch(tmp_path: Path) -> None:
    jets = make_jets([1, 1], pt=np.array([50.0, 50.0]))
    write_jets([jets], tmp_path / "a.parquet")
    assert "jets in pt" not in said(tmp_path / "a.parquet")


def test_a_folder_of_folders_lists_them(results: Path) -> None:
    text = said(results / "estimators")
    assert text.startswith("a folder with 5 of these; name one to see more\n")
    assert "net          an estimator" in text
    assert "train  tables" in said(results / "samples")


def test_a_folder_of_files_lists_those_of_truthtag(tmp_path: Path) -> None:
    network().save(tmp_path / "a.pt", {})
    (tmp_path / "b.pt").write_text("no network")
    (tmp_path / "c.txt").write_text("no file of ours")
    assert said(tmp_path).splitlines()[1:] == ["  a.pt  a network"]


def test_lists_in_lists_in_lists_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deep = b"[" * 100_000
    table = pa.table({"x": [1.0]}).replace_schema_metadata({b"truthtag": deep})
    pq.write_table(table, tmp_path / "deep.parquet")
    _refused(tmp_path / "deep.parquet", "does not hold what truthtag writes", capsys)
    (tmp_path / "deep.json").write_bytes(deep)
    _refused(tmp_path / "deep.json", "is no JSON", capsys)


def test_columns_of_other_types_are_named(tmp_path: Path) -> None:
    columns = {
        "when": pa.array([0], pa.timestamp("s")),
        "amount": pa.array([None], pa.decimal128(5, 2)),
        "parts": pa.array([{"a": 1}]),
        "nothing": pa.array([None]),
    }
    table = pa.table(columns).replace_schema_metadata({b"truthtag": b'{"note": 1}'})
    pq.write_table(table, tmp_path / "a.parquet")
    text = said(tmp_path / "a.parquet")
    for line in (
        "when     timestamp[ms]",
        "amount   decimal128(5, 2)",
        "parts    struct<a: int64>",
    ):
        assert line in text
