"""From replicas to errors with correlations: by hand, by their definition, and by many toy experiments."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.stats import chi2

from conftest import make_jets
from truthtag.arrays import BoolArray, FloatArray, IntArray
from truthtag.data.files import read_frame
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.estimators.ensemble import Ensemble
from truthtag.estimators.predictions import (
    Prediction,
    predict,
    read_prediction,
    write_prediction,
    write_replicas,
)
from truthtag.estimators.protocol import Replicated
from truthtag.statistics.uncertainty import (
    Histogram,
    correct,
    covariance,
    few_replicas,
    measure_scales,
    regions,
    spread_scale,
)
from truthtag.weights.tag_counts import tag_counts

FLAVOURS = {"b": 5, "c": 4, "light": 0}
WIDE, STRONG = 10.0, 1e-4
"""Priors that say next to nothing, and next to everything."""

yields = st.floats(-1e3, 1e3)
templates = arrays(
    float, array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=6), elements=yields
)


def correlated(seed: int, bins: int) -> FloatArray:
    """Return a covariance of full rank."""
    roots = np.random.default_rng(seed).normal(size=(bins + 2, bins))
    return roots.T @ roots


# ---- covariances and histograms


@given(templates)
def test_a_covariance_is_that_of_numpy_and_no_direction_has_a_negative_variance(
    replicas: FloatArray,
) -> None:
    result = covariance(replicas)
    np.testing.assert_allclose(result, np.cov(replicas, rowvar=False), atol=1e-8)
    np.testing.assert_array_equal(result, result.T)
    assert np.linalg.eigvalsh(result).min() >= -1e-9 * max(np.trace(result), 1)


@given(templates, st.integers(0, 99))
def test_covariances_of_merged_bins_are_those_of_merged_templates(
    replicas: FloatArray, seed: int
) -> None:
    """Whatever is made of the bins linearly: all correlations are carried through."""
    matrix = np.random.default_rng(seed).integers(-1, 3, (3, replicas.shape[1]))
    np.testing.assert_allclose(
        matrix @ covariance(replicas) @ matrix.T, covariance(replicas @ matrix.T), atol=1e-6
    )
    assert covariance(replicas).sum() == pytest.approx(replicas.sum(axis=1).var(ddof=1), abs=1e-6)


def test_the_covariance_of_many_templates_is_that_they_were_drawn_from() -> None:
    true, count = correlated(1, 4), 4000
    measured = covariance(
        np.random.default_rng(2).multivariate_normal(np.full(4, 1e4), true, count)
    )
    # The variance of an element is (C_ii C_jj + C_ij^2) / (K - 1).
    error = np.sqrt((np.outer(np.diag(true), np.diag(true)) + true**2) / (count - 1))
    assert np.abs((measured - true) / error).max() < 4


def test_one_replica_tells_of_no_spread() -> None:
    result = Histogram.of(np.ones(2), np.array([[1.0, 4.0]]))
    assert np.isnan(result.covariance).all()
    assert np.isnan(result.up).all()
    with pytest.raises(
        DataError, match=r"not finite: one replica tells of no spread\. Use at least two"
    ):
        result.leading(1)


def test_templates_that_make_no_covariance_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"replicas have shape \(0, 3\); they must have a row for each replica"
    ):
        covariance(np.zeros((0, 3)))
    with pytest.raises(DataError, match=r"replicas have shape \(3,\)"):
        covariance(np.zeros(3))
    with pytest.raises(
        DataError, match=r"replica 1 is nan at position 0; every number must be finite"
    ):
        covariance(np.array([[1.0, 2.0], [np.nan, np.inf]]))
    with pytest.raises(DataError, match=r"replica 0 is inf at position 1"):
        covariance(np.array([[1.0, np.inf]]))
    with pytest.raises(DataError, match=r"replicas of shape \(2, 3\) do not fit 2 bins"):
        Histogram.of(np.ones(2), np.ones((2, 3)))


def test_histogram_by_hand() -> None:
    # Deviations from the mean: (-1, 2, 0), (1, -2, 0).
    histogram = Histogram.of(
        np.array([5.0, 6.0, 7.0]), np.array([[1.0, 4.0, 3.0], [3.0, 0.0, 3.0]])
    )
    assert histogram.covariance.tolist() == [[2, -4, 0], [-4, 8, 0], [0, 0, 0]]
    error = [math.sqrt(2), math.sqrt(8), 0]
    assert histogram.error.tolist() == pytest.approx(error)
    assert histogram.up.tolist() == pytest.approx([5 + error[0], 6 + error[1], 7])
    assert histogram.down.tolist() == pytest.approx([5 - error[0], 6 - error[1], 7])
    # A bin that does not vary is correlated with itself only.
    assert histogram.correlation.tolist() == [
        [1, pytest.approx(-1), 0],
        [pytest.approx(-1), 1, 0],
        [0, 0, 1],
    ]
    (leading,) = histogram.leading(1)
    assert leading.change.tolist() == pytest.approx([-math.sqrt(2), math.sqrt(8), 0])
    assert leading.share == pytest.approx(1)


@given(st.integers(0, 99), st.integers(1, 8), st.integers(2, 8))
def test_variations_add_up_to_the_covariance(seed: int, bins: int, count: int) -> None:
    replicas = np.random.default_rng(seed).normal(size=(count, bins))
    histogram = Histogram.of(np.ones(bins), replicas)
    variations = histogram.leading(bins)
    assert len(variations) == bins
    total = np.sum(
        [np.outer(variation.change, variation.change) for variation in variations], axis=0
    )
    np.testing.assert_allclose(total, histogram.covariance, atol=1e-12)
    shares = [variation.share for variation in variations]
    assert sum(shares) == pytest.approx(1)
    assert shares == sorted(shares, reverse=True)
    assert all(variation.change.sum() >= -1e-12 for variation in variations)
    # K replicas span K - 1 directions.
    assert sum(shares[count - 1 :]) < 1e-12
    # They are independent, and fewer of them are the first of all.
    changes = np.array([variation.change for variation in variations])
    product = changes @ changes.T
    np.testing.assert_allclose(product, np.diag(np.diag(product)), atol=1e-12)
    few = histogram.leading(2)
    assert [variation.share for variation in few] == shares[:2]


def test_nothing_varies_where_the_covariance_is_zero() -> None:
    variations = Histogram.of(np.ones(2), np.ones((3, 2))).leading(2)
    assert [variation.share for variation in variations] == [0, 0]
    assert all(not variation.change.any() for variation in variations)


def test_a_common_shift_of_the_efficiency_moves_all_bins_together(few: Jets) -> None:
    """From replicas of jets through weights to bins: to first order, the change is the derivative times the shift."""
    rng, edges = np.random.default_rng(3), np.linspace(20, 600, 5)
    leading_pt, width = few.pt[few.offsets[:-1]], 1e-3

    def filled(factor: float) -> FloatArray:
        weight = tag_counts(few, few.efficiency_true * factor, 1).at_least[:, 1]
        return np.histogram(leading_pt, edges, weights=weight)[0]

    factors = 1 - width * np.abs(rng.normal(size=50))
    histogram = Histogram.of(filled(1.0), np.stack([filled(factor) for factor in factors]))
    derivative = (filled(1.0) - filled(1 - 1e-5)) / 1e-5
    expected = derivative * factors.std(ddof=1)
    np.testing.assert_allclose(histogram.error, expected, rtol=5e-3)
    np.testing.assert_allclose(histogram.correlation, 1, atol=1e-3)
    (leading,) = histogram.leading(1)
    assert leading.share > 0.999
    np.testing.assert_allclose(leading.change, expected, rtol=5e-3)
    # The error of the sum is the sum of the errors, not the root of that of their squares.
    assert math.sqrt(histogram.covariance.sum()) == pytest.approx(histogram.error.sum(), rel=1e-3)


# ---- predictions with replicas


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


def test_an_ensemble_predicts_its_members_as_replicas() -> None:
    jets = make_jets([2, 1])
    members = [Fixed(np.array(values)) for values in ([0.1, 0.5, 0.0], [0.3, 0.5, 1.0])]
    ensemble = Ensemble(members)
    assert isinstance(ensemble, Replicated)
    prediction = predict(ensemble, jets)
    assert prediction.values.tolist() == pytest.approx([0.2, 0.5, 0.5])
    assert prediction.replicas is not None
    assert prediction.replicas.tolist() == [[0.1, 0.5, 0.0], [0.3, 0.5, 1.0]]
    # Divided by K - 1.
    assert prediction.std.tolist() == pytest.approx([0.2 / math.sqrt(2), 0, 1 / math.sqrt(2)])
    assert np.isnan(predict(Ensemble(members[:1]), jets).std).all()


def test_an_efficiency_alone_has_no_replicas() -> None:
    jets = make_jets([2, 1])
    assert not isinstance(Fixed(np.zeros(3)), Replicated)
    prediction = predict(Fixed(np.array([0.0, 0.5, 1.0])), jets)
    assert prediction.replicas is None
    assert prediction.std is None


@pytest.mark.parametrize("bad", [-0.1, 1.1, np.nan])
def test_a_replica_that_is_no_probability_is_refused(bad: float) -> None:
    class Wrong(Fixed):
        def with_replicas(self, jets: Jets) -> tuple[FloatArray, FloatArray]:
            replicas = np.full((3, jets.n_jets), 0.5)
            replicas[2, 1] = bad
            return self.values, replicas

    with pytest.raises(
        DataError,
        match=rf"the efficiency of jet 1 is {bad} \(1 such jets\); it must lie in \[0, 1\]",
    ):
        predict(Wrong(np.full(3, 0.5)), make_jets([2, 1]))


def test_a_prediction_belongs_to_its_jets() -> None:
    jets, others = make_jets([2, 1]), make_jets([1, 2])
    prediction = with_replicas(jets, 2)
    assert prediction.aligned_to(jets) is prediction
    with pytest.raises(
        DataError,
        match=r"a prediction for 3 jets does not match the sample of 3 jets: their events",
    ):
        prediction.aligned_to(others)


@pytest.mark.parametrize(("count", "width"), [(1, 0.02), (2, 1e-6), (12, 1e-3), (3, 0.3)])
def test_replicas_survive_the_disk_to_one_part_in_two_thousand(
    count: int, width: float, tmp_path: Path
) -> None:
    prediction = with_replicas(make_jets([3, 1, 2] * 20), count, width)
    paths = tmp_path / "p.parquet", tmp_path / "p.replicas.parquet"
    write_prediction(prediction, paths[0], {})
    write_replicas(prediction, paths[1], {})
    again = read_prediction(*paths)
    assert np.array_equal(again.event, prediction.event)
    assert np.array_equal(again.values, prediction.values)
    assert again.replicas.shape == prediction.replicas.shape
    difference, read = (one.replicas - prediction.values for one in (prediction, again))
    # Half a step of float16, half its smallest number 2^-24, and half a step of float32 below 1 three times.
    assert (np.abs(read - difference) <= np.abs(difference) / 2048 + 2.0**-25 + 3 * 2.0**-25).all()
    assert read_prediction(paths[0]).replicas is None


def test_replicas_that_are_read_are_probabilities(tmp_path: Path) -> None:
    """Rounded differences must not carry an efficiency of 0 or 1 beyond."""
    jets = make_jets([2])
    values = np.array([0.3, 0.7])
    prediction = Prediction(jets.per_jet("event"), values, np.array([[0.0, 1.0], [1.0, 0.0]]))
    write_prediction(prediction, tmp_path / "p.parquet", {})
    write_replicas(prediction, tmp_path / "r.parquet", {})
    replicas = read_prediction(tmp_path / "p.parquet", tmp_path / "r.parquet").replicas
    assert ((replicas >= 0) & (replicas <= 1)).all()
    np.testing.assert_allclose(replicas, prediction.replicas, atol=1 / 2048)


def test_files_that_do_not_hold_the_replicas_are_refused(tmp_path: Path) -> None:
    prediction, path = with_replicas(make_jets([2, 1]), 4), tmp_path / "p.parquet"
    write_prediction(prediction, path, {})
    other = tmp_path / "r.parquet"
    write_replicas(with_replicas(make_jets([2, 2]), 4), other, {})
    with pytest.raises(
        DataError,
        match=r"r\.parquet: holds replicas of 4 jets, the prediction has 3\. Predict again",
    ):
        read_prediction(path, other)
    write_replicas(prediction, other, {})
    other.write_bytes(other.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"r\.parquet: cannot be read as Parquet .* truncated"):
        read_prediction(path, other)
    with pytest.raises(
        DataError,
        match=r"p\.parquet: column 'difference_0' is missing; the file has event, efficiency",
    ):
        read_prediction(path, path)
    with pytest.raises(DataError, match=r"none\.parquet: no such file"):
        read_prediction(path, tmp_path / "none.parquet")
    with pytest.raises(
        DataError,
        match=r"r\.parquet: the prediction has no replicas to write; use an ensemble, or a map",
    ):
        write_replicas(replace(prediction, replicas=None), other, {})


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
    """First halves in pT, then in the distance to the nearest jet (those alone come first), then in abs(eta)."""
    jets = make_jets(
        [2, 2, 1, 1, 2],
        pt=np.array([100.0, 90, 95, 85, 80, 99, 30, 20]),
        eta=np.array([0.0, 0.1, -2, -1, 0, 2, 0, -1]),
        phi=np.zeros(8),
    )
    every = np.ones(8, dtype=bool)
    assert regions(jets, every, 1).tolist() == [0] * 8
    assert regions(jets, every, 2).tolist() == [1, 1, 1, 0, 0, 1, 0, 0]
    # Of the four soft ones one is alone, and three are as far from another jet: of these the softest comes first.
    assert regions(jets, every, 4).tolist() == [3, 3, 2, 1, 0, 2, 1, 0]
    # The distance is to the nearest jet of all, not of those that are chosen.
    chosen = np.array([False, True, False, False, True, True, False, False])
    assert regions(jets, chosen, 3).tolist() == [2, 0, 1]


# ---- the scale of the spread


def toy(
    seed: int, scale: float, width: float, count: int = 100
) -> tuple[BoolArray, FloatArray, FloatArray, IntArray]:
    """Draw tags of jets whose predicted efficiency is wrong by a common factor in each region, and the replicas.

    Args:
        seed: Of the random numbers.
        scale: By how much the error is larger than the spread of the replicas.
        width: Standard deviation of the relative error.
        count: Number of regions and of replicas.

    Returns:
        Tags, efficiencies, replicas, regions: the arguments of ``spread_scale``.
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
    results = [spread_scale(*toy(seed, scale, width), WIDE) for seed in range(80)]
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
    scales = [spread_scale(*arguments, prior).scale for prior in (WIDE, 0.3, 0.05, STRONG)]
    assert scales == sorted(scales, reverse=True)
    assert scales[0] > 2
    assert scales[-1] == pytest.approx(1, abs=1e-4)
    strong = spread_scale(*arguments, STRONG)
    assert strong.error == pytest.approx(STRONG, rel=1e-2)
    assert strong.chi2_scaled == pytest.approx(strong.chi2, rel=1e-3)


