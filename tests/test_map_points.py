"""Several working points: one fit for each, in order, in one file, with replicas."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from estimator_kinds import OPTIONS, SEED, b_jets, class_of, fit, options_of

from truthtag.data.files import read_metadata, write_frame
from truthtag.data.jets import Jets
from truthtag.data.labels import Labels
from truthtag.errors import DataError
from truthtag.estimators.binned import BinnedMap
from truthtag.estimators.ensemble import Ensemble, load, write_manifest
from truthtag.estimators.protocol import Efficiency, Replicated
from truthtag.estimators.resampling import fit_replicas
from truthtag.estimators.table_file import (
    PointwiseEstimator,
    load_replicas,
    save_replicas,
)

every_kind = pytest.mark.parametrize("kind", OPTIONS)
POINTS = ("loose", "medium", "tight")
LABELS = Labels(flavours=(0, 4, 5), points=POINTS)
ONE_BIN: dict[str, Any] = {"pt": [20.0, 100.0], "eta": [-1.0, 1.0]}


def with_points(jets: Jets, seed: int = 6, labels: Labels = LABELS) -> Jets:
    """Give jets as many working points: those that pass one pass the next in half of the cases."""
    rng = np.random.default_rng(seed)
    tighter = rng.geometric(0.5, jets.n_jets)
    tag_bin = np.where(jets.is_tagged, np.minimum(tighter, labels.n_points), 0)
    return jets.with_columns(is_tagged=None, tag_bin=tag_bin, efficiency_true=None, labels=labels)


@pytest.fixture(scope="module")
def jets(sample: Jets) -> Jets:
    """The first 300 events of the sample, at three working points."""
    return with_points(sample.first(300))


@pytest.fixture(scope="module")
def fitted(jets: Jets) -> dict[str, PointwiseEstimator]:
    return {kind: fit(kind, jets) for kind in OPTIONS}


def test_counts_by_hand() -> None:
    jets = b_jets([1] * 4, is_tagged=[True, True, True, False])
    labels = Labels(points=("loose", "tight"))
    jets = jets.with_columns(
        is_tagged=None, tag_bin=np.array([1, 2, 1, 0]), efficiency_true=None, labels=labels
    )
    fitted = fit("binned", jets, **ONE_BIN)
    assert isinstance(fitted, PointwiseEstimator)
    assert isinstance(fitted, Efficiency)
    assert not isinstance(fitted, Replicated)
    assert fitted.efficiency(jets).tolist() == [[0.75, 0.25]] * 4
    frame = fitted.to_frame()
    assert frame["point"].tolist() == ["loose", "tight"]
    assert frame["tagged"].tolist() == [3, 1]
    assert frame["total"].tolist() == [4, 4]
    assert frame["tagged"].dtype == np.int64
    assert fitted.at_point("tight").efficiency(jets).tolist() == [0.25] * 4
    assert fitted.describe() == (
        "2 working points (loose: 1 bins, 0 of them empty; tight: 1 bins, 0 of them empty)"
    )
    with pytest.raises(DataError, match="no working point 'tigth'; there are loose, tight"):
        fitted.at_point("tigth")


@every_kind
def test_each_point_is_the_fit_to_its_tags(
    kind: str, jets: Jets, fitted: dict[str, PointwiseEstimator]
) -> None:
    one = fitted[kind]
    assert one.points == POINTS
    eff = one.efficiency(jets)
    assert eff.shape == (jets.n_jets, 3)
    apart = [fit(kind, jets.at_point(point)) for point in POINTS]
    values = np.stack([single.efficiency(jets) for single in apart], axis=1)
    assert np.array_equal(eff, np.minimum.accumulate(values, axis=1))
    for point, single in zip(POINTS, apart, strict=True):
        assert type(one.at_point(point)) is class_of(kind)
        assert one.at_point(point).to_frame().equals(single.to_frame())


@every_kind
def test_a_tighter_point_has_no_higher_efficiency(
    kind: str, jets: Jets, fitted: dict[str, PointwiseEstimator]
) -> None:
    eff = fitted[kind].efficiency(jets)
    assert (np.diff(eff, axis=1) <= 0).all()
    assert ((eff >= 0) & (eff <= 1)).all()
    passes = jets.passes().mean(axis=0)
    np.testing.assert_allclose(eff.mean(axis=0), passes, atol=0.05)


@pytest.mark.parametrize("kind", ["binned", "smoothed"])
def test_counts_are_in_order_by_themselves(
    kind: str, jets: Jets, fitted: dict[str, PointwiseEstimator]
) -> None:
    one = fitted[kind]
    assert one.lowered == 0
    assert one.notes == {}
    apart = np.stack([member.efficiency(jets) for member in one.members], axis=1)
    assert np.array_equal(one.efficiency(jets), apart)
    frame = one.to_frame()
    members = pd.concat([member.to_frame() for member in one.members], ignore_index=True)
    assert frame.drop(columns="point").equals(members)


def test_negative_weights_that_break_the_order_are_counted(tmp_path: Path) -> None:
    jets = b_jets([1] * 4, pt=[50, 50, 50, 150])
    labels = Labels(points=("loose", "tight"))
    jets = jets.with_columns(
        is_tagged=None,
        # The jet of weight -1 passes the looser point only.
        tag_bin=np.array([2, 1, 0, 1]),
        weight=np.array([2.0, -1.0, 3.0, 1.0]),
        efficiency_true=None,
        labels=labels,
    )
    fitted = fit("binned", jets, pt=[20.0, 100.0, 200.0], eta=[-1.0, 1.0], weights="use")
    assert fitted.at_point("loose").values.ravel().tolist() == [0.25, 1.0]
    assert fitted.at_point("tight").values.ravel().tolist() == [0.5, 0.0]
    assert fitted.efficiency(jets).tolist() == [[0.25, 0.25]] * 3 + [[1.0, 0.0]]
    assert fitted.lowered == 1
    assert fitted.describe().endswith("; 1 lowered to that of a looser point)")
    fitted.save(tmp_path / "map.parquet", {})
    assert read_metadata(tmp_path / "map.parquet")["notes"] == {"lowered": 1}
    # What is read in the file is what holds.
    frame = pd.read_parquet(tmp_path / "map.parquet")
    assert frame["efficiency"].tolist() == [0.25, 1.0, 0.25, 0.0]
    assert (frame["low"] <= frame["efficiency"]).all()
    assert (frame["efficiency"] <= frame["high"]).all()
    assert frame["tagged"].tolist() == [1.0, 1.0, 2.0, 0.0]
    assert np.array_equal(load(tmp_path / "map.parquet").efficiency(jets), fitted.efficiency(jets))


# ---- files


@every_kind
def test_write_and_read_is_the_identity(
    kind: str, jets: Jets, fitted: dict[str, PointwiseEstimator], tmp_path: Path
) -> None:
    one, path = fitted[kind], tmp_path / "map.parquet"
    one.save(path, {"seed": [1]})
    again = load(path)
    assert type(again) is PointwiseEstimator
    assert again.to_frame().equals(one.to_frame())
    assert (again.settings, again.points) == (one.settings, one.points)
    assert np.array_equal(again.efficiency(jets), one.efficiency(jets))
    stored = read_metadata(path)["estimator"]
    assert stored == {
        "kind": kind,
        "settings": one.members[0].settings,
        "points": list(POINTS),
    }
    frame = pd.read_parquet(path)
    assert frame.columns[0] == "point"
    assert set(frame["point"]) == set(POINTS)
    with pytest.raises(DataError, match=r"for the working points loose, medium, tight, not for on"):
        class_of(kind).load(path)


@every_kind
def test_one_point_with_a_name_is_stored_as_ever(kind: str, jets: Jets, tmp_path: Path) -> None:
    plain = jets.at_point("loose")
    named = plain.with_columns(labels=Labels(flavours=(0, 4, 5), points=("only",)))
    fit(kind, plain).save(tmp_path / "plain.parquet", {})
    fit(kind, named).save(tmp_path / "named.parquet", {})
    files = [(tmp_path / f"{name}.parquet").read_bytes() for name in ("plain", "named")]
    assert files[0] == files[1]


@every_kind
def test_replicas_of_several_points(
    kind: str, jets: Jets, fitted: dict[str, PointwiseEstimator], tmp_path: Path
) -> None:
    replicas = fit_replicas(class_of(kind), jets, jets, options_of(kind), 2, SEED)
    save_replicas(replicas, tmp_path / "replicas.parquet", {})
    for before, after in zip(replicas, load_replicas(tmp_path / "replicas.parquet"), strict=True):
        assert after.to_frame().equals(before.to_frame())
        assert np.array_equal(after.efficiency(jets), before.efficiency(jets))
    fitted[kind].save(tmp_path / "nominal.parquet", {})
    ensemble = load(tmp_path)
    assert isinstance(ensemble, Ensemble)
    nominal, by_replica = ensemble.with_replicas(jets)
    assert nominal.shape == (jets.n_jets, 3)
    assert by_replica.shape == (2, jets.n_jets, 3)
    assert np.array_equal(nominal, fitted[kind].efficiency(jets))
    assert (np.diff(by_replica, axis=2) <= 0).all()
    # One resample for all points: the loosest is the replica that it would be alone.
    loose = jets.at_point()
    (alone,) = fit_replicas(class_of(kind), loose, loose, options_of(kind), 1, SEED)
    assert np.array_equal(by_replica[0, :, 0], alone.efficiency(jets))


def test_members_of_several_points_average(jets: Jets, tmp_path: Path) -> None:
    """A mean of ordered efficiencies is ordered."""
    paths = []
    for number in range(2):
        part = jets.take(slice(150 * number, 150 * (number + 1)))
        paths.append(tmp_path / f"part_{number}.parquet")
        fit("binned", part).save(paths[-1], {})
    write_manifest(paths, tmp_path / "ensemble.json")
    mean, by_member = load(tmp_path).with_replicas(jets)
    assert mean.shape == (jets.n_jets, 3)
    assert np.array_equal(mean, by_member.mean(axis=0))
    assert (np.diff(mean, axis=1) <= 0).all()


def test_members_of_other_points_are_refused(jets: Jets, tmp_path: Path) -> None:
    fit("binned", jets).save(tmp_path / "three.parquet", {})
    renamed = jets.with_columns(labels=Labels((0, 4, 5), ("a", "b", "c")))
    fit("binned", renamed).save(tmp_path / "other.parquet", {})
    fit("binned", jets.at_point()).save(tmp_path / "one.parquet", {})
    paths = [tmp_path / f"{name}.parquet" for name in ("three", "other", "one")]
    with pytest.raises(DataError, match=r"three\.parquet and .*other\.parquet .* differ in points"):
        Ensemble.load(paths[:2])
    with pytest.raises(DataError, match=r"three\.parquet and .*one\.parquet .* differ in kind"):
        Ensemble.load(paths[::2])
    with pytest.raises(DataError, match="replicas 0 and 1 differ"):
        both = [load(path) for path in paths[::2]]
        save_replicas(both, tmp_path / "r.parquet", {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: f[f["point"] != "tight"],
            r"its rows are those of the working points \['loose', 'medium'\], not of",
        ),
        (
            lambda f: f.assign(point="loose"),
            r"its rows are those of the working points \['loose'\]",
        ),
        (lambda f: f.iloc[1:], r"its 569 rows are not the 570 bins that its edges make"),
        (lambda f: f.drop(columns="point"), r"column 'point' is missing"),
        (lambda f: f.drop(columns="tagged"), r"column 'tagged' is missing"),
    ],
)
def test_damaged_tables_are_refused(
    change: Any,
    message: str,
    fitted: dict[str, PointwiseEstimator],
    tmp_path: Path,
) -> None:
    path = tmp_path / "map.parquet"
    metadata = {"estimator": fitted["binned"].stored}
    write_frame(change(fitted["binned"].to_frame()), path, metadata)
    with pytest.raises(DataError, match=rf"map\.parquet: .*{message}"):
        load(path)


# ---- what does not fit together


def test_points_and_members_belong_together(fitted: dict[str, PointwiseEstimator]) -> None:
    one, *others = fitted["binned"].members
    with pytest.raises(DataError, match=r"2 estimators for the working points \['a', 'b', 'c'\]"):
        PointwiseEstimator(("a", "b", "c"), (one, *others[:1]))
    with pytest.raises(DataError, match=r"1 estimators for the working points \['a'\]; one for ea"):
        PointwiseEstimator(("a",), (one,))
    other = fitted["smoothed"].members[0]
    with pytest.raises(DataError, match="the estimators of the working points a and b differ"):
        PointwiseEstimator(("a", "b"), (one, other))


def test_the_validation_sample_has_the_same_points(jets: Jets) -> None:
    kind, options = class_of("binned"), options_of("binned")
    message = "has the working points loose, medium, tight, the validation sample has {}; make both"
    with pytest.raises(DataError, match=message.format("none with a name")):
        kind.fit(jets, jets.at_point("tight"), options, SEED)
    other = with_points(jets.at_point("loose"), labels=Labels((0, 4, 5), ("tight", "loose")))
    with pytest.raises(DataError, match=message.format("tight, loose")):
        kind.fit(jets, other, options, SEED)


@every_kind
def test_untagged_jets_at_several_points_are_refused(kind: str, jets: Jets) -> None:
    with pytest.raises(DataError, match="no column 'is_tagged': a map is fitted to tags"):
        fit(kind, jets.with_columns(tag_bin=None))


def test_a_count_of_several_points_at_once_is_refused(jets: Jets) -> None:
    with pytest.raises(
        DataError, match="working points loose, medium, tight; a map is fitted to o"
    ):
        BinnedMap.resampled([jets], options_of("binned"))


def test_kinds_of_other_packages_need_not_know_of_points(jets: Jets) -> None:
    """Whatever derives from the base sees one point at a time."""
    from truthtag.estimators.table_file import TableEstimator

    class Fraction(TableEstimator):
        columns = ("value",)

        def __init__(self, value: float) -> None:
            self.value = value

        @classmethod
        def fit(cls, train: Jets, validation: Jets, options: Any, seed: Any) -> Any:
            return cls(float(train.is_tagged.mean()))

        def efficiency(self, jets: Jets) -> Any:
            return np.full(jets.n_jets, self.value)

        def describe(self) -> str:
            return f"{self.value:.2f}"

        def to_frame(self) -> pd.DataFrame:
            return pd.DataFrame({"value": [self.value]})

        @property
        def settings(self) -> dict[str, Any]:
            return {}

        @property
        def stored(self) -> dict[str, Any]:
            return {}

        @classmethod
        def from_frame(cls, frame: pd.DataFrame, **settings: Any) -> Any:
            return cls(frame["value"].iloc[0])

    fitted = Fraction.fit(jets, jets, None, seed=(1,))
    expected = jets.passes().mean(axis=0)
    assert fitted.efficiency(jets)[0].tolist() == expected.tolist()
    assert re.match(r"3 working points \(loose: 0\.\d\d; medium", fitted.describe())


def test_a_point_that_nothing_passes_is_warned_of(
    few: Jets, caplog: pytest.LogCaptureFixture
) -> None:
    jets = with_points(few)
    bare = jets.with_columns(tag_bin=np.minimum(jets.tag_bin, 2))
    with caplog.at_level(logging.WARNING, "truthtag"):
        fitted = fit("binned", bare)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"none of the {few.n_jets} jets are tagged")
    assert (fitted.efficiency(few)[:, 2] == 0).all()
