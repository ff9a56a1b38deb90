"""Layers of sizes that a GPU multiplies fast: multiples of eight numbers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from truthtag.estimators.network.options import Architecture

__all__ = ["can_be_filled_up", "filled_up"]

MULTIPLE = 8
"""Numbers of 16 bits that make 16 bytes, what the matrix units of GPUs read at once."""


def can_be_filled_up(architecture: Architecture) -> bool:
    """Return whether networks of an architecture have weights that :func:`filled_up` takes.

    The two halves of the representation of a jet must be of such a size already: they are put
    beside each other.
    """
    has_blocks = architecture.kind == "graph" and architecture.blocks > 0
    return has_blocks and architecture.width % (2 * MULTIPLE) == 0


def filled_up(weights: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
    """Return weights of a graph network with zeros that change nothing but its speed on a GPU.

    Hidden layers get units that are always zero, and inputs get columns of zeros. Gradients of what
    is added are dropped on the way back: the weights themselves are as if nothing had been added.

    Args:
        weights: The weights by name, of shapes (..., out, in) and (..., out) with the same leading
            axes.
        architecture: That of the network; see :func:`can_be_filled_up`.

    Returns:
        Weights for the same module, whose layers take their sizes from them.
    """
    n_edge = len(architecture.edge_features)
    # After each hidden layer of the head comes an activation; the outputs are what they are.
    output_layer = f"body.head.{2 * len(architecture.head)}."
    filled = {}
    for name, value in weights.items():
        is_bias = name.endswith(".bias")
        n_out = value.shape[-1 if is_bias else -2]
        more_out = 0 if name.startswith(output_layer) else _missing(n_out)
        if is_bias:
            filled[name] = F.pad(value, (0, more_out))
            continue
        sees_pairs = name.endswith(".edge.0.weight")
        wide = _for_pairs(value, n_edge) if sees_pairs else _padded(value)
        filled[name] = F.pad(wide, (0, 0, 0, more_out))
    return filled


def _for_pairs(weight: Tensor, n_edge: int) -> Tensor:
    """Fill up the columns of each of the two jets of a pair; those of the edge features stay."""
    size = (weight.shape[-1] - n_edge) // 2
    first, second, edge = torch.split(weight, [size, size, n_edge], dim=-1)
    return torch.cat([_padded(first), _padded(second), edge], dim=-1)


def _padded(weight: Tensor) -> Tensor:
    """Fill up the columns."""
    return F.pad(weight, (0, _missing(weight.shape[-1])))


def _missing(size: int) -> int:
    """Return how much a size lacks to the next multiple."""
    return -size % MULTIPLE
