"""The config as typed models: checked before anything starts, every fault named by its path."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from truthtag.axis import Axis, check_rising
from truthtag.data.labels import Labels
from truthtag.data.readers.options import FormulaText, Input, ReaderOptions, Take
from truthtag.errors import ConfigError
from truthtag.estimators.protocol import KINDS, EstimatorOptions
from truthtag.figures.labels import MAX_SHOWN
from truthtag.options import (
    Interval,
    Options,
    Range,
    Real,
    Whole,
    all_different,
    as_names,
    as_tuple,
)
from truthtag.registry import Chosen
from truthtag.statistics.panels import jets_needed
from truthtag.toy.generation import GENERATORS
from truthtag.toy.truth import TRUTHS
from truthtag.weights.scale_factors import ScaleFactorOptions
from truthtag.workflow.export_options import Exports
from truthtag.workflow.faults import find_faults
from truthtag.workflow.inconsistencies import inconsistencies
from truthtag.workflow.variations import variations_of, with_variations

__all__ = [
    "Axes",
    "Closure",
    "Config",
    "CurvePoint",
    "Distribution",
    "Domain",
    "FactorProbe",
    "Figures",
    "Group",
    "InRange",
    "LearningCurve",
    "Repeated",
    "RepeatedSeeds",
    "RequiredClosure",
    "Roles",
    "Sample",
    "Uncertainty",
    "Weights",
    "check_config",
    "first_events",
]

MAX_NAME = 64
"""Longest name, in letters: it becomes part of file names, which are limited."""
MAX_TEXT = 200
"""Longest text that is written into figures, and longest path of results."""
MAX_FOLDS = 100
"""Most folds of a training sample."""
RESERVED = ("true", "direct", "generated", "all")
"""Names that tables give to what is no estimator."""
COLUMNS = (
    *("sample", "events", "event", "flavour", "efficiency", "distribution", "panel", "figure"),
    "working_point",
)
"""Columns of tables, some of which have a column per estimator beside them."""
NO_TEXT = ("na", "nan", "null", "none", "nil", "inf", "infinity", "false")
"""Names that programs read from a CSV table as a missing value, a number or a truth value."""


def _check_name(name: str) -> str:
    """Refuse names that cannot be those of files, columns and entries of tables."""
    if len(name) > MAX_NAME:
        msg = (
            f"this name has {len(name)} letters, and it becomes that of files; use at most "
            f"{MAX_NAME}"
        )
        raise ValueError(msg)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        msg = (
            "this is not allowed as a name; it must begin with a letter, and hold only letters, "
            "digits and _"
        )
        raise ValueError(msg)
    if name.lower() in NO_TEXT:
        msg = (
            "this is not allowed as a name: programs that read a CSV table take it for a missing "
            "value, a number "
            f"or a truth value. Not allowed: {', '.join(NO_TEXT)}"
        )
        raise ValueError(msg)
    return name


def _check_estimator_name(name: str) -> str:
    """Refuse names of estimators that tables use for something else."""
    taken = (*RESERVED, *COLUMNS)
    if name.lower() in taken:
        msg = f"this name is taken. Not allowed: {', '.join(taken)}"
        raise ValueError(msg)
    return _check_name(name)


def _check_text(text: str) -> str:
    """Refuse text that Snakemake would take for wildcards, or that is no single line."""
    if "{" in text or "}" in text:
        msg = (
            f"{text!r} is not allowed; Snakemake takes what is in braces for a wildcard: leave "
            f"{{ and }} out"
        )
        raise ValueError(msg)
    if not text.isprintable():
        msg = f"{text!r} is not allowed; it must be one line without control characters"
        raise ValueError(msg)
    if len(text) > MAX_TEXT:
        msg = (
            f"{text[:20] + '...'!r} is not allowed; it has {len(text)} letters, and at most "
            f"{MAX_TEXT} are allowed"
        )
        raise ValueError(msg)
    return text


def _normal_path(text: str) -> str:
    """Write a path in one way: neither doubled slashes nor one at its end, which Snakemake warns
    of."""
    if not text.strip():
        msg = f"{text!r} is not allowed; it must name a folder"
        raise ValueError(msg)
    return posixpath.normpath(text)


def _some(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        msg = "[] is not allowed; name at least one, or leave the key out"
        raise ValueError(msg)
    return values


def _rising_thresholds(values: dict[str, float]) -> dict[str, float]:
    thresholds = list(values.values())
    if thresholds != sorted(set(thresholds)):
        msg = f"{values} is not allowed; the thresholds must rise, the loosest working point first"
        raise ValueError(msg)
    return values


def _rising_numbers(values: tuple[int, ...]) -> tuple[int, ...]:
    if list(values) != sorted(set(values)):
        msg = f"{list(values)} is not allowed; give each number once, in rising order"
        raise ValueError(msg)
    return values


Name = Annotated[str, AfterValidator(_check_name)]
EstimatorName = Annotated[str, AfterValidator(_check_estimator_name)]
Text = Annotated[str, AfterValidator(_check_text)]
Folder = Annotated[str, AfterValidator(_check_text), AfterValidator(_normal_path)]
Count = Annotated[Whole, Field(ge=1)]
Names = Annotated[
    tuple[str, ...],
    BeforeValidator(as_names, json_schema_input_type=str | list[str]),
    AfterValidator(all_different),
]
SomeNames = Annotated[Names, AfterValidator(_some)]


class Sample(Options):
    """A sample of events: generated, or read from files."""

    generator: str | None = None
    """Name of a generator, which makes the events."""

    events: Count | None = None
    """Number of events to generate. A longer sample begins with the shorter one."""

    reader: str | None = None
    """Name of a reader, which says what is in the files and what to select."""

    files: Names = ()
    """Files to read: paths from where snakemake is started, patterns such as `data/*.root`, or
    `root://` addresses. Each file becomes a shard, converted by a job of its own."""

    take: Take | None = None
    """Which of the events to take, by their number: so one set of files can train, validate and be
    judged. All by default."""

    group: str | None = None
    """Name of a group of `groups`: the physics process."""

    variations: dict[Name, dict[str, FormulaText]] = Field(default_factory=dict)
    """Variations of a sample that is read: by name, branches, or formulas of branches, in place of
    the reader's `columns`. `jes_up: {pt: Jet_pt_jesUp, mass: Jet_mass_jesUp}` of `ttbar` makes a
    sample `ttbar_jes_up` of the same events, whose jets are selected, sorted and weighted anew. It
    has no role; a distribution may name it."""


class Group(Options):
    """Samples of one physics process."""

    weight: Real = 1.0
    """Factor that the weights of its events are multiplied by: cross-section times luminosity over
    the sum of generated weights, say."""


class Roles(Options):
    """What samples are used for."""

    train: SomeNames = ("train",)
    """Samples that estimators learn from."""

    validation: SomeNames = ("validation",)
    """Samples that choose the best epoch of a network. With `folds`, the training samples
    themselves: each network chooses on a fold that it does not learn from."""

    judged: SomeNames = ("test", "boson")
    """Samples that closure is tested on, so that nothing may be learned from their tags, except
    with `folds`. Figures of one sample show the first."""

    folds: Annotated[Whole, Field(ge=1, le=MAX_FOLDS)] = 1
    """Cross-fitting: the training samples are cut into so many folds, and every event of them is
    weighted only by estimators that did not see its fold. The networks of an ensemble are spread
    over the folds; 1 is no cross-fitting."""

    fold_by: Literal["event", "hash"] = "event"
    """What the fold of an event is: the remainder of its number, `event % folds`; or that of a hash
    of its number, where the number itself is not random."""


class Domain(Options):
    """Which jets are like those of the training sample."""

    flagged: Annotated[Real, Field(gt=0, lt=1)] = 0.005
    """Share of the jets of the validation sample, of each flavour, that lie beyond the largest
    distance allowed."""

    neighbours: Count = 10
    """The distance of a jet is that to the training jet of this rank, counted from the nearest."""

    max_reference_jets: Count = 20000
    """Most training jets of each flavour that distances are measured to."""


class Uncertainty(Options):
    """How the spread of replicas becomes the error of an efficiency."""

    sample: str | None = None
    """Sample whose tags tell by how much the spread is too small or too large, the first of
    `roles.validation` by default; not a training sample, unless there are folds, and not one that
    closure is tested on."""

    regions: Count = 32
    """Regions per flavour in which tagged and predicted jets are compared."""

    prior_width: Annotated[Real, Field(gt=0)] = 0.3
    """How far the logarithm of the scale may be from 0 before the tags have spoken, as a standard
    deviation."""

    max_scale: Annotated[Real, Field(ge=1)] = 2.0
    """Largest scale. Where tags ask for more, the efficiency is wrong in a way that no replica
    knows
    of: closure says so, and no larger error hides it."""


class Weights(Options):
    """Event weights in `weights/`: probabilities of numbers of tags."""

    tags: Count = 3
    """Largest number of tags: columns `p_tag_0` to `p_tag_<tags>`, and `p_tag_ge_1` to
    `p_tag_ge_<tags>`."""

    leading: Count | None = None
    """Only this many jets of each event count, the hardest; all by default."""

    keep_tags_of: Names = ()
    """Hybrid tagging: flavours whose jets keep their tag, while the others are weighted."""

    scale_factors: ScaleFactorOptions | None = None
    """Scale factors of data over simulation: columns `p_tag_1_sf`, `p_tag_ge_2_sf_heavy_up` and so
    on, for each variation, and `weight_direct` for direct tagging. None by default."""


def _check_observable(name: str) -> str:
    """Refuse an observable that is neither known nor a place of a function."""
    try:
        jets_needed(name)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return name


Observable = Annotated[str, AfterValidator(_check_observable)]


class Distribution(Options):
    """A histogram that weighting must reproduce, of the events whose leading jets are tagged."""

    sample: str | None = None
    """Sample that fills it; the first of `roles.judged` by default."""

    observable: Observable
    """What is filled: `delta_r`, `m_jj`, `delta_eta` and `delta_phi` of the two leading jets;
    `n_jets` and `ht` of the event; `pt_1`, `eta_1`, `phi_1`, `mass_1`, `score_1` of the leading
    jet, `pt_2` of the second and so on, and the same of any further column of the sample,
    `n_tracks_1` say; or `module:function`, called with the jets and the positions of the leading
    ones."""

    tagged: Annotated[tuple[Count, ...], BeforeValidator(as_tuple), AfterValidator(_rising_numbers)]
    """Which of the leading jets must be tagged, 1 being the hardest."""

    working_point: str | None = None
    """Working point that tagged jets pass, where there are several; the loosest by default."""

    below: str | None = None
    """A tighter working point, which tagged jets must fail: they are those of the bin between the
    two. None by default."""

    selection: dict[Observable, Range] = Field(default_factory=dict)
    """Ranges of observables, both ends included, null for an open end: `{n_jets: [4, null]}`. Only
    events in all of them are filled; an event that lacks the jet of an observable is in none."""

    axis: Axis
    """Bin edges; masses and momenta in GeV."""

    split: Literal["none", "flavour"] = "none"
    """`flavour` makes a histogram for each pair of flavours of the two leading jets."""

    title: Text = ""
    """Title of its figure; its name by default."""


class RequiredClosure(Options):
    """Histograms that must close: rows of `tables/closure.csv`, by the columns named here."""

    sample: str | None = None
    """Sample; any by default."""

    distribution: str | None = None
    """Distribution; `cells` for single jets in cells, `global` for all tests together. An entry
    that names neither distribution nor panel is about `global`."""

    panel: str | None = None
    """Panel of the distribution: `all`, a pair of flavours such as `b-c`, or of `cells` a flavour;
    any by default."""

    events: Literal["all", "in_domain"] | None = None
    """All events, or those whose jets are in the domain; either by default."""

    efficiency: str | None = None
    """Name of an estimator, or `true`; any by default."""


class InRange(Options):
    """What counts as inside the range of the training sample, in `summary_in_range.csv`."""

    pt: Interval
    """Range of transverse momentum [GeV]."""


def _rising_borders(values: tuple[float, ...]) -> tuple[float, ...]:
    check_rising((0.0, *values))
    return values


Borders = Annotated[
    tuple[Annotated[Real, Field(gt=0)], ...],
    BeforeValidator(as_tuple),
    AfterValidator(_rising_borders),
]


class CellOptions(Options):
    """How single jets are cut into cells, of each flavour by the flavour of the nearest jet and by
    what is named here."""

    delta_r: Borders = (0.2, 0.4, 0.7, 1.0, 1.5)
    """Borders between bins of Delta R to the nearest jet; the first bin begins at 0, the last is
    open."""

    pt: Borders = (100.0, 200.0)
    """The same of transverse momentum [GeV]."""

    close: Real = 0.4
    """One of the borders of Delta R: the report says which bias of jets with a nearer neighbour
    would have been found."""


class Closure(Options):
    """How closure is tested."""

    minimum_events: Annotated[Real, Field(gt=0)] = 10.0
    """Bins are merged until each has at least this effective number of events."""

    p_value: Annotated[Real, Field(gt=0, lt=1)] = 0.01
    """Smallest p-value of a histogram that closes: against the scatter of the tags alone, or, to
    close within its uncertainty, with the error of the efficiency added. Of all tests of an
    efficiency on a sample together, too."""

    max_uncertainty: Annotated[Real, Field(gt=0)] = 0.05
    """Largest relative error of a yield, due to the efficiency, within which something may close:
    beyond it the verdict is `too uncertain`."""

    cells: CellOptions = CellOptions()
    """Cells in which single jets are compared."""

    required: Annotated[tuple[RequiredClosure, ...], BeforeValidator(as_tuple)] = ()
    """What must close, within the uncertainty of the efficiency at least: the workflow fails where
    something does not. `{efficiency: gnn, sample: test}` asks for all tests together
    (`tables/global.csv`); an entry with a distribution or a panel, for these histograms
    (`tables/closure.csv`)."""

    in_range: InRange
    """What counts as inside the range of the training sample, in `summary_in_range.csv`."""


class FactorProbe(Options):
    """The jet whose neighbours are looked at when a factorised network is read."""

    pt: Annotated[Real, Field(gt=0)]
    """Its transverse momentum, and its neighbour's [GeV]."""

    eta: Real
    """Its pseudorapidity, and its neighbour's."""

    flavour: str
    """Its flavour."""


