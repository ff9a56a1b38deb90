r"""Cross-fitting: every event of a training sample is weighted by what did not learn from it.

The training samples are cut into k folds by the numbers of their events. What belongs to fold f
learns from the other folds, and predicts fold f. Where it stops early, it chooses the epoch on fold
f + 1, counted in a circle, and does not learn from that one either. Events of other samples are
predicted by all.

The tags of fold f and what weights them are independent, as those of a training and a test sample
are. Over all folds they are not: a tag that fluctuates up is in the tags of its own fold, and in
the efficiencies of all others. The sum over the folds of tags minus weights then scatters less than
tags and efficiencies separately, down to nothing where a histogram has the bins of a map: the
errors quoted for it are an upper limit.

Source: Chernozhukov et al., doi 10.1111/ectj.12097, for cross-fitting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np

from truthtag.arrays import FloatArray, IntArray
from truthtag.data.folds import fold_of
from truthtag.data.jets import Jets
from truthtag.data.training_blocks import Blocks, EventChoice
from truthtag.errors import DataError
from truthtag.estimators.failures import Failure
from truthtag.estimators.protocol import Efficiency

__all__ = ["CrossFitted", "Engine", "Folds", "HeldOut", "cut"]


class Engine(Protocol):
    """What computes all members of an ensemble at once."""

    @property
    def name(self) -> str:
        """What computes, with its version."""
        ...

    def efficiencies(self, jets: Jets) -> FloatArray:
        """Return the efficiency by each member, shape (n_members, n_jets[, n_points])."""
        ...


class Members(Protocol):
    """What belongs to one fold: an efficiency, and each of its members."""

    @property
    def members(self) -> Sequence[Efficiency]:
        """What is averaged, or resampled around the nominal."""
        ...

    @property
    def nominal(self) -> Efficiency | None:
        """The fit to all events, where members are resamples."""
        ...

    @property
    def engine(self) -> Engine | None:
        """What computes the members, None where each does itself."""
        ...

    @property
    def left_out(self) -> Sequence[Failure]:
        """Members that failed."""
        ...

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the efficiency of each jet."""
        ...

    def with_replicas(self, jets: Jets) -> tuple[FloatArray, FloatArray]:
        """Return the efficiency of each jet, and the same by each member."""
        ...

    def accelerated(self) -> Self:
        """Return the same, computed by the fastest engine there is."""
        ...


@dataclass(frozen=True)
class Folds:
    """How the events of the training samples are cut into folds.

    Args:
        count: Number of folds.
        by: ``event`` or ``hash``, as :func:`truthtag.data.folds.fold_of` knows them.
    """

    count: int
    by: str = "event"

    def of(self, jets: Jets) -> IntArray:
        """Return the fold of each event, by the experiment's number where it has one."""
        numbers = jets.event if jets.event_number is None else jets.event_number
        return fold_of(numbers, self.count, self.by)

    def validation_fold(self, fold: int) -> int:
        """Return the fold on which what does not see ``fold`` chooses its epoch."""
        return (fold + 1) % self.count

    def learned_from(self, fold: int, *, stops_early: bool) -> list[int]:
        """Return the folds that what belongs to ``fold`` learns from.

        Args:
            fold: The fold that it does not see.
            stops_early: Whether it chooses an epoch, on a fold that it does not learn from.
        """
        excluded = {fold}
        if stops_early:
            excluded.add(self.validation_fold(fold))
        return [one for one in range(self.count) if one not in excluded]

    def learning(self, fold: int, *, stops_early: bool) -> EventChoice:
        """Return the choice of the events that what belongs to ``fold`` learns from."""
        taken = self.learned_from(fold, stops_early=stops_early)
        return self._choice(taken, f"to learn from without fold {fold}")

    def validating(self, fold: int) -> EventChoice:
        """Return the choice of the events on which what belongs to ``fold`` chooses its epoch."""
        chosen = self.validation_fold(fold)
        return self._choice([chosen], f"in fold {chosen}")

    def _choice(self, folds: Sequence[int], what: str) -> EventChoice:
        text = (
            f"in {self.count} folds by {self.by!r}, there is none {what}. "
            "Use fewer folds, or fold_by: hash."
        )
        return EventChoice(lambda jets: np.isin(self.of(jets), folds), text)

    def provenance(self, fold: int, *, stops_early: bool) -> dict[str, Any]:
        """Return what a file says of the folds that it saw; anything that JSON holds."""
        return {
            "count": self.count,
            "by": self.by,
            "fold": fold,
            "learned_from": self.learned_from(fold, stops_early=stops_early),
            "chosen_on": [self.validation_fold(fold)] if stops_early else [],
        }


