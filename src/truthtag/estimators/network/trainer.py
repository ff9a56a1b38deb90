"""The training loop: one epoch after the other, for one network or several at once."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from truthtag.errors import ConfigError, DataError
from truthtag.estimators.network.augmentation import transform
from truthtag.estimators.network.batches import Batch, TrainingEvents
from truthtag.estimators.network.checkpoint import read_checkpoint, write_checkpoint
from truthtag.estimators.network.device import events_at_once, matrix_units, uses_bfloat16
from truthtag.estimators.network.gradients import Gradients, Objective, gradients_of
from truthtag.estimators.network.inputs import InputColumns
from truthtag.estimators.network.loss import batch_loss
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.network.optimiser import Adam, copy_values, learning_rate
from truthtag.estimators.network.options import Architecture, TrainingOptions
from truthtag.estimators.network.stacked import StackedNetworks
from truthtag.seeds import Seed, seed_words

__all__ = [
    "EpochResult",
    "NetworkRecord",
    "Training",
    "evaluate",
    "resample_number",
    "train",
]

CHECKPOINT_PARTS = ("networks", "optimiser", "steps", "averages", "records")


@dataclass(frozen=True)
class EpochResult:
    """What one pass through the training events gave: a row of the history.

    Attributes:
        epoch: Number of the epoch, from 1.
        train_loss: Mean of Eq. 5 over the training events, while the weights changed [nats/event];
            with several working points their sum, with weights of events the weighted mean.
        validation_loss: The same over the validation events, after the epoch [nats/event].
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

    @property
    def is_finite(self) -> bool:
        """Whether both losses are finite."""
        return math.isfinite(self.train_loss) and math.isfinite(self.validation_loss)


@dataclass
class NetworkRecord:
    """How far one of the networks that are trained together has come.

    Attributes:
        history: Its epochs.
        best: Its weights after the epoch of lowest validation loss.
        best_loss: That loss.
        since_best: Epochs since then.
    """

    history: list[EpochResult]
    best: dict[str, Tensor]
    best_loss: float = math.inf
    since_best: int = 0

    @property
    def is_finite(self) -> bool:
        """Whether its losses are numbers; once they are not, they are never again."""
        return not self.history or self.history[-1].is_finite

    def add(self, result: EpochResult, networks: StackedNetworks, which: int) -> None:
        """Take in an epoch that ended; keep the weights where it is the best so far."""
        self.history.append(result)
        self.since_best += 1
        if result.best:
            self.best = networks.state(which)
            self.best_loss = result.validation_loss
            self.since_best = 0


