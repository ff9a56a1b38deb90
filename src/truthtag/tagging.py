"""Probabilities that an event has so many tags, from the efficiencies of its jets."""

from __future__ import annotations

import numpy as np

from truthtag.arrays import FloatArray
from truthtag.errors import DataError

__all__ = ["tag_probabilities"]


def tag_probabilities(efficiency: FloatArray) -> FloatArray:
    r"""Probability of exactly 0, 1, … n tags among n jets that are tagged independently.

    Adding one jet after the other, with :math:`P_k` the probability of k tags so far:

    .. math:: P_k \to (1 - \epsilon_i) P_k + \epsilon_i P_{k-1}

    which is Eq. 3 of arXiv:2004.02665 for two jets, and the Poisson-binomial distribution for any number.

    Args:
        efficiency: Efficiencies of the jets considered, shape (..., n), in [0, 1].

    Returns:
        Probabilities, shape (..., n + 1); they sum to 1 over the last axis.

    Raises:
        DataError: A value is outside [0, 1], or not a number.

    Example:
        >>> tag_probabilities(np.array([0.5, 0.2])).round(3).tolist()
        [0.4, 0.5, 0.1]
    """
    eff = np.asarray(efficiency, dtype=np.float64)
    if not np.all((eff >= 0) & (eff <= 1)):
        wrong = eff[~((eff >= 0) & (eff <= 1))][0]
        msg = f"an efficiency is {wrong}; it must lie in [0, 1]"
        raise DataError(msg)
    n_jets = eff.shape[-1]
    probability = np.zeros((*eff.shape[:-1], n_jets + 1))
    probability[..., 0] = 1.0
    for i in range(n_jets):
        tagged = probability[..., : i + 1] * eff[..., i, None]
        probability[..., : i + 1] -= tagged
        probability[..., 1 : i + 2] += tagged
    return probability
