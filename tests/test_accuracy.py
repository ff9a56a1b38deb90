"""How far efficiencies are from the truth: by hand, and where the truth must win."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import make_jets
from truthtag.data.jets import Jets
from truthtag.data.labels import Labels
from truthtag.errors import DataError
from truthtag.statistics.accuracy import (
    compare_likelihoods,
    excess_loss,
    relative_residual,
    summarise,
    tag_loss,
)

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


@pytest.fixture
def three() -> Jets:
    """Three jets: two b and a light one."""
    return make_jets(
        [2, 1],
        flavour=np.array([5, 5, 0]),
        efficiency_true=np.array([0.5, 0.8, 0.02]),
        is_tagged=np.array([True, False, False]),
    )


def test_summary_by_hand(three: Jets) -> None:
    predicted = np.array([0.25, 1.0, 0.02])
    table = summarise(three, {"q": predicted}, FLAVOURS, np.ones(3, dtype=bool)).set_index(
        "flavour"
    )
    assert table["jets"].to_dict() == {"all": 3, "b": 2, "c": 0, "light": 1}
    # The differences are 0.25 and -0.2, the mean efficiency is 0.65.
    assert table.loc["b", "residual_mean"] == pytest.approx(0.025 / 0.65)
    assert table.loc["b", "residual_rms"] == pytest.approx(0.225 / 0.65)
    assert table.loc["light", "regret"] == pytest.approx(0, abs=1e-15)
    assert table.loc["b", "log_loss"] == pytest.approx((-np.log(0.25) - np.log(1e-6)) / 2)
    assert np.isnan(table.loc["c", "regret"])


def test_summary_without_a_truth_has_the_columns_that_can_be_had(three: Jets) -> None:
    predicted, every = np.array([0.25, 1.0, 0.02]), np.ones(3, dtype=bool)
    unknown = three.with_columns(efficiency_true=None)
    table = summarise(unknown, {"q": predicted}, FLAVOURS, every, every)
    columns = ["efficiency", "flavour", "jets", "predicted", "tagged_fraction", "log_loss"]
    assert list(table) == [*columns, "in_domain"]
    row = table.set_index("flavour").loc["b"]
    assert row["predicted"] == pytest.approx(0.625)
    assert row["tagged_fraction"] == 0.5
    with_truth = summarise(three, {"q": predicted}, FLAVOURS, every, every)
    assert table["log_loss"].equals(with_truth["log_loss"])
    # Neither tags nor truth: what is left says what was predicted.
    bare = unknown.with_columns(is_tagged=None)
    assert list(summarise(bare, {"q": predicted}, FLAVOURS, every)) == columns[:4]
    untagged = three.with_columns(is_tagged=None)
    found = summarise(untagged, {"q": predicted}, FLAVOURS, every)
    assert list(found)[3:] == ["regret", "residual_mean", "residual_rms"]


def test_summary_is_of_one_working_point() -> None:
    jets = make_jets(
        [2],
        is_tagged=None,
        efficiency_true=None,
        tag_bin=np.array([0, 2]),
        labels=Labels(points=("loose", "tight")),
    )
    with pytest.raises(DataError, match=r"the sample has tags of several; .* with at_point"):
        summarise(jets, {"q": np.full(2, 0.5)}, FLAVOURS, np.ones(2, dtype=bool))


def test_summary_counts_only_chosen_jets_and_the_share_of_them_in_the_domain(three: Jets) -> None:
    predicted, chosen = np.array([0.25, 1.0, 0.02]), np.array([True, False, True])
    without = summarise(three, {"q": predicted}, FLAVOURS, chosen)
    assert "in_domain" not in without
    assert without.set_index("flavour")["jets"].to_dict() == {"all": 2, "b": 1, "c": 0, "light": 1}
    # The jet that does not count is inside, and must not count here either.
    inside = np.array([False, True, True])
    table = summarise(three, {"q": predicted, "r": predicted}, FLAVOURS, chosen, inside)
    assert list(table) == [*without, "in_domain"]
    for _, rows in table.groupby("efficiency"):
        share = rows.set_index("flavour")["in_domain"]
        assert share[["all", "b", "light"]].tolist() == [0.5, 0, 1]
        assert np.isnan(share["c"])
    one = table[table["efficiency"] == "r"].drop(columns=["in_domain"]).reset_index(drop=True)
    assert one.drop(columns="efficiency").equals(without.drop(columns="efficiency"))


def test_summary_of_no_jets_is_defined(three: Jets) -> None:
    nothing = np.zeros(3, dtype=bool)
    table = summarise(three, {"q": np.full(3, 0.5)}, FLAVOURS, nothing, nothing)
    assert (table["jets"] == 0).all()
    assert (
        table[["regret", "residual_mean", "residual_rms", "log_loss", "in_domain"]]
        .isna()
        .all(axis=None)
    )


def test_likelihoods_prefer_the_truth(sample: Jets) -> None:
    true = sample.efficiency_true
    table = compare_likelihoods(
        sample.is_tagged, {"true": true, "less": true * 0.8, "same": true.copy()}
    )
    table = table.set_index("efficiency")
    assert table.loc["true", "difference"] == table.loc["same", "significance"] == 0
    assert table.loc["less", "significance"] > 5
    expected = excess_loss(true, true * 0.8).mean()
    assert table.loc["less", "difference"] == pytest.approx(
        expected, abs=4 * table.loc["less", "error"]
    )


def test_the_truth_has_no_regret(sample: Jets) -> None:
    table = summarise(
        sample, {"true": sample.efficiency_true}, FLAVOURS, np.ones(sample.n_jets, dtype=bool)
    )
    assert table["regret"].abs().max() < 1e-15
    assert table["residual_rms"].max() == 0
    assert relative_residual(np.array([0.5]), np.array([0.25]))[0] == 0.5


NO_EFFICIENCIES = [
    (
        np.full(2, 0.5),
        r"the efficiency 'q' has shape \(2,\); it must have one value per jet, \(3,\)",
    ),
    (np.full((3, 1), 0.5), r"the efficiency 'q' has shape \(3, 1\)"),
    (np.ma.array([0.5] * 3, mask=[0, 1, 0]), "the efficiency 'q': 1 of its entries are masked"),
    (np.full(3, 0.5j), r"the efficiency 'q': holds complex numbers \(complex128\)"),
    (
        np.array([0.5, 1.5, 0.5]),
        r"the efficiency 'q' is 1\.5; it must lie in \[0, 1\] \(position 1",
    ),
    (np.array([0.5, np.nan, 0.5]), r"the efficiency 'q' is nan; it must lie in \[0, 1\]"),
    (np.array([0.5, 0.5, -1e-9]), r"the efficiency 'q' is -1e-09; it must lie in \[0, 1\]"),
]


@pytest.mark.parametrize(("wrong", "message"), NO_EFFICIENCIES)
def test_what_is_no_efficiency_of_the_jets_is_refused_by_name(
    wrong: np.ndarray, message: str, three: Jets
) -> None:
    efficiencies = {"right": np.full(3, 0.5), "q": wrong}
    with pytest.raises(DataError, match=message):
        summarise(three, efficiencies, FLAVOURS, np.ones(3, dtype=bool))
    with pytest.raises(DataError, match=message):
        compare_likelihoods(three.is_tagged, efficiencies)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.array([0, 1, 2]), "holds int64 values; give True or False for each jet, not positions"),
        (np.array([1.0, 0.0, 1.0]), "holds float64 values; give True or False"),
        (np.ones(2, dtype=bool), r"has shape \(2,\); it must have one value per jet, \(3,\)"),
        (np.ma.array([True] * 3, mask=[0, 1, 0]), "1 of its entries are masked"),
    ],
)
def test_masks_are_truth_values_of_the_jets(wrong: np.ndarray, message: str, three: Jets) -> None:
    efficiencies = {"q": np.full(3, 0.5)}
    every = np.ones(3, dtype=bool)
    with pytest.raises(DataError, match=f"chosen:? {message}"):
        summarise(three, efficiencies, FLAVOURS, wrong)
    with pytest.raises(DataError, match=f"in_domain:? {message}"):
        summarise(three, efficiencies, FLAVOURS, every, wrong)


def test_tags_are_truth_values() -> None:
    efficiencies = {"q": np.full(3, 0.5)}
    with pytest.raises(DataError, match="is_tagged: holds int64 values; give True or False"):
        compare_likelihoods(np.array([5, 3, 5]), efficiencies)
    with pytest.raises(DataError, match="is_tagged: 1 of its entries are masked"):
        compare_likelihoods(np.ma.array([True] * 3, mask=[0, 1, 0]), efficiencies)
    with pytest.raises(DataError, match=r"is_tagged has shape \(3, 1\)"):
        compare_likelihoods(np.ones((3, 1), dtype=bool), efficiencies)


def test_likelihoods_of_nothing_are_refused() -> None:
    with pytest.raises(DataError, match="likelihoods of 3 jets by 0 efficiencies cannot be"):
        compare_likelihoods(np.ones(3, dtype=bool), {})
    with pytest.raises(DataError, match="likelihoods of 0 jets by 1 efficiencies cannot be"):
        compare_likelihoods(np.zeros(0, dtype=bool), {"q": np.zeros(0)})


@pytest.mark.parametrize("measure", [excess_loss, relative_residual])
def test_two_efficiencies_are_of_the_same_jets(measure: Callable[..., np.ndarray]) -> None:
    half = np.full(3, 0.5)
    with pytest.raises(
        DataError, match=r"have shape \(3,\), predicted ones \(1,\); give one of each"
    ):
        measure(half, half[:1])
    with pytest.raises(DataError, match="true efficiencies: 1 of its entries are masked"):
        measure(np.ma.array(half, mask=[1, 0, 0]), half)
    with pytest.raises(DataError, match=r"predicted efficiencies is 1\.5; it must lie in \[0, 1\]"):
        measure(half, 3 * half)


def test_the_loss_of_tags_wants_truth_values_of_the_same_jets() -> None:
    half = np.full(3, 0.5)
    with pytest.raises(DataError, match="is_tagged: holds int64 values; give True or False"):
        tag_loss(np.array([5, 3, 5]), half)
    with pytest.raises(DataError, match=r"is_tagged has shape \(2,\)"):
        tag_loss(np.ones(2, dtype=bool), half)
    with pytest.raises(DataError, match="predicted efficiencies is nan; it must lie in"):
        tag_loss(np.ones(3, dtype=bool), half * np.nan)


def test_a_true_efficiency_of_zero_has_no_relative_residual() -> None:
    residual = relative_residual(np.array([0.0, 0.5]), np.array([0.1, 0.25]))
    assert np.isnan(residual[0])
    assert residual[1] == 0.5
