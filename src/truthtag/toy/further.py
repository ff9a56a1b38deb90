"""Further variables of the toy's jets: what they are drawn from, and their options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol, Self

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from truthtag.arrays import AnyArray, IntArray
from truthtag.data.validation import further_columns
from truthtag.errors import ConfigError, DataError
from truthtag.options import Options, Real
from truthtag.registry import did_you_mean
from truthtag.toy.distributions import GaussianOptions, TruncatedNormal

__all__ = [
    "FurtherName",
    "FurtherOptions",
    "Normal",
    "Poisson",
    "Uniform",
    "Variable",
    "further_variables",
]

MAX_MEAN = 1e6
"""Largest mean of a number of something: it is stored as a 32-bit integer."""

KEYS: dict[str, tuple[str, ...]] = {
    "uniform": ("low", "high"),
    "poisson": ("mean", "means"),
    "normal": ("mean", "means", "width", "low", "high"),
}
"""Keys that each distribution may have."""

NEEDED: dict[str, tuple[str, ...]] = {
    "uniform": ("low", "high"),
    "poisson": (),
    "normal": ("width",),
}
"""Keys that it must have, beside a mean."""


def _check_name(name: str) -> str:
    """Refuse a name that a further column cannot have."""
    try:
        further_columns({name: np.zeros(0)}, "generators")
    except DataError as error:
        msg = str(error).removeprefix("generators: ")
        raise ValueError(msg) from error
    return name


FurtherName = Annotated[str, AfterValidator(_check_name)]
"""Name of a further variable, which becomes that of a column."""


class FurtherOptions(Options):
    """A further variable of each jet, drawn by itself."""

    distribution: Literal["uniform", "poisson", "normal"]
    """What it is drawn from: `uniform` between `low` and `high`; `poisson`, a number of something;
    `normal`, a Gaussian, truncated where `low` and `high` are given."""

    mean: Real | None = None
    """Mean, the same for all flavours; of a Gaussian before truncation."""

    means: dict[str, Real] | None = None
    """Mean by the flavour of the jet, instead of one `mean`."""

    width: Annotated[Real, Field(gt=0)] | None = None
    """Standard deviation of a Gaussian before truncation."""

    low: Real | None = None
    """Lower end."""

    high: Real | None = None
    """Upper end."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self._check_keys()
        self._check_means()
        if self.distribution == "uniform":
            low, high = self._ends()
            if not low < high:
                msg = f"low is {low} and high is {high}; low must be below high"
                raise ValueError(msg)
        return self

    def _check_keys(self) -> None:
        """Refuse keys of another distribution, and miss none of this one."""
        allowed = KEYS[self.distribution]
        for key in ("mean", "means", "width", "low", "high"):
            if getattr(self, key) is not None and key not in allowed:
                msg = (
                    f"{key} is no key of a distribution {self.distribution!r}. "
                    f"Allowed: {', '.join(allowed)}. Leave it out"
                )
                raise ValueError(msg)
        missing = [key for key in NEEDED[self.distribution] if getattr(self, key) is None]
        if missing:
            msg = f"key {missing[0]!r} is missing, which a distribution {self.distribution!r} needs"
            raise ValueError(msg)
        if "mean" in allowed and (self.mean is None) == (self.means is None):
            msg = (
                f"mean is {self.mean} and means is {self.means}; a distribution "
                f"{self.distribution!r} needs one of the two: one mean, or one for each flavour"
            )
            raise ValueError(msg)

    def _check_means(self) -> None:
        """Refuse means that the distribution cannot have."""
        for mean in self.all_means():
            if self.distribution == "poisson" and not 0 < mean <= MAX_MEAN:
                msg = f"a mean is {mean}; that of a number must be above 0 and at most {MAX_MEAN:g}"
                raise ValueError(msg)
            if self.distribution == "normal":
                self.gaussian(mean)

    def all_means(self) -> list[float]:
        """Return the means that are stated."""
        if self.means is not None:
            return list(self.means.values())
        return [] if self.mean is None else [self.mean]

    def gaussian(self, mean: float) -> TruncatedNormal:
        """Return the Gaussian of a mean, between the limits.

        Raises:
            ConfigError: Nearly nothing of it lies there.
        """
        width = 1.0 if self.width is None else self.width
        options = GaussianOptions(mean=mean, width=width, low=self.low, high=self.high)
        return TruncatedNormal.from_options(options)

    def uniform(self) -> Uniform:
        """Return the uniform distribution between the limits."""
        return Uniform(*self._ends())

    def means_by_number(self, flavours: Mapping[str, int], path: str) -> dict[int, float]:
        """Return the mean of each flavour, by its number.

        Args:
            flavours: Numbers of the flavours, by name.
            path: Where the options were given, for the error.

        Raises:
            ConfigError: A name is not that of a flavour, or a flavour has no mean.
        """
        if self.means is None:
            mean = 0.0 if self.mean is None else self.mean
            return dict.fromkeys(flavours.values(), mean)
        for name in self.means:
            if name not in flavours:
                msg = (
                    f"{path}.means.{name}: {name!r} is not a flavour. "
                    f"Allowed: {', '.join(flavours)}{did_you_mean(name, flavours)}"
                )
                raise ConfigError(msg)
        missing = [name for name in flavours if name not in self.means]
        if missing:
            msg = (
                f"{path}.means: the flavour {missing[0]!r} has no mean; give one for each of "
                f"{', '.join(flavours)}, or one mean for all"
            )
            raise ConfigError(msg)
        return {flavours[name]: mean for name, mean in self.means.items()}

    def _ends(self) -> tuple[float, float]:
        low = -np.inf if self.low is None else self.low
        high = np.inf if self.high is None else self.high
        return low, high


