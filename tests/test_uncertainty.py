"""Predictions with replicas, in memory and on disk."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from conftest import make_jets
from truthtag.arrays import FloatArray
from truthtag.data.files import read_frame
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.estimators.ensemble import Ensemble
from truthtag.estimators.predictions import (
    Prediction,
    Replicated,
    predict,
    read_prediction,
    write_prediction,
    write_replicas,
)


@dataclass
class Fixed:
    """An efficiency with the numbers that it is given."""

    values: FloatArray

    def efficiency(self, jets: Jets) -> FloatArray:
        return self.values


def with_replicas(jets: Jets, count: int, width: float = 0.02, seed: int = 0) -> Prediction:
    """Return a prediction of random efficiencies in [0.3, 0.7], and replicas about them."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(0.3, 0.7, jets.n_jets)
    replicas = values + np.clip(rng.normal(0, width, (count, jets.n_jets)), -0.3, 0.3)
    return Prediction(jets.per_jet("event"), values, replicas)


def test_an_ensemble_predicts_its_members_as_replicas() -> None:
    jets = make_jets([2, 1])
    members = [Fixed(np.array(values)) for values in ([0.1, 0.5, 0.0], [0.3, 0.5, 1.0])]
    ensemble = Ensemble(members)
    assert isinstance(ensemble, Replicated)
    prediction = predict(ensemble, jets)
    assert prediction.values.tolist() == pytest.approx([0.2, 0.5, 0.5])
    assert prediction.replicas is not None
    assert prediction.replicas.tolist() == [[0.1, 0.5, 0.0], [0.3, 0.5, 1.0]]
    # Divided by K - 1.
    assert prediction.std.tolist() == pytest.approx([0.2 / math.sqrt(2), 0, 1 / math.sqrt(2)])
    assert np.isnan(predict(Ensemble(members[:1]), jets).std).all()


def test_an_efficiency_alone_has_no_replicas() -> None:
    jets = make_jets([2, 1])
    assert not isinstance(Fixed(np.zeros(3)), Replicated)
    prediction = predict(Fixed(np.array([0.0, 0.5, 1.0])), jets)
    assert prediction.replicas is None
    assert prediction.std is None


@pytest.mark.parametrize("bad", [-0.1, 1.1, np.nan])
def test_a_replica_that_is_no_probability_is_refused(bad: float) -> None:
    class Wrong(Fixed):
        def with_replicas(self, jets: Jets) -> tuple[FloatArray, FloatArray]:
            replicas = np.full((3, jets.n_jets), 0.5)
            replicas[2, 1] = bad
            return self.values, replicas

    with pytest.raises(
        DataError,
        match=rf"the efficiency of jet 1 is {bad} \(1 such jets\); it must lie in \[0, 1\]",
    ):
        predict(Wrong(np.full(3, 0.5)), make_jets([2, 1]))


def test_a_prediction_belongs_to_its_jets() -> None:
    jets, others = make_jets([2, 1]), make_jets([1, 2])
    prediction = with_replicas(jets, 2)
    assert prediction.of(jets) is prediction
    with pytest.raises(
        DataError,
        match=r"a prediction for 3 jets does not match the sample of 3 jets: their events",
    ):
        prediction.of(others)


@pytest.mark.parametrize(("count", "width"), [(1, 0.02), (2, 1e-6), (12, 1e-3), (3, 0.3)])
def test_replicas_survive_the_disk_to_one_part_in_two_thousand(
    count: int, width: float, tmp_path: Path
) -> None:
    prediction = with_replicas(make_jets([3, 1, 2] * 20), count, width)
    paths = tmp_path / "p.parquet", tmp_path / "p.replicas.parquet"
    write_prediction(prediction, paths[0], {})
    write_replicas(prediction, paths[1], {})
    again = read_prediction(*paths)
    assert np.array_equal(again.event, prediction.event)
    assert np.array_equal(again.values, prediction.values)
    assert again.replicas.shape == prediction.replicas.shape
    difference, read = (one.replicas - prediction.values for one in (prediction, again))
    # Half a step of float16, half its smallest number 2^-24, and half a step of float32 below 1,
    # three times.
    assert (np.abs(read - difference) <= np.abs(difference) / 2048 + 2.0**-25 + 3 * 2.0**-25).all()
    assert read_prediction(paths[0]).replicas is None


def test_replicas_that_are_read_are_probabilities(tmp_path: Path) -> None:
    """Rounded differences must not carry an efficiency of 0 or 1 beyond."""
    jets = make_jets([2])
    values = np.array([0.3, 0.7])
    prediction = Prediction(jets.per_jet("event"), values, np.array([[0.0, 1.0], [1.0, 0.0]]))
    write_prediction(prediction, tmp_path / "p.parquet", {})
    write_replicas(prediction, tmp_path / "r.parquet", {})
    replicas = read_prediction(tmp_path / "p.parquet", tmp_path / "r.parquet").replicas
    assert ((replicas >= 0) & (replicas <= 1)).all()
    np.testing.assert_allclose(replicas, prediction.replicas, atol=1 / 2048)


def test_files_that_do_not_hold_the_replicas_are_refused(tmp_path: Path) -> None:
    prediction, path = with_replicas(make_jets([2, 1]), 4), tmp_path / "p.parquet"
    write_prediction(prediction, path, {})
    other = tmp_path / "r.parquet"
    write_replicas(with_replicas(make_jets([2, 2]), 4), other, {})
    with pytest.raises(
        DataError,
        match=r"r\.parquet: holds replicas of 4 jets, the prediction has 3\. Predict again",
    ):
        read_prediction(path, other)
    write_replicas(prediction, other, {})
    other.write_bytes(other.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"r\.parquet: cannot be read as Parquet .* truncated"):
        read_prediction(path, other)
    with pytest.raises(
        DataError,
        match=r"p\.parquet: column 'difference_0' is missing; the file has event, efficiency",
    ):
        read_prediction(path, path)
    with pytest.raises(DataError, match=r"none\.parquet: no such file"):
        read_prediction(path, tmp_path / "none.parquet")
    with pytest.raises(
        DataError,
        match=r"r\.parquet: the prediction has no replicas to write; use an ensemble, or a map",
    ):
        write_replicas(replace(prediction, replicas=None), other, {})


def test_the_file_of_a_prediction_tells_its_spread(tmp_path: Path) -> None:
    prediction, path = with_replicas(make_jets([2, 1]), 5), tmp_path / "p.parquet"
    write_prediction(prediction, path, {})
    frame = read_frame(path)
    assert list(frame) == ["event", "efficiency", "efficiency_std"]
    assert frame["efficiency_std"].to_numpy() == pytest.approx(
        prediction.replicas.std(axis=0, ddof=1)
    )
    write_prediction(replace(prediction, replicas=None), path, {})
    assert list(read_frame(path)) == ["event", "efficiency"]
