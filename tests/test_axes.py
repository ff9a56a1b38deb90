"""Which bin a value is in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from truthtag.data.axes import bin_index, check_edges
from truthtag.errors import ConfigError, DataError

EDGES = [-2.4, -0.8, 0.0, 0.8, 2.4]


def test_a_low_edge_is_inside_and_the_last_bin_is_closed() -> None:
    values = [-2.5, -2.4, -0.8, -0.1, 0.0, 0.8, 2.4, 2.5]
    assert bin_index(values, EDGES).tolist() == [-1, 0, 1, 1, 2, 3, 3, 4]
    assert bin_index(np.array([-np.inf, np.inf]), EDGES).tolist() == [-1, 4]
    assert bin_index(np.array([0.5, np.inf]), [0, 1, np.inf]).tolist() == [0, 1]


def test_a_stored_float_on_an_edge_is_on_that_edge() -> None:
    # The float32 next to 2.4 is above it, that next to 0.8 too: they stand for these edges.
    assert float(np.float32(2.4)) > 2.4
    stored = np.array(EDGES, dtype=np.float32)
    assert bin_index(stored, EDGES).tolist() == [0, 1, 2, 3, 3]
    assert bin_index(stored.astype(np.float64), EDGES).tolist() == [-1, 0, 2, 3, 4]


@given(st.lists(st.floats(-3, 3, width=32), min_size=1), st.booleans())
def test_bins_hold_what_lies_between_their_edges(values: list[float], single: bool) -> None:
    kind = np.float32 if single else np.float64
    array = np.array(values, dtype=kind)
    edges = np.array(EDGES).astype(kind)
    index = bin_index(array, EDGES)
    inside = (index >= 0) & (index < 4)
    assert np.array_equal(inside, (array >= edges[0]) & (array <= edges[-1]))
    assert np.all(edges[index[inside]] <= array[inside])
    assert np.all(array[inside] <= edges[index[inside] + 1])


def test_what_is_no_number_is_in_no_bin() -> None:
    with pytest.raises(DataError, match=r"eta is nan at position 1 \(1 such values\)"):
        bin_index(np.array([0.0, np.nan]), EDGES, "eta")
    with pytest.raises(DataError, match="value: 1 of its entries are masked"):
        bin_index(np.ma.array([0.0, 1.0], mask=[0, 1]), EDGES)
    with pytest.raises(DataError, match="value: holds <U1 values"):
        bin_index(np.array(["a"]), EDGES)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([0, float("nan"), 1], "pt: edge 1 is nan; only the last edge may be infinite"),
        ([float("-inf"), 0, 1], "pt: edge 0 is -inf; only the last"),
        ([0, float("inf"), float("inf")], "pt: edge 1 is inf; only the last"),
        ([0, 2, 1], "pt: edge 2 is 1, not above the edge before it, 2"),
        ([1, 1], "pt: edge 1 is 1, not above"),
    ],
)
def test_edges_that_make_no_axis_are_refused(edges: list[float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_edges(edges, "pt")
    check_edges([0, 1, float("inf")], "pt")
