"""Maps that are no plain bins: smoothed, corrected for the nearest jet, fitted to the form of Eq. 2."""

from __future__ import annotations

import copy
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import OptimizeResult, approx_fprime
from scipy.stats import chi2

from conftest import make_jets
from truthtag.data.files import read_metadata, write_frame
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError, DataError
from truthtag.estimators import parametric
from truthtag.estimators.maps import (
    KINDS,
    BinnedMap,
    CorrectedMap,
    FittedProduct,
    Map,
    ReplicatedMap,
    SmoothedMap,
    fit_map,
    fit_replicas,
    read_map,
    read_replica_maps,
    write_map,
    write_replica_maps,
)
from truthtag.estimators.parametric import (
    _from_free,
    _information,
    _loss,
    _prepare,
    _start,
    _to_free,
)
from truthtag.estimators.predictions import Replicated, predict
from truthtag.seeds import seed_words
from truthtag.statistics.accuracy import excess_loss, tag_loss
from truthtag.toy.generation import generate
from truthtag.toy.generator import Generator
from truthtag.toy.neighbour_product import NeighbourProduct
from truthtag.toy.shapes import NearbyDip
from truthtag.toy.tagging import tag
from truthtag.workflow.options import check_config

Options = dict[str, Any]

AXES: Options = {
    "pt": {"bins": 19, "low": 20.0, "high": 600.0},
    "eta": {"bins": 10, "low": -2.5, "high": 2.5},
}
POLICY: Options = {"outside": "clamp", "coverage": 0.68}
OPTIONS: dict[str, Options] = {
    "binned": {"kind": "binned", **AXES, **POLICY},
    "smoothed": {
        "kind": "smoothed",
        **AXES,
        "smoothing": {"pt": 30.0, "eta": 0.2},
        "outside": "clamp",
    },
    "delta_r": {
        "kind": "delta_r",
        **AXES,
        "delta_r": {"bins": 15, "low": 0.0, "high": 3.0},
        **POLICY,
    },
    "neighbour_product": {"kind": "neighbour_product"},
}
SEED = (1, "replicas")
every_kind = pytest.mark.parametrize("kind", OPTIONS)
kinds_with_axes = pytest.mark.parametrize(
    "kind", [kind for kind in OPTIONS if "pt" in OPTIONS[kind]]
)


def b_jets(multiplicities: list[int], **columns: list[Any]) -> Jets:
    """Make b jets; pT, eta and phi that are not given are 50 GeV, 0 and 0."""
    size = sum(multiplicities)
    given = {name: np.array(values) for name, values in columns.items()}
    fixed = {
        "pt": np.full(size, 50.0),
        "eta": np.zeros(size),
        "phi": np.zeros(size),
        "flavour": np.full(size, 5),
    }
    return make_jets(multiplicities, **(fixed | given))


def shuffled(jets: Jets, seed: int) -> Jets:
    """Put the events in another order; the jets of each can only be ordered by falling pt."""
    rng = np.random.default_rng(seed)
    return jets.take(rng.permutation(jets.n_events))


# ---- all kinds


def test_every_kind_is_tested() -> None:
    assert OPTIONS.keys() == KINDS.keys()


@every_kind
def test_write_and_read_is_the_identity(kind: str, few: Jets, tmp_path: Path) -> None:
    fitted = fit_map(few, OPTIONS[kind])
    write_map(fitted, tmp_path / "map.parquet", {})
    again = read_map(tmp_path / "map.parquet")
    assert type(again) is type(fitted)
    assert tuple(fitted.to_frame().columns) == fitted.columns
    assert again.to_frame().equals(fitted.to_frame())
    assert again.policy == fitted.policy
    assert np.array_equal(again.efficiency(few), fitted.efficiency(few))


@every_kind
def test_efficiencies_are_probabilities_near_the_tagged_fraction(kind: str, sample: Jets) -> None:
    eff = fit_map(sample, OPTIONS[kind]).efficiency(sample)
    assert ((eff >= 0) & (eff <= 1)).all()
    for flavour in (5, 4, 0):
        chosen = sample.flavour == flavour
        spread = np.sqrt((eff[chosen] * (1 - eff[chosen])).sum())
        # Fitted to the same tags: the fluctuation of their number is in the fit, but for what smoothing moves.
        assert abs(eff[chosen].sum() - sample.is_tagged[chosen].sum()) < 0.5 * spread


