"""What a config can say that no single key is wrong about: parts that contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from truthtag.errors import ConfigError
from truthtag.registry import did_you_mean
from truthtag.statistics.panels import possible_panels
from truthtag.workflow.faults import explain

__all__ = ["inconsistencies"]

MAX_SHARDS = 10_000
"""Most files of a sample: their names have four digits, and must sort as their events do."""


def _must_be(path: str, word: object, what: str, allowed: list[str]) -> Iterator[str]:
    """Refuse a word that is not among those allowed."""
    if word not in allowed:
        listed = ", ".join(allowed) or "none"
        yield f"{path}: {word!r} is not {what}. Allowed: {listed}{did_you_mean(word, allowed)}"


def _flavours(config: Any) -> Iterator[str]:
    numbers = list(config.flavours.values())
    if len(set(numbers)) < len(numbers):
        yield (
            f"flavours: two names share a number in {config.flavours}; "
            "give each hadron flavour its own"
        )


def _alike(config: Any) -> Iterator[str]:
    """Names become those of files, and some file systems do not tell large from small letters."""
    for section in ("samples", "estimators", "distributions"):
        seen: dict[str, str] = {}
        for name in getattr(config, section):
            before = seen.setdefault(name.lower(), name)
            if before != name:
                yield (
                    f"{section}.{name}: it differs from {before!r} in the size of letters only, "
                    "and both become names of files; choose another name"
                )


def _samples(config: Any) -> Iterator[str]:
    for name, sample in config.samples.items():
        path = f"samples.{name}"
        yield from _must_be(
            f"{path}.generator", sample.generator, "a generator", list(config.generators)
        )
        shards = -(-sample.events // config.events_per_shard)
        if shards > MAX_SHARDS:
            yield (
                f"{path}.events: {sample.events} events make {shards} files of events_per_shard, "
                f"{config.events_per_shard}; at most {MAX_SHARDS} are allowed. Raise "
                "events_per_shard"
            )


def _roles(config: Any) -> Iterator[str]:
    roles = config.roles
    samples = list(config.samples)
    named = {"train": roles.train, "validation": roles.validation}
    named |= {f"judged.{number}": name for number, name in enumerate(roles.judged)}
    used: dict[str, str] = {}
    for role, name in named.items():
        path = f"roles.{role}"
        yield from _must_be(path, name, "a sample", samples)
        before = used.setdefault(name, path)
        if before != path:
            yield (
                f"{path}: {name!r} is not allowed; {before} names it too, and nothing may be "
                "judged or chosen on events that were learned from. Name another sample"
            )


def _truth(config: Any) -> Iterator[str]:
    """The truth must say what each flavour does, where it has a part for each."""
    for part in ("base", "correction"):
        entries = getattr(config.truth, part, None)
        if not isinstance(entries, Mapping):
            continue
        missing = [name for name in config.flavours if name not in entries]
        unknown = [name for name in entries if name not in config.flavours]
        if missing or unknown:
            yield (
                f"truth.{part}: must have an entry for each of {', '.join(config.flavours)}; "
                f"missing: {', '.join(missing) or 'none'}, unknown: {', '.join(unknown) or 'none'}"
            )


def _uncertainty(config: Any) -> Iterator[str]:
    """What tells the errors must not have been learned from, nor be judged with them."""
    roles = config.roles
    allowed = [name for name in config.samples if name not in (roles.train, *roles.judged)]
    sample = config.uncertainty.sample
    if sample not in allowed:
        listed = ", ".join(allowed) or "a sample that is neither roles.train nor in roles.judged"
        yield f"uncertainty.sample: {sample!r} is not allowed; it must be one of {listed}"


def _domain(config: Any) -> Iterator[str]:
    domain = config.domain
    if domain.max_reference_jets < domain.neighbours:
        yield (
            f"domain.max_reference_jets: {domain.max_reference_jets} is less than "
            f"domain.neighbours, {domain.neighbours}; raise it"
        )


def _flavours_that_are_named(config: Any) -> Iterator[str]:
    flavours = list(config.flavours)
    for name in config.weights.keep_tags_of:
        yield from _must_be("weights.keep_tags_of", name, "a flavour", flavours)


def _flavours_of_figures(config: Any) -> Iterator[str]:
    flavours = list(config.flavours)
    for name in config.figures.weighting_flavours:
        yield from _must_be("figures.weighting_flavours", name, "a flavour", flavours)
    flavour = config.figures.factor_probe.flavour
    yield from _must_be("figures.factor_probe.flavour", flavour, "a flavour", flavours)


def _distributions(config: Any) -> Iterator[str]:
    for name, distribution in config.distributions.items():
        path = f"distributions.{name}.sample"
        yield from _must_be(path, distribution.sample, "a sample", list(config.samples))


def _efficiencies_of_figures(config: Any) -> Iterator[str]:
    for number, name in enumerate(config.figures.efficiencies or ()):
        path = f"figures.efficiencies.{number}"
        yield from _must_be(path, name, "an efficiency", list(config.estimators))


def _required(config: Any) -> Iterator[str]:
    """What must close must exist: else it could only fail after the run."""
    for number, entry in enumerate(config.closure.required):
        path = f"closure.required.{number}"
        stated = {key: value for key, value in entry.model_dump().items() if value is not None}
        if not stated:
            yield (
                f"{path}: {{}} is not allowed; it must have at least one of the keys "
                f"{', '.join(type(entry).model_fields)}"
            )
            continue
        panels: list[str] = []
        for distribution in config.distributions.values():
            panels += possible_panels(distribution.split, list(config.flavours))
        known = {
            "sample": list(config.samples),
            "distribution": list(config.distributions),
            "panel": list(dict.fromkeys(panels)),
            "efficiency": ["true", *config.estimators],
        }
        wrong = []
        for key, allowed in known.items():
            if key in stated:
                wrong += list(_unknown(f"{path}.{key}", stated[key], allowed))
        yield from wrong
        if not wrong and not _some_histogram_fits(entry, config):
            histograms = []
            for name, one in config.distributions.items():
                of_one = possible_panels(one.split, list(config.flavours))
                histograms.append(f"{name} (sample {one.sample}; {', '.join(of_one)})")
            yield f"{path}: no histogram is all of {stated}. There are: {'; '.join(histograms)}"


def _unknown(path: str, word: str, allowed: list[str]) -> Iterator[str]:
    if word not in allowed:
        yield (
            f"{path}: {word!r} is unknown. Allowed: {', '.join(allowed)}"
            f"{did_you_mean(word, allowed)}"
        )


def _some_histogram_fits(entry: Any, config: Any) -> bool:
    for name, distribution in config.distributions.items():
        if (
            entry.distribution in (None, name)
            and entry.sample in (None, distribution.sample)
            and entry.panel in (None, *possible_panels(distribution.split, list(config.flavours)))
        ):
            return True
    return False


def _only(config: Any) -> Iterator[str]:
    """Only figures that exist, and whose numbers can be had, can be chosen."""
    only = config.figures.only or ()
    estimators = config.estimators
    yield from _figures_that_exist(config)
    sections = {"learning_curve": config.learning_curve, "repeated": config.repeated}
    for name, section in sections.items():
        if name in only and section is None:
            yield (
                f"figures.only: {name} needs the section {name}, which is missing; "
                f"give it as config/studies/{name}.yaml does"
            )
    if "training_cost" in only:
        trained = {name: one for name, one in estimators.items() if hasattr(one, "training")}
        if not trained:
            yield (
                "figures.only: training_cost shows the training of networks, and there are none; "
                "add one to estimators"
            )
        for name, options in trained.items():
            mu = getattr(options.training, "mu", 1)
            if mu != 1:
                yield (
                    f"estimators.{name}.training.mu: {mu:g} cannot be drawn in the figure "
                    "training_cost, which compares losses with that of the true efficiency; "
                    "set it to 1, or take training_cost out of figures.only"
                )


def _figures_that_exist(config: Any) -> Iterator[str]:
    """The catalogue knows the figures that a config can have."""
    only = config.figures.only or ()
    if not only and not config.figures.extra:
        return
    # A module that only a config that chooses figures needs.
    from truthtag.figures.catalogue import figures_of

    sections = ("samples", "roles", "truth", "estimators", "distributions", "generators", "figures")
    plain: dict[str, Any] = {}
    for name in sections:
        adapter: TypeAdapter[Any] = TypeAdapter(Any)
        plain[name] = adapter.dump_python(getattr(config, name), mode="json")
    try:
        allowed = list(figures_of(plain))
    except ConfigError as error:
        yield str(error)
        return
    for number, name in enumerate(only):
        yield from _must_be(f"figures.only.{number}", name, "a figure", allowed)


def _curve(config: Any) -> Iterator[str]:
    """The points of the learning curve are first events of the training sample, ever more."""
    curve = config.learning_curve
    if curve is None:
        return
    yield from _must_be("learning_curve.sample", curve.sample, "a sample", list(config.samples))
    train = config.roles.train
    most = config.samples[train].events if train in config.samples else None
    before = 0
    for number, point in enumerate(curve.points):
        path = f"learning_curve.points.{number}.events"
        if most is not None and point.events > most:
            yield (
                f"{path}: {point.events} is more than samples.{train}.events, {most}; "
                "lower it, or make the sample longer"
            )
        if point.events <= before:
            yield (
                f"{path}: {point.events} is not above the point before it, {before}; "
                "put them in rising order"
            )
        before = point.events


def _training_of_points(config: Any) -> Iterator[str]:
    """What a point replaces must be options that every network has."""
    curve = config.learning_curve
    if curve is None:
        return
    for number, point in enumerate(curve.points):
        for options in config.estimators.values():
            training = getattr(options, "training", None)
            if training is None:
                continue
            changed = {**training.model_dump(mode="json"), **point.training}
            try:
                type(training).model_validate(changed)
            except ValidationError as error:
                prefix = f"learning_curve.points.{number}.training."
                errors = error.errors(include_url=False)
                yield from explain(errors, type(training), changed, prefix)


def _repeated(config: Any) -> Iterator[str]:
    repeated = config.repeated
    train = config.roles.train
    if repeated is None or train not in config.samples:
        return
    there = config.samples[train].events
    if repeated.samples * repeated.events > there:
        yield (
            f"repeated: {repeated.samples} samples of {repeated.events} events are more than "
            f"samples.{train}.events, {there}; make the sample longer"
        )


inconsistencies: tuple[Callable[[Any], Iterator[str]], ...] = (
    _flavours,
    _alike,
    _samples,
    _roles,
    _truth,
    _uncertainty,
    _domain,
    _flavours_that_are_named,
    _flavours_of_figures,
    _distributions,
    _efficiencies_of_figures,
    _required,
    _only,
    _curve,
    _training_of_points,
    _repeated,
)
"""Checks of what several sections say together; each is given the config, and yields faults."""
