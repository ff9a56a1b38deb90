"""What an additive model is made of: terms with their bases, coefficients, penalties, columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np

from truthtag.arrays import FloatArray, IntArray
from truthtag.data.jets import Jets
from truthtag.data.training_blocks import Blocks
from truthtag.estimators.additive.options import AdditiveOptions, JetTerm, NeighbourTerm
from truthtag.estimators.additive.splines import Basis, product
from truthtag.estimators.additive.variables import Ends, basis_of, of_jet, of_pair

__all__ = ["Coefficient", "Penalty", "Structure", "Term"]

BLOCK = 20_000
"""Events whose columns are made at a time."""

NONE = -1
"""Stands for no flavour, where a coefficient belongs to all of them."""


class Coefficient(NamedTuple):
    """What one coefficient belongs to.

    Attributes:
        term: Name of the term.
        flavour: Flavour of the jet, -1 for all.
        neighbour: Flavour of the neighbour, -1 for all, or where the term has none.
        function: Position of its function in the basis of the term.
    """

    term: str
    flavour: int
    neighbour: int
    function: int


class Penalty(NamedTuple):
    """Coefficients whose squares share one penalty.

    Attributes:
        name: The term, and the flavours.
        which: Positions of the coefficients.
    """

    name: str
    which: IntArray


@dataclass(frozen=True, eq=False)
class Term:
    """A term of the sum and the functions that it is made of.

    Args:
        options: Variables, and which flavours have functions of their own.
        bases: A basis for each variable.
        most: Of each of two variables, how many functions are multiplied.
    """

    options: JetTerm | NeighbourTerm
    bases: tuple[Basis, ...]
    most: int

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of its variables."""
        return self.options.variables

    @property
    def name(self) -> str:
        """Its name, of its variables."""
        text = " x ".join(self.variables)
        return text if isinstance(self.options, JetTerm) else f"sum of {text}"

    @property
    def has_constant(self) -> bool:
        """Whether a constant is one of its functions: what each neighbour does, however far."""
        is_sum = isinstance(self.options, NeighbourTerm)
        return is_sum and len(self.bases) == 1 and self.variables[0] != "delta_r"

    @property
    def size(self) -> int:
        """Number of functions."""
        if len(self.bases) == 1:
            return self.bases[0].size + int(self.has_constant)
        return int(np.prod([min(self.most, basis.size) for basis in self.bases]))

    @property
    def n_free(self) -> int:
        """Number of functions without a penalty, which come first."""
        if len(self.bases) > 1:
            return 0
        return self.bases[0].n_free + int(self.has_constant)

    def functions(self, values: Sequence[FloatArray]) -> FloatArray:
        """Return the functions at some points, shape (n, size).

        Args:
            values: Of each variable, shape (n,).
        """
        if len(self.bases) == 1:
            found = self.bases[0](values[0])
            if self.has_constant:
                return np.column_stack([np.ones(len(found)), found])
            return found
        first, second = (
            basis(x)[:, : self.most] for basis, x in zip(self.bases, values, strict=True)
        )
        return product(first, second)


