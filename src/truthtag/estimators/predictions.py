"""The one interface of the design: anything that gives each jet an efficiency; and predictions on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from truthtag.arrays import FloatArray
from truthtag.data.files import read_frame, read_table, write_frame
from truthtag.data.jets import Jets
from truthtag.errors import DataError

__all__ = [
    "Efficiency",
    "Prediction",
    "Replicated",
    "predict",
    "read_efficiencies",
    "read_prediction",
    "spread",
    "write_prediction",
    "write_replicas",
]


@runtime_checkable
class Efficiency(Protocol):
    """Anything with an efficiency per jet: the truth, a map, a network, an ensemble, a stored prediction."""

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the probability that each jet is tagged, shape (n_jets,)."""
        ...


@runtime_checkable
class Replicated(Efficiency, Protocol):
    """An efficiency that knows its replicas: what it might have been, had training gone otherwise."""

    def with_replicas(self, jets: Jets) -> tuple[FloatArray, FloatArray]:
        """Return the efficiencies, shape (n_jets,), and those of each replica, shape (n_replicas, n_jets)."""
        ...


@dataclass(frozen=True, eq=False)
class Prediction:
    """Efficiencies of the jets of one sample; itself an efficiency, for that sample only.

    Args:
        event: The event of each jet, shape (n_jets,).
        values: The efficiency of each jet, shape (n_jets,).
        replicas: The same by each replica, shape (n_replicas, n_jets), or None.
    """

    event: FloatArray
    values: FloatArray
    replicas: FloatArray | None = None

    @property
    def std(self) -> FloatArray | None:
        """Standard deviation over the replicas, shape (n_jets,), NaN where there is only one; None without any."""
        return None if self.replicas is None else spread(self.replicas)

    def of(self, jets: Jets) -> Prediction:
        """Return the prediction itself, if it belongs to these jets.

        Raises:
            DataError: It belongs to others.
        """
        if not np.array_equal(self.event, jets.per_jet("event")):
            msg = (
                f"a prediction for {len(self.event)} jets does not match the sample of {jets.n_jets} jets: "
                "their events differ. Predict again on this sample."
            )
            raise DataError(msg)
        return self

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the stored efficiencies.

        Raises:
            DataError: They belong to other jets.
        """
        return self.of(jets).values


def spread(replicas: FloatArray) -> FloatArray:
    """Return the standard deviation of one replica (divided by K - 1), NaN where there is only one; shape (n_jets,)."""
    if len(replicas) < 2:
        return np.full(replicas.shape[1], np.nan)
    return np.asarray(replicas.std(axis=0, ddof=1, dtype=np.float64))


def predict(efficiency: Efficiency, jets: Jets) -> Prediction:
    """Evaluate an efficiency on a sample, its replicas where it has some, and check that it gives probabilities.

    Raises:
        DataError: A value is outside [0, 1], or not a number.
    """
    values, replicas = (
        efficiency.with_replicas(jets)
        if isinstance(efficiency, Replicated)
        else (efficiency.efficiency(jets), np.empty((0, jets.n_jets)))
    )
    for one in (values, *replicas):
        bad = ~((one >= 0) & (one <= 1))
        if bad.any():
            row = int(np.argmax(bad))
            msg = f"the efficiency of jet {row} is {one[row]} ({int(bad.sum())} such jets); it must lie in [0, 1]"
            raise DataError(msg)
    return Prediction(jets.per_jet("event"), values, replicas if len(replicas) else None)


def write_prediction(prediction: Prediction, path: str | Path, metadata: Mapping[str, Any]) -> None:
    """Write a prediction as Parquet: ``event``, ``efficiency``, and ``efficiency_std`` where there are replicas."""
    columns = {"event": prediction.event, "efficiency": prediction.values}
    if prediction.std is not None:
        columns["efficiency_std"] = prediction.std
    write_frame(pd.DataFrame(columns), path, metadata)


def write_replicas(prediction: Prediction, path: str | Path, metadata: Mapping[str, Any]) -> None:
    """Write what the replicas of a prediction say, each as its difference to the efficiency.

    Differences are small, and half precision holds them to one part in two thousand: two bytes each.

    Raises:
        DataError: The prediction has no replicas.
    """
    if prediction.replicas is None:
        msg = f"{path}: the prediction has no replicas to write; use an ensemble, or a map with its replicas"
        raise DataError(msg)
    columns = {
        f"difference_{number}": (replica - prediction.values).astype(np.float16)
        for number, replica in enumerate(prediction.replicas)
    }
    write_frame(pd.DataFrame(columns), path, metadata)


def read_prediction(path: str | Path, replicas: str | Path | None = None) -> Prediction:
    """Read a prediction that :func:`write_prediction` wrote.

    Args:
        path: The file.
        replicas: The file of :func:`write_replicas`; without it, the prediction has none.

    Raises:
        DataError: A file is missing, truncated or foreign, or lacks a column, or the two have different numbers of jets.
    """
    frame = read_frame(path, ("event", "efficiency"))
    values = frame["efficiency"].to_numpy()
    by_replica = None if replicas is None else _read_replicas(replicas, values)
    return Prediction(frame["event"].to_numpy(), values, by_replica)


def _read_replicas(path: str | Path, values: FloatArray) -> FloatArray:
    table = read_table(path, ("difference_0",))
    if table.num_rows != len(values):
        msg = f"{path}: holds replicas of {table.num_rows} jets, the prediction has {len(values)}. Predict again."
        raise DataError(msg)
    differences = np.stack([column.to_numpy() for column in table.columns]).astype(np.float32)
    return np.clip(differences + values.astype(np.float32), 0, 1)


def read_efficiencies(paths: Mapping[str, str | Path], jets: Jets) -> dict[str, FloatArray]:
    """Read several predictions on one sample, by name, each of shape (n_jets,).

    Raises:
        DataError: A file is missing, truncated or foreign, or belongs to other jets.
    """
    return {name: read_prediction(path).efficiency(jets) for name, path in paths.items()}