class Training:
    """All that changes while networks are trained: what a checkpoint holds.

    The order of events and the random rotations are functions of (seed, epoch), so no random state
    is kept. Networks that are trained together do not know of each other; they end with the one
    that takes longest.

    Args:
        architecture: Sizes of the networks.
        options: How they are trained.
        events: The training events.
        seeds: A seed per network, saying which of which ensemble: numbers and names,
            ``(1, "gnn", 0)`` say. Initial weights, order of events and rotations follow from it.
        device: Where to train; the events are there too.
        distinct: Number of balanced resamples R that the networks share (with ``bootstrap``):
            networks whose seeds end with numbers that are equal modulo R learn from the same
            events. With 0 each draws events for itself.

    Raises:
        ConfigError: Resamples are to be shared, and a seed does not end with a number.
        DataError: The events were prepared for other inputs or another use of weights, or an input
            does not vary in them.
    """

    def __init__(
        self,
        architecture: Architecture,
        options: TrainingOptions,
        events: TrainingEvents,
        seeds: Sequence[Seed],
        device: torch.device | str = "cpu",
        distinct: int = 0,
    ) -> None:
        _require_prepared(architecture, options, events)
        self.options = options
        self.seeds = tuple(seeds)
        networks = [_new_network(architecture, options, events, seed).to(device) for seed in seeds]
        self.networks = StackedNetworks(networks)
        weights = list(self.networks.weights.values())
        self.optimiser = Adam(weights, options.betas)
        self.steps_per_epoch = events.steps(options.batch_events)
        self.steps_done = 0
        # Functions of the seed: a checkpoint need not hold them.
        self.resamples: list[list[Tensor]] = []
        self.distinct = distinct if options.bootstrap else 0
        if options.bootstrap:
            for seed in seeds:
                self.resamples.append(_resample(events, seed, distinct))
        self.averages: list[Tensor] = []
        if options.average:
            self.averages = [weight.detach().clone() for weight in weights]
        self.records: list[NetworkRecord] = []
        for which in range(len(networks)):
            self.records.append(NetworkRecord([], self.networks.state(which)))

    @property
    def n_parameters(self) -> int:
        """Number of trainable parameters of each network."""
        return sum(weight.numel() for weight in self.networks.like.parameters())

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.networks.like.standardise.mean.device

    @property
    def epochs_done(self) -> int:
        """Number of passes through the training events so far."""
        return max(len(record.history) for record in self.records)

    @property
    def is_finished(self) -> bool:
        """Whether all epochs are done, or every network has stopped."""
        if self.epochs_done >= self.options.epochs:
            return True
        return all(self.has_stopped(record) for record in self.records)

    def has_stopped(self, record: NetworkRecord) -> bool:
        """Return whether a network's validation loss has not fallen for too long, or is no
        number."""
        return 0 < self.options.patience <= record.since_best or not record.is_finite

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        return learning_rate(self.options, step, self.steps_per_epoch * self.options.epochs)

    def step(self) -> None:
        """Change the weights by their gradients, and take them into the average."""
        self.optimiser.step(self.learning_rate(self.steps_done))
        self.steps_done += 1
        if self.averages:
            self._update_averages()

    def _update_averages(self) -> None:
        r"""Move the averages a share of the way to the weights.

        .. math:: \bar w \to \bar w + a (w - \bar w),
            \quad a = \max(1 - e^{-1/(N\,\mathrm{steps})}, 9 / (9 + k))

        for an average over N epochs, after step k.
        """
        steps_averaged = self.options.average * self.steps_per_epoch
        steady_share = -math.expm1(-1 / steps_averaged)
        # A large share at first, so that the random weights of the beginning are forgotten.
        early_share = 9 / (9 + self.steps_done)
        share = max(steady_share, early_share)
        weights = self.networks.weights.values()
        with torch.no_grad():
            for average, weight in zip(self.averages, weights, strict=True):
                average.lerp_(weight, share)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Hold the averages in place of the weights, where there are any."""
        if not self.averages:
            yield
            return
        weights = list(self.networks.weights.values())
        kept = [weight.detach().clone() for weight in weights]
        copy_values(self.averages, weights)
        yield
        copy_values(kept, weights)

    def save(self, path: str | Path, identity: Mapping[str, Any]) -> None:
        """Write a checkpoint; ``identity`` says which run it belongs to."""
        write_checkpoint(path, identity, self._state())

    def resume(
        self, path: str | Path, identity: Mapping[str, Any], logger: logging.Logger | None = None
    ) -> bool:
        """Continue from a checkpoint.

        Args:
            path: The checkpoint.
            identity: The run that it must belong to.
            logger: Warned where a checkpoint cannot be used.

        Returns:
            False, and nothing has changed, where there is no checkpoint, it is damaged, or another
            run made it.

        Raises:
            DataError: A folder is where the checkpoint should be.
        """
        if Path(path).is_dir():
            msg = f"{path}: is a folder; a checkpoint is to be written here. Move or rename it."
            raise DataError(msg)
        logger = logger or logging.getLogger("truthtag")
        try:
            state = read_checkpoint(path, identity, CHECKPOINT_PARTS, self.device)
        except DataError as error:
            logger.warning("training starts anew: %s", error)
            return False
        if state is None:
            if Path(path).exists():
                # As it should be after a change of the config: no reason for a warning.
                logger.info(
                    "training starts anew: %s: is of other options, seeds, events or code", path
                )
            return False
        before = copy.deepcopy(self._state())
        try:
            self._restore(state)
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            # Half of it may have been taken over by now.
            self._restore(before)
            logger.warning("training starts anew: %s: does not fit (%s)", path, error)
            return False
        return True

    def _state(self) -> dict[str, Any]:
        """Return all that a checkpoint holds, the names of :data:`CHECKPOINT_PARTS`."""
        return {
            "networks": [self.networks.state(which) for which in range(len(self.seeds))],
            "optimiser": self.optimiser.state(),
            "steps": self.steps_done,
            "averages": self.averages,
            "records": [asdict(record) for record in self.records],
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`_state` returned."""
        records = []
        for stored in state["records"]:
            history = [EpochResult(**row) for row in stored["history"]]
            records.append(NetworkRecord(**{**stored, "history": history}))
        averages = state["averages"]
        steps_done = int(state["steps"])
        sizes = {
            "networks": (len(state["networks"]), len(self.seeds)),
            "records": (len(records), len(self.seeds)),
            "averages": (len(averages), len(self.averages)),
        }
        for name, (found, wanted) in sizes.items():
            if found != wanted:
                msg = f"it holds {found} {name}, this training has {wanted}"
                raise ValueError(msg)
        for which, network in enumerate(state["networks"]):
            self.networks.load_state(which, network)
        self.optimiser.load(state["optimiser"])
        self.steps_done = steps_done
        copy_values(averages, self.averages)
        self.records = records

    def best_network(self, which: int = 0) -> EfficiencyNetwork:
        """Return a network as it was after its epoch of lowest validation loss, on the CPU."""
        network = copy.deepcopy(self.networks.like).cpu()
        network.load_state_dict(self.records[which].best)
        return network.eval()


