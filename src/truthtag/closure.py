"""How good an efficiency is: against the truth where it is known, against the tags where it is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import boost_histogram as bh
import numpy as np
import pandas as pd
from scipy.special import xlogy
from scipy.stats import chi2 as chi2_distribution

from truthtag.arrays import BoolArray, FloatArray, IntArray, divide
from truthtag.errors import DataError
from truthtag.jets import Jets
from truthtag.kinematics import delta_r, invariant_mass
from truthtag.tagging import tag_probabilities

__all__ = [
    "CLIP",
    "ClosureTest",
    "Entries",
    "closure_histogram",
    "closure_test",
    "compare_likelihoods",
    "dijet",
    "excess_loss",
    "relative_residual",
    "summarise",
    "tag_loss",
]

CLIP = 1e-6
"""Predictions are clipped to [CLIP, 1 - CLIP] in logarithms, since an empty map bin would make them infinite."""


def excess_loss(true: FloatArray, predicted: FloatArray) -> FloatArray:
    r"""Expected excess of the log-loss over that of the true efficiency, per jet; its mean is the regret.

    .. math:: \epsilon \ln\frac{\epsilon}{q} + (1 - \epsilon) \ln\frac{1 - \epsilon}{1 - q}

    Args:
        true: True efficiencies :math:`\epsilon`.
        predicted: Predicted efficiencies q, clipped to [1e-6, 1 - 1e-6].

    Returns:
        Excess per jet [nats].

    Example:
        >>> excess_loss(np.array([0.5, 0.5]), np.array([0.5, 0.25])).round(4).tolist()
        [0.0, 0.1438]
    """
    q = np.clip(predicted, CLIP, 1 - CLIP)
    return np.asarray(xlogy(true, true / q) + xlogy(1 - true, (1 - true) / (1 - q)))


def tag_loss(is_tagged: BoolArray, predicted: FloatArray) -> FloatArray:
    r"""Log-loss of each jet's tag, :math:`-\ln q` where tagged and :math:`-\ln(1 - q)` where not [nats]."""
    q = np.clip(predicted, CLIP, 1 - CLIP)
    return -np.log(np.where(is_tagged, q, 1 - q))


def relative_residual(true: FloatArray, predicted: FloatArray) -> FloatArray:
    """Return (true - predicted) / true per jet, as in Figure 6 of arXiv:2004.02665."""
    return (true - predicted) / true


def summarise(
    jets: Jets, efficiencies: Mapping[str, FloatArray], flavours: Mapping[str, int], chosen: BoolArray
) -> pd.DataFrame:
    """Measure efficiencies on a sample, per flavour and for all jets.

    Args:
        jets: A tagged sample whose true efficiencies are known.
        efficiencies: Predicted efficiencies by name, each of shape (n_jets,).
        flavours: Numbers of the hadron flavours, by name.
        chosen: Which jets count, shape (n_jets,).

    Returns:
        A row per efficiency and flavour: ``jets``, ``regret`` and ``log_loss`` [nats/jet], ``residual_mean`` and
        ``residual_rms`` (standard deviation) of the relative residual.

    Raises:
        DataError: The sample has no tags or no true efficiencies.
    """
    if jets.efficiency_true is None or jets.is_tagged is None:
        msg = "the summary needs the columns 'efficiency_true' and 'is_tagged'; the sample lacks one of them"
        raise DataError(msg)
    true, is_tagged = jets.efficiency_true, jets.is_tagged
    groups = {"all": chosen, **{name: chosen & (jets.flavour == number) for name, number in flavours.items()}}
    rows = []
    for name, predicted in efficiencies.items():
        residual = relative_residual(true, predicted)
        excess, loss = excess_loss(true, predicted), tag_loss(is_tagged, predicted)
        for flavour, inside in groups.items():
            some = inside.any()
            rows.append(
                {
                    "efficiency": name,
                    "flavour": flavour,
                    "jets": int(inside.sum()),
                    "regret": excess[inside].mean() if some else np.nan,
                    "residual_mean": residual[inside].mean() if some else np.nan,
                    "residual_rms": residual[inside].std() if some else np.nan,
                    "log_loss": loss[inside].mean() if some else np.nan,
                }
            )
    return pd.DataFrame(rows)


