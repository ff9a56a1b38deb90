"""Predictions: the efficiencies of the jets of one sample, in memory and on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from truthtag.arrays import AnyArray, FloatArray, IntArray, per_jet, plain_array
from truthtag.data.files import read_metadata, read_table, write_table
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.estimators.protocol import Efficiency, Replicated

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Prediction",
    "predict",
    "read_efficiencies",
    "read_prediction",
    "replica_std",
    "write_prediction",
    "write_replicas",
]

JETS_DIGEST = "jets_digest"
"""Where the metadata of a prediction hold the digest of its jets."""

PREDICTION_DIGEST = "prediction_digest"
"""Where the metadata of a prediction and of its replicas hold the digest of the prediction."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Efficiencies of the jets of one sample; itself an efficiency, for that sample only.

    Args:
        event: The event of each jet, shape (n_jets,).
        values: The efficiency of each jet, shape (n_jets,).
        replicas: The same by each replica, shape (n_replicas, n_jets), or None.
        jets_digest: What :meth:`~truthtag.data.jets.Jets.digest` says of the jets; empty where that
            is not known, and only the events can be compared.

    Raises:
        DataError: The shapes do not fit together, or an entry is masked.
    """

    event: IntArray
    values: FloatArray
    replicas: FloatArray | None = None
    jets_digest: str = ""

    def __post_init__(self) -> None:
        event = plain_array(self.event, "events of a prediction")
        values = per_jet(self.values, event.size, "the efficiency")
        object.__setattr__(self, "event", event)
        object.__setattr__(self, "values", values)
        if self.replicas is None:
            return
        replicas = plain_array(self.replicas, "replicas of a prediction")
        if replicas.ndim != 2 or replicas.shape[1] != event.size or not len(replicas):
            msg = (
                f"replicas of a prediction have shape {replicas.shape}; "
                f"they must have a row for each replica, (n_replicas, {event.size})"
            )
            raise DataError(msg)
        object.__setattr__(self, "replicas", replicas)

    @property
    def std(self) -> FloatArray | None:
        """Standard deviation over the replicas, (n_jets,), NaN with only one; None without any."""
        return None if self.replicas is None else replica_std(self.replicas)

    def aligned_to(self, jets: Jets) -> Prediction:
        """Return the prediction itself, if it belongs to these jets.

        Raises:
            DataError: It belongs to others.
        """
        if not np.array_equal(self.event, jets.per_jet("event")):
            msg = (
                f"a prediction for {len(self.event)} jets does not match the sample of "
                f"{jets.n_jets} jets: their events differ. Predict again on this sample."
            )
            raise DataError(msg)
        if self.jets_digest and self.jets_digest != jets.digest():
            msg = (
                "a prediction for other jets with the same event numbers: the jets that were "
                "predicted differ from these in pt, eta, phi, mass or flavour. "
                "Predict again on this sample."
            )
            raise DataError(msg)
        return self

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the stored efficiencies, shape (n_jets,).

        Raises:
            DataError: They belong to other jets.
        """
        return self.aligned_to(jets).values

    def digest(self) -> str:
        """Return a short text that stands for the events, the jets and the efficiencies."""
        hashed = hashlib.sha256(self.jets_digest.encode())
        hashed.update(np.ascontiguousarray(self.event, dtype="<i8").tobytes())
        hashed.update(np.ascontiguousarray(self.values, dtype="<f8").tobytes())
        return hashed.hexdigest()[:16]


def replica_std(replicas: FloatArray) -> FloatArray:
    """Return the standard deviation of one replica, divided by K - 1; NaN where there is only one.

    Args:
        replicas: What each replica says, shape (n_replicas, n_jets).

    Returns:
        Shape (n_jets,).
    """
    if len(replicas) < 2:
        return np.full(replicas.shape[1], np.nan)
    return np.asarray(replicas.std(axis=0, ddof=1, dtype=np.float64))


