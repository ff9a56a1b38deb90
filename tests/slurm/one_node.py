"""A Slurm of one node: started for a test, stopped after it, and gone without a trace.

Job steps read ``/etc/slurm/slurm.conf`` and no other file, so it must be there while the daemons
run. Everything else is in a scratch folder, with ports and a munge socket of its own. A Slurm that
is there already is never touched.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

CONF = Path("/etc/slurm/slurm.conf")
MARK = "# Of a test of truthtag: process {pid}, folder {folder}\n"
"""First line of our configuration: who wrote it, and where its daemons' process numbers are."""

DAEMONS = ("slurmctld", "slurmd", "munged")
PROGRAMS = (*DAEMONS, "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")

# Memory is watched by looking at it once a second: that needs neither cgroups nor accounting. The
# node has the same size everywhere, so that jobs find room and take turns alike on any machine.
SETTINGS = """\
ClusterName=truthtag
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MinJobAge=3600
KillWait=5
ReturnToService=2
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=16000 State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=60 State=UP
"""


class CannotStartError(Exception):
    """No Slurm could be started; the text says why."""


@dataclass(frozen=True)
class Job:
    """What Slurm knows of a job.

    Attributes:
        number: Its number.
        step: The comment of the job: its rule and its wildcards.
        state: How it ended, ``COMPLETED`` say.
        memory: What it asked for [MB].
        minutes: Its limit of time [min].
    """

    number: int
    step: str
    state: str
    memory: int
    minutes: int


@dataclass(frozen=True)
class OneNode:
    """A Slurm that runs."""

    folder: Path

    def jobs(self) -> list[Job]:
        """Return all jobs that were ever submitted, in the order of submission."""
        listed = _tell(
            "squeue", "--states=all", "--noheader", "--sort=i", "--format=%i|%k|%T|%m|%l"
        )
        return [_job(line) for line in listed.splitlines()]

    def said_of(self, job: Job) -> str:
        """Return the lines of the daemon's log that name a job."""
        lines = (self.folder / "slurmd.log").read_text().splitlines()
        named = re.compile(rf"\b(StepId|JobId)={job.number}\b|\[{job.number}\.")
        return "\n".join(line for line in lines if named.search(line))


