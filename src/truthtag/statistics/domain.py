"""Where an efficiency was learned: which jets are like those of the training sample."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from truthtag.arrays import BoolArray, FloatArray, IntArray, divide, jet_mask, plain_array
from truthtag.data.files import check_columns, read_frame, write_frame
from truthtag.data.jets import Jets
from truthtag.data.training_blocks import Blocks, as_blocks, labels_of
from truthtag.errors import ConfigError, DataError
from truthtag.statistics.domain_file import read_criterion
from truthtag.statistics.domain_variables import VARIABLES, further_variables, variables_of

__all__ = ["Domain", "events_in_domain"]


@dataclass(frozen=True, eq=False)
class Domain:
    r"""The region that a training sample fills, for each hadron flavour of the jet.

    It lies in the space of :data:`~truthtag.statistics.domain_variables.VARIABLES`, which tell of
    the jet and of all others of its event, and of further numeric columns of the jets:

    .. math:: D(x) = \frac{1}{t_f} \sqrt{\sum_v \left(\frac{x_v - x^{(k)}_v}{s_v}\right)^2}
        \quad \text{where every } x_v \text{ is in } [\min_f x_v, \max_f x_v],
        \text{ else } \infty

    Here :math:`x^{(k)}` is the k-th nearest of the reference jets of flavour f, which are training
    jets; :math:`s_v` is the standard deviation over the training jets of all flavours, and a
    variable that does not vary is left out of the sum. A flavour with fewer than k reference jets
    takes the farthest of them. A jet is inside where :math:`D \le 1`.

    The threshold :math:`t_f` is the quantile 1 - ``flagged`` of the distances of the validation
    jets of flavour f, in the ranges or not: about this share of new jets of the same origin is
    outside. Each of the ends of the ranges, two per variable, takes at most about one more in n,
    where n training jets set it.

    Where the labels of the training sample state its flavours, a part of it may lack a rare one by
    chance. Of a flavour without validation jets, the reference jets set the threshold: each by its
    distance to the k-th nearest of the others, 0 where there is only one. Of a flavour without
    training jets, every jet is outside.

    Source: this project; distances to the k-th nearest as a test for outliers are those of
    Ramaswamy, Rastogi and Shim, doi 10.1145/342009.335437.

    Args:
        flavours: Hadron flavours that training jets have, rising.
        low: Smallest value of each variable per flavour, shape (n_flavours, n_variables); of
            transverse momenta in [GeV].
        high: Largest values, the same shape and units.
        scale: Standard deviations, 0 where a variable does not vary, shape (n_variables,), the
            same units.
        threshold: Largest distance to the k-th nearest reference jet per flavour, in units of the
            standard deviations, shape (n_flavours,).
        neighbours: Which of the nearest reference jets counts, k.
        reference_flavour: Flavours of the reference jets, shape (n_reference,).
        reference: Their variables, of :func:`~truthtag.statistics.domain_variables.variables_of`,
            shape (n_reference, n_variables).
        further: Names of the further columns, the last variables.

    Raises:
        DataError: An array has another shape, a number is masked or not allowed, or a flavour has
            no reference jet.

    Example:
        >>> jets = Jets.from_columns({**row, "event": np.array([7, 7, 9])})
        >>> options = {"flagged": 0.005, "neighbours": 10, "max_reference_jets": 50_000}
        >>> domain = Domain.fit(jets, jets, np.random.default_rng(0), **options)
        >>> domain.contains(jets.with_columns(pt=np.array([50.0, 41.0, 30.0])))
        array([False, False,  True])
    """

    flavours: tuple[int, ...]
    low: FloatArray
    high: FloatArray
    scale: FloatArray
    threshold: FloatArray
    neighbours: int
    reference_flavour: IntArray
    reference: FloatArray
    further: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n_flavours = len(self.flavours)
        n_variables = len(self.variables)
        if len(set(self.variables)) < n_variables:
            msg = f"domain: variables are {list(self.variables)}; name each once"
            raise DataError(msg)
        n_reference = np.size(self.reference_flavour)
        shapes = {
            "low": (n_flavours, n_variables),
            "high": (n_flavours, n_variables),
            "scale": (n_variables,),
            "threshold": (n_flavours,),
            "reference_flavour": (n_reference,),
            "reference": (n_reference, n_variables),
        }
        for name, shape in shapes.items():
            array = _numbers(getattr(self, name), shape, f"domain: {name}")
            object.__setattr__(self, name, array)
        if not self.flavours or list(self.flavours) != sorted(set(self.flavours)):
            msg = f"domain: flavours are {list(self.flavours)}; they must rise, at least one"
            raise DataError(msg)
        if self.neighbours < 1:
            msg = f"domain: neighbours is {self.neighbours}; it must be at least 1"
            raise DataError(msg)
        for name in ("scale", "threshold"):
            smallest = getattr(self, name).min()
            if smallest < 0:
                msg = f"domain: {name} is {smallest}; a distance is not negative"
                raise DataError(msg)
        if (self.low > self.high).any():
            row, column = np.argwhere(self.low > self.high)[0]
            name = self.variables[column]
            msg = (
                f"domain: the range of {name} for flavour {self.flavours[row]} ends "
                f"at {self.high[row, column]}, below its begin, {self.low[row, column]}"
            )
            raise DataError(msg)
        missing = set(self.flavours) - set(self.reference_flavour.tolist())
        if missing:
            msg = f"domain: flavour {min(missing)} has no reference jet; fit the domain again"
            raise DataError(msg)

    @classmethod
    def fit(
        cls,
        train: Jets | Blocks,
        validation: Jets | Blocks,
        rng: np.random.Generator,
        *,
        flagged: float,
        neighbours: int,
        max_reference_jets: int,
        further: Sequence[str] | None = None,
    ) -> Domain:
        """Take ranges and reference jets from one sample, and the thresholds from another.

        Weights play no role. Samples may be blocks of events, of which one is in memory at a time,
        beside a number for each validation jet. Both samples are of the same origin, but
        independent: a jet that is in both is too near to itself.

        Args:
            train: The sample that the efficiency was learned from.
            validation: A sample that it was not learned from, with every flavour of ``train``,
                unless its labels state the flavours.
            rng: What draws the reference jets.
            flagged: Share of the validation jets of each flavour that lie beyond the threshold, in
                (0, 1).
            neighbours: Which of the nearest reference jets counts, at least 1.
            max_reference_jets: Largest number of reference jets per flavour, at least
                ``neighbours``; drawn without replacement.
            further: Further columns of the jets that are variables; by default all of ``train``
                that are no categories.

        Raises:
            ConfigError: An option is out of range.
            DataError: A sample has no jets, or lacks a column; or a flavour of ``train`` is missing
                in ``validation``, and the labels do not state the flavours.
        """
        _check_options(flagged, neighbours, max_reference_jets)
        blocks = as_blocks(train)
        flavours, counts = _flavours_of(blocks, as_blocks(validation))
        if further is None:
            names = next(further_variables(block) for block in blocks)
        else:
            names = tuple(further)
        ranges = _Ranges.of(blocks, names, flavours)
        chosen = [_draw(count, max_reference_jets, rng) for count in counts]
        reference_flavour, reference = _taken(blocks, names, flavours, chosen)
        without_threshold = cls(
            flavours=flavours,
            low=ranges.low.astype(np.float64),
            high=ranges.high.astype(np.float64),
            scale=ranges.scale,
            threshold=np.ones(len(flavours)),
            neighbours=neighbours,
            reference_flavour=reference_flavour,
            reference=reference,
            further=names,
        )
        spacings: list[list[FloatArray]] = [[] for _ in flavours]
        for block in as_blocks(validation):
            tried = variables_of(block, names)
            for of_flavour, flavour in zip(spacings, flavours, strict=True):
                inside = block.flavour == flavour
                of_flavour.append(without_threshold._spacing(flavour, tried[inside]))
        threshold = []
        for of_flavour, flavour in zip(spacings, flavours, strict=True):
            spacing = np.concatenate(of_flavour)
            if not len(spacing):
                spacing = without_threshold._own_spacing(flavour)
            threshold.append(np.quantile(spacing, 1 - flagged))
        return replace(without_threshold, threshold=np.array(threshold))

    def distance(self, jets: Jets) -> FloatArray:
        """Return how far each jet is from the reference jets, in units of the threshold.

        Args:
            jets: The jets, tagged or not.

        Returns:
            Distances to the k-th nearest of the same flavour, shape (n_jets,); infinity outside
            the ranges, or for a flavour that no training jet had.

        Raises:
            DataError: The jets lack a further column.
        """
        values = variables_of(jets, self.further)
        distance = np.full(jets.n_jets, np.inf)
        for flavour, low, high, threshold in zip(
            self.flavours, self.low, self.high, self.threshold, strict=True
        ):
            in_range = ((values >= low) & (values <= high)).all(axis=1)
            inside = np.flatnonzero(in_range & (jets.flavour == flavour))
            spacing = self._spacing(flavour, values[inside])
            distance[inside] = divide(spacing, threshold, np.where(spacing > 0, np.inf, 0.0))
        return distance

    def contains(self, jets: Jets) -> BoolArray:
        """Return whether each jet is like those of the training sample, shape (n_jets,)."""
        return self.distance(jets) <= 1

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables."""
        return (*VARIABLES, *self.further)

    def to_frame(self) -> pd.DataFrame:
        """Return the reference jets as a table: their flavours and variables."""
        columns = dict(zip(self.variables, self.reference.T, strict=True))
        return pd.DataFrame({"flavour": self.reference_flavour, **columns})

    @property
    def criterion(self) -> dict[str, Any]:
        """What the table does not hold, :data:`~truthtag.statistics.domain_file.CRITERION`."""
        return {
            "variables": list(self.variables),
            "flavours": list(self.flavours),
            "neighbours": self.neighbours,
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "scale": self.scale.tolist(),
            "threshold": self.threshold.tolist(),
        }

    def write(self, path: str | Path, metadata: Mapping[str, Any]) -> None:
        """Write the domain as Parquet, a row per reference jet; the rest goes into the metadata.

        Args:
            path: The file to write, ending in ``.parquet``.
            metadata: What to record about its origin; anything that JSON holds.
        """
        write_frame(self.to_frame(), path, {**metadata, "domain": self.criterion})

    @classmethod
    def read(cls, path: str | Path) -> Domain:
        """Read a domain that :meth:`write` wrote.

        Raises:
            DataError: The file is missing, damaged or foreign, lacks a column, or its numbers make
                no domain.
        """
        criterion = read_criterion(path)
        variables = criterion["variables"]
        frame = read_frame(path)
        check_columns(path, [str(name) for name in frame.columns], ("flavour", *variables))
        try:
            arrays = {
                name: np.array(criterion[name], dtype=np.float64)
                for name in ("low", "high", "scale", "threshold")
            }
            return cls(
                flavours=tuple(criterion["flavours"]),
                neighbours=criterion["neighbours"],
                reference_flavour=frame["flavour"].to_numpy(),
                reference=frame[variables].to_numpy(),
                further=tuple(variables[len(VARIABLES) :]),
                **arrays,
            )
        except (TypeError, ValueError) as error:
            # A DataError is a ValueError, too: either way the file is not what was written.
            msg = f"{path}: holds no domain ({error}); fit the domain again with truthtag"
            raise DataError(msg) from error

    @cached_property
    def _trees(self) -> dict[int, Any]:
        """A search tree over the reference jets of each flavour."""
        points = self._scaled(self.reference)
        trees = {}
        for flavour in self.flavours:
            trees[flavour] = cKDTree(points[self.reference_flavour == flavour])
        return trees

    def _scaled(self, values: FloatArray) -> FloatArray:
        """Return variables in units of their standard deviation, 0 where they do not vary."""
        return divide(values, self.scale, 0.0)

    def _spacing(self, flavour: int, values: FloatArray) -> FloatArray:
        """Return the distance to the k-th nearest reference jet, or to the farthest of fewer."""
        tree = self._trees[flavour]
        k = min(self.neighbours, tree.n)
        # A list of one k asks for this neighbour only, not for all up to it.
        distance: FloatArray = tree.query(self._scaled(values), k=[k])[0]
        return distance[:, 0]

    def _own_spacing(self, flavour: int) -> FloatArray:
        """Return the distance of each reference jet to the k-th nearest other one, likewise."""
        tree = self._trees[flavour]
        # The nearest of all is the jet itself.
        k = min(self.neighbours + 1, tree.n)
        distance: FloatArray = tree.query(tree.data, k=[k])[0]
        return distance[:, 0]