class Axes(Options):
    """Bin edges of the figures' axes; masses and momenta in GeV."""

    residual: Axis
    """Relative residual in Figure 6."""

    delta_r: Axis
    """Delta R in Figures 2 and 3."""

    m_jj_wide: Axis
    """Mass of the two leading jets in Figure 1 [GeV]."""

    pt: Axis
    """Transverse momentum in Figure 2 [GeV]."""

    coverage_pt: Axis
    """Transverse momentum in the coverage figure [GeV]."""

    coverage_delta_r: Axis
    """Delta R to the nearest jet in the coverage figure."""

    pt_fine: Axis
    """Transverse momentum in Figure 3 [GeV]."""

    eta_fine: Axis
    """Pseudorapidity in Figure 3."""


class Figures(Options):
    """What the figures show."""

    remark: Text = ""
    """Written above every figure, to tell runs apart: `quick look`, say."""

    factor_probe: FactorProbe
    """The jet whose neighbours are looked at when a factorised network is read."""

    efficiencies: Annotated[SomeNames, Field(max_length=MAX_SHOWN)] | None = None
    """Efficiencies that figures of jets and events show, at most five; by default the first five.
    Tables hold all in any case."""

    calibration_bins: Count = 12
    """Bins of the calibration figure, each with as many jets of a flavour."""

    only: SomeNames | None = None
    """Figures to draw, if not all that a run draws unasked; then only these are made, and what they
    need. Some are drawn only where they are named here: `learning_curve`, `training_cost` and
    `repeated`."""

    extra: Names = ()
    """Figures of other packages, as `module:object`, beside those that installed packages
    announce."""

    weighting_flavours: Annotated[
        tuple[str, ...], BeforeValidator(as_tuple), Field(min_length=2, max_length=2)
    ]
    """Flavours of the two leading jets in Figure 1."""

    axes: Axes
    """Bin edges of the figures' axes; masses and momenta in GeV."""


