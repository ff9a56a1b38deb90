"""A true efficiency that depends on a further variable of the jet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Protocol, Self, cast

import numpy as np
from pydantic import Field

from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError, DataError
from truthtag.options import Options, Real
from truthtag.registry import Chosen, Registry, build, did_you_mean
from truthtag.toy.truth import TRUTHS, Truth, make_truth

__all__ = [
    "FORMS",
    "Form",
    "Oscillation",
    "OscillationOptions",
    "Step",
    "StepOptions",
    "WithVariable",
    "WithVariableOptions",
    "modules_of_truth",
]

Factor = Annotated[Real, Field(ge=0, le=1)]

FORMS = Registry(
    "a form of the factor of a further variable",
    {
        "step": "truthtag.toy.with_variable:Step",
        "oscillation": "truthtag.toy.with_variable:Oscillation",
    },
)
"""Forms of the factor of a further variable that the config can name."""


class Form(Protocol):
    """A factor in [0, 1] that is a function of a variable."""

    options_type: ClassVar[type[Options]]
    """Type of its options."""

    @classmethod
    def from_options(cls, options: Any, flavours: Mapping[str, int]) -> Self:
        """Build from an object of ``options_type``."""
        ...

    @property
    def mean(self) -> float:
        """What the factor is on average, where the variable is not known."""
        ...

    def __call__(self, values: FloatArray) -> FloatArray:
        """Return the factor at each value, in [0, 1]."""
        ...


class StepOptions(Options):
    """One factor below a value, another from there on."""

    kind: str
    """Form of the factor, `step`."""

    at: Real
    """Where the factor changes, in the unit of the variable."""

    below: Factor
    """Factor below that value."""

    above: Factor
    """Factor at that value and above."""


@dataclass(frozen=True)
class Step:
    """One factor below a value, another from there on.

    Args:
        at: The value.
        below: Factor below it, in [0, 1].
        above: Factor at it and above, in [0, 1].

    Example:
        >>> Step(at=8.0, below=1.0, above=0.5)(np.array([7.0, 8.0, 9.0])).tolist()
        [1.0, 0.5, 0.5]
    """

    at: float
    below: float
    above: float

    options_type: ClassVar[type[StepOptions]] = StepOptions

    @classmethod
    def from_options(
        cls,
        options: StepOptions,
        flavours: Mapping[str, int],  # noqa: ARG003
    ) -> Step:
        """Build from options."""
        return cls(options.at, options.below, options.above)

    @property
    def mean(self) -> float:
        """The mean of the two factors."""
        return (self.below + self.above) / 2

    def __call__(self, values: FloatArray) -> FloatArray:
        """Return the factor at each value."""
        return np.where(values < self.at, self.below, self.above)


class OscillationOptions(Options):
    """A factor that rises and falls with the variable, again and again."""

    kind: str
    """Form of the factor, `oscillation`."""

    amplitude: Annotated[Real, Field(ge=0, le=1)]
    """Amplitude of the sine, relative to its mean: the factor falls from 1 to
    (1 - amplitude) / (1 + amplitude)."""

    period: Annotated[Real, Field(gt=0)]
    """After how much it repeats, in the unit of the variable."""

    start: Real = 0.0
    """Where the sine is 0 and rises, in the unit of the variable."""


@dataclass(frozen=True)
class Oscillation:
    r"""A factor that rises and falls with the variable; in [0, 1] by construction.

    .. math:: \frac{1 + a \sin(2 \pi (x - x_0) / T)}{1 + a}

    Args:
        amplitude: :math:`a`, in [0, 1].
        period: :math:`T`, in the unit of the variable.
        start: :math:`x_0`, in the unit of the variable.

    Example:
        >>> wave = Oscillation(amplitude=0.5, period=8.0)
        >>> wave(np.array([2.0, 6.0])).round(6).tolist()
        [1.0, 0.333333]
    """

    amplitude: float
    period: float
    start: float = 0.0

    options_type: ClassVar[type[OscillationOptions]] = OscillationOptions

    @classmethod
    def from_options(
        cls,
        options: OscillationOptions,
        flavours: Mapping[str, int],  # noqa: ARG003
    ) -> Oscillation:
        """Build from options."""
        return cls(options.amplitude, options.period, options.start)

    @property
    def mean(self) -> float:
        """The mean over a period."""
        return 1 / (1 + self.amplitude)

    def __call__(self, values: FloatArray) -> FloatArray:
        """Return the factor at each value."""
        wave = np.sin(2 * np.pi * (values - self.start) / self.period)
        # Rounding can lead a little beyond 1.
        factor = (1 + self.amplitude * wave) / (1 + self.amplitude)
        return np.asarray(np.clip(factor, 0.0, 1.0))


class WithVariableOptions(Options):
    """Another true efficiency, times a factor that depends on a further variable of the jet."""

    kind: str
    """Form of the true efficiency, `with_variable`."""

    of: Annotated[Options, Chosen(TRUTHS, is_nested=True)]
    """The other true efficiency: a section with the keys of `truth` itself."""

    variable: str
    """Name of the further variable; the section `further` of each generator must make it."""

    form: Annotated[Options, Chosen(FORMS)]
    """How the factor depends on the variable."""


@dataclass(frozen=True)
class WithVariable:
    r"""Another true efficiency, times a factor that depends on a further variable of the jet.

    .. math:: \epsilon_i = \epsilon'_i \, F(x_i)

    An efficiency that does not see :math:`x` is right on average, and wrong in every distribution
    that depends on it.

    Source: this project; "the size of theta" and "the functional form" in Section 7 of
    arXiv:2004.02665.

    Args:
        of: The other efficiency, :math:`\epsilon'`.
        variable: Name of the further column :math:`x`.
        form: The factor :math:`F`, in [0, 1].
    """

    of: Truth
    variable: str
    form: Form

    options_type: ClassVar[type[WithVariableOptions]] = WithVariableOptions

    @classmethod
    def from_options(
        cls, options: WithVariableOptions, flavours: Mapping[str, int]
    ) -> WithVariable:
        """Build from options; flavours are named there and numbered here.

        Raises:
            ConfigError: The other efficiency cannot be built; the path begins with ``truth.of``.
        """
        try:
            of = make_truth(options.of, flavours)
        except ConfigError as error:
            msg = f"truth.of.{str(error).removeprefix('truth.')}"
            raise ConfigError(msg) from error
        form = cast("Form", build(FORMS, options.form, flavours, "truth.form"))
        return cls(of, options.variable, form)

    def own(self, flavour: int, pt: FloatArray, eta: FloatArray) -> FloatArray:
        """Return the efficiency of a jet that is alone, at the mean of the factor."""
        return self.of.own(flavour, pt, eta) * self.form.mean

    def factor(self, flavour: int, distance: FloatArray, pt: float) -> FloatArray:
        """Return the factor of one neighbour, that of the other efficiency."""
        return self.of.factor(flavour, distance, pt)

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the true efficiency of each jet, shape (n_jets,).

        Raises:
            DataError: The jets lack the variable, or have a flavour that the truth does not have.
        """
        if self.variable not in jets.further:
            present = ", ".join(jets.further) or "none"
            hint = did_you_mean(self.variable, list(jets.further))
            msg = (
                f"truth.variable: the jets have no further column {self.variable!r}; add it to the "
                "section `further` of their generator, or name one that is there. There are: "
                f"{present}{hint}"
            )
            raise DataError(msg)
        values = jets.further[self.variable].astype(np.float64)
        return self.of.efficiency(jets) * self.form(values)


def modules_of_truth(options: Options, path: str = "truth") -> list[str]:
    """Return the modules that a true efficiency is computed in, for digests of the code.

    Args:
        options: The options of the true efficiency, which have a ``kind``.
        path: Where they were given, for the error.

    Returns:
        Dotted names: of the efficiency, and of what it is made of.

    Raises:
        ConfigError: Nothing has this kind.
    """
    modules = [TRUTHS.module(options.kind, f"{path}.kind")]  # type: ignore[attr-defined]
    if isinstance(options, WithVariableOptions):
        kind_of_form = options.form.kind  # type: ignore[attr-defined]
        modules += modules_of_truth(options.of, f"{path}.of")
        modules.append(FORMS.module(kind_of_form, f"{path}.form.kind"))
    return modules
