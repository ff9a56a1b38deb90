"""Samples as blocks: the same events wherever they are cut, and the same fits."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from estimator_kinds import SEED, class_of, options_of
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import make_jets
from truthtag.data.jets import Jets, concatenate, read_samples, write_jets
from truthtag.data.labels import Labels
from truthtag.data.training_blocks import (
    Blocks,
    EqualBlocks,
    TrainingBlocks,
    first_events,
    labels_of,
    number_of_jets,
    open_samples,
)
from truthtag.errors import DataError
from truthtag.estimators.cross_fitting import Folds, cut
from truthtag.estimators.resampling import draw_events, fit_replicas
from truthtag.seeds import seed_words
from truthtag.statistics.domain import Domain
from truthtag.statistics.domain_variables import variables_of

STREAMING = ["binned", "smoothed", "nearest_jet", "additive"]
COUNTING = ["binned", "smoothed", "nearest_jet"]
SMALL: dict[str, Any] = {
    "additive": {
        "terms": [{"of": "pt", "shrink": False}, {"sum_of": "delta_r", "by": "neighbour"}],
        "variables": {"pt": {"intervals": 3}},
    }
}


def pieces(jets: Jets, *ends: int) -> list[Jets]:
    """Cut jets into blocks."""
    bounds = [0, *ends, jets.n_events]
    return [jets.take(slice(a, b)) for a, b in pairwise(bounds)]


def same(one: Any, other: Any) -> bool:
    return bool(one.to_frame().equals(other.to_frame()) and one.settings == other.settings)


def written(jets: Jets, folder: Path, *ends: int) -> list[Path]:
    files = []
    for number, piece in enumerate(pieces(jets, *ends)):
        files.append(folder / f"{number:04d}.parquet")
        write_jets([piece], files[-1])
    return files


def alike(jets: Jets, others: Jets) -> bool:
    return jets.digest() == others.digest() and np.array_equal(jets.is_tagged, others.is_tagged)


# ---- reading


def test_a_sample_in_blocks_is_the_sample(few: Jets, tmp_path: Path) -> None:
    files = written(few, tmp_path, 100, 250)
    blocks = TrainingBlocks(files)
    for _ in range(2):
        assert alike(concatenate(list(blocks)), few)
    assert blocks.n_jets == number_of_jets(few) == number_of_jets(pieces(few, 7))
    assert labels_of(blocks) == few.labels
    assert alike(open_samples(files, in_blocks=False), few)


def test_several_samples_are_counted_anew(few: Jets, tmp_path: Path) -> None:
    files = [*written(few, tmp_path / "one", 100), *written(few.first(40), tmp_path / "two")]
    blocks = concatenate(list(TrainingBlocks(files)))
    whole = read_samples(files)
    assert alike(blocks, whole)
    assert np.array_equal(blocks.event_number, whole.event_number)


def test_numbers_of_the_experiment_stay_where_only_one_sample_has_them(
    few: Jets, tmp_path: Path
) -> None:
    """Folds go by them; and a truth that only one sample has is no reason to refuse the other."""
    numbered = few.first(40).with_columns(event_number=np.arange(40) * 7)
    bare = few.first(30).with_columns(efficiency_true=None)
    files = [*written(numbered, tmp_path / "one", 9), *written(bare, tmp_path / "two", 9)]
    blocks, whole = concatenate(list(TrainingBlocks(files))), read_samples(files)
    assert alike(blocks, whole)
    assert np.array_equal(blocks.event_number, whole.event_number)
    assert blocks.efficiency_true is None
    assert whole.efficiency_true is None


def test_columns_that_only_some_files_have_are_dropped(few: Jets, tmp_path: Path) -> None:
    numbers = np.arange(few.n_events) * 3
    further = {"charm": np.zeros(few.n_jets, dtype=np.float32)}
    more = few.with_columns(event_number=numbers, further=further)
    write_jets([more.take(slice(0, 50))], tmp_path / "0.parquet")
    write_jets([few.take(slice(50, 99))], tmp_path / "1.parquet")
    blocks = concatenate(list(TrainingBlocks([tmp_path / "0.parquet", tmp_path / "1.parquet"])))
    assert blocks.event_number is None
    assert not blocks.further
    assert blocks.efficiency_true is not None


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_numbers_need_not_rise(few: Jets, order: list[int], tmp_path: Path) -> None:
    """Neither from file to file nor within one; but each stands in one place only."""
    files = written(few.take(np.arange(few.n_events)[::-1]), tmp_path, 100, 200)
    mixed = [files[place] for place in order]
    assert sum(block.n_events for block in TrainingBlocks(mixed)) == few.n_events
    write_jets([few.first(3)], tmp_path / "again.parquet")
    again = TrainingBlocks([*mixed, tmp_path / "again.parquet"])
    with pytest.raises(DataError, match=r"event 0 stands in two of the samples to join, .*0002\."):
        list(again)


def test_files_that_do_not_belong_together_are_refused(few: Jets, tmp_path: Path) -> None:
    first, second = written(few, tmp_path, 100)
    write_jets([few.take(slice(100, 200)).with_columns(is_tagged=None)], second)
    with pytest.raises(DataError, match=r"0001.parquet: column 'is_tagged' is missing, which oth"):
        TrainingBlocks([first, second])
    labels = Labels(flavours=(0, 4, 5))
    write_jets([few.take(slice(100, 200)).with_columns(labels=labels)], second)
    with pytest.raises(DataError, match="cannot be joined: their labels differ"):
        TrainingBlocks([first, second])
    with pytest.raises(DataError, match="the list of files is empty"):
        TrainingBlocks([])


# ---- blocks of blocks


@given(st.lists(st.integers(0, 30), max_size=4), st.integers(1, 40))
@settings(max_examples=20)
def test_equal_blocks(ends: list[int], events: int) -> None:
    jets = make_jets([1, 3, 0, 2, 5] * 6)
    blocks = list(EqualBlocks(pieces(jets, *sorted(ends)), events))
    assert [block.n_events for block in blocks[:-1]] == [events] * (len(blocks) - 1)
    assert 0 < blocks[-1].n_events <= events
    assert alike(concatenate(blocks), jets)


def test_the_first_events(few: Jets) -> None:
    blocks = pieces(few, 20, 100)
    for count in (0, 20, 33, few.n_events):
        assert alike(concatenate(list(first_events(blocks, count))), few.first(count))
    with pytest.raises(DataError, match="first 301 events were asked for, the sample has 300"):
        list(first_events(blocks, 301))


def test_folds_of_blocks(few: Jets) -> None:
    folds = {"count": 3, "by": "hash"}
    parts = cut(pieces(few, 50, 51), few, folds, 1, stops_early=True)
    whole = cut(few, few, folds, 1, stops_early=True)
    assert parts[2] == whole[2]
    for blocks, jets in zip(parts[:2], whole[:2], strict=True):
        assert alike(concatenate(list(blocks)), jets)
    one = few.with_columns(event_number=np.zeros(few.n_events, dtype=int))
    empty, _, _ = cut(pieces(one, 9), one, {"count": 3, "by": "event"}, 0, stops_early=False)
    with pytest.raises(DataError, match=r"of the 300 training events, .* none to learn from with"):
        list(empty)


# ---- fits


@pytest.mark.parametrize("weights", ["ignore", "use"])
@pytest.mark.parametrize("kind", STREAMING)
def test_a_fit_does_not_depend_on_blocks(kind: str, weights: str, few: Jets) -> None:
    """Bit by bit, weights or not, also where the first block has none."""
    weight = np.random.default_rng(1).normal(1, 0.3, few.n_events)
    weight[:60] = 1.0
    jets = few.with_columns(weight=weight)
    options = options_of(kind, weights=weights, **SMALL.get(kind, {}))
    whole = class_of(kind).fit(jets, jets, options, SEED)
    parts = class_of(kind).fit(pieces(jets, 50, 51, 200), jets, options, SEED)
    assert same(whole, parts)


def test_blocks_of_the_sums_of_an_additive_fit(few: Jets, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it begins with some of the events, and where nothing is kept in memory."""
    monkeypatch.setattr("truthtag.estimators.additive.events.BLOCK", 64)
    monkeypatch.setattr("truthtag.estimators.additive.fitting.WORTHWHILE", 100)
    options = options_of("additive", jets_in_memory=200, **SMALL["additive"])
    whole = class_of("additive").fit(few, few, options, SEED)
    monkeypatch.setattr("truthtag.estimators.additive.events.KEPT", 0)
    parts = class_of("additive").fit(pieces(few, 1, 150), few, options, SEED)
    assert same(whole, parts)


