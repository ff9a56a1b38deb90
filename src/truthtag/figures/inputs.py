"""What figures are made from, read into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from truthtag.arrays import BoolArray, FloatArray
from truthtag.data.axes import edges_of
from truthtag.data.files import check_columns, read_frame, read_metadata
from truthtag.data.jets import Jets, read_jets
from truthtag.errors import DataError
from truthtag.estimators.failures import FAILED
from truthtag.estimators.prediction_files import read_prediction
from truthtag.estimators.predictions import Prediction, at_point
from truthtag.estimators.sample_blocks import Block, SampleBlocks
from truthtag.figures.tables import read_rows
from truthtag.statistics.spread import inflate_spread, scales_by_name
from truthtag.toy.truth import Truth, make_truth

__all__ = ["Inputs", "read_inputs"]

TABLES = ("calibration", "coverage", "learning_curve", "repeated")
"""Inputs that are single tables."""
HISTORY = ("epoch", "seconds", "train_loss", "validation_loss")
"""Columns that training histories must have."""


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
        scales: Factors on the spread of the replicas, by efficiency and number of the flavour; of
            several working points, those of the loosest.
        histograms: Closure histograms by distribution, as a table each.
        cells: Single jets in cells by sample, as a table each.
        tables: Other tables by the name of the input.
        members: Files of the networks of an ensemble, by the name of the estimator.
        fits: File of what was fitted in one go, by the name of the estimator.
        histories: Training histories, one per seed, by the name of the estimator; that of a network
            that failed has no rows.
        validation: The validation sample.
        truth: The true efficiency of the toy.
        blocks: Samples with their predictions and domain by name, as they are read in blocks; what
            is asked for as ``samples``, ``predictions`` or ``domains`` is then read whole.
    """

    flavours: Mapping[str, int]
    options: Mapping[str, Any]
    samples: Mapping[str, Jets] = field(default_factory=dict)
    predictions: Mapping[str, Mapping[str, Prediction]] = field(default_factory=dict)
    domains: Mapping[str, BoolArray] = field(default_factory=dict)
    scales: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    histograms: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    cells: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    members: Mapping[str, Sequence[str | Path]] = field(default_factory=dict)
    fits: Mapping[str, str | Path] = field(default_factory=dict)
    histories: Mapping[str, Sequence[pd.DataFrame]] = field(default_factory=dict)
    validation: Jets | None = None
    truth: Truth | None = None
    blocks: Mapping[str, Iterable[Block]] = field(default_factory=dict)

    @property
    def sample_names(self) -> tuple[str, ...]:
        """Names of the samples."""
        return tuple(self.blocks or self.samples)

    def in_blocks(self, sample: str) -> Iterator[Inputs]:
        """Go through a sample of any size.

        Args:
            sample: Its name.

        Yields:
            The same with some events of this sample only.
        """
        whole: tuple[Block, ...] = ()
        if sample not in self.blocks:
            predictions = self.predictions.get(sample, {})
            whole = (Block(self.samples[sample], predictions, self.domains.get(sample)),)
        for block in self.blocks.get(sample, whole):
            domains = {} if block.in_domain is None else {sample: block.in_domain}
            yield replace(
                self,
                samples={sample: block.jets},
                predictions={sample: block.predictions},
                domains=domains,
                blocks={},
            )

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

    def at_loosest_point(self) -> Inputs:
        """Return the same with tags and efficiencies at the loosest working point alone."""
        samples = {}
        predictions = {}
        for sample, jets in self.samples.items():
            found = at_point(jets, self.predictions.get(sample, {}))
            samples[sample], predictions[sample] = found
        return replace(self, samples=samples, predictions=predictions)

    def corrected(self) -> Inputs:
        """Return the same with the spread of all replicas scaled to what the tags say."""
        predictions: dict[str, dict[str, Prediction]] = {}
        for sample, by_name in self.predictions.items():
            jets = self.samples[sample]
            predictions[sample] = {
                name: inflate_spread(one, jets, self.scales[name]) for name, one in by_name.items()
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
    files: Mapping[str, Any],
    flavours: Mapping[str, int],
    options: Mapping[str, Any],
    truth: Mapping[str, Any] | None = None,
) -> Inputs:
    """Read what the numbers of a figure are made from.

    Args:
        files: Where each input of the figure is, by the name of the input; others are not read.
            ``samples`` are lists of files by sample; ``predictions`` and ``replicas`` files by
            sample and efficiency; ``domains`` files by sample; ``histories`` lists of files by
            estimator; all others are one file or a list of files.
        flavours: Hadron flavours by name.
        options: What :func:`truthtag.figures.catalogue.options_of` says.
        truth: The section ``truth`` of the config, for figures with the input ``truth``.

    Raises:
        DataError: A file cannot be read, or does not belong to the sample that it is read for.
        ConfigError: The true efficiency is of an unknown kind.
    """
    replicas = files.get("replicas", {})
    domains = files.get("domains", {})
    predictions: dict[str, dict[str, list[str]]] = {}
    for sample, by_name in files.get("predictions", {}).items():
        predictions[sample] = {name: [path] for name, path in by_name.items()}
        for name, path in replicas.get(sample, {}).items():
            predictions[sample][name].append(path)
    blocks = {
        sample: SampleBlocks(paths, predictions.get(sample, {}), domains.get(sample))
        for sample, paths in files.get("samples", {}).items()
    }
    histories: dict[str, list[pd.DataFrame]] = {}
    for name, paths in files.get("histories", {}).items():
        histories[name] = [_read_history(path) for path in paths]
    return Inputs(
        flavours=flavours,
        options=options,
        samples=_WhenAsked(blocks, lambda sample: read_jets(files["samples"][sample])),
        predictions=_WhenAsked(predictions, lambda sample: _read_whole(blocks, sample)),
        domains=_WhenAsked(domains, lambda sample: _read_flags(domains[sample])),
        scales=scales_by_name(_read_scales(files["scales"])) if "scales" in files else {},
        histograms={name: read_rows(paths) for name, paths in _of_kind(files, "histograms")},
        cells={name: read_rows(paths) for name, paths in _of_kind(files, "cells")},
        tables={name: read_rows(files[name]) for name in TABLES if name in files},
        members=dict(_of_kind(files, "members")),
        fits=dict(_of_kind(files, "fit")),
        histories=histories,
        validation=read_jets(files["validation"]) if "validation" in files else None,
        truth=make_truth(truth, flavours) if truth else None,
        blocks=blocks,
    )


