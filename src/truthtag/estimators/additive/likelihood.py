"""The likelihood of tags, with its slopes, summed over jets block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from truthtag.arrays import BoolArray, FloatArray
from truthtag.estimators.additive.events import TaggedBlock
from truthtag.estimators.additive.options import Link
from truthtag.estimators.additive.structure import Structure

__all__ = ["BEND", "SLOPES", "Problem", "Slopes", "Sums", "efficiency_of"]

BEND = 0.95
"""Efficiency above which the link log is no logarithm any more, so that 1 is not exceeded."""


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


def efficiency_of(total: FloatArray, link: Link) -> FloatArray:
    r"""Return efficiencies of sums of terms, shape that of the sums.

    With the link log, which the data can ask to exceed 1,

    .. math:: \epsilon = e^\eta \; (\epsilon \le a), \quad
        1 - (1 - a)\, e^{-a (\eta - \log a) / (1 - a)} \; (\epsilon > a)

    with a = 0.95: value and slope are continuous, and the likelihood has one largest value.

    Args:
        total: Sums of terms.
        link: What they are.

    Example:
        >>> efficiency_of(np.log([0.02, 0.4, 0.95, 1.0]), "log").round(4).tolist()
        [0.02, 0.4, 0.95, 0.9811]
    """
    from scipy.special import expit

    if link == "logit":
        return np.asarray(expit(total))
    return np.where(total > np.log(BEND), 1.0 - _rest(total), np.exp(np.minimum(total, 0.0)))


def _rest(total: FloatArray) -> FloatArray:
    """Return the probability to be untagged of sums above the bend."""
    above = np.maximum(total - np.log(BEND), 0.0)
    return np.asarray((1.0 - BEND) * np.exp(-above * BEND / (1.0 - BEND)))


def _slopes_of_log(total: FloatArray, is_tagged: BoolArray) -> Slopes:
    """Return derivatives where the sum is the logarithm of the efficiency, up to the bend."""
    is_above = total > np.log(BEND)
    below = np.minimum(total, np.log(BEND))
    rest = _rest(total)
    log_eff = np.where(is_above, np.log1p(-rest), total)
    beyond = np.maximum(total - np.log(BEND), 0.0)
    log_rest = np.log(-np.expm1(below)) - beyond * BEND / (1.0 - BEND)
    # The derivative of the logarithm of the efficiency, and of minus that of the rest.
    rise = np.where(is_above, rest * BEND / ((1.0 - BEND) * (1.0 - rest)), 1.0)
    fall = np.exp(below) / -np.expm1(below)
    likelihood = np.where(is_tagged, log_eff, log_rest)
    return Slopes(likelihood, np.where(is_tagged, rise, -fall), rise * fall)


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
"""Derivatives by link."""


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


class Sums(NamedTuple):
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
class Problem:
    """Tagged jets, and what is fitted to them.

    Args:
        structure: The terms.
        events: The events, in blocks.
        link: What the terms add up to.
        in_memory: Whether columns are kept between the steps; else they are made anew.
    """

    structure: Structure
    events: Iterable[TaggedBlock]
    link: Link
    in_memory: bool

    @property
    def n_jets(self) -> int:
        """Number of jets."""
        return sum(len(block.is_tagged) for block in self.events)

    def sums_at(self, values: FloatArray) -> Sums:
        """Return log-likelihood, gradient and information of all jets.

        Args:
            values: The coefficients, shape (n,).
        """
        structure = self.structure
        size = len(structure.coefficients)
        selectors = {flavour: structure.selector(flavour) for flavour in structure.flavours}
        likelihood = 0.0
        gradient = np.zeros(size)
        by_flavour = {f: np.zeros((s.shape[0],) * 2) for f, s in selectors.items()}
        for block in self._blocks:
            selector = selectors[block.flavour]
            at, of_columns, information = self._of_block(block, selector @ values)
            likelihood += at
            gradient += selector.T @ of_columns
            by_flavour[block.flavour] += information
        total = np.zeros((size, size))
        for flavour, selector in selectors.items():
            half = selector.T @ by_flavour[flavour]
            total += (selector.T @ half.T).T
        return Sums(likelihood, gradient, total)

    def _of_block(self, block: _Columns, own: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Return the sums of one block by column: likelihood, gradient, information."""
        total = (block.columns @ own.astype(np.float32)).astype(np.float64)
        at = SLOPES[self.link](total, block.is_tagged)
        gradient = block.columns.T @ (block.weight * at.gradient).astype(np.float32)
        # Weights may be negative: no square root is taken.
        scaled = block.columns * (block.weight * at.information).astype(np.float32)[:, None]
        information = block.columns.T @ scaled
        return float(block.weight @ at.likelihood), gradient.astype(np.float64), information

    @property
    def _blocks(self) -> Iterable[_Columns]:
        return self._kept if self.in_memory else self._made()

    @cached_property
    def _kept(self) -> list[_Columns]:
        return list(self._made())

    def _made(self) -> Iterator[_Columns]:
        for jets, is_tagged, weight in self.events:
            for flavour, rows, columns in self.structure.design(jets):
                yield _Columns(flavour, columns, is_tagged[rows], weight[rows])
