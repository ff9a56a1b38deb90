"""Files of correctionlib: what the real package evaluates is what our estimators say."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from estimator_kinds import OPTIONS, SEED, b_jets, class_of, fit, options_of
from hypothesis import assume, given
from hypothesis import strategies as st

from conftest import ROOT, make_jets
from truthtag.data.axes import bin_index
from truthtag.data.jets import Jets
from truthtag.data.kinematics import delta_r
from truthtag.data.labels import Labels
from truthtag.data.neighbours import nearest_jet
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.binned import BinnedMap
from truthtag.estimators.cross_fitting import CrossFitted, Folds
from truthtag.estimators.ensemble import Ensemble, load
from truthtag.estimators.network.estimator import NetworkEstimator
from truthtag.estimators.parametric import ParametricFit
from truthtag.estimators.resampling import fit_replicas
from truthtag.estimators.table_file import PointwiseEstimator, save_replicas
from truthtag.exports.correction_json import read_corrections, renamed, written_edges
from truthtag.exports.corrections import (
    CorrectionOptions,
    export_corrections,
    export_corrections_by_fold,
)

correctionlib = pytest.importorskip("correctionlib")

PARITY = {"rtol": 1e-14, "atol": 0.0}
ROUNDING = {"rtol": 1e-13, "atol": 1e-15}
KINDS = ("binned", "nearest_jet", "smoothed", "parametric")
every_kind = pytest.mark.parametrize("kind", KINDS)
# Numbers that have no exact value in single precision, some above it, some below; thirds.
AWKWARD: dict[str, Any] = {
    "pt": [20.0, 30.1, 50.7, 100 / 3 + 60, 600.0],
    "eta": [0.0, 0.7, 1.4, 2.1, 2.4],
    "abs_eta": True,
}
POINTS = ("loose", "medium", "tight")
TRACKS = [0.0, 3.0, 6.0, 10.0]


@pytest.fixture(scope="module")
def train() -> Jets:
    """1,000 events of 1 to 5 jets, some near each other, at three working points if asked."""
    rng = np.random.default_rng(3)
    jets = make_jets(rng.integers(1, 6, 1000).tolist(), seed=3)
    return jets.with_columns(phi=(jets.phi / 3).astype(np.float32))


def with_points(jets: Jets) -> Jets:
    passed = np.random.default_rng(6).geometric(0.5, jets.n_jets)
    tag_bin = np.where(jets.is_tagged, np.minimum(passed, len(POINTS)), 0)
    labels = Labels(flavours=(0, 4, 5), points=POINTS)
    return jets.with_columns(is_tagged=None, tag_bin=tag_bin, efficiency_true=None, labels=labels)


def with_tracks(jets: Jets) -> Jets:
    tracks = np.random.default_rng(4).integers(0, 10, jets.n_jets)
    width = np.random.default_rng(5).random(jets.n_jets)
    return jets.with_columns(further={"n_tracks": tracks, "width": width})


def ensemble_of(kind: str, jets: Jets, count: int = 3, **changes: Any) -> Ensemble:
    options = options_of(kind, **changes)
    replicas = fit_replicas(class_of(kind), jets, jets, options, count, SEED)
    return Ensemble(replicas, fit(kind, jets, **changes))


def cross_fitted(kind: str, jets: Jets, count: int = 2, **changes: Any) -> CrossFitted:
    folds = Folds(3)
    parts = []
    for fold in range(folds.count):
        part = folds.learning(fold, stops_early=False).of(jets)
        parts.append(ensemble_of(kind, part, count, **changes))
    return CrossFitted(folds, parts)


def exported(estimator: Any, folder: Path, **options: Any) -> Any:
    """Write an estimator, and return what correctionlib reads."""
    export_corrections(estimator, folder / "map.json", CorrectionOptions(**options))
    return correctionlib.CorrectionSet.from_file(str(folder / "map.json"))


def alone(pt: Any, eta: Any, flavour: Any, **further: Any) -> Jets:
    """Make jets in single precision, each alone in its event."""
    size = len(pt)
    columns = {"pt": pt, "eta": eta, "phi": np.zeros(size), "mass": np.zeros(size)}
    columns |= {"event": np.arange(size), "flavour": flavour, "weight": np.ones(size)}
    return Jets.from_columns(columns, further=further)


def around(edges: Sequence[float]) -> np.ndarray:
    """Return edges in single precision, with both neighbours and numbers beyond both ends."""
    at = np.array([edge for edge in edges if np.isfinite(edge)], dtype=np.float32)
    below = np.nextafter(at, np.float32(-np.inf))
    above = np.nextafter(at, np.float32(np.inf))
    beyond = np.array([edges[0] - 1.5, at[-1] + 3.0, at[-1] * 7 + 1], dtype=np.float32)
    return np.concatenate([at, below, above, beyond])


def at_edges(
    pt: Sequence[float], eta: Sequence[float], flavours: Sequence[int] = (0, 4, 5)
) -> Jets:
    """Return a jet for each pair of pT and eta around an edge, signs and zeros of both kinds."""
    etas = np.concatenate([around(eta), -around(eta), [0.0, -0.0]])
    pts = around(pt)
    grid = np.meshgrid(pts[pts > 0], etas[np.abs(etas) < 20], flavours, indexing="ij")
    return alone(*(axis.ravel() for axis in grid))


def evaluated(correction: Any, jets: Jets, *first: str, **further: Any) -> np.ndarray:
    """Evaluate a correction for jets, its inputs by their CMS names."""
    known = {"flavor": jets.flavour, "pt": jets.pt, "eta": jets.eta, "abseta": np.abs(jets.eta)}
    known |= {**jets.further, **further}
    inputs = [known[one.name] for one in correction.inputs if one.type != "string"]
    return np.asarray(correction.evaluate(*first, *inputs))


# ---- edges


def is_edge(value: float) -> bool:
    """Tell whether an edge can be: of smaller numbers the parser is not right to the last bit."""
    return value == 0 or abs(value) > 1e-6


@given(
    st.lists(st.floats(-1e3, 1e3).filter(is_edge), min_size=2, max_size=6, unique=True).map(sorted),
    st.lists(st.floats(-2e3, 2e3, width=32), max_size=5),
)
def test_every_single_precision_number_has_the_bin_that_it_has_with_us(
    edges: list[float], others: list[float]
) -> None:
    assume((np.diff(np.float32(edges)) > 0).all())
    written = written_edges(np.array(edges), "x")
    content = [float(number) for number in range(len(edges) - 1)]
    values = np.concatenate([around(edges), np.array(others, np.float32)])
    index = bin_index(values, edges)
    for flow in ("clamp", "error"):
        evaluate = evaluator_of(written, content, flow)
        for value, ours in zip(values, index, strict=True):
            inside = 0 <= ours < len(content)
            if inside or flow == "clamp":
                assert evaluate(float(value)) == np.clip(ours, 0, len(content) - 1)
            else:
                with pytest.raises(RuntimeError, match="bounds"):
                    evaluate(float(value))
    # As doubles, the edges themselves are where they say.
    double = [evaluator_of(written, content, "error")(edge) for edge in edges]
    assert double == bin_index(np.array(edges), edges).tolist()


def evaluator_of(edges: list[Any], content: list[float], flow: str) -> Callable[[float], float]:
    node = {"nodetype": "binning", "input": "x", "edges": edges, "content": content, "flow": flow}
    one = {
        "name": "a",
        "version": 1,
        "inputs": [{"name": "x", "type": "real"}],
        "output": {"name": "y", "type": "real"},
        "data": node,
    }
    text = json.dumps({"schema_version": 2, "corrections": [one]})
    evaluate: Callable[[float], float] = correctionlib.CorrectionSet.from_string(text)["a"].evaluate
    return evaluate


def test_edges_by_hand() -> None:
    assert written_edges(np.array([-2.5, 0.0]), "eta") == [-2.5, 1e-300]
    assert written_edges(np.array([-2.5, -1.0]), "eta") == [-2.5, -0.999999999999999]
    assert written_edges(np.array([20.0, 600.0, np.inf]), "pt") == [20.0, 600.0, "inf"]
    assert written_edges(np.array([0.1, 0.3]), "dr", single=False) == [0.1, 0.300000000000001]
    # A third has more than 15 digits: rounded down, never up.
    (third, _) = written_edges(np.array([1 / 3, 1.0]), "x", single=False)
    assert third == 0.333333333333333
    with pytest.raises(
        DataError, match=r"x: the edges 1\.0 and 1\.00000001 are the same in single"
    ):
        written_edges(np.array([1.0, 1.00000001, 2.0]), "x")


# ---- binned maps


@pytest.mark.parametrize(
    "axes",
    [
        {},
        AWKWARD,
        {**AWKWARD, "abs_eta": False},
        {"pt": [20.3, 77.7, np.inf], "eta": [-2.5, -0.1, 0.1, 0.3]},
    ],
)
def test_parity_on_all_edges(axes: dict[str, Any], train: Jets, tmp_path: Path) -> None:
    fitted = fit("binned", train, **axes)
    correction = exported(fitted, tmp_path)["efficiency"]
    jets = at_edges(fitted.bins.pt_edges, fitted.bins.eta_edges)
    assert jets.n_jets > 500
    ours = fitted.efficiency(jets)
    assert len(np.unique(ours)) > 10
    np.testing.assert_allclose(evaluated(correction, jets, "central"), ours, **PARITY)
    low, high = fitted.interval()
    index = fitted.bins.index(jets)
    np.testing.assert_allclose(evaluated(correction, jets, "up"), high[index], **PARITY)
    np.testing.assert_allclose(evaluated(correction, jets, "down"), low[index], **PARITY)


def test_parity_for_random_jets_of_either_precision(train: Jets, tmp_path: Path) -> None:
    fitted = fit("binned", train, **AWKWARD)
    correction = exported(fitted, tmp_path)["efficiency"]
    rng = np.random.default_rng(1)
    size = 5000
    pt = rng.uniform(1, 900, size)
    eta = rng.uniform(-3, 3, size)
    flavour = rng.choice([0, 4, 5], size)
    for kind in (np.float32, np.float64):
        jets = make_jets([1] * size, pt=pt.astype(kind), eta=eta.astype(kind), flavour=flavour)
        assert jets.pt.dtype == kind
        ours = fitted.efficiency(jets)
        np.testing.assert_allclose(evaluated(correction, jets, "central"), ours, **PARITY)
    for kind in (np.int8, np.uint8, np.int32, np.int64):
        theirs = correction.evaluate("central", flavour.astype(kind), np.abs(eta), pt)
        np.testing.assert_allclose(theirs, ours, **PARITY)


def test_lists_of_jets_go_in_and_come_out(train: Jets, tmp_path: Path) -> None:
    ak = pytest.importorskip("awkward")
    fitted = fit("binned", train, **AWKWARD)
    correction = exported(fitted, tmp_path)["efficiency"]
    counts = np.r_[train.multiplicity[:50], 0]
    some = train.first(50)
    flavour, eta, pt = (ak.unflatten(v, counts) for v in (some.flavour, some.eta, some.pt))
    values = correction.evaluate("central", flavour, abs(eta), pt)
    assert ak.num(values).tolist() == counts.tolist()
    np.testing.assert_allclose(ak.flatten(values), fitted.efficiency(some), **PARITY)


def test_jets_that_we_refuse_are_refused(train: Jets, tmp_path: Path) -> None:
    inside = train.with_columns(eta=np.clip(train.eta, -2, 2), flavour=np.full(train.n_jets, 5))
    fitted = fit("binned", inside, **AWKWARD, outside="error")
    correction = exported(fitted, tmp_path)["efficiency"]
    jets = at_edges(AWKWARD["pt"], AWKWARD["eta"], [5])
    refused = 0
    for row in range(jets.n_jets):
        one = jets.take([row])
        try:
            ours = fitted.efficiency(one)
        except DataError:
            refused += 1
            with pytest.raises(RuntimeError, match="bounds"):
                evaluated(correction, one, "central")
        else:
            np.testing.assert_allclose(evaluated(correction, one, "central"), ours, **PARITY)
    assert 0 < refused < jets.n_jets
    for value in (np.nan, np.inf):
        with pytest.raises(RuntimeError, match="Index above bounds"):
            correction.evaluate("central", 5, value, 50.0)


@pytest.mark.parametrize("kind", ["binned", "smoothed"])
def test_what_is_not_finite_gets_a_value_as_documented(
    kind: str, train: Jets, tmp_path: Path
) -> None:
    fitted = fit(kind, train)
    correction = exported(fitted, tmp_path)["efficiency"]
    value = correction.evaluate("central", 5, 0.0, np.nan)
    last = correction.evaluate("central", 5, 0.0, 1e5)
    assert value == (last if kind == "binned" else 0.0)
    assert correction.evaluate("central", 5, np.nan, 50.0) is not None
    text = (ROOT / "docs/correctionlib.md").read_text()
    assert "a pT of NaN lands in the last bin (in a smoothed map: 0)" in text
    with pytest.raises(DataError, match="nan"):
        alone([np.nan], [0.0], [5])


def test_further_axes(train: Jets, tmp_path: Path) -> None:
    axes = {"n_tracks": TRACKS, "width": [0.0, 0.3, 0.7, np.inf], "phi": [-3.2, 0.1, 3.2]}
    jets = with_tracks(train)
    for kind in ("binned", "smoothed"):
        fitted = fit(kind, jets, axes=axes)
        correction = exported(fitted, tmp_path)["efficiency"]
        names = [one.name for one in correction.inputs]
        assert names == ["systematic", "flavor", "eta", "pt", "n_tracks", "width", "phi"]
        theirs = evaluated(correction, jets, "central", phi=jets.phi)
        np.testing.assert_allclose(theirs, fitted.efficiency(jets), **ROUNDING)
    edges = around([0.0, 0.3, 0.7])
    tried = alone(
        np.full(12, 50.0), np.zeros(12), np.full(12, 5), width=edges, n_tracks=np.ones(12)
    )
    fitted = fit("binned", jets, axes=axes)
    correction = exported(fitted, tmp_path)["efficiency"]
    theirs = evaluated(correction, tried, "central", phi=tried.phi)
    np.testing.assert_allclose(theirs, fitted.efficiency(tried), **PARITY)


def test_weights_that_spoil_bins(train: Jets, tmp_path: Path) -> None:
    weight = np.random.default_rng(2).choice([1.0, -1.0], train.n_events, p=[0.7, 0.3])
    jets = train.with_columns(weight=weight)
    fitted = fit("binned", jets, weights="use")
    assert fitted.notes["clipped"] > 0
    assert fitted.notes["cancelled"] > 0
    correction = exported(fitted, tmp_path)["efficiency"]
    low, central, high = (evaluated(correction, jets, n) for n in ("down", "central", "up"))
    np.testing.assert_allclose(central, fitted.efficiency(jets), **PARITY)
    assert ((low >= 0) & (low <= central) & (central <= high) & (high <= 1)).all()


def test_of_a_flavour_without_jets_anything_is_possible(train: Jets, tmp_path: Path) -> None:
    jets = train.with_columns(labels=Labels(flavours=(0, 4, 5, 15)))
    for kind in ("binned", "nearest_jet", "smoothed"):
        correction = exported(ensemble_of(kind, jets), tmp_path)["efficiency"]
        inputs = [15, 0.3, 50.0] + [1.0] * (kind == "nearest_jet")
        values = [correction.evaluate(name, *inputs) for name in ("down", "central", "up")]
        assert values == [0.0, 0.5, 1.0]


def test_what_is_unknown_raises(train: Jets, tmp_path: Path) -> None:
    correction = exported(fit("binned", with_points(train)), tmp_path)["efficiency"]
    assert correction.evaluate("central", "loose", 5, 0.0, 50.0) > 0
    for wrong in (("centre", "loose", 5), ("central", "losse", 5), ("central", "loose", 7)):
        with pytest.raises(IndexError, match="Index not available in Category"):
            correction.evaluate(*wrong, 0.0, 50.0)


# ---- working points, variations


@pytest.mark.parametrize("kind", ["binned", "nearest_jet", "smoothed"])
def test_several_working_points(kind: str, train: Jets, tmp_path: Path) -> None:
    jets = with_points(train)
    fitted = fit(kind, jets)
    assert isinstance(fitted, PointwiseEstimator)
    correction = exported(fitted, tmp_path)["efficiency"]
    ours = fitted.efficiency(jets)
    names = {one.name for one in correction.inputs}
    further = {"delta_r": nearest_jet(jets)[1]} if "delta_r" in names else {}
    for number, point in enumerate(POINTS):
        theirs = evaluated(correction, jets, "central", point, **further)
        np.testing.assert_allclose(theirs, ours[:, number], **ROUNDING)


def test_efficiencies_of_points_stay_in_order(tmp_path: Path) -> None:
    """The jet of weight -1 passes the looser point only: its ratio is below the tighter one's."""
    jets = b_jets([1] * 4, pt=[50, 50, 50, 150])
    jets = jets.with_columns(
        is_tagged=None,
        tag_bin=np.array([2, 1, 0, 1]),
        weight=np.array([2.0, -1.0, 3.0, 1.0]),
        efficiency_true=None,
        labels=Labels(points=("loose", "tight")),
    )
    axes = {"pt": [20.0, 100.0, 200.0], "eta": [-1.0, 1.0], "weights": "use"}
    fitted = fit("binned", jets, **axes)
    assert fitted.lowered == 1
    correction = exported(fitted, tmp_path)["efficiency"]
    for name in ("down", "central", "up"):
        loose, tight = (evaluated(correction, jets, name, p) for p in ("loose", "tight"))
        assert (tight <= loose).all()
    assert correction.evaluate("central", "tight", 5, 0.0, 50.0) == 0.25


