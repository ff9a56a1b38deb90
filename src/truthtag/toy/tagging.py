"""The tagger of the toy: it obeys the true efficiency."""

from __future__ import annotations

import numpy as np

from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.toy.truth import Truth

__all__ = ["tag"]


def tag(jets: Jets, truth: Truth, rng: np.random.Generator) -> Jets:
    """Tag each jet with the probability that the truth gives it.

    A jet is tagged where its score, uniform on [0, 1), is below its efficiency. The score is kept,
    so that any other efficiency can be tagged with the same draws.

    Args:
        jets: The jets.
        truth: The true efficiency.
        rng: Where the scores come from.

    Returns:
        The same jets with ``score``, ``is_tagged`` and ``efficiency_true``.

    Raises:
        DataError: The truth gives a value that is no probability, or not one value per jet.
    """
    eff = truth.efficiency(jets)
    _require_probabilities(eff, jets)
    score = rng.random(jets.n_jets)
    return jets.with_columns(score=score, is_tagged=score < eff, efficiency_true=eff)


def _require_probabilities(eff: FloatArray, jets: Jets) -> None:
    """Refuse a true efficiency that is not one probability per jet."""
    if np.shape(eff) != (jets.n_jets,):
        msg = f"truth: it gives efficiencies of shape {np.shape(eff)}; it must be ({jets.n_jets},)"
        raise DataError(msg)
    # NaN is outside, too.
    outside = np.flatnonzero(~((eff >= 0) & (eff <= 1)))
    if len(outside):
        jet = int(outside[0])
        msg = (
            f"truth: the efficiency of a jet of flavour {jets.flavour[jet]}, "
            f"pt {jets.pt[jet]} GeV, eta {jets.eta[jet]} is {eff[jet]} "
            f"({len(outside)} such jets); it must be in [0, 1]. Correct the truth."
        )
        raise DataError(msg)
