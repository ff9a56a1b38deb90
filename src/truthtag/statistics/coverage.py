"""Coverage: how often the truth lies within the errors; calibration: predicted and seen tags."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pandas as pd
from hist.intervals import clopper_pearson_interval

from truthtag.arrays import BoolArray, FloatArray, divide, jet_mask, per_jet, probabilities
from truthtag.data.axes import bin_index, check_edges
from truthtag.data.jets import Jets
from truthtag.data.neighbours import nearest_jet
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.predictions import Prediction
from truthtag.statistics.points import with_marks
from truthtag.statistics.spread import inflate_spread

__all__ = ["bin_coverage", "calibration", "coverage", "coverage_table", "jet_coverage"]

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
    _require_columns(histograms, ["events", "spread"])
    of_all_events = histograms[histograms["events"] == "all"]
    corrected = {}
    for name, one in predictions.items():
        if one.replicas is not None and name not in scales:
            listed = ", ".join(scales) or "none"
            msg = (
                f"there is no scale for the spread of {name!r}, only for: {listed}. "
                "Measure it (truthtag.statistics.spread.spread_scales)."
            )
            raise DataError(msg)
        corrected[name] = inflate_spread(one, jets, scales.get(name, {}))
    tables = []
    for spread, given in (("raw", predictions), ("corrected", corrected)):
        filled = of_all_events[of_all_events["spread"] == spread]
        by_jet = jet_coverage(jets, given, in_domain, flavours, axes)
        by_bin = bin_coverage(filled, minimum_events)
        tables.append(by_jet.assign(spread=spread))
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
    if jets.efficiency_true is None:
        msg = "coverage compares with the truth; the sample has no column 'efficiency_true'"
        raise DataError(msg)
    chosen = jet_mask(chosen, jets.n_jets, "chosen")
    variables = {"pt": jets.pt, "delta_r": nearest_jet(jets)[1]}
    bins = {}
    for variable, edges in axes.items():
        if variable not in variables:
            listed = " or ".join(variables)
            msg = f"coverage: there is no axis {variable!r}; it must be {listed}"
            raise ConfigError(msg)
        check_edges(list(edges), f"coverage axis {variable!r}")
        bins[variable] = bin_index(variables[variable], edges, variable)
    rows = []
    for name, one in predicted.items():
        if one.replicas is None or len(one.replicas) < 2:
            continue
        values = per_jet(one.values, jets.n_jets, f"the efficiency {name!r}")
        std = per_jet(one.std, jets.n_jets, f"the spread of {name!r}")
        difference = jets.efficiency_true - values
        for flavour, number in flavours.items():
            inside = chosen & (jets.flavour == number)
            rows.append(_row(name, flavour, "all", np.nan, np.nan, difference[inside], std[inside]))
            for variable, edges in axes.items():
                for b, (low, high) in enumerate(pairwise(edges)):
                    in_bin = inside & (bins[variable] == b)
                    row = _row(name, flavour, variable, low, high, difference[in_bin], std[in_bin])
                    rows.append(row)
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
        rows.append(_row(str(name), "all", "histogram bins", np.nan, np.nan, difference, std))
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
    tables = []
    for name, efficiency in efficiencies.items():
        # Checked only: quantiles keep the precision of the values.
        probabilities(efficiency, jets.n_jets, f"the efficiency {name!r}")
        for flavour, number in flavours.items():
            inside = jets.flavour == number
            if not inside.any():
                continue
            true = None if jets.efficiency_true is None else jets.efficiency_true[inside]
            values = np.asarray(efficiency)[inside]
            table = _reliability(values, jets.is_tagged[inside], true, bins)
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


def _reliability(
    values: FloatArray, is_tagged: BoolArray, true: FloatArray | None, bins: int
) -> pd.DataFrame:
    """Return the rows of one efficiency and flavour."""
    # Equal values make equal quantiles, and so fewer bins.
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)))
    last = max(len(edges) - 2, 0)
    which = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, last)
    columns = {"predicted": values, "tagged_fraction": is_tagged}
    if true is not None:
        columns["true"] = true
    means = pd.DataFrame(columns).groupby(which).mean()
    filled = means.index
    count = np.bincount(which, minlength=len(edges) - 1)[filled]
    tagged = np.rint(means["tagged_fraction"] * count)
    low, high = clopper_pearson_interval(tagged, count)
    upper = np.minimum(filled + 1, len(edges) - 1)
    ends = pd.DataFrame({"low": edges[filled], "high": edges[upper], "jets": count})
    table = ends.join(means.reset_index(drop=True))
    return table.assign(tagged_low=low, tagged_high=high)


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


def _row(
    name: str,
    flavour: str,
    variable: str,
    low: float,
    high: float,
    difference: FloatArray,
    std: FloatArray,
) -> dict[str, object]:
    """Return one row of coverage, NaN where nothing is counted."""
    within_1 = np.nan
    within_2 = np.nan
    if len(std):
        apart = np.abs(difference)
        within_1 = float(np.mean(apart <= std))
        within_2 = float(np.mean(apart <= 2 * std))
    # Replicas that agree leave no unit to measure a difference in.
    varies = std > 0
    pull = difference[varies] / std[varies]
    return {
        "efficiency": name,
        "flavour": flavour,
        "variable": variable,
        "low": low,
        "high": high,
        "count": len(std),
        "within_1": within_1,
        "within_2": within_2,
        "pull_mean": pull.mean() if len(pull) else np.nan,
        "pull_rms": np.sqrt(np.mean(pull**2)) if len(pull) else np.nan,
    }
