"""Layers that networks are built of: stacks of linear layers, and the scaling of inputs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from truthtag.errors import DataError
from truthtag.estimators.network.options import FEATURES

__all__ = ["Standardise", "head_in_float32", "mlp", "take_columns", "without_single_point"]

ROWS_AT_ONCE = 2**23
"""Rows whose sums are taken in one go; those of more rows are added up."""


def mlp(sizes: Sequence[int], last: nn.Module | None = None) -> nn.Sequential:
    """Return linear layers of the given sizes with ReLU between them, and ``last`` at the end."""
    layers: list[nn.Module] = []
    for size_in, size_out in pairwise(sizes):
        layers.append(nn.Linear(size_in, size_out))
        layers.append(nn.ReLU(inplace=True))
    layers.pop()
    if last is not None:
        layers.append(last)
    return nn.Sequential(*layers)


def head_in_float32(layers: nn.Sequential, x: Tensor) -> Tensor:
    """Apply layers, the last of them in float32 even where the others run in bfloat16.

    A logit of -4, usual for light jets, would be rounded to steps of 1/32 in bfloat16: 3% of the
    efficiency.

    Args:
        layers: The layers, at least one.
        x: Their input, shape (n, size_in).

    Returns:
        Their output in float32, shape (n, size_out).
    """
    hidden = layers[:-1](x)
    with torch.autocast(hidden.device.type, enabled=False):
        out: Tensor = layers[-1](hidden.float())
    return out


def take_columns(rows: Tensor, chosen: Sequence[int]) -> Tensor:
    """Return some columns, in the order asked for.

    Indexing with a list would do the same, but copy the list to a GPU each time, which then has to
    be waited for.

    Args:
        rows: Shape (n, n_columns).
        chosen: Positions of columns; not empty.

    Returns:
        Shape (n, len(chosen)); the rows themselves where all are chosen in their order.
    """
    if list(chosen) == list(range(rows.shape[1])):
        return rows
    return torch.stack([rows[:, column] for column in chosen], dim=-1)


def without_single_point(values: Tensor) -> Tensor:
    """Drop the last axis, that of the working points, where there is one point only."""
    return values.squeeze(-1) if values.shape[-1] == 1 else values


def _moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each column, in double precision."""
    if len(rows) <= ROWS_AT_ONCE:
        return rows.double().mean(dim=0), rows.double().std(dim=0)
    total = torch.zeros(rows.shape[1], dtype=torch.float64)
    for some in torch.split(rows, ROWS_AT_ONCE):
        total += some.double().sum(dim=0)
    mean = total / len(rows)
    squares = torch.zeros_like(mean)
    for some in torch.split(rows, ROWS_AT_ONCE):
        squares += (some.double() - mean).square().sum(dim=0)
    return mean, (squares / (len(rows) - 1)).sqrt()


class Standardise(nn.Module):
    r"""Shift and scale the inputs by the mean and standard deviation of the training sample.

    .. math:: x' = (x - \bar x) / s_x

    The two are buffers: they travel with the weights. Columns of 0 and 1 stay as they are: a
    category that does not occur in the sample has no standard deviation to divide by. A column of
    numbers that does not vary is refused: the network would learn nothing of it, and give jets with
    another value an efficiency that nothing has taught it. Only where a part of the samples has
    jets of a single one of several known flavours is the flavour scaled by those known.

    Args:
        size: Number of inputs, columns of the rows.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    def fit(
        self,
        rows: Tensor,
        names: Sequence[str] = FEATURES,
        used: Collection[str] | None = None,
        indicators: Collection[str] = (),
        possible: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        """Take mean and standard deviation from a sample.

        Args:
            rows: The inputs, shape (n, size).
            names: Their names.
            used: Names of those that the network sees, by default all. Of the others, a column that
                does not vary keeps a scale of 1: nothing depends on it.
            indicators: Names of columns of 0 and 1, which stay as they are, whether or not they
                vary.
            possible: Values that a column can have, by its name: where the column does not vary in
                the sample, but these do, mean and standard deviation are theirs.

        Raises:
            DataError: A column in use holds a value that is not finite, or does not vary.
        """
        mean, scale = _moments(rows)
        for column, name in enumerate(names):
            if name in indicators:
                mean[column] = 0.0
                scale[column] = 1.0
                continue
            center = float(mean[column])
            # Equal values can have a mean that is rounded, and then a tiny standard deviation.
            varies = bool((rows[:, column] != rows[0, column]).any())
            width = float(scale[column]) if varies else 0.0
            if math.isfinite(center) and math.isfinite(width) and width > 0:
                continue
            values = (possible or {}).get(name, ())
            if math.isfinite(center) and len(set(values)) > 1:
                mean[column] = statistics.fmean(values)
                scale[column] = statistics.pstdev(values)
                continue
            if used is None or name in used:
                msg = (
                    f"input {name!r} has mean {center} and standard deviation {width} on the "
                    "training sample: it must be finite and vary. "
                    "Check that column, train on more events, or leave it out of "
                    "architecture.inputs."
                )
                raise DataError(msg)
            mean[column] = center if math.isfinite(center) else 0.0
            scale[column] = 1.0
        self.mean.copy_(mean)
        self.scale.copy_(scale)

    def forward(self, rows: Tensor) -> Tensor:
        """Return standardised rows, the shape of the input."""
        return (rows - self.mean) / self.scale