def test_a_scale_is_as_sure_as_it_says_where_one_error_is_common_to_all_regions() -> None:
    """The scale drawn from the prior, 0.3; then a single number to learn it from, however many regions there are."""
    prior, pulls = 0.3, []
    for seed in range(80):
        rng = np.random.default_rng((10, seed))
        region, values = np.repeat(np.arange(32), 400), np.full(12_800, 0.4)
        scale = math.exp(prior * rng.normal())
        true = values * (1 + 0.1 * scale * rng.normal())
        replicas = values * (1 + 0.1 * rng.normal(size=(20, 1)))
        result = spread_scale(rng.random(len(values)) < true, values, replicas, region, prior)
        pulls.append(math.log(result.scale / scale) / (result.error / result.scale))
    assert np.std(pulls) < 1 + 4 / math.sqrt(2 * len(pulls))


def test_a_scale_is_not_larger_than_allowed() -> None:
    """An efficiency of one half where every jet is tagged is wrong, not uncertain."""
    region = np.repeat(np.arange(20), 100)
    values, replicas = np.full(2000, 0.5), np.array([[0.49], [0.51]]) * np.ones((2, 2000))
    free, bound = (
        spread_scale(np.ones(2000, dtype=bool), values, replicas, region, 0.3, most)
        for most in (np.inf, 2.0)
    )
    assert free.scale > 2
    assert bound.scale == pytest.approx(2, rel=1e-3)
    assert bound.chi2_scaled > free.chi2_scaled > free.regions


