"""The one interface of the design: anything that gives each jet an efficiency; and predictions on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from truthtag.arrays import FloatArray
from truthtag.errors import DataError
from truthtag.jets import Jets
from truthtag.tables import read_frame, write_frame

__all__ = ["Efficiency", "Prediction", "predict", "read_efficiencies", "read_prediction", "write_prediction"]


@runtime_checkable
class Efficiency(Protocol):
    """Anything with an efficiency per jet: the truth, a map, a network, an ensemble, a stored prediction."""

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the probability that each jet is tagged, shape (n_jets,)."""
        ...


@dataclass(frozen=True, eq=False)
class Prediction:
    """Efficiencies of the jets of one sample; itself an efficiency, for that sample only.

    Args:
        event: The event of each jet, shape (n_jets,).
        values: The efficiency of each jet, shape (n_jets,).
        std: Standard deviation over the members of an ensemble, shape (n_jets,), or None.
    """

    event: FloatArray
    values: FloatArray
    std: FloatArray | None = None

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the stored efficiencies.

        Raises:
            DataError: They belong to other jets.
        """
        if not np.array_equal(self.event, jets.per_jet("event")):
            msg = (
                f"a prediction for {len(self.event)} jets does not match the sample of {jets.n_jets} jets: "
                "their events differ. Predict again on this sample."
            )
            raise DataError(msg)
        return self.values


def predict(efficiency: Efficiency, jets: Jets) -> Prediction:
    """Evaluate an efficiency on a sample, and check that it gives probabilities.

    Raises:
        DataError: A value is outside [0, 1], or not a number.
    """
    spread = getattr(efficiency, "mean_and_std", None)
    values, std = spread(jets) if spread else (efficiency.efficiency(jets), None)
    bad = ~((values >= 0) & (values <= 1))
    if bad.any():
        row = int(np.argmax(bad))
        msg = f"the efficiency of jet {row} is {values[row]} ({int(bad.sum())} such jets); it must lie in [0, 1]"
        raise DataError(msg)
    return Prediction(jets.per_jet("event"), values, std)


def write_prediction(prediction: Prediction, path: str | Path, metadata: Mapping[str, Any]) -> None:
    """Write a prediction as Parquet: ``event``, ``efficiency``, and ``efficiency_std`` where there is one."""
    columns = {"event": prediction.event, "efficiency": prediction.values}
    if prediction.std is not None:
        columns["efficiency_std"] = prediction.std
    write_frame(pd.DataFrame(columns), path, metadata)


def read_prediction(path: str | Path) -> Prediction:
    """Read a prediction that :func:`write_prediction` wrote.

    Raises:
        DataError: The file is missing, truncated or foreign, or lacks a column.
    """
    frame = read_frame(path, ("event", "efficiency"))
    std = frame["efficiency_std"].to_numpy() if "efficiency_std" in frame else None
    return Prediction(frame["event"].to_numpy(), frame["efficiency"].to_numpy(), std)


def read_efficiencies(paths: Mapping[str, str | Path], jets: Jets) -> dict[str, FloatArray]:
    """Read several predictions on one sample, by name, each of shape (n_jets,).

    Raises:
        DataError: A file is missing, truncated or foreign, or belongs to other jets.
    """
    return {name: read_prediction(path).efficiency(jets) for name, path in paths.items()}
