"""Declared distributions: an observable, the jets that must be tagged, bins, a split by flavour."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from truthtag.arrays import BoolArray, FloatArray, IntArray, per_jet, probabilities
from truthtag.data.axes import bin_index, edges_of
from truthtag.data.jets import Jets
from truthtag.data.kinematics import delta_phi, delta_r, invariant_mass
from truthtag.errors import DataError
from truthtag.estimators.predictions import Prediction, point_name
from truthtag.estimators.sample_blocks import Block
from truthtag.registry import load_object
from truthtag.statistics.closure import ClosureHistogram, ClosureSums, Entries
from truthtag.statistics.domain import events_in_domain
from truthtag.statistics.panels import flavour_pairs, jets_needed
from truthtag.statistics.points import WORKING_POINT
from truthtag.statistics.spread import inflate_spread
from truthtag.weights.tag_counts import tag_probabilities

__all__ = [
    "OBSERVABLES",
    "Distribution",
    "Pairs",
    "dijet",
    "entries_of",
    "fill",
    "fill_distribution",
    "fill_in_blocks",
    "find_observable",
]


Observable = Callable[[Jets, IntArray], FloatArray]
"""Gives a value per event, (m,), from jets and positions of the leading ones, (m, n_jets)."""


@dataclass(frozen=True, eq=False)
class Distribution:
    """A histogram in which weights are compared with tags.

    Args:
        name: Its name.
        sample: Name of the sample that fills it.
        observable: What is drawn, as :func:`find_observable` knows it.
        tagged: Which of the leading jets must be tagged, 1 the hardest.
        edges: Bin edges, rising, shape (n + 1,).
        split: ``none``, or ``flavour``: a panel for each pair of flavours of the leading two jets.
        title: A few words for tables and figures.
        selection: Ranges of observables, ends included, by the name of the observable; None is an
            open end. Only events in all of them, with the jets that they speak of, are filled.
        working_point: The working point that tagged jets pass; the loosest by default.
        below: A tighter point, which they must fail; none by default.
    """

    name: str
    sample: str
    observable: str
    tagged: tuple[int, ...]
    edges: FloatArray
    split: str = "none"
    title: str = ""
    selection: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    working_point: str | None = None
    below: str | None = None

    @classmethod
    def from_options(cls, name: str, options: Mapping[str, Any]) -> Distribution:
        """Build from an entry of the config's ``distributions``."""
        return cls(
            name=name,
            sample=options["sample"],
            observable=options["observable"],
            tagged=tuple(options["tagged"]),
            edges=np.asarray(edges_of(options["axis"])),
            split=options.get("split", "none"),
            title=options.get("title", ""),
            selection={
                observable: (low, high)
                for observable, (low, high) in (options.get("selection") or {}).items()
            },
            working_point=options.get("working_point"),
            below=options.get("below"),
        )

    @property
    def n_jets(self) -> int:
        """Number of leading jets that an event must have to be filled."""
        split = 2 if self.split == "flavour" else 1
        drawn = [jets_needed(name) for name in (self.observable, *self.selection)]
        return max(split, *drawn, *self.tagged)

    def selects(self, jets: Jets, leading: IntArray) -> BoolArray:
        """Return which events are in all ranges of the selection, shape (m,).

        Args:
            jets: The sample.
            leading: Positions of the leading jets of m events, shape (m, n_jets).

        Raises:
            DataError: A column of the selection is missing.
        """
        inside = np.ones(len(leading), dtype=bool)
        for name, (low, high) in self.selection.items():
            path = f"distributions.{self.name}.selection.{name}"
            values = find_observable(name, path)(jets, leading)
            known = ~np.isnan(values)
            edges = [-np.inf if low is None else low, np.inf if high is None else high]
            inside &= known
            inside[known] &= bin_index(values[known], edges, path) == 0
        return inside


def _distance(jets: Jets, index: IntArray) -> FloatArray:
    eta = jets.eta[index]
    phi = jets.phi[index]
    return delta_r(eta[:, 0], phi[:, 0], eta[:, 1], phi[:, 1])


def _mass(jets: Jets, index: IntArray) -> FloatArray:
    pair = index[:, :2]
    return invariant_mass(jets.pt[pair], jets.eta[pair], jets.phi[pair], jets.mass[pair])


