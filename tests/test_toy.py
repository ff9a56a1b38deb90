"""Generated events, against what PHYSICS says and against exact distributions."""

from __future__ import annotations

import itertools
import json
import math
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad

from conftest import ROOT
from truthtag.arrays import FloatArray
from truthtag.axis import EqualBins
from truthtag.data.axes import edges_of
from truthtag.data.files import read_metadata
from truthtag.data.jets import SCHEMA, Jets, concatenate, read_jets, write_jets
from truthtag.data.kinematics import delta_r, invariant_mass
from truthtag.data.labels import Labels
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.binned import BinnedMap, BinnedOptions
from truthtag.seeds import seed_words
from truthtag.statistics.closure import ClosureHistogram, Entries
from truthtag.toy.boson import Boson
from truthtag.toy.distributions import TruncatedNormal, gaussian_share
from truthtag.toy.generation import BLOCK_EVENTS, generate, make_generator
from truthtag.toy.generator import Generator
from truthtag.toy.multijet import Multijet
from truthtag.toy.neighbour_product import NeighbourProduct
from truthtag.toy.with_variable import Oscillation, Step, WithVariable

# A statistical test fails by chance once in 10,000 seeds; the seed is fixed.
P_VALUE = 1e-4


def assert_equal_jets(a: Jets, b: Jets) -> None:
    for name in SCHEMA:
        assert np.array_equal(getattr(a, name), getattr(b, name)), name


def test_shards_do_not_change_the_sample(multijet: Multijet, truth: NeighbourProduct) -> None:
    whole = concatenate(list(generate(multijet, truth, range(25_000), (1, "train"))))
    cuts = [0, 7, 9_999, 10_000, 10_001, 24_000, 25_000]
    parts = [
        concatenate(list(generate(multijet, truth, range(a, b), (1, "train"))))
        for a, b in itertools.pairwise(cuts)
    ]
    assert_equal_jets(concatenate(parts), whole)
    assert np.array_equal(whole.event, np.arange(25_000))


@pytest.mark.parametrize("name", ["multijet", "boson"])
def test_a_longer_sample_begins_with_the_shorter(
    name: str, truth: NeighbourProduct, request: pytest.FixtureRequest
) -> None:
    process: Generator = request.getfixturevalue(name)
    short = concatenate(list(generate(process, truth, range(300), (1, "test"))))
    longer = concatenate(list(generate(process, truth, range(BLOCK_EVENTS + 50), (1, "test"))))
    assert_equal_jets(longer.take(slice(0, 300)), short)


def test_other_names_and_seeds_give_other_events(
    multijet: Multijet, truth: NeighbourProduct
) -> None:
    first = {
        key: next(generate(multijet, truth, range(100), key)).pt[:50].tolist()
        for key in ((1, "train"), (1, "test"), (2, "train"))
    }
    assert len({tuple(pt) for pt in first.values()}) == 3


def test_number_of_jets(sample: Jets) -> None:
    # P(2 + k) = integral of the truncated exponential over [k, k + 1)
    k = np.arange(5)
    expected = (np.exp(-k / 4) - np.exp(-(k + 1) / 4)) / (1 - math.exp(-5 / 4)) * sample.n_events
    observed = np.bincount(sample.multiplicity, minlength=7)[2:]
    assert stats.chisquare(observed, expected).pvalue > P_VALUE
    assert 3.47 < sample.multiplicity.mean() < 3.55


def test_transverse_momenta_are_a_truncated_gaussian(sample: Jets) -> None:
    expected = stats.truncnorm(0, 2.9, loc=20, scale=200)
    assert stats.kstest(sample.pt, expected.cdf).pvalue > P_VALUE
    assert sample.pt.min() >= 20
    assert sample.pt.max() <= 600


