"""Faults of a config in words: the path, the value, what is allowed, what the key means."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from truthtag.axis import EQUAL_BINS_TAG
from truthtag.errors import ConfigError
from truthtag.registry import Chosen, did_you_mean

__all__ = ["Checked", "SectionFaultyError", "explain", "find_faults", "shown"]

Model = TypeVar("Model", bound=BaseModel)
Step = str | int

MAX_SHOWN = 80
"""Letters of a value that an error shows."""

MOVED = {
    "maps": "estimators, each with its kind",
    "networks": "estimators, each with kind: network",
    "process": "kind",
    "form": "kind",
    "minimum_variance": "minimum_events",
    "reference": "max_reference_jets",
    "prior": "prior_width",
    "largest": "max_scale",
    "direct": "keep_tags_of",
    "reading": "factor_probe",
    "draw": "only",
    "figure": "distribution",
}
"""Keys of version 0.1.0 that have another name now."""

TYPES = {
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "string": "string",
    "list": "list",
    "tuple": "list",
    "dict": "section with keys",
    "model": "section with keys",
    "model_attributes": "section with keys",
}
"""What each type is called, by the name that pydantic's error has."""

LIMITS = {
    "greater_than_equal": ("ge", "it must be at least"),
    "greater_than": ("gt", "it must be above"),
    "less_than_equal": ("le", "it must be at most"),
    "less_than": ("lt", "it must be below"),
    "multiple_of": ("multiple_of", "it must be a multiple of"),
}


class SectionFaultyError(Exception):
    """A check asked for a section that has a fault of its own."""


class Checked:
    """The sections of a config that have no fault of their own, as attributes.

    A check that asks for another one ends quietly: what it would say could be untrue.
    """

    def __init__(self, sections: Mapping[str, Any]) -> None:
        """Hold sections by their names."""
        self._sections = sections

    def __getattr__(self, name: str) -> Any:
        """Return a section.

        Raises:
            SectionFaultyError: It has a fault.
        """
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in self._sections:
            raise SectionFaultyError(name)
        return self._sections[name]


def find_faults(
    model: type[Model],
    raw: Any,
    inconsistencies: Iterable[Callable[[Any], Iterator[str]]],
) -> tuple[Model | None, list[str]]:
    """Validate a config, and describe everything that is wrong with it.

    Args:
        model: The type of the whole config.
        raw: The config as read from YAML.
        inconsistencies: Checks of what several keys say together; each yields faults, and is given
            only sections that have none.

    Returns:
        The config, or None where there are faults; and the faults, sorted.
    """
    if not isinstance(raw, Mapping):
        return None, [f"the config: {shown(raw)} is not allowed; it must be a section with keys"]
    found: set[str] = set()
    plain = _plain(raw, (), found)
    plain = _without_nulls(plain, model)
    sections: dict[str, Any]
    config: Model | None = None
    try:
        config = model.model_validate(plain)
        sections = {name: getattr(config, name) for name in model.model_fields}
    except ValidationError as error:
        found |= set(explain(error.errors(include_url=False), model, plain))
        faulty = {fault["loc"][0] for fault in error.errors() if fault["loc"]}
        sections = _sound_sections(model, plain, faulty)
    for check in inconsistencies:
        try:
            found |= set(check(Checked(sections)))
        except SectionFaultyError:
            continue
    return (None if found else config), sorted(found)


def _sound_sections(
    model: type[BaseModel], plain: Mapping[str, Any], faulty: set[Step]
) -> dict[str, Any]:
    """Validate the sections that have no fault, one by one."""
    sections = {}
    for name, field in model.model_fields.items():
        if name in faulty:
            continue
        if name not in plain:
            sections[name] = field.get_default(call_default_factory=True)
            continue
        annotation: Any = _annotation(field)
        config = None if _model_of(field.annotation) else model.model_config
        adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=config)
        sections[name] = adapter.validate_python(plain[name])
    return sections


def explain(
    errors: Iterable[ErrorDetails],
    model: type[BaseModel],
    plain: Mapping[str, Any],
    prefix: str = "",
) -> Iterator[str]:
    """Say in words what pydantic found.

    Args:
        errors: What it found.
        model: The type that was validated.
        plain: What was validated.
        prefix: Config path of the place that was validated, with a dot at its end.
    """
    for error in errors:
        place = _locate(error["loc"], model, plain)
        yield _sentence(error, place, prefix)


@dataclass(frozen=True)
class _Place:
    """Where an error is.

    Args:
        steps: The config path.
        parent: The model that has the last key of the path, or None where no model has it.
        field: The field that the path leads to, or through which it leads at last.
        value: What is there in the config.
    """

    steps: tuple[Step, ...]
    parent: type[BaseModel] | None
    field: FieldInfo | None
    value: Any


