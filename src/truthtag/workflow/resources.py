"""What jobs ask a batch system for: memory and time, as functions of the work and of the attempt.

Each step has a :class:`Cost`: constants and slopes that were measured (docs/cluster.md), with room
above them. A job that was killed asks for more when it is tried again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from truthtag.workflow.layout import Layout

__all__ = ["COSTS", "Cost", "Work", "Workload", "memory_mb", "runtime_minutes"]

WIDTH = 64
"""Width of a network whose evaluation is one pass."""

BATCH = 500
"""Events that are in a network at a time, where memory is for each unit of width."""


@dataclass(frozen=True)
class Work:
    """What a job has to do.

    Attributes:
        events: Events that it makes, reads or learns from.
        members: Networks, or replicas, that are fitted or evaluated for each event.
        width: Width of the networks; 0 where there are none.
        epochs: How often it goes through the events.
        batch: Events that are in the networks at a time, for all that are in memory together.
    """

    events: int = 0
    members: int = 1
    width: int = 0
    epochs: int = 1
    batch: int = BATCH

    @property
    def passes(self) -> float:
        """How often each event goes through a network of width 64.

        The work of a layer grows with the square of its width; half of the time of a network of
        that width does not.
        """
        return self.members * self.epochs * (1 + (self.width / WIDTH) ** 2) / 2


@dataclass(frozen=True)
class Cost:
    """What a step takes, as a sum of a constant and of what grows with the work.

    Attributes:
        memory: Whatever the work: Python, its libraries, and twice Snakemake [MB].
        memory_per_event: For each event [kB].
        memory_per_member: For each event and member [kB].
        memory_per_width: For each unit of width, and batch of 500 events [MB].
        time: Whatever the work: the start, and a busy file system [min].
        time_per_event: For each event [ms].
        time_per_pass: For each event and pass through a network, or fit to it [ms].
    """

    memory: float = 1500
    memory_per_event: float = 1
    memory_per_member: float = 0
    memory_per_width: float = 0
    time: float = 20
    time_per_event: float = 0.1
    time_per_pass: float = 0


# Steps go through samples in blocks: what grows with the events is a few bytes for each of them.
_READS = Cost(memory_per_event=0.05)
_READS_REPLICAS = Cost(memory=2500, memory_per_event=0.05, time_per_pass=0.05)
# Not all kinds of estimator are fitted in blocks: trees, and the parametric form, are not.
_FITS = Cost(memory_per_event=1, time_per_pass=0.5)

COSTS = {
    "describe_samples": _READS,
    "distil_network": Cost(memory_per_event=2, memory_per_width=8, time_per_pass=0.25),
    "event_weights": Cost(memory_per_event=0.05, time_per_pass=0.05),
    "export": Cost(time_per_pass=0.05),
    "figure_numbers": _READS_REPLICAS,
    "fill_cells": _READS_REPLICAS,
    "fill_histograms": _READS_REPLICAS,
    "fit_domain": _READS,
    "fit_map": _FITS,
    "flag_domain": Cost(memory_per_event=0.05, time_per_event=0.5),
    "generate_sample": _READS,
    "measure_calibration": _READS,
    "measure_coverage": _READS_REPLICAS,
    # It keeps some numbers of each jet.
    "measure_spread": Cost(memory_per_event=0.2, time_per_pass=0.05),
    "predict": Cost(memory_per_event=0.05, memory_per_width=2, time_per_pass=0.1),
    "read_sample": Cost(memory_per_event=4, time_per_event=1),
    "repeated_fits": Cost(memory_per_event=2, memory_per_member=0.1, time_per_pass=0.5),
    "replicate_map": _FITS,
    "summary": _READS,
    "train_network": Cost(memory_per_event=1, memory_per_width=8, time_per_pass=0.25),
    "write_friend": Cost(memory_per_event=4, time_per_event=1),
}
"""By the name of the step."""


def memory_mb(step: str, work: Work, attempt: int = 1) -> int:
    r"""Return the memory that a job asks for.

    .. math:: a (m + m_e N + m_m N M + m_w W B)

    with N events, M members, width W, B batches of 500 events in memory, in attempt a.

    Args:
        step: The step, a key of :data:`COSTS`.
        work: What the job has to do.
        attempt: 1 at first, 2 when the job is tried again, and so on.

    Returns:
        Memory, a multiple of 100 [MB].

    Example:
        >>> work = Work(events=1_000_000, members=20)
        >>> memory_mb("fill_cells", work), memory_mb("fill_cells", work, attempt=2)
        (2600, 5200)
    """
    cost = COSTS[step]
    per_event = cost.memory_per_event + cost.memory_per_member * work.members
    networks = cost.memory_per_width * work.width * work.batch / BATCH
    once = cost.memory + per_event * work.events / 1000 + networks
    return 100 * math.ceil(once / 100) * attempt


def runtime_minutes(step: str, work: Work, attempt: int = 1) -> int:
    r"""Return the time that a job asks for.

    .. math:: a (t + t_e N + t_p N P)

    with N events that make P passes each, in attempt a.

    Args:
        step: The step, a key of :data:`COSTS`.
        work: What the job has to do.
        attempt: 1 at first, 2 when the job is tried again, and so on.

    Returns:
        Time, a multiple of 5 [min].

    Example:
        >>> work = Work(events=1_000_000, members=20)
        >>> runtime_minutes("fill_cells", work), runtime_minutes("fill_cells", work, attempt=2)
        (30, 60)
    """
    cost = COSTS[step]
    per_event = cost.time_per_event + cost.time_per_pass * work.passes
    once = cost.time + per_event * work.events / 60_000
    return 5 * math.ceil(once / 5) * attempt


@dataclass(frozen=True)
class Workload:
    """How much the jobs of a config have to do.

    Attributes:
        layout: The config, and where its files are.
    """

    layout: Layout

    @cached_property
    def events(self) -> dict[str, int]:
        """Events of each sample; where it is read, an estimate from the size of its files."""
        samples = self.layout.config.samples
        return {sample: self.layout.expected_events(sample) for sample in samples}

    def shard(self, sample: str, number: int | str) -> Work:
        """Return the work of making one file of a sample: its events, or where it is read, the
        mean of all its files."""
        if self.layout.config.is_read(sample):
            return Work(self.events[sample] // self.layout.n_shards(sample))
        return Work(len(self.layout.shard_span(sample, number)))

    def samples(self, samples: Sequence[str]) -> Work:
        """Return the work of going through samples once, each with one value per estimator."""
        events = sum(self.events[sample] for sample in samples)
        return Work(events, members=len(self.layout.config.estimators))

    def replicas(self, sample: str) -> Work:
        """Return the work of going through a sample with all replicas of all estimators."""
        members = sum(self.members(name) for name in self.layout.config.estimators)
        return Work(self.events[sample], members)

    def prediction(self, sample: str, name: str) -> Work:
        """Return the work of predicting a sample with an estimator and its members."""
        members = self.members(name)
        return Work(self.events[sample], members, self.width(name))

    def fit(self, name: str, members: int = 1, events: int | None = None) -> Work:
        """Return the work of fitting members of an estimator, together.

        Args:
            name: The estimator.
            members: Fits to resampled events, or networks.
            events: Events to learn from; all of the samples whose role it is by default.
        """
        roles = self.layout.config.roles
        validation = self.samples(roles.validation).events
        learned = self.samples(roles.train).events if events is None else events
        batch = members * self.batch(name)
        return Work(learned + validation, members, self.width(name), self.epochs(name), batch)

    def distillation(self, name: str) -> Work:
        """Return the work of distilling an ensemble: its members predict once, a network learns."""
        one = self.fit(name)
        distilled = self.layout.config.exports.distilled
        epochs = distilled.epochs if distilled else 1
        return replace(one, members=self.members(name) + 3 * epochs, epochs=1)

    def repeated(self, name: str, first: int | str, last: int | str) -> Work:
        """Return the work of fitting an estimator and its replicas to repeated samples, and of
        measuring each fit, one after the other: they count as epochs."""
        one = self.fit(name, self.members(name), self.layout.repeated_events(name))
        measured = self.samples(self.layout.config.roles.judged[:1]).events
        samples = int(last) - int(first) + 1
        return replace(one, events=one.events + measured, epochs=samples)

    def members(self, name: str) -> int:
        """Return how many networks an estimator has, or how many replicas."""
        if self.layout.is_seeded(name):
            return len(self.layout.seeds(name))
        return int(getattr(self.layout.config.estimators[name], "replicas", 1))

    def width(self, name: str) -> int:
        """Return the width of the networks of an estimator; 0 where it has none."""
        architecture = getattr(self.layout.config.estimators[name], "architecture", None)
        return int(getattr(architecture, "width", 0))

    def epochs(self, name: str) -> int:
        """Return how often the fit of an estimator goes through its events."""
        return int(getattr(self._training(name), "epochs", 1))

    def batch(self, name: str) -> int:
        """Return how many events are in a network of an estimator at a time while it learns."""
        training = self._training(name)
        whole = getattr(training, "batch_events", BATCH)
        return int(getattr(training, "micro_batch_events", 0) or whole)

    def _training(self, name: str) -> object:
        return getattr(self.layout.config.estimators[name], "training", None)
