"""Where an efficiency was learned: which jets are like those of the training sample, and which are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from truthtag.arrays import BoolArray, FloatArray, IntArray, divide
from truthtag.data.files import check_columns, read_frame, read_metadata, write_frame
from truthtag.data.jets import Jets
from truthtag.data.neighbours import nearest_jet
from truthtag.errors import ConfigError, DataError

__all__ = ["COLUMNS", "VARIABLES", "Domain", "read_domain", "variables_of", "write_domain"]

VARIABLES = ("pt", "eta", "n_jets", "closeness", "nearest_pt")
"""What a domain knows of a jet: its own momentum and direction, the number of jets of its event, the nearest of them."""

COLUMNS = ("flavour", *VARIABLES)
"""Columns of a domain on disk, a row per reference jet."""


@dataclass(frozen=True, eq=False)
class Domain:
    r"""The region that a training sample fills, per hadron flavour of the jet, in the space of :data:`VARIABLES`.

    .. math:: D(x) = \frac{1}{t_f} \sqrt{\sum_v \left(\frac{x_v - x^{(k)}_v}{s_v}\right)^2}
        \quad \text{where every } x_v \text{ is in } [\min_f x_v, \max_f x_v], \text{ else } \infty

    Here :math:`x^{(k)}` is the k-th nearest of the reference jets of flavour f, which are training jets; :math:`s_v` is
    the standard deviation over the training jets of all flavours, and a variable that does not vary is left out of the
    sum. A flavour with fewer than k reference jets takes the farthest of them. A jet is inside where :math:`D \le 1`.

    The threshold :math:`t_f` is the quantile 1 - ``flagged`` of the distances of the validation jets of flavour f, in
    the ranges or not: about this share of new jets of the same origin is outside. Each of the ten ends of the ranges
    takes at most about one more in n, where n training jets set it.

    Source: this project; distances to the k-th nearest as a test for outliers are those of Ramaswamy, Rastogi and Shim,
    doi 10.1145/342009.335437.

    Args:
        flavours: Hadron flavours of the training sample, rising.
        low: Smallest value of each variable per flavour, shape (n_flavours, 5); of transverse momenta in [GeV].
        high: Largest values, the same shape and units.
        scale: Standard deviations, 0 where a variable does not vary, shape (5,), the same units.
        threshold: Largest distance to the k-th nearest reference jet per flavour, in units of the standard
            deviations, shape (n_flavours,).
        neighbours: Which of the nearest reference jets counts, k.
        reference_flavour: Flavours of the reference jets, shape (n_reference,).
        reference: Their variables as :func:`variables_of` gives them, shape (n_reference, 5).

    Example:
        >>> jets = Jets.from_columns({**row, "event": np.array([7, 7, 9])})
        >>> options = {"flagged": 0.005, "neighbours": 10, "reference": 50_000}
        >>> domain = Domain.fit(jets, jets, np.random.default_rng(0), **options)
        >>> domain.contains(jets.with_columns(pt=np.array([50.0, 41.0, 30.0])))
        array([False, False,  True])
    """

    flavours: tuple[int, ...]
    low: FloatArray
    high: FloatArray
    scale: FloatArray
    threshold: FloatArray
    neighbours: int
    reference_flavour: IntArray
    reference: FloatArray

    @classmethod
    def fit(
        cls,
        train: Jets,
        validation: Jets,
        rng: np.random.Generator,
        *,
        flagged: float,
        neighbours: int,
        reference: int,
    ) -> Domain:
        """Take ranges and reference jets from one sample, and the thresholds from another of the same origin.

        Weights play no role. Both samples must be independent: a jet that is in both is too near to itself.

        Args:
            train: The sample that the efficiency was learned from.
            validation: A sample that it was not learned from, with every flavour of ``train``.
            rng: What draws the reference jets.
            flagged: Share of the validation jets of each flavour that lie beyond the threshold, in (0, 1).
            neighbours: Which of the nearest reference jets counts, at least 1.
            reference: Most reference jets per flavour, at least ``neighbours``; drawn without replacement.

        Raises:
            ConfigError: An option is out of range.
            DataError: A sample has no jets, or a flavour of ``train`` is missing in ``validation``.
        """
        _check_options(flagged, neighbours, reference)
        flavours = _flavours_of(train, validation)
        values, tried = variables_of(train), variables_of(validation)
        rows = [np.flatnonzero(train.flavour == flavour) for flavour in flavours]
        chosen = np.concatenate([_draw(inside, reference, rng) for inside in rows])
        bare = cls(
            flavours=flavours,
            low=np.array([values[inside].min(axis=0) for inside in rows], dtype=np.float64),
            high=np.array([values[inside].max(axis=0) for inside in rows], dtype=np.float64),
            # The rounded mean of equal values can differ from them, so that their deviation is not exactly 0.
            scale=np.where(np.ptp(values, axis=0) > 0, values.std(axis=0, dtype=np.float64), 0.0),
            threshold=np.ones(len(flavours)),
            neighbours=neighbours,
            reference_flavour=train.flavour[chosen].astype(np.int8),
            reference=values[chosen],
        )
        spacing = [
            bare._spacing(flavour, tried[validation.flavour == flavour]) for flavour in flavours
        ]
        return replace(
            bare, threshold=np.array([np.quantile(apart, 1 - flagged) for apart in spacing])
        )

    def distance(self, jets: Jets) -> FloatArray:
        """Return how far each jet is from the reference jets of its flavour, in units of the threshold.

        Args:
            jets: The jets, tagged or not.

        Returns:
            Distances to the k-th nearest, shape (n_jets,); infinity outside the ranges, or for a flavour that the
            training sample did not have.
        """
        values, distance = variables_of(jets), np.full(jets.n_jets, np.inf)
        for flavour, low, high, threshold in zip(
            self.flavours, self.low, self.high, self.threshold, strict=True
        ):
            in_range = ((values >= low) & (values <= high)).all(axis=1)
            inside = np.flatnonzero(in_range & (jets.flavour == flavour))
            spacing = self._spacing(flavour, values[inside])
            distance[inside] = divide(spacing, threshold, np.where(spacing > 0, np.inf, 0.0))
        return distance

    def contains(self, jets: Jets) -> BoolArray:
        """Return whether each jet is like those of the training sample, shape (n_jets,)."""
        return self.distance(jets) <= 1

    def to_frame(self) -> pd.DataFrame:
        """Return the reference jets as a table, the columns of :data:`COLUMNS`."""
        columns = dict(zip(VARIABLES, self.reference.T, strict=True))
        return pd.DataFrame({"flavour": self.reference_flavour, **columns})

    @property
    def criterion(self) -> dict[str, Any]:
        """What the table does not hold: ranges, scales and thresholds, and which neighbour counts."""
        arrays = {
            name: getattr(self, name).tolist() for name in ("low", "high", "scale", "threshold")
        }
        return {"flavours": list(self.flavours), "neighbours": self.neighbours, **arrays}

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        flavours: list[int],
        neighbours: int,
        **arrays: list[float] | list[list[float]],
    ) -> Domain:
        """Rebuild a domain from its table and criterion."""
        return cls(
            flavours=tuple(flavours),
            neighbours=neighbours,
            reference_flavour=frame["flavour"].to_numpy(),
            reference=frame[list(VARIABLES)].to_numpy(),
            **{name: np.array(values, dtype=np.float64) for name, values in arrays.items()},
        )

    @cached_property
    def _trees(self) -> dict[int, Any]:
        """A search tree over the reference jets of each flavour."""
        points = self._scaled(self.reference)
        return {
            flavour: cKDTree(points[self.reference_flavour == flavour]) for flavour in self.flavours
        }

    def _scaled(self, values: FloatArray) -> FloatArray:
        """Return variables in units of their standard deviation, 0 where they do not vary."""
        return divide(values, self.scale, 0.0)

    def _spacing(self, flavour: int, values: FloatArray) -> FloatArray:
        """Return the distance to the k-th nearest reference jet, or the farthest if there are not so many."""
        tree = self._trees[flavour]
        distance: FloatArray = tree.query(self._scaled(values), k=[min(self.neighbours, tree.n)])[0]
        return distance[:, 0]


def variables_of(jets: Jets) -> FloatArray:
    r"""Return the variables that a domain is made of.

    The closeness of the nearest other jet of the event is :math:`1 / (1 + \Delta R)`; it and the transverse momentum
    of that jet are 0 where a jet is alone.

    Args:
        jets: Jets of any sample.

    Returns:
        The variables of :data:`VARIABLES`, transverse momenta in [GeV], shape (n_jets, 5); float32 as samples are
        stored, so that no rounding carries a jet at the end of a range out of it.

    Example:
        >>> jets = Jets.from_columns({**row, "event": np.array([7, 7, 9])})
        >>> variables_of(jets)
        array([[50.,  0.,  2.,  1., 40.],
               [40.,  0.,  2.,  1., 50.],
               [30.,  0.,  1.,  0.,  0.]], dtype=float32)
    """
    nearest, distance = nearest_jet(jets)
    nearest_pt = np.where(nearest >= 0, jets.pt[nearest], 0.0)
    n_jets = jets.multiplicity[jets.event_of_jet]
    return np.stack([jets.pt, jets.eta, n_jets, 1 / (1 + distance), nearest_pt], axis=1).astype(
        np.float32
    )


def write_domain(domain: Domain, path: str | Path, metadata: Mapping[str, Any]) -> None:
    """Write a domain as Parquet, a row per reference jet; the rest goes into the metadata.

    Args:
        domain: The domain.
        path: The file to write, ending in ``.parquet``.
        metadata: What to record about its origin; anything that JSON holds.
    """
    write_frame(domain.to_frame(), path, {**metadata, "domain": domain.criterion})


def read_domain(path: str | Path) -> Domain:
    """Read a domain that :func:`write_domain` wrote.

    Raises:
        DataError: The file is missing, truncated or foreign, or lacks a column.
    """
    frame = read_frame(path)
    criterion = read_metadata(path).get("domain")
    if criterion is None:
        msg = f"{path}: its metadata hold no ranges and thresholds of a domain; fit the domain again with truthtag"
        raise DataError(msg)
    check_columns(path, [str(name) for name in frame.columns], COLUMNS)
    return Domain.from_frame(frame, **criterion)


def _check_options(flagged: float, neighbours: int, reference: int) -> None:
    """Refuse options that make no domain, naming the first."""
    if not 0 < flagged < 1:
        msg = f"domain: flagged is {flagged}; it must be above 0 and below 1. Take 0.005, say."
        raise ConfigError(msg)
    if neighbours < 1:
        msg = f"domain: neighbours is {neighbours}; it must be at least 1. Take 10, say."
        raise ConfigError(msg)
    if reference < neighbours:
        msg = (
            f"domain: reference is {reference}; it must be at least neighbours, {neighbours}. "
            "Raise it, or lower neighbours."
        )
        raise ConfigError(msg)


def _flavours_of(train: Jets, validation: Jets) -> tuple[int, ...]:
    """Return the flavours of the training sample; refuse samples that set no ranges or thresholds."""
    for name, jets in (("training", train), ("validation", validation)):
        if not jets.n_jets:
            msg = f"the {name} sample has no jets; a domain needs some. Give it a sample that has jets."
            raise DataError(msg)
    flavours, counts = np.unique(train.flavour, return_counts=True)
    missing = ~np.isin(flavours, validation.flavour)
    if missing.any():
        msg = (
            f"the validation sample has no jet of flavour {flavours[missing][0]}, the training sample has "
            f"{counts[missing][0]}: nothing sets the threshold of this flavour. Give the validation sample more events, "
            "or drop those jets from the training sample."
        )
        raise DataError(msg)
    return tuple(int(flavour) for flavour in flavours)


def _draw(rows: IntArray, most: int, rng: np.random.Generator) -> IntArray:
    """Draw rows without replacement; all of them, in their order, where there are no more than asked for."""
    return (
        rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False, shuffle=False))
    )
