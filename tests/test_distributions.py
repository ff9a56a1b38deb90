"""Declared distributions: what fills them, by hand and against a plain reading of the jets."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import make_jets
from truthtag.data.jets import Jets
from truthtag.data.labels import Labels
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.predictions import Prediction
from truthtag.statistics.distributions import (
    OBSERVABLES,
    Distribution,
    dijet,
    entries_of,
    fill,
    fill_distribution,
    find_observable,
)
from truthtag.statistics.panels import OF_EVENTS, OF_JETS, jets_needed, possible_panels

FLAVOURS = {"b": 5, "c": 4, "light": 0}


def softer(jets: Jets, leading: np.ndarray) -> np.ndarray:
    """An observable of a user: pT of the second jet."""
    return jets.pt[leading[:, 1]]


def distribution(**changes: object) -> Distribution:
    options = {
        "sample": "test",
        "observable": "m_jj",
        "tagged": [1, 2],
        "axis": [0.0, 100.0, 900.0],
    }
    return Distribution.from_options("mine", options | changes)


def test_every_observable_says_how_many_jets_it_needs(sample: Jets) -> None:
    assert set(OBSERVABLES) == set(OF_EVENTS)
    for name in (*OF_EVENTS, *(f"{column}_3" for column in OF_JETS)):
        events, leading = sample.leading_jets(jets_needed(name))
        values = find_observable(name, "x")(sample, leading)
        assert values.shape == (len(events),), name
        assert np.isfinite(values).all(), name


def test_observables_by_hand() -> None:
    jets = make_jets([2, 1, 3])
    events, leading = jets.leading_jets(2)
    second = find_observable("pt_2", "x")(jets, leading)
    assert second.tolist() == jets.pt[[1, 4]].tolist()
    mine = find_observable("test_distributions:softer", "x")(jets, leading)
    assert mine.tolist() == second.tolist()
    assert OBSERVABLES["n_jets"](jets, leading).tolist() == [2, 3]
    sums = [float(jets.pt[:2].sum()), float(jets.pt[3:].sum())]
    assert OBSERVABLES["ht"](jets, leading) == pytest.approx(sums)
    assert events.tolist() == [0, 2]


def test_any_column_of_jets_can_be_drawn() -> None:
    tracks = np.arange(6, dtype=np.int32)
    jets = make_jets([2, 1, 3], further={"n_tracks": tracks})
    _, leading = jets.leading_jets(2)
    assert find_observable("n_tracks_2", "x")(jets, leading).tolist() == [1, 4]
    assert find_observable("score_1", "x")(jets, leading).tolist() == jets.score[[0, 3]].tolist()
    assert jets_needed("n_tracks_12") == 12
    with pytest.raises(DataError, match=r"no column 'n_trakcs'; there are event, .*, n_tracks"):
        entries_of(distribution(observable="n_trakcs_1"), jets, {})
    for name in ("n_tracks", "n_tracks_0", "n_tracks_100", "_1", "1_1", "n-tracks_1"):
        with pytest.raises(ConfigError, match=f"'{name}' is not allowed; .*of any further column"):
            jets_needed(name)


def test_jets_without_a_score_are_in_no_bin_of_it(sample: Jets) -> None:
    jets = sample.first(100)
    score = jets.score.copy()
    score[jets.offsets[:-1:2]] = np.nan
    entries, leading, _ = entries_of(
        distribution(observable="score_1"), jets.with_columns(score=score), {}
    )
    assert leading[:, 0].tolist() == jets.offsets[1:-1:2].tolist()
    assert np.isfinite(entries.values).all()


@pytest.mark.parametrize(
    ("selection", "kept"),
    [
        ({}, [True, False, True, True]),
        ({"n_jets": [3, None]}, [False, False, True, True]),
        ({"n_jets": [None, 3]}, [True, False, True, False]),
        ({"n_jets": [3, 3]}, [False, False, True, False]),
        ({"n_jets": [2, None], "n_tracks_3": [4, 5]}, [False, False, True, False]),
        ({"eta_1": [None, 2.4]}, [True, False, True, False]),
    ],
)
def test_a_selection_keeps_events_in_its_ranges(
    selection: dict[str, list[float | None]], kept: list[bool]
) -> None:
    eta = np.zeros(10, dtype=np.float32)
    # Of single precision, 2.4 is above the 2.4 of the config, and on its edge all the same.
    eta[[3, 6]] = 2.4, 2.5
    further = {"n_tracks": np.arange(10, dtype=np.int32)}
    jets = make_jets([2, 1, 3, 4], eta=eta, further=further)
    entries, leading, tagged = entries_of(distribution(selection=selection), jets, {})
    events = jets.event_of_jet[leading[:, 0]]
    assert events.tolist() == np.flatnonzero(kept).tolist()
    assert entries.weight.tolist() == jets.weight[events].tolist()
    assert len(tagged) == len(entries.values) == sum(kept)


@pytest.mark.parametrize("both", [False, True])
def test_entries_are_those_of_the_pairs(sample: Jets, both: bool) -> None:
    eff = sample.efficiency_true
    prediction = Prediction(sample.per_jet("event"), eff / 2, np.stack([eff / 3, eff / 2]))
    tagged = [1, 2] if both else [1]
    entries, leading, positions = entries_of(
        distribution(tagged=tagged), sample, {"half": prediction}
    )
    pairs = dijet(sample, {"true": eff, "half": eff / 2}, both, {"half": prediction.replicas})
    assert np.array_equal(entries.values, pairs.mass.values)
    assert np.array_equal(entries.passed, pairs.mass.passed)
    assert np.array_equal(entries.probability["half"], pairs.mass.probability["half"])
    assert np.array_equal(entries.replicas["half"], pairs.mass.replicas["half"])
    assert np.array_equal(leading, pairs.jets)
    assert np.array_equal(positions, pairs.tagged)


def test_a_split_by_flavour_loses_no_event(sample: Jets) -> None:
    inside = np.ones(sample.n_jets, dtype=bool)
    whole = {p: h for p, e, h in fill(distribution(), sample, {}, inside, FLAVOURS) if e == "all"}
    split = {
        p: h
        for p, e, h in fill(distribution(split="flavour"), sample, {}, inside, FLAVOURS)
        if e == "all"
    }
    assert list(whole) == possible_panels("none", list(FLAVOURS))
    assert list(split) == possible_panels("flavour", list(FLAVOURS))
    total = sum(histogram.weighted("true").total for histogram in split.values())
    assert total == pytest.approx(whole["all"].weighted("true").total)


def test_only_events_whose_jets_are_all_in_the_domain_count_there(sample: Jets) -> None:
    last = sample.offsets[1:] - 1
    inside = np.ones(sample.n_jets, dtype=bool)
    # The last jet need not be tagged, but those that must have it as a neighbour.
    inside[last[::2]] = False
    found = {
        events: histogram
        for _, events, histogram in fill(distribution(tagged=[1]), sample, {}, inside, FLAVOURS)
    }
    kept = sample.take(slice(1, None, 2))
    expected = dijet(kept, {"true": kept.efficiency_true}, both=False).mass
    edges = np.array([0.0, 100.0, 900.0])
    wanted = np.histogram(expected.values, edges, weights=expected.probability["true"])[0]
    assert found["in_domain"].weighted("true").total == pytest.approx(wanted)
    assert found["all"].weighted("true").total.sum() > wanted.sum()


def test_pairs_of_flavours_that_no_event_has_make_no_panel(boson_sample: Jets) -> None:
    inside = np.ones(boson_sample.n_jets, dtype=bool)
    split = distribution(split="flavour")

    def panels(jets: Jets, domain: np.ndarray) -> list[str]:
        return list(dict.fromkeys(panel for panel, *_ in fill(split, jets, {}, domain, FLAVOURS)))

    assert panels(boson_sample, inside) == ["b-b", "c-c", "light-light"]
    # An event that is there, but outside the domain, is enough.
    assert panels(boson_sample, ~inside) == ["b-b", "c-c", "light-light"]
    nothing = boson_sample.take(slice(0, 0))
    assert panels(nothing, inside[:0]) == possible_panels("flavour", list(FLAVOURS))


def test_both_spreads_are_filled(sample: Jets) -> None:
    eff = sample.efficiency_true
    replicas = np.stack([eff * 0.9, eff * 1.1]).astype(np.float32)
    prediction = {"q": Prediction(sample.per_jet("event"), eff, replicas)}
    inside = np.ones(sample.n_jets, dtype=bool)
    scales = {"q": {5: 2.0, 4: 2.0, 0: 2.0}}
    frame = fill_distribution(distribution(), sample, prediction, inside, FLAVOURS, scales)
    q = frame[(frame["filled_by"] == "q") & (frame["events"] == "all")].set_index("spread")
    raw = q.loc["raw", "efficiency_error"].to_numpy()
    corrected = q.loc["corrected", "efficiency_error"].to_numpy()
    assert (corrected > 1.5 * raw).all()
    assert q.loc["raw", "yield"].tolist() == q.loc["corrected", "yield"].tolist()


def test_what_cannot_be_filled_is_refused(sample: Jets) -> None:
    inside = np.ones(sample.n_jets, dtype=bool)
    with pytest.raises(ConfigError, match=r"'mass' is not allowed; allowed are delta_r, .*pt_1"):
        entries_of(distribution(observable="mass"), sample, {})
    with pytest.raises(DataError, match="in_domain: holds int64 values"):
        list(fill(distribution(), sample, {}, np.flatnonzero(inside), FLAVOURS))
    with pytest.raises(DataError, match=r"no column 'is_tagged'$"):
        entries_of(distribution(), make_jets([2], is_tagged=None), {})
    tags = {"is_tagged": None, "tag_bin": np.array([1, 2]), "efficiency_true": None}
    two = make_jets([2], **tags, labels=Labels(points=("loose", "tight")))
    with pytest.raises(DataError, match="of several working points: take one of them first"):
        entries_of(distribution(), two, {})
    with pytest.raises(DataError, match="no working point 'medium'; there are loose, tight"):
        fill_distribution(
            distribution(working_point="medium"), two, {}, np.ones(2, dtype=bool), FLAVOURS
        )
