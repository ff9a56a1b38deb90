"""Efficiency maps: what experiments use, and fits of functions that are written down; compared with the networks.

A map is fitted in one go to a tagged sample and stored as a table. Its kind, an entry of :data:`KINDS`, is a module here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import pandas as pd

from truthtag.arrays import FloatArray
from truthtag.data.files import check_columns, read_frame, read_metadata, write_frame
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.estimators.binned import COLUMNS, BinnedMap
from truthtag.estimators.nearest_jet import CorrectedMap
from truthtag.estimators.parametric import FittedProduct
from truthtag.estimators.smoothed import SmoothedMap
from truthtag.registry import choose
from truthtag.seeds import Seed, seed_words

__all__ = [
    "COLUMNS",
    "KINDS",
    "BinnedMap",
    "CorrectedMap",
    "FittedProduct",
    "Map",
    "ReplicatedMap",
    "SmoothedMap",
    "fit_map",
    "fit_replicas",
    "read_map",
    "read_replica_maps",
    "write_map",
    "write_replica_maps",
]


class Map(Protocol):
    """What the workflow needs of a map: an efficiency that is fitted to tags, and that a table holds."""

    columns: ClassVar[tuple[str, ...]]
    """Columns of its table."""

    @classmethod
    def fit(cls, jets: Jets, *args: Any, **options: Any) -> Self:
        """Fit to a tagged sample; the options are those of the config, but for the kind."""
        ...

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, *args: Any, **policy: Any) -> Self:
        """Rebuild from the table and the policy."""
        ...

    @property
    def policy(self) -> dict[str, Any]:
        """What the table does not hold, anything that JSON can."""
        ...

    def to_frame(self) -> pd.DataFrame:
        """Return the table that it is stored as."""
        ...

    def describe(self) -> str:
        """Return a few words for the log."""
        ...

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the probability that each jet is tagged, shape (n_jets,)."""
        ...


KINDS: dict[str, type[Map]] = {
    "binned": BinnedMap,
    "smoothed": SmoothedMap,
    "delta_r": CorrectedMap,
    "neighbour_product": FittedProduct,
}
"""Kinds of map that the config can name (``maps.*.kind``)."""


def fit_map(jets: Jets, options: Mapping[str, Any]) -> Map:
    """Fit the kind of map that an entry of the config's ``maps`` describes; its ``replicas`` are :func:`fit_replicas`'s.

    Raises:
        ConfigError: The kind is unknown.
    """
    rest = {key: value for key, value in options.items() if key not in ("kind", "replicas")}
    return choose(KINDS, options["kind"], "maps: kind").fit(jets, **rest)


def fit_replicas(jets: Jets, options: Mapping[str, Any], count: int, seed: Seed) -> list[Map]:
    """Fit the same kind of map to samples of as many events, drawn with replacement.

    Args:
        jets: A tagged sample.
        options: As in :func:`fit_map`.
        count: Number of replicas.
        seed: Names the random streams.
    """
    replicas = []
    for number in range(count):
        rng = np.random.default_rng(seed_words((*seed, number)))
        replicas.append(fit_map(_drawn(jets, rng), options))
    return replicas


def _drawn(jets: Jets, rng: np.random.Generator) -> Jets:
    """Draw as many events, with replacement; again where a rare flavour is lost, which a map must know."""
    flavours = set(np.unique(jets.flavour))
    while True:
        drawn = jets.take(rng.integers(0, jets.n_events, jets.n_events))
        if flavours == set(np.unique(drawn.flavour)):
            return drawn


@dataclass(frozen=True, eq=False)
class ReplicatedMap:
    """A map with those that other training samples might have given.

    Args:
        nominal: The map that was fitted to the whole training sample.
        replicas: Maps that were fitted to events drawn from it with replacement.
    """

    nominal: Map
    replicas: Sequence[Map]

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the efficiency by the map itself, shape (n_jets,)."""
        return self.nominal.efficiency(jets)

    def with_replicas(self, jets: Jets) -> tuple[FloatArray, FloatArray]:
        """Return the efficiency by the map itself, shape (n_jets,), and by each replica, (n_replicas, n_jets)."""
        return self.efficiency(jets), np.stack(
            [replica.efficiency(jets) for replica in self.replicas]
        )


def write_map(fitted: Map, path: str | Path, metadata: Mapping[str, Any]) -> None:
    """Write a map as Parquet; its kind and policy go into the metadata."""
    write_frame(fitted.to_frame(), path, {**metadata, **_kind_of(fitted)})


def write_replica_maps(
    replicas: Sequence[Map], path: str | Path, metadata: Mapping[str, Any]
) -> None:
    """Write the replicas of a map, one below the other, numbered in the column ``replica``."""
    frames = [replica.to_frame().assign(replica=number) for number, replica in enumerate(replicas)]
    write_frame(pd.concat(frames, ignore_index=True), path, {**metadata, **_kind_of(replicas[0])})


def read_map(path: str | Path) -> Map:
    """Read a map that :func:`write_map` wrote.

    Raises:
        DataError: The file is missing, truncated or foreign, lacks a column, or holds replicas.
    """
    frame, kind, policy = _read(path)
    if "replica" in frame:
        msg = f"{path}: holds the replicas of a map, not the map itself; give that one's file, or use read_replica_maps"
        raise DataError(msg)
    return kind.from_frame(frame, **policy)


def read_replica_maps(path: str | Path) -> list[Map]:
    """Read the replicas that :func:`write_replica_maps` wrote.

    Raises:
        DataError: The file is missing, truncated or foreign, or lacks a column.
    """
    frame, kind, policy = _read(path, "replica")
    parts = frame.groupby("replica", sort=True)
    return [kind.from_frame(part.drop(columns="replica"), **policy) for _, part in parts]


def _kind_of(fitted: Map) -> dict[str, Any]:
    kind = next(name for name, known in KINDS.items() if type(fitted) is known)
    return {"map": {"kind": kind, **fitted.policy}}


def _read(path: str | Path, *further: str) -> tuple[pd.DataFrame, type[Map], dict[str, Any]]:
    """Read a table of maps: its rows, the kind of map, and what the rows do not say."""
    frame = read_frame(path)
    policy = read_metadata(path).get("map")
    if policy is None or policy.get("kind") not in KINDS:
        msg = f"{path}: does not say which of the kinds {', '.join(KINDS)} it is; fit the map again with truthtag"
        raise DataError(msg)
    kind = KINDS[policy.pop("kind")]
    check_columns(path, [str(name) for name in frame.columns], (*kind.columns, *further))
    return frame, kind, policy