@every_kind
@settings(max_examples=10)
@given(seed=st.integers(0, 1000))
def test_the_order_of_events_and_jets_does_not_matter(kind: str, seed: int) -> None:
    jets = make_jets([2, 4, 1, 6, 3] * 8)
    moved = shuffled(jets, seed)
    fitted, again = fit_map(jets, OPTIONS[kind]), fit_map(moved, OPTIONS[kind])
    # The fit ends within a small fraction of its errors, not always at the same point.
    tolerance = 0.02 if kind == "neighbour_product" else 1e-12
    np.testing.assert_allclose(again.efficiency(jets), fitted.efficiency(jets), atol=tolerance)
    by_score = np.argsort(jets.score), np.argsort(moved.score)
    np.testing.assert_allclose(
        fitted.efficiency(moved)[by_score[1]], fitted.efficiency(jets)[by_score[0]]
    )


@every_kind
def test_an_unknown_flavour_is_refused(kind: str, few: Jets) -> None:
    fitted = fit_map(few, OPTIONS[kind])
    strange = few.with_columns(flavour=np.where(np.arange(few.n_jets) == 3, 15, few.flavour))
    with pytest.raises(
        DataError,
        match=r"fitted to the flavours \[0, 4, 5\], a jet has 15 \(1 such jets\). Fit it to",
    ):
        fitted.efficiency(strange)


@every_kind
def test_an_untagged_sample_is_refused(kind: str, few: Jets) -> None:
    with pytest.raises(DataError, match="no column 'is_tagged': a map is fitted to tags"):
        fit_map(few.with_columns(is_tagged=None), OPTIONS[kind])


# ---- replicas of all kinds


@pytest.fixture(scope="module")
def replicas_of(sample: Jets) -> dict[str, list[Map]]:
    """Three replicas of every kind, fitted to the first 300 events of the sample."""
    return {
        kind: fit_replicas(sample.first(300), options, 3, SEED) for kind, options in OPTIONS.items()
    }


@every_kind
def test_replicas_repeat_and_each_has_a_stream_of_its_own(
    kind: str, few: Jets, replicas_of: dict[str, list[Map]]
) -> None:
    first = [replica.efficiency(few) for replica in replicas_of[kind]]
    assert len(first) == 3
    # The first of more are the same.
    again = fit_replicas(few, OPTIONS[kind], 2, SEED)
    assert all(
        np.array_equal(eff, replica.efficiency(few))
        for eff, replica in zip(first, again, strict=False)
    )
    nominal = fit_map(few, OPTIONS[kind]).efficiency(few)
    (other,) = fit_replicas(few, OPTIONS[kind], 1, (1, "other"))
    different = [*first, nominal, other.efficiency(few)]
    for i, a in enumerate(different):
        assert not any(np.array_equal(a, b) for b in different[:i])


@every_kind
def test_replicas_are_fitted_to_as_many_events_drawn_with_replacement(kind: str, few: Jets) -> None:
    (replica,) = fit_replicas(few, OPTIONS[kind], 1, SEED)
    drawn = np.random.default_rng(seed_words((*SEED, 0))).integers(0, few.n_events, few.n_events)
    assert 0.5 < len(np.unique(drawn)) / few.n_events < 0.75
    expected = fit_map(few.take(drawn), OPTIONS[kind])
    assert np.array_equal(replica.efficiency(few), expected.efficiency(few))


@every_kind
def test_writing_and_reading_replicas_is_the_identity(
    kind: str, few: Jets, replicas_of: dict[str, list[Map]], tmp_path: Path
) -> None:
    written, path = replicas_of[kind], tmp_path / "map.replicas.parquet"
    write_replica_maps(written, path, {"seed": list(SEED)})
    again = read_replica_maps(path)
    assert len(again) == len(written)
    for before, after in zip(written, again, strict=True):
        assert type(after) is type(before)
        assert after.policy == before.policy
        assert after.to_frame().equals(before.to_frame())
        assert np.array_equal(after.efficiency(few), before.efficiency(few))
    assert read_metadata(path)["seed"] == list(SEED)


