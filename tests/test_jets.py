"""Ragged jets in memory and on disk."""

from __future__ import annotations

from collections.abc import Callable
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
from truthtag.data.files import read_metadata
from truthtag.data.jets import SCHEMA, UNITS, Jets, concatenate, read_jets, write_jets
from truthtag.errors import DataError

multiplicities = st.lists(st.integers(1, 8), min_size=1, max_size=30)
COLUMNS = tuple(name for name in SCHEMA if name != "event")


def assert_same(a: Jets, b: Jets) -> None:
    assert np.array_equal(a.offsets, b.offsets)
    for name in SCHEMA:
        assert np.array_equal(getattr(a, name), getattr(b, name)), name


@given(multiplicities, st.integers(0, 100))
def test_write_and_read_is_the_identity(counts: list[int], seed: int) -> None:
    jets = make_jets(counts, seed)
    again = Jets.from_columns({n: jets.to_table()[n].to_numpy() for n in SCHEMA})
    assert_same(jets, again)


@given(multiplicities)
def test_buckets_hold_every_jet_once(counts: list[int]) -> None:
    jets = make_jets(counts)
    seen = np.concatenate([bucket.jets.ravel() for bucket in jets.by_multiplicity()])
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
    assert {name: np.dtype(kind) for name, kind in SCHEMA.items()} == dict(frame.dtypes)
    assert read_metadata(tmp_path / "a.parquet") == {"seed": 3, "units": UNITS}
    schema = pq.read_schema(tmp_path / "a.parquet")
    assert schema.field("pt").metadata == {b"unit": b"GeV"}


def test_a_folder_of_shards_is_one_sample_for_us_and_for_pandas(few: Jets, tmp_path: Path) -> None:
    write_jets([few.take(slice(100, 300))], tmp_path / "0001.parquet")
    write_jets([few.take(slice(0, 100))], tmp_path / "0000.parquet")
    assert_same(read_jets(tmp_path), few)
    assert np.array_equal(pd.read_parquet(tmp_path)["pt"], few.pt)


def test_events_of_zero_one_and_many_jets() -> None:
    jets = make_jets([0, 1, 40, 0])
    assert [len(bucket.events) for bucket in jets.by_multiplicity()] == [1, 1]
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
    columns = {name: jets.per_jet(name).copy() for name in SCHEMA}
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


def test_columns_of_wrong_shape_are_refused() -> None:
    with pytest.raises(DataError, match=r"column 'weight' has shape \(5,\), it must be \(2,\)"):
        make_jets([2, 3], weight=np.ones(5))
    with pytest.raises(DataError, match="offsets of 1 events must rise"):
        make_jets([2, 3], event=np.array([1]))


def test_other_tools_may_round_pi_up() -> None:
    jets = make_jets([2])
    columns = {name: jets.per_jet(name).copy() for name in SCHEMA}
    columns["phi"][0] = np.float32(np.pi)
    assert Jets.from_columns(columns).n_jets == 2
