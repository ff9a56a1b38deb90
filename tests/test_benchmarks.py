"""The benchmarks that run the workflow: their configs are allowed, and they read its logs."""

from __future__ import annotations

from pathlib import Path

from benchmarks.planning import large_config
from benchmarks.scaling import Cost, costs, scaled_config, table, targets
from conftest import ROOT
from truthtag.workflow.bases import on_base
from truthtag.workflow.layout import Layout
from truthtag.workflow.logs import job_log
from truthtag.workflow.options import check_config


def test_a_log_says_what_its_job_took(tmp_path: Path) -> None:
    for name in ("samples/train/0000", "samples/train/0001", "tables/closure"):
        with job_log(tmp_path / f"{name}.log") as log:
            log.info("3 events")
    (tmp_path / "killed.log").write_text("2026-11-27 03:00:52 INFO process 1 on node\n")
    found = costs(tmp_path)
    assert set(found) == {"samples/train/*", "tables/closure"}
    # Python with numpy has more than 10 MB, and by now has run for more than a tenth of a second.
    assert all(one.memory > 10 and one.seconds > 0.1 for one in found.values())
    assert found["samples/train/*"].seconds > found["tables/closure"].seconds


def test_what_events_cost_leaves_out_what_a_job_takes_to_begin() -> None:
    of_sizes = [{"fit": Cost(1 + size / 1000, 200)} for size in (1000, 10_000, 110_000)]
    last = table([1000, 10_000, 110_000], of_sizes).splitlines()[-1]
    assert last == "| `fit` | 2.0 | 200 | 11.0 | 200 | 111.0 | 200 | 1,000 | 1.00 |"


def test_the_chain_that_is_measured_is_a_run_of_the_workflow(tmp_path: Path) -> None:
    files = targets(scaled_config(1000, tmp_path))
    assert str(tmp_path / "tables/verdict.csv") in files
    assert str(tmp_path / "weights/test/gnn_factorised.parquet") in files


def test_the_plan_that_is_measured_is_as_large_as_it_says(tmp_path: Path) -> None:
    config = check_config(on_base(large_config(tmp_path), ROOT / "config"))
    layout = Layout(config)
    assert [len(layout.seeds(name)) for name in config.estimators] == [100] * 5
    assert len(layout.shards("train")) == 100
