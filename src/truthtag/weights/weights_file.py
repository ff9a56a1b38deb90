"""The file with the weights of all events of a sample, written block by block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyarrow as pa

from truthtag.data.files import ParquetBlocks
from truthtag.data.jets import Jets
from truthtag.estimators.predictions import Prediction
from truthtag.weights.effective import EffectiveEvents
from truthtag.weights.events import weights_table
from truthtag.weights.sample_weights import ScaleFactorTally, Selection, sample_weights
from truthtag.weights.scale_factors import ScaleFactors

__all__ = ["WeightsFile"]


class WeightsFile:
    """Weights of the events of a sample by one efficiency, block by block into a file.

    Args:
        file: The file; a block of it is a row group.
        metadata: What to record about its origin; numbers of effective events are added, and what
            happened to scale factors.
        scale_factors: Scale factors, if any.
        direct: Whether to weight events for direct tagging, too, where jets have tags.
    """

    def __init__(
        self,
        file: ParquetBlocks,
        metadata: Mapping[str, Any],
        scale_factors: ScaleFactors | None = None,
        *,
        direct: bool = True,
    ) -> None:
        self.n_events = 0
        self._file = file
        self._metadata = metadata
        self._scale_factors = scale_factors
        self._direct = direct
        self._tally = None if scale_factors is None else ScaleFactorTally(scale_factors)
        self._effective: dict[str, EffectiveEvents] = {}

    def write(
        self,
        jets: Jets,
        prediction: Prediction,
        selection: Selection,
        events: pd.DataFrame | None = None,
    ) -> None:
        """Add the events that follow.

        Args:
            jets: The events.
            prediction: Efficiencies of their jets.
            selection: Which numbers of tags are asked for.
            events: All events, those without jets among them; by default those of the jets.

        Raises:
            DataError: What is given does not fit together; see
                :func:`~truthtag.weights.sample_weights.sample_weights` and
                :func:`~truthtag.weights.events.weights_table`.
        """
        eff = prediction.at_points_of(jets)
        weights = sample_weights(
            jets, eff, selection, self._scale_factors, direct=self._direct, tally=self._tally
        )
        table, selected = weights_table(jets, weights.counts, events, weights.factors)
        weight = table["weight"].to_numpy()
        for name in selected:
            effective = self._effective.setdefault(name, EffectiveEvents())
            effective.add(weight * table[name].to_numpy())
        self._file.write(pa.Table.from_pandas(table, preserve_index=False))
        self.n_events += len(table)

    def finish(self) -> dict[str, float]:
        """Check and record what is known after the last block.

        Returns:
            The number of effective events in each selection.

        Raises:
            DataError: Scale factors do not fit too large a share of jets.
        """
        effective = {name: one.value for name, one in self._effective.items()}
        notes: dict[str, Any] = {}
        if self._scale_factors is not None and self._tally is not None:
            self._tally.require_few()
            provenance = self._scale_factors.provenance
            notes["scale_factors"] = {**provenance, **self._tally.notes}
        self._file.metadata = {**self._metadata, "effective_events": effective, **notes}
        return effective

    def describe(self) -> str:
        """Return what happened to scale factors, for the log; empty without any."""
        return "" if self._tally is None else self._tally.describe()
