"""Samples that are read, through the whole workflow: as the toy's own, cross-fitted, weighted."""

from __future__ import annotations

import re
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
    estimators: dict[str, Any] = dict.fromkeys(
        ("smoothed", "delta_r", "additive", *NETWORKS_OF_PAPER)
    )
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
            # On one core and on two: that makes no difference either.
            outcome = place.run(*targets, config=config, cores=1 if name == "toy" else 2)
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
            torch.load(folder / f"estimators/gnn/seeds_0_to_1/seed_{seed}.pt", weights_only=True)[
                "state"
            ]
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
    counts = [
        len(pd.read_parquet(results / f"events/train/000{shard}.parquet")) for shard in (0, 1, 2)
    ]
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
    (line,) = [one for one in outcome.stdout.splitlines() if "Jet_btga" in one and ".root" in one][
        :1
    ]
    assert "data/validation/0.root" in line
    assert "Jet_btag" in line.replace("Jet_btga", "")
    left = [path for path in (place.folder / "results/wrong").rglob("*") if path.is_file()]
    assert {path.suffix for path in left if path.name != ".run"} <= {".log"}, left


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
            "additive": None,
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


def results_of(place: Workplace) -> Path:
    """The results of the analysis."""
    return place.folder / "results/own"


def fitted_files(results: Path, name: str) -> dict[int, list[Path]]:
    """The files that weight the events of each fold, as the metadata of a prediction name them."""
    stated = read_metadata(results / f"predictions/ttbar/{name}.parquet")["folds"]["weighted_by"]
    folder = results / "estimators" / name
    return {int(fold): [folder / file for file in files] for fold, files in stated.items()}


def folds_in(path: Path) -> dict[str, Any]:
    """What a file of an estimator says of the folds that it saw."""
    if path.suffix == ".pt":
        provenance = torch.load(path, weights_only=True)["provenance"]
    else:
        provenance = read_metadata(path)
    folds: dict[str, Any] = provenance["folds"]
    return folds


@pytest.mark.slow(seconds=95)
def test_provenance_alone_tells_that_no_event_is_weighted_by_what_saw_it(own: Workplace) -> None:
    results = results_of(own)
    for name in OWN:
        files = fitted_files(results, name)
        assert set(files) == set(range(FOLDS))
        assert all(len(of_fold) == 2 for of_fold in files.values())
        for fold, of_fold in files.items():
            for path in of_fold:
                stated = folds_in(path)
                seen = {*stated["learned_from"], *stated["chosen_on"]}
                assert (stated["count"], stated["by"]) == (FOLDS, "event")
                assert seen == set(range(FOLDS)) - {fold}
                # Networks keep the epoch that is best on events that they did not learn from.
                assert len(stated["chosen_on"]) == (path.suffix == ".pt")
                assert not set(stated["learned_from"]) & set(stated["chosen_on"])
    events = in_file(own.folder / "data/ttbar")
    jets = read_jets(results / "samples/ttbar")
    number = dict(zip(events["file"] * 2**32 + events["entry"], events["event"], strict=True))
    fold_of_event = np.array([number[event] % FOLDS for event in jets.event])
    for path in (
        file for files in fitted_files(results, "gnn_geometric").values() for file in files
    ):
        learned = folds_in(path)["learned_from"]
        content = torch.load(path, weights_only=True)
        assert content["provenance"]["train_events"] == np.isin(fold_of_event, learned).sum()


def test_events_that_were_learned_from_are_predicted_by_the_rest(own: Workplace) -> None:
    results = results_of(own)
    jets = read_jets(results / "samples/ttbar")
    fold_of_event = jets.event_number % FOLDS
    fold_of_jet = fold_of_event[jets.event_of_jet]
    columns = [f"efficiency_{point}" for point in POINTS]
    for name in OWN:
        frame = pd.read_parquet(results / f"predictions/ttbar/{name}.parquet")
        stored = frame[columns].to_numpy()
        cross_fitted = load(results / "estimators" / name)
        assert isinstance(cross_fitted, CrossFitted)
        np.testing.assert_allclose(stored, cross_fitted.held_out.efficiency(jets), rtol=1e-6)
        # The same by the files alone: the nominal map of the fold, or the mean of its networks.
        for fold, files in fitted_files(results, name).items():
            inside = jets.take(fold_of_event == fold)
            if name == "map":
                expected = load(files[0]).efficiency(inside)
            else:
                expected = Ensemble.load(files).efficiency(inside)
            np.testing.assert_allclose(stored[fold_of_jet == fold], expected, rtol=1e-6)


