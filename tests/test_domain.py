"""Where an efficiency was learned: by hand, against a slow version, on fresh samples, on disk."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import make_jets
from truthtag.arrays import BoolArray, FloatArray
from truthtag.data.files import read_metadata, write_frame
from truthtag.data.jets import Jets
from truthtag.data.kinematics import delta_r, wrap_angle_float32
from truthtag.errors import ConfigError, DataError
from truthtag.statistics.domain import (
    COLUMNS,
    VARIABLES,
    Domain,
    read_domain,
    variables_of,
    write_domain,
)
from truthtag.toy.generation import generate
from truthtag.toy.generator import Generator
from truthtag.toy.neighbour_product import NeighbourProduct

OPTIONS: dict[str, Any] = {"flagged": 0.005, "neighbours": 10, "reference": 20_000}


def fit(train: Jets, validation: Jets, seed: int = 0, **changes: Any) -> Domain:
    return Domain.fit(train, validation, np.random.default_rng(seed), **(OPTIONS | changes))


def alone(pt: list[float]) -> Jets:
    """Make b jets in events of one, in the middle of the detector."""
    size = len(pt)
    return make_jets([1] * size, pt=np.array(pt), eta=np.zeros(size), flavour=np.full(size, 5))


@pytest.fixture(scope="module")
def parts(sample: Jets) -> tuple[Jets, Jets, Jets]:
    """12,000 events for training, 4,000 for validation, 4,000 for tests."""
    first, second, third = slice(0, 12_000), slice(12_000, 16_000), slice(16_000, 20_000)
    return sample.take(first), sample.take(second), sample.take(third)


@pytest.fixture(scope="module")
def domain(parts: tuple[Jets, Jets, Jets]) -> Domain:
    return fit(*parts[:2])


# ---- the variables


def test_variables_by_hand() -> None:
    jets = make_jets(
        [3, 1],
        pt=np.array([90.0, 60.0, 30.0, 50.0]),
        eta=np.array([0.0, 1.0, 1.5, -1.0]),
        phi=np.zeros(4),
    )
    assert variables_of(jets).tolist() == [
        [90.0, 0.0, 3.0, 0.5, 60.0],
        [60.0, 1.0, 3.0, np.float32(1 / 1.5), 30.0],
        [30.0, 1.5, 3.0, np.float32(1 / 1.5), 60.0],
        [50.0, -1.0, 1.0, 0.0, 0.0],
    ]


def slow_variables(jets: Jets) -> list[list[float]]:
    """The variables, a jet and a neighbour at a time."""
    rows = []
    for first, last in zip(jets.offsets[:-1], jets.offsets[1:], strict=True):
        for i in range(first, last):
            apart = [
                (
                    float(delta_r(jets.eta[i], jets.phi[i], jets.eta[j], jets.phi[j])),
                    float(jets.pt[j]),
                )
                for j in range(first, last)
                if j != i
            ]
            distance, pt = min(apart, default=(np.inf, 0.0))
            rows.append([jets.pt[i], jets.eta[i], last - first, 1 / (1 + distance), pt])
    return rows


@given(st.lists(st.integers(0, 6), min_size=1, max_size=8), st.integers(0, 1000))
def test_variables_equal_the_slow_version(counts: list[int], seed: int) -> None:
    jets = make_jets(counts, seed)
    expected = np.array(slow_variables(jets), dtype=np.float32).reshape(-1, len(VARIABLES))
    assert np.array_equal(variables_of(jets), expected)


# ---- the distance


def test_distance_by_hand() -> None:
    # Only pT varies. Spacings of the validation jets are 2, 3, 4, 6 GeV; a third of them lies beyond 4 GeV.
    fitted = fit(alone([10, 20, 30, 50]), alone([12, 24, 36, 47]), flagged=1 / 3, neighbours=1)
    spread = np.sqrt(875 / 4)
    assert fitted.scale == pytest.approx([spread, 0, 0, 0, 0])
    assert fitted.threshold == pytest.approx([4 / spread])
    tried = alone([10, 22, 25, 37, 50, 9.5, 50.5])
    expected = [0, 2 / 4, 5 / 4, 7 / 4, 0, np.inf, np.inf]
    assert fitted.distance(tried) == pytest.approx(expected)
    assert fitted.contains(tried).tolist() == [True, True, False, False, True, False, False]


def test_the_kth_nearest_counts_or_the_farthest_where_there_are_fewer() -> None:
    train, validation, tried = alone([10, 20, 30, 50]), alone([20]), alone([10, 22, 45])
    # From 20 GeV the second nearest is 10 GeV away, and the farthest of all 30 GeV.
    second, farthest = (fit(train, validation, neighbours=k) for k in (2, 7))
    assert second.distance(tried) == pytest.approx([10 / 10, 8 / 10, 15 / 10])
    assert farthest.distance(tried) == pytest.approx([40 / 30, 28 / 30, 35 / 30])


def slow_distance(train: Jets, validation: Jets, jets: Jets, flagged: float, k: int) -> FloatArray:
    """The definition, a jet at a time."""
    of_train = variables_of(train).astype(float)
    of_train_std = of_train.std(axis=0)

    def spacing(row: FloatArray, flavour: int) -> float:
        near = of_train[train.flavour == flavour]
        apart = np.sort(np.sqrt((((near - row) / of_train_std) ** 2).sum(axis=1)))
        return float(apart[min(k, len(apart)) - 1])

    out = []
    for row, flavour in zip(variables_of(jets).astype(float), jets.flavour, strict=True):
        near = of_train[train.flavour == flavour]
        if ((row < near.min(axis=0)) | (row > near.max(axis=0))).any():
            out.append(np.inf)
            continue
        tried = variables_of(validation)[validation.flavour == flavour].astype(float)
        out.append(
            spacing(row, flavour) / np.quantile([spacing(v, flavour) for v in tried], 1 - flagged)
        )
    return np.array(out)


@settings(max_examples=10)
@given(st.integers(0, 1000), st.integers(1, 30), st.floats(0.01, 0.9))
def test_equals_the_slow_version(seed: int, k: int, flagged: float) -> None:
    train, validation, jets = (
        make_jets(counts * 8, seed + i) for i, counts in enumerate(([1, 2, 3], [4], [2, 5]))
    )
    fitted = fit(train, validation, flagged=flagged, neighbours=k)
    expected = slow_distance(train, validation, jets, flagged, k)
    np.testing.assert_allclose(fitted.distance(jets), expected, rtol=1e-9)
    assert np.isfinite(expected).any()


def test_training_jets_are_in_the_ranges(domain: Domain, parts: tuple[Jets, Jets, Jets]) -> None:
    assert np.isfinite(domain.distance(parts[0])).all()


def test_a_sample_that_does_not_vary_contains_itself_only() -> None:
    # A third has no exact float, nor has the mean of three of them.
    fitted = fit(alone([100 / 3] * 3), alone([100 / 3, 40]))
    assert fitted.scale.tolist() == [0.0] * 5
    assert fitted.distance(alone([100 / 3, 40])).tolist() == [0.0, np.inf]


def test_a_threshold_of_zero_allows_copies_only() -> None:
    fitted = fit(alone([10, 20, 30]), alone([10, 20, 30]), neighbours=1)
    assert fitted.threshold.tolist() == [0.0]
    assert fitted.distance(alone([10, 20, 21, 30])).tolist() == [0.0, 0.0, np.inf, 0.0]


def test_no_jets_give_an_empty_array(domain: Domain, few: Jets) -> None:
    for jets in (few.take(slice(0, 0)), make_jets([0, 0])):
        assert domain.distance(jets).shape == domain.contains(jets).shape == (0,)
    assert domain.contains(few.take(slice(0, 0))).dtype == np.bool_


# ---- what does not matter


def test_the_order_of_events_does_not_matter(
    domain: Domain, parts: tuple[Jets, Jets, Jets]
) -> None:
    train, validation, jets = parts
    order = np.random.default_rng(3).permutation(jets.n_events)
    rows = np.concatenate([np.arange(*jets.offsets[event : event + 2]) for event in order])
    assert np.array_equal(domain.distance(jets.take(order)), domain.distance(jets)[rows])
    # Nothing is drawn where every training jet is a reference jet.
    turned = fit(train.take(slice(None, None, -1)), validation.take(slice(None, None, -1)))
    assert len(turned.reference) == train.n_jets
    np.testing.assert_allclose(turned.distance(jets), domain.distance(jets), rtol=1e-9)


def test_weights_and_tags_do_not_matter(parts: tuple[Jets, Jets, Jets]) -> None:
    train, validation, jets = parts
    bare = [
        part.with_columns(weight=-3 * part.weight, is_tagged=None, score=None) for part in parts
    ]
    assert np.array_equal(fit(*bare[:2]).distance(bare[2]), fit(train, validation).distance(jets))


def test_rotations_do_not_matter(domain: Domain, few: Jets) -> None:
    # Multiples of 1/1024 that stay in [-pi, pi) are turned without rounding.
    coarse = few.with_columns(phi=(np.round(few.phi * 300) / 1024).astype(np.float32))
    turned = coarse.with_columns(phi=coarse.phi + np.float32(1.5))
    assert np.array_equal(domain.distance(turned), domain.distance(coarse))
    # Others are rounded to float32: of a Delta R above 0.01 one part in 10^5.
    turned = few.with_columns(phi=wrap_angle_float32(few.phi.astype(float) + 2.0))
    np.testing.assert_allclose(domain.distance(turned), domain.distance(few), rtol=1e-3, atol=1e-4)


def mirrored(jets: Jets) -> Jets:
    return jets.with_columns(eta=-jets.eta)


def test_a_mirrored_sample_has_a_mirrored_domain(
    domain: Domain, parts: tuple[Jets, Jets, Jets]
) -> None:
    train, validation, jets = (mirrored(part) for part in parts)
    np.testing.assert_allclose(
        fit(train, validation).distance(jets), domain.distance(parts[2]), rtol=1e-9
    )


# ---- what is flagged


def spread_of_share(share: float, *samples: tuple[Jets, BoolArray]) -> float:
    """Standard deviation of the difference of shares, an event counting as one: its jets are not independent."""
    events = [len(np.unique(jets.event_of_jet[chosen])) for jets, chosen in samples]
    return float(np.sqrt(share * (1 - share) * sum(1 / count for count in events)))


@pytest.mark.parametrize("flagged", [0.005, 0.05])
@pytest.mark.parametrize("mirror", [False, True])
def test_the_asked_share_of_a_fresh_sample_is_outside(
    flagged: float, mirror: bool, parts: tuple[Jets, Jets, Jets]
) -> None:
    train, validation, jets = parts
    jets = mirrored(jets) if mirror else jets
    fitted = fit(train, validation, flagged=flagged, reference=4000)
    outside = ~fitted.contains(jets)
    for flavour in fitted.flavours:
        chosen, tried = jets.flavour == flavour, validation.flavour == flavour
        spread = spread_of_share(flagged, (jets, chosen), (validation, tried))
        # Each of the ten ends of the ranges takes about one in n, if n training jets set it.
        ends = 10 / (train.flavour == flavour).sum()
        assert -4 * spread < outside[chosen].mean() - flagged < 4 * spread + ends


def test_the_asked_share_of_the_validation_jets_is_beyond_the_threshold(
    parts: tuple[Jets, Jets, Jets],
) -> None:
    train, validation, _ = parts
    # Without ranges, so that the threshold alone decides.
    fitted = fit(train, validation, flagged=0.02)
    wide = replace(fitted, low=fitted.low - np.inf, high=fitted.high + np.inf)
    for flavour in fitted.flavours:
        outside = ~wide.contains(validation)[validation.flavour == flavour]
        assert abs(outside.sum() - 0.02 * len(outside)) <= 1


def test_boosted_jets_are_outside_and_multijets_are_not(
    domain: Domain, parts: tuple[Jets, Jets, Jets], boson_sample: Jets
) -> None:
    hard = boson_sample.pt > 600
    assert hard.sum() > 50
    assert not domain.contains(boson_sample)[hard].any()
    assert (~domain.contains(parts[2])).mean() <= 0.01
    # A jet beside one of them is outside, too, though not hard itself.
    beside = np.repeat(hard[::2], 2) & ~hard
    assert beside.sum() > 50
    assert not domain.contains(boson_sample)[beside].any()


def test_a_gap_inside_the_ranges_is_outside() -> None:
    rng = np.random.default_rng(5)
    low, high = rng.uniform(20, 100, (2, 500)), rng.uniform(300, 400, (2, 500))
    train, validation = (alone(np.r_[a, b].tolist()) for a, b in zip(low, high, strict=True))
    tried = alone([60.0, 200.0, 350.0])
    assert fit(train, validation).contains(tried).tolist() == [True, False, True]


def test_jets_alone_are_outside_where_training_had_none(domain: Domain, few: Jets) -> None:
    leads = few.leading_jets(1).jets[:, 0]
    names = few.jet_columns
    lone = make_jets([1] * few.n_events, **{name: getattr(few, name)[leads] for name in names})
    assert np.isinf(domain.distance(lone)).all()
    assert np.mean(domain.contains(few)[leads]) > 0.9


def test_unknown_flavours_are_outside(domain: Domain, few: Jets) -> None:
    strange = few.with_columns(flavour=np.where(np.arange(few.n_jets) % 2, 15, few.flavour))
    distance = domain.distance(strange)
    assert np.isinf(distance[1::2]).all()
    assert np.array_equal(distance[::2], domain.distance(few)[::2])


def test_flavours_of_the_validation_sample_only_stay_unknown() -> None:
    train, other = alone([10, 20, 30]), alone([15, 25])
    validation = make_jets(
        [1] * 4, pt=np.tile(other.pt, 2), eta=np.zeros(4), flavour=np.array([5, 5, 4, 4])
    )
    fitted = fit(train, validation)
    assert fitted.flavours == (5,)
    assert fitted.contains(validation).tolist() == [True, True, False, False]


# ---- the reference jets


def test_reference_jets_are_drawn_from_the_training_jets(parts: tuple[Jets, Jets, Jets]) -> None:
    train, validation, _ = parts
    fitted = fit(train, validation, reference=500)
    of_train = variables_of(train)
    for flavour in (0, 4, 5):
        chosen = fitted.reference[fitted.reference_flavour == flavour]
        known = {tuple(row) for row in of_train[train.flavour == flavour].tolist()}
        drawn = {tuple(row) for row in chosen.tolist()}
        assert len(chosen) == len(drawn) == 500
        assert drawn <= known


def test_the_draw_is_that_of_the_generator(parts: tuple[Jets, Jets, Jets]) -> None:
    train, validation, jets = parts
    one, again, other = (
        fit(train, validation, seed, reference=500).distance(jets) for seed in (1, 1, 2)
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_a_longer_sample_fills_more(
    multijet: Generator, truth: NeighbourProduct, parts: tuple[Jets, Jets, Jets]
) -> None:
    (extra,) = generate(multijet, truth, range(2000), (8, "tests"))
    _, validation, jets = parts
    short, long = fit(extra.first(200), validation), fit(extra, validation)
    assert (long.low <= short.low).all()
    assert (long.high >= short.high).all()
    assert (long.threshold < short.threshold).all()
    assert np.isinf(long.distance(jets)).sum() < np.isinf(short.distance(jets)).sum()


# ---- on disk


def test_write_and_read_is_the_identity(
    domain: Domain, parts: tuple[Jets, Jets, Jets], tmp_path: Path
) -> None:
    path = tmp_path / "domain.parquet"
    write_domain(domain, path, {"seed": 7})
    again = read_domain(path)
    frame = pd.read_parquet(path)
    assert tuple(frame.columns) == COLUMNS
    assert len(frame) == parts[0].n_jets
    assert read_metadata(path)["seed"] == 7
    for field in fields(Domain):
        assert np.array_equal(getattr(again, field.name), getattr(domain, field.name)), field.name
    assert (again.flavours, again.neighbours) == ((0, 4, 5), 10)
    assert again.reference.dtype == domain.reference.dtype == np.float32
    assert np.array_equal(again.distance(parts[2]), domain.distance(parts[2]))


def test_files_that_hold_no_domain_are_refused(tmp_path: Path) -> None:
    path, fitted = tmp_path / "domain.parquet", fit(alone([10, 20, 30]), alone([15, 25]))
    with pytest.raises(
        DataError, match=r"domain\.parquet: no such file. Check the path, or run the workflow"
    ):
        read_domain(path)
    write_domain(fitted, path, {})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        DataError, match=r"domain\.parquet: cannot be read as Parquet .* is truncated or of another"
    ):
        read_domain(path)
    fitted.to_frame().to_parquet(path)
    with pytest.raises(
        DataError,
        match=r"its metadata hold no ranges and thresholds of a domain; fit the domain again",
    ):
        read_domain(path)
    frame = fitted.to_frame().rename(columns={"closeness": "closeness_r"})
    write_frame(frame, path, {"domain": fitted.criterion})
    with pytest.raises(
        DataError,
        match=r"column 'closeness' is missing; .*Is it called 'closeness_r' here\? Rename it",
    ):
        read_domain(path)


# ---- what is refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"flagged": 0.0},
            r"domain: flagged is 0\.0; it must be above 0 and below 1\. Take 0\.005, say",
        ),
        ({"flagged": 1}, r"domain: flagged is 1; it must be above 0 and below 1"),
        ({"flagged": float("nan")}, r"domain: flagged is nan; it must be above 0 and below 1"),
        ({"neighbours": 0}, r"domain: neighbours is 0; it must be at least 1\. Take 10, say"),
        (
            {"reference": 9},
            r"domain: reference is 9; it must be at least neighbours, 10\. Raise it, or lower neigh",
        ),
    ],
)
def test_bad_options_are_refused(changes: dict[str, Any], message: str, few: Jets) -> None:
    with pytest.raises(ConfigError, match=message):
        fit(few, few, **changes)


def test_empty_samples_are_refused(few: Jets) -> None:
    none = few.take(slice(0, 0))
    with pytest.raises(
        DataError, match=r"the training sample has no jets; a domain needs some\. Give it a sample"
    ):
        fit(none, few)
    with pytest.raises(DataError, match="the validation sample has no jets; a domain needs some"):
        fit(few, none)


def test_a_flavour_that_validation_lacks_is_refused() -> None:
    train = alone([10, 20, 30, 40]).with_columns(flavour=np.array([5, 4, 4, 0]))
    message = (
        r"the validation sample has no jet of flavour 4, the training sample has 2: nothing sets the threshold .* "
        "Give the validation sample more events, or drop those jets from the training sample"
    )
    with pytest.raises(DataError, match=message):
        fit(train, train.take(np.array([0, 3])))
