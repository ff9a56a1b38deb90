"""Tables that figures are made from and drawn from, read with errors that name the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from truthtag.data.files import check_columns, read_frame, require_undamaged
from truthtag.errors import DataError

__all__ = ["read_numbers", "read_rows"]


def read_rows(paths: str | Path | Sequence[str | Path]) -> pd.DataFrame:
    """Read a table, CSV or Parquet by its suffix; several files are joined row by row.

    Raises:
        DataError: A file cannot be read as a table.
    """
    listed = [paths] if isinstance(paths, (str, Path)) else list(paths)
    parts = []
    for path in listed:
        is_parquet = Path(path).suffix == ".parquet"
        parts.append(read_frame(path) if is_parquet else _read_csv(path))
    return parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)


def read_numbers(path: str | Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read the numbers of a figure to draw it.

    Args:
        path: The file.
        columns: Columns that the drawing needs.

    Raises:
        DataError: The file cannot be read, or lacks a column.
    """
    numbers = read_rows(path)
    check_columns(path, list(numbers.columns), columns)
    return numbers


def _read_csv(path: str | Path) -> pd.DataFrame:
    require_undamaged(path)
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        msg = f"{path}: cannot be read as a table ({reason}). Delete it and make it again."
        raise DataError(msg) from error
    # Numbers of seeds are whole, and missing for what is no ensemble.
    return frame.astype({"seeds": "Int64"}) if "seeds" in frame else frame
