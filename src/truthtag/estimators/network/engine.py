"""Predictions of networks by onnxruntime, on one thread: faster than torch on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.estimators.network.batches import features
from truthtag.estimators.network.estimator import NetworkEstimator
from truthtag.estimators.network.model import EfficiencyNetwork, require_finite
from truthtag.estimators.network.onnx_builder import Graph
from truthtag.estimators.network.onnx_graph import (
    Events,
    NetworkStack,
    find_neighbours,
    pair_geometry,
)
from truthtag.estimators.network.runtime import chunks, has_onnx, open_session

__all__ = ["OnnxEngine", "engine_of", "is_available", "logits_model"]

PAIRS_AT_ONCE = 4_000
"""Ordered pairs of jets that are predicted at once: their layers stay in a processor's cache."""


def is_available(networks: Sequence[EfficiencyNetwork]) -> bool:
    """Return whether networks can be computed by :class:`OnnxEngine`.

    They are on the CPU and see the same of a jet, and onnx and onnxruntime are installed.
    """
    if not has_onnx():
        return False
    like = networks[0]
    for network in networks:
        on_cpu = network.standardise.mean.device.type == "cpu"
        alike = network.architecture == like.architecture and network.meaning == like.meaning
        if not (on_cpu and alike):
            return False
    return True


def engine_of(members: Sequence[NetworkEstimator]) -> OnnxEngine | None:
    """Return what computes several networks at once, faster than torch on a CPU.

    Args:
        members: Networks of one ensemble.

    Returns:
        None where torch has to compute them: see :func:`is_available`.
    """
    networks = [member.network for member in members]
    return OnnxEngine(networks) if is_available(networks) else None


class OnnxEngine:
    """Networks of one architecture, computed by onnxruntime on one thread.

    The layers of each network are operators of their own, one network after the other, which in
    batches is faster than to stack them. Results differ from those of torch in the last digits of
    single precision.

    Args:
        networks: At least one, of the same inputs and working points; their weights are copied.
    """

    def __init__(self, networks: Sequence[EfficiencyNetwork]) -> None:
        self.networks = list(networks)
        self._session = open_session(logits_model(networks).SerializeToString())

    @property
    def name(self) -> str:
        """What computes, with its version."""
        return f"onnxruntime {version('onnxruntime')}"

    def efficiencies(self, jets: Jets) -> FloatArray:
        """Return the efficiency of each jet by each network.

        Args:
            jets: Any number of events of any number of jets.

        Returns:
            Shape (n_networks, n_jets), or (n_networks, n_jets, n_points) where there are several
            working points: falling from point to point.

        Raises:
            DataError: As :meth:`.model.EfficiencyNetwork.efficiency`.
        """
        like = self.networks[0]
        for network in self.networks:
            network.require_flavours(jets)
        rows = features(jets, like.columns).numpy()
        shape = (len(self.networks), jets.n_jets, like.n_points)
        eff = np.empty(shape)
        for index in chunks(jets, PAIRS_AT_ONCE):
            (logits,) = self._session.run(None, {"jets": rows[index]})
            eff[:, index.ravel()] = _probabilities(logits)
        np.cumprod(eff, axis=2, out=eff)
        for of_network in eff:
            require_finite(of_network, jets)
        return eff if like.n_points > 1 else eff[..., 0]


def _probabilities(logits: FloatArray) -> FloatArray:
    """Return the probabilities of logits in double precision, as torch computes them."""
    probabilities: FloatArray = torch.sigmoid(torch.from_numpy(logits).double()).numpy()
    return probabilities


def logits_model(networks: Sequence[EfficiencyNetwork]) -> Any:
    """Return networks as an ONNX model.

    Its input ``jets`` are rows as :func:`.batches.features` makes them, shape (n_events, n_jets,
    n_columns), and its output ``logits`` those of passing each working point given that the jet
    passes the one before, shape (n_networks, n_events * n_jets, n_points).
    """
    graph = Graph()
    like = networks[0]
    n_columns = len(like.columns.names)
    events = Events.of_input(graph, "jets", n_columns)
    neighbours = find_neighbours(graph, events)
    edges = None
    if like.architecture.edge_features:
        # All networks see the same pairs.
        edges = pair_geometry(graph, events, neighbours.index, like.architecture.edge_features)
    of_networks = []
    for network in networks:
        logits = NetworkStack(graph, [network]).logits(events, neighbours, edges)
        of_networks.append(graph.add("Unsqueeze", logits, graph.integers([0])))
    graph.add("Concat", *of_networks, axis=0, output="logits")
    shape = (len(networks), "n_rows", like.n_points)
    return graph.model({"jets": ("n_events", "n_jets", n_columns)}, {"logits": shape}, {})
