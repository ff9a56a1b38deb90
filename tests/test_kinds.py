"""What every kind of estimator that a table holds must do: files, order, replicas, options."""

from __future__ import annotations

import json
import logging
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from estimator_kinds import AXES, OPTIONS, SEED, WAYS, b_jets, class_of, fit, options_of
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import make_jets
from truthtag.data.files import read_metadata, write_frame
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.ensemble import Ensemble, load
from truthtag.estimators.predictions import predict
from truthtag.estimators.protocol import KINDS, Replicated, kind_and_options
from truthtag.estimators.resampling import fit_replicas
from truthtag.estimators.table_file import TableEstimator, load_replicas, save_replicas
from truthtag.seeds import Seed, seed_words
from truthtag.statistics.accuracy import excess_loss

every_kind = pytest.mark.parametrize("kind", OPTIONS)
kinds_with_axes = pytest.mark.parametrize(
    "kind", [kind for kind in OPTIONS if "pt" in OPTIONS[kind]]
)


def replicas(
    kind: str, jets: Jets, count: int, seed: Seed = SEED, **changes: Any
) -> list[TableEstimator]:
    """Fit replicas of a kind, with the jets themselves as the validation sample."""
    return fit_replicas(class_of(kind), jets, jets, options_of(kind, **changes), count, seed)


def shuffled(jets: Jets, seed: int) -> Jets:
    """Put the events in another order; the jets of each can only be ordered by falling pt."""
    rng = np.random.default_rng(seed)
    return jets.take(rng.permutation(jets.n_events))


# ---- all kinds


def test_every_kind_is_tested() -> None:
    assert {*OPTIONS, "network"} == KINDS.entries.keys()


@every_kind
def test_write_and_read_is_the_identity(kind: str, few: Jets, tmp_path: Path) -> None:
    fitted = fit(kind, few)
    fitted.save(tmp_path / "map.parquet", {})
    again = load(tmp_path / "map.parquet")
    assert type(again) is type(fitted)
    assert tuple(fitted.to_frame().columns) == fitted.columns
    assert again.to_frame().equals(fitted.to_frame())
    assert again.settings == fitted.settings
    assert np.array_equal(again.efficiency(few), fitted.efficiency(few))


@every_kind
def test_efficiencies_are_probabilities_near_the_tagged_fraction(kind: str, sample: Jets) -> None:
    eff = fit(kind, sample).efficiency(sample)
    assert ((eff >= 0) & (eff <= 1)).all()
    for flavour in (5, 4, 0):
        chosen = sample.flavour == flavour
        spread = np.sqrt((eff[chosen] * (1 - eff[chosen])).sum())
        # Fitted to the same tags: their fluctuation is in the fit, but for what smoothing moves.
        # Trees stop before they are fitted to the last tag.
        most = 3 if kind == "trees" else 0.5
        assert abs(eff[chosen].sum() - sample.is_tagged[chosen].sum()) < most * spread


@every_kind
@settings(max_examples=10)
@given(seed=st.integers(0, 1000))
def test_the_order_of_events_and_jets_does_not_matter(kind: str, seed: int) -> None:
    jets = make_jets([2, 4, 1, 6, 3] * 8)
    moved = shuffled(jets, seed)
    fitted, again = fit(kind, jets), fit(kind, moved)
    # The fit ends within a small fraction of its errors, not always at the same point.
    tolerance = {"parametric": 0.02, "additive": 0.02, "trees": 0.3}.get(kind, 1e-12)
    np.testing.assert_allclose(again.efficiency(jets), fitted.efficiency(jets), atol=tolerance)
    by_score = np.argsort(jets.score), np.argsort(moved.score)
    np.testing.assert_allclose(
        fitted.efficiency(moved)[by_score[1]], fitted.efficiency(jets)[by_score[0]]
    )


@every_kind
def test_an_unknown_flavour_is_refused(kind: str, few: Jets) -> None:
    fitted = fit(kind, few)
    strange = few.with_columns(flavour=np.where(np.arange(few.n_jets) == 3, 15, few.flavour))
    with pytest.raises(
        DataError,
        match=r"fitted to the flavours \[0, 4, 5\], a jet has 15 \(1 such jets\). Fit it to",
    ):
        fitted.efficiency(strange)


