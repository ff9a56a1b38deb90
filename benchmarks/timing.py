"""Medians over repeats, and the toy that everything is measured on."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml

from truthtag.data.jets import Jets, concatenate
from truthtag.estimators.network.options import NetworkOptions
from truthtag.toy.generation import generate, make_generator
from truthtag.toy.generator import Generator
from truthtag.toy.truth import Truth, make_truth
from truthtag.workflow.options import Config, check_config

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Row:
    """One figure of the table.

    Args:
        what: What was measured.
        value: The median.
        unit: Its unit.
        ratio: Against the plain reference, in the same run.
        share: Of the arithmetic limit.
    """

    what: str
    value: float
    unit: str
    ratio: float | None = None
    share: float | None = None


@dataclass(frozen=True)
class Toy:
    """The default config, and what makes its multijet events."""

    config: Config
    generator: Generator
    truth: Truth

    @classmethod
    def load(cls) -> Toy:
        """Read the default config."""
        config = check_config(yaml.safe_load((ROOT / "config/config.yaml").read_text()))
        generator = make_generator(config.generators["multijet"], config.flavours)
        truth = make_truth(config.truth or {}, config.flavours)
        return cls(config, generator, truth)

    @property
    def networks(self) -> dict[str, NetworkOptions]:
        """Options of the networks of the config, by name."""
        return {
            name: options
            for name, options in self.config.estimators.items()
            if isinstance(options, NetworkOptions)
        }

    def sample(self, count: int, name: str = "bench") -> Jets:
        """Generate multijet events."""
        return concatenate([*generate(self.generator, self.truth, range(count), (1, name))])


def median_seconds(step: Callable[[], object], repeats: int = 5) -> float:
    """Return the median time of a step, after one that does not count [s]."""
    step()
    return statistics.median(seconds(step) for _ in range(repeats))


def alternate(steps: list[Callable[[], object]], repeats: int = 5) -> list[float]:
    """Return the median time of each step [s].

    The steps are measured in turn, so that a slow spell hits all alike.
    """
    for step in steps:
        step()
    times = [[seconds(step) for step in steps] for _ in range(repeats)]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def seconds(step: Callable[[], object]) -> float:
    """Return the time of one step [s]."""
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def multiply_rate(dtype: torch.dtype) -> float:
    """Return the rate of a large matrix product [FLOP/s], which bounds training."""
    a = torch.randn(4096, 1024, dtype=dtype)
    b = torch.randn(1024, 1024, dtype=dtype)
    return 2 * 4096 * 1024 * 1024 / median_seconds(lambda: a @ b, 15)
