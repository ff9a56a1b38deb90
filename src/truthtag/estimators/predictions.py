"""Predictions: the efficiencies of the jets of one sample, in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from truthtag.arrays import AnyArray, FloatArray, IntArray, plain_array
from truthtag.data.column_digests import ColumnsDigest
from truthtag.data.jets import Jets
from truthtag.data.labels import Labels
from truthtag.errors import DataError
from truthtag.estimators.protocol import Efficiency, Replicated

__all__ = [
    "ROUNDING",
    "Prediction",
    "PredictionDigest",
    "at_point",
    "point_name",
    "points_of",
    "predict",
    "replica_std",
    "require_events_of",
    "require_jets_of",
    "require_points_of",
    "require_probabilities",
]

ROUNDING = 1e-6
"""By how much an efficiency may exceed that at a looser working point: numbers of single precision
are rounded by less."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Efficiencies of the jets of one sample; itself an efficiency, for that sample only.

    Args:
        event: The event of each jet, shape (n_jets,).
        values: The efficiency of each jet, shape (n_jets,); where there are several working points,
            shape (n_jets, n_points), the loosest first.
        replicas: The same by each replica, shape (n_replicas, n_jets) or (n_replicas, n_jets,
            n_points), or None.
        jets_digest: What :meth:`~truthtag.data.jets.Jets.digest` says of the jets; empty where that
            is not known, and only the events can be compared.
        points: Names of the working points, the loosest first; empty, or one, where there is one
            value per jet.

    Raises:
        DataError: The shapes do not fit together, or an entry is masked.
    """

    event: IntArray
    values: FloatArray
    replicas: FloatArray | None = None
    jets_digest: str = ""
    points: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        event = plain_array(self.event, "events of a prediction")
        points = tuple(self.points)
        values = _of_jets(self.values, event.size, points)
        object.__setattr__(self, "event", event)
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "values", values)
        if self.replicas is None:
            return
        replicas = plain_array(self.replicas, "replicas of a prediction")
        if replicas.shape[1:] != values.shape or replicas.ndim < 2 or not len(replicas):
            wanted = ", ".join(map(str, ("n_replicas", *values.shape)))
            msg = (
                f"replicas of a prediction have shape {replicas.shape}; "
                f"they must have a row for each replica, ({wanted})"
            )
            raise DataError(msg)
        object.__setattr__(self, "replicas", replicas)

    @property
    def n_points(self) -> int:
        """Number of working points, at least 1."""
        return max(1, len(self.points))

    def at_point(self, point: str | None = None, below: str | None = None) -> Prediction:
        """Return the efficiencies at one working point, as of a tagger that has no other.

        Args:
            point: Its name; by default the loosest.
            below: A tighter point, which tagged jets must fail: then the efficiencies are those of
                a bin between two points.

        Returns:
            A prediction with one value per jet. Where there is one point only, the prediction
            itself.

        Raises:
            DataError: There is no such point, or ``below`` is not the tighter one.

        Example:
            >>> values = np.array([[0.8, 0.5], [0.4, 0.1]])
            >>> both = Prediction(np.array([7, 7]), values, points=("loose", "tight"))
            >>> both.at_point("tight").values.tolist()
            [0.5, 0.1]
            >>> both.at_point("loose", below="tight").values.round(1).tolist()
            [0.3, 0.3]
        """
        labels = Labels(points=self.points)
        if self.n_points == 1:
            if point not in (None, *self.points) or below is not None:
                labels.position(below or str(point))
            return self
        first = labels.position(point) if point else 0
        last = labels.position(below) if below else None
        if last is not None and last <= first:
            msg = (
                f"working point {below!r} is not tighter than {self.points[first]!r}; exchange them"
            )
            raise DataError(msg)
        replicas = None if self.replicas is None else _between(self.replicas, first, last)
        return Prediction(
            self.event,
            _between(self.values, first, last),
            replicas,
            self.jets_digest,
            (point_name(self.points[first], below),),
        )

    @property
    def std(self) -> FloatArray | None:
        """Standard deviation over the replicas, in the shape of the values; NaN with only one, None
        without any."""
        return None if self.replicas is None else replica_std(self.replicas)

    def of_point(
        self, jets: Jets, point: str | None = None, below: str | None = None
    ) -> Prediction:
        """Return the efficiencies at a working point of some jets, by default their loosest.

        Where jets and efficiency know one point only, it is the same one, with a name or without.

        Raises:
            DataError: The efficiency does not know the point.
        """
        if jets.n_points == 1 and self.n_points == 1:
            return self
        first = point or next(iter(jets.labels.points), None)
        return self.at_point(first, below)

    def at_points_of(self, jets: Jets) -> FloatArray:
        """Return the efficiencies at the working points that some jets know.

        Returns:
            Shape (n_jets,), or (n_jets, n_points) where they know several.

        Raises:
            DataError: The efficiency does not know one of them.
        """
        columns = [self.of_point(jets, point).values for point in points_of(jets)]
        return np.column_stack(columns) if len(columns) > 1 else columns[0]

    def aligned_to(self, jets: Jets) -> Prediction:
        """Return the prediction itself, if it belongs to these jets.

        Raises:
            DataError: It belongs to others.
        """
        require_events_of(self.event, jets)
        if self.jets_digest:
            require_jets_of(self.jets_digest, jets.digest())
        require_points_of(self.points, jets)
        return self

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the stored efficiencies, shape (n_jets,) or (n_jets, n_points).

        Raises:
            DataError: They belong to other jets.
        """
        return self.aligned_to(jets).values

    def digest(self) -> str:
        """Return a short text that stands for the events, the jets and the efficiencies."""
        digest = PredictionDigest()
        digest.add(self)
        return digest.text(self.jets_digest, self.points)


