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
from truthtag.statistics.closure import ClosureHistogram, Entries
from truthtag.statistics.distributions import dijet

__all__ = ["true_efficiency", "universality", "weighting"]


def weighting(inputs: Inputs) -> pd.DataFrame:
    """Figure 1: the mass of the two leading jets, cut and weighted, for one pair of flavours.

    Returns:
        Rows of a closure histogram, and before them those of all generated events, tagged or not
        (``filled_by`` is ``generated``); ``panel`` names the pair.
    """
    corrected = inputs.at_loosest_point().corrected()
    sample = next(iter(corrected.samples))
    jets = corrected.samples[sample]
    replicas = {
        name: one.replicas
        for name, one in corrected.predictions[sample].items()
        if one.replicas is not None
    }
    pairs = dijet(jets, corrected.with_truth(sample), both=True, replicas=replicas)
    first, second = inputs.options["weighting_flavours"]
    chosen = _has_flavours(jets.flavour[pairs.jets], inputs.flavours, first, second)
    entries = pairs.mass.where(chosen)
    edges = inputs.edges("m_jj_wide")
    # Filled as if every event passed.
    everything = np.ones(len(entries.values), dtype=bool)
    every_event = Entries(entries.values, entries.weight, everything, {})
    generated = ClosureHistogram.fill(every_event, edges).to_frame()
    filled = ClosureHistogram.fill(entries, edges).to_frame()
    frame = pd.concat([generated.assign(filled_by="generated"), filled], ignore_index=True)
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
    inputs = inputs.at_loosest_point()
    flavour = next(iter(inputs.flavours.values()))
    parts = []
    for sample, jets in inputs.samples.items():
        if jets.is_tagged is None:
            msg = (
                f"figure 2 compares with the tags; the sample {sample!r} has no column 'is_tagged'"
            )
            raise DataError(msg)
        inside = np.asarray(jets.flavour == flavour)
        parts.append(_density(sample, jets, inside, inputs.edges("delta_r")))
        parts += _tagged_by_pt(sample, inputs, inside)
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


def _density(sample: str, jets: Jets, inside: BoolArray, edges: FloatArray) -> pd.DataFrame:
    """Return the density of jets in Delta R to the nearest jet; jets without one are below 1."""
    distance = nearest_jet(jets)[1][inside]
    count = np.histogram(distance, edges)[0]
    # A sample without jets of this flavour has no density.
    total = inside.sum() or np.nan
    width = np.diff(edges)
    density = count / total / width
    error = np.sqrt(count) / total / width
    return binned_rows(sample, "density", "generated", edges, density, error)


def _tagged_by_pt(sample: str, inputs: Inputs, inside: BoolArray) -> list[pd.DataFrame]:
    """Return the tagged fraction in bins of pT, and tagged jets over the sum of each efficiency."""
    jets = inputs.samples[sample]
    edges = inputs.edges("pt")
    pt = jets.pt[inside]
    tags = np.asarray(jets.is_tagged)[inside].astype(float)
    total = np.histogram(pt, edges)[0]
    tagged = np.histogram(pt, edges, weights=tags)[0]
    low, high = clopper_pearson_interval(tagged, total)
    fraction = tagged / np.maximum(total, 1)
    rows = binned_rows(sample, "tagged_fraction", "direct", edges, fraction, (high - low) / 2)
    parts = [rows.assign(value_low=low, value_high=high).loc[total > 0]]
    for name, efficiency in inputs.with_truth(sample).items():
        expected = np.histogram(pt, edges, weights=efficiency[inside])[0]
        # Tags scatter about the efficiency as a Bernoulli variable does.
        variance = np.histogram(pt, edges, weights=(efficiency * (1 - efficiency))[inside])[0]
        ratio = divide(tagged, expected)
        error = divide(np.sqrt(variance), expected)
        panel = binned_rows(sample, "direct_over_predicted", name, edges, ratio, error)
        parts.append(panel.loc[total > 0])
    return parts


def _centres(edges: FloatArray) -> FloatArray:
    return (edges[1:] + edges[:-1]) / 2
