"""Probabilities of numbers of tags."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from conftest import make_jets
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.weights.assignment import assign_tags, draw_tags
from truthtag.weights.events import effective_events, hybrid, weights_table
from truthtag.weights.tag_counts import at_least, is_leading, tag_counts, tag_probabilities

probabilities = st.floats(0, 1)


@given(probabilities, probabilities)
def test_eq_3(a: float, b: float) -> None:
    expected = [(1 - a) * (1 - b), a * (1 - b) + (1 - a) * b, a * b]
    np.testing.assert_allclose(tag_probabilities(np.array([a, b])), expected, atol=1e-15)


@given(arrays(float, st.tuples(st.integers(1, 4), st.integers(0, 50)), elements=probabilities))
def test_sums_to_one_and_has_the_right_mean(eff: np.ndarray) -> None:
    p = tag_probabilities(eff)
    np.testing.assert_allclose(p.sum(axis=-1), 1, atol=1e-12)
    np.testing.assert_allclose(
        (p * np.arange(p.shape[-1])).sum(axis=-1), eff.sum(axis=-1), atol=1e-10
    )
    assert np.all(p >= -1e-15)


def enumerate_tags(eff: np.ndarray) -> dict[tuple[int, ...], float]:
    """Return the probability of every set of tags."""
    return {
        tags: float(np.prod([e if t else 1 - e for e, t in zip(eff, tags, strict=True)]))
        for tags in itertools.product([0, 1], repeat=len(eff))
    }


@settings(max_examples=20)
@given(arrays(float, st.integers(0, 12), elements=probabilities))
def test_equals_enumeration(eff: np.ndarray) -> None:
    expected = np.zeros(len(eff) + 1)
    for tags, probability in enumerate_tags(eff).items():
        expected[sum(tags)] += probability
    np.testing.assert_allclose(tag_probabilities(eff), expected, atol=1e-12)
    np.testing.assert_allclose(
        at_least(tag_probabilities(eff)), expected[::-1].cumsum()[::-1], atol=1e-12
    )


def test_rare_numbers_of_tags_keep_their_digits() -> None:
    eff = np.full(4, 1e-6)
    assert at_least(tag_probabilities(eff))[4] == pytest.approx(1e-24, rel=1e-12)
    assert at_least(tag_probabilities(eff))[2] == pytest.approx(6e-12, rel=1e-5)


def test_certain_and_impossible_tags() -> None:
    assert tag_probabilities(np.array([1.0, 0.0, 1.0])).tolist() == [0, 0, 1, 0]
    assert tag_probabilities(np.zeros(0)).tolist() == [1]


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1])
def test_values_that_are_no_probability_are_refused(bad: float) -> None:
    with pytest.raises(DataError, match=f"an efficiency is {bad}; it must lie in"):
        tag_probabilities(np.array([[0.5, bad]]))


@given(st.lists(st.integers(0, 7), min_size=1, max_size=20), st.integers(0, 5), st.integers(0, 99))
def test_counts_of_events_are_those_of_each_event_alone(
    counts: list[int], most: int, seed: int
) -> None:
    jets = make_jets(counts)
    rng = np.random.default_rng(seed)
    eff = rng.random(jets.n_jets)
    chosen = rng.random(jets.n_jets) < 0.7
    result = tag_counts(jets, eff, most, chosen)
    for event in range(jets.n_events):
        inside = slice(*jets.offsets[event : event + 2])
        alone = np.zeros(max(most, jets.n_jets) + 1)
        alone[: chosen[inside].sum() + 1] = tag_probabilities(eff[inside][chosen[inside]])
        np.testing.assert_allclose(result.exactly[event], alone[: most + 1], atol=1e-14)
        np.testing.assert_allclose(result.at_least[event], at_least(alone)[: most + 1], atol=1e-14)


def test_the_leading_jets_of_ragged_events() -> None:
    jets = make_jets([1, 0, 3, 2])
    assert is_leading(jets, 2).tolist() == [True, True, True, False, True, True]
    eff = np.full(6, 0.5)
    pair = tag_counts(jets, eff, 2, is_leading(jets, 2)).exactly[:, 2]
    assert pair.tolist() == [0, 0, 0.25, 0.25]


def test_events_of_no_jets_and_of_very_many() -> None:
    jets = make_jets([0, 50, 1])
    eff = np.full(51, 0.5)
    counts = tag_counts(jets, eff, 60)
    assert counts.exactly.shape == (3, 61)
    np.testing.assert_allclose(counts.exactly.sum(axis=1), 1, atol=1e-12)
    assert counts.exactly[0].tolist() == [1] + [0] * 60
    assert counts.at_least[1, 50] == pytest.approx(0.5**50)
    assert counts.at_least[1, 51] == 0


def test_counts_agree_with_tags_of_the_toy(sample: Jets) -> None:
    """The sum of a weight and the number of events with the tags agree within statistics."""
    counts = tag_counts(sample, sample.efficiency_true, 3)
    tags = np.bincount(sample.event_of_jet, sample.is_tagged, sample.n_events)
    for number in range(4):
        exactly = (counts.exactly[:, number], tags == number)
        at_least_so_many = (counts.at_least[:, number], tags >= number)
        for probability, passed in (exactly, at_least_so_many):
            variance = (probability * (1 - probability)).sum()
            assert abs(passed.sum() - probability.sum()) <= 4 * np.sqrt(variance)


def test_hybrid_efficiencies_keep_the_tags_of_a_flavour(sample: Jets) -> None:
    eff = hybrid(sample, sample.efficiency_true, [5])
    is_b = sample.flavour == 5
    assert np.array_equal(eff[is_b], sample.is_tagged[is_b].astype(float))
    assert np.array_equal(eff[~is_b], sample.efficiency_true[~is_b])
    # Everything direct: the weights are 0 and 1, those of cutting.
    cut = tag_counts(sample, hybrid(sample, sample.efficiency_true, [5, 4, 0]), 2).exactly[:, 2]
    tags = np.bincount(sample.event_of_jet, sample.is_tagged, sample.n_events)
    assert np.array_equal(cut, (tags == 2).astype(float))
    with pytest.raises(DataError, match="the sample has no column 'is_tagged'"):
        hybrid(make_jets([2], is_tagged=None), np.zeros(2), [5])


@pytest.mark.parametrize("count", range(5))
def test_drawn_tags_have_their_conditional_probability(count: int) -> None:
    eff = np.array([0.7, 0.05, 0.3, 0.9])
    draws = 40_000
    tagged = draw_tags(
        np.tile(eff, (draws, 1)), np.full(draws, count), np.random.default_rng(count)
    )
    assert np.all(tagged.sum(axis=1) == count)
    sets = {tags: p for tags, p in enumerate_tags(eff).items() if sum(tags) == count}
    observed = {tags: np.all(tagged == np.array(tags, dtype=bool), axis=1).sum() for tags in sets}
    for tags, probability in sets.items():
        share = probability / sum(sets.values())
        assert (
            abs(observed[tags] - draws * share) <= 5 * np.sqrt(draws * share * (1 - share)) + 1e-9
        )


@given(
    arrays(
        float,
        st.tuples(st.integers(1, 5), st.integers(0, 6)),
        elements=st.sampled_from([0.0, 1.0, 0.3]),
    )
)
def test_certain_tags_are_always_drawn(eff: np.ndarray) -> None:
    certain = (eff == 1).sum(axis=1)
    possible = (eff > 0).sum(axis=1)
    for count in (certain, possible):
        tagged = draw_tags(eff, count, np.random.default_rng(0))
        assert np.array_equal(tagged.sum(axis=1), count)
        assert np.all(tagged[eff == 1])
        assert not np.any(tagged[eff == 0])


def test_numbers_of_tags_that_cannot_be_are_refused() -> None:
    rng = np.random.default_rng(0)
    for eff, count in (([0.5, 0.0], 2), ([0.5], 2), ([1.0], 0), ([0.5], -1)):
        with pytest.raises(
            DataError, match=rf"event 0 of {len(eff)} jets cannot have {count} tags with the eff"
        ):
            draw_tags(np.array([eff]), np.array([count]), rng)


@pytest.mark.parametrize("or_more", [False, True])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_assigned_tags_and_weights_make_the_same_yields(
    sample: Jets, count: int, or_more: bool
) -> None:
    """Weighted tagged jets per flavour agree with the tags of the toy."""
    result = assign_tags(
        sample, sample.efficiency_true, count, np.random.default_rng(count), or_more=or_more
    )
    counts = tag_counts(sample, sample.efficiency_true, count)
    expected = counts.at_least if or_more else counts.exactly
    np.testing.assert_allclose(result.weight, expected[:, count], atol=1e-14)
    drawn = np.bincount(sample.event_of_jet, result.is_tagged, sample.n_events)[result.weight > 0]
    assert np.all(drawn >= count) if or_more else np.all(drawn == count)
    real = np.bincount(sample.event_of_jet, sample.is_tagged, sample.n_events)
    passed = real >= count if or_more else real == count
    for flavour in (5, 4, 0):
        inside = sample.flavour == flavour
        per_event = (
            np.bincount(sample.event_of_jet, inside & result.is_tagged, sample.n_events)
            * result.weight
        )
        direct = (
            np.bincount(sample.event_of_jet, inside & sample.is_tagged, sample.n_events) * passed
        )
        difference = direct.sum() - per_event.sum()
        assert abs(difference) <= 4 * np.sqrt((direct**2 + per_event**2).sum())


def test_assignments_are_reproducible_and_keep_to_the_chosen_jets(sample: Jets) -> None:
    few = sample.first(500)
    chosen = is_leading(few, 2)
    first, second = (
        assign_tags(
            few, few.efficiency_true, 1, np.random.default_rng(3), or_more=True, chosen=chosen
        )
        for _ in range(2)
    )
    assert np.array_equal(first.is_tagged, second.is_tagged)
    assert not np.any(first.is_tagged & ~chosen)


def test_assignments_of_impossible_selections_weigh_nothing() -> None:
    jets = make_jets([1, 0, 2])
    result = assign_tags(jets, np.array([0.5, 0.0, 1.0]), 2, np.random.default_rng(0))
    assert result.weight.tolist() == [0, 0, 0]
    assert not result.is_tagged.any()
    none = assign_tags(jets, np.array([0.5, 0.0, 1.0]), 0, np.random.default_rng(0))
    assert none.weight.tolist() == [0.5, 1, 0]


def test_effective_events() -> None:
    assert effective_events(np.ones(7)) == 7
    assert effective_events(np.array([2.0, -1.0])) == pytest.approx(1 / 5)
    assert effective_events(np.zeros(3)) == effective_events(np.zeros(0)) == 0


def test_columns_of_another_length_are_refused() -> None:
    jets = make_jets([2, 1])
    with pytest.raises(
        DataError, match=r"efficiency has shape \(2,\); it must have one value per jet, \(3,\)"
    ):
        tag_counts(jets, np.zeros(2), 1)
    with pytest.raises(DataError, match=r"chosen has shape \(4,\)"):
        assign_tags(jets, np.zeros(3), 1, np.random.default_rng(0), chosen=np.ones(4, dtype=bool))


def test_efficiencies_that_are_no_probabilities_of_these_jets_are_refused() -> None:
    jets = make_jets([2, 1])
    rng = np.random.default_rng(0)
    uses = (
        lambda eff: tag_counts(jets, eff, 1),
        lambda eff: assign_tags(jets, eff, 1, rng),
        lambda eff: hybrid(jets, eff, [5]),
    )
    bad = (
        (np.array([0.5]), r"efficiency has shape \(1,\)"),
        (np.full((3, 1), 0.5), r"efficiency has shape \(3, 1\)"),
        (np.array([0.5, np.nan, 0.5]), r"efficiency is nan; .*position 1"),
        (np.array([0.5, 0.5, 1.5]), r"efficiency is 1.5; .*position 2"),
        (np.ma.array([0.5, 0.5, 0.5], mask=[0, 1, 0]), "efficiency: 1 of its entries are masked"),
        (np.array([0.5, 0.5j, 0.5]), "efficiency: holds complex numbers"),
        (np.array(["a", "b", "c"]), "efficiency: holds <U1 values"),
    )
    for use in uses:
        for efficiency, message in bad:
            with pytest.raises(DataError, match=message):
                use(efficiency)


@pytest.mark.parametrize("chosen", [np.array([0, 2]), [0, 1, 2], np.array([1.0, 0.0, 1.0])])
def test_positions_of_chosen_jets_are_refused(chosen: object) -> None:
    jets = make_jets([2, 1])
    with pytest.raises(DataError, match=r"chosen: holds .* values; give True or False"):
        tag_counts(jets, np.full(3, 0.5), 1, chosen)
    with pytest.raises(DataError, match=r"chosen: holds .* values; give True or False"):
        assign_tags(jets, np.full(3, 0.5), 1, np.random.default_rng(0), chosen=chosen)


@pytest.mark.parametrize("number", [-1, 1.5, True])
def test_numbers_of_tags_are_whole_and_not_negative(number: int) -> None:
    jets = make_jets([2, 1])
    with pytest.raises(DataError, match=f"max_tags is {number}; .* whole number, 0 or more"):
        tag_counts(jets, np.full(3, 0.5), max_tags=number)
    with pytest.raises(DataError, match=f"count is {number}; .* whole number, 0 or more"):
        assign_tags(jets, np.full(3, 0.5), number, np.random.default_rng(0))


def test_drawing_needs_a_whole_number_of_tags_for_each_event() -> None:
    rng = np.random.default_rng(0)
    for count in (np.array([1]), np.array([1.0, 1.0])):
        with pytest.raises(DataError, match="must be one whole number per event"):
            draw_tags(np.full((2, 2), 0.5), count, rng)


def test_flavours_that_keep_their_tags_are_numbers(sample: Jets) -> None:
    with pytest.raises(DataError, match="keep_tags_of holds 'bottom'; give flavours as whole num"):
        hybrid(sample, sample.efficiency_true, ["bottom"])


def test_weights_of_other_events_are_refused() -> None:
    counts = tag_counts(make_jets([2, 1]), np.full(3, 0.5), 1)
    table, effective = weights_table(make_jets([2, 1]), counts)
    assert list(table) == ["event", "weight", "p_tag_0", "p_tag_1", "p_tag_ge_1"]
    assert effective.keys() == {"p_tag_0", "p_tag_1", "p_tag_ge_1"}
    with pytest.raises(DataError, match="probabilities are of 2 events, the jets of 1"):
        weights_table(make_jets([3]), counts)


def events_table(jets: Jets) -> pd.DataFrame:
    """Return a table of events in an order of its own, with one that has no jets."""
    columns = {"event": [9, 1, 5, 0], "entry": [0, 1, 2, 3], "run": 1, "n_jets": [0, 1, 0, 2]}
    weight = [3.0, jets.weight[1], -1.0, jets.weight[0]]
    return pd.DataFrame({**columns, "weight": weight})


def test_events_without_jets_are_in_the_table() -> None:
    jets = make_jets([2, 1])
    counts = tag_counts(jets, np.array([0.5, 0.2, 0.9]), 1)
    plain, _ = weights_table(jets, counts)
    events = events_table(jets)
    table, effective = weights_table(jets, counts, events)
    assert list(table)[:4] == ["event", "entry", "run", "weight"]
    for name in ("event", "entry", "weight"):
        assert table[name].tolist() == events[name].tolist()
    assert table["p_tag_0"].tolist() == [1.0, plain["p_tag_0"][1], 1.0, plain["p_tag_0"][0]]
    assert table["p_tag_ge_1"].tolist() == [0, plain["p_tag_ge_1"][1], 0, plain["p_tag_ge_1"][0]]
    # Totals are over all events.
    assert effective["p_tag_0"] == effective_events(table["weight"] * table["p_tag_0"])
    two, _ = weights_table(jets, {"loose": counts, "tight": counts}, events)
    assert two["p_tag_1_tight"].tolist() == table["p_tag_1"].tolist()
    # A sample whose events all lack jets is a sample, too.
    nothing = jets.take(np.zeros(0, dtype=int))
    alone, _ = weights_table(nothing, tag_counts(nothing, np.zeros(0), 1), events.iloc[[0, 2]])
    assert alone["p_tag_0"].tolist() == [1, 1]
    assert alone["p_tag_ge_1"].tolist() == [0, 0]


def test_tables_of_other_events_are_refused() -> None:
    jets = make_jets([2, 1])
    counts = tag_counts(jets, np.full(3, 0.5), 1)
    events = events_table(jets)
    for table, message in (
        (events.drop(columns="n_jets"), "column 'n_jets' is missing; it has event, entry"),
        (events.iloc[:3], "lacks event 0, which has jets"),
        (events.assign(event=[9, 1, 1, 0]), "an event stands in it twice"),
        (events.assign(n_jets=[0, 3, 0, 2]), "event 1 has 3 jets there, the sample has 1"),
        (events.assign(n_jets=[4, 1, 0, 2]), "event 9 has 4 jets there, the sample has 0"),
    ):
        with pytest.raises(DataError, match=message):
            weights_table(jets, counts, table)
