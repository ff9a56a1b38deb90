"""The layout of the folder of results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from truthtag.data.files import write_table
from truthtag.errors import ConfigError
from truthtag.workflow.layout import Layout
from truthtag.workflow.options import Config, check_config


def small(default_config: dict[str, Any], **changes: Any) -> Layout:
    """The layout of a config with two samples' worth of shards, a map and two networks."""
    estimators = {
        "map": default_config["estimators"]["map"],
        "gnn": {**default_config["estimators"]["gnn"], "seeds": 2},
    }
    figures = {**default_config["figures"], "efficiencies": None}
    raw = {
        **default_config,
        "events_per_shard": 40_000,
        "estimators": estimators,
        "figures": figures,
        **changes,
    }
    return Layout(check_config(raw))


@pytest.fixture
def layout(config: Config) -> Layout:
    return Layout(config)


def test_every_path_is_a_pattern_where_wildcards_are_given(layout: Layout) -> None:
    assert layout.shard("{sample}", "{shard}") == "results/samples/{sample}/{shard}.parquet"
    assert layout.nominal("{name}") == "results/estimators/{name}/nominal.parquet"
    assert layout.replicas("{name}") == "results/estimators/{name}/replicas.parquet"
    assert layout.seed("{name}", "{seed}") == "results/estimators/{name}/seed_{seed}.pt"
    history = "results/estimators/{name}/seed_{seed}.history.parquet"
    assert layout.history("{name}", "{seed}") == history
    checkpoint = "results/estimators/{name}/seed_{seed}.checkpoint.pt"
    assert layout.checkpoint("{name}", "{seed}") == checkpoint
    assert layout.manifest("{name}") == "results/estimators/{name}/ensemble.json"
    prediction = "results/predictions/{sample}/{name}.parquet"
    assert layout.prediction("{sample}", "{name}") == prediction
    replicas = "results/predictions/{sample}/{name}.replicas.parquet"
    assert layout.prediction_replicas("{sample}", "{name}") == replicas
    assert layout.in_domain("{sample}") == "results/domain/{sample}.parquet"
    assert layout.weights("{sample}", "{name}") == "results/weights/{sample}/{name}.parquet"
    assert layout.histograms("{name}") == "results/histograms/{name}.parquet"
    assert layout.table("{name}") == "results/tables/{name}.csv"
    assert layout.table_page("{name}") == "results/tables/{name}.html"
    assert layout.figure("{figure}", "png") == "results/figures/{figure}.png"
    assert (
        layout.log("samples", "{sample}", "{shard}") == "results/logs/samples/{sample}/{shard}.log"
    )
    point = layout.curve_folder("{events}")
    assert layout.seed("{name}", "{seed}", point) == (
        "results/learning_curve/{events}/estimators/{name}/seed_{seed}.pt"
    )
    assert layout.curve_point("{events}", "{name}") == (
        "results/learning_curve/{events}/{name}.csv"
    )
    again = layout.repeated_folder("{number}")
    assert layout.manifest("{name}", again) == (
        "results/repeated/{number}/estimators/{name}/ensemble.json"
    )
    assert layout.repeated_files(again, "{name}") == {
        what: f"results/repeated/{{number}}/{{name}}.{what}.csv"
        for what in ("histograms", "coverage", "accuracy")
    }
    group = layout.repeated_group_folder("{first}", "{last}")
    assert group == "results/repeated/samples_{first}_to_{last}"


def test_figure_files_are_pictures_and_numbers(layout: Layout) -> None:
    assert layout.figure_files("fig1") == [
        "results/figures/fig1.png",
        "results/figures/fig1.pdf",
        "results/figures/fig1.csv",
    ]


def test_no_sample_collides_with_the_domain(default_config: dict[str, Any]) -> None:
    samples = dict(default_config["samples"])
    for name in ("reference", "domain"):
        samples[name] = {"generator": "boson", "events": 10}
    layout = small(default_config, samples=samples)
    paths = [layout.in_domain(name) for name in samples]
    assert len({*paths, layout.domain()}) == len(paths) + 1


def test_folders_of_results_that_are_the_working_folder(default_config: dict[str, Any]) -> None:
    assert small(default_config, results=".").table("closure") == "tables/closure.csv"
    assert small(default_config, results="a//b/").table("closure") == "a/b/tables/closure.csv"


