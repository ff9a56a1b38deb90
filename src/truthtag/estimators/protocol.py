"""The two interfaces of the design: an efficiency, and an estimator that learns one."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self, runtime_checkable

from pydantic import Field

from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError
from truthtag.options import Options, Whole
from truthtag.registry import Registry, validated
from truthtag.seeds import Seed

__all__ = [
    "KINDS",
    "Efficiency",
    "Estimator",
    "EstimatorOptions",
    "Replicated",
    "ResampledOptions",
    "kind_and_options",
    "kind_in_file",
    "streams",
]


@runtime_checkable
class Efficiency(Protocol):
    """Anything with an efficiency per jet.

    The truth, a map, a network, an ensemble, a stored prediction.
    """

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the probability that each jet is tagged, shape (n_jets,)."""
        ...


@runtime_checkable
class Replicated(Efficiency, Protocol):
    """An efficiency with its replicas: what it might be, had it been learned from other events."""

    def with_replicas(self, jets: Jets) -> tuple[FloatArray, FloatArray]:
        """Return efficiencies, shape (n_jets,), and by each replica, shape (n_replicas, n_jets)."""
        ...


class EstimatorOptions(Options):
    """What every estimator's options have."""

    kind: str
    """Kind of estimator: a name of truthtag, one of an installed package, or `module:Class`."""

    members: ClassVar[Literal["resamples", "seeds"]]
    """Where replicas come from: fits to resampled events around a nominal fit, or one fit per seed,
    whose mean is taken."""

    stops_early: ClassVar[bool] = False
    """Whether a fit looks at the validation events, to choose when to stop, say."""


class ResampledOptions(EstimatorOptions):
    """Options of estimators that are fitted in one go, and to bootstrap samples for replicas."""

    members: ClassVar[Literal["resamples", "seeds"]] = "resamples"

    replicas: Annotated[Whole, Field(ge=2)] = 20
    """Fits to events drawn with replacement from the training sample, for the statistical error."""


class Estimator(Efficiency, Protocol):
    """What learns an efficiency from tags.

    A new kind is one class with these members, in a module of its own, and an entry of the config
    that names it.
    """

    options_type: ClassVar[type[EstimatorOptions]]
    """Type of its options."""

    suffix: ClassVar[str]
    """Suffix of its file, ``.parquet`` say."""

    @classmethod
    def fit(cls, train: Jets, validation: Jets, options: Any, seed: Seed) -> Self:
        """Learn from a tagged sample.

        A kind whose attribute ``streams`` is true takes both samples as blocks, too, see
        :mod:`truthtag.data.training_blocks`.

        Args:
            train: The events to learn from.
            validation: Independent events, to decide when to stop, say.
            options: An object of ``options_type``.
            seed: Names the random stream.
        """
        ...

    def describe(self) -> str:
        """Return a few words for the log."""
        ...

    def save(self, path: str | Path, provenance: Mapping[str, Any]) -> None:
        """Write to one file, whole or not at all, so that ``truthtag.load`` can read it."""
        ...

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read from its file.

        Raises:
            DataError: The file is missing, damaged or foreign.
        """
        ...


KINDS = Registry(
    "a kind of estimator",
    {
        "binned": "truthtag.estimators.binned:BinnedMap",
        "smoothed": "truthtag.estimators.smoothed:SmoothedMap",
        "nearest_jet": "truthtag.estimators.nearest_jet:NearestJetMap",
        "parametric": "truthtag.estimators.parametric:ParametricFit",
        "additive": "truthtag.estimators.additive.estimator:AdditiveFit",
        "network": "truthtag.estimators.network.estimator:NetworkEstimator",
        "trees": "truthtag.estimators.trees:BoostedTrees",
    },
    group="truthtag.estimators",
)
"""Kinds of estimator that the config can name; other packages add theirs as entry points."""


def kind_in_file(name: str, path: str) -> Any:
    """Return the class of the estimator that a file names, and run no module that nobody asked for.

    A kind is known where truthtag or an installed package announces it. To read another one,
    ``module:Class``, is to run its module: that must be imported already, by whoever trusts it.

    Args:
        name: What the file names.
        path: The file, for errors.

    Raises:
        ConfigError: Nothing has this name, or its module is neither announced nor imported.
    """
    is_imported = name.partition(":")[0] in sys.modules
    if ":" in name and not is_imported and name not in KINDS.places().values():
        module = name.partition(":")[0]
        msg = (
            f"{path}: is of the kind {name!r}, which neither truthtag nor an installed package "
            f"announces; to read it is to run that module. Where you trust it, import {module} "
            "before you read the file"
        )
        raise ConfigError(msg)
    return KINDS.load(name, f"{path}: kind")


def kind_and_options(
    given: Mapping[str, Any] | EstimatorOptions, path: str
) -> tuple[Any, EstimatorOptions]:
    """Return the class of an estimator and its options, as an entry of the config describes them.

    Args:
        given: The entry, with its ``kind``; or the options that it became.
        path: Where it stands, for errors: ``estimators.map`` say.

    Raises:
        ConfigError: The kind is unknown, or an option is missing, unknown or not allowed.

    Example:
        >>> kind, options = kind_and_options({"kind": "parametric"}, "estimators.fit")
        >>> kind.__name__, options.replicas
        ('ParametricFit', 20)
    """
    if isinstance(given, EstimatorOptions):
        return KINDS.load(given.kind, f"{path}.kind"), given
    if "kind" not in given:
        msg = f"{path}.kind: it is missing. Allowed: {', '.join(KINDS.places())}, or module:Class"
        raise ConfigError(msg)
    kind = KINDS.load(given["kind"], f"{path}.kind")
    return kind, validated(kind.options_type, given, path)


def streams(kind: Any) -> bool:
    """Return whether a kind of estimator takes the blocks of a training sample, not only jets."""
    return bool(getattr(kind, "streams", False))
