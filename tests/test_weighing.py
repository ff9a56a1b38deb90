"""Weighing files and samples of any size: every number in its place, against loops by hand."""

from __future__ import annotations

import importlib.util
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from conftest import ROOT
from tests.friend_files import STEPS, ByHand, expected_of, read_tree, tags_by_hand
from tests.nano import nano_thresholds, write_nano
from tests.reader_files import LABELS, NANO, PHYSLITE, options_of, two_events, write_root
from truthtag.data.blocks import read_blocks
from truthtag.data.files import read_frame, read_metadata
from truthtag.data.jets import Jets, concatenate, read_jets, write_jets
from truthtag.data.labels import Labels
from truthtag.data.readers.events import ReadChunk
from truthtag.data.readers.options import Input, ReaderOptions
from truthtag.data.readers.reading import read_events
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.cross_fitting import CrossFitted, Folds
from truthtag.estimators.ensemble import Ensemble
from truthtag.estimators.knowledge import inputs_of, labels_of
from truthtag.estimators.network.estimator import NetworkEstimator
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.network.options import Architecture
from truthtag.estimators.predictions import Prediction, predict
from truthtag.exports.weighing import TagWeights, weigh_file, weigh_sample

pytest.importorskip("uproot")

SINGLE = 1e-6
"""Relative rounding of single precision, and to spare."""


@pytest.fixture
def nano(few: Jets, tmp_path: Path) -> Path:
    """A file of NanoAOD's layout: events out of order, without jets, jets that do not count."""
    path = tmp_path / "nano.root"
    write_nano(few, path, np.random.default_rng(3), step=90)
    return path


def friend_of(path: Path, model: Any = None, options: Any = None, **more: Any) -> Any:
    """Weigh a file into a friend, and return the entries of the two."""
    target = path.with_name("friend.root")
    weigh_file(model or ByHand(), path, options or options_of(), root_path=target, **more)
    return read_tree(path, "Events"), read_tree(target)


# ---- against loops by hand


@pytest.mark.parametrize("step", [40, 100_000])
def test_every_efficiency_is_where_its_jet_is(nano: Path, step: int) -> None:
    events, friend = friend_of(nano, options=options_of(step_events=step))
    assert len(friend) == len(events) > 300
    unsorted = 0
    for event, entry in zip(events, friend, strict=True):
        assert entry["nJet_truthtag"] == event["nJet"] == len(entry["Jet_eff"])
        assert entry["Jet_eff"] == pytest.approx(expected_of(event), rel=SINGLE)
        for number in ("run", "luminosityBlock", "event"):
            assert entry[number] == event[number]
        unsorted += event["Jet_pt"] != sorted(event["Jet_pt"], reverse=True)
    assert unsorted > 30


def test_weights_are_those_of_all_ways_to_tag(nano: Path) -> None:
    events, friend = friend_of(nano, weight=0.5)
    for event, entry in zip(events, friend, strict=True):
        expected = expected_of(event)
        assert entry["weight"] == 0.5 * event["genWeight"]
        for count in range(4):
            assert entry[f"p_tag_{count}"] == pytest.approx(tags_by_hand(expected, count))
        for count in (1, 2, 3):
            below = sum(tags_by_hand(expected, fewer) for fewer in range(count))
            assert entry[f"p_tag_ge_{count}"] == pytest.approx(1 - below, abs=1e-12)


def test_events_without_selected_jets_have_no_tags_for_certain(nano: Path) -> None:
    _, friend = friend_of(nano)
    without = [entry for entry in friend if all(eff == -1 for eff in entry["Jet_eff"])]
    assert any(entry["Jet_eff"] for entry in without)
    assert any(not entry["Jet_eff"] for entry in without)
    for entry in without:
        assert entry["is_selected"]
        assert (entry["p_tag_0"], entry["p_tag_ge_1"], entry["p_tag_3"]) == (1, 0, 0)


def test_rejected_events_have_their_entry_and_no_weight(nano: Path) -> None:
    options = options_of(events={"luminosityBlock": [2, 2]})
    events, friend = friend_of(nano, options=options)
    assert len(friend) == len(events)
    for event, entry in zip(events, friend, strict=True):
        inside = event["luminosityBlock"] == 2
        assert entry["is_selected"] == inside
        assert len(entry["Jet_eff"]) == event["nJet"]
        assert entry["event"] == event["event"]
        if inside:
            assert entry["Jet_eff"] == pytest.approx(expected_of(event), rel=SINGLE)
            continue
        assert set(entry["Jet_eff"]) <= {-1.0}
        assert all(np.isnan(entry[name]) for name in ("weight", "p_tag_0", "p_tag_ge_2"))


