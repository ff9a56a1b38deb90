"""Files of ONNX: the efficiency of the networks, what a file says, and what is refused."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_cases import (
    KINDS,
    ORIGINS,
    POINTS,
    SAMPLE,
    cross_fitted,
    ensemble,
    jets_of,
    largest_ratio,
    networks,
    with_labels,
)

import truthtag
from conftest import ROOT, make_jets
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.binned import BinnedMap, BinnedOptions
from truthtag.estimators.ensemble import Ensemble
from truthtag.estimators.network import runtime
from truthtag.estimators.network.estimator import NetworkEstimator
from truthtag.estimators.network.onnx_content import DIGEST, FORMAT_KEY, model_digest
from truthtag.estimators.predictions import predict
from truthtag.exports import onnx_parity
from truthtag.exports.onnx_file import (
    OnnxOptions,
    export_folds,
    export_onnx,
    read_onnx,
    training_ranges,
)
from truthtag.exports.onnx_parity import largest_difference

ATHENA = OnnxOptions(layout="athena")
every_kind = pytest.mark.parametrize("kind", KINDS)


def properties(path: Path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def exported(folder: Path, kind: str = "mlp", **options: Any) -> Path:
    """Write a small file and return its path."""
    path = folder / "networks.onnx"
    export_onnx(ensemble(kind, 2), path, OnnxOptions(**options))
    return path


# ---- parity


@every_kind
@pytest.mark.parametrize("points", [(), POINTS])
@pytest.mark.parametrize("count", [1, 3])
def test_mean_and_spread_are_those_of_the_networks(
    kind: str, points: tuple[str, ...], count: int, tmp_path: Path
) -> None:
    path = tmp_path / "networks.onnx"
    of = ensemble(kind, count, points)
    jets = with_labels(SAMPLE, points) if points else SAMPLE
    assert export_onnx(of, path) < 1e-5
    eff, spread = read_onnx(path).with_spread(jets)
    mean, by_network = of.with_replicas(jets)
    assert largest_ratio(eff, mean) < 1e-5
    expected = by_network.std(axis=0, ddof=1) if count > 1 else np.zeros_like(mean)
    assert (np.abs(spread - expected) < 1e-5 * mean).all()
    assert (np.diff(eff, axis=-1) <= 0).all() or not points


def test_one_graph_serves_batches_and_one_event_a_call(tmp_path: Path) -> None:
    session = runtime.open_session(exported(tmp_path, "geometric").read_bytes())
    assert session.get_inputs()[0].shape == ["n_events", "n_jets", 4]
    assert [(one.name, one.shape) for one in session.get_outputs()] == [
        ("efficiency", ["n_events", "n_jets", 1]),
        ("efficiency_spread", ["n_events", "n_jets", 1]),
    ]
    jets = jets_of([4, 4, 4])
    rows = np.stack([jets.pt, jets.eta, jets.phi, jets.flavour], axis=-1, dtype=np.float32)
    rows = rows.reshape(3, 4, 4)
    together = session.run(None, {"jets": rows})
    for event in range(3):
        alone = session.run(None, {"jets": rows[event : event + 1]})
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_allclose(one[0], other[event], rtol=1e-5, atol=1e-7)
    for shape in ((1, 0, 4), (0, 3, 4)):
        outputs = session.run(None, {"jets": np.zeros(shape, dtype=np.float32)})
        assert [output.shape for output in outputs] == [(*shape[:2], 1)] * 2


@pytest.mark.parametrize("chosen", [("77",), ("85", "60"), ("60", "85")])
def test_some_of_the_working_points(chosen: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "networks.onnx"
    of = ensemble("graph", 2, POINTS)
    export_onnx(of, path, OnnxOptions(points=chosen))
    file = read_onnx(path)
    # In the order of the networks, the loosest first.
    assert file.points == tuple(sorted(chosen, reverse=True))
    jets = with_labels(jets_of([2, 3]), POINTS)
    expected = of.efficiency(jets)[:, [POINTS.index(name) for name in file.points]]
    found = file.efficiency(jets).reshape(expected.shape)
    assert largest_ratio(found, expected) < 1e-5


@pytest.mark.parametrize("kind", ["graph", "factorised"])
def test_small_efficiencies_are_as_exact(kind: str, tmp_path: Path) -> None:
    """A logistic function of single precision is not: an efficiency of 1e-5 would be off by 1%."""
    of = networks(kind, 2)
    for network in of:
        last = network.body.head if kind == "graph" else network.body.base
        last[-1].bias.detach().sub_(12)
    small = Ensemble(list(map(NetworkEstimator, of)))
    jets = jets_of([1, 2, 3])
    expected = small.efficiency(jets)
    assert expected.max() < 1e-4
    export_onnx(small, tmp_path / "a.onnx")
    assert largest_ratio(read_onnx(tmp_path / "a.onnx").efficiency(jets), expected) < 1e-5
    assert largest_ratio(small.accelerated().efficiency(jets), expected) < 1e-5


# ---- the file


def test_the_same_networks_give_the_same_bytes(tmp_path: Path) -> None:
    here = exported(tmp_path)
    there = exported(tmp_path / "elsewhere")
    assert here.read_bytes() == there.read_bytes()
    assert str(tmp_path).encode() not in here.read_bytes()
    assert not any(part in here.read_bytes() for part in (b"/work", b"/home", b".py"))
    assert not list(tmp_path.glob("*.part*"))
    model = onnx.load(here)
    onnx.checker.check_model(model, full_check=True)
    assert (model.ir_version, model.producer_name) == (8, "truthtag")
    assert model.doc_string == model.graph.doc_string == ""


def test_a_file_says_what_its_numbers_mean(tmp_path: Path) -> None:
    path = tmp_path / "networks.onnx"
    jets = jets_of([3, 4, 0])
    ranges = training_ranges(jets, ["pt", "eta", "flavour", "width"])
    export_onnx(ensemble("categories", 2, POINTS), path, None, {"config": "abc"}, ranges)
    said = {name: value for name, value in properties(path).items() if name != DIGEST}
    assert said.pop(FORMAT_KEY) == "truthtag onnx 1"
    held = {name: json.loads(value) for name, value in said.items()}
    assert held == {
        "layout": "truthtag",
        "features": ["pt", "eta", "phi", "flavour", "origin", "width", "mass"],
        "units": ["GeV", "1", "rad", "", "", "", "GeV"],
        "flavours": [0, 4, 5],
        "working_points": list(POINTS),
        "categories": {"origin": list(ORIGINS)},
        "ranges": {name: list(ends) for name, ends in ranges.items()},
        "networks": 2,
        "folds": {},
        "provenance": {"config": "abc"},
    }
    assert ranges["pt"] == (float(jets.pt.min()), float(jets.pt.max()))
    assert ranges["n_jets"] == (0, 4)
    assert "flavour" not in ranges
    file = read_onnx(path)
    assert (file.features, file.units) == (tuple(held["features"]), tuple(held["units"]))
    assert (file.flavours, file.points, file.ranges) == ((0, 4, 5), POINTS, ranges)
    assert file.describe().startswith("ONNX file of 2 networks, features pt, eta, phi, flavour, o")
    assert training_ranges(make_jets([])) == {}


def test_ranges_are_in_the_units_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "networks.onnx"
    ranges = {"pt": (20.0, 600.0), "eta": (-2.5, 2.5), "n_jets": (1, 8)}
    export_onnx(ensemble("mlp", 1), path, ATHENA, None, ranges)
    assert read_onnx(path).ranges == ranges | {"pt": (20_000.0, 600_000.0)}


@pytest.mark.parametrize("layout", ["truthtag", "athena"])
def test_an_efficiency_like_any_other(layout: str, tmp_path: Path) -> None:
    path = exported(tmp_path, "graph", layout=layout)
    file = truthtag.load(path)
    jets = jets_of([2, 0, 3])
    prediction = predict(file, jets)
    assert prediction.replicas is None
    assert largest_ratio(prediction.values, ensemble("graph", 2).efficiency(jets)) < 1e-5
    assert file.efficiency(make_jets([])).shape == (0,)


def test_a_file_for_athena_has_no_spread(tmp_path: Path) -> None:
    file = read_onnx(exported(tmp_path, layout="athena"))
    with pytest.raises(DataError, match=r"has no place for the spread\. Export .* 'truthtag'"):
        file.with_spread(jets_of([2]))


def test_reading_needs_no_torch(tmp_path: Path) -> None:
    path = exported(tmp_path)
    code = f"""
