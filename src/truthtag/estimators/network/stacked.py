"""Several networks of one architecture, computed as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from truthtag.estimators.network.alignment import can_be_filled_up, filled_up
from truthtag.estimators.network.batches import Batch
from truthtag.estimators.network.model import EfficiencyNetwork

__all__ = ["StackedNetworks"]


class StackedNetworks:
    """Networks of one architecture computed as one: each layer of all is one batched product.

    Args:
        networks: At least one; where it is the only one, its weights are used in place.

    Attributes:
        like: The first of the networks; it knows the architecture of all.
        count: Number of networks.
        weights: Weights by name, with a leading axis for the networks where there are several.
        buffers: Buffers, likewise.

    Example:
        >>> from truthtag.estimators.network.options import Architecture
        >>> networks = [EfficiencyNetwork(Architecture(width=8)) for _ in range(3)]
        >>> stacked = StackedNetworks(networks)
        >>> stacked(Batch(torch.zeros(3, 10, 4), [(5, 2)])).shape
        torch.Size([3, 10])
    """

    def __init__(self, networks: Sequence[EfficiencyNetwork]) -> None:
        self.like = networks[0]
        self.count = len(networks)
        self.weights: dict[str, Tensor]
        self.buffers: dict[str, Tensor]
        if self.count == 1:
            self.weights = dict(self.like.named_parameters())
            self.buffers = dict(self.like.named_buffers())
        else:
            self.weights, self.buffers = stack_module_state(list(networks))

    def __call__(self, batch: Batch) -> Tensor:
        """Return the logits of the scores.

        Args:
            batch: Features of shape (n_networks, n_jets, n_columns): each network sees events of
                its own.

        Returns:
            Shape (n_networks, n_jets), or (n_networks, n_jets, n_points) where there are several
            working points.
        """
        if self.count == 1:
            # A stack of one network would take a third to two thirds longer.
            one: Tensor = self.like(Batch(batch.features[0], batch.shape))
            return one[None]

        return self.compute(self.weights, self.buffers, batch)

    def compute(
        self, weights: dict[str, Tensor], buffers: dict[str, Tensor], batch: Batch
    ) -> Tensor:
        """Return the logits of several networks with some weights and buffers."""
        if batch.features.is_cuda and can_be_filled_up(self.like.architecture):
            weights = filled_up(weights, self.like.architecture)

        def forward(weights: dict[str, Tensor], buffers: dict[str, Tensor], rows: Tensor) -> Tensor:
            state = (weights, buffers)
            logits: Tensor = functional_call(self.like, state, (Batch(rows, batch.shape),))
            return logits

        logits: Tensor = vmap(forward)(weights, buffers, batch.features)
        return logits

    def state(self, which: int) -> dict[str, Tensor]:
        """Return a copy of one network's state, as ``load_state_dict`` takes it."""
        state = {}
        for name, value in (self.weights | self.buffers).items():
            state[name] = self._one(value, which).detach().clone()
        return state

    def load_state(self, which: int, state: Mapping[str, Tensor]) -> None:
        """Give one network the weights and buffers of :meth:`state`."""
        with torch.no_grad():
            for name, value in (self.weights | self.buffers).items():
                self._one(value, which).copy_(state[name])

    def set_offset(self, offset: Tensor | None) -> None:
        """Give the only network an offset, or none; it is not trained.

        Args:
            offset: As :attr:`.model.EfficiencyNetwork.offset`.
        """
        self.like.offset = offset
        self.buffers = dict(self.like.named_buffers())

    def _one(self, value: Tensor, which: int) -> Tensor:
        """Return the share of one network in a weight or buffer: a view, no copy."""
        return value if self.count == 1 else value[which]
