"""A file of the user's, turned into a shard of a sample and a table of its events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from truthtag.data.files import ParquetBlocks, atomic_write
from truthtag.data.jets import Jets, write_jets
from truthtag.data.labels import Labels
from truthtag.data.readers.counts import Counts, total
from truthtag.data.readers.events import ReadChunk
from truthtag.data.readers.options import Input, ReaderOptions, Take
from truthtag.data.readers.reading import read_events

__all__ = ["COUNTS", "convert", "write_shard"]

COUNTS = "counts"
"""Where the metadata of a table of events hold what happened to events and jets."""


def convert(
    path: str | Path,
    options: ReaderOptions,
    labels: Labels,
    working_points: Mapping[str, float],
    inputs: Mapping[str, Input],
    weight: float,
    take: Take | None,
    sample_path: str | Path,
    events_path: str | Path,
    metadata: Mapping[str, Any],
) -> Counts:
    """Read a file and write its jets and its events; some events are in memory at a time.

    Args:
        path: The file.
        options: Where things are in it, and which jets and events count.
        labels: Flavours, working points and categories that the sample knows.
        working_points: Thresholds of the discriminant by name, the loosest first.
        inputs: Further columns by name.
        weight: Factor of the group.
        take: Which share of the events; None for all.
        sample_path: The Parquet file of the jets.
        events_path: The Parquet file of the events.
        metadata: What to record about the origin of both.

    Returns:
        What happened to events and jets; the metadata of the events hold it under ``counts``.

    Raises:
        DataError: As in :func:`~truthtag.data.readers.reading.read_events`, or a file cannot be
            written.
        ConfigError: As there.
    """
    chunks = read_events(path, options, labels, working_points, inputs, weight, take)
    return write_shard(chunks, sample_path, events_path, metadata)


def write_shard(
    chunks: Iterator[ReadChunk],
    sample_path: str | Path,
    events_path: str | Path,
    metadata: Mapping[str, Any],
) -> Counts:
    """Write the jets and the events of a file, a row group for each chunk.

    Arguments and errors are those of :func:`convert`.
    """
    parts: list[Counts] = []
    with (
        atomic_write(events_path) as temporary,
        ParquetBlocks(temporary, metadata, events_path) as events,
    ):

        def blocks() -> Iterator[Jets]:
            for chunk in chunks:
                events.write(chunk.events)
                parts.append(chunk.counts)
                yield chunk.jets

        write_jets(blocks(), sample_path, metadata)
        counts = total(parts)
        events.metadata = {**metadata, COUNTS: counts.to_metadata()}
    return counts
