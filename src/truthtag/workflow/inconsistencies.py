"""What a config can say that no single key is wrong about: parts that contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from truthtag.errors import ConfigError
from truthtag.estimators.additive.options import AdditiveOptions
from truthtag.registry import did_you_mean
from truthtag.statistics.panels import CELLS, GLOBAL, possible_panels
from truthtag.toy.further import FurtherOptions
from truthtag.toy.generation import GENERATORS
from truthtag.toy.generator import GeneratorOptions
from truthtag.toy.with_variable import WithVariableOptions
from truthtag.weights.flavour_groups import (
    faults_of_flavours,
    faults_of_points,
    flavours_in_no_group,
)
from truthtag.workflow.export_options import faults_of_exports
from truthtag.workflow.faults import explain
from truthtag.workflow.sample_files import MAX_FILES
from truthtag.workflow.variations import (
    faults_of_variations,
    names_with_variations,
    variations_of,
    with_variations,
)

__all__ = ["inconsistencies"]


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
        made = sample.generator is not None
        if made == (sample.reader is not None):
            yield (
                f"{path}: it must have either a generator, which makes its events, or a reader, "
                "which reads its files"
            )
            continue
        yield from _generated(path, sample, config) if made else _read(path, sample, config)
        if sample.group is not None:
            yield from _must_be(f"{path}.group", sample.group, "a group", list(config.groups))


def _generated(path: str, sample: Any, config: Any) -> Iterator[str]:
    """A generated sample has a number of events, and no files."""
    generators = list(config.generators)
    yield from _must_be(f"{path}.generator", sample.generator, "a generator", generators)
    yield from _keys_of_the_other(path, sample, "generator", ("files", "take"))
    if sample.events is None:
        yield f"{path}: key 'events' is missing: how many events to generate"
        return
    shards = -(-sample.events // config.events_per_shard)
    if shards > MAX_FILES:
        yield (
            f"{path}.events: {sample.events} events make {shards} files of events_per_shard, "
            f"{config.events_per_shard}; at most {MAX_FILES} are allowed. Raise "
            "events_per_shard"
        )


def _read(path: str, sample: Any, config: Any) -> Iterator[str]:
    """A sample that is read has files, and as many events as they hold."""
    yield from _must_be(f"{path}.reader", sample.reader, "a reader", list(config.readers))
    yield from _keys_of_the_other(path, sample, "reader", ("events",))
    if not sample.files:
        yield f"{path}: key 'files' is missing: paths, patterns or addresses of files"


def _keys_of_the_other(path: str, sample: Any, kind: str, keys: tuple[str, ...]) -> Iterator[str]:
    for key in keys:
        if getattr(sample, key) not in (None, ()):
            yield (
                f"{path}.{key}: {getattr(sample, key)!r} is not allowed in a sample with a {kind}; "
                "leave it out"
            )


def _labels(config: Any) -> Iterator[str]:
    """Further columns need a branch where files are read; working points a discriminant."""
    used = {sample.reader for sample in config.samples.values() if sample.reader is not None}
    for name, one in config.inputs.items():
        if used and one.branch is None:
            yield f"inputs.{name}: key 'branch' is missing: what it is called in the files"
    for name in used & set(config.readers):
        if not config.working_points and config.readers[name].needs_threshold:
            yield (
                f"working_points: there is none; a sample with the reader {name!r} needs one at "
                "least: a name, and the threshold of the discriminant"
            )
    generated = any(sample.generator for sample in config.samples.values())
    for name, threshold in config.working_points.items():
        if generated and threshold <= 0:
            yield (
                f"working_points.{name}: {threshold:g} is not allowed; the discriminant of the toy "
                "is above 0, and so must be a threshold"
            )


def _points_that_are_named(config: Any) -> Iterator[str]:
    points = list(config.working_points)
    for name, distribution in config.distributions.items():
        path = f"distributions.{name}"
        point = distribution.working_point
        below = distribution.below
        for key, named in (("working_point", point), ("below", below)):
            if named is not None:
                yield from _must_be(f"{path}.{key}", named, "a working point", points)
        if below not in points or (point is not None and point not in points):
            continue
        if points.index(below) <= (points.index(point) if point else 0):
            yield (
                f"{path}.below: {below!r} is not tighter than the working point "
                f"{point or points[0]!r}"
            )


def _roles(config: Any) -> Iterator[str]:
    roles = config.roles
    samples = list(config.samples)
    crossed = roles.folds > 1
    named: list[tuple[str, str]] = []
    for role in ("train", "validation", "judged"):
        names = getattr(roles, role)
        for number, name in enumerate(names):
            path = f"roles.{role}" if len(names) == 1 and role != "judged" else ""
            named.append((path or f"roles.{role}.{number}", name))
    used: dict[str, str] = {}
    varied = variations_of(config.samples)
    for path, name in named:
        if name not in varied:
            yield from _must_be(path, name, "a sample", samples)
        before = used.setdefault(name, path)
        if before != path and not crossed:
            yield (
                f"{path}: {name!r} is not allowed; {before} names it too, and nothing may be "
                "judged or chosen on events that were learned from. Name another sample, or cut "
                "the sample into folds (roles.folds)"
            )


def _folds(config: Any) -> Iterator[str]:
    roles = config.roles
    if roles.folds == 1:
        return
    if set(roles.validation) != set(roles.train):
        yield (
            f"roles.validation: {', '.join(roles.validation)} is not allowed; with folds, epochs "
            "are chosen on a fold of the training samples: name the same as in roles.train, "
            f"{', '.join(roles.train)}"
        )
    if roles.folds < 3:
        yield (
            f"roles.folds: {roles.folds} is not allowed; one fold is held out and one chooses the "
            "epoch, so that at least 3 are needed"
        )
    for name, options in config.estimators.items():
        seeds = getattr(options, "seeds", 0)
        if options.members == "seeds" and seeds % roles.folds:
            yield (
                f"estimators.{name}.seeds: {seeds} is not allowed; it must be a multiple of "
                f"roles.folds, {roles.folds}: each fold gets as many networks"
            )
    for section in ("learning_curve", "repeated"):
        if getattr(config, section) is not None:
            yield f"{section}: it needs training samples without folds; set roles.folds to 1"


def _truth(config: Any) -> Iterator[str]:
    """The truth must say what each flavour does, where it has a part for each."""
    if config.truth is None:
        generated = [name for name, one in config.samples.items() if one.generator is not None]
        if generated:
            yield f"truth: it is missing, and samples.{generated[0]} is generated by it"
        return
    for path, truth in _truths(config):
        for part in ("base", "correction"):
            entries = getattr(truth, part, None)
            if isinstance(entries, Mapping):
                yield from _one_for_each_flavour(f"{path}.{part}", entries, config)


def _truths(config: Any) -> Iterator[tuple[str, Any]]:
    """Go through the truth and those that it changes, each with its path."""
    path = "truth"
    truth = config.truth
    while truth is not None:
        yield path, truth
        path = f"{path}.of"
        truth = truth.of if isinstance(truth, WithVariableOptions) else None


def _one_for_each_flavour(path: str, entries: Mapping[str, Any], config: Any) -> Iterator[str]:
    missing = [name for name in config.flavours if name not in entries]
    unknown = [name for name in entries if name not in config.flavours]
    if missing or unknown:
        yield (
            f"{path}: must have an entry for each of {', '.join(config.flavours)}; "
            f"missing: {', '.join(missing) or 'none'}, unknown: {', '.join(unknown) or 'none'}"
        )


def _further_variables(config: Any) -> Iterator[str]:
    """A variable that depends on the flavour must have a mean for each."""
    for name, generator in config.generators.items():
        for variable, options in _variables_of(generator).items():
            if options.means is not None:
                path = f"generators.{name}.further.{variable}.means"
                yield from _one_for_each_flavour(path, options.means, config)


def _variables_that_are_made(config: Any) -> Iterator[str]:
    """What the truth depends on, and every input, must be made by the generators of samples."""
    wanted = {f"inputs.{name}": name for name in config.inputs}
    for path, truth in _truths(config):
        if isinstance(truth, WithVariableOptions):
            wanted[f"{path}.variable"] = truth.variable
    used = {sample.generator for sample in config.samples.values()}
    for name, generator in config.generators.items():
        # What a generator of another package makes, only that package knows.
        if name not in used or generator.kind not in GENERATORS.entries:
            continue
        made = list(_variables_of(generator))
        for path, variable in wanted.items():
            if variable not in made:
                yield (
                    f"{path}: {variable!r} is not a further variable of generators.{name}; add it "
                    f"to generators.{name}.further. There are: {', '.join(made) or 'none'}"
                    f"{did_you_mean(variable, made)}"
                )


def _variables_of(generator: Any) -> Mapping[str, FurtherOptions]:
    return generator.further if isinstance(generator, GeneratorOptions) else {}


def _columns_of_estimators(config: Any) -> Iterator[str]:
    """What networks see and maps have axes of must be columns of the jets."""
    allowed_of_networks = ["pt", "eta", "phi", "flavour", "mass", *config.inputs]
    allowed_of_maps = ["mass", "phi", *config.inputs]
    for name, options in config.estimators.items():
        architecture = getattr(options, "architecture", None)
        for number, column in enumerate(getattr(architecture, "inputs", ())):
            path = f"estimators.{name}.architecture.inputs.{number}"
            yield from _must_be(path, column, "a column of the jets", allowed_of_networks)
        axes = getattr(options, "axes", None)
        for column in axes if isinstance(axes, Mapping) else ():
            path = f"estimators.{name}.axes"
            yield from _must_be(path, column, "a column of the jets", allowed_of_maps)
        if isinstance(options, AdditiveOptions):
            yield from _columns_of_terms(f"estimators.{name}.terms", options, config)


def _columns_of_terms(path: str, options: AdditiveOptions, config: Any) -> Iterator[str]:
    """Terms must be of numbers; a category has no smooth function."""
    categories = [name for name, one in config.inputs.items() if one.categories]
    allowed = ["pt", "eta", "mass", *(name for name in config.inputs if name not in categories)]
    for column in options.columns:
        if column in categories:
            listed = ", ".join(allowed)
            yield (
                f"{path}: {column!r} is a category, which has no smooth function; name a number, "
                f"or fit a network, which sees categories. Allowed: {listed}"
            )
        else:
            yield from _must_be(path, column, "a column of the jets", allowed)


def _uncertainty(config: Any) -> Iterator[str]:
    """What tells the errors must not have been learned from, nor be judged with them."""
    roles = config.roles
    sample = config.uncertainty.sample
    if sample is None:
        return
    # With folds, no event is predicted by what learned from it.
    excluded = set() if roles.folds > 1 else {*roles.train, *roles.judged}
    allowed = [name for name in config.samples if name not in excluded]
    if sample not in allowed:
        listed = ", ".join(allowed) or "a sample that is neither in roles.train nor in roles.judged"
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


def _flavours_of_scale_factors(config: Any) -> Iterator[str]:
    options = config.weights.scale_factors
    if options is not None:
        yield from faults_of_flavours(options, list(config.flavours))
        yield from flavours_in_no_group(options, list(config.flavours))


def _points_of_scale_factors(config: Any) -> Iterator[str]:
    if config.weights.scale_factors is not None:
        yield from faults_of_points(config.weights.scale_factors, list(config.working_points))


def _flavours_of_figures(config: Any) -> Iterator[str]:
    flavours = list(config.flavours)
    for name in config.figures.weighting_flavours:
        yield from _must_be("figures.weighting_flavours", name, "a flavour", flavours)
    flavour = config.figures.factor_probe.flavour
    yield from _must_be("figures.factor_probe.flavour", flavour, "a flavour", flavours)


def _distributions(config: Any) -> Iterator[str]:
    for name, distribution in config.distributions.items():
        if distribution.sample is not None:
            path = f"distributions.{name}.sample"
            allowed = names_with_variations(config.samples)
            yield from _must_be(path, distribution.sample, "a sample", allowed)


def _names_of_distributions(config: Any) -> Iterator[str]:
    for name in (CELLS, GLOBAL):
        if name in config.distributions:
            yield (
                f"distributions.{name}: the name is that of a test that every run makes; "
                "give the distribution another one"
            )


def _close_jets(config: Any) -> Iterator[str]:
    cells = config.closure.cells
    if cells.close not in cells.delta_r:
        listed = ", ".join(map(str, cells.delta_r)) or "none"
        yield (
            f"closure.cells.close: {cells.close} is no border of closure.cells.delta_r ({listed}); "
            "take one of them, or add it there"
        )


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
        panels += ["all", *config.flavours]
        known = {
            "sample": names_with_variations(config.samples),
            "distribution": [*config.distributions, CELLS, GLOBAL],
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
                sample = one.sample or config.roles.judged[0]
                histograms.append(f"{name} (sample {sample}; {', '.join(of_one)})")
            judged = ", ".join(config.roles.judged)
            histograms.append(f"cells (samples {judged}; {', '.join(config.flavours)})")
            yield f"{path}: no histogram is all of {stated}. There are: {'; '.join(histograms)}"


def _unknown(path: str, word: str, allowed: list[str]) -> Iterator[str]:
    if word not in allowed:
        yield (
            f"{path}: {word!r} is unknown. Allowed: {', '.join(allowed)}"
            f"{did_you_mean(word, allowed)}"
        )


def _some_histogram_fits(entry: Any, config: Any) -> bool:
    judged = entry.sample in (None, *config.roles.judged)
    of_cells = entry.distribution in (None, CELLS) and entry.panel in (None, *config.flavours)
    if judged and of_cells:
        return True
    if entry.distribution == GLOBAL:
        filled = [one.sample or config.roles.judged[0] for one in config.distributions.values()]
        return entry.panel in (None, "all") and (judged or entry.sample in filled)
    for name, distribution in config.distributions.items():
        if (
            entry.distribution in (None, name)
            and entry.sample in (None, distribution.sample or config.roles.judged[0])
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

    sections = (
        "samples", "roles", "truth", "estimators", "distributions", "generators", "figures",
        "readers",
    )  # fmt: skip
    plain: dict[str, Any] = {}
    for name in sections:
        adapter: TypeAdapter[Any] = TypeAdapter(Any)
        section = getattr(config, name)
        section = with_variations(section) if name == "samples" else section
        plain[name] = adapter.dump_python(section, mode="json")
    for distribution in plain["distributions"].values():
        distribution["sample"] = distribution["sample"] or plain["roles"]["judged"][0]
    try:
        allowed = list(figures_of(plain))
    except ConfigError as error:
        yield str(error)
        return
    for number, name in enumerate(only):
        yield from _must_be(f"figures.only.{number}", name, "a figure", allowed)


def _one_generated_sample(section: str, config: Any) -> Iterator[str]:
    """Studies take so many first events of one sample, which must be known before it is made."""
    for role in ("train", "validation"):
        names = [name for name in getattr(config.roles, role) if name in config.samples]
        if len(names) > 1 or any(config.samples[name].reader is not None for name in names):
            yield (
                f"{section}: it needs one generated sample in roles.{role}, of a known number of "
                f"events; there is {', '.join(names)}"
            )


def _curve(config: Any) -> Iterator[str]:
    """The points of the learning curve are first events of the training sample, ever more."""
    curve = config.learning_curve
    if curve is None:
        return
    yield from _must_be("learning_curve.sample", curve.sample, "a sample", list(config.samples))
    yield from _one_generated_sample("learning_curve", config)
    train = config.roles.train[0]
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
        yield from _seeds_of_point(f"learning_curve.points.{number}.seeds", point.seeds, config)


def _seeds_of_point(path: str, seeds: int | None, config: Any) -> Iterator[str]:
    """A point takes some of the networks of every ensemble."""
    for name, options in config.estimators.items():
        there = getattr(options, "seeds", None)
        if seeds is not None and there is not None and seeds > there:
            yield (
                f"{path}: {seeds} is more than estimators.{name}.seeds, {there}; lower it, or "
                "train more networks"
            )


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
    if repeated is None:
        return
    yield from _one_generated_sample("repeated", config)
    train = config.roles.train[0]
    there = config.samples[train].events if train in config.samples else None
    for path, one in (("repeated", repeated), ("repeated.networks", repeated.networks)):
        if one is not None and there is not None and one.samples * one.events > there:
            yield (
                f"{path}: {one.samples} samples of {one.events} events are more than "
                f"samples.{train}.events, {there}; make the sample longer"
            )


inconsistencies: tuple[Callable[[Any], Iterator[str]], ...] = (
    _flavours,
    _alike,
    _samples,
    faults_of_variations,
    _labels,
    _points_that_are_named,
    _roles,
    _folds,
    _truth,
    _further_variables,
    _variables_that_are_made,
    _columns_of_estimators,
    _uncertainty,
    _domain,
    _flavours_that_are_named,
    _flavours_of_scale_factors,
    _points_of_scale_factors,
    _flavours_of_figures,
    faults_of_exports,
    _distributions,
    _names_of_distributions,
    _close_jets,
    _efficiencies_of_figures,
    _required,
    _only,
    _curve,
    _training_of_points,
    _repeated,
)
"""Checks of what several sections say together; each is given the config, and yields faults."""
