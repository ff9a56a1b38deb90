"""Names that the config can use, and the objects that they stand for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, TypeVar

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from truthtag.errors import ConfigError

__all__ = ["Chosen", "Registry", "build", "choose", "did_you_mean", "load_object", "validated"]

Value = TypeVar("Value")
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Registry:
    """Objects by name; each is imported when it is asked for, so that the list costs nothing.

    A name is one of ``entries``, one that an installed package gives as an entry point of
    ``group``, or the place itself, ``module:object``.

    Args:
        what: What the objects are, as an error calls them: "a kind of estimator", say.
        entries: Where each object is, ``module:object``, by name.
        group: The group of entry points that other packages may add to.

    Example:
        >>> from truthtag.registry import Registry
        >>> Registry("a module", {"json": "json:loads"}).load("json", "example")("[1]")
        [1]
    """

    what: str
    entries: Mapping[str, str]
    group: str = ""

    def places(self) -> dict[str, str]:
        """Return where each known object is, ``module:object``, by name."""
        places = dict(self.entries)
        if self.group:
            for point in entry_points(group=self.group):
                places.setdefault(point.name, point.value)
        return places

    def place(self, name: str, path: str) -> str:
        """Return where an object is, ``module:object``.

        Args:
            name: Its name, or the place itself.
            path: Where the name was given, for the error: a config path, say.

        Raises:
            ConfigError: Nothing has this name.
        """
        if ":" in name:
            return name
        if name in self.entries:
            # Most names are: to look through all installed packages takes a while.
            return self.entries[name]
        known = self.places()
        if name not in known:
            hint = did_you_mean(name, known)
            msg = (
                f"{path}: {name!r} is not {self.what}. "
                f"Allowed: {', '.join(known)}, or module:object{hint}"
            )
            raise ConfigError(msg)
        return known[name]

    def module(self, name: str, path: str) -> str:
        """Return the dotted name of the module that holds an object.

        Arguments and errors are those of :meth:`place`.
        """
        return self.place(name, path).partition(":")[0]

    def load(self, name: str, path: str) -> Any:
        """Import an object; arguments are those of :meth:`place`.

        Raises:
            ConfigError: Nothing has this name, or it cannot be imported.
        """
        return load_object(self.place(name, path), path)


@dataclass(frozen=True, eq=False)
class Chosen:
    """Says that a section is validated by the ``options_type`` of the class that its ``kind``
    names.

    Args:
        registry: What the kinds are.
        is_nested: Whether the section lies within the options of one of these kinds. The JSON
            schema then does not repeat the keys of all kinds, which would have no end.

    Example:
        >>> from typing import Annotated
        >>> from pydantic import TypeAdapter
        >>> from truthtag.options import Options
        >>> from truthtag.registry import Chosen
        >>> from truthtag.toy.truth import TRUTHS
        >>> truth = TypeAdapter(Annotated[Options, Chosen(TRUTHS)])
        >>> truth.validate_python({"kind": "neighbour_product", "base": {}, "correction": {}}).kind
        'neighbour_product'
    """

    registry: Registry
    is_nested: bool = False

    def options_type(self, kind: str) -> type[BaseModel]:
        """Return the type of the options of a kind.

        Raises:
            ConfigError: Nothing has this kind, it cannot be imported, or it has no options.
        """
        is_place = ":" in kind or kind in self.registry.entries
        if not is_place and kind not in self.registry.places():
            known = self.registry.places()
            hint = did_you_mean(kind, known)
            msg = f"allowed are {', '.join(known)}, or module:Class{hint}"
            raise ConfigError(msg)
        loaded = self.registry.load(kind, "kind")
        options_type = getattr(loaded, "options_type", None)
        if not (isinstance(options_type, type) and issubclass(options_type, BaseModel)):
            msg = (
                f"{kind} has no options_type, a pydantic model of its options, and so is not "
                f"{self.registry.what}"
            )
            raise ConfigError(msg)
        return options_type

    def options_types(self) -> dict[str, type[BaseModel]]:
        """Return the types of the options of all kinds that have a name in truthtag itself."""
        return {kind: self.options_type(kind) for kind in self.registry.entries}

    def validate(self, value: Any) -> BaseModel:
        """Make options of a section.

        Raises:
            ValidationError: The kind is missing or unknown, or an option is not allowed.
        """
        if isinstance(value, BaseModel):
            return value
        if not isinstance(value, Mapping):
            raise _error("dict_type", (), value)
        if "kind" not in value:
            raise _error("missing", ("kind",), value)
        kind = value["kind"]
        if not isinstance(kind, str):
            raise _error("string_type", ("kind",), kind)
        try:
            options_type = self.options_type(kind)
        except ConfigError as error:
            text = str(error).removeprefix("kind: ").replace("{", "{{").replace("}", "}}")
            raise _error(PydanticCustomError("kind", text), ("kind",), kind) from error
        return options_type.model_validate(dict(value))

    def __get_pydantic_core_schema__(self, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        """Validate and dump by the model of the kind."""
        return core_schema.no_info_plain_validator_function(
            self.validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda options, info: options.model_dump(mode=info.mode), info_arg=True
            ),
        )

    def __get_pydantic_json_schema__(
        self, _: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe the section: a branch for each kind that has a name."""
        if self.is_nested:
            text = "What it is; the keys beside it depend on it. A name, or `module:Class`."
            properties = {"kind": {"type": "string", "description": text}}
            return {"type": "object", "required": ["kind"], "properties": properties}
        branches = []
        for kind, options_type in self.options_types().items():
            condition = {"required": ["kind"], "properties": {"kind": {"const": kind}}}
            keys = handler(options_type.__pydantic_core_schema__)
            branches.append({"if": condition, "then": keys})
        return {"type": "object", "required": ["kind"], "allOf": branches}


