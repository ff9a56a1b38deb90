"""Draw which room of the library uses which, from its imports, into docs/architecture.md.

Run as ``python docs/architecture_picture.py``; a test compares the page with what this would write.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIBRARY = ROOT / "src/truthtag"
PAGE = ROOT / "docs/architecture.md"
BEGIN = "<!-- picture: made by docs/architecture_picture.py -->"
END = "<!-- end of picture -->"

BASE = ("errors", "arrays", "seeds", "registry", "options", "axis", "progress")
"""Modules at the top of the library, which everything may use; they are not drawn."""

ORDER = (
    *("data", "toy", "estimators", "weights", "statistics"),
    *("exports", "studies", "figures", "workflow", "cli", "__main__"),
)
"""Rooms: each may use those before it."""


def imports_of(file: Path) -> set[str]:
    """Return the dotted names of the library that a file imports, also inside functions.

    A name imported from a module is given as ``module.name``; imports for type checkers are left
    out, as they do not happen.
    """
    names: set[str] = set()
    stack: list[ast.AST] = [ast.parse(file.read_text())]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            stack += node.orelse
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names |= {f"{module}.{alias.name}" for alias in node.names}
        stack += ast.iter_child_nodes(node)
    return names


def room_of(name: str) -> str:
    """Return the room of a dotted name of the library: its first part below ``truthtag``."""
    return name.split(".")[1]


def uses() -> dict[str, set[str]]:
    """Return which other rooms each room uses."""
    found: dict[str, set[str]] = {}
    for room in ORDER:
        files = sorted((LIBRARY / room).rglob("*.py"))
        if not files:
            continue
        rooms: set[str] = set()
        for file in files:
            ours = [name for name in imports_of(file) if name.startswith("truthtag.")]
            rooms |= {room_of(name) for name in ours}
        found[room] = rooms - {room, *BASE}
    return found


def without_detours(arrows: dict[str, set[str]]) -> dict[str, set[str]]:
    """Drop each arrow that a longer way says already, so that the picture can be read."""
    reached: dict[str, set[str]] = {}
    for room in ORDER:
        steps = arrows.get(room, set())
        reached[room] = steps.union(*(reached[step] for step in steps))
    kept: dict[str, set[str]] = {}
    for room, steps in arrows.items():
        beyond: set[str] = set()
        beyond = beyond.union(*(reached[step] for step in steps))
        kept[room] = steps - beyond
    return kept


def picture() -> str:
    """Return the picture as a mermaid flowchart between the two marks of the page."""
    lines = [BEGIN, "```mermaid", "flowchart BT"]
    lines += [f"    {room}" for room in uses()]
    for room, steps in without_detours(uses()).items():
        lines += [f"    {room} --> {step}" for step in sorted(steps, key=ORDER.index)]
    return "\n".join([*lines, "```", END])


def with_picture(page: str) -> str:
    """Return the page with the picture in its place."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + picture() + after


if __name__ == "__main__":
    PAGE.write_text(with_picture(PAGE.read_text()))