def _locate(loc: tuple[Step, ...], model: type[BaseModel], plain: Any) -> _Place:
    """Follow pydantic's location through the config; steps that only pydantic has are left out."""
    steps: list[Step] = []
    current: Any = model
    parent: type[BaseModel] | None = None
    field: FieldInfo | None = None
    value = plain
    for step in loc:
        current = _resolved(current, value)
        is_model = isinstance(current, type) and issubclass(current, BaseModel)
        if is_model and isinstance(value, Mapping):
            if step not in value and step not in {"kind", *current.model_fields}:
                continue
            parent = current
            field = current.model_fields.get(str(step))
            value = value.get(step)
            current = _annotation(field) if field else None
        elif isinstance(value, Mapping) and step in value:
            parent = None
            value = value[step]
            current = _item(current)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
            current = _item(current)
        else:
            continue
        steps.append(step)
    return _Place(tuple(steps), parent, field, value)


def _annotation(field: FieldInfo) -> Any:
    if not field.metadata:
        return field.annotation
    return Annotated[(field.annotation, *field.metadata)]


def _resolved(annotation: Any, value: Any) -> Any:
    """Return the model, or the list or dict type, that a value is validated by."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        for entry in metadata:
            if isinstance(entry, Chosen) and isinstance(value, Mapping):
                try:
                    return entry.options_type(value["kind"])
                except (ConfigError, KeyError, TypeError):
                    return inner
        return _resolved(inner, value)
    if get_origin(annotation) in (dict, list, tuple) or isinstance(annotation, type):
        return annotation
    # A union: a section where the value is one, a list where it is one.
    choices = [_resolved(choice, value) for choice in get_args(annotation)]
    for choice in choices:
        wants_keys = get_origin(choice) is dict or _model_of(choice) is not None
        if isinstance(value, Mapping) and wants_keys:
            return choice
        if isinstance(value, list) and get_origin(choice) in (list, tuple):
            return choice
    return next((choice for choice in choices if choice is not type(None)), None)


def _model_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None


def _item(annotation: Any) -> Any:
    """Return what the values of a dict, or the items of a list, are validated by."""
    arguments = [one for one in get_args(annotation) if one is not Ellipsis]
    return arguments[-1] if arguments else None


def _sentence(error: ErrorDetails, place: _Place, prefix: str) -> str:
    """Say what one error is."""
    kind = error["type"]
    path = _path(place.steps, prefix)
    if kind in ("extra_forbidden", "missing"):
        parent_path = _path(place.steps[:-1], prefix)
        key = place.steps[-1]
        if kind == "missing":
            return _with_description(f"{parent_path}: key {key!r} is missing", place.field)
        allowed = list(place.parent.model_fields) if place.parent else []
        return (
            f"{parent_path}: unknown key {key!r}. Allowed: "
            f"{', '.join(allowed)}{_hint(key, allowed)}"
        )
    text = error["msg"].removeprefix("Value error, ")
    if kind == "value_error":
        cause = error.get("ctx", {}).get("error")
        return _with_description(f"{path}: {cause or text}", place.field)
    if error["loc"][-1:] == (EQUAL_BINS_TAG,) and kind.endswith("_type"):
        allowed_values = "it must be a list of edges, or {bins, low, high}"
    else:
        allowed_values = _allowed(error, place.value)
    sentence = f"{path}: {shown(place.value)} is not allowed; {allowed_values}"
    return _with_description(sentence, place.field)


def _allowed(error: ErrorDetails, value: Any) -> str:
    """Say what would be allowed."""
    kind = error["type"]
    context = error.get("ctx", {})
    if kind in LIMITS:
        key, words = LIMITS[kind]
        return f"{words} {_number(context[key])}"
    if kind == "finite_number":
        return "it must be a finite number"
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", context["expected"])
        return f"allowed are {', '.join(allowed)}{did_you_mean(value, allowed)}"
    if kind == "too_short":
        return f"it must have at least {context['min_length']} entries"
    if kind == "too_long":
        return f"it must have at most {context['max_length']} entries"
    name = kind.removesuffix("_type").removesuffix("_from_float")
    if name in TYPES:
        return f"it must be of type {TYPES[name]}{_reading(name, value)}"
    return error["msg"]


def _reading(name: str, value: Any) -> str:
    """Say how YAML reads a number that is written in a way that YAML takes for text."""
    if name in ("int", "float") and isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return ""
        if name == "int" and number.is_integer():
            return f". YAML reads this as text; write {int(number)}"
        if math.isfinite(number):
            return f". YAML reads this as text; write {_as_yaml(value, number)}"
    if name == "string" and isinstance(value, bool | int | float):
        return ". YAML reads this as a number or a truth value; put it in quotes"
    return ""


def _as_yaml(text: str, number: float) -> str:
    """Write a number as YAML 1.1 reads it: with a point, and with the sign of its exponent.

    Example:
        >>> from truthtag.workflow.faults import _as_yaml
        >>> _as_yaml("1e-3", 1e-3), _as_yaml("2.5E3", 2.5e3)
        ('1.0e-3', '2.5e+3')
    """
    match = re.fullmatch(r"\s*([+-]?\d+)(?:\.(\d*))?[eE]([+-]?)(\d+)\s*", text)
    if not match:
        return repr(number)
    whole, fraction, sign, exponent = match.groups()
    return f"{whole}.{fraction or '0'}e{sign or '+'}{exponent}"


def _number(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def shown(value: Any) -> str:
    """Return a value as an error shows it: not more than a line of it."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _path(steps: tuple[Step, ...], prefix: str = "") -> str:
    shortened = []
    for step in steps:
        text = str(step)
        begin = text if len(text) <= MAX_SHOWN else text[:20]
        # A dot or a blank would hide where a name ends, a control character could hide the rest.
        is_plain = begin.isprintable() and begin != "" and not set(begin) & set(". ")
        rest = "..." if len(text) > len(begin) else ""
        shortened.append((begin if is_plain else repr(begin)) + rest)
    if not shortened:
        return prefix.removesuffix(".") or "the config"
    return prefix + ".".join(shortened)


