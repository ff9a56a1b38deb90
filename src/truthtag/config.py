"""The config at the door: checked against its schema and against itself, every fault named by its path."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeVar, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from truthtag.errors import ConfigError

__all__ = ["check_config", "check_edges", "choose", "edges_of", "faults"]

Value = TypeVar("Value")
RESERVED = ("true", "direct", "generated", "all")


def check_config(config: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Check a config, and fill in what it leaves to the schema's defaults.

    Args:
        config: The config as read from YAML.
        schema: The JSON schema of configs.

    Returns:
        A copy of the config with defaults filled in.

    Raises:
        ConfigError: One line for each fault: the path, the value, what is allowed.
    """
    filled = copy.deepcopy(dict(config))
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
    for key, flavour in named:
        if flavour not in flavours:
            yield f"figures.{key}: {flavour!r} is not a flavour. Allowed: {', '.join(flavours)}"


def edges_of(axis: Mapping[str, Any] | Sequence[float]) -> list[float]:
    """Return the bin edges that a config means: a list, or ``{bins, low, high}`` for bins of one width.

    Example:
        >>> edges_of({"bins": 2, "low": 0, "high": 5})
        [0.0, 2.5, 5.0]
    """
    if isinstance(axis, Mapping):
        low, high, bins = float(axis["low"]), float(axis["high"]), int(axis["bins"])
        return [low + (high - low) * i / bins for i in range(bins)] + [high]
    return [float(edge) for edge in axis]


def check_edges(edges: Sequence[float], name: str) -> None:
    """Refuse bin edges that do not rise.

    Raises:
        ConfigError: There are fewer than two, or one is not above the one before it.
    """
    if len(edges) < 2:
        msg = f"{name}: {list(edges)} makes no bin; give at least two edges"
        raise ConfigError(msg)
    for position, (before, after) in enumerate(pairwise(edges), start=1):
        if not after > before:
            msg = (
                f"{name}: edge {position} is {after}, not above the edge before it, {before}; put them in rising order"
            )
            raise ConfigError(msg)


def choose(known: Mapping[str, Value], name: str, path: str) -> Value:
    """Return what a name means.

    Raises:
        ConfigError: Nothing has this name; the message says which names there are.
    """
    if name not in known:
        msg = f"{path} is {name!r}; allowed are {', '.join(known)}"
        raise ConfigError(msg)
    return known[name]


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
        axes |= {f"maps.{name}.{axis}": options[axis] for axis in ("pt", "eta")}
    for path, axis in axes.items():
        try:
            check_edges(edges_of(axis), path)
        except ConfigError as error:
            yield str(error)


def _interval_faults(path: str, value: object) -> Iterator[str]:
    """Every ``low`` must be below its ``high``."""
    if isinstance(value, Mapping):
        if {"low", "high"} <= set(value) and not value["low"] < value["high"]:
            yield f"{path}: low is {value['low']} and high is {value['high']}; low must be below high"
        for key, inner in value.items():
            yield from _interval_faults(f"{path}.{key}", inner)


def _fill_defaults(value: object, schema: Mapping[str, Any], root: Mapping[str, Any]) -> None:
    """Write the schema's defaults into a config, in place, at every depth."""
    schema = _resolve(schema, root)
    if not isinstance(value, dict):
        return
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


def _explain(error: ValidationError) -> str:
    """Say what a schema violation is, where, and what is allowed."""
    path = ".".join(str(step) for step in error.absolute_path) or "the config"
    schema, limit, instance = cast("tuple[Any, Any, Any]", (error.schema, error.validator_value, error.instance))
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
