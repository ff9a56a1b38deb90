"""One run at a time writes to a folder of results; what a killed one left is cleared away."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from truthtag.data.files import atomic_write
from truthtag.errors import DataError
from truthtag.workflow import claim as module
from truthtag.workflow.claim import MARK, Claim, abandoned_files, stop_orphans
from truthtag.workflow.logs import job_log

TAKEN_AND_WAITING = """
import subprocess, sys, time
from truthtag.workflow.claim import Claim
claim = Claim(sys.argv[1])
claim.take()
# A job of this run, which neither Ctrl-C nor SIGTERM ends.
ignore = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
job = subprocess.Popen([sys.executable, "-c", ignore + "print(flush=True); time.sleep(60)"],
                       stdout=subprocess.PIPE)
job.stdout.readline()
print(job.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _mark_stays_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MARK, "")


Take = Callable[[Path], list[str]]


@pytest.fixture
def take() -> Iterator[Take]:
    """Take the claim to a folder, until the end of the test."""
    taken: list[Claim] = []

    def take_one(results: Path) -> list[str]:
        claim = Claim(results)
        notes = claim.take()
        taken.append(claim)
        return notes

    yield take_one
    for claim in taken:
        claim.give_back()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process that has the claim to `results`, and the number of its job."""
    command = [sys.executable, "-c", TAKEN_AND_WAITING, str(tmp_path / "results")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    job = int(process.stdout.readline())
    yield process, job
    process.kill()
    process.communicate()
    stop_orphans(tmp_path / "results")


def test_a_second_run_is_refused_by_whatever_name(
    tmp_path: Path, other: tuple[subprocess.Popen[str], int]
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "results")
    process, job = other
    for name in ("results", "link"):
        with pytest.raises(DataError, match="another run writes to it") as refusal:
            Claim(tmp_path / name).take()
        assert f"process {process.pid} on {os.uname().nodename}" in str(refusal.value)
        assert "Wait until it ends, or stop it" in str(refusal.value)
    # Its job was left alone.
    os.kill(job, 0)


def test_what_a_killed_run_left_is_stopped_and_said(
    tmp_path: Path, take: Take, other: tuple[subprocess.Popen[str], int]
) -> None:
    process, job = other
    process.send_signal(signal.SIGKILL)
    process.wait()
    claim = Claim(tmp_path / "results")
    notes = claim.take()
    assert len(notes) == 2
    assert f"The last run (process {process.pid} on " in notes[0]
    assert "was cut off: going on where it was" in notes[0]
    assert notes[1] == f"Stopped what still ran of it: processes {job}."
    assert not module._is_alive(job)
    assert os.environ[MARK] == str((tmp_path / "results").resolve())
    claim.give_back()
    assert take(tmp_path / "results") == []


def test_processes_of_other_results_are_left_alone(
    tmp_path: Path, take: Take, other: tuple[subprocess.Popen[str], int]
) -> None:
    assert take(tmp_path / "others") == []
    os.kill(other[1], 0)


def test_half_written_files_of_dead_processes_are_removed(
    tmp_path: Path, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.parquet", "deep/b.replicas.parquet", "c.json.gz", "d"):
        with atomic_write(tmp_path / name) as temporary:
            temporary.write_text("half")
            assert abandoned_files(tmp_path) == []
            with monkeypatch.context() as patch:
                patch.setattr(module, "_is_alive", lambda pid: pid != os.getpid())
                assert abandoned_files(tmp_path) == [temporary]
    for name in (".hidden.part", "a.12.part", ".run"):
        (tmp_path / name).touch()
    left = tmp_path / "deep" / ".x.99999999.part.parquet"
    left.touch()
    assert take(tmp_path) == [f"Removed {left}: the process that wrote it was killed."]
    assert not left.exists()
    assert (tmp_path / "a.12.part").exists()


def test_a_job_that_cannot_be_stopped_from_here_is_refused(tmp_path: Path, take: Take) -> None:
    """On another machine, say: it is seen by the lock on its log."""
    with (
        job_log(tmp_path / "results/logs/estimators/gnn.log"),
        pytest.raises(DataError, match=r"1 job\(s\) of an earlier run are still running") as text,
    ):
        Claim(tmp_path / "results").take()
    assert "gnn.log" in str(text.value)
    assert "Stop them there" in str(text.value)
    assert take(tmp_path / "results") == []


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/results: cannot be written to .*Not a directory"):
        Claim(tmp_path / "file/results").take()


def test_a_file_system_without_locks_is_said(
    tmp_path: Path,
    take: Take,
    other: tuple[subprocess.Popen[str], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody knows there whether another run is alive: its jobs are left alone."""

    def refuse(file: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    results = tmp_path / "results"
    monkeypatch.setattr(fcntl, "flock", refuse)
    assert take(results) == [
        f"{results} cannot be locked (No locks available): let no other run write to it."
    ]
    os.kill(other[1], 0)
