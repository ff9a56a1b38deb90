"""Seeds of random streams, made of numbers and names."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

__all__ = ["Seed", "seed_words"]

Seed = Sequence[int | str]
"""What names a random stream, from the general to the special: ``(1, "train")``, say."""


def seed_words(seed: Seed) -> list[int]:
    """Return the numbers that a seed means, names by their CRC-32.

    Example:
        >>> seed_words((1, "train"))
        [1, 1550247075]
    """
    return [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in seed]
