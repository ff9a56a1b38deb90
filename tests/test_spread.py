"""The spread of replicas beside the error that tags show: by hand, and by many toy experiments."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from conftest import make_jets
from truthtag.arrays import BoolArray, FloatArray, IntArray
from truthtag.data.jets import Jets
from truthtag.data.neighbours import nearest_jet
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.ensemble import Ensemble
from truthtag.estimators.predictions import Prediction, predict
from truthtag.statistics.covariance import covariance
from truthtag.statistics.regions import regions
from truthtag.statistics.spread import (
    fit_spread_scale,
    inflate_spread,
    scales_by_name,
    small_sample_factor,
    spread_scales,
)

FLAVOURS = {"b": 5, "c": 4, "light": 0}
WIDE = 10.0
"""A prior that says next to nothing."""
STRONG = 1e-4
"""A prior that says next to everything."""


@dataclass
class Fixed:
    """An efficiency with the numbers that it is given."""

    values: FloatArray

    def efficiency(self, jets: Jets) -> FloatArray:
        return self.values


def with_replicas(jets: Jets, count: int, width: float = 0.02, seed: int = 0) -> Prediction:
    """Return a prediction of random efficiencies in [0.3, 0.7], and replicas about them."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(0.3, 0.7, jets.n_jets)
    replicas = values + np.clip(rng.normal(0, width, (count, jets.n_jets)), -0.3, 0.3)
    return Prediction(jets.per_jet("event"), values, replicas)


# ---- regions


counts = st.lists(st.integers(0, 6), max_size=25)


@given(counts, st.integers(1, 40), st.integers(0, 9))
def test_regions_are_as_many_as_asked_for_and_of_one_size(
    multiplicities: list[int], count: int, seed: int
) -> None:
    jets = make_jets(multiplicities, seed)
    chosen = np.random.default_rng(seed).random(jets.n_jets) < 0.7
    region = regions(jets, chosen, count)
    assert region.shape == (chosen.sum(),)
    sizes = np.bincount(region)
    # Numbered without gaps; one jet more or less where the number does not divide.
    assert len(sizes) == min(count, chosen.sum())
    assert np.ptp(sizes) <= 1 if len(sizes) else count
    assert (sizes > 0).all()


@given(counts, st.integers(1, 12), st.integers(0, 9))
def test_regions_do_not_depend_on_the_order_of_events(
    multiplicities: list[int], count: int, seed: int
) -> None:
    jets = make_jets(multiplicities, seed)
    moved = jets.take(np.random.default_rng(seed).permutation(jets.n_events))
    # The score tells the jets apart.
    by_score = [
        dict(
            zip(
                one.score.tolist(),
                regions(one, np.ones(one.n_jets, dtype=bool), count).tolist(),
                strict=True,
            )
        )
        for one in (jets, moved)
    ]
    assert by_score[0] == by_score[1]


def test_regions_by_hand() -> None:
    """Halves in pT, in the distance to the nearest jet (jets alone first), and in abs(eta)."""
    jets = make_jets(
        [2, 2, 1, 1, 2],
        pt=np.array([100.0, 90, 95, 85, 80, 99, 30, 20]),
        eta=np.array([0.0, 0.1, -2, -1, 0, 2, 0, -1]),
        phi=np.zeros(8),
    )
    every = np.ones(8, dtype=bool)
    assert regions(jets, every, 1).tolist() == [0] * 8
    assert regions(jets, every, 2).tolist() == [1, 1, 1, 0, 0, 1, 0, 0]
    # Of the four soft ones one is alone, and three are as far from another jet:
    # of these the softest comes first.
    assert regions(jets, every, 4).tolist() == [3, 3, 2, 1, 0, 2, 1, 0]
    # The distance is to the nearest jet of all, not of those that are chosen.
    chosen = np.array([False, True, False, False, True, True, False, False])
    assert regions(jets, chosen, 3).tolist() == [2, 0, 1]


# ---- the scale of the spread


def toy(
    seed: int, scale: float, width: float, count: int = 100
) -> tuple[BoolArray, FloatArray, FloatArray, IntArray]:
    """Draw tags of jets, and replicas; the efficiency is wrong by a common factor in each region.

    Args:
        seed: Of the random numbers.
        scale: By how much the error is larger than the spread of the replicas.
        width: Standard deviation of the relative error.
        count: Number of regions and of replicas.

    Returns:
        Tags, efficiencies, replicas, regions: the arguments of ``fit_spread_scale``.
    """
    rng, per_region = np.random.default_rng((9, seed)), 40
    region = np.repeat(np.arange(count), per_region)
    values = np.full(len(region), 0.4)
    true = values * (1 + width * rng.normal(size=count))[region]
    replicas = values * (1 + width / scale * rng.normal(size=(count, count)))[:, region]
    return rng.random(len(region)) < true, values, replicas, region


