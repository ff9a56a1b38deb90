"""Where large tensors of training events are: in memory, or in files that the system pages."""

from __future__ import annotations

import errno
import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from truthtag.errors import DataError

__all__ = ["IN_MEMORY", "Storage"]

MEGABYTE = 2**20


@dataclass(frozen=True)
class Storage:
    """A place for tensors.

    A file's tensors are read and written as any others are; the system keeps in memory what there
    is room for. No name leads to the file any more once it is there: it goes with the process,
    however that ends.

    Args:
        folder: Where files are; None for memory only.
        limit: Up to so much, tensors are in memory all the same [MB].
    """

    folder: Path | None = None
    limit: int = 0

    def for_bytes(self, size: int) -> Storage:
        """Return where tensors of so many bytes together belong."""
        is_small = size <= self.limit * MEGABYTE
        return IN_MEMORY if is_small or self.folder is None else Storage(self.folder)

    def empty(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Return a tensor whose values are still to be written.

        Raises:
            DataError: There is no room for a file, or no right to write one.
        """
        count = math.prod(shape)
        if self.folder is None or not count:
            return torch.empty(tuple(shape), dtype=dtype)
        size = count * torch.empty(0, dtype=dtype).element_size()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix=".events.", suffix=".part", dir=self.folder)
            try:
                _reserve(descriptor, size)
                flat = torch.from_file(name, shared=True, size=count, dtype=dtype)
            finally:
                os.close(descriptor)
                Path(name).unlink()
        except OSError as error:
            msg = (
                f"{self.folder}: no {size // MEGABYTE} MB can be written for training events "
                f"({error.strerror}). Free some space, or raise the estimator's memory_limit."
            )
            raise DataError(msg) from error
        return flat.reshape(tuple(shape))


def _reserve(descriptor: int, size: int) -> None:
    """Give a file its size, and make sure of the room: a full disk would end the process later."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
    os.truncate(descriptor, size)


IN_MEMORY = Storage()
"""Tensors as usual."""
