"""The fit of an additive model: Newton steps, and the smoothness that the tags ask for."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from truthtag.arrays import FloatArray
from truthtag.errors import DataError
from truthtag.estimators.additive.events import Census, TaggedEvents
from truthtag.estimators.additive.likelihood import Problem, Sums
from truthtag.estimators.additive.options import Link
from truthtag.estimators.additive.smoothing import uncertain_smoothing
from truthtag.estimators.additive.structure import Structure

__all__ = ["Fit", "Prior", "fit_model", "prior_of"]

SMOOTHEST = 1e9
"""Largest weight of a penalty; its functions are 0 long before."""

ROUGHEST = 1e-4
"""Smallest weight of a penalty."""

SETTLED = 0.005
"""Change of the effective parameters of any term from step to step, below which all is settled."""

GROWTH = 0.1
"""The same relative to them, where they rise: a term that was next to nothing must not stay so
because it rises slowly."""

LEAST = 0.01
"""Effective parameters that are next to nothing."""

NEAR = 1e-3
"""Twice the gain in likelihood of a step, below which it is the last one. It is a thirtieth of a
standard deviation at most, so the slopes at its end are not looked at."""

UPDATES = 10
"""Most updates of the penalties between two steps."""

UPDATES_NEAR = 300
"""The same where a fit began near its end, after its first step: what the slopes ask for is right
there, and updates take no pass through the events."""

QUICK = 12
"""Steps after which there is one update, and steps go half the way: few jets, whose expected
information is not the observed one, can lead in circles."""

SLOPE = 1.0
"""Standard deviation of the prior on coefficients without a penalty, the slopes of straight lines
above all: a logarithm that changes by 3.5 from end to end. Few tags can ask for any slope."""

HALF = 0.5
"""Tags, and jets without, that are added where a flavour has none."""

SUBSET = 10
"""One event of so many is fitted first, to begin the fit to all of them near its end."""

WORTHWHILE = 200_000
"""Events from which on this is worth its time."""


@dataclass(frozen=True, eq=False)
class Fit:
    """The coefficients, and how well they are known.

    Args:
        values: Shape (n,).
        covariance: Shape (n, n).
        smoothing: Weight of each penalty.
        ridge: Weight of the penalty on the square of each coefficient, shape (n,).
        effective: How far the tags determine each coefficient, 0 to 1, shape (n,).
        steps: Newton steps that were made.
    """

    values: FloatArray
    covariance: FloatArray
    smoothing: FloatArray
    ridge: FloatArray
    effective: FloatArray
    steps: int


class Prior(NamedTuple):
    """What is known of the coefficients before, beside their penalties.

    Attributes:
        centre: Where they are, shape (n,).
        weight: One over their variance, 0 where nothing is known, shape (n,).
    """

    centre: FloatArray
    weight: FloatArray


def fit_model(
    structure: Structure,
    events: TaggedEvents,
    census: Census,
    link: Link,
    max_steps: int,
    jets_in_memory: int,
) -> Fit:
    r"""Fit coefficients and penalties to tags.

    The penalised log-likelihood

    .. math:: l(\beta) - \tfrac12 \sum_j \lambda_j \beta^T S_j \beta

    is maximised by damped Newton steps with the expected information H. Between them, the weights
    of the penalties move to those of restricted maximum likelihood,

    .. math:: \lambda_j \to \lambda_j\,
        \frac{\mathrm{rank}(S_j) / \lambda_j - \mathrm{tr}(V S_j)}{\beta^T S_j \beta}, \quad
        V = (H + \textstyle\sum \lambda_j S_j)^{-1}

    V is the covariance of the coefficients at these weights; what is not known of the weights is
    added, see :func:`~truthtag.estimators.additive.smoothing.uncertain_smoothing`. What has no
    penalty has a weak prior, see :func:`prior_of`.

    Source: Wood and Fasiolo, Biometrics 73 (2017) 1071, doi 10.1111/biom.12666.

    Args:
        structure: The terms.
        events: The events; their weights are scaled so that they sum to the number of effective
            jets.
        census: What a pass through them told.
        link: What the terms add up to.
        max_steps: Most Newton steps.
        jets_in_memory: Most jets whose columns are kept.

    Raises:
        DataError: The fit does not converge.
    """
    scaled = replace(events, scale=census.weight / census.squares)
    return _fit(structure, scaled, census, link, max_steps, jets_in_memory)


def _fit(
    structure: Structure,
    events: TaggedEvents,
    census: Census,
    link: Link,
    max_steps: int,
    jets_in_memory: int,
) -> Fit:
    """Fit to events, beginning with some of them where this saves time.

    What some of them do not determine, the fit to all begins without.
    """
    start = None
    if census.n_events >= WORTHWHILE:
        few = events.every(SUBSET, census.n_events)
        of_few = few.census(())
        if set(of_few.flavours) >= set(structure.flavours):
            with suppress(DataError):
                start = _fit(structure, few, of_few, link, max_steps, jets_in_memory)
    problem = Problem(structure, events, link, census.n_jets <= jets_in_memory)
    return _maximise(problem, start, max_steps)


class _At(NamedTuple):
    """Where a fit has come to.

    Attributes:
        values: The coefficients, shape (n,).
        sums: Likelihood and slopes there.
        smoothing: Weights of the penalties, shape (m,).
        effective: Effective parameters of each penalty, shape (m,).
    """

    values: FloatArray
    sums: Sums
    smoothing: FloatArray
    effective: FloatArray


class _Aim(NamedTuple):
    """The largest value of the parabola that the penalised likelihood is near a point.

    Attributes:
        values: Where it is, shape (n,).
        smoothing: Weights of the penalties that the parabola asks for, shape (m,).
        effective: Effective parameters of each penalty, shape (m,).
        ridge: Weight of the square of each coefficient, shape (n,).
    """

    values: FloatArray
    smoothing: FloatArray
    effective: FloatArray
    ridge: FloatArray


def _maximise(problem: Problem, start: Fit | None, max_steps: int) -> Fit:
    """Return the coefficients and weights of penalties where nothing changes any more."""
    structure = problem.structure
    prior = prior_of(problem)
    n_penalties = len(structure.penalties)
    values = prior.centre if start is None else start.values
    # Penalties begin as if nothing was known: what few events leave out can come in again.
    smoothing = np.ones(n_penalties)
    at = _At(values, problem.sums_at(values), smoothing, np.full(n_penalties, np.inf))
    is_near = start is not None
    for step in range(1, max_steps + 1):
        is_careful = step > QUICK
        goes_far = is_near and step > 1 and not is_careful
        updates = 1 if is_careful else UPDATES
        aim = _aim(structure, at, prior, UPDATES_NEAR if goes_far else updates)
        slope = at.sums.gradient - aim.ridge * (at.values - prior.centre)
        gain = float((aim.values - at.values) @ slope)
        if gain < NEAR and _is_settled(at.effective, aim.effective):
            return _result(structure, at.sums, aim, step)
        longest = 0.5 if is_careful else 1.0
        values, sums = _damped(problem, at, aim, prior, longest)
        if goes_far and sums.likelihood < at.sums.likelihood - len(prior.centre):
            # More than all coefficients are worth by chance: the penalties went too far.
            is_near = False
            continue
        at = _At(values, sums, aim.smoothing, aim.effective)
    msg = (
        f"the additive model of {len(prior.centre)} coefficients, fitted to "
        f"{problem.n_jets} jets, did not settle in {max_steps} steps: the tags do not "
        "determine it. Fit it to more events, with fewer terms, or with the other link; or raise "
        "max_steps."
    )
    raise DataError(msg)


def _aim(structure: Structure, at: _At, prior: Prior, updates: int) -> _Aim:
    """Return what the slopes at a point aim for, weights of the penalties moved along.

    Sums over jets are what takes time; penalties need none.

    Args:
        structure: The terms.
        at: The point.
        prior: What is known before.
        updates: Most updates of the penalties.
    """
    pull = at.sums.information @ at.values + at.sums.gradient
    smoothing = at.smoothing
    before = at.effective
    for _ in range(updates):
        ridge = _ridge(structure, smoothing, prior)
        inverse = _inverse(at.sums.information, ridge)
        values = inverse @ (pull + ridge * prior.centre)
        effective = _effective(structure, smoothing, inverse)
        if _is_settled(before, effective):
            break
        squares = np.array([(values[one.which] ** 2).sum() for one in structure.penalties])
        wanted = np.maximum(effective, 1e-8) / np.maximum(squares, 1e-12)
        smoothing = np.clip(wanted, ROUGHEST, SMOOTHEST)
        before = effective
    return _Aim(values, smoothing, effective, ridge)


def _is_settled(before: FloatArray, now: FloatArray) -> bool:
    """Tell whether effective parameters change no more."""
    change = now - before
    rises = change > GROWTH * np.maximum(now, LEAST)
    return not bool((np.abs(change) >= SETTLED).any() or rises.any())


def _result(structure: Structure, sums: Sums, aim: _Aim, steps: int) -> Fit:
    """Return the fit, with the errors of its coefficients.

    Args:
        structure: The terms.
        sums: Slopes before the last step.
        aim: Where that step ends.
        steps: How many were made.
    """
    inverse = _inverse(sums.information, aim.ridge)
    added = uncertain_smoothing(structure.penalties, aim.values, aim.smoothing, inverse)
    known = 1.0 - aim.ridge * np.diag(inverse)
    return Fit(aim.values, inverse + added, aim.smoothing, aim.ridge, known, steps)


def prior_of(problem: Problem) -> Prior:
    """Return where a fit begins, and the weak prior on what has no penalty.

    A constant efficiency per flavour, and no other terms. The logarithm of an efficiency, or its
    logit, has no prior, so that the tags alone say how many there are; but where a flavour has no
    tagged jet, or no other, half a jet is added, without which it would have no end.

    Args:
        problem: The jets and the terms.
    """
    structure = problem.structure
    size = len(structure.coefficients)
    centre = np.zeros(size)
    weight = np.full(size, SLOPE**-2)
    for penalty in structure.penalties:
        weight[penalty.which] = 0.0
    of_tags = np.zeros((len(structure.flavours), 2))
    for jets, is_tagged, of_jet in problem.events:
        for position, flavour in enumerate(structure.flavours):
            inside = jets.flavour == flavour
            of_tags[position] += [
                of_jet[inside & is_tagged].sum(),
                of_jet[inside & ~is_tagged].sum(),
            ]
    for position, (of_tagged, of_others) in enumerate(of_tags.tolist()):
        tagged = max(of_tagged, 0.0)
        others = max(of_others, 0.0)
        eff = float(np.clip((tagged + HALF) / (tagged + others + 2 * HALF), 1e-6, 1 - 1e-3))
        is_log = problem.link == "log"
        centre[position] = np.log(eff) if is_log else np.log(eff / (1 - eff))
        # Half a jet, in units of the logit, of which the logarithm changes by less.
        slope = 1 - eff if is_log else 1.0
        weight[position] = HALF / slope**2 if min(tagged, others) <= 0 else 0.0
    return Prior(centre, weight)


def _ridge(structure: Structure, smoothing: FloatArray, prior: Prior) -> FloatArray:
    """Return the weight of the square of each coefficient."""
    ridge = prior.weight.copy()
    for weight, penalty in zip(smoothing, structure.penalties, strict=True):
        ridge[penalty.which] = weight
    return ridge


def _effective(structure: Structure, smoothing: FloatArray, inverse: FloatArray) -> FloatArray:
    """Return the effective parameters of each penalty, shape (m,)."""
    variance = np.diag(inverse)
    found = []
    for weight, penalty in zip(smoothing, structure.penalties, strict=True):
        found.append(len(penalty.which) - weight * variance[penalty.which].sum())
    return np.array(found)


def _inverse(information: FloatArray, ridge: FloatArray) -> FloatArray:
    """Return the inverse of the penalised information, shape (n, n).

    Raises:
        DataError: It has none: negative weights can do that.
    """
    from scipy.linalg import cho_factor, cho_solve

    penalised = information + np.diag(ridge)
    # Scaled to a unit diagonal; what the tags do not determine at all stays where it is.
    scale = np.sqrt(np.maximum(np.diag(penalised), 1e-12))
    scaled = penalised / np.outer(scale, scale) + 1e-9 * np.eye(len(ridge))
    try:
        factor = cho_factor(scaled)
    except np.linalg.LinAlgError as error:
        msg = (
            "the additive model has no largest likelihood: with negative weights, more tags can "
            "count less. Set weights: absolute or ignore."
        )
        raise DataError(msg) from error
    return np.asarray(cho_solve(factor, np.eye(len(ridge))) / np.outer(scale, scale))


def _damped(
    problem: Problem, at: _At, aim: _Aim, prior: Prior, longest: float
) -> tuple[FloatArray, Sums]:
    """Take the longest step that does not lower the penalised likelihood, halved until it does not.

    Args:
        problem: The jets.
        at: Where it begins.
        aim: Where the whole step would end.
        prior: What is known before.
        longest: The first length to try.

    Returns:
        The new values, and the sums there.
    """

    def penalised(values: FloatArray, sums: Sums) -> float:
        return sums.likelihood - 0.5 * float(aim.ridge @ (values - prior.centre) ** 2)

    before = penalised(at.values, at.sums)
    # Sums in single precision differ in their last digits.
    tolerance = 1e-7 * abs(before)
    length = longest
    while True:
        there = at.values + length * (aim.values - at.values)
        found = problem.sums_at(there)
        if penalised(there, found) >= before - tolerance or length < 1e-4:
            return there, found
        length /= 2