@pytest.mark.parametrize(("scale", "width"), [(0.7, 0.25), (1.0, 0.25), (2.5, 0.3)])
def test_a_known_scale_is_found_within_its_error(scale: float, width: float) -> None:
    """Over many samples; ln of the scale is what the likelihood is nearly Gaussian in."""
    results = [fit_spread_scale(*toy(seed, scale, width), WIDE) for seed in range(80)]
    pulls = np.array([math.log(r.scale / scale) / (r.error / r.scale) for r in results])
    assert abs(pulls.mean()) < 4 / math.sqrt(len(pulls))
    assert abs(pulls.std(ddof=1) - 1) < 4 / math.sqrt(2 * len(pulls))
    # The tags fix it to a tenth or so, not the prior.
    assert max(r.error / r.scale for r in results) < 0.2
    # Stretched, the regions scatter as they should; as they are, they do where the scale is 1.
    regions_in_all = sum(r.regions for r in results)
    assert sum(r.chi2_scaled for r in results) == pytest.approx(
        regions_in_all, abs=4 * math.sqrt(2 * regions_in_all)
    )
    as_they_are = sum(r.chi2 for r in results) / regions_in_all
    assert np.sign(as_they_are - 1) == np.sign(scale - 1) or scale == 1


def test_the_prior_draws_the_scale_to_one() -> None:
    arguments = toy(0, 2.5, 0.3)
    scales = [fit_spread_scale(*arguments, prior).scale for prior in (WIDE, 0.3, 0.05, STRONG)]
    assert scales == sorted(scales, reverse=True)
    assert scales[0] > 2
    assert scales[-1] == pytest.approx(1, abs=1e-4)
    strong = fit_spread_scale(*arguments, STRONG)
    assert strong.error == pytest.approx(STRONG, rel=1e-2)
    assert strong.chi2_scaled == pytest.approx(strong.chi2, rel=1e-3)


def test_a_scale_is_as_sure_as_it_says_where_one_error_is_common_to_all_regions() -> None:
    """The scale is drawn from the prior, 0.3, and the regions share one number to learn it from."""
    prior, pulls = 0.3, []
    for seed in range(80):
        rng = np.random.default_rng((10, seed))
        region, values = np.repeat(np.arange(32), 400), np.full(12_800, 0.4)
        scale = math.exp(prior * rng.normal())
        true = values * (1 + 0.1 * scale * rng.normal())
        replicas = values * (1 + 0.1 * rng.normal(size=(20, 1)))
        result = fit_spread_scale(rng.random(len(values)) < true, values, replicas, region, prior)
        pulls.append(math.log(result.scale / scale) / (result.error / result.scale))
    assert np.std(pulls) < 1 + 4 / math.sqrt(2 * len(pulls))


def test_a_scale_is_not_larger_than_allowed() -> None:
    """An efficiency of one half where every jet is tagged is wrong, not uncertain."""
    region = np.repeat(np.arange(20), 100)
    values, replicas = np.full(2000, 0.5), np.array([[0.49], [0.51]]) * np.ones((2, 2000))
    free, bound = (
        fit_spread_scale(np.ones(2000, dtype=bool), values, replicas, region, 0.3, most)
        for most in (np.inf, 2.0)
    )
    assert free.scale > 2
    assert bound.scale == pytest.approx(2, rel=1e-3)
    assert bound.chi2_scaled > free.chi2_scaled > free.regions


def one_region(tags: list[bool]) -> tuple[BoolArray, FloatArray, FloatArray, IntArray]:
    """Four jets of efficiency 0.5 in one region, S = 1; by two replicas 1 and 3 tags, V = 2."""
    replicas = np.repeat([[0.25], [0.75]], 4, axis=1)
    return np.array(tags), np.full(4, 0.5), replicas, np.zeros(4, dtype=np.int64)