def one_region(tags: list[bool]) -> tuple[BoolArray, FloatArray, FloatArray, IntArray]:
    """Four jets with an efficiency of one half in one region, S = 1; by two replicas 1 and 3 tags, V = 2."""
    replicas = np.repeat([[0.25], [0.75]], 4, axis=1)
    return np.array(tags), np.full(4, 0.5), replicas, np.zeros(4, dtype=np.int64)


def test_a_scale_by_hand() -> None:
    # d^2 = 4 = S + s^2 V.
    result = spread_scale(*one_region([True] * 4), 1e3)
    assert result.scale == pytest.approx(math.sqrt(1.5), rel=1e-4)
    # Fisher's information on ln s: 2 (s^2 V / d^2)^2.
    assert result.error == pytest.approx(math.sqrt(1.5) / math.sqrt(2 * (3 / 4) ** 2), rel=1e-3)
    assert result.regions == 1
    assert result.chi2 == pytest.approx(4 / 3)
    assert result.chi2_scaled == pytest.approx(1, rel=1e-3)
    # As many tags as predicted: the smallest scale that is looked for.
    assert spread_scale(*one_region([True, False] * 2), 1e3).scale == pytest.approx(
        math.exp(-3), rel=1e-3
    )


def test_numbering_and_order_of_regions_do_not_matter() -> None:
    tags, values, replicas, region = toy(1, 1.0, 0.2, 20)
    rng = np.random.default_rng(5)
    order = rng.permutation(len(tags))
    renamed = rng.permutation(20)[region]
    first = spread_scale(tags, values, replicas, region, 0.3)
    second = spread_scale(tags[order], values[order], replicas[::-1, order], renamed[order], 0.3)
    assert vars(second) == pytest.approx(vars(first))


