"""Training of one network: the loss of Eq. 5, the loop, and checkpoints that resume exactly."""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from truthtag.errors import ConfigError, DataError
from truthtag.jets import Jets
from truthtag.kinematics import turn
from truthtag.network import FEATURES, Architecture, Batch, EfficiencyNetwork, features
from truthtag.seeds import Seed, seed_words
from truthtag.tables import whole_file

__all__ = ["Epoch", "Events", "Options", "Training", "batch_loss", "train", "weighted_loss"]

ETA, PHI = FEATURES.index("eta"), FEATURES.index("phi")
EVALUATION_EVENTS = 1_000
PRECISIONS = ("auto", "float32", "bfloat16")
FIXED = 16
"""From so many events of one multiplicity in a batch, all batches have the same number."""


@dataclass(frozen=True)
class Options:
    """How a network is trained.

    Args:
        epochs: Most passes through the training events.
        batch_events: Events per step.
        learning_rate: Learning rate of Adam; its peak where the schedule is ``one_cycle``.
        schedule: ``one_cycle`` (a rise, then a cosine fall to almost nothing) or ``constant``.
        patience: Epochs without a better validation loss after which training stops; 0 to never stop early.
        mu: Weight of non-tagged jets in Eq. 5.
        rotate_phi: Turn every event of a batch by a random angle in phi.
        reflect_phi: Mirror every event of a batch in phi with probability one half.
        reflect_eta: Mirror every event of a batch in eta with probability one half.
        precision: ``float32``, ``bfloat16`` (matrix products only; weights, loss and predictions stay in float32), or
            ``auto``: bfloat16 where the processor has instructions for it.
    """

    epochs: int
    batch_events: int
    learning_rate: float
    schedule: str
    patience: int
    mu: float
    rotate_phi: bool
    reflect_phi: bool
    reflect_eta: bool
    precision: str

    def __post_init__(self) -> None:
        if self.schedule not in ("one_cycle", "constant"):
            msg = f"training schedule is {self.schedule!r}; allowed are 'one_cycle' and 'constant'"
            raise ConfigError(msg)
        if self.precision not in PRECISIONS:
            msg = f"training precision is {self.precision!r}; allowed are {', '.join(PRECISIONS)}"
            raise ConfigError(msg)
        for name in ("epochs", "batch_events", "learning_rate", "mu"):
            if not getattr(self, name) > 0:
                msg = f"training option {name} is {getattr(self, name)}; it must be above 0"
                raise ConfigError(msg)


@dataclass(frozen=True)
class Epoch:
    """What one pass through the training events gave: a row of the history.

    Attributes:
        epoch: Number of the epoch, from 1.
        train_loss: Mean of Eq. 5 over the training events, while the weights changed [nats/event].
        validation_loss: Mean of Eq. 5 over the validation events, after the epoch [nats/event].
        learning_rate: Learning rate of the epoch's last step.
        seconds: Time it took [s].
        events_per_second: Training events per second [1/s].
        best: Whether its validation loss is the lowest so far.
    """

    epoch: int
    train_loss: float
    validation_loss: float
    learning_rate: float
    seconds: float
    events_per_second: float
    best: bool


