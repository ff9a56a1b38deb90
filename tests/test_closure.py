"""Closure histograms and their test: by hand, and by their distribution over many toy samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from conftest import make_jets
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.prediction_files import read_prediction, write_prediction
from truthtag.estimators.predictions import Prediction, predict
from truthtag.statistics.closure import ClosureHistogram, Entries
from truthtag.statistics.closure_tests import closure_test, merged_bins
from truthtag.statistics.distributions import dijet
from truthtag.statistics.verdict import closure_table

EDGES = np.linspace(0, 3, 11)
APART = 4.0
"""Toys are filled side by side in one long histogram, each shifted by this much."""


def closure_histogram(entries: Entries, edges: np.ndarray) -> pd.DataFrame:
    """Fill a histogram, and return it as a table."""
    return ClosureHistogram.fill(entries, edges).to_frame()


def table_of(frame: pd.DataFrame) -> pd.DataFrame:
    """Test closure in the histograms of one distribution."""
    return closure_table(frame.assign(distribution="x", title="x", spread="corrected"), 10, 0.01)


def test_histogram_by_hand() -> None:
    entries = Entries(
        values=np.array([0.5, 0.6, 1.5, 7.0]),
        weight=np.array([1.0, -2.0, 1.0, 1.0]),
        passed=np.array([True, True, False, True]),
        probability={"true": np.array([0.5, 0.5, 0.2, 1.0]), "q": np.array([0.5, 0.25, 0.4, 1.0])},
    )
    frame = closure_histogram(entries, np.array([0.0, 1.0, 2.0])).set_index(["filled_by", "low"])
    assert frame.loc["direct", "yield"].tolist() == [-1, 0]
    assert frame.loc["true", "yield"].tolist() == pytest.approx([-0.5, 0.2])
    assert frame.loc["q", "yield"].tolist() == pytest.approx([0, 0.4])
    assert frame.loc["q", "error"].tolist() == pytest.approx([np.sqrt(0.5), 0.4])
    assert frame.loc["q", "difference_variance"].tolist() == pytest.approx(
        [0.25 + 4 * 0.25 * 0.75, 0.4 * 0.6]
    )
    assert frame.loc["q", "ratio"].tolist() == pytest.approx([0, 2])
    # A ratio of yields of the same events: the second bin has one event, its ratio is certain.
    assert frame.loc["q", "ratio_error"].tolist()[1] == pytest.approx(0, abs=1e-12)
    assert frame.loc["true", "ratio_error"].tolist() == [0, 0]
    assert np.isnan(frame.loc["direct", "difference_variance"]).all()


def test_effective_events_and_the_error_of_the_efficiency_by_hand() -> None:
    entries = Entries(
        values=np.array([0.5, 0.5, 1.5]),
        weight=np.array([1.0, 2.0, 3.0]),
        passed=np.array([True, True, False]),
        probability={"true": np.array([0.5, 0.5, 0.5]), "q": np.array([0.8, 0.1, 0.5])},
        replicas={"q": np.array([[0.7, 0.2, 0.5], [0.9, 0.4, 0.5], [0.8, 0.0, 0.5]])},
    )
    frame = closure_histogram(entries, np.array([0.0, 1.0, 2.0, 3.0])).set_index("filled_by")
    direct, true, q = (frame.loc[name] for name in ("direct", "true", "q"))
    # (1 + 2)^2 / (1 + 4), (0.8 + 0.2)^2 / (0.64 + 0.04); one event is worth one, and a bin without
    # events none.
    assert direct["effective_events"].tolist() == pytest.approx([9 / 5, 0, 0])
    assert true["effective_events"].tolist() == pytest.approx([9 / 5, 1, 0])
    assert q["effective_events"].tolist() == pytest.approx([1 / 0.68, 1, 0])
    # Yields by the replicas: 0.7 + 0.4, 0.9 + 0.8, 0.8 + 0; their mean is 1.2.
    assert q[["replica_0", "replica_1", "replica_2"]].to_numpy()[0].tolist() == pytest.approx(
        [1.1, 1.7, 0.8]
    )
    assert q["efficiency_error"].tolist() == pytest.approx(
        [np.sqrt((0.1**2 + 0.5**2 + 0.4**2) / 2), 0, 0]
    )
    # Relative errors: sqrt(5) / 3 by the tags; half of all is as good; sqrt(0.68), and
    # sqrt(0.68 + 0.21) with the replicas.
    assert true["gain"].to_numpy() == pytest.approx([1, np.nan, np.nan], nan_ok=True)
    assert q["gain"].to_numpy() == pytest.approx(
        [np.sqrt(5 / 9 / 0.68), np.nan, np.nan], nan_ok=True
    )
    assert q["gain_total"].to_numpy() == pytest.approx(
        [np.sqrt(5 / 9 / 0.89), np.nan, np.nan], nan_ok=True
    )
    assert direct[["gain", "gain_total"]].isna().all(axis=None)
    for other in (direct, true):
        assert other[["efficiency_error", "gain_total"]].isna().all(axis=None)
        assert other[["replica_0", "replica_1", "replica_2"]].isna().all(axis=None)


def test_each_efficiency_has_as_many_replicas_as_it_has() -> None:
    p = np.array([0.5, 0.5])
    entries = Entries(
        np.array([0.5, 0.5]),
        np.ones(2),
        np.array([True, False]),
        {"none": p, "one": p, "two": p},
        {"one": np.array([[0.4, 0.4]]), "two": np.array([[0.4, 0.4], [0.6, 0.6]])},
    )
    frame = closure_histogram(entries, np.array([0.0, 1.0])).set_index("filled_by")
    assert frame["replica_0"].isna().to_dict() == {
        "direct": True,
        "none": True,
        "one": False,
        "two": False,
    }
    assert frame["replica_1"].isna().to_dict() == {
        "direct": True,
        "none": True,
        "one": True,
        "two": False,
    }
    # One replica tells of no spread.
    assert np.isnan(frame.loc["one", "efficiency_error"])
    assert frame.loc["two", "efficiency_error"] == pytest.approx(np.std([0.8, 1.2], ddof=1))
    alone = closure_histogram(replace(entries, replicas={}), np.array([0.0, 1.0]))
    assert not [name for name in alone if name.startswith("replica_")]
    assert alone["efficiency_error"].isna().all()


def test_ratios_are_absent_where_the_truth_is_unknown() -> None:
    entries = Entries(np.array([0.5]), np.ones(1), np.array([True]), {"q": np.array([0.5])})
    frame = closure_histogram(entries, np.array([0.0, 1.0]))
    assert frame["ratio"].isna().all()
    assert frame["yield"].tolist() == [1, 0.5]


@given(st.data(), st.integers(0, 30))
def test_histograms_of_parts_add_up_and_nothing_is_infinite(data: st.DataObject, size: int) -> None:
    """Whatever the events are.

    Weights of 0 or below, efficiencies of 0 and 1, events outside the axis, no event at all.
    """

    def draw(elements: st.SearchStrategy[object], *shape: int) -> np.ndarray:
        return data.draw(arrays(float, (*shape, size), elements=elements))

    chance = st.sampled_from([0.0, 1.0, 0.25, 0.9])
    entries = Entries(
        draw(st.floats(-1, 5)),
        draw(st.sampled_from([0.0, 1.0, -1.0, 2.5])),
        draw(st.sampled_from([0.0, 1.0])).astype(bool),
        {"true": draw(chance), "q": draw(chance)},
        {"q": draw(chance, 3)},
    )
    part = draw(st.sampled_from([0.0, 1.0])).astype(bool)
    edges = np.array([0.0, 1.0, 2.0, 4.0])
    whole, inside, outside = (
        closure_histogram(e, edges) for e in (entries, entries.where(part), entries.where(~part))
    )
    assert whole["filled_by"].tolist() == ["direct"] * 3 + ["true"] * 3 + ["q"] * 3
    for name in ("yield", "difference_variance", "replica_0", "replica_1", "replica_2"):
        np.testing.assert_allclose(whole[name], inside[name] + outside[name], atol=1e-12)
    numbers = whole.select_dtypes("number")
    assert not np.isinf(numbers).any(axis=None)
    assert numbers[["yield", "error", "effective_events"]].notna().all(axis=None)
    assert (whole["difference_variance"].isna() == (whole["filled_by"] == "direct")).all()
    assert (whole["difference_variance"].dropna() >= 0).all()
    assert (whole.loc[whole["filled_by"] == "q", "efficiency_error"] >= 0).all()
    # A ratio is there exactly where the truth is not 0.
    base = whole.loc[whole["filled_by"] == "true", "yield"].to_numpy()
    for _, rows in whole.groupby("filled_by"):
        assert ((base != 0) == rows["ratio"].notna()).all()
        assert ((base != 0) == rows["ratio_error"].notna()).all()
    # A gain is there exactly where the tags have a yield, and the weights an error; that of the
    # efficiency never adds to it.
    passing = whole.loc[whole["filled_by"] == "direct", "yield"].to_numpy()
    q = whole[whole["filled_by"] == "q"]
    assert (q["gain"].notna() == ((passing != 0) & (q["error"] > 0))).all()
    assert (whole[["gain", "gain_total"]].dropna() >= 0).all(axis=None)
    both = q[q["gain"].notna()]
    assert (both["gain_total"] <= both["gain"] * (1 + 1e-12)).all()
    # Certain tags do not scatter.
    certain = np.isin(entries.probability["q"], [0, 1])
    sure = closure_histogram(entries.where(certain), edges).set_index("filled_by").loc["q"]
    assert (sure["difference_variance"] == 0).all()


def test_nothing_selected_and_weights_of_zero_are_defined() -> None:
    p = {"true": np.array([0.5]), "q": np.array([0.25])}
    one = Entries(
        np.array([0.5]), np.zeros(1), np.array([True]), p, {"q": np.array([[0.2], [0.3]])}
    )
    for entries in (one, one.where(np.array([False]))):
        frame = closure_histogram(entries, np.array([0.0, 1.0, 2.0]))
        assert frame["yield"].tolist() == [0] * 6
        assert frame["effective_events"].tolist() == [0] * 6
        assert frame[["ratio", "ratio_error"]].isna().all(axis=None)
        assert frame.set_index("filled_by").loc["q", "efficiency_error"].tolist() == [0, 0]
    single = closure_histogram(replace(one, weight=np.ones(1)), np.array([0.0, 1.0])).set_index(
        "filled_by"
    )
    assert single["effective_events"].tolist() == [1, 1, 1]
    assert single["ratio"].tolist() == [2, 1, 0.5]


def test_small_bins_are_merged() -> None:
    # Variances 1, 1, 3 | 4 | 1: the first three make a bin, the fourth makes one, and the rest
    # joins the last.
    outcome = closure_test(
        np.array([2.0, 0, 3, 5, 1]), np.array([1.0, 1, 2, 2, 0]), np.array([1.0, 1, 3, 4, 1]), 4.0
    )
    assert outcome.ndf == 2
    assert outcome.chi2 == pytest.approx(1**2 / 5 + 4**2 / 5)
    for covariance in (None, np.zeros((2, 2))):
        nothing = closure_test(np.zeros(2), np.zeros(2), np.zeros(2), 4.0, covariance)
        assert (nothing.ndf, nothing.chi2) == (0, 0)
        assert np.isnan(nothing.p_value)


def test_merging_bins_merges_their_covariance() -> None:
    # Variances 1, 3 | 4, differences 1 + 2 and 3. Summed over what is merged, the covariance is
    # [[4, 1], [1, 3]].
    uncertainty = np.array([[1.0, 0.5, 0.0], [0.5, 2.0, 1.0], [0.0, 1.0, 3.0]])
    direct, weighted, variance = (
        np.array([2.0, 4.0, 5.0]),
        np.array([1.0, 2.0, 2.0]),
        np.array([1.0, 3.0, 4.0]),
    )
    outcome = closure_test(direct, weighted, variance, 4.0, uncertainty)
    assert outcome.ndf == 2
    # The inverse of [[8, 1], [1, 7]] is [[7, -1], [-1, 8]] / 55.
    assert outcome.chi2 == pytest.approx((7 * 9 - 2 * 9 + 8 * 9) / 55)
    assert outcome.p_value == pytest.approx(np.exp(-outcome.chi2 / 2))


@given(arrays(float, st.integers(1, 20), elements=st.floats(0, 30)), st.floats(0.1, 20))
def test_merged_bins_hold_every_bin_once_and_enough_variance(
    variance: np.ndarray, minimum: float
) -> None:
    merge = merged_bins(variance, minimum)
    assert set(np.unique(merge)) <= {0.0, 1.0}
    assert (merge @ variance >= minimum).all()
    if len(merge):
        assert merge.sum(axis=0).tolist() == [1.0] * len(variance)
        # Neighbours only, in order.
        assert (np.diff(merge.argmax(axis=0)) >= 0).all()
        assert all(np.ptp(np.flatnonzero(row)) == row.sum() - 1 for row in merge)
    else:
        assert variance.sum() < minimum * (1 + 1e-12)


@given(st.integers(0, 99), st.integers(1, 12))
def test_a_covariance_of_zero_is_none_and_any_other_lowers_chi2(seed: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    weighted, variance = rng.uniform(5, 50, bins), rng.uniform(1, 20, bins)
    direct = weighted + 2 * np.sqrt(variance) * rng.normal(size=bins)
    without = closure_test(direct, weighted, variance, 10)
    zero = closure_test(direct, weighted, variance, 10, np.zeros((bins, bins)))
    assert zero.ndf == without.ndf
    assert zero.chi2 == pytest.approx(without.chi2)
    vectors = rng.normal(size=(2, bins))
    more = closure_test(direct, weighted, variance, 10, vectors.T @ vectors)
    assert more.chi2 <= without.chi2 * (1 + 1e-9)


def closure_p_values(jets: Jets, wrong: float, both: bool, tries: int = 200) -> np.ndarray:
    """Tag the same events again and again; test the closure of the truth, scaled wrongly or not."""
    rng, p_values = np.random.default_rng(5), []
    for _ in range(tries):
        tagged = jets.with_columns(is_tagged=rng.random(jets.n_jets) < jets.efficiency_true)
        pairs = dijet(tagged, {"q": jets.efficiency_true * wrong}, both=both)
        frame = closure_histogram(pairs.delta_r, EDGES).set_index("filled_by")
        direct, q = frame.loc["direct"], frame.loc["q"]
        outcome = closure_test(
            direct["yield"].to_numpy(),
            q["yield"].to_numpy(),
            q["difference_variance"].to_numpy(),
            10,
        )
        p_values.append(outcome.p_value)
    return np.array(p_values)


@pytest.mark.parametrize("both", [False, True])
def test_the_test_accepts_the_truth_as_often_as_it_says(sample: Jets, both: bool) -> None:
    p_values = closure_p_values(sample.take(slice(0, 5000)), wrong=1.0, both=both)
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3


def test_the_test_rejects_a_wrong_efficiency(sample: Jets) -> None:
    assert np.median(closure_p_values(sample, wrong=0.9, both=False, tries=20)) < 1e-3


def test_negative_weights_are_allowed(sample: Jets) -> None:
    jets = sample.take(slice(0, 5000))
    assert (
        stats.kstest(closure_p_values(some_negative(jets), 1.0, both=True), "uniform").pvalue > 1e-3
    )


def some_negative(jets: Jets) -> Jets:
    """Give every fifth event a negative weight."""
    return jets.with_columns(weight=np.where(np.arange(jets.n_events) % 5 == 0, -1.0, 1.0))


def toys(
    jets: Jets, both: bool, tries: int, factor: np.ndarray | float = 1.0
) -> dict[str, np.ndarray]:
    """Tag the same pairs again and again; fill them directly, and weighted by truth times factor.

    Args:
        jets: The events.
        both: Whether both jets must be tagged.
        tries: How often.
        factor: By which efficiencies of events are wrong, of shape (tries, n_pairs) or one that
            broadcasts.

    Returns:
        ``direct``, ``weighted`` and ``variance`` of their difference, each of shape
        (tries, n_bins).
    """
    pairs, rng = dijet(jets, {"true": jets.efficiency_true}, both=both), np.random.default_rng(11)
    shape = (tries, len(pairs.delta_r.values))
    chance = jets.efficiency_true[pairs.tagged]
    passed = np.stack([(rng.random(chance.shape) < chance).all(axis=1) for _ in range(tries)])
    shift = APART * np.arange(tries)[:, None]
    entries = Entries(
        (pairs.delta_r.values + shift).ravel(),
        np.broadcast_to(pairs.delta_r.weight, shape).ravel(),
        passed.ravel(),
        {"q": np.broadcast_to(pairs.delta_r.probability["true"] * factor, shape).ravel()},
    )
    frame = closure_histogram(entries, np.append((EDGES + shift).ravel(), APART * tries)).set_index(
        "filled_by"
    )
    columns = {
        "direct": frame.loc["direct", "yield"],
        "weighted": frame.loc["q", "yield"],
        "variance": frame.loc["q", "difference_variance"],
    }
    # The last bin of each toy is the gap to the next.
    return {
        name: column.to_numpy().reshape(tries, len(EDGES))[:, :-1]
        for name, column in columns.items()
    }


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("both", [False, True])
def test_pulls_of_the_truth_are_those_of_a_unit_gaussian(
    sample: Jets, both: bool, negative: bool
) -> None:
    jets, tries = sample.take(slice(0, 2000)), 2000
    filled = toys(some_negative(jets) if negative else jets, both, tries)
    enough = filled["variance"][0] > 10
    assert enough.sum() >= 4
    pulls = ((filled["direct"] - filled["weighted"]) / np.sqrt(filled["variance"]))[:, enough]
    # Over 2000 toys, the mean of a bin scatters by 0.022 and its width by 0.016.
    assert pulls.mean(axis=0) == pytest.approx(0, abs=0.1)
    assert pulls.std(axis=0) == pytest.approx(1, abs=0.1)
    # All bins together, about five standard deviations.
    assert pulls.mean() == pytest.approx(0, abs=5 / np.sqrt(pulls.size))
    assert pulls.std() == pytest.approx(1, abs=5 / np.sqrt(2 * pulls.size))


def test_the_covariance_makes_the_test_fair_where_the_efficiency_errs(sample: Jets) -> None:
    """Efficiencies are wrong by a random factor and slope; with their covariance, p is uniform."""
    jets, tries = sample.take(slice(0, 10_000)), 400
    pairs = dijet(jets, {"true": jets.efficiency_true})
    slope = pairs.delta_r.values - 1.5
    common, tilt = np.random.default_rng(3).normal(0, [[0.12], [0.05]], (2, tries))
    filled = toys(jets, True, tries, 1 + common[:, None] + tilt[:, None] * slope)
    shapes = [
        np.histogram(
            pairs.delta_r.values, EDGES, weights=pairs.delta_r.probability["true"] * shape
        )[0]
        for shape in (np.full(len(slope), 0.12), 0.05 * slope)
    ]
    covariance = sum(np.outer(shape, shape) for shape in shapes)
    numbers = list(zip(filled["direct"], filled["weighted"], filled["variance"], strict=True))
    alone = [closure_test(*one, 10).p_value for one in numbers]
    total = [closure_test(*one, 10, covariance).p_value for one in numbers]
    # The root of the diagonal alone would not do: the error is one of all bins together.
    diagonal = [closure_test(*one, 10, np.diag(np.diag(covariance))).p_value for one in numbers]
    assert stats.kstest(total, "uniform").pvalue > 1e-3
    assert stats.kstest(alone, "uniform").pvalue < 1e-9
    assert stats.kstest(diagonal, "uniform").pvalue < 1e-6


def test_leading_jets_and_pairs() -> None:
    jets = make_jets([1, 3], is_tagged=np.array([True, True, False, True]))
    eff = np.array([0.9, 0.5, 0.4, 0.3])
    replicas = {"q": np.stack([eff / 2, eff])}
    pairs = dijet(jets, {"q": eff}, replicas=replicas)
    # An event of one jet has no pair.
    assert len(pairs.delta_r.values) == len(pairs.mass.values) == 1
    for entries in (pairs.delta_r, pairs.mass):
        assert entries.probability["q"].tolist() == pytest.approx([0.2])
        assert entries.replicas["q"].tolist() == [pytest.approx([0.05]), pytest.approx([0.2])]
        assert not entries.passed[0]
        assert entries.weight.tolist() == [jets.weight[1]]
    assert pairs.jets.tolist() == pairs.tagged.tolist() == [[1, 2]]
    single = dijet(jets, {"q": eff}, both=False, replicas=replicas)
    assert single.delta_r.probability["q"].tolist() == [0.5]
    assert single.delta_r.replicas["q"].tolist() == [[0.25], [0.5]]
    assert single.delta_r.passed[0]
    assert single.jets.tolist() == [[1, 2]]
    assert single.tagged.tolist() == [[1]]
    assert dijet(jets, {"q": eff}).mass.replicas == {}
    with pytest.raises(DataError, match="no column 'is_tagged'"):
        dijet(make_jets([2], is_tagged=None), {})


def test_pairs_of_events_with_many_jets_and_of_none() -> None:
    jets = make_jets([60, 0, 2])
    eff = np.r_[0.5, 0.5, np.full(58, 0.9), 1.0, 0.0]
    pairs = dijet(jets, {"q": eff}, replicas={"q": np.stack([eff, 1 - eff])})
    assert pairs.jets.tolist() == [[0, 1], [60, 61]]
    assert pairs.delta_r.probability["q"].tolist() == [0.25, 0]
    assert pairs.delta_r.replicas["q"].tolist() == [[0.25, 0], [0.25, 0]]
    nothing = dijet(make_jets([1, 0]), {"q": np.array([0.5])}, replicas={"q": np.array([[0.5]])})
    assert nothing.delta_r.replicas["q"].shape == (1, 0)
    frame = closure_histogram(nothing.mass, np.array([0.0, 100.0]))
    assert frame["yield"].tolist() == [0, 0]


def test_entries_of_some_events_keep_what_belongs_together() -> None:
    entries = Entries(
        np.arange(3.0),
        np.arange(3.0),
        np.array([True, False, True]),
        {"q": np.arange(3) / 4},
        {"q": np.eye(3)[:2]},
    )
    some = entries.where(np.array([False, True, True]))
    assert some.values.tolist() == some.weight.tolist() == [1, 2]
    assert some.passed.tolist() == [False, True]
    assert some.probability["q"].tolist() == [0.25, 0.5]
    assert some.replicas["q"].tolist() == [[0, 0], [1, 0]]


def test_closure_table_reads_every_histogram(sample: Jets) -> None:
    pairs = dijet(sample, {"true": sample.efficiency_true, "half": sample.efficiency_true / 2})
    frame = pd.concat(
        [
            closure_histogram(pairs.delta_r, EDGES).assign(panel="delta_r"),
            closure_histogram(pairs.mass, np.linspace(0, 800, 11)).assign(panel="m_jj"),
        ]
    ).assign(sample="test", events="all")
    table = table_of(frame).set_index(["panel", "efficiency"])
    assert list(table.index) == [(p, e) for p in ("delta_r", "m_jj") for e in ("true", "half")]
    assert table.loc[("delta_r", "half"), "largest_deviation"] == pytest.approx(0.25)
    assert table.loc[("delta_r", "half"), "p_value"] < 1e-9
    assert (table.xs("true", level="efficiency")["p_value"] > 1e-3).all()
    assert (table["chi2_ndf"] * table["ndf"]).tolist() == pytest.approx(table["chi2"].tolist())


def test_predictions_on_disk_belong_to_their_jets(few: Jets, tmp_path: Path) -> None:
    prediction = Prediction(
        few.per_jet("event"), few.efficiency_true, np.stack([few.efficiency_true] * 2)
    )
    write_prediction(prediction, tmp_path / "p.parquet", {})
    again = read_prediction(tmp_path / "p.parquet")
    assert np.array_equal(again.efficiency(few), few.efficiency_true)
    assert list(pd.read_parquet(tmp_path / "p.parquet")) == [
        "event",
        "efficiency",
        "efficiency_std",
    ]
    with pytest.raises(
        DataError, match=r"does not match the sample of .* jets: their events differ"
    ):
        again.efficiency(few.take(slice(0, 10)))


def test_an_efficiency_must_give_probabilities(few: Jets) -> None:
    class Wrong:
        def efficiency(self, jets: Jets) -> np.ndarray:
            return np.r_[np.full(jets.n_jets - 1, 0.5), np.nan]

    with pytest.raises(
        DataError, match=rf"efficiency of jet {few.n_jets - 1} is nan \(1 such jets\)"
    ):
        predict(Wrong(), few)


def test_the_error_of_a_ratio_to_a_negative_yield_is_positive() -> None:
    """Generator weights can be negative: the reference yield is then below 0, its error is not."""
    entries = Entries(
        values=np.array([0.5, 0.5]),
        weight=np.array([-1.0, -2.0]),
        passed=np.array([True, False]),
        probability={"true": np.array([0.5, 0.4]), "q": np.array([0.6, 0.3])},
    )
    histogram = ClosureHistogram.fill(entries, np.array([0.0, 1.0]))
    # Yields -1.3 and -1.2; the scatter of the tags is sqrt(1 * 0.25 + 4 * 0.24).
    assert histogram.weighted("q").ratio == pytest.approx(1.2 / 1.3)
    assert histogram.direct.ratio_error == pytest.approx(np.sqrt(0.25 + 4 * 0.24) / 1.3)
    ratio = 1.2 / 1.3
    scatter = (0.6 - ratio * 0.5) ** 2 + 4 * (0.3 - ratio * 0.4) ** 2
    assert histogram.weighted("q").ratio_error == pytest.approx(np.sqrt(scatter) / 1.3)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["values", "weight", "probability", "replicas"])
def test_a_value_that_is_not_finite_is_refused(where: str, bad: float) -> None:
    good = {"values": [0.5, 0.6], "weight": [1.0, 1.0], "probability": [0.5, 0.5]}
    arrays_of = {name: np.array(values) for name, values in good.items()}
    arrays_of["replicas"] = np.array([[0.5, 0.5], [0.5, 0.5]])
    arrays_of[where] = arrays_of[where].copy()
    arrays_of[where][..., 1] = bad
    with pytest.raises(DataError, match=rf"hold {bad} at position 1 .*must be finite"):
        Entries(
            arrays_of["values"],
            arrays_of["weight"],
            np.array([True, False]),
            {"q": arrays_of["probability"]},
            {"q": arrays_of["replicas"]},
        )


def test_masked_entries_and_entries_of_another_length_are_refused() -> None:
    p = np.array([0.5, 0.5])
    passed = np.array([True, False])
    masked = np.ma.array(p, mask=[False, True])
    with pytest.raises(DataError, match="1 of its entries are masked"):
        Entries(p, masked, passed, {"q": p})
    with pytest.raises(DataError, match=r"'q' have shape \(3,\); they must have one entry per ev"):
        Entries(p, p, passed, {"q": np.full(3, 0.5)})


def test_efficiencies_of_another_length_are_refused() -> None:
    jets = make_jets([2, 3])
    with pytest.raises(DataError, match=r"the efficiency 'x' has shape \(9,\); .*per jet, \(5,\)"):
        dijet(jets, {"x": np.full(9, 0.5)})
    with pytest.raises(DataError, match=r"a replica of 'x' has shape \(4,\)"):
        dijet(jets, {"x": np.full(5, 0.5)}, replicas={"x": np.full((2, 4), 0.5)})


@pytest.mark.parametrize("factor", [1e-3, 30.0, -1.0])
def test_the_unit_of_the_weights_does_not_matter(sample: Jets, factor: float) -> None:
    """The same bins are merged, and chi2 is the same, whatever the weights are measured in."""
    outcomes = []
    for scale in (1.0, factor):
        jets = sample.take(slice(0, 3000)).with_columns(weight=np.full(3000, scale))
        pairs = dijet(jets, {"true": jets.efficiency_true})
        histogram = ClosureHistogram.fill(pairs.mass, np.linspace(0, 800, 21))
        outcomes.append(histogram.test("true", 10))
    assert outcomes[0].ndf > 1
    assert outcomes[0].ndf == outcomes[1].ndf
    assert outcomes[1].chi2 == pytest.approx(outcomes[0].chi2)


def test_unit_weights_are_worth_their_variance(sample: Jets) -> None:
    pairs = dijet(sample, {"true": sample.efficiency_true})
    filled = ClosureHistogram.fill(pairs.mass, np.linspace(0, 800, 21)).weighted("true")
    assert (filled.mean_weight[filled.total > 0] == 1).all()


def test_signs_of_weights_do_not_merge_bins(sample: Jets) -> None:
    """Events of weight 1 and -1 scatter alike: as many bins are tested, whatever their signs."""
    efficiencies = {"true": sample.efficiency_true}
    bins = np.linspace(0, 800, 41)
    plain = ClosureHistogram.fill(dijet(sample, efficiencies).mass, bins).test("true", 10)
    for share in (0.2, 0.5, 0.8):
        negative = np.random.default_rng(5).random(sample.n_events) < share
        jets = sample.with_columns(weight=np.where(negative, -1.0, 1.0))
        filled = ClosureHistogram.fill(dijet(jets, efficiencies).mass, bins)
        outcome = filled.test("true", 10)
        assert outcome.ndf == plain.ndf > 20
        assert outcome.p_value > 1e-3


def test_effective_events_of_unit_weights_are_the_events(sample: Jets) -> None:
    """To the last digit: the root of the sum of squares is not squared again."""
    pairs = dijet(sample, {"true": sample.efficiency_true})
    histogram = ClosureHistogram.fill(pairs.mass, np.linspace(0, 800, 21))
    direct = histogram.direct
    assert direct.effective_events.tolist() == direct.total.tolist()
    again = ClosureHistogram.from_frame(histogram.to_frame()).direct
    assert again.effective_events.tolist() == direct.effective_events.tolist()


def test_edges_must_rise_and_the_last_bin_holds_its_upper_edge() -> None:
    entries = Entries(np.array([0.0, 1.0, 2.0]), np.ones(3), np.ones(3, dtype=bool), {})
    filled = ClosureHistogram.fill(entries, np.array([0.0, 1.0, 2.0]))
    assert filled.direct.total.tolist() == [1, 2]
    with pytest.raises(ConfigError, match=r"edge 2 is 0\.5, not above the edge before it"):
        ClosureHistogram.fill(entries, np.array([0.0, 1.0, 0.5]))


def test_a_histogram_comes_back_from_its_table(sample: Jets) -> None:
    eff = sample.efficiency_true
    pairs = dijet(sample, {"true": eff, "q": eff / 2}, replicas={"q": np.stack([eff / 2, eff / 3])})
    filled = ClosureHistogram.fill(pairs.delta_r, EDGES)
    again = ClosureHistogram.from_frame(filled.to_frame())
    pd.testing.assert_frame_equal(again.to_frame(), filled.to_frame(), check_exact=True)
    assert again.filled_by == ["true", "q"]
    assert np.array_equal(again.replicas("q"), filled.replicas("q"))
    with pytest.raises(DataError, match=r"not weighted by 'gnn'; it is by true, q"):
        again.weighted("gnn")
    with pytest.raises(DataError, match="lacks its column 'ratio'"):
        ClosureHistogram.from_frame(filled.to_frame().drop(columns="ratio"))


def test_a_p_value_that_is_no_number_is_refused(sample: Jets) -> None:
    pairs = dijet(sample, {"true": sample.efficiency_true})
    frame = closure_histogram(pairs.mass, EDGES).assign(
        sample="s", distribution="x", title="x", panel="all", events="all", spread="corrected"
    )
    with pytest.raises(DataError, match="p_value is nan; it must be above 0 and below 1"):
        closure_table(frame, 10, np.nan)