def test_leading_jets(sample: Jets) -> None:
    lead = sample.offsets[:-1]
    assert stats.kstest(sample.eta[lead], stats.truncnorm(-4, 4, scale=0.5).cdf).pvalue > P_VALUE
    assert stats.kstest(sample.phi[lead], stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > P_VALUE
    assert np.all(np.diff(sample.pt)[sample.event_of_jet[1:] == sample.event_of_jet[:-1]] <= 0)


def test_distances_to_the_leading_jet(sample: Jets) -> None:
    lead = np.repeat(sample.offsets[:-1], sample.multiplicity)
    other = np.flatnonzero(lead != np.arange(sample.n_jets))
    distance = delta_r(sample.eta[lead], sample.phi[lead], sample.eta, sample.phi)[other]
    assert distance.min() > 0.0109
    assert distance.max() < 3.0001
    assert np.abs(sample.eta).max() < 2

    # Beside a leading jet at eta = 0, a share 1 - 2 arccos(2 / r) / pi of the directions is inside
    # abs(eta) < 2.
    central = np.abs(sample.eta[lead[other]]) < 0.05
    edges = np.linspace(0.011, 3, 13)
    weights = [
        quad(
            lambda r: math.sqrt(r) * (1 - 2 * math.acos(min(2 / r, 1)) / math.pi),
            a,
            b,
            points=[2.0],
        )[0]
        for a, b in itertools.pairwise(edges)
    ]
    observed = np.histogram(distance[central], edges)[0]
    assert observed.sum() > 3000
    assert (
        stats.chisquare(observed, np.array(weights) / sum(weights) * observed.sum()).pvalue
        > P_VALUE
    )


def test_flavours_and_tags(sample: Jets, truth: NeighbourProduct) -> None:
    assert stats.chisquare(np.unique(sample.flavour, return_counts=True)[1]).pvalue > P_VALUE
    assert np.array_equal(sample.efficiency_true, truth.efficiency(sample))
    assert np.array_equal(sample.is_tagged, sample.score < sample.efficiency_true)
    for flavour, mean in ((5, 0.569), (4, 0.184), (0, 0.0154)):
        eff = sample.efficiency_true[sample.flavour == flavour]
        assert eff.mean() == pytest.approx(mean, abs=5 * eff.std() / math.sqrt(len(eff)) + 5e-4)
        scatter = math.sqrt((eff * (1 - eff)).sum())
        assert abs(sample.is_tagged[sample.flavour == flavour].sum() - eff.sum()) < 4 * scatter


def test_bosons_have_their_mass_and_pass_the_thresholds(boson_sample: Jets) -> None:
    pair = boson_sample.offsets[:-1, None] + np.arange(2)
    columns = (getattr(boson_sample, name)[pair] for name in ("pt", "eta", "phi", "mass"))
    mass = invariant_mass(*columns)
    assert np.all(boson_sample.multiplicity == 2)
    assert boson_sample.pt.min() > 20
    assert np.abs(boson_sample.eta).max() < 2
    assert np.array_equal(boson_sample.flavour[::2], boson_sample.flavour[1::2])
    assert mass.mean() == pytest.approx(90, abs=5 * 10 / math.sqrt(5000) + 1)
    assert 9 < mass.std() < 11


def test_decays_are_isotropic_and_back_to_back_at_rest(boson: Boson) -> None:
    decays = boson._decays(20_000, np.random.default_rng(3))
    pt, eta, phi = (
        getattr(decays, name).astype(np.float64).reshape(-1, 2) for name in ("pt", "eta", "phi")
    )
    momentum = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=-1)
    total, energy = momentum.sum(axis=1), np.sqrt((momentum**2).sum(axis=2) + 4)
    mass = np.sqrt(energy.sum(axis=1) ** 2 - (total**2).sum(axis=1))
    # Along the boson, E1 - E2 = beta gamma 2 p* cos(theta*): uniform decay angles make it uniform.
    p_star = np.sqrt(mass**2 / 4 - 4)
    cosine = (energy[:, 0] - energy[:, 1]) / (np.sqrt((total**2).sum(axis=1)) / mass * 2 * p_star)
    assert np.abs(cosine).max() < 1 + 1e-3
    # The harder jet is put first; pT order is energy order up to the boson's own slope, hence the
    # sign is dropped.
    assert stats.kstest(np.abs(cosine), stats.uniform(0, 1).cdf).pvalue > P_VALUE


def test_a_truncated_normal_far_in_the_tail_stays_inside() -> None:
    values = TruncatedNormal(mean=0, width=1, low=5, high=5.5).sample(
        1000, np.random.default_rng(0)
    )
    assert values.min() >= 5
    assert values.max() <= 5.5


