"""Options of networks: sizes of the layers, training, seeds. Importing them needs no torch."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from truthtag.data.columns import SCHEMA
from truthtag.estimators.protocol import EstimatorOptions
from truthtag.options import Options, Real, Whole, all_different, as_tuple

__all__ = [
    "EDGE_FEATURES",
    "FEATURES",
    "FLAVOUR",
    "Architecture",
    "DistilOptions",
    "NetworkOptions",
    "TrainingOptions",
    "near_scale",
]

FEATURES = ("pt", "eta", "phi", "flavour")
"""What every feature row begins with; the columns of further inputs follow."""

FLAVOUR = FEATURES.index("flavour")
"""Where the flavour of a jet stands in its row."""

EDGE_FEATURES = ("delta_eta", "delta_phi", "delta_r")
"""What a network can see of each ordered pair of jets, neighbour minus jet, beside nearness."""

NEAR = re.compile(r"near_(\d+(?:\.\d+)?)")
"""Name of the nearness of two jets on the scale of an angular distance, as ``near_0.3``."""

HIDDEN = tuple(name for name in SCHEMA if name not in (*FEATURES, "mass"))
"""Columns of jets that no efficiency may see: tags, scores, weights, numbers of events."""


def near_scale(name: str) -> float | None:
    """Return the distance that a nearness is measured in; None for another edge feature.

    Example:
        >>> near_scale("near_0.3"), near_scale("delta_r")
        (0.3, None)
    """
    found = NEAR.fullmatch(name)
    return float(found[1]) if found else None


def _edge_feature(value: str) -> str:
    """Refuse what is no property of a pair of jets."""
    if value not in EDGE_FEATURES and not near_scale(value):
        msg = (
            f"{value!r} is not allowed; allowed are {', '.join(EDGE_FEATURES)}, and near_ with a "
            "distance above 0: near_0.3"
        )
        raise ValueError(msg)
    return value


EdgeFeature = Annotated[
    str,
    AfterValidator(_edge_feature),
    WithJsonSchema(
        {"type": "string", "pattern": f"^({'|'.join((*EDGE_FEATURES, NEAR.pattern))})$"}
    ),
]


def _input_name(value: str) -> str:
    """Refuse what cannot be the name of a column that a network may see."""
    if value in HIDDEN or value.startswith("efficiency_true"):
        msg = f"{value!r} is nothing that an efficiency may depend on; name properties of the jet"
        raise ValueError(msg)
    if not re.fullmatch(r"[A-Za-z]\w*", value):
        msg = (
            f"{value!r} is no name of a column: it must begin with a letter, and hold letters, "
            "digits and _"
        )
        raise ValueError(msg)
    return value


Feature = Annotated[str, AfterValidator(_input_name)]
Inputs = Annotated[
    tuple[Feature, ...],
    BeforeValidator(as_tuple),
    AfterValidator(all_different),
    Field(min_length=1),
]
LayerSize = Annotated[Whole, Field(ge=1)]


class Architecture(Options):
    """Sizes of the layers, and what they see.

    Example:
        >>> Architecture(width=64).head
        (256, 128, 50)
    """

    width: Annotated[Whole, Field(ge=4, multiple_of=4)]
    """Size of the jet representation between blocks; a multiple of 4."""

    blocks: Annotated[Whole, Field(ge=0)] = 4
    """Number of graph blocks; with 0 a jet does not see its neighbours."""

    head: Annotated[tuple[LayerSize, ...], BeforeValidator(as_tuple)] = (256, 128, 50)
    """Hidden layers of the jet efficiency network; of a jet's own efficiency where the kind is
    `factorised`."""

    kind: Literal["graph", "factorised"] = "graph"
    """`graph` has the blocks of Appendix B; `factorised` is a jet's own efficiency times a factor
    in (0, 1) for each neighbour."""

    inputs: Inputs = ("pt", "eta", "phi", "flavour")
    """What each jet shows of itself: `pt`, `eta`, `phi`, `flavour`, `mass`, or any further column
    of the samples. A column of categories, whose values are in the labels of the sample, becomes a
    column of 0 and 1 for each value; any other is a number. Further columns stay as they are where
    events are turned and mirrored (`training.rotate_phi`, `reflect_phi`, `reflect_eta`)."""

    flavour: Literal["number", "one_hot"] = "number"
    """How the flavour is shown, where it is an input: as its `number`, 5, 4 or 0, or `one_hot`, as
    a column of 0 and 1 for each flavour. As a number, b and c jets are alike to a smooth network;
    as columns, no two flavours are."""

    pair_inputs: Inputs | None = None
    """Which of the inputs the two jets of a pair show to the factors of `factorised`; all by
    default. With `flavour` alone, a factor is one function of the edge features for each two
    flavours, as in Eq. 2, and takes fewer events to learn."""

    edge_features: Annotated[
        tuple[EdgeFeature, ...], BeforeValidator(as_tuple), AfterValidator(all_different)
    ] = ()
    """What each pair of jets shows beside its two jets: `delta_eta`, `delta_phi`, `delta_r`, or
    nearness, `near_0.3` say, which is 2 / (1 + (delta_r / 0.3)²) - 1: from 1 where two jets
    coincide, through 0 at the distance 0.3, to -1 far away. Unlike delta_r it is smooth where two
    jets coincide. With edge features and without phi as an input, a rotation in phi changes
    nothing."""

    hidden: LayerSize | None = None
    """Size of the hidden layers of pair and node networks; by default that of Appendix B (of
    `factorised`, the width)."""

    @model_validator(mode="after")
    def _pairs_show_inputs(self) -> Self:
        """Refuse properties of pairs that jets do not show, or that no network would see."""
        if self.pair_inputs is None:
            return self
        if self.kind != "factorised":
            msg = (
                f"pair_inputs are for the kind 'factorised', this is {self.kind!r}; leave them out"
            )
            raise ValueError(msg)
        unknown = [name for name in self.pair_inputs if name not in self.inputs]
        if unknown:
            msg = f"{unknown[0]!r} of pair_inputs is not one of the inputs {', '.join(self.inputs)}"
            raise ValueError(msg)
        return self

    @property
    def scaled_inputs(self) -> tuple[str, ...]:
        """Inputs that are seen shifted and scaled: all but a flavour that is one-hot.

        Example:
            >>> Architecture(width=8, inputs=("pt", "flavour"), flavour="one_hot").scaled_inputs
            ('pt',)
        """
        if self.flavour == "number":
            return self.inputs
        return tuple(name for name in self.inputs if name != "flavour")


Share = Annotated[Real, Field(ge=0, lt=1)]


class TrainingOptions(Options):
    """How a network is trained.

    Example:
        >>> TrainingOptions(epochs=10, batch_events=500, learning_rate=0.003).schedule
        'one_cycle'
    """

    epochs: Annotated[Whole, Field(ge=1)]
    """Most passes through the training events."""

    batch_events: Annotated[Whole, Field(ge=1)]
    """Events per step."""

    micro_batch_events: Annotated[Whole, Field(ge=0)] = 0
    """Events that are worked on at once; the gradients of a large batch are added up from such
    micro-batches, which stay in a processor's cache. 0 takes the whole batch, as a GPU always
    does."""

    learning_rate: Annotated[Real, Field(gt=0)]
    """Learning rate of Adam; its peak where the schedule is `one_cycle`."""

    betas: Annotated[tuple[Share, Share], BeforeValidator(as_tuple)] = (0.9, 0.999)
    """How much of the mean gradient and of the mean squared gradient Adam keeps from step to step.
    Where the rate falls to nothing within a few thousand steps, a second number of 0.95 learns
    faster."""

    schedule: Literal["one_cycle", "constant"] = "one_cycle"
    """Course of the learning rate: a rise and a cosine fall to almost nothing, or none."""

    warm_up: Annotated[Real, Field(gt=0, lt=1)] = 0.1
    """Fraction of the steps in which `one_cycle` rises."""

    average: Annotated[Real, Field(ge=0)] = 0.0
    """Epochs over which the weights are averaged exponentially, for validation and for the result;
    0 takes them as they are."""

    patience: Annotated[Whole, Field(ge=0)] = 0
    """Stop after so many epochs without a better validation loss; 0 never stops early. The best
    epoch is kept in any case."""

    mu: Annotated[Real, Field(ge=1e-3, le=1e3)] = 1.0
    """Weight of non-tagged jets in Eq. 5, from 0.001 to 1000; the efficiency is corrected for it.
    Beyond these limits the scores are so close to 0 or 1 that the correction loses all
    precision. With several working points it is the weight of jets that pass none of them; that a
    jet passes the loosest point, but not a tighter one, has weight 1."""

    weights: Literal["ignore", "use", "absolute"] = "ignore"
    """What the weights of events do in training: nothing, or each event's loss is multiplied by its
    weight or the absolute value of that, divided by the mean over the sample. Whether a jet is
    tagged does not depend on the weight of its event, given all that tagging depends on: training
    without weights learns the same efficiency from far more effective events. Weights matter where
    the inputs lack something that both weight and tag depend on. Negative weights that are used as
    they are can make a loss that has no minimum; `absolute` cannot."""

    bootstrap: bool = False
    """Train each network on events drawn with replacement from the training sample: the standard
    deviation over networks then holds the statistics of the sample, not only the randomness of
    training."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the matrix products of training: `auto` takes bfloat16 where the processor has
    instructions for it. Weights, loss and predictions are in float32 in any case. Results of the
    two differ slightly: choose one where several kinds of machine share the work."""

    rotate_phi: bool = True
    """Turn every event by a random angle in each batch."""

    reflect_phi: bool = True
    """Mirror every event in phi at random in each batch."""

    reflect_eta: bool = True
    """Mirror every event in eta at random in each batch."""

    balance: bool = True
    """After training, shift the logits of every flavour (and working point) by one number, so that
    the network predicts as many tags as the events have that it learned from."""


class NetworkOptions(EstimatorOptions):
    """An ensemble of networks that see all jets of an event."""

    members: ClassVar[Literal["resamples", "seeds"]] = "seeds"
    # Without patience, too, the epoch of the lowest validation loss is kept.
    stops_early: ClassVar[bool] = True

    kind: str = "network"
    """Kind of estimator."""

    seeds: Annotated[Whole, Field(ge=1)]
    """Number of networks in the ensemble."""

    resamples: Annotated[Whole, Field(ge=0)] = 0
    """Different bootstrap samples that the networks learn from (`training.bootstrap`). Networks
    whose numbers are equal modulo this are partners: one sample, another start and order of
    training. What partners have in common is the statistics of the sample, what they have not is
    the randomness of training, which the mean averages away; `tables/scales.csv` says how much is
    which. 0 takes as many as networks (as those of one fold, where there are folds): their whole
    spread is the error then, which a bias that they share fills. All resamples together hold every
    event equally often, so that another number of them, or with 0 of networks, trains all networks
    anew; where it is stated, more networks train only those that are new."""

    seeds_per_job: Annotated[Whole, Field(ge=0)] = 0
    """Networks that are trained together by one job, as one batched model. 0 means all of them with
    `device: cuda`, and one otherwise."""

    threads: Annotated[Whole, Field(ge=1)] = 1
    """Threads of one training job. With 1, results do not depend on the number of cores; a job
    never takes more than there are, and sums over several threads differ in the last digits."""

    memory_limit: Annotated[Whole, Field(ge=0)] = 1000
    """Memory that the prepared events of a training job may take, of each sample [MB]. Those that
    need more are written to files beside the checkpoint while the job runs, and read from there:
    the order of the events and so the networks are the same."""

    architecture: Architecture
    """Sizes of the layers, and what they see."""

    training: TrainingOptions
    """How each network is trained. A network fails whose loss is not finite in some epoch, or whose
    validation loss is above that of a constant per flavour by more than three standard errors; with
    fewer than 200 steps of training the second is only warned of, unless its loss is also above
    twice that of a score of 1/2 for all. Networks that failed are left out of the ensemble, which
    says so by their seeds; where less than three quarters of it, or of a fold, are left, it is
    refused."""

    def distinct_resamples(self, folds: int = 1) -> int:
        """Return how many resamples the networks of one fold share.

        Args:
            folds: Number of folds that the networks are spread over.

        Returns:
            0 for a network that is alone and draws its events for itself.

        Example:
            >>> training = TrainingOptions(epochs=1, batch_events=9, learning_rate=0.1)
            >>> parts = {"architecture": Architecture(width=8), "training": training}
            >>> [NetworkOptions(seeds=n, **parts).distinct_resamples() for n in (1, 2, 5, 6, 7, 20)]
            [0, 2, 5, 6, 7, 20]
            >>> [NetworkOptions(seeds=n, **parts).distinct_resamples(5) for n in (5, 15, 20)]
            [0, 3, 4]
        """
        if self.resamples:
            return self.resamples
        of_fold = self.seeds // folds
        return of_fold if of_fold > 1 else 0


class DistilOptions(Options):
    """How one network is taught what an ensemble says.

    Example:
        >>> DistilOptions().architecture is None
        True
    """

    architecture: Architecture | None = None
    """Sizes of the network; by default those of the networks of the ensemble. It must be given
    where these are maps, say."""

    events: Annotated[Whole, Field(ge=1)] = 50_000
    """Most training events to teach with, and most validation events to measure on, taken evenly
    over the sample: the ensemble must be asked about each of them."""

    epochs: Annotated[Whole, Field(ge=1)] = 8
    """Passes through the training events and those that fill the domain."""

    batch_events: Annotated[Whole, Field(ge=1)] = 250
    """Events per step."""

    learning_rate: Annotated[Real, Field(gt=0)] = 0.003
    """Peak of the learning rate of Adam, which rises, and falls to almost nothing."""

    fill: Annotated[Real, Field(ge=0)] = 0.5
    """Events that fill the domain, as a share of the training events taken: 0.5 makes half as
    many."""

    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    """Of the matrix products of training: bfloat16 is faster for wide networks, where the processor
    has instructions for it, and comes less near."""

    threads: Annotated[Whole, Field(ge=1)] = 1
    """Threads; with 1, the result does not depend on the number of cores."""

    @property
    def training(self) -> TrainingOptions:
        """The same as options of training."""
        # What the ensemble says of an event need not be what it says of the event turned.
        return TrainingOptions(
            epochs=self.epochs,
            batch_events=self.batch_events,
            learning_rate=self.learning_rate,
            precision=self.precision,
            rotate_phi=False,
            reflect_phi=False,
            reflect_eta=False,
            # Targets without noise leave nothing to balance.
            balance=False,
        )
