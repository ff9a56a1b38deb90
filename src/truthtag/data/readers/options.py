"""Options of samples that are read: where things are in the files, and which jets count."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from truthtag.data.folds import Rule
from truthtag.data.readers.formats import FORMATS, ROLES, Format
from truthtag.data.readers.formula import parse_formula
from truthtag.errors import ConfigError
from truthtag.options import OpenInterval, Options, Range, Whole, as_tuple
from truthtag.registry import did_you_mean

__all__ = ["FormulaText", "Input", "ReaderOptions", "Take"]


def _check_formula(text: str) -> str:
    """Refuse what is no formula of branches."""
    try:
        parse_formula(text)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return text


FormulaText = Annotated[str, AfterValidator(_check_formula)]
"""The name of a branch, or a formula of branches."""


def _whole_keys(value: Any) -> Any:
    """Take numbers that stand as text for numbers: JSON has no other keys."""
    if not isinstance(value, dict):
        return value
    return {
        int(key) if isinstance(key, str) and re.fullmatch(r"-?\d+", key) else key: entry
        for key, entry in value.items()
    }


def _check_columns(columns: dict[str, str]) -> dict[str, str]:
    """Refuse columns that cannot be those of a sample."""
    for name in columns:
        if not re.fullmatch(r"[A-Za-z]\w*", name):
            msg = f"{name!r} is no name of a column; letters, digits and _ are allowed"
            raise ValueError(msg)
    return columns


class Input(Options):
    """A further column of the jets, an input of estimators."""

    branch: FormulaText | None = None
    """Branch, or formula of branches, that holds it, with one value per jet or per event; by
    default that of its own name. What the `columns` of a sample say goes before."""

    categories: Annotated[tuple[Whole, ...], BeforeValidator(as_tuple)] = ()
    """Values that it can have, where it is a category; empty for a number."""


class Take(Options):
    """Which share of the events of a file a sample takes, by a rule that others can repeat."""

    of: Annotated[Whole, Field(ge=2)]
    """Number of shares."""

    remainders: Annotated[
        tuple[Annotated[Whole, Field(ge=0)], ...], BeforeValidator(as_tuple), Field(min_length=1)
    ]
    """Which of them, 0 to `of` - 1."""

    by: Rule = "event"
    """What chooses the share of an event: the remainder of its number, `event % of`; or that of a
    hash of its number, `hash`, where the number itself is not random."""

    @model_validator(mode="after")
    def _check_remainders(self) -> Self:
        for position, remainder in enumerate(self.remainders):
            if remainder >= self.of or remainder in self.remainders[:position]:
                msg = (
                    f"remainders {list(self.remainders)} are not allowed; each must be below "
                    f"{self.of}, and stand once"
                )
                raise ValueError(msg)
        return self


class ReaderOptions(Options):
    """How the files of a sample are read."""

    format: Literal["nanoaod", "physlite", "root", "parquet"]
    """Format of the files. It gives the other options their defaults: names of branches of
    NanoAOD and DAOD_PHYSLITE; for `root` and `parquet` our own names (`pt`, `eta`, `phi`, `mass`,
    `flavour`, `weight`). TTree and RNTuple are read alike. Parquet has lists in a row per event, or
    a row per jet with the column `event`."""

    tree: str | None = None
    """Tree with a row per event; by default `Events` (nanoaod), `CollectionTree` or `EventData`
    (physlite), the only one of the file (root)."""

    columns: Annotated[dict[str, FormulaText], AfterValidator(_check_columns)] = Field(
        default_factory=dict
    )
    """Branches, or formulas of branches, by column, where the format's do not fit: `pt`, `eta`,
    `phi`, `mass`, `flavour`, `weight`, `event_number`, `run`, `luminosity_block`,
    `efficiency_true` (with several working points `efficiency_true_<point>`), and further inputs.
    For `parquet` with a row per jet also `event`. `weight: "1"` where events have none."""

    discriminant: FormulaText | None = None
    """Discriminant of the tagger: a branch, or a formula of branches with + - * / **, log, exp,
    sqrt, abs, min and max; names with other characters than letters, digits, _ and dots stand in
    backticks. By default `Jet_btagPNetB` (nanoaod) and
    `log(GN2v00_pb / (0.1 * GN2v00_pc + 0.9 * GN2v00_pu))` (physlite). A jet is tagged where it is
    above a working point. Files of format `root` or `parquet` may hold `is_tagged` or `tag_bin`
    instead."""

    valid: Range | None = None
    """Range of the discriminant, both ends included: jets outside, or with a value that is not
    finite, were not scored; they stay, not tagged, and are counted. By default [0, 1] for a branch
    of nanoaod, all finite numbers else."""

    unit: Literal["GeV", "MeV"] | None = None
    """Unit of momenta and masses in the files; by default MeV for physlite, GeV else."""

    check_unit: bool = True
    """Whether to refuse files whose median transverse momentum is above 1000 GeV or below 1 GeV,
    which another unit would explain."""

    merge_flavours: Annotated[dict[Whole, Whole], BeforeValidator(_whole_keys)] = Field(
        default_factory=dict
    )
    """Flavours that count as another: `{15: 0}`."""

    pt: OpenInterval = (None, None)
    """Jets with a transverse momentum above the first and below the second number [GeV]; a jet on
    an end does not count. Null leaves an end open."""

    abs_eta: OpenInterval = (None, None)
    """Jets with an absolute pseudorapidity above the first and below the second number; a jet on an
    end does not count."""

    jets: dict[FormulaText, Range] = Field(default_factory=dict)
    """Ranges of branches of the jets, both ends included: `{Jet_neHEF: [null, 0.99]}`."""

    events: dict[FormulaText, Range] = Field(default_factory=dict)
    """Ranges of branches of the events, both ends included: `{HLT_IsoMu24: [1, 1]}`. Other events
    are left out and counted."""

    max_jets: Annotated[Whole, Field(ge=1)] | None = None
    """Most jets of an event, counted after the selection from the hardest. Those beyond are dropped
    and counted, and are no neighbours of the others either."""

    step_events: Annotated[Whole, Field(ge=1)] = 50000
    """Events that are read at a time, which bounds the memory."""

    @property
    def layout(self) -> Format:
        """What the format is like."""
        return FORMATS[self.format]

    @property
    def tagger(self) -> str | None:
        """Formula of the discriminant; None where the file itself says which jets are tagged."""
        return self.discriminant or self.layout.discriminant

    @property
    def needs_threshold(self) -> bool:
        """Whether tags are made of a discriminant, so that a working point is needed."""
        return self.tagger is not None

    def require_columns(self, inputs: tuple[str, ...], points: tuple[str, ...]) -> None:
        """Refuse columns that are neither ours nor inputs.

        Args:
            inputs: Names of the further inputs.
            points: Names of the working points.

        Raises:
            ConfigError: There is such a column.
        """
        truths = ["efficiency_true", *(f"efficiency_true_{point}" for point in points)]
        known = [*ROLES, *truths, *inputs]
        for name in self.columns:
            if name not in known:
                msg = (
                    f"columns.{name}: there is no such column, and no such input. Allowed: "
                    f"{', '.join(known)}{did_you_mean(name, known)}"
                )
                raise ConfigError(msg)
