"""The workflow on bad machines: no space, no rights, odd paths, little of everything.

`make test-faults` runs these; they take some minutes, and `make test` leaves them out.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from faults.kills import CONFIG, digests, prepared
from test_workflow import copy, finished
from workplace import TIMEOUT, Workplace

from conftest import ROOT

__all__ = ["copy", "finished"]

SMALL = f"config/{CONFIG.name}"
PREDICTION = "results/small/predictions/test/map.parquet"
NETWORK = "results/small/estimators/gnn/seed_0.pt"
MEMORY = Path("/sys/fs/cgroup/memory")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting and other users need root")


def needs(program: str) -> pytest.MarkDecorator:
    """Skip where a program is missing."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"needs {program}")


def run(
    place: Workplace, *targets: str, before: tuple[str, ...] = (), cores: int = 2
) -> subprocess.CompletedProcess[str]:
    """Run the small config, started by another program where one is named."""
    command = [*before, *place.command(*targets, cores=cores, config=SMALL)]
    return subprocess.run(command, check=False, timeout=TIMEOUT, **place.options)


def start(place: Workplace, *targets: str) -> subprocess.Popen[str]:
    """Start a run of the small config in a session of its own."""
    command = place.command(*targets, config=SMALL)
    return subprocess.Popen(command, start_new_session=True, **place.options)


def fails(outcome: subprocess.CompletedProcess[str], *texts: str) -> None:
    """Check that a run failed, said why, and showed no traceback."""
    assert outcome.returncode != 0, outcome.stdout
    for text in texts:
        assert text in outcome.stdout, outcome.stdout
    assert "Traceback" not in outcome.stdout, outcome.stdout


def remove_prediction(place: Workplace) -> None:
    """Remove what a rule made; where a part of it is left, Snakemake looks at its rights first."""
    for name in ("map.parquet", "map.replicas.parquet"):
        (place.folder / PREDICTION).with_name(name).unlink()


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a running workflow has made a file."""
    deadline = time.monotonic() + TIMEOUT
    while not path.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, f"{path} does not come"
        time.sleep(0.01)


def results(place: Workplace) -> dict[str, str]:
    """Return the digests of all results of a small run."""
    return digests(place.folder / "results/small")


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """What one map and one network need and make, on this machine as it is."""
    place = prepared(tmp_path_factory.mktemp("reference"))
    outcome = run(place, PREDICTION, NETWORK)
    assert outcome.returncode == 0, outcome.stdout
    return place


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    """A workplace where nothing has run."""
    return prepared(tmp_path)


@needs("taskset")
def test_one_core(place: Workplace, reference: Workplace) -> None:
    core = min(os.sched_getaffinity(0))
    outcome = run(place, PREDICTION, NETWORK, before=("taskset", "-c", str(core)))
    assert outcome.returncode == 0, outcome.stdout
    assert results(place) == results(reference)


@needs_root
@pytest.mark.skipif(not (MEMORY / "cgroup.procs").exists(), reason="needs cgroup v1 for memory")
def test_two_gigabytes_of_memory(place: Workplace, reference: Workplace) -> None:
    """For both jobs that run at a time, and Snakemake, together."""
    group = MEMORY / f"truthtag-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(2 * 1024**3))
        enter = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
        outcome = run(place, PREDICTION, NETWORK, before=("sh", "-c", enter, str(group)))
        assert outcome.returncode == 0, outcome.stdout
        assert int((group / "memory.failcnt").read_text()) >= 0
        sys.stderr.write(
            f"peak: {int((group / 'memory.max_usage_in_bytes').read_text()) >> 20} MiB\n"
        )
    finally:
        group.rmdir()
    assert results(place) == results(reference)


@needs_root
@needs("unshare")
def test_no_shared_memory(place: Workplace, reference: Workplace) -> None:
    hide = 'mount -t tmpfs -o ro none /dev/shm && exec "$@"'
    outcome = run(place, PREDICTION, NETWORK, before=("unshare", "-m", "sh", "-c", hide, "sh"))
    assert outcome.returncode == 0, outcome.stdout
    assert results(place) == results(reference)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """Put a folder on a disk of its own."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@needs_root
@pytest.mark.parametrize(
    ("folder", "size", "said"),
    [
        pytest.param("results", "100k", "Free some space", id="of-results"),
        pytest.param(".snakemake", "12k", "ensure write permissions", id="of-Snakemake"),
    ],
)
def test_a_full_disk(
    folder: str, size: str, said: str, place: Workplace, reference: Workplace
) -> None:
    disk = place.folder / folder
    with small_disk(disk, size):
        fails(run(place, PREDICTION, NETWORK), "No space left on device", said)
        for name, digest in results(place).items():
            assert digest == results(reference)[name], name
        subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)
        outcome = run(place, PREDICTION, NETWORK)
        assert outcome.returncode == 0, outcome.stdout
        assert results(place) == results(reference)


@needs_root
@needs("unshare")
def test_read_only_results(reference: Workplace, tmp_path: Path) -> None:
    place = reference.copied_to(tmp_path / "copy")
    folder = place.folder / "results"
    lock = f"mount --bind '{folder}' '{folder}' && mount -o remount,ro,bind '{folder}'"
    before = ("unshare", "-m", "sh", "-c", f'{lock} && exec "$@"', "sh")
    outcome = run(place, PREDICTION, before=before)
    assert outcome.returncode == 0, outcome.stdout
    assert "Nothing to be done" in outcome.stdout
    remove_prediction(place)
    outcome = run(place, PREDICTION, before=before)
    fails(outcome, "results/small: cannot be written to", "Read-only file system")
    assert run(place, PREDICTION).returncode == 0
    assert results(place) == results(reference)


