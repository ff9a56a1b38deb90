"""Toy samples: tagged events in blocks that each have their own random stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

from truthtag.data.jets import Jets
from truthtag.data.labels import Labels
from truthtag.errors import DataError
from truthtag.options import Options
from truthtag.registry import Registry, build
from truthtag.seeds import Seed, seed_words
from truthtag.toy.generator import Generator
from truthtag.toy.tagging import tag
from truthtag.toy.truth import Truth

__all__ = ["BLOCK_EVENTS", "GENERATORS", "generate", "make_generator"]

BLOCK_EVENTS = 10_000
"""Events of a block. Each has its own random stream: this is part of what defines a sample."""

GENERATORS = Registry(
    "a kind of generator",
    {
        "multijet": "truthtag.toy.multijet:Multijet",
        "boson": "truthtag.toy.boson:Boson",
    },
    group="truthtag.generators",
)
"""Kinds of generator that the config can name; other packages may add theirs."""


def make_generator(options: Mapping[str, Any] | Options, flavours: Mapping[str, int]) -> Generator:
    """Build the generator that an entry of the config's ``generators`` describes.

    Args:
        options: The entry, or the options object that it became.
        flavours: Numbers of the flavours, by name.

    Raises:
        ConfigError: Nothing has this kind, or an option is not allowed.
    """
    return cast("Generator", build(GENERATORS, options, flavours, "generators"))


def generate(
    generator: Generator,
    truth: Truth,
    events: range,
    seed: Seed,
    working_points: Mapping[str, float] | None = None,
    labels: Labels | None = None,
) -> Iterator[Jets]:
    """Generate tagged events in blocks that each have their own random stream.

    The events of a range are the same whatever the range: a sample does not depend on how it is cut
    into shards, and a longer sample begins with the shorter one. Nor do working points or further
    variables change the events themselves.

    Args:
        generator: What makes events.
        truth: The true efficiency, by which they are tagged.
        events: Which events of the endless sample.
        seed: What names the sample: numbers and names, say ``(2004, "train")``.
        working_points: Thresholds by name, as :func:`~truthtag.toy.tagging.tag` takes them.
        labels: What flavours and categories mean; the names of the working points are added.

    Yields:
        The events, at most :data:`BLOCK_EVENTS` at a time.

    Raises:
        DataError: The generator or the truth makes nonsense.
        ConfigError: A threshold is not allowed.
    """
    first_block = events.start // BLOCK_EVENTS
    last_block = -(-events.stop // BLOCK_EVENTS)
    for block in range(first_block, last_block):
        words = [*seed_words(seed), block]
        kinematics = np.random.default_rng([*words, 0])
        scores = np.random.default_rng([*words, 1])
        jets = generator.events(BLOCK_EVENTS, kinematics)
        _require_numbered(jets, generator)
        jets = _with_further(jets, generator, words)
        jets = tag(jets, truth, scores, working_points)
        first = block * BLOCK_EVENTS
        described = replace(labels or jets.labels, points=jets.labels.points)
        jets = jets.with_columns(event=jets.event + first, labels=described)
        yield jets.take(slice(max(events.start - first, 0), events.stop - first))


def _with_further(jets: Jets, generator: Generator, words: list[int]) -> Jets:
    """Draw further variables, each from a random stream of its own, which its name gives."""
    # A generator of another package may be older than further variables.
    variables = getattr(generator, "further", {})
    if not variables:
        return jets
    drawn = {}
    for name, variable in variables.items():
        rng = np.random.default_rng([*words, 2, *seed_words((name,))])
        drawn[name] = variable.sample(jets.flavour, rng)
    return jets.with_columns(further={**jets.further, **drawn})


def _require_numbered(jets: Jets, generator: Generator) -> None:
    """Refuse a generator that does not make the events asked for."""
    if not np.array_equal(jets.event, np.arange(BLOCK_EVENTS)):
        msg = (
            f"generators: {type(generator).__name__} made {jets.n_events} events, or numbered "
            f"them otherwise, where events(count) must make {BLOCK_EVENTS}, numbered from 0"
        )
        raise DataError(msg)
