"""Maps as plain arrays, with what they vary by: what a correction is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from truthtag.arrays import FloatArray
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.binned import BinnedMap
from truthtag.estimators.cross_fitting import CrossFitted, HeldOut, Members
from truthtag.estimators.ensemble import Ensemble
from truthtag.estimators.nearest_jet import NearestJetMap
from truthtag.estimators.smoothed import SmoothedMap
from truthtag.estimators.table_file import PointwiseEstimator

__all__ = ["DELTA_R", "Grid", "Table", "first_of", "members_of", "points_of", "tabulate"]

DELTA_R = "delta_r"
"""The axis of the distance to the nearest jet; its last bin is for jets without a near one."""


@dataclass(frozen=True)
class Grid:
    """What the axes of a table are; all that is tabulated together has the same.

    Args:
        kind: The class of the map.
        flavours: Hadron flavours, rising.
        points: Names of the working points, the loosest first; empty for one.
        axes: Edges of the bins by what they are of, in the order of the map; with that of Delta R
            before them, if there is one, whose last edge is infinite.
        outside: What to do with jets outside the axes, ``clamp`` or ``error``.
    """

    kind: type
    flavours: tuple[int, ...]
    points: tuple[str, ...]
    axes: Mapping[str, tuple[float, ...]]
    outside: str


@dataclass(frozen=True, eq=False)
class Table:
    """Efficiencies of a map, per working point, flavour and bin.

    Of a smoothed map they are those at the centres of its fine bins.

    Args:
        grid: What the axes are.
        central: Efficiencies, shape (n_points, n_flavours, ...).
        down: The lower end of what they may be, the same shape; None where nobody knows.
        up: The upper end, likewise.
        spread: What these two ends are, in a few words.
        unlearned: Those of the flavours that no training jet has: anything is possible for them.
    """

    grid: Grid
    central: FloatArray
    down: FloatArray | None = None
    up: FloatArray | None = None
    spread: str = ""
    unlearned: tuple[int, ...] = ()


def tabulate(estimator: Any) -> Table:
    """Return the table of a map, of a map with its replicas, or of maps of all folds.

    The ends are those of the interval of each bin, where the kind has one; else the standard
    deviation of the replicas away, within [0, 1].

    Args:
        estimator: Of one of the kinds of :data:`READERS`, for one working point or several; an
            ensemble of them; or what was fitted without each fold, whose mean it is then.

    Raises:
        DataError: Members of an ensemble differ in their axes, flavours or working points.
    """
    if isinstance(estimator, CrossFitted):
        return _of_folds(estimator)
    if isinstance(estimator, Ensemble):
        return _of_members(estimator)
    return _of_one(estimator)


def first_of(estimator: Any) -> Any:
    """Return the first single estimator, for one working point, that an efficiency consists of.

    Raises:
        ConfigError: It is one of the training samples, by folds.
    """
    if isinstance(estimator, HeldOut):
        msg = (
            "an efficiency by folds has no one correction: none has the number of the event. "
            "Write a file for each fold with export_corrections_by_fold"
        )
        raise ConfigError(msg)
    if isinstance(estimator, CrossFitted):
        return first_of(estimator.parts[0])
    if isinstance(estimator, Ensemble):
        return first_of(estimator.nominal or estimator.members[0])
    return members_of(estimator)[0]


def members_of(estimator: Any) -> tuple[Any, ...]:
    """Return the estimators of all working points, the loosest first."""
    return estimator.members if isinstance(estimator, PointwiseEstimator) else (estimator,)


def points_of(estimator: Any) -> tuple[str, ...]:
    """Return the names of the working points, the loosest first; none for one."""
    return estimator.points if isinstance(estimator, PointwiseEstimator) else ()


# ---- one map


@dataclass(frozen=True, eq=False)
class _Content:
    """What one map holds; arrays of shape (n_flavours, ...)."""

    base: BinnedMap | SmoothedMap
    axes: Mapping[str, FloatArray]
    values: FloatArray
    interval: tuple[FloatArray, FloatArray] | None = None


def _of_binned(one: BinnedMap) -> _Content:
    return _Content(one, one.bins.axes, one.values, one.interval())


def _of_nearest_jet(one: NearestJetMap) -> _Content:
    axes = {DELTA_R: np.r_[one.edges, np.inf], **one.base.bins.axes}
    # (n_flavours, n_delta_r, n_pt, n_eta, ...)
    beside = tuple(range(2, one.base.values.ndim + 1))
    factor = np.expand_dims(one.correction, beside)
    return _Content(one.base, axes, np.clip(one.base.values[:, None] * factor, 0.0, 1.0))


def _of_smoothed(one: SmoothedMap) -> _Content:
    return _Content(one, one.bins.axes, one.values)


READERS: Mapping[type, Callable[[Any], _Content]] = {
    BinnedMap: _of_binned,
    NearestJetMap: _of_nearest_jet,
    SmoothedMap: _of_smoothed,
}
"""Kinds of map that are tables."""


def _of_one(estimator: Any) -> Table:
    members = members_of(estimator)
    kind = type(members[0])
    contents = [READERS[kind](member) for member in members]
    base = contents[0].base
    axes = {name: tuple(axis.tolist()) for name, axis in contents[0].axes.items()}
    grid = Grid(kind, base.bins.flavours, points_of(estimator), axes, base.bins.outside)
    unlearned = base.bins.without_jets(base.counts)
    central = _at_points([content.values for content in contents])
    intervals = [content.interval for content in contents if content.interval is not None]
    if not intervals:
        return Table(grid, central, unlearned=unlearned)
    down = _at_points([low for low, _ in intervals])
    up = _at_points([high for _, high in intervals])
    coverage = members[0].coverage
    spread = f"the ends of the interval of Clopper and Pearson with a coverage of {coverage:.4g}"
    return Table(grid, central, down, up, spread, unlearned)


def _at_points(values: Sequence[FloatArray]) -> FloatArray:
    """Put working points together: efficiencies do not rise from one to a tighter one."""
    return np.minimum.accumulate(np.stack(values), axis=0)


# ---- several


@dataclass(frozen=True, eq=False)
class _Several:
    """A nominal table, or the mean of the replicas, and the replicas, (n_replicas, ...)."""

    nominal: Table
    replicas: FloatArray


def _apart(several: Members) -> _Several:
    tables = [_of_one(member) for member in several.members]
    nominal = tables[0] if several.nominal is None else _of_one(several.nominal)
    for table in tables:
        _require_same(nominal.grid, table.grid)
    replicas = np.stack([table.central for table in tables])
    if several.nominal is None:
        mean = replicas.mean(axis=0)
        nominal = Table(nominal.grid, mean, unlearned=nominal.unlearned)
    return _Several(nominal, replicas)


def _of_members(several: Members) -> Table:
    apart = _apart(several)
    if apart.nominal.down is not None:
        return apart.nominal
    return _with_spread(apart.nominal, apart.replicas)


def _of_folds(fitted: CrossFitted) -> Table:
    parts = [_apart(part) for part in fitted.parts]
    first = parts[0].nominal
    for part in parts:
        _require_same(first.grid, part.nominal.grid)
    central = np.mean([part.nominal.central for part in parts], axis=0)
    unlearned = {flavour for part in parts for flavour in part.nominal.unlearned}
    mean = replace(first, central=central, unlearned=tuple(sorted(unlearned)))
    lows = [part.nominal.down for part in parts if part.nominal.down is not None]
    highs = [part.nominal.up for part in parts if part.nominal.up is not None]
    if lows:
        # The folds share most of their events: their intervals fluctuate together.
        spread = f"{first.spread}, their mean over the folds"
        return replace(mean, down=np.mean(lows, axis=0), up=np.mean(highs, axis=0), spread=spread)
    replicas = [part.replicas for part in parts]
    if fitted.parts[0].nominal is None:
        return _with_spread(mean, np.concatenate(replicas))
    # Resamples with the same number are drawn alike in every fold.
    return _with_spread(mean, np.mean(replicas, axis=0))


def _with_spread(table: Table, replicas: FloatArray) -> Table:
    """Add the ends that the replicas tell; one replica tells none."""
    count = len(replicas)
    if count < 2:
        return table
    deviation = replicas.std(axis=0, ddof=1)
    is_unlearned = np.isin(table.grid.flavours, table.unlearned)
    # All replicas agree on what none has learned.
    deviation[:, is_unlearned] = 1.0
    return replace(
        table,
        down=np.clip(table.central - deviation, 0.0, 1.0),
        up=np.clip(table.central + deviation, 0.0, 1.0),
        spread=f"one standard deviation of {count} replicas away",
    )


def _require_same(first: Grid, other: Grid) -> None:
    """Refuse maps of other bins, flavours or working points."""
    for name in ("kind", "flavours", "points", "axes", "outside"):
        ours = getattr(first, name)
        theirs = getattr(other, name)
        if ours != theirs:
            shown = "" if name == "axes" else f": {ours} and {theirs}"
            msg = f"two members of the ensemble differ in their {name}{shown}. Fit them together."
            raise DataError(msg)
