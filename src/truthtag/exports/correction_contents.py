"""What a file of corrections holds for each kind of estimator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from truthtag.arrays import FloatArray
from truthtag.errors import ConfigError
from truthtag.estimators.additive.estimator import AdditiveFit
from truthtag.estimators.additive.likelihood import BEND
from truthtag.estimators.binned import BinnedMap
from truthtag.estimators.nearest_jet import NearestJetMap
from truthtag.estimators.parametric import ParametricFit
from truthtag.estimators.smoothed import SmoothedMap
from truthtag.estimators.table_file import kind_name
from truthtag.exports.correction_json import (
    Node,
    binning,
    category,
    formula,
    multibinning,
    written_edges,
)
from truthtag.exports.correction_options import CorrectionOptions, points_in_file
from truthtag.exports.correction_tables import (
    DELTA_R,
    Table,
    first_of,
    members_of,
    points_of,
    tabulate,
)
from truthtag.exports.product_form import FACTOR, OWN_EFFICIENCY, factor_node, fits_of, own_node
from truthtag.exports.smooth_cells import EXPRESSION, measured_difference, smooth_node
from truthtag.exports.spline_form import (
    FACTOR_OF_PAIR,
    own_expression,
    own_surface,
    pair_curves,
    require_product,
)

__all__ = ["CONTENTS", "Content", "Correction", "content_of"]


@dataclass(frozen=True)
class Correction:
    """One correction, its inputs as we call them.

    Args:
        name: Its name.
        description: What it is.
        data: Its nodes.
        inputs: What it depends on, beside what is chosen by name.
        flavours: The flavours that it knows.
        formulas: The formulas that its nodes refer to.
        flavour_of: Whose flavour is meant.
        further_flavours: Inputs that are the flavours of other jets, and whose each is.
    """

    name: str
    description: str
    data: Node
    inputs: Sequence[str]
    flavours: Sequence[int]
    formulas: Sequence[Mapping[str, Any]] = ()
    flavour_of: str = "the jet"
    further_flavours: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Content:
    """What a file holds.

    Args:
        corrections: Its corrections.
        description: What they are.
        choices: What can be chosen by name: the values of ``systematic`` and ``working_point``,
            where there are such inputs.
        record: What to record beside the provenance.
    """

    corrections: Sequence[Correction]
    description: str
    choices: Mapping[str, Sequence[str]]
    record: Mapping[str, Any]


def content_of(estimator: Any, options: CorrectionOptions) -> Content:
    """Return what the file of an efficiency holds.

    Raises:
        ConfigError: It is of a kind that no correction can hold, or an option does not suit it.
        DataError: Members of an ensemble are not alike.
    """
    kind = type(first_of(estimator))
    if kind not in CONTENTS:
        raise ConfigError(_why_not(kind))
    return CONTENTS[kind](estimator, options)


def _why_not(kind: type) -> str:
    """Say why a kind is no correction, and what else there is."""
    if kind.__module__.startswith("truthtag.estimators.network"):
        return (
            "a network sees all jets of an event, a correction one jet. Export it as ONNX, with "
            "truthtag.exports.onnx_file.export_onnx"
        )
    known = ", ".join(one.__name__ for one in CONTENTS)
    return (
        f"{kind.__name__} cannot be written as a correction; {known} can. Evaluate it with "
        "truthtag.load, and hand on its weights"
    )


def _of_map(estimator: Any, options: CorrectionOptions) -> Content:
    """Return the content of a map in bins, or in bins and with a factor for the nearest jet."""
    table = tabulate(estimator)
    text = "Probability that the tagger accepts a jet, in bins."
    if DELTA_R in table.grid.axes:
        text += (
            " Delta R, in eta and phi, to the nearest other selected jet of the event is computed "
            "by the caller; infinity, or anything beyond the last edge, means no near jet."
        )
    return _of_table(table, options, text, _bins_node)


def _of_smoothed(estimator: Any, options: CorrectionOptions) -> Content:
    """Return the content of a smoothed map: a formula between its bin centres."""
    table = tabulate(estimator)
    found = measured_difference(estimator, table.central, _axes(table))
    if found.largest > options.max_error:
        msg = (
            f"the formula differs from the efficiency by up to {found.largest:.2g}, more than "
            f"max_error, {options.max_error:g}: efficiencies of working points cross, as negative "
            "weights make them. Fit with weights: absolute, or in wider bins; or raise max_error."
        )
        raise ConfigError(msg)
    text = (
        "Probability that the tagger accepts a jet, linear in pT and eta between bin centres, as "
        f"the map is. Difference from the map, measured for {found.jets} jets in all cells: "
        f"{found.describe()}."
    )
    variables = list(table.grid.axes)[:2]
    formulas = [formula(EXPRESSION, variables)]
    content = _of_table(table, options, text, _cells_node, formulas)
    return replace(content, record={**content.record, "difference": found.describe()})


def _of_table(
    table: Table,
    options: CorrectionOptions,
    text: str,
    leaf: Callable[[FloatArray, Table], Node],
    formulas: Sequence[Mapping[str, Any]] = (),
) -> Content:
    """Return the content of one table.

    Args:
        table: The table.
        options: Names, and what is written.
        text: What it is.
        leaf: Makes the node of one flavour and working point.
        formulas: What its nodes refer to.
    """
    grid = table.grid
    points = points_in_file(grid.points, options)
    arrays = _variations(table, options)
    nodes = {}
    for name, values in arrays.items():
        by_point = []
        for at_point in values:
            leaves = [leaf(of_flavour, table) for of_flavour in at_point]
            by_point.append(category("flavour", dict(zip(grid.flavours, leaves, strict=True))))
        nodes[name] = _by_point(by_point, points)
    beyond = "in the nearest bin" if grid.outside == "clamp" else "refused"
    text = f"{text}{_about_ends(table, options)} Jets outside the axes are {beyond}."
    if grid.outside == "clamp":
        text += " Numbers must be finite: NaN is not noticed."
    correction = Correction(
        options.name,
        text,
        _by_variation(nodes, options),
        list(grid.axes),
        grid.flavours,
        formulas,
    )
    record = {
        "kind": kind_name(grid.kind),
        "axes": {name: [_plain(edge) for edge in axis] for name, axis in grid.axes.items()},
        "outside": grid.outside,
        "spread": table.spread,
    }
    return Content([correction], text, _choices(nodes, points, options), record)


def _about_ends(table: Table, options: CorrectionOptions) -> str:
    _, up, down = options.systematics
    if not options.variations:
        return ""
    if not table.spread:
        return f" There is nothing to tell {up} and {down} from: no replicas."
    return f" {up} and {down} are {table.spread}."


def _of_parametric(estimator: Any, options: CorrectionOptions) -> Content:
    """Return the content of a parametric fit: two corrections, whose product it is."""
    fits = fits_of(estimator, options.systematics[0])
    nominal = fits[options.systematics[0]]
    if not options.variations:
        fits = {options.systematics[0]: nominal}
    points = points_in_file(points_of(nominal), options)
    first = members_of(nominal)[0]
    own = {}
    factor = {}
    for name, fit in fits.items():
        own[name] = _by_point([own_node(one) for one in members_of(fit)], points)
        factor[name] = _by_point([factor_node(one) for one in members_of(fit)], points)
    own_name = f"{options.name}_own"
    factor_name = f"{options.name}_neighbour"
    of_own = Correction(
        own_name,
        f"What the efficiency would be if the jet were alone; to be multiplied by {factor_name}.",
        _by_variation(own, options),
        ["pt", "eta"],
        [one for one in first.flavours if one not in first.unlearned],
        [formula(OWN_EFFICIENCY, ["pt", "eta"])],
    )
    of_factor = Correction(
        factor_name,
        f"Factor of one other jet, by which {own_name} is to be multiplied.",
        _by_variation(factor, options),
        [DELTA_R],
        first.flavours,
        [formula(FACTOR, [DELTA_R])],
        "the other jet",
    )
    text = (
        f"Probability that the tagger accepts a jet: {own_name} of the jet, times {factor_name} of "
        "each other selected jet of the event, by the flavour of that jet and Delta R to it."
    )
    if len(points) > 1:
        text += " At a tighter working point it is at most that at a looser one: take the smaller."
    if len(fits) > 1:
        text += f" Its error is the standard deviation of {len(fits) - 1} replicas."
    record = {"kind": kind_name(type(first))}
    return Content([of_own, of_factor], text, _choices(own, points, options), record)


def _of_additive(estimator: Any, options: CorrectionOptions) -> Content:
    """Return the content of an additive model: two corrections, whose product it is."""
    fits = fits_of(estimator, options.systematics[0])
    nominal = fits[options.systematics[0]]
    if not options.variations:
        fits = {options.systematics[0]: nominal}
    points = points_in_file(points_of(nominal), options)
    first = members_of(nominal)[0]
    require_product(first)
    own = {}
    factor = {}
    for name, fit in fits.items():
        own[name] = _by_point([own_surface(one) for one in members_of(fit)], points)
        factor[name] = _by_point([pair_curves(one) for one in members_of(fit)], points)
    own_name = f"{options.name}_own"
    factor_name = f"{options.name}_neighbour"
    learned = first.structure.flavours
    of_own = Correction(
        own_name,
        f"What the efficiency would be if the jet were alone; to be multiplied by {factor_name}.",
        _by_variation(own, options),
        ["pt", "eta"],
        learned,
        [formula(own_expression(first), ["pt", "eta"])],
    )
    of_factor = Correction(
        factor_name,
        f"Factor of one other jet, by which {own_name} is to be multiplied.",
        _by_variation(factor, options),
        [DELTA_R],
        learned,
        [formula(FACTOR_OF_PAIR, [DELTA_R])],
        further_flavours={"neighbour_flavour": "the other jet"},
    )
    text = (
        f"Probability that the tagger accepts a jet: {own_name} of the jet, times {factor_name} of "
        "each other selected jet of the event, by the flavours of both and Delta R between them. "
        f"A product p above {BEND:g} stands for 1 - {1 - BEND:.2g} (p / {BEND:g})^"
        f"{-BEND / (1 - BEND):.3g}, below 1. The formulas are the model itself, polynomials "
        "between its knots; beyond them it is constant."
    )
    if len(points) > 1:
        text += " At a tighter working point it is at most that at a looser one: take the smaller."
    if len(fits) > 1:
        text += f" Its error is the standard deviation of {len(fits) - 1} replicas."
    record = {"kind": kind_name(type(first))}
    return Content([of_own, of_factor], text, _choices(own, points, options), record)


CONTENTS: Mapping[type, Callable[[Any, CorrectionOptions], Content]] = {
    BinnedMap: _of_map,
    NearestJetMap: _of_map,
    SmoothedMap: _of_smoothed,
    ParametricFit: _of_parametric,
    AdditiveFit: _of_additive,
}
"""What the file of each kind of estimator holds."""


# ---- nodes


def _variations(table: Table, options: CorrectionOptions) -> dict[str, FloatArray]:
    """Return efficiencies and their ends by the names that these have in the file."""
    central, up, down = options.systematics
    arrays = {central: table.central}
    if options.variations and table.up is not None and table.down is not None:
        arrays |= {up: table.up, down: table.down}
    return arrays


def _by_variation(nodes: Mapping[str, Node], options: CorrectionOptions) -> Node:
    return category("systematic", nodes) if options.variations else next(iter(nodes.values()))


def _by_point(nodes: Sequence[Node], points: Sequence[str]) -> Node:
    return category("working_point", dict(zip(points, nodes, strict=True))) if points else nodes[0]


def _choices(
    nodes: Mapping[str, Node], points: Sequence[str], options: CorrectionOptions
) -> dict[str, Sequence[str]]:
    choices: dict[str, Sequence[str]] = {}
    if options.variations:
        choices["systematic"] = list(nodes)
    if points:
        choices["working_point"] = points
    return choices


def _axes(table: Table) -> dict[str, FloatArray]:
    return {name: np.array(axis) for name, axis in table.grid.axes.items()}


def _bins_node(values: FloatArray, table: Table) -> Node:
    """Return the node of one flavour and working point, of shape (n_delta_r,) n_pt, n_eta, ..."""
    axes = _axes(table)
    delta_r = axes.pop(DELTA_R, None)
    flow = table.grid.outside
    written = {name: written_edges(axis, name) for name, axis in axes.items()}
    if delta_r is None:
        return multibinning(written, values.ravel().tolist(), flow)
    # Every Delta R has a bin, infinity too, also where jets outside the other axes are refused.
    edges = [*written_edges(delta_r[:-1], DELTA_R, single=False), "inf"]
    content = [multibinning(written, one.ravel().tolist(), flow) for one in values]
    return binning(DELTA_R, edges, content, "clamp")


def _cells_node(values: FloatArray, table: Table) -> Node:
    return smooth_node(values, _axes(table), table.grid.outside)


def _plain(edge: float) -> float | str:
    return edge if np.isfinite(edge) else "inf"
