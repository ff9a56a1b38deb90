"""Weights of events whose jets vary, by the energy scale say: neighbours and order included."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from truthtag.arrays import FloatArray
from truthtag.data.awkward_arrays import AwkwardJets, from_awkward
from truthtag.data.jets import Jets
from truthtag.data.labels import Labels
from truthtag.data.ragged import awkward_package, candidates, field_names, field_values
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.knowledge import labels_of
from truthtag.estimators.predictions import Prediction
from truthtag.estimators.protocol import Efficiency
from truthtag.registry import did_you_mean
from truthtag.weights.events import weights_table
from truthtag.weights.sample_weights import Selection, sample_weights
from truthtag.weights.scale_factors import ScaleFactors
from truthtag.weights.tag_counts import is_leading

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NOMINAL", "Reading", "varied_jets", "varied_weights"]

NOMINAL = "nominal"
"""Name of what is not varied."""


class Reading(TypedDict, total=False):
    """Further arguments of :func:`~truthtag.data.awkward_arrays.from_awkward`."""

    weight: Any
    event_number: Any
    labels: Labels | None
    unit: Literal["GeV", "MeV"]
    check_unit: bool


def varied_jets(
    array: Any,
    variations: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    columns: Mapping[str, Any] | None = None,
    select: Callable[[Any], Any] | None = None,
    **reading: Unpack[Reading],
) -> Iterator[tuple[str, AwkwardJets]]:
    """Go through jets as they are, and as each variation has them.

    Every time the jets are selected and sorted anew: a jet that a variation brings above a
    threshold is there, and a neighbour of the others; events are always the same.

    Args:
        array: The jets, as in :func:`~truthtag.data.awkward_arrays.from_awkward`.
        variations: What each variation changes: by its name, columns by theirs, nested as the
            jets. All else stays.
        columns: Where columns come from, as in
            :func:`~truthtag.data.awkward_arrays.from_awkward`.
        select: Says which jets count, given the array with the columns of a variation in place of
            its own: ``lambda jets: (jets.pt > 20) & (abs(jets.eta) < 2.5)``. All by default.
        reading: ``weight``, ``event_number``, ``labels``, ``unit``, ``check_unit``, as there.

    Yields:
        ``nominal`` and the jets, then the name and the jets of each variation.

    Raises:
        ConfigError: A variation is called ``nominal``, or changes nothing or what jets do not have.
        DataError: As in :func:`~truthtag.data.awkward_arrays.from_awkward`.
    """
    usual = columns or {}
    changes: dict[str, Mapping[str, Any]] = {NOMINAL: {}}
    changes |= _checked(variations or {}, usual)
    for name, changed in changes.items():
        mask = None if select is None else select(_with_fields(array, changed, usual))
        yield name, from_awkward(array, columns={**usual, **changed}, mask=mask, **reading)


def varied_weights(
    model: Efficiency,
    array: Any,
    variations: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    tags: int,
    columns: Mapping[str, Any] | None = None,
    select: Callable[[Any], Any] | None = None,
    leading: int | None = None,
    keep_tags_of: Sequence[int] = (),
    scale_factors: ScaleFactors | None = None,
    **reading: Unpack[Reading],
) -> dict[str, pd.DataFrame]:
    """Weight events by an efficiency, as they are and as each variation has them.

    Args:
        model: The efficiency. Of events that a cross-fitted one has learned from,
            ``model.held_out``, with their ``event_number``.
        array: The jets, as in :func:`varied_jets`.
        variations: What each variation changes, as in :func:`varied_jets`.
        tags: Largest number of tags.
        columns: Where columns come from, as in
            :func:`~truthtag.data.awkward_arrays.from_awkward`.
        select: Says which jets count, as in :func:`varied_jets`.
        leading: Only this many jets of each event count, the hardest; all by default.
        keep_tags_of: Hybrid tagging: hadron flavours whose jets keep their tags, of which `columns`
            then names ``is_tagged`` or ``tag_bin``.
        scale_factors: Scale factors, evaluated for the jets of each variation.
        reading: ``weight``, ``event_number``, ``labels``, ``unit``, ``check_unit``, as there. By
            default the names of the working points are those of the model.

    Returns:
        A table for ``nominal`` and for each variation, by its name. Every table has a row per event
        of the array, in its order, also where no jet counts: ``event``, its place; ``weight``;
        ``p_tag_0`` to ``p_tag_<tags>`` and ``p_tag_ge_1`` to ``p_tag_ge_<tags>``, as the workflow's
        files have them, with several working points each with the name of one behind it. With
        scale factors also their columns: ``p_tag_ge_2_sf``, ``p_tag_ge_2_sf_heavy_up`` and so on,
        and ``weight_direct`` where ``columns`` names tags.

    Raises:
        ConfigError: As in :func:`varied_jets`.
        DataError: As in :func:`~truthtag.data.awkward_arrays.from_awkward`, or an efficiency is no
            probability.

    Example:
        >>> import awkward as ak
        >>> from truthtag.weights.varied import varied_weights
        >>> class Linear:
        ...     def efficiency(self, jets):
        ...         return jets.pt / 100
        >>> zeros = dict.fromkeys(("eta", "phi", "mass", "flavour"), [[0, 0], []])
        >>> jets = ak.zip({"pt": [[15.0, 40.0], []], **zeros})
        >>> up = {"jes_up": {"pt": jets.pt * 1.5}}
        >>> found = varied_weights(Linear(), jets, up, tags=2, select=lambda jets: jets.pt > 20)
        >>> found["nominal"]["p_tag_ge_1"].tolist(), found["jes_up"]["p_tag_ge_1"].round(3).tolist()
        ([0.4, 0.0], [0.69, 0.0])
    """
    names = labels_of(model).points
    labels = reading.get("labels") or Labels()
    if len(names) > 1 and not labels.points:
        reading["labels"] = replace(labels, points=names)
    found = {}
    for name, varied in varied_jets(array, variations, columns=columns, select=select, **reading):
        jets = varied.jets
        efficiency = _for_jets(jets, model.efficiency(jets), names)
        chosen = None if leading is None else is_leading(jets, leading)
        selection = Selection(tags, chosen, keep_tags_of)
        weights = sample_weights(jets, efficiency, selection, scale_factors)
        found[name], _ = weights_table(jets, weights.counts, factors=weights.factors)
    return found


# ---- variations of jets


def _checked(
    variations: Mapping[str, Mapping[str, Any]], columns: Mapping[str, Any]
) -> dict[str, Mapping[str, Any]]:
    """Return variations, each of which has a name of its own and changes something."""
    allowed = ["pt", "eta", "phi", "mass", *columns]
    for name, changed in variations.items():
        if name == NOMINAL:
            msg = f"variations: {name!r} is the name of the jets as they are; choose another"
            raise ConfigError(msg)
        if not changed:
            msg = f"variations: {name!r} changes no column; name one, pt say"
            raise ConfigError(msg)
        for column in changed:
            if column not in allowed:
                msg = (
                    f"variations: {name!r} changes {column!r}, which is no column that can vary. "
                    f"Allowed: {', '.join(dict.fromkeys(allowed))}{did_you_mean(column, allowed)}"
                )
                raise ConfigError(msg)
    return dict(variations)


def _with_fields(array: Any, changed: Mapping[str, Any], columns: Mapping[str, Any]) -> Any:
    """Return an array whose fields are those of a variation."""
    fields = field_names(array)
    for column, stated in changed.items():
        name = _field_of(column, fields, columns)
        values = field_values(array, stated, column) if isinstance(stated, str) else stated
        if isinstance(array, Mapping):
            array = {**array, name: values}
            continue
        try:
            array = awkward_package().with_field(array, values, name)
        except ValueError as error:
            msg = (
                f"variations: values of {column!r} are nested otherwise than the jets. Give one "
                "for each jet, before any selection"
            )
            raise DataError(msg) from error
    return array


def _field_of(column: str, fields: list[str], columns: Mapping[str, Any]) -> str:
    """Return the field that holds a column; its own name where none does."""
    stated = columns.get(column)
    if isinstance(stated, str):
        return stated
    return next((name for name in candidates(column) if name in fields), column)


def _for_jets(jets: Jets, values: FloatArray, names: tuple[str, ...]) -> FloatArray:
    """Return efficiencies at the working points of jets, shape (n_jets,) or (n_jets, n_points).

    Raises:
        DataError: There is not one for each, or the efficiency does not know a point.
    """
    prediction = Prediction(jets.per_jet("event"), values, points=names or jets.labels.points)
    return prediction.at_points_of(jets)
