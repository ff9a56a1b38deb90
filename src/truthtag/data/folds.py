r"""Parts of a sample by the numbers of its events: rules that anyone can repeat, in any language.

``event`` takes the remainder, ``event % count``. ``hash`` takes the remainder of a hash of the
number, for numbers that are not random in their last digits: SplitMix64 (Steele, Lea and Flood, doi
10.1145/2660193.2660195) in unsigned 64-bit integers,

.. math::
    z &= n + \mathtt{0x9E3779B97F4A7C15} \\
    z &= (z \oplus (z \gg 30)) \times \mathtt{0xBF58476D1CE4E5B9} \\
    z &= (z \oplus (z \gg 27)) \times \mathtt{0x94D049BB133111EB} \\
    h &= z \oplus (z \gg 31)
"""

from __future__ import annotations

import zlib
from typing import Any, Literal, get_args

import numpy as np

from truthtag.arrays import IntArray, plain_array
from truthtag.errors import ConfigError, DataError

__all__ = ["Rule", "file_number", "fold_of", "hash_numbers"]

Rule = Literal["event", "hash"]
"""How the number of an event chooses its part."""

GAMMA = np.uint64(0x9E3779B97F4A7C15)
FIRST = np.uint64(0xBF58476D1CE4E5B9)
SECOND = np.uint64(0x94D049BB133111EB)


def hash_numbers(numbers: Any) -> IntArray:
    """Return the hash of each number, unsigned 64-bit integers.

    Args:
        numbers: Numbers of events, any shape; negative ones count as their two's complement.

    Example:
        >>> hash_numbers([0, 1]).tolist()
        [16294208416658607535, 10451216379200822465]
    """
    z = np.asarray(numbers).astype(np.uint64)
    # Unsigned integers wrap around, as the hash wants it.
    z = z + GAMMA
    z = (z ^ (z >> np.uint64(30))) * FIRST
    z = (z ^ (z >> np.uint64(27))) * SECOND
    return z ^ (z >> np.uint64(31))


def fold_of(numbers: Any, count: int, by: str = "event") -> IntArray:
    """Return the part that each event belongs to, 0 to count - 1.

    Args:
        numbers: Numbers of the events, integers of any shape.
        count: Number of parts, at least 1.
        by: ``event`` or ``hash``; see the head of this module.

    Raises:
        ConfigError: There is no such rule, or the count is below 1.
        DataError: The numbers are no integers.

    Example:
        >>> fold_of([10, 11, 12], 5).tolist(), fold_of([10, 11, 12], 5, "hash").tolist()
        ([0, 1, 2], [1, 3, 3])
    """
    if by not in get_args(Rule):
        msg = f"fold_by is {by!r}; allowed are {', '.join(get_args(Rule))}"
        raise ConfigError(msg)
    if count < 1:
        msg = f"{count} parts are not allowed; there must be at least 1"
        raise ConfigError(msg)
    whole = plain_array(numbers, "numbers of events")
    if whole.dtype.kind not in "iu":
        msg = f"numbers of events are {whole.dtype} values; only integers have a remainder"
        raise DataError(msg)
    keys = whole.astype(np.uint64) if by == "event" else hash_numbers(whole)
    return (keys % np.uint64(count)).astype(np.int64)


def file_number(file: str) -> int:
    """Return the number of a file, by which its events are told from those of other files.

    It is the CRC-32 of the path as it is given, without the highest bit: it does not depend on
    which other files there are. The n-th event of a file has the number
    ``(file_number << 32) | n``, counted from 0.

    Example:
        >>> file_number("data/ttbar.root")
        819219480
    """
    return zlib.crc32(file.encode()) & 0x7FFFFFFF
