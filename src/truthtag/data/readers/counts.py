"""What happened to the events and jets of a file while it was read."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

import numpy as np

from truthtag.arrays import AnyArray, BoolArray, FloatArray, IntArray
from truthtag.data.readers.formats import Format

__all__ = ["Counts", "JetCount", "count_jets", "total"]


@dataclass(frozen=True)
class JetCount:
    """Selected jets of one flavour in one region.

    Args:
        flavour: The flavour, after merging.
        abs_eta: The region in absolute pseudorapidity, as text: "below 2.5", say.
        pt: The region in transverse momentum [GeV], as text.
        jets: Their number.
        unscored: How many of them the tagger did not score.
        tagged: How many pass each working point, the loosest first.
    """

    flavour: int
    abs_eta: str
    pt: str
    jets: int
    unscored: int
    tagged: tuple[int, ...] = ()


@dataclass(frozen=True)
class Counts:
    """What happened to the events and jets of a file, or of a part of it.

    Args:
        entries: Events in the file.
        events_not_taken: Events that another share takes.
        events_rejected: Events outside the ranges of the selection of events.
        events: Events that are left.
        events_without_jets: Those of them without a selected jet.
        events_repeated: Those of them whose run, luminosity block and number an earlier event
            of the same reading step has.
        negative_weights: Those of them with a weight below 0.
        sum_of_weights: Sum of their weights, times the weight of the group.
        sum_of_squared_weights: Sum of the squares.
        jets: Selected jets of these events.
        jets_rejected: Their jets that the selection of jets leaves out.
        jets_beyond_max: Their jets that are beyond the largest number.
        merged: Selected jets whose flavour was counted as another, by "old to new".
        points: Names of the working points.
        by_region: Selected jets by flavour and region.
    """

    entries: int = 0
    events_not_taken: int = 0
    events_rejected: int = 0
    events: int = 0
    events_without_jets: int = 0
    events_repeated: int = 0
    negative_weights: int = 0
    sum_of_weights: float = 0.0
    sum_of_squared_weights: float = 0.0
    jets: int = 0
    jets_rejected: int = 0
    jets_beyond_max: int = 0
    merged: Mapping[str, int] = field(default_factory=dict)
    points: tuple[str, ...] = ()
    by_region: tuple[JetCount, ...] = ()

    @property
    def effective_events(self) -> float:
        r"""Number of events of weight 1 with the same relative error.

        .. math:: \left(\sum w\right)^2 / \sum w^2
        """
        if not self.sum_of_squared_weights:
            return 0.0
        return self.sum_of_weights**2 / self.sum_of_squared_weights

    @property
    def unscored(self) -> int:
        """Selected jets that the tagger did not score."""
        return sum(one.unscored for one in self.by_region)

    def by_flavour(self) -> dict[int, JetCount]:
        """Return the selected jets of each flavour, in all regions together."""
        found: dict[int, JetCount] = {}
        for one in self.by_region:
            before = found.get(one.flavour, JetCount(one.flavour, "all", "all", 0, 0))
            found[one.flavour] = _added(before, one)
        return found

    def to_metadata(self) -> dict[str, Any]:
        """Return plain values, as JSON holds them."""
        return asdict(self)

    @classmethod
    def from_metadata(cls, stored: Mapping[str, Any]) -> Self:
        """Rebuild from :meth:`to_metadata`."""
        values = {one.name: stored[one.name] for one in fields(cls) if one.name in stored}
        stored_rows = values.pop("by_region", ())
        rows = [JetCount(**{**row, "tagged": tuple(row["tagged"])}) for row in stored_rows]
        points = tuple(values.pop("points", ()))
        return cls(points=points, by_region=tuple(rows), **values)

    def __str__(self) -> str:
        parts = [f"{self.events} of {self.entries} events", f"{self.jets} jets"]
        seldom = {
            "events without jets": self.events_without_jets,
            "jets beyond the largest number": self.jets_beyond_max,
            "jets not scored": self.unscored,
        }
        parts += [f"{what}: {count}" for what, count in seldom.items() if count]
        return ", ".join([*parts, f"effective events: {self.effective_events:.1f}"])


def total(parts: Iterable[Counts]) -> Counts:
    """Add the counts of parts of a file, or of the files of a sample."""
    sums: Counter[str] = Counter()
    merged: Counter[str] = Counter()
    regions: dict[tuple[int, str, str], JetCount] = {}
    points: tuple[str, ...] = ()
    for part in parts:
        points = part.points
        for one in fields(part):
            if one.name not in ("merged", "points", "by_region"):
                sums[one.name] += getattr(part, one.name)
        merged.update(part.merged)
        for row in part.by_region:
            key = (row.flavour, row.abs_eta, row.pt)
            regions[key] = _added(regions[key], row) if key in regions else row
    rows = sorted(regions.values(), key=lambda row: (row.flavour, *_place(row)))
    return Counts(**sums, merged=dict(merged), points=points, by_region=tuple(rows))


def _place(row: JetCount) -> tuple[float, ...]:
    """Return where the regions of a row begin, so that they sort."""
    names = (row.abs_eta, row.pt)
    starts = []
    for name in names:
        low = name.removeprefix("from ").partition(" ")[0]
        starts.append(-1.0 if low == "below" else float(low))
    return tuple(starts)


def _added(one: JetCount, other: JetCount) -> JetCount:
    pairs = itertools.zip_longest(one.tagged, other.tagged, fillvalue=0)
    return JetCount(
        flavour=one.flavour,
        abs_eta=one.abs_eta,
        pt=one.pt,
        jets=one.jets + other.jets,
        unscored=one.unscored + other.unscored,
        tagged=tuple(a + b for a, b in pairs),
    )


def count_jets(
    layout: Format,
    flavour: IntArray,
    abs_eta: FloatArray,
    pt: FloatArray,
    unscored: BoolArray,
    passes: IntArray,
    n_points: int,
) -> tuple[JetCount, ...]:
    """Count jets by flavour and region; regions without jets are left out.

    Args:
        layout: The format, which has the edges of the regions; a jet on an edge is in the region
            that begins there.
        flavour: Flavours, shape (n_jets,).
        abs_eta: Absolute pseudorapidities, shape (n_jets,).
        pt: Transverse momenta, shape (n_jets,) [GeV].
        unscored: Which jets the tagger did not score, shape (n_jets,).
        passes: Number of working points that each jet passes, shape (n_jets,).
        n_points: Number of working points.
    """
    eta_names = _names(layout.region_abs_eta)
    pt_names = _names(layout.region_pt)
    region = _region(abs_eta, layout.region_abs_eta) * len(pt_names)
    region += _region(pt, layout.region_pt)
    n_regions = len(eta_names) * len(pt_names)
    # What a jet is beside its flavour: its region, whether it was scored, which points it passes.
    code = (region * 2 + unscored) * (n_points + 1) + passes
    lowest = int(flavour.min()) if len(flavour) else 0
    n_codes = n_regions * 2 * (n_points + 1)
    jets = np.bincount((flavour.astype(np.int64) - lowest) * n_codes + code)
    jets = np.pad(jets, (0, -len(jets) % n_codes)).reshape(-1, n_regions, 2, n_points + 1)
    rows = []
    for number, place in np.argwhere(jets.sum(axis=(2, 3)) > 0):
        here = jets[number, place]
        rows.append(
            JetCount(
                flavour=lowest + int(number),
                abs_eta=eta_names[place // len(pt_names)],
                pt=pt_names[place % len(pt_names)],
                jets=int(here.sum()),
                unscored=int(here[1].sum()),
                tagged=tuple(int(here[:, point:].sum()) for point in range(1, n_points + 1)),
            )
        )
    return tuple(rows)


def _region(values: AnyArray, edges: Sequence[float]) -> IntArray:
    """Return how many edges each value has reached, by comparisons: there are few edges."""
    region = np.zeros(len(values), dtype=np.int64)
    for edge in edges:
        region += values >= edge
    return region


def _names(edges: Sequence[float]) -> list[str]:
    """Return how regions between edges are called.

    Example:
        >>> _names([20.0, 50.0])
        ['below 20', '20 to 50', 'from 50']
    """
    names = [f"below {edges[0]:g}"]
    names += [f"{low:g} to {high:g}" for low, high in itertools.pairwise(edges)]
    return [*names, f"from {edges[-1]:g}"]
