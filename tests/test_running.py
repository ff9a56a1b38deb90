"""Statistics over blocks: those of all numbers at once, however they are cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from truthtag.statistics.running import PASSES, Moments, Quantiles

PROBABILITY = st.floats(0, 1, allow_nan=False) | st.sampled_from([0.0, -0.0, 0.5, 1.0, 1e-300])


def quantiles(values: np.ndarray, cuts: list[int], fractions: np.ndarray) -> np.ndarray:
    found = Quantiles(fractions)
    for _ in range(PASSES):
        for part in np.split(values, sorted(cuts)):
            found.add(part)
        found.next_pass()
    return found.values


@given(
    values=st.lists(PROBABILITY, min_size=1, max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=3),
    bins=st.integers(1, 12),
)
def test_quantiles_are_those_of_numpy(values: list[float], cuts: list[int], bins: int) -> None:
    numbers = np.array(values)
    fractions = np.linspace(0, 1, bins + 1)
    np.testing.assert_array_equal(
        quantiles(numbers, cuts, fractions), np.quantile(numbers, fractions)
    )


@pytest.mark.parametrize("digits", [2, 4, 16])
def test_quantiles_of_many_numbers(digits: int) -> None:
    values = np.random.default_rng(3).beta(2, 1, 30_000).round(digits)
    fractions = np.linspace(0, 1, 13)
    found = quantiles(values, [100, 20_000], fractions)
    np.testing.assert_array_equal(found, np.quantile(values, fractions))
    single = values.astype(np.float32)
    np.testing.assert_allclose(
        quantiles(single, [7], fractions), np.quantile(single, fractions), rtol=1e-7
    )


@given(
    values=st.lists(st.floats(-1, 1), min_size=1, max_size=30),
    cuts=st.lists(st.integers(0, 30), max_size=3),
    shift=st.sampled_from([0.0, 1e6]),
)
def test_moments_are_those_of_numpy(values: list[float], cuts: list[int], shift: float) -> None:
    rows = np.stack([values, values[::-1]]) + shift
    moments = Moments()
    for part in np.split(rows, sorted(cuts), axis=1):
        moments.add(part)
    np.testing.assert_allclose(moments.mean, rows.mean(axis=1), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(moments.std, rows.std(axis=1), rtol=1e-9, atol=1e-15 * (1 + shift))