import sys
import truthtag
file = truthtag.load({str(path)!r})
from truthtag.exports.onnx_file import export_onnx
assert file.features == ("pt", "eta", "phi", "flavour")
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT / "src")


# ---- folds


def test_a_file_for_each_fold_and_one_for_other_samples(tmp_path: Path) -> None:
    fitted = cross_fitted("graph")
    jets = jets_of([3, 2, 4])
    export_onnx(fitted, tmp_path / "all.onnx")
    file = read_onnx(tmp_path / "all.onnx")
    assert file.content.folds == {"count": 3, "by": "event"}
    assert file.content.networks == 6
    eff, spread = file.with_spread(jets)
    mean, by_network = fitted.with_replicas(jets)
    assert largest_ratio(eff, mean) < 1e-5
    np.testing.assert_allclose(spread, by_network.std(axis=0, ddof=1), rtol=1e-3)
    paths = export_folds(fitted, tmp_path / "graph.onnx")
    assert [path.name for path in paths] == [f"graph.fold_{fold}.onnx" for fold in range(3)]
    for fold, (path, part) in enumerate(zip(paths, fitted.parts, strict=True)):
        one = read_onnx(path)
        assert one.content.folds == {"count": 3, "by": "event", "fold": fold}
        assert largest_ratio(one.efficiency(jets), part.efficiency(jets)) < 1e-5


