"""Friend trees: what we say of the events of a file, in a file beside it, entry by entry.

A friend has one entry for each entry of the file that it belongs to, in the same order, also for
events that are not in the sample, and lists as long as those of the jets in that file. So ROOT can
put the two beside each other (``TTree::AddFriend``), and nobody has to write to the file itself.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa

from truthtag.arrays import AnyArray, IntArray
from truthtag.data.files import ParquetBlocks, atomic_write, is_ours, read_metadata
from truthtag.errors import ConfigError, DataError, TruthtagError

__all__ = ["COUNTER", "NO_EFFICIENCY", "TREE", "FriendFile", "is_friend", "require_output"]

TREE = "truthtag"
"""Name of the tree, by which its branches are told from those of the file: ``truthtag.weight``."""

COUNTER = "nJet_truthtag"
"""Branch with the number of jets of each entry, which all lists share."""

NO_EFFICIENCY = -1.0
"""What stands where a jet is not in the sample."""

PROVENANCE = "truthtag_provenance"
"""Name of the text in the ROOT file that says where it comes from."""

CONTENT = {"content": "friend tree"}
"""How the metadata of a Parquet file say what it is."""

LEVEL = 3
"""How hard the ROOT file is compressed, by Zstandard."""

_RECORD = COUNTER[1:]


class FriendFile:
    """A friend of a file, written some entries at a time; for a ``with`` statement.

    Both files appear when the block ends well, each whole or not at all. What the first entries
    have, all must have: the same columns, of the same types.

    Args:
        root_path: The ROOT file to write, with the TTree :data:`TREE`; None for none.
        parquet_path: The Parquet file to write, with a row per entry; None for none.
        inputs: The user's own files, none of which may be written to.
        provenance: What to record about its origin; anything that JSON holds.

    Raises:
        ConfigError: There is no path, one is that of an input or of a file that is no friend of
            ours, or uproot is not installed.
    """

    def __init__(
        self,
        root_path: str | Path | None,
        parquet_path: str | Path | None = None,
        inputs: Sequence[str | Path] = (),
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        self.paths = [Path(path) for path in (root_path, parquet_path) if path is not None]
        if not self.paths:
            msg = "a friend of a file needs a path; give that of a ROOT or of a Parquet file"
            raise ConfigError(msg)
        for path in self.paths:
            require_output(path, inputs)
        self.root_path = None if root_path is None else Path(root_path)
        self.parquet_path = None if parquet_path is None else Path(parquet_path)
        self.provenance = {**(provenance or {}), **CONTENT}
        self.n_entries = 0
        self._stack = ExitStack()
        self._root: _RootBlocks | None = None
        self._parquet: ParquetBlocks | None = None
        self._types: dict[str, np.dtype[Any]] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            if self.root_path is not None:
                temporary = stack.enter_context(atomic_write(self.root_path))
                blocks = _RootBlocks(temporary, self.root_path, self.provenance)
                self._root = stack.enter_context(blocks)
            if self.parquet_path is not None:
                temporary = stack.enter_context(atomic_write(self.parquet_path))
                rows = ParquetBlocks(temporary, self.provenance, self.parquet_path)
                self._parquet = stack.enter_context(rows)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None and self._types is None:
            with self._stack:
                msg = f"{self.paths[0]}: nothing was written, not even columns without entries"
                raise DataError(msg)
        self._stack.__exit__(kind, error, trace)

    def write(
        self, n_jets: IntArray, of_events: Mapping[str, AnyArray], of_jets: Mapping[str, AnyArray]
    ) -> None:
        """Add entries.

        Args:
            n_jets: Number of jets of each entry in the file, shape (n_entries,).
            of_events: Columns by name, each of shape (n_entries,).
            of_jets: Columns by name, each of shape (n_jets.sum(),): the jets of an entry one after
                the other, in the order of the file.

        Raises:
            DataError: A length is wrong, a name stands twice or is no name of a branch, or the
                columns are others than those of the first entries.
        """
        self._check(n_jets, of_events, of_jets)
        if self._root is not None:
            self._root.write(n_jets, of_events, of_jets)
        if self._parquet is not None:
            self._parquet.write(_table(n_jets, of_events, of_jets))
        self.n_entries += len(n_jets)

    def require_entries(self, count: int, source: str | Path) -> None:
        """Refuse a friend that does not have as many entries as its file.

        Args:
            count: Number of entries of the file.
            source: The file.

        Raises:
            DataError: The numbers differ.
        """
        if self.n_entries != count:
            msg = (
                f"{self.paths[0]}: would have {self.n_entries} entries, and {source} has {count}: "
                "the two could not be put side by side. Read the file again."
            )
            raise DataError(msg)

    def _check(
        self, n_jets: IntArray, of_events: Mapping[str, AnyArray], of_jets: Mapping[str, AnyArray]
    ) -> None:
        wanted = {name: len(n_jets) for name in of_events}
        wanted |= {name: int(n_jets.sum()) for name in of_jets}
        given = {**of_events, **of_jets}
        for name, size in wanted.items():
            if len(given[name]) != size:
                msg = (
                    f"{self.paths[0]}: column {name!r} has {len(given[name])} values for "
                    f"{len(n_jets)} entries with {int(n_jets.sum())} jets; {size} are wanted"
                )
                raise DataError(msg)
        types = {name: np.asarray(values).dtype for name, values in given.items()}
        if self._types is None:
            _check_names([*of_events, *of_jets, COUNTER], self.paths[0])
            self._types = types
        elif types != self._types:
            msg = (
                f"{self.paths[0]}: entries from {self.n_entries} on have the columns "
                f"{_listed(types)}, and the first had {_listed(self._types)}; all need the same"
            )
            raise DataError(msg)


class _RootBlocks:
    """A ROOT file with one TTree, written block by block.

    Args:
        path: The file to write, a temporary one.
        target: Where it belongs.
        provenance: What to record about its origin.
    """

    def __init__(self, path: Path, target: Path, provenance: Mapping[str, Any]) -> None:
        self.path = path
        self.target = target
        self.provenance = json.dumps(provenance, sort_keys=True)
        self._stack = ExitStack()
        self._file: Any = None
        self._tree: Any = None

    def __enter__(self) -> Self:
        uproot = _uproot()
        # A digest of what it holds, in place of numbers of the machine and the moment.
        identity = uuid.uuid5(uuid.NAMESPACE_OID, f"{self.target.name} {self.provenance}")
        with ExitStack() as stack:
            # As an open file: a path would stand in the file, and this one is a temporary one.
            stream = stack.enter_context(self.path.open("w+b"))
            file = uproot.recreate(
                stream, compression=uproot.ZSTD(LEVEL), uuid_function=lambda: identity
            )
            self._file = stack.enter_context(file)
            self._file[PROVENANCE] = self.provenance
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def write(
        self, n_jets: IntArray, of_events: Mapping[str, AnyArray], of_jets: Mapping[str, AnyArray]
    ) -> None:
        """Add entries; arguments are those of :meth:`FriendFile.write`."""
        if self._tree is None:
            self._tree = self._make_tree(of_events, of_jets)
        if not len(n_jets):
            return
        import awkward

        block: dict[str, Any] = dict(of_events)
        if of_jets:
            block[_RECORD] = awkward.unflatten(awkward.zip(dict(of_jets)), n_jets)
        self._tree.extend(block)

    def _make_tree(self, of_events: Mapping[str, AnyArray], of_jets: Mapping[str, AnyArray]) -> Any:
        types = {name: str(values.dtype) for name, values in of_events.items()}
        if of_jets:
            fields = ", ".join(f"{name}: {values.dtype}" for name, values in of_jets.items())
            types[_RECORD] = f"var * {{{fields}}}"
        # An assignment would write an RNTuple, which cannot be a friend of a TTree. The lists are a
        # record, so that one counter serves all of them.
        return self._file.mktree(
            TREE,
            types,
            title="efficiencies of jets and weights of events, by truthtag",
            counter_name=lambda record: f"n{record}",
            field_name=lambda record, field: field or record,
        )


def require_output(path: str | Path, inputs: Sequence[str | Path]) -> None:
    """Refuse to write where the user has something of their own.

    Args:
        path: The file to write.
        inputs: The user's own files and folders.

    Raises:
        ConfigError: The path is that of an input, by whatever name, or in a folder that is one; or
            there is a file already that is no friend that truthtag wrote.
    """
    path = Path(path)
    for given in inputs:
        if "://" not in str(given) and _is_same(path, Path(given)):
            msg = (
                f"{path}: is an input ({given}), which is never written to. Name another file for "
                "the output."
            )
            raise ConfigError(msg)
    if os.path.lexists(path) and not is_friend(path):
        msg = (
            f"{path}: is there already, and is no friend tree that truthtag wrote, so it is not "
            "replaced. Name another file, or remove it."
        )
        raise ConfigError(msg)


def _is_same(path: Path, given: Path) -> bool:
    """Return whether two paths lead to one file, through links, too, or one into the other."""
    if path.resolve() == given.resolve():
        return True
    if given.is_dir():
        return path.resolve().parent == given.resolve()
    return path.exists() and given.exists() and path.samefile(given)


def is_friend(path: str | Path) -> bool:
    """Return whether a file is a friend tree that truthtag wrote, of either format."""
    path = Path(path)
    if not path.is_file():
        return False
    if is_ours(path):
        with suppress(DataError):
            return read_metadata(path).get("content") == CONTENT["content"]
        return False
    with path.open("rb") as file:
        if file.read(4) != b"root":
            return False
    uproot = _uproot()
    try:
        with uproot.open({path: None}) as file:
            return {PROVENANCE, TREE} <= set(file.keys(cycle=False))
    except (TruthtagError, MemoryError):
        raise
    except Exception:  # noqa: BLE001 - damaged bytes can cause an error of any kind
        return False


def _uproot() -> Any:
    """Import uproot, which not everyone has."""
    try:
        import awkward  # noqa: F401 - uproot asks for it later, in words of its own
        import uproot
    except ImportError as error:
        msg = (
            f"ROOT files are written with uproot and awkward, and {error.name or 'one'} is not "
            "installed: pip install truthtag[readers]"
        )
        raise ConfigError(msg) from error
    return uproot


def _check_names(names: Sequence[str], path: Path) -> None:
    """Refuse names that cannot be those of branches, or stand twice."""
    for position, name in enumerate(names):
        if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
            msg = (
                f"{path}: {name!r} cannot be the name of a branch: letters, digits and _ are "
                "allowed. Rename the estimator or the working point."
            )
            raise DataError(msg)
        if name in names[:position]:
            msg = f"{path}: two columns would be called {name!r}. Rename an estimator."
            raise DataError(msg)


def _listed(types: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in types.items()) or "none"


def _table(
    n_jets: IntArray, of_events: Mapping[str, AnyArray], of_jets: Mapping[str, AnyArray]
) -> pa.Table:
    """Return entries as a table with a row for each, columns of the jets as lists."""
    columns = {name: pa.array(values) for name, values in of_events.items()}
    offsets = pa.array(np.r_[0, np.cumsum(n_jets)].astype(np.int32))
    for name, values in of_jets.items():
        columns[name] = pa.ListArray.from_arrays(offsets, pa.array(values))
    return pa.table(columns)
