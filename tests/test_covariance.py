"""Covariances over replicas, and histograms with them: by hand and by their definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.statistics.covariance import Histogram, covariance
from truthtag.weights.tag_counts import tag_counts

yields = st.floats(-1e3, 1e3)
templates = arrays(
    float, array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=6), elements=yields
)


def correlated(seed: int, bins: int) -> FloatArray:
    """Return a covariance of full rank."""
    roots = np.random.default_rng(seed).normal(size=(bins + 2, bins))
    return roots.T @ roots


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
    result = Histogram.from_replicas(np.ones(2), np.array([[1.0, 4.0]]))
    assert np.isnan(result.covariance).all()
    assert np.isnan(result.up).all()
    with pytest.raises(
        DataError, match=r"not finite: one replica tells of no spread\. Use at least two"
    ):
        result.eigenvariations(1)


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
        Histogram.from_replicas(np.ones(2), np.ones((2, 3)))


def test_histogram_by_hand() -> None:
    # Deviations from the mean: (-1, 2, 0), (1, -2, 0).
    histogram = Histogram.from_replicas(
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
    (leading,) = histogram.eigenvariations(1)
    assert leading.change.tolist() == pytest.approx([-math.sqrt(2), math.sqrt(8), 0])
    assert leading.share == pytest.approx(1)


@given(st.integers(0, 99), st.integers(1, 8), st.integers(2, 8))
def test_variations_add_up_to_the_covariance(seed: int, bins: int, count: int) -> None:
    replicas = np.random.default_rng(seed).normal(size=(count, bins))
    histogram = Histogram.from_replicas(np.ones(bins), replicas)
    variations = histogram.eigenvariations(bins)
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
    few = histogram.eigenvariations(2)
    assert [variation.share for variation in few] == shares[:2]


def test_nothing_varies_where_the_covariance_is_zero() -> None:
    variations = Histogram.from_replicas(np.ones(2), np.ones((3, 2))).eigenvariations(2)
    assert [variation.share for variation in variations] == [0, 0]
    assert all(not variation.change.any() for variation in variations)


def test_a_common_shift_of_the_efficiency_moves_all_bins_together(few: Jets) -> None:
    """From replicas of jets through weights to bins.

    To first order, the change is the derivative times the shift.
    """
    rng, edges = np.random.default_rng(3), np.linspace(20, 600, 5)
    leading_pt, width = few.pt[few.offsets[:-1]], 1e-3

    def filled(factor: float) -> FloatArray:
        weight = tag_counts(few, few.efficiency_true * factor, 1).at_least[:, 1]
        return np.histogram(leading_pt, edges, weights=weight)[0]

    factors = 1 - width * np.abs(rng.normal(size=50))
    histogram = Histogram.from_replicas(
        filled(1.0), np.stack([filled(factor) for factor in factors])
    )
    derivative = (filled(1.0) - filled(1 - 1e-5)) / 1e-5
    expected = derivative * factors.std(ddof=1)
    np.testing.assert_allclose(histogram.error, expected, rtol=5e-3)
    np.testing.assert_allclose(histogram.correlation, 1, atol=1e-3)
    (leading,) = histogram.eigenvariations(1)
    assert leading.share > 0.999
    np.testing.assert_allclose(leading.change, expected, rtol=5e-3)
    # The error of the sum is the sum of the errors, not the root of that of their squares.
    assert math.sqrt(histogram.covariance.sum()) == pytest.approx(histogram.error.sum(), rel=1e-3)


@pytest.mark.parametrize(
    ("replicas", "message"),
    [
        (
            np.ma.array([[1.0, 2.0], [3.0, 4.0]], mask=[[0, 1], [0, 0]]),
            "replicas: 1 of its entries are masked",
        ),
        (np.array([[1.0, 2.0], [3.0, 4.0j]]), r"replicas: holds complex numbers \(complex128\)"),
        (np.array([["1", "2"], ["3", "4"]]), "replicas: holds <U1 values; give numbers"),
        ([[1.0, 2.0], [3.0]], "replicas: its rows differ in length"),
    ],
)
def test_entries_that_are_no_real_numbers_are_refused(replicas: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        covariance(replicas)


def test_a_histogram_without_masked_or_missing_yields() -> None:
    replicas = np.array([[1.0, 4.0], [3.0, 0.0]])
    masked = np.ma.array([1.0, 2.0], mask=[1, 0])
    with pytest.raises(DataError, match="nominal yields: 1 of its entries are masked"):
        Histogram.from_replicas(masked, replicas)
    with pytest.raises(DataError, match="the nominal yield of bin 1 is nan; it must be finite"):
        Histogram.from_replicas(np.array([1.0, np.nan]), replicas)
    with pytest.raises(DataError, match="covariance: holds complex numbers"):
        Histogram(np.ones(2), np.eye(2) * 1j)
    with pytest.raises(DataError, match=r"covariance has shape \(3, 3\); it does not fit 2 bins"):
        Histogram(np.ones(2), np.eye(3))
    with pytest.raises(DataError, match=r"nominal yields have shape \(1, 2\); they must have one"):
        Histogram(np.ones((1, 2)), np.eye(2))
    # A mask that hides nothing is no trouble.
    plain = Histogram.from_replicas(np.ma.array([1.0, 2.0]), np.ma.array(replicas))
    assert plain.covariance.tolist() == [[2, -4], [-4, 8]]
    assert not isinstance(plain.nominal, np.ma.MaskedArray)


def test_a_negative_number_of_variations_is_refused() -> None:
    histogram = Histogram(np.ones(3), np.eye(3))
    assert histogram.eigenvariations(0) == []
    assert len(histogram.eigenvariations(9)) == 3
    with pytest.raises(DataError, match="eigenvariations: -1 were asked for; ask for 0 or more"):
        histogram.eigenvariations(-1)
