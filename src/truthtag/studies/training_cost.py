"""The cost of training: how near to the truth networks come, and in what time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import xlog1py, xlogy

from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.errors import DataError

__all__ = ["training_cost", "true_loss"]


def true_loss(jets: Jets) -> float:
    r"""Return Eq. 5 of the true efficiency: the mean over an event's jets, then over the events.

    .. math:: -t \ln \epsilon - (1 - t) \ln(1 - \epsilon)

    With several working points, it is the negative logarithm of the probability of the jet's tag
    bin, the difference of the efficiencies at the points that it lies between.

    Args:
        jets: A tagged sample whose true efficiencies are known; events without jets do not count.

    Returns:
        The loss [nats/event], as it is for networks with mu = 1.

    Raises:
        DataError: The sample has no jets, no tags or no true efficiencies.
    """
    if jets.efficiency_true is None or not jets.has_tags:
        msg = (
            "the loss of the truth needs the columns 'efficiency_true' and 'is_tagged'; "
            "the sample lacks one of them"
        )
        raise DataError(msg)
    if not jets.n_jets:
        msg = "the loss of the truth is a mean over events with jets; the sample has none"
        raise DataError(msg)
    loss = _tag_loss(jets, jets.efficiency_true)
    has_jets = jets.multiplicity > 0
    per_event = np.bincount(jets.event_of_jet, loss, jets.n_events)[has_jets]
    return float((per_event / jets.multiplicity[has_jets]).mean())


def _tag_loss(jets: Jets, true: FloatArray) -> FloatArray:
    """Return minus the logarithm of the probability of each jet's tag, shape (n_jets,)."""
    if jets.tag_bin is None:
        tags = jets.passes()[:, 0].astype(np.float64)
        # xlogy and xlog1py are 0 where a certain jet is as it must be; a logarithm alone is not.
        return np.asarray(-xlogy(tags, true) - xlog1py(1 - tags, -true))
    # Every jet passes no point at least, and none passes more than all.
    ends = np.pad(true, ((0, 0), (1, 1)), constant_values=((0, 0), (1, 0)))
    rows = np.arange(jets.n_jets)
    probability = ends[rows, jets.tag_bin] - ends[rows, jets.tag_bin + 1]
    return -np.log(np.maximum(probability, np.finfo(np.float64).tiny))


def training_cost(histories: Mapping[str, Sequence[pd.DataFrame]], floor: float) -> pd.DataFrame:
    """Set the validation losses of networks against the time that it took to train them.

    Args:
        histories: Histories by the name of the network, one for each seed, with the columns
            ``seconds`` of each epoch [s] and ``validation_loss`` [nats/event].
        floor: Loss of the true efficiency on the same events [nats/event].

    Returns:
        A row per network and epoch that all its seeds reached, means over the seeds: ``seconds``
        of training until its end [s], ``validation_loss`` and its ``excess`` over the floor
        [nats/event]; ``excess_std``, the standard deviation of the excess over the seeds, is NaN
        where there is only one.

    Raises:
        DataError: There is no network, a network has no history, or a history lacks a column.
    """
    if not histories:
        msg = "the cost of training needs at least one network; none was given"
        raise DataError(msg)
    tables = []
    for network, seeds in histories.items():
        if not seeds:
            msg = f"the network {network!r} has no history of its training; train one seed at least"
            raise DataError(msg)
        epochs = min(len(history) for history in seeds)
        seconds = _of_seeds(seeds, "seconds", epochs, network)
        loss = _of_seeds(seeds, "validation_loss", epochs, network)
        mean_loss = loss.mean(axis=0)
        columns = {
            "network": network,
            "seeds": len(seeds),
            "epoch": np.arange(1, epochs + 1),
            "seconds": seconds.cumsum(axis=1).mean(axis=0),
            "validation_loss": mean_loss,
            "excess": mean_loss - floor,
            "excess_std": loss.std(axis=0, ddof=1) if len(seeds) > 1 else np.nan,
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def _of_seeds(seeds: Sequence[pd.DataFrame], column: str, epochs: int, network: str) -> FloatArray:
    """Return the first epochs of a column of all histories, shape (n_seeds, epochs)."""
    rows = []
    for number, history in enumerate(seeds):
        if column not in history:
            listed = ", ".join(map(str, history.columns)) or "no columns"
            msg = (
                f"history {number} of the network {network!r}: column {column!r} is missing; "
                f"it has {listed}"
            )
            raise DataError(msg)
        rows.append(history[column].to_numpy()[:epochs])
    return np.stack(rows)
