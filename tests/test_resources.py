"""What jobs ask a batch system for."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import ROOT
from truthtag.workflow.layout import Layout
from truthtag.workflow.options import check_config
from truthtag.workflow.resources import COSTS, Work, Workload, memory_mb, runtime_minutes

works = st.builds(
    Work,
    events=st.integers(0, 10**8),
    members=st.integers(1, 200),
    width=st.integers(0, 512),
    epochs=st.integers(1, 100),
    batch=st.integers(1, 10**5),
)
steps = st.sampled_from(sorted(COSTS))


@given(steps, works, st.sampled_from(["events", "members", "width", "epochs", "batch"]))
def test_more_work_never_asks_for_less(step: str, work: Work, grown: str) -> None:
    more = replace(work, **{grown: 2 * getattr(work, grown)})
    assert memory_mb(step, more) >= memory_mb(step, work)
    assert runtime_minutes(step, more) >= runtime_minutes(step, work)


@given(steps, works, st.integers(2, 4))
def test_another_attempt_asks_for_as_many_times_as_much(
    step: str, work: Work, attempt: int
) -> None:
    assert memory_mb(step, work, attempt) == attempt * memory_mb(step, work)
    assert runtime_minutes(step, work, attempt) == attempt * runtime_minutes(step, work)


def test_a_training_by_hand() -> None:
    work = Work(events=1_100_000, members=1, width=256, epochs=42, batch=500)
    # 1500 MB, 1 kB for each event, 8 MB for each unit of width.
    assert memory_mb("train_network", work) == 4700
    # 20 min, 0.1 ms for each event, 0.25 ms for each of 42 * 8.5 passes of each event.
    assert work.passes == 42 * 8.5
    assert runtime_minutes("train_network", work) == 1660


def test_every_step_is_known_and_used() -> None:
    rules = "".join(file.read_text() for file in (ROOT / "workflow/rules").glob("*.smk"))
    assert set(re.findall(r"""needs\(\s*"(\w+)\"""", rules)) == set(COSTS)


def test_every_job_asks_or_runs_beside_snakemake() -> None:
    """A rule without either would ask for the same on the largest sample and the smallest."""
    for file in (ROOT / "workflow/rules").glob("*.smk"):
        for text in re.split(r"^(?=rule )", file.read_text(), flags=re.MULTILINE)[1:]:
            assert "**needs(" in text or "localrule: True" in text, text.splitlines()[0]


@pytest.fixture
def workload(default_config: dict[str, Any]) -> Workload:
    networks = {"seeds": 3, "training": {"epochs": 7, "micro_batch_events": 100}}
    kept = {name: default_config["estimators"][name] for name in ("map", "gnn")}
    gnn = {
        **kept["gnn"],
        **networks,
        "training": {**kept["gnn"]["training"], **networks["training"]},
    }
    samples = {
        "train": {"generator": "multijet", "events": 5000},
        "validation": {"generator": "multijet", "events": 1000},
        "test": {"generator": "multijet", "events": 4000},
        "boson": {"generator": "boson", "events": 2000},
    }
    figures = {**default_config["figures"], "efficiencies": ["map", "gnn"]}
    changed = {
        "events_per_shard": 3000,
        "estimators": {"map": kept["map"], "gnn": gnn},
        "samples": samples,
        "figures": figures,
    }
    return Workload(Layout(check_config({**default_config, **changed})))


def test_the_work_of_jobs_follows_from_the_config(workload: Workload) -> None:
    assert workload.shard("train", 1) == Work(2000)
    assert workload.samples(["test", "boson"]) == Work(6000, members=2)
    # 20 refits of the map, three networks.
    assert workload.replicas("boson") == Work(2000, members=23)
    assert workload.prediction("test", "gnn") == Work(4000, members=3, width=64)
    assert workload.fit("map", 20).passes == 10
    assert workload.fit("gnn") == Work(6000, width=64, epochs=7, batch=100)
    assert workload.fit("gnn", 3, events=100) == Work(1100, 3, 64, 7, batch=300)
