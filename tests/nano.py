"""Files of NanoAOD's layout, written from jets: what the readers are tested and timed on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from truthtag.arrays import AnyArray, BoolArray, IntArray
from truthtag.data.jets import Jets

__all__ = ["nano_thresholds", "write_nano", "write_nano_files"]

SENTINEL = -1.0
"""What stands for the score of a jet that was not scored."""

STEP = 50_000
"""Events that are written at a time, which makes a basket of each branch."""


def nano_thresholds(n_points: int = 1) -> list[float]:
    """Return the thresholds that the scores of :func:`write_nano` are made for, rising.

    Example:
        >>> nano_thresholds(), nano_thresholds(3)
        ([0.5], [0.25, 0.5, 0.75])
    """
    return [point / (n_points + 1) for point in range(1, n_points + 1)]


def write_nano(
    jets: Jets,
    path: str | Path,
    rng: np.random.Generator,
    *,
    unsorted: float = 0.3,
    empty_events: float = 0.05,
    soft_jets: float = 0.5,
    sentinels: float = 0.1,
    negative: float = 0.1,
    score: str = "Jet_btag",
    tree: str = "Events",
    ntuple: bool = False,
    run: int = 1,
    step: int = STEP,
) -> None:
    """Write events as a file of NanoAOD's layout.

    Who reads it with pt above 20 GeV and abs(eta) below 2.5, and takes jets with a score above
    :func:`nano_thresholds` for tagged, finds the events again, value by value but for the signs of
    weights: the same jets, tags, true efficiencies, in the same order.

    Branches are ``nJet``, ``Jet_pt``, ``Jet_eta``, ``Jet_phi``, ``Jet_mass`` (float32),
    ``Jet_hadronFlavour`` (uint8), the score (float32), ``Jet_eff`` (float64) where the truth is
    known, with several working points ``Jet_eff_<point>``; ``Jet_<name>`` for further columns;
    ``genWeight``, ``run``, ``luminosityBlock``, ``event`` (the number of the jets' event).

    Args:
        jets: Tagged jets, above 20 GeV, in abs(eta) below 2.5.
        path: The file to write.
        rng: Chooses what follows.
        unsorted: Share of the events whose jets stand in another order than that of falling pt.
        empty_events: Share of the events of the file that are added, without jets, or with soft and
            forward ones only; their ``event`` goes on from the largest of the jets.
        soft_jets: Mean number of jets that are added to each event below 20 GeV, or, not scored,
            beyond abs(eta) 2.5.
        sentinels: Share of the jets that are not tagged whose score is -1.
        negative: Share of the events whose weight has the other sign.
        score: Name of the branch of the score.
        tree: Name of the tree.
        ntuple: Whether to write an RNTuple, not a TTree.
        run: Run number of all events.
        step: Events that are written at a time.
    """
    import uproot

    layout = _lay_out(jets, rng, unsorted, empty_events, soft_jets)
    of_jets = _jet_branches(jets, layout, rng, sentinels, score)
    of_events = _event_branches(jets, layout, rng, negative, run)
    types = {name: str(values.dtype) for name, values in of_jets.items()}
    with uproot.recreate(path) as file:
        if ntuple:
            jagged = {name: f"var * {kind}" for name, kind in types.items()}
            out = file.mkrntuple(tree, {**jagged, **_types(of_events)})
        else:
            record = ", ".join(f"{name[4:]}: {kind}" for name, kind in types.items())
            out = file.mktree(
                tree,
                {"Jet": f"var * {{{record}}}", **_types(of_events)},
                counter_name=lambda name: "n" + name,
                field_name=lambda outer, inner: f"{outer}_{inner}" if inner else outer,
            )
        for block in _blocks(layout.counts, of_jets, of_events, step, together=not ntuple):
            out.extend(block)


def write_nano_files(
    jets: Jets,
    folder: str | Path,
    rng: np.random.Generator,
    n_files: int,
    **options: Any,
) -> list[Path]:
    """Write events to several files, the events of one after those of the other.

    Args:
        jets: The events.
        folder: Where the files ``0.root``, ``1.root`` ... are written.
        rng: As in :func:`write_nano`.
        n_files: Number of files.
        options: As in :func:`write_nano`.

    Returns:
        The files.
    """
    paths = []
    for number, events in enumerate(np.array_split(np.arange(jets.n_events), n_files)):
        paths.append(Path(folder) / f"{number}.root")
        write_nano(jets.take(events), paths[-1], rng, **options)
    return paths


@dataclass(frozen=True)
class _Layout:
    """Where the jets of the file come from.

    Args:
        source: Which event of the jets each event of the file is; -1 for one that is added.
        counts: Number of jets of each event of the file.
        rows: Which jet of the sample each jet of the file is; -1 for one that is added.
    """

    source: IntArray
    counts: IntArray
    rows: IntArray

    @property
    def added(self) -> BoolArray:
        """Which jets of the file are added."""
        return self.rows < 0


def _lay_out(
    jets: Jets, rng: np.random.Generator, unsorted: float, empty_events: float, soft_jets: float
) -> _Layout:
    n_empty = round(jets.n_events * empty_events / (1 - empty_events))
    source = np.full(jets.n_events + n_empty, -1)
    kept = np.sort(rng.permutation(len(source))[: jets.n_events])
    source[kept] = np.arange(jets.n_events)
    n_added = rng.poisson(soft_jets, len(source))
    event = np.r_[kept[jets.event_of_jet], np.repeat(np.arange(len(source)), n_added)]
    rows = np.r_[np.arange(jets.n_jets), np.full(n_added.sum(), -1)]
    # Added jets are the softest, so they come last where an event is in order.
    place = np.where(rows < 0, jets.n_jets, rows).astype(float)
    mixed = (rng.random(len(source)) < unsorted)[event]
    place[mixed] = rng.random(int(mixed.sum()))
    order = np.lexsort((place, event))
    return _Layout(source, np.bincount(event, minlength=len(source)), rows[order])


def _jet_branches(
    jets: Jets, layout: _Layout, rng: np.random.Generator, sentinels: float, score: str
) -> dict[str, AnyArray]:
    added = layout.added
    n_added = int(added.sum())
    soft = rng.random(n_added) < 0.5
    hard_and_forward = rng.uniform(20, 40, n_added)
    forward = rng.uniform(2.6, 4.5, n_added) * rng.choice([-1, 1], n_added)
    filling = {
        "pt": np.where(soft, rng.uniform(10, 19, n_added), hard_and_forward),
        "eta": np.where(soft, rng.uniform(-2.4, 2.4, n_added), forward),
        "phi": rng.uniform(-3.1, 3.1, n_added),
        "mass": rng.uniform(0, 5, n_added),
    }
    branches: dict[str, AnyArray] = {}
    for name, values in filling.items():
        branches[f"Jet_{name}"] = _filled(getattr(jets, name), layout, values, np.float32)
    flavour = rng.choice([0, 4, 5], n_added)
    branches["Jet_hadronFlavour"] = _filled(jets.flavour, layout, flavour, np.uint8)
    scores = _scores(jets, rng, sentinels)
    branches[score] = _filled(scores, layout, np.where(soft, 0.1, SENTINEL), np.float32)
    if jets.efficiency_true is not None:
        true = jets.efficiency_true
        if true.ndim == 1:
            true = true[:, None]
        names = ["Jet_eff"]
        if true.shape[1] > 1:
            names = [f"Jet_eff_{point}" for point in jets.labels.points]
        for name, values in zip(names, true.T, strict=True):
            branches[name] = _filled(values, layout, np.zeros(n_added), np.float64)
    for name, values in jets.further.items():
        branches[f"Jet_{name}"] = _filled(values, layout, np.zeros(n_added), values.dtype)
    return branches


def _filled(values: AnyArray, layout: _Layout, added: AnyArray, kind: Any) -> AnyArray:
    """Return a branch of all jets of the file."""
    branch: AnyArray = np.empty(len(layout.rows), dtype=kind)
    branch[layout.added] = added
    branch[~layout.added] = values[layout.rows[~layout.added]]
    return branch


def _scores(jets: Jets, rng: np.random.Generator, sentinels: float) -> AnyArray:
    """Return scores that say the tags of the jets, some of those without a tag -1."""
    passed = jets.passes().sum(axis=1)
    # Not quite to the ends, so that rounding moves none to the other side of a threshold.
    scores: AnyArray = (passed + rng.uniform(0.01, 0.99, jets.n_jets)) / (jets.n_points + 1)
    scores[(passed == 0) & (rng.random(jets.n_jets) < sentinels)] = SENTINEL
    return scores


def _event_branches(
    jets: Jets, layout: _Layout, rng: np.random.Generator, negative: float, run: int
) -> dict[str, AnyArray]:
    n_events = len(layout.source)
    kept = layout.source >= 0
    chosen = layout.source[kept]
    weight = np.ones(n_events)
    weight[kept] = jets.weight[chosen]
    weight[rng.random(n_events) < negative] *= -1
    numbers = jets.event if jets.event_number is None else jets.event_number
    event = np.empty(n_events, dtype=np.uint64)
    event[kept] = numbers[chosen]
    first = int(numbers.max(initial=-1)) + 1
    event[~kept] = np.arange(first, first + n_events - len(chosen))
    return {
        "run": np.full(n_events, run, dtype=np.uint32),
        "luminosityBlock": (1 + np.arange(n_events) // 100).astype(np.uint32),
        "event": event,
        "genWeight": weight.astype(np.float32),
    }


def _types(branches: dict[str, AnyArray]) -> dict[str, str]:
    return {name: str(values.dtype) for name, values in branches.items()}


def _blocks(
    counts: IntArray,
    of_jets: dict[str, AnyArray],
    of_events: dict[str, AnyArray],
    step: int,
    *,
    together: bool,
) -> Iterator[dict[str, Any]]:
    """Go through the events of a file, the branches of the jets as one record or one by one."""
    import awkward

    offsets = np.r_[0, np.cumsum(counts)]
    for first in range(0, len(counts), step):
        some = slice(first, first + step)
        rows = slice(offsets[first], offsets[min(first + step, len(counts))])
        block: dict[str, Any] = {name: values[some] for name, values in of_events.items()}
        jagged = {name: values[rows] for name, values in of_jets.items()}
        if together:
            record = awkward.zip({name[4:]: values for name, values in jagged.items()})
            block["Jet"] = awkward.unflatten(record, counts[some])
        else:
            for name, values in jagged.items():
                block[name] = awkward.unflatten(values, counts[some])
        yield block
