"""The columns of a sample: their names, types and units."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["OPTIONAL", "PER_EVENT", "REQUIRED", "SCHEMA", "UNITS"]

SCHEMA: dict[str, Any] = {
    "event": np.int64,
    "pt": np.float32,
    "eta": np.float32,
    "phi": np.float32,
    "mass": np.float32,
    "flavour": np.int8,
    "weight": np.float64,
    "event_number": np.int64,
    "position": np.int32,
    "score": np.float64,
    "is_tagged": np.bool_,
    "tag_bin": np.int8,
    "efficiency_true": np.float64,
}
"""Columns of a sample on disk and their types, in order.

``event`` is our own number. ``event_number`` is the experiment's, and ``position`` the place of a
jet among those of its event in the file that it was read from. ``tag_bin`` counts the working
points that a jet passes, where there are several; with one, ``is_tagged`` says it.
"""

UNITS = {
    "pt": "GeV",
    "eta": "1",
    "phi": "rad",
    "mass": "GeV",
    "weight": "1",
    "score": "1",
    "efficiency_true": "1",
}
"""Units of the columns that have one."""

OPTIONAL = ("event_number", "position", "score", "is_tagged", "tag_bin", "efficiency_true")
"""Columns that a sample may lack."""

REQUIRED = tuple(name for name in SCHEMA if name not in OPTIONAL)
"""Columns that every sample has."""

PER_EVENT = ("event", "weight", "event_number")
"""Columns with one value per event; on disk they are repeated for each of its jets."""
