"""Refusing ONNX files that are not ours, before anything in them is computed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from truthtag.errors import DataError
from truthtag.estimators.network.onnx_builder import IR_VERSION, OPERATORS, OPSET
from truthtag.estimators.network.onnx_content import (
    DIGEST,
    FORMAT,
    FORMAT_KEY,
    OnnxContent,
    model_digest,
)

__all__ = ["read_content", "read_model"]

REMEDY = "Export the networks again, with truthtag.exports.onnx_file.export_onnx."


def read_model(path: str | Path) -> Any:
    """Read an ONNX file, and refuse what truthtag did not write or what was changed since.

    A file may name data in other files, operators of other packages, and parts that contain graphs
    again. Ours has none of these, and nothing is looked up for it.

    Returns:
        An ``onnx.ModelProto``.

    Raises:
        DataError: The file is missing, no ONNX file, foreign, of another version, hostile or
            damaged.
    """
    from onnx import ModelProto

    path = Path(path)
    if path.is_dir():
        msg = f"{path}: is a folder; an ONNX model is a file. {REMEDY}"
        raise DataError(msg)
    if not path.is_file():
        msg = f"{path}: no such file. Check the path, or export the networks to it."
        raise DataError(msg)
    try:
        model = ModelProto.FromString(path.read_bytes())
    except Exception as error:
        # The class of its errors is that of another package, which has no name here.
        msg = (
            f"{path}: cannot be read as an ONNX file, it is truncated or of another format. "
            f"{REMEDY}"
        )
        raise DataError(msg) from error
    _require_no_other_files(model, path)
    _require_our_format(model, path)
    _require_plain_operators(model, path)
    properties = _properties(model)
    if properties.get(DIGEST) != model_digest(model):
        msg = (
            f"{path}: is damaged, or was changed: its content does not have the digest that was "
            f"written with it. {REMEDY}"
        )
        raise DataError(msg)
    return model


def read_content(model: Any, path: str | Path) -> OnnxContent:
    """Return what a model of :func:`read_model` says of itself.

    Raises:
        DataError: An entry is missing or wrong, or inputs and outputs are not as it says.
    """
    try:
        content = OnnxContent.from_properties(_properties(model))
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        msg = f"{path}: what it says of itself cannot be understood ({reason}). {REMEDY}"
        raise DataError(msg) from error
    wanted = len(content.features)
    inputs = [_axes(value) for value in model.graph.input]
    if len(content.units) != wanted or [shape[-1:] for shape in inputs] != [[wanted]]:
        msg = (
            f"{path}: names {wanted} features and {len(content.units)} units, and its inputs have "
            f"the shapes {inputs}; one input with an axis of {wanted} is wanted. {REMEDY}"
        )
        raise DataError(msg)
    return content


def _axes(value: Any) -> list[int | str]:
    """Return the shape of an input: numbers, and names where lengths vary."""
    return [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]


def _properties(model: Any) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def _require_no_other_files(model: Any, path: Path) -> None:
    """Refuse a model whose numbers are in other files, wherever they are named."""
    for tensor in _tensors(model.graph):
        if tensor.data_location or tensor.external_data:
            places = [entry.value for entry in tensor.external_data if entry.key == "location"]
            msg = (
                f"{path}: tensor {tensor.name!r} is to be read from another file, "
                f"{', '.join(places) or 'without a name'}; files of truthtag hold all their "
                f"numbers themselves, and nothing else is read. {REMEDY}"
            )
            raise DataError(msg)


def _tensors(graph: Any) -> Iterator[Any]:
    """Go through all tensors of a graph, and of the graphs in it."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


def _require_our_format(model: Any, path: Path) -> None:
    """Refuse files of others, and of other versions."""
    found = _properties(model).get(FORMAT_KEY)
    if found is None or not found.startswith(FORMAT.rpartition(" ")[0]):
        msg = (
            f"{path}: is not an ONNX file that truthtag wrote: its metadata have no "
            f"{FORMAT_KEY!r} {FORMAT!r}, and what its inputs mean is not known. {REMEDY}"
        )
        raise DataError(msg)
    if found != FORMAT:
        msg = (
            f"{path}: has the format {found!r}, and this version of truthtag reads {FORMAT!r}. "
            f"Install the version that wrote it. Or: {REMEDY}"
        )
        raise DataError(msg)


def _require_plain_operators(model: Any, path: Path) -> None:
    """Refuse versions and operators that no file of ours has."""
    operators = [(entry.domain, entry.version) for entry in model.opset_import]
    if operators != [("", OPSET)] or model.ir_version != IR_VERSION:
        listed = ", ".join(f"{domain or 'ai.onnx'} {number}" for domain, number in operators)
        msg = (
            f"{path}: needs the operators {listed or 'of no set'} and the ONNX format "
            f"{model.ir_version}; files of truthtag need ai.onnx {OPSET} and {IR_VERSION}, and no "
            f"operators of other packages. {REMEDY}"
        )
        raise DataError(msg)
    if model.functions or model.training_info:
        msg = f"{path}: defines functions of its own, which no file of truthtag does. {REMEDY}"
        raise DataError(msg)
    for node in model.graph.node:
        if node.domain or node.op_type not in OPERATORS:
            name = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            msg = f"{path}: has the operator {name!r}, which no file of truthtag has. {REMEDY}"
            raise DataError(msg)
