"""Variables of jets and of pairs, and the functions of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from truthtag.arrays import FloatArray, IntArray
from truthtag.data.jets import Jets
from truthtag.data.kinematics import delta_phi
from truthtag.data.training_blocks import Blocks
from truthtag.errors import DataError
from truthtag.estimators.additive.options import Variable
from truthtag.estimators.additive.splines import Basis, curve_basis, radial_basis

__all__ = ["Ends", "basis_of", "column_of", "ends_of", "of_jet", "of_pair"]

REACH = 3.0
"""Delta R beyond which a neighbour does nothing, where the options do not say."""

LONG = 10.0
"""How many times the median the largest value is where knots are equal in the logarithm."""


class Ends(NamedTuple):
    """Where the values of a column end.

    Attributes:
        low: The smallest.
        high: The largest.
        farthest: The largest absolute value.
    """

    low: float
    high: float
    farthest: float


def ends_of(jets: Jets, name: str, before: Ends | None = None) -> Ends:
    """Return where the values of a column end.

    Args:
        jets: Some jets.
        name: The column.
        before: Ends of other jets, which are taken in.
    """
    values = of_jet(jets, name)
    low, high, farthest = before or (np.inf, -np.inf, -np.inf)
    return Ends(
        float(values.min(initial=low)),
        float(values.max(initial=high)),
        float(np.abs(values).max(initial=farthest)),
    )


def column_of(name: str) -> str | None:
    """Return the column whose ends the functions of a variable need, None for none."""
    if name in ("delta_r", "delta_phi"):
        return None
    return "eta" if name == "delta_eta" else name.removeprefix("neighbour_")


def basis_of(name: str, how: Variable, ends: Mapping[str, Ends], blocks: Blocks) -> Basis:
    """Return the functions of a variable.

    Args:
        name: The variable.
        how: Its options.
        ends: Ends of the columns of the training jets, from end to end of which the knots are where
            nothing else is said.
        blocks: The training sample.

    Raises:
        DataError: The variable does not vary, or has no logarithm.
    """
    intervals = how.intervals or 1
    if name == "delta_r":
        reach = REACH if how.range is None else float(how.range[1])
        return radial_basis(reach, intervals)
    if name in ("delta_eta", "delta_phi"):
        widest = np.pi if name == "delta_phi" else 2 * max(ends["eta"].farthest, 0.0)
        high = widest if how.range is None else float(how.range[1])
        return curve_basis(0.0, high, 2 * intervals, even=True)
    column = name.removeprefix("neighbour_")
    low, high = _ends(name, how, ends[column])
    if how.even:
        return curve_basis(0.0, high, 2 * intervals, even=True)
    logarithmic = how.logarithmic
    if logarithmic is None:
        logarithmic = low > 0 and _is_long(column, high, blocks)
    if logarithmic and low <= 0:
        msg = (
            f"column {name!r} of the training jets begins at {low:g}, and has no logarithm; set "
            f"variables.{name}.range, or leave out logarithmic"
        )
        raise DataError(msg)
    return curve_basis(low, high, intervals, logarithmic=logarithmic)


def _is_long(column: str, high: float, blocks: Blocks) -> bool:
    """Return whether an upper end is more than so many times the median of a column.

    The median itself is not needed: the numbers below and above the limit tell on which side it is,
    unless it is the mean of the two next to it.
    """
    n_below = n_above = 0
    below, above = -np.inf, np.inf
    for block in blocks:
        values = of_jet(block, column)
        is_below = high > LONG * values
        n_below += int(is_below.sum())
        n_above += int((~is_below).sum())
        below = float(values[is_below].max(initial=below))
        above = float(values[~is_below].min(initial=above))
    if n_below == n_above:
        return high > LONG * (below + above) / 2
    return n_below > n_above


def _ends(name: str, how: Variable, ends: Ends) -> tuple[float, float]:
    """Return the ends of the knots of a variable.

    Raises:
        DataError: It does not vary.
    """
    if how.range is not None:
        low, high = (float(end) for end in how.range)
        return low, high
    low = 0.0 if how.even else ends.low
    high = ends.farthest if how.even else ends.high
    if not (np.isfinite([low, high]).all() and low < high):
        msg = (
            f"column {name!r} of the training jets is {low:g} to {high:g}; it must vary, or have a "
            f"range: variables.{name}.range"
        )
        raise DataError(msg)
    return low, high


def of_jet(jets: Jets, name: str) -> FloatArray:
    """Return a variable of jets, shape (n_jets,).

    Raises:
        DataError: The jets have no such column.
    """
    return np.asarray(jets.per_jet(name), dtype=np.float64)


def of_pair(jets: Jets, name: str, jet: IntArray, neighbour: IntArray) -> FloatArray:
    """Return a variable of pairs, shape (n,).

    Args:
        jets: All jets.
        name: One of :data:`~truthtag.estimators.additive.options.PAIR_VARIABLES`.
        jet: Positions of the jets, shape (n,).
        neighbour: Positions of their neighbours, shape (n,).
    """
    if name == "neighbour_pt":
        return jets.pt[neighbour].astype(np.float64)
    d_eta = jets.eta[neighbour].astype(np.float64) - jets.eta[jet].astype(np.float64)
    if name == "delta_eta":
        return np.abs(d_eta)
    d_phi = delta_phi(jets.phi[neighbour], jets.phi[jet])
    return np.abs(d_phi) if name == "delta_phi" else np.hypot(d_eta, d_phi)
