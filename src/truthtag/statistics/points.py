"""Tables of several working points: what was measured at each, one below the other."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

__all__ = ["WORKING_POINT", "joined", "rows_at", "with_known_points", "with_marks"]

WORKING_POINT = "working_point"
"""Column of tables that are about several working points; those about one do not have it."""


def joined(tables: Mapping[str | None, pd.DataFrame]) -> pd.DataFrame:
    """Put tables of several working points one below the other.

    Args:
        tables: The tables by the name of the point, as
            :func:`~truthtag.estimators.predictions.points_of` gives them.

    Returns:
        The rows of all, told apart by the column ``working_point``; of one point without a name
        the table as it is.

    Example:
        >>> joined({"loose": pd.DataFrame({"jets": [3]})}).to_dict("list")
        {'working_point': ['loose'], 'jets': [3]}
    """
    parts = []
    for point, table in tables.items():
        marked = table if point is None else table.copy()
        if point is not None:
            marked.insert(0, WORKING_POINT, point)
        parts.append(marked)
    return pd.concat(parts, ignore_index=True)


def rows_at(table: pd.DataFrame, point: str | None = None) -> pd.DataFrame:
    """Return the rows of a table that are about one working point; all, where it has one only.

    Args:
        table: A table, with the column ``working_point`` or without.
        point: The point; by default the first of the table, the loosest.
    """
    if WORKING_POINT not in table or table.empty:
        return table
    chosen = table[WORKING_POINT].iloc[0] if point is None else point
    return table[table[WORKING_POINT] == chosen].drop(columns=WORKING_POINT)


def with_known_points(table: pd.DataFrame) -> pd.DataFrame:
    """Give rows of samples that have one working point only an empty name for it."""
    if WORKING_POINT not in table:
        return table
    return table.assign(**{WORKING_POINT: table[WORKING_POINT].fillna("")})


def with_marks(keys: list[str], table: pd.DataFrame) -> list[str]:
    """Return the columns that tell the rows of a table apart, the working point among them.

    Example:
        >>> with_marks(["sample"], pd.DataFrame({"sample": ["a"], "working_point": ["tight"]}))
        ['sample', 'working_point']
    """
    return [*keys, WORKING_POINT] if WORKING_POINT in table else list(keys)
