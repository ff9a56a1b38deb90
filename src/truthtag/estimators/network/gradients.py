"""Gradients of a batch: worked out step by step, or on a GPU recorded or compiled.

On a GPU most of the time of a small batch goes into starting thousands of small products and sums.
There the work for a batch is recorded once as a CUDA graph, and then replayed. The time of large
batches goes into reading and writing what lies between the products; where there are enough of
them, their work is compiled by ``torch.compile``, which leaves out most of that. Both need batches
of equal composition, which those of :class:`.batches.TrainingEvents` have.
"""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from truthtag.estimators.network.batches import Batch
from truthtag.estimators.network.loss import batch_loss
from truthtag.estimators.network.pairs import Shape
from truthtag.estimators.network.stacked import StackedNetworks

__all__ = ["Gradients", "Objective", "gradients_of"]

MAX_RECORDED = 16
"""Compositions of batches whose work is recorded; others are worked out step by step."""

COMPILE_FROM = 5e14
"""Jets times parameters over a whole training from which compiling its batches pays: with fewer
they take less than two and a half minutes on an H200, and compiling takes one."""

Gradients = Callable[[Batch, Tensor, Tensor | None], Tensor]
"""Adds the gradients of a batch, its tags and the weights of its events to those of the weights;
returns the loss of each network."""

log = logging.getLogger("truthtag")


@dataclass(frozen=True)
class Objective:
    """What training minimises: Eq. 5 of a batch.

    Attributes:
        networks: The networks.
        mu: Weight of non-tagged jets.
        in_bfloat16: Whether matrix products are in bfloat16.
        parts: Number of micro-batches whose gradients are added up to those of a batch.
    """

    networks: StackedNetworks
    mu: float
    in_bfloat16: bool
    parts: int = 1

    def losses(
        self,
        compute: Callable[[Batch], Tensor],
        batch: Batch,
        tags: Tensor,
        weights: Tensor | None,
    ) -> Tensor:
        """Return the loss of each network, whose logits are computed by a function."""
        with torch.autocast(batch.features.device.type, torch.bfloat16, enabled=self.in_bfloat16):
            logits = compute(batch).float()
        return batch_loss(logits, tags, batch.shape, self.mu, self.networks.like.n_points, weights)

    def backward(self, losses: Tensor) -> Tensor:
        """Add the gradients to those of the weights, and return the losses.

        Networks do not share weights: the gradient of the sum is that of each loss.
        """
        total = losses.sum() / self.parts
        total.backward()  # type: ignore[no-untyped-call]
        return losses.detach()

    def __call__(self, batch: Batch, tags: Tensor, weights: Tensor | None) -> Tensor:
        """Add the gradients of a batch step by step, and return the losses."""
        return self.backward(self.losses(self.networks, batch, tags, weights))


def gradients_of(objective: Objective, device: torch.device, jets: int) -> Gradients:
    """Return what computes the gradients of batches, as fast as the device can.

    Args:
        objective: What training minimises.
        device: Where the networks are.
        jets: Number of jets that each network goes through in all of its training.
    """
    if device.type != "cuda":
        return objective
    parameters = sum(weight.numel() for weight in objective.networks.weights.values())
    if jets * parameters < COMPILE_FROM or objective.networks.count == 1:
        return Recorded(objective)
    if find_spec("triton") is None or not any(map(shutil.which, ("cc", "gcc", "clang"))):
        log.info("batches are not compiled: that needs triton and a C compiler. It takes longer.")
        return objective
    return Compiled(objective)


