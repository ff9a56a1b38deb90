"""Statistics of numbers that are given block by block: moments, and exact quantiles."""

from __future__ import annotations

import numpy as np

from truthtag.arrays import FloatArray, IntArray

__all__ = ["PASSES", "Moments", "Quantiles"]


class Moments:
    r"""Mean and variance of numbers, or of several rows of numbers, given block by block.

    Blocks are joined by

    .. math:: M = M_a + M_b + \delta^2\, \frac{n_a n_b}{n_a + n_b}, \quad
        \delta = \langle x \rangle_b - \langle x \rangle_a

    where M is the sum of squares about the mean: nothing cancels, however far the mean is from 0.

    Source: Chan, Golub and LeVeque, doi 10.1080/00031305.1983.10483115.

    Attributes:
        count: Number of entries of each row.
        mean: Their mean, shape (...,); 0 before there are some.
        squares: Sum of squares about it, shape (...,).

    Example:
        >>> moments = Moments()
        >>> moments.add(np.array([1.0, 2.0]))
        >>> moments.add(np.array([6.0]))
        >>> float(moments.mean), float(moments.squares)
        (3.0, 14.0)
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: FloatArray = np.zeros(())
        self.squares: FloatArray = np.zeros(())

    def add(self, values: FloatArray) -> None:
        """Add entries.

        Args:
            values: Rows of entries, shape (..., n).
        """
        count = values.shape[-1]
        if not count:
            return
        mean = values.mean(axis=-1, dtype=np.float64)
        squares = np.square(values - mean[..., None]).sum(axis=-1, dtype=np.float64)
        self.add_sums(count, mean, squares)

    def add_sums(self, count: int, mean: FloatArray, squares: FloatArray) -> None:
        """Add entries of which mean and sum of squares about it are known.

        Args:
            count: How many there are of each row.
            mean: Their mean, shape (...,).
            squares: Their sum of squares, shape (...,).
        """
        total = self.count + count
        apart = mean - self.mean
        if self.count:
            squares = self.squares + squares + apart**2 * (self.count * count / total)
            mean = self.mean + apart * (count / total)
        self.count = total
        self.mean = mean
        self.squares = squares

    @property
    def std(self) -> FloatArray:
        """Standard deviation, divided by the number of entries, shape (...,); NaN of none."""
        return np.sqrt(self.squares / self.count) if self.count else self.mean + np.nan


PASSES = 3
"""How often :class:`Quantiles` needs to see the same numbers."""

_COARSE = 44
_FINE = 28
_SUB = 1 << (_COARSE - _FINE)


class Quantiles:
    """Exact quantiles of probabilities that are given block by block, in memory that does not grow.

    The bits of a positive number, read as an integer, are in its order. The first pass counts
    numbers by their leading bits, the second those that share them with a quantile by the bits that
    follow, and the third keeps the few distinct numbers that then are left.

    Args:
        fractions: The quantiles asked for, each in [0, 1].
    """

    def __init__(self, fractions: FloatArray) -> None:
        self.fractions = fractions
        self.count = 0
        self._pass = 0
        self._counts = np.zeros((_key(np.ones(1))[0] >> _COARSE) + 1, dtype=np.int64)
        self._ranks: IntArray = np.zeros(0, dtype=np.int64)
        self._targets: IntArray = np.zeros(0, dtype=np.int64)
        self._below: IntArray = np.zeros(0, dtype=np.int64)
        self._kept: list[tuple[FloatArray, IntArray]] = []

    def add(self, values: FloatArray) -> None:
        """Add numbers; the same in every pass.

        Args:
            values: Numbers in [0, 1], shape (n,).
        """
        key = _key(values)
        if self._pass == 0:
            self.count += len(key)
            self._counts += np.bincount(key >> _COARSE, minlength=len(self._counts))
            return
        shift = _COARSE if self._pass == 1 else _FINE
        place = np.searchsorted(self._targets, key >> shift)
        inside = np.take(self._targets, place, mode="clip") == key >> shift
        if self._pass == 1:
            sub = place[inside] * _SUB + ((key[inside] >> _FINE) & (_SUB - 1))
            self._counts += np.bincount(sub, minlength=len(self._counts))
        elif inside.any():
            self._kept.append(np.unique(key[inside], return_counts=True))

    def next_pass(self) -> None:
        """End a pass over all numbers."""
        if not self.count:
            return
        if self._pass == 0:
            self._ranks = np.unique(np.concatenate(self._neighbours()[:2]))
            self._follow(np.arange(len(self._counts)), np.zeros(len(self._ranks), dtype=np.int64))
            self._counts = np.zeros(len(self._targets) * _SUB, dtype=np.int64)
        elif self._pass == 1:
            first = self._targets[:, None] << (_COARSE - _FINE)
            names = (first + np.arange(_SUB)).ravel()
            self._follow(names, self._below)
        self._pass += 1

    def _follow(self, names: IntArray, below: IntArray) -> None:
        """Find the classes that hold the ranks asked for, and what is below each of them."""
        # What is counted begins, for each target, after all numbers below it.
        start = np.cumsum(self._counts) - self._counts
        n_targets = max(1, len(self._targets))
        of_target = np.arange(len(names)) // (len(names) // n_targets)
        if self._pass:
            first = start[::_SUB]
            start = start - first[of_target] + below[of_target]
        filled = self._counts > 0
        start, names = start[filled], names[filled]
        place = np.unique(np.searchsorted(start, self._ranks, side="right") - 1)
        self._targets = names[place]
        self._below = start[place]

    def _neighbours(self) -> tuple[IntArray, IntArray, FloatArray]:
        """Return the ranks on both sides of each quantile, and how far it is between them."""
        virtual = (self.count - 1) * self.fractions
        lower = np.floor(virtual).astype(np.int64)
        upper = np.minimum(lower + 1, self.count - 1)
        return lower, upper, virtual - lower

    @property
    def values(self) -> FloatArray:
        """The quantiles after the last pass, as :func:`numpy.quantile` gives them."""
        keys = np.concatenate([keys for keys, _ in self._kept])
        counts = np.concatenate([counts for _, counts in self._kept])
        distinct, where = np.unique(keys, return_inverse=True)
        number = np.bincount(where, counts).astype(np.int64)
        target = np.searchsorted(self._targets, distinct >> _FINE)
        start = np.cumsum(number) - number
        first = start[np.searchsorted(target, np.arange(len(self._targets)))]
        # All numbers below a target count, not only those that were kept.
        start = start + (self._below - first)[target]
        lower, upper, share = self._neighbours()
        found = []
        for low, high, between in zip(lower, upper, share, strict=True):
            pair = np.searchsorted(start, [low, high], side="right") - 1
            # numpy says how to go from one to the other.
            found.append(np.quantile(distinct[pair].view(np.float64), between))
        return np.array(found)


def _key(values: FloatArray) -> IntArray:
    """Return the bits of positive numbers as integers, which are in the same order."""
    # Adding 0 makes -0 positive.
    plain = np.asarray(values, dtype=np.float64) + 0.0
    return plain.view(np.int64)