def test_an_unknown_kind_of_generator_is_refused() -> None:
    text = r"generators.kind: 'trijet' is not a kind of generator. Allowed: multijet, boson"
    with pytest.raises(ConfigError, match=text):
        make_generator({"kind": "trijet"}, {})
    with pytest.raises(ConfigError, match=r"generators.kind: it is missing. Allowed: multijet"):
        make_generator({}, {})


MULTIJET = {
    "kind": "multijet",
    "minimum_jets": 2,
    "extra_jets": {"scale": 4.0, "range": 5.0},
    "pt": {"mean": 20.0, "width": 200.0, "low": 20.0, "high": 600.0},
    "eta": {"mean": 0.0, "width": 0.5, "low": -2.0, "high": 2.0},
    "distance": [0.011, 3.0],
    "eta_max": 2.0,
    "mass": 2.0,
}
BOSON = {
    "kind": "boson",
    "boson_mass": {"mean": 90.0, "width": 10.0, "low": 20.0},
    "boson_pt": {"low": 150.0, "scale": 150.0},
    "boson_eta": {"mean": 0.0, "width": 1.0},
    "pt_min": 20.0,
    "eta_max": 2.0,
    "mass": 2.0,
}
FLAVOURS = {"b": 5, "c": 4, "light": 0}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        # All jets had pT 600 GeV: nothing of this Gaussian is left between the limits.
        (
            {**MULTIJET, "pt": {"mean": 20.0, "width": 1.0, "low": 500.0, "high": 600.0}},
            r"generators.pt: .* width 1.0 has a share of 0 between low 500.0 and high 600.0",
        ),
        ({**MULTIJET, "pt": {"mean": 20.0, "width": 200.0}}, r"generators: pt.low is None"),
        (
            {**MULTIJET, "pt": {"mean": 20.0, "width": 9.0, "low": -5.0, "high": 9.0}},
            r"generators: pt.low is -5.0; it must be given and above 0",
        ),
        # Leading jets had abs(eta) up to 3.4.
        (
            {**MULTIJET, "eta": {"mean": 0.0, "width": 1.0, "low": -3.4, "high": 2.0}},
            r"generators: eta.low is -3.4; it must be given and within eta_max, 2.0",
        ),
        (
            {**MULTIJET, "eta": {"mean": 0.0, "width": 1.0}},
            r"generators: eta.low is None; it must be given and within eta_max",
        ),
        (
            {**MULTIJET, "eta": {"mean": 0.0, "width": 1.0, "low": 2.0, "high": -2.0}},
            r"generators.eta: low is 2.0 and high is -2.0; low must be below high",
        ),
        (
            {**MULTIJET, "distance": [3.0, 0.011]},
            r"generators: distance is \[3.0, 0.011\]; the first",
        ),
        ({**MULTIJET, "distance": [0.0, 6.0]}, r"generators.distance.1: .*3.14.*not 6.0"),
        ({**MULTIJET, "mass": math.nan}, r"generators.mass: .*finite number, not nan"),
        ({**MULTIJET, "eta_may": 2.0}, r"generators.eta_may: Extra inputs are not permitted"),
        ({**BOSON, "mass": 10.5}, r"boson_mass.low is 20.0; .* at least twice mass, 21.0 GeV"),
        ({**BOSON, "boson_mass": {"mean": 90.0, "width": 10.0}}, r"boson_mass.low is None"),
        (
            {**BOSON, "boson_eta": {"mean": 0.0, "width": 0.1, "low": 5.0}},
            r"generators.boson_eta: a Gaussian .*share of 0 between low 5.0 and high inf",
        ),
    ],
)
def test_options_that_make_nonsense_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        make_generator(options, FLAVOURS)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {**BOSON, "pt_min": 1e5},
            r"of 10000 decays drawn, 0 pass pt_min 100000.0 GeV .*, a share of 0; .*Lower pt_min",
        ),
        (
            {**BOSON, "boson_eta": {"mean": 9.0, "width": 0.1}},
            r"boson: .* 0 pass .*raise eta_max or boson_pt \[150.0, 150.0\]",
        ),
        (
            {
                **MULTIJET,
                "eta": {"mean": 0.0, "width": 1.0, "low": -1e-6, "high": 1e-6},
                "distance": [2.9, 3.0],
                "eta_max": 1e-6,
            },
            r"multijet: of \d+ directions .* 0 lie inside eta_max 1e-06, a share of 0; .*Raise",
        ),
    ],
)
def test_thresholds_that_nothing_passes_stop_the_generator(
    options: dict[str, Any], text: str
) -> None:
    generator = make_generator(options, FLAVOURS)
    with pytest.raises(DataError, match=text):
        generator.events(10, np.random.default_rng(1))


