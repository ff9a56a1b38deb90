"""A parametric fit as formulas: a jet's own efficiency, and the factor of one neighbour."""

from __future__ import annotations

from typing import Any

from truthtag.errors import ConfigError, DataError
from truthtag.estimators.cross_fitting import CrossFitted
from truthtag.estimators.ensemble import Ensemble
from truthtag.estimators.parametric import OWN, ParametricFit
from truthtag.exports.correction_json import Node, category, formula_ref
from truthtag.exports.correction_tables import members_of, points_of

__all__ = ["FACTOR", "OWN_EFFICIENCY", "factor_node", "fits_of", "own_node"]

OWN_EFFICIENCY = "[0]*exp(-0.5*((x-[1])/[2])*((x-[1])/[2])-0.5*(y/[3])*(y/[3]))"
"""A jet's own efficiency: x is pT, y is eta, with its sign or without."""

FACTOR = "1-[0]*exp(-0.5*(x/[1])*(x/[1]))"
"""The factor of a neighbour: x is Delta R."""


def fits_of(estimator: Any, central: str) -> dict[str, Any]:
    """Return the fit by its name, and its replicas: ``replica_0`` and so on.

    Args:
        estimator: A fit, for one working point or several, or an ensemble with a nominal one.
        central: The name of the fit.

    Raises:
        ConfigError: The efficiency is a mean of fits, which is no product.
        DataError: Replicas have other flavours or working points.
    """
    is_mean = isinstance(estimator, CrossFitted)
    is_mean |= isinstance(estimator, Ensemble) and estimator.nominal is None
    if is_mean:
        msg = (
            "a mean of fits is no product of factors, and so has no formula. Write a "
            "file for each fold with export_corrections_by_fold, or for each fit"
        )
        raise ConfigError(msg)
    if not isinstance(estimator, Ensemble):
        return {central: estimator}
    fits: dict[str, Any] = {central: estimator.nominal}
    for number, replica in enumerate(estimator.members):
        if _known_by(replica) != _known_by(estimator.nominal):
            msg = (
                f"replica {number} has other flavours or working points than the fit. "
                "Fit them together."
            )
            raise DataError(msg)
        fits.setdefault(f"replica_{number}", replica)
    return fits


def _known_by(estimator: Any) -> tuple[tuple[str, ...], tuple[int, ...]]:
    return points_of(estimator), members_of(estimator)[0].flavours


def own_node(fit: ParametricFit) -> Node:
    """Return the node of a jet's own efficiency at one working point, by flavour.

    Flavours that nothing was learned of are left out: to ask for them is an error.
    """
    return _by_flavour(fit, slice(0, OWN), fit.unlearned)


def factor_node(fit: ParametricFit) -> Node:
    """Return the node of a neighbour's factor at one working point, by its flavour."""
    return _by_flavour(fit, slice(OWN, None), ())


def _by_flavour(fit: ParametricFit, which: slice, without: tuple[int, ...]) -> Node:
    branches: dict[int, Node] = {}
    for flavour, row in zip(fit.flavours, fit.values.tolist(), strict=True):
        if flavour not in without:
            branches[flavour] = formula_ref(row[which])
    return category("flavour", branches)