class CurvePoint(Options):
    """A point of the learning curve."""

    events: Count
    """Events of the training sample that everything is fitted to, its first ones."""

    seeds: Count | None = None
    """Networks of each ensemble at this point, the first ones; all of them by default. Where events
    are many, fewer will do."""

    training: dict[str, Any] = Field(default_factory=dict)
    """Options that replace those of the section `training` of every network at this point."""


class LearningCurve(Options):
    """How the regret falls with the number of training events."""

    sample: str = "test"
    """Sample that the regret is measured on."""

    points: Annotated[tuple[CurvePoint, ...], BeforeValidator(as_tuple), AfterValidator(_some)]
    """Sizes of the training sample, rising."""


class RepeatedSeeds(Options):
    """Repeated training samples of what has a member for each seed, as networks have."""

    samples: Annotated[Whole, Field(ge=2)]
    """Number of training samples."""

    events: Count
    """Events of each of them."""


class Repeated(Options):
    """Independently repeated training samples."""

    samples: Annotated[Whole, Field(ge=2)]
    """Number of training samples."""

    events: Count
    """Events of each of them."""

    networks: RepeatedSeeds | None = None
    """Fewer training samples, or larger ones, for networks, which take long to train; by default
    theirs are the same as those of all other estimators."""

    samples_per_job: Count = 10
    """Training samples that one job takes, of estimators that are fitted in one go. A network has a
    job of its own."""


