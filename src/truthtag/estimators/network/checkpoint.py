"""Checkpoints: the state of a training that was stopped, for the run that wrote it and no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from truthtag.errors import DataError
from truthtag.estimators.network.content import read_content, write_content

__all__ = ["read_checkpoint", "write_checkpoint"]

FORMAT = "truthtag checkpoint 3"


def write_checkpoint(
    path: str | Path, identity: Mapping[str, Any], state: Mapping[str, Any]
) -> None:
    """Write a checkpoint with the digest of its content.

    Args:
        path: The file to write.
        identity: Which run it belongs to; plain values only.
        state: All that changes while networks are trained: tensors and plain values.
    """
    write_content({"format": FORMAT, "identity": dict(identity), "state": dict(state)}, path)


def read_checkpoint(
    path: str | Path,
    identity: Mapping[str, Any],
    parts: Sequence[str],
    device: torch.device | str = "cpu",
) -> dict[str, Any] | None:
    """Read the state that a checkpoint holds.

    Args:
        path: The file.
        identity: The run that it must belong to.
        parts: Names of the parts that the state must have.
        device: Where tensors go.

    Returns:
        The state; None where there is no checkpoint, or another run made it.

    Raises:
        DataError: The file is damaged, foreign, without a part, or a folder.
    """
    if not Path(path).exists():
        return None
    remedy = "Delete it to train anew."
    content = read_content(path, "checkpoint", (FORMAT,), remedy, device)
    if content.get("identity") != dict(identity):
        return None
    state = content.get("state")
    if not isinstance(state, dict):
        msg = f"{path}: the checkpoint has no state. {remedy}"
        raise DataError(msg)
    for name in parts:
        if name not in state:
            msg = f"{path}: the checkpoint lacks its part {name!r}. {remedy}"
            raise DataError(msg)
    return state
