"""Members of an ensemble that failed: which are left out, and how many must be left."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from truthtag.errors import DataError
from truthtag.estimators.protocol import KINDS

__all__ = [
    "FAILED",
    "LEFT_OUT",
    "MIN_SHARE_LEFT",
    "Failure",
    "failure_in",
    "require_enough",
    "without_failed",
]

MIN_SHARE_LEFT = 0.75
"""Least share of the members of an ensemble, or of each of its folds, that must not have failed."""

FAILED = "failed"
"""Where the metadata of a history say why its network is left out."""

LEFT_OUT = "left_out"
"""Where the list of an ensemble, and the metadata of predictions, say which members failed."""


@dataclass(frozen=True)
class Failure:
    """Why a member is left out.

    Attributes:
        seed: Its seed, ``(1, "gnn", 3)`` say.
        reason: What went wrong, as the end of a sentence about it.
        remedy: What to do against it.
    """

    seed: tuple[int | str, ...]
    reason: str
    remedy: str = ""

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> Self:
        """Rebuild from plain values.

        Raises:
            LookupError: An entry is missing.
            TypeError: An entry is of another type.
            ValueError: The seed is empty.
        """
        first, *others = content["seed"]
        return cls((first, *others), str(content["reason"]), str(content.get("remedy", "")))

    def __str__(self) -> str:
        return f"seed {self.seed[-1]}: {self.reason}"


def failure_in(path: str | Path, kind: str | None = None) -> Failure | None:
    """Return why the member that a file is for is left out; None where it is not.

    A kind of estimator whose fits can fail says so by a class method ``failure_in(path)``.

    Args:
        path: The file of one member.
        kind: What it holds, where it does not say so itself.

    Raises:
        DataError: The file is missing, damaged or foreign.
    """
    path = Path(path)
    if kind is None and path.suffix != ".pt":
        return None
    look = getattr(KINDS.load(kind or "network", "kind"), "failure_in", None)
    found: Failure | None = look(path) if look else None
    return found


def without_failed(
    paths: Sequence[str | Path], kind: str | None = None
) -> tuple[list[str | Path], dict[str | Path, Failure]]:
    """Sort the members of an ensemble into those that are used and those that failed.

    Args:
        paths: A file for each member.
        kind: What they hold, where they do not say so themselves.

    Returns:
        The files that are used, and for each other file why it is left out.

    Raises:
        DataError: A file is missing, damaged or foreign, or too few are left.
    """
    failed = {}
    for path in paths:
        failure = failure_in(path, kind)
        if failure is not None:
            failed[path] = failure
    require_enough(len(paths), list(failed.values()))
    return [path for path in paths if path not in failed], failed


def require_enough(asked: int, failed: Sequence[Failure], where: str = "") -> None:
    """Refuse an ensemble, or a fold of it, of which too few members are left.

    Args:
        asked: Number of members, those that failed included.
        failed: Why some are left out.
        where: What the members belong to, for the error: " of fold 2", say.

    Raises:
        DataError: Less than three quarters are left.

    Example:
        >>> require_enough(4, [Failure((1, "gnn", 3), "its loss was nan in epoch 2")])
    """
    least = math.ceil(MIN_SHARE_LEFT * asked)
    left = asked - len(failed)
    if not failed or left >= least:
        return
    told = "; ".join(map(str, failed))
    msg = (
        f"{len(failed)} of {asked} networks{where} failed, and at least {least} must be left. "
        f"{told}. {failed[0].remedy}"
    )
    raise DataError(msg.rstrip())
