"""Scale factors: look-alikes of CMS's files, tables, ranges, variations, and what is refused."""

from __future__ import annotations

import copy
import gzip
import hashlib
import itertools
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import correctionlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scale_factor_files import (
    ABS_ETA,
    FLAVOURS,
    HEAVY,
    INPUTS,
    POINTS,
    PT,
    binning,
    category,
    cms_corrections,
    cms_options,
    correction,
    formula,
    in_bin,
    jets_at,
    level,
    table_rows,
    transform,
    tree,
    write_cms,
    write_corrections,
    write_table,
)

from conftest import make_jets
from truthtag.errors import ConfigError, DataError
from truthtag.weights.scale_factors import ScaleFactorOptions, ScaleFactors, in_order, scaled
from truthtag.workflow.options import check_config

Raw = dict[str, Any]
NAMES = ("loose", "medium", "tight")
ULP = 3e-16
"""By how much correctionlib may be off when it reads a number from JSON; bins differ by 7e-4."""


@pytest.fixture(scope="module")
def cms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A look-alike of CMS's file; not to be changed."""
    return write_cms(tmp_path_factory.mktemp("cms") / "btagging.json.gz")


def read(path: Path, points: tuple[str, ...] = NAMES, **more: Any) -> ScaleFactors:
    """Read a look-alike for three working points."""
    return ScaleFactors.from_options(cms_options(path, **more), FLAVOURS, points)


def of_tree(folder: Path, data: Any, inputs: Any = INPUTS, **more: Any) -> ScaleFactors:
    """Read scale factors of heavy jets with one tree, at one working point."""
    path = write_corrections(folder / "one.json", correction("one", data, inputs))
    options = {"file": str(path), "heavy": "one", "flavours": {"heavy": ["b"], "light": []}}
    return ScaleFactors.from_options({**options, **more}, FLAVOURS)


def of_pt(node: Any) -> Any:
    """Put what depends on pT alone below the names that are always there."""
    return category("systematic", {"central": node})


BY_PT = (("systematic", "string"), ("pt", "real"))


# ---- efficiencies times scale factors

UNIT = st.floats(0, 1)
SHAPES = st.sampled_from([(7,), (7, 1), (7, 3)])


