"""Distributions that the toy draws from, and their options."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from truthtag.arrays import FloatArray
from truthtag.errors import ConfigError
from truthtag.options import Options, Real

__all__ = [
    "MIN_SHARE",
    "ExponentialOptions",
    "GaussianOptions",
    "TruncatedExponential",
    "TruncatedNormal",
    "gaussian_share",
]

MIN_SHARE = 1e-9
"""Smallest share of a Gaussian between its limits: below it, too few values are distinct."""


class GaussianOptions(Options):
    """A Gaussian, truncated where low and high are given."""

    mean: Real
    """Mean before truncation."""

    width: Annotated[Real, Field(gt=0)]
    """Standard deviation before truncation."""

    low: Real | None = None
    """Lower end."""

    high: Real | None = None
    """Upper end."""

    @model_validator(mode="after")
    def _has_values(self) -> Self:
        TruncatedNormal.from_options(self)
        return self


class ExponentialOptions(Options):
    """An exponential that is cut off."""

    scale: Annotated[Real, Field(gt=0)]
    """Decay constant."""

    range: Annotated[Real, Field(gt=0)]
    """Where it ends."""


@dataclass(frozen=True)
class TruncatedNormal:
    """A Gaussian restricted to an interval, drawn by inverting its cumulative distribution.

    Args:
        mean: Mean of the Gaussian before truncation.
        width: Its standard deviation.
        low: Lower end; may be absent.
        high: Upper end; may be absent.

    Raises:
        ConfigError: The limits are the wrong way round, or nearly nothing lies between them.
    """

    mean: float
    width: float
    low: float = -np.inf
    high: float = np.inf

    def __post_init__(self) -> None:
        if not self.low < self.high:
            msg = f"low is {self.low} and high is {self.high}; low must be below high"
            raise ConfigError(msg)
        share = gaussian_share(
            (self.low - self.mean) / self.width, (self.high - self.mean) / self.width
        )
        if not share >= MIN_SHARE:
            msg = (
                f"a Gaussian of mean {self.mean} and width {self.width} has a share of {share:.3g} "
                f"between low {self.low} and high {self.high}; at least {MIN_SHARE:g} must lie "
                "there, or all values are one. Widen the limits or the Gaussian, or move its mean."
            )
            raise ConfigError(msg)

    @classmethod
    def from_options(cls, options: GaussianOptions) -> TruncatedNormal:
        """Build from options; a limit that is not given is at infinity."""
        low = -np.inf if options.low is None else options.low
        high = np.inf if options.high is None else options.high
        return cls(options.mean, options.width, low, high)

    def sample(self, count: int, rng: np.random.Generator) -> FloatArray:
        """Draw ``count`` values."""
        from scipy.special import ndtr, ndtri

        low, high = ndtr((np.array([self.low, self.high]) - self.mean) / self.width)
        values = self.mean + self.width * ndtri(low + rng.random(count) * (high - low))
        # Rounding can lead a little beyond the limits.
        return np.asarray(np.clip(values, self.low, self.high))


@dataclass(frozen=True)
class TruncatedExponential:
    """An exponential restricted to [0, range), drawn by inverting its cumulative distribution.

    Args:
        scale: Its decay constant.
        range: Where it ends.
    """

    scale: float
    range: float

    @classmethod
    def from_options(cls, options: ExponentialOptions) -> TruncatedExponential:
        """Build from options."""
        return cls(options.scale, options.range)

    def sample(self, count: int, rng: np.random.Generator) -> FloatArray:
        """Draw ``count`` values."""
        return np.asarray(
            -self.scale * np.log1p(rng.random(count) * np.expm1(-self.range / self.scale))
        )


def gaussian_share(low: float, high: float) -> float:
    """Return the share of a standard Gaussian that lies between two values.

    Example:
        >>> round(gaussian_share(-1.0, 1.0), 4)
        0.6827
    """
    if low > 0:
        # Far above the mean, the small tail is exact where one minus it is not.
        return gaussian_share(-high, -low)
    return (math.erfc(-high / math.sqrt(2)) - math.erfc(-low / math.sqrt(2))) / 2
