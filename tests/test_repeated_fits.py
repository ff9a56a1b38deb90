"""Repeated training samples: what is fitted to each, its coverage, and means over samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import make_jets
from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.estimators.ensemble import Ensemble
from truthtag.estimators.protocol import kind_and_options
from truthtag.statistics.accuracy import excess_loss
from truthtag.statistics.distributions import Distribution
from truthtag.studies.repeated_fits import Judge, expected_coverage, fit_with_replicas
from truthtag.studies.repeated_samples import repeated_accuracy, repeated_coverage

FLAVOURS = {"b": 5, "c": 4, "light": 0}
MAP = {
    "kind": "binned",
    "pt": {"bins": 2, "low": 20.0, "high": 600.0},
    "eta": {"bins": 1, "low": -2.5, "high": 2.5},
    "outside": "clamp",
    "replicas": 3,
}


class Shifted:
    """An efficiency that is off the truth by a number."""

    def __init__(self, off: float) -> None:
        self.off = off

    def efficiency(self, jets: Jets) -> FloatArray:
        assert jets.efficiency_true is not None
        return np.asarray(jets.efficiency_true + self.off)


def sample(n_events: int = 60, truth: float = 0.5) -> Jets:
    jets = make_jets([2, 3, 4] * (n_events // 3))
    rng = np.random.default_rng(3)
    return jets.with_columns(
        efficiency_true=np.full(jets.n_jets, truth),
        is_tagged=rng.random(jets.n_jets) < truth,
        weight=np.ones(jets.n_events),
    )


def judge(jets: Jets, distributions: tuple[Distribution, ...] = (), **changes: Any) -> Judge:
    everywhere = np.ones(jets.n_jets, dtype=bool)
    return Judge(jets, changes.get("in_domain", everywhere), distributions, FLAVOURS, 0.1)


def multiplicity() -> Distribution:
    return Distribution("n_jets", "test", "n_jets", (1,), np.array([1.5, 2.5, 3.5, 4.5]))


# ---- what coverage should be


@pytest.mark.parametrize("averaged", [False, True])
def test_expected_coverage_is_what_right_replicas_have(averaged: bool) -> None:
    """Drawn: a truth, K replicas, and their mean or a further fit, all of one origin."""
    rng = np.random.default_rng(4)
    count, toys = 5, 200_000
    replicas = rng.standard_normal((toys, count))
    # Around the truth, 0: the mean is itself such a number; a fit of its own is another one.
    centre = replicas.mean(axis=1) if averaged else rng.standard_normal(toys)
    further = rng.standard_normal(toys) if averaged else 0.0
    pull = np.abs(further - centre) / replicas.std(axis=1, ddof=1)
    expected = expected_coverage(count, averaged=averaged)
    error = 4 * 0.5 / np.sqrt(toys)
    assert [(pull < n).mean() for n in (1, 2)] == pytest.approx(expected, abs=error)


@given(st.integers(2, 500))
def test_more_replicas_come_nearer_to_gauss(count: int) -> None:
    gauss = (0.682689, 0.954500)
    fitted, averaged = (expected_coverage(count, averaged=one) for one in (False, True))
    more = expected_coverage(count + 1, averaged=True)
    for n in range(2):
        assert averaged[n] < fitted[n] < gauss[n]
        assert averaged[n] < more[n]


def test_one_replica_has_no_spread() -> None:
    with pytest.raises(DataError, match=r"coverage: 1 replica\(s\) have no spread; make at least"):
        expected_coverage(1, averaged=False)


# ---- one sample


def test_a_fit_and_its_replicas_are_those_of_the_sample() -> None:
    train = sample()
    kind, options = kind_and_options(MAP, "estimators.map")
    fitted = fit_with_replicas(kind, train, train, options, (1, "map/0"))
    again = fit_with_replicas(kind, train, train, options, (1, "map/0"))
    other = fit_with_replicas(kind, train, train, options, (1, "map/1"))
    assert len(fitted.members) == 3
    nominal, replicas = fitted.with_replicas(train)
    assert (nominal == kind.fit(train, train, options, ()).efficiency(train)).all()
    assert (replicas == again.with_replicas(train)[1]).all()
    # Another sample has other draws, the same fit to the same events.
    assert (other.with_replicas(train)[0] == nominal).all()
    assert (other.with_replicas(train)[1] != replicas).any()


def test_coverage_of_one_sample_by_hand() -> None:
    """Off by 0.1; replicas 0 and 0.16 away have the spread 0.08 x 2 ^ 0.5 = 0.113."""
    jets = sample()
    fitted = Ensemble([Shifted(0.1), Shifted(-0.06)], Shifted(0.1))
    measured = judge(jets).measure("off", fitted, 7)
    coverage = measured.coverage
    assert coverage["efficiency"].unique().tolist() == ["off"]
    assert coverage["flavour"].tolist() == ["b", "c", "light"]
    assert coverage["sample"].unique().tolist() == [7]
    assert coverage["within_1"].tolist() == [1.0] * 3
    assert coverage["pull_rms"].to_numpy() == pytest.approx(0.1 / (0.08 * np.sqrt(2)))
    assert coverage["replicas"].tolist() == [2] * 3
    assert coverage[["expected_1", "expected_2"]].iloc[0].tolist() == pytest.approx(
        expected_coverage(2, averaged=False)
    )
    # A mean of the same two is right within less, and is expected to be less often.
    mean = judge(jets).measure("mean", Ensemble(fitted.members), 7).coverage
    assert mean["pull_rms"].to_numpy() == pytest.approx(0.02 / (0.08 * np.sqrt(2)))
    assert mean["expected_1"].iloc[0] == pytest.approx(expected_coverage(2, averaged=True)[0])


def test_accuracy_and_histograms_of_one_sample() -> None:
    jets = sample()
    fitted = Ensemble([Shifted(0.1), Shifted(-0.1)], Shifted(0.1))
    measured = judge(jets, (multiplicity(),)).measure("off", fitted, 2)
    accuracy = measured.accuracy
    assert accuracy["flavour"].tolist() == ["all", "b", "c", "light"]
    expected = excess_loss(np.array([0.5]), np.array([0.6]))[0]
    assert accuracy["regret"].to_numpy() == pytest.approx(expected)
    # The leading jet of twenty events in each bin, once each, and nothing filled by the truth.
    histograms = measured.histograms
    assert histograms["efficiency"].tolist() == ["off"] * 3
    assert histograms["sample"].tolist() == [2] * 3
    assert histograms["yield"].to_numpy() == pytest.approx(12.0)
    assert histograms["replica_1"].to_numpy() == pytest.approx(8.0)
    bins = measured.coverage[measured.coverage["variable"] == "histogram bins"]
    assert bins["count"].tolist() == [3]
    # Off by 2 in 10; replicas 12 and 8 have the spread 2.83.
    assert bins["within_1"].tolist() == [1.0]
    assert bins["pull_rms"].to_numpy() == pytest.approx(1 / np.sqrt(2))


def test_only_jets_in_the_domain_are_covered() -> None:
    jets = sample()
    inside = jets.flavour == 5
    fitted = Ensemble([Shifted(0.1), Shifted(-0.1)], Shifted(0.1))
    coverage = judge(jets, in_domain=inside).measure("off", fitted, 0).coverage
    assert coverage["count"].tolist() == [int(inside.sum()), 0, 0]


def test_an_unknown_truth_is_refused() -> None:
    jets = sample().with_columns(efficiency_true=None)
    kind, options = kind_and_options(MAP, "estimators.map")
    fitted = fit_with_replicas(kind, jets, jets, options, ())
    with pytest.raises(DataError, match="the sample has no column 'efficiency_true'"):
        judge(jets).measure("map", fitted, 0)


# ---- means over samples


def rows(within: list[float], **changes: Any) -> pd.DataFrame:
    """Coverage of b jets by one efficiency, a row per training sample."""
    columns = {
        "efficiency": "map",
        "flavour": "b",
        "variable": "all",
        "sample": range(len(within)),
        "within_1": within,
        "within_2": 0.95,
        "pull_rms": 1.1,
        "replicas": 20,
        "expected_1": 0.67,
        "expected_2": 0.94,
    }
    return pd.DataFrame({**columns, **changes})


def test_mean_coverage_by_hand() -> None:
    (row,) = repeated_coverage(rows([0.5, 0.6, 0.7, 0.8])).itertuples()
    assert (row.efficiency, row.flavour, row.of, row.samples) == ("map", "b", "jets", 4)
    assert row.replicas == 20
    assert row.within_1 == pytest.approx(0.65)
    std = np.sqrt((0.15**2 + 0.05**2) * 2 / 3)
    assert row.within_1_std == pytest.approx(std)
    assert row.within_1_error == pytest.approx(std / 2)
    assert row.pull_rms == pytest.approx(1.1)
    assert row.pull_rms_error == pytest.approx(0)
    # Two points below what is expected: just within the aim. One point above: just so, too.
    assert row.off_1 == pytest.approx(-0.02)
    assert row.beyond_1 == pytest.approx(0)
    assert row.off_2 == pytest.approx(0.01)
    assert row.beyond_2 == pytest.approx(0)
    # With errors of 6 points nobody can tell.
    assert row.meets_1 == "open"


@pytest.mark.parametrize(
    ("within", "beyond", "meets"),
    [
        (0.67, 0, "yes"),
        (0.68, 0, "yes"),
        (0.688, 0, "open"),
        (0.692, 0.002, "open"),
        (0.72, 0.03, "no"),
        (0.6, -0.05, "no"),
        (0.66, 0, "yes"),
    ],
)
def test_lines_that_miss_the_aim_say_by_how_much(within: float, beyond: float, meets: str) -> None:
    """The two samples differ by half a point: their mean has an error of a quarter."""
    table = repeated_coverage(rows([within - 0.0025, within + 0.0025], within_2=0.98))
    assert table["within_1_error"].tolist() == pytest.approx([0.0025])
    assert table["beyond_1"].tolist() == pytest.approx([beyond])
    assert table["meets_1"].tolist() == [meets]
    assert table["beyond_2"].tolist() == pytest.approx([0.03])
    assert table["meets_2"].tolist() == ["no"]


def test_jets_bins_and_efficiencies_are_averaged_apart() -> None:
    parts = [
        rows([0.5, 0.7]),
        rows([0.1, 0.1, 0.1], variable="histogram bins", flavour="all"),
        rows([0.9, 0.9], efficiency="additive", replicas=5),
    ]
    table = repeated_coverage(pd.concat(parts))
    assert table["efficiency"].tolist() == ["map", "map", "additive"]
    assert table["of"].tolist() == ["jets", "histogram bins", "jets"]
    assert table["samples"].tolist() == [2, 3, 2]
    assert table["replicas"].tolist() == [20, 20, 5]
    assert table["within_1"].tolist() == pytest.approx([0.6, 0.1, 0.9])


def test_mean_accuracy_by_hand() -> None:
    frame = pd.DataFrame(
        {
            "efficiency": "map",
            "flavour": ["all", "b"] * 2,
            "sample": [0, 0, 1, 1],
            "regret": [1e-3, 2e-3, 3e-3, 2e-3],
            "residual_mean": [0.1, 0.0, -0.1, 0.0],
        }
    )
    table = repeated_accuracy(frame)
    assert table["flavour"].tolist() == ["all", "b"]
    assert table["samples"].tolist() == [2, 2]
    assert table["regret"].tolist() == pytest.approx([2e-3, 2e-3])
    assert table["regret_std"].tolist() == pytest.approx([np.sqrt(2) * 1e-3, 0])
    assert table["regret_error"].tolist() == pytest.approx([1e-3, 0])
    assert table["residual_mean"].tolist() == pytest.approx([0, 0])
    with pytest.raises(DataError, match="accuracy: duplicate entries for efficiency 'map', flavou"):
        repeated_accuracy(pd.concat([frame, frame]))
    with pytest.raises(DataError, match="accuracy: column 'regret' is missing"):
        repeated_accuracy(frame.drop(columns="regret"))


def test_coverage_that_is_there_twice_or_not_whole_is_refused() -> None:
    frame = rows([0.6, 0.7])
    with pytest.raises(DataError, match="coverage: duplicate entries for efficiency 'map', flavou"):
        repeated_coverage(pd.concat([frame, frame]))
    for name in ("pull_rms", "expected_1", "sample"):
        with pytest.raises(DataError, match=f"coverage: column '{name}' is missing"):
            repeated_coverage(frame.drop(columns=name))


def test_maps_of_many_samples_cover_as_expected() -> None:
    """The form is right, two numbers: coverage over samples is what Student says of 10 replicas."""
    jets = sample(60)
    kind, options = kind_and_options({**MAP, "replicas": 10}, "estimators.map")
    rng = np.random.default_rng(8)
    tables = []
    for number in range(40):
        train = jets.with_columns(is_tagged=rng.random(jets.n_jets) < 0.5)
        fitted = fit_with_replicas(kind, train, train, options, (8, number))
        tables.append(judge(jets).measure("map", fitted, number).coverage)
    table = repeated_coverage(pd.concat(tables))
    error = table["within_1_error"].to_numpy()
    assert (error < 0.09).all()
    assert (np.abs(table["off_1"].to_numpy()) < 4 * error).all()
