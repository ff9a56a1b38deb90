"""The functions that a true efficiency is made of, their options, and how they are applied."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from truthtag.arrays import FloatArray, IntArray
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError
from truthtag.options import Options, Real
from truthtag.registry import did_you_mean

__all__ = [
    "BaseOptions",
    "CorrectionOptions",
    "GaussianBase",
    "NearbyDip",
    "StepOptions",
    "TruthOptions",
    "by_flavour",
    "own_efficiencies",
]


class StepOptions(Options):
    """A jump of the efficiency at one transverse momentum, as where two taggers meet."""

    pt: Real
    """Where it is [GeV]."""

    factor: Annotated[Real, Field(ge=0, le=1)]
    """What the efficiency is multiplied by from there on."""


class BaseOptions(Options):
    """Efficiency of a jet on its own: a Gaussian in transverse momentum and in pseudorapidity."""

    amplitude: Annotated[Real, Field(ge=0, le=1)]
    """Largest efficiency."""

    pt_mean: Real
    """Where it is largest [GeV]."""

    pt_width: Annotated[Real, Field(gt=0)]
    """Width in transverse momentum [GeV]."""

    eta_width: Annotated[Real, Field(gt=0)]
    """Width in pseudorapidity."""

    step: StepOptions | None = None
    """A jump in transverse momentum, which no smooth function can follow."""


class CorrectionOptions(Options):
    """Factor by which a neighbour lowers the efficiency."""

    depth: Annotated[Real, Field(ge=0, le=1)]
    """How much a neighbour at Delta R = 0 takes away."""

    width: Annotated[Real, Field(gt=0)]
    """Range of the effect in Delta R."""


class TruthOptions(Options):
    """What the options of every form of the true efficiency have."""

    kind: str
    """Form of the true efficiency: `neighbour_product` is Eq. 2, `nearest_neighbour` does not
    factorise, `with_variable` depends on a further variable; or a name of an installed package, or
    `module:Class`."""

    base: dict[str, BaseOptions]
    """Efficiency of a jet on its own, by its flavour."""

    correction: dict[str, CorrectionOptions]
    """Factor of a neighbour, by the flavour of the neighbour."""

    def base_by_number(self, flavours: Mapping[str, int]) -> dict[int, GaussianBase]:
        """Return the efficiency of a jet on its own, by the number of its flavour.

        Raises:
            ConfigError: A name is not that of a flavour.
        """
        return {
            _number(flavours, name, f"truth.base.{name}"): GaussianBase.from_options(values)
            for name, values in self.base.items()
        }

    def correction_by_number(self, flavours: Mapping[str, int]) -> dict[int, NearbyDip]:
        """Return the factor of a neighbour, by the number of its flavour.

        Raises:
            ConfigError: A name is not that of a flavour.
        """
        return {
            _number(flavours, name, f"truth.correction.{name}"): NearbyDip.from_options(values)
            for name, values in self.correction.items()
        }


@dataclass(frozen=True)
class GaussianBase:
    r"""Efficiency of a jet on its own.

    .. math:: A \exp\left(-\frac{(p_T - \mu)^2}{2 s_{p_T}^2} - \frac{\eta^2}{2 s_\eta^2}\right)

    times a factor from one transverse momentum on, where there is such a step.

    Args:
        amplitude: Largest efficiency :math:`A`, in [0, 1].
        pt_mean: Where it is largest, :math:`\mu` [GeV].
        pt_width: Width :math:`s_{p_T}` [GeV].
        eta_width: Width :math:`s_\eta`.
        step_pt: Where the step is [GeV].
        step_factor: The factor from there on.
    """

    amplitude: float
    pt_mean: float
    pt_width: float
    eta_width: float
    step_pt: float = math.inf
    step_factor: float = 1.0

    @classmethod
    def from_options(cls, options: BaseOptions) -> GaussianBase:
        """Build from options."""
        smooth = (options.amplitude, options.pt_mean, options.pt_width, options.eta_width)
        step = options.step
        return cls(*smooth) if step is None else cls(*smooth, step.pt, step.factor)

    def __call__(self, pt: FloatArray, eta: FloatArray) -> FloatArray:
        """Return the efficiency at each (pT, eta)."""
        exponent = ((pt - self.pt_mean) / self.pt_width) ** 2 + (eta / self.eta_width) ** 2
        smooth = self.amplitude * np.exp(-exponent / 2)
        return np.where(pt >= self.step_pt, self.step_factor * smooth, smooth)


@dataclass(frozen=True)
class NearbyDip:
    r"""Factor by which a neighbour lowers the efficiency; at most 1.

    .. math:: 1 - a \exp\left(-\frac{\Delta R^2}{2 w^2}\right)

    Args:
        depth: :math:`a`, in [0, 1].
        width: :math:`w`.
    """

    depth: float
    width: float

    @classmethod
    def from_options(cls, options: CorrectionOptions) -> NearbyDip:
        """Build from options."""
        return cls(options.depth, options.width)

    def __call__(self, distance: FloatArray) -> FloatArray:
        """Return the factor at each Delta R."""
        return np.asarray(1 - self.depth * np.exp(-((distance / self.width) ** 2) / 2))


def own_efficiencies(base: Mapping[int, GaussianBase], jets: Jets) -> FloatArray:
    """Return what each jet's efficiency would be if it were alone, shape (n_jets,).

    Raises:
        DataError: A jet has a flavour that ``base`` does not have.
    """
    remedy = "Add it to truth.base and truth.correction"
    jets.require_flavours(sorted(base), "the true efficiency knows the flavours", remedy)
    return by_flavour(base, jets.flavour, jets.pt.astype(np.float64), jets.eta.astype(np.float64))


def by_flavour(
    functions: Mapping[int, Callable[..., FloatArray]], flavour: IntArray, *x: FloatArray
) -> FloatArray:
    """Apply to each row the function of its flavour.

    Args:
        functions: A function of the columns, by flavour.
        flavour: Flavour of each row, shape (n,).
        x: Columns, each of shape (n,).
    """
    out = np.empty(len(flavour))
    for number, function in functions.items():
        inside = flavour == number
        out[inside] = function(*(values[inside] for values in x))
    return out


def _number(flavours: Mapping[str, int], name: str, path: str) -> int:
    """Return the number of a flavour."""
    if name not in flavours:
        msg = (
            f"{path}: {name!r} is not a flavour. "
            f"Allowed: {', '.join(flavours)}{did_you_mean(name, flavours)}"
        )
        raise ConfigError(msg)
    return flavours[name]
