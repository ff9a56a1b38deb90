"""Checks of arrays that a user gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from truthtag.arrays import in_unit_interval, jet_mask, per_jet, plain_array, probabilities
from truthtag.errors import DataError


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ma.array([1.0, 2.0], mask=[True, False]), "x: 1 of its entries are masked"),
        ([1j, 2], r"x: holds complex numbers \(complex128\); give real numbers"),
        ([[1.0], [2.0, 3.0]], "x: its rows differ in length; a row per jet is wanted"),
        (pd.Series([[1.0], [2.0]]), "x: each row holds a list; a row per jet is wanted"),
        (np.array([1.0, None]), "x: holds Python objects .float: 1.0., not numbers"),
    ],
)
def test_arrays_that_hold_no_plain_values_are_refused(values: Any, message: str) -> None:
    for check in (per_jet, probabilities):
        with pytest.raises(DataError, match=message):
            check(values, 2, "x")


def test_arrays_without_a_masked_entry_and_columns_of_frames_are_fine() -> None:
    assert plain_array(np.ma.array([1.0, 2.0]), "x").tolist() == [1, 2]
    assert type(plain_array(np.ma.array([1.0, 2.0]), "x")) is np.ndarray
    assert per_jet(pd.Series([1, 2]), 2, "x").tolist() == [1, 2]
    assert probabilities(pd.Series([0, 1]), 2, "x").dtype == np.float64
    assert jet_mask(pd.Series([True, False]), 2, "x").tolist() == [True, False]
    assert probabilities([], 0, "x").shape == (0,)


def test_the_first_value_that_is_no_probability_is_named() -> None:
    message = r"x is 1.5; it must lie in \[0, 1\] \(position 2, 2 such values\)"
    with pytest.raises(DataError, match=message):
        probabilities([0.0, 1.0, 1.5, -1.0], 4, "x")
    with pytest.raises(DataError, match=r"x is nan; .*position \(1, 0\), 1 such values"):
        in_unit_interval(np.array([[0.0, 1.0], [np.nan, 0.5]]), "x")
    with pytest.raises(DataError, match="x: holds <U1 values; probabilities are numbers"):
        probabilities(["a"], 1, "x")


def test_masks_are_truth_values_of_each_jet() -> None:
    with pytest.raises(DataError, match="x: holds int64 values; give True or False for each jet"):
        jet_mask([0, 1], 2, "x")
    with pytest.raises(DataError, match=r"x has shape \(1,\); it must have one value per jet"):
        jet_mask([True], 2, "x")
