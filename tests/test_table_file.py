"""Estimators of other packages: one file with one class is a kind that everything can use."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from estimator_kinds import OPTIONS, fit

from conftest import make_jets
from truthtag.data.files import read_metadata, write_frame
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.binned import BinnedMap
from truthtag.estimators.ensemble import Ensemble, load
from truthtag.estimators.predictions import predict
from truthtag.estimators.protocol import Efficiency, kind_and_options
from truthtag.estimators.resampling import fit_replicas
from truthtag.estimators.smoothed import SmoothedMap
from truthtag.estimators.table_file import kind_name, load_replicas, save_replicas

OUTSIDE_PACKAGE = '''
"""A kind of estimator in a package that truthtag does not know."""

import numpy as np
import pandas as pd

from truthtag.estimators.protocol import ResampledOptions
from truthtag.estimators.table_file import TableEstimator


class FractionOptions(ResampledOptions):
    """The tagged fraction."""

    scale: float = 1.0
    """What it is multiplied with."""


class Fraction(TableEstimator):
    """The tagged fraction of the sample, for every jet."""

    options_type = FractionOptions

    def __init__(self, value, scale):
        self.value, self.scale = value, scale

    @classmethod
    def fit(cls, train, validation, options, seed):
        return cls(float(train.is_tagged.mean()), options.scale)

    def efficiency(self, jets):
        return np.full(jets.n_jets, self.value * self.scale)

    def describe(self):
        return f"{self.value:.3f}"

    def to_frame(self):
        return pd.DataFrame({"value": [self.value]})

    @property
    def settings(self):
        return {"scale": self.scale}

    @classmethod
    def from_frame(cls, frame, scale):
        return cls(float(frame["value"].iloc[0]), scale)
'''
KIND = "truthtag_outside_package:Fraction"


@pytest.fixture
def outside_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module on the path of Python, as an installed package would be."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "truthtag_outside_package.py").write_text(OUTSIDE_PACKAGE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "truthtag_outside_package", raising=False)
    import truthtag_outside_package

    return truthtag_outside_package


def test_a_kind_of_another_package_is_fitted_stored_and_read(
    outside_package: ModuleType, few: Jets, tmp_path: Path
) -> None:
    kind, options = kind_and_options({"kind": KIND, "scale": 0.5}, "estimators.mine")
    assert kind is outside_package.Fraction
    assert options.replicas == 20
    nominal = kind.fit(few, few, options, (1,))
    replicas = fit_replicas(kind, few, few, options, 3, (1, "mine"))
    nominal.save(tmp_path / "nominal.parquet", {"seed": [1]})
    save_replicas(replicas, tmp_path / "replicas.parquet", {})
    assert read_metadata(tmp_path / "nominal.parquet") == {
        "seed": [1],
        "estimator": {"kind": KIND, "settings": {"scale": 0.5}},
    }
    one = load(tmp_path / "nominal.parquet")
    assert type(one) is kind
    assert (one.value, one.scale) == (nominal.value, 0.5)
    both = load(tmp_path)
    assert isinstance(both, Ensemble)
    prediction = predict(both, few)
    expected = 0.5 * few.is_tagged.mean()
    assert prediction.values.tolist() == [expected] * few.n_jets
    assert prediction.replicas[:, 0].tolist() == [0.5 * one.value for one in replicas]
    assert isinstance(both, Efficiency)


def test_options_of_a_kind_of_another_package_are_checked(outside_package: ModuleType) -> None:
    with pytest.raises(ConfigError, match=r"estimators\.mine\.scael: Extra inputs"):
        kind_and_options({"kind": KIND, "scael": 0.5}, "estimators.mine")


def test_without_the_package_the_error_names_it(
    outside_package: ModuleType, few: Jets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.parquet"
    outside_package.Fraction(0.5, 1.0).save(path, {})
    monkeypatch.setitem(sys.modules, "truthtag_outside_package", None)
    with pytest.raises(ConfigError, match=r"mine\.parquet: kind: .* cannot be loaded .*Install"):
        load(path)


def test_what_its_table_lacks_is_an_error_of_the_file(
    outside_package: ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / "mine.parquet"
    one = outside_package.Fraction(0.5, 1.0)
    metadata = {"estimator": {"kind": KIND, "settings": one.settings}}
    write_frame(one.to_frame().rename(columns={"value": "valeu"}), path, metadata)
    with pytest.raises(DataError, match=rf"mine\.parquet: cannot be read .* kind '{KIND}'"):
        load(path)
    write_frame(one.to_frame(), path, {"estimator": {"kind": KIND, "settings": {"scael": 1}}})
    with pytest.raises(DataError, match=r"mine\.parquet: cannot be read as an estimator"):
        load(path)


def test_a_class_that_nobody_can_import_is_refused(tmp_path: Path) -> None:
    class Hidden(BinnedMap):
        pass

    with pytest.raises(ConfigError, match="cannot be"):
        kind_name(Hidden)


def test_kinds_of_truthtag_go_by_their_names() -> None:
    assert kind_name(BinnedMap) == "binned"
    assert kind_name(SmoothedMap) == "smoothed"


def test_the_file_of_another_kind_is_refused(few: Jets, tmp_path: Path) -> None:
    fit("smoothed", few).save(tmp_path / "map.parquet", {})
    with pytest.raises(
        DataError,
        match=r"holds an estimator of kind 'smoothed', not of 'binned'; use truthtag\.load",
    ):
        BinnedMap.load(tmp_path / "map.parquet")


def test_a_kind_that_is_no_table_is_refused(few: Jets, tmp_path: Path) -> None:
    path = tmp_path / "map.parquet"
    metadata = {"estimator": {"kind": "json:loads", "settings": {}}}
    write_frame(fit("binned", few).to_frame(), path, metadata)
    with pytest.raises(DataError, match=r"its kind 'json:loads' is not stored as a table"):
        load(path)


# ---- replicas in one file


def test_replicas_of_one_file_are_alike(few: Jets, tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    with pytest.raises(DataError, match=r"r\.parquet: there are no replicas to write"):
        save_replicas([], path, {})
    binned, strict = fit("binned", few), fit("binned", few, outside="error")
    with pytest.raises(DataError, match=r"r\.parquet: replicas 0 and 1 differ: .*clamp.*error"):
        save_replicas([binned, strict], path, {})
    with pytest.raises(DataError, match=r"replicas 0 and 2 differ: .*binned.*smoothed"):
        save_replicas([binned, binned, fit("smoothed", few)], path, {})


def test_a_replica_that_is_missing_is_noticed(few: Jets, tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    save_replicas([fit("parametric", few)] * 3, path, {})
    metadata = read_metadata(path)
    frame = fit("parametric", few).to_frame()
    parts = [frame.assign(replica=number) for number in (0, 2)]
    import pandas as pd

    write_frame(pd.concat(parts), path, metadata)
    with pytest.raises(
        DataError, match=r"r\.parquet: its replicas are numbered \[0, 2\], not from"
    ):
        load_replicas(path)


# ---- bootstrap samples


def test_a_sample_whose_flavours_are_always_lost_ends_with_an_error() -> None:
    """Thirty flavours of one jet each: a bootstrap sample with all of them is never drawn."""
    jets = make_jets([1] * 30, flavour=np.arange(30))
    with pytest.raises(
        DataError,
        match=r"1000 times, 30 events drawn with replacement lost one of the 30 flavours; .* 1 j",
    ):
        replicas_of(jets)


def test_a_sample_without_events_has_no_replicas(few: Jets) -> None:
    with pytest.raises(DataError, match="no events; there is nothing to draw replicas from"):
        replicas_of(few.take(slice(0, 0)))


def replicas_of(jets: Jets) -> list[Any]:
    kind, options = kind_and_options(OPTIONS["binned"], "estimators.mine")
    return fit_replicas(kind, jets, jets, options, 1, (1,))
