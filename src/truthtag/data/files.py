"""Files that appear whole or not at all, and tables that say what is wrong with them."""

from __future__ import annotations

import difflib
import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import pyarrow as pa
import pyarrow.parquet as pq

from truthtag.errors import DataError

if TYPE_CHECKING:
    # Imported where tables are read: whoever reads only the config does not wait for it.
    import pandas as pd

__all__ = [
    "METADATA_KEY",
    "NAME_COLUMNS",
    "ParquetBlocks",
    "atomic_write",
    "check_columns",
    "is_ours",
    "open_parquet",
    "read_csv",
    "read_frame",
    "read_frames",
    "read_metadata",
    "read_table",
    "require_undamaged",
    "rows_by",
    "write_frame",
    "write_table",
]

METADATA_KEY = b"truthtag"
"""Where the schema of a Parquet file holds what we record about its origin, as JSON."""

STEP_BYTES = 1 << 18
"""How much of a column is read at a time, where rows are wanted some at a time."""

NAME_COLUMNS = (
    "efficiency",
    "sample",
    "flavour",
    "distribution",
    "panel",
    "events",
    "filled_by",
    "network",
    "spread",
    "variable",
    "verdict",
    "working_point",
)
"""Columns of our CSV tables that hold names: "007" and "NA" are names, too."""


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside the final one, renamed to it when the block ends well.

    Args:
        path: Where the finished file belongs; its folder is made.

    Yields:
        The temporary path to write to, of a hidden name. It is removed when the block raises.

    Raises:
        DataError: The file cannot be written: the disk is full, say, or the path is a folder.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if not _is_about_writing(error, path, temporary):
            raise
        full = error.errno in _DISK_IS_FULL
        remedy = "Free some space" if full else "Check the folder and its permissions"
        reason = os.strerror(error.errno) if error.errno else str(error)
        msg = f"{path}: cannot be written ({reason}). {remedy}, and run again."
        raise DataError(msg) from error
    finally:
        # Without room on the disk or rights in the folder there is nothing to remove either.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _is_about_writing(error: OSError, path: Path, temporary: Path) -> bool:
    """Return whether an error concerns the file that is written, not one that is read meanwhile."""
    own = {str(path), str(temporary), str(path.parent)}
    # Arrow names the file only in the text.
    named = str(temporary) in str(error)
    return error.errno in _DISK_IS_FULL or str(error.filename) in own or named


# A Parquet file ends with its footer (schema, metadata, where the columns are), the footer's
# length, and "PAR1". Pages carry checksums by the format; the footer does not. So that damage is
# noticed there, too, we put a seal right before it: nothing points there, and readers skip it.
_SEAL = b"truthtag"
_MAGIC = b"PAR1"
_DIGEST_BYTES = hashlib.sha256().digest_size


class ParquetBlocks:
    """A Parquet file that is written block by block, with checksums; for a ``with`` statement.

    Args:
        path: The file to write.
        metadata: What to record about its origin; anything that JSON holds. It can be set anew
            until the end: to what is known only then, say.
        shown: What the error messages call the file, where the path is a temporary one.
    """

    def __init__(
        self,
        path: str | Path,
        metadata: Mapping[str, Any] | None = None,
        shown: str | Path | None = None,
    ) -> None:
        self.path = Path(path)
        self.shown = shown or path
        self.metadata = metadata or {}
        self._writer: pq.ParquetWriter | None = None
        self._written: Mapping[str, Any] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been written."""
        return self._writer is None

    def write(self, table: pa.Table) -> None:
        """Add a table, which makes a row group.

        Raises:
            DataError: It has other columns than the first one.
        """
        table = _with_metadata(table, self.metadata)
        if self._writer is not None and not table.schema.equals(self._writer.schema):
            msg = (
                f"{self.shown}: a block has the columns {', '.join(table.column_names)}, the first "
                f"one {', '.join(self._writer.schema.names)}. All blocks of a file need the same."
            )
            raise DataError(msg)
        if self._writer is None:
            self._written = self.metadata
            texts = [one.name for one in table.schema if not pa.types.is_primitive(one.type)]
            self._writer = pq.ParquetWriter(
                self.path,
                table.schema,
                compression="zstd",
                write_page_checksum=True,
                # Numbers seldom repeat: a dictionary of them makes files larger and writing slow.
                use_dictionary=texts or False,
            )
        self._writer.write_table(table)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is None:
            return
        if error is None and self.metadata != self._written:
            self._writer.add_key_value_metadata(_metadata_entry(self.metadata))
        self._writer.close()
        if error is None:
            _seal(self.path)


def _seal(path: Path) -> None:
    """Put the digest of the footer before the footer."""
    with path.open("r+b") as file:
        footer = _footer(file)
        file.seek(-len(footer), os.SEEK_END)
        file.write(_SEAL + hashlib.sha256(footer).digest() + footer)


def _footer(file: BinaryIO) -> bytes:
    """Return the footer with its length and magic bytes; empty where there is none."""
    size = file.seek(0, os.SEEK_END)
    if size < 12:
        return b""
    file.seek(-8, os.SEEK_END)
    ending = file.read(8)
    length = int.from_bytes(ending[:4], "little") + 8
    if ending[4:] != _MAGIC or length > size:
        return b""
    file.seek(-length, os.SEEK_END)
    return file.read(length)


def _stored_seal(file: BinaryIO, footer: bytes) -> bytes | None:
    """Return the digest that stands before the footer; None where the file has no seal."""
    size = file.seek(0, os.SEEK_END)
    length = len(_SEAL) + _DIGEST_BYTES
    if not footer or size < len(footer) + length:
        return None
    file.seek(-len(footer) - length, os.SEEK_END)
    seal = file.read(length)
    return seal[len(_SEAL) :] if seal.startswith(_SEAL) else None


def is_ours(path: str | Path) -> bool:
    """Return whether truthtag wrote this Parquet file; a copy made by another program is not ours.

    Args:
        path: The file; what is missing, no file, or no Parquet is not ours either.
    """
    path = Path(path)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _stored_seal(file, _footer(file)) is not None


def write_table(
    table: pa.Table, path: str | Path, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write an Arrow table as Parquet, with JSON metadata under the key ``truthtag``.

    Args:
        table: The table.
        path: The file to write.
        metadata: What to record about its origin; anything that JSON holds.

    Raises:
        DataError: The file cannot be written.
    """
    with atomic_write(path) as temporary, ParquetBlocks(temporary, metadata, path) as file:
        file.write(table)


