"""Array types that annotations use, checks of arrays that a user gives, and a safe division."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from truthtag.errors import DataError

__all__ = [
    "AnyArray",
    "BoolArray",
    "FloatArray",
    "IntArray",
    "divide",
    "in_unit_interval",
    "jet_mask",
    "per_jet",
    "plain_array",
    "probabilities",
]

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


def plain_array(values: Any, name: str) -> AnyArray:
    """Return values as a NumPy array of plain numbers, truth values or text.

    Args:
        values: An array, a list or a column of a data frame, of any shape.
        name: What the error messages call it.

    Raises:
        DataError: An entry is masked or complex, or the entries are lists or other objects.
    """
    if np.ma.is_masked(values):
        count = int(np.sum(np.ma.getmask(values)))
        msg = (
            f"{name}: {count} of its entries are masked, and a masked entry has no value here. "
            "Fill them, or leave those jets or events out."
        )
        raise DataError(msg)
    try:
        array = np.asarray(values)
    except ValueError as error:
        msg = f"{name}: its rows differ in length; a row per jet is wanted. {_HOW_TO_FLATTEN}"
        raise DataError(msg) from error
    if array.dtype.kind == "c":
        msg = f"{name}: holds complex numbers ({array.dtype}); give real numbers"
        raise DataError(msg)
    if array.dtype.kind == "O" and array.size:
        first = array.flat[0]
        if isinstance(first, (list, tuple, np.ndarray)):
            msg = f"{name}: each row holds a list; a row per jet is wanted. {_HOW_TO_FLATTEN}"
            raise DataError(msg)
        msg = (
            f"{name}: holds Python objects ({type(first).__name__}: {first!r}), not numbers; "
            "convert it to a NumPy type"
        )
        raise DataError(msg)
    return array


_HOW_TO_FLATTEN = "Flatten it (numpy.concatenate, or explode in pandas)."


def per_jet(values: Any, n_jets: int, name: str) -> AnyArray:
    """Return values as an array with one entry per jet.

    Args:
        values: What was given, shape (n_jets,).
        n_jets: Number of jets.
        name: What the error messages call it.

    Raises:
        DataError: The shape is another, or :func:`plain_array` refuses the values.
    """
    array = plain_array(values, name)
    if array.shape != (n_jets,):
        msg = f"{name} has shape {array.shape}; it must have one value per jet, ({n_jets},)"
        raise DataError(msg)
    return array


def probabilities(values: Any, n_jets: int, name: str) -> FloatArray:
    """Return values as an array with one probability per jet.

    Args:
        values: What was given, shape (n_jets,), in [0, 1].
        n_jets: Number of jets.
        name: What the error messages call it.

    Raises:
        DataError: A value is not a number in [0, 1], or :func:`per_jet` refuses the values.
    """
    array = per_jet(values, n_jets, name)
    return in_unit_interval(array, name)


def in_unit_interval(array: AnyArray, name: str) -> FloatArray:
    """Return an array of any shape as float64, and refuse what does not lie in [0, 1].

    Raises:
        DataError: A value is text, NaN, or outside [0, 1]; the message names the first one.
    """
    if array.dtype.kind not in "biuf":
        msg = f"{name}: holds {array.dtype} values; probabilities are numbers in [0, 1]"
        raise DataError(msg)
    result = np.asarray(array, dtype=np.float64)
    wrong = ~((result >= 0) & (result <= 1))
    if wrong.any():
        flat = int(np.argmax(wrong))
        place = flat if result.ndim == 1 else tuple(map(int, np.unravel_index(flat, result.shape)))
        msg = (
            f"{name} is {result.flat[flat]}; it must lie in [0, 1] "
            f"(position {place}, {int(wrong.sum())} such values)"
        )
        raise DataError(msg)
    return result


def jet_mask(values: Any, n_jets: int, name: str) -> BoolArray:
    """Return values as a boolean array with one entry per jet.

    Args:
        values: Which jets are meant, shape (n_jets,), boolean.
        n_jets: Number of jets.
        name: What the error messages call it.

    Raises:
        DataError: The values are not truth values, or :func:`per_jet` refuses them.
    """
    array = plain_array(values, name)
    if array.dtype.kind != "b":
        msg = (
            f"{name}: holds {array.dtype} values; give True or False for each jet, "
            "not positions (numpy.isin(numpy.arange(len(jets)), positions) makes the mask)"
        )
        raise DataError(msg)
    return per_jet(array, n_jets, name)
