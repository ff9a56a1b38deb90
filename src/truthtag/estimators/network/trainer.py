"""Training of one network: the loss of Eq. 5, the loop, and checkpoints that resume exactly."""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from truthtag.data.jets import Jets
from truthtag.data.kinematics import wrap_angle
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.network.model import (
    FEATURES,
    Architecture,
    Batch,
    EfficiencyNetwork,
    Shape,
    Together,
    features,
    write_content,
)
from truthtag.seeds import Seed, seed_words

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
        micro_batch_events: Events that are held in memory at once: a step adds up the gradients of several such parts,
            which stay in cache where a whole batch does not. 0 for the whole batch.
        learning_rate: Learning rate of Adam; its peak where the schedule is ``one_cycle``.
        schedule: ``one_cycle`` (a rise, then a cosine fall to almost nothing) or ``constant``.
        warm_up: Fraction of the steps in which ``one_cycle`` rises.
        average: Epochs over which the weights are averaged exponentially, for validation and for the result; 0 to take
            the weights as they are.
        patience: Epochs without a better validation loss after which training stops; 0 to never stop early.
        mu: Weight of non-tagged jets in Eq. 5.
        bootstrap: Train each network on events drawn with replacement from the training events, so that the spread of
            networks holds the statistics of the training sample as well as the randomness of training.
        rotate_phi: Turn every event of a batch by a random angle in phi.
        reflect_phi: Mirror every event of a batch in phi with probability one half.
        reflect_eta: Mirror every event of a batch in eta with probability one half.
        precision: ``float32``, ``bfloat16`` (matrix products only; weights, loss and predictions stay in float32), or
            ``auto``: bfloat16 where the processor has instructions for it.
    """

    epochs: int
    batch_events: int
    micro_batch_events: int
    learning_rate: float
    schedule: str
    warm_up: float
    average: float
    patience: int
    mu: float
    bootstrap: bool
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
        for name in ("epochs", "batch_events", "learning_rate", "mu", "warm_up"):
            if not getattr(self, name) > 0:
                msg = f"training option {name} is {getattr(self, name)}; it must be above 0"
                raise ConfigError(msg)
        if self.warm_up >= 1:
            msg = (
                f"training option warm_up is {self.warm_up}; it is a fraction of the steps, below 1"
            )
            raise ConfigError(msg)


@dataclass(frozen=True)
class Epoch:
    """What one pass through the training events gave: a row of the history.

    Attributes:
        epoch: Number of the epoch, from 1.
        train_loss: Mean of Eq. 5 over the training events, while the weights changed [nats/event].
        validation_loss: Mean of Eq. 5 over the validation events, after the epoch [nats/event].
        learning_rate: Learning rate of the epoch's last step.
        seconds: Time it took, divided by the number of networks that were trained together [s].
        events_per_second: Training events per second and network [1/s].
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
        device: Where training reads them.

    Raises:
        DataError: The sample has no tags, or no jets.
    """

    def __init__(self, jets: Jets, device: torch.device | str = "cpu") -> None:
        if jets.is_tagged is None:
            msg = "the sample has no column 'is_tagged': a network learns from tags. Tag it first."
            raise DataError(msg)
        if not jets.n_jets:
            msg = "the sample has no jets: there is nothing to train on"
            raise DataError(msg)
        rows, tags = features(jets), torch.tensor(jets.is_tagged).float()
        self.groups = [
            (rows[bucket.jets].to(device), tags[bucket.jets].to(device))
            for bucket in jets.by_multiplicity()
        ]
        self.count = sum(len(group_tags) for _, group_tags in self.groups)
        self.rows = rows
        self.flavours = tuple(int(f) for f in np.unique(jets.flavour))

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
        """Draw as many events of each multiplicity, with replacement; return their positions within each."""
        return [torch.randint(len(tags), (len(tags),), generator=rng) for _, tags in self.groups]

    def batches(
        self,
        size: int,
        rngs: Sequence[torch.Generator] = (),
        parts: int = 1,
        resamples: Sequence[Sequence[Tensor]] = (),
    ) -> Iterator[tuple[Batch, Tensor]]:
        """Go through all events once, in batches of about ``size`` events, each cut into parts.

        Each batch holds its share of every multiplicity: its composition is that of the sample. Shuffled batches are all
        of one shape, since new shapes are dear in bfloat16: of each multiplicity less than one event per batch, other ones
        each time, is left out.

        Args:
            size: Events per batch.
            rngs: A generator for each of the networks that are trained together; each shuffles the events anew. Without
                any the events keep their order, and none is left out.
            parts: Number of parts of a batch.
            resamples: For each network, the events to go through as :meth:`resample` draws them; by default each once.

        Yields:
            A part of a batch, features of shape (n_networks, n_jets, 4), and the tags of its jets, (n_networks, n_jets).
        """
        sizes = [len(tags) for _, tags in self.groups]
        cut, draws = (_equal_cuts, rngs) if rngs else (_even_cuts, (None,))
        orders = [[_order(n, rng) for n in sizes] for rng in draws]
        if resamples:
            orders = [
                [drawn[order] for drawn, order in zip(*of_network, strict=True)]
                for of_network in zip(resamples, orders, strict=True)
            ]
        device = self.groups[0][1].device
        together = [torch.stack(order).to(device) for order in zip(*orders, strict=True)]
        for bounds in cut(sizes, self.steps(size) * parts):
            chosen = [
                (rows[order[:, first:last]], tags[order[:, first:last]])
                for (rows, tags), order, (first, last) in zip(
                    self.groups, together, bounds, strict=True
                )
                if last > first
            ]
            shape = [(tags.shape[1], tags.shape[2]) for _, tags in chosen]
            rows = torch.cat([group_rows.flatten(1, 2) for group_rows, _ in chosen], dim=1)
            yield Batch(rows, shape), torch.cat([tags.flatten(1) for _, tags in chosen], dim=1)


def _order(count: int, rng: torch.Generator | None) -> Tensor:
    # Drawn on the CPU: the order does not depend on the device.
    return torch.arange(count) if rng is None else torch.randperm(count, generator=rng)


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
    even = _even_cuts(
        [0 if share >= FIXED else size for size, share in zip(sizes, shares, strict=True)], steps
    )
    return [
        [
            (step * share, (step + 1) * share) if share >= FIXED else cut
            for share, cut in zip(shares, cuts, strict=True)
        ]
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


def batch_loss(logits: Tensor, tags: Tensor, shape: Shape, mu: float) -> Tensor:
    """Return Eq. 5 for a batch: the mean over the jets of each event, then the mean over events.

    The paper sums over events; the mean has the same minimum, and a size that does not depend on the batch.

    Args:
        logits: Logits of the scores, shape (..., n_jets).
        tags: 1 where tagged, 0 where not, the same shape.
        shape: Which jets make an event, as in :class:`truthtag.estimators.network.model.Batch`.
        mu: Weight of non-tagged jets.

    Returns:
        Shape (...).
    """
    losses = torch.split(weighted_loss(logits, tags, mu), [m * n for m, n in shape], dim=-1)
    per_size = [loss.sum(dim=-1) / n for loss, (_, n) in zip(losses, shape, strict=True)]
    return torch.stack(per_size).sum(dim=0) / sum(m for m, _ in shape)


def transform(batch: Batch, options: Options, rngs: Sequence[torch.Generator]) -> Batch:
    """Rotate and reflect every event of a batch at random, as the options say; a generator for each network."""
    if not (options.rotate_phi or options.reflect_phi or options.reflect_eta):
        return batch
    rows, device = batch.features.clone(), batch.features.device
    events, jets = (torch.tensor(sizes) for sizes in zip(*batch.shape, strict=True))
    event = (
        torch.arange(int(events.sum())).repeat_interleave(jets.repeat_interleave(events)).to(device)
    )

    def per_jet(draw: Callable[[int, torch.Generator], Tensor]) -> Tensor:
        return torch.stack([draw(int(events.sum()), rng) for rng in rngs]).to(device)[:, event]

    if options.reflect_eta:
        rows[..., ETA] *= per_jet(_signs)
    if options.reflect_phi:
        rows[..., PHI] *= per_jet(_signs)
    if options.rotate_phi:
        rows[..., PHI] = wrap_angle(rows[..., PHI] + per_jet(_angles))
    return Batch(rows, batch.shape)


def _signs(count: int, rng: torch.Generator) -> Tensor:
    return torch.randint(0, 2, (count,), generator=rng) * 2.0 - 1.0


def _angles(count: int, rng: torch.Generator) -> Tensor:
    return torch.rand(count, generator=rng) * (2 * math.pi)


@dataclass
class Record:
    """How far one of the networks that are trained together has come.

    Attributes:
        history: Its epochs.
        best: Its weights after the epoch of lowest validation loss.
        best_loss: That loss.
        since_best: Epochs since then.
    """

    history: list[Epoch]
    best: dict[str, Tensor]
    best_loss: float = math.inf
    since_best: int = 0


class Training:
    """All that changes while networks are trained: what a checkpoint holds.

    The order of events and the random rotations are functions of (seed, epoch), so no random state is kept. Networks that
    are trained together do not know of each other; they end with the one that takes longest.

    Args:
        architecture: Sizes of the networks.
        options: How they are trained.
        events: The training events.
        seeds: A seed per network, saying which of which ensemble: numbers and names, ``(1, "gnn", 0)`` say. Initial
            weights, order of events and rotations follow from it.
        device: Where to train; the events are there too.
    """

    def __init__(
        self,
        architecture: Architecture,
        options: Options,
        events: Events,
        seeds: Sequence[Seed],
        device: torch.device | str = "cpu",
    ) -> None:
        self.options, self.seeds = options, tuple(seeds)
        networks = [_new_network(architecture, options, events, seed).to(device) for seed in seeds]
        self.networks = Together(networks)
        weights = list(self.networks.weights.values())
        # A fused step of Adam takes a quarter of the time of a plain one.
        self.optimiser = torch.optim.Adam(weights, lr=options.learning_rate, fused=True)
        # Drawn by number, not kept: a checkpoint need not hold them.
        self.resamples = [
            events.resample(_generator(seed, "bootstrap")) for seed in seeds if options.bootstrap
        ]
        self.steps_per_epoch = events.steps(options.batch_events)
        self.schedule = _schedule(self.optimiser, options, self.steps_per_epoch * options.epochs)
        self.averages = [weight.detach().clone() for weight in weights] if options.average else []
        self.records = [Record([], self.networks.state(which)) for which in range(len(networks))]

    @property
    def size(self) -> int:
        """Number of trainable parameters of each network."""
        return sum(p.numel() for p in self.networks.like.parameters())

    @property
    def epochs_done(self) -> int:
        """Number of passes through the training events so far."""
        return max(len(record.history) for record in self.records)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or no network's validation loss has fallen for too long."""
        return self.epochs_done >= self.options.epochs or all(
            self.is_still(record) for record in self.records
        )

    def is_still(self, record: Record) -> bool:
        """Return whether the validation loss of one network has not fallen for too long."""
        return 0 < self.options.patience <= record.since_best

    def step(self) -> None:
        """Change the weights by their gradients, and take them into the average."""
        self.optimiser.step()
        self.schedule.step()
        self.optimiser.zero_grad()
        if self.averages:
            done = self.schedule.last_epoch
            # Short at first, so that the random weights of the beginning are forgotten.
            share = max(
                -math.expm1(-1 / (self.options.average * self.steps_per_epoch)), 9 / (9 + done)
            )
            with torch.no_grad():
                for average, weight in zip(
                    self.averages, self.networks.weights.values(), strict=True
                ):
                    average.lerp_(weight, share)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Hold the averages in place of the weights, where there are any."""
        weights = list(self.networks.weights.values())[: len(self.averages)]
        kept = [weight.detach().clone() for weight in weights]
        _copy(self.averages, weights)
        yield
        _copy(kept, weights)

    def save(self, path: str | Path, identity: Mapping[str, Any]) -> None:
        """Write a checkpoint; ``identity`` says which run it belongs to."""
        state = {
            "networks": [self.networks.state(which) for which in range(len(self.seeds))],
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "averages": self.averages,
            "records": [asdict(record) for record in self.records],
        }
        write_content({"identity": dict(identity), **state}, path)

    def resume(self, path: str | Path, identity: Mapping[str, Any]) -> bool:
        """Continue from a checkpoint.

        Returns:
            False, and nothing has changed, where there is no checkpoint, it cannot be read, or another run made it.
        """
        try:
            state = torch.load(
                path, weights_only=True, map_location=self.networks.like.standardise.mean.device
            )
        except Exception:  # noqa: BLE001 - torch raises many kinds for a broken file, and all mean: start anew
            return False
        if not isinstance(state, dict) or state.get("identity") != dict(identity):
            return False
        for which, network in enumerate(state["networks"]):
            self.networks.load_state(which, network)
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.averages = state["averages"]
        self.records = [
            Record(**{**record, "history": [Epoch(**row) for row in record["history"]]})
            for record in state["records"]
        ]
        return True

    def best_network(self, which: int = 0) -> EfficiencyNetwork:
        """Return a network with the weights of its epoch of lowest validation loss, on the CPU."""
        network = copy.deepcopy(self.networks.like).cpu()
        network.load_state_dict(self.records[which].best)
        return network.eval()


def _new_network(
    architecture: Architecture, options: Options, events: Events, seed: Seed
) -> EfficiencyNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_stream(seed, 0))
        network = EfficiencyNetwork(architecture, events.flavours, options.mu)
    network.standardise.fit(events.rows)
    return network


def _copy(source: Sequence[Tensor], target: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for old, new in zip(source, target, strict=True):
            new.copy_(old)


def train(
    training: Training,
    events: Events,
    validation: Events,
    tick: Callable[[int], None] = lambda _: None,
) -> Iterator[list[Epoch]]:
    """Train until the end, an epoch at a time; logging and checkpoints are the caller's.

    Args:
        training: What is trained; it may come from a checkpoint.
        events: The training events.
        validation: Events that only choose the best epoch.
        tick: Called after each step with its number of events, for progress within an epoch.

    Yields:
        The epochs as they end, one for each network that is not still yet.

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
        train_losses = _one_epoch(training, events, tick)
        seconds = (time.perf_counter() - started) / len(training.seeds)
        number, rate = training.epochs_done + 1, training.optimiser.param_groups[0]["lr"]
        with training.averaged():
            validation_losses = evaluate(training.networks, validation, training.options.mu)
            ended = []
            for which, record in enumerate(training.records):
                if training.is_still(record):
                    continue
                losses = train_losses[which], validation_losses[which]
                _require_finite(losses, number, training.options)
                epoch = Epoch(
                    number,
                    *losses,
                    rate,
                    seconds,
                    events.count / seconds,
                    best=losses[1] < record.best_loss,
                )
                record.history.append(epoch)
                record.since_best += 1
                if epoch.best:
                    record.best, record.best_loss = (
                        training.networks.state(which),
                        epoch.validation_loss,
                    )
                    record.since_best = 0
                ended.append(epoch)
        yield ended


