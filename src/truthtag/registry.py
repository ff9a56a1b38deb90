"""Names that the config can use, and the objects that they stand for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from truthtag.errors import ConfigError

__all__ = ["Registry", "build", "choose", "did_you_mean", "load_object", "validated"]

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
        # What pydantic adds to tell bins of one width from edges is no part of the path.
        keys = [str(key) for key in fault["loc"] if not str(key).startswith("<")]
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
