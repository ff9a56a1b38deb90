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

    def written(fit: ParametricFit) -> _Product:
        return _Product(
            own=own_node,
            own_flavours=[one for one in fit.flavours if one not in fit.unlearned],
            own_expression=OWN_EFFICIENCY,
            factor=factor_node,
            factor_flavours=fit.flavours,
            factor_expression=FACTOR,
            flavour_of="the other jet",
            further_flavours={},
            by="the flavour of that jet and Delta R to it.",
        )

    return _of_product(estimator, options, written)


def _of_additive(estimator: Any, options: CorrectionOptions) -> Content:
    """Return the content of an additive model: two corrections, whose product it is."""

    def written(fit: AdditiveFit) -> _Product:
        require_product(fit)
        return _Product(
            own=own_surface,
            own_flavours=fit.structure.flavours,
            own_expression=own_expression(fit),
            factor=pair_curves,
            factor_flavours=fit.structure.flavours,
            factor_expression=FACTOR_OF_PAIR,
            flavour_of="the jet",
            further_flavours={"neighbour_flavour": "the other jet"},
            by=(
                "the flavours of both and Delta R between them. "
                f"A product p above {BEND:g} stands for 1 - {1 - BEND:.2g} (p / {BEND:g})^"
                f"{-BEND / (1 - BEND):.3g}, below 1. The formulas are the model itself, "
                "polynomials between its knots; beyond them it is constant."
            ),
        )

    return _of_product(estimator, options, written)


@dataclass(frozen=True)
class _Product:
    """How a fit is written as a jet's own efficiency, and a factor of each other jet.

    Args:
        own: Makes the node of the own efficiency of a fit.
        own_flavours: Flavours of the jets that have one.
        own_expression: Its formula, of pT and eta.
        factor: Makes the node of the factor of a fit.
        factor_flavours: Flavours of the jets that have one.
        factor_expression: Its formula, of Delta R.
        flavour_of: Whose flavour the factor takes first.
        further_flavours: Its further flavours, and whose each is.
        by: What the factor depends on, and what else is to know.
    """

    own: Callable[[Any], Node]
    own_flavours: Sequence[int]
    own_expression: str
    factor: Callable[[Any], Node]
    factor_flavours: Sequence[int]
    factor_expression: str
    flavour_of: str
    further_flavours: Mapping[str, str]
    by: str


def _of_product(
    estimator: Any, options: CorrectionOptions, written: Callable[[Any], _Product]
) -> Content:
    """Return the content of a fit that is a product.

    Args:
        estimator: The fit, or an ensemble with a nominal one.
        options: Names, and what is written.
        written: Says how a fit is written.
    """
    central = options.systematics[0]
    fits = fits_of(estimator, central)
    nominal = fits[central]
    if not options.variations:
        fits = {central: nominal}
    points = points_in_file(points_of(nominal), options)
    first = members_of(nominal)[0]
    product = written(first)
    own = {}
    factor = {}
    for name, fit in fits.items():
        own[name] = _by_point([product.own(one) for one in members_of(fit)], points)
        factor[name] = _by_point([product.factor(one) for one in members_of(fit)], points)
    own_name = f"{options.name}_own"
    factor_name = f"{options.name}_neighbour"
    of_own = Correction(
        own_name,
        f"What the efficiency would be if the jet were alone; to be multiplied by {factor_name}.",
        _by_variation(own, options),
        ["pt", "eta"],
        product.own_flavours,
        [formula(product.own_expression, ["pt", "eta"])],
    )
    of_factor = Correction(
        factor_name,
        f"Factor of one other jet, by which {own_name} is to be multiplied.",
        _by_variation(factor, options),
        [DELTA_R],
        product.factor_flavours,
        [formula(product.factor_expression, [DELTA_R])],
        product.flavour_of,
        product.further_flavours,
    )
    text = (
        f"Probability that the tagger accepts a jet: {own_name} of the jet, times {factor_name} of "
        f"each other selected jet of the event, by {product.by}"
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