def events_in_domain(jets: Jets, in_domain: BoolArray) -> BoolArray:
    """Return which events are in the domain: those whose jets are, every one of them.

    The efficiency of a jet depends on its neighbours, and the weight of an event on all its jets:
    what one jet outside does to an event is as unknown as the jet itself.

    Args:
        jets: The events.
        in_domain: Which jets are like those that the efficiencies were learned from, (n_jets,).

    Returns:
        Shape (n_events,); an event without jets is in the domain.

    Raises:
        DataError: ``in_domain`` is no mask of the jets.

    Example:
        >>> jets = Jets.from_columns({**row, "event": np.array([7, 7, 9])})
        >>> events_in_domain(jets, np.array([True, False, True])).tolist()
        [False, True]
    """
    inside = jet_mask(in_domain, jets.n_jets, "in_domain")
    beyond = np.bincount(jets.event_of_jet[~inside], minlength=jets.n_events)
    return np.asarray(beyond == 0)


def _numbers(values: Any, shape: tuple[int, ...], name: str) -> Any:
    """Return an array of real numbers of this shape; ranges may be infinite, nothing is NaN."""
    array = plain_array(values, name)
    if array.shape != shape:
        msg = f"{name} has shape {array.shape}; it must have {shape}"
        raise DataError(msg)
    if array.dtype.kind not in "iuf":
        msg = f"{name} holds {array.dtype} values; it must hold numbers"
        raise DataError(msg)
    if np.isnan(array).any():
        place = tuple(int(i) for i in np.argwhere(np.isnan(array))[0])
        msg = f"{name} is nan at position {place}; every number must be known"
        raise DataError(msg)
    return array


