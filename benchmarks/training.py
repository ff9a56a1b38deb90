"""Training: our networks against the textbook's, and against the arithmetic limit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from benchmarks.reference import ConcatenatedNetwork
from benchmarks.timing import Row, Toy, alternate, median_seconds, multiply_rate
from truthtag.jets import Jets
from truthtag.network import Architecture, EfficiencyNetwork
from truthtag.training import Events, Options, batch_loss, transform, uses_bfloat16

BATCH_EVENTS = 500


def training_rows(toy: Toy, sample: Jets) -> list[Row]:
    """Measure throughput by jet multiplicity, width, precision and threads, then where the time of a step goes."""
    types = [torch.float32] + [torch.bfloat16] * uses_bfloat16("auto")
    mixtures = {f"{n} jets": sample.take(sample.multiplicity == n) for n in range(2, 7)} | {"mixture": sample}
    rows = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        rates = {dtype: multiply_rate(dtype) for dtype in types}
        for width in (64, 256):
            for name, jets in mixtures.items():
                if name == "mixture" or (threads == 1 and width == 64):
                    rows += throughput(f"{width} wide, {name}, {threads} thread(s)", width, jets, rates)
    torch.set_num_threads(1)
    for name, options in toy.config["networks"].items():
        rows += step_parts(name, options, sample)
    return rows


def throughput(what: str, width: int, jets: Jets, rates: dict[torch.dtype, float]) -> list[Row]:
    """Measure whole steps of our network in each precision, in turn with those of the textbook in float32."""
    events, architecture = Events(jets), Architecture(width=width)
    torch.manual_seed(0)
    ours = EfficiencyNetwork(architecture, events.flavours)
    ours.standardise.fit(events.rows)
    plain = step_of(ConcatenatedNetwork(ours), events, torch.float32)
    times = alternate([plain, *(step_of(ours, events, dtype) for dtype in rates)])
    size = sum(m for m, _ in next(events.batches(BATCH_EVENTS, torch.Generator()))[0].shape)
    rows = []
    for dtype, seconds in zip(rates, times[1:], strict=True):
        limit = rates[dtype] / flops_per_event(architecture, jets.multiplicity)
        name = f"training, {what}, {str(dtype).removeprefix('torch.')}"
        rows.append(Row(name, size / seconds, "events/s", times[0] / seconds, size / seconds / limit))
    return rows


def step_of(network: nn.Module, events: Events, dtype: torch.dtype) -> Callable[[], object]:
    """Return a training step on one batch: forward, backward, optimiser."""
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    batch, tags = next(events.batches(BATCH_EVENTS, torch.Generator().manual_seed(0)))

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            logits = network(batch).float()
        loss = batch_loss(logits, tags, list(batch.shape), 1.0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def step_parts(name: str, options: dict[str, dict], sample: Jets) -> list[Row]:
    """Measure where the time of a step of a network of the config goes."""
    events, training = Events(sample), Options(**options["training"])
    network = EfficiencyNetwork(Architecture(**options["architecture"]), events.flavours)
    network.standardise.fit(events.rows)
    optimiser, rng = torch.optim.Adam(network.parameters(), lr=1e-3), torch.Generator().manual_seed(0)
    steps = events.steps(training.batch_events)
    fast = uses_bfloat16(training.precision)
    batch, tags = next(events.batches(training.batch_events, rng))

    def forward() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            logits = network(batch).float()
        return batch_loss(logits, tags, list(batch.shape), 1.0)

    def forward_backward() -> None:
        optimiser.zero_grad()
        forward().backward()

    def load() -> None:
        for one, _ in events.batches(training.batch_events, rng):
            transform(one, training, rng)

    loading = median_seconds(load, 3) / steps
    ahead, both, update = alternate([forward, forward_backward, optimiser.step], 9)
    parts = {"loading": loading, "forward": ahead, "backward": both - ahead, "optimiser": update}
    total = sum(parts.values())
    return [
        Row(f"step of {name}, all", 1e3 * total, "ms"),
        *(Row(f"step of {name}, {part}", 1e3 * value, "ms", share=value / total) for part, value in parts.items()),
    ]


def flops_per_event(architecture: Architecture, counts: np.ndarray) -> float:
    """Count the operations of a training step per event: two per weight forward, and twice that backward.

    The first layer of the pair network is counted per jet, as our network applies it.

    Args:
        architecture: Sizes of a network of kind ``graph``.
        counts: Jets of each event.
    """
    network = EfficiencyNetwork(architecture)
    jets, pairs = counts.mean(), (counts * (counts - 1)).mean()
    total = weights(network.body.head) * jets
    for block in network.body.blocks:
        first = block.edge[0].weight.numel()
        total += (weights(block.node) + weights(block.merge) + first) * jets
        total += (weights(block.edge) - first) * pairs
    return 6 * float(total)


def weights(layers: nn.Module) -> int:
    """Return the number of weights, biases excluded."""
    return sum(p.numel() for p in layers.parameters() if p.dim() == 2)
