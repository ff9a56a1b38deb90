"""Networks on disk: one file each, which is enough to predict."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from truthtag.errors import DataError
from truthtag.estimators.network.content import read_content, write_content
from truthtag.estimators.network.failed import FAILED_FORMAT, failure_of
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.network.options import Architecture, TrainingOptions

__all__ = ["load_network", "network_of", "read_network_file", "save_network", "training_of"]

FORMAT = "truthtag network 2"
REMEDY = "Delete it and train the network again."


def save_network(
    network: EfficiencyNetwork,
    path: str | Path,
    provenance: Mapping[str, Any],
    training: TrainingOptions | None = None,
) -> None:
    """Write a network to one file: weights, input scaling, options, provenance, and their digest.

    Names of working points and values of categories are in the file where the network has some: a
    network of one point and of numbers only has the file that it always had.

    Args:
        network: The network.
        path: The file to write.
        provenance: Where it comes from; plain Python values only.
        training: How it was trained, where that is known.
    """
    plain = {
        "kind": "network",
        "architecture": network.architecture.model_dump(mode="json"),
        "training": None if training is None else training.model_dump(mode="json"),
        "flavours": list(network.flavours),
        "mu": network.mu,
        **network.meaning,
        "provenance": dict(provenance),
    }
    # Through JSON: pickle notices which strings are one object, and bytes would differ.
    canonical = json.loads(json.dumps(plain, sort_keys=True))
    state = {name: value.cpu() for name, value in network.state_dict().items()}
    write_content({"format": FORMAT, **canonical, "state": state}, path)


def load_network(path: str | Path) -> EfficiencyNetwork:
    """Read a network that :func:`save_network` wrote, ready to predict.

    Raises:
        DataError: The file is missing, truncated, damaged or foreign, or a weight is not finite.
    """
    return network_of(read_network_file(path), path)


def read_network_file(path: str | Path) -> dict[str, Any]:
    """Return all that a network file holds; also one that says that its network failed.

    Raises:
        DataError: The file is missing, truncated, damaged or foreign.
    """
    return read_content(path, "network", (FORMAT, FAILED_FORMAT), REMEDY)


def network_of(content: Mapping[str, Any], path: str | Path) -> EfficiencyNetwork:
    """Return the network that a file holds.

    Args:
        content: What :func:`read_network_file` returned.
        path: The file, for errors.

    Raises:
        DataError: A part is missing or of another shape, a weight is not finite, or the network
            failed.
    """
    failure = failure_of(content, path)
    if failure is not None:
        msg = (
            f"{path}: holds no network, its training failed: {failure.reason}. Load the folder of "
            f"its ensemble, which leaves it out, or train it otherwise. {failure.remedy}"
        )
        raise DataError(msg.rstrip())
    try:
        architecture = Architecture.model_validate(content["architecture"])
        network = EfficiencyNetwork(
            architecture,
            content["flavours"],
            content["mu"],
            _points_of(content.get("points", [])),
            _categories_of(content.get("categories", {})),
        )
        state = content["state"]
        if isinstance(state, Mapping) and "offset" in state:
            network.offset = torch.zeros(len(network.flavours), network.n_points)
        network.load_state_dict(state)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        msg = f"{path}: does not hold a whole network ({_in_one_line(error)}). {REMEDY}"
        raise DataError(msg) from error
    for name, value in network.state_dict().items():
        if not bool(value.isfinite().all()):
            count = int((~value.isfinite()).sum())
            msg = (
                f"{path}: weight {name!r} has {count} values that are not finite; "
                f"no efficiency follows from them. {REMEDY}"
            )
            raise DataError(msg)
    return network.eval()


def _points_of(stored: Any) -> tuple[str, ...]:
    """Return the names of working points that a file holds."""
    if not isinstance(stored, list) or not all(isinstance(name, str) for name in stored):
        msg = f"points are {stored!r}, no list of names"
        raise TypeError(msg)
    return tuple(stored)


def _categories_of(stored: Any) -> dict[str, tuple[int, ...]]:
    """Return the values of categories that a file holds."""
    known = {}
    for name, values in stored.items():
        if not all(isinstance(value, int) for value in values):
            msg = f"the categories of {name!r} are {values!r}, no integers"
            raise TypeError(msg)
        known[name] = tuple(values)
    return known


def training_of(content: Mapping[str, Any], path: str | Path) -> TrainingOptions | None:
    """Return how the network of a file was trained, None where the file does not say.

    Args:
        content: What :func:`read_network_file` returned.
        path: The file, for errors.

    Raises:
        DataError: The options are not those of a network.
    """
    stored = content.get("training")
    if stored is None:
        return None
    try:
        # Networks of a time without balance are not balanced.
        return TrainingOptions.model_validate({"balance": False, **stored})
    except ValueError as error:
        msg = f"{path}: options of training are not allowed ({_in_one_line(error)}). {REMEDY}"
        raise DataError(msg) from error


def _in_one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}"
