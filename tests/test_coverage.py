"""Whether uncertainties are right: by hand, and where the answer is known from statistics."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hist.intervals import clopper_pearson_interval
from scipy import stats

from conftest import make_jets
from truthtag.data.jets import Jets
from truthtag.data.neighbours import nearest_jet
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.predictions import Prediction
from truthtag.statistics.coverage import (
    bin_coverage,
    calibration,
    coverage,
    coverage_table,
    jet_coverage,
)
from truthtag.statistics.spread import inflate_spread

FLAVOURS = {"b": 5, "c": 4, "light": 0}
AXES = {"pt": np.array([20.0, 150.0, 300.0, 450.0]), "delta_r": np.array([0.0, 0.5, 1.0, 2.0])}
JET_COLUMNS = [
    "efficiency", "flavour", "variable", "low", "high", "count",
    "within_1", "within_2", "pull_mean", "pull_rms",
]  # fmt: skip


def prediction(values: np.ndarray, replicas: np.ndarray | None) -> Prediction:
    return Prediction(np.zeros(len(values)), values, replicas)


@pytest.fixture(scope="module")
def gaussian(sample: Jets) -> tuple[Jets, Prediction]:
    """Jets whose true efficiency scatters as the replicas do, each with a spread of its own."""
    rng, count = np.random.default_rng(2), 50
    jets = sample.first(4000)
    spread = rng.uniform(0.01, 0.05, jets.n_jets)
    values = jets.efficiency_true + spread * rng.normal(size=jets.n_jets)
    replicas = values + spread * rng.normal(size=(count, jets.n_jets))
    return jets, prediction(values, replicas)


def test_gaussian_errors_cover_as_a_gaussian_does(gaussian: tuple[Jets, Prediction]) -> None:
    jets, predicted = gaussian
    table = jet_coverage(jets, {"q": predicted}, np.ones(jets.n_jets, dtype=bool), FLAVOURS, AXES)
    assert list(table) == JET_COLUMNS
    whole = table[table["variable"] == "all"]
    assert whole["flavour"].tolist() == list(FLAVOURS)
    assert whole["count"].tolist() == [
        (jets.flavour == number).sum() for number in FLAVOURS.values()
    ]
    # 50 replicas tell the spread to a tenth: Student's distribution with 49 degrees of freedom,
    # not yet a Gaussian.
    student = stats.t(49)
    for within in (1, 2):
        expected = student.cdf(within) - student.cdf(-within)
        assert expected == pytest.approx({1: 0.683, 2: 0.954}[within], abs=0.006)
        scatter = np.sqrt(expected * (1 - expected) / table["count"])
        assert (np.abs(table[f"within_{within}"] - expected) < 4 * scatter).all()
    assert (np.abs(table["pull_mean"]) < 4 * student.std() / np.sqrt(table["count"])).all()
    assert (np.abs(table["pull_rms"] / student.std() - 1) < 4.5 / np.sqrt(2 * table["count"])).all()


def test_a_spread_that_is_too_small_covers_too_little(gaussian: tuple[Jets, Prediction]) -> None:
    jets, predicted = gaussian
    everything = np.ones(jets.n_jets, dtype=bool)
    half = prediction(
        predicted.values, predicted.values + (predicted.replicas - predicted.values) / 2
    )
    table = jet_coverage(jets, {"right": predicted, "half": half}, everything, FLAVOURS, {})
    right, half_as_large = (
        table[table["efficiency"] == name].reset_index() for name in ("right", "half")
    )
    assert half_as_large["within_2"].tolist() == right["within_1"].tolist()
    assert (half_as_large["pull_rms"] / right["pull_rms"]).to_numpy() == pytest.approx(2)


def test_jet_coverage_by_hand() -> None:
    # Standard deviations of 0.1; the differences are 0.05, -0.15, 0.3 | 0.1.
    # The third is not chosen.
    jets = make_jets(
        [2, 2, 1],
        flavour=np.array([5, 5, 5, 5, 4]),
        pt=np.array([100.0, 50.0, 100.0, 50.0, 100.0]),
        efficiency_true=np.array([0.55, 0.35, 0.8, 0.5, 0.6]),
    )
    values = np.full(5, 0.5)
    replicas = np.array([[0.4], [0.5], [0.6]]) * np.ones(5)
    replicas[:, 3] = 0.5
    chosen = np.array([True, True, False, True, True])
    table = jet_coverage(
        jets,
        {"q": prediction(values, replicas)},
        chosen,
        FLAVOURS,
        {"pt": [40.0, 60.0, 90.0, 110.0]},
    )
    b = table[table["flavour"] == "b"]
    assert b["variable"].tolist() == ["all", "pt", "pt", "pt"]
    assert b[["low", "high"]].to_numpy()[1:].tolist() == [[40, 60], [60, 90], [90, 110]]
    assert b["count"].tolist() == [3, 2, 0, 1]
    # A jet whose replicas agree is covered where they are right; it has no pull.
    assert b["within_1"].to_numpy() == pytest.approx([2 / 3, 1 / 2, np.nan, 1], nan_ok=True)
    assert b["within_2"].to_numpy() == pytest.approx([1, 1, np.nan, 1], nan_ok=True)
    assert b["pull_mean"].to_numpy() == pytest.approx([-0.5, -1.5, np.nan, 0.5], nan_ok=True)
    assert b["pull_rms"].to_numpy() == pytest.approx([np.sqrt(1.25), 1.5, np.nan, 0.5], nan_ok=True)
    light = table[table["flavour"] == "light"]
    assert light["count"].tolist() == [0, 0, 0, 0]
    assert light[["within_1", "within_2", "pull_mean", "pull_rms"]].isna().all(axis=None)


def test_replicas_that_agree_leave_no_room() -> None:
    jets = make_jets([2], flavour=np.array([5, 5]), efficiency_true=np.array([0.5, 0.25]))
    values = np.array([0.5, 0.5])
    row = jet_coverage(
        jets,
        {"q": prediction(values, np.stack([values, values]))},
        np.ones(2, dtype=bool),
        {"b": 5},
        {},
    )
    assert row[["within_1", "within_2"]].to_numpy().tolist() == [[0.5, 0.5]]
    assert row[["pull_mean", "pull_rms"]].isna().all(axis=None)


def test_jets_outside_the_bins_count_among_all_only(sample: Jets) -> None:
    jets = sample.first(500)
    replicas = np.stack([jets.efficiency_true, jets.efficiency_true / 2])
    predicted = {"q": prediction(jets.efficiency_true, replicas)}
    table = jet_coverage(jets, predicted, np.ones(jets.n_jets, dtype=bool), {"b": 5}, AXES)
    count = table.groupby("variable")["count"].sum()
    is_b, (_, nearest) = jets.flavour == 5, nearest_jet(jets)
    assert count["all"] == is_b.sum()
    assert count["pt"] == (is_b & (jets.pt >= 20) & (jets.pt < 450)).sum() < count["all"]
    # A jet that is alone has no nearest one.
    assert count["delta_r"] == (is_b & (nearest < 2)).sum() < count["all"]


def test_efficiencies_without_a_spread_are_left_out() -> None:
    jets = make_jets([2, 3])
    values = np.full(5, 0.5)
    predicted = {
        "none": prediction(values, None),
        "one": prediction(values, values[None]),
        "two": prediction(values, np.stack([values, values])),
    }
    chosen = np.ones(5, dtype=bool)
    assert set(jet_coverage(jets, predicted, chosen, FLAVOURS, AXES)["efficiency"]) == {"two"}
    predicted.pop("two")
    nothing = jet_coverage(jets, predicted, chosen, FLAVOURS, AXES)
    assert nothing.empty
    assert list(nothing) == JET_COLUMNS


def test_coverage_needs_the_truth() -> None:
    with pytest.raises(
        DataError,
        match="coverage compares with the truth; the sample has no column 'efficiency_true'",
    ):
        jet_coverage(make_jets([2], efficiency_true=None), {}, np.ones(2, dtype=bool), FLAVOURS, {})


def histograms() -> pd.DataFrame:
    def rows(
        name: str, yields: list[float], errors: list[float], variance: list[float]
    ) -> pd.DataFrame:
        panels = ["delta_r", "delta_r", "b-b", "b-b"]
        columns = {
            "filled_by": name,
            "distribution": "any",
            "panel": panels,
            "low": [0.0, 1.0, 0.0, 100.0],
            "yield": yields,
        }
        return pd.DataFrame(
            {**columns, "efficiency_error": errors, "difference_variance": variance}
        )

    nothing = [np.nan] * 4
    parts = [
        rows("direct", [90, 40, 12, 0], nothing, nothing),
        rows("true", [100, 50, 10, 1], nothing, [50, 20, 12, 1]),
        rows("map", [110, 45, 10, 2], [5, 10, 0, 1], [50, 20, 12, 1]),
        rows("gnn", [99, 53, 13, 2], [2, 2, 2, 9], [50, 20, 12, 1]),
        rows("alone", [99, 53, 13, 2], nothing, [50, 20, 12, 1]),
    ]
    # The order of the rows does not matter.
    return pd.concat(parts, ignore_index=True).iloc[::-1]


def test_bin_coverage_by_hand() -> None:
    table = bin_coverage(histograms(), 10)
    assert list(table) == JET_COLUMNS
    assert table["efficiency"].tolist() == ["gnn", "map"]
    assert set(table["flavour"]) == {"all"}
    assert set(table["variable"]) == {"histogram bins"}
    table = table.set_index("efficiency")
    # map: pulls of -2 and 0.5; its third bin has no error, its last too few events.
    # gnn: 0.5, -1.5, -1.5.
    assert table["count"].to_dict() == {"gnn": 3, "map": 2}
    assert table["within_1"].to_dict() == pytest.approx({"gnn": 1 / 3, "map": 1 / 2})
    assert table["within_2"].to_dict() == {"gnn": 1, "map": 1}
    assert table["pull_mean"].to_dict() == pytest.approx({"gnn": -2.5 / 3, "map": -0.75})
    assert table["pull_rms"].to_dict() == pytest.approx(
        {"gnn": np.sqrt(4.75 / 3), "map": np.sqrt(4.25 / 2)}
    )


def test_bin_coverage_of_too_few_events_is_empty() -> None:
    nothing = bin_coverage(histograms(), 1000)
    assert nothing.empty
    assert list(nothing) == JET_COLUMNS


def test_coverage_table_by_hand() -> None:
    def row(
        name: str, flavour: str, variable: str, count: int, within: float, spread: str
    ) -> dict[str, object]:
        numbers = {
            "within_1": within,
            "within_2": within + 0.2,
            "pull_mean": within - 1,
            "pull_rms": within + 1,
        }
        where = {
            "flavour": flavour,
            "variable": variable,
            "low": np.nan,
            "high": np.nan,
            "count": count,
        }
        return {"efficiency": name, **where, **numbers, "spread": spread}

    numbers = pd.DataFrame(
        [
            row("map", "b", "all", 10, 0.4, "raw"),
            row("map", "b", "pt", 4, 0.1, "raw"),
            row("map", "all", "histogram bins", 3, 0.3, "raw"),
            row("map", "b", "pt", 4, 0.2, "corrected"),
            row("map", "b", "all", 10, 0.7, "corrected"),
            row("map", "all", "histogram bins", 3, 0.6, "corrected"),
        ]
    )
    scales = pd.DataFrame(
        {"efficiency": ["gnn", "map"], "flavour": "b", "scale": [3.0, 2.0], "error": [0.3, 0.2]}
    )
    table = coverage_table(numbers, scales)
    assert list(table) == [
        "efficiency", "flavour", "of", "count", "scale", "scale_error",
        "raw_within_1", "raw_within_2", "within_1", "within_2", "pull_mean", "pull_rms",
    ]  # fmt: skip
    assert len(table) == 2
    jets, bins = table.to_dict("records")
    assert [jets[name] for name in ("efficiency", "flavour", "of", "count")] == [
        "map",
        "b",
        "jets",
        10,
    ]
    assert [bins[name] for name in ("efficiency", "flavour", "of", "count")] == [
        "map",
        "all",
        "histogram bins",
        3,
    ]
    expected = {
        "scale": 2,
        "scale_error": 0.2,
        "raw_within_1": 0.4,
        "raw_within_2": 0.6,
        "within_1": 0.7,
    }
    assert {name: jets[name] for name in expected} == pytest.approx(expected)
    assert [jets[name] for name in ("within_2", "pull_mean", "pull_rms")] == pytest.approx(
        [0.9, -0.3, 1.7]
    )
    # A histogram mixes flavours, each with a scale of its own.
    assert np.isnan([bins["scale"], bins["scale_error"]]).all()
    assert [bins[name] for name in ("raw_within_1", "within_1")] == [0.3, 0.6]


def test_coverage_table_of_nothing_has_its_columns() -> None:
    numbers = bin_coverage(histograms(), 1000).assign(spread="raw")
    scales = pd.DataFrame({"efficiency": ["map"], "flavour": "b", "scale": [2.0], "error": [0.2]})
    table = coverage_table(numbers, scales)
    assert table.empty
    assert list(table)[:6] == ["efficiency", "flavour", "of", "count", "scale", "scale_error"]


def test_calibration_by_hand() -> None:
    jets = make_jets(
        [3, 3],
        flavour=np.array([5, 5, 4, 5, 5, 4]),
        is_tagged=np.array([False, True, False, True, True, False]),
        efficiency_true=np.array([0.2, 0.3, 0.1, 0.6, 0.9, 0.1]),
    )
    eff = np.array([0.1, 0.3, 0.2, 0.5, 0.9, 0.2])
    table = calibration(jets, {"q": eff, "r": eff}, FLAVOURS, 2)
    assert table[["efficiency", "flavour"]].drop_duplicates().to_numpy().tolist() == [
        [name, flavour] for name in ("q", "r") for flavour in ("b", "c")
    ]
    b = table[(table["efficiency"] == "q") & (table["flavour"] == "b")]
    # The median of 0.1, 0.3, 0.5 and 0.9 parts them.
    assert b[["low", "high"]].to_numpy().ravel() == pytest.approx([0.1, 0.4, 0.4, 0.9])
    assert b["jets"].tolist() == [2, 2]
    assert b["predicted"].to_numpy() == pytest.approx([0.2, 0.7])
    assert b["tagged_fraction"].tolist() == [0.5, 1]
    assert b["true"].to_numpy() == pytest.approx([0.25, 0.75])
    low, high = clopper_pearson_interval(np.array([1.0, 2.0]), np.array([2.0, 2.0]))
    assert b["tagged_low"].to_numpy() == pytest.approx(low)
    assert b["tagged_high"].to_numpy() == pytest.approx(high)
    assert b["tagged_high"].iloc[1] == 1
    # Both c jets have the same efficiency, and no tag; there is no light jet.
    c = table[(table["efficiency"] == "q") & (table["flavour"] == "c")]
    assert c[
        ["low", "high", "jets", "predicted", "tagged_fraction", "tagged_low"]
    ].to_numpy().tolist() == [pytest.approx([0.2, 0.2, 2, 0.2, 0, 0])]
    assert 0 < c["tagged_high"].iloc[0] < 1
    unknown = calibration(jets.with_columns(efficiency_true=None), {"q": eff}, FLAVOURS, 2)
    assert "true" not in unknown
    with pytest.raises(
        DataError, match="calibration compares with the tags; the sample has no column 'is_tagged'"
    ):
        calibration(jets.with_columns(is_tagged=None), {"q": eff}, FLAVOURS, 2)


def test_bins_of_calibration_have_as_many_jets_and_follow_each_other(sample: Jets) -> None:
    table = calibration(sample, {"true": sample.efficiency_true}, FLAVOURS, 12)
    for flavour, rows in table.groupby("flavour"):
        assert len(rows) == 12
        assert rows["jets"].sum() == (sample.flavour == FLAVOURS[flavour]).sum()
        assert rows["jets"].max() - rows["jets"].min() <= 1
        assert rows["high"].tolist()[:-1] == rows["low"].tolist()[1:]
        assert (rows["low"] < rows["predicted"]).all()
        assert (rows["predicted"] < rows["high"]).all()
        assert rows["true"].to_numpy() == pytest.approx(rows["predicted"].to_numpy())


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_value_for_all_jets_makes_one_bin(value: float, dtype: type) -> None:
    jets = make_jets([30, 40], flavour=np.full(70, 5))
    table = calibration(jets, {"q": np.full(70, value, dtype=dtype)}, FLAVOURS, 12)
    assert len(table) == 1
    row = table.iloc[0]
    assert row["jets"] == 70
    assert row[["low", "high", "predicted"]].tolist() == pytest.approx([value] * 3)
    assert row["tagged_fraction"] == pytest.approx(jets.is_tagged.mean())


def test_few_values_share_bins_and_no_jet_is_lost() -> None:
    jets = make_jets([50, 50], flavour=np.full(100, 5), is_tagged=np.zeros(100, dtype=bool))
    eff = np.repeat([0.1, 0.2, 0.8], [60, 30, 10])
    table = calibration(jets, {"q": eff}, FLAVOURS, 10)
    assert table["jets"].sum() == 100
    assert (table["jets"] > 0).all()
    assert (table["predicted"] * table["jets"]).sum() == pytest.approx(eff.sum())
    assert table[["tagged_fraction", "tagged_low"]].to_numpy().tolist() == [[0, 0]] * len(table)
    assert np.isfinite(table.select_dtypes("number")).all(axis=None)
    # More bins than jets: each jet has its own.
    each = calibration(
        make_jets([3], flavour=np.full(3, 5)), {"q": np.array([0.3, 0.1, 0.2])}, FLAVOURS, 50
    )
    assert each["jets"].sum() == 3
    assert each["predicted"].min() == pytest.approx(0.1)


def test_a_right_efficiency_lies_in_the_intervals_as_often_as_they_say(sample: Jets) -> None:
    """With tags drawn anew: in 68 % of bins at least, and hardly more where jets are many."""
    rng, inside, low_is_wrong = np.random.default_rng(4), [], []
    efficiencies = {"true": sample.efficiency_true, "low": sample.efficiency_true * 0.9}
    for _ in range(8):
        tagged = sample.with_columns(is_tagged=rng.random(sample.n_jets) < sample.efficiency_true)
        table = calibration(tagged, efficiencies, FLAVOURS, 12)
        covered = (table["tagged_low"] <= table["predicted"]) & (
            table["predicted"] <= table["tagged_high"]
        )
        inside += covered[table["efficiency"] == "true"].tolist()
        low_is_wrong += covered[(table["efficiency"] == "low") & (table["flavour"] == "b")].tolist()
    scatter = np.sqrt(0.68 * 0.32 / len(inside))
    # Clopper-Pearson intervals cover more than they say, by a few percent where a bin has some
    # 30 tags.
    assert 0.6827 - 3 * scatter < np.mean(inside) < 0.6827 + 0.04 + 3 * scatter
    assert np.mean(low_is_wrong) < 0.2


# ---- raw and corrected together


def of_both_spreads() -> pd.DataFrame:
    """Histograms of two spreads, of all events and of those in the domain."""
    one = histograms().assign(events="all", spread="raw")
    wider = one.assign(efficiency_error=2 * one["efficiency_error"], spread="corrected")
    inside = pd.concat([one, wider]).assign(events="in_domain")
    return pd.concat([one, wider, inside.assign(**{"yield": 0.0})])


def test_coverage_is_that_of_jets_and_bins_for_both_spreads(
    gaussian: tuple[Jets, Prediction],
) -> None:
    jets, predicted = gaussian
    in_domain = np.arange(jets.n_jets) % 3 > 0
    predictions = {"gnn": predicted, "alone": prediction(predicted.values, None)}
    scales = {"gnn": {5: 2.0, 4: 0.5}}
    frame = of_both_spreads()
    table = coverage(jets, predictions, in_domain, FLAVOURS, AXES, scales, frame, 10)
    assert list(table) == [*JET_COLUMNS, "spread"]
    wider = {"gnn": inflate_spread(predicted, jets, scales["gnn"])}
    expected = [
        jet_coverage(jets, predictions, in_domain, FLAVOURS, AXES).assign(spread="raw"),
        bin_coverage(histograms(), 10).assign(spread="raw"),
        jet_coverage(jets, wider, in_domain, FLAVOURS, AXES).assign(spread="corrected"),
        bin_coverage(
            histograms().assign(efficiency_error=lambda rows: 2 * rows["efficiency_error"]), 10
        ).assign(spread="corrected"),
    ]
    pd.testing.assert_frame_equal(table, pd.concat(expected, ignore_index=True), check_exact=True)
    both = coverage_table(table, pd.DataFrame(columns=["efficiency", "flavour", "scale", "error"]))
    b = both[(both["flavour"] == "b") & (both["of"] == "jets")].iloc[0]
    # Twice the spread: what was within two errors is within one.
    raw = table[(table["flavour"] == "b") & (table["variable"] == "all")].iloc[0]
    assert b["within_1"] == pytest.approx(raw["within_2"], abs=0.01)


def test_coverage_without_any_spread_has_its_columns() -> None:
    jets = make_jets([2])
    frame = of_both_spreads().assign(efficiency_error=np.nan)
    table = coverage(
        jets,
        {"alone": prediction(np.full(2, 0.5), None)},
        np.ones(2, dtype=bool),
        FLAVOURS,
        AXES,
        {},
        frame,
        10,
    )
    assert table.empty
    assert list(table) == [*JET_COLUMNS, "spread"]


def test_an_efficiency_with_replicas_needs_its_scales() -> None:
    jets = make_jets([2])
    predictions = {"gnn": prediction(np.full(2, 0.5), np.full((2, 2), 0.5))}
    with pytest.raises(DataError, match="no scale for the spread of 'gnn', only for: map"):
        coverage(
            jets,
            predictions,
            np.ones(2, dtype=bool),
            FLAVOURS,
            AXES,
            {"map": {}},
            of_both_spreads(),
            10,
        )


def test_bins_of_several_distributions_are_told_apart() -> None:
    """A mass and another mass have the same panels and the same low edges."""
    one = histograms().assign(distribution="m_jj")
    other = histograms().assign(distribution="m_12", **{"yield": 2 * histograms()["yield"]})
    table = bin_coverage(pd.concat([one, other]), 10).set_index("efficiency")
    # map: pulls of -2 and 0.5 and, with twice the difference, -4 and 1.
    assert table.loc["map", "count"] == 4
    assert table.loc["map", "pull_mean"] == pytest.approx((-2 + 0.5 - 4 + 1) / 4)


def test_bins_are_left_out_by_their_effective_events() -> None:
    """Weights a thousand times as large make the same events."""
    plain = bin_coverage(histograms().assign(mean_weight=1.0), 10)
    heavy = histograms().assign(mean_weight=1000.0)
    for column in ("yield", "efficiency_error"):
        heavy[column] = heavy[column] * 1000
    heavy["difference_variance"] = heavy["difference_variance"] * 1000**2
    pd.testing.assert_frame_equal(bin_coverage(heavy, 10), plain)
    pd.testing.assert_frame_equal(bin_coverage(histograms(), 10), plain)


def test_histograms_that_do_not_fit_are_refused() -> None:
    twice = pd.concat([histograms(), histograms()])
    with pytest.raises(
        DataError, match=r"there twice \(distribution any, panel b-b, low 100\.0, fi"
    ):
        bin_coverage(twice, 10)
    frame = histograms()
    with pytest.raises(DataError, match="no rows filled by 'true' for the bin"):
        bin_coverage(frame[frame["filled_by"] != "true"], 10)
    with pytest.raises(DataError, match="histograms: column 'low' is missing; the table has fille"):
        bin_coverage(frame.drop(columns="low"), 10)
    with pytest.raises(DataError, match="histograms: column 'events' is missing"):
        coverage(make_jets([1]), {}, np.ones(1, dtype=bool), FLAVOURS, AXES, {}, frame, 10)


def test_arrays_that_do_not_fit_the_jets_are_refused() -> None:
    jets = make_jets([2, 1])
    one = {"q": prediction(np.full(3, 0.5), np.full((2, 3), 0.5))}
    with pytest.raises(DataError, match="chosen: holds int64 values; give True or False"):
        jet_coverage(jets, one, np.array([0, 1, 2]), FLAVOURS, AXES)
    with pytest.raises(DataError, match=r"chosen has shape \(2,\)"):
        jet_coverage(jets, one, np.ones(2, dtype=bool), FLAVOURS, AXES)
    longer = {"q": prediction(np.full(4, 0.5), np.full((2, 4), 0.5))}
    with pytest.raises(DataError, match=r"the efficiency 'q' has shape \(4,\)"):
        jet_coverage(jets, longer, np.ones(3, dtype=bool), FLAVOURS, AXES)
    with pytest.raises(ConfigError, match="coverage: there is no axis 'eta'; it must be pt or del"):
        jet_coverage(jets, one, np.ones(3, dtype=bool), FLAVOURS, {"eta": [0.0, 1.0]})
    with pytest.raises(ConfigError, match=r"coverage axis 'pt': edge 1 is 1\.0, not above"):
        jet_coverage(jets, one, np.ones(3, dtype=bool), FLAVOURS, {"pt": [2.0, 1.0]})
    with pytest.raises(DataError, match=r"the efficiency 'q' has shape \(4,\)"):
        calibration(jets, {"q": np.full(4, 0.5)}, FLAVOURS, 2)
    masked = np.ma.array(np.full(3, 0.5), mask=[0, 1, 0])
    with pytest.raises(DataError, match="the efficiency 'q': 1 of its entries are masked"):
        calibration(jets, {"q": masked}, FLAVOURS, 2)
    with pytest.raises(DataError, match=r"the efficiency 'q' is 1\.5; it must lie in \[0, 1\]"):
        calibration(jets, {"q": np.full(3, 1.5)}, FLAVOURS, 2)
    with pytest.raises(ConfigError, match=r"figures\.calibration_bins is 0; it must be at least"):
        calibration(jets, {"q": np.full(3, 0.5)}, FLAVOURS, 0)


def test_calibration_of_no_jets_has_its_columns() -> None:
    table = calibration(make_jets([0]), {"q": np.zeros(0)}, FLAVOURS, 3)
    assert table.empty
    assert {"efficiency", "low", "predicted", "tagged_fraction"} <= set(table)