def predict(efficiency: Efficiency, jets: Jets) -> Prediction:
    """Evaluate an efficiency on a sample, and its replicas where it has some.

    Args:
        efficiency: Anything with an efficiency per jet.
        jets: The sample.

    Raises:
        DataError: There is not one value per jet, or a value is not a probability.
    """
    event = jets.per_jet("event")
    digest = jets.digest()
    if not isinstance(efficiency, Replicated):
        values = per_jet(efficiency.efficiency(jets), jets.n_jets, "the efficiency")
        _require_probabilities(values, event)
        return Prediction(event, values, None, digest)
    nominal, by_replica = efficiency.with_replicas(jets)
    values = per_jet(nominal, jets.n_jets, "the efficiency")
    _require_probabilities(values, event)
    replicas = plain_array(by_replica, "replicas of the efficiency")
    for number, one in enumerate(replicas):
        _require_probabilities(one, event, f"replica {number}: ")
    return Prediction(event, values, replicas if len(replicas) else None, digest)


def _require_probabilities(values: AnyArray, event: IntArray, where: str = "") -> None:
    """Refuse values that are not in [0, 1], NaN included, naming the first jet.

    Args:
        values: The efficiencies, shape (n_jets,).
        event: The event of each jet, shape (n_jets,).
        where: How the error begins: the file, say.
    """
    if values.dtype.kind not in "fiub":
        msg = f"{where}the efficiencies are {values.dtype} values; they must lie in [0, 1]"
        raise DataError(msg)
    # The negation, since a comparison with NaN is false.
    wrong = ~((values >= 0) & (values <= 1))
    if wrong.any():
        row = int(np.argmax(wrong))
        msg = (
            f"{where}the efficiency of jet {row} is {values[row]} ({int(wrong.sum())} such jets); "
            f"it must lie in [0, 1]. The jet is in event {event[row]}."
        )
        raise DataError(msg)


def write_prediction(prediction: Prediction, path: str | Path, metadata: Mapping[str, Any]) -> None:
    """Write a prediction as Parquet, row-aligned with its sample.

    The columns are ``event``, ``efficiency``, and ``efficiency_std`` where there are replicas.

    Args:
        prediction: The prediction.
        path: The file to write.
        metadata: What to record about its origin; digests of jets and prediction are added.

    Raises:
        DataError: A value is not a probability, or the file cannot be written.
    """
    _require_probabilities(prediction.values, prediction.event, f"{path}: ")
    columns = {"event": prediction.event, "efficiency": prediction.values}
    if prediction.std is not None:
        columns["efficiency_std"] = prediction.std
    digests = {JETS_DIGEST: prediction.jets_digest, PREDICTION_DIGEST: prediction.digest()}
    write_table(_table(columns), path, {**metadata, **digests})


def write_replicas(prediction: Prediction, path: str | Path, metadata: Mapping[str, Any]) -> None:
    """Write what the replicas of a prediction say, each as its difference to the efficiency.

    A difference in single precision, four bytes, is right to 1e-7 of itself. Half precision ends at
    6e-8: replicas of an efficiency of 1e-7 would all be equal.

    Args:
        prediction: The prediction.
        path: The file to write.
        metadata: What to record about its origin; the digest of the prediction is added.

    Raises:
        DataError: The prediction has no replicas, or a value of theirs is not a probability.
    """
    if prediction.replicas is None:
        msg = (
            f"{path}: the prediction has no replicas to write; "
            "use an ensemble, or a map with its replicas"
        )
        raise DataError(msg)
    columns = {}
    for number, replica in enumerate(prediction.replicas):
        _require_probabilities(replica, prediction.event, f"{path}: replica {number}: ")
        columns[f"difference_{number}"] = (replica - prediction.values).astype(np.float32)
    write_table(_table(columns), path, {**metadata, PREDICTION_DIGEST: prediction.digest()})


