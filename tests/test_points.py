"""Several working points and no truth: the steps after the predictions, one script after another.

Each case runs the scripts of the workflow on files, as rules do: with one working point or two, and
with a true efficiency or none. The sample without a truth is one that was read, so that it also has
a table of its events, some of them without jets.
"""

from __future__ import annotations

import re
import runpy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conftest import ROOT
from truthtag.data.files import read_csv, read_frame, write_frame
from truthtag.data.jets import Jets, write_jets
from truthtag.data.labels import Labels
from truthtag.errors import DataError
from truthtag.estimators.prediction_files import read_prediction, write_prediction, write_replicas
from truthtag.estimators.predictions import Prediction, at_point, predict
from truthtag.figures.catalogue import FigureEntry, figures_of, options_of
from truthtag.figures.labels import drawing_options
from truthtag.statistics.words import CLOSES, FAILS, WITHIN
from truthtag.workflow.report import too_few_events, verdict_page

FLAVOURS = {"b": 5, "c": 4, "light": 0}
POINTS = ("loose", "tight")
CLOSURE_TABLES = ("closure", "verdict", "cells", "power", "shifts", "templates")
CASES = {"one point": (1, True), "two points": (2, True), "read": (2, False)}
WITHOUT_JETS = 7


def with_points(jets: Jets, count: int, known: bool) -> Jets:
    """Tag jets anew, by their scores, at working points whose efficiencies fall by a factor."""
    loose = jets.efficiency_true
    true = np.column_stack([loose, 0.6 * loose])
    columns: dict[str, Any] = {"is_tagged": jets.score < loose, "efficiency_true": loose}
    if count == 2:
        columns = {
            "is_tagged": None,
            "tag_bin": (jets.score[:, None] < true).sum(axis=1),
            "efficiency_true": true,
            "labels": Labels(points=POINTS),
        }
    if not known:
        columns["efficiency_true"] = None
    further = {"n_tracks": np.arange(jets.n_jets, dtype=np.int32) % 20}
    return replace(jets, **columns, further=further)


@dataclass(frozen=True)
class Near:
    """What is nearly the truth at every point, and its replicas."""

    true: np.ndarray
    points: tuple[str, ...]
    factor: float = 1.0

    def efficiency(self, jets: Jets) -> np.ndarray:
        return np.clip(self.factor * self.true, 0, 1)

    def with_replicas(self, jets: Jets) -> tuple[np.ndarray, np.ndarray]:
        factors = 1 + 0.02 * np.random.default_rng(1).normal(size=8)
        values = self.efficiency(jets)
        return values, np.stack([np.clip(values * one, 0, 1) for one in factors])


class Named(list):
    """Files or parameters with names, as Snakemake gives them to a script."""

    def __init__(self, **named: Any) -> None:
        super().__init__(named.values())
        self.named = named

    def __getattr__(self, name: str) -> Any:
        return self.named[name]

    def __getitem__(self, place: Any) -> Any:
        return self.named[place] if isinstance(place, str) else super().__getitem__(place)

    def get(self, name: str, otherwise: Any = None) -> Any:
        return self.named.get(name, otherwise)

    def items(self) -> Any:
        return self.named.items()


@dataclass(frozen=True)
class Case:
    """A folder with a sample, predictions on it, and what the scripts make of them."""

    folder: Path
    jets: Jets
    config: Mapping[str, Any]
    has_truth: bool

    def path(self, name: str) -> str:
        return str(self.folder / name)

    @property
    def predictions(self) -> dict[str, list[str]]:
        names = self.config["estimators"]
        return {n: [self.path(f"{n}.parquet"), self.path(f"{n}.replicas.parquet")] for n in names}

    def run(
        self,
        script: str,
        output: Any,
        inputs: Any = (),
        wildcards: Mapping[str, str] | None = None,
        **params: Any,
    ) -> None:
        """Run a script of the workflow."""
        job = SimpleNamespace(
            input=inputs,
            output=output,
            params=Named(**params),
            log=[self.path(f"{script}.log")],
            wildcards=Named(**(wildcards or {})),
        )
        place = ROOT / "workflow/scripts" / f"{script}.py"
        try:
            runpy.run_path(str(place), {"snakemake": job}, run_name="__main__")
        except SystemExit:
            pytest.fail(Path(job.log[0]).read_text())

    def table(self, name: str) -> pd.DataFrame:
        path = self.path(name)
        return read_csv(path) if name.endswith(".csv") else read_frame(path)


