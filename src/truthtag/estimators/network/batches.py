"""Jets as tensors: batches of events, events of one multiplicity together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from truthtag.arrays import AnyArray, BoolArray, FloatArray, IntArray
from truthtag.data.jets import Jets
from truthtag.data.labels import Labels
from truthtag.data.training_blocks import Blocks, as_blocks, labels_of
from truthtag.errors import DataError
from truthtag.estimators.network.inputs import PLAIN_COLUMNS, InputColumns
from truthtag.estimators.network.options import FEATURES
from truthtag.estimators.network.pairs import Shape
from truthtag.estimators.network.storage import IN_MEMORY, Storage

__all__ = [
    "MIN_EVENTS_EQUAL_CUT",
    "Batch",
    "TrainingEvents",
    "Weighting",
    "features",
]

MIN_EVENTS_EQUAL_CUT = 16
"""From so many events of one multiplicity in a batch, all batches have the same number of them."""

NUMBER_BYTES = 4
"""Bytes of a number in single precision."""

Cut = tuple[int, int]
"""First and last position (excluded) of the events of one multiplicity that a batch takes."""

Weighting = Literal["ignore", "use", "absolute"]
"""What the weights of events do in training, as in :class:`.options.TrainingOptions`."""


class Batch(NamedTuple):
    """Jets of many events, those of one multiplicity together: every step is a plain rectangle.

    Attributes:
        features: One row per jet, the columns of :class:`.inputs.InputColumns`, shape (n_jets,
            n_columns); the first four are those of :data:`.options.FEATURES`.
        shape: Pairs (m, n): m events of n jets each, in the order of the rows; the products m * n
            sum to n_jets.
    """

    features: Tensor
    shape: Shape


def features(jets: Jets, columns: InputColumns = PLAIN_COLUMNS) -> Tensor:
    """Return what the network sees of each jet.

    Args:
        jets: The jets.
        columns: The columns that the network needs.

    Returns:
        float32, shape (n_jets, n_columns).

    Raises:
        DataError: The jets lack a column, a value is not finite, or is a category that the network
            does not know; the message names the column, and the row and its event.
    """
    held = [torch.tensor(getattr(jets, name)).float() for name in FEATURES]
    for name in columns.further:
        values = _further_column(jets, name)
        if name in columns.categories:
            held.extend(_indicators(jets, name, values, columns.categories[name]))
        else:
            held.append(torch.tensor(values).float())
    rows = torch.stack(held, dim=-1)
    _require_finite(rows, columns.names, jets)
    return rows


def _further_column(jets: Jets, name: str) -> AnyArray:
    """Return a column beside those that all jets have, shape (n_jets,)."""
    present = [column for column in jets.jet_columns if column in (*FEATURES, "mass")]
    present.extend(jets.further)
    if name not in present:
        msg = (
            f"the network sees the column {name!r} of each jet, and these jets lack it; there are "
            f"{', '.join(present)}. Read or make the jets with that column, or leave it out of "
            "architecture.inputs and train anew."
        )
        raise DataError(msg)
    return jets.per_jet(name)


def _indicators(jets: Jets, name: str, values: AnyArray, known: Sequence[int]) -> list[Tensor]:
    """Return a column of 0 and 1 for each value of a category, each of shape (n_jets,)."""
    strange = ~np.isin(values, known)
    if strange.any():
        rule = (
            f"the network knows the values {', '.join(map(str, known))}. Train on a sample whose "
            "labels name this one, or merge it into one of them"
        )
        _refuse_row(jets, name, values, strange, rule)
    return [torch.tensor(values == value).float() for value in known]


def _require_finite(rows: Tensor, names: Sequence[str], jets: Jets) -> None:
    """Refuse inputs that are not finite: one makes the efficiencies of all jets of its event so."""
    if bool(rows.isfinite().all()):
        return
    bad = ~rows.isfinite().numpy()
    column = int(np.argmax(bad.any(axis=0)))
    rule = "a network needs finite inputs; correct the value, or drop such jets"
    _refuse_row(jets, names[column], rows[:, column].numpy(), bad[:, column], rule)


def _refuse_row(jets: Jets, name: str, values: AnyArray, bad: BoolArray, rule: str) -> None:
    row = int(np.argmax(bad))
    event = jets.per_jet("event")[row]
    msg = (
        f"column {name!r} is {values[row]} in row {row} (event {event}), {int(bad.sum())} such "
        f"rows: {rule}."
    )
    raise DataError(msg)


class TrainingEvents:
    r"""Jets and tags as tensors, events of one multiplicity together.

    With weights, the loss of each event is multiplied by

    .. math:: w_e / \bar w, \quad \bar w = \frac{1}{N} \sum_e w_e

    or the same of :math:`|w_e|`: their mean is 1, so that neither the learning rate nor the loss
    depends on the unit of the weights.

    Args:
        sample: A tagged sample: jets, or blocks of them, which are gone through twice.
        device: Where training reads them.
        columns: The columns that the network needs.
        weights: What the weights of events do.
        targets: Probabilities to learn in place of tags, which are not needed then, shape
            (n_jets,), or (n_jets, n_points) where there are several working points, falling from
            point to point.
        storage: Where the tensors are.

    Attributes:
        groups: For each multiplicity n, features of shape (m, n, n_columns) and tags of shape
            (m, n); with several working points these say which each jet passes, (m, n, n_points).
            Tags are probabilities where targets are given.
        weights: For each multiplicity, weights of mean 1 over all events, float32, shape (m,); None
            where they are ignored.
        weighting: What the weights of events do.
        columns: The columns of the rows.
        count: Number of events that have jets.
        effective_count: As many events of one weight have the same relative error,
            :math:`(\sum w)^2 / \sum w^2`.
        negative: Number of events of negative weight.
        rows: Features of all jets, in the order of the sample, shape (n_jets, n_columns).
        storage: Where groups and rows are: in memory where they fit what it allows.
        flavours: Hadron flavours that the labels of the jets state, or else those that occur, in
            rising order.
        occurring: Those that occur.
        points: Names of the working points, as the labels state them.

    Raises:
        DataError: The sample has no tags, or no jets, or lacks a column; its weights are used, and
            do not have a positive sum.
    """

    def __init__(
        self,
        sample: Jets | Blocks,
        device: torch.device | str = "cpu",
        columns: InputColumns = PLAIN_COLUMNS,
        weights: Weighting = "ignore",
        targets: FloatArray | None = None,
        storage: Storage = IN_MEMORY,
    ) -> None:
        blocks = as_blocks(sample)
        found = _Survey.of(blocks, needs_tags=targets is None)
        labels = found.labels
        of_events = _mean_one(found.weight, found.multiplicity, weights)
        n_jets = int(found.multiplicity.sum())
        # Features stand there twice: by multiplicity, and in the order of the sample.
        n_numbers = n_jets * (2 * len(columns.names) + labels.n_points)
        self.storage = storage.for_bytes(NUMBER_BYTES * n_numbers)
        sizes = np.bincount(found.multiplicity)
        multiplicities = [int(n) for n in np.flatnonzero(sizes) if n]
        of_points = () if labels.n_points == 1 else (labels.n_points,)
        self.groups: list[tuple[Tensor, Tensor]] = []
        for n in multiplicities:
            shape = (int(sizes[n]), n)
            group_rows = self.storage.empty((*shape, len(columns.names)))
            self.groups.append((group_rows, self.storage.empty((*shape, *of_points))))
        self.rows = self.storage.empty((n_jets, len(columns.names)))
        self._fill(blocks, multiplicities, columns, targets)
        self.groups = [(group[0].to(device), group[1].to(device)) for group in self.groups]
        self.weights: list[Tensor] | None = None
        if of_events is not None:
            self.weights = []
            for n in multiplicities:
                of_group = of_events[found.multiplicity == n]
                self.weights.append(torch.tensor(of_group).float().to(device))
        self.weighting = weights
        self.columns = columns
        self.count = sum(len(group_tags) for _, group_tags in self.groups)
        self.effective_count = float(self.count)
        if of_events is not None:
            counted = of_events[found.multiplicity > 0]
            self.effective_count = float(counted.sum() ** 2 / np.square(counted).sum())
        self.negative = int((found.weight < 0).sum())
        self.occurring = found.flavours
        self.flavours = labels.flavours or self.occurring
        self.points = labels.points

    def _fill(
        self,
        blocks: Blocks,
        multiplicities: Sequence[int],
        columns: InputColumns,
        targets: FloatArray | None,
    ) -> None:
        """Write features and tags of all jets into the groups, and into the rows."""
        places = {n: place for place, n in enumerate(multiplicities)}
        filled = [0] * len(places)
        first = 0
        for block in blocks:
            last = first + block.n_jets
            rows = features(block, columns)
            self.rows[first:last] = rows
            tags = torch.tensor(block.passes() if targets is None else targets[first:last]).float()
            if block.n_points == 1:
                tags = tags.reshape(-1)
            for _, index in block.by_multiplicity():
                place = places[index.shape[1]]
                group_rows, group_tags = self.groups[place]
                begin = filled[place]
                filled[place] += len(index)
                group_rows[begin : filled[place]] = rows[index]
                group_tags[begin : filled[place]] = tags[index]
            first = last

    @property
    def n_points(self) -> int:
        """Number of working points, at least 1."""
        return max(1, len(self.points))

    @property
    def device(self) -> torch.device:
        """Where the events are."""
        return self.groups[0][1].device

    def n_passing(self, point: int) -> int:
        """Return how many jets pass a working point, by its position."""
        numbers = []
        for _, tags in self.groups:
            of_point = tags if self.n_points == 1 else tags[..., point]
            numbers.append(int(of_point.count_nonzero()))
        return sum(numbers)

    def digest(self) -> str:
        """Return a short digest of all features, tags and weights in use.

        By it a checkpoint knows its events.
        """
        # The arrays themselves are hashed: copies of them may be too large.
        hashed = hashlib.sha256(self.rows.numpy().data)
        for _, tags in self.groups:
            hashed.update(tags.cpu().numpy().data)
        for weights in self.weights or ():
            hashed.update(weights.cpu().numpy().data)
        return hashed.hexdigest()[:16]

    def steps(self, size: int) -> int:
        """Return the number of batches of about ``size`` events."""
        return max(1, round(self.count / size))

    def resample(self, rng: torch.Generator, number: int = 0, of: int = 0) -> list[Tensor]:
        """Draw as many events of each multiplicity, with replacement.

        Of several balanced resamples R, all copies of a sample repeated R times are shuffled, and
        each takes its share: every event is in all of them together R times. Each resample is as
        likely as others, up to a variance of counts of 1 - 1/R; their mean is that of the sample.

        Source: Davison, Hinkley and Schechtman, doi 10.1093/biomet/73.3.555, for balance.

        Args:
            rng: The random stream; for balanced resamples one in the same state for each of them.
            number: Which of the balanced resamples, from 0.
            of: Their number; 0 for a resample that knows of no others.

        Returns:
            Positions of the events within each multiplicity.
        """
        drawn = []
        for _, tags in self.groups:
            count = len(tags)
            if of:
                copies = torch.randperm(of * count, generator=rng)
                drawn.append(copies[number * count : (number + 1) * count] % max(count, 1))
            else:
                drawn.append(torch.randint(count, (count,), generator=rng))
        return drawn

    def counts_of(self, resample: Sequence[Tensor]) -> list[Tensor]:
        """Return how often each event of each multiplicity is in a resample, float64."""
        counts = []
        for (_, tags), drawn in zip(self.groups, resample, strict=True):
            counts.append(torch.bincount(drawn, minlength=len(tags)).double())
        return counts

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
            A micro-batch, features of shape (n_networks, n_jets, n_columns), and the tags of its
            jets, shape (n_networks, n_jets), or (n_networks, n_jets, n_points) where there are
            several working points.
        """
        for batch, tags, _ in self.weighted_batches(size, rngs, micro_batches, resamples):
            yield batch, tags

    def weighted_batches(
        self,
        size: int,
        rngs: Sequence[torch.Generator] = (),
        micro_batches: int = 1,
        resamples: Sequence[Sequence[Tensor]] = (),
    ) -> Iterator[tuple[Batch, Tensor, Tensor | None]]:
        """Go through all events as :meth:`batches` does, with their weights.

        Yields:
            A micro-batch, the tags of its jets, and the weights of its events, shape (n_networks,
            n_events), or None where they are ignored.
        """
        sizes = [len(tags) for _, tags in self.groups]
        n_cuts = self.steps(size) * micro_batches
        cuts = _equal_cuts(sizes, n_cuts) if rngs else _even_cuts(sizes, n_cuts)
        orders = self._orders(sizes, rngs, resamples)
        for bounds in cuts:
            rows = []
            tags = []
            weights = []
            shape = []
            for number, (order, (first, last)) in enumerate(zip(orders, bounds, strict=True)):
                if last == first:
                    continue
                group_rows, group_tags = self.groups[number]
                events = order[:, first:last]
                # Indexed by an order per network: (n_networks, m, n, ...).
                rows.append(group_rows[events].flatten(1, 2))
                tags.append(group_tags[events].flatten(1, 2))
                if self.weights is not None:
                    weights.append(self.weights[number][events])
                shape.append((last - first, group_tags.shape[1]))
            batch = Batch(torch.cat(rows, dim=1), shape)
            yield batch, torch.cat(tags, dim=1), torch.cat(weights, dim=1) if weights else None

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


