"""Which other jet of the event is nearest."""

from __future__ import annotations

import numpy as np

from truthtag.arrays import FloatArray, IntArray
from truthtag.data.jets import Jets
from truthtag.data.kinematics import delta_r

__all__ = ["nearest_jet"]


def nearest_jet(jets: Jets) -> tuple[IntArray, FloatArray]:
    """Find the nearest other jet of each jet's event.

    Returns:
        Its position and its Delta R, each of shape (n_jets,); -1 and infinity where a jet is alone.
    """
    nearest = np.full(jets.n_jets, -1)
    closest = np.full(jets.n_jets, np.inf)
    for _, index in jets.by_multiplicity():
        for i in range(index.shape[1]):
            for j in range(index.shape[1]):
                if i == j:
                    continue
                a = index[:, i]
                b = index[:, j]
                distance = delta_r(jets.eta[a], jets.phi[a], jets.eta[b], jets.phi[b])
                closer = distance < closest[a]
                nearest[a[closer]] = b[closer]
                closest[a[closer]] = distance[closer]
    return nearest, closest