def _require_finite(losses: tuple[float, float], epoch: int, options: Options) -> None:
    if not all(map(math.isfinite, losses)):
        msg = (
            f"epoch {epoch}: the loss is {losses[0]} on training and {losses[1]} on validation events; "
            f"it must be finite. Lower the learning rate ({options.learning_rate})."
        )
        raise DataError(msg)


def _one_epoch(training: Training, events: Events, tick: Callable[[int], None]) -> list[float]:
    """Pass once through the training events; return their mean loss, for each network."""
    options, number = training.options, training.epochs_done + 1
    rngs = [_generator(seed, number) for seed in training.seeds]
    total, seen = torch.zeros(len(rngs), dtype=torch.float64, device=events.groups[0][1].device), 0
    # Parts are for the cache of a processor; a GPU wants all it can get.
    micro = options.micro_batch_events if total.device.type == "cpu" else 0
    parts = max(1, round(options.batch_events / (micro or options.batch_events)))
    fast = uses_bfloat16(options.precision, total.device)
    batches = events.batches(options.batch_events, rngs, parts, training.resamples)
    for part, (batch, tags) in enumerate(batches, start=1):
        with torch.autocast(total.device.type, torch.bfloat16, enabled=fast):
            logits = training.networks(transform(batch, options, rngs)).float()
        loss = batch_loss(logits, tags, batch.shape, options.mu)
        (loss.sum() / parts).backward()  # type: ignore[no-untyped-call]
        if part % parts == 0:
            training.step()
        count = sum(m for m, _ in batch.shape)
        total += loss.detach() * count
        seen += count
        tick(count)
    return [float(loss) for loss in total / seen]