def _check_options(flagged: float, neighbours: int, max_reference_jets: int) -> None:
    """Refuse options that make no domain, naming the first."""
    if not 0 < flagged < 1:
        msg = f"domain: flagged is {flagged}; it must be above 0 and below 1. Take 0.005, say."
        raise ConfigError(msg)
    if neighbours < 1:
        msg = f"domain: neighbours is {neighbours}; it must be at least 1. Take 10, say."
        raise ConfigError(msg)
    if max_reference_jets < neighbours:
        msg = (
            f"domain: max_reference_jets is {max_reference_jets}; it must be at least neighbours, "
            f"{neighbours}. Raise it, or lower neighbours."
        )
        raise ConfigError(msg)


class _Ranges(NamedTuple):
    """What the variables of the training jets are.

    Attributes:
        low: Smallest values per flavour, shape (n_flavours, n_variables).
        high: Largest values, the same shape.
        scale: Standard deviations over all flavours, 0 where all are equal, shape (n_variables,).
    """

    low: FloatArray
    high: FloatArray
    scale: FloatArray

    @classmethod
    def of(cls, blocks: Blocks, names: Sequence[str], flavours: Sequence[int]) -> Self:
        """Go through a sample twice: for the means, and for the deviations from them.

        Sums run from jet to jet in their order, so that where blocks are cut changes no digit.
        """
        shape = (len(flavours), len(VARIABLES) + len(names))
        low = np.full(shape, np.inf, dtype=np.float32)
        high = np.full(shape, -np.inf, dtype=np.float32)
        total: FloatArray = np.zeros(shape[1])
        n_jets = 0
        for block in blocks:
            values = variables_of(block, names)
            for position, flavour in enumerate(flavours):
                inside = values[block.flavour == flavour]
                low[position] = np.minimum(low[position], inside.min(axis=0, initial=np.inf))
                high[position] = np.maximum(high[position], inside.max(axis=0, initial=-np.inf))
            total = _summed(total, values)
            n_jets += block.n_jets
        mean = total / n_jets
        squares: FloatArray = np.zeros(shape[1])
        for block in blocks:
            squares = _summed(squares, np.square(variables_of(block, names) - mean))
        # The rounded mean of equal values can differ from them: their deviation is not exactly 0.
        varies = high.max(axis=0) - low.min(axis=0) > 0
        return cls(low, high, np.where(varies, np.sqrt(squares / n_jets), 0.0))