def _delta_eta(jets: Jets, index: IntArray) -> FloatArray:
    eta = jets.eta[index].astype(np.float64)
    return np.abs(eta[:, 0] - eta[:, 1])


def _delta_phi(jets: Jets, index: IntArray) -> FloatArray:
    phi = jets.phi[index]
    return np.abs(delta_phi(phi[:, 0], phi[:, 1]))


def _multiplicity(jets: Jets, index: IntArray) -> FloatArray:
    return jets.multiplicity[jets.event_of_jet[index[:, 0]]].astype(np.float64)


def _scalar_sum(jets: Jets, index: IntArray) -> FloatArray:
    event = jets.event_of_jet
    total = np.bincount(event, jets.pt.astype(np.float64), jets.n_events)
    return np.asarray(total[event[index[:, 0]]])


OBSERVABLES: dict[str, Observable] = {
    "delta_r": _distance,
    "m_jj": _mass,
    "delta_eta": _delta_eta,
    "delta_phi": _delta_phi,
    "n_jets": _multiplicity,
    "ht": _scalar_sum,
}
"""Observables of events, by name."""


def find_observable(name: str, path: str) -> Observable:
    """Return what computes an observable.

    Args:
        name: As in :func:`truthtag.statistics.panels.jets_needed`.
        path: Where the name was given, for errors.

    Returns:
        A function of jets and positions of the leading ones. It raises a DataError where it draws
        a column that they do not have.

    Raises:
        ConfigError: There is no such observable.
    """
    jets_needed(name)
    if name in OBSERVABLES:
        return OBSERVABLES[name]
    if ":" in name:
        found: Observable = load_object(name, path)
        return found
    column, _, number = name.rpartition("_")

    def of_one_jet(jets: Jets, leading: IntArray) -> FloatArray:
        values: FloatArray = jets.per_jet(column)
        return values[leading[:, int(number) - 1]]

    return of_one_jet


def entries_of(
    distribution: Distribution, jets: Jets, predictions: Mapping[str, Prediction]
) -> tuple[Entries, IntArray, IntArray]:
    """Prepare what fills a distribution.

    Args:
        distribution: The distribution.
        jets: A tagged sample, at one working point.
        predictions: Efficiencies of its jets by name, with their replicas; the true one is added
            where it is known.

    Returns:
        The entries; the positions of the leading jets, shape (m, n_jets); and those of the jets
        that must be tagged, shape (m, n_tagged).

    Raises:
        DataError: The sample has no tags or lacks a column, or an efficiency does not fit the jets.
        ConfigError: An observable is unknown.
    """
    is_tagged = _tags(jets)
    path = f"distributions.{distribution.name}.observable"
    observable = find_observable(distribution.observable, path)
    events, leading = jets.leading_jets(distribution.n_jets)
    chosen = distribution.selects(jets, leading)
    values = observable(jets, leading)
    if distribution.observable.startswith("score_"):
        # Jets that the tagger did not score are in no bin.
        chosen &= ~np.isnan(values)
    values, events, leading = values[chosen], events[chosen], leading[chosen]
    tagged = leading[:, np.asarray(distribution.tagged) - 1]
    probability = {}
    if jets.efficiency_true is not None:
        probability["true"] = _joint(jets.efficiency_true[tagged])
    replicas = {}
    for name, one in predictions.items():
        efficiency = probabilities(one.values, jets.n_jets, f"the efficiency {name!r}")
        probability[name] = _joint(efficiency[tagged])
        if one.replicas is not None:
            for replica in one.replicas:
                per_jet(replica, jets.n_jets, f"a replica of {name!r}")
            replicas[name] = _joint(one.replicas[:, tagged])
    entries = Entries(
        values=values,
        weight=jets.weight[events],
        passed=np.asarray(is_tagged[tagged].all(axis=1)),
        probability=probability,
        replicas=replicas,
    )
    return entries, leading, tagged


def _tags(jets: Jets) -> BoolArray:
    """Return which jets are tagged, shape (n_jets,)."""
    if jets.is_tagged is None:
        msg = "closure compares with the tags; the sample has no column 'is_tagged'"
        if jets.tag_bin is not None:
            msg += ", but tags of several working points: take one of them first, with at_point"
        raise DataError(msg)
    return jets.is_tagged


