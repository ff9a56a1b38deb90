"""An additive model as formulas: a polynomial between knots, of a jet and of one neighbour."""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial

import numpy as np

from truthtag.arrays import FloatArray
from truthtag.errors import ConfigError
from truthtag.estimators.additive.estimator import AdditiveFit
from truthtag.estimators.additive.options import AdditiveOptions, JetTerm, NeighbourTerm
from truthtag.estimators.additive.splines import DEGREE, Basis
from truthtag.estimators.additive.structure import NONE, Structure
from truthtag.exports.correction_json import Node, binning, category, formula_ref, multibinning

__all__ = [
    "FACTOR_OF_PAIR",
    "has_product",
    "own_expression",
    "own_surface",
    "pair_curves",
    "require_product",
]

FACTOR_OF_PAIR = "exp([0]+(x-[4])*([1]+(x-[4])*([2]+(x-[4])*[3])))"
"""The factor of a neighbour between two knots: x is Delta R."""

OWN = ("pt", "eta")


def own_expression(fit: AdditiveFit) -> str:
    """Return the formula of a jet's own efficiency between knots: x is pT, y is eta."""
    x = "log(x)" if _is_logarithmic(fit.structure) else "x"
    rows = []
    for power in range(DEGREE + 1):
        a, b, c, d = (f"[{4 * power + k}]" for k in range(4))
        rows.append(f"({a}+(y-[17])*({b}+(y-[17])*({c}+(y-[17])*{d})))")
    u = f"({x}-[16])"
    return f"exp({rows[0]}+{u}*({rows[1]}+{u}*({rows[2]}+{u}*{rows[3]})))"


def has_product(options: AdditiveOptions) -> bool:
    """Return whether fits with these options are what :func:`require_product` lets pass."""
    return options.link == "log" and all(not _others(term) for term in options.terms)


def _others(term: JetTerm | NeighbourTerm) -> list[str]:
    """Return the variables of a term that corrections cannot hold."""
    allowed = OWN if isinstance(term, JetTerm) else ("delta_r",)
    return [name for name in term.variables if name not in allowed]


def require_product(fit: AdditiveFit) -> None:
    """Refuse a fit that is no product of a surface and of factors of Delta R.

    Raises:
        ConfigError: Its link is no logarithm, or a term is of something else.
    """
    if fit.link != "log":
        msg = (
            f"the link of the additive model is {fit.link!r}: its efficiency is no product of "
            "factors. Fit it with link: log"
        )
        raise ConfigError(msg)
    for term in fit.structure.terms:
        if _others(term.options):
            msg = (
                f"the additive model has the term {term.name!r}; corrections can hold terms of pt "
                "and eta, and sums of delta_r. Hand on its weights, or fit it without"
            )
            raise ConfigError(msg)


def _is_logarithmic(structure: Structure) -> bool:
    return any(
        basis.logarithmic
        for term in structure.terms
        for name, basis in zip(term.variables, term.bases, strict=True)
        if name == "pt"
    )


def _cubics(basis: Basis | None, most: int) -> tuple[list[float], FloatArray, FloatArray]:
    """Return the polynomials of functions of one variable in each cell; constant beyond the ends.

    Args:
        basis: The functions; None where nothing depends on the variable.
        most: How many of them.

    Returns:
        Ends of the cells inside, in units of the variable; where each cell's polynomial begins,
        shape (n_cells,); and its coefficients, the constant function first, by rising powers, shape
        (n_cells, 4, 1 + most). There is one cell more at either end.
    """
    if basis is None:
        cubics = np.zeros((1, DEGREE + 1, 1))
        cubics[0, 0, 0] = 1.0
        return [], np.zeros(1), cubics
    from scipy.interpolate import BSpline

    inside = basis.knots[DEGREE:-DEGREE]
    spline = BSpline(basis.knots, basis.transform[:, :most], DEGREE)
    # Taylor's coefficients at the lower end of each interval.
    powers = range(DEGREE + 1)
    found = np.stack([spline.derivative(k)(inside[:-1]) / factorial(k) for k in powers], axis=1)
    n_cells = len(found)
    cubics = np.zeros((n_cells + 2, DEGREE + 1, 1 + most))
    cubics[:, 0, 0] = 1.0
    cubics[1:-1, :, 1:] = found
    cubics[0, 0, 1:] = spline(inside[0])
    cubics[-1, 0, 1:] = spline(inside[-1])
    ends = np.exp(inside) if basis.logarithmic else inside
    begins = np.r_[inside[0], inside[:-1], inside[-1]]
    return ends.tolist(), begins, cubics


