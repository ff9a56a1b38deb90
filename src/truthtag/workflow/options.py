"""The config at the door: checked against its schema and against itself, every fault named by its path."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from truthtag.data.axes import check_edges, edges_of
from truthtag.errors import ConfigError

__all__ = [
    "PAPER_FIGURES",
    "STUDY_FIGURES",
    "TRUST_FIGURES",
    "check_config",
    "factor_figures",
    "faults",
    "first_events",
    "standard_figures",
]

RESERVED = ("true", "direct", "generated", "all")
PAPER_FIGURES = ("fig1", "fig2", "fig3", "fig6", "fig7", "fig8")
"""Figures of the paper that every run draws."""
JUDGED = ("test", "boson")
"""Samples that closure is tested on, so that nothing may be learned from their tags."""
TRUST_FIGURES = ("calibration", "coverage")
"""Figures that tell whether efficiencies and their errors are right, which every run draws, too."""
STUDY_FIGURES = ("learning_curve", "work", "repeated")
"""Figures that are drawn only where ``figures.draw`` names them."""


def check_config(config: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Check a config, drop what it sets to null, and fill in what it leaves to the schema's defaults.

    Args:
        config: The config as read from YAML.
        schema: The JSON schema of configs.

    Returns:
        A copy of the config with defaults filled in.

    Raises:
        ConfigError: One line for each fault: the path, the value, what is allowed.
    """
    filled = copy.deepcopy(dict(config))
    _drop_nulls(filled, schema, schema)
    _fill_defaults(filled, schema, schema)
    found = [_explain(error) for error in Draft202012Validator(schema).iter_errors(filled)]
    found = found or list(faults(filled))
    if found:
        lines = "\n".join(f"  {fault}" for fault in sorted(set(found)))
        msg = f"the config has {len(set(found))} fault(s); nothing was started:\n{lines}"
        raise ConfigError(msg)
    return filled


def faults(config: Mapping[str, Any]) -> Iterator[str]:
    """Go through what a schema cannot say: parts of a config that contradict each other."""
    flavours, generators = config["flavours"], config["generators"]
    if len(set(flavours.values())) < len(flavours):
        yield f"flavours: two names share a number in {flavours}; give each hadron flavour its own"
    for name, sample in config["samples"].items():
        if sample["generator"] not in generators:
            yield (
                f"samples.{name}.generator: {sample['generator']!r} is not a generator. "
                f"Allowed: {', '.join(generators)}{_near(sample['generator'], generators)}"
            )
    for part in ("base", "correction"):
        missing = [f for f in flavours if f not in config["truth"][part]]
        unknown = [f for f in config["truth"][part] if f not in flavours]
        if missing or unknown:
            yield (
                f"truth.{part}: must have an entry for each of {', '.join(flavours)}; "
                f"missing: {', '.join(missing) or 'none'}, unknown: {', '.join(unknown) or 'none'}"
            )
    if (config["truth"]["form"] == "nearest_neighbour") != ("pt_half" in config["truth"]):
        yield "truth.pt_half: nearest_neighbour needs it, and no other form has it"
    yield from _name_faults(config)
    yield from _edge_faults(config)
    yield from _interval_faults("generators", generators)
    figures = config["figures"]
    named = [("weighting_flavours", f) for f in figures["weighting_flavours"]] + [
        ("reading.flavour", figures["reading"]["flavour"])
    ]
    named = [(f"figures.{key}", flavour) for key, flavour in named]
    for key, flavour in [
        *named,
        *(("weights.direct", flavour) for flavour in config["weights"]["direct"]),
    ]:
        if flavour not in flavours:
            yield f"{key}: {flavour!r} is not a flavour. Allowed: {', '.join(flavours)}"
    yield from _draw_faults(config)
    yield from _trust_faults(config)
    if "learning_curve" in config:
        yield from _curve_faults(config)


def factor_figures(config: Mapping[str, Any]) -> list[str]:
    """Return the counterparts of Figure 3: factorised networks can be read, and each has one."""
    kinds = {name: options["architecture"]["kind"] for name, options in config["networks"].items()}
    return [f"fig3_{name}" for name, kind in kinds.items() if kind == "factorised"]


def standard_figures(config: Mapping[str, Any]) -> list[str]:
    """Return the figures that are drawn where ``figures.draw`` does not choose."""
    return [
        *PAPER_FIGURES,
        *TRUST_FIGURES,
        *factor_figures(config),
        *(["training"] if config["networks"] else []),
    ]


