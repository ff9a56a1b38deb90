"""The fit of an additive model: Newton steps, and the smoothness that the tags ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from truthtag.arrays import BoolArray, FloatArray
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.estimators.additive.options import Link
from truthtag.estimators.additive.structure import Structure

__all__ = ["Fit", "fit_model", "log_efficiency"]

BLOCK = 20_000
"""Events whose columns are made at a time."""

CEILING = -1e-6
"""Largest logarithm of an efficiency while the model is fitted: that of 1 would leave no
probability to be untagged."""

SMOOTHEST = 1e9
"""Largest weight of a penalty; its functions are 0 long before."""

ROUGHEST = 1e-4
"""Smallest weight of a penalty."""

SETTLED = 0.02
"""Change of the effective parameters of any term from step to step, below which all is settled."""

UNCERTAIN = 3.0
"""How far the logarithm of a penalty's weight may be off where the tags do not say, as a standard
deviation."""

SUBSET = 10
"""One event of so many is fitted first, to begin the fit to all of them near its end."""

WORTHWHILE = 50_000
"""Events from which on this is worth its time."""


class Slopes(NamedTuple):
    """Derivatives of the log-likelihood of jets with respect to their sum of terms.

    Attributes:
        likelihood: The log-likelihood, shape (n,).
        gradient: Its first derivative, shape (n,).
        information: Minus the expected second one, shape (n,).
    """

    likelihood: FloatArray
    gradient: FloatArray
    information: FloatArray


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


def log_efficiency(total: FloatArray) -> FloatArray:
    """Return sums of terms, of link log, as logarithms of efficiencies below 1."""
    return np.minimum(total, CEILING)


def _slopes_of_log(total: FloatArray, is_tagged: BoolArray) -> Slopes:
    r"""Return derivatives where the sum is the logarithm of the efficiency.

    .. math:: l = t\,\eta + (1 - t) \log(1 - e^\eta)
    """
    log_eff = log_efficiency(total)
    log_rest = np.log(-np.expm1(log_eff))
    odds = np.exp(log_eff - log_rest)
    # At the ceiling nothing changes with the sum.
    free = total < CEILING
    gradient = np.where(is_tagged, 1.0, -odds) * free
    return Slopes(np.where(is_tagged, log_eff, log_rest), gradient, odds * free)


def _slopes_of_logit(total: FloatArray, is_tagged: BoolArray) -> Slopes:
    """Return derivatives where the sum is the logit of the efficiency."""
    from scipy.special import expit, log_expit

    eff = expit(total)
    likelihood = np.where(is_tagged, log_expit(total), log_expit(-total))
    return Slopes(likelihood, is_tagged - eff, eff * (1 - eff))


SLOPES: dict[Link, Callable[[FloatArray, BoolArray], Slopes]] = {
    "log": _slopes_of_log,
    "logit": _slopes_of_logit,
}


class _Columns(NamedTuple):
    """Jets of one flavour of one block of events.

    Attributes:
        flavour: Their flavour.
        columns: Shape (n, n_columns), single precision.
        is_tagged: Shape (n,).
        weight: Shape (n,).
    """

    flavour: int
    columns: FloatArray
    is_tagged: BoolArray
    weight: FloatArray


class _Sums(NamedTuple):
    """Sums over all jets.

    Attributes:
        likelihood: The log-likelihood.
        gradient: Shape (n,).
        information: Shape (n, n).
    """

    likelihood: float
    gradient: FloatArray
    information: FloatArray


@dataclass(frozen=True, eq=False)
class _Problem:
    """Tagged jets, and what is fitted to them.

    Args:
        structure: The terms.
        jets: The events.
        is_tagged: Shape (n_jets,).
        weight: Shape (n_jets,).
        link: What the terms add up to.
        in_memory: Whether columns are kept between the steps.
    """

    structure: Structure
    jets: Jets
    is_tagged: BoolArray
    weight: FloatArray
    link: Link
    in_memory: bool

    def blocks(self) -> Iterable[_Columns]:
        """Return the columns of all jets, all at once or one block after the other."""
        return list(self._made()) if self.in_memory else _Again(self._made)

    def _made(self) -> Iterator[_Columns]:
        for first in range(0, self.jets.n_events, BLOCK):
            some = self.jets.take(slice(first, first + BLOCK))
            start = self.jets.offsets[first]
            for flavour, rows, columns in self.structure.design(some):
                chosen = start + rows
                yield _Columns(flavour, columns, self.is_tagged[chosen], self.weight[chosen])


@dataclass(frozen=True)
class _Again:
    """What can be gone through again and again, made anew each time."""

    make: Callable[[], Iterator[_Columns]]

    def __iter__(self) -> Iterator[_Columns]:
        return self.make()


def fit_model(
    structure: Structure,
    jets: Jets,
    is_tagged: BoolArray,
    weight: FloatArray | None,
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
    added, see :func:`_uncertain_smoothing`.

    Source: Wood and Fasiolo, Biometrics 73 (2017) 1071, doi 10.1111/biom.12666.

    Args:
        structure: The terms.
        jets: The events.
        is_tagged: Tags of the jets, shape (n_jets,).
        weight: Weights of the jets, shape (n_jets,); None where each counts 1. They are scaled so
            that they sum to the number of effective jets.
        link: What the terms add up to.
        max_steps: Most Newton steps.
        jets_in_memory: Most jets whose columns are kept.

    Raises:
        DataError: The fit does not converge.
    """
    weights = np.ones(jets.n_jets) if weight is None else weight * weight.sum() / (weight**2).sum()
    start = None
    if jets.n_events >= WORTHWHILE:
        few = _every(jets, SUBSET)
        of_jet = few[jets.event_of_jet]
        first = _problem(structure, jets.take(few), is_tagged[of_jet], weights[of_jet], link)
        start = _maximise(first, None, max_steps)
    all_of_them = _Problem(structure, jets, is_tagged, weights, link, jets.n_jets <= jets_in_memory)
    return _maximise(all_of_them, start, max_steps)


