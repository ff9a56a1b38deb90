"""The catalogue of figures, their numbers, and that each is drawn with labels and units."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from conftest import make_jets
from truthtag.data.files import write_frame
from truthtag.data.jets import Jets, write_jets
from truthtag.data.kinematics import delta_r
from truthtag.data.neighbours import nearest_jet
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.network.file import save_network
from truthtag.estimators.network.learned_factors import read_factors
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.network.options import Architecture
from truthtag.estimators.prediction_files import write_prediction, write_replicas
from truthtag.estimators.predictions import Prediction, replica_std
from truthtag.figures import catalogue
from truthtag.figures.catalogue import figures_of, options_of, samples_of
from truthtag.figures.catalogue import standard_figures as standard
from truthtag.figures.inputs import Inputs, read_inputs
from truthtag.figures.labels import DistributionLabel, DrawingContext, drawing_options, pair_name
from truthtag.figures.plots.cells import draw_cells
from truthtag.figures.plots.drawing import draw_figure, shown_rows
from truthtag.figures.plots.style import save_figure
from truthtag.figures.tables import read_numbers, read_rows
from truthtag.statistics.coverage import calibration, coverage, coverage_table
from truthtag.statistics.distributions import Distribution, dijet, fill_distribution
from truthtag.statistics.spread import spread_scales
from truthtag.toy.truth import Truth

FLAVOURS = {"b": 5, "c": 4, "light": 0}
NAMES = list(FLAVOURS)
SCALES = {"map": {5: 2.0, 4: 1.0, 0: 0.5}, "nearly": {5: 1.5}, "alone": {}}
MINIMUM_EVENTS = 10
NETWORK = {"kind": "network", "architecture": {"kind": "graph"}}
CONFIG: dict[str, Any] = {
    "flavours": FLAVOURS,
    "generators": {"multijet": {"kind": "multijet"}, "boson": {"kind": "boson"}},
    "samples": {
        "train": {"generator": "multijet"},
        "validation": {"generator": "multijet"},
        "test": {"generator": "multijet"},
        "boson": {"generator": "boson"},
    },
    "roles": {"train": ["train"], "validation": ["validation"], "judged": ["test", "boson"]},
    "truth": {"kind": "neighbour_product"},
    "estimators": {
        "map": {"kind": "binned"},
        "nearly": NETWORK,
        "alone": {"kind": "network", "architecture": {"kind": "factorised"}},
    },
    "distributions": {
        "delta_r": {
            "sample": "test",
            "observable": "delta_r",
            "tagged": [1],
            "axis": {"bins": 30, "low": 0.0, "high": 3.0},
            "split": "none",
            "title": "Delta R, leading jet tagged",
        },
        "m_jj": {
            "sample": "test",
            "observable": "m_jj",
            "tagged": [1, 2],
            "axis": {"bins": 20, "low": 0.0, "high": 800.0},
            "split": "flavour",
        },
        "boson_delta_r": {
            "sample": "boson",
            "observable": "delta_r",
            "tagged": [1, 2],
            "axis": {"bins": 25, "low": 0.0, "high": 1.25},
            "split": "none",
        },
        "boson_m_jj": {
            "sample": "boson",
            "observable": "m_jj",
            "tagged": [1, 2],
            "axis": {"bins": 25, "low": 50.0, "high": 130.0},
            "split": "none",
        },
        "boson_wide": {
            "sample": "boson",
            "observable": "m_jj",
            "tagged": [1, 2],
            "axis": {"bins": 5, "low": 50.0, "high": 130.0},
            "split": "none",
            "title": "Mass of the boson in wide bins",
        },
    },
    "figures": {
        "remark": "",
        "weighting_flavours": ["c", "c"],
        "factor_probe": {"pt": 100.0, "eta": 0.0, "flavour": "b"},
        "calibration_bins": 12,
        "axes": {
            "residual": {"bins": 60, "low": -1.0, "high": 1.0},
            "delta_r": {"bins": 30, "low": 0.0, "high": 3.0},
            "m_jj_wide": {"bins": 16, "low": 0.0, "high": 800.0},
            "pt": {"bins": 15, "low": 0.0, "high": 600.0},
            "pt_fine": {"bins": 58, "low": 20.0, "high": 600.0},
            "eta_fine": {"bins": 50, "low": -2.5, "high": 2.5},
        },
    },
}
COVERAGE_AXES = {"pt": np.linspace(0, 600, 7), "delta_r": np.linspace(0, 3, 11)}
CONTEXT = DrawingContext.from_options(drawing_options(CONFIG))
FIGURES = figures_of(CONFIG)
JUDGED_FIGURES = ["fig1", "fig2", "fig3", "fig6", "fig7", "fig8", "calibration", "coverage"]


@dataclass(frozen=True)
class Run:
    """What a run has made: samples, predictions with replicas as they are, and domains."""

    samples: Mapping[str, Jets]
    predictions: Mapping[str, Mapping[str, Prediction]]
    domains: Mapping[str, np.ndarray]
    truth: Truth

    def inputs(self, name: str) -> Inputs:
        """Return what a figure asks for."""
        entry = FIGURES[name]
        kinds = {sample: self.predictions[sample] for sample in entry.samples}
        return Inputs(
            flavours=FLAVOURS,
            options=options_of(entry, CONFIG),
            samples={sample: self.samples[sample] for sample in entry.samples},
            predictions=kinds,
            domains=self.domains,
            scales=SCALES,
            histograms={of: self.histograms(of) for of in entry.inputs_of("histograms")},
            tables={
                "calibration": self.calibration() if name == "calibration" else pd.DataFrame(),
                "coverage": self.coverage() if name == "coverage" else pd.DataFrame(),
            },
            truth=self.truth,
        )

    def histograms(self, distribution: str) -> pd.DataFrame:
        """Fill the histograms of a distribution, as the workflow does."""
        options = CONFIG["distributions"][distribution]
        sample = options["sample"]
        return fill_distribution(
            Distribution.from_options(distribution, options),
            self.samples[sample],
            self.predictions[sample],
            self.domains[sample],
            FLAVOURS,
            SCALES,
        )

    def calibration(self) -> pd.DataFrame:
        values = {name: one.values for name, one in self.predictions["test"].items()}
        bins = CONFIG["figures"]["calibration_bins"]
        return calibration(self.samples["test"], values, FLAVOURS, bins)

    def coverage(self, minimum: float = MINIMUM_EVENTS) -> pd.DataFrame:
        """Compute the coverage of the test sample, as the workflow does."""
        histograms = pd.concat([self.histograms(name) for name in ("delta_r", "m_jj")])
        return coverage(
            self.samples["test"],
            self.predictions["test"],
            self.domains["test"],
            FLAVOURS,
            COVERAGE_AXES,
            SCALES,
            histograms,
            minimum,
        )


def compute(run: Run, name: str) -> pd.DataFrame:
    """Compute the numbers of a figure."""
    return FIGURES[name].load_numbers()(run.inputs(name))


def draw(name: str, frame: pd.DataFrame, context: DrawingContext = CONTEXT) -> Figure:
    """Draw a figure of the catalogue."""
    return draw_figure(FIGURES[name].drawing, frame, context)


def binned_map(jets: Jets, weight: np.ndarray) -> Callable[[Jets], np.ndarray]:
    """Fit the tagged fraction in bins of pT and eta, per flavour, with a weight per event."""
    pt_edges = np.linspace(20, 600, 20)
    eta_edges = np.linspace(-2.5, 2.5, 11)

    def place(of: Jets) -> tuple[np.ndarray, ...]:
        pt = np.clip(np.searchsorted(pt_edges, of.pt, side="right") - 1, 0, 18)
        eta = np.clip(np.searchsorted(eta_edges, of.eta, side="right") - 1, 0, 9)
        return np.searchsorted([0, 4, 5], of.flavour), pt, eta

    per_jet = weight[jets.event_of_jet]
    tagged = np.zeros((3, 19, 10))
    total = np.zeros((3, 19, 10))
    np.add.at(tagged, place(jets), per_jet * jets.is_tagged)
    np.add.at(total, place(jets), per_jet)
    table = tagged / np.maximum(total, 1e-9)
    return lambda of: table[place(of)]


@pytest.fixture(scope="module")
def run(sample: Jets, boson_sample: Jets, truth: Truth) -> Run:
    """A map with replicas, what is nearly the truth with others of its own, and without any."""
    rng = np.random.default_rng(8)
    factors = 1 + 0.01 * rng.normal(size=(6, 1))
    fitted = binned_map(sample, np.ones(sample.n_events))
    resampled = [binned_map(sample, rng.poisson(1.0, sample.n_events)) for _ in range(4)]
    samples = {"test": sample, "boson": boson_sample}
    predictions = {}
    domains = {}
    for name, jets in samples.items():
        event = jets.per_jet("event")
        nearly = np.clip(truth.efficiency(jets) * 1.01, 0, 1)
        replicas = np.stack([one(jets) for one in resampled]).astype(np.float32)
        predictions[name] = {
            "map": Prediction(event, fitted(jets), replicas),
            "nearly": Prediction(event, nearly, (nearly * factors).astype(np.float32)),
            "alone": Prediction(event, nearly),
        }
        domains[name] = np.asarray(jets.pt < 400)
    return Run(samples, predictions, domains, truth)


@pytest.fixture(scope="module")
def numbers(run: Run) -> dict[str, pd.DataFrame]:
    names = [*JUDGED_FIGURES, "closure_boson_wide"]
    return {name: compute(run, name) for name in names}


def test_the_catalogue_holds_every_figure_of_a_run() -> None:
    assert list(FIGURES) == [
        *("fig1", "fig2", "fig3", "fig6", "fig7", "fig8", "closure_boson_wide"),
        *("cells_test", "cells_boson"),
        *("calibration", "coverage", "fig3_alone", "training"),
        *("learning_curve", "training_cost", "repeated"),
    ]
    studies = ["learning_curve", "training_cost", "repeated"]
    assert standard(CONFIG) == [name for name in FIGURES if name not in studies]
    for name, entry in FIGURES.items():
        assert entry.name == name
        assert callable(entry.load_numbers())
        assert callable(entry.load_drawing())
        assert entry.load_numbers().__module__ == entry.numbers_module
        assert entry.load_drawing().__module__ == entry.drawing_module
        assert entry.title
        # A caption is text for a page: no markup is left open, no sentence without its end.
        assert entry.caption.endswith(".")
        assert entry.columns
        assert len(set(entry.inputs)) == len(entry.inputs)
        assert set(entry.samples) <= set(CONFIG["samples"])


def test_a_run_without_networks_or_distributions_has_fewer_figures() -> None:
    config = {
        **CONFIG,
        "estimators": {"map": {"kind": "binned"}},
        "distributions": {},
        "truth": None,
    }
    assert list(figures_of(config)) == [
        *("fig1", "fig2", "cells_test", "cells_boson"),
        *("calibration", "coverage", "learning_curve", "repeated"),
    ]


def test_samples_are_found_by_their_role() -> None:
    assert FIGURES["fig1"].samples == ("test",)
    assert FIGURES["fig2"].samples == ("test", "boson")
    assert samples_of(FIGURES["fig6"], CONFIG) == ["test"]
    assert samples_of(FIGURES["fig8"], CONFIG) == ["boson"]
    assert samples_of(FIGURES["fig3"], CONFIG) == []
    roles = {**CONFIG["roles"], "judged": ["boson"]}
    assert figures_of({**CONFIG, "roles": roles})["fig1"].samples == ("boson",)


def test_a_figure_depends_on_its_own_options_only() -> None:
    options = options_of(FIGURES["fig1"], CONFIG)
    assert options == {
        "weighting_flavours": ["c", "c"],
        "axes": {"m_jj_wide": CONFIG["figures"]["axes"]["m_jj_wide"]},
    }
    assert options_of(FIGURES["fig7"], CONFIG) == {}


def test_every_declared_distribution_is_in_a_figure() -> None:
    shown = [of for entry in FIGURES.values() for of in entry.inputs_of("histograms")]
    assert sorted(shown) == sorted(CONFIG["distributions"])
    own = FIGURES["closure_boson_wide"]
    assert own.title == "Mass of the boson in wide bins"
    assert "Mass of the boson in wide bins, sample boson" in own.caption
    assert "pair of flavours" not in own.caption
    split = {**CONFIG["distributions"]["m_jj"], "observable": "pt_1"}
    distributions = {**CONFIG["distributions"], "leading_pt": split}
    added = figures_of({**CONFIG, "distributions": distributions})["closure_leading_pt"]
    assert added.title == "leading_pt"
    assert "pair of flavours" in added.caption


def test_figures_about_the_truth_need_one() -> None:
    about = [name for name, entry in FIGURES.items() if entry.needs_truth]
    studies = ["learning_curve", "training_cost", "repeated"]
    assert about == ["fig3", "fig6", "coverage", "fig3_alone", *studies]
    read = {name: {"reader": "mine", "generator": None} for name in CONFIG["samples"]}
    # What an earlier config left of the toy changes nothing.
    config = {**CONFIG, "samples": read, "readers": {"mine": {"columns": {"pt": "Jet_pt"}}}}
    own = [f"closure_{name}" for name in CONFIG["distributions"]]
    assert list(figures_of(config)) == [
        *("fig1", "fig2", *own, "cells_test", "cells_boson", "calibration", "training")
    ]
    assert standard(config) == list(figures_of(config))
    for name, entry in figures_of(config).items():
        assert "true" not in entry.caption.replace("true efficiency of the toy", ""), name
        assert "truth" not in entry.caption, name
    assert list(figures_of({**config, "truth": None, "generators": {}})) == list(figures_of(config))
    # A sample that is read can have a truth of its own; the form of the toy's says nothing of it.
    columns = {"efficiency_true_loose": "eff"}
    known = figures_of({**config, "readers": {"mine": {"columns": columns}}})
    assert {"coverage", "learning_curve"} <= set(known)
    assert not {"fig3", "fig3_alone", "fig6"} & set(known)
    assert "truth" in known["closure_delta_r"].caption
    # Only the samples that a figure shows count.
    mixed = {**CONFIG, "samples": {**CONFIG["samples"], "boson": read["boson"]}}
    assert {"fig3", "fig6", "coverage"} <= set(figures_of({**mixed, "readers": {}}))
    assert "closure_boson_m_jj" in figures_of(mixed)


OUTSIDE = """
from matplotlib.figure import Figure
from truthtag.figures.catalogue import FigureEntry
import pandas as pd

