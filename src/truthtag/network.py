"""The network of Appendix B: graph blocks over the jets of an event, then an efficiency per jet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from truthtag.arrays import FloatArray
from truthtag.errors import ConfigError, DataError
from truthtag.jets import Jets
from truthtag.tables import whole_file

__all__ = [
    "FEATURES",
    "Architecture",
    "Batch",
    "EfficiencyNetwork",
    "GNBlock",
    "Standardise",
    "features",
    "load_network",
    "save_network",
]

FEATURES = ("pt", "eta", "phi", "flavour")
"""What the network sees of each jet, in this order."""

FORMAT = "truthtag network 1"
PREDICTION_EVENTS = 1_000


class Batch(NamedTuple):
    """Jets of many events, those of one multiplicity together, so that every step is a plain rectangle.

    Attributes:
        features: One row per jet, the columns of :data:`FEATURES`, shape (n_jets, 4).
        shape: Pairs (m, n): m events of n jets each, in the order of the rows; the products m * n sum to n_jets.
    """

    features: Tensor
    shape: Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Architecture:
    """Sizes of the layers.

    Args:
        width: Size of the jet representation between blocks; a multiple of 4.
        blocks: Number of graph blocks; with none the network sees one jet at a time.
        head: Sizes of the hidden layers of the jet efficiency network.

    Raises:
        ConfigError: A size is not allowed.
    """

    width: int = 256
    blocks: int = 4
    head: tuple[int, ...] = (256, 128, 50)

    def __post_init__(self) -> None:
        if self.width < 4 or self.width % 4:
            msg = f"network width is {self.width}; it must be a positive multiple of 4 (Appendix B halves it twice)"
            raise ConfigError(msg)
        if self.blocks < 0 or any(size < 1 for size in self.head):
            msg = f"network has {self.blocks} blocks and head {self.head}; sizes cannot be negative, nor layers empty"
            raise ConfigError(msg)


def mlp(sizes: Sequence[int], last: nn.Module | None = None) -> nn.Sequential:
    """Return linear layers of the given sizes with ReLU between them, and ``last`` at the end."""
    layers: list[nn.Module] = []
    for size_in, size_out in pairwise(sizes):
        layers += [nn.Linear(size_in, size_out), nn.ReLU(inplace=True)]
    layers[-1:] = [] if last is None else [last]
    return nn.Sequential(*layers)


class Standardise(nn.Module):
    r"""Shift and scale the inputs by the mean and standard deviation of the training sample.

    .. math:: x' = (x - \bar x) / s_x

    The two are buffers: they travel with the weights.

    Args:
        size: Number of inputs.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    def fit(self, rows: Tensor, names: Sequence[str] = FEATURES) -> None:
        """Take mean and standard deviation from a sample, shape (n, size).

        Raises:
            DataError: A column holds a value that is not finite, or does not vary.
        """
        mean, scale = rows.double().mean(dim=0), rows.double().std(dim=0)
        for name, m, s in zip(names, mean.tolist(), scale.tolist(), strict=True):
            if not s > 0 or s == float("inf"):
                msg = (
                    f"input {name!r} has mean {m} and standard deviation {s} on the training sample: "
                    "it must be finite and vary. Check that column, or train on more events."
                )
                raise DataError(msg)
        self.mean.copy_(mean)
        self.scale.copy_(scale)

    def forward(self, rows: Tensor) -> Tensor:
        """Return standardised rows, the shape of the input."""
        return (rows - self.mean) / self.scale