class Config(Options):
    """What the workflow generates, fits, trains and draws."""

    base: Literal["paper", "samples"] = "paper"
    """What the config lies on: `paper`, the default config, a toy; or `samples`, what serves for
    samples of your own, `config/samples.yaml`."""

    results: Folder
    """Folder that this config writes to, from where snakemake is started. Each config needs its
    own."""

    seed: Annotated[Whole, Field(ge=0)]
    """Number from which all random streams derive."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks are trained: `auto` takes a GPU where the machine shows one to torch, `cuda`
    insists on it."""

    flavours: Annotated[dict[Name, Annotated[Whole, Field(ge=-128, le=127)]], Field(min_length=1)]
    """Names and numbers of the hadron flavours, heaviest first; the order is that of tables and
    figures."""

    working_points: Annotated[dict[Name, Real], AfterValidator(_rising_thresholds)] = Field(
        default_factory=dict
    )
    """Working points of the tagger, the loosest first: a jet passes where its discriminant is above
    the threshold. The toy's discriminant is log(u) / log(efficiency), u uniform in (0, 1): above t
    with the probability efficiency ** t. Without any, the toy has one point, which its truth
    gives."""

    inputs: dict[Name, Input] = Field(default_factory=dict)
    """Further columns of the jets, by name: inputs of networks, axes of maps, observables."""

    generators: dict[Name, Annotated[Options, Chosen(GENERATORS)]] = Field(default_factory=dict)
    """What makes events of the toy, by name."""

    readers: dict[Name, ReaderOptions] = Field(default_factory=dict)
    """What files hold and what to select of it, by name."""

    groups: dict[Name, Group] = Field(default_factory=dict)
    """Physics processes, by name: samples of one are weighted alike."""

    samples: Annotated[dict[Name, Sample], Field(min_length=1)]
    """Samples, by name; `roles` says what they are for."""

    events_per_shard: Count = 50000
    """Events per Parquet file. The sample does not depend on it; the number of jobs does."""

    roles: Roles = Roles()
    """What samples are used for."""

    truth: Annotated[Options, Chosen(TRUTHS)] | None = None
    """The true efficiency of the toy: Eq. 2, or another form."""

    estimators: dict[EstimatorName, Annotated[EstimatorOptions, Chosen(KINDS)]]
    """What learns efficiencies, by name; the order is that of tables and figures."""

    domain: Domain = Domain()
    """Which jets are like those of the training sample: in the range of its variables, and not too
    far from its jets. `domain/` holds the answer for every jet."""

    uncertainty: Uncertainty = Uncertainty()
    """How the spread of replicas becomes the error of an efficiency."""

    weights: Weights = Weights()
    """Event weights in `weights/`: probabilities of numbers of tags."""

    exports: Exports = Exports()
    """What leaves the workflow for other frameworks, `exports/`: nothing that is not named here."""

    distributions: Annotated[dict[Name, Distribution], Field(min_length=1)]
    """Histograms that weighting must reproduce, by name: closure is tested in each of them."""

    closure: Closure
    """How closure is tested."""

    figures: Figures
    """What the figures show."""

    learning_curve: LearningCurve | None = None
    """How the regret falls with the number of training events: all estimators are fitted anew to
    the first events of the training sample, networks choosing their best epoch on the same share of
    the validation sample. Drawn where `figures.only` names `learning_curve`."""

    repeated: Repeated | None = None
    """Independently repeated training samples, cut out of the training sample, to each of which all
    estimators are fitted anew: what the replicas of one sample claim, seen directly. Their tables
    are made where `figures.only` names `repeated`."""

    @property
    def labels(self) -> Labels:
        """What flavours, working points and categories there are."""
        categories = {name: one.categories for name, one in self.inputs.items() if one.categories}
        flavours = tuple(sorted(self.flavours.values()))
        return Labels(flavours, tuple(self.working_points), categories)

    def is_read(self, sample: str) -> bool:
        """Return whether a sample is read from files, not generated."""
        return self.samples[sample].reader is not None

    def nominal_of(self, sample: str) -> str:
        """Return the sample that one is a variation of, or that one itself."""
        variation = variations_of(self.samples).get(sample)
        return variation.nominal if variation else sample

    def is_held_out(self, sample: str) -> bool:
        """Return whether estimators learned from events of a sample, in folds: then each event is
        weighted by what did not see it, as are variations of it."""
        return self.roles.folds > 1 and self.nominal_of(sample) in self.roles.train

    @property
    def weighted(self) -> list[str]:
        """Samples whose jets get efficiencies and whose events get weights.

        All but generated ones that are only learned from: nobody analyses these, and what saw their
        tags is no judge of them.
        """
        roles = self.roles
        of_distributions = [one.sample for one in self.distributions.values()]
        needed = {*roles.judged, *roles.validation, *of_distributions}
        found = []
        for sample in self.samples:
            only_teaches = sample in roles.train and not self.is_held_out(sample)
            if self.is_read(sample) or sample in needed or not only_teaches:
                found.append(sample)
        return found

    def reader_of(self, sample: str) -> ReaderOptions | None:
        """Return how a sample is read, columns of a variation in place; None if it is generated."""
        reader = self.samples[sample].reader
        if reader is None:
            return None
        options = self.readers[reader]
        variation = variations_of(self.samples).get(sample)
        if variation is None:
            return options
        return options.model_copy(update={"columns": {**options.columns, **variation.columns}})

    def estimator_at(self, name: str, point: int) -> EstimatorOptions:
        """Return the options of an estimator at a point of the learning curve.

        Args:
            name: Name of the estimator.
            point: Number of events of the point.

        Returns:
            The options, those of the section ``training`` replaced by what the point states.
        """
        options = self.estimators[name]
        points = self.learning_curve.points if self.learning_curve else ()
        for one in points:
            if one.events == point:
                return with_training(options, one.training)
        return options