def test_without_a_spread_there_is_nothing_to_stretch() -> None:
    tags, values, replicas, region = toy(1, 1.0, 0.2, 20)
    for few in (replicas[:0], replicas[:1]):
        alone = spread_scale(tags, values, few, region, 0.3)
        assert (alone.scale, alone.error, alone.regions) == (1, math.inf, 20)
        assert math.isnan(alone.chi2)
        assert math.isnan(alone.chi2_scaled)
    # Replicas that agree: the tags say nothing, the prior is what is known.
    same = spread_scale(tags, values, replicas[[0, 0]], region, 0.3)
    assert (same.scale, same.error) == (pytest.approx(1), pytest.approx(0.3))
    none = spread_scale(tags[:0], values[:0], replicas[:, :0], region[:0], 0.3)
    assert (none.scale, none.error, none.regions) == (1, math.inf, 0)


def test_regions_where_nothing_varies_say_nothing() -> None:
    """An efficiency of 0 by all replicas, and a tag nevertheless: no scale explains that."""
    tags, values, replicas, region = toy(1, 1.0, 0.2, 20)
    more = np.full(6, 20)
    for extra in (np.zeros(6, dtype=bool), np.arange(6) < 1, np.ones(6, dtype=bool)):
        result = spread_scale(
            np.r_[tags, extra],
            np.r_[values, np.zeros(6)],
            np.c_[replicas, np.zeros((len(replicas), 6))],
            np.r_[region, more],
            0.3,
        )
        assert vars(result) == pytest.approx(
            vars(spread_scale(tags, values, replicas, region, 0.3))
        )


