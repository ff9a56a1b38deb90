"""Friend trees: entry by entry beside the file, never in place of anything of the user's."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.friend_files import STEPS, ByHand, read_tree
from tests.nano import write_nano
from tests.reader_files import LABELS, POINT, options_of, two_events, write_root
from truthtag.data.event_rows import open_rows
from truthtag.data.files import read_frame, read_frames, read_metadata, write_frame
from truthtag.data.folds import file_number
from truthtag.data.jets import Jets, read_jets, write_jets
from truthtag.data.labels import Labels
from truthtag.data.readers.convert import convert
from truthtag.data.readers.entries import Entries, read_entries
from truthtag.data.readers.options import ReaderOptions
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.prediction_files import write_prediction
from truthtag.estimators.predictions import predict
from truthtag.exports.alignment import Places, number_columns
from truthtag.exports.friends import FriendFile, is_friend
from truthtag.exports.sample_friends import write_friend
from truthtag.exports.weighing import TagWeights, weigh_file

pytest.importorskip("uproot")

N_JETS = np.array([2, 0, 1])


def write_some(friend: FriendFile, n_jets: Any = N_JETS, **changes: Any) -> None:
    """Write entries with one column of each kind."""
    count = int(np.sum(n_jets))
    columns = {"weight": np.arange(len(n_jets), dtype=float)} | changes
    friend.write(np.asarray(n_jets), columns, {"Jet_eff": np.arange(count, dtype=np.float32)})


# ---- the file


def test_entries_and_lists_come_back(tmp_path: Path) -> None:
    root, parquet = tmp_path / "deep/friend.root", tmp_path / "friend.parquet"
    with FriendFile(root, parquet, provenance={"config": "abc"}) as friend:
        write_some(friend)
        write_some(friend, [0])
        write_some(friend, [3, 1])
    found = read_tree(root)
    assert [entry["nJet_truthtag"] for entry in found] == [2, 0, 1, 0, 3, 1]
    assert [entry["Jet_eff"] for entry in found] == [[0, 1], [], [2], [], [0, 1, 2], [3]]
    assert [entry["weight"] for entry in found] == [0, 1, 2, 0, 0, 1]
    table = read_frame(parquet)
    assert [list(values) for values in table["Jet_eff"]] == [entry["Jet_eff"] for entry in found]
    assert is_friend(root)
    assert is_friend(parquet)


def test_it_is_a_tree_with_one_counter_that_says_where_it_comes_from(tmp_path: Path) -> None:
    import uproot

    path = tmp_path / "friend.root"
    with FriendFile(path, provenance={"config": "abc"}) as friend:
        of_jets = {"Jet_eff_a": np.zeros(3, np.float32), "Jet_eff_b": np.ones(3, np.float32)}
        friend.write(N_JETS, {"is_selected": np.ones(3, dtype=bool)}, of_jets)
    with uproot.open(path) as file:
        assert file.classnames(cycle=False)["truthtag"] == "TTree"
        assert str(file["truthtag_provenance"]) == '{"config": "abc", "content": "friend tree"}'
        tree = file["truthtag"]
        assert tree.keys() == ["is_selected", "nJet_truthtag", "Jet_eff_a", "Jet_eff_b"]
        assert tree["is_selected"].typename == "bool"
        for name in ("Jet_eff_a", "Jet_eff_b"):
            assert (
                tree[name].member("fLeaves")[0].member("fLeafCount").member("fName")
                == "nJet_truthtag"
            )


def test_the_same_entries_are_the_same_bytes_but_for_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ROOT notes when each record was written, and uproot takes that from the clock."""
    moment = SimpleNamespace(now=lambda: datetime(2026, 11, 26, 12, 0, 0))
    for module in ("_cascade", "_cascadetree"):
        clock = SimpleNamespace(datetime=moment)
        monkeypatch.setattr(f"uproot.writing.{module}.datetime", clock)
    for name in ("a", "b"):
        with FriendFile(tmp_path / name / "f.root", tmp_path / f"{name}.parquet") as friend:
            write_some(friend)
            write_some(friend)
    written = (tmp_path / "a/f.root").read_bytes()
    assert written == (tmp_path / "b/f.root").read_bytes()
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert str(tmp_path).encode() not in written
    assert str(os.getpid()).encode() not in written