@pytest.mark.parametrize("of_folds", [False, True])
@pytest.mark.parametrize("kind", STREAMING)
def test_replicas_do_not_depend_on_blocks(kind: str, of_folds: bool, few: Jets) -> None:
    part = Folds(3).learning(1, stops_early=False) if of_folds else None
    options = options_of(kind, **SMALL.get(kind, {}))
    samples = (few, pieces(few, 10, 200))
    found = [fit_replicas(class_of(kind), one, few, options, 3, SEED, part) for one in samples]
    assert all(same(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("kind", COUNTING)
def test_replicas_in_several_passes(kind: str, few: Jets, monkeypatch: pytest.MonkeyPatch) -> None:
    options = options_of(kind)
    together = fit_replicas(class_of(kind), few, few, options, 3, SEED)
    monkeypatch.setattr("truthtag.estimators.resampling.MOST_NUMBERS", 2 * few.n_events)
    apart = fit_replicas(class_of(kind), few, few, options, 3, SEED)
    assert all(same(one, other) for one, other in zip(together, apart, strict=True))


@pytest.mark.parametrize("weights", ["ignore", "use"])
@pytest.mark.parametrize("kind", COUNTING)
def test_replicas_are_fits_to_events_drawn(kind: str, weights: str, few: Jets) -> None:
    """The plain version: jets that are taken as often as they were drawn."""
    jets = few.with_columns(weight=np.random.default_rng(2).uniform(0.5, 2, few.n_events))
    options = options_of(kind, weights=weights)
    (replica,) = fit_replicas(class_of(kind), jets, jets, options, 1, SEED)
    drawn = draw_events(jets, np.random.default_rng(seed_words((*SEED, 0))))
    expected = class_of(kind).fit(drawn, jets, options, SEED).to_frame()
    found = replica.to_frame()
    for name in found:
        if weights == "ignore" and name not in ("expected", "correction"):
            assert found[name].equals(expected[name]), name
        else:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-10, err_msg=name)


@pytest.mark.parametrize("kind", STREAMING)
def test_flavours_without_jets_are_told_once(
    kind: str, few: Jets, caplog: pytest.LogCaptureFixture
) -> None:
    labels = Labels(flavours=(0, 4, 5, 15))
    options = options_of(kind, **SMALL.get(kind, {}))
    blocks: Blocks = pieces(few.with_columns(labels=labels), 100)
    class_of(kind).fit(blocks, blocks, options, SEED)
    (text,) = caplog.messages
    assert "flavour 15: nothing is learned of it" in text


@pytest.mark.parametrize("most", [20, 10_000])
def test_a_domain_does_not_depend_on_blocks(most: int, few: Jets, sample: Jets) -> None:
    options = {"flagged": 0.05, "neighbours": 3, "max_reference_jets": most}
    others = sample.take(slice(300, 400))
    whole = Domain.fit(few, others, np.random.default_rng(1), **options)
    parts = pieces(few, 1, 120), pieces(others, 50)
    cut_up = Domain.fit(*parts, np.random.default_rng(1), **options)
    assert cut_up.criterion == whole.criterion
    assert cut_up.to_frame().equals(whole.to_frame())
    values = variables_of(few)
    np.testing.assert_array_equal(whole.scale, values.std(axis=0, dtype=np.float64))