def why_not() -> str | None:
    """Return why no Slurm can be started here; None if one can."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"not installed: {', '.join(missing)}; 'make test-slurm' installs them on Debian"
    if os.geteuid() != 0:
        return f"Slurm's daemons and {CONF} need root"
    _clear_what_a_killed_test_left()
    if _processes("slurmctld") or _processes("slurmd"):
        return "a Slurm runs on this machine, and is left alone"
    if CONF.exists() or "SLURM_CONF" in os.environ:
        return f"{os.environ.get('SLURM_CONF', CONF)} is there, and is left alone"
    if "UP" in _tell("scontrol", "ping"):
        return "this machine can reach a Slurm, which is left alone"
    return None


@contextlib.contextmanager
def one_node() -> Iterator[OneNode]:
    """Run a Slurm while the block runs.

    Raises:
        CannotStartError: A daemon ended, or the node was not idle within half a minute.
    """
    # Not pytest's folder: the name of a socket may have a hundred characters only.
    folder = Path(tempfile.mkdtemp(prefix="truthtag-slurm-"))
    was_there = CONF.parent.exists()
    with contextlib.ExitStack() as daemons:
        try:
            CONF.parent.mkdir(exist_ok=True)
            CONF.write_text(MARK.format(pid=os.getpid(), folder=folder) + _settings(folder))
            _start(folder, daemons)
            yield OneNode(folder)
        finally:
            _stop(folder)
            CONF.unlink(missing_ok=True)
            if not was_there:
                CONF.parent.rmdir()
    shutil.rmtree(folder, ignore_errors=True)


def _settings(folder: Path) -> str:
    return SETTINGS.format(folder=folder, host=_host(), ports=_free_ports(2))


def _host() -> str:
    return socket.gethostname().split(".")[0]


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _start(folder: Path, daemons: contextlib.ExitStack) -> None:
    """Start the three daemons, and wait until the node is idle."""
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    munged = [f"--socket={folder}/munge.socket", f"--key-file={key}"]
    munged += [f"--{name}-file={folder}/munged.{name}" for name in ("pid", "log", "seed")]
    _launch(folder, daemons, "munged", "--foreground", "--force", *munged)
    _wait(folder, "munged", (folder / "munge.socket").exists)
    _launch(folder, daemons, "slurmctld", "-D")
    _launch(folder, daemons, "slurmd", "-D", "-N", _host())
    _wait(folder, "slurmd", lambda: "idle" in _tell("sinfo", "--noheader", "--format=%T"))


def _launch(folder: Path, daemons: contextlib.ExitStack, daemon: str, *arguments: str) -> None:
    """Start a daemon, and note its process, for whoever must stop it."""
    with (folder / f"{daemon}.out").open("w") as out:
        process = subprocess.Popen([daemon, *arguments], stdout=out, stderr=out, cwd=folder)
    daemons.enter_context(process)
    with (folder / "processes").open("a") as file:
        file.write(f"{daemon} {process.pid}\n")


def _wait(folder: Path, daemon: str, ready: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until a daemon is ready."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            lines = (folder / f"{daemon}.out").read_text().splitlines()
            msg = f"{daemon}: {lines[-1] if lines else 'not ready in time'}"
            raise CannotStartError(msg)
        time.sleep(0.2)


def _stop(folder: Path) -> None:
    """End all jobs, then the daemons; none outlives this."""
    noted = _noted(folder)
    if any(pid in _processes(daemon) for daemon, pid in noted if daemon == "slurmctld"):
        with contextlib.suppress(subprocess.TimeoutExpired):
            _tell("scancel", "--user", "root")
            end = time.monotonic() + 15
            while _tell("squeue", "--noheader") and time.monotonic() < end:
                time.sleep(0.2)
    for daemon, pid in noted:
        _end(daemon, pid)


def _noted(folder: Path) -> list[tuple[str, int]]:
    """Return the daemons of a folder and their processes, in the order in which they must end."""
    try:
        lines = (folder / "processes").read_text().splitlines()
    except OSError:
        return []
    pairs = [line.split() for line in lines]
    return sorted(((daemon, int(pid)) for daemon, pid in pairs), key=lambda p: DAEMONS.index(p[0]))


def _end(daemon: str, pid: int) -> None:
    """End a process, if it still is the daemon that was noted."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        end = time.monotonic() + 10
        if pid in _processes(daemon):
            os.kill(pid, number)
        while pid in _processes(daemon) and time.monotonic() < end:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.1)


def _clear_what_a_killed_test_left() -> None:
    """Stop the daemons of a test that was killed, and remove its configuration."""
    try:
        first = CONF.read_text().splitlines()[0]
    except (OSError, IndexError):
        return
    pattern = re.escape(MARK.strip()).replace(r"\{pid\}", r"(\d+)").replace(r"\{folder\}", "(.+)")
    mark = re.fullmatch(pattern, first)
    if mark is None or int(mark[1]) in _tests():
        return
    _stop(Path(mark[2]))
    shutil.rmtree(mark[2], ignore_errors=True)
    CONF.unlink()


def _tests() -> set[int]:
    """Return the processes that run tests."""
    found = set()
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if b"pytest" in line.read_bytes():
                found.add(int(line.parent.name))
    return found


def _processes(name: str) -> set[int]:
    """Return the processes that run a program."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if status.read_text().strip() == name:
                found.add(int(status.parent.name))
    return found


def _tell(*command: str) -> str:
    """Return what a command of Slurm writes; nothing where it fails."""
    done = subprocess.run(command, text=True, capture_output=True, check=False, timeout=20)
    return done.stdout


def _job(line: str) -> Job:
    number, step, state, memory, limit = line.split("|")
    return Job(int(number), step, state, _megabytes(memory), _minutes(limit))


def _megabytes(text: str) -> int:
    """Return a size as squeue writes it, ``1.50G`` say, in MB."""
    factor = {"M": 1, "G": 1024}[text[-1]]
    return round(float(text[:-1]) * factor)


def _minutes(text: str) -> int:
    """Return a time as squeue writes it, ``1:00:00`` say, in minutes."""
    days, _, rest = text.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    hours = parts[0] if len(parts) == 3 else 0
    return 24 * 60 * int(days or 0) + 60 * hours + parts[-2]
