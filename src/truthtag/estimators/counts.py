"""Tagged jets and all jets per bin: counts, or sums of weights with what their errors need."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

import numpy as np

from truthtag.arrays import AnyArray, BoolArray, FloatArray, IntArray, divide
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.estimators.protocol import ResampledOptions

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "WEIGHT_COLUMNS",
    "Counts",
    "Entries",
    "Tally",
    "WeightedOptions",
    "Weights",
    "check_counts",
    "check_positive_sum",
    "weights_of",
]

Weights = Literal["use", "ignore", "absolute"]

WEIGHT_COLUMNS = ("jets", "sum_w2")
"""Columns that a table has beside ``tagged`` and ``total`` where these are sums of weights."""

FEWEST = 1e-12
"""Effective number of entries below which a sum of weights is zero but for rounding."""

ROUNDING = 1e-9
"""How far a ratio of sums leaves [0, 1] by rounding alone."""


class WeightedOptions(ResampledOptions):
    """Options of estimators that are fitted in one go, to weighted jets."""

    weights: Weights = "use"
    """Weights of the events: `use` them, `ignore` them, every jet counting 1, or use their
    `absolute` values."""


class Entries(NamedTuple):
    """What sums of weights do not say of a bin.

    Attributes:
        jets: Number of jets, any shape.
        squares: Sum of the squared weights, the same shape.
    """

    jets: IntArray
    squares: FloatArray


@dataclass(frozen=True, eq=False)
class Counts:
    r"""Tagged jets and all jets per bin.

    With weights w, both are sums of weights, and the effective number of jets of a bin is

    .. math:: n = \frac{(\sum w)^2}{\sum w^2}

    A bin whose weights do not sum to more than 0 tells no efficiency, like one without jets.

    Source: Kish, Survey Sampling (1965), for the effective number.

    Args:
        tagged: Tagged jets, integers, or sums of weights; any shape.
        total: All jets, the same shape and kind.
        entries: Number and squared weights of all jets, where the others are sums of weights.
    """

    tagged: AnyArray
    total: AnyArray
    entries: Entries | None = None

    def sum(self, axis: tuple[int, ...]) -> Counts:
        """Return the sums over some axes, which are kept with length 1."""
        tagged = self.tagged.sum(axis=axis, keepdims=True)
        total = self.total.sum(axis=axis, keepdims=True)
        if self.entries is None:
            return Counts(tagged, total)
        jets = self.entries.jets.sum(axis=axis, keepdims=True)
        squares = self.entries.squares.sum(axis=axis, keepdims=True)
        return Counts(tagged, total, Entries(jets, squares))

    @property
    def jets(self) -> IntArray:
        """Number of jets per bin."""
        return self.total if self.entries is None else self.entries.jets

    @property
    def has_efficiency(self) -> BoolArray:
        """Whether the jets of each bin tell an efficiency."""
        if self.entries is None:
            return np.asarray(self.total > 0)
        return np.asarray((self.total > 0) & (self._effective > FEWEST))

    @property
    def _effective(self) -> FloatArray:
        """Effective number of jets per bin, 0 without any."""
        if self.entries is None:
            return self.total.astype(np.float64)
        squares = self.entries.squares
        # The root first: squares of tiny weights vanish.
        return np.square(divide(self.total, np.sqrt(squares), 0.0))

    def _ratio(self, otherwise: FloatArray | float) -> FloatArray:
        return divide(self.tagged, np.where(self.has_efficiency, self.total, 0), otherwise)

    def efficiency(self, otherwise: FloatArray | float) -> FloatArray:
        """Return tagged over all jets per bin, clipped to [0, 1].

        Args:
            otherwise: The value where the jets of a bin tell no efficiency, of a shape that
                broadcasts.
        """
        return np.clip(self._ratio(otherwise), 0.0, 1.0)

    @property
    def clipped(self) -> BoolArray:
        """In which bins negative weights take the efficiency out of [0, 1]."""
        ratio = self._ratio(0.0)
        return np.asarray((ratio < -ROUNDING) | (ratio > 1 + ROUNDING))

    @property
    def cancelled(self) -> BoolArray:
        """In which bins there are jets, and their weights do not sum to more than 0."""
        return np.asarray((self.jets > 0) & ~self.has_efficiency)

    @property
    def notes(self) -> dict[str, int]:
        """How many bins negative weights have spoiled, by what was done; empty if none."""
        found = {"clipped": int(self.clipped.sum()), "cancelled": int(self.cancelled.sum())}
        return {name: number for name, number in found.items() if number}

    def describe(self) -> str:
        """Say the same for the log, empty if there is nothing to say."""
        notes = self.notes
        text = ""
        if "clipped" in notes:
            text += f", {notes['clipped']} clipped to [0, 1]"
        if "cancelled" in notes:
            text += f", {notes['cancelled']} filled, as their weights do not sum to more than 0"
        return text

    def interval(self, coverage: float) -> tuple[FloatArray, FloatArray]:
        r"""Return the ends of the interval of each bin, [0, 1] where jets tell no efficiency.

        It is that of Clopper and Pearson. With weights, the effective numbers stand for the counts
        in its quantiles of Beta distributions, :math:`k = \epsilon n` tagged of n jets:

        .. math:: B(\alpha / 2;\, k,\, n - k + 1), \quad B(1 - \alpha / 2;\, k + 1,\, n - k)

        Args:
            coverage: :math:`1 - \alpha`, 0.68 say.

        Source: Clopper and Pearson, doi 10.1093/biomet/26.4.404.
        """
        known = self.has_efficiency
        if self.entries is None:
            from hist.intervals import clopper_pearson_interval

            low, high = clopper_pearson_interval(self.tagged, self.total, coverage)
        else:
            low, high = _beta_interval(self.efficiency(0.0), self._effective, coverage)
        return np.where(known, low, 0.0), np.where(known, high, 1.0)

    def columns(self) -> dict[str, AnyArray]:
        """Return the columns of a table, flat: those of :data:`WEIGHT_COLUMNS` with weights."""
        columns = {"tagged": self.tagged.ravel(), "total": self.total.ravel()}
        if self.entries is not None:
            columns |= {"jets": self.entries.jets.ravel(), "sum_w2": self.entries.squares.ravel()}
        return columns

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, shape: tuple[int, ...]) -> Counts:
        """Read them from a table whose rows are in the order of the bins.

        In a file of replicas some may have weights where others, of other events, have none: their
        cells are then empty, and the numbers are counts.

        Raises:
            DataError: The numbers cannot be those of jets.
        """
        tagged = frame["tagged"].to_numpy()
        total = frame["total"].to_numpy()
        present = [name for name in WEIGHT_COLUMNS if name in frame]
        if not present or frame[present].isna().all(axis=None):
            if present:
                tagged = _as_integers(tagged)
                total = _as_integers(total)
            check_counts(tagged, total)
            return cls(tagged.reshape(shape), total.reshape(shape))
        if len(present) < len(WEIGHT_COLUMNS):
            msg = f"it has only {present[0]!r} of the columns {', '.join(WEIGHT_COLUMNS)}"
            raise DataError(msg)
        jets = _as_integers(frame["jets"].to_numpy())
        squares = frame["sum_w2"].to_numpy(dtype=np.float64)
        tagged = tagged.astype(np.float64)
        total = total.astype(np.float64)
        _check_sums(tagged, total, jets, squares)
        entries = Entries(jets.reshape(shape), squares.reshape(shape))
        return cls(tagged.reshape(shape), total.reshape(shape), entries)


class Tally:
    """Tagged jets and all jets per bin, added up block by block.

    Sums of weights run from jet to jet in their order: where blocks are cut changes no digit.

    Args:
        shape: Numbers of bins.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.jets = np.zeros(math.prod(shape), np.int64)
        self.tagged = np.zeros_like(self.jets)
        self._weighted: _Weighted | None = None

    def add(
        self,
        index: tuple[IntArray, ...],
        is_tagged: BoolArray,
        weights: FloatArray | None,
        times: IntArray | None = None,
    ) -> None:
        """Count some jets.

        Args:
            index: The bin of each jet on every axis, each of shape (n_jets,).
            is_tagged: The tags, shape (n_jets,).
            weights: The weights, shape (n_jets,); None counts each jet as 1.
            times: How often each jet counts, shape (n_jets,); once by default.
        """
        # Without flavours there are no bins, and so no jets.
        size = len(self.jets)
        flat = np.ravel_multi_index(index, self.shape) if size else np.zeros(0, np.int64)
        if times is not None and not times.all():
            there = times > 0
            flat, is_tagged, times = flat[there], is_tagged[there], times[there]
            weights = None if weights is None else weights[there]
        if weights is not None and self._weighted is None and (weights != 1).any():
            self._weighted = _Weighted.of_counts(self.tagged, self.jets)
        if self._weighted is not None:
            once = np.ones(len(flat)) if weights is None else weights
            self._weighted.add(flat, is_tagged, once, times)
        of_tagged = None if times is None else times[is_tagged]
        # Sums of whole numbers are exact in double precision.
        self.jets += np.bincount(flat, times, size).astype(np.int64)
        self.tagged += np.bincount(flat[is_tagged], of_tagged, size).astype(np.int64)

    @property
    def n_jets(self) -> int:
        """Number of jets."""
        return int(self.jets.sum())

    @property
    def n_tagged(self) -> int:
        """Number of tagged jets."""
        return int(self.tagged.sum())

    @property
    def counts(self) -> Counts:
        """What was counted: sums of weights where any jet's is not 1."""
        jets = self.jets.reshape(self.shape)
        if self._weighted is None:
            return Counts(self.tagged.reshape(self.shape), jets)
        tagged, total, squares = (sums.reshape(self.shape) for sums in self._weighted)
        return Counts(tagged, total, Entries(jets, squares))