def test_every_working_point_has_its_columns(few: Jets, tmp_path: Path) -> None:
    points = tuple(STEPS)
    nano = tmp_path / "nano.root"
    write_nano(few, nano, np.random.default_rng(4))
    events, friend = friend_of(nano, ByHand(points))
    for event, entry in zip(events, friend, strict=True):
        expected = np.array(expected_of(event))
        for point, factor in STEPS.items():
            own = np.where(expected < 0, -1, factor * expected)
            assert entry[f"Jet_eff_{point}"] == pytest.approx(own.tolist(), rel=SINGLE)
            assert entry[f"p_tag_2_{point}"] == pytest.approx(tags_by_hand(own.tolist(), 2))


def test_few_jets_are_the_hardest(nano: Path) -> None:
    events, friend = friend_of(nano, weigh=TagWeights(tags=1, leading=1))
    for event, entry in zip(events, friend, strict=True):
        eff = np.array(expected_of(event))
        first = int(np.argmax(np.where(eff < 0, -1, event["Jet_pt"]))) if len(eff) else 0
        hardest = eff[first] if (eff >= 0).any() else 0.0
        assert entry["p_tag_ge_1"] == pytest.approx(hardest)
        assert "p_tag_2" not in entry


# ---- the same weights as elsewhere


def everything(path: Path, options: ReaderOptions, **more: Any) -> tuple[Jets, pd.DataFrame]:
    """Read a file at once."""
    chunks: list[ReadChunk] = list(read_events(path, options, LABELS, {}, {}, **more))
    jets = concatenate([chunk.jets for chunk in chunks])
    return jets, pd.concat([chunk.events.to_pandas() for chunk in chunks])


def test_the_table_of_weights_is_the_workflow_s(nano: Path) -> None:
    """Column by column, value by value, in steps and at once."""
    options = options_of(events={"luminosityBlock": [1, 2]}, step_events=70)
    jets, events = everything(nano, options)
    weights = TagWeights()(jets, predict(ByHand(), jets), events)
    _, friend = friend_of(nano, options=options)
    selected = pd.DataFrame([entry for entry in friend if entry["is_selected"]])
    names = [name for name in weights if name.startswith(("weight", "p_tag"))]
    assert len(names) == 8
    for name in names:
        assert np.array_equal(selected[name], weights[name]), name


def test_the_parquet_friend_says_the_same(nano: Path) -> None:
    parquet = nano.with_name("friend.parquet")
    _, friend = friend_of(nano, parquet_path=parquet, provenance={"config": "abc"})
    table = read_frame(parquet)
    assert len(table) == len(friend)
    for name in table:
        for one, other in zip(table[name], friend, strict=True):
            assert np.array_equal(one, other[name], equal_nan=True), name
    assert set(friend[0]) == {*table, "nJet_truthtag"}
    assert read_metadata(parquet) == {"config": "abc", "content": "friend tree"}


@pytest.mark.parametrize("ntuple", [False, True])
def test_rntuple_and_tree_have_the_same_friend(few: Jets, tmp_path: Path, ntuple: bool) -> None:
    path = tmp_path / "nano.root"
    write_nano(few, path, np.random.default_rng(3), ntuple=ntuple, step=100)
    weigh_file(ByHand(), path, options_of(step_events=80), root_path=tmp_path / "friend.root")
    other = tmp_path / "tree.root"
    write_nano(few, other, np.random.default_rng(3))
    weigh_file(ByHand(), other, options_of(), root_path=tmp_path / "other.root")
    assert read_tree(tmp_path / "friend.root") == read_tree(tmp_path / "other.root")


def write_empty(path: Path) -> Path:
    """Write a file of NanoAOD's layout without events."""
    import awkward as ak

    branches = {}
    for name, values in two_events().items():
        kind = np.uint8 if name == "Jet_hadronFlavour" else np.float32
        is_list = name.startswith("Jet_")
        branches[name] = ak.values_astype(ak.Array(values)[:0], kind) if is_list else values[:0]
    branches["genWeight"] = np.zeros(0)
    return write_root(path, branches)


