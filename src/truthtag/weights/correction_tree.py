"""The tree of a correction: which names it knows, and the range of jets that it is defined for.

The tree is that of correctionlib's schema 2, as JSON holds it, and is only looked at: values come
from the package correctionlib. What a formula says is not looked at; a range is one of bins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from truthtag.arrays import AnyArray, FloatArray, IntArray
from truthtag.data.axes import bin_index
from truthtag.errors import DataError
from truthtag.weights.lookup import Absent, Beyond, listed

__all__ = ["bring_inside", "check_tree", "first_absent", "names_at"]

Keys = Mapping[str, str | int]
"""Values of the inputs that are no kinematics, by the names of the file."""


def check_tree(tree: Any, source: str) -> None:
    """Refuse a tree that would answer beyond its range without our noticing.

    A node ``transform`` rewrites an input. What is below it and asks for that input cannot be
    bounded; it may stay where jets beyond its range make the package raise an error.

    Raises:
        DataError: The message begins with ``source``.
    """
    for node in _nodes(tree):
        if node["nodetype"] != "transform":
            continue
        name = node["input"]
        for below in _nodes(node["content"]):
            if name in _inputs(below) and any(map(_answers_anything, _nodes(below))):
                msg = (
                    f"{source}: it transforms its input {name!r}, and answers for any value of it: "
                    "whether a jet is in its range cannot be told. Take a correction without such "
                    "a node, or one whose flow is 'error'"
                )
                raise DataError(msg)


def names_at(tree: Any, name: str, keys: Keys) -> tuple[str | int, ...]:
    """Return the values of an input that a tree tells apart by name, in their order.

    Args:
        tree: The tree.
        name: The input: that of the systematic, say.
        keys: Values of other inputs; only what is below them counts.

    Example:
        >>> item = {"key": "central", "value": 1.0}
        >>> tree = {"nodetype": "category", "input": "systematic", "content": [item]}
        >>> names_at(tree, "systematic", {})
        ('central',)
    """
    found: dict[str | int, None] = {}
    for node in _nodes(tree, keys):
        if node["nodetype"] == "category" and node["input"] == name:
            found |= dict.fromkeys(item["key"] for item in node["content"])
    return tuple(found)


def first_absent(tree: Any, keys: Keys) -> Absent | None:
    """Return the first value that a tree lacks on any of the ways that jets can take through it.

    A value that only a default, or a flow, would answer for is lacking.

    Args:
        tree: The tree.
        keys: Values of all inputs but the kinematics.
    """
    for node in _nodes(tree, keys):
        if node["nodetype"] == "category" and node["input"] in keys:
            value = keys[node["input"]]
            known = tuple(item["key"] for item in node["content"])
            if value not in known:
                return Absent(node["input"], value, known)
        for name, edges in _axes(node):
            if name in keys and not edges[0] <= float(keys[name]) < edges[-1]:
                return Absent(name, keys[name], (f"{edges[0]:g} to {edges[-1]:g}",))
    return None


def bring_inside(
    tree: Any, keys: Keys, columns: Mapping[str, AnyArray], jets: IntArray
) -> tuple[dict[str, FloatArray], tuple[Beyond, ...]]:
    """Bring jets into the range of a tree: those beyond it to its edge, and no others.

    Which bin a jet on an edge belongs to is the rule of :func:`~truthtag.data.axes.bin_index`: a
    number in single precision on the rounded edge is on the edge, and the last bin is closed.
    Correctionlib compares in double precision, and its last bin is open.

    Args:
        tree: The tree.
        keys: Values of all inputs but the kinematics.
        columns: The kinematics, by the names of the file, each of shape (n_rows,).
        jets: What the jets are called among those beyond: positions in a sample, shape (n_rows,).

    Returns:
        What to give to correctionlib, by the same names, in double precision; and the jets that
        were beyond.
    """
    compared = {name: values.copy() for name, values in columns.items()}
    walk = _Walk(keys, compared, jets)
    for name, values in columns.items():
        walk.given[name] = values.astype(np.float64)
    walk.visit(tree, np.arange(len(jets)), frozenset())
    return walk.given, tuple(walk.beyond)


@dataclass(eq=False)
class _Walk:
    """A walk of many jets through a tree, each on its own way.

    Args:
        keys: Values of all inputs but the kinematics.
        compared: The kinematics in their own precision, brought inside so far.
        jets: What the jets are called.
        given: The kinematics as correctionlib gets them.
        beyond: What was beyond so far.
    """

    keys: Keys
    compared: dict[str, AnyArray]
    jets: IntArray
    given: dict[str, FloatArray] = field(default_factory=dict)
    beyond: list[Beyond] = field(default_factory=list)

    def visit(self, node: Any, rows: IntArray, hidden: frozenset[str]) -> None:
        """Bring jets inside of what is below a node; inputs that were rewritten are hidden."""
        if not _is_node(node) or not len(rows):
            return
        kind = node["nodetype"]
        if kind in _BINNINGS:
            self._visit_bins(node, rows, hidden)
        elif kind == "transform":
            self.visit(node["rule"], rows, hidden)
            self.visit(node["content"], rows, hidden | {node["input"]})
        elif kind == "category" and node["input"] not in hidden:
            self.visit(_chosen(node, self.keys), rows, hidden)

    def _visit_bins(self, node: Any, rows: IntArray, hidden: frozenset[str]) -> None:
        index = np.zeros(len(rows), dtype=np.int64)
        known = True
        for name, edges in _axes(node):
            if name in hidden:
                known = False
                continue
            if name in self.keys:
                bins = bin_index(np.full(len(rows), float(self.keys[name])), edges, name)
            else:
                bins = self._place(name, edges, rows)
            index = index * (len(edges) - 1) + bins
        if not known:
            # Which of its bins a jet is in, only the package can tell.
            return
        for position, child in enumerate(node["content"]):
            if _is_node(child) and child["nodetype"] in _INNER:
                self.visit(child, rows[index == position], hidden)

    def _place(self, name: str, edges: FloatArray, rows: IntArray) -> IntArray:
        """Return the bin of each jet on an axis, after bringing it inside."""
        values = self.compared[name][rows]
        last = len(edges) - 2
        index = bin_index(values, edges, name)
        outside = (index < 0) | (index > last)
        if outside.any():
            ends = (float(edges[0]), float(edges[-1]))
            self.beyond.append(Beyond(name, *ends, self.jets[rows[outside]], values[outside]))
        index = np.clip(index, 0, last)
        rounded = edges.astype(values.dtype)
        inside = np.clip(values, rounded[0], rounded[-1])
        # What lies on an edge in its own precision may lie beside it in double precision.
        at_top = inside == rounded[-1]
        on_edge = at_top | (inside == rounded[index])
        place = np.where(at_top, _beside(edges[-1], -1), _beside(edges[index], 1))
        self.compared[name][rows] = inside
        self.given[name][rows[on_edge]] = place[on_edge]
        return index


ULPS = 4
"""How far inside a bin a jet on its edge is put, in units of the last place: correctionlib reads
numbers from JSON with an error of one such unit."""


def _beside(edge: AnyArray, sign: int) -> FloatArray:
    """Return a number just above an edge, or with the sign -1 just below it."""
    return np.asarray(edge + sign * ULPS * np.spacing(np.abs(edge)))


_BINNINGS = ("binning", "multibinning")
_INNER = (*_BINNINGS, "category", "transform")
"""Nodes that have others below them."""


def _is_node(part: Any) -> bool:
    """Tell a node from a number."""
    return isinstance(part, Mapping)


def _inputs(node: Any) -> tuple[str, ...]:
    """Return the names of the inputs that a node chooses by."""
    kind = node["nodetype"]
    if kind in ("category", "binning"):
        return (node["input"],)
    return tuple(node["inputs"]) if kind == "multibinning" else ()


def _axes(node: Any) -> list[tuple[str, FloatArray]]:
    """Return the input and the edges of each axis of a node with bins; nothing of any other."""
    if node["nodetype"] not in _BINNINGS:
        return []
    edges = node["edges"] if node["nodetype"] == "multibinning" else [node["edges"]]
    return list(zip(_inputs(node), map(_edges, edges), strict=True))


def _edges(stated: Any) -> FloatArray:
    """Return edges that stand as a list, in which infinity is text, or as bins of one width."""
    if isinstance(stated, Mapping):
        return np.linspace(stated["low"], stated["high"], int(stated["n"]) + 1)
    return np.array([float(edge) for edge in stated])


def _answers_anything(node: Any) -> bool:
    """Tell whether a node has an answer for values beyond its range, or for unknown names."""
    if node["nodetype"] == "category":
        return node.get("default") is not None
    return node["nodetype"] in _BINNINGS and node["flow"] != "error"


def _chosen(node: Any, keys: Keys) -> Any:
    """Return what is below a node that chooses by name."""
    value = keys[node["input"]]
    for item in node["content"]:
        if item["key"] == value:
            return item["value"]
    known = listed([item["key"] for item in node["content"]])
    msg = f"{node['input']} {value!r} is not in the correction; there are {known}"
    raise DataError(msg)


def _children(node: Any) -> list[Any]:
    """Return what is below a node."""
    if not _is_node(node):
        return []
    kind = node["nodetype"]
    if kind == "transform":
        return [node["rule"], node["content"]]
    if kind == "category":
        return [*(item["value"] for item in node["content"]), node.get("default")]
    if kind in _BINNINGS:
        return [*node["content"], node["flow"]]
    return []


def _nodes(tree: Any, keys: Keys | None = None) -> Iterator[Any]:
    """Go through the nodes of a tree, those above before those below them.

    Args:
        tree: The tree.
        keys: Values of inputs; what other values lead to is left out, and so are defaults and
            flows. By default all nodes.
    """
    stack = [tree]
    while stack:
        node = stack.pop()
        if not _is_node(node):
            continue
        yield node
        stack += reversed(_children(node) if keys is None else _open(node, keys))


def _open(node: Any, keys: Keys) -> list[Any]:
    """Return what is below a node and may be reached with these values."""
    if node["nodetype"] in _BINNINGS:
        return list(node["content"])
    if node["nodetype"] != "category":
        return _children(node)
    wanted = keys.get(node["input"])
    return [item["value"] for item in node["content"] if wanted in (None, item["key"])]
