"""Every statistic of a sample is that of its blocks, however it is cut, but for last digits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import make_jets
from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.estimators.predictions import Prediction
from truthtag.estimators.sample_blocks import Block
from truthtag.statistics.accuracy import (
    compare_likelihoods,
    excess_loss,
    summarise,
    summary_in_blocks,
)
from truthtag.statistics.cells import Cells, fill_cells, fill_cells_in_blocks
from truthtag.statistics.closure import ClosureHistogram, ClosureSums, Entries
from truthtag.statistics.coverage import (
    CoverageSums,
    calibration,
    calibration_in_blocks,
    coverage,
    jet_coverage,
)
from truthtag.statistics.distributions import Distribution, fill_distribution, fill_in_blocks
from truthtag.statistics.samples import SampleSums, sample_table
from truthtag.statistics.spread import SpreadOptions, spread_scales, spread_scales_in_blocks

FLAVOURS = {"b": 5, "c": 4, "light": 0}
NAMES = ("low", "near")
SCALES = {name: {5: 1.5, 4: 1.0, 0: 0.7} for name in NAMES}
CUTS = st.lists(st.integers(0, 40), max_size=4)
FEW = settings(max_examples=4, deadline=None)


def whole(seed: int = 0, n_replicas: int = 8) -> Block:
    """Forty events, two efficiencies of their jets with replicas, and the domain."""
    rng = np.random.default_rng(seed)
    jets = make_jets(list(rng.integers(1, 5, 40)), seed=seed)
    jets = jets.with_columns(
        flavour=rng.choice([5, 4, 0], jets.n_jets).astype(np.int8),
        weight=rng.normal(1, 0.7, jets.n_events),
        efficiency_true=rng.uniform(0.05, 0.9, jets.n_jets),
    )
    predictions = {}
    for name, width in zip(NAMES, (0.1, 0.01), strict=True):
        values = np.clip(jets.efficiency_true + rng.normal(0, width, jets.n_jets), 0, 1)
        # Values of a map come many times.
        values = values.round(2)
        replicas = np.clip(values + rng.normal(0, 0.05, (n_replicas, jets.n_jets)), 0, 1)
        predictions[name] = Prediction(jets.per_jet("event"), values, replicas)
    return Block(jets, predictions, rng.random(jets.n_jets) > 0.2)


def cut(block: Block, cuts: list[int]) -> list[Block]:
    """Cut a block at some events; parts can be empty."""
    jets = block.jets
    ends = [0, *sorted(cuts), jets.n_events]
    return [part(block, slice(ends[k], ends[k + 1])) for k in range(len(ends) - 1)]


def part(block: Block, events: slice) -> Block:
    jets = block.jets.take(events)
    rows = slice(block.jets.offsets[events.start], block.jets.offsets[events.stop])
    predictions = {
        name: replace(
            one, event=one.event[rows], values=one.values[rows], replicas=one.replicas[:, rows]
        )
        for name, one in block.predictions.items()
    }
    return Block(jets, predictions, block.in_domain[rows])


def same(found: pd.DataFrame, expected: pd.DataFrame, rtol: float = 1e-11) -> None:
    pd.testing.assert_frame_equal(found, expected, rtol=rtol, atol=1e-13)


def distributions() -> Iterator[Distribution]:
    yield Distribution("dr", "test", "delta_r", (1, 2), np.linspace(0, 4, 7), "flavour")
    yield Distribution("pt", "test", "pt_1", (1,), np.array([20.0, 100, 300, 600]))


@FEW
@given(cuts=CUTS, seed=st.integers(0, 30))
def test_histograms_and_cells(cuts: list[int], seed: int) -> None:
    block = whole(seed)
    args = (block.jets, block.predictions, block.in_domain)
    for distribution in distributions():
        expected = fill_distribution(distribution, *args, FLAVOURS, SCALES)
        found = fill_in_blocks(distribution, cut(block, cuts), FLAVOURS, SCALES)
        same(found, expected)
    rows = [
        {"efficiency": name, "number": number, "scale": scale}
        for name, of_one in SCALES.items()
        for number, scale in of_one.items()
    ]
    scales = pd.DataFrame(rows)
    expected = fill_cells("test", *args, FLAVOURS, Cells(), scales)
    same(fill_cells_in_blocks("test", cut(block, cuts), FLAVOURS, Cells(), scales), expected)


def test_a_closure_histogram_is_the_sums_that_it_says() -> None:
    """The plain way, bin by bin, with the scatter about the ratio itself."""
    rng = np.random.default_rng(3)
    values, weight = rng.uniform(0, 3, 500), rng.normal(1, 0.5, 500)
    true = rng.uniform(0.1, 0.9, 500)
    wrong = 0.7 * true
    near = np.clip(true + rng.normal(0, 1e-4, 500), 0, 1)
    replicas = {"near": np.clip(near + rng.normal(0, 0.1, (3, 500)), 0, 1)}
    ways = {"true": true, "wrong": wrong, "near": near}
    entries = Entries(values, weight, rng.random(500) < true, ways, replicas)
    edges = np.array([0.0, 1.0, 2.0, 3.0])
    sums = ClosureSums(edges)
    for rows in np.array_split(np.arange(500), 7):
        mask = np.zeros(500, dtype=bool)
        mask[rows] = True
        sums.add(entries.where(mask))
    in_blocks = sums.histogram()
    for histogram in (ClosureHistogram.fill(entries, edges), in_blocks):
        for number in range(3):
            inside = (values >= edges[number]) & (values < edges[number + 1])
            w, q = weight[inside], true[inside]
            for name, p in {"direct": entries.passed.astype(float), **ways}.items():
                one = histogram.fillings[name]
                p = p[inside]
                ratio = (w * p).sum() / (w * q).sum()
                scatter = (w**2 * (p - ratio * q) ** 2).sum()
                if name == "direct":
                    scatter = (w**2 * q * (1 - q)).sum()
                expected = {
                    "total": (w * p).sum(),
                    "error": np.sqrt(((w * p) ** 2).sum()),
                    "effective_events": (w * p).sum() ** 2 / ((w * p) ** 2).sum(),
                    "mean_weight": (w**2 * p).sum() / (abs(w) * p).sum(),
                    "ratio": ratio,
                }
                for what, value in expected.items():
                    assert getattr(one, what)[number] == pytest.approx(value, rel=1e-12)
                # Where all events have one ratio the scatter is rounding alone.
                error = np.sqrt(scatter) / abs((w * q).sum())
                assert one.ratio_error[number] == pytest.approx(error, rel=1e-9, abs=1e-9)
            by_replica = (w * replicas["near"][:, inside]).sum(axis=1)
            found = histogram.replicas("near")[:, number]
            np.testing.assert_allclose(found, by_replica, rtol=1e-12)
    assert (in_blocks.fillings["true"].ratio_error == 0).all()


@FEW
@given(cuts=CUTS, seed=st.integers(0, 30))
def test_accuracy_calibration_and_coverage(cuts: list[int], seed: int) -> None:
    block = whole(seed)
    jets = block.jets
    blocks = cut(block, cuts)
    tables = summary_in_blocks(blocks, (None,), FLAVOURS, (100.0, 300.0))
    in_range = np.asarray((jets.pt >= 100) & (jets.pt <= 300))
    for name, chosen in (("in_range", in_range), ("in_domain", block.in_domain)):
        expected = summarise(jets, block.efficiencies(), FLAVOURS, chosen, block.in_domain)
        same(tables[name], expected)
    same(tables["likelihood"], compare_likelihoods(jets.is_tagged, block.efficiencies()))
    expected = calibration(jets, block.efficiencies(), FLAVOURS, 5)
    same(calibration_in_blocks(blocks, FLAVOURS, 5), expected)
    axes = {"pt": np.array([20.0, 100, 600]), "delta_r": np.array([0.0, 1.0, 2.0])}
    histograms = [
        fill_distribution(one, jets, block.predictions, block.in_domain, FLAVOURS, SCALES)
        for one in distributions()
    ]
    filled = pd.concat(histograms, ignore_index=True)
    sums = CoverageSums(FLAVOURS, axes, SCALES)
    for one in blocks:
        sums.add(one)
    args = (jets, block.predictions, block.in_domain, FLAVOURS, axes, SCALES, filled, 1.0)
    same(sums.table(filled, 1.0), coverage(*args))


def plain_coverage(difference: FloatArray, std: FloatArray) -> Mapping[str, float]:
    pull = difference[std > 0] / std[std > 0]
    return {
        "count": len(std),
        "within_1": np.mean(np.abs(difference) <= std),
        "pull_mean": pull.mean(),
        "pull_rms": np.sqrt(np.mean(pull**2)),
    }


def test_tables_are_what_they_say() -> None:
    """The plain way, for the flavour b."""
    block = whole(5)
    jets = block.jets
    b = np.asarray(jets.flavour == 5)
    every = np.ones(jets.n_jets, dtype=bool)
    true, predicted = jets.efficiency_true[b], block.predictions["low"].values[b]
    summary = summarise(jets, block.efficiencies(), FLAVOURS, every).set_index(
        ["efficiency", "flavour"]
    )
    row = summary.loc[("low", "b")]
    assert row["regret"] == pytest.approx(excess_loss(true, predicted).mean(), rel=1e-12)
    assert row["residual_rms"] == pytest.approx((true - predicted).std() / true.mean(), rel=1e-12)
    std = block.predictions["low"].std[b]
    table = jet_coverage(jets, block.predictions, every, FLAVOURS, {}).set_index(
        ["efficiency", "flavour"]
    )
    for name, value in plain_coverage(true - predicted, std).items():
        assert table.loc[("low", "b"), name] == pytest.approx(value, rel=1e-12)
    # Bins of equal numbers of jets, by the quantiles of all of them.
    table = calibration(jets, block.efficiencies(), FLAVOURS, 4)
    table = table[(table["efficiency"] == "low") & (table["flavour"] == "b")]
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, 5)))
    which = np.clip(np.searchsorted(edges, predicted, side="right") - 1, 0, len(edges) - 2)
    tags = jets.is_tagged[b]
    for number, (_, one) in enumerate(table.iterrows()):
        inside = which == number
        assert one["low"] == edges[number]
        assert one["jets"] == inside.sum()
        assert one["predicted"] == pytest.approx(predicted[inside].mean(), rel=1e-12)
        assert one["tagged_fraction"] == pytest.approx(tags[inside].mean(), rel=1e-12)
        assert one["true"] == pytest.approx(true[inside].mean(), rel=1e-12)


@FEW
@given(cuts=CUTS, seed=st.integers(0, 30), partners=st.booleans())
def test_spread(cuts: list[int], seed: int, partners: bool) -> None:
    block = whole(seed)
    resample = [0, 0, 1, 1, 2, 2, 3, 3] if partners else None
    resamples = dict.fromkeys(NAMES, resample) if partners else {}
    found = spread_scales_in_blocks(
        cut(block, cuts), FLAVOURS, SpreadOptions(4, 0.3, 3.0), resamples
    )
    for name, rows in found.groupby("efficiency", sort=False):
        expected = spread_scales(
            block.jets, block.predictions[name], FLAVOURS, 4, 0.3, 3.0, resample
        )
        # The scale is where a search ends.
        same(rows.drop(columns="efficiency").reset_index(drop=True), expected, rtol=1e-5)


@FEW
@given(cuts=CUTS, seed=st.integers(0, 30))
def test_samples(cuts: list[int], seed: int) -> None:
    jets: Jets = whole(seed).jets
    score = np.where(np.arange(jets.n_jets) % 3, 0.5, np.nan)
    jets = jets.with_columns(score=score)
    sums = SampleSums(FLAVOURS)
    events = pd.DataFrame({"weight": [*jets.weight, 2.0], "n_jets": [*jets.multiplicity, 0]})
    for one in cut(Block(jets, {}, np.ones(jets.n_jets, dtype=bool)), cuts):
        sums.add(one.jets)
    same(sums.table(), sample_table(jets, FLAVOURS))
    for rows in (events[:7], events[7:]):
        sums.add_events(rows)
    same(sums.table(), sample_table(jets, FLAVOURS, events))
