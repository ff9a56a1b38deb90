"""Many networks as one estimator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.estimators.network.file import load_network
from truthtag.estimators.predictions import Efficiency

__all__ = ["Ensemble"]


@dataclass(frozen=True)
class Ensemble:
    r"""The mean of several efficiencies.

    .. math:: \epsilon = \frac{1}{K} \sum_k \epsilon_k

    Source: Section 5 of arXiv:2004.02665, with K = 20 networks.

    Args:
        members: The efficiencies, at least one.

    Raises:
        DataError: There is no member.
    """

    members: Sequence[Efficiency]

    def __post_init__(self) -> None:
        if not self.members:
            msg = "an ensemble needs at least one member; there is none"
            raise DataError(msg)

    @classmethod
    def load(cls, paths: Sequence[str | Path], device: torch.device | str = "cpu") -> Ensemble:
        """Read the networks of an ensemble from their files, to a device."""
        return cls([load_network(path).to(device) for path in paths])

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the mean over the members, shape (n_jets,)."""
        return self.with_replicas(jets)[0]

    def with_replicas(self, jets: Jets) -> tuple[FloatArray, FloatArray]:
        """Return the mean over the members, shape (n_jets,), and what each of them says, (n_members, n_jets)."""
        values = np.stack([member.efficiency(jets) for member in self.members])
        return values.mean(axis=0), values
