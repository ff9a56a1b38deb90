"""Predictions: to whom they belong, small efficiencies, what is no probability, damaged files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conftest import make_jets
from truthtag.arrays import FloatArray
from truthtag.data.files import read_metadata, write_frame
from truthtag.data.jets import Jets, read_jets, write_jets
from truthtag.errors import DataError
from truthtag.estimators.ensemble import Ensemble
from truthtag.estimators.prediction_files import read_prediction, write_prediction, write_replicas
from truthtag.estimators.predictions import Prediction, predict, replica_std
from truthtag.estimators.sample_blocks import SampleBlocks


@dataclass
class Fixed:
    """An efficiency with given values."""

    values: Any

    def efficiency(self, jets: Jets) -> FloatArray:
        return self.values


def ensemble(size: int, seed: int = 0, scale: float = 1.0, width: float = 0.05) -> Ensemble:
    """Members whose values scatter by a relative width."""
    rng = np.random.default_rng(seed)
    values = scale * rng.uniform(0.3, 0.7, size)
    members = values * (1 + width * rng.normal(size=(20, size)))
    return Ensemble([Fixed(np.clip(member, 0, 1)) for member in members])


def written(prediction: Prediction, folder: Path, name: str = "p") -> tuple[Path, Path]:
    paths = folder / f"{name}.parquet", folder / f"{name}.replicas.parquet"
    write_prediction(prediction, paths[0], {"seed": 1})
    write_replicas(prediction, paths[1], {"seed": 1})
    return paths


# ---- small efficiencies


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-5, 1e-7, 1e-9])
@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_the_relative_spread_survives_the_disk(scale: float, kind: Any, tmp_path: Path) -> None:
    jets = make_jets([2, 3] * 20)
    members = ensemble(jets.n_jets, scale=scale).members
    prediction = predict(Ensemble([Fixed(one.values.astype(kind)) for one in members]), jets)
    again = read_prediction(*written(prediction, tmp_path))
    assert prediction.std.min() > 0
    np.testing.assert_allclose(again.std, prediction.std, rtol=1e-4)
    np.testing.assert_array_equal(again.values, prediction.values)


def test_a_replica_far_above_a_tiny_efficiency_survives_the_disk(tmp_path: Path) -> None:
    jets = make_jets([2])
    prediction = Prediction(
        jets.per_jet("event"), np.array([0.0, 1e-9]), np.array([[0.0, 0.5], [1.0, 2e-9]])
    )
    again = read_prediction(*written(prediction, tmp_path))
    np.testing.assert_allclose(again.replicas, prediction.replicas, rtol=1e-6)


def test_the_standard_deviation_by_hand() -> None:
    assert replica_std(np.array([[0.1, 0.5], [0.3, 0.5]])).tolist() == pytest.approx(
        [0.2 / np.sqrt(2), 0]
    )
    assert np.isnan(replica_std(np.array([[0.1, 0.5]]))).all()


# ---- to whom a prediction belongs


def test_a_prediction_knows_its_jets(tmp_path: Path) -> None:
    jets = make_jets([2, 1])
    prediction = predict(Fixed(np.array([0.1, 0.2, 0.3])), jets)
    assert prediction.aligned_to(jets) is prediction
    path = tmp_path / "p.parquet"
    write_prediction(prediction, path, {"seed": 1})
    assert read_metadata(path)["jets_digest"] == jets.digest()
    assert read_metadata(path)["seed"] == 1
    again = read_prediction(path)
    # Jets that went through a file are the same jets, and tags or weights do not count.
    write_jets([jets], tmp_path / "jets.parquet")
    stored = read_jets(tmp_path / "jets.parquet")
    assert again.efficiency(stored).tolist() == [0.1, 0.2, 0.3]
    other_tags = jets.with_columns(is_tagged=~jets.is_tagged, weight=2 * jets.weight)
    assert again.efficiency(other_tags).tolist() == [0.1, 0.2, 0.3]


@pytest.mark.parametrize("column", ["pt", "eta", "phi", "mass", "flavour"])
def test_other_jets_with_the_same_event_numbers_are_refused(column: str, tmp_path: Path) -> None:
    jets = make_jets([2, 1])
    path = tmp_path / "p.parquet"
    write_prediction(predict(Fixed(np.full(3, 0.5)), jets), path, {})
    changed = getattr(jets, column).copy()
    changed[2] = 2 if changed[2] == 1 else 1
    others = jets.with_columns(**{column: changed})
    with pytest.raises(
        DataError, match=r"a prediction for other jets with the same event numbers: .*Predict again"
    ):
        read_prediction(path).aligned_to(others)
    write_jets([others], tmp_path / "jets.parquet")
    with pytest.raises(DataError, match=r"p\.parquet: a prediction for other jets with the same"):
        list(SampleBlocks(tmp_path / "jets.parquet", {"map": path}))


def test_replicas_of_another_network_are_refused(tmp_path: Path) -> None:
    jets = make_jets([2, 1])
    first = written(predict(ensemble(3, seed=1), jets), tmp_path, "first")
    second = written(predict(ensemble(3, seed=2), jets), tmp_path, "second")
    with pytest.raises(
        DataError,
        match=r"second\.replicas\.parquet: holds replicas of another network, .*first\.parquet",
    ):
        read_prediction(first[0], second[1])


def test_replicas_that_do_not_say_to_what_they_belong_are_refused(tmp_path: Path) -> None:
    paths = written(predict(ensemble(3), make_jets([2, 1])), tmp_path)
    write_frame(pd.read_parquet(paths[1]), paths[1], {})
    with pytest.raises(DataError, match="holds replicas of another network, map or sample"):
        read_prediction(*paths)


def test_a_prediction_of_another_program_is_compared_by_its_events(tmp_path: Path) -> None:
    jets = make_jets([2, 1])
    path = tmp_path / "p.parquet"
    pd.DataFrame({"event": jets.per_jet("event"), "efficiency": 0.5}).to_parquet(path)
    assert read_prediction(path).efficiency(jets).tolist() == [0.5] * 3
    with pytest.raises(DataError, match="their events differ"):
        read_prediction(path).efficiency(make_jets([1, 2]))


# ---- what is no probability


@pytest.mark.parametrize("bad", [-0.1, 1.5, np.nan, np.inf])
def test_values_that_are_no_probabilities_are_refused_where_they_are_made(bad: float) -> None:
    jets = make_jets([2, 1])
    values = np.array([0.5, bad, 0.5])
    message = rf"the efficiency of jet 1 is {bad} \(1 such jets\); it must lie in \[0, 1\]"
    with pytest.raises(DataError, match=message):
        predict(Fixed(values), jets)
    around = Ensemble([Fixed(np.full(3, 0.5)), Fixed(values)], Fixed(np.full(3, 0.5)))
    with pytest.raises(DataError, match=f"replica 1: {message}"):
        predict(around, jets)


@pytest.mark.parametrize("bad", [-0.1, 1.5, np.nan])
def test_values_that_are_no_probabilities_are_refused_in_files(bad: float, tmp_path: Path) -> None:
    jets = make_jets([2, 1])
    path = tmp_path / "p.parquet"
    values = np.array([0.5, bad, 0.5])
    frame = pd.DataFrame({"event": jets.per_jet("event"), "efficiency": values})
    write_frame(frame, path, {})
    message = "is empty in row 1" if np.isnan(bad) else rf"of jet 1 is {bad} .* is in event 0"
    with pytest.raises(DataError, match=rf"p\.parquet: .*{message}"):
        read_prediction(path)
    prediction = Prediction(jets.per_jet("event"), values)
    with pytest.raises(DataError, match=rf"p\.parquet: the efficiency of jet 1 is {bad}"):
        write_prediction(prediction, path, {})
    fine = Prediction(jets.per_jet("event"), np.full(3, 0.5), np.array([[0.5, 0.5, 0.5], values]))
    with pytest.raises(
        DataError, match=rf"p\.parquet: replica 1: the efficiency of jet 1 is {bad}"
    ):
        write_replicas(fine, path, {})


def test_replicas_that_are_not_finite_are_refused_in_files(tmp_path: Path) -> None:
    paths = written(predict(ensemble(3), make_jets([2, 1])), tmp_path)
    frame = pd.read_parquet(paths[1])
    frame.loc[2, "difference_4"] = np.inf
    write_frame(frame, paths[1], read_metadata(paths[1]))
    with pytest.raises(
        DataError, match=r"replicas\.parquet: replica 4 is inf for jet 2 \(event 1\)"
    ):
        read_prediction(*paths)


def test_values_that_were_changed_by_hand_are_noticed(tmp_path: Path) -> None:
    paths = written(predict(ensemble(3), make_jets([2, 1])), tmp_path)
    frame = pd.read_parquet(paths[0])
    frame.loc[2, "efficiency"] = 0.9
    write_frame(frame, paths[0], read_metadata(paths[0]))
    with pytest.raises(DataError, match=r"p\.parquet: is damaged, or was changed by hand"):
        read_prediction(paths[0])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"efficiency": ["a", "b", "c"]}, r"the efficiencies are \S+ values; they must lie in"),
        ({"event": [0.0, 0.0, 1.0]}, r"column 'event' is float64; event numbers are integers"),
        ({"event": [0, None, 1]}, r"column 'event' is empty in row 1"),
    ],
)
def test_columns_of_another_type_are_refused(
    columns: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "p.parquet"
    frame = pd.DataFrame({"event": [0, 0, 1], "efficiency": [0.5] * 3} | columns)
    frame.to_parquet(path)
    with pytest.raises(DataError, match=rf"p\.parquet: {message}"):
        read_prediction(path)


# ---- arrays of another shape, masked entries


def test_masked_entries_are_refused() -> None:
    jets = make_jets([2, 1])
    event = jets.per_jet("event")
    masked = np.ma.array([0.5, 0.9, 0.5], mask=[0, 1, 0])
    with pytest.raises(DataError, match=r"the efficiency: 1 of its entries are masked"):
        predict(Fixed(masked), jets)
    with pytest.raises(DataError, match=r"the efficiency: 1 of its entries are masked"):
        Prediction(event, masked)
    replicas = np.ma.array(np.full((2, 3), 0.5), mask=[[0, 0, 0], [0, 1, 0]])
    with pytest.raises(DataError, match=r"replicas of a prediction: 1 of its entries are masked"):
        Prediction(event, np.full(3, 0.5), replicas)
    with pytest.raises(DataError, match=r"the efficiency: holds complex numbers"):
        predict(Fixed(np.full(3, 0.5 + 0j)), jets)


@pytest.mark.parametrize("shape", [(2,), (4,), (3, 1), ()])
def test_one_value_per_jet_is_needed(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"the efficiency has shape .* one value per jet, \(3,\)"):
        predict(Fixed(np.full(shape, 0.5)), make_jets([2, 1]))


@pytest.mark.parametrize("shape", [(3,), (2, 4), (0, 3), (1, 2, 3)])
def test_replicas_have_a_row_each(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        DataError, match=r"they must have a row for each replica, \(n_replicas, 3\)"
    ):
        Prediction(np.arange(3), np.full(3, 0.5), np.full(shape, 0.5))


def test_a_changed_prediction_has_another_digest() -> None:
    jets = make_jets([2, 1])
    prediction = predict(Fixed(np.full(3, 0.5)), jets)
    assert prediction.digest() == predict(Fixed(np.full(3, 0.5)), jets).digest()
    for change in (
        {"values": np.array([0.5, 0.5, 0.6])},
        {"event": np.array([0, 0, 2])},
        {"jets_digest": "other"},
    ):
        assert replace(prediction, **change).digest() != prediction.digest()


def test_a_flipped_bit_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    prediction = predict(ensemble(150), make_jets([3] * 50))
    paths = written(prediction, tmp_path)
    rng = np.random.default_rng(5)
    noticed = 0
    for path in paths:
        whole = path.read_bytes()
        for place in rng.integers(0, len(whole), 60):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(bytes(damaged))
            try:
                again = read_prediction(*paths)
            except DataError:
                noticed += 1
            else:
                np.testing.assert_array_equal(again.values, prediction.values)
                np.testing.assert_allclose(again.replicas, prediction.replicas, atol=1e-7)
        path.write_bytes(whole)
    # Nobody reads the column of standard deviations here.
    assert noticed > 90