def test_a_scale_by_hand() -> None:
    # d^2 = 4 = S + s^2 V.
    result = fit_spread_scale(*one_region([True] * 4), 1e3)
    assert result.scale == pytest.approx(math.sqrt(1.5), rel=1e-4)
    # Fisher's information on ln s: 2 (s^2 V / d^2)^2.
    assert result.error == pytest.approx(math.sqrt(1.5) / math.sqrt(2 * (3 / 4) ** 2), rel=1e-3)
    assert result.regions == 1
    assert result.chi2 == pytest.approx(4 / 3)
    assert result.chi2_scaled == pytest.approx(1, rel=1e-3)
    # As many tags as predicted: the smallest scale that is looked for.
    assert fit_spread_scale(*one_region([True, False] * 2), 1e3).scale == pytest.approx(
        math.exp(-3), rel=1e-3
    )


def test_numbering_and_order_of_regions_do_not_matter() -> None:
    tags, values, replicas, region = toy(1, 1.0, 0.2, 20)
    rng = np.random.default_rng(5)
    order = rng.permutation(len(tags))
    renamed = rng.permutation(20)[region]
    first = fit_spread_scale(tags, values, replicas, region, 0.3)
    second = fit_spread_scale(
        tags[order], values[order], replicas[::-1, order], renamed[order], 0.3
    )
    assert vars(second) == pytest.approx(vars(first))


def test_without_a_spread_there_is_nothing_to_stretch() -> None:
    tags, values, replicas, region = toy(1, 1.0, 0.2, 20)
    for few in (replicas[:0], replicas[:1]):
        alone = fit_spread_scale(tags, values, few, region, 0.3)
        assert (alone.scale, alone.error, alone.regions) == (1, math.inf, 20)
        assert math.isnan(alone.chi2)
        assert math.isnan(alone.chi2_scaled)
    # Replicas that agree: the tags say nothing, the prior is what is known.
    same = fit_spread_scale(tags, values, replicas[[0, 0]], region, 0.3)
    assert (same.scale, same.error) == (pytest.approx(1), pytest.approx(0.3))
    none = fit_spread_scale(tags[:0], values[:0], replicas[:, :0], region[:0], 0.3)
    assert (none.scale, none.error, none.regions) == (1, math.inf, 0)


def test_regions_where_nothing_varies_say_nothing() -> None:
    """An efficiency of 0 by all replicas, and a tag nevertheless: no scale explains that."""
    tags, values, replicas, region = toy(1, 1.0, 0.2, 20)
    more = np.full(6, 20)
    for extra in (np.zeros(6, dtype=bool), np.arange(6) < 1, np.ones(6, dtype=bool)):
        result = fit_spread_scale(
            np.r_[tags, extra],
            np.r_[values, np.zeros(6)],
            np.c_[replicas, np.zeros((len(replicas), 6))],
            np.r_[region, more],
            0.3,
        )
        assert vars(result) == pytest.approx(
            vars(fit_spread_scale(tags, values, replicas, region, 0.3))
        )


def about(jets: Jets, width: float, count: int = 20) -> Prediction:
    """Return the true efficiencies; the replicas are wrong by a factor for each flavour."""
    factor = 1 + width * np.random.default_rng(4).normal(size=(count, 6))[:, jets.flavour]
    return Prediction(
        jets.per_jet("event"), jets.efficiency_true, np.clip(jets.efficiency_true * factor, 0, 1)
    )


def test_the_scale_of_every_flavour(sample: Jets) -> None:
    prediction = about(sample, 0.02)
    table = spread_scales(sample, prediction, {**FLAVOURS, "tau": 15}, 16, 0.3)
    columns = [
        "flavour",
        "number",
        "jets",
        "scale",
        "error",
        "of_mean",
        "small_sample_factor",
        "from_tags",
        "regions",
        "chi2",
        "chi2_scaled",
        "sampling_share",
        "sampling_share_error",
    ]
    assert list(table) == columns
    assert table["small_sample_factor"].tolist() == [small_sample_factor(20)] * 4
    assert table["scale"].tolist() == pytest.approx(
        (table["small_sample_factor"] * table["from_tags"]).tolist()
    )
    mean = prediction.replicas.mean(axis=0)
    stretched = mean + small_sample_factor(20) * (prediction.replicas - mean)
    assert table["flavour"].tolist() == [*FLAVOURS, "tau"]
    assert table["number"].tolist() == [5, 4, 0, 15]
    assert table["jets"].sum() == sample.n_jets
    assert table["regions"].tolist() == [16, 16, 16, 0]
    for row in table.itertuples():
        inside = sample.flavour == row.number
        expected = fit_spread_scale(
            sample.is_tagged[inside],
            prediction.values[inside],
            stretched[:, inside],
            regions(sample, inside, 16),
            0.3,
        )
        assert [row.from_tags, row.regions] == pytest.approx([expected.scale, expected.regions])
        assert row.error == pytest.approx(small_sample_factor(20) * expected.error)
    # A flavour that the sample lacks.
    assert table["from_tags"].tolist()[-1] == 1
    assert table["error"].tolist()[-1] == math.inf