def _every(jets: Jets, step: int) -> BoolArray:
    return np.asarray(np.arange(jets.n_events) % step == 0)


def _problem(
    structure: Structure, jets: Jets, is_tagged: BoolArray, weight: FloatArray, link: Link
) -> _Problem:
    return _Problem(structure, jets, is_tagged, weight, link, in_memory=True)


def _maximise(problem: _Problem, start: Fit | None, max_steps: int) -> Fit:
    """Return the coefficients and weights of penalties where nothing changes any more."""
    structure = problem.structure
    blocks = problem.blocks()
    slopes = SLOPES[problem.link]
    penalties = structure.penalties
    size = len(structure.coefficients)
    values = _constants(problem) if start is None else start.values
    smoothing = np.ones(len(penalties)) if start is None else start.smoothing
    sums = _sums(blocks, structure, values, slopes)
    effective = np.full(len(penalties), np.inf)
    for step in range(1, max_steps + 1):
        ridge = _ridge(structure, smoothing)
        inverse = _inverse(sums.information, ridge)
        direction = inverse @ (sums.gradient - ridge * values)
        values, sums, length = _damped(
            lambda at: _sums(blocks, structure, at, slopes), values, sums, direction, ridge
        )
        variance = np.diag(inverse)
        before = effective
        shrunk = [s * variance[p.which].sum() for s, p in zip(smoothing, penalties, strict=True)]
        effective = np.array([len(p.which) for p in penalties]) - np.array(shrunk)
        if length == 1.0 and np.abs(effective - before).max(initial=0.0) < SETTLED:
            inverse = _inverse(sums.information, ridge)
            covariance = inverse + _uncertain_smoothing(structure, values, smoothing, inverse)
            known = 1.0 - ridge * np.diag(inverse)
            return Fit(values, covariance, smoothing, ridge, known, step)
        squares = np.array([(values[p.which] ** 2).sum() for p in penalties])
        wanted = np.maximum(effective, 1e-8) / np.maximum(squares, 1e-12)
        smoothing = np.clip(wanted, ROUGHEST, SMOOTHEST)
    msg = (
        f"the additive model of {size} coefficients, fitted to {problem.jets.n_jets} jets, did not "
        f"settle in {max_steps} steps: the tags do not determine it. Fit it to more events, with "
        "fewer terms, or with the other link."
    )
    raise DataError(msg)


def _constants(problem: _Problem) -> FloatArray:
    """Return where a fit begins: a constant efficiency per flavour."""
    structure = problem.structure
    values = np.zeros(len(structure.coefficients))
    for position, flavour in enumerate(structure.flavours):
        inside = problem.jets.flavour == flavour
        weight = problem.weight[inside]
        tagged = float(weight[problem.is_tagged[inside]].sum())
        # Half a jet more on either side: without tags, the logarithm would be infinite.
        eff = np.clip((tagged + 0.5) / (float(weight.sum()) + 1.0), 1e-6, 1 - 1e-3)
        values[position] = np.log(eff) if problem.link == "log" else np.log(eff / (1 - eff))
    return values


