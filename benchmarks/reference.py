"""The network as a textbook writes it, for batches: all ordered pairs side by side, in float32."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from truthtag.estimators.network.batches import Batch
from truthtag.estimators.network.bodies import GNBlock
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
    return hidden / hidden.norm(dim=-1, keepdim=True)


class ConcatenatedNetwork(nn.Module):
    """The same function and weights as an :class:`EfficiencyNetwork`, without shortcuts."""

    def __init__(self, network: EfficiencyNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits of the scores, shape (n_jets,)."""
        sizes = [m * n for m, n in batch.shape]
        parts = []
        for rows, (m, n) in zip(batch.features.split(sizes), batch.shape, strict=True):
            x0 = x = self.network.standardise(rows.view(m, n, -1))
            for block in self.network.body.blocks:
                x = torch.cat([concatenated_block(block, x), x0], dim=-1)
            parts.append(self.network.body.head(x).flatten())
        return torch.cat(parts)
