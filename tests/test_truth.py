"""The true efficiency, against a slow version and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import make_jets
from truthtag.data.jets import Jets
from truthtag.data.kinematics import delta_r, wrap_angle_float32
from truthtag.errors import ConfigError, DataError
from truthtag.toy.truth import (
    GaussianBase,
    NearbyDip,
    NearestNeighbour,
    NeighbourProduct,
    make_truth,
    tag,
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
        match=r"truth.form is 'magic'; allowed are neighbour_product, nearest_neighbour",
    ):
        make_truth({"form": "magic"}, {})


def test_other_efficiencies_can_be_tagged_with_the_same_draws(few: Jets) -> None:
    again = tag(few, default_truth(), np.random.default_rng(1))
    assert np.array_equal(again.is_tagged, again.score < default_truth().efficiency(few))
    assert not np.array_equal(again.score, few.score)
