"""``truthtag weigh``: what is written, what is said, what is refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cli_files import network, run, write_map, write_networks, write_results
from estimator_kinds import fit
from nano import write_nano
from scale_factor_files import COLUMNS, jets_at, write_table

from conftest import ROOT, make_jets
from truthtag.cli import weigh as weighing
from truthtag.cli.ranges import domain_beside, outside, ranges_of, ranges_of_domain
from truthtag.cli.scaled import ScaledWeights
from truthtag.cli.tally import Tally, total
from truthtag.data.jets import Jets, read_jets, write_jets
from truthtag.data.labels import Labels
from truthtag.errors import DataError
from truthtag.estimators.cross_fitting import Folds
from truthtag.estimators.ensemble import load
from truthtag.estimators.predictions import Prediction
from truthtag.exports.weighing import TagWeights
from truthtag.statistics.domain import Domain
from truthtag.weights.scale_factors import ScaleFactors
from truthtag.weights.tag_counts import tag_counts

uproot = pytest.importorskip("uproot", reason="the extra 'readers' is not installed")
pytest.importorskip("awkward", reason="the extra 'readers' is not installed")

TAGS = ("--discriminant", "Jet_btag", "--working-point", "medium=0.5")


@pytest.fixture(scope="module")
def place(few: Jets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results, and a file of the same events beside it."""
    folder = tmp_path_factory.mktemp("weigh")
    write_results(folder / "results", few)
    # The first events only, so that not all numbers of the two are the same.
    write_nano(few.take(slice(0, 120)), folder / "data.root", np.random.default_rng(1))
    return folder


