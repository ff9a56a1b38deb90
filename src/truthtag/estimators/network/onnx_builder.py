"""A graph of ONNX, built node by node: the same nodes give the same bytes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["IR_VERSION", "OPERATORS", "OPSET", "Graph"]

OPSET = 18
"""Version of the operators."""

IR_VERSION = 8
"""Version of the format of the file: onnxruntime reads it from 1.15, as experiments' releases have
it, to today."""

OPERATORS = frozenset(
    {
        *("Add", "Cast", "Concat", "CumSum", "Div", "Equal", "Exp", "Floor", "Gather", "Gemm"),
        *("Greater", "LpNormalization", "Log", "MatMul", "Max", "Mod", "Mul", "Neg", "Range"),
        *("ReduceMean", "ReduceSum", "Relu", "Reshape", "Shape", "Softplus", "Sqrt", "Sub", "Tanh"),
        *("Unsqueeze", "Where"),
    }
)
"""All operators that our files have; a file with another one is not ours."""

Shape = Sequence[int | str]
"""Lengths of axes: a number, or a name where the length varies."""


class Graph:
    """Nodes and constants, in the order in which they are added.

    A tensor is known by its name, which tells what made it and counts: ``matmul_3`` say.

    Example:
        >>> graph = Graph()
        >>> doubled = graph.add("Mul", "x", graph.floats(2.0), output="y")
        >>> graph.model({"x": ("n",)}, {"y": ("n",)}, {}).graph.node[0].op_type
        'Mul'
    """

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: dict[tuple[str, tuple[int, ...], str], Any] = {}
        self._count: Counter[str] = Counter()

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node and return the name of its output.

        Args:
            operator: One of :data:`OPERATORS`.
            inputs: Names of tensors.
            output: Name of its output, by default one that is not yet in use.
            attributes: Attributes of the operator.
        """
        from onnx import helper

        name = output or self._new_name(operator.lower())
        self._nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def floats(self, values: Any) -> str:
        """Return the name of a constant of float32, of the shape of the values."""
        return self._constant(values, np.float32)

    def integers(self, values: Any) -> str:
        """Return the name of a constant of int64, of the shape of the values."""
        return self._constant(values, np.int64)

    def _constant(self, values: Any, dtype: Any) -> str:
        """Return the name of a constant; equal ones are stored once."""
        from onnx import numpy_helper

        array = np.asarray(values, dtype=dtype)
        key = (array.dtype.str, array.shape, hashlib.sha256(array.tobytes()).hexdigest())
        if key not in self._constants:
            name = self._new_name("constant")
            self._constants[key] = numpy_helper.from_array(array, name)
        return str(self._constants[key].name)

    def _new_name(self, what: str) -> str:
        self._count[what] += 1
        return f"{what}_{self._count[what]}"

    def model(
        self,
        inputs: Mapping[str, Shape],
        outputs: Mapping[str, Shape],
        properties: Mapping[str, str],
    ) -> Any:
        """Return all as an ONNX model.

        Args:
            inputs: Shapes of the inputs by name, all float32.
            outputs: Shapes of the outputs, likewise.
            properties: What the file says of itself.

        Returns:
            An ``onnx.ModelProto``, in which nothing tells where or when it was made.
        """
        from onnx import helper

        graph = helper.make_graph(
            self._nodes,
            "truthtag",
            _described(inputs),
            _described(outputs),
            list(self._constants.values()),
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="truthtag",
        )
        helper.set_model_props(model, dict(properties))
        return model


def _described(shapes: Mapping[str, Shape]) -> list[Any]:
    """Return inputs or outputs as ONNX describes them."""
    from onnx import TensorProto, helper

    described = []
    for name, shape in shapes.items():
        described.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))
    return described
