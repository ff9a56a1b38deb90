"""What is not known of the smoothness, and what it adds to the errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from truthtag.arrays import FloatArray
from truthtag.estimators.additive.structure import Penalty

__all__ = ["UNCERTAIN", "uncertain_smoothing"]

UNCERTAIN = 3.0
"""How far the logarithm of a penalty's weight may be off where the tags do not say, as a standard
deviation."""


def uncertain_smoothing(
    penalties: Sequence[Penalty], values: FloatArray, smoothing: FloatArray, inverse: FloatArray
) -> FloatArray:
    r"""Return the covariance of the coefficients that uncertain weights of penalties add.

    .. math:: J V_\rho J^T, \quad J_{\cdot j} = \partial\beta / \partial\rho_j
        = -\lambda_j V S_j \beta, \quad \rho = \log\lambda

    with :math:`V_\rho` the inverse of the second derivatives of the restricted likelihood, to which
    a weak prior of width :data:`UNCERTAIN` is added.

    Source: Wood, Pya and Saefken, J. Am. Stat. Assoc. 111 (2016) 1548, Eq. 7, its first term.

    Args:
        penalties: Which coefficients share a penalty.
        values: The coefficients, shape (n,).
        smoothing: Weights of the penalties, shape (m,).
        inverse: The matrix V, shape (n, n).
    """
    pulls = np.zeros((len(values), len(penalties)))
    for column, (weight, penalty) in enumerate(zip(smoothing, penalties, strict=True)):
        pulls[penalty.which, column] = weight * values[penalty.which]
    jacobian = -inverse @ pulls
    curvature = _curvature(penalties, values, smoothing, inverse) - pulls.T @ inverse @ pulls
    eigenvalues, vectors = np.linalg.eigh(0.5 * (curvature + curvature.T))
    # Where the likelihood says nothing, rounding can make a curvature negative.
    known = np.maximum(eigenvalues, 0.0) + UNCERTAIN**-2
    spread = jacobian @ vectors / np.sqrt(known)
    return np.asarray(spread @ spread.T)


def _curvature(
    penalties: Sequence[Penalty], values: FloatArray, smoothing: FloatArray, inverse: FloatArray
) -> FloatArray:
    """Return the second derivatives of the restricted likelihood at fixed coefficients, (m, m)."""
    curvature = np.zeros((len(penalties),) * 2)
    for j, (one, first) in enumerate(zip(smoothing, penalties, strict=True)):
        squares = one * float((values[first.which] ** 2).sum())
        variances = one * float(np.diag(inverse)[first.which].sum())
        curvature[j, j] += 0.5 * (squares + variances)
        for k, (other, second) in enumerate(zip(smoothing, penalties, strict=True)):
            shared = inverse[np.ix_(first.which, second.which)]
            curvature[j, k] -= 0.5 * one * other * float((shared**2).sum())
    return curvature
