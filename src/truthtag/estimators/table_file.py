"""Estimators that a table holds: what they share, their files, and many of them in one file.

A new kind that is stored as a table derives from :class:`TableEstimator`, and needs only
``options_type``, ``fit``, ``efficiency``, ``describe``, ``to_frame``, ``settings`` and
``from_frame``. It sees one working point at a time: where jets have several, ``fit`` makes a
:class:`PointwiseEstimator` of it.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np

from truthtag.arrays import FloatArray
from truthtag.data.files import check_columns, read_frame, read_metadata, write_frame
from truthtag.data.jets import Jets
from truthtag.data.labels import Labels
from truthtag.data.training_blocks import Blocks, as_blocks, at_point, labels_of
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.bins import UNKNOWN, unlearned_flavours
from truthtag.estimators.protocol import KINDS, ResampledOptions, kind_in_file
from truthtag.registry import load_object
from truthtag.seeds import Seed

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "POINT",
    "PointwiseEstimator",
    "StoredEstimator",
    "TableEstimator",
    "kind_name",
    "load_replicas",
    "load_table_estimator",
    "save_replicas",
    "save_table_estimator",
]

METADATA = "estimator"
"""Where the metadata of a file hold the kind and the settings."""

NOTES = "notes"
"""Where they hold what its log said, if anything: how many bins were clipped, say."""

REPLICA = "replica"
"""The column that numbers the estimators of a file that holds several."""


POINT = "point"
"""The column that names the working point, where there are several."""

ORDERED = ("efficiency", "low", "high")
"""Columns that cannot rise from a working point to a tighter one."""


class StoredEstimator(ABC):
    """Whatever a Parquet table holds: an efficiency, and how it is stored."""

    suffix: ClassVar[str] = ".parquet"
    """Suffix of its file."""

    @abstractmethod
    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the probability that each jet is tagged.

        The shape is (n_jets,), or (n_jets, n_points) where there are several working points.
        """

    @abstractmethod
    def describe(self) -> str:
        """Return a few words for the log."""

    @abstractmethod
    def to_frame(self) -> pd.DataFrame:
        """Return the table that it is stored as; it has no column ``replica``."""

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What the table does not hold, anything that JSON can."""

    @property
    @abstractmethod
    def stored(self) -> dict[str, Any]:
        """What the metadata of its file say of it; that of all replicas is the same."""

    @property
    def notes(self) -> dict[str, Any]:
        """What the metadata record beside, of no use to whoever reads the file."""
        return {}

    def save(self, path: str | Path, provenance: Mapping[str, Any]) -> None:
        """Write to one Parquet file, with kind and settings in the metadata.

        Args:
            path: The file to write, whole or not at all.
            provenance: What to record about its origin; anything that JSON holds.
        """
        save_table_estimator(self, path, provenance)


class TableEstimator(StoredEstimator):
    """Base of estimators that are fitted in one go and stored as a Parquet table.

    ``fit`` of a class that derives from it is called for each working point of the jets in turn, on
    jets that have this point only; several make a :class:`PointwiseEstimator`.
    """

    options_type: ClassVar[type[ResampledOptions]]
    """Type of its options."""

    columns: ClassVar[tuple[str, ...]] = ()
    """Columns that its table must have."""

    streams: ClassVar[bool] = False
    """Whether ``fit`` takes the blocks of a training sample, too, in the memory of one of them.

    Such a kind has ``unlearned``, the flavours that no training jet has; and for its replicas
    either ``replicas`` or ``resampled``, as :func:`~truthtag.estimators.resampling.fit_replicas`
    calls them."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        own = cls.__dict__.get("fit")
        if isinstance(own, classmethod):
            cls.fit = classmethod(_at_each_point(own.__func__))  # type: ignore[assignment]

    @classmethod
    @abstractmethod
    def fit(cls, train: Jets, validation: Jets, options: Any, seed: Seed) -> Self:
        """Learn from a tagged sample; see :class:`~truthtag.estimators.protocol.Estimator`."""

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What the table does not hold, anything that JSON can; the arguments of `from_frame`."""

    @property
    def stored(self) -> dict[str, Any]:
        """Kind and settings."""
        return {"kind": kind_name(type(self)), "settings": self.settings}

    @classmethod
    def columns_of(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:  # noqa: ARG003
        """Return the columns that its table must have, where that depends on the settings."""
        return cls.columns

    @classmethod
    @abstractmethod
    def from_frame(cls, frame: pd.DataFrame, **settings: Any) -> Self:
        """Rebuild from the table and the settings.

        Raises:
            DataError: The table does not hold what it must.
        """

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read from its file.

        Raises:
            DataError: The file is missing, damaged or foreign, or holds another kind.
        """
        found = load_table_estimator(path)
        if isinstance(found, PointwiseEstimator):
            msg = (
                f"{path}: holds an estimator for the working points {', '.join(found.points)}, "
                "not for one; use truthtag.load, which reads any kind"
            )
            raise DataError(msg)
        if not isinstance(found, cls):
            msg = (
                f"{path}: holds an estimator of kind {kind_name(type(found))!r}, "
                f"not of {kind_name(cls)!r}; use truthtag.load, which reads any kind"
            )
            raise DataError(msg)
        return found