def test_more_than_ten_replicas_keep_their_order(few: Jets, tmp_path: Path) -> None:
    written = fit_replicas(few, OPTIONS["binned"], 12, SEED)
    write_replica_maps(written, tmp_path / "r.parquet", {})
    for before, after in zip(written, read_replica_maps(tmp_path / "r.parquet"), strict=True):
        assert np.array_equal(after.efficiency(few), before.efficiency(few))


@every_kind
def test_one_map_is_no_replicas_and_replicas_are_no_map(
    kind: str, few: Jets, replicas_of: dict[str, list[Map]], tmp_path: Path
) -> None:
    path = tmp_path / "map.parquet"
    write_replica_maps(replicas_of[kind], path, {})
    with pytest.raises(
        DataError, match=r"map\.parquet: holds the replicas of a map, not the map itself; give that"
    ):
        read_map(path)
    write_map(fit_map(few, OPTIONS[kind]), path, {})
    with pytest.raises(
        DataError, match=r"map\.parquet: column 'replica' is missing; the file has .*flavour"
    ):
        read_replica_maps(path)
    write_frame(pd.read_parquet(path).assign(replica=0), path, {})
    with pytest.raises(DataError, match="does not say which of the kinds binned, smoothed"):
        read_replica_maps(path)
    with pytest.raises(DataError, match=r"none\.parquet: no such file"):
        read_replica_maps(tmp_path / "none.parquet")


@every_kind
def test_a_map_with_replicas_predicts_its_own_efficiency_and_theirs(
    kind: str, few: Jets, replicas_of: dict[str, list[Map]]
) -> None:
    nominal = fit_map(few, OPTIONS[kind])
    with_replicas = ReplicatedMap(nominal, replicas_of[kind])
    assert isinstance(with_replicas, Replicated)
    assert not isinstance(nominal, Replicated)
    prediction = predict(with_replicas, few)
    assert prediction.replicas is not None
    assert prediction.replicas.shape == (3, few.n_jets)
    # The map itself, not the mean of its replicas.
    assert np.array_equal(prediction.values, nominal.efficiency(few))
    assert np.array_equal(with_replicas.efficiency(few), nominal.efficiency(few))
    assert np.array_equal(prediction.replicas[1], replicas_of[kind][1].efficiency(few))


@pytest.mark.parametrize("jets_per_event", [1, 2])
def test_the_spread_of_replicas_is_the_error_of_a_fraction(jets_per_event: int) -> None:
    """sqrt(e (1 - e) / n) with n events: jets of one event that are tagged together are as good as one."""
    events, tagged, count = 400, 120, 500
    jets = b_jets(
        [jets_per_event] * events,
        is_tagged=np.repeat(np.arange(events) < tagged, jets_per_event).tolist(),
    )
    options = {"kind": "binned", "pt": [20.0, 100.0], "eta": [-1.0, 1.0], **POLICY}
    one = jets.take(slice(0, 1))
    values = np.array(
        [replica.efficiency(one)[0] for replica in fit_replicas(jets, options, count, SEED)]
    )
    eff = tagged / events
    error = math.sqrt(eff * (1 - eff) / events)
    assert fit_map(jets, options).efficiency(one)[0] == eff
    assert values.mean() == pytest.approx(eff, abs=4 * error / math.sqrt(count))
    assert values.std(ddof=1) == pytest.approx(error, rel=4 / math.sqrt(2 * count - 2))


def test_replicas_know_every_flavour_of_the_sample() -> None:
    """One jet of a flavour in the sample: of ten draws with replacement, some lack it."""
    jets = make_jets([2] * 50, flavour=np.r_[15, np.repeat([0, 4, 5], 33)])
    predict(
        ReplicatedMap(
            fit_map(jets, OPTIONS["binned"]), fit_replicas(jets, OPTIONS["binned"], 10, SEED)
        ),
        jets,
    )


# ---- axes and words