class _Weighted(NamedTuple):
    """Sums of weights per bin.

    Attributes:
        tagged: Of tagged jets, shape (n_bins,).
        total: Of all jets, the same shape.
        squares: Of their squares, the same shape.
    """

    tagged: FloatArray
    total: FloatArray
    squares: FloatArray

    @classmethod
    def of_counts(cls, tagged: IntArray, jets: IntArray) -> Self:
        """Return the sums of jets of weight 1."""
        return cls(*(numbers.astype(np.float64) for numbers in (tagged, jets, jets)))

    def add(
        self, flat: IntArray, is_tagged: BoolArray, weights: FloatArray, times: IntArray | None
    ) -> None:
        """Add some jets, one after the other."""
        first = weights if times is None else weights * times
        np.add.at(self.tagged, flat[is_tagged], first[is_tagged])
        np.add.at(self.total, flat, first)
        np.add.at(self.squares, flat, first * weights)


def weights_of(jets: Jets, how: Weights) -> FloatArray | None:
    """Return the weight of each jet, that of its event, shape (n_jets,); None where each counts 1.

    Args:
        jets: The jets.
        how: Which weights: an option of :class:`WeightedOptions`.
    """
    if how == "ignore":
        return None
    of_events = np.abs(jets.weight) if how == "absolute" else jets.weight
    if (of_events == 1).all():
        return None
    return np.asarray(of_events[jets.event_of_jet], dtype=np.float64)


