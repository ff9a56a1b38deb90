"""Residuals of efficiencies: jets that are hardly ever tagged do not spoil their mean."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.statistics.accuracy import relative_residual, residual_summary, summarise
from truthtag.toy.neighbour_product import NeighbourProduct

FLAVOURS = {"b": 5, "c": 4, "light": 0}
EFFICIENCIES = st.lists(st.tuples(st.floats(0.01, 1), st.floats(0, 1)), min_size=1, max_size=20)


@given(EFFICIENCIES)
def test_the_mean_is_that_of_the_residuals_weighted_with_the_truth(
    pairs: list[tuple[float, float]],
) -> None:
    true, predicted = np.array(pairs).T
    mean, rms = residual_summary(true, predicted)
    weighted = np.average(relative_residual(true, predicted), weights=true)
    assert mean == pytest.approx(weighted, abs=1e-12)
    assert rms >= 0
    # Of jets with one true efficiency it is the plain mean and standard deviation.
    alike = np.full(len(true), 0.4)
    residual = relative_residual(alike, predicted)
    expected = (residual.mean(), residual.std())
    assert residual_summary(alike, predicted) == pytest.approx(expected, abs=1e-12)


@given(EFFICIENCIES, st.floats(0.5, 1))
def test_a_common_factor_is_the_mean(pairs: list[tuple[float, float]], factor: float) -> None:
    true = np.array(pairs).T[0]
    assert residual_summary(true, factor * true)[0] == pytest.approx(1 - factor, abs=1e-12)


def test_a_jet_that_is_hardly_ever_tagged_changes_little(sample: Jets) -> None:
    true = np.array(sample.efficiency_true)
    predicted = 0.97 * true
    rare = true.copy()
    rare[0] = 1e-12
    plain = relative_residual(rare, predicted)
    assert plain.mean() < -1000
    whole = summarise(sample, {"q": predicted}, FLAVOURS, np.ones(sample.n_jets, dtype=bool))
    spoiled = sample.with_columns(efficiency_true=rare)
    found = summarise(spoiled, {"q": predicted}, FLAVOURS, np.ones(sample.n_jets, dtype=bool))
    assert whole["residual_mean"].tolist() == pytest.approx([0.03] * 4)
    for column in ("residual_mean", "residual_rms"):
        assert np.allclose(found[column], whole[column], atol=4e-3)


def test_the_hardest_b_jets_do_not_spoil_the_mean(
    boson_sample: Jets, truth: NeighbourProduct
) -> None:
    """Where the true efficiency falls to 1e-9 a map goes on with that of its last bin."""
    harder = boson_sample.with_columns(pt=np.where(boson_sample.pt > 700, 4, 1) * boson_sample.pt)
    b_jets = harder.flavour == 5
    true = truth.efficiency(harder)[b_jets]
    assert true.min() < 1e-9
    predicted = np.maximum(true, 0.01)
    assert relative_residual(true, predicted).mean() < -100
    mean, rms = residual_summary(true, predicted)
    assert -0.01 < mean < 0
    assert 0 < rms < 0.05


def test_without_a_tag_to_expect_nothing_is_said() -> None:
    for size in (0, 3):
        found = residual_summary(np.zeros(size), np.full(size, 0.5))
        assert np.isnan(found).all()


def test_single_precision_is_summed_in_double() -> None:
    true = np.full(2**20 + 1, 0.1, dtype=np.float32)
    mean, rms = residual_summary(true, np.float32(0.9) * true)
    assert mean == pytest.approx(0.1, rel=1e-6)
    assert rms < 1e-7


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match=r"true efficiencies have shape \(2,\), predicted ones"):
        residual_summary(np.array([0.1, 0.2]), np.array([0.1]))
    with pytest.raises(DataError, match="predicted efficiencies is nan; it must lie in"):
        residual_summary(np.array([0.1]), np.array([np.nan]))
