"""All tests of an efficiency together, few replicas, and the bias that would have been found."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from conftest import make_jets
from truthtag.data.jets import Jets
from truthtag.data.neighbours import nearest_jet
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.predictions import Prediction
from truthtag.statistics.cells import Cells, fill_cells
from truthtag.statistics.closure import ClosureHistogram, Entries, histograms_in
from truthtag.statistics.closure_tests import MIN_REPLICAS, closure_test, normal_score, sidak
from truthtag.statistics.global_verdict import SHARES, global_table, shares
from truthtag.statistics.power import CellTests, power_table, smallest_bias
from truthtag.statistics.verdict import closure_table, require_closure, verdict_table
from truthtag.statistics.words import CLOSES, FAILS, UNCERTAIN, UNTESTED, WITHIN
from truthtag.workflow.options import check_config
from truthtag.workflow.report import power_sentences, verdict_page

FLAVOURS = {"b": 5, "c": 4, "light": 0}
LEVEL = 0.01


def closure_rows(**changes: object) -> pd.DataFrame:
    """Three tests of one efficiency: b jets in cells and their sum, and a histogram."""
    columns = {
        "sample": "test",
        "distribution": ["cells", "m_jj"],
        "panel": ["b", "b-b"],
        "events": "all",
        "efficiency": "q",
        "ndf": [9, 20],
        "p_value": [0.5, 0.5],
        "p_sum": [0.5, 0.5],
        "p_both": [0.5, 0.5],
        "p_value_total": [0.5, 0.5],
        "p_sum_total": [0.5, 0.5],
        "p_both_total": [0.5, 0.5],
        "uncertainty": [0.01, 0.02],
        "verdict": [CLOSES, CLOSES],
        "chi2": [9.0, 20.0],
    }
    return pd.DataFrame(columns | changes)


def together(**changes: object) -> pd.Series:
    """Return the global line of these tests."""
    return global_table(closure_rows(**changes), LEVEL, 0.05).iloc[0]


def test_the_global_line_by_hand() -> None:
    line = together()
    assert line["tests"] == 3
    assert line["p_value"] == pytest.approx(1 - 0.5**2)
    assert (line["distribution"], line["panel"]) == ("global", "all")
    assert line["verdict"] == CLOSES
    assert np.isnan(line["uncertainty"])
    low = together(p_sum=[0.004, 0.5])
    # The sums have half of the false alarms.
    assert low["p_value"] == pytest.approx(1 - (1 - 0.004) ** 2)
    assert (low["verdict"], low["smallest"]) == (WITHIN, "all b jets")
    assert low["uncertainty"] == 0.01
    cells = together(p_value=[0.004, 0.004])
    assert cells["p_value"] == pytest.approx(1 - (1 - 0.004) ** 4)
    assert cells["smallest"] == "b jets in cells"


def test_the_error_of_the_efficiency_helps_only_where_it_is_small() -> None:
    low = {"p_both": [0.5, 1e-6]}
    assert together(**low)["verdict"] == WITHIN
    assert together(**low, uncertainty=[0.2, 0.05])["verdict"] == WITHIN
    large = together(**low, uncertainty=[0.01, 0.2])
    assert (large["verdict"], large["uncertainty"]) == (UNCERTAIN, 0.2)
    assert together(**low, p_both_total=[0.5, 1e-5])["verdict"] == FAILS
    # Where the error is not known, it cannot help.
    unknown = together(**low, p_both_total=np.nan, p_sum_total=np.nan, p_value_total=np.nan)
    assert unknown["verdict"] == FAILS
    assert np.isnan(unknown["p_value_total"])


def test_nothing_tested_is_no_verdict() -> None:
    assert together(ndf=[0, 0])["verdict"] == UNTESTED
    # Of one cell chi2 is the pull of the sum, squared: one test.
    assert together(ndf=[1, 0])["tests"] == 1


def test_the_smallest_p_value_of_independent_tests_is_uniform() -> None:
    rng = np.random.default_rng(3)
    kinds = ["sums"] * 3 + ["cells"] * 3 + ["histograms"] * 6
    weights = shares(kinds)
    assert sum(weights) == pytest.approx(1)
    assert sum(SHARES.values()) == pytest.approx(1)
    draws = rng.random((4000, len(kinds)))
    found = [min(sidak(p, w) for p, w in zip(one, weights, strict=True)) for one in draws]
    assert stats.kstest(found, "uniform").pvalue > 1e-3
    assert sidak(1e-300, 0.1) == pytest.approx(1e-299)
    assert sidak(1.0, 0.1) == 1
    assert np.isnan(sidak(np.nan, 0.1))


def test_verdicts_name_the_size_of_the_uncertainty() -> None:
    rows = closure_rows(verdict=[WITHIN, UNCERTAIN], uncertainty=[0.0123, 0.2])
    wide = verdict_table(rows, global_table(rows, LEVEL, 0.05))
    assert wide["distribution"].tolist() == ["global", "cells", "m_jj"]
    assert wide["q"].tolist() == [CLOSES, "within uncertainty (1.2%)", "too uncertain (20.0%)"]
    page = verdict_page(wide, (), ["test would have found much."])
    assert '<tr class="global">' in page
    assert '<td class="within">within uncertainty (1.2%)</td>' in page
    assert '<td class="uncertain">too uncertain (20.0%)</td>' in page
    assert page.index("</table>") < page.index("<p>test would have found much.</p>")


def test_what_must_close_is_the_global_line_where_no_histogram_is_named() -> None:
    rows = closure_rows(p_both=[0.5, 1e-9], p_both_total=[0.5, 1e-8], verdict=[CLOSES, FAILS])
    overall = global_table(rows, LEVEL, 0.05)
    for entry in ({"efficiency": "q"}, {"distribution": "global", "sample": "test"}):
        with pytest.raises(DataError) as refused:
            require_closure(rows, [entry], overall)
        message = str(refused.value)
        assert message.startswith("1 of 1 required closures fail:\n  q, sample test, global, panel")
        assert "all: does not close, p-value 4e-09 of 3 tests, worst in m_jj b-b\n" in message
    # A histogram that is named is tested alone.
    assert len(require_closure(rows, [{"distribution": "cells"}], overall)) == 1
    with pytest.raises(DataError, match=r"panel b-b, events all: does not close, chi2 20\.0 for"):
        require_closure(rows, [{"panel": "b-b"}], overall)
    few = closure_rows(ndf=[0, 0])
    with pytest.raises(DataError, match=r"panel all, events all: too few events\n"):
        require_closure(few, [{"sample": "test"}], global_table(few, LEVEL, 0.05))
    fine = closure_rows()
    chosen = require_closure(fine, [{"efficiency": "q"}], global_table(fine, LEVEL, 0.05))
    assert chosen["distribution"].tolist() == ["global"]


def test_a_coherent_shift_shows_in_the_sum() -> None:
    """Twenty bins, each off by half a standard deviation: chi2 is small, the pull is not."""
    bins = np.full(20, 100.0)
    outcome = closure_test(bins + 10, bins + 4, np.full(20, 144.0), 10)
    assert outcome.p_value > 0.9
    assert outcome.pull == pytest.approx(0.5 * np.sqrt(20))
    assert outcome.p_sum == pytest.approx(2 * stats.norm.sf(outcome.pull))
    assert outcome.p_both == pytest.approx(1 - (1 - outcome.p_sum) ** 2)
    # With an error that all bins share, it does not.
    shared = closure_test(bins + 10, bins + 4, np.full(20, 144.0), 10, np.full((20, 20), 36.0))
    assert shared.pull == pytest.approx(120 / np.sqrt(20 * 144 + 400 * 36))
    one = closure_test(np.array([12.0]), np.array([10.0]), np.array([4.0]), 1)
    assert one.p_both == one.p_value == pytest.approx(one.p_sum)


def test_scores_are_those_of_students_distribution() -> None:
    value = np.array([0.5, 2.0, 4.0, 7.0])
    for freedom in (7.0, 19.0, 400.0):
        exact = stats.norm.isf(stats.t.sf(value, freedom))
        assert normal_score(value, np.full(4, freedom)) == pytest.approx(exact, rel=0.01)
    assert normal_score(-value, np.full(4, 9.0)) == pytest.approx(
        -normal_score(value, np.full(4, 9.0))
    )


BINS = 30
PLACE = np.linspace(0, 1, BINS)
SMOOTH = np.exp(-0.5 * ((PLACE[:, None] - PLACE) / 0.3) ** 2)
COVARIANCES = {
    "smooth": 10 * SMOOTH / np.linalg.eigvalsh(SMOOTH)[-1],
    "very large": 30 * SMOOTH / np.linalg.eigvalsh(SMOOTH)[-1],
    "rough": 0.8 * np.eye(BINS),
}
"""Of the efficiency, in units of the scatter of the tags."""


@pytest.mark.parametrize("count", [MIN_REPLICAS, 20])
@pytest.mark.parametrize("kind", list(COVARIANCES))
def test_p_values_are_right_where_the_covariance_is_estimated(kind: str, count: int) -> None:
    """A right efficiency fails about as often as it should, and never much more often."""
    rng = np.random.default_rng(4)
    root = np.linalg.cholesky(COVARIANCES[kind] + 1e-9 * np.eye(BINS))
    weighted = np.full(BINS, 100.0)
    tries = 600
    p_values = np.empty((tries, 2))
    for one in p_values:
        # The efficiency is the mean of replicas, each as wrong as the others.
        errors = rng.normal(size=(count + 1, BINS)) @ root.T
        replicas = weighted + np.sqrt(1 + 1 / count) * errors[1:]
        direct = weighted + errors[0] + errors[1:].mean(axis=0) + rng.normal(size=BINS)
        outcome = closure_test(direct, weighted, np.ones(BINS), 0.5, replicas=replicas)
        one[:] = outcome.p_value, outcome.p_sum
    failing = (p_values < 0.05).mean(axis=0)
    # Of 600 tries 5% are 30, give or take 5.3; plain chi2 has up to 56%.
    assert failing[0] < 0.10
    assert failing[1] == pytest.approx(0.05, abs=0.03)
    assert (p_values[:, 0] < 0.01).mean() < 0.035


def test_three_replicas_are_too_few_to_tell() -> None:
    """At the smallest number that is allowed a test is there, below it none."""
    rng = np.random.default_rng(1)
    p = rng.uniform(0.2, 0.6, 400)
    for count, known in ((3, False), (6, False), (MIN_REPLICAS, True)):
        replicas = np.clip(p * (1 + 0.1 * rng.normal(size=(count, 1))), 0, 1)
        entries = Entries(
            rng.uniform(0, 4, 400), np.ones(400), rng.random(400) < p, {"q": p}, {"q": replicas}
        )
        histogram = ClosureHistogram.fill(entries, np.arange(5.0))
        assert (histogram.test("q", 10, with_efficiency=True) is not None) == known
    with pytest.raises(DataError, match="1 replicas tell of no spread; give at least 8"):
        closure_test(np.ones(2), np.ones(2), np.ones(2), 0.5, replicas=np.ones((1, 2)))


# ---- power


def test_the_smallest_bias_of_one_cell_is_that_of_a_gaussian() -> None:
    jets = np.array([40_000.0])
    cell = CellTests(np.array([[30_000.0]]), LEVEL, 0.0, jets, jets, jets / 4)
    bias = smallest_bias([cell])
    claimed = 30_000 + bias * 40_000 - (2 * bias + bias**2) * 10_000
    edge = stats.norm.isf(LEVEL / 2) * np.sqrt(claimed)
    assert stats.norm.sf((edge - bias * 40_000) / np.sqrt(30_000)) == pytest.approx(0.9, abs=1e-4)


def test_two_tests_of_the_same_jets_miss_what_simulation_says() -> None:
    """The integral over the pull, against draws."""
    rng = np.random.default_rng(2)
    size = 6
    shape = rng.normal(size=(size, size))
    covariance = 100 * np.eye(size) + 5 * shape @ shape.T
    biased = rng.uniform(50, 300, size)
    nothing = np.zeros(size)
    tests = CellTests(covariance, 0.005, 0.0025, biased, nothing, nothing)
    draws = rng.multivariate_normal(0.05 * biased, covariance, 40_000)
    pull = draws.sum(axis=1) / np.sqrt(covariance.sum())
    chi2 = np.einsum("ti,ij,tj->t", draws, np.linalg.inv(covariance), draws)
    missed = (np.abs(pull) < stats.norm.isf(0.0025)) & (chi2 < stats.chi2.isf(0.0025, size))
    assert tests.missed(0.05) == pytest.approx(missed.mean(), abs=0.01)
    assert 0.1 < missed.mean() < 0.9
    # Without a bias the two are right together.
    assert 1 - 0.0075 <= tests.missed(0.0) <= 1 - 0.005


def test_what_no_sample_could_find_is_infinite() -> None:
    jets = np.array([1e-3])
    assert smallest_bias([CellTests(jets[:, None], LEVEL, 0.0, jets, jets, 0 * jets)]) == np.inf
    assert smallest_bias([]) == np.inf


def predictions_of(jets: Jets, factors: dict[str, np.ndarray]) -> dict[str, Prediction]:
    """Return the true efficiency times factors."""
    event = jets.per_jet("event")
    return {
        name: Prediction(event, np.clip(jets.efficiency_true * factor, 0, 1))
        for name, factor in factors.items()
    }


def filled_cells(jets: Jets, predictions: dict[str, Prediction]) -> pd.DataFrame:
    rows = [(name, number, 1.0) for name in predictions for number in FLAVOURS.values()]
    scales = pd.DataFrame(rows, columns=["efficiency", "number", "scale"])
    inside = np.ones(jets.n_jets, dtype=bool)
    filled = fill_cells("test", jets, predictions, inside, FLAVOURS, Cells(), scales)
    return filled[filled["events"] == "all"]


def stated_biases(jets: Jets) -> pd.Series:
    """Return the smallest bias that a sample says it finds."""
    filled = filled_cells(jets, {})
    power = power_table(filled, closure_table(filled, 10, LEVEL), 10, LEVEL, 0.4)
    return power.set_index("jets")["smallest_bias"]


def found(jets: Jets, factors: dict[str, np.ndarray], tries: int) -> dict[str, float]:
    """Tag the same events again and again, and return how often each efficiency is refused."""
    filled = filled_cells(jets, predictions_of(jets, factors))
    histograms = {panel: one for (panel,), one in histograms_in(filled, ["panel"])}
    cell = Cells().index(jets, FLAVOURS)
    rng = np.random.default_rng(8)
    refused = dict.fromkeys(factors, 0)
    for _ in range(tries):
        tagged = rng.random(jets.n_jets) < jets.efficiency_true
        for name in factors:
            rows = []
            for panel, one in histograms.items():
                chosen = tagged & (jets.flavour == FLAVOURS[panel])
                weighted = one.weighted(name)
                direct = np.bincount(cell[chosen], minlength=len(weighted.total)).astype(float)
                tested = closure_test(direct, weighted.total, weighted.difference_variance, 10)
                if tested.ndf:
                    rows.append((tested.p_sum, tested.p_value))
            weights = shares(["sums", "cells"] * len(rows))
            p_values = [p for pair in rows for p in pair]
            together = [sidak(p, w) for p, w in zip(p_values, weights, strict=True)]
            refused[name] += min(together) < LEVEL
    return {name: count / tries for name, count in refused.items()}


def test_the_stated_power_is_that_of_toys(sample: Jets) -> None:
    """An efficiency with the bias that is stated is found in nine cases of ten."""
    stated = stated_biases(sample)
    assert (stated > 0).all()
    close = nearest_jet(sample)[1] < 0.4
    which = {name: sample.flavour == number for name, number in FLAVOURS.items()}
    which["close b"] = which["b"] & close
    which["close"] = close
    factors = {name: 1 + stated[name] * jets for name, jets in which.items()}
    tries = 200
    rates = found(sample, {"true": np.ones(sample.n_jets), **factors}, tries)
    # Nine of ten scatter by 2.1%.
    assert rates.pop("true") < 0.035
    for name, rate in rates.items():
        assert rate == pytest.approx(0.9, abs=0.07), name


def test_more_events_find_less(sample: Jets) -> None:
    """The smallest bias falls as one over the root of the events; errors of efficiencies add."""
    whole = stated_biases(sample)
    quarter = stated_biases(sample.take(slice(0, sample.n_events // 4)))
    assert quarter["b"] / whole["b"] == pytest.approx(2, rel=0.1)
    assert quarter["close b"] > 1.5 * whole["close b"]
    rng = np.random.default_rng(0)
    values = sample.efficiency_true
    wrong = np.clip(values * (1 + 0.02 * rng.normal(size=(20, 1))), 0, 1)
    predictions = {"q": Prediction(sample.per_jet("event"), values, wrong)}
    filled = filled_cells(sample, predictions)
    power = power_table(filled, closure_table(filled, 10, LEVEL), 10, LEVEL, 0.4)
    of_q = power[power["efficiency"] == "q"].set_index("jets")
    # An efficiency that is the truth is as sensitive as it, and its own error hides biases.
    assert of_q["smallest_bias"].to_numpy() == pytest.approx(whole.to_numpy(), rel=1e-6)
    assert (of_q["smallest_bias_total"] >= of_q["smallest_bias"]).all()
    assert of_q.loc["b", "smallest_bias_total"] > 0.05
    assert power.loc[power["efficiency"] == "true", "smallest_bias_total"].isna().all()


def test_a_sample_of_few_jets_finds_nothing() -> None:
    jets = make_jets([2, 3])
    filled = filled_cells(jets, {})
    closure = closure_table(filled, 10, LEVEL)
    assert set(global_table(closure, LEVEL, 0.05)["verdict"]) == {UNTESTED}
    power = power_table(filled, closure, 10, LEVEL, 0.4)
    assert np.isinf(power["smallest_bias"]).all()
    assert "too high by no amount for b jets" in power_sentences(power)[0]


def test_the_report_says_what_would_have_been_found() -> None:
    power = pd.DataFrame(
        {
            "sample": "test",
            "events": "all",
            "efficiency": ["true"] * 3 + ["q"],
            "jets": ["b", "close b", "close", "b"],
            "smallest_bias": [0.0108, 0.07, 0.0625, 0.5],
        }
    )
    (sentence,) = power_sentences(power)
    assert sentence.startswith("test would have found, in nine cases of ten, an efficiency that is")
    assert sentence.endswith("too high by 1.1% for b jets, 6.2% for close jets.")


# ---- the config


@pytest.mark.parametrize(
    ("closure", "message"),
    [
        (
            {"cells": {"close": 0.3}},
            r"closure\.cells\.close: 0\.3 is no border of closure\.cells\.delta_r \(0\.2, 0\.4, ",
        ),
        ({"cells": {"delta_r": [0.4, 0.2]}}, r"edge 2 is 0\.2, not above the edge before it, 0\.4"),
        ({"cells": {"pt": [0.0]}}, r"closure\.cells\.pt\.0"),
        ({"max_uncertainty": 0.0}, r"closure\.max_uncertainty"),
        ({"required": [{"distribution": "cells", "panel": "b-b"}]}, "no histogram is all of"),
        ({"required": [{"distribution": "global", "sample": "train"}]}, r"There are: .*cells \("),
        ({"required": [{"sample": "train"}]}, r"There are: .*cells \(samples test, boson; b, c,"),
    ],
)
def test_a_verdict_that_cannot_be_given_is_refused(
    closure: dict[str, object], message: str, default_config: dict[str, object]
) -> None:
    changed = deepcopy(default_config)
    changed["closure"] |= closure
    with pytest.raises(ConfigError, match=message):
        check_config(changed)


@pytest.mark.parametrize(
    "entry",
    [
        {"efficiency": "gnn"},
        {"sample": "boson", "events": "in_domain"},
        {"distribution": "global"},
        {"distribution": "global", "panel": "all", "sample": "test"},
        {"distribution": "cells", "panel": "light"},
        {"panel": "b-c"},
    ],
)
def test_what_may_be_required(entry: dict[str, str], default_config: dict[str, object]) -> None:
    changed = deepcopy(default_config)
    changed["closure"]["required"] = [entry]
    assert check_config(changed).closure.required[0].model_dump(exclude_none=True) == entry


@pytest.mark.parametrize("name", ["cells", "global"])
def test_a_distribution_cannot_be_called_like_a_test(
    name: str, default_config: dict[str, object]
) -> None:
    changed = deepcopy(default_config)
    changed["distributions"][name] = changed["distributions"]["delta_r"]
    with pytest.raises(ConfigError, match=rf"distributions\.{name}: the name is that of a test"):
        check_config(changed)