def check_positive_sum(total: float, absolute: float) -> None:
    """Refuse weights that do not sum to more than 0, to which nothing can be fitted.

    Args:
        total: Sum of the weights of the training jets.
        absolute: Sum of their absolute values.

    Raises:
        DataError: They do not.
    """
    if not total > FEWEST * absolute:
        msg = (
            f"the weights of the training jets sum to {total:g}, not to more than 0. "
            "Set weights: absolute or ignore, or correct them."
        )
        raise DataError(msg)


def check_counts(tagged: AnyArray, total: AnyArray) -> None:
    """Refuse numbers of jets that cannot be.

    Raises:
        DataError: A number is no integer, or not 0 <= tagged <= total.
    """
    if tagged.dtype.kind not in "iu" or total.dtype.kind not in "iu":
        msg = f"columns 'tagged' and 'total' are {tagged.dtype} and {total.dtype}, not integers"
        raise DataError(msg)
    wrong = (tagged < 0) | (tagged > total)
    if wrong.any():
        row = int(np.argmax(wrong))
        msg = f"{tagged[row]} of {total[row]} jets are tagged in row {row}, which cannot be"
        raise DataError(msg)


def _check_sums(tagged: FloatArray, total: FloatArray, jets: IntArray, squares: FloatArray) -> None:
    """Refuse sums of weights that no jets have.

    By the inequality of Cauchy and Schwarz, n weights sum to at most the root of n times the sum of
    their squares; so do those of the tagged jets, and those of the others.

    Raises:
        DataError: A sum is not finite, or larger than that; or a number of jets is negative.
    """
    most = np.sqrt(np.maximum(jets, 0)) * np.sqrt(np.maximum(squares, 0)) * (1 + ROUNDING)
    fits = (jets >= 0) & (squares >= 0) & np.isfinite(squares)
    for one in (tagged, total, total - tagged):
        # NaN compares false.
        fits &= np.abs(one) <= most
    if not fits.all():
        row = int(np.argmin(fits))
        msg = (
            f"weights of {tagged[row]:g} tagged of {total[row]:g} in all, {jets[row]} jets with "
            f"squares of {squares[row]:g}, in row {row}, which cannot be"
        )
        raise DataError(msg)


def _as_integers(values: AnyArray) -> IntArray:
    """Return counts that pandas made floating, since others of their column are empty.

    Raises:
        DataError: One is no integer.
    """
    if values.dtype.kind in "iu":
        return values
    numbers = values.astype(np.float64)
    whole = np.isfinite(numbers) & (numbers == np.round(numbers))
    if not whole.all():
        row = int(np.argmin(whole))
        msg = f"{values[row]} jets in row {row}, which is no whole number"
        raise DataError(msg)
    return numbers.astype(np.int64)


def _beta_interval(
    eff: FloatArray, effective: FloatArray, coverage: float
) -> tuple[FloatArray, FloatArray]:
    """Return the interval of Clopper and Pearson for numbers that need not be whole."""
    from scipy.special import betaincinv

    tail = (1 - coverage) / 2
    tagged = eff * effective
    others = effective - tagged
    # Where no or all jets are tagged, one of the ends is that of [0, 1]; 1 stands for what is then
    # not looked at.
    low = betaincinv(np.where(tagged > 0, tagged, 1.0), others + 1, tail)
    high = betaincinv(tagged + 1, np.where(others > 0, others, 1.0), 1 - tail)
    low = np.where(tagged > 0, low, 0.0)
    high = np.where(others > 0, high, 1.0)
    # With less than one effective jet, a quantile can pass the estimate itself.
    return np.minimum(low, eff), np.maximum(high, eff)
