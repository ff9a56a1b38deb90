"""Reading an estimator only where its kind is known, or trusted: nothing else is imported.

A file names its kind, ``binned`` say. A kind of another package can be written as ``module:Class``,
and to read it is to import that module: whoever writes a file could choose what is run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from truthtag.data.files import read_metadata
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.protocol import KINDS

__all__ = ["is_known", "kinds_in", "load_model", "require_known"]

MAGIC = b"PAR1"


def load_model(path: str | Path, trusted: Sequence[str] = ()) -> Any:
    """Read any efficiency, as :func:`truthtag.load` does.

    Args:
        path: Its file or folder.
        trusted: Kinds, ``module:Class``, that may be imported though nobody announced them.

    Raises:
        DataError: Nothing is there, or it is damaged or foreign.
        ConfigError: Its kind is not known and not trusted, or a package is missing.
    """
    from truthtag.estimators.ensemble import load

    require_known(Path(path), trusted)
    for kind in trusted:
        KINDS.load(kind, "--trust")
    return load(path)


def require_known(path: Path, trusted: Sequence[str] = ()) -> None:
    """Refuse an estimator of a kind that is neither known nor trusted; arguments as above.

    Raises:
        ConfigError: The message names file and kind.
        DataError: A file is damaged.
    """
    for file, kind in kinds_in(path):
        if not is_known(kind) and kind not in trusted:
            msg = (
                f"{file}: is of the kind {kind!r}, which neither truthtag nor an installed package "
                "announces; to read it is to run that module. Where you trust it, say so: "
                f"--trust {kind}"
            )
            raise ConfigError(msg)


def is_known(kind: str) -> bool:
    """Return whether truthtag or an installed package announces a kind."""
    return kind in KINDS.places()


def kinds_in(path: Path) -> Iterator[tuple[Path, str]]:
    """Go through the kinds that the files of an estimator name, with the file that names each.

    Args:
        path: The file or folder of an estimator.

    Raises:
        DataError: A file is damaged.
    """
    from truthtag.estimators.ensemble import MANIFEST

    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    for file in files:
        stored = read_metadata(file).get("estimator") if _is_parquet(file) else None
        kind = stored.get("kind") if isinstance(stored, dict) else None
        if kind is not None:
            yield file, str(kind)
    manifest = (path if path.is_dir() else path.parent) / MANIFEST
    if manifest.is_file():
        yield manifest, _kind_of_manifest(manifest)


def _is_parquet(file: Path) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return opened.read(len(MAGIC)) == MAGIC


def _kind_of_manifest(path: Path) -> str:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return str(content["kind"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        msg = f"{path}: is damaged ({reason}). Delete it and run the workflow again."
        raise DataError(msg) from error
