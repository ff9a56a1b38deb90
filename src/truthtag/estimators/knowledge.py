"""What an efficiency knows of the jets that it is given: flavours, working points, inputs."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from truthtag.data.columns import SCHEMA
from truthtag.data.labels import Labels

__all__ = ["inputs_of", "labels_of", "layers_of"]

INNER = ("nominal", "members", "parts", "fitted", "network", "model", "base", "bins", "columns")
"""Attributes by which an efficiency holds what it is made of; of several, the first knows all."""


def labels_of(model: Any) -> Labels:
    """Return what an efficiency knows of flavours, working points and categories.

    A sample that is read with these labels is one that it can weight: jets of other flavours are
    refused at the door.

    Args:
        model: Any efficiency; what it does not say stays empty.

    Example:
        >>> from truthtag.estimators.network.estimator import NetworkEstimator
        >>> from truthtag.estimators.network.model import EfficiencyNetwork
        >>> from truthtag.estimators.network.options import Architecture
        >>> network = EfficiencyNetwork(Architecture(width=4), (0, 5), points=("loose", "tight"))
        >>> labels_of(NetworkEstimator(network))
        Labels(flavours=(0, 5), points=('loose', 'tight'), categories={})
    """
    categories = _first(model, "categories") or {}
    return Labels(
        flavours=tuple(int(flavour) for flavour in _first(model, "flavours") or ()),
        points=tuple(str(point) for point in _first(model, "points") or ()),
        categories={name: tuple(values) for name, values in categories.items()},
    )


def inputs_of(model: Any) -> tuple[str, ...]:
    """Return the further columns that an efficiency needs of a jet, beside those of every sample.

    Args:
        model: Any efficiency; nothing where it does not say so.
    """
    stated = _first(model, "further") or _first(model, "features") or ()
    # A category is a feature for each of its values.
    names = dict.fromkeys(str(feature).partition("=")[0] for feature in stated)
    return tuple(name for name in names if name not in (*SCHEMA, "abs_eta"))


def _first(model: Any, name: str) -> Any:
    """Return an attribute of the outermost layer of an efficiency that has it, and not empty."""
    for layer in layers_of(model):
        value = getattr(layer, name, None)
        if isinstance(value, tuple | list | Mapping) and value:
            return value
    return None


def layers_of(model: Any) -> Iterator[Any]:
    """Go through an efficiency and what it is made of, from the outside.

    Args:
        model: Any efficiency.

    Yields:
        The efficiency itself, then what it is made of; of several parts that are alike the first.
    """
    yield model
    for name in INNER:
        inner = getattr(model, name, None)
        if isinstance(inner, tuple | list):
            inner = next(iter(inner), None)
        if inner is not None and not inspect.isroutine(inner):
            yield from layers_of(inner)