def _joint(efficiency: FloatArray) -> FloatArray:
    """Return the probability that all jets of the last axis are tagged."""
    return tag_probabilities(efficiency)[..., -1]


def fill(
    distribution: Distribution,
    jets: Jets,
    predictions: Mapping[str, Prediction],
    in_domain: BoolArray,
    flavours: Mapping[str, int],
) -> Iterator[tuple[str, str, ClosureHistogram]]:
    """Fill a distribution, with all events and with those that are in the domain.

    These are the events whose jets all are, also those that need not be tagged, see
    :func:`~truthtag.statistics.domain.events_in_domain`.

    Args:
        distribution: The distribution.
        jets: A tagged sample.
        predictions: Efficiencies of its jets by name, with their replicas; the true one is added.
        in_domain: Which jets are like those that the efficiencies were learned from, (n_jets,).
        flavours: Numbers of the hadron flavours, by name, heaviest first.

    Yields:
        The panel, the choice of events (``all`` or ``in_domain``), and the histogram. A pair of
        flavours that no event of the sample has makes no panel, unless all pairs are like that.

    Raises:
        DataError: The sample has no tags, or an array does not fit the jets.
    """
    sums = _PanelSums(distribution, flavours)
    sums.add(Block(jets, predictions, in_domain))
    yield from sums.histograms()


class _PanelSums:
    """The histograms of a distribution, filled block by block.

    Args:
        distribution: The distribution.
        flavours: Numbers of the hadron flavours, by name, heaviest first.
    """

    def __init__(self, distribution: Distribution, flavours: Mapping[str, int]) -> None:
        self.distribution = distribution
        self.flavours = flavours
        self._sums: dict[tuple[str, str], ClosureSums] = {}

    def add(self, block: Block) -> None:
        """Add the events of a block."""
        jets = block.jets
        events_inside = events_in_domain(jets, block.domain)
        entries, leading, _ = entries_of(self.distribution, jets, block.predictions)
        inside = events_inside[jets.event_of_jet[leading[:, 0]]]
        panels = _panels(self.distribution, jets.flavour[leading], self.flavours)
        for panel, chosen in panels.items():
            for events, part in (("all", chosen), ("in_domain", chosen & inside)):
                sums = self._sums.setdefault((panel, events), ClosureSums(self.distribution.edges))
                sums.add(entries.where(part))

    def histograms(self) -> Iterator[tuple[str, str, ClosureHistogram]]:
        """Go through the histograms, as :func:`fill` does."""
        filled = {panel for (panel, _), sums in self._sums.items() if sums.n_entries}
        for (panel, events), sums in self._sums.items():
            # A boson decays to two jets of one flavour: panels of others would only be empty.
            if panel in filled or not filled:
                yield panel, events, sums.histogram()


def _panels(
    distribution: Distribution, flavour: IntArray, flavours: Mapping[str, int]
) -> dict[str, BoolArray]:
    """Return which events each panel shows, by the flavours of the leading jets, (m, n_jets)."""
    if distribution.split == "none":
        return {"all": np.ones(len(flavour), dtype=bool)}
    pair = np.sort(flavour[:, :2], axis=1)
    panels = {}
    for first, second in flavour_pairs(list(flavours)):
        wanted = np.sort([flavours[first], flavours[second]])
        panels[f"{first}-{second}"] = np.asarray((pair == wanted).all(axis=1))
    return panels


def fill_distribution(
    distribution: Distribution,
    jets: Jets,
    predictions: Mapping[str, Prediction],
    in_domain: BoolArray,
    flavours: Mapping[str, int],
    scales: Mapping[str, Mapping[int, float]] | None = None,
) -> pd.DataFrame:
    """Fill a distribution with the spread of the replicas inflated to what tags say, and as it is.

    Args:
        distribution: The distribution; it says at which working point.
        jets: A tagged sample.
        predictions: Efficiencies of its jets by name, with their replicas.
        in_domain: Which jets are like those that the efficiencies were learned from, (n_jets,).
        flavours: Numbers of the hadron flavours, by name, heaviest first.
        scales: By how much the spread is inflated at this working point, by efficiency and flavour
            number; without them only the spread as it is, ``raw``, is filled.

    Returns:
        Rows of :meth:`ClosureHistogram.to_frame`, with ``sample, distribution, title, panel,
        events, spread`` in front; ``spread`` is ``corrected`` or ``raw``. Where the sample has
        several working points, ``working_point`` follows the title: the name of one, or of a bin
        between two. Where the true efficiency is not known, no rows are filled by ``true``.

    Raises:
        DataError: The sample has no tags, lacks the working point or a column, or an array does
            not fit the jets.
    """
    block = Block(jets, predictions, in_domain)
    return fill_in_blocks(distribution, [block], flavours, scales)


