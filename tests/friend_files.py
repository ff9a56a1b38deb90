"""An efficiency that is known by hand, and friends read back entry by entry."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets

LIFE = 300.0
"""Transverse momentum over which the efficiency of :class:`ByHand` falls [GeV]."""

FACTORS = {0: 0.1, 4: 0.3, 5: 0.9}
STEPS = {"loose": 1.0, "medium": 0.6, "tight": 0.25}


@dataclass(frozen=True)
class ByHand:
    """An efficiency of a jet's own pt and flavour, its place by pt, and the number of jets."""

    points: tuple[str, ...] = ()
    flavours: tuple[int, ...] = (0, 4, 5)

    def efficiency(self, jets: Jets) -> FloatArray:
        rank = np.arange(jets.n_jets) - jets.offsets[:-1][jets.event_of_jet]
        counts = jets.multiplicity[jets.event_of_jet]
        values = np.array(
            [
                by_hand(float(pt), int(flavour), int(place), int(n))
                for pt, flavour, place, n in zip(jets.pt, jets.flavour, rank, counts, strict=True)
            ]
        )
        if len(self.points) < 2:
            return values
        return values[:, None] * [STEPS[point] for point in self.points]


def by_hand(pt: float, flavour: int, place: int, n_jets: int) -> float:
    """Return the efficiency of one jet."""
    return float(FACTORS[flavour] * np.exp(-pt / LIFE) * (place + 1) / (n_jets + 1))


def expected_of(event: Any, low: float = 20.0, most_eta: float = 2.5) -> list[float]:
    """Return the efficiencies of the jets of an event of NanoAOD in its order, by loops alone."""
    chosen = [
        place
        for place, (pt, eta) in enumerate(zip(event["Jet_pt"], event["Jet_eta"], strict=True))
        if pt > low and abs(eta) < most_eta
    ]
    # Sorted is stable: jets of one pt stay in the order of the file.
    by_pt = sorted(chosen, key=lambda place: -event["Jet_pt"][place])
    found = [-1.0] * len(event["Jet_pt"])
    for rank, place in enumerate(by_pt):
        flavour = int(event["Jet_hadronFlavour"][place])
        found[place] = by_hand(float(event["Jet_pt"][place]), flavour, rank, len(by_pt))
    return found


def tags_by_hand(efficiencies: list[float], count: int) -> float:
    """Return the probability of exactly so many tags, over all ways to tag the jets."""
    known = [eff for eff in efficiencies if eff >= 0]
    total = 0.0
    for tags in product([False, True], repeat=len(known)):
        if sum(tags) == count:
            total += float(np.prod([e if t else 1 - e for e, t in zip(known, tags, strict=True)]))
    return total


def read_tree(path: str | Path, tree: str = "truthtag") -> list[dict[str, Any]]:
    """Return the entries of a tree as plain values by branch."""
    import uproot

    with uproot.open({path: None}) as file:
        names = file[tree].keys()
        arrays = {name: file[tree][name].array().to_list() for name in names}
    return [dict(zip(arrays, values, strict=True)) for values in zip(*arrays.values(), strict=True)]
