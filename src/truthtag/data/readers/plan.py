"""What is read from a file: which formulas of which branches, found before anything is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from truthtag.data.labels import Labels
from truthtag.data.readers.formula import Formula, parse_formula
from truthtag.data.readers.names import Branch, Names
from truthtag.data.readers.options import Input, ReaderOptions
from truthtag.errors import ConfigError, DataError

__all__ = ["Plan", "make_plan", "plan_of_entries"]

Ranged = tuple[Formula, tuple[float | None, ...]]
"""A formula, and the range that its value must be in."""

_KINEMATICS = ("pt", "eta", "phi", "mass")


@dataclass(frozen=True)
class Plan:
    """What is read from a file.

    Args:
        formulas: Formulas by what they give: columns of a sample, and ``discriminant``.
        inputs: Formulas of the further columns, by name.
        truths: Formulas of the true efficiencies, one for each working point; may be empty.
        jets: Ranges that jets must be in.
        events: Ranges that events must be in.
        valid: Range of the discriminant where a jet was scored.
        thresholds: Thresholds of the working points, rising.
        branches: The branches of all these formulas, by the name in the formula.
    """

    formulas: Mapping[str, Formula]
    inputs: Mapping[str, Formula]
    truths: Sequence[Formula]
    jets: Sequence[Ranged]
    events: Sequence[Ranged]
    valid: tuple[float | None, ...] | None
    thresholds: tuple[float, ...]
    branches: dict[str, Branch] = field(default_factory=dict)

    @property
    def keys(self) -> list[str]:
        """What the file calls the branches to read, each once."""
        keys: dict[str, None] = {}
        for branch in self.branches.values():
            keys[branch.key] = None
            keys.update(dict.fromkeys(branch.link or ()))
        return list(keys)


def make_plan(
    names: Names,
    options: ReaderOptions,
    labels: Labels,
    working_points: Mapping[str, float],
    inputs: Mapping[str, Input],
    *,
    tags: bool = True,
) -> Plan:
    """Find in a file all that is to be read.

    Args:
        names: The branches of the file.
        options: Where things are.
        labels: What flavours and tags mean.
        working_points: Thresholds of the discriminant by name, the loosest first.
        inputs: Further columns by name.
        tags: Whether tags and scores are read.

    Raises:
        DataError: A branch is missing.
        ConfigError: The options contradict the labels or themselves.
    """
    options.require_columns(tuple(inputs), labels.points)
    _require_points(working_points, labels)
    finder = _Finder(names, options)
    formulas = {name: finder.required(name) for name in (*_KINEMATICS, "weight")}
    formulas["flavour"] = finder.flavour()
    formulas |= finder.numbers()
    if tags:
        formulas |= finder.tags(labels, working_points)
    return Plan(
        formulas=formulas,
        inputs={name: finder.input(name, one) for name, one in inputs.items()},
        truths=finder.truths(labels),
        jets=[(finder.range(text, "jets"), ends) for text, ends in options.jets.items()],
        events=[(finder.range(text, "events"), ends) for text, ends in options.events.items()],
        valid=_valid(options, formulas.get("discriminant")),
        thresholds=tuple(map(float, working_points.values())),
        branches=finder.branches,
    )


def plan_of_entries(names: Names, options: ReaderOptions) -> Plan:
    """Find in a file what says which events it holds, and how many jets each has.

    Args:
        names: The branches of the file.
        options: Where things are.

    Raises:
        DataError: A branch is missing.
    """
    finder = _Finder(names, options)
    formulas = {"pt": finder.required("pt"), **finder.numbers()}
    return Plan(formulas, {}, (), (), (), None, (), finder.branches)


def _require_points(working_points: Mapping[str, float], labels: Labels) -> None:
    """Refuse working points that do not rise, or are not those of the labels."""
    thresholds = list(working_points.values())
    if thresholds != sorted(set(thresholds)):
        msg = f"working_points are {dict(working_points)}; thresholds must rise, the loosest first"
        raise ConfigError(msg)
    named = tuple(working_points)
    if named not in ((), labels.points) and (len(named) > 1 or labels.n_points > 1):
        msg = (
            f"working_points are {', '.join(named)}, the labels of the sample name "
            f"{', '.join(labels.points) or 'none'}; they must be the same"
        )
        raise ConfigError(msg)


def _valid(options: ReaderOptions, discriminant: Formula | None) -> tuple[float | None, ...] | None:
    """Return the range of the discriminant: the default of a format is that of a branch."""
    if options.valid is not None or discriminant is None:
        return options.valid
    return options.layout.valid if discriminant.is_branch else None


class _Finder:
    """Finds formulas in a file, and notes the branches that they need."""

    def __init__(self, names: Names, options: ReaderOptions) -> None:
        self.names = names
        self.options = options
        self.branches: dict[str, Branch] = {}

    def _stated(self, name: str) -> Sequence[str]:
        """Return the formulas that may give a column, the options' before the format's."""
        if name in self.options.columns:
            return (self.options.columns[name],)
        return self.options.layout.columns.get(name, ())

    def _found(self, text: str) -> Formula | None:
        """Return a formula whose branches are all there."""
        formula = parse_formula(text)
        found = [self.names.find(name) for name in formula.branches]
        if None in found:
            return None
        self.branches |= {branch.name: branch for branch in found if branch is not None}
        return formula

    def _required(self, text: str, wanted_for: str, remedy: str = "") -> Formula:
        formula = parse_formula(text)
        for name in formula.branches:
            self.branches[name] = self.names.require(name, wanted_for, remedy)
        return formula

    def optional(self, name: str) -> Formula | None:
        """Return the formula of a column; None where the file lacks it and nobody asked for it."""
        if name in self.options.columns:
            return self.required(name)
        return next(filter(None, map(self._found, self._stated(name))), None)

    def required(self, name: str) -> Formula:
        """Return the formula of a column that must be there."""
        stated = self._stated(name)
        for text in stated:
            found = self._found(text)
            if found is not None:
                return found
        remedy = ""
        if name == "weight":
            remedy = ' Where events have no weight, state columns: {weight: "1"}.'
        return self._required(stated[0], f"for the column {name!r}", remedy)

    def numbers(self) -> dict[str, Formula]:
        """Return the formulas of the experiment's numbers of an event, those that are there."""
        found = {}
        for name in ("event_number", "run", "luminosity_block"):
            formula = self.optional(name)
            if formula is None and name == "event_number" and self.options.layout.trees:
                formula = self.required(name)
            if formula is not None:
                found[name] = formula
        return found

    def flavour(self) -> Formula:
        """Return the formula of the flavour, which recorded data lack."""
        for text in self._stated("flavour"):
            found = self._found(text)
            if found is not None:
                return found
        (text,) = self._stated("flavour")
        try:
            return self._required(text, "for the column 'flavour'")
        except DataError as error:
            msg = (
                f"{error} Recorded data have no hadron flavour, and efficiencies are learned from "
                "simulated samples: read those instead."
            )
            raise DataError(msg) from error

    def tags(self, labels: Labels, working_points: Mapping[str, float]) -> dict[str, Formula]:
        """Return the formula of the discriminant, or those of tags that the file holds."""
        tagger = self.options.tagger
        if tagger is not None:
            remedy = " Or state another 'discriminant'."
            return {"discriminant": self._required(tagger, "for the discriminant", remedy)}
        name = "tag_bin" if labels.n_points > 1 else "is_tagged"
        tags = self.optional(name)
        if tags is None:
            points = "and working points" if not working_points else "of these working points"
            msg = (
                f"{self.names.source}: nothing says which jets are tagged. State the "
                f"'discriminant' {points}, or the branch {name!r} under 'columns'."
            )
            raise ConfigError(msg)
        score = self.optional("score")
        return {name: tags} | ({} if score is None else {"score": score})

    def input(self, name: str, one: Input) -> Formula:
        """Return the formula of a further column."""
        text = self.options.columns.get(name) or one.branch or name
        remedy = f" It is that of inputs.{name}."
        return self._required(text, f"for the input {name!r}", remedy)

    def range(self, text: str, section: str) -> Formula:
        """Return the formula of a range."""
        return self._required(text, f"for the selection of {section}")

    def truths(self, labels: Labels) -> list[Formula]:
        """Return the formulas of the true efficiency at each working point; none without truth."""
        return list(self._truths(labels))

    def _truths(self, labels: Labels) -> Iterator[Formula]:
        several = labels.n_points > 1
        if several and "efficiency_true" in self.options.columns:
            listed = ", ".join(f"efficiency_true_{point}" for point in labels.points)
            msg = f"columns.efficiency_true: with several working points name {listed}"
            raise ConfigError(msg)
        wanted = [f"efficiency_true_{point}" for point in labels.points]
        if not several:
            wanted = ["efficiency_true"]
        known = {name: self._truth(name) for name in wanted}
        missing = [name for name, found in known.items() if found is None]
        if len(missing) == len(wanted):
            return
        for name in missing:
            msg = f"columns.{name}: it is missing, and other working points have theirs"
            raise ConfigError(msg)
        yield from filter(None, known.values())

    def _truth(self, name: str) -> Formula | None:
        if name in self.options.columns:
            return self._required(self.options.columns[name], f"for the column {name!r}")
        # Experiments' formats have no such branch; our own do.
        return None if self.options.layout.trees else self._found(name)
