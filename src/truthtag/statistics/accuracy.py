"""How far an efficiency is from the truth where it is known, and how probable it makes the tags where it is not."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.special import xlogy

from truthtag.arrays import BoolArray, FloatArray
from truthtag.data.jets import Jets
from truthtag.errors import DataError

__all__ = [
    "CLIP",
    "compare_likelihoods",
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
    jets: Jets,
    efficiencies: Mapping[str, FloatArray],
    flavours: Mapping[str, int],
    chosen: BoolArray,
    in_domain: BoolArray | None = None,
) -> pd.DataFrame:
    """Measure efficiencies on a sample, per flavour and for all jets.

    Args:
        jets: A tagged sample whose true efficiencies are known.
        efficiencies: Predicted efficiencies by name, each of shape (n_jets,).
        flavours: Numbers of the hadron flavours, by name.
        chosen: Which jets count, shape (n_jets,).
        in_domain: Which jets are like those that the efficiencies were learned from, shape (n_jets,); or None.

    Returns:
        A row per efficiency and flavour: ``jets``, ``regret`` and ``log_loss`` [nats/jet], ``residual_mean`` and
        ``residual_rms`` (standard deviation) of the relative residual, and, where ``in_domain`` is given, its fraction.

    Raises:
        DataError: The sample has no tags or no true efficiencies.
    """
    if jets.efficiency_true is None or jets.is_tagged is None:
        msg = "the summary needs the columns 'efficiency_true' and 'is_tagged'; the sample lacks one of them"
        raise DataError(msg)
    true, is_tagged = jets.efficiency_true, jets.is_tagged
    groups = {
        "all": chosen,
        **{name: chosen & (jets.flavour == number) for name, number in flavours.items()},
    }
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
                    **(
                        {}
                        if in_domain is None
                        else {"in_domain": in_domain[inside].mean() if some else np.nan}
                    ),
                }
            )
    return pd.DataFrame(rows)


def compare_likelihoods(
    is_tagged: BoolArray, efficiencies: Mapping[str, FloatArray]
) -> pd.DataFrame:
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
