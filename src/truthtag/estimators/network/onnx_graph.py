r"""Networks as nodes of an ONNX graph: the function of :mod:`.model`, for any number of jets.

K networks of one architecture are one stack, each layer of all a batched product. Neighbours are
met as in :mod:`.pairs`: row by row, the jet itself beside neighbour k = 1, ..., n - 1, counted in a
circle; since n varies, by an index that the graph computes.

In the shapes below R is the number of jets of all events, m = n - 1 that of neighbours, (K, ...) an
axis that is there for K > 1 only, and P the number of working points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from torch import nn

from truthtag.arrays import FloatArray
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.network.onnx_builder import Graph
from truthtag.estimators.network.options import FEATURES, FLAVOUR, near_scale

if TYPE_CHECKING:
    from truthtag.estimators.network.bodies import FactorisedBody

__all__ = ["Events", "Neighbours", "NetworkStack", "find_neighbours"]

FLOAT = 1
"""What ONNX calls float32."""


@dataclass(frozen=True)
class Events:
    """Events of one number of jets, as names of tensors.

    Attributes:
        rows: The columns of :class:`.inputs.InputColumns`, shape (R, n_columns).
        n_events: Number of events, a scalar.
        n_jets: Number of jets of each, a scalar.
    """

    rows: str
    n_events: str
    n_jets: str

    @classmethod
    def of_input(cls, graph: Graph, name: str, n_columns: int) -> Events:
        """Return the events of a tensor of shape (n_events, n_jets, n_columns)."""
        shape = graph.add("Shape", name)
        n_events = graph.add("Gather", shape, graph.integers(0))
        n_jets = graph.add("Gather", shape, graph.integers(1))
        rows = graph.add("Reshape", name, graph.integers([-1, n_columns]))
        return cls(rows, n_events, n_jets)


@dataclass(frozen=True)
class Neighbours:
    """The neighbours of each jet, as names of tensors.

    A jet that is alone is listed as a neighbour of itself, since older runtimes refuse sums over
    nothing: what it contributes is multiplied with 0.

    Attributes:
        index: Rows of the neighbours, shape (m, R), m at least 1.
        count: m, shape (1,).
        exist: 1.0 where jets have neighbours, 0.0 where they are alone, a scalar.
    """

    index: str
    count: str
    exist: str

    def sum(self, graph: Graph, values: str, axis: int) -> str:
        """Sum over neighbours, which lie along an axis."""
        total = graph.add("ReduceSum", values, graph.integers([axis]), keepdims=0)
        return graph.add("Mul", total, self.exist)


def find_neighbours(graph: Graph, events: Events) -> Neighbours:
    """Compute which rows are neighbours, in the order of :func:`.pairs.pair_linear`."""
    zero = graph.integers(0)
    one = graph.integers(1)
    count = graph.add("Max", graph.add("Sub", events.n_jets, one), one)
    divisor = graph.add("Max", events.n_jets, one)
    row = graph.add("Range", zero, graph.add("Mul", events.n_events, events.n_jets), one)
    place = graph.add("Mod", row, divisor)
    first = graph.add("Sub", row, place)
    steps = graph.add("Range", one, graph.add("Add", count, one), one)
    steps = graph.add("Unsqueeze", steps, graph.integers([1]))
    index = graph.add("Add", first, graph.add("Mod", graph.add("Add", place, steps), divisor))
    exist = graph.add("Cast", graph.add("Greater", events.n_jets, one), to=FLOAT)
    return Neighbours(index, graph.add("Unsqueeze", count, graph.integers([0])), exist)


def pair_geometry(graph: Graph, events: Events, index: str, names: Sequence[str]) -> str:
    """Compute the edge features of all ordered pairs, as :func:`.pairs.pair_geometry` does.

    Returns:
        Shape (m * R, len(names)).
    """
    d_eta = _neighbour_minus_jet(graph, events, index, "eta")
    d_phi = _wrapped(graph, _neighbour_minus_jet(graph, events, index, "phi"))
    squared = graph.add("Add", *(graph.add("Mul", d, d) for d in (d_eta, d_phi)))
    known = {"delta_eta": d_eta, "delta_phi": d_phi}
    last = graph.integers([-1])
    columns = []
    for name in names:
        values = known[name] if name in known else _of_distance(graph, name, squared)
        columns.append(graph.add("Unsqueeze", values, last))
    together = graph.add("Concat", *columns, axis=-1)
    return graph.add("Reshape", together, graph.integers([-1, len(names)]))


def _of_distance(graph: Graph, name: str, squared: str) -> str:
    """Return the distance of jets or their nearness, from the square of the distance."""
    scale = near_scale(name)
    if scale is None:
        return graph.add("Sqrt", squared)
    in_scale = graph.add("Div", squared, graph.floats(scale**2))
    one = graph.floats(1.0)
    share = graph.add("Div", graph.floats(2.0), graph.add("Add", in_scale, one))
    return graph.add("Sub", share, one)


def _neighbour_minus_jet(graph: Graph, events: Events, index: str, name: str) -> str:
    """Return the difference of one feature for all ordered pairs, shape (m, R)."""
    column = graph.integers(FEATURES.index(name))
    of_jet = graph.add("Gather", events.rows, column, axis=1)
    return graph.add("Sub", graph.add("Gather", of_jet, index), of_jet)


def _wrapped(graph: Graph, angle: str) -> str:
    """Bring angles near [-pi, pi), step by step as torch does."""
    turn = graph.floats(2 * math.pi)
    half = graph.floats(math.pi)
    shifted = graph.add("Add", angle, half)
    turns = graph.add("Floor", graph.add("Div", shifted, turn))
    return graph.add("Sub", graph.add("Sub", shifted, graph.add("Mul", turns, turn)), half)


class NetworkStack:
    """Networks of one architecture, as nodes of a graph.

    Args:
        graph: Where the nodes go.
        networks: At least one. Of a single one each layer is a plain product, its bias with it,
            which runtimes have ready as one operator.
    """

    def __init__(self, graph: Graph, networks: Sequence[EfficiencyNetwork]) -> None:
        self.graph = graph
        self.networks = networks
        self.like = networks[0]
        self.architecture = self.like.architecture
        self.states = [network.state_dict() for network in networks]

    @property
    def count(self) -> int:
        """Number of networks, K."""
        return len(self.networks)

    @property
    def leading(self) -> list[int]:
        """Length of the axis of the networks, nothing for a single one."""
        return [self.count] if self.count > 1 else []

    @property
    def sees_neighbours(self) -> bool:
        """Whether the efficiency of a jet depends on the other jets of its event."""
        return self.architecture.kind == "factorised" or self.architecture.blocks > 0

    def logits(self, events: Events, neighbours: Neighbours, edges: str | None = None) -> str:
        """Return the logits of passing each point given that the jet passes the one before.

        The first is that of the efficiency at the loosest point, corrected for mu.

        Args:
            events: The jets.
            neighbours: Their neighbours.
            edges: Features of the ordered pairs, by default computed; for networks that have some.

        Returns:
            Shape (K, ..., R, P).
        """
        graph = self.graph
        if self.architecture.edge_features and self.sees_neighbours and edges is None:
            names = self.architecture.edge_features
            edges = pair_geometry(graph, events, neighbours.index, names)
        x = self._seen(events.rows)
        if self.architecture.kind == "factorised":
            logits = self._product_of_factors(x, neighbours, edges)
        else:
            logits = self._plus_log_mu(self._graph_body(x, neighbours, edges))
        return self._plus_offset(logits, events)

    # ---- inputs

    def _weight(self, name: str) -> FloatArray:
        """Return a weight or buffer of all networks, shape (K, ...) with K also where it is 1."""
        values: FloatArray = np.stack([state[name].cpu().numpy() for state in self.states])
        return values

    def _per_network(self, values: FloatArray) -> str:
        """Return a constant of each network, shape (K, size), that is the same for all rows."""
        return self.graph.floats(values[:, None] if self.count > 1 else values[0])

    def _seen(self, rows: str) -> str:
        """Return what the networks see of each jet, shape (K, ..., R, n_seen)."""
        graph = self.graph
        shifted = graph.add("Sub", rows, self._per_network(self._weight("standardise.mean")))
        x = graph.add("Div", shifted, self._per_network(self._weight("standardise.scale")))
        if self.like.seen != list(range(len(self.like.columns.names))):
            x = graph.add("Gather", x, graph.integers(self.like.seen), axis=-1)
        if not self.like.has_indicators:
            return x
        return graph.add("Concat", x, self._indicators(rows), axis=-1)

    def _indicators(self, rows: str) -> str:
        """Return 1 for the flavour of each jet, 0 for others, shape (K, ..., R, n_flavours)."""
        graph = self.graph
        is_it = graph.add("Equal", self._flavour_of(rows), graph.floats(self.like.flavours))
        indicators = graph.add("Cast", is_it, to=FLOAT)
        if self.count == 1:
            return indicators
        # All networks see the same: a product with ones gives each its copy.
        return graph.add("Mul", indicators, graph.floats(np.ones((self.count, 1, 1))))

    def _flavour_of(self, rows: str) -> str:
        """Return the flavour of each jet, shape (R, 1)."""
        return self.graph.add("Gather", rows, self.graph.integers([FLAVOUR]), axis=1)

    def _plus_log_mu(self, logits: str) -> str:
        """Correct the logits of the loosest point for the weight of non-tagged jets."""
        shift = np.zeros((self.count, self.like.n_points))
        shift[:, 0] = [math.log(network.mu) for network in self.networks]
        if not shift.any():
            return logits
        return self.graph.add("Add", logits, self._per_network(shift))

    def _plus_offset(self, logits: str, events: Events) -> str:
        """Add the offset of each jet's flavour, where networks have one."""
        offsets = np.zeros((self.count, len(self.like.flavours), self.like.n_points))
        for of_network, network in zip(offsets, self.networks, strict=True):
            if network.offset is not None:
                of_network[:] = network.offset.cpu().numpy()
        if not offsets.any():
            return logits
        graph = self.graph
        of_jet = self._flavour_of(events.rows)
        for position, number in enumerate(self.like.flavours):
            is_it = graph.add("Equal", of_jet, graph.floats([number]))
            shift = self._per_network(offsets[:, position])
            logits = graph.add("Add", logits, graph.add("Where", is_it, shift, graph.floats(0.0)))
        return logits

    # ---- layers

    def _linear(self, x: str, weight: FloatArray, bias: FloatArray | None = None) -> str:
        """Apply linear layers of weights (K, out, in) and biases (K, out)."""
        graph = self.graph
        if self.count == 1 and bias is not None:
            return graph.add("Gemm", x, graph.floats(weight[0]), graph.floats(bias[0]), transB=1)
        transposed = weight.transpose(0, 2, 1)
        by_network = transposed if self.count > 1 else transposed[0]
        product = graph.add("MatMul", x, graph.floats(by_network))
        return product if bias is None else graph.add("Add", product, self._per_network(bias))

    def _layers(self, path: str, x: str, first: int = 0) -> str:
        """Apply the layers of a sequence, from one of them on."""
        layers = self.like.get_submodule(path)
        for number, layer in enumerate(layers.children()):
            if number < first:
                continue
            if isinstance(layer, nn.Linear):
                name = f"{path}.{number}"
                x = self._linear(x, self._weight(f"{name}.weight"), self._weight(f"{name}.bias"))
            else:
                x = self.graph.add({nn.ReLU: "Relu", nn.Tanh: "Tanh"}[type(layer)], x)
        return x

    def _pair_layers(
        self, path: str, x: str, size: int, neighbours: Neighbours, edges: str | None
    ) -> str:
        """Apply a network to all ordered pairs, without making the pairs.

        Its first layer is cut into parts for the jet, the neighbour and the edge, as in
        :func:`.pairs.pair_linear`.

        Args:
            path: The network.
            x: Representation of the jets, shape (K, ..., R, size).
            size: Its size.
            neighbours: Which rows are neighbours.
            edges: Features of the pairs, shape (m * R, n_edge), or None.

        Returns:
            Shape (K, ..., m * R, size_out).
        """
        graph = self.graph
        weight = self._weight(f"{path}.0.weight")
        to_self, to_other, to_edge = np.split(weight, [size, 2 * size], axis=2)
        own = self._linear(x, to_self, self._weight(f"{path}.0.bias"))
        other = self._linear(x, to_other)
        axis = len(self.leading)
        if axis:
            own = graph.add("Unsqueeze", own, graph.integers([axis]))
        pairs = graph.add("Add", graph.add("Gather", other, neighbours.index, axis=axis), own)
        flat = graph.integers([*self.leading, -1, weight.shape[1]])
        pairs = graph.add("Reshape", pairs, flat)
        if edges is not None:
            pairs = self._plus_edges(pairs, edges, to_edge)
        return self._layers(path, pairs, first=1)

    def _plus_edges(self, pairs: str, edges: str, weight: FloatArray) -> str:
        """Add the part of the edges to the first layer of a network of pairs."""
        graph = self.graph
        if self.count == 1:
            return graph.add("Gemm", edges, graph.floats(weight[0]), pairs, transB=1)
        return graph.add("Add", pairs, self._linear(edges, weight))

    def _sum_over_pairs(self, values: str, size: int, neighbours: Neighbours) -> str:
        """Sum over the neighbours of each jet: from (K, ..., m * R, size) to (K, ..., R, size)."""
        graph = self.graph
        shape = [neighbours.count, graph.integers([-1, size])]
        if self.leading:
            shape.insert(0, graph.integers(self.leading))
        by_neighbour = graph.add("Reshape", values, graph.add("Concat", *shape, axis=0))
        return neighbours.sum(graph, by_neighbour, len(self.leading))

    # ---- bodies

    def _graph_body(self, x0: str, neighbours: Neighbours, edges: str | None) -> str:
        """Return the logits of the scores, as :class:`.bodies.GraphBody` does."""
        x = x0
        size = self.like.n_seen
        for number in range(self.architecture.blocks):
            updated = self._block(f"body.blocks.{number}", x, size, neighbours, edges)
            x = self.graph.add("Concat", updated, x0, axis=-1)
            size = self.architecture.width + self.like.n_seen
        return self._layers("body.head", x)

    def _block(
        self, path: str, x: str, size: int, neighbours: Neighbours, edges: str | None
    ) -> str:
        """Return the updated representation, as :class:`.bodies.GNBlock` does."""
        messages = self._pair_layers(f"{path}.edge", x, size, neighbours, edges)
        half = self.architecture.width // 2
        collected = self._layers(f"{path}.merge", self._sum_over_pairs(messages, half, neighbours))
        own = self._layers(f"{path}.node", x)
        both = self.graph.add("Concat", collected, own, axis=-1)
        return self.graph.add("LpNormalization", both, axis=-1, p=2)

    def _product_of_factors(self, x: str, neighbours: Neighbours, edges: str | None) -> str:
        r"""Return the logits of the efficiencies, as :class:`.bodies.FactorisedBody` does.

        With :math:`-\log\sigma(z) = \log(1 + e^{-z})`, which is the operator Softplus of -z.
        """
        graph = self.graph
        columns = cast("FactorisedBody", self.like.body).pair_columns
        of_pair = x
        if columns is not None:
            of_pair = graph.add("Gather", x, graph.integers(columns), axis=-1)
        size = self.like.n_seen if columns is None else len(columns)
        pairs = self._pair_layers("body.factor", of_pair, size, neighbours, edges)
        factors = self._minus_log(pairs)
        lost = self._sum_over_pairs(factors, self.like.n_points, neighbours)
        total = graph.add("Add", self._minus_log(self._layers("body.base", x)), lost)
        log_eff = graph.add("Neg", graph.add("Max", total, graph.floats(1e-6)))
        fails = graph.add("Sub", graph.floats(1.0), graph.add("Exp", log_eff))
        return graph.add("Sub", log_eff, graph.add("Log", fails))

    def _minus_log(self, logits: str) -> str:
        """Return the negative logarithms of probabilities whose logits are given."""
        return self.graph.add("Softplus", self.graph.add("Neg", logits))
