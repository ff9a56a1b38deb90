"""The tagger of the toy: it obeys the true efficiency."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError, DataError
from truthtag.toy.truth import Truth

__all__ = ["check_thresholds", "discriminant", "tag"]


def tag(
    jets: Jets,
    truth: Truth,
    rng: np.random.Generator,
    working_points: Mapping[str, float] | None = None,
) -> Jets:
    r"""Tag each jet with the probability that the truth gives it.

    Without working points, a jet is tagged where its score, uniform on [0, 1), is below its
    efficiency. The score is kept, so that any other efficiency can be tagged with the same draws.

    With working points, the score is a discriminant :math:`D`, and a jet passes a point where it is
    above the threshold :math:`t` of the point, which happens with the probability
    :math:`\epsilon^t`. Whoever knows scores and thresholds finds the same tags.

    Args:
        jets: The jets.
        truth: The true efficiency, that of a point of threshold 1.
        rng: Where the scores come from.
        working_points: Thresholds by name, rising, the loosest first; with none, jets are tagged or
            not.

    Returns:
        The same jets with ``score`` and ``efficiency_true``; with ``is_tagged``, or, where there
        are several points, with ``tag_bin``, the number of points that a jet passes, and true
        efficiencies of shape (n_jets, n_points). ``labels.points`` names the points.

    Raises:
        DataError: The truth gives a value that is no probability, or not one value per jet.
        ConfigError: A threshold is not above 0, or not above that of the point before it.
    """
    points = working_points or {}
    check_thresholds(points)
    eff = truth.efficiency(jets)
    _require_probabilities(eff, jets)
    uniform = rng.random(jets.n_jets)
    labels = replace(jets.labels, points=tuple(points))
    if not points:
        return jets.with_columns(
            score=uniform,
            is_tagged=uniform < eff,
            tag_bin=None,
            efficiency_true=eff,
            labels=labels,
        )
    score = discriminant(uniform, eff)
    # A point at a time: what it gives must not depend on what other points there are.
    passes = np.column_stack([score > threshold for threshold in points.values()])
    true = np.column_stack([eff**threshold for threshold in points.values()])
    if len(points) == 1:
        return jets.with_columns(
            score=score,
            is_tagged=passes[:, 0],
            tag_bin=None,
            efficiency_true=true[:, 0],
            labels=labels,
        )
    return jets.with_columns(
        score=score,
        is_tagged=None,
        tag_bin=passes.sum(axis=1),
        efficiency_true=true,
        labels=labels,
    )


def discriminant(uniform: FloatArray, efficiency: FloatArray) -> FloatArray:
    r"""Turn uniform numbers into a discriminant that exceeds 1 as often as the efficiency says.

    .. math:: D = \frac{\ln u}{\ln \epsilon}, \quad P(D > t) = P(u < \epsilon^t) = \epsilon^t

    Args:
        uniform: Uniform numbers :math:`u`, in [0, 1), shape (n,).
        efficiency: Efficiencies :math:`\epsilon`, in [0, 1], shape (n,).

    Returns:
        The discriminant, shape (n,), at least 0. It is 0 where the efficiency is 0, and infinite
        where the efficiency is 1.

    Example:
        >>> discriminant(np.array([0.25, 0.9, 0.9]), np.array([0.5, 0.0, 1.0])).tolist()
        [2.0, 0.0, inf]
    """
    out = np.zeros(np.shape(efficiency))
    out[efficiency == 1] = np.inf
    between = (efficiency > 0) & (efficiency < 1)
    # A uniform number of 0 is below every efficiency: its logarithm is minus infinity.
    with np.errstate(divide="ignore"):
        out[between] = np.log(uniform[between]) / np.log(efficiency[between])
    return out


def check_thresholds(points: Mapping[str, float]) -> None:
    """Refuse thresholds that the discriminant of the toy cannot have.

    Args:
        points: Thresholds by the name of the working point.

    Raises:
        ConfigError: A threshold is not above 0, or not above that of the point before it.
    """
    before: tuple[str, float] | None = None
    for name, threshold in points.items():
        path = f"working_points.{name}"
        if not (threshold > 0 and math.isfinite(threshold)):
            msg = (
                f"{path}: {threshold} is not allowed; a threshold of the toy must be above 0 and "
                "finite, since its discriminant is: 1 gives the efficiency of the truth, 2 its "
                "square"
            )
            raise ConfigError(msg)
        if before and not threshold > before[1]:
            msg = (
                f"{path}: {threshold} is not above the threshold of {before[0]!r}, {before[1]}; "
                "name the points from the loosest to the tightest"
            )
            raise ConfigError(msg)
        before = (name, threshold)


def _require_probabilities(eff: FloatArray, jets: Jets) -> None:
    """Refuse a true efficiency that is not one probability per jet."""
    if np.shape(eff) != (jets.n_jets,):
        msg = f"truth: it gives efficiencies of shape {np.shape(eff)}; it must be ({jets.n_jets},)"
        raise DataError(msg)
    # NaN is outside, too.
    outside = np.flatnonzero(~((eff >= 0) & (eff <= 1)))
    if len(outside):
        jet = int(outside[0])
        msg = (
            f"truth: the efficiency of a jet of flavour {jets.flavour[jet]}, "
            f"pt {jets.pt[jet]} GeV, eta {jets.eta[jet]} is {eff[jet]} "
            f"({len(outside)} such jets); it must be in [0, 1]. Correct the truth."
        )
        raise DataError(msg)
