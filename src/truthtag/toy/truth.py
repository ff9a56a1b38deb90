"""What a true efficiency is, and the forms that the config can name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self, cast

from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.options import Options
from truthtag.registry import Registry, build

__all__ = ["TRUTHS", "Truth", "make_truth"]


class Truth(Protocol):
    """What the toy needs of a true efficiency."""

    options_type: ClassVar[type[Options]]
    """Type of its options."""

    @classmethod
    def from_options(cls, options: Any, flavours: Mapping[str, int]) -> Self:
        """Build from an object of ``options_type``; flavours are named there and numbered here."""
        ...

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the probability that each jet is tagged, shape (n_jets,)."""
        ...

    def own(self, flavour: int, pt: FloatArray, eta: FloatArray) -> FloatArray:
        """Return the efficiency of a jet that is alone."""
        ...

    def factor(self, flavour: int, distance: FloatArray, pt: float) -> FloatArray:
        """Return the factor by which one neighbour lowers the efficiency of a jet.

        Args:
            flavour: Flavour of the neighbour.
            distance: Delta R to the neighbour, of any shape.
            pt: Transverse momentum of the jet itself [GeV].
        """
        ...


TRUTHS = Registry(
    "a form of the true efficiency",
    {
        "neighbour_product": "truthtag.toy.neighbour_product:NeighbourProduct",
        "nearest_neighbour": "truthtag.toy.nearest_neighbour:NearestNeighbour",
        "with_variable": "truthtag.toy.with_variable:WithVariable",
    },
    group="truthtag.truths",
)
"""Forms of the true efficiency that the config can name; other packages may add theirs."""


def make_truth(options: Mapping[str, Any] | Options, flavours: Mapping[str, int]) -> Truth:
    """Build the true efficiency that the ``truth`` section of a config describes.

    Args:
        options: The section, or the options object that it became.
        flavours: Numbers of the flavours, by name.

    Raises:
        ConfigError: Nothing has this kind, or an option is not allowed.
    """
    return cast("Truth", build(TRUTHS, options, flavours, "truth"))
