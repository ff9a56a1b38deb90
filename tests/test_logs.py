"""Logs of jobs, and whether a job still runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from truthtag.errors import DataError
from truthtag.workflow.logs import job_log, running_jobs

HOLD = """
import sys, time
from truthtag.workflow.logs import job_log
with job_log(sys.argv[1]):
    print("locked", flush=True)
    time.sleep(60)
"""


FULL = """
import resource, sys
from truthtag.errors import DataError
from truthtag.workflow.logs import job_log
# A file may not grow beyond so many bytes, as on a disk that is full.
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
with job_log(sys.argv[1]) as log:
    log.info("reading")
    raise DataError("a.parquet: cannot be written. Free some space, and run again.")
"""


def test_errors_of_the_user_are_a_line_and_faults_have_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "job.log"
    with pytest.raises(SystemExit), job_log(path):
        raise DataError("a.parquet: column 'pt' is missing")
    text = path.read_text()
    assert "ERROR a.parquet: column 'pt' is missing" in text
    assert "Traceback" not in text
    with pytest.raises(ZeroDivisionError), job_log(path):
        1 / 0  # noqa: B018
    assert "this is a fault of the program" in path.read_text()
    assert "Traceback" in path.read_text()


def test_a_job_that_runs_is_seen_and_one_that_was_killed_is_not(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "step" / "job.log"
    assert running_jobs(tmp_path / "logs") == []
    job = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert job.stdout is not None
        assert job.stdout.readline() == "locked\n"
        assert running_jobs(tmp_path / "logs") == [path]
        with (
            pytest.raises(SystemExit, match="another process still writes this log"),
            job_log(path),
        ):
            pytest.fail("two jobs wrote one log")
        assert f"process {job.pid} on" in path.read_text()
    finally:
        job.kill()
        job.communicate()
    assert running_jobs(tmp_path / "logs") == []


@pytest.mark.parametrize("bytes_free", [0, 10, 90])
def test_a_log_that_cannot_be_written_is_no_traceback(tmp_path: Path, bytes_free: int) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path / "a.log"), str(bytes_free)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 1
    assert "a.parquet: cannot be written. Free some space, and run again." in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert "Logging error" not in outcome.stderr


def test_a_log_in_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(SystemExit, match=r"file/a\.log: cannot be written \(File exists\)"),
        job_log(tmp_path / "file/a.log"),
    ):
        pytest.fail("there is no such place")