def test_thresholds_that_few_events_pass_do_not(boson: Boson) -> None:
    rare = make_generator({**BOSON, "pt_min": 400.0}, FLAVOURS)
    jets = rare.events(2000, np.random.default_rng(1))
    assert jets.n_events == 2000
    assert jets.pt.min() > 400


@given(st.floats(-6, 6), st.floats(-6, 6))
def test_the_share_of_a_gaussian_between_two_values(a: float, b: float) -> None:
    expected = stats.norm.cdf(max(a, b)) - stats.norm.cdf(min(a, b))
    assert gaussian_share(min(a, b), max(a, b)) == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_a_generator_that_makes_other_events_is_refused(truth: NeighbourProduct) -> None:
    class Short(Multijet):
        def events(self, count: int, rng: np.random.Generator) -> Jets:
            return super().events(count - 1, rng)

    options = Multijet.options_type.model_validate(MULTIJET)
    with pytest.raises(
        DataError, match=r"Short made 9999 events, .*must make 10000, numbered from 0"
    ):
        next(generate(Short.from_options(options, FLAVOURS), truth, range(10), (1, "a")))


def test_options_can_be_given_as_an_object() -> None:
    options = Multijet.options_type.model_validate(MULTIJET)
    assert make_generator(options, FLAVOURS) == make_generator(MULTIJET, FLAVOURS)
    named = {**MULTIJET, "kind": "truthtag.toy.multijet:Multijet"}
    assert make_generator(named, FLAVOURS) == make_generator(MULTIJET, FLAVOURS)


def test_an_endless_sample_is_generated_block_by_block(
    multijet: Multijet, truth: NeighbourProduct
) -> None:
    blocks = generate(multijet, truth, range(10**12), (1, "endless"))
    assert next(blocks).n_events == BLOCK_EVENTS
    assert next(blocks).event[0] == BLOCK_EVENTS


def test_equal_bins(default_config: dict[str, Any]) -> None:
    edges = edges_of(default_config["estimators"]["map"]["pt"])
    assert len(edges) == 20
    assert (edges[0], edges[-1]) == (20, 600)
    assert np.allclose(np.diff(edges), 580 / 19)


# ---- labels and working points

LABELS = Labels(flavours=(0, 4, 5))
POINTS = {"loose": 1.0, "tight": 2.0}


def generated(generator: Generator, truth: Any, count: int, seed: int = 1, **options: Any) -> Jets:
    return concatenate(list(generate(generator, truth, range(count), (seed, "train"), **options)))


def test_the_streams_of_a_sample_are_what_they_were(
    multijet: Multijet, truth: NeighbourProduct
) -> None:
    """The first stream of a block makes the events, the second the scores."""
    jets = next(generate(multijet, truth, range(BLOCK_EVENTS), (1, "train")))
    words = [*seed_words((1, "train")), 0]
    plain = multijet.events(BLOCK_EVENTS, np.random.default_rng([*words, 0]))
    assert jets.digest() == plain.digest()
    score = np.random.default_rng([*words, 1]).random(jets.n_jets)
    assert np.array_equal(jets.score, score)
    assert np.array_equal(jets.is_tagged, score < truth.efficiency(plain))


def test_labels_and_points_change_no_event(multijet: Multijet, truth: NeighbourProduct) -> None:
    plain = generated(multijet, truth, 10_500)
    labelled = generated(multijet, truth, 10_500, labels=LABELS)
    assert_equal_jets(labelled, plain)
    assert plain.labels == Labels()
    assert labelled.labels == LABELS
    pointed = generated(multijet, truth, 10_500, working_points=POINTS, labels=LABELS)
    assert pointed.digest() == plain.digest()
    assert pointed.labels == Labels(flavours=(0, 4, 5), points=("loose", "tight"))
    assert np.array_equal(pointed.passes()[:, 0], plain.is_tagged)