def compare_likelihoods(is_tagged: BoolArray, efficiencies: Mapping[str, FloatArray]) -> pd.DataFrame:
    r"""Compare efficiencies by how probable they make the tags that were seen; no truth is needed.

    With :math:`\ell_i` the log-loss of jet i and k the efficiency of the lowest mean loss, the difference
    :math:`d = \langle \ell - \ell^{(k)} \rangle` has the error :math:`\sigma(\ell - \ell^{(k)}) / \sqrt{N}`: both see the same jets.
    An assumption built into one estimator, that efficiencies factorise, say, is refuted where a freer one is better by many errors.

    Args:
        is_tagged: The tags, shape (n_jets,).
        efficiencies: Predicted efficiencies by name, each of shape (n_jets,).

    Returns:
        A row per efficiency: ``log_loss``, its ``difference`` to the lowest and the ``error`` of that [nats/jet], and
        ``significance``, their ratio (0 for the lowest).
    """
    losses = {name: tag_loss(is_tagged, eff) for name, eff in efficiencies.items()}
    best = min(losses, key=lambda name: float(losses[name].mean()))
    rows = []
    for name, loss in losses.items():
        excess = loss - losses[best]
        difference, error = float(excess.mean()), float(excess.std() / np.sqrt(len(excess)))
        rows.append(
            {
                "efficiency": name,
                "log_loss": float(loss.mean()),
                "difference": difference,
                "error": error,
                "significance": difference / error if error > 0 else 0.0,
            }
        )
    return pd.DataFrame(rows)


@dataclass(frozen=True, eq=False)
class Entries:
    """What fills one closure histogram: an entry per event, passing or not.

    Args:
        values: The variable of the histogram, shape (m,).
        weight: Generator weights, shape (m,).
        passed: Whether the tagger's own decisions pass the event, shape (m,).
        probability: Probability that the event passes, by the name of the efficiency, each of shape (m,).
    """

    values: FloatArray
    weight: FloatArray
    passed: BoolArray
    probability: Mapping[str, FloatArray]

    def where(self, chosen: BoolArray) -> Entries:
        """Return the entries of some events."""
        probability = {name: p[chosen] for name, p in self.probability.items()}
        return Entries(self.values[chosen], self.weight[chosen], self.passed[chosen], probability)


def dijet(jets: Jets, efficiencies: Mapping[str, FloatArray], both: bool = True) -> tuple[Entries, Entries, IntArray]:
    """Prepare Delta R and invariant mass of the two leading jets of each event.

    Args:
        jets: A tagged sample.
        efficiencies: Efficiencies of the jets by name, each of shape (n_jets,).
        both: Require both jets to be tagged; otherwise only the leading one.

    Returns:
        Entries in Delta R, entries in the mass [GeV], and the flavours of the two jets, shape (m, 2).

    Raises:
        DataError: The sample has no tags.
    """
    if jets.is_tagged is None:
        msg = "closure compares with the tags; the sample has no column 'is_tagged'"
        raise DataError(msg)
    events, pair = jets.leading(2)
    chosen = pair if both else pair[:, :1]
    passed = np.asarray(jets.is_tagged[chosen].all(axis=1))
    probability = {name: tag_probabilities(eff[chosen])[:, -1] for name, eff in efficiencies.items()}
    eta, phi = jets.eta[pair], jets.phi[pair]
    distance = delta_r(eta[:, 0], phi[:, 0], eta[:, 1], phi[:, 1])
    mass = invariant_mass(jets.pt[pair], eta, phi, jets.mass[pair])
    weight = jets.weight[events]
    return (
        Entries(distance, weight, passed, probability),
        Entries(mass, weight, passed, probability),
        jets.flavour[pair],
    )