@pytest.fixture
def there(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place


def friend(path: str | Path) -> dict[str, Any]:
    with uproot.open(path) as file:
        return dict(file["truthtag"].arrays(library="np"))


def weighted(frame: Any, name: str) -> float:
    return float(np.nansum(frame["weight"] * frame[name]))


def line_of(out: str, name: str) -> list[str]:
    return next(line.split() for line in out.splitlines() if line.split()[:1] == [name])


# ---- what is written, and what is said of it


def test_a_file_has_a_friend_with_the_weights_of_its_events(
    there: Path, few: Jets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(
        capsys, "weigh", "results/estimators/binned", "data.root", "-o", tmp_path / "out"
    )
    assert (code, err) == (0, "")
    stored = friend(tmp_path / "out/data.weights.root")
    with uproot.open("data.root") as file:
        entries = file["Events"].num_entries
        assert len(stored["event"]) == entries
        assert np.array_equal(stored["nJet_truthtag"], file["Events"]["nJet"].array())
    model = load("results/estimators/binned").nominal
    jets = few.take(slice(0, 120))
    counts = tag_counts(jets, model.efficiency(jets), 3)
    rows = pd.Index(stored["event"]).get_indexer(jets.event)
    assert np.allclose(stored["p_tag_ge_2"][rows], counts.at_least[:, 2])
    for name in ("p_tag_0", "p_tag_ge_1", "p_tag_ge_3"):
        value, effective = line_of(out, name.removeprefix("p_"))[1:]
        assert float(value) == pytest.approx(weighted(stored, name), rel=1e-5)
        product = stored["weight"] * stored[name]
        assert float(effective) == pytest.approx(product.sum() ** 2 / (product**2).sum(), rel=1e-5)
    assert out.startswith(f"data.root: {entries} events, {jets.n_jets} jets in ")
    assert "nanoaod, jets with pt [GeV] above 20, abs(eta) below 2.5\n" in out
    assert f"{entries - 120} events without jets" in out
    assert "are outside pt 20 to 600, eta -2.5 to 2.5" in out
    assert f"written: {tmp_path}/out/data.weights.root" in out


def test_the_friend_says_where_it_comes_from(
    there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("weigh", "results/estimators/net", "data.root", "-o", tmp_path, "--pt-min", "40")
    assert run(capsys, *arguments)[0] == 0
    with uproot.open(tmp_path / "data.weights.root") as file:
        stored = json.loads(str(file["truthtag_provenance"]))
    assert stored["estimator"] == "results/estimators/net"
    assert stored["file"] == "data.root"
    assert stored["settings"]["reader"]["pt"] == [40.0, None]
    assert set(stored) >= {"config", "versions"}
    code, out, _ = run(capsys, "inspect", tmp_path / "data.weights.root")
    assert code == 0
    assert "a friend tree: weights of the events of a file, entry by entry" in out
    assert '"pt": [40.0, null]' in out
    assert "sums       p_tag_0: " in out


def test_the_same_bytes_twice(
    there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = []
    for _ in range(2):
        run(capsys, "weigh", "results/estimators/net", "data.root", "-o", tmp_path, "--parquet")
        names = ("data.weights.parquet",)
        written.append([(tmp_path / name).read_bytes() for name in names])
    assert written[0] == written[1]


def test_tables_and_trees_say_the_same(
    there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(
        capsys,
        *("weigh", "results/estimators/binned", "data.root", "-o", tmp_path / "a.root"),
        *("--parquet", "--tags", 1),
    )
    assert code == 0
    assert f"written: {tmp_path}/a.parquet" in out
    stored = friend(tmp_path / "a.root")
    frame = pd.read_parquet(tmp_path / "a.parquet")
    assert "p_tag_ge_2" not in frame
    assert np.array_equal(frame["p_tag_1"], stored["p_tag_1"])
    code, out, _ = run(capsys, "inspect", tmp_path / "a.parquet")
    assert code == 0
    assert "a table of weights: those of the events of a file, entry by entry" in out
    assert f"p_tag_1: {weighted(stored, 'p_tag_1'):.6g}" in out
    assert "list of float" in out


def test_samples_of_ours_have_tables(
    there: Path, few: Jets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(
        capsys, "weigh", "results/estimators/binned", "results/samples/train", "-o", tmp_path
    )
    assert (code, err) == (0, "")
    frame = pd.read_parquet(tmp_path / "train.weights.parquet")
    assert list(frame["event"]) == few.event.tolist()
    counts = tag_counts(few, load("results/estimators/binned").efficiency(few), 3)
    assert np.allclose(frame["p_tag_2"], counts.exactly[:, 2])
    assert out.startswith("results/samples/train: 300 events, 1,095 jets in ")
    assert few.is_tagged is not None
    n_tags = np.bincount(few.event_of_jet[few.is_tagged], minlength=few.n_events)
    for k in (0, 1, 2):
        assert float(line_of(out, f"tag_{k}")[-1]) == few.weight[n_tags == k].sum()
    assert float(line_of(out, "tag_ge_2")[-1]) == few.weight[n_tags >= 2].sum()


def test_several_inputs_are_added_up(
    there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shards = [f"results/samples/train/{number:04d}.parquet" for number in (0, 1)]
    model = "results/estimators/binned"
    code, out, _ = run(capsys, "weigh", model, *shards, "-o", tmp_path / "w")
    assert code == 0
    together = out[out.index("2 inputs together:") :]
    values = [
        weighted(pd.read_parquet(tmp_path / f"w/{number:04d}.weights.parquet"), "p_tag_ge_1")
        for number in (0, 1)
    ]
    assert float(line_of(together, "tag_ge_1")[1]) == pytest.approx(sum(values), rel=1e-5)
    whole = run(capsys, "weigh", model, "results/samples/train", "-o", tmp_path / "all")[1]
    for name in ("tag_0", "tag_ge_1", "tag_ge_3"):
        assert line_of(whole, name) == line_of(together, name)


def test_tagged_events_are_summed_beside(
    there: Path, few: Jets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = "results/estimators/binned"
    code, out, _ = run(capsys, "weigh", model, "data.root", "-o", tmp_path, *TAGS)
    assert code == 0
    assert "tagged directly" in out
    jets = few.take(slice(0, 120))
    stored = friend(tmp_path / "data.weights.root")
    rows = pd.Index(stored["event"]).get_indexer(jets.event)
    assert jets.is_tagged is not None
    n_tags = np.bincount(jets.event_of_jet[jets.is_tagged], minlength=jets.n_events)
    weight = stored["weight"][rows]
    assert float(line_of(out, "tag_ge_1")[-1]) == pytest.approx(weight[n_tags >= 1].sum())
    everything = stored["weight"].sum()
    assert float(line_of(out, "tag_0")[-1]) == pytest.approx(everything - weight[n_tags >= 1].sum())


def test_flavours_can_keep_their_tags(
    there: Path, few: Jets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where all flavours keep them, the weights are those of the tags."""
    kept = [word for flavour in (0, 4, 5) for word in ("--keep-tags-of", flavour)]
    code, out, _ = run(
        capsys,
        *("weigh", "results/estimators/binned", "data.root", "-o", tmp_path, *TAGS, *kept),
        *("--leading", 2),
    )
    assert code == 0
    for name in ("tag_0", "tag_1", "tag_ge_2", "tag_3"):
        words = line_of(out, name)
        assert float(words[1]) == pytest.approx(float(words[-1]))


def test_one_of_several_points_is_weighed(
    there: Path, few: Jets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network(points=("loose", "tight")).save(tmp_path / "net.pt", {})
    code, out, _ = run(capsys, "weigh", tmp_path / "net.pt", "data.root", "-o", tmp_path / "all")
    assert code == 0
    stored = friend(tmp_path / "all/data.weights.root")
    assert line_of(out, "tag_ge_1_tight")
    code, out, _ = run(
        capsys,
        *("weigh", tmp_path / "net.pt", "data.root", "-o", tmp_path / "one", "--point", "tight"),
    )
    assert code == 0
    one = friend(tmp_path / "one/data.weights.root")
    assert np.array_equal(one["p_tag_1"], stored["p_tag_1_tight"])
    assert np.array_equal(np.concatenate(one["Jet_eff"]), np.concatenate(stored["Jet_eff_tight"]))
    code, _, err = run(
        capsys,
        *("weigh", tmp_path / "net.pt", "data.root", "-o", tmp_path / "no", "--point", "tigt"),
    )
    assert code == 1
    assert "--point tigt: the efficiency has no such working point; it has loose, tight" in err


CONFIG = """
base: samples
results: results/own
readers:
  cms: {format: nanoaod, discriminant: Jet_btag, pt: [50.0, null], abs_eta: [null, 2.5]}
READERS
working_points: {medium: 0.5}
samples: {some: {reader: cms, files: nowhere.root}}
roles: {train: some, validation: some, judged: some, folds: 5}
weights: {tags: 2, leading: 3}
"""


def test_a_config_says_how_files_are_read(
    there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "own.yaml"
    config.write_text(CONFIG.replace("READERS", ""))
    arguments = ("weigh", "results/estimators/binned", "data.root", "--workflow", ROOT)
    code, out, err = run(capsys, *arguments, "-o", tmp_path, "--config", config)
    assert (code, err) == (0, "")
    assert "pt [GeV] above 50, abs(eta) below 2.5" in out
    assert "tag_2" in out
    assert "tag_3" not in out
    assert "tagged directly" not in out
    with uproot.open(tmp_path / "data.weights.root") as file:
        settings = json.loads(str(file["truthtag_provenance"]))["settings"]
    assert settings["leading"] == 3
    code, out, _ = run(
        capsys, *arguments, "-o", tmp_path, "--config", config, "--direct", "--tags", 1
    )
    assert code == 0
    assert "tagged directly" in out
    assert "tag_2" not in out


def test_a_reader_of_several_must_be_named(
    there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "own.yaml"
    config.write_text(CONFIG.replace("READERS", "  hard: {format: nanoaod, pt: [100.0, null]}"))
    arguments = (
        *("weigh", "results/estimators/binned", "data.root", "-o", tmp_path),
        *("--workflow", ROOT, "--config", config),
    )
    code, _, err = run(capsys, *arguments)
    assert code == 1
    assert "the config has the readers cms, hard; name the one to use: --reader NAME" in err
    code, out, _ = run(capsys, *arguments, "--reader", "hard")
    assert code == 0
    assert "pt [GeV] above 100\n" in out
    code, _, err = run(capsys, *arguments, "--reader", "hart")
    assert code == 1
    assert "--reader is 'hart'; allowed are cms, hard. Did you mean 'hard'?" in err


def test_parquet_of_the_user_is_read(
    there: Path, few: Jets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row per jet, tags in the file."""
    jets = few.take(slice(0, 50))
    names = ("event", "pt", "eta", "phi", "mass", "flavour", "weight", "is_tagged")
    columns = {name: jets.per_jet(name) for name in names}
    pd.DataFrame(columns).rename(columns={"weight": "w"}).to_parquet(tmp_path / "own.parquet")
    arguments = (
        *("weigh", "results/estimators/binned", tmp_path / "own.parquet", "-o", tmp_path / "w"),
        *("--column", "weight=w", "--pt-min", 0),
    )
    code, out, _ = run(capsys, *arguments)
    assert code == 0
    assert "parquet, jets with pt [GeV] above 0" in out
    code, out, _ = run(capsys, *arguments, "--direct")
    assert code == 0
    assert jets.is_tagged is not None
    n_tags = np.bincount(jets.event_of_jet[jets.is_tagged], minlength=jets.n_events)
    assert float(line_of(out, "tag_ge_1")[-1]) == (n_tags >= 1).sum()


def test_further_inputs_are_read_by_a_branch(
    there: Path, few: Jets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network(inputs=("width",)).save(tmp_path / "net.pt", {})
    arguments = ("weigh", tmp_path / "net.pt", "data.root", "-o", tmp_path / "w")
    code, _, err = run(capsys, *arguments)
    assert code == 1
    assert "'width'" in err
    code, _, err = run(capsys, *arguments, "--input", "width=Jet_mass")
    assert (code, err) == (0, "")


# ---- ranges, progress


def test_jets_out_of_range_are_counted(
    there: Path, few: Jets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A network states no ranges; the domain beside it does, and tells more where it is named."""
    soft = few.take(slice(0, 40))
    soft = soft.with_columns(pt=soft.pt * np.float32(0.5), event=soft.event)
    write_jets([soft], tmp_path / "soft.parquet")
    domain = Domain.read("results/domain.parquet")
    ranges = ranges_of_domain(domain)
    assert set(ranges) == {"pt", "eta", "n_jets"}
    wanted = int(outside(read_jets(tmp_path / "soft.parquet"), ranges).sum())
    assert wanted > 0
    arguments = ("weigh", "results/estimators/net", tmp_path / "soft.parquet", "-o", tmp_path)
    code, out, _ = run(capsys, *arguments)
    assert code == 0
    assert f"{wanted} of {soft.n_jets} jets ({wanted / soft.n_jets:.2%}) are outside pt" in out
    code, out, _ = run(capsys, *arguments, "--domain", "results/domain.parquet")
    assert code == 0
    beyond = int((~domain.contains(soft)).sum())
    share = f"{beyond / soft.n_jets:.2%}"
    assert f"{beyond} of {soft.n_jets} jets ({share}) are outside the domain" in out
    write_networks(tmp_path / "alone")
    code, out, _ = run(capsys, "weigh", tmp_path / "alone", "data.root", "-o", tmp_path)
    assert code == 0
    assert "the efficiency does not say which jets it was made for: --domain can" in out


def test_maps_state_the_ends_of_their_axes(few: Jets, tmp_path: Path) -> None:
    model = load(write_map(tmp_path, few, "nearest_jet"))
    assert ranges_of(model) == {"pt": (20.0, 600.0), "eta": (-2.5, 2.5)}
    jets = make_jets([2], pt=np.array([700.0, 30.0]), eta=np.array([0.0, -2.6]))
    assert outside(jets, ranges_of(model)).tolist() == [True, True]
    assert outside(jets, {"abs_eta": (0.0, 2.5), "n_jets": (2, 6)}).tolist() == [False, True]
    assert outside(jets, {"n_jets": (3, 6), "unknown": (0, 0)}).tolist() == [True, True]


def test_a_domain_belongs_to_the_estimators_of_its_results(tmp_path: Path) -> None:
    (tmp_path / "estimators/gnn").mkdir(parents=True)
    assert domain_beside(tmp_path / "estimators/gnn") is None
    (tmp_path / "domain.parquet").touch()
    for path in ("estimators/gnn", "estimators/gnn/seed_0.pt"):
        assert domain_beside(tmp_path / path) == tmp_path / "domain.parquet"
    assert domain_beside(tmp_path / "elsewhere/gnn") is None


def test_long_work_says_how_far_it_is(
    there: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Impatient(weighing.Progress):
        def __init__(self, logger: logging.Logger, total: int, unit: str) -> None:
            super().__init__(logger, total, unit, every=0.0)

    monkeypatch.setattr(weighing, "Progress", Impatient)
    code, _, err = run(capsys, "weigh", "results/estimators/binned", "data.root", "-o", tmp_path)
    assert code == 0
    with uproot.open("data.root") as file:
        entries = file["Events"].num_entries
    assert err.startswith(f"truthtag: 100% of {entries} events, ")


def test_sums_of_nothing_are_zero() -> None:
    jets = make_jets([], labels=Labels(flavours=(5,)))
    tally = Tally(TagWeights(1), {"pt": (0.0, 1.0)})
    tally(jets, Prediction(np.empty(0, int), np.empty(0)))
    lines = total([tally, tally]).lines()
    assert line_of("\n".join(lines), "tag_0") == ["tag_0", "0", "0", "0"]
    assert lines[-1] == "0 of 0 jets (0.00%) are outside pt 0 to 1"


# ---- what is refused


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("data.root", "-o", "data.root"), "data.root: is an input (data.root), which is never"),
        (("data.root", "-o", "./data.root"), "is an input (data.root)"),
        (("data.root", "none.root", "-o", "w.root"), "w.root: is one file, and there are 2 inputs"),
        (
            ("results/samples/train", "-o", "w.root"),
            "w.root: a ROOT file can be no friend of results/samples/train, which is no tree",
        ),
        (
            ("results/samples/train", "-o", "results/samples/train"),
            "is an input (results/samples/train)",
        ),
        (
            ("a/x.root", "b/x.root", "-o", "w"),
            "x.weights.root: would be written for a/x.root",
        ),
        (("a.root", "b.parquet", "-o", "w"), "b.parquet: is no ROOT file, as others are"),
        (("none.root", "-o", "w"), "none.root: no such file. Check the path."),
        (("data.root", "-o", "w", "--reader", "cms"), "--reader cms: is a reader of a config"),
        (
            ("data.root", "-o", "w", "--direct"),
            "tags are made of the discriminant Jet_btagPNetB, and nothing says from where on",
        ),
        (("data.root", "-o", "w", "--tree", "Event"), "there is no tree 'Event'"),
        (
            ("data.root", "-o", "w", "--column", "weigth=genWeight"),
            "columns.weigth: there is no such column",
        ),
        (("data.root", "-o", "w", "--pt-min", "nan"), "the reader.pt"),
        (("data.root", "-o", "w", "--tags", "-1"), "max_tags is -1; a number of tags"),
        (
            ("data.root", "-o", "w", "--config", "a.yaml", "--pt-min", "5"),
            "--pt-min is stated beside --config, which says it already",
        ),
        (
            ("data.root", "-o", "w", "--config", "a.yaml", "--input", "a=b"),
            "--input is stated beside --config",
        ),
        (("data.root", "-o", "w", "--domain", "none.parquet"), "none.parquet: no such file"),
    ],
)
def test_what_cannot_be_weighed_is_refused(
    there: Path, arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path("data.root").read_bytes()
    code, out, err = run(capsys, "weigh", "results/estimators/binned", *arguments)
    assert (code, out) == (1, "")
    assert err.startswith("truthtag: error: ")
    assert said in err
    assert Path("data.root").read_bytes() == before
    assert not list(Path("w").glob("*"))


def test_files_of_others_are_not_replaced(
    there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.root").write_bytes(b"root, but not ours")
    code, _, err = run(
        capsys, "weigh", "results/estimators/binned", "data.root", "-o", tmp_path / "mine.root"
    )
    assert code == 1
    assert "is there already, and is no friend tree that truthtag wrote" in err


def test_data_without_flavours_are_refused_by_name(
    there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with uproot.open("data.root") as file:
        arrays = file["Events"].arrays(["Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass", "event"])
    with uproot.recreate(tmp_path / "recorded.root") as file:
        tree = file.mktree("Events", {name: arrays[name].type.content for name in arrays.fields})
        tree.extend({name: arrays[name] for name in arrays.fields})
    code, _, err = run(
        capsys,
        *("weigh", "results/estimators/binned", tmp_path / "recorded.root", "-o", tmp_path),
        *("--column", "weight=1"),
    )
    assert code == 1
    assert "flavour" in err


@pytest.mark.parametrize("name", ["results", "results/samples/train", "data.root", "none"])
def test_what_is_no_efficiency_is_refused(
    there: Path, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "weigh", name, "data.root", "-o", tmp_path)
    assert (code, out) == (1, "")
    assert err.startswith(f"truthtag: error: {name}")


KIND = """
import numpy as np
from truthtag.estimators.table_file import TableEstimator


class Half(TableEstimator):
    settings = {}

    @classmethod
    def fit(cls, train, validation, options, seed):
        return cls()

    def efficiency(self, jets):
        return np.full(jets.n_jets, 0.5)

    def describe(self):
        return "one half"

    def to_frame(self):
        raise NotImplementedError

    @classmethod
    def from_frame(cls, frame):
        return cls()
"""


def test_a_kind_of_ones_own_must_be_trusted(
    there: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from truthtag.data.files import write_frame

    (tmp_path / "own_kind.py").write_text(KIND)
    monkeypatch.syspath_prepend(tmp_path)
    metadata = {"estimator": {"kind": "own_kind:Half", "settings": {}}}
    write_frame(pd.DataFrame({"x": [1]}), tmp_path / "model.parquet", metadata)
    arguments = ("weigh", tmp_path / "model.parquet", "data.root", "-o", tmp_path / "w")
    code, _, err = run(capsys, *arguments)
    assert code == 1
    assert "Where you trust it, say so: --trust own_kind:Half" in err
    assert run(capsys, *arguments, "--trust", "own_kind:Half")[0] == 0
    stored = friend(tmp_path / "w/data.weights.root")
    flat = np.concatenate(stored["Jet_eff"])
    assert set(flat) == {-1.0, 0.5}


def test_ctrl_c_says_what_is_left(
    there: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from truthtag.exports import weighing as exports

    write = exports.weigh_sample
    calls: list[str] = []

    def stopped(model: Any, source: str, *arguments: Any, **more: Any) -> Any:
        calls.append(source)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return write(model, source, *arguments, **more)

    monkeypatch.setattr(exports, "weigh_sample", stopped)
    shards = [f"results/samples/train/{number:04d}.parquet" for number in (0, 1)]
    code, _, err = run(capsys, "weigh", "results/estimators/binned", *shards, "-o", tmp_path)
    assert code == 130
    assert err == (
        f"truthtag: stopped. Written whole: {tmp_path}/0000.weights.parquet. "
        f"Not written: {tmp_path}/0001.weights.parquet.\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["0000.weights.parquet"]


def test_a_tree_tells_the_format(
    there: Path, few: Jets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of ATLAS's file only the tree's name is like it here, so its branches are missed."""
    jets = few.take(slice(0, 20))
    write_nano(jets, tmp_path / "a.root", np.random.default_rng(1), tree="CollectionTree")
    code, _, err = run(
        capsys, "weigh", "results/estimators/binned", tmp_path / "a.root", "-o", tmp_path
    )
    assert code == 1
    assert "'AnalysisJetsAuxDyn.pt'" in err


@pytest.mark.parametrize("kind", ["net", "map"])
def test_training_samples_are_weighed_with_what_did_not_see_them(
    kind: str, there: Path, few: Jets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Event by event, the efficiencies are those of the part of its fold."""
    folds = Folds(2, "event")
    if kind == "net":
        model = write_networks(tmp_path / "model", 4, folds)
    else:
        model = tmp_path / "model"
        for fold in range(folds.count):
            part = few.take(folds.of(few) != fold)
            seen = {"folds": folds.provenance(fold, stops_early=False)}
            fit("binned", part).save(model / f"fold_{fold}/nominal.parquet", seen)
    arguments = ("weigh", model, "results/samples/train", "-o", tmp_path / "w")
    code, _, err = run(capsys, *arguments)
    assert code == 0
    assert "truthtag: the efficiency has 2 folds by event; all of them weigh each event" in err
    table = tmp_path / "w/train.weights.parquet"
    everything = np.concatenate(pd.read_parquet(table)["Jet_eff"])
    code, _, err = run(capsys, *arguments, "--held-out")
    assert (code, err) == (0, "")
    held_out = np.concatenate(pd.read_parquet(table)["Jet_eff"])
    fitted = load(model)
    assert np.allclose(everything, fitted.efficiency(few), atol=1e-6)
    fold_of_jet = folds.of(few)[few.event_of_jet]
    for fold, part in enumerate(fitted.parts):
        inside = fold_of_jet == fold
        assert np.allclose(held_out[inside], part.efficiency(few)[inside], atol=1e-6)


def test_what_has_no_folds_holds_nothing_out(
    there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(
        capsys,
        *("weigh", "results/estimators/net", "data.root", "-o", tmp_path, "--held-out"),
    )
    assert code == 1
    assert "--held-out: results/estimators/net was not fitted without each of some folds" in err


def test_one_point_of_a_sample_of_ours_is_weighed(
    few: Jets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    jets = few.with_columns(
        is_tagged=None,
        efficiency_true=None,
        tag_bin=rng.integers(0, 3, few.n_jets),
        labels=Labels(flavours=(0, 4, 5), points=("loose", "tight")),
    )
    write_jets([jets], tmp_path / "a.parquet")
    network(points=("loose", "tight")).save(tmp_path / "net.pt", {})
    arguments = ("weigh", tmp_path / "net.pt", tmp_path / "a.parquet")
    code, out, _ = run(capsys, *arguments, "-o", tmp_path / "all")
    assert code == 0
    both = line_of(out, "tag_ge_1_tight")[1:]
    code, out, _ = run(capsys, *arguments, "-o", tmp_path / "one", "--point", "tight")
    assert code == 0
    assert line_of(out, "tag_ge_1")[1:] == both
    assert jets.tag_bin is not None
    n_tags = np.bincount(jets.event_of_jet[jets.tag_bin == 2], minlength=jets.n_events)
    assert float(both[-1]) == pytest.approx(jets.weight[n_tags >= 1].sum())


def test_scale_factors_of_a_config_are_applied(
    there: Path, few: Jets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the workflow's weights have them: a column for each variation."""
    rows = pd.DataFrame(
        [
            {
                "working_point": "medium",
                "flavour": flavour,
                "systematic": systematic,
                "pt_low": 0.0,
                "pt_high": 1000.0,
                "abs_eta_low": 0.0,
                "abs_eta_high": 2.5,
                "scale_factor": factor * scale,
            }
            for flavour, factor in ((5, 0.9), (4, 0.9), (0, 1.1))
            for systematic, scale in (("central", 1.0), ("up", 1.05), ("down", 0.95))
        ]
    )
    write_table(tmp_path / "sf.csv", rows[list(COLUMNS)])
    config = tmp_path / "own.yaml"
    text = CONFIG.replace("READERS", "").replace("pt: [50.0, null]", "pt: [20.0, null]")
    factors = f"scale_factors: {{file: {tmp_path}/sf.csv}}"
    config.write_text(text.replace("leading: 3", factors))
    model = "results/estimators/binned"
    arguments = ("weigh", model, "data.root", "--workflow", ROOT, "--config", config)
    code, out, _ = run(capsys, *arguments, "-o", tmp_path)
    assert code == 0
    stored = friend(tmp_path / "data.weights.root")
    jets = few.take(slice(0, 120))
    eff = load(model).nominal.efficiency(jets)
    factor = np.where(jets.flavour == 0, 1.1, 0.9)
    counts = tag_counts(jets, np.clip(eff * factor, 0, 1), 2)
    at = pd.Index(stored["event"]).get_indexer(jets.event)
    assert np.allclose(stored["p_tag_ge_2_sf"][at], counts.at_least[:, 2])
    varied = [name for name in stored if name.startswith("p_tag_1_sf_")]
    assert len(varied) == 4
    words = line_of(out, "tag_1")
    assert float(words[3]) == pytest.approx(weighted(stored, "p_tag_1_sf"), rel=1e-5)
    sums = [weighted(stored, name) for name in ("p_tag_1_sf", *varied)]
    assert [float(words[4]), float(words[6])] == pytest.approx([min(sums), max(sums)], rel=1e-5)
    assert "scale factors: clamped 0 (at most 0 in 5 variations)" in out
    code, out, _ = run(capsys, *arguments, "-o", tmp_path, "--direct")
    assert code == 0
    assert "tagged directly  with scale factors" in out
    assert "weight_direct_heavy_up" in friend(tmp_path / "data.weights.root")


def test_scale_factors_are_judged_by_all_events_of_an_input(tmp_path: Path) -> None:
    """Not by the few that are in memory at a time."""
    rows = []
    for point, soft in (("loose", 0.5), ("tight", 2.0)):
        for low, high, factor in ((0.0, 60.0, soft), (60.0, 1000.0, 1.0)):
            where = {"pt_low": low, "pt_high": high, "abs_eta_low": 0.0, "abs_eta_high": 2.5}
            what = {"working_point": point, "flavour": 5, "systematic": "central"}
            rows.append({**what, **where, "scale_factor": factor})
    table = write_table(tmp_path / "sf.csv", pd.DataFrame(rows)[list(COLUMNS)])
    options = {"file": str(table), "max_negative": 0.5, "flavours": {"heavy": ["b"], "light": []}}
    factors = ScaleFactors.from_options(options, {"b": 5}, ("loose", "tight"))
    labels = Labels((5,), ("loose", "tight"))
    weigh = ScaledWeights(1, None, (), factors, direct=False)

    def add(pt: float, event: int) -> None:
        """Two jets; at 30 GeV the scaled efficiencies of the two points cross."""
        points = {"efficiency_true": None, "is_tagged": None, "labels": labels}
        jets = jets_at([pt, pt], 0.0, event=[event, event + 1], **points)
        eff = np.array([[0.6, 0.4], [0.6, 0.4]])
        weigh(jets, Prediction(jets.per_jet("event"), eff, points=labels.points))

    add(30.0, 0)
    add(100.0, 2)
    weigh.finish()
    assert "negative 2 (at most 2" in weigh.describe()
    # The next input begins anew.
    add(30.0, 0)
    with pytest.raises(DataError, match=r"for 2 of 2 jets \(100\.00%\) .*max_negative, 0\.5"):
        weigh.finish()
