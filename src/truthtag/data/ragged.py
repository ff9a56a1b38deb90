"""Fields of awkward arrays, and their values flat: one for each jet, or one for each event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np

from truthtag.arrays import AnyArray, BoolArray, IntArray
from truthtag.data.readers.formats import FORMATS
from truthtag.errors import ConfigError, DataError
from truthtag.registry import did_you_mean

__all__ = [
    "Ragged",
    "awkward_package",
    "candidates",
    "field_names",
    "field_values",
    "ragged",
    "refuse_jet",
]


@dataclass(frozen=True, eq=False)
class Ragged:
    """Values of an awkward array, flat.

    Args:
        values: The values, event by event, shape (n,).
        missing: Which of them are None, shape (n,).
        is_option: Whether the type allows None.
        counts: How many each event has, shape (n_events,); None where each event has one value, no
            list.
        what: What the error messages call it.
    """

    values: AnyArray
    missing: BoolArray
    is_option: bool
    counts: IntArray | None
    what: str

    def of_jets(self, counts: IntArray) -> Ragged:
        """Return a value for each jet; one per event is repeated.

        Args:
            counts: Number of jets of each event, shape (n_events,).

        Raises:
            DataError: There are other events, or an event has another number of jets.
        """
        n_events = len(self.values) if self.counts is None else len(self.counts)
        if n_events != len(counts):
            msg = f"{self.what} has {n_events} events, the jets have {len(counts)}"
            raise DataError(msg)
        if self.counts is None:
            values = np.repeat(self.values, counts)
            missing = np.repeat(self.missing, counts)
            return replace(self, values=values, missing=missing, counts=counts)
        differs = self.counts != counts
        if differs.any():
            event = int(np.argmax(differs))
            msg = (
                f"{self.what} has {self.counts[event]} values in event {event}, which has "
                f"{counts[event]} jets ({int(differs.sum())} such events): one of the two was "
                "filtered alone. Filter whole records, or say with `mask` which jets count"
            )
            raise DataError(msg)
        return self

    def of_events(self, n_events: int) -> AnyArray:
        """Return a value for each event, shape (n_events,).

        Raises:
            DataError: There are lists, other events, or a value is missing.
        """
        if self.counts is not None or len(self.values) != n_events:
            shape = "lists" if self.counts is not None else f"{len(self.values)} values"
            msg = f"{self.what} has {shape}; one value for each of the {n_events} events is wanted"
            raise DataError(msg)
        if self.missing.any():
            event = int(np.argmax(self.missing))
            count = int(self.missing.sum())
            msg = f"{self.what} is None in event {event} ({count} such events): fill it"
            raise DataError(msg)
        return self.values

    def taken(self, rows: IntArray) -> AnyArray:
        """Return the values of some jets, by their places among all.

        Raises:
            DataError: One is missing.
        """
        missing = self.missing[rows]
        if missing.any() and self.counts is not None:
            rule = "fill it, or leave the jet out with `mask`"
            refuse_jet(f"{self.what} is None", missing, rows, self.counts, rule)
        return self.values[rows]


def ragged(given: Any, what: str) -> Ragged:
    """Return the values of an awkward array, or of what can be made one, flat.

    Args:
        given: Numbers or truth values: a list in each event, or one value.
        what: What the error messages call it.

    Raises:
        ConfigError: The package awkward is not installed.
        DataError: It holds something else, or an event is None.
    """
    ak = awkward_package()
    array = _in_memory(given, what)
    if array.ndim > 2:
        msg = f"{what} has lists of lists in each event ({array.type}); one for each jet is wanted"
        raise DataError(msg)
    kind = array.type
    counts = None
    if array.ndim == 2:
        counts = _counts(array, what)
        array = ak.flatten(array, axis=1)
    try:
        found = ak.to_numpy(array, allow_missing=True)
    except (TypeError, ValueError) as error:
        msg = f"{what} holds {kind}; numbers are wanted, one for each jet"
        raise DataError(msg) from error
    values = np.ma.getdata(found)
    if not len(values) and values.dtype.kind not in "iufb":
        # Of what kind nothing is, nobody knows.
        values = np.zeros(0)
    if values.dtype.kind not in "iufb":
        msg = f"{what} holds {kind}; numbers are wanted, one for each jet"
        raise DataError(msg)
    is_option = isinstance(found, np.ma.MaskedArray)
    return Ragged(values, np.ma.getmaskarray(found), is_option, counts, what)


def field_names(array: Any) -> list[str]:
    """Return the names of the fields of an array of records, or the keys of a mapping."""
    if isinstance(array, Mapping):
        return [str(name) for name in array]
    ak = awkward_package()
    if not isinstance(array, ak.Array):
        msg = (
            f"the jets are of type {type(array).__name__}; an awkward array of records is wanted, "
            "events.Jet say, or a mapping of names to lists; of a lazy one what compute() returns"
        )
        raise DataError(msg)
    names: list[str] = ak.fields(array)
    return names


def field_values(array: Any, stated: str, column: str) -> Any:
    """Return the values of a field.

    Args:
        array: The jets.
        stated: Name of the field.
        column: The column that it is stated for, for the error.

    Raises:
        DataError: There is no such field.
    """
    names = field_names(array)
    if stated not in names:
        msg = (
            f"the jets have no field {stated!r}, which is stated for {column!r}. They have: "
            f"{', '.join(names) or 'none'}{did_you_mean(stated, names)}"
        )
        raise DataError(msg)
    return array[stated]


def candidates(name: str) -> list[str]:
    """Return the names that a column can have in an array: ours, then those of the formats.

    Example:
        >>> from truthtag.data.ragged import candidates
        >>> candidates("flavour")
        ['flavour', 'hadronFlavour', 'HadronConeExclTruthLabelID']
    """
    names = {name: None}
    for one in FORMATS.values():
        for branch in one.columns.get(name, ()):
            for prefix in one.prefixes:
                if branch.startswith(prefix):
                    names[branch.removeprefix(prefix)] = None
    return list(names)


def _counts(array: Any, what: str) -> IntArray:
    """Return the length of the list of each event."""
    ak = awkward_package()
    lengths = ak.to_numpy(ak.num(array, axis=1), allow_missing=True)
    missing = np.ma.getmaskarray(lengths)
    if missing.any():
        msg = (
            f"{what} is None in event {int(np.argmax(missing))}, where a list is wanted "
            f"({int(missing.sum())} such events): leave these events out, or give them an empty "
            "list, with ak.fill_none(array, [], axis=0)"
        )
        raise DataError(msg)
    return np.asarray(np.ma.getdata(lengths), dtype=np.int64)


def _in_memory(given: Any, what: str) -> Any:
    """Return an awkward array whose values are in the memory of this machine."""
    ak = awkward_package()
    try:
        array = given if isinstance(given, ak.Array) else ak.Array(given)
    except (TypeError, ValueError) as error:
        msg = (
            f"{what} is of type {type(given).__name__}, of which no awkward array can be made; "
            "give an array, of a lazy one what its compute() returns"
        )
        raise DataError(msg) from error
    backend = ak.backend(array)
    if backend == "typetracer":
        msg = (
            f"{what} has a type and no values, as arrays have while dask plans: give what "
            "compute() returns"
        )
        raise DataError(msg)
    return array if backend == "cpu" else ak.to_backend(array, "cpu")


def refuse_jet(what: str, bad: BoolArray, rows: IntArray, counts: IntArray, rule: str) -> NoReturn:
    """Raise an error that names the first bad jet by its place in the array.

    Args:
        what: What is wrong.
        bad: Which jets are bad, shape (n,).
        rows: Places of these jets among all of the array, shape (n,).
        counts: Number of jets of each event, shape (n_events,).
        rule: What is allowed, and what to do.
    """
    row = int(rows[np.argmax(bad)])
    ends = np.cumsum(counts)
    event = int(np.searchsorted(ends, row, side="right"))
    jet = row - int(ends[event] - counts[event])
    msg = f"{what} in event {event}, jet {jet} ({int(bad.sum())} such jets): {rule}"
    raise DataError(msg)


def awkward_package() -> Any:
    """Return the package awkward.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import awkward
    except ImportError as error:
        msg = (
            "awkward arrays need the package awkward, which is not installed: "
            "pip install truthtag[readers]"
        )
        raise ConfigError(msg) from error
    return awkward