def own_surface(fit: AdditiveFit) -> Node:
    """Return the node of a jet's own efficiency at one working point, by flavour."""
    structure = fit.structure
    bases: dict[str, Basis] = {}
    for term in structure.terms:
        if isinstance(term.options, JetTerm):
            bases |= dict(zip(term.variables, term.bases, strict=True))
    sizes = {name: bases[name].size if name in bases else 0 for name in OWN}
    x_ends, x_begins, x_cubics = _cubics(bases.get("pt"), sizes["pt"])
    y_ends, y_begins, y_cubics = _cubics(bases.get("eta"), sizes["eta"])
    axes: dict[str, list[float | str]] = {
        "pt": [0.0, *x_ends, "inf"],
        "eta": ["-inf", *y_ends, "inf"],
    }
    branches = {}
    for flavour in structure.flavours:
        surface = _surface(structure, structure.selector(flavour) @ fit.values, sizes)
        cells = np.einsum("ipk,kl,jql->ijpq", x_cubics, surface, y_cubics)
        content = []
        for i, x in enumerate(x_begins.tolist()):
            for j, y in enumerate(y_begins.tolist()):
                content.append(formula_ref([*cells[i, j].ravel().tolist(), x, y]))
        branches[flavour] = multibinning(axes, content, "clamp")
    return category("flavour", branches)


def _surface(structure: Structure, own: FloatArray, sizes: dict[str, int]) -> FloatArray:
    """Return the coefficients of products of functions of pT and eta, constants first.

    Args:
        structure: The terms.
        own: The coefficients of the columns of a flavour.
        sizes: Number of functions of each.
    """
    surface = np.zeros((1 + sizes["pt"], 1 + sizes["eta"]))
    surface[0, 0] = own[0]
    for position, term in enumerate(structure.terms):
        if not isinstance(term.options, JetTerm):
            continue
        values = own[structure.runs[position, NONE]]
        if len(term.variables) == 2:
            shape = [min(term.most, basis.size) for basis in term.bases]
            both = values.reshape(shape)
            both = both if term.variables == OWN else both.T
            surface[1 : 1 + both.shape[0], 1 : 1 + both.shape[1]] += both
        elif term.variables == ("pt",):
            surface[1:, 0] += values
        else:
            surface[0, 1:] += values
    return surface


def pair_curves(fit: AdditiveFit) -> Node:
    """Return the node of a neighbour's factor at one working point, by both flavours."""
    structure = fit.structure
    branches = {}
    for flavour in structure.flavours:
        own = structure.selector(flavour) @ fit.values
        of_each = {neighbour: _curve(structure, own, neighbour) for neighbour in structure.flavours}
        # Neighbours of a flavour that nothing was learned of do nothing.
        of_each |= dict.fromkeys(fit.unlearned, 1.0)
        branches[flavour] = category("neighbour_flavour", of_each)
    return category("flavour", branches)


def _curve(structure: Structure, own: FloatArray, neighbour: int) -> Node:
    """Return the factor of one neighbour, of its distance."""
    for position, term in enumerate(structure.terms):
        if isinstance(term.options, NeighbourTerm):
            basis = term.bases[0]
            ends, begins, cubics = _cubics(basis, basis.size)
            values = np.r_[0.0, own[structure.runs[position, neighbour]]]
            # Their knots reach from minus the distance where all ends to that distance.
            near = range(basis.intervals // 2, basis.intervals + 1)
            # Cell k + 1 begins at end k.
            cells = [*(cubics[k + 1] @ values for k in near[:-1]), np.zeros(DEGREE + 1)]
            starts = [begins[k + 1] for k in near]
            content = [
                formula_ref([*cell.tolist(), float(start)])
                for cell, start in zip(cells, starts, strict=True)
            ]
            return binning("delta_r", [*_from_zero(ends, near), "inf"], content, "clamp")
    return 1.0


def _from_zero(ends: Sequence[float], near: Sequence[int]) -> list[float]:
    """Return the ends from 0 on; rounding may have moved the one at 0."""
    return [0.0, *(ends[k] for k in near[1:])]
