"""Files of experiments, read into checked jets: every format, every way to be wrong."""

from __future__ import annotations

import builtins
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nano import nano_thresholds, write_nano, write_nano_files
from reader_files import (
    LABELS,
    NANO,
    PHYSLITE,
    POINT,
    WITH_TRUTH,
    assert_found_again,
    chunks_of,
    counts_of,
    jets_of,
    options_of,
    table_of,
    two_events,
    write_root,
)

from conftest import make_jets
from truthtag.data.files import read_frame, read_metadata
from truthtag.data.folds import file_number, fold_of
from truthtag.data.jets import Jets, concatenate, read_jets
from truthtag.data.labels import Labels
from truthtag.data.readers.convert import COUNTS, convert
from truthtag.data.readers.counts import Counts, total
from truthtag.data.readers.events import EVENT_COLUMNS
from truthtag.data.readers.options import Input, ReaderOptions, Take
from truthtag.errors import ConfigError, DataError

uproot = pytest.importorskip("uproot", reason="the extra 'readers' is not installed")
ak = pytest.importorskip("awkward", reason="the extra 'readers' is not installed")

# Real files, counted by hand with uproot alone.


@pytest.mark.skipif(not NANO.is_file(), reason=f"{NANO} is not there")
def test_a_real_nanoaod_file_has_the_jets_that_uproot_alone_counts(tmp_path: Path) -> None:
    options = options_of(discriminant=None)
    counts = counts_of(NANO, options, working_points={"medium": 0.2})
    by_flavour = counts.by_flavour()
    assert {one: row.jets for one, row in by_flavour.items()} == {0: 640, 4: 163, 5: 318}
    tagged = {one: round(row.tagged[0] / row.jets, 3) for one, row in by_flavour.items()}
    assert tagged == {0: 0.013, 4: 0.153, 5: 0.852}
    assert counts.effective_events == pytest.approx(200)
    assert (counts.events, counts.jets, counts.unscored) == (200, 1121, 0)
    everything = counts_of(
        NANO, options_of(discriminant=None, pt=[None, None], abs_eta=[None, None])
    )
    assert {one: row.jets for one, row in everything.by_flavour().items()} == {
        0: 1094,
        4: 194,
        5: 348,
    }
    # PNet scores no jet beyond abs(eta) 2.5.
    assert everything.unscored == 378
    assert {row.abs_eta for row in everything.by_region if row.unscored} == {"from 2.5"}


@pytest.mark.skipif(not NANO.is_file(), reason=f"{NANO} is not there")
def test_jets_of_a_real_file_are_found_where_they_came_from() -> None:
    jets = jets_of(NANO, options_of(discriminant=None))
    tree = uproot.open(NANO)["Events"]
    pt = tree["Jet_pt"].array()
    assert jets.position is not None
    entry = (jets.event & 0xFFFFFFFF)[jets.event_of_jet]
    assert np.array_equal(ak.to_numpy(pt[entry, jets.position]), jets.pt)
    numbers = ak.to_numpy(tree["event"].array())
    assert np.array_equal(jets.event_number, numbers[jets.event & 0xFFFFFFFF])


@pytest.mark.skipif(not PHYSLITE.is_file(), reason=f"{PHYSLITE} is not there")
def test_a_real_physlite_file_has_its_counts() -> None:
    options = ReaderOptions(format="physlite")
    (chunk,) = chunks_of(PHYSLITE, options, working_points={"medium": 1.0})
    assert {one: row.jets for one, row in chunk.counts.by_flavour().items()} == {0: 880, 5: 1}
    assert round(chunk.counts.effective_events, 1) == 14.6
    assert chunk.counts.negative_weights == 22
    assert chunk.counts.unscored == 0
    jets = chunk.jets
    assert (jets.n_events, jets.n_jets, jets.multiplicity.max()) == (100, 881, 32)
    # MeV in the file, GeV here.
    assert 9.3 < jets.pt.min() < 9.4
    assert jets.score is not None
    assert (round(jets.score.min(), 1), round(jets.score.max(), 1)) == (-6.2, 4.7)
    tree = uproot.open(PHYSLITE)["CollectionTree"]
    weights = tree["EventInfoAuxDyn.mcEventWeights"].array()[:, 0]
    assert np.array_equal(jets.weight, ak.to_numpy(weights))
    tagger = "BTagging_AntiKt4EMPFlowAuxDyn.GN2v00_"
    pb, pc, pu = (tree[f"{tagger}p{one}"].array() for one in "bcu")
    score = np.log(pb / (0.1 * pc + 0.9 * pu))
    assert jets.position is not None
    expected = ak.to_numpy(score[jets.event_of_jet, jets.position])
    assert jets.score == pytest.approx(expected, rel=1e-4)


# Files in NanoAOD's layout that hold events that we know.


