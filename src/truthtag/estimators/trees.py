"""Boosted trees on neighbour features made by hand: what a practitioner would try first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field

from truthtag.arrays import AnyArray, FloatArray, IntArray
from truthtag.data.jets import Jets
from truthtag.data.kinematics import delta_r
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.bins import (
    flavour_index,
    flavours_of,
    jet_column,
    tags_of,
    training_tags,
    unlearned_flavours,
    with_unlearned,
)
from truthtag.estimators.counts import WeightedOptions, check_positive_sum, weights_of
from truthtag.estimators.protocol import ResampledOptions
from truthtag.estimators.table_file import TableEstimator
from truthtag.options import Real, Whole
from truthtag.seeds import Seed, seed_words

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BoostedTrees", "TreesOptions", "neighbour_features", "why_no_trees"]

OWN = 4
"""Features of a jet alone: pT, eta, flavour, number of jets of its event."""

ABSENT = 10.0
"""Delta R of a neighbour that is not there: further away than any is."""

Fraction = Annotated[Real, Field(gt=0, le=1)]


class TreesOptions(WeightedOptions):
    """Boosted trees on neighbour features; needs LightGBM (`pip install truthtag[trees]`)."""

    stops_early: ClassVar[bool] = True

    kind: str = "trees"
    """Kind of estimator, `trees`."""

    neighbours: Annotated[Whole, Field(ge=0)] = 5
    """Nearest jets of the event whose Delta R, flavour and further columns the trees see."""

    crowding: bool = False
    """Whether the trees also see, for each flavour, the sum over all neighbours of a Gaussian in
    Delta R: a guess at what crowding does."""

    reach: Annotated[Real, Field(gt=0)] = 0.6
    """Standard deviation of that Gaussian."""

    learning_rate: Annotated[Real, Field(gt=0, le=1)] = 0.03
    """Weight of each tree."""

    num_leaves: Annotated[Whole, Field(ge=2)] = 8
    """Most leaves of a tree."""

    min_jets_in_leaf: Annotated[Whole, Field(ge=1)] = 500
    """Fewest jets in a leaf."""

    feature_fraction: Fraction = 0.8
    """Fraction of the features that each tree sees."""

    bagging_fraction: Fraction = 0.8
    """Fraction of the jets that each tree is fitted to."""

    rounds: Annotated[Whole, Field(ge=1)] = 2000
    """Most trees."""

    patience: Annotated[Whole, Field(ge=1)] = 50
    """Stop after so many trees without a better validation loss; the best number is kept."""


@dataclass(frozen=True, eq=False)
class BoostedTrees(TableEstimator):
    """Gradient-boosted decision trees of LightGBM.

    Beside what :func:`neighbour_features` says, they see every further column that the training
    jets have, of the jet and of its nearest neighbours; those that the labels call categories have
    no order. A jet of a flavour that no training jet has is refused. Fits are deterministic: one
    thread, and a seed. Each replica is fitted with a seed of its own. Where weights are negative,
    leaves need enough jets that their sums are not: ``min_jets_in_leaf``.

    Source: Ke et al., LightGBM, Advances in Neural Information Processing Systems 30 (2017).

    Args:
        model: The trees, as LightGBM writes them.
        flavours: Flavours of the training sample, rising.
        neighbours: Nearest jets that the trees see.
        crowding: Whether they see sums over neighbours.
        reach: Standard deviation of the Gaussian of these sums.
        further: Further columns that they see.
        categories: Values of those that are categories, by column.
        unlearned: Those of the flavours that no training jet has.
    """

    model: str
    flavours: tuple[int, ...]
    neighbours: int
    crowding: bool
    reach: float
    further: tuple[str, ...] = ()
    categories: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    unlearned: tuple[int, ...] = ()
    options_type: ClassVar[type[ResampledOptions]] = TreesOptions
    columns: ClassVar[tuple[str, ...]] = ("model",)

    @classmethod
    def fit(cls, train: Jets, validation: Jets, options: TreesOptions, seed: Seed) -> Self:
        """Fit trees to the tags, and stop by the loss of the validation sample.

        Args:
            train: A tagged sample.
            validation: Independent tagged events.
            options: Features and growth of the trees.
            seed: Names the random stream.

        Raises:
            ConfigError: LightGBM is not installed, or cannot be loaded.
            DataError: A sample has no tags or no jets, its weights do not sum to more than 0, or
                the validation sample has a flavour or a column less than the training sample.
        """
        lightgbm = _lightgbm()
        for name, jets in (("training", train), ("validation", validation)):
            if not jets.n_jets:
                msg = f"the {name} sample has no jets; trees need some. Give it a sample with jets."
                raise DataError(msg)
        empty = cls(
            model="",
            flavours=flavours_of(train),
            neighbours=options.neighbours,
            crowding=options.crowding,
            reach=options.reach,
            further=tuple(train.further),
            categories={n: v for n, v in train.labels.categories.items() if n in train.further},
            unlearned=unlearned_flavours(train),
        )
        data = lightgbm.Dataset(
            empty.features(train),
            training_tags(train),
            weight=_weights(train, options),
            categorical_feature=empty.categorical_features,
        )
        # What nothing is learned of has no say in when to stop.
        known = ~np.isin(validation.flavour, empty.unlearned)
        weights = _weights(validation, options)
        check = lightgbm.Dataset(
            empty.features(validation)[known],
            tags_of(validation)[known],
            weight=None if weights is None else weights[known],
            reference=data,
        )
        booster = lightgbm.train(
            _parameters(options, seed),
            data,
            num_boost_round=options.rounds,
            valid_sets=[check],
            callbacks=[lightgbm.early_stopping(options.patience, verbose=False)],
        )
        text = booster.model_to_string(num_iteration=booster.best_iteration)
        return replace(empty, model=text)

    @property
    def categorical_features(self) -> list[int]:
        """Positions of the features whose values have no order."""
        first_neighbour = OWN + 1
        end = OWN + 2 * self.neighbours
        positions = [2, *range(first_neighbour, end, 2)]
        if self.crowding:
            end += len(self.flavours)
        width = 1 + self.neighbours
        for number, name in enumerate(self.further):
            if name in self.categories:
                first = end + number * width
                positions += range(first, first + width)
        return positions

    def features(self, jets: Jets) -> FloatArray:
        """Return what the trees see of each jet, a row per jet.

        Raises:
            DataError: A jet has a flavour or category that the trees do not know, or the jets lack
                a column.
        """
        rows = neighbour_features(jets, self.flavours, self.neighbours, self.reach)
        if not self.crowding:
            rows = rows[:, : OWN + 2 * self.neighbours]
        if not self.further:
            return rows
        nearest = _nearest_jets(jets, self.neighbours)
        of_columns = [_with_neighbours(self._values(jets, n), nearest) for n in self.further]
        return np.column_stack([rows, *of_columns])

    def _values(self, jets: Jets, name: str) -> FloatArray:
        """Return a further column; of categories, the positions among those known; (n_jets,)."""
        values = jet_column(jets, name, "the trees were fitted to a column")
        if name not in self.categories:
            return values.astype(np.float64)
        return _position(values, self.categories[name], name).astype(np.float64)

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the efficiency of each jet, shape (n_jets,).

        Raises:
            ConfigError: LightGBM is not installed, or cannot be loaded.
            DataError: A jet has a flavour or category that the trees do not know, or the jets lack
                a column.
        """
        rows = self.features(jets)
        if not len(rows):
            return np.zeros(0)
        eff = np.asarray(self._booster.predict(rows, num_threads=1))
        return with_unlearned(eff, self.unlearned, jets)

    @cached_property
    def _booster(self) -> Any:
        lightgbm = _lightgbm()
        try:
            return lightgbm.Booster(model_str=self.model)
        except lightgbm.basic.LightGBMError as error:
            msg = f"the trees cannot be read ({error}); fit them again"
            raise DataError(msg) from error

    def describe(self) -> str:
        """Return the number of trees and of what they see."""
        sums = ", sums over neighbours" if self.crowding else ""
        count = self.model.count("\nTree=")
        further = f", {', '.join(self.further)}" if self.further else ""
        return f"{count} trees on {self.neighbours} nearest jets{sums}{further}"

    def to_frame(self) -> pd.DataFrame:
        """Return a table of one row: the text of the model."""
        import pandas as pd

        return pd.DataFrame({"model": [self.model]})

    @property
    def settings(self) -> dict[str, Any]:
        """What the features are made of."""
        settings: dict[str, Any] = {
            "flavours": list(self.flavours),
            "neighbours": self.neighbours,
            "crowding": self.crowding,
            "reach": self.reach,
        }
        if self.further:
            settings["further"] = list(self.further)
        if self.categories:
            categories = {name: list(values) for name, values in self.categories.items()}
            settings["categories"] = categories
        if self.unlearned:
            settings["unlearned"] = list(self.unlearned)
        return settings

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, **settings: Any) -> Self:
        """Rebuild the trees from their table and settings.

        Raises:
            DataError: The table does not hold the text of one model.
        """
        if len(frame) != 1 or not isinstance(frame["model"].iloc[0], str):
            msg = f"it has {len(frame)} rows; it must have one, the text of a model"
            raise DataError(msg)
        categories = settings.get("categories", {})
        found = cls(
            model=frame["model"].iloc[0],
            flavours=tuple(int(flavour) for flavour in settings["flavours"]),
            neighbours=settings["neighbours"],
            crowding=settings["crowding"],
            reach=settings["reach"],
            further=tuple(str(name) for name in settings.get("further", ())),
            categories={name: tuple(values) for name, values in categories.items()},
            unlearned=tuple(int(flavour) for flavour in settings.get("unlearned", ())),
        )
        # A text that is no model is noticed here, where the file is known.
        _ = found._booster
        return found


