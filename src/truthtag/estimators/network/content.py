"""Files of tensors and plain values that know their content: a damaged file is never used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from truthtag.data.files import atomic_write
from truthtag.errors import DataError

__all__ = ["content_digest", "read_content", "write_content"]

DIGEST = "digest"
"""Where a file holds the digest of all else that it holds."""


def content_digest(content: Mapping[Any, Any]) -> str:
    """Return the SHA-256 of tensors and plain values.

    All counts: the bytes of every tensor, its type, shape and place, and the plain values as JSON.

    Args:
        content: Nested mappings and sequences of tensors and of what JSON holds.

    Example:
        >>> one = content_digest({"weights": torch.zeros(2), "mu": 1.0})
        >>> one == content_digest({"mu": 1.0, "weights": torch.zeros(2)})
        True
        >>> one == content_digest({"weights": torch.zeros(2).double(), "mu": 1.0})
        False
    """
    tensors: list[Tensor] = []
    described = json.dumps(_describe(content, tensors), sort_keys=True)
    hashed = hashlib.sha256(described.encode())
    for tensor in tensors:
        hashed.update(_bytes(tensor))
    return hashed.hexdigest()


def _describe(value: Any, tensors: list[Tensor]) -> Any:
    """Return a value with every tensor replaced by its type and shape; collect the tensors."""
    if isinstance(value, Tensor):
        tensors.append(value)
        return {"tensor": len(tensors), "dtype": str(value.dtype), "shape": list(value.shape)}
    if isinstance(value, Mapping):
        described = {}
        # Sorted, so that the order in which keys were written does not count.
        for key in sorted(value, key=str):
            # An integer and its text are different keys.
            described[f"{type(key).__name__} {key}"] = _describe(value[key], tensors)
        return described
    if isinstance(value, list | tuple):
        return [_describe(item, tensors) for item in value]
    return value


def _bytes(tensor: Tensor) -> bytes:
    """Return the bytes of a tensor in row order."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()


def write_content(content: Mapping[str, Any], path: str | Path) -> None:
    """Write tensors and plain values with their digest; the same content gives the same bytes.

    Args:
        content: What to write, with its ``format`` under that key.
        path: The file to write, whole or not at all.

    Raises:
        DataError: The path is a folder.
    """
    if Path(path).is_dir():
        msg = f"{path}: is a folder, and a file is to be written here. Move or rename the folder."
        raise DataError(msg)
    signed = {**content, DIGEST: content_digest(content)}
    # Given a path, torch would store its name, and equal content would differ in its bytes.
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        torch.save(signed, file)


def read_content(
    path: str | Path,
    what: str,
    formats: Sequence[str],
    remedy: str,
    device: torch.device | str = "cpu",
) -> dict[str, Any]:
    """Read what :func:`write_content` wrote, and check its digest.

    Args:
        path: The file.
        what: What it holds, for errors: "network" say.
        formats: What its key ``format`` may hold, the usual one first.
        remedy: What to do where it cannot be used.
        device: Where its tensors go.

    Raises:
        DataError: The file is missing, a folder, truncated, damaged or foreign.
    """
    path = Path(path)
    if path.is_dir():
        msg = f"{path}: is a folder; a {what} is a file. {remedy}"
        raise DataError(msg)
    if not path.is_file():
        msg = f"{path}: no such file. Check the path, or run the workflow to train the network."
        raise DataError(msg)
    try:
        content = torch.load(path, weights_only=True, map_location=device)
    except Exception as error:
        # A broken file makes torch raise errors of many kinds.
        msg = f"{path}: cannot be read as a {what} ({type(error).__name__}). {remedy}"
        raise DataError(msg) from error
    if not isinstance(content, dict) or content.get("format") not in formats:
        msg = f"{path}: is not a {what} file of this version ({formats[0]!r}). {remedy}"
        raise DataError(msg)
    stored = content.pop(DIGEST, None)
    if not _matches(content, stored):
        msg = (
            f"{path}: is damaged: its content does not have the digest that was written with it. "
            f"{remedy}"
        )
        raise DataError(msg)
    return content


def _matches(content: dict[str, Any], stored: object) -> bool:
    try:
        return content_digest(content) == stored
    except Exception:  # noqa: BLE001 - damaged values can be of any type, and none has a digest
        return False