def numbers(inputs):
    rows = [{"sample": name, "jets": jets.n_jets} for name, jets in inputs.samples.items()]
    return pd.DataFrame(rows)

def draw(frame, context):
    figure = Figure()
    axes = figure.subplots()
    axes.bar([context.sample(name) for name in frame["sample"]], frame["jets"])
    return figure

ENTRY = FigureEntry(
    "counts", "numbers of jets", "How many jets there are.", f"{__name__}:numbers",
    f"{__name__}:draw", inputs=("samples",), samples=("judged",), columns=("sample", "jets"),
)
ODD = FigureEntry(**{**vars(ENTRY), "samples": ("nowhere",)})
LOST = FigureEntry(**{**vars(ENTRY), "inputs": ("histograms:m_j",)})
TWICE = FigureEntry(**{**vars(ENTRY), "name": "fig1"})
"""


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of someone else with a figure."""
    (tmp_path / "their_figures.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "their_figures"
    sys.modules.pop("their_figures", None)


def with_extra(*places: str) -> dict[str, Any]:
    return {**CONFIG, "figures": {**CONFIG["figures"], "extra": list(places)}}


def test_a_figure_from_outside_is_made_like_any_other(
    outside: str, run: Run, tmp_path: Path
) -> None:
    config = with_extra(f"{outside}:ENTRY")
    entry = figures_of(config)["counts"]
    assert entry.samples == ("test", "boson")
    assert "counts" in standard(config)
    for name, jets in run.samples.items():
        write_jets([jets], tmp_path / f"{name}.parquet", {})
    files = {"samples": {name: [str(tmp_path / f"{name}.parquet")] for name in run.samples}}
    inputs = read_inputs(files, FLAVOURS, options_of(entry, config))
    frame = entry.load_numbers()(inputs)
    assert frame["jets"].tolist() == [jets.n_jets for jets in run.samples.values()]
    write_frame(frame, tmp_path / "counts.csv")
    figure = draw_figure(
        entry.drawing, read_numbers(tmp_path / "counts.csv", entry.columns), CONTEXT
    )
    ticks = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert ticks == ["multijet", "boosted boson"]


def test_a_package_can_bring_a_figure(outside: str, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = replace(catalogue.EXTRA_FIGURES, entries={"counts": f"{outside}:ENTRY"})
    monkeypatch.setattr(catalogue, "EXTRA_FIGURES", registry)
    assert list(figures_of(CONFIG))[-1] == "counts"


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("{}:MISSING", "figures.extra.0: '{}:MISSING' cannot be loaded"),
        ("no_such_module:ENTRY", "figures.extra.0: 'no_such_module:ENTRY' cannot be loaded"),
        ("counts", "figures.extra.0: 'counts' is not a figure"),
        ("{}:numbers", "is of type function; it must be a truthtag.figures FigureEntry"),
        ("{}:TWICE", "there is a figure 'fig1' already; give it another name"),
        ("{}:ODD", "needs the sample 'nowhere', which is neither a role nor a sample"),
        ("{}:LOST", "needs histograms:m_j, and distributions has no 'm_j'.*Did you mean 'm_jj'"),
    ],
)
def test_a_figure_from_outside_that_does_not_fit_is_refused(
    place: str, text: str, outside: str
) -> None:
    with pytest.raises(ConfigError, match=text.replace("{}", outside)):
        figures_of(with_extra(place.replace("{}", outside)))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"name": "my figure"}, "use letters, digits and underscores"),
        ({"caption": " "}, "has no caption"),
        ({"numbers": "numbers.py"}, "'numbers.py' does not say where a function is"),
        ({"inputs": ("sample",)}, "'sample' is not an input.*Did you mean 'samples'"),
        ({"inputs": ("histograms",)}, "'histograms' is not an input"),
        ({"inputs": ("members:",)}, "'members:' is not an input"),
        ({"inputs": ("samples:test",)}, "'samples:test' is not an input"),
    ],
)
def test_an_entry_that_could_only_fail_later_is_refused(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        replace(FIGURES["fig1"], **change)


def test_labels_come_from_the_config() -> None:
    assert CONTEXT.samples["test"] == "multijet"
    assert CONTEXT.sample("boson") == "boosted boson"
    assert CONTEXT.sample("unknown") == "unknown"
    assert CONTEXT.trained_on == "multijet"
    assert CONTEXT.origin == "toy simulation"
    assert CONTEXT.shown == CONTEXT.known == ["map", "nearly", "alone"]
    assert CONTEXT.distribution("delta_r").text("all") == "leading jet tagged"
    assert CONTEXT.distribution("m_jj").text("b-c") == "$b$ + $c$ jets, both tagged"
    boson = CONTEXT.distribution("boson_m_jj")
    assert boson.text("all") == "boosted boson, both tagged\nnot in the training sample"
    assert boson.axis == r"$m_{j_1 j_2}$ [GeV]"
    assert CONTEXT.distribution("unknown").axis == "unknown"
    assert pair_name("b-light") == "$b$ + light"


@pytest.mark.parametrize(
    ("observable", "label"),
    [
        ("pt_1", r"$p_\mathrm{T}$ of jet 1 [GeV]"),
        ("eta_2", r"$\eta$ of jet 2"),
        ("missing_energy", "missing energy"),
        ("n_jets", "n jets"),
        ("n_tracks_2", "n tracks of jet 2"),
        ("score_1", "score of jet 1"),
        ("their.module:ht", "ht"),
    ],
)
def test_observables_have_labels(observable: str, label: str) -> None:
    options = {"sample": "test", "observable": observable, "tagged": [2], "split": "none"}
    config = {**CONFIG, "distributions": {"own": options}}
    context = DrawingContext.from_options(drawing_options(config))
    assert context.distribution("own") == DistributionLabel("own", label, "jet 2 tagged")


def test_labels_say_the_working_point() -> None:
    options = {**CONFIG["distributions"]["m_jj"], "working_point": "tight"}
    between = {**CONFIG["distributions"]["delta_r"], "below": "tight"}
    config = {**CONFIG, "distributions": {"one": options, "two": between}}
    context = DrawingContext.from_options(drawing_options(config))
    assert context.distribution("one").tagged == "both tagged at tight"
    assert context.distribution("two").text("all") == "leading tagged, not at tight"


def test_samples_of_an_experiment_are_not_called_a_toy() -> None:
    samples = {**CONFIG["samples"], "test": {"files": ["ttbar.root"]}, "boson": {"title": "Z"}}
    context = DrawingContext.from_options(drawing_options({**CONFIG, "samples": samples}))
    assert context.origin == "simulation"
    assert context.samples["test"] == "test"
    assert context.samples["boson"] == "Z"


def test_samples_of_one_generator_are_told_apart() -> None:
    samples = {**CONFIG["samples"], "other": {"generator": "boson"}}
    roles = {**CONFIG["roles"], "judged": ["test", "boson", "other"]}
    config = {**CONFIG, "samples": samples, "roles": roles}
    context = DrawingContext.from_options(drawing_options(config))
    assert context.samples["boson"] == "boosted boson (boson)"
    assert context.samples["other"] == "boosted boson (other)"
    assert context.samples["test"] == "multijet"


def test_inputs_are_read_from_files(run: Run, tmp_path: Path) -> None:
    """Everything that a run writes, read as Figure 1 and 6 ask for it."""
    jets = run.samples["test"]
    write_jets([jets], tmp_path / "test.parquet", {})
    predictions = {}
    replicas = {}
    for name in ("map", "nearly"):
        one = run.predictions["test"][name]
        predictions[name] = str(tmp_path / f"{name}.parquet")
        replicas[name] = str(tmp_path / f"{name}.replicas.parquet")
        write_prediction(one, predictions[name], {})
        write_replicas(one, replicas[name], {})
    rows = [
        {"efficiency": name, "flavour": "b", "number": 5, "scale": SCALES[name][5]}
        for name in predictions
    ]
    write_frame(pd.DataFrame(rows), tmp_path / "scales.csv")
    write_frame(run.histograms("delta_r"), tmp_path / "delta_r.parquet")
    files = {
        "samples": {"test": [str(tmp_path / "test.parquet")]},
        "predictions": {"test": predictions},
        "replicas": {"test": replicas},
        "scales": str(tmp_path / "scales.csv"),
        "histograms:delta_r": str(tmp_path / "delta_r.parquet"),
    }
    entry = FIGURES["fig1"]
    wanted = {name: files[name] for name in entry.inputs}
    inputs = read_inputs(wanted, FLAVOURS, options_of(entry, CONFIG))
    assert inputs.scales == {"map": {5: 2.0}, "nearly": {5: 1.5}}
    assert inputs.predictions["test"]["map"].replicas.shape == (4, jets.n_jets)
    frame = entry.load_numbers()(inputs)
    assert set(frame["filled_by"]) == {"generated", "direct", "true", "map", "nearly"}
    entry = FIGURES["fig6"]
    wanted = {name: files[name] for name in entry.inputs}
    inputs = read_inputs(wanted, FLAVOURS, options_of(entry, CONFIG))
    # Residuals need no replicas, which are most of the memory.
    assert inputs.predictions["test"]["map"].replicas is None
    assert list(inputs.histograms) == ["delta_r"]
    assert inputs.truth is None
    frame = entry.load_numbers()(inputs)
    assert list(frame["panel"].unique()) == ["residual", "all"]


def test_predictions_of_another_sample_are_refused(run: Run, tmp_path: Path) -> None:
    write_jets([run.samples["boson"]], tmp_path / "boson.parquet", {})
    write_prediction(run.predictions["test"]["alone"], tmp_path / "alone.parquet", {})
    files = {
        "samples": {"test": [str(tmp_path / "boson.parquet")]},
        "predictions": {"test": {"alone": str(tmp_path / "alone.parquet")}},
    }
    inputs = read_inputs(files, FLAVOURS, {})
    for read in (lambda: inputs.predictions["test"], lambda: list(inputs.in_blocks("test"))):
        with pytest.raises(DataError, match=r"alone\.parquet|Predict again"):
            read()


def test_tables_are_joined_and_damage_is_named(tmp_path: Path) -> None:
    for number, seeds in enumerate(("", "3")):
        (tmp_path / f"{number}.csv").write_text(f"events,seeds\n{number},{seeds}\n")
    table = read_rows([tmp_path / "0.csv", tmp_path / "1.csv"])
    assert table["events"].tolist() == [0, 1]
    assert table["seeds"].isna().tolist() == [True, False]
    assert table["seeds"].iloc[1] == 3
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DataError, match=r"empty.csv: cannot be read as a table .*make it again"):
        read_rows(tmp_path / "empty.csv")
    (tmp_path / "torn.csv").write_text("a,b\n1,2\n1,2,3,4\n")
    with pytest.raises(DataError, match=r"torn.csv: cannot be read as a table"):
        read_rows(tmp_path / "torn.csv")
    (tmp_path / "noise.csv").write_bytes(bytes(range(128, 256)))
    with pytest.raises(DataError, match=r"noise.csv: cannot be read as a table"):
        read_rows(tmp_path / "noise.csv")
    with pytest.raises(DataError, match=r"nowhere.csv: cannot be read as a table"):
        read_rows(tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match=r"folder.csv: cannot be read as a table"):
        (tmp_path / "folder.csv").mkdir()
        read_rows(tmp_path / "folder.csv")
    with pytest.raises(DataError, match=r"0.csv: column 'panel' is missing"):
        read_numbers(tmp_path / "0.csv", FIGURES["fig1"].columns)


