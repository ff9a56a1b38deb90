"""Repeated training samples: whether replicas of one sample scatter as the samples do."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from truthtag.arrays import FloatArray
from truthtag.errors import DataError
from truthtag.statistics.covariance import Histogram, covariance

__all__ = ["repeated_accuracy", "repeated_covariance", "repeated_coverage", "repeated_errors"]

KEYS = ["efficiency", "distribution", "panel"]
"""Columns that tell histograms apart, each filled once with every training sample."""

AIM = {"within_1": 0.02, "within_2": 0.01}
"""How far the coverage may be from what it should be: 2 points in 68.3%, 1 point in 95.4%."""


def repeated_errors(histograms: pd.DataFrame) -> pd.DataFrame:
    """Compare the error by replicas with the scatter over repeated training samples, bin by bin.

    Args:
        histograms: Rows of closure histograms, filled by an efficiency and by each replica of it,
            with the name of the ``efficiency`` and the number of the training ``sample``.

    Returns:
        A row per efficiency, distribution, panel and bin: ``yield``, the mean over samples;
        ``replicas``, the error by the replicas of one sample (the root of its mean square over
        samples) and its standard deviation ``replicas_std``; ``repeated``, the standard deviation
        of the yield over M samples and the statistical error of that, 1 / sqrt(2 M - 2) of it, in
        ``repeated_error``.

    Raises:
        DataError: A column is missing, a histogram is there twice or lacks a sample, or there are
            fewer than two samples.
    """
    tables = []
    for keys, rows in _histograms(histograms, ["high", "yield", "efficiency_error"]):
        yields = _by_sample(rows, "yield")
        errors = _by_sample(rows, "efficiency_error").to_numpy()
        low = yields.columns.to_numpy()
        over_samples = yields.to_numpy()
        repeated = over_samples.std(axis=0, ddof=1)
        columns = {
            **keys,
            "low": low,
            "high": np.sort(rows["high"].unique()),
            "yield": over_samples.mean(axis=0),
            "replicas": np.sqrt(np.mean(errors**2, axis=0)),
            "replicas_std": errors.std(axis=0, ddof=1),
            "repeated": repeated,
            "repeated_error": repeated / np.sqrt(2 * len(over_samples) - 2),
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def repeated_covariance(histograms: pd.DataFrame) -> pd.DataFrame:
    r"""Compare the covariance by replicas, C, with that over repeated training samples, R.

    Args:
        histograms: As in :func:`repeated_errors`, with the yields by each replica in
            ``replica_0``, ``replica_1``, ...

    Returns:
        A row per efficiency, distribution and panel, of numbers that are 1 where the two agree:
        ``bins``, the root of the ratio of the sums of all variances; ``sum``, that of the variances
        of the sum of all bins, for which correlations count; ``leading``, that of the variances
        along the leading eigenvector of C. And how neighbouring bins are correlated, on average
        over pairs weighted by their variances, in ``correlation_replicas`` and
        ``correlation_repeated``. The statistical error of ``sum`` and of ``leading`` with M samples
        is at least 1 / sqrt(2 M - 2) of each, in ``relative_error``.

    Raises:
        DataError: As in :func:`repeated_errors`, or there is one replica only.
    """
    out = []
    for keys, rows in _histograms(histograms, ["yield"]):
        yields = _by_sample(rows, "yield").to_numpy()
        of_samples = []
        for _, of_sample in rows.groupby("sample"):
            of_samples.append(covariance(_replica_yields(of_sample.sort_values("low"))))
        claimed = np.mean(of_samples, axis=0)
        seen = covariance(yields)
        leading = Histogram(yields.mean(axis=0), claimed).eigenvariations(1)[0].change
        along_claimed = leading @ claimed @ leading
        along_seen = leading @ seen @ leading
        row = {
            **keys,
            "samples": len(yields),
            "bins": np.sqrt(np.trace(claimed) / np.trace(seen)),
            "sum": np.sqrt(claimed.sum() / seen.sum()),
            "leading": np.sqrt(along_claimed / along_seen),
            "relative_error": 1 / np.sqrt(2 * len(yields) - 2),
            "correlation_replicas": _neighbour_correlation(claimed),
            "correlation_repeated": _neighbour_correlation(seen),
        }
        out.append(row)
    return pd.DataFrame(out)


def repeated_coverage(coverage: pd.DataFrame) -> pd.DataFrame:
    r"""Average the coverage over repeated training samples.

    The coverage of one training sample is one draw: all its jets share the errors that this sample
    made. Only its mean over training samples says whether errors are right, and its statistical
    error is that of the mean over M samples, :math:`\sigma / \sqrt M`.

    Args:
        coverage: Rows of coverage, as :meth:`truthtag.studies.repeated_fits.Judge.measure` gives
            them, of all samples.

    Returns:
        A row per efficiency, flavour and variable (``of``: jets or histogram bins): the number of
        ``samples`` and of ``replicas``; the mean over samples of ``within_1, within_2, pull_rms``,
        its statistical error in ``..._error`` and the scatter of one sample in ``..._std``. And for
        ``within_1`` and ``within_2`` what is ``expected`` of so many replicas, if their spread is
        right; how far the mean is ``off`` this; ``beyond``, by how much that exceeds :data:`AIM`, 0
        where it does not; and whether it ``meets`` the aim: ``yes`` or ``no`` where two statistical
        errors either way change nothing, ``open`` where more samples are needed to tell.

    Raises:
        DataError: A column is missing, or the coverage of a sample is there twice.
    """
    keys = ["efficiency", "flavour", "variable"]
    measured = ["within_1", "within_2", "pull_rms"]
    same = ["replicas", "expected_1", "expected_2"]
    _require_columns(coverage, [*keys, "sample", *measured, *same], "coverage")
    _require_once(coverage, [*keys, "sample"], "coverage")
    table = _over_samples(coverage, keys, measured, same)
    for name, aim in AIM.items():
        end = name.removeprefix("within_")
        off = table[name] - table[f"expected_{end}"]
        table[f"off_{end}"] = off
        table[f"beyond_{end}"] = np.sign(off) * np.maximum(np.abs(off) - aim, 0)
        distance, doubt = np.abs(off), 2 * table[f"{name}_error"]
        answers = [distance + doubt <= aim, distance - doubt > aim]
        table[f"meets_{end}"] = np.select(answers, ["yes", "no"], "open")
    table = table.rename(columns={"variable": "of"}).replace({"of": {"all": "jets"}})
    return table.astype({"replicas": np.int64})


def repeated_accuracy(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Average regret and residual over repeated training samples.

    Args:
        accuracy: Rows of accuracy, as :meth:`truthtag.studies.repeated_fits.Judge.measure` gives
            them, of all samples.

    Returns:
        A row per efficiency and flavour: the number of ``samples``, the means of ``regret``
        [nats/jet] and ``residual_mean``, their statistical errors in ``..._error``, and the scatter
        of one sample in ``..._std``.

    Raises:
        DataError: A column is missing, or the accuracy of a sample is there twice.
    """
    keys = ["efficiency", "flavour"]
    measured = ["regret", "residual_mean"]
    _require_columns(accuracy, [*keys, "sample", *measured], "accuracy")
    _require_once(accuracy, [*keys, "sample"], "accuracy")
    return _over_samples(accuracy, keys, measured, [])


