"""Bins of transverse momentum, pseudorapidity and more per flavour, and which each jet is in."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import field_validator, model_validator

from truthtag.arrays import AnyArray, BoolArray, FloatArray, IntArray, per_jet
from truthtag.axis import EqualBins, OpenAxis, edges
from truthtag.data.axes import bin_index, check_edges
from truthtag.data.columns import SCHEMA
from truthtag.data.jets import Jets
from truthtag.data.training_blocks import Blocks, as_blocks, labels_of
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.counts import Counts, Tally, WeightedOptions, Weights, weights_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "BIN_COLUMNS",
    "OUTSIDE",
    "UNKNOWN",
    "Bins",
    "BinsOptions",
    "Outside",
    "flavour_index",
    "flavour_mean",
    "flavours_of",
    "jet_column",
    "occurring_flavours",
    "tags_of",
    "training_tags",
    "unlearned_flavours",
    "warn_of_equal_tags",
    "with_times",
    "with_unlearned",
]

Outside = Literal["clamp", "error"]
OUTSIDE = ("clamp", "error")
"""What a map can do with jets outside its axes: take the nearest bin, or refuse them."""

UNKNOWN = 0.5
"""Efficiency of jets of a flavour that no training jet had: anything in [0, 1] is possible."""

BIN_COLUMNS = ("flavour", "pt_low", "pt_high", "eta_low", "eta_high")
"""Columns that name a bin, where there are no further axes."""

FURTHER = ("mass", "phi")
"""Columns of every sample that may be a further axis."""

TAKEN = ("abs_eta", "delta_r")
"""Names of axes that are not columns."""


class BinsOptions(WeightedOptions):
    """Options of maps in bins; the axes of pT and eta are those of each kind."""

    abs_eta: bool = False
    """Whether the axis of pseudorapidity is one of its absolute value; it then begins at 0 or
    above."""

    axes: dict[str, OpenAxis] = {}  # noqa: RUF012
    """Bin edges in further columns of the jets, by name; `mass` and `phi` are possible, too."""

    outside: Outside = "clamp"
    """Jets outside the axes: `clamp` takes the nearest bin, `error` refuses them."""

    @field_validator("axes")
    @classmethod
    def _name_further_columns(cls, axes: dict[str, Any]) -> dict[str, Any]:
        for name in axes:
            taken = (name in SCHEMA and name not in FURTHER) or name in TAKEN
            if taken or not re.fullmatch(r"[A-Za-z]\w*", name):
                msg = (
                    f"{name!r} cannot be a further axis; name a further column of the jets, "
                    f"or one of {', '.join(FURTHER)}"
                )
                raise ValueError(msg)
        return axes

    @model_validator(mode="after")
    def _begin_at_zero(self) -> Self:
        first = edges(getattr(self, "eta"))[0]  # noqa: B009
        if self.abs_eta and first < 0:
            msg = (
                f"abs_eta is true, and the axis of eta begins at {first:g}; absolute values need "
                "one that begins at 0 or above"
            )
            raise ValueError(msg)
        return self


@dataclass(frozen=True, eq=False)
class Bins:
    """Bins of flavour, pT, eta and further columns, and what to do with jets outside them.

    Which bin a jet on an edge belongs to is the rule of :func:`~truthtag.data.axes.bin_index`.

    Args:
        flavours: Hadron flavours of the first axis, rising.
        pt_edges: Bin edges, rising, the last may be infinite, shape (n_pt + 1,) [GeV].
        eta_edges: Bin edges, rising, the last may be infinite, shape (n_eta + 1,).
        outside: ``clamp`` takes the nearest bin, ``error`` refuses the jet.
        abs_eta: Whether the bins are those of the absolute value of eta.
        further: Bin edges of further axes by column, likewise.

    Raises:
        ConfigError: Edges do not rise, those of an absolute value are negative, or ``outside`` is
            something else.
    """

    flavours: tuple[int, ...]
    pt_edges: FloatArray
    eta_edges: FloatArray
    outside: str
    abs_eta: bool = False
    further: Mapping[str, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_edges(self.pt_edges.tolist(), "pt_edges")
        check_edges(self.eta_edges.tolist(), "eta_edges")
        for name, axis in self.further.items():
            check_edges(axis.tolist(), f"{name}_edges")
        if self.abs_eta and self.eta_edges[0] < 0:
            msg = f"eta_edges begin at {self.eta_edges[0]:g}; an absolute value is not negative"
            raise ConfigError(msg)
        if self.outside not in OUTSIDE:
            msg = f"outside is {self.outside!r}; allowed are {', '.join(OUTSIDE)}"
            raise ConfigError(msg)

    @classmethod
    def from_axes(
        cls,
        sample: Jets | Blocks,
        pt: EqualBins | Sequence[float],
        eta: EqualBins | Sequence[float],
        options: BinsOptions,
    ) -> Bins:
        """Make the bins that axes of the config mean, for the flavours of a sample."""
        pt_edges = np.asarray(edges(pt))
        eta_edges = np.asarray(edges(eta))
        further = {name: np.asarray(edges(axis)) for name, axis in options.axes.items()}
        return cls(
            flavours_of(sample), pt_edges, eta_edges, options.outside, options.abs_eta, further
        )

    @property
    def axes(self) -> dict[str, FloatArray]:
        """Bin edges of all axes but that of the flavour, in their order, by what they are of."""
        eta = "abs_eta" if self.abs_eta else "eta"
        return {"pt": self.pt_edges, eta: self.eta_edges, **self.further}

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers of flavours, pT bins and eta bins, and of bins of each further axis."""
        return len(self.flavours), *(len(axis) - 1 for axis in self.axes.values())

    def index(self, jets: Jets) -> tuple[IntArray, ...]:
        """Return the bin of each jet on every axis, each of shape (n_jets,).

        Raises:
            DataError: A jet has an unknown flavour or NaN, or is outside the axes where that is
                refused; or the jets lack a column.
        """
        index = [flavour_index(self.flavours, jets)]
        for name, axis in self.axes.items():
            index.append(self._axis_index(name, _axis_values(jets, name), axis))
        return tuple(index)

    def _axis_index(self, name: str, values: AnyArray, axis: FloatArray) -> IntArray:
        """Return the bin of each value on one axis, shape (n_jets,)."""
        index = bin_index(values, axis, name)
        beyond = (index < 0) | (index > len(axis) - 2)
        if self.outside == "error" and beyond.any():
            msg = (
                f"{int(beyond.sum())} jets lie outside the map's {name} axis "
                f"[{axis[0]}, {axis[-1]}], the first at {values[beyond][0]}. "
                "Widen the axis, or set outside: clamp to use the nearest bin."
            )
            raise DataError(msg)
        return _nearest(index, len(axis) - 1)

    def count(
        self, blocks: Blocks, weights: Weights, times: IntArray | None = None
    ) -> list[Counts]:
        """Count tagged jets and all jets per bin, of :attr:`shape`.

        Args:
            blocks: A tagged sample.
            weights: Which weights: an option of :class:`WeightedOptions`.
            times: How often each event is in each of several resamples, shape (n_resamples,
                n_events); by default there is one, with every event once.

        Returns:
            The counts of each resample.

        Raises:
            DataError: The sample has no tags, or as in :meth:`index`.
        """
        tallies = [Tally(self.shape) for _ in range(1 if times is None else len(times))]
        for block, of_jets in with_times(blocks, times):
            index = self.index(block)
            is_tagged = tags_of(block)
            of_weights = weights_of(block, weights)
            for tally, often in zip(tallies, of_jets, strict=True):
                tally.add(index, is_tagged, of_weights, often)
        for tally in tallies:
            warn_of_equal_tags(tally.n_tagged, tally.n_jets)
        return [tally.counts for tally in tallies]

    def without_jets(self, counts: Counts) -> tuple[int, ...]:
        """Return the flavours that have no jet in any bin."""
        jets = counts.jets.sum(axis=tuple(range(1, counts.jets.ndim)))
        return tuple(f for f, number in zip(self.flavours, jets, strict=True) if number == 0)

    def to_frame(self) -> pd.DataFrame:
        """Return a row per bin, the columns that name it, in the order of ``ravel``."""
        import pandas as pd

        flavour, *index = (axis.ravel() for axis in np.indices(self.shape))
        columns: dict[str, AnyArray] = {"flavour": np.array(self.flavours, dtype=np.int8)[flavour]}
        for bin_, (name, axis) in zip(index, self.axes.items(), strict=True):
            columns[f"{name}_low"] = axis[bin_]
            columns[f"{name}_high"] = axis[bin_ + 1]
        return pd.DataFrame(columns)

    @property
    def settings(self) -> dict[str, Any]:
        """What a table does not say: the arguments of :meth:`from_frame` beside it."""
        settings: dict[str, Any] = {"outside": self.outside}
        if self.abs_eta:
            settings["abs_eta"] = True
        if self.further:
            settings["axes"] = list(self.further)
        return settings

    @staticmethod
    def columns_of(settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the columns that name a bin, by what :attr:`settings` say."""
        names = ["pt", "abs_eta" if settings.get("abs_eta") else "eta", *settings.get("axes", ())]
        ends = [f"{name}_{end}" for name in names for end in ("low", "high")]
        return ("flavour", *ends)

    @classmethod
    def from_frame(
        cls, frame: pd.DataFrame, outside: str, abs_eta: bool = False, axes: Sequence[str] = ()
    ) -> tuple[Bins, Counts]:
        """Rebuild bins from a table; also its counts, in their shape.

        Args:
            frame: The table.
            outside: What to do with jets outside the axes.
            abs_eta: Whether the bins are those of the absolute value of eta.
            axes: Names of the further axes, in their order.

        Raises:
            DataError: Rows are missing, overlap, or hold numbers that are no counts.
        """
        flavours = tuple(int(flavour) for flavour in np.unique(frame["flavour"]))
        pt_edges = _stored_edges(frame, "pt")
        eta_edges = _stored_edges(frame, "abs_eta" if abs_eta else "eta")
        further = {name: _stored_edges(frame, name) for name in axes}
        bins = cls(flavours, pt_edges, eta_edges, outside, abs_eta, further)
        ordered = frame.sort_values(["flavour", *(f"{name}_low" for name in bins.axes)])
        columns = list(cls.columns_of(bins.settings))
        stored = ordered[columns].to_numpy(dtype=np.float64)
        expected = bins.to_frame().to_numpy(dtype=np.float64)
        if not np.array_equal(stored, expected):
            msg = (
                f"its {len(frame)} rows are not the {expected.shape[0]} bins that its edges make: "
                "rows are missing, stand twice or overlap"
            )
            raise DataError(msg)
        return bins, Counts.from_frame(ordered, bins.shape)


def _axis_values(jets: Jets, name: str) -> AnyArray:
    """Return what an axis is of, shape (n_jets,)."""
    if name == "abs_eta":
        return np.abs(jets.eta)
    return jet_column(jets, name, "the map has an axis of")


def jet_column(jets: Jets, name: str, opening: str) -> AnyArray:
    """Return a column of the jets, further or not, shape (n_jets,).

    Args:
        jets: The jets.
        name: The column.
        opening: How the error begins: "the map has an axis of", say.

    Raises:
        DataError: The jets have no such column.
    """
    values: AnyArray | None = jets.further.get(name)
    if name in SCHEMA:
        values = getattr(jets, name)
    if values is None:
        further = ", ".join(jets.further) or "none"
        msg = (
            f"{opening} {name!r}, which the jets do not have (further columns: {further}). Give "
            "them this column, or fit again without it."
        )
        raise DataError(msg)
    return values


def _stored_edges(frame: pd.DataFrame, name: str) -> FloatArray:
    """Return the edges of one axis from the lower and upper ends of its bins."""
    lower = np.unique(frame[f"{name}_low"])
    upper = frame[f"{name}_high"].max()
    return np.asarray(np.r_[lower, upper], dtype=np.float64)


def with_times(
    blocks: Blocks, times: IntArray | None
) -> Iterator[tuple[Jets, list[IntArray | None]]]:
    """Go through a sample with how often each jet is in each of several resamples.

    Args:
        blocks: The sample.
        times: How often each event is, shape (n_resamples, n_events); None for one resample with
            every event once.

    Yields:
        A block, and of each resample how often its jets count, shape (n_jets,), or None for once.
    """
    first = 0
    for block in blocks:
        last = first + block.n_events
        if times is None:
            yield block, [None]
        else:
            yield block, [often[first:last][block.event_of_jet] for often in times]
        first = last


def flavours_of(sample: Jets | Blocks) -> tuple[int, ...]:
    """Return the flavours of a sample, rising: those that its labels state, or else that occur."""
    stated = labels_of(as_blocks(sample)).flavours
    return stated or occurring_flavours(sample)


def occurring_flavours(sample: Jets | Blocks) -> tuple[int, ...]:
    """Return the flavours that jets of a sample have, rising."""
    found: set[int] = set()
    for block in as_blocks(sample):
        found.update(np.unique(block.flavour).tolist())
    return tuple(sorted(found))


def unlearned_flavours(jets: Jets) -> tuple[int, ...]:
    """Return the flavours of a sample that none of its jets has, rising."""
    occurring = occurring_flavours(jets)
    return tuple(flavour for flavour in flavours_of(jets) if flavour not in occurring)


def with_unlearned(eff: FloatArray, unlearned: Sequence[int], jets: Jets) -> FloatArray:
    """Return efficiencies in which jets of flavours that no training jet had have :data:`UNKNOWN`.

    Such jets are outside the domain of the efficiency, and the fit has warned of the flavour.

    Args:
        eff: Efficiencies, shape (n_jets,).
        unlearned: The flavours without a jet in the training sample.
        jets: The jets.
    """
    strange = np.isin(jets.flavour, unlearned)
    return np.where(strange, UNKNOWN, eff) if strange.any() else eff


def tags_of(jets: Jets) -> BoolArray:
    """Return the tags of a sample, shape (n_jets,).

    Raises:
        DataError: It has none, several working points, or a tag is neither 0 nor 1.
    """
    if jets.n_points > 1:
        msg = (
            f"the sample has the working points {', '.join(jets.labels.points)}; a map is fitted "
            "to one at a time, take it with at_point"
        )
        raise DataError(msg)
    if jets.is_tagged is None:
        msg = "the sample has no column 'is_tagged': a map is fitted to tags. Tag it first."
        raise DataError(msg)
    tags = per_jet(jets.is_tagged, jets.n_jets, "column 'is_tagged'")
    is_truth_value = np.isin(tags, (0, 1))
    if not is_truth_value.all():
        row = int(np.argmin(is_truth_value))
        msg = f"column 'is_tagged' is {tags[row]} in row {row}; a tag is 0 or 1, False or True"
        raise DataError(msg)
    return np.asarray(tags, dtype=np.bool_)


def training_tags(jets: Jets) -> BoolArray:
    """Return the tags of a sample that is learned from; log a warning where all are the same.

    Raises:
        DataError: As in :func:`tags_of`.
    """
    is_tagged = tags_of(jets)
    warn_of_equal_tags(int(is_tagged.sum()), is_tagged.size)
    return is_tagged


def warn_of_equal_tags(n_tagged: int, n_jets: int) -> None:
    """Log a warning where all or none of the jets that are learned from are tagged."""
    if n_jets and n_tagged in (0, n_jets):
        which = "all" if n_tagged else "none"
        text = "%s of the %d jets are tagged: such a sample tells nothing of how efficiencies vary"
        logging.getLogger("truthtag").warning(text, which, n_jets)


def flavour_index(flavours: Sequence[int], jets: Jets) -> IntArray:
    """Return the position of each jet's flavour among those of a map, shape (n_jets,).

    Raises:
        DataError: A jet has a flavour that the map does not know.
    """
    jets.require_flavours(
        flavours, "the map was fitted to the flavours", "Fit it to a sample that has this flavour"
    )
    return np.searchsorted(np.asarray(flavours), jets.flavour)


def _nearest(index: IntArray, n_bins: int) -> IntArray:
    return np.clip(index, 0, n_bins - 1)


def flavour_mean(counts: Counts) -> FloatArray:
    """Return the efficiency of each flavour over all bins, (n_flavours, 1, ...).

    It is :data:`UNKNOWN` without jets, and that of all flavours where the weights of its jets do
    not sum to more than 0.
    """
    every = tuple(range(counts.total.ndim))
    of_flavour = counts.sum(every[1:])
    of_all = np.where(of_flavour.jets > 0, counts.sum(every).efficiency(0.0), UNKNOWN)
    return of_flavour.efficiency(of_all)
