"""A sample and what is predicted of it, some events at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from truthtag.arrays import BoolArray, FloatArray
from truthtag.data.blocks import EVENTS, RowSteps, SampleFiles, open_steps
from truthtag.data.jets import Jets, JetsDigest
from truthtag.errors import DataError
from truthtag.estimators.prediction_files import open_prediction
from truthtag.estimators.predictions import Prediction, at_point

__all__ = ["Block", "SampleBlocks"]


@dataclass(frozen=True, eq=False)
class Block:
    """Some events of a sample, or all of it.

    Args:
        jets: The events.
        predictions: Efficiencies of their jets by name, the true one excluded.
        in_domain: Which jets are like those that the efficiencies were learned from, shape
            (n_jets,); None where nobody asked.
    """

    jets: Jets
    predictions: Mapping[str, Prediction] = field(default_factory=dict)
    in_domain: BoolArray | None = None

    def at_point(self, point: str | None = None, below: str | None = None) -> Block:
        """Return the same at one working point; see :func:`.predictions.at_point`."""
        jets, predictions = at_point(self.jets, self.predictions, point, below)
        return Block(jets, predictions, self.in_domain)

    def efficiencies(self, point: str | None = None) -> dict[str, FloatArray]:
        """Return the efficiencies at one working point by name, each of shape (n_jets,).

        Raises:
            DataError: One of them does not know the point.
        """
        return {name: one.values for name, one in self.at_point(point).predictions.items()}

    @property
    def domain(self) -> BoolArray:
        """Which jets are in the domain.

        Raises:
            DataError: It is not known.
        """
        if self.in_domain is None:
            msg = "nothing says which jets are in the domain; give the table of flag_domain"
            raise DataError(msg)
        return self.in_domain


class SampleBlocks:
    """A sample of any size with files beside it: to go through it is to read it, block by block.

    Whatever does not belong to the sample is refused, and what is damaged; some of that can be told
    only after the last block, so nothing may be kept of blocks whose reading ended in an error.

    Args:
        sample: The files of the sample, as :class:`~truthtag.data.blocks.SampleFiles` takes them.
        predictions: Files of predictions on it, by name; two with replicas.
        domain: The file that says which jets are in the domain; None where it does not matter.
        events: Events of a block.

    Raises:
        DataError: A file is missing, damaged or foreign, lacks a column, or does not belong to the
            sample.
    """

    def __init__(
        self,
        sample: str | Path | Sequence[str | Path],
        predictions: Mapping[str, str | Path | Sequence[str | Path]] | None = None,
        domain: str | Path | None = None,
        events: int = EVENTS,
    ) -> None:
        self.sample = SampleFiles(sample, events=events)
        self.predictions = {
            name: [files] if isinstance(files, str | Path) else list(files)
            for name, files in (predictions or {}).items()
        }
        self.domain = domain

    @property
    def points(self) -> tuple[str | None, ...]:
        """Names of the working points of the sample; None alone where there is one only."""
        labels = self.sample.labels
        return labels.points if labels.n_points > 1 else (None,)

    def __iter__(self) -> Iterator[Block]:
        with ExitStack() as stack:
            readers = {}
            for name, files in self.predictions.items():
                readers[name] = stack.enter_context(open_prediction(*files))
                _require_rows(files[0], readers[name].n_jets, self.sample.n_jets)
            flags = None
            if self.domain is not None:
                flags = stack.enter_context(open_steps(self.domain, ("event", "in_domain")))
                _require_rows(self.domain, flags.n_rows, self.sample.n_jets)
            digest = JetsDigest()
            for jets in self.sample:
                digest.add(jets)
                predictions = {name: one.take_for(jets) for name, one in readers.items()}
                inside = None if flags is None else _flags_of(flags, jets)
                yield Block(jets, predictions, inside)
            for reader in readers.values():
                reader.finish(digest.text())


def _require_rows(path: str | Path, found: int, n_jets: int) -> None:
    """Refuse a table of another number of jets."""
    if found != n_jets:
        msg = (
            f"{path}: has rows of {found} jets and does not match the sample of {n_jets} jets: "
            "their events differ. Make it again on this sample."
        )
        raise DataError(msg)


def _flags_of(rows: RowSteps, jets: Jets) -> BoolArray:
    """Return which of some jets are in the domain."""
    table = rows.take(jets.n_jets)
    if not np.array_equal(table["event"].to_numpy(), jets.per_jet("event")):
        msg = (
            f"{rows.path}: does not belong to the sample: its events are others. "
            "Make it again on this sample."
        )
        raise DataError(msg)
    inside: BoolArray = table["in_domain"].to_numpy()
    return inside