@pytest.mark.parametrize("kind", ["nearest_jet", "smoothed"])
def test_ends_are_a_standard_deviation_of_the_replicas_away(
    kind: str, train: Jets, tmp_path: Path
) -> None:
    ensemble = ensemble_of(kind, train, 4)
    correction = exported(ensemble, tmp_path)["efficiency"]
    assert "one standard deviation of 4 replicas away" in correction.description
    jets = at_centres(fit("binned", train))
    nominal, replicas = ensemble.with_replicas(jets)
    deviation = replicas.std(axis=0, ddof=1)
    further = {"delta_r": nearest_jet(jets)[1]} if kind == "nearest_jet" else {}
    up, down = (evaluated(correction, jets, name, **further) for name in ("up", "down"))
    np.testing.assert_allclose(up, np.clip(nominal + deviation, 0, 1), rtol=1e-5)
    np.testing.assert_allclose(down, np.clip(nominal - deviation, 0, 1), rtol=1e-5, atol=1e-6)
    if kind == "smoothed":
        # Between centres the end is the linear one, never nearer than the replicas say.
        nominal, replicas = ensemble.with_replicas(train)
        most = np.clip(nominal + replicas.std(axis=0, ddof=1), 0, 1)
        assert (evaluated(correction, train, "up") >= most - 1e-12).all()