class _WhenAsked(Mapping[str, Any]):
    """Values by name, each read when it is asked for.

    Args:
        names: The names.
        read: Reads the value of one.
    """

    def __init__(self, names: Iterable[str], read: Callable[[str], Any]) -> None:
        self._names = tuple(names)
        self._read = cache(read)

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        return self._read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _read_whole(blocks: Mapping[str, SampleBlocks], sample: str) -> dict[str, Prediction]:
    """Read all predictions on a sample."""
    jets = read_jets(blocks[sample].sample.files)
    return {
        name: read_prediction(*files).aligned_to(jets)
        for name, files in blocks[sample].predictions.items()
    }


def _read_flags(path: str | Path) -> BoolArray:
    """Read which jets of a sample are in the domain."""
    flags: BoolArray = read_frame(path, ("in_domain",))["in_domain"].to_numpy()
    return flags


def _of_kind(files: Mapping[str, Any], kind: str) -> Iterator[tuple[str, Any]]:
    """Go through the files of the inputs ``kind:NAME``, by NAME."""
    for key, paths in files.items():
        one, _, name = key.partition(":")
        if one == kind and name:
            yield name, paths


def _read_history(path: str | Path) -> pd.DataFrame:
    """Read the history of a training, no row of it where the network failed."""
    history = read_frame(path, HISTORY)
    return history.iloc[:0] if FAILED in read_metadata(path) else history


def _read_scales(path: str | Path) -> pd.DataFrame:
    """Read the factors on the spread, and check that they are there."""
    table = read_rows(path)
    check_columns(path, list(table.columns), ("efficiency", "number", "scale"))
    return table
