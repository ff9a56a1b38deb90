"""Events that fill the domain: training events, varied where there are few jets."""

from __future__ import annotations

import numpy as np

from truthtag.arrays import AnyArray, BoolArray, FloatArray
from truthtag.data.jets import Jets
from truthtag.data.kinematics import wrap_angle_float32
from truthtag.data.neighbours import nearest_jet
from truthtag.errors import DataError
from truthtag.seeds import Seed, seed_words

__all__ = ["bare", "fill_events"]

CHANGED = 0.25
"""Share of the jets of which each property is changed, independently of the others."""

SMALLEST_DISTANCE = 1e-3
"""Delta R from which distances are drawn where two jets of the sample lie on each other."""


def fill_events(jets: Jets, count: int, seed: Seed) -> Jets:
    r"""Make events like those of a sample, but more of those that are rare in it.

    What two efficiencies say of such events can be compared; they have no tags. Events are drawn
    with probabilities that go as

    .. math:: p_e \propto 1 / \sqrt{N(n_e)}

    where :math:`N(n)` events of the sample have n jets, so that high multiplicities are less rare.
    Of a quarter of the jets each are then changed

    - the flavour, and every further column, exchanged with those of other jets;
    - the transverse momentum, drawn uniformly over the range of the flavour, or uniformly in its
      logarithm;
    - the direction, to a pseudorapidity drawn uniformly over the range of the flavour;
    - the direction, to one near another jet of the event: at a distance :math:`\Delta R` that is
      uniform in its logarithm, between the smallest distance of the sample and the median distance
      of a jet to the one nearest to it;

    and every event is turned by a random angle. Momenta and pseudorapidities stay in the ranges
    of the flavour in the sample, numbers of jets and further columns take values of the sample,
    and no two jets are nearer to each other than any two of the sample: an event in which they
    would be stays as it was drawn.

    Args:
        jets: The sample; nothing but kinematics, flavours and further columns counts.
        count: Number of events to make.
        seed: Names the random stream.

    Returns:
        The events, numbered from 0, without tags, scores and true efficiencies.

    Raises:
        DataError: The sample has no jets, or the number of events is negative.

    Example:
        >>> jets = Jets.from_columns({**row, "event": np.array([7, 7, 9])})
        >>> filling = fill_events(jets, 1000, (1, "fill"))
        >>> filling.n_events
        1000
        >>> float(filling.pt.min()), float(filling.pt.max())
        (30.0, 50.0)
    """
    if count < 0:
        msg = f"{count} events to fill the domain are asked for; ask for 0 or more"
        raise DataError(msg)
    if not jets.n_jets:
        msg = "the sample has no jets: there are none to vary. Check how its events were selected."
        raise DataError(msg)
    rng = np.random.default_rng(seed_words(seed))
    drawn = bare(jets.take(_draw_events(jets, count, rng)))
    flavour = _exchanged(drawn.flavour, rng)
    further = {name: _exchanged(drawn.further[name], rng) for name in sorted(drawn.further)}
    pt = _momenta(drawn, jets, flavour, rng)
    _, distances = nearest_jet(jets)
    eta, phi = _directions(drawn, jets, flavour, distances, rng)
    # A jet that was moved can have come near a third one: such events stay as they were.
    directed = drawn.with_columns(eta=eta, phi=phi)
    too_near = nearest_jet(directed)[1] < distances.min()
    spoilt = np.isin(drawn.event_of_jet, drawn.event_of_jet[too_near])
    return drawn.with_columns(
        sort=True,
        pt=np.where(spoilt, drawn.pt, pt),
        eta=np.where(spoilt, drawn.eta, eta),
        phi=np.where(spoilt, drawn.phi, phi),
        flavour=np.where(spoilt, drawn.flavour, flavour),
        further={name: np.where(spoilt, drawn.further[name], further[name]) for name in further},
    )


def _draw_events(jets: Jets, count: int, rng: np.random.Generator) -> AnyArray:
    """Return positions of events with jets, those of rare multiplicities more often."""
    having_jets = np.flatnonzero(jets.multiplicity)
    _, kind, counts = np.unique(
        jets.multiplicity[having_jets], return_inverse=True, return_counts=True
    )
    odds = 1 / np.sqrt(counts[kind])
    return np.sort(rng.choice(having_jets, count, p=odds / odds.sum()))


