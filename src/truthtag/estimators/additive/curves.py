"""What an additive model has learned, as curves with their errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from truthtag.arrays import FloatArray
from truthtag.errors import DataError
from truthtag.estimators.additive.estimator import AdditiveFit
from truthtag.estimators.additive.likelihood import efficiency_of
from truthtag.estimators.additive.options import NeighbourTerm
from truthtag.estimators.additive.structure import NONE, Structure, Term

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["own_rows", "pair_rows", "read_curves"]

Points = Mapping[str, FloatArray]
"""Values of variables at some points, each of shape (n,)."""


def own_rows(structure: Structure, flavour: int, at: Points) -> FloatArray:
    """Return what each coefficient is multiplied by in jets that are alone, (n, n_coefficients).

    Args:
        structure: The terms.
        flavour: The flavour of the jets.
        at: Their variables; one that is not among them has the middle of its range.
    """
    n_points = max(len(values) for values in at.values())
    columns = np.zeros((n_points, structure.n_columns))
    columns[:, 0] = 1.0
    for position, term in enumerate(structure.terms):
        if not isinstance(term.options, NeighbourTerm):
            columns[:, structure.runs[position, NONE]] = term.functions(_values(term, at, n_points))
    return np.asarray(columns @ structure.selector(flavour))


def pair_rows(structure: Structure, flavour: int, neighbour: int, at: Points) -> FloatArray:
    """Return what each coefficient is multiplied by in the terms of one neighbour, likewise.

    Args:
        structure: The terms.
        flavour: The flavour of the jet.
        neighbour: The flavour of the neighbour.
        at: Variables of the pair; one that is not among them has the middle of its range.
    """
    n_points = max(len(values) for values in at.values())
    columns = np.zeros((n_points, structure.n_columns))
    for position, term in enumerate(structure.terms):
        if isinstance(term.options, NeighbourTerm):
            where = structure.runs[position, neighbour]
            columns[:, where] = term.functions(_values(term, at, n_points))
    return np.asarray(columns @ structure.selector(flavour))


def _values(term: Term, at: Points, n_points: int) -> list[FloatArray]:
    """Return the variables of a term at some points."""
    found: list[FloatArray] = []
    for name, basis in zip(term.variables, term.bases, strict=True):
        middle = 0.0 if basis.is_absolute else 0.5 * (basis.low + basis.high)
        values = at.get(name, np.array([middle]))
        found.append(np.broadcast_to(np.asarray(values, dtype=np.float64), (n_points,)))
    return found


def read_curves(
    fit: AdditiveFit,
    flavours: Mapping[str, int],
    probe: Mapping[str, float],
    pt: FloatArray,
    eta: FloatArray,
    distance: FloatArray,
) -> pd.DataFrame:
    r"""Evaluate the efficiency of jets that are alone, and the factor of one neighbour.

    Errors are one standard deviation, by the covariance of the coefficients; those of an efficiency
    and of a factor are taken in its logarithm, or logit:

    .. math:: \eta \pm \sqrt{x^T V x}

    Args:
        fit: The fit itself; a replica has no covariance.
        flavours: Numbers of the hadron flavours, by name.
        probe: The jet, ``pt`` [GeV], ``eta``, and further variables by name; those that it does not
            name have the middle of their range. The curve in pT is read at its eta, and the other
            way round. Neighbours have its pT, and are apart in phi.
        pt: Transverse momenta, shape (n,) [GeV].
        eta: Pseudorapidities, shape (m,).
        distance: Delta R to the neighbour, shape (k,).

    Returns:
        A row per panel (``pt``, ``eta``, ``factor``), flavour, flavour of the ``neighbour`` (empty
        but for factors) and place ``x``: ``value``, ``low`` and ``high``. A factor is that on the
        efficiency, with the link logit on the odds.

    Raises:
        DataError: It is a replica.
    """
    import pandas as pd

    covariance = fit.covariance
    if covariance is None:
        msg = "a replica has no covariance, and so no bands; read the curves of the fit itself"
        raise DataError(msg)
    structure = fit.structure
    learned = {name: number for name, number in flavours.items() if number in structure.flavours}
    further = {name: np.array([float(value)]) for name, value in probe.items()}
    parts = []
    for name, number in learned.items():
        for panel, places in (("pt", pt), ("eta", eta)):
            rows = own_rows(structure, number, {**further, panel: places})
            bands = [
                efficiency_of(total, fit.link) for total in _band(fit.values, covariance, rows)
            ]
            parts.append(_frame(panel, name, "", places, bands))
        for other, neighbour in learned.items():
            rows = pair_rows(structure, number, neighbour, _apart(distance, further))
            bands = [np.exp(total) for total in _band(fit.values, covariance, rows)]
            parts.append(_frame("factor", name, other, distance, bands))
    return pd.concat(parts, ignore_index=True)


def _apart(distance: FloatArray, probe: Points) -> Points:
    """Return the variables of pairs at the same eta."""
    zero = np.zeros(1)
    known = {"delta_r": distance, "delta_eta": zero, "delta_phi": distance}
    return {**known, "neighbour_pt": probe["pt"]} if "pt" in probe else known


def _band(
    values: FloatArray, covariance: FloatArray, rows: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the sum of terms, and one standard deviation below and above it."""
    total = rows @ values
    error = np.sqrt(np.einsum("ij,jk,ik->i", rows, covariance, rows, optimize=True))
    return total, total - error, total + error


def _frame(
    panel: str, flavour: str, neighbour: str, x: FloatArray, bands: list[FloatArray]
) -> pd.DataFrame:
    import pandas as pd

    value, low, high = bands
    return pd.DataFrame(
        {
            "panel": panel,
            "flavour": flavour,
            "neighbour": neighbour,
            "x": x,
            "value": value,
            "low": low,
            "high": high,
        }
    )
