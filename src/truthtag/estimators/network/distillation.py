"""Distillation: one network that says what an ensemble says. Importing this needs no torch."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from truthtag.data.jets import Jets
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.cross_fitting import HeldOut
from truthtag.estimators.network.estimator import NetworkEstimator
from truthtag.estimators.network.filling import fill_events
from truthtag.estimators.network.lesson import Lesson
from truthtag.estimators.network.options import Architecture, DistilOptions
from truthtag.estimators.protocol import Efficiency
from truthtag.seeds import Seed

if TYPE_CHECKING:
    from torch import Tensor

    from truthtag.estimators.network.model import EfficiencyNetwork

__all__ = ["Distilled", "distil"]

MOST_COMPARED = 5_000
"""Validation events on which members alone are compared with the ensemble."""

MOST_FILLING = 10_000
"""Events that fill the domain of the validation sample, on which the report measures."""

NEGLIGIBLE = 1e-3
"""Regret that nobody sees in a distribution, a relative error of a few per cent [nats/jet]."""


@dataclass(frozen=True, eq=False)
class Distilled:
    """One network in place of an ensemble, and what that costs.

    Attributes:
        network: The network; its provenance holds the report as ``distilled``.
        report: Plain values: of the ``ensemble`` its ``description``, digests of the weights of its
            ``networks``, and a digest of all that it was asked and said, ``targets``; ``start``,
            which of the networks it began with, or None; ``train_events`` and ``filling_events``;
            ``constant_regret``, ``member_regret``, ``validation`` and ``filled``, as
            :func:`distil` explains them.
    """

    network: NetworkEstimator
    report: dict[str, Any]


def distil(
    ensemble: Efficiency,
    train: Jets,
    validation: Jets,
    options: DistilOptions,
    seed: Seed,
    fill: Jets | None = None,
    *,
    logger: logging.Logger | None = None,
) -> Distilled:
    r"""Teach one network what an ensemble says, and measure how well it has learned.

    The target is the efficiency :math:`\epsilon` of the ensemble in place of tags. The loss is the
    cross-entropy that networks are trained with. Nothing makes it lower than the ensemble itself;
    what a network with efficiency q is above that is the added regret, in the mean over jets

    .. math:: \left\langle \epsilon \ln\frac{\epsilon}{q}
        + (1 - \epsilon) \ln\frac{1 - \epsilon}{1 - q} \right\rangle

    or the same of the tag bins where there are several working points. Such targets have no noise:
    a few epochs teach what no number of them can teach with tags. Where networks of the ensemble
    have the architecture wanted, the new one begins with the weights of that which is nearest to
    the ensemble; else with random ones.

    What was cross-fitted is distilled as it serves events of other samples: the mean over the
    folds. Events of the training samples need the members themselves, fold by fold.

    Source: Hinton, Vinyals and Dean, arXiv:1503.02531, for what an ensemble says as the target;
    this project for the events that fill the domain.

    Args:
        ensemble: Anything with an efficiency: networks, maps, what was cross-fitted.
        train: Events like those that the network is for; they may be those that the ensemble
            learned from. Tags are not needed.
        validation: Other events, which choose the best epoch, and on which the network is measured.
        options: The network, and how it is taught.
        seed: Names the random stream: ``(1, "gnn", "distilled")`` say.
        fill: Events that fill the domain; by default they are made of the training events, as
            :func:`.filling.fill_events` does.
        logger: Told of every epoch, and warned where a member alone is nearer to the ensemble.

    Returns:
        The network, and the report. This holds, of the validation events and of as many, up to
        10,000, that fill their domain (``filled``): ``events``; ``added_regret`` of all jets, and
        ``by_flavour`` [nats/jet]; and of the relative differences of the efficiencies, absolute
        values at all points, the quantile ``difference_99`` and ``difference_max``.
        To compare with, ``constant_regret`` is what a constant for each flavour adds, and
        ``member_regret`` what one of the networks of the ensemble adds, in the mean over them, on
        the first 5,000 validation events; None without networks [nats/jet].

    Raises:
        ConfigError: The architecture is not given, and the ensemble holds no network that has one;
            or what is to be distilled goes by the folds of events.
        DataError: A sample has no jets or lacks an input, the ensemble gives something else than an
            efficiency at each working point of the samples, the loss is not finite, or the network
            is worse than a constant for each flavour.
    """
    logger = logger or logging.getLogger("truthtag")
    members = _networks(ensemble)
    architecture = options.architecture or _architecture(members)
    _require_points(ensemble, train)
    train = _spread(train, options.events)
    validation = _spread(validation, options.events)
    lesson = Lesson.of(ensemble, train)
    n_filling = round(options.fill * train.n_events)
    if fill is None and n_filling:
        fill = fill_events(train, n_filling, (*seed, "fill"))
    if fill is not None and fill.n_jets:
        lesson = lesson.joined(Lesson.of(ensemble, fill))
    exam = Lesson.of(ensemble, validation)
    some = exam.first(MOST_COMPARED)
    regrets = [some.added_regret(member.efficiency(some.jets)) for member in members]
    start = _nearest(members, regrets, architecture, train)
    like = None if start is None else members[start].network
    network = _taught(architecture, options, lesson, exam, seed, like, logger)
    n_filled = min(validation.n_events, MOST_FILLING)
    filled = Lesson.of(ensemble, fill_events(validation, n_filled, (*seed, "filled")))
    report = {
        "ensemble": {**_described(ensemble, members), "targets": lesson.digest()},
        "start": start,
        "train_events": train.n_events,
        "filling_events": 0 if fill is None else fill.n_events,
        "constant_regret": exam.added_regret(lesson.constants(validation)),
        "member_regret": float(np.mean(regrets)) if regrets else None,
        "validation": exam.measure(network.efficiency(validation)),
        "filled": filled.measure(network.efficiency(filled.jets)),
    }
    _tell(report, logger)
    _judge(report, regrets, options, logger)
    network.provenance["distilled"] = report
    return Distilled(network, report)


# ---- what is to be learned


def _networks(ensemble: Efficiency) -> list[NetworkEstimator]:
    """Return the networks of an ensemble, or the one that it is."""
    if isinstance(ensemble, HeldOut):
        msg = (
            "the efficiency to distil goes by the fold of each event, which no network sees. "
            "Distil what was cross-fitted itself: the mean over its folds, for other samples."
        )
        raise ConfigError(msg)
    if isinstance(ensemble, NetworkEstimator):
        return [ensemble]
    members = getattr(ensemble, "members", [])
    return [member for member in members if isinstance(member, NetworkEstimator)]


def _require_points(ensemble: Efficiency, train: Jets) -> None:
    """Refuse samples whose working points have other names than those of the ensemble."""
    parts = [ensemble, getattr(ensemble, "nominal", None), *getattr(ensemble, "members", ())]
    for part in parts:
        points = tuple(getattr(part, "points", ()))
        if len(points) > 1 and points != train.labels.points:
            msg = (
                f"what is to be distilled knows the working points {list(points)}, the labels of "
                f"the training sample name {list(train.labels.points)}. Take a sample that was "
                "made with the same points."
            )
            raise DataError(msg)


def _architecture(members: Sequence[NetworkEstimator]) -> Architecture:
    """Return the architecture that the networks of an ensemble share."""
    if not members:
        msg = (
            "architecture: it is not given, and what is to be distilled holds no network whose "
            "architecture could be taken. Give one, {width: 64} say."
        )
        raise ConfigError(msg)
    return members[0].network.architecture


def _spread(jets: Jets, most: int) -> Jets:
    """Return so many events, taken evenly over a sample, or all where there are no more."""
    if jets.n_events <= most:
        return jets
    # What several samples are joined to holds them one after the other.
    return jets.take(np.arange(most) * jets.n_events // most)


# ---- the network


def _nearest(
    members: Sequence[NetworkEstimator],
    regrets: Sequence[float],
    architecture: Architecture,
    train: Jets,
) -> int | None:
    """Return which network is nearest to the ensemble, None where none can be begun with."""
    from truthtag.estimators.network.inputs import InputColumns

    if not members:
        return None
    nearest = int(np.argmin(regrets))
    network = members[nearest].network
    columns = InputColumns.of(architecture.inputs, train.labels.categories)
    alike = (network.architecture, network.n_points, network.columns)
    return nearest if alike == (architecture, train.n_points, columns) else None


def _taught(
    architecture: Architecture,
    options: DistilOptions,
    lesson: Lesson,
    exam: Lesson,
    seed: Seed,
    like: EfficiencyNetwork | None,
    logger: logging.Logger,
) -> NetworkEstimator:
    """Train a network on what the ensemble says, beginning like another where one is given."""
    import pandas as pd

    from truthtag.estimators.network.batches import TrainingEvents
    from truthtag.estimators.network.inputs import InputColumns
    from truthtag.estimators.network.job import on_threads, run_training
    from truthtag.estimators.network.trainer import Training

    course = options.training
    columns = InputColumns.of(architecture.inputs, lesson.jets.labels.categories)
    with on_threads(options.threads):
        events = TrainingEvents(lesson.jets, columns=columns, targets=lesson.target)
        validation = TrainingEvents(exam.jets, columns=columns, targets=exam.target)
        training = Training(architecture, course, events, [seed])
        if like is not None:
            training.networks.load_state(0, _state_without_mu(like))
            training.networks.set_offset(_offset_of(like, events.flavours))
        run_training(training, events, validation, None, {}, logger)
    network = training.best_network()
    (record,) = training.records
    if not record.is_finite:
        last = record.history[-1]
        msg = (
            f"the distilled network has a loss of {last.train_loss} on training and "
            f"{last.validation_loss} on validation events in epoch {last.epoch}; it must be "
            f"finite. Lower learning_rate ({options.learning_rate})."
        )
        raise DataError(msg)
    provenance: dict[str, Any] = {
        "seed": list(seed),
        "training": course.model_dump(mode="json"),
        "train_events": events.count,
        "validation_loss": record.best_loss,
        **network.meaning,
    }
    if network.columns.further:
        provenance["inputs"] = list(architecture.inputs)
    history = pd.DataFrame([asdict(row) for row in record.history])
    return NetworkEstimator(network, course, provenance, history)


def _state_without_mu(network: EfficiencyNetwork) -> dict[str, Tensor]:
    """Return the state of a network that says the same with a weight of 1 for non-tagged jets."""
    import torch

    network = copy.deepcopy(network).cpu()
    if not network.body.outputs_probability:
        last = cast("torch.nn.Linear", cast("torch.nn.Sequential", network.body.head)[-1])
        with torch.no_grad():
            last.bias[0] += math.log(network.mu)
    return network.state_dict()


def _offset_of(network: EfficiencyNetwork, flavours: Sequence[int]) -> Tensor | None:
    """Return the offset of a network for some flavours, 0 for those that it does not know."""
    import torch

    if network.offset is None:
        return None
    known = dict(zip(network.flavours, network.offset.cpu(), strict=True))
    none = torch.zeros(network.n_points)
    return torch.stack([known.get(flavour, none) for flavour in flavours])


# ---- the report


def _described(ensemble: Efficiency, members: Sequence[NetworkEstimator]) -> dict[str, Any]:
    """Return what an ensemble is, as plain values."""
    from truthtag.estimators.network.content import content_digest

    describe = getattr(ensemble, "describe", None)
    digests = [content_digest(member.network.state_dict()) for member in members]
    return {
        "description": describe() if describe else type(ensemble).__name__,
        "networks": digests,
    }


def _tell(report: dict[str, Any], logger: logging.Logger) -> None:
    logger.info(
        "one network in place of %s: adds %.2g nats/jet to the regret, %.2g on events that fill "
        "the domain; a constant for each flavour adds %.2g",
        report["ensemble"]["description"],
        report["validation"]["added_regret"],
        report["filled"]["added_regret"],
        report["constant_regret"],
    )


def _judge(
    report: dict[str, Any], regrets: Sequence[float], options: DistilOptions, logger: logging.Logger
) -> None:
    """Refuse a network that has learned nothing; warn of one that has learned little."""
    from truthtag.estimators.network.baseline import MIN_STEPS_TO_JUDGE

    added = report["validation"]["added_regret"]
    constant = report["constant_regret"]
    n_events = report["train_events"] + report["filling_events"]
    steps = options.epochs * max(1, round(n_events / options.batch_events))
    remedy = (
        f"Teach it longer: raise epochs ({options.epochs}), or lower batch_events "
        f"({options.batch_events}); or change learning_rate ({options.learning_rate})."
    )
    if added > constant + NEGLIGIBLE:
        msg = (
            f"the distilled network adds {added:.2g} nats/jet to the regret, a constant for each "
            f"flavour {constant:.2g}: after {steps} steps it has learned nothing. {remedy}"
        )
        if steps >= MIN_STEPS_TO_JUDGE:
            raise DataError(msg)
        logger.warning(msg)
    elif len(regrets) > 1 and added >= min(regrets):
        logger.warning(
            "the distilled network adds %.2g nats/jet to the regret, the nearest of the members "
            "alone %.2g: after %d steps it has learned little. %s",
            added,
            min(regrets),
            steps,
            remedy,
        )
