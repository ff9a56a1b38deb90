"""Weighted maps: by hand, what weights of 1 and units do, negative ones, intervals, on disk."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from estimator_kinds import OPTIONS, SEED, b_jets, class_of, fit, options_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from conftest import make_jets
from truthtag.data.files import read_metadata, write_frame
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.binned import COLUMNS, BinnedMap
from truthtag.estimators.bins import Bins
from truthtag.estimators.counts import Counts, Entries, Tally, check_counts, weights_of
from truthtag.estimators.ensemble import Ensemble, load
from truthtag.estimators.resampling import fit_replicas
from truthtag.estimators.table_file import load_replicas, save_replicas

every_kind = pytest.mark.parametrize("kind", OPTIONS)
kinds_in_bins = pytest.mark.parametrize("kind", ["binned", "smoothed", "nearest_jet"])
ONE_BIN: dict[str, Any] = {"pt": [20.0, 100.0], "eta": [-1.0, 1.0], "weights": "use"}


def weighted(weight: list[float], is_tagged: list[bool], **columns: list[Any]) -> Jets:
    """Make b jets of these weights, each alone."""
    size = len(weight)
    return b_jets([1] * size, is_tagged=is_tagged, **columns).with_columns(weight=np.array(weight))


def with_weights(jets: Jets, how: Any, seed: int = 3) -> Jets:
    """Give events of a sample weights, drawn at random by a function of generator and size."""
    rng = np.random.default_rng(seed)
    return jets.with_columns(weight=np.asarray(how(rng, jets.n_events), dtype=float))


def positive(rng: np.random.Generator, size: int) -> Any:
    return rng.uniform(0.2, 3.0, size)


def mixed(rng: np.random.Generator, size: int) -> Any:
    """Weights as a generator at next-to-leading order has them: one size, a fifth negative."""
    return 0.37 * np.where(rng.random(size) < 0.2, -1, 1)


# ---- counting


def slow_counts(bins: Bins, jets: Jets, weights: np.ndarray) -> dict[tuple[int, ...], list[float]]:
    """Tagged, all, number and squares, a jet at a time, as a textbook has it."""
    found: dict[tuple[int, ...], list[float]] = {}
    for jet in range(jets.n_jets):
        pt = np.flatnonzero(bins.pt_edges <= jets.pt[jet])[-1]
        eta = np.flatnonzero(bins.eta_edges <= jets.eta[jet])[-1]
        place = (bins.flavours.index(jets.flavour[jet]), int(pt), int(eta))
        sums = found.setdefault(place, [0.0, 0.0, 0, 0.0])
        sums[0] += weights[jet] * bool(jets.is_tagged[jet])
        sums[1] += weights[jet]
        sums[2] += 1
        sums[3] += weights[jet] ** 2
    return found


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_sums_equal_the_slow_version(seed: int) -> None:
    jets = make_jets([3, 1, 0, 4] * 20, seed)
    bins = Bins((0, 4, 5), np.linspace(20, 600, 4), np.linspace(-2, 2, 6), "error")
    counted = bins.count([jets], "ignore")[0]
    summed = bins.count([jets], "use")[0]
    assert counted.entries is None
    assert counted.tagged.dtype == counted.total.dtype == np.int64
    assert summed.entries is not None
    expected = slow_counts(bins, jets, jets.per_jet("weight"))
    for place in np.ndindex(*bins.shape):
        tagged, total, number, squares = expected.get(place, [0.0, 0.0, 0, 0.0])
        assert summed.tagged[place] == pytest.approx(tagged)
        assert summed.total[place] == pytest.approx(total)
        assert summed.entries.squares[place] == pytest.approx(squares)
        assert summed.entries.jets[place] == counted.total[place] == number
    ones = slow_counts(bins, jets, np.ones(jets.n_jets))
    for place, (tagged, *_) in ones.items():
        assert counted.tagged[place] == tagged


def test_weighted_bins_by_hand() -> None:
    jets = weighted([1.0, 3.0, 2.0, 5.0], [True, False, True, True], pt=[50, 50, 50, 150])
    fitted = fit("binned", jets, pt=[20.0, 100.0, 200.0, 300.0], eta=[-1.0, 1.0], weights="use")
    assert fitted.tagged.ravel().tolist() == [3.0, 5.0, 0.0]
    assert fitted.total.ravel().tolist() == [6.0, 5.0, 0.0]
    assert fitted.entries.jets.ravel().tolist() == [3, 1, 0]
    assert fitted.entries.squares.ravel().tolist() == [14.0, 25.0, 0.0]
    # The empty bin takes the efficiency of the flavour.
    assert fitted.values.ravel().tolist() == pytest.approx([0.5, 1.0, 8 / 11])
    low, high = fitted.interval()
    # 36 / 14 effective jets, half of them tagged.
    n = 36 / 14
    k = n / 2
    assert low[0, 0, 0] == pytest.approx(beta.ppf(0.16, k, n - k + 1))
    assert high[0, 0, 0] == pytest.approx(beta.ppf(0.84, k + 1, n - k))
    # One effective jet, tagged: the lower end p has p = (1 - coverage) / 2.
    assert (low[0, 1, 0], high[0, 1, 0]) == (pytest.approx(0.16), 1.0)
    assert (low[0, 2, 0], high[0, 2, 0]) == (0.0, 1.0)
    turned = jets.with_columns(weight=-jets.weight)
    absolute = fit("binned", turned, **(ONE_BIN | {"weights": "absolute"}))
    assert absolute.values.ravel().tolist() == pytest.approx([8 / 11])


def test_weights_that_count_each_jet_once() -> None:
    jets = make_jets([2, 1])
    assert weights_of(jets, "ignore") is None
    assert weights_of(jets.with_columns(weight=np.ones(2)), "use") is None
    assert weights_of(jets.with_columns(weight=-np.ones(2)), "absolute") is None
    given_ = jets.with_columns(weight=np.array([2.0, -3.0]))
    assert weights_of(given_, "use").tolist() == [2.0, 2.0, -3.0]
    assert weights_of(given_, "absolute").tolist() == [2.0, 2.0, 3.0]


# ---- what holds for every kind


@every_kind
def test_weights_of_one_are_none(kind: str, few: Jets, tmp_path: Path) -> None:
    """The same numbers and the same file, to the last byte."""
    assert (few.weight == 1).all()
    for how in ("use", "ignore", "absolute"):
        fit(kind, few, weights=how).save(tmp_path / f"{how}.parquet", {})
    files = {(tmp_path / f"{how}.parquet").read_bytes() for how in ("use", "ignore", "absolute")}
    assert len(files) == 1


@every_kind
def test_the_unit_of_the_weights_does_not_matter(kind: str, few: Jets) -> None:
    jets = with_weights(few, positive)
    for factor in (2.0**-40, 3.7e4):
        scaled = jets.with_columns(weight=factor * jets.weight)
        fitted = fit(kind, jets, weights="use")
        again = fit(kind, scaled, weights="use")
        np.testing.assert_allclose(again.efficiency(few), fitted.efficiency(few), rtol=1e-6)
        if kind == "binned":
            np.testing.assert_allclose(again.interval(), fitted.interval(), rtol=1e-9)
        if kind == "parametric":
            np.testing.assert_allclose(again.errors, fitted.errors, rtol=1e-4)


@every_kind
def test_ignored_weights_do_not_matter(kind: str, few: Jets) -> None:
    jets = with_weights(few, mixed)
    ignored = fit(kind, jets, weights="ignore").efficiency(few)
    assert np.array_equal(ignored, fit(kind, few).efficiency(few))
    assert not np.array_equal(ignored, fit(kind, jets, weights="use").efficiency(few))


@every_kind
def test_absolute_weights_have_no_sign(kind: str, few: Jets) -> None:
    """Weights of one size and any sign: as if they were not there."""
    absolute = fit(kind, with_weights(few, mixed), weights="absolute").efficiency(few)
    np.testing.assert_allclose(absolute, fit(kind, few).efficiency(few), rtol=1e-6, atol=1e-9)


@every_kind
def test_the_order_of_events_does_not_matter(kind: str, few: Jets) -> None:
    # Leaves of few jets, some of a negative weight, hold anything.
    jets = with_weights(few, positive if kind == "trees" else mixed)
    order = np.random.default_rng(1).permutation(jets.n_events)
    fitted, again = fit(kind, jets, weights="use"), fit(kind, jets.take(order), weights="use")
    tolerance = {"parametric": 0.02, "additive": 0.02, "trees": 0.3}.get(kind, 1e-9)
    np.testing.assert_allclose(again.efficiency(few), fitted.efficiency(few), atol=tolerance)


@pytest.mark.parametrize("kind", ["binned", "smoothed", "nearest_jet", "parametric"])
def test_a_weight_of_three_is_an_event_three_times(kind: str, few: Jets) -> None:
    rng = np.random.default_rng(2)
    times = rng.integers(1, 4, few.n_events)
    jets = few.with_columns(weight=times.astype(float))
    repeated = few.take(np.repeat(np.arange(few.n_events), times))
    fitted, again = fit(kind, jets, weights="use"), fit(kind, repeated)
    # The fit begins elsewhere, and ends within a small fraction of its errors.
    tolerance = 0.02 if kind == "parametric" else 1e-9
    np.testing.assert_allclose(fitted.efficiency(few), again.efficiency(few), atol=tolerance)


@every_kind
@pytest.mark.parametrize("how", [positive, mixed])
def test_weighted_fits_close_in_the_weighted_sum(kind: str, how: Any, sample: Jets) -> None:
    jets = with_weights(sample.first(8000), how)
    eff = fit(kind, jets, weights="use").efficiency(jets)
    assert ((eff >= 0) & (eff <= 1)).all()
    weight = jets.per_jet("weight")
    for flavour in (5, 4, 0):
        chosen = jets.flavour == flavour
        spread = np.sqrt((weight**2 * eff * (1 - eff))[chosen].sum())
        difference = (weight * (eff - jets.is_tagged))[chosen].sum()
        most = 3 if kind == "trees" else 1.0
        assert abs(difference) < most * spread


def test_weights_that_know_the_tag_are_seen(few: Jets) -> None:
    """A flavour whose tagged events weigh more has a higher weighted efficiency, in every kind."""
    weight = np.where(np.bincount(few.event_of_jet, few.is_tagged) > 0, 4.0, 1.0)
    jets = few.with_columns(weight=weight)
    for kind in OPTIONS:
        plain = fit(kind, jets).efficiency(few).mean()
        assert fit(kind, jets, weights="use").efficiency(few).mean() > plain + 0.01, kind


# ---- errors with weights


def test_errors_of_a_weighted_fit_are_those_of_repeated_samples(sample: Jets) -> None:
    """One parameter that is free in effect: the amplitude, of jets alone in one place."""
    rng = np.random.default_rng(5)
    found = []
    errors = []
    for _ in range(60):
        size = 400
        jets = b_jets([1] * size, is_tagged=(rng.random(size) < 0.6).tolist())
        jets = jets.with_columns(weight=rng.choice([1.0, 10.0], size))
        fitted = fit("parametric", jets, weights="use")
        eff = fitted.efficiency(jets)[0]
        # At the mean pT and eta of 0 nothing but the amplitude counts.
        found.append(eff)
        errors.append(fitted.errors[0, 0])
        assert eff == pytest.approx(np.average(jets.is_tagged, weights=jets.weight), abs=1e-3)
    assert np.std(found) == pytest.approx(np.median(errors), rel=0.35)


def test_equal_weights_give_the_errors_of_counts(few: Jets) -> None:
    plain = fit("parametric", few)
    twice = fit("parametric", few.with_columns(weight=2 * few.weight), weights="use")
    np.testing.assert_allclose(twice.values, plain.values, rtol=1e-6)
    np.testing.assert_allclose(twice.errors, plain.errors, rtol=1e-6)


@given(st.integers(0, 60), st.integers(0, 60), st.floats(0.5, 0.95), st.floats(1e-6, 1e6))
def test_intervals_of_equal_weights_are_those_of_counts(
    tagged: int, others: int, coverage: float, weight: float
) -> None:
    total = tagged + others
    one = np.array([total])
    counted = Counts(np.array([tagged]), one)
    entries = Entries(one, one * weight**2)
    summed = Counts(np.array([tagged * weight]), one * weight, entries)
    np.testing.assert_allclose(summed.interval(coverage), counted.interval(coverage), rtol=1e-7)
    np.testing.assert_allclose(summed.efficiency(0.5), counted.efficiency(0.5))


@given(
    st.lists(st.floats(-3, 3).filter(lambda x: abs(x) > 1e-3), min_size=1, max_size=8),
    st.integers(0, 255),
    st.floats(0.1, 0.95),
)
def test_intervals_contain_the_estimate(weight: list[float], tags: int, coverage: float) -> None:
    jets = weighted(weight, [bool(tags >> i & 1) for i in range(len(weight))])
    fitted = fit("binned", jets, **ONE_BIN, coverage=coverage)
    low, high = (float(end.item()) for end in fitted.interval())
    assert 0 <= low <= fitted.values.item() <= high <= 1


def test_intervals_cover(sample: Jets) -> None:
    """With weights of two sizes, the true efficiency is inside as often as asked, or more."""
    rng = np.random.default_rng(9)
    size, repeats, coverage = 60, 400, 0.6827
    inside = 0
    for _ in range(repeats):
        weight = rng.choice([1.0, 5.0], size)
        is_tagged = rng.random(size) < 0.3
        index = (np.zeros(size, dtype=int),)
        tally = Tally((1,))
        tally.add(index, is_tagged, weight)
        low, high = tally.counts.interval(coverage)
        inside += low[0] <= 0.3 <= high[0]
    spread = np.sqrt(coverage * (1 - coverage) / repeats)
    assert coverage - 3 * spread < inside / repeats < 0.85


# ---- negative weights


def spoilt() -> Jets:
    """Four bins of pT: above 1, below 0, weights that cancel but for rounding, and fine."""
    return weighted(
        [1.0, 1.0, -1.5, -1.0, 3.0, 0.1, 0.2, -0.3, 1.0, 1.0],
        [True, True, False, True, False, True, False, True, True, False],
        pt=[50, 50, 50, 150, 150, 250, 250, 250, 350, 350],
    )


def fit_spoilt(kind: str = "binned", **changes: Any) -> Any:
    axes = {"pt": [20.0, 100.0, 200.0, 300.0, 400.0], "eta": [-1.0, 1.0], "weights": "use"}
    return fit(kind, spoilt(), **(axes | changes))


def test_what_negative_weights_spoil_is_clipped_and_counted(tmp_path: Path) -> None:
    fitted = fit_spoilt()
    assert fitted.counts.clipped.ravel().tolist() == [True, True, False, False]
    assert fitted.counts.cancelled.ravel().tolist() == [False, False, True, False]
    total = 1.0 + 1.0 - 1.5 - 1.0 + 3.0 + 2.0
    tagged = 2.0 - 1.0 + 0.1 - 0.3 + 1.0
    # Filled by the flavour: its own sum is positive.
    assert fitted.values.ravel().tolist() == pytest.approx([1.0, 0.0, tagged / total, 0.5])
    low, high = fitted.interval()
    assert (low[0, 2, 0], high[0, 2, 0]) == (0.0, 1.0)
    text = "4 bins, 0 of them empty, 2 clipped to [0, 1], 1 filled, as their weights do not sum"
    assert fitted.describe().startswith(text)
    fitted.save(tmp_path / "map.parquet", {})
    assert read_metadata(tmp_path / "map.parquet")["notes"] == {"clipped": 2, "cancelled": 1}
    assert fit_spoilt(weights="absolute").notes == {}


def test_what_negative_weights_spoil_after_smoothing_is_counted(tmp_path: Path) -> None:
    axis = {"bins": 4, "low": 0.0, "high": 400.0}
    eta = {"bins": 1, "low": -1.0, "high": 1.0}
    sharp = fit_spoilt("smoothed", pt=axis, eta=eta, smoothing={"pt": 0.0, "eta": 0.0})
    assert sharp.values.ravel().tolist() == pytest.approx(fit_spoilt().values.ravel().tolist())
    assert sharp.notes == {"clipped": 2, "cancelled": 1, "clipped_after_smoothing": 2}
    smooth = fit_spoilt("smoothed", pt=axis, eta=eta, smoothing={"pt": 200.0, "eta": 0.0})
    assert "clipped_after_smoothing" not in smooth.notes
    text = "4 bins smoothed by 200 GeV and 0 in eta, 2 clipped to [0, 1], 1 filled"
    assert smooth.describe().startswith(text)


def test_a_correction_of_negative_weights_is_0_or_1() -> None:
    # All pairs are close: of the tagged jets, those alone weigh -2.
    jets = b_jets([2, 1, 1], eta=[0.0, 0.1, 0.0, 0.0], is_tagged=[True, True, True, False])
    jets = jets.with_columns(weight=np.array([2.0, -2.0, 3.0]))
    fitted = fit("nearest_jet", jets, **ONE_BIN, delta_r=[0.0, 1.0])
    assert fitted.base.values.ravel() == pytest.approx([2 / 5])
    assert fitted.tagged.tolist() == [[4.0, -2.0]]
    assert fitted.expected.tolist() == [pytest.approx([4 * 0.4, 0.4])]
    assert fitted.correction.tolist() == [pytest.approx([2.5, 0.0])]
    assert fitted.efficiency(jets).tolist() == pytest.approx([1.0, 1.0, 0.0, 0.0])
    assert fitted.notes == {"corrections_of_negative_weights": 1}
    assert fitted.describe().endswith("2 bins of Delta R, 1 of them 0 or 1 for negative weights")


def test_a_flavour_whose_weights_cancel_takes_the_efficiency_of_all() -> None:
    jets = weighted([1.0, -1.0, 2.0, 2.0], [True, False, True, False])
    jets = jets.with_columns(flavour=np.array([4, 4, 5, 5]))
    fitted = fit("binned", jets, **ONE_BIN)
    # 1 + 2 of 0 + 4.
    assert fitted.efficiency(jets).tolist() == pytest.approx([0.75, 0.75, 0.5, 0.5])


@pytest.mark.parametrize("kind", ["parametric", "trees"])
def test_fits_need_weights_that_sum_to_more_than_0(kind: str, few: Jets) -> None:
    jets = few.with_columns(weight=-2 * few.weight)
    with pytest.raises(DataError, match=r"sum to -2190, not to more than 0. Set weights: absolu"):
        fit(kind, jets, weights="use")


def test_a_fit_that_negative_weights_spoil_says_so() -> None:
    jets = weighted([1.0, 1.0, 1.0, -1.0], [False, False, False, True], pt=[90, 80, 70, 60])
    with pytest.raises(DataError, match=r"did not converge .* without negative weights: absolute"):
        fit("parametric", jets, weights="use")


# ---- on disk


@every_kind
def test_write_and_read_is_the_identity(kind: str, few: Jets, tmp_path: Path) -> None:
    fitted = fit(kind, with_weights(few, mixed), weights="use")
    fitted.save(tmp_path / "map.parquet", {})
    again = load(tmp_path / "map.parquet")
    assert again.to_frame().equals(fitted.to_frame())
    assert again.settings == fitted.settings
    assert again.describe() == fitted.describe()
    assert np.array_equal(again.efficiency(few), fitted.efficiency(few))


def test_columns_of_weights_come_last() -> None:
    frame = fit_spoilt().to_frame()
    assert tuple(frame.columns) == (*COLUMNS, "jets", "sum_w2")
    assert frame["jets"].dtype == np.int64
    assert frame["tagged"].dtype == frame["sum_w2"].dtype == np.float64


@kinds_in_bins
def test_replicas_with_and_without_weights_share_a_file(kind: str, tmp_path: Path) -> None:
    """Where few events have a weight of their own, a resample may have none of them."""
    jets = make_jets([2] * 40, weight=np.where(np.arange(40) == 7, 2.0, 1.0))
    options = options_of(kind, weights="use")
    written = fit_replicas(class_of(kind), jets, jets, options, 8, SEED)
    assert {one.entries is None for one in written} == {True, False}
    save_replicas(written, tmp_path / "r.parquet", {})
    for before, after in zip(written, load_replicas(tmp_path / "r.parquet"), strict=True):
        assert after.to_frame().equals(before.to_frame())
        assert np.array_equal(after.efficiency(jets), before.efficiency(jets))


@every_kind
def test_replicas_of_weighted_jets(kind: str, few: Jets, tmp_path: Path) -> None:
    jets = with_weights(few, positive)
    options = options_of(kind, weights="use")
    replicas = fit_replicas(class_of(kind), jets, jets, options, 2, SEED)
    save_replicas(replicas, tmp_path / "replicas.parquet", {})
    fit(kind, jets, weights="use").save(tmp_path / "nominal.parquet", {})
    ensemble = load(tmp_path)
    assert isinstance(ensemble, Ensemble)
    assert ensemble.with_replicas(few)[1].shape == (2, few.n_jets)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.assign(sum_w2=-1.0), r"weights of 2 tagged of 0\.5 in all, 3 jets with sq"),
        (lambda f: f.assign(sum_w2=0.01), r"in row 0, which cannot be"),
        (lambda f: f.assign(total=1e3), r"weights of 2 tagged of 1000 in all"),
        (lambda f: f.assign(tagged=np.nan), r"weights of nan tagged"),
        (lambda f: f.assign(jets=-1), r"-1 jets"),
        (lambda f: f.assign(jets=0.5), r"0\.5 jets in row 0, which is no whole number"),
        (lambda f: f.drop(columns="jets"), r"it has only 'sum_w2' of the columns jets, sum_w2"),
        (
            lambda f: f.assign(jets=np.nan, sum_w2=np.nan),
            r"-0\.1999\d* jets in row 2, which is no whole number",
        ),
        (
            lambda f: f.drop(columns=["jets", "sum_w2"]),
            r"columns 'tagged' and 'total' are float64 and float64, not integers",
        ),
    ],
)
def test_damaged_sums_are_refused(change: Any, message: str, tmp_path: Path) -> None:
    fitted = fit_spoilt()
    path = tmp_path / "map.parquet"
    metadata = {"estimator": {"kind": "binned", "settings": fitted.settings}}
    write_frame(change(fitted.to_frame()), path, metadata)
    with pytest.raises(DataError, match=rf"map\.parquet: cannot be read as .*{message}"):
        BinnedMap.load(path)


def test_a_map_and_its_correction_are_weighted_alike(few: Jets, tmp_path: Path) -> None:
    fitted = fit("nearest_jet", with_weights(few, positive), weights="use")
    frame = fitted.to_frame()
    plain = fit("nearest_jet", few).to_frame()
    of_map = frame["delta_r_low"].isna()
    both = pd.concat([frame[of_map], plain[~of_map.to_numpy()]])
    metadata = {"estimator": {"kind": "nearest_jet", "settings": fitted.settings}}
    write_frame(both, tmp_path / "map.parquet", metadata)
    with pytest.raises(DataError, match="of the map and the correction, only one holds sums"):
        load(tmp_path / "map.parquet")


def test_counts_are_integers() -> None:
    check_counts(np.array([1]), np.array([2]))
    with pytest.raises(DataError, match="not integers"):
        check_counts(np.array([1.0]), np.array([2.0]))


@every_kind
def test_other_weights_are_no_option(kind: str) -> None:
    with pytest.raises(ConfigError, match=r"estimators\.mine\.weights: .*'use', 'ignore' or 'abs"):
        options_of(kind, weights="some")
    assert options_of(kind).weights == "ignore"
    assert class_of(kind).options_type.model_fields["weights"].default == "use"


def test_no_word_without_negative_weights(few: Jets, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "truthtag"):
        fitted = fit("binned", with_weights(few, positive), weights="use")
    assert fitted.notes == {}
    assert not caplog.messages
