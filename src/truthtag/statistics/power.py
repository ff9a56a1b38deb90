"""What a sample would have found: the smallest bias of an efficiency that its jets show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import chdtr, chdtri, chndtr, ndtr, ndtri

from truthtag.arrays import BoolArray, FloatArray
from truthtag.statistics.cells import cells_in, close_cells
from truthtag.statistics.closure import Filling
from truthtag.statistics.closure_tests import MIN_REPLICAS, merged_bins
from truthtag.statistics.global_verdict import Outcome, outcomes_of, shares
from truthtag.statistics.points import with_marks
from truthtag.statistics.spread import student_quantile

__all__ = ["POWER", "CellTests", "power_table", "smallest_bias"]

POWER = 0.9
"""How often a bias of the stated size is found."""

LARGEST = 10.0
"""Largest bias that is searched for."""

NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(64)
"""Nodes in [-1, 1] and weights of the integral over the pull."""


@dataclass(frozen=True, eq=False)
class CellTests:
    r"""The two tests of the jets of one flavour: chi2 over cells, and the pull of their sum.

    In units of the covariance M of tagged minus predicted jets the pull is one direction, and
    :math:`\chi^2 = \mathrm{pull}^2 + \chi^2_\perp`, the two parts independent: so the probability
    that both tests miss a bias is an integral over the pull.

    A right efficiency with the sums :math:`A = \sum w^2 \epsilon` and
    :math:`B = \sum w^2 \epsilon^2` becomes, too high by :math:`\beta`, one that claims a scatter of
    the tags of :math:`(1 + \beta) A - (1 + \beta)^2 B`, while they scatter by :math:`A - B`.

    Args:
        covariance: M = V + C where the efficiency is right, shape (n, n).
        level_sum: Share of right efficiencies that the pull of the sum refuses; 0 for no such test.
        level_cells: Share that chi2 refuses; 0 for no such test.
        biased: Predicted jets that are biased, of each cell, shape (n,).
        first: A of these jets, shape (n,).
        second: B of these jets, shape (n,).
    """

    covariance: FloatArray
    level_sum: float
    level_cells: float
    biased: FloatArray
    first: FloatArray
    second: FloatArray

    def missed(self, bias: float) -> float:
        """Return the probability that neither test finds a bias of that fraction."""
        shift = bias * self.biased
        # The tests divide by the scatter that the biased efficiency claims.
        more = bias * self.first - (2 * bias + bias**2) * self.second
        # An efficiency cannot rise beyond 1, where nothing scatters.
        more = np.maximum(more, -0.5 * np.diag(self.covariance))
        claimed = self.covariance + np.diag(more)
        total = float(self.covariance.sum())
        pull = float(shift.sum()) / np.sqrt(total)
        edge = float(-ndtri(max(self.level_sum, 1e-300) / 2))
        edge *= float(np.sqrt(claimed.sum() / total))
        ndf = len(shift)
        if self.level_cells <= 0 or ndf == 1:
            return float(ndtr(edge - pull) - ndtr(-edge - pull))
        inverse = np.linalg.inv(claimed)
        # By how much the cells scatter less, in the mean, than the tests take them to.
        scatter = float(np.trace(inverse @ self.covariance)) / ndf
        limit = float(chdtri(ndf, self.level_cells)) / scatter
        rest = max(float(shift @ inverse @ shift) / scatter - pull**2, 0.0)
        return _below(edge, limit, ndf, pull, rest)


def _below(edge: float, limit: float, ndf: int, pull: float, rest: float) -> float:
    """Return the probability that a pull is within its edges, and chi2 below its limit.

    Args:
        edge: Largest size of the pull.
        limit: Largest chi2.
        ndf: Its degrees of freedom, at least 2.
        pull: Mean of the pull.
        rest: Noncentrality of what chi2 has beside the pull squared.
    """
    if limit <= 0:
        return 0.0
    edge = min(edge, math.sqrt(limit))
    # Nine standard deviations about the mean hold all of a Gaussian.
    low = max(-edge, pull - 9)
    high = min(edge, pull + 9)
    if low >= high:
        return 0.0
    at = (low + high) / 2 + (high - low) / 2 * NODES
    density = np.exp(-((at - pull) ** 2) / 2) / math.sqrt(2 * math.pi)
    room = limit - at**2
    other = chdtr(ndf - 1, room) if rest == 0 else chndtr(room, ndf - 1, rest)
    parts = NODE_WEIGHTS * density * other
    return float((high - low) / 2 * parts.sum())


def smallest_bias(tests: Sequence[CellTests], power: float = POWER) -> float:
    """Return the smallest bias that some tests would have found.

    Args:
        tests: The tests of the jets of each flavour, taken as independent.
        power: How often it must be found.

    Returns:
        The fraction by which the efficiency is too high; infinite where none up to
        :data:`LARGEST` is found, or nothing is tested.

    Example:
        >>> jets = np.array([10_000.0])
        >>> cell = CellTests(np.array([[5_000.0]]), 0.01, 0.0, jets, jets, jets / 2)
        >>> round(smallest_bias([cell]), 4)
        0.0273
    """

    def found_too_rarely(bias: float) -> float:
        return power - 1 + float(np.prod([one.missed(bias) for one in tests]))

    if not tests or found_too_rarely(LARGEST) > 0:
        return float("inf")
    return float(brentq(found_too_rarely, 0.0, LARGEST, xtol=1e-7))


def power_table(
    filled: pd.DataFrame,
    closure: pd.DataFrame,
    minimum_events: float,
    p_value: float,
    close: float,
) -> pd.DataFrame:
    """Say which bias of an efficiency each sample would have found in nine cases of ten.

    The tests are those of single jets, at the level that each has in the global verdict
    (:func:`truthtag.statistics.global_verdict.global_table`); what histograms would add is left
    aside.

    Args:
        filled: Rows of :func:`truthtag.statistics.cells.fill_cells`.
        closure: What :func:`truthtag.statistics.verdict.closure_table` returns, of these rows and
            of all other histograms.
        minimum_events: As in :func:`truthtag.statistics.closure_tests.closure_test`.
        p_value: Smallest p-value of what closes.
        close: Delta R below which the nearest jet is close, a border of the cells.

    Returns:
        A row per ``sample, events, efficiency`` (and ``working_point``) and kind of ``jets`` (a
        flavour, ``close`` jets of a flavour, ``close`` jets of all): how many are ``predicted``;
        ``smallest_bias``, the fraction by which their efficiency would have to be too high to fail
        with the scatter of the tags alone; and ``smallest_bias_total``, to fail with the error of
        the efficiency, too (NaN where that is not known). Infinite where no bias is found.
    """
    keys = with_marks(["sample", "events"], filled)
    known = {
        tuple(map(str, values)): outcomes_of(rows)
        for values, rows in closure.groupby([*keys, "efficiency"], sort=False)
    }
    found: dict[tuple[str, ...], dict[str, _OfFlavour]] = {}
    for (*where, flavour), histogram, marks in cells_in(filled):
        near = close_cells(marks, close)
        for name in histogram.filled_by:
            levels = _levels(known[(*where, name)], p_value)
            one = _OfFlavour(histogram.weighted(name), minimum_events, near, flavour, levels)
            found.setdefault((*where, name), {})[flavour] = one
    rows = []
    for values, by_flavour in found.items():
        marks_of = dict(zip([*keys, "efficiency"], values, strict=True))
        rows += [{**marks_of, **row} for row in _biases(by_flavour)]
    return pd.DataFrame(rows)


def _levels(tests: list[Outcome], p_value: float) -> dict[str, float]:
    """Return the p-value below which each test fails all of them."""
    weights = shares([one.kind for one in tests])
    return {
        one.name: float(-np.expm1(weight * np.log1p(-p_value)))
        for one, weight in zip(tests, weights, strict=True)
    }


@dataclass(frozen=True, eq=False)
class _OfFlavour:
    """The jets of one flavour as one efficiency predicts them, and the levels of their tests."""

    filled: Filling
    minimum_events: float
    near: BoolArray
    flavour: str
    levels: Mapping[str, float]

    @property
    def knows_error(self) -> bool:
        """Whether there are enough replicas for the error to enter a test."""
        return len(self.filled.replicas) >= MIN_REPLICAS

    def tests(self, with_efficiency: bool, close: bool) -> list[CellTests]:
        """Return the tests of all jets or of close ones; nothing where there are too few."""
        filled = self.filled
        scale = np.nan_to_num(filled.mean_weight, nan=1.0)
        merge = merged_bins(filled.difference_variance, self.minimum_events, scale)
        if not len(merge):
            return []
        total = np.diag(merge @ filled.difference_variance)
        if with_efficiency and filled.covariance is not None:
            # The spread is that of the corrected replicas, see ClosureHistogram.test.
            shared = filled.covariance / student_quantile(len(filled.replicas)) ** 2
            total = total + merge @ shared @ merge.T
        chosen = self.chosen(close)
        squares = filled.error**2
        tests = CellTests(
            covariance=total,
            level_sum=self.levels.get(f"all {self.flavour} jets", 0.0),
            level_cells=self.levels.get(f"{self.flavour} jets in cells", 0.0),
            biased=merge @ (filled.total * chosen),
            first=merge @ ((filled.difference_variance + squares) * chosen),
            second=merge @ (squares * chosen),
        )
        return [tests]

    def chosen(self, close: bool) -> FloatArray:
        """Return 1 for each cell of all jets, or of close ones, and 0 for the others."""
        return self.near.astype(np.float64) if close else np.ones(len(self.near))


def _biases(by_flavour: Mapping[str, _OfFlavour]) -> list[dict[str, object]]:
    """Return the rows of one efficiency on one sample."""
    everything = list(by_flavour.values())
    rows = [_bias(name, [one], False) for name, one in by_flavour.items()]
    rows += [_bias(f"close {name}", [one], True) for name, one in by_flavour.items()]
    return [*rows, _bias("close", everything, True)]


def _bias(name: str, flavours: list[_OfFlavour], close: bool) -> dict[str, object]:
    """Return the smallest bias of the jets of some flavours, of all of them or of close ones."""
    predicted = [float(one.filled.total @ one.chosen(close)) for one in flavours]
    row: dict[str, object] = {"jets": name, "predicted": sum(predicted)}
    for column, with_efficiency in (("smallest_bias", False), ("smallest_bias_total", True)):
        known = not with_efficiency or all(one.knows_error for one in flavours)
        tests = [test for one in flavours for test in one.tests(with_efficiency, close)]
        row[column] = smallest_bias(tests) if known else np.nan
    return row