@pytest.mark.parametrize("ntuple", [False, True])
@pytest.mark.parametrize("step_events", [1, 7, 100, 50_000])
def test_events_of_a_nanoaod_file_are_found_again(
    few: Jets, tmp_path: Path, ntuple: bool, step_events: int
) -> None:
    rng = np.random.default_rng(1)
    write_nano(few, tmp_path / "a.root", rng, ntuple=ntuple, step=60)
    options = options_of(step_events=step_events, **WITH_TRUTH)
    chunks = chunks_of(tmp_path / "a.root", options)
    assert max(chunk.counts.entries for chunk in chunks) <= step_events
    jets = concatenate([chunk.jets for chunk in chunks])
    assert_found_again(jets, few)
    counts = total(chunk.counts for chunk in chunks)
    assert counts.events == counts.entries == 316
    assert counts.events_without_jets == 16
    assert 0 < counts.negative_weights < 80
    assert counts.unscored == np.isnan(jets.score).sum() > 0
    assert not jets.is_tagged[np.isnan(jets.score)].any()


@given(st.integers(0, 1000), st.lists(st.integers(0, 6), min_size=1, max_size=20))
@settings(max_examples=20)
def test_any_events_are_found_again(
    tmp_path_factory: pytest.TempPathFactory, seed: int, multiplicities: list[int]
) -> None:
    jets = make_jets(multiplicities, seed)
    path = tmp_path_factory.mktemp("nano") / "a.root"
    write_nano(jets, path, np.random.default_rng(seed), unsorted=0.5, empty_events=0.2)
    found = jets_of(path, options_of(**WITH_TRUTH))
    weight = jets.weight.astype(np.float32)
    kept = jets.take(jets.multiplicity > 0).with_columns(weight=weight[jets.multiplicity > 0])
    assert_found_again(found, kept)


def test_several_working_points_become_tag_bins(few: Jets, tmp_path: Path) -> None:
    labels = Labels((0, 4, 5), ("loose", "tight"))
    true = np.column_stack([few.efficiency_true, few.efficiency_true / 2])
    bins = np.random.default_rng(3).integers(0, 3, few.n_jets)
    jets = few.with_columns(is_tagged=None, tag_bin=bins, efficiency_true=true, labels=labels)
    write_nano(jets, tmp_path / "a.root", np.random.default_rng(1))
    columns = {f"efficiency_true_{point}": f"Jet_eff_{point}" for point in labels.points}
    points = dict(zip(labels.points, nano_thresholds(2), strict=True))
    found = jets_of(
        tmp_path / "a.root", options_of(columns=columns), labels=labels, working_points=points
    )
    assert np.array_equal(found.tag_bin, bins)
    assert np.array_equal(found.efficiency_true, true)
    (row,) = [
        one
        for one in counts_of(
            tmp_path / "a.root", options_of(), labels=labels, working_points=points
        )
        .by_flavour()
        .values()
        if one.flavour == 5
    ]
    b_jets = found.flavour == 5
    assert row.tagged == (int((bins[b_jets] > 0).sum()), int((bins[b_jets] > 1).sum()))


def test_files_become_shards_that_together_are_the_sample(few: Jets, tmp_path: Path) -> None:
    files = write_nano_files(few, tmp_path, np.random.default_rng(1), 3)
    entries = 0
    for number, file in enumerate(files):
        shard = tmp_path / f"sample/{number:04d}.parquet"
        events = tmp_path / f"events/{number:04d}.parquet"
        counts = convert(
            file, options_of(**WITH_TRUTH), LABELS, POINT, {}, 2.0, None, shard, events, {"seed": 1}
        )
        entries += counts.entries
        assert Counts.from_metadata(read_metadata(events)[COUNTS]) == counts
        assert read_metadata(events)["seed"] == 1
        table = read_frame(events, tuple(EVENT_COLUMNS))
        assert (table["event"] == (file_number(str(file)) << 32) + table["entry"]).all()
        assert (table["file"] == file_number(str(file))).all()
        assert table["n_jets"].sum() == counts.jets
        assert (table["n_jets_in_file"] >= table["n_jets"]).all()
    jets = read_jets(tmp_path / "sample")
    assert jets.labels == LABELS
    order = np.argsort(jets.event_number)
    assert_found_again(jets.take(order), few.with_columns(weight=2 * few.weight))
    assert entries > few.n_events


def test_the_table_of_events_keeps_those_without_jets(tmp_path: Path) -> None:
    path = write_root(tmp_path / "a.root", two_events())
    (chunk,) = chunks_of(path, options_of(pt=[55.0, None]), weight=0.5)
    assert chunk.jets.n_events == 1
    number = file_number(str(path)) << 32
    assert chunk.events.to_pylist() == [
        {
            "event": number,
            "file": file_number(str(path)),
            "entry": 0,
            "run": 1,
            "luminosity_block": 7,
            "event_number": 101,
            "weight": 1.0,
            "n_jets": 2,
            "n_jets_in_file": 3,
        },
        {
            "event": number + 1,
            "file": file_number(str(path)),
            "entry": 1,
            "run": 1,
            "luminosity_block": 7,
            "event_number": 100,
            "weight": -0.5,
            "n_jets": 0,
            "n_jets_in_file": 2,
        },
    ]
    assert chunk.counts.events_without_jets == 1
    assert chunk.counts.effective_events == pytest.approx((1 - 0.5) ** 2 / (1 + 0.25))


