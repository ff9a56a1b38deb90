"""Direct tagging: weights of events that keep their own tags, corrected to those of data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from truthtag.arrays import BoolArray, FloatArray, IntArray, jet_mask
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.weights.flavour_groups import PATH
from truthtag.weights.scale_factors import MAX_NEGATIVE, in_order, scaled

__all__ = ["DirectFactors", "direct_factors", "direct_weights", "event_products", "require_points"]


def direct_weights(
    jets: Jets,
    efficiency: FloatArray,
    sf: FloatArray,
    *,
    chosen: BoolArray | None = None,
    max_negative: float = MAX_NEGATIVE,
    max_excluded: float = 0.0,
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
        max_excluded: Largest share of jets whose tag an efficiency of 0 or 1 excludes, and the
            scaled one does not; their factor is 1.

    Returns:
        Shape (n_events,); 1 for an event without jets.

    Raises:
        DataError: The jets have no tags; shapes do not fit; efficiencies or scale factors are
            refused by :func:`~truthtag.weights.scale_factors.scaled`, or cross for too many jets;
            or too many jets have a tag that their efficiency excludes.

    Source: the fixed working points of CMS, method 1a.

    Example:
        >>> tags = np.array([True, False, True])
        >>> jets = Jets.from_columns({**row, "event": np.array([7, 7, 9]), "is_tagged": tags})
        >>> direct_weights(jets, np.array([0.8, 0.5, 0.1]), np.array([0.9, 0.9, 1.2]))
        array([0.99, 1.2 ])
    """
    result = scaled(efficiency, sf)
    result.require_few_negative(max_negative)
    factors = direct_factors(jets, efficiency, sf, result.values, chosen)
    factors.require_few_excluded(max_excluded)
    return event_products(jets, factors.values)


@dataclass(frozen=True, eq=False)
class DirectFactors:
    """Factors of jets whose product is the weight of an event.

    Args:
        values: Shape (n_jets,).
        excluded: Number of jets whose tag their efficiency excludes, and the scaled one does not:
            there is no factor that makes up for this, and theirs is 1.
        considered: Number of jets that count.
        first: What the first of these jets is, for the error.
    """

    values: FloatArray
    excluded: int
    considered: int
    first: str = ""

    def with_counts_of(self, other: DirectFactors) -> DirectFactors:
        """Return the counts of these and other jets together, without their factors."""
        return DirectFactors(
            np.empty(0),
            self.excluded + other.excluded,
            self.considered + other.considered,
            self.first or other.first,
        )

    def require_few_excluded(self, allowed: float) -> None:
        """Refuse too large a share of jets without a factor.

        Raises:
            DataError: The share is larger than ``allowed``.
        """
        if self.excluded > allowed * self.considered:
            msg = (
                f"{self.first} ({self.excluded} such jets of {self.considered}): no weight can "
                "make up for that. Take an efficiency without zeros and ones, a network or a map "
                f"with wider bins, raise {PATH}.max_excluded, or do without direct tagging "
                f"({PATH}.direct: false)."
            )
            raise DataError(msg)


def direct_factors(
    jets: Jets,
    efficiency: FloatArray,
    sf: FloatArray,
    values: FloatArray,
    chosen: BoolArray | None = None,
) -> DirectFactors:
    """Return the factor of each jet in :func:`direct_weights`.

    Where efficiencies exclude the tag of a jet, its factor is 0/0 if the scaled ones exclude it as
    well: it is then the scale factor of the tightest point that the jet passes (0 where that is
    negative), and 1 of a jet that passes none. Otherwise there is none, and the jet is counted.

    Args:
        jets: Tagged jets.
        efficiency: Efficiencies, shape (n_jets,) or (n_jets, n_points).
        sf: Scale factors, in the same shape.
        values: Scaled efficiencies, in the same shape.
        chosen: Which jets count, shape (n_jets,); the factor of others is 1. All by default.

    Raises:
        DataError: The jets have no tags, or the shapes do not fit.
    """
    eff = in_order(efficiency)
    require_points(eff, jets)
    bins = jets.passes().sum(axis=1)
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
    without = (excluded & (scaled_ > 0)) | ~np.isfinite(ratio)
    factors = np.ones(jets.n_jets)
    factors[rows] = np.where(without, 1.0, np.where(excluded, own, ratio))
    if not without.any():
        return DirectFactors(factors, 0, len(rows))
    row = int(rows[np.argmax(without)])
    event = jets.event_of_jet[row]
    first = (
        f"jet {row - jets.offsets[event]} of event {jets.event[event]} passes {bins[row]} working "
        f"point(s), which its efficiency {eff[row]} excludes, and times its scale factor "
        f"{np.asarray(sf)[row]} does not"
    )
    return DirectFactors(factors, int(without.sum()), len(rows), first)


def require_points(efficiency: FloatArray, jets: Jets) -> None:
    """Refuse efficiencies that have not one value for each jet and working point.

    Raises:
        DataError: The shape is not (n_jets,), or (n_jets, n_points) where there are several points.
    """
    wanted = (jets.n_jets, jets.n_points) if jets.n_points > 1 else (jets.n_jets,)
    if efficiency.shape != wanted:
        msg = (
            f"efficiency has shape {efficiency.shape}; these jets, with {jets.n_points} working "
            f"point(s), need {wanted}"
        )
        raise DataError(msg)


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