class Recorded:
    """Gradients whose work was recorded on a GPU, and is replayed.

    A composition of a batch is recorded when it comes for the second time.

    Args:
        objective: What training minimises.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self._pool: Any = torch.cuda.graph_pool_handle()
        self._seen: set[tuple[tuple[int, int], ...]] = set()
        self._recordings: dict[tuple[tuple[int, int], ...], _Recording] = {}

    def __call__(self, batch: Batch, tags: Tensor, weights: Tensor | None) -> Tensor:
        """Add the gradients of a batch to those of the weights, and return the losses."""
        key = tuple(batch.shape)
        recording = self._recordings.get(key)
        if recording is None:
            is_new = key not in self._seen
            self._seen.add(key)
            if is_new or len(self._recordings) >= MAX_RECORDED:
                return self.objective(batch, tags, weights)
            recording = _Recording(self.objective, self._pool, batch, tags, weights)
            self._recordings[key] = recording
        return recording.replay(batch, tags, weights)


class _Recording:
    """The work for batches of one composition, as a CUDA graph.

    A graph reads and writes the same memory each time: batches are copied to where it reads, and
    gradients stay where it writes. Before each replay the weights must have no gradients.

    Args:
        objective: What training minimises.
        pool: Memory that graphs share which are not replayed at the same time.
        batch: A batch of that composition.
        tags: Its tags.
        weights: The weights of its events, or None.
    """

    def __init__(
        self,
        objective: Objective,
        pool: Any,
        batch: Batch,
        tags: Tensor,
        weights: Tensor | None,
    ) -> None:
        self.parameters = list(objective.networks.weights.values())
        self.rows = batch.features.clone()
        self.tags = tags.clone()
        self.weights = None if weights is None else weights.clone()
        read = (Batch(self.rows, batch.shape), self.tags, self.weights)
        # What is done for the first time on a stream is no part of the work.
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            objective(*read)
        torch.cuda.current_stream().wait_stream(side)
        for parameter in self.parameters:
            parameter.grad = None
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, pool=pool):
            self.losses = objective(*read)
        self.gradients = [parameter.grad for parameter in self.parameters]

    def replay(self, batch: Batch, tags: Tensor, weights: Tensor | None) -> Tensor:
        """Give the weights the gradients of a batch, and return the losses."""
        self.rows.copy_(batch.features)
        self.tags.copy_(tags)
        if self.weights is not None and weights is not None:
            self.weights.copy_(weights)
        self.graph.replay()
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient
        return self.losses


class Compiled:
    """Gradients by code that ``torch.compile`` writes for the first composition of a batch.

    Args:
        objective: What training minimises.
        backend: What ``torch.compile`` compiles with.
    """

    def __init__(self, objective: Objective, backend: str = "inductor") -> None:
        self.objective = objective
        self.backend = backend
        self._shape: Shape | None = None
        self._losses = self._plain_losses

    def _plain_losses(
        self,
        weights: dict[str, Tensor],
        buffers: dict[str, Tensor],
        rows: Tensor,
        tags: Tensor,
        event_weights: Tensor | None,
    ) -> Tensor:
        networks = self.objective.networks
        batch = Batch(rows, self._shape or ())
        return self.objective.losses(
            lambda seen: networks.compute(weights, buffers, seen), batch, tags, event_weights
        )

    def __call__(self, batch: Batch, tags: Tensor, weights: Tensor | None) -> Tensor:
        """Add the gradients of a batch to those of the weights, and return the losses."""
        if self._shape is None:
            self._shape = batch.shape
            log.info("compiling the work for a batch; that takes a minute")
            with warnings.catch_warnings():
                # Advice to those who write compilers, and to those who want less precise products.
                warnings.simplefilter("ignore")
                self._losses = torch.compile(
                    self._plain_losses, dynamic=False, backend=self.backend
                )
                return self._run(batch, tags, weights)
        if batch.shape != self._shape:
            return self.objective(batch, tags, weights)
        return self._run(batch, tags, weights)

    def _run(self, batch: Batch, tags: Tensor, weights: Tensor | None) -> Tensor:
        networks = self.objective.networks
        losses = self._losses(networks.weights, networks.buffers, batch.features, tags, weights)
        return self.objective.backward(losses)
