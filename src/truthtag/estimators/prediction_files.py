"""Predictions on disk: written and read whole, or in step with blocks of their sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from truthtag.arrays import AnyArray, FloatArray, IntArray
from truthtag.data.blocks import RowSteps, open_steps
from truthtag.data.files import ParquetBlocks, atomic_write, open_parquet, read_metadata
from truthtag.data.jets import Jets, JetsDigest
from truthtag.errors import DataError
from truthtag.estimators.predictions import (
    Prediction,
    PredictionDigest,
    require_events_of,
    require_jets_of,
    require_points_of,
    require_probabilities,
)

__all__ = [
    "JETS_DIGEST",
    "POINTS",
    "PREDICTION_DIGEST",
    "PredictionReader",
    "PredictionWriter",
    "open_prediction",
    "prediction_writer",
    "read_prediction",
    "write_prediction",
    "write_replicas",
]

JETS_DIGEST = "jets_digest"
"""Where the metadata of a prediction hold the digest of its jets."""

PREDICTION_DIGEST = "prediction_digest"
"""Where the metadata of a prediction and of its replicas hold the digest of the prediction."""

POINTS = "points"
"""Where the metadata of a prediction hold the names of its working points, where they have some."""

DIGEST_FORM = "by_column_"
"""What a digest of a prediction begins with: those of other forms cannot be compared."""


class PredictionWriter:
    """Writes a prediction block by block, and its replicas beside it; a row group per block.

    The columns are ``event``, ``efficiency``, and ``efficiency_std`` where there are replicas; with
    several working points, ``efficiency_NAME`` and ``efficiency_std_NAME`` for each. Replicas are
    stored as their difference to the efficiency, in ``difference_0``, ``difference_1``, ...; with
    several working points, ``difference_0_NAME`` and so on. A difference in single precision, four
    bytes, is right to 1e-7 of itself. Half precision ends at 6e-8: replicas of an efficiency of
    1e-7 would all be equal.

    Args:
        prediction: The file of the prediction; None for none.
        replicas: The file of its replicas; None for none.
        metadata: What to record about the origin; digests of jets and prediction are added.
    """

    def __init__(
        self,
        prediction: ParquetBlocks | None,
        replicas: ParquetBlocks | None,
        metadata: Mapping[str, Any],
    ) -> None:
        self._prediction = prediction
        self._replicas = replicas
        self._metadata = metadata
        self._digest = PredictionDigest()
        self._jets_digest = JetsDigest()
        self._points: tuple[str, ...] = ()
        self._n_rows = 0

    def write(self, block: Prediction, jets: Jets) -> None:
        """Add what is predicted of the jets that follow.

        Args:
            block: The prediction.
            jets: These jets.

        Raises:
            DataError: A value is not a probability, one at a tighter working point exceeds that at
                a looser one, or there are no replicas and they are to be written.
        """
        self._jets_digest.add(jets)
        self._write(block)

    def finish(self) -> None:
        """Record the digests, after the last block."""
        self._record(self._jets_digest.text())

    def write_whole(self, prediction: Prediction) -> None:
        """Write a prediction that knows the digest of its jets."""
        self._write(prediction)
        self._record(prediction.jets_digest)

    def _write(self, block: Prediction) -> None:
        self._points = block.points
        self._digest.add(block)
        if self._prediction is not None:
            self._prediction.write(self._table(block))
        if self._replicas is not None:
            self._replicas.write(self._table_of_replicas(block))
        self._n_rows += len(block.event)

    def _table(self, block: Prediction) -> pa.Table:
        points = block.points
        where = f"{_shown(self._prediction)}: "
        require_probabilities(block.values, block.event, points, where, self._n_rows)
        columns = {"event": block.event, **_columns("efficiency", block.values, points)}
        if block.std is not None:
            columns |= _columns("efficiency_std", block.std, points)
        return _as_table(columns)

    def _table_of_replicas(self, block: Prediction) -> pa.Table:
        path = _shown(self._replicas)
        if block.replicas is None:
            msg = (
                f"{path}: the prediction has no replicas to write; "
                "use an ensemble, or a map with its replicas"
            )
            raise DataError(msg)
        columns: dict[str, AnyArray] = {}
        for number, replica in enumerate(block.replicas):
            where = f"{path}: replica {number}: "
            require_probabilities(replica, block.event, block.points, where, self._n_rows)
            difference = (replica - block.values).astype(np.float32)
            columns |= _columns(f"difference_{number}", difference, block.points)
        return _as_table(columns)

    def _record(self, jets_digest: str) -> None:
        digest = {PREDICTION_DIGEST: DIGEST_FORM + self._digest.text(jets_digest, self._points)}
        if self._replicas is not None:
            self._replicas.metadata = {**self._metadata, **digest}
        if self._prediction is not None:
            known: dict[str, Any] = {JETS_DIGEST: jets_digest, **digest}
            if self._points:
                known[POINTS] = list(self._points)
            self._prediction.metadata = {**self._metadata, **known}


@contextmanager
def prediction_writer(
    path: str | Path | None, replicas: str | Path | None, metadata: Mapping[str, Any]
) -> Iterator[PredictionWriter]:
    """Open files for a prediction and its replicas, which appear whole or not at all.

    Args:
        path: The file of the prediction; None for none.
        replicas: The file of its replicas; None for none.
        metadata: What to record about the origin.

    Raises:
        DataError: A file cannot be written.
    """
    with ExitStack() as stack:

        def opened(target: str | Path | None) -> ParquetBlocks | None:
            if target is None:
                return None
            temporary = stack.enter_context(atomic_write(target))
            return stack.enter_context(ParquetBlocks(temporary, metadata, target))

        yield PredictionWriter(opened(path), opened(replicas), metadata)


def write_prediction(prediction: Prediction, path: str | Path, metadata: Mapping[str, Any]) -> None:
    """Write a prediction as Parquet, row-aligned with its sample; see :class:`PredictionWriter`.

    Args:
        prediction: The prediction.
        path: The file to write.
        metadata: What to record about its origin; digests of jets and prediction are added.

    Raises:
        DataError: A value is not a probability, one at a tighter working point exceeds that at a
            looser one, or the file cannot be written.
    """
    with prediction_writer(path, None, metadata) as writer:
        writer.write_whole(prediction)


def write_replicas(prediction: Prediction, path: str | Path, metadata: Mapping[str, Any]) -> None:
    """Write what the replicas of a prediction say; see :class:`PredictionWriter`.

    Args:
        prediction: The prediction.
        path: The file to write.
        metadata: What to record about its origin; the digest of the prediction is added.

    Raises:
        DataError: The prediction has no replicas, or a value of theirs is not a probability.
    """
    with prediction_writer(None, path, metadata) as writer:
        writer.write_whole(prediction)


class PredictionReader:
    """A stored prediction, read in step with the blocks of its sample.

    Args:
        path: What the error messages call the prediction.
        metadata: Its metadata.
        rows: Its rows.
        replicas: Those of its replicas, or None.
        replicas_of: The digest of the prediction that these say they belong to.

    Raises:
        DataError: The files do not belong together, or are of an older version.
    """

    def __init__(
        self,
        path: str | Path,
        metadata: Mapping[str, Any],
        rows: RowSteps,
        replicas: RowSteps | None,
        replicas_of: str | None = None,
    ) -> None:
        self.path = path
        self.points = tuple(map(str, metadata.get(POINTS, ())))
        self.n_jets = rows.n_rows
        self.jets_digest = str(metadata.get(JETS_DIGEST, ""))
        self._stored = metadata.get(PREDICTION_DIGEST)
        self._rows = rows
        self._replicas = replicas
        self._replicas_of = replicas_of
        self._digest = PredictionDigest()
        if self._stored is None:
            return
        if not str(self._stored).startswith(DIGEST_FORM):
            msg = (
                f"{path}: was written by an older version of truthtag. Delete it and predict again."
            )
            raise DataError(msg)
        self._require_replicas_of(str(self._stored))

    def take(self, count: int) -> Prediction:
        """Return what is predicted of the jets that follow, without the digest of its jets.

        Args:
            count: How many; those that are left, where these are fewer.

        Raises:
            DataError: A value is missing, or not allowed.
        """
        first = self._rows.n_given
        table = self._rows.take(count)
        event = _column(table, "event", self.path, first)
        values = _stacked(table, _names("efficiency", self.points), self.path, first)
        if event.dtype.kind not in "iu":
            msg = f"{self.path}: column 'event' is {event.dtype}; event numbers are integers"
            raise DataError(msg)
        require_probabilities(values, event, self.points, f"{self.path}: ", first)
        block = Prediction(event, values, None, "", self.points)
        self._digest.add(block)
        if self._replicas is None:
            return block
        by_replica = self._take_replicas(self._replicas, event, values)
        return Prediction(event, values, by_replica, "", self.points)

    def take_for(self, jets: Jets) -> Prediction:
        """Return what is predicted of the jets that follow.

        Args:
            jets: These jets.

        Raises:
            DataError: A value is missing, or not allowed, or the prediction is for other jets.
        """
        block = self.take(jets.n_jets)
        with self._named():
            require_events_of(block.event, jets)
            require_points_of(block.points, jets)
        return block

    def finish(self, jets_digest: str | None = None) -> None:
        """Check, after the last block, that all was as it was written.

        Args:
            jets_digest: The digest of the jets, where it is known.

        Raises:
            DataError: It is damaged, or is a prediction for other jets, or the replicas are those
                of another prediction.
        """
        digest = DIGEST_FORM + self._digest.text(self.jets_digest, self.points)
        if self._stored is not None and self._stored != digest:
            msg = (
                f"{self.path}: is damaged, or was changed by hand: its values are not those that "
                "were written. Delete it and predict again."
            )
            raise DataError(msg)
        if jets_digest is not None and self.jets_digest:
            with self._named():
                require_jets_of(self.jets_digest, jets_digest)
        self._require_replicas_of(digest)

    def _require_replicas_of(self, digest: str) -> None:
        """Refuse replicas of another prediction than that of a digest."""
        if self._replicas is not None and self._replicas_of != digest:
            msg = (
                f"{self._replicas.path}: holds replicas of another network, map or sample, not of "
                f"the prediction in {self.path}. Predict again, which writes both."
            )
            raise DataError(msg)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Begin errors with the file."""
        try:
            yield
        except DataError as error:
            msg = f"{self.path}: {error}"
            raise DataError(msg) from error

    def _take_replicas(self, rows: RowSteps, event: IntArray, values: FloatArray) -> FloatArray:
        """Return what each replica says as float32, a row for each, in the shape of the values."""
        first = rows.n_given
        table = rows.take(len(event))
        if len(table) < len(event):
            msg = (
                f"{rows.path}: is damaged: it ends after {first + len(table)} of {rows.n_rows} "
                "rows. Delete it and predict again."
            )
            raise DataError(msg)
        rounded = values.astype(np.float32)
        count = table.num_columns // max(1, len(self.points))
        replicas = np.empty((count, *values.shape), dtype=np.float32)
        for number in range(count):
            names = _names(f"difference_{number}", self.points)
            difference = _stacked(table, names, rows.path, first).astype(np.float32)
            if not np.isfinite(difference).all():
                row, *point = map(int, np.argwhere(~np.isfinite(difference))[0])
                msg = (
                    f"{rows.path}: replica {number} is {difference[(row, *point)]} for jet "
                    f"{first + row} (event {event[row]}); every value must be finite. "
                    "Predict again."
                )
                raise DataError(msg)
            # Rounding of the sum can leave [0, 1].
            replicas[number] = np.clip(difference + rounded, 0, 1)
        return replicas


