"""Angles and masses, each defined once for the whole project."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import numpy as np

from truthtag.arrays import FloatArray, plain_array

__all__ = [
    "delta_phi",
    "delta_r",
    "invariant_mass",
    "wrap_angle",
    "wrap_angle_float32",
    "wrap_angle_float64",
]

Array = TypeVar("Array")


def wrap_angle(phi: Array) -> Array:
    r"""Bring angles near :math:`[-\pi, \pi)`, up to rounding; for arrays and tensors alike.

    .. math:: (\phi + \pi) \bmod 2\pi - \pi

    In numbers of few digits the result can land on an end of the interval or just beside it;
    :func:`wrap_angle_float64` and :func:`wrap_angle_float32` never leave it.

    Args:
        phi: Angles of any shape [rad], an array of numpy or a tensor of torch.
    """
    return cast("Array", (cast("Any", phi) + np.pi) % (2 * np.pi) - np.pi)


def wrap_angle_float64(phi: FloatArray) -> FloatArray:
    r"""Bring azimuthal angles into :math:`[-\pi, \pi)`, in double precision.

    Args:
        phi: Angles of any shape [rad].

    Returns:
        The same angles in :math:`[-\pi, \pi)`, float64.

    Example:
        >>> wrap_angle_float64(np.array([0.0, np.pi, 4.0]))
        array([ 0.        , -3.14159265, -2.28318531])
    """
    wrapped = wrap_angle(_real(phi, "phi"))
    # Rounding can land exactly on an end of the interval, or just beside it.
    wrapped = np.where(wrapped >= np.pi, -np.pi, wrapped)
    return np.maximum(wrapped, -np.pi)


def wrap_angle_float32(phi: FloatArray) -> FloatArray:
    r"""Wrap angles and round them to float32 without leaving :math:`[-\pi, \pi)`.

    The float32 nearest to :math:`\pi` is above it, so plain rounding would leave the interval.

    Args:
        phi: Angles of any shape [rad].

    Returns:
        float32 angles, the form in which samples are stored.
    """
    edge = np.nextafter(np.float32(np.pi), np.float32(0))
    return np.clip(wrap_angle_float64(phi).astype(np.float32), -edge, edge)


def _real(values: FloatArray, name: str) -> FloatArray:
    """Return values as float64, refusing masked and complex ones."""
    return np.asarray(plain_array(values, name), dtype=np.float64)


def delta_phi(phi_1: FloatArray, phi_2: FloatArray) -> FloatArray:
    r"""Difference of two azimuthal angles, wrapped into :math:`[-\pi, \pi)`.

    Args:
        phi_1: First angles [rad].
        phi_2: Second angles [rad], of a shape that broadcasts with the first.

    Returns:
        :math:`\phi_1 - \phi_2`, float64 [rad].
    """
    return wrap_angle_float64(_real(phi_1, "phi_1") - _real(phi_2, "phi_2"))


def delta_r(
    eta_1: FloatArray, phi_1: FloatArray, eta_2: FloatArray, phi_2: FloatArray
) -> FloatArray:
    r"""Angular distance in the plane of pseudorapidity and azimuth.

    .. math:: \Delta R = \sqrt{(\eta_1 - \eta_2)^2 + \Delta\phi(\phi_1, \phi_2)^2}

    Args:
        eta_1: Pseudorapidities of the first jets.
        phi_1: Azimuthal angles of the first jets [rad].
        eta_2: Pseudorapidities of the second jets.
        phi_2: Azimuthal angles of the second jets [rad].

    Returns:
        Distances, float64. Source: Section 3 of arXiv:2004.02665, with the azimuth wrapped.

    Example:
        >>> float(delta_r(0.0, 3.1, 0.0, -3.1).round(4))
        0.0832
    """
    d_eta = _real(eta_1, "eta_1") - _real(eta_2, "eta_2")
    return np.hypot(d_eta, delta_phi(phi_1, phi_2))


def invariant_mass(
    pt: FloatArray, eta: FloatArray, phi: FloatArray, mass: FloatArray
) -> FloatArray:
    r"""Invariant mass of the systems that the last axis runs over.

    .. math:: m^2 = \left(\sum_i E_i\right)^2 - \left|\sum_i \vec{p}_i\right|^2

    Args:
        pt: Transverse momenta, shape (..., n) [GeV].
        eta: Pseudorapidities, shape (..., n).
        phi: Azimuthal angles, shape (..., n) [rad].
        mass: Masses, shape (..., n) [GeV].

    Returns:
        Masses of the n-jet systems, shape (...,) [GeV].

    Example:
        >>> back_to_back = invariant_mass([50.0, 50.0], [0.0, 0.0], [0.0, np.pi], [0.0, 0.0])
        >>> float(back_to_back.round(6))
        100.0
    """
    pt = _real(pt, "pt")
    eta = _real(eta, "eta")
    phi = _real(phi, "phi")
    mass = _real(mass, "mass")
    p_z = pt * np.sinh(eta)
    energy = np.sqrt(pt**2 + p_z**2 + mass**2).sum(axis=-1)
    p_x = (pt * np.cos(phi)).sum(axis=-1)
    p_y = (pt * np.sin(phi)).sum(axis=-1)
    squared = energy**2 - p_x**2 - p_y**2 - p_z.sum(axis=-1) ** 2
    # For nearly parallel light jets the difference can come out below 0.
    return np.asarray(np.sqrt(np.maximum(squared, 0.0)))