def config_of(several: bool, has_truth: bool) -> dict[str, Any]:
    """A config with one judged sample, generated or read, and distributions of any name."""
    base = {"sample": "test", "tagged": [1]}
    distributions: dict[str, Any] = {
        "pt": {**base, "observable": "pt_1", "axis": [20.0, 150.0, 300.0, 600.0]},
        "ht": {
            **base,
            "observable": "ht",
            "tagged": [1, 2],
            "axis": [100.0, 500.0, 1000.0],
            "split": "flavour",
            "selection": {"n_jets": [3, None]},
        },
        "tracks": {**base, "observable": "n_tracks_2", "axis": [0.0, 10.0, 20.0]},
    }
    if several:
        distributions["eta"] = {
            **base,
            "observable": "eta_1",
            "axis": [-2.0, 0.0, 2.0],
            "working_point": "tight",
        }
        distributions["bin"] = {
            **base,
            "observable": "eta_1",
            "axis": [-2.0, 0.0, 2.0],
            "working_point": "loose",
            "below": "tight",
        }
    axis = {"bins": 5, "low": 0.0, "high": 600.0}
    config: dict[str, Any] = {
        "flavours": FLAVOURS,
        "generators": {"multijet": {"kind": "multijet"}} if has_truth else {},
        "readers": {} if has_truth else {"mine": {"format": "root", "columns": {"pt": "Jet_pt"}}},
        "samples": {"test": {"generator": "multijet"} if has_truth else {"reader": "mine"}},
        "roles": {"train": ["test"], "validation": ["test"], "judged": ["test"]},
        "estimators": {"low": {"kind": "binned"}, "near": {"kind": "binned"}},
        "distributions": distributions,
        "figures": {
            "weighting_flavours": ["c", "c"],
            "axes": {
                "m_jj_wide": axis,
                "pt": axis,
                "delta_r": {"bins": 6, "low": 0.0, "high": 3.0},
            },
        },
    }
    if has_truth:
        config["truth"] = {"kind": "neighbour_product"}
    return config


@pytest.fixture(scope="module", params=list(CASES))
def case(request: pytest.FixtureRequest, sample: Jets, tmp_path_factory: Any) -> Case:
    """Run all scripts after the predictions."""
    count, has_truth = CASES[request.param]
    folder = tmp_path_factory.mktemp(request.param.replace(" ", "_"))
    known = with_points(sample.first(6000), count, True)
    jets = with_points(sample.first(6000), count, has_truth)
    config = config_of(count > 1, has_truth)
    made = Case(folder, jets, config, has_truth)
    write_jets([jets], made.path("jets.parquet"))
    points = POINTS if count > 1 else ()
    for name, factor in {"low": 0.8, "near": 1.0}.items():
        prediction = predict(Near(known.efficiency_true, points, factor), jets)
        write_prediction(prediction, made.predictions[name][0], {})
        write_replicas(prediction, made.predictions[name][1], {})
    inside = jets.pt < 400
    flags = {"event": jets.per_jet("event"), "in_domain": inside}
    write_frame(pd.DataFrame(flags), made.path("domain.parquet"))
    run_all(made)
    return made


