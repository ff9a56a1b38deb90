"""Which panels a declared distribution has; cheap to import, for checks of the config."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["OBSERVABLE_JETS", "flavour_pairs", "possible_panels"]

OBSERVABLE_JETS = {
    "delta_r": 2,
    "m_jj": 2,
    "delta_eta": 2,
    "delta_phi": 2,
    "pt_1": 1,
    "pt_2": 2,
    "eta_1": 1,
    "eta_2": 2,
    "n_jets": 1,
    "ht": 1,
}
"""Observables, and how many leading jets each is made of."""


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