@kinds_with_axes
def test_jets_outside_take_the_nearest_value_or_are_refused(kind: str, few: Jets) -> None:
    inside = b_jets([1, 1], pt=[600.0, 600.0], eta=[2.5, -2.5])
    outside = b_jets([1, 1], pt=[700.0, 600.0], eta=[2.5, -3.0])
    clamped = fit_map(few, OPTIONS[kind])
    assert np.array_equal(clamped.efficiency(outside), clamped.efficiency(inside))
    strict = fit_map(few, {**OPTIONS[kind], "outside": "error"})
    with pytest.raises(
        DataError, match=r"1 jets lie outside the map's pt axis \[20.0, 600.0\], the first at 700.0"
    ):
        strict.efficiency(outside)
    with pytest.raises(ConfigError, match="outside is 'wrap'; allowed are clamp, error"):
        fit_map(few, {**OPTIONS[kind], "outside": "wrap"})


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("binned", r"570 bins, \d+ of them empty"),
        ("smoothed", r"570 bins smoothed by 30 GeV and 0\.2 in eta"),
        ("delta_r", r"570 bins, \d+ of them empty, and 48 bins of Delta R"),
        ("neighbour_product", r"18 parameters"),
    ],
)
def test_what_the_log_says(kind: str, text: str, few: Jets) -> None:
    assert re.fullmatch(text, fit_map(few, OPTIONS[kind]).describe())


# ---- smoothed


def smooth_by_hand(sigma: float) -> SmoothedMap:
    """Two pT bins of 100 GeV: one of two jets tagged in the first, three of three in the second."""
    jets = b_jets(
        [1] * 5, pt=[50.0, 60.0, 120.0, 150.0, 199.0], is_tagged=[True, False, True, True, True]
    )
    return SmoothedMap.fit(
        jets, [0.0, 100.0, 200.0], [-1.0, 1.0], {"pt": sigma, "eta": 0.0}, "clamp"
    )


def test_smoothing_by_hand() -> None:
    fitted = smooth_by_hand(100.0)
    # A neighbouring bin, one width away, counts exp(-1/2) as much.
    share = math.exp(-0.5)
    first, second = (1 + 3 * share) / (2 + 3 * share), (share + 3) / (2 * share + 3)
    assert fitted.values.ravel() == pytest.approx([first, second])
    # Between the centres at 50 and 150 GeV linearly, beyond them flat.
    at = b_jets([1] * 5, pt=[1.0, 50.0, 75.0, 150.0, 200.0])
    assert fitted.efficiency(at) == pytest.approx(
        [first, first, 0.75 * first + 0.25 * second, second, second]
    )


def test_a_width_of_zero_does_not_smooth(few: Jets) -> None:
    smoothed = SmoothedMap.fit(few, **AXES, smoothing={"pt": 0.0, "eta": 0.0}, outside="clamp")
    binned = BinnedMap.fit(few, **AXES, **POLICY)
    assert np.array_equal(smoothed.values[binned.total > 0], binned.values[binned.total > 0])


@given(st.floats(0, 300), st.floats(0, 3), st.integers(0, 100))
def test_a_constant_efficiency_stays_constant_up_to_the_edges(
    pt: float, eta: float, seed: int
) -> None:
    jets = make_jets([40], seed, flavour=np.full(40, 5), is_tagged=np.ones(40, dtype=bool))
    # Each jet twice, once tagged and once not.
    twice = make_jets(
        [80],
        **{name: np.repeat(getattr(jets, name), 2) for name in ("pt", "eta", "flavour")},
        is_tagged=np.arange(80) % 2 == 0,
    )
    fitted = SmoothedMap.fit(twice, **AXES, smoothing={"pt": pt, "eta": eta}, outside="clamp")
    np.testing.assert_allclose(fitted.values, 0.5)


def test_where_there_are_no_jets_the_flavour_has_its_mean() -> None:
    jets = b_jets([1] * 4, pt=[25.0, 25.0, 25.0, 35.0], is_tagged=[True, False, True, True])
    fitted = SmoothedMap.fit(
        jets,
        {"bins": 58, "low": 20.0, "high": 600.0},
        [-1.0, 1.0],
        {"pt": 10.0, "eta": 0.0},
        "clamp",
    )
    assert fitted.efficiency(b_jets([1], pt=[500.0])) == pytest.approx(0.75)


def test_smoothing_needs_bins_of_one_width() -> None:
    with pytest.raises(
        ConfigError, match=r"pt: the bins of a smoothed map must be of one width, .* 30 to 50; give"
    ):
        SmoothedMap.fit(
            b_jets([1]), [20.0, 50.0, 100.0], [-1.0, 1.0], {"pt": 1.0, "eta": 1.0}, "clamp"
        )


