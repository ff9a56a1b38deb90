"""The likelihood fit of Eq. 2: gradient, errors, regret, where the tags say nothing; its table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from estimator_kinds import fit
from scipy.optimize import OptimizeResult, approx_fprime
from scipy.stats import chi2

from conftest import make_jets
from truthtag.data.files import write_frame
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.estimators.parametric import (
    OWN,
    ParametricFit,
    _from_free,
    _information,
    _loss,
    _prepare,
    _start,
    _to_free,
)
from truthtag.statistics.accuracy import excess_loss, tag_loss
from truthtag.toy.generation import generate
from truthtag.toy.generator import Generator
from truthtag.toy.neighbour_product import NeighbourProduct


def fitted_to(jets: Jets) -> ParametricFit:
    return fit("parametric", jets)


def few_parameters(seed: int = 3) -> tuple[Any, np.ndarray]:
    """Some jets, prepared, and parameters somewhere."""
    jets = make_jets([2, 5, 1, 3] * 10, seed)
    block = _prepare(jets, (0, 4, 5), 0.0, (1.0, 1.0))
    values = np.array(
        [
            [0.3, 250.0, 200.0, 2.0, 0.2, 0.6],
            [0.5, 100.0, 300.0, 1.5, 0.4, 0.9],
            [0.9, 150.0, 250.0, 1.8, 0.6, 0.3],
        ]
    )
    return (jets, block), values


def test_the_likelihood_is_that_of_the_function() -> None:
    (jets, block), values = few_parameters()
    fitted = ParametricFit((0, 4, 5), values, np.zeros_like(values))
    loss, _ = _loss([block, block], _to_free(values))
    assert loss == pytest.approx(tag_loss(jets.is_tagged, fitted.efficiency(jets)).mean())


def test_gradient_and_information_are_exact() -> None:
    (jets, block), values = few_parameters()
    free = _to_free(values)
    np.testing.assert_allclose(_from_free(free), values)
    numeric = approx_fprime(free, lambda x: _loss([block], x)[0], 1e-7)
    np.testing.assert_allclose(_loss([block], free)[1], numeric, rtol=1e-3, atol=1e-7)

    def root(flat: np.ndarray) -> np.ndarray:
        """Twice the arc sine of the root of the efficiencies: its slopes make the information."""
        fitted = ParametricFit((0, 4, 5), flat.reshape(values.shape), values)
        return 2 * np.arcsin(np.sqrt(fitted.efficiency(jets)))

    slopes = approx_fprime(values.ravel(), root, 1e-7)
    np.testing.assert_allclose(
        _information([block], values), slopes.T @ slopes, rtol=1e-3, atol=1e-5
    )


def test_the_fit_finds_the_truth_within_its_errors(sample: Jets, truth: NeighbourProduct) -> None:
    fitted = fitted_to(sample)
    true = np.array(
        [
            # The truth of the fit has no step.
            [
                *list(vars(truth.base[flavour]).values())[:OWN],
                *vars(truth.correction[flavour]).values(),
            ]
            for flavour in fitted.flavours
        ]
    )
    # Without those of light jets: three hundred tags are too few for Gaussian errors.
    pulls = ((fitted.values - true) / fitted.errors)[1:]
    assert np.abs(pulls).max() < 4
    assert 0.5 < np.sqrt((pulls**2).mean()) < 1.5
    # Twice the excess log-likelihood is chi-square distributed, a degree of freedom per parameter
    # (Wilks).
    excess = 2 * excess_loss(sample.efficiency_true, fitted.efficiency(sample)).sum()
    assert chi2.ppf(1e-3, 18) < excess < chi2.isf(1e-3, 18)


def test_the_fit_is_as_good_as_its_parameters_are_few(
    multijet: Generator, truth: NeighbourProduct
) -> None:
    """At a thousand events, in ten samples, the regret is still about p / (2 N)."""
    (jets,) = generate(multijet, truth, range(10_000), (7, "fits"))
    parts = [jets.take(slice(first, first + 1000)) for first in range(0, 10_000, 1000)]
    excess = [2 * excess_loss(p.efficiency_true, fitted_to(p).efficiency(p)).sum() for p in parts]
    assert 0.7 * 18 < np.mean(excess) < 1.5 * 18


def test_a_flavour_without_tags_gets_no_efficiency(few: Jets) -> None:
    bare = few.with_columns(is_tagged=few.is_tagged & (few.flavour != 0))
    eff = fitted_to(bare).efficiency(bare)
    assert eff[bare.flavour == 0].max() < 1e-2
    assert eff[bare.flavour == 5].mean() == pytest.approx(
        bare.is_tagged[bare.flavour == 5].mean(), rel=0.02
    )


def test_a_flavour_that_is_always_tagged_gets_all(few: Jets) -> None:
    full = few.with_columns(is_tagged=few.is_tagged | (few.flavour == 5))
    eff = fitted_to(full).efficiency(full)
    assert eff[full.flavour == 5].min() > 0.9


def test_jets_that_are_alone_say_nothing_about_neighbours() -> None:
    fitted = fitted_to(make_jets([1] * 500))
    assert np.isinf(fitted.errors[:, 4:]).all()
    assert np.isfinite(fitted.errors[:, :1]).all()


def test_a_fit_begins_where_the_data_say() -> None:
    values = _start(np.array([0, 0, 0, 1]), np.array([True, False, True, False]))
    assert values[:, 0].tolist() == [2.5 / 4, 0.25]
    assert values.shape == (2, 6)


def test_a_sample_without_jets_is_refused(few: Jets) -> None:
    with pytest.raises(DataError, match="the sample has no jets; a fit needs some"):
        fitted_to(few.take(slice(0, 0)))


def test_a_fit_that_does_not_converge_is_refused(
    few: Jets, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(_: Any, start: np.ndarray, **__: Any) -> OptimizeResult:
        return OptimizeResult(x=start, success=False, nit=500)

    monkeypatch.setattr("scipy.optimize.minimize", give_up)
    message = (
        rf"the fit of 18 parameters to {few.n_jets} jets did not converge in 500 steps: .* "
        r"Fit it to more events"
    )
    with pytest.raises(DataError, match=message):
        fitted_to(few)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.iloc[1:], r"it has 17 rows, not one for each of 18 parameters"),
        (
            lambda frame: pd.concat([frame.iloc[1:], frame.iloc[1:2]]),
            r"cannot be read as an estimator of kind 'parametric'",
        ),
        (
            lambda frame: frame.assign(value=frame["value"].where(frame.index != 8)),
            r"'pt_width' of flavour 4 is missing, or not finite",
        ),
    ],
)
def test_a_damaged_table_is_refused(change: Any, message: str, few: Jets, tmp_path: Path) -> None:
    fitted = fitted_to(few)
    metadata = {"estimator": {"kind": "parametric", "settings": {}}}
    write_frame(change(fitted.to_frame()), tmp_path / "fit.parquet", metadata)
    with pytest.raises(DataError, match=rf"fit\.parquet: .*{message}"):
        ParametricFit.load(tmp_path / "fit.parquet")
