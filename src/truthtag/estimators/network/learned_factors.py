"""What a factorised network has learned: a jet's own efficiency, and the factor of a neighbour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

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
    point: int = 0,
) -> pd.DataFrame:
    """Evaluate the two terms of a factorised ensemble beside those of the truth.

    With several working points, both are those of the efficiency at one of them, by default the
    loosest: its own efficiency and factors are products of those of all points up to it. Further
    inputs of the probe and its neighbours are what ``probe`` says of them; a number that it does
    not name has its mean over the training sample, and a category must be named.

    Args:
        networks: The networks of the ensemble, all of kind ``factorised``.
        truth: The true efficiency.
        flavours: Numbers of the hadron flavours, by name.
        probe: The jet whose neighbours are looked at: ``pt`` [GeV], ``eta`` and ``flavour`` (a
            number), and further inputs by name. Base efficiencies are read at its eta, neighbours
            have its pT, eta and further inputs.
        base_pt: Transverse momenta at which base efficiencies are read, shape (n,) [GeV].
        neighbour_delta_r: Delta R of the neighbour, along phi, shape (m,).
        point: Position of the working point, 0 for the loosest.

    Returns:
        A row per panel (``base``, ``factor``), flavour (of the jet, of the neighbour) and place
        ``x`` (pT [GeV], Delta R): ``mean`` and ``std`` over the networks, ``true``, and the ``eta``
        at which all were read.

    Raises:
        DataError: A network is not factorised, has no such point, or sees a category that the
            probe does not name.
    """
    eta = np.full(len(base_pt), probe["eta"])
    panels = []
    for name, flavour in flavours.items():
        bases = [_base(network, base_pt, probe, flavour, point) for network in networks]
        true_base = truth.own(flavour, base_pt, eta)
        panels.append(_rows("base", name, base_pt, bases, true_base))
        factors = [
            _factor(network, probe, flavour, neighbour_delta_r, point) for network in networks
        ]
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


def _base(
    network: EfficiencyNetwork,
    pt: FloatArray,
    probe: Mapping[str, float],
    flavour: int,
    point: int,
) -> FloatArray:
    """Return the efficiency of jets that are alone, shape (n,)."""
    further = _further_columns(network, probe)
    rows = torch.tensor([[value, probe["eta"], 0.0, flavour, *further] for value in pt.tolist()])
    batch = Batch(rows, [(len(rows), 1)])
    base, _ = _terms(network, batch)
    if network.offset is not None:
        own = base.view(-1, network.n_points)
        # The logit of the own efficiency, which is what a jet has that is alone.
        logits = own - torch.log(-torch.expm1(own.clamp(max=-1e-6)))
        shifted = logits + network.offset_of(batch).view(-1, network.n_points)
        base = F.logsigmoid(shifted)
    return _up_to_point(base, network, point)


def _factor(
    network: EfficiencyNetwork,
    probe: Mapping[str, float],
    neighbour_flavour: int,
    delta_r: FloatArray,
    point: int,
) -> FloatArray:
    """Return the factor by which a neighbour lowers the efficiency of the probe, shape (m,)."""
    further = _further_columns(network, probe)
    events = []
    for distance in delta_r.tolist():
        jet = [probe["pt"], probe["eta"], 0.0, probe["flavour"], *further]
        neighbour = [probe["pt"], probe["eta"], distance, neighbour_flavour, *further]
        events.append([jet, neighbour])
    rows = torch.tensor(events).flatten(0, 1)
    _, factors = _terms(network, Batch(rows, [(len(events), 2)]))
    # Of the two ordered pairs of each event, the first is the probe that looks at its neighbour.
    return _up_to_point(factors, network, point)[::2]


def _further_columns(network: EfficiencyNetwork, probe: Mapping[str, float]) -> list[float]:
    """Return the columns of a feature row that follow the flavour."""
    columns = network.columns
    held: list[float] = []
    for name in columns.further:
        if name in columns.categories:
            held.extend(_chosen_category(name, columns.categories[name], probe))
        else:
            place = columns.names.index(name)
            held.append(float(probe.get(name, network.standardise.mean[place])))
    return held


def _chosen_category(name: str, values: Sequence[int], probe: Mapping[str, float]) -> list[float]:
    """Return 1 for the value that the probe has, and 0 for the others."""
    if probe.get(name) not in values:
        listed = ", ".join(map(str, values))
        msg = (
            f"the network sees the category {name!r}, and the jet whose factors are to be read has "
            f"{probe.get(name, 'none')}; a category has no mean to stand in. Give it one of "
            f"{listed}."
        )
        raise DataError(msg)
    return [float(probe[name] == value) for value in values]


def _terms(network: EfficiencyNetwork, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the logarithms of own efficiencies and of factors, as ``FactorisedBody.terms``."""
    if not isinstance(network.body, FactorisedBody):
        msg = (
            f"a network of kind {network.architecture.kind!r} has no factors to read; "
            "only 'factorised' has. Choose an ensemble of that kind."
        )
        raise DataError(msg)
    with torch.inference_mode():
        x = network.see(batch.features)
        return network.body.terms(x, batch.shape, network.edges(batch))


def _up_to_point(logarithms: Tensor, network: EfficiencyNetwork, point: int) -> FloatArray:
    """Return the product of the terms of all points up to one of them, shape (n,)."""
    if not 0 <= point < network.n_points:
        msg = f"working point {point} was asked for; the network has {network.n_points}, from 0"
        raise DataError(msg)
    of_points = logarithms.view(-1, network.n_points)[:, : point + 1]
    return of_points.sum(dim=1).exp().double().numpy()
