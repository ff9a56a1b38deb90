"""The true efficiency, against a slow version and by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import make_jets
from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.data.kinematics import delta_r, wrap_angle_float32
from truthtag.errors import ConfigError, DataError
from truthtag.toy.nearest_neighbour import NearestNeighbour
from truthtag.toy.neighbour_product import NeighbourProduct
from truthtag.toy.shapes import BaseOptions, GaussianBase, NearbyDip
from truthtag.toy.tagging import tag
from truthtag.toy.truth import make_truth
from truthtag.toy.with_variable import (
    Oscillation,
    Step,
    WithVariable,
    WithVariableOptions,
    modules_of_truth,
)

TABLE = {5: (0.80, 160, 280, 1.8), 4: (0.25, 180, 300, 2.0), 0: (0.02, 250, 400, 2.5)}
DIPS = {5: (0.45, 0.7), 4: (0.30, 0.6), 0: (0.15, 0.5)}


def slow_efficiency(jets: Jets) -> np.ndarray:
    """Eq. 2, a jet and a neighbour at a time, numbers from PHYSICS section 3."""
    eff = []
    for first, last in zip(jets.offsets[:-1], jets.offsets[1:], strict=True):
        for i in range(first, last):
            amplitude, mean, width, eta_width = TABLE[int(jets.flavour[i])]
            pt, eta, phi = float(jets.pt[i]), float(jets.eta[i]), float(jets.phi[i])
            value = amplitude * math.exp(
                -(((pt - mean) / width) ** 2) / 2 - (eta / eta_width) ** 2 / 2
            )
            for j in range(first, last):
                if j != i:
                    d_phi = abs(phi - float(jets.phi[j]))
                    distance = math.hypot(eta - float(jets.eta[j]), min(d_phi, 2 * math.pi - d_phi))
                    depth, reach = DIPS[int(jets.flavour[j])]
                    value *= 1 - depth * math.exp(-((distance / reach) ** 2) / 2)
            eff.append(value)
    return np.array(eff)


@given(st.lists(st.integers(0, 8), min_size=1, max_size=10), st.integers(0, 1000))
def test_equals_the_slow_version(counts: list[int], seed: int) -> None:
    jets, truth = make_jets(counts, seed), default_truth()
    np.testing.assert_allclose(truth.efficiency(jets), slow_efficiency(jets), rtol=1e-9)


def default_truth() -> NeighbourProduct:
    return NeighbourProduct(
        base={f: GaussianBase(*v) for f, v in TABLE.items()},
        correction={f: NearbyDip(*v) for f, v in DIPS.items()},
    )


def test_a_step_multiplies_the_efficiency_from_its_pt_on() -> None:
    options = {"amplitude": 0.8, "pt_mean": 160.0, "pt_width": 280.0, "eta_width": 1.8}
    smooth = GaussianBase.from_options(BaseOptions(**options))
    stepped = GaussianBase.from_options(BaseOptions(**options, step={"pt": 150.0, "factor": 0.6}))
    pt = np.array([20.0, 149.9, 150.0, 400.0])
    factors = stepped(pt, np.zeros(4)) / smooth(pt, np.zeros(4))
    assert factors == pytest.approx([1.0, 1.0, 0.6, 0.6])


def test_the_config_holds_the_numbers_of_the_table(truth: NeighbourProduct) -> None:
    assert truth == default_truth()


@given(st.floats(-10, 10), st.sampled_from([-1.0, 1.0]), st.sampled_from([-1.0, 1.0]))
def test_blind_to_rotations_and_reflections(
    turn: float, mirror_eta: float, mirror_phi: float
) -> None:
    jets, truth = make_jets([3, 5, 1, 6]), default_truth()
    moved = jets.with_columns(
        phi=wrap_angle_float32(mirror_phi * jets.phi.astype(float) + turn),
        eta=jets.eta * np.float32(mirror_eta),
    )
    np.testing.assert_allclose(truth.efficiency(moved), truth.efficiency(jets), rtol=1e-5)


def test_a_lone_jet_at_the_peak_has_the_amplitude() -> None:
    jets = make_jets(
        [1],
        flavour=np.array([5], dtype=np.int8),
        pt=np.array([160], dtype=np.float32),
        eta=np.zeros(1),
    )
    assert default_truth().efficiency(jets)[0] == pytest.approx(0.8)


def test_a_neighbour_on_top_takes_its_depth() -> None:
    same = {
        "eta": np.zeros(2),
        "phi": np.zeros(2),
        "pt": np.full(2, 160.0),
        "flavour": np.array([5, 0]),
    }
    # The light neighbour takes 15% from the b jet, the b neighbour 45% from the light jet.
    b_jet, light_jet = default_truth().efficiency(make_jets([2], **same))
    assert b_jet == pytest.approx(0.8 * 0.85)
    assert light_jet == pytest.approx(0.02 * math.exp(-((90 / 400) ** 2) / 2) * 0.55)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=6), st.integers(0, 1000))
def test_only_the_nearest_counts_where_efficiencies_do_not_factorise(
    counts: list[int], seed: int
) -> None:
    jets, full = make_jets(counts, seed), default_truth()
    truth = NearestNeighbour(full.base, full.correction, pt_half=150.0)
    eff = truth.efficiency(jets)
    for first, last in zip(jets.offsets[:-1], jets.offsets[1:], strict=True):
        for i in range(first, last):
            others = [j for j in range(first, last) if j != i]
            pt, flavour = float(jets.pt[i]), int(jets.flavour[i])
            expected = full.base[flavour](pt, float(jets.eta[i]))
            if others:
                distances = [
                    float(delta_r(jets.eta[i], jets.phi[i], jets.eta[j], jets.phi[j]))
                    for j in others
                ]
                k = others[int(np.argmin(distances))]
                depth, reach = DIPS[int(jets.flavour[k])]
                expected *= 1 - pt / (pt + 150) * depth * math.exp(
                    -((min(distances) / reach) ** 2) / 2
                )
                assert expected == pytest.approx(
                    truth.own(flavour, pt, float(jets.eta[i]))
                    * truth.factor(int(jets.flavour[k]), np.array(min(distances)), pt)
                )
            assert eff[i] == pytest.approx(expected)


def test_an_unknown_flavour_is_refused() -> None:
    jets = make_jets([2], flavour=np.array([5, 15]))
    with pytest.raises(
        DataError, match=r"knows the flavours \[0, 4, 5\], a jet has 15 \(1 such jets\).*drop those"
    ):
        default_truth().efficiency(jets)


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(
        ConfigError,
        match=r"truth.kind: 'magic' is not a form of the true efficiency. "
        r"Allowed: neighbour_product, nearest_neighbour, with_variable",
    ):
        make_truth({"kind": "magic"}, {})


def test_other_efficiencies_can_be_tagged_with_the_same_draws(few: Jets) -> None:
    again = tag(few, default_truth(), np.random.default_rng(1))
    assert np.array_equal(again.is_tagged, again.score < default_truth().efficiency(few))
    assert not np.array_equal(again.score, few.score)


OPTIONS = {
    "kind": "nearest_neighbour",
    "base": {"b": {"amplitude": 0.8, "pt_mean": 160.0, "pt_width": 280.0, "eta_width": 1.8}},
    "correction": {"b": {"depth": 0.45, "width": 0.7}},
    "pt_half": 150.0,
}


def test_a_form_is_built_from_its_options() -> None:
    expected = NearestNeighbour(
        base={5: GaussianBase(0.8, 160, 280, 1.8)},
        correction={5: NearbyDip(0.45, 0.7)},
        pt_half=150.0,
    )
    assert make_truth(OPTIONS, {"b": 5}) == expected
    as_object = NearestNeighbour.options_type.model_validate(OPTIONS)
    assert make_truth(as_object, {"b": 5}) == expected


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"kind": "neighbour_product"}, r"truth.pt_half: Extra inputs are not permitted"),
        ({"pt_half": None}, r"truth.pt_half: .*valid number, not None"),
        ({"pt_half": 0.0}, r"truth.pt_half: .*greater than 0, not 0.0"),
        (
            {"base": {"b": {"amplitude": 1.5}}},
            r"truth.base.b.amplitude: .*less than or equal to 1",
        ),
        ({"correction": {"b": {"depth": -0.1, "width": 0.7}}}, r"truth.correction.b.depth: .*-0.1"),
        ({"base": {"c": OPTIONS["base"]["b"]}}, r"truth.base.c: 'c' is not a flavour. Allowed: b"),
    ],
)
def test_options_that_are_not_allowed_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        make_truth({**OPTIONS, **changes}, {"b": 5})


@pytest.mark.parametrize("value", [1.5, -0.25, math.nan])
def test_a_truth_that_gives_no_probability_is_refused(few: Jets, value: float) -> None:
    class Nonsense(NeighbourProduct):
        def efficiency(self, jets: Jets) -> FloatArray:
            eff = super().efficiency(jets)
            eff[3] = value
            return eff

    good = default_truth()
    text = rf"truth: the efficiency of a jet of flavour \d, pt .* is {value} \(1 such jets\)"
    with pytest.raises(DataError, match=text):
        tag(few, Nonsense(good.base, good.correction), np.random.default_rng(1))


def test_a_truth_of_another_length_is_refused(few: Jets) -> None:
    class Short(NeighbourProduct):
        def efficiency(self, jets: Jets) -> FloatArray:
            return super().efficiency(jets)[1:]

    good = default_truth()
    with pytest.raises(DataError, match=rf"shape \({few.n_jets - 1},\); it must be"):
        tag(few, Short(good.base, good.correction), np.random.default_rng(1))


# ---- a truth that depends on a further variable

STEP = {"kind": "step", "at": 7.0, "below": 0.4, "above": 1.0}
WAVE = {"kind": "oscillation", "amplitude": 0.6, "period": 4.0}
WITH_VARIABLE = {"kind": "with_variable", "of": OPTIONS, "variable": "n_tracks", "form": STEP}


def with_tracks(counts: list[int], seed: int) -> Jets:
    jets = make_jets(counts, seed)
    tracks = np.random.default_rng(seed).integers(0, 20, jets.n_jets)
    return jets.with_columns(further={"n_tracks": tracks})


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=8),
    st.integers(0, 1000),
    st.sampled_from([Step(7.0, 0.4, 1.0), Oscillation(0.6, 4.0, 1.5)]),
)
def test_the_efficiency_is_that_of_the_other_truth_times_the_factor(
    counts: list[int], seed: int, form: Step | Oscillation
) -> None:
    jets = with_tracks(counts, seed)
    other = default_truth()
    eff = WithVariable(other, "n_tracks", form).efficiency(jets)
    for jet, tracks in enumerate(jets.further["n_tracks"].tolist()):
        if isinstance(form, Step):
            factor = 0.4 if tracks < 7 else 1.0
        else:
            factor = (1 + 0.6 * math.sin(2 * math.pi * (tracks - 1.5) / 4)) / 1.6
        assert eff[jet] == pytest.approx(other.efficiency(jets)[jet] * factor, rel=1e-12)


@given(
    st.floats(0, 1),
    st.floats(1e-3, 1e3),
    st.floats(-100, 100),
    st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=20),
)
def test_an_oscillation_is_a_factor_between_its_ends(
    amplitude: float, period: float, start: float, values: list[float]
) -> None:
    factor = Oscillation(amplitude, period, start)(np.array(values))
    assert np.all(factor <= 1)
    assert np.all(factor >= (1 - amplitude) / (1 + amplitude) - 1e-12)


@given(st.floats(0, 1), st.floats(0.5, 20), st.floats(-5, 5))
def test_the_mean_of_an_oscillation_is_that_over_a_period(
    amplitude: float, period: float, start: float
) -> None:
    form = Oscillation(amplitude, period, start)
    # Points of equal distance give the mean of a sine exactly.
    points = start + period * np.arange(16) / 16
    assert form(points).mean() == pytest.approx(form.mean, abs=1e-12)


def test_a_step_is_the_upper_factor_from_its_value_on() -> None:
    form = Step(at=7.0, below=0.4, above=1.0)
    assert form(np.array([6.0, np.nextafter(7, 0), 7.0, 8.0])).tolist() == [0.4, 0.4, 1.0, 1.0]
    assert form.mean == 0.7


def test_its_own_is_at_the_mean_of_the_form_and_neighbours_do_as_before() -> None:
    other = default_truth()
    truth = WithVariable(other, "n_tracks", Step(7.0, 0.4, 1.0))
    pt = np.array([50.0, 160.0])
    eta = np.array([0.0, 1.0])
    np.testing.assert_allclose(truth.own(5, pt, eta), 0.7 * other.own(5, pt, eta))
    distance = np.linspace(0, 3, 5)
    assert np.array_equal(truth.factor(4, distance, 100.0), other.factor(4, distance, 100.0))


def test_it_is_built_from_its_options() -> None:
    other = make_truth(OPTIONS, {"b": 5})
    expected = WithVariable(other, "n_tracks", Step(7.0, 0.4, 1.0))
    assert make_truth(WITH_VARIABLE, {"b": 5}) == expected
    as_object = WithVariableOptions.model_validate(WITH_VARIABLE)
    assert make_truth(as_object, {"b": 5}) == expected
    assert WithVariableOptions.model_validate(as_object.model_dump()) == as_object
    wave = make_truth({**WITH_VARIABLE, "form": WAVE}, {"b": 5})
    assert wave == WithVariable(other, "n_tracks", Oscillation(0.6, 4.0))


def test_it_can_depend_on_two_variables() -> None:
    twice = {"kind": "with_variable", "of": WITH_VARIABLE, "variable": "charge", "form": WAVE}
    truth = make_truth(twice, {"b": 5})
    jets = make_jets([3, 2], flavour=np.full(5, 5))
    charge = np.linspace(-1, 1, 5).astype(np.float32)
    jets = jets.with_columns(further={"n_tracks": np.array([3, 7, 9, 0, 8]), "charge": charge})
    expected = make_truth(WITH_VARIABLE, {"b": 5}).efficiency(jets)
    expected *= Oscillation(0.6, 4.0)(charge.astype(float))
    np.testing.assert_allclose(truth.efficiency(jets), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"variable": 7}, r"truth.variable: .*valid string, not 7"),
        ({"pt_half": 1.0}, r"truth.pt_half: Extra inputs are not permitted"),
        ({"of": {**OPTIONS, "pt_half": 0.0}}, r"truth.of.pt_half: .*greater than 0, not 0.0"),
        ({"of": {"kind": "magic"}}, r"truth.of.kind: allowed are .*, not 'magic'"),
        ({"of": {}}, r"truth.of.kind: Field required"),
        ({"of": "neighbour_product"}, r"truth.of: .*valid dictionary, not 'neighbour_product'"),
        (
            {"of": {**OPTIONS, "base": {"c": OPTIONS["base"]["b"]}}},
            r"^truth.of.base.c: 'c' is not a flavour. Allowed: b",
        ),
        (
            {"of": {**WITH_VARIABLE, "of": {**OPTIONS, "base": {"c": OPTIONS["base"]["b"]}}}},
            r"^truth.of.of.base.c: 'c' is not a flavour",
        ),
        ({"form": {"kind": "steep"}}, r"truth.form.kind: allowed are step, oscillation.*'step'"),
        ({"form": {**STEP, "below": 1.5}}, r"truth.form.below: .*less than or equal to 1, not 1.5"),
        ({"form": {**STEP, "period": 1.0}}, r"truth.form.period: Extra inputs are not permitted"),
        ({"form": {**WAVE, "amplitude": -0.1}}, r"truth.form.amplitude: .*or equal to 0, not -0.1"),
        ({"form": {**WAVE, "period": 0.0}}, r"truth.form.period: .*greater than 0, not 0.0"),
    ],
)
def test_options_of_it_that_are_not_allowed_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        make_truth({**WITH_VARIABLE, **changes}, {"b": 5})


def test_jets_without_the_variable_are_refused(few: Jets) -> None:
    truth = WithVariable(default_truth(), "n_tracks", Step(7.0, 0.4, 1.0))
    text = r"truth.variable: the jets have no further column 'n_tracks'; add it to .*`further`"
    with pytest.raises(DataError, match=text + r".* There are: none"):
        truth.efficiency(few)
    near = few.with_columns(further={"n_track": np.zeros(few.n_jets)})
    with pytest.raises(DataError, match=text + r".* There are: n_track. Did you mean 'n_track'"):
        truth.efficiency(near)


def test_an_edit_of_any_part_of_a_truth_counts() -> None:
    options = WithVariableOptions.model_validate(WITH_VARIABLE)
    assert modules_of_truth(options) == [
        "truthtag.toy.with_variable",
        "truthtag.toy.nearest_neighbour",
        "truthtag.toy.with_variable",
    ]
    assert modules_of_truth(options.of) == ["truthtag.toy.nearest_neighbour"]