class Events:
    """Jets and tags as tensors, events of one multiplicity together.

    Args:
        jets: A tagged sample.

    Raises:
        DataError: The sample has no tags, or no jets.
    """

    def __init__(self, jets: Jets) -> None:
        if jets.is_tagged is None:
            msg = "the sample has no column 'is_tagged': a network learns from tags. Tag it first."
            raise DataError(msg)
        if not jets.n_jets:
            msg = "the sample has no jets: there is nothing to train on"
            raise DataError(msg)
        rows, tags = features(jets), torch.from_numpy(jets.is_tagged).float()
        self.groups = [(rows[bucket.jets], tags[bucket.jets]) for bucket in jets.buckets()]
        self.count = sum(len(group_tags) for _, group_tags in self.groups)
        self.rows = rows
        self.flavours = tuple(int(f) for f in np.unique(jets.flavour))

    def digest(self) -> str:
        """Return a short digest of all features and tags, so that a checkpoint knows its events."""
        hashed = hashlib.sha256(self.rows.numpy().tobytes())
        for _, tags in self.groups:
            hashed.update(tags.numpy().tobytes())
        return hashed.hexdigest()[:16]

    def steps(self, size: int) -> int:
        """Return the number of batches of about ``size`` events."""
        return max(1, round(self.count / size))

    def batches(self, size: int, rng: torch.Generator | None = None) -> Iterator[tuple[Batch, Tensor]]:
        """Go through all events once, in batches of about ``size`` events.

        Each batch holds its share of every multiplicity: its composition is that of the sample. Shuffled batches are all
        of one shape, since new shapes are dear in bfloat16: of each multiplicity less than one event per batch, other ones
        each time, is left out.

        Args:
            size: Events per batch.
            rng: Shuffles the events; without one they keep their order, and none is left out.

        Yields:
            A batch, and the tags of its jets, shape (n_jets,).
        """
        sizes = [len(tags) for _, tags in self.groups]
        orders = [torch.arange(n) if rng is None else torch.randperm(n, generator=rng) for n in sizes]
        cut = _even_cuts if rng is None else _equal_cuts
        for bounds in cut(sizes, self.steps(size)):
            chosen = [
                (rows[order[first:last]], tags[order[first:last]])
                for (rows, tags), order, (first, last) in zip(self.groups, orders, bounds, strict=True)
                if last > first
            ]
            shape = [(tags.shape[0], tags.shape[1]) for _, tags in chosen]
            rows = torch.cat([group_rows.flatten(0, 1) for group_rows, _ in chosen])
            yield Batch(rows, shape), torch.cat([tags.flatten() for _, tags in chosen])


def _even_cuts(sizes: Sequence[int], steps: int) -> list[list[tuple[int, int]]]:
    """Cut groups into steps of equal size in all, each step with its share of every group.

    Returns:
        For each step, the first and the last position (excluded) of each group.

    Example:
        >>> _even_cuts([2, 4], steps=2)
        [[(0, 1), (0, 2)], [(1, 2), (2, 4)]]
    """
    place = np.concatenate([(np.arange(size) + 0.5) / size for size in sizes])
    group = np.repeat(np.arange(len(sizes)), sizes)[np.argsort(place, kind="stable")]
    ends = np.round(np.linspace(0, len(group), steps + 1)).astype(int)
    cuts = [np.r_[0, np.cumsum(group == g)][ends].tolist() for g in range(len(sizes))]
    return [[(cut[step], cut[step + 1]) for cut in cuts] for step in range(steps)]


