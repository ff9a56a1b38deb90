"""``truthtag inspect``: what a file or folder of truthtag is. Nothing in it is executed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from truthtag.cli.output import Report
from truthtag.errors import DataError, TruthtagError

__all__ = ["describe", "inspect"]

KNOWN = (
    "truthtag inspect knows what truthtag writes: Parquet tables and folders of them, networks "
    "(.pt), folders of estimators, ONNX models, correctionlib files, friend trees"
)

MAGIC_BYTES = 8

EXPORTS = (".onnx", ".json", ".gz", ".root", ".pt")
"""Suffixes of files that a folder may hold beside tables."""


def inspect(path: str | Path) -> Iterator[str]:
    """Go through the lines that say what a file or folder is.

    Args:
        path: The file or folder.

    Raises:
        DataError: It is missing, damaged, or nothing of truthtag.
        ConfigError: A package is missing.
    """
    place = Path(path)
    try:
        report = describe(place)
    except TruthtagError:
        raise
    except _ODD as error:
        # Whoever changed a file by hand can have left anything in it.
        reason = (str(error).splitlines() or [""])[0]
        msg = (
            f"{place}: does not hold what truthtag writes ({type(error).__name__}: {reason}). It "
            "was changed by hand, or is of another version: make it again."
        )
        raise DataError(msg) from error
    yield from report.lines(str(path))


_ODD = (
    *(ArithmeticError, AttributeError, LookupError, TypeError, ValueError),
    # Types that Arrow has and NumPy has not, and lists in lists in lists.
    *(NotImplementedError, RecursionError),
)
"""What is raised where metadata or tables hold what nobody expects."""


def describe(path: Path) -> Report:
    """Return what a file or folder is.

    Raises:
        DataError: As in :func:`inspect`.
        ConfigError: As there.
    """
    if path.is_dir():
        return _describe_folder(path)
    if not path.is_file():
        msg = f"{path}: no such file or folder. Check the path."
        raise DataError(msg)
    with path.open("rb") as file:
        begin = file.read(MAGIC_BYTES)
    return _describe_file(path, begin)


def _describe_file(path: Path, begin: bytes) -> Report:
    """Return what a file is, by its first bytes and its suffix."""
    if begin.startswith(b"PAR1") or path.suffix == ".parquet":
        from truthtag.cli.tables import describe_tables

        return describe_tables([path])
    if begin.startswith(b"PK") or path.suffix == ".pt":
        from truthtag.cli.models import describe_network

        return describe_network(path)
    if begin.startswith(b"root"):
        from truthtag.cli.friend_tree import describe_friend

        return describe_friend(path)
    if path.suffix == ".onnx":
        from truthtag.cli.models import describe_onnx

        return describe_onnx(path)
    if path.name.endswith((".json", ".json.gz")):
        from truthtag.cli.corrections import describe_corrections

        return describe_corrections(path)
    what = "is empty" if not begin else "is of no format that is known"
    msg = f"{path}: {what}. {KNOWN}."
    raise DataError(msg)


def _describe_folder(path: Path) -> Report:
    """Return what a folder is: an estimator, a table in several files, results, or exports."""
    if _is_estimator(path):
        from truthtag.cli.models import describe_estimator

        return describe_estimator(path)
    from truthtag.cli.results import describe_results

    results = describe_results(path)
    if results is not None:
        return results
    shards = sorted(path.glob("*.parquet"))
    if shards:
        from truthtag.cli.tables import describe_tables

        return describe_tables(shards)
    facts = _what_is_in(path)
    if facts:
        return Report(f"a folder with {len(facts)} of these; name one to see more", facts)
    msg = f"{path}: the folder holds nothing of truthtag. {KNOWN}."
    raise DataError(msg)


def _is_estimator(path: Path) -> bool:
    from truthtag.estimators.ensemble import MANIFEST, NOMINAL

    return any((path / name).exists() for name in (MANIFEST, NOMINAL, "fold_0"))


def _what_is_in(path: Path) -> dict[str, str]:
    """Return what the files and folders in a folder are, by name; others are left out."""
    facts = {}
    for inner in sorted(path.iterdir()):
        if inner.is_dir() and _is_estimator(inner):
            facts[inner.name] = "an estimator"
        elif inner.is_dir() and any(inner.glob("*.parquet")):
            facts[inner.name] = "tables"
        elif inner.suffix in EXPORTS:
            with suppress(TruthtagError):
                facts[inner.name] = describe(inner).what
    return facts
