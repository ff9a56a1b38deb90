"""Where an efficiency was learned: by hand, against a slow version, on fresh samples, on disk."""

from __future__ import annotations

import logging
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
from truthtag.data.labels import Labels
from truthtag.errors import ConfigError, DataError
from truthtag.statistics import domain_variables
from truthtag.statistics.domain import Domain
from truthtag.statistics.domain_file import CRITERION
from truthtag.statistics.domain_variables import (
    COLUMNS,
    VARIABLES,
    further_variables,
    variables_of,
)
from truthtag.toy.generation import generate, make_generator
from truthtag.toy.generator import Generator
from truthtag.toy.neighbour_product import NeighbourProduct

OPTIONS: dict[str, Any] = {"flagged": 0.005, "neighbours": 10, "max_reference_jets": 20_000}


def fit(train: Jets, validation: Jets, seed: int = 0, **changes: Any) -> Domain:
    return Domain.fit(train, validation, np.random.default_rng(seed), **(OPTIONS | changes))


def alone(pt: list[float]) -> Jets:
    """Make b jets in events of one, in the middle of the detector."""
    size = len(pt)
    return make_jets([1] * size, pt=np.array(pt), eta=np.zeros(size), flavour=np.full(size, 5))


@pytest.fixture(scope="module")
def parts(sample: Jets) -> tuple[Jets, Jets, Jets]:
    """8,000 events for training, 3,000 for validation, 3,000 for tests."""
    first, second, third = slice(0, 8_000), slice(8_000, 11_000), slice(11_000, 14_000)
    return sample.take(first), sample.take(second), sample.take(third)


@pytest.fixture(scope="module")
def domain(parts: tuple[Jets, Jets, Jets]) -> Domain:
    return fit(*parts[:2])


# ---- the variables


def test_variables_by_hand() -> None:
    jets = make_jets(
        [4, 1],
        pt=np.array([90.0, 60.0, 30.0, 20.0, 50.0]),
        eta=np.array([0.0, 1.0, -3.0, 0.0, -1.0]),
        phi=np.array([0.0, 0.0, 0.0, 3.0, 0.0]),
    )
    fifth = 1 / (1 + np.sqrt(10))
    sixth = 1 / (1 + np.sqrt(18))
    expected = [
        [90.0, 0.0, 4.0, 1 / 2, 60.0, 1 / 4, 1 / 4, 1 / 2 + 1 / 4 + 1 / 4],
        [60.0, 1.0, 4.0, 1 / 2, 90.0, fifth, 1 / 5, 1 / 2 + fifth + 1 / 5],
        [30.0, -3.0, 4.0, 1 / 4, 90.0, 1 / 5, sixth, 1 / 4 + 1 / 5 + sixth],
        [20.0, 0.0, 4.0, 1 / 4, 90.0, fifth, sixth, 1 / 4 + fifth + sixth],
        [50.0, -1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    ]
    found = variables_of(jets)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=3e-7)
    assert VARIABLES[3:] == domain_variables.OF_NEIGHBOURS


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
            _, pt = min(apart, default=(np.inf, 0.0))
            closeness = sorted((1 / (1 + distance) for distance, _ in apart), reverse=True)
            one, two, three = [*closeness, 0.0, 0.0, 0.0][:3]
            itself = [jets.pt[i], jets.eta[i], last - first]
            rows.append([*itself, one, pt, two, three, sum(closeness)])
    return rows


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(0, 1000))
def test_variables_equal_the_slow_version(counts: list[int], seed: int) -> None:
    jets = make_jets(counts, seed)
    expected = np.array(slow_variables(jets), dtype=np.float32).reshape(-1, len(VARIABLES))
    found = variables_of(jets)
    assert np.array_equal(found[:, :-1], expected[:, :-1])
    # A sum in another order may differ in its last digit.
    np.testing.assert_allclose(found[:, -1], expected[:, -1], rtol=3e-7)