def test_every_other_kind_comes_closer_to_the_truth_than_bins(sample: Jets) -> None:
    regret = {
        kind: excess_loss(
            sample.efficiency_true, fit_map(sample, OPTIONS[kind]).efficiency(sample)
        ).mean()
        for kind in OPTIONS
    }
    assert max(regret, key=lambda kind: float(regret[kind])) == "binned"
    assert regret["neighbour_product"] < 0.05 * min(regret["delta_r"], regret["smoothed"])


# ---- corrected for the nearest jet


def corrected_by_hand() -> CorrectedMap:
    """Three close pairs, tagged two times in six; a far pair and a jet alone, all tagged; the map has 5/9."""
    jets = b_jets(
        [2, 2, 2, 2, 1],
        eta=[0.0, 0.1] * 3 + [-2.0, 2.0, 0.0],
        is_tagged=[True, False] * 2 + [False, False] + [True] * 3,
    )
    return CorrectedMap.fit(jets, [20.0, 100.0], [-2.5, 2.5], [0.0, 0.5, 1.0], **POLICY)


def test_correction_by_hand() -> None:
    fitted = corrected_by_hand()
    assert fitted.total.tolist() == [[6, 0, 3]]
    assert fitted.tagged.tolist() == [[2, 0, 3]]
    assert fitted.base.values.ravel() == pytest.approx([5 / 9])
    # Tags over expected tags; 1 where none are expected; the last bin is that of jets without a near one.
    assert fitted.correction.tolist() == [pytest.approx([2 / (6 * 5 / 9), 1.0, 3 / (3 * 5 / 9)])]
    at = b_jets([2, 2, 1], eta=[0.0, 0.7, 0.0, 0.2, 0.0])
    assert fitted.efficiency(at) == pytest.approx([5 / 9, 5 / 9, 1 / 3, 1 / 3, 1.0])


def test_the_table_holds_the_map_and_the_correction() -> None:
    frame = corrected_by_hand().to_frame()
    assert frame["delta_r_high"].tolist()[1:] == [0.5, 1.0, math.inf]
    assert (
        frame["delta_r_low"].isna().tolist()
        == frame["correction"].isna().tolist()
        == [True, False, False, False]
    )
    assert frame["tagged"].tolist() == [5, 2, 0, 3]
    assert frame["tagged"].dtype == frame["total"].dtype == np.int64


def test_corrected_efficiencies_stay_below_one() -> None:
    jets = b_jets([2, 1], pt=[50.0, 45.0, 200.0], is_tagged=[True, True, False])
    fitted = CorrectedMap.fit(jets, [20.0, 100.0, 600.0], [-2.5, 2.5], [0.0, 1.0], **POLICY)
    doubled = CorrectedMap(
        fitted.base, fitted.edges, fitted.tagged, fitted.total, fitted.expected / 2
    )
    assert doubled.correction[0, 0] == 2
    assert doubled.efficiency(jets).tolist() == [1.0, 1.0, 0.0]


def test_corrected_maps_close_in_every_bin_of_delta_r(sample: Jets) -> None:
    fitted = fit_map(sample, OPTIONS["delta_r"])
    again = CorrectedMap.fit(sample, **{k: v for k, v in OPTIONS["delta_r"].items() if k != "kind"})
    assert np.array_equal(again.correction, fitted.correction)
    np.testing.assert_allclose(fitted.expected * fitted.correction, fitted.tagged)
    assert fitted.efficiency(sample).sum() == pytest.approx(sample.is_tagged.sum(), rel=1e-3)


def test_without_neighbours_in_the_truth_the_correction_is_one(
    sample: Jets, truth: NeighbourProduct
) -> None:
    alone = NeighbourProduct(truth.base, dict.fromkeys(truth.correction, NearbyDip(0.0, 1.0)))
    jets = tag(sample, alone, np.random.default_rng(11))
    fitted = fit_map(jets, OPTIONS["delta_r"])
    some = fitted.expected > 0
    pulls = (fitted.tagged - fitted.expected)[some] / np.sqrt(fitted.expected[some])
    assert chi2.sf((pulls**2).sum(), pulls.size) > 1e-3
    seen = fit_map(sample, OPTIONS["delta_r"])
    assert (seen.correction[:, 0] < 0.9).all()


