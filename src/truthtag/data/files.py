"""Files that appear whole or not at all, and Parquet tables that say what is wrong with them."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from truthtag.errors import DataError

__all__ = [
    "METADATA_KEY",
    "check_columns",
    "read_frame",
    "read_metadata",
    "read_table",
    "render_page",
    "rows_by",
    "whole_file",
    "write_frame",
    "write_table",
]

METADATA_KEY = b"truthtag"


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give a path to write beside the final one, and rename it there when the block ends well.

    Args:
        path: Where the finished file belongs; its folder is made.

    Yields:
        The path to write to. It is removed when the block raises.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_table(
    table: pa.Table, path: str | Path, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write an Arrow table as Parquet, with JSON metadata under the key ``truthtag``.

    Args:
        table: The table.
        path: The file to write.
        metadata: What to record about its origin; anything that JSON holds.
    """
    with whole_file(path) as beside:
        pq.write_table(with_metadata(table, metadata or {}), beside, compression="zstd")


def write_frame(
    frame: pd.DataFrame, path: str | Path, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a data frame as Parquet or CSV, by the suffix of the path.

    Args:
        frame: The table, its index ignored.
        path: The file to write, ending in ``.parquet`` or ``.csv``.
        metadata: What to record about its origin (Parquet only).
    """
    if Path(path).suffix == ".csv":
        with whole_file(path) as beside:
            frame.to_csv(beside, index=False)
        return
    write_table(pa.Table.from_pandas(frame, preserve_index=False), path, metadata)


def with_metadata(table: pa.Table, metadata: Mapping[str, Any]) -> pa.Table:
    """Attach metadata to a table's schema, as JSON under the key ``truthtag``."""
    kept = table.schema.metadata or {}
    return table.replace_schema_metadata(
        {**kept, METADATA_KEY: json.dumps(metadata, sort_keys=True)}
    )


def read_table(path: str | Path, required: Sequence[str] = ()) -> pa.Table:
    """Read a Parquet file, and check that it has the columns that are needed.

    Args:
        path: The file.
        required: Names of the columns that must be there.

    Returns:
        The whole table.

    Raises:
        DataError: The file is missing, cannot be read as Parquet, or lacks a column.
    """
    path = Path(path)
    if not path.is_file():
        msg = f"{path}: no such file. Check the path, or run the workflow to make it."
        raise DataError(msg)
    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        msg = (
            f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]}). "
            "The file is truncated or of another format: delete it and make it again."
        )
        raise DataError(msg) from error
    check_columns(path, table.column_names, required)
    return table


def read_frame(path: str | Path, required: Sequence[str] = ()) -> pd.DataFrame:
    """Read a Parquet file as a data frame; arguments and errors are those of :func:`read_table`."""
    frame: pd.DataFrame = read_table(path, required).to_pandas()
    return frame


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Return what a Parquet file of truthtag records about its origin; empty for a foreign file."""
    stored = (pq.read_schema(path).metadata or {}).get(METADATA_KEY)
    return dict(json.loads(stored)) if stored else {}


def check_columns(path: str | Path, present: Sequence[str], required: Sequence[str]) -> None:
    """Refuse a table that lacks a column, naming the nearest column that is there."""
    for name in required:
        if name not in present:
            near = difflib.get_close_matches(name, present, n=1)
            hint = f" Is it called {near[0]!r} here? Rename it." if near else ""
            msg = f"{path}: column {name!r} is missing; the file has {', '.join(present) or 'no columns'}.{hint}"
            raise DataError(msg)


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>truthtag tables</title><style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 1.5rem; color: #111; background: #fff; }}
div {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }}
th {{ border-bottom: 2px solid #555; }}
tr:hover {{ background: #f2f2f2; }}
</style></head><body>
{body}
</body></html>
"""


def render_page(tables: Mapping[str, pd.DataFrame]) -> str:
    """Return an HTML page of tables under their titles, numbers to five significant digits."""
    body = "\n".join(
        f"<h2>{title}</h2>\n<div>{table.to_html(index=False, border=0, float_format='{:.5g}'.format, na_rep='–')}</div>"
        for title, table in tables.items()
    )
    return PAGE.format(body=body)


def rows_by(frame: pd.DataFrame, column: str) -> dict[str, pd.DataFrame]:
    """Split a table by the names in a column, in the order of their first appearance."""
    return {str(name): rows for name, rows in frame.groupby(column, sort=False)}