@st.composite
def efficiencies_and_factors(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(SHAPES)
    eff = draw(hnp.arrays(np.float64, shape, elements=UNIT))
    if eff.ndim == 2:
        eff = -np.sort(-eff, axis=1)
    return eff, draw(hnp.arrays(np.float64, shape, elements=st.floats(-0.5, 3)))


@given(efficiencies_and_factors())
def test_scaled_efficiencies_are_efficiencies(case: tuple[np.ndarray, np.ndarray]) -> None:
    eff, sf = case
    result = scaled(eff, sf)
    assert result.values.shape == eff.shape
    assert ((result.values >= 0) & (result.values <= 1)).all()
    product = eff * sf
    assert result.clipped == ((product < 0) | (product > 1)).sum()
    if eff.ndim == 1:
        np.testing.assert_array_equal(result.values, np.clip(product, 0, 1))
        assert result.negative == 0
        return
    # The loosest point is as if it were alone, and nothing passes a tighter point more often.
    np.testing.assert_array_equal(result.values[:, 0], scaled(eff[:, 0], sf[:, 0]).values)
    assert (np.diff(result.values, axis=1) <= 0).all()
    crossing = (np.diff(np.clip(product, 0, 1), axis=1) > 0).any(axis=1)
    assert result.negative == crossing.sum()
    np.testing.assert_array_equal(result.values[~crossing], np.clip(product, 0, 1)[~crossing])


@given(efficiencies_and_factors())
def test_scale_factors_of_one_change_nothing(case: tuple[np.ndarray, np.ndarray]) -> None:
    eff, sf = case
    result = scaled(eff, np.ones_like(sf))
    np.testing.assert_array_equal(result.values, eff)
    assert (result.clipped, result.negative) == (0, 0)


def test_a_tighter_point_is_lowered_to_the_looser() -> None:
    result = scaled(np.array([[0.5, 0.48, 0.2]]), np.array([[0.9, 1.1, 1.0]]))
    assert result.values.tolist() == [[0.45, 0.45, 0.2]]
    assert (result.clipped, result.negative) == (0, 1)
    with pytest.raises(DataError, match=r"for 1 of 1 jets \(100\.00%\) .*max_negative, 0\.5"):
        result.require_few_negative(0.5)
    result.require_few_negative(1.0)


@pytest.mark.parametrize(
    ("eff", "sf", "message"),
    [
        ([0.5], [[1.0]], r"scale factors have shape \(1, 1\), the efficiencies \(1,\)"),
        ([0.5], [np.nan], "not a finite number"),
        ([0.5], [np.inf], "not a finite number"),
        ([0.5], ["1"], "not a finite number"),
        ([1.5], [1.0], "efficiency is 1.5; it must lie in"),
        ([np.nan], [1.0], "efficiency is nan; it must lie in"),
        ([[[0.5]]], [[[1.0]]], r"efficiency has shape \(1, 1, 1\); it must have one value per"),
        (
            [[0.5, 0.2], [0.2, 0.5]],
            np.ones((2, 2)),
            r"efficiency of jet 1 is 0.5 at working point 1 and 0.2 at the looser 0 \(1 such",
        ),
    ],
)
def test_what_cannot_be_scaled_is_refused(eff: Any, sf: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        scaled(np.array(eff), np.array(sf))


def test_rounding_is_no_order() -> None:
    near = np.array([[0.5, 0.5 + 1e-8]])
    assert in_order(near).tolist() == [[0.5, 0.5]]
    assert scaled(near, np.ones((1, 2))).negative == 0


# ---- a correctionlib file

PLACES = st.lists(
    st.tuples(
        st.floats(20, 999, width=32), st.floats(-2.49, 2.49), st.sampled_from([5, 4, 0])
    ),
    min_size=1,
    max_size=20,
)  # fmt: skip


@given(PLACES)
def test_values_are_those_of_the_package(cms: Path, places: list[tuple[float, float, int]]) -> None:
    jets = jets_at(*map(list, zip(*places, strict=True)))
    factors = read(cms)
    package = correctionlib.CorrectionSet.from_file(str(cms))
    for variation in ("nominal", "heavy_down_jes", "light_up"):
        values = factors.evaluate(jets, variation)
        assert values.shape == (jets.n_jets, 3)
        for jet, point in itertools.product(range(jets.n_jets), range(3)):
            group = "light" if jets.flavour[jet] == 0 else "heavy"
            # Whatever varies, the other group stays nominal.
            systematic = "central"
            if variation.startswith(group):
                systematic = variation.removeprefix(f"{group}_")
            name = "deepJet_light" if group == "light" else "deepJet_comb"
            expected = package[name].evaluate(
                systematic,
                POINTS[point],
                int(jets.flavour[jet]),
                float(abs(jets.eta[jet])),
                float(jets.pt[jet]),
            )
            if jets.eta[jet] not in np.float32([0.7, -0.7]):
                assert values[jet, point] == expected


def test_variations_are_those_of_the_file(cms: Path) -> None:
    heavy = ("heavy_up", "heavy_down", "heavy_up_jes", "heavy_down_jes")
    light = ("light_up", "light_down")
    assert read(cms).variations == ("nominal", *heavy, *light)
    wanted = {"heavy": ["up_jes", "down_jes"], "light": []}
    assert read(cms, systematics=wanted).variations == ("nominal", "heavy_up_jes", "heavy_down_jes")
    # The nominal one is there in any case.
    assert read(cms, systematics={"heavy": ["central", "up"], "light": []}).variations == (
        "nominal",
        "heavy_up",
    )


def test_all_variations_at_once_are_those_one_by_one(cms: Path) -> None:
    jets = make_jets([3, 0, 5, 1], seed=3)
    factors = read(cms)
    for variation, found in factors.by_variation(jets):
        np.testing.assert_array_equal(found.values, factors.evaluate(jets, variation))
        assert found.clamped == 0
    names = [name for name, _ in factors.by_variation(jets)]
    assert tuple(names) == factors.variations
    with pytest.raises(ConfigError, match=r"'heavy_upp' is not one of nominal, .*mean 'heavy_up'"):
        factors.evaluate(jets, "heavy_upp")


def test_one_point_is_one_value_per_jet(cms: Path) -> None:
    jets = make_jets([3, 2])
    three = read(cms).evaluate(jets)
    medium = read(cms, (), working_point="M").evaluate(jets)
    assert medium.shape == (5,)
    np.testing.assert_array_equal(medium, three[:, 1])
    np.testing.assert_array_equal(read(cms, ("medium",)).evaluate(jets), medium)
    np.testing.assert_array_equal(read(cms, ("mine",), working_point="M").evaluate(jets), medium)
    named = read(cms, ("mine",), working_points={"mine": "M"})
    np.testing.assert_array_equal(named.evaluate(jets), medium)
    # Names of ours that the file has mean what they say there.
    np.testing.assert_array_equal(read(cms, ("T", "tight")).evaluate(jets)[:, 0], three[:, 2])


def test_samples_without_jets_have_no_scale_factors(cms: Path) -> None:
    nothing = make_jets([0, 0])
    assert read(cms).evaluate(nothing).shape == (0, 3)
    assert read(cms, (), working_point="M").evaluate(nothing).shape == (0,)


def test_the_file_is_recorded(cms: Path) -> None:
    digest = hashlib.sha256(cms.read_bytes()).hexdigest()
    assert read(cms).provenance == {"file": str(cms), "sha256": digest}


# ---- edges, and what lies beyond


def neighbours(edges: list[float]) -> list[float]:
    """Return edges in single precision, and the numbers beside them, those inside the range."""
    found = []
    for edge in np.array(edges, dtype=np.float32):
        found += [np.nextafter(edge, np.float32(-1)), edge, np.nextafter(edge, np.float32(np.inf))]
    low, high = np.float32(edges[0]), np.float32(edges[-1])
    return [float(value) for value in found if low <= value <= high]


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_a_table_says_the_same_on_all_edges(cms: Path, tmp_path: Path, name: str) -> None:
    grid = list(itertools.product(neighbours(PT), [*neighbours(ABS_ETA), -0.0], [5, 4, 0]))
    pt, eta, flavour = map(np.array, zip(*grid, strict=True))
    signs = np.where(np.arange(len(eta)) % 2, -1, 1)
    jets = jets_at(pt, eta * signs, flavour)
    table = ScaleFactors.from_options({"file": str(write_table(tmp_path / name))}, FLAVOURS, NAMES)
    factors = read(cms)
    assert table.variations == factors.variations
    for variation in factors.variations:
        np.testing.assert_allclose(
            table.evaluate(jets, variation), factors.evaluate(jets, variation), rtol=ULP
        )
    # By the rule of the project, also where double precision puts the jet into the bin before.
    pt_bin = np.minimum(np.searchsorted(np.float32(PT), jets.pt, "right") - 1, 3)
    eta_bin = np.minimum(np.searchsorted(np.float32(ABS_ETA), np.abs(jets.eta), "right") - 1, 2)
    expected = [
        in_bin("central", "M", *jet)
        for jet in zip(jets.flavour.tolist(), eta_bin.tolist(), pt_bin.tolist(), strict=True)
    ]
    np.testing.assert_array_equal(table.evaluate(jets)[:, 1], expected)


DECIMALS = st.lists(st.integers(1, 9999), min_size=2, max_size=12, unique=True)


@given(DECIMALS, st.sampled_from([10, 100, 1000]))
def test_jets_on_edges_are_in_the_bin_that_begins_there(numbers: list[int], unit: int) -> None:
    """Also where the package reads an edge from JSON with an error in the last place."""
    edges = [number / unit for number in sorted(numbers)]
    bins = [float(number) for number in range(len(edges) - 1)]
    with tempfile.TemporaryDirectory() as folder:
        factors = of_tree(Path(folder), of_pt(binning("pt", edges, bins)), BY_PT)
    values = factors.evaluate(jets_at(edges, 0))
    assert values.tolist() == [*bins, bins[-1]]


OUTSIDE = [
    (19.5, 0.3, 20.0, 0.3, "pt 19.5; the range is 20 to 1000"),
    (1500.0, 0.3, 999.0, 0.3, "pt 1500; the range is 20 to 1000"),
    (50.0, 2.7, 50.0, 2.4, r"(abseta|abs_eta) 2\.7; the range is 0 to 2\.5"),
    (50.0, -4.9, 50.0, -2.4, r"(abseta|abs_eta) 4\.9; the range is 0 to 2\.5"),
    (1500.0, -2.7, 999.0, -2.4, r"(abseta|abs_eta) 2\.7; the range is 0 to 2\.5"),
]


@pytest.mark.parametrize("kind", ["btagging.json", "table.csv"])
@pytest.mark.parametrize(("pt", "eta", "near_pt", "near_eta", "message"), OUTSIDE)
def test_jets_beyond_the_range_are_refused_or_clamped(
    tmp_path: Path, kind: str, pt: float, eta: float, near_pt: float, near_eta: float, message: str
) -> None:
    if kind == "table.csv":
        options: Raw = {"file": str(write_table(tmp_path / kind))}
    else:
        options = cms_options(write_cms(tmp_path / kind))
    jets = jets_at([50.0, pt, pt], [0.0, eta, eta], [0, 5, 4])
    factors = ScaleFactors.from_options(options, FLAVOURS, NAMES)
    text = r"2 jets lie outside the range of the scale factors, .*The first is jet 1 \(event 1\) at"
    with pytest.raises(DataError, match=rf"{text} {message}\. Select .*outside: clamp"):
        factors.evaluate(jets)
    clamping = ScaleFactors.from_options({**options, "outside": "clamp"}, FLAVOURS, NAMES)
    near = jets_at([50.0, near_pt, near_pt], [0.0, near_eta, near_eta], [0, 5, 4])
    for variation, found in clamping.by_variation(jets):
        np.testing.assert_array_equal(found.values, clamping.evaluate(near, variation))
        assert found.clamped == 2
    assert [found.clamped for _, found in clamping.by_variation(near)] == [0] * 7


@pytest.mark.parametrize("flow", ["clamp", "wrap", 1.0, formula("0.5*x")])
def test_no_flow_of_a_file_answers_for_jets_beyond(tmp_path: Path, flow: Any) -> None:
    data = of_pt(binning("pt", [20.0, 50.0, 100.0], [0.8, 0.9], flow))
    jets = jets_at([10.0, 30.0, 60.0, 100.0, 500.0], 0.0)
    with pytest.raises(DataError, match=r"2 jets lie outside .* pt 10; the range is 20 to 100"):
        of_tree(tmp_path, data, BY_PT).evaluate(jets)
    clamped = of_tree(tmp_path, data, BY_PT, outside="clamp").evaluate(jets)
    assert clamped.tolist() == [0.8, 0.8, 0.9, 0.9, 0.9]


def test_formulas_are_evaluated_at_the_edge(tmp_path: Path) -> None:
    data = of_pt(binning("pt", [20.0, 100.0], [formula("1+0.001*x")]))
    values = of_tree(tmp_path, data, BY_PT, outside="clamp").evaluate(jets_at([10, 60, 500.0], 0))
    assert values == pytest.approx([1.02, 1.06, 1.1], rel=1e-12)


def test_the_range_may_depend_on_another_variable(tmp_path: Path) -> None:
    """Jets in the centre have scale factors up to 100 GeV, those outside up to 50 only."""
    inner = binning("pt", [20.0, 100.0], [0.9])
    outer = binning("pt", [20.0, 30.0, 50.0], [0.7, 0.8])
    data = of_pt(binning("abseta", [0.0, 1.0, 2.5], [inner, outer]))
    inputs = (("systematic", "string"), ("abseta", "real"), ("pt", "real"))
    jets = jets_at([90.0, 40.0, 90.0], [0.5, 1.5, 1.5])
    with pytest.raises(DataError, match=r"1 jets lie .*jet 2 .*pt 90; the range is 20 to 50"):
        of_tree(tmp_path, data, inputs).evaluate(jets)
    clamping = of_tree(tmp_path, data, inputs, outside="clamp")
    ((_, found),) = clamping.by_variation(jets)
    assert (found.values.tolist(), found.clamped) == ([0.9, 0.8, 0.8], 1)


def test_names_may_lie_below_bins_and_bins_in_several_dimensions(tmp_path: Path) -> None:
    bins = {
        "nodetype": "multibinning",
        "inputs": ["abseta", "pt"],
        "edges": [[0.0, 1.0, 2.5], {"n": 2, "low": 20.0, "high": 60.0}],
        "content": [
            category("systematic", {"central": 0.1 * k, "up": 0.1 * k + 0.05}) for k in range(4)
        ],
        "flow": "error",
    }
    jets = jets_at([20.0, 45.0, 39.9, 60.0, 61.0], [0.5, -0.5, 1.0, 2.5, 2.6])
    factors = of_tree(tmp_path, bins, INPUTS[:1] + INPUTS[3:], outside="clamp")
    assert factors.variations == ("nominal", "heavy_up")
    expected = np.array([0.0, 0.1, 0.2, 0.3, 0.3])
    assert factors.evaluate(jets) == pytest.approx(expected)
    assert factors.evaluate(jets, "heavy_up") == pytest.approx(expected + 0.05)


def test_an_open_last_bin_has_no_end(tmp_path: Path) -> None:
    data = of_pt(binning("pt", [20.0, 50.0, "inf"], [0.8, 0.9]))
    assert of_tree(tmp_path, data, BY_PT).evaluate(jets_at([49.0, 1e6], 0)).tolist() == [0.8, 0.9]
    frame = pd.DataFrame({
        "systematic": "central", "working_point": "M", "flavour": 5, "abs_eta_low": 0.0,
        "abs_eta_high": 2.5, "pt_low": [20.0, 50.0], "pt_high": [50.0, np.inf],
        "scale_factor": [0.8, 0.9],
    })  # fmt: skip
    options = {"file": str(write_table(tmp_path / "open.csv", frame))}
    options["flavours"] = {"heavy": ["b"], "light": []}
    factors = ScaleFactors.from_options(options, FLAVOURS)
    assert factors.evaluate(jets_at([49.0, 1e6], 0)).tolist() == [0.8, 0.9]


def test_bins_in_signed_eta(tmp_path: Path) -> None:
    data = of_pt(binning("eta", [-2.5, 0.0, 2.5], [0.8, 0.9]))
    inputs = (("syst", "string"), ("Jet_eta", "real"))
    data["input"], data["content"][0]["value"]["input"] = "syst", "Jet_eta"
    values = of_tree(tmp_path, data, inputs).evaluate(jets_at(50, [-2.5, -1, 0.0, 2.5]))
    assert values.tolist() == [0.8, 0.8, 0.9, 0.9]


# ---- inputs that files may lack, or spell in other ways


def test_inputs_may_be_spelt_and_ordered_otherwise(tmp_path: Path) -> None:
    data = json.dumps(tree(HEAVY, (5,)))
    spelt = {"systematic": "syst", "working_point": "WP", "flavor": "hadronFlavour",
             "abseta": "abs_eta", "pt": "jet_pt"}  # fmt: skip
    for before, after in spelt.items():
        data = data.replace(f'"input": "{before}"', f'"input": "{after}"')
    types = dict(INPUTS)
    inputs = [(spelt[name], types[name]) for name in ("pt", "abseta", "flavor")]
    inputs += [(spelt[name], types[name]) for name in ("working_point", "systematic")]
    jets = jets_at([25.0, 50.0], [1.0, -2.0])
    values = of_tree(tmp_path, json.loads(data), inputs, working_point="T").evaluate(jets)
    expected = [in_bin("central", "T", 5, 1, 0), in_bin("central", "T", 5, 2, 1)]
    assert values == pytest.approx(expected, rel=ULP)


def test_points_may_be_numbers(tmp_path: Path) -> None:
    data = category("wp", {0: 0.8, 1: 0.9})
    inputs = (("wp", "int"),)
    jets = jets_at([30.0, 40.0], 0)
    factors = of_tree(tmp_path, data, inputs, working_point="1")
    assert factors.evaluate(jets).tolist() == [0.9, 0.9]
    assert factors.variations == ("nominal",)
    with pytest.raises(ConfigError, match=r"working_point: 'M' is not a working point of .*0, 1"):
        of_tree(tmp_path, data, inputs, working_point="M")


def test_a_correction_may_be_for_one_point(tmp_path: Path) -> None:
    data = category("systematic", {"nominal": 0.9, "up": 1.0})
    factors = of_tree(tmp_path, data, INPUTS[:1])
    assert factors.evaluate(jets_at(30, 0), "heavy_up").tolist() == [1.0]
    with pytest.raises(ConfigError, match=r"working_points: .* serves for one only"):
        of_tree(tmp_path, data, INPUTS[:1], working_point="M")
    options = {"file": str(tmp_path / "one.json"), "heavy": "one", "light": "one"}
    assert ScaleFactors.from_options(options, FLAVOURS, ("mine",)).points == ("mine",)
    with pytest.raises(ConfigError, match=r"working_points: .* serves for one only"):
        ScaleFactors.from_options(options, FLAVOURS, NAMES)


def test_numbers_of_flavours_may_differ(tmp_path: Path) -> None:
    data = category("flavour", {0: 0.9, 2: 0.7})
    jets = jets_at([30.0], 0)
    factors = of_tree(tmp_path, data, (("flavour", "int"),), numbers={"b": 2})
    assert factors.evaluate(jets).tolist() == [0.7]
    with pytest.raises(ConfigError, match=r"has no flavour 5 where .*; there are 0, 2"):
        of_tree(tmp_path, data, (("flavour", "int"),))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((("discriminant", "real"),), "its input 'discriminant' is unknown; .* systematic, work"),
        ((("flavor", "string"),), "its input 'flavor' is of type string; int is wanted"),
        ((("pt", "real"), ("jet_pt", "real")), "its inputs pt and jet_pt mean the same"),
    ],
)
def test_other_inputs_are_refused_by_name(tmp_path: Path, inputs: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        of_tree(tmp_path, 1.0, inputs)


# ---- what a file lacks


def test_a_missing_systematic_is_refused_by_name(cms: Path) -> None:
    wanted = {"heavy": ["up_jess"], "light": []}
    message = (
        r"weights\.scale_factors\.systematics\.heavy: 'up_jess' is not in correction "
        r"'deepJet_comb' of .*, which has central, up, down, up_jes, down_jes\. Did you mean"
    )
    with pytest.raises(ConfigError, match=message):
        read(cms, systematics=wanted)


def uneven(name: str, drop: Callable[[Any], Any]) -> Any:
    """Return the correction for heavy jets without a part of it."""
    data = tree(HEAVY, (5, 4))
    drop({item["key"]: item["value"] for item in data["content"]}[name])
    return data


def drop_c(by_point: Any) -> None:
    del by_point["content"][1]["value"]["content"][1]


def drop_m(by_point: Any) -> None:
    del by_point["content"][1]


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        (drop_c, "has no flavor 4 where systematic 'up_jes' of flavour 4 at the working point M"),
        (drop_m, "has no working_point 'M' where systematic 'up_jes' of flavour 5 at the working"),
    ],
)
@pytest.mark.parametrize("default", [False, True])
def test_a_systematic_that_only_some_have_is_refused(
    tmp_path: Path, drop: Any, message: str, default: bool
) -> None:
    """Also where a default would answer for the others."""
    data = uneven("up_jes", drop)
    if default:
        for item in data["content"]:
            item["value"]["default"] = 1.0
            for below in item["value"]["content"]:
                below["value"]["default"] = 1.0
    heavy = correction("deepJet_comb", data)
    path = write_corrections(tmp_path / "uneven.json", heavy, cms_corrections()[1])
    with pytest.raises(ConfigError, match=rf"systematics\.heavy: .*{message}"):
        read(path, ("medium",))
    others = {"heavy": ["up", "down"], "light": None}
    assert len(read(path, ("medium",), systematics=others).variations) == 5


