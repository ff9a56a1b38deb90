"""Digests of columns that are given block by block."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from truthtag.arrays import AnyArray

__all__ = ["ColumnsDigest"]


class ColumnsDigest:
    """A digest of columns that does not depend on how their rows are cut into blocks.

    Example:
        >>> whole, cut = ColumnsDigest(), ColumnsDigest()
        >>> whole.add("pt", np.arange(3), "<i8")
        >>> cut.add("pt", np.arange(2), "<i8")
        >>> cut.add("pt", np.array([2]), "<i8")
        >>> whole.text() == cut.text()
        True
    """

    def __init__(self) -> None:
        self._columns: dict[str, Any] = {}

    def add(self, name: str, values: AnyArray, dtype: Any) -> None:
        """Add rows of a column, as they are stored in a type, the lowest byte first.

        Args:
            name: The column.
            values: Its rows.
            dtype: The type.
        """
        stored = np.dtype(dtype).newbyteorder("<")
        column = self._columns.setdefault(name, hashlib.sha256())
        column.update(np.ascontiguousarray(values, dtype=stored).tobytes())

    def text(self, *beside: str) -> str:
        """Return the digest of all rows so far.

        Args:
            beside: Texts that count, too.
        """
        digest = hashlib.sha256("\n".join(beside).encode())
        for name, column in self._columns.items():
            digest.update(name.encode() + column.digest())
        return digest.hexdigest()[:16]
