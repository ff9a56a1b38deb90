"""Sections of the config whose keys depend on their ``kind``, which a registry knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from truthtag.errors import ConfigError
from truthtag.registry import Registry, did_you_mean

__all__ = ["Chosen"]


@dataclass(frozen=True, eq=False)
class Chosen:
    """Says that a section is validated by the ``options_type`` of the class that its ``kind``
    names.

    Args:
        registry: What the kinds are.

    Example:
        >>> from typing import Annotated
        >>> from pydantic import TypeAdapter
        >>> from truthtag.options import Options
        >>> from truthtag.toy.truth import TRUTHS
        >>> from truthtag.workflow.chosen import Chosen
        >>> truth = TypeAdapter(Annotated[Options, Chosen(TRUTHS)])
        >>> truth.validate_python({"kind": "neighbour_product", "base": {}, "correction": {}}).kind
        'neighbour_product'
    """

    registry: Registry

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
        branches = []
        for kind, options_type in self.options_types().items():
            condition = {"required": ["kind"], "properties": {"kind": {"const": kind}}}
            keys = handler(options_type.__pydantic_core_schema__)
            branches.append({"if": condition, "then": keys})
        return {"type": "object", "required": ["kind"], "allOf": branches}


def _error(kind: str | PydanticCustomError, place: tuple[str, ...], value: Any) -> ValidationError:
    details = InitErrorDetails(type=kind, loc=place, input=value)
    return ValidationError.from_exception_data("kind", [details])
