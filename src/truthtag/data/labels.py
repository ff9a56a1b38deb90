"""What the numbers in a sample mean: flavours, working points, categories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from truthtag.errors import DataError

__all__ = ["LABELS", "Labels"]

LABELS = "labels"
"""Where the metadata of a sample hold its labels."""


@dataclass(frozen=True)
class Labels:
    """What the numbers in a sample mean, whether or not each of them occurs in it.

    A part of a sample can lack a flavour, or have no jet in the tightest tag bin: what is learned
    from it must know them all the same.

    Args:
        flavours: Hadron flavours that jets can have, rising; empty where only those that occur are
            known.
        points: Names of the working points, the loosest first; empty, or one, where jets are tagged
            or not.
        categories: Values of the further columns that are categories, by name.

    Raises:
        DataError: A name or number stands twice, or the flavours do not rise.

    Example:
        >>> labels = Labels(flavours=(0, 4, 5), points=("loose", "tight"))
        >>> labels.n_points, Labels().n_points
        (2, 1)
    """

    flavours: tuple[int, ...] = ()
    points: tuple[str, ...] = ()
    categories: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if list(self.flavours) != sorted(set(self.flavours)):
            msg = f"flavours are {list(self.flavours)}; they must rise, each once"
            raise DataError(msg)
        for what, values in {"working points": self.points, **self.categories}.items():
            if len(set(values)) < len(values):
                msg = f"{what} are {list(values)}; name each once"
                raise DataError(msg)

    @property
    def n_points(self) -> int:
        """Number of working points, at least 1."""
        return max(1, len(self.points))

    def position(self, point: str) -> int:
        """Return the position of a working point, 0 for the loosest.

        Raises:
            DataError: There is no such point.
        """
        if point not in self.points:
            listed = ", ".join(self.points) or "none with a name"
            msg = f"there is no working point {point!r}; there are {listed}"
            raise DataError(msg)
        return self.points.index(point)

    def to_metadata(self) -> dict[str, Any]:
        """Return plain values, as JSON holds them."""
        return {
            "flavours": list(self.flavours),
            "points": list(self.points),
            "categories": {name: list(values) for name, values in self.categories.items()},
        }

    @classmethod
    def from_metadata(cls, stored: Any) -> Labels:
        """Rebuild from :meth:`to_metadata`; anything else has no labels."""
        if not isinstance(stored, Mapping):
            return cls()
        categories = stored.get("categories", {})
        return cls(
            flavours=tuple(int(value) for value in stored.get("flavours", ())),
            points=tuple(str(value) for value in stored.get("points", ())),
            categories={str(name): tuple(values) for name, values in categories.items()},
        )
