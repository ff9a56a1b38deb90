"""Where a result comes from: digests of settings and of code, and versions of software."""

from __future__ import annotations

import ast
import hashlib
import json
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from truthtag.errors import ConfigError

__all__ = ["SUPPORT", "code_digest", "digest", "modules_used", "versions"]

PACKAGE = "truthtag"

SUPPORT = (
    "truthtag.errors",
    "truthtag.figures.catalogue",
    "truthtag.progress",
    "truthtag.registry",
    "truthtag.workflow.digests",
    "truthtag.workflow.layout",
    "truthtag.workflow.logs",
    "truthtag.workflow.options",
)
"""Modules that cannot change a number: they check, name, log and place what others compute.

What they choose, an estimator's class say, is named to :func:`code_digest` by its module."""

LOGGERS = ("log", "logger")
LEVELS = ("debug", "info", "warning", "error", "exception", "critical", "log")
IGNORED_FIELDS = ("ctx", "kind", "type_comment")
"""Fields of the syntax tree that say nothing about what the code does."""

FRESH = 100_000_000
"""A file that changed less than this ago may change again without a new time [ns]."""


def digest(settings: object) -> str:
    """Return a short digest of settings, anything that JSON holds.

    Example:
        >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def versions(packages: Sequence[str] = (PACKAGE, "numpy", "pyarrow")) -> dict[str, Any]:
    """Return the versions of Python and of the packages named, those that are installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def code_digest(script: str | Path, library: str | Path, *modules: str) -> str:
    """Return a digest of a script and of every library module that it uses.

    What cannot change a result does not count: comments, docstrings, layout, texts of errors,
    lines for the log, ``__all__``, entries of registries, imports for type checkers, and the
    modules of :data:`SUPPORT` and all ``__init__.py``.

    Args:
        script: A Python file that imports from the library.
        library: The folder of the ``truthtag`` package.
        modules: Dotted names of further modules that the script uses without importing them: that
            of an estimator's kind, say. They may be of another package.

    Raises:
        ConfigError: One of ``modules`` is not found.
    """
    hashed = hashlib.sha256(_source_of(Path(script), Path(library)).meaning.encode())
    for name, file in sorted(_files_used(Path(script), Path(library), modules).items()):
        hashed.update(f"{name} {_source_of(file, Path(library)).meaning}\n".encode())
    return hashed.hexdigest()[:16]


def modules_used(script: str | Path, library: str | Path, *modules: str) -> list[Path]:
    """Return the files that count in the digest of a script, beside its own.

    They are those of the library modules that it imports, directly or through others, sorted.
    Arguments and errors are those of :func:`code_digest`.
    """
    return sorted(_files_used(Path(script), Path(library), modules).values())


def _files_used(script: Path, library: Path, modules: Sequence[str]) -> dict[str, Path]:
    """Return the file of each module that a script and further modules use, by dotted name."""
    found = {name: _file_of(name, library) for name in modules}
    queue = [script, *found.values()]
    while queue:
        for name, file in _source_of(queue.pop(), library).imports:
            if name not in found:
                found[name] = file
                queue.append(file)
    return found


def _file_of(name: str, library: Path) -> Path:
    """Return the file of a module that is named, of the library or of another package."""
    file = _library_file(name, library) if _is_ours(name) else _file_elsewhere(name)
    if file is None:
        msg = (
            f"module {name!r} is not found; correct the name, or install the package that holds it"
        )
        raise ConfigError(msg)
    return file


def _is_ours(name: str) -> bool:
    return name == PACKAGE or name.startswith(f"{PACKAGE}.")


def _library_file(name: str, library: Path) -> Path | None:
    """Return the file of a module of the library, None for a package, or an object."""
    file = library.joinpath(*name.split(".")[1:]).with_suffix(".py")
    return file if file.is_file() else None


def _file_elsewhere(name: str) -> Path | None:
    """Return the file of a module of another package, without importing the module."""
    try:
        spec: ModuleSpec | None = find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.has_location or spec.origin is None:
        return None
    return Path(spec.origin)


@dataclass(frozen=True)
class Source:
    """What counts of a file.

    Attributes:
        meaning: Digest of what the code does.
        imports: Name and file of each library module that it imports and that counts.
    """

    meaning: str
    imports: tuple[tuple[str, Path], ...]


def _source_of(file: Path, library: Path) -> Source:
    """Read a file, once as long as it does not change."""
    stat = file.stat()
    if time.time_ns() - stat.st_mtime_ns < FRESH:
        return _read(file, library)
    return _read_once(file, library, stat.st_mtime_ns, stat.st_size)


