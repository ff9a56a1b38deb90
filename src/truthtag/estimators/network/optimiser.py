"""Adam, and the course of its learning rate.

The steps are those of :func:`torch.optim.adam.adam`. The class :class:`torch.optim.Adam` makes the
same ones, but loads all of PyTorch's compiler when it is made, which takes every job a second.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam

from truthtag.estimators.network.options import TrainingOptions

__all__ = ["Adam", "copy_values", "learning_rate"]

EPSILON = 1e-8
"""What Adam adds to the square root of the mean squared gradient, PyTorch's default."""

RISE = 25.0
"""How much larger the peak of ``one_cycle`` is than the learning rate of the first step."""

FALL = 1e4
"""How much smaller than that of the first step it is after the last."""


class Adam:
    """Adam in one fused operation, a quarter of the time of a plain step.

    Args:
        weights: What is trained; changed in place.
        betas: How much of the mean gradient and of the mean squared gradient is kept.

    Source: Kingma and Ba, arXiv:1412.6980.
    """

    def __init__(self, weights: Iterable[Tensor], betas: tuple[float, float]) -> None:
        self.weights = list(weights)
        self.betas = betas
        self.means = [torch.zeros_like(weight) for weight in self.weights]
        self.squares = [torch.zeros_like(weight) for weight in self.weights]
        # Counted where the weights are: a GPU need not be waited for.
        self.counts = [torch.zeros((), device=weight.device) for weight in self.weights]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Change the weights by their gradients, and forget these.

        Args:
            rate: The learning rate.
        """
        taught = [place for place, one in enumerate(self.weights) if one.grad is not None]
        adam(
            [self.weights[place] for place in taught],
            [grad for one in self.weights if (grad := one.grad) is not None],
            [self.means[place] for place in taught],
            [self.squares[place] for place in taught],
            [],
            [self.counts[place] for place in taught],
            fused=True,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=rate,
            weight_decay=0.0,
            eps=EPSILON,
            maximize=False,
        )
        self.forget()

    def forget(self) -> None:
        """Drop the gradients."""
        for weight in self.weights:
            weight.grad = None

    def state(self) -> dict[str, list[Tensor]]:
        """Return all that changes from step to step, beside the weights."""
        return {"means": self.means, "squares": self.squares, "counts": self.counts}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` returned.

        Raises:
            LookupError, RuntimeError, TypeError, ValueError: It is that of other weights.
        """
        for name, own in self.state().items():
            copy_values(state[name], own)


def copy_values(source: Iterable[Tensor], target: Iterable[Tensor]) -> None:
    """Write the values of some tensors into others of the same shapes.

    Raises:
        RuntimeError, TypeError, ValueError: There are more of one than of the other, or shapes
            differ.
    """
    with torch.no_grad():
        for old, new in zip(source, target, strict=True):
            new.copy_(old)


def learning_rate(options: TrainingOptions, step: int, steps: int) -> float:
    r"""Return the learning rate of a step.

    With ``one_cycle`` it rises from a 25th of its peak, and falls to almost nothing, both as
    half a wave of a cosine:

    .. math:: \lambda(x) = b + \frac{a - b}{2} (1 + \cos \pi x)

    from a to b as x goes from 0 to 1.

    Args:
        options: The peak, and the fraction of the steps in which it rises.
        step: Number of the step, from 0.
        steps: Number of steps of the training; with this one the rate has fallen to the end.

    Source: Smith and Topin, arXiv:1708.07120, as :class:`torch.optim.lr_scheduler.OneCycleLR`
    has it.
    """
    peak = options.learning_rate
    if options.schedule == "constant":
        return peak
    first = peak / RISE
    # The end of the rise, as a number of a step; where it is before the first, nothing rises.
    top = options.warm_up * (steps + 1) - 1
    if top > 0 and step <= top:
        return _wave(first, peak, step / top)
    return _wave(peak, first / FALL, (step - top) / (steps - top))


def _wave(first: float, last: float, share: float) -> float:
    """Return where half a wave from one value to another is after a share of it."""
    return last + (first - last) / 2.0 * (math.cos(math.pi * share) + 1)
