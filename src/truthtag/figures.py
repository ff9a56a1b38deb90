"""The numbers of every figure, as tables; the drawing is in ``plots``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from hist.intervals import clopper_pearson_interval

from truthtag.arrays import BoolArray, FloatArray, IntArray, divide
from truthtag.closure import Entries, closure_histogram, closure_test, dijet, relative_residual
from truthtag.config import edges_of
from truthtag.errors import DataError
from truthtag.jets import Jets
from truthtag.tables import rows_by
from truthtag.truth import Truth, nearest_jet

__all__ = ["NUMBERS", "Inputs", "closure_table", "flavour_pairs"]


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the figures are made from.

    Args:
        samples: Tagged samples by name, those that the figure needs.
        efficiencies: Efficiencies of the jets, by sample and name, the true one excluded.
        truth: The true efficiency of the toy.
        flavours: Hadron flavours by name, heaviest first.
        options: The ``figures`` section of the config.
    """

    samples: Mapping[str, Jets]
    efficiencies: Mapping[str, Mapping[str, FloatArray]]
    truth: Truth
    flavours: Mapping[str, int]
    options: Mapping[str, Any]

    def with_truth(self, sample: str) -> dict[str, FloatArray]:
        """Return the efficiencies on a sample, the true one first where it is known."""
        true = self.samples[sample].efficiency_true
        return {**({} if true is None else {"true": true}), **self.efficiencies[sample]}

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
    _, mass, pair = dijet(inputs.samples["test"], inputs.with_truth("test"))
    entries, edges = mass.where(inputs.has_flavours(pair, first, second)), inputs.edges("m_jj_wide")
    frame = closure_histogram(entries, edges)
    everything = Entries(entries.values, entries.weight, np.ones(len(entries.values), dtype=bool), {})
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
            msg = f"figure 2 compares with the tags; the sample {sample!r} has no column 'is_tagged'"
            raise DataError(msg)
        inside = jets.flavour == flavour
        edges = inputs.edges("delta_r")
        count = np.histogram(nearest_jet(jets)[1][inside], edges)[0]
        density = count / inside.sum() / np.diff(edges)
        parts.append(
            _rows(sample, "density", "generated", edges, density, np.sqrt(count) / inside.sum() / np.diff(edges))
        )
        edges = inputs.edges("pt")
        bins = (jets.pt[inside], edges)
        total, tagged = np.histogram(*bins)[0], np.histogram(*bins, weights=jets.is_tagged[inside].astype(float))[0]
        low, high = clopper_pearson_interval(tagged, total)
        fraction = tagged / np.maximum(total, 1)
        rows = _rows(sample, "tagged_fraction", "direct", edges, fraction, (high - low) / 2)
        parts.append(rows.assign(value_low=low, value_high=high).loc[total > 0])
        for name, eff in inputs.with_truth(sample).items():
            expected = np.histogram(*bins, weights=eff[inside])[0]
            scatter = np.sqrt(np.histogram(*bins, weights=(eff * (1 - eff))[inside])[0])
            ratio, error = (divide(x, expected) for x in (tagged, scatter))
            parts.append(_rows(sample, "direct_over_predicted", name, edges, ratio, error).loc[total > 0])
    return pd.concat(parts, ignore_index=True)


def true_efficiency(inputs: Inputs) -> pd.DataFrame:
    """Figure 3: the true efficiency of a jet alone over (pT, eta), and the factor of a neighbour over Delta R."""
    truth, reading = inputs.truth, inputs.options["reading"]
    pt_edges, eta_edges, r_edges = inputs.edges("pt_fine"), inputs.edges("eta_fine"), inputs.edges("delta_r")
    pt, eta = (x.ravel() for x in np.meshgrid(_centres(pt_edges), _centres(eta_edges), indexing="ij"))
    parts = []
    for name, flavour in inputs.flavours.items():
        parts.append(
            pd.DataFrame(
                {"panel": "base", "flavour": name, "pt": pt, "eta": eta, "efficiency": truth.own(flavour, pt, eta)}
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
    jets, efficiencies = inputs.samples["test"], inputs.efficiencies["test"]
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
    distance, _, _ = dijet(jets, inputs.with_truth("test"), both=False)
    histogram = closure_histogram(distance, inputs.edges("delta_r")).assign(panel="delta_r")
    return pd.concat([residuals, histogram], ignore_index=True)


def events_closure(inputs: Inputs) -> pd.DataFrame:
    """Figure 7: the mass of the two leading jets, both tagged, by the flavours of the two."""
    _, mass, pair = dijet(inputs.samples["test"], inputs.with_truth("test"))
    edges, parts = inputs.edges("m_jj"), []
    for first, second in flavour_pairs(inputs.flavours):
        inside = inputs.has_flavours(pair, first, second)
        parts.append(closure_histogram(mass.where(inside), edges).assign(panel=f"{first}-{second}"))
    return pd.concat(parts, ignore_index=True)


def boson_closure(inputs: Inputs) -> pd.DataFrame:
    """Figure 8: Delta R and mass of the two jets of the boson sample, both tagged."""
    distance, mass, _ = dijet(inputs.samples["boson"], inputs.with_truth("boson"))
    return pd.concat(
        [
            closure_histogram(distance, inputs.edges("boson_delta_r")).assign(panel="delta_r"),
            closure_histogram(mass, inputs.edges("boson_m_jj")).assign(panel="m_jj"),
        ],
        ignore_index=True,
    )


NUMBERS: dict[str, Callable[[Inputs], pd.DataFrame]] = {
    "fig1": weighting,
    "fig2": universality,
    "fig3": true_efficiency,
    "fig6": jets_closure,
    "fig7": events_closure,
    "fig8": boson_closure,
}
"""What computes the numbers of each figure."""


def closure_table(figures: Mapping[str, pd.DataFrame], minimum_variance: float) -> pd.DataFrame:
    """Test closure in every histogram that was filled directly and weighted.

    Args:
        figures: Numbers of the figures, by name.
        minimum_variance: As in :func:`truthtag.closure.closure_test`.

    Returns:
        A row per figure, panel and efficiency: direct and weighted yields, ``chi2, ndf, chi2_ndf, p_value`` of the
        test, and ``largest_deviation``, the ratio to the truth that is furthest from 1 among bins that hold at
        least ``minimum_variance`` expected events (NaN where the truth is unknown).
    """
    rows = []
    for figure, frame in figures.items():
        histograms = frame[frame["difference_variance"].notna() | (frame["filled_by"] == "direct")]
        for panel, part in histograms.groupby("panel", sort=False):
            by_name = rows_by(part, "filled_by")
            direct = by_name.pop("direct")["yield"].to_numpy()
            for name, filled in by_name.items():
                weighted, variance, ratio = (
                    filled[column].to_numpy() for column in ("yield", "difference_variance", "ratio")
                )
                test = closure_test(direct, weighted, variance, minimum_variance)
                full = (variance >= minimum_variance) & np.isfinite(ratio)
                deviation = ratio[full][np.argmax(np.abs(ratio[full] - 1))] if full.any() else np.nan
                rows.append(
                    {
                        "figure": figure,
                        "panel": panel,
                        "efficiency": name,
                        "direct": direct.sum(),
                        "weighted": weighted.sum(),
                        "chi2": test.chi2,
                        "ndf": test.ndf,
                        "chi2_ndf": test.chi2 / test.ndf if test.ndf else np.nan,
                        "p_value": test.p_value,
                        "largest_deviation": deviation,
                    }
                )
    return pd.DataFrame(rows)


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
