"""Random rotations and reflections, under which the efficiency does not change."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

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
    event_of_jet = _event_of_jet(tuple(batch.shape), rows.device)
    n_events = sum(m for m, _ in batch.shape)

    def per_jet(draw: Callable[[Tensor, torch.Generator], Tensor], values: Tensor) -> Tensor:
        # Drawn on the CPU: the numbers do not depend on the device. One number per event.
        for of_network, rng in zip(values, rngs, strict=True):
            draw(of_network, rng)
        return values.to(rows.device)[:, event_of_jet]

    def signs() -> Tensor:
        drawn = torch.empty(len(rngs), n_events, dtype=torch.int64)
        return per_jet(_draw_bits, drawn) * 2.0 - 1.0

    def angles() -> Tensor:
        return per_jet(_draw_shares, torch.empty(len(rngs), n_events)) * (2 * math.pi)

    if options.reflect_eta:
        rows[..., ETA] *= signs()
    if options.reflect_phi:
        rows[..., PHI] *= signs()
    if options.rotate_phi:
        rows[..., PHI] = wrap_angle(rows[..., PHI] + angles())
    return Batch(rows, batch.shape)


@lru_cache(maxsize=8)
def _event_of_jet(shape: tuple[tuple[int, int], ...], device: torch.device) -> Tensor:
    """Return the number of the event that each jet belongs to, shape (n_jets,)."""
    events = torch.tensor([m for m, _ in shape])
    jets = torch.tensor([n for _, n in shape])
    multiplicity_of_event = jets.repeat_interleave(events)
    numbers = torch.arange(len(multiplicity_of_event)).repeat_interleave(multiplicity_of_event)
    return numbers.to(device)


def _draw_bits(values: Tensor, rng: torch.Generator) -> Tensor:
    """Fill a tensor with 0 and 1, equally probable."""
    return torch.randint(0, 2, values.shape, generator=rng, out=values)


def _draw_shares(values: Tensor, rng: torch.Generator) -> Tensor:
    """Fill a tensor with numbers between 0 and 1."""
    return torch.rand(values.shape, generator=rng, out=values)
