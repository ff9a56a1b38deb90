"""Bin edges, as the config states them: a rising list, or bins of one width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AllowInfNan,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from truthtag.options import Options, Real, Whole

__all__ = [
    "EDGES_TAG",
    "EQUAL_BINS_TAG",
    "Axis",
    "EqualBins",
    "OpenAxis",
    "check_rising",
    "edges",
    "equal_edges",
]

EQUAL_BINS_TAG = "<equal bins>"
EDGES_TAG = "<edges>"
"""Names that pydantic puts after the field's name in an error, no part of the config path."""


class EqualBins(Options):
    """Bins of one width."""

    bins: Annotated[Whole, Field(ge=1)]
    """Number of bins."""

    low: Real
    """Lower end."""

    high: Real
    """Upper end."""

    @model_validator(mode="after")
    def _check_ends(self) -> Self:
        if not self.low < self.high:
            msg = f"high is {self.high:g}, not above low, {self.low:g}; put them in rising order"
            raise ValueError(msg)
        return self


def check_rising(values: Sequence[float], open_end: str = "the last edge of a map") -> None:
    """Refuse bin edges that do not rise, or that hold NaN or a lower end of minus infinity.

    Args:
        values: The edges.
        open_end: Which edge may be infinite, as the error says it.

    Raises:
        ValueError: There are fewer than two, one is not above the one before it, or one is no
            number.
    """
    if len(values) < 2:
        msg = f"{list(values)} makes no bin; give at least two edges"
        raise ValueError(msg)
    for position, value in enumerate(values):
        is_last = position == len(values) - 1
        if math.isfinite(value) or (is_last and value == math.inf):
            continue
        msg = f"edge {position} is {value}; only {open_end} may be infinite"
        raise ValueError(msg)
    for position, (before, after) in enumerate(pairwise(values), start=1):
        if not after > before:
            msg = (
                f"edge {position} is {after}, not above the edge before it, {before}; "
                "put them in rising order"
            )
            raise ValueError(msg)


def _rising(values: list[float]) -> list[float]:
    check_rising(values)
    return values


def _real(value: Any) -> Any:
    """Take an integer where a real number is wanted."""
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _which(value: Any) -> str:
    """Tell a list of edges from bins of one width, so that an error speaks of one of them only."""
    return EDGES_TAG if isinstance(value, list) else EQUAL_BINS_TAG


_Equal = Annotated[EqualBins, Tag(EQUAL_BINS_TAG)]
_Edges = Annotated[list[Real], AfterValidator(_rising), Tag(EDGES_TAG)]
_OpenReal = Annotated[float, AllowInfNan(True), BeforeValidator(_real)]
_OpenEdges = Annotated[list[_OpenReal], AfterValidator(_rising), Tag(EDGES_TAG)]

Axis = Annotated[_Equal | _Edges, Discriminator(_which)]
"""Bin edges, a rising list, or bins of one width."""

OpenAxis = Annotated[_Equal | _OpenEdges, Discriminator(_which)]
"""The same, where the last edge of a list may be infinite."""


def edges(axis: EqualBins | Sequence[float]) -> list[float]:
    """Return the bin edges that an axis of the config means.

    Example:
        >>> from truthtag.axis import EqualBins, edges
        >>> edges(EqualBins(bins=2, low=0, high=5))
        [0.0, 2.5, 5.0]
    """
    if isinstance(axis, EqualBins):
        return equal_edges(axis.bins, axis.low, axis.high)
    return [float(edge) for edge in axis]


def equal_edges(bins: int, low: float, high: float) -> list[float]:
    """Return the edges of bins of one width."""
    inner = [low + (high - low) * i / bins for i in range(bins)]
    # The last edge is the number of the config itself, not one that rounding moved.
    return [*inner, high]
