"""Efficiency maps: what experiments use, and fits of functions that are written down; compared with the networks.

A map is fitted in one go to a tagged sample and stored as a table. Its kind, an entry of :data:`KINDS`, is a module here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import pandas as pd

from truthtag.arrays import FloatArray
from truthtag.config import choose
from truthtag.errors import DataError
from truthtag.jets import Jets
from truthtag.maps.binned import COLUMNS, BinnedMap
from truthtag.maps.corrected import CorrectedMap
from truthtag.maps.parametric import FittedProduct
from truthtag.maps.smoothed import SmoothedMap
from truthtag.tables import check_columns, read_frame, read_metadata, write_frame

__all__ = [
    "COLUMNS",
    "KINDS",
    "BinnedMap",
    "CorrectedMap",
    "FittedProduct",
    "Map",
    "SmoothedMap",
    "fit_map",
    "read_map",
    "write_map",
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
    """Fit the kind of map that an entry of the config's ``maps`` describes.

    Raises:
        ConfigError: The kind is unknown.
    """
    rest = {key: value for key, value in options.items() if key != "kind"}
    return choose(KINDS, options["kind"], "maps: kind").fit(jets, **rest)


def write_map(fitted: Map, path: str | Path, metadata: Mapping[str, Any]) -> None:
    """Write a map as Parquet; its kind and policy go into the metadata."""
    kind = next(name for name, known in KINDS.items() if type(fitted) is known)
    write_frame(fitted.to_frame(), path, {**metadata, "map": {"kind": kind, **fitted.policy}})


def read_map(path: str | Path) -> Map:
    """Read a map that :func:`write_map` wrote.

    Raises:
        DataError: The file is missing, truncated or foreign, or lacks a column.
    """
    frame = read_frame(path)
    policy = read_metadata(path).get("map")
    if policy is None or policy.get("kind") not in KINDS:
        msg = f"{path}: does not say which of the kinds {', '.join(KINDS)} it is; fit the map again with truthtag"
        raise DataError(msg)
    kind = KINDS[policy.pop("kind")]
    check_columns(path, [str(name) for name in frame.columns], kind.columns)
    return kind.from_frame(frame, **policy)
