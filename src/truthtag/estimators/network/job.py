"""One training job: networks that are trained together, with its log lines and its checkpoint."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from truthtag.data.jets import Jets
from truthtag.data.training_blocks import Blocks, as_blocks, labels_of
from truthtag.estimators.failures import Failure
from truthtag.estimators.network.allocation import keep_freed_memory
from truthtag.estimators.network.balance import balance
from truthtag.estimators.network.baseline import (
    MIN_STEPS_TO_JUDGE,
    BaselineComparison,
    compare_with_constant,
)
from truthtag.estimators.network.batches import TrainingEvents
from truthtag.estimators.network.device import choose_device
from truthtag.estimators.network.failed import FailedNetwork
from truthtag.estimators.network.inputs import InputColumns
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.network.options import NetworkOptions
from truthtag.estimators.network.storage import Storage
from truthtag.estimators.network.trainer import (
    EpochResult,
    NetworkRecord,
    Training,
    resample_number,
    train,
)
from truthtag.progress import Progress
from truthtag.seeds import Seed

__all__ = [
    "TrainedNetwork",
    "on_threads",
    "run_training",
    "train_networks",
]

CHECKPOINT_SHARE = 0.05
"""Most of the time of a training that checkpoints may take which are not written in no time."""

SHORT_WRITE = 0.2
"""What counts as no time [s]."""


@dataclass(frozen=True)
class TrainedNetwork:
    """A network, and how it came about.

    Attributes:
        network: The network, ready to predict.
        history: A row per epoch, the columns of :class:`.trainer.EpochResult`.
        provenance: Its seed, options of training, number of training events and validation loss
            (of the best epoch, before the network was balanced); where there are any, its further
            inputs, the values of those that are categories, and its working points, with the
            validation loss of each; and which ``resample`` of how many it learned from, where
            networks share them.
    """

    network: EfficiencyNetwork
    history: pd.DataFrame
    provenance: dict[str, Any]


def train_networks(
    train_sample: Jets | Blocks,
    validation_sample: Jets | Blocks,
    options: NetworkOptions,
    seeds: Sequence[Seed],
    device: str,
    checkpoint: Path | None,
    identity: str,
    logger: logging.Logger,
) -> list[TrainedNetwork | FailedNetwork]:
    """Train networks together; where a checkpoint of the same job exists, go on from it.

    Args:
        train_sample: The tagged events to learn from, in memory or as blocks.
        validation_sample: Independent tagged events, which choose the best epoch.
        options: Sizes of the networks, and how they are trained. Where prepared events take more
            than ``memory_limit``, they are in files beside the checkpoint, which changes no number.
        seeds: A seed per network.
        device: ``auto``, ``cpu`` or ``cuda``.
        checkpoint: Written after every epoch, and left there; None for no checkpoint.
        identity: What else the result depends on: a digest of the code, say.
        logger: Told of every epoch.

    Returns:
        The networks, in the order of the seeds. One whose loss is not finite, or that is worse
        than a constant per flavour, has failed: the log says so by its seed.

    Raises:
        ConfigError: There is no such device.
        DataError: A sample has no tags or jets or lacks an input, both differ in what their labels
            mean, or weights in use have no positive sum.
    """
    labels = labels_of(as_blocks(train_sample))
    columns = InputColumns.of(options.architecture.inputs, labels.categories)
    weights = options.training.weights
    folder = Path(tempfile.gettempdir()) if checkpoint is None else checkpoint.parent
    storage = Storage(folder, options.memory_limit)
    with on_threads(options.threads):
        place = choose_device(device)
        events = TrainingEvents(train_sample, place, columns, weights, storage=storage)
        validation = TrainingEvents(validation_sample, place, columns, weights, storage=storage)
        if events.storage.folder is not None:
            logger.info(
                "events are kept in files in %s: they take more than memory_limit, %d MB",
                events.storage.folder,
                options.memory_limit,
            )
        _warn_of_equal_tags(events, logger)
        _warn_of_absent_flavours(events, logger)
        _tell_of_weights(events, logger)
        distinct = options.distinct_resamples()
        training = Training(options.architecture, options.training, events, seeds, place, distinct)
        logger.info(
            "%d events, %d network(s) of %d parameters, %s, %d threads",
            events.count,
            len(seeds),
            training.n_parameters,
            place,
            torch.get_num_threads(),
        )
        belongs_to = {
            "run": identity,
            "architecture": options.architecture.model_dump(mode="json"),
            "training": options.training.model_dump(mode="json"),
            "seeds": [list(seed) for seed in seeds],
            "resamples": training.distinct,
            "flavours": list(events.flavours),
            **training.networks.like.meaning,
            "events": events.digest(),
            "validation": validation.digest(),
        }
        run_training(training, events, validation, checkpoint, belongs_to, logger)
        return _results(training, events, validation, logger)


def run_training(
    training: Training,
    events: TrainingEvents,
    validation: TrainingEvents,
    checkpoint: Path | None,
    identity: dict[str, Any],
    logger: logging.Logger,
) -> None:
    """Train to the end, with log lines and a checkpoint after every epoch.

    Where writing a checkpoint takes long, fewer are written: see :class:`_Checkpoints`. From then
    on the process keeps memory that is freed: see :func:`.allocation.keep_freed_memory`.

    Args:
        training: What is trained.
        events: The training events.
        validation: Events that choose the best epoch.
        checkpoint: Where to go on from, and what to write; None for no checkpoint.
        identity: The run that the checkpoint must belong to.
        logger: Told of every epoch.

    Raises:
        DataError: The events differ in what they mean.
    """
    keep_freed_memory()
    if checkpoint is not None and training.resume(checkpoint, identity, logger):
        logger.info("going on from %s after %d epochs", checkpoint, training.epochs_done)
    epochs = training.options.epochs
    done = events.count * training.epochs_done
    progress = Progress(logger, events.count * epochs, "events", done=done)
    checkpoints = _Checkpoints(training, checkpoint, identity)
    for results in train(training, events, validation, progress.add):
        checkpoints.write_if_due()
        for result in results:
            _log_epoch(result, epochs, logger)


class _Checkpoints:
    """Checkpoints of a training: after every epoch, where they are written in no time.

    Those of many large networks take more than a second each. They are written so rarely that they
    take at most a twentieth of the time.

    Args:
        training: What is trained.
        path: Where checkpoints are written; None for none.
        identity: The run that they belong to.
    """

    def __init__(self, training: Training, path: Path | None, identity: dict[str, Any]) -> None:
        self.training = training
        self.path = path
        self.identity = identity
        self._next = 0.0

    def write_if_due(self) -> None:
        """Write one, unless the last took long and was written a short time ago."""
        started = time.monotonic()
        if self.path is None or started < self._next:
            return
        self.training.save(self.path, self.identity)
        ended = time.monotonic()
        took = ended - started
        wait = took / CHECKPOINT_SHARE if took > SHORT_WRITE else 0.0
        self._next = ended + wait


def _log_epoch(result: EpochResult, epochs: int, logger: logging.Logger) -> None:
    logger.info(
        "epoch %d of %d: loss %.6f on training, %.6f on validation events, %.0f events/s%s",
        result.epoch,
        epochs,
        result.train_loss,
        result.validation_loss,
        result.events_per_second,
        ", best so far" if result.best else "",
    )


def _results(
    training: Training,
    events: TrainingEvents,
    validation: TrainingEvents,
    logger: logging.Logger,
) -> list[TrainedNetwork | FailedNetwork]:
    """Return the networks of the best epochs; one that is worse than a constant has failed."""
    results: list[TrainedNetwork | FailedNetwork] = []
    for which, (seed, record) in enumerate(zip(training.seeds, training.records, strict=True)):
        if not record.is_finite:
            failure = _not_finite(record, seed, training)
            results.append(_failed(failure, training, record, events, logger))
            continue
        network = training.best_network(which).to(events.device)
        # As it was trained: an offset would hide that it has not learned the tagged fraction.
        compared = compare_with_constant(network, events, validation)
        worse = _worse_than_constant(compared, seed, training, logger)
        if worse is not None:
            results.append(_failed(worse, training, record, events, logger))
            continue
        _warn_of_points(compared, seed, network.points, training, logger)
        if training.options.balance:
            _balance(network, training, which, events, logger)
        provenance = {
            "seed": list(seed),
            "training": training.options.model_dump(mode="json"),
            "train_events": events.count,
            "validation_loss": record.best_loss,
            **network.meaning,
        }
        if training.distinct:
            number = resample_number(seed, training.distinct)
            provenance["resample"] = {"number": number, "of": training.distinct}
        if network.columns.further:
            provenance["inputs"] = list(network.architecture.inputs)
        if compared.of_points:
            provenance["validation_losses"] = [one.loss for one in compared.of_points]
        results.append(TrainedNetwork(network.cpu(), _history(record), provenance))
    return results


def _history(record: NetworkRecord) -> pd.DataFrame:
    return pd.DataFrame([asdict(row) for row in record.history])


def _failed(
    failure: Failure,
    training: Training,
    record: NetworkRecord,
    events: TrainingEvents,
    logger: logging.Logger,
) -> FailedNetwork:
    """Return what is left of a network, and say that it failed."""
    logger.warning(
        "the network of seed %s has failed, and no ensemble will use it: %s. %s",
        tuple(failure.seed),
        failure.reason,
        failure.remedy,
    )
    provenance = {
        "seed": list(failure.seed),
        "training": training.options.model_dump(mode="json"),
        "train_events": events.count,
    }
    return FailedNetwork(failure, provenance, _history(record))


def _not_finite(record: NetworkRecord, seed: Seed, training: Training) -> Failure:
    last = record.history[-1]
    reason = (
        f"its loss is {last.train_loss} on training and {last.validation_loss} on validation "
        f"events in epoch {last.epoch}"
    )
    remedy = f"Lower training.learning_rate ({training.options.learning_rate})."
    return Failure(tuple(seed), reason, remedy)


def _balance(
    network: EfficiencyNetwork,
    training: Training,
    which: int,
    events: TrainingEvents,
    logger: logging.Logger,
) -> None:
    """Make a network predict as many tags as it learned from; say where it cannot."""
    resample = training.resamples[which] if training.resamples else None
    for found in balance(network, events, resample):
        where = f" at point {network.points[found.point]!r}" if network.n_points > 1 else ""
        logger.info(
            "the network of seed %s has no offset for flavour %d%s: %.6g of %.6g of its jets are "
            "tagged",
            tuple(training.seeds[which]),
            found.flavour,
            where,
            found.tags,
            found.jets,
        )


def _worse_than_constant(
    compared: BaselineComparison, seed: Seed, training: Training, logger: logging.Logger
) -> Failure | None:
    """Return how a network fails that is worse than a constant per flavour; warn where it had few
    steps."""
    options = training.options
    steps = training.steps_per_epoch * training.epochs_done
    losses = (
        f"its validation loss is {compared.loss:.6g} nats/event, above that of one constant per "
        f"flavour, {compared.constant_loss:.6g} (standard error of the difference "
        f"{compared.error:.2g})"
    )
    if compared.is_refused(steps):
        remedy = (
            f"Lower training.learning_rate ({options.learning_rate}), or train longer: raise "
            f"training.epochs ({options.epochs}), or lower training.batch_events "
            f"({options.batch_events}), which gives more steps."
        )
        return Failure(tuple(seed), losses, remedy)
    if compared.is_worse:
        logger.warning(
            "the network of seed %s: %s: %d steps of training are too few to be of use. Raise "
            "training.epochs (%d), or lower training.batch_events (%d); from %d steps such a "
            "network fails.",
            tuple(seed),
            losses,
            steps,
            options.epochs,
            options.batch_events,
            MIN_STEPS_TO_JUDGE,
        )
    return None


def _warn_of_points(
    compared: BaselineComparison,
    seed: Seed,
    points: Sequence[str],
    training: Training,
    logger: logging.Logger,
) -> None:
    """Warn of working points at which a network is worse than a constant, though not in all."""
    if training.steps_per_epoch * training.epochs_done < MIN_STEPS_TO_JUDGE:
        return
    for name, one in zip(points, compared.of_points, strict=False):
        if one.is_worse:
            logger.warning(
                "the network of seed %s has a validation loss of %.6g nats/event at the working "
                "point %r, given the one before, above that of one constant per flavour, %.6g "
                "(standard error of the difference %.2g). Train longer, or on more events.",
                tuple(seed),
                one.loss,
                name,
                one.constant_loss,
                one.error,
            )


def _warn_of_equal_tags(events: TrainingEvents, logger: logging.Logger) -> None:
    """Warn of a sample that cannot teach what makes a jet tagged, at one of its points."""
    n_points = events.n_points
    column = "is_tagged" if n_points == 1 else "tag_bin"
    candidates = len(events.rows)
    for point in range(n_points):
        passing = events.n_passing(point)
        if passing in (0, candidates):
            where = "" if n_points == 1 else f" at point {events.points[point]!r}"
            logger.warning(
                "%s jet of the training sample%s (%d jets) is tagged%s: the %s will be %s "
                "everywhere. Check the column %r.",
                "every" if passing else "no",
                " that passes the point before" if point else "",
                candidates,
                where,
                "share that passes" if point else "efficiency",
                "near 1" if passing else "near 0",
                column,
            )
        if not passing:
            # Nor does any jet pass a tighter point.
            return
        candidates = passing


def _warn_of_absent_flavours(events: TrainingEvents, logger: logging.Logger) -> None:
    """Warn of known flavours of which the training sample has no jet."""
    absent = [flavour for flavour in events.flavours if flavour not in events.occurring]
    if absent:
        logger.warning(
            "no jet of the training sample has the flavour %s: what the networks say of such jets "
            "is extrapolated from other flavours",
            " or ".join(map(str, absent)),
        )


def _tell_of_weights(events: TrainingEvents, logger: logging.Logger) -> None:
    """Say how many events are left where weights are used; warn of negative ones."""
    if events.weighting == "ignore":
        return
    as_they_are = events.weighting == "use" and events.negative > 0
    logger.log(
        logging.WARNING if as_they_are else logging.INFO,
        "training.weights is %r: %d events with jets, %d events of negative weight, have the "
        "statistics of %.1f events of one weight%s",
        events.weighting,
        events.count,
        events.negative,
        events.effective_count,
        "; a loss with negative weights need not have a minimum" if as_they_are else "",
    )


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Compute on so many threads while the block runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