def test_shards_cover_the_events_once(default_config: dict[str, Any]) -> None:
    layout = small(default_config)
    spans = layout.shard_spans("train")
    assert spans == [range(40_000), range(40_000, 80_000), range(80_000, 100_000)]
    assert layout.shard_span("train", "0002") == range(80_000, 100_000)
    assert layout.shards("train")[2] == "results/samples/train/0002.parquet"
    with pytest.raises(ConfigError, match=r"train has 3 shards of 40000 events, .* no shard 3"):
        layout.shard_span("train", 3)


def test_the_first_events_are_in_the_first_shards(default_config: dict[str, Any]) -> None:
    layout = small(default_config)
    assert layout.first_shards("train", 40_000) == layout.shards("train")[:1]
    assert layout.first_shards("train", 40_001) == layout.shards("train")[:2]


def test_repeated_samples_are_cut_out_of_the_training_sample(
    default_config: dict[str, Any], layout: Layout
) -> None:
    assert list(layout.repeated_numbers("gnn")) == []
    assert layout.repeated_measured("gnn") == []
    layout = small(default_config, repeated={"samples": 3, "events": 30_000})
    for name in ("map", "gnn"):
        assert list(layout.repeated_numbers(name)) == [0, 1, 2]
    span = layout.repeated_span("gnn", "1")
    assert span == range(30_000, 60_000)
    assert layout.shards_with("train", span) == layout.shards("train")[:2]
    assert layout.span_in_files(span) == range(30_000, 60_000)
    last = layout.repeated_span("gnn", 2)
    assert layout.shards_with("train", last) == layout.shards("train")[1:]
    assert layout.span_in_files(last) == range(20_000, 50_000)


def test_networks_have_repeated_samples_of_their_own(default_config: dict[str, Any]) -> None:
    networks = {"samples": 2, "events": 40_000}
    options = {"samples": 7, "events": 1000, "samples_per_job": 3, "networks": networks}
    layout = small(default_config, repeated=options)
    assert layout.repeated_span("map", "3", "5") == range(3000, 6000)
    assert layout.repeated_span("gnn", "1") == range(40_000, 80_000)
    assert layout.repeated_groups("map") == [range(3), range(3, 6), range(6, 7)]
    coverage = [files["coverage"] for files in layout.repeated_measured("map")]
    assert coverage == [
        f"results/repeated/samples_{group}/map.coverage.csv"
        for group in ("0_to_2", "3_to_5", "6_to_6")
    ]
    accuracy = [files["accuracy"] for files in layout.repeated_measured("gnn")]
    assert accuracy == [f"results/repeated/{n}/gnn.accuracy.csv" for n in range(2)]


def test_points_of_the_learning_curve(default_config: dict[str, Any], layout: Layout) -> None:
    assert layout.curve_events == []
    points = [{"events": 10}, {"events": 1.0e2}]
    layout = small(default_config, learning_curve={"points": points})
    assert layout.curve_events == [10, 100]


def test_a_point_of_the_learning_curve_takes_some_of_the_networks(
    default_config: dict[str, Any],
) -> None:
    points = [{"events": 10}, {"events": 100, "seeds": 1}]
    layout = small(default_config, learning_curve={"points": points})
    folder = "results/learning_curve"
    assert layout.curve_members("gnn", 10) == [
        f"{folder}/10/estimators/gnn/seed_{seed}.pt" for seed in range(2)
    ]
    assert layout.curve_members("gnn", "100") == [f"{folder}/100/estimators/gnn/seed_0.pt"]
    assert layout.curve_members("map", "100") == [f"{folder}/100/estimators/map/nominal.parquet"]


def test_estimators_have_files_by_where_their_replicas_come_from(
    default_config: dict[str, Any],
) -> None:
    layout = small(default_config)
    assert layout.resampled == ["map"]
    assert layout.seeded == ["gnn"]
    folder = "results/estimators"
    assert layout.fit_outputs("map") == [
        f"{folder}/map/nominal.parquet",
        f"{folder}/map/replicas.parquet",
    ]
    assert layout.estimator_files("map") == layout.fit_outputs("map")
    members = [f"{folder}/gnn/seed_0.pt", f"{folder}/gnn/seed_1.pt"]
    histories = [f"{folder}/gnn/seed_0.history.parquet", f"{folder}/gnn/seed_1.history.parquet"]
    assert layout.members("gnn") == members
    assert layout.histories("gnn") == histories
    assert set(layout.fit_outputs("gnn")) == {f"{folder}/gnn/ensemble.json", *members, *histories}
    assert set(layout.estimator_files("gnn")) == set(layout.fit_outputs("gnn"))
    assert layout.predictions("test") == {
        "map": "results/predictions/test/map.parquet",
        "gnn": "results/predictions/test/gnn.parquet",
    }
    assert layout.predictions_with_replicas("test")["gnn"] == [
        "results/predictions/test/gnn.parquet",
        "results/predictions/test/gnn.replicas.parquet",
    ]