def at_centres(fitted: BinnedMap) -> Jets:
    pt, eta = (edges[:-1] + np.diff(edges) / 2 for edges in fitted.bins.axes.values())
    grid = np.meshgrid(pt, eta, [0, 4, 5], indexing="ij")
    return alone(*(axis.ravel() for axis in grid))


def test_the_nominal_fit_and_its_interval_hold_where_there_are_replicas(
    train: Jets, tmp_path: Path
) -> None:
    ensemble = ensemble_of("binned", train)
    for name, one in (("all.json", ensemble), ("nominal.json", ensemble.nominal)):
        export_corrections(one, tmp_path / name)
    assert (tmp_path / "all.json").read_bytes() == (tmp_path / "nominal.json").read_bytes()


def test_a_mean_of_maps(train: Jets, tmp_path: Path) -> None:
    halves = [train.take(slice(0, 500)), train.take(slice(500, 1000))]
    ensemble = Ensemble([fit("binned", half) for half in halves])
    correction = exported(ensemble, tmp_path)["efficiency"]
    mean, members = ensemble.with_replicas(train)
    np.testing.assert_allclose(evaluated(correction, train, "central"), mean, **PARITY)
    up = np.clip(mean + members.std(axis=0, ddof=1), 0, 1)
    np.testing.assert_allclose(evaluated(correction, train, "up"), up, **PARITY)


