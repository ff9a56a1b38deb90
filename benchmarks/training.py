"""Training: our networks against the textbook's, and against the arithmetic limit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from multiprocessing import get_context
from typing import Any, TypeVar, cast

import torch
from torch import nn

from benchmarks.reference import ConcatenatedNetwork
from benchmarks.timing import Row, Toy, alternate, median_seconds, multiply_rate, seconds
from truthtag.arrays import IntArray
from truthtag.data.jets import Jets
from truthtag.estimators.network.allocation import keep_freed_memory
from truthtag.estimators.network.augmentation import transform
from truthtag.estimators.network.batches import Batch, TrainingEvents
from truthtag.estimators.network.bodies import GNBlock, GraphBody
from truthtag.estimators.network.device import uses_bfloat16
from truthtag.estimators.network.loss import batch_loss
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.network.optimiser import Adam
from truthtag.estimators.network.options import Architecture, NetworkOptions
from truthtag.estimators.network.trainer import Training, train
from truthtag.options import Options

BATCH_EVENTS = 500
LEARNING_RATE = 1e-3
BETAS = (0.9, 0.999)

Section = TypeVar("Section", bound=Options)


def training_rows(toy: Toy, sample: Jets) -> list[Row]:
    """Measure throughput by jets, width, precision and threads, then the shares of a step."""
    types = [torch.float32] + [torch.bfloat16] * uses_bfloat16("auto")
    mixtures = {f"{n} jets": sample.take(sample.multiplicity == n) for n in range(2, 7)} | {
        "mixture": sample
    }
    rows = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        rates = {dtype: multiply_rate(dtype) for dtype in types}
        for width in (64, 256):
            for name, jets in mixtures.items():
                if name == "mixture" or (threads == 1 and width == 64):
                    rows += throughput(
                        f"{width} wide, {name}, {threads} thread(s)", width, jets, rates
                    )
    torch.set_num_threads(1)
    for name, options in toy.networks.items():
        rows += step_parts(name, options, sample)
    return rows


def memory_rows(toy: Toy, sample: Jets) -> list[Row]:
    """Measure what it brings that training keeps the memory it frees; it is kept from then on."""
    torch.set_num_threads(1)
    names = ("gnn", "gnn_factorised")
    epochs = [epoch_of(toy, sample, name) for name in names]
    given_back = alternate(epochs, 3)
    keep_freed_memory()
    kept = alternate(epochs, 3)
    rows = []
    for name, before, after in zip(names, given_back, kept, strict=True):
        what = f"an epoch of {name}, freed memory"
        rows.append(Row(f"{what} given back", sample.n_events / before, "events/s"))
        rows.append(Row(f"{what} kept", sample.n_events / after, "events/s", before / after))
    return rows


def throughput(what: str, width: int, jets: Jets, rates: dict[torch.dtype, float]) -> list[Row]:
    """Measure steps of our network in each precision, in turn with the textbook's."""
    events = TrainingEvents(jets)
    architecture = Architecture(width=width)
    torch.manual_seed(0)
    ours = EfficiencyNetwork(architecture, events.flavours)
    ours.standardise.fit(events.rows)
    ways = {(dtype, 1): f"{dtype}".removeprefix("torch.") for dtype in rates}
    if width > 64:
        # What does not stay in cache: the gradients of a batch from two parts of it.
        ways[torch.float32, 2] = "float32, in two parts"
    plain = step_of(ConcatenatedNetwork(ours), events, torch.float32)
    times = alternate([plain, *(step_of(ours, events, *way) for way in ways)])
    rows = []
    for ((dtype, parts), name), time in zip(ways.items(), times[1:], strict=True):
        size = sum(
            m for batch, _ in some_batch(events, BATCH_EVENTS, parts) for m, _ in batch.shape
        )
        limit = rates[dtype] / flops_per_event(architecture, jets.multiplicity)
        rows.append(
            Row(
                f"training, {what}, {name}",
                size / time,
                "events/s",
                times[0] / time,
                size / time / limit,
            )
        )
    return rows