def first_events(config: Mapping[str, Any], events: int) -> dict[str, int]:
    """Return how many of the first events of each sample a point of the learning curve takes.

    Args:
        config: The config, checked.
        events: Events of ``train`` that everything is fitted to.

    Returns:
        The events of ``train``, and the same share of ``validation``, at least one: who has fewer events to train on
        has fewer to choose the best epoch, too.

    Example:
        >>> first_events({"samples": {"train": {"events": 1000}, "validation": {"events": 200}}}, 30)
        {'train': 30, 'validation': 6}
    """
    train, validation = (config["samples"][name]["events"] for name in ("train", "validation"))
    return {"train": events, "validation": max(1, round(events * validation / train))}


def _name_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """Names of maps and networks share one folder, one table and one legend."""
    for name in config["maps"]:
        if name in config["networks"]:
            yield f"networks.{name}: a map has this name too; predictions of the two would overwrite each other"
    for kind in ("maps", "networks"):
        for name in config[kind]:
            if name in RESERVED:
                yield f"{kind}.{name}: this name is taken. Not allowed: {', '.join(RESERVED)}"


def _edge_faults(config: Mapping[str, Any]) -> Iterator[str]:
    axes = {f"figures.axes.{name}": axis for name, axis in config["figures"]["axes"].items()}
    for name, options in config["maps"].items():
        axes |= {
            f"maps.{name}.{axis}": options[axis]
            for axis in ("pt", "eta", "delta_r")
            if axis in options
        }
    for path, axis in axes.items():
        try:
            check_edges(edges_of(axis), path)
        except ConfigError as error:
            yield str(error)


def _draw_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """Only figures that exist, and whose numbers can be had, can be chosen."""
    chosen, networks = config["figures"].get("draw", ()), config["networks"]
    allowed = [*standard_figures(config), *STUDY_FIGURES]
    for number, name in enumerate(chosen):
        if name not in allowed:
            yield f"figures.draw.{number}: {name!r} is not a figure. Allowed: {', '.join(allowed)}{_near(name, allowed)}"
    if "learning_curve" in chosen and "learning_curve" not in config:
        yield (
            "figures.draw: learning_curve needs the section learning_curve, which is missing; "
            "give its points as config/studies/learning_curve.yaml does"
        )
    if "repeated" in chosen and "repeated" not in config:
        yield (
            "figures.draw: repeated needs the section repeated, which is missing; "
            "give it as config/studies/repeated.yaml does"
        )
    if "work" in chosen:
        if not networks:
            yield "figures.draw: work shows the training of networks, and there are none; add one to networks"
        for name, options in networks.items():
            if options["training"]["mu"] != 1:
                yield (
                    f"networks.{name}.training.mu: {options['training']['mu']} cannot be drawn in the figure work, "
                    "which compares losses with that of the true efficiency; set it to 1, or take work out of figures.draw"
                )


def _trust_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """What judges efficiencies must exist, and must not have been used to make them."""
    samples, known = config["samples"], [*config["maps"], *config["networks"]]
    sample = config["uncertainty"]["sample"]
    allowed = [name for name in samples if name not in ("train", *JUDGED)]
    if sample not in allowed:
        yield f"uncertainty.sample: {sample!r} is not allowed; it must be one of {', '.join(allowed)}"
    if config["domain"]["reference"] < config["domain"]["neighbours"]:
        yield (
            f"domain.reference: {config['domain']['reference']} is less than domain.neighbours, "
            f"{config['domain']['neighbours']}; raise it"
        )
    for number, name in enumerate(config["figures"].get("efficiencies", ())):
        if name not in known:
            yield f"figures.efficiencies.{number}: {name!r} is not an efficiency. Allowed: {', '.join(known)}{_near(name, known)}"
    for number, entry in enumerate(config["closure"]["required"]):
        for key, allowed in (("sample", list(samples)), ("efficiency", ["true", *known])):
            if key in entry and entry[key] not in allowed:
                yield (
                    f"closure.required.{number}.{key}: {entry[key]!r} is unknown. "
                    f"Allowed: {', '.join(allowed)}{_near(entry[key], allowed)}"
                )
    if "repeated" in config:
        asked = config["repeated"]["samples"] * config["repeated"]["events"]
        if asked > samples["train"]["events"]:
            yield (
                f"repeated: {config['repeated']['samples']} samples of {config['repeated']['events']} events are more than "
                f"samples.train.events, {samples['train']['events']}; make the sample longer"
            )