# Selection.


def test_jets_are_sorted_and_know_where_they_stood(tmp_path: Path) -> None:
    jets = jets_of(write_root(tmp_path / "a.root", two_events()))
    assert jets.pt.tolist() == [90, 60, 30, 50, 40]
    assert jets.position.tolist() == [1, 2, 0, 0, 1]
    assert jets.flavour.tolist() == [5, 4, 0, 0, 0]
    assert jets.score.tolist()[:3] == [0.8, 0.1, 0.9]
    assert np.isnan(jets.score[3])
    assert jets.is_tagged.tolist() == [True, False, True, False, True]
    assert jets.weight.tolist() == [2, -1]


def test_ends_of_pt_and_eta_do_not_count_and_ends_of_other_ranges_do(tmp_path: Path) -> None:
    branches = two_events(Jet_quality=[[1, 2, 3], [4, 5]])
    path = write_root(tmp_path / "a.root", branches)
    assert jets_of(path, options_of(pt=[40.0, 90.0])).pt.tolist() == [60, 50]
    assert jets_of(path, options_of(abs_eta=[0.0, 1.2])).eta.tolist() == pytest.approx([0.1, 1.0])
    ranged = jets_of(path, options_of(jets={"Jet_quality": [2.0, 4.0]}))
    assert ranged.pt.tolist() == [90, 60, 50]
    exact = jets_of(path, options_of(jets={"abs(Jet_quality - 3)": [0.0, 0.0]}))
    assert exact.pt.tolist() == [60]


def test_numbers_are_compared_in_the_precision_of_the_branch(tmp_path: Path) -> None:
    """The float32 nearest to 0.7 is below it, that nearest to 0.1 above it."""
    scores = ak.values_astype(ak.Array([[0.7, 0.1, 0.1], [0.5, 0.5]]), np.float32)
    path = write_root(tmp_path / "a.root", two_events(Jet_btag=scores))
    jets = jets_of(path, working_points={"medium": 0.1})
    assert jets.is_tagged.tolist() == [False, False, True, True, True]
    ranged = jets_of(path, options_of(jets={"Jet_btag": [0.7, None]}))
    assert ranged.n_jets == 1


def test_at_most_so_many_jets_are_kept_the_hardest(tmp_path: Path) -> None:
    path = write_root(tmp_path / "a.root", two_events())
    (chunk,) = chunks_of(path, options_of(max_jets=2))
    assert chunk.jets.pt.tolist() == [90, 60, 50, 40]
    assert chunk.counts.jets_beyond_max == 1
    assert chunk.counts.jets_rejected == 0
    # What the selection leaves out does not use up a place.
    (chunk,) = chunks_of(path, options_of(max_jets=1, pt=[None, 80.0]))
    assert chunk.jets.pt.tolist() == [60, 50]
    assert (chunk.counts.jets_beyond_max, chunk.counts.jets_rejected) == (2, 1)


def test_an_event_of_300_jets_is_read(tmp_path: Path) -> None:
    jets = make_jets([300, 2])
    write_nano(jets, tmp_path / "a.root", np.random.default_rng(1), empty_events=0, soft_jets=0)
    found = jets_of(tmp_path / "a.root")
    assert found.multiplicity.tolist() == [300, 2]
    assert sorted(found.position[:300].tolist()) == list(range(300))
    assert jets_of(tmp_path / "a.root", options_of(max_jets=20)).multiplicity.tolist() == [20, 2]


def test_events_are_selected_by_their_branches(tmp_path: Path) -> None:
    branches = two_events(HLT_jet=[True, False], nLepton=[1, 2])
    path = write_root(tmp_path / "a.root", branches)
    (chunk,) = chunks_of(path, options_of(events={"HLT_jet": [1.0, 1.0]}))
    assert chunk.jets.event_number.tolist() == [101]
    assert (chunk.counts.events, chunk.counts.events_rejected, chunk.counts.entries) == (1, 1, 2)
    assert chunk.events.num_rows == 1
    (chunk,) = chunks_of(path, options_of(events={"nLepton": [2.0, None]}))
    assert chunk.jets.event_number.tolist() == [100]
    with pytest.raises(DataError, match=r"Jet_pt is a list in each event \(3 in entry 0\); one va"):
        chunks_of(path, options_of(events={"Jet_pt": [2.0, None]}))
    (chunk,) = chunks_of(path, options_of(events={"Jet_pt[2]": [2.0, None]}))
    assert chunk.jets.event_number.tolist() == [101]


@pytest.mark.parametrize("by", ["event", "hash"])
def test_shares_of_the_events_are_all_events_once(few: Jets, tmp_path: Path, by: str) -> None:
    write_nano(few, tmp_path / "a.root", np.random.default_rng(1))
    whole = counts_of(tmp_path / "a.root")
    numbers = []
    events = 0
    for remainder in range(3):
        take = Take(of=3, remainders=(remainder,), by=by)
        chunks = chunks_of(tmp_path / "a.root", take=take)
        part = concatenate([chunk.jets for chunk in chunks])
        assert np.all(fold_of(part.event_number, 3, by) == remainder)
        counts = total(chunk.counts for chunk in chunks)
        assert counts.events + counts.events_not_taken == whole.entries
        events += counts.events
        numbers += part.event_number.tolist()
    assert sorted(numbers) == sorted(few.event.tolist())
    assert events == whole.events