def test_only_lists_or_only_numbers_will_do(tmp_path: Path) -> None:
    with FriendFile(tmp_path / "a.root") as friend:
        friend.write(N_JETS, {}, {"Jet_eff": np.zeros(3, np.float32)})
    with FriendFile(tmp_path / "b.root") as friend:
        friend.write(N_JETS, {"weight": np.ones(3)}, {})
    assert set(read_tree(tmp_path / "a.root")[0]) == {"nJet_truthtag", "Jet_eff"}
    assert set(read_tree(tmp_path / "b.root")[0]) == {"weight"}


@given(st.lists(st.lists(st.integers(0, 4), max_size=4), max_size=4))
def test_any_blocks_of_any_multiplicities(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[list[int]]
) -> None:
    path = tmp_path_factory.mktemp("friend") / "friend.parquet"
    with FriendFile(None, path) as friend:
        write_some(friend, np.zeros(0, dtype=int))
        for block in blocks:
            write_some(friend, np.array(block, dtype=int))
    lengths = [len(values) for values in read_frame(path)["Jet_eff"]]
    assert lengths == [count for block in blocks for count in block]


# ---- whole or not at all, and never the user's own


def test_a_friend_that_breaks_off_is_not_there(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="stop"),
        FriendFile(tmp_path / "friend.root", tmp_path / "friend.parquet") as friend,
    ):
        write_some(friend)
        msg = "stop"
        raise RuntimeError(msg)
    assert not list(tmp_path.iterdir())


def test_a_friend_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing was written"), FriendFile(tmp_path / "f.root"):
        pass
    with pytest.raises(ConfigError, match="needs a path"):
        FriendFile(None)
    assert not list(tmp_path.iterdir())


def test_a_friend_of_another_length_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(DataError, match=r"would have 3 entries, and data\.root has 4"),
        FriendFile(tmp_path / "friend.root") as friend,
    ):
        write_some(friend)
        friend.require_entries(4, "data.root")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("how", ["itself", "dots", "symlink", "hard link", "folder"])
def test_an_input_is_never_written_to(tmp_path: Path, how: str) -> None:
    source = write_root(tmp_path / "data.root", two_events())
    before = source.read_bytes()
    target = tmp_path / "other.root"
    if how == "itself":
        target = source
    elif how == "dots":
        target = tmp_path / "x/../data.root"
        (tmp_path / "x").mkdir()
    elif how == "symlink":
        target.symlink_to(source)
    elif how == "hard link":
        target.hardlink_to(source)
    given_input = tmp_path if how == "folder" else source
    with pytest.raises(ConfigError, match=r"is an input .* which is never written to"):
        FriendFile(target, inputs=[given_input])
    assert source.read_bytes() == before


def test_only_friends_of_ours_are_replaced(tmp_path: Path, few: Jets) -> None:
    foreign = write_root(tmp_path / "foreign.root", two_events(), tree="truthtag")
    sample = tmp_path / "sample.parquet"
    write_jets([few], sample)
    frame = tmp_path / "frame.parquet"
    pd.DataFrame({"a": [1]}).to_parquet(frame)
    text = tmp_path / "text.root"
    text.write_text("root")
    broken = tmp_path / "broken.root"
    broken.symlink_to(tmp_path / "nowhere")
    for path in (foreign, sample, frame, text, broken, tmp_path):
        assert not is_friend(path)
        with pytest.raises(ConfigError, match="is no friend tree that truthtag wrote"):
            FriendFile(path)
    for number in (1, 2):
        with FriendFile(tmp_path / "f.root", tmp_path / "f.parquet") as friend:
            write_some(friend, [number])
    assert len(read_tree(tmp_path / "f.root")[0]["Jet_eff"]) == 2


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    def fails(message: str, *arguments: Any) -> None:
        with (
            pytest.raises(DataError, match=message),
            FriendFile(tmp_path / "friend.root", tmp_path / "friend.parquet") as friend,
        ):
            for entries in arguments:
                friend.write(*entries)

    one = {"weight": np.ones(3)}
    eff = {"Jet_eff": np.zeros(3, np.float32)}
    fails(
        "'weight' has 2 values for 3 entries with 3 jets; 3 are", (N_JETS, {"weight": [1, 2]}, eff)
    )
    fails("'Jet_eff' has 1 values", (N_JETS, one, {"Jet_eff": np.zeros(1)}))
    fails("two columns would be called 'weight'", (N_JETS, one, {"weight": np.zeros(3)}))
    fails("called 'nJet_truthtag'", (N_JETS, {"nJet_truthtag": np.zeros(3)}, eff))
    fails("'p%' cannot be the name of a branch", (N_JETS, {"p%": np.zeros(3)}, eff))
    changed = {"weight": np.ones(3, dtype=np.float32)}
    fails(r"weight \(float32\).*had weight \(float64\)", (N_JETS, one, eff), (N_JETS, changed, eff))
    assert not list(tmp_path.iterdir())