def test_shards_with_points_and_further_variables_do_not_change_the_sample() -> None:
    generator = make_generator(WITH_TRACKS, FLAVOURS)
    truth = WithVariable(flat_truth(), "n_tracks", Step(7.0, 0.4, 1.0))
    options = {"working_points": POINTS, "labels": LABELS}
    whole = generated(generator, truth, 10_500, **options)
    parts = [
        part
        for a, b in itertools.pairwise([0, 7, 9_999, 10_001, 10_500])
        for part in generate(generator, truth, range(a, b), (1, "train"), **options)
    ]
    joined = concatenate(parts)
    assert joined.digest() == whole.digest()
    assert np.array_equal(joined.tag_bin, whole.tag_bin)
    assert np.array_equal(joined.further["n_tracks"], whole.further["n_tracks"])


def test_files_know_the_flavours_that_no_jet_has(
    multijet: Multijet, truth: NeighbourProduct, tmp_path: Path
) -> None:
    labels = Labels(flavours=(0, 4, 5, 15))
    blocks = generate(multijet, truth, range(50), (1, "few"), POINTS, labels)
    write_jets(blocks, tmp_path / "jets.parquet")
    again = read_jets(tmp_path / "jets.parquet")
    assert again.labels == Labels(flavours=(0, 4, 5, 15), points=("loose", "tight"))
    assert 15 not in again.flavour


def test_a_threshold_that_is_not_allowed_makes_no_sample(
    multijet: Multijet, truth: NeighbourProduct
) -> None:
    with pytest.raises(ConfigError, match=r"working_points.loose: 0 is not allowed"):
        next(generate(multijet, truth, range(10), (1, "a"), {"loose": 0}))


@pytest.mark.parametrize("points", [None, {}, POINTS])
def test_the_script_passes_points_and_labels_on(
    points: dict[str, float] | None,
    multijet: Multijet,
    truth: NeighbourProduct,
    default_config: dict[str, Any],
    tmp_path: Path,
) -> None:
    out = tmp_path / "0000.parquet"
    params = SimpleNamespace(
        generator=default_config["generators"]["multijet"],
        truth=default_config["truth"],
        flavours=default_config["flavours"],
        working_points=points,
        seed=1,
        events=(0, 40),
    )
    job = SimpleNamespace(
        log=[str(tmp_path / "job.log")],
        params=params,
        wildcards=SimpleNamespace(sample="train"),
        output=[str(out)],
    )
    script = ROOT / "workflow/scripts/generate_sample.py"
    runpy.run_path(str(script), {"snakemake": job}, run_name="__main__")
    jets = read_jets(out)
    direct = generated(multijet, truth, 40, working_points=points)
    assert jets.digest() == direct.digest()
    assert np.array_equal(jets.passes(), direct.passes())
    assert jets.labels == Labels(flavours=(0, 4, 5), points=tuple(points or ()))
    settings = read_metadata(out)["settings"]
    assert settings.get("working_points") == (points or None)
    assert json.dumps(settings)


# ---- further variables

TRACKS = {"distribution": "poisson", "means": {"b": 9.0, "c": 7.0, "light": 5.0}}
CHARGE = {"distribution": "normal", "mean": 0.1, "width": 0.5, "low": -1.0, "high": 1.0}
DEPTH = {"distribution": "uniform", "low": -2.0, "high": 3.0}
WITH_TRACKS = {**MULTIJET, "further": {"n_tracks": TRACKS}}


def flat_truth() -> NeighbourProduct:
    """A truth that is one efficiency for each flavour, nearly, whatever the neighbours."""
    from truthtag.toy.shapes import GaussianBase, NearbyDip

    base = {flavour: GaussianBase(0.6, 0.0, 1e6, 1e6) for flavour in (5, 4, 0)}
    return NeighbourProduct(base, {flavour: NearbyDip(0.0, 1.0) for flavour in (5, 4, 0)})


@pytest.fixture(scope="module")
def with_further(truth: NeighbourProduct) -> Jets:
    """20,000 events with three further variables."""
    further = {"n_tracks": TRACKS, "charge": CHARGE, "depth": DEPTH}
    generator = make_generator({**MULTIJET, "further": further}, FLAVOURS)
    return generated(generator, truth, 20_000, seed=7)


