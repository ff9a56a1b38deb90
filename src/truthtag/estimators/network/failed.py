"""A network whose training failed. Its file says so, and holds no weights that could be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truthtag.errors import DataError
from truthtag.estimators.failures import FAILED, Failure

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FAILED_FORMAT", "FailedNetwork", "failure_of"]

FAILED_FORMAT = "truthtag failed network 1"
"""Format of the file of a network that failed."""

REMEDY = "Delete it and train the network again."


@dataclass(frozen=True, eq=False)
class FailedNetwork:
    """What is left of a network that failed.

    Attributes:
        failure: Its seed, and why it failed.
        provenance: Its training, as that of any other network.
        history: A row per epoch, the last one included.
    """

    failure: Failure
    provenance: Mapping[str, Any]
    history: pd.DataFrame

    @property
    def notes(self) -> dict[str, Any]:
        """What the metadata of its history add: figures leave such a history out."""
        return {FAILED: self.failure.reason}

    def save(self, path: str | Path, provenance: Mapping[str, Any]) -> None:
        """Write to one file, in place of that of the network.

        Args:
            path: The file to write, whole or not at all.
            provenance: What to record beside the provenance of the training; plain values only.
        """
        from truthtag.estimators.network.content import write_content

        content = {
            "format": FAILED_FORMAT,
            "seed": list(self.failure.seed),
            "reason": self.failure.reason,
            "remedy": self.failure.remedy,
            "provenance": {**self.provenance, **provenance},
        }
        write_content(content, path)


def failure_of(content: Mapping[str, Any], path: str | Path) -> Failure | None:
    """Return why a network failed; None where a file holds one that did not.

    Args:
        content: What :func:`.file.read_network_file` returned.
        path: The file, for errors.

    Raises:
        DataError: The file says that it failed, and not why.
    """
    if content.get("format") != FAILED_FORMAT:
        return None
    try:
        return Failure.from_plain(content)
    except (LookupError, TypeError, ValueError) as error:
        msg = f"{path}: says that its network failed, and not why ({error}). {REMEDY}"
        raise DataError(msg) from error
