"""Read what a factorised network has learned: a jet's own efficiency, and the factor of a neighbour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from truthtag.arrays import FloatArray
from truthtag.errors import DataError
from truthtag.estimators.network.model import Batch, EfficiencyNetwork, FactorisedBody
from truthtag.toy.truth import Truth

__all__ = ["read_factors"]


def read_factors(
    networks: Sequence[EfficiencyNetwork],
    truth: Truth,
    flavours: Mapping[str, int],
    jet: Mapping[str, float],
    pt: FloatArray,
    distance: FloatArray,
) -> pd.DataFrame:
    """Evaluate the two parts of a factorised ensemble beside those of the truth.

    Args:
        networks: The networks of the ensemble, all of kind ``factorised``.
        truth: The true efficiency.
        flavours: Numbers of the hadron flavours, by name.
        jet: The jet whose neighbours are looked at: ``pt`` [GeV], ``eta`` and ``flavour`` (a number). Base
            efficiencies are read at its eta, neighbours have its pT and eta.
        pt: Transverse momenta at which base efficiencies are read, shape (n,) [GeV].
        distance: Delta R of the neighbour, along phi, shape (m,).

    Returns:
        A row per panel (``base``, ``factor``), flavour (of the jet, of the neighbour) and place ``x`` (pT [GeV], Delta R):
        ``mean`` and ``std`` over the networks, ``true``, and the ``eta`` at which all were read.

    Raises:
        DataError: A network is not factorised.
    """
    parts = []
    for name, flavour in flavours.items():
        own = [_base(network, pt, jet["eta"], flavour) for network in networks]
        true = truth.own(flavour, pt, np.full(len(pt), jet["eta"]))
        parts.append(_rows("base", name, pt, own, true))
        factors = [_factor(network, jet, flavour, distance) for network in networks]
        true = truth.factor(flavour, distance, jet["pt"])
        parts.append(_rows("factor", name, distance, factors, true))
    return pd.concat(parts, ignore_index=True).assign(eta=jet["eta"])


def _rows(
    panel: str, flavour: str, x: FloatArray, values: Sequence[FloatArray], true: FloatArray
) -> pd.DataFrame:
    std = np.std(values, axis=0, ddof=1) if len(values) > 1 else np.full(len(x), np.nan)
    return pd.DataFrame(
        {
            "panel": panel,
            "flavour": flavour,
            "x": x,
            "mean": np.mean(values, axis=0),
            "std": std,
            "true": true,
        }
    )


def _base(network: EfficiencyNetwork, pt: FloatArray, eta: float, flavour: int) -> FloatArray:
    """Return the efficiency of jets that are alone."""
    rows = torch.tensor([[value, eta, 0.0, flavour] for value in pt.tolist()])
    return _parts(network, Batch(rows, [(len(rows), 1)]))[0]


def _factor(
    network: EfficiencyNetwork, jet: Mapping[str, float], neighbour: int, distance: FloatArray
) -> FloatArray:
    """Return the factor by which a neighbour lowers the efficiency of the jet."""
    pairs = [
        [[jet["pt"], jet["eta"], 0.0, jet["flavour"]], [jet["pt"], jet["eta"], away, neighbour]]
        for away in distance.tolist()
    ]
    rows = torch.tensor(pairs).flatten(0, 1)
    # Of the two ordered pairs of each event, the first is the jet that looks at its neighbour.
    return _parts(network, Batch(rows, [(len(pairs), 2)]))[1][::2]


def _parts(network: EfficiencyNetwork, batch: Batch) -> tuple[FloatArray, FloatArray]:
    if not isinstance(network.body, FactorisedBody):
        msg = f"a network of kind {network.architecture.kind!r} has no factors to read; only 'factorised' has"
        raise DataError(msg)
    with torch.inference_mode():
        x = network.standardise(batch.features)[:, network.seen]
        base, factors = network.body.parts(x, batch.shape, network.edges(batch))
    return base.exp().double().numpy(), factors.exp().double().numpy()
