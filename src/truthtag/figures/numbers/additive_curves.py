"""What an additive model has learned of a jet and of its neighbours."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd

from truthtag.arrays import FloatArray
from truthtag.errors import DataError
from truthtag.estimators.additive.curves import read_curves
from truthtag.estimators.additive.estimator import AdditiveFit
from truthtag.estimators.table_file import PointwiseEstimator, load_table_estimator
from truthtag.figures.inputs import Inputs

__all__ = ["additive_curves"]


def additive_curves(inputs: Inputs) -> pd.DataFrame:
    """Read the curves of an additive model, beside those of the truth where this is known.

    Curves end where the training jets do. Of several working points, those of the loosest.

    Returns:
        The rows of :func:`truthtag.estimators.additive.curves.read_curves`, with ``true``, empty
        where nobody knows, and the pT and eta of the jet that the config describes in
        ``figures.factor_probe``.

    Raises:
        DataError: The file holds another kind of estimator.
    """
    path = next(iter(inputs.fits.values()))
    fit = load_table_estimator(path)
    if isinstance(fit, PointwiseEstimator):
        fit = fit.members[0]
    if not isinstance(fit, AdditiveFit):
        msg = f"{path}: holds no additive model, which alone has curves; name one"
        raise DataError(msg)
    given = inputs.options["factor_probe"]
    probe = {name: float(given[name]) for name in ("pt", "eta")}
    axes = [inputs.edges(name) for name in ("pt_fine", "eta_fine", "delta_r")]
    pt, eta, distance = (_centres(axis) for axis in axes)
    pt, eta = (_inside(fit, name, places) for name, places in (("pt", pt), ("eta", eta)))
    frame = read_curves(fit, inputs.flavours, probe, pt, eta, distance)
    return frame.assign(true=_true(frame, inputs, probe), pt=probe["pt"], eta=probe["eta"])


def _centres(axis: FloatArray) -> FloatArray:
    return np.asarray(0.5 * (axis[1:] + axis[:-1]))


def _inside(fit: AdditiveFit, name: str, places: FloatArray) -> FloatArray:
    """Return the places between the ends of the knots, beyond which nothing was learned."""
    for term in fit.structure.terms:
        if name in term.variables:
            basis = term.bases[term.variables.index(name)]
            low = -basis.high if basis.is_absolute else basis.low
            return places[(places >= low) & (places <= basis.high)]
    return places


def _true(frame: pd.DataFrame, inputs: Inputs, probe: dict[str, float]) -> FloatArray:
    """Return what the truth says in each row."""
    true = np.full(len(frame), np.nan)
    if inputs.truth is None:
        return true
    panel = frame["panel"].to_numpy()
    flavour = frame["flavour"].to_numpy()
    x = frame["x"].to_numpy()
    for name, of in product(inputs.flavours, ("pt", "eta")):
        rows = (panel == of) & (flavour == name)
        places = {key: np.full(rows.sum(), value) for key, value in probe.items()} | {of: x[rows]}
        true[rows] = inputs.truth.own(inputs.flavours[name], places["pt"], places["eta"])
    for name, number in inputs.flavours.items():
        rows = (panel == "factor") & (frame["neighbour"] == name).to_numpy()
        true[rows] = inputs.truth.factor(number, x[rows], probe["pt"])
    return true
