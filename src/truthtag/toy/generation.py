"""Toy events: a multijet sample and a boosted boson (Section 3 and Appendix A)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.special import ndtr, ndtri

from truthtag.arrays import FloatArray, IntArray
from truthtag.data.jets import Jets, concatenate
from truthtag.data.kinematics import wrap_angle_float32
from truthtag.registry import choose
from truthtag.seeds import Seed, seed_words
from truthtag.toy.truth import Truth, tag

__all__ = [
    "BLOCK_EVENTS",
    "PROCESSES",
    "Boson",
    "Multijet",
    "Process",
    "TruncatedNormal",
    "generate",
    "make_process",
]

BLOCK_EVENTS = 10_000
"""Events per block. Each block has its own random stream, so this number is part of what defines a sample."""


class Process(Protocol):
    """What makes events."""

    def events(self, count: int, rng: np.random.Generator) -> Jets:
        """Generate ``count`` events, numbered from 0, neither weighted nor tagged."""
        ...


@dataclass(frozen=True)
class TruncatedNormal:
    """A Gaussian restricted to an interval, drawn by inverting its cumulative distribution.

    Args:
        mean: Mean of the Gaussian before truncation.
        width: Its standard deviation.
        low: Lower end; may be absent.
        high: Upper end; may be absent.
    """

    mean: float
    width: float
    low: float = -np.inf
    high: float = np.inf

    def sample(self, count: int, rng: np.random.Generator) -> FloatArray:
        """Draw ``count`` values."""
        low, high = ndtr((np.array([self.low, self.high]) - self.mean) / self.width)
        values = self.mean + self.width * ndtri(low + rng.random(count) * (high - low))
        return np.asarray(np.clip(values, self.low, self.high))


@dataclass(frozen=True)
class TruncatedExponential:
    """An exponential restricted to [0, range), drawn by inverting its cumulative distribution.

    Args:
        scale: Its decay constant.
        range: Where it ends.
    """

    scale: float
    range: float

    def sample(self, count: int, rng: np.random.Generator) -> FloatArray:
        """Draw ``count`` values."""
        return np.asarray(
            -self.scale * np.log1p(rng.random(count) * np.expm1(-self.range / self.scale))
        )


@dataclass(frozen=True)
class Multijet:
    r"""Events of a few jets around a leading one (Appendix A of arXiv:2004.02665).

    The number of jets is ``minimum_jets`` plus the floor of an exponential. The hardest jet lies near the middle of
    the detector; every other lies at a distance :math:`\Delta R` from it, of density proportional to
    :math:`\sqrt{\Delta R}`, at an angle that is uniform in the :math:`\eta`-:math:`\phi` plane; a direction outside
    the detector is drawn again, distance and angle both.

    Args:
        minimum_jets: Fewest jets of an event.
        extra_jets: Distribution of the number of further jets, before rounding down.
        pt: Distribution of transverse momenta [GeV].
        eta: Distribution of the leading jet's pseudorapidity.
        distance: Interval of Delta R to the leading jet.
        eta_max: Largest absolute pseudorapidity of the other jets.
        mass: Mass of every jet [GeV].
        flavours: Hadron flavours, equally probable.
    """

    minimum_jets: int
    extra_jets: TruncatedExponential
    pt: TruncatedNormal
    eta: TruncatedNormal
    distance: tuple[float, float]
    eta_max: float
    mass: float
    flavours: tuple[int, ...]

    @classmethod
    def from_config(cls, options: Mapping[str, Any], flavours: Mapping[str, int]) -> Multijet:
        """Build from an entry of the config's ``generators``."""
        return cls(
            minimum_jets=options["minimum_jets"],
            extra_jets=TruncatedExponential(**options["extra_jets"]),
            pt=TruncatedNormal(**options["pt"]),
            eta=TruncatedNormal(**options["eta"]),
            distance=tuple(options["distance"]),
            eta_max=options["eta_max"],
            mass=options["mass"],
            flavours=tuple(flavours.values()),
        )

    def events(self, count: int, rng: np.random.Generator) -> Jets:
        """Generate ``count`` events, numbered from 0."""
        multiplicity = self.minimum_jets + np.floor(self.extra_jets.sample(count, rng)).astype(
            np.int64
        )
        offsets = np.r_[0, np.cumsum(multiplicity)]
        eta, phi = self._directions(offsets, rng)
        n_jets = int(offsets[-1])
        return Jets(
            event=np.arange(count),
            offsets=offsets,
            pt=_fall_in_event(self.pt.sample(n_jets, rng), offsets).astype(np.float32),
            eta=eta.astype(np.float32),
            phi=wrap_angle_float32(phi),
            mass=np.full(n_jets, self.mass, dtype=np.float32),
            flavour=rng.choice(np.array(self.flavours, dtype=np.int8), n_jets),
            weight=np.ones(count),
        )

    def _directions(
        self, offsets: IntArray, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray]:
        """Draw the leading jets' directions, then the others' around them."""
        count, n_jets, lead = len(offsets) - 1, int(offsets[-1]), offsets[:-1]
        lead_eta, lead_phi = self.eta.sample(count, rng), rng.uniform(-np.pi, np.pi, count)
        event = np.repeat(np.arange(count), np.diff(offsets))
        eta, phi = lead_eta[event], lead_phi[event]
        outside = np.setdiff1d(np.arange(n_jets), lead, assume_unique=True)
        while len(outside):
            distance, angle = self._offset(len(outside), rng)
            near = lead_eta[event[outside]] + distance * np.cos(angle)
            inside = np.abs(near) < self.eta_max
            eta[outside[inside]] = near[inside]
            phi[outside[inside]] += (distance * np.sin(angle))[inside]
            outside = outside[~inside]
        return eta, phi

    def _offset(self, count: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Draw distances to the leading jet, of density proportional to their square root, and angles."""
        low, high = np.array(self.distance) ** 1.5
        return (low + rng.random(count) * (high - low)) ** (2 / 3), rng.uniform(
            -np.pi, np.pi, count
        )


@dataclass(frozen=True)
class Boson:
    r"""A boosted scalar that decays to two jets of one flavour (Section 6 of arXiv:2004.02665).

    The decay is isotropic in the rest frame of the scalar; the two jets are boosted to the laboratory, and the event
    is kept when both pass the thresholds.

    Args:
        boson_mass: Distribution of the scalar's mass [GeV].
        boson_pt: Lower end and decay constant of the exponential transverse momentum [GeV].
        boson_eta: Distribution of the scalar's pseudorapidity.
        pt_min: Smallest transverse momentum of a jet [GeV].
        eta_max: Largest absolute pseudorapidity of a jet.
        mass: Mass of every jet [GeV].
        flavours: Hadron flavours, equally probable.
    """

    boson_mass: TruncatedNormal
    boson_pt: tuple[float, float]
    boson_eta: TruncatedNormal
    pt_min: float
    eta_max: float
    mass: float
    flavours: tuple[int, ...]

    @classmethod
    def from_config(cls, options: Mapping[str, Any], flavours: Mapping[str, int]) -> Boson:
        """Build from an entry of the config's ``generators``."""
        return cls(
            boson_mass=TruncatedNormal(**options["boson_mass"]),
            boson_pt=(options["boson_pt"]["low"], options["boson_pt"]["scale"]),
            boson_eta=TruncatedNormal(**options["boson_eta"]),
            pt_min=options["pt_min"],
            eta_max=options["eta_max"],
            mass=options["mass"],
            flavours=tuple(flavours.values()),
        )

    def events(self, count: int, rng: np.random.Generator) -> Jets:
        """Generate ``count`` events, numbered from 0."""
        parts: list[Jets] = []
        missing = count
        while missing > 0:
            decays = self._decays(count, rng)
            leading, trailing = decays.pt[::2], decays.pt[1::2]
            central = (np.abs(decays.eta) < self.eta_max).reshape(-1, 2).all(axis=1)
            kept = np.flatnonzero((np.minimum(leading, trailing) > self.pt_min) & central)[:missing]
            parts.append(
                decays.take(kept).with_columns(event=np.arange(len(kept)) + count - missing)
            )
            missing -= len(kept)
        return concatenate(parts)

    def _decays(self, count: int, rng: np.random.Generator) -> Jets:
        """Draw ``count`` decays, without thresholds."""
        mass = self.boson_mass.sample(count, rng)
        pt = self.boson_pt[0] + rng.exponential(self.boson_pt[1], count)
        boson = _momentum(pt, self.boson_eta.sample(count, rng), rng.uniform(-np.pi, np.pi, count))
        jet_1 = _boost(self._rest_frame(mass, rng), mass, boson, self.mass)
        momenta = np.stack([jet_1, boson - jet_1], axis=1)
        jet_pt = np.hypot(momenta[..., 0], momenta[..., 1])
        order = np.argsort(-jet_pt, axis=1, kind="stable")
        momenta = np.take_along_axis(momenta, order[..., None], axis=1).reshape(-1, 3)
        jet_pt = np.hypot(momenta[:, 0], momenta[:, 1])
        flavour = rng.choice(np.array(self.flavours, dtype=np.int8), count)
        return Jets(
            event=np.arange(count),
            offsets=np.arange(0, 2 * count + 1, 2),
            pt=jet_pt.astype(np.float32),
            eta=np.arcsinh(momenta[:, 2] / jet_pt).astype(np.float32),
            phi=wrap_angle_float32(np.arctan2(momenta[:, 1], momenta[:, 0])),
            mass=np.full(2 * count, self.mass, dtype=np.float32),
            flavour=np.repeat(flavour, 2),
            weight=np.ones(count),
        )

    def _rest_frame(self, mass: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Draw one jet's momentum in the rest frame of the boson, isotropic, shape (count, 3) [GeV]."""
        cosine, azimuth = rng.uniform(-1, 1, len(mass)), rng.uniform(-np.pi, np.pi, len(mass))
        sine = np.sqrt(1 - cosine**2)
        size = np.sqrt(mass**2 / 4 - self.mass**2)
        return np.asarray(
            size[:, None]
            * np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine], axis=1)
        )


