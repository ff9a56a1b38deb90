"""Bin edges, as the config states them and as histograms use them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from truthtag.arrays import AnyArray, IntArray, plain_array
from truthtag.axis import check_rising, equal_edges
from truthtag.errors import ConfigError, DataError

__all__ = ["bin_index", "check_edges", "edges_of"]


def edges_of(axis: Mapping[str, Any] | Sequence[float]) -> list[float]:
    """Return the bin edges that a config means: a list, or ``{bins, low, high}`` for equal widths.

    Example:
        >>> edges_of({"bins": 2, "low": 0, "high": 5})
        [0.0, 2.5, 5.0]
    """
    if isinstance(axis, Mapping):
        return equal_edges(int(axis["bins"]), float(axis["low"]), float(axis["high"]))
    return [float(edge) for edge in axis]


def check_edges(edges: Sequence[float], name: str) -> None:
    """Refuse bin edges that do not rise; the last one may be infinite.

    Raises:
        ConfigError: There are fewer than two, one is not above the one before it, or one is no
            finite number.
    """
    try:
        check_rising(edges, "the last edge")
    except ValueError as error:
        msg = f"{name}: {error}"
        raise ConfigError(msg) from error


def bin_index(values: AnyArray, edges: AnyArray | Sequence[float], name: str = "value") -> IntArray:
    r"""Return the bin of each value, by the one rule of the project.

    A value on an edge belongs to the bin that begins there; the last bin is closed at its upper
    edge. Values of float32 are compared with the edges rounded to float32: a jet that is stored
    at :math:`|\eta| = 2.4` lies on an axis that ends at 2.4, though the float32 is above 2.4.

    Args:
        values: Any shape.
        edges: Rising, the last may be infinite, shape (n + 1,).
        name: What the error message calls the values.

    Returns:
        Bins 0 to n - 1, -1 below the axis, n above it, in the shape of the values.

    Raises:
        DataError: A value is NaN, which is in no bin.

    Example:
        >>> bin_index(np.array([-1.0, 0.0, 1.0, 2.0, 2.1]), [0.0, 1.0, 2.0]).tolist()
        [-1, 0, 1, 1, 2]
    """
    array = plain_array(values, name)
    if array.dtype.kind not in "biuf":
        msg = f"{name}: holds {array.dtype} values; only numbers are in bins"
        raise DataError(msg)
    missing = np.isnan(array)
    if missing.any():
        msg = (
            f"{name} is nan at position {int(np.argmax(missing))} ({int(missing.sum())} such "
            "values): it is in no bin. Leave it out, or find out where it comes from."
        )
        raise DataError(msg)
    kind = np.float32 if array.dtype == np.float32 else np.float64
    limits = np.asarray(edges, dtype=np.float64).astype(kind)
    index = np.searchsorted(limits, array, side="right") - 1
    return np.where(array == limits[-1], len(limits) - 2, index)