def test_another_sample_is_predicted_by_all_members(own: Workplace) -> None:
    results = results_of(own)
    jets = read_jets(results / "samples/other")
    columns = [f"efficiency_{point}" for point in POINTS]
    n_replicas = {"map": 2, "gnn_geometric": 2 * FOLDS}
    for name in OWN:
        path = results / f"predictions/other/{name}.parquet"
        assert "folds" not in read_metadata(path)
        cross_fitted = load(results / "estimators" / name)
        expected, replicas = cross_fitted.with_replicas(jets)
        np.testing.assert_allclose(pd.read_parquet(path)[columns], expected, rtol=1e-6)
        assert len(replicas) == n_replicas[name]
        stored = pd.read_parquet(path.with_suffix(".replicas.parquet"))
        assert stored.shape[1] == n_replicas[name] * len(POINTS)
    networks = sorted((results / "estimators/gnn_geometric").glob("seeds_*/seed_*.pt"))
    assert len(networks) == 2 * FOLDS
    mean = Ensemble.load(networks).efficiency(jets)
    stored = pd.read_parquet(results / "predictions/other/gnn_geometric.parquet")[columns]
    np.testing.assert_allclose(stored, mean, rtol=1e-5)


def test_weights_have_a_row_for_each_event_of_the_files(own: Workplace) -> None:
    results = results_of(own)
    for sample in ("ttbar", "other"):
        events = in_file(own.folder / "data" / sample)
        jets = read_jets(results / "samples" / sample)
        for name in OWN:
            table = pd.read_parquet(results / f"weights/{sample}/{name}.parquet")
            assert len(table) == len(events)
            theirs = {"luminosity_block": "luminosityBlock", "event_number": "event"}
            for column in ("file", "entry", "run", "luminosity_block", "event_number"):
                assert np.array_equal(table[column], events[theirs.get(column, column)]), column
            assert np.array_equal(table["weight"], events["genWeight"].astype(float))
            predicted = pd.read_parquet(results / f"predictions/{sample}/{name}.parquet")
            empty = ~np.isin(table["event"], jets.event)
            assert np.array_equal(table["event"][~empty], jets.event)
            assert empty.mean() == pytest.approx(0.05, abs=0.01)
            for point in POINTS:
                exactly = table[[f"p_tag_{number}_{point}" for number in range(4)]]
                assert (exactly[empty].to_numpy() == [1, 0, 0, 0]).all()
                eff = predicted[f"efficiency_{point}"].to_numpy()
                none = np.multiply.reduceat(1 - eff, jets.offsets[:-1])
                np.testing.assert_allclose(exactly[f"p_tag_0_{point}"][~empty], none, atol=1e-12)
                assert (table[f"p_tag_ge_1_{point}"][empty] == 0).all()
            # What passes the tighter point passes the looser one.
            assert (table["p_tag_ge_1_tight"] <= table["p_tag_ge_1_loose"] + 1e-12).all()


def test_efficiencies_go_back_to_the_jets_of_the_files(own: Workplace) -> None:
    """A permutation: where an event begins in its file, and the position of each jet."""
    results = results_of(own)
    jets = read_jets(results / "samples/ttbar")
    efficiency = pd.read_parquet(results / "predictions/ttbar/map.parquet")["efficiency_loose"]
    is_taken = 0
    for path in sorted((own.folder / "data/ttbar").glob("*.root")):
        with uproot.open(path) as file:
            branches = file["Events"].arrays(["Jet_pt", "Jet_eta", "Jet_hadronFlavour"])
        counts = ak.to_numpy(ak.num(branches["Jet_pt"]))
        begins = np.cumsum(counts) - counts
        own_number = file_number(f"data/ttbar/{path.name}")
        rows = np.flatnonzero((jets.event >> 32)[jets.event_of_jet] == own_number)
        entry = (jets.event & 0xFFFFFFFF)[jets.event_of_jet[rows]]
        place = begins[entry] + jets.position[rows]
        assert len(np.unique(place)) == len(place)
        back = np.full(counts.sum(), np.nan)
        back[place] = efficiency.to_numpy()[rows]
        pt, eta, flavour = (ak.to_numpy(ak.flatten(branches[name])) for name in branches.fields)
        assert np.array_equal(pt[place], jets.pt[rows])
        assert np.array_equal(flavour[place], jets.flavour[rows])
        # Every jet that is in the selection has an efficiency, and no other.
        assert np.array_equal(np.isfinite(back), (pt > 20) & (np.abs(eta) < 2.5))
        # Jets of the files are out of order.
        assert not len(place) or (np.diff(place) < 0).any()
        is_taken += len(place)
    assert is_taken == jets.n_jets


def test_every_file_that_a_run_makes_is_asked_for(own: Workplace) -> None:
    """One that was removed is missed, then: the table of all events of a file, say."""
    assert own.files_not_asked_for("results/own", "config/own.yaml") == set()


