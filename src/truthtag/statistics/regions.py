"""Regions of jets in which tagged and predicted ones are compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from truthtag.arrays import BoolArray, FloatArray, IntArray, jet_mask
from truthtag.data.jets import Jets
from truthtag.data.neighbours import nearest_jet
from truthtag.errors import ConfigError
from truthtag.estimators.sample_blocks import Block

__all__ = ["RegionsOfFlavours", "regions"]


def regions(jets: Jets, chosen: BoolArray, count: int) -> IntArray:
    """Cut jets into regions of equal numbers.

    Jets are halved again and again: in pT, in Delta R to the nearest jet, in abs(eta), and in pT
    again.

    Args:
        jets: The jets.
        chosen: Which of them to cut, shape (n_jets,).
        count: Number of regions, at least 1; fewer where there are not so many jets.

    Returns:
        The region of each chosen jet, from 0, shape (n_chosen,).

    Raises:
        DataError: ``chosen`` is no mask with an entry per jet.
        ConfigError: The count is below 1.
    """
    _check_count(count)
    chosen = jet_mask(chosen, jets.n_jets, "chosen")
    return _cut(_variables(jets)[:, chosen], count)


def _variables(jets: Jets) -> FloatArray:
    """Return what jets are cut in, in single precision, shape (3, n_jets)."""
    # Jets alone have an infinite Delta R, and so a closeness of 0.
    closeness = 1 / (1 + nearest_jet(jets)[1])
    return np.stack([jets.pt, closeness, np.abs(jets.eta)]).astype(np.float32)


def _cut(variables: FloatArray, count: int) -> IntArray:
    """Return the region of each jet; see :func:`regions`.

    Args:
        variables: What they are cut in, shape (n_variables, n_jets).
        count: Number of regions.
    """
    n_jets = variables.shape[1]
    # Numbers of jets and regions are kept small: these arrays are as long as a sample.
    region = np.zeros(n_jets, dtype=np.int32)

    def cut(rows: IntArray, first: int, n_regions: int, depth: int) -> None:
        """Number the regions of some rows, from ``first`` on."""
        if n_regions <= 1:
            region[rows] = first
            return
        # An odd number of regions is cut so that all of them keep one size.
        n_lower = n_regions // 2
        middle = len(rows) * n_lower // n_regions
        # Of equal jets, the lower are those that were so in the cuts before.
        cut_in = [variables[one % len(variables)] for one in range(depth + 1)]
        lower = _lowest(cut_in, rows, middle)
        cut(rows[lower], first, n_lower, depth + 1)
        cut(rows[~lower], first + n_lower, n_regions - n_lower, depth + 1)

    cut(np.arange(n_jets, dtype=np.int32), 0, min(count, n_jets), 0)
    return region


def _lowest(variables: Sequence[FloatArray], rows: IntArray, count: int) -> BoolArray:
    """Return which rows are the lowest in the last variable, so many of them.

    Of rows that are equal in it, those count that are lower in the variable before, and so on;
    at last those that come first. No sort of all is needed.
    """
    values = variables[-1][rows]
    if not count:
        return np.zeros(len(values), dtype=bool)
    border = np.partition(values, count - 1)[count - 1]
    lower: BoolArray = values < border
    equal = np.flatnonzero(values == border)
    wanted = count - int(lower.sum())
    if wanted < len(equal) and len(variables) > 1:
        before = [variable[rows[equal]] for variable in variables[:-1]]
        equal = equal[np.lexsort(before)]
    lower[equal[:wanted]] = True
    return lower


class RegionsOfFlavours:
    """The region of each jet of a sample among those of its flavour.

    Args:
        blocks: The sample.
        flavours: Numbers of the hadron flavours, by name.
        count: Regions per flavour.
    """

    def __init__(self, blocks: Iterable[Block], flavours: Mapping[str, int], count: int) -> None:
        _check_count(count)
        variables: dict[str, list[FloatArray]] = {name: [] for name in flavours}
        self._flavours = flavours
        for block in blocks:
            of_block = _variables(block.jets)
            for name, number in flavours.items():
                variables[name].append(of_block[:, block.jets.flavour == number])
        self._regions: dict[str, IntArray] = {}
        self._begin = dict.fromkeys(flavours, 0)
        for name in flavours:
            # One flavour at a time, the parts of each are dropped when they are joined.
            self._regions[name] = _cut(np.concatenate(variables.pop(name), axis=1), count)

    def count(self, flavour: str) -> int:
        """Return how many regions a flavour has."""
        return int(self._regions[flavour].max(initial=-1)) + 1

    def take(self, jets: Jets) -> IntArray:
        """Return the regions of the jets that follow, shape (n_jets,); 0 for other flavours."""
        region = np.zeros(jets.n_jets, dtype=np.int32)
        for name, number in self._flavours.items():
            inside = jets.flavour == number
            begin = self._begin[name]
            end = begin + int(inside.sum())
            region[inside] = self._regions[name][begin:end]
            self._begin[name] = end
        return region


def _check_count(count: int) -> None:
    """Refuse a number of regions that makes none."""
    if count < 1:
        msg = f"uncertainty.regions is {count}; it must be at least 1. Take 32, say."
        raise ConfigError(msg)