def test_defaults_do_not_answer_for_names_that_a_file_lacks(tmp_path: Path) -> None:
    data = category("systematic", {"up": 0.9}, default=1.0)
    with pytest.raises(ConfigError, match=r"has no systematic 'central' where .*; there are up"):
        of_tree(tmp_path, data, INPUTS[:1])
    data = binning("flavor", [3.5, 4.5], [0.9], 1.0)
    with pytest.raises(ConfigError, match=r"has no flavor 5 where .*; there are 3.5 to 4.5"):
        of_tree(tmp_path, data, INPUTS[2:3])
    data = binning("flavor", [3.5, 4.5, 5.5], [0.8, binning("pt", [20.0, 50.0], [0.9])])
    factors = of_tree(tmp_path, data, (INPUTS[2], INPUTS[4]), outside="clamp")
    ((_, found),) = factors.by_variation(jets_at([60.0, 30.0], 0))
    assert (found.values.tolist(), found.clamped) == ([0.9, 0.9], 1)


@pytest.mark.parametrize(
    ("changes", "points", "message"),
    [
        (
            {"heavy": "deepJet_com"},
            NAMES,
            r"weights\.scale_factors\.heavy: 'deepJet_com' is not in .*mean 'deepJet_comb'\?",
        ),
        ({"light": "both"}, NAMES, r"scale_factors\.light: 'both' is a compound correction; name"),
        (
            {"heavy": "deepJet_light"},
            NAMES,
            "systematics.heavy: correction 'deepJet_light' .* has no flavor 5 where systematic",
        ),
        (
            {"working_points": {"loose": "LL"}},
            NAMES,
            r"working_points\.loose: 'LL' is not a working point of .*, which has L, M, T\. Did",
        ),
        ({}, ("mine",), r"working_points\.mine: 'mine' is not a working point of .* L, M, T"),
        ({}, (), r"key 'working_point' is missing; .* has L, M, T"),
        ({"working_point": "X"}, (), r"working_point: 'X' is not a working point"),
        ({"flavours": {"heavy": ["bottom"]}}, NAMES, "flavours.heavy: 'bottom' is not a flavour"),
        (
            {"working_points": {"loos": "L"}},
            NAMES,
            r"working_points: 'loos' is not a working point",
        ),
        (
            {"working_point": "M"},
            NAMES,
            "working_point: 'M' is not allowed where",
        ),
        ({"numbers": {"u": 0}}, NAMES, "numbers: 'u' is not a flavour"),
        (
            {"systematics": {"heavy": ["up jes", "up_jes"]}},
            NAMES,
            "'up jes' is not in correction 'deepJet_comb'",
        ),
    ],
)
def test_what_a_file_lacks_is_refused_by_name(
    tmp_path: Path, changes: Raw, points: tuple[str, ...], message: str
) -> None:
    compound = {
        "name": "both", "inputs": [], "output": {"name": "x", "type": "real"},
        "inputs_update": [], "input_op": "*", "output_op": "*", "stack": ["deepJet_comb"],
    }  # fmt: skip
    path = write_corrections(
        tmp_path / "cms.json", *cms_corrections(), compound_corrections=[compound]
    )
    with pytest.raises(ConfigError, match=message):
        ScaleFactors.from_options({**cms_options(path), **changes}, FLAVOURS, points)


