"""Scale factors: what efficiencies of simulated jets are multiplied by to become those of data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from truthtag.arrays import FloatArray, in_unit_interval, plain_array
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.predictions import ROUNDING
from truthtag.options import Options, Real, Whole, as_tuple
from truthtag.registry import did_you_mean, validated
from truthtag.weights.flavour_groups import (
    CORRECTIONLIB,
    PATH,
    TABLES,
    FlavourGroup,
    GroupFactors,
    read_groups,
    suffix_of,
)

__all__ = [
    "MAX_EXCLUDED",
    "MAX_NEGATIVE",
    "NOMINAL_VARIATION",
    "FlavourNames",
    "SampleFactors",
    "ScaleFactorOptions",
    "ScaleFactors",
    "Scaled",
    "SystematicNames",
    "in_order",
    "scaled",
]

NOMINAL_VARIATION = "nominal"
"""Name of the variation in which nothing varies."""

MAX_NEGATIVE = 0.01
"""Largest share of jets at which scaled working points may cross, if nothing else is said."""

MAX_EXCLUDED = 0.05
"""Largest share of jets whose tag is excluded, in the workflow: bins of a map in which all jets of
the training sample were tagged, say."""

Names = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]


class FlavourNames(Options):
    """Which flavours vary together."""

    heavy: Names = ("b", "c")
    """Flavours of heavy jets."""

    light: Names = ("light",)
    """Flavours of light jets."""


class SystematicNames(Options):
    """Which variations of a file are wanted."""

    heavy: Names | None = None
    """Names of the file for heavy jets, `[up, down]` say; all that it has by default."""

    light: Names | None = None
    """Names of the file for light jets; all that it has by default."""


class ScaleFactorOptions(Options):
    """Scale factors of data over simulation, by which efficiencies are multiplied."""

    file: str
    """A correctionlib file (`.json`, `.json.gz`), as CMS publishes them, or a table of our own
    (`.csv`, `.parquet`); the path is that from where snakemake is started."""

    heavy: str | None = None
    """Correction of the file for heavy jets, `deepJet_comb` say; a table has none."""

    light: str | None = None
    """Correction of the file for light jets, `deepJet_light` say; a table has none."""

    flavours: FlavourNames = FlavourNames()
    """Which flavours vary together."""

    numbers: dict[str, Whole] = Field(default_factory=dict)
    """Numbers of flavours in the file, by our names, where they are not those of `flavours`."""

    working_points: dict[str, str] = Field(default_factory=dict)
    """Names of working points in the file, by our names. By default that of our own, or `L`, `M`
    and `T` for `loose`, `medium` and `tight`."""

    working_point: str | None = None
    """Name of the working point in the file where ours has no name; the only one by default."""

    systematics: SystematicNames = SystematicNames()
    """Which variations of the file are wanted; all that it has by default."""

    outside: Literal["refuse", "clamp"] = "refuse"
    """Jets beyond the range of the file: `refuse` stops, `clamp` takes the scale factor at the edge
    of the range, and counts them."""

    max_negative: Annotated[Real, Field(ge=0, le=1)] = MAX_NEGATIVE
    """Largest share of jets whose scaled efficiency at a tighter working point exceeds that at a
    looser one, and is lowered to it; more are refused."""

    max_excluded: Annotated[Real, Field(ge=0, le=1)] = MAX_EXCLUDED
    """Direct tagging: largest share of jets whose tag an efficiency of 0 or 1 excludes, so that no
    weight makes up for it. They are left as they are, and counted; more are refused."""

    direct: bool = True
    """Whether samples with tags get weights for direct tagging, too: columns `weight_direct`."""

    @model_validator(mode="after")
    def _name_what_the_file_has(self) -> Self:
        suffix = suffix_of(self.file)
        if suffix not in (*CORRECTIONLIB, *TABLES):
            msg = (
                f"file is {self.file!r}; its name must end in one of "
                f"{', '.join((*CORRECTIONLIB, *TABLES))}"
            )
            raise ValueError(msg)
        for group in ("heavy", "light"):
            named = getattr(self, group)
            if suffix in TABLES and named is not None:
                msg = f"{group} is {named!r}, and a table has no corrections; leave it out"
                raise ValueError(msg)
            if suffix in CORRECTIONLIB and named is None and getattr(self.flavours, group):
                msg = (
                    f"{group} is missing: the name of the correction for {group} jets in "
                    f"{self.file}"
                )
                raise ValueError(msg)
        return self


@dataclass(frozen=True, eq=False)
class Scaled:
    """Efficiencies times scale factors.

    Args:
        values: In [0, 1], and not rising from a looser to a tighter working point; in the shape of
            the efficiencies.
        clipped: Number of values that were beyond [0, 1].
        negative: Number of jets at which a tighter working point exceeded a looser one, so that the
            bin between the two would have had a negative probability.
    """

    values: FloatArray
    clipped: int
    negative: int = 0

    def require_few_negative(self, allowed: float) -> None:
        """Refuse too large a share of jets at which working points crossed.

        Raises:
            DataError: The share is larger than ``allowed``.
        """
        require_few_negative(self.negative, len(self.values), allowed)


def require_few_negative(negative: int, n_jets: int, allowed: float) -> None:
    """Refuse too large a share of jets at which working points crossed.

    Args:
        negative: Number of such jets.
        n_jets: Number of all jets.
        allowed: The largest share.

    Raises:
        DataError: The share is larger.
    """
    share = negative / max(1, n_jets)
    if share > allowed:
        msg = (
            f"for {negative} of {n_jets} jets ({share:.2%}) the scale factor "
            "times the efficiency of a tighter working point exceeds that of a looser one: the "
            "bin between them would have a negative weight. Efficiencies and scale factors do "
            "not fit together; take others, or fewer working points, or raise "
            f"{PATH}.max_negative, {allowed:g}"
        )
        raise DataError(msg)


def scaled(efficiency: FloatArray, sf: FloatArray) -> Scaled:
    r"""Multiply efficiencies by scale factors: those of data, where both are right.

    .. math:: s_k = \min(s_{k-1},\ \mathrm{clip}(\mathrm{SF}_k\, \epsilon_k,\ 0,\ 1))

    for the working points k from the loosest on; without a looser one, only the clipping is left.
    Whoever passes a tighter point passes the looser ones, so that s may not rise. Truth tagging and
    :func:`~truthtag.weights.direct.direct_weights` take the same s, and so agree on average.

    Args:
        efficiency: Efficiencies, shape (n_jets,) or (n_jets, n_points), in [0, 1].
        sf: Scale factors, in the same shape.

    Raises:
        DataError: An efficiency is no probability, or rises to a tighter point; a scale factor is
            no finite number; or the shapes differ.

    Example:
        >>> scaled(np.array([0.5, 0.9]), np.array([1.1, 1.2]))
        Scaled(values=array([0.55, 1.  ]), clipped=1, negative=0)
    """
    eff = in_order(efficiency)
    factors = plain_array(sf, "scale factors")
    if factors.shape != eff.shape:
        msg = (
            f"scale factors have shape {factors.shape}, the efficiencies {eff.shape}; give one for "
            "each"
        )
        raise DataError(msg)
    if factors.dtype.kind not in "biuf" or not np.isfinite(factors).all():
        msg = "a scale factor is not a finite number; leave out jets that have none"
        raise DataError(msg)
    product = factors.astype(np.float64) * eff
    values = np.clip(product, 0.0, 1.0)
    clipped = int((values != product).sum())
    if values.ndim == 1:
        return Scaled(values, clipped)
    negative = int((np.diff(values, axis=1) > 0).any(axis=1).sum())
    return Scaled(np.minimum.accumulate(values, axis=1), clipped, negative)


def in_order(efficiency: FloatArray) -> FloatArray:
    """Return efficiencies that do not rise from a looser to a tighter working point, not even by
    what rounding does.

    Args:
        efficiency: Efficiencies, shape (n_jets,) or (n_jets, n_points), in [0, 1].

    Raises:
        DataError: One is no probability, or rises by more than that.
    """
    eff = in_unit_interval(plain_array(efficiency, "efficiency"), "efficiency")
    if eff.ndim not in (1, 2):
        msg = (
            f"efficiency has shape {eff.shape}; it must have one value per jet, or one per jet and "
            "working point"
        )
        raise DataError(msg)
    if eff.ndim == 1:
        return eff
    rises = np.diff(eff, axis=1) > ROUNDING
    if rises.any():
        row, point = map(int, np.argwhere(rises)[0])
        msg = (
            f"efficiency of jet {row} is {eff[row, point + 1]} at working point {point + 1} and "
            f"{eff[row, point]} at the looser {point} ({int(rises.sum())} such cases): whoever "
            "passes the tighter passes the looser, too. Give the loosest first"
        )
        raise DataError(msg)
    return np.asarray(np.minimum.accumulate(eff, axis=1))


@dataclass(frozen=True, eq=False)
class SampleFactors:
    """Scale factors of the jets of a sample.

    Args:
        values: Shape (n_jets,), or (n_jets, n_points) where there are several working points.
        clamped: Number of jets that were brought to the edge of the file's range.
    """

    values: FloatArray
    clamped: int


@dataclass(frozen=True, eq=False)
class ScaleFactors:
    """Scale factors of jets, nominal and in each variation: heavy and light jets vary apart.

    While one group of flavours varies, the other one stays nominal. A variation is named by the
    group and by the name in the file: ``heavy_up``, ``light_down_jes``.

    Args:
        groups: Groups of flavours, and where their scale factors are.
        points: Names of the working points, the loosest first; empty where there is one without a
            name.
        outside: What to do with jets beyond the range of the file, ``refuse`` or ``clamp``.
        max_negative: Largest share of jets at which scaled working points may cross.
        max_excluded: Largest share of jets whose tag their efficiency may exclude.
        provenance: Where they come from, for the metadata.
    """

    groups: tuple[FlavourGroup, ...]
    points: tuple[str, ...] = ()
    outside: str = "refuse"
    max_negative: float = MAX_NEGATIVE
    max_excluded: float = MAX_EXCLUDED
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_options(
        cls,
        options: ScaleFactorOptions | Mapping[str, Any],
        flavours: Mapping[str, int],
        points: Sequence[str] = (),
    ) -> Self:
        """Read the file that options name, and check that it has all that they ask for.

        Args:
            options: The options, or the section of a config.
            flavours: Numbers of the flavours of the jets, by name.
            points: Names of their working points, the loosest first; empty without a name.

        Raises:
            ConfigError: The file lacks a correction, flavour, working point or systematic that the
                options name; or the package correctionlib is missing.
            DataError: The file is missing, damaged or foreign.
        """
        if not isinstance(options, ScaleFactorOptions):
            options = validated(ScaleFactorOptions, options, PATH)
        groups = read_groups(options, flavours, points)
        digest = hashlib.sha256(Path(options.file).read_bytes()).hexdigest()
        provenance = {"file": options.file, "sha256": digest}
        return cls(
            groups,
            tuple(points),
            options.outside,
            options.max_negative,
            options.max_excluded,
            provenance,
        )

    @property
    def variations(self) -> tuple[str, ...]:
        """Names of the variations, the nominal one first."""
        names = [NOMINAL_VARIATION]
        for group in self.groups:
            names += group.variations
        return tuple(names)

    def evaluate(self, jets: Jets, variation: str = NOMINAL_VARIATION) -> FloatArray:
        """Return the scale factors of jets, shape (n_jets,) or (n_jets, n_points).

        Args:
            jets: The jets.
            variation: One of :attr:`variations`.

        Raises:
            ConfigError: There is no such variation.
            DataError: A jet has a flavour without scale factors, or is beyond the range of the file
                where that is refused.
        """
        if variation not in self.variations:
            known = list(self.variations)
            msg = (
                f"variation {variation!r} is not one of {', '.join(known)}"
                f"{did_you_mean(variation, known)}"
            )
            raise ConfigError(msg)
        return next(values for _, values in self.by_variation(jets, (variation,))).values

    def by_variation(
        self, jets: Jets, variations: Sequence[str] | None = None
    ) -> Iterator[tuple[str, SampleFactors]]:
        """Go through variations, all by default; arguments and errors are those of
        :meth:`evaluate`."""
        known = [number for group in self.groups for number in group.numbers]
        jets.require_flavours(
            known, "scale factors are there for the flavours", f"Add it to {PATH}.flavours"
        )
        nominal = {}
        for group in self.groups:
            nominal[group.name] = group.find(jets, group.nominal)
            nominal[group.name].require_inside(self.outside, jets)
        for variation in self.variations if variations is None else variations:
            parts = dict(nominal)
            for group in self.groups:
                if variation in group.variations:
                    parts[group.name] = group.find(jets, group.variations[variation])
                    parts[group.name].require_inside(self.outside, jets)
            yield variation, self._merged(list(parts.values()), jets)

    def _merged(self, parts: Sequence[GroupFactors], jets: Jets) -> SampleFactors:
        """Put the jets of all groups in their places."""
        values = np.full((jets.n_jets, max(1, len(self.points))), np.nan)
        clamped = 0
        for part in parts:
            values[part.rows] = part.values
            # A jet is in one group only.
            clamped += len(part.beyond)
        return SampleFactors(values if len(self.points) > 1 else values[:, 0], clamped)
