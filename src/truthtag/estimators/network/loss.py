"""The loss of Eq. 5, for one working point or for several."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from truthtag.estimators.network.pairs import Shape

__all__ = ["batch_loss", "chain_losses", "jet_losses", "weighted_loss"]


def weighted_loss(logits: Tensor, tags: Tensor, mu: float) -> Tensor:
    r"""Return the cross-entropy of each jet, non-tagged jets weighted by :math:`\mu`.

    .. math:: -t \log s - \mu (1 - t) \log(1 - s)

    Source: Eq. 5 of arXiv:2004.02665.

    Args:
        logits: Logits of the scores s, any shape.
        tags: 1 where tagged, 0 where not, or the probability of a tag, the same shape.
        mu: Weight of non-tagged jets.
    """
    return tags * F.softplus(-logits) + mu * (1 - tags) * F.softplus(logits)


def chain_losses(logits: Tensor, passes: Tensor, mu: float) -> Tensor:
    r"""Return the cross-entropy of each jet at each working point, given that it passes the last.

    .. math:: -t_k \log s_k - \mu_k (t_{k-1} - t_k) \log(1 - s_k),
        \quad t_0 = 1, \; \mu_1 = \mu, \; \mu_{k > 1} = 1

    Here :math:`t_k` says whether the jet passes point k, the loosest first; it may be the
    probability that it does, and then so is the loss expected over tags. With
    :math:`\mu = 1` the sum over the points is the negative logarithm of the probability of the
    jet's tag bin, the likelihood of all working points together. As in Eq. 5, :math:`\mu` is the
    weight of non-tagged jets: of those that pass no point. Whether a jet passes a tighter point is
    learned from the jets that pass the point before, of which no weight upsets the balance.

    Args:
        logits: Logits of the scores, shape (..., n_points): of the first point as in Eq. 5, then of
            the probability to pass each point given that the jet passes the one before.
        passes: 1 where the jet passes the point, 0 where not, or a probability between, the same
            shape; falling from point to point.
        mu: Weight of jets that pass no point.

    Returns:
        Shape (..., n_points); 0 at a point whose predecessor the jet does not pass.
    """
    first = weighted_loss(logits[..., :1], passes[..., :1], mu)
    passing = passes[..., 1:] * F.softplus(-logits[..., 1:])
    failing = (passes[..., :-1] - passes[..., 1:]) * F.softplus(logits[..., 1:])
    return torch.cat([first, passing + failing], dim=-1)


def jet_losses(logits: Tensor, tags: Tensor, mu: float, n_points: int = 1) -> Tensor:
    """Return the loss of each jet, summed over the working points, shape (..., n_jets).

    Args:
        logits: Logits of the scores, shape (..., n_jets), or (..., n_jets, n_points) where there
            are several points.
        tags: 1 where tagged, 0 where not, the same shape.
        mu: Weight of non-tagged jets.
        n_points: Number of working points.
    """
    if n_points == 1:
        return weighted_loss(logits, tags, mu)
    return chain_losses(logits, tags, mu).sum(dim=-1)


def batch_loss(
    logits: Tensor,
    tags: Tensor,
    shape: Shape,
    mu: float,
    n_points: int = 1,
    weights: Tensor | None = None,
) -> Tensor:
    """Return Eq. 5 for a batch: the mean over the jets of each event, then the mean over events.

    The paper sums over events; the mean has the same minimum, and a size that does not depend on
    the batch.

    Args:
        logits: Logits of the scores, shape (..., n_jets), or (..., n_jets, n_points) where there
            are several working points.
        tags: 1 where tagged, 0 where not, the same shape.
        shape: Which jets make an event, as in :class:`.batches.Batch`.
        mu: Weight of non-tagged jets.
        n_points: Number of working points.
        weights: What the loss of each event is multiplied by, shape (..., n_events); the sum is
            still divided by the number of events. None for 1.

    Returns:
        Shape (...).
    """
    of_jets = jet_losses(logits, tags, mu, n_points)
    if weights is not None:
        of_jets = of_jets * _per_jet(weights, shape)
    losses = torch.split(of_jets, [m * n for m, n in shape], dim=-1)
    # One sum per multiplicity: all events of it share the factor 1 / n.
    per_multiplicity = []
    for loss, (_, n) in zip(losses, shape, strict=True):
        per_multiplicity.append(loss.sum(dim=-1) / n)
    n_events = sum(m for m, _ in shape)
    return torch.stack(per_multiplicity).sum(dim=0) / n_events


def _per_jet(values: Tensor, shape: Shape) -> Tensor:
    """Repeat a value of each event for its jets, shape (..., n_jets)."""
    of_multiplicities = torch.split(values, [m for m, _ in shape], dim=-1)
    repeated = []
    for of_events, (_, n) in zip(of_multiplicities, shape, strict=True):
        repeated.append(of_events.repeat_interleave(n, dim=-1))
    return torch.cat(repeated, dim=-1)