class _Survey(NamedTuple):
    """What is to be known of a sample before its tensors are made.

    Attributes:
        labels: What flavours and tags mean.
        multiplicity: Number of jets of each event, shape (n_events,).
        weight: Weights of the events, shape (n_events,).
        flavours: Flavours that jets have, rising.
    """

    labels: Labels
    multiplicity: IntArray
    weight: FloatArray
    flavours: tuple[int, ...]

    @classmethod
    def of(cls, blocks: Blocks, *, needs_tags: bool) -> Self:
        """Go through a sample.

        Raises:
            DataError: It has no jets, or no tags where these are needed.
        """
        labels = labels_of(blocks)
        multiplicity = []
        weight = []
        flavours: set[int] = set()
        for block in blocks:
            if needs_tags and not block.has_tags:
                name = "is_tagged" if labels.n_points == 1 else "tag_bin"
                msg = (
                    f"the sample has no column {name!r}: a network learns from tags. Tag it first."
                )
                raise DataError(msg)
            multiplicity.append(block.multiplicity)
            weight.append(block.weight)
            flavours.update(np.unique(block.flavour).tolist())
        if not flavours:
            msg = (
                "the sample has no jets: there is nothing to train on. "
                "Check how its events were selected."
            )
            raise DataError(msg)
        of_events = np.concatenate(multiplicity)
        return cls(labels, of_events, np.concatenate(weight), tuple(sorted(flavours)))


def _mean_one(
    weight: FloatArray, multiplicity: IntArray, weighting: Weighting
) -> FloatArray | None:
    """Return the weights of the events divided by the mean of those that have jets.

    Returns:
        Shape (n_events,), or None where weights are ignored.
    """
    if weighting == "ignore":
        return None
    weights = np.abs(weight) if weighting == "absolute" else weight
    mean = float(weights[multiplicity > 0].mean())
    if not mean > 0:
        msg = (
            f"the weights of {len(weight)} events have the mean {mean}; training with weights "
            "needs a positive one. Check the column 'weight', or set training.weights to "
            "'absolute' or 'ignore'."
        )
        raise DataError(msg)
    of_events: FloatArray = weights / mean
    return of_events


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
