"""Groups of flavours whose scale factors vary together, and where in a file they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from truthtag.arrays import FloatArray, IntArray
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError, DataError
from truthtag.registry import did_you_mean
from truthtag.weights.lookup import NOMINAL, Beyond, Cell, Lookup, listed

if TYPE_CHECKING:
    from truthtag.weights.scale_factors import ScaleFactorOptions

__all__ = [
    "CORRECTIONLIB",
    "GROUPS",
    "PATH",
    "TABLES",
    "FlavourGroup",
    "GroupFactors",
    "faults_of_flavours",
    "faults_of_points",
    "flavours_in_no_group",
    "read_groups",
    "suffix_of",
]

PATH = "weights.scale_factors"
"""Where the options of scale factors stand in the config, for errors."""

GROUPS = ("heavy", "light")
"""Groups of flavours: one varies while the other one stays nominal."""

CORRECTIONLIB = (".json", ".json.gz")
"""How names of correctionlib files end."""

TABLES = (".csv", ".parquet")
"""How names of tables of our own end."""

POINTS = {"loose": "L", "medium": "M", "tight": "T"}
"""Names that files give to working points, by usual names."""


def suffix_of(file: str) -> str:
    """Return how the name of a file ends, ``.json.gz`` being one ending.

    Example:
        >>> suffix_of("UL/btagging.v2.json.gz"), suffix_of("sf.csv")
        ('.json.gz', '.csv')
    """
    path = Path(file)
    return "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix


@dataclass(frozen=True, eq=False)
class GroupFactors:
    """Scale factors of the jets of a group.

    Args:
        rows: The jets, shape (n_rows,).
        values: Shape (n_rows, n_points).
        outside: Where jets are beyond the range of the file.
        place: What error messages call the file.
    """

    rows: IntArray
    values: FloatArray
    outside: tuple[Beyond, ...]
    place: str

    @property
    def beyond(self) -> IntArray:
        """The jets beyond the range of the file, each once, rising."""
        found = [np.zeros(0, dtype=np.int64), *(one.rows for one in self.outside)]
        return np.unique(np.concatenate(found))

    def require_inside(self, outside: str, jets: Jets) -> None:
        """Refuse jets beyond the range of the file, unless they are to be clamped.

        Raises:
            DataError: The message says how many, the first one, and the range.
        """
        if outside == "clamp" or not self.outside:
            return
        row = self.beyond[0]
        first = next(one for one in self.outside if row in one.rows)
        value = first.values[first.rows == row][0]
        msg = (
            f"{len(self.beyond)} jets lie outside the range of the scale factors, {self.place}. "
            f"The first is jet {row} (event {jets.event[jets.event_of_jet[row]]}) at "
            f"{first.what} {value:g}; the range is {first.low:g} to {first.high:g}. Select jets "
            f"inside it, or set {PATH}.outside: clamp to take the scale factor at its edge."
        )
        raise DataError(msg)


@dataclass(frozen=True, eq=False)
class FlavourGroup:
    """Flavours whose scale factors vary together.

    Args:
        name: Name of the group, ``heavy`` say.
        lookup: Where the scale factors are.
        numbers: Numbers of the flavours in the file, by their numbers in the sample.
        points: Names of the working points in the file, the loosest first; None for one without a
            name.
        nominal: What the file calls its nominal scale factors.
        systematics: What the file calls its variations, those that are wanted.
    """

    name: str
    lookup: Lookup
    numbers: Mapping[int, int]
    points: tuple[str | None, ...]
    nominal: str
    systematics: tuple[str, ...]

    @cached_property
    def variations(self) -> dict[str, str]:
        """The wanted names of the file, by the names that variations have with us."""
        names = {}
        for systematic in self.systematics:
            plain = re.sub(r"\W+", "_", systematic)
            names[f"{self.name}_{plain}"] = systematic
        return names

    def find(self, jets: Jets, systematic: str) -> GroupFactors:
        """Return the scale factors of the jets of the group, in one variation.

        Raises:
            DataError: The file gives no finite number for a jet.
        """
        rows = []
        values = []
        outside: list[Beyond] = []
        for ours, theirs in self.numbers.items():
            of_flavour = np.flatnonzero(jets.flavour == ours)
            columns = []
            for point in self.points:
                found = self.lookup.find(Cell(systematic, point, theirs), jets, of_flavour)
                outside += found.beyond
                columns.append(found.values)
            rows.append(of_flavour)
            values.append(np.column_stack(columns))
        return GroupFactors(
            np.concatenate(rows), np.concatenate(values), tuple(outside), self.lookup.place
        )


def faults_of_flavours(options: ScaleFactorOptions, flavours: Sequence[str]) -> Iterator[str]:
    """Go through what options say of flavours that cannot be: each exists, and is in one group.

    Args:
        options: The options.
        flavours: Names of the flavours of the jets.
    """
    grouped: dict[str, str] = {}
    for group in GROUPS:
        for name in getattr(options.flavours, group):
            yield from _unknown(f"{PATH}.flavours.{group}", name, "a flavour", flavours)
            if name in grouped:
                yield (
                    f"{PATH}.flavours.{group}: {name!r} is named twice, also in the group "
                    f"{grouped[name]}; leave it out once"
                )
            grouped[name] = group
    for name in options.numbers:
        yield from _unknown(f"{PATH}.numbers", name, "a flavour", flavours)


def flavours_in_no_group(options: ScaleFactorOptions, flavours: Sequence[str]) -> Iterator[str]:
    """Go through the flavours that would have no scale factors; arguments are those of
    :func:`faults_of_flavours`."""
    grouped = (*options.flavours.heavy, *options.flavours.light)
    for name in flavours:
        if name not in grouped:
            yield f"{PATH}.flavours: {name!r} is in no group; add it to {' or '.join(GROUPS)}"


def faults_of_points(options: ScaleFactorOptions, points: Sequence[str]) -> Iterator[str]:
    """Go through what options say of working points that cannot be.

    Args:
        options: The options.
        points: Names of the working points of the jets; empty without a name.
    """
    for name in options.working_points:
        yield from _unknown(f"{PATH}.working_points", name, "a working point", points)
    if options.working_point is not None and len(points) > 1:
        yield (
            f"{PATH}.working_point: {options.working_point!r} is not allowed where there are "
            "several; name each in working_points"
        )


def _unknown(key: str, name: str, what: str, known: Sequence[str]) -> Iterator[str]:
    if name not in known:
        allowed = list(known)
        yield (
            f"{key}: {name!r} is not {what}. Allowed: {listed(allowed)}"
            f"{did_you_mean(name, allowed)}"
        )


def read_groups(
    options: ScaleFactorOptions, flavours: Mapping[str, int], points: Sequence[str]
) -> tuple[FlavourGroup, ...]:
    """Open the file that options name, and find in it what they ask for.

    Args:
        options: The options.
        flavours: Numbers of the flavours of the jets, by name.
        points: Names of their working points; empty without a name.

    Raises:
        ConfigError: The file lacks something that the options name.
        DataError: The file is missing, damaged or foreign.
    """
    faults = [*faults_of_flavours(options, list(flavours)), *faults_of_points(options, points)]
    if faults:
        raise ConfigError("\n".join(faults))
    groups = []
    for name, lookup in _lookups(options).items():
        numbers = {}
        for flavour in getattr(options.flavours, name):
            numbers[flavours[flavour]] = options.numbers.get(flavour, flavours[flavour])
        if not numbers:
            continue
        named = _points_in_file(options, points, lookup)
        wanted = getattr(options.systematics, name)
        groups.append(_group(name, lookup, numbers, named, wanted))
    return tuple(groups)


def _lookups(options: ScaleFactorOptions) -> dict[str, Lookup]:
    """Open the file: where the scale factors of each group are."""
    path = Path(options.file)
    if suffix_of(options.file) in TABLES:
        from truthtag.weights.scale_factor_table import read_scale_factor_table

        table = read_scale_factor_table(path)
        return dict.fromkeys(GROUPS, table)
    from truthtag.weights.correction_file import read_correction_file

    file = read_correction_file(path)
    lookups: dict[str, Lookup] = {}
    for group in GROUPS:
        name = getattr(options, group)
        if name is not None:
            lookups[group] = file.correction(name, f"{PATH}.{group}")
    return lookups


def _points_in_file(
    options: ScaleFactorOptions, points: Sequence[str], lookup: Lookup
) -> tuple[str | None, ...]:
    """Return what the file calls our working points."""
    known = lookup.points
    if not known:
        if len(points) > 1 or options.working_point or options.working_points:
            msg = (
                f"{PATH}.working_points: {lookup.place} has no input for the working point, and so "
                "serves for one only; leave its name out, or name another correction"
            )
            raise ConfigError(msg)
        return (None,)
    if not points:
        if options.working_point is None and len(known) > 1:
            msg = f"{PATH}: key 'working_point' is missing; {lookup.place} has {listed(known)}"
            raise ConfigError(msg)
        return (_known_point(options.working_point or known[0], "working_point", lookup),)
    named: list[str | None] = []
    for point in points:
        stated = options.working_points.get(point)
        if stated is None and len(points) == 1:
            stated = options.working_point
        usual = point if point in known else POINTS.get(point.lower(), point)
        named.append(_known_point(stated or usual, f"working_points.{point}", lookup))
    return tuple(named)


def _known_point(name: str, key: str, lookup: Lookup) -> str:
    """Refuse a working point that the file does not have."""
    known = list(lookup.points)
    if name not in known:
        msg = (
            f"{PATH}.{key}: {name!r} is not a working point of {lookup.place}, which has "
            f"{listed(known)}{did_you_mean(name, known)}"
        )
        raise ConfigError(msg)
    return name


def _group(
    name: str,
    lookup: Lookup,
    numbers: Mapping[int, int],
    points: tuple[str | None, ...],
    wanted: Sequence[str] | None,
) -> FlavourGroup:
    """Find the nominal scale factors and the variations of a group, and check that all are there.

    Args:
        name: Name of the group.
        lookup: Where its scale factors are.
        numbers: Numbers of its flavours in the file, by those in the sample.
        points: Names of the working points in the file.
        wanted: Names of the variations; None for all that the file has.
    """
    offered: dict[str, None] = {}
    for flavour in numbers.values():
        for point in points:
            offered |= dict.fromkeys(lookup.systematics(point, flavour))
    nominal = next((one for one in NOMINAL if one in offered), NOMINAL[0])
    key = f"{PATH}.systematics.{name}"
    for one in wanted or ():
        if one not in offered:
            known = list(offered)
            msg = (
                f"{key}: {one!r} is not in {lookup.place}, which has {listed(known)}"
                f"{did_you_mean(one, known)}"
            )
            raise ConfigError(msg)
    asked = offered if wanted is None else wanted
    systematics = tuple(one for one in asked if one != nominal)
    for systematic in (nominal, *systematics):
        for flavour in numbers.values():
            for point in points:
                _require(Cell(systematic, point, flavour), key, lookup)
    group = FlavourGroup(name, lookup, numbers, points, nominal, systematics)
    if len(group.variations) < len(systematics):
        msg = (
            f"{key}: two of {listed(systematics)} become one name of a column, in which only "
            "letters, digits and _ may stand; name one of the two"
        )
        raise ConfigError(msg)
    return group


def _require(cell: Cell, key: str, lookup: Lookup) -> None:
    """Refuse a cell that the file does not have."""
    absent = lookup.absent(cell)
    if absent is None:
        return
    at = "" if cell.point is None else f" at the working point {cell.point}"
    msg = (
        f"{key}: {lookup.place} has no {absent.what} {absent.value!r} where systematic "
        f"{cell.systematic!r} of flavour {cell.flavour}{at} is asked for; there are "
        f"{listed(absent.known)}. Name another correction, other flavours, or those systematics "
        "that are wanted and that all flavours have"
    )
    raise ConfigError(msg)