def test_numbers_without_a_column_are_not_drawn(
    numbers: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    write_frame(numbers["fig8"].drop(columns="ratio_error"), tmp_path / "fig8.csv")
    with pytest.raises(DataError, match=r"fig8.csv: column 'ratio_error' is missing"):
        read_numbers(tmp_path / "fig8.csv", FIGURES["fig8"].columns)


def test_the_columns_of_an_entry_are_those_that_its_numbers_have(
    numbers: dict[str, pd.DataFrame],
) -> None:
    for name, frame in numbers.items():
        assert set(FIGURES[name].columns) <= set(frame.columns), name


def test_the_catalogue_is_cheap_to_import() -> None:
    """Snakemake reads it in every job."""
    heavy = "{'torch', 'pandas', 'scipy', 'matplotlib', 'hist', 'mplhep'}"
    code = f"import sys, truthtag.figures.catalogue; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run(
        [sys.executable, "-c", code], text=True, capture_output=True, check=True
    ).stdout
    assert found.strip() == "[]"


def test_nearest_distance_is_the_smallest() -> None:
    jets = make_jets([1, 2, 5])
    which, nearest = nearest_jet(jets)
    assert np.isinf(nearest[0])
    assert which[0] == -1
    for e in (1, 2):
        members = range(jets.offsets[e], jets.offsets[e + 1])
        for i in members:
            distances = [
                delta_r(jets.eta[i], jets.phi[i], jets.eta[j], jets.phi[j])
                for j in members
                if j != i
            ]
            assert nearest[i] == pytest.approx(min(distances))
            assert jets.event_of_jet[which[i]] == e != 0
            assert which[i] != i