def test_a_file_without_events_has_a_friend_without_entries(tmp_path: Path) -> None:
    path = write_empty(tmp_path / "empty.root")
    parquet = tmp_path / "friend.parquet"
    events, friend = friend_of(path, parquet_path=parquet)
    assert events == friend == []
    import uproot

    with uproot.open(tmp_path / "friend.root") as file:
        names = set(file["truthtag"].keys())
    assert {"Jet_eff", "p_tag_ge_2", "is_selected", "event"} <= names
    assert names == {*read_frame(parquet), "nJet_truthtag"}


def test_progress_counts_all_entries(nano: Path) -> None:
    done: list[int] = []
    events, _ = friend_of(nano, options=options_of(step_events=100), progress=done.append)
    assert sum(done) == len(events)
    assert max(done) == 100


def test_what_happened_is_returned(nano: Path, tmp_path: Path) -> None:
    counts = weigh_file(ByHand(), nano, options_of(), root_path=tmp_path / "friend.root")
    friend = read_tree(tmp_path / "friend.root")
    assert counts.entries == counts.events == len(friend)
    assert counts.jets == sum(eff >= 0 for entry in friend for eff in entry["Jet_eff"])


# ---- models of ours


def test_an_ensemble_is_asked_for_its_efficiency_alone(nano: Path) -> None:
    class Replicated(ByHand):
        def with_replicas(self, jets: Jets) -> Any:
            raise AssertionError

    events, friend = friend_of(nano, Replicated())
    assert friend[0]["Jet_eff"] == pytest.approx(expected_of(events[0]), rel=SINGLE)


def networks(count: int, **more: Any) -> list[NetworkEstimator]:
    architecture = Architecture(kind="factorised", width=8, **more.pop("architecture", {}))
    return [NetworkEstimator(EfficiencyNetwork(architecture, **more)) for _ in range(count)]


def test_networks_weigh_as_they_predict(nano: Path) -> None:
    model = Ensemble(networks(2, points=("loose", "tight")))
    jets, _ = everything(nano, options_of())
    _, friend = friend_of(nano, model, options_of(step_events=90))
    said = [eff for entry in friend for eff in entry["Jet_eff_tight"] if eff >= 0]
    assert sorted(said) == pytest.approx(sorted(model.efficiency(jets)[:, 1]), rel=1e-5)


def test_what_models_know() -> None:
    inputs = {"inputs": ("pt", "eta", "phi", "flavour", "width", "origin")}
    knowing = networks(
        2,
        architecture=inputs,
        flavours=(0, 5),
        points=("loose", "tight"),
        categories={"origin": (0, 3), "unused": (1, 2)},
    )
    models = [knowing[0], Ensemble(knowing), Ensemble([ByHand()], knowing[0])]
    folded = CrossFitted(Folds(2), [Ensemble(knowing), Ensemble(knowing)])
    for model in [*models, folded, folded.held_out]:
        assert labels_of(model) == Labels((0, 5), ("loose", "tight"), {"origin": (0, 3)})
        assert inputs_of(model) == ("width", "origin")


@pytest.mark.parametrize("kind", ["binned", "smoothed", "nearest_jet", "parametric", "trees"])
def test_what_every_kind_knows(kind: str, few: Jets) -> None:
    from tests.estimator_kinds import fit

    further = {"width": few.eta * 2}
    axes = {"axes": {"width": [-6.0, 0.0, 6.0], "mass": [0.0, 1.0, 9.0]}}
    changes = {} if kind in ("parametric", "trees") else axes
    changes |= {"delta_r": [0.0, 1.0, 3.0]} if kind == "nearest_jet" else {}
    changes |= {"rounds": 2} if kind == "trees" else {}
    model = fit(kind, few.with_columns(further=further), **changes)
    assert labels_of(model) == Labels((0, 4, 5))
    assert inputs_of(model) == (() if kind == "parametric" else ("width",))


def test_nothing_is_known_of_what_says_nothing() -> None:
    assert labels_of(object()) == Labels()
    assert inputs_of(object()) == ()