def _hint(key: Any, allowed: list[str]) -> str:
    """Return a hint at what an unknown key may have meant."""
    new = MOVED.get(str(key))
    if new and new.split(",")[0] in allowed:
        return f". Since version 0.2.0 this is {new}"
    return did_you_mean(key, allowed)


def _description(field: FieldInfo | None, before: str) -> str:
    """Return what the key means, in one line."""
    if field is None or not field.description:
        return ""
    return before + " ".join(field.description.split())


def _with_description(sentence: str, field: FieldInfo | None) -> str:
    """Return what is wrong, and what the key means."""
    ended = sentence if sentence.endswith("?") else f"{sentence.rstrip('.')}."
    description = _description(field, " ")
    return f"{ended}{description}" if description else sentence.rstrip(".")


def _plain(value: Any, steps: tuple[Step, ...], found: set[str]) -> Any:
    """Copy a config, without the keys that are no text, each of which is a fault."""
    if isinstance(value, Mapping):
        copy = {}
        # Flavours are numbers, and so are the keys of a section that merges them.
        numbers_allowed = steps[-1:] == ("merge_flavours",)
        for key, inner in value.items():
            if isinstance(key, int) and not isinstance(key, bool) and numbers_allowed:
                copy[str(key)] = inner
                continue
            if isinstance(key, str):
                copy[key] = _plain(inner, (*steps, key), found)
                continue
            kind = (
                "nothing" if key is None else f"the {TYPES.get(type(key).__name__, 'value')} {key}"
            )
            found.add(
                f"{_path(steps)}: the key {key!r} is not allowed; it must be text, and YAML reads "
                f"{kind}. "
                "Use a name that begins with a letter, `y2018` say"
            )
        return copy
    if isinstance(value, list | tuple):
        return [_plain(inner, (*steps, number), found) for number, inner in enumerate(value)]
    return value


def _without_nulls(value: Any, annotation: Any) -> Any:
    """Copy a config, without keys that are set to null: it takes back what an earlier config says.

    Keys that a model does not know stay, to be refused by name.
    """
    if not isinstance(value, Mapping):
        return value
    chosen = _is_chosen(annotation)
    annotation = _resolved(annotation, value)
    fields = annotation.model_fields if _model_of(annotation) else None
    copy = {}
    for key, inner in value.items():
        known = fields is None or chosen or key in fields
        if inner is None and known:
            continue
        field = fields.get(key) if fields else None
        below = _annotation(field) if field else (None if fields else _item(annotation))
        copy[key] = _without_nulls(inner, below)
    return copy


def _is_chosen(annotation: Any) -> bool:
    """Tell whether the keys of a section depend on its kind, also where it may be left out."""
    if get_origin(annotation) in (Union, UnionType):
        return any(_is_chosen(choice) for choice in get_args(annotation))
    return any(isinstance(entry, Chosen) for entry in get_args(annotation)[1:])