def write_frame(
    frame: pd.DataFrame, path: str | Path, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a data frame as Parquet or CSV, by the suffix of the path.

    Args:
        frame: The table, its index ignored.
        path: The file to write, ending in ``.parquet`` or ``.csv``.
        metadata: What to record about its origin (Parquet only).

    Raises:
        DataError: The file cannot be written.
    """
    if Path(path).suffix == ".csv":
        _write_csv(frame, Path(path))
        return
    write_table(pa.Table.from_pandas(frame, preserve_index=False), path, metadata)


def _write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV, and beside it a hidden file with the digest of its bytes."""
    beside = _digest_beside(path)
    with atomic_write(path) as temporary:
        frame.to_csv(temporary, index=False)
        digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
        # A run that is killed now leaves a table without digest, and none with that of another.
        beside.unlink(missing_ok=True)
    with atomic_write(beside) as temporary:
        temporary.write_text(f"{digest}  {path.name}\n")


def _digest_beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.sha256")


def require_undamaged(path: str | Path) -> None:
    """Refuse a CSV table that is not the one that :func:`write_frame` wrote there.

    Args:
        path: The file; one that has no digest beside it, as those of others, passes.

    Raises:
        DataError: The digest beside it is another.
    """
    path = Path(path)
    beside = _digest_beside(path)
    if not path.is_file() or not beside.is_file():
        return
    written = beside.read_bytes().split()[:1]
    if written != [hashlib.sha256(path.read_bytes()).hexdigest().encode()]:
        msg = (
            f"{path}: is damaged, or was changed since it was written (its SHA-256 is not that in "
            f"{beside.name}): delete it and make it again. Where you changed it on purpose, delete "
            f"{beside.name}."
        )
        raise DataError(msg)


def _with_metadata(table: pa.Table, metadata: Mapping[str, Any]) -> pa.Table:
    """Attach metadata to a table's schema, as JSON under the key ``truthtag``."""
    kept = table.schema.metadata or {}
    return table.replace_schema_metadata({**kept, **_metadata_entry(metadata)})


def _metadata_entry(metadata: Mapping[str, Any]) -> dict[bytes, str]:
    return {METADATA_KEY: json.dumps(metadata, sort_keys=True)}


@contextmanager
def open_parquet(path: str | Path, *, in_steps: bool = False) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file, its seal and page checksums verified, all damage as a DataError.

    Args:
        path: The file.
        in_steps: Whether a column is read as its rows are asked for; by default that of a whole row
            group is read at once, which can be a million rows.
    """
    path = Path(path)
    if path.is_dir():
        msg = f"{path}: is a folder, a file is wanted. Name one of the files in it."
        raise DataError(msg)
    if not path.is_file():
        msg = f"{path}: no such file. Check the path, or run the workflow to make it."
        raise DataError(msg)
    try:
        _verify_seal(path)
        with pq.ParquetFile(
            path,
            buffer_size=STEP_BYTES if in_steps else 0,
            pre_buffer=not in_steps,
            page_checksum_verification=True,
        ) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        msg = (
            f"{path}: cannot be read as Parquet ({reason}). The file is truncated or of another "
            "format, or bits of it changed: delete it and make it again."
        )
        raise DataError(msg) from error


def _verify_seal(path: Path) -> None:
    """Refuse a file of ours whose footer is not the one that was written."""
    with path.open("rb") as file:
        footer = _footer(file)
        sealed = _stored_seal(file, footer)
    if sealed is not None and sealed != hashlib.sha256(footer).digest():
        msg = (
            f"{path}: is damaged (its footer differs from what was written): "
            "delete it and make it again"
        )
        raise DataError(msg)


def read_table(
    path: str | Path, required: Sequence[str] = (), only: Sequence[str] | None = None
) -> pa.Table:
    """Read a Parquet file, and check that it has the columns that are needed.

    Args:
        path: The file.
        required: Names of the columns that must be there.
        only: Names of the columns to read where they are there; all columns by default.

    Returns:
        The table, all rows.

    Raises:
        DataError: The file is missing, damaged or no Parquet, lacks a column, or has one twice.
    """
    with open_parquet(path) as file:
        names = file.schema_arrow.names
        check_columns(path, names, required)
        wanted = None if only is None else [name for name in names if name in only]
        return file.read(columns=wanted)


def read_frame(path: str | Path, required: Sequence[str] = ()) -> pd.DataFrame:
    """Read a Parquet file as a data frame; arguments and errors are those of :func:`read_table`."""
    table = read_table(path, required)
    try:
        frame: pd.DataFrame = table.to_pandas()
    except Exception as error:
        # What the metadata say of types is read as JSON, and then taken at its word.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        msg = (
            f"{path}: what it says of the types of its columns cannot be understood ({reason}). "
            "The file is damaged: delete it and make it again."
        )
        raise DataError(msg) from error
    return frame


def read_frames(paths: str | Path | Sequence[str | Path]) -> pd.DataFrame:
    """Read the Parquet files of one table, whose rows follow each other.

    Raises:
        DataError: As in :func:`read_table`.
    """
    import pandas as pd

    listed = [paths] if isinstance(paths, str | Path) else list(paths)
    return pd.concat(map(read_frame, listed), ignore_index=True)


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Return what a Parquet file of truthtag records about its origin; empty for a foreign file.

    Raises:
        DataError: The file is missing, damaged or no Parquet.
    """
    with open_parquet(path) as file:
        stored = (file.metadata.metadata or {}).get(METADATA_KEY)
    if not stored:
        return {}
    try:
        metadata = json.loads(stored)
    except ValueError as error:
        msg = f"{path}: its metadata is no JSON ({error}): the file is damaged; make it again"
        raise DataError(msg) from error
    if not isinstance(metadata, dict):
        msg = f"{path}: its metadata is no set of names and values; make the file again"
        raise DataError(msg)
    return metadata


def read_csv(path: str | Path, dtype: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Read a CSV table that :func:`write_frame` wrote; the columns of names stay text.

    Args:
        path: The file.
        dtype: Types of further columns, as pandas calls them.

    Returns:
        The table; an efficiency called "007", "NA" or "true" keeps its name, and only an empty
        cell of such a column is missing. In the other columns NA and nan are missing numbers.

    Raises:
        DataError: The file is missing, damaged, or no table.
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        msg = f"{path}: no such file. Check the path, or run the workflow to make it."
        raise DataError(msg)
    require_undamaged(path)
    try:
        header = pd.read_csv(path, nrows=0).columns
        types = {name: str for name in NAME_COLUMNS if name in header} | dict(dtype or {})
        missing = {n: [""] if types.get(n) is str else _MISSING_NUMBERS for n in header}
        frame: pd.DataFrame = pd.read_csv(
            path, dtype=types, na_values=missing, keep_default_na=False
        )
    except (ValueError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        msg = (
            f"{path}: cannot be read as a table ({reason}). The file is truncated or of another "
            "format, or bits of it changed: delete it and make it again."
        )
        raise DataError(msg) from error
    return frame


_MISSING_NUMBERS = ["", "NA", "N/A", "<NA>", "NaN", "nan", "null", "None"]


def check_columns(path: str | Path, present: Sequence[str], required: Sequence[str]) -> None:
    """Refuse a table that lacks a column, naming the nearest one there is, or has one twice."""
    twice = sorted({name for name in present if present.count(name) > 1})
    if twice:
        msg = f"{path}: column {twice[0]!r} stands there twice. Drop one of the two."
        raise DataError(msg)
    for name in required:
        if name not in present:
            near = difflib.get_close_matches(name, present, n=1)
            hint = f" Is it called {near[0]!r} here? Rename it." if near else ""
            listed = ", ".join(present) or "no columns"
            msg = f"{path}: column {name!r} is missing; the file has {listed}.{hint}"
            raise DataError(msg)


def rows_by(frame: pd.DataFrame, column: str) -> dict[str, pd.DataFrame]:
    """Split a table by the names in a column, in the order of their first appearance."""
    return {str(name): rows for name, rows in frame.groupby(column, sort=False)}
