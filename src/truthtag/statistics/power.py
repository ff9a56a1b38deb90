"""What a sample would have found: the smallest bias of an efficiency that its jets show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import chi2 as chi2_distribution
from scipy.stats import ncx2
from scipy.stats import norm as normal

from truthtag.arrays import BoolArray, FloatArray
from truthtag.statistics.cells import cells_in, close_cells
from truthtag.statistics.closure import Filling
from truthtag.statistics.closure_tests import MIN_REPLICAS, merged_bins
from truthtag.statistics.global_verdict import Test, shares, tests_of
from truthtag.statistics.points import with_marks
from truthtag.statistics.spread import student_quantile

__all__ = ["POWER", "CellTests", "power_table", "smallest_bias"]

POWER = 0.9
"""How often a bias of the stated size is found."""

LARGEST = 0.99
"""Largest share of the predicted jets that is searched for."""

NODES = 200
"""Nodes of the integral over the pull."""


@dataclass(frozen=True, eq=False)
class CellTests:
    r"""The two tests of the jets of one flavour: chi2 over cells, and the pull of their sum.

    In units of :math:`M = V + C` the pull is one direction, and
    :math:`\chi^2 = \mathrm{pull}^2 + \chi^2_\perp`, the two parts independent: so the probability
    that both tests miss a bias is an integral over the pull.

    Args:
        predicted: Predicted jets of each cell, shape (n,).
        covariance: Variance of tagged minus predicted jets, M, shape (n, n).
        level_sum: Share of right efficiencies that the pull of the sum refuses; 0 for no such test.
        level_cells: Share that chi2 refuses; 0 for no such test.
    """

    predicted: FloatArray
    covariance: FloatArray
    level_sum: float
    level_cells: float

    def missed(self, share: float, biased: FloatArray) -> float:
        """Return the probability that neither test finds a bias.

        Args:
            share: Part of the predicted jets that is too much.
            biased: Predicted jets of each cell that are biased, shape (n,).
        """
        shift = share * biased
        pull = float(shift.sum() / np.sqrt(self.covariance.sum()))
        distance = float(shift @ np.linalg.solve(self.covariance, shift))
        rest = max(distance - pull**2, 0.0)
        # A level of 0 lets the integral reach as far as a Gaussian does.
        edge = float(normal.isf(self.level_sum / 2)) if self.level_sum > 0 else 40.0
        ndf = len(self.predicted)
        if self.level_cells <= 0 or ndf == 1:
            return float(normal.cdf(edge - pull) - normal.cdf(-edge - pull))
        limit = float(chi2_distribution.isf(self.level_cells, ndf))
        edge = min(edge, np.sqrt(limit))
        nodes, weights = np.polynomial.legendre.leggauss(NODES)
        # The Gaussian about the pull is narrower than the range.
        low, high = max(-edge, pull - 9), min(edge, pull + 9)
        if low >= high:
            return 0.0
        at = (low + high) / 2 + (high - low) / 2 * nodes
        inside = limit - at**2
        cdf = (
            ncx2.cdf(inside, ndf - 1, rest) if rest > 0 else chi2_distribution.cdf(inside, ndf - 1)
        )
        return float((high - low) / 2 * np.sum(weights * normal.pdf(at - pull) * cdf))


def smallest_bias(
    tests: Sequence[CellTests], biased: Sequence[FloatArray], power: float = POWER
) -> float:
    r"""Return the smallest bias that some tests would have found.

    An efficiency that is too high by :math:`\beta` predicts :math:`\beta / (1 + \beta)` of its jets
    too many.

    Args:
        tests: The tests of the jets of each flavour, taken as independent.
        biased: The predicted jets that are biased, of each of these a number per cell.
        power: How often it must be found.

    Returns:
        The bias as a fraction of the right efficiency; infinite where even one hundred times
        too much would not be found, or no cell holds enough jets.

    Example:
        >>> cell = CellTests(np.array([10_000.0]), np.array([[5_000.0]]), 0.01, 0.0)
        >>> round(smallest_bias([cell], [np.array([10_000.0])]), 4)
        0.028
    """

    def found_too_rarely(share: float) -> float:
        missed = [one.missed(share, of_one) for one, of_one in zip(tests, biased, strict=True)]
        return power - 1 + float(np.prod(missed))

    if not tests or found_too_rarely(LARGEST) > 0 or found_too_rarely(0.0) < 0:
        return float("inf")
    share = float(brentq(found_too_rarely, 0.0, LARGEST, xtol=1e-7))
    return share / (1 - share)


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
        tuple(map(str, values)): tests_of(rows)
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


def _levels(tests: list[Test], p_value: float) -> dict[str, float]:
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

    def tests(
        self, with_efficiency: bool
    ) -> tuple[CellTests, Callable[[FloatArray], FloatArray]] | None:
        """Return the tests of merged cells and what merges; None where nothing can be tested."""
        filled = self.filled
        scale = np.nan_to_num(filled.mean_weight, nan=1.0)
        merge = merged_bins(filled.difference_variance, self.minimum_events, scale)
        if not len(merge):
            return None
        total = np.diag(merge @ filled.difference_variance)
        if with_efficiency and filled.covariance is not None:
            shared = filled.covariance / student_quantile(len(filled.replicas)) ** 2
            total = total + merge @ shared @ merge.T
        tests = CellTests(
            merge @ filled.total,
            total,
            self.levels.get(f"all {self.flavour} jets", 0.0),
            self.levels.get(f"{self.flavour} jets in cells", 0.0),
        )
        return tests, lambda values: merge @ values


def _biases(by_flavour: Mapping[str, _OfFlavour]) -> list[dict[str, object]]:
    """Return the rows of one efficiency on one sample."""
    everything = list(by_flavour.values())
    rows = [_bias(name, [one], False) for name, one in by_flavour.items()]
    rows += [_bias(f"close {name}", [one], True) for name, one in by_flavour.items()]
    return [*rows, _bias("close", everything, True)]


def _bias(name: str, flavours: list[_OfFlavour], close: bool) -> dict[str, object]:
    """Return the smallest bias of the jets of some flavours, of all of them or of close ones."""
    predicted = [one.filled.total * (one.near if close else 1.0) for one in flavours]
    row: dict[str, object] = {"jets": name, "predicted": float(np.sum(predicted))}
    for column, with_efficiency in (("smallest_bias", False), ("smallest_bias_total", True)):
        tests, biased = [], []
        for one, of_one in zip(flavours, predicted, strict=True):
            tested = one.tests(with_efficiency)
            if tested is not None:
                tests.append(tested[0])
                biased.append(tested[1](of_one))
        known = not with_efficiency or all(one.knows_error for one in flavours)
        row[column] = smallest_bias(tests, biased) if known else np.nan
    return row
