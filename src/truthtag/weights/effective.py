"""How many events weights are worth."""

from __future__ import annotations

import numpy as np

from truthtag.arrays import FloatArray, plain_array

__all__ = ["effective_events"]


def effective_events(weight: FloatArray) -> float:
    r"""Return how many events of weight 1 have the same relative error as these weights.

    .. math:: n_\mathrm{eff} = \left(\sum_e w_e\right)^2 / \sum_e w_e^2

    It is 0 where all weights are 0.

    Example:
        >>> effective_events(np.array([0.5, 0.5, 0.5, 0.5]))
        4.0
    """
    plain = plain_array(weight, "weight")
    squares = float(np.square(plain).sum())
    return float(np.sum(plain)) ** 2 / squares if squares > 0 else 0.0