def about(jets: Jets, width: float, count: int = 20) -> Prediction:
    """Return the true efficiencies as a prediction, its replicas wrong by a factor for each flavour."""
    factor = 1 + width * np.random.default_rng(4).normal(size=(count, 6))[:, jets.flavour]
    return Prediction(
        jets.per_jet("event"), jets.efficiency_true, np.clip(jets.efficiency_true * factor, 0, 1)
    )


def test_the_scale_of_every_flavour(sample: Jets) -> None:
    prediction = about(sample, 0.02)
    table = measure_scales(sample, prediction, {**FLAVOURS, "tau": 15}, 16, 0.3)
    columns = [
        "flavour",
        "number",
        "jets",
        "scale",
        "error",
        "few_replicas",
        "from_tags",
        "regions",
        "chi2",
        "chi2_scaled",
    ]
    assert list(table) == columns
    assert table["few_replicas"].tolist() == [few_replicas(20)] * 4
    assert table["scale"].tolist() == pytest.approx(
        (table["few_replicas"] * table["from_tags"]).tolist()
    )
    mean = prediction.replicas.mean(axis=0)
    stretched = mean + few_replicas(20) * (prediction.replicas - mean)
    assert table["flavour"].tolist() == [*FLAVOURS, "tau"]
    assert table["number"].tolist() == [5, 4, 0, 15]
    assert table["jets"].sum() == sample.n_jets
    assert table["regions"].tolist() == [16, 16, 16, 0]
    for row in table.itertuples():
        inside = sample.flavour == row.number
        expected = spread_scale(
            sample.is_tagged[inside],
            prediction.values[inside],
            stretched[:, inside],
            regions(sample, inside, 16),
            0.3,
        )
        assert [row.from_tags, row.regions] == pytest.approx([expected.scale, expected.regions])
        assert row.error == pytest.approx(few_replicas(20) * expected.error)
    # A flavour that the sample lacks.
    assert table["from_tags"].tolist()[-1] == 1
    assert table["error"].tolist()[-1] == math.inf