def test_without_replicas_there_are_no_ends(train: Jets, tmp_path: Path) -> None:
    for one in (fit("smoothed", train), ensemble_of("smoothed", train, 1)):
        correction = exported(one, tmp_path)["efficiency"]
        assert "nothing to tell up and down from: no replicas" in correction.description
        assert correction.evaluate("central", 5, 0.0, 50.0) > 0
        with pytest.raises(IndexError, match="up"):
            correction.evaluate("up", 5, 0.0, 50.0)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"pt": {"bins": 18, "low": 20.0, "high": 600.0}}, "axes"),
        ({"outside": "error"}, "outside: clamp and error"),
        ({"flavours": (0, 4, 5, 15)}, r"flavours: \(0, 4, 5\) and \(0, 4, 5, 15\)"),
    ],
)
def test_members_that_differ_are_refused(
    changes: dict[str, Any], what: str, train: Jets, tmp_path: Path
) -> None:
    flavours = changes.pop("flavours", ())
    other = train.with_columns(labels=Labels(flavours=flavours))
    inside = {"eta": [-3.0, 0.0, 3.0]}
    both = Ensemble([fit("binned", train, **inside), fit("binned", other, **inside, **changes)])
    with pytest.raises(DataError, match=f"differ in their {what}. Fit them together"):
        export_corrections(both, tmp_path / "map.json")


# ---- nearest jets


@pytest.mark.parametrize("outside", ["clamp", "error"])
def test_the_factor_of_the_nearest_jet(outside: str, train: Jets, tmp_path: Path) -> None:
    axes = {"delta_r": [0.1, 0.6, 0.9, 1.4, 3.0], "outside": outside}
    fitted = fit("nearest_jet", train, **axes)
    correction = exported(fitted, tmp_path)["efficiency"]
    assert [one.name for one in correction.inputs][-1] == "delta_r"
    _, distance = nearest_jet(train)
    assert np.isinf(distance).any()
    theirs = evaluated(correction, train, "central", delta_r=distance)
    np.testing.assert_allclose(theirs, fitted.efficiency(train), **PARITY)
    # The product is clipped, which a product of two corrections would not be.
    index = np.searchsorted(axes["delta_r"], distance, side="right") - 1
    flavour = np.searchsorted([0, 4, 5], train.flavour)
    factor = fitted.correction[flavour, np.maximum(index, 0)]
    assert (fitted.base.efficiency(train) * factor).max() > 1
    assert theirs.max() == 1


