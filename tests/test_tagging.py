"""Probabilities of numbers of tags; the tagger of the toy and its working points."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from conftest import make_jets
from truthtag.arrays import FloatArray
from truthtag.axis import EqualBins
from truthtag.data.jets import Jets, concatenate, read_jets, write_jets
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.binned import BinnedMap, BinnedOptions
from truthtag.statistics.closure import ClosureHistogram
from truthtag.statistics.distributions import dijet
from truthtag.toy.generation import generate
from truthtag.toy.generator import Generator
from truthtag.toy.neighbour_product import NeighbourProduct
from truthtag.toy.tagging import discriminant, tag
from truthtag.weights.assignment import assign_tags, draw_tags
from truthtag.weights.effective import effective_events
from truthtag.weights.events import hybrid, weights_table
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


# ---- working points of the toy's tagger

POINTS = {"loose": 0.5, "medium": 1.0, "tight": 2.0}
THRESHOLDS = np.array(list(POINTS.values()))

# A statistical test fails by chance once in 10,000 seeds; the seed is fixed.
P_VALUE = 1e-4


@pytest.fixture(scope="module")
def tagged(sample: Jets, truth: NeighbourProduct) -> Jets:
    """The sample, tagged at three working points."""
    return tag(sample, truth, np.random.default_rng(3), POINTS)


@given(
    st.floats(0, 1, exclude_max=True, allow_subnormal=False),
    st.floats(0, 1, allow_subnormal=False),
    st.floats(0.01, 100),
)
def test_the_discriminant_is_above_a_threshold_as_often_as_a_power_of_the_efficiency(
    uniform: float, eff: float, threshold: float
) -> None:
    """P(D > t) = P(u < eff**t): the two events are one, but where rounding decides."""
    power = eff**threshold
    assume(eff in (0, 1) or power > 1e-300)
    assume(not math.isclose(uniform, power, rel_tol=1e-9))
    (value,) = discriminant(np.array([uniform]), np.array([eff]))
    assert value >= 0
    assert (value > threshold) == (uniform < power)


def test_the_ends_of_the_discriminant() -> None:
    uniform = np.array([0.0, 0.5, 0.0, 0.5, 0.0])
    eff = np.array([0.0, 0.0, 1.0, 1.0, 0.5])
    # A jet of efficiency 0 is never tagged, one of efficiency 1 always, whatever is drawn.
    assert discriminant(uniform, eff).tolist() == [0, 0, math.inf, math.inf, math.inf]


def test_jets_pass_each_point_as_often_as_its_efficiency_says(tagged: Jets) -> None:
    assert tagged.labels.points == ("loose", "medium", "tight")
    assert tagged.is_tagged is None
    passes = tagged.passes()
    eff = tagged.efficiency_true
    assert eff.shape == passes.shape == (tagged.n_jets, 3)
    for flavour in (5, 4, 0):
        inside = tagged.flavour == flavour
        for point in range(3):
            expected = eff[inside, point]
            scatter = np.sqrt((expected * (1 - expected)).sum())
            # Four standard deviations: once in 16,000.
            assert abs(passes[inside, point].sum() - expected.sum()) < 4 * scatter


def test_true_efficiencies_are_powers_of_the_truth(tagged: Jets, truth: NeighbourProduct) -> None:
    eff = truth.efficiency(tagged)
    for point, threshold in enumerate(POINTS.values()):
        np.testing.assert_allclose(tagged.efficiency_true[:, point], eff**threshold, rtol=1e-12)


def test_tags_of_a_tighter_point_are_tags_of_a_looser_one(tagged: Jets) -> None:
    passes = tagged.passes()
    assert np.all(passes[:, 0] >= passes[:, 1])
    assert np.all(passes[:, 1] >= passes[:, 2])
    assert set(np.unique(tagged.tag_bin)) == {0, 1, 2, 3}
    # How many points a jet passes is one of four bins, whose probabilities are differences.
    edges = np.column_stack([np.ones(len(tagged)), tagged.efficiency_true, np.zeros(len(tagged))])
    share = -np.diff(edges, axis=1)
    for number in range(4):
        expected = share[:, number]
        scatter = np.sqrt((expected * (1 - expected)).sum())
        assert abs((tagged.tag_bin == number).sum() - expected.sum()) < 4 * scatter


def test_whoever_knows_scores_and_thresholds_finds_the_same_tags(
    tagged: Jets, tmp_path: Path
) -> None:
    write_jets([tagged], tmp_path / "jets.parquet")
    again = read_jets(tmp_path / "jets.parquet")
    for jets in (tagged, again):
        assert np.array_equal((jets.score[:, None] > THRESHOLDS).sum(axis=1), jets.tag_bin)
    assert np.array_equal(again.tag_bin, tagged.tag_bin)
    assert np.array_equal(again.efficiency_true, tagged.efficiency_true)
    assert again.labels == tagged.labels


def test_a_threshold_of_1_gives_the_tags_of_no_working_points(
    sample: Jets, tagged: Jets, truth: NeighbourProduct
) -> None:
    plain = tag(sample, truth, np.random.default_rng(3))
    assert np.array_equal(tagged.passes()[:, 1], plain.is_tagged)
    assert np.array_equal(tagged.efficiency_true[:, 1], plain.efficiency_true)


def test_one_working_point_is_tagged_or_not(sample: Jets, truth: NeighbourProduct) -> None:
    one = tag(sample, truth, np.random.default_rng(3), {"tight": 2.0})
    many = tag(sample, truth, np.random.default_rng(3), POINTS)
    assert one.labels.points == ("tight",)
    assert one.tag_bin is None
    assert np.array_equal(one.is_tagged, one.score > 2.0)
    assert np.array_equal(one.is_tagged, many.passes()[:, 2])
    assert np.array_equal(one.efficiency_true, many.efficiency_true[:, 2])


@pytest.mark.parametrize("points", [None, {}])
def test_jets_can_be_tagged_anew_with_other_points_or_none(
    sample: Jets, tagged: Jets, truth: NeighbourProduct, points: Mapping[str, float] | None
) -> None:
    plain = tag(sample, truth, np.random.default_rng(9))
    again = tag(tagged, truth, np.random.default_rng(9), points)
    assert again.tag_bin is None
    assert again.labels.points == ()
    for name in ("score", "is_tagged", "efficiency_true"):
        assert np.array_equal(getattr(again, name), getattr(plain, name)), name
    assert np.array_equal(plain.score, np.random.default_rng(9).random(sample.n_jets))
    assert np.array_equal(plain.is_tagged, plain.score < plain.efficiency_true)


def test_jets_of_efficiency_0_and_1_are_tagged_never_and_always(few: Jets) -> None:
    class Certain(NeighbourProduct):
        def efficiency(self, jets: Jets) -> FloatArray:
            return (jets.flavour == 5).astype(float)

    jets = tag(few, Certain({}, {}), np.random.default_rng(1), POINTS)
    assert np.array_equal(jets.tag_bin, np.where(few.flavour == 5, 3, 0))
    assert np.array_equal(jets.efficiency_true[:, 0], jets.efficiency_true[:, 2])


@pytest.mark.parametrize(
    ("points", "text"),
    [
        ({"loose": 0.0}, r"working_points.loose: 0.0 is not allowed; .* above 0 and finite"),
        ({"loose": 1.0, "tight": -1.0}, r"working_points.tight: -1.0 is not allowed"),
        ({"loose": math.nan}, r"working_points.loose: nan is not allowed"),
        ({"loose": 1.0, "tight": math.inf}, r"working_points.tight: inf is not allowed"),
        (
            {"tight": 2.0, "loose": 1.0},
            r"working_points.loose: 1.0 is not above the threshold of 'tight', 2.0; name the poin",
        ),
        ({"a": 1.0, "b": 1.0}, r"working_points.b: 1.0 is not above the threshold of 'a', 1.0"),
    ],
)
def test_thresholds_that_no_discriminant_has_are_refused(
    few: Jets, truth: NeighbourProduct, points: dict[str, float], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        tag(few, truth, np.random.default_rng(1), points)


# ---- a study of two points, in the library alone


@pytest.fixture(scope="module")
def two_points(multijet: Generator, truth: NeighbourProduct) -> tuple[Jets, Jets]:
    """20,000 events to learn from and 20,000 to judge, at the points of the study."""
    points = {"loose": 1.0, "tight": 2.0}
    train, test = (
        concatenate(list(generate(multijet, truth, range(20_000), (5, name), points)))
        for name in ("train", "test")
    )
    return train, test


MAP = BinnedOptions(
    kind="binned",
    pt=EqualBins(bins=6, low=20.0, high=600.0),
    eta=EqualBins(bins=4, low=-2.0, high=2.0),
)
SELECTIONS = [("loose", None), ("tight", None), ("loose", "tight")]


def closes(jets: Jets, efficiencies: Mapping[str, FloatArray], both: bool) -> dict[str, float]:
    """Return the p-value of each efficiency in Delta R of the two leading jets."""
    entries = dijet(jets, efficiencies, both=both).delta_r
    histogram = ClosureHistogram.fill(entries, np.linspace(0, 3, 16))
    return {name: histogram.test(name, 10).p_value for name in efficiencies}


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize(("point", "below"), SELECTIONS)
def test_every_point_and_the_bin_between_close_with_the_truth(
    two_points: tuple[Jets, Jets], point: str, below: str | None, both: bool
) -> None:
    judged = two_points[1].at_point(point, below)
    assert closes(judged, {"true": judged.efficiency_true}, both)["true"] > P_VALUE


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("point", ["loose", "tight"])
def test_no_point_closes_with_a_map_that_knows_no_neighbour(
    two_points: tuple[Jets, Jets], point: str, both: bool
) -> None:
    train, test = (jets.at_point(point) for jets in two_points)
    blind = BinnedMap.fit(train, train, MAP, (1, "map")).efficiency(test)
    assert closes(test, {"blind": blind}, both)["blind"] < P_VALUE


def blind_over_true(
    two_points: tuple[Jets, Jets], flavour: int, point: str, below: str | None
) -> float:
    """Return by how much a map overestimates leading jets with the second nearer than 0.4."""
    train, test = (jets.at_point(point, below) for jets in two_points)
    blind = BinnedMap.fit(train, train, MAP, (1, "map")).efficiency(test)
    pairs = dijet(test, {"blind": blind, "true": test.efficiency_true}, both=False)
    near = (pairs.delta_r.values < 0.4) & (test.flavour[pairs.jets[:, 0]] == flavour)
    yields = {name: p[near].sum() for name, p in pairs.delta_r.probability.items()}
    return yields["blind"] / yields["true"]


def test_in_the_bin_between_neighbours_hardly_matter_for_b_jets(
    two_points: tuple[Jets, Jets],
) -> None:
    """A neighbour takes jets out of the bin and brings as many in where eff - eff**2 is flat."""
    # A map of 24 bins and thousands of tagged jets: its ratio is known to 2 or 3%.
    assert blind_over_true(two_points, 5, "loose", None) > 1.15
    assert blind_over_true(two_points, 5, "tight", None) > 1.3
    # Leading b jets have an efficiency near 1/2, c jets are far below.
    assert blind_over_true(two_points, 5, "loose", "tight") == pytest.approx(1, abs=0.1)
    assert blind_over_true(two_points, 4, "loose", "tight") > 1.15


def test_the_bin_between_does_not_close_with_the_efficiency_of_a_point(
    two_points: tuple[Jets, Jets],
) -> None:
    between = two_points[1].at_point("loose", below="tight")
    loose = two_points[1].at_point("loose").efficiency_true
    tight = two_points[1].at_point("tight").efficiency_true
    np.testing.assert_allclose(between.efficiency_true, loose - tight, atol=1e-15)
    p_value = closes(between, {"loose": loose, "difference": loose - tight}, both=False)
    assert p_value["difference"] > P_VALUE
    assert p_value["loose"] < P_VALUE


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
