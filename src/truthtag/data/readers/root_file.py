"""Events in a ROOT file, of a TTree or an RNTuple alike, read with uproot."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from truthtag.data.readers.column import Column
from truthtag.data.readers.options import ReaderOptions
from truthtag.data.readers.source import Block, Source, is_remote, require_file
from truthtag.errors import ConfigError, DataError, TruthtagError
from truthtag.registry import did_you_mean

__all__ = ["RootFile", "open_root"]

_MAGIC = b"root"
_TREE = re.compile(r"^TTree$|^TNtuple|RNTuple$")
"""Classes of what has a row per event."""

_LARGE_FILE = 1_000_000
"""Versions from which on a ROOT file holds its length in 8 bytes."""


@contextmanager
def open_root(path: str | Path, options: ReaderOptions) -> Iterator[RootFile]:
    """Open a ROOT file.

    Args:
        path: A local file, or an address that uproot can read.
        options: Which tree is wanted.

    Yields:
        The tree with a row per event.

    Raises:
        DataError: The file is missing, truncated, damaged or no ROOT file, or has no such tree.
        ConfigError: uproot or awkward is not installed.
    """
    uproot = _uproot()
    shown = str(path)
    if is_remote(path):
        place: Any = {path: None}
    else:
        # As a path, so that a colon in it is not taken for the name of a tree.
        place = require_file(path)
        _require_whole(place)
    with _damage_named(shown, "cannot be opened"):
        file = uproot.open(place)
    with file:
        with _damage_named(shown, "cannot be opened"):
            tree = _tree(file, options, shown)
            source = RootFile(shown, tree)
        yield source


class RootFile(Source):
    """A tree of a ROOT file.

    Args:
        shown: What the error messages call the file.
        tree: A TTree or an RNTuple of uproot.
    """

    def __init__(self, shown: str, tree: Any) -> None:
        super().__init__(shown, tree.keys())
        self.tree = tree

    def blocks(self, keys: Sequence[str], step: int) -> Iterator[Block]:
        """Go through the events; arguments and errors are those of :class:`Source`."""
        branches = {key: self.tree[key] for key in keys}
        arrays = self._arrays(branches, step)
        first_entry = 0
        while True:
            with _damage_named(self.shown, "cannot be read"):
                some = next(arrays, None)
            if some is None:
                return
            columns = {key: _column(some[key], key, self.shown, first_entry) for key in keys}
            yield Block(first_entry, columns)
            first_entry += len(next(iter(some.values())))

    def _arrays(self, branches: Mapping[str, Any], step: int) -> Iterator[dict[str, Any]]:
        """Read arrays of awkward by key, some events at a time."""
        if not self.tree.num_entries:
            yield {key: branch.array() for key, branch in branches.items()}
        elif hasattr(self.tree, "cluster_summaries"):
            yield from self._arrays_of_ntuple(branches, step)
        else:
            yield from self._arrays_of_tree(branches, step)

    def _arrays_of_tree(self, branches: Mapping[str, Any], step: int) -> Iterator[dict[str, Any]]:
        wanted = {branch.cache_key for branch in branches.values()}
        names = {branch.name: key for key, branch in branches.items()}
        if len(names) < len(branches):
            # Branches of one name in two folders, which uproot would give as one.
            for first in range(0, self.tree.num_entries, step):
                span = {"entry_start": first, "entry_stop": first + step}
                yield {key: branch.array(**span) for key, branch in branches.items()}
            return
        # By the branches themselves: names would be taken for expressions or patterns.
        arrays = self.tree.iterate(
            filter_branch=lambda branch: branch.cache_key in wanted, step_size=step, how=dict
        )
        for some in arrays:
            yield {names[name]: array for name, array in some.items()}

    def _arrays_of_ntuple(self, fields: Mapping[str, Any], step: int) -> Iterator[dict[str, Any]]:
        # Each reading starts at the begin of a cluster, so whole clusters are read at a time.
        for first, last in _spans_of_clusters(self.tree.cluster_summaries, step):
            span = {"entry_start": first, "entry_stop": last, "array_cache": None}
            arrays = {key: field.array(**span) for key, field in fields.items()}
            for begin in range(0, last - first, step):
                yield {key: array[begin : begin + step] for key, array in arrays.items()}


def _spans_of_clusters(clusters: Sequence[Any], step: int) -> Iterator[tuple[int, int]]:
    """Put clusters together, so that each span has at least ``step`` events but the last."""
    first = 0
    last = 0
    for cluster in clusters:
        last = int(cluster.num_first_entry + cluster.num_entries)
        if last - first >= step:
            yield first, last
            first = last
    if last > first:
        yield first, last


def _uproot() -> Any:
    """Import uproot, which not everyone has."""
    try:
        import awkward  # noqa: F401 - uproot asks for it later, in words of its own
        import uproot
    except ImportError as error:
        msg = (
            f"ROOT files are read with uproot and awkward, and {error.name or 'one'} is not "
            "installed: pip install truthtag[readers]"
        )
        raise ConfigError(msg) from error
    return uproot


def _require_whole(path: Path) -> None:
    """Refuse a file that is no ROOT file, or shorter than it says itself.

    Baskets lie before what is lost at the end, so uproot would often read on without a word.
    """
    with path.open("rb") as file:
        header = file.read(20)
    if len(header) < 20 or header[:4] != _MAGIC:
        what = "is empty" if not header else "is no ROOT file"
        msg = f"{path}: {what}. Check the path, and the option 'format'."
        raise DataError(msg)
    (version,) = struct.unpack(">i", header[4:8])
    is_large = version >= _LARGE_FILE
    (end,) = struct.unpack(">q", header[12:20]) if is_large else struct.unpack(">i", header[12:16])
    size = path.stat().st_size
    if end > size:
        msg = (
            f"{path}: is truncated: {size} of its {end} bytes are there ({size / end:.0%}). Copy "
            "or make it again."
        )
        raise DataError(msg)


def _tree(file: Any, options: ReaderOptions, shown: str) -> Any:
    """Return the tree with a row per event."""
    classes = file.classnames(cycle=False)
    trees = [name for name, kind in classes.items() if _TREE.search(kind)]
    listed = ", ".join(trees) or "none"
    if options.tree is not None:
        if options.tree not in trees:
            msg = (
                f"{shown}: there is no tree {options.tree!r}; there are {listed}. State one of "
                f"them as 'tree'{did_you_mean(options.tree, trees)}"
            )
            raise DataError(msg)
        return file[options.tree]
    usual = options.layout.trees
    for name in usual:
        if name in trees:
            return file[name]
    if not usual and len(trees) == 1:
        return file[trees[0]]
    if usual:
        wanted = f"no tree {' or '.join(usual)}, as {options.format} has it"
    else:
        wanted = "not one tree alone"
    msg = (
        f"{shown}: there is {wanted}; there are {listed}. State the one with a row per event as "
        "'tree'."
    )
    raise DataError(msg)


def _column(array: Any, key: str, shown: str, first_entry: int) -> Column:
    """Make a column of an array of awkward."""
    import awkward

    layout = awkward.to_layout(array)
    if layout.is_numpy and layout.data.ndim == 1:
        return Column(np.asarray(layout.data))
    if layout.is_list and not layout.is_regular and layout.parameter("__array__") is None:
        lists = layout.to_ListOffsetArray64(True)
        offsets = np.asarray(lists.offsets.data)
        content = lists.content[: offsets[-1]]
        if content.is_numpy and content.data.ndim == 1 and content.parameter("__array__") is None:
            return Column(np.asarray(content.data), offsets)
    msg = (
        f"{shown}: branch {key!r} holds {array.type.content}; a number per event, or a list of "
        f"numbers, is wanted (from entry {first_entry} on). State another branch."
    )
    raise DataError(msg)


@contextmanager
def _damage_named(shown: str, what: str) -> Iterator[None]:
    """Turn whatever uproot raises into an error that names the file."""
    try:
        yield
    except (TruthtagError, MemoryError):
        raise
    except ImportError as error:
        msg = f"{shown}: {what}: {str(error).strip().splitlines()[0]}"
        raise ConfigError(msg) from error
    except Exception as error:
        # Damaged bytes can cause an error of any kind.
        lines = str(error).strip().splitlines() or [""]
        remedy = (
            "Check the address and the network"
            if is_remote(shown)
            else "The file is damaged, or holds what uproot cannot read: copy or make it again, or "
            "state other branches"
        )
        msg = f"{shown}: {what} ({type(error).__name__}: {lines[0]}). {remedy}."
        raise DataError(msg) from error