@needs_root
@needs("setpriv")
def test_results_of_another_user(reference: Workplace, tmp_path: Path) -> None:
    """They are readable, and cannot be written to."""
    place = reference.copied_to(tmp_path / "copy")
    remove_prediction(place)
    results_folder = place.folder / "results"
    for path in (results_folder, *results_folder.rglob("*")):
        os.chown(path, 65534, 65534)
    # Root that may not write to what is of others.
    before = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    outcome = run(place, PREDICTION, before=before)
    fails(outcome, "results/small: cannot be written to", "Permission denied")
    assert run(place, PREDICTION).returncode == 0
    assert results(place) == results(reference)


def test_an_output_removed_between_rules(place: Workplace, reference: Workplace) -> None:
    process = start(place, PREDICTION, NETWORK)
    removed = place.folder / "results/small/estimators/map/nominal.parquet"
    wait_for(removed, process)
    # Not before Snakemake has seen it: what is missing then counts as not made.
    time.sleep(1)
    removed.unlink()
    output = process.communicate(timeout=TIMEOUT)[0]
    assert process.returncode != 0, output
    assert "nominal.parquet" in output
    assert not (place.folder / PREDICTION).exists()
    outcome = run(place, PREDICTION, NETWORK)
    assert outcome.returncode == 0, outcome.stdout
    assert results(place) == results(reference)


def test_a_config_changed_in_the_middle(place: Workplace, tmp_path: Path) -> None:
    process = start(place, PREDICTION)
    wait_for(place.folder / "results/small/samples/train/0000.parquet", process)
    config = place.folder / SMALL
    changed = yaml.safe_load(config.read_text())
    changed["seed"] = 7
    changed["samples"]["test"]["events"] = 300
    config.write_text(yaml.safe_dump(changed))
    output = process.communicate(timeout=TIMEOUT)[0]
    assert process.returncode == 0, output
    outcome = run(place, PREDICTION)
    assert outcome.returncode == 0, outcome.stdout
    (tmp_path / "clean").mkdir()
    clean = prepared(tmp_path / "clean")
    shutil.copy(config, clean.folder / SMALL)
    outcome = run(clean, PREDICTION)
    assert outcome.returncode == 0, outcome.stdout
    assert results(place) == results(clean)


@pytest.mark.parametrize(
    "name", ["größer und 更大", "a'b \"c\" $d & (e); #f", "/".join(["long" * 50] * 4)],
    ids=["not ASCII, spaces", "signs of the shell", "long"],
)  # fmt: skip
def test_odd_paths(name: str, reference: Workplace, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir(parents=True)
    place = prepared(folder)
    outcome = run(place, PREDICTION, NETWORK)
    assert outcome.returncode == 0, outcome.stdout
    assert results(place) == results(reference)


def test_odd_paths_of_results(place: Workplace, reference: Workplace) -> None:
    odd = "results/größer und 更大/" + "long" * 40
    config = yaml.safe_load((place.folder / SMALL).read_text())
    (place.folder / SMALL).write_text(yaml.safe_dump({**config, "results": odd}))
    wanted = (PREDICTION, NETWORK)
    outcome = run(place, *(path.replace("results/small", odd) for path in wanted))
    assert outcome.returncode == 0, outcome.stdout
    made = digests(place.folder / odd)
    assert set(made) == set(results(reference))
    for name, digest in results(reference).items():
        if name.startswith("predictions/"):
            # Their metadata name the folder of the estimator.
            folders = (place.folder / odd, reference.folder / "results/small")
            one, other = (pq.read_table(folder / name) for folder in folders)
            assert one.equals(other), name
        else:
            assert made[name] == digest, name


def make_run(place: Workplace) -> list[str]:
    """Return the command `make run` on the tiny config, with the environment of the tests."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, place.folder)
    programs = place.folder / ".venv/bin"
    programs.mkdir(parents=True)
    modules = {"python": "", "snakemake": "-m snakemake", "truthtag": "-m truthtag"}
    for name, module in modules.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {module} "$@"\n')
        (programs / name).chmod(0o755)
    # Newer than what it depends on, so that nothing is installed.
    (place.folder / ".venv/.ready").touch()
    return ["make", "run", "PYTHON=false", "CONFIG=config/tiny.yaml", "CORES=2"]


@needs("make")
def test_a_report_that_is_interrupted_is_written_anew(copy: Workplace) -> None:
    command = make_run(copy)
    report = copy.folder / "results/tiny/report.html"
    for number in (signal.SIGINT, signal.SIGKILL):
        process = subprocess.Popen(command, start_new_session=True, **copy.options)
        assert process.stdout is not None
        assert any("Nothing to be done" in line for line in process.stdout)
        # Snakemake takes longer than that to begin, and to write, the report.
        time.sleep(3)
        os.killpg(process.pid, number)
        output = process.communicate(timeout=TIMEOUT)[0]
        assert process.returncode != 0, output
        assert not report.exists()
    outcome = subprocess.run(command, check=False, timeout=TIMEOUT, **copy.options)
    assert outcome.returncode == 0, outcome.stdout
    assert report.read_text().rstrip().endswith("</html>")
    assert "does weighting by each efficiency" in report.read_text()
    assert [path.name for path in report.parent.glob("report*")] == ["report.html"]
