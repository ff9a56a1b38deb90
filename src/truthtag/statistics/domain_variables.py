"""What a domain sees of a jet: itself, the size of its event, and its neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from truthtag.arrays import FloatArray, IntArray
from truthtag.data.jets import Jets
from truthtag.data.kinematics import delta_r
from truthtag.estimators.bins import jet_column

__all__ = ["COLUMNS", "OF_NEIGHBOURS", "VARIABLES", "further_variables", "variables_of"]

OF_NEIGHBOURS = (
    "closeness",
    "nearest_pt",
    "second_closeness",
    "third_closeness",
    "total_closeness",
)
"""Variables that describe the other jets of the event: how close the nearest is, and its transverse
momentum; how close the next and the third are; and the sum over all of how close they are."""

VARIABLES = ("pt", "eta", "n_jets", *OF_NEIGHBOURS)
"""What a domain sees of a jet: its momentum and direction, the size of its event, its neighbours.

Further numeric columns of the training jets follow."""

COLUMNS = ("flavour", *VARIABLES)
"""Columns of a domain on disk, a row per reference jet, where there are no further variables."""

BLOCK_PAIRS = 2**18
"""Most pairs of jets that are looked at together, so that memory stays flat."""


def further_variables(jets: Jets) -> tuple[str, ...]:
    """Return the further columns of jets that are numbers: not those that labels call categories.

    One that is a variable of :data:`VARIABLES` already, by its name, is left out.
    """
    known = {*VARIABLES, *jets.labels.categories}
    return tuple(name for name in jets.further if name not in known)


def variables_of(jets: Jets, further: Sequence[str] = ()) -> FloatArray:
    r"""Return the variables that a domain is made of.

    The closeness of another jet of the event is :math:`1 / (1 + \Delta R)`. The three largest tell
    who is near, their sum over all other jets how crowded the event is. What an event has too few
    jets for is 0, the transverse momentum of the nearest jet as well.

    Args:
        jets: Jets of any sample.
        further: Further columns to add.

    Returns:
        The variables of :data:`VARIABLES`, transverse momenta in [GeV], and the further columns,
        shape (n_jets, 8 + n_further); float32 as samples are stored, so that no rounding carries a
        jet at the end of a range out of it.

    Raises:
        DataError: The jets lack a column.

    Example:
        >>> jets = Jets.from_columns({**row, "event": np.array([7, 7, 9])})
        >>> variables_of(jets)
        array([[50.,  0.,  2.,  1., 40.,  0.,  0.,  1.],
               [40.,  0.,  2.,  1., 50.,  0.,  0.,  1.],
               [30.,  0.,  1.,  0.,  0.,  0.,  0.,  0.]], dtype=float32)
    """
    n_jets = jets.multiplicity[jets.event_of_jet]
    columns = [jets.pt, jets.eta, n_jets, *_of_neighbours(jets).T]
    columns += [jet_column(jets, name, "the domain has a variable") for name in further]
    return np.stack(columns, axis=1, dtype=np.float32, casting="same_kind")


def _of_neighbours(jets: Jets) -> FloatArray:
    """Return the variables of :data:`OF_NEIGHBOURS`, shape (n_jets, 5)."""
    variables = np.zeros((jets.n_jets, len(OF_NEIGHBOURS)), dtype=np.float32)
    for index in _blocks(jets):
        if index.shape[1] == 1:
            continue
        distance = _distances(jets, index)
        nearest = np.take_along_axis(index, np.argmin(distance, axis=2), axis=1)
        closest = 1 / (1 + np.sort(distance, axis=2)[:, :, :3])
        # A jet is infinitely far from itself, so its own closeness is 0.
        variables[index, 0] = closest[:, :, 0]
        variables[index, 1] = jets.pt[nearest]
        variables[index, 2] = closest[:, :, 1]
        if index.shape[1] > 2:
            variables[index, 3] = closest[:, :, 2]
        variables[index, 4] = _total(1 / (1 + distance))
    return variables


def _blocks(jets: Jets) -> Iterator[IntArray]:
    """Go through the events: positions of the jets of some that have equally many, (m, n)."""
    for _, index in jets.by_multiplicity():
        events = max(1, BLOCK_PAIRS // index.shape[1] ** 2)
        for first in range(0, len(index), events):
            yield index[first : first + events]


def _distances(jets: Jets, index: IntArray) -> FloatArray:
    """Return Delta R of each jet to each of its event, infinite to itself, shape (m, n, n)."""
    eta = jets.eta[index]
    phi = jets.phi[index]
    distance = delta_r(eta[:, :, None], phi[:, :, None], eta[:, None, :], phi[:, None, :])
    own = np.arange(index.shape[1])
    distance[:, own, own] = np.inf
    return distance


def _total(closeness: FloatArray) -> FloatArray:
    """Sum over the last axis, one after the other, so that blocks change no digit."""
    total: FloatArray = np.zeros(closeness.shape[:2])
    for other in range(closeness.shape[2]):
        total += closeness[:, :, other]
    return total
