"""Kill the workflow at random moments, again and again: nothing may be lost, no number may change.

    make test-kills KILLS=200

runs a small config to its end, and keeps what it made as the reference. Then it removes a random
part of the results, starts the workflow, and kills with SIGKILL, at a moment that a seed decides,

- ``main``: Snakemake alone, so that its jobs live on;
- ``job``: one process of a running job, while Snakemake goes on;
- ``all``: every process of the run.

After each kill every file that lies there under its own name must have the content of the
reference. The next command is always the same one, and nothing is unlocked or cleaned up between.
Every so many kills a run is left to end: then all files must be there, and be those of the
reference.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from workplace import TIMEOUT, Workplace

from truthtag.workflow.claim import stop_orphans

CONFIG = Path(__file__).with_name("small.yaml")
TARGETS = ("main", "job", "all")
FIRST = ("samples/", "estimators/", "predictions/")
"""What all the rest is made of."""
MEASURED = ["seconds", "events_per_second"]
"""Columns of tables that are measured times, which no two runs share."""
PLANNING = "no job: planning, or between jobs"
ENDED = "a job that just ended"
GROUP = re.compile(r"seeds_\d+_to_\d+")
SCRIPT = re.compile(r"\.snakemake/scripts/tmp\w+\.(\w+)\.py$")

log = logging.getLogger("kills")


def digests(results: Path) -> dict[str, str]:
    """Return a digest of the content of every file of a folder of results, measured times aside.

    Left out are logs, checkpoints, and hidden files, which are no results.
    """
    found = {}
    for path in sorted(results.rglob("*")):
        name = str(path.relative_to(results))
        hidden = any(part.startswith(".") for part in path.relative_to(results).parts)
        if hidden or name.startswith("logs/") or name.endswith(".checkpoint.pt"):
            continue
        # A job that still runs may remove or replace it meanwhile.
        with suppress(FileNotFoundError, IsADirectoryError):
            found[name] = hashlib.sha256(_content(path)).hexdigest()
    return found


def _content(path: Path) -> bytes:
    if path.name.endswith(".history.parquet"):
        return pd.read_parquet(path).drop(columns=MEASURED).to_csv(index=False).encode()
    if path.name == "training.csv":
        return pd.read_csv(path).drop(columns=MEASURED).to_csv(index=False).encode()
    if path.parent.name == "figures" and path.stem == "training":
        return b"a picture of measured times"
    return path.read_bytes()


@dataclass(frozen=True)
class Kill:
    """One kill: what was killed, and the scripts that ran at that moment."""

    target: str
    steps: tuple[str, ...]


@dataclass
class Campaign:
    """Kills, one after the other, in one workplace.

    Args:
        place: The workplace; the small config has run there to its end.
        rng: Decides what is removed, and what is killed when.
        cores: Cores of the workflow.
        longest: Most seconds from the first job to the kill.
        while_planning: Share of kills that come at any moment of the planning, before jobs run.
        share: Share of the results that is removed before a run.
        config: The config.
        results: The folder of results that it names.
        arguments: What is asked for; all by default.
    """

    place: Workplace
    rng: np.random.Generator
    cores: int = 2
    longest: float = 8.0
    while_planning: float = 1 / 6
    share: float = 0.2
    config: str = f"config/{CONFIG.name}"
    results: str = "results/small"
    arguments: list[str] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    completed: int = 0

    def __post_init__(self) -> None:
        self.folder = self.place.folder / self.results
        self.reference = digests(self.folder)
        self._output = self.place.folder / "output.log"
        self._process: subprocess.Popen[str] | None = None

    def spoil(self) -> None:
        """Remove a random share of the results; figures are made again every fifth time.

        Mostly nothing of the first steps is removed, or the others would hardly be reached.
        """
        self.arguments = [] if self.completed % 5 == 4 else ["--omit-from", "figure_numbers"]
        files = sorted(self.reference)
        if self.rng.random() < 2 / 3:
            files = [name for name in files if not name.startswith(FIRST)]
        for name in self.rng.choice(files, max(1, int(self.share * len(files))), replace=False):
            path = self.folder / str(name)
            if GROUP.fullmatch(path.parent.name):
                # Networks that are trained together are one output: their folder.
                shutil.rmtree(path.parent, ignore_errors=True)
            path.unlink(missing_ok=True)

    def kill(self, target: str) -> None:
        """Run until a random moment, and kill; then check what lies there."""
        process = self.running()
        if self.rng.random() < self.while_planning:
            self._sleep(process, self.rng.uniform(0, self.longest / 2))
        else:
            self.wait_for_jobs(process)
            self._sleep(process, self.rng.uniform(0, self.longest))
        if process.poll() is not None:
            self._process = None
            if process.returncode == 0:
                self._is_complete()
                self.spoil()
            return
        self._strike(process, target)
        self.check()

    def _strike(self, process: subprocess.Popen[str], target: str) -> None:
        jobs = list(_jobs_of(process.pid))
        steps = tuple(sorted(_script_of(job) or ENDED for job in jobs))
        if target == "job":
            if not jobs:
                return
            job = jobs[int(self.rng.integers(len(jobs)))]
            steps = (_script_of(job) or ENDED,)
            with suppress(psutil.NoSuchProcess):
                job.kill()
        elif target == "main":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        if target != "job":
            process.wait(TIMEOUT)
            self._process = None
        self.kills.append(Kill(target, steps or (PLANNING,)))
        log.info("kill %d: %s, running: %s", len(self.kills), target, ", ".join(steps) or "nothing")

    def complete(self) -> None:
        """Let a run end, and check that it made everything.

        A job that was killed makes its run fail at the end; the next command then makes the rest.
        """
        if self.running().wait(TIMEOUT) != 0:
            self._process = None
            assert self.running().wait(TIMEOUT) == 0, self._output.read_text()[-5000:]
        self._process = None
        self._is_complete()

    def _is_complete(self) -> None:
        self.check()
        made = set(digests(self.folder))
        missing = {name for name in set(self.reference) - made if self._is_asked_for(name)}
        assert not missing, f"missing: {sorted(missing)}"
        assert not [path for path in self.folder.rglob(".*") if ".part" in path.name]
        assert stop_orphans(self.folder) == [], "a job outlived its run"
        self.completed += 1
        log.info("complete run %d: %d files are the same", self.completed, len(made))

    def _is_asked_for(self, name: str) -> bool:
        return not self.arguments or not name.startswith("figures/")

    def check(self) -> None:
        """Check that every file is that of the reference."""
        now = digests(self.folder)
        other = [name for name in now if now[name] != self.reference.get(name)]
        assert not other, f"not as in the reference: {other}"

    def running(self) -> subprocess.Popen[str]:
        """Return the run that goes on, a new one where none does."""
        if self._process is None or self._process.poll() is not None:
            command = self.place.command(*self.arguments, cores=self.cores, config=self.config)
            with self._output.open("w") as output:
                options = {**self.place.options, "stdout": output}
                self._process = subprocess.Popen(command, start_new_session=True, **options)
        return self._process

    def wait_for_jobs(self, process: subprocess.Popen[str]) -> None:
        """Wait until the first job of a run begins, or the run ends."""
        deadline = time.monotonic() + TIMEOUT
        while process.poll() is None and not list(_jobs_of(process.pid)):
            assert time.monotonic() < deadline, "no job begins"
            time.sleep(0.05)

    def _sleep(self, process: subprocess.Popen[str], seconds: float) -> None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)

    def table(self) -> pd.DataFrame:
        """Return how many kills hit each step, by what was killed."""
        counts = Counter((step, kill.target) for kill in self.kills for step in set(kill.steps))
        index = pd.MultiIndex.from_tuples(list(counts), names=["step", "killed"])
        return pd.Series(list(counts.values()), index=index).unstack(fill_value=0)


def _jobs_of(pid: int) -> Iterator[psutil.Process]:
    """Go through the processes of a run that execute the scripts of its jobs."""
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            if _script_of(child):
                yield child


def _script_of(process: psutil.Process) -> str | None:
    """Return the name of the script of `workflow/scripts` that a process executes, if any."""
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        for argument in process.cmdline()[1:2]:
            # A copy of it: tmp0123abcd.train_network.py.
            if match := SCRIPT.search(argument):
                return match[1]
    return None


def prepared(folder: Path) -> Workplace:
    """Return a workplace with the small config; one that is there already goes on."""
    if (folder / "Snakefile").exists():
        return Workplace.at(folder)
    place = Workplace(folder)
    shutil.copy(CONFIG, folder / "config")
    return place


def main() -> None:
    """Run a campaign, and say what was hit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--every", type=int, default=20, help="kills before a run is left to end")
    parser.add_argument("--share", type=float, default=0.2, help="of the results, removed before")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder by default")
    given = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    folder = given.folder or Path(tempfile.mkdtemp(prefix="kills-"))
    folder.mkdir(parents=True, exist_ok=True)
    place = prepared(folder)
    began = time.monotonic()
    outcome = place.run(cores=given.cores, config=Campaign.config)
    assert outcome.returncode == 0, outcome.stdout
    log.info("the reference is there after %.0f s", time.monotonic() - began)
    campaign = Campaign(place, np.random.default_rng(given.seed), given.cores, share=given.share)
    campaign.spoil()
    since = 0
    while len(campaign.kills) < given.kills:
        done = campaign.completed
        campaign.kill(TARGETS[int(campaign.rng.integers(len(TARGETS)))])
        since += 1
        if since >= given.every or campaign.completed > done:
            if campaign.completed == done:
                campaign.complete()
                campaign.spoil()
            since = 0
            log.info("kills so far\n%s", campaign.table().to_string())
    campaign.complete()
    log.info(
        "%d kills, %d complete runs, in %.0f s: all files as in the reference\n%s",
        len(campaign.kills), campaign.completed, time.monotonic() - began,
        campaign.table().to_string(),
    )  # fmt: skip


if __name__ == "__main__":
    main()