def test_corrected_inputs_have_the_spread_that_the_scales_say(run: Run) -> None:
    inputs = replace(run.inputs("fig2"), scales=SCALES)
    corrected = inputs.corrected()
    assert corrected.samples is inputs.samples
    for sample, jets in inputs.samples.items():
        before = inputs.predictions[sample]
        after = corrected.predictions[sample]
        assert list(after) == list(before)
        assert after["alone"].replicas is None
        for name in ("map", "nearly"):
            assert np.array_equal(after[name].values, before[name].values)
            for flavour in inputs.flavours.values():
                # Those that were clipped to [0, 1] have less; some bins of the map have none.
                inside = (after[name].replicas > 0) & (after[name].replicas < 1)
                free = (jets.flavour == flavour) & inside.all(axis=0)
                free &= replica_std(before[name].replicas) > 0
                ratio = (
                    replica_std(after[name].replicas)[free]
                    / replica_std(before[name].replicas)[free]
                )
                assert ratio == pytest.approx(SCALES[name].get(flavour, 1.0), rel=1e-2)
                mean = after[name].replicas[:, free].mean(axis=0)
                np.testing.assert_allclose(mean, after[name].values[free], atol=1e-5)


def test_a_scale_of_every_efficiency_is_what_the_tags_say(run: Run) -> None:
    """Scales as the workflow measures them, in the form that the figures take them."""
    one = run.predictions["test"]["map"]
    table = spread_scales(run.samples["test"], one, FLAVOURS, 8, 0.3)
    scales = {"map": table.set_index("number")["scale"].to_dict()}
    given = replace(run.inputs("fig1"), predictions={"test": {"map": one}}, scales=scales)
    alone = given.corrected().predictions["test"]["map"]
    assert not np.array_equal(alone.replicas, one.replicas)
    assert np.isfinite(alone.replicas).all()


def test_efficiencies_stand_beside_the_truth_where_it_is_known(run: Run) -> None:
    inputs = run.inputs("fig2")
    assert list(inputs.efficiencies("test")) == ["map", "nearly", "alone"]
    assert list(inputs.with_truth("boson")) == ["true", "map", "nearly", "alone"]
    unknown = {
        name: jets.with_columns(efficiency_true=None) for name, jets in inputs.samples.items()
    }
    assert list(replace(inputs, samples=unknown).with_truth("boson")) == ["map", "nearly", "alone"]


