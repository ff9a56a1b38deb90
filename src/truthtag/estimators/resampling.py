"""Replicas of an estimator: fits to events drawn with replacement, for the statistical error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from truthtag.data.jets import Jets, concatenate
from truthtag.errors import DataError
from truthtag.estimators.cross_fitting import CrossFitted, HeldOut
from truthtag.estimators.protocol import Estimator
from truthtag.seeds import Seed, seed_words

__all__ = ["MAX_DRAWS", "draw_events", "fit_replicas", "resamples_of"]

Kind = TypeVar("Kind", bound=Estimator)

MAX_DRAWS = 1000
"""Bootstrap samples that are drawn for one replica, until one has every flavour."""


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

    A kind that knows its own errors, with a method ``replicas``, draws its replicas from them.

    Source: Efron, doi 10.1214/aos/1176344552.

    Args:
        kind: The class of the estimator.
        train: A tagged sample, which is drawn from.
        validation: Independent events, the same for every replica.
        options: An object of ``kind.options_type``.
        count: Number of replicas; the first of more are the same.
        seed: Names the random streams: replica k has the stream ``(*seed, k)``.
        part: Takes the events to learn from out of those that were drawn; all by default. Replica k
            of every fold of a sample so learns from one draw. Of flavours that the part of a draw
            lost, events are added, as in :func:`draw_events`.

    Raises:
        DataError: No bootstrap sample has every flavour, see :func:`draw_events`, or as in
            ``kind.fit``.
    """
    replicas = []
    whole = train if part is None else part(train)
    own: Callable[..., list[Kind]] | None = getattr(kind, "replicas", None)
    if own is not None:
        return own(whole, validation, options, count, seed)
    for number in range(count):
        own_seed = (*seed, number)
        rng = np.random.default_rng(seed_words(own_seed))
        drawn = draw_events(train, rng)
        if part is not None:
            drawn = part(drawn)
            if train.labels.flavours:
                drawn = _with_flavours(drawn, whole, rng)
        replicas.append(kind.fit(drawn, validation, options, own_seed))
    return replicas


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
    if not jets.n_events:
        msg = "the sample has no events; there is nothing to draw replicas from"
        raise DataError(msg)
    flavours = set(np.unique(jets.flavour))
    for _ in range(MAX_DRAWS):
        drawn = jets.take(rng.integers(0, jets.n_events, jets.n_events))
        if jets.labels.flavours:
            return _with_flavours(drawn, jets, rng)
        if flavours == set(np.unique(drawn.flavour)):
            return drawn
    numbers, counts = np.unique(jets.flavour, return_counts=True)
    rarest = int(np.argmin(counts))
    msg = (
        f"{MAX_DRAWS} times, {jets.n_events} events drawn with replacement lost one of the "
        f"{len(numbers)} flavours; the rarest is {numbers[rarest]}, with {counts[rarest]} jets. "
        "Use more events, or drop the jets of rare flavours."
    )
    raise DataError(msg)


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


def _with_flavours(drawn: Jets, sample: Jets, rng: np.random.Generator) -> Jets:
    """Add an event for each flavour that a draw lost.

    Args:
        drawn: Events drawn from a sample.
        sample: The sample.
        rng: The random stream.
    """
    added: list[int] = []
    for flavour in np.unique(sample.flavour):
        known = [drawn.flavour, *(sample.take(np.array([event])).flavour for event in added)]
        if any((one == flavour).any() for one in known):
            continue
        events = np.unique(sample.event_of_jet[sample.flavour == flavour])
        added.append(int(rng.choice(events)))
    if not added:
        return drawn
    extra = sample.take(np.array(added))
    numbers = np.arange(drawn.n_events + extra.n_events)
    parts = [
        drawn.with_columns(event=numbers[: drawn.n_events]),
        extra.with_columns(event=numbers[drawn.n_events :]),
    ]
    return concatenate(parts)