def with_training(options: EstimatorOptions, changes: Mapping[str, Any]) -> EstimatorOptions:
    """Return options whose section ``training`` is changed; those without such a section stay.

    Raises:
        ValidationError: A change is not allowed.
    """
    training = getattr(options, "training", None)
    if not isinstance(training, Options) or not changes:
        return options
    changed = type(training).model_validate({**training.model_dump(), **changes})
    return options.model_copy(update={"training": changed})


def check_config(raw: Mapping[str, Any]) -> Config:
    """Check a config as it is read from YAML, and make typed options of it.

    Null removes an entry that an earlier config has, and gives a key its default.

    Args:
        raw: The config; it is not changed.

    Raises:
        ConfigError: One line for each fault: the path, the value, what is allowed.
    """
    config, found = find_faults(Config, raw, inconsistencies)
    if config is None:
        lines = "\n".join(f"  {fault}" for fault in found)
        msg = f"the config has {len(found)} fault(s); nothing was started:\n{lines}"
        raise ConfigError(msg)
    config = config.model_copy(update={"samples": with_variations(config.samples)})
    return _with_samples_named(config)


def _with_samples_named(config: Config) -> Config:
    """Name the samples that a config leaves to its roles."""
    first_judged = config.roles.judged[0]
    distributions = {}
    for name, one in config.distributions.items():
        distributions[name] = one.model_copy(update={"sample": one.sample or first_judged})
    sample = config.uncertainty.sample or config.roles.validation[0]
    uncertainty = config.uncertainty.model_copy(update={"sample": sample})
    return config.model_copy(update={"distributions": distributions, "uncertainty": uncertainty})


def first_events(config: Config, events: int) -> dict[str, int]:
    """Return how many of the first events of its samples a point of the learning curve takes.

    Args:
        config: The config, checked.
        events: Events of the training sample that everything is fitted to.

    Returns:
        These, and the same share of the validation sample, at least one, by the names of the
        samples: who has fewer events to train on has fewer to choose the best epoch, too.
    """
    train = config.samples[config.roles.train[0]].events or 1
    validation = config.samples[config.roles.validation[0]].events or 1
    share = max(1, round(events * validation / train))
    return {config.roles.train[0]: events, config.roles.validation[0]: share}