def test_names_that_run_together_are_refused(tmp_path: Path) -> None:
    data = category("systematic", {"central": 0.9, "up jes": 1.0, "up_jes": 1.1})
    with pytest.raises(
        ConfigError, match=r"heavy: two of up jes, up_jes become one name of a column"
    ):
        of_tree(tmp_path, data, INPUTS[:1])
    one = of_tree(tmp_path, data, INPUTS[:1], systematics={"heavy": ["up jes"]})
    assert one.variations == ("nominal", "heavy_up_jes")


def test_jets_of_flavours_without_scale_factors_are_refused(cms: Path) -> None:
    jets = jets_at([50.0, 50.0], 0, [5, 15])
    with pytest.raises(DataError, match=r"for the flavours \[5, 4, 0\], a jet has 15 \(1 such"):
        read(cms).evaluate(jets)


# ---- files that are damaged, foreign or hostile


def test_files_that_are_no_corrections_are_refused(tmp_path: Path) -> None:
    contents = {
        "damaged.json": (b'{"schema_version": 2', "cannot be read as JSON"),
        "latin.json": (b"\xff\xfe\xfa", "cannot be read as JSON"),
        "deep.json": (b"[" * 100_000, "cannot be read as JSON"),
        "list.json": (b"[]", "no file of correctionlib's schema 2"),
        "old.json": (b'{"schema_version": 1, "corrections": []}', "correctionlib's schema 2"),
        "empty.json": (b'{"schema_version": 2}', "'deepJet_comb' is not in .*, which has none"),
        "odd.json": (b'{"schema_version": 2, "corrections": [3]}', "which has none"),
        "cut.json.gz": (gzip.compress(b"{}" * 5000)[:-9], "cut.json.gz: cannot be read"),
        "plain.json.gz": (b"{}", "plain.json.gz: cannot be read"),
    }
    for name, (content, message) in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises((DataError, ConfigError), match=message):
            read(tmp_path / name)
    for name in ("none.json", "none.csv", "none.parquet"):
        options = cms_options(tmp_path / name)
        if not name.endswith("json"):
            options = {"file": options["file"]}
        with pytest.raises(DataError, match="no such file"):
            ScaleFactors.from_options(options, FLAVOURS, NAMES)