def _summed(before: FloatArray, rows: FloatArray) -> FloatArray:
    """Add rows to a sum, one after the other."""
    return np.asarray(np.concatenate([before[None], rows], dtype=np.float64).sum(axis=0))


def _taken(
    blocks: Blocks, names: Sequence[str], flavours: Sequence[int], chosen: Sequence[IntArray]
) -> tuple[IntArray, FloatArray]:
    """Return the flavours and variables of chosen jets, those of one flavour after the other.

    Args:
        blocks: A sample.
        names: Further variables.
        flavours: The flavours.
        chosen: Which of the jets of each flavour, counted from 0 and rising.
    """
    found: list[list[FloatArray]] = [[] for _ in flavours]
    first = np.zeros(len(flavours), np.int64)
    for block in blocks:
        values = variables_of(block, names)
        for position, flavour in enumerate(flavours):
            inside = values[block.flavour == flavour]
            last = first[position] + len(inside)
            begin, end = np.searchsorted(chosen[position], [first[position], last])
            found[position].append(inside[chosen[position][begin:end] - first[position]])
            first[position] = last
    reference = [np.concatenate(of_flavour) for of_flavour in found]
    numbers = np.repeat(np.array(flavours, dtype=np.int8), [len(one) for one in reference])
    return numbers, np.concatenate(reference)


