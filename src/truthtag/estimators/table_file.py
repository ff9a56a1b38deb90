"""Estimators that a table holds: what they share, their files, and many of them in one file.

A new kind that is stored as a table derives from :class:`TableEstimator`, and needs only
``options_type``, ``fit``, ``efficiency``, ``describe``, ``to_frame``, ``settings`` and
``from_frame``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from truthtag.arrays import FloatArray
from truthtag.data.files import check_columns, read_frame, read_metadata, write_frame
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.protocol import KINDS, ResampledOptions
from truthtag.registry import load_object
from truthtag.seeds import Seed

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "TableEstimator",
    "kind_name",
    "load_replicas",
    "load_table_estimator",
    "save_replicas",
    "save_table_estimator",
]

METADATA = "estimator"
"""Where the metadata of a file hold the kind and the settings."""

REPLICA = "replica"
"""The column that numbers the estimators of a file that holds several."""


class TableEstimator(ABC):
    """Base of estimators that are fitted in one go and stored as a Parquet table."""

    options_type: ClassVar[type[ResampledOptions]]
    """Type of its options."""

    suffix: ClassVar[str] = ".parquet"
    """Suffix of its file."""

    columns: ClassVar[tuple[str, ...]] = ()
    """Columns that its table must have."""

    @classmethod
    @abstractmethod
    def fit(cls, train: Jets, validation: Jets, options: Any, seed: Seed) -> Self:
        """Learn from a tagged sample; see :class:`~truthtag.estimators.protocol.Estimator`."""

    @abstractmethod
    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the probability that each jet is tagged, shape (n_jets,)."""

    @abstractmethod
    def describe(self) -> str:
        """Return a few words for the log."""

    @abstractmethod
    def to_frame(self) -> pd.DataFrame:
        """Return the table that it is stored as; it has no column ``replica``."""

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What the table does not hold, anything that JSON can; the arguments of `from_frame`."""

    @classmethod
    @abstractmethod
    def from_frame(cls, frame: pd.DataFrame, **settings: Any) -> Self:
        """Rebuild from the table and the settings.

        Raises:
            DataError: The table does not hold what it must.
        """

    def save(self, path: str | Path, provenance: Mapping[str, Any]) -> None:
        """Write to one Parquet file, with kind and settings in the metadata.

        Args:
            path: The file to write, whole or not at all.
            provenance: What to record about its origin; anything that JSON holds.
        """
        save_table_estimator(self, path, provenance)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read from its file.

        Raises:
            DataError: The file is missing, damaged or foreign, or holds another kind.
        """
        found = load_table_estimator(path)
        if not isinstance(found, cls):
            msg = (
                f"{path}: holds an estimator of kind {kind_name(type(found))!r}, "
                f"not of {kind_name(cls)!r}; use truthtag.load, which reads any kind"
            )
            raise DataError(msg)
        return found


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
    estimator: TableEstimator, path: str | Path, provenance: Mapping[str, Any]
) -> None:
    """Write one estimator as Parquet; its kind and settings go into the metadata.

    Args:
        estimator: The estimator.
        path: The file to write.
        provenance: What to record about its origin.
    """
    write_frame(estimator.to_frame(), path, {**provenance, METADATA: _stored(estimator)})


def save_replicas(
    estimators: Sequence[TableEstimator], path: str | Path, provenance: Mapping[str, Any]
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
    stored = _stored(estimators[0])
    frames = []
    for number, estimator in enumerate(estimators):
        if _stored(estimator) != stored:
            msg = (
                f"{path}: replicas 0 and {number} differ: {stored} and {_stored(estimator)}. "
                "Replicas are of one kind, with the same settings."
            )
            raise DataError(msg)
        frames.append(estimator.to_frame().assign(**{REPLICA: number}))
    write_frame(pd.concat(frames, ignore_index=True), path, {**provenance, METADATA: stored})


def load_table_estimator(path: str | Path) -> TableEstimator:
    """Read the estimator of a Parquet file, of whatever kind.

    Raises:
        DataError: The file is missing, damaged or foreign, lacks a column, or holds replicas.
        ConfigError: Its kind cannot be loaded: a package is not installed, say.
    """
    frame, kind, settings = _read(path)
    if REPLICA in frame:
        msg = (
            f"{path}: holds the replicas of a map, not the map itself; "
            "give that one's file, or use load_replicas"
        )
        raise DataError(msg)
    return _rebuilt(path, kind, frame, settings)


def load_replicas(path: str | Path) -> list[TableEstimator]:
    """Read the estimators that :func:`save_replicas` wrote, in their order.

    Raises:
        DataError: The file is missing, damaged or foreign, or lacks a column.
        ConfigError: Their kind cannot be loaded: a package is not installed, say.
    """
    frame, kind, settings = _read(path, REPLICA)
    numbers = sorted(frame[REPLICA].unique().tolist())
    if numbers != list(range(len(numbers))):
        msg = f"{path}: its replicas are numbered {numbers}, not from 0 on; fit them again"
        raise DataError(msg)
    replicas = []
    for _, rows in frame.groupby(REPLICA, sort=True):
        own = rows.drop(columns=REPLICA).reset_index(drop=True)
        replicas.append(_rebuilt(path, kind, own, settings))
    return replicas


def _stored(estimator: TableEstimator) -> dict[str, Any]:
    return {"kind": kind_name(type(estimator)), "settings": estimator.settings}


def _read(
    path: str | Path, *further: str
) -> tuple[pd.DataFrame, type[TableEstimator], dict[str, Any]]:
    """Read a table of estimators: its rows, their kind, and what the rows do not say."""
    frame = read_frame(path)
    stored = read_metadata(path).get(METADATA)
    if not isinstance(stored, dict) or not isinstance(stored.get("kind"), str):
        msg = (
            f"{path}: does not say which of the kinds {', '.join(KINDS.places())} it is; "
            "fit the map again with truthtag"
        )
        raise DataError(msg)
    kind = KINDS.load(stored["kind"], f"{path}: kind")
    if not isinstance(kind, type) or not issubclass(kind, TableEstimator):
        msg = f"{path}: its kind {stored['kind']!r} is not stored as a table; fit it again"
        raise DataError(msg)
    check_columns(path, [str(name) for name in frame.columns], (*kind.columns, *further))
    return frame, kind, dict(stored.get("settings") or {})


def _rebuilt(
    path: str | Path,
    kind: type[TableEstimator],
    frame: pd.DataFrame,
    settings: Mapping[str, Any],
) -> TableEstimator:
    """Rebuild an estimator; whatever is wrong with its table is an error that names the file."""
    try:
        return kind.from_frame(frame, **settings)
    except (ConfigError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        msg = (
            f"{path}: cannot be read as an estimator of kind {kind_name(kind)!r} ({reason}). "
            "The file is damaged or was changed by hand: fit it again."
        )
        raise DataError(msg) from error