def test_event_numbers_that_repeat_are_allowed_and_counted(tmp_path: Path) -> None:
    path = write_root(tmp_path / "a.root", two_events(event=np.uint64([100, 100])))
    (chunk,) = chunks_of(path)
    assert chunk.jets.event_number.tolist() == [100, 100]
    assert len(set(chunk.jets.event.tolist())) == 2
    assert chunk.counts.events_repeated == 1
    other_run = two_events(event=np.uint64([100, 100]), run=np.uint32([1, 2]))
    assert counts_of(write_root(tmp_path / "b.root", other_run)).events_repeated == 0


def test_event_numbers_beyond_int64_keep_their_bits(tmp_path: Path) -> None:
    large = np.uint64([2**64 - 1, 2**63])
    path = write_root(tmp_path / "a.root", two_events(event=large))
    (chunk,) = chunks_of(path)
    assert np.array_equal(chunk.jets.event_number.view(np.uint64), large)
    assert fold_of(chunk.jets.event_number, 5).tolist() == [(2**64 - 1) % 5, 2**63 % 5]


# Units and angles.


def test_momenta_in_mev_become_gev(tmp_path: Path) -> None:
    mev = two_events(Jet_pt=[[3e4, 9e4, 6e4], [5e4, 4e4]], Jet_mass=[[5e3, 6e3, 7e3], [8e3, 9e3]])
    jets = jets_of(write_root(tmp_path / "a.root", mev), options_of(unit="MeV"))
    assert jets.pt.tolist() == [90, 60, 30, 50, 40]
    assert jets.mass.tolist() == [6, 7, 5, 8, 9]


@pytest.mark.parametrize(("unit", "other", "factor"), [("GeV", "MeV", 1e3), ("MeV", "GeV", 1)])
def test_momenta_in_another_unit_are_asked_about(
    tmp_path: Path, unit: str, other: str, factor: float
) -> None:
    pt = ak.Array([[30.0, 90.0, 60.0], [50.0, 40.0]]) * factor
    path = write_root(tmp_path / "a.root", two_events(Jet_pt=pt))
    text = rf"the median of pt \(Jet_pt\) is .* GeV, if it is in {unit}; is it in {other}\? Then"
    with pytest.raises(DataError, match=text):
        chunks_of(path, options_of(unit=unit))
    chunks_of(path, options_of(unit=unit, check_unit=False))


def test_angles_between_0_and_2_pi_are_wrapped(tmp_path: Path) -> None:
    phi = [[0.0, 3.0, 2 * np.pi - 3], [1.0, 6.0]]
    jets = jets_of(write_root(tmp_path / "a.root", two_events(Jet_phi=phi)))
    assert jets.phi.tolist() == pytest.approx([3.0, -3.0, 0.0, 1.0, 6.0 - 2 * np.pi])
    degrees = two_events(Jet_phi=[[0.0, 180.0, 90.0], [1.0, 2.0]])
    with pytest.raises(DataError, match=r"phi \(Jet_phi\) is 180.0 in entry 0, jet 1 .*degrees"):
        chunks_of(write_root(tmp_path / "b.root", degrees))


# Flavours.


def test_flavours_are_merged_and_counted(tmp_path: Path) -> None:
    path = write_root(tmp_path / "a.root", two_events(Jet_hadronFlavour=[[15, 5, 44], [15, 4]]))
    (chunk,) = chunks_of(path, options_of(merge_flavours={15: 0, 44: 4}))
    assert chunk.jets.flavour.tolist() == [5, 4, 0, 0, 4]
    assert chunk.counts.merged == {"15 to 0": 2, "44 to 4": 1}
    text = (
        r"flavour \(Jet_hadronFlavour\) is 15 \(2 jets\), 44 \(1 jets\) in entries 0 to 1, and the "
        r"flavours of the config are 0, 4, 5. Count it as .*merge_flavours: \{15: 0\}"
    )
    with pytest.raises(DataError, match=text):
        chunks_of(path)
    # Each flavour is merged once, so two can change places.
    swapped = jets_of(path, options_of(merge_flavours={15: 0, 44: 4, 4: 5, 5: 4}))
    assert swapped.flavour.tolist() == [4, 4, 0, 0, 5]


def test_unknown_flavours_of_jets_that_do_not_count_are_no_matter(tmp_path: Path) -> None:
    path = write_root(tmp_path / "a.root", two_events(Jet_hadronFlavour=[[15, 5, 4], [0, 0]]))
    assert jets_of(path, options_of(pt=[30.0, None])).n_jets == 4


def test_a_flavour_that_a_part_lacks_is_known_all_the_same(tmp_path: Path) -> None:
    jets = jets_of(
        write_root(tmp_path / "a.root", two_events(Jet_hadronFlavour=[[0, 0, 0], [0, 0]]))
    )
    assert jets.labels.flavours == (0, 4, 5)


