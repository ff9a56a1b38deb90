"""Layers of sizes that a GPU multiplies fast: multiples of eight numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from truthtag.estimators.network.options import Architecture

__all__ = ["can_be_filled_up", "filled_up"]

MULTIPLE = 8
"""Numbers of 16 bits that make 16 bytes, what the matrix units of GPUs read at once."""

PAIR_WEIGHT = re.compile(r"\.edge\.0\.weight$")
"""Weights that act on both jets of a pair, and on what is known of the pair."""

LAST_OF_HEAD = re.compile(r"^body\.head\.(\d+)\.(weight|bias)$")


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
    last = max(int(found[1]) for name in weights if (found := LAST_OF_HEAD.match(name)))
    filled = {}
    for name, value in weights.items():
        if name.endswith(".bias"):
            is_output = name == f"body.head.{last}.bias"
            filled[name] = value if is_output else F.pad(value, (0, _missing(value.shape[-1])))
            continue
        rows = 0 if name == f"body.head.{last}.weight" else _missing(value.shape[-2])
        if PAIR_WEIGHT.search(name):
            size = (value.shape[-1] - n_edge) // 2
            of_jets = [
                F.pad(part, (0, _missing(size))) for part in torch.split(value, size, dim=-1)[:2]
            ]
            value = torch.cat([*of_jets, value[..., 2 * size :]], dim=-1)
            filled[name] = F.pad(value, (0, 0, 0, rows))
        else:
            filled[name] = F.pad(value, (0, _missing(value.shape[-1]), 0, rows))
    return filled


def _missing(size: int) -> int:
    """Return how much a size lacks to the next multiple."""
    return -size % MULTIPLE