def _over_samples(
    frame: pd.DataFrame, keys: list[str], measured: list[str], same: list[str]
) -> pd.DataFrame:
    """Return means, their errors and the scatter over samples, and what is the same in all."""
    grouped = frame.groupby(keys, sort=False)
    count = grouped.size()
    std = grouped[measured].std()
    table = count.rename("samples").to_frame().join(grouped[same].first())
    for name in measured:
        table[name] = grouped[name].mean()
        table[f"{name}_error"] = std[name] / np.sqrt(count)
        table[f"{name}_std"] = std[name]
    return table.reset_index()


def _histograms(
    frame: pd.DataFrame, columns: list[str]
) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    """Go through the histograms of a table: what tells each apart, and its rows."""
    _require_columns(frame, [*KEYS, "sample", "low", *columns], "histograms")
    _require_once(frame, [*KEYS, "sample", "low"], "histograms")
    if frame.empty:
        msg = "histograms: the table has no rows; fill it with at least two training samples"
        raise DataError(msg)
    for keys, rows in frame.groupby(KEYS, sort=False):
        named = dict(zip(KEYS, map(str, keys), strict=True))
        where = ", ".join(f"{key} {name!r}" for key, name in named.items())
        bins_of_samples = rows.groupby("sample").size()
        if len(bins_of_samples) < 2:
            msg = f"histograms: {where} is of one training sample; a scatter needs at least two"
            raise DataError(msg)
        if (bins_of_samples != rows["low"].nunique()).any():
            number = bins_of_samples.idxmin()
            msg = f"histograms: {where} lacks bins of the training sample {number}; fill it again"
            raise DataError(msg)
        yield named, rows


def _by_sample(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return a column of one histogram: a row per sample, a column per bin, by its low edge."""
    return rows.pivot(index="sample", columns="low", values=column)


def _replica_yields(rows: pd.DataFrame) -> FloatArray:
    """Return the yields by each replica, shape (n_replicas, n_bins).

    Another efficiency of the table may have more replicas: its columns are empty here.
    """
    by_replica = rows.filter(regex=r"^replica_\d+$").dropna(axis="columns", how="all")
    return by_replica.to_numpy().T


def _neighbour_correlation(matrix: FloatArray) -> float:
    """Return the correlation of neighbouring bins, on average weighted by their variances."""
    variances = np.diag(matrix)
    return float(np.diag(matrix, 1).sum() / np.sqrt(variances[1:] * variances[:-1]).sum())


def _require_columns(frame: pd.DataFrame, names: list[str], what: str) -> None:
    """Refuse a table that lacks a column."""
    for name in names:
        if name not in frame:
            listed = ", ".join(map(str, frame.columns)) or "no columns"
            msg = f"{what}: column {name!r} is missing; the table has {listed}"
            raise DataError(msg)


def _require_once(frame: pd.DataFrame, keys: list[str], what: str) -> None:
    """Refuse a table with two rows for one thing."""
    twice = frame.duplicated(keys)
    if twice.any():
        first = frame[twice].iloc[0]
        where = ", ".join(f"{key} {first[key]!r}" for key in keys)
        msg = f"{what}: duplicate entries for {where}; choose one filling, one spread, all events"
        raise DataError(msg)