@dataclass(frozen=True, eq=False)
class Structure:
    """The terms, and the places of their coefficients.

    Jets of one flavour have the same columns: a constant, the functions of the jet's own terms, and
    for each term of neighbours and each flavour of them the sums of its functions. Each column has
    a coefficient, or the sum of two, a common one and what is special to the flavour.

    Args:
        flavours: Hadron flavours that are learned, rising.
        terms: The terms.
    """

    flavours: tuple[int, ...]
    terms: tuple[Term, ...]

    @classmethod
    def for_sample(
        cls,
        blocks: Blocks,
        ends: Mapping[str, Ends],
        flavours: Sequence[int],
        options: AdditiveOptions,
    ) -> Self:
        """Make the terms, knots from end to end of the jets where the options do not say.

        Args:
            blocks: The training sample.
            ends: Ends of the columns of :func:`.variables.column_of`, by name.
            flavours: Those that are learned.
            options: The terms.

        Raises:
            DataError: A variable does not vary, or has no logarithm.
        """
        terms = []
        for term in options.terms:
            variables = [(name, options.variable(name)) for name in term.variables]
            bases = tuple(basis_of(name, how, ends, blocks) for name, how in variables)
            terms.append(Term(term, bases, options.tensor_functions))
        return cls(tuple(flavours), tuple(terms))

    @cached_property
    def _places(self) -> tuple[list[Coefficient], list[Penalty], dict[tuple[int, int, int], int]]:
        """Return all coefficients, the penalties, and where each run of coefficients begins.

        Runs are named by the term's position, the jet's and the neighbour's flavour.
        """
        coefficients = [Coefficient("constant", flavour, NONE, 0) for flavour in self.flavours]
        penalties: list[Penalty] = []
        starts: dict[tuple[int, int, int], int] = {}
        for position, term in enumerate(self.terms):
            for runs, is_special in _runs(term.options, self.flavours):
                penalised: list[int] = []
                for flavour, neighbour in runs:
                    first = len(coefficients)
                    starts[position, flavour, neighbour] = first
                    n_free = 0 if is_special else term.n_free
                    coefficients.extend(
                        Coefficient(term.name, flavour, neighbour, k) for k in range(term.size)
                    )
                    penalised.extend(range(first + n_free, first + term.size))
                if penalised:
                    name = _penalty_name(term.name, runs)
                    penalties.append(Penalty(name, np.array(penalised)))
        return coefficients, penalties, starts

    @property
    def coefficients(self) -> list[Coefficient]:
        """What each coefficient belongs to."""
        return self._places[0]

    @property
    def penalties(self) -> list[Penalty]:
        """Which coefficients share a penalty."""
        return self._places[1]

    def columns(self, flavour: int) -> tuple[IntArray, IntArray]:
        """Return the coefficients of the columns of a flavour's jets.

        Args:
            flavour: The flavour of the jets.

        Returns:
            The position of each column's coefficient, and of the one that is added to it, -1 where
            none is; each of shape (n_columns,).
        """
        starts = self._places[2]
        first = [np.array([self.flavours.index(flavour)])]
        second = [np.array([NONE])]
        for position, term in enumerate(self.terms):
            of_neighbours = isinstance(term.options, NeighbourTerm)
            for neighbour in self.flavours if of_neighbours else (NONE,):
                # What is common comes before what is special.
                runs = [(NONE, NONE), (NONE, neighbour), (flavour, NONE), (flavour, neighbour)]
                keys = [(position, *run) for run in dict.fromkeys(runs)]
                found = [starts[key] for key in keys if key in starts]
                run = np.arange(term.size)
                first.append(found[0] + run)
                second.append(found[1] + run if len(found) > 1 else np.full(term.size, NONE))
        return np.concatenate(first), np.concatenate(second)

    @cached_property
    def runs(self) -> dict[tuple[int, int], slice]:
        """Where the columns of each term are, by its position and the neighbour's flavour.

        The flavour is -1 for terms of the jet itself. Column 0 is the constant.
        """
        found = {}
        first = 1
        for position, term in enumerate(self.terms):
            of_neighbours = isinstance(term.options, NeighbourTerm)
            for neighbour in self.flavours if of_neighbours else (NONE,):
                found[position, neighbour] = slice(first, first + term.size)
                first += term.size
        return found

    def selector(self, flavour: int) -> Any:
        """Return the sparse matrix that makes the coefficients of columns of all coefficients.

        Its shape is (n_columns, n_coefficients), with one or two ones in each row.
        """
        from scipy.sparse import csr_matrix

        first, second = self.columns(flavour)
        special = np.flatnonzero(second >= 0)
        rows = np.r_[np.arange(len(first)), special]
        places = np.r_[first, second[special]]
        shape = (len(first), len(self.coefficients))
        return csr_matrix((np.ones(len(rows)), (rows, places)), shape=shape)

    def design(self, jets: Jets) -> Iterator[tuple[int, IntArray, FloatArray]]:
        """Return the columns of the jets of each flavour, some events at a time.

        Yields:
            The flavour, the positions of its jets (n,), and their columns (n, n_columns) in single
            precision; flavours without jets are left out.
        """
        for first in range(0, jets.n_events, BLOCK):
            some = jets.take(slice(first, first + BLOCK))
            columns = self._columns_of(some)
            for flavour in self.flavours:
                rows = np.flatnonzero(some.flavour == flavour)
                if len(rows):
                    yield flavour, jets.offsets[first] + rows, columns[rows]

    def _columns_of(self, jets: Jets) -> FloatArray:
        """Return the columns of all jets, shape (n_jets, n_columns)."""
        columns = np.empty((jets.n_jets, self.n_columns), dtype=np.float32)
        columns[:, 0] = 1.0
        for position, term in enumerate(self.terms):
            if isinstance(term.options, JetTerm):
                values = [of_jet(jets, name) for name in term.variables]
                columns[:, self.runs[position, NONE]] = term.functions(values)
            else:
                sums = self._sums(jets, term)
                for place, neighbour in enumerate(self.flavours):
                    columns[:, self.runs[position, neighbour]] = sums[:, place]
        return columns

    @property
    def n_columns(self) -> int:
        """Number of columns of the jets of one flavour."""
        return max((run.stop for run in self.runs.values()), default=1)

    def _sums(self, jets: Jets, term: Term) -> FloatArray:
        """Return sums over neighbours, by their flavour, shape (n_jets, n_flavours, size)."""
        sums = np.zeros((jets.n_jets, len(self.flavours), term.size), dtype=np.float32)
        position = np.searchsorted(np.array(self.flavours), jets.flavour)
        # Neighbours of a flavour that nothing was learned of do nothing.
        position = np.minimum(position, len(self.flavours) - 1)
        is_known = np.array(self.flavours)[position] == jets.flavour
        for _, index in jets.by_multiplicity():
            for shift in range(1, index.shape[1]):
                other = np.roll(index, -shift, axis=1)
                known = is_known[other]
                jet, neighbour = index[known], other[known]
                values = [of_pair(jets, name, jet, neighbour) for name in term.variables]
                # Each jet occurs once, so that nothing is lost in this sum.
                sums[jet, position[neighbour]] += term.functions(values)
        return sums

    def to_settings(self) -> dict[str, Any]:
        """Return what is needed to make it again, as JSON holds it."""
        terms = []
        for term in self.terms:
            kind = "jet" if isinstance(term.options, JetTerm) else "neighbour"
            bases = [basis.to_settings() for basis in term.bases]
            options = term.options.model_dump(mode="json")
            terms.append({"kind": kind, "options": options, "bases": bases, "most": term.most})
        return {"flavours": list(self.flavours), "terms": terms}

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Make it of what :meth:`to_settings` returned."""
        terms = []
        for one in settings["terms"]:
            kind = JetTerm if one["kind"] == "jet" else NeighbourTerm
            bases = tuple(Basis.from_settings(basis) for basis in one["bases"])
            terms.append(Term(kind.model_validate(one["options"]), bases, int(one["most"])))
        return cls(tuple(int(flavour) for flavour in settings["flavours"]), tuple(terms))


Run = tuple[int, int]
"""Flavour of the jet and of the neighbour of coefficients, -1 for all."""


def _runs(
    options: JetTerm | NeighbourTerm, flavours: Sequence[int]
) -> Iterator[tuple[list[Run], bool]]:
    """Go through the runs of coefficients that share a penalty.

    Yields:
        The runs, and whether they are what is special to flavours, on top of what is common.
    """
    if isinstance(options, JetTerm):
        if options.by == "none" or options.shrink:
            yield [(NONE, NONE)], False
        if options.by == "flavour" and options.shrink:
            yield [(flavour, NONE) for flavour in flavours], True
        elif options.by == "flavour":
            for flavour in flavours:
                yield [(flavour, NONE)], False
        return
    if options.by == "none":
        yield [(NONE, NONE)], False
    if options.by == "jet":
        for flavour in flavours:
            yield [(flavour, NONE)], False
    if options.by in ("neighbour", "both"):
        for neighbour in flavours:
            yield [(NONE, neighbour)], False
    if options.by == "both":
        for neighbour in flavours:
            yield [(flavour, neighbour) for flavour in flavours], True


def _penalty_name(term: str, runs: Sequence[Run]) -> str:
    flavour, neighbour = runs[0]
    if len(runs) > 1:
        flavour = NONE
    text = term
    if flavour != NONE:
        text += f", flavour {flavour}"
    if neighbour != NONE:
        text += f", neighbours of flavour {neighbour}"
    return f"{text}, by the jet's flavour" if len(runs) > 1 else text
