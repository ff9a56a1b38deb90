"""What a reader adds from outside: an estimator, a distribution and a figure, each in one place."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from estimator_kinds import NO_TREES
from workplace import TIMEOUT, Workplace, jobs_of, made_once

FLAVOUR_AVERAGE = '''
"""The simplest estimator: the tagged fraction of each flavour."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from truthtag.estimators.bins import flavour_index, flavours_of, training_tags
from truthtag.estimators.protocol import ResampledOptions
from truthtag.estimators.table_file import TableEstimator


class FlavourAverageOptions(ResampledOptions):
    """The tagged fraction of each flavour."""

    kind: str = "flavour_average:FlavourAverage"


@dataclass(frozen=True, eq=False)
class FlavourAverage(TableEstimator):
    """The tagged fraction of each flavour."""

    flavours: tuple[int, ...]
    fractions: np.ndarray
    options_type: ClassVar = FlavourAverageOptions
    columns: ClassVar = ("flavour", "efficiency")

    @classmethod
    def fit(cls, train, validation, options, seed):
        flavours = flavours_of(train)
        index = flavour_index(flavours, train)
        tagged = np.bincount(index, training_tags(train), len(flavours))
        return cls(flavours, tagged / np.bincount(index, minlength=len(flavours)))

    def efficiency(self, jets):
        return self.fractions[flavour_index(self.flavours, jets)]

    def describe(self):
        return f"{len(self.flavours)} flavours"

    def to_frame(self):
        return pd.DataFrame({"flavour": self.flavours, "efficiency": self.fractions})

    @property
    def settings(self):
        return {}

    @classmethod
    def from_frame(cls, frame, **settings):
        flavours = tuple(int(flavour) for flavour in frame["flavour"])
        return cls(flavours, frame["efficiency"].to_numpy())
'''

MY_FIGURE = '''
"""A figure of another package: how many jets the events of a sample have."""

import numpy as np
import pandas as pd

from truthtag.figures.catalogue import FigureEntry

ENTRY = FigureEntry(
    name="multiplicity",
    title="number of jets",
    caption="How many jets the events of the test sample have.",
    numbers="my_figure:numbers",
    drawing="my_figure:draw",
    inputs=("samples",),
    samples=("first_judged",),
    columns=("jets", "events"),
)


def numbers(inputs):
    (sample,) = inputs.samples.values()
    jets, events = np.unique(sample.multiplicity, return_counts=True)
    return pd.DataFrame({"jets": jets, "events": events})


def draw(frame, context):
    from truthtag.figures.plots.style import new_figure, stamp, style

    with style():
        figure = new_figure(6, 5)
        axes = figure.subplots()
        axes.bar(frame["jets"], frame["events"])
        axes.set(xlabel="jets", ylabel="events")
        stamp(axes, context.origin)
    return figure
