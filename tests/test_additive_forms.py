"""What leaves an additive model: its curves with bands, and its formulas in correctionlib."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from estimator_kinds import fit, options_of

from conftest import make_jets
from truthtag.data.jets import Jets
from truthtag.data.kinematics import delta_r
from truthtag.data.labels import Labels
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.additive.curves import read_curves
from truthtag.estimators.additive.engine import DesignEngine
from truthtag.estimators.additive.estimator import AdditiveFit
from truthtag.estimators.additive.likelihood import BEND
from truthtag.estimators.ensemble import Ensemble
from truthtag.exports.corrections import CorrectionOptions, export_corrections
from truthtag.figures.catalogue import figures_of
from truthtag.figures.catalogue import options_of as options_of_figure
from truthtag.figures.inputs import Inputs
from truthtag.figures.labels import DrawingContext
from truthtag.toy.neighbour_product import NeighbourProduct
from truthtag.workflow.export_options import CorrectionsExport, Exports, exported
from truthtag.workflow.options import check_config

FLAVOURS = {"b": 5, "c": 4, "light": 0}
PROBE = {"pt": 100.0, "eta": 0.3}


@pytest.fixture(scope="module")
def fitted(few: Jets) -> AdditiveFit:
    found: AdditiveFit = fit("additive", few)
    return found


# ---- curves


def test_curves_are_efficiencies_and_ratios_of_efficiencies(fitted: AdditiveFit) -> None:
    pt = np.array([25.0, 80.0, 300.0])
    distance = np.array([0.1, 0.8, 3.5])
    frame = read_curves(fitted, FLAVOURS, PROBE, pt, np.array([-1.0, 0.3]), distance)
    assert set(frame["panel"]) == {"pt", "eta", "factor"}
    own = frame[(frame["panel"] == "pt") & (frame["flavour"] == "b")]
    alone = make_jets(
        [1, 1, 1], pt=pt.astype("f4"), eta=np.full(3, 0.3, "f4"), flavour=np.full(3, 5)
    )
    np.testing.assert_allclose(own["value"], fitted.efficiency(alone), rtol=1e-5)
    rows = frame["panel"].eq("factor") & frame["flavour"].eq("c") & frame["neighbour"].eq("b")
    factor = frame[rows]
    for x, value in zip(factor["x"], factor["value"], strict=True):
        pair = make_jets(
            [2],
            pt=np.array([100.0, 100.0], "f4"),
            eta=np.full(2, 0.3, "f4"),
            phi=np.array([0.0, min(x, 3.1)], "f4"),
            flavour=np.array([4, 5]),
        )
        single = make_jets([1], pt=pair.pt[:1], eta=pair.eta[:1], flavour=pair.flavour[:1])
        ratio = fitted.efficiency(pair)[0] / fitted.efficiency(single)[0]
        assert value == pytest.approx(ratio, rel=1e-4)
    # Beyond the reach it is 1, without an error.
    assert factor["value"].iloc[-1] == pytest.approx(1.0, abs=1e-9)
    assert factor["high"].iloc[-1] == pytest.approx(1.0, abs=1e-9)


def test_bands_are_the_spread_of_replicas(fitted: AdditiveFit) -> None:
    distance = np.array([0.1, 0.5])
    pt = np.array([60.0, 200.0])
    frame = read_curves(fitted, FLAVOURS, PROBE, pt, np.array([0.0]), distance)
    own = frame[(frame["panel"] == "pt") & (frame["flavour"] == "b")]
    alone = make_jets([1, 1], pt=pt.astype("f4"), eta=np.full(2, 0.3, "f4"), flavour=np.full(2, 5))
    drawn = np.log(DesignEngine(fitted.drawn(1500, (1,))).efficiencies(alone))
    band = np.log(own["high"] / own["low"]) / 2
    np.testing.assert_allclose(drawn.std(axis=0), band, rtol=0.1)
    with pytest.raises(DataError, match="a replica has no covariance, and so no bands"):
        read_curves(fitted.drawn(1, (1,))[0], FLAVOURS, PROBE, pt, pt, distance)


@pytest.mark.parametrize("with_truth", [True, False])
def test_the_figure(
    fitted: AdditiveFit,
    truth: NeighbourProduct,
    default_config: dict[str, Any],
    tmp_path: Path,
    with_truth: bool,
) -> None:
    path = tmp_path / "nominal.parquet"
    fitted.save(path, {})
    entry = figures_of(default_config)["curves_additive"]
    assert entry.inputs == ("truth", "fit:additive")
    options = options_of_figure(entry, default_config)
    known = truth if with_truth else None
    inputs = Inputs(FLAVOURS, options, fits={"additive": path}, truth=known)
    frame = entry.load_numbers()(inputs)
    assert set(entry.columns) <= set(frame.columns)
    assert frame["true"].notna().all() == with_truth
    # Nothing is shown where no training jet was.
    shown = frame.loc[frame["panel"] == "eta", "x"]
    assert shown.abs().max() <= fitted.structure.terms[1].bases[0].high
    if with_truth:
        b_jets = frame[(frame["panel"] == "pt") & (frame["flavour"] == "b")]
        expected = truth.own(5, b_jets["x"].to_numpy(), np.zeros(len(b_jets)))
        np.testing.assert_allclose(b_jets["true"], expected)
    figure = entry.load_drawing()(frame, DrawingContext(list(FLAVOURS)))
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert ("truth" in labels) == with_truth
    assert len(figure.axes) == 2 + 3
    fit("binned", make_jets([2] * 9)).save(path, {})
    with pytest.raises(DataError, match="holds no additive model, which alone has curves"):
        entry.load_numbers()(inputs)


# ---- the config


def test_terms_are_checked_with_the_config(default_config: dict[str, Any]) -> None:
    config = copy.deepcopy(default_config)
    config["inputs"] = {"era": {"categories": [1, 2]}}
    config["estimators"]["additive"]["terms"] = [{"of": "era"}, {"of": "n_trakcs"}]
    with pytest.raises(ConfigError) as caught:
        check_config(config)
    text = str(caught.value)
    assert "estimators.additive.terms: 'era' is a category, which has no smooth function" in text
    assert "estimators.additive.terms: 'n_trakcs' is not a column of the jets" in text


def test_only_products_leave_as_corrections(default_config: dict[str, Any]) -> None:
    estimators = check_config(default_config).estimators
    exports = Exports(correctionlib=CorrectionsExport())
    assert "additive" in exported(exports, "correctionlib", estimators, 1)
    assert "additive" not in exported(exports, "correctionlib", estimators, 3)
    estimators["additive"] = options_of("additive", link="logit")
    assert "additive" not in exported(exports, "correctionlib", estimators, 1)
    config = copy.deepcopy(default_config)
    config["estimators"]["additive"]["link"] = "logit"
    config["exports"] = {"correctionlib": {"of": ["additive"]}}
    with pytest.raises(ConfigError, match=r"exports\.correctionlib\.of: 'additive' is of a kind"):
        check_config(config)


# ---- correctionlib


def product(corrections: Any, jets: Jets, *first: str) -> np.ndarray:
    """Multiply what correctionlib evaluates, by loops over jets."""
    own, pair = corrections["efficiency_own"], corrections["efficiency_neighbour"]
    values = np.empty(jets.n_jets)
    for jet in range(jets.n_jets):
        event = jets.event_of_jet[jet]
        values[jet] = own.evaluate(
            *first, int(jets.flavour[jet]), float(jets.eta[jet]), float(jets.pt[jet])
        )
        for other in range(jets.offsets[event], jets.offsets[event + 1]):
            if other != jet:
                distance = delta_r(jets.eta[jet], jets.phi[jet], jets.eta[other], jets.phi[other])
                flavours = int(jets.flavour[jet]), int(jets.flavour[other])
                values[jet] *= pair.evaluate(*first, *flavours, float(distance))
    above = values > BEND
    values[above] = 1 - (1 - BEND) * (values[above] / BEND) ** (-BEND / (1 - BEND))
    return values


def read(path: Path) -> Any:
    correctionlib = pytest.importorskip("correctionlib")
    return correctionlib.CorrectionSet.from_file(str(path))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"variables": {"pt": {"logarithmic": True}, "eta": {"even": False, "intervals": 3}}},
        {"terms": [{"of": ["eta", "pt"]}, {"sum_of": "delta_r", "by": "neighbour"}]},
        {"terms": [{"of": "pt"}]},
    ],
)
def test_formulas_are_the_model(few: Jets, tmp_path: Path, changes: dict[str, Any]) -> None:
    some = few.first(120)
    found = fit("additive", some, **changes)
    export_corrections(found, tmp_path / "a.json", CorrectionOptions(variations=False))
    corrections = read(tmp_path / "a.json")
    jets = few.first(30)
    np.testing.assert_allclose(product(corrections, jets), found.efficiency(jets), rtol=2e-5)
    # Jets beyond the knots, and on the last.
    high = found.structure.terms[0].bases[-1].high
    pt = np.array([high, 1e4, 1.0, 50.0], "f4")
    jets = make_jets([1] * 4, pt=pt, eta=np.array([0.0, -4.0, 4.0, high % 5], "f4"))
    np.testing.assert_allclose(product(corrections, jets), found.efficiency(jets), rtol=2e-5)


def test_replicas_are_variations(fitted: AdditiveFit, few: Jets, tmp_path: Path) -> None:
    replicas = fitted.drawn(2, (1,))
    export_corrections(Ensemble(replicas, fitted), tmp_path / "a.json.gz")
    corrections = read(tmp_path / "a.json.gz")
    jets = few.first(10)
    for name, one in {"central": fitted, "replica_1": replicas[1]}.items():
        np.testing.assert_allclose(
            product(corrections, jets, name), one.efficiency(jets), rtol=2e-5
        )
    inputs = [one.name for one in corrections["efficiency_neighbour"].inputs]
    assert inputs == ["systematic", "flavor", "neighbor_flavor", "delta_r"]
    text = corrections["efficiency_own"].description
    assert "to be multiplied by efficiency_neighbour" in text


def test_what_is_above_the_bend_and_what_nothing_was_learned_of(few: Jets, tmp_path: Path) -> None:
    some = few.first(80)
    often = np.random.default_rng(1).random(some.n_jets) < 0.985
    labels = Labels(flavours=(0, 4, 5, 15))
    jets = some.with_columns(is_tagged=often, labels=labels)
    found = fit("additive", jets)
    export_corrections(found, tmp_path / "a.json", CorrectionOptions(variations=False))
    eff = found.efficiency(jets)
    assert eff.max() > BEND
    corrections = read(tmp_path / "a.json")
    np.testing.assert_allclose(product(corrections, jets), eff, rtol=2e-5)
    assert corrections["efficiency_neighbour"].evaluate(5, 15, 0.2) == 1.0
    with pytest.raises(IndexError):
        corrections["efficiency_own"].evaluate(15, 0.3, 50.0)
    description = json.loads((tmp_path / "a.json").read_text())["description"]
    assert "A product p above 0.95 stands for 1 - 0.05 (p / 0.95)^-19" in description


def test_what_is_no_product_is_refused(few: Jets, tmp_path: Path) -> None:
    some = few.first(60)
    for changes, text in (
        ({"link": "logit", "terms": [{"of": "pt"}]}, "the link of the additive model is 'logit'"),
        (
            {"terms": [{"sum_of": "neighbour_pt"}]},
            "has the term 'sum of neighbour_pt'; corrections",
        ),
    ):
        found = fit("additive", some, **changes)
        with pytest.raises(ConfigError, match=re.escape(text)):
            export_corrections(found, tmp_path / "a.json")
    assert options_of("additive").replicas == 20
