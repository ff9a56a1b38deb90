"""Replicas of additive fits: coefficients drawn from their covariance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from truthtag.arrays import FloatArray
from truthtag.data.training_blocks import Blocks, labels_of
from truthtag.seeds import Seed, seed_words

__all__ = ["chain", "root_of", "shared_by_points"]

ALL = -1
"""Stands for jets of every flavour."""


def root_of(covariance: FloatArray) -> FloatArray:
    """Return the symmetric square root of a covariance, shape (n, n).

    Unlike a triangular one, it changes little where the covariance does: the same random numbers
    make like replicas of like fits, those of other folds say.
    """
    eigenvalues, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.maximum(eigenvalues, 0.0))) @ vectors.T)


def chain(seed: Seed, size: int, shared: Sequence[FloatArray]) -> list[FloatArray]:
    r"""Draw standard normal numbers for each working point, that of one correlated with the next.

    .. math:: z' = r z + \sqrt{1 - r^2}\, \zeta

    Args:
        seed: Names the random stream.
        size: How many, n.
        shared: For each point but the first, the correlations r with the one before, shape (n,).
    """
    rng = np.random.default_rng(seed_words(seed))
    drawn: list[FloatArray] = [rng.standard_normal(size)]
    for correlation in shared:
        fresh = rng.standard_normal(size)
        drawn.append(correlation * drawn[-1] + np.sqrt(1.0 - correlation**2) * fresh)
    return drawn


def shared_by_points(blocks: Blocks, flavours: Sequence[int]) -> list[dict[int, float]]:
    r"""Return the correlation of the tags at each working point and the next, by flavour.

    A jet that passes the tighter passes the looser one, so that tags with the efficiencies
    :math:`\epsilon \ge \epsilon'` correlate by

    .. math:: r = \sqrt{\frac{\epsilon' (1 - \epsilon)}{\epsilon (1 - \epsilon')}}

    and along a chain of points by the product, as numbers drawn with :func:`chain` do.

    Args:
        blocks: The training sample.
        flavours: Flavours that were learned.

    Returns:
        For each pair of points the correlation of each flavour, and under -1 that of all jets; 1
        where no tag differs.
    """
    n_points = labels_of(blocks).n_points
    passing = {flavour: np.zeros(n_points) for flavour in (*flavours, ALL)}
    n_jets = dict.fromkeys(passing, 0)
    for block in blocks:
        passes = block.passes()
        for flavour in passing:
            chosen = passes if flavour == ALL else passes[block.flavour == flavour]
            passing[flavour] += chosen.sum(axis=0)
            n_jets[flavour] += len(chosen)
    fractions = {flavour: passing[flavour] / n_jets[flavour] for flavour in passing}
    pairs = range(n_points - 1)
    return [{f: _shared(*of[pair : pair + 2]) for f, of in fractions.items()} for pair in pairs]


def _shared(looser: float, tighter: float) -> float:
    apart = looser * (1.0 - tighter)
    return float(np.sqrt(tighter * (1.0 - looser) / apart)) if apart > 0 else 1.0
