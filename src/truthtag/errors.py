"""Errors that a user can put right.

Each text says what is wrong, the value, what is allowed, and what to do.
"""

from __future__ import annotations


class TruthtagError(Exception):
    """Base of every error that truthtag raises on purpose."""


class DataError(TruthtagError, ValueError):
    """A file or an array does not hold what it must."""


class ConfigError(TruthtagError, ValueError):
    """The configuration contradicts its schema or itself."""