@pytest.mark.parametrize("outside", ["clamp", "error"])
def test_edges_of_delta_r(outside: str, tmp_path: Path) -> None:
    """Two jets at a distance that is exactly an edge, or a small step below or above."""
    edges = [0.25, 0.7, 1.5, 3.0]
    rng = np.random.default_rng(8)
    many = b_jets([2] * 400, eta=np.tile([-1.0, 0.0], 400).tolist())
    eta = many.eta.copy()
    eta[1::2] = -1 + rng.uniform(0.1, 4, 400)
    many = many.with_columns(eta=eta, is_tagged=rng.random(800) < 0.5)
    axes = {"pt": [20.0, 100.0], "eta": [-5.0, 5.0], "delta_r": edges, "outside": outside}
    fitted = fit("nearest_jet", many, **axes)
    correction = exported(fitted, tmp_path)["efficiency"]
    # Small enough that the edge in single precision, below 0.7, would be the wrong one.
    step = 2.0**-28
    distances = [edge + sign * step for edge, sign in product(edges, (-1, 0, 1))]
    for distance in [*distances, 0.0, 4.0]:
        pair = b_jets([2], eta=[0.0, distance])
        assert nearest_jet(pair)[1].tolist() == [distance] * 2
        theirs = correction.evaluate("central", 5, 0.0, 50.0, distance)
        assert theirs == pytest.approx(fitted.efficiency(pair)[0], rel=1e-14)
    alone_value = fitted.efficiency(b_jets([1]))[0]
    for beyond in (np.inf, 99.0, 3.001):
        assert correction.evaluate("central", 5, 0.0, 50.0, beyond) == pytest.approx(alone_value)


# ---- smoothed maps


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"eta": {"bins": 7, "low": 0.0, "high": 2.4}, "abs_eta": True},
        {"pt": {"bins": 1, "low": 20.0, "high": 600.0}},
    ],
)
def test_smoothed_maps_are_formulas(changes: dict[str, Any], train: Jets, tmp_path: Path) -> None:
    fitted = fit("smoothed", train, **changes)
    correction = exported(fitted, tmp_path)["efficiency"]
    edges = at_edges(fitted.bins.pt_edges, fitted.bins.eta_edges)
    for jets in (train, edges):
        ours = fitted.efficiency(jets)
        np.testing.assert_allclose(evaluated(correction, jets, "central"), ours, **ROUNDING)
    assert re.search(
        r"measured for \d+ jets in all cells: rounding only, below 1e-12", correction.description
    )


def test_smoothed_maps_refuse_what_is_outside(train: Jets, tmp_path: Path) -> None:
    fitted = fit("smoothed", train, outside="error")
    correction = exported(fitted, tmp_path)["efficiency"]
    ours = fitted.efficiency(alone([600.0, 20.0], [2.5, -2.5], [5, 5]))
    theirs = correction.evaluate("central", 5, np.array([2.5, -2.5]), np.array([600.0, 20.0]))
    np.testing.assert_allclose(theirs, ours, **ROUNDING)
    for eta, pt in ((2.6, 50.0), (0.0, 601.0), (0.0, 19.0)):
        with pytest.raises(RuntimeError, match="bounds"):
            correction.evaluate("central", 5, eta, pt)


def test_working_points_that_cross_are_measured_and_refused(train: Jets, tmp_path: Path) -> None:
    """The lower of two surfaces has an edge where they cross, which no bilinear formula has."""
    weight = np.random.default_rng(2).choice([1.0, -1.0], train.n_events, p=[0.6, 0.4])
    jets = with_points(train.with_columns(weight=weight))
    fitted = fit("smoothed", jets, weights="use")
    message = (
        "differs from the efficiency by up to 0\\.[0-9]+, more than max_error, 0\\.001: .* cross"
    )
    with pytest.raises(ConfigError, match=message):
        export_corrections(fitted, tmp_path / "map.json")
    correction = exported(fitted, tmp_path, max_error=1)["efficiency"]
    found = re.search(r"at most (\S+), on average (\S+); relative", correction.description)
    assert found is not None
    most, mean = float(found[1]), float(found[2])
    assert 1e-3 < most < 1
    theirs = np.stack([evaluated(correction, jets, "central", p) for p in POINTS], axis=1)
    apart = np.abs(theirs - fitted.efficiency(jets))
    assert 0 < apart.max() < 2 * most
    assert 0.2 * mean < apart.mean() < 5 * mean


# ---- parametric fits


def product_of(found: Any, jets: Jets, *first: str) -> np.ndarray:
    """Multiply a jet's own efficiency by the factors of all others, as the description says."""
    values = np.asarray(
        found["efficiency_own"].evaluate(*first, jets.flavour, jets.eta, jets.pt), dtype=float
    )
    for begin, end in zip(jets.offsets[:-1], jets.offsets[1:], strict=True):
        for i, j in product(range(begin, end), repeat=2):
            if i != j:
                distance = float(delta_r(jets.eta[i], jets.phi[i], jets.eta[j], jets.phi[j]))
                flavour = int(jets.flavour[j])
                values[i] *= found["efficiency_neighbour"].evaluate(*first, flavour, distance)
    return values


def test_a_parametric_fit_is_a_product(train: Jets, tmp_path: Path) -> None:
    ensemble = ensemble_of("parametric", train, 2)
    found = exported(ensemble, tmp_path)
    jets = train.first(200)
    nominal, replicas = ensemble.with_replicas(jets)
    np.testing.assert_allclose(product_of(found, jets, "central"), nominal, **ROUNDING)
    for number, ours in enumerate(replicas):
        np.testing.assert_allclose(product_of(found, jets, f"replica_{number}"), ours, **ROUNDING)
    assert (
        "times efficiency_neighbour of each other selected jet"
        in read_corrections(tmp_path / "map.json").description
    )
    found = exported(ensemble, tmp_path, variations=False)
    np.testing.assert_allclose(product_of(found, jets), nominal, **ROUNDING)


