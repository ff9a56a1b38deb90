"""Samples in blocks: the same events, digests and errors as in memory, however they are cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import make_jets
from truthtag.data.blocks import SampleFiles
from truthtag.data.files import read_metadata, write_frame
from truthtag.data.jets import Jets, concatenate, read_jets, write_jets
from truthtag.errors import DataError
from truthtag.estimators.prediction_files import (
    open_prediction,
    prediction_writer,
    read_prediction,
    write_prediction,
    write_replicas,
)
from truthtag.estimators.predictions import Prediction
from truthtag.estimators.sample_blocks import SampleBlocks

IN_ONE_FOLDER = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def a_prediction(jets: Jets, n_replicas: int = 3, seed: int = 5) -> Prediction:
    """Efficiencies of jets, with replicas."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(0.1, 0.9, jets.n_jets)
    replicas = np.clip(values + rng.normal(0, 0.03, (n_replicas, jets.n_jets)), 0, 1)
    return Prediction(jets.per_jet("event"), values, replicas, jets.digest())


def written_in_shards(jets: Jets, cuts: list[int], folder: Path) -> list[Path]:
    """Write events in files that end at some events, rows of two events to a row group."""
    paths = []
    ends = sorted({min(cut, jets.n_events) for cut in cuts})
    for number, (first, last) in enumerate(zip([0, *ends], [*ends, jets.n_events], strict=True)):
        paths.append(folder / f"{number:04d}.parquet")
        write_jets([jets.take(slice(first, last))], paths[-1])
        # Row groups that cut events in two, as other programs write them.
        table = pq.read_table(paths[-1])
        pq.write_table(table, paths[-1], row_group_size=3)
    return paths


@IN_ONE_FOLDER
@given(
    multiplicities=st.lists(st.integers(1, 5), max_size=12),
    cuts=st.lists(st.integers(0, 12), max_size=3),
    events=st.integers(1, 14),
)
def test_blocks_do_not_depend_on_the_files(
    multiplicities: list[int], cuts: list[int], events: int, tmp_path: Path
) -> None:
    jets = make_jets(multiplicities)
    paths = written_in_shards(jets, cuts, tmp_path)
    sample = SampleFiles(paths, events=events)
    # What is read twice is the same twice.
    for blocks in (list(sample), list(sample)):
        sizes = [block.n_events for block in blocks]
        assert sizes[:-1] == [events] * (len(sizes) - 1)
        assert sum(sizes) == jets.n_events
        assert concatenate(blocks).digest() == jets.digest()
    assert sample.n_jets == jets.n_jets


@IN_ONE_FOLDER
@given(sizes=st.lists(st.integers(1, 6), max_size=5))
def test_a_prediction_does_not_depend_on_its_blocks(sizes: list[int], tmp_path: Path) -> None:
    jets = make_jets([2, 1, 3] * max(1, sum(sizes)))
    whole = a_prediction(jets)
    write_prediction(whole, tmp_path / "whole.parquet", {"seed": 1})
    write_replicas(whole, tmp_path / "whole.replicas.parquet", {"seed": 1})
    paths = [tmp_path / "p.parquet", tmp_path / "p.replicas.parquet"]
    ends = np.cumsum([*sizes, jets.n_events])
    with prediction_writer(*paths, {"seed": 1}) as writer:
        for first, last in zip(np.r_[0, ends[:-1]], ends, strict=True):
            events = slice(int(first), int(last))
            part = jets.take(events)
            rows = slice(jets.offsets[first], jets.offsets[min(last, jets.n_events)])
            values = whole.values[rows]
            of_part = Prediction(part.per_jet("event"), values, whole.replicas[:, rows])
            writer.write(of_part, part)
        writer.finish()
    for path in paths:
        like = tmp_path / path.name.replace("p.", "whole.", 1)
        assert read_metadata(path) == read_metadata(like)
        pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(like))
    with open_prediction(*paths) as reader:
        for size in sizes:
            reader.take(size)
        reader.take(jets.n_jets)
        reader.finish(jets.digest())
    again = read_prediction(*paths)
    assert again.digest() == whole.digest()
    np.testing.assert_array_equal(again.values, whole.values)


def rows_of(table: pa.Table, events: list[int]) -> pa.Table:
    return pa.concat_tables([table.filter(pa.compute.equal(table["event"], n)) for n in events])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([[0, 1], [2, 1]], r"event 1 stands in two of .* to join, .*0\.parquet and .*1\.parquet"),
        ([[0, 1, 2, 1], [3]], r"0\.parquet: .*event 1"),
        ([[2, 3], [0, 1]], None),
        ([[3, 1], [2, 0]], None),
    ],
)
def test_an_event_that_stands_twice_is_refused(
    files: list[list[int]], message: str | None, tmp_path: Path
) -> None:
    jets = make_jets([2, 3, 1, 2])
    write_jets([jets], tmp_path / "all.parquet")
    table = pq.read_table(tmp_path / "all.parquet")
    paths = []
    for number, events in enumerate(files):
        paths.append(tmp_path / f"{number}.parquet")
        pq.write_table(rows_of(table, events), paths[-1])
    for read in (read_jets, lambda paths: list(SampleFiles(paths, events=1))):
        if message is None:
            read(paths)
            continue
        with pytest.raises(DataError, match=message):
            read(paths)