class Variable(Protocol):
    """What a further variable is drawn from."""

    def sample(self, flavour: IntArray, rng: np.random.Generator) -> AnyArray:
        """Draw a value for each jet.

        Args:
            flavour: Flavours of the jets, shape (n_jets,).
            rng: Where the values come from.
        """
        ...


@dataclass(frozen=True)
class Uniform:
    """Uniform on an interval, whatever the flavour.

    Args:
        low: Lower end.
        high: Upper end.
    """

    low: float
    high: float

    def sample(self, flavour: IntArray, rng: np.random.Generator) -> AnyArray:
        """Draw a value for each jet."""
        return rng.uniform(self.low, self.high, len(flavour))


@dataclass(frozen=True)
class Poisson:
    """A number of something, whole and not negative.

    Args:
        means: Mean of each flavour, by its number.
    """

    means: Mapping[int, float]

    def sample(self, flavour: IntArray, rng: np.random.Generator) -> AnyArray:
        """Draw a value for each jet."""
        mean = np.zeros(len(flavour))
        for number, of_flavour in self.means.items():
            mean[flavour == number] = of_flavour
        return rng.poisson(mean)


@dataclass(frozen=True)
class Normal:
    """A Gaussian, truncated where it has limits.

    Args:
        gaussians: Gaussian of each flavour, by its number.
    """

    gaussians: Mapping[int, TruncatedNormal]

    def sample(self, flavour: IntArray, rng: np.random.Generator) -> AnyArray:
        """Draw a value for each jet."""
        values = np.zeros(len(flavour))
        # The order of the draws is part of what defines a sample: not that of the config.
        for number in sorted(self.gaussians):
            inside = np.flatnonzero(flavour == number)
            values[inside] = self.gaussians[number].sample(len(inside), rng)
        return values


def further_variables(
    options: Mapping[str, FurtherOptions], flavours: Mapping[str, int]
) -> dict[str, Variable]:
    """Build the further variables that a generator's options describe, by name.

    Args:
        options: The section ``further`` of the options.
        flavours: Numbers of the flavours, by name.

    Raises:
        ConfigError: A name of a mean is not that of a flavour, or a flavour has no mean.
    """
    variables: dict[str, Variable] = {}
    for name, one in options.items():
        if one.distribution == "uniform":
            variables[name] = one.uniform()
            continue
        means = one.means_by_number(flavours, f"generators.further.{name}")
        if one.distribution == "poisson":
            variables[name] = Poisson(means)
            continue
        gaussians = {number: one.gaussian(mean) for number, mean in means.items()}
        variables[name] = Normal(gaussians)
    return variables
