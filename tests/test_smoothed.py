"""Smoothed maps: by hand, without smoothing, at the edges, where there are no jets."""

from __future__ import annotations

import math

import numpy as np
import pytest
from estimator_kinds import b_jets, fit
from hypothesis import given
from hypothesis import strategies as st

from conftest import make_jets
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError
from truthtag.estimators.bins import Bins
from truthtag.estimators.smoothed import SmoothedMap, Smoothing


def smooth_by_hand(sigma: float) -> SmoothedMap:
    """Two pT bins of 100 GeV: one of two jets tagged in the first, three of three in the second."""
    jets = b_jets(
        [1] * 5, pt=[50.0, 60.0, 120.0, 150.0, 199.0], is_tagged=[True, False, True, True, True]
    )
    return fit(
        "smoothed",
        jets,
        pt={"bins": 2, "low": 0.0, "high": 200.0},
        eta={"bins": 1, "low": -1.0, "high": 1.0},
        smoothing={"pt": sigma, "eta": 0.0},
    )


def test_smoothing_by_hand() -> None:
    fitted = smooth_by_hand(100.0)
    # A neighbouring bin, one width away, counts exp(-1/2) as much.
    share = math.exp(-0.5)
    first, second = (1 + 3 * share) / (2 + 3 * share), (share + 3) / (2 * share + 3)
    assert fitted.values.ravel() == pytest.approx([first, second])
    # Between the centres at 50 and 150 GeV linearly, beyond them flat.
    at = b_jets([1] * 5, pt=[1.0, 50.0, 75.0, 150.0, 200.0])
    assert fitted.efficiency(at) == pytest.approx(
        [first, first, 0.75 * first + 0.25 * second, second, second]
    )


def test_a_width_of_zero_does_not_smooth(few: Jets) -> None:
    smoothed = fit("smoothed", few, smoothing={"pt": 0.0, "eta": 0.0})
    binned = fit("binned", few)
    assert np.array_equal(smoothed.values[binned.total > 0], binned.values[binned.total > 0])


@given(st.floats(0, 300), st.floats(0, 3), st.integers(0, 100))
def test_a_constant_efficiency_stays_constant_up_to_the_edges(
    pt: float, eta: float, seed: int
) -> None:
    jets = make_jets([40], seed, flavour=np.full(40, 5), is_tagged=np.ones(40, dtype=bool))
    # Each jet twice, once tagged and once not.
    twice = make_jets(
        [80],
        **{name: np.repeat(getattr(jets, name), 2) for name in ("pt", "eta", "flavour")},
        is_tagged=np.arange(80) % 2 == 0,
    )
    fitted = fit("smoothed", twice, smoothing={"pt": pt, "eta": eta})
    np.testing.assert_allclose(fitted.values, 0.5)


def test_where_there_are_no_jets_the_flavour_has_its_mean() -> None:
    jets = b_jets([1] * 4, pt=[25.0, 25.0, 25.0, 35.0], is_tagged=[True, False, True, True])
    fitted = fit(
        "smoothed",
        jets,
        pt={"bins": 58, "low": 20.0, "high": 600.0},
        eta={"bins": 1, "low": -1.0, "high": 1.0},
        smoothing={"pt": 10.0, "eta": 0.0},
    )
    assert fitted.efficiency(b_jets([1], pt=[500.0])) == pytest.approx(0.75)


def by_hand(pt_edges: list[float]) -> SmoothedMap:
    bins = Bins((5,), np.array(pt_edges), np.array([-1.0, 1.0]), "clamp")
    counts = np.ones(bins.shape, dtype=np.int64)
    return SmoothedMap(bins, counts, counts, Smoothing(pt=1.0, eta=1.0))


def test_smoothing_needs_bins_of_one_width() -> None:
    with pytest.raises(
        ConfigError, match=r"pt: the bins of a smoothed map must be of one width, .* 30 to 50; give"
    ):
        by_hand([20.0, 50.0, 100.0])
    with pytest.raises(ConfigError, match=r"pt: the bins of a smoothed map must be of one width"):
        by_hand([20.0, 50.0, np.inf])
