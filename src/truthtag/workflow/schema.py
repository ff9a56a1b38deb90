"""The JSON schema of configs, made from the typed models: for editors, and for the reference
page."""

from __future__ import annotations

from typing import Any

from truthtag.workflow.options import Config

__all__ = ["config_schema", "defaults"]

WORDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
}
LENGTHS = {"minLength": "minItems", "maxLength": "maxItems"}
"""Limits as pydantic writes them where it validates something before, and as JSON schema does."""


def config_schema() -> dict[str, Any]:
    """Return the JSON schema of the config; every key has a description.

    Example:
        >>> from truthtag.workflow.schema import config_schema
        >>> config_schema()["properties"]["seed"]["description"]
        'Number from which all random streams derive.'
    """
    schema = Config.model_json_schema()
    schema = _tidy(schema)
    header = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "truthtag config",
    }
    return {**header, **{key: value for key, value in schema.items() if key != "title"}}


def defaults() -> dict[str, Any]:
    """Return what the sections and keys of the top level are where a config leaves them out."""
    found = {}
    for name, field in Config.model_fields.items():
        if field.is_required():
            continue
        value = field.get_default(call_default_factory=True)
        found[name] = value.model_dump(mode="json") if hasattr(value, "model_dump") else value
    return found


def _tidy(part: Any, of_names: bool = False, of_items: bool = False) -> Any:
    """Copy a part of a schema: descriptions in one line, no titles but those of the config's keys.

    Args:
        part: The part.
        of_names: Whether its keys are names of config keys or definitions, not words of JSON
            schema.
        of_items: Whether it describes the items of a list, where null has a meaning.
    """
    if isinstance(part, list):
        return [_tidy(one) for one in part]
    if not isinstance(part, dict):
        return part
    copy: dict[str, Any] = {}
    for key, value in part.items():
        if key == "title" and not of_names:
            continue
        if key == "description" and not of_names:
            # Of a docstring, what is before the sections on arguments and examples.
            copy[key] = " ".join(value.partition("\n\n")[0].split())
            continue
        if key == "default" and not of_names:
            copy[key] = value
            continue
        word = str(key) if of_names else WORDS.get(key, str(key))
        if part.get("type") == "array" and not of_names:
            word = LENGTHS.get(word, word)
        named = key in ("properties", "$defs") and not of_names
        copy[word] = _tidy(value, named, key == "items" and not of_names)
    # A key that may be left out is null only in Python; in a config, null removes it.
    choices: list[Any] = copy.get("anyOf", [])
    if not of_names and not of_items and {"type": "null"} in choices:
        rest = [one for one in choices if one != {"type": "null"}]
        del copy["anyOf"]
        copy.pop("default", None)
        return {**rest[0], **copy} if len(rest) == 1 else {"anyOf": rest, **copy}
    return copy
