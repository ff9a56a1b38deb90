"""Comparing an ONNX file with the networks that it was made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from truthtag.arrays import AnyArray, FloatArray
from truthtag.data.jets import Jets
from truthtag.data.kinematics import wrap_angle_float32
from truthtag.data.labels import Labels
from truthtag.errors import DataError
from truthtag.estimators.network.onnx_efficiency import OnnxEfficiency

if TYPE_CHECKING:
    from truthtag.estimators.network.model import EfficiencyNetwork

__all__ = ["largest_difference", "require_parity", "trial_jets"]

MOST = 1e-4
"""Largest relative difference with which a file is written. Rounding stays far below; a wrong unit
or a wrong neighbour does not."""

MULTIPLICITIES = (0, 1, 2, 3, 4, 7, 12)
"""Numbers of jets of the events on which file and networks are compared."""


def require_parity(
    file: OnnxEfficiency, networks: Sequence[EfficiencyNetwork], path: str | Path
) -> float:
    """Compare a file with its networks on events made for that.

    Args:
        file: The file.
        networks: The networks.
        path: Where the file is to be, for the error.

    Returns:
        The largest relative difference of efficiencies.

    Raises:
        DataError: It is above 1e-4.
    """
    jets = trial_jets(networks[0], file.flavours)
    difference = largest_difference(file, networks, jets)
    # The negation, since a comparison with NaN is false.
    if not difference <= MOST:
        msg = (
            f"{path}: is not written: its efficiencies differ from those of the networks by "
            f"{difference:.2g} of their value, more than {MOST:g}. Are the weights finite, and "
            "the efficiencies of some size? If so, this is a fault of truthtag: report it."
        )
        raise DataError(msg)
    return difference


def largest_difference(
    file: OnnxEfficiency, networks: Sequence[EfficiencyNetwork], jets: Jets
) -> float:
    """Return the largest difference between file and networks, relative to the efficiency.

    Efficiencies are compared, and their spread over the networks where the file has it.

    Args:
        file: The file.
        networks: Its networks.
        jets: Jets to compare them on.
    """
    of_networks = np.stack([network.efficiency(jets) for network in networks])
    of_networks = of_networks.reshape(len(networks), jets.n_jets, -1)
    known = networks[0].points
    if file.points != known:
        of_networks = of_networks[..., [known.index(name) for name in file.points]]
    mean = of_networks.mean(axis=0)
    shape = (jets.n_jets, file.n_points)
    if file.content.layout == "athena":
        return _relative(file.efficiency(jets).reshape(shape), mean, mean)
    efficiency, spread = file.with_spread(jets)
    expected = of_networks.std(axis=0, ddof=1) if len(networks) > 1 else np.zeros(shape)
    of_mean = _relative(efficiency.reshape(shape), mean, mean)
    return max(of_mean, _relative(spread.reshape(shape), expected, mean))


def _relative(found: FloatArray, expected: FloatArray, scale: FloatArray) -> float:
    """Return the largest difference relative to a scale, of which 1e-30 is the least."""
    if not found.size:
        return 0.0
    return float((np.abs(found - expected) / np.maximum(scale, 1e-30)).max())


def trial_jets(network: EfficiencyNetwork, flavours: Sequence[int]) -> Jets:
    """Make a few events as those that a network was trained on, by its scaling of the inputs.

    Args:
        network: The network.
        flavours: The flavours of the jets.
    """
    rng = np.random.default_rng(0)
    counts = np.repeat(MULTIPLICITIES, 3)
    offsets = np.r_[0, np.cumsum(counts)]
    n_jets = int(offsets[-1])
    columns = network.columns
    mean = dict(zip(columns.names, network.standardise.mean.tolist(), strict=True))
    scale = dict(zip(columns.names, network.standardise.scale.tolist(), strict=True))

    def like(name: str) -> FloatArray:
        return np.asarray(mean[name] + scale[name] * rng.normal(size=n_jets), dtype=np.float32)

    further: dict[str, AnyArray] = {}
    for name in columns.further:
        known = columns.categories.get(name)
        further[name] = like(name) if known is None else rng.choice(np.array(known), n_jets)
    given: dict[str, Any] = {
        "event": np.arange(len(counts)),
        "offsets": offsets,
        "pt": np.maximum(np.abs(like("pt")), 1e-3),
        "eta": like("eta"),
        "phi": wrap_angle_float32(like("phi")),
        "mass": np.abs(further.pop("mass", np.ones(n_jets))),
        "flavour": rng.choice(np.array(flavours, dtype=np.int8), n_jets),
        "weight": np.ones(len(counts)),
    }
    given["pt"] = _falling(given["pt"], offsets)
    labels = Labels(categories=dict(columns.categories))
    return Jets(**given, further=further, labels=labels)


def _falling(pt: FloatArray, offsets: AnyArray) -> FloatArray:
    """Return transverse momenta that fall within each event."""
    event = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return pt[np.lexsort((-pt, event))]