def test_bad_edges_of_delta_r_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"delta_r: edge 2 is 0.3, not above the edge before it, 0.5"
    ):
        CorrectedMap.fit(b_jets([1]), [20.0, 100.0], [-1.0, 1.0], [0.0, 0.5, 0.3], **POLICY)


# ---- fitted to the form of Eq. 2


def few_parameters(seed: int = 3) -> tuple[Any, np.ndarray]:
    """Some jets, prepared, and parameters somewhere."""
    jets = make_jets([2, 5, 1, 3] * 10, seed)
    block = _prepare(jets, (0, 4, 5), 0.0, (1.0, 1.0))
    values = np.array(
        [
            [0.3, 250.0, 200.0, 2.0, 0.2, 0.6],
            [0.5, 100.0, 300.0, 1.5, 0.4, 0.9],
            [0.9, 150.0, 250.0, 1.8, 0.6, 0.3],
        ]
    )
    return (jets, block), values


def test_the_likelihood_is_that_of_the_function() -> None:
    (jets, block), values = few_parameters()
    fitted = FittedProduct((0, 4, 5), values, np.zeros_like(values))
    loss, _ = _loss([block, block], _to_free(values))
    assert loss == pytest.approx(tag_loss(jets.is_tagged, fitted.efficiency(jets)).mean())


def test_gradient_and_information_are_exact() -> None:
    (jets, block), values = few_parameters()
    free = _to_free(values)
    np.testing.assert_allclose(_from_free(free), values)
    numeric = approx_fprime(free, lambda x: _loss([block], x)[0], 1e-7)
    np.testing.assert_allclose(_loss([block], free)[1], numeric, rtol=1e-3, atol=1e-7)

    def root(flat: np.ndarray) -> np.ndarray:
        """Return twice the arc sine of the root of the efficiencies: its slopes make the information."""
        fitted = FittedProduct((0, 4, 5), flat.reshape(values.shape), values)
        return 2 * np.arcsin(np.sqrt(fitted.efficiency(jets)))

    slopes = approx_fprime(values.ravel(), root, 1e-7)
    np.testing.assert_allclose(
        _information([block], values), slopes.T @ slopes, rtol=1e-3, atol=1e-5
    )


def test_the_fit_finds_the_truth_within_its_errors(sample: Jets, truth: NeighbourProduct) -> None:
    fitted = FittedProduct.fit(sample)
    true = np.array(
        [
            [*vars(truth.base[flavour]).values(), *vars(truth.correction[flavour]).values()]
            for flavour in fitted.flavours
        ]
    )
    # Without those of light jets: three hundred tags are too few for Gaussian errors.
    pulls = ((fitted.values - true) / fitted.errors)[1:]
    assert np.abs(pulls).max() < 4
    assert 0.5 < np.sqrt((pulls**2).mean()) < 1.5
    # Twice the excess log-likelihood has a chi-square distribution with a degree of freedom per parameter (Wilks).
    excess = 2 * excess_loss(sample.efficiency_true, fitted.efficiency(sample)).sum()
    assert chi2.ppf(1e-3, 18) < excess < chi2.isf(1e-3, 18)


def test_the_fit_is_as_good_as_its_parameters_are_few(
    multijet: Generator, truth: NeighbourProduct
) -> None:
    """At a thousand events, in ten samples, the regret is still about p / (2 N)."""
    (jets,) = generate(multijet, truth, range(10_000), (7, "fits"))
    parts = [jets.take(slice(first, first + 1000)) for first in range(0, 10_000, 1000)]
    excess = [
        2 * excess_loss(p.efficiency_true, FittedProduct.fit(p).efficiency(p)).sum() for p in parts
    ]
    assert 0.7 * 18 < np.mean(excess) < 1.5 * 18


def test_a_flavour_without_tags_gets_no_efficiency(few: Jets) -> None:
    bare = few.with_columns(is_tagged=few.is_tagged & (few.flavour != 0))
    eff = FittedProduct.fit(bare).efficiency(bare)
    assert eff[bare.flavour == 0].max() < 1e-2
    assert eff[bare.flavour == 5].mean() == pytest.approx(
        bare.is_tagged[bare.flavour == 5].mean(), rel=0.02
    )


