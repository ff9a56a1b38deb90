"""Options of every kind of estimator that a table holds, for tests; and jets made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conftest import make_jets
from truthtag.data.jets import Jets
from truthtag.estimators.protocol import kind_and_options
from truthtag.estimators.trees import why_no_trees

NO_TREES = why_no_trees()
"""Why tests of trees are skipped here, if they are."""

AXES: dict[str, Any] = {
    "pt": {"bins": 19, "low": 20.0, "high": 600.0},
    "eta": {"bins": 10, "low": -2.5, "high": 2.5},
}
WAYS: dict[str, Any] = {"outside": "clamp", "coverage": 0.68}
# The weights of the jets that tests make are drawn at random; numbers by hand count each jet once.
COUNTED: dict[str, Any] = {"weights": "ignore"}
OPTIONS: dict[str, dict[str, Any]] = {
    "binned": {"kind": "binned", **AXES, **WAYS, **COUNTED},
    "smoothed": {
        "kind": "smoothed",
        **AXES,
        "smoothing": {"pt": 30.0, "eta": 0.2},
        "outside": "clamp",
        **COUNTED,
    },
    "nearest_jet": {
        "kind": "nearest_jet",
        **AXES,
        "delta_r": {"bins": 15, "low": 0.0, "high": 3.0},
        **WAYS,
        **COUNTED,
    },
    "parametric": {"kind": "parametric", **COUNTED},
    "additive": {"kind": "additive", **COUNTED},
    "trees": {
        "kind": "trees",
        "rounds": 60,
        "learning_rate": 0.1,
        "min_jets_in_leaf": 5,
        "crowding": True,
        **COUNTED,
    },
}
SEED = (1, "replicas")


def options_of(kind: str, /, **changes: Any) -> Any:
    """Return the options object of a kind, some options changed."""
    return kind_and_options({**OPTIONS[kind], **changes}, "estimators.mine")[1]


def class_of(kind: str) -> Any:
    """Return the class of a kind; a test of one that cannot be used here is skipped."""
    if kind == "trees" and NO_TREES:
        pytest.skip(NO_TREES)
    return kind_and_options(OPTIONS[kind], "estimators.mine")[0]


def fit(kind: str, jets: Jets, /, **changes: Any) -> Any:
    """Fit a kind to jets, which are the validation sample, too."""
    return class_of(kind).fit(jets, jets, options_of(kind, **changes), SEED)


def b_jets(multiplicities: list[int], **columns: list[Any]) -> Jets:
    """Make b jets; pT, eta and phi that are not given are 50 GeV, 0 and 0."""
    size = sum(multiplicities)
    given = {name: np.array(values) for name, values in columns.items()}
    fixed = {
        "pt": np.full(size, 50.0),
        "eta": np.zeros(size),
        "phi": np.zeros(size),
        "flavour": np.full(size, 5),
    }
    return make_jets(multiplicities, **(fixed | given))