def test_the_truth_has_no_error_and_its_tags_scatter_as_they_should(sample: Jets) -> None:
    # Of light jets too few are tagged to see how much too large the spread is.
    large = spread_scales(sample, about(sample, 0.2), {"b": 5, "c": 4}, 32, WIDE)
    assert (large["scale"] < 0.2).all()
    next_to_none = spread_scales(sample, about(sample, 1e-6), FLAVOURS, 32, 0.3)
    assert next_to_none["from_tags"].to_numpy() == pytest.approx(1, abs=1e-3)
    assert next_to_none["error"].to_numpy() == pytest.approx(
        0.3 * small_sample_factor(20), rel=1e-3
    )
    for value in next_to_none["chi2"]:
        assert chi2.ppf(1e-3, 32) < value < chi2.isf(1e-3, 32)


@pytest.mark.parametrize("count", [2, 3, 6, 20])
def test_few_replicas_cover_what_they_promise(count: int) -> None:
    draws = np.random.default_rng(count).normal(size=(20_000, count + 1))
    replicas, true = draws[:, 1:], draws[:, 0]
    within = np.abs(true - replicas.mean(axis=1)) < small_sample_factor(count) * replicas.std(
        axis=1, ddof=1
    )
    assert within.mean() == pytest.approx(0.6827, abs=4 * math.sqrt(0.68 * 0.32 / len(draws)))
    assert small_sample_factor(1) == 1


@pytest.mark.parametrize(
    "lack",
    [
        lambda jets, prediction: (jets.with_columns(is_tagged=None), prediction),
        lambda jets, prediction: (jets, replace(prediction, replicas=None)),
    ],
)
def test_scales_need_tags_and_replicas(
    lack: Callable[[Jets, Prediction], tuple[Jets, Prediction]],
) -> None:
    jets = make_jets([2, 1])
    with pytest.raises(
        DataError,
        match="is measured with tags and replicas; the sample or the prediction lacks them",
    ):
        spread_scales(*lack(jets, with_replicas(jets, 2)), FLAVOURS, 1, 0.3)


# ---- stretching


@given(st.integers(0, 99), st.integers(1, 6), st.floats(0, 3), st.floats(0, 3))
def test_stretched_replicas_are_centred_and_as_far_apart_as_asked(
    seed: int, count: int, b: float, light: float
) -> None:
    jets = make_jets([3, 1, 4], seed)
    # Less than 0.1 from each other; three times that is less than the 0.3 to 0 or 1:
    # nothing is clipped.
    prediction = with_replicas(jets, count, 0.01, seed)
    assert np.ptp(prediction.replicas, axis=0).max() < 0.1
    stretched = inflate_spread(prediction, jets, {5: b, 0: light})
    assert stretched.values is prediction.values
    assert stretched.event is prediction.event
    np.testing.assert_allclose(stretched.replicas.mean(axis=0), prediction.values, atol=1e-6)
    # A flavour that is not there keeps its spread.
    scale = np.select([jets.flavour == 5, jets.flavour == 0], [b, light], 1.0)
    before, after = (one.replicas - one.replicas.mean(axis=0) for one in (prediction, stretched))
    np.testing.assert_allclose(after, scale * before, atol=1e-6)


def test_a_scale_of_one_leaves_an_ensemble_as_it_is() -> None:
    jets = make_jets([3, 2])
    members = [Fixed(np.random.default_rng(seed).random(5)) for seed in range(4)]
    prediction = predict(Ensemble(members), jets)
    for scales in ({}, {0: 1.0, 4: 1.0, 5: 1.0}):
        np.testing.assert_allclose(
            inflate_spread(prediction, jets, scales).replicas, prediction.replicas, atol=1e-6
        )
    # Replicas of a map have another mean than the map; they are moved onto it.
    moved = replace(prediction, values=prediction.values * 0.9)
    again = inflate_spread(moved, jets, {})
    np.testing.assert_allclose(
        again.replicas, np.clip(prediction.replicas - 0.1 * prediction.values, 0, 1), atol=1e-6
    )