def run_all(case: Case) -> None:
    """Run the steps in their order."""
    jets = case.path("jets.parquet")
    events = None
    if not case.has_truth:
        table = events_of(case.jets)
        region = {"flavour": 5, "abs_eta": "from 2.5", "pt": "below 20", "jets": 9, "unscored": 8}
        counts = {"counts": {"by_region": [region]}}
        write_frame(table, case.path("events.parquet"), counts)
        events = [case.path("events.parquet")]
    flavours = {"flavours": FLAVOURS}
    options = {"regions": 8, "prior_width": 0.3, "max_scale": 2.0}
    case.run(
        "measure_spread",
        [case.path("scales.csv")],
        Named(sample=jets),
        predictions=case.predictions,
        options=options,
        **flavours,
    )
    inputs = Named(sample=jets, domain=case.path("domain.parquet"), scales=case.path("scales.csv"))
    histograms = []
    for name, distribution in case.config["distributions"].items():
        histograms.append(case.path(f"histograms_{name}.parquet"))
        case.run(
            "fill_histograms",
            histograms[-1:],
            inputs,
            {"distribution": name},
            predictions=case.predictions,
            options=distribution,
            **flavours,
        )
    cells = case.path("cells_test.parquet")
    borders = {"delta_r": [0.4, 1.0], "pt": [], "close": 0.4}
    case.run(
        "fill_cells",
        [cells],
        inputs,
        {"sample": "test"},
        predictions=case.predictions,
        cells=borders,
        **flavours,
    )
    nominal = {name: files[0] for name, files in case.predictions.items()}
    names = ("all_jets", "in_range", "in_domain", "likelihood")
    case.run(
        "summary",
        Named(**{name: case.path(f"{name}.csv") for name in names}),
        samples={"test": [jets]},
        predictions={"test": nominal},
        domains={"test": case.path("domain.parquet")},
        in_range={"pt": [20.0, 600.0]},
        **flavours,
    )
    tables_of_closure = {"overall": "global", **{n: n for n in CLOSURE_TABLES}}
    case.run(
        "closure_tables",
        Named(**{name: case.path(f"{table}.csv") for name, table in tables_of_closure.items()}),
        Named(cells=[cells], histograms=histograms, likelihood=case.path("likelihood.csv")),
        minimum_events=10.0,
        p_value=0.01,
        max_uncertainty=0.05,
        close=0.4,
    )
    case.run(
        "measure_calibration",
        [case.path("calibration.csv")],
        Named(sample=jets),
        predictions=nominal,
        bins=4,
        **flavours,
    )
    if case.has_truth:
        case.run(
            "measure_coverage",
            Named(bins=case.path("coverage_by_bin.csv"), table=case.path("coverage.csv")),
            Named(**inputs.named, histograms=histograms),
            predictions=case.predictions,
            axes={"pt": [0.0, 300.0, 600.0], "delta_r": [0.0, 1.0, 3.0]},
            minimum_events=10.0,
            **flavours,
        )
    case.run(
        "event_weights",
        [case.path(f"weights_{name}.parquet") for name in nominal],
        Named(sample=jets, predictions=list(nominal.values()), events=events or []),
        options={"tags": 2, "leading": None, "keep_tags_of": ["b"]},
        **flavours,
    )
    case.run(
        "describe_samples",
        [case.path("samples.csv")],
        samples={"test": [jets]},
        events={"test": events} if events else {},
        **flavours,
    )
    tables = {
        name: case.path(f"{name}.csv")
        for name in ("samples", "verdict", "closure", "likelihood", "in_range", "in_domain")
    }
    tables["summary"] = case.path("all_jets.csv")
    tables["power"] = case.path("power.csv")
    tables["shifts"] = case.path("shifts.csv")
    tables["overall"] = case.path("global.csv")
    if case.has_truth:
        tables["coverage"] = case.path("coverage.csv")
    case.run(
        "render_tables",
        Named(tables=case.path("tables.html"), verdict=case.path("verdict.html")),
        Named(**tables, ensembles=[]),
        minimum_events=10.0,
        ensembles=[],
    )


def events_of(jets: Jets) -> pd.DataFrame:
    """Return a table of the events, and others without jets among them, in another order."""
    numbers = np.r_[jets.event[::-1], jets.event.max() + 1 + np.arange(WITHOUT_JETS)]
    n_jets = np.r_[jets.multiplicity[::-1], np.zeros(WITHOUT_JETS, dtype=int)]
    weight = np.r_[jets.weight[::-1], np.full(WITHOUT_JETS, 2.0)]
    order = np.random.default_rng(3).permutation(len(numbers))
    columns = {"event": numbers, "weight": weight, "n_jets": n_jets}
    table = pd.DataFrame({name: values[order] for name, values in columns.items()})
    return table.assign(entry=np.arange(len(table)), run=1, luminosity_block=2, event_number=9)


def several(case: Case) -> bool:
    return case.jets.n_points > 1


def test_tables_tell_working_points_apart_only_where_there_are_several(case: Case) -> None:
    for name in ("scales", "closure", "verdict", "calibration", "all_jets", "likelihood"):
        table = case.table(f"{name}.csv")
        assert ("working_point" in table) == several(case), name
        if several(case):
            assert set(POINTS) <= set(table["working_point"]), name
            assert table["working_point"].notna().all(), name