def test_blocks_change_no_digit(few: Jets, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = variables_of(few)
    for pairs in (1, 50):
        monkeypatch.setattr(domain_variables, "BLOCK_PAIRS", pairs)
        assert np.array_equal(variables_of(few), whole)
    alone_ = np.concatenate([variables_of(few.take([event])) for event in range(few.n_events)])
    assert np.array_equal(alone_, whole)


# ---- the distance


def test_distance_by_hand() -> None:
    # Only pT varies. Spacings of the validation jets are 2, 3, 4, 6 GeV;
    # a third of them lies beyond 4 GeV.
    fitted = fit(alone([10, 20, 30, 50]), alone([12, 24, 36, 47]), flagged=1 / 3, neighbours=1)
    spread = np.sqrt(875 / 4)
    assert fitted.scale == pytest.approx([spread] + [0] * 7)
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
        make_jets(counts * 8, seed + i) for i, counts in enumerate(([1, 2, 4], [4], [2, 5]))
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
    assert fitted.scale.tolist() == [0.0] * 8
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
    """Standard deviation of the difference of shares; an event counts as one.

    Its jets are not independent.
    """
    events = [len(np.unique(jets.event_of_jet[chosen])) for jets, chosen in samples]
    return float(np.sqrt(share * (1 - share) * sum(1 / count for count in events)))


@pytest.mark.parametrize("flagged", [0.005, 0.05])
@pytest.mark.parametrize("mirror", [False, True])
def test_the_asked_share_of_a_fresh_sample_is_outside(
    flagged: float, mirror: bool, parts: tuple[Jets, Jets, Jets]
) -> None:
    train, validation, jets = parts
    jets = mirrored(jets) if mirror else jets
    fitted = fit(train, validation, flagged=flagged, max_reference_jets=4000)
    outside = ~fitted.contains(jets)
    for flavour in fitted.flavours:
        chosen, tried = jets.flavour == flavour, validation.flavour == flavour
        spread = spread_of_share(flagged, (jets, chosen), (validation, tried))
        # Each of the sixteen ends of the ranges takes about one in n, if n training jets set it.
        ends = 16 / (train.flavour == flavour).sum()
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


def crowded(options: dict[str, Any], truth: NeighbourProduct, n_jets: int, within: float) -> Jets:
    """500 events of so many jets, all within a distance of the leading one."""
    changed = options["generators"]["multijet"] | {
        "minimum_jets": n_jets,
        "extra_jets": {"scale": 0.1, "range": 0.9},
        "distance": [0.011, within],
    }
    generator = make_generator(changed, options["flavours"])
    (jets,) = generate(generator, truth, range(500), (7, "crowded"))
    return jets


def test_crowded_events_are_outside(
    domain: Domain,
    parts: tuple[Jets, Jets, Jets],
    default_config: dict[str, Any],
    truth: NeighbourProduct,
) -> None:
    six = crowded(default_config, truth, 6, 0.2)
    four = crowded(default_config, truth, 4, 0.4)
    assert (~domain.contains(six)).mean() > 0.95
    assert (~domain.contains(four)).mean() > 0.5
    assert (~domain.contains(parts[2])).mean() < 0.01
    # Of each jet itself, its event and its nearest neighbour training has seen the like.
    nearest = variables_of(six)[:, :5]
    like = (nearest >= domain.low.min(axis=0)[:5]) & (nearest <= domain.high.max(axis=0)[:5])
    assert like.all(axis=1).mean() > 0.99


def test_the_third_jet_matters_where_the_nearest_is_the_same(domain: Domain) -> None:
    pt = np.array([150.0, 120.0, 90.0, 60.0, 50.0, 40.0])
    spread_out = np.array([0.0, 0.1, 1.0, -1.1, 1.9, -1.9])
    crowd = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    both = np.r_[spread_out, crowd]
    flavour = np.full(12, 5)
    jets = make_jets([6, 6], pt=np.tile(pt, 2), eta=np.zeros(12), phi=both, flavour=flavour)
    values = variables_of(jets)
    assert np.array_equal(values[0, :5], values[6, :5])
    assert domain.distance(jets)[0] <= 1 < domain.distance(jets)[6]


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
    fitted = fit(train, validation, max_reference_jets=500)
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
        fit(train, validation, seed, max_reference_jets=500).distance(jets) for seed in (1, 1, 2)
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


# ---- further variables

CATEGORY = Labels(categories={"process": (0, 1)})


def with_further(jets: Jets, seed: int = 2) -> Jets:
    rng = np.random.default_rng(seed)
    further = {
        "n_tracks": rng.integers(0, 10, jets.n_jets),
        "process": rng.integers(0, 2, jets.n_jets),
        "width": rng.random(jets.n_jets),
    }
    return jets.with_columns(further=further, labels=CATEGORY)


def test_further_numbers_are_variables_and_categories_are_not(few: Jets) -> None:
    jets = with_further(few)
    assert further_variables(jets) == ("n_tracks", "width")
    assert further_variables(few) == ()
    values = variables_of(jets, ("n_tracks", "width"))
    assert np.array_equal(values[:, :8], variables_of(few))
    assert np.array_equal(
        values[:, 8:], np.stack([*map(jets.further.get, ("n_tracks", "width"))]).T
    )
    fitted = fit(jets, jets)
    assert fitted.variables == (*VARIABLES, "n_tracks", "width")
    assert fit(jets, jets, further=("process",)).variables[8:] == ("process",)


def test_further_columns_that_are_not_asked_for_change_nothing(
    parts: tuple[Jets, Jets, Jets], domain: Domain, tmp_path: Path
) -> None:
    train, validation, jets = parts
    fitted = fit(with_further(train), validation, further=())
    assert np.array_equal(fitted.distance(jets), domain.distance(jets))
    for name, one in (("with", fitted), ("without", domain)):
        one.write(tmp_path / f"{name}.parquet", {})
    files = [(tmp_path / f"{name}.parquet").read_bytes() for name in ("with", "without")]
    assert files[0] == files[1]


def test_a_further_variable_by_hand() -> None:
    """Only it varies: as in the test of pT by hand."""
    train, validation, tried = alone([50] * 4), alone([50] * 4), alone([50] * 7)
    fitted = fit(
        train.with_columns(further={"width": np.array([10.0, 20, 30, 50])}),
        validation.with_columns(further={"width": np.array([12.0, 24, 36, 47])}),
        flagged=1 / 3,
        neighbours=1,
    )
    jets = tried.with_columns(further={"width": np.array([10, 22, 25, 37, 50, 9.5, 50.5])})
    expected = [0, 2 / 4, 5 / 4, 7 / 4, 0, np.inf, np.inf]
    assert fitted.distance(jets) == pytest.approx(expected)
    assert fitted.scale[:8].tolist() == [0.0] * 8


def test_the_asked_share_is_outside_with_further_variables(
    parts: tuple[Jets, Jets, Jets],
) -> None:
    train, validation, jets = (with_further(part, seed) for seed, part in enumerate(parts))
    fitted = fit(train, validation, flagged=0.05, max_reference_jets=4000)
    outside = ~fitted.contains(jets)
    for flavour in fitted.flavours:
        chosen, tried = jets.flavour == flavour, validation.flavour == flavour
        spread = spread_of_share(0.05, (jets, chosen), (validation, tried))
        ends = 20 / (train.flavour == flavour).sum()
        assert -4 * spread < outside[chosen].mean() - 0.05 < 4 * spread + ends
    wide = jets.with_columns(further={**jets.further, "width": jets.further["width"] + 3})
    assert not fitted.contains(wide).any()


def test_further_variables_on_disk(few: Jets, tmp_path: Path) -> None:
    path, jets = tmp_path / "domain.parquet", with_further(few)
    fitted = fit(jets, jets)
    fitted.write(path, {})
    again = Domain.read(path)
    assert again.variables == fitted.variables
    assert np.array_equal(again.distance(jets), fitted.distance(jets))
    frame = pd.read_parquet(path)
    assert tuple(frame.columns) == (*COLUMNS, "n_tracks", "width")
    assert read_metadata(path)["domain"]["variables"] == [*VARIABLES, "n_tracks", "width"]
    with pytest.raises(
        DataError, match="the domain has a variable 'n_tracks', which the jets do n"
    ):
        again.distance(few)
    with pytest.raises(
        DataError, match="the domain has a variable 'n_tracks', which the jets do n"
    ):
        fit(jets, few)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ([*VARIABLES], r"domain: low has shape \(3, 10\); it must have \(3, 8\)"),
        (None, r"made by an older version of truthtag, which looked at the nearest jet only"),
        (
            [*VARIABLES[:5]],
            r"made by an older version of truthtag.*: delete the file and run the w",
        ),
        ([*VARIABLES[:5], "n_tracks", "width"], r"made by an older version of truthtag"),
        ([*VARIABLES[:7], "width"], r"made by an older version of truthtag"),
        (["pt"], r"its metadata are damaged \(variables is \['pt'\], not a list that begins"),
        ("pt", r"its metadata are damaged \(variables is 'pt'"),
        ([*VARIABLES, 3], r"its metadata are damaged \(variables is \["),
        ([*VARIABLES, "tracks", "width"], r"column 'tracks' is missing"),
        ([*VARIABLES, "width", "width"], r"holds no domain \("),
    ],
)
def test_damaged_names_of_variables_are_refused(
    variables: Any, message: str, few: Jets, tmp_path: Path
) -> None:
    path, jets = tmp_path / "domain.parquet", with_further(few)
    fitted = fit(jets, jets)
    write_frame(fitted.to_frame(), path, {"domain": fitted.criterion | {"variables": variables}})
    with pytest.raises(DataError, match=message) as caught:
        Domain.read(path)
    assert str(caught.value).startswith(str(path))