Fit = Callable[..., Any]


def _at_each_point(fit: Fit) -> Fit:
    """Make a fit to one working point one that takes any number of them."""

    @wraps(fit)
    def fit_points(
        cls: type[TableEstimator],
        train: Jets | Blocks,
        validation: Jets | Blocks,
        options: Any,
        seed: Seed,
    ) -> StoredEstimator:
        if isinstance(train, Jets):
            _warn_of_flavours(unlearned_flavours(train))
        labels = labels_of(as_blocks(train))
        fitted: StoredEstimator
        if labels.n_points == 1:
            fitted = fit(cls, train, validation, options, seed)
        else:
            _require_points(labels, labels_of(as_blocks(validation)))
            members = []
            for point in labels.points:
                tagged = at_point(train, point)
                members.append(fit(cls, tagged, at_point(validation, point), options, seed))
            fitted = PointwiseEstimator(labels.points, tuple(members))
        if not isinstance(train, Jets):
            # Of a sample that is not in memory, this is known only now.
            one: Any = fitted.members[0] if isinstance(fitted, PointwiseEstimator) else fitted
            _warn_of_flavours(one.unlearned)
        return fitted

    return fit_points


def _require_points(labels: Labels, of_validation: Labels) -> None:
    """Refuse a validation sample of other working points than the training sample has."""
    if of_validation.points != labels.points:
        listed = ", ".join(of_validation.points) or "none with a name"
        msg = (
            f"the training sample has the working points {', '.join(labels.points)}, the "
            f"validation sample has {listed}; make both with the same"
        )
        raise DataError(msg)


def _warn_of_flavours(unlearned: Sequence[int]) -> None:
    """Say in the log which flavours nothing is learned of."""
    for flavour in unlearned:
        text = (
            "no jet of the training sample has flavour %d: nothing is learned of it, and jets that "
            "have it get the efficiency %g. Merge it into another flavour, or give more events."
        )
        logging.getLogger("truthtag").warning(text, flavour, UNKNOWN)


