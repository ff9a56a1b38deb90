"""How the code reads: lengths of lines, and how densely it is packed."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from conftest import ROOT

LONGEST_LINE = 100
FOLDERS = ("src", "workflow", "tests", "benchmarks", "docs", "config", "envs", "profiles")
KINDS = ("*.py", "*.smk", "*.yaml", "*.yml")
TEXTS = sorted(
    {ROOT / "Snakefile", *ROOT.glob("*.py")}
    | {file for folder in FOLDERS for kind in KINDS for file in (ROOT / folder).rglob(kind)}
)

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)

MOST_PER_1000_LINES = {"parallel assignments": 5.0, "comprehensions": 45.0}
"""Upper bounds for the library; 0.1.0 had 22 and 53, zuko has 3 and 15."""


def code_lines(tree: ast.Module) -> int:
    """Count the lines that hold code: no blank ones, comments, or texts that stand alone."""
    lines: set[int] = set()
    texts: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            texts |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        elif isinstance(node, ast.expr | ast.stmt):
            lines |= {node.lineno, node.end_lineno or node.lineno}
    return len(lines - texts)


def is_parallel(node: ast.AST) -> bool:
    """Tell whether a statement is ``a, b = x, y``."""
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Tuple):
        return False
    return any(isinstance(target, ast.Tuple) for target in node.targets)


def packing(files: list[Path]) -> dict[str, float]:
    """Return how often dense forms stand in 1,000 lines of code."""
    count: Counter[str] = Counter()
    for file in files:
        tree = ast.parse(file.read_text())
        count["lines"] += code_lines(tree)
        for node in ast.walk(tree):
            count["parallel assignments"] += is_parallel(node)
            count["comprehensions"] += isinstance(node, COMPREHENSIONS)
    return {name: 1000 * count[name] / count["lines"] for name in MOST_PER_1000_LINES}


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_lines_are_short(file: Path) -> None:
    long = [
        f"{file}:{number}: {len(line)} characters"
        for number, line in enumerate(file.read_text().splitlines(), start=1)
        if len(line) > LONGEST_LINE
    ]
    assert not long, "\n".join(long)


def test_code_is_not_packed() -> None:
    found = packing(sorted((ROOT / "src").rglob("*.py")))
    for name, most in MOST_PER_1000_LINES.items():
        assert found[name] <= most, f"{found[name]:.1f} {name} in 1,000 lines of code"


def test_what_is_counted() -> None:
    tree = ast.parse('"""Doc."""\n# Why.\n\na, b = 1, 2\nx = f(\n    1,\n)\nc, d = pair\n')
    assert code_lines(tree) == 5
    assert [is_parallel(node) for node in tree.body] == [False, True, False, False]