class PredictionDigest:
    """The digest of a prediction that is given block by block: :meth:`Prediction.digest` of the
    whole, however it is cut."""

    def __init__(self) -> None:
        self._columns = ColumnsDigest()

    def add(self, block: Prediction) -> None:
        """Add what is predicted of the jets that follow."""
        self._columns.add("event", block.event, "<i8")
        self._columns.add("efficiency", block.values, "<f8")

    def text(self, jets_digest: str, points: tuple[str, ...] = ()) -> str:
        """Return the digest of all jets so far.

        Args:
            jets_digest: That of the jets.
            points: Names of the working points; they count where there are several.
        """
        named = points if len(points) > 1 else ()
        return self._columns.text(jets_digest, *named)


def require_events_of(event: IntArray, jets: Jets) -> None:
    """Refuse a prediction whose rows are not of the events of some jets.

    Args:
        event: The event of each row.
        jets: The jets.

    Raises:
        DataError: They differ.
    """
    if not np.array_equal(event, jets.per_jet("event")):
        msg = (
            f"a prediction for {len(event)} jets does not match the sample of "
            f"{jets.n_jets} jets: their events differ. Predict again on this sample."
        )
        raise DataError(msg)


def require_jets_of(known: str, digest: str) -> None:
    """Refuse a prediction for jets of another digest.

    Args:
        known: That of the jets that were predicted.
        digest: That of the jets at hand.

    Raises:
        DataError: They differ.
    """
    if known != digest:
        msg = (
            "a prediction for other jets with the same event numbers: the jets that were "
            "predicted differ from these in pt, eta, phi, mass or flavour. "
            "Predict again on this sample."
        )
        raise DataError(msg)


def require_points_of(points: tuple[str, ...], jets: Jets) -> None:
    """Refuse a prediction for several working points that are not those of the jets.

    Raises:
        DataError: They differ.
    """
    theirs = jets.labels.points
    if jets.n_points > 1 and len(points) > 1 and theirs != points:
        msg = (
            f"a prediction for the working points {', '.join(points)}; the jets have "
            f"{', '.join(theirs)}. Predict again with an estimator for these."
        )
        raise DataError(msg)


def point_name(point: str, below: str | None = None) -> str:
    """Return what tables call a working point, or the bin between two.

    Example:
        >>> point_name("loose"), point_name("loose", "tight")
        ('loose', 'loose not tight')
    """
    return f"{point} not {below}" if below else point


def _between(efficiencies: FloatArray, first: int, last: int | None) -> FloatArray:
    """Return the efficiencies of the last axis at one point, less those at a tighter one."""
    at_first: FloatArray = efficiencies[..., first]
    if last is None:
        return at_first
    # Rounding can make the difference of two equal numbers negative.
    return np.maximum(at_first - efficiencies[..., last], 0)


def _of_jets(values: Any, n_jets: int, points: tuple[str, ...]) -> AnyArray:
    """Return efficiencies as an array with one value per jet, or one per jet and working point."""
    array = plain_array(values, "the efficiency")
    several = len(points) > 1
    shape = (n_jets, len(points)) if several else (n_jets,)
    if array.shape != shape:
        each = f"for each of the working points {', '.join(points)}" if several else "per jet"
        msg = f"the efficiency has shape {array.shape}; it must have one value {each}, {shape}"
        raise DataError(msg)
    return array