def test_histograms_are_filled_with_all_events_and_with_those_in_the_domain(run: Run) -> None:
    jets = run.samples["test"]
    for distribution, both in (("delta_r", False), ("m_jj", True)):
        frame = run.histograms(distribution)
        assert set(frame["sample"]) == {"test"}
        assert list(frame["events"].unique()) == ["all", "in_domain"]
        every, inside = (
            frame[frame["events"] == events].reset_index() for events in ("all", "in_domain")
        )
        assert every[["filled_by", "low", "high"]].equals(inside[["filled_by", "low", "high"]])
        assert (inside["yield"] <= every["yield"]).all()
        # All jets have to be in the domain; the leading one is the hardest.
        pairs = dijet(jets, {"true": jets.efficiency_true}, both)
        within = jets.pt[pairs.jets[:, 0]] < 400
        entries = pairs.mass if both else pairs.delta_r
        on_axis = (entries.values >= 0) & (entries.values < (800 if both else 3))
        chosen = inside[(inside["filled_by"] == "direct") & (inside["spread"] == "raw")]
        direct = chosen["yield"].sum()
        assert direct == (within & on_axis & entries.passed).sum()
        assert direct < every.loc[chosen.index, "yield"].sum()
    # A jet that need not be tagged is a neighbour of one that must.
    second_out = replace(run, domains={"test": ~np.isin(np.arange(jets.n_jets), pairs.jets[:, 1])})
    for distribution in ("delta_r", "m_jj"):
        frame = second_out.histograms(distribution)
        assert (frame.loc[frame["events"] == "in_domain", "yield"] == 0).all()
        assert (frame.loc[frame["events"] == "all", "yield"] > 0).any()


def test_figures_compare_by_all_events_and_by_the_domain(numbers: dict[str, pd.DataFrame]) -> None:
    for name, sample in (("fig6", "test"), ("fig7", "test"), ("fig8", "boson")):
        frame = numbers[name][numbers[name]["panel"] != "residual"]
        assert set(frame["sample"]) == {sample}
        yields = frame.pivot(
            index=["distribution", "panel", "filled_by", "low"], columns="events", values="yield"
        )
        assert list(yields) == ["all", "in_domain"]
        assert (yields["in_domain"] <= yields["all"]).all()
        assert yields["in_domain"].sum() < yields["all"].sum()
        errors = frame.groupby("filled_by")["efficiency_error"]
        assert errors.count()[["direct", "true", "alone"]].tolist() == [0, 0, 0]
        assert (errors.count()[["map", "nearly"]] == errors.size()[["map", "nearly"]]).all()


def test_closure_figures_show_the_corrected_spread(
    run: Run, numbers: dict[str, pd.DataFrame]
) -> None:
    filled = run.histograms("delta_r")
    shown = numbers["fig6"][numbers["fig6"]["panel"] == "all"].set_index("filled_by")
    of_map = filled[filled["filled_by"] == "map"].set_index("spread")
    for spread_of in ("raw", "corrected"):
        same = np.array_equal(
            shown.loc["map", "efficiency_error"], of_map.loc[spread_of, "efficiency_error"]
        )
        assert same == (spread_of == "corrected")
    assert "spread" not in shown
    wide = numbers["closure_boson_wide"]
    assert set(wide["distribution"]) == {"boson_wide"}
    boson = numbers["fig8"][numbers["fig8"]["distribution"] == "boson_m_jj"]
    keys = ["filled_by", "events"]
    expected = boson.groupby(keys)["yield"].sum()
    assert wide.groupby(keys)["yield"].sum().to_numpy() == pytest.approx(expected.to_numpy())


def test_figure_1_holds_every_event_of_the_pair_once(
    numbers: dict[str, pd.DataFrame], sample: Jets
) -> None:
    frame = numbers["fig1"].set_index("filled_by")
    pair = sample.leading_jets(2).jets
    both_c = (sample.flavour[pair] == 4).all(axis=1)
    assert frame.loc["generated", "yield"].sum() <= both_c.sum()
    # Masses above 800 GeV are outside the axis.
    assert frame.loc["generated", "yield"].sum() > 0.9 * both_c.sum()
    assert (
        frame.loc["direct", "yield"].to_numpy() <= frame.loc["generated", "yield"].to_numpy()
    ).all()
    # What weighting is for: a smaller error in every bin that direct tagging fills.
    filled = frame.loc["direct", "yield"].to_numpy() > 0
    weighted, direct = frame.loc["true"], frame.loc["direct"]
    relative = [(one["error"] / one["yield"]).to_numpy()[filled] for one in (weighted, direct)]
    assert (relative[0] < relative[1]).all()


def test_figure_2_shows_what_is_universal(numbers: dict[str, pd.DataFrame]) -> None:
    frame = numbers["fig2"]
    density = frame[frame["panel"] == "density"]
    for _, rows in density.groupby("sample"):
        assert (rows["value"] * (rows["high"] - rows["low"])).sum() == pytest.approx(1, abs=0.01)
    ratios = frame[(frame["panel"] == "direct_over_predicted") & (frame["filled_by"] == "true")]
    pulls = (ratios["value"] - 1) / ratios["error"]
    assert (pulls**2).sum() < len(pulls) + 5 * np.sqrt(2 * len(pulls))
    fraction = frame[frame["panel"] == "tagged_fraction"]
    assert (fraction["value_low"] <= fraction["value"]).all()
    assert (fraction["value"] <= fraction["value_high"]).all()


def test_figure_2_of_a_sample_without_the_flavour_is_drawn(run: Run, tmp_path: Path) -> None:
    jets = run.samples["test"].first(500)
    light = jets.with_columns(flavour=np.zeros(jets.n_jets, dtype=np.int8), efficiency_true=None)
    inputs = replace(run.inputs("fig2"), samples={"test": light}, predictions={"test": {}})
    figure = draw("fig2", FIGURES["fig2"].load_numbers()(inputs))
    save_figure(figure, tmp_path / "fig2.png")
    # One sample differs from no other.
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert not any("differ" in text or "serve" in text for text in texts)


def test_figure_3_is_the_truth(numbers: dict[str, pd.DataFrame]) -> None:
    frame = numbers["fig3"]
    base = frame[(frame["panel"] == "base") & (frame["flavour"] == "b")]
    assert base["efficiency"].max() == pytest.approx(0.8, rel=1e-3)
    at_zero = frame[(frame["panel"] == "correction") & (frame["delta_r"] == 0)].set_index(
        "flavour"
    )["factor"]
    assert at_zero.to_dict() == pytest.approx({"b": 0.55, "c": 0.7, "light": 0.85})


def test_figure_6_counts_jets_and_weights_events(
    numbers: dict[str, pd.DataFrame], run: Run
) -> None:
    frame, jets = numbers["fig6"], run.samples["test"]
    residual = frame[(frame["panel"] == "residual") & (frame["filled_by"] == "nearly")]
    assert residual["yield"].sum() == jets.n_jets
    assert residual["mean"].iloc[0] == pytest.approx(-0.01)
    frame = frame[frame["events"] == "all"]
    histogram = frame[(frame["panel"] == "all") & (frame["filled_by"] == "true")]
    eff = jets.efficiency_true[jets.offsets[:-1]]
    assert histogram["yield"].sum() == pytest.approx(eff.sum(), rel=0.02)
    ratio = frame[(frame["panel"] == "all") & (frame["filled_by"] == "nearly")]["ratio"]
    assert ratio.to_numpy() == pytest.approx(1.01)
    # The paper's finding about maps: too high where jets are close.
    of_map = frame[(frame["panel"] == "all") & (frame["filled_by"] == "map")]["ratio"].to_numpy()
    assert of_map[1:4].min() > 1.1
    assert of_map[-5:].max() < 1


def test_figure_7_splits_all_events_by_flavour(numbers: dict[str, pd.DataFrame], run: Run) -> None:
    frame, jets = numbers["fig7"][numbers["fig7"]["events"] == "all"], run.samples["test"]
    pair = jets.leading_jets(2).jets
    direct = frame[frame["filled_by"] == "direct"]["yield"].sum()
    assert (
        0.95 * jets.is_tagged[pair].all(axis=1).sum()
        < direct
        <= jets.is_tagged[pair].all(axis=1).sum()
    )
    assert frame["panel"].nunique() == 6