def train(
    training: Training,
    events: TrainingEvents,
    validation: TrainingEvents,
    tick: Callable[[int], None] = lambda _: None,
) -> Iterator[list[EpochResult]]:
    """Train until the end, an epoch at a time; logging and checkpoints are the caller's.

    Args:
        training: What is trained; it may come from a checkpoint.
        events: The training events.
        validation: Events that only choose the best epoch.
        tick: Called after each micro-batch with its number of events, for progress within an epoch.

    Yields:
        The epochs as they end, one for each network that has not stopped yet. A network whose loss
        is no longer finite stops with that epoch, and the others go on.

    Raises:
        DataError: The validation events have a flavour that the training events lack, or other
            working points, or were prepared otherwise.
    """
    _require_alike(events, validation)
    gradients = _gradients(training, events)
    while not training.is_finished:
        number = training.epochs_done + 1
        started = time.perf_counter()
        train_losses = _one_epoch(training, events, gradients, number, tick)
        seconds = (time.perf_counter() - started) / len(training.seeds)
        ended = []
        with training.averaged():
            validation_losses = evaluate(training.networks, validation, training.options.mu)
            for which, record in enumerate(training.records):
                if training.has_stopped(record):
                    continue
                result = EpochResult(
                    epoch=number,
                    train_loss=train_losses[which],
                    validation_loss=validation_losses[which],
                    learning_rate=training.learning_rate(training.steps_done - 1),
                    seconds=seconds,
                    events_per_second=events.count / seconds,
                    best=validation_losses[which] < record.best_loss,
                )
                record.add(result, training.networks, which)
                ended.append(result)
        yield ended


def _gradients(training: Training, events: TrainingEvents) -> Gradients:
    """Return what computes the gradients of the batches of a training."""
    options = training.options
    objective = Objective(
        networks=training.networks,
        mu=options.mu,
        in_bfloat16=uses_bfloat16(options.precision, events.device),
        parts=_micro_batches(options, events),
    )
    return gradients_of(objective, events.device, options.epochs * len(events.rows))


def _one_epoch(
    training: Training,
    events: TrainingEvents,
    gradients: Gradients,
    number: int,
    tick: Callable[[int], None],
) -> list[float]:
    """Pass once through the training events.

    Args:
        training: What is trained.
        events: The training events.
        gradients: Computes the gradients of a batch.
        number: Number of the epoch, from 1; with the seed it decides the order of the events.
        tick: Called after each micro-batch with its number of events.

    Returns:
        The mean loss while the weights changed, for each network [nats/event].
    """
    options = training.options
    device = events.device
    rngs = [_generator(seed, number) for seed in training.seeds]
    n_micro = _micro_batches(options, events)
    loss_sum = torch.zeros(len(rngs), dtype=torch.float64, device=device)
    n_seen = 0
    batches = events.weighted_batches(options.batch_events, rngs, n_micro, training.resamples)
    for position, (batch, tags, weights) in enumerate(batches, start=1):
        moved = transform(batch, options, rngs)
        losses = gradients(moved, tags, weights)
        # Gradients add up until the batch is complete.
        if position % n_micro == 0:
            training.step()
        n_events = sum(m for m, _ in batch.shape)
        loss_sum += losses * n_events
        n_seen += n_events
        tick(n_events)
    return [float(mean) for mean in loss_sum / n_seen]


def evaluate(networks: StackedNetworks, events: TrainingEvents, mu: float) -> list[float]:
    """Return the mean of Eq. 5 over all events, for each network [nats/event].

    It is summed over the working points, and weighted where the events have weights.
    """
    n_points = networks.like.n_points
    loss_sum = torch.zeros(networks.count, dtype=torch.float64, device=events.device)
    with torch.inference_mode(), matrix_units(events.device):
        for batch, tags, weights in events.weighted_batches(events_at_once(events.device)):
            # Every network sees the same events.
            rows = batch.features.expand(networks.count, -1, -1)
            logits = networks(Batch(rows, batch.shape))
            n_events = sum(m for m, _ in batch.shape)
            loss = batch_loss(logits, tags, batch.shape, mu, n_points, weights)
            loss_sum += loss * n_events
    return [float(mean) for mean in loss_sum / events.count]