'''

AVERAGE = {"kind": "flavour_average:FlavourAverage", "replicas": 2}
TREES = {
    "kind": "trees",
    "replicas": 2,
    "learning_rate": 0.1,
    "min_jets_in_leaf": 50,
    "rounds": 20,
}
LEADING_PT = {
    "sample": "test",
    "observable": "pt_1",
    "tagged": [1],
    "axis": {"bins": 8, "low": 20.0, "high": 600.0},
    "title": "pT of the leading jet, tagged",
}
SMALL = {
    "train": {"events": 1000},
    "validation": {"events": 500},
    "test": {"events": 1000},
    "boson": {"events": 500},
}
WEIGHTED = ("validation", "test", "boson")
NOT_NEEDED = ("delta_r", "additive", "mlp", "gnn", "gnn_geometric", "gnn_factorised")

EFFICIENCY_TABLES = (
    "summary",
    "summary_in_range",
    "summary_in_domain",
    "closure",
    "verdict",
    "coverage",
    "scales",
    "likelihood",
    "calibration",
)
COLUMN_OF_FIGURE = {
    "fig1": "filled_by",
    "fig2": "filled_by",
    "fig6": "filled_by",
    "fig7": "filled_by",
    "fig8": "filled_by",
    "closure_leading_pt": "filled_by",
    "calibration": "efficiency",
    "coverage": "efficiency",
}
"""Figures that compare efficiencies, and the column of their numbers that names these."""

pytestmark = pytest.mark.slow


CONFIG = "config/tiny.yaml config/extended.yaml"


def run_extended(place: Workplace) -> None:
    """Add everything from outside, and run."""
    place.outside.mkdir()
    (place.outside / "flavour_average.py").write_text(FLAVOUR_AVERAGE)
    (place.outside / "my_figure.py").write_text(MY_FIGURE)
    estimators: dict[str, Any] = {"map": {"replicas": 2}, "average": AVERAGE}
    estimators |= dict.fromkeys(NOT_NEEDED)
    if not NO_TREES:
        estimators["trees"] = TREES
    place.overlay(
        "extended.yaml",
        results="results/extended",
        samples=SMALL,
        estimators=estimators,
        exports=None,
        distributions={"leading_pt": LEADING_PT},
        figures={"efficiencies": None, "extra": ["my_figure:ENTRY"]},
    )
    outcome = place.run(config=CONFIG)
    assert outcome.returncode == 0, outcome.stdout


@pytest.fixture(scope="session")
def extended(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Workplace:
    """A finished run with everything that is added from outside; all test processes share it."""
    return made_once("extended", run_extended, tmp_path_factory, worker_id)


@pytest.fixture
def copy(extended: Workplace, tmp_path: Path) -> Workplace:
    """A copy of that run that a test may spoil."""
    return extended.copied_to(tmp_path / "copy")


def results_of(place: Workplace) -> Path:
    return place.folder / "results/extended"


def added_estimators() -> list[Any]:
    """Estimators that the tests look for; the trees need a package that not everyone has."""
    needs = pytest.mark.skipif(bool(NO_TREES), reason=NO_TREES or "there are trees")
    return ["average", pytest.param("trees", marks=needs)]


@pytest.mark.slow(seconds=80)
@pytest.mark.parametrize("name", added_estimators())
def test_an_added_estimator_is_in_every_table_and_figure(extended: Workplace, name: str) -> None:
    results = results_of(extended)
    for table in EFFICIENCY_TABLES:
        frame = pd.read_csv(results / f"tables/{table}.csv")
        column = "efficiency" if "efficiency" in frame else None
        found = frame[column] if column else frame.columns
        assert name in list(found), table
    for figure, column in COLUMN_OF_FIGURE.items():
        numbers = pd.read_csv(results / f"figures/{figure}.csv")
        assert name in set(numbers[column]), figure
        for kind in ("png", "pdf"):
            assert (results / f"figures/{figure}.{kind}").stat().st_size > 500, (figure, kind)


@pytest.mark.parametrize("name", added_estimators())
def test_an_added_estimator_predicts_and_weights_every_sample(
    extended: Workplace, name: str
) -> None:
    results = results_of(extended)
    for sample in WEIGHTED:
        prediction = pd.read_parquet(results / f"predictions/{sample}/{name}.parquet")
        assert prediction["efficiency"].between(0, 1).all()
        assert list(prediction) == ["event", "efficiency", "efficiency_std"]
        assert (results / f"predictions/{sample}/{name}.replicas.parquet").exists()
        weights = pd.read_parquet(results / f"weights/{sample}/{name}.parquet")
        assert len(weights) == SMALL[sample]["events"]


def test_the_average_has_one_efficiency_for_each_flavour(extended: Workplace) -> None:
    prediction = pd.read_parquet(results_of(extended) / "predictions/test/average.parquet")
    assert prediction["efficiency"].nunique() == 3


def test_a_distribution_of_five_lines_is_tested_and_drawn(extended: Workplace) -> None:
    results = results_of(extended)
    histograms = pd.read_parquet(results / "histograms/leading_pt.parquet")
    assert {"direct", "true", "map", "average"} <= set(histograms["filled_by"])
    assert histograms["low"].min() == 20
    assert histograms["high"].max() == 600
    for table in ("closure", "verdict"):
        frame = pd.read_csv(results / f"tables/{table}.csv")
        assert "leading_pt" in set(frame["distribution"]), table
    for kind in ("png", "pdf", "csv"):
        assert (results / f"figures/closure_leading_pt.{kind}").stat().st_size > 500, kind


def test_a_figure_from_outside_is_drawn_and_reported(copy: Workplace) -> None:
    results = results_of(copy)
    numbers = pd.read_csv(results / "figures/multiplicity.csv")
    assert numbers["events"].sum() == SMALL["test"]["events"]
    for kind in ("png", "pdf"):
        assert (results / f"figures/multiplicity.{kind}").stat().st_size > 500, kind
    outcome = copy.run("--report", "results/extended/report.html", config=CONFIG)
    assert outcome.returncode == 0, outcome.stdout
    page = (results / "report.html").read_text()
    assert "number of jets" in page
    assert "How many jets the events of the test sample have." in page
    assert "pT of the leading jet, tagged" in page


def changed(file: Path) -> Callable[[], None]:
    """Add a number to a module; what is returned puts back what was there."""
    text = file.read_text()
    file.write_text(text + "\nEDITED = True\n")
    return lambda: file.write_text(text) and None


def test_an_edit_outside_runs_that_estimator_only(copy: Workplace) -> None:
    assert copy.plan(config=CONFIG) == {}
    undo = changed(copy.outside / "flavour_average.py")
    output = copy.dry_run(config=CONFIG)
    plan = jobs_of(output)
    only = re.sub(r"\x1b\[[\d;]*m", "", output)
    undo()
    assert plan["fit_map"] == plan["replicate_map"] == 1
    assert plan["predict"] == len(WEIGHTED)
    assert not {"generate_sample", "train_network"} & set(plan)
    fits = re.findall(r"(?:Fitting|Predicting) .*", only)
    assert fits
    assert all("average" in line for line in fits), fits
    assert copy.plan(config=CONFIG) == {}


def test_an_edit_of_a_figure_outside_draws_that_figure_only(copy: Workplace) -> None:
    changed(copy.outside / "my_figure.py")
    assert copy.plan(config=CONFIG) == {"figure_numbers": 1, "draw_figure": 1}


def test_the_workflow_plans_from_any_folder(extended: Workplace, tmp_path: Path) -> None:
    """Started elsewhere, results go to that folder, and configs are named by their whole path."""
    configs = " ".join(str(extended.folder / file) for file in CONFIG.split())
    places = ["--snakefile", str(extended.folder / "Snakefile"), "--directory", str(tmp_path)]
    command = extended.command("--dry-run", *places, config=configs)
    options = {**extended.options, "cwd": tmp_path}
    outcome = subprocess.run(command, check=False, timeout=TIMEOUT, **options)
    assert outcome.returncode == 0, outcome.stdout
    assert re.search(r"generate_sample +4\b", outcome.stdout)
    assert re.search(r"draw_figure +\d+", outcome.stdout)
