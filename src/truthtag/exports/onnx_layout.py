"""Graphs for use outside: physical inputs, and mean and spread of the networks or tag bins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from truthtag.estimators.network.inputs import InputColumns
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.network.onnx_builder import Graph
from truthtag.estimators.network.onnx_content import OnnxContent
from truthtag.estimators.network.onnx_efficiency import unit_factor
from truthtag.estimators.network.onnx_graph import (
    FLOAT,
    Events,
    Neighbours,
    NetworkStack,
    find_neighbours,
)
from truthtag.estimators.network.options import FEATURES
from truthtag.exports.athena import add_bins

__all__ = ["exported_model"]


def exported_model(networks: Sequence[EfficiencyNetwork], content: OnnxContent) -> Any:
    """Return networks as an ONNX model with physical inputs.

    Its input is ``jets``. A jet whose flavour or category no network knows, or with a value that is
    not finite, makes the outputs of all jets of its event NaN, where they depend on it: a graph
    cannot refuse it otherwise.

    Args:
        networks: Networks of one architecture, inputs and working points.
        content: What the file is to say of itself.

    Returns:
        An ``onnx.ModelProto``.
    """
    graph = Graph()
    stack = NetworkStack(graph, networks)
    given = Events.of_input(graph, "jets", len(content.features))
    rows = _in_our_units(graph, given.rows, content)
    events = Events(_columns(graph, rows, stack.like.columns), given.n_events, given.n_jets)
    neighbours = find_neighbours(graph, events)
    logits = stack.logits(events, neighbours)
    efficiency = _efficiency(graph, logits, stack, content.working_points)
    valid = _valid(graph, rows, content, neighbours if stack.sees_neighbours else None)
    outputs = _outputs(graph, efficiency, valid, stack.count, content)
    n_events = 1 if content.layout == "athena" else "n_events"
    shapes = {name: (n_events, "n_jets", size) for name, size in outputs.items()}
    inputs = {"jets": (n_events, "n_jets", len(content.features))}
    return graph.model(inputs, shapes, content.to_properties())


# ---- inputs


def _in_our_units(graph: Graph, rows: str, content: OnnxContent) -> str:
    """Return the jets in the order and units of our jets, shape (R, n_features)."""
    further = [name for name in content.features if name not in FEATURES]
    names = [*FEATURES, *further]
    if list(content.features) != names:
        order = [content.features.index(name) for name in names]
        rows = graph.add("Gather", rows, graph.integers(order), axis=1)
    factors = []
    for name in names:
        unit = content.units[content.features.index(name)]
        factors.append(1 / (unit_factor(name, unit) or 1.0))
    if set(factors) == {1.0}:
        return rows
    return graph.add("Mul", rows, graph.floats(factors))


def _columns(graph: Graph, rows: str, columns: InputColumns) -> str:
    """Return the columns that networks see: each category as a column of 0 and 1 per value."""
    if not columns.categories:
        return rows
    parts = []
    for number, name in enumerate((*FEATURES, *columns.further)):
        column = _column(graph, rows, number)
        if name in columns.categories:
            column = _indicators(graph, column, columns.categories[name])
        parts.append(column)
    return graph.add("Concat", *parts, axis=1)


def _column(graph: Graph, rows: str, number: int) -> str:
    """Return one column, shape (R, 1)."""
    return graph.add("Gather", rows, graph.integers([number]), axis=1)


def _indicators(graph: Graph, column: str, values: Sequence[int]) -> str:
    """Return a column of 0 and 1 for each value, shape (R, n_values)."""
    return graph.add("Cast", graph.add("Equal", column, graph.floats([values])), to=FLOAT)


def _valid(graph: Graph, rows: str, content: OnnxContent, neighbours: Neighbours | None) -> str:
    """Return for which jets all is finite and known, in all of their event, shape (R, 1)."""
    names = [*FEATURES, *(name for name in content.features if name not in FEATURES)]
    over_columns = graph.integers([1])
    # Zero times a number is 0 where it is finite, and NaN elsewhere.
    nothing = graph.add("Mul", rows, graph.floats(0.0))
    fault = graph.add("ReduceSum", nothing, over_columns, keepdims=1)
    for name, values in {"flavour": content.flavours, **content.categories}.items():
        matches = _indicators(graph, _column(graph, rows, names.index(name)), values)
        count = graph.add("ReduceSum", matches, over_columns, keepdims=1)
        # One match is right, none is a fault of -1: faults of several jets never cancel.
        fault = graph.add("Add", fault, graph.add("Sub", count, graph.floats(1.0)))
    if neighbours is not None:
        others = graph.add("Gather", fault, neighbours.index, axis=0)
        fault = graph.add("Add", fault, neighbours.sum(graph, others, axis=0))
    return graph.add("Equal", fault, graph.floats(0.0))


# ---- outputs


def _efficiency(graph: Graph, logits: str, stack: NetworkStack, points: Sequence[str]) -> str:
    r"""Return the efficiencies of each network at the points of the file, shape (K, ..., R, P).

    .. math:: \epsilon_k = \exp\Big(-\sum_{j \le k} \log(1 + e^{-z_j})\Big)

    In single precision that is exact to seven digits also where efficiencies are small, which a
    logistic function is not.
    """
    lost = graph.add("Softplus", graph.add("Neg", logits))
    known = stack.like.points
    if len(known) > 1:
        lost = graph.add("CumSum", lost, graph.integers(-1))
        if tuple(points) != known:
            chosen = [known.index(name) for name in points]
            lost = graph.add("Gather", lost, graph.integers(chosen), axis=-1)
    return graph.add("Exp", graph.add("Neg", lost))


def _outputs(
    graph: Graph, efficiency: str, valid: str, n_networks: int, content: OnnxContent
) -> dict[str, int]:
    """Add what the layout gives, and return the length of the last axis of each output."""
    mean = efficiency
    if n_networks > 1:
        mean = graph.add("ReduceMean", efficiency, graph.integers([0]), keepdims=0)
    n_points = max(1, len(content.working_points))
    if content.layout == "athena":
        bins, n_bins = add_bins(graph, mean, n_points)
        return _output(graph, "tag_bins", bins, valid, n_bins)
    spread = _spread(graph, efficiency, mean, n_networks)
    return {
        **_output(graph, "efficiency", mean, valid, n_points),
        **_output(graph, "efficiency_spread", spread, valid, n_points),
    }


def _spread(graph: Graph, efficiency: str, mean: str, n_networks: int) -> str:
    """Return the standard deviation over the networks, divided by K - 1; 0 for a single one."""
    difference = graph.add("Sub", efficiency, mean)
    if n_networks == 1:
        return difference
    squared = graph.add("Mul", difference, difference)
    total = graph.add("ReduceSum", squared, graph.integers([0]), keepdims=0)
    return graph.add("Sqrt", graph.add("Div", total, graph.floats(n_networks - 1)))


def _output(graph: Graph, name: str, values: str, valid: str, size: int) -> dict[str, int]:
    """Give values (R, size) the shape of the events, NaN where they are not valid."""
    checked = graph.add("Where", valid, values, graph.floats(np.nan))
    events = graph.add("Shape", "jets", start=0, end=2)
    shape = graph.add("Concat", events, graph.integers([size]), axis=0)
    graph.add("Reshape", checked, shape, output=name, allowzero=1)
    return {name: size}
