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
from truthtag.toy.shapes import GaussianBase, NearbyDip
from truthtag.toy.tagging import tag
from truthtag.toy.truth import make_truth

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
        r"Allowed: neighbour_product, nearest_neighbour",
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