def test_what_is_nearly_right_closes_at_every_point_and_what_is_low_does_not(case: Case) -> None:
    table = case.table("closure.csv")
    tested = table[(table["events"] == "all") & (table["ndf"] > 0)]
    found = tested.groupby("efficiency")["verdict"].agg(list)
    assert set(found["near"]) <= {CLOSES, WITHIN}
    assert FAILS in found["low"]
    assert ("true" in found) == case.has_truth
    assert table["largest_deviation"].notna().any() == case.has_truth
    assert table["gain"].median() > 1
    verdicts = case.table("verdict.csv")
    assert list(verdicts)[-2:] == ["low", "near"]
    marks = ["distribution", "panel", "events", *(["working_point"] if several(case) else [])]
    overall = case.table("global.csv")
    # The global lines come first: of each point, and of the bin between two.
    n_global = len(overall.drop_duplicates(marks))
    assert n_global == (6 if several(case) else 2)
    assert (verdicts["distribution"] == "global").tolist()[: n_global + 1] == [True] * n_global + [
        False
    ]
    assert len(verdicts) == n_global + len(table.drop_duplicates(marks))
    at_loosest = overall[overall["events"] == "all"].drop_duplicates("efficiency")
    by_name = at_loosest.set_index("efficiency")["verdict"]
    assert by_name["low"] == FAILS
    assert by_name["near"] in (CLOSES, WITHIN)


def test_cells_and_power_are_there_at_every_point(case: Case) -> None:
    cells = case.table("cells.csv")
    power = case.table("power.csv")
    for table in (cells, power):
        assert ("working_point" in table) == several(case)
        if several(case):
            assert table["working_point"].unique().tolist() == list(POINTS)
    assert set(cells["flavour"]) == set(FLAVOURS)
    assert (cells["jets"] > 0).all()
    assert power["jets"].unique().tolist() == [
        *FLAVOURS,
        *(f"close {f}" for f in FLAVOURS),
        "close",
    ]
    assert (power["smallest_bias"] > 0).all()
    page = (case.folder / "verdict.html").read_text()
    assert "would have found, in nine cases of ten" in page
    assert '<tr class="global">' in page


def test_histograms_have_rows_of_the_truth_where_it_is_known(case: Case) -> None:
    for name in case.config["distributions"]:
        frame = case.table(f"histograms_{name}.parquet")
        filled = ["direct", *(["true"] if case.has_truth else []), "low", "near"]
        assert list(frame["filled_by"].unique()) == filled
        assert frame["ratio"].notna().any() == case.has_truth


def test_a_bin_between_two_points_is_the_rest_of_the_looser_one(case: Case) -> None:
    if not several(case):
        pytest.skip("one working point")
    points = case.table("closure.csv").set_index("distribution")["working_point"]
    assert points[["pt", "eta", "bin"]].groupby(level=0).first().to_dict() == {
        "pt": "loose",
        "eta": "tight",
        "bin": "loose not tight",
    }
    tight, middle = (case.table(f"histograms_{name}.parquet") for name in ("eta", "bin"))
    events, leading = case.jets.leading_jets(1)
    tagged = case.jets.passes()[leading[:, 0]]
    weight = case.jets.weight[events]
    for frame, chosen in ((tight, tagged[:, 1]), (middle, tagged[:, 0] & ~tagged[:, 1])):
        rows = frame[(frame["filled_by"] == "direct") & (frame["events"] == "all")]
        total = rows.loc[rows["spread"] == "raw", "yield"].sum()
        assert total == pytest.approx(weight[chosen].sum())


def test_each_point_has_its_own_calibration_and_scales(case: Case) -> None:
    calibration = case.table("calibration.csv")
    near = calibration[calibration["efficiency"] == "near"]
    inside = (near["predicted"] > near["tagged_low"]) & (near["predicted"] < near["tagged_high"])
    assert inside.mean() > 0.5
    scales = case.table("scales.csv")
    assert len(scales) == 2 * 3 * case.jets.n_points
    if several(case):
        means = near.groupby("working_point")["tagged_fraction"].mean()
        assert means["tight"] < 0.8 * means["loose"]


def test_summaries_have_the_columns_that_can_be_had(case: Case) -> None:
    table = case.table("all_jets.csv")
    of_truth = {"regret", "residual_mean", "residual_rms"}
    of_tags = {"predicted", "tagged_fraction"}
    assert of_truth <= set(table) if case.has_truth else not of_truth & set(table)
    assert not of_tags & set(table) if case.has_truth else of_tags <= set(table)
    assert {"jets", "log_loss", "in_domain"} <= set(table)
    if not case.has_truth:
        row = table[(table["efficiency"] == "near") & (table["flavour"] == "all")].iloc[0]
        assert row["predicted"] == pytest.approx(row["tagged_fraction"], rel=0.05)
    assert (case.table("likelihood.csv")["significance"] >= 0).all()


