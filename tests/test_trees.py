"""Boosted trees: features by hand, repeatable fits, better than bins, LightGBM that is missing."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from estimator_kinds import b_jets, class_of, fit, options_of

from conftest import make_jets
from truthtag.data.files import write_frame
from truthtag.data.jets import Jets
from truthtag.data.labels import Labels
from truthtag.data.neighbours import nearest_jet
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.trees import BoostedTrees, neighbour_features, why_no_trees
from truthtag.statistics.accuracy import excess_loss


def test_features_by_hand() -> None:
    jets = b_jets(
        [3, 1], pt=[90.0, 80.0, 70.0, 60.0], eta=[0.0, 0.3, -0.4, 1.0], flavour=[5, 4, 0, 5]
    )
    rows = neighbour_features(jets, (0, 4, 5), 2, 0.5)
    # Own, then Delta R and flavour of two neighbours, then the sums for b, c and light neighbours.
    first = [90, 0, 2, 3, 0.3, 1, 0.4, 0, 0, np.exp(-0.18), np.exp(-0.32)]
    np.testing.assert_allclose(rows[0], first, rtol=1e-6)
    np.testing.assert_allclose(rows[2, 4:8], [0.4, 2, 0.7, 1], rtol=1e-6)
    # Without neighbours: far away, of a flavour that is none, and nothing to sum.
    assert rows[3].tolist() == [60, 1, 2, 1, 10, 3, 10, 3, 0, 0, 0]


def test_features_of_no_neighbours() -> None:
    assert neighbour_features(make_jets([2, 1]), (0, 4, 5), 0, 0.6).shape == (3, 7)


# ---- further columns

LABELS = Labels(categories={"process": (-2, 0, 7)})


def with_further(jets: Jets, seed: int = 8) -> Jets:
    rng = np.random.default_rng(seed)
    further = {
        "width": rng.random(jets.n_jets),
        "process": rng.choice([-2, 0, 7], jets.n_jets),
    }
    return jets.with_columns(further=further, labels=LABELS)


def test_further_features_by_hand() -> None:
    jets = b_jets(
        [3, 1], pt=[90.0, 80.0, 70.0, 60.0], eta=[0.0, 0.3, -0.4, 1.0], flavour=[5, 4, 0, 5]
    )
    further = {"width": np.array([0.5, 0.25, 0.75, 1.0]), "process": np.array([7, -2, 0, 7])}
    jets = jets.with_columns(further=further, labels=LABELS)
    empty = BoostedTrees("", (0, 4, 5), 2, True, 0.5, ("width", "process"), LABELS.categories)
    plain = neighbour_features(jets, (0, 4, 5), 2, 0.5)
    rows = empty.features(jets)
    assert np.array_equal(rows[:, : plain.shape[1]], plain)
    # Own, then of two neighbours, nearest first; categories by position.
    none = np.nan
    expected = [
        [0.5, 0.25, 0.75, 2, 0, 1],
        [0.25, 0.5, 0.75, 0, 2, 1],
        [0.75, 0.5, 0.25, 1, 2, 0],
        [1.0, none, none, 2, none, none],
    ]
    np.testing.assert_array_equal(rows[:, plain.shape[1] :], expected)
    assert empty.categorical_features == [2, 5, 7, 14, 15, 16]
    bare = BoostedTrees("", (0, 4, 5), 2, False, 0.5, ("width", "process"), LABELS.categories)
    assert np.array_equal(bare.features(jets), np.delete(rows, [8, 9, 10], axis=1), equal_nan=True)
    assert bare.categorical_features == [2, 5, 7, 11, 12, 13]


@pytest.mark.parametrize("name", ["width", "process"])
@pytest.mark.parametrize("of_nearest", [False, True])
def test_trees_see_further_columns_of_jets_and_of_their_neighbours(
    name: str, of_nearest: bool, few: Jets
) -> None:
    jets = with_further(few)
    values = jets.further[name]
    if of_nearest:
        nearest, _ = nearest_jet(jets)
        values = np.where(nearest >= 0, values[nearest], values.min())
    # Of the categories -2, 0, 7, only the one in the middle: they have no order.
    tags = values == 0 if name == "process" else values > 0.5
    eff = fit("trees", jets.with_columns(is_tagged=tags), min_jets_in_leaf=20).efficiency(jets)
    assert eff[tags].mean() > 0.9
    assert eff[~tags].mean() < 0.1


def test_further_columns_are_stored_and_asked_for(few: Jets, tmp_path: Path) -> None:
    jets = with_further(few)
    fitted = fit("trees", jets)
    assert fitted.describe().endswith("5 nearest jets, sums over neighbours, width, process")
    fitted.save(tmp_path / "trees.parquet", {})
    again = BoostedTrees.load(tmp_path / "trees.parquet")
    assert again.settings == fitted.settings
    assert again.settings["categories"] == {"process": [-2, 0, 7]}
    assert np.array_equal(again.efficiency(jets), fitted.efficiency(jets))
    with pytest.raises(
        DataError, match="the trees were fitted to a column 'width', which the jets"
    ):
        again.efficiency(few)
    strange = jets.with_columns(
        further={**jets.further, "process": np.full(few.n_jets, 3)}, labels=Labels()
    )
    message = rf"column 'process' is 3 for {few.n_jets} jets; .* to the categories -2, 0, 7"
    with pytest.raises(DataError, match=message):
        again.efficiency(strange)


def test_a_validation_sample_without_a_column_is_refused(few: Jets) -> None:
    with pytest.raises(DataError, match="fitted to a column 'width', which the jets do not have"):
        class_of("trees").fit(with_further(few), few, options_of("trees"), (1,))


def test_a_fit_repeats_and_another_seed_gives_other_trees(few: Jets) -> None:
    kind, options = class_of("trees"), options_of("trees")
    first, again, other = (kind.fit(few, few, options, seed) for seed in ((1,), (1,), (2,)))
    assert first.model == again.model
    assert first.model != other.model
    assert np.array_equal(first.efficiency(few), again.efficiency(few))


def test_trees_come_closer_to_the_truth_than_bins(sample: Jets) -> None:
    train, validation = sample.take(slice(0, 15_000)), sample.take(slice(15_000, None))
    options = options_of("trees", rounds=300, min_jets_in_leaf=100)
    fitted = class_of("trees").fit(train, validation, options, (1, "trees"))
    regret = [
        excess_loss(validation.efficiency_true, one.efficiency(validation)).mean()
        for one in (fitted, fit("binned", train))
    ]
    assert regret[0] < 0.5 * regret[1]


def test_the_fit_stops_by_the_validation_sample(few: Jets, sample: Jets) -> None:
    options = options_of("trees", rounds=2000, patience=5)
    fitted = class_of("trees").fit(few, sample.take(slice(300, 2000)), options, (1,))
    count = int(fitted.describe().split()[0])
    assert 1 <= count < 2000
    assert fitted.model.count("\nTree=") == count


def test_samples_without_jets_are_refused(few: Jets) -> None:
    none = few.take(slice(0, 0))
    with pytest.raises(DataError, match="the training sample has no jets; trees need some"):
        class_of("trees").fit(none, few, options_of("trees"), (1,))
    with pytest.raises(DataError, match="the validation sample has no jets; trees need some"):
        class_of("trees").fit(few, none, options_of("trees"), (1,))
    assert fit("trees", few).efficiency(none).shape == (0,)


def test_without_lightgbm_the_error_says_how_to_install_it(
    few: Jets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(ConfigError, match=r"need LightGBM.*pip install truthtag\[trees\]"):
        BoostedTrees.fit(few, few, options_of("trees"), (1,))


def test_without_openmp_the_error_says_what_to_install(
    few: Jets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a system that has nothing but Python."""
    reason = "libgomp.so.1: cannot open shared object file"

    def import_module(name: str, *others: Any) -> Any:
        if name == "lightgbm":
            raise OSError(reason)
        return real_import(name, *others)

    real_import = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", import_module)
    with pytest.raises(ConfigError, match=rf"cannot be loaded \({reason}\): .*libgomp1"):
        BoostedTrees.fit(few, few, options_of("trees"), (1,))
    assert reason in why_no_trees()


def test_a_damaged_table_is_refused(few: Jets, tmp_path: Path) -> None:
    fitted = fit("trees", few)
    metadata = {"estimator": {"kind": "trees", "settings": fitted.settings}}
    path = tmp_path / "trees.parquet"
    write_frame(fitted.to_frame().iloc[:0], path, metadata)
    with pytest.raises(DataError, match=r"trees\.parquet: .*\(it has 0 rows; it must have one"):
        BoostedTrees.load(path)
    write_frame(fitted.to_frame().assign(model="no trees"), path, metadata)
    with pytest.raises(DataError, match=r"trees\.parquet: .*the trees cannot be read"):
        BoostedTrees.load(path)