def fill_in_blocks(
    distribution: Distribution,
    blocks: Iterable[Block],
    flavours: Mapping[str, int],
    scales: Mapping[str, Mapping[int, float]] | None = None,
) -> pd.DataFrame:
    """Fill a distribution with a sample that comes in blocks; see :func:`fill_distribution`.

    Args:
        distribution: The distribution; it says at which working point.
        blocks: A tagged sample with predictions and domain, at least one block.
        flavours: Numbers of the hadron flavours, by name, heaviest first.
        scales: By how much the spread is inflated.
    """
    corrected = _PanelSums(distribution, flavours)
    raw = _PanelSums(distribution, flavours)
    several = {}
    for block in blocks:
        if block.jets.n_points > 1:
            point = distribution.working_point or block.jets.labels.points[0]
            several[WORKING_POINT] = point_name(point, distribution.below)
        at_one = block.at_point(distribution.working_point, distribution.below)
        raw.add(at_one)
        if scales is not None:
            inflated = {
                name: inflate_spread(one, at_one.jets, scales[name])
                for name, one in at_one.predictions.items()
            }
            corrected.add(replace(at_one, predictions=inflated))
    spreads = {"raw": raw} if scales is None else {"corrected": corrected, "raw": raw}
    parts = []
    for spread, sums in spreads.items():
        for panel, events, histogram in sums.histograms():
            marks = {
                "sample": distribution.sample,
                "distribution": distribution.name,
                "title": distribution.title or distribution.name,
                **several,
                "panel": panel,
                "events": events,
                "spread": spread,
            }
            frame = histogram.to_frame()
            for position, (column, value) in enumerate(marks.items()):
                frame.insert(position, column, value)
            parts.append(frame)
    return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True, eq=False)
class Pairs:
    """The two leading jets of each event, as entries of histograms.

    Args:
        delta_r: Entries in their Delta R.
        mass: Entries in their invariant mass [GeV].
        jets: Positions of the two jets in the sample, shape (m, 2).
        tagged: Positions of those that must be tagged, shape (m, 1) or (m, 2).
    """

    delta_r: Entries
    mass: Entries
    jets: IntArray
    tagged: IntArray


def dijet(
    jets: Jets,
    efficiencies: Mapping[str, FloatArray],
    both: bool = True,
    replicas: Mapping[str, FloatArray] | None = None,
) -> Pairs:
    """Prepare Delta R and invariant mass of the two leading jets of each event.

    Args:
        jets: A tagged sample.
        efficiencies: Efficiencies of the jets by name, each of shape (n_jets,).
        both: Require both jets to be tagged; otherwise only the leading one.
        replicas: Efficiencies by each replica, by name, each of shape (n_replicas, n_jets).

    Raises:
        DataError: The sample has no tags, or an efficiency does not fit the jets.
    """
    is_tagged = _tags(jets)
    events, pair = jets.leading_jets(2)
    tagged = pair if both else pair[:, :1]
    probability = {}
    for name, values in efficiencies.items():
        checked = probabilities(values, jets.n_jets, f"the efficiency {name!r}")
        probability[name] = _joint(checked[tagged])
    by_replica = {}
    for name, some in (replicas or {}).items():
        for replica in some:
            per_jet(replica, jets.n_jets, f"a replica of {name!r}")
        by_replica[name] = _joint(np.asarray(some)[:, tagged])
    passed = np.asarray(is_tagged[tagged].all(axis=1))
    weight = jets.weight[events]
    return Pairs(
        Entries(_distance(jets, pair), weight, passed, probability, by_replica),
        Entries(_mass(jets, pair), weight, passed, probability, by_replica),
        pair,
        tagged,
    )
