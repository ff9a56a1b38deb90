"""One of the repeated training samples: what is fitted to it, and how that does on a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtr

from truthtag.arrays import BoolArray
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.estimators.ensemble import Ensemble
from truthtag.estimators.predictions import Prediction, predict
from truthtag.estimators.resampling import fit_replicas
from truthtag.seeds import Seed
from truthtag.statistics.accuracy import summarise
from truthtag.statistics.coverage import bin_coverage, jet_coverage
from truthtag.statistics.distributions import Distribution, fill_distribution

__all__ = ["Judge", "Measured", "expected_coverage", "fit_with_replicas"]

ACCURACY = ["efficiency", "flavour", "regret", "residual_mean"]
"""Columns of the accuracy that are kept."""


def fit_with_replicas(
    kind: Any, train: Jets, validation: Jets, options: Any, seed: Seed
) -> Ensemble:
    """Fit an estimator and its replicas to one training sample.

    Args:
        kind: The class of an estimator that is fitted in one go.
        train: A tagged sample.
        validation: Independent events, to decide when to stop, say.
        options: An object of ``kind.options_type``; its ``replicas`` are as many.
        seed: Names the random streams.

    Raises:
        DataError: As in ``kind.fit``.
    """
    nominal = kind.fit(train, validation, options, seed)
    replicas = fit_replicas(kind, train, validation, options, options.replicas, seed)
    return Ensemble(replicas, nominal)


def expected_coverage(replicas: int, *, averaged: bool) -> tuple[float, float]:
    r"""Return how often the truth lies within one and two spreads of replicas that are right.

    K replicas tell their own spread badly, so that the pull has Student's distribution,

    .. math:: P_n = P(|t_{K-1}| < n), \quad P_n = P(|t_{K-1}| < n / \sqrt{1 + 1/K})

    the second where the efficiency is the mean of the replicas, and so as uncertain as they are
    few. The more replicas, the nearer to 68.3% and 95.4%.

    Args:
        replicas: Number of replicas K.
        averaged: Whether the efficiency is their mean, as that of networks is; otherwise it is a
            fit of its own, and they scatter as it does.

    Raises:
        DataError: There are fewer than two replicas.

    Example:
        >>> [round(100 * share, 1) for share in expected_coverage(20, averaged=False)]
        [67.0, 94.0]
        >>> [round(100 * share, 1) for share in expected_coverage(20, averaged=True)]
        [65.9, 93.4]
    """
    if replicas < 2:
        msg = f"coverage: {replicas} replica(s) have no spread; make at least two"
        raise DataError(msg)
    wider = np.sqrt(1 + 1 / replicas) if averaged else 1.0
    one, two = (float(2 * stdtr(replicas - 1, n / wider) - 1) for n in (1, 2))
    return one, two


class Measured(NamedTuple):
    """What one training sample gives.

    Attributes:
        histograms: Rows of closure histograms of all events, filled by the efficiency and by each
            of its replicas.
        coverage: A row per flavour, of jets, and one of histogram bins.
        accuracy: A row per flavour, and one of all jets.
    """

    histograms: pd.DataFrame
    coverage: pd.DataFrame
    accuracy: pd.DataFrame


@dataclass(frozen=True, eq=False)
class Judge:
    """The sample that whatever was fitted is measured on, and what is measured.

    Args:
        jets: A tagged sample whose true efficiencies are known.
        in_domain: Which jets are like those of the training samples, shape (n_jets,).
        distributions: Histograms that are filled with it.
        flavours: Numbers of the hadron flavours, by name.
        minimum_events: Least effective events of the bins whose coverage counts.
    """

    jets: Jets
    in_domain: BoolArray
    distributions: Sequence[Distribution]
    flavours: Mapping[str, int]
    minimum_events: float

    def measure(self, name: str, fitted: Ensemble, sample: int) -> Measured:
        """Measure what was fitted to one training sample, the spread as it is.

        Coverage and accuracy are those at the loosest working point.

        Args:
            name: Name of the estimator.
            fitted: The estimator with its replicas.
            sample: Number of the training sample.

        Raises:
            DataError: The true efficiencies of the jets are not known, or it does not know them.
        """
        predicted = {name: predict(fitted, self.jets)}
        tables = []
        for distribution in self.distributions:
            frame = fill_distribution(
                distribution, self.jets, predicted, self.in_domain, self.flavours
            )
            tables.append(frame[frame["events"] == "all"])
        filled = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
        by_name = filled[filled["filled_by"] == name] if tables else filled
        histograms = by_name.assign(efficiency=name, sample=sample)
        coverage = self._coverage(name, fitted, predicted[name], filled)
        accuracy = self._accuracy(name, predicted[name])
        return Measured(
            histograms.reset_index(drop=True),
            coverage.assign(sample=sample),
            accuracy.assign(sample=sample),
        )

    def _coverage(
        self, name: str, fitted: Ensemble, prediction: Prediction, filled: pd.DataFrame
    ) -> pd.DataFrame:
        """Return coverage by jet and by bin, and what it should be with so many replicas."""
        at_loosest = {name: prediction.of_point(self.jets)}
        jets = self.jets.at_point()
        tables = [jet_coverage(jets, at_loosest, self.in_domain, self.flavours, {})]
        if len(filled):
            tables.append(bin_coverage(filled, self.minimum_events))
        coverage = pd.concat([table for table in tables if len(table)], ignore_index=True)
        averaged = fitted.nominal is None
        count = len(fitted.members)
        one, two = expected_coverage(count, averaged=averaged)
        return coverage.assign(replicas=count, expected_1=one, expected_2=two)

    def _accuracy(self, name: str, prediction: Prediction) -> pd.DataFrame:
        values = prediction.of_point(self.jets).values
        everywhere = np.ones(self.jets.n_jets, dtype=bool)
        return summarise(self.jets.at_point(), {name: values}, self.flavours, everywhere)[ACCURACY]