def _micro_batches(options: TrainingOptions, events: TrainingEvents) -> int:
    """Return the number of micro-batches of a batch."""
    # They are for the cache of a processor; a GPU is fastest with whole batches.
    if not options.micro_batch_events or events.device.type != "cpu":
        return 1
    wanted = round(options.batch_events / options.micro_batch_events)
    # Each has at least one event.
    most = events.count // events.steps(options.batch_events)
    return max(1, min(wanted, most))


def _require_prepared(
    architecture: Architecture, options: TrainingOptions, events: TrainingEvents
) -> None:
    """Refuse events that were prepared for other networks, or for another training."""
    wanted = InputColumns.of(architecture.inputs, events.columns.categories).further
    if events.columns.further != wanted:
        msg = (
            f"the events were prepared with the further inputs {list(events.columns.further)}, the "
            f"networks see {list(wanted)}. Prepare both alike: TrainingEvents(..., columns=...)."
        )
        raise DataError(msg)
    if events.weighting != options.weights:
        msg = (
            f"the events were prepared with weights {events.weighting!r}, training.weights is "
            f"{options.weights!r}. Prepare both alike: TrainingEvents(..., weights=...)."
        )
        raise DataError(msg)


def _require_alike(events: TrainingEvents, validation: TrainingEvents) -> None:
    """Refuse validation events that mean something else than the training events."""
    unknown = sorted(set(validation.occurring) - set(events.flavours))
    if unknown:
        msg = (
            f"the validation events have jets of flavour {unknown[0]}, the training events only "
            f"{list(events.flavours)}. Train on a sample that has this flavour, or drop those jets."
        )
        raise DataError(msg)
    for what, ours, theirs in (
        ("working points", list(events.points), list(validation.points)),
        ("columns", list(events.columns.names), list(validation.columns.names)),
        ("weights", events.weighting, validation.weighting),
    ):
        if ours != theirs:
            msg = (
                f"the training events have the {what} {ours}, the validation events {theirs}. "
                "Make both with the same labels, inputs and options."
            )
            raise DataError(msg)


def _new_network(
    architecture: Architecture, options: TrainingOptions, events: TrainingEvents, seed: Seed
) -> EfficiencyNetwork:
    """Return a network with random weights that follow from its seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_stream(seed, 0))
        network = EfficiencyNetwork(
            architecture,
            events.flavours,
            options.mu,
            events.points,
            events.columns.categories,
        )
    network.standardise.fit(
        events.rows,
        events.columns.names,
        used=architecture.scaled_inputs,
        indicators=events.columns.indicators,
        possible={"flavour": events.flavours},
    )
    return network


def _resample(events: TrainingEvents, seed: Seed, distinct: int) -> list[Tensor]:
    """Draw the events that a network learns from; partners draw the same."""
    if not distinct:
        return events.resample(_generator(seed, "bootstrap"))
    # One stream for all that share resamples; the number of the network says which is its own.
    number = resample_number(seed, distinct)
    return events.resample(_generator(seed[:-1], "bootstrap"), number, distinct)


def resample_number(seed: Seed, distinct: int) -> int:
    """Return which of the shared resamples the network of a seed learns from.

    Raises:
        ConfigError: The seed does not end with a number.

    Example:
        >>> [resample_number((1, "gnn", number), 10) for number in (0, 9, 10)]
        [0, 9, 0]
    """
    last = seed[-1]
    if isinstance(last, str):
        msg = (
            f"the seed {tuple(seed)} ends with a name; where networks share resamples, a number "
            "must say which is whose. Give seeds like (1, 'gnn', 0), or resamples: 0."
        )
        raise ConfigError(msg)
    return last % distinct


def _generator(seed: Seed, use: int | str) -> torch.Generator:
    """Return the random stream of a network for one use: the number of an epoch, or a name."""
    return torch.Generator().manual_seed(_stream(seed, use))


def _stream(seed: Seed, use: int | str) -> int:
    """Return a seed for torch that differs for every (seed, use)."""
    words = seed_words((*seed, use))
    state = np.random.SeedSequence(words).generate_state(1, np.uint64)
    # torch takes 63 bits.
    return int(state[0] >> np.uint64(1))
