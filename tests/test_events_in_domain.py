"""An event is in the domain where all its jets are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import make_jets
from truthtag.errors import DataError
from truthtag.statistics.domain import events_in_domain


@given(st.lists(st.integers(0, 5), max_size=8), st.integers(0, 100))
def test_equals_the_slow_version(counts: list[int], seed: int) -> None:
    jets = make_jets(counts, seed)
    inside = np.random.default_rng(seed).random(jets.n_jets) < 0.7
    found = events_in_domain(jets, inside)
    assert found.dtype == np.bool_
    bounds = zip(jets.offsets[:-1], jets.offsets[1:], strict=True)
    assert found.tolist() == [bool(inside[first:last].all()) for first, last in bounds]


def test_what_is_no_mask_of_the_jets_is_refused() -> None:
    jets = make_jets([2, 1])
    with pytest.raises(DataError, match="in_domain: holds int64 values; give True or False"):
        events_in_domain(jets, np.array([0, 2]))
    with pytest.raises(DataError, match=r"in_domain has shape \(2,\); it must have one value per"):
        events_in_domain(jets, np.array([True, False]))