def test_the_truth_has_no_error_and_its_tags_scatter_as_they_should(sample: Jets) -> None:
    # Of light jets too few are tagged to see how much too large the spread is.
    large = measure_scales(sample, about(sample, 0.2), {"b": 5, "c": 4}, 32, WIDE)
    assert (large["scale"] < 0.2).all()
    next_to_none = measure_scales(sample, about(sample, 1e-6), FLAVOURS, 32, 0.3)
    assert next_to_none["from_tags"].to_numpy() == pytest.approx(1, abs=1e-3)
    assert next_to_none["error"].to_numpy() == pytest.approx(0.3 * few_replicas(20), rel=1e-3)
    for value in next_to_none["chi2"]:
        assert chi2.ppf(1e-3, 32) < value < chi2.isf(1e-3, 32)


@pytest.mark.parametrize("count", [2, 3, 6, 20])
def test_few_replicas_cover_what_they_promise(count: int) -> None:
    draws = np.random.default_rng(count).normal(size=(20_000, count + 1))
    replicas, true = draws[:, 1:], draws[:, 0]
    within = np.abs(true - replicas.mean(axis=1)) < few_replicas(count) * replicas.std(
        axis=1, ddof=1
    )
    assert within.mean() == pytest.approx(0.6827, abs=4 * math.sqrt(0.68 * 0.32 / len(draws)))
    assert few_replicas(1) == 1


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
        measure_scales(*lack(jets, with_replicas(jets, 2)), FLAVOURS, 1, 0.3)


