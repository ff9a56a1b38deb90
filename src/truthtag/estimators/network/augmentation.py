"""Random rotations and reflections, under which the efficiency does not change."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from truthtag.data.kinematics import wrap_angle
from truthtag.estimators.network.batches import Batch
from truthtag.estimators.network.options import FEATURES, TrainingOptions

__all__ = ["transform"]

ETA = FEATURES.index("eta")
PHI = FEATURES.index("phi")


def transform(batch: Batch, options: TrainingOptions, rngs: Sequence[torch.Generator]) -> Batch:
    """Rotate and reflect every event of a batch at random, as the options say.

    Args:
        batch: The events, features of shape (n_networks, n_jets, n_columns). Of these only eta and
            phi change: further columns are taken to be the same however an event is turned.
        options: Which transformations are made.
        rngs: A generator for each network.

    Returns:
        A new batch, or the batch itself where nothing is to be done.
    """
    if not (options.rotate_phi or options.reflect_phi or options.reflect_eta):
        return batch
    rows = batch.features.clone()
    event_of_jet = _event_of_jet(batch).to(rows.device)
    n_events = sum(m for m, _ in batch.shape)

    def per_jet(draw: Callable[[int, torch.Generator], Tensor]) -> Tensor:
        # Drawn on the CPU: the numbers do not depend on the device. One number per event.
        drawn = torch.stack([draw(n_events, rng) for rng in rngs])
        return drawn.to(rows.device)[:, event_of_jet]

    if options.reflect_eta:
        rows[..., ETA] *= per_jet(_signs)
    if options.reflect_phi:
        rows[..., PHI] *= per_jet(_signs)
    if options.rotate_phi:
        rows[..., PHI] = wrap_angle(rows[..., PHI] + per_jet(_angles))
    return Batch(rows, batch.shape)


def _event_of_jet(batch: Batch) -> Tensor:
    """Return the number of the event that each jet belongs to, shape (n_jets,)."""
    events = torch.tensor([m for m, _ in batch.shape])
    jets = torch.tensor([n for _, n in batch.shape])
    multiplicity_of_event = jets.repeat_interleave(events)
    return torch.arange(len(multiplicity_of_event)).repeat_interleave(multiplicity_of_event)


def _signs(count: int, rng: torch.Generator) -> Tensor:
    """Draw -1 or 1 with equal probability, shape (count,)."""
    return torch.randint(0, 2, (count,), generator=rng) * 2.0 - 1.0


def _angles(count: int, rng: torch.Generator) -> Tensor:
    """Draw angles of a full turn, shape (count,) [rad]."""
    return torch.rand(count, generator=rng) * (2 * math.pi)