def test_flavours_can_be_floating_numbers_if_they_are_whole(tmp_path: Path) -> None:
    whole = two_events(Jet_hadronFlavour=[[0.0, 5.0, 4.0], [0.0, 0.0]])
    assert jets_of(write_root(tmp_path / "a.root", whole)).flavour.tolist() == [5, 4, 0, 0, 0]
    broken = two_events(Jet_hadronFlavour=[[0.5, 5.0, 4.0], [0.0, 0.0]])
    with pytest.raises(DataError, match=r"is 0.5 in entry 0, jet 0 .*must be an integer"):
        chunks_of(write_root(tmp_path / "b.root", broken))


# Scores.


@pytest.mark.parametrize("score", [-1.0, -3.0, -3000.0, 1.5, np.nan, np.inf, -np.inf])
def test_what_is_outside_the_valid_range_was_not_scored(tmp_path: Path, score: float) -> None:
    path = write_root(tmp_path / "a.root", two_events(Jet_btag=[[0.9, score, 0.1], [0.7, 0.6]]))
    (chunk,) = chunks_of(path)
    assert np.isnan(chunk.jets.score[0])
    assert chunk.jets.is_tagged.tolist() == [False, False, True, True, True]
    (row,) = [row for row in chunk.counts.by_region if row.unscored]
    assert (row.flavour, row.abs_eta, row.pt, row.unscored) == (5, "below 2.5", "50 to 100", 1)


def test_the_default_range_is_that_of_a_branch_and_not_of_a_formula(tmp_path: Path) -> None:
    path = write_root(tmp_path / "a.root", two_events())
    jets = jets_of(path, options_of(discriminant="10 * Jet_btag"), working_points={"medium": 7.0})
    assert jets.is_tagged.tolist() == [True, False, True, False, False]
    assert not np.isnan(jets.score).any()
    limited = options_of(discriminant="10 * Jet_btag", valid=[None, 8.5])
    assert np.isnan(jets_of(path, limited).score).tolist() == [False, False, True, False, False]


def test_a_file_without_any_score_is_refused(few: Jets, tmp_path: Path) -> None:
    write_nano(few, tmp_path / "a.root", np.random.default_rng(1))
    text = (
        r"none of the \d+ selected jets was scored: the discriminant Jet_btag - 7 is nowhere in "
        r"\[0.0, 1.0\]. State another 'discriminant', or the range 'valid'"
    )
    options = options_of(discriminant="Jet_btag - 7", valid=[0.0, 1.0])
    with pytest.raises(DataError, match=text):
        chunks_of(tmp_path / "a.root", options)
    out = tmp_path / "out"
    with pytest.raises(DataError, match=text):
        convert(
            tmp_path / "a.root", options, LABELS, POINT, {}, 1.0, None, out / "s.parquet",
            out / "e.parquet", {},
        )  # fmt: skip
    assert list(out.iterdir()) == []
    # A few jets may all lie where there is no tagger.
    path = write_root(tmp_path / "b.root", two_events())
    assert counts_of(path, options_of(valid=[2.0, 3.0])).unscored == 5


# Further inputs.


def test_inputs_per_jet_and_per_event_become_columns(tmp_path: Path) -> None:
    branches = two_events(
        Jet_nTracks=[[3, 1, 2], [4, 5]], PV_npvs=[20, 30], Jet_parton=[[21, 5, 4], [1, 21]]
    )
    path = write_root(tmp_path / "a.root", branches)
    labels = Labels((0, 4, 5), ("medium",), {"parton": (1, 4, 5, 21)})
    inputs = {
        "n_tracks": Input(branch="Jet_nTracks"),
        "pile_up": Input(branch="PV_npvs"),
        "relative_mass": Input(branch="Jet_mass / Jet_pt"),
        "parton": Input(branch="Jet_parton", categories=(1, 4, 5, 21)),
    }
    jets = jets_of(path, labels=labels, inputs=inputs)
    assert jets.further["n_tracks"].tolist() == [1, 2, 3, 4, 5]
    assert jets.further["pile_up"].tolist() == [20, 20, 20, 30, 30]
    assert jets.further["relative_mass"] == pytest.approx(jets.mass / jets.pt)
    assert jets.further["parton"].tolist() == [5, 4, 21, 1, 21]
    assert jets.further["parton"].dtype == np.int32
    # What a sample says goes before.
    other = options_of(columns={"n_tracks": "Jet_parton"})
    assert jets_of(path, other, labels=labels, inputs=inputs).further["n_tracks"][0] == 5
    unknown = Labels((0, 4, 5), ("medium",), {"parton": (4, 5, 21)})
    text = r"parton \(Jet_parton\) is 1 in entry 1, jet 0 \(1 such jets\): the categories of the in"
    with pytest.raises(DataError, match=text):
        chunks_of(path, labels=unknown, inputs=inputs)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_inputs_that_are_not_finite_are_refused_unless_their_jet_does_not_count(
    tmp_path: Path, value: float
) -> None:
    path = write_root(tmp_path / "a.root", two_events(x=[[1.0, value, 2.0], [3.0, 4.0]]))
    inputs = {"x": Input()}
    with pytest.raises(DataError, match=r": x is -?(nan|inf) in entry 0, jet 1 .*must be finite"):
        chunks_of(path, inputs=inputs)
    jets = jets_of(path, options_of(pt=[None, 80.0]), inputs=inputs)
    assert jets.further["x"].tolist() == [2, 1, 3, 4]