@every_kind
def test_an_untagged_sample_is_refused(kind: str, few: Jets) -> None:
    with pytest.raises(DataError, match="no column 'is_tagged': a map is fitted to tags"):
        fit(kind, few.with_columns(is_tagged=None))


# ---- replicas of all kinds


@pytest.fixture(scope="module")
def replicas_of(sample: Jets) -> dict[str, list[TableEstimator]]:
    """Three replicas of every kind, fitted to the first 300 events of the sample."""
    return {kind: replicas(kind, sample.first(300), 3) for kind in OPTIONS}


@every_kind
def test_replicas_repeat_and_each_has_a_stream_of_its_own(
    kind: str, few: Jets, replicas_of: dict[str, list[TableEstimator]]
) -> None:
    first = [replica.efficiency(few) for replica in replicas_of[kind]]
    assert len(first) == 3
    # The first of more are the same.
    again = replicas(kind, few, 2)
    assert all(
        np.array_equal(eff, replica.efficiency(few))
        for eff, replica in zip(first, again, strict=False)
    )
    nominal = fit(kind, few).efficiency(few)
    (other,) = replicas(kind, few, 1, (1, "other"))
    different = [*first, nominal, other.efficiency(few)]
    for i, a in enumerate(different):
        assert not any(np.array_equal(a, b) for b in different[:i])


@pytest.mark.parametrize("kind", [kind for kind in OPTIONS if kind != "additive"])
def test_replicas_are_fitted_to_as_many_events_drawn_with_replacement(kind: str, few: Jets) -> None:
    (replica,) = replicas(kind, few, 1)
    drawn = np.random.default_rng(seed_words((*SEED, 0))).integers(0, few.n_events, few.n_events)
    assert 0.5 < len(np.unique(drawn)) / few.n_events < 0.75
    expected = class_of(kind).fit(few.take(drawn), few, options_of(kind), (*SEED, 0))
    # The sums of the nearest jet's factor run over the events in another order.
    rtol = 1e-12 if kind == "nearest_jet" else 0
    np.testing.assert_allclose(replica.efficiency(few), expected.efficiency(few), rtol=rtol)


@every_kind
def test_writing_and_reading_replicas_is_the_identity(
    kind: str, few: Jets, replicas_of: dict[str, list[TableEstimator]], tmp_path: Path
) -> None:
    written, path = replicas_of[kind], tmp_path / "map.replicas.parquet"
    save_replicas(written, path, {"seed": list(SEED)})
    again = load_replicas(path)
    assert len(again) == len(written)
    for before, after in zip(written, again, strict=True):
        assert type(after) is type(before)
        assert after.settings == before.settings
        assert after.to_frame().equals(before.to_frame())
        assert np.array_equal(after.efficiency(few), before.efficiency(few))
    assert read_metadata(path)["seed"] == list(SEED)


def test_more_than_ten_replicas_keep_their_order(few: Jets, tmp_path: Path) -> None:
    written = replicas("binned", few, 12)
    save_replicas(written, tmp_path / "r.parquet", {})
    for before, after in zip(written, load_replicas(tmp_path / "r.parquet"), strict=True):
        assert np.array_equal(after.efficiency(few), before.efficiency(few))


@every_kind
def test_one_map_is_no_replicas_and_replicas_are_no_map(
    kind: str, few: Jets, replicas_of: dict[str, list[TableEstimator]], tmp_path: Path
) -> None:
    path = tmp_path / "map.parquet"
    save_replicas(replicas_of[kind], path, {})
    with pytest.raises(
        DataError, match=r"map\.parquet: holds the replicas of a map, not the map itself; give that"
    ):
        load(path)
    fit(kind, few).save(path, {})
    with pytest.raises(
        DataError,
        match=r"map\.parquet: column 'replica' is missing; the file has (flavour|model|term)",
    ):
        load_replicas(path)
    write_frame(pd.read_parquet(path).assign(replica=0), path, {})
    with pytest.raises(DataError, match="does not say which of the kinds binned, smoothed"):
        load_replicas(path)
    with pytest.raises(DataError, match=r"none\.parquet: no such file"):
        load_replicas(tmp_path / "none.parquet")


