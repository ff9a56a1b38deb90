"""Names of the array types that annotations use, and a division that says what division by zero gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]
BoolArray = npt.NDArray[np.bool_]
AnyArray = npt.NDArray[Any]


def divide(
    numerator: AnyArray | float,
    denominator: AnyArray | float,
    otherwise: FloatArray | float = np.nan,
) -> FloatArray:
    """Divide, with another value where the denominator is zero.

    Args:
        numerator: What is divided.
        denominator: What it is divided by, of a shape that broadcasts with it.
        otherwise: The value where that is zero, of a shape that broadcasts with both.

    Example:
        >>> divide(np.array([1, 2]), np.array([4, 0]), 1.0)
        array([0.25, 1.  ])
    """
    below = np.asarray(denominator)
    return np.where(below != 0, numerator / np.where(below == 0, 1, below), otherwise)