PROCESSES: dict[str, type[Multijet | Boson]] = {"multijet": Multijet, "boson": Boson}
"""Processes that the config can name (``generators.*.process``)."""


def make_process(options: Mapping[str, Any], flavours: Mapping[str, int]) -> Process:
    """Build the process that an entry of the config's ``generators`` describes.

    Raises:
        ConfigError: The process is unknown.
    """
    return choose(PROCESSES, options["process"], "generators: process").from_config(
        options, flavours
    )


def generate(process: Process, truth: Truth, events: range, seed: Seed) -> Iterator[Jets]:
    """Generate tagged events in blocks that each have their own random stream.

    The events of a range are the same whatever the range: a sample does not depend on how it is cut into shards,
    and a longer sample begins with the shorter one.

    Args:
        process: What makes events.
        truth: The true efficiency, by which they are tagged.
        events: Which events of the endless sample.
        seed: What names the sample: numbers and names, say ``(2004, "train")``.

    Yields:
        The events, at most :data:`BLOCK_EVENTS` at a time.
    """
    for block in range(events.start // BLOCK_EVENTS, -(-events.stop // BLOCK_EVENTS)):
        kinematics, scores = (
            np.random.default_rng([*seed_words(seed), block, use]) for use in (0, 1)
        )
        jets = tag(process.events(BLOCK_EVENTS, kinematics), truth, scores)
        first = block * BLOCK_EVENTS
        jets = jets.with_columns(event=jets.event + first)
        yield jets.take(slice(max(events.start - first, 0), events.stop - first))


def _fall_in_event(values: FloatArray, offsets: IntArray) -> FloatArray:
    """Sort values to fall inside each event."""
    event = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return values[np.lexsort((-values, event))]


def _momentum(pt: FloatArray, eta: FloatArray, phi: FloatArray) -> FloatArray:
    """Return Cartesian momenta, shape (count, 3)."""
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=1)


def _boost(
    momentum: FloatArray, mass: FloatArray, frame: FloatArray, particle_mass: float
) -> FloatArray:
    r"""Boost momenta from the rest frame of a system of the given mass and momentum to the laboratory.

    .. math:: \vec p' = \vec p + \vec P \left(\frac{\vec p \cdot \vec P}{M (E_P + M)} + \frac{E_p}{M}\right)
    """
    frame_energy = np.sqrt((frame**2).sum(axis=1) + mass**2)
    energy = np.sqrt((momentum**2).sum(axis=1) + particle_mass**2)
    along = (momentum * frame).sum(axis=1) / (mass * (frame_energy + mass)) + energy / mass
    return np.asarray(momentum + frame * along[:, None])
