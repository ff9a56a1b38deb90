"""Networks as a kind of estimator. Importing this module does not import torch."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.data.training_blocks import Blocks
from truthtag.errors import DataError
from truthtag.estimators.failures import Failure
from truthtag.estimators.network.failed import FailedNetwork, failure_of
from truthtag.estimators.network.options import NetworkOptions, TrainingOptions
from truthtag.seeds import Seed

if TYPE_CHECKING:
    import pandas as pd

    from truthtag.estimators.network.model import EfficiencyNetwork

__all__ = ["NetworkEstimator"]


class NetworkEstimator:
    """One network of an ensemble, with how it was trained.

    Args:
        network: The network.
        training: How it was trained, where that is known.
        provenance: Where it comes from; plain values.
        history: A row per epoch, where it has just been trained.
    """

    options_type: ClassVar[type[NetworkOptions]] = NetworkOptions
    """Type of its options."""

    streams: ClassVar[bool] = True
    """Its fit takes blocks of events."""

    suffix: ClassVar[str] = ".pt"
    """Suffix of its file."""

    engine_of: ClassVar[str] = "truthtag.estimators.network.engine:engine_of"
    """Where it is written what computes several networks at once. A name in place of an import:
    predictions depend on that code, training does not."""

    def __init__(
        self,
        network: EfficiencyNetwork,
        training: TrainingOptions | None = None,
        provenance: Mapping[str, Any] | None = None,
        history: pd.DataFrame | None = None,
    ) -> None:
        self.network = network
        self.training = training
        self.provenance = dict(provenance or {})
        self.history = history

    @classmethod
    def fit(cls, train: Jets, validation: Jets, options: NetworkOptions, seed: Seed) -> Self:
        """Train one network on the CPU.

        Args:
            train: The tagged events to learn from.
            validation: Independent tagged events, which choose the best epoch.
            options: Sizes of the network, and how it is trained.
            seed: Names the random stream: ``(1, "gnn", 0)`` say.

        Raises:
            DataError: A sample has no tags or jets, the loss is not finite, or the network is worse
                than a constant per flavour.
        """
        (member,) = cls.fit_members(train, validation, options, [seed])
        if isinstance(member, FailedNetwork):
            failure = member.failure
            msg = (
                f"the network of seed {tuple(failure.seed)} has failed: {failure.reason}. "
                f"{failure.remedy}"
            )
            raise DataError(msg)
        return member

    @classmethod
    def fit_members(
        cls,
        train: Jets | Blocks,
        validation: Jets | Blocks,
        options: NetworkOptions,
        seeds: Sequence[Seed],
        *,
        device: str = "cpu",
        checkpoint: Path | None = None,
        identity: str = "",
        logger: logging.Logger | None = None,
    ) -> list[Self | FailedNetwork]:
        """Train networks together; a job that was killed goes on from its last checkpoint.

        Args:
            train: The tagged events to learn from, in memory or as blocks.
            validation: Independent tagged events, which choose the best epoch.
            options: Sizes of the networks, and how they are trained.
            seeds: A seed per network: ``(1, "gnn", 0)`` and so on.
            device: ``auto``, ``cpu`` or ``cuda``.
            checkpoint: Written after every epoch, and left there: delete it when the members are
                saved. None for no checkpoint.
            identity: What else the result depends on: a digest of the code, say. A checkpoint with
                another identity, other options, seeds or events is not used.
            logger: Told of every epoch.

        Returns:
            A member per seed, in their order, each with its ``history`` and ``provenance``. One
            whose loss is not finite, or that is worse than a constant per flavour, has failed.

        Raises:
            ConfigError: There is no such device.
            DataError: A sample has no tags or jets.
        """
        from truthtag.estimators.network.job import train_networks

        trained = train_networks(
            train,
            validation,
            options,
            seeds,
            device,
            checkpoint,
            identity,
            logger or logging.getLogger("truthtag"),
        )
        members: list[Self | FailedNetwork] = []
        for one in trained:
            if isinstance(one, FailedNetwork):
                members.append(one)
            else:
                members.append(cls(one.network, options.training, one.provenance, one.history))
        return members

    @property
    def settings(self) -> dict[str, Any]:
        """Return what members of one ensemble share.

        Kind, architecture with its inputs, training, names of the working points, and values of the
        inputs that are categories.
        """
        training = None if self.training is None else self.training.model_dump(mode="json")
        return {
            "kind": "network",
            "architecture": self.network.architecture.model_dump(mode="json"),
            "training": training,
            "points": list(self.points),
            "categories": self.network.meaning.get("categories", {}),
        }

    @property
    def points(self) -> tuple[str, ...]:
        """Names of the working points, the loosest first; empty, or one, for a single point."""
        return self.network.points

    @property
    def resample(self) -> int | None:
        """Which of the resamples that networks share it learned from; None where it does not say.

        Networks of one ensemble with the same number are partners.
        """
        known = self.provenance.get("resample")
        return int(known["number"]) if isinstance(known, Mapping) else None

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the efficiency of each jet.

        Returns:
            Shape (n_jets,), or (n_jets, n_points) where there are several working points.

        Raises:
            DataError: The jets lack a column that the network sees, a jet has a flavour or category
                that it does not know, or the network gives it no finite efficiency.
        """
        return self.network.efficiency(jets)

    def describe(self) -> str:
        """Return a few words for the log."""
        count = sum(weight.numel() for weight in self.network.parameters())
        text = f"network of kind {self.network.architecture.kind}, {count} parameters"
        further = self.network.columns.further
        if further:
            text += f", further inputs {', '.join(map(self._described, further))}"
        if self.network.n_points > 1:
            text += f", working points {', '.join(self.points)}"
        if "validation_loss" in self.provenance:
            text += f", validation loss {self.provenance['validation_loss']:.6f} nats/event"
        return text

    def _described(self, name: str) -> str:
        """Return the name of a further input, with the number of values where it has categories."""
        categories = self.network.columns.categories
        return f"{name} ({len(categories[name])} categories)" if name in categories else name

    def to(self, device: str) -> Self:
        """Move the network to a device by name (``auto``, ``cpu`` or ``cuda``), and return self.

        Raises:
            ConfigError: There is no such device.
        """
        from truthtag.estimators.network.device import choose_device

        self.network.to(choose_device(device))
        return self

    def save(self, path: str | Path, provenance: Mapping[str, Any]) -> None:
        """Write to one file, which is enough to predict.

        Args:
            path: The file to write, whole or not at all.
            provenance: What to record beside the provenance of the training; plain values only.
        """
        from truthtag.estimators.network.file import save_network

        save_network(self.network, path, {**self.provenance, **provenance}, self.training)

    @classmethod
    def load(cls, path: str | Path, device: str = "cpu") -> Self:
        """Read from its file.

        Args:
            path: The file.
            device: Where it predicts: ``auto``, ``cpu`` or ``cuda``.

        Raises:
            ConfigError: There is no such device.
            DataError: The file is missing, damaged or foreign, a weight is not finite, or the
                network failed.
        """
        from truthtag.estimators.network.file import network_of, read_network_file, training_of

        content = read_network_file(path)
        network = network_of(content, path)
        member = cls(network, training_of(content, path), content.get("provenance"))
        return member.to(device)

    @classmethod
    def failure_in(cls, path: str | Path) -> Failure | None:
        """Return why the network of a file failed; None where it did not.

        Raises:
            DataError: The file is missing, damaged or foreign.
        """
        from truthtag.estimators.network.file import read_network_file

        return failure_of(read_network_file(path), path)
