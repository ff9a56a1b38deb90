"""Direct tagging: its mean is truth tagging; the weights of a sample in every variation."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from scale_factor_files import (
    FLAVOURS,
    binning,
    category,
    cms_options,
    correction,
    write_cms,
    write_corrections,
    write_table,
)

import truthtag
from conftest import ROOT, make_jets
from truthtag.data.files import read_frame, read_metadata, write_frame
from truthtag.data.jets import Jets, write_jets
from truthtag.data.labels import Labels
from truthtag.errors import DataError
from truthtag.estimators.prediction_files import write_prediction
from truthtag.estimators.predictions import Prediction
from truthtag.weights.direct import direct_weights
from truthtag.weights.events import hybrid, weights_table
from truthtag.weights.sample_weights import Selection, sample_weights
from truthtag.weights.scale_factors import ScaleFactors, scaled
from truthtag.weights.tag_counts import TagCounts, is_leading, tag_counts
from truthtag.workflow.options import check_config

NAMES = ("loose", "medium", "tight")


def tagged(bins: Any, sizes: list[int] | None = None, n_points: int = 1, **more: Any) -> Jets:
    """Make jets that pass so many working points each."""
    passes = np.asarray(bins)
    jets = make_jets(sizes or [len(passes)], is_tagged=None, efficiency_true=None, **more)
    if n_points == 1:
        return jets.with_columns(is_tagged=passes > 0)
    labels = Labels(points=NAMES[:n_points])
    return jets.with_columns(tag_bin=passes.astype(np.int8), labels=labels)


def every_way(n_jets: int, n_points: int) -> Iterator[np.ndarray]:
    """Go through all ways to tag some jets: how many points each passes."""
    for bins in itertools.product(range(n_points + 1), repeat=n_jets):
        yield np.array(bins)


def chance(efficiency: np.ndarray, bins: np.ndarray) -> float:
    """Return how probable a way to tag jets is."""
    by_point = efficiency.reshape(len(bins), -1)
    ends = np.column_stack([np.ones(len(bins)), by_point, np.zeros(len(bins))])
    rows = np.arange(len(bins))
    return float((ends[rows, bins] - ends[rows, bins + 1]).prod())


# ---- by hand


def test_one_point_by_hand() -> None:
    jets = tagged([1, 0, 1], [2, 1])
    eff = np.array([0.8, 0.5, 0.1])
    sf = np.array([0.9, 1.2, 1.5])
    expected = [0.9 * (1 - 1.2 * 0.5) / (1 - 0.5), 1.5]
    assert direct_weights(jets, eff, sf) == pytest.approx(expected, rel=1e-14)


def test_three_points_by_hand() -> None:
    jets = tagged([0, 1, 2, 3], n_points=3)
    eff = np.tile([0.9, 0.7, 0.4], (4, 1))
    sf = np.tile([0.98, 0.95, 0.9], (4, 1))
    terms = [
        (1 - 0.98 * 0.9) / (1 - 0.9),
        (0.98 * 0.9 - 0.95 * 0.7) / (0.9 - 0.7),
        (0.95 * 0.7 - 0.9 * 0.4) / (0.7 - 0.4),
        0.9,
    ]
    weight = direct_weights(jets, eff, sf)
    assert weight == pytest.approx([np.prod(terms)], rel=1e-13)
    first = is_leading(jets, 1)
    assert direct_weights(jets, eff, sf, chosen=first) == pytest.approx(terms[:1])


def test_scale_factors_of_one_leave_events_alone() -> None:
    jets = make_jets([3, 0, 2, 5])
    eff = np.linspace(0.01, 0.99, jets.n_jets)
    assert direct_weights(jets, eff, np.ones(jets.n_jets)).tolist() == [1, 1, 1, 1]
    nothing = make_jets([0])
    assert direct_weights(nothing, np.zeros(0), np.zeros(0)).tolist() == [1.0]


# ---- the mean over tags

INSIDE = st.floats(0.01, 0.99)
FACTOR = st.floats(0.0, 2.5)


@st.composite
def some_jets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    """Efficiencies and scale factors of few jets, at one point or several."""
    n_points = draw(st.integers(1, 3))
    n_jets = draw(st.integers(1, 3))
    gaps = draw(
        st.lists(
            st.lists(st.floats(0.01, 1), min_size=n_points + 1, max_size=n_points + 1),
            min_size=n_jets,
            max_size=n_jets,
        )
    )
    share = np.array(gaps)
    eff = 1 - np.cumsum(share, axis=1)[:, :-1] / share.sum(axis=1, keepdims=True)
    # Some jets are never tagged.
    never = draw(st.lists(st.booleans(), min_size=n_jets, max_size=n_jets))
    eff[np.array(never)] = 0.0
    sizes = {"min_size": n_points, "max_size": n_points}
    rows = st.lists(FACTOR, **sizes)
    sf = np.array(draw(st.lists(rows, min_size=n_jets, max_size=n_jets)))
    if n_points == 1:
        return eff[:, 0], sf[:, 0], 1
    return eff, sf, n_points


@given(some_jets())
def test_the_mean_over_tags_is_truth_tagging(case: tuple[np.ndarray, np.ndarray, int]) -> None:
    """In every selection on tags, with clipped efficiencies and crossing points, too."""
    eff, sf, n_points = case
    n_jets = len(eff)
    mean = np.zeros((n_points, n_jets + 1))
    for bins in every_way(n_jets, n_points):
        probability = chance(eff, bins)
        if probability == 0:
            continue
        jets = tagged(bins, n_points=n_points)
        (weight,) = direct_weights(jets, eff, sf, max_negative=1.0)
        assert weight >= 0
        for point in range(n_points):
            mean[point, (bins > point).sum()] += probability * weight
    values = scaled(eff, sf).values.reshape(n_jets, n_points)
    jets = make_jets([n_jets])
    for point in range(n_points):
        counts = tag_counts(jets, values[:, point], n_jets)
        np.testing.assert_allclose(mean[point], counts.exactly[0], rtol=0, atol=1e-12)
        at_least = np.cumsum(mean[point][::-1])[::-1]
        np.testing.assert_allclose(at_least, counts.at_least[0], rtol=0, atol=1e-12)


@given(some_jets(), st.integers(0, 3))
def test_the_mean_over_tags_of_leading_jets_is_theirs(
    case: tuple[np.ndarray, np.ndarray, int], leading: int
) -> None:
    eff, sf, n_points = case
    n_jets = len(eff)
    mean = np.zeros(n_jets + 1)
    for bins in every_way(n_jets, n_points):
        probability = chance(eff, bins)
        if probability == 0:
            continue
        jets = tagged(bins, n_points=n_points)
        first = is_leading(jets, leading)
        (weight,) = direct_weights(jets, eff, sf, chosen=first, max_negative=1.0)
        mean[(bins[first] > 0).sum()] += probability * weight
    loosest = scaled(eff, sf).values.reshape(n_jets, n_points)[:, 0]
    jets = make_jets([n_jets])
    counts = tag_counts(jets, loosest, n_jets, is_leading(jets, leading))
    np.testing.assert_allclose(mean, counts.exactly[0], rtol=0, atol=1e-12)


def test_the_mean_over_many_drawn_tags_is_truth_tagging() -> None:
    rng = np.random.default_rng(11)
    jets = make_jets([4] * 20_000, seed=5)
    eff = rng.uniform(0.05, 0.5, jets.n_jets)
    sf = rng.uniform(0.6, 0.8, jets.n_jets)
    drawn = jets.with_columns(is_tagged=rng.random(jets.n_jets) < eff)
    weight = direct_weights(drawn, eff, sf)
    selected = drawn.is_tagged.reshape(-1, 4).sum(axis=1) == 2
    expected = tag_counts(jets, scaled(eff, sf).values, 2).exactly[:, 2]
    difference = weight * selected - expected
    error = difference.std() / np.sqrt(jets.n_events)
    assert abs(difference.mean()) < 4 * error
    # Without the scale factors it is another number.
    without = selected - expected
    assert abs(without.mean()) > 8 * without.std() / np.sqrt(jets.n_events)


# ---- tags that efficiencies exclude


def test_tags_that_are_excluded_twice_have_the_scale_factor() -> None:
    eff = np.array([0.0, 1.0, 1.0])
    sf = np.array([0.9, 1.0, 1.4])
    jets = tagged([1, 0, 0], [1, 1, 1])
    assert direct_weights(jets, eff, sf).tolist() == [0.9, 1.0, 1.0]
    assert direct_weights(tagged([1]), np.zeros(1), np.array([-0.3])).tolist() == [0.0]
    both = tagged([1, 2], [1, 1], n_points=2)
    eff = np.array([[0.0, 0.0], [0.5, 0.0]])
    sf = np.array([[0.9, 0.8], [0.9, 0.8]])
    assert direct_weights(both, eff, sf).tolist() == [0.9, 0.8]


def test_tags_that_only_the_efficiency_excludes_are_refused() -> None:
    jets = tagged([0, 0], [1, 1])
    message = (
        r"jet 0 of event 1 passes 0 working point\(s\), which its efficiency 1.0 excludes, and "
        r"times its scale factor 0.9 does not \(1 such jets of 2\).*max_excluded.*direct: false"
    )
    with pytest.raises(DataError, match=message):
        direct_weights(jets, np.array([0.5, 1.0]), np.array([0.9, 0.9]))
    with pytest.raises(DataError, match=message):
        direct_weights(jets, np.array([0.5, 1.0]), np.array([0.9, 0.9]), max_excluded=0.4)
    # Those that are allowed are left as they are.
    weights = direct_weights(jets, np.array([0.5, 1.0]), np.array([0.9, 0.9]), max_excluded=0.5)
    assert weights == pytest.approx([1.1, 1.0])
    # Jets that do not count may be anything.
    first = np.array([True, False])
    weights = direct_weights(jets, np.array([0.5, 1.0]), np.array([0.9, 0.9]), chosen=first)
    assert weights == pytest.approx([1.1, 1.0])
    between = tagged([1], n_points=2)
    with pytest.raises(DataError, match=r"passes 1 working point\(s\), which .* excludes"):
        direct_weights(between, np.array([[0.5, 0.5]]), np.array([[1.0, 0.9]]))


def test_weights_beyond_all_numbers_are_refused() -> None:
    jets = tagged([1], n_points=2)
    eff = np.array([[1e-310, np.nextafter(1e-310, 0)]])
    with pytest.raises(DataError, match="no weight can make up"):
        direct_weights(jets, eff, np.array([[1e308, 0.0]]))


def test_too_many_negative_terms_are_refused() -> None:
    jets = tagged([1] * 100, [1] * 100, n_points=2)
    eff = np.tile([0.5, 0.4], (100, 1))
    sf = np.ones((100, 2))
    sf[:2, 1] = 1.4
    message = r"for 2 of 100 jets \(2\.00%\) .*weights\.scale_factors\.max_negative, 0\.01"
    with pytest.raises(DataError, match=message):
        direct_weights(jets, eff, sf)
    weight = direct_weights(jets, eff, sf, max_negative=0.02)
    # Lowered to the looser point, the bin between the two is empty.
    assert weight[:2].tolist() == [0.0, 0.0]
    assert weight[2:] == pytest.approx(np.ones(98))
    sf[1, 1] = 1.0
    assert direct_weights(jets, eff, sf)[0] == 0.0


def test_what_cannot_be_tagged_directly_is_refused() -> None:
    eff = np.full(2, 0.5)
    with pytest.raises(DataError, match="the jets have no tags"):
        direct_weights(make_jets([2], is_tagged=None), eff, eff)
    with pytest.raises(DataError, match=r"efficiency has shape \(3,\); these jets, with 1 working"):
        direct_weights(make_jets([2]), np.full(3, 0.5), np.full(3, 0.5))
    with pytest.raises(DataError, match=r"has shape \(2,\); these jets, with 2 working .* \(2, 2"):
        direct_weights(tagged([1, 0], n_points=2), eff, eff)
    with pytest.raises(DataError, match="chosen: holds float64 values; give True or False"):
        direct_weights(make_jets([2]), eff, eff, chosen=eff)


def test_the_names_are_public() -> None:
    assert truthtag.direct_weights is direct_weights
    assert truthtag.scaled is scaled
    assert truthtag.ScaleFactors is ScaleFactors


# ---- all weights of a sample


@pytest.fixture(scope="module")
def cms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cms(tmp_path_factory.mktemp("cms") / "btagging.json.gz")


def three_points(sizes: list[int], seed: int = 4) -> tuple[Jets, np.ndarray]:
    """Make jets tagged at three points, and efficiencies."""
    rng = np.random.default_rng(seed)
    n_jets = sum(sizes)
    bins = rng.integers(0, 4, n_jets)
    eff = -np.sort(-rng.uniform(0.05, 0.9, (n_jets, 3)), axis=1) * [1.0, 0.8, 0.5]
    return tagged(bins, sizes, n_points=3), eff


def read(path: Path, points: tuple[str, ...] = NAMES, **more: Any) -> ScaleFactors:
    return ScaleFactors.from_options(cms_options(path, **more), FLAVOURS, points)


def test_without_scale_factors_all_is_as_it_was() -> None:
    jets, eff = three_points([3, 2, 0])
    weights = sample_weights(jets, eff, Selection(2))
    assert list(weights.counts) == list(NAMES)
    assert not weights.factors
    assert not weights.notes
    for position, name in enumerate(NAMES):
        expected = tag_counts(jets, eff[:, position], 2)
        np.testing.assert_array_equal(weights.counts[name].exactly, expected.exactly)
    one = make_jets([3, 2])
    counts = sample_weights(one, eff[:5, 0], Selection(2, is_leading(one, 2), (5,))).counts
    kept = hybrid(one, eff[:5, 0], [5])
    expected = tag_counts(one, kept, 2, is_leading(one, 2))
    np.testing.assert_array_equal(counts[""].at_least, expected.at_least)


def test_every_variation_has_its_columns(cms: Path) -> None:
    jets, eff = three_points([3, 2, 4, 1])
    factors = read(cms)
    weights = sample_weights(jets, eff, Selection(2), factors)
    table, effective = weights_table(jets, weights.counts, None, weights.factors)
    variations = ["", *(f"_{name}" for name in factors.variations[1:])]
    expected = ["event", "weight"]
    selections = ("p_tag_0", "p_tag_1", "p_tag_2", "p_tag_ge_1", "p_tag_ge_2")
    for part in ("", *(f"_sf{variation}" for variation in variations)):
        expected += [f"{one}{part}_{name}" for name in NAMES for one in selections]
    expected += [f"weight_direct{variation}" for variation in variations]
    assert list(table) == expected
    assert list(effective) == expected[2:]
    for variation in factors.variations:
        sf = factors.evaluate(jets, variation)
        ending = "" if variation == "nominal" else f"_{variation}"
        values = scaled(eff, sf).values
        for position, name in enumerate(NAMES):
            counts = tag_counts(jets, values[:, position], 2)
            np.testing.assert_array_equal(table[f"p_tag_2_sf{ending}_{name}"], counts.exactly[:, 2])
        direct = direct_weights(jets, eff, sf, max_negative=1.0)
        np.testing.assert_array_equal(table[f"weight_direct{ending}"], direct)
    # Light jets alone change where light jets vary.
    heavy_only = np.array([not (jets.flavour[jets.event_of_jet == e] == 0).any() for e in range(4)])
    assert heavy_only.any()
    assert not heavy_only.all()
    same = table["p_tag_1_sf_light_up_loose"] == table["p_tag_1_sf_loose"]
    np.testing.assert_array_equal(same, heavy_only)


def test_what_was_clipped_and_clamped_is_counted(tmp_path: Path) -> None:
    data = category("systematic", {"central": 1.0, "up": binning("pt", [100.0, 200.0], [3.0])})
    stated = correction("one", data, (("systematic", "string"), ("pt", "real")))
    path = write_corrections(tmp_path / "one.json", stated)
    options = {"file": str(path), "heavy": "one", "light": "one", "outside": "clamp"}
    factors = ScaleFactors.from_options(options, FLAVOURS)
    jets = tagged([1, 0, 1], [1, 1, 1], pt=np.float32([50, 150, 150]), flavour=np.int8([5, 5, 0]))
    weights = sample_weights(jets, np.array([0.2, 0.5, 0.5]), Selection(1), factors)
    assert weights.notes == {
        "clamped": {"nominal": 0, "heavy_up": 1, "light_up": 0},
        "clipped": {"nominal": 0, "heavy_up": 1, "light_up": 1},
        "negative": {"nominal": 0, "heavy_up": 0, "light_up": 0},
        "excluded": {"nominal": 0, "heavy_up": 0, "light_up": 0},
    }
    expected = "clamped 0 (at most 1 in 3 variations); clipped 0 (at most 1 in 3 variations); neg"
    assert weights.describe().startswith(expected)
    assert weights.factors["weight_direct_heavy_up"] == pytest.approx([3.0, 0.0, 1.0], rel=1e-15)
    assert "weight_direct" not in sample_weights(
        jets, np.array([0.2, 0.5, 0.5]), Selection(1), factors, direct=False
    ).factors  # fmt: skip
    untagged = jets.with_columns(is_tagged=None)
    assert not sample_weights(untagged, np.full(3, 0.2), Selection(1), factors).factors


def test_jets_that_keep_their_tags_are_weighted_directly(tmp_path: Path) -> None:
    """The mean over the tags of b jets is truth tagging of all jets."""
    factors = ScaleFactors.from_options(
        {"file": str(write_table(tmp_path / "sf.csv")), "working_point": "M"}, FLAVOURS
    )
    flavour = np.int8([5, 0, 5, 4])
    eff = np.array([0.7, 0.1, 0.6, 0.3])
    for selection in (Selection(4, None, (5,)), Selection(4, np.arange(4) < 2, (5,))):
        means = {name: np.zeros(5) for name in ("sf", "sf_heavy_up_jes")}
        for bins in itertools.product([0, 1], repeat=2):
            jets = tagged([bins[0], 1, bins[1], 0], flavour=flavour)
            probability = chance(eff[[0, 2]], np.array(bins))
            counts = sample_weights(jets, eff, selection, factors).counts
            for name, mean in means.items():
                mean += probability * counts[name].exactly[0]
        for name, mean in means.items():
            variation = "nominal" if name == "sf" else name.removeprefix("sf_")
            values = scaled(eff, factors.evaluate(jets, variation)).values
            expected = tag_counts(jets, values, 4, selection.chosen).exactly[0]
            np.testing.assert_allclose(mean, expected, rtol=0, atol=1e-12)


def test_hybrid_tags_have_several_points(cms: Path) -> None:
    jets, eff = three_points([3, 2, 4, 1])
    factors = read(cms)
    counts = sample_weights(jets, eff, Selection(1, None, (5,)), factors).counts
    sf = factors.evaluate(jets)
    values = scaled(eff, sf).values
    for position, name in enumerate(NAMES):
        at = jets.at_point(name)
        expected = tag_counts(jets, hybrid(at, values[:, position], [5]), 1).exactly
        kept = direct_weights(at, eff[:, position], sf[:, position], chosen=jets.flavour == 5)
        np.testing.assert_allclose(
            counts[f"sf_{name}"].exactly, expected * kept[:, None], rtol=1e-12
        )


def test_scale_factors_of_other_points_are_refused(cms: Path) -> None:
    jets, eff = three_points([2])
    for other, message in (
        (eff[:, :2], r"shape \(2, 2\); these jets, with 3 working point\(s\), need \(2, 3\)"),
        (eff[:, 0], r"shape \(2,\); these jets, with 3 working point\(s\), need \(2, 3\)"),
    ):
        with pytest.raises(DataError, match=message):
            sample_weights(jets, other, Selection(1))
    with pytest.raises(DataError, match=r"shape \(2, 3\); these jets, with 1 .* need \(2,\)"):
        sample_weights(make_jets([2]), eff, Selection(1))
    with pytest.raises(DataError, match="for the working points loose, tight, the jets have loose"):
        sample_weights(jets, eff, Selection(1), read(cms, ("loose", "tight")))


def test_excluded_tags_of_a_sample_are_counted_or_refused(cms: Path) -> None:
    """Also where tags of some flavours are kept, and no direct weights are asked for."""
    flavour = np.int8([5] * 25)
    jets = tagged([0] * 25, [1] * 25, flavour=flavour)
    eff = np.full(25, 0.5)
    eff[3] = 1.0
    factors = read(cms, (), working_point="M", systematics={"heavy": [], "light": []})
    for kept, direct in (((), True), ((5,), False)):
        selection = Selection(1, None, kept)
        weights = sample_weights(jets, eff, selection, factors, direct=direct)
        assert weights.notes["excluded"] == {"nominal": 1}
        strict = replace(factors, max_excluded=0.0)
        with pytest.raises(DataError, match=r"jet 0 of event 3 passes 0 .*1 such jets of 25"):
            sample_weights(jets, eff, selection, strict, direct=direct)
        eff_of_one = replace(factors, max_excluded=0.04)
        sample_weights(jets, eff, selection, eff_of_one, direct=direct)
    plain = sample_weights(
        jets, eff, Selection(1), replace(factors, max_excluded=0.0), direct=False
    )
    assert plain.notes["excluded"] == {"nominal": 0}


def test_negative_terms_of_a_sample_are_refused(cms: Path) -> None:
    jets, eff = three_points([2, 2])
    eff[:, 1] = eff[:, 0] - 1e-4
    factors = read(cms)
    with pytest.raises(DataError, match=r"for 4 of 4 jets \(100\.00%\)"):
        sample_weights(jets, eff, Selection(1), factors)
    allowed = sample_weights(jets, eff, Selection(1), replace(factors, max_negative=1.0))
    assert allowed.notes["negative"]["nominal"] == 4


def test_events_without_jets_have_a_weight_of_one() -> None:
    jets = make_jets([2, 1])
    events = pd.DataFrame({"event": [9, 1, 0], "n_jets": [0, 1, 2], "weight": [3.0, 1.0, -1.0]})
    counts = tag_counts(jets, np.full(3, 0.5), 1)
    table, effective = weights_table(jets, counts, events, {"weight_direct": np.array([0.5, 2.0])})
    assert table["weight_direct"].tolist() == [1.0, 2.0, 0.5]
    assert effective["weight_direct"] == pytest.approx(4.5**2 / (9 + 4 + 0.25))
    with pytest.raises(DataError, match="are of 3 events, the jets of 2"):
        weights_table(jets, counts, None, {"weight_direct": np.ones(3)})


def test_names_of_columns_that_run_together_are_refused() -> None:
    jets = make_jets([1])
    counts = tag_counts(jets, np.ones(1), 1)
    clash: dict[str, TagCounts] = {"sf_tight": counts}
    weights_table(jets, clash)
    with pytest.raises(DataError, match="two columns of weights would be called 'p_tag_1'"):
        weights_table(jets, {"": counts}, None, {"p_tag_1": np.ones(1)})


# ---- the step of the workflow


class Inputs(dict[str, Any]):
    """Files by name, as Snakemake gives them to a script."""

    __getattr__ = dict.__getitem__


def run_step(folder: Path, jets: Jets, eff: np.ndarray, config: Any, events: Any = None) -> Path:
    """Run the script of the step, without Snakemake."""
    write_jets([jets.take(jets.multiplicity > 0)], folder / "sample.parquet")
    with_jets = jets.take(jets.multiplicity > 0)
    points = jets.labels.points if eff.ndim == 2 else ()
    prediction = Prediction(
        with_jets.per_jet("event"), eff, None, with_jets.digest(), tuple(points)
    )
    write_prediction(prediction, folder / "map.parquet", {})
    inputs = Inputs(sample=[folder / "sample.parquet"], predictions=[folder / "map.parquet"])
    if events is not None:
        write_frame(events, folder / "events.parquet")
        inputs["events"] = [folder / "events.parquet"]
    target = folder / "weights.parquet"
    plain = config.model_dump(mode="json")
    step = SimpleNamespace(
        input=inputs,
        output=[str(target)],
        log=[str(folder / "step.log")],
        params=SimpleNamespace(options=plain["weights"], flavours=plain["flavours"]),
    )
    path = ROOT / "workflow/scripts/event_weights.py"
    names = {"__name__": "__main__", "snakemake": step}
    exec(compile(path.read_text(), str(path), "exec"), names)  # noqa: S102
    return target


def test_the_step_writes_a_column_per_variation(
    tmp_path: Path, cms: Path, default_config: dict[str, Any]
) -> None:
    config = json.loads(json.dumps(default_config))
    config["working_points"] = {"loose": 0.5, "medium": 1.0, "tight": 2.0}
    config["weights"] = {"tags": 2, "scale_factors": cms_options(cms, max_negative=0.5)}
    checked = check_config(config)
    jets, eff = three_points([3, 2, 0, 4])
    events = pd.DataFrame({
        "event": jets.event, "n_jets": jets.multiplicity, "weight": jets.weight,
    })  # fmt: skip
    target = run_step(tmp_path, jets, eff, checked, events)
    table = read_frame(target)
    assert len(table) == jets.n_events
    factors = read(cms)
    assert [name for name in table if name.startswith("weight_direct")] == [
        "weight_direct",
        *(f"weight_direct_{name}" for name in factors.variations[1:]),
    ]
    sf = factors.evaluate(jets, "heavy_up_jes")
    expected = tag_counts(jets, scaled(eff, sf).values[:, 1], 2).at_least[:, 2]
    np.testing.assert_allclose(table["p_tag_ge_2_sf_heavy_up_jes_medium"], expected, rtol=1e-15)
    direct = direct_weights(jets, eff, sf, max_negative=0.5)
    np.testing.assert_allclose(table["weight_direct_heavy_up_jes"], direct, rtol=1e-15)
    # The event without jets has no tags, for certain, in data as in simulation.
    assert table.loc[2, ["p_tag_0_sf_loose", "weight_direct_light_down"]].tolist() == [1.0, 1.0]
    metadata = read_metadata(target)
    recorded = metadata["scale_factors"]
    assert recorded["file"] == str(cms)
    assert set(recorded) == {"file", "sha256", "clamped", "clipped", "negative", "excluded"}
    assert list(recorded["clipped"]) == sorted(factors.variations)
    log = (tmp_path / "step.log").read_text()
    assert "clamped 0 (at most 0 in 7 variations); clipped " in log
    assert f"4 events; {metadata['effective_events']['p_tag_ge_2_tight']:.1f} effective in" in log


def test_the_step_without_scale_factors_is_as_it_was(
    tmp_path: Path, default_config: dict[str, Any]
) -> None:
    jets = make_jets([3, 1])
    eff = np.array([0.5, 0.2, 0.9, 0.4])
    target = run_step(tmp_path, jets, eff, check_config(default_config))
    table, effective = weights_table(jets, tag_counts(jets, eff, 3))
    pd.testing.assert_frame_equal(read_frame(target), table)
    assert read_metadata(target)["effective_events"] == effective
    assert "scale_factors" not in read_metadata(target)
    worth = f"{effective['p_tag_ge_3']:.1f}"
    assert f"2 events; {worth} effective in p_tag_ge_3" in (tmp_path / "step.log").read_text()


def test_the_examples_of_the_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs/scale-factors.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    exec(compile(code, "docs/scale-factors.md", "exec"), {})  # noqa: S102
    shown = capsys.readouterr().out.splitlines()
    variations = ("nominal", "heavy_up", "heavy_down", "light_up", "light_down")
    assert shown[0] == str(variations)
    assert tuple(line.split()[0] for line in shown[1:]) == variations


def test_the_config_of_the_page_is_one(
    cms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, default_config: dict[str, Any]
) -> None:
    text = (ROOT / "docs/scale-factors.md").read_text()
    stated = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0])
    config = check_config({**default_config, **stated})
    shutil.copy(cms, tmp_path / "btagging.json.gz")
    monkeypatch.chdir(tmp_path)
    options = config.weights.scale_factors
    assert options is not None
    assert len(ScaleFactors.from_options(options, FLAVOURS).variations) == 7