@pytest.mark.parametrize(
    ("device", "asked", "groups"),
    [
        ("cpu", 0, [[0], [1], [2]]),
        ("auto", 0, [[0], [1], [2]]),
        ("cuda", 0, [[0, 1, 2]]),
        ("cpu", 2, [[0, 1], [2]]),
        ("cuda", 1, [[0], [1], [2]]),
        ("cpu", 9, [[0, 1, 2]]),
    ],
)
def test_seeds_share_jobs(
    device: str, asked: int, groups: list[list[int]], default_config: dict[str, Any]
) -> None:
    gnn = {**default_config["estimators"]["gnn"], "seeds": 3, "seeds_per_job": asked}
    layout = small(default_config, device=device, estimators={"gnn": gnn})
    assert [list(group) for group in layout.seed_groups("gnn")] == groups


def test_jobs_have_names(layout: Layout) -> None:
    assert layout.group_name([3]) == "seed_3"
    assert layout.group_name(range(4)) == "seeds_0_to_3"
    checkpoint = "results/estimators/gnn/seeds_0_to_3.checkpoint.pt"
    assert layout.checkpoint("gnn", "seeds_0_to_3") == checkpoint
    assert layout.checkpoint("gnn", 3) == "results/estimators/gnn/seed_3.checkpoint.pt"
    assert layout.checkpoint("gnn", "seed_3") == layout.checkpoint("gnn", 3)


# ---- what an earlier config left -----------------------------------------------------------------


def make(root: Path, path: str, ours: bool = True) -> Path:
    """Write a file, as truthtag would, or as somebody else would."""
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"event": [1, 2]})
    if target.suffix == ".parquet" and ours:
        write_table(table, target)
    elif target.suffix == ".parquet":
        pq.write_table(table, target)
    elif target.suffix == ".json":
        target.write_text(json.dumps({"kind": "network", "members": []} if ours else {}))
    else:
        target.write_bytes(b"weights")
    return target


def all_files(layout: Layout) -> list[str]:
    """What a whole run of a config leaves."""
    files = [layout.domain(), layout.table("closure"), *layout.figure_files("fig1")]
    for sample in layout.config.samples:
        files += layout.shards(sample)
    for sample in layout.config.weighted:
        files.append(layout.in_domain(sample))
        for pair in layout.predictions_with_replicas(sample).values():
            files += pair
        files += [layout.weights(sample, name) for name in layout.config.estimators]
    for name in layout.config.estimators:
        files += layout.estimator_files(name)
        for events in layout.curve_events:
            files += layout.estimator_files(name, layout.curve_folder(events))
        for number in layout.repeated_numbers(name):
            files += layout.estimator_files(name, layout.repeated_folder(number))
    files += [layout.histograms(name) for name in layout.config.distributions]
    files += [layout.checkpoint("gnn", 0), layout.checkpoint("gnn", 1)]
    return files


STUDIES: dict[str, Any] = {
    "learning_curve": {"points": [{"events": 10}, {"events": 100}]},
    "repeated": {"samples": 2, "events": 1000},
}


def test_nothing_of_a_run_is_stale_in_it(default_config: dict[str, Any], tmp_path: Path) -> None:
    layout = small(default_config, **STUDIES)
    assert layout.stale_files(tmp_path) == []
    for path in all_files(layout):
        make(tmp_path, path)
    assert layout.stale_files(tmp_path) == []


