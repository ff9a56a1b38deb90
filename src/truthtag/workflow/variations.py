"""Variations of samples: the same events read once more, with other columns in place of some.

The entry ``samples.ttbar.variations.jes_up`` makes a further sample, ``ttbar_jes_up``, of the
events of ``ttbar``: read, predicted and weighted as any other, row by row beside its nominal one.
Nothing is learned from it, so that it has no role.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from truthtag.registry import did_you_mean

if TYPE_CHECKING:
    from truthtag.workflow.options import Sample

__all__ = [
    "Variation",
    "faults_of_variations",
    "names_with_variations",
    "variations_of",
    "with_variations",
]

VARIABLE = ("pt", "eta", "phi", "mass", "weight", "score", "is_tagged", "tag_bin")
"""Columns that can vary, beside further inputs and true efficiencies: not those that say which
event, or which jet, it is."""


@dataclass(frozen=True)
class Variation:
    """A sample that is a variation of another.

    Args:
        nominal: Name of the other.
        name: Name of the variation.
        columns: What is read in place of the other's columns.
    """

    nominal: str
    name: str
    columns: Mapping[str, str]

    @property
    def sample(self) -> str:
        """Name of the sample that it makes."""
        return f"{self.nominal}_{self.name}"

    @property
    def path(self) -> str:
        """Where the config states it."""
        return f"samples.{self.nominal}.variations.{self.name}"


def _stated(samples: Mapping[str, Sample]) -> Iterator[Variation]:
    """Go through all variations of samples."""
    for nominal, sample in samples.items():
        for name, columns in sample.variations.items():
            yield Variation(nominal, name, columns)


def variations_of(samples: Mapping[str, Sample]) -> dict[str, Variation]:
    """Return all variations, by the name of the sample that each makes."""
    return {one.sample: one for one in _stated(samples)}


def with_variations(samples: Mapping[str, Sample]) -> dict[str, Sample]:
    """Return samples, each followed by its variations.

    A variation has the files, the reader, the share and the group of its nominal sample; what it
    changes stays with that one.
    """
    made = variations_of(samples)
    expanded: dict[str, Sample] = {}
    for nominal, sample in samples.items():
        if nominal in made:
            continue
        expanded[nominal] = sample
        for name in sample.variations:
            expanded[f"{nominal}_{name}"] = sample.model_copy(update={"variations": {}})
    return expanded


def names_with_variations(samples: Mapping[str, Sample]) -> list[str]:
    """Return the names of all samples, those of variations among them."""
    return list(dict.fromkeys([*samples, *variations_of(samples)]))


# ---- what a config may not say


def faults_of_variations(config: Any) -> Iterator[str]:
    """Go through what is wrong with the variations of samples, and with names of theirs."""
    samples = config.samples
    for one in _stated(samples):
        yield from _columns(one, config)
    yield from _names(samples)
    yield from _roles(config)


def _columns(one: Variation, config: Any) -> Iterator[str]:
    """A variation replaces some columns of a sample that is read."""
    if config.samples[one.nominal].reader is None:
        yield (
            f"{one.path}: a generated sample has no columns to replace; leave it out, or read the "
            "sample from files"
        )
        return
    if not one.columns:
        yield f"{one.path}: {{}} is not allowed; name a column that varies, pt say"
    truths = [f"efficiency_true_{point}" for point in config.working_points]
    allowed = [*VARIABLE, "efficiency_true", *truths, *config.inputs]
    for column in one.columns:
        if column not in allowed:
            yield (
                f"{one.path}.{column}: {column!r} is no column that can vary. Allowed: "
                f"{', '.join(allowed)}{did_you_mean(column, allowed)}"
            )


def _names(samples: Mapping[str, Sample]) -> Iterator[str]:
    """Names of samples become those of files, on some systems whatever the size of letters."""
    taken = {name.lower(): f"samples.{name}" for name in samples}
    for one in _stated(samples):
        before = taken.setdefault(one.sample.lower(), one.path)
        # A config that was checked before has the sample that the variation made.
        made = samples[one.nominal].model_copy(update={"variations": {}})
        if before != one.path and samples.get(one.sample) != made:
            yield (
                f"{one.path}: the variation makes a sample {one.sample!r}, and {before} has that "
                "name, too; rename one of them"
            )


def _roles(config: Any) -> Iterator[str]:
    """Nothing is learned from a variation, or judged by itself."""
    made = variations_of(config.samples)
    for role in ("train", "validation", "judged"):
        for name in getattr(config.roles, role):
            if name in made:
                yield (
                    f"roles.{role}: {name!r} is not allowed; it is a variation of "
                    f"samples.{made[name].nominal}, and has the same events. Name that one"
                )
