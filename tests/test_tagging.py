"""Probabilities of numbers of tags."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from truthtag.errors import DataError
from truthtag.tagging import tag_probabilities

probabilities = st.floats(0, 1)


@given(probabilities, probabilities)
def test_eq_3(a: float, b: float) -> None:
    expected = [(1 - a) * (1 - b), a * (1 - b) + (1 - a) * b, a * b]
    np.testing.assert_allclose(tag_probabilities(np.array([a, b])), expected, atol=1e-15)


@given(arrays(float, st.tuples(st.integers(1, 4), st.integers(0, 50)), elements=probabilities))
def test_sums_to_one_and_has_the_right_mean(eff: np.ndarray) -> None:
    p = tag_probabilities(eff)
    np.testing.assert_allclose(p.sum(axis=-1), 1, atol=1e-12)
    np.testing.assert_allclose((p * np.arange(p.shape[-1])).sum(axis=-1), eff.sum(axis=-1), atol=1e-10)
    assert np.all(p >= -1e-15)


@given(arrays(float, st.integers(0, 9), elements=probabilities))
def test_equals_enumeration(eff: np.ndarray) -> None:
    expected = np.zeros(len(eff) + 1)
    for tags in itertools.product([0, 1], repeat=len(eff)):
        expected[sum(tags)] += np.prod([e if t else 1 - e for e, t in zip(eff, tags, strict=True)])
    np.testing.assert_allclose(tag_probabilities(eff), expected, atol=1e-12)


def test_certain_and_impossible_tags() -> None:
    assert tag_probabilities(np.array([1.0, 0.0, 1.0])).tolist() == [0, 0, 1, 0]
    assert tag_probabilities(np.zeros(0)).tolist() == [1]


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1])
def test_values_that_are_no_probability_are_refused(bad: float) -> None:
    with pytest.raises(DataError, match=f"an efficiency is {bad}; it must lie in"):
        tag_probabilities(np.array([[0.5, bad]]))
