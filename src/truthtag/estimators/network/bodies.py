"""Bodies of networks: the graph blocks of Appendix B, and a product over neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from truthtag.estimators.network.layers import (
    head_in_float32,
    mlp,
    take_columns,
    without_single_point,
)
from truthtag.estimators.network.options import Architecture
from truthtag.estimators.network.pairs import Shape, pair_linear, sum_neighbours

__all__ = ["INITIAL_FACTOR_LOGIT", "FactorisedBody", "GNBlock", "GraphBody", "body_of"]

INITIAL_FACTOR_LOGIT = 3.0
"""Logit of a neighbour's factor before training: 0.95, since most neighbours change little."""


class GNBlock(nn.Module):
    r"""One graph block: each jet is updated by all other jets of its event.

    .. math:: h_i = \left[
            \mathrm{MLP}_3\Big(\sum_{j \ne i} \mathrm{MLP}_1(x_i, x_j, e_{ij})\Big),\;
            \mathrm{MLP}_2(x_i)\right],
        \quad h_i \to h_i / |h_i|

    Source: Appendix B and Figure 9 of arXiv:2004.02665, where messages have no edge features e.

    Args:
        size_in: Size of the input representation.
        size_out: Size of the output representation; a multiple of 4.
        n_edge: Number of edge features.
        hidden: Size of hidden layers; by default that of Appendix B, the mean of what goes in and
            out.
    """

    def __init__(
        self, size_in: int, size_out: int, n_edge: int = 0, hidden: int | None = None
    ) -> None:
        super().__init__()
        half = size_out // 2
        n_pair = 2 * size_in + n_edge
        pair_hidden = hidden or (n_pair + half) // 2
        node_hidden = hidden or (size_in + half) // 2
        self.edge = mlp([n_pair, pair_hidden, pair_hidden, half], last=nn.Tanh())
        self.node = mlp([size_in, node_hidden, half], last=nn.Tanh())
        self.merge = mlp([half, half, half], last=nn.Tanh())

    def forward(self, x: Tensor, shape: Shape, edges: Tensor | None = None) -> Tensor:
        """Return the updated representation.

        Args:
            x: Representation of the jets, shape (n_jets, size_in).
            shape: Which rows make an event, as in :class:`.batches.Batch`.
            edges: Features of the ordered pairs, shape (n_pairs, n_edge), in the order of
                :func:`.pairs.pair_linear`.

        Returns:
            Rows of unit Euclidean norm, shape (n_jets, size_out).
        """
        first = cast("nn.Linear", self.edge[0])
        messages = self.edge[1:](pair_linear(first, x, shape, edges))
        collected = self.merge(sum_neighbours(messages, shape))
        own = self.node(x)
        return F.normalize(torch.cat([collected, own], dim=-1), dim=-1)


class GraphBody(nn.Module):
    """Graph blocks one after the other, inputs appended after each; then a network per jet.

    Source: Appendix B of arXiv:2004.02665.

    Args:
        architecture: Sizes of the layers.
        n_in: Number of columns that it sees of each jet.
        n_points: Number of working points, each an output of the network per jet.
    """

    outputs_probability = False
    """Whether the first output is the logit of the efficiency itself, whatever mu."""

    def __init__(self, architecture: Architecture, n_in: int, n_points: int = 1) -> None:
        super().__init__()
        n_edge = len(architecture.edge_features)
        width = architecture.width
        blocks = []
        size = n_in
        for _ in range(architecture.blocks):
            blocks.append(GNBlock(size, width, n_edge, architecture.hidden))
            size = width + n_in
        self.blocks = nn.ModuleList(blocks)
        self.head = mlp([size, *architecture.head, n_points])

    def forward(self, x0: Tensor, shape: Shape, edges: Tensor | None) -> Tensor:
        """Return logits of the scores, shape (n_jets,), or (n_jets, n_points) where several.

        The first is that of the loosest point, the others of passing each point given that the jet
        passes the one before.
        """
        extra = self._extra_columns(x0, edges)
        if extra:
            x0 = F.pad(x0, (0, extra))
        x = x0
        for block in self.blocks:
            x = torch.cat([block(x, shape, edges), x0], dim=-1)
        return without_single_point(head_in_float32(self.head, x))

    def _extra_columns(self, x0: Tensor, edges: Tensor | None) -> int:
        """Return how many columns of zeros the weights take beside the inputs.

        There are some only where weights were filled up with zeros: see
        :func:`.alignment.filled_up`.
        """
        if not self.blocks:
            return 0
        first = cast("GNBlock", self.blocks[0]).edge[0]
        n_edge = 0 if edges is None else edges.shape[-1]
        n_taken = (cast("nn.Linear", first).weight.shape[1] - n_edge) // 2
        return n_taken - x0.shape[-1]


