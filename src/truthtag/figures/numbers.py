"""The numbers of every figure, as tables; the drawing is in ``plots``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from hist.intervals import clopper_pearson_interval

from truthtag.arrays import BoolArray, FloatArray, IntArray, divide
from truthtag.data.axes import edges_of
from truthtag.data.jets import Jets
from truthtag.data.neighbours import nearest_jet
from truthtag.errors import DataError
from truthtag.estimators.predictions import Prediction
from truthtag.statistics.accuracy import relative_residual
from truthtag.statistics.closure import Entries, Pairs, closure_histogram, dijet
from truthtag.statistics.coverage import bin_coverage, calibration, jet_coverage
from truthtag.statistics.spread import inflate_spread
from truthtag.toy.truth import Truth

__all__ = ["NUMBERS", "Inputs", "flavour_pairs"]


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the figures are made from.

    Args:
        samples: Tagged samples by name, those that the figure needs.
        predicted: Efficiencies of the jets and their replicas, by sample and name, the true one excluded.
        in_domain: Which jets are like those that the efficiencies were learned from, by sample, each of shape (n_jets,).
        scales: By how much the spread of the replicas is stretched, by efficiency and hadron flavour.
        truth: The true efficiency of the toy.
        flavours: Hadron flavours by name, heaviest first.
        options: The ``figures`` section of the config, and ``minimum_variance`` of its section ``closure``.
    """

    samples: Mapping[str, Jets]
    predicted: Mapping[str, Mapping[str, Prediction]]
    in_domain: Mapping[str, BoolArray]
    scales: Mapping[str, Mapping[int, float]]
    truth: Truth
    flavours: Mapping[str, int]
    options: Mapping[str, Any]

    def corrected(self) -> Inputs:
        """Return the same with the spread of all replicas stretched to what the tags say."""
        predicted = {
            sample: {
                name: inflate_spread(one, self.samples[sample], self.scales[name])
                for name, one in by_name.items()
            }
            for sample, by_name in self.predicted.items()
        }
        return replace(self, predicted=predicted)

    def efficiencies(self, sample: str) -> dict[str, FloatArray]:
        """Return the efficiencies on a sample, the true one excluded."""
        return {name: one.values for name, one in self.predicted[sample].items()}

    def with_truth(self, sample: str) -> dict[str, FloatArray]:
        """Return the efficiencies on a sample, the true one first where it is known."""
        true = self.samples[sample].efficiency_true
        return {**({} if true is None else {"true": true}), **self.efficiencies(sample)}

    def pairs(self, sample: str, both: bool = True) -> Pairs:
        """Return the two leading jets of the events of a sample, with all efficiencies and their replicas."""
        replicas = {
            name: one.replicas
            for name, one in self.predicted[sample].items()
            if one.replicas is not None
        }
        return dijet(self.samples[sample], self.with_truth(sample), both, replicas)

    def closure(
        self,
        sample: str,
        pairs: Pairs,
        entries: Entries,
        axis: str,
        chosen: BoolArray | None = None,
    ) -> pd.DataFrame:
        """Fill a closure histogram with all events, and with those whose jets are in the domain."""
        inside = np.asarray(self.in_domain[sample][pairs.tagged].all(axis=1))
        every = np.ones(len(inside), dtype=bool) if chosen is None else chosen
        parts = {"all": every, "in_domain": every & inside}
        return pd.concat(
            [
                closure_histogram(entries.where(part), self.edges(axis)).assign(
                    sample=sample, events=events
                )
                for events, part in parts.items()
            ],
            ignore_index=True,
        )

    def edges(self, axis: str) -> FloatArray:
        """Return the bin edges of an axis of the config."""
        return np.asarray(edges_of(self.options["axes"][axis]))

    def has_flavours(self, pair: IntArray, first: str, second: str) -> BoolArray:
        """Return which pairs of jets, flavours of shape (m, 2), have the two flavours named, in either order."""
        wanted = np.sort([self.flavours[first], self.flavours[second]])
        return np.asarray((np.sort(pair, axis=1) == wanted).all(axis=1))


