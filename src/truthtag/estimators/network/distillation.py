"""Distillation: one network that says what an ensemble says. Importing this needs no torch."""

from __future__ import annotations

import copy
import hashlib
import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from truthtag.arrays import FloatArray, in_unit_interval, plain_array
from truthtag.data.jets import Jets, concatenate
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.cross_fitting import HeldOut
from truthtag.estimators.network.estimator import NetworkEstimator
from truthtag.estimators.network.filling import bare, fill_events
from truthtag.estimators.network.options import Architecture, DistilOptions
from truthtag.estimators.protocol import Efficiency
from truthtag.seeds import Seed

if TYPE_CHECKING:
    from torch import Tensor

    from truthtag.estimators.network.model import EfficiencyNetwork

__all__ = ["Distilled", "distil", "excess_losses"]

CLIP = 1e-6
"""No probability of the distilled network is taken as lower: the logarithm of 0 is infinite."""

MOST_COMPARED = 5_000
"""Events on which members alone are compared with the ensemble."""

MOST_FILLING = 10_000
"""Events that fill the domain of the validation sample, on which the report measures."""

NEGLIGIBLE = 1e-3
"""Regret that nobody sees in a distribution, a relative error of a few per cent [nats/jet]."""

ROUNDING = 1e-6
"""By so much an efficiency may rise from a working point to a tighter one."""


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


@dataclass(frozen=True, eq=False)
class _Lesson:
    """Events, and what the ensemble says of them.

    Attributes:
        jets: The events.
        target: Efficiencies, shape (n_jets, n_points), falling from point to point.
    """

    jets: Jets
    target: FloatArray

    def digest(self) -> str:
        """Return a short text that stands for the events and for what is said of them."""
        told = np.ascontiguousarray(self.target, dtype="<f8").tobytes()
        return hashlib.sha256(self.jets.digest().encode() + told).hexdigest()[:16]

    def first(self, count: int) -> _Lesson:
        """Return the first events, or all where there are fewer."""
        jets = self.jets.take(slice(0, count))
        return _Lesson(jets, self.target[: jets.n_jets])


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
    lesson = _lesson(ensemble, train)
    n_filling = round(options.fill * train.n_events)
    if fill is None and n_filling:
        fill = fill_events(train, n_filling, (*seed, "fill"))
    if fill is not None and fill.n_jets:
        lesson = _joined(lesson, _lesson(ensemble, fill))
    exam = _lesson(ensemble, validation)
    regrets = _member_regrets(members, exam)
    start = _nearest(members, regrets, architecture, train)
    like = None if start is None else members[start].network
    network = _taught(architecture, options, lesson, exam, seed, like, logger)
    filled = fill_events(validation, min(validation.n_events, MOST_FILLING), (*seed, "filled"))
    report = {
        "ensemble": {**_described(ensemble, members), "targets": lesson.digest()},
        "start": start,
        "train_events": train.n_events,
        "filling_events": 0 if fill is None else fill.n_events,
        "constant_regret": _constant_regret(lesson, exam),
        "member_regret": float(np.mean(regrets)) if regrets else None,
        "validation": _measured(network, exam),
        "filled": _measured(network, _lesson(ensemble, filled)),
    }
    _tell(report, logger)
    _judge(report, regrets, options, logger)
    network.provenance["distilled"] = report
    return Distilled(network, report)


def excess_losses(true: FloatArray, predicted: FloatArray) -> FloatArray:
    r"""Return what a predicted efficiency adds to the log-loss expected of each jet's tag bin.

    .. math:: \sum_{k=0}^K p_k \ln\frac{p_k}{q_k}, \quad p_k = \epsilon_k - \epsilon_{k+1},
        \quad \epsilon_0 = 1, \; \epsilon_{K+1} = 0

    Here p are the probabilities of the bins between K working points by the true efficiencies, and
    q those by the predicted ones, not taken as lower than 1e-6. With one point it is
    :func:`truthtag.statistics.accuracy.excess_loss`.

    Args:
        true: Efficiencies taken as the truth, shape (n_jets, n_points).
        predicted: Predicted efficiencies, the same shape.

    Returns:
        Excess per jet, shape (n_jets,) [nats].

    Example:
        >>> excess_losses(np.array([[0.5], [0.5]]), np.array([[0.5], [0.25]])).round(4).tolist()
        [0.0, 0.1438]
    """
    from scipy.special import rel_entr

    of_bins = rel_entr(_bins(true), np.maximum(_bins(predicted), CLIP))
    return np.asarray(of_bins.sum(axis=1))


