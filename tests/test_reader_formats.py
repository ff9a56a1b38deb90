"""PHYSLITE, Parquet and plain ROOT: layouts other than NanoAOD's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reader_files import (
    LABELS,
    POINT,
    assert_found_again,
    chunks_of,
    counts_of,
    jets_of,
    table_of,
    write_root,
)

from truthtag.data.files import write_table
from truthtag.data.jets import Jets, concatenate, write_jets
from truthtag.data.labels import Labels
from truthtag.data.readers.counts import total
from truthtag.data.readers.formats import FORMATS, OPTIONAL_ROLES, ROLES
from truthtag.data.readers.options import Input, ReaderOptions, Take
from truthtag.errors import ConfigError, DataError
from truthtag.registry import validated

ak = pytest.importorskip("awkward", reason="the extra 'readers' is not installed")
pytest.importorskip("uproot", reason="the extra 'readers' is not installed")

JETS = "AnalysisJetsAuxDyn"
TAGGER = "BTagging_AntiKt4EMPFlowAuxDyn"


def physlite(separator: str = ".", **changes: Any) -> dict[str, Any]:
    """Branches of two events in MeV; the b-tagging objects stand in another order than the jets."""
    jets = f"{JETS}{separator}"
    tagger = f"{TAGGER}{separator}"
    event = f"EventInfoAuxDyn{separator}"
    branches = {
        f"{jets}pt": [[3e4, 9e4, 6e4], [5e4, 4e4]],
        f"{jets}eta": [[0.1, -1.2, 2.0], [0.0, 1.0]],
        f"{jets}phi": [[0.0, 3.0, -3.0], [1.0, 2.0]],
        f"{jets}m": [[5e3, 6e3, 7e3], [8e3, 9e3]],
        f"{jets}HadronConeExclTruthLabelID": [[0, 5, 4], [0, 15]],
        f"{jets}btaggingLink.m_persIndex": ak.values_astype(
            ak.Array([[2, 0, 1], [1, 0]]), "uint32"
        ),
        f"{jets}btaggingLink.m_persKey": ak.values_astype(ak.Array([[7, 7, 7], [7, 7]]), "uint32"),
        f"{tagger}GN2v00_pb": [[0.9, 0.2, 0.1], [0.4, 0.3]],
        f"{tagger}GN2v00_pc": [[0.05, 0.3, 0.1], [0.2, 0.2]],
        f"{tagger}GN2v00_pu": [[0.05, 0.5, 0.8], [0.4, 0.5]],
        f"{event}mcEventWeights": [[2.0, 9.0], [-1.0, 9.0]],
        f"{event}eventNumber": np.uint64([101, 100]),
        f"{event}runNumber": np.uint32([410470, 410470]),
        f"{event}lumiBlock": np.uint32([7, 8]),
    }
    branches |= {name.replace("+", separator): values for name, values in changes.items()}
    return {name: values for name, values in branches.items() if values is not None}


MERGED = ReaderOptions(format="physlite", merge_flavours={15: 0})


@pytest.mark.parametrize(
    ("tree", "separator", "ntuple"),
    [("CollectionTree", ".", False), ("EventData", ":", True), ("CollectionTree", ":", False)],
)
def test_a_physlite_file_is_read_links_followed(
    tmp_path: Path, tree: str, separator: str, ntuple: bool
) -> None:
    branches = physlite(separator)
    if ntuple:
        # As an RNTuple holds it: a list of records.
        link = f"{JETS}:btaggingLink"
        members = {name: branches.pop(f"{link}.{name}") for name in ("m_persIndex", "m_persKey")}
        branches[link] = ak.zip(members)
    path = write_root(tmp_path / "a.root", branches, tree, ntuple=ntuple)
    (chunk,) = chunks_of(path, MERGED, working_points={"medium": 0.0})
    jets = chunk.jets
    assert jets.pt.tolist() == [90, 60, 30, 50, 40]
    assert jets.flavour.tolist() == [5, 4, 0, 0, 0]
    pb = np.array([0.9, 0.2, 0.1, 0.3, 0.4])
    pc = np.array([0.05, 0.3, 0.1, 0.2, 0.2])
    pu = np.array([0.05, 0.5, 0.8, 0.5, 0.4])
    assert jets.score == pytest.approx(np.log(pb / (0.1 * pc + 0.9 * pu)))
    assert jets.is_tagged.tolist() == [True, False, False, False, True]
    # Element 0 of the weights is the nominal one.
    assert jets.weight.tolist() == [2, -1]
    assert chunk.events["run"].to_pylist() == [410470, 410470]
    assert chunk.events["luminosity_block"].to_pylist() == [7, 8]
    assert chunk.counts.merged == {"15 to 0": 1}


def test_a_link_that_leads_nowhere_is_a_jet_that_was_not_scored(tmp_path: Path) -> None:
    keys = ak.values_astype(ak.Array([[7, 0, 7], [7, 7]]), "uint32")
    index = ak.values_astype(ak.Array([[2, 0, 1], [1, 2**32 - 1]]), "uint32")
    changes = {f"{JETS}+btaggingLink.m_persKey": keys, f"{JETS}+btaggingLink.m_persIndex": index}
    path = write_root(tmp_path / "a.root", physlite(**changes), "CollectionTree")
    jets = jets_of(path, MERGED)
    assert np.isnan(jets.score).tolist() == [True, False, False, False, True]


def test_links_into_two_containers_are_refused(tmp_path: Path) -> None:
    keys = ak.values_astype(ak.Array([[7, 8, 7], [7, 7]]), "uint32")
    changes = {f"{JETS}+btaggingLink.m_persKey": keys}
    path = write_root(tmp_path / "a.root", physlite(**changes), "CollectionTree")
    with pytest.raises(DataError, match=r"'GN2v00_pb' cannot be brought to the jets: .* 2 contain"):
        chunks_of(path, MERGED)


def test_a_missing_link_is_refused(tmp_path: Path) -> None:
    changes = {f"{JETS}+btaggingLink.m_persIndex": None}
    path = write_root(tmp_path / "a.root", physlite(**changes), "CollectionTree")
    text = "not parallel to the jets, and the link that leads there is missing .*m_persIndex"
    with pytest.raises(DataError, match=text):
        chunks_of(path, MERGED)


def test_the_discriminant_of_a_newer_tagger_is_a_formula(tmp_path: Path) -> None:
    path = write_root(tmp_path / "a.root", physlite(), "CollectionTree")
    formula = "log(GN2v01_pb / (0.2*GN2v01_pc + 0.01*GN2v01_ptau + 0.79*GN2v01_pu))"
    with pytest.raises(DataError, match="no branch 'GN2v01_pb', for the discriminant"):
        chunks_of(path, MERGED.model_copy(update={"discriminant": formula}))
    newer = {}
    for name, values in physlite().items():
        newer[name.replace("GN2v00", "GN2v01")] = values
    newer[f"{TAGGER}.GN2v01_ptau"] = newer[f"{TAGGER}.GN2v01_pb"]
    path = write_root(tmp_path / "b.root", newer, "CollectionTree")
    jets = jets_of(path, MERGED.model_copy(update={"discriminant": formula}))
    assert jets.score[0] == pytest.approx(np.log(0.9 / (0.2 * 0.05 + 0.01 * 0.9 + 0.79 * 0.05)))


def test_an_event_without_weights_is_refused(tmp_path: Path) -> None:
    changes = {"EventInfoAuxDyn+mcEventWeights": [[2.0, 9.0], []]}
    path = write_root(tmp_path / "a.root", physlite(**changes), "CollectionTree")
    with pytest.raises(DataError, match=r"mcEventWeights\[0\]\) is nan in entry 1"):
        chunks_of(path, MERGED)


# Plain ROOT, our own names or those of the options.


def plain(jets: Jets) -> dict[str, Any]:
    """Return branches with our own names, a list of jets for each event."""
    branches: dict[str, Any] = {}
    for name in jets.jet_columns:
        values = getattr(jets, name)
        branches[name] = ak.unflatten(values, jets.multiplicity)
    return branches | {"weight": jets.weight, "event": jets.event}


@pytest.mark.parametrize("ntuple", [False, True])
def test_plain_root_files_are_read_by_our_own_names(
    few: Jets, tmp_path: Path, ntuple: bool
) -> None:
    path = write_root(tmp_path / "a.root", plain(few), "anything", ntuple=ntuple)
    assert_found_again(jets_of(path, ReaderOptions(format="root", step_events=70)), few)


def test_names_of_other_analyses_are_mapped(few: Jets, tmp_path: Path) -> None:
    columns = {}
    branches = {}
    for name, values in plain(few).items():
        branches[f"my-{name}"] = values
        columns[name] = f"`my-{name}`"
    del columns["score"]
    columns["event_number"] = columns.pop("event")
    path = write_root(tmp_path / "a.root", branches)
    assert_found_again(jets_of(path, ReaderOptions(format="root", columns=columns)), few)


def test_files_without_event_numbers_count_their_entries(few: Jets, tmp_path: Path) -> None:
    branches = plain(few)
    del branches["event"]
    path = write_root(tmp_path / "a.root", branches)
    options = ReaderOptions(format="root", step_events=70)
    assert table_of(path, options)["event_number"].to_pylist() == list(range(300))
    take = Take(of=3, remainders=(1,))
    assert jets_of(path, options, take=take).event_number.tolist() == list(range(1, 300, 3))


def test_something_must_say_which_jets_are_tagged(few: Jets, tmp_path: Path) -> None:
    branches = plain(few)
    del branches["is_tagged"]
    path = write_root(tmp_path / "a.root", branches)
    text = "nothing says which jets are tagged. State the 'discriminant' .*'is_tagged' under 'col"
    with pytest.raises(ConfigError, match=text):
        chunks_of(path, ReaderOptions(format="root"))
    options = ReaderOptions(format="root", discriminant="1 - score", valid=(None, 0.9))
    (chunk,) = chunks_of(path, options)
    assert np.array_equal(chunk.jets.is_tagged, (1 - few.score > 0.5) & (1 - few.score <= 0.9))
    assert chunk.counts.unscored == (1 - few.score > 0.9).sum()


def test_tags_of_a_file_must_be_tags(few: Jets, tmp_path: Path) -> None:
    branches = plain(few)
    branches["is_tagged"] = branches["is_tagged"] * 2
    path = write_root(tmp_path / "a.root", branches)
    with pytest.raises(DataError, match=r": is_tagged is 2 in entry \d+, jet \d .*must be 0 to 1"):
        chunks_of(path, ReaderOptions(format="root"))


# Parquet.


def write_lists(path: Path, branches: dict[str, Any], **more: Any) -> Path:
    ak.to_parquet(ak.Array(branches), path, **more)
    return path


@pytest.mark.parametrize("more", [{}, {"extensionarray": True}, {"row_group_size": 40}])
@pytest.mark.parametrize("step_events", [1, 70, 1000])
def test_lists_in_parquet_are_read(
    few: Jets, tmp_path: Path, step_events: int, more: dict[str, Any]
) -> None:
    path = write_lists(tmp_path / "a.parquet", plain(few), **more)
    options = ReaderOptions(format="parquet", step_events=step_events)
    chunks = chunks_of(path, options)
    assert max(chunk.counts.entries for chunk in chunks) <= step_events
    assert_found_again(concatenate([chunk.jets for chunk in chunks]), few)


def test_lists_of_records_in_parquet_are_read(few: Jets, tmp_path: Path) -> None:
    branches = plain(few)
    of_jets = {name: branches.pop(name) for name in few.jet_columns}
    branches["Jet"] = ak.zip(of_jets)
    path = write_lists(tmp_path / "a.parquet", branches)
    columns = {name: f"Jet.{name}" for name in of_jets}
    assert_found_again(jets_of(path, ReaderOptions(format="parquet", columns=columns)), few)


def test_lists_with_gaps_are_refused(tmp_path: Path) -> None:
    table = {
        "pt": [[30.0, 20.0], None, [10.0]],
        "eta": [[0.0, None], [], [0.0]],
        "phi": [[0.0, 0.0], [], [0.0]],
        "mass": [[0.0, 0.0], [], [0.0]],
        "flavour": [[0, 5], [], [None]],
        "is_tagged": [[True, True], [], [False]],
        "weight": [1.0, 1.0, 1.0],
    }
    path = tmp_path / "a.parquet"
    options = ReaderOptions(format="parquet", check_unit=False)
    pq.write_table(pa.table(table), path)
    with pytest.raises(
        DataError, match=r"a.parquet: column 'pt' is empty in row 1. Fill it, or dr"
    ):
        chunks_of(path, options)
    table["pt"][1] = []
    pq.write_table(pa.table(table), path)
    with pytest.raises(DataError, match="column 'flavour' has gaps from row 0 on"):
        chunks_of(path, options)
    table["flavour"][2] = [4]
    pq.write_table(pa.table(table), path)
    with pytest.raises(DataError, match="eta is nan in entry 0, jet 1"):
        chunks_of(path, options)
    table["eta"][0] = [0.0, 0.0]
    pq.write_table(pa.table(table), path)
    assert jets_of(path, options).n_jets == 3
    table["weight"] = ["one", "two", "three"]
    pq.write_table(pa.table(table), path)
    with pytest.raises(DataError, match="column 'weight' holds string; a number per row, or a lis"):
        chunks_of(path, options)


@pytest.mark.parametrize("step_events", [1, 7, 70, 1000])
def test_our_own_samples_are_read(few: Jets, tmp_path: Path, step_events: int) -> None:
    write_jets([few], tmp_path / "a.parquet")
    chunks = chunks_of(
        tmp_path / "a.parquet", ReaderOptions(format="parquet", step_events=step_events)
    )
    assert max(chunk.counts.entries for chunk in chunks) <= step_events
    jets = concatenate([chunk.jets for chunk in chunks])
    assert_found_again(jets, few)
    assert np.array_equal(jets.score, few.score)
    assert np.array_equal(jets.event & 0xFFFFFFFF, np.arange(few.n_events))
    assert total(chunk.counts for chunk in chunks).entries == few.n_events


def rows(**changes: Any) -> dict[str, Any]:
    usual = {
        "event": [7, 7, 3, 9],
        "pt": [30.0, 90.0, 60.0, 40.0],
        "eta": [0.0, 1.0, 2.0, 0.0],
        "phi": [0.0, 1.0, 2.0, 0.0],
        "mass": [1.0, 1.0, 1.0, 1.0],
        "flavour": [0, 5, 4, 0],
        "btag": [0.1, 0.9, 0.9, 0.1],
        "weight": [1.0, 1.0, -1.0, 2.0],
    }
    return usual | changes


ROWS = ReaderOptions(format="parquet", discriminant="btag")


def test_a_row_per_jet_is_cut_into_events(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(rows()), path)
    for step_events in (1, 2, 10):
        jets = jets_of(path, ROWS.model_copy(update={"step_events": step_events}))
        assert jets.pt.tolist() == [90, 30, 60, 40]
        assert jets.position.tolist() == [1, 0, 0, 0]
        assert jets.event_number.tolist() == [7, 3, 9]
        assert jets.weight.tolist() == [1, -1, 2]
        assert jets.is_tagged.tolist() == [True, False, True, False]
    mapped = {f"jet_{name}": values for name, values in rows().items()}
    pq.write_table(pa.table(mapped), path)
    columns = {name: f"jet_{name}" for name in rows() if name != "btag"}
    options = ReaderOptions(format="parquet", discriminant="jet_btag", columns=columns)
    assert jets_of(path, options).event_number.tolist() == [0, 1, 2]
    options.columns["event_number"] = "jet_event"
    assert jets_of(path, options).event_number.tolist() == [7, 3, 9]


def test_rows_of_an_event_must_agree_and_be_adjacent(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    for step_events in (1, 10):
        options = ROWS.model_copy(update={"step_events": step_events})
        pq.write_table(pa.table(rows(event=[7, 3, 7, 9])), path)
        text = r"rows of the event with event 7 stand apart \(1 such events\); the jets of an event"
        with pytest.raises(DataError, match=text):
            chunks_of(path, options)
        # Events of one number in two runs are two events.
        pq.write_table(pa.table(rows(event=[7, 7, 7, 9], run=[1, 1, 2, 2])), path)
        assert jets_of(path, options).event_number.tolist() == [7, 7, 9]
        pq.write_table(pa.table(rows(event=[7, 7, 8, 7], run=[1, 1, 2, 1])), path)
        with pytest.raises(DataError, match=r"event with run 1, event 7 stand apart"):
            chunks_of(path, options)
        pq.write_table(pa.table(rows(weight=[1.0, 3.0, 1.0, 1.0])), path)
        with pytest.raises(
            DataError, match=r"weight is 3.0 in a row of entry 0, and 1.0 in its fir"
        ):
            chunks_of(path, options)
        pq.write_table(pa.table(rows(event=[7.0, 7.0, 3.0, 9.0])), path)
        with pytest.raises(DataError, match="column 'event' holds float64 values; events are told"):
            chunks_of(path, options)
    del (without := rows())["event"]
    pq.write_table(pa.table(without), path)
    with pytest.raises(DataError, match="no branch 'event', which numbers the events of a file"):
        chunks_of(path, ROWS)


def test_parquet_files_without_rows_have_no_events(few: Jets, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(rows()).slice(0, 0), path)
    (chunk,) = chunks_of(path, ROWS)
    assert (chunk.jets.n_events, chunk.events.num_rows) == (0, 0)
    write_lists(path, plain(few))
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    (chunk,) = chunks_of(path, ReaderOptions(format="parquet"))
    assert (chunk.jets.n_events, chunk.events.num_rows) == (0, 0)


def test_a_damaged_parquet_file_is_refused(few: Jets, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_table(pa.table(rows()), path)
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(DataError, match=r"a.parquet: cannot be read as Parquet"):
        chunks_of(path, ROWS)
    with pytest.raises(DataError, match="Parquet is read from local files only"):
        chunks_of("root://host//a.parquet", ROWS)


# Options.


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"format": "nano"},
            "x.format: Input should be 'nanoaod', 'physlite', 'root' or 'parquet'",
        ),
        ({"format": "root", "tre": "a"}, "x.tre: Extra inputs are not permitted"),
        ({"format": "root", "pt": [30, 20]}, r"x.pt: \[30.0, 20.0\] is not allowed; the first"),
        (
            {"format": "root", "jets": {"a": [None, None]}},
            r"x.jets.a: \[null, null\] is not allowed",
        ),
        (
            {"format": "root", "events": {"a": [2, 1]}},
            r"x.events.a: .*must not be above the second",
        ),
        ({"format": "root", "events": {"a b": [1, 2]}}, r"'a b' is no formula of branches"),
        (
            {"format": "root", "discriminant": "f(x)"},
            r"x.discriminant: 'f\(x\)' is not allowed in a",
        ),
        ({"format": "root", "columns": {"pt": "x if y else z"}}, "x.columns.pt: .*is not allowed"),
        ({"format": "root", "columns": {"my pt": "x"}}, "'my pt' is no name of a column"),
        ({"format": "root", "max_jets": 0}, "x.max_jets: .*greater than or equal to 1, not 0"),
        (
            {"format": "root", "step_events": 0},
            "x.step_events: .*greater than or equal to 1, not 0",
        ),
        ({"format": "root", "unit": "TeV"}, "x.unit: Input should be 'GeV' or 'MeV'"),
        ({"format": "root", "merge_flavours": {"b": 5}}, "x.merge_flavours.b.*: .*integer"),
        ({"format": "root", "valid": [0.0, float("nan")]}, "x.valid.*finite number"),
    ],
)
def test_options_that_are_not_allowed_are_named(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        validated(ReaderOptions, options, "x")


def test_options_survive_json() -> None:
    options = ReaderOptions.model_validate(
        {
            "format": "nanoaod",
            "merge_flavours": {15: 0},
            "pt": [20, None],
            "jets": {"Jet_neHEF": [None, 0.99]},
        }
    )
    plain_values = options.model_dump(mode="json")
    assert ReaderOptions.model_validate(plain_values) == options
    as_text = {**plain_values, "merge_flavours": {"15": 0}}
    assert ReaderOptions.model_validate(as_text) == options


@pytest.mark.parametrize(
    ("take", "text"),
    [
        ({"of": 1, "remainders": [0]}, "x.of: .*greater than or equal to 2"),
        ({"of": 2, "remainders": [2]}, r"remainders \[2\] are not allowed; each must be below 2"),
        ({"of": 2, "remainders": [1, 1]}, r"remainders \[1, 1\] are not allowed"),
        ({"of": 2, "remainders": []}, "x.remainders: "),
        ({"of": 2, "remainders": [0], "by": "number"}, "x.by: Input should be 'event' or 'hash'"),
    ],
)
def test_shares_that_are_not_allowed_are_named(take: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        validated(Take, take, "x")


def test_columns_must_be_known(few: Jets, tmp_path: Path) -> None:
    path = write_root(tmp_path / "a.root", plain(few))
    options = ReaderOptions(format="root", columns={"flavor": "flavour"})
    text = r"columns.flavor: there is no such column, and .*Did you mean 'flavour'\?"
    with pytest.raises(ConfigError, match=text):
        chunks_of(path, options)
    inputs = {"flavor": Input()}
    assert np.array_equal(jets_of(path, options, inputs=inputs).further["flavor"], few.flavour)


def test_working_points_must_rise_and_be_those_of_the_labels(few: Jets, tmp_path: Path) -> None:
    path = write_root(tmp_path / "a.root", plain(few))
    options = ReaderOptions(format="root", discriminant="score")
    two = Labels((0, 4, 5), ("a", "b"))
    with pytest.raises(ConfigError, match="thresholds must rise, the loosest first"):
        chunks_of(path, options, two, working_points={"a": 0.5, "b": 0.5})
    with pytest.raises(ConfigError, match="working_points are b, a, the labels of the sample name"):
        chunks_of(path, options, two, working_points={"b": 0.1, "a": 0.5})
    untagged = jets_of(path, options, working_points={})
    assert not untagged.has_tags
    assert np.array_equal(untagged.score, few.score)


def test_only_formats_with_a_tagger_need_a_threshold() -> None:
    needs = {name: ReaderOptions(format=name).needs_threshold for name in FORMATS}
    assert needs == {"nanoaod": True, "physlite": True, "root": False, "parquet": False}
    assert ReaderOptions(format="root", discriminant="x").needs_threshold


@pytest.mark.parametrize("layout", FORMATS.values(), ids=FORMATS)
def test_formats_name_all_columns(layout: Any) -> None:
    assert set(layout.columns) <= set(ROLES)
    assert set(ROLES) - set(layout.columns) <= {"event", *OPTIONAL_ROLES}


def test_counts_of_parts_add_up(few: Jets, tmp_path: Path) -> None:
    path = write_root(tmp_path / "a.root", plain(few))
    whole = counts_of(path, ReaderOptions(format="root"))
    parts = counts_of(path, ReaderOptions(format="root", step_events=13))
    assert parts == whole
    tagged = {one: row.tagged[0] for one, row in whole.by_flavour().items()}
    for flavour, count in tagged.items():
        assert count == few.is_tagged[few.flavour == flavour].sum()
    assert str(whole) == (
        f"300 of 300 events, {few.n_jets} jets, effective events: {whole.effective_events:.1f}"
    )
    assert LABELS.points == whole.points
    assert POINT.keys() == {"medium"}