def test_panels_are_in_the_papers_order(numbers: dict[str, pd.DataFrame]) -> None:
    names = ["b-b", "b-c", "b-light", "c-c", "c-light", "light-light"]
    assert list(numbers["fig7"]["panel"].unique()) == names


def test_calibration_is_that_of_test_jets(numbers: dict[str, pd.DataFrame], run: Run) -> None:
    frame, jets = numbers["calibration"], run.samples["test"]
    assert list(frame["efficiency"].unique()) == ["map", "nearly", "alone"]
    assert frame.groupby("efficiency")["jets"].sum().to_dict() == dict.fromkeys(
        ("map", "nearly", "alone"), jets.n_jets
    )
    of_nearly = frame[frame["efficiency"] == "nearly"]
    assert len(of_nearly) == 3 * CONFIG["figures"]["calibration_bins"]
    assert of_nearly["true"].to_numpy() * 1.01 == pytest.approx(of_nearly["predicted"].to_numpy())


def test_coverage_is_that_of_jets_in_the_domain_and_of_all_bins(
    numbers: dict[str, pd.DataFrame], run: Run
) -> None:
    frame, jets = numbers["coverage"], run.samples["test"]
    assert set(frame["efficiency"]) == {"map", "nearly"}
    assert set(frame["variable"]) == {"all", "pt", "delta_r", "histogram bins"}
    whole = frame[(frame["variable"] == "all") & (frame["efficiency"] == "nearly")].set_index(
        ["spread", "flavour"]
    )
    for spread_of in ("raw", "corrected"):
        for flavour, number in FLAVOURS.items():
            row = whole.loc[(spread_of, flavour)]
            assert row["count"] == ((jets.flavour == number) & (jets.pt < 400)).sum()
    # All differences are 1 % of the truth, all spreads nearly so: what is stretched pulls less.
    ratio = whole.loc[("raw", "b"), "pull_rms"] / whole.loc[("corrected", "b"), "pull_rms"]
    assert ratio == pytest.approx(1.5, rel=0.02)
    assert whole.loc[("raw", "c"), "pull_rms"] == pytest.approx(
        whole.loc[("corrected", "c"), "pull_rms"], rel=0.02
    )
    bins = frame[frame["variable"] == "histogram bins"].set_index(["spread", "efficiency"])
    fig6, fig7 = (numbers[name] for name in ("fig6", "fig7"))
    enough = [
        (
            (one["filled_by"] == "map")
            & (one["events"] == "all")
            & (one["difference_variance"] >= 10)
        ).sum()
        for one in (fig6, fig7)
    ]
    assert bins.loc[("raw", "map"), "count"] == sum(enough)


def test_coverage_without_bins_of_enough_events_has_numbers_still(
    run: Run, numbers: dict[str, pd.DataFrame]
) -> None:
    whole = numbers["coverage"]
    expected = whole[whole["variable"] != "histogram bins"].reset_index(drop=True)
    inputs = replace(run.inputs("fig3"), tables={"coverage": run.coverage(1e9)})
    pd.testing.assert_frame_equal(FIGURES["coverage"].load_numbers()(inputs), expected)


def without_spread(run: Run) -> Run:
    """As from a config without maps and with a single network."""
    predictions = {
        sample: {"alone": by_name["alone"]} for sample, by_name in run.predictions.items()
    }
    return replace(run, predictions=predictions)


def test_coverage_of_nothing_is_a_table_and_a_figure_all_the_same(run: Run, tmp_path: Path) -> None:
    write_frame(compute(without_spread(run), "coverage"), tmp_path / "coverage.csv")
    frame = pd.read_csv(tmp_path / "coverage.csv")
    assert frame.empty
    check_figure(draw("coverage", frame), tmp_path / "coverage.png")
    scales = pd.DataFrame(
        {"efficiency": ["alone"], "flavour": "b", "scale": [1.0], "error": [np.inf]}
    )
    assert coverage_table(frame, scales).empty


def test_efficiencies_of_zero_are_drawn(run: Run, tmp_path: Path) -> None:
    """A map of few events has bins in which no jet is tagged."""
    jets = run.samples["test"].first(300)
    efficiency = run.predictions["test"]["map"].values
    zero = np.where(jets.flavour == 0, 0.0, efficiency[: jets.n_jets])
    some = np.where((jets.flavour == 4) & (jets.pt < 150), 0.0, zero)
    event = jets.per_jet("event")
    given = replace(
        run, samples={"test": jets}, predictions={"test": {"map": Prediction(event, some)}}
    )
    frame = compute(given, "calibration")
    assert (frame["predicted"] == 0).sum() == 1
    check_figure(draw("calibration", frame), tmp_path / "calibration.png")


def test_a_map_that_tags_nothing_at_all_is_drawn() -> None:
    columns = ("predicted", "tagged_fraction", "tagged_low", "tagged_high")
    nothing = pd.DataFrame([{"efficiency": "map", "flavour": "b", **dict.fromkeys(columns, 0.0)}])
    assert len(draw("calibration", nothing).axes) == 2


@pytest.mark.parametrize("name", ["fig6", "fig8"])
def test_only_all_events_are_drawn(name: str, numbers: dict[str, pd.DataFrame]) -> None:
    def heights(frame: pd.DataFrame) -> list[np.ndarray]:
        axes = draw(name, frame).axes
        return [patch.get_data().values for one in axes for patch in one.patches]

    inside = numbers[name]["events"] == "in_domain"
    assert inside.any()
    both, every = heights(numbers[name]), heights(numbers[name][~inside])
    assert len(both) == len(every) > 5
    for one, other in zip(both, every, strict=True):
        np.testing.assert_array_equal(one, other)


def bands(figure: Figure) -> list[str]:
    """Return the colours of filled steps on axes that show ratios."""
    filled = [
        patch
        for axes in figure.axes
        for patch in axes.patches
        if axes.get_ylabel() == "ratio to true"
    ]
    return [patch.get_facecolor() for patch in filled if patch.get_fill()]


def test_bands_show_the_error_of_the_efficiency(numbers: dict[str, pd.DataFrame]) -> None:
    frame = numbers["fig8"]
    # For each of the two panels, one of the truth, and one for each efficiency with replicas.
    with_replicas, other = (
        bands(draw("fig8", frame)),
        frame.drop(columns="efficiency_error"),
    )
    assert len(with_replicas) == 2 * (1 + 3)
    assert len(bands(draw("fig8", other))) == 2
    axes = draw("fig8", frame, replace(CONTEXT, shown=["nearly"])).axes
    ratio = next(one for one in axes if one.get_ylabel() == "ratio to true")
    data = ratio.patches[-2].get_data()
    rows = frame[(frame["distribution"] == "boson_delta_r") & (frame["events"] == "all")].set_index(
        "filled_by"
    )
    filled = rows.loc["true", "yield"].to_numpy() > 0
    error = (
        rows.loc["nearly", "efficiency_error"].to_numpy() / rows.loc["true", "yield"].where(filled)
    ).to_numpy()
    assert filled.sum() > 20
    assert data.values - data.baseline == pytest.approx(2 * error, nan_ok=True)
    middle = rows.loc["nearly", "ratio"].to_numpy()
    assert (data.values + data.baseline) / 2 == pytest.approx(middle, nan_ok=True)


def test_a_figure_shows_the_efficiencies_that_it_is_asked_for(
    numbers: dict[str, pd.DataFrame],
) -> None:
    known = ["map", "nearly", "alone"]
    some = shown_rows(numbers["fig7"], ["nearly"], known)
    assert list(some["filled_by"].unique()) == ["direct", "true", "nearly"]
    assert set(shown_rows(numbers["fig1"], ["nearly"], known)["filled_by"]) == {
        "generated",
        "direct",
        "true",
        "nearly",
    }
    assert set(shown_rows(numbers["calibration"], ["map"], known)["efficiency"]) == {"map"}
    for name in ("fig3", "fig6"):
        assert shown_rows(numbers[name], known, known).equals(numbers[name])


