"""The prose agrees with the project."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT

PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("config/*.md"),
        *ROOT.glob("results/*.md"),
    ]
)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_fault_of_the_table_has_its_test() -> None:
    """The last column names files of tests, and parts of the names of tests in them."""
    table = (ROOT / "docs/reliability.md").read_text().splitlines()
    rows = [line.strip(" |").split(" | ") for line in table if ".py`" in line and "|" in line]
    assert len(rows) > 15
    for row in rows:
        named = re.findall(r"`([^`]+)`", row[-1])
        files = [name for name in named if name.endswith(".py")]
        found = [next(ROOT.glob(f"tests/**/{Path(name).name}")).read_text() for name in files]
        for name in named:
            assert name in files or any(name in text for text in found), (row[0], name)


def test_every_make_target_named_in_the_readme_exists() -> None:
    rules = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"`make ([a-z-]+)", page.read_text()))
        assert named <= rules, page.name


def test_make_help_lists_every_target() -> None:
    text = subprocess.run(
        ["make", "help"], cwd=ROOT, text=True, capture_output=True, check=True
    ).stdout
    for target in ("run", "report", "test", "lint", "format", "bench", "lock", "clean", "help"):
        assert re.search(rf"^  make {target} ", text, re.MULTILINE), target


def test_every_key_of_the_config_is_explained() -> None:
    """config/README.md is made from the schema; 'make docs' writes it anew."""
    from docs.config_page import page

    assert (ROOT / "config/README.md").read_text() == page()


def test_what_jobs_ask_for_is_told() -> None:
    """The table of docs/cluster.md is made from the functions; 'make docs' writes it anew."""
    from docs.resources_table import PAGE, with_table

    assert PAGE.read_text() == with_table(PAGE.read_text())
