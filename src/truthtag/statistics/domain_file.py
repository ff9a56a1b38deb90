"""What the metadata of a domain on disk hold, checked as they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from truthtag.data.files import read_metadata
from truthtag.errors import DataError
from truthtag.statistics.domain_variables import VARIABLES

__all__ = ["CRITERION", "read_criterion"]

CRITERION = ("variables", "flavours", "neighbours", "low", "high", "scale", "threshold")
"""What the metadata of a domain on disk hold beside its table."""


def read_criterion(path: str | Path) -> dict[str, Any]:
    """Return what the metadata of a domain hold beside its table: the entries of :data:`CRITERION`.

    Raises:
        DataError: The file is missing, damaged or foreign, lacks an entry, or was made by a version
            that looked at the nearest jet only; the ranges and thresholds of that say nothing of
            the variables of today.
    """
    criterion = read_metadata(path).get("domain")
    if criterion is None:
        msg = (
            f"{path}: its metadata hold no ranges and thresholds of a domain; fit the domain again "
            "with truthtag"
        )
        raise DataError(msg)
    if not isinstance(criterion, dict):
        msg = f"{path}: its metadata are damaged (domain is {criterion!r}); fit the domain again"
        raise DataError(msg)
    for name in CRITERION[1:]:
        if name not in criterion:
            msg = (
                f"{path}: its metadata lack {name!r} of the domain; they have "
                f"{', '.join(criterion) or 'nothing'}. Fit the domain again."
            )
            raise DataError(msg)
    _check_variables(path, criterion.get("variables"))
    whole = [criterion["neighbours"]]
    if isinstance(criterion["flavours"], list):
        whole += criterion["flavours"]
    for value in whole:
        if not isinstance(value, int):
            msg = (
                f"{path}: its metadata are damaged ({value!r} is no whole number): fit the domain "
                "again"
            )
            raise DataError(msg)
    return criterion


def _check_variables(path: str | Path, variables: Any) -> None:
    """Refuse names of variables that are no list, or not those of today."""
    if _is_old(variables):
        msg = (
            f"{path}: it was made by an older version of truthtag, which looked at the nearest "
            "jet only and let crowded events pass; a domain now has the variables "
            f"{', '.join(VARIABLES)}. Fit the domain again: delete the file and run the workflow."
        )
        raise DataError(msg)
    is_list = isinstance(variables, list) and all(isinstance(one, str) for one in variables)
    if not is_list or tuple(variables[: len(VARIABLES)]) != VARIABLES:
        msg = (
            f"{path}: its metadata are damaged (variables is {variables!r}, not a list that begins "
            f"with {', '.join(VARIABLES)}): fit the domain again"
        )
        raise DataError(msg)


def _is_old(variables: Any) -> bool:
    """Return whether these are the variables of a version that looked at the nearest jet only."""
    # Without further variables its files held no names.
    if variables is None:
        return True
    first = VARIABLES[: VARIABLES.index("second_closeness")]
    return (
        isinstance(variables, list)
        and tuple(variables[: len(first)]) == first
        and tuple(variables[len(first) : len(VARIABLES)]) != VARIABLES[len(first) :]
    )
