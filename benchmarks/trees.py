"""What a practitioner would try instead: boosted trees on neighbour features made by hand."""

from __future__ import annotations

import lightgbm
import numpy as np

from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.data.kinematics import delta_r

NEIGHBOURS = 5
REACH = 0.6
CATEGORIES = [2, *range(5, 5 + 2 * NEIGHBOURS, 2)]
OPTIONS = {
    "objective": "binary",
    "learning_rate": 0.03,
    "num_leaves": 8,
    "min_data_in_leaf": 500,
    "feature_fraction": 0.8,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "seed": 1,
    "num_threads": 2,
    "verbosity": -1,
}


def hand_made(jets: Jets) -> FloatArray:
    """Return features of each jet.

    Its own; how many jets there are; Delta R and flavour of its neighbours, nearest first; and for each flavour the sum
    over neighbours of a Gaussian in Delta R, a guess at what crowding does.

    Returns:
        Shape (n_jets, 4 + 2 * NEIGHBOURS + 3); Delta R and flavour are 10 where there is no such neighbour.
    """
    rows = np.full((jets.n_jets, 4 + 2 * NEIGHBOURS + 3), 10.0)
    own = (jets.pt, jets.eta, jets.flavour, np.repeat(jets.multiplicity, jets.multiplicity))
    rows[:, :4] = np.stack(own, axis=1)
    for _, index in jets.by_multiplicity():
        n = index.shape[1]
        eta, phi, flavour = jets.eta[index], jets.phi[index], jets.flavour[index]
        distance = delta_r(eta[:, :, None], phi[:, :, None], eta[:, None], phi[:, None])
        distance[:, np.arange(n), np.arange(n)] = np.inf
        order = np.argsort(distance, axis=2)[:, :, : min(NEIGHBOURS, n - 1)]
        for k in range(order.shape[2]):
            which = order[:, :, k : k + 1]
            rows[index, 4 + 2 * k] = np.take_along_axis(distance, which, axis=2)[..., 0]
            rows[index, 5 + 2 * k] = np.take_along_axis(flavour, which[..., 0], axis=1)
        for k, number in enumerate((5, 4, 0)):
            near = np.exp(-((distance / REACH) ** 2) / 2) * (flavour[:, None] == number)
            rows[index, 4 + 2 * NEIGHBOURS + k] = near.sum(axis=2)
    return rows


def boosted_trees(train: Jets, validation: Jets, test: Jets, crowding: bool) -> FloatArray:
    """Fit boosted trees to the tags, stop by the validation loss, and return efficiencies of the test jets.

    Args:
        train: Tagged jets.
        validation: Tagged jets that stop the fit.
        test: Jets whose efficiencies are returned.
        crowding: Whether the trees see the sums over neighbours, whose form is nearly that of this toy's truth.
    """
    seen = slice(None) if crowding else slice(0, -3)
    data = lightgbm.Dataset(
        hand_made(train)[:, seen], train.is_tagged, categorical_feature=CATEGORIES
    )
    check = lightgbm.Dataset(hand_made(validation)[:, seen], validation.is_tagged, reference=data)
    stop = lightgbm.early_stopping(50, verbose=False)
    model = lightgbm.train(
        OPTIONS, data, num_boost_round=2000, valid_sets=[check], callbacks=[stop]
    )
    return np.asarray(model.predict(hand_made(test)[:, seen], num_threads=2))
