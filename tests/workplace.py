"""A copy of the whole workflow in a folder of its own, for tests that run it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from conftest import ROOT


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

    def run(
        self, *arguments: str, cores: int = 2, config: str = "config/tiny.yaml"
    ) -> subprocess.CompletedProcess[str]:
        """Run snakemake to its end."""
        command = self.command(*arguments, cores=cores, config=config)
        return subprocess.run(command, check=False, timeout=600, **self.options)

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
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(str(place) for place in places)}
        return {
            "cwd": self.folder,
            "env": env,
            "text": True,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
        }

    def plan(self, *arguments: str, config: str = "config/tiny.yaml") -> dict[str, int]:
        """Return how many jobs of each rule would run."""
        outcome = self.run("--dry-run", *arguments, config=config)
        assert outcome.returncode == 0, outcome.stdout
        table = re.search(r"Job stats:\n.*?\n-.*?\n(.*?)\n\n", outcome.stdout, re.DOTALL)
        rows = [line.split() for line in table[1].splitlines()] if table else []
        return {name: int(count) for name, count in rows if name not in ("total", "all")}

    def overlay(self, name: str, **changes: object) -> str:
        """Write a config that changes the tiny one, and return both as arguments."""
        (self.folder / "config" / name).write_text(yaml.safe_dump(changes))
        return f"config/tiny.yaml config/{name}"