@contextmanager
def open_prediction(
    path: str | Path, replicas: str | Path | None = None
) -> Iterator[PredictionReader]:
    """Open a prediction for reading it in step with its sample.

    Args:
        path: The file.
        replicas: The file of its replicas; without it, the prediction has none.

    Raises:
        DataError: A file is missing, damaged or foreign, lacks a column, or the replicas are those
            of another prediction.
    """
    metadata = read_metadata(path)
    points = tuple(map(str, metadata.get(POINTS, ())))
    with ExitStack() as stack:
        columns = ["event", *_names("efficiency", points)]
        rows = stack.enter_context(open_steps(path, columns))
        if replicas is None:
            yield PredictionReader(path, metadata, rows, None)
            return
        steps = stack.enter_context(open_steps(replicas, _replica_columns(replicas, points)))
        if steps.n_rows != rows.n_rows:
            msg = (
                f"{replicas}: holds replicas of {steps.n_rows} jets, "
                f"the prediction has {rows.n_rows}. Predict again."
            )
            raise DataError(msg)
        replicas_of = read_metadata(replicas).get(PREDICTION_DIGEST)
        yield PredictionReader(path, metadata, rows, steps, replicas_of)


def _replica_columns(path: str | Path, points: tuple[str, ...]) -> list[str]:
    """Return the names of all columns of a file of replicas."""
    with open_parquet(path) as file:
        n_columns = len(file.schema_arrow.names)
    count = max(1, n_columns // max(1, len(points)))
    return [name for k in range(count) for name in _names(f"difference_{k}", points)]


def read_prediction(path: str | Path, replicas: str | Path | None = None) -> Prediction:
    """Read a prediction that :func:`write_prediction` wrote, all of it.

    Args:
        path: The file.
        replicas: The file of :func:`write_replicas`; without it, the prediction has none.

    Raises:
        DataError: A file is missing, damaged or foreign, lacks a column, holds a value that is not
            a probability, or the replicas are those of another prediction.
    """
    with open_prediction(path, replicas) as reader:
        whole = reader.take(reader.n_jets)
        reader.finish()
    return Prediction(whole.event, whole.values, whole.replicas, reader.jets_digest, whole.points)


def _shown(file: ParquetBlocks | None) -> str:
    return str(file.shown) if file is not None else ""


def _names(stem: str, points: tuple[str, ...]) -> list[str]:
    """Return the names of the columns of a quantity: one, or one for each of several points."""
    return [f"{stem}_{point}" for point in points] if len(points) > 1 else [stem]


def _columns(stem: str, values: AnyArray, points: tuple[str, ...]) -> dict[str, AnyArray]:
    """Return a quantity as columns, a column for each working point."""
    by_point = values.T if values.ndim == 2 else values[None]
    return dict(zip(_names(stem, points), by_point, strict=True))


def _as_table(columns: Mapping[str, AnyArray]) -> pa.Table:
    return pa.table({name: pa.array(values) for name, values in columns.items()})


def _stacked(table: pa.Table, names: Sequence[str], path: str | Path, first: int) -> AnyArray:
    """Return the columns of a quantity as (n_jets,) or, where there are several, (n_jets, n)."""
    columns = [_column(table, name, path, first) for name in names]
    return np.column_stack(columns) if len(columns) > 1 else columns[0]


def _column(table: pa.Table, name: str, path: str | Path, first: int) -> AnyArray:
    """Return a column without empty cells.

    Args:
        table: Some rows.
        name: The column.
        path: What the error messages call the table.
        first: The number of the first row.
    """
    column = table[name]
    if column.null_count:
        row = first + int(np.flatnonzero(column.is_null().to_numpy())[0])
        msg = f"{path}: column {name!r} is empty in row {row}. Predict again."
        raise DataError(msg)
    values: AnyArray = column.to_numpy()
    return values
