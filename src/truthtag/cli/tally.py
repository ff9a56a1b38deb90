"""What a file adds up to while its events are weighed: sums of weights, tags, jets out of range."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from truthtag.arrays import BoolArray
from truthtag.cli.output import number, table
from truthtag.cli.ranges import Ranges, outside
from truthtag.cli.scaled import ScaledWeights
from truthtag.data.jets import Jets

if TYPE_CHECKING:
    import pandas as pd

    from truthtag.estimators.predictions import Prediction
    from truthtag.exports.weighing import TagWeights
    from truthtag.statistics.domain import Domain

__all__ = ["Tally", "total"]

SELECTION = "p_tag_"
"""What the columns begin with that hold the probability of a selection."""


class Tally:
    """Weights events, and keeps what they add up to.

    Args:
        weigh: What makes weights of efficiencies.
        ranges: Ranges of the jets' columns that the efficiency states.
        domain: Where the efficiency was learned, if that is known.
        point: The working point that the efficiency is of, where jets have several; None for all.
    """

    def __init__(
        self,
        weigh: TagWeights | ScaledWeights,
        ranges: Ranges,
        domain: Domain | None = None,
        point: str | None = None,
    ) -> None:
        self.weigh = weigh
        self.ranges = ranges
        self.domain = domain
        self.point = point
        self.sums: defaultdict[str, float] = defaultdict(float)
        self.squares: defaultdict[str, float] = defaultdict(float)
        self.direct: defaultdict[str, float] = defaultdict(float)
        self.n_events = 0
        self.n_jets = 0
        self.outside = 0
        self.has_tags = False
        self.points: list[str] = []

    @property
    def counted(self) -> tuple[defaultdict[str, float], ...]:
        """What is summed by selection."""
        return self.sums, self.squares, self.direct

    def __call__(
        self, jets: Jets, prediction: Prediction, events: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Return the table of weights of some events, as :data:`truthtag.exports.weighing.Weigh`
        does."""
        from truthtag.estimators.predictions import points_of

        if self.point is not None and jets.n_points > 1:
            jets = jets.at_point(self.point)
        frame = self.weigh(jets, prediction, events)
        weight = frame["weight"].to_numpy()
        self.points = [point or "" for point in points_of(jets)]
        self.n_events += len(frame)
        self.n_jets += jets.n_jets
        for name in frame:
            if str(name).startswith(SELECTION):
                weighted = weight * frame[name].to_numpy()
                self.sums[str(name)] += float(weighted.sum())
                self.squares[str(name)] += float((weighted**2).sum())
        if jets.has_tags:
            self.has_tags = True
            self._add_direct(jets, float(weight.sum()))
        if jets.n_jets:
            self.outside += int(self._is_outside(jets).sum())
        return frame

    def finish(self) -> None:
        """End an input.

        Raises:
            DataError: Scale factors do not fit too large a share of its jets.
        """
        if isinstance(self.weigh, ScaledWeights):
            self.weigh.finish()

    def _add_direct(self, jets: Jets, total: float) -> None:
        """Sum the weights of the events by their numbers of tags."""
        from truthtag.weights.tag_counts import is_leading

        leading = self.weigh.leading
        counted = is_leading(jets, leading) if leading else np.ones(jets.n_jets, dtype=bool)
        for point in self.points:
            suffix = _ending(point)
            place = jets.labels.points.index(point) if point else 0
            tagged = jets.passes()[:, place] & counted
            n_tags = np.bincount(jets.event_of_jet[tagged], minlength=jets.n_events)
            for k in range(1, self.weigh.tags + 1):
                self.direct[f"{SELECTION}{k}{suffix}"] += float(jets.weight[n_tags == k].sum())
                self.direct[f"{SELECTION}ge_{k}{suffix}"] += float(jets.weight[n_tags >= k].sum())
            # Events without jets have no row among the jets, and no tags.
            some = float(jets.weight[n_tags > 0].sum())
            self.direct[f"{SELECTION}0{suffix}"] += total - some

    def _is_outside(self, jets: Jets) -> BoolArray:
        """Return which jets are outside the domain, or else outside a range that is stated."""
        if self.domain is not None:
            return ~self.domain.contains(jets)
        return outside(jets, self.ranges)

    def lines(self) -> list[str]:
        """Return what there is to say: a table of sums, and where the jets are."""
        header = ["selection", "sum of weights", "effective events"]
        if self.has_tags:
            header.append("tagged directly")
        if isinstance(self.weigh, ScaledWeights):
            header += ["with scale factors", "varied"]
        rows = []
        for point in self.points:
            rows += [self._row(selection, point) for selection in self._selections()]
        return [*table(header, rows), self._said_of_range()]

    def _selections(self) -> list[str]:
        tags = range(1, self.weigh.tags + 1)
        exactly = [f"{SELECTION}{k}" for k in (0, *tags)]
        return exactly + [f"{SELECTION}ge_{k}" for k in tags]

    def _row(self, selection: str, point: str) -> list[str]:
        """Return what is said of one selection at one working point."""
        name = f"{selection}{_ending(point)}"
        value = self.sums[name]
        squares = self.squares[name]
        effective = value**2 / squares if squares else 0.0
        row = [name.removeprefix("p_"), number(value), number(effective)]
        if self.has_tags:
            row.append(number(self.direct[name]))
        if isinstance(self.weigh, ScaledWeights):
            scaled = [self.sums[one] for one in self.weigh.columns_of(selection, point)]
            row += [number(scaled[0]), f"{number(min(scaled))} to {number(max(scaled))}"]
        return row

    def _said_of_range(self) -> str:
        where = "the domain"
        if self.domain is None:
            where = ", ".join(
                f"{name} {number(low)} to {number(high)}"
                for name, (low, high) in self.ranges.items()
            )
        if not where:
            return "the efficiency does not say which jets it was made for: --domain can"
        share = self.outside / max(self.n_jets, 1)
        return f"{self.outside:,} of {self.n_jets:,} jets ({share:.2%}) are outside {where}"


def _ending(point: str) -> str:
    """Return what the names of columns end in, where there are several working points."""
    return f"_{point}" if point else ""


def total(tallies: Sequence[Tally]) -> Tally:
    """Return what several inputs add up to, weighed alike."""
    first = tallies[0]
    result = Tally(first.weigh, first.ranges, first.domain, first.point)
    result.points = first.points
    for one in tallies:
        result.n_events += one.n_events
        result.n_jets += one.n_jets
        result.outside += one.outside
        for mine, other in zip(result.counted, one.counted, strict=True):
            for name, value in other.items():
                mine[name] += value
    # Tags that only some inputs have say nothing of all of them.
    result.has_tags = all(one.has_tags for one in tallies)
    return result
