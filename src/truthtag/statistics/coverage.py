"""Are the uncertainties right? How often the truth lies within them, and whether jets are tagged as often as predicted."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pandas as pd
from hist.intervals import clopper_pearson_interval

from truthtag.arrays import BoolArray, FloatArray
from truthtag.data.jets import Jets
from truthtag.data.neighbours import nearest_jet
from truthtag.errors import DataError
from truthtag.estimators.predictions import Prediction, replica_std

__all__ = ["bin_coverage", "calibration", "coverage_table", "jet_coverage"]

COLUMNS = [
    *("efficiency", "flavour", "variable", "low", "high", "count"),
    *("within_1", "within_2", "pull_mean", "pull_rms"),
]
"""Columns of coverage, which are there even where no efficiency has a spread."""


def jet_coverage(
    jets: Jets,
    predicted: Mapping[str, Prediction],
    chosen: BoolArray,
    flavours: Mapping[str, int],
    axes: Mapping[str, FloatArray],
) -> pd.DataFrame:
    """Count how often the true efficiency of a jet lies within one and two standard deviations of the predicted one.

    The errors of jets are far from independent: all were made by one training sample, which leaves as many independent
    directions as the fit has effective parameters. Fractions of one run scatter accordingly, however many jets there are.

    Args:
        jets: A sample whose true efficiencies are known.
        predicted: Predictions by name; those without at least two replicas are left out.
        chosen: Which jets count, shape (n_jets,).
        flavours: Numbers of the hadron flavours, by name.
        axes: Bin edges of ``pt`` [GeV] and ``delta_r`` (to the nearest jet), for those that are asked for.

    Returns:
        A row per efficiency, flavour and bin of each variable, and one for all bins (variable ``all``): ``efficiency,
        flavour, variable, low, high, count`` (of jets), ``within_1, within_2`` (fractions), ``pull_mean, pull_rms`` of
        (true - predicted) / standard deviation, over jets where that is not 0.

    Raises:
        DataError: The sample has no true efficiencies.
    """
    if jets.efficiency_true is None:
        msg = "coverage compares with the truth; the sample has no column 'efficiency_true'"
        raise DataError(msg)
    values = {"pt": jets.pt, "delta_r": nearest_jet(jets)[1]}
    rows = []
    for name, one in predicted.items():
        if one.replicas is None or len(one.replicas) < 2:
            continue
        difference, std = jets.efficiency_true - one.values, replica_std(one.replicas)
        for flavour, number in flavours.items():
            inside = chosen & (jets.flavour == number)
            rows.append(_row(name, flavour, "all", np.nan, np.nan, difference[inside], std[inside]))
            for variable, edges in axes.items():
                which = np.searchsorted(edges, values[variable], side="right") - 1
                for b, (low, high) in enumerate(pairwise(edges)):
                    part = inside & (which == b)
                    rows.append(
                        _row(name, flavour, variable, low, high, difference[part], std[part])
                    )
    return pd.DataFrame(rows, columns=COLUMNS)


def bin_coverage(histograms: pd.DataFrame, minimum_variance: float) -> pd.DataFrame:
    """Count how often the true yield of a histogram bin lies within one and two standard deviations of the weighted one.

    Only the error of the efficiency counts here: both fill the same events.

    Args:
        histograms: Rows as :func:`truthtag.statistics.closure.closure_histogram` makes them, and what tells histograms apart in
            ``panel``.
        minimum_variance: Bins whose difference to direct tagging has a smaller variance are left out: they have next to no
            events.

    Returns:
        As :func:`jet_coverage`, a row per efficiency with replicas; ``flavour`` is ``all``, ``variable`` is
        ``histogram bins``, and ``count`` that of bins.
    """
    keys = ["panel", "low"]
    true = histograms[histograms["filled_by"] == "true"].set_index(keys)["yield"]
    rows = []
    for name, filled in histograms.groupby("filled_by", sort=False):
        full = filled[
            (filled["difference_variance"] >= minimum_variance) & (filled["efficiency_error"] > 0)
        ]
        if full.empty:
            continue
        full = full.set_index(keys)
        difference, std = (
            (true.reindex(full.index) - full["yield"]).to_numpy(),
            full["efficiency_error"].to_numpy(),
        )
        rows.append(_row(str(name), "all", "histogram bins", np.nan, np.nan, difference, std))
    return pd.DataFrame(rows, columns=COLUMNS)


def calibration(
    jets: Jets, efficiencies: Mapping[str, FloatArray], flavours: Mapping[str, int], bins: int
) -> pd.DataFrame:
    """Compare the tagged fraction of jets with the efficiency predicted for them: a reliability diagram.

    Args:
        jets: Tagged jets.
        efficiencies: Predicted efficiencies by name, each of shape (n_jets,).
        flavours: Numbers of the hadron flavours, by name.
        bins: Bins of predicted efficiency per flavour, each with as many jets.

    Returns:
        A row per efficiency, flavour and bin: ``low, high`` (predicted efficiencies at its ends), ``jets``, their mean
        efficiency ``predicted``, ``tagged_fraction`` with its Clopper-Pearson interval ``tagged_low, tagged_high``, and
        their mean ``true`` efficiency where it is known. Jets of one predicted value share a bin.

    Raises:
        DataError: The sample has no tags.
    """
    if jets.is_tagged is None:
        msg = "calibration compares with the tags; the sample has no column 'is_tagged'"
        raise DataError(msg)
    parts = []
    for name, eff in efficiencies.items():
        for flavour, number in flavours.items():
            inside = jets.flavour == number
            if not inside.any():
                continue
            values = eff[inside]
            edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)))
            which = np.clip(
                np.searchsorted(edges, values, side="right") - 1, 0, max(len(edges) - 2, 0)
            )
            columns = {"predicted": values, "tagged_fraction": jets.is_tagged[inside]}
            if jets.efficiency_true is not None:
                columns["true"] = jets.efficiency_true[inside]
            table = pd.DataFrame(columns).groupby(which).mean()
            count = np.bincount(which, minlength=len(edges) - 1)[table.index]
            low, high = clopper_pearson_interval(np.rint(table["tagged_fraction"] * count), count)
            ends = {
                "low": edges[table.index],
                "high": edges[np.minimum(table.index + 1, len(edges) - 1)],
            }
            row = {"efficiency": name, "flavour": flavour, **ends, "jets": count}
            parts.append(
                pd.DataFrame(row)
                .join(table.reset_index(drop=True))
                .assign(tagged_low=low, tagged_high=high)
            )
    return pd.concat(parts, ignore_index=True)


def coverage_table(numbers: pd.DataFrame, scales: pd.DataFrame) -> pd.DataFrame:
    """Put the coverage with the spread of the replicas as it is and corrected side by side.

    Args:
        numbers: Rows of :func:`jet_coverage` and :func:`bin_coverage`, ``raw`` or ``corrected`` in the column ``spread``.
        scales: The factors between the two, as :func:`truthtag.statistics.uncertainty.measure_scales` gives them, and in each row
            the ``efficiency``.

    Returns:
        A row per efficiency and flavour (and one for the bins of histograms): ``efficiency, flavour, of, count, scale,
        scale_error, raw_within_1, raw_within_2, within_1, within_2, pull_mean, pull_rms``.
    """
    whole = numbers[numbers["variable"].isin(["all", "histogram bins"])]
    keys = ["efficiency", "flavour", "variable", "count"]
    raw, corrected = (
        whole[whole["spread"] == spread].set_index(keys) for spread in ("raw", "corrected")
    )
    both = (
        raw[["within_1", "within_2"]]
        .add_prefix("raw_")
        .join(corrected[["within_1", "within_2", "pull_mean", "pull_rms"]])
    )
    named = scales.rename(columns={"error": "scale_error"})[
        ["efficiency", "flavour", "scale", "scale_error"]
    ]
    table = both.reset_index().merge(named, how="left", on=["efficiency", "flavour"])
    order = ["efficiency", "flavour", "of", "count", "scale", "scale_error", *both.columns]
    return table.rename(columns={"variable": "of"}).replace({"of": {"all": "jets"}})[order]


def _row(
    name: str,
    flavour: str,
    variable: str,
    low: float,
    high: float,
    difference: FloatArray,
    std: FloatArray,
) -> dict[str, object]:
    some = len(std) > 0
    pull = difference[std > 0] / std[std > 0]
    return {
        "efficiency": name,
        "flavour": flavour,
        "variable": variable,
        "low": low,
        "high": high,
        "count": len(std),
        "within_1": np.mean(np.abs(difference) <= std) if some else np.nan,
        "within_2": np.mean(np.abs(difference) <= 2 * std) if some else np.nan,
        "pull_mean": pull.mean() if len(pull) else np.nan,
        "pull_rms": np.sqrt(np.mean(pull**2)) if len(pull) else np.nan,
    }
