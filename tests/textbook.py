"""The networks as a textbook writes them: one event, one ordered pair after the other."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from truthtag.estimators.network.bodies import GNBlock
from truthtag.estimators.network.model import EfficiencyNetwork


def geometry(network: EfficiencyNetwork, a: Tensor, b: Tensor) -> Tensor:
    """Return the edge features of one ordered pair, from unscaled pt, eta, phi, flavour."""
    d_eta = float(b[1] - a[1])
    d_phi = float(b[2] - a[2])
    d_phi -= 2 * math.pi * math.floor((d_phi + math.pi) / (2 * math.pi))
    known = {"delta_eta": d_eta, "delta_phi": d_phi, "delta_r": math.hypot(d_eta, d_phi)}
    return torch.tensor([known[name] for name in network.architecture.edge_features])


def textbook_block(block: GNBlock, x: Tensor, edges: list[list[Tensor]]) -> Tensor:
    """Return the output of a block for one event, x of shape (n, size_in)."""
    n = len(x)
    collected = []
    for i in range(n):
        messages = [block.edge(torch.cat([x[i], x[j], edges[i][j]])) for j in range(n) if j != i]
        total = (
            torch.stack(messages).sum(dim=0)
            if messages
            else torch.zeros(block.merge[0].in_features)
        )
        collected.append(torch.cat([block.merge(total), block.node(x[i])]))
    hidden = torch.stack(collected)
    return hidden / hidden.norm(dim=-1, keepdim=True)


def textbook_network(network: EfficiencyNetwork, rows: Tensor) -> Tensor:
    """Return the efficiencies of one event's jets, rows of shape (n, n_columns).

    Of shape (n,), or (n, n_points) where there are several working points.
    """
    n = len(rows)
    body = network.body
    x0 = x = ((rows - network.standardise.mean) / network.standardise.scale)[:, network.seen]
    edges = [[geometry(network, a, b) for b in rows] for a in rows]
    if network.architecture.kind == "factorised":
        conditional = torch.sigmoid(body.base(x))
        for i in range(n):
            for j in range(n):
                if j != i:
                    factor = torch.sigmoid(body.factor(torch.cat([x[i], x[j], edges[i][j]])))
                    conditional[i] = conditional[i] * factor
    else:
        for block in body.blocks:
            x = torch.cat([textbook_block(block, x, edges), x0], dim=-1)
        conditional = torch.sigmoid(body.head(x))
        first = conditional[:, 0].clone()
        conditional[:, 0] = network.mu * first / (1 - first + network.mu * first)
    eff = [conditional[:, 0]]
    for k in range(1, network.n_points):
        eff.append(eff[-1] * conditional[:, k])
    return torch.stack(eff, dim=-1) if len(eff) > 1 else eff[0]
