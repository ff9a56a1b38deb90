"""Networks that see all jets of an event: the graph blocks of Appendix B, and two relatives that know geometry."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from truthtag.arrays import FloatArray
from truthtag.data.files import atomic_write
from truthtag.data.jets import Jets
from truthtag.data.kinematics import wrap_angle
from truthtag.errors import ConfigError, DataError
from truthtag.registry import choose

__all__ = [
    "BODIES",
    "EDGE_FEATURES",
    "FEATURES",
    "Architecture",
    "Batch",
    "EfficiencyNetwork",
    "FactorisedBody",
    "GNBlock",
    "GraphBody",
    "Standardise",
    "Together",
    "choose_device",
    "features",
    "load_network",
    "pair_geometry",
    "pair_linear",
    "save_network",
    "sum_neighbours",
    "write_content",
]

FEATURES = ("pt", "eta", "phi", "flavour")
"""What a network can see of each jet, in this order."""

EDGE_FEATURES = ("delta_eta", "delta_phi", "delta_r")
"""What a network can see of each ordered pair of jets: neighbour minus jet."""

Shape = Sequence[tuple[int, int]]

FORMAT = "truthtag network 1"
DEVICES = ("auto", "cpu", "cuda")
PREDICTION_EVENTS = 1_000
HARMLESS = 3.0


class Batch(NamedTuple):
    """Jets of many events, those of one multiplicity together, so that every step is a plain rectangle.

    Attributes:
        features: One row per jet, the columns of :data:`FEATURES`, shape (n_jets, 4).
        shape: Pairs (m, n): m events of n jets each, in the order of the rows; the products m * n sum to n_jets.
    """

    features: Tensor
    shape: Shape


@dataclass(frozen=True)
class Architecture:
    """Sizes of the layers, and what they see.

    Args:
        width: Size of the jet representation between blocks; a multiple of 4.
        blocks: Number of graph blocks; with none the network sees one jet at a time.
        head: Sizes of the hidden layers of the jet efficiency network.
        kind: ``graph``, the blocks of Appendix B, or ``factorised``, a jet's own efficiency times a factor per neighbour.
        inputs: What each jet shows of itself, some of :data:`FEATURES`.
        edge_features: What each pair shows beside its two jets, some of :data:`EDGE_FEATURES`.
        hidden: Size of the hidden layers of pair and node networks; by default that of Appendix B.

    Raises:
        ConfigError: A size or a name is not allowed.
    """

    width: int = 256
    blocks: int = 4
    head: tuple[int, ...] = (256, 128, 50)
    kind: str = "graph"
    inputs: tuple[str, ...] = FEATURES
    edge_features: tuple[str, ...] = ()
    hidden: int | None = None

    def __post_init__(self) -> None:
        # Configs and files hold lists.
        for name in ("head", "inputs", "edge_features"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.width < 4 or self.width % 4:
            msg = f"network width is {self.width}; it must be a positive multiple of 4 (Appendix B halves it twice)"
            raise ConfigError(msg)
        if self.blocks < 0 or any(size < 1 for size in (*self.head, self.hidden or 1)):
            msg = (
                f"network has {self.blocks} blocks, head {self.head} and hidden {self.hidden}; "
                "there cannot be fewer than no blocks, nor layers of no size"
            )
            raise ConfigError(msg)
        choose(BODIES, self.kind, "network kind")
        for name, allowed in (("inputs", FEATURES), ("edge_features", EDGE_FEATURES)):
            for value in getattr(self, name):
                if value not in allowed:
                    msg = f"network {name} has {value!r}; allowed are {', '.join(allowed)}"
                    raise ConfigError(msg)


def mlp(sizes: Sequence[int], last: nn.Module | None = None) -> nn.Sequential:
    """Return linear layers of the given sizes with ReLU between them, and ``last`` at the end."""
    layers: list[nn.Module] = []
    for size_in, size_out in pairwise(sizes):
        layers += [nn.Linear(size_in, size_out), nn.ReLU(inplace=True)]
    layers[-1:] = [] if last is None else [last]
    return nn.Sequential(*layers)


def last_precisely(layers: nn.Sequential, x: Tensor) -> Tensor:
    """Apply layers, the last of them in float32 even where the others run in bfloat16.

    A logit of -4, usual for light jets, would be rounded to steps of 1/32 in bfloat16: 3% of the efficiency.
    """
    x = layers[:-1](x)
    with torch.autocast(x.device.type, enabled=False):
        out: Tensor = layers[-1](x.float())
    return out


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

    .. math:: h_i = \left[\mathrm{MLP}_3\Big(\sum_{j \ne i} \mathrm{MLP}_1(x_i, x_j, e_{ij})\Big),\; \mathrm{MLP}_2(x_i)\right],
        \quad h_i \to h_i / |h_i|

    Source: Appendix B and Figure 9 of arXiv:2004.02665, where messages have no edge features e.

    Args:
        size_in: Size of the input representation.
        size_out: Size of the output representation; a multiple of 4.
        n_edge: Number of edge features.
        hidden: Size of hidden layers; by default that of Appendix B, the mean of what goes in and out.
    """

    def __init__(
        self, size_in: int, size_out: int, n_edge: int = 0, hidden: int | None = None
    ) -> None:
        super().__init__()
        half, n_pair = size_out // 2, 2 * size_in + n_edge
        pair, single = (hidden, hidden) if hidden else ((n_pair + half) // 2, (size_in + half) // 2)
        self.edge = mlp([n_pair, pair, pair, half], last=nn.Tanh())
        self.node = mlp([size_in, single, half], last=nn.Tanh())
        self.merge = mlp([half, half, half], last=nn.Tanh())

    def forward(self, x: Tensor, shape: Shape, edges: Tensor | None = None) -> Tensor:
        """Return the updated representation.

        Args:
            x: Representation of the jets, shape (n_jets, size_in).
            shape: Which rows make an event, as in :class:`Batch`.
            edges: Features of the ordered pairs, shape (n_pairs, n_edge), in the order of :func:`pair_linear`.

        Returns:
            Rows of unit Euclidean norm, shape (n_jets, size_out).
        """
        first, rest = cast("nn.Linear", self.edge[0]), self.edge[1:]
        messages = sum_neighbours(rest(pair_linear(first, x, shape, edges)), shape)
        return F.normalize(torch.cat([self.merge(messages), self.node(x)], dim=-1), dim=-1)


def pair_linear(layer: nn.Linear, x: Tensor, shape: Shape, edges: Tensor | None = None) -> Tensor:
    r"""Apply a linear layer to all ordered pairs of jets of the same event, without putting the pairs together.

    .. math:: W [x_i; x_j; e_{ij}] + b = (A x_i + b) + B x_j + C e_{ij}

    so that the two large products are made per jet, not per pair. Jets meet their neighbours by rolling the jet axis,
    which needs no indices.

    Args:
        layer: The layer.
        x: Representation of the jets, shape (n_jets, size).
        shape: Which rows make an event, as in :class:`Batch`.
        edges: Features of the pairs, shape (n_pairs, n_edge), or None.

    Returns:
        A row per ordered pair, shape (n_pairs, size_out): for each multiplicity n, the pairs (i, i + 1) of all jets i of
        all events, then (i, i + 2), up to (i, i + n - 1), counted in a circle.
    """
    size = x.shape[-1]
    to_self, to_other, to_edge = layer.weight.tensor_split([size, 2 * size], dim=1)
    own, other = F.linear(x, to_self, layer.bias), F.linear(x, to_other)
    sizes = [m * n for m, n in shape]
    pairs = [
        (a.view(m, n, -1) + b.view(m, n, -1).roll(-k, dims=1)).view(m * n, -1)
        for a, b, (m, n) in zip(
            torch.split(own, sizes), torch.split(other, sizes), shape, strict=True
        )
        for k in range(1, n)
    ]
    out = torch.cat(pairs) if pairs else own[:0]
    return out if edges is None else out + F.linear(edges, to_edge)


def sum_neighbours(values: Tensor, shape: Shape) -> Tensor:
    """Sum over the neighbours of each jet.

    Args:
        values: A row per ordered pair, in the order of :func:`pair_linear`, shape (n_pairs, size).
        shape: Which jets make an event, as in :class:`Batch`.

    Returns:
        A row per jet, shape (n_jets, size); zero for a jet that is alone.
    """
    parts = torch.split(values, [(n - 1) * m * n for m, n in shape])
    return torch.cat(
        [
            part.view(n - 1, m * n, values.shape[-1]).sum(dim=0)
            for part, (m, n) in zip(parts, shape, strict=True)
        ]
    )


def pair_geometry(rows: Tensor, shape: Shape, names: Sequence[str]) -> Tensor | None:
    r"""Compute the edge features of all ordered pairs, in the order of :func:`pair_linear`.

    Args:
        rows: The jets, the columns of :data:`FEATURES`, neither shifted nor scaled, shape (n_jets, 4).
        shape: Which rows make an event, as in :class:`Batch`.
        names: Which of :data:`EDGE_FEATURES`.

    Returns:
        Neighbour minus jet, :math:`\Delta\phi` wrapped, shape (n_pairs, len(names)); None where no name is given.
    """
    if not names:
        return None
    eta, phi = rows[:, FEATURES.index("eta")], rows[:, FEATURES.index("phi")]
    sizes, parts = [m * n for m, n in shape], []
    for one_eta, one_phi, (m, n) in zip(
        torch.split(eta, sizes), torch.split(phi, sizes), shape, strict=True
    ):
        for k in range(1, n):
            differences = (
                (one.view(m, n).roll(-k, dims=1) - one.view(m, n)).flatten()
                for one in (one_eta, one_phi)
            )
            d_eta, d_phi = differences
            d_phi = wrap_angle(d_phi)
            known = {"delta_eta": d_eta, "delta_phi": d_phi, "delta_r": torch.hypot(d_eta, d_phi)}
            parts.append(torch.stack([known[name] for name in names], dim=-1))
    return torch.cat(parts) if parts else rows.new_zeros(0, len(names))


class GraphBody(nn.Module):
    """Graph blocks one after the other, inputs appended after each, then a network that works on each jet alone.

    Source: Appendix B of arXiv:2004.02665.
    """

    gives_efficiency = False

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        n_in, width = len(architecture.inputs), architecture.width
        inputs = [n_in] + [width + n_in] * architecture.blocks
        n_edge = len(architecture.edge_features)
        self.blocks = nn.ModuleList(
            GNBlock(size, width, n_edge, architecture.hidden) for size in inputs[:-1]
        )
        self.head = mlp([inputs[-1], *architecture.head, 1])

    def forward(self, x0: Tensor, shape: Shape, edges: Tensor | None) -> Tensor:
        """Return logits, shape (n_jets,)."""
        x = x0
        for block in self.blocks:
            x = torch.cat([block(x, shape, edges), x0], dim=-1)
        return last_precisely(self.head, x).squeeze(-1)


class FactorisedBody(nn.Module):
    r"""A jet's own efficiency times a factor in (0, 1) for each neighbour: the form of Eq. 2, every function learned.

    .. math:: \log\epsilon_i = \log\sigma(g(x_i)) + \sum_{j \ne i} \log\sigma(h(x_i, x_j, e_{ij}))

    Both g and h are small networks and :math:`\sigma` the logistic function. Unlike a graph network it can be read:
    :meth:`parts` gives the two terms.
    """

    # A product of probabilities is the efficiency itself, not the score that Eq. 5 trains.
    gives_efficiency = True

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        n_in, hidden = len(architecture.inputs), architecture.hidden or architecture.width
        self.base = mlp([n_in, *architecture.head, 1])
        self.factor = mlp([2 * n_in + len(architecture.edge_features), hidden, hidden, 1])
        # Neighbours start as nearly harmless: most of them are.
        nn.init.constant_(cast("Tensor", self.factor[-1].bias), HARMLESS)

    def parts(self, x: Tensor, shape: Shape, edges: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the logarithms of the own efficiency, shape (n_jets,), and of the factor of each pair, (n_pairs,)."""
        first, rest = cast("nn.Linear", self.factor[0]), cast("nn.Sequential", self.factor[1:])
        factors = last_precisely(rest, pair_linear(first, x, shape, edges)).squeeze(-1)
        return F.logsigmoid(last_precisely(self.base, x).squeeze(-1)), F.logsigmoid(factors)

    def forward(self, x: Tensor, shape: Shape, edges: Tensor | None) -> Tensor:
        """Return logits, shape (n_jets,)."""
        base, factors = self.parts(x, shape, edges)
        # An efficiency of exactly 1 would have an infinite logit.
        log_eff = (base + sum_neighbours(factors[:, None], shape).squeeze(-1)).clamp(max=-1e-6)
        return log_eff - torch.log(-torch.expm1(log_eff))


BODIES: dict[str, type[GraphBody | FactorisedBody]] = {
    "graph": GraphBody,
    "factorised": FactorisedBody,
}
"""Kinds of network that the config can name (``networks.*.architecture.kind``)."""


class EfficiencyNetwork(nn.Module):
    r"""Efficiency of each jet of an event, from all jets of the event.

    Inputs are standardised, pairs get their geometry, and the body gives the logit of the score :math:`s` that Eq. 5 trains.
    Non-tagged jets weigh :math:`\mu` in that loss, so that the efficiency is

    .. math:: \epsilon = \frac{\mu s}{1 - s + \mu s}, \quad
        \mathrm{logit}(\epsilon) = \mathrm{logit}(s) + \log \mu

    Source: Section 5 and Appendix B of arXiv:2004.02665.

    Args:
        architecture: Sizes of the layers, and what they see.
        flavours: Hadron flavours of the training sample; any other is refused.
        mu: Weight of non-tagged jets in the loss.

    Example:
        >>> network = EfficiencyNetwork(Architecture(width=256))
        >>> sum(p.numel() for p in network.parameters())
        1435245
    """

    def __init__(
        self, architecture: Architecture, flavours: Sequence[int] = (0, 4, 5), mu: float = 1.0
    ) -> None:
        super().__init__()
        self.architecture, self.flavours, self.mu = architecture, tuple(flavours), mu
        self.standardise = Standardise(len(FEATURES))
        self.seen = [FEATURES.index(name) for name in architecture.inputs]
        self.body = BODIES[architecture.kind](architecture)

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits of the scores, shape (n_jets,)."""
        x = self.standardise(batch.features)[:, self.seen]
        logits: Tensor = self.body(x, batch.shape, self.edges(batch))
        return logits - math.log(self.mu) if self.body.gives_efficiency else logits

    def edges(self, batch: Batch) -> Tensor | None:
        """Return the edge features of all ordered pairs, shape (n_pairs, n_edge), or None."""
        return pair_geometry(batch.features, batch.shape, self.architecture.edge_features)

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the efficiency of each jet, shape (n_jets,).

        Args:
            jets: Any number of events of any number of jets; tags are not needed.

        Raises:
            DataError: A jet has a flavour that the network was not trained on.
        """
        remedy = "Train on a sample that has this flavour"
        jets.require_flavours(self.flavours, "the network was trained on the flavours", remedy)
        rows, eff = features(jets), np.empty(jets.n_jets)
        device = self.standardise.mean.device
        self.eval()
        with torch.inference_mode():
            for _, index in jets.by_multiplicity():
                for first in range(0, len(index), PREDICTION_EVENTS):
                    part = index[first : first + PREDICTION_EVENTS]
                    logits = self(Batch(rows[part.ravel()].to(device), [part.shape])).double()
                    eff[part] = (
                        torch.sigmoid(logits + math.log(self.mu)).cpu().numpy().reshape(part.shape)
                    )
        return eff


class Together:
    """Networks of one architecture computed as one: each layer of all of them is one batched product.

    Args:
        networks: At least one; where it is the only one, its weights are used in place.

    Attributes:
        weights: Weights by name, with a leading axis for the networks where there are several.
        buffers: Buffers, likewise.

    Example:
        >>> together = Together([EfficiencyNetwork(Architecture(width=8)) for _ in range(3)])
        >>> together(Batch(torch.zeros(3, 10, 4), [(5, 2)])).shape
        torch.Size([3, 10])
    """

    def __init__(self, networks: Sequence[EfficiencyNetwork]) -> None:
        self.like, self.count = networks[0], len(networks)
        self.weights: dict[str, Tensor]
        self.buffers: dict[str, Tensor]
        if self.count == 1:
            self.weights, self.buffers = (
                dict(self.like.named_parameters()),
                dict(self.like.named_buffers()),
            )
        else:
            self.weights, self.buffers = stack_module_state(list(networks))

    def __call__(self, batch: Batch) -> Tensor:
        """Return the logits of the scores, shape (n_networks, n_jets), for features of shape (n_networks, n_jets, 4)."""
        if self.count == 1:
            # A batch of one network would take a third to two thirds longer.
            one: Tensor = self.like(Batch(batch.features[0], batch.shape))
            return one[None]

        def forward(weights: dict[str, Tensor], buffers: dict[str, Tensor], rows: Tensor) -> Tensor:
            logits: Tensor = functional_call(
                self.like, (weights, buffers), (Batch(rows, batch.shape),)
            )
            return logits

        logits: Tensor = vmap(forward)(self.weights, self.buffers, batch.features)
        return logits

    def state(self, which: int) -> dict[str, Tensor]:
        """Return a copy of what one network is, as ``EfficiencyNetwork.load_state_dict`` takes it."""
        return {
            name: self._of(value, which).detach().clone()
            for name, value in (self.weights | self.buffers).items()
        }

    def load_state(self, which: int, state: Mapping[str, Tensor]) -> None:
        """Give one network the weights and buffers of :meth:`state`."""
        with torch.no_grad():
            for name, value in (self.weights | self.buffers).items():
                self._of(value, which).copy_(state[name])

    def _of(self, value: Tensor, which: int) -> Tensor:
        return value if self.count == 1 else value[which]


def save_network(
    network: EfficiencyNetwork, path: str | Path, provenance: Mapping[str, Any]
) -> None:
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
    write_content(content, path)


def write_content(content: Mapping[str, Any], path: str | Path) -> None:
    """Write tensors and plain values to a file; the same content gives the same bytes."""
    # Given a path, torch would store its name, and equal networks would differ in their bytes.
    with atomic_write(path) as beside, beside.open("wb") as file:
        torch.save(dict(content), file)


def load_network(path: str | Path) -> EfficiencyNetwork:
    """Read a network that :func:`save_network` wrote, ready to predict.

    Raises:
        DataError: The file is missing, truncated or foreign.
    """
    content = read_network_file(path)
    network = EfficiencyNetwork(
        Architecture(**content["architecture"]), content["flavours"], content["mu"]
    )
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
        msg = (
            f"{path}: is not a network file of this version ({FORMAT!r}). Train the network again."
        )
        raise DataError(msg)
    return content


def features(jets: Jets) -> Tensor:
    """Return what the network sees of each jet, float32, shape (n_jets, 4)."""
    return torch.stack([torch.tensor(getattr(jets, name)).float() for name in FEATURES], dim=-1)


def choose_device(name: str) -> torch.device:
    """Return the device that the config names; ``auto`` is a GPU where there is one.

    Raises:
        ConfigError: The name is unknown, or there is no GPU.
    """
    if name not in DEVICES:
        msg = f"device is {name!r}; allowed are {', '.join(DEVICES)}"
        raise ConfigError(msg)
    if name == "cuda" and not torch.cuda.is_available():
        msg = "device is 'cuda', but this machine shows no GPU to torch. Use 'auto' or 'cpu', or run on a machine with one."
        raise ConfigError(msg)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)