class FactorisedBody(nn.Module):
    r"""A jet's own efficiency times a factor in (0, 1) for each neighbour.

    This is the form of Eq. 2, every function learned:

    .. math:: \log\epsilon_i = \log\sigma(g(x_i)) + \sum_{j \ne i} \log\sigma(h(x_i, x_j, e_{ij}))

    where h may see only some of the columns of the two jets. Both g and h are small networks and
    :math:`\sigma` the logistic function. Unlike a graph network it can be read: :meth:`terms` gives
    the two terms.

    With several working points, the probability to pass each given that the jet passes the one
    before has this form, with an output of g and of h of its own. So has the efficiency at each
    point then, a product of such products: its terms are the sums of those up to the point. Since
    no factor is above 1, a neighbour can only lower each of these probabilities: tighter points are
    taken to suffer at least as much from neighbours as looser ones.

    Args:
        architecture: Sizes of the layers.
        n_in: Number of columns that it sees of each jet.
        n_points: Number of working points.
        pair_columns: Which of those columns the factors see of the two jets; all by default.
    """

    # A product of probabilities is the efficiency itself, not the score that Eq. 5 trains.
    outputs_probability = True
    """Whether the first output is the logit of the efficiency itself, whatever mu."""

    def __init__(
        self,
        architecture: Architecture,
        n_in: int,
        n_points: int = 1,
        pair_columns: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.pair_columns = None if pair_columns is None else list(pair_columns)
        n_of_each = n_in if self.pair_columns is None else len(self.pair_columns)
        n_pair = 2 * n_of_each + len(architecture.edge_features)
        hidden = architecture.hidden or architecture.width
        self.base = mlp([n_in, *architecture.head, n_points])
        self.factor = mlp([n_pair, hidden, hidden, n_points])
        nn.init.constant_(cast("Tensor", self.factor[-1].bias), INITIAL_FACTOR_LOGIT)

    def terms(self, x: Tensor, shape: Shape, edges: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the logarithms of the own efficiencies and of the factors.

        Args:
            x: Representation of the jets, shape (n_jets, n_in).
            shape: Which rows make an event, as in :class:`.batches.Batch`.
            edges: Features of the ordered pairs, shape (n_pairs, n_edge), or None.

        Returns:
            One value per jet, shape (n_jets,), and one per ordered pair, shape (n_pairs,); with
            several working points those of each, given the one before, (n_jets, n_points) and
            (n_pairs, n_points).
        """
        base, factors = self._terms_of_points(x, shape, edges)
        return without_single_point(base), without_single_point(factors)

    def _terms_of_points(
        self, x: Tensor, shape: Shape, edges: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return :meth:`terms` with an axis for the working points, also where there is one."""
        first = cast("nn.Linear", self.factor[0])
        rest = cast("nn.Sequential", self.factor[1:])
        of_pair = x if self.pair_columns is None else take_columns(x, self.pair_columns)
        factor_logits = head_in_float32(rest, pair_linear(first, of_pair, shape, edges))
        base_logits = head_in_float32(self.base, x)
        return F.logsigmoid(base_logits), F.logsigmoid(factor_logits)

    def forward(self, x: Tensor, shape: Shape, edges: Tensor | None) -> Tensor:
        """Return logits of the efficiencies, shape (n_jets,), or (n_jets, n_points) where several.

        The first is that of the loosest point, the others of passing each point given that the jet
        passes the one before.
        """
        base, factors = self._terms_of_points(x, shape, edges)
        log_eff = base + sum_neighbours(factors, shape)
        # An efficiency of exactly 1 would have an infinite logit.
        log_eff = log_eff.clamp(max=-1e-6)
        return without_single_point(log_eff - torch.log(-torch.expm1(log_eff)))


def body_of(
    architecture: Architecture,
    n_in: int,
    n_points: int = 1,
    pair_columns: Sequence[int] | None = None,
) -> GraphBody | FactorisedBody:
    """Return the body of a network.

    Args:
        architecture: Sizes of the layers; its ``kind`` says which body it is.
        n_in: Number of columns that it sees of each jet.
        n_points: Number of working points.
        pair_columns: As for :class:`FactorisedBody`.
    """
    if architecture.kind == "factorised":
        return FactorisedBody(architecture, n_in, n_points, pair_columns)
    return GraphBody(architecture, n_in, n_points)
