"""Toy events of a few jets around a leading one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from truthtag.arrays import FloatArray, IntArray
from truthtag.data.jets import Jets
from truthtag.data.kinematics import wrap_angle_float32
from truthtag.errors import DataError
from truthtag.options import Real, Whole
from truthtag.toy.distributions import (
    ExponentialOptions,
    GaussianOptions,
    TruncatedExponential,
    TruncatedNormal,
)
from truthtag.toy.further import Variable, further_variables
from truthtag.toy.generator import MAX_TRIES, GeneratorOptions, gives_up

__all__ = ["Multijet", "MultijetOptions"]


class MultijetOptions(GeneratorOptions):
    """Events of a few jets around a leading one (Appendix A)."""

    minimum_jets: Annotated[Whole, Field(ge=1)]
    """Fewest jets of an event."""

    extra_jets: ExponentialOptions
    """Truncated exponential of the number of further jets, before rounding down."""

    pt: GaussianOptions
    """Transverse momentum of every jet [GeV]; `low` must be above 0."""

    eta: GaussianOptions
    """Pseudorapidity of the leading jet; `low` and `high` must lie within `eta_max`."""

    distance: Annotated[
        list[Annotated[Real, Field(ge=0, le=math.pi)]], Field(min_length=2, max_length=2)
    ]
    """Range of Delta R between the leading jet and any other, at most pi, where phi closes."""

    eta_max: Annotated[Real, Field(gt=0)]
    """Largest absolute pseudorapidity."""

    mass: Annotated[Real, Field(ge=0)]
    """Mass of every jet [GeV]."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.pt.low is None or self.pt.low <= 0:
            msg = f"pt.low is {self.pt.low}; it must be given and above 0, as every jet's pt"
            raise ValueError(msg)
        low, high = self.distance
        if not low < high:
            msg = f"distance is {self.distance}; the first number must be below the second"
            raise ValueError(msg)
        for name, end in (("low", self.eta.low), ("high", self.eta.high)):
            if end is None or abs(end) > self.eta_max:
                msg = (
                    f"eta.{name} is {end}; it must be given and within eta_max, {self.eta_max}, "
                    "or leading jets lie outside the detector"
                )
                raise ValueError(msg)
        return self


@dataclass(frozen=True)
class Multijet:
    r"""Events of a few jets around a leading one (Appendix A of arXiv:2004.02665).

    The number of jets is ``minimum_jets`` plus the floor of an exponential. The hardest jet lies
    near the middle of the detector. Every other lies at a distance :math:`\Delta R` from it, of
    density proportional to :math:`\sqrt{\Delta R}`, at an angle that is uniform in the
    :math:`\eta`-:math:`\phi` plane; a direction outside the detector is drawn again, distance and
    angle both.

    Args:
        minimum_jets: Fewest jets of an event.
        extra_jets: Distribution of the number of further jets, before rounding down.
        pt: Distribution of transverse momenta [GeV].
        eta: Distribution of the leading jet's pseudorapidity.
        distance: Interval of Delta R to the leading jet.
        eta_max: Largest absolute pseudorapidity of the other jets.
        mass: Mass of every jet [GeV].
        flavours: Hadron flavours, equally probable.
        further: Further variables of the jets, by name.
    """

    minimum_jets: int
    extra_jets: TruncatedExponential
    pt: TruncatedNormal
    eta: TruncatedNormal
    distance: tuple[float, float]
    eta_max: float
    mass: float
    flavours: tuple[int, ...]
    further: Mapping[str, Variable] = field(default_factory=dict)

    options_type: ClassVar[type[MultijetOptions]] = MultijetOptions

    @classmethod
    def from_options(cls, options: MultijetOptions, flavours: Mapping[str, int]) -> Multijet:
        """Build from options; flavours are numbered here."""
        low, high = options.distance
        return cls(
            minimum_jets=options.minimum_jets,
            extra_jets=TruncatedExponential.from_options(options.extra_jets),
            pt=TruncatedNormal.from_options(options.pt),
            eta=TruncatedNormal.from_options(options.eta),
            distance=(low, high),
            eta_max=options.eta_max,
            mass=options.mass,
            flavours=tuple(flavours.values()),
            further=further_variables(options.further, flavours),
        )

    def events(self, count: int, rng: np.random.Generator) -> Jets:
        """Generate ``count`` events, numbered from 0.

        Raises:
            DataError: Nearly no direction lies inside the detector.
        """
        extra = np.floor(self.extra_jets.sample(count, rng)).astype(np.int64)
        multiplicity = self.minimum_jets + extra
        offsets = np.r_[0, np.cumsum(multiplicity)]
        # The order of the draws is part of what defines a sample.
        eta, phi = self._directions(offsets, rng)
        n_jets = int(offsets[-1])
        pt = _fall_in_event(self.pt.sample(n_jets, rng), offsets)
        flavour = rng.choice(np.array(self.flavours, dtype=np.int8), n_jets)
        return Jets(
            event=np.arange(count),
            offsets=offsets,
            pt=pt.astype(np.float32),
            eta=eta.astype(np.float32),
            phi=wrap_angle_float32(phi),
            mass=np.full(n_jets, self.mass, dtype=np.float32),
            flavour=flavour,
            weight=np.ones(count),
        )

    def _directions(
        self, offsets: IntArray, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray]:
        """Draw the leading jets' directions, then the others' around them."""
        count = len(offsets) - 1
        n_jets = int(offsets[-1])
        lead_eta = self.eta.sample(count, rng)
        lead_phi = rng.uniform(-np.pi, np.pi, count)
        event = np.repeat(np.arange(count), np.diff(offsets))
        eta = lead_eta[event]
        phi = lead_phi[event]
        outside = np.setdiff1d(np.arange(n_jets), offsets[:-1], assume_unique=True)
        wanted = len(outside)
        tried = 0
        while len(outside):
            distance, angle = self._offset(len(outside), rng)
            tried += len(outside)
            near = lead_eta[event[outside]] + distance * np.cos(angle)
            inside = np.abs(near) < self.eta_max
            eta[outside[inside]] = near[inside]
            phi[outside[inside]] += (distance * np.sin(angle))[inside]
            outside = outside[~inside]
            kept = wanted - len(outside)
            if gives_up(kept, wanted, tried):
                msg = (
                    f"multijet: of {tried} directions drawn around leading jets, {kept} lie inside "
                    f"eta_max {self.eta_max}, a share of {kept / tried:.2g}; it gives up after "
                    f"{MAX_TRIES} draws for each of {wanted} that are wanted. "
                    f"Raise eta_max, or lower distance, {list(self.distance)}."
                )
                raise DataError(msg)
        return eta, phi

    def _offset(self, count: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Draw distances to the leading jet, of density as their square root, and angles."""
        # The integral of the square root goes with the power 3/2: drawn uniformly, then inverted.
        low, high = np.array(self.distance) ** 1.5
        distance = (low + rng.random(count) * (high - low)) ** (2 / 3)
        angle = rng.uniform(-np.pi, np.pi, count)
        return distance, angle


def _fall_in_event(values: FloatArray, offsets: IntArray) -> FloatArray:
    """Sort values to fall inside each event."""
    event = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return values[np.lexsort((-values, event))]
