"""What makes events: the protocol, the base of its options, and when to give up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from pydantic import Field

from truthtag.data.jets import Jets
from truthtag.options import Options
from truthtag.toy.further import FurtherName, FurtherOptions, Variable

__all__ = ["MAX_TRIES", "Generator", "GeneratorOptions", "gives_up"]

MAX_TRIES = 1000
"""Draws per event or direction that is wanted, after which a generator gives up."""


class GeneratorOptions(Options):
    """What every generator's options have."""

    kind: str
    """What kind of events: `multijet` or `boson`, a name of an installed package, or
    `module:Class`."""

    further: dict[FurtherName, FurtherOptions] = Field(default_factory=dict)
    """Further variables of each jet, by name. They change nothing else: events, and tags by a truth
    that does not see them, stay the same."""


class Generator(Protocol):
    """What makes events."""

    options_type: ClassVar[type[Options]]
    """Type of its options."""

    @property
    def further(self) -> Mapping[str, Variable]:
        """Further variables of its jets, by name.

        :func:`~truthtag.toy.generation.generate` draws them, each from its own random stream.
        """
        ...

    @classmethod
    def from_options(cls, options: Any, flavours: Mapping[str, int]) -> Self:
        """Build from an object of ``options_type``; flavours are named there and numbered here."""
        ...

    def events(self, count: int, rng: np.random.Generator) -> Jets:
        """Generate ``count`` events, numbered from 0, neither weighted nor tagged."""
        ...


def gives_up(kept: int, wanted: int, tried: int) -> bool:
    """Tell whether a generator must stop, as nearly no draw passes its thresholds.

    Args:
        kept: Draws that passed.
        wanted: How many shall pass.
        tried: Draws.
    """
    return kept < wanted and tried >= MAX_TRIES * wanted
