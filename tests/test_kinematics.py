"""Angles and masses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from truthtag.data.kinematics import (
    delta_phi,
    delta_r,
    invariant_mass,
    wrap_angle_float32,
    wrap_angle_float64,
)
from truthtag.errors import DataError

angles = st.floats(-1e4, 1e4)
near_pi = st.integers(-4, 4).flatmap(
    lambda k: st.floats(-1e-15, 1e-15).map(lambda x: (2 * k + 1) * math.pi + x)
)


@given(st.one_of(angles, near_pi))
def test_wrapped_angle_lies_in_the_interval_and_points_the_same_way(phi: float) -> None:
    wrapped = float(wrap_angle_float64(phi))
    assert -math.pi <= wrapped < math.pi
    assert math.cos(wrapped) == pytest.approx(math.cos(phi), abs=1e-9)
    assert math.sin(wrapped) == pytest.approx(math.sin(phi), abs=1e-9)


@given(st.one_of(angles, near_pi))
def test_stored_angle_lies_in_the_interval_after_rounding(phi: float) -> None:
    stored = wrap_angle_float32(np.array([phi]))
    assert stored.dtype == np.float32
    assert -math.pi <= float(stored[0]) < math.pi


@given(angles, angles, st.integers(-3, 3))
def test_delta_phi_is_antisymmetric_and_blind_to_full_turns(a: float, b: float, turns: int) -> None:
    d = float(delta_phi(a, b))
    assert abs(float(delta_phi(b, a))) == pytest.approx(abs(d), abs=1e-8)
    assert math.cos(float(delta_phi(a + turns * 2 * math.pi, b))) == pytest.approx(
        math.cos(d), abs=1e-8
    )


def test_delta_r_across_the_seam() -> None:
    assert float(delta_r(0.3, 3.1, 0.0, -3.1)) == pytest.approx(math.hypot(0.3, 2 * math.pi - 6.2))


@given(st.floats(-math.pi, math.pi), st.floats(0, 3))
def test_mass_is_blind_to_rotations_and_boosts_along_the_beam(turn: float, shift: float) -> None:
    pt, eta, phi, mass = (
        np.array([120.0, 60.0]),
        np.array([0.3, -1.0]),
        np.array([0.2, 1.4]),
        np.array([2.0, 2.0]),
    )
    still = float(invariant_mass(pt, eta, phi, mass))
    assert float(invariant_mass(pt, eta, phi + turn, mass)) == pytest.approx(still, rel=1e-9)
    massless = np.zeros(2)
    moved = float(invariant_mass(pt, eta + shift, phi, massless))
    assert moved == pytest.approx(float(invariant_mass(pt, eta, phi, massless)), rel=1e-9)


def test_mass_of_one_jet_is_its_own() -> None:
    assert float(invariant_mass([300.0], [1.5], [0.4], [2.0])) == pytest.approx(2.0, rel=1e-6)


def test_mass_of_two_massless_jets_by_hand() -> None:
    # m^2 = 2 pt1 pt2 (cosh(d_eta) - cos(d_phi))
    expected = math.sqrt(2 * 50 * 40 * (math.cosh(1.0) - math.cos(2.0)))
    assert float(invariant_mass([50, 40], [0.5, -0.5], [1.0, -1.0], [0, 0])) == pytest.approx(
        expected
    )


def test_masked_and_complex_angles_are_refused() -> None:
    masked = np.ma.array([0.1, 0.2], mask=[0, 1])
    with pytest.raises(DataError, match="phi: 1 of its entries are masked"):
        wrap_angle_float32(masked)
    with pytest.raises(DataError, match="phi_2: 1 of its entries are masked"):
        delta_r(0.0, 0.0, 0.0, masked)
    with pytest.raises(DataError, match="pt: holds complex numbers"):
        invariant_mass([1j, 2], [0, 0], [0, 0], [0, 0])