@pytest.mark.parametrize("options", [MULTIJET, BOSON], ids=["multijet", "boson"])
def test_further_variables_change_nothing_else(
    options: dict[str, Any], truth: NeighbourProduct
) -> None:
    plain = generated(make_generator(options, FLAVOURS), truth, 10_300)
    more = make_generator({**options, "further": {"n_tracks": TRACKS}}, FLAVOURS)
    jets = generated(more, truth, 10_300)
    assert_equal_jets(jets, plain)
    assert list(jets.further) == ["n_tracks"]
    assert dict(plain.further) == {}


def test_each_further_variable_has_a_stream_of_its_own(
    with_further: Jets, truth: NeighbourProduct
) -> None:
    """Neither the other variables nor their order, nor that of the flavours, changes one."""
    turned = {name: TRACKS["means"][name] for name in ("light", "b", "c")}
    further = {
        "charge": CHARGE,
        "other": TRACKS,
        "n_tracks": {"distribution": "poisson", "means": turned},
    }
    generator = make_generator({**MULTIJET, "further": further}, FLAVOURS)
    again = generated(generator, truth, 20_000, seed=7)
    for name in ("charge", "n_tracks"):
        assert np.array_equal(again.further[name], with_further.further[name]), name
    assert not np.array_equal(again.further["other"], again.further["n_tracks"])


def test_numbers_are_poisson_with_the_mean_of_their_flavour(with_further: Jets) -> None:
    tracks = with_further.further["n_tracks"]
    assert tracks.dtype == np.int32
    for name, mean in TRACKS["means"].items():
        inside = tracks[with_further.flavour == FLAVOURS[name]]
        # The tail is one bin: each has more than five entries then.
        last = int(stats.poisson.ppf(0.999, mean))
        expected = stats.poisson.pmf(np.arange(last), mean)
        expected = np.append(expected, 1 - expected.sum()) * len(inside)
        observed = np.bincount(np.minimum(inside, last), minlength=last + 1)
        assert expected.min() > 5 or mean == 9.0
        assert stats.chisquare(observed, expected).pvalue > P_VALUE


def test_further_variables_follow_their_distributions(with_further: Jets) -> None:
    charge = with_further.further["charge"]
    normal = stats.truncnorm(-2.2, 1.8, loc=0.1, scale=0.5)
    assert charge.dtype == np.float32
    assert stats.kstest(charge, normal.cdf).pvalue > P_VALUE
    assert np.abs(charge).max() <= 1
    depth = with_further.further["depth"]
    assert stats.kstest(depth, stats.uniform(-2, 5).cdf).pvalue > P_VALUE
    # Drawn by themselves: no correlation with each other, or with the jet.
    for a, b in ((charge, depth), (charge, with_further.pt), (depth, with_further.eta)):
        correlation = np.corrcoef(a, b)[0, 1]
        assert abs(correlation) < 4 / math.sqrt(with_further.n_jets)


def test_a_gaussian_can_have_a_mean_for_each_flavour(truth: NeighbourProduct) -> None:
    wide = {"distribution": "normal", "means": {"b": 3.0, "c": 2.0, "light": 1.0}, "width": 0.5}
    generator = make_generator({**MULTIJET, "further": {"x": wide}}, FLAVOURS)
    jets = generated(generator, truth, 5000)
    for name, mean in wide["means"].items():
        inside = jets.further["x"][jets.flavour == FLAVOURS[name]]
        assert abs(inside.mean() - mean) < 4 * 0.5 / math.sqrt(len(inside))


def test_a_generator_without_further_variables_needs_none(
    multijet: Multijet, truth: NeighbourProduct
) -> None:
    """Generators of other packages may be older than further variables."""

    class Old:
        options_type = Multijet.options_type

        def events(self, count: int, rng: np.random.Generator) -> Jets:
            return multijet.events(count, rng)

    assert_equal_jets(generated(Old(), truth, 100), generated(multijet, truth, 100))


def test_further_variables_stay_in_files(with_further: Jets, tmp_path: Path) -> None:
    few = with_further.first(50)
    write_jets([few], tmp_path / "jets.parquet")
    again = read_jets(tmp_path / "jets.parquet")
    assert list(again.further) == ["n_tracks", "charge", "depth"]
    for name, values in few.further.items():
        assert np.array_equal(again.further[name], values)
        assert again.further[name].dtype == values.dtype


