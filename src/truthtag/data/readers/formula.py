"""Formulas of branches, as a config states them: read without running code of a stranger."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, reduce
from typing import Any, NoReturn

import numpy as np

from truthtag.arrays import AnyArray, IntArray
from truthtag.data.readers.column import Column
from truthtag.errors import ConfigError, DataError

__all__ = ["Formula", "discriminant_branches", "parse_formula"]

_ALLOWED = (
    "names of branches (any name between backticks, `a:b` say), numbers, + - * / **, "
    "parentheses, log, exp, sqrt, abs, min, max, and an element of a list, name[0]"
)
_LONGEST = 2000
"""Most characters of a formula: a formula of physics is far below."""

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: np.positive,
    ast.USub: np.negative,
}
_OF_ONE: dict[str, Callable[[Any], Any]] = {
    "log": np.log,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "abs": np.abs,
}
_OF_SEVERAL: dict[str, Callable[[Any, Any], Any]] = {"min": np.minimum, "max": np.maximum}

_QUOTED = re.compile(r"`([^`]*)`")


@dataclass(frozen=True)
class Formula:
    """A formula of branches; made by :func:`parse_formula`.

    Args:
        text: How it was written.
        branches: Names of the branches that it needs, as they were written.
        tree: What it means; a name stands for its branch.
    """

    text: str
    branches: tuple[str, ...]
    tree: ast.expr

    @property
    def is_branch(self) -> bool:
        """Whether it is nothing but the name of a branch."""
        return isinstance(self.tree, ast.Name)

    def evaluate(self, columns: Mapping[str, Column], source: str, first_entry: int) -> Column:
        """Return the value for each event, or for each element of the lists that occur.

        A value per event is repeated where it meets a list. A branch alone keeps its type; all
        else is computed in double precision, where a division by zero or the logarithm of a
        negative number gives infinity or NaN.

        Args:
            columns: The branches, by their names in the formula.
            source: What the error messages call the data.
            first_entry: Number of the first event in the file.

        Raises:
            DataError: Two lists of an event differ in length, or an element is taken of a branch
                that is no list.
        """
        n_events = next((column.n_events for column in columns.values()), 0)
        with np.errstate(all="ignore"):
            result = _Evaluation(columns, source, first_entry).of(self.tree)
        if isinstance(result, Column):
            return result
        return Column(np.full(n_events, result))


def discriminant_branches(formula: str) -> tuple[str, ...]:
    """Return the names of the branches that a formula needs, each once, in order.

    Raises:
        ConfigError: The formula is none.

    Example:
        >>> discriminant_branches("log(Tag.pb / (0.1 * Tag.pc + 0.9 * `Tag:pu`))")
        ('Tag.pb', 'Tag.pc', 'Tag:pu')
    """
    return parse_formula(formula).branches


@cache
def parse_formula(text: str) -> Formula:
    """Read a formula of branches, and refuse all that is not one.

    Args:
        text: Names of branches, also with dots (``AnalysisJetsAuxDyn.pt``); names with other
            characters stand in backticks. Numbers, ``+ - * / **``, parentheses, ``log`` (the
            natural one), ``exp``, ``sqrt``, ``abs``, ``min`` and ``max`` of two or more, and
            ``name[0]``, an element of a list.

    Raises:
        ConfigError: Anything else stands there; the message says what is allowed.

    Example:
        >>> parse_formula("Jet_pt * (1 - Jet_rawFactor)").branches
        ('Jet_pt', 'Jet_rawFactor')
    """
    if len(text) > _LONGEST:
        msg = (
            f"the formula {text[:40] + '...'!r} has {len(text)} characters, allowed are {_LONGEST}"
        )
        raise ConfigError(msg)
    quoted: dict[str, str] = {}

    def placeholder(match: re.Match[str]) -> str:
        name = f"_quoted_{len(quoted)}"
        quoted[name] = match[1]
        return name

    try:
        tree = ast.parse(_QUOTED.sub(placeholder, text.strip()), mode="eval").body
        reader = _Reader(text, quoted)
        plain = reader.read(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, ConfigError):
            raise
        msg = f"{text!r} is no formula of branches. Allowed are {_ALLOWED}."
        raise ConfigError(msg) from error
    return Formula(text, tuple(dict.fromkeys(reader.branches)), plain)


class _Reader:
    """Goes through a formula, keeps what is allowed, and refuses the rest."""

    def __init__(self, text: str, quoted: Mapping[str, str]) -> None:
        self.text = text
        self.quoted = quoted
        self.branches: list[str] = []

    def read(self, node: ast.expr) -> ast.expr:
        """Return an expression that holds names of branches where they stood."""
        match node:
            case ast.Constant(value=bool()):
                return self._refuse(node)
            case ast.Constant(value=int() | float() as number):
                return ast.Constant(float(number))
            case ast.Name() | ast.Attribute():
                return self._branch(node)
            case ast.BinOp() if type(node.op) in _BINARY:
                return ast.BinOp(self.read(node.left), node.op, self.read(node.right))
            case ast.UnaryOp() if type(node.op) in _UNARY:
                return ast.UnaryOp(node.op, self.read(node.operand))
            case ast.Call(func=ast.Name(), keywords=[]):
                return self._call(node)
            case ast.Subscript(slice=ast.Constant(value=int(index))) if index is not True:
                return ast.Subscript(self._branch(node.value), ast.Constant(index))
            case _:
                pass
        return self._refuse(node)

    def _branch(self, node: ast.expr) -> ast.Name:
        name = self._name(node)
        self.branches.append(name)
        return ast.Name(name)

    def _name(self, node: ast.expr) -> str:
        """Return the name that dots join."""
        if isinstance(node, ast.Attribute):
            return f"{self._name(node.value)}.{node.attr}"
        if not isinstance(node, ast.Name):
            self._refuse(node)
        return self.quoted.get(node.id, node.id)

    def _call(self, node: ast.Call) -> ast.Call:
        name = self._name(node.func)
        enough = len(node.args) == 1 if name in _OF_ONE else len(node.args) > 1
        starred = [argument for argument in node.args if isinstance(argument, ast.Starred)]
        if name not in {*_OF_ONE, *_OF_SEVERAL} or not enough or starred:
            self._refuse(node)
        return ast.Call(ast.Name(name), list(map(self.read, node.args)), [])

    def _refuse(self, node: ast.AST) -> NoReturn:
        shown = _restored(ast.unparse(node), self.quoted)
        where = "" if shown == self.text else f" in {self.text!r}"
        msg = f"{shown!r}{where} is not allowed in a formula of branches. Allowed are {_ALLOWED}."
        raise ConfigError(msg)


def _restored(text: str, quoted: Mapping[str, str]) -> str:
    """Return a part of a formula as it was written."""
    for placeholder, name in quoted.items():
        text = text.replace(placeholder, f"`{name}`")
    return text


class _Evaluation:
    """Computes a formula for some events."""

    def __init__(self, columns: Mapping[str, Column], source: str, first_entry: int) -> None:
        self.columns = columns
        self.source = source
        self.first_entry = first_entry

    def of(self, node: ast.expr) -> Column | float:
        """Return the value of an expression; a branch that stands alone keeps its type."""
        match node:
            case ast.Name():
                return self.columns[node.id]
            case ast.Constant(value=float(number)):
                return number
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=int(index))):
                return self._element(name, index)
            case ast.UnaryOp():
                return self._apply(_UNARY[type(node.op)], node.operand)
            case ast.BinOp():
                return self._apply(_BINARY[type(node.op)], node.left, node.right)
            case ast.Call(func=ast.Name(id=name)) if name in _OF_ONE:
                return self._apply(_OF_ONE[name], *node.args)
            case ast.Call(func=ast.Name(id=name)):
                step = _OF_SEVERAL[name]
                return self._apply(lambda *values: reduce(step, values), *node.args)
        raise AssertionError(ast.dump(node))

    def _element(self, name: str, index: int) -> Column:
        column = self.columns[name]
        if not column.is_list:
            msg = (
                f"{self.source}: {name}[{index}] was asked for, and branch {name!r} has one value "
                "per event, no list. Leave the brackets out."
            )
            raise DataError(msg)
        return column.element(index)

    def _apply(self, operation: Callable[..., Any], *nodes: ast.expr) -> Column | float:
        values = [self.of(node) for node in nodes]
        lists = [v for v in values if isinstance(v, Column) and v.is_list]
        offsets = lists[0].offsets if lists else None
        for other in lists[1:]:
            self._require_same_lengths(nodes, lists[0], other)
        result = operation(*(_broadcast(value, offsets) for value in values))
        if any(isinstance(value, Column) for value in values):
            return Column(result, offsets)
        return float(result)

    def _require_same_lengths(
        self, nodes: tuple[ast.expr, ...], one: Column, other: Column
    ) -> None:
        if one.offsets is other.offsets or np.array_equal(one.counts(), other.counts()):
            return
        event = int(np.flatnonzero(one.counts() != other.counts())[0])
        what = " and ".join(ast.unparse(node) for node in nodes)
        msg = (
            f"{self.source}: {what} cannot be combined: in entry {self.first_entry + event} one "
            f"has {one.counts()[event]} values, the other {other.counts()[event]}. Take branches "
            "of the same objects."
        )
        raise DataError(msg)


def _broadcast(value: Column | float, offsets: IntArray | None) -> AnyArray | np.float64:
    """Return values in double precision, one per event repeated where lists occur."""
    if not isinstance(value, Column):
        # Of NumPy, so that a division by zero is infinite and no error.
        return np.float64(value)
    values = value.values.astype(np.float64)
    if offsets is not None and not value.is_list:
        return np.repeat(values, np.diff(offsets))
    return values