def nested(depth: int) -> Any:
    """Bins in bins in bins."""
    node: Any = 1.0
    for _ in range(depth):
        node = binning("pt", [20.0, 100.0], [node])
    return node


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"nodetype": "unheard of"}, "correctionlib cannot read it .*nodetype"),
        (formula('system("touch pwned")'), "correctionlib cannot read it .*Failed to parse"),
        (formula("x)"), "correctionlib cannot read it"),
        (binning("mass", [0.0, 1.0], [1.0]), "correctionlib cannot read it .*variable mass"),
        (binning("pt", [0.0, 1.0], []), "correctionlib cannot read it .*number of content"),
        (binning("pt", [1.0, 0.0], [1.0]), "correctionlib cannot read it .*monoton"),
        (binning("systematic", [1.0, 2.0], [1.0]), "correctionlib cannot read it"),
        (category("pt", {1: 1.0}), "correctionlib cannot read it"),
        (nested(120), "more than 200 deep"),
        ({}, "correctionlib cannot read it"),
        (None, "correctionlib cannot read it"),
        ("one", "correctionlib cannot read it"),
    ],
)
def test_corrections_that_are_none_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=message):
        of_tree(tmp_path, data, BY_PT)
    assert not Path("pwned").exists()


@pytest.mark.parametrize("change", [{"inputs": 3}, {"inputs": [{"name": "pt"}]}, {"output": 1}])
def test_headers_that_are_none_are_refused(tmp_path: Path, change: Raw) -> None:
    stated = {**correction("one", 1.0, BY_PT), **change}
    path = write_corrections(tmp_path / "one.json", stated)
    options = {"file": str(path), "heavy": "one", "flavours": {"heavy": ["b"], "light": []}}
    with pytest.raises(DataError, match="correctionlib cannot read it"):
        ScaleFactors.from_options(options, FLAVOURS)


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    factors = of_tree(tmp_path, formula("1/(x-30)"), BY_PT)
    message = r"gives -?inf for jet 1 \(pt 30 GeV, eta 0, flavour 5\), systematic 'central'"
    with pytest.raises(DataError, match=message):
        factors.evaluate(jets_at([40.0, 30.0], 0))


