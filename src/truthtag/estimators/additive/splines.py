"""Bases of smooth functions: cubic B-splines in natural coordinates, each of unit penalty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from truthtag.arrays import FloatArray

__all__ = ["Basis", "curve_basis", "product", "radial_basis"]

DEGREE = 3
NULL = 1e-9
"""Eigenvalues of a penalty below this share of the largest are 0: rounding."""

RADII = 4000
"""Points of the midpoint rule that integrates the bending of a radial function."""


@dataclass(frozen=True, eq=False)
class Basis:
    r"""Smooth functions of one variable.

    .. math:: f(x) = \sum_k c_k \phi_k(x), \quad \phi_k = \sum_m B_m T_{mk}

    with cubic B-splines B of equal knots. The matrix T is chosen such that the penalty on the
    roughness of f is the sum of the squared coefficients, of all but the first :attr:`n_free`.
    Outside of [low, high] a function keeps the value that it has at the end.

    Args:
        low: Lower end of the knots, in units of the variable.
        high: Upper end.
        intervals: Number of equal intervals between them.
        transform: The matrix T, shape (intervals + 3, n_functions).
        n_free: Number of functions without a penalty, which come first.
        logarithmic: Whether knots are equal in the logarithm of the variable.
        is_absolute: Whether the absolute value is taken; the knots then reach from -high to high.
    """

    low: float
    high: float
    intervals: int
    transform: FloatArray
    n_free: int = 0
    logarithmic: bool = False
    is_absolute: bool = False

    @property
    def size(self) -> int:
        """Number of functions."""
        return int(self.transform.shape[1])

    @cached_property
    def knots(self) -> FloatArray:
        """The knots, three more beyond each end, shape (intervals + 7,)."""
        return _knots(*self._ends, self.intervals)

    @property
    def _ends(self) -> tuple[float, float]:
        first = -self.high if self.is_absolute else self.low
        ends = (first, self.high)
        return (float(np.log(first)), float(np.log(self.high))) if self.logarithmic else ends

    def __call__(self, x: FloatArray) -> FloatArray:
        """Return the functions at some points, shape (n, size); x has shape (n,)."""
        first, last = self._ends
        values = np.abs(x) if self.is_absolute else np.clip(x, self.low, self.high)
        if self.logarithmic:
            values = np.log(values)
        inside = np.clip(values, first, last)
        return np.asarray(self._spline(inside))

    @cached_property
    def _spline(self) -> Any:
        """All functions as one spline with several values."""
        from scipy.interpolate import BSpline

        return BSpline(self.knots, self.transform, DEGREE)

    def to_settings(self) -> dict[str, Any]:
        """Return what is needed to make it again, as JSON holds it."""
        return {
            "low": self.low,
            "high": self.high,
            "intervals": self.intervals,
            "transform": self.transform.tolist(),
            "n_free": self.n_free,
            "logarithmic": self.logarithmic,
            "is_absolute": self.is_absolute,
        }

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Make it of what :meth:`to_settings` returned."""
        given = dict(settings)
        transform = np.asarray(given.pop("transform"), dtype=np.float64)
        return cls(transform=transform, **given)


def curve_basis(
    low: float, high: float, intervals: int, *, even: bool = False, logarithmic: bool = False
) -> Basis:
    """Return a basis of smooth curves without their constant, which an intercept stands for.

    The penalty is that of P-splines: the sum of the squared second differences of neighbouring
    coefficients. A straight line has none, and is the first function, which is free; an even
    function cannot be one.

    Source: Eilers and Marx, doi 10.1214/ss/1038425655; natural coordinates as in Wood, Generalized
    Additive Models (2017), Section 5.8.

    Args:
        low: Lower end; for even functions it is not used.
        high: Upper end.
        intervals: Number of intervals between the knots.
        even: Whether functions are even, so that both signs of the variable are alike.
        logarithmic: Whether knots are equal in the logarithm.
    """
    n_splines = intervals + DEGREE
    folded = _folded(n_splines) if even else np.eye(n_splines)
    differences = np.diff(folded, n=2, axis=0)
    natural = _natural(differences.T @ differences, folded)
    if not even:
        # Its values are those of a straight line, about as large as those of a standardised input.
        line = np.linspace(-np.sqrt(3), np.sqrt(3), n_splines)
        natural = np.column_stack([line, natural])
    return Basis(low, high, intervals, natural, 0 if even else 1, logarithmic, even)


def radial_basis(reach: float, intervals: int) -> Basis:
    r"""Return a basis of functions of a distance that are smooth in the plane.

    A smooth function of two coordinates that depends on the distance alone is flat at 0. At the
    reach and beyond, value, slope and curvature are 0. The penalty is the bending energy in the
    plane,

    .. math:: \int_0^R \left[ g''(r)^2 + (g'(r) / r)^2 \right] r\, dr

    which only g = 0 does not have: it can take a function to zero.

    Source: the thin-plate penalty of Duchon (1977), in polar coordinates.

    Args:
        reach: Distance R at which functions end.
        intervals: Number of intervals between the knots.
    """
    from scipy.interpolate import BSpline

    n_splines = 2 * intervals + DEGREE
    # The last three splines are all that is not zero at the reach.
    folded = _folded(n_splines)[:, DEGREE:]
    radius = (np.arange(RADII) + 0.5) * reach / RADII
    spline = BSpline(_knots(-reach, reach, 2 * intervals), folded, DEGREE)
    slope = spline.derivative(1)(radius)
    curvature = spline.derivative(2)(radius)
    bending = (curvature.T * radius) @ curvature + (slope.T / radius) @ slope
    natural = _natural(bending * (reach / RADII), folded)
    return Basis(0.0, reach, 2 * intervals, natural, 0, is_absolute=True)


def product(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return all products of two sets of functions, shape (n, n_first * n_second)."""
    both = first[:, :, None] * second[:, None, :]
    return both.reshape(len(first), -1)


def _knots(first: float, last: float, intervals: int) -> FloatArray:
    step = (last - first) / intervals
    return first + step * np.arange(-DEGREE, intervals + DEGREE + 1)


def _folded(n_splines: int) -> FloatArray:
    """Return the matrix that makes even functions of coefficients, those of the ends first."""
    size = (n_splines + 1) // 2
    folded = np.zeros((n_splines, size))
    position = np.arange(n_splines)
    folded[position, np.minimum(position, n_splines - 1 - position)] = 1.0
    return folded


def _natural(penalty: FloatArray, folded: FloatArray) -> FloatArray:
    """Return combinations of splines with unit penalty, the smoothest first.

    Args:
        penalty: Of the coefficients, shape (m, m).
        folded: Splines by coefficient, shape (n_splines, m).
    """
    from scipy.linalg import eigh

    eigenvalues, vectors = eigh(penalty, folded.T @ folded)
    rough = eigenvalues > NULL * eigenvalues[-1]
    natural = folded @ vectors[:, rough] / np.sqrt(eigenvalues[rough])
    # The sign of an eigenvector is arbitrary: the first weight is made positive.
    signs = np.sign(natural[np.argmax(np.abs(natural), axis=0), np.arange(natural.shape[1])])
    return np.asarray(natural * signs)