def _curve_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """The points of the learning curve are parts of the training sample, each larger than the one before."""
    curve, samples = config["learning_curve"], config["samples"]
    if curve["sample"] not in samples:
        yield (
            f"learning_curve.sample: {curve['sample']!r} is not a sample. "
            f"Allowed: {', '.join(samples)}{_near(curve['sample'], samples)}"
        )
    events, most = [point["events"] for point in curve["points"]], samples["train"]["events"]
    for number, count in enumerate(events):
        path = f"learning_curve.points.{number}.events"
        if count > most:
            yield f"{path}: {count} is more than samples.train.events, {most}; lower it, or make the sample longer"
        if number and count <= events[number - 1]:
            yield f"{path}: {count} is not above the point before it, {events[number - 1]}; put them in rising order"


def _interval_faults(path: str, value: object) -> Iterator[str]:
    """Every ``low`` must be below its ``high``."""
    if isinstance(value, Mapping):
        if {"low", "high"} <= set(value) and not value["low"] < value["high"]:
            yield f"{path}: low is {value['low']} and high is {value['high']}; low must be below high"
        for key, inner in value.items():
            yield from _interval_faults(f"{path}.{key}", inner)


def _drop_nulls(value: object, schema: Mapping[str, Any], root: Mapping[str, Any]) -> None:
    """Drop every key that is known and set to null, in place: a config on top of another can only add otherwise.

    Unknown keys stay, to be refused by name.
    """
    if not isinstance(value, dict):
        return
    schema = _of_kind(value, schema, root)
    for key in list(value):
        inner = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
        if isinstance(inner, Mapping) and value[key] is None:
            del value[key]
        elif isinstance(inner, Mapping):
            _drop_nulls(value[key], inner, root)


def _fill_defaults(value: object, schema: Mapping[str, Any], root: Mapping[str, Any]) -> None:
    """Write the schema's defaults into a config, in place, at every depth."""
    if not isinstance(value, dict):
        return
    schema = _of_kind(value, schema, root)
    for key, inner in schema.get("properties", {}).items():
        resolved = _resolve(inner, root)
        if "default" in resolved and key not in value:
            value[key] = copy.deepcopy(resolved["default"])
        if key in value:
            _fill_defaults(value[key], resolved, root)
    others = schema.get("additionalProperties")
    if isinstance(others, Mapping):
        for key in value:
            if key not in schema.get("properties", {}):
                _fill_defaults(value[key], others, root)


def _resolve(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a reference into the definitions; keys beside the reference stay."""
    if "$ref" not in schema:
        return schema
    target: Any = root
    for step in schema["$ref"].removeprefix("#/").split("/"):
        target = target[step]
    return {**target, **{k: v for k, v in schema.items() if k != "$ref"}}


def _of_kind(
    value: Mapping[str, Any], schema: Mapping[str, Any], root: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Follow a reference, and where the keys depend on the kind that a value says it is, choose those of this kind."""
    schema = _resolve(schema, root)
    for branch in schema.get("allOf", ()):
        if all(
            value.get(key) == inner["const"] for key, inner in branch["if"]["properties"].items()
        ):
            return _resolve(branch["then"], root)
    return schema


def _explain(error: ValidationError) -> str:
    """Say what a schema violation is, where, and what is allowed."""
    path = ".".join(str(step) for step in error.absolute_path) or "the config"
    schema, limit, instance = cast(
        "tuple[Any, Any, Any]", (error.schema, error.validator_value, error.instance)
    )
    if error.validator == "additionalProperties":
        allowed = list(schema.get("properties", {}))
        unknown = [key for key in instance if key not in allowed]
        return f"{path}: unknown key {unknown[0]!r}. Allowed: {', '.join(allowed)}{_near(unknown[0], allowed)}"
    if error.validator == "required":
        missing = [key for key in limit if key not in instance]
        return f"{path}: key {missing[0]!r} is missing"
    allowed_text = {
        "minimum": f"it must be at least {limit}",
        "exclusiveMinimum": f"it must be above {limit}",
        "maximum": f"it must be at most {limit}",
        "exclusiveMaximum": f"it must be below {limit}",
        "multipleOf": f"it must be a multiple of {limit}",
        "type": f"it must be of type {limit if isinstance(limit, str) else ' or '.join(map(str, limit))}"
        if error.validator == "type"
        else "",
        "enum": f"allowed are {', '.join(map(str, limit))}" if error.validator == "enum" else "",
    }.get(str(error.validator), error.message)
    description = schema.get("description", "")
    return f"{path}: {instance!r} is not allowed; {allowed_text}. {description}".rstrip()


def _near(word: object, allowed: Sequence[str] | Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(str(word), list(allowed), n=1)
    return f". Did you mean {close[0]!r}?" if close else ""
