"""The numbers of studies: what more training events or time buy, and what repeated training samples say of errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import xlog1py, xlogy

from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.estimators.predictions import predict
from truthtag.estimators.protocol import Efficiency
from truthtag.statistics.accuracy import excess_loss, summarise
from truthtag.statistics.closure import replica_yields
from truthtag.statistics.uncertainty import Histogram, covariance

__all__ = [
    "Point",
    "learning_table",
    "repeated_covariance",
    "repeated_coverage",
    "repeated_errors",
    "true_loss",
    "work",
]


@dataclass(frozen=True)
class Point:
    r"""A point of a learning curve: one efficiency, fitted to the first events of the training sample.

    Where the p parameters of a function of the right form are fitted to N jets by maximum likelihood, and N is large,
    the regret has the expectation

    .. math:: p / (2 N)

    Source: Wilks, doi 10.1214/aoms/1177732360; Akaike, doi 10.1109/TAC.1974.1100705.

    Args:
        efficiency: Its name.
        events: Training events.
        train_jets: The jets of these events.
        seeds: Number of members of an ensemble; None for what is not one.
        parameters: Number of parameters p, where the form is that of the truth; None otherwise.
    """

    efficiency: str
    events: int
    train_jets: int
    seeds: int | None = None
    parameters: int | None = None

    def measure(
        self, members: Sequence[Efficiency], jets: Jets, flavours: Mapping[str, int]
    ) -> pd.DataFrame:
        """Measure the mean of the members on a sample.

        Args:
            members: The networks of an ensemble, or a map alone.
            jets: A tagged sample whose true efficiencies are known.
            flavours: Numbers of the hadron flavours, by name.

        Returns:
            The rows of :func:`truthtag.statistics.accuracy.summarise`, and in each ``events``, ``train_jets`` and ``seeds``; in the
            row of all jets also ``member_regret``, the mean regret of single members, and ``floor``, the
            regret to be expected of the fit [nats/jet].

        Raises:
            DataError: The sample has no tags or no true efficiencies.
        """
        predictions = np.stack([predict(member, jets).values for member in members])
        chosen = np.ones(jets.n_jets, dtype=bool)
        table = summarise(jets, {self.efficiency: predictions.mean(axis=0)}, flavours, chosen)
        table.insert(0, "events", self.events)
        everything = (table["flavour"] == "all").to_numpy()
        single = floor = np.nan
        if self.seeds is not None and jets.efficiency_true is not None:
            single = float(
                np.mean(
                    [excess_loss(jets.efficiency_true, values).mean() for values in predictions]
                )
            )
        if self.parameters is not None:
            floor = self.parameters / (2 * self.train_jets)
        return table.assign(
            train_jets=self.train_jets,
            seeds=pd.array([self.seeds] * len(table), dtype="Int64"),
            member_regret=np.where(everything, single, np.nan),
            floor=np.where(everything, floor, np.nan),
        )


def learning_table(numbers: pd.DataFrame) -> pd.DataFrame:
    """Return the regret of all jets [nats/jet], a row per number of training events, a column per efficiency."""
    rows = numbers[numbers["flavour"] == "all"]
    table = rows.pivot(index="events", columns="efficiency", values="regret")
    return table[list(rows["efficiency"].unique())].reset_index().rename_axis(columns=None)


def true_loss(jets: Jets) -> float:
    r"""Return Eq. 5 of the true efficiency: the mean over the jets of each event, then over the events.

    .. math:: -t \ln \epsilon - (1 - t) \ln(1 - \epsilon)

    Args:
        jets: A tagged sample whose true efficiencies are known; events without jets do not count.

    Returns:
        The loss [nats/event], as :func:`truthtag.estimators.network.trainer.batch_loss` has it for networks, with mu = 1.

    Raises:
        DataError: The sample has no tags or no true efficiencies.
    """
    if jets.efficiency_true is None or jets.is_tagged is None:
        msg = "the loss of the truth needs the columns 'efficiency_true' and 'is_tagged'; the sample lacks one of them"
        raise DataError(msg)
    true, tags = jets.efficiency_true, jets.is_tagged.astype(np.float64)
    loss = -xlogy(tags, true) - xlog1py(1 - tags, -true)
    per_event = np.bincount(jets.event_of_jet, loss, jets.n_events)[jets.multiplicity > 0]
    return float((per_event / jets.multiplicity[jets.multiplicity > 0]).mean())


def work(histories: Mapping[str, Sequence[pd.DataFrame]], floor: float) -> pd.DataFrame:
    """Set the validation losses of networks against the time that it took to train them.

    Args:
        histories: Histories by the name of the network, one for each seed.
        floor: Loss of the true efficiency on the same events [nats/event].

    Returns:
        A row per network and epoch that all its seeds reached, means over the seeds: ``seconds`` of training until
        its end [s], ``validation_loss`` and its ``excess`` over the floor [nats/event]; ``excess_std``, the standard
        deviation of the excess over the seeds, is NaN where there is only one.
    """
    parts = []
    for network, seeds in histories.items():
        epochs = min(len(history) for history in seeds)
        seconds, loss = (
            np.stack([history[column].to_numpy()[:epochs] for history in seeds])
            for column in ("seconds", "validation_loss")
        )
        parts.append(
            pd.DataFrame(
                {
                    "network": network,
                    "seeds": len(seeds),
                    "epoch": np.arange(1, epochs + 1),
                    "seconds": seconds.cumsum(axis=1).mean(axis=0),
                    "validation_loss": loss.mean(axis=0),
                    "excess": loss.mean(axis=0) - floor,
                    "excess_std": loss.std(axis=0, ddof=1) if len(seeds) > 1 else np.nan,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def repeated_errors(histograms: pd.DataFrame) -> pd.DataFrame:
    """Compare the error that replicas give each bin with the scatter of the bin over repeated training samples.

    Args:
        histograms: Rows of closure histograms, filled with the mean of an ensemble and by each replica of it, with the
            ``network`` and the number of the training ``sample``.

    Returns:
        A row per network, panel and bin: ``yield``, the mean over samples; ``replicas``, the error by the replicas of one
        sample (the root of its mean square over samples) and its standard deviation ``replicas_std``; ``repeated``, the
        standard deviation of the yield over M samples and the statistical error of that, 1 / sqrt(2 M - 2) of it.
    """
    parts = []
    for keys, rows in histograms.groupby(["network", "panel"], sort=False):
        low, yields, errors = _by_sample(rows, "yield", "efficiency_error")
        repeated = yields.std(axis=0, ddof=1)
        parts.append(
            pd.DataFrame(
                {
                    **dict(zip(("network", "panel"), keys, strict=True)),
                    "low": low,
                    "high": np.sort(rows["high"].unique()),
                    "yield": yields.mean(axis=0),
                    "replicas": np.sqrt(np.mean(errors**2, axis=0)),
                    "replicas_std": errors.std(axis=0, ddof=1),
                    "repeated": repeated,
                    "repeated_error": repeated / np.sqrt(2 * len(yields) - 2),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def repeated_covariance(histograms: pd.DataFrame) -> pd.DataFrame:
    r"""Compare the covariance of a histogram by replicas, C, with that over repeated training samples, R.

    Args:
        histograms: As in :func:`repeated_errors`.

    Returns:
        A row per network and panel, of numbers that are 1 where the two agree: ``bins``, the root of the ratio of the sums of
        all variances; ``sum``, that of the variances of the sum of all bins, for which correlations count; ``leading``,
        that of the variances along the leading eigenvector of C. And how neighbouring bins are correlated, on average over
        pairs weighted by their variances, in ``correlation_replicas`` and ``correlation_repeated``. The statistical error of
        ``sum`` and of ``leading`` with M samples is at least 1 / sqrt(2 M - 2) of each, in ``relative_error``.
    """
    out = []
    for keys, rows in histograms.groupby(["network", "panel"], sort=False):
        _, yields = _by_sample(rows, "yield")
        replicas = [
            covariance(replica_yields(part.sort_values("low")))
            for _, part in rows.groupby("sample")
        ]
        claimed, seen = np.mean(replicas, axis=0), covariance(yields)
        leading = Histogram(yields.mean(axis=0), claimed).leading(1)[0].change
        out.append(
            {
                **dict(zip(("network", "panel"), keys, strict=True)),
                "samples": len(yields),
                "bins": np.sqrt(np.trace(claimed) / np.trace(seen)),
                "sum": np.sqrt(claimed.sum() / seen.sum()),
                "leading": np.sqrt(leading @ claimed @ leading / (leading @ seen @ leading)),
                "relative_error": 1 / np.sqrt(2 * len(yields) - 2),
                "correlation_replicas": _neighbour_correlation(claimed),
                "correlation_repeated": _neighbour_correlation(seen),
            }
        )
    return pd.DataFrame(out)


def repeated_coverage(coverage: pd.DataFrame) -> pd.DataFrame:
    """Average the coverage over repeated training samples.

    Args:
        coverage: Rows of :func:`truthtag.statistics.coverage.jet_coverage`, with the ``network`` and the number of the ``sample``.

    Returns:
        A row per network and flavour: ``samples``; means of ``within_1, within_2, pull_rms`` over them, and in
        ``..._std`` the standard deviations: how far the coverage of one training sample is from the average.
    """
    grouped = coverage.groupby(["network", "flavour"], sort=False)[
        ["within_1", "within_2", "pull_rms"]
    ]
    return (
        grouped.mean()
        .join(grouped.std().add_suffix("_std"))
        .assign(samples=grouped.size())
        .reset_index()
    )


def _by_sample(rows: pd.DataFrame, *columns: str) -> tuple[FloatArray, ...]:
    """Return the low edges of bins, and columns as arrays of shape (n_samples, n_bins)."""
    tables = [rows.pivot(index="sample", columns="low", values=column) for column in columns]
    return tables[0].columns.to_numpy(), *(table.to_numpy() for table in tables)


def _neighbour_correlation(matrix: FloatArray) -> float:
    variances = np.diag(matrix)
    return float(np.diag(matrix, 1).sum() / np.sqrt(variances[1:] * variances[:-1]).sum())