@dataclass(frozen=True, eq=False)
class PointwiseEstimator(StoredEstimator):
    r"""Estimators of one kind, one for each working point of the tagger, as one efficiency.

    A jet that passes a point passes all looser ones, so efficiencies cannot rise from a point to a
    tighter one. Those that are counted in the same bins do not; where fits or negative weights make
    them rise, that of the looser point holds:

    .. math:: \epsilon_p = \min_{q \le p} \tilde\epsilon_q

    Args:
        points: Names of the working points, the loosest first.
        members: The estimator of each, all of one kind with the same settings.

    Raises:
        DataError: There is not one member for each of several points, or they are not alike.
    """

    points: tuple[str, ...]
    members: tuple[TableEstimator, ...]

    def __post_init__(self) -> None:
        if len(self.points) != len(self.members) or len(set(self.points)) < 2:
            msg = (
                f"there are {len(self.members)} estimators for the working points "
                f"{list(self.points)}; one for each of several is wanted"
            )
            raise DataError(msg)
        for point, member in zip(self.points, self.members, strict=True):
            if member.stored != self.members[0].stored:
                msg = (
                    f"the estimators of the working points {self.points[0]} and {point} differ: "
                    f"{self.members[0].stored} and {member.stored}. Fit them together."
                )
                raise DataError(msg)

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the probability that each jet passes each point, shape (n_jets, n_points).

        Raises:
            DataError: As those of the kind.
        """
        values = np.stack([member.efficiency(jets) for member in self.members], axis=1)
        return np.minimum.accumulate(values, axis=1)

    def at_point(self, point: str) -> TableEstimator:
        """Return the estimator of one working point, by its name.

        Raises:
            DataError: There is no such point.
        """
        if point not in self.points:
            msg = f"there is no working point {point!r}; there are {', '.join(self.points)}"
            raise DataError(msg)
        return self.members[self.points.index(point)]

    @cached_property
    def lowered(self) -> int:
        """In how many rows of the table an efficiency is that of a looser point."""
        frames = self._frames
        if "efficiency" not in frames[0]:
            return 0
        of_points = np.stack([frame["efficiency"].to_numpy() for frame in frames])
        # Of rows that hold no efficiency, NaN, no comparison is true.
        return int((of_points > np.minimum.accumulate(of_points, axis=0)).sum())

    @property
    def _frames(self) -> list[pd.DataFrame]:
        return [member.to_frame() for member in self.members]

    def describe(self) -> str:
        """Return what each says, and how many efficiencies were lowered to keep their order."""
        said = [f"{p}: {one.describe()}" for p, one in zip(self.points, self.members, strict=True)]
        lowered = f"; {self.lowered} lowered to that of a looser point" if self.lowered else ""
        return f"{len(self.points)} working points ({'; '.join(said)}{lowered})"

    @property
    def notes(self) -> dict[str, Any]:
        """Those of each point, and how many efficiencies were lowered."""
        notes: dict[str, Any] = {}
        for point, member in zip(self.points, self.members, strict=True):
            if member.notes:
                notes[point] = member.notes
        if self.lowered:
            notes["lowered"] = self.lowered
        return notes

    def to_frame(self) -> pd.DataFrame:
        """Return the tables of all points, one below the other, with the column ``point`` first.

        Efficiencies and their intervals are those that hold; what they follow from is as counted.
        """
        import pandas as pd

        frames = self._frames
        for name in ORDERED:
            if all(name in frame for frame in frames):
                values = np.minimum.accumulate([frame[name] for frame in frames], axis=0)
                frames = [f.assign(**{name: v}) for f, v in zip(frames, values, strict=True)]
        for point, frame in zip(self.points, frames, strict=True):
            frame.insert(0, POINT, point)
        return pd.concat(frames, ignore_index=True)

    @property
    def settings(self) -> dict[str, Any]:
        """Kind, points, and the settings that all members share."""
        first = self.members[0]
        return {"kind": kind_name(type(first)), "points": list(self.points), **first.settings}

    @property
    def stored(self) -> dict[str, Any]:
        """Kind and settings of each member, and the points."""
        return {**self.members[0].stored, "points": list(self.points)}


def kind_name(kind: type) -> str:
    """Return what a file calls a kind: its name in the registry, or else ``module:Class``.

    Raises:
        ConfigError: The class cannot be imported from there, so nobody could read the file.
    """
    place = f"{kind.__module__}:{kind.__qualname__}"
    for name, known in KINDS.places().items():
        if known == place:
            return name
    if kind.__module__ == "__main__" or load_object(place, "kind") is not kind:
        msg = f"{place}: this kind of estimator cannot be imported; put it into a module of its own"
        raise ConfigError(msg)
    return place


def save_table_estimator(
    estimator: StoredEstimator, path: str | Path, provenance: Mapping[str, Any]
) -> None:
    """Write one estimator as Parquet; its kind and settings go into the metadata.

    Args:
        estimator: The estimator.
        path: The file to write.
        provenance: What to record about its origin.
    """
    notes = {NOTES: estimator.notes} if estimator.notes else {}
    write_frame(estimator.to_frame(), path, {**provenance, METADATA: estimator.stored, **notes})


def save_replicas(
    estimators: Sequence[StoredEstimator], path: str | Path, provenance: Mapping[str, Any]
) -> None:
    """Write several estimators of one kind, one below the other, numbered in ``replica``.

    Args:
        estimators: At least one; all of one kind, with the same settings.
        path: The file to write.
        provenance: What to record about their origin.

    Raises:
        DataError: There is none, or they differ in kind or settings.
    """
    import pandas as pd

    if not estimators:
        msg = f"{path}: there are no replicas to write; fit at least one"
        raise DataError(msg)
    stored = estimators[0].stored
    frames = []
    for number, estimator in enumerate(estimators):
        if estimator.stored != stored:
            msg = (
                f"{path}: replicas 0 and {number} differ: {stored} and {estimator.stored}. "
                "Replicas are of one kind, with the same settings."
            )
            raise DataError(msg)
        frames.append(estimator.to_frame().assign(**{REPLICA: number}))
    write_frame(pd.concat(frames, ignore_index=True), path, {**provenance, METADATA: stored})


def load_table_estimator(path: str | Path) -> StoredEstimator:
    """Read the estimator of a Parquet file, of whatever kind.

    Raises:
        DataError: The file is missing, damaged or foreign, lacks a column, or holds replicas.
        ConfigError: Its kind cannot be loaded: a package is not installed, say.
    """
    frame, content = _read(path)
    if REPLICA in frame:
        msg = (
            f"{path}: holds the replicas of a map, not the map itself; "
            "give that one's file, or use load_replicas"
        )
        raise DataError(msg)
    return _rebuilt(path, content, frame)


def load_replicas(path: str | Path) -> list[StoredEstimator]:
    """Read the estimators that :func:`save_replicas` wrote, in their order.

    Raises:
        DataError: The file is missing, damaged or foreign, or lacks a column.
        ConfigError: Their kind cannot be loaded: a package is not installed, say.
    """
    frame, content = _read(path, REPLICA)
    numbers = sorted(frame[REPLICA].unique().tolist())
    if numbers != list(range(len(numbers))):
        msg = f"{path}: its replicas are numbered {numbers}, not from 0 on; fit them again"
        raise DataError(msg)
    replicas = []
    for _, rows in frame.groupby(REPLICA, sort=True):
        own = rows.drop(columns=REPLICA).reset_index(drop=True)
        replicas.append(_rebuilt(path, content, own))
    return replicas


class _Content(NamedTuple):
    """What the metadata of a file say that its table holds.

    Attributes:
        kind: The class of the estimators.
        settings: What the rows do not say.
        points: Names of the working points; empty where there is one.
    """

    kind: type[TableEstimator]
    settings: dict[str, Any]
    points: tuple[str, ...]


def _read(path: str | Path, *further: str) -> tuple[pd.DataFrame, _Content]:
    """Read a table of estimators: its rows, and what they are."""
    frame = read_frame(path)
    stored = read_metadata(path).get(METADATA)
    if not isinstance(stored, dict) or not isinstance(stored.get("kind"), str):
        msg = (
            f"{path}: does not say which of the kinds {', '.join(KINDS.places())} it is; "
            "fit the map again with truthtag"
        )
        raise DataError(msg)
    kind = kind_in_file(stored["kind"], str(path))
    if not isinstance(kind, type) or not issubclass(kind, TableEstimator):
        msg = f"{path}: its kind {stored['kind']!r} is not stored as a table; fit it again"
        raise DataError(msg)
    settings = dict(stored.get("settings") or {})
    points = tuple(str(point) for point in stored.get("points") or ())
    required = [*kind.columns_of(settings), *further, *([POINT] if points else [])]
    check_columns(path, [str(name) for name in frame.columns], required)
    return frame, _Content(kind, settings, points)


def _rebuilt(path: str | Path, content: _Content, frame: pd.DataFrame) -> StoredEstimator:
    """Rebuild an estimator; whatever is wrong with its table is an error that names the file."""
    try:
        if not content.points:
            return content.kind.from_frame(frame, **content.settings)
        return _rebuilt_points(content, frame)
    except (ConfigError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        msg = (
            f"{path}: cannot be read as an estimator of kind {kind_name(content.kind)!r} "
            f"({reason}). The file is damaged or was changed by hand: fit it again."
        )
        raise DataError(msg) from error


def _rebuilt_points(content: _Content, frame: pd.DataFrame) -> PointwiseEstimator:
    """Rebuild the estimators of several working points.

    Raises:
        DataError: The rows are those of other points.
    """
    found = frame[POINT].unique().tolist()
    if sorted(found) != sorted(content.points):
        msg = f"its rows are those of the working points {found}, not of {list(content.points)}"
        raise DataError(msg)
    members = []
    for point in content.points:
        rows = frame[frame[POINT] == point].drop(columns=POINT).reset_index(drop=True)
        members.append(content.kind.from_frame(rows, **content.settings))
    return PointwiseEstimator(content.points, tuple(members))
