"""Flavours that labels state: empty bins, refusals at use, replicas where flavours are rare."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from estimator_kinds import OPTIONS, SEED, b_jets, class_of, fit, options_of

from conftest import make_jets
from truthtag.data.jets import Jets
from truthtag.data.labels import Labels
from truthtag.data.training_blocks import EventChoice
from truthtag.errors import DataError
from truthtag.estimators.bins import flavours_of, unlearned_flavours
from truthtag.estimators.ensemble import Ensemble, load
from truthtag.estimators.predictions import predict
from truthtag.estimators.resampling import draw_events, fit_replicas
from truthtag.estimators.table_file import save_replicas

every_kind = pytest.mark.parametrize("kind", OPTIONS)
LABELS = Labels(flavours=(0, 4, 5, 15))


def labelled(jets: Jets, labels: Labels = LABELS) -> Jets:
    return jets.with_columns(labels=labels)


def with_one_tau(jets: Jets, place: int = 3) -> Jets:
    return jets.with_columns(flavour=np.where(np.arange(jets.n_jets) == place, 15, jets.flavour))


def test_flavours_are_those_of_the_labels_or_those_that_occur(few: Jets) -> None:
    assert flavours_of(few) == (0, 4, 5)
    assert flavours_of(labelled(few)) == (0, 4, 5, 15)
    assert unlearned_flavours(few) == ()
    assert unlearned_flavours(labelled(few)) == (15,)


@every_kind
def test_a_flavour_without_jets_has_an_efficiency_of_a_half(
    kind: str, few: Jets, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    jets = labelled(few)
    with caplog.at_level(logging.WARNING, "truthtag"):
        fitted = fit(kind, jets)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("no jet of the training sample has flavour 15: nothing is")
    fitted.save(tmp_path / "map.parquet", {})
    tolerance = {"parametric": 0.02, "trees": 0.3}.get(kind, 0)
    for one in (fitted, load(tmp_path / "map.parquet")):
        # The other flavours are as they would be without.
        np.testing.assert_allclose(
            one.efficiency(few), fit(kind, few).efficiency(few), atol=tolerance
        )
        # Of what nothing is known, anything is possible.
        strange = with_one_tau(few)
        (tau,) = np.flatnonzero(strange.flavour == 15)
        assert one.efficiency(strange)[tau] == pytest.approx(0.5, abs=0.5 * (kind == "nearest_jet"))
        unknown = few.with_columns(flavour=np.full(few.n_jets, 7))
        with pytest.raises(DataError, match=r"the flavours \[0, 4, 5, 15\], a jet has 7"):
            one.efficiency(unknown)


def test_the_file_keeps_the_empty_bins(few: Jets) -> None:
    frame = fit("binned", labelled(few)).to_frame()
    of_tau = frame[frame["flavour"] == 15]
    assert len(of_tau) == 190
    assert (of_tau["total"] == 0).all()
    assert (of_tau["low"] == 0).all()
    assert (of_tau["high"] == 1).all()
    assert of_tau["efficiency"].notna().all()


@every_kind
def test_labels_that_state_what_occurs_change_nothing(kind: str, few: Jets, tmp_path: Path) -> None:
    stated = labelled(few, Labels(flavours=(0, 4, 5)))
    fit(kind, few).save(tmp_path / "plain.parquet", {})
    fit(kind, stated).save(tmp_path / "stated.parquet", {})
    files = [(tmp_path / f"{name}.parquet").read_bytes() for name in ("plain", "stated")]
    assert files[0] == files[1]


def test_validation_jets_of_a_flavour_without_training_jets(few: Jets, sample: Jets) -> None:
    """Trees learn nothing of it, and it has no say in when to stop."""
    validation = labelled(with_one_tau(sample.take(slice(300, 600))))
    fitted = class_of("trees").fit(labelled(few), validation, options_of("trees"), SEED)
    assert fitted.unlearned == (15,)
    assert fitted.efficiency(few).shape == (few.n_jets,)


# ---- replicas


@every_kind
def test_a_rare_flavour_is_in_every_replica(kind: str, few: Jets, tmp_path: Path) -> None:
    jets = labelled(with_one_tau(few))
    options = options_of(kind)
    replicas = fit_replicas(class_of(kind), jets, jets, options, 4, SEED)
    save_replicas(replicas, tmp_path / "replicas.parquet", {})
    fit(kind, jets).save(tmp_path / "nominal.parquet", {})
    ensemble = load(tmp_path)
    assert isinstance(ensemble, Ensemble)
    assert predict(ensemble, jets).replicas.shape == (4, jets.n_jets)


def test_many_rare_flavours_are_no_reason_to_give_up() -> None:
    """Thirty flavours of one jet each, which no draw with replacement ever has."""
    labels = Labels(flavours=tuple(range(32)))
    jets = make_jets([1] * 30, flavour=np.arange(30), labels=labels)
    drawn = draw_events(jets, np.random.default_rng(1))
    assert set(drawn.flavour.tolist()) == set(range(30))
    counts = np.bincount(np.random.default_rng(1).integers(0, 30, 30), minlength=30)
    # Those that were drawn are there as often, the others once.
    assert np.bincount(drawn.flavour).tolist() == np.maximum(counts, 1).tolist()
    assert len(np.unique(drawn.event)) == drawn.n_events
    predict(Ensemble(fit_replicas_of(jets), fit("binned", jets)), jets)


def fit_replicas_of(jets: Jets, **changes: Any) -> list[Any]:
    options = options_of("binned")
    return fit_replicas(class_of("binned"), jets, jets, options, 3, SEED, **changes)


def test_one_event_brings_all_its_flavours() -> None:
    labels = Labels(flavours=(0, 4, 5, 15))
    jets = make_jets([1] * 60 + [2], flavour=np.r_[np.full(60, 5), 15, 4], labels=labels)
    for seed in range(20):
        drawn = draw_events(jets, np.random.default_rng(seed))
        assert {4, 5, 15} == set(drawn.flavour.tolist())
        assert drawn.n_events in (61, 62)


def test_a_draw_that_lost_nothing_is_as_ever(few: Jets) -> None:
    drawn = draw_events(labelled(few), np.random.default_rng(3))
    plain = draw_events(few, np.random.default_rng(3))
    assert drawn.digest() == plain.digest()


def test_every_fold_of_a_draw_has_the_flavours_of_the_fold() -> None:
    """A replica of a fold learns from a part of the draw, which may lose what the whole has."""
    jets = make_jets([1] * 90, flavour=np.r_[15, 15, np.full(88, 5)], labels=LABELS)
    jets = jets.with_columns(event_number=np.arange(90))
    part = EventChoice(lambda some: some.event_number % 2 == 1, "there is none")
    # Of the two, only event 1 is in the part.
    nominal = fit("binned", part.of(jets))
    replicas = fit_replicas_of(jets, part=part)
    assert nominal.total.sum(axis=(1, 2)).tolist() == [0, 0, 44, 1]
    for one in replicas:
        assert one.total[3].sum() >= 1
    predict(Ensemble(replicas, nominal), jets)


def test_at_several_points_the_warning_comes_once(
    few: Jets, caplog: pytest.LogCaptureFixture
) -> None:
    labels = Labels(flavours=(0, 4, 5, 15), points=("loose", "tight"))
    rng = np.random.default_rng(1)
    jets = few.with_columns(
        is_tagged=None,
        tag_bin=rng.integers(0, 3, few.n_jets),
        efficiency_true=None,
        labels=labels,
    )
    with caplog.at_level(logging.WARNING, "truthtag"):
        fitted = fit("nearest_jet", jets)
    assert len(caplog.messages) == 1
    strange = with_one_tau(few)
    (tau,) = np.flatnonzero(strange.flavour == 15)
    assert ((fitted.efficiency(strange)[tau] > 0) & (fitted.efficiency(strange)[tau] <= 1)).all()


def test_a_flavour_alone(few: Jets) -> None:
    """A sample of one flavour, of which the labels know four."""
    jets = labelled(b_jets([1, 1, 1], is_tagged=[True, False, True]))
    for kind in ("binned", "smoothed", "nearest_jet", "parametric"):
        fitted = fit(kind, jets)
        assert fitted.efficiency(jets) == pytest.approx([2 / 3] * 3, abs=1e-3)