def test_further_inputs_are_read_by_their_names(nano: Path, few: Jets, tmp_path: Path) -> None:
    path = tmp_path / "further.root"
    write_nano(few.with_columns(further={"width": few.mass}), path, np.random.default_rng(1))
    (model,) = networks(1, architecture={"inputs": ("pt", "eta", "flavour", "width")})
    _, plain = friend_of(path, model, inputs={"width": Input(branch="Jet_width")})
    _, by_name = friend_of(path, model)
    assert plain == by_name
    with pytest.raises(DataError, match="no branch 'width', for the input 'width'"):
        friend_of(nano, model)
    with pytest.raises(ConfigError, match=r"column 'width' of a jet.*inputs: none.*inputs\.width"):
        friend_of(nano, model, inputs={})


def test_flavours_that_a_model_does_not_know_are_refused(nano: Path) -> None:
    with pytest.raises(DataError, match="the flavours of the config are 0, 5"):
        friend_of(nano, ByHand(flavours=(0, 5)))
    assert not nano.with_name("friend.root").exists()


def test_other_working_points_are_refused(nano: Path) -> None:
    model = ByHand(("loose", "tight"))
    with pytest.raises(ConfigError, match=r"knows the working points loose, tight.*name medium"):
        friend_of(nano, model, labels=LABELS)


def test_another_unit_is_refused(nano: Path) -> None:
    with pytest.raises(DataError, match="state unit: GeV"):
        friend_of(nano, options=options_of(unit="MeV"))


def test_a_model_that_gives_no_probability_is_refused(nano: Path) -> None:
    class Wrong(ByHand):
        def efficiency(self, jets: Jets) -> Any:
            return super().efficiency(jets) + 0.99

    with pytest.raises(DataError, match=r"must lie in \[0, 1\]"):
        friend_of(nano, Wrong())
    assert list(nano.parent.iterdir()) == [nano]


# ---- tags


def test_tags_are_read_only_where_they_are_needed(nano: Path, tmp_path: Path) -> None:
    branches = two_events(Jet_btag=None, Jet_pt=[[30.0, 90.0, 60.0], [50.0, 40.0]])
    path = write_root(tmp_path / "untagged.root", branches)
    events, friend = friend_of(path)
    assert friend[0]["Jet_eff"] == pytest.approx(expected_of(events[0]), rel=SINGLE)
    with pytest.raises(DataError, match="no branch 'Jet_btag', for the discriminant"):
        friend_of(path, working_points={"medium": 0.5}, labels=LABELS)


def test_flavours_can_keep_their_tags(nano: Path) -> None:
    weigh = TagWeights(tags=1, keep_tags_of=(0, 4, 5))
    (threshold,) = nano_thresholds()
    events, friend = friend_of(
        nano, weigh=weigh, working_points={"medium": threshold}, labels=LABELS
    )
    for event, entry in zip(events, friend, strict=True):
        inside = np.array(expected_of(event)) >= 0
        tags = int((inside & (np.array(event["Jet_btag"]) > threshold)).sum())
        assert entry["p_tag_ge_1"] == (tags >= 1)
    with pytest.raises(DataError, match="no column 'is_tagged'"):
        friend_of(nano, weigh=weigh)


# ---- other formats