def cut(
    train: Jets | Blocks,
    validation: Jets | Blocks,
    folds: Mapping[str, Any] | None,
    fold: int | None,
    *,
    stops_early: bool,
) -> tuple[Any, Any, dict[str, Any]]:
    """Return the events to learn from and to choose the epoch on, and what a file says of them.

    Jets stay jets, and blocks blocks.

    Args:
        train: The training samples.
        validation: What chooses the epoch where there are no folds.
        folds: ``count`` and ``by`` of :class:`Folds`, or None.
        fold: The fold that is not seen.
        stops_early: Whether an epoch is chosen.
    """
    if folds is None or fold is None:
        return train, validation, {}
    how = Folds(**folds)
    learned = how.learning(fold, stops_early=stops_early).of(train)
    chosen = how.validating(fold).of(train)
    return learned, chosen, {"folds": how.provenance(fold, stops_early=stops_early)}


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """What was fitted without each of the folds of the training samples.

    As it is, it serves events of other samples, with all that was fitted. Events of the training
    samples need :attr:`held_out`.

    Args:
        folds: How events are cut into folds.
        parts: What belongs to each fold, in their order.

    Raises:
        DataError: There is not one part for each fold.
    """

    folds: Folds
    parts: Sequence[Members]

    def __post_init__(self) -> None:
        if len(self.parts) != self.folds.count:
            msg = f"{len(self.parts)} parts are fitted, of {self.folds.count} folds; fit the rest"
            raise DataError(msg)

    @property
    def members(self) -> list[Efficiency]:
        """All members, fold by fold."""
        return [member for part in self.parts for member in part.members]

    @property
    def engine(self) -> Engine | None:
        """What computes the members, None where each does itself."""
        return self.parts[0].engine

    @property
    def left_out(self) -> list[Failure]:
        """Members that failed, fold by fold."""
        return [failure for part in self.parts for failure in part.left_out]

    @property
    def held_out(self) -> HeldOut:
        """The efficiency of events of the training samples."""
        return HeldOut(self)

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the mean over all folds, shape (n_jets,) or (n_jets, n_points)."""
        of_folds = [part.efficiency(jets) for part in self.parts]
        return np.asarray(np.mean(of_folds, axis=0))

    def with_replicas(self, jets: Jets) -> tuple[FloatArray, FloatArray]:
        """Return the mean over all folds, and its replicas.

        The members of ensembles are replicas, all of them. Resamples with the same number are drawn
        alike in every fold, and their mean is a replica.

        Returns:
            Shapes (n_jets,) and (n_replicas, n_jets), or with a last axis of working points.
        """
        found = [part.with_replicas(jets) for part in self.parts]
        mean = np.mean([values for values, _ in found], axis=0)
        replicas = [by_member for _, by_member in found]
        if self.parts[0].nominal is None:
            return mean, np.concatenate(replicas)
        return mean, np.mean(replicas, axis=0)

    def accelerated(self) -> CrossFitted:
        """Return the same, computed by the fastest engine that the members of each fold know."""
        return replace(self, parts=[part.accelerated() for part in self.parts])

    def describe(self) -> str:
        """Return a few words for the log."""
        text = f"{len(self.members)} members in {self.folds.count} folds"
        return f"{text}, {len(self.left_out)} left out" if self.left_out else text


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The efficiency of events of the training samples, by what did not see them.

    Replicas of different folds are paired apart: the fluctuations that they share are in the tags,
    too, with the opposite sign, and are no error of tags minus weights.

    Args:
        fitted: What was fitted without each of the folds.
    """

    fitted: CrossFitted

    @property
    def members(self) -> list[Efficiency]:
        """All members, fold by fold."""
        return self.fitted.members

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the efficiency of each jet by its fold, shape (n_jets,) or (n_jets, n_points)."""
        return self.with_replicas(jets)[0]

    def with_replicas(self, jets: Jets) -> tuple[FloatArray, FloatArray]:
        """Return the efficiency of each jet by its fold, and its replicas.

        Returns:
            Shapes (n_jets,) and (n_replicas, n_jets), or with a last axis of working points.
        """
        parts = self.fitted.parts
        fold_of_event = self.fitted.folds.of(jets)
        fold_of_jet = fold_of_event[jets.event_of_jet]
        n_replicas = min(len(part.members) for part in parts)
        shape = (jets.n_jets,) if jets.n_points == 1 else (jets.n_jets, jets.n_points)
        values = np.empty(shape)
        replicas = np.empty((n_replicas, *shape))
        for fold, part in enumerate(parts):
            nominal, by_member = part.with_replicas(jets.take(fold_of_event == fold))
            inside = fold_of_jet == fold
            values[inside] = nominal
            replicas[:, inside] = np.roll(by_member[:n_replicas], fold, axis=0)
        return values, replicas

    def describe(self) -> str:
        """Return a few words for the log."""
        return f"{self.fitted.describe()}, each event by its fold"
