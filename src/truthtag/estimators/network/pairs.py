"""Ordered pairs of jets of an event: a linear layer, sums over neighbours, geometry."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from truthtag.data.kinematics import wrap_angle
from truthtag.estimators.network.options import FEATURES, near_scale

__all__ = ["Shape", "pair_geometry", "pair_linear", "sum_neighbours"]

Shape = Sequence[tuple[int, int]]
"""Pairs (m, n): m events of n jets each, in the order of the rows."""


def pair_linear(layer: nn.Linear, x: Tensor, shape: Shape, edges: Tensor | None = None) -> Tensor:
    r"""Apply a linear layer to all ordered pairs of jets of an event, without making the pairs.

    .. math:: W [x_i; x_j; e_{ij}] + b = (A x_i + b) + B x_j + C e_{ij}

    so that the two large products are made per jet, not per pair. Jets meet their neighbours by
    rolling the jet axis, which needs no indices.

    Args:
        layer: The layer.
        x: Representation of the jets, shape (n_jets, size).
        shape: Which rows make an event, as in :class:`truthtag.estimators.network.batches.Batch`.
        edges: Features of the pairs, shape (n_pairs, n_edge), or None.

    Returns:
        A row per ordered pair, shape (n_pairs, size_out): for each multiplicity n, the pairs
        (i, i + 1) of all jets i of all events, then (i, i + 2), up to (i, i + n - 1), counted in a
        circle.
    """
    size = x.shape[-1]
    to_self, to_other, to_edge = layer.weight.tensor_split([size, 2 * size], dim=1)
    own = F.linear(x, to_self, layer.bias)
    other = F.linear(x, to_other)
    sizes = [m * n for m, n in shape]
    pairs = []
    for own_rows, other_rows, (m, n) in zip(
        torch.split(own, sizes), torch.split(other, sizes), shape, strict=True
    ):
        jets = own_rows.view(m, n, -1)
        neighbours = other_rows.view(m, n, -1)
        for k in range(1, n):
            pairs.append((jets + neighbours.roll(-k, dims=1)).view(m * n, -1))  # noqa: PERF401
    # Where every jet is alone there is no pair.
    out = torch.cat(pairs) if pairs else own[:0]
    if edges is None:
        return out
    return out + F.linear(edges, to_edge)


def sum_neighbours(values: Tensor, shape: Shape) -> Tensor:
    """Sum over the neighbours of each jet.

    Args:
        values: A row per ordered pair, in the order of :func:`pair_linear`, shape (n_pairs, size).
        shape: Which jets make an event, as in :class:`truthtag.estimators.network.batches.Batch`.

    Returns:
        A row per jet, shape (n_jets, size); zero for a jet that is alone.
    """
    counts = [(n - 1) * m * n for m, n in shape]
    sums = []
    for rows, (m, n) in zip(torch.split(values, counts), shape, strict=True):
        by_neighbour = rows.view(n - 1, m * n, values.shape[-1])
        sums.append(by_neighbour.sum(dim=0))
    return torch.cat(sums)


def pair_geometry(rows: Tensor, shape: Shape, names: Sequence[str]) -> Tensor | None:
    r"""Compute the edge features of all ordered pairs, in the order of :func:`pair_linear`.

    Args:
        rows: The jets, neither shifted nor scaled, shape (n_jets, n_columns); the first columns are
            those of :data:`~truthtag.estimators.network.options.FEATURES`.
        shape: Which rows make an event, as in :class:`truthtag.estimators.network.batches.Batch`.
        names: Edge features, as :class:`~truthtag.estimators.network.options.Architecture` has
            them.

    Returns:
        Neighbour minus jet, :math:`\Delta\phi` wrapped, and nearness on a scale s,
        :math:`2 / (1 + (\Delta R / s)^2) - 1`, shape (n_pairs, len(names)); None where no name is
        given.
    """
    if not names:
        return None
    d_eta = _differences(rows[:, FEATURES.index("eta")], shape)
    d_phi = wrap_angle(_differences(rows[:, FEATURES.index("phi")], shape))
    columns = [_edge_feature(name, d_eta, d_phi) for name in names]
    return torch.stack(columns, dim=-1)


def _differences(values: Tensor, shape: Shape) -> Tensor:
    """Return neighbour minus jet of all ordered pairs, shape (n_pairs,)."""
    differences = []
    of_multiplicities = torch.split(values, [m * n for m, n in shape])
    for flat, (m, n) in zip(of_multiplicities, shape, strict=True):
        jets = flat.view(m, n)
        # The jets of an event twice, one after the other: those from the k-th on are its jets
        # rolled by k.
        twice = torch.cat([jets, jets[:, :-1]], dim=1)
        rolled = twice.unfold(1, n, 1)[:, 1:].transpose(0, 1)
        differences.append((rolled - jets).reshape(-1))
    return torch.cat(differences)


def _edge_feature(name: str, d_eta: Tensor, d_phi: Tensor) -> Tensor:
    """Return one property of pairs of jets, shape (n_pairs,)."""
    if name == "delta_eta":
        return d_eta
    if name == "delta_phi":
        return d_phi
    scale = near_scale(name)
    if scale is None:
        return torch.hypot(d_eta, d_phi)
    squared = d_eta * d_eta + d_phi * d_phi
    return 2.0 / (1.0 + squared / scale**2) - 1.0