def test_every_file_has_a_friend(own: Workplace) -> None:
    """Entry by entry: lengths are those of the file, sums of weights those of the workflow."""
    results = results_of(own)
    for sample in ("ttbar", "other"):
        predicted = read_jets(results / "samples" / sample)
        sums = dict.fromkeys(OWN, 0.0)
        n_eff = 0
        for number, path in enumerate(sorted((own.folder / "data" / sample).glob("*.root"))):
            friend = results / f"exports/friends/{sample}/{number:04d}"
            with uproot.open(path) as file, uproot.open(f"{friend}.root") as beside:
                events = file["Events"].arrays(["event", "nJet"], library="np")
                branches = beside["truthtag"].arrays()
            assert np.array_equal(ak.to_numpy(branches["event"]), events["event"])
            table = pd.read_parquet(f"{friend}.parquet")
            assert len(table) == len(events["event"])
            for name in OWN:
                eff = branches[f"Jet_eff_{name}_loose"]
                assert np.array_equal(ak.to_numpy(ak.num(eff)), events["nJet"])
                n_eff += int(ak.sum(eff >= 0))
                sums[name] += float(ak.sum(branches[f"p_tag_ge_1_loose_{name}"]))
        assert n_eff == len(OWN) * predicted.n_jets
        for name in OWN:
            weights = pd.read_parquet(results / f"weights/{sample}/{name}.parquet")
            assert sums[name] == pytest.approx(weights["p_tag_ge_1_loose"].sum(), rel=1e-12)


def test_networks_of_a_fold_leave_as_one_file(own: Workplace) -> None:
    """Events of the training sample: the file of their fold says what the workflow weights with."""
    results = results_of(own)
    jets = read_jets(results / "samples/ttbar")
    fitted = load(results / "estimators/gnn_geometric")
    columns = [f"efficiency_{point}" for point in POINTS]
    path = results / "predictions/ttbar/gnn_geometric.parquet"
    predicted = pd.read_parquet(path)[columns].to_numpy()
    of_event = fitted.folds.of(jets)
    for fold in range(FOLDS):
        exported = load(results / f"exports/onnx/gnn_geometric.fold_{fold}.onnx")
        inside = of_event[jets.event_of_jet] == fold
        np.testing.assert_allclose(
            exported.efficiency(jets.take(of_event == fold)), predicted[inside], rtol=1e-5
        )


def test_every_table_tells_the_working_points_apart(own: Workplace) -> None:
    tables = results_of(own) / "tables"
    for name in ("summary", "likelihood", "calibration", "scales"):
        assert set(pd.read_csv(tables / f"{name}.csv")["working_point"]) == set(POINTS), name
    # Single jets are looked at for every point, the histogram at the one that it names.
    for name in ("closure", "verdict"):
        table = pd.read_csv(tables / f"{name}.csv")
        histogram = table[table["distribution"] == "delta_r"]
        assert set(histogram["working_point"]) == {"tight"}, name
        assert set(table["working_point"]) == set(POINTS), name
    verdict = pd.read_csv(tables / "verdict.csv")
    assert list(verdict)[-2:] == list(OWN)
    samples = pd.read_csv(tables / "samples.csv").set_index(["sample", "flavour"])
    jets = read_jets(results_of(own) / "samples/ttbar")
    for number, point in enumerate(POINTS):
        tagged = (jets.tag_bin > number).mean()
        assert samples.loc[("ttbar", "all"), f"tagged_fraction_{point}"] == pytest.approx(tagged)
    weights = read_frames([results_of(own) / "events/ttbar/0000.parquet"])["weight"]
    assert set(weights) == {-1.0, 1.0}
    effective = samples.loc[("ttbar", "all"), "effective_events"]
    events = in_file(own.folder / "data/ttbar")["genWeight"]
    assert effective == pytest.approx(events.sum() ** 2 / (events**2).sum())


def test_without_a_truth_nobody_speaks_of_it(own: Workplace) -> None:
    results = results_of(own)
    assert not list((results / "tables").glob("*coverage*"))
    assert not list((results / "figures").glob("*coverage*"))
    drawn = {path.stem for path in (results / "figures").glob("*.png")}
    assert drawn == {"fig1", "fig2", "closure_delta_r", "cells_ttbar", "calibration", "training"}
    assert all(path.stat().st_size > 500 for path in (results / "figures").glob("[!.]*"))
    for name in ("verdict", "tables"):
        page = (results / f"tables/{name}.html").read_text().lower()
        assert not re.search(r"\btruth\b|regret|coverage", page), name
    for table in (results / "tables").glob("*.csv"):
        assert not {"regret", "true", "residual_mean"} & set(pd.read_csv(table)), table
    report = (results / "report.html").read_text()
    assert "How often the truth" not in report
    assert "Against the truth" not in report
    # It opens with the table of verdicts, whose cells have these classes.
    assert re.search(r"<td class=\W+(closes|within|fails|untested)\W", report)