# ---- flavours that labels state

STATED = Labels(flavours=(0, 4, 5, 15))


def test_stated_flavours_without_training_jets_are_outside(
    parts: tuple[Jets, Jets, Jets], domain: Domain, caplog: pytest.LogCaptureFixture
) -> None:
    train, validation, jets = (part.with_columns(labels=STATED) for part in parts)
    with caplog.at_level(logging.WARNING, "truthtag"):
        fitted = fit(train, validation)
    assert caplog.messages == [
        "no jet of the training sample has flavour 15: all jets of it are outside the domain"
    ]
    assert fitted.flavours == (0, 4, 5)
    assert np.array_equal(fitted.distance(jets), domain.distance(jets))
    strange = jets.with_columns(flavour=np.full(jets.n_jets, 15))
    assert np.isinf(fitted.distance(strange)).all()


def test_training_jets_set_the_threshold_where_validation_has_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    train = alone([10, 20, 30, 60]).with_columns(labels=STATED)
    other = alone([15, 25]).with_columns(flavour=np.array([4, 4]), labels=STATED)
    with caplog.at_level(logging.WARNING, "truthtag"):
        fitted = fit(train, other, neighbours=1, flagged=1 / 3)
    assert "no jet of the validation sample has flavour 5: its 4 jets in" in caplog.messages[-1]
    # Each from its nearest other: 10, 10, 10, 30 GeV, of which a third lies beyond 10 GeV.
    assert fitted.threshold == pytest.approx([10 / fitted.scale[0]])
    second = fit(train, other, neighbours=2, flagged=1 / 3)
    # Each from the second nearest: 20, 10, 20, 40 GeV.
    assert second.threshold == pytest.approx([20 / second.scale[0]])
    few_ = fit(train, other, neighbours=9, flagged=1 / 3)
    # Each from the farthest: 50, 40, 30, 50 GeV.
    assert few_.threshold == pytest.approx([50 / few_.scale[0]])


