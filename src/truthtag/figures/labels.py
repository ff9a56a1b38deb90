"""What figures call samples, distributions and flavours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from truthtag.statistics.panels import OF_EVENTS

__all__ = [
    "FLAVOUR_NAMES",
    "MAX_SHOWN",
    "DistributionLabel",
    "DrawingContext",
    "distribution_title",
    "drawing_options",
    "pair_name",
    "split_by_flavour",
]

MAX_SHOWN = 5
"""Most efficiencies of a figure: more cannot be told apart."""

FLAVOUR_NAMES = {"light": "light", "b": r"$b$", "c": r"$c$"}
OBSERVABLES = {
    "delta_r": r"$\Delta R(j_1, j_2)$",
    "m_jj": r"$m_{j_1 j_2}$ [GeV]",
}
OF_ONE_JET = {
    "pt": r"$p_\mathrm{{T}}$ of jet {} [GeV]",
    "eta": r"$\eta$ of jet {}",
    "phi": r"$\phi$ of jet {}",
    "mass": r"mass of jet {} [GeV]",
}
"""Labels of observables such as ``pt_1``, the number counting jets from the hardest."""
GENERATORS = {"multijet": "multijet", "boson": "boosted boson"}
"""What the samples of the toy's generators are called, by the kind of the generator."""


@dataclass(frozen=True)
class DistributionLabel:
    """How a distribution is labelled.

    Args:
        title: What it shows, in words.
        axis: Label of its axis, with the unit.
        tagged: Which jets are tagged, in words.
        sample: What its sample is called; empty where it is like the training sample.
    """

    title: str
    axis: str
    tagged: str
    sample: str = ""

    def text(self, panel: str) -> str:
        """Return what is written into a panel of a closure figure.

        Example:
            >>> from truthtag.figures.labels import DistributionLabel
            >>> DistributionLabel("mass", "m [GeV]", "both tagged").text("light-light")
            'light + light jets, both tagged'
        """
        if panel != "all":
            first = f"{pair_name(panel)} jets, {self.tagged}"
        elif self.sample:
            first = f"{self.sample}, {self.tagged}"
        else:
            first = "leading jet tagged" if self.tagged == "leading tagged" else self.tagged
        return f"{first}\nnot in the training sample" if self.sample else first


@dataclass(frozen=True)
class DrawingContext:
    """What a drawing needs beside its numbers.

    Args:
        flavours: Names of the flavours, heaviest first.
        known: Names of all efficiencies.
        shown: Names of those that figures show.
        remark: Written before the text above each of the axes; empty where there is none.
        origin: What all numbers are from, written above the axes.
        trained_on: What the training sample is called.
        samples: What samples are called, by name, in the order of the config.
        distributions: Labels of distributions, by name.
    """

    flavours: Sequence[str]
    known: Sequence[str] = ()
    shown: Sequence[str] = ()
    remark: str = ""
    origin: str = "toy simulation"
    trained_on: str = "the training sample"
    samples: Mapping[str, str] = field(default_factory=dict)
    distributions: Mapping[str, DistributionLabel] = field(default_factory=dict)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> DrawingContext:
        """Build from what :func:`drawing_options` returns."""
        labels = {
            name: DistributionLabel(**label) for name, label in options["distributions"].items()
        }
        return cls(**{**options, "distributions": labels})

    def sample(self, name: str) -> str:
        """Return what a sample is called."""
        return self.samples.get(name, name)

    def distribution(self, name: str) -> DistributionLabel:
        """Return the labels of a distribution; its name serves where it has none."""
        return self.distributions.get(name) or DistributionLabel(name, name, "tagged")


def drawing_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what all drawings need of a config, as plain values that a rule can take.

    Args:
        config: The config, checked.

    Returns:
        What :meth:`DrawingContext.from_options` takes.
    """
    known = list(config["estimators"])
    titles = _sample_titles(config)
    trained_on = _title(config["roles"]["train"][0], config)
    labels: dict[str, dict[str, str]] = {}
    for name, options in config["distributions"].items():
        sample = options["sample"]
        like_training = _title(sample, config) == trained_on
        labels[name] = {
            "title": distribution_title(name, options),
            "axis": _axis_label(options),
            "tagged": _tagged_text(options),
            "sample": "" if like_training else titles[sample],
        }
    figures = config["figures"]
    return {
        "flavours": list(config["flavours"]),
        "known": known,
        "shown": list(figures.get("efficiencies") or known[:MAX_SHOWN]),
        "remark": figures.get("remark") or "",
        "origin": "toy simulation" if _all_toys(config) else "simulation",
        "trained_on": trained_on,
        "samples": titles,
        "distributions": labels,
    }


def distribution_title(name: str, options: Mapping[str, Any]) -> str:
    """Return what a distribution shows, in words; its name where the config has no title."""
    return str(options.get("title") or name)


def split_by_flavour(options: Mapping[str, Any]) -> bool:
    """Return whether a distribution has a panel for each combination of flavours."""
    return options.get("split") == "flavour"


def pair_name(panel: str) -> str:
    """Return the flavours of jets as a label: the panel ``b-c`` becomes b + c."""
    return " + ".join(FLAVOUR_NAMES.get(name, name) for name in panel.split("-"))


def _axis_label(options: Mapping[str, Any]) -> str:
    """Return the label of the axis of a distribution, with its unit."""
    observable = str(options["observable"])
    if observable in OBSERVABLES:
        return OBSERVABLES[observable]
    if observable not in OF_EVENTS and (match := re.fullmatch(r"(\w+)_(\d+)", observable)):
        column, number = match.groups()
        named = column.replace("_", " ") + " of jet {}"
        return OF_ONE_JET.get(column, named).format(number)
    return observable.partition(":")[2] or observable.replace("_", " ")


def _tagged_text(options: Mapping[str, Any]) -> str:
    """Say in words which of the leading jets must be tagged, and at which working point."""
    known = {(): "no tag asked for", (1,): "leading tagged", (1, 2): "both tagged"}
    places = tuple(options["tagged"])
    word = "jet" if len(places) == 1 else "jets"
    text = known.get(places, f"{word} {', '.join(str(place) for place in places)} tagged")
    if options.get("working_point"):
        text += f" at {options['working_point']}"
    if options.get("below"):
        text += f", not at {options['below']}"
    return text


def _sample_titles(config: Mapping[str, Any]) -> dict[str, str]:
    """Return what samples are called; judged ones that share a title, by their names, too."""
    titles = {name: _title(name, config) for name in config["samples"]}
    judged = [titles[name] for name in config["roles"]["judged"]]
    named = {}
    for name, title in titles.items():
        alike = name in config["roles"]["judged"] and judged.count(title) > 1
        named[name] = f"{title} ({name})" if alike and title != name else title
    return named


def _all_toys(config: Mapping[str, Any]) -> bool:
    """Return whether all judged samples come from the generators of the toy."""
    for sample in config["roles"]["judged"]:
        generator = config["samples"][sample].get("generator")
        if generator is None or config["generators"][generator]["kind"] not in GENERATORS:
            return False
    return True


def _title(sample: str, config: Mapping[str, Any]) -> str:
    """Return what a sample is called, from its generator where it is one of the toy's."""
    options = config["samples"][sample]
    generator = options.get("generator")
    if options.get("title"):
        return str(options["title"])
    if generator is None:
        return sample
    kind = config["generators"][generator]["kind"]
    return GENERATORS.get(kind, str(generator))