# ---- stretching


@given(st.integers(0, 99), st.integers(1, 6), st.floats(0, 3), st.floats(0, 3))
def test_stretched_replicas_are_centred_and_as_far_apart_as_asked(
    seed: int, count: int, b: float, light: float
) -> None:
    jets = make_jets([3, 1, 4], seed)
    # Less than 0.1 from each other, three times that is less than the 0.3 to 0 or 1: nothing is clipped.
    prediction = with_replicas(jets, count, 0.01, seed)
    assert np.ptp(prediction.replicas, axis=0).max() < 0.1
    stretched = correct(prediction, jets, {5: b, 0: light})
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
            correct(prediction, jets, scales).replicas, prediction.replicas, atol=1e-6
        )
    # Replicas of a map have another mean than the map; they are moved onto it.
    moved = replace(prediction, values=prediction.values * 0.9)
    again = correct(moved, jets, {})
    np.testing.assert_allclose(
        again.replicas, np.clip(prediction.replicas - 0.1 * prediction.values, 0, 1), atol=1e-6
    )


def test_stretched_replicas_stay_probabilities() -> None:
    jets = make_jets([2], flavour=np.array([5, 4]))
    prediction = Prediction(
        jets.per_jet("event"), np.array([0.1, 0.9]), np.array([[0.0, 0.8], [0.2, 1.0]])
    )
    stretched = correct(prediction, jets, {5: 3.0, 4: 3.0})
    np.testing.assert_allclose(stretched.replicas, [[0, 0.6], [0.4, 1]], atol=1e-6)
    assert ((stretched.replicas >= 0) & (stretched.replicas <= 1)).all()


def test_without_replicas_a_prediction_stays_as_it_is() -> None:
    jets = make_jets([2, 1])
    prediction = replace(with_replicas(jets, 2), replicas=None)
    assert correct(prediction, jets, {5: 2.0}) is prediction


def test_the_covariance_of_stretched_replicas_is_stretched_squared() -> None:
    """Of weights that are linear in the efficiency: the number of tagged jets in bins of pT."""
    jets = make_jets([3, 1, 4] * 30)
    prediction = with_replicas(jets, 30)

    def filled(one: Prediction) -> FloatArray:
        edges = np.linspace(20, 600, 4)
        return covariance(
            np.stack([np.histogram(jets.pt, edges, weights=r)[0] for r in one.replicas])
        )

    stretched = correct(prediction, jets, dict.fromkeys(FLAVOURS.values(), 1.7))
    np.testing.assert_allclose(filled(stretched), 1.7**2 * filled(prediction), rtol=1e-4, atol=1e-8)


def test_the_file_of_a_prediction_tells_its_spread(tmp_path: Path) -> None:
    prediction, path = with_replicas(make_jets([2, 1]), 5), tmp_path / "p.parquet"
    write_prediction(prediction, path, {})
    frame = read_frame(path)
    assert list(frame) == ["event", "efficiency", "efficiency_std"]
    assert frame["efficiency_std"].to_numpy() == pytest.approx(
        prediction.replicas.std(axis=0, ddof=1)
    )
    write_prediction(replace(prediction, replicas=None), path, {})
    assert list(read_frame(path)) == ["event", "efficiency"]
