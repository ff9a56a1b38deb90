"""The network of Appendix B as a textbook writes it: one event, all ordered pairs side by side. Slow, and plain."""

from __future__ import annotations

import torch
from torch import Tensor

from truthtag.network import EfficiencyNetwork, GNBlock


def textbook_block(block: GNBlock, x: Tensor) -> Tensor:
    """Return the output of a block for one event, x of shape (n, size_in)."""
    n = len(x)
    collected = []
    for i in range(n):
        messages = [block.edge(torch.cat([x[i], x[j]])) for j in range(n) if j != i]
        total = torch.stack(messages).sum(dim=0) if messages else torch.zeros(block.merge[0].in_features)
        collected.append(torch.cat([block.merge(total), block.node(x[i])]))
    hidden = torch.stack(collected)
    return hidden / hidden.norm(dim=-1, keepdim=True)


def textbook_network(network: EfficiencyNetwork, rows: Tensor) -> Tensor:
    """Return the logits of one event's jets, rows of shape (n, 4)."""
    x0 = x = (rows - network.standardise.mean) / network.standardise.scale
    for block in network.blocks:
        x = torch.cat([textbook_block(block, x), x0], dim=-1)
    return network.head(x).squeeze(-1)
