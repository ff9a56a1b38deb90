"""What an additive model learns from: tagged events with weights, in blocks of any sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from truthtag.arrays import BoolArray, FloatArray
from truthtag.data.jets import Jets
from truthtag.data.training_blocks import Blocks, EqualBlocks
from truthtag.estimators.additive.structure import BLOCK
from truthtag.estimators.additive.variables import Ends, ends_of
from truthtag.estimators.bins import tags_of
from truthtag.estimators.counts import Weights, weights_of

__all__ = ["Census", "TaggedBlock", "TaggedEvents"]

KEPT = 1_000_000
"""So many events, taken out of a larger sample, stay in memory."""


class TaggedBlock(NamedTuple):
    """Some of the events.

    Attributes:
        jets: The events.
        is_tagged: Tags of their jets, shape (n_jets,).
        weight: Weights of their jets, shape (n_jets,).
    """

    jets: Jets
    is_tagged: BoolArray
    weight: FloatArray


class Census(NamedTuple):
    """What one pass through the events tells.

    Attributes:
        n_events: Number of events.
        n_jets: Number of jets.
        n_tagged: Number of tagged jets.
        flavours: Flavours that jets have, rising.
        weight: Sum of the weights of the jets.
        squares: Sum of their squares.
        absolute: Sum of their absolute values.
        ends: Ends of some columns, by name.
    """

    n_events: int
    n_jets: int
    n_tagged: int
    flavours: tuple[int, ...]
    weight: float
    squares: float
    absolute: float
    ends: Mapping[str, Ends]


@dataclass(frozen=True, eq=False)
class TaggedEvents:
    """A tagged sample, as often as it is asked for.

    It comes in blocks of 20,000 events, whose columns are made together, however it is stored: sums
    of blocks, and then of these, do not depend on that.

    Args:
        blocks: The sample, in blocks of any size.
        weights: Which weights: an option of the estimator.
        scale: What the weights are multiplied by.
    """

    blocks: Blocks
    weights: Weights
    scale: float = 1.0

    def __iter__(self) -> Iterator[TaggedBlock]:
        for jets in EqualBlocks(self.blocks, BLOCK):
            own = weights_of(jets, self.weights)
            weight = np.ones(jets.n_jets) if own is None else own
            yield TaggedBlock(jets, tags_of(jets), weight * self.scale)

    def census(self, columns: Sequence[str]) -> Census:
        """Go through the events once, and tell what there is to know.

        Args:
            columns: Columns whose ends are wanted.

        Raises:
            DataError: The sample has no tags, or lacks a column.
        """
        n_events = n_jets = n_tagged = 0
        flavours: set[int] = set()
        sums = np.zeros(3)
        ends: dict[str, Ends] = {}
        for jets, is_tagged, weight in self:
            n_events += jets.n_events
            n_jets += jets.n_jets
            n_tagged += int(is_tagged.sum())
            flavours.update(np.unique(jets.flavour).tolist())
            sums += [weight.sum(), (weight**2).sum(), np.abs(weight).sum()]
            for name in columns:
                ends[name] = ends_of(jets, name, ends.get(name))
        found = tuple(sorted(flavours))
        total, squares, absolute = sums.tolist()
        return Census(n_events, n_jets, n_tagged, found, total, squares, absolute, ends)

    def every(self, count: int, n_events: int) -> TaggedEvents:
        """Return one event of so many, in memory where these are few.

        Args:
            count: One of how many.
            n_events: Number of all events.
        """
        some: Blocks = _Every(self.blocks, count)
        if n_events <= KEPT * count:
            some = list(EqualBlocks(some, BLOCK))
        return replace(self, blocks=some)


@dataclass(frozen=True)
class _Every:
    """The first event, and then one of so many."""

    blocks: Blocks
    count: int

    def __iter__(self) -> Iterator[Jets]:
        first = 0
        for block in self.blocks:
            yield block.take(np.arange(first, first + block.n_events) % self.count == 0)
            first += block.n_events