def neighbour_features(
    jets: Jets, flavours: Sequence[int], neighbours: int, reach: float
) -> FloatArray:
    r"""Return features of each jet, made by hand.

    Its own pT, eta, flavour and number of jets of its event; Delta R and flavour of its neighbours,
    nearest first; and for each flavour, largest number first, the sum over all neighbours

    .. math:: \sum_j \exp\left(-\Delta R_{ij}^2 / (2 r^2)\right)

    Args:
        jets: The jets.
        flavours: Flavours that are known, rising; a feature is the position among these.
        neighbours: How many neighbours, n.
        reach: Standard deviation r of the Gaussian.

    Returns:
        Shape (n_jets, 4 + 2 n + n_flavours). Of a neighbour that is not there, Delta R is 10 and
        the flavour one more than there are.

    Raises:
        DataError: A jet has another flavour.
    """
    position = flavour_index(flavours, jets)
    first_sum = OWN + 2 * neighbours
    rows = np.zeros((jets.n_jets, first_sum + len(flavours)))
    rows[:, 0] = jets.pt
    rows[:, 1] = jets.eta
    rows[:, 2] = position
    rows[:, 3] = np.repeat(jets.multiplicity, jets.multiplicity)
    rows[:, OWN:first_sum:2] = ABSENT
    rows[:, OWN + 1 : first_sum : 2] = len(flavours)
    for _, index in jets.by_multiplicity():
        distance = _distances(jets, index)
        flavour = position[index]
        rows[index, OWN:first_sum] = _nearest(distance, flavour, rows[index, OWN:first_sum])
        rows[index, first_sum:] = _crowding(distance, flavour, len(flavours), reach)
    return rows