def test_without_folds_there_are_no_files_of_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there are no folds: .*use export_onnx"):
        export_folds(ensemble(), tmp_path / "a.onnx")


def test_training_events_need_files_of_folds(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a file for each fold: use export_folds"):
        export_onnx(cross_fitted("mlp").held_out, tmp_path / "a.onnx")


def test_folds_of_other_numbers_of_networks_have_another_mean(tmp_path: Path) -> None:
    fitted = cross_fitted("mlp")
    fitted.parts[1] = Ensemble(fitted.parts[1].members[:1])
    with pytest.raises(DataError, match="the folds have 2, 1, 2 networks"):
        export_onnx(fitted, tmp_path / "a.onnx")


# ---- jets that a graph cannot refuse


def raw_rows(jets: Jets) -> np.ndarray:
    return np.stack([jets.pt, jets.eta, jets.phi, jets.flavour], axis=-1, dtype=np.float32)


@pytest.mark.parametrize(("column", "value"), [(3, 15), (3, 4.5), (0, np.nan), (1, np.inf)])
@pytest.mark.parametrize("kind", ["mlp", "graph", "factorised"])
@pytest.mark.parametrize("layout", ["truthtag", "athena"])
def test_what_is_unknown_makes_its_event_nan(
    kind: str, layout: str, column: int, value: float, tmp_path: Path
) -> None:
    session = runtime.open_session(exported(tmp_path, kind, layout=layout).read_bytes())
    rows = raw_rows(jets_of([3]))[None]
    before = session.run(None, {"jets": rows})
    rows[0, 1, column] = value
    after = session.run(None, {"jets": rows})
    # Without neighbours the other jets of the event do not depend on it.
    affected = [1] if kind == "mlp" else [0, 1, 2]
    others = [jet for jet in range(3) if jet not in affected]
    for one, other in zip(before, after, strict=True):
        assert np.isnan(other[0, affected]).all()
        np.testing.assert_array_equal(one[0, others], other[0, others])


def test_an_unknown_category_makes_its_event_nan(tmp_path: Path) -> None:
    session = runtime.open_session(exported(tmp_path, "categories").read_bytes())
    rows = np.zeros((2, 2, 7), dtype=np.float32)
    rows[..., 0] = 50
    (before, _) = session.run(None, {"jets": rows})
    assert np.isfinite(before).all()
    rows[0, 1, 4] = 3
    (after, _) = session.run(None, {"jets": rows})
    assert np.isnan(after[0]).all()
    np.testing.assert_array_equal(after[1], before[1])


# ---- jets that a file is not for


def refused(file: Any, jets: Jets) -> str:
    with pytest.raises(DataError) as error:
        file.efficiency(jets)
    return str(error.value)


def test_jets_without_a_feature_or_of_unknown_values_are_refused(tmp_path: Path) -> None:
    path = exported(tmp_path, "categories")
    file = read_onnx(path)
    text = refused(file, make_jets([2]))
    assert f"{path}: takes the feature 'origin' of each jet, and these jets lack it" in text
    assert "there are pt, eta, phi, flavour, mass" in text
    strange = jets_of([2]).with_columns(flavour=np.array([5, 15], dtype=np.int8))
    assert "the networks know the flavours [0, 4, 5], a jet has 15" in refused(file, strange)
    other = jets_of([2]).with_columns(further={"origin": [0, 3], "width": [0.1, 0.2]})
    text = refused(file, other)
    assert (
        "column 'origin' is 3 in row 1 (event 0), 1 such rows: the networks know -1, 0, 7" in text
    )


def test_jets_without_a_finite_efficiency_are_refused(tmp_path: Path) -> None:
    file = read_onnx(exported(tmp_path, "categories"))
    far = jets_of([2]).with_columns(further={"origin": [0, 0], "width": [0.1, 3e38]})
    text = refused(file, far)
    assert "gives this jet no finite efficiency: it is far from all training jets" in text


# ---- files that are not ours


def changed(path: Path, change: Callable[[Any], object], *, sign: bool = True) -> Path:
    """Change a model on disk; signed anew, as who means harm would do."""
    model = onnx.load(path)
    change(model)
    if sign:
        set_property(DIGEST, model_digest(model))(model)
    path.write_bytes(model.SerializeToString())
    return path


def set_property(name: str, value: str) -> Callable[[Any], object]:
    def change(model: Any) -> None:
        held = {entry.key: entry.value for entry in model.metadata_props}
        helper.set_model_props(model, {**held, name: value})

    return change


def refusal(path: Path) -> str:
    """Return why a file is refused, by both ways to read it."""
    texts = []
    for read in (read_onnx, truthtag.load):
        with pytest.raises(DataError) as error:
            read(path)
        texts.append(str(error.value))
    assert texts[0] == texts[1]
    assert str(path) in texts[0]
    return texts[0]


def test_no_file_and_no_onnx(tmp_path: Path) -> None:
    for read in (read_onnx, truthtag.load):
        with pytest.raises(DataError, match=r"none\.onnx: no such file"):
            read(tmp_path / "none.onnx")
    path = tmp_path / "text.onnx"
    path.write_text("efficiency = 0.7\n")
    assert "cannot be read as an ONNX file" in refusal(path)
    path.write_bytes(b"")
    assert "is not an ONNX file that truthtag wrote" in refusal(path)
    folder = tmp_path / "folder.onnx"
    folder.mkdir()
    with pytest.raises(DataError, match="is a folder; an ONNX model is a file"):
        read_onnx(folder)


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_truncated_files(share: float, tmp_path: Path) -> None:
    path = exported(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    text = refusal(path)
    assert "cannot be read as an ONNX file" in text or "not an ONNX file that truthtag" in text


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_bit_that_flipped(place: float, tmp_path: Path) -> None:
    path = exported(tmp_path, "graph")
    model = onnx.load(path)
    weights = model.graph.initializer[int(place * len(model.graph.initializer))]
    raw = bytearray(weights.raw_data)
    raw[0] ^= 1
    weights.raw_data = bytes(raw)
    path.write_bytes(model.SerializeToString())
    assert "is damaged, or was changed" in refusal(path)


def test_files_of_others_and_of_other_versions(tmp_path: Path) -> None:
    foreign = helper.make_model(
        helper.make_graph(
            [helper.make_node("Relu", ["x"], ["y"])],
            "other",
            [helper.make_tensor_value_info("x", 1, [1])],
            [helper.make_tensor_value_info("y", 1, [1])],
        )
    )
    path = tmp_path / "foreign.onnx"
    path.write_bytes(foreign.SerializeToString())
    assert "is not an ONNX file that truthtag wrote" in refusal(path)
    changed(path, set_property(FORMAT_KEY, "another format 1"))
    assert "is not an ONNX file that truthtag wrote" in refusal(path)
    newer = changed(exported(tmp_path), set_property(FORMAT_KEY, "truthtag onnx 2"))
    assert "has the format 'truthtag onnx 2', and this version" in refusal(newer)


@pytest.mark.parametrize("location", ["/etc/passwd", "../../secret", "weights.bin"])
@pytest.mark.parametrize("place", ["initializer", "attribute", "subgraph"])
def test_numbers_of_other_files_are_never_read(
    location: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def external(model: Any) -> None:
        tensor = onnx.TensorProto(name="weights", data_type=1, dims=[4])
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        if place == "initializer":
            model.graph.initializer.append(tensor)
        elif place == "attribute":
            model.graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))
        else:
            inner = helper.make_graph([], "inner", [], [], [tensor])
            model.graph.node.append(helper.make_node("If", ["x"], ["c"], then_branch=inner))

    path = changed(exported(tmp_path), external)
    monkeypatch.setattr(runtime, "open_session", lambda model: pytest.fail("a session was made"))
    text = refusal(path)
    assert f"tensor 'weights' is to be read from another file, {location}" in text


def add_node(operator: str, domain: str = "") -> Callable[[Any], object]:
    return lambda model: model.graph.node.append(
        helper.make_node(operator, ["jets"], ["other"], domain=domain)
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (add_node("Run", "evil"), "has the operator 'evil.Run'"),
        (add_node("Loop"), "has the operator 'Loop'"),
        (lambda m: m.opset_import.add(domain="evil", version=1), "ai.onnx 18, evil 1"),
        (lambda m: setattr(m.opset_import[0], "version", 22), "needs the operators ai.onnx 22"),
        (lambda m: setattr(m, "ir_version", 10), "and the ONNX format 10"),
        (lambda m: m.functions.add(name="f"), "defines functions of its own"),
    ],
)
def test_operators_of_others_are_refused(
    change: Callable[[Any], object], why: str, tmp_path: Path
) -> None:
    assert why in refusal(changed(exported(tmp_path), change))


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("units", '["TeV", "1", "rad", ""]', "takes the feature 'pt' in 'TeV', and jets of"),
        ("units", '["GeV", "deg", "rad", ""]', "takes the feature 'eta' in 'deg'"),
        ("units", '["GeV"]', "names 4 features and 1 units"),
        ("features", '["pt", "eta", "flavour"]', "names 3 features and 4 units"),
        ("networks", "0", "what it says of itself cannot be understood"),
        ("layout", '"other"', "what it says of itself cannot be understood"),
        ("flavours", "[0, 4", "what it says of itself cannot be understood"),
        ("ranges", '{"pt": [NaN, 1]}', "what it says of itself cannot be understood"),
        ("color", '"red"', "what it says of itself cannot be understood"),
    ],
)
def test_a_file_that_says_something_else_of_itself(
    name: str, value: str, why: str, tmp_path: Path
) -> None:
    assert why in refusal(changed(exported(tmp_path), set_property(name, value)))


