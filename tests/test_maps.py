"""Binned maps: counted by hand, empty bins, out of range, on disk. Other kinds are in test_map_kinds.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from conftest import make_jets
from truthtag.data.axes import check_edges
from truthtag.data.files import write_frame
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.bins import Bins
from truthtag.estimators.maps import COLUMNS, BinnedMap, fit_map, read_map, write_map

PT, ETA = [20.0, 100.0, 600.0], [-2.5, 0.0, 2.5]


def by_hand(**changes: Any) -> Jets:
    """Five b jets in events of one: two in the first bin, one of them tagged; three in the last, all tagged."""
    columns = {
        "pt": np.array([50.0, 60.0, 200.0, 300.0, 600.0]),
        "eta": np.array([-1.0, -2.0, 1.0, 2.0, 2.5]),
        "flavour": np.full(5, 5),
        "is_tagged": np.array([True, False, True, True, True]),
    }
    return make_jets([1] * 5, **(columns | changes))


def test_counts_by_hand() -> None:
    fitted = BinnedMap.fit(by_hand(), PT, ETA, "error", 0.68)
    assert fitted.total.tolist() == [[[2, 0], [0, 3]]]
    assert fitted.tagged.tolist() == [[[1, 0], [0, 3]]]
    # Empty bins take the efficiency of their pT bin.
    assert fitted.values.tolist() == [[[0.5, 0.5], [1.0, 1.0]]]
    assert fitted.efficiency(by_hand()).tolist() == [0.5, 0.5, 1.0, 1.0, 1.0]
    low, high = fitted.interval()
    assert (low[0, 0, 1], high[0, 0, 1]) == (0, 1)
    assert high[0, 1, 1] == 1
    # Clopper and Pearson for 3 of 3: the lower end p has p^3 = (1 - coverage) / 2.
    assert low[0, 1, 1] ** 3 == pytest.approx(0.16)


def test_an_empty_row_takes_the_efficiency_of_its_flavour() -> None:
    fitted = BinnedMap.fit(by_hand(), [20.0, 100.0, 150.0, 600.0], ETA, "error", 0.68)
    assert fitted.values[0, 1].tolist() == [0.8, 0.8]


@given(st.integers(0, 60), st.integers(0, 60), st.floats(0.5, 0.95))
def test_intervals_cover_the_estimate_and_at_least_the_coverage(
    tagged: int, others: int, coverage: float
) -> None:
    total = tagged + others
    one = np.array([[[total]]])
    fitted = BinnedMap(
        Bins((5,), np.array([0.0, 1.0]), np.array([0.0, 1.0]), "clamp"),
        np.array([[[tagged]]]),
        one,
        coverage,
    )
    low, high = (float(end[0, 0, 0]) for end in fitted.interval())
    assert 0 <= low <= fitted.values[0, 0, 0] <= high or total == 0
    if 0 < tagged < total:
        assert binom.sf(tagged - 1, total, low) == pytest.approx((1 - coverage) / 2, rel=1e-6)
        assert binom.cdf(tagged, total, high) == pytest.approx((1 - coverage) / 2, rel=1e-6)


def test_a_jet_below_the_first_edge_gets_the_first_bin_not_the_last() -> None:
    fitted = BinnedMap.fit(by_hand(), PT, ETA, "clamp", 0.68)
    outside = by_hand(
        pt=np.array([5.0, 5.0, 5.0, 5.0, 9000.0]), eta=np.array([-9.0, -3.0, -2.6, -2.5, 9.0])
    )
    assert fitted.efficiency(outside).tolist() == [0.5, 0.5, 0.5, 0.5, 1.0]


def test_out_of_range_can_be_refused() -> None:
    fitted = BinnedMap.fit(by_hand(), PT, ETA, "error", 0.68)
    message = r"2 jets lie outside the map's pt axis \[20.0, 600.0\], the first at 5.0. Widen.*outside: clamp"
    with pytest.raises(DataError, match=message):
        fitted.efficiency(by_hand(pt=np.array([5.0, 20.0, 300.0, 600.0, 601.0])))


def test_an_unknown_flavour_is_refused() -> None:
    fitted = BinnedMap.fit(by_hand(), PT, ETA, "clamp", 0.68)
    with pytest.raises(
        DataError, match=r"fitted to the flavours \[5\], a jet has 4 \(1 such jets\)"
    ):
        fitted.efficiency(by_hand(flavour=np.array([5, 4, 5, 5, 5])))


def test_an_untagged_sample_is_refused() -> None:
    with pytest.raises(DataError, match="no column 'is_tagged': a map is fitted to tags"):
        BinnedMap.fit(by_hand(is_tagged=None), PT, ETA, "clamp", 0.68)


def test_write_and_read_is_the_identity(
    few: Jets, default_config: dict[str, Any], tmp_path: Path
) -> None:
    fitted = fit_map(few, default_config["maps"]["map"])
    write_map(fitted, tmp_path / "map.parquet", {})
    again = read_map(tmp_path / "map.parquet")
    frame = pd.read_parquet(tmp_path / "map.parquet")
    assert tuple(frame.columns) == COLUMNS
    assert len(frame) == 19 * 10 * 3
    assert np.array_equal(again.efficiency(few), fitted.efficiency(few))
    assert (again.bins.outside, again.coverage) == (fitted.bins.outside, fitted.coverage)
    assert frame["total"].sum() == few.n_jets
    # Each jet lies in the bin that its row of the table claims.
    jet = 17
    row = frame[
        (frame["flavour"] == few.flavour[jet])
        & (frame["pt_low"] <= few.pt[jet])
        & (few.pt[jet] < frame["pt_high"])
        & (frame["eta_low"] <= few.eta[jet])
        & (few.eta[jet] < frame["eta_high"])
    ]
    assert row["efficiency"].tolist() == [fitted.efficiency(few)[jet]]


def test_foreign_files_are_refused(
    few: Jets, default_config: dict[str, Any], tmp_path: Path
) -> None:
    fitted = fit_map(few, default_config["maps"]["map"])
    path = tmp_path / "map.parquet"
    metadata = {"map": {"kind": "binned", **fitted.policy}}
    write_frame(fitted.to_frame().rename(columns={"total": "totals"}), path, metadata)
    with pytest.raises(DataError, match=r"column 'total' is missing.*Is it called 'totals' here"):
        read_map(path)
    fitted.to_frame().to_parquet(path)
    with pytest.raises(
        DataError,
        match=r"does not say which of the kinds binned, smoothed, .* it is; fit the map again",
    ):
        read_map(path)


def test_bad_axes_and_policies_are_refused() -> None:
    with pytest.raises(
        ConfigError,
        match=r"pt: edge 2 is 50, not above the edge before it, 100; put them in rising",
    ):
        check_edges([20, 100, 50, 600], "pt")
    with pytest.raises(ConfigError, match=r"pt: \[20\] makes no bin; give at least two edges"):
        check_edges([20], "pt")
    with pytest.raises(ConfigError, match="outside is 'wrap'; allowed are clamp, error"):
        BinnedMap.fit(by_hand(), PT, ETA, "wrap", 0.68)
    with pytest.raises(
        ConfigError,
        match="kind is 'spline'; allowed are binned, smoothed, delta_r, neighbour_product",
    ):
        fit_map(by_hand(), {"kind": "spline"})


def test_closes_on_the_events_it_was_fitted_to(
    sample: Jets, default_config: dict[str, Any]
) -> None:
    fitted = fit_map(sample, default_config["maps"]["map"])
    assert fitted.efficiency(sample).sum() == pytest.approx(sample.is_tagged.sum())