@every_kind
def test_a_map_with_replicas_predicts_its_own_efficiency_and_theirs(
    kind: str, few: Jets, replicas_of: dict[str, list[TableEstimator]]
) -> None:
    nominal = fit(kind, few)
    with_replicas = Ensemble(replicas_of[kind], nominal)
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
    """sqrt(e (1 - e) / n) with n events: jets that are tagged together are as good as one."""
    events, tagged, count = 400, 120, 500
    jets = b_jets(
        [jets_per_event] * events,
        is_tagged=np.repeat(np.arange(events) < tagged, jets_per_event).tolist(),
    )
    axes = {"pt": [20.0, 100.0], "eta": [-1.0, 1.0]}
    one = jets.take(slice(0, 1))
    values = np.array(
        [replica.efficiency(one)[0] for replica in replicas("binned", jets, count, **axes)]
    )
    eff = tagged / events
    error = math.sqrt(eff * (1 - eff) / events)
    assert fit("binned", jets, **axes).efficiency(one)[0] == eff
    assert values.mean() == pytest.approx(eff, abs=4 * error / math.sqrt(count))
    assert values.std(ddof=1) == pytest.approx(error, rel=4 / math.sqrt(2 * count - 2))


def test_replicas_know_every_flavour_of_the_sample() -> None:
    """One jet of a flavour in the sample: of ten draws with replacement, some lack it."""
    jets = make_jets([2] * 50, flavour=np.r_[15, np.repeat([0, 4, 5], 33)])
    predict(Ensemble(replicas("binned", jets, 10), fit("binned", jets)), jets)


# ---- axes and words


@kinds_with_axes
def test_jets_outside_take_the_nearest_value_or_are_refused(kind: str, few: Jets) -> None:
    inside = b_jets([1, 1], pt=[600.0, 600.0], eta=[2.5, -2.5])
    outside = b_jets([1, 1], pt=[700.0, 600.0], eta=[2.5, -3.0])
    clamped = fit(kind, few)
    assert np.array_equal(clamped.efficiency(outside), clamped.efficiency(inside))
    strict = fit(kind, few, outside="error")
    with pytest.raises(
        DataError, match=r"1 jets lie outside the map's pt axis \[20.0, 600.0\], the first at 700.0"
    ):
        strict.efficiency(outside)
    with pytest.raises(ConfigError, match=r"estimators\.mine\.outside: .*'clamp' or 'error'"):
        fit(kind, few, outside="wrap")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("binned", r"570 bins, \d+ of them empty"),
        ("smoothed", r"570 bins smoothed by 30 GeV and 0\.2 in eta"),
        ("nearest_jet", r"570 bins, \d+ of them empty, and 48 bins of Delta R"),
        ("parametric", r"18 parameters"),
        ("trees", r"\d+ trees on 5 nearest jets, sums over neighbours"),
    ],
)
def test_what_the_log_says(kind: str, text: str, few: Jets) -> None:
    assert re.fullmatch(text, fit(kind, few).describe())


def test_every_other_kind_comes_closer_to_the_truth_than_bins(sample: Jets) -> None:
    regret = {
        kind: excess_loss(sample.efficiency_true, fit(kind, sample).efficiency(sample)).mean()
        for kind in OPTIONS
        # Trees that are tuned for 300 events learn the noise of 20,000.
        if kind != "trees"
    }
    assert max(regret, key=lambda kind: float(regret[kind])) == "binned"
    assert regret["parametric"] < 0.05 * min(regret["nearest_jet"], regret["smoothed"])


