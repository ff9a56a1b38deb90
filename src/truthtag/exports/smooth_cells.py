"""A smoothed map as a formula in each cell between its bin centres, which is what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from truthtag.arrays import AnyArray, FloatArray
from truthtag.data.columns import SCHEMA
from truthtag.data.jets import Jets
from truthtag.data.validation import LIMITS
from truthtag.estimators.bins import Bins
from truthtag.estimators.smoothed import SmoothedMap
from truthtag.exports.correction_json import Node, formula_ref, multibinning, written_edges
from truthtag.exports.correction_tables import first_of

__all__ = ["EXPRESSION", "Difference", "cells", "measured_difference", "smooth_node"]

EXPRESSION = "min(1,max(0,[0]+[1]*(x-[4])+[2]*(y-[5])+[3]*(x-[4])*(y-[5])))"
"""The formula of a cell: x is pT, y is eta; rounding alone could leave [0, 1]."""

INSIDE = 1e-5
"""How far inside the limits of a column jets are put, relative to these."""

ROUNDING = 1e-12
"""Smaller differences are rounding."""

PROBES = (0.25, 0.75)
"""Where the formula is compared, in units of a cell, on either axis."""


@dataclass(frozen=True)
class Difference:
    """How far the formula is from the estimator, over jets in all cells.

    Args:
        largest: Largest absolute difference.
        mean: Mean absolute difference.
        largest_relative: Largest difference over the efficiency, where that is not 0.
        mean_relative: Its mean.
        jets: Number of jets.
    """

    largest: float
    mean: float
    largest_relative: float
    mean_relative: float
    jets: int

    def describe(self) -> str:
        """Return the numbers in words."""
        if self.largest < ROUNDING:
            # Rounding differs from machine to machine; the file shall not.
            return f"rounding only, below {ROUNDING:g}"
        return (
            f"at most {self.largest:.1e}, on average {self.mean:.1e}; relative to the efficiency "
            f"{self.largest_relative:.1e} and {self.mean_relative:.1e}"
        )


def cells(values: FloatArray, axes: Mapping[str, FloatArray]) -> FloatArray:
    r"""Return the parameters of the formula of each cell.

    Between four bin centres the map is

    .. math:: a + b\,(x - x_0) + c\,(y - y_0) + d\,(x - x_0)(y - y_0)

    and constant, in either direction, from the outermost centres on.

    Args:
        values: Efficiencies at the bin centres, shape (n_pt, n_eta, ...).
        axes: Edges of the bins, pT first, then eta.

    Returns:
        a, b, c, d, x_0 and y_0, shape (n_pt + 1, n_eta + 1, ..., 6).
    """
    pt_edges, eta_edges, *_ = axes.values()
    pt_width = pt_edges[1] - pt_edges[0]
    eta_width = eta_edges[1] - eta_edges[0]
    further = [(0, 0)] * (values.ndim - 2)
    padded: FloatArray = np.pad(values, [(1, 1), (1, 1), *further], mode="edge")
    low = padded[:-1, :-1]
    along_pt = padded[1:, :-1] - low
    along_eta = padded[:-1, 1:] - low
    both = padded[1:, 1:] - padded[1:, :-1] - along_eta
    beside = tuple(range(1, values.ndim))
    x0 = np.expand_dims(_first_centres(pt_edges), beside)
    y0 = np.expand_dims(_first_centres(eta_edges), (0, *beside[1:]))
    parameters = [
        low,
        along_pt / pt_width,
        along_eta / eta_width,
        both / (pt_width * eta_width),
        np.broadcast_to(x0, low.shape),
        np.broadcast_to(y0, low.shape),
    ]
    return np.stack(parameters, axis=-1)


def _first_centres(axis: FloatArray) -> FloatArray:
    """Return the lower centre of each cell, shape (n + 1,); that of the first is its upper one."""
    width = axis[1] - axis[0]
    centres = axis[0] + (np.arange(len(axis) - 1) + 0.5) * width
    return np.asarray(np.r_[centres[0], centres])


def _cell_edges(axis: FloatArray) -> FloatArray:
    """Return the edges of the cells: the bin centres, between the ends of the axis."""
    return np.asarray(np.r_[axis[0], _first_centres(axis)[1:], axis[-1]])


def smooth_node(values: FloatArray, axes: Mapping[str, FloatArray], flow: str) -> Node:
    """Return the node of one flavour and working point.

    Args:
        values: Efficiencies at the bin centres, shape (n_pt, n_eta, ...).
        axes: Edges of the bins, pT first, then eta.
        flow: What to do with jets outside them, ``clamp`` or ``error``.
    """
    written = {}
    for position, (name, axis) in enumerate(axes.items()):
        edges = _cell_edges(axis) if position < 2 else axis
        written[name] = written_edges(edges, name)
    parameters = cells(values, axes).reshape(-1, 6)
    content = [_cell_node(row) for row in parameters.tolist()]
    return multibinning(written, content, flow)


def _cell_node(row: list[float]) -> Node:
    is_constant = not any(row[1:4])
    return row[0] if is_constant else formula_ref(row)


# ---- how exact it is


def measured_difference(
    estimator: Any, central: FloatArray, axes: Mapping[str, FloatArray]
) -> Difference:
    """Compare the formulas with the estimator, for jets of all flavours in all cells.

    They are equal but for rounding, unless efficiencies of two working points cross, as negative
    weights can make them: the lower of two surfaces has an edge where they cross.

    Args:
        estimator: What was tabulated.
        central: Its efficiencies at the bin centres, shape (n_points, n_flavours, n_pt, ...).
        axes: Edges of the bins, pT first, then eta.
    """
    one: SmoothedMap = first_of(estimator)
    jets = _probes(one.bins)
    flavour, _, _, *further = one.bins.index(jets)
    of_eta = np.abs(jets.eta) if one.bins.abs_eta else jets.eta
    pt_edges, eta_edges, *_ = axes.values()
    x = jets.pt.astype(np.float64)
    y = of_eta.astype(np.float64)
    cell = (_cell_of(x, pt_edges), _cell_of(y, eta_edges), *further)
    written = []
    for at_point in central:
        parameters = np.stack([cells(values, axes) for values in at_point])
        written.append(_evaluate(parameters[(flavour, *cell)], x, y))
    wanted = estimator.efficiency(jets).reshape(jets.n_jets, -1).T
    return _difference(np.stack(written), wanted)


def _difference(written: FloatArray, wanted: FloatArray) -> Difference:
    apart = np.abs(written - wanted)
    relative = apart[wanted > 0] / wanted[wanted > 0]
    return Difference(
        largest=float(apart.max(initial=0.0)),
        mean=float(apart.mean()) if apart.size else 0.0,
        largest_relative=float(relative.max(initial=0.0)),
        mean_relative=float(relative.mean()) if relative.size else 0.0,
        jets=wanted.shape[1],
    )


def _evaluate(parameters: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    """Compute :data:`EXPRESSION` for each jet; parameters of shape (n_jets, 6)."""
    a, b, c, d, x0, y0 = parameters.T
    values = a + b * (x - x0) + c * (y - y0) + d * (x - x0) * (y - y0)
    return np.asarray(np.clip(values, 0.0, 1.0))


def _cell_of(values: FloatArray, axis: FloatArray) -> Any:
    from_edge = (values - axis[0]) / (axis[1] - axis[0])
    return np.clip(np.floor(from_edge + 0.5).astype(np.int64), 0, len(axis) - 1)


def _probes(bins: Bins) -> Jets:
    """Make jets, alone in their events, of all flavours in all cells."""
    columns = {"pt": _between(bins.pt_edges), "eta": _between(bins.eta_edges)}
    columns |= {name: axis[:-1] for name, axis in bins.further.items()}
    # What no jet can have is moved to what one can.
    for name, limit in LIMITS.items():
        if name in columns:
            low = limit.low + INSIDE * max(1.0, abs(limit.low))
            high = limit.high - INSIDE * max(1.0, abs(limit.high))
            columns[name] = np.unique(np.clip(columns[name], low, high))
    grid = np.meshgrid(np.array(bins.flavours), *columns.values(), indexing="ij")
    flavour, *others = (axis.ravel() for axis in grid)
    given = dict(zip(columns, others, strict=True))
    size = len(flavour)
    own: dict[str, AnyArray] = {
        "phi": np.zeros(size),
        "mass": np.zeros(size),
        "weight": np.ones(size),
    }
    own |= {name: values for name, values in given.items() if name in SCHEMA}
    own |= {"event": np.arange(size), "flavour": flavour.astype(np.int8)}
    further = {name: values for name, values in given.items() if name not in SCHEMA}
    return Jets.from_columns(own, "jets between bin centres", further=further)


def _between(axis: FloatArray) -> FloatArray:
    """Return values inside each cell of an axis."""
    edges = _cell_edges(axis)
    inside = [edges[:-1] + part * np.diff(edges) for part in PROBES]
    return np.sort(np.concatenate(inside))
