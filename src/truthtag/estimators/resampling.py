"""Replicas of an estimator: fits to events drawn with replacement, for the statistical error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np

from truthtag.arrays import BoolArray, IntArray
from truthtag.data.jets import Jets
from truthtag.data.training_blocks import Blocks, EventChoice, as_blocks, at_point, labels_of
from truthtag.errors import DataError
from truthtag.estimators.bins import flavours_of
from truthtag.estimators.cross_fitting import CrossFitted, HeldOut
from truthtag.estimators.protocol import Estimator
from truthtag.estimators.table_file import PointwiseEstimator
from truthtag.seeds import Seed, seed_words

__all__ = ["MAX_DRAWS", "draw_events", "fit_replicas", "resamples_of"]

Kind = TypeVar("Kind", bound=Estimator)

MAX_DRAWS = 1000
"""Bootstrap samples that are drawn for one replica, until one has every flavour."""

MOST_NUMBERS = 200_000_000
"""Events times replicas that are fitted in one pass: so many bytes say how often each was drawn."""


def fit_replicas(
    kind: type[Kind],
    train: Jets | Blocks,
    validation: Any,
    options: Any,
    count: int,
    seed: Seed,
    part: EventChoice | None = None,
) -> list[Any]:
    """Fit the same kind of estimator to bootstrap samples, as many events drawn with replacement.

    A kind that knows its own errors, with a method ``replicas``, draws its replicas from them. One
    with a method ``resampled`` counts events as often as they were drawn, several replicas in one
    pass through the sample, which then may be blocks.

    Source: Efron, doi 10.1214/aos/1176344552.

    Args:
        kind: The class of the estimator.
        train: A tagged sample, which is drawn from; blocks where the kind streams.
        validation: Independent events, the same for every replica.
        options: An object of ``kind.options_type``.
        count: Number of replicas; the first of more are the same.
        seed: Names the random streams: replica k has the stream ``(*seed, k)``.
        part: The events to learn from, of those that were drawn; all by default. Replica k of every
            fold of a sample so learns from one draw. Of flavours that the part of a draw lost,
            events are added, as in :func:`draw_events`.

    Raises:
        DataError: No bootstrap sample has every flavour, see :func:`draw_events`, or as in
            ``kind.fit``.
    """
    whole = train if part is None else part.of(train)
    own: Callable[..., list[Any]] | None = getattr(kind, "replicas", None)
    if own is not None:
        return own(whole, validation, options, count, seed)
    pool = _Pool.of(as_blocks(train), part)
    resampled = getattr(kind, "resampled", None)
    if resampled is not None:
        return _in_groups(resampled, as_blocks(whole), options, count, seed, pool)
    if not isinstance(train, Jets):
        msg = f"{kind.__name__} is fitted to jets in memory; read the sample as one"
        raise TypeError(msg)
    replicas = []
    for number in range(count):
        own_seed = (*seed, number)
        drawn = pool.draw(np.random.default_rng(seed_words(own_seed)))
        replicas.append(kind.fit(train.take(drawn), validation, options, own_seed))
    return replicas


def _in_groups(
    resampled: Callable[..., list[Any]],
    blocks: Blocks,
    options: Any,
    count: int,
    seed: Seed,
    pool: _Pool,
) -> list[Any]:
    """Fit replicas in passes through a sample, as many in each as memory allows."""
    size = max(1, MOST_NUMBERS // max(1, pool.n_events))
    replicas: list[Any] = []
    for first in range(0, count, size):
        times = []
        for number in range(first, min(first + size, count)):
            rng = np.random.default_rng(seed_words((*seed, number)))
            times.append(pool.times(pool.draw(rng)))
        replicas += _at_each_point(resampled, blocks, options, np.array(times))
    return replicas


def _at_each_point(
    resampled: Callable[..., list[Any]], blocks: Blocks, options: Any, times: IntArray
) -> list[Any]:
    """Fit replicas at every working point."""
    labels = labels_of(blocks)
    if labels.n_points == 1:
        return resampled(blocks, options, times)
    of_points = [resampled(at_point(blocks, point), options, times) for point in labels.points]
    return [PointwiseEstimator(labels.points, one) for one in zip(*of_points, strict=True)]


def draw_events(jets: Jets, rng: np.random.Generator) -> Jets:
    """Draw as many events with replacement, and see to it that no flavour is lost.

    Where the labels of the sample state its flavours, rare ones among them are lost by chance: for
    each, an event that has it is drawn at random and added. So a flavour of one jet has at least
    this jet in every replica, and a flavour that only the labels know is not missed. Without such
    labels, events are drawn again until every flavour of the sample is there.

    Args:
        jets: The sample.
        rng: The random stream.

    Raises:
        DataError: The sample has no events; or its labels state no flavours, and each of
            :data:`MAX_DRAWS` draws lost one.
    """
    return jets.take(_Pool.of([jets], None).draw(rng))


@dataclass(frozen=True, eq=False)
class _Pool:
    """What is to be known of events to draw from them.

    Args:
        flavours: The flavours that jets have, rising.
        n_jets: Number of jets of each flavour, shape (n_flavours,).
        has: Which events have a jet of each flavour, shape (n_flavours, n_events).
        taken: Which events are learned from if they are drawn, shape (n_events,).
        part: How these were chosen, None for all.
        are_stated: Whether the labels of the sample state its flavours.
    """

    flavours: tuple[int, ...]
    n_jets: IntArray
    has: BoolArray
    taken: BoolArray
    part: EventChoice | None
    are_stated: bool

    @classmethod
    def of(cls, blocks: Blocks, part: EventChoice | None) -> Self:
        """Go through a sample.

        Raises:
            DataError: It has no events.
        """
        flavours = flavours_of(blocks)
        has = []
        taken = []
        n_jets = np.zeros(len(flavours), np.int64)
        for block in blocks:
            is_of = [block.flavour == flavour for flavour in flavours]
            n_jets += np.array([of_flavour.sum() for of_flavour in is_of], np.int64)
            in_events = [_events_with(block, of_flavour) for of_flavour in is_of]
            has.append(np.reshape(in_events, (len(flavours), block.n_events)))
            everything = np.ones(block.n_events, dtype=bool)
            taken.append(everything if part is None else part.which(block))
        pool = cls(
            flavours,
            n_jets,
            np.concatenate(has, axis=1),
            np.concatenate(taken),
            part,
            bool(labels_of(blocks).flavours),
        )
        if not pool.n_events:
            msg = "the sample has no events; there is nothing to draw replicas from"
            raise DataError(msg)
        return pool

    @property
    def n_events(self) -> int:
        """Number of events."""
        return len(self.taken)

    def draw(self, rng: np.random.Generator) -> IntArray:
        """Return the positions of the events of a resample, those that are learned from.

        Raises:
            DataError: None is; or the labels state no flavours, and each draw lost one.
        """
        drawn = self._draw(rng)
        if self.part is None:
            return drawn
        n_drawn = len(drawn)
        drawn = drawn[self.taken[drawn]]
        self.part.require(bool(len(drawn)), n_drawn)
        return self._with_flavours(drawn, rng) if self.are_stated else drawn

    def _draw(self, rng: np.random.Generator) -> IntArray:
        """Draw events, whether or not they are learned from."""
        for _ in range(MAX_DRAWS):
            drawn = rng.integers(0, self.n_events, self.n_events)
            if self.are_stated:
                return self._with_flavours(drawn, rng, np.ones_like(self.taken))
            if all(has[drawn].any() for has in self.has):
                return drawn
        rarest = int(np.argmin(self.n_jets))
        msg = (
            f"{MAX_DRAWS} times, {self.n_events} events drawn with replacement lost one of the "
            f"{len(self.flavours)} flavours; the rarest is {self.flavours[rarest]}, with "
            f"{self.n_jets[rarest]} jets. Use more events, or drop the jets of rare flavours."
        )
        raise DataError(msg)

    def _with_flavours(
        self, drawn: IntArray, rng: np.random.Generator, among: BoolArray | None = None
    ) -> IntArray:
        """Add an event for each flavour that a draw lost.

        Args:
            drawn: Positions of the events that were drawn.
            rng: The random stream.
            among: Which events can be added, shape (n_events,); by default those that are learned
                from.
        """
        possible = self.taken if among is None else among
        added: list[int] = []
        for has in self.has:
            events = np.flatnonzero(has & possible)
            if not len(events) or has[drawn].any() or has[added].any():
                continue
            added.append(int(rng.choice(events)))
        return np.concatenate([drawn, np.array(added, dtype=np.int64)])

    def times(self, drawn: IntArray) -> IntArray:
        """Return how often each event that is learned from was drawn, small whole numbers."""
        often = np.bincount(drawn, minlength=self.n_events)[self.taken]
        smallest: Any = np.min_scalar_type(int(often.max(initial=0)))
        return np.asarray(often, dtype=smallest)


def resamples_of(fitted: Any) -> list[int] | None:
    """Return which resample each replica of an ensemble learned from, partners the same.

    Args:
        fitted: What :func:`truthtag.estimators.ensemble.load` returns, or its ``held_out``.

    Returns:
        A number for each replica, in the order of ``with_replicas``; None where replicas are no
        members that share resamples, or do not say which, or where folds that are held out lack a
        member that failed.
    """
    if isinstance(fitted, HeldOut):
        if fitted.fitted.left_out:
            # Where a fold lacks a network, replicas share the resamples of some folds only.
            return None
        keys = _of_held_out([_of_members(part) for part in fitted.fitted.parts])
    elif isinstance(fitted, CrossFitted):
        keys = []
        for fold, part in enumerate(fitted.parts):
            keys += [(fold, key) for key in _of_members(part)]
    else:
        keys = _of_members(fitted)
    known = list(dict.fromkeys(keys))
    return [known.index(key) for key in keys] if keys else None


def _of_members(ensemble: Any) -> list[Any]:
    """Return the resample of each member; nothing where one does not say, or around a nominal."""
    members = getattr(ensemble, "members", ())
    numbers = [getattr(member, "resample", None) for member in members]
    if getattr(ensemble, "nominal", None) is not None or None in numbers:
        return []
    return numbers


def _of_held_out(of_parts: Sequence[Sequence[Any]]) -> list[Any]:
    """Return the resamples of replicas that are put together of members of all folds."""
    count = min(map(len, of_parts))
    # Member k - f of fold f, as HeldOut puts them together.
    return [
        tuple(numbers[:count][(replica - fold) % count] for fold, numbers in enumerate(of_parts))
        for replica in range(count)
    ]


def _events_with(jets: Jets, chosen: BoolArray) -> BoolArray:
    """Return which events have one of the chosen jets, shape (n_events,)."""
    found = np.zeros(jets.n_events, dtype=bool)
    found[jets.event_of_jet[chosen]] = True
    return found