def test_coverage_is_measured_at_every_point(case: Case) -> None:
    if not case.has_truth:
        pytest.skip("no truth, no coverage")
    numbers, table = case.table("coverage_by_bin.csv"), case.table("coverage.csv")
    assert ("working_point" in numbers) == several(case)
    whole = table[(table["efficiency"] == "near") & (table["of"] == "jets")]
    assert len(whole) == 3 * case.jets.n_points
    assert (whole["within_1"] > 0.9).all()
    assert whole["scale"].notna().all()


def test_weights_of_events_at_every_point(case: Case) -> None:
    table = case.table("weights_near.parquet")
    names = ["p_tag_0", "p_tag_1", "p_tag_2", "p_tag_ge_1", "p_tag_ge_2"]
    suffixes = [f"_{point}" for point in POINTS] if several(case) else [""]
    columns = [f"{name}{suffix}" for suffix in suffixes for name in names]
    assert list(table)[-len(columns) :] == columns
    for suffix in suffixes:
        assert (table[f"p_tag_0{suffix}"] + table[f"p_tag_ge_1{suffix}"]).to_numpy() == (
            pytest.approx(1)
        )
    if not case.has_truth:
        events = case.table("events.parquet")
        origin = ["event", "entry", "run", "luminosity_block", "event_number", "weight"]
        assert list(table)[: len(origin)] == origin
        assert table[origin].equals(events[origin])
        without = events["n_jets"] == 0
        assert (table.loc[without, "p_tag_0_loose"] == 1).all()
        assert (table.loc[without, ["p_tag_1_loose", "p_tag_ge_1_tight"]] == 0).all(axis=None)


def test_samples_are_described(case: Case) -> None:
    table = case.table("samples.csv").set_index("flavour")
    jets = case.jets
    extra = 0 if case.has_truth else WITHOUT_JETS
    assert table.loc["all", "n_events"] == jets.n_events + extra
    assert table.loc["all", "events_without_jets"] == extra
    assert table.loc["all", "sum_of_weights"] == pytest.approx(jets.weight.sum() + 2 * extra)
    assert table.loc["b", "jets"] == (jets.flavour == 5).sum()
    assert table.loc["b", "unscored_outside"] == (0 if case.has_truth else 8)
    name = "tagged_fraction_tight" if several(case) else "tagged_fraction"
    tagged = jets.passes()[:, -1][jets.flavour == 4].mean()
    assert table.loc["c", name] == pytest.approx(tagged)


def test_pages_do_not_speak_of_a_truth_that_there_is_not(case: Case) -> None:
    pages = [(case.folder / name).read_text() for name in ("tables.html", "verdict.html")]
    for page in pages:
        assert bool(re.search(r"\btruth\b|>true<", page)) == case.has_truth
    # Samples come first.
    assert re.findall("<h2>(.*?)</h2>", pages[0])[0] == "Samples"
    assert ("<th>working_point</th>" in pages[1]) == several(case)
    assert "cannot be told" not in pages[1]


# ---- figures


def files_of(case: Case, entry: FigureEntry) -> dict[str, Any]:
    """Return what a figure is made from, as the rule gives it."""
    names = case.predictions
    known = {
        "samples": {"test": [case.path("jets.parquet")]},
        "predictions": {"test": {name: files[0] for name, files in names.items()}},
        "replicas": {"test": {name: files[1] for name, files in names.items()}},
        "scales": case.path("scales.csv"),
        "calibration": case.path("calibration.csv"),
        "coverage": case.path("coverage_by_bin.csv"),
    }
    files = {name: known[name] for name in entry.inputs if name in known}
    for name in entry.inputs_of("histograms"):
        files[f"histograms:{name}"] = case.path(f"histograms_{name}.parquet")
    for name in entry.inputs_of("cells"):
        files[f"cells:{name}"] = case.path(f"cells_{name}.parquet")
    return files


