"""Every figure that a run can make, in one place: what it shows, what it needs, who makes it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from truthtag.errors import ConfigError
from truthtag.figures.labels import distribution_title, split_by_flavour
from truthtag.registry import Registry, did_you_mean, load_object

__all__ = [
    "EXTRA_FIGURES",
    "FigureEntry",
    "figures_of",
    "has_truth",
    "options_of",
    "samples_of",
    "standard_figures",
]

EXTRA_FIGURES = Registry("a figure", {}, group="truthtag.figures")
"""Figures of other packages: entry points of this group, each a :class:`FigureEntry`."""

INPUTS = (
    "samples",
    "predictions",
    "replicas",
    "domains",
    "scales",
    "calibration",
    "coverage",
    "histories",
    "learning_curve",
    "repeated",
    "validation",
    "truth",
)
"""Inputs that a figure can ask for by name."""
INPUTS_OF_ONE = ("histograms", "cells", "members", "fit")
"""Inputs that are asked for with the name of what they belong to: ``histograms:delta_r``."""

ROLES = ("train", "validation", "judged")
"""What samples can be for."""


@dataclass(frozen=True)
class FigureEntry:
    """A figure: what it shows, what it is made from, and the two functions that make it.

    Args:
        name: Name of its files; letters, digits and underscores.
        title: A few words on what it shows, for the table of contents of the report.
        caption: What to see in it, for the report; reStructuredText.
        numbers: ``module:function`` that turns :class:`truthtag.figures.inputs.Inputs` into a
            table.
        drawing: ``module:function`` that turns this table and a
            :class:`truthtag.figures.labels.DrawingContext` into a matplotlib figure.
        inputs: What its numbers are made from. ``samples``, ``predictions``, ``replicas`` and
            ``domains`` are read for each of its samples; ``histograms:NAME`` is a distribution,
            ``cells:NAME`` are the single jets of a sample, ``members:NAME`` are
            the networks of an estimator, ``fit:NAME`` is what was fitted in one go; the others are
            single tables.
        samples: Samples that it needs, by role in the config (``judged`` means all of them,
            ``first_judged`` the first), or by name.
        options: Keys of the section ``figures`` that its numbers depend on; ``axes.pt`` is one of
            the axes.
        standard: Whether it is drawn without being asked for.
        section: Section of the config that it cannot do without; empty where there is none.
        columns: Columns that its table must have to be drawn.
        needs_truth: Whether it is about the true efficiency, and so left out where the samples that
            it shows do not have it.

    Raises:
        ConfigError: A name, an input or a function is not written as it must be.
    """

    name: str
    title: str
    caption: str
    numbers: str
    drawing: str
    inputs: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    standard: bool = True
    section: str = ""
    columns: tuple[str, ...] = ()
    needs_truth: bool = False

    def __post_init__(self) -> None:
        """Refuse an entry that could only fail later, in the middle of a run."""
        where = f"the figure {self.name!r}"
        if not re.fullmatch(r"\w+", self.name):
            msg = f"{where}: its name becomes a file name; use letters, digits and underscores"
            raise ConfigError(msg)
        for place in (self.numbers, self.drawing):
            if not re.fullmatch(r"[\w.]+:\w+", place):
                msg = f"{where}: {place!r} does not say where a function is; write module:function"
                raise ConfigError(msg)
        if not self.caption.strip():
            msg = f"{where} has no caption; say in a sentence what to see in it"
            raise ConfigError(msg)
        for name in self.inputs:
            kind, colon, of = name.partition(":")
            known = bool(of) and kind in INPUTS_OF_ONE if colon else kind in INPUTS
            if not known:
                allowed = [*INPUTS, *(f"{kind}:NAME" for kind in INPUTS_OF_ONE)]
                hint = did_you_mean(name, allowed)
                msg = f"{where}: {name!r} is not an input. Allowed: {', '.join(allowed)}{hint}"
                raise ConfigError(msg)

    def inputs_of(self, kind: str) -> tuple[str, ...]:
        """Return the names after ``histograms:``, ``cells:``, ``members:`` or ``fit:``.

        Example:
            >>> from truthtag.figures.catalogue import FigureEntry
            >>> places = {"numbers": "module:numbers", "drawing": "module:draw"}
            >>> inputs = ("samples", "histograms:m_jj")
            >>> entry = FigureEntry("mass", "mass", "The mass.", **places, inputs=inputs)
            >>> entry.inputs_of("histograms")
            ('m_jj',)
        """
        split = [name.partition(":") for name in self.inputs]
        return tuple(of for one, _, of in split if one == kind and of)

    @property
    def numbers_module(self) -> str:
        """Name of the module that computes the numbers; its code is part of the step's digest."""
        return self.numbers.partition(":")[0]

    @property
    def drawing_module(self) -> str:
        """Name of the module that draws."""
        return self.drawing.partition(":")[0]

    def load_numbers(self) -> Callable[..., Any]:
        """Import the function that computes the numbers.

        Raises:
            ConfigError: It cannot be imported.
        """
        function: Callable[..., Any] = load_object(self.numbers, f"numbers of figure {self.name}")
        return function

    def load_drawing(self) -> Callable[..., Any]:
        """Import the function that draws.

        Raises:
            ConfigError: It cannot be imported.
        """
        function: Callable[..., Any] = load_object(self.drawing, f"drawing of figure {self.name}")
        return function


