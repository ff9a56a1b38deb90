"""All weights of the events of a sample: numbers of tags, with scale factors and their variations
where there are some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from truthtag.arrays import BoolArray, FloatArray, plain_array
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.weights.direct import DirectFactors, direct_factors, event_products, require_points
from truthtag.weights.events import hybrid
from truthtag.weights.scale_factors import (
    NOMINAL_VARIATION,
    Scaled,
    ScaleFactors,
    require_few_negative,
    scaled,
)
from truthtag.weights.tag_counts import TagCounts, tag_counts

__all__ = ["SampleWeights", "ScaleFactorTally", "Selection", "sample_weights"]


@dataclass(frozen=True)
class Selection:
    """Which numbers of tags are asked for, and of which jets.

    Args:
        max_tags: Largest number of tags.
        chosen: Which jets count, shape (n_jets,); None for all.
        keep_tags_of: Hadron flavours whose jets keep their tags: hybrid tagging.
    """

    max_tags: int
    chosen: BoolArray | None = None
    keep_tags_of: Sequence[int] = ()


@dataclass(frozen=True, eq=False)
class SampleWeights:
    """What :func:`~truthtag.weights.events.weights_table` makes a table of.

    Args:
        counts: Probabilities of numbers of tags by the ending of the names of their columns:
            empty, or a working point, without scale factors; ``sf`` with nominal ones,
            ``sf_heavy_up`` varied, with the working point behind where there are several.
        factors: Factors for direct tagging, by the names of their columns: ``weight_direct``,
            ``weight_direct_heavy_up``.
        notes: What happened to scale factors, for the metadata, by variation: how many jets were
            ``clamped``, how many efficiencies ``clipped``, at how many jets the bin between two
            working points would have been ``negative``, and how many jets that are tagged directly
            had a tag that their efficiency ``excluded``. Empty where a tally has them.
    """

    counts: dict[str, TagCounts] = field(default_factory=dict)
    factors: dict[str, FloatArray] = field(default_factory=dict)
    notes: dict[str, dict[str, int]] = field(default_factory=dict)

    def describe(self) -> str:
        """Return a line for the log: the notes, of the nominal scale factors and at most.

        Example:
            >>> SampleWeights(notes={"clamped": {"nominal": 0, "heavy_up": 2}}).describe()
            'clamped 0 (at most 2 in 2 variations)'
        """
        return _described(self.notes)


class ScaleFactorTally:
    """What scale factors did to the jets of a sample, added up over its blocks.

    Args:
        scale_factors: The scale factors; they say which shares of jets are allowed.
    """

    def __init__(self, scale_factors: ScaleFactors) -> None:
        self.scale_factors = scale_factors
        self._n_jets = 0
        self._counts: dict[str, dict[str, int]] = {}
        self._direct: dict[str, list[DirectFactors]] = {}

    def add(
        self, variation: str, clamped: int, result: Scaled, used: Sequence[DirectFactors]
    ) -> None:
        """Add what happened in a variation to the jets of a block.

        Args:
            variation: Its name.
            clamped: How many jets were brought into the range of the scale factors.
            result: The scaled efficiencies.
            used: The factors for direct tagging, those of each working point and selection.
        """
        if variation == NOMINAL_VARIATION:
            self._n_jets += len(result.values)
        new = {"clamped": clamped, "clipped": result.clipped, "negative": result.negative}
        counts = self._counts.setdefault(variation, dict.fromkeys(new, 0))
        for what, number in new.items():
            counts[what] += number
        before = self._direct.get(variation, [DirectFactors(np.empty(0), 0, 0)] * len(used))
        added = [one.with_counts_of(other) for one, other in zip(before, used, strict=True)]
        self._direct[variation] = added

    def require_few(self) -> None:
        """Refuse scale factors that do not fit too large a share of jets, after the last block.

        Raises:
            DataError: Working points cross for too many, or their tags are excluded.
        """
        for variation, counts in self._counts.items():
            allowed = self.scale_factors.max_negative
            require_few_negative(counts["negative"], self._n_jets, allowed)
            for one in self._direct[variation]:
                one.require_few_excluded(self.scale_factors.max_excluded)

    @property
    def notes(self) -> dict[str, dict[str, int]]:
        """What happened, as in :class:`SampleWeights`."""
        notes: dict[str, dict[str, int]] = {}
        for variation, counts in self._counts.items():
            excluded = max((one.excluded for one in self._direct[variation]), default=0)
            for what, number in {**counts, "excluded": excluded}.items():
                notes.setdefault(what, {})[variation] = number
        return notes

    def describe(self) -> str:
        """Return a line for the log, as :meth:`SampleWeights.describe`."""
        return _described(self.notes)


def _described(notes: Mapping[str, Mapping[str, int]]) -> str:
    parts = []
    for what, numbers in notes.items():
        nominal = numbers[NOMINAL_VARIATION]
        most = max(numbers.values())
        parts.append(f"{what} {nominal} (at most {most} in {len(numbers)} variations)")
    return "; ".join(parts)


def sample_weights(
    jets: Jets,
    efficiency: FloatArray,
    selection: Selection,
    scale_factors: ScaleFactors | None = None,
    *,
    direct: bool = True,
    tally: ScaleFactorTally | None = None,
) -> SampleWeights:
    r"""Weight the events of a sample, without scale factors and in each of their variations.

    Jets that keep their tags are tagged directly. With scale factors, the probabilities are
    therefore multiplied by their factors in :func:`~truthtag.weights.direct.direct_weights`.

    Args:
        jets: The events; tagged where tags are kept, or for direct tagging.
        efficiency: Efficiencies, shape (n_jets,), or (n_jets, n_points) where the jets have several
            working points.
        selection: Which numbers of tags are asked for.
        scale_factors: Scale factors, if any.
        direct: Whether to weight events for direct tagging, too, where jets have tags.
        tally: Where the events are a block of a sample: what happened is added to it, and it
            refuses what must not happen too often, when all blocks are there.

    Raises:
        DataError: Efficiencies, tags or scale factors do not fit together; see the functions named
            above.
    """
    efficiency = plain_array(efficiency, "efficiency")
    require_points(efficiency, jets)
    samples = _by_point(jets, selection)
    weights = SampleWeights()
    for position, (point, sample) in enumerate(samples.items()):
        eff = _at(position, efficiency)
        weights.counts[point] = _counts(sample, eff, selection)
    if scale_factors is None:
        return weights
    _require_same_points(jets, scale_factors)
    counted = ScaleFactorTally(scale_factors) if tally is None else tally
    for variation, found in scale_factors.by_variation(jets):
        result = scaled(efficiency, found.values)
        varied = "" if variation == NOMINAL_VARIATION else variation
        by_jet = (efficiency, found.values, result.values)
        used: list[DirectFactors] = []
        for position, (point, sample) in enumerate(samples.items()):
            eff, sf, values = (_at(position, one) for one in by_jet)
            counts = _counts(sample, values, selection)
            if selection.keep_tags_of:
                kept = direct_factors(sample, eff, sf, values, _kept(sample, selection))
                counts = _times(counts, event_products(sample, kept.values))
                used.append(kept)
            weights.counts[_joined("sf", varied, point)] = counts
        if direct and jets.has_tags:
            used.append(direct_factors(jets, *by_jet, selection.chosen))
            products = event_products(jets, used[-1].values)
            weights.factors[_joined("weight_direct", varied)] = products
        counted.add(variation, found.clamped, result, used)
    if tally is None:
        counted.require_few()
        weights.notes.update(counted.notes)
    return weights


def _by_point(jets: Jets, selection: Selection) -> dict[str, Jets]:
    """Return the jets at each working point, by its name; an empty name where there is one only.

    Where no tags are kept, only the events matter.
    """
    names = jets.labels.points if jets.n_points > 1 else ("",)
    if not selection.keep_tags_of:
        return dict.fromkeys(names, jets)
    return {name: jets.at_point(name or None) for name in names}


def _at(position: int, values: FloatArray) -> FloatArray:
    """Return what is at one working point, shape (n_jets,)."""
    return values if values.ndim == 1 else values[:, position]


def _joined(*parts: str) -> str:
    """Return the ending of a name of columns, of the parts that are not empty."""
    return "_".join(filter(None, parts))


def _counts(jets: Jets, efficiency: FloatArray, selection: Selection) -> TagCounts:
    """Return probabilities of numbers of tags; flavours that keep their tags have 1 or 0."""
    eff = efficiency
    if selection.keep_tags_of:
        eff = hybrid(jets, efficiency, selection.keep_tags_of)
    return tag_counts(jets, eff, selection.max_tags, selection.chosen)


def _kept(jets: Jets, selection: Selection) -> BoolArray:
    """Return which jets keep their tags and count, shape (n_jets,)."""
    kept = np.isin(jets.flavour, list(selection.keep_tags_of))
    return kept if selection.chosen is None else kept & selection.chosen


def _times(counts: TagCounts, factors: FloatArray) -> TagCounts:
    """Multiply the probabilities of each event by its factor."""
    return TagCounts(counts.exactly * factors[:, None], counts.at_least * factors[:, None])


def _require_same_points(jets: Jets, scale_factors: ScaleFactors) -> None:
    """Refuse scale factors for other working points than those of the jets."""
    if jets.n_points > 1 and jets.labels.points != scale_factors.points:
        theirs = ", ".join(scale_factors.points) or "one without a name"
        msg = (
            f"scale factors are for the working points {theirs}, the jets have "
            f"{', '.join(jets.labels.points)}. Read the scale factors for these."
        )
        raise DataError(msg)
