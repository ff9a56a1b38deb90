"""Which jets an efficiency was made for, as far as it, or the domain beside it, says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from truthtag.arrays import AnyArray, BoolArray
from truthtag.data.jets import Jets
from truthtag.estimators.knowledge import layers_of

if TYPE_CHECKING:
    from truthtag.statistics.domain import Domain

__all__ = ["Ranges", "domain_beside", "outside", "ranges_of", "ranges_of_domain"]

Ranges = Mapping[str, tuple[float, float]]
"""Lowest and highest values by column; ``n_jets`` is the number of jets of the event."""

DOMAIN = "domain.parquet"


def ranges_of(model: Any) -> Ranges:
    """Return the ranges of the jets' columns that an efficiency states; empty where it does not.

    Args:
        model: Any efficiency: a map states the ends of its axes, an ONNX file what its networks
            were trained on.
    """
    for layer in layers_of(model):
        if hasattr(layer, "content") and hasattr(layer, "ranges"):
            return _ranges_of_onnx(layer)
        axes = getattr(getattr(layer, "bins", None), "axes", None)
        if isinstance(axes, Mapping):
            return {name: (float(edges[0]), float(edges[-1])) for name, edges in axes.items()}
    return {}


def _ranges_of_onnx(model: Any) -> Ranges:
    """Return the ranges of an ONNX file in units of our jets: it may have its own."""
    from truthtag.estimators.network.onnx_efficiency import unit_factor

    units = dict(zip(model.features, model.units, strict=True))
    found = {}
    for name, (low, high) in model.ranges.items():
        factor = unit_factor(name, units[name]) if name in units else 1.0
        found[name] = (low / (factor or 1.0), high / (factor or 1.0))
    return found


def domain_beside(model: Path) -> Path | None:
    """Return the domain of the results that an estimator belongs to; None where there is none.

    Args:
        model: ``results/estimators/gnn``, say, or a file in it.
    """
    for folder in model.resolve().parents[:3]:
        if folder.name == "estimators" and (folder.parent / DOMAIN).is_file():
            return folder.parent / DOMAIN
    return None


def ranges_of_domain(domain: Domain, names: Sequence[str] | None = None) -> Ranges:
    """Return the ranges of the training jets, of all flavours together.

    Args:
        domain: The domain.
        names: The columns that are wanted; all by default.
    """
    from truthtag.statistics.domain_variables import OF_NEIGHBOURS

    found = {}
    low = domain.low.min(axis=0).tolist()
    high = domain.high.max(axis=0).tolist()
    for name, least, largest in zip(domain.variables, low, high, strict=True):
        if name not in OF_NEIGHBOURS and (names is None or name in names):
            found[name] = (least, largest)
    return found


def outside(jets: Jets, ranges: Ranges) -> BoolArray:
    """Return which jets are outside one of the ranges, or more, shape (n_jets,)."""
    found = np.zeros(jets.n_jets, dtype=bool)
    for name, (low, high) in ranges.items():
        values = _column(jets, name)
        if values is not None:
            found |= (values < low) | (values > high)
    return found


def _column(jets: Jets, name: str) -> AnyArray | None:
    """Return a column of the jets by the name that a range has; None where they lack it."""
    if name == "abs_eta":
        return np.abs(jets.eta)
    if name == "n_jets":
        return jets.multiplicity[jets.event_of_jet]
    if name in jets.jet_columns or name in jets.further:
        return jets.per_jet(name)
    return None