# What is wrong with a file is said.


def test_a_missing_branch_is_named_with_those_near_it(tmp_path: Path) -> None:
    path = write_root(tmp_path / "a.root", two_events())
    text = (
        r"a.root: there is no branch 'Jet_btagPNetB', for the discriminant; there are .*Jet_btag"
        r".* State the right one under 'columns'. Or state another 'discriminant'"
    )
    with pytest.raises(DataError, match=text):
        chunks_of(path, options_of(discriminant=None))
    many = two_events(**{f"Muon_{number}": [1.0, 2.0] for number in range(30)}, Jet_pt=None)
    renamed = write_root(tmp_path / "b.root", {**many, "Jet_Pt": two_events()["Jet_pt"]})
    text = r"no branch 'Jet_pt', for the column 'pt'; near it are Jet_Pt, .*of \d+\). State the ri"
    with pytest.raises(DataError, match=text):
        chunks_of(renamed)
    with pytest.raises(DataError, match=r"\d+ others, none of a name near it"):
        chunks_of(renamed, options_of(columns={"pt": "zzzz"}))


@pytest.mark.parametrize("name", ["Jet_eta", "Jet_mass", "genWeight", "event"])
def test_every_branch_is_needed(tmp_path: Path, name: str) -> None:
    path = write_root(tmp_path / "a.root", two_events(**{name: None}))
    with pytest.raises(DataError, match=f"there is no branch '{name}', for the column"):
        chunks_of(path)


def test_events_without_weight_can_be_given_one(tmp_path: Path) -> None:
    path = write_root(tmp_path / "a.root", two_events(genWeight=None))
    with pytest.raises(DataError, match=r'no weight, state columns: \{weight: "1"\}'):
        chunks_of(path)
    assert jets_of(path, options_of(columns={"weight": "1"})).weight.tolist() == [1, 1]


def test_runs_and_luminosity_blocks_may_be_missing(tmp_path: Path) -> None:
    path = write_root(tmp_path / "a.root", two_events(run=None, luminosityBlock=None))
    assert table_of(path)["run"].to_pylist() == [0, 0]
    with pytest.raises(DataError, match="no branch 'runs', for the column 'run'"):
        chunks_of(path, options_of(columns={"run": "runs"}))


def test_data_without_flavours_are_refused(tmp_path: Path) -> None:
    path = write_root(tmp_path / "a.root", two_events(Jet_hadronFlavour=None))
    with pytest.raises(DataError, match=r"'Jet_hadronFlavour'.* Recorded data have no hadron fl"):
        chunks_of(path)


def test_the_wrong_tree_is_refused(few: Jets, tmp_path: Path) -> None:
    write_nano(few, tmp_path / "a.root", np.random.default_rng(1), tree="Evts")
    path = tmp_path / "a.root"
    with pytest.raises(DataError, match=r"no tree Events, as nanoaod has it; there are Evts. Sta"):
        chunks_of(path)
    with pytest.raises(DataError, match=r"no tree 'Evt'; there are Evts. .*Did you mean 'Evts'\?"):
        chunks_of(path, options_of(tree="Evt"))
    assert jets_of(path, options_of(tree="Evts")).n_events == few.n_events


def test_a_file_of_several_trees_asks_which(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "a.root") as file:
        for name in ("one", "folder/two"):
            file.mktree(name, {"x": "float32"}).extend({"x": np.zeros(2, dtype=np.float32)})
    options = ReaderOptions(format="root", discriminant="x")
    with pytest.raises(DataError, match=r"not one tree alone; there are one, folder/two. State t"):
        chunks_of(tmp_path / "a.root", options)
    with uproot.recreate(tmp_path / "b.root"):
        pass
    with pytest.raises(DataError, match="there are none"):
        chunks_of(tmp_path / "b.root", options)


@pytest.mark.parametrize("ntuple", [False, True])
@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.97, 0.999])
def test_a_truncated_file_is_refused(few: Jets, tmp_path: Path, share: float, ntuple: bool) -> None:
    path = tmp_path / "a.root"
    write_nano(few, path, np.random.default_rng(1), ntuple=ntuple)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(
        DataError, match=r"a.root: is (truncated: \d+ of its \d+ bytes|no ROOT fil)"
    ):
        chunks_of(path)


@pytest.mark.parametrize("ntuple", [False, True])
def test_damage_never_shows_errors_of_uproot(few: Jets, tmp_path: Path, ntuple: bool) -> None:
    """Flipped bytes may go unnoticed, as ROOT has no checksums, but never raise errors bare."""
    path = tmp_path / "a.root"
    write_nano(few, path, np.random.default_rng(1), ntuple=ntuple)
    content = path.read_bytes()
    rng = np.random.default_rng(5)
    refused = 0
    for place in rng.integers(20, len(content), 40):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            chunks_of(path)
        except DataError:
            refused += 1
    assert refused > 5


