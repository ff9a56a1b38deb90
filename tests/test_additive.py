"""The additive model: bases, likelihood, fit, errors, files, and what it refuses."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from estimator_kinds import b_jets, fit, options_of
from scipy.interpolate import BSpline
from scipy.optimize import approx_fprime
from scipy.special import chdtrc

from conftest import make_jets
from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets, concatenate
from truthtag.data.kinematics import delta_r
from truthtag.data.labels import Labels
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.additive.draws import chain, root_of, shared_by_points
from truthtag.estimators.additive.engine import DesignEngine, engine_of
from truthtag.estimators.additive.estimator import AdditiveFit
from truthtag.estimators.additive.events import TaggedBlock, TaggedEvents
from truthtag.estimators.additive.fitting import _maximise, prior_of
from truthtag.estimators.additive.likelihood import BEND, SLOPES, Problem, efficiency_of
from truthtag.estimators.additive.smoothing import uncertain_smoothing
from truthtag.estimators.additive.splines import Basis, curve_basis, radial_basis
from truthtag.estimators.additive.structure import Structure
from truthtag.estimators.ensemble import Ensemble, load
from truthtag.estimators.predictions import predict
from truthtag.estimators.resampling import fit_replicas
from truthtag.estimators.table_file import PointwiseEstimator, load_replicas, save_replicas
from truthtag.statistics.accuracy import excess_loss
from truthtag.statistics.closure import ClosureHistogram, Entries
from truthtag.statistics.coverage import calibration
from truthtag.toy.generation import generate
from truthtag.toy.generator import Generator
from truthtag.toy.truth import make_truth

OWN = {"terms": [{"of": "pt"}]}
SMALL = {
    "terms": [
        {"of": "pt", "shrink": False},
        {"of": "eta"},
        {"of": ["pt", "eta"]},
        {"sum_of": "delta_r"},
        {"sum_of": "neighbour_pt", "by": "neighbour"},
    ],
    "variables": {"pt": {"intervals": 3}, "eta": {"intervals": 2, "even": True}},
    "tensor_functions": 2,
}


@pytest.fixture(scope="module")
def fitted(few: Jets) -> AdditiveFit:
    found: AdditiveFit = fit("additive", few)
    return found


def problem_of(jets: Jets, weights: np.ndarray | None = None, **changes: Any) -> Problem:
    options = options_of("additive", **changes)
    census = TaggedEvents([jets], "ignore").census(["pt", "eta", "mass"])
    structure = Structure.for_sample([jets], census.ends, (0, 4, 5), options)
    weight = np.ones(jets.n_jets) if weights is None else weights
    assert jets.is_tagged is not None
    events = [TaggedBlock(jets, jets.is_tagged, weight)]
    return Problem(structure, events, options.link, in_memory=True)


def block_of(problem: Problem) -> TaggedBlock:
    (block,) = problem.events
    return block


def some_values(problem: Problem, seed: int = 1) -> np.ndarray:
    """Return coefficients somewhere, efficiencies neither near 0 nor near 1."""
    size = len(problem.structure.coefficients)
    values = 0.03 * np.random.default_rng(seed).standard_normal(size)
    values[:3] = -1.0
    return values


# ---- functions


@pytest.mark.parametrize("intervals", [2, 5, 12])
def test_the_penalty_of_a_curve_is_the_sum_of_squared_coefficients(intervals: int) -> None:
    for even in (False, True):
        basis = curve_basis(1.0, 3.0, intervals, even=even)
        weights = basis.transform[:, basis.n_free :]
        differences = np.diff(weights, n=2, axis=0)
        identity = np.eye(basis.size - basis.n_free)
        # Of even functions, each difference but the middle one is there twice: they are counted so.
        np.testing.assert_allclose(differences.T @ differences, identity, atol=1e-8)


def test_a_curve_has_no_constant_and_one_straight_line() -> None:
    basis = curve_basis(-2.0, 5.0, 6)
    x = np.linspace(-2.0, 5.0, 50)
    values = basis(x)
    assert basis.n_free == 1
    slope = np.diff(values[:, 0]) / np.diff(x)
    np.testing.assert_allclose(slope, slope[0], rtol=1e-9)
    # Together with a constant they are all cubic splines of these knots.
    assert np.linalg.matrix_rank(np.column_stack([np.ones(50), values])) == 6 + 3
    with_even = curve_basis(0.0, 2.0, 6, even=True)
    np.testing.assert_allclose(with_even(x), with_even(-x), atol=1e-12)
    assert with_even.n_free == 0


def test_logarithmic_knots_are_equal_in_the_logarithm() -> None:
    basis = curve_basis(10.0, 1000.0, 4, logarithmic=True)
    same = curve_basis(np.log(10.0), np.log(1000.0), 4)
    x = np.geomspace(10.0, 1000.0, 30)
    np.testing.assert_allclose(basis(x), same(np.log(x)), atol=1e-9)


def test_outside_a_function_keeps_the_value_at_the_end() -> None:
    for basis in (
        curve_basis(20.0, 600.0, 5),
        curve_basis(20.0, 600.0, 5, logarithmic=True),
        curve_basis(0.0, 2.0, 4, even=True),
    ):
        ends = np.array([-basis.high if basis.is_absolute else basis.low, basis.high])
        beyond = ends + np.array([-7.0, 7.0])
        np.testing.assert_allclose(basis(beyond), basis(ends), atol=1e-12)


def bending(basis: Basis, reach: float) -> np.ndarray:
    """Integrate the bending of each pair of radial functions, knot by knot, by quadrature."""
    spline = BSpline(basis.knots, basis.transform, 3)
    slope, curvature = spline.derivative(1), spline.derivative(2)
    nodes, weights = np.polynomial.legendre.leggauss(12)
    total = np.zeros((basis.size, basis.size))
    ends = np.linspace(0.0, reach, basis.intervals // 2 + 1)
    for low, high in pairwise(ends):
        r = 0.5 * (high - low) * nodes + 0.5 * (high + low)
        dr = 0.5 * (high - low) * weights
        total += curvature(r).T @ (curvature(r) * (r * dr)[:, None])
        total += slope(r).T @ (slope(r) * (dr / r)[:, None])
    return total


@pytest.mark.parametrize("intervals", [3, 12])
def test_the_penalty_of_a_pair_function_is_the_bending_in_the_plane(intervals: int) -> None:
    basis = radial_basis(2.5, intervals)
    np.testing.assert_allclose(bending(basis, 2.5), np.eye(basis.size), atol=2e-4)


def test_pair_functions_are_flat_at_0_and_end_at_the_reach() -> None:
    basis = radial_basis(3.0, 6)
    spline = BSpline(basis.knots, basis.transform, 3)
    np.testing.assert_allclose(spline.derivative(1)(0.0), 0.0, atol=1e-12)
    for order in (0, 1, 2):
        np.testing.assert_allclose(spline.derivative(order)(3.0 - 1e-12), 0.0, atol=1e-9)
    np.testing.assert_allclose(basis(np.array([3.0, 3.5, 100.0])), 0.0, atol=1e-12)
    assert np.abs(basis(np.array([0.0]))).min() > 0


# ---- the likelihood


@pytest.mark.parametrize("link", ["log", "logit"])
def test_slopes_are_those_of_the_likelihood(link: Any) -> None:
    total = np.array([-6.0, -1.0, -0.2, np.log(BEND) - 1e-3, np.log(BEND) + 0.02, 0.1])
    step = 1e-6
    for is_tagged in (np.ones(6, dtype=bool), np.zeros(6, dtype=bool)):
        at = SLOPES[link](total, is_tagged)
        eff = efficiency_of(total, link)
        likelihood = np.log(np.where(is_tagged, eff, 1 - eff))
        np.testing.assert_allclose(at.likelihood, likelihood, rtol=1e-9)
        above = SLOPES[link](total + step, is_tagged).likelihood
        below = SLOPES[link](total - step, is_tagged).likelihood
        np.testing.assert_allclose(at.gradient, (above - below) / (2 * step), rtol=1e-5, atol=1e-8)
        # The mean of the squared gradient over tags is the expected information.
    tagged = SLOPES[link](total, np.ones(6, dtype=bool)).gradient
    others = SLOPES[link](total, np.zeros(6, dtype=bool)).gradient
    eff = efficiency_of(total, link)
    expected = eff * tagged**2 + (1 - eff) * others**2
    np.testing.assert_allclose(at.information, expected, rtol=1e-9)
    np.testing.assert_allclose(eff * tagged + (1 - eff) * others, 0.0, atol=1e-12)


def test_the_link_log_is_smooth_and_stays_below_1() -> None:
    total = np.linspace(np.log(BEND) - 0.1, 2.0, 4001)
    eff = efficiency_of(total, "log")
    assert (np.diff(eff) >= 0).all()
    assert eff.max() <= 1.0
    slope = np.diff(eff) / np.diff(total)
    assert np.abs(np.diff(slope)).max() < 0.02
    below = total < np.log(BEND)
    np.testing.assert_allclose(eff[below], np.exp(total[below]), rtol=1e-12)


@pytest.mark.parametrize("link", ["log", "logit"])
def test_sums_over_jets_have_the_slopes_of_the_likelihood(link: Any) -> None:
    jets = make_jets([2, 5, 1, 3] * 6)
    weights = np.random.default_rng(2).normal(1.0, 0.5, jets.n_jets)
    problem = problem_of(jets, weights, link=link, **SMALL)
    values = some_values(problem)
    sums = problem.sums_at(values)
    design = explicit(problem)

    def likelihood_at(there: np.ndarray) -> float:
        return float(
            weights @ SLOPES[problem.link](design @ there, block_of(problem).is_tagged).likelihood
        )

    numeric = approx_fprime(values, likelihood_at, 1e-6)
    np.testing.assert_allclose(sums.gradient, numeric, atol=2e-3)
    likelihood = likelihood_at(values)
    at = SLOPES[problem.link](design @ values, block_of(problem).is_tagged)
    assert sums.likelihood == pytest.approx(likelihood, rel=1e-5)
    information = design.T @ (design * (weights * at.information)[:, None])
    np.testing.assert_allclose(sums.information, information, atol=1e-3)


def test_integer_weights_are_repeated_events() -> None:
    jets = make_jets([2, 4, 3] * 5)
    repeats = np.random.default_rng(1).integers(1, 4, jets.n_events)
    problem = problem_of(jets, repeats[jets.event_of_jet].astype(float), **SMALL)
    several = jets.take(np.repeat(np.arange(jets.n_events), repeats))
    several = several.with_columns(event=np.arange(several.n_events))
    once = TaggedBlock(several, several.is_tagged, np.ones(several.n_jets))
    again = replace(problem, events=[once])
    values = some_values(problem)
    one, other = problem.sums_at(values), again.sums_at(values)
    assert one.likelihood == pytest.approx(other.likelihood, rel=1e-6)
    np.testing.assert_allclose(one.gradient, other.gradient, atol=1e-3)
    np.testing.assert_allclose(one.information, other.information, atol=1e-3)


def test_a_common_scale_of_the_weights_does_not_matter(few: Jets) -> None:
    some = few.first(60)
    plain = fit("additive", some.with_columns(weight=np.ones(60)), weights="use", **SMALL)
    scaled = fit("additive", some.with_columns(weight=np.full(60, 4.0)), weights="use", **SMALL)
    np.testing.assert_allclose(scaled.values, plain.values, rtol=1e-12)
    np.testing.assert_allclose(scaled.covariance, plain.covariance, rtol=1e-12)


def test_negative_weights_cancel_positive_ones(few: Jets) -> None:
    """Events that occur with weights 1 and -1, at a tenth of the size, change nothing."""
    some = few.first(150)
    twice = np.r_[np.arange(150), np.arange(15), np.arange(15)]
    weight = np.r_[np.ones(150), np.ones(15), -np.ones(15)]
    jets = some.take(twice).with_columns(event=np.arange(len(twice)), weight=weight)
    problem = problem_of(jets, weight[jets.event_of_jet], **SMALL)
    alone = problem_of(some, **SMALL)
    values = some_values(alone)
    one, other = problem.sums_at(values), alone.sums_at(values)
    assert one.likelihood == pytest.approx(other.likelihood, rel=1e-5)
    np.testing.assert_allclose(one.information, other.information, atol=2e-3)
    found = fit("additive", jets, weights="use", **SMALL)
    assert np.isfinite(found.values).all()


# ---- a plain reference


def explicit(problem: Problem) -> np.ndarray:
    """Return a row of all coefficients per jet, by loops over jets and pairs."""
    structure, jets = problem.structure, block_of(problem).jets
    design = np.zeros((jets.n_jets, len(structure.coefficients)))
    for jet in range(jets.n_jets):
        found = functions_of(jet, problem)
        for column, (name, flavour, neighbour, function) in enumerate(structure.coefficients):
            if flavour in (-1, jets.flavour[jet]):
                design[jet, column] = found[name, neighbour][function]
    return design


def functions_of(jet: int, problem: Problem) -> dict[tuple[str, int], np.ndarray]:
    """Return the functions of one jet by term and flavour of the neighbours, -1 for all."""
    jets = block_of(problem).jets
    event = jets.event_of_jet[jet]
    others = [j for j in range(jets.offsets[event], jets.offsets[event + 1]) if j != jet]
    found = {("constant", -1): np.ones(1)}
    for term in problem.structure.terms:
        if not term.name.startswith("sum of"):
            own = [np.array([float(getattr(jets, one)[jet])]) for one in term.variables]
            found[term.name, -1] = term.functions(own)[0]
            continue
        sums = {flavour: np.zeros(term.size) for flavour in (-1, 0, 4, 5)}
        for other in others:
            distance = delta_r(jets.eta[jet], jets.phi[jet], jets.eta[other], jets.phi[other])
            known = {"delta_r": distance, "neighbour_pt": jets.pt[other]}
            pair = [np.array([float(known[one])]) for one in term.variables]
            for flavour in (-1, int(jets.flavour[other])):
                sums[flavour] += term.functions(pair)[0]
        found |= {(term.name, flavour): values for flavour, values in sums.items()}
    return found


@pytest.mark.parametrize("link", ["log", "logit"])
def test_the_fit_is_the_largest_penalised_likelihood(few: Jets, link: Any) -> None:
    """Iteratively reweighted least squares on the explicit design, at the weights that it chose."""
    problem = problem_of(few.first(60), link=link, **SMALL)
    found = _maximise(problem, None, 200)
    prior = prior_of(problem)
    design = explicit(problem)
    values = prior.centre.copy()
    for _ in range(60):
        at = SLOPES[link](design @ values, block_of(problem).is_tagged)
        information = design.T @ (design * at.information[:, None]) + np.diag(found.ridge)
        gradient = design.T @ at.gradient - found.ridge * (values - prior.centre)
        values = values + 0.7 * np.linalg.solve(information, gradient)
    inverse = np.linalg.inv(information)
    error = np.sqrt(np.diag(inverse))
    assert np.abs((found.values - values) / error).max() < 0.03
    known = 1 - found.ridge * np.diag(inverse)
    np.testing.assert_allclose(found.effective, known, atol=5e-3)
    added = uncertain_smoothing(problem.structure.penalties, values, found.smoothing, inverse)
    expected = inverse + added
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    np.testing.assert_allclose(found.covariance / scale, expected / scale, atol=0.05)
    # The fixed point of Wood and Fasiolo, where the data decide.
    for weight, penalty in zip(found.smoothing, problem.structure.penalties, strict=True):
        effective = found.effective[penalty.which].sum()
        if effective > 0.3:
            squares = (found.values[penalty.which] ** 2).sum()
            assert weight * squares == pytest.approx(effective, abs=0.05)


def test_uncertain_smoothing_by_hand() -> None:
    """One coefficient with the information h and the penalty weight l, where all is a number."""
    problem = problem_of(b_jets([1] * 4, pt=[30, 40, 50, 60], is_tagged=[1, 0, 1, 0]), **OWN)
    penalty = problem.structure.penalties[0]._replace(which=np.array([0]))
    beta, info, weight = 0.7, 20.0, 5.0
    inverse = 1 / (info + weight)
    slope = -weight * inverse * beta
    curvature = 0.5 * weight * beta**2 + 0.5 * weight * inverse
    curvature -= weight**2 * beta**2 * inverse + 0.5 * (weight * inverse) ** 2
    expected = slope**2 / (max(curvature, 0.0) + 1 / 9)
    added = uncertain_smoothing(
        [penalty], np.array([beta]), np.array([weight]), np.array([[inverse]])
    )
    assert added[0, 0] == pytest.approx(expected)
    # The slope is that of the fitted coefficient, moved with the logarithm of the weight.
    step = 1e-6
    moved = info * (beta / (info * inverse)) / (info + weight * np.exp(step))
    assert (moved - beta) / step == pytest.approx(slope, rel=1e-4)


# ---- small cases


@pytest.mark.parametrize("link", ["log", "logit"])
def test_a_constant_efficiency_is_the_tagged_fraction(link: str) -> None:
    """Tags that go with nothing: every function is taken to 0."""
    rng = np.random.default_rng(5)
    pt = np.tile(np.repeat(rng.uniform(20, 600, 200), 5), 3).astype(np.float32)
    flavour = np.repeat(np.array([0, 4, 5], dtype=np.int8), 1000)
    # Of five jets with the same pT, one, two or three are tagged.
    place = np.tile(np.arange(5), 600)
    is_tagged = place < np.repeat([1, 2, 3], 1000)
    jets = make_jets([1] * 3000, pt=pt, flavour=flavour, is_tagged=is_tagged)
    found = fit("additive", jets, link=link, **OWN)
    wanted = np.repeat([0.2, 0.4, 0.6], 1000)
    np.testing.assert_allclose(found.efficiency(jets), wanted, rtol=1e-3)


def test_the_logit_balances_every_flavour(few: Jets) -> None:
    found = fit("additive", few, link="logit")
    eff = found.efficiency(few)
    for flavour in (0, 4, 5):
        chosen = few.flavour == flavour
        tags = few.is_tagged[chosen].sum()
        # Left over by the last Newton step and single precision.
        assert eff[chosen].sum() == pytest.approx(tags, abs=0.02 * np.sqrt(tags) + 1e-3)


def test_the_logarithm_balances_tags_weighted_by_the_odds(fitted: AdditiveFit, few: Jets) -> None:
    """The likelihood equation of its constant: sum of (t - e) / (1 - e) = 0."""
    eff = fitted.efficiency(few)
    for flavour in (0, 4, 5):
        chosen = few.flavour == flavour
        pulls = (few.is_tagged[chosen] - eff[chosen]) / (1 - eff[chosen])
        tags = few.is_tagged[chosen].sum()
        assert abs(pulls.sum()) < 0.05 * np.sqrt(tags) + 1e-3
        assert eff[chosen].sum() == pytest.approx(tags, abs=0.5 * np.sqrt(tags))


@pytest.mark.parametrize("link", ["log", "logit"])
@pytest.mark.parametrize("tagged", [False, True])
@pytest.mark.filterwarnings("ignore")
def test_a_flavour_without_tags_or_without_others_has_an_end(
    few: Jets, link: str, tagged: bool
) -> None:
    some = few.first(100)
    is_tagged = np.where(some.flavour == 0, tagged, some.is_tagged)
    jets = some.with_columns(is_tagged=is_tagged)
    found = fit("additive", jets, link=link, **SMALL)
    light = jets.flavour == 0
    many = light.sum()
    eff = found.efficiency(jets)[light]
    missed = 1 - eff if tagged else eff
    assert 0 < missed.mean() < 1 / many
    drawn = DesignEngine(found.drawn(20, (1,))).efficiencies(jets)[:, light]
    # In logarithms some are far away, in efficiencies few are.
    assert np.median(np.abs(drawn - eff)) < 1 / many


def test_functions_out_of_range_are_constant(fitted: AdditiveFit) -> None:
    highest = fitted.structure.terms[0].bases[0].high
    at_end = b_jets([1, 1], pt=[highest, highest], eta=[0.3, -0.3])
    beyond = b_jets([1, 1], pt=[2 * highest, 5 * highest], eta=[0.3, -0.3])
    np.testing.assert_allclose(fitted.efficiency(beyond), fitted.efficiency(at_end), rtol=1e-12)
    # A neighbour beyond the reach does nothing.
    far = b_jets([2], pt=[60.0, 40.0], eta=[-1.8, 1.8])
    alone = b_jets([1], pt=[60.0], eta=[-1.8])
    assert fitted.efficiency(far)[0] == pytest.approx(fitted.efficiency(alone)[0], rel=1e-12)


def test_a_flavour_that_nothing_was_learned_of(few: Jets, caplog: pytest.LogCaptureFixture) -> None:
    jets = few.first(60).with_columns(labels=Labels(flavours=(0, 4, 5, 15)))
    found = fit("additive", jets, **SMALL)
    assert "no jet of the training sample has flavour 15" in caplog.text
    strange = make_jets([2], flavour=np.array([15, 5]))
    alone = strange.take([0]).with_columns()
    eff = found.efficiency(strange)
    assert eff[0] == 0.5
    # As a neighbour it does nothing.
    b_alone = make_jets(
        [1], **{name: getattr(strange, name)[1:] for name in ("pt", "eta", "phi", "flavour")}
    )
    assert alone.n_jets == 2
    assert eff[1] == pytest.approx(found.efficiency(b_alone)[0], rel=1e-6)


# ---- invariances


def test_rotations_and_reflections_change_nothing(fitted: AdditiveFit, few: Jets) -> None:
    turned = few.with_columns(phi=((few.phi + 2.0 + np.pi) % (2 * np.pi) - np.pi).astype("f4"))
    mirrored = few.with_columns(eta=-few.eta)
    eff = fitted.efficiency(few)
    np.testing.assert_allclose(fitted.efficiency(turned), eff, rtol=1e-4)
    np.testing.assert_allclose(fitted.efficiency(mirrored), eff, rtol=1e-6)
    uneven = fit("additive", few.first(60), **{**SMALL, "variables": {"eta": {"intervals": 2}}})
    apart = uneven.efficiency(mirrored.first(60)) - uneven.efficiency(few.first(60))
    assert np.abs(apart).max() > 1e-4


def test_neither_the_order_of_events_nor_of_jets_matters(fitted: AdditiveFit, few: Jets) -> None:
    order = np.random.default_rng(0).permutation(few.n_events)
    moved = few.take(order)
    again = fit("additive", moved)
    np.testing.assert_allclose(again.efficiency(few), fitted.efficiency(few), rtol=2e-3)


def test_columns_made_anew_are_columns_kept(few: Jets) -> None:
    some = few.first(100)
    kept = fit("additive", some, **SMALL)
    anew = fit("additive", some, jets_in_memory=1, **SMALL)
    assert np.array_equal(kept.values, anew.values)
    assert np.array_equal(kept.covariance, anew.covariance)


def test_to_begin_with_some_of_the_events_changes_nothing(
    few: Jets, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = fit("additive", few)
    monkeypatch.setattr("truthtag.estimators.additive.fitting.WORTHWHILE", 100)
    warm = fit("additive", few)
    error = np.std([one.efficiency(few) for one in alone.drawn(10, (1,))], axis=0)
    apart = np.abs(warm.efficiency(few) - alone.efficiency(few))
    # As far as the fit ends from where it would end at last.
    assert (apart / error).max() < 0.3
    # A flavour that some of the events lack is no obstacle.
    rare = few.flavour.copy()
    rare[:] = np.where(rare == 4, 0, rare)
    rare[few.offsets[1]] = 4
    fit("additive", few.with_columns(flavour=rare), **SMALL)


# ---- several columns, points, files


def with_tracks(jets: Jets) -> Jets:
    tracks = np.random.default_rng(4).poisson(6.0, jets.n_jets)
    return jets.with_columns(further={"n_tracks": tracks})


def test_a_further_column_is_learned(sample: Jets) -> None:
    jets = with_tracks(sample.first(1500))
    eff = np.where(jets.further["n_tracks"] < 7, 0.2, 0.6)
    tagged = np.random.default_rng(1).random(jets.n_jets) < eff
    jets = jets.with_columns(is_tagged=tagged, efficiency_true=eff)
    terms = [{"of": "n_tracks"}, {"sum_of": "delta_r", "by": "neighbour"}]
    variables = {"n_tracks": {"range": [-0.5, 20.5], "intervals": 42}}
    found = fit("additive", jets, terms=terms, variables=variables)
    assert excess_loss(eff, found.efficiency(jets)).mean() < 0.004
    with pytest.raises(DataError, match="the jets have no column 'n_tracks'"):
        found.efficiency(sample.first(2))


@pytest.mark.parametrize(
    "terms",
    [
        [{"sum_of": ["delta_r", "neighbour_pt"]}],
        [{"sum_of": ["delta_eta", "delta_phi"], "by": "jet"}],
        [{"sum_of": "delta_eta", "by": "none"}, {"of": "pt", "by": "none"}],
        [{"of": "mass", "shrink": False}, {"sum_of": "delta_phi"}],
    ],
)
def test_other_terms(terms: list[Any], few: Jets) -> None:
    mass = np.random.default_rng(1).uniform(1, 9, few.n_jets).astype(np.float32)
    jets = few.first(80).with_columns(mass=mass[: few.first(80).n_jets])
    problem = problem_of(jets, terms=terms)
    found = fit("additive", jets, terms=terms)
    assert len(found.values) == len(problem.structure.coefficients)
    again = AdditiveFit.from_frame(found.to_frame(), **found.settings)
    assert np.array_equal(again.efficiency(jets), found.efficiency(jets))


def with_points(jets: Jets) -> Jets:
    passed = np.random.default_rng(6).geometric(0.5, jets.n_jets)
    tag_bin = np.where(jets.is_tagged, np.minimum(passed, 2), 0)
    labels = Labels(flavours=(0, 4, 5), points=("loose", "tight"))
    return jets.with_columns(is_tagged=None, tag_bin=tag_bin, efficiency_true=None, labels=labels)


def test_several_working_points_and_their_replicas(few: Jets, tmp_path: Path) -> None:
    jets = with_points(few.first(100))
    found = fit("additive", jets, **SMALL)
    assert isinstance(found, PointwiseEstimator)
    options = options_of("additive", **SMALL)
    replicas = fit_replicas(AdditiveFit, jets, jets, options, 60, (1, "a"))
    prediction = predict(Ensemble(replicas[:2], found), jets)
    assert prediction.replicas is not None
    assert prediction.replicas.shape == (2, jets.n_jets, 2)
    save_replicas(replicas[:2], tmp_path / "r.parquet", {})
    first = load_replicas(tmp_path / "r.parquet")[0]
    assert np.array_equal(first.efficiency(jets), replicas[0].efficiency(jets))
    # Errors of the two points go together, not fully.
    is_b = jets.flavour == 5
    total = []
    for point in ("loose", "tight"):
        engine = DesignEngine([replica.at_point(point) for replica in replicas])
        total.append(engine.efficiencies(jets)[:, is_b].mean(axis=1))
    correlation = np.corrcoef(total)[0, 1]
    assert 0.3 < correlation < 0.95


def test_tags_at_two_points_share_what_the_formula_says(few: Jets) -> None:
    jets = with_points(few)
    (shared,) = shared_by_points([jets], (0, 4, 5))
    passes = jets.passes().astype(float)
    for flavour, correlation in shared.items():
        chosen = jets.flavour == flavour if flavour >= 0 else np.ones(jets.n_jets, dtype=bool)
        assert correlation == pytest.approx(np.corrcoef(passes[chosen].T)[0, 1])
    first, second, third = chain((1,), 20_000, [np.full(20_000, 0.5), np.full(20_000, 0.6)])
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(0.5, abs=0.03)
    assert np.corrcoef(first, third)[0, 1] == pytest.approx(0.3, abs=0.03)
    assert third.std() == pytest.approx(1.0, abs=0.03)


def test_draws_have_the_covariance(fitted: AdditiveFit) -> None:
    assert fitted.covariance is not None
    root = root_of(fitted.covariance)
    np.testing.assert_allclose(root @ root, fitted.covariance, atol=1e-10)
    count = 2000
    draws = np.stack([one.values for one in fitted.drawn(count, (3,))]) - fitted.values
    error = np.sqrt(np.diag(fitted.covariance))
    pulls = (draws / error).std(axis=0)
    assert np.abs(pulls - 1).max() < 5 / np.sqrt(2 * count)
    pair = int(np.argmax(np.abs(np.triu(fitted.covariance / np.outer(error, error), 1))))
    i, j = divmod(pair, len(error))
    wanted = fitted.covariance[i, j] / (error[i] * error[j])
    assert np.corrcoef(draws[:, i], draws[:, j])[0, 1] == pytest.approx(wanted, abs=0.08)
    with pytest.raises(DataError, match="a replica has no covariance to draw from"):
        fitted.drawn(1, (3,))[0].drawn(1, (4,))


def test_replicas_together_are_replicas_one_by_one(fitted: AdditiveFit, few: Jets) -> None:
    replicas = fitted.drawn(3, (1,))
    ensemble = Ensemble(replicas, fitted)
    quick = ensemble.accelerated()
    assert isinstance(quick.engine, DesignEngine)
    for one, other in zip(ensemble.with_replicas(few), quick.with_replicas(few), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-12)
    assert engine_of([replicas[0], replace(replicas[1], link="logit")]) is None


def test_a_file_says_what_was_learned(fitted: AdditiveFit, few: Jets, tmp_path: Path) -> None:
    fitted.save(tmp_path / "a.parquet", {})
    again = load(tmp_path / "a.parquet")
    assert np.array_equal(again.covariance, fitted.covariance)
    assert np.array_equal(again.efficiency(few), fitted.efficiency(few))
    assert again.describe() == fitted.describe()
    assert re.match(r"\d+\.\d effective parameters \(pt \d", fitted.describe())
    assert fitted.notes["effective_parameters"] == fitted.n_effective
    assert sum(one["effective_parameters"] for one in fitted.notes["penalties"].values()) < (
        fitted.n_effective
    )
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes())
    fitted.save(tmp_path / "a.parquet", {})
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


# ---- what it refuses


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"terms": [{"of": "phi"}]},
            "'phi' is not allowed; allowed are pt, eta, mass, and further",
        ),
        ({"terms": [{"of": "score"}]}, "'score' is not allowed"),
        ({"terms": [{"of": ["pt", "pt"]}]}, "name one variable, or two that differ"),
        ({"terms": [{"sum_of": "pt"}]}, "'pt' is not allowed; allowed are delta_r, delta_eta"),
        ({"terms": [{"of": "pt"}, {"of": ["pt"]}]}, "terms: pt is there twice"),
        ({"terms": []}, "terms"),
        ({**OWN, "variables": {"ptt": {}}}, "no term is of 'ptt'; leave it out. Did you mean 'pt'"),
        ({"link": "probit"}, "'log' or 'logit'"),
        (
            {"variables": {"eta": {"even": True, "logarithmic": True}}},
            "an even function has no logarithmic knots",
        ),
        (
            {"variables": {"pt": {"range": [0, 9], "logarithmic": True}}},
            "range begins at 0, and has no logarithm; begin above 0",
        ),
    ],
)
def test_options_that_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(text)):
        options_of("additive", **changes)


def test_data_that_are_refused(few: Jets) -> None:
    some = few.first(60)
    flat = some.with_columns(pt=np.full(some.n_jets, 50.0, dtype=np.float32))
    with pytest.raises(DataError, match="column 'pt' of the training jets is 50 to 50; it must v"):
        fit("additive", flat)
    tracks = with_tracks(some)
    wrong = {"terms": [{"of": "n_tracks"}], "variables": {"n_tracks": {"logarithmic": True}}}
    with pytest.raises(
        DataError, match=r"begins at 0, and has no logarithm; set variables\.n_tracks"
    ):
        fit("additive", tracks.with_columns(further={"n_tracks": np.arange(some.n_jets)}), **wrong)
    with pytest.raises(DataError, match="did not settle in 1 steps: the tags do not determine it"):
        fit("additive", some, max_steps=1)
    with pytest.raises(DataError, match="the sample has no jets; a fit needs some"):
        fit("additive", make_jets([0, 0]))
    with pytest.raises(DataError, match="the weights of the training jets sum to"):
        fit("additive", some.with_columns(weight=-np.ones(60)), weights="use")


def test_weights_without_a_largest_likelihood_are_refused() -> None:
    some = make_jets([1] * 60, flavour=np.repeat([5, 5, 4], 20))
    weight = np.repeat([1.0, 1.0, -0.5], 20)
    with pytest.raises(DataError, match=r"no largest likelihood: .* Set weights: absolute"):
        fit("additive", some.with_columns(weight=weight), weights="use")


def test_tables_that_are_refused(fitted: AdditiveFit) -> None:
    frame = fitted.to_frame()
    with pytest.raises(DataError, match=r"its \d+ rows are not the \d+ coefficients of its terms"):
        AdditiveFit.from_frame(frame.iloc[1:], **fitted.settings)
    with pytest.raises(DataError, match="a coefficient, or what belongs to it, is not finite"):
        AdditiveFit.from_frame(frame.assign(value=np.nan), **fitted.settings)
    short = frame.assign(covariance=[row[:-1] for row in frame["covariance"]])
    with pytest.raises(DataError, match="its covariance has rows of other lengths than"):
        AdditiveFit.from_frame(short, **fitted.settings)


def test_long_tails_have_logarithmic_knots() -> None:
    pt = np.r_[np.linspace(20, 100, 50), 2000.0].astype(np.float32)
    jets = b_jets([1] * 51, pt=pt.tolist(), is_tagged=[1, 0, 1] * 17)
    assert problem_of(jets, **OWN).structure.terms[0].bases[0].logarithmic
    stated = {**OWN, "variables": {"pt": {"logarithmic": False}}}
    assert not problem_of(jets, **stated).structure.terms[0].bases[0].logarithmic
    short = b_jets([1] * 3, pt=[20.0, 50.0, 100.0], is_tagged=[1, 0, 1])
    assert not problem_of(short, **OWN).structure.terms[0].bases[0].logarithmic


def test_a_step_that_it_cannot_follow_shows_in_closure_and_calibration(
    multijet: Generator, default_config: dict[str, Any]
) -> None:
    """The truth of `config/studies/sharp_step.yaml`: tags alone say that a smooth model fails."""
    options = copy.deepcopy(default_config["truth"])
    for base in options["base"].values():
        base["step"] = {"pt": 150.0, "factor": 0.6}
    truth = make_truth(options, default_config["flavours"])
    train, test = (
        concatenate(list(generate(multijet, truth, range(100_000), (1, name))))
        for name in ("train", "test")
    )
    assert test.efficiency_true is not None
    p_values = {}
    efficiencies = {
        "additive": fit("additive", train).efficiency(test),
        "true": test.efficiency_true,
    }
    for name, efficiency in efficiencies.items():
        p_values[name] = (
            closure_in_leading_pt(test, efficiency),
            calibration_of_b(test, efficiency),
        )
    assert max(p_values["additive"]) < 1e-4
    assert min(p_values["true"]) > 1e-3


def closure_in_leading_pt(jets: Jets, efficiency: FloatArray) -> float:
    """Return the p-value of the leading jet's pT where it is tagged, in bins of 20 GeV."""
    assert jets.is_tagged is not None
    events, leading = jets.leading_jets(1)
    chosen = leading[:, 0]
    entries = Entries(
        jets.pt[chosen].astype(float),
        jets.weight[events],
        jets.is_tagged[chosen],
        {"it": efficiency[chosen].astype(float)},
    )
    test = ClosureHistogram.fill(entries, np.linspace(20, 600, 30)).test("it", 10.0)
    assert test is not None
    return test.p_value


def calibration_of_b(jets: Jets, efficiency: FloatArray) -> float:
    """Return the p-value that the tagged fraction of b jets is what was predicted, in 12 bins."""
    table = calibration(jets, {"it": efficiency}, {"b": 5}, 12)
    variance = table["predicted"] * (1 - table["predicted"]) / table["jets"]
    chi2 = ((table["tagged_fraction"] - table["predicted"]) ** 2 / variance).sum()
    return float(chdtrc(len(table), chi2))