def step_of(
    network: nn.Module, events: TrainingEvents, dtype: torch.dtype, parts: int = 1
) -> Callable[[], object]:
    """Return a training step on one batch: forward, backward, optimiser."""
    optimiser = Adam(network.parameters(), BETAS)
    pieces = some_batch(events, BATCH_EVENTS, parts)

    def step() -> None:
        for batch, tags in pieces:
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
                logits = network(batch).float()
            loss = batch_loss(logits, tags, batch.shape, 1.0) / parts
            loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step(LEARNING_RATE)

    return step


def step_parts(name: str, options: NetworkOptions, sample: Jets) -> list[Row]:
    """Measure where the time of a step of a network of the config goes."""
    events = TrainingEvents(sample)
    training = options.training
    network = EfficiencyNetwork(options.architecture, events.flavours)
    network.standardise.fit(events.rows)
    optimiser = Adam(network.parameters(), BETAS)
    rngs = [torch.Generator().manual_seed(0)]
    steps = events.steps(training.batch_events)
    fast = uses_bfloat16(training.precision)
    ((batch, tags),) = some_batch(events, training.batch_events)

    def forward() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            logits = network(batch).float()
        return batch_loss(logits, tags, list(batch.shape), 1.0)

    def forward_backward() -> None:
        forward().backward()  # type: ignore[no-untyped-call]
        optimiser.forget()

    def whole_step() -> None:
        forward().backward()  # type: ignore[no-untyped-call]
        optimiser.step(LEARNING_RATE)

    def load() -> None:
        for one, _ in events.batches(training.batch_events, rngs):
            transform(one, training, rngs)

    loading = median_seconds(load, 3) / steps
    ahead, both, whole = alternate([forward, forward_backward, whole_step], 9)
    parts = {
        "loading": loading,
        "forward": ahead,
        "backward": both - ahead,
        "optimiser": whole - both,
    }
    total = sum(parts.values())
    return [
        Row(f"step of {name}, all", 1e3 * total, "ms"),
        *(
            Row(f"step of {name}, {part}", 1e3 * value, "ms", share=value / total)
            for part, value in parts.items()
        ),
    ]


def some_batch(
    events: TrainingEvents, size: int, parts: int = 1
) -> list[tuple[Batch, torch.Tensor]]:
    """Return the parts of a batch for one network."""
    drawn = islice(events.batches(size, [torch.Generator().manual_seed(0)], parts), parts)
    return [(Batch(batch.features[0], batch.shape), tags[0]) for batch, tags in drawn]


def epoch_of(
    toy: Toy, jets: Jets, name: str, device: str = "cpu", seeds: int = 1, **changes: Any
) -> Callable[[], object]:
    """Return a pass through some events with networks of the config, some of its options changed.

    Args:
        toy: The default config.
        jets: The events.
        name: Which networks.
        device: Where they are trained.
        seeds: How many, trained together.
        changes: Options of training, and sizes of the architecture.
    """
    options = toy.networks[name]
    events = TrainingEvents(jets, device)
    check = TrainingEvents(jets.first(100), device)
    training = Training(
        changed(options.architecture, changes),
        changed(options.training, {**changes, "epochs": 1000}),
        events,
        [(1, name, seed) for seed in range(seeds)],
        device,
    )
    epochs = train(training, events, check)

    def epoch() -> None:
        next(epochs)

    return epoch


def changed(options: Section, changes: Mapping[str, Any]) -> Section:
    """Return options of which some are changed; changes that other options have are left out."""
    values = options.model_dump()
    for name, value in changes.items():
        if name in values:
            values[name] = value
    return type(options).model_validate(values)