def test_parquet_has_a_parquet_friend(few: Jets, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    write_jets([few], path)
    options = ReaderOptions(format="parquet")
    target = tmp_path / "friend.parquet"
    weigh_file(ByHand(), path, options, parquet_path=target)
    table = read_frame(target)
    assert table["event_number"].tolist() == few.event.tolist()
    assert np.concatenate(table["Jet_eff"]) == pytest.approx(ByHand().efficiency(few), rel=SINGLE)
    with pytest.raises(ConfigError, match="can be no friend of a Parquet file"):
        weigh_file(ByHand(), path, options, root_path=tmp_path / "friend.root")


def test_samples_of_ours_are_weighed_in_their_order(few: Jets, tmp_path: Path) -> None:
    folder = tmp_path / "sample"
    write_jets([few.take(slice(0, 100))], folder / "0000.parquet")
    write_jets([few.take(slice(100, 300))], folder / "0001.parquet")
    target = tmp_path / "weights.parquet"
    done: list[int] = []
    assert weigh_sample(ByHand(), folder, target, progress=done.append) == 300
    assert done == [100, 200]
    table = read_frame(target)
    expected = TagWeights()(few, predict(ByHand(), few))
    for name in expected:
        assert np.array_equal(table[name], expected[name]), name
    eff = ByHand().efficiency(few)
    assert np.concatenate(table["Jet_eff"]) == pytest.approx(eff, rel=SINGLE)
    assert [len(values) for values in table["Jet_eff"]] == few.multiplicity.tolist()


def test_samples_are_not_written_into(few: Jets, tmp_path: Path) -> None:
    folder = tmp_path / "sample"
    write_jets([few], folder / "0000.parquet")
    for target in (folder / "0000.parquet", folder / "weights.parquet"):
        with pytest.raises(ConfigError, match="is an input"):
            weigh_sample(ByHand(), folder, target)
    with pytest.raises(DataError, match="jet has 5"):
        weigh_sample(networks(1, flavours=(0, 4))[0], folder, tmp_path / "weights.parquet")
    assert [file.name for file in tmp_path.rglob("*.parquet")] == ["0000.parquet"]


@pytest.mark.parametrize("rows", [1, 2, 50, 10_000])
def test_blocks_are_the_sample(few: Jets, tmp_path: Path, rows: int) -> None:
    path = tmp_path / "sample.parquet"
    part = few.take(slice(0, 40)).with_columns(further={"width": few.take(slice(0, 40)).eta})
    write_jets([part.take(slice(0, 15)), part.take(slice(15, 40))], path)
    blocks = list(read_blocks(path, rows=rows))
    assert rows > 100 or len(blocks) > 3
    joined = concatenate(blocks)
    whole = read_jets(path)
    assert joined.digest() == whole.digest() == part.digest()
    assert joined.labels == whole.labels


def test_a_sample_without_events_is_one_block(few: Jets, tmp_path: Path) -> None:
    path = tmp_path / "sample.parquet"
    write_jets([few.take(slice(0, 0))], path)
    assert [block.n_events for block in read_blocks(path)] == [0]
    assert weigh_sample(ByHand(), path, tmp_path / "weights.parquet") == 0
    pq.write_table(pq.read_table(path).drop(["eta"]), tmp_path / "other.parquet")
    with pytest.raises(DataError, match="column 'eta' is missing"):
        list(read_blocks(tmp_path / "other.parquet"))


def test_weights_can_be_of_another_making(nano: Path) -> None:
    """As those of scale factors are: more columns, of any names."""

    def weigh(jets: Jets, prediction: Prediction, events: Any) -> pd.DataFrame:
        table = TagWeights(tags=1)(jets, prediction, events)
        return table.assign(p_tag_1_sf_up=2 * table["p_tag_1"])

    _, friend = friend_of(nano, weigh=weigh)
    assert all(entry["p_tag_1_sf_up"] == 2 * entry["p_tag_1"] for entry in friend)


# ---- the experiments' own files


@pytest.mark.skipif(not NANO.is_file(), reason=f"{NANO} is not there")
def test_a_friend_of_a_real_file(tmp_path: Path) -> None:
    import uproot

    target = tmp_path / "friend.root"
    options = options_of(discriminant="Jet_btagPNetB")
    counts = weigh_file(ByHand(), NANO, options, root_path=target)
    assert (counts.entries, counts.jets) == (200, 1121)
    names = ["nJet", "Jet_pt", "Jet_eta", "Jet_hadronFlavour", "run", "luminosityBlock", "event"]
    with uproot.open(NANO) as file:
        arrays = {name: file["Events"][name].array().to_list() for name in names}
    friend = read_tree(target)
    rows = zip(*arrays.values(), strict=True)
    events = [dict(zip(arrays, row, strict=True)) for row in rows]
    for event, entry in zip(events, friend, strict=True):
        assert len(entry["Jet_eff"]) == event["nJet"]
        assert entry["Jet_eff"] == pytest.approx(expected_of(event), rel=SINGLE)
        assert all(entry[number] == event[number] for number in names[4:])
        assert entry["p_tag_2"] == pytest.approx(tags_by_hand(entry["Jet_eff"], 2), rel=1e-5)
    jets, table = everything(NANO, options)
    weights = TagWeights()(jets, predict(ByHand(), jets), table)
    for name in ("p_tag_1", "p_tag_ge_2"):
        ours = sum(entry["weight"] * entry[name] for entry in friend)
        assert ours == pytest.approx((weights["weight"] * weights[name]).sum(), rel=1e-14)


@pytest.mark.skipif(not PHYSLITE.is_file(), reason=f"{PHYSLITE} is not there")
def test_a_friend_of_a_file_of_atlas(tmp_path: Path) -> None:
    """Momenta in MeV, jets out of order, names of another kind."""
    import uproot

    target = tmp_path / "friend.root"
    options = ReaderOptions(format="physlite", merge_flavours={15: 0}, pt=(20.0, None))
    weigh_file(ByHand(), PHYSLITE, options, root_path=target)
    names = ["pt", "eta", "HadronConeExclTruthLabelID"]
    with uproot.open(PHYSLITE) as file:
        tree = file["CollectionTree"]
        pt, eta, flavour = (tree[f"AnalysisJetsAuxDyn.{name}"].array() for name in names)
        numbers = tree["EventInfoAuxDyn.eventNumber"].array().to_list()
    friend = read_tree(target)
    assert [entry["eventNumber"] for entry in friend] == numbers
    for momenta, etas, flavours, entry in zip(pt, eta, flavour, friend, strict=True):
        event = {
            "Jet_pt": (momenta.to_numpy() / np.float32(1000)).tolist(),
            "Jet_eta": etas,
            "Jet_hadronFlavour": [0 if one == 15 else one for one in flavours],
        }
        assert entry["Jet_eff"] == pytest.approx(expected_of(event, most_eta=9), rel=SINGLE)


@pytest.mark.skipif(importlib.util.find_spec("ROOT") is None, reason="ROOT is not installed")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_root_reads_the_friend(nano: Path) -> None:
    import ROOT

    events, friend = friend_of(nano, options=options_of(events={"luminosityBlock": [1, 2]}))
    tree_of = {}
    for name, tree in (("nano", "Events"), ("friend", "truthtag")):
        file = ROOT.TFile.Open(str(nano.with_name(f"{name}.root")))
        tree_of[name] = (file, file.Get(tree))
    tree = tree_of["nano"][1]
    tree.AddFriend(tree_of["friend"][1])
    same = "event == truthtag.event && nJet == truthtag.nJet_truthtag"
    assert tree.Draw("event", same, "goff") == len(events)
    count = sum(eff >= 0 for entry in friend for eff in entry["Jet_eff"])
    assert tree.Draw("Jet_pt", "truthtag.Jet_eff >= 0", "goff") == count
    frame = ROOT.RDataFrame(tree)
    same += " && truthtag.Jet_eff.size() == Jet_pt.size()"
    assert frame.Filter(same).Count().GetValue() == len(events)
    selected = frame.Filter("truthtag.is_selected")
    total = sum(entry["p_tag_ge_2"] for entry in friend if entry["is_selected"])
    assert selected.Sum("truthtag.p_tag_ge_2").GetValue() == pytest.approx(total)


@pytest.mark.skipif(importlib.util.find_spec("ROOT") is None, reason="ROOT is not installed")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_root_reads_a_friend_without_entries(tmp_path: Path) -> None:
    import ROOT

    path = write_empty(tmp_path / "empty.root")
    friend_of(path)
    file = ROOT.TFile.Open(str(tmp_path / "friend.root"))
    assert file.Get("truthtag").GetEntries() == 0
    assert ROOT.RDataFrame(file.Get("truthtag")).Sum("p_tag_0").GetValue() == 0


# ---- the documentation


def code_blocks() -> list[str]:
    """Return the Python code of the page on friend trees, block by block."""
    page = (ROOT / "docs/friend-trees.md").read_text()
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


def test_the_code_of_the_documentation_runs(
    few: Jets, nano: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.estimator_kinds import fit

    monkeypatch.chdir(nano.parent)
    fit("binned", few).save("map.parquet", {})
    write_jets([few], "sample.parquet")
    names: dict[str, Any] = {}
    of_root = [block for block in code_blocks() if "import ROOT" in block]
    assert len(of_root) == 1
    for block in code_blocks():
        if block not in of_root:
            exec(block, names)  # noqa: S102 - our own page
    events = read_tree(nano, "Events")
    assert f"{len(events)} of {len(events)} events" in capsys.readouterr().out
    assert len(names["weight"]) == len(names["pt"]) == len(events)
    count = sum(eff >= 0 for entry in read_tree("nano.truthtag.root") for eff in entry["Jet_eff"])
    assert sum(map(len, names["pt"])) == count
    assert len(read_frame("weights.parquet")) == few.n_events
    if importlib.util.find_spec("ROOT") is not None:
        with warnings.catch_warnings(action="ignore"):
            exec(of_root[0], names)  # noqa: S102
        assert names["histogram"].Integral() != 0