def closure_histogram(entries: Entries, edges: FloatArray, reference: str = "true") -> pd.DataFrame:
    r"""Fill one histogram directly and weighted by each efficiency, with the errors of their comparison.

    Direct and weighted yields share their events, so the variance of their difference is not the sum of two: with
    :math:`p_e` the probability that event e passes,

    .. math:: \mathrm{Var}\Big(\sum_e w_e [\mathrm{passed}_e - p_e]\Big) = \sum_e w_e^2\, p_e (1 - p_e).

    Two weighted yields share all their events, too: their ratio :math:`R = \sum w p / \sum w q` has the variance
    :math:`\sum w^2 (p - R q)^2 / (\sum w q)^2`.

    Args:
        entries: What to fill; events outside the edges are left out.
        edges: Bin edges, rising.
        reference: The efficiency that ratios are taken to, where it is among the entries.

    Returns:
        A row per way of filling (``direct`` first) and bin: ``filled_by, low, high, yield, error`` (of the yield
        itself), ``difference_variance`` (of direct minus this, NaN for direct), ``ratio, ratio_error`` (to the
        reference; for direct, the expected scatter about it).
    """
    w = entries.weight
    names = ["direct", *entries.probability]
    filled = {"direct": entries.passed.astype(np.float64), **entries.probability}
    base = filled.get(reference)
    base_yield = None if base is None else _fill(entries.values, edges, w * base)
    rows = []
    for name in names:
        p = filled[name]
        total = _fill(entries.values, edges, w * p)
        spread = np.full(len(total), np.nan) if name == "direct" else _fill(entries.values, edges, w**2 * p * (1 - p))
        ratio, ratio_error = np.full((2, len(total)), np.nan)
        if base is not None and base_yield is not None:
            ratio = divide(total, base_yield)
            if name == "direct":
                variance = _fill(entries.values, edges, w**2 * base * (1 - base))
            else:
                bins = np.clip(np.searchsorted(edges, entries.values, side="right") - 1, 0, len(total) - 1)
                variance = _fill(entries.values, edges, w**2 * (p - ratio[bins] * base) ** 2)
            ratio_error = divide(np.sqrt(variance), base_yield)
        rows.append(
            pd.DataFrame(
                {
                    "filled_by": name,
                    "low": edges[:-1],
                    "high": edges[1:],
                    "yield": total,
                    "error": np.sqrt(_fill(entries.values, edges, (w * p) ** 2)),
                    "difference_variance": spread,
                    "ratio": ratio,
                    "ratio_error": ratio_error,
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


@dataclass(frozen=True)
class ClosureTest:
    """Outcome of comparing a weighted histogram with the direct one.

    Attributes:
        chi2: Sum of squared pulls.
        ndf: Number of bins, after merging those with too few expected events.
        p_value: Probability of a larger chi2 if the efficiency is right.
    """

    chi2: float
    ndf: int
    p_value: float


def closure_test(
    direct: FloatArray, weighted: FloatArray, variance: FloatArray, minimum_variance: float
) -> ClosureTest:
    r"""Test that direct yields scatter about weighted ones as they should.

    .. math:: \chi^2 = \sum_\mathrm{bins} \frac{(\mathrm{direct} - \mathrm{weighted})^2}{\sum w^2 p (1 - p)}

    Nothing was fitted to these events, so each bin counts as a degree of freedom. Bins are merged with the next until
    the variance is large enough for a Gaussian; what is left over at the end joins the last one.

    Args:
        direct: Yields of the events that pass, shape (n,).
        weighted: Yields weighted by the probability to pass, shape (n,).
        variance: Variance of their difference, shape (n,).
        minimum_variance: Smallest variance of a merged bin; for unit weights, about the expected number of events.

    Returns:
        The outcome; with no bin that is large enough, ``ndf`` is 0 and the p-value NaN.

    Example:
        >>> closure_test(np.array([12.0, 30.0]), np.array([10.0, 36.0]), np.array([4.0, 9.0]), 4.0).chi2
        5.0
    """
    merged: list[list[float]] = []
    difference = spread = 0.0
    for d, v in zip(direct - weighted, variance, strict=True):
        difference, spread = difference + d, spread + v
        if spread >= minimum_variance:
            merged.append([difference, spread])
            difference = spread = 0.0
    if merged:
        merged[-1] = [merged[-1][0] + difference, merged[-1][1] + spread]
    value = sum(d**2 / v for d, v in merged)
    ndf = len(merged)
    return ClosureTest(float(value), ndf, float(chi2_distribution.sf(value, ndf)) if ndf else float("nan"))


def _fill(values: FloatArray, edges: FloatArray, weight: FloatArray) -> FloatArray:
    """Sum weights in bins."""
    histogram = bh.Histogram(bh.axis.Variable(edges), storage=bh.storage.Double())
    histogram.fill(values, weight=weight)
    return np.asarray(histogram.values())
