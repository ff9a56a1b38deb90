"""Axes of maps: absolute pseudorapidity, further columns; a map of each slice, on disk, options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from estimator_kinds import AXES, OPTIONS, SEED, b_jets, class_of, fit, options_of

from conftest import make_jets
from truthtag.data.files import write_frame
from truthtag.data.jets import Jets
from truthtag.data.labels import Labels
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.bins import Bins
from truthtag.estimators.ensemble import load
from truthtag.estimators.protocol import kind_and_options
from truthtag.estimators.resampling import fit_replicas
from truthtag.estimators.table_file import load_replicas, save_replicas

kinds_in_bins = pytest.mark.parametrize("kind", ["binned", "smoothed", "nearest_jet"])
ABS_ETA: dict[str, Any] = {"abs_eta": True, "eta": {"bins": 5, "low": 0.0, "high": 2.5}}
TRACKS = [0.0, 3.0, 6.0, 10.0]


def with_tracks(jets: Jets, seed: int = 4) -> Jets:
    """Give each jet a number of tracks, 0 to 9, and a width."""
    rng = np.random.default_rng(seed)
    tracks = rng.integers(0, 10, jets.n_jets)
    return jets.with_columns(further={"n_tracks": tracks, "width": rng.random(jets.n_jets)})


def slices(jets: Jets) -> list[Jets]:
    """The jets of each bin of tracks; events without any stay, empty."""
    bins = np.digitize(jets.further["n_tracks"], TRACKS[1:-1])
    return [only(jets, bins == number) for number in range(len(TRACKS) - 1)]


def only(jets: Jets, kept: np.ndarray) -> Jets:
    """Drop all other jets."""
    counts = np.bincount(jets.event_of_jet[kept], minlength=jets.n_events)
    columns = {name: getattr(jets, name)[kept] for name in jets.jet_columns}
    return jets.with_columns(
        **columns,
        offsets=np.r_[0, np.cumsum(counts)],
        further={name: values[kept] for name, values in jets.further.items()},
    )


# ---- further axes


def test_three_axes_by_hand() -> None:
    jets = b_jets([1] * 6, is_tagged=[True, False, True, True, False, False])
    jets = jets.with_columns(further={"n_tracks": np.array([1, 2, 3, 3, 9, 40])})
    axes = {"pt": [20.0, 100.0, 200.0], "eta": [-1.0, 1.0], "axes": {"n_tracks": TRACKS}}
    fitted = fit("binned", jets, **axes)
    assert fitted.total.shape == (1, 2, 1, 3)
    assert fitted.total.ravel().tolist() == [2, 2, 2, 0, 0, 0]
    assert fitted.tagged.ravel().tolist() == [1, 2, 0, 0, 0, 0]
    # The other pT bin is empty, and takes the efficiency of the flavour.
    assert fitted.values.ravel().tolist() == [0.5, 1.0, 0.0, 0.5, 0.5, 0.5]
    tried = b_jets([1] * 3).with_columns(further={"n_tracks": np.array([-5, 4, 9])})
    assert fitted.efficiency(tried).tolist() == [0.5, 1.0, 0.0]
    frame = fitted.to_frame()
    assert frame["n_tracks_low"].tolist() == [0, 3, 6] * 2
    assert frame["n_tracks_high"].tolist() == [3, 6, 10] * 2


def test_an_empty_bin_takes_the_efficiency_of_its_pt_over_all_other_axes() -> None:
    jets = b_jets(
        [1] * 5, pt=[50, 50, 50, 150, 150], eta=[-0.5, -0.5, 0.5, 0.5, 0.5],
        is_tagged=[True, False, True, False, False],
    ).with_columns(further={"n_tracks": np.array([0, 0, 4, 4, 4])})  # fmt: skip
    axes = {"pt": [20.0, 100.0, 200.0], "eta": [-1.0, 0.0, 1.0], "axes": {"n_tracks": [0, 3, 6]}}
    values = fit("binned", jets, **axes).values[0]
    assert values[0].tolist() == [[0.5, pytest.approx(2 / 3)], [pytest.approx(2 / 3), 1.0]]
    assert values[1].tolist() == [[0.0, 0.0], [0.0, 0.0]]


@kinds_in_bins
@pytest.mark.parametrize("weights", ["ignore", "use"])
def test_each_slice_has_a_map_of_its_own(kind: str, weights: str, sample: Jets) -> None:
    jets = with_tracks(sample.first(3000))
    rng = np.random.default_rng(2)
    jets = jets.with_columns(weight=rng.uniform(0.5, 2.0, jets.n_events))
    coarse = {"pt": {"bins": 3, "low": 20.0, "high": 600.0}, "weights": weights}
    fitted = fit(kind, jets, **coarse, axes={"n_tracks": TRACKS})
    parts = slices(jets)
    table = fitted.base if kind == "nearest_jet" else fitted
    base = "binned" if kind == "nearest_jet" else kind
    options = {key: value for key, value in options_of(kind).model_dump().items() if key in AXES}
    del options["pt"]
    for number, part in enumerate(parts):
        own = fit(base, part, **options, **coarse)
        assert np.allclose(table.tagged[..., number], own.tagged)
        assert np.allclose(table.total[..., number], own.total)
        known = own.total > 0
        np.testing.assert_allclose(table.values[..., number][known], own.values[known])
        if kind == "nearest_jet":
            continue
        # Away from bins that take another value, where they are empty.
        full = own.total[own.bins.index(part)] > 0
        eff = own.efficiency(part)
        if kind == "binned":
            np.testing.assert_allclose(fitted.efficiency(part)[full], eff[full])


def test_two_further_axes_and_none_in_a_bin_of_everything(few: Jets) -> None:
    jets = with_tracks(few)
    wide = {"n_tracks": [0.0, np.inf], "width": [0.0, 1.0]}
    for kind in ("binned", "smoothed", "nearest_jet"):
        fitted = fit(kind, jets, axes=wide)
        assert np.array_equal(fitted.efficiency(jets), fit(kind, few).efficiency(few)), kind


def test_counts_are_summed_over_an_axis_that_is_left_out(few: Jets) -> None:
    jets = with_tracks(few)
    fine = fit("binned", jets, axes={"width": [0.0, 0.3, 1.0], "n_tracks": TRACKS})
    assert fine.total.shape == (3, 19, 10, 2, 3)
    assert np.array_equal(fine.total.sum(axis=(3, 4)), fit("binned", few).total)
    assert np.array_equal(fine.tagged.sum(axis=(3, 4)), fit("binned", few).tagged)


def test_mass_and_phi_may_be_axes(few: Jets) -> None:
    fitted = fit("binned", few, axes={"phi": [-3.2, 0.0, 3.2], "mass": [0.0, 10.0, np.inf]})
    _, _, _, phi, mass = fitted.bins.index(few)
    assert np.array_equal(phi, (few.phi >= 0).astype(int))
    assert np.array_equal(mass, (few.mass >= 10).astype(int))


@kinds_in_bins
def test_jets_outside_a_further_axis(kind: str, few: Jets) -> None:
    jets = with_tracks(few)
    beyond = jets.with_columns(further={"n_tracks": np.full(jets.n_jets, 99)})
    inside = jets.with_columns(further={"n_tracks": np.full(jets.n_jets, 9)})
    clamped = fit(kind, jets, axes={"n_tracks": TRACKS})
    assert np.array_equal(clamped.efficiency(beyond), clamped.efficiency(inside))
    strict = fit(kind, jets, axes={"n_tracks": TRACKS}, outside="error")
    with pytest.raises(DataError, match=r"outside the map's n_tracks axis \[0.0, 10.0\], the fir"):
        strict.efficiency(beyond)


@kinds_in_bins
def test_a_column_that_is_missing_is_named(kind: str, few: Jets) -> None:
    jets = with_tracks(few)
    message = (
        r"the map has an axis of 'n_tracks', which the jets do not have \(further columns: none\)"
    )
    with pytest.raises(DataError, match=message):
        fit(kind, jets, axes={"n_tracks": TRACKS}).efficiency(few)
    with pytest.raises(DataError, match=r"an axis of 'tracks', .* \(further columns: n_tracks, w"):
        fit(kind, jets, axes={"tracks": TRACKS})


def test_categories_may_be_an_axis(few: Jets) -> None:
    labels = Labels(categories={"process": (0, 1, 7)})
    process = np.arange(few.n_jets) % 3
    jets = few.with_columns(further={"process": np.array([0, 1, 7])[process]}, labels=labels)
    fitted = fit("binned", jets, axes={"process": [0, 1, 2, 8]})
    assert np.array_equal(fitted.total.sum(axis=(0, 1, 2)), np.bincount(process))


# ---- absolute values of eta


def mirrored(jets: Jets) -> Jets:
    return jets.with_columns(eta=-jets.eta)


@kinds_in_bins
def test_the_sign_of_eta_does_not_matter(kind: str, few: Jets) -> None:
    fitted = fit(kind, few, **ABS_ETA)
    assert np.array_equal(fitted.efficiency(mirrored(few)), fitted.efficiency(few))
    again = fit(kind, mirrored(few), **ABS_ETA)
    np.testing.assert_allclose(again.efficiency(few), fitted.efficiency(few), rtol=1e-12)


@kinds_in_bins
def test_absolute_values_fold_the_bins_of_both_sides(kind: str, few: Jets) -> None:
    """As many bins per side: the map of all jets and their mirror images together."""
    folded = fit(kind, few, **ABS_ETA)
    both = few.take(np.r_[np.arange(few.n_events), np.arange(few.n_events)])
    sign = np.where(both.event_of_jet < few.n_events, 1, -1)
    both = both.with_columns(eta=sign * both.eta)
    plain = fit(kind, both)
    # An eta of exactly 0 is in one of the two bins.
    np.testing.assert_allclose(folded.efficiency(few), plain.efficiency(few), rtol=1e-9)
    table = folded.base if kind == "nearest_jet" else folded
    whole = plain.base if kind == "nearest_jet" else plain
    assert np.array_equal(2 * table.total, whole.total[:, :, 5:] + whole.total[:, :, 4::-1])


def test_absolute_values_by_hand() -> None:
    jets = b_jets([1] * 3, eta=[-0.5, 0.5, -1.5], is_tagged=[True, False, True])
    fitted = fit("binned", jets, pt=[20.0, 100.0], eta=[0.0, 1.0, 2.0], abs_eta=True)
    assert fitted.total.ravel().tolist() == [2, 1]
    assert fitted.values.ravel().tolist() == [0.5, 1.0]
    assert fitted.to_frame().columns[3:5].tolist() == ["abs_eta_low", "abs_eta_high"]
    with pytest.raises(DataError, match=r"the map's abs_eta axis \[0.0, 2.0\], the first at 2.5"):
        fit(
            "binned", jets, pt=[20.0, 100.0], eta=[0.0, 1.0, 2.0], abs_eta=True, outside="error"
        ).efficiency(b_jets([1], eta=[-2.5]))


# ---- on disk


@kinds_in_bins
@pytest.mark.parametrize("weights", ["ignore", "use"])
def test_write_and_read_is_the_identity(kind: str, weights: str, few: Jets, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    jets = with_tracks(few).with_columns(weight=rng.normal(1, 0.5, few.n_events))
    changes = {**ABS_ETA, "axes": {"width": [0.0, 0.5, 1.0], "n_tracks": TRACKS}}
    fitted = fit(kind, jets, **changes, weights=weights)
    fitted.save(tmp_path / "map.parquet", {})
    again = load(tmp_path / "map.parquet")
    assert again.to_frame().equals(fitted.to_frame())
    assert again.settings == fitted.settings
    assert again.settings["axes"] == ["width", "n_tracks"]
    assert np.array_equal(again.efficiency(jets), fitted.efficiency(jets))
    columns = fitted.columns_of(fitted.settings)
    assert fitted.to_frame().columns[: len(columns)].tolist() == list(columns)
    options = options_of(kind, **changes, weights=weights)
    replicas = fit_replicas(class_of(kind), jets, jets, options, 2, SEED)
    save_replicas(replicas, tmp_path / "replicas.parquet", {})
    for before, after in zip(replicas, load_replicas(tmp_path / "replicas.parquet"), strict=True):
        assert np.array_equal(after.efficiency(jets), before.efficiency(jets))


def test_rows_in_another_order_are_the_same_map(few: Jets, tmp_path: Path) -> None:
    jets = with_tracks(few)
    fitted = fit("binned", jets, axes={"n_tracks": TRACKS})
    metadata = {"estimator": {"kind": "binned", "settings": fitted.settings}}
    frame = fitted.to_frame()
    write_frame(frame.sample(frac=1.0, random_state=1), tmp_path / "map.parquet", metadata)
    assert load(tmp_path / "map.parquet").to_frame().equals(frame)
    write_frame(frame.drop(columns="n_tracks_high"), tmp_path / "map.parquet", metadata)
    with pytest.raises(DataError, match=r"map\.parquet: column 'n_tracks_high' is missing"):
        load(tmp_path / "map.parquet")
    write_frame(frame.iloc[1:], tmp_path / "map.parquet", metadata)
    with pytest.raises(DataError, match=r"its 1709 rows are not the 1710 bins that its edges make"):
        load(tmp_path / "map.parquet")


# ---- options


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"abs_eta": True}, r"estimators\.mine: abs_eta is true, and the axis of eta begins at -2"),
        (
            {"axes": {"pt": [0, 1]}},
            r"mine\.axes: 'pt' cannot be a further axis; name a further col",
        ),
        ({"axes": {"weight": [0, 1]}}, r"'weight' cannot be a further axis; .* one of mass, phi"),
        ({"axes": {"abs_eta": [0, 1]}}, r"'abs_eta' cannot be a further axis"),
        ({"axes": {"a b": [0, 1]}}, r"'a b' cannot be a further axis"),
        ({"axes": {"n_tracks": [3, 1]}}, r"mine\.axes\.n_tracks: edge 1 is 1.*, not above"),
        ({"axes": {"n_tracks": {"bins": 0, "low": 0, "high": 1}}}, r"axes\.n_tracks\.bins: .*than"),
    ],
)
@kinds_in_bins
def test_bad_axes_are_refused(kind: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kind_and_options({**OPTIONS[kind], **changes}, "estimators.mine")


def test_bins_check_their_axes() -> None:
    pt, eta = np.array([20.0, 600.0]), np.array([-1.0, 1.0])
    with pytest.raises(ConfigError, match="eta_edges begin at -1; an absolute value is not neg"):
        Bins((5,), pt, eta, "clamp", abs_eta=True)
    with pytest.raises(ConfigError, match=r"n_tracks_edges: edge 1 is 0.0, not above"):
        Bins((5,), pt, eta, "clamp", further={"n_tracks": np.array([1.0, 0.0])})


def test_a_sample_without_jets_has_no_bins() -> None:
    fitted = fit("binned", make_jets([0, 0]))
    assert fitted.total.shape == (0, 19, 10)
    assert fitted.efficiency(make_jets([0])).shape == (0,)