def test_what_is_no_root_file_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "a.root"
    text.write_text("this is a text of more than twenty letters")
    with pytest.raises(DataError, match=r"a.root: is no ROOT file. Check the path, and the option"):
        chunks_of(text)
    text.write_text("")
    with pytest.raises(DataError, match=r"a.root: is empty"):
        chunks_of(text)
    with pytest.raises(DataError, match=r"b.root: no such file. Check the path"):
        chunks_of(tmp_path / "b.root")
    with pytest.raises(DataError, match=r"is a folder, a file is wanted. Name the files in it"):
        chunks_of(tmp_path)
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        chunks_of(text, ReaderOptions(format="parquet"))


def test_a_path_may_hold_a_colon(tmp_path: Path) -> None:
    path = write_root(tmp_path / "a.root", two_events())
    path = path.rename(tmp_path / "run:7.root")
    assert jets_of(path).n_events == 2


@pytest.mark.parametrize("ntuple", [False, True])
def test_a_file_without_events_becomes_a_shard_without_events(
    few: Jets, tmp_path: Path, ntuple: bool
) -> None:
    further = {"x": np.ones(few.n_jets, dtype=np.float32), "n": np.ones(few.n_jets, dtype=np.int32)}
    jets = few.with_columns(further=further)
    rng = np.random.default_rng(1)
    write_nano(jets, tmp_path / "0.root", rng)
    write_nano(jets.take(slice(0, 0)), tmp_path / "1.root", rng, ntuple=ntuple)
    inputs = {"x": Input(branch="Jet_x"), "n": Input(branch="Jet_n")}
    for number in range(2):
        counts = convert(
            tmp_path / f"{number}.root", options_of(**WITH_TRUTH), LABELS, POINT, inputs, 1.0, None,
            tmp_path / f"sample/{number}.parquet", tmp_path / f"events/{number}.parquet", {},
        )  # fmt: skip
    assert (counts.entries, counts.jets, counts.by_region) == (0, 0, ())
    assert counts.effective_events == 0
    assert len(read_frame(tmp_path / "events/1.parquet", tuple(EVENT_COLUMNS))) == 0
    found = read_jets(tmp_path / "sample")
    assert_found_again(found, few)
    assert {name: values.dtype for name, values in found.further.items()} == {
        "x": np.float32,
        "n": np.int32,
    }
    assert read_jets(tmp_path / "sample/1.parquet").n_events == 0


def test_trees_and_ntuples_can_be_mixed_in_a_sample(few: Jets, tmp_path: Path) -> None:
    for number, ntuple in enumerate((False, True)):
        some = few.take(slice(150 * number, 150 * (number + 1)))
        rng = np.random.default_rng(number)
        write_nano(some, tmp_path / f"{number}.root", rng, ntuple=ntuple)
    parts = [jets_of(tmp_path / f"{number}.root", options_of(**WITH_TRUTH)) for number in (0, 1)]
    together = concatenate(parts)
    assert_found_again(together, few)


def test_addresses_are_read(tmp_path: Path) -> None:
    path = write_root(tmp_path / "a.root", two_events())
    assert jets_of(f"file://{path}").n_events == 2
    with pytest.raises(DataError, match=r"file://.*b.root: cannot be opened .*Check the address"):
        chunks_of(f"file://{tmp_path}/b.root")
    if find_spec("fsspec_xrootd") is None:
        with pytest.raises(ConfigError, match=r"^root://a//b.root: cannot be opened: .*xrootd"):
            chunks_of("root://a//b.root")


def test_the_last_cycle_of_a_tree_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        for pt in ([[30.0]], [[30.0], [40.0, 50.0]]):
            branches = plain_events(pt)
            types = {name: str(array.type.content) for name, array in branches.items()}
            file.mktree("Events", types).extend(branches)
    assert len(uproot.open(path).keys()) == 2
    assert jets_of(path).pt.tolist() == [30, 50, 40]


def plain_events(pt: list[list[float]]) -> dict[str, Any]:
    """Return branches of events with jets of given momenta, all else ones."""
    of_jets = ak.Array(pt)
    branches = {"Jet_pt": of_jets}
    for name in ("Jet_eta", "Jet_phi", "Jet_mass", "Jet_btag"):
        branches[name] = ak.ones_like(of_jets)
    branches["Jet_hadronFlavour"] = ak.values_astype(5 * ak.ones_like(of_jets), np.uint8)
    branches["genWeight"] = ak.Array(np.ones(len(pt)))
    branches["event"] = ak.Array(np.arange(len(pt)))
    return branches


