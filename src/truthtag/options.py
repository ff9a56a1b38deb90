"""The base of all typed options: unknown keys, NaN and infinity are refused."""

from __future__ import annotations

import math
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

__all__ = [
    "Interval",
    "OpenInterval",
    "Options",
    "Range",
    "Real",
    "Whole",
    "all_different",
    "as_names",
    "as_tuple",
]

Value = TypeVar("Value")


def _whole(value: Any) -> Any:
    """Take a whole number that is written as a float, ``1.0e+5`` say, as an integer."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _real(value: Any) -> Any:
    """Take an integer where a real number is wanted; one beyond all floats is infinite."""
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    return value


def as_tuple(value: Any) -> Any:
    """Take a list, as YAML holds it, as a tuple, which nothing can change."""
    return tuple(value) if isinstance(value, list) else value


def as_names(value: Any) -> Any:
    """Take a single name as a list of one, and a list as :func:`as_tuple` does."""
    return (value,) if isinstance(value, str) else as_tuple(value)


def all_different(values: tuple[Value, ...]) -> tuple[Value, ...]:
    """Refuse a list in which a value stands twice."""
    for position, value in enumerate(values):
        if value in values[:position]:
            msg = f"{list(values)} is not allowed; {value!r} is named twice; name it once"
            raise ValueError(msg)
    return values


def _rising(ends: tuple[float | None, float | None]) -> tuple[float | None, float | None]:
    """Refuse an interval whose ends are the wrong way round; None leaves an end open."""
    low, high = ends
    if low is not None and high is not None and not low < high:
        msg = f"[{low}, {high}] is not allowed; the first number must be below the second"
        raise ValueError(msg)
    return ends


def _ends(ends: tuple[float | None, ...]) -> tuple[float | None, ...]:
    """Refuse a range without ends, or with ends the wrong way round."""
    low, high = ends
    shown = ", ".join("null" if end is None else str(end) for end in ends)
    if low is None and high is None:
        msg = f"[{shown}] is not allowed; state one end at least, or leave the range out"
        raise ValueError(msg)
    if low is not None and high is not None and low > high:
        msg = f"[{shown}] is not allowed; the first number must not be above the second"
        raise ValueError(msg)
    return ends


Whole = Annotated[int, BeforeValidator(_whole)]
"""An integer; a float without a fraction is one, text is not."""

Real = Annotated[float, BeforeValidator(_real)]
"""A finite real number; an integer is one, text is not."""

Interval = Annotated[
    tuple[Real, ...],
    Field(min_length=2, max_length=2),
    BeforeValidator(as_tuple),
    AfterValidator(_rising),
]
"""Two numbers, the lower end first."""

OpenInterval = Annotated[
    tuple[Real | None, ...],
    Field(min_length=2, max_length=2),
    BeforeValidator(as_tuple),
    AfterValidator(_rising),
]
"""The same, where null leaves an end open."""

Range = Annotated[
    tuple[Real | None, ...],
    Field(min_length=2, max_length=2),
    BeforeValidator(as_tuple),
    AfterValidator(_ends),
]
"""Two numbers, the lower end first; null where there is no end. Both ends belong to it."""


class Options(BaseModel):
    """Options of the config: strict types, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        arbitrary_types_allowed=True,
    )