def figures_of(config: Mapping[str, Any]) -> dict[str, FigureEntry]:
    """Return all figures that can be made from a config, by name, in the order of the report.

    Args:
        config: The config, checked.

    Returns:
        The entries; their samples are names of samples, no longer roles. What needs the truth is
        left out where its samples have none.

    Raises:
        ConfigError: A figure from outside cannot be loaded, is no entry, has a name that is taken,
            or asks for what is not there.
    """
    entries: dict[str, FigureEntry] = {}
    for entry in _own_figures(config):
        named = replace(entry, samples=_named(entry, config))
        if not entry.needs_truth or _truth_is_known(named, config):
            entries[entry.name] = named
    for path, place in _outside(config):
        entry = load_object(place, path)
        if not isinstance(entry, FigureEntry):
            kind = type(entry).__name__
            msg = f"{path}: {place!r} is of type {kind}; it must be a truthtag.figures FigureEntry"
            raise ConfigError(msg)
        if entry.name in entries:
            msg = f"{path}: there is a figure {entry.name!r} already; give it another name"
            raise ConfigError(msg)
        _check_inputs(entry, config, path)
        named = replace(entry, samples=_named(entry, config, path))
        if not entry.needs_truth or _truth_is_known(named, config):
            entries[entry.name] = named
    return entries


def standard_figures(config: Mapping[str, Any]) -> list[str]:
    """Return the names of the figures that a run draws without being asked."""
    return [name for name, entry in figures_of(config).items() if entry.standard]


def samples_of(entry: FigureEntry, config: Mapping[str, Any]) -> list[str]:
    """Return the samples that a figure touches, also through the histograms that it shows."""
    names = list(entry.samples)
    names += [config["distributions"][of]["sample"] for of in entry.inputs_of("histograms")]
    names += entry.inputs_of("cells")
    return list(dict.fromkeys(names))


def has_truth(sample: str, config: Mapping[str, Any]) -> bool:
    """Return whether the true efficiencies of a sample are known.

    Those of generated samples are; those of a sample that is read where its reader names them.
    """
    if _is_generated(sample, config):
        return True
    options = config["samples"].get(sample) or {}
    reader = (config.get("readers") or {}).get(options.get("reader")) or {}
    return any(name.startswith("efficiency_true") for name in reader.get("columns") or ())


def _is_generated(sample: str, config: Mapping[str, Any]) -> bool:
    """Return whether a sample comes from a generator."""
    return bool((config["samples"].get(sample) or {}).get("generator"))