def test_lists_of_other_lengths_are_refused(tmp_path: Path) -> None:
    path = write_root(tmp_path / "a.root", two_events(Jet_eta=[[0.1, -1.2, 2.0], [0.0]]))
    text = (
        r"eta \(Jet_eta\) has 1 values in entry 1, where pt \(Jet_pt\) has 2 \(1 such events\): it "
        "is no branch of these jets"
    )
    with pytest.raises(DataError, match=text):
        chunks_of(path)
    muons = write_root(tmp_path / "d.root", two_events(Muon_x=[[0.1, -1.2, 2.0], [0.0]]))
    text = r"Muon_x and Jet_pt cannot be combined: in entry 1 one has 1 values, the other 2. Take"
    with pytest.raises(DataError, match=text):
        chunks_of(muons, options_of(discriminant="Muon_x * Jet_pt"))
    flat = write_root(tmp_path / "b.root", two_events(Jet_pt=[30.0, 40.0]))
    with pytest.raises(DataError, match=r"pt \(Jet_pt\) has one value per event; a list with one"):
        chunks_of(flat)
    per_jet = two_events(genWeight=[[1.0, 1.0, 1.0], [2.0, 2.0]])
    text = r"weight \(genWeight\) is a list in each event \(3 in entry 0\); one value .*: name\[0\]"
    with pytest.raises(DataError, match=text):
        chunks_of(write_root(tmp_path / "c.root", per_jet))


@pytest.mark.parametrize("name", ["Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_kinematics_that_are_not_finite_are_refused_wherever_they_are(
    tmp_path: Path, name: str, value: float
) -> None:
    branches = two_events()
    branches[name] = [[5.0, 6.0, 7.0], [0.5, value]]
    path = write_root(tmp_path / "a.root", branches)
    column = name.removeprefix("Jet_")
    text = rf"{column} \({name}\) is {value} in entry 1, jet 1 \(1 such jets\): every value must be"
    # No selection would have kept the jet.
    with pytest.raises(DataError, match=text):
        chunks_of(path, options_of(pt=[1e5, None], step_events=1))


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("Jet_pt", -5.0, r"pt \(Jet_pt\) is -5.0 in entry 0, jet 1 .*above 0 GeV"),
        ("Jet_eta", 30.0, r"eta \(Jet_eta\) is 30.0 in entry 0, jet 1 .*along the beam"),
        ("Jet_mass", -1.0, r"mass \(Jet_mass\) is -1.0 in entry 0, jet 1 .*it must lie in \[-0.01"),
    ],
)
def test_kinematics_that_are_not_possible_are_refused(
    tmp_path: Path, name: str, value: float, text: str
) -> None:
    path = write_root(tmp_path / "a.root", two_events(**{name: [[90.0, value, 2.0], [1.0, 2.0]]}))
    with pytest.raises(DataError, match=text):
        chunks_of(path, options_of(pt=[None, None], abs_eta=[None, None], check_unit=False))


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = write_root(tmp_path / "a.root", two_events(genWeight=[1.0, np.nan]))
    with pytest.raises(
        DataError, match=r"weight \(genWeight\) is nan in entry 1 \(1 such events\)"
    ):
        chunks_of(path)


def test_event_numbers_must_be_integers(tmp_path: Path) -> None:
    path = write_root(tmp_path / "a.root", two_events(event=[1.0, 2.0]))
    with pytest.raises(DataError, match=r"event_number \(event\) holds float64 values; integers"):
        chunks_of(path)


def test_true_efficiencies_must_be_probabilities(tmp_path: Path) -> None:
    path = write_root(tmp_path / "a.root", two_events(Jet_eff=[[0.5, 1.5, 0.5], [0.5, 0.5]]))
    with pytest.raises(DataError, match=r"Jet_eff is 1.5 in entry 0, jet 1 .*must lie in \[0, 1\]"):
        chunks_of(path, options_of(**WITH_TRUTH))
    several = Labels((0, 4, 5), ("loose", "tight"))
    points = {"loose": 0.1, "tight": 0.9}
    text = "with several working points name efficiency_true_loose, efficiency_true_tight"
    with pytest.raises(ConfigError, match=text):
        chunks_of(path, options_of(**WITH_TRUTH), several, working_points=points)
    one = options_of(columns={"efficiency_true_loose": "Jet_eff"})
    with pytest.raises(ConfigError, match=r"columns.efficiency_true_tight: it is missing"):
        chunks_of(path, one, several, working_points=points)


def test_branches_that_hold_no_numbers_are_refused(tmp_path: Path) -> None:
    nested = two_events(Jet_btag=[[[0.1], [0.2], [0.3]], [[0.4], [0.5]]])
    path = write_root(tmp_path / "a.root", nested, ntuple=True)
    with pytest.raises(DataError, match=r"branch 'Jet_btag' holds var \* var \* float64; a numb"):
        chunks_of(path)


def test_options_are_light_to_import() -> None:
    """The workflow checks its config before anything heavy is needed."""
    code = (
        "import sys, truthtag.data.readers.options\n"
        "print({'uproot', 'awkward', 'pandas', 'pyarrow', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_root(tmp_path / "a.root", two_events())
    real = builtins.__import__

    def refuse(name: str, *args: Any, **more: Any) -> Any:
        if name == "uproot":
            raise ImportError(name="uproot")
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ConfigError, match=r"uproot is not installed: pip install truthtag\[reade"):
        chunks_of(path)