class GNBlock(nn.Module):
    r"""One graph block: each jet is updated by all other jets of its event.

    .. math:: h_i = \left[\mathrm{MLP}_3\Big(\sum_{j \ne i} \mathrm{MLP}_1(x_i, x_j)\Big),\; \mathrm{MLP}_2(x_i)\right],
        \quad h_i \to h_i / |h_i|

    Source: Appendix B and Figure 9 of arXiv:2004.02665. The first layer of MLP1 is linear in the concatenated pair, so
    it is computed per jet and added per pair: :math:`W [x_i; x_j] = A x_i + B x_j`. The neighbours of a jet are met by
    rolling the jet axis, which needs no indices.

    Args:
        size_in: Size of the input representation.
        size_out: Size of the output representation; a multiple of 4.
    """

    def __init__(self, size_in: int, size_out: int) -> None:
        super().__init__()
        half = size_out // 2
        pair, single = (2 * size_in + half) // 2, (size_in + half) // 2
        self.message_size = half
        self.edge = mlp([2 * size_in, pair, pair, half], last=nn.Tanh())
        self.node = mlp([size_in, single, half], last=nn.Tanh())
        self.merge = mlp([half, half, half], last=nn.Tanh())

    def forward(self, x: Tensor, shape: Sequence[tuple[int, int]]) -> Tensor:
        """Return the updated representation.

        Args:
            x: Representation of the jets, shape (n_jets, size_in).
            shape: Which rows make an event, as in :class:`Batch`.

        Returns:
            Rows of unit Euclidean norm, shape (n_jets, size_out).
        """
        collected = self.merge(self.messages(x, shape))
        return F.normalize(torch.cat([collected, self.node(x)], dim=-1), dim=-1)

    def messages(self, x: Tensor, shape: Sequence[tuple[int, int]]) -> Tensor:
        """Sum MLP1 over the other jets of each jet's event, shape (n_jets, size_out / 2)."""
        first = self.edge[0]
        weight, bias = cast("Tensor", first.weight), cast("Tensor", first.bias)
        to_self, to_other = weight.chunk(2, dim=1)
        own, other = F.linear(x, to_self, bias), F.linear(x, to_other)
        sizes = [m * n for m, n in shape]
        pairs = [
            rolled
            for a, b, (m, n) in zip(torch.split(own, sizes), torch.split(other, sizes), shape, strict=True)
            for rolled in _ordered_pairs(a.view(m, n, -1), b.view(m, n, -1))
        ]
        if not pairs:
            return x.new_zeros(len(x), self.message_size)
        values: Tensor = self.edge[1:](torch.cat(pairs))
        parts = torch.split(values, [(n - 1) * m * n for m, n in shape])
        return torch.cat([_sum_neighbours(part, m, n) for part, (m, n) in zip(parts, shape, strict=True)])


def _ordered_pairs(own: Tensor, other: Tensor) -> Iterable[Tensor]:
    """Add each jet to each other jet of its event: n - 1 tensors of shape (m * n, size)."""
    m, n, size = own.shape
    for k in range(1, n):
        yield (own + other.roll(-k, dims=1)).view(m * n, size)


def _sum_neighbours(values: Tensor, m: int, n: int) -> Tensor:
    """Undo :func:`_ordered_pairs`, summing over the neighbours: shape (m * n, size)."""
    return values.view(n - 1, m * n, values.shape[-1]).sum(dim=0)