def test_files_that_differ_are_refused_or_read_alike(tmp_path: Path) -> None:
    jets = make_jets([2, 1, 3])
    width = jets.pt.copy()
    parts = [jets.take(slice(0, 1)), jets.take(slice(1, 3))]
    paths = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    write_jets([parts[0].with_columns(further={"width": width[:2]})], paths[0])
    write_jets([parts[1]], paths[1])
    (block,) = SampleFiles(paths)
    assert not block.further
    assert block.digest() == read_jets(paths).digest()
    with pytest.raises(DataError, match="a sample of no files cannot be read"):
        SampleFiles([])
    write_jets([parts[1].with_columns(is_tagged=None)], paths[1])
    for read in (read_jets, SampleFiles):
        with pytest.raises(DataError, match=r"1\.parquet: column 'is_tagged' is missing, which"):
            read(paths)


def test_an_error_says_in_which_rows_it_is(tmp_path: Path) -> None:
    path = tmp_path / "sample.parquet"
    write_jets([make_jets([2] * 150_000)], path)
    frame = pd.read_parquet(path)
    frame.loc[200_003, "pt"] = -1.0
    frame.to_parquet(path)
    with pytest.raises(DataError, match=r"after its first 199998 rows: .*pt"):
        list(SampleFiles(path))


# ---- what lies beside a sample


@pytest.fixture
def beside(tmp_path: Path) -> tuple[Jets, dict[str, list[Path]], Path]:
    """Jets in two files, a prediction and the flags of the domain."""
    jets = make_jets([2, 1, 3, 2, 4])
    (tmp_path / "sample").mkdir()
    written_in_shards(jets, [2], tmp_path / "sample")
    paths = [tmp_path / "beside" / "p.parquet", tmp_path / "beside" / "p.replicas.parquet"]
    write_prediction(a_prediction(jets), paths[0], {})
    write_replicas(a_prediction(jets), paths[1], {})
    flags = {"event": jets.per_jet("event"), "in_domain": np.arange(jets.n_jets) % 3 > 0}
    write_frame(pd.DataFrame(flags), tmp_path / "beside" / "domain.parquet")
    return jets, {"q": paths}, tmp_path / "beside" / "domain.parquet"


@pytest.mark.parametrize("events", [1, 2, 3, 100])
def test_what_lies_beside_a_sample_comes_with_it(
    events: int, beside: tuple[Jets, dict[str, list[Path]], Path]
) -> None:
    jets, predictions, domain = beside
    blocks = list(SampleBlocks(domain.parents[1] / "sample", predictions, domain, events))
    assert len(blocks) == -(-jets.n_events // events)
    values = np.concatenate([block.predictions["q"].values for block in blocks])
    np.testing.assert_array_equal(values, a_prediction(jets).values)
    replicas = np.concatenate([block.predictions["q"].replicas for block in blocks], axis=1)
    np.testing.assert_allclose(replicas, a_prediction(jets).replicas, atol=1e-6)
    inside = np.concatenate([block.in_domain for block in blocks])
    assert inside.tolist() == (np.arange(jets.n_jets) % 3 > 0).tolist()


def test_what_belongs_to_another_sample_is_refused(
    beside: tuple[Jets, dict[str, list[Path]], Path],
) -> None:
    jets, predictions, domain = beside
    folder = domain.parents[1] / "sample"
    for others, message in (
        (make_jets([2, 1, 3, 2, 4], seed=1), r"p\.parquet: a prediction for other jets with the"),
        (make_jets([1, 2, 3, 2, 4]), r"p\.parquet: a prediction for 3 jets does not match .* diff"),
        (jets.take(slice(0, 4)), r"p\.parquet: has rows of 12 jets and does not match the sample"),
    ):
        for file in folder.glob("*.parquet"):
            file.unlink()
        write_jets([others], folder / "0000.parquet")
        with pytest.raises(DataError, match=message):
            list(SampleBlocks(folder, predictions, events=2))
    write_jets([make_jets([1, 2, 3, 2, 4])], folder / "0000.parquet")
    with pytest.raises(DataError, match=r"domain\.parquet: does not belong to the sample"):
        list(SampleBlocks(folder, {}, domain))


def test_what_was_changed_or_is_old_is_refused(
    beside: tuple[Jets, dict[str, list[Path]], Path],
) -> None:
    _, predictions, domain = beside
    path = predictions["q"][0]
    frame = pd.read_parquet(path)
    metadata = read_metadata(path)
    write_frame(frame.assign(efficiency=0.5), path, metadata)
    with pytest.raises(DataError, match=r"p\.parquet: is damaged, or was changed by hand"):
        list(SampleBlocks(domain.parents[1] / "sample", predictions, events=2))
    write_frame(frame, path, {**metadata, "prediction_digest": "0123456789abcdef"})
    with pytest.raises(DataError, match=r"p\.parquet: was written by an older version of truthtag"):
        read_prediction(path)


def test_an_unfinished_prediction_leaves_nothing(tmp_path: Path) -> None:
    jets = make_jets([2, 1])
    good = a_prediction(jets)
    bad = Prediction(good.event, np.array([0.5, 0.5, 2.0]), good.replicas)
    paths = tmp_path / "p.parquet", tmp_path / "p.replicas.parquet"
    with (
        pytest.raises(DataError, match=r"p\.parquet: the efficiency of jet 5 is 2"),
        prediction_writer(*paths, {}) as writer,
    ):
        writer.write(good, jets)
        writer.write(bad, jets)
    assert not list(tmp_path.iterdir())
