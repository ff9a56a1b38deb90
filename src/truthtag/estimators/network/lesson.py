"""What an ensemble says of some events: targets to learn, and how far another is from them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.special import rel_entr

from truthtag.arrays import FloatArray, in_unit_interval, plain_array
from truthtag.data.jets import Jets, concatenate
from truthtag.errors import DataError
from truthtag.estimators.network.filling import bare
from truthtag.estimators.predictions import ROUNDING
from truthtag.estimators.protocol import Efficiency

__all__ = ["Lesson", "excess_losses"]

CLIP = 1e-6
"""No predicted probability is taken as lower: the logarithm of 0 is infinite."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """Events, and what an ensemble says of them.

    Attributes:
        jets: The events.
        target: Efficiencies, shape (n_jets, n_points), falling from point to point.
    """

    jets: Jets
    target: FloatArray

    @classmethod
    def of(cls, ensemble: Efficiency, jets: Jets) -> Self:
        """Ask an ensemble about some events.

        Args:
            ensemble: Anything with an efficiency.
            jets: The events.

        Raises:
            DataError: There are no jets, or the ensemble gives something else than an efficiency
                for each of them and each working point that their labels name.
        """
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
                f"{jets.n_points} working point(s), it must be {shape}. Take samples whose labels "
                "name the working points that the ensemble knows."
            )
            raise DataError(msg)
        values = in_unit_interval(stated, "efficiencies to distil").reshape(-1, jets.n_points)
        _require_falling(values)
        return cls(jets, np.minimum.accumulate(values, axis=1))

    def joined(self, other: Lesson) -> Lesson:
        """Return this lesson and then the other, all events numbered anew."""
        first = bare(self.jets)
        second = bare(other.jets)
        second = second.with_columns(event=second.event + first.n_events)
        return Lesson(concatenate([first, second]), np.concatenate([self.target, other.target]))

    def first(self, count: int) -> Lesson:
        """Return the first events, or all where there are fewer."""
        jets = self.jets.take(slice(0, count))
        return Lesson(jets, self.target[: jets.n_jets])

    def digest(self) -> str:
        """Return a short text that stands for the events and for what is said of them."""
        told = np.ascontiguousarray(self.target, dtype="<f8").tobytes()
        return hashlib.sha256(self.jets.digest().encode() + told).hexdigest()[:16]

    def constants(self, jets: Jets) -> FloatArray:
        """Return for other jets the mean efficiency of their flavour in this lesson.

        Returns:
            Shape (n_jets, n_points); of a flavour that it lacks, the mean of all.
        """
        means = np.tile(self.target.mean(axis=0), (jets.n_jets, 1))
        for flavour in np.unique(self.jets.flavour):
            of_flavour = self.target[self.jets.flavour == flavour]
            means[jets.flavour == flavour] = of_flavour.mean(axis=0)
        return means

    def added_regret(self, efficiency: FloatArray) -> float:
        """Return what another efficiency in place of the ensemble adds to the regret.

        Args:
            efficiency: What it says of the events, in the shape that efficiencies have.

        Returns:
            The mean over jets of :func:`excess_losses` [nats/jet].
        """
        return float(self._excess(efficiency).mean())

    def measure(self, efficiency: FloatArray) -> dict[str, Any]:
        """Return how far another efficiency is from the ensemble, as plain values.

        Args:
            efficiency: What it says of the events, in the shape that efficiencies have.

        Returns:
            ``events``; ``added_regret`` of all jets, and ``by_flavour`` [nats/jet]; and of the
            relative differences, absolute values at all points, the quantile ``difference_99`` and
            ``difference_max``, None where the ensemble gives all jets the efficiency 0.
        """
        excess = self._excess(efficiency)
        by_flavour = {}
        for flavour in np.unique(self.jets.flavour):
            by_flavour[str(flavour)] = float(excess[self.jets.flavour == flavour].mean())
        # Nothing is relative to an efficiency of 0.
        known = self.target > 0
        apart = np.abs(efficiency.reshape(self.target.shape) - self.target)
        differences = apart[known] / self.target[known]
        return {
            "events": self.jets.n_events,
            "added_regret": float(excess.mean()),
            "by_flavour": by_flavour,
            "difference_99": float(np.quantile(differences, 0.99)) if known.any() else None,
            "difference_max": float(differences.max()) if known.any() else None,
        }

    def _excess(self, efficiency: FloatArray) -> FloatArray:
        return excess_losses(self.target, efficiency.reshape(self.target.shape))


def _require_falling(values: FloatArray) -> None:
    """Refuse efficiencies that rise from a working point to a tighter one."""
    rising = (np.diff(values, axis=1) > ROUNDING).any(axis=1)
    if rising.any():
        row = int(np.argmax(rising))
        msg = (
            f"efficiencies to distil are {values[row].tolist()} for jet {row} ({int(rising.sum())} "
            "such jets); from a working point to a tighter one they must not rise. Name the points "
            "from the loosest on."
        )
        raise DataError(msg)


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
    of_bins = rel_entr(_bins(true), np.maximum(_bins(predicted), CLIP))
    return np.asarray(of_bins.sum(axis=1))


def _bins(efficiency: FloatArray) -> FloatArray:
    """Return the probability of each tag bin, shape (n_jets, n_points + 1)."""
    return -np.diff(efficiency, axis=1, prepend=1.0, append=0.0)