def _nearest(distance: FloatArray, flavour: IntArray, absent: FloatArray) -> FloatArray:
    """Return Delta R and flavour of the nearest neighbours in turn.

    Args:
        distance: Delta R of each pair of jets, shape (m, n, n).
        flavour: Positions of their flavours, shape (m, n).
        absent: What stands for neighbours that are not there, shape (m, n, 2 neighbours).
    """
    features = absent.copy()
    neighbours = min(absent.shape[2] // 2, flavour.shape[1] - 1)
    nearest_first = np.argsort(distance, axis=2)
    for k in range(neighbours):
        which = nearest_first[:, :, k]
        by_rank = np.take_along_axis(distance, which[:, :, None], axis=2)
        features[:, :, 2 * k] = by_rank[:, :, 0]
        features[:, :, 2 * k + 1] = np.take_along_axis(flavour, which, axis=1)
    return features


def _crowding(distance: FloatArray, flavour: IntArray, n_flavours: int, reach: float) -> FloatArray:
    """Return the sums over neighbours, by flavour, largest number first; (m, n, n_flavours)."""
    closeness = np.exp(-((distance / reach) ** 2) / 2)
    sums = np.zeros((*flavour.shape, n_flavours))
    for k in range(n_flavours):
        is_of_flavour = flavour[:, None] == n_flavours - 1 - k
        sums[:, :, k] = (closeness * is_of_flavour).sum(axis=2)
    return sums


def _nearest_jets(jets: Jets, neighbours: int) -> IntArray:
    """Return the positions of the nearest other jets of the event, nearest first.

    Returns:
        Shape (n_jets, neighbours); -1 for a neighbour that is not there.
    """
    nearest = np.full((jets.n_jets, neighbours), -1)
    for _, index in jets.by_multiplicity():
        distance = _distances(jets, index)
        found = min(neighbours, index.shape[1] - 1)
        nearest_first = np.argsort(distance, axis=2)[:, :, :found]
        others = np.take_along_axis(index[:, None], nearest_first, axis=2)
        nearest[index, :found] = others
    return nearest


def _with_neighbours(values: FloatArray, nearest: IntArray) -> FloatArray:
    """Return a value of each jet and of its neighbours, NaN where one is not there.

    Args:
        values: The value of each jet, shape (n_jets,).
        nearest: Positions of its neighbours, -1 for none, shape (n_jets, neighbours).

    Returns:
        Shape (n_jets, 1 + neighbours).
    """
    of_neighbours = np.where(nearest >= 0, values[nearest], np.nan)
    return np.column_stack([values, of_neighbours])


def _position(values: AnyArray, known: Sequence[int], name: str) -> IntArray:
    """Return the position of each value among those of its category, shape (n_jets,).

    Raises:
        DataError: A jet has another value.
    """
    strange = ~np.isin(values, known)
    if strange.any():
        msg = (
            f"column {name!r} is {values[strange][0]} for {int(strange.sum())} jets; the trees "
            f"were fitted to the categories {', '.join(map(str, known))}"
        )
        raise DataError(msg)
    order = np.argsort(known)
    return np.asarray(order[np.searchsorted(np.asarray(known)[order], values)])


def _distances(jets: Jets, index: IntArray) -> FloatArray:
    """Return Delta R of each pair of jets of some events, infinite of a jet to itself.

    Args:
        jets: The jets.
        index: Positions of the jets of m events, shape (m, n).

    Returns:
        Shape (m, n, n).
    """
    eta = jets.eta[index]
    phi = jets.phi[index]
    distance = delta_r(eta[:, :, None], phi[:, :, None], eta[:, None], phi[:, None])
    # A jet is no neighbour of its own.
    diagonal = np.arange(index.shape[1])
    distance[:, diagonal, diagonal] = np.inf
    return distance


def _weights(jets: Jets, options: TreesOptions) -> FloatArray | None:
    """Return the weight of each jet in units of their mean, None where each counts 1.

    Raises:
        DataError: They do not sum to more than 0.
    """
    weights = weights_of(jets, options.weights)
    if weights is not None:
        check_positive_sum(float(weights.sum()), float(np.abs(weights).sum()))
    # LightGBM has limits on sums of weights, which a unit of the weights must not change.
    return None if weights is None else weights / np.abs(weights).mean()


def _parameters(options: TreesOptions, seed: Seed) -> dict[str, Any]:
    """Return what LightGBM calls its parameters."""
    return {
        "objective": "binary",
        "learning_rate": options.learning_rate,
        "num_leaves": options.num_leaves,
        "min_data_in_leaf": options.min_jets_in_leaf,
        "feature_fraction": options.feature_fraction,
        "bagging_fraction": options.bagging_fraction,
        "bagging_freq": 1,
        "seed": int(np.random.default_rng(seed_words(seed)).integers(2**31 - 1)),
        # The same trees on every machine: sums in one order, by one thread.
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }


def _lightgbm() -> Any:
    """Import LightGBM, which not everyone has."""
    try:
        return _imported()
    except ImportError as error:
        msg = (
            "estimators of kind 'trees' need LightGBM, which is not installed: "
            "pip install truthtag[trees]"
        )
        raise ConfigError(msg) from error
    except OSError as error:
        msg = (
            f"estimators of kind 'trees' need LightGBM, which cannot be loaded ({error}): install "
            "the library of OpenMP, on Debian and Ubuntu the package libgomp1"
        )
        raise ConfigError(msg) from error


def _imported() -> Any:
    try:
        import lightgbm
    except OSError:
        # Its wheels do not bring OpenMP, which a bare system lacks; PyTorch's do, and once that is
        # loaded, LightGBM finds it.
        import torch  # noqa: F401

        # isort: split
        import lightgbm
    return lightgbm


def why_no_trees() -> str:
    """Return why trees can be neither fitted nor used here; nothing where they can."""
    try:
        _lightgbm()
    except ConfigError as error:
        return str(error)
    return ""