@pytest.mark.parametrize(
    ("further", "text"),
    [
        (
            {"n": {"distribution": "possion", "mean": 3.0}},
            r"generators.further.n.distribution: .*'uniform', 'poisson' or 'normal', not 'possion'",
        ),
        (
            {"n": {"distribution": "poisson"}},
            r"generators.further.n: mean is None and means is None; .* needs one of the two",
        ),
        (
            {"n": {"distribution": "poisson", "mean": 3.0, "means": {"b": 1.0}}},
            r"generators.further.n: mean is 3.0 and means is \{'b': 1.0\}; .*one of the two",
        ),
        (
            {"n": {"distribution": "poisson", "mean": 3.0, "width": 1.0}},
            r"generators.further.n: width is no key of a distribution 'poisson'. Allowed: mean, m",
        ),
        (
            {"n": {"distribution": "poisson", "mean": 0.0}},
            r"generators.further.n: a mean is 0.0; .*above 0 and at most 1e\+06",
        ),
        (
            {"n": {"distribution": "normal", "mean": 0.0}},
            r"generators.further.n: key 'width' is missing, which a distribution 'normal' needs",
        ),
        (
            {"n": {"distribution": "normal", "mean": 0.0, "width": 1.0, "low": 50.0}},
            r"generators.further.n: a Gaussian .*share of 0 between low 50.0 and high inf",
        ),
        (
            {"n": {"distribution": "uniform", "low": 1.0}},
            r"generators.further.n: key 'high' is missing, which a distribution 'uniform' needs",
        ),
        (
            {"n": {"distribution": "uniform", "low": 1.0, "high": 1.0}},
            r"generators.further.n: low is 1.0 and high is 1.0; low must be below high",
        ),
        ({"pt": DEPTH}, r"generators.further.pt: a further column cannot be called 'pt'"),
        ({"2nd": DEPTH}, r"generators.further.2nd: .*cannot be called '2nd': it must begin with"),
        (
            {"n": {"distribution": "poisson", "means": {"b": 1.0, "c": 1.0}}},
            r"generators.further.n.means: the flavour 'light' has no mean; give one for each of",
        ),
        (
            {"n": {"distribution": "poisson", "means": {"b": 1.0, "ligth": 1.0}}},
            r"generators.further.n.means.ligth: 'ligth' is not .* Did you mean 'light'",
        ),
    ],
)
def test_further_variables_that_make_no_sense_are_refused(
    further: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        make_generator({**MULTIJET, "further": further}, FLAVOURS)


# ---- a study of a variable that a map does not see, in the library alone

COARSE = BinnedOptions(
    kind="binned",
    pt=EqualBins(bins=6, low=20.0, high=600.0),
    eta=EqualBins(bins=4, low=-2.0, high=2.0),
)


def leading_tracks(jets: Jets, efficiencies: dict[str, FloatArray]) -> ClosureHistogram:
    """Fill the tracks of the leading jet, which must be tagged."""
    events, leading = jets.leading_jets(1)
    first = leading[:, 0]
    entries = Entries(
        values=jets.further["n_tracks"][first],
        weight=jets.weight[events],
        passed=jets.is_tagged[first],
        probability={name: values[first] for name, values in efficiencies.items()},
    )
    return ClosureHistogram.fill(entries, np.arange(21) - 0.5)


@pytest.mark.parametrize(
    "form",
    [Step(at=7.0, below=0.4, above=1.0), Oscillation(amplitude=0.6, period=4.0)],
    ids=["step", "oscillation"],
)
def test_what_does_not_see_the_variable_is_right_on_average_and_does_not_close_in_it(
    truth: NeighbourProduct, form: Step | Oscillation
) -> None:
    generator = make_generator(WITH_TRACKS, FLAVOURS)
    full = WithVariable(truth, "n_tracks", form)
    train = generated(generator, full, 20_000, seed=3)
    test = generated(generator, full, 20_000, seed=4)
    blind = BinnedMap.fit(train, train, COARSE, (1, "map")).efficiency(test)
    histogram = leading_tracks(test, {"true": test.efficiency_true, "blind": blind})
    assert histogram.test("true", 10).p_value > P_VALUE
    assert histogram.test("blind", 10).p_value < 1e-12
    # On average: test and training sample each have the scatter of their tags.
    for flavour in (5, 4, 0):
        inside = test.flavour == flavour
        scatter = np.sqrt(2 * (blind * (1 - blind))[inside].sum())
        assert abs(test.is_tagged[inside].sum() - blind[inside].sum()) < 4 * scatter