@pytest.mark.slow(seconds=15)
def test_every_figure_is_drawn(case: Case) -> None:
    figures = figures_of(case.config)
    of_distributions = [f"closure_{name}" for name in case.config["distributions"]]
    of_distributions.append("cells_test")
    expected = ["fig1", "fig2", *of_distributions, "calibration"]
    if case.has_truth:
        studies = ["learning_curve", "repeated"]
        expected = ["fig1", "fig2", "fig3", *of_distributions, "calibration", "coverage", *studies]
    assert list(figures) == expected
    for name, entry in figures.items():
        if name in ("fig3", "learning_curve", "repeated"):
            continue
        numbers = case.path(f"{name}.csv")
        case.run(
            "figure_numbers",
            [numbers],
            wildcards={"figure": name},
            numbers=entry.numbers,
            files=files_of(case, entry),
            flavours=FLAVOURS,
            options=options_of(entry, case.config),
            truth=None,
        )
        case.run(
            "draw_figure",
            [case.path(f"{name}.png")],
            [numbers],
            {"figure": name},
            drawing=entry.drawing,
            columns=entry.columns,
            caption=entry.caption,
            context=drawing_options(case.config),
        )
        if not case.has_truth:
            assert not re.search(r"\b(truth|true)\b", entry.caption), name
            frame = pd.read_csv(numbers)
            assert "true" not in set(frame.get("filled_by", [])), name


# ---- predictions


@pytest.fixture
def two(few: Jets) -> tuple[Jets, Prediction]:
    """Jets with two working points, and a prediction with replicas."""
    jets = with_points(few, 2, True)
    return jets, predict(Near(jets.efficiency_true, POINTS), jets)


def test_a_prediction_of_two_points_comes_back_from_its_files(
    two: tuple[Jets, Prediction], tmp_path: Path
) -> None:
    jets, prediction = two
    paths = tmp_path / "p.parquet", tmp_path / "r.parquet"
    write_prediction(prediction, paths[0], {})
    write_replicas(prediction, paths[1], {})
    frame = pd.read_parquet(paths[0])
    assert list(frame) == [
        *("event", "efficiency_loose", "efficiency_tight"),
        *("efficiency_std_loose", "efficiency_std_tight"),
    ]
    assert list(pd.read_parquet(paths[1]))[:3] == [
        *("difference_0_loose", "difference_0_tight", "difference_1_loose"),
    ]
    again = read_prediction(*paths)
    assert again.points == POINTS
    np.testing.assert_array_equal(again.values, prediction.values)
    np.testing.assert_allclose(again.replicas, prediction.replicas, atol=1e-6)
    assert again.replicas.shape == (8, jets.n_jets, 2)
    assert again.std.shape == (jets.n_jets, 2)
    assert again.digest() == prediction.digest()
    renamed = replace(prediction, points=("loose", "medium"))
    assert renamed.digest() != prediction.digest()
    for point, column in (("loose", 0), ("tight", 1), (None, 0)):
        found = again.of_point(jets, point).values
        np.testing.assert_array_equal(found, prediction.values[:, column])
    found = again.of_point(jets, "loose", "tight").values
    np.testing.assert_array_equal(found, prediction.values[:, 0] - prediction.values[:, 1])


def test_a_prediction_at_one_point(two: tuple[Jets, Prediction]) -> None:
    jets, prediction = two
    tight = prediction.at_point("tight")
    assert tight.points == ("tight",)
    assert tight.at_point() is tight
    assert tight.at_point("tight") is tight
    np.testing.assert_array_equal(tight.values, prediction.values[:, 1])
    np.testing.assert_array_equal(tight.replicas, prediction.replicas[..., 1])
    middle = prediction.at_point(below="tight")
    assert middle.points == ("loose not tight",)
    assert (middle.values >= 0).all()
    assert (middle.replicas >= 0).all()
    view, found = at_point(jets, {"near": prediction}, "loose", "tight")
    assert view.is_tagged.tolist() == (jets.tag_bin == 1).tolist()
    np.testing.assert_array_equal(found["near"].values, middle.values)
    np.testing.assert_allclose(view.efficiency_true, middle.values, rtol=1e-12)
    assert found["near"].efficiency(view).shape == (jets.n_jets,)


