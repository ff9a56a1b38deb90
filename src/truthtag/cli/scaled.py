"""Weights with scale factors and their variations, as the workflow makes them of a config."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from truthtag.data.jets import Jets

if TYPE_CHECKING:
    import pandas as pd

    from truthtag.estimators.predictions import Prediction
    from truthtag.weights.sample_weights import ScaleFactorTally
    from truthtag.weights.scale_factors import ScaleFactors

__all__ = ["ScaledWeights"]


class ScaledWeights:
    """Probabilities of numbers of tags, without scale factors and in each of their variations.

    Args:
        tags: Largest number of tags.
        leading: How many jets of an event count, the hardest; all where it is None.
        keep_tags_of: Flavours that keep their tag.
        scale_factors: The scale factors.
        direct: Whether events with tags get weights for direct tagging, too.
    """

    def __init__(
        self,
        tags: int,
        leading: int | None,
        keep_tags_of: tuple[int, ...],
        scale_factors: ScaleFactors,
        *,
        direct: bool,
    ) -> None:
        self.tags = tags
        self.leading = leading
        self.keep_tags_of = keep_tags_of
        self.scale_factors = scale_factors
        self.direct = direct
        self.notes: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._tally: ScaleFactorTally | None = None

    def __call__(
        self, jets: Jets, prediction: Prediction, events: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Return the table of weights, as :data:`truthtag.exports.weighing.Weigh` does."""
        from truthtag.exports.weighing import TagWeights
        from truthtag.weights.events import weights_table
        from truthtag.weights.sample_weights import ScaleFactorTally

        if self._tally is None:
            self._tally = ScaleFactorTally(self.scale_factors)
        plain = TagWeights(self.tags, self.leading, self.keep_tags_of)
        weights = plain.weights(
            jets, prediction, self.scale_factors, direct=self.direct, tally=self._tally
        )
        return weights_table(jets, weights.counts, events, weights.factors)[0]

    def finish(self) -> None:
        """End an input: shares of jets are those of all its events.

        Raises:
            DataError: Scale factors do not fit too large a share of jets.
        """
        if self._tally is None:
            return
        self._tally.require_few()
        for what, by_variation in self._tally.notes.items():
            for variation, count in by_variation.items():
                self.notes[what][variation] += count
        self._tally = None

    def columns_of(self, selection: str, point: str) -> list[str]:
        """Return the columns of a selection with scale factors, the nominal one first.

        Args:
            selection: ``p_tag_ge_2``, say.
            point: Name of the working point; empty where there is one only.
        """
        first, *varied = self.scale_factors.variations
        endings = {first: f"{selection}_sf"} | {one: f"{selection}_sf_{one}" for one in varied}
        return [f"{name}_{point}" if point else name for name in endings.values()]

    def describe(self) -> str:
        """Return what happened to scale factors so far."""
        from truthtag.weights.sample_weights import SampleWeights

        notes = {what: dict(counts) for what, counts in self.notes.items()}
        return f"scale factors: {SampleWeights(notes=notes).describe()}"
