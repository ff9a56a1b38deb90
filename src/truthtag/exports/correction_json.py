"""The JSON of correctionlib, schema version 2: its nodes, its files; no package is needed."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context
from pathlib import Path
from typing import Any

import numpy as np

from truthtag.arrays import FloatArray
from truthtag.data.files import atomic_write
from truthtag.errors import DataError

__all__ = [
    "CorrectionFile",
    "Node",
    "StoredCorrection",
    "binning",
    "category",
    "formula",
    "formula_ref",
    "multibinning",
    "read_corrections",
    "renamed",
    "variable",
    "write_corrections",
    "written_edges",
]

Node = float | dict[str, Any]
"""What a correction is made of: a number, or a node that chooses or computes one."""

Edge = float | str

SCHEMA_VERSION = 2

SUFFIXES = (".json", ".json.gz")
"""How the names of such files end."""

RECORD = "truthtag: "
"""How the line of a description begins that holds, as JSON, what we record about the origin."""

LARGEST_FILE = 2**30
"""No file of corrections is larger, in bytes; a compressed one may be made to swell."""

# The reader of correctionlib is right to the last bit only for numbers of at most 15 digits. Where
# it is not, an edge lands beside the value that it stands for, and that value in the other bin.
DIGITS = Context(prec=15)

SMALLEST = 1e-300
"""An edge above 0 and below every other number that occurs."""


# ---- edges


def written_edges(axis: FloatArray, name: str, *, single: bool = True) -> list[Edge]:
    """Return the edges to write, so that every value has the bin that it has with us.

    With us the last bin is closed at its upper edge, and values in single precision are compared
    with edges rounded to single precision. correctionlib compares in double precision, and its bins
    are open at the upper edge. So edges are rounded down, the last one up, by as little as does not
    depend on who reads them: the next number of 15 digits.

    Args:
        axis: The edges, rising, the last may be infinite, shape (n + 1,).
        name: What the error message calls the axis.
        single: Whether the values are in single precision, as columns of jets are.

    Raises:
        DataError: Two edges are the same in single precision.

    Example:
        >>> written_edges(np.array([0.0, 0.7, 2.4]), "eta")
        [0.0, 0.699999988079071, 2.40000009536744]
    """
    *lower, last = [float(edge) for edge in axis]
    written: list[Edge] = [_at_or_below(_lower(edge, single)) for edge in lower]
    written.append("inf" if last == np.inf else _above(_upper(last, single)))
    _check_rising(written, [*lower, last], name)
    return written


def _lower(edge: float, single: bool) -> float:
    # Where rounding takes the edge up, no value in single precision lies between.
    return min(edge, float(np.float32(edge))) if single else edge


def _upper(edge: float, single: bool) -> float:
    return max(edge, float(np.float32(edge))) if single else edge


def _at_or_below(value: float) -> float:
    """Return the largest number of 15 digits that is not above a value."""
    nearest = DIGITS.create_decimal(repr(value))
    return float(nearest if float(nearest) <= value else nearest.next_minus(DIGITS))


def _above(value: float) -> float:
    """Return the smallest number of 15 digits above a value."""
    if value == 0:
        return SMALLEST
    nearest = DIGITS.create_decimal(repr(value))
    return float(nearest if float(nearest) > value else nearest.next_plus(DIGITS))


def _check_rising(written: Sequence[Edge], numbers: Sequence[float], name: str) -> None:
    values = np.array([float(edge) for edge in written])
    wrong = ~(np.diff(values) > 0)
    if wrong.any():
        first = int(np.argmax(wrong))
        msg = (
            f"{name}: the edges {numbers[first]!r} and {numbers[first + 1]!r} are the same in "
            "single precision, so that no jet lies between. Fit again with wider bins."
        )
        raise DataError(msg)


# ---- nodes


def variable(name: str, kind: str, description: str) -> dict[str, str]:
    """Describe an input or the output; its kind is ``string``, ``int`` or ``real``."""
    return {"name": name, "type": kind, "description": description}


def category(name: str, branches: Mapping[Any, Node]) -> Node:
    """Choose by a text or an integer; what is not among the branches raises an error."""
    content = [{"key": key, "value": value} for key, value in branches.items()]
    return {"nodetype": "category", "input": name, "content": content}


def binning(name: str, edges: Sequence[Edge], content: Sequence[Node], flow: str) -> Node:
    """Choose by the bin of one input; ``flow`` is ``clamp`` or ``error``."""
    return {
        "nodetype": "binning",
        "input": name,
        "edges": list(edges),
        "content": list(content),
        "flow": flow,
    }


def multibinning(axes: Mapping[str, Sequence[Edge]], content: Sequence[Node], flow: str) -> Node:
    """Choose by the bins of several inputs, whose contents stand with the last running fastest."""
    return {
        "nodetype": "multibinning",
        "inputs": list(axes),
        "edges": [list(edges) for edges in axes.values()],
        "content": list(content),
        "flow": flow,
    }


def formula(expression: str, variables: Sequence[str]) -> dict[str, Any]:
    """Describe a formula of x, y, ..., the variables in their order, and parameters [0], [1]."""
    return {
        "nodetype": "formula",
        "expression": expression,
        "parser": "TFormula",
        "variables": list(variables),
    }


def formula_ref(parameters: Sequence[float]) -> Node:
    """Compute by the one formula of the correction, with parameters of its own."""
    return {"nodetype": "formularef", "index": 0, "parameters": [float(p) for p in parameters]}


def renamed(node: Any, names: Mapping[str, str]) -> Any:
    """Return a correction, or part of one, whose inputs have other names.

    Args:
        node: What stands in the file: nested mappings, lists, text and numbers.
        names: The new name of each input.

    Example:
        >>> renamed(category("flavour", {5: 0.7}), {"flavour": "flavor"})["input"]
        'flavor'
    """
    if isinstance(node, list):
        # Most lists are of numbers, and long.
        return [renamed(one, names) if isinstance(one, dict) else one for one in node]
    if not isinstance(node, dict):
        return node
    result: dict[str, Any] = {}
    for key, value in node.items():
        if key == "input":
            result[key] = names[value]
        elif key in ("inputs", "variables") and node.get("nodetype"):
            result[key] = [names[one] for one in value]
        elif key == "inputs":
            result[key] = [{**one, "name": names[one["name"]]} for one in value]
        else:
            result[key] = renamed(value, names)
    return result


# ---- files


@dataclass(frozen=True)
class StoredCorrection:
    """What a file says of one correction.

    Args:
        name: Its name.
        description: What it is.
        inputs: Names of its inputs, in the order of a call.
    """

    name: str
    description: str
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class CorrectionFile:
    """What a file of corrections says of itself.

    Args:
        description: What it holds.
        corrections: Its corrections.
        record: What truthtag recorded about its origin; empty where others wrote it.
    """

    description: str
    corrections: tuple[StoredCorrection, ...]
    record: Mapping[str, Any]


def write_corrections(
    corrections: Sequence[Mapping[str, Any]],
    path: str | Path,
    description: str,
    record: Mapping[str, Any],
) -> None:
    """Write a file, whole or not at all; the same content gives the same bytes.

    Args:
        corrections: The corrections.
        path: The file: ``.json``, or ``.json.gz`` to compress it.
        description: What it holds.
        record: What to record about its origin, anything that JSON holds; correctionlib has no
            other place for it than the description, whose last line it becomes.

    Raises:
        DataError: The file has another suffix, cannot be written, or a number is not finite.
    """
    path = Path(path)
    is_compressed = _is_compressed(path)
    try:
        last = RECORD + json.dumps(record, allow_nan=False, sort_keys=True)
        content = {
            "schema_version": SCHEMA_VERSION,
            "description": f"{description}\n{last}",
            "corrections": list(corrections),
        }
        text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        msg = f"{path}: a number is not finite, which JSON cannot hold ({error}). Fit it again."
        raise DataError(msg) from error
    data = f"{text}\n".encode()
    with atomic_write(path) as part:
        part.write_bytes(_compress(data) if is_compressed else data)


def _is_compressed(path: Path) -> bool:
    if not path.name.endswith(SUFFIXES):
        msg = (
            f"{path}: a file of corrections ends in {' or '.join(SUFFIXES)}, from which "
            "correctionlib knows how to read it. Name it so."
        )
        raise DataError(msg)
    return path.suffix == ".gz"


def _compress(data: bytes) -> bytes:
    buffer = io.BytesIO()
    # Neither a name nor a time in the header: the same content gives the same bytes.
    with gzip.GzipFile("", "wb", 9, buffer, mtime=0) as file:
        file.write(data)
    return buffer.getvalue()


def read_corrections(path: str | Path) -> CorrectionFile:
    """Read what a file of corrections says of itself, whoever wrote it.

    Raises:
        DataError: It is missing, damaged, or holds no corrections of schema version 2.
    """
    path = Path(path)
    content = _parse(_read(path), path)
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        msg = (
            f"{path}: its schema_version is {version!r}, not {SCHEMA_VERSION}: it is no file of "
            "corrections that can be read here. Convert it with correctionlib, or export it again."
        )
        raise DataError(msg)
    try:
        corrections = tuple(_stored(content["corrections"]))
    except (KeyError, TypeError) as error:
        msg = (
            f"{path}: its corrections are not as the schema has them ({error}); "
            "'correction validate' says more. Export it again."
        )
        raise DataError(msg) from error
    text = str(content.get("description") or "")
    described, record = _apart(text)
    return CorrectionFile(described, corrections, record)


def _stored(corrections: Any) -> Iterator[StoredCorrection]:
    for one in corrections:
        inputs = tuple(str(given["name"]) for given in one["inputs"])
        yield StoredCorrection(str(one["name"]), str(one.get("description") or ""), inputs)


def _apart(text: str) -> tuple[str, dict[str, Any]]:
    """Return a description without our record, and the record."""
    described, _, last = text.rpartition("\n")
    if not last.startswith(RECORD):
        return text, {}
    try:
        record = json.loads(last.removeprefix(RECORD))
    except (ValueError, RecursionError):
        return text, {}
    return (described, record) if isinstance(record, dict) else (text, {})


def _read(path: Path) -> bytes:
    opened = gzip.open if _is_compressed(path) else open
    try:
        with opened(path, "rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except FileNotFoundError as error:
        msg = f"{path}: no such file. Check the path, or export it."
        raise DataError(msg) from error
    except (OSError, EOFError, zlib.error) as error:
        msg = f"{path}: cannot be read ({error}). Copy or export it again."
        raise DataError(msg) from error
    if len(data) > LARGEST_FILE:
        msg = f"{path}: holds more than {LARGEST_FILE} bytes; no file of corrections is so large"
        raise DataError(msg)
    return bytes(data)


def _parse(data: bytes, path: Path) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        msg = f"{path}: is no JSON ({error}). Copy or export it again."
        raise DataError(msg) from error
