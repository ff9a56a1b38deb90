"""How an efficiency is written as a file of correctionlib, and what its inputs are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from truthtag.errors import ConfigError
from truthtag.exports.correction_tables import DELTA_R
from truthtag.options import Options, Real, as_tuple
from truthtag.registry import did_you_mean

__all__ = ["CorrectionOptions", "names_of", "points_in_file", "sorted_inputs"]

FURTHER = "<further axes>"

INPUTS = ("systematic", "working_point", "flavour", "abs_eta", "eta", "pt", FURTHER, DELTA_R)
"""Inputs as we call them, in the order of a call."""

CMS = {"flavour": "flavor", "neighbour_flavour": "neighbor_flavor", "abs_eta": "abseta"}
"""Inputs that CMS's files of scale factors call otherwise."""

Name = Annotated[str, Field(min_length=1)]

Names = Annotated[tuple[Name, ...], BeforeValidator(as_tuple)]

Three = Annotated[tuple[Name, ...], Field(min_length=3, max_length=3), BeforeValidator(as_tuple)]


class CorrectionOptions(Options):
    """How an efficiency is written as a file of correctionlib."""

    name: Name = "efficiency"
    """Name of the correction."""

    names: Literal["cms", "truthtag"] | dict[str, Name] = "cms"
    """Names of its inputs: those of CMS's files (`systematic`, `working_point`, `flavor`, `abseta`,
    `pt`), ours (`flavour`, `abs_eta`), or the name of each of ours that CMS's do not suit."""

    systematics: Three = ("central", "up", "down")
    """What the efficiency, and the upper and the lower end of what it may be, are called."""

    variations: bool = True
    """Whether to write these ends; without them there is no input `systematic`."""

    working_points: Names = ()
    """Names of the working points in the file, the loosest first, where they are others than those
    of the efficiency. One that has no name has no input, unless it is given one here."""

    max_error: Annotated[Real, Field(ge=0)] = 1e-3
    """Largest difference of an efficiency in the file from the estimator's own. Only smoothed maps
    whose working points cross, with negative weights, have any."""

    @model_validator(mode="after")
    def _name_each_once(self) -> Self:
        for what in ("systematics", "working_points"):
            names = getattr(self, what)
            if len(set(names)) < len(names):
                msg = f"{what} are {list(names)}; name each once"
                raise ValueError(msg)
        return self


def sorted_inputs(names: Sequence[str]) -> list[str]:
    """Return inputs, as we call them, in the order of a call."""
    return sorted(names, key=lambda name: INPUTS.index(name if name in INPUTS else FURTHER))


def names_of(used: Sequence[str], options: CorrectionOptions) -> dict[str, str]:
    """Return what each input is called in the file.

    Args:
        used: The inputs of one correction, as we call them.
        options: What they are to be called.

    Raises:
        ConfigError: A name is given to what is no input, or to two of them.
    """
    names = {} if options.names == "truthtag" else dict(CMS)
    if isinstance(options.names, dict):
        for name in options.names:
            if name == FURTHER or name not in (*INPUTS, *used):
                hint = did_you_mean(name, list(used))
                msg = f"names: {name!r} is no input; there are {', '.join(used)}{hint}"
                raise ConfigError(msg)
        names |= options.names
    result: dict[str, str] = {}
    for name in used:
        called = names.get(name, name)
        if called in result.values():
            msg = f"names: two inputs would be called {called!r}; give {name!r} another name"
            raise ConfigError(msg)
        result[name] = called
    return result


def points_in_file(own: Sequence[str], options: CorrectionOptions) -> tuple[str, ...]:
    """Return the names of the working points in the file; none where there is no such input.

    Args:
        own: Names that the efficiency knows, the loosest first; none for one without a name.
        options: What they are to be called.

    Raises:
        ConfigError: There are not as many names as working points.
    """
    named = options.working_points
    if not named:
        return tuple(own)
    count = max(1, len(own))
    if len(named) != count:
        listed = f": {', '.join(own)}" if own else ""
        msg = (
            f"working_points: {len(named)} names, {', '.join(named)}, for an efficiency with "
            f"{count}{listed}. Name as many, the loosest first."
        )
        raise ConfigError(msg)
    return named
