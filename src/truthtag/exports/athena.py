"""What ATLAS's truth tagging tool reads: order and units of its inputs, and bins of its tags.

The tool gives each event to the model as one tensor of shape (1, n_jets, n_features), flavour
first, transverse momentum in MeV, and takes from the first output the probabilities of tag bins,
the untagged one first. Which bins a working point sums is fixed by its name: FixedCutBEff_85, _77,
_70 and _60 sum from bin 1, 2, 3 and 4 to the last, and every other name from bin 5, of which the
tool's usual five bins have none.

Source: OnnxUtil and BTaggingTruthTaggingTool in xAODBTaggingEfficiency of ATLAS's athena.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from truthtag.errors import ConfigError
from truthtag.estimators.network.onnx_builder import Graph

__all__ = ["BINS_OF_ONE_POINT", "POINTS", "add_bins", "input_order", "input_unit", "require_bins"]

POINTS = (85, 77, 70, 60)
"""The working points that have bins of their own, by their efficiency in percent."""

BINS_OF_ONE_POINT = 6
"""Bins of a single working point: with the efficiency in the last of six, every name sums to it."""


def input_order(features: Sequence[str]) -> tuple[str, ...]:
    """Return features in the order of the tool: the flavour, then all others as they were.

    Example:
        >>> input_order(["pt", "eta", "phi", "flavour", "width"])
        ('flavour', 'pt', 'eta', 'phi', 'width')
    """
    return ("flavour", *(name for name in features if name != "flavour"))


def input_unit(unit: str) -> str:
    """Return the unit of the tool where ours is another: energies are in MeV."""
    return "MeV" if unit == "GeV" else unit


def require_bins(points: Sequence[str]) -> None:
    """Refuse working points that the tool has no bins for.

    Args:
        points: Names of the working points of the file, the loosest first.

    Raises:
        ConfigError: There are several, other than those of 85, 77, 70 and 60%.
    """
    if len(points) <= 1 or tuple(map(_percent, points)) == POINTS:
        return
    listed = ", ".join(points)
    msg = (
        f"layout 'athena' with the working points {listed}: the tool has bins for those of 85, 77, "
        "70 and 60%, in this order, or for a single one of any name. "
        f"Write a file for each: points: [{points[0]}], and so on."
    )
    raise ConfigError(msg)


def _percent(name: str) -> int | None:
    """Return the last number in the name of a working point, None without one.

    Example:
        >>> _percent("FixedCutBEff_77"), _percent("tight")
        (77, None)
    """
    numbers = re.findall(r"\d+", name)
    return int(numbers[-1]) if numbers else None


def add_bins(graph: Graph, efficiency: str, n_points: int) -> tuple[str, int]:
    r"""Add the probabilities of tag bins to a graph.

    Of one working point :math:`[1 - \epsilon, 0, 0, 0, 0, \epsilon]`, of four :math:`[1 -
    \epsilon_1, \epsilon_1 - \epsilon_2, \epsilon_2 - \epsilon_3, \epsilon_3 - \epsilon_4,
    \epsilon_4]`.

    Args:
        graph: The graph.
        efficiency: Efficiencies, shape (n, n_points).
        n_points: 1 or 4.

    Returns:
        The name of a tensor of shape (n, n_bins), and n_bins.
    """
    one = graph.floats(1.0)
    if n_points == 1:
        nothing = graph.add("Mul", efficiency, graph.floats([0.0] * (BINS_OF_ONE_POINT - 2)))
        untagged = graph.add("Sub", one, efficiency)
        bins = graph.add("Concat", untagged, nothing, efficiency, axis=-1)
        return bins, BINS_OF_ONE_POINT
    looser = graph.add("Gather", efficiency, graph.integers(range(n_points - 1)), axis=1)
    tighter = graph.add("Gather", efficiency, graph.integers(range(1, n_points)), axis=1)
    loosest = graph.add("Gather", efficiency, graph.integers([0]), axis=1)
    tightest = graph.add("Gather", efficiency, graph.integers([n_points - 1]), axis=1)
    untagged = graph.add("Sub", one, loosest)
    # Rounding could make the difference of two equal numbers negative.
    between = graph.add("Relu", graph.add("Sub", looser, tighter))
    return graph.add("Concat", untagged, between, tightest, axis=-1), n_points + 1
