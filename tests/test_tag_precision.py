"""Probabilities of few tags keep their digits, however near to 1 the efficiencies are."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from truthtag.weights.tag_counts import at_least, tag_probabilities

NEARLY_CERTAIN = [1 - 2.0**-53, 1 - 2.0**-50, 1 - 1e-13, 1 - 1e-9, 0.999]
VALUES = [*NEARLY_CERTAIN, 0.0, 1.0, 1e-30, 1e-16, 1e-9, 0.3, 0.5]


def exact(efficiencies: list[float]) -> list[Fraction]:
    """The same recurrence in exact fractions."""
    probability = [Fraction(1)]
    for value in efficiencies:
        eff = Fraction(value)
        without = [(1 - eff) * p for p in probability] + [Fraction(0)]
        tagged = [Fraction(0)] + [eff * p for p in probability]
        probability = [a + b for a, b in zip(without, tagged, strict=True)]
    return probability


def relative_errors(found: np.ndarray, expected: list[Fraction]) -> list[float]:
    return [
        float(abs(Fraction(float(one)) - true) / true) if true else float(one)
        for one, true in zip(found, expected, strict=True)
    ]


@given(st.lists(st.one_of(st.sampled_from(VALUES), st.floats(0.001, 1)), max_size=8))
def test_every_probability_has_all_its_digits(efficiencies: list[float]) -> None:
    found = tag_probabilities(np.array(efficiencies, dtype=float))
    expected = exact(efficiencies)
    # Each jet adds three roundings at most.
    allowed = 3 * (len(efficiencies) + 1) * 2.0**-53
    assert max(relative_errors(found, expected)) <= allowed
    sums = [sum(expected[k:], Fraction(0)) for k in range(len(expected))]
    assert max(relative_errors(at_least(found), sums)) <= 2 * allowed


@pytest.mark.parametrize("value", NEARLY_CERTAIN)
def test_no_tag_among_jets_that_are_nearly_always_tagged(value: float) -> None:
    found = tag_probabilities(np.full(5, value))
    assert found[0] == pytest.approx((1 - value) ** 5, rel=1e-15)
    assert found[1] == pytest.approx(5 * value * (1 - value) ** 4, rel=1e-15)
