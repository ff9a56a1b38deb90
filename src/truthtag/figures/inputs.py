"""What figures are made from, read into memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from truthtag.arrays import BoolArray, FloatArray
from truthtag.data.axes import edges_of
from truthtag.data.files import check_columns, read_frame, rows_by
from truthtag.data.jets import Jets, read_jets
from truthtag.errors import DataError
from truthtag.estimators.predictions import Prediction, read_prediction
from truthtag.figures.catalogue import FigureEntry
from truthtag.statistics.uncertainty import correct
from truthtag.toy.truth import Truth, make_truth

__all__ = ["Inputs", "read_inputs", "read_numbers", "read_rows"]

TABLES = ("calibration", "coverage", "learning_curve", "repeated")
"""Inputs that are single tables."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the numbers of one figure are made from: what its entry asks for, and nothing else.

    Args:
        flavours: Hadron flavours by name, heaviest first.
        options: The part of the section ``figures`` of the config that the figure depends on.
        samples: Samples by name.
        predictions: Efficiencies of the jets, by sample and name, the true one excluded.
        domains: Which jets are like those that the efficiencies were learned from, by sample, each
            of shape (n_jets,).
        scales: Factors on the spread of the replicas, by efficiency and number of the flavour.
        histograms: Closure histograms by distribution, as a table each.
        tables: Other tables by the name of the input.
        members: Networks of an ensemble, by the name of the estimator.
        histories: Training histories, one per seed, by the name of the estimator.
        validation: The validation sample.
        truth: The true efficiency of the toy.
    """

    flavours: Mapping[str, int]
    options: Mapping[str, Any]
    samples: Mapping[str, Jets] = field(default_factory=dict)
    predictions: Mapping[str, Mapping[str, Prediction]] = field(default_factory=dict)
    domains: Mapping[str, BoolArray] = field(default_factory=dict)
    scales: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    histograms: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    members: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    histories: Mapping[str, Sequence[pd.DataFrame]] = field(default_factory=dict)
    validation: Jets | None = None
    truth: Truth | None = None

    def edges(self, axis: str) -> FloatArray:
        """Return the bin edges of an axis of the config, ``figures.axes``."""
        return np.asarray(edges_of(self.options["axes"][axis]))

    def efficiencies(self, sample: str) -> dict[str, FloatArray]:
        """Return the efficiencies on a sample, each of shape (n_jets,), the true one excluded."""
        return {name: one.values for name, one in self.predictions[sample].items()}

    def with_truth(self, sample: str) -> dict[str, FloatArray]:
        """Return the efficiencies on a sample, the true one first where it is known."""
        true = self.samples[sample].efficiency_true
        first = {} if true is None else {"true": true}
        return {**first, **self.efficiencies(sample)}

    def corrected(self) -> Inputs:
        """Return the same with the spread of all replicas scaled to what the tags say."""
        predictions: dict[str, dict[str, Prediction]] = {}
        for sample, by_name in self.predictions.items():
            jets = self.samples[sample]
            predictions[sample] = {
                name: correct(one, jets, self.scales[name]) for name, one in by_name.items()
            }
        return replace(self, predictions=predictions)

    def the_truth(self) -> Truth:
        """Return the true efficiency.

        Raises:
            DataError: There is none among the inputs.
        """
        if self.truth is None:
            msg = "this figure shows the true efficiency, which was not given; name the input truth"
            raise DataError(msg)
        return self.truth


def read_inputs(
    entry: FigureEntry,
    files: Mapping[str, Any],
    flavours: Mapping[str, int],
    options: Mapping[str, Any],
    truth: Mapping[str, Any] | None = None,
) -> Inputs:
    """Read what the numbers of a figure are made from.

    Args:
        entry: The figure.
        files: Where each of its inputs is, by the name of the input. ``samples`` are lists of files
            by sample; ``predictions`` and ``replicas`` files by sample and efficiency; ``domains``
            files by sample; ``histories`` lists of files by estimator; all others are one file or a
            list of files.
        flavours: Hadron flavours by name.
        options: What :func:`truthtag.figures.catalogue.options_of` says.
        truth: The section ``truth`` of the config, for figures with the input ``truth``.

    Raises:
        DataError: A file cannot be read, or does not belong to the sample that it is read for.
        ConfigError: The true efficiency is of an unknown kind.
    """
    wanted = entry.inputs
    samples: dict[str, Jets] = {}
    predictions: dict[str, dict[str, Prediction]] = {}
    domains: dict[str, BoolArray] = {}
    for sample in entry.samples:
        if "samples" in wanted:
            samples[sample] = read_jets(files["samples"][sample])
        if "predictions" in wanted:
            with_replicas = files["replicas"][sample] if "replicas" in wanted else {}
            predictions[sample] = {
                name: _read_prediction(path, with_replicas.get(name), samples.get(sample))
                for name, path in files["predictions"][sample].items()
            }
        if "domains" in wanted:
            flags = read_frame(files["domains"][sample], ("in_domain",))
            domains[sample] = flags["in_domain"].to_numpy()
    return Inputs(
        flavours=flavours,
        options=options,
        samples=samples,
        predictions=predictions,
        domains=domains,
        scales=_read_scales(files["scales"]) if "scales" in wanted else {},
        histograms=_read_each(entry, "histograms", files, read_rows),
        tables={name: read_rows(files[name]) for name in TABLES if name in wanted},
        members=_read_each(entry, "members", files, _read_members),
        histories=_read_histories(files["histories"]) if "histories" in wanted else {},
        validation=read_jets(files["validation"]) if "validation" in wanted else None,
        truth=make_truth(truth, flavours) if truth and "truth" in wanted else None,
    )


def read_rows(paths: str | Path | Sequence[str | Path]) -> pd.DataFrame:
    """Read a table, CSV or Parquet by its suffix; several files are joined row by row.

    Raises:
        DataError: A file cannot be read as a table.
    """
    some = [paths] if isinstance(paths, (str, Path)) else list(paths)
    parts = [
        read_frame(path) if Path(path).suffix == ".parquet" else _read_csv(path) for path in some
    ]
    # Joining would turn whole numbers into fractions where a part lacks the column.
    return parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)


def read_numbers(path: str | Path, entry: FigureEntry) -> pd.DataFrame:
    """Read the numbers of a figure to draw it.

    Raises:
        DataError: The file cannot be read, or lacks a column that the drawing needs.
    """
    numbers = read_rows(path)
    check_columns(path, list(numbers.columns), entry.columns)
    return numbers


def _read_csv(path: str | Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        msg = f"{path}: cannot be read as a table ({reason}). Delete it and make it again."
        raise DataError(msg) from error
    # Numbers of seeds are whole, and missing for what is no ensemble.
    return frame.astype({"seeds": "Int64"}) if "seeds" in frame else frame


def _read_prediction(path: str, replicas: str | None, jets: Jets | None) -> Prediction:
    prediction = read_prediction(path, replicas) if replicas else read_prediction(path)
    return prediction if jets is None else prediction.of(jets)


def _read_scales(path: str | Path) -> dict[str, dict[int, float]]:
    """Read the factors on the spread, by efficiency and number of the flavour."""
    table = read_rows(path)
    check_columns(path, list(table.columns), ("efficiency", "number", "scale"))
    scales: dict[str, dict[int, float]] = {}
    for name, rows in rows_by(table, "efficiency").items():
        numbers = rows["number"].astype(int)
        scales[name] = dict(zip(numbers.tolist(), rows["scale"].tolist(), strict=True))
    return scales


def _read_members(paths: Sequence[str]) -> list[Any]:
    # Torch is needed by one figure only.
    from truthtag.estimators.network.model import load_network

    return [load_network(path) for path in paths]


def _read_histories(files: Mapping[str, Sequence[str]]) -> dict[str, list[pd.DataFrame]]:
    required = ("epoch", "seconds", "train_loss", "validation_loss")
    return {name: [read_frame(path, required) for path in paths] for name, paths in files.items()}


def _read_each(
    entry: FigureEntry, kind: str, files: Mapping[str, Any], read: Callable[[Any], Any]
) -> dict[str, Any]:
    """Read the inputs ``kind:NAME`` of a figure, by NAME."""
    return {name: read(files[f"{kind}:{name}"]) for name in entry.inputs_of(kind)}