def test_a_parametric_fit_at_several_points(train: Jets, tmp_path: Path) -> None:
    fitted = fit("parametric", with_points(train))
    found = exported(fitted, tmp_path)
    jets = train.first(50)
    products = [product_of(found, jets, "central", point) for point in POINTS]
    smallest = np.minimum.accumulate(products).T
    np.testing.assert_allclose(smallest, fitted.efficiency(jets), **ROUNDING)
    assert "take the smaller" in read_corrections(tmp_path / "map.json").description


def test_a_parametric_fit_of_what_it_has_not_seen(tmp_path: Path) -> None:
    values = np.array([[0.7, 100.0, 300.0, 2.0, 0.2, 0.4]] * 2)
    found = exported(ParametricFit((5, 15), values, values, unlearned=(15,)), tmp_path)
    assert found["efficiency_own"].evaluate("central", 5, 0.0, 100.0) == 0.7
    with pytest.raises(IndexError, match="15"):
        found["efficiency_own"].evaluate("central", 15, 0.0, 100.0)
    assert found["efficiency_neighbour"].evaluate("central", 15, 0.0) == 0.8


def test_means_of_parametric_fits_are_no_product(train: Jets, tmp_path: Path) -> None:
    values = np.array([[0.7, 100.0, 300.0, 2.0, 0.2, 0.4]])
    one = ParametricFit((5,), values, values)
    other = ParametricFit((4,), values, values)
    mean = Ensemble([one, one])
    for wrong in (mean, CrossFitted(Folds(2), [Ensemble([one], one)] * 2)):
        with pytest.raises(ConfigError, match="a mean of fits is no product"):
            export_corrections(wrong, tmp_path / "map.json")
    with pytest.raises(DataError, match="replica 0 has other flavours or working points"):
        export_corrections(Ensemble([other], one), tmp_path / "map.json")


# ---- folds


@pytest.mark.parametrize("kind", ["binned", "nearest_jet", "smoothed"])
def test_the_mean_over_folds_for_other_samples(kind: str, train: Jets, tmp_path: Path) -> None:
    fitted = cross_fitted(kind, train)
    correction = exported(fitted, tmp_path)["efficiency"]
    assert "the mean over 3 folds, for events of other samples" in correction.description
    jets = make_jets([2] * 500, seed=12)
    further = {"delta_r": nearest_jet(jets)[1]} if kind == "nearest_jet" else {}
    central, up = (evaluated(correction, jets, name, **further) for name in ("central", "up"))
    mean, replicas = fitted.with_replicas(jets)
    np.testing.assert_allclose(central, mean, **ROUNDING)
    if kind == "nearest_jet":
        expected = np.clip(mean + replicas.std(axis=0, ddof=1), 0, 1)
        np.testing.assert_allclose(up, expected, **ROUNDING)
    if kind == "binned":
        ends = [part.nominal.interval()[1] for part in fitted.parts]
        index = fitted.parts[0].nominal.bins.index(jets)
        np.testing.assert_allclose(up, np.mean(ends, axis=0)[index], **ROUNDING)


def test_folds_of_means_pool_their_members(train: Jets, tmp_path: Path) -> None:
    parts = [Ensemble(part.members) for part in cross_fitted("binned", train).parts]
    fitted = CrossFitted(Folds(3), parts)
    correction = exported(fitted, tmp_path)["efficiency"]
    mean, replicas = fitted.with_replicas(train)
    assert len(replicas) == 6
    up = np.clip(mean + replicas.std(axis=0, ddof=1), 0, 1)
    np.testing.assert_allclose(evaluated(correction, train, "up"), up, **ROUNDING)


def test_a_file_for_each_fold_of_the_training_sample(train: Jets, tmp_path: Path) -> None:
    fitted = cross_fitted("binned", train)
    paths = export_corrections_by_fold(fitted, tmp_path / "map.json.gz", provenance={"seed": [1]})
    assert [path.name for path in paths] == [f"map.fold_{fold}.json.gz" for fold in range(3)]
    ours = fitted.held_out.efficiency(train)
    theirs = np.empty(train.n_jets)
    fold = (train.event % 3)[train.event_of_jet]
    for number, path in enumerate(paths):
        correction = correctionlib.CorrectionSet.from_file(str(path))["efficiency"]
        assert f"in fold {number} of 3, by the remainder of the number" in correction.description
        theirs[fold == number] = evaluated(correction, train, "central")[fold == number]
        record = read_corrections(path).record
        folds = {"count": 3, "by": "event", "fold": number}
        assert record["provenance"] == {"seed": [1], "folds": folds}
    np.testing.assert_allclose(theirs, ours, **PARITY)
    with pytest.raises(ConfigError, match="there are no folds"):
        export_corrections_by_fold(fitted.parts[0], tmp_path / "map.json")
    with pytest.raises(ConfigError, match="a file for each fold with export_corrections_by_fold"):
        export_corrections(fitted.held_out, tmp_path / "map.json")
    hashed = CrossFitted(Folds(3, "hash"), fitted.parts)
    (path, *_) = export_corrections_by_fold(hashed, tmp_path / "hashed.json")
    assert "by the remainder of a hash of the number" in read_corrections(path).description


# ---- kinds that are refused


def test_what_sees_all_jets_is_refused(tmp_path: Path) -> None:
    network = object.__new__(NetworkEstimator)
    for one in (network, Ensemble([network]), CrossFitted(Folds(2), [Ensemble([network])] * 2)):
        with pytest.raises(ConfigError, match=r"a network sees all jets .* Export it as ONNX"):
            export_corrections(one, tmp_path / "map.json")
    trees = object.__new__(class_of("trees"))
    message = "BoostedTrees cannot be written as a correction; BinnedMap, NearestJetMap, .* can"
    for other in (trees, Ensemble([trees])):
        with pytest.raises(ConfigError, match=message):
            export_corrections(other, tmp_path / "map.json")
    assert not list(tmp_path.iterdir())


