"""Logs of jobs: plain lines in a file, which also tells whether the job is still running.

Errors that a user can put right are one line; faults of the program have their traceback.
"""

from __future__ import annotations

import fcntl
import logging
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from truthtag.errors import TruthtagError
from truthtag.progress import clock

__all__ = ["job_log", "peak_memory", "running_jobs"]


@contextmanager
def job_log(path: str | Path) -> Iterator[logging.Logger]:
    """Log to a file while the block runs, and turn errors of the user into one plain message.

    The file is locked for that time. The lock goes with the process, however that ends, so that
    :func:`running_jobs` can tell a job that still runs from one that was killed.

    Args:
        path: The log file.

    Yields:
        The logger.

    Raises:
        SystemExit: A :class:`TruthtagError` ended the block, and its text is in the log; or the
            log is held by another process, or cannot be written.
    """
    file = _opened(Path(path))
    try:
        if not _lock(file):
            msg = f"{path}: another process still writes this log. Wait until it ends, or stop it."
            raise SystemExit(msg)
        file.truncate(0)
        with _logger(file) as logger:
            yield logger
    finally:
        # What could not be written before cannot be written now.
        with suppress(OSError):
            file.close()


def _opened(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a")
    except OSError as error:
        msg = f"{path}: cannot be written ({error.strerror}). Free some space, or check the folder."
        raise SystemExit(msg) from error


class _Handler(logging.StreamHandler[TextIO]):
    """Writes to a log; where that fails, the disk is full say, to the terminal."""

    def handleError(self, record: logging.LogRecord) -> None:
        if self.stream is not sys.stderr:
            self.stream = sys.stderr
            self.emit(record)


@contextmanager
def _logger(file: TextIO) -> Iterator[logging.Logger]:
    """Log to an open file while the block runs."""
    logger = logging.getLogger("truthtag")
    logger.setLevel(logging.INFO)
    handler = _Handler(file)
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")
    )
    logger.addHandler(handler)
    started = time.monotonic()
    try:
        logger.info("process %d on %s", os.getpid(), os.uname().nodename)
        yield logger
        logger.info(
            "done in %s; %.1f s of processor time, %d MB of memory at most",
            clock(time.monotonic() - started),
            time.process_time(),
            peak_memory(),
        )
    except TruthtagError as error:
        logger.error("%s", error)  # noqa: TRY400 - a traceback would hide it
        raise SystemExit(1) from None
    except Exception:
        logger.exception("this is a fault of the program, not of its input")
        raise
    finally:
        logger.removeHandler(handler)
        handler.close()


def peak_memory() -> int:
    """Return the most memory that this process has had so far [MB]."""
    status = Path("/proc/self/status")
    if status.is_file():
        # What the system counts by getrusage includes the process that started this one.
        (line,) = (one for one in status.read_text().splitlines() if one.startswith("VmHWM:"))
        return int(line.split()[1]) // 1024
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit


def running_jobs(folder: str | Path) -> list[Path]:
    """Return the logs in a folder, and below it, that a running job writes.

    A job outlives its Snakemake where that alone was killed.

    Args:
        folder: The folder of the logs; it need not exist.
    """
    held = []
    for path in sorted(Path(folder).rglob("*.log")):
        with path.open("a") as file:
            if not _lock(file):
                held.append(path)
    return held


def _lock(file: TextIO) -> bool:
    """Lock a file until it is closed; return whether no other process holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