def _table(columns: Mapping[str, AnyArray]) -> pa.Table:
    import pyarrow as pa

    return pa.table({name: pa.array(values) for name, values in columns.items()})


def read_prediction(path: str | Path, replicas: str | Path | None = None) -> Prediction:
    """Read a prediction that :func:`write_prediction` wrote.

    Args:
        path: The file.
        replicas: The file of :func:`write_replicas`; without it, the prediction has none.

    Raises:
        DataError: A file is missing, damaged or foreign, lacks a column, holds a value that is not
            a probability, or the replicas are those of another prediction.
    """
    table = read_table(path, ("event", "efficiency"))
    event = _column(table, "event", path)
    values = _column(table, "efficiency", path)
    if event.dtype.kind not in "iu":
        msg = f"{path}: column 'event' is {event.dtype}; event numbers are integers"
        raise DataError(msg)
    _require_probabilities(values, event, f"{path}: ")
    metadata = read_metadata(path)
    jets_digest = str(metadata.get(JETS_DIGEST, ""))
    prediction = Prediction(event, values, None, jets_digest)
    stored = metadata.get(PREDICTION_DIGEST)
    if stored is not None and stored != prediction.digest():
        msg = (
            f"{path}: is damaged, or was changed by hand: its values are not those that were "
            "written. Delete it and predict again."
        )
        raise DataError(msg)
    if replicas is None:
        return prediction
    by_replica = _read_replicas(replicas, path, prediction)
    return Prediction(event, values, by_replica, jets_digest)


def _column(table: pa.Table, name: str, path: str | Path) -> AnyArray:
    """Return a column without empty cells."""
    column = table[name]
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy())[0])
        msg = f"{path}: column {name!r} is empty in row {row}. Predict again."
        raise DataError(msg)
    values: AnyArray = column.to_numpy()
    return values


def _read_replicas(
    path: str | Path, prediction_path: str | Path, prediction: Prediction
) -> FloatArray:
    """Return what each replica says, shape (n_replicas, n_jets), float32."""
    table = read_table(path, ("difference_0",))
    values = prediction.values
    if table.num_rows != len(values):
        msg = (
            f"{path}: holds replicas of {table.num_rows} jets, "
            f"the prediction has {len(values)}. Predict again."
        )
        raise DataError(msg)
    if read_metadata(path).get(PREDICTION_DIGEST) != prediction.digest():
        msg = (
            f"{path}: holds replicas of another network, map or sample, not of the prediction in "
            f"{prediction_path}. Predict again, which writes both."
        )
        raise DataError(msg)
    rounded = values.astype(np.float32)
    replicas = np.empty((table.num_columns, len(values)), dtype=np.float32)
    for number in range(table.num_columns):
        difference = _column(table, f"difference_{number}", path).astype(np.float32)
        if not np.isfinite(difference).all():
            row = int(np.argmin(np.isfinite(difference)))
            msg = (
                f"{path}: replica {number} is {difference[row]} for jet {row} "
                f"(event {prediction.event[row]}); every value must be finite. Predict again."
            )
            raise DataError(msg)
        # Rounding of the sum can leave [0, 1].
        replicas[number] = np.clip(difference + rounded, 0, 1)
    return replicas


def read_efficiencies(paths: Mapping[str, str | Path], jets: Jets) -> dict[str, FloatArray]:
    """Read several predictions on one sample.

    Args:
        paths: Their files, by name.
        jets: The sample.

    Returns:
        The efficiencies by name, each of shape (n_jets,).

    Raises:
        DataError: A file is missing, damaged or foreign, or belongs to other jets; the error names
            the file.
    """
    efficiencies = {}
    for name, path in paths.items():
        prediction = read_prediction(path)
        try:
            efficiencies[name] = prediction.efficiency(jets)
        except DataError as error:
            msg = f"{path}: {error}"
            raise DataError(msg) from error
    return efficiencies