def test_the_package_is_named_where_it_is_missing(
    cms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "correctionlib", None)
    with pytest.raises(ConfigError, match=r"pip install truthtag\[scale-factors\]"):
        read(cms)


# ---- inputs that a file rewrites


@pytest.mark.parametrize("flow", ["clamp", 1.0])
def test_a_rewritten_input_must_not_hide_the_range(tmp_path: Path, flow: Any) -> None:
    inputs = (("systematic", "string"), ("eta", "real"))
    below = binning("eta", [0.0, 2.5], [0.9], flow)
    with pytest.raises(DataError, match="it transforms its input 'eta', and answers for any"):
        of_tree(tmp_path, of_pt(transform("eta", formula("abs(x)", "eta"), below)), inputs)
    named = transform("flavor", 4.0, category("flavor", {4: 0.9}, default=1.0))
    with pytest.raises(DataError, match="it transforms its input 'flavor', and answers for any"):
        of_tree(tmp_path, named, INPUTS[2:3])


def test_what_a_rewritten_input_excludes_is_refused_by_the_package(tmp_path: Path) -> None:
    inputs = (("systematic", "string"), ("eta", "real"), ("pt", "real"))
    by_pt = binning("pt", [20.0, 50.0], [0.8])
    below = binning("eta", [0.0, 1.0, 2.5], [by_pt, by_pt])
    data = of_pt(transform("eta", formula("abs(x)", "eta"), below))
    factors = of_tree(tmp_path, data, inputs, outside="clamp")
    assert factors.evaluate(jets_at(30, [-2.0, 2.0])).tolist() == [0.8, 0.8]
    with pytest.raises(DataError, match=r"correctionlib refuses a jet .*Index above bounds"):
        factors.evaluate(jets_at(30, -2.7))
    # Bins of an input that is not rewritten are known.
    data = of_pt(transform("eta", formula("abs(x)", "eta"), by_pt))
    factors = of_tree(tmp_path, data, inputs, outside="clamp")
    assert factors.evaluate(jets_at(500, -2.7)).tolist() == [0.8]


