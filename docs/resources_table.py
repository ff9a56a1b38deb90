"""Write what jobs ask for, from the functions that say it, into docs/cluster.md.

Run as ``python docs/resources_table.py``; a test compares the page with what this would write.
"""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

from truthtag.workflow.resources import COSTS, Cost

PAGE = Path(__file__).parent / "cluster.md"
BEGIN = "<!-- table: made by docs/resources_table.py -->"
END = "<!-- end of table -->"

HEAD = """\
| step | MB | MB for 1,000 events | MB for these and each member | MB for each width \
| min | s for 1,000 events | s for these and each pass |
|---|---|---|---|---|---|---|---|"""


def steps_by_cost() -> dict[Cost, list[str]]:
    """Return the steps that cost the same."""
    alike: dict[Cost, list[str]] = {}
    for step, cost in sorted(COSTS.items()):
        alike.setdefault(cost, []).append(f"`{step}`")
    return alike


def table() -> str:
    """Return the table between the two marks of the page."""
    lines = [BEGIN, HEAD]
    for cost, steps in steps_by_cost().items():
        numbers = [f"{value:g}" if value else "" for value in astuple(cost)]
        lines.append(f"| {', '.join(steps)} | {' | '.join(numbers)} |")
    return "\n".join([*lines, END])


def with_table(page: str) -> str:
    """Return the page with the table in its place."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + table() + after


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
