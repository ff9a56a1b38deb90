"""The files that samples are read from: patterns expanded, and nothing learned from is judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from truthtag.data.folds import file_number
from truthtag.errors import ConfigError

if TYPE_CHECKING:
    from truthtag.workflow.options import Config, Sample

__all__ = ["MAX_FILES", "check_files", "files_of", "is_remote"]

MAX_FILES = 10_000
"""Most files of a sample: the names of shards have four digits, and must sort as their events."""

_PATTERN = set("*?[")


def is_remote(file: str) -> bool:
    """Return whether a file is an address such as ``root://host//path``, not a path."""
    return "://" in file


def _place(file: str) -> str:
    """Return what is the same for all names of a file: `a.root`, `./a.root`, and links to it."""
    return file if is_remote(file) else str(Path(file).resolve())


@cache
def files_of(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the files that paths and patterns mean, those of a pattern sorted.

    Args:
        patterns: Paths, patterns of paths, and addresses, relative to the working folder.

    Raises:
        ConfigError: A pattern or a path means no file, or a file is named twice.
    """
    files: list[str] = []
    for pattern in patterns:
        files += _expanded(pattern)
    counts = Counter(map(_place, files))
    twice = [file for file in files if counts[_place(file)] > 1]
    if twice:
        msg = f"{twice[-1]!r} is named twice; leave it out once"
        raise ConfigError(msg)
    if len(files) > MAX_FILES:
        msg = f"{len(files)} files are more than {MAX_FILES}; make two samples of them"
        raise ConfigError(msg)
    return tuple(files)


def _expanded(pattern: str) -> list[str]:
    if is_remote(pattern):
        return [pattern]
    path = Path(pattern)
    if not _PATTERN & set(pattern):
        found = [pattern] if path.is_file() else []
    else:
        anchor = Path(path.anchor)
        below = path.relative_to(anchor) if path.is_absolute() else path
        found = sorted(str(one) for one in anchor.glob(str(below)) if one.is_file())
    if not found:
        msg = (
            f"{pattern!r} is no file, and means none; paths are those from where the workflow is "
            "started. Correct the path"
        )
        raise ConfigError(msg)
    return found


def check_files(config: Config) -> None:
    """Refuse files that are missing, and events that are in two samples.

    Raises:
        ConfigError: The message names the config path.
    """
    files: dict[str, tuple[str, ...]] = {}
    for name, sample in config.samples.items():
        # A variation has the events of its sample, and nothing is learned from it.
        if sample.reader is None or config.nominal_of(name) != name:
            continue
        try:
            files[name] = files_of(sample.files)
        except ConfigError as error:
            msg = f"samples.{name}.files: {error}"
            raise ConfigError(msg) from error
    faults = [*_shared_events(config, files), *_shared_numbers(files)]
    if faults:
        raise ConfigError("\n".join(faults))


def _shared_events(config: Config, files: dict[str, tuple[str, ...]]) -> Iterator[str]:
    """Two samples may share files only where they take different events of them."""
    for first, second in combinations(files, 2):
        places = set(map(_place, files[first]))
        shared = sorted(file for file in files[second] if _place(file) in places)
        if shared and not _are_apart(config.samples[first], config.samples[second]):
            yield (
                f"samples.{second}.files: {shared[0]!r} is read by samples.{first}, too, and both "
                "may hold the same events; give each a `take` with the same `of` and `by`, and "
                "remainders of its own"
            )


def _are_apart(one: Sample, other: Sample) -> bool:
    if one.take is None or other.take is None:
        return False
    if (one.take.of, one.take.by) != (other.take.of, other.take.by):
        return False
    return not set(one.take.remainders) & set(other.take.remainders)


def _shared_numbers(files: dict[str, tuple[str, ...]]) -> Iterator[str]:
    """The number of a file is part of its events' numbers, which must be unique."""
    owner: dict[int, str] = {}
    for file in sorted({file for listed in files.values() for file in listed}):
        before = owner.setdefault(file_number(file), file)
        if before != file:
            yield (
                f"samples: the files {before!r} and {file!r} would give their events the same "
                "numbers; rename one of them"
            )