# ---- places


def entries_with(n_jets: list[int], first: int = 0) -> Entries:
    numbers = np.arange(first, first + len(n_jets))
    return Entries(first, np.array(n_jets), numbers, numbers, numbers + 100)


def test_numbers_go_where_they_belong() -> None:
    entries = entries_with([2, 0, 3, 1], first=10)
    own = (7 << 32) | np.array([10, 12])
    of_jets = own[[0, 1, 1]]
    places = Places(entries, own, of_jets, np.array([1, 2, 0]), "data.root")
    assert places.of_jets(np.array([0.1, 0.2, 0.3])) == pytest.approx([-1, 0.1, 0.3, -1, 0.2, -1])
    assert places.is_selected.tolist() == [True, False, True, False]
    assert np.array_equal(
        places.of_events(np.array([5.0, 6.0])), [5, np.nan, 6, np.nan], equal_nan=True
    )
    places.require_same("event_number", np.array([110, 112]), entries.event_number)
    with pytest.raises(DataError, match="event_number of entry 12 is 112 now, and was 7"):
        places.require_same("event_number", np.array([110, 7]), entries.event_number)


@pytest.mark.parametrize(
    ("event", "of_jets", "position", "message"),
    [
        ([14], [], [], "not among its 14 entries"),
        ([9], [], [], "not among its 14 entries"),
        ([10], [10], [2], "more jets than its entry"),
        ([10], [10], [-1], "more jets than its entry"),
        ([10, 10], [], [], "stands in the sample twice"),
        ([10], [10, 10], [1, 1], "stands in the sample twice"),
    ],
)
def test_places_that_cannot_be_are_refused(
    event: list[int], of_jets: list[int], position: list[int], message: str
) -> None:
    arrays = [np.array(values, dtype=np.int64) for values in (event, of_jets, position)]
    with pytest.raises(DataError, match=f"data.root: is not the file.*{message}"):
        Places(entries_with([2, 0, 3, 1], first=10), *arrays, "data.root")


def test_numbers_have_the_names_and_types_of_the_format() -> None:
    entries = entries_with([1, 2])
    huge = replace(entries, event_number=np.array([-1, 5]))
    nano = number_columns(huge, options_of(), "data.root")
    assert {name: str(values.dtype) for name, values in nano.items()} == {
        "run": "uint32",
        "luminosityBlock": "uint32",
        "event": "uint64",
    }
    assert nano["event"].tolist() == [2**64 - 1, 5]
    physlite = number_columns(entries, ReaderOptions(format="physlite"), "data.root")
    assert list(physlite) == ["runNumber", "lumiBlock", "eventNumber"]
    plain = number_columns(huge, ReaderOptions(format="root"), "data.root")
    assert list(plain) == ["run", "luminosity_block", "event_number"]
    assert plain["event_number"].tolist() == [-1, 5]
    for wrong in (-1, 2**32):
        with pytest.raises(DataError, match=f"run is {wrong}; uint32 is wanted"):
            number_columns(replace(entries, run=np.array([1, wrong])), options_of(), "data.root")


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_all_entries_of_a_file_are_read(few: Jets, tmp_path: Path, step: int) -> None:
    """Whatever is selected, and of the branches that say which they are alone."""
    path = tmp_path / "nano.root"
    write_nano(few.take(slice(0, 30)), path, np.random.default_rng(1), step=10)
    options = options_of(step_events=step, discriminant="nothing", events={"nowhere": [1, 1]})
    parts = list(read_entries(path, options))
    events = read_tree(path, "Events")
    assert [part.first for part in parts] == list(range(0, len(events), step))
    assert parts[-1].last == len(events)
    for ours, theirs in (("n_jets", "nJet"), ("event_number", "event"), ("run", "run")):
        found = np.concatenate([getattr(part, ours) for part in parts])
        assert found.tolist() == [event[theirs] for event in events]


