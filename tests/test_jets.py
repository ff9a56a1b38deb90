"""Ragged jets in memory and on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import make_jets
from truthtag.data.columns import REQUIRED
from truthtag.data.files import read_metadata
from truthtag.data.jets import (
    SCHEMA,
    UNITS,
    Jets,
    concatenate,
    read_jets,
    read_samples,
    write_jets,
)
from truthtag.data.labels import Labels
from truthtag.data.validation import pt_order
from truthtag.errors import DataError
from truthtag.weights.tag_counts import is_leading, tag_counts

multiplicities = st.lists(st.integers(1, 8), min_size=1, max_size=30)


def present(jets: Jets) -> list[str]:
    """Columns that the jets have, in the order of the schema."""
    return [name for name in SCHEMA if getattr(jets, name) is not None]


def assert_same(a: Jets, b: Jets) -> None:
    assert np.array_equal(a.offsets, b.offsets)
    for name in SCHEMA:
        assert np.array_equal(getattr(a, name), getattr(b, name)), name


@given(multiplicities, st.integers(0, 100))
def test_write_and_read_is_the_identity(counts: list[int], seed: int) -> None:
    jets = make_jets(counts, seed)
    again = Jets.from_columns({n: jets.to_table()[n].to_numpy() for n in present(jets)})
    assert_same(jets, again)


@given(multiplicities)
def test_groups_of_one_multiplicity_hold_every_jet_once(counts: list[int]) -> None:
    jets = make_jets(counts)
    seen = np.concatenate([group.jets.ravel() for group in jets.by_multiplicity()])
    assert np.array_equal(np.sort(seen), np.arange(jets.n_jets))
    for events, index in jets.by_multiplicity():
        assert np.array_equal(
            jets.event_of_jet[index], np.repeat(events[:, None], index.shape[1], axis=1)
        )


@given(multiplicities, st.data())
def test_taking_events_apart_and_together_is_the_identity(
    counts: list[int], data: st.DataObject
) -> None:
    jets = make_jets(counts)
    cut = data.draw(st.integers(0, jets.n_events))
    assert_same(concatenate([jets.take(slice(0, cut)), jets.take(slice(cut, None))]), jets)


@given(multiplicities, st.data())
def test_the_first_events_are_those_of_a_shorter_sample(
    counts: list[int], data: st.DataObject
) -> None:
    jets = make_jets(counts)
    count = data.draw(st.integers(0, jets.n_events))
    assert_same(jets.first(count), jets.take(slice(0, count)))


@pytest.mark.parametrize("count", [-1, 3])
def test_more_events_than_there_are_cannot_be_the_first(count: int) -> None:
    with pytest.raises(
        DataError,
        match=rf"the first {count} events were asked for, the sample has 2\. Ask for 0 to 2",
    ):
        make_jets([2, 3]).first(count)


def test_files_carry_types_units_and_origin(few: Jets, tmp_path: Path) -> None:
    write_jets(
        [few.take(slice(0, 100)), few.take(slice(100, 300))], tmp_path / "a.parquet", {"seed": 3}
    )
    assert_same(read_jets(tmp_path / "a.parquet"), few)
    frame = pd.read_parquet(tmp_path / "a.parquet")
    assert {name: np.dtype(SCHEMA[name]) for name in present(few)} == dict(frame.dtypes)
    described = {"units": UNITS, "labels": few.labels.to_metadata(), "further": []}
    assert read_metadata(tmp_path / "a.parquet") == {"seed": 3, **described}
    schema = pq.read_schema(tmp_path / "a.parquet")
    assert schema.field("pt").metadata == {b"unit": b"GeV"}


def test_a_folder_of_shards_is_one_sample_for_us_and_for_pandas(few: Jets, tmp_path: Path) -> None:
    write_jets([few.take(slice(100, 300))], tmp_path / "0001.parquet")
    write_jets([few.take(slice(0, 100))], tmp_path / "0000.parquet")
    assert_same(read_jets(tmp_path), few)
    assert np.array_equal(pd.read_parquet(tmp_path)["pt"], few.pt)


def test_events_of_zero_one_and_many_jets() -> None:
    jets = make_jets([0, 1, 40, 0])
    assert [len(group.events) for group in jets.by_multiplicity()] == [1, 1]
    assert jets.leading_jets(2).jets.tolist() == [[1, 2]]
    with pytest.raises(
        DataError, match=r"event 0 has no jets \(2 such events\).*take\(multiplicity > 0\)"
    ):
        jets.to_table()
    assert jets.take(jets.multiplicity > 0).to_table().num_rows == 41


def test_a_sample_without_events_is_allowed_in_memory_and_refused_on_disk(
    few: Jets, tmp_path: Path
) -> None:
    nothing = few.take(slice(0, 0))
    assert (nothing.n_events, nothing.n_jets, list(nothing.by_multiplicity())) == (0, 0, [])
    with pytest.raises(DataError, match="no events to write"):
        write_jets([], tmp_path / "a.parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_nothing_behind(few: Jets, tmp_path: Path) -> None:
    def broken() -> Any:
        yield few
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_jets(broken(), tmp_path / "a.parquet")
    assert list(tmp_path.iterdir()) == []


BAD_VALUES: list[tuple[str, Callable[[dict[str, Any]], Any], str]] = [
    (
        "pt",
        lambda c: c["pt"].__setitem__(3, np.nan),
        r"'pt' is nan in row 3 \(event 1\).*must be finite",
    ),
    ("pt", lambda c: c["pt"].__setitem__(1, -5), r"'pt' is -5.0 in row 1 \(event 0\).*above 0 GeV"),
    ("phi", lambda c: c["phi"].__setitem__(0, 4.0), r"'phi' is 4.0 in row 0.*\[-pi, pi\); wrap it"),
    (
        "pt",
        lambda c: c["pt"].__setitem__(1, 1e6),
        r"'pt' is 1000000.0 in row 1.*ordered by falling pt; sort",
    ),
    (
        "weight",
        lambda c: c["weight"].__setitem__(1, 9),
        r"'weight' is 9.0 in row 1.*share its weight",
    ),
    (
        "eff",
        lambda c: c["efficiency_true"].__setitem__(2, 1.5),
        r"'efficiency_true' is 1.5 in row 2.*lie in \[0, 1\]",
    ),
    (
        "event",
        lambda c: c["event"].__setitem__(4, 0),
        r"'event' is 0 in row 4.*adjacent; sort by event",
    ),
    (
        "type",
        lambda c: c.__setitem__("flavour", c["flavour"] + 0.5),
        r"'flavour' must be int8, it holds",
    ),
    (
        "range",
        lambda c: c.__setitem__("flavour", np.full(5, 511)),
        r"'flavour' must be int8, it holds 511",
    ),
    (
        "text",
        lambda c: c.__setitem__("eta", np.array(list("abcde"))),
        r"'eta' must be float32, it holds",
    ),
    ("length", lambda c: c.__setitem__("eta", np.zeros(4)), r"columns differ in length"),
    ("missing", lambda c: c.pop("mass"), r"column 'mass' is missing"),
]


@pytest.mark.parametrize(
    ("what", "spoil", "message"), BAD_VALUES, ids=[b[0] + str(i) for i, b in enumerate(BAD_VALUES)]
)
def test_bad_values_are_named(
    what: str, spoil: Callable[[dict[str, Any]], Any], message: str
) -> None:
    jets = make_jets([2, 3])
    columns = {name: jets.per_jet(name).copy() for name in present(jets)}
    spoil(columns)
    with pytest.raises(DataError, match=message):
        Jets.from_columns(columns, "my.parquet")


def test_bad_files_are_named(few: Jets, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with pytest.raises(DataError, match=r"a\.parquet: no such file"):
        read_jets(path)
    with pytest.raises(DataError, match=r"holds no \.parquet file"):
        read_jets(tmp_path)
    write_jets([few], path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        DataError, match=r"a\.parquet: cannot be read as Parquet.*truncated.*make it again"
    ):
        read_jets(path)
    path.write_text("event,pt\n1,2\n")
    with pytest.raises(DataError, match=r"a\.parquet: cannot be read as Parquet"):
        read_jets(path)


def test_a_misnamed_column_is_guessed(few: Jets, tmp_path: Path) -> None:
    table = few.to_table().rename_columns({"flavour": "flavor"})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(
        DataError, match=r"column 'flavour' is missing.*Is it called 'flavor' here\? Rename it"
    ):
        read_jets(tmp_path / "a.parquet")


def test_an_empty_cell_is_named(few: Jets, tmp_path: Path) -> None:
    table = few.to_table()
    eta = [None, *table["eta"].to_pylist()[1:]]
    table = table.set_column(2, "eta", pa.array(eta, pa.float32()))
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"column 'eta' is empty in row 0"):
        read_jets(tmp_path / "a.parquet")


def test_the_same_event_in_two_files_is_refused(few: Jets, tmp_path: Path) -> None:
    for name in ("0000", "0001"):
        write_jets([few], tmp_path / f"{name}.parquet")
    with pytest.raises(DataError, match="event 0 stands in two of the samples"):
        read_jets(tmp_path)


def test_true_efficiencies_at_several_points_are_columns_of_a_file(tmp_path: Path) -> None:
    labels = Labels(points=("loose", "tight"))
    true = np.array([[0.5, 0.25], [0.4, 0.16], [0.3, 0.09]])
    tags = {"is_tagged": None, "tag_bin": np.array([2, 1, 0])}
    jets = make_jets([2, 1], **tags, efficiency_true=true, labels=labels)
    path = tmp_path / "jets.parquet"
    write_jets([jets], path)
    stored = pd.read_parquet(path)
    assert stored["efficiency_true_tight"].tolist() == [0.25, 0.16, 0.09]
    assert "efficiency_true" not in stored
    assert np.array_equal(read_jets(path).efficiency_true, true)
    columns = {name: stored[name].to_numpy() for name in REQUIRED}
    with pytest.raises(DataError, match=r"'efficiency_true' has shape \(3, 2\); a row per jet"):
        Jets.from_columns({**columns, "efficiency_true": true})


def test_columns_of_wrong_shape_are_refused() -> None:
    with pytest.raises(DataError, match=r"column 'weight' has shape \(5,\), it must be \(2,\)"):
        make_jets([2, 3], weight=np.ones(5))
    with pytest.raises(DataError, match="offsets of 1 events must rise"):
        make_jets([2, 3], event=np.array([1]))


def test_other_tools_may_round_pi_up() -> None:
    jets = make_jets([2])
    columns = {name: jets.per_jet(name).copy() for name in present(jets)}
    columns["phi"][0] = np.float32(np.pi)
    assert Jets.from_columns(columns).n_jets == 2


# ---- every way to make or change jets keeps the rules


def three_jets() -> Jets:
    """One event of pt 100, 90 and 80 GeV whose jets are tagged with 0.8, 0.5 and 0.01."""
    return make_jets(
        [3], pt=np.array([100.0, 90.0, 80.0]), efficiency_true=np.array([0.8, 0.5, 0.01])
    )


def leading_pair(jets: Jets) -> float:
    """Return the probability that both leading jets of the first event are tagged."""
    counts = tag_counts(jets, jets.efficiency_true, 2, is_leading(jets, 2))
    return float(counts.exactly[0, 2])


NEW_PT = np.array([70.0, 90.0, 96.0])
WAYS: dict[str, Callable[[Jets, dict[str, Any]], Jets]] = {
    "with_columns": lambda jets, new: jets.with_columns(**new),
    "replace": lambda jets, new: replace(jets, **new),
    "constructor": lambda jets, new: Jets(
        **({name: getattr(jets, name) for name in (*SCHEMA, "offsets")} | new)
    ),
    "from_columns": lambda jets, new: Jets.from_columns(
        {name: jets.per_jet(name) for name in present(jets)}
        | {name: np.repeat(x, 3) if name == "weight" else x for name, x in new.items()}
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_way_leads_to_jets_out_of_order(way: str) -> None:
    with pytest.raises(
        DataError, match=r"'pt' is 90.0 in row 1 .*ordered by falling pt; sort them \(sort=True"
    ):
        WAYS[way](three_jets(), {"pt": NEW_PT})


def test_sorting_brings_all_columns_along() -> None:
    jets = three_jets()
    assert leading_pair(jets) == pytest.approx(0.4)
    moved = jets.with_columns(pt=NEW_PT, sort=True)
    assert leading_pair(moved) == pytest.approx(0.005)
    assert moved.pt.tolist() == [96, 90, 70]
    rows = pt_order(NEW_PT, jets.offsets)
    for name in jets.jet_columns:
        if name != "pt":
            assert np.array_equal(getattr(moved, name), getattr(jets, name)[rows]), name
    columns = {name: jets.per_jet(name) for name in present(jets)} | {"pt": NEW_PT}
    from_columns = Jets.from_columns(columns, sort=True)
    assert leading_pair(from_columns) == pytest.approx(0.005)


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"eta": np.array([np.nan, 0, 1])}, "'eta' is nan in row 0 .* must be finite"),
    ({"eta": np.array([0, 999.0, 1])}, r"'eta' is 999.0 in row 1 .*lie in \[-20, 20\]"),
    ({"pt": np.array([1e30, 90, 80])}, "'pt' is .* in row 0 .*at most 1e6 GeV"),
    ({"pt": np.array([100.0, 90, 0])}, "'pt' is 0.0 in row 2 .*above 0 GeV"),
    ({"mass": np.array([1, -0.5, 1])}, r"'mass' is -0.5 in row 1 .*\[-0.01, 1e6\] GeV"),
    ({"mass": np.array([1, np.inf, 1])}, "'mass' is inf in row 1 .* must be finite"),
    ({"phi": np.array([1, 2, 3.2])}, "'phi' is 3.2.* in row 2 .*wrap it first"),
    ({"weight": np.array([np.nan])}, "'weight' is nan in row 0 .* must be finite"),
    ({"efficiency_true": np.array([0, 1.01, 1])}, r"'efficiency_true' is 1.01 in row 1"),
    ({"is_tagged": np.array([5, 3, 5])}, "'is_tagged' must be bool, it holds 5; tags are 0 or 1"),
    ({"is_tagged": np.array([0, np.nan, 1])}, "'is_tagged' must be bool, it holds nan"),
    ({"flavour": np.array([5, 4.5, 0])}, "'flavour' must be int8, it holds 4.5"),
    ({"flavour": np.array([5, 511, 0])}, "'flavour' must be int8, it holds 511"),
    ({"eta": np.array([1j, 0, 0])}, "'eta': holds complex numbers"),
    ({"eta": np.ma.array([0.0, 1, 2], mask=[0, 1, 0])}, "'eta': 1 of its entries are masked"),
    (
        {"is_tagged": np.ma.array([True, True, False], mask=[0, 1, 0])},
        "'is_tagged': 1 of its entries are masked",
    ),
    ({"eta": np.zeros((3, 1))}, r"'eta' has shape \(3, 1\).* wanted"),
    (
        {"eta": np.array([[0.0], [1.0, 2.0], []], dtype=object)},
        "'eta': each row holds a list; a row per jet is wanted",
    ),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("new", "message"), BROKEN, ids=range(len(BROKEN)))
def test_no_way_leads_to_values_that_are_not_allowed(
    way: str, new: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        WAYS[way](three_jets(), new)


def test_a_weight_that_is_no_number_is_found_in_every_row() -> None:
    columns = {name: three_jets().per_jet(name).copy() for name in present(three_jets())}
    columns["weight"][1] = np.nan
    with pytest.raises(DataError, match=r"'weight' is nan in row 1 .* must be finite"):
        Jets.from_columns(columns)


def test_arrays_of_jets_cannot_be_changed_in_place() -> None:
    jets = three_jets()
    for held in (jets, jets.take([0]), concatenate([jets, jets.with_columns(event=[1])])):
        with pytest.raises(ValueError, match="read-only"):
            held.pt[0] = np.nan
    pt = np.array([100.0, 90.0, 80.0])
    kept = jets.with_columns(pt=pt)
    pt[0] = np.nan
    assert kept.pt.tolist() == [100, 90, 80]


def test_columns_that_jets_do_not_have_are_refused() -> None:
    with pytest.raises(DataError, match="jets have no column 'flavor'; there are event, pt,"):
        three_jets().with_columns(flavor=[5, 5, 5])


def test_values_that_other_tools_write_are_accepted() -> None:
    jets = three_jets()
    tagged = jets.with_columns(is_tagged=[1, 0, 1], flavour=[5.0, 4.0, 0.0], mass=[-0.001, 0, 2])
    assert tagged.is_tagged.tolist() == [True, False, True]
    assert tagged.is_tagged.dtype == np.bool_
    assert tagged.flavour.dtype == np.int8
    assert jets.with_columns(score=np.full(3, np.nan)).n_jets == 3


# ---- numbers of events


def rows_of(event: list[int], pt: list[float]) -> dict[str, Any]:
    jets = make_jets([1] * len(event))
    columns = {name: jets.per_jet(name) for name in present(jets)}
    return columns | {"event": event, "pt": pt, "weight": np.ones(len(event))}


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_floating_event_numbers_are_refused(kind: Any) -> None:
    columns = rows_of([0, 1, 2, 3], [50, 40, 30, 20])
    # As float32, the middle two are one number.
    columns["event"] = np.array([16777216, 16777217, 16777218, 16777219]).astype(kind)
    with pytest.raises(DataError, match=r"'event' must be int64, it holds float.*as integers"):
        Jets.from_columns(columns)
    with pytest.raises(DataError, match=r"'event' must be int64, it holds float"):
        make_jets([1, 1], event=np.array([0, 1]).astype(kind))


def test_two_events_of_one_number_are_no_rows_out_of_order() -> None:
    with pytest.raises(DataError, match=r"'event' is 7 in row 4 .*two events share this number, "):
        Jets.from_columns(rows_of([7, 7, 8, 8, 7, 7], [90, 40, 80, 30, 70, 60]))
    with pytest.raises(DataError, match=r"'event' is 7 in row 3 .*row 0 already; .*sort by event"):
        Jets.from_columns(rows_of([7, 8, 8, 7], [90, 80, 30, 70]))


def test_two_events_of_one_number_in_a_row_are_not_sorted_into_one() -> None:
    message = r"'pt' is 80.0 in row 2 .*unless two events share this number: sorting would merge"
    with pytest.raises(DataError, match=message):
        Jets.from_columns(rows_of([7, 7, 7, 7], [90, 40, 80, 30]))


def test_event_numbers_in_memory_are_unique() -> None:
    message = "positions 0 and 2 share the number 4 .*Number them anew"
    with pytest.raises(DataError, match=message):
        make_jets([2, 1, 3], event=np.array([4, 5, 4]))
    with pytest.raises(DataError, match=message):
        make_jets([2, 1, 3]).with_columns(event=[4, 5, 4])


def test_events_drawn_twice_are_numbered_anew() -> None:
    jets = make_jets([2, 1, 3])
    drawn = jets.take(np.array([2, 0, 2]))
    assert drawn.event.tolist() == [0, 1, 2]
    assert np.array_equal(drawn.pt, jets.pt[[3, 4, 5, 0, 1, 3, 4, 5]])
    assert jets.take(np.array([2, 0])).event.tolist() == [2, 0]
    assert jets.take([]).n_events == 0


@pytest.mark.parametrize("events", [[3], [True, False], [0.5], np.ma.array([0, 1], mask=[0, 1])])
def test_events_that_are_not_there_cannot_be_taken(events: Any) -> None:
    with pytest.raises(DataError, match=r"cannot be taken from 3 events|entries are masked"):
        make_jets([2, 1, 3]).take(events)


def test_groups_of_chosen_events_take_positions_or_a_mask() -> None:
    jets = make_jets([2, 1, 2])
    by_mask = jets.by_multiplicity(np.array([False, True, True]))
    by_position = jets.by_multiplicity(np.array([1, 2]))
    for masked, positions in zip(by_mask, by_position, strict=True):
        assert np.array_equal(masked.events, positions.events)
        assert np.array_equal(masked.jets, positions.jets)
    with pytest.raises(DataError, match="cannot be taken from 3 events"):
        next(jets.by_multiplicity(np.array([True])))


def test_blocks_of_one_file_have_the_same_columns(few: Jets, tmp_path: Path) -> None:
    blocks = [few.take(slice(0, 9)), few.take(slice(9, 20)).with_columns(is_tagged=None)]
    with pytest.raises(DataError, match=r"^\S*/a\.parquet: a block has .* need the same"):
        write_jets(blocks, tmp_path / "a.parquet")
    assert list(tmp_path.iterdir()) == []


def test_the_same_jets_have_the_same_digest(few: Jets, tmp_path: Path) -> None:
    write_jets([few], tmp_path / "a.parquet")
    assert read_jets(tmp_path).digest() == few.digest()
    assert few.with_columns(is_tagged=None, weight=2 * few.weight).digest() == few.digest()
    assert few.with_columns(eta=few.eta + np.float32(0.01)).digest() != few.digest()
    assert few.with_columns(event=few.event + 1).digest() != few.digest()
    assert make_jets([1, 2]).digest() != make_jets([2, 1]).digest()


# ---- folders of shards


@pytest.mark.parametrize(
    "name",
    ["sub/0001.parquet", "0002.parq", "0003.parquet.gz", "0004.PARQUET", "_5.parquet", "6.pq"],
)
def test_what_looks_like_a_part_and_is_not_read_is_refused(
    few: Jets, tmp_path: Path, name: str
) -> None:
    write_jets([few], tmp_path / "0000.parquet")
    other = tmp_path / name
    other.parent.mkdir(exist_ok=True)
    other.write_bytes((tmp_path / "0000.parquet").read_bytes())
    with pytest.raises(DataError, match=f"{name} looks like a part of the sample and would not"):
        read_jets(tmp_path)


def test_hidden_files_and_notes_are_no_parts(few: Jets, tmp_path: Path) -> None:
    write_jets([few], tmp_path / "0000.parquet")
    for name in (".0001.123.part.parquet", "notes.txt", ".cache/0001.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("unfinished")
    assert_same(read_jets(tmp_path), few)


def test_a_shard_without_the_tags_of_the_others_is_named(few: Jets, tmp_path: Path) -> None:
    write_jets([few.take(slice(0, 100))], tmp_path / "0000.parquet")
    bare = few.take(slice(100, 200)).with_columns(is_tagged=None)
    write_jets([bare], tmp_path / "0001.parquet")
    with pytest.raises(DataError, match=r"0001\.parquet: column 'is_tagged' is missing, which"):
        read_jets(tmp_path)


def test_a_score_that_is_unknown_does_not_block_a_file(few: Jets, tmp_path: Path) -> None:
    write_jets([few.with_columns(score=np.full(few.n_jets, np.nan))], tmp_path / "a.parquet")
    assert np.isnan(read_jets(tmp_path).score).all()
    table = few.to_table().drop_columns("score")
    empty = pa.array([None] * few.n_jets, pa.float64())
    pq.write_table(table.append_column("score", empty), tmp_path / "a.parquet")
    assert np.isnan(read_jets(tmp_path).score).all()


def test_columns_of_lists_in_a_file_are_refused(few: Jets, tmp_path: Path) -> None:
    table = few.to_table()
    lists = pa.array([[value] for value in table["eta"].to_pylist()])
    pq.write_table(table.set_column(2, "eta", lists), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: column 'eta': each row holds a list; a row"):
        read_jets(tmp_path)


def test_the_same_event_in_two_shards_names_both(few: Jets, tmp_path: Path) -> None:
    for name in ("0000", "0001"):
        write_jets([few], tmp_path / f"{name}.parquet")
    message = r"0000\.parquet and .*0001\.parquet \(300 such events\). If they are two events"
    with pytest.raises(DataError, match=message):
        read_jets(tmp_path)


def test_several_samples_are_read_as_one(few: Jets, tmp_path: Path) -> None:
    """Two samples can count their events alike; read together, each event has its own number."""
    half = few.take(slice(0, 150))
    numbered = few.take(slice(150, 300)).with_columns(
        event=np.arange(150), event_number=np.arange(150) + 7
    )
    write_jets([half.take(slice(0, 100))], tmp_path / "one/0000.parquet")
    write_jets([half.take(slice(100, 150))], tmp_path / "one/0001.parquet")
    write_jets([numbered], tmp_path / "two/0000.parquet")
    files = sorted(tmp_path.glob("*/*.parquet"))
    joined = read_samples(files)
    assert joined.event.tolist() == list(range(300))
    assert joined.event_number.tolist() == [*half.event.tolist(), *range(7, 157)]
    assert np.array_equal(joined.pt, few.pt)
    # A sample alone is as it is.
    assert_same(read_samples(files[:2]), half)


def test_samples_of_other_labels_are_not_joined(few: Jets, tmp_path: Path) -> None:
    write_jets([few], tmp_path / "one/0000.parquet")
    other = few.with_columns(labels=Labels(flavours=(0, 4, 5)))
    write_jets([other], tmp_path / "two/0000.parquet")
    with pytest.raises(DataError, match="cannot be joined: their labels differ"):
        read_samples(sorted(tmp_path.glob("*/*.parquet")))