def test_a_sample_that_is_tagged_throughout_or_not_at_all_is_warned_of(
    few: Jets, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "truthtag"):
        fit("binned", few)
    assert not caplog.messages
    with caplog.at_level(logging.WARNING, "truthtag"):
        fit("binned", few.with_columns(is_tagged=np.zeros(few.n_jets, dtype=bool)))
        fit("parametric", few.with_columns(is_tagged=np.ones(few.n_jets, dtype=bool)))
    assert caplog.messages[0].startswith(f"none of the {few.n_jets} jets are tagged: such a sample")
    assert caplog.messages[1].startswith(f"all of the {few.n_jets} jets are tagged")


# ---- options


@every_kind
def test_options_become_plain_json_and_back(kind: str) -> None:
    options = options_of(kind)
    plain = options.model_dump(mode="json")
    assert json.loads(json.dumps(plain)) == plain
    assert options_of(kind, **plain) == options
    assert plain["replicas"] == 20


@kinds_with_axes
def test_options_have_defaults(kind: str) -> None:
    given = {key: value for key, value in OPTIONS[kind].items() if key not in WAYS}
    _, options = kind_and_options(given, "estimators.mine")
    assert options.outside == "clamp"
    assert getattr(options, "coverage", 0.6827) == 0.6827


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"kind": "spline"},
            r"mine\.kind: 'spline' is not a kind of estimator. Allowed: binned, s",
        ),
        ({"kind": "bined"}, r"Did you mean 'binned'"),
        (
            {**AXES},
            r"mine\.kind: it is missing. Allowed: binned, smoothed, nearest_jet, parametric",
        ),
        ({"kind": "binned", "pt": AXES["pt"]}, r"mine\.eta: Field required"),
        ({"kind": "smoothed", **AXES}, r"mine\.smoothing: Field required"),
        ({"kind": "parametric", **AXES}, r"mine\.pt: Extra inputs are not permitted"),
        ({**OPTIONS["smoothed"], "coverage": 0.68}, r"mine\.coverage: Extra inputs"),
        ({**OPTIONS["smoothed"], "pt": [20, 40, 80]}, r"mine\.pt: "),
        (
            {**OPTIONS["smoothed"], "smoothing": {"pt": -1, "eta": 0.1}},
            r"mine\.smoothing\.pt: .* greater than or equal to 0, not -1",
        ),
        (
            {**OPTIONS["nearest_jet"], "delta_r": [0, 0.5, 0.4]},
            r"mine\.delta_r: edge 2 is 0\.4, not above the edge before it, 0\.5",
        ),
        ({**OPTIONS["nearest_jet"], "delta_r": [0, 1, math.inf]}, r"mine\.delta_r.*finite number"),
        ({**OPTIONS["binned"], "pt": [0, math.inf, 1]}, r"edge 1 is inf; only the last edge of a"),
        ({**OPTIONS["binned"], "pt": [0, math.nan]}, r"edge 1 is nan; only the last edge of a map"),
        ({**OPTIONS["binned"], "delta_r": [0, 1]}, r"mine\.delta_r: Extra inputs"),
        ({**OPTIONS["binned"], "replicas": 1}, r"mine\.replicas: .*greater than or equal to 2"),
        ({**OPTIONS["binned"], "coverage": 1.0}, r"mine\.coverage: .*less than or equal to 0.9999"),
        ({**OPTIONS["trees"], "num_leaves": 1}, r"mine\.num_leaves: .*greater than or equal to 2"),
        ({**OPTIONS["trees"], "bagging_fraction": 0}, r"mine\.bagging_fraction: .*greater than 0"),
    ],
)
def test_bad_options_are_refused_by_path(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kind_and_options(options, "estimators.mine")


def test_options_cost_no_heavy_import() -> None:
    """The config is read by every job: no torch, scipy, hist or LightGBM for it."""
    code = (
        "import sys\n"
        "from truthtag.estimators.protocol import KINDS\n"
        "for kind in KINDS.entries:\n"
        "    if kind != 'network':\n"
        "        KINDS.load(kind, 'kind').options_type\n"
        "heavy = {'torch', 'scipy', 'hist', 'lightgbm', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@every_kind
def test_every_option_is_described(kind: str) -> None:
    schema = class_of(kind).options_type.model_json_schema()
    assert schema["description"]
    for name, entry in schema["properties"].items():
        assert entry.get("description"), name