def _truth_is_known(entry: FigureEntry, config: Mapping[str, Any]) -> bool:
    """Return whether all samples have true efficiencies that a figure needs them of."""
    roles = config["roles"]
    samples = samples_of(entry, config)
    if "truth" in entry.inputs:
        # The form of the truth says something only of samples that were generated with it.
        generated = any(_is_generated(sample, config) for sample in config["samples"])
        if not (config.get("truth") and generated):
            return False
    if {"calibration", "coverage", "repeated"} & set(entry.inputs):
        samples.append(roles["judged"][0])
    if "learning_curve" in entry.inputs:
        curve = config.get("learning_curve") or {}
        samples.append(curve.get("sample") or roles["judged"][0])
    if "validation" in entry.inputs:
        samples += roles["validation"]
    if entry.inputs_of("members"):
        samples += roles["train"]
    return all(has_truth(sample, config) for sample in samples)


def options_of(entry: FigureEntry, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of the section ``figures`` that the numbers of a figure depend on.

    A rule that takes only this as a parameter runs again only where it must.
    """
    figures = config["figures"]
    options: dict[str, Any] = {}
    for key in entry.options:
        section, dot, name = key.partition(".")
        if dot:
            options.setdefault(section, {})[name] = figures[section][name]
        else:
            options[key] = figures[key]
    return options


def _named(entry: FigureEntry, config: Mapping[str, Any], path: str = "figures") -> tuple[str, ...]:
    """Return the samples of a figure by name, from their roles."""
    roles = config["roles"]
    names: list[str] = []
    for role in entry.samples:
        if role == "first_judged":
            names += roles["judged"][:1]
        elif role in ROLES:
            names += roles[role]
        elif role in config["samples"]:
            names.append(role)
        else:
            allowed = ["first_judged", *ROLES, *config["samples"]]
            msg = (
                f"{path}: the figure {entry.name!r} needs the sample {role!r}, which is neither a "
                f"role nor a sample. Allowed: {', '.join(allowed)}{did_you_mean(role, allowed)}"
            )
            raise ConfigError(msg)
    return tuple(dict.fromkeys(names))


def _check_inputs(entry: FigureEntry, config: Mapping[str, Any], path: str) -> None:
    """Refuse a figure that asks for a distribution or an estimator that is not there."""
    sections = {
        "histograms": "distributions",
        "members": "estimators",
        "fit": "estimators",
        "cells": "samples",
    }
    for kind, section in sections.items():
        for name in entry.inputs_of(kind):
            if name not in config[section]:
                hint = did_you_mean(name, config[section])
                allowed = ", ".join(config[section]) or "none"
                msg = (
                    f"{path}: the figure {entry.name!r} needs {kind}:{name}, and {section} has no "
                    f"{name!r}. Allowed: {allowed}{hint}"
                )
                raise ConfigError(msg)


def _outside(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Go through the figures of other packages: where each was named, and where it is."""
    for name, place in EXTRA_FIGURES.places().items():
        yield f"entry point {name} of {EXTRA_FIGURES.group}", place
    for number, name in enumerate(config["figures"].get("extra") or ()):
        path = f"figures.extra.{number}"
        yield path, EXTRA_FIGURES.place(name, path)


def _own_figures(config: Mapping[str, Any]) -> Iterator[FigureEntry]:
    """Go through the figures of this package."""
    declared = list(config["distributions"])
    in_paper = _paper_distributions(config)
    yield _weighting()
    yield _universality(config)
    yield _true_efficiency()
    if in_paper["fig6"]:
        yield _jets_closure(in_paper["fig6"], config)
    if in_paper["fig7"]:
        yield _events_closure(in_paper["fig7"])
    if in_paper["fig8"]:
        yield _boson_closure(in_paper["fig8"])
    elsewhere = [name for names in in_paper.values() for name in names]
    for name in declared:
        if name not in elsewhere:
            options = config["distributions"][name]
            yield _closure_of(name, options, has_truth(options["sample"], config))
    for sample in config["roles"]["judged"]:
        yield _cells(sample)
    yield _calibration()
    yield _coverage()
    networks = _networks(config)
    for name in networks:
        if config["estimators"][name]["architecture"]["kind"] == "factorised":
            yield _learned_factors(name)
    for name, one in config["estimators"].items():
        if one["kind"] == "additive":
            yield _additive_curves(name, config)
    if networks:
        yield _training()
    yield _learning_curve()
    if networks:
        yield _training_cost()
    yield _repeated()


def _paper_distributions(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return which of the declared distributions the figures of the paper show.

    What these say is true of the toy; distributions of other samples have a figure of their own.
    """
    shown = {"fig6": ["delta_r"], "fig7": ["m_jj"], "fig8": ["boson_delta_r", "boson_m_jj"]}
    of_toy = [
        name
        for name, options in config["distributions"].items()
        if _is_generated(options["sample"], config)
    ]
    return {figure: [name for name in names if name in of_toy] for figure, names in shown.items()}


def _networks(config: Mapping[str, Any]) -> list[str]:
    """Return the estimators that are ensembles of networks, which have training histories."""
    return [name for name, one in config["estimators"].items() if one["kind"] == "network"]


NUMBERS = "truthtag.figures.numbers"
PLOTS = "truthtag.figures.plots"
HISTOGRAM = ("filled_by", "low", "high", "yield", "error")
CLOSURE = ("distribution", "panel", "events", *HISTOGRAM, "ratio", "ratio_error")


def _weighting() -> FigureEntry:
    return FigureEntry(
        name="fig1",
        title="what weighting buys",
        caption=(
            "What weighting buys (the paper's Figure 1), for one pair of flavours that is rarely "
            "tagged. Left: only events that pass the tagger are kept. Right: every event is kept, "
            "and its weight is the probability that it passes. See the lower pads: the relative "
            "statistical error of each bin is several times smaller with weights."
        ),
        numbers=f"{NUMBERS}.toy:weighting",
        drawing=f"{PLOTS}.toy:draw_weighting",
        inputs=("samples", "predictions", "replicas", "scales"),
        samples=("first_judged",),
        options=("weighting_flavours", "axes.m_jj_wide"),
        columns=("panel", *HISTOGRAM),
    )


def _universality(config: Mapping[str, Any]) -> FigureEntry:
    # What the paper says of this figure is true of the toy.
    caption = (
        "Jets of the first flavour in the samples that are judged. Left: the distance to the "
        "nearest jet. Middle: how many are tagged, by pT. Right: tagged over predicted jets on the "
        "last sample. Where samples differ on the left, an efficiency that does not know the "
        "neighbours cannot be right in all of them."
    )
    if all(_is_generated(sample, config) for sample in config["roles"]["judged"]):
        caption = (
            "Universality (the paper's Figure 2), for jets of the first flavour. Left: the samples "
            "differ in the distance to the nearest jet. Middle: so their efficiencies differ at "
            "the same pT, though the tagger is the same. Right: tagged over predicted jets on a "
            "sample unlike the training sample. A map fitted to the training sample is wrong "
            "there; an efficiency that knows the neighbours is right."
        )
    return FigureEntry(
        name="fig2",
        title="universality",
        caption=caption,
        numbers=f"{NUMBERS}.toy:universality",
        drawing=f"{PLOTS}.toy:draw_universality",
        inputs=("samples", "predictions"),
        samples=("judged",),
        options=("axes.delta_r", "axes.pt"),
        columns=("sample", "panel", "filled_by", "low", "high", "value", "error"),
    )


def _true_efficiency() -> FigureEntry:
    return FigureEntry(
        name="fig3",
        title="the true efficiency",
        caption=(
            "The true efficiency of the toy (Eq. 2, the paper's Figure 3). Above: the efficiency "
            "of a jet without neighbours. Below: the factor by which a neighbour lowers it, by "
            "the flavour of the neighbour."
        ),
        numbers=f"{NUMBERS}.toy:true_efficiency",
        drawing=f"{PLOTS}.toy:draw_true_efficiency",
        inputs=("truth",),
        options=("factor_probe", "axes.pt_fine", "axes.eta_fine", "axes.delta_r"),
        columns=("panel", "flavour", "pt", "eta", "efficiency", "delta_r", "factor"),
        needs_truth=True,
    )


def _jets_closure(distributions: Sequence[str], config: Mapping[str, Any]) -> FigureEntry:
    sample = config["distributions"][distributions[0]]["sample"]
    return FigureEntry(
        name="fig6",
        title="single jets: residuals, Delta R",
        caption=(
            "Single jets (the paper's Figure 6). Above: the relative residual of each jet, with "
            "mean and RMS. Below: Delta R of the two leading jets where the leading one is tagged. "
            "See the ratio pad: a map bends away from 1 at small Delta R, an efficiency that knows "
            "the neighbours does not. The grey band is the scatter that direct tagging must have "
            "about the truth. Coloured bands are the statistical error of each efficiency."
        ),
        numbers=f"{NUMBERS}.closure:residuals_and_histograms",
        drawing=f"{PLOTS}.closure:draw_jets_closure",
        inputs=("samples", "predictions", *_histograms(distributions)),
        samples=(sample,),
        options=("axes.residual",),
        columns=(*CLOSURE, "mean", "rms"),
        needs_truth=True,
    )


def _events_closure(distributions: Sequence[str]) -> FigureEntry:
    return FigureEntry(
        name="fig7",
        title="pairs of jets: mass by flavour",
        caption=(
            "Pairs of jets (the paper's Figure 7): mass of the two leading jets, both tagged, by "
            "their flavours. See the ratio pads at small mass, where the two jets are close: the "
            "map is too high, an efficiency that knows the neighbours stays at 1."
        ),
        numbers=f"{NUMBERS}.closure:weighted_histograms",
        drawing=f"{PLOTS}.closure:draw_events_closure",
        inputs=_histograms(distributions),
        columns=CLOSURE,
    )


def _boson_closure(distributions: Sequence[str]) -> FigureEntry:
    return FigureEntry(
        name="fig8",
        title="boosted boson: Delta R, mass by flavour",
        caption=(
            "A sample that nothing was trained on (the paper's Figure 8): a boosted boson that "
            "decays to two jets. Delta R and mass of the two jets, both tagged, by their flavour. "
            "The map does not see the neighbour and is far off; an efficiency that knows it "
            "follows the truth."
        ),
        numbers=f"{NUMBERS}.closure:weighted_histograms",
        drawing=f"{PLOTS}.closure:draw_boson_closure",
        inputs=_histograms(distributions),
        columns=CLOSURE,
    )


def _closure_of(name: str, options: Mapping[str, Any], with_truth: bool) -> FigureEntry:
    title = distribution_title(name, options)
    panels = " A panel for each pair of flavours." if split_by_flavour(options) else ""
    ratios = "Below: the ratios to direct tagging. "
    if with_truth:
        ratios = (
            "Below: the ratios to the true efficiency. A grey band is the scatter that direct "
            "tagging must have about the truth. "
        )
    return FigureEntry(
        name=f"closure_{name}",
        title=title,
        caption=(
            f"Does weighting reproduce the tags? {title}, sample {options['sample']}.{panels} "
            f"Points are direct tagging, lines are sums of weights. {ratios}"
            "Coloured bands are the statistical error of each efficiency."
        ),
        numbers=f"{NUMBERS}.closure:weighted_histograms",
        drawing=f"{PLOTS}.closure:draw_closure",
        inputs=_histograms([name]),
        columns=CLOSURE,
    )


def _histograms(distributions: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the inputs that hold the histograms of distributions."""
    return tuple(f"histograms:{name}" for name in distributions)


def _cells(sample: str) -> FigureEntry:
    return FigureEntry(
        name=f"cells_{sample}",
        title=f"single jets by their neighbours, {sample}",
        caption=(
            f"Single jets of the sample {sample}: tagged over predicted, by flavour (rows), "
            "flavour of the nearest jet (columns) and Delta R to it. Bars are the scatter of the "
            "tags; shaded boxes add the error of the efficiency. An efficiency that does not "
            "resolve what the neighbour is lies above 1 next to one flavour and below it next to "
            "another, which cancels in histograms of events."
        ),
        numbers=f"{NUMBERS}.cells:cells",
        drawing=f"{PLOTS}.cells:draw_cells",
        inputs=(f"cells:{sample}",),
        columns=(
            *("efficiency", "flavour", "neighbour", "delta_r_low", "delta_r_high"),
            *("tagged", "predicted", "error", "efficiency_error"),
        ),
    )


def _calibration() -> FigureEntry:
    return FigureEntry(
        name="calibration",
        title="tagged against predicted",
        caption=(
            "Are jets tagged as often as predicted? Jets in bins of their predicted efficiency; "
            "each bin has the same number of jets of the flavour. Bars are Clopper-Pearson "
            "intervals of the tagged fraction. An efficiency can be calibrated and still be wrong "
            "in a distribution that it does not know: see the closure figures."
        ),
        numbers=f"{NUMBERS}.calibration:calibration",
        drawing=f"{PLOTS}.calibration:draw_calibration",
        inputs=("calibration",),
        columns=(
            *("efficiency", "flavour", "predicted"),
            *("tagged_fraction", "tagged_low", "tagged_high"),
        ),
    )


def _coverage() -> FigureEntry:
    return FigureEntry(
        name="coverage",
        title="truth within the errors",
        caption=(
            "Are the errors right? How often the true efficiency of a jet in the domain lies "
            "within one standard deviation of the predicted one: the spread of the replicas, "
            "scaled to what the tags say. The grey line is the Gaussian fraction, 68.3%; the band "
            "is 5 points wide on either side. `tables/coverage.csv` has two standard deviations, "
            "and the spread as it is. This is one draw: all jets share the errors that one "
            "training sample made, and another sample gives points several percent higher or "
            "lower. Whether errors are right on average only repeated training samples say: "
            "`config/studies/repeated.yaml`."
        ),
        numbers=f"{NUMBERS}.coverage:coverage",
        drawing=f"{PLOTS}.coverage:draw_coverage",
        inputs=("coverage",),
        columns=(
            *("efficiency", "flavour", "variable", "low", "high"),
            *("count", "within_1", "within_2", "spread"),
        ),
        needs_truth=True,
    )


def _learned_factors(estimator: str) -> FigureEntry:
    return FigureEntry(
        name=f"fig3_{estimator}",
        title=f"what {estimator} learned of Eq. 2",
        caption=(
            f"What the factorised network {estimator} has learned from tags alone, beside the "
            "truth (dotted): the efficiency of a jet without neighbours, and the factor by which "
            "a neighbour lowers that of another jet. Bands show the spread of the networks."
        ),
        numbers=f"{NUMBERS}.learned_factors:learned_factors",
        drawing=f"{PLOTS}.learned_factors:draw_factors",
        inputs=("truth", f"members:{estimator}"),
        options=("factor_probe", "axes.pt_fine", "axes.delta_r"),
        columns=("panel", "flavour", "x", "mean", "std", "true", "eta"),
        needs_truth=True,
    )


def _additive_curves(estimator: str, config: Mapping[str, Any]) -> FigureEntry:
    generated = any(_is_generated(sample, config) for sample in config["samples"])
    with_truth = bool(config.get("truth")) and generated
    truth = " The truth is dotted." if with_truth else ""
    return FigureEntry(
        name=f"curves_{estimator}",
        title=f"what {estimator} learned",
        caption=(
            f"What the additive model {estimator} has learned from tags alone. Above: the "
            "efficiency of a jet without neighbours, by pT and by eta. Below: the factor by which "
            "a neighbour changes that of a jet, a panel for each flavour of the jet, a line for "
            "each of the neighbour. Bands are one standard deviation, by the covariance of the "
            f"fit.{truth} A factor is drawn towards what its neighbour does to all jets, as far as "
            "the tags do not contradict."
        ),
        numbers=f"{NUMBERS}.additive_curves:additive_curves",
        drawing=f"{PLOTS}.additive_curves:draw_curves",
        inputs=(*(("truth",) if with_truth else ()), f"fit:{estimator}"),
        options=("factor_probe", "axes.pt_fine", "axes.eta_fine", "axes.delta_r"),
        columns=(
            *("panel", "flavour", "neighbour", "x", "value", "low", "high", "true"),
            *("pt", "eta"),
        ),
    )


def _training() -> FigureEntry:
    return FigureEntry(
        name="training",
        title="losses by epoch",
        caption=(
            "How the networks learned: the loss of Eq. 5 after each epoch, on training events "
            "while the weights changed, and on validation events. Lines are means over the seeds; "
            "bands reach from the lowest to the highest. Each network keeps the epoch of its "
            "lowest validation loss. The two samples differ by chance, so even a perfect "
            "efficiency has two different losses. The sign of overfitting is a validation loss "
            "that rises while the training loss falls."
        ),
        numbers=f"{NUMBERS}.training:training",
        drawing=f"{PLOTS}.training:draw_training",
        inputs=("histories",),
        columns=("network", "epoch", "train_loss", "validation_loss"),
    )


def _learning_curve() -> FigureEntry:
    return FigureEntry(
        name="learning_curve",
        title="regret by training events",
        caption=(
            "What more training events buy: the regret, the excess log-loss over the true "
            "efficiency, of everything that was fitted to the first events of the same sample. "
            "Binned maps level off where their form is wrong. The regret of an efficiency that "
            "can take the form of the truth keeps falling. The fine dashed line is what a fit of "
            "p parameters of the right form to N jets is expected to lose, p / (2 N)."
        ),
        numbers=f"{NUMBERS}.studies:learning_curve",
        drawing=f"{PLOTS}.studies:draw_learning_curve",
        inputs=("learning_curve",),
        standard=False,
        section="learning_curve",
        columns=("efficiency", "flavour", "events", "regret", "seeds", "floor"),
        needs_truth=True,
    )


def _training_cost() -> FigureEntry:
    return FigureEntry(
        name="training_cost",
        title="losses by training time",
        caption=(
            "What more training time buys: the validation loss above that of the true efficiency "
            "on the same events, after each epoch, means over the seeds. Markers show where "
            "training ends; their bars are the standard deviation over the seeds. The validation "
            "sample is finite: a loss can fall below that of the truth, and its line then leaves "
            "the picture. Time is that of training steps alone."
        ),
        numbers=f"{NUMBERS}.studies:training_cost",
        drawing=f"{PLOTS}.studies:draw_training_cost",
        inputs=("histories", "validation"),
        standard=False,
        columns=("network", "seeds", "seconds", "excess", "excess_std"),
        needs_truth=True,
    )


def _repeated() -> FigureEntry:
    return FigureEntry(
        name="repeated",
        title="errors of replicas and of repeated samples",
        caption=(
            "Are covariances right? Line: the error of each bin that the replicas of one training "
            "sample give; its band is the scatter from sample to sample. Points: how much the bin "
            "really varies when the training sample is generated anew."
        ),
        numbers=f"{NUMBERS}.studies:repeated",
        drawing=f"{PLOTS}.studies:draw_repeated",
        inputs=("repeated",),
        standard=False,
        section="repeated",
        columns=(
            *("efficiency", "distribution", "panel", "low", "high", "yield"),
            *("replicas", "replicas_std", "repeated", "repeated_error"),
        ),
        needs_truth=True,
    )
