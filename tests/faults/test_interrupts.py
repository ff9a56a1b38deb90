"""Ctrl-C stops a process with its jobs, and says so in a line."""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil
import pytest

from truthtag.workflow.interrupts import INTERRUPTED

PROGRAM = """
import subprocess, sys, time
from truthtag.workflow.interrupts import JOBS_IGNORE_INTERRUPTS, stop_on_interrupt
stop_on_interrupt()
job = subprocess.Popen(["bash", "-c", JOBS_IGNORE_INTERRUPTS + sys.argv[1]])
try:
    print(job.pid, flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    # A workflow waits for its jobs here.
    print("waiting", flush=True)
    job.wait()
    raise
"""
STUBBORN = "trap '' TERM; echo ready >&2; while true; do sleep 60; done"


def started(job: str) -> tuple[subprocess.Popen[str], psutil.Process]:
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, job], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    assert program.stdout is not None
    assert program.stderr is not None
    running = psutil.Process(int(program.stdout.readline()))
    assert program.stderr.readline() == "ready\n"
    return program, running


@pytest.mark.parametrize("job", ["echo ready >&2; exec sleep 60", STUBBORN])
def test_an_interrupt_is_a_line_and_stops_the_jobs(job: str) -> None:
    program, running = started(job)
    # The job alone does not care.
    running.send_signal(signal.SIGINT)
    program.send_signal(signal.SIGINT)
    assert program.stdout is not None
    assert program.stdout.readline() == "waiting\n"
    if job == STUBBORN:
        program.send_signal(signal.SIGINT)
    _, error = program.communicate(timeout=60)
    assert program.returncode != 0
    assert error.endswith(INTERRUPTED)
    assert error.count(INTERRUPTED) == 1
    assert "Traceback" not in error
    assert not running.is_running()
