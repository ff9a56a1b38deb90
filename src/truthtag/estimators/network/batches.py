"""Jets as tensors: batches of events, events of one multiplicity together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.estimators.network.options import FEATURES
from truthtag.estimators.network.pairs import Shape

__all__ = ["EVALUATION_EVENTS", "MIN_EVENTS_EQUAL_CUT", "Batch", "TrainingEvents", "features"]

EVALUATION_EVENTS = 1_000
"""Events that are evaluated at once: their layers stay in a processor's cache."""

MIN_EVENTS_EQUAL_CUT = 16
"""From so many events of one multiplicity in a batch, all batches have the same number of them."""

Cut = tuple[int, int]
"""First and last position (excluded) of the events of one multiplicity that a batch takes."""


class Batch(NamedTuple):
    """Jets of many events, those of one multiplicity together: every step is a plain rectangle.

    Attributes:
        features: One row per jet, the columns of :data:`.options.FEATURES`, shape (n_jets, 4).
        shape: Pairs (m, n): m events of n jets each, in the order of the rows; the products m * n
            sum to n_jets.
    """

    features: Tensor
    shape: Shape


def features(jets: Jets) -> Tensor:
    """Return what the network sees of each jet, float32, shape (n_jets, 4)."""
    columns = [torch.tensor(getattr(jets, name)).float() for name in FEATURES]
    return torch.stack(columns, dim=-1)


class TrainingEvents:
    """Jets and tags as tensors, events of one multiplicity together.

    Args:
        jets: A tagged sample.
        device: Where training reads them.

    Attributes:
        groups: For each multiplicity n, features of shape (m, n, 4) and tags of shape (m, n).
        count: Number of events that have jets.
        rows: Features of all jets, in the order of the sample, shape (n_jets, 4).
        flavours: Hadron flavours that occur, in rising order.

    Raises:
        DataError: The sample has no tags, or no jets.
    """

    def __init__(self, jets: Jets, device: torch.device | str = "cpu") -> None:
        if jets.is_tagged is None:
            msg = "the sample has no column 'is_tagged': a network learns from tags. Tag it first."
            raise DataError(msg)
        if not jets.n_jets:
            msg = (
                "the sample has no jets: there is nothing to train on. "
                "Check how its events were selected."
            )
            raise DataError(msg)
        rows = features(jets)
        tags = torch.tensor(jets.is_tagged).float()
        self.groups: list[tuple[Tensor, Tensor]] = []
        for _, index in jets.by_multiplicity():
            self.groups.append((rows[index].to(device), tags[index].to(device)))
        self.count = sum(len(group_tags) for _, group_tags in self.groups)
        self.rows = rows
        self.flavours = tuple(int(flavour) for flavour in np.unique(jets.flavour))

    @property
    def device(self) -> torch.device:
        """Where the events are."""
        return self.groups[0][1].device

    def digest(self) -> str:
        """Return a short digest of all features and tags, so that a checkpoint knows its events."""
        hashed = hashlib.sha256(self.rows.numpy().tobytes())
        for _, tags in self.groups:
            hashed.update(tags.cpu().numpy().tobytes())
        return hashed.hexdigest()[:16]

    def steps(self, size: int) -> int:
        """Return the number of batches of about ``size`` events."""
        return max(1, round(self.count / size))

    def resample(self, rng: torch.Generator) -> list[Tensor]:
        """Draw as many events of each multiplicity, with replacement.

        Returns:
            Their positions within each multiplicity.
        """
        drawn = []
        for _, tags in self.groups:
            count = len(tags)
            drawn.append(torch.randint(count, (count,), generator=rng))
        return drawn

    def batches(
        self,
        size: int,
        rngs: Sequence[torch.Generator] = (),
        micro_batches: int = 1,
        resamples: Sequence[Sequence[Tensor]] = (),
    ) -> Iterator[tuple[Batch, Tensor]]:
        """Go through all events once, in batches that are cut into micro-batches.

        Each batch holds its share of every multiplicity: its composition is that of the sample.
        Shuffled batches are all of one shape, since each new shape costs time in bfloat16: of each
        multiplicity less than one event per batch, other ones each time, is left out.

        Args:
            size: Events per batch.
            rngs: A generator for each of the networks that are trained together; each shuffles the
                events anew. Without any the events keep their order, and none is left out.
            micro_batches: Number of micro-batches of a batch.
            resamples: For each network, the events to go through as :meth:`resample` draws them; by
                default each once.

        Yields:
            A micro-batch, features of shape (n_networks, n_jets, 4), and the tags of its jets,
            shape (n_networks, n_jets).
        """
        sizes = [len(tags) for _, tags in self.groups]
        n_cuts = self.steps(size) * micro_batches
        cuts = _equal_cuts(sizes, n_cuts) if rngs else _even_cuts(sizes, n_cuts)
        orders = self._orders(sizes, rngs, resamples)
        for bounds in cuts:
            rows = []
            tags = []
            shape = []
            for (group_rows, group_tags), order, (first, last) in zip(
                self.groups, orders, bounds, strict=True
            ):
                if last == first:
                    continue
                events = order[:, first:last]
                # Indexed by an order per network: (n_networks, m, n, 4) and (n_networks, m, n).
                rows.append(group_rows[events].flatten(1, 2))
                tags.append(group_tags[events].flatten(1))
                shape.append((last - first, group_tags.shape[1]))
            yield Batch(torch.cat(rows, dim=1), shape), torch.cat(tags, dim=1)

    def _orders(
        self,
        sizes: Sequence[int],
        rngs: Sequence[torch.Generator],
        resamples: Sequence[Sequence[Tensor]],
    ) -> list[Tensor]:
        """Return the order of the events of each multiplicity, each of shape (n_networks, m)."""
        # Drawn on the CPU: the order does not depend on the device.
        if rngs:
            orders = [[torch.randperm(count, generator=rng) for count in sizes] for rng in rngs]
        else:
            orders = [[torch.arange(count) for count in sizes]]
        if resamples:
            for which, drawn in enumerate(resamples):
                orders[which] = [
                    events[order] for events, order in zip(drawn, orders[which], strict=True)
                ]
        device = self.device
        return [torch.stack(of_group).to(device) for of_group in zip(*orders, strict=True)]