def test_a_graph_that_does_not_fit_together(tmp_path: Path) -> None:
    path = changed(exported(tmp_path), lambda model: model.graph.node.pop(5))
    assert "onnxruntime cannot compute it" in refusal(path)


# ---- what cannot be written


def test_only_networks_can_be_written(few: Jets, tmp_path: Path) -> None:
    axis = {"bins": 2, "low": 20.0, "high": 600.0}
    options = BinnedOptions(pt=axis, eta={"bins": 1, "low": -3.0, "high": 3.0}, replicas=2)
    fitted = BinnedMap.fit(few, few, options, (1, "map"))
    for model in (fitted, Ensemble([fitted, fitted], fitted)):
        with pytest.raises(
            ConfigError, match=r"BinnedMap cannot be written as ONNX.*correctionlib"
        ):
            export_onnx(model, tmp_path / "a.onnx")


def test_networks_that_are_not_one_ensemble(tmp_path: Path) -> None:
    of = [*networks("graph", 1), *networks("mlp", 1)]
    mixed = Ensemble(list(map(NetworkEstimator, of)))
    with pytest.raises(DataError, match="network 1 differs from network 0 in its architecture"):
        export_onnx(mixed, tmp_path / "a.onnx")


def test_unknown_working_points_and_ranges(tmp_path: Path) -> None:
    of = ensemble("mlp", 1, ("loose", "tight"))
    path = tmp_path / "a.onnx"
    with pytest.raises(
        ConfigError, match=r"no working point 'tigth'; they have loose, tight.*tight"
    ):
        export_onnx(of, path, OnnxOptions(points=["tigth"]))
    with pytest.raises(ConfigError, match="they have one without a name"):
        export_onnx(ensemble("mlp", 1), path, OnnxOptions(points=["tight"]))
    for ranges in ({"mass": (0, 1)}, {"pt": (2, 1)}, {"pt": (float("nan"), 1)}):
        with pytest.raises(DataError, match=r"ranges: '(mass|pt)' is given as"):
            export_onnx(of, path, None, None, ranges)
    for provenance in ({"config": float("nan")}, {"config": tmp_path}):
        with pytest.raises(DataError, match=r"provenance: cannot be written as JSON"):
            export_onnx(of, path, None, provenance)
    assert not path.exists()