def test_stretched_replicas_stay_probabilities() -> None:
    jets = make_jets([2], flavour=np.array([5, 4]))
    prediction = Prediction(
        jets.per_jet("event"), np.array([0.1, 0.9]), np.array([[0.0, 0.8], [0.2, 1.0]])
    )
    stretched = inflate_spread(prediction, jets, {5: 3.0, 4: 3.0})
    np.testing.assert_allclose(stretched.replicas, [[0, 0.6], [0.4, 1]], atol=1e-6)
    assert ((stretched.replicas >= 0) & (stretched.replicas <= 1)).all()


def test_without_replicas_a_prediction_stays_as_it_is() -> None:
    jets = make_jets([2, 1])
    prediction = replace(with_replicas(jets, 2), replicas=None)
    assert inflate_spread(prediction, jets, {5: 2.0}) is prediction


def test_the_covariance_of_stretched_replicas_is_stretched_squared() -> None:
    """Of weights that are linear in the efficiency: the number of tagged jets in bins of pT."""
    jets = make_jets([3, 1, 4] * 30)
    prediction = with_replicas(jets, 30)

    def filled(one: Prediction) -> FloatArray:
        edges = np.linspace(20, 600, 4)
        return covariance(
            np.stack([np.histogram(jets.pt, edges, weights=r)[0] for r in one.replicas])
        )

    stretched = inflate_spread(prediction, jets, dict.fromkeys(FLAVOURS.values(), 1.7))
    np.testing.assert_allclose(filled(stretched), 1.7**2 * filled(prediction), rtol=1e-4, atol=1e-8)


# ---- what is refused


def test_arrays_of_another_length_or_kind_are_refused_by_the_fit() -> None:
    tags, values, replicas, region = one_region([True] * 4)
    with pytest.raises(
        DataError, match=r"is_tagged has shape \(3,\); .* one value per jet, \(4,\)"
    ):
        fit_spread_scale(tags[:3], values, replicas, region, 0.3)
    with pytest.raises(DataError, match="is_tagged: holds int64 values; give True or False"):
        fit_spread_scale(tags.astype(np.int64), values, replicas, region, 0.3)
    with pytest.raises(DataError, match=r"values is 1\.5; it must lie in \[0, 1\]"):
        fit_spread_scale(tags, values * 3, replicas, region, 0.3)
    with pytest.raises(DataError, match=r"replicas have shape \(2, 3\); .* 4 jets in each"):
        fit_spread_scale(tags, values, replicas[:, :3], region, 0.3)
    masked = np.ma.array(replicas, mask=np.arange(8).reshape(2, 4) == 5)
    with pytest.raises(DataError, match="replicas: 1 of its entries are masked"):
        fit_spread_scale(tags, values, masked, region, 0.3)
    broken = np.where(np.arange(8).reshape(2, 4) == 6, np.nan, replicas)
    with pytest.raises(DataError, match="replica 1 is nan for jet 2; every number must be finite"):
        fit_spread_scale(tags, values, broken, region, 0.3)
    with pytest.raises(DataError, match="region is -1 for jet 0; regions begin at 0"):
        fit_spread_scale(tags, values, replicas, region - 1, 0.3)
    with pytest.raises(DataError, match="region: holds float64 values; regions are numbered"):
        fit_spread_scale(tags, values, replicas, region * 1.0, 0.3)


@pytest.mark.parametrize("width", [0.0, -0.3, math.nan, math.inf])
def test_a_prior_without_a_width_is_refused(width: float) -> None:
    with pytest.raises(ConfigError, match=r"uncertainty\.prior_width is .*; it must be above 0"):
        fit_spread_scale(*one_region([True] * 4), width)


@pytest.mark.parametrize("most", [0.0, 0.01, math.nan])
def test_a_largest_scale_below_the_search_is_refused(most: float) -> None:
    with pytest.raises(ConfigError, match=r"uncertainty\.max_scale is .*; it must be above 0\.050"):
        fit_spread_scale(*one_region([True] * 4), 0.3, most)


