"""Samples and settings that tests and docstring examples share."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import settings

from truthtag.data.jets import Jets, concatenate
from truthtag.toy.boson import Boson
from truthtag.toy.generation import generate, make_generator
from truthtag.toy.generator import Generator
from truthtag.toy.multijet import Multijet
from truthtag.toy.neighbour_product import NeighbourProduct
from truthtag.toy.truth import make_truth
from truthtag.workflow.options import Config, check_config

ROOT = Path(__file__).parent

settings.register_profile("truthtag", deadline=None, derandomize=True, max_examples=50)
# Twenty times as many examples, others each time: pytest --hypothesis-profile=campaign tests/faults
settings.register_profile("campaign", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("truthtag")


# Runs of the workflow that many tests look at: what the first of these tests makes, all share.
SHARED = {"finished", "extended", "alike", "own"}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring slow tests to the front, the longest first: fast ones fill the gaps at the end.

    Of those that share a run the longest makes it; the rest come after all that share nothing, so
    that the run has ended when they begin, and no process waits for it.
    """
    slow = [item for item in items if item.get_closest_marker("slow")]
    fast = [item for item in items if not item.get_closest_marker("slow")]
    soon: list[pytest.Item] = []
    later: list[pytest.Item] = []
    made: set[str] = set()
    for item in sorted(slow, key=_seconds, reverse=True):
        needs = SHARED.intersection(getattr(item, "fixturenames", ()))
        (later if needs & made else soon).append(item)
        made |= needs
    items[:] = [*soon, *later, *fast]


def _seconds(item: pytest.Item) -> float:
    """Processor time that a slow test is said to take, with the shared run that it makes.

    Only the order of the tests depends on it.
    """
    marker = item.get_closest_marker("slow")
    assert marker is not None
    return float(marker.kwargs.get("seconds", 10))


@pytest.fixture(autouse=True)
def _torch_seed() -> Iterator[None]:
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="session")
def config() -> Config:
    """The default config, checked."""
    return check_config(yaml.safe_load((ROOT / "config/config.yaml").read_text()))


@pytest.fixture(scope="session")
def default_config(config: Config) -> dict[str, Any]:
    """The same as plain values, defaults filled in; not to be changed."""
    return config.model_dump(mode="json")


@pytest.fixture(scope="session")
def truth(default_config: dict[str, Any]) -> NeighbourProduct:
    return make_truth(default_config["truth"], default_config["flavours"])


@pytest.fixture(scope="session")
def multijet(default_config: dict[str, Any]) -> Multijet:
    return make_generator(default_config["generators"]["multijet"], default_config["flavours"])


@pytest.fixture(scope="session")
def boson(default_config: dict[str, Any]) -> Boson:
    return make_generator(default_config["generators"]["boson"], default_config["flavours"])


@pytest.fixture(scope="session")
def sample(multijet: Generator, truth: NeighbourProduct) -> Jets:
    """20,000 tagged multijet events."""
    return concatenate(list(generate(multijet, truth, range(20_000), (7, "tests"))))


@pytest.fixture(scope="session")
def boson_sample(boson: Generator, truth: NeighbourProduct) -> Jets:
    """5,000 tagged boson events."""
    return concatenate(list(generate(boson, truth, range(5_000), (7, "tests"))))


@pytest.fixture(scope="session")
def few(sample: Jets) -> Jets:
    """The first 300 events of the sample."""
    return sample.take(slice(0, 300))


def make_jets(multiplicities: list[int], seed: int = 0, **changes: Any) -> Jets:
    """Make tagged jets of given multiplicities, zero allowed, with random but valid columns."""
    rng = np.random.default_rng(seed)
    offsets = np.r_[0, np.cumsum(multiplicities)].astype(np.int64)
    n_jets = int(offsets[-1])
    pt = rng.uniform(20, 600, n_jets).astype(np.float32)
    for first, last in itertools.pairwise(offsets):
        pt[first:last] = -np.sort(-pt[first:last])
    columns = {
        "event": np.arange(len(multiplicities)),
        "offsets": offsets,
        "pt": pt,
        "eta": rng.uniform(-2, 2, n_jets).astype(np.float32),
        "phi": rng.uniform(-3.1, 3.1, n_jets).astype(np.float32),
        "mass": np.full(n_jets, 2, dtype=np.float32),
        "flavour": rng.choice(np.array([0, 4, 5], dtype=np.int8), n_jets),
        "weight": rng.normal(1, 0.5, len(multiplicities)),
        "score": rng.random(n_jets),
        "is_tagged": rng.random(n_jets) < 0.4,
        "efficiency_true": rng.random(n_jets),
    }
    return Jets(**(columns | changes))


@pytest.fixture
def make() -> Callable[..., Jets]:
    return make_jets


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace: dict[str, Any]) -> None:
    row = {
        "pt": np.array([50.0, 40.0, 30.0]),
        "eta": np.zeros(3),
        "phi": np.zeros(3),
        "mass": np.full(3, 2.0),
        "flavour": np.array([5, 4, 0]),
        "weight": np.ones(3),
    }
    doctest_namespace.update(np=np, row=row, torch=torch)
