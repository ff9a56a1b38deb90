"""Toy events of a boosted scalar that decays to two jets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from truthtag.arrays import FloatArray, IntArray
from truthtag.data.jets import Jets
from truthtag.data.kinematics import wrap_angle_float32
from truthtag.errors import DataError
from truthtag.options import Options, Real
from truthtag.toy.distributions import GaussianOptions, TruncatedNormal
from truthtag.toy.further import Variable, further_variables
from truthtag.toy.generator import MAX_TRIES, GeneratorOptions, gives_up

__all__ = ["Boson", "BosonMomentumOptions", "BosonOptions"]


class BosonMomentumOptions(Options):
    """A falling exponential from a lower end."""

    low: Annotated[Real, Field(ge=0)]
    """Lower end [GeV]."""

    scale: Annotated[Real, Field(gt=0)]
    """Decay constant [GeV]."""


class BosonOptions(GeneratorOptions):
    """A boosted scalar that decays to two jets of one flavour (Section 6)."""

    boson_mass: GaussianOptions
    """Mass of the scalar [GeV]; `low` must be at least twice `mass`."""

    boson_pt: BosonMomentumOptions
    """Falling exponential of the scalar's transverse momentum [GeV]."""

    boson_eta: GaussianOptions
    """Pseudorapidity of the scalar."""

    pt_min: Annotated[Real, Field(gt=0)]
    """Smallest transverse momentum of a jet [GeV]."""

    eta_max: Annotated[Real, Field(gt=0)]
    """Largest absolute pseudorapidity of a jet."""

    mass: Annotated[Real, Field(ge=0)]
    """Mass of every jet [GeV]."""

    @model_validator(mode="after")
    def _can_decay(self) -> Self:
        low = self.boson_mass.low
        if low is None or low <= 0 or low < 2 * self.mass:
            msg = (
                f"boson_mass.low is {low}; it must be given, above 0 and at least twice mass, "
                f"{2 * self.mass} GeV: a lighter scalar cannot decay to two jets"
            )
            raise ValueError(msg)
        return self


class Decays(NamedTuple):
    """Decays without thresholds: two rows a decay, the harder jet first, as they are stored.

    Attributes:
        pt: Transverse momenta, shape (2 * count,) [GeV].
        eta: Pseudorapidities, shape (2 * count,).
        phi: Azimuthal angles, shape (2 * count,) [rad].
        flavour: Flavour of both jets of each decay, shape (count,).
    """

    pt: FloatArray
    eta: FloatArray
    phi: FloatArray
    flavour: IntArray


