"""One line per efficiency and sample: all its tests together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from truthtag.statistics.closure_tests import sidak
from truthtag.statistics.panels import CELLS, GLOBAL
from truthtag.statistics.points import with_marks
from truthtag.statistics.words import verdict_on

__all__ = ["SHARES", "Outcome", "global_table", "outcomes_of", "shares"]

SHARES = {"sums": 0.5, "cells": 0.25, "histograms": 0.25}
"""How the false alarms that are allowed are shared between kinds of tests: the sums of tagged jets
of each flavour, jets in cells, and histograms of events. A sum says most for its price, and what
is rarely tagged, light jets say, shows nowhere else."""


@dataclass(frozen=True)
class Outcome:
    """One of the tests of an efficiency on a sample.

    Args:
        name: What it tests.
        kind: One of :data:`SHARES`.
        p_value: Its p-value with the scatter of the tags alone.
        p_value_total: The same with the error of the efficiency; NaN where that is not known.
        uncertainty: Relative error of the yield that is due to the efficiency; NaN where it is not
            known.
    """

    name: str
    kind: str
    p_value: float
    p_value_total: float
    uncertainty: float


def outcomes_of(rows: pd.DataFrame) -> list[Outcome]:
    """Return the tests of one efficiency on one sample.

    Args:
        rows: Its rows of :func:`truthtag.statistics.verdict.closure_table`, at one choice of
            events.

    Returns:
        Of each histogram chi2 and the pull of the sum as one test, of the jets of each flavour as
        two; only those with enough events.
    """
    tests = []
    for row in rows[rows["ndf"] > 0].to_dict("records"):
        if row["distribution"] != CELLS:
            name = f"{row['distribution']} {row['panel']}"
            tests.append(_outcome(row, name, "histograms", "p_both"))
            continue
        tests.append(_outcome(row, f"all {row['panel']} jets", "sums", "p_sum"))
        # One cell is the sum.
        if row["ndf"] > 1:
            tests.append(_outcome(row, f"{row['panel']} jets in cells", "cells", "p_value"))
    return tests


def _outcome(row: Mapping[Any, Any], name: str, kind: str, column: str) -> Outcome:
    return Outcome(name, kind, row[column], row[f"{column}_total"], row["uncertainty"])


def shares(kinds: Sequence[str]) -> list[float]:
    """Return the share of each of several tests in the false alarms; they sum to 1.

    Args:
        kinds: The kind of each test. What a kind without tests would have is left to the others.

    Example:
        >>> shares(["sums", "sums", "cells", "cells"])
        [0.3333333333333333, 0.3333333333333333, 0.16666666666666666, 0.16666666666666666]
    """
    of_kinds = sum(SHARES[kind] for kind in dict.fromkeys(kinds))
    return [SHARES[kind] / of_kinds / kinds.count(kind) for kind in kinds]


def global_table(closure: pd.DataFrame, p_value: float, max_uncertainty: float) -> pd.DataFrame:
    r"""Put all tests of an efficiency on a sample together.

    .. math:: p = \min_i \left[1 - (1 - p_i)^{1 / w_i}\right]

    with the share :math:`w_i` of each test (:data:`SHARES`, in equal parts within a kind).

    Args:
        closure: What :func:`truthtag.statistics.verdict.closure_table` returns.
        p_value: Smallest p-value of what closes, in (0, 1).
        max_uncertainty: Largest relative error of a yield within which something may close.

    Returns:
        A row per ``sample, events, efficiency`` (and ``working_point``), with ``distribution``
        (``global``) and ``panel`` (``all``): how many ``tests``; ``p_value`` and ``p_value_total``
        of all together, with the tags alone and with the error of the efficiency (NaN without
        replicas); the ``verdict``; ``uncertainty``, the largest relative error of a yield among the
        tests that fail without it (NaN where none does); and the ``smallest`` of the tests by its
        p-value with the tags alone.
    """
    keys = with_marks(["sample", "events", "efficiency"], closure)
    rows = []
    for values, of_one in closure.groupby(keys, sort=False, dropna=False):
        marks = dict(zip(keys, values, strict=True))
        row = {
            "sample": marks.pop("sample"),
            "distribution": GLOBAL,
            "panel": "all",
            **marks,
            **_together(outcomes_of(of_one), p_value, max_uncertainty),
        }
        rows.append(row)
    columns = ["sample", "distribution", "panel", *keys[1:], *_NOTHING]
    return pd.DataFrame(rows, columns=columns)


_NOTHING: dict[str, Any] = {
    "tests": 0,
    "p_value": np.nan,
    "p_value_total": np.nan,
    "verdict": verdict_on(0, np.nan, np.nan, np.nan, 0.5, 1.0),
    "uncertainty": np.nan,
    "smallest": "",
}


def _together(tests: list[Outcome], p_value: float, max_uncertainty: float) -> dict[str, Any]:
    """Put tests together; the columns of their row."""
    if not tests:
        return _NOTHING
    weights = shares([one.kind for one in tests])
    alone = np.array([sidak(one.p_value, w) for one, w in zip(tests, weights, strict=True)])
    # One p-value that is not known leaves that of all unknown.
    total = [sidak(one.p_value_total, w) for one, w in zip(tests, weights, strict=True)]
    p_total = float(np.min(total))
    failing = [one.uncertainty for one, p in zip(tests, alone, strict=True) if p < p_value]
    uncertainty = float(np.max(failing)) if failing else np.nan
    p_alone = float(alone.min())
    return {
        "tests": len(tests),
        "p_value": p_alone,
        "p_value_total": p_total,
        "verdict": verdict_on(len(tests), p_alone, p_total, uncertainty, p_value, max_uncertainty),
        "uncertainty": uncertainty,
        "smallest": tests[int(np.argmin(alone))].name,
    }
