"""Ctrl-C stops a run at once, in any phase, with a line instead of a traceback."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from types import FrameType, TracebackType

import psutil

__all__ = ["INTERRUPTED", "JOBS_IGNORE_INTERRUPTS", "stop_on_interrupt"]

JOBS_IGNORE_INTERRUPTS = "set -euo pipefail; trap '' INT; "
"""What the shell of a job begins with: a terminal sends Ctrl-C to the jobs, too, where it would
strike in the middle of anything. Whoever started them stops them."""

INTERRUPTED = "Interrupted. Start the same command again to go on.\n"


def stop_on_interrupt() -> None:
    """Let Ctrl-C stop the jobs of this process, and this process then end in an orderly way.

    The line that says so is written at once: what the end looks like depends on the phase.

    A job that is stopped leaves no half-written file under its own name, and a training has its
    checkpoint: the same command goes on from there.
    """
    # Whoever embeds a workflow in a thread of a program handles its own signals.
    with suppress(ValueError):
        signal.signal(signal.SIGINT, _interrupted)
        sys.excepthook = _end_without_traceback


def _interrupted(number: int, _: FrameType | None) -> None:
    # The end that this begins is not interrupted again.
    signal.signal(number, _insisted)
    # Not through `sys.stderr`, which may be in the middle of another line's writing.
    with suppress(OSError):
        os.write(2, INTERRUPTED.encode())
    for job in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            job.terminate()
    raise KeyboardInterrupt


def _insisted(_: int, __: FrameType | None) -> None:
    for job in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            job.kill()


def _end_without_traceback(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
