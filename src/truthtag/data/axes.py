"""Bin edges, as the config states them and as histograms use them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from truthtag.errors import ConfigError

__all__ = ["check_edges", "edges_of"]


def edges_of(axis: Mapping[str, Any] | Sequence[float]) -> list[float]:
    """Return the bin edges that a config means: a list, or ``{bins, low, high}`` for bins of one width.

    Example:
        >>> edges_of({"bins": 2, "low": 0, "high": 5})
        [0.0, 2.5, 5.0]
    """
    if isinstance(axis, Mapping):
        low, high, bins = float(axis["low"]), float(axis["high"]), int(axis["bins"])
        return [low + (high - low) * i / bins for i in range(bins)] + [high]
    return [float(edge) for edge in axis]


def check_edges(edges: Sequence[float], name: str) -> None:
    """Refuse bin edges that do not rise.

    Raises:
        ConfigError: There are fewer than two, or one is not above the one before it.
    """
    if len(edges) < 2:
        msg = f"{name}: {list(edges)} makes no bin; give at least two edges"
        raise ConfigError(msg)
    for position, (before, after) in enumerate(pairwise(edges), start=1):
        if not after > before:
            msg = f"{name}: edge {position} is {after}, not above the edge before it, {before}; put them in rising order"
            raise ConfigError(msg)