def _bins(efficiency: FloatArray) -> FloatArray:
    """Return the probability of each tag bin, shape (n_jets, n_points + 1)."""
    return -np.diff(efficiency, axis=1, prepend=1.0, append=0.0)


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


def _lesson(ensemble: Efficiency, jets: Jets) -> _Lesson:
    """Ask the ensemble about some events, and check what it says."""
    if not jets.n_jets:
        msg = (
            "the sample has no jets: there is nothing to be learned or measured. "
            "Check how its events were selected."
        )
        raise DataError(msg)
    stated = plain_array(ensemble.efficiency(jets), "efficiencies to distil")
    shape = (jets.n_jets,) if jets.n_points == 1 else (jets.n_jets, jets.n_points)
    if stated.shape != shape:
        msg = (
            f"efficiencies to distil have shape {stated.shape}; for these jets, of "
            f"{jets.n_points} working point(s), it must be {shape}. Take samples whose labels name "
            "the working points that the ensemble knows."
        )
        raise DataError(msg)
    values = in_unit_interval(stated, "efficiencies to distil").reshape(-1, jets.n_points)
    rising = np.diff(values, axis=1) > ROUNDING
    if rising.any():
        row = int(np.argmax(rising.any(axis=1)))
        msg = (
            f"efficiencies to distil are {values[row].tolist()} for jet {row} "
            f"({int(rising.any(axis=1).sum())} such jets); from a working point to a tighter one "
            "they must not rise. Name the points from the loosest on."
        )
        raise DataError(msg)
    return _Lesson(jets, np.minimum.accumulate(values, axis=1))


def _joined(first: _Lesson, second: _Lesson) -> _Lesson:
    """Put two lessons one after the other, all events numbered anew."""
    one = bare(first.jets)
    other = bare(second.jets)
    other = other.with_columns(event=other.event + one.n_events)
    return _Lesson(concatenate([one, other]), np.concatenate([first.target, second.target]))


# ---- the network


def _member_regrets(members: Sequence[NetworkEstimator], exam: _Lesson) -> list[float]:
    """Return what each network in place of the ensemble adds to the regret, on some events."""
    some = exam.first(MOST_COMPARED)
    regrets = []
    for member in members:
        own = member.efficiency(some.jets).reshape(some.target.shape)
        regrets.append(float(excess_losses(some.target, own).mean()))
    return regrets


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
    lesson: _Lesson,
    exam: _Lesson,
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
    provenance = {
        "seed": list(seed),
        "training": course.model_dump(mode="json"),
        "train_events": events.count,
        "validation_loss": record.best_loss,
        **network.meaning,
    }
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


def _measured(network: NetworkEstimator, exam: _Lesson) -> dict[str, Any]:
    """Return how far a network is from the ensemble on some events, as plain values."""
    own = network.efficiency(exam.jets).reshape(exam.target.shape)
    excess = excess_losses(exam.target, own)
    by_flavour = {}
    for flavour in np.unique(exam.jets.flavour):
        by_flavour[str(flavour)] = float(excess[exam.jets.flavour == flavour].mean())
    # Nothing is relative to an efficiency of 0.
    known = exam.target > 0
    differences = np.abs(own - exam.target)[known] / exam.target[known]
    return {
        "events": exam.jets.n_events,
        "added_regret": float(excess.mean()),
        "by_flavour": by_flavour,
        "difference_99": float(np.quantile(differences, 0.99)) if known.any() else None,
        "difference_max": float(differences.max()) if known.any() else None,
    }


def _described(ensemble: Efficiency, members: Sequence[NetworkEstimator]) -> dict[str, Any]:
    """Return what an ensemble is, as plain values."""
    from truthtag.estimators.network.content import content_digest

    describe = getattr(ensemble, "describe", None)
    digests = [content_digest(member.network.state_dict()) for member in members]
    return {
        "description": describe() if describe else type(ensemble).__name__,
        "networks": digests,
    }


def _constant_regret(lesson: _Lesson, exam: _Lesson) -> float:
    """Return what the mean efficiency of each flavour adds to the regret."""
    constant = np.full_like(exam.target, lesson.target.mean(axis=0))
    for flavour in np.unique(lesson.jets.flavour):
        mean = lesson.target[lesson.jets.flavour == flavour].mean(axis=0)
        constant[exam.jets.flavour == flavour] = mean
    return float(excess_losses(exam.target, constant).mean())


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