def test_points_that_are_not_there_are_refused(two: tuple[Jets, Prediction]) -> None:
    jets, prediction = two
    with pytest.raises(DataError, match="there is no working point 'medium'; there are loose, ti"):
        prediction.at_point("medium")
    with pytest.raises(DataError, match="'loose' is not tighter than 'tight'; exchange them"):
        prediction.at_point("tight", below="loose")
    with pytest.raises(DataError, match="'tight' is not tighter than 'tight'"):
        prediction.at_point("tight", below="tight")
    one = Prediction(prediction.event, prediction.values[:, 0])
    with pytest.raises(DataError, match="the efficiency 'map': there is no working point 'loose'"):
        at_point(jets, {"map": one})
    other = replace(prediction, points=("loose", "medium"))
    with pytest.raises(DataError, match="for the working points loose, medium; the jets have loo"):
        other.aligned_to(jets)
    # Where both know one point only, it needs no name.
    view = jets.at_point("tight")
    assert at_point(view, {"map": one})[1]["map"] is one


def test_efficiencies_that_cross_are_refused(two: tuple[Jets, Prediction], tmp_path: Path) -> None:
    jets, prediction = two
    crossing = prediction.values.copy()
    crossing[3, 1] = crossing[3, 0] + 1e-3
    message = r"of jet 3 is .* at the working point 'tight' and .* at the looser 'loose' \(1 such"
    with pytest.raises(DataError, match=message):
        predict(Near(crossing, POINTS), jets)
    path = tmp_path / "p.parquet"
    wrong = Prediction(prediction.event, crossing, points=POINTS)
    with pytest.raises(DataError, match=rf"p\.parquet: the efficiency {message}"):
        write_prediction(wrong, path, {})
    replicas = prediction.replicas.copy()
    replicas[2] = crossing
    with pytest.raises(DataError, match=rf"replica 2: the efficiency {message}"):
        write_replicas(replace(prediction, replicas=replicas), path, {})
    frame = pd.DataFrame({"event": prediction.event})
    frame["efficiency_loose"], frame["efficiency_tight"] = crossing.T
    write_frame(frame, path, {"points": list(POINTS)})
    with pytest.raises(DataError, match=rf"p\.parquet: the efficiency {message}"):
        read_prediction(path)
    # Rounding to single precision is no crossing.
    rounded = np.column_stack([prediction.values[:, 0]] * 2)
    rounded[:, 1] = np.minimum(rounded[:, 1] + 1e-8, 1)
    assert predict(Near(rounded, POINTS), jets).at_point(below="tight").values.max() == 0


def test_efficiencies_of_other_shapes_are_refused(two: tuple[Jets, Prediction]) -> None:
    jets, prediction = two
    n = jets.n_jets
    with pytest.raises(DataError, match=r"for each of the working points loose, tight, \(\d+, 2\)"):
        predict(Near(prediction.values[:, 0], POINTS), jets)
    with pytest.raises(DataError, match=rf"a row for each replica, \(n_replicas, {n}, 2\)"):
        replace(prediction, replicas=prediction.replicas[..., 0])
    with pytest.raises(DataError, match=r"of jet 0 at the working point 'tight' is 1.5"):
        values = prediction.values.copy()
        values[0, 1] = 1.5
        write_prediction(replace(prediction, values=values), "nowhere.parquet", {})
    # An efficiency without names takes those of the jets.
    unnamed = Near(prediction.values, ())
    assert predict(unnamed, jets).points == POINTS


def test_too_few_events_are_said_first() -> None:
    verdicts = pd.DataFrame(
        {
            "sample": ["data", "data", "toy"],
            "distribution": ["pt", "ht", "pt"],
            "working_point": ["loose", "loose", np.nan],
            "panel": "all",
            "events": "all",
            "map": ["too few events", "too few events", "closes"],
            "gnn": ["too few events", np.nan, "too few events"],
        }
    )
    samples = pd.DataFrame(
        {
            "sample": ["data", "data", "toy"],
            "flavour": ["all", "b", "all"],
            "effective_events": [14.56, 3.0, 500.0],
        }
    )
    warnings = too_few_events(verdicts, samples, 10.0)
    said = "of data cannot be told: 14.6 effective events are too few to tell."
    assert warnings == [f"Whether weighting reproduces the tags {said}"]
    assert len(too_few_events(verdicts, samples, 1000.0)) == 2
    assert "there are too few events." in too_few_events(verdicts, None, 10.0)[0]
    page = verdict_page(verdicts, warnings)
    assert page.index("14.6 effective events") < page.index("<table>")
    assert "<td>toy</td><td>pt</td><td></td><td>all</td>" in page
