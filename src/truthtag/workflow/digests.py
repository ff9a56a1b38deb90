"""Where a result comes from: digests of settings and of code, and versions of software."""

from __future__ import annotations

import ast
import hashlib
import json
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["code_digest", "digest", "modules_used", "versions"]

PACKAGE = "truthtag"


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


def code_digest(script: str | Path, library: str | Path) -> str:
    """Return a digest of a script and of every library module that it uses, directly or through others.

    Comments, docstrings and layout do not count: what they say cannot change a result.

    Args:
        script: A Python file that imports from the library.
        library: The folder of the ``truthtag`` package.
    """
    files = [Path(script), *modules_used(script, library)]
    hashed = hashlib.sha256()
    for file in files:
        hashed.update(f"{file.name}\n{_meaning(file)}\n".encode())
    return hashed.hexdigest()[:16]


def modules_used(script: str | Path, library: str | Path) -> list[Path]:
    """Return the files of the library modules that a Python file imports, directly or through others, sorted."""
    found: set[Path] = set()
    queue = [Path(script)]
    while queue:
        fresh = {
            file for name in _imports(queue.pop()) for file in _files_of(name, Path(library))
        } - found
        found |= fresh
        queue += fresh
    return sorted(found)


def _imports(file: Path) -> set[str]:
    """Return the dotted names below the package that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name == PACKAGE or name.startswith(f"{PACKAGE}.")}


def _files_of(name: str, library: Path) -> list[Path]:
    """Return the file of a module, and of the packages that it lies in."""
    parts = name.split(".")[1:]
    packages = [library.joinpath(*parts[:i], "__init__.py") for i in range(len(parts) + 1)]
    module = library.joinpath(*parts).with_suffix(".py") if parts else None
    return [file for file in [*packages, module] if file is not None and file.is_file()]


def _meaning(file: Path) -> str:
    """Return the syntax tree of a file, without docstrings."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and body
            and _is_text(body[0])
        ):
            node.body = body[1:] or [ast.Pass()]
    return ast.dump(tree)


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
