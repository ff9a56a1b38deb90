"""Single jets in cells: tagged against predicted, by what lies next to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from truthtag.arrays import (
    BoolArray,
    FloatArray,
    IntArray,
    divide,
    jet_mask,
    per_jet,
    probabilities,
)
from truthtag.data.jets import Jets
from truthtag.data.neighbours import nearest_jet
from truthtag.errors import DataError
from truthtag.estimators.predictions import Prediction, points_of
from truthtag.estimators.sample_blocks import Block
from truthtag.statistics.closure import (
    DIRECT,
    REPLICA,
    ClosureHistogram,
    ClosureSums,
    Entries,
    histograms_in,
)
from truthtag.statistics.panels import CELLS
from truthtag.statistics.points import WORKING_POINT, with_marks
from truthtag.statistics.spread import inflate_spread, scales_by_name

__all__ = [
    "ALONE",
    "Cells",
    "cells_in",
    "cells_table",
    "close_cells",
    "fill_cells",
    "fill_cells_in_blocks",
    "summed_over_pt",
]

ALONE = "alone"
"""What stands for the flavour of the nearest jet where there is none."""

TITLE = "single jets in cells"

MARKS = ["neighbour", "delta_r_low", "delta_r_high", "pt_low", "pt_high"]
"""Columns that say which jets a cell holds."""


@dataclass(frozen=True)
class Cells:
    """How jets are cut into cells: by the flavour of the nearest jet, Delta R to it, and pT.

    Args:
        delta_r: Borders between bins of Delta R, rising; the first bin begins at 0, the last is
            open.
        pt: The same of pT [GeV].
        close: One of the borders of Delta R: a jet whose nearest is nearer is close to it.
    """

    delta_r: tuple[float, ...] = (0.2, 0.4, 0.7, 1.0, 1.5)
    pt: tuple[float, ...] = (100.0, 200.0)
    close: float = 0.4

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Cells:
        """Build from the section ``closure.cells`` of the config."""
        return cls(tuple(options["delta_r"]), tuple(options["pt"]), options["close"])

    def marks(self, flavours: Mapping[str, int]) -> pd.DataFrame:
        """Return the cells of jets of one flavour, in order.

        pT changes fastest, then Delta R, so that merging a cell with the next joins what is most
        alike. Jets that are alone come last.

        Args:
            flavours: Numbers of the hadron flavours, by name.

        Returns:
            A row per cell: ``neighbour, delta_r_low, delta_r_high, pt_low, pt_high``.
        """
        of_pt = _bins(self.pt)
        near = [
            (name, *distance, *pt)
            for name in flavours
            for distance in _bins(self.delta_r)
            for pt in of_pt
        ]
        alone = [(ALONE, np.inf, np.inf, *pt) for pt in of_pt]
        return pd.DataFrame([*near, *alone], columns=MARKS)

    def index(self, jets: Jets, flavours: Mapping[str, int]) -> IntArray:
        """Return the cell of each jet among those of its flavour, shape (n_jets,).

        A jet whose nearest jet has a flavour without a name is in none, -1.
        """
        nearest, distance = nearest_jet(jets)
        in_pt = np.searchsorted(self.pt, jets.pt.astype(np.float64), side="right")
        in_distance = np.searchsorted(self.delta_r, distance, side="right")
        n_pt = len(self.pt) + 1
        n_distance = len(self.delta_r) + 1
        # -1 stands for the last jet, which is then replaced.
        of_neighbour = jets.flavour[nearest] if jets.n_jets else jets.flavour
        index = np.full(jets.n_jets, -1)
        for position, number in enumerate(flavours.values()):
            found = of_neighbour == number
            cell = (position * n_distance + in_distance) * n_pt + in_pt
            index[found] = cell[found]
        alone = nearest < 0
        index[alone] = (len(flavours) * n_distance * n_pt + in_pt)[alone]
        return index


def _bins(borders: tuple[float, ...]) -> list[tuple[float, float]]:
    """Return lower and upper ends of the bins between borders, from 0 to infinity."""
    return list(zip((0.0, *borders), (*borders, np.inf), strict=True))


def fill_cells(
    sample: str,
    jets: Jets,
    predictions: Mapping[str, Prediction],
    in_domain: BoolArray,
    flavours: Mapping[str, int],
    cells: Cells,
    scales: pd.DataFrame,
) -> pd.DataFrame:
    r"""Count tagged and predicted jets in cells, each jet with the weight of its event.

    .. math:: d_r = \sum_{i \in r} w_i (t_i - \epsilon_i), \quad
        V_r = \sum_{i \in r} w_i^2\, \epsilon_i (1 - \epsilon_i)

    Tags of jets are independent given their efficiencies, also within an event; what cells share is
    the error of the efficiency, which the sums by each replica tell.

    Args:
        sample: Name of the sample.
        jets: The tagged sample, at all its working points.
        predictions: Efficiencies of its jets by name, with their replicas; the true one is added
            where it is known.
        in_domain: Which jets are like those that the efficiencies were learned from, (n_jets,).
        flavours: Numbers of the hadron flavours, by name, heaviest first.
        cells: How jets are cut.
        scales: By how much the spread of replicas is inflated: rows of
            :func:`truthtag.statistics.spread.spread_scales`, and in each the ``efficiency``.

    Returns:
        Rows of :meth:`~truthtag.statistics.closure.ClosureHistogram.to_frame`, ``low`` and ``high``
        counting cells, with ``sample, distribution, title, panel`` (the flavour), ``events, spread,
        neighbour, delta_r_low, delta_r_high, pt_low, pt_high, jets`` in front, and
        ``working_point`` after the title where there are several.

    Raises:
        DataError: The sample has no tags, or an array does not fit the jets.
    """
    block = Block(jets, predictions, in_domain)
    return fill_cells_in_blocks(sample, [block], flavours, cells, scales)


def fill_cells_in_blocks(
    sample: str,
    blocks: Iterable[Block],
    flavours: Mapping[str, int],
    cells: Cells,
    scales: pd.DataFrame,
) -> pd.DataFrame:
    """Count jets of a sample that comes in blocks; see :func:`fill_cells`.

    Args:
        sample: Name of the sample.
        blocks: The tagged sample with predictions and domain, at least one block.
        flavours: Numbers of the hadron flavours, by name, heaviest first.
        cells: How jets are cut.
        scales: By how much the spread of replicas is inflated.
    """
    marks = cells.marks(flavours)
    filled: dict[tuple[str | None, str, str], _CellSums] = {}
    for block in blocks:
        jets = block.jets
        domain = jet_mask(block.domain, jets.n_jets, "in_domain")
        index = cells.index(jets, flavours)
        for point in points_of(jets):
            factors = scales_by_name(scales, point)
            corrected = {
                name: inflate_spread(one.of_point(jets, point), jets, factors[name])
                for name, one in block.predictions.items()
            }
            entries = _entries(jets.at_point(point), index, corrected)
            for flavour, number in flavours.items():
                of_flavour = np.asarray(jets.flavour == number)
                for events, part in (("all", of_flavour), ("in_domain", of_flavour & domain)):
                    sums = filled.setdefault((point, flavour, events), _CellSums(len(marks)))
                    sums.add(entries.where(part), index[part])
    parts = []
    for (point, flavour, events), sums in filled.items():
        several = {} if point is None else {WORKING_POINT: point}
        in_front = {
            "sample": sample,
            "distribution": CELLS,
            "title": TITLE,
            **several,
            "panel": flavour,
            "events": events,
            "spread": "corrected",
        }
        frame = sums.histogram.histogram().to_frame()
        parts.append(_with_marks(frame, in_front, marks.assign(jets=sums.jets)))
    return pd.concat(parts, ignore_index=True)


class _CellSums:
    """Jets of one flavour in cells, counted block by block.

    Args:
        count: Number of cells.

    Attributes:
        histogram: Sums of tagged and predicted jets.
        jets: Numbers of jets, shape (count,).
    """

    def __init__(self, count: int) -> None:
        self.histogram = ClosureSums(np.arange(count + 1) - 0.5)
        self.jets = np.zeros(count, dtype=np.int64)

    def add(self, entries: Entries, index: IntArray) -> None:
        """Add jets and their cells."""
        self.histogram.add(entries)
        self.jets += np.bincount(index[index >= 0], minlength=len(self.jets))


def _entries(jets: Jets, index: IntArray, predictions: Mapping[str, Prediction]) -> Entries:
    """Return jets as entries of histograms in the number of their cell."""
    if jets.is_tagged is None:
        msg = "closure in cells compares with the tags; the sample has no column 'is_tagged'"
        raise DataError(msg)
    probability = {}
    if jets.efficiency_true is not None:
        probability["true"] = jets.efficiency_true.astype(np.float64)
    replicas = {}
    for name, one in predictions.items():
        values = probabilities(one.values, jets.n_jets, f"the efficiency {name!r}")
        probability[name] = values.astype(np.float64)
        if one.replicas is not None:
            replicas[name] = one.replicas
    weight = per_jet(jets.weight[jets.event_of_jet], jets.n_jets, "weight")
    return Entries(index.astype(np.float64), weight, jets.is_tagged, probability, replicas)


def _with_marks(
    frame: pd.DataFrame, in_front: Mapping[str, str], marks: pd.DataFrame
) -> pd.DataFrame:
    """Put what the rows are about in front of those of one histogram."""
    # Every way of filling has a row per cell.
    repeated = pd.concat([marks] * (len(frame) // len(marks)), ignore_index=True)
    first = pd.DataFrame(in_front, index=frame.index)
    return pd.concat([first, repeated, frame], axis=1)


def cells_table(filled: pd.DataFrame) -> pd.DataFrame:
    """Say how many jets are tagged and predicted in each cell that holds jets.

    Args:
        filled: Rows of :func:`fill_cells`, of one sample or several.

    Returns:
        A row per ``sample``, ``events``, ``efficiency``, ``flavour`` and cell (``neighbour,
        delta_r_low, delta_r_high, pt_low, pt_high``): ``jets``, how many; sums of weights of
        ``tagged`` and ``predicted`` jets, and their ``ratio``; ``error``, by which tags scatter,
        and ``efficiency_error``; ``pull``, tagged minus predicted over the first, and
        ``pull_total`` over both; and the ``working_point`` where there are several.
    """
    return _table(filled, MARKS)


def summed_over_pt(filled: pd.DataFrame) -> pd.DataFrame:
    """Return the same as :func:`cells_table` of cells summed over pT, with correlated errors."""
    keys = [
        *with_marks(["sample", "panel", "events"], filled),
        *("filled_by", "neighbour", "delta_r_low", "delta_r_high"),
    ]
    numbers = [
        name
        for name in filled
        if name in ("jets", "yield", "difference_variance") or str(name).startswith(REPLICA)
    ]
    # Cells without replicas stay without them: a sum of nothing is not 0.
    summed = filled.groupby(keys, sort=False)[numbers].sum(min_count=1).reset_index()
    return _table(summed, MARKS[:3])


def _table(filled: pd.DataFrame, marks: list[str]) -> pd.DataFrame:
    """Put tagged and predicted jets of each cell side by side."""
    keys = with_marks(["sample", "events"], filled)
    replicas = [name for name in filled if str(name).startswith(REPLICA)]
    parts = []
    for values, rows in filled.groupby([*keys, "panel"], sort=False):
        direct = rows.loc[rows["filled_by"] == DIRECT, "yield"].to_numpy()
        for name, one in rows[rows["filled_by"] != DIRECT].groupby("filled_by", sort=False):
            predicted = one["yield"].to_numpy()
            error = np.sqrt(one["difference_variance"].to_numpy())
            of_efficiency = _spread(one[replicas])
            difference = direct - predicted
            columns = {
                **dict(zip([*keys, "flavour"], values, strict=True)),
                "efficiency": name,
                **{mark: one[mark].to_numpy() for mark in marks},
                "jets": one["jets"].to_numpy(),
                "tagged": direct,
                "predicted": predicted,
                "ratio": divide(direct, predicted),
                "error": error,
                "efficiency_error": of_efficiency,
                "pull": divide(difference, error),
                "pull_total": divide(difference, np.hypot(error, of_efficiency)),
            }
            table = pd.DataFrame(columns)
            parts.append(table[table["jets"] > 0])
    return pd.concat(parts, ignore_index=True)


def _spread(replicas: pd.DataFrame) -> FloatArray:
    """Return the standard deviation over the replicas that are there; NaN below two."""
    known = replicas.dropna(axis="columns").to_numpy(dtype=np.float64)
    if known.shape[1] < 2:
        return np.full(len(replicas), np.nan)
    return np.asarray(known.std(axis=1, ddof=1))


def close_cells(marks: pd.DataFrame, close: float) -> BoolArray:
    """Return which cells hold jets with a neighbour nearer than some Delta R."""
    return (marks["delta_r_high"] <= close).to_numpy()


def cells_in(
    filled: pd.DataFrame,
) -> Iterator[tuple[tuple[str, ...], ClosureHistogram, pd.DataFrame]]:
    """Go through the histograms of cells.

    Yields:
        The values of ``sample, events`` (and ``working_point``) and the flavour; the histogram; and
        its cells.
    """
    keys = [*with_marks(["sample", "events"], filled), "panel"]
    for values, rows in filled.groupby(keys, sort=False):
        for _, histogram in histograms_in(rows, ["panel"]):
            marks = rows[rows["filled_by"] == DIRECT][MARKS].reset_index(drop=True)
            yield tuple(map(str, values)), histogram, marks