def evaluate(networks: Together, events: Events, mu: float) -> list[float]:
    """Return the mean of Eq. 5 over all events, for each network [nats/event]."""
    total = torch.zeros(networks.count, dtype=torch.float64, device=events.groups[0][1].device)
    with torch.inference_mode():
        for batch, tags in events.batches(EVALUATION_EVENTS):
            for_all = Batch(batch.features.expand(networks.count, -1, -1), batch.shape)
            total += batch_loss(networks(for_all), tags, batch.shape, mu) * sum(
                m for m, _ in batch.shape
            )
    return [float(loss) for loss in total / events.count]


def uses_bfloat16(precision: str, device: torch.device | str = "cpu") -> bool:
    """Return whether matrix products of training run in bfloat16 on a device."""
    if precision != "auto":
        return precision == "bfloat16"
    if torch.device(device).type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _schedule(
    optimiser: torch.optim.Optimizer, options: Options, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    if options.schedule == "constant":
        return torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1.0)
    return torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        max_lr=options.learning_rate,
        total_steps=steps + 1,
        pct_start=options.warm_up,
        cycle_momentum=False,
    )


def _generator(seed: Seed, use: int | str) -> torch.Generator:
    return torch.Generator().manual_seed(_stream(seed, use))


def _stream(seed: Seed, use: int | str) -> int:
    """Return a seed for torch that differs for every (seed, use)."""
    state = np.random.SeedSequence(seed_words((*seed, use))).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
