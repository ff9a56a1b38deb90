"""Coverage: how often the truth lies within the errors; calibration: predicted and seen tags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise

import numpy as np
import pandas as pd
from hist.intervals import clopper_pearson_interval

from truthtag.arrays import (
    BoolArray,
    FloatArray,
    IntArray,
    divide,
    jet_mask,
    per_jet,
    probabilities,
)
from truthtag.data.axes import bin_index, check_edges
from truthtag.data.jets import Jets
from truthtag.data.neighbours import nearest_jet
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.predictions import Prediction
from truthtag.estimators.sample_blocks import Block
from truthtag.statistics.points import with_marks
from truthtag.statistics.running import PASSES, Quantiles
from truthtag.statistics.spread import inflate_spread

__all__ = [
    "CoverageSums",
    "bin_coverage",
    "calibration",
    "calibration_in_blocks",
    "coverage",
    "coverage_table",
    "jet_coverage",
]

COLUMNS = [
    *("efficiency", "flavour", "variable", "low", "high", "count"),
    *("within_1", "within_2", "pull_mean", "pull_rms"),
]
"""Columns of coverage, which are there even where no efficiency has a spread."""

BIN_KEYS = ["distribution", "panel", "low"]
"""Columns that tell the bins of closure histograms apart."""


def coverage(
    jets: Jets,
    predictions: Mapping[str, Prediction],
    in_domain: BoolArray,
    flavours: Mapping[str, int],
    axes: Mapping[str, FloatArray],
    scales: Mapping[str, Mapping[int, float]],
    histograms: pd.DataFrame,
    minimum_events: float,
) -> pd.DataFrame:
    """Count how often the truth lies within the errors, with the spread as it is and corrected.

    Args:
        jets: A sample whose true efficiencies are known, at one working point.
        predictions: Predictions on it by name.
        in_domain: Which jets are like those that the efficiencies were learned from; only these
            count by jet, shape (n_jets,).
        flavours: Numbers of the hadron flavours, by name.
        axes: As in :func:`jet_coverage`.
        scales: The scale of the spread of each efficiency, by its name and the flavour's number.
        histograms: Closure histograms of the same sample: the columns that :func:`bin_coverage`
            wants, ``events`` (``all`` or ``in_domain``) and ``spread`` (``raw`` or ``corrected``).
        minimum_events: As in :func:`bin_coverage`.

    Returns:
        The rows of :func:`jet_coverage` and :func:`bin_coverage`; the column ``spread`` says
        whether the replicas were taken as they are (``raw``) or ``corrected``.

    Raises:
        DataError: The sample has no true efficiencies, an efficiency with replicas has no scales,
            or an array or table does not fit.
    """
    sums = CoverageSums(flavours, axes, scales)
    sums.add(Block(jets, predictions, in_domain))
    return sums.table(histograms, minimum_events)


class CoverageSums:
    """The table of :func:`coverage`, of a sample that is given block by block.

    Args:
        flavours: Numbers of the hadron flavours, by name.
        axes: As in :func:`jet_coverage`.
        scales: The scale of the spread of each efficiency, by its name and the flavour's number.
    """

    def __init__(
        self,
        flavours: Mapping[str, int],
        axes: Mapping[str, FloatArray],
        scales: Mapping[str, Mapping[int, float]],
    ) -> None:
        self.scales = scales
        self._raw = _JetSums(flavours, axes)
        self._corrected = _JetSums(flavours, axes)

    def add(self, block: Block) -> None:
        """Add a block, at one working point.

        Raises:
            DataError: The sample has no true efficiencies, an efficiency with replicas has no
                scales, or an array does not fit the jets.
        """
        corrected = {}
        for name, one in block.predictions.items():
            if one.replicas is not None and name not in self.scales:
                listed = ", ".join(self.scales) or "none"
                msg = (
                    f"there is no scale for the spread of {name!r}, only for: {listed}. "
                    "Measure it (truthtag.statistics.spread.spread_scales)."
                )
                raise DataError(msg)
            corrected[name] = inflate_spread(one, block.jets, self.scales.get(name, {}))
        self._raw.add(block.jets, block.predictions, block.domain)
        self._corrected.add(block.jets, corrected, block.domain)

    def table(self, histograms: pd.DataFrame, minimum_events: float) -> pd.DataFrame:
        """Return the table of all blocks so far; arguments and errors as in :func:`coverage`."""
        _require_columns(histograms, ["events", "spread"])
        of_all_events = histograms[histograms["events"] == "all"]
        tables = []
        for spread, sums in (("raw", self._raw), ("corrected", self._corrected)):
            filled = of_all_events[of_all_events["spread"] == spread]
            by_bin = bin_coverage(filled, minimum_events)
            tables.append(sums.table().assign(spread=spread))
            tables.append(by_bin.assign(spread=spread))
        # Empty tables would turn the numbers of the others into objects.
        with_rows = [table for table in tables if len(table)]
        return pd.concat(with_rows or tables[:1], ignore_index=True)


def jet_coverage(
    jets: Jets,
    predicted: Mapping[str, Prediction],
    chosen: BoolArray,
    flavours: Mapping[str, int],
    axes: Mapping[str, FloatArray],
) -> pd.DataFrame:
    """Count how often a jet's true efficiency lies within one and two standard deviations.

    The errors of jets are far from independent: all were made by one training sample, which leaves
    as many independent directions as the fit has effective parameters. Fractions of one run
    scatter accordingly, however many jets there are. Every jet counts once, whatever the weight of
    its event.

    Args:
        jets: A sample whose true efficiencies are known.
        predicted: Predictions by name; those without at least two replicas are left out.
        chosen: Which jets count, shape (n_jets,).
        flavours: Numbers of the hadron flavours, by name.
        axes: Bin edges of ``pt`` [GeV] and ``delta_r`` (to the nearest jet), for those that are
            asked for.

    Returns:
        A row per efficiency, flavour and bin of each variable, and one for all bins (variable
        ``all``): ``efficiency, flavour, variable, low, high, count`` (of jets), ``within_1,
        within_2`` (fractions), ``pull_mean, pull_rms`` of (true - predicted) / standard deviation,
        over jets where that is not 0.

    Raises:
        DataError: The sample has no true efficiencies, or an array does not fit the jets.
        ConfigError: There is no such axis, or its edges do not rise.
    """
    sums = _JetSums(flavours, axes)
    sums.add(jets, predicted, chosen)
    return sums.table()


class _JetSums:
    """The table of :func:`jet_coverage`, of jets that are given block by block.

    Args:
        flavours: Numbers of the hadron flavours, by name.
        axes: Bin edges by variable.
    """

    def __init__(self, flavours: Mapping[str, int], axes: Mapping[str, FloatArray]) -> None:
        self.flavours = flavours
        self.axes = axes
        self._counts: dict[tuple[str, str, str], FloatArray] = {}

    def add(self, jets: Jets, predicted: Mapping[str, Prediction], chosen: BoolArray) -> None:
        """Add jets; arguments and errors are those of :func:`jet_coverage`."""
        if jets.efficiency_true is None:
            msg = "coverage compares with the truth; the sample has no column 'efficiency_true'"
            raise DataError(msg)
        chosen = jet_mask(chosen, jets.n_jets, "chosen")
        bins = self._bins(jets)
        for name, one in predicted.items():
            if one.replicas is None or len(one.replicas) < 2:
                continue
            values = per_jet(one.values, jets.n_jets, f"the efficiency {name!r}")
            std = per_jet(one.std, jets.n_jets, f"the spread of {name!r}")
            counted = _counted(jets.efficiency_true - values, std)
            for flavour, number in self.flavours.items():
                inside = chosen & (jets.flavour == number)
                for variable, (index, count) in bins.items():
                    in_bins = inside & (index >= 0) & (index < count)
                    sums = np.stack(
                        [np.bincount(index[in_bins], one[in_bins], count) for one in counted]
                    )
                    key = (name, flavour, variable)
                    self._counts[key] = self._counts.get(key, 0.0) + sums

    def _bins(self, jets: Jets) -> dict[str, tuple[IntArray, int]]:
        """Return the bin of each jet and the number of bins, by variable."""
        variables = {"pt": jets.pt, "delta_r": nearest_jet(jets)[1]}
        bins: dict[str, tuple[IntArray, int]] = {"all": (np.zeros(jets.n_jets, dtype=int), 1)}
        for variable, edges in self.axes.items():
            if variable not in variables:
                listed = " or ".join(variables)
                msg = f"coverage: there is no axis {variable!r}; it must be {listed}"
                raise ConfigError(msg)
            check_edges(list(edges), f"coverage axis {variable!r}")
            index = bin_index(variables[variable], edges, variable)
            bins[variable] = (index, len(edges) - 1)
        return bins

    def table(self) -> pd.DataFrame:
        """Return the table of all jets so far."""
        rows = []
        for (name, flavour, variable), sums in self._counts.items():
            ends = [(np.nan, np.nan)] if variable == "all" else pairwise(self.axes[variable])
            for (low, high), in_bin in zip(ends, sums.T, strict=True):
                rows.append(_row(name, flavour, variable, low, high, in_bin))
        return pd.DataFrame(rows, columns=COLUMNS)


def bin_coverage(histograms: pd.DataFrame, minimum_events: float) -> pd.DataFrame:
    """Count how often the true yield of a bin lies within one and two standard deviations.

    Only the error of the efficiency counts here: both fill the same events.

    Args:
        histograms: Rows of closure histograms, each bin of each way of filling once:
            ``distribution, panel, low, filled_by, yield, difference_variance, efficiency_error``,
            and ``mean_weight`` where weights are not 1.
        minimum_events: Bins with fewer effective events, ``difference_variance`` over
            ``mean_weight`` squared, are left out.

    Returns:
        As :func:`jet_coverage`, a row per efficiency with replicas; ``flavour`` is ``all``,
        ``variable`` is ``histogram bins``, and ``count`` that of bins.

    Raises:
        DataError: A column is missing, a bin is there twice, or its true yield is missing.
    """
    values = ["filled_by", "yield", "difference_variance", "efficiency_error"]
    _require_columns(histograms, [*BIN_KEYS, *values])
    twice = histograms.duplicated([*BIN_KEYS, "filled_by"])
    if twice.any():
        first = histograms[twice].iloc[0]
        where = ", ".join(f"{key} {first[key]}" for key in [*BIN_KEYS, "filled_by"])
        msg = (
            f"a bin of the histograms is there twice ({where}): choose one kind of events and one "
            "spread"
        )
        raise DataError(msg)
    true = histograms[histograms["filled_by"] == "true"].set_index(BIN_KEYS)["yield"]
    rows = []
    for name, filled in histograms.groupby("filled_by", sort=False):
        enough = _effective_events(filled) >= minimum_events
        full = filled[enough & (filled["efficiency_error"] > 0)]
        if full.empty:
            continue
        full = full.set_index(BIN_KEYS)
        true_yields = true.reindex(full.index).to_numpy()
        if np.isnan(true_yields).any():
            where = full.index[int(np.argmax(np.isnan(true_yields)))]
            msg = (
                "coverage compares with the truth; the histograms have no rows filled by 'true' "
                f"for the bin {where}"
            )
            raise DataError(msg)
        difference = true_yields - full["yield"].to_numpy()
        std = full["efficiency_error"].to_numpy()
        sums = _counted(difference, std).sum(axis=1)
        rows.append(_row(str(name), "all", "histogram bins", np.nan, np.nan, sums))
    return pd.DataFrame(rows, columns=COLUMNS)


def calibration(
    jets: Jets, efficiencies: Mapping[str, FloatArray], flavours: Mapping[str, int], bins: int
) -> pd.DataFrame:
    """Compare the tagged fraction of jets with the efficiency predicted for them.

    This is a reliability diagram. Every jet counts once in tags and in predictions, whatever the
    weight of its event: the probability of a tag is that of a jet.

    Args:
        jets: Tagged jets, at one working point.
        efficiencies: Predicted efficiencies by name, each of shape (n_jets,).
        flavours: Numbers of the hadron flavours, by name.
        bins: Bins of predicted efficiency per flavour, at least 1, each with as many jets.

    Returns:
        A row per efficiency, flavour and bin: ``low, high`` (predicted efficiencies at its ends),
        ``jets``, their mean efficiency ``predicted``, ``tagged_fraction`` with its Clopper-Pearson
        interval ``tagged_low, tagged_high``, and their mean ``true`` efficiency where it is known.
        Jets of one predicted value share a bin. A flavour without jets has no rows.

    Raises:
        DataError: The sample has no tags, or an efficiency does not fit the jets.
        ConfigError: The number of bins is below 1.
    """
    if jets.is_tagged is None:
        msg = "calibration compares with the tags; the sample has no column 'is_tagged'"
        raise DataError(msg)
    if bins < 1:
        msg = f"figures.calibration_bins is {bins}; it must be at least 1. Take 12, say."
        raise ConfigError(msg)
    event = jets.per_jet("event")
    predictions = {}
    for name, efficiency in efficiencies.items():
        # Checked only: quantiles keep the precision of the values.
        probabilities(efficiency, jets.n_jets, f"the efficiency {name!r}")
        predictions[name] = Prediction(event, efficiency)
    return calibration_in_blocks([Block(jets, predictions)], flavours, bins)


def calibration_in_blocks(
    blocks: Iterable[Block], flavours: Mapping[str, int], bins: int, point: str | None = None
) -> pd.DataFrame:
    """Compare tags and predictions of a sample that comes in blocks; see :func:`calibration`.

    Args:
        blocks: The tagged sample with predictions; it is gone through four times, for the
            quantiles, and for what is between them.
        flavours: Numbers of the hadron flavours, by name.
        bins: Bins of predicted efficiency per flavour.
        point: The working point; the loosest by default.
    """
    found: dict[tuple[str, str], _Reliability] = {}
    for _ in range(PASSES + 1):
        for block in blocks:
            at_one = block.at_point(point)
            for name, efficiency in at_one.efficiencies().items():
                for flavour, number in flavours.items():
                    one = found.setdefault((name, flavour), _Reliability(bins))
                    one.add(at_one.jets, efficiency, np.asarray(at_one.jets.flavour == number))
        for one in found.values():
            one.next_pass()
    tables = []
    for (name, flavour), one in found.items():
        if not one.count:
            continue
        table = one.table()
        table.insert(0, "efficiency", name)
        table.insert(1, "flavour", flavour)
        tables.append(table)
    if not tables:
        return pd.DataFrame(columns=CALIBRATION_COLUMNS)
    return pd.concat(tables, ignore_index=True)


CALIBRATION_COLUMNS = [
    *("efficiency", "flavour", "low", "high", "jets", "predicted", "tagged_fraction"),
    *("tagged_low", "tagged_high"),
]
"""Columns of the calibration where there is no jet to calibrate with."""


class _Reliability:
    """The rows of one efficiency and flavour, from passes over the sample.

    Args:
        bins: How many are asked for.
    """

    def __init__(self, bins: int) -> None:
        self._quantiles = Quantiles(np.linspace(0, 1, bins + 1))
        self._edges: FloatArray | None = None
        self._sums: FloatArray | float = 0.0
        self._has_truth = False
        self._passes = 0

    @property
    def count(self) -> int:
        """Number of jets."""
        return self._quantiles.count

    def add(self, jets: Jets, efficiency: FloatArray, inside: BoolArray) -> None:
        """Add the jets of a block that are of the flavour; the same in each pass."""
        if jets.is_tagged is None:
            msg = "calibration compares with the tags; the sample has no column 'is_tagged'"
            raise DataError(msg)
        values = np.asarray(efficiency)[inside]
        if self._edges is None:
            self._quantiles.add(values)
            return
        self._has_truth = jets.efficiency_true is not None
        true = jets.efficiency_true[inside] if jets.efficiency_true is not None else 0 * values
        last = max(len(self._edges) - 2, 0)
        which = np.clip(np.searchsorted(self._edges, values, side="right") - 1, 0, last)
        columns = (np.ones(len(values)), values, jets.is_tagged[inside], true)
        sums = [np.bincount(which, column, last + 1) for column in columns]
        self._sums = self._sums + np.stack(sums)

    def next_pass(self) -> None:
        """End a pass over the sample."""
        self._passes += 1
        self._quantiles.next_pass()
        if self._passes == PASSES and self.count:
            # Equal values make equal quantiles, and so fewer bins.
            self._edges = np.unique(self._quantiles.values)

    def table(self) -> pd.DataFrame:
        """Return the rows, after the last pass."""
        edges = np.asarray(self._edges)
        sums = np.asarray(self._sums)
        filled = np.flatnonzero(sums[0])
        count, predicted, tagged, true = sums[:, filled]
        low, high = clopper_pearson_interval(tagged, count)
        columns = {
            "low": edges[filled],
            "high": edges[np.minimum(filled + 1, len(edges) - 1)],
            "jets": count.astype(np.int64),
            "predicted": predicted / count,
            "tagged_fraction": tagged / count,
        }
        if self._has_truth:
            columns["true"] = true / count
        return pd.DataFrame({**columns, "tagged_low": low, "tagged_high": high})


def coverage_table(numbers: pd.DataFrame, scales: pd.DataFrame) -> pd.DataFrame:
    """Put the coverage with the spread of the replicas as it is and corrected side by side.

    Args:
        numbers: Rows of :func:`coverage`.
        scales: The factors between the two, as :func:`truthtag.statistics.spread.spread_scales`
            gives them, and in each row the ``efficiency``.

    Returns:
        A row per efficiency and flavour (and one for the bins of histograms): ``efficiency,
        flavour, of, count, scale, scale_error, raw_within_1, raw_within_2, within_1, within_2,
        pull_mean, pull_rms``; and first the ``working_point``, where the rows are of several.
    """
    whole = numbers[numbers["variable"].isin(["all", "histogram bins"])]
    of_points = with_marks([], numbers)
    keys = [*of_points, "efficiency", "flavour", "variable", "count"]
    raw = whole[whole["spread"] == "raw"].set_index(keys)
    corrected = whole[whole["spread"] == "corrected"].set_index(keys)
    before = raw[["within_1", "within_2"]].add_prefix("raw_")
    after = corrected[["within_1", "within_2", "pull_mean", "pull_rms"]]
    both = before.join(after)
    named = scales.rename(columns={"error": "scale_error"})
    told_apart = [*of_points, "efficiency", "flavour"]
    named = named[[*told_apart, "scale", "scale_error"]]
    # A histogram mixes flavours, each with a scale of its own: its rows have none.
    table = both.reset_index().merge(named, how="left", on=told_apart)
    table = table.rename(columns={"variable": "of"}).replace({"of": {"all": "jets"}})
    order = [*told_apart, "of", "count", "scale", "scale_error", *both.columns]
    return table[order]


def _effective_events(filled: pd.DataFrame) -> FloatArray:
    """Return how many events the variance of each bin is worth, whatever the unit of weights."""
    variance = filled["difference_variance"].to_numpy()
    if "mean_weight" not in filled:
        return np.asarray(variance)
    return divide(variance, filled["mean_weight"].to_numpy() ** 2, 0.0)


def _require_columns(histograms: pd.DataFrame, names: list[str]) -> None:
    """Refuse a table of histograms that lacks a column."""
    for name in names:
        if name not in histograms:
            listed = ", ".join(map(str, histograms.columns)) or "no columns"
            msg = f"histograms: column {name!r} is missing; the table has {listed}"
            raise DataError(msg)


def _counted(difference: FloatArray, std: FloatArray) -> FloatArray:
    """Return what is summed over jets or bins to make a row of coverage.

    Args:
        difference: True minus predicted, shape (n,).
        std: Standard deviations, shape (n,).

    Returns:
        Rows that count: all, those within one and two standard deviations, those with a standard
        deviation above 0; and the pull of these and its square; shape (6, n).
    """
    apart = np.abs(difference)
    # Replicas that agree leave no unit to measure a difference in.
    varies = std > 0
    pull = divide(difference, std, 0.0)
    return np.stack([np.ones(len(std)), apart <= std, apart <= 2 * std, varies, pull, pull**2])


def _row(
    name: str, flavour: str, variable: str, low: float, high: float, sums: FloatArray
) -> dict[str, object]:
    """Return one row of coverage from sums over :func:`_counted`, NaN where nothing is counted."""
    count, within_1, within_2, varying, pull, squares = map(float, sums)
    return {
        "efficiency": name,
        "flavour": flavour,
        "variable": variable,
        "low": low,
        "high": high,
        "count": int(count),
        "within_1": within_1 / count if count else np.nan,
        "within_2": within_2 / count if count else np.nan,
        "pull_mean": pull / varying if varying else np.nan,
        "pull_rms": np.sqrt(squares / varying) if varying else np.nan,
    }