def growth_rows(toy: Toy, sample: Jets) -> list[Row]:
    """Measure how training grows with events, cores, networks together and batch size."""
    torch.set_num_threads(1)
    rows = []
    for count in (10_000, 100_000, 1_000_000):
        epoch = epoch_of(toy, toy.sample(count), "gnn_factorised")
        time = median_seconds(epoch, 3) if count < 1_000_000 else seconds(epoch)
        rows.append(
            Row(f"an epoch of gnn_factorised on {count:,} events", count / time, "events/s")
        )
    part = sample.first(5_000)
    whole, micro = alternate(
        [
            epoch_of(toy, part, "gnn", width=256, batch_events=5_000, micro_batch_events=m)
            for m in (0, 500)
        ],
        3,
    )
    rows += [
        Row("training, 256 wide, batches of 5,000 at once", part.n_events / whole, "events/s"),
        Row(
            "training, 256 wide, batches of 5,000 in parts of 500",
            part.n_events / micro,
            "events/s",
        ),
    ]
    for name in toy.networks:
        alone, together = alternate([epoch_of(toy, part, name, seeds=seeds) for seeds in (1, 4)], 3)
        rows += [
            Row(f"training, {name}, alone", part.n_events / alone, "events/s"),
            Row(f"training, {name}, 4 networks together", 4 * part.n_events / together, "events/s"),
        ]
    one, two = (processes(toy, sample, count) for count in (1, 2))
    return [
        *rows,
        Row("training, gnn, 1 job", one, "events/s"),
        Row("training, gnn, 2 jobs at once", two, "events/s"),
    ]


def processes(toy: Toy, sample: Jets, count: int) -> float:
    """Return the rate of several jobs at once, each training a network on one thread [events/s]."""
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        return sum(pool.map(job_rate, [toy] * count, [sample] * count))


def job_rate(toy: Toy, sample: Jets) -> float:
    """Return the rate of one job [events/s]."""
    torch.set_num_threads(1)
    return sample.n_events / median_seconds(epoch_of(toy, sample, "gnn"), 3)


def gpu_rows(toy: Toy, sample: Jets) -> list[Row]:
    """Measure training on a GPU, where there is one: one of the paper, and twenty of each kind."""
    if not torch.cuda.is_available():
        return []
    rows = []
    paper = {
        "width": 256,
        "batch_events": 5_000,
        "rotate_phi": False,
        "reflect_phi": False,
        "reflect_eta": False,
    }
    for seeds in (1, 20):
        epoch = epoch_of(toy, sample, "gnn", "cuda", seeds, **paper)
        time = median_seconds(partial(finished, epoch), 3)
        rate = seeds * sample.n_events / time
        rows.append(
            Row(
                f"training on {torch.cuda.get_device_name()}, 256 wide, {seeds} together",
                rate,
                "events/s",
            )
        )
    whole = 20 * 42 * 1_000_000 / rows[-1].value / 60
    for name in toy.networks:
        time = median_seconds(partial(finished, epoch_of(toy, sample, name, "cuda", 20)), 3)
        rate = 20 * sample.n_events / time
        rows.append(Row(f"training on it, {name}, 20 together", rate, "events/s"))
    return [
        *rows,
        Row("config/paper.yaml on it, 20 networks, 42 epochs, from that rate", whole, "min"),
    ]


def finished(step: Callable[[], object]) -> None:
    """Do a step, and wait until the GPU has done it, too."""
    step()
    torch.cuda.synchronize()


def flops_per_event(architecture: Architecture, counts: IntArray) -> float:
    """Count the operations of a training step per event: two per weight, twice that backward.

    The first layer of the pair network is counted per jet, as our network applies it.

    Args:
        architecture: Sizes of a network of kind ``graph``.
        counts: Jets of each event.
    """
    body = cast("GraphBody", EfficiencyNetwork(architecture).body)
    jets = counts.mean()
    pairs = (counts * (counts - 1)).mean()
    total = weights(body.head) * jets
    for block in cast("Iterable[GNBlock]", body.blocks):
        first = cast("nn.Linear", block.edge[0]).weight.numel()
        total += (weights(block.node) + weights(block.merge) + first) * jets
        total += (weights(block.edge) - first) * pairs
    return 6 * float(total)


def weights(layers: nn.Module) -> int:
    """Return the number of weights, biases excluded."""
    return sum(p.numel() for p in layers.parameters() if p.dim() == 2)
