"""Verdicts on histograms: what closes, what does not, and what weighting gains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from truthtag.data.files import write_frame
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.statistics.closure import ClosureHistogram, Entries, Filling
from truthtag.statistics.distributions import dijet
from truthtag.statistics.verdict import closure_table, gains, require_closure, verdict_table
from truthtag.statistics.words import CLOSES, FAILS, UNTESTED, WITHIN
from truthtag.workflow.report import verdict_page

EDGES = np.linspace(0, 3, 11)
COLUMNS = [
    "sample", "distribution", "title", "panel", "events", "efficiency", "direct", "weighted",
    "chi2", "ndf", "chi2_ndf", "p_value", "pull", "p_sum", "p_both", "chi2_total", "p_value_total",
    "pull_total", "p_sum_total", "p_both_total", "uncertainty", "verdict", "largest_deviation",
    "direct_events", "effective_events", "gain", "gain_total", "gain_sum",
    "gain_sum_total",
]  # fmt: skip


TITLES = {"fig6": "Delta R", "fig7": "m_jj", "fig8": "others"}


def closure_histogram(entries: Entries, edges: np.ndarray) -> pd.DataFrame:
    """Fill a histogram, and return it as a table."""
    return ClosureHistogram.fill(entries, edges).to_frame()


def table_of(
    frames: dict[str, pd.DataFrame], minimum_events: float, p_value: float
) -> pd.DataFrame:
    """Test closure in the histograms of some distributions."""
    marked = [
        frame.assign(distribution=name, title=TITLES[name], spread="corrected")
        for name, frame in frames.items()
    ]
    return closure_table(pd.concat(marked), minimum_events, p_value)


@pytest.fixture(scope="module")
def figures(sample: Jets) -> dict[str, pd.DataFrame]:
    """Numbers of figures by right and wrong efficiencies; errors span what is wrong, or do not."""
    true = sample.efficiency_true
    low = np.clip(true * 0.8, 0, 1)
    factors = np.random.default_rng(1).normal(size=(20, 1))
    factors = (factors - factors.mean()) / factors.std(ddof=1)
    efficiencies = {
        "true": true,
        "right": true.copy(),
        "low": low,
        "spanned": low.copy(),
        "hardly": low.copy(),
    }
    replicas = {"spanned": low * (1 + 0.2 * factors), "hardly": low * (1 + 0.02 * factors[:9])}
    leading = dijet(sample, efficiencies, both=False, replicas=replicas)
    pairs = dijet(sample, efficiencies, both=True, replicas=replicas)
    half = sample.pt[pairs.tagged].max(axis=1) < 300

    def fill(entries: Entries, edges: np.ndarray, **what: str) -> pd.DataFrame:
        parts = {"all": np.ones(len(half), dtype=bool), "in_domain": half}
        histograms = (
            closure_histogram(entries.where(p), edges).assign(events=e, **what)
            for e, p in parts.items()
        )
        return pd.concat(histograms)

    few = np.arange(len(half)) < 15
    masses = [
        fill(pairs.mass, np.linspace(0, 800, 9), panel="m_jj", sample="other"),
        closure_histogram(pairs.mass.where(few), np.linspace(0, 800, 9)).assign(
            panel="delta_r", sample="other", events="all"
        ),
    ]
    return {
        "fig6": fill(leading.delta_r, EDGES, panel="delta_r", sample="test"),
        "fig7": fill(pairs.mass, np.linspace(0, 800, 9), panel="b-c", sample="test"),
        "fig8": pd.concat(masses),
    }


@pytest.fixture(scope="module")
def table(figures: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return table_of(figures, 10, 0.01)


def test_the_table_has_a_row_per_histogram_and_efficiency(table: pd.DataFrame) -> None:
    assert list(table) == COLUMNS
    names = ["true", "right", "low", "spanned", "hardly"]
    histograms = [
        ("test", "fig6", "Delta R", "delta_r", "all"),
        ("test", "fig6", "Delta R", "delta_r", "in_domain"),
        ("test", "fig7", "m_jj", "b-c", "all"),
        ("test", "fig7", "m_jj", "b-c", "in_domain"),
        ("other", "fig8", "others", "m_jj", "all"),
        ("other", "fig8", "others", "m_jj", "in_domain"),
        ("other", "fig8", "others", "delta_r", "all"),
    ]
    keys = ["sample", "distribution", "title", "panel", "events", "efficiency"]
    assert list(table[keys].itertuples(index=False, name=None)) == [
        (*h, name) for h in histograms for name in names
    ]
    inside, every = (
        table[(table["distribution"] == "fig6") & (table["events"] == e)]
        for e in ("in_domain", "all")
    )
    assert (inside["direct"].to_numpy() < every["direct"].to_numpy()).all()


def test_verdicts(table: pd.DataFrame) -> None:
    enough = table[(table["panel"] != "delta_r") | (table["distribution"] == "fig6")]
    verdicts = enough.groupby("efficiency")["verdict"].unique()
    assert {name: list(found) for name, found in verdicts.items()} == {
        "true": [CLOSES],
        "right": [CLOSES],
        "low": [FAILS],
        "spanned": [WITHIN],
        "hardly": [FAILS],
    }
    few = table[(table["panel"] == "delta_r") & (table["distribution"] == "fig8")]
    assert set(few["verdict"]) == {UNTESTED}
    assert (few["ndf"] == 0).all()
    assert few[["p_value", "p_value_total", "chi2_ndf"]].isna().all(axis=None)


def test_the_test_with_the_covariance_is_there_where_replicas_are(table: pd.DataFrame) -> None:
    with_replicas = table["efficiency"].isin(["spanned", "hardly"])
    for name in ("chi2_total", "gain_total", "gain_sum_total"):
        assert (table[name].notna() == with_replicas).all(), name
    tested = table[with_replicas & (table["ndf"] > 0)]
    assert (tested["chi2_total"] < tested["chi2"]).all()
    assert (tested["p_value_total"] > tested["p_value"]).all()
    # Errors of an efficiency that is wrong by a factor: the histogram as a whole has gained least.
    assert (tested["gain_total"] < tested["gain"]).all()
    assert (tested["gain_sum_total"] < tested["gain_sum"]).all()
    assert (table["chi2_ndf"] * table["ndf"])[table["ndf"] > 0].to_numpy() == pytest.approx(
        table["chi2"][table["ndf"] > 0].to_numpy()
    )


def test_deviations_and_gains_are_those_of_the_efficiency(table: pd.DataFrame) -> None:
    rows = table[(table["distribution"] == "fig6") & (table["events"] == "all")].set_index(
        "efficiency"
    )
    assert rows.loc["true", "largest_deviation"] == 1
    assert rows.loc["low", "largest_deviation"] == pytest.approx(0.8)
    # A common factor changes the yield, and not its relative error.
    for name in ("effective_events", "gain", "gain_sum"):
        assert rows.loc["low", name] == pytest.approx(rows.loc["true", name])
    assert rows.loc["low", "weighted"] == pytest.approx(0.8 * rows.loc["true", "weighted"])
    assert rows.loc["true", "direct_events"] == pytest.approx(rows.loc["true", "direct"])
    assert rows.loc["true", "gain_sum"] == pytest.approx(
        np.sqrt(rows.loc["true", "effective_events"] / rows.loc["true", "direct_events"])
    )
    assert rows.loc["true", "gain_sum"] > 1
    # An error of 20 % of everything: no better than 25 events.
    assert rows.loc["spanned", "gain_sum_total"] == pytest.approx(
        5 / np.sqrt(rows.loc["true", "direct"]), rel=0.05
    )


def test_the_table_is_the_same_from_files(
    figures: dict[str, pd.DataFrame], table: pd.DataFrame, tmp_path: Path
) -> None:
    for name, frame in figures.items():
        write_frame(frame, tmp_path / f"{name}.csv")
    again = table_of({name: pd.read_csv(tmp_path / f"{name}.csv") for name in figures}, 10, 0.01)
    pd.testing.assert_frame_equal(again, table, check_dtype=False)


def test_the_truth_need_not_be_known(figures: dict[str, pd.DataFrame]) -> None:
    unknown = figures["fig7"][figures["fig7"]["filled_by"] != "true"].assign(
        ratio=np.nan, ratio_error=np.nan
    )
    table = table_of({"fig7": unknown}, 10, 0.01).set_index(["events", "efficiency"])
    assert table["largest_deviation"].isna().all()
    assert table.loc[("all", "right"), "verdict"] == CLOSES
    assert table.loc[("all", "low"), "verdict"] == FAILS


def test_one_replica_is_none(figures: dict[str, pd.DataFrame]) -> None:
    frame = figures["fig7"]
    others = [name for name in frame if name.startswith("replica_") and name != "replica_0"]
    alone = frame.drop(columns=others).assign(efficiency_error=np.nan, gain_total=np.nan)
    table = table_of({"fig7": alone}, 10, 0.01)
    assert (
        table[["chi2_total", "p_value_total", "gain_total", "gain_sum_total"]].isna().all(axis=None)
    )
    assert set(table.loc[table["efficiency"] == "spanned", "verdict"]) == {FAILS}


def test_the_smallest_p_value_of_what_closes_is_that_of_the_config(
    figures: dict[str, pd.DataFrame],
) -> None:
    fig7 = {"fig7": figures["fig7"]}
    p_value = (
        table_of(fig7, 10, 0.01).set_index(["events", "efficiency"]).loc[("all", "right"), "p_both"]
    )
    for smallest, verdict in ((p_value, CLOSES), (np.nextafter(p_value, 1), FAILS)):
        again = table_of(fig7, 10, smallest).set_index(["events", "efficiency"])
        assert again.loc[("all", "right"), "verdict"] == verdict


def filling(
    total: list[float], error: list[float], replicas: list[list[float]] | None = None
) -> Filling:
    """Return a way of filling of which only yields, errors and replicas matter."""
    nothing = np.full(len(total), np.nan)
    by_replica = np.array(replicas or np.empty((0, len(total))), dtype=float)
    return Filling(
        np.array(total, dtype=float), np.array(error, dtype=float), *[nothing] * 5, by_replica
    )


def test_gains_by_hand() -> None:
    direct = filling([4, 9], [2, 3])
    # Two replicas that differ by sqrt(6): a standard deviation of sqrt(3) in either bin.
    a = np.sqrt(1.5)
    weighted = filling([4, 9], [1, 1], [[4 - a, 9 - a], [4 + a, 9 + a]])
    alone = gains(direct, weighted, None)
    # The sum of the bins: 1 / sqrt(13) over sqrt(2) / 13.
    assert alone["gain"] == pytest.approx((2 + 3) / 2)
    assert alone["gain_sum"] == pytest.approx(np.sqrt(13 / 2))
    assert alone["direct_events"] == pytest.approx(13)
    assert alone["effective_events"] == pytest.approx(169 / 2)
    assert np.isnan(alone["gain_sum_total"])
    # With the error of the efficiency and its correlation, sqrt(2 + 3 + 8 + 1 + 1) / 13.
    total = gains(direct, weighted, np.array([[3.0, 1.0], [1.0, 8.0]]))
    assert total["gain_total"] == pytest.approx(1.25)
    assert total["gain_sum_total"] == pytest.approx(np.sqrt(13 / 15))
    assert {**total, "gain_sum_total": None} == {**alone, "gain_sum_total": None}
    # Weights that are the tags themselves gain nothing; an efficiency without error loses nothing.
    same = gains(direct, filling([4, 9], [2, 3], [[4, 9], [4, 9]]), np.zeros((2, 2)))
    assert same == pytest.approx(
        {
            "direct_events": 13,
            "effective_events": 13,
            **dict.fromkeys(("gain", "gain_total", "gain_sum", "gain_sum_total"), 1),
        }
    )


def test_gains_count_bins_in_which_an_event_passes() -> None:
    direct = filling([4, 0, 9], [2, 0, 3])
    weighted = filling([4, 5, 9], [1, 1, 1])
    found = gains(direct, weighted, None)
    assert found["gain"] == pytest.approx(2.5)
    assert np.isnan(found["gain_total"])
    # The weighted yield of the sum has the events of that bin, too.
    assert found["gain_sum"] == pytest.approx(18 / np.sqrt(13) / np.sqrt(3))


def test_gains_of_negative_yields_are_those_of_their_relative_errors() -> None:
    direct = filling([4, 9], [2, 3])
    turned = filling([-4, -9], [2, 3])
    weighted = filling([4, 9], [1, 1])
    assert gains(turned, weighted, np.eye(2)) == pytest.approx(
        gains(direct, weighted, np.eye(2)), nan_ok=True
    )


@given(st.integers(0, 99), st.integers(1, 8), st.integers(0, 3))
def test_the_error_of_the_efficiency_never_adds_to_the_gain(
    seed: int, bins: int, replicas: int
) -> None:
    rng, count = np.random.default_rng(seed), 10 * bins
    p = rng.random(count)
    entries = Entries(
        rng.uniform(0, bins, count),
        rng.uniform(0, 2, count),
        rng.random(count) < 0.2 * p,
        {"q": p},
        {"q": np.clip(p + rng.normal(0, 0.1, (replicas, count)), 0, 1)},
    )
    frame = closure_histogram(entries, np.arange(bins + 1.0)).assign(
        sample="s", panel="m_jj", events="all"
    )
    found = table_of({"fig8": frame}, 10, 0.01).iloc[0]
    for name in ("gain", "gain_sum"):
        total, alone = found[f"{name}_total"], found[name]
        assert np.isfinite(alone) == entries.passed.any()
        assert np.isfinite(total) == (entries.passed.any() and replicas > 1)
        assert not total > alone * (1 + 1e-12)
        assert not np.isinf([total, alone]).any()


@pytest.mark.parametrize("chance", [0.0, 0.001])
@pytest.mark.parametrize("count", [0, 50])
def test_histograms_in_which_nothing_passes_are_defined(chance: float, count: int) -> None:
    p = np.full(count, chance)
    replicas = {"q": np.stack([p, p / 2, p / 3])}
    entries = Entries(
        np.full(count, 0.5),
        np.ones(count),
        np.zeros(count, dtype=bool),
        {"true": p, "q": p},
        replicas,
    )
    frame = closure_histogram(entries, np.array([0.0, 1.0, 2.0])).assign(
        sample="s", panel="m_jj", events="all"
    )
    table = table_of({"fig8": frame}, 10, 0.01)
    assert set(table["verdict"]) == {UNTESTED}
    assert table[["gain", "gain_total", "gain_sum", "gain_sum_total"]].isna().all(axis=None)
    assert not np.isinf(table.select_dtypes("number")).any(axis=None)
    assert (table["direct_events"] == 0).all()
    assert table["effective_events"].to_numpy() == pytest.approx(count if chance else 0)


def test_verdicts_side_by_side(table: pd.DataFrame) -> None:
    # Rows and columns in the order of the table, not of the alphabet.
    shuffled = table.iloc[::-1].reset_index(drop=True)
    for given_table, names in (
        (table, ["true", "right", "low", "spanned", "hardly"]),
        (shuffled, ["hardly", "spanned", "low", "right", "true"]),
    ):
        wide = verdict_table(given_table)
        assert list(wide) == ["sample", "distribution", "panel", "events", *names]
        keys = ["sample", "distribution", "panel", "events"]
        expected = given_table[keys].drop_duplicates().to_numpy().tolist()
        assert wide[keys].to_numpy().tolist() == expected
        long = wide.melt(keys, var_name="efficiency", value_name="verdict")
        both = given_table.merge(long, on=[*keys, "efficiency"], suffixes=("", "_wide"))
        assert len(both) == len(given_table) == len(long)
        # Where a verdict leans on an uncertainty, its size follows in brackets.
        words = both["verdict_wide"].str.partition(" (")[0]
        assert (both["verdict"] == words).all()
        leans = both["verdict"] == WITHIN
        assert both.loc[leans, "verdict_wide"].str.fullmatch(r".* \(\d+\.\d%\)").all()


def test_verdicts_of_an_efficiency_that_one_histogram_lacks(table: pd.DataFrame) -> None:
    lacking = table[(table["efficiency"] != "low") | (table["distribution"] != "fig7")]
    wide = verdict_table(lacking).set_index("distribution")
    assert wide["low"].isna().to_dict() == {name: name == "fig7" for name in wide.index.unique()}


def test_the_page_shows_the_verdicts_on_all_events_and_how_to_colour_them() -> None:
    verdicts = pd.DataFrame(
        {
            "sample": ["test", "test"],
            "distribution": ["m < 3", "m < 3"],
            "panel": ["all", "all"],
            "events": ["all", "in_domain"],
            "map": [FAILS, CLOSES],
            "gnn": [WITHIN, CLOSES],
            "few": [UNTESTED, CLOSES],
        }
    )
    body = verdict_page(verdicts).split("</style>")[1]
    assert body.count("<tr>") == 2
    assert (
        "".join(
            f"<th>{name}</th>" for name in ("sample", "distribution", "panel", "map", "gnn", "few")
        )
        in body
    )
    row = f'<td class="fails">{FAILS}</td><td class="within">{WITHIN}</td>'
    assert f"<td>m &lt; 3</td><td>all</td>{row}" in body
    assert f'<td class="untested">{UNTESTED}</td>' in body
    assert CLOSES not in body.replace(FAILS, "")


def test_what_must_close_and_closes_is_returned(table: pd.DataFrame) -> None:
    required = [
        {"efficiency": "right", "distribution": "fig7"},
        {"efficiency": "right", "events": "all", "sample": "test"},
        {"efficiency": "spanned", "panel": "m_jj", "sample": "other"},
    ]
    chosen = require_closure(table, required)
    # Two of fig7, one more of fig6, and two that close within their uncertainty; none twice.
    assert len(chosen) == 5
    assert set(chosen["verdict"]) == {CLOSES, WITHIN}
    assert not chosen.duplicated(["sample", "distribution", "panel", "events", "efficiency"]).any()
    assert require_closure(table, []).empty


def test_what_must_close_and_does_not_is_named(table: pd.DataFrame) -> None:
    required = [
        {"efficiency": "right", "sample": "test"},
        {"efficiency": "low", "distribution": "fig6", "events": "all"},
    ]
    row = table[
        (table["efficiency"] == "low")
        & (table["distribution"] == "fig6")
        & (table["events"] == "all")
    ].iloc[0]
    with pytest.raises(DataError) as refused:
        require_closure(table, required)
    assert str(refused.value) == (
        "1 of 5 required closures fail:\n"
        f"  low, sample test, fig6, panel delta_r, events all: does not close, "
        f"chi2 {row['chi2']:.1f} for {row['ndf']} bins\n"
        "Do not use these weights there; improve the efficiency (or give the sample more "
        "events, where there are too few), or take the entry out of closure.required."
    )


def test_what_must_close_and_has_too_few_events_fails(table: pd.DataFrame) -> None:
    with pytest.raises(
        DataError,
        match=r"(?s)4 of 4 .*sample other, fig8, panel delta_r.*: too few events, chi2",
    ):
        few = table[(table["verdict"] == UNTESTED) & (table["efficiency"] != "true")]
        require_closure(few, [{"sample": "other"}])


def test_a_requirement_that_fits_no_histogram_is_refused(table: pd.DataFrame) -> None:
    entry = {"sample": "other", "distribution": "fig6"}
    message = (
        r"closure\.required: no histogram has \{'sample': 'other', 'distribution': 'fig6'\}; "
        "see the columns of tables"
    )
    with pytest.raises(DataError, match=message):
        require_closure(table, [{"efficiency": "right"}, entry])