@cache
def _read_once(file: Path, library: Path, changed: int, size: int) -> Source:  # noqa: ARG001
    """Read a file; time and size are part of what the cache goes by."""
    return _read(file, library)


def _read(file: Path, library: Path) -> Source:
    """Parse a file."""
    content = file.read_bytes()
    if file.suffix != ".py":
        return Source(hashlib.sha256(content).hexdigest(), ())
    reader = _Reader()
    text = reader.read(ast.parse(content))
    imports = []
    for name in sorted(set(reader.names)):
        source = None if name in SUPPORT or not _is_ours(name) else _library_file(name, library)
        if source is not None:
            imports.append((name, source))
    return Source(hashlib.sha256(text.encode()).hexdigest(), tuple(imports))


class _Reader:
    """Writes a syntax tree as text, without what cannot change a result.

    Attributes:
        names: Dotted names that the file imports; what is imported from a module may be one.
    """

    def __init__(self) -> None:
        self.names: list[str] = []

    def read(self, tree: ast.Module) -> str:
        """Return the text, the same for trees that do the same."""
        words: list[str] = []
        texts: list[ast.stmt] = []
        uses_text = False
        # Last in, first out: the order is not that of the file, but it is always the same.
        stack: list[Any] = [tree]
        while stack:
            node = stack.pop()
            if isinstance(node, ast.AST):
                words.append(type(node).__name__)
                if isinstance(node, ast.Name):
                    uses_text |= node.id == "msg" and isinstance(node.ctx, ast.Load)
                elif isinstance(node, ast.Import | ast.ImportFrom):
                    self.names += _imported(node)
                for name, value in _parts(node):
                    words.append(name)
                    stack.append(value)
            elif isinstance(node, list):
                kept = [item for item in node if not _is_idle(item)]
                texts += [item for item in kept if _is_error_text(item)]
                kept = [item for item in kept if not _is_error_text(item)]
                words.append(str(len(kept)))
                stack += kept
            else:
                words.append(repr(node))
        # A text that goes elsewhere than into an error may be part of a result.
        words += [ast.dump(text) for text in texts if uses_text]
        return "\n".join(words)


def _parts(node: ast.AST) -> Iterator[tuple[str, Any]]:
    """Go through what a node is made of, and counts."""
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        # What an error says does not count, which error it is does.
        yield "exc", node.exc.func
        return
    if isinstance(node, ast.If) and _last_name(node.test) == "TYPE_CHECKING":
        yield "orelse", node.orelse
        return
    for name in node._fields:
        value = getattr(node, name, None)
        if value is not None and value != [] and name not in IGNORED_FIELDS:
            yield name, value


def _imported(node: Any) -> list[str]:
    """Return the dotted names that a statement may import."""
    names = [alias.name for alias in node.names]
    if isinstance(node, ast.Import):
        return names
    if node.module is None or node.level:
        return []
    return [node.module, *(f"{node.module}.{name}" for name in names)]


def _is_idle(node: object) -> bool:
    """Tell whether a statement cannot change a result: docstrings, logging, lists of names."""
    if isinstance(node, ast.Expr):
        value = node.value
        if isinstance(value, ast.Constant):
            return True
        return isinstance(value, ast.Call) and _is_logging(value.func)
    if isinstance(node, ast.Assign | ast.AnnAssign):
        if isinstance(node.value, ast.Call) and _last_name(node.value.func) == "Registry":
            return True
        return isinstance(node, ast.Assign) and _last_name(node.targets[0]) == "__all__"
    return isinstance(node, ast.Pass)


def _is_logging(function: ast.expr) -> bool:
    """Tell whether a function writes to the log: ``log.info``, or ``self.logger.info``."""
    if not isinstance(function, ast.Attribute) or function.attr not in LEVELS:
        return False
    return _last_name(function.value) in LOGGERS


def _is_error_text(node: object) -> bool:
    """Tell whether a statement is ``msg = "..."``: a text, an f-string, or a sum of them."""
    if not isinstance(node, ast.Assign) or _last_name(node.targets[0]) != "msg":
        return False
    return _is_text(node.value)


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return _is_text(node.left) and _is_text(node.right)
    if isinstance(node, ast.JoinedStr):
        return True
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _last_name(node: ast.expr) -> str:
    """Return the last name of a dotted expression, empty where it is none."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