def test_a_file_that_disagrees_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = exported(tmp_path)
    before = path.read_bytes()
    others = networks("mlp", 2, mu=3.0)
    monkeypatch.setattr(onnx_parity, "MOST", 1e-12)
    with pytest.raises(DataError, match="is not written: its efficiencies differ from those of"):
        export_onnx(Ensemble(list(map(NetworkEstimator, others))), path)
    assert path.read_bytes() == before
    # And the comparison sees a difference where there is one.
    assert largest_difference(read_onnx(path), others, jets_of([3])) > 0.01


def test_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = exported(tmp_path)
    monkeypatch.setattr(runtime, "find_spec", lambda name: None)
    for step in (lambda: read_onnx(path), lambda: export_onnx(ensemble(), path)):
        with pytest.raises(ConfigError, match=r"pip install truthtag\[export\]"):
            step()


# ---- the page


def test_the_examples_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs/onnx.md").read_text()
    write, use, read = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)

    def run(example: str) -> dict[str, Any]:
        Path("example.py").write_text(example)
        return runpy.run_path("example.py")

    with monkeypatch.context() as patched:
        patched.setattr(truthtag, "load", lambda path: ensemble("geometric", 2))
        run(write)
    used = run(use)
    assert used["efficiency"].shape == used["spread"].shape == (1, 2, 1)
    assert run(read)["file"].features == ("pt", "eta", "phi", "flavour")
    assert read_onnx("athena.onnx").content.provenance == {"config": "a1b2c3"}