def _error(kind: str | PydanticCustomError, place: tuple[str, ...], value: Any) -> ValidationError:
    details = InitErrorDetails(type=kind, loc=place, input=value)
    return ValidationError.from_exception_data("kind", [details])


def load_object(place: str, path: str) -> Any:
    """Import an object from ``module:object``.

    Args:
        place: Where it is.
        path: Where the place was given, for the error.

    Raises:
        ConfigError: The module cannot be imported, or has no such object.
    """
    module, _, name = place.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        msg = (
            f"{path}: {place!r} cannot be loaded ({error}). "
            "Install the package that holds it, or correct the name."
        )
        raise ConfigError(msg) from error


def build(
    registry: Registry,
    options: Mapping[str, Any] | BaseModel,
    flavours: Mapping[str, int],
    path: str,
) -> Any:
    """Build the object that options describe, by their ``kind``.

    Args:
        registry: What the kinds are.
        options: A section of the config, or the options object that it became.
        flavours: Numbers of the flavours, by name.
        path: Where the options were given, for the error.

    Returns:
        An object of the class that ``kind`` names: ``from_options(options, flavours)`` of it.

    Raises:
        ConfigError: Nothing has this kind, or an option is not allowed.
    """
    given = options if isinstance(options, Mapping) else options.model_dump(exclude_unset=True)
    if "kind" not in given:
        msg = (
            f"{path}.kind: it is missing. Allowed: {', '.join(registry.places())}, or module:object"
        )
        raise ConfigError(msg)
    kind = registry.load(given["kind"], f"{path}.kind")
    if not isinstance(options, kind.options_type):
        options = validated(kind.options_type, given, path)
    return kind.from_options(options, flavours)


def validated(options_type: type[Model], given: Mapping[str, Any], path: str) -> Model:
    """Make options of a section of the config.

    Raises:
        ConfigError: An option is missing, unknown or not allowed: one line for each.
    """
    try:
        return options_type.model_validate(given)
    except ValidationError as error:
        msg = "\n".join(_fault_lines(error, path))
        raise ConfigError(msg) from error


def _fault_lines(error: ValidationError, path: str) -> list[str]:
    """Say for each option that is wrong where it is, what is allowed, and what it is."""
    lines = []
    for fault in error.errors():
        # What pydantic adds to tell bins of one width from edges, and a key from its value, is no
        # part of the path.
        keys = [str(key) for key in fault["loc"] if not str(key).startswith(("<", "["))]
        place = ".".join([path, *keys])
        if fault["type"] == "value_error":
            # Our own texts hold the value already.
            lines.append(f"{place}: {fault['msg'].removeprefix('Value error, ')}")
        else:
            lines.append(f"{place}: {fault['msg']}, not {fault['input']!r}")
    return lines


def choose(known: Mapping[str, Value], name: str, path: str) -> Value:
    """Return what a name means.

    Raises:
        ConfigError: Nothing has this name; the message says which names there are.
    """
    if name not in known:
        msg = f"{path} is {name!r}; allowed are {', '.join(known)}{did_you_mean(name, known)}"
        raise ConfigError(msg)
    return known[name]


def did_you_mean(word: object, allowed: Mapping[str, Any] | list[str]) -> str:
    """Return a hint at the nearest allowed word, empty where none is near."""
    close = difflib.get_close_matches(str(word), list(allowed), n=1)
    return f". Did you mean {close[0]!r}?" if close else ""
