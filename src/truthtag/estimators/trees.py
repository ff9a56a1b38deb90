"""Boosted trees on neighbour features made by hand: what a practitioner would try first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field

from truthtag.arrays import FloatArray, IntArray
from truthtag.data.jets import Jets
from truthtag.data.kinematics import delta_r
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.bins import flavour_index, flavours_of, tags_of, training_tags
from truthtag.estimators.protocol import ResampledOptions
from truthtag.estimators.table_file import TableEstimator
from truthtag.options import Real, Whole
from truthtag.seeds import Seed, seed_words

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BoostedTrees", "TreesOptions", "neighbour_features"]

OWN = 4
"""Features of a jet alone: pT, eta, flavour, number of jets of its event."""

ABSENT = 10.0
"""Delta R of a neighbour that is not there: further away than any is."""

Fraction = Annotated[Real, Field(gt=0, le=1)]


class TreesOptions(ResampledOptions):
    """Boosted trees on neighbour features; needs LightGBM (`pip install truthtag[trees]`)."""

    kind: str = "trees"
    """Kind of estimator, `trees`."""

    neighbours: Annotated[Whole, Field(ge=0)] = 5
    """Nearest jets of the event whose Delta R and flavour the trees see."""

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

    Fits are deterministic: one thread, and a seed. Each replica is fitted with a seed of its own.

    Source: Ke et al., LightGBM, Advances in Neural Information Processing Systems 30 (2017).

    Args:
        model: The trees, as LightGBM writes them.
        flavours: Flavours of the training sample, rising.
        neighbours: Nearest jets that the trees see.
        crowding: Whether they see sums over neighbours.
        reach: Standard deviation of the Gaussian of these sums.
    """

    model: str
    flavours: tuple[int, ...]
    neighbours: int
    crowding: bool
    reach: float
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
            ConfigError: LightGBM is not installed.
            DataError: A sample has no tags or no jets, or the validation sample has a flavour that
                the training sample lacks.
        """
        lightgbm = _lightgbm()
        for name, jets in (("training", train), ("validation", validation)):
            if not jets.n_jets:
                msg = f"the {name} sample has no jets; trees need some. Give it a sample with jets."
                raise DataError(msg)
        empty = cls("", flavours_of(train), options.neighbours, options.crowding, options.reach)
        flavour_columns = [2, *range(OWN + 1, OWN + 2 * options.neighbours, 2)]
        data = lightgbm.Dataset(
            empty.features(train), training_tags(train), categorical_feature=flavour_columns
        )
        check = lightgbm.Dataset(empty.features(validation), tags_of(validation), reference=data)
        booster = lightgbm.train(
            _parameters(options, seed),
            data,
            num_boost_round=options.rounds,
            valid_sets=[check],
            callbacks=[lightgbm.early_stopping(options.patience, verbose=False)],
        )
        text = booster.model_to_string(num_iteration=booster.best_iteration)
        return cls(text, empty.flavours, empty.neighbours, empty.crowding, empty.reach)

    def features(self, jets: Jets) -> FloatArray:
        """Return what the trees see of each jet, a row per jet.

        Raises:
            DataError: A jet has a flavour that the trees do not know.
        """
        rows = neighbour_features(jets, self.flavours, self.neighbours, self.reach)
        return rows if self.crowding else rows[:, : OWN + 2 * self.neighbours]

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the efficiency of each jet, shape (n_jets,).

        Raises:
            ConfigError: LightGBM is not installed.
            DataError: A jet has a flavour that the trees do not know.
        """
        rows = self.features(jets)
        if not len(rows):
            return np.zeros(0)
        return np.asarray(self._booster.predict(rows, num_threads=1))

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
        return f"{count} trees on {self.neighbours} nearest jets{sums}"

    def to_frame(self) -> pd.DataFrame:
        """Return a table of one row: the text of the model."""
        import pandas as pd

        return pd.DataFrame({"model": [self.model]})

    @property
    def settings(self) -> dict[str, Any]:
        """What the features are made of."""
        return {
            "flavours": list(self.flavours),
            "neighbours": self.neighbours,
            "crowding": self.crowding,
            "reach": self.reach,
        }

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, **settings: Any) -> Self:
        """Rebuild the trees from their table and settings.

        Raises:
            DataError: The table does not hold the text of one model.
        """
        if len(frame) != 1 or not isinstance(frame["model"].iloc[0], str):
            msg = f"it has {len(frame)} rows; it must have one, the text of a model"
            raise DataError(msg)
        flavours = tuple(int(flavour) for flavour in settings["flavours"])
        found = cls(
            frame["model"].iloc[0],
            flavours,
            settings["neighbours"],
            settings["crowding"],
            settings["reach"],
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
        eta = jets.eta[index]
        phi = jets.phi[index]
        distance = delta_r(eta[:, :, None], phi[:, :, None], eta[:, None], phi[:, None])
        # A jet is no neighbour of its own.
        diagonal = np.arange(index.shape[1])
        distance[:, diagonal, diagonal] = np.inf
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
        import lightgbm
    except ImportError as error:
        msg = (
            "estimators of kind 'trees' need LightGBM, which is not installed: "
            "pip install truthtag[trees]"
        )
        raise ConfigError(msg) from error
    return lightgbm
