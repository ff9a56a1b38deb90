"""A branch of some events, in memory: flat values, and where each event begins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from truthtag.arrays import AnyArray, IntArray

__all__ = ["Column"]


@dataclass(frozen=True, eq=False)
class Column:
    """Values of a branch: one per event, or a list per event, flat.

    Args:
        values: The values of all events one after the other, shape (n_values,).
        offsets: Where the list of each event begins, and the number of values at the end, shape
            (n_events + 1,); None where each event has one value.
    """

    values: AnyArray
    offsets: IntArray | None = None

    @property
    def n_events(self) -> int:
        """Number of events."""
        return len(self.values) if self.offsets is None else len(self.offsets) - 1

    @property
    def is_list(self) -> bool:
        """Whether each event has a list of values."""
        return self.offsets is not None

    def counts(self) -> IntArray:
        """Return how many values each event has, shape (n_events,)."""
        if self.offsets is None:
            return np.ones(self.n_events, dtype=np.int64)
        return np.diff(self.offsets)

    def element(self, index: int) -> Column:
        """Return one element of the list of each event; NaN where the list is shorter."""
        if self.offsets is None:
            msg = "only a list has elements"
            raise TypeError(msg)
        rows = self.offsets[:-1] + index
        there = rows < self.offsets[1:]
        values = np.full(self.n_events, np.nan)
        values[there] = self.values[rows[there]]
        return Column(values)
