"""Runs that are killed, interrupted, or started twice: the next command completes, as if nothing
had been."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from faults.kills import Campaign, digests
from test_workflow import copy, finished
from workplace import TIMEOUT, Workplace

from truthtag.workflow.claim import MARK, Claim
from truthtag.workflow.interrupts import INTERRUPTED

__all__ = ["copy", "finished"]

pytestmark = pytest.mark.slow

WEIGHTS = "results/tiny/weights/boson/map.parquet"
PREDICTION = "results/tiny/predictions/boson/map.parquet"


def interrupt(process: subprocess.Popen[str]) -> None:
    """Press Ctrl-C: the terminal sends it to every process of the run."""
    os.killpg(process.pid, signal.SIGINT)


def wait_for(text: str, output: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a run says something."""
    deadline = time.monotonic() + TIMEOUT
    while text not in output.read_text():
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < deadline, output.read_text()
        time.sleep(0.02)


@pytest.mark.slow(seconds=40)
def test_kills_and_interrupts_change_nothing(copy: Workplace) -> None:
    """A handful; `make test-kills` makes hundreds."""
    campaign = Campaign(
        copy, np.random.default_rng(1), longest=1, while_planning=0,
        config="config/tiny.yaml", results="results/tiny", arguments=[WEIGHTS],
    )  # fmt: skip
    output = copy.folder / "output.log"
    (copy.folder / PREDICTION).unlink()
    (copy.folder / WEIGHTS).unlink()

    for number, target in enumerate(("job", "main", "all"), start=1):
        # A run may have ended by itself: that whose job was killed.
        while len(campaign.kills) < number:
            campaign.kill(target)
    assert [kill.target for kill in campaign.kills] == ["job", "main", "all"]
    assert "was cut off: going on where it was" in output.read_text()

    # The run that was killed may have made it.
    (copy.folder / WEIGHTS).unlink(missing_ok=True)
    process = campaign.running()
    wait_for("Building DAG", output, process)
    interrupt(process)
    process.wait(TIMEOUT)
    assert INTERRUPTED in output.read_text()
    assert "Traceback" not in output.read_text()

    (copy.folder / WEIGHTS).unlink(missing_ok=True)
    process = campaign.running()
    campaign.wait_for_jobs(process)
    interrupt(process)
    assert process.wait(TIMEOUT) != 0
    assert INTERRUPTED in output.read_text()
    assert "Terminating processes on user request" in output.read_text()
    assert "Traceback" not in output.read_text()
    assert (campaign.folder / ".run").read_text() == ""

    # Everything: where a run ended by itself, other files were removed as well.
    campaign.arguments = []
    campaign.complete()
    assert digests(campaign.folder) == campaign.reference


def test_a_second_run_on_the_same_results_is_refused(
    copy: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also from another clone: the lock is in the results."""
    monkeypatch.setenv(MARK, "")
    (copy.folder / WEIGHTS).unlink()
    shared = copy.folder / "results/tiny"
    claim = Claim(shared)
    claim.take()
    try:
        outcome = copy.run(WEIGHTS)
        assert outcome.returncode != 0
        assert "results/tiny: another run writes to it (process" in outcome.stdout
        assert "Traceback" not in outcome.stdout
        other = Workplace(_made(tmp_path / "other"))
        config = other.overlay("elsewhere.yaml", results=str(shared))
        outcome = other.run(str(shared / "weights/boson/map.parquet"), config=config)
        assert outcome.returncode != 0
        assert f"{shared}: another run writes to it (process" in outcome.stdout
    finally:
        claim.give_back()
    assert not (copy.folder / WEIGHTS).exists()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
