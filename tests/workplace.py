"""A copy of the whole workflow in a folder of its own, for tests that run it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from conftest import ROOT

# [s] A run that takes so long hangs; on a busy machine one may take ten minutes.
TIMEOUT = 1800


class Workplace:
    """A copy of the workflow in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("Snakefile", "workflow", "config", "profiles", "envs", "src"):
            source = ROOT / name
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, folder / name)

    @property
    def outside(self) -> Path:
        """Folder of modules that are not of the library, where runs find them."""
        return self.folder / "outside"

    @classmethod
    def at(cls, folder: Path) -> Workplace:
        """Return the workplace that a folder already is."""
        place = cls.__new__(cls)
        place.folder = folder
        return place

    def copied_to(self, folder: Path) -> Workplace:
        """Return a copy that a test may spoil; times of files are kept, so nothing is stale."""
        shutil.copytree(self.folder, folder)
        return Workplace.at(folder)

    def run(
        self, *arguments: str, cores: int = 2, config: str = "config/tiny.yaml"
    ) -> subprocess.CompletedProcess[str]:
        """Run snakemake to its end."""
        command = self.command(*arguments, cores=cores, config=config)
        return subprocess.run(command, check=False, timeout=TIMEOUT, **self.options)

    def command(
        self, *arguments: str, cores: int = 2, config: str = "config/tiny.yaml"
    ) -> list[str]:
        """Return the command line of a run."""
        configs = ["--configfile", *config.split()]
        return [sys.executable, "-m", "snakemake", *arguments, "--cores", str(cores), *configs]

    @property
    def options(self) -> dict[str, object]:
        """Where and how a command runs; jobs must find this copy of the library."""
        places = (self.folder / "src", self.outside)
        given = os.environ.get("PYTHONPATH")
        search = [*map(str, places), *([given] if given else [])]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(search)}
        return {
            "cwd": self.folder,
            "env": env,
            "text": True,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
        }

    def plan(self, *arguments: str, config: str = "config/tiny.yaml") -> dict[str, int]:
        """Return how many jobs of each rule would run."""
        return jobs_of(self.dry_run(*arguments, config=config))

    def dry_run(self, *arguments: str, config: str = "config/tiny.yaml") -> str:
        """Return what snakemake says that it would do."""
        outcome = self.run("--dry-run", *arguments, config=config)
        assert outcome.returncode == 0, outcome.stdout
        return outcome.stdout

    def files_not_asked_for(self, results: str, config: str = "config/tiny.yaml") -> set[str]:
        """Return the results of a finished run that nobody would miss: no inputs of `all`.

        Logs and hidden files are no results; the report is made by a command of its own.
        """
        output = self.dry_run("--force", "all", config=config)
        listed = re.search(r"^rule all:\n    input: (.*)$", output, re.MULTILINE)
        assert listed, output
        asked = set(listed[1].split(", "))
        missed = set()
        for path in (self.folder / results).rglob("*"):
            inside = path.relative_to(self.folder / results)
            hidden = any(part.startswith(".") for part in inside.parts)
            if not path.is_file() or hidden or inside.parts[0] in ("logs", "report.html"):
                continue
            name = path.relative_to(self.folder)
            # Networks that are trained together are one output: their folder.
            if not asked & {str(name), str(name.parent)}:
                missed.add(str(name))
        return missed

    def overlay(self, name: str, **changes: object) -> str:
        """Write a config that changes the tiny one, and return both as arguments."""
        (self.folder / "config" / name).write_text(yaml.safe_dump(changes))
        return f"config/tiny.yaml config/{name}"


def jobs_of(output: str) -> dict[str, int]:
    """Return how many jobs of each rule a dry run lists."""
    table = re.search(r"Job stats:\n.*?\n-.*?\n(.*?)\n\n", output, re.DOTALL)
    rows = [line.split() for line in table[1].splitlines()] if table else []
    return {name: int(count) for name, count in rows if name not in ("total", "all")}


def made_once(
    name: str,
    make: Callable[[Workplace], None],
    tmp_path_factory: pytest.TempPathFactory,
    worker_id: str,
) -> Workplace:
    """Return a workplace that all test processes of a session share.

    The first process that asks makes it, others that ask meanwhile wait. No test may change it:
    another process may be reading.
    """
    base = tmp_path_factory.getbasetemp()
    # With several processes each has a folder of its own, beside those of the others.
    shared = base if worker_id == "master" else base.parent
    folder = shared / name
    done = shared / f"{name}.done"
    with FileLock(shared / f"{name}.lock"):
        if not done.exists():
            # What is left if another process failed here; this one then fails by itself.
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(Workplace(folder))
            done.touch()
    return Workplace.at(folder)
