"""Variables of jets and of pairs, and the functions of each."""

from __future__ import annotations

import numpy as np

from truthtag.arrays import FloatArray, IntArray
from truthtag.data.jets import Jets
from truthtag.data.kinematics import delta_phi
from truthtag.errors import DataError
from truthtag.estimators.additive.options import Variable
from truthtag.estimators.additive.splines import Basis, curve_basis, radial_basis

__all__ = ["basis_of", "of_jet", "of_pair"]

REACH = 3.0
"""Delta R beyond which a neighbour does nothing, where the options do not say."""

LONG = 10.0
"""How many times the median the largest value is where knots are equal in the logarithm."""


def basis_of(name: str, how: Variable, jets: Jets) -> Basis:
    """Return the functions of a variable.

    Args:
        name: The variable.
        how: Its options.
        jets: The training jets, from end to end of which the knots are where nothing else is said.

    Raises:
        DataError: The variable does not vary, or has no logarithm.
    """
    intervals = how.intervals or 1
    if name == "delta_r":
        reach = REACH if how.range is None else float(how.range[1])
        return radial_basis(reach, intervals)
    if name in ("delta_eta", "delta_phi"):
        widest = np.pi if name == "delta_phi" else 2 * float(np.abs(jets.eta).max(initial=1.0))
        high = widest if how.range is None else float(how.range[1])
        return curve_basis(0.0, high, 2 * intervals, even=True)
    values = of_jet(jets, name.removeprefix("neighbour_"))
    low, high = _ends(name, how, values)
    if how.even:
        return curve_basis(0.0, high, 2 * intervals, even=True)
    is_long = low > 0 and high > LONG * float(np.median(values))
    logarithmic = is_long if how.logarithmic is None else how.logarithmic
    if logarithmic and low <= 0:
        msg = (
            f"column {name!r} of the training jets begins at {low:g}, and has no logarithm; set "
            f"variables.{name}.range, or leave out logarithmic"
        )
        raise DataError(msg)
    return curve_basis(low, high, intervals, logarithmic=logarithmic)


def _ends(name: str, how: Variable, values: FloatArray) -> tuple[float, float]:
    """Return the ends of the knots of a variable.

    Raises:
        DataError: It does not vary.
    """
    if how.range is not None:
        low, high = (float(end) for end in how.range)
        return low, high
    size = np.abs(values) if how.even else values
    low = 0.0 if how.even else float(size.min(initial=np.inf))
    high = float(size.max(initial=-np.inf))
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
