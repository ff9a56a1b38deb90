"""Replicas of an estimator: fits to events drawn with replacement, for the statistical error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from truthtag.arrays import BoolArray, IntArray
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.estimators.protocol import Estimator
from truthtag.seeds import Seed, seed_words

__all__ = ["MAX_DRAWS", "draw_events", "fit_replicas"]

Kind = TypeVar("Kind", bound=Estimator)

MAX_DRAWS = 1000
"""Bootstrap samples that are drawn for one replica, until one has every flavour of the sample."""


def fit_replicas(
    kind: type[Kind],
    train: Jets,
    validation: Jets,
    options: Any,
    count: int,
    seed: Seed,
    part: Callable[[Jets], Jets] | None = None,
) -> list[Kind]:
    """Fit the same kind of estimator to bootstrap samples, as many events drawn with replacement.

    Source: Efron, doi 10.1214/aos/1176344552.

    Args:
        kind: The class of the estimator.
        train: A tagged sample, which is drawn from.
        validation: Independent events, the same for every replica.
        options: An object of ``kind.options_type``.
        count: Number of replicas; the first of more are the same.
        seed: Names the random streams: replica k has the stream ``(*seed, k)``.
        part: Takes the events to learn from out of those that were drawn; all by default. Replica k
            of every fold of a sample so learns from one draw.

    Raises:
        DataError: No bootstrap sample has every flavour, see :func:`draw_events`, or as in
            ``kind.fit``.
    """
    replicas = []
    for number in range(count):
        own_seed = (*seed, number)
        drawn = draw_events(train, np.random.default_rng(seed_words(own_seed)))
        if part is not None:
            drawn = part(drawn)
        replicas.append(kind.fit(drawn, validation, options, own_seed))
    return replicas


def draw_events(jets: Jets, rng: np.random.Generator) -> Jets:
    """Draw as many events with replacement; again where a flavour is lost, which a map must know.

    Where the labels of the sample state its flavours, rare ones are no reason to give up: after
    :data:`MAX_DRAWS` draws, of each flavour that the last one lost an event takes the place of a
    drawn one, both at random. So every replica has some jet of every flavour that the sample has; a
    flavour that only the labels know is not missed.

    Args:
        jets: The sample.
        rng: The random stream.

    Raises:
        DataError: The sample has no events; or the labels state no flavours, and each of
            :data:`MAX_DRAWS` draws lost one.
    """
    if not jets.n_events:
        msg = "the sample has no events; there is nothing to draw replicas from"
        raise DataError(msg)
    flavours, counts = np.unique(jets.flavour, return_counts=True)
    has = np.zeros((len(flavours), jets.n_events), dtype=bool)
    has[np.searchsorted(flavours, jets.flavour), jets.event_of_jet] = True
    for _ in range(MAX_DRAWS):
        drawn = rng.integers(0, jets.n_events, jets.n_events)
        if has[:, drawn].any(axis=1).all():
            return jets.take(drawn)
    if jets.labels.flavours:
        return jets.take(_mended(drawn, has, rng))
    rarest = int(np.argmin(counts))
    msg = (
        f"{MAX_DRAWS} times, {jets.n_events} events drawn with replacement lost one of the "
        f"{len(flavours)} flavours; the rarest is {flavours[rarest]}, with {counts[rarest]} jets. "
        "Use more events, or drop the jets of rare flavours."
    )
    raise DataError(msg)


def _mended(drawn: IntArray, has: BoolArray, rng: np.random.Generator) -> IntArray:
    """Put events of the flavours that a draw lost in the place of others, at random.

    Args:
        drawn: Positions of the events, shape (n_events,).
        has: Which events have a jet of each flavour, shape (n_flavours, n_events).
        rng: The random stream.

    Returns:
        Positions of events that have every flavour, shape (n_events,).
    """
    mended = drawn.copy()
    # The first event of each flavour stays. These are different events, as are those that come in,
    # so there are places enough.
    kept = np.zeros(len(drawn), dtype=bool)
    for of_flavour in has:
        kept[np.flatnonzero(of_flavour[mended])[:1]] = True
    for of_flavour in has:
        if of_flavour[mended].any():
            continue
        place = rng.choice(np.flatnonzero(~kept))
        mended[place] = rng.choice(np.flatnonzero(of_flavour))
        kept[place] = True
    return mended
