"""The network as a textbook writes it, for batches: all ordered pairs side by side, in float32."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from truthtag.estimators.network.batches import Batch
from truthtag.estimators.network.bodies import GNBlock, GraphBody
from truthtag.estimators.network.model import EfficiencyNetwork


def concatenated_block(block: GNBlock, x: Tensor) -> Tensor:
    """Apply a block to m events of n jets, x of shape (m, n, size_in), by concatenation."""
    m, n, size = x.shape
    first = x[:, :, None].expand(m, n, n, size)
    second = x[:, None].expand(m, n, n, size)
    others = ~torch.eye(n, dtype=torch.bool)
    pairs = torch.cat([first, second], dim=-1)[:, others]
    messages = block.edge(pairs).view(m, n, n - 1, -1).sum(dim=2)
    hidden = torch.cat([block.merge(messages), block.node(x)], dim=-1)
    length: Tensor = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)
    return hidden / length


class ConcatenatedNetwork(nn.Module):
    """The same function and weights as an :class:`EfficiencyNetwork`, without shortcuts."""

    def __init__(self, network: EfficiencyNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits of the scores, shape (n_jets,)."""
        body = cast("GraphBody", self.network.body)
        blocks = cast("Iterable[GNBlock]", body.blocks)
        sizes = [m * n for m, n in batch.shape]
        parts = []
        for rows, (m, n) in zip(torch.split(batch.features, sizes), batch.shape, strict=True):
            x0 = self.network.standardise(rows.view(m, n, -1))
            x = x0
            for block in blocks:
                x = torch.cat([concatenated_block(block, x), x0], dim=-1)
            parts.append(body.head(x).flatten())
        return torch.cat(parts)