def bare(jets: Jets) -> Jets:
    """Return jets without what only the sample's own events have, numbered from 0."""
    return jets.with_columns(
        event=np.arange(jets.n_events),
        event_number=None,
        position=None,
        score=None,
        is_tagged=None,
        tag_bin=None,
        efficiency_true=None,
    )


def _chosen(count: int, rng: np.random.Generator) -> BoolArray:
    """Choose which jets are changed, shape (count,)."""
    chosen: BoolArray = rng.random(count) < CHANGED
    return chosen


def _exchanged(values: AnyArray, rng: np.random.Generator) -> AnyArray:
    """Exchange the values of some jets among them."""
    chosen = np.flatnonzero(_chosen(len(values), rng))
    exchanged = values.copy()
    exchanged[chosen] = values[rng.permutation(chosen)]
    return exchanged


def _limits(name: str, jets: Jets, flavour: AnyArray) -> tuple[FloatArray, FloatArray]:
    """Return the smallest and the largest value of a column among jets of each flavour.

    Args:
        name: The column.
        jets: The sample that has the ranges.
        flavour: Flavours of other jets, shape (n_jets,).

    Returns:
        float64, each of shape (n_jets,).
    """
    values = getattr(jets, name)
    low = np.empty(len(flavour))
    high = np.empty(len(flavour))
    for number in np.unique(flavour):
        of_flavour = values[jets.flavour == number]
        low[flavour == number] = of_flavour.min()
        high[flavour == number] = of_flavour.max()
    return low, high


def _momenta(drawn: Jets, jets: Jets, flavour: AnyArray, rng: np.random.Generator) -> FloatArray:
    """Return transverse momenta, shape (n_jets,) [GeV]."""
    low, high = _limits("pt", jets, flavour)
    place = rng.random(drawn.n_jets)
    even = low + place * (high - low)
    even_in_log = low * (high / low) ** place
    new = np.where(rng.random(drawn.n_jets) < 0.5, even, even_in_log)
    pt = np.where(_chosen(drawn.n_jets, rng), new, drawn.pt)
    return np.clip(pt, low, high).astype(jets.pt.dtype)


def _directions(
    drawn: Jets,
    jets: Jets,
    flavour: AnyArray,
    distances: FloatArray,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Return pseudorapidities and azimuthal angles, each of shape (n_jets,).

    Args:
        drawn: The jets that are varied.
        jets: The sample that has the ranges.
        flavour: New flavours of the jets that are varied.
        distances: Delta R of each jet of the sample to the nearest other, infinite where it has
            none.
        rng: Where the changes come from.
    """
    low, high = _limits("eta", jets, flavour)
    anywhere = low + rng.random(drawn.n_jets) * (high - low)
    eta: FloatArray = np.where(_chosen(drawn.n_jets, rng), anywhere, drawn.eta)
    phi: FloatArray = drawn.phi.astype(np.float64)
    known = distances[np.isfinite(distances)]
    if len(known):
        eta, phi = _brought_near(drawn, eta, phi, known, rng)
    turned = phi + rng.uniform(-np.pi, np.pi, drawn.n_events)[drawn.event_of_jet]
    return np.clip(eta, low, high).astype(jets.eta.dtype), wrap_angle_float32(turned)


def _brought_near(
    drawn: Jets,
    eta: FloatArray,
    phi: FloatArray,
    distances: FloatArray,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Bring some jets near another jet of their event, which stays where it is.

    Args:
        drawn: The jets.
        eta: Their pseudorapidities so far.
        phi: Their azimuthal angles so far.
        distances: Delta R to the nearest other jet, of the jets of a sample that have one.
        rng: Where the changes come from.
    """
    number = drawn.multiplicity[drawn.event_of_jet]
    first = drawn.offsets[drawn.event_of_jet]
    own = np.arange(drawn.n_jets) - first
    step = 1 + rng.integers(0, np.maximum(number - 1, 1))
    # Of a jet that is alone this is the jet itself.
    other = first + (own + step) % number
    low = max(float(distances.min()), SMALLEST_DISTANCE)
    high = max(float(np.median(distances)), low)
    distance = low * (high / low) ** rng.random(drawn.n_jets)
    angle = rng.uniform(-np.pi, np.pi, drawn.n_jets)
    near = _chosen(drawn.n_jets, rng) & (number > 1)
    eta_near = eta[other] + distance * np.cos(angle)
    phi_near = phi[other] + distance * np.sin(angle)
    return np.where(near, eta_near, eta), np.where(near, phi_near, phi)
