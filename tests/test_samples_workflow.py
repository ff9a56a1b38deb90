"""Samples that are read, through the whole workflow: as the toy's own, cross-fitted, weighted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from nano import nano_thresholds, write_nano
from reader_files import LABELS, POINT, WITH_TRUTH, options_of
from workplace import Workplace, made_once

from truthtag.axis import EqualBins
from truthtag.data.files import read_frames, read_metadata
from truthtag.data.folds import file_number
from truthtag.data.jets import Jets, concatenate, read_jets
from truthtag.data.readers.convert import convert
from truthtag.estimators.binned import BinnedMap, BinnedOptions
from truthtag.estimators.cross_fitting import CrossFitted
from truthtag.estimators.ensemble import Ensemble, load
from truthtag.statistics.accuracy import excess_loss
from truthtag.toy.generation import generate
from truthtag.toy.multijet import Multijet
from truthtag.toy.neighbour_product import NeighbourProduct

uproot = pytest.importorskip("uproot", reason="the extra 'readers' is not installed")
ak = pytest.importorskip("awkward", reason="the extra 'readers' is not installed")

pytestmark = pytest.mark.slow

NETWORK = {
    "architecture": {"width": 8, "blocks": 1, "hidden": None, "head": [8]},
    "training": {"epochs": 1, "batch_events": 100},
}
"""As small as it gets."""
NETWORKS_OF_PAPER = ("mlp", "gnn", "gnn_geometric", "gnn_factorised")

READER = {
    "format": "nanoaod",
    "discriminant": "Jet_btag",
    "pt": [20.0, None],
    "abs_eta": [None, 2.5],
}
"""A reader of files of :func:`write_nano`."""

Ends = tuple[tuple[int, int], ...]


def write_files(jets: Jets, folder: Path, ends: Ends, seed: int = 1) -> None:
    """Write events as files of NanoAOD's layout: each file the events from one number to another.

    A tenth of the weights are negative, jets are out of order, 5% of the events have no jet that
    would be selected, and jets were not scored: what :func:`write_nano` does unasked.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number, (first, last) in enumerate(ends):
        write_nano(jets.take(slice(first, last)), folder / f"{number}.root", rng)


def in_file(folder: Path) -> pd.DataFrame:
    """Read the events of a folder by uproot alone: a row for each, in the order of the files."""
    frames = []
    for path in sorted(folder.glob("*.root")):
        with uproot.open(path) as file:
            tree = file["Events"]
            names = ("run", "luminosityBlock", "event", "genWeight", "nJet")
            frame = pd.DataFrame({name: tree[name].array(library="np") for name in names})
        # The workflow knows a file by the path that the config states.
        stated = str(path.relative_to(folder.parents[1]))
        frame.insert(0, "file", file_number(stated))
        frame.insert(1, "entry", np.arange(len(frame)))
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def write_config(place: Workplace, name: str, **config: Any) -> str:
    """Write a config that lies on one of the bases, and return its path."""
    (place.folder / "config" / name).write_text(yaml.safe_dump(config))
    return f"config/{name}"


# ---- the same events, as the toy's own and from files


def generated(
    multijet: Multijet, truth: NeighbourProduct, name: str, events: int, **more: Any
) -> Jets:
    """The events that the workflow generates for a sample of this name, by seed 1."""
    return concatenate(list(generate(multijet, truth, range(events), (1, name), **more)))


