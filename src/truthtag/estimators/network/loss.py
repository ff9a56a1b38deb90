"""The loss of Eq. 5."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from truthtag.estimators.network.pairs import Shape

__all__ = ["batch_loss", "weighted_loss"]


def weighted_loss(logits: Tensor, tags: Tensor, mu: float) -> Tensor:
    r"""Return the cross-entropy of each jet, non-tagged jets weighted by :math:`\mu`.

    .. math:: -t \log s - \mu (1 - t) \log(1 - s)

    Source: Eq. 5 of arXiv:2004.02665.

    Args:
        logits: Logits of the scores s, any shape.
        tags: 1 where tagged, 0 where not, the same shape.
        mu: Weight of non-tagged jets.
    """
    return tags * F.softplus(-logits) + mu * (1 - tags) * F.softplus(logits)


def batch_loss(logits: Tensor, tags: Tensor, shape: Shape, mu: float) -> Tensor:
    """Return Eq. 5 for a batch: the mean over the jets of each event, then the mean over events.

    The paper sums over events; the mean has the same minimum, and a size that does not depend on
    the batch.

    Args:
        logits: Logits of the scores, shape (..., n_jets).
        tags: 1 where tagged, 0 where not, the same shape.
        shape: Which jets make an event, as in :class:`.batches.Batch`.
        mu: Weight of non-tagged jets.

    Returns:
        Shape (...).
    """
    losses = torch.split(weighted_loss(logits, tags, mu), [m * n for m, n in shape], dim=-1)
    # One sum per multiplicity: all events of it share the factor 1 / n.
    per_multiplicity = []
    for loss, (_, n) in zip(losses, shape, strict=True):
        per_multiplicity.append(loss.sum(dim=-1) / n)
    n_events = sum(m for m, _ in shape)
    return torch.stack(per_multiplicity).sum(dim=0) / n_events
