"""Jets of awkward arrays, as an analysis has them, and values for each of them on their way back.

Jets after a user's corrections are in any order, and some of them do not count. In :class:`Jets
<truthtag.data.jets.Jets>` the jets of an event fall in transverse momentum, and all of them count.
What is computed there returns in the order and nesting of the user's array.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from truthtag.arrays import AnyArray, FloatArray, IntArray, plain_array
from truthtag.data.columns import SCHEMA
from truthtag.data.jets import Jets
from truthtag.data.labels import Labels
from truthtag.data.ragged import (
    Ragged,
    awkward_package,
    candidates,
    field_names,
    field_values,
    ragged,
    refuse_jet,
)
from truthtag.data.readers.raw_events import LEAST_GEV, MEV_PER_GEV, MOST_GEV
from truthtag.data.readers.selection import order_by_falling_pt
from truthtag.data.validation import LIMITS
from truthtag.errors import ConfigError, DataError

__all__ = ["AwkwardJets", "from_awkward", "to_awkward"]

KINEMATICS = ("pt", "eta", "phi", "mass")

OF_JETS = (*KINEMATICS, "flavour", "score", "is_tagged", "tag_bin", "efficiency_true")
"""Columns of :data:`~truthtag.data.columns.SCHEMA` that an array may give; others are further."""

NEEDED = (*KINEMATICS, "flavour")


@dataclass(frozen=True, eq=False)
class AwkwardJets:
    """Jets that came from an awkward array, and their way back.

    Args:
        jets: The jets that count, those of each event by falling transverse momentum. Their events
            are those of the array, in its order, numbered from 0, also where no jet counts;
            ``position`` is the place of a jet in its event of the array.
        counts: Number of jets of each event of the array, shape (n_events,).
        rows: Place of each jet among all jets of the array, shape (n_jets,).
        is_partial: Whether jets of the array may be missing here: it was given with a mask, or its
            jets can be None.
    """

    jets: Jets = field(repr=False)
    counts: IntArray = field(repr=False)
    rows: IntArray = field(repr=False)
    is_partial: bool = False

    def flat(self, array: Any, name: str = "the array") -> AnyArray:
        """Bring values of the array's jets, scale factors say, to the jets that count.

        It is the way back from :func:`to_awkward`.

        Args:
            array: A value for each jet of the array, nested as it is.
            name: What the error messages call it.

        Returns:
            Shape (n_jets,).

        Raises:
            DataError: It is nested otherwise, or a value of a jet that counts is missing.
        """
        return ragged(array, name).of_jets(self.counts).taken(self.rows)


def from_awkward(
    array: Any,
    *,
    columns: Mapping[str, Any] | None = None,
    mask: Any = None,
    weight: Any = None,
    event_number: Any = None,
    labels: Labels | None = None,
    unit: Literal["GeV", "MeV"] = "GeV",
    check_unit: bool = True,
) -> AwkwardJets:
    r"""Make jets of an awkward array: ``events.Jet`` of NanoAOD, after corrections, in any order.

    Args:
        array: A list of records in each event, with the fields ``pt``, ``eta``, ``phi`` in
            :math:`[-\pi, \pi)` [rad], ``mass`` and ``flavour``, or as NanoAOD and PHYSLITE call
            them (``hadronFlavour``; ``m``, ``HadronConeExclTruthLabelID``). Or a mapping of such
            names to lists of numbers. Events may have no jets.
        columns: Where columns of the jets come from that have another name or are none of these: by
            our name, the name of a field, or values nested as the array. ``score``, ``is_tagged``,
            ``tag_bin`` and ``efficiency_true`` are known; all others are further inputs, of which
            an event may have one value for all its jets.
        mask: Which jets count, truth values nested as the array; all by default. The others have
            no efficiency, and are no neighbours of those that count: give the selection that the
            efficiency was learned with.
        weight: Weights of the events, shape (n_events,); 1 by default.
        event_number: The experiment's numbers of the events, shape (n_events,): what was
            cross-fitted needs them for events of its training sample.
        labels: What flavours, tags and categories mean; name the working points here, where the
            efficiency has several.
        unit: Unit of momenta and masses in the array; in the jets it is GeV.
        check_unit: Whether to refuse a median transverse momentum above 1000 GeV or below 1 GeV
            (where MeV is said), which another unit would explain.

    Returns:
        The jets, and their way back. A jet that is None in the array does not count.

    Raises:
        ConfigError: The package awkward is not installed, or there is no such unit.
        DataError: A field is missing, values are nested otherwise, missing, not finite or not
            allowed; the message names event and jet by their places in the array.

    Example:
        >>> import awkward as ak
        >>> from truthtag.data.awkward_arrays import from_awkward
        >>> events = ak.Array([[{"pt": 30.0, "eta": 0.1}, {"pt": 50.0, "eta": 0.2}], []])
        >>> more = dict.fromkeys(("phi", "mass"), ak.zeros_like(events.eta))
        >>> found = from_awkward(events, columns={**more, "flavour": ak.Array([[5, 0], []])})
        >>> found.jets.pt.tolist(), found.jets.multiplicity.tolist()
        ([50.0, 30.0], [2, 0])
        >>> to_awkward(found.jets.flavour, found).tolist()
        [[5, 0], []]
    """
    if unit not in ("GeV", "MeV"):
        msg = f"unit is {unit!r}; allowed are GeV, MeV"
        raise ConfigError(msg)
    found, counts = _flat_columns(array, columns or {})
    kept = _that_count(found, mask, counts)
    values = {name: column.taken(kept) for name, column in found.items()}
    if unit == "MeV":
        for name in ("pt", "mass"):
            values[name] = _in_gev(values[name])
    for name, column in found.items():
        _require_possible(name, values[name], column.what, kept, counts)
    if check_unit and len(kept):
        _require_unit(values["pt"], unit, found["pt"].what)
    jets, rows = _sorted(values, kept, counts, weight, event_number, labels)
    can_be_none = any(found[name].is_option for name in NEEDED)
    return AwkwardJets(jets, counts, rows, mask is not None or can_be_none)


def to_awkward(values: Any, like: AwkwardJets, points: Sequence[str] | None = None) -> Any:
    """Return values of jets as an awkward array, in the order and nesting of the user's.

    Args:
        values: Of the jets ``like.jets``: efficiencies, say, shape (n_jets,), or (n_jets, n) with
            a value for each working point, replica or the like.
        like: What :func:`from_awkward` made of the array.
        points: Names for the last axis: each becomes the field of a record. Without names it stays
            an axis.

    Returns:
        A value, a list of n values, or a record for each jet of the array; None for a jet that did
        not count. The type says so (``?float64``) wherever the array came with a mask or could have
        jets that are None, also where all of them count.

    Raises:
        ConfigError: The package awkward is not installed.
        DataError: The values are not those of the jets, or there is not a name for each.

    Example:
        >>> import numpy as np
        >>> from truthtag.data.awkward_arrays import from_awkward, to_awkward
        >>> array = {"pt": [[30.0, 50.0, 10.0], []], "flavour": [[5, 4, 0], []]}
        >>> array |= dict.fromkeys(("eta", "phi", "mass"), [[0.0, 0.0, 0.0], []])
        >>> like = from_awkward(array, mask=[[True, True, False], []])
        >>> to_awkward(np.array([0.7, 0.2]), like).tolist()
        [[0.2, 0.7, None], []]
        >>> both = np.array([[0.7, 0.5], [0.2, 0.1]])
        >>> to_awkward(both, like, points=("loose", "tight")).tight.tolist()
        [[0.1, 0.5, None], []]
    """
    ak = awkward_package()
    given = plain_array(values, "the values")
    if given.ndim not in (1, 2) or len(given) != like.jets.n_jets:
        msg = (
            f"the values have shape {given.shape}; one for each of the {like.jets.n_jets} jets is "
            f"wanted, or several: ({like.jets.n_jets},) or ({like.jets.n_jets}, n)"
        )
        raise DataError(msg)
    content = ak.from_numpy(given, regulararray=True)
    if points is not None:
        content = _records(given, points)
    place = np.full(int(like.counts.sum()), -1)
    place[like.rows] = np.arange(len(like.rows))
    index = ak.index.Index64(place)
    layout = ak.to_layout(content)
    kind = ak.contents.IndexedOptionArray if like.is_partial else ak.contents.IndexedArray
    flat = ak.Array(kind.simplified(index, layout))
    return ak.unflatten(flat, like.counts)


# ---- where columns come from


@dataclass(frozen=True)
class _Source:
    """The values of a column.

    Args:
        values: An array, or what can be made one.
        what: What the error messages call it.
    """

    values: Any
    what: str


def _sources(array: Any, columns: Mapping[str, Any]) -> dict[str, _Source]:
    """Return where each column comes from."""
    for name in columns:
        if name in SCHEMA and name not in OF_JETS:
            msg = (
                f"columns: {name!r} is no column of the jets that an array gives; weights and "
                "numbers of events are arguments of their own"
            )
            raise DataError(msg)
    names = field_names(array)
    found = {}
    for name in (*NEEDED, *(one for one in columns if one not in NEEDED)):
        stated = columns.get(name)
        if stated is None:
            stated = _first_of(candidates(name), names, name)
        if isinstance(stated, str):
            found[name] = _Source(field_values(array, stated, name), _described(name, stated))
        else:
            found[name] = _Source(stated, name)
    return found


def _described(name: str, stated: str) -> str:
    return name if name == stated else f"{name} ({stated})"


def _first_of(wanted: Iterable[str], names: Sequence[str], column: str) -> str:
    """Return the first name that is a field."""
    listed = list(wanted)
    for one in listed:
        if one in names:
            return one
    msg = (
        f"the jets have no field for the column {column!r}, which is looked for as "
        f"{', '.join(listed)}. They have: {', '.join(names) or 'none'}. Say which it is: "
        f"columns={{{column!r}: NAME}}"
    )
    raise DataError(msg)


def _flat_columns(array: Any, columns: Mapping[str, Any]) -> tuple[dict[str, Ragged], IntArray]:
    """Return all columns with a value for each jet, and the number of jets of each event."""
    sources = _sources(array, columns)
    pt = ragged(sources["pt"].values, sources["pt"].what)
    if pt.counts is None:
        msg = (
            f"{pt.what} has one value per event; a list with one for each jet is wanted, that of "
            "events.Jet say"
        )
        raise DataError(msg)
    found = {"pt": pt}
    for name, source in sources.items():
        if name == "pt":
            continue
        column = ragged(source.values, source.what)
        if column.counts is None and name in SCHEMA:
            msg = f"{column.what} has one value per event; it must have one for each jet"
            raise DataError(msg)
        found[name] = column.of_jets(pt.counts)
    return found, pt.counts


# ---- which jets count, and what they may be


def _that_count(found: Mapping[str, Ragged], mask: Any, counts: IntArray) -> IntArray:
    """Return the places of the jets that count among all: those in the mask that are not None."""
    is_none = np.logical_and.reduce([found[name].missing for name in NEEDED])
    if mask is None:
        return np.flatnonzero(~is_none)
    column = ragged(mask, "mask").of_jets(counts)
    if column.values.dtype.kind != "b" and len(column.values):
        msg = f"mask holds {column.values.dtype} values; True or False for each jet is wanted"
        raise DataError(msg)
    # A comparison with what is missing is missing: such a jet does not count.
    return np.flatnonzero(column.values.astype(bool) & ~column.missing & ~is_none)


def _in_gev(values: AnyArray) -> FloatArray:
    """Return momenta in GeV, in their own precision."""
    exact: FloatArray = values if values.dtype.kind == "f" else values.astype(np.float64)
    return exact / exact.dtype.type(MEV_PER_GEV)


def _require_possible(
    name: str, values: AnyArray, what: str, rows: IntArray, counts: IntArray
) -> None:
    """Refuse values of a column that are not finite or not possible, by their places."""
    # A jet that was not scored has no score.
    if name == "score":
        return
    bad = ~np.isfinite(values)
    rule = "every value must be finite"
    limit = LIMITS.get(name)
    if limit is not None and not bad.any():
        bad = ~((values >= limit.low) & (values <= limit.high))
        rule = limit.rule
    if bad.any():
        refuse_jet(f"{what} is {values[bad][0]}", bad, rows, counts, rule)


def _require_unit(pt: FloatArray, unit: str, what: str) -> None:
    """Refuse momenta that are in another unit, by their median."""
    median = float(np.median(pt))
    too_much = unit == "GeV" and median > MOST_GEV
    if too_much or (unit == "MeV" and median < LEAST_GEV):
        other = "MeV" if too_much else "GeV"
        msg = (
            f"the median of {what} is {median:.3g} GeV, if it is in {unit}; is it in {other}? Then "
            f"state unit={other!r}; if not, check_unit=False"
        )
        raise DataError(msg)


# ---- jets


def _sorted(
    values: Mapping[str, AnyArray],
    kept: IntArray,
    counts: IntArray,
    weight: Any,
    event_number: Any,
    labels: Labels | None,
) -> tuple[Jets, IntArray]:
    """Return the jets that count by falling transverse momentum, and their places in the array."""
    begins = np.cumsum(counts) - counts
    event_of_row = np.repeat(np.arange(len(counts)), counts)
    of_event = np.bincount(event_of_row[kept], minlength=len(counts))
    order = order_by_falling_pt(values["pt"], of_event)
    rows = kept[order]
    columns = {name: value[order] for name, value in values.items() if name in SCHEMA}
    further = {name: value[order] for name, value in values.items() if name not in SCHEMA}
    numbers = None
    if event_number is not None:
        numbers = ragged(event_number, "event_number").of_events(len(counts))
        # Numbers beyond int64 keep their bits, as in files.
        numbers = numbers.astype(np.int64) if numbers.dtype.kind == "u" else numbers
    weights = np.ones(len(counts))
    if weight is not None:
        weights = ragged(weight, "weight").of_events(len(counts)).astype(np.float64)
    jets = Jets(
        event=np.arange(len(counts)),
        offsets=np.r_[0, np.cumsum(of_event)],
        weight=weights,
        event_number=numbers,
        position=rows - begins[event_of_row[rows]],
        further=further,
        labels=labels or Labels(),
        **columns,
    )
    return jets, rows


def _records(values: AnyArray, points: Sequence[str]) -> Any:
    """Return a record for each jet, with a field for each name."""
    n_points = values.shape[1] if values.ndim == 2 else 1
    if len(points) != n_points or len(set(points)) < len(points):
        msg = (
            f"the values are {n_points} for each jet, and the names {list(points)}; name each of "
            "them once"
        )
        raise DataError(msg)
    by_name = dict(zip(points, values.reshape(len(values), n_points).T, strict=True))
    return awkward_package().zip(by_name)