def alike_config(samples: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A config of a map and networks on the toy's base."""
    estimators: dict[str, Any] = dict.fromkeys(("smoothed", "delta_r", *NETWORKS_OF_PAPER))
    estimators["map"] = {"replicas": 2, "weights": "ignore"}
    estimators["gnn"] = {"seeds": 2, "seeds_per_job": 2, **NETWORK}
    return {
        "samples": {"boson": None, **samples},
        "roles": {"judged": ["test"]},
        "estimators": estimators,
        "distributions": dict.fromkeys(("boson_delta_r", "boson_m_jj")),
        "figures": {"efficiencies": None},
        **more,
    }


EVENTS = {"train": 1200, "validation": 300, "test": 600}
ENDS: dict[str, Ends] = {
    "train": ((0, 700), (700, 700), (700, 1200)),
    "validation": ((0, 300),),
    "test": ((0, 600),),
}
"""The events of each file; one of the training sample has none."""


@pytest.fixture(scope="session")
def alike(
    tmp_path_factory: pytest.TempPathFactory,
    worker_id: str,
    multijet: Multijet,
    truth: NeighbourProduct,
) -> Workplace:
    """A workplace where the same events were generated, and read from files; fitted and
    predicted."""

    def make(place: Workplace) -> None:
        toy = {name: {"events": events} for name, events in EVENTS.items()}
        files = {}
        for name, events in EVENTS.items():
            jets = generated(multijet, truth, name, events)
            write_files(jets, place.folder / "data" / name, ENDS[name])
            nothing = {"generator": None, "events": None}
            files[name] = {**nothing, "reader": "cms", "files": f"data/{name}/*.root"}
        reader = {**READER, "columns": {"efficiency_true": "Jet_eff"}}
        stated = alike_config(toy, results="results/toy", events_per_shard=500)
        configs = [write_config(place, "toy.yaml", **stated)]
        stated = alike_config(
            files,
            results="results/nano",
            readers={"cms": reader},
            working_points={"medium": nano_thresholds()[0]},
        )
        configs.append(write_config(place, "nano.yaml", **stated))
        for name, config in zip(("toy", "nano"), configs, strict=True):
            targets = [f"results/{name}/predictions/test/{one}.parquet" for one in ("map", "gnn")]
            outcome = place.run(*targets, config=config)
            assert outcome.returncode == 0, outcome.stdout

    return made_once("alike", make, tmp_path_factory, worker_id)


@pytest.mark.slow(seconds=60)
def test_events_in_files_give_what_the_toy_gives(alike: Workplace) -> None:
    toy = alike.folder / "results/toy"
    nano = alike.folder / "results/nano"
    for name in EVENTS:
        one = read_jets(toy / "samples" / name)
        other = read_jets(nano / "samples" / name)
        assert np.array_equal(other.event_number, one.event)
        for column in ("offsets", *one.jet_columns):
            # The scores of the files say the same tags in other numbers.
            if column != "score":
                assert np.array_equal(getattr(one, column), getattr(other, column)), column
        assert (other.weight < 0).any()
    for file in ("nominal", "replicas"):
        maps = [
            pd.read_parquet(folder / f"estimators/map/{file}.parquet") for folder in (toy, nano)
        ]
        pd.testing.assert_frame_equal(*maps, check_exact=True)
    for seed in range(2):
        states = [
            torch.load(
                folder / f"estimators/gnn/seeds_0_to_1/seed_{seed}.pt", weights_only=True
            )["state"]
            for folder in (toy, nano)
        ]
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    true = read_jets(toy / "samples/test").efficiency_true
    for name in ("map", "gnn"):
        efficiencies = [
            pd.read_parquet(folder / f"predictions/test/{name}.parquet")["efficiency"].to_numpy()
            for folder in (toy, nano)
        ]
        regrets = [excess_loss(true, values).mean() for values in efficiencies]
        assert regrets[0] == regrets[1] > 0


def test_a_file_without_events_becomes_a_shard_without_rows(alike: Workplace) -> None:
    results = alike.folder / "results/nano"
    counts = [len(pd.read_parquet(results / f"events/train/000{shard}.parquet")) for shard in (0, 1, 2)]
    assert counts[1] == 0 < min(counts[0], counts[2])
    assert len(pd.read_parquet(results / "samples/train/0001.parquet")) == 0


def test_maps_of_many_events_in_files_are_those_of_the_toy(sample: Jets, tmp_path: Path) -> None:
    """20,000 events; where weights count, the toy's events get the signs of the files'."""
    train, test = sample.take(slice(0, 15_000)), sample.take(slice(15_000, 20_000))
    write_files(train, tmp_path / "train", ((0, 6_000), (6_000, 6_000), (6_000, 15_000)))
    write_files(test, tmp_path / "test", ((0, 5_000),))
    read = {}
    for name in ("train", "test"):
        for number, path in enumerate(sorted((tmp_path / name).glob("*.root"))):
            shard = tmp_path / f"samples/{name}/{number:04d}.parquet"
            events = tmp_path / f"events/{name}/{number:04d}.parquet"
            options = options_of(**WITH_TRUTH)
            convert(path, options, LABELS, POINT, {}, 1.0, None, shard, events, {})
        read[name] = read_jets(tmp_path / "samples" / name)
    assert np.mean(read["train"].weight < 0) == pytest.approx(0.1, abs=0.01)
    signed = train.with_columns(weight=read["train"].weight)
    for weights, toy in (("ignore", train), ("use", signed)):
        options = BinnedOptions(
            pt=EqualBins(bins=19, low=20, high=600),
            eta=EqualBins(bins=10, low=-2.5, high=2.5),
            weights=weights,
        )
        one = BinnedMap.fit(toy, toy, options, (1, "map"))
        other = BinnedMap.fit(read["train"], read["train"], options, (1, "map"))
        assert np.array_equal(one.total, other.total)
        assert np.array_equal(one.tagged, other.tagged)
        regret = excess_loss(test.efficiency_true, one.efficiency(test)).mean()
        assert excess_loss(test.efficiency_true, other.efficiency(read["test"])).mean() == regret


def test_what_changes_in_a_reader_or_its_files_runs_what_it_concerns(
    alike: Workplace, tmp_path: Path
) -> None:
    place = alike.copied_to(tmp_path / "copy")
    targets = [f"results/nano/predictions/test/{name}.parquet" for name in ("map", "gnn")]
    assert place.plan(*targets, config="config/nano.yaml") == {}
    harder = write_config(place, "harder.yaml", readers={"cms": {"pt": [25.0, None]}})
    plan = place.plan(*targets, config=f"config/nano.yaml {harder}")
    fits = {"fit_map": 1, "replicate_map": 1, "train_networks_together": 1, "average_ensemble": 1}
    assert plan == {"read_sample": 5, **fits, "predict": 2}
    # Another file of the training sample, which comes last.
    added = place.folder / "data/train/3.root"
    added.write_bytes((place.folder / "data/validation/0.root").read_bytes())
    plan = place.plan(*targets, config="config/nano.yaml")
    assert plan == {"read_sample": 1, **fits, "predict": 2}


# ---- mistakes


def test_a_branch_that_is_missing_stops_the_reading(alike: Workplace, tmp_path: Path) -> None:
    place = alike.copied_to(tmp_path / "copy")
    wrong = write_config(
        place, "wrong.yaml", results="results/wrong", readers={"cms": {"discriminant": "Jet_btga"}}
    )
    target = "results/wrong/samples/validation/0000.parquet"
    outcome = place.run(target, config=f"config/nano.yaml {wrong}")
    assert outcome.returncode != 0
    (line,) = [one for one in outcome.stdout.splitlines() if "Jet_btga" in one and ".root" in one][:1]
    assert "data/validation/0.root" in line
    assert "Jet_btag" in line.replace("Jet_btga", "")
    left = [path for path in (place.folder / "results/wrong").rglob("*") if path.is_file()]
    assert {path.suffix for path in left} <= {".log"}, left


def test_two_samples_with_the_same_events_are_refused(alike: Workplace, tmp_path: Path) -> None:
    place = alike.copied_to(tmp_path / "copy")
    both = write_config(
        place,
        "both.yaml",
        results="results/both",
        samples={"test": {"files": ["data/test/0.root", "data/train/2.root"]}},
    )
    outcome = place.run(config=f"config/nano.yaml {both}")
    assert outcome.returncode != 0
    assert "'data/train/2.root' is read by samples.train, too" in outcome.stdout
    assert "Traceback" not in outcome.stdout
    assert not (place.folder / "results/both").exists()


# ---- an analysis of one's own: two working points, cross-fitting, no truth

FOLDS = 3
POINTS = ("loose", "tight")
OWN = ("map", "gnn_geometric")


def own_config() -> dict[str, Any]:
    """A config as an analyst writes it, all small."""
    distributions: dict[str, Any] = dict.fromkeys(
        ("leading_pt", "leading_eta", "m_jj", "ht", "n_jets")
    )
    distributions["delta_r"] = {"working_point": "tight", "axis": {"bins": 5}}
    return {
        "base": "samples",
        "results": "results/own",
        "readers": {"cms": READER},
        "working_points": dict(zip(POINTS, nano_thresholds(2), strict=True)),
        "samples": {
            "ttbar": {"reader": "cms", "files": "data/ttbar/*.root"},
            "other": {"reader": "cms", "files": "data/other/*.root"},
        },
        "roles": {"train": "ttbar", "validation": "ttbar", "judged": ["ttbar"], "folds": FOLDS},
        "estimators": {
            "map": {"replicas": 2},
            "gnn_geometric": {"seeds": 2 * FOLDS, "seeds_per_job": 2, **NETWORK},
            "gnn_factorised": None,
        },
        "distributions": distributions,
        "figures": {"only": None},
    }


@pytest.fixture(scope="session")
def own(
    tmp_path_factory: pytest.TempPathFactory,
    worker_id: str,
    multijet: Multijet,
    truth: NeighbourProduct,
) -> Workplace:
    """A workplace where an analysis ran to its end, from files without the truth."""

    def make(place: Workplace) -> None:
        points = {"loose": 0.8, "tight": 1.6}
        for name, ends in (("ttbar", ((0, 300), (300, 300), (300, 700))), ("other", ((0, 200),))):
            jets = generated(multijet, truth, name, ends[-1][1], working_points=points)
            unknown = jets.with_columns(efficiency_true=None)
            write_files(unknown, place.folder / "data" / name, ends)
        config = write_config(place, "own.yaml", **own_config())
        outcome = place.run(config=config)
        assert outcome.returncode == 0, outcome.stdout
        outcome = place.run("--report", "results/own/report.html", config=config)
        assert outcome.returncode == 0, outcome.stdout

    return made_once("own", make, tmp_path_factory, worker_id)
