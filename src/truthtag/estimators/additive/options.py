"""Options of the additive model: its variables, its terms, its link."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from truthtag.data.columns import SCHEMA
from truthtag.estimators.counts import WeightedOptions
from truthtag.options import Interval, Options, Whole, as_names, as_tuple
from truthtag.registry import did_you_mean

__all__ = [
    "DEFAULT_TERMS",
    "PAIR_VARIABLES",
    "AdditiveOptions",
    "JetTerm",
    "NeighbourTerm",
    "Variable",
]

PAIR_VARIABLES = ("delta_r", "delta_eta", "delta_phi", "neighbour_pt")
"""What a jet and its neighbour have: distances, and the transverse momentum of the neighbour."""

Link = Literal["log", "logit"]

JET_VARIABLES = ("pt", "eta", "mass")
"""Columns of every sample that a term may be of; others are no numbers, or say nothing of a jet's
efficiency."""

INTERVALS = {"eta": 4, "delta_r": 12}
"""Intervals between the knots, where the options do not say; 8 for all other variables."""


def _different(names: tuple[str, ...]) -> tuple[str, ...]:
    if not 0 < len(names) <= 2 or len(set(names)) < len(names):
        msg = f"{list(names)} is not allowed; name one variable, or two that differ"
        raise ValueError(msg)
    return names


def _jet_variables(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name in SCHEMA and name not in JET_VARIABLES:
            listed = ", ".join(JET_VARIABLES)
            msg = f"{name!r} is not allowed; allowed are {listed}, and further columns"
            raise ValueError(msg)
    return names


def _pair_variables(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in PAIR_VARIABLES:
            msg = f"{name!r} is not allowed; allowed are {', '.join(PAIR_VARIABLES)}"
            raise ValueError(msg)
    return names


Variables = Annotated[
    tuple[str, ...],
    BeforeValidator(as_names, json_schema_input_type=str | list[str]),
    AfterValidator(_different),
]


class Variable(Options):
    """How functions of one variable are made."""

    range: Interval | None = None
    """Ends of the knots; by default those of the training jets, and of `delta_r` [0, 3]. Outside, a
    function keeps the value that it has at the end."""

    intervals: Annotated[Whole, Field(ge=2, le=200)] | None = None
    """Equal intervals between the knots, from 0 to the upper end where both signs are alike; by
    default 8, of `eta` 4, of `delta_r` 12. The penalty, not their number, makes a function
    smooth."""

    even: bool = False
    """Whether both signs of the variable are alike; for `eta` they are by default, as for networks
    with `reflect_eta`."""

    logarithmic: bool | None = None
    """Whether knots are equal in the logarithm of the variable; by default where all training jets
    are above 0 and the largest is more than 10 times the median."""

    @model_validator(mode="after")
    def _check_logarithm(self) -> Self:
        if self.logarithmic and self.even:
            msg = "an even function has no logarithmic knots; set one of the two"
            raise ValueError(msg)
        if self.logarithmic and self.range is not None and self.range[0] <= 0:
            msg = f"range begins at {self.range[0]:g}, and has no logarithm; begin above 0"
            raise ValueError(msg)
        return self


class JetTerm(Options):
    """A smooth function of one or two variables of the jet itself."""

    of: Annotated[Variables, AfterValidator(_jet_variables)]
    """The variable, or two of them: `pt`, `eta`, `mass`, or a further column. A term of two is what
    the terms of each leave over, and its penalty can take it to zero."""

    by: Literal["flavour", "none"] = "flavour"
    """Whether each flavour has a function of its own."""

    shrink: bool = True
    """Whether functions of the flavours are drawn towards a common one, as far as the tags say that
    they are alike."""

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of its variables."""
        return self.of


class NeighbourTerm(Options):
    """A sum over the neighbours of a smooth function of a pair of jets."""

    sum_of: Annotated[Variables, AfterValidator(_pair_variables)]
    """The variable of the pair, or two of them: `delta_r`, `delta_eta`, `delta_phi` (absolute
    values), `neighbour_pt`."""

    by: Literal["both", "neighbour", "jet", "none"] = "both"
    """Which flavours have functions of their own: those of the neighbour, of the jet, of both, or
    none. With `both`, each pair of flavours is drawn towards what its neighbour's flavour does to
    all jets."""

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of its variables."""
        return self.sum_of


DEFAULT_TERMS: tuple[JetTerm | NeighbourTerm, ...] = (
    JetTerm(of=("pt",)),
    JetTerm(of=("eta",)),
    JetTerm(of=("pt", "eta"), shrink=False),
    NeighbourTerm(sum_of=("delta_r",)),
)
"""Terms of Eq. 2, every function free."""


class AdditiveOptions(WeightedOptions):
    """A penalised additive model: curves of the jet's variables and sums over its neighbours."""

    kind: str = "additive"
    """Kind of estimator, `additive`."""

    link: Link = "log"
    """What the terms add up to: `log`, the logarithm of the efficiency, as in Eq. 2, so that every
    neighbour multiplies it; or `logit`."""

    variables: dict[str, Variable] = Field(default_factory=dict)
    """How functions of each variable are made, by its name; what is not stated has defaults."""

    terms: Annotated[
        tuple[JetTerm | NeighbourTerm, ...], BeforeValidator(as_tuple), Field(min_length=1)
    ] = DEFAULT_TERMS
    """Terms of the sum; by default `pt`, `eta`, their remainder, and the sum over neighbours of
    functions of Delta R by both flavours."""

    tensor_functions: Annotated[Whole, Field(ge=1, le=20)] = 6
    """Of each variable of a term of two, the smoothest so many functions are multiplied."""

    max_steps: Annotated[Whole, Field(ge=1)] = 100
    """Newton steps after which a fit that has not converged is refused."""

    jets_in_memory: Annotated[Whole, Field(ge=1)] = 600_000
    """Jets whose functions are kept in memory between the steps; those of more are computed anew in
    every step, which takes longer and no more memory."""

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        named = [term.variables for term in self.terms]
        for position, names in enumerate(named):
            if any(set(names) == set(other) for other in named[:position]):
                msg = f"terms: {' x '.join(names)} is there twice; name each once"
                raise ValueError(msg)
        used = [name for names in named for name in names]
        for name in self.variables:
            if name not in used:
                hint = did_you_mean(name, used)
                msg = f"variables.{name}: no term is of {name!r}; leave it out{hint}"
                raise ValueError(msg)
        return self

    def variable(self, name: str) -> Variable:
        """Return how functions of a variable are made."""
        stated = self.variables.get(name, Variable(even=name == "eta"))
        if stated.intervals is not None:
            return stated
        return stated.model_copy(update={"intervals": INTERVALS.get(name, 8)})

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the jets that the terms need."""
        names = [name for term in self.terms if isinstance(term, JetTerm) for name in term.of]
        return tuple(dict.fromkeys(names))
