"""The networks as a textbook writes them: one event, one ordered pair after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from truthtag.estimators.network.bodies import GNBlock
from truthtag.estimators.network.model import EfficiencyNetwork


def geometry(network: EfficiencyNetwork, a: Tensor, b: Tensor) -> Tensor:
    """Return the edge features of one ordered pair, from unscaled pt, eta, phi, flavour."""
    d_eta = float(b[1] - a[1])
    d_phi = float(b[2] - a[2])
    d_phi -= 2 * math.pi * math.floor((d_phi + math.pi) / (2 * math.pi))
    distance = math.hypot(d_eta, d_phi)
    known = {"delta_eta": d_eta, "delta_phi": d_phi, "delta_r": distance}
    columns = []
    for name in network.architecture.edge_features:
        if name.startswith("near_"):
            scale = float(name.removeprefix("near_"))
            columns.append(2 / (1 + (distance / scale) ** 2) - 1)
        else:
            columns.append(known[name])
    return torch.tensor(columns)


def seen(network: EfficiencyNetwork, rows: Tensor, inputs: Sequence[str]) -> Tensor:
    """Return what the network sees of one event's jets, one column after the other."""
    columns = []
    for name in inputs:
        if name == "flavour" and network.architecture.flavour == "one_hot":
            continue
        for place in network.columns.positions([name]):
            shifted = rows[:, place] - network.standardise.mean[place]
            columns.append(shifted / network.standardise.scale[place])
    if network.architecture.flavour == "one_hot" and "flavour" in inputs:
        columns.extend((rows[:, 3] == flavour).float() for flavour in network.flavours)
    return torch.stack(columns, dim=-1)


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
    x0 = x = seen(network, rows, network.architecture.inputs)
    edges = [[geometry(network, a, b) for b in rows] for a in rows]
    if network.architecture.kind == "factorised":
        conditional = torch.sigmoid(body.base(x))
        p = seen(network, rows, network.architecture.pair_inputs or network.architecture.inputs)
        for i in range(n):
            for j in range(n):
                if j != i:
                    factor = torch.sigmoid(body.factor(torch.cat([p[i], p[j], edges[i][j]])))
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
