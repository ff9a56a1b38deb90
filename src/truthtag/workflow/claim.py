"""One run at a time writes to a folder of results, and what a killed run left is cleared away."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import TextIO

import psutil

from truthtag.errors import DataError
from truthtag.workflow.logs import running_jobs

__all__ = ["Claim", "abandoned_files", "stop_orphans"]

MARK = "TRUTHTAG_RESULTS"
"""Environment variable by which the processes of a run know its results, and are known."""

TEMPORARY = re.compile(r"\..+\.(\d+)\.part(\.\w+)?")
"""Names of files that are being written, with the number of the process that writes."""


class Claim:
    """The right to write to a folder of results, which one run has at a time.

    It is a lock on the file ``.run`` in that folder. The lock goes with the process, however that
    ends: a run that was killed leaves none behind, whatever clone or config it was started from.
    The file says whose it is, and is emptied by a run that ends by itself.

    Args:
        results: The folder of results; it is made.
    """

    def __init__(self, results: str | Path) -> None:
        self.results = Path(results)
        self._file: TextIO | None = None

    def take(self) -> list[str]:
        """Take the claim, and clear away what a killed run left: its jobs, and half-written files.

        The processes that this one starts from now on carry its mark.

        Returns:
            A line for each thing that was found and put right.

        Raises:
            DataError: Another run has the claim, a job on another machine still runs, or the folder
                cannot be written to.
        """
        try:
            return self._taken()
        except OSError as error:
            msg = (
                f"{self.results}: cannot be written to ({error}). Check the folder and its "
                "permissions, or name another one as `results` in the config."
            )
            raise DataError(msg) from error

    def _taken(self) -> list[str]:
        self.results.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            file = stack.enter_context((self.results / ".run").open("a+"))
            file.seek(0)
            owner = file.read().strip()
            notes = self._locked(file, owner)
            # Without a lock nobody knows whether that run is dead.
            notes = notes or self._cleared(owner)
            _rewrite(file, f"{_this_process()}\n")
            # All is well: the file stays open, and locked, from here on.
            stack.pop_all()
        self._file = file
        os.environ[MARK] = str(self.results.resolve())
        return notes

    def _cleared(self, owner: str) -> list[str]:
        """Clear away what a killed run left; return a line for each thing."""
        notes = []
        if owner:
            notes.append(f"The last run ({owner}) was cut off: going on where it was.")
        if stopped := stop_orphans(self.results):
            numbers = ", ".join(map(str, stopped))
            notes.append(f"Stopped what still ran of it: processes {numbers}.")
        self._refuse_running_jobs()
        for path in abandoned_files(self.results):
            path.unlink(missing_ok=True)
            notes.append(f"Removed {path}: the process that wrote it was killed.")
        return notes

    def give_back(self) -> None:
        """Give the claim back, at the end of a run that was not killed."""
        if self._file is not None:
            _rewrite(self._file, "")
            self._file.close()
            self._file = None

    def _locked(self, file: TextIO, owner: str) -> list[str]:
        """Lock the file; return a line where this file system knows no locks."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            msg = (
                f"{self.results}: another run writes to it ({owner or 'it has just begun'}). Wait "
                "until it ends, or stop it; or name another folder as `results` in the config."
            )
            raise DataError(msg) from error
        except OSError as error:
            reason = error.strerror
            return [f"{self.results} cannot be locked ({reason}): let no other run write to it."]
        return []

    def _refuse_running_jobs(self) -> None:
        """Refuse to start beside jobs of a killed run that could not be stopped from here."""
        running = running_jobs(self.results / "logs")
        if running:
            msg = (
                f"{len(running)} job(s) of an earlier run are still running, the first writes "
                f"{running[0]}. Its log begins with its process and machine. Stop them there "
                "(on a cluster: cancel its jobs), or wait until they end."
            )
            raise DataError(msg)


def stop_orphans(results: str | Path) -> list[int]:
    """Stop the processes that a run in a folder of results left when it alone was killed.

    They would write the same files as the next run. Only who has the claim to the folder may stop
    them: the run that they belong to is dead.

    Args:
        results: The folder of results.

    Returns:
        Numbers of the processes on this machine that were stopped, sorted.
    """
    mark = str(Path(results).resolve())
    stopped: set[int] = set()
    # A process may start another one while we look.
    while found := [one for one in _marked(mark) if one.pid not in stopped]:
        # All at once, or a parent would see its child fail and remove what it wrote.
        for signal in (psutil.Process.suspend, psutil.Process.kill):
            for process in found:
                with suppress(psutil.Error):
                    signal(process)
        psutil.wait_procs(found, timeout=10)
        stopped.update(process.pid for process in found)
    return sorted(stopped)


def _marked(mark: str) -> Iterator[psutil.Process]:
    """Go through the living processes of this machine that carry a mark."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter():
        # Those of other users cannot be looked at.
        with suppress(psutil.Error):
            if process.pid not in own and process.environ().get(MARK) == mark:
                yield process


def abandoned_files(results: str | Path) -> list[Path]:
    """Return files that were being written when their process was killed, sorted.

    Args:
        results: The folder of results.
    """
    found = []
    for path in Path(results).rglob(".*.part*"):
        name = TEMPORARY.fullmatch(path.name)
        if name and path.is_file() and not _is_alive(int(name[1])):
            found.append(path)
    return sorted(found)


def _is_alive(pid: int) -> bool:
    """Return whether a process runs; one that ended, and nobody has asked how, does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _this_process() -> str:
    now = datetime.now().astimezone()
    return f"process {os.getpid()} on {os.uname().nodename}, {now:%Y-%m-%d %H:%M:%S}"


def _rewrite(file: TextIO, text: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()