def _sums(
    blocks: Iterable[_Columns],
    structure: Structure,
    values: FloatArray,
    slopes: Callable[[FloatArray, BoolArray], Slopes],
) -> _Sums:
    """Return log-likelihood, gradient and information of all jets."""
    size = len(structure.coefficients)
    selectors = {flavour: structure.selector(flavour) for flavour in structure.flavours}
    likelihood = 0.0
    gradient = np.zeros(size)
    information = {f: np.zeros((s.shape[0],) * 2) for f, s in selectors.items()}
    for block in blocks:
        own = selectors[block.flavour] @ values
        total = (block.columns @ own.astype(np.float32)).astype(np.float64)
        at = slopes(total, block.is_tagged)
        likelihood += float(block.weight @ at.likelihood)
        by_column = block.columns.T @ (block.weight * at.gradient).astype(np.float32)
        gradient += selectors[block.flavour].T @ by_column.astype(np.float64)
        # Weights may be negative: no square root is taken.
        scaled = block.columns * (block.weight * at.information).astype(np.float32)[:, None]
        information[block.flavour] += block.columns.T @ scaled
    total_information = np.zeros((size, size))
    for flavour, selector in selectors.items():
        half = selector.T @ information[flavour]
        total_information += (selector.T @ half.T).T
    return _Sums(likelihood, gradient, total_information)


def _ridge(structure: Structure, smoothing: FloatArray) -> FloatArray:
    """Return the weight of the square of each coefficient."""
    ridge = np.zeros(len(structure.coefficients))
    for weight, penalty in zip(smoothing, structure.penalties, strict=True):
        ridge[penalty.which] = weight
    return ridge


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
    sums_at: Callable[[FloatArray], _Sums],
    values: FloatArray,
    sums: _Sums,
    direction: FloatArray,
    ridge: FloatArray,
) -> tuple[FloatArray, _Sums, float]:
    """Take the longest of the steps 1, 1/2, 1/4, … that does not lower the penalised likelihood.

    Returns:
        The new values, the sums there, and the length of the step.
    """

    def penalised(at: FloatArray, found: _Sums) -> float:
        return found.likelihood - 0.5 * float(ridge @ at**2)

    before = penalised(values, sums)
    # Sums in single precision differ in their last digits.
    tolerance = 1e-7 * abs(before)
    length = 1.0
    while True:
        there = values + length * direction
        found = sums_at(there)
        if penalised(there, found) >= before - tolerance or length < 1e-4:
            return there, found, length
        length /= 2


def _uncertain_smoothing(
    structure: Structure, values: FloatArray, smoothing: FloatArray, inverse: FloatArray
) -> FloatArray:
    r"""Return the covariance of the coefficients that uncertain weights of penalties add.

    .. math:: J V_\rho J^T, \quad J_{\cdot j} = \partial\beta / \partial\rho_j
        = -\lambda_j V S_j \beta, \quad \rho = \log\lambda

    with :math:`V_\rho` the inverse of the second derivatives of the restricted likelihood, to which
    a weak prior of width :data:`UNCERTAIN` is added.

    Source: Wood, Pya and Saefken, J. Am. Stat. Assoc. 111 (2016) 1548, Eq. 7, its first term.

    Args:
        structure: The terms.
        values: The coefficients, shape (n,).
        smoothing: Weights of the penalties, shape (m,).
        inverse: The matrix V, shape (n, n).
    """
    penalties = structure.penalties
    pulls = np.zeros((len(values), len(penalties)))
    for column, (weight, penalty) in enumerate(zip(smoothing, penalties, strict=True)):
        pulls[penalty.which, column] = weight * values[penalty.which]
    jacobian = -inverse @ pulls
    curvature = -pulls.T @ inverse @ pulls
    for j, (one, first) in enumerate(zip(smoothing, penalties, strict=True)):
        squares = one * float((values[first.which] ** 2).sum())
        variances = one * float(np.diag(inverse)[first.which].sum())
        curvature[j, j] += 0.5 * (squares + variances)
        for k, (other, second) in enumerate(zip(smoothing, penalties, strict=True)):
            shared = inverse[np.ix_(first.which, second.which)]
            curvature[j, k] -= 0.5 * one * other * float((shared**2).sum())
    eigenvalues, vectors = np.linalg.eigh(0.5 * (curvature + curvature.T))
    # Where the likelihood says nothing, rounding can make a curvature negative.
    known = np.maximum(eigenvalues, 0.0) + UNCERTAIN**-2
    spread = jacobian @ vectors / np.sqrt(known)
    return np.asarray(spread @ spread.T)