def _even_cuts(sizes: Sequence[int], steps: int) -> list[list[Cut]]:
    """Cut groups into steps of equal size in all, each step with its share of every group.

    Returns:
        For each step, the first and the last position (excluded) of each group.

    Example:
        >>> _even_cuts([2, 4], steps=2)
        [[(0, 1), (0, 2)], [(1, 2), (2, 4)]]
    """
    # Each event has a place in (0, 1) within its group; sorted by it, groups are spread evenly.
    place = np.concatenate([(np.arange(size) + 0.5) / size for size in sizes])
    group = np.repeat(np.arange(len(sizes)), sizes)[np.argsort(place, kind="stable")]
    ends = np.round(np.linspace(0, len(group), steps + 1)).astype(int)
    bounds = []
    for number in range(len(sizes)):
        taken = np.r_[0, np.cumsum(group == number)]
        bounds.append(taken[ends].tolist())
    of_groups = [list(pairwise(ends_of_group)) for ends_of_group in bounds]
    # From a list of steps per group to a list of groups per step.
    return [list(of_step) for of_step in zip(*of_groups, strict=True)]


def _equal_cuts(sizes: Sequence[int], steps: int) -> list[list[Cut]]:
    """Cut groups into steps of one shape, leaving out what does not divide.

    Groups too small for that are cut evenly.

    Example:
        >>> _equal_cuts([33, 2], steps=2)
        [[(0, 16), (0, 1)], [(16, 32), (1, 2)]]
    """
    shares = [size // steps for size in sizes]
    small = []
    for size, share in zip(sizes, shares, strict=True):
        small.append(0 if share >= MIN_EVENTS_EQUAL_CUT else size)
    cuts = _even_cuts(small, steps)
    for step, of_step in enumerate(cuts):
        for group, share in enumerate(shares):
            if share >= MIN_EVENTS_EQUAL_CUT:
                of_step[group] = (step * share, (step + 1) * share)
    return cuts
