"""Scale factors of a correctionlib file, as CMS publishes them.

The package correctionlib evaluates them; its formulas have a parser of its own, and nothing of a
file is ever executed. What a file knows, and for which jets, is read from its JSON.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from truthtag.arrays import AnyArray, FloatArray, IntArray
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError, DataError
from truthtag.registry import did_you_mean
from truthtag.weights.correction_tree import bring_inside, check_tree, first_absent, names_at
from truthtag.weights.lookup import Absent, Cell, Found, listed

__all__ = ["Correction", "CorrectionFile", "read_correction_file"]

MAX_BYTES = 2**29
"""Largest file, unpacked: those of CMS have some 10 MB."""

MAX_DEPTH = 200
"""How deep lists and sections of JSON may lie in each other; in those of CMS it is some 20."""

SPELLINGS = {
    "systematic": ("systematic", "systematics", "syst", "sys", "variation", "uncertainty"),
    "working_point": ("workingpoint", "wp"),
    "flavour": ("flavor", "flavour", "hadronflavor", "hadronflavour", "jetflavor", "jetflavour"),
    "abs_eta": ("abseta", "absjeteta", "jetabseta", "etaabs"),
    "eta": ("eta", "jeteta"),
    "pt": ("pt", "jetpt"),
}
"""What files call their inputs, in small letters and without anything between them."""

TYPES = {
    "systematic": ("string",),
    "working_point": ("string", "int"),
    "flavour": ("int",),
    "abs_eta": ("real",),
    "eta": ("real",),
    "pt": ("real",),
}
"""Types that these inputs can have."""


@dataclass(frozen=True, eq=False)
class CorrectionFile:
    """A correctionlib file.

    Args:
        path: Where it is.
        corrections: Its corrections, as JSON holds them, by name.
        compound: Names of its compound corrections, which no scale factors are.
    """

    path: Path
    corrections: Mapping[str, Mapping[str, Any]]
    compound: tuple[str, ...]

    def correction(self, name: str, key: str) -> Correction:
        """Return one of its corrections.

        Args:
            name: Its name.
            key: Path of the config that names it, for the error.

        Raises:
            ConfigError: There is none of this name, or the package correctionlib is missing.
            DataError: The package cannot read it, or it has an input that no scale factors have.
        """
        if name not in self.corrections:
            if name in self.compound:
                msg = f"{key}: {name!r} is a compound correction; name a plain one"
                raise ConfigError(msg)
            known = list(self.corrections)
            msg = (
                f"{key}: {name!r} is not in {self.path}, which has {listed(known)}"
                f"{did_you_mean(name, known)}"
            )
            raise ConfigError(msg)
        stated = self.corrections[name]
        evaluator = _evaluator(stated, f"{self.path}: correction {name!r}")
        return Correction(self.path, name, stated, evaluator)


def read_correction_file(path: Path) -> CorrectionFile:
    """Read a correctionlib file of schema 2, plain or packed with gzip.

    Raises:
        DataError: The file is missing, too large, damaged or foreign.
    """
    try:
        data = json.loads(_content(path))
    except (ValueError, RecursionError) as error:
        msg = f"{path}: cannot be read as JSON ({error}). Fetch it again, or name another file."
        raise DataError(msg) from error
    if not isinstance(data, Mapping) or data.get("schema_version") != 2:
        msg = (
            f'{path}: is no file of correctionlib\'s schema 2 (it has no "schema_version": 2). '
            "Name another file."
        )
        raise DataError(msg)
    corrections = {}
    for one in _sections(data, "corrections"):
        corrections[str(one.get("name"))] = one
    compound = tuple(str(one.get("name")) for one in _sections(data, "compound_corrections"))
    return CorrectionFile(path, corrections, compound)


def _sections(data: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """Return the sections of a list that JSON holds; whatever else is there is left out."""
    stated = data.get(key)
    if not isinstance(stated, list):
        return []
    return [one for one in stated if isinstance(one, Mapping)]


def _content(path: Path) -> bytes:
    """Return the content of a file, unpacked."""
    if not path.is_file():
        msg = f"{path}: no such file. Check the path."
        raise DataError(msg)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        msg = f"{path}: cannot be read ({error}). Fetch it again, or name another file."
        raise DataError(msg) from error
    if len(content) > MAX_BYTES:
        msg = f"{path}: has more than {MAX_BYTES} bytes, unpacked; no scale factors are so many"
        raise DataError(msg)
    return content


def _evaluator(stated: Mapping[str, Any], source: str) -> Any:
    """Return the correction as the package evaluates it; the package checks its structure."""
    try:
        import correctionlib
    except ImportError as error:
        msg = (
            f"{source}: needs the package correctionlib, which is not installed: "
            "pip install truthtag[scale-factors]"
        )
        raise ConfigError(msg) from error
    _check_depth(stated, source)
    # Only this correction: the others of the file need not be read.
    text = json.dumps({"schema_version": 2, "corrections": [stated]})
    try:
        return correctionlib.CorrectionSet.from_string(text)[stated["name"]]
    except (RuntimeError, LookupError, ValueError, TypeError) as error:
        msg = f"{source}: correctionlib cannot read it ({_reason(error)}). Name another file."
        raise DataError(msg) from error


def _check_depth(stated: Any, source: str) -> None:
    """Refuse JSON that lies so deep in itself that no scale factors do."""
    stack = [(stated, 1)]
    while stack:
        part, depth = stack.pop()
        inner = part.values() if isinstance(part, Mapping) else part
        stack += [(one, depth + 1) for one in inner if isinstance(one, Mapping | list)]
        if depth > MAX_DEPTH:
            msg = f"{source}: its nodes lie more than {MAX_DEPTH} deep; no scale factors are so"
            raise DataError(msg)


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


@dataclass(frozen=True, eq=False)
class Correction:
    """One correction of a file, as a :class:`~truthtag.weights.lookup.Lookup`.

    Args:
        path: The file.
        name: Its name.
        stated: What the file says.
        evaluator: The same as the package evaluates it.

    Raises:
        DataError: It has an input that no scale factors have, or its range cannot be told.
    """

    path: Path
    name: str
    stated: Mapping[str, Any]
    evaluator: Any

    def __post_init__(self) -> None:
        roles = list(self.inputs.values())
        twice = [name for name, role in self.inputs.items() if roles.count(role) > 1]
        if twice:
            msg = f"{self.place}: its inputs {' and '.join(twice)} mean the same"
            raise DataError(msg)
        check_tree(self.stated["data"], self.place)

    @property
    def place(self) -> str:
        """What error messages call it."""
        return f"correction {self.name!r} of {self.path}"

    @cached_property
    def inputs(self) -> dict[str, str]:
        """What each input means, a key of :data:`SPELLINGS`, by its name, in their order."""
        meanings = {}
        for one in self.stated["inputs"]:
            meanings[one["name"]] = _meaning(one, self.place)
        return meanings

    @property
    def points(self) -> tuple[str, ...]:
        """Names of its working points; empty where it does not tell any apart."""
        return tuple(map(str, self._names("working_point", {})))

    def systematics(self, point: str | None, flavour: int) -> tuple[str, ...]:
        """Return the names of its variations at a working point for a flavour."""
        keys = self._keys(Cell("", point, flavour))
        return tuple(map(str, self._names("systematic", keys)))

    def absent(self, cell: Cell) -> Absent | None:
        """Return what it lacks of a cell; None where it has all of it."""
        return first_absent(self.stated["data"], self._keys(cell))

    def find(self, cell: Cell, jets: Jets, rows: IntArray) -> Found:
        """Return the scale factors of some of the jets.

        Raises:
            DataError: The package refuses a jet, or gives no finite number for one.
        """
        if not len(rows):
            return Found(np.zeros(0), ())
        keys = self._keys(cell)
        columns = {}
        for name, role in self.inputs.items():
            if role not in _KEYS:
                columns[name] = _kinematics(role, jets, rows)
        given, beyond = bring_inside(self.stated["data"], keys, columns, rows)
        arguments = [given[name] if name in given else keys[name] for name in self.inputs]
        values = self._evaluated(arguments, len(rows))
        if not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values)))
            msg = f"{self.place} gives {values[row]} for {_jet(jets, rows[row], cell)}"
            raise DataError(msg)
        return Found(values, beyond)

    def _evaluated(self, arguments: list[Any], size: int) -> FloatArray:
        """Return what the package says; a correction without kinematics says one number."""
        try:
            values = self.evaluator.evaluate(*arguments)
        except (RuntimeError, LookupError, ValueError) as error:
            msg = (
                f"{self.place}: correctionlib refuses a jet ({_reason(error)}). Leave such jets "
                "out, or name another correction"
            )
            raise DataError(msg) from error
        return np.broadcast_to(np.asarray(values, dtype=np.float64), (size,))

    def _names(self, role: str, keys: Mapping[str, str | int]) -> tuple[str | int, ...]:
        """Return the values that an input tells apart; none where there is no such input."""
        for name, meaning in self.inputs.items():
            if meaning == role:
                beside = {key: value for key, value in keys.items() if key != name}
                return names_at(self.stated["data"], name, beside)
        return ()

    def _keys(self, cell: Cell) -> dict[str, str | int]:
        """Return the values of the inputs that are no kinematics, in the types of the file."""
        wanted: dict[str, str | int] = {
            "systematic": cell.systematic,
            "working_point": cell.point or "",
            "flavour": cell.flavour,
        }
        keys: dict[str, str | int] = {}
        for one in self.stated["inputs"]:
            role = self.inputs[one["name"]]
            if role in wanted:
                keys[one["name"]] = _typed(wanted[role], one["type"])
        return keys


_KEYS = ("systematic", "working_point", "flavour")
"""Meanings of the inputs that are no kinematics."""


def _meaning(stated: Mapping[str, Any], source: str) -> str:
    """Return what an input means, by its name; refuse one that no scale factors have."""
    name = str(stated["name"])
    plain = "".join(letter for letter in name.lower() if letter.isalnum())
    for role, spellings in SPELLINGS.items():
        if plain not in spellings:
            continue
        if stated["type"] not in TYPES[role]:
            msg = (
                f"{source}: its input {name!r} is of type {stated['type']}; "
                f"{' or '.join(TYPES[role])} is wanted"
            )
            raise DataError(msg)
        return role
    known = ", ".join(spellings[0] for spellings in SPELLINGS.values())
    msg = (
        f"{source}: its input {name!r} is unknown; scale factors at fixed working points have "
        f"{known}, under these or like names. Name another correction"
    )
    raise DataError(msg)


def _typed(value: str | int, type_: str) -> str | int:
    """Return a value in the type of an input: working points can be numbers."""
    if type_ == "int" and isinstance(value, str):
        return int(value) if value.lstrip("-").isdigit() else value
    return value


def _kinematics(role: str, jets: Jets, rows: IntArray) -> AnyArray:
    """Return what an input is of, shape (n_rows,)."""
    if role == "pt":
        return jets.pt[rows]
    return np.abs(jets.eta[rows]) if role == "abs_eta" else jets.eta[rows]


def _jet(jets: Jets, row: int, cell: Cell) -> str:
    """Return which jet is meant, and what was asked of it."""
    return (
        f"jet {row} (pt {jets.pt[row]:g} GeV, eta {jets.eta[row]:g}, flavour {cell.flavour}), "
        f"systematic {cell.systematic!r}"
    )