def _equal_cuts(sizes: Sequence[int], steps: int) -> list[list[tuple[int, int]]]:
    """Cut groups into steps of one shape, leaving out what does not divide; groups too small for that are cut evenly.

    Example:
        >>> _equal_cuts([33, 2], steps=2)
        [[(0, 16), (0, 1)], [(16, 32), (1, 2)]]
    """
    shares = [size // steps for size in sizes]
    even = _even_cuts([0 if share >= FIXED else size for size, share in zip(sizes, shares, strict=True)], steps)
    return [
        [(step * share, (step + 1) * share) if share >= FIXED else cut for share, cut in zip(shares, cuts, strict=True)]
        for step, cuts in enumerate(even)
    ]


def weighted_loss(logits: Tensor, tags: Tensor, mu: float) -> Tensor:
    r"""Return the cross-entropy of each jet, non-tagged jets weighted by :math:`\mu`.

    .. math:: -t \log s - \mu (1 - t) \log(1 - s)

    Source: Eq. 5 of arXiv:2004.02665.

    Args:
        logits: Logits of the scores s, any shape.
        tags: 1 where tagged, 0 where not, the same shape.
        mu: Weight of non-tagged jets.
    """
    return tags * F.softplus(-logits) + mu * (1 - tags) * F.softplus(logits)


def batch_loss(logits: Tensor, tags: Tensor, shape: list[tuple[int, int]], mu: float) -> Tensor:
    """Return Eq. 5 for a batch: the mean over the jets of each event, then the mean over events.

    The paper sums over events; the mean has the same minimum, and a size that does not depend on the batch.
    """
    losses = torch.split(weighted_loss(logits, tags, mu), [m * n for m, n in shape])
    per_event = [loss.sum() / n for loss, (_, n) in zip(losses, shape, strict=True)]
    return torch.stack(per_event).sum() / sum(m for m, _ in shape)


def transform(batch: Batch, options: Options, rng: torch.Generator) -> Batch:
    """Rotate and reflect every event of a batch at random, as the options say."""
    if not (options.rotate_phi or options.reflect_phi or options.reflect_eta):
        return batch
    sizes = torch.tensor([n for m, n in batch.shape for _ in range(m)])
    rows = batch.features.clone()

    def per_jet(values: Tensor) -> Tensor:
        return values.repeat_interleave(sizes)

    if options.reflect_eta:
        rows[:, ETA] *= per_jet(_signs(len(sizes), rng))
    if options.reflect_phi:
        rows[:, PHI] *= per_jet(_signs(len(sizes), rng))
    if options.rotate_phi:
        angles = per_jet(torch.rand(len(sizes), generator=rng) * (2 * math.pi))
        rows[:, PHI] = turn(rows[:, PHI] + angles)
    return Batch(rows, batch.shape)


def _signs(count: int, rng: torch.Generator) -> Tensor:
    return torch.randint(0, 2, (count,), generator=rng) * 2.0 - 1.0


class Training:
    """All that changes while a network is trained: what a checkpoint holds.

    The order of events and the random rotations are functions of (seed, epoch), so no random state is kept.

    Args:
        architecture: Sizes of the network.
        options: How it is trained.
        events: The training events.
        seed: Which network of which ensemble: numbers and names, say ``(1, "gnn", 0)``. Initial weights, order of
            events and rotations follow from it.
    """

    def __init__(self, architecture: Architecture, options: Options, events: Events, seed: Seed) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_stream(seed, 0))
            self.network = EfficiencyNetwork(architecture, events.flavours, options.mu)
        self.network.standardise.fit(events.rows)
        self.options, self.seed = options, seed
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=options.learning_rate)
        steps = events.steps(options.batch_events) * options.epochs
        self.schedule = _schedule(self.optimiser, options, steps)
        self.history: list[Epoch] = []
        self.best = copy.deepcopy(self.network.state_dict())
        self.best_loss = math.inf
        self.since_best = 0

    @property
    def size(self) -> int:
        """Number of trainable parameters."""
        return sum(p.numel() for p in self.network.parameters())

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or the validation loss has not fallen for too long."""
        patience = self.options.patience
        return len(self.history) >= self.options.epochs or (0 < patience <= self.since_best)

    def save(self, path: str | Path, identity: Mapping[str, Any]) -> None:
        """Write a checkpoint; ``identity`` says which run it belongs to."""
        with whole_file(path) as beside, beside.open("wb") as file:
            torch.save({"identity": dict(identity), **self._state()}, file)

    def resume(self, path: str | Path, identity: Mapping[str, Any]) -> bool:
        """Continue from a checkpoint.

        Returns:
            False, and nothing has changed, where there is no checkpoint, it cannot be read, or another run made it.
        """
        try:
            state = torch.load(path, weights_only=True)
        except Exception:  # noqa: BLE001 - torch raises many kinds for a broken file, and all mean: start anew
            return False
        if not isinstance(state, dict) or state.get("identity") != dict(identity):
            return False
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.history = [Epoch(**row) for row in state["history"]]
        self.best, self.best_loss, self.since_best = state["best"], state["best_loss"], state["since_best"]
        return True

    def _state(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "history": [asdict(row) for row in self.history],
            "best": self.best,
            "best_loss": self.best_loss,
            "since_best": self.since_best,
        }

    def best_network(self) -> EfficiencyNetwork:
        """Return the network with the weights of the epoch of lowest validation loss."""
        network = copy.deepcopy(self.network)
        network.load_state_dict(self.best)
        return network.eval()


def train(
    training: Training, events: Events, validation: Events, tick: Callable[[int], None] = lambda _: None
) -> Iterator[Epoch]:
    """Train until the end, an epoch at a time; logging and checkpoints are the caller's.

    Args:
        training: What is trained; it may come from a checkpoint.
        events: The training events.
        validation: Events that only choose the best epoch.
        tick: Called after each step with its number of events, for progress within an epoch.

    Yields:
        The epochs as they end.

    Raises:
        DataError: The loss is no longer finite, or the validation events have a flavour that the training events lack.
    """
    strange = sorted(set(validation.flavours) - set(events.flavours))
    if strange:
        msg = (
            f"the validation events have jets of flavour {strange[0]}, the training events only {list(events.flavours)}. "
            "Train on a sample that has this flavour, or drop those jets."
        )
        raise DataError(msg)
    while not training.finished:
        started = time.perf_counter()
        train_loss = _one_epoch(training, events, tick)
        seconds = time.perf_counter() - started
        validation_loss = evaluate(training.network, validation, training.options.mu)
        number = len(training.history) + 1
        if not (math.isfinite(train_loss) and math.isfinite(validation_loss)):
            msg = (
                f"epoch {number}: the loss is {train_loss} on training and {validation_loss} on validation events; "
                f"it must be finite. Lower the learning rate ({training.options.learning_rate})."
            )
            raise DataError(msg)
        best = validation_loss < training.best_loss
        training.since_best = 0 if best else training.since_best + 1
        if best:
            training.best_loss = validation_loss
            training.best = copy.deepcopy(training.network.state_dict())
        rate = training.optimiser.param_groups[0]["lr"]
        epoch = Epoch(number, train_loss, validation_loss, rate, seconds, events.count / seconds, best)
        training.history.append(epoch)
        yield epoch


def _one_epoch(training: Training, events: Events, tick: Callable[[int], None]) -> float:
    """Pass once through the training events; return their mean loss."""
    options, network = training.options, training.network.train()
    rng = torch.Generator().manual_seed(_stream(training.seed, len(training.history) + 1))
    total, seen = torch.zeros((), dtype=torch.float64), 0
    fast = uses_bfloat16(options.precision)
    for batch, tags in events.batches(options.batch_events, rng):
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            logits = network(transform(batch, options, rng)).float()
        loss = batch_loss(logits, tags, list(batch.shape), options.mu)
        training.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        training.optimiser.step()
        training.schedule.step()
        count = sum(m for m, _ in batch.shape)
        total += loss.detach() * count
        seen += count
        tick(count)
    return float(total) / seen


def evaluate(network: EfficiencyNetwork, events: Events, mu: float) -> float:
    """Return the mean of Eq. 5 over all events [nats/event]."""
    network.eval()
    total = 0.0
    with torch.inference_mode():
        for batch, tags in events.batches(EVALUATION_EVENTS):
            count = sum(m for m, _ in batch.shape)
            total += float(batch_loss(network(batch), tags, list(batch.shape), mu)) * count
    return total / events.count


def uses_bfloat16(precision: str) -> bool:
    """Return whether matrix products of training run in bfloat16 on this processor."""
    if precision == "auto":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return precision == "bfloat16"


def _schedule(optimiser: torch.optim.Optimizer, options: Options, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    if options.schedule == "constant":
        return torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1.0)
    return torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=options.learning_rate, total_steps=steps + 1, cycle_momentum=False
    )


def _stream(seed: Seed, use: int) -> int:
    """Return a seed for torch that differs for every (seed, use)."""
    state = np.random.SeedSequence([*seed_words(seed), use]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
