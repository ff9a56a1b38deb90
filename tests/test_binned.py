"""Binned maps: counted by hand, empty bins, values on edges, out of range, on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from estimator_kinds import fit
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from conftest import make_jets
from truthtag.data.axes import check_edges
from truthtag.data.files import write_frame
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.binned import COLUMNS, BinnedMap
from truthtag.estimators.bins import Bins, tags_of

PT, ETA = [20.0, 100.0, 600.0], [-2.5, 0.0, 2.5]


def by_hand(**changes: Any) -> Jets:
    """Five b jets, each alone: one of two tagged in the first bin, three of three in the last."""
    columns = {
        "pt": np.array([50.0, 60.0, 200.0, 300.0, 600.0]),
        "eta": np.array([-1.0, -2.0, 1.0, 2.0, 2.5]),
        "flavour": np.full(5, 5),
        "is_tagged": np.array([True, False, True, True, True]),
    }
    return make_jets([1] * 5, **(columns | changes))


def fit_by_hand(jets: Jets, outside: str, **changes: Any) -> BinnedMap:
    return fit("binned", jets, **{"pt": PT, "eta": ETA, "outside": outside, **changes})


def test_counts_by_hand() -> None:
    fitted = fit_by_hand(by_hand(), "error")
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
    fitted = fit_by_hand(by_hand(), "error", pt=[20.0, 100.0, 150.0, 600.0])
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
    fitted = fit_by_hand(by_hand(), "clamp")
    outside = by_hand(
        pt=np.array([5.0, 5.0, 5.0, 5.0, 9000.0]), eta=np.array([-9.0, -3.0, -2.6, -2.5, 9.0])
    )
    assert fitted.efficiency(outside).tolist() == [0.5, 0.5, 0.5, 0.5, 1.0]


def test_out_of_range_can_be_refused() -> None:
    fitted = fit_by_hand(by_hand(), "error")
    message = (
        r"2 jets lie outside the map's pt axis \[20.0, 600.0\], the first at 5.0. Widen.*clamp"
    )
    with pytest.raises(DataError, match=message):
        fitted.efficiency(by_hand(pt=np.array([5.0, 20.0, 300.0, 600.0, 601.0])))


def test_an_unknown_flavour_is_refused() -> None:
    fitted = fit_by_hand(by_hand(), "clamp")
    with pytest.raises(
        DataError, match=r"fitted to the flavours \[5\], a jet has 4 \(1 such jets\)"
    ):
        fitted.efficiency(by_hand(flavour=np.array([5, 4, 5, 5, 5])))


def test_an_untagged_sample_is_refused() -> None:
    with pytest.raises(DataError, match="no column 'is_tagged': a map is fitted to tags"):
        fit_by_hand(by_hand(is_tagged=None), "clamp")


def test_write_and_read_is_the_identity(few: Jets, tmp_path: Path) -> None:
    fitted = fit("binned", few)
    fitted.save(tmp_path / "map.parquet", {})
    again = BinnedMap.load(tmp_path / "map.parquet")
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


def test_foreign_files_are_refused(few: Jets, tmp_path: Path) -> None:
    fitted = fit("binned", few)
    path = tmp_path / "map.parquet"
    metadata = {"estimator": {"kind": "binned", "settings": fitted.settings}}
    write_frame(fitted.to_frame().rename(columns={"total": "totals"}), path, metadata)
    with pytest.raises(DataError, match=r"column 'total' is missing.*Is it called 'totals' here"):
        BinnedMap.load(path)
    fitted.to_frame().to_parquet(path)
    with pytest.raises(
        DataError,
        match=r"does not say which of the kinds binned, smoothed, .* it is; fit the map again",
    ):
        BinnedMap.load(path)


def test_bad_axes_and_policies_are_refused() -> None:
    with pytest.raises(
        ConfigError,
        match=r"pt: edge 2 is 50, not above the edge before it, 100; put them in rising",
    ):
        check_edges([20, 100, 50, 600], "pt")
    with pytest.raises(ConfigError, match=r"pt: \[20\] makes no bin; give at least two edges"):
        check_edges([20], "pt")
    with pytest.raises(ConfigError, match="outside is 'wrap'; allowed are clamp, error"):
        Bins((5,), np.array(PT), np.array(ETA), "wrap")
    for edges in ([20.0, np.nan], [-np.inf, 20.0], [20.0, np.inf, np.inf]):
        with pytest.raises(ConfigError, match=r"pt_edges: edge \d is (nan|-inf|inf)"):
            Bins((5,), np.array(edges), np.array(ETA), "clamp")


def test_closes_on_the_events_it_was_fitted_to(sample: Jets) -> None:
    fitted = fit("binned", sample)
    assert fitted.efficiency(sample).sum() == pytest.approx(sample.is_tagged.sum())


# ---- values on edges, and values that are none


def test_values_on_edges_follow_one_rule() -> None:
    """A jet on an edge is in the bin that begins there; the last bin is closed at its upper end."""
    bins = Bins((5,), np.array([20.0, 100.0, 600.0]), np.array([-2.5, 0.0, 2.5]), "error")
    _, pt, eta = bins.index(
        by_hand(
            pt=np.array([20.0, 99.9, 100.0, 600.0, 30.0]),
            eta=np.array([-2.5, -0.1, 0.0, 2.5, 0.1]),
        )
    )
    assert pt.tolist() == [0, 0, 1, 1, 0]
    assert eta.tolist() == [0, 0, 1, 1, 1]


def test_a_float32_on_the_last_edge_is_inside() -> None:
    """float32(2.4) is above 2.4, yet a jet at 2.4 is stored so; likewise at the lower end."""
    eta = np.array([-2.4, 2.4, 0.0, -1.0, 1.0], dtype=np.float32)
    assert float(eta[1]) > 2.4
    fitted = fit_by_hand(by_hand(eta=eta), "error", eta=[-2.4, 0.0, 2.4])
    assert fitted.total.sum() == 5
    beyond = np.nextafter(eta, np.float32(9)) * np.array([0, 1, 0, 0, 0], dtype=np.float32)
    with pytest.raises(DataError, match=r"1 jets lie outside the map's eta axis \[-2.4, 2.4\]"):
        fitted.efficiency(by_hand(eta=beyond))


def test_the_last_edge_may_be_infinite(tmp_path: Path) -> None:
    fitted = fit_by_hand(by_hand(), "error", pt=[20.0, 100.0, np.inf])
    far = by_hand(pt=np.array([50.0, 60.0, 200.0, 300.0, 5000.0]))
    assert fitted.efficiency(far).tolist() == [0.5, 0.5, 1.0, 1.0, 1.0]
    fitted.save(tmp_path / "map.parquet", {})
    again = BinnedMap.load(tmp_path / "map.parquet")
    assert again.bins.pt_edges.tolist() == [20.0, 100.0, np.inf]
    assert np.array_equal(again.efficiency(far), fitted.efficiency(far))


class Unchecked:
    """Jets that nothing has checked, as a program that goes around the checks might make."""

    def __init__(self, jets: Jets, **changes: Any) -> None:
        self.jets, self.changes = jets, changes

    def __getattr__(self, name: str) -> Any:
        return self.changes[name] if name in self.changes else getattr(self.jets, name)


@pytest.mark.parametrize("kind", ["binned", "smoothed", "nearest_jet"])
@pytest.mark.parametrize("outside", ["clamp", "error"])
def test_nan_is_in_no_bin(kind: str, outside: str, few: Jets) -> None:
    fitted = fit(kind, few, outside=outside)
    for name in ("pt", "eta"):
        values = getattr(few, name).copy()
        values[7] = np.nan
        with pytest.raises(DataError, match=rf"{name} is nan at position 7 .*: it is in no bin"):
            fitted.efficiency(Unchecked(few, **{name: values}))


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (np.array([5, 3, 5, 0, 1]), r"column 'is_tagged' is 5 in row 0; a tag is 0 or 1"),
        (
            np.array([0.0, 1.0, np.nan, 0, 1]),
            r"column 'is_tagged' is nan in row 2; a tag is 0 or 1",
        ),
        (
            np.ma.array([True, True, False, True, True], mask=[0, 1, 0, 0, 0]),
            r"column 'is_tagged': 1 of its entries are masked",
        ),
        (np.array([True, False]), r"column 'is_tagged' has shape \(2,\)"),
    ],
)
def test_tags_are_0_or_1(tags: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        tags_of(Unchecked(by_hand(), is_tagged=tags))


def test_tags_may_be_written_as_numbers() -> None:
    tags = tags_of(Unchecked(by_hand(), is_tagged=np.array([1, 0, 1, 1, 1])))
    assert tags.tolist() == [True, False, True, True, True]


# ---- damaged tables


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.iloc[1:], r"its 3 rows are not the 4 bins that its edges make"),
        (lambda frame: pd.concat([frame, frame.iloc[:1]]), r"its 5 rows are not the 4 bins"),
        (lambda frame: frame.assign(pt_high=frame["pt_high"] + 1), r"its 4 rows are not the 4"),
        (lambda frame: frame.assign(pt_low=np.nan), r"pt_edges: "),
        (lambda frame: frame.assign(tagged=-1), r"-1 of \d jets are tagged in row 0, which cannot"),
        (lambda frame: frame.assign(tagged=frame["total"] + 1), r"\d of \d jets are tagged in row"),
        (
            lambda frame: frame.assign(total=0.5),
            r"columns 'tagged' and 'total' are int64 and float64",
        ),
    ],
)
def test_a_damaged_table_is_refused(change: Any, message: str, tmp_path: Path) -> None:
    fitted = fit_by_hand(by_hand(), "clamp")
    path = tmp_path / "map.parquet"
    metadata = {"estimator": {"kind": "binned", "settings": fitted.settings}}
    write_frame(change(fitted.to_frame()), path, metadata)
    with pytest.raises(DataError, match=rf"map\.parquet: cannot be read as .* \({message}"):
        BinnedMap.load(path)


@pytest.mark.parametrize("settings", [{}, {"outside": "wrap", "coverage": 0.68}, {"coverage": 1}])
def test_damaged_settings_are_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "map.parquet"
    metadata = {"estimator": {"kind": "binned", "settings": settings}}
    write_frame(fit_by_hand(by_hand(), "clamp").to_frame(), path, metadata)
    with pytest.raises(DataError, match=r"map\.parquet: cannot be read as an estimator of kind"):
        BinnedMap.load(path)