def test_a_single_training_jet_allows_copies_only() -> None:
    train = alone([10, 20, 30]).with_columns(flavour=np.array([5, 5, 4]), labels=STATED)
    validation = alone([15]).with_columns(labels=STATED)
    fitted = fit(train, validation)
    tried = alone([30, 31]).with_columns(flavour=np.array([4, 4]))
    assert fitted.distance(tried).tolist() == [0.0, np.inf]


def test_the_training_jets_set_about_the_same_threshold(
    parts: tuple[Jets, Jets, Jets],
) -> None:
    """Each of them is as far from the others as a new jet is."""
    train, validation, jets = (part.with_columns(labels=STATED) for part in parts)
    without = validation.flavour == 4
    lacking = validation.with_columns(flavour=np.where(without, 5, validation.flavour))
    chosen = jets.flavour == 4
    outside = ~fit(train, lacking, flagged=0.05).contains(jets)
    spread = spread_of_share(0.05, (jets, chosen), (train, train.flavour == 4))
    ends = 16 / (train.flavour == 4).sum()
    assert -4 * spread < outside[chosen].mean() - 0.05 < 4 * spread + ends


# ---- on disk


def test_write_and_read_is_the_identity(
    domain: Domain, parts: tuple[Jets, Jets, Jets], tmp_path: Path
) -> None:
    path = tmp_path / "domain.parquet"
    domain.write(path, {"seed": 7})
    again = Domain.read(path)
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
        Domain.read(path)
    fitted.write(path, {})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        DataError, match=r"domain\.parquet: cannot be read as Parquet .* is truncated or of another"
    ):
        Domain.read(path)
    fitted.to_frame().to_parquet(path)
    with pytest.raises(
        DataError,
        match=r"its metadata hold no ranges and thresholds of a domain; fit the domain again",
    ):
        Domain.read(path)
    frame = fitted.to_frame().rename(columns={"closeness": "closeness_r"})
    write_frame(frame, path, {"domain": fitted.criterion})
    with pytest.raises(
        DataError,
        match=r"column 'closeness' is missing; .*Is it called 'closeness_r' here\? Rename it",
    ):
        Domain.read(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"low": [[0.0] * 4]},
            r"domain\.parquet: holds no domain \(domain: low has shape \(1, 4\)",
        ),
        ({"low": "text"}, r"domain\.parquet: holds no domain \("),
        ({"low": [["a"] * 8]}, r"domain\.parquet: holds no domain \("),
        ({"scale": [1.0, 2.0]}, r"domain: scale has shape \(2,\); it must have \(8,\)"),
        ({"scale": [float("nan")] * 8}, r"domain: scale is nan at position \(0,\)"),
        ({"scale": [-1.0] * 8}, r"domain: scale is -1\.0; a distance is not negative"),
        ({"threshold": []}, r"domain: threshold has shape \(0,\); it must have \(1,\)"),
        ({"threshold": [-2.0]}, r"domain: threshold is -2\.0; a distance is not negative"),
        ({"high": [[0.0] * 8]}, r"the range of pt for flavour 5 ends at 0\.0, below its begin, 10"),
        ({"neighbours": 0}, r"domain: neighbours is 0; it must be at least 1"),
        (
            {"neighbours": "ten"},
            r"domain\.parquet: its metadata are damaged \('ten' is no whole nu",
        ),
        ({"flavours": [5.5]}, r"domain\.parquet: its metadata are damaged \(5\.5 is no whole numb"),
        ({"flavours": 5}, r"domain\.parquet: holds no domain \("),
        ({"flavours": [4]}, r"domain: flavour 4 has no reference jet; fit the domain again"),
    ],
)
def test_damaged_metadata_are_refused_with_the_file(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "domain.parquet"
    fitted = fit(alone([10, 20, 30]), alone([15, 25]))
    write_frame(fitted.to_frame(), path, {"domain": fitted.criterion | changes})
    with pytest.raises(DataError, match=message) as caught:
        Domain.read(path)
    assert str(caught.value).startswith(str(path))


def test_metadata_that_lack_an_entry_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "domain.parquet"
    fitted = fit(alone([10, 20, 30]), alone([15, 25]))
    for name in CRITERION[1:]:
        criterion = fitted.criterion
        del criterion[name]
        write_frame(fitted.to_frame(), path, {"domain": criterion})
        with pytest.raises(DataError, match=rf"domain\.parquet: its metadata lack '{name}' of the"):
            Domain.read(path)
    write_frame(fitted.to_frame(), path, {"domain": [1, 2]})
    with pytest.raises(DataError, match=r"metadata are damaged \(domain is \[1, 2\]\); fit the"):
        Domain.read(path)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("eta", np.nan, r"reference is nan at position \(0, 1\)"),
        ("pt", "many", r"domain: reference: holds Python objects"),
        ("flavour", 4, r"domain: flavour 5 has no reference jet"),
    ],
)
def test_damaged_tables_are_refused_with_the_file(
    column: str, value: object, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "domain.parquet"
    fitted = fit(alone([10, 20, 30]), alone([15, 25]))
    write_frame(fitted.to_frame().assign(**{column: value}), path, {"domain": fitted.criterion})
    with pytest.raises(DataError, match=message) as caught:
        Domain.read(path)
    assert str(caught.value).startswith(str(path))


def test_masked_reference_jets_are_refused() -> None:
    fitted = fit(alone([10, 20, 30]), alone([15, 25]))
    masked = np.ma.array(fitted.reference, mask=np.arange(24).reshape(3, 8) == 7)
    with pytest.raises(DataError, match="domain: reference: 1 of its entries are masked"):
        replace(fitted, reference=masked)


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
            {"max_reference_jets": 9},
            r"domain: max_reference_jets is 9; it must be at least neighbours, 10\. Raise it, or l",
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
        r"the validation sample has no jet of flavour 4, the training sample has 2: "
        r"nothing sets the threshold .* "
        "Give the validation sample more events, or drop those jets from the training sample"
    )
    with pytest.raises(DataError, match=message):
        fit(train, train.take(np.array([0, 3])))