# ---- tables


def test_csv_and_parquet_are_the_same(tmp_path: Path) -> None:
    jets = make_jets([4, 3])
    values = []
    for name in ("a.csv", "a.parquet"):
        # Rows in any order, further columns: neither matters.
        frame = table_rows().sample(frac=1, random_state=1).assign(source="a paper")
        path = write_table(tmp_path / name, frame)
        factors = ScaleFactors.from_options({"file": str(path)}, FLAVOURS, NAMES)
        values.append(factors.evaluate(jets))
    np.testing.assert_array_equal(*values)


def set_cell(row: int, **cells: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Return what changes cells of a row."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        changed = frame.astype(object)
        for name, value in cells.items():
            changed.loc[row, name] = value
        return changed

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="pt_low"), "column 'pt_low' is missing; the file has systematic"),
        (lambda f: f.iloc[:0], "has no rows"),
        (set_cell(3, scale_factor="high"), "column 'scale_factor' is high in row 3; .* finite"),
        (set_cell(3, scale_factor=None), "column 'scale_factor' is nan in row 3"),
        (set_cell(3, pt_low=-np.inf), "column 'pt_low' is -inf in row 3"),
        (set_cell(0, flavour=5.5), "column 'flavour' is 5.5 in row 0; it must be a whole number"),
        (set_cell(0, abs_eta_low=-1.0), "column 'abs_eta_low' is -1.0 in row 0; .* 0 or above"),
        (set_cell(0, systematic=None), "column 'systematic' is nan in row 0; it must be a name"),
        (
            lambda f: f.drop(index=5),
            r"working_point L, flavour 5: the bin abs_eta 0\.7 to 1\.6, pt 30 to 70 is missing \(1",
        ),
        (lambda f: pd.concat([f, f.iloc[5:6]]), "pt 30 to 70 stands 2 times"),
        (set_cell(1, pt_high=60.0), "the bin abs_eta 0 to 0.7, pt 60 to 70 is missing|holds the"),
        (set_cell(1, pt_high=100.0), r"pt from 30 to 100 \(row 1\) .* holds the edge 70"),
        (set_cell(0, pt_high=20.0), r"pt from 20 to 20 \(row 0\) ends at or below its beginning"),
        (set_cell(3, pt_low=1000.0), r"pt from 1000 to 1000 \(row 3\) ends at or below its begin"),
        (set_cell(1, pt_low=40.0), "holds the edge|is missing"),
    ],
)
def test_tables_with_gaps_overlaps_or_nonsense_are_refused(
    tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    path = tmp_path / "table.csv"
    change(table_rows()).to_csv(path, index=False)
    with pytest.raises(DataError, match=message):
        ScaleFactors.from_options({"file": str(path)}, FLAVOURS, NAMES)


def test_what_a_table_lacks_is_refused_by_name(tmp_path: Path) -> None:
    frame = table_rows()
    for rows, message in (
        (frame.query("flavour != 4"), "has no flavour 4 where systematic 'central' of flavour 4"),
        (frame.query("systematic != 'central'"), "has no systematic 'central' where"),
        (
            frame.query("not (systematic == 'up_jes' and flavour == 4)"),
            "has no systematic 'up_jes' where systematic 'up_jes' of flavour 4 at the working",
        ),
        (frame.query("working_point != 'T'"), "working_points.tight: 'T' is not a working point"),
        (
            frame.query("not (working_point == 'T' and flavour == 0)"),
            "has no flavour 0 where systematic 'central' of flavour 0 at the working point T",
        ),
    ):
        path = write_table(tmp_path / "table.csv", rows)
        with pytest.raises(ConfigError, match=message):
            ScaleFactors.from_options({"file": str(path)}, FLAVOURS, NAMES)


def test_names_of_a_table_stay_text(tmp_path: Path) -> None:
    frame = table_rows().replace({"working_point": {"L": "85", "M": "77", "T": "NA"}})
    path = write_table(tmp_path / "table.csv", frame)
    points = {"loose": "85", "medium": "77", "tight": "NA"}
    options = {"file": str(path), "working_points": points}
    factors = ScaleFactors.from_options(options, FLAVOURS, NAMES)
    assert factors.evaluate(jets_at(25, 0))[0].tolist() == [
        level("central", point, 5) for point in POINTS
    ]


# ---- the config


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"file": "a.root"}, "file is 'a.root'; its name must end in one of .json, .json.gz, .csv"),
        (
            {"file": "a.json", "light": "x"},
            "heavy is missing: the name of the correction for heavy",
        ),
        ({"file": "a.json.gz", "heavy": "x"}, "light is missing: the name of the correction for"),
        ({"file": "a.csv", "heavy": "x"}, "heavy is 'x', and a table has no corrections; leave it"),
        ({"file": "a.csv", "outside": "one"}, "outside: Input should be 'refuse' or 'clamp'"),
        ({"file": "a.csv", "max_negative": 2}, "max_negative: .*less than or equal to 1"),
        ({}, "file: Field required"),
    ],
)
def test_options_that_contradict_themselves_are_refused(options: Raw, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"weights\.scale_factors.*{message}"):
        ScaleFactors.from_options(options, FLAVOURS)


