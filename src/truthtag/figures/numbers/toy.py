"""What weighting buys, universality, and the true efficiency: Figures 1 to 3."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from hist.intervals import clopper_pearson_interval

from truthtag.arrays import BoolArray, FloatArray, IntArray, divide
from truthtag.data.jets import Jets
from truthtag.data.neighbours import nearest_jet
from truthtag.errors import DataError
from truthtag.figures.inputs import Inputs
from truthtag.figures.numbers.rows import binned_rows
from truthtag.statistics.closure import ClosureSums, Entries
from truthtag.statistics.distributions import dijet

__all__ = ["true_efficiency", "universality", "weighting"]


def weighting(inputs: Inputs) -> pd.DataFrame:
    """Figure 1: the mass of the two leading jets, cut and weighted, for one pair of flavours.

    Returns:
        Rows of a closure histogram, and before them those of all generated events, tagged or not
        (``filled_by`` is ``generated``); ``panel`` names the pair.
    """
    first, second = inputs.options["weighting_flavours"]
    edges = inputs.edges("m_jj_wide")
    all_events = ClosureSums(edges)
    filled = ClosureSums(edges)
    sample = inputs.sample_names[0]
    for part in inputs.in_blocks(sample):
        corrected = part.at_loosest_point().corrected()
        jets = corrected.samples[sample]
        replicas = {
            name: one.replicas
            for name, one in corrected.predictions[sample].items()
            if one.replicas is not None
        }
        pairs = dijet(jets, corrected.with_truth(sample), both=True, replicas=replicas)
        chosen = _has_flavours(jets.flavour[pairs.jets], inputs.flavours, first, second)
        entries = pairs.mass.where(chosen)
        # Filled as if every event passed.
        everything = np.ones(len(entries.values), dtype=bool)
        all_events.add(Entries(entries.values, entries.weight, everything, {}))
        filled.add(entries)
    generated = all_events.histogram().to_frame().assign(filled_by="generated")
    frame = pd.concat([generated, filled.histogram().to_frame()], ignore_index=True)
    return frame.assign(panel=f"{first}-{second}")


def universality(inputs: Inputs) -> pd.DataFrame:
    """Figure 2: what differs between samples, and what does not, for jets of the first flavour.

    Returns:
        Rows per sample, told apart by ``panel``. ``density``: jets in bins of Delta R to the
        nearest jet. ``tagged_fraction``: in bins of pT, with its Clopper-Pearson interval.
        ``direct_over_predicted``: in bins of pT, tagged jets over the sum of each efficiency.

    Raises:
        DataError: A sample has no tags.
    """
    parts = []
    for sample in inputs.sample_names:
        distances = _Distances(inputs.edges("delta_r"))
        tagged = _TaggedByPt(inputs.edges("pt"))
        for block in inputs.in_blocks(sample):
            at_loosest = block.at_loosest_point()
            jets = at_loosest.samples[sample]
            if jets.is_tagged is None:
                msg = (
                    f"figure 2 compares with the tags; the sample {sample!r} has no column "
                    "'is_tagged'"
                )
                raise DataError(msg)
            inside = np.asarray(jets.flavour == next(iter(inputs.flavours.values())))
            distances.add(jets, inside)
            tagged.add(jets.pt[inside], jets.is_tagged[inside])
            for name, efficiency in at_loosest.with_truth(sample).items():
                tagged.add_expected(name, jets.pt[inside], efficiency[inside])
        parts.append(distances.rows(sample))
        parts += tagged.rows(sample)
    return pd.concat(parts, ignore_index=True)


def true_efficiency(inputs: Inputs) -> pd.DataFrame:
    """Figure 3: the true efficiency of a jet alone, and the factor of a neighbour.

    Returns:
        Rows per flavour, told apart by ``panel``. ``base``: ``efficiency`` over a grid of ``pt``
        and ``eta``. ``correction``: ``factor`` over ``delta_r`` to the neighbour.
    """
    truth = inputs.the_truth()
    probe = inputs.options["factor_probe"]
    distance = inputs.edges("delta_r")
    pt_centres = _centres(inputs.edges("pt_fine"))
    eta_centres = _centres(inputs.edges("eta_fine"))
    pt_grid, eta_grid = np.meshgrid(pt_centres, eta_centres, indexing="ij")
    pt = pt_grid.ravel()
    eta = eta_grid.ravel()
    parts = []
    for name, flavour in inputs.flavours.items():
        base = {
            "panel": "base",
            "flavour": name,
            "pt": pt,
            "eta": eta,
            "efficiency": truth.own(flavour, pt, eta),
        }
        correction = {
            "panel": "correction",
            "flavour": name,
            "delta_r": distance,
            "factor": truth.factor(flavour, distance, probe["pt"]),
        }
        parts.append(pd.DataFrame(base))
        parts.append(pd.DataFrame(correction))
    return pd.concat(parts, ignore_index=True)


def _has_flavours(
    pair: IntArray, flavours: Mapping[str, int], first: str, second: str
) -> BoolArray:
    """Return which pairs, flavours of shape (m, 2), are of two flavours, in either order."""
    wanted = np.sort([flavours[first], flavours[second]])
    return np.asarray((np.sort(pair, axis=1) == wanted).all(axis=1))


class _Distances:
    """Jets in bins of Delta R to the nearest jet, counted block by block.

    Args:
        edges: Bin edges, shape (n + 1,).
    """

    def __init__(self, edges: FloatArray) -> None:
        self.edges = edges
        self._count: FloatArray = np.zeros(len(edges) - 1)
        self._jets = 0

    def add(self, jets: Jets, inside: BoolArray) -> None:
        """Add some of the jets of a block."""
        self._count += np.histogram(nearest_jet(jets)[1][inside], self.edges)[0]
        self._jets += int(inside.sum())

    def rows(self, sample: str) -> pd.DataFrame:
        """Return the density, below 1 in all where jets have no nearest one."""
        # A sample without jets of this flavour has no density.
        total = self._jets or np.nan
        width = np.diff(self.edges)
        density = self._count / total / width
        error = np.sqrt(self._count) / total / width
        return binned_rows(sample, "density", "generated", self.edges, density, error)


class _TaggedByPt:
    """Tagged and expected jets in bins of pT, counted block by block.

    Args:
        edges: Bin edges, shape (n + 1,).
    """

    def __init__(self, edges: FloatArray) -> None:
        self.edges = edges
        self._total: FloatArray = np.zeros(len(edges) - 1)
        self._tagged: FloatArray = np.zeros(len(edges) - 1)
        self._expected: dict[str, FloatArray] = {}

    def add(self, pt: FloatArray, is_tagged: BoolArray) -> None:
        """Add jets."""
        self._total += np.histogram(pt, self.edges)[0]
        self._tagged += np.histogram(pt, self.edges, weights=is_tagged.astype(float))[0]

    def add_expected(self, name: str, pt: FloatArray, efficiency: FloatArray) -> None:
        """Add how many are expected to be tagged, and how many of them scatter."""
        # Tags scatter about the efficiency as a Bernoulli variable does.
        terms = (efficiency, efficiency * (1 - efficiency))
        sums = [np.histogram(pt, self.edges, weights=term)[0] for term in terms]
        before = self._expected.get(name, np.zeros((2, len(self.edges) - 1)))
        self._expected[name] = before + np.stack(sums)

    def rows(self, sample: str) -> list[pd.DataFrame]:
        """Return the tagged fraction, and tagged jets over the sum of each efficiency."""
        low, high = clopper_pearson_interval(self._tagged, self._total)
        fraction = self._tagged / np.maximum(self._total, 1)
        half = (high - low) / 2
        rows = binned_rows(sample, "tagged_fraction", "direct", self.edges, fraction, half)
        there = self._total > 0
        parts = [rows.assign(value_low=low, value_high=high).loc[there]]
        for name, (expected, variance) in self._expected.items():
            ratio = divide(self._tagged, expected)
            error = divide(np.sqrt(variance), expected)
            panel = binned_rows(sample, "direct_over_predicted", name, self.edges, ratio, error)
            parts.append(panel.loc[there])
        return parts


def _centres(edges: FloatArray) -> FloatArray:
    return (edges[1:] + edges[:-1]) / 2