# ---- names


def inputs_of(estimator: Any, folder: Path, **options: Any) -> list[str]:
    export_corrections(estimator, folder / "names.json", CorrectionOptions(**options))
    (one,) = read_corrections(folder / "names.json").corrections
    return list(one.inputs)


def test_names_drop_into_cms_code(train: Jets, tmp_path: Path) -> None:
    fitted = fit("binned", with_points(train), **AWKWARD)
    cms = ["systematic", "working_point", "flavor", "abseta", "pt"]
    assert inputs_of(fitted, tmp_path) == cms
    ours = ["systematic", "working_point", "flavour", "abs_eta", "pt"]
    assert inputs_of(fitted, tmp_path, names="truthtag") == ours
    names = {"abs_eta": "abs_eta", "working_point": "wp"}
    columnflow = inputs_of(fitted, tmp_path, names=names, variations=False)
    assert columnflow == ["wp", "flavor", "abs_eta", "pt"]
    one = fit("binned", train)
    assert inputs_of(one, tmp_path) == ["systematic", "flavor", "eta", "pt"]
    named = inputs_of(one, tmp_path, working_points=["M"])
    assert named == ["systematic", "working_point", "flavor", "eta", "pt"]


def test_other_names_of_points_and_variations(train: Jets, tmp_path: Path) -> None:
    fitted = fit("binned", with_points(train))
    options = {
        "name": "btag",
        "working_points": ["L", "M", "T"],
        "systematics": ["nominal", "higher", "lower"],
    }
    found = exported(fitted, tmp_path, **options)
    assert list(found) == ["btag"]
    values = fitted.efficiency(train)
    theirs = evaluated(found["btag"], train, "nominal", "M")
    np.testing.assert_allclose(theirs, values[:, 1], **PARITY)
    assert (evaluated(found["btag"], train, "higher", "M") >= theirs).all()
    assert "higher and lower are the ends" in found["btag"].description
    found = exported(fitted, tmp_path, names={"pt": 'p_T {x} "y"\n'}, name='} \\ " é')
    (correction,) = found.values()
    assert correction.name == '} \\ " é'
    assert correction.inputs[-1].name == 'p_T {x} "y"\n'


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": {"abseta": "x"}}, "names: 'abseta' is no input; there are systematic, fla"),
        ({"names": {"pt": "eta"}}, "names: two inputs would be called 'eta'; give 'pt' anoth"),
        ({"names": {"eta": "systematic"}}, "two inputs would be called 'systematic'"),
        ({"working_points": ["L", "M"]}, "working_points: 2 names, L, M, for an efficiency with 1"),
    ],
)
def test_names_that_do_not_fit_are_refused(
    options: dict[str, Any], message: str, train: Jets, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        exported(fit("binned", train), tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_as_many_names_as_points(train: Jets, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="1 names, L, for an efficiency with 3: loose, medium, t"):
        exported(fit("binned", with_points(train)), tmp_path, working_points=["L"])


@pytest.mark.parametrize(
    "options",
    [
        {"names": "atlas"},
        {"names": {"pt": ""}},
        {"name": ""},
        {"systematics": ["central", "up"]},
        {"systematics": ["central", "up", "up"]},
        {"working_points": ["L", "L"]},
        {"max_error": -1},
        {"max_error": float("nan")},
        {"compress": True},
    ],
)
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        CorrectionOptions(**options)


# ---- files


@every_kind
def test_the_schema_and_the_command_line_accept_them(
    kind: str, train: Jets, tmp_path: Path
) -> None:
    from correctionlib import schemav2

    export_corrections(ensemble_of(kind, with_points(train), 2), tmp_path / "map.json")
    parsed = schemav2.CorrectionSet.model_validate_json((tmp_path / "map.json").read_text())
    for correction in parsed.corrections:
        counts, _ = correction.summary()
        assert counts["Category"] > 0
    found = correctionlib.CorrectionSet.from_string((tmp_path / "map.json").read_text())
    assert len(found) == (2 if kind == "parametric" else 1)


def test_the_command_line_of_correctionlib(train: Jets, tmp_path: Path) -> None:
    export_corrections(fit("smoothed", train), tmp_path / "a.json")
    export_corrections(fit("nearest_jet", train, **AWKWARD), tmp_path / "b.json.gz")
    tool = Path(sys.executable).with_name("correction")
    files = [str(tmp_path / name) for name in ("a.json", "b.json.gz")]
    for command in ("validate", "summary"):
        done = subprocess.run([tool, command, *files], capture_output=True, text=True, check=True)
        if command == "validate":
            assert done.stdout.count("All OK") == 2
        else:
            assert "Delta R to the other jet" in done.stdout


@every_kind
def test_the_same_content_gives_the_same_bytes(kind: str, train: Jets, tmp_path: Path) -> None:
    fitted = ensemble_of(kind, train, 2)
    for name in ("a.json", "b.json", "c.json.gz", "d.json.gz"):
        export_corrections(fitted, tmp_path / name, provenance={"seed": [1]})
    a, b, c, d = (path.read_bytes() for path in sorted(tmp_path.iterdir()))
    assert a == b
    assert c == d
    assert gzip.decompress(c) == a
    # The header holds no time, no name, no system.
    assert c[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"


def test_a_file_says_where_it_comes_from(train: Jets, tmp_path: Path) -> None:
    fitted = fit("binned", train, pt=[20.0, 100.0, np.inf])
    provenance = {"config": '{"a": 1}', "note": 'brace } quote " line\nend'}
    export_corrections(fitted, tmp_path / "map.json", provenance=provenance)
    file = read_corrections(tmp_path / "map.json")
    assert file.record["provenance"] == provenance
    assert file.record["kind"] == "binned"
    assert file.record["axes"]["pt"] == [20.0, 100.0, "inf"]
    assert file.record["outside"] == "clamp"
    assert file.description.startswith("Probability that the tagger accepts a jet, in bins. up and")
    assert "coverage of 0.68" in file.description
    assert file.description.endswith(
        "Jets outside the axes are in the nearest bin. Numbers must be finite: NaN is not noticed."
    )
    export_corrections(fitted, tmp_path / "map.json", CorrectionOptions(variations=False))
    assert read_corrections(tmp_path / "map.json").description.startswith(
        "Probability that the tagger accepts a jet, in bins. Jets outside"
    )


@pytest.mark.parametrize("name", ["map", "map.gz", "map.parquet", "map.json.txt"])
def test_other_suffixes_are_refused(name: str, train: Jets, tmp_path: Path) -> None:
    fitted = fit("binned", train)
    with pytest.raises(DataError, match=r"a file of corrections ends in \.json or \.json\.gz"):
        export_corrections(fitted, tmp_path / name)
    with pytest.raises(DataError, match=r"a file of corrections ends in \.json or \.json\.gz"):
        read_corrections(tmp_path / name)


def test_what_cannot_be_written_is_refused(train: Jets, tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    fitted = fit("binned", train)
    with pytest.raises(DataError, match=r"folder\.json: cannot be written"):
        export_corrections(fitted, tmp_path / "folder.json")
    with pytest.raises(DataError, match="a number is not finite, which JSON cannot hold"):
        export_corrections(fitted, tmp_path / "map.json", provenance={"loss": float("nan")})
    assert [path.name for path in tmp_path.iterdir()] == ["folder.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no JSON"),
        (b"\x80\x04]", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"[1]", "its schema_version is None, not 2"),
        (b'{"schema_version": 1, "corrections": []}', "its schema_version is 1, not 2"),
        (b'{"schema_version": 2}', "its corrections are not as the schema has them"),
        (
            b'{"schema_version": 2, "corrections": [{"name": "a"}]}',
            "its corrections are not as the schema has them",
        ),
        (
            b'{"schema_version": 2, "corrections": [7]}',
            "its corrections are not as the schema has them",
        ),
    ],
)
def test_hostile_files_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.json: {message}"):
        read_corrections(tmp_path / "a.json")


def test_damaged_files_are_refused(
    train: Jets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json.gz"
    with pytest.raises(DataError, match=r"a\.json\.gz: no such file"):
        read_corrections(path)
    export_corrections(fit("binned", train), path)
    data = path.read_bytes()
    flipped = data[:200] + bytes([data[200] ^ 255]) + data[201:]
    for damaged in (data[:-20], b"no gzip", flipped):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"a\.json\.gz: cannot be read"):
            read_corrections(path)
    path.write_bytes(data)
    monkeypatch.setattr("truthtag.exports.correction_json.LARGEST_FILE", 1000)
    with pytest.raises(DataError, match="holds more than 1000 bytes"):
        read_corrections(path)


@pytest.mark.parametrize("last", ["truthtag: {", "truthtag: [1]", "by hand", ""])
def test_files_of_others_have_no_record(last: str, tmp_path: Path) -> None:
    inputs = [{"name": "pt", "type": "real"}]
    one = {"name": "sf", "version": 1, "inputs": inputs, "data": 1.0, "description": None}
    text = f"Scale factors\n{last}"
    content = {"schema_version": 2, "description": text, "corrections": [one]}
    (tmp_path / "sf.json").write_text(json.dumps(content))
    file = read_corrections(tmp_path / "sf.json")
    assert file.record == {}
    assert file.description == text
    assert [(one.name, one.inputs) for one in file.corrections] == [("sf", ("pt",))]


def test_only_inputs_are_renamed() -> None:
    node = {"name": "pt", "inputs": [{"name": "pt", "type": "real"}], "data": {"input": "pt"}}
    assert renamed(node, {"pt": "p"}) == {
        "name": "pt",
        "inputs": [{"name": "p", "type": "real"}],
        "data": {"input": "p"},
    }


# ---- the page


def test_the_page_runs(train: Jets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of docs/correctionlib.md, top to bottom, on jets as coffea has them."""
    ak = pytest.importorskip("awkward")
    fitted = {"map": "binned", "delta_r": "nearest_jet"}
    for name, kind in fitted.items():
        ensemble = ensemble_of(kind, train, 2, **AWKWARD)
        folder = tmp_path / "results/estimators" / name
        assert ensemble.nominal is not None
        ensemble.nominal.save(folder / "nominal.parquet", {})
        save_replicas(ensemble.members, folder / "replicas.parquet", {})
    columns = {
        "pt": train.pt,
        "eta": train.eta,
        "phi": train.phi,
        "hadronFlavour": train.flavour.astype(np.uint8),
    }
    counts = np.r_[train.multiplicity, 0]
    lists = {name: ak.unflatten(v, counts) for name, v in columns.items()}
    text = (ROOT / "docs/correctionlib.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 4
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"jets": ak.zip(lists)}
    exec(compile("\n".join(blocks), "docs/correctionlib.md", "exec"), names)  # noqa: S102
    ours = load(tmp_path / "results/estimators/delta_r").efficiency(train)
    # The distance is in single precision here.
    close = np.isclose(np.asarray(ak.flatten(names["values"])), ours, rtol=1e-12)
    assert close.mean() > 0.999
    assert read_corrections("columnflow.json").corrections[0].name == "btag_eff"
    assert len(names["at_least_one"]) == len(counts)
    assert names["at_least_one"][-1] == 0


def test_the_page_names_all_options() -> None:
    text = (ROOT / "docs/correctionlib.md").read_text()
    for name in CorrectionOptions.model_fields:
        assert f"| `{name}" in text
    for kind in OPTIONS:
        assert f"`{kind}`" in text