def with_scale_factors(default_config: Raw, **section: Any) -> Raw:
    config = copy.deepcopy(default_config)
    config["weights"]["scale_factors"] = {"file": "sf.csv", **section}
    return config


def test_a_config_may_have_scale_factors(default_config: Raw) -> None:
    filled = check_config(with_scale_factors(default_config)).model_dump(mode="json")
    stated = filled["weights"]["scale_factors"]
    assert stated == {
        "file": "sf.csv",
        "heavy": None,
        "light": None,
        "flavours": {"heavy": ["b", "c"], "light": ["light"]},
        "numbers": {},
        "working_points": {},
        "working_point": None,
        "systematics": {"heavy": None, "light": None},
        "outside": "refuse",
        "max_negative": 0.01,
        "max_excluded": 0.05,
        "direct": True,
    }
    assert ScaleFactorOptions.model_validate(stated) == ScaleFactorOptions(file="sf.csv")
    # What was checked once is a config.
    again = copy.deepcopy(default_config)
    again["weights"] = filled["weights"]
    assert check_config(again).weights.scale_factors == ScaleFactorOptions(file="sf.csv")


@pytest.mark.parametrize(
    ("section", "points", "message"),
    [
        ({"flavours": {"heavy": ["b"]}}, 0, r"flavours: 'c' is in no group; add it to heavy or"),
        (
            {"flavours": {"light": ["b", "light"]}},
            0,
            r"flavours\.light: 'b' is named twice",
        ),
        ({"flavours": {"heavy": ["b", "cc"]}}, 0, r"flavours\.heavy: 'cc' is not a flavour\. All"),
        ({"numbers": {"u": 0}}, 0, r"numbers: 'u' is not a flavour\. Allowed: b, c, light"),
        ({"working_points": {"loos": "L"}}, 2, r"working_points: 'loos' is not a working point\."),
        ({"working_point": "M"}, 2, r"working_point: 'M' is not allowed where"),
        ({"flavours": {"heavy": ["b", "b", "c"]}}, 0, r"flavours\.heavy: 'b' is named twice"),
        ({"heavy": "x"}, 0, r"heavy is 'x', and a table has no corrections"),
        ({"files": "x"}, 0, r"unknown key 'files'\. Allowed: file, .*Did you mean 'file'\?"),
        ({"direct": "yes"}, 0, r"direct: 'yes' is not allowed; it must be of type boolean"),
    ],
)
def test_contradictions_of_the_config_are_refused_before_a_run(
    default_config: Raw, section: Raw, points: int, message: str
) -> None:
    config = with_scale_factors(default_config, **section)
    config["working_points"] = dict(itertools.islice({"loose": 1.0, "tight": 2.0}.items(), points))
    with pytest.raises(ConfigError, match=rf"weights\.scale_factors.*{message}"):
        check_config(config)


def test_light_jets_of_a_file_of_heavy_ones_need_no_correction(cms: Path) -> None:
    options = {"file": str(cms), "heavy": "deepJet_comb", "flavours": {"light": []}}
    factors = ScaleFactors.from_options(options, {"b": 5, "c": 4}, NAMES)
    assert [group.name for group in factors.groups] == ["heavy"]
    assert factors.evaluate(jets_at(50, 0, [5, 4])).shape == (2, 3)
    with pytest.raises(DataError, match=r"for the flavours \[5, 4\], a jet has 0"):
        factors.evaluate(jets_at(50, 0, 0))