def _count_flavours(blocks: Blocks) -> dict[int, int]:
    """Return how many jets of each flavour there are, flavours rising."""
    found: Counter[int] = Counter()
    for block in blocks:
        flavours, counts = np.unique(block.flavour, return_counts=True)
        found.update(dict(zip(flavours.tolist(), counts.tolist(), strict=True)))
    return dict(sorted(found.items()))


def _flavours_of(train: Blocks, validation: Blocks) -> tuple[tuple[int, ...], list[int]]:
    """Return the flavours that training jets have, and how many have each.

    Raises:
        DataError: The samples make no domain.
    """
    found = _count_flavours(train)
    of_validation = _count_flavours(validation)
    for name, numbers in (("training", found), ("validation", of_validation)):
        if not numbers:
            msg = (
                f"the {name} sample has no jets; a domain needs some. "
                "Give it a sample that has jets."
            )
            raise DataError(msg)
    stated = labels_of(train).flavours
    for flavour in stated:
        if flavour not in found:
            text = (
                "no jet of the training sample has flavour %d: all jets of it are outside the "
                "domain"
            )
            logging.getLogger("truthtag").warning(text, flavour)
    missing = [flavour for flavour in found if flavour not in of_validation]
    if missing and stated:
        text = (
            "no jet of the validation sample has flavour %d: its %d jets in the training sample "
            "set the threshold of the domain themselves"
        )
        for flavour in missing:
            logging.getLogger("truthtag").warning(text, flavour, found[flavour])
    elif missing:
        msg = (
            f"the validation sample has no jet of flavour {missing[0]}, the training "
            f"sample has {found[missing[0]]}: nothing sets the threshold of this flavour. "
            "Give the validation sample more events, or drop those jets from the training sample."
        )
        raise DataError(msg)
    return tuple(found), list(found.values())


def _draw(count: int, most: int, rng: np.random.Generator) -> IntArray:
    """Draw some of so many rows without replacement, rising; where there are few, all of them."""
    if count <= most:
        return np.arange(count)
    return np.sort(rng.choice(count, most, replace=False, shuffle=False))
