"""The whole workflow on a tiny config: what comes out, what runs again, refusals and resumes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from workplace import TIMEOUT, Workplace, made_once

from conftest import ROOT
from truthtag.data.files import read_metadata
from truthtag.data.jets import read_jets
from truthtag.estimators.binned import COLUMNS
from truthtag.estimators.ensemble import Ensemble, load
from truthtag.estimators.prediction_files import read_prediction
from truthtag.estimators.protocol import kind_and_options
from truthtag.statistics.accuracy import excess_loss

FIGURES = (
    "fig1", "fig2", "fig3", "fig3_gnn_factorised", "fig6", "fig7", "fig8", "calibration",
    "coverage", "curves_additive", "training",
)  # fmt: skip
NETWORKS = ("mlp", "gnn", "gnn_geometric", "gnn_factorised")
WEIGHTED = ("validation", "test", "boson")
"""Samples that are weighted: the training sample is only learned from."""
EFFICIENCIES = ("map", "delta_r", "additive", *NETWORKS)
TIMES = ["seconds", "events_per_second"]
MAP = yaml.safe_load((ROOT / "config/config.yaml").read_text())["estimators"]["map"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Workplace:
    """A workplace where the tiny config has run on two cores; all test processes share it."""

    def run(place: Workplace) -> None:
        outcome = place.run()
        assert outcome.returncode == 0, outcome.stdout

    return made_once("finished", run, tmp_path_factory, worker_id)


@pytest.fixture
def copy(finished: Workplace, tmp_path: Path) -> Workplace:
    """A copy of the finished workplace that a test may spoil."""
    return finished.copied_to(tmp_path / "copy")


def test_everything_promised_comes_out(finished: Workplace) -> None:
    results = finished.folder / "results/tiny"
    for figure in FIGURES:
        for kind in ("png", "pdf", "csv"):
            assert (results / "figures" / f"{figure}.{kind}").stat().st_size > 500, (figure, kind)
    jets = read_jets(results / "samples/test")
    assert jets.n_events == 3000
    assert sorted(p.name for p in (results / "samples/test").iterdir()) == [
        "0000.parquet",
        "0001.parquet",
    ]
    assert tuple(pd.read_parquet(results / "estimators/map/nominal.parquet")) == COLUMNS
    history = pd.read_parquet(results / "estimators/gnn/seed_1.history.parquet")
    assert list(history) == [
        "epoch", "train_loss", "validation_loss", "learning_rate", "seconds",
        "events_per_second", "best",
    ]  # fmt: skip
    summary = pd.read_csv(results / "tables/summary.csv")
    assert not summary.duplicated(["sample", "efficiency", "flavour"]).any()
    assert set(summary["sample"]) == set(WEIGHTED)
    assert len(summary) == len(WEIGHTED) * len(EFFICIENCIES) * 4
    likelihood = pd.read_csv(results / "tables/likelihood.csv")
    assert len(likelihood) == len(WEIGHTED) * len(EFFICIENCIES)
    assert (likelihood.groupby("sample")["difference"].min() == 0).all()
    assert set(summary["flavour"]) == {"all", "b", "c", "light"}
    assert {"jets", "regret", "residual_mean", "residual_rms", "log_loss"} <= set(summary)
    fig7 = pd.read_csv(results / "figures/fig7.csv")
    assert list(fig7["panel"].unique()) == [
        "b-b",
        "b-c",
        "b-light",
        "c-c",
        "c-light",
        "light-light",
    ]


def test_predictions_are_those_of_the_files(finished: Workplace) -> None:
    """The files of an estimator are enough to predict; predictions lie beside their jets."""
    results = finished.folder / "results/tiny"
    for sample in WEIGHTED:
        jets = read_jets(results / "samples" / sample)
        by_map = pd.read_parquet(results / "predictions" / sample / "map.parquet")
        by_gnn = pd.read_parquet(results / "predictions" / sample / "gnn.parquet")
        assert list(by_map) == list(by_gnn) == ["event", "efficiency", "efficiency_std"]
        assert np.array_equal(by_map["event"], jets.per_jet("event"))
        assert np.array_equal(
            by_map["efficiency"], load(results / "estimators/map/nominal.parquet").efficiency(jets)
        )
        ensemble = Ensemble.load(sorted((results / "estimators/gnn").glob("seed_*.pt")))
        mean, members = ensemble.with_replicas(jets)
        np.testing.assert_allclose(by_gnn["efficiency"], mean, rtol=1e-6)
        np.testing.assert_allclose(
            by_gnn["efficiency_std"], members.std(axis=0, ddof=1), rtol=1e-3, atol=1e-7
        )
        gnn, maps = (
            read_prediction(path, path.with_suffix(".replicas.parquet")).aligned_to(jets)
            for path in (
                results / "predictions" / sample / f"{name}.parquet" for name in ("gnn", "map")
            )
        )
        # Differences are stored in half precision.
        np.testing.assert_allclose(
            gnn.replicas, members, rtol=0, atol=1e-3 * np.abs(members - mean).max()
        )
        fitted = load(results / "estimators/map").members
        assert len(fitted) == len(maps.replicas) == 20
        np.testing.assert_allclose(maps.replicas[7], fitted[7].efficiency(jets), rtol=1e-6)


def test_exports_say_what_the_estimators_say(finished: Workplace) -> None:
    results = finished.folder / "results/tiny"
    jets = read_jets(results / "samples/test")
    for name in ("gnn", "gnn_factorised"):
        predicted = read_prediction(results / f"predictions/test/{name}.parquet")
        exported = load(results / f"exports/onnx/{name}.onnx")
        np.testing.assert_allclose(exported.efficiency(jets), predicted.values, rtol=1e-5)
        low, high = exported.ranges["pt"]
        assert 20 <= low < high <= 600
    distilled = results / "exports/distilled"
    network = load(distilled / "gnn_factorised.pt")
    graph = load(distilled / "gnn_factorised.onnx")
    np.testing.assert_allclose(graph.efficiency(jets), network.efficiency(jets), rtol=1e-5)
    report = json.loads((distilled / "gnn_factorised.json").read_text())["distilled"]
    validation = read_jets(results / "samples/validation")
    ensemble = load(results / "estimators/gnn_factorised").efficiency(validation)
    added = excess_loss(ensemble, network.efficiency(validation)).mean()
    assert report["validation"]["added_regret"] == pytest.approx(added, rel=1e-3)
    folders = {path.parent.name: path for path in (results / "exports").rglob("*.onnx")}
    assert set(folders) == {"onnx", "athena", "distilled"}


def test_a_map_as_a_file_of_correctionlib_says_what_the_map_says(finished: Workplace) -> None:
    correctionlib = pytest.importorskip("correctionlib")
    results = finished.folder / "results/tiny"
    jets = read_jets(results / "samples/test")
    inside = (jets.pt < 600) & (np.abs(jets.eta) < 2.5)
    path = results / "exports/correctionlib/map.json.gz"
    correction = correctionlib.CorrectionSet.from_file(str(path))["efficiency"]
    values = correction.evaluate("central", jets.flavour, jets.eta, jets.pt)
    predicted = read_prediction(results / "predictions/test/map.parquet").values
    np.testing.assert_allclose(values[inside], predicted[inside], rtol=1e-12)


def test_pandas_opens_every_artefact(finished: Workplace) -> None:
    files = list((finished.folder / "results").rglob("*.parquet"))
    folders = {path.relative_to(finished.folder / "results/tiny").parts[0] for path in files}
    assert folders == {
        "samples", "estimators", "predictions", "weights", "domain", "domain.parquet", "histograms",
        "cells",
    }  # fmt: skip
    for path in files:
        assert len(pd.read_parquet(path)) > 0, path


@pytest.mark.slow(seconds=60)
def test_one_core_gives_the_same_numbers(finished: Workplace, copy: Workplace) -> None:
    shutil.rmtree(copy.folder / "results")
    # Samples, an estimator of each kind, predictions; all else is made from these by one process.
    kinds = ("map", "additive", "gnn", "gnn_factorised")
    targets = [f"results/tiny/predictions/test/{name}.parquet" for name in kinds]
    outcome = copy.run(*targets, cores=1)
    assert outcome.returncode == 0, outcome.stdout
    made = [path for path in (copy.folder / "results/tiny").rglob("*.p*t*") if path.is_file()]
    assert {path.suffix for path in made} >= {".parquet", ".pt"}
    for path in made:
        other = finished.folder / path.relative_to(copy.folder)
        if path.suffix == ".pt":
            assert path.read_bytes() == other.read_bytes()
        elif path.suffix == ".parquet":
            one, two = (
                pq.read_table(p).to_pandas().drop(columns=TIMES, errors="ignore")
                for p in (path, other)
            )
            pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_a_finished_run_does_nothing_again(finished: Workplace) -> None:
    assert finished.plan() == {}


def test_touching_code_and_notes_runs_nothing(copy: Workplace) -> None:
    for path in (*copy.folder.glob("workflow/**/*.py"), *copy.folder.glob("src/**/*.py")):
        path.write_text("# A note.\n" + path.read_text())
    assert copy.plan() == {}


TRAINING = {"train_network", "average_ensemble", "fit_map", "replicate_map"}
DRAWN = {"draw_figure"}
EVALUATION = {
    "event_weights", "fill_histograms", "fill_cells", "closure", "measure_coverage",
    "render_tables", "figure_numbers", "draw_figure",
}  # fmt: skip
EDITS = {
    "padding of a page": (
        "workflow/report.py", ("padding: .25rem .5rem", "padding: .3rem .6rem"), {"render_tables"},
    ),
    "format of the log": ("workflow/logs.py", ("%(levelname)s %(m", "[%(levelname)s] %(m"), set()),
    "version": ("__init__.py", ('__version__ = "0.2.0"', '__version__ = "0.3.0"'), set()),
    "a new figure": (
        "figures/catalogue.py",
        ("def _weighting()", "def _more() -> None:\n    pass\n\n\ndef _weighting()"), set(),
    ),
    "a new kind of estimator": (
        "estimators/protocol.py",
        ('        "trees"', '        "new": "new_module:New",\n        "trees"'), set(),
    ),
    "an error's wording": (
        "estimators/network/trainer.py", ("Prepare both alike", "Prepare them alike"), set(),
    ),
    "an error's wording in the files": (
        "data/files.py", ("cannot be read as Parquet", "is no Parquet file"), set(),
    ),
    "a path of the results": (
        "workflow/layout.py", ("GROUP = re", "NOTE = 1\nGROUP = re"), set(),
    ),
    "how a figure is drawn": ("figures/plots/style.py", None, DRAWN),
    "numbers of tags": ("weights/tag_counts.py", None, EVALUATION),
    "a kind of map": (
        "estimators/nearest_jet.py", None,
        {"fit_map", "replicate_map", "predict", "measure_spread", "summary", "measure_calibration"}
        | {"export_corrections"} | EVALUATION,
    ),
}  # fmt: skip


def edit(copy: Workplace, module: str, change: tuple[str, str] | None) -> None:
    """Replace a text of a module of the library, or add a number to it."""
    path = copy.folder / "src/truthtag" / module
    text = path.read_text()
    if change is None:
        path.write_text(text + "\n\nEDITED = True\n")
        return
    assert change[0] in text, f"{module} has no {change[0]!r}: choose another text to change"
    path.write_text(text.replace(*change))


@pytest.mark.slow(seconds=25)
def test_an_edit_runs_what_it_can_change_and_nothing_else(copy: Workplace) -> None:
    library = copy.folder / "src/truthtag"
    running = {what: edited for what, edited in EDITS.items() if edited[2]}
    for what, (module, change, allowed) in running.items():
        kept = (library / module).read_text()
        edit(copy, module, change)
        plan = set(copy.plan())
        assert plan <= allowed, what
        assert change is not None or plan, what
        (library / module).write_text(kept)
    edit(copy, "estimators/network/trainer.py", None)
    plan = copy.plan()
    assert plan["train_network"] == 7
    assert not {"generate_sample", "fit_map", "replicate_map"} & set(plan)


def test_edits_that_change_no_result_run_nothing(copy: Workplace) -> None:
    """All at once: what one of them ran alone, it would run here."""
    harmless = {what: edited for what, edited in EDITS.items() if not edited[2]}
    assert len(harmless) == 7
    for module, change, _ in harmless.values():
        edit(copy, module, change)
    assert copy.plan() == {}


def test_a_change_of_config_runs_what_it_concerns(copy: Workplace) -> None:
    config = copy.overlay("axis.yaml", estimators={"map": {"outside": "error"}})
    plan = copy.plan(config=config)
    assert plan["fit_map"] == plan["replicate_map"] == 1
    assert "train_network" not in plan
    assert "generate_sample" not in plan
    # Where training keeps its events changes no network.
    memory = copy.overlay("memory.yaml", estimators={"gnn": {"memory_limit": 1}})
    assert copy.plan(config=memory) == {}


def test_a_domain_that_was_removed_is_made_again(copy: Workplace) -> None:
    """Also where all that follows from it is there; found by a campaign of kills."""
    (copy.folder / "results/tiny/domain.parquet").unlink()
    assert copy.plan()["fit_domain"] == 1


def test_every_file_that_a_run_makes_is_asked_for(finished: Workplace) -> None:
    """One that was removed is missed, then, whoever made use of it."""
    assert finished.files_not_asked_for("results/tiny") == set()


def test_more_events_extend_a_sample_and_fewer_shrink_it(copy: Workplace) -> None:
    longer = copy.overlay(
        "longer.yaml", samples={"test": {"generator": "multijet", "events": 5000}}
    )
    before = read_jets(copy.folder / "results/tiny/samples/test")
    # 3,000 events are shards of 2,000 and 1,000: the second grows, a third is new, the first stays.
    assert copy.plan("results/tiny/predictions/test/map.parquet", config=longer) == {
        "generate_sample": 2,
        "predict": 1,
    }
    outcome = copy.run("results/tiny/predictions/test/map.parquet", config=longer)
    assert outcome.returncode == 0, outcome.stdout
    after = read_jets(copy.folder / "results/tiny/samples/test")
    assert after.n_events == 5000
    assert np.array_equal(after.pt[: before.n_jets], before.pt)
    shorter = copy.overlay(
        "shorter.yaml", samples={"test": {"generator": "multijet", "events": 1500}}
    )
    outcome = copy.run("results/tiny/predictions/test/map.parquet", config=shorter)
    assert outcome.returncode == 0, outcome.stdout
    assert read_jets(copy.folder / "results/tiny/samples/test").n_events == 1500


def test_a_bad_config_starts_nothing(tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    config = place.overlay("bad.yaml", estimators={"gnn": {"architecture": {"width": -64}}}, sede=1)
    outcome = place.run(config=config)
    assert outcome.returncode != 0
    assert "the config: unknown key 'sede'" in outcome.stdout
    assert (
        "estimators.gnn.architecture.width: -64 is not allowed; it must be at least 4"
        in outcome.stdout
    )
    assert "Traceback" not in outcome.stdout
    assert not (tmp_path / "results").exists()


def test_a_broken_sample_is_refused_and_leaves_nothing_behind(copy: Workplace) -> None:
    shard = copy.folder / "results/tiny/samples/train/0001.parquet"
    shard.write_bytes(shard.read_bytes()[:2000])
    outcome = copy.run("results/tiny/estimators/map/nominal.parquet")
    assert outcome.returncode != 0
    assert "0001.parquet: cannot be read as Parquet" in outcome.stdout
    assert "Delete it" in outcome.stdout or "delete it and make it again" in outcome.stdout
    assert not (copy.folder / "results/tiny/estimators/map/nominal.parquet").exists()
    assert not list(copy.folder.glob("results/tiny/estimators/map/*part*"))
    shard.unlink()
    assert copy.run("results/tiny/estimators/map/nominal.parquet").returncode == 0


@pytest.mark.slow(seconds=50)
def test_a_killed_training_resumes_with_the_same_result(copy: Workplace) -> None:
    target = "results/tiny/estimators/gnn/seed_0.pt"
    config = copy.overlay(
        "longer.yaml", estimators={"gnn": {"threads": 2, "training": {"epochs": 10}}}
    )
    checkpoint = copy.folder / "results/tiny/estimators/gnn/seed_0.checkpoint.pt"
    process = subprocess.Popen(
        copy.command(target, config=config), start_new_session=True, **copy.options
    )
    deadline = time.monotonic() + TIMEOUT
    while not checkpoint.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert checkpoint.exists(), "the run ended before it could be killed"
    outcome = copy.run(target, config=config)
    assert outcome.returncode == 0, outcome.stdout
    assert "was cut off: going on where it was" in outcome.stdout
    log = (copy.folder / "results/tiny/logs/estimators/gnn/seed_0.log").read_text()
    assert re.search(r"going on from .*seed_0\.checkpoint\.pt after \d+ epochs", log)
    assert not checkpoint.exists()
    resumed = torch.load(copy.folder / target, weights_only=True)["state"]
    (copy.folder / target).unlink()
    assert copy.run(target, config=config).returncode == 0
    log = (copy.folder / "results/tiny/logs/estimators/gnn/seed_0.log").read_text()
    assert "going on" not in log
    assert "3000 events" in log
    assert "2 threads" in log
    straight = torch.load(copy.folder / target, weights_only=True)["state"]
    assert all(torch.equal(resumed[key], straight[key]) for key in straight)


def test_the_paper_config_plans_the_paper(tmp_path: Path) -> None:
    plan = Workplace(tmp_path).plan(config="config/paper.yaml")
    assert plan["train_network"] == 4 * 20
    assert plan["generate_sample"] == 10 + 1 + 10 + 10


@pytest.mark.slow(seconds=85)
def test_a_shrunken_paper_config_runs(tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    samples = {name: {"events": 1500} for name in ("train", "validation", "test", "boson")}
    small = {
        "seeds": 2,
        "architecture": {"width": 32},
        "training": {"epochs": 2, "batch_events": 500},
    }
    (tmp_path / "config/shrunken.yaml").write_text(
        yaml.safe_dump({"samples": samples, "estimators": dict.fromkeys(NETWORKS, small)})
    )
    outcome = place.run(
        "results/paper/predictions/test/gnn.parquet",
        config="config/paper.yaml config/shrunken.yaml",
    )
    assert outcome.returncode == 0, outcome.stdout
    content = torch.load(tmp_path / "results/paper/estimators/gnn/seed_1.pt", weights_only=True)
    assert content["provenance"]["training"]["schedule"] == "constant"
    assert not content["provenance"]["training"]["rotate_phi"]


def test_weights_are_those_of_the_predictions(finished: Workplace) -> None:
    results = finished.folder / "results/tiny"
    jets = read_jets(results / "samples/boson")
    for efficiency in EFFICIENCIES:
        path = results / f"weights/boson/{efficiency}.parquet"
        frame, eff = (
            pd.read_parquet(path),
            pd.read_parquet(results / f"predictions/boson/{efficiency}.parquet"),
        )
        assert list(frame) == [
            "event", "weight", "p_tag_0", "p_tag_1", "p_tag_2", "p_tag_3",
            "p_tag_ge_1", "p_tag_ge_2", "p_tag_ge_3",
        ]  # fmt: skip
        assert np.array_equal(frame["event"], jets.event)
        # Two jets in each event.
        product = eff["efficiency"].to_numpy().reshape(-1, 2).prod(axis=1)
        np.testing.assert_allclose(frame["p_tag_2"], product, atol=1e-12)
        np.testing.assert_allclose(
            frame[[f"p_tag_{k}" for k in range(4)]].sum(axis=1), 1, atol=1e-12
        )
        effective = read_metadata(path)["effective_events"]["p_tag_2"]
        assert effective == pytest.approx(product.sum() ** 2 / np.square(product).sum())


def test_weights_of_leading_jets_and_of_hybrid_tags(copy: Workplace) -> None:
    config = copy.overlay("weights.yaml", weights={"tags": 1, "leading": 1, "keep_tags_of": ["b"]})
    outcome = copy.run("results/tiny/weights/test/gnn.parquet", config=config)
    assert outcome.returncode == 0, outcome.stdout
    results = copy.folder / "results/tiny"
    frame, jets = (
        pd.read_parquet(results / "weights/test/gnn.parquet"),
        read_jets(results / "samples/test"),
    )
    assert list(frame) == ["event", "weight", "p_tag_0", "p_tag_1", "p_tag_ge_1"]
    lead = jets.offsets[:-1]
    is_b = jets.flavour[lead] == 5
    assert np.array_equal(frame["p_tag_1"][is_b], jets.is_tagged[lead][is_b].astype(float))
    eff = pd.read_parquet(results / "predictions/test/gnn.parquet")["efficiency"].to_numpy()[lead]
    np.testing.assert_allclose(frame["p_tag_1"][~is_b], eff[~is_b], atol=1e-12)


@pytest.mark.slow(seconds=30)
def test_networks_of_one_job_are_those_of_many(tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    training = {"epochs": 1, "precision": "float32"}
    files, configs = {}, {}
    files["alone"] = [f"seed_{seed}.pt" for seed in range(3)]
    files["together"] = ["seeds_0_to_1/seed_0.pt", "seeds_0_to_1/seed_1.pt", "seed_2.pt"]
    for folder, size in (("alone", 1), ("together", 2)):
        # Every job that trains keeps its events where the config says.
        limit = {"memory_limit": 0} if size > 1 else {}
        configs[folder] = place.overlay(
            f"{folder}.yaml",
            results=f"results/{folder}",
            samples={"train": {"events": 500}, "validation": {"events": 100}},
            estimators={
                "gnn": {"seeds": 3, "seeds_per_job": size, "training": training, **limit},
                "gnn_factorised": {"seeds": 2, "seeds_per_job": size, "training": training},
            },
        )
        targets = [f"results/{folder}/estimators/gnn/ensemble.json"]
        # The figure that reads networks finds those of a group, too.
        figures = ["results/together/figures/fig3_gnn_factorised.csv"] if size > 1 else []
        outcome = place.run(*targets, *figures, config=configs[folder])
        assert outcome.returncode == 0, outcome.stdout
    logs = tmp_path / "results/together/logs/estimators/gnn"
    for name in ("seeds_0_to_1", "seed_2"):
        assert "events are kept in files" in (logs / f"{name}.log").read_text()
    plan = place.plan("--forceall", *targets, config=configs["together"])
    assert plan == {
        "generate_sample": 2,
        "train_networks_together": 1,
        "train_network": 1,
        "average_ensemble": 1,
    }
    # Each network still has a history of its own.
    assert (
        len(
            pd.read_parquet(
                tmp_path / "results/together/estimators/gnn/seeds_0_to_1/seed_1.history.parquet"
            )
        )
        == 1
    )
    jets = read_jets(tmp_path / "results/alone/samples/train")
    for pair in zip(files["alone"], files["together"], strict=True):
        alone, together = (
            load(tmp_path / "results" / folder / "estimators/gnn" / file)
            for folder, file in zip(configs, pair, strict=True)
        )
        np.testing.assert_allclose(alone.efficiency(jets), together.efficiency(jets), rtol=1e-3)


@pytest.mark.slow(seconds=35)
def test_studies_make_what_they_need_and_nothing_else(tmp_path: Path) -> None:
    """A learning curve of two points, and the work of one network."""
    place = Workplace(tmp_path)
    config = place.overlay(
        "study.yaml",
        results="results/study",
        samples={"train": {"events": 500}, "validation": {"events": 100}, "test": {"events": 400}},
        events_per_shard=400,
        exports=None,
        estimators={
            "gnn": {
                "seeds": 1,
                "architecture": {"width": 8, "blocks": 1, "head": [8]},
                "training": {"epochs": 1},
            },
            "mlp": None,
            "gnn_geometric": None,
            "gnn_factorised": None,
            "additive": None,
            "delta_r": None,
        },
        learning_curve={
            "points": [
                {"events": 200, "training": {"epochs": 2, "batch_events": 50}},
                {"events": 500},
            ]
        },
        figures={"efficiencies": None, "only": ["learning_curve", "training_cost"]},
    )
    outcome = place.run(config=config)
    assert outcome.returncode == 0, outcome.stdout
    results = tmp_path / "results/study"
    assert {path.name for path in results.iterdir()} == {
        ".run", "samples", "estimators", "learning_curve", "figures", "tables", "logs",
    }  # fmt: skip
    assert {path.name for path in (results / "samples").iterdir()} == {
        "train",
        "validation",
        "test",
    }
    drawn = {
        f"{figure}.{kind}"
        for figure in ("learning_curve", "training_cost")
        for kind in ("png", "pdf", "csv")
    }
    # Beside a table is a hidden file with its digest.
    assert {path.name for path in (results / "figures").glob("[!.]*")} == drawn

    numbers = pd.read_csv(results / "figures/learning_curve.csv")
    assert len(numbers) == 2 * 2 * 4
    everything = numbers[numbers["flavour"] == "all"].set_index(["efficiency", "events"])
    assert everything.loc["gnn", "seeds"].tolist() == [1, 1]
    assert everything.loc["map", "seeds"].isna().all()
    # The regret of a single network is the mean of such.
    gnn = everything.loc["gnn"]
    assert gnn["member_regret"].to_numpy() == pytest.approx(gnn["regret"].to_numpy())
    assert list(pd.read_csv(results / "tables/learning_curve.csv")) == ["events", "map", "gnn"]

    train, test = (read_jets(results / "samples" / name) for name in ("train", "test"))
    for events in (200, 500):
        part = train.first(events)
        assert everything.loc[("map", events), "train_jets"] == part.n_jets
        fitted = load(results / f"learning_curve/{events}/estimators/map/nominal.parquet")
        assert fitted.total.sum() == part.n_jets
        regret = excess_loss(test.efficiency_true, fitted.efficiency(test)).mean()
        assert everything.loc[("map", events), "regret"] == pytest.approx(regret)
    content = torch.load(results / "learning_curve/200/estimators/gnn/seed_0.pt", weights_only=True)
    assert content["provenance"]["train_events"] == 200
    assert content["provenance"]["training"]["batch_events"] == 50
    histories = [
        f"learning_curve/{events}/estimators/gnn/seed_0.history.parquet" for events in (200, 500)
    ]
    assert [len(pd.read_parquet(results / path)) for path in histories] == [2, 1]
    # A network of the whole sample is the one that the last point trains.
    whole, last = (
        torch.load(results / f"{folder}estimators/gnn/seed_0.pt", weights_only=True)["state"]
        for folder in ("", "learning_curve/500/")
    )
    assert all(torch.equal(whole[key], last[key]) for key in whole)
    assert place.plan(config=config) == {}


def test_every_jet_knows_whether_it_is_in_the_domain(finished: Workplace) -> None:
    results = finished.folder / "results/tiny"
    summary = pd.read_csv(results / "tables/summary.csv")
    inside = pd.read_csv(results / "tables/summary_in_domain.csv").set_index(
        ["sample", "efficiency", "flavour"]
    )
    for sample in WEIGHTED:
        jets, flags = (
            read_jets(results / "samples" / sample),
            pd.read_parquet(results / f"domain/{sample}.parquet"),
        )
        assert list(flags) == ["event", "in_domain", "distance"]
        assert np.array_equal(flags["event"], jets.per_jet("event"))
        assert np.array_equal(flags["in_domain"], flags["distance"] <= 1)
        of_sample = summary[(summary["sample"] == sample) & (summary["flavour"] == "all")]
        assert of_sample["in_domain"].to_numpy() == pytest.approx(flags["in_domain"].mean())
        assert inside.loc[(sample, "gnn", "all"), "jets"] == flags["in_domain"].sum()
        assert inside.loc[(sample, "gnn", "all"), "in_domain"] == 1
    hard = read_jets(results / "samples/boson").pt > 600
    assert hard.any()
    assert not pd.read_parquet(results / "domain/boson.parquet")["in_domain"][hard].any()


def test_a_required_closure_that_fails_stops_the_workflow(copy: Workplace) -> None:
    """Three epochs are too few: the networks do not close without a wide error; the truth does."""
    table = pd.read_csv(copy.folder / "results/tiny/tables/closure.csv")
    failing = table[table["verdict"] == "does not close"].iloc[0]
    wanted = {
        key: str(failing[key])
        for key in ("sample", "distribution", "panel", "events", "efficiency")
    }
    good = copy.overlay(
        "good.yaml", closure={"required": [{"efficiency": "true", "distribution": "delta_r"}]}
    )
    assert copy.run(config=good).returncode == 0
    checked = pd.read_csv(
        copy.folder / "results/tiny/tables/required_closure.csv", dtype={"efficiency": str}
    )
    assert set(checked["efficiency"]) == {"true"}
    bad = copy.overlay(
        "bad.yaml",
        closure={"required": [{"efficiency": "true", "distribution": "delta_r"}, wanted]},
    )
    outcome = copy.run(config=bad)
    assert outcome.returncode != 0
    assert "1 of " in outcome.stdout
    assert "required closures fail" in outcome.stdout
    assert (
        f"{wanted['efficiency']}, sample {wanted['sample']}, {failing['distribution']}"
        in outcome.stdout
    )
    assert not (copy.folder / "results/tiny/tables/required_closure.csv").exists()
    assert (copy.folder / "results/tiny/tables/closure.csv").exists()


@pytest.mark.slow(seconds=40)
def test_repeated_training_samples(tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    config = place.overlay(
        "repeated.yaml",
        results="results/repeated",
        samples={"train": {"events": 1000}, "validation": {"events": 300}, "test": {"events": 500}},
        events_per_shard=400,
        exports=None,
        estimators={
            "map": {"replicas": 2},
            "delta_r": None,
            "additive": None,
            "gnn": {
                "seeds": 2,
                "architecture": {"width": 8, "blocks": 1, "head": [8]},
                "training": {"epochs": 1},
            },
            "mlp": None,
            "gnn_geometric": None,
            "gnn_factorised": None,
        },
        repeated={
            "samples": 5,
            "events": 200,
            "samples_per_job": 3,
            "networks": {"samples": 3, "events": 300},
        },
        figures={"efficiencies": None, "only": ["repeated"]},
    )
    outcome = place.run(config=config)
    assert outcome.returncode == 0, outcome.stdout
    results = tmp_path / "results/repeated"
    files = [
        results / f"repeated/{part}/estimators/gnn/seed_{seed}.pt"
        for part in range(3)
        for seed in range(2)
    ]
    contents = [torch.load(path, weights_only=True) for path in files]
    assert [content["provenance"]["train_events"] for content in contents] == [300] * 6
    # Each sample and each seed has weights of its own, and inputs scaled to its own events.
    first, *others = (content["state"]["standardise.mean"] for content in contents[::2])
    assert not any(torch.equal(first, other) for other in others)
    train = read_jets(results / "samples/train")
    second = train.take(slice(300, 600))
    assert contents[2]["state"]["standardise.mean"][0] == pytest.approx(second.pt.mean(), rel=1e-4)
    assert (results / "figures/repeated.png").stat().st_size > 500
    covariance = pd.read_csv(results / "tables/repeated_covariance.csv")
    assert dict(covariance.groupby("efficiency")["samples"].max()) == {"map": 5, "gnn": 3}
    coverage = pd.read_csv(results / "tables/repeated_coverage.csv")
    of_jets = coverage[coverage["of"] == "jets"]
    assert list(of_jets["flavour"]) == ["b", "c", "light"] * 2
    assert list(of_jets["samples"]) == [5] * 3 + [3] * 3
    # A map is fitted to the events of its own sample, as a fit to them alone says.
    fourth = train.take(slice(600, 800))
    kind, options = kind_and_options({**MAP, "replicas": 2}, "estimators.map")
    alone = kind.fit(fourth, fourth, options, (1,))
    test = read_jets(results / "samples/test")
    regret = excess_loss(test.efficiency_true, alone.efficiency(test)).mean()
    measured = pd.read_csv(results / "repeated/samples_3_to_4/map.accuracy.csv")
    assert measured["sample"].unique().tolist() == [3, 4]
    assert measured["regret"].iloc[0] == pytest.approx(regret, rel=1e-12)
    accuracy = pd.read_csv(results / "tables/repeated_accuracy.csv")
    assert list(accuracy["flavour"]) == ["all", "b", "c", "light"] * 2


def test_the_studies_plan_what_they_show(tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    plan = place.plan(config="config/studies/learning_curve.yaml")
    assert plan["fit_map_on_part"] == 5 * 4
    # Twenty networks of three kinds and eight of `mlp` at three points, one of each at the last.
    assert plan["train_network_on_part"] == 3 * (3 * 20 + 8) + 4
    assert plan["learning_point"] == 9 * 4
    # Samples of 1,000,000, 200,000 and 100,000 events; the boson sample is not needed.
    assert plan["generate_sample"] == 20 + 4 + 2
    assert plan["draw_figure"] == 1
    assert not {"fit_map", "predict", "summary", "closure"} & set(plan)
    plan = place.plan(config="config/studies/repeated.yaml")
    # Three estimators in tens of a hundred samples; twelve times six networks of three kinds.
    assert plan["repeated_fits"] == 3 * 10
    assert plan["train_network_on_repeated_sample"] == 3 * 12 * 6
    assert plan["repeated_sample"] == 3 * 12
    assert not {"fit_map", "replicate_map", "predict", "summary", "closure"} & set(plan)
    config = yaml.safe_load((tmp_path / "config/studies/schedule.yaml").read_text())
    variants = [network for network in config["estimators"].values() if network]
    plan = place.plan(config="config/studies/schedule.yaml")
    assert plan == {
        "generate_sample": 3,
        "train_network": sum(network["seeds"] for network in variants),
        "figure_numbers": 1,
        "draw_figure": 1,
    }


def test_the_example_in_the_docs_runs(finished: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of docs/inspect.md, top to bottom, as a reader would run them after a run."""
    text = (ROOT / "docs/inspect.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 12
    monkeypatch.chdir(finished.folder)
    code = "\n".join(blocks).replace('Path("results")', 'Path("results/tiny")')
    names: dict[str, object] = {}
    exec(compile(code, "docs/inspect.md", "exec"), names)  # noqa: S102
    assert {"map_", "gnn", "weight", "tagged"} <= names.keys()


def test_the_report_holds_figures_captions_and_tables(copy: Workplace) -> None:
    outcome = copy.run("--report", "results/tiny/report.html")
    assert outcome.returncode == 0, outcome.stdout
    page = (copy.folder / "results/tiny/report.html").read_text()
    for text in (
        "what weighting buys",
        "What weighting buys (the paper",
        "bends away from 1",
        "does weighting by each efficiency",
    ):
        assert text in page, text
    assert not re.search(r"<(script|link)[^>]+(src|href)=.https?:", page), (
        "the page needs the network"
    )
