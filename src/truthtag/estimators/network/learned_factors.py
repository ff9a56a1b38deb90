"""What a factorised network has learned: a jet's own efficiency, and the factor of a neighbour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from truthtag.arrays import FloatArray
from truthtag.errors import DataError
from truthtag.estimators.network.batches import Batch
from truthtag.estimators.network.bodies import FactorisedBody
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.toy.truth import Truth

__all__ = ["read_factors"]


def read_factors(
    networks: Sequence[EfficiencyNetwork],
    truth: Truth,
    flavours: Mapping[str, int],
    probe: Mapping[str, float],
    base_pt: FloatArray,
    neighbour_delta_r: FloatArray,
) -> pd.DataFrame:
    """Evaluate the two terms of a factorised ensemble beside those of the truth.

    Args:
        networks: The networks of the ensemble, all of kind ``factorised``.
        truth: The true efficiency.
        flavours: Numbers of the hadron flavours, by name.
        probe: The jet whose neighbours are looked at: ``pt`` [GeV], ``eta`` and ``flavour`` (a
            number). Base efficiencies are read at its eta, neighbours have its pT and eta.
        base_pt: Transverse momenta at which base efficiencies are read, shape (n,) [GeV].
        neighbour_delta_r: Delta R of the neighbour, along phi, shape (m,).

    Returns:
        A row per panel (``base``, ``factor``), flavour (of the jet, of the neighbour) and place
        ``x`` (pT [GeV], Delta R): ``mean`` and ``std`` over the networks, ``true``, and the ``eta``
        at which all were read.

    Raises:
        DataError: A network is not factorised.
    """
    eta = np.full(len(base_pt), probe["eta"])
    panels = []
    for name, flavour in flavours.items():
        bases = [_base(network, base_pt, probe["eta"], flavour) for network in networks]
        true_base = truth.own(flavour, base_pt, eta)
        panels.append(_rows("base", name, base_pt, bases, true_base))
        factors = [_factor(network, probe, flavour, neighbour_delta_r) for network in networks]
        true_factor = truth.factor(flavour, neighbour_delta_r, probe["pt"])
        panels.append(_rows("factor", name, neighbour_delta_r, factors, true_factor))
    return pd.concat(panels, ignore_index=True).assign(eta=probe["eta"])


def _rows(
    panel: str, flavour: str, x: FloatArray, values: Sequence[FloatArray], true: FloatArray
) -> pd.DataFrame:
    # One network has no standard deviation.
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
    """Return the efficiency of jets that are alone, shape (n,)."""
    rows = torch.tensor([[value, eta, 0.0, flavour] for value in pt.tolist()])
    base, _ = _terms(network, Batch(rows, [(len(rows), 1)]))
    return base


def _factor(
    network: EfficiencyNetwork,
    probe: Mapping[str, float],
    neighbour_flavour: int,
    delta_r: FloatArray,
) -> FloatArray:
    """Return the factor by which a neighbour lowers the efficiency of the probe, shape (m,)."""
    events = []
    for distance in delta_r.tolist():
        jet = [probe["pt"], probe["eta"], 0.0, probe["flavour"]]
        neighbour = [probe["pt"], probe["eta"], distance, neighbour_flavour]
        events.append([jet, neighbour])
    rows = torch.tensor(events).flatten(0, 1)
    _, factors = _terms(network, Batch(rows, [(len(events), 2)]))
    # Of the two ordered pairs of each event, the first is the probe that looks at its neighbour.
    return factors[::2]


def _terms(network: EfficiencyNetwork, batch: Batch) -> tuple[FloatArray, FloatArray]:
    """Return own efficiencies, shape (n_jets,), and factors, shape (n_pairs,)."""
    if not isinstance(network.body, FactorisedBody):
        msg = (
            f"a network of kind {network.architecture.kind!r} has no factors to read; "
            "only 'factorised' has. Choose an ensemble of that kind."
        )
        raise DataError(msg)
    with torch.inference_mode():
        x = network.standardise(batch.features)[:, network.seen]
        base, factors = network.body.terms(x, batch.shape, network.edges(batch))
    return base.exp().double().numpy(), factors.exp().double().numpy()
