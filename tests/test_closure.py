"""Measures of quality: by hand, and by their distribution over many toy samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from conftest import make_jets
from truthtag.accuracy import compare_likelihoods, excess_loss, relative_residual, summarise, tag_loss
from truthtag.closure import Entries, closure_histogram, closure_test, dijet
from truthtag.efficiency import Prediction, predict, read_prediction, write_prediction
from truthtag.errors import DataError
from truthtag.figures import closure_table
from truthtag.jets import Jets

FLAVOURS = {"b": 5, "c": 4, "light": 0}


@given(st.floats(0, 1), st.floats(0, 1))
def test_excess_loss_is_never_negative_and_is_finite(true: float, predicted: float) -> None:
    excess = float(excess_loss(np.array([true]), np.array([predicted]))[0])
    assert np.isfinite(excess)
    # Clipping to [1e-6, 1 - 1e-6] can hide what is nearer than that to 0 or 1.
    assert excess >= -1.1e-6


def test_excess_loss_is_the_expected_difference_of_log_losses() -> None:
    true, predicted = np.array([0.3]), np.array([0.6])

    def expected(q: np.ndarray) -> float:
        tagged, not_tagged = (tag_loss(np.array([t]), q)[0] for t in (True, False))
        return float(0.3 * tagged + 0.7 * not_tagged)

    assert excess_loss(true, predicted)[0] == pytest.approx(expected(predicted) - expected(true))


def test_summary_by_hand() -> None:
    jets = make_jets(
        [2, 1],
        flavour=np.array([5, 5, 0]),
        efficiency_true=np.array([0.5, 0.8, 0.02]),
        is_tagged=np.array([True, False, False]),
    )
    predicted = np.array([0.25, 1.0, 0.02])
    table = summarise(jets, {"q": predicted}, FLAVOURS, np.ones(3, dtype=bool)).set_index("flavour")
    assert table["jets"].to_dict() == {"all": 3, "b": 2, "c": 0, "light": 1}
    assert table.loc["b", "residual_mean"] == pytest.approx((0.5 - 0.25) / 2)
    assert table.loc["b", "residual_rms"] == pytest.approx((0.5 + 0.25) / 2)
    assert table.loc["light", "regret"] == pytest.approx(0, abs=1e-15)
    assert table.loc["b", "log_loss"] == pytest.approx((-np.log(0.25) - np.log(1e-6)) / 2)
    assert np.isnan(table.loc["c", "regret"])
    with pytest.raises(DataError, match="needs the columns 'efficiency_true' and 'is_tagged'"):
        summarise(make_jets([2], efficiency_true=None), {}, FLAVOURS, np.ones(2, dtype=bool))


def test_likelihoods_prefer_the_truth(sample: Jets) -> None:
    true = sample.efficiency_true
    table = compare_likelihoods(sample.is_tagged, {"true": true, "less": true * 0.8, "same": true.copy()})
    table = table.set_index("efficiency")
    assert table.loc["true", "difference"] == table.loc["same", "significance"] == 0
    assert table.loc["less", "significance"] > 5
    expected = excess_loss(true, true * 0.8).mean()
    assert table.loc["less", "difference"] == pytest.approx(expected, abs=4 * table.loc["less", "error"])


def test_the_truth_has_no_regret(sample: Jets) -> None:
    table = summarise(sample, {"true": sample.efficiency_true}, FLAVOURS, np.ones(sample.n_jets, dtype=bool))
    assert table["regret"].abs().max() < 1e-15
    assert table["residual_rms"].max() == 0
    assert relative_residual(np.array([0.5]), np.array([0.25]))[0] == 0.5


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
    assert frame.loc["q", "difference_variance"].tolist() == pytest.approx([0.25 + 4 * 0.25 * 0.75, 0.4 * 0.6])
    assert frame.loc["q", "ratio"].tolist() == pytest.approx([0, 2])
    # A ratio of yields of the same events: the second bin has one event, its ratio is certain.
    assert frame.loc["q", "ratio_error"].tolist()[1] == pytest.approx(0, abs=1e-12)
    assert frame.loc["true", "ratio_error"].tolist() == [0, 0]
    assert np.isnan(frame.loc["direct", "difference_variance"]).all()


def test_ratios_are_absent_where_the_truth_is_unknown() -> None:
    entries = Entries(np.array([0.5]), np.ones(1), np.array([True]), {"q": np.array([0.5])})
    frame = closure_histogram(entries, np.array([0.0, 1.0]))
    assert frame["ratio"].isna().all()
    assert frame["yield"].tolist() == [1, 0.5]


def test_small_bins_are_merged() -> None:
    # Variances 1, 1, 3 | 4 | 1: the first three make a bin, the fourth one, and the rest joins the last.
    outcome = closure_test(np.array([2.0, 0, 3, 5, 1]), np.array([1.0, 1, 2, 2, 0]), np.array([1.0, 1, 3, 4, 1]), 4.0)
    assert outcome.ndf == 2
    assert outcome.chi2 == pytest.approx(1**2 / 5 + 4**2 / 5)
    nothing = closure_test(np.zeros(2), np.zeros(2), np.zeros(2), 4.0)
    assert (nothing.ndf, nothing.chi2) == (0, 0)
    assert np.isnan(nothing.p_value)


def closure_p_values(jets: Jets, wrong: float, both: bool, tries: int = 200) -> np.ndarray:
    """Tag the same events again and again; test the closure of the truth, scaled wrongly or not."""
    rng, p_values = np.random.default_rng(5), []
    for _ in range(tries):
        tagged = jets.with_columns(is_tagged=rng.random(jets.n_jets) < jets.efficiency_true)
        distance, _, _ = dijet(tagged, {"q": jets.efficiency_true * wrong}, both=both)
        frame = closure_histogram(distance, np.linspace(0, 3, 11)).set_index("filled_by")
        direct, q = frame.loc["direct"], frame.loc["q"]
        outcome = closure_test(
            direct["yield"].to_numpy(), q["yield"].to_numpy(), q["difference_variance"].to_numpy(), 10
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
    weight = np.where(np.arange(5000) % 5 == 0, -1.0, 1.0)
    assert stats.kstest(closure_p_values(jets.with_columns(weight=weight), 1.0, both=True), "uniform").pvalue > 1e-3


def test_leading_jets_and_pairs() -> None:
    jets = make_jets([1, 3], is_tagged=np.array([True, True, False, True]))
    eff = np.array([0.9, 0.5, 0.4, 0.3])
    distance, mass, pair = dijet(jets, {"q": eff})
    # An event of one jet has no pair.
    assert len(distance.values) == len(mass.values) == 1
    assert distance.probability["q"].tolist() == pytest.approx([0.2])
    assert not distance.passed[0]
    assert pair.tolist() == [jets.flavour[1:3].tolist()]
    single, _, _ = dijet(jets, {"q": eff}, both=False)
    assert single.probability["q"].tolist() == [0.5]
    assert single.passed[0]
    with pytest.raises(DataError, match="no column 'is_tagged'"):
        dijet(make_jets([2], is_tagged=None), {})


def test_closure_table_reads_every_histogram(sample: Jets) -> None:
    distance, mass, _ = dijet(sample, {"true": sample.efficiency_true, "half": sample.efficiency_true / 2})
    frame = pd.concat(
        [
            closure_histogram(distance, np.linspace(0, 3, 11)).assign(panel="delta_r"),
            closure_histogram(mass, np.linspace(0, 800, 11)).assign(panel="m_jj"),
        ]
    )
    table = closure_table({"fig8": frame}, 10).set_index(["panel", "efficiency"])
    assert list(table.index) == [(p, e) for p in ("delta_r", "m_jj") for e in ("true", "half")]
    assert table.loc[("delta_r", "half"), "largest_deviation"] == pytest.approx(0.25)
    assert table.loc[("delta_r", "half"), "p_value"] < 1e-9
    assert (table.xs("true", level="efficiency")["p_value"] > 1e-3).all()
    assert (table["chi2_ndf"] * table["ndf"]).tolist() == pytest.approx(table["chi2"].tolist())


def test_predictions_on_disk_belong_to_their_jets(few: Jets, tmp_path: Path) -> None:
    prediction = Prediction(few.per_jet("event"), few.efficiency_true, np.ones(few.n_jets))
    write_prediction(prediction, tmp_path / "p.parquet", {})
    again = read_prediction(tmp_path / "p.parquet")
    assert np.array_equal(again.efficiency(few), few.efficiency_true)
    assert list(pd.read_parquet(tmp_path / "p.parquet")) == ["event", "efficiency", "efficiency_std"]
    with pytest.raises(DataError, match=r"does not match the sample of .* jets: their events differ"):
        again.efficiency(few.take(slice(0, 10)))


def test_an_efficiency_must_give_probabilities(few: Jets) -> None:
    class Wrong:
        def efficiency(self, jets: Jets) -> np.ndarray:
            return np.r_[np.full(jets.n_jets - 1, 0.5), np.nan]

    with pytest.raises(DataError, match=rf"efficiency of jet {few.n_jets - 1} is nan \(1 such jets\)"):
        predict(Wrong(), few)