def test_what_an_earlier_config_left_is_found(
    default_config: dict[str, Any], tmp_path: Path
) -> None:
    before = small(default_config, **STUDIES)
    for path in all_files(before):
        make(tmp_path, path)
    make(tmp_path, before.checkpoint("gnn", "seeds_0_to_1"))
    gnn = {**default_config["estimators"]["gnn"], "seeds": 1}
    samples = dict(default_config["samples"])
    samples["train"] = {"generator": "multijet", "events": 50_000}
    distributions = {"m_jj": default_config["distributions"]["m_jj"]}
    after = small(
        default_config,
        estimators={"gnn": gnn},
        samples=samples,
        distributions=distributions,
        learning_curve={"points": [{"events": 10}]},
        repeated={"samples": 2, "events": 1000},
    )
    stale = {str(path.relative_to(tmp_path)) for path in after.stale_files(tmp_path)}
    gone = {"results/samples/train/0002.parquet"}
    gone |= set(before.estimator_files("map"))
    for folder in (
        None,
        before.curve_folder(10),
        before.repeated_folder(0),
        before.repeated_folder(1),
    ):
        gone |= set(before.estimator_files("map", folder))
        gone |= {before.seed("gnn", 1, folder), before.history("gnn", 1, folder)}
    gone |= {before.checkpoint("gnn", 1), before.checkpoint("gnn", "seeds_0_to_1")}
    for name in ("map", "gnn"):
        gone |= set(before.estimator_files(name, before.curve_folder(100)))
    for sample in before.config.weighted:
        gone |= set(before.predictions_with_replicas(sample)["map"])
        gone.add(before.weights(sample, "map"))
    gone |= {before.histograms(name) for name in before.config.distributions if name != "m_jj"}
    assert stale == gone


def test_predictions_of_a_sample_that_is_gone_are_stale_and_the_sample_is_left(
    default_config: dict[str, Any], tmp_path: Path
) -> None:
    layout = small(default_config)
    make(tmp_path, layout.shard("mine", 0))
    flags = make(tmp_path, layout.in_domain("mine"))
    prediction = make(tmp_path, layout.prediction("mine", "map"))
    assert layout.stale_files(tmp_path) == [flags, prediction]


def test_files_of_others_are_never_found(default_config: dict[str, Any], tmp_path: Path) -> None:
    layout = small(default_config)
    for path in (
        "results/samples/train/0099.parquet",
        "results/predictions/test/theirs.parquet",
        "results/weights/test/theirs.parquet",
        "results/histograms/theirs.parquet",
        "results/estimators/theirs/nominal.parquet",
        "results/estimators/theirs/ensemble.json",
    ):
        make(tmp_path, path, ours=False)
    for path in (
        "results/samples/train/mine.parquet",
        "results/samples/train/more/0099.parquet",
        "results/estimators/gnn/best.pt",
        "results/estimators/seed_9.pt",
        "results/estimators/gnn/copy/seed_9.pt",
        "results/learning_curve/mine/estimators/gnn/seed_9.pt",
        "results/predictions/test/deep/er.parquet",
        "results/notes/nominal.parquet",
        "other/samples/train/0099.parquet",
    ):
        make(tmp_path, path)
    (tmp_path / "results/samples/train/0098.parquet").write_bytes(b"no Parquet")
    (tmp_path / "results/samples/train/0097.parquet").mkdir()
    assert layout.stale_files(tmp_path) == []


def test_links_are_not_followed(default_config: dict[str, Any], tmp_path: Path) -> None:
    layout = small(default_config)
    elsewhere = make(tmp_path, "elsewhere/0099.parquet").parent
    (tmp_path / "results/samples").mkdir(parents=True)
    (tmp_path / "results/samples/train").symlink_to(elsewhere)
    (tmp_path / "results/samples/test").mkdir()
    (tmp_path / "results/samples/test/0098.parquet").symlink_to(elsewhere / "0099.parquet")
    assert layout.stale_files(tmp_path) == []


def test_toy_samples_that_only_teach_are_not_weighted(default_config: dict[str, Any]) -> None:
    """They are where something asks for their efficiencies: a distribution, say."""
    assert check_config(default_config).weighted == ["validation", "test", "boson"]
    of_train = {**default_config["distributions"]["m_jj"], "sample": "train"}
    distributions = {**default_config["distributions"], "m_jj": of_train}
    assert "train" in check_config({**default_config, "distributions": distributions}).weighted


def test_what_is_no_longer_weighted_is_stale(layout: Layout, tmp_path: Path) -> None:
    for sample in ("train", "test"):
        make(tmp_path, layout.weights(sample, "map"))
        make(tmp_path, layout.in_domain(sample))
    stale = [str(path.relative_to(tmp_path)) for path in layout.stale_files(tmp_path)]
    assert stale == [layout.in_domain("train"), layout.weights("train", "map")]
