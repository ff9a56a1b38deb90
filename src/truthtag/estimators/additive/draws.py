"""Replicas of additive fits: coefficients drawn from their covariance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets

__all__ = ["chained", "root_of", "shared_by_points"]


def root_of(covariance: FloatArray) -> FloatArray:
    """Return the symmetric square root of a covariance, shape (n, n).

    Unlike a triangular one, it changes little where the covariance does: the same random numbers
    make like replicas of like fits, those of other folds say.
    """
    eigenvalues, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.maximum(eigenvalues, 0.0))) @ vectors.T)


def chained(normal: FloatArray, shared: FloatArray, rng: np.random.Generator) -> FloatArray:
    r"""Return standard normal numbers that go with those of the looser working point.

    .. math:: z' = r z + \sqrt{1 - r^2}\, \zeta

    Args:
        normal: Those of the looser point, z, shape (..., n).
        shared: Their correlations r, shape (n,).
        rng: The random stream.
    """
    fresh = rng.standard_normal(normal.shape)
    return shared * normal + np.sqrt(1.0 - shared**2) * fresh


def shared_by_points(jets: Jets, flavours: Sequence[int]) -> list[dict[int, float]]:
    r"""Return the correlation of the tags at each working point and the next, by flavour.

    A jet that passes the tighter passes the looser one, so that tags with the efficiencies
    :math:`\epsilon \ge \epsilon'` correlate by

    .. math:: r = \sqrt{\frac{\epsilon' (1 - \epsilon)}{\epsilon (1 - \epsilon')}}

    and along a chain of points by the product, as numbers drawn with :func:`chained` do.

    Args:
        jets: The training jets.
        flavours: Flavours that were learned.

    Returns:
        For each pair of points the correlation of each flavour, and under -1 that of all jets; 1
        where no tag differs.
    """
    passes = jets.passes()
    fractions = {flavour: passes[jets.flavour == flavour].mean(axis=0) for flavour in flavours}
    fractions[-1] = passes.mean(axis=0)
    pairs = range(jets.n_points - 1)
    return [{f: _shared(*of[pair : pair + 2]) for f, of in fractions.items()} for pair in pairs]


def _shared(looser: float, tighter: float) -> float:
    apart = looser * (1.0 - tighter)
    return float(np.sqrt(tighter * (1.0 - looser) / apart)) if apart > 0 else 1.0
