"""The columns of a network's feature rows: the four of every network, then further ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from truthtag.estimators.network.options import FEATURES

__all__ = ["PLAIN_COLUMNS", "InputColumns"]


@dataclass(frozen=True)
class InputColumns:
    """The columns of feature rows, beginning with pt, eta, phi and flavour.

    A further column of numbers is one column of the rows. One of categories has a column for each
    value that its labels know, 1 where the jet has that value and 0 elsewhere, whether or not the
    value occurs.

    Args:
        further: Names of the further columns.
        categories: Values of those among them that are categories.

    Example:
        >>> columns = InputColumns(("width", "origin"), {"origin": (0, 3)})
        >>> columns.names
        ('pt', 'eta', 'phi', 'flavour', 'width', 'origin=0', 'origin=3')
        >>> columns.positions(["origin", "pt"])
        [5, 6, 0]
    """

    further: tuple[str, ...] = ()
    categories: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, inputs: Sequence[str], categories: Mapping[str, Sequence[int]]) -> Self:
        """Return the columns that a network of some inputs needs.

        Args:
            inputs: Names of all that it sees of a jet, as in its architecture.
            categories: Values of the columns that are categories; the network may see only some.
        """
        further = tuple(name for name in inputs if name not in FEATURES)
        known = {name: tuple(categories[name]) for name in further if name in categories}
        return cls(further, known)

    def columns_of(self, name: str) -> tuple[str, ...]:
        """Return the columns of the rows that one input has."""
        if name not in self.categories:
            return (name,)
        return tuple(f"{name}={value}" for value in self.categories[name])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns of the rows."""
        return self._columns_of_all((*FEATURES, *self.further))

    @property
    def indicators(self) -> tuple[str, ...]:
        """Names of the columns that are 0 or 1, which need no scaling."""
        return self._columns_of_all(tuple(self.categories))

    def positions(self, inputs: Sequence[str]) -> list[int]:
        """Return the positions in a row of the columns of some inputs, in their order."""
        names = self.names
        return [names.index(column) for column in self._columns_of_all(inputs)]

    def _columns_of_all(self, inputs: Sequence[str]) -> tuple[str, ...]:
        columns: list[str] = []
        for name in inputs:
            columns.extend(self.columns_of(name))
        return tuple(columns)


PLAIN_COLUMNS = InputColumns()
"""What a network sees that has no further inputs."""
