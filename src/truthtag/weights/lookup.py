"""What a file of scale factors is asked, and what it answers, whatever its format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from truthtag.arrays import FloatArray, IntArray
from truthtag.data.jets import Jets

__all__ = ["NOMINAL", "Absent", "Beyond", "Cell", "Found", "Lookup", "listed"]

NOMINAL = ("central", "nominal")
"""What files call the scale factors that nothing varies."""


@dataclass(frozen=True)
class Cell:
    """What a scale factor is of, beside the kinematics of the jet; all by the names of the file.

    Args:
        systematic: The variation, ``up_jes`` say.
        point: The working point, ``M`` say; None where the file knows one only, without a name.
        flavour: The hadron flavour.
    """

    systematic: str
    point: str | None
    flavour: int


@dataclass(frozen=True)
class Absent:
    """What a file lacks.

    Args:
        what: Name of the input, or of the column.
        value: The value that was asked for.
        known: The values that the file has there.
    """

    what: str
    value: str | int
    known: tuple[str | int, ...]


@dataclass(frozen=True, eq=False)
class Beyond:
    """Jets beyond the range of a file.

    Args:
        what: Name of the input, ``pt`` say.
        low: Lower end of the range.
        high: Upper end of the range.
        rows: The jets, as positions in the sample, shape (n_beyond,).
        values: Where they are, shape (n_beyond,).
    """

    what: str
    low: float
    high: float
    rows: IntArray
    values: FloatArray


@dataclass(frozen=True, eq=False)
class Found:
    """Scale factors of some jets.

    Args:
        values: One per jet, shape (n_rows,); of a jet beyond the range, that at its edge.
        beyond: The jets beyond the range.
    """

    values: FloatArray
    beyond: tuple[Beyond, ...]


class Lookup(Protocol):
    """Scale factors of a file, for jets of one or several flavours."""

    @property
    def place(self) -> str:
        """What error messages call it: the file, and the part of it."""
        ...

    @property
    def points(self) -> tuple[str, ...]:
        """Names of its working points; empty where it does not tell any apart."""
        ...

    def systematics(self, point: str | None, flavour: int) -> tuple[str, ...]:
        """Return the names of its variations at a working point for a flavour."""
        ...

    def absent(self, cell: Cell) -> Absent | None:
        """Return what the file lacks of a cell; None where it has all of it."""
        ...

    def find(self, cell: Cell, jets: Jets, rows: IntArray) -> Found:
        """Return the scale factors of some of the jets.

        Args:
            cell: What they are of.
            jets: The jets.
            rows: Which of them, shape (n_rows,).

        Raises:
            DataError: The file gives no finite number for a jet.
        """
        ...


def listed(names: Sequence[str | int]) -> str:
    """Return names as an error shows them."""
    return ", ".join(map(str, names)) or "none"
