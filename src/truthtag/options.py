"""The base of all typed options: unknown keys, NaN and infinity are refused, and nothing changes afterwards."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

__all__ = ["Options", "Real", "Whole"]


def _whole(value: Any) -> Any:
    """Take a whole number that is written as a float, ``1.0e+5`` say, as an integer."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _real(value: Any) -> Any:
    """Take an integer where a real number is wanted."""
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


Whole = Annotated[int, BeforeValidator(_whole)]
"""An integer; a float without a fraction is one, text is not."""

Real = Annotated[float, BeforeValidator(_real)]
"""A finite real number; an integer is one, text is not."""


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