class EfficiencyNetwork(nn.Module):
    r"""Efficiency of each jet of an event, from all jets of the event.

    The blocks are applied in turn; after each, the standardised inputs are concatenated to its output. A last network
    works on each jet alone, and gives the logit of the score :math:`s` that Eq. 5 trains. Non-tagged jets weigh
    :math:`\mu` in that loss, so that the efficiency is

    .. math:: \epsilon = \frac{\mu s}{1 - s + \mu s}, \quad
        \mathrm{logit}(\epsilon) = \mathrm{logit}(s) + \log \mu

    Source: Section 5 and Appendix B of arXiv:2004.02665.

    Args:
        architecture: Sizes of the layers.
        flavours: Hadron flavours of the training sample; any other is refused.
        mu: Weight of non-tagged jets in the loss.

    Example:
        >>> network = EfficiencyNetwork(Architecture(width=256))
        >>> sum(p.numel() for p in network.parameters())
        1435245
    """

    def __init__(self, architecture: Architecture, flavours: Sequence[int] = (0, 4, 5), mu: float = 1.0) -> None:
        super().__init__()
        self.architecture, self.flavours, self.mu = architecture, tuple(flavours), mu
        n_in, width = len(FEATURES), architecture.width
        self.standardise = Standardise(n_in)
        inputs = [n_in] + [width + n_in] * architecture.blocks
        self.blocks = nn.ModuleList(GNBlock(size, width) for size in inputs[:-1])
        self.head = mlp([inputs[-1], *architecture.head, 1])

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits of the scores, shape (n_jets,)."""
        x0 = x = self.standardise(batch.features)
        for block in self.blocks:
            x = torch.cat([block(x, batch.shape), x0], dim=-1)
        logits: Tensor = self.head(x).squeeze(-1)
        return logits

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the efficiency of each jet, shape (n_jets,).

        Args:
            jets: Any number of events of any number of jets; tags are not needed.

        Raises:
            DataError: A jet has a flavour that the network was not trained on.
        """
        self._check_flavours(jets)
        rows, eff = features(jets), np.empty(jets.n_jets)
        self.eval()
        with torch.inference_mode():
            for _, index in jets.buckets():
                for first in range(0, len(index), PREDICTION_EVENTS):
                    part = index[first : first + PREDICTION_EVENTS]
                    logits = self(Batch(rows[part.ravel()], [part.shape])).double()
                    eff[part] = torch.sigmoid(logits + math.log(self.mu)).numpy().reshape(part.shape)
        return eff

    def _check_flavours(self, jets: Jets) -> None:
        strange = ~np.isin(jets.flavour, self.flavours)
        if strange.any():
            msg = (
                f"the network was trained on the flavours {list(self.flavours)}, a jet has {jets.flavour[strange][0]} "
                f"({int(strange.sum())} such jets). Train on a sample that has this flavour, or drop those jets."
            )
            raise DataError(msg)


def save_network(network: EfficiencyNetwork, path: str | Path, provenance: Mapping[str, Any]) -> None:
    """Write a network to one file: weights, input scaling, hyper-parameters, provenance.

    Args:
        network: The network.
        path: The file to write.
        provenance: Where it comes from; plain Python values only.
    """
    content = {
        "format": FORMAT,
        "architecture": asdict(network.architecture),
        "flavours": list(network.flavours),
        "mu": network.mu,
        "state": network.state_dict(),
        "provenance": dict(provenance),
    }
    with whole_file(path) as beside:
        torch.save(content, beside)


def load_network(path: str | Path) -> EfficiencyNetwork:
    """Read a network that :func:`save_network` wrote, ready to predict.

    Raises:
        DataError: The file is missing, truncated or foreign.
    """
    content = read_network_file(path)
    architecture = Architecture(**{**content["architecture"], "head": tuple(content["architecture"]["head"])})
    network = EfficiencyNetwork(architecture, content["flavours"], content["mu"])
    network.load_state_dict(content["state"])
    return network.eval()


def read_network_file(path: str | Path) -> dict[str, Any]:
    """Return all that a network file holds; errors are those of :func:`load_network`."""
    if not Path(path).is_file():
        msg = f"{path}: no such file. Check the path, or run the workflow to train the network."
        raise DataError(msg)
    try:
        content = torch.load(path, weights_only=True)
    except Exception as error:
        msg = f"{path}: cannot be read as a network ({type(error).__name__}). Delete it and train the network again."
        raise DataError(msg) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        msg = f"{path}: is not a network file of this version ({FORMAT!r}). Train the network again."
        raise DataError(msg)
    return content


def features(jets: Jets) -> Tensor:
    """Return what the network sees of each jet, float32, shape (n_jets, 4)."""
    return torch.stack([torch.from_numpy(getattr(jets, name)).float() for name in FEATURES], dim=-1)