def replica_std(replicas: FloatArray) -> FloatArray:
    """Return the standard deviation of one replica, divided by K - 1; NaN where there is only one.

    Args:
        replicas: What each replica says, shape (n_replicas, n_jets) or (n_replicas, n_jets,
            n_points).

    Returns:
        Shape (n_jets,) or (n_jets, n_points).
    """
    if len(replicas) < 2:
        return np.full(replicas.shape[1:], np.nan)
    return np.asarray(replicas.std(axis=0, ddof=1, dtype=np.float64))


def predict(efficiency: Efficiency, jets: Jets) -> Prediction:
    """Evaluate an efficiency on a sample, and its replicas where it has some.

    The names of its working points are those of the efficiency, if it has an attribute ``points``,
    and those of the jets otherwise.

    Args:
        efficiency: Anything with an efficiency per jet, or per jet and working point.
        jets: The sample.

    Raises:
        DataError: There is not one value per jet and point, a value is not a probability, or one
            at a tighter working point exceeds that at a looser one.
    """
    event = jets.per_jet("event")
    digest = jets.digest()
    points = tuple(getattr(efficiency, "points", ()) or jets.labels.points)
    if not isinstance(efficiency, Replicated):
        values = _of_jets(efficiency.efficiency(jets), jets.n_jets, points)
        require_probabilities(values, event, points)
        return Prediction(event, values, None, digest, points)
    nominal, by_replica = efficiency.with_replicas(jets)
    values = _of_jets(nominal, jets.n_jets, points)
    require_probabilities(values, event, points)
    replicas = plain_array(by_replica, "replicas of the efficiency")
    for number, one in enumerate(replicas):
        require_probabilities(one, event, points, f"replica {number}: ")
    return Prediction(event, values, replicas if len(replicas) else None, digest, points)


def require_probabilities(
    values: AnyArray, event: IntArray, points: tuple[str, ...], where: str = "", first: int = 0
) -> None:
    """Refuse values that are not in [0, 1], NaN included, or that cross, naming the first jet.

    Args:
        values: The efficiencies, shape (n_jets,) or (n_jets, n_points).
        event: The event of each jet, shape (n_jets,).
        points: Names of the working points.
        where: How the error begins: the file, say.
        first: The number of the first jet.

    Raises:
        DataError: There is such a value.
    """
    if values.dtype.kind not in "fiub":
        msg = f"{where}the efficiencies are {values.dtype} values; they must lie in [0, 1]"
        raise DataError(msg)
    # The negation, since a comparison with NaN is false.
    wrong = ~((values >= 0) & (values <= 1))
    if wrong.any():
        row, *point = map(int, np.argwhere(wrong)[0])
        at = f" at the working point {points[point[0]]!r}" if point else ""
        msg = (
            f"{where}the efficiency of jet {first + row}{at} is {values[(row, *point)]} "
            f"({int(wrong.sum())} such jets); "
            f"it must lie in [0, 1]. The jet is in event {event[row]}."
        )
        raise DataError(msg)
    if values.ndim == 2:
        _require_order(values, event, points, where, first)


def _require_order(
    values: AnyArray, event: IntArray, points: tuple[str, ...], where: str, first: int
) -> None:
    """Refuse efficiencies that rise from a looser to a tighter working point."""
    rises = np.diff(values.astype(np.float64), axis=1) > ROUNDING
    if not rises.any():
        return
    row, point = map(int, np.argwhere(rises)[0])
    msg = (
        f"{where}the efficiency of jet {first + row} is {values[row, point + 1]} at the working "
        f"point {points[point + 1]!r} and {values[row, point]} at the looser {points[point]!r} "
        f"({int(rises.sum())} such cases): whoever passes the tighter passes the looser, too. "
        f"The jet is in event {event[row]}."
    )
    raise DataError(msg)


def at_point(
    jets: Jets,
    predictions: Mapping[str, Prediction],
    point: str | None = None,
    below: str | None = None,
) -> tuple[Jets, dict[str, Prediction]]:
    """Return a sample and efficiencies of it as if its tagger had one working point only.

    Args:
        jets: The sample.
        predictions: Efficiencies of its jets by name.
        point: The working point; by default the loosest.
        below: A tighter point, which tagged jets must fail.

    Raises:
        DataError: The sample or an efficiency does not know the point, or ``below`` is not the
            tighter one.
    """
    found = {}
    for name, one in predictions.items():
        try:
            found[name] = one.of_point(jets, point, below)
        except DataError as error:
            msg = f"the efficiency {name!r}: {error}"
            raise DataError(msg) from error
    return jets.at_point(point, below), found


def points_of(jets: Jets) -> tuple[str | None, ...]:
    """Return the names of the working points of a sample; None alone where there is one only."""
    return jets.labels.points if jets.n_points > 1 else (None,)