# ---- rows of a table of the whole sample


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Numbers of events of three files, two of each."""
    path = tmp_path / "rows.parquet"
    event = np.repeat([(5 << 32), (5 << 32) + 1, (2 << 32), (2 << 32) + 3, (9 << 32)], 2)
    write_frame(pd.DataFrame({"event": event, "value": np.arange(10.0)}), path)
    return path


def test_rows_of_one_file_come_event_by_event(rows: Path) -> None:
    with open_rows(rows, ["event", "value"], 2 << 32, 3 << 32) as found:
        assert found.below((2 << 32) + 3)["value"].tolist() == [4, 5]
        assert found.below((2 << 32) + 3)["value"].tolist() == []
        assert found.below(3 << 32)["value"].tolist() == [6, 7]
        with pytest.raises(DataError, match="6 of its 10 rows belong to no entry"):
            found.require_all_given()
    with open_rows(rows, ["event"], 7 << 32, 8 << 32) as found:
        assert found.below(8 << 32)["event"].tolist() == []


def test_rows_in_another_order_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    write_frame(pd.DataFrame({"event": [3, 1, 2]}), path)
    with (
        open_rows(path, ["event"], 0, 9) as found,
        pytest.raises(DataError, match="1 comes after 3"),
    ):
        found.below(9)
    with (
        pytest.raises(DataError, match="column 'value' is missing"),
        open_rows(path, ["value"], 0, 1),
    ):
        pass


# ---- the friends of a sample of several files and estimators


class Sample:
    """Two files, read, predicted and weighted as the workflow does it."""

    def __init__(self, folder: Path, jets: Jets, points: tuple[str, ...] = ()) -> None:
        self.models = {"map": ByHand(points), "gnn": ByHand(points)}
        self.options = options_of(events={"luminosityBlock": [1, 1]}, step_events=64)
        labels = Labels((0, 4, 5), points)
        self.files = [folder / "second.root", folder / "first.root"]
        self.shards = [folder / f"{number}.jets.parquet" for number in range(2)]
        self.events = [folder / f"{number}.events.parquet" for number in range(2)]
        halves = [jets.take(slice(0, 130)), jets.take(slice(130, 300))]
        for file, half, shard, events in zip(
            self.files, halves, self.shards, self.events, strict=True
        ):
            write_nano(half, file, np.random.default_rng(half.n_events))
            convert(file, self.options, labels, {}, {}, 2.0, None, shard, events, {})
        sample = read_jets(self.shards)
        self.predictions = {}
        self.weights = {}
        for name, model in self.models.items():
            prediction = predict(model, sample)
            self.predictions[name] = folder / f"{name}.predictions.parquet"
            write_prediction(prediction, self.predictions[name], {})
            table = TagWeights(tags=2)(sample, prediction, read_frames(self.events))
            self.weights[name] = folder / f"{name}.weights.parquet"
            write_frame(table, self.weights[name])

    def write(self, number: int, **changes: Any) -> int:
        usual = {
            "path": self.files[number],
            "options": self.options,
            "shard_path": self.shards[number],
            "events_path": self.events[number],
            "predictions": self.predictions,
            "weights": self.weights,
            "root_path": self.files[number].with_name(f"{number}.friend.root"),
        }
        return write_friend(**(usual | changes))


@pytest.fixture
def sample_of_files(few: Jets, tmp_path: Path) -> Sample:
    return Sample(tmp_path, few)


@pytest.mark.parametrize("points", [(), tuple(STEPS)], ids=["one point", "three"])
def test_friends_say_what_the_sample_says(
    few: Jets, tmp_path: Path, points: tuple[str, ...]
) -> None:
    """Whatever is known of a file from the whole sample is what weighing the file alone gives."""
    sample = Sample(tmp_path, few, points)
    for number, file in enumerate(sample.files):
        parquet = tmp_path / f"{number}.friend.parquet"
        count = sample.write(number, parquet_path=parquet, provenance={"config": "abc"})
        alone = tmp_path / "alone.root"
        weigh_file(
            sample.models["gnn"],
            file,
            sample.options,
            root_path=alone,
            weigh=TagWeights(tags=2),
            weight=2.0,
        )
        friend, expected = read_tree(tmp_path / f"{number}.friend.root"), read_tree(alone)
        assert count == len(friend) == len(expected) == len(read_tree(file, "Events"))
        assert 0 < sum(entry["is_selected"] for entry in friend) < count
        for entry, known in zip(friend, expected, strict=True):
            for name, value in known.items():
                stem = name.replace("Jet_eff", "Jet_eff_gnn")
                stem = f"{name}_gnn" if name.startswith("p_tag") else stem
                assert np.array_equal(entry[stem], value, equal_nan=True), name
        assert len(read_frame(parquet)) == count
        assert read_metadata(parquet)["config"] == "abc"


def test_sums_of_weights_are_those_of_the_sample(sample_of_files: Sample, tmp_path: Path) -> None:
    total = 0.0
    for number in range(2):
        sample_of_files.write(number)
        for entry in read_tree(tmp_path / f"{number}.friend.root"):
            if entry["is_selected"]:
                total += entry["weight"] * entry["p_tag_ge_2_map"]
    table = read_frame(sample_of_files.weights["map"])
    assert total == pytest.approx((table["weight"] * table["p_tag_ge_2"]).sum(), rel=1e-13)


def test_a_file_that_has_changed_since_is_refused(sample_of_files: Sample, few: Jets) -> None:
    file = sample_of_files.files[0]
    write_nano(few.take(slice(0, 120)), file, np.random.default_rng(130))
    with pytest.raises(DataError, match=r"second\.root: is not the file.*has changed since"):
        sample_of_files.write(0)
    assert not file.with_name("0.friend.root").exists()


def test_a_file_that_has_grown_shorter_is_refused(sample_of_files: Sample, tmp_path: Path) -> None:
    import awkward as ak
    import uproot

    with uproot.open(sample_of_files.files[0]) as file:
        tree = file["Events"]
        names = ["Jet_pt", "run", "luminosityBlock", "event"]
        branches = {name: tree[name].array()[:40] for name in names}
    short = write_root(tmp_path / "short.root", {n: ak.to_list(b) for n, b in branches.items()})
    with pytest.raises(DataError, match="rows belong to no entry of the file"):
        sample_of_files.write(0, path=short)


def test_tables_of_other_samples_are_refused(sample_of_files: Sample, tmp_path: Path) -> None:
    mixed = {"gnn": sample_of_files.weights["gnn"]}
    write_frame(read_frame(mixed["gnn"]).iloc[1:], tmp_path / "short.parquet")
    with pytest.raises(DataError, match=r"short\.parquet: does not belong to the sample"):
        sample_of_files.write(0, weights={"gnn": tmp_path / "short.parquet"})
    prediction = read_frame(sample_of_files.predictions["gnn"])
    prediction["event"] += 1
    write_frame(prediction, tmp_path / "other.parquet")
    with pytest.raises(DataError, match=r"other\.parquet: does not belong to the sample"):
        sample_of_files.write(0, predictions={"gnn": tmp_path / "other.parquet"})
    with pytest.raises(DataError, match=r"column 'n_jets_in_file' is missing"):
        sample_of_files.write(0, events_path=mixed["gnn"])


def test_tables_are_never_written_to(sample_of_files: Sample) -> None:
    for target in (sample_of_files.shards[0], sample_of_files.weights["gnn"]):
        with pytest.raises(ConfigError, match="is an input"):
            sample_of_files.write(0, parquet_path=target)


def test_a_file_none_of_whose_events_count_has_a_friend(few: Jets, tmp_path: Path) -> None:
    sample = Sample(tmp_path, few)
    options = options_of(events={"luminosityBlock": [900, 900]})
    shard, events = tmp_path / "none.jets.parquet", tmp_path / "none.events.parquet"
    convert(sample.files[0], options, LABELS, POINT, {}, 1.0, None, shard, events, {})
    prediction, weights = tmp_path / "none.p.parquet", tmp_path / "none.w.parquet"
    jets = read_jets(shard)
    write_prediction(predict(ByHand(), jets), prediction, {})
    table = TagWeights()(jets, predict(ByHand(), jets), read_frame(events))
    write_frame(table, weights)
    count = sample.write(
        0,
        shard_path=shard,
        events_path=events,
        predictions={"map": prediction},
        weights={"map": weights},
    )
    friend = read_tree(tmp_path / "0.friend.root")
    assert count == len(friend) > 130
    assert not any(entry["is_selected"] for entry in friend)
    assert all(np.isnan(entry["p_tag_0_map"]) for entry in friend)
    assert file_number(str(sample.files[0])) != file_number(str(sample.files[1]))