@pytest.mark.parametrize("name", [*JUDGED_FIGURES, "closure_boson_wide"])
def test_figures_are_drawn_with_labels_and_units(
    name: str, numbers: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    figure = draw(name, numbers[name])
    check_figure(figure, tmp_path / f"{name}.png")
    write_frame(numbers[name], tmp_path / f"{name}.csv")
    # Drawn from the file as it is drawn from memory.
    again = draw(name, read_numbers(tmp_path / f"{name}.csv", FIGURES[name].columns))
    save_figure(again, tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / f"{name}.png").read_bytes()


def test_remarks_stand_above_every_panel(numbers: dict[str, pd.DataFrame]) -> None:
    figure = draw("fig7", numbers["fig7"], replace(CONTEXT, remark="quick look"))
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts.count("quick look: toy simulation") == 6


def test_without_the_truth_ratios_are_those_to_direct_tagging(
    numbers: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    frame = numbers["closure_boson_wide"]
    unknown = frame[frame["filled_by"] != "true"].assign(ratio=np.nan, ratio_error=np.nan)
    figure = draw("closure_boson_wide", unknown, replace(CONTEXT, shown=["nearly"]))
    check_figure(figure, tmp_path / "closure.png")
    bottom = figure.axes[1]
    assert bottom.get_ylabel() == "ratio to direct"
    every = frame[frame["events"] == "all"].set_index("filled_by")
    expected = every.loc["nearly", "yield"].to_numpy() / every.loc["direct", "yield"].to_numpy()
    drawn = [patch.get_data().values for patch in bottom.patches if not patch.get_fill()]
    np.testing.assert_allclose(drawn[0], expected)


@pytest.mark.parametrize("name", ["fig6", "fig8", "closure_boson_wide"])
def test_bins_of_negative_yield_are_drawn(
    name: str, numbers: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    """Generator weights of both signs: a bin can have any sum, and errors stay positive."""
    frame = numbers[name].copy()
    frame["yield"] = frame["yield"].where(frame["panel"] == "residual", -frame["yield"])
    figure = draw(name, frame)
    check_figure(figure, tmp_path / f"{name}.png")
    drawn = [axes for axes in figure.axes if axes.get_ylabel() == "events / bin"]
    low, high = drawn[0].get_ylim()
    first = frame["distribution"] == frame["distribution"].dropna().iloc[0]
    assert low < frame.loc[first & (frame["events"] == "all"), "yield"].min() < 0 < high
    points = [line for axes in figure.axes for line in axes.lines if line.get_color() == "black"]
    assert all(len(line.get_ydata()) for line in points)


@pytest.mark.parametrize("name", ["fig6", "fig7", "fig8"])
def test_bars_of_few_events_stay_below_the_legend(
    name: str, numbers: dict[str, pd.DataFrame]
) -> None:
    """The error of a bin with one event is as large as its yield."""
    frame = numbers[name].copy()
    frame["error"] = frame["yield"].abs()
    figure = draw(name, frame)
    figure.draw_without_rendering()
    drawn = [axes for axes in figure.axes if axes.get_ylabel() == "events / bin"]
    histograms = frame[frame["events"] == "all"].groupby(["distribution", "panel"], sort=False)
    assert len(drawn) == histograms.ngroups
    for axes, (_, rows) in zip(drawn, histograms, strict=True):
        highest = (rows["yield"] + rows["error"]).max()
        _, bar = axes.transData.transform((0, highest))
        boxes = [axes.texts[0].get_window_extent()]
        legend = axes.get_legend()
        if legend is not None:
            boxes.append(legend.get_window_extent())
        assert min(box.y0 for box in boxes) >= bar, axes.texts[0].get_text()


def test_events_of_no_weight_are_drawn(numbers: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    """A sample without an event on the axis."""
    for name in ("fig1", "fig8"):
        frame = numbers[name].copy()
        sums = [column for column in frame if column in ("yield", "error", "ratio", "ratio_error")]
        frame[sums] = 0.0
        check_figure(draw(name, frame), tmp_path / f"{name}.png")


def test_histories_are_drawn(tmp_path: Path) -> None:
    histories = {
        name: [
            pd.DataFrame({"epoch": [1, 2, 3], "train_loss": 1 / n, "validation_loss": 1.1 / n})
            for n in (np.arange(1, 4), np.arange(2, 5))
        ]
        for name in ("gnn", "other")
    }
    inputs = Inputs(FLAVOURS, {}, histories=histories)
    frame = FIGURES["training"].load_numbers()(inputs)
    assert frame.groupby("network")["seed"].unique().map(list).to_dict() == {
        "gnn": [0, 1],
        "other": [0, 1],
    }
    check_figure(draw("training", frame), tmp_path / "training.png")
    check_figure(draw("training", frame[frame["epoch"] == 1].iloc[:1]), tmp_path / "one.png")


def repeated(
    change: Callable[[pd.DataFrame], pd.DataFrame] = lambda frame: frame,
) -> pd.DataFrame:
    """Numbers of two ensembles on three repeated training samples."""
    rng = np.random.default_rng(1)
    parts = []
    panels = (("delta_r", "all", 0.5), ("m_jj", "b-b", 100.0), ("m_jj", "c-c", 100.0))
    for name in ("gnn", "gnn_factorised"):
        for distribution, panel, width in panels:
            for sample in range(3):
                columns = {
                    "efficiency": name,
                    "distribution": distribution,
                    "panel": panel,
                    "sample": sample,
                    "low": width * np.arange(6),
                    "high": width * np.arange(1, 7),
                    "yield": rng.normal(100, 3, 6),
                    "efficiency_error": rng.uniform(2, 4, 6),
                }
                parts.append(pd.DataFrame(columns))
    inputs = Inputs(FLAVOURS, {}, tables={"repeated": change(pd.concat(parts))})
    numbers: pd.DataFrame = FIGURES["repeated"].load_numbers()(inputs)
    return numbers


def test_repeated_samples_are_drawn(tmp_path: Path) -> None:
    figure = draw("repeated", repeated())
    check_figure(figure, tmp_path / "repeated.png")
    # A row per efficiency; the panels of other pairs are in the table only.
    assert [axes.get_legend().get_title().get_text() for axes in figure.axes] == ["gnn"] * 2 + [
        "gnn_factorised"
    ] * 2
    for axes, label in zip(figure.axes, ["Delta R", "GeV"] * 2, strict=True):
        assert label in axes.get_xlabel()
    assert "leading jet tagged" in figure.axes[0].get_xlabel()
    assert "$b$ + $b$ jets, both tagged" in figure.axes[1].get_xlabel()
    assert [axes.get_ylabel() for axes in figure.axes] == ["error of the yield [%]", ""] * 2
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert texts == ["replicas of one sample", "repeated samples"]


def test_points_above_the_band_are_on_the_axes() -> None:
    for factor in (0.01, np.nan):
        # An error that is far too small, and none: networks of one seed.
        figure = draw(
            "repeated",
            repeated(
                lambda frame, by=factor: frame.assign(
                    efficiency_error=by * frame["efficiency_error"]
                )
            ),
        )
        for axes in figure.axes:
            points = axes.lines[0].get_ydata()
            assert np.isfinite(points).all()
            assert points.max() < axes.get_ylim()[1]


def test_bins_without_events_leave_a_gap_in_repeated_samples(tmp_path: Path) -> None:
    def emptied(frame: pd.DataFrame) -> pd.DataFrame:
        empty = ((frame["panel"] == "b-b") & (frame["low"] == 200)) | (
            frame["distribution"] == "delta_r"
        )
        return frame.assign(
            **{name: frame[name].where(~empty, 0.0) for name in ("yield", "efficiency_error")}
        )

    figure = draw("repeated", repeated(emptied))
    check_figure(figure, tmp_path / "repeated.png")
    values, edges, _ = figure.axes[1].patches[-1].get_data()
    assert edges.tolist() == [0, 100, 200, 300, 400, 500, 600]
    assert np.isnan(values).tolist() == [False, False, True, False, False, False]


def check_figure(figure: Figure, path: Path) -> None:
    """Axes that show numbers have labels, momenta and masses their unit, the figure a legend."""
    save_figure(figure, path)
    save_figure(figure, path.with_suffix(".pdf"))
    assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    bottoms = [
        axes for axes in figure.axes if axes.xaxis.get_tick_params().get("labelbottom", True)
    ]
    labels = [axes.get_xlabel() for axes in bottoms if axes.get_xlabel()]
    assert labels
    for label in labels:
        assert "GeV" in label or not any(word in label for word in ("p_", "m_"))
    assert all(
        axes.get_ylabel()
        for axes in figure.axes
        if axes.get_subplotspec() and axes.get_subplotspec().is_first_col()
    )
    assert figure.legends or any(axes.get_legend() for axes in figure.axes)
    assert all(not text.get_text().startswith("{") for axes in figure.axes for text in axes.texts)


def test_what_cannot_be_drawn_is_refused(run: Run) -> None:
    unknown = {"test": run.samples["test"].with_columns(efficiency_true=None)}
    message = "figure 6 compares with the true efficiency; the sample 'test' has no column"
    with pytest.raises(DataError, match=message):
        compute(replace(run, samples=unknown), "fig6")
    message = "coverage compares with the truth; the sample has no column 'efficiency_true'"
    with pytest.raises(DataError, match=message):
        compute(replace(run, samples=unknown), "coverage")
    untagged = {"test": run.samples["test"].with_columns(is_tagged=None)}
    message = "figure 2 compares with the tags; the sample 'test' has no column 'is_tagged'"
    with pytest.raises(DataError, match=message):
        FIGURES["fig2"].load_numbers()(replace(run.inputs("fig2"), samples=untagged))
    message = "calibration compares with the tags; the sample has no column 'is_tagged'"
    with pytest.raises(DataError, match=message):
        compute(replace(run, samples=untagged), "calibration")
    with pytest.raises(DataError, match="shows the true efficiency, which was not given"):
        FIGURES["fig3"].load_numbers()(replace(run.inputs("fig3"), truth=None))
    with pytest.raises(DataError, match="the validation sample, which was not given"):
        FIGURES["training_cost"].load_numbers()(Inputs(FLAVOURS, {}))


def test_factors_of_an_untrained_network_are_those_that_predict(run: Run, tmp_path: Path) -> None:
    architecture = Architecture(kind="factorised", width=8, head=(8,), edge_features=("delta_r",))
    networks = [EfficiencyNetwork(architecture), EfficiencyNetwork(architecture)]
    jet = {"pt": 100.0, "eta": 0.5, "flavour": 5}
    frame = read_factors(
        networks, run.truth, FLAVOURS, jet, np.array([100.0, 200.0]), np.array([0.0, 0.4])
    )
    assert len(frame) == 3 * (2 + 2)
    pair = make_jets(
        [2],
        pt=np.full(2, 100.0),
        eta=np.full(2, 0.5),
        phi=np.array([0.0, 0.4]),
        flavour=np.array([5, 4]),
    )
    base = frame[(frame["panel"] == "base") & (frame["flavour"] == "b")].iloc[0]
    factor = frame[
        (frame["panel"] == "factor") & (frame["flavour"] == "c") & (frame["x"] == 0.4)
    ].iloc[0]
    one, two = (network.efficiency(pair)[0] for network in networks)
    alone = [
        network.efficiency(pair.take(slice(0, 1)).with_columns(**single(pair)))[0]
        for network in networks
    ]
    assert base["mean"] == pytest.approx(np.mean(alone), rel=1e-5)
    assert factor["mean"] == pytest.approx(np.mean([one / alone[0], two / alone[1]]), rel=1e-5)
    assert base["true"] == pytest.approx(run.truth.own(5, np.array([100.0]), np.array([0.5]))[0])
    assert factor["true"] == pytest.approx(1 - 0.30 * np.exp(-((0.4 / 0.6) ** 2) / 2))
    check_figure(draw("fig3_alone", frame), tmp_path / "factors.png")
    files = [tmp_path / f"seed_{number}.pt" for number in range(2)]
    for network, file in zip(networks, files, strict=True):
        save_network(network, file, {})
    given = read_inputs(
        {"members:alone": files}, FLAVOURS, options_of(FIGURES["fig3_alone"], CONFIG)
    )
    given = replace(given, truth=run.truth)
    of_figure = FIGURES["fig3_alone"].load_numbers()(given)
    assert set(of_figure["eta"]) == {CONFIG["figures"]["factor_probe"]["eta"]}
    assert len(of_figure) == 3 * (59 + 31)
    with pytest.raises(DataError, match="kind 'graph' has no factors to read"):
        read_factors(
            [EfficiencyNetwork(Architecture(width=16))],
            run.truth,
            FLAVOURS,
            jet,
            *[np.ones(1)] * 2,
        )


def single(pair: Jets) -> dict[str, Any]:
    """Return the columns of the first jet of a pair, alone in its event."""
    names = list(pair.jet_columns)
    return {"offsets": np.array([0, 1]), **{name: getattr(pair, name)[:1] for name in names}}


def cells_of(*panels: tuple[str, str, float, float]) -> pd.DataFrame:
    """Cells with fifty of a hundred predicted tags: flavour, neighbour, ends of Delta R."""
    rows = [
        {"flavour": flavour, "neighbour": neighbour, "delta_r_low": low, "delta_r_high": high}
        for flavour, neighbour, low, high in panels
    ]
    numbers = {"predicted": 100.0, "tagged": 50.0, "error": 1.0, "efficiency_error": 0.0}
    return pd.DataFrame(rows).assign(efficiency="map", **numbers)


def test_cells_stand_above_their_own_bin_where_others_lack_it() -> None:
    """Panels share their axis: a panel without close jets must not move the labels of others."""
    cells = cells_of(("b", "b", 0.0, 0.4), ("b", "b", 0.4, 1.0), ("c", "c", 0.4, 1.0))
    figure = draw_cells(cells, DrawingContext(flavours=("b", "c")))
    left, right = figure.axes
    for axes, places in ((left, [0, 1]), (right, [1])):
        figure.canvas.draw()
        assert [label.get_text() for label in axes.get_xticklabels()] == ["0-0.4", "0.4-1"]
        drawn = axes.containers[-1].lines[0].get_xdata()
        assert np.round(drawn).tolist() == places


def test_the_lowest_panel_of_each_column_of_cells_is_labelled() -> None:
    cells = cells_of(("b", "b", 0.0, 0.4), ("b", "c", 0.0, 0.4), ("c", "c", 0.0, 0.4))
    figure = draw_cells(cells, DrawingContext(flavours=("b", "c")))
    upper_left, upper_right, lower, empty = figure.axes
    assert not empty.axison
    for axes, is_lowest in ((upper_left, False), (upper_right, True), (lower, True)):
        assert bool(axes.get_xlabel()) == is_lowest
        assert axes.xaxis.get_tick_params()["labelbottom"] == is_lowest