def test_regions_of_no_number_and_masks_that_are_positions_are_refused() -> None:
    jets = make_jets([2, 1])
    with pytest.raises(ConfigError, match=r"uncertainty\.regions is 0; it must be at least 1"):
        regions(jets, np.ones(3, dtype=bool), 0)
    with pytest.raises(DataError, match="chosen: holds int64 values; give True or False"):
        regions(jets, np.array([0, 1, 2]), 2)
    with pytest.raises(DataError, match=r"chosen has shape \(2,\)"):
        regions(jets, np.ones(2, dtype=bool), 2)


def test_a_prediction_for_other_jets_is_not_stretched() -> None:
    jets = make_jets([2, 1])
    other = with_replicas(make_jets([2, 2]), 3)
    with pytest.raises(DataError, match=r"prediction\.values has shape \(4,\)"):
        inflate_spread(other, jets, {5: 2.0})
    with pytest.raises(DataError, match=r"prediction\.values has shape \(4,\)"):
        spread_scales(jets, other, FLAVOURS, 1, 0.3)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_a_scale_that_stretches_nothing_is_refused(value: float) -> None:
    jets = make_jets([2, 1])
    with pytest.raises(DataError, match=r"the scale of flavour 5 is .*; it must be a number of at"):
        inflate_spread(with_replicas(jets, 3), jets, {5: value})


def test_scales_by_name_and_flavour() -> None:
    rows = [("gnn", 5, 1.5), ("map", 5, 1.0), ("gnn", 4, 1.25)]
    frame = pd.DataFrame(rows, columns=["efficiency", "number", "scale"])
    assert scales_by_name(frame) == {"gnn": {5: 1.5, 4: 1.25}, "map": {5: 1.0}}
    assert scales_by_name(frame.iloc[:0]) == {}
    with pytest.raises(DataError, match="scales: column 'scale' is missing; the table has effic"):
        scales_by_name(frame.drop(columns="scale"))
    with pytest.raises(DataError, match="scales: efficiency 'gnn' has two rows for flavour 5"):
        scales_by_name(pd.concat([frame, frame.iloc[:1]]))
    with pytest.raises(DataError, match="the scale of flavour 5 is nan"):
        scales_by_name(frame.assign(scale=np.nan))


def test_scales_of_several_working_points() -> None:
    rows = {"efficiency": "gnn", "number": [5, 4, 5, 4], "scale": [1.5, 1.2, 1.3, 1.4]}
    table = pd.DataFrame({"working_point": ["loose", "loose", "tight", "tight"], **rows})
    assert scales_by_name(table) == scales_by_name(table, "loose") == {"gnn": {5: 1.5, 4: 1.2}}
    assert scales_by_name(table, "tight") == {"gnn": {5: 1.3, 4: 1.4}}
    assert scales_by_name(table, None, "tight") == {"gnn": {5: 1.5, 4: 1.4}}
    with pytest.raises(DataError, match="none at the working point 'medium', only at loose, ti"):
        scales_by_name(table, "medium")
    # With one point, all scales are its own.
    assert scales_by_name(table[:2].drop(columns="working_point"), "any")["gnn"][5] == 1.5


@given(
    multiplicities=st.lists(st.integers(1, 4), min_size=1, max_size=20),
    count=st.integers(1, 9),
    seed=st.integers(0, 100),
)
def test_regions_are_those_of_sorting_all_jets(
    multiplicities: list[int], count: int, seed: int
) -> None:
    """The plain way: sort, cut, and sort the halves again; many jets are equal."""
    jets = make_jets(multiplicities, seed=seed)
    jets = jets.with_columns(pt=np.ceil(jets.pt / 200), eta=np.round(jets.eta), sort=True)
    closeness = (1 / (1 + nearest_jet(jets)[1])).astype(np.float32)
    variables = [jets.pt, closeness, np.abs(jets.eta)]
    expected = np.zeros(jets.n_jets, dtype=int)

    def cut(rows: np.ndarray, first: int, n_regions: int, depth: int) -> None:
        if n_regions == 1:
            expected[rows] = first
            return
        ordered = rows[np.argsort(variables[depth % 3][rows], kind="stable")]
        n_lower = n_regions // 2
        middle = len(rows) * n_lower // n_regions
        cut(ordered[:middle], first, n_lower, depth + 1)
        cut(ordered[middle:], first + n_lower, n_regions - n_lower, depth + 1)

    cut(np.arange(jets.n_jets), 0, min(count, jets.n_jets), 0)
    found = regions(jets, np.ones(jets.n_jets, dtype=bool), count)
    np.testing.assert_array_equal(found, expected)
