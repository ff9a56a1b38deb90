"""How far efficiencies are from the truth, and how probable they make the tags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import xlogy

from truthtag.arrays import (
    AnyArray,
    BoolArray,
    FloatArray,
    divide,
    in_unit_interval,
    jet_mask,
    plain_array,
    probabilities,
)
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.estimators.sample_blocks import Block
from truthtag.statistics.points import joined
from truthtag.statistics.running import Moments

__all__ = [
    "CLIP",
    "LikelihoodSums",
    "SummarySums",
    "compare_likelihoods",
    "excess_loss",
    "relative_residual",
    "residual_summary",
    "summarise",
    "summary_in_blocks",
    "tag_loss",
]

CLIP = 1e-6
"""Predictions are clipped to [CLIP, 1 - CLIP]: the logarithm of an empty map bin is infinite."""


def excess_loss(true: FloatArray, predicted: FloatArray) -> FloatArray:
    r"""Return the expected excess of the log-loss over that of the true efficiency, per jet.

    Its mean over jets is the regret.

    .. math:: \epsilon \ln\frac{\epsilon}{q} + (1 - \epsilon) \ln\frac{1 - \epsilon}{1 - q}

    Args:
        true: True efficiencies :math:`\epsilon`.
        predicted: Predicted efficiencies q, clipped to [1e-6, 1 - 1e-6].

    Returns:
        Excess per jet [nats].

    Raises:
        DataError: The shapes differ, an entry is masked, or a number is not in [0, 1].

    Example:
        >>> excess_loss(np.array([0.5, 0.5]), np.array([0.5, 0.25])).round(4).tolist()
        [0.0, 0.1438]
    """
    true, predicted = _both(true, predicted)
    q = np.clip(predicted, CLIP, 1 - CLIP)
    of_tagged = xlogy(true, true / q)
    of_untagged = xlogy(1 - true, (1 - true) / (1 - q))
    return np.asarray(of_tagged + of_untagged)


def tag_loss(is_tagged: BoolArray, predicted: FloatArray) -> FloatArray:
    r"""Return the log-loss of each jet's tag [nats].

    .. math:: -\ln q \text{ where tagged}, \quad -\ln(1 - q) \text{ where not}

    Args:
        is_tagged: The tags, shape (n_jets,).
        predicted: Predicted efficiencies q, clipped to [1e-6, 1 - 1e-6], shape (n_jets,).

    Raises:
        DataError: The tags are no truth values, the shapes differ, an entry is masked, or a
            number is not in [0, 1].
    """
    predicted = plain_array(predicted, "predicted efficiencies")
    is_tagged = jet_mask(is_tagged, predicted.size, "is_tagged")
    probabilities(predicted, predicted.size, "predicted efficiencies")
    q = np.clip(predicted, CLIP, 1 - CLIP)
    return -np.log(np.where(is_tagged, q, 1 - q))


def relative_residual(true: FloatArray, predicted: FloatArray) -> FloatArray:
    """Return (true - predicted) / true per jet, as in Figure 6 of arXiv:2004.02665.

    It is NaN where the true efficiency is 0.

    Raises:
        DataError: The shapes differ, an entry is masked, or a number is not in [0, 1].
    """
    true, predicted = _both(true, predicted)
    return divide(true - predicted, true)


def residual_summary(true: FloatArray, predicted: FloatArray) -> tuple[float, float]:
    r"""Return mean and standard deviation of true - predicted, over the mean true efficiency.

    .. math:: \frac{\sum_i (\epsilon_i - q_i)}{\sum_i \epsilon_i}, \quad
        \frac{\sqrt{N \sum_i (\epsilon_i - q_i - \overline{\epsilon - q})^2}}{\sum_i \epsilon_i}

    The first is the mean of the relative residuals where each jet counts with its true efficiency,
    which is by how much the expected number of tags is underestimated. Jets that are hardly ever
    tagged count as little as they do for a yield: the plain mean of the residuals, that of Figure
    6, is what a few jets of efficiency 1e-9 make of it.

    Args:
        true: True efficiencies :math:`\epsilon`, shape (n,).
        predicted: Predicted efficiencies q, shape (n,).

    Returns:
        Mean and standard deviation; NaN where no true efficiency is above 0.

    Raises:
        DataError: The shapes differ, an entry is masked, or a number is not in [0, 1].

    Example:
        >>> [round(one, 4) for one in residual_summary(np.array([0.5, 0.3]), np.array([0.4, 0.3]))]
        [0.125, 0.125]
        >>> rare, wrong = np.array([0.5, 0.3, 1e-9]), np.array([0.4, 0.3, 1e-3])
        >>> [round(one, 4) for one in residual_summary(rare, wrong)]
        [0.1238, 0.1777]
    """
    residuals = _Residuals()
    residuals.add(*_both(true, predicted))
    return residuals.values


class _Residuals:
    """The numbers of :func:`residual_summary`, of jets that are given block by block."""

    def __init__(self) -> None:
        self._true = 0.0
        self._difference = Moments()

    def add(self, true: AnyArray, predicted: AnyArray) -> None:
        """Add jets, whose efficiencies have been checked."""
        self._true += float(true.sum(dtype=np.float64))
        self._difference.add(np.asarray(true - predicted, dtype=np.float64))

    @property
    def values(self) -> tuple[float, float]:
        """Mean and standard deviation, over the mean true efficiency."""
        if not self._true > 0:
            return np.nan, np.nan
        mean = self._true / self._difference.count
        return float(self._difference.mean) / mean, float(self._difference.std) / mean


def summarise(
    jets: Jets,
    efficiencies: Mapping[str, FloatArray],
    flavours: Mapping[str, int],
    chosen: BoolArray,
    in_domain: BoolArray | None = None,
) -> pd.DataFrame:
    """Measure efficiencies on a sample, per flavour and for all jets.

    Every jet counts once, whatever the weight of its event.

    Args:
        jets: A sample, at one working point.
        efficiencies: Predicted efficiencies by name, each of shape (n_jets,), in [0, 1].
        flavours: Numbers of the hadron flavours, by name.
        chosen: Which jets count, shape (n_jets,).
        in_domain: Which jets are like those that the efficiencies were learned from, shape
            (n_jets,); or None.

    Returns:
        A row per efficiency and flavour: ``jets``, ``regret`` and ``log_loss`` [nats/jet],
        ``residual_mean`` and ``residual_rms`` as :func:`residual_summary` gives them, and, where
        ``in_domain`` is given, its fraction. Where the true efficiencies are not known,
        regret and residuals are not there, but the mean ``predicted`` efficiency and the
        ``tagged_fraction``; where there are no tags, nothing that needs them.

    Raises:
        DataError: An efficiency or a mask has another length or kind, masked entries, or values
            that are not allowed; or the tags are those of several working points.
    """
    sums = SummarySums(flavours)
    sums.add(jets, efficiencies, chosen, in_domain)
    return sums.table()


class SummarySums:
    """The table of :func:`summarise`, of jets that are given block by block.

    Args:
        flavours: Numbers of the hadron flavours, by name.
    """

    def __init__(self, flavours: Mapping[str, int]) -> None:
        self.flavours = flavours
        self._rows: dict[tuple[str, str], _Row] = {}

    def add(
        self,
        jets: Jets,
        efficiencies: Mapping[str, FloatArray],
        chosen: BoolArray,
        in_domain: BoolArray | None = None,
    ) -> None:
        """Add jets; arguments and errors are those of :func:`summarise`."""
        if jets.tag_bin is not None:
            msg = (
                "the summary is of one working point, the sample has tags of several; take one "
                "of them first, with at_point"
            )
            raise DataError(msg)
        chosen = jet_mask(chosen, jets.n_jets, "chosen")
        if in_domain is not None:
            in_domain = jet_mask(in_domain, jets.n_jets, "in_domain")
        groups = {"all": chosen}
        for name, number in self.flavours.items():
            groups[name] = chosen & (jets.flavour == number)
        for name, given in efficiencies.items():
            predicted = _checked(given, jets.n_jets, name)
            measured = _measured(jets, predicted)
            for flavour, inside in groups.items():
                row = self._rows.setdefault((name, flavour), _Row())
                row.add(jets, predicted, measured, inside, in_domain)

    def table(self) -> pd.DataFrame:
        """Return the table of all jets so far."""
        rows = []
        for (name, flavour), row in self._rows.items():
            rows.append({"efficiency": name, "flavour": flavour, **row.columns()})
        return pd.DataFrame(rows)


class _Row:
    """Sums over the jets of one row of the summary."""

    def __init__(self) -> None:
        self._jets = 0
        self._sums: dict[str, float] = {}
        self._residuals: _Residuals | None = None

    def add(
        self,
        jets: Jets,
        predicted: FloatArray,
        measured: Mapping[str, AnyArray],
        inside: BoolArray,
        in_domain: BoolArray | None,
    ) -> None:
        """Add the jets of a block that belong to the row."""
        self._jets += int(inside.sum())
        if jets.efficiency_true is not None:
            self._residuals = self._residuals or _Residuals()
            self._residuals.add(jets.efficiency_true[inside], predicted[inside])
        summed = dict(measured)
        if in_domain is not None:
            summed["in_domain"] = in_domain
        for column, values in summed.items():
            total = float(values[inside].sum(dtype=np.float64))
            self._sums[column] = self._sums.get(column, 0.0) + total

    def columns(self) -> dict[str, float]:
        """Return the numbers of the row."""
        row: dict[str, float] = {"jets": self._jets}
        for column, total in self._sums.items():
            row[column] = total / self._jets if self._jets else np.nan
            if column == "regret" and self._residuals is not None:
                row["residual_mean"], row["residual_rms"] = self._residuals.values
        return row


def _measured(jets: Jets, predicted: FloatArray) -> dict[str, AnyArray]:
    """Return what is averaged over jets, by the name of the column, each of shape (n_jets,)."""
    measured: dict[str, AnyArray] = {}
    if jets.efficiency_true is not None:
        measured["regret"] = excess_loss(jets.efficiency_true, predicted)
    else:
        measured["predicted"] = predicted
    if jets.is_tagged is not None:
        if jets.efficiency_true is None:
            measured["tagged_fraction"] = jets.is_tagged
        measured["log_loss"] = tag_loss(jets.is_tagged, predicted)
    return measured


def compare_likelihoods(
    is_tagged: BoolArray, efficiencies: Mapping[str, FloatArray]
) -> pd.DataFrame:
    r"""Compare efficiencies by how probable they make the tags that were seen.

    No truth is needed. With :math:`\ell_i` the log-loss of jet i and k the efficiency of the lowest
    mean loss, the difference :math:`d = \langle \ell - \ell^{(k)} \rangle` has the error
    :math:`\sigma(\ell - \ell^{(k)}) / \sqrt{N}`: both see the same jets. An assumption built into
    one estimator, such as efficiencies that factorise, is refuted where a freer one is better by
    many errors.

    Args:
        is_tagged: The tags, shape (n_jets,).
        efficiencies: Predicted efficiencies by name, each of shape (n_jets,), in [0, 1].

    Returns:
        A row per efficiency: ``log_loss``, its ``difference`` to the lowest and the ``error`` of
        that [nats/jet], and ``significance``, their ratio (0 for the lowest).

    Raises:
        DataError: There is no efficiency or no jet; the tags or an efficiency have another length
            or kind, masked entries, or values that are not allowed.
    """
    sums = LikelihoodSums()
    sums.add(is_tagged, efficiencies)
    return sums.table()


class LikelihoodSums:
    """The table of :func:`compare_likelihoods`, of jets that are given block by block.

    Which efficiency is best is known at the end only, so that all are compared with all.
    """

    def __init__(self) -> None:
        self._names: list[str] = []
        self._n_jets = 0
        self._loss = Moments()
        self._excess: list[Moments] = []

    def add(self, is_tagged: BoolArray, efficiencies: Mapping[str, FloatArray]) -> None:
        """Add jets; arguments and errors are those of :func:`compare_likelihoods`."""
        n_jets = plain_array(is_tagged, "is_tagged").size
        tags = jet_mask(is_tagged, n_jets, "is_tagged")
        self._names = list(efficiencies)
        self._n_jets += n_jets
        if not efficiencies:
            return
        checked = [_checked(given, n_jets, name) for name, given in efficiencies.items()]
        losses = np.stack([tag_loss(tags, one) for one in checked])
        self._loss.add(losses)
        self._excess = self._excess or [Moments() for _ in losses]
        for excess, loss in zip(self._excess, losses, strict=True):
            # Jet by jet: what both find hard cancels, and the error is that of the difference.
            excess.add(losses - loss)

    def table(self) -> pd.DataFrame:
        """Return the table of all jets so far.

        Raises:
            DataError: There is no efficiency or no jet.
        """
        n_jets = self._n_jets
        if not n_jets or not self._names:
            msg = (
                f"likelihoods of {n_jets} jets by {len(self._names)} efficiencies cannot be "
                "compared; give at least one of each"
            )
            raise DataError(msg)
        means = self._loss.mean
        excess = self._excess[int(np.argmin(means))]
        difference = excess.mean
        error = excess.std / np.sqrt(n_jets)
        columns = {
            "efficiency": self._names,
            "log_loss": means,
            "difference": difference,
            "error": error,
            "significance": np.where(error > 0, divide(difference, error), 0.0),
        }
        return pd.DataFrame(columns)


def summary_in_blocks(
    blocks: Iterable[Block],
    points: Sequence[str | None],
    flavours: Mapping[str, int],
    pt_range: tuple[float, float],
) -> dict[str, pd.DataFrame]:
    """Compare the efficiencies on a sample that comes in blocks with its truth and its tags.

    Args:
        blocks: The sample, with predictions and domain.
        points: Names of its working points; None alone where there is one only.
        flavours: Numbers of the hadron flavours, by name.
        pt_range: Lowest and highest pT of the jets of the second table [GeV].

    Returns:
        Tables of :func:`summarise`: ``all_jets``, ``in_range``, and ``in_domain``; and, where the
        sample has tags, ``likelihood``, of :func:`compare_likelihoods`.

    Raises:
        DataError: An array does not fit the jets, or holds a value that is not allowed.
    """
    names = ("all_jets", "in_range", "in_domain")
    summaries = {name: {point: SummarySums(flavours) for point in points} for name in names}
    likelihoods: dict[str | None, LikelihoodSums] = {}
    for block in blocks:
        in_range = (block.jets.pt >= pt_range[0]) & (block.jets.pt <= pt_range[1])
        every = np.ones(block.jets.n_jets, dtype=bool)
        choices = (every, np.asarray(in_range), block.domain)
        for point in points:
            jets = block.at_point(point).jets
            efficiencies = block.efficiencies(point)
            if jets.is_tagged is not None:
                sums = likelihoods.setdefault(point, LikelihoodSums())
                sums.add(jets.is_tagged, efficiencies)
            for name, chosen in zip(names, choices, strict=True):
                summaries[name][point].add(jets, efficiencies, chosen, block.domain)
    tables = {}
    for name, of_points in summaries.items():
        tables[name] = joined({point: sums.table() for point, sums in of_points.items()})
    if likelihoods:
        compared = {point: sums.table() for point, sums in likelihoods.items()}
        tables["likelihood"] = joined(compared)
    return tables


def _both(true: FloatArray, predicted: FloatArray) -> tuple[AnyArray, AnyArray]:
    """Return two efficiencies of the same jets, in their precision, once they have been checked."""
    first = plain_array(true, "true efficiencies")
    second = plain_array(predicted, "predicted efficiencies")
    if first.shape != second.shape:
        msg = (
            f"true efficiencies have shape {first.shape}, predicted ones {second.shape}; "
            "give one of each per jet"
        )
        raise DataError(msg)
    in_unit_interval(first, "true efficiencies")
    in_unit_interval(second, "predicted efficiencies")
    return first, second


def _checked(efficiency: FloatArray, n_jets: int, name: str) -> FloatArray:
    """Return an efficiency as it was given, in its precision, once it has been checked."""
    probabilities(efficiency, n_jets, f"the efficiency {name!r}")
    return np.asarray(efficiency)
