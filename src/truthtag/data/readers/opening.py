"""Opening a file of any format."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from truthtag.data.readers.options import ReaderOptions
from truthtag.data.readers.parquet_file import open_events
from truthtag.data.readers.root_file import open_root
from truthtag.data.readers.source import Source

__all__ = ["open_source"]


def open_source(path: str | Path, options: ReaderOptions) -> AbstractContextManager[Source]:
    """Open a file of the format that the options state; it has a row per event, or per jet.

    Args:
        path: A local file, or an address that uproot can read.
        options: Format of the file, and which tree or column is wanted.

    Raises:
        DataError: The file is missing, damaged or of another format.
        ConfigError: A package is missing.
    """
    return open_events(path, options) if options.format == "parquet" else open_root(path, options)
