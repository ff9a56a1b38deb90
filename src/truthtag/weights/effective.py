"""How many events weights are worth."""

from __future__ import annotations

import numpy as np

from truthtag.arrays import FloatArray, plain_array

__all__ = ["EffectiveEvents", "effective_events"]


def effective_events(weight: FloatArray) -> float:
    r"""Return how many events of weight 1 have the same relative error as these weights.

    .. math:: n_\mathrm{eff} = \left(\sum_e w_e\right)^2 / \sum_e w_e^2

    It is 0 where all weights are 0.

    Example:
        >>> effective_events(np.array([0.5, 0.5, 0.5, 0.5]))
        4.0
    """
    total = EffectiveEvents()
    total.add(weight)
    return total.value


class EffectiveEvents:
    """The number of :func:`effective_events` of weights that are given block by block.

    Attributes:
        sum: Sum of the weights so far.
        squares: Sum of their squares.
    """

    def __init__(self) -> None:
        self.sum = 0.0
        self.squares = 0.0

    def add(self, weight: FloatArray) -> None:
        """Add the weights of the events that follow."""
        plain = plain_array(weight, "weight")
        self.sum += float(np.sum(plain))
        self.squares += float(np.square(plain).sum())

    @property
    def value(self) -> float:
        """The number of events of weight 1; 0 where all weights are 0."""
        return self.sum**2 / self.squares if self.squares > 0 else 0.0
