"""Direct tagging: weights of events that keep their own tags, corrected to those of data."""

from __future__ import annotations

import numpy as np

from truthtag.arrays import BoolArray, FloatArray, IntArray, jet_mask
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.weights.scale_factors import MAX_NEGATIVE, in_order, scaled

__all__ = ["direct_factors", "direct_weights", "event_products"]


def direct_weights(
    jets: Jets,
    efficiency: FloatArray,
    sf: FloatArray,
    *,
    chosen: BoolArray | None = None,
    max_negative: float = MAX_NEGATIVE,
) -> FloatArray:
    r"""Weight of each event for selections on its own tags, at fixed working points.

    .. math:: w = \prod_i \frac{s_{i,b} - s_{i,b+1}}{\epsilon_{i,b} - \epsilon_{i,b+1}}

    where jet i passes b working points, :math:`s` is :func:`~truthtag.weights.scale_factors.scaled`
    of its efficiencies, and :math:`\epsilon_0 = s_0 = 1`, :math:`\epsilon_{K+1} = s_{K+1} = 0`.
    With one working point and nothing clipped this is :math:`\prod_\mathrm{tagged} \mathrm{SF}
    \prod_\mathrm{untagged} (1 - \mathrm{SF}\,\epsilon) / (1 - \epsilon)`. Its mean over all ways to
    tag the jets, in any selection on tags, is what truth tagging with :math:`s` gives.

    Args:
        jets: Tagged jets.
        efficiency: Efficiencies, shape (n_jets,), or (n_jets, n_points) where there are several
            working points, in [0, 1].
        sf: Scale factors, in the same shape.
        chosen: Which jets count, shape (n_jets,); all by default.
        max_negative: Largest share of jets whose scaled working points may cross.

    Returns:
        Shape (n_events,); 1 for an event without jets.

    Raises:
        DataError: The jets have no tags; shapes do not fit; efficiencies or scale factors are
            refused by :func:`~truthtag.weights.scale_factors.scaled`, or cross for too many jets;
            or a jet has a tag that its efficiency excludes, and its scale factor does not.

    Source: the fixed working points of CMS, method 1a.

    Example:
        >>> tags = np.array([True, False, True])
        >>> jets = Jets.from_columns({**row, "event": np.array([7, 7, 9]), "is_tagged": tags})
        >>> direct_weights(jets, np.array([0.8, 0.5, 0.1]), np.array([0.9, 0.9, 1.2]))
        array([0.99, 1.2 ])
    """
    result = scaled(efficiency, sf)
    result.require_few_negative(max_negative)
    return event_products(jets, direct_factors(jets, efficiency, sf, result.values, chosen))


def direct_factors(
    jets: Jets,
    efficiency: FloatArray,
    sf: FloatArray,
    values: FloatArray,
    chosen: BoolArray | None = None,
) -> FloatArray:
    """Return the factor of each jet in :func:`direct_weights`, shape (n_jets,).

    Where efficiencies exclude the tag of a jet, its factor is 0/0 if the scaled ones exclude it as
    well: it is then the scale factor of the tightest point that the jet passes (0 where that is
    negative), and 1 of a jet that passes none. Otherwise the jet is refused.

    Args:
        jets: Tagged jets.
        efficiency: Efficiencies, shape (n_jets,) or (n_jets, n_points).
        sf: Scale factors, in the same shape.
        values: Scaled efficiencies, in the same shape.
        chosen: Which jets count, shape (n_jets,); the factor of others is 1. All by default.

    Raises:
        DataError: The jets have no tags, the shapes do not fit, or a jet is refused.
    """
    passes = jets.passes()
    eff = in_order(efficiency)
    wanted = passes.shape if jets.n_points > 1 else (jets.n_jets,)
    if eff.shape != wanted:
        msg = (
            f"efficiency has shape {eff.shape}; these jets, with {jets.n_points} working point(s), "
            f"need {wanted}"
        )
        raise DataError(msg)
    bins = passes.sum(axis=1)
    rows = np.arange(jets.n_jets)
    if chosen is not None:
        rows = np.flatnonzero(jet_mask(chosen, jets.n_jets, "chosen"))
    assumed = _of_bins(eff, bins)[rows]
    scaled_ = _of_bins(values, bins)[rows]
    excluded = assumed <= 0
    ones = np.ones((jets.n_jets, 1))
    own = np.maximum(np.column_stack([ones, sf])[np.arange(jets.n_jets), bins], 0.0)[rows]
    with np.errstate(over="ignore"):
        ratio = scaled_ / np.where(excluded, 1.0, assumed)
    factors = np.ones(jets.n_jets)
    factors[rows] = np.where(excluded, own, ratio)
    wrong = (excluded & (scaled_ > 0)) | ~np.isfinite(ratio)
    if wrong.any():
        row = int(rows[np.argmax(wrong)])
        msg = (
            f"jet {row} (event {jets.event[jets.event_of_jet[row]]}) passes {bins[row]} working "
            f"point(s), which its efficiency {eff[row]} excludes, and times its scale factor "
            f"{np.asarray(sf)[row]} does not ({int(wrong.sum())} such jets): no weight can make up "
            "for that. Take an efficiency without zeros and ones, a network or a map with wider "
            "bins, or truth tagging alone (weights.scale_factors.direct: false)."
        )
        raise DataError(msg)
    return factors


def _of_bins(efficiency: FloatArray, bins: IntArray) -> FloatArray:
    """Return the probability of the tag bin that each jet is in, shape (n_jets,).

    Args:
        efficiency: Efficiencies, shape (n_jets,) or (n_jets, n_points).
        bins: Number of working points that each jet passes, shape (n_jets,).
    """
    rows = np.arange(len(bins))
    certain = np.ones((len(bins), 1))
    never = np.zeros((len(bins), 1))
    passing = np.column_stack([certain, efficiency, never])
    return np.asarray(passing[rows, bins] - passing[rows, bins + 1])


def event_products(jets: Jets, factors: FloatArray) -> FloatArray:
    """Return the product of the factors of the jets of each event, shape (n_events,).

    Args:
        jets: The events.
        factors: A factor per jet, shape (n_jets,).
    """
    products = np.ones(jets.n_events)
    for events, index in jets.by_multiplicity():
        products[events] = factors[index].prod(axis=1)
    return products