@dataclass(frozen=True)
class Boson:
    r"""A boosted scalar that decays to two jets of one flavour (Section 6 of arXiv:2004.02665).

    The decay is isotropic in the rest frame of the scalar; the two jets are boosted to the
    laboratory, and the event is kept when both pass the thresholds.

    Args:
        boson_mass: Distribution of the scalar's mass [GeV].
        boson_pt: Lower end and decay constant of the exponential transverse momentum [GeV].
        boson_eta: Distribution of the scalar's pseudorapidity.
        pt_min: Smallest transverse momentum of a jet [GeV].
        eta_max: Largest absolute pseudorapidity of a jet.
        mass: Mass of every jet [GeV].
        flavours: Hadron flavours, equally probable.
        further: Further variables of the jets, by name.
    """

    boson_mass: TruncatedNormal
    boson_pt: tuple[float, float]
    boson_eta: TruncatedNormal
    pt_min: float
    eta_max: float
    mass: float
    flavours: tuple[int, ...]
    further: Mapping[str, Variable] = field(default_factory=dict)

    options_type: ClassVar[type[BosonOptions]] = BosonOptions

    @classmethod
    def from_options(cls, options: BosonOptions, flavours: Mapping[str, int]) -> Boson:
        """Build from options; flavours are numbered here."""
        return cls(
            boson_mass=TruncatedNormal.from_options(options.boson_mass),
            boson_pt=(options.boson_pt.low, options.boson_pt.scale),
            boson_eta=TruncatedNormal.from_options(options.boson_eta),
            pt_min=options.pt_min,
            eta_max=options.eta_max,
            mass=options.mass,
            flavours=tuple(flavours.values()),
            further=further_variables(options.further, flavours),
        )

    def events(self, count: int, rng: np.random.Generator) -> Jets:
        """Generate ``count`` events, numbered from 0.

        Raises:
            DataError: Nearly no decay passes the thresholds.
        """
        parts: list[Decays] = []
        kept = 0
        tried = 0
        while kept < count:
            decays = self._decays(count, rng)
            passed = self._passed(decays)
            parts.append(_choose(decays, passed[: count - kept]))
            kept += len(parts[-1].flavour)
            tried += count
            if gives_up(kept, count, tried):
                msg = (
                    f"boson: of {tried} decays drawn, {kept} pass pt_min {self.pt_min} GeV and "
                    f"eta_max {self.eta_max}, a share of {kept / tried:.2g}; it gives up after "
                    f"{MAX_TRIES} draws for each of {count} that are wanted. "
                    f"Lower pt_min, raise eta_max or boson_pt {list(self.boson_pt)}."
                )
                raise DataError(msg)
        decays = Decays(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
        return Jets(
            event=np.arange(count),
            offsets=np.arange(0, 2 * count + 1, 2),
            pt=decays.pt,
            eta=decays.eta,
            phi=decays.phi,
            mass=np.full(2 * count, self.mass, dtype=np.float32),
            flavour=np.repeat(decays.flavour, 2),
            weight=np.ones(count),
        )

    def _passed(self, decays: Decays) -> IntArray:
        """Return the positions of the decays of which both jets pass the thresholds."""
        central = (np.abs(decays.eta) < self.eta_max).reshape(-1, 2).all(axis=1)
        hard = decays.pt.reshape(-1, 2).min(axis=1) > self.pt_min
        return np.flatnonzero(hard & central)

    def _decays(self, count: int, rng: np.random.Generator) -> Decays:
        """Draw ``count`` decays, without thresholds."""
        # The order of the draws is part of what defines a sample.
        mass = self.boson_mass.sample(count, rng)
        low, scale = self.boson_pt
        pt = low + rng.exponential(scale, count)
        eta = self.boson_eta.sample(count, rng)
        boson = _momentum(pt, eta, rng.uniform(-np.pi, np.pi, count))
        jet_1 = _boost(self._rest_frame(mass, rng), mass, boson, self.mass)
        momenta = np.stack([jet_1, boson - jet_1], axis=1)
        # The harder jet first.
        order = np.argsort(-np.hypot(momenta[..., 0], momenta[..., 1]), axis=1, kind="stable")
        momenta = np.take_along_axis(momenta, order[..., None], axis=1).reshape(-1, 3)
        jet_pt = np.hypot(momenta[:, 0], momenta[:, 1])
        return Decays(
            pt=jet_pt.astype(np.float32),
            eta=np.arcsinh(momenta[:, 2] / jet_pt).astype(np.float32),
            phi=wrap_angle_float32(np.arctan2(momenta[:, 1], momenta[:, 0])),
            flavour=rng.choice(np.array(self.flavours, dtype=np.int8), count),
        )

    def _rest_frame(self, mass: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Draw one jet's momentum in the boson's rest frame, isotropic, shape (count, 3) [GeV]."""
        cosine = rng.uniform(-1, 1, len(mass))
        azimuth = rng.uniform(-np.pi, np.pi, len(mass))
        sine = np.sqrt(1 - cosine**2)
        size = np.sqrt(mass**2 / 4 - self.mass**2)
        direction = np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine], axis=1)
        return np.asarray(size[:, None] * direction)


def _choose(decays: Decays, chosen: IntArray) -> Decays:
    """Return some of the decays, by position."""
    rows = (2 * chosen[:, None] + np.arange(2)).ravel()
    return Decays(decays.pt[rows], decays.eta[rows], decays.phi[rows], decays.flavour[chosen])


def _momentum(pt: FloatArray, eta: FloatArray, phi: FloatArray) -> FloatArray:
    """Return Cartesian momenta, shape (count, 3)."""
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=1)


def _boost(
    momentum: FloatArray, mass: FloatArray, frame: FloatArray, particle_mass: float
) -> FloatArray:
    r"""Boost momenta from the rest frame of a system to the laboratory.

    .. math:: \vec p' = \vec p
        + \vec P \left(\frac{\vec p \cdot \vec P}{M (E_P + M)} + \frac{E_p}{M}\right)

    Args:
        momentum: Momenta in the rest frame, :math:`\vec p`, shape (count, 3) [GeV].
        mass: Masses of the systems, :math:`M`, shape (count,) [GeV].
        frame: Momenta of the systems, :math:`\vec P`, shape (count, 3) [GeV].
        particle_mass: Mass of the particles that are boosted [GeV].
    """
    frame_energy = np.sqrt((frame**2).sum(axis=1) + mass**2)
    energy = np.sqrt((momentum**2).sum(axis=1) + particle_mass**2)
    along = (momentum * frame).sum(axis=1) / (mass * (frame_energy + mass)) + energy / mass
    return np.asarray(momentum + frame * along[:, None])