def test_a_flavour_that_is_always_tagged_gets_all(few: Jets) -> None:
    full = few.with_columns(is_tagged=few.is_tagged | (few.flavour == 5))
    eff = FittedProduct.fit(full).efficiency(full)
    assert eff[full.flavour == 5].min() > 0.9


def test_jets_that_are_alone_say_nothing_about_neighbours() -> None:
    fitted = FittedProduct.fit(make_jets([1] * 500))
    assert np.isinf(fitted.errors[:, 4:]).all()
    assert np.isfinite(fitted.errors[:, :1]).all()


def test_a_fit_begins_where_the_data_say() -> None:
    values = _start(np.array([0, 0, 0, 1]), np.array([True, False, True, False]))
    assert values[:, 0].tolist() == [2.5 / 4, 0.25]
    assert values.shape == (2, 6)


def test_a_sample_without_jets_is_refused(few: Jets) -> None:
    with pytest.raises(DataError, match="the sample has no jets; a fit needs some"):
        FittedProduct.fit(few.take(slice(0, 0)))


def test_a_fit_that_does_not_converge_is_refused(
    few: Jets, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(_: Any, start: np.ndarray, **__: Any) -> OptimizeResult:
        return OptimizeResult(x=start, success=False, nit=500)

    monkeypatch.setattr(parametric, "minimize", give_up)
    message = rf"the fit of 18 parameters to {few.n_jets} jets did not converge in 500 steps: .* Fit it to more events"
    with pytest.raises(DataError, match=message):
        FittedProduct.fit(few)


# ---- the config


def with_maps(config: Options, **maps: Any) -> Options:
    return {**copy.deepcopy(config), "maps": {**config["maps"], **maps}}


@every_kind
def test_the_config_knows_every_kind(
    kind: str, default_config: Options, schema: Options, few: Jets
) -> None:
    options = check_config(with_maps(default_config, mine=OPTIONS[kind]), schema)["maps"]["mine"]
    assert options["replicas"] == 20
    # The number of replicas is not the map's business.
    assert np.array_equal(
        fit_map(few, options).efficiency(few), fit_map(few, OPTIONS[kind]).efficiency(few)
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"kind": "spline"},
            r"maps\.mine\.kind: 'spline' is not allowed; allowed are binned, smoothed, delta_r, neig",
        ),
        ({**AXES}, r"1 fault.*\n.*maps\.mine: key 'kind' is missing"),
        ({"kind": "binned", "pt": AXES["pt"]}, r"maps\.mine: key 'eta' is missing"),
        ({"kind": "smoothed", **AXES}, r"maps\.mine: key 'smoothing' is missing"),
        ({"kind": "neighbour_product", **AXES}, r"maps\.mine: unknown key 'pt'. Allowed: kind"),
        ({**OPTIONS["smoothed"], "coverage": 0.68}, r"maps\.mine: unknown key 'coverage'"),
        (
            {**OPTIONS["smoothed"], "pt": [20, 40, 80]},
            r"maps\.mine\.pt: .* must be of type object. Fine bins of one",
        ),
        (
            {**OPTIONS["smoothed"], "smoothing": {"pt": -1, "eta": 0.1}},
            r"maps\.mine\.smoothing\.pt: -1 is not allowed; it must be at least 0",
        ),
        (
            {**OPTIONS["delta_r"], "delta_r": [0, 0.5, 0.4]},
            r"maps\.mine\.delta_r: edge 2 is 0\.4, not above the edge before it, 0\.5",
        ),
        ({**OPTIONS["binned"], "delta_r": [0, 1]}, r"maps\.mine: unknown key 'delta_r'"),
        (
            {**OPTIONS["binned"], "replicas": 1},
            r"maps\.mine\.replicas: 1 is not allowed; it must be at least 2",
        ),
    ],
)
def test_bad_maps_are_refused_by_path(
    options: Options, message: str, default_config: Options, schema: Options
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_config(with_maps(default_config, mine=options), schema)


@kinds_with_axes
def test_policies_have_defaults(kind: str, default_config: Options, schema: Options) -> None:
    options = {key: value for key, value in OPTIONS[kind].items() if key not in POLICY}
    filled = check_config(with_maps(default_config, mine=options), schema)["maps"]["mine"]
    assert filled.keys() == {*OPTIONS[kind], "replicas"}
    assert filled["outside"] == "clamp"