def flavour_pairs(flavours: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return the unordered pairs of flavours, in the order of Figure 7: bb, bc, bl, cc, cl, ll."""
    names = list(flavours)
    return [(first, second) for i, first in enumerate(names) for second in names[i:]]


def weighting(inputs: Inputs) -> pd.DataFrame:
    """Figure 1: the mass of the two leading jets, filled directly and weighted, for one pair of flavours."""
    first, second = inputs.options["weighting_flavours"]
    jets = inputs.samples["test"]
    pairs = inputs.pairs("test")
    chosen = inputs.has_flavours(jets.flavour[pairs.jets], first, second)
    entries, edges = pairs.mass.where(chosen), inputs.edges("m_jj_wide")
    frame = closure_histogram(entries, edges)
    everything = Entries(
        entries.values, entries.weight, np.ones(len(entries.values), dtype=bool), {}
    )
    generated = closure_histogram(everything, edges).assign(filled_by="generated")
    return pd.concat([generated, frame], ignore_index=True).assign(panel=f"{first}-{second}")


def universality(inputs: Inputs) -> pd.DataFrame:
    """Figure 2: what differs between samples, and what does not, for jets of the first flavour.

    For each sample, in bins of Delta R to the nearest jet: the density of jets. In bins of pT: the tagged fraction
    with its interval, and the ratio of tagged jets to the sum of each efficiency.
    """
    flavour = next(iter(inputs.flavours.values()))
    parts = []
    for sample, jets in inputs.samples.items():
        if jets.is_tagged is None:
            msg = (
                f"figure 2 compares with the tags; the sample {sample!r} has no column 'is_tagged'"
            )
            raise DataError(msg)
        inside = jets.flavour == flavour
        edges = inputs.edges("delta_r")
        count = np.histogram(nearest_jet(jets)[1][inside], edges)[0]
        density = count / inside.sum() / np.diff(edges)
        parts.append(
            _rows(
                sample,
                "density",
                "generated",
                edges,
                density,
                np.sqrt(count) / inside.sum() / np.diff(edges),
            )
        )
        edges = inputs.edges("pt")
        bins = (jets.pt[inside], edges)
        total, tagged = (
            np.histogram(*bins)[0],
            np.histogram(*bins, weights=jets.is_tagged[inside].astype(float))[0],
        )
        low, high = clopper_pearson_interval(tagged, total)
        fraction = tagged / np.maximum(total, 1)
        rows = _rows(sample, "tagged_fraction", "direct", edges, fraction, (high - low) / 2)
        parts.append(rows.assign(value_low=low, value_high=high).loc[total > 0])
        for name, eff in inputs.with_truth(sample).items():
            expected = np.histogram(*bins, weights=eff[inside])[0]
            scatter = np.sqrt(np.histogram(*bins, weights=(eff * (1 - eff))[inside])[0])
            ratio, error = (divide(x, expected) for x in (tagged, scatter))
            parts.append(
                _rows(sample, "direct_over_predicted", name, edges, ratio, error).loc[total > 0]
            )
    return pd.concat(parts, ignore_index=True)


def true_efficiency(inputs: Inputs) -> pd.DataFrame:
    """Figure 3: the true efficiency of a jet alone over (pT, eta), and the factor of a neighbour over Delta R."""
    truth, reading = inputs.truth, inputs.options["reading"]
    pt_edges, eta_edges, r_edges = (
        inputs.edges("pt_fine"),
        inputs.edges("eta_fine"),
        inputs.edges("delta_r"),
    )
    pt, eta = (
        x.ravel() for x in np.meshgrid(_centres(pt_edges), _centres(eta_edges), indexing="ij")
    )
    parts = []
    for name, flavour in inputs.flavours.items():
        parts.append(
            pd.DataFrame(
                {
                    "panel": "base",
                    "flavour": name,
                    "pt": pt,
                    "eta": eta,
                    "efficiency": truth.own(flavour, pt, eta),
                }
            )
        )
        parts.append(
            pd.DataFrame(
                {
                    "panel": "correction",
                    "flavour": name,
                    "delta_r": r_edges,
                    "factor": truth.factor(flavour, r_edges, reading["pt"]),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def jets_closure(inputs: Inputs) -> pd.DataFrame:
    """Figure 6: the relative residuals of the jets, and Delta R of the two leading where the leading is tagged."""
    jets, efficiencies = inputs.samples["test"], inputs.efficiencies("test")
    if jets.efficiency_true is None:
        msg = "figure 6 compares with the true efficiency; the sample 'test' has no column 'efficiency_true'"
        raise DataError(msg)
    edges, parts = inputs.edges("residual"), []
    for name, eff in efficiencies.items():
        residual = relative_residual(jets.efficiency_true, eff)
        count = np.histogram(residual, edges)[0]
        parts.append(
            _rows("residual", "residual", name, edges, count, np.sqrt(count)).assign(
                mean=residual.mean(), rms=residual.std()
            )
        )
    residuals = pd.concat(parts).rename(columns={"value": "yield"}).drop(columns="sample")
    pairs = inputs.pairs("test", both=False)
    histogram = inputs.closure("test", pairs, pairs.delta_r, "delta_r").assign(panel="delta_r")
    return pd.concat([residuals, histogram], ignore_index=True)


def events_closure(inputs: Inputs) -> pd.DataFrame:
    """Figure 7: the mass of the two leading jets, both tagged, by the flavours of the two."""
    pairs = inputs.pairs("test")
    flavours = inputs.samples["test"].flavour[pairs.jets]
    parts = []
    for first, second in flavour_pairs(inputs.flavours):
        chosen = inputs.has_flavours(flavours, first, second)
        parts.append(
            inputs.closure("test", pairs, pairs.mass, "m_jj", chosen).assign(
                panel=f"{first}-{second}"
            )
        )
    return pd.concat(parts, ignore_index=True)


def boson_closure(inputs: Inputs) -> pd.DataFrame:
    """Figure 8: Delta R and mass of the two jets of the boson sample, both tagged."""
    pairs = inputs.pairs("boson")
    return pd.concat(
        [
            inputs.closure("boson", pairs, pairs.delta_r, "boson_delta_r").assign(panel="delta_r"),
            inputs.closure("boson", pairs, pairs.mass, "boson_m_jj").assign(panel="m_jj"),
        ],
        ignore_index=True,
    )


def reliability(inputs: Inputs) -> pd.DataFrame:
    """Calibration: the tagged fraction of test jets in bins of the efficiency predicted for them."""
    bins = inputs.options["calibration_bins"]
    return calibration(inputs.samples["test"], inputs.efficiencies("test"), inputs.flavours, bins)


def coverage(inputs: Inputs) -> pd.DataFrame:
    """Coverage: how often the truth lies within the errors, with the spread of the replicas as it is and corrected."""
    jets, parts = inputs.samples["test"], []
    axes = {name: inputs.edges(f"coverage_{name}") for name in ("pt", "delta_r")}
    for spread, given in (("raw", inputs), ("corrected", inputs.corrected())):
        by_jet = jet_coverage(
            jets, given.predicted["test"], inputs.in_domain["test"], inputs.flavours, axes
        )
        histograms = pd.concat([jets_closure(given), events_closure(given)]).assign(distribution="")
        by_bin = bin_coverage(
            histograms[histograms["events"] == "all"], inputs.options["minimum_variance"]
        )
        parts += [by_jet.assign(spread=spread), by_bin.assign(spread=spread)]
    # Empty tables would turn the numbers of the others into objects.
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)


NUMBERS: dict[str, Callable[[Inputs], pd.DataFrame]] = {
    "fig1": weighting,
    "fig2": universality,
    "fig3": true_efficiency,
    "fig6": jets_closure,
    "fig7": events_closure,
    "fig8": boson_closure,
    "calibration": reliability,
    "coverage": coverage,
}
"""What computes the numbers of each figure."""


def _rows(
    sample: str, panel: str, filled_by: str, edges: FloatArray, value: FloatArray, error: FloatArray
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "sample": sample,
            "panel": panel,
            "filled_by": filled_by,
            "low": edges[:-1],
            "high": edges[1:],
            "value": value,
            "error": error,
        }
    )


def _centres(edges: FloatArray) -> FloatArray:
    return (edges[1:] + edges[:-1]) / 2
