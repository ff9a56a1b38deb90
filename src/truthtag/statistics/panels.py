"""Which panels a declared distribution has; cheap to import, for checks of the config."""

from __future__ import annotations

import re
from collections.abc import Sequence

from truthtag.errors import ConfigError

__all__ = [
    "CELLS",
    "GLOBAL",
    "OF_EVENTS",
    "OF_JETS",
    "flavour_pairs",
    "jets_needed",
    "possible_panels",
]

CELLS = "cells"
"""What tables call the distribution of single jets in cells; its panels are the flavours."""

GLOBAL = "global"
"""What tables call all tests of an efficiency on a sample together."""

OF_EVENTS = {"delta_r": 2, "m_jj": 2, "delta_eta": 2, "delta_phi": 2, "n_jets": 1, "ht": 1}
"""Observables of events, and how many leading jets each needs."""

OF_JETS = ("pt", "eta", "phi", "mass", "score")
"""Columns of all samples whose values can be drawn: ``pt_1`` of the hardest jet, ``pt_2`` of the
next, and so on; any other column of the sample can be drawn, too."""


def jets_needed(observable: str) -> int:
    """Return how many leading jets an observable needs.

    Args:
        observable: A name of :data:`OF_EVENTS`; a column of the jets with a number from 1 to 99;
            or ``module:function`` of a user, which gets the two leading jets. Whether there is such
            a column, only the jets know.

    Raises:
        ConfigError: The observable is written like none of these.

    Example:
        >>> jets_needed("m_jj"), jets_needed("pt_3"), jets_needed("n_tracks_1")
        (2, 3, 1)
    """
    if observable in OF_EVENTS:
        return OF_EVENTS[observable]
    if re.fullmatch(r"[\w.]+:\w+", observable):
        return 2
    of_jet = re.fullmatch(r"[A-Za-z]\w*?_([1-9]\d?)", observable)
    if of_jet:
        return int(of_jet[1])
    single = ", ".join(f"{name}_1" for name in OF_JETS)
    msg = (
        f"{observable!r} is not allowed; allowed are {', '.join(OF_EVENTS)}; {single} of the "
        "leading jet, pt_2 of the next, ..., and the same of any further column; or module:function"
    )
    raise ConfigError(msg)


def flavour_pairs(flavours: Sequence[str]) -> list[tuple[str, str]]:
    """Return the unordered pairs of flavours, in the order of Figure 7.

    Example:
        >>> flavour_pairs(["b", "c"])
        [('b', 'b'), ('b', 'c'), ('c', 'c')]
    """
    names = list(flavours)
    return [(first, second) for i, first in enumerate(names) for second in names[i:]]


def possible_panels(split: str, flavours: Sequence[str]) -> list[str]:
    """Return the names of the panels of a distribution.

    Args:
        split: ``none`` or ``flavour``.
        flavours: Names of the hadron flavours, heaviest first.

    Example:
        >>> possible_panels("none", ["b", "c"]), possible_panels("flavour", ["b", "c"])
        (['all'], ['b-b', 'b-c', 'c-c'])
    """
    if split == "none":
        return ["all"]
    return [f"{first}-{second}" for first, second in flavour_pairs(flavours)]
