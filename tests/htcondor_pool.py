"""Snakemake with a pool of HTCondor that is none: jobs run here, one after the other.

``python htcondor_pool.py RECORD ARGUMENT...`` runs snakemake with these arguments and writes to the
file RECORD the submit descriptions that HTCondor would have got. The first job is held, as one that
is over its memory.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import warnings
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import ClassVar

HELD = "012 ({job:03}.000.000) {now} Job was held.\n\tover its memory\n\tCode 34 Subcode 0\n...\n"
SUBMITTED = "000 ({job:03}.000.000) {now} Job submitted from host: <127.0.0.1:9618>\n...\n"
USAGE = "\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  {what} Usage\n"
ENDED = (
    "005 ({job:03}.000.000) {now} Job terminated.\n"
    "\t(1) Normal termination (return value {status})\n"
    + "".join(USAGE.format(what=f"{a} {b}") for a in ("Run", "Total") for b in ("Remote", "Local"))
    + "...\n"
)


class Submitted:
    """What a schedd answers."""

    def __init__(self, number: int) -> None:
        self.number = number

    def cluster(self) -> int:
        return self.number


class Schedd:
    """Takes jobs and runs them."""

    record: ClassVar[Path]
    descriptions: ClassVar[list[dict[str, str]]] = []

    def submit(self, description: Mapping[str, str]) -> Submitted:
        described = dict(description.items())
        self.descriptions.append(described)
        self.record.write_text(json.dumps(self.descriptions))
        number = len(self.descriptions)
        with Path(described["log"]).open("a") as log:
            now = datetime.now().isoformat(" ", "seconds")
            log.write(SUBMITTED.format(job=number, now=now))
            if number == 1:
                log.write(HELD.format(job=number, now=now))
                return Submitted(number)
            command = [described["executable"], *shlex.split(described["arguments"])]
            status = subprocess.run(command, check=False).returncode
            log.write(ENDED.format(job=number, now=now, status=status))
        return Submitted(number)


def run(record: Path, arguments: list[str]) -> None:
    """Run snakemake, its jobs handed to our stand-in."""
    with warnings.catch_warnings():
        # There is no configuration of a pool here.
        warnings.simplefilter("ignore", UserWarning)
        import htcondor2
    from snakemake.cli import main

    Schedd.record = record
    htcondor2.Schedd = Schedd
    htcondor2.Submit.issue_credentials = lambda description: None
    main(arguments)


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2:])
