"""What networks, maps and ensembles are, with a sketch of the efficiency of jets that are alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from truthtag.arrays import FloatArray
from truthtag.cli.output import Report, number, plural
from truthtag.cli.provenance import origin, section, short
from truthtag.cli.ranges import domain_beside, ranges_of, ranges_of_domain
from truthtag.cli.sketch import BINS, Row, flavour_name, sketch
from truthtag.errors import TruthtagError

if TYPE_CHECKING:
    from truthtag.data.jets import Jets
    from truthtag.estimators.network.model import EfficiencyNetwork

__all__ = [
    "Grid",
    "describe_estimator",
    "describe_network",
    "describe_onnx",
    "efficiency_sketch",
    "grid_of",
]


@dataclass(frozen=True)
class Grid:
    """Jets that a sketch asks an efficiency for: each alone in its event, at eta 0.

    Args:
        flavours: Hadron flavours.
        low: Least transverse momentum [GeV].
        high: Largest [GeV].
        further: Values of further columns, by name.
        categories: Values of those that are categories.
    """

    flavours: Sequence[int]
    low: float
    high: float
    further: Mapping[str, float] = field(default_factory=dict)
    categories: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @property
    def pt(self) -> FloatArray:
        """Transverse momenta, the middles of the bins of a sketch, shape (BINS,) [GeV]."""
        edges = np.linspace(self.low, self.high, BINS + 1)
        return (edges[1:] + edges[:-1]) / 2

    def jets(self) -> Jets:
        """Return the jets, flavour by flavour, by rising transverse momentum."""
        from truthtag.data.jets import Jets
        from truthtag.data.labels import Labels

        size = BINS * len(self.flavours)
        columns = {
            "event": np.arange(size),
            "pt": np.tile(self.pt, len(self.flavours)),
            "flavour": np.repeat(np.array(self.flavours), BINS),
            "weight": np.ones(size),
        }
        columns |= {name: np.zeros(size) for name in ("eta", "phi", "mass")}
        further: dict[str, Any] = {}
        for name, value in self.further.items():
            whole = name in self.categories
            further[name] = np.full(size, int(value) if whole else value)
        known = {name: tuple(values) for name, values in self.categories.items()}
        labels = Labels(tuple(sorted(self.flavours)), categories=known)
        return Jets.from_columns(columns, "the grid", further=further, labels=labels)


def efficiency_sketch(model: Any, grid: Grid | None, points: Sequence[str] = ()) -> list[str]:
    """Return a sketch of an efficiency over pT for each flavour; nothing where it cannot be had.

    Args:
        model: The efficiency; its spread is shown where it has replicas.
        grid: The jets; None where it is not known which the efficiency is made for.
        points: Names of its working points.
    """
    if grid is None:
        return []
    try:
        values, spread = _evaluated(model, grid.jets())
    except TruthtagError:
        # A sketch is no reason to refuse a file: the efficiency wants what a lone jet has not.
        return []
    rows = []
    for place, flavour in enumerate(grid.flavours):
        inside = slice(place * BINS, (place + 1) * BINS)
        for point in range(values.shape[1]):
            name = flavour_name(flavour)
            if values.shape[1] > 1:
                name += f" {points[point] if point < len(points) else point}"
            some = values[inside, point]
            remark = f"{some.min():.3g} to {some.max():.3g}"
            if spread is not None:
                remark += f", ± {spread[inside, point].mean():.2g}"
            rows.append(Row(name, some, remark))
    return sketch("jets alone, pt [GeV]", grid.low, grid.high, rows)


def _evaluated(model: Any, jets: Jets) -> tuple[FloatArray, FloatArray | None]:
    """Return efficiencies and their spread, of shape (n_jets, n_points)."""
    if hasattr(model, "with_spread") and model.content.layout != "athena":
        values, spread = model.with_spread(jets)
        return values.reshape(jets.n_jets, -1), spread.reshape(jets.n_jets, -1)
    if not hasattr(model, "with_replicas"):
        return model.efficiency(jets).reshape(jets.n_jets, -1), None
    values, replicas = model.with_replicas(jets)
    spread = replicas.std(axis=0, ddof=1) if len(replicas) > 1 else None
    if spread is not None:
        spread = spread.reshape(jets.n_jets, -1)
    return values.reshape(jets.n_jets, -1), spread


def grid_of(member: Any) -> Grid | None:
    """Return jets that an estimator is made for; None where nothing says which.

    Args:
        member: A network, or an estimator that is stored as a table.
    """
    network = getattr(member, "network", None)
    if network is not None:
        return _grid_of_network(network)
    if not hasattr(member, "to_frame"):
        return None
    frame = member.to_frame()
    if not {"flavour", "pt_low", "pt_high"} <= set(frame):
        return None
    ends = frame["pt_high"][np.isfinite(frame["pt_high"])]
    flavours = sorted(frame["flavour"].unique().tolist(), reverse=True)
    further = {}
    for name in getattr(member, "settings", {}).get("axes", ()):
        if name not in ("mass", "phi"):
            further[name] = float(frame[f"{name}_low"].min())
    return Grid(flavours, float(frame["pt_low"].min()), float(ends.max()), further)


def _grid_of_network(network: EfficiencyNetwork) -> Grid:
    """Return jets around the mean of those that a network was trained on."""
    columns = network.columns
    mean = dict(zip(columns.names, network.standardise.mean.tolist(), strict=True))
    std = dict(zip(columns.names, network.standardise.scale.tolist(), strict=True))
    further = {}
    for name in columns.further:
        known = columns.categories.get(name)
        further[name] = known[0] if known else mean[name]
    low = max(mean["pt"] - 2 * std["pt"], mean["pt"] / 10)
    high = mean["pt"] + 3 * std["pt"]
    flavours = sorted(network.flavours, reverse=True)
    return Grid(flavours, low, high, further, columns.categories)


# ---- what a file or folder is


def describe_network(path: Path) -> Report:
    """Say what the file of a network is; it is read as tensors and plain values only.

    Raises:
        DataError: It is damaged, or no network of truthtag.
    """
    from truthtag.estimators.network.estimator import NetworkEstimator

    failure = NetworkEstimator.failure_in(path)
    if failure is not None:
        failed = {"seed": str(failure.seed[-1]), "reason": failure.reason, "advice": failure.remedy}
        return Report("a network that failed: ensembles leave it out", failed)
    member = NetworkEstimator.load(path)
    grid = _trained_on(grid_of(member), path)
    facts = {"network": member.describe(), **_of_network(member), **origin(member.provenance)}
    return Report("a network", facts, [efficiency_sketch(member, grid, member.points)])


def _trained_on(grid: Grid | None, path: Path) -> Grid | None:
    """Return jets of a grid over the momenta of training, where the domain beside tells them."""
    from truthtag.statistics.domain import Domain

    beside = domain_beside(path)
    if grid is None or beside is None:
        return grid
    low, high = ranges_of_domain(Domain.read(beside))["pt"]
    return replace(grid, low=low, high=high)


def _of_network(member: Any) -> dict[str, str]:
    """Return flavours, working points, inputs and training of a network."""
    network = member.network
    known = network.columns.categories
    means = []
    for name in network.architecture.inputs:
        if name in known:
            means.append(f"{name} one of {', '.join(map(str, known[name]))}")
        elif name not in network.architecture.scaled_inputs:
            means.append(f"{name} one of {', '.join(map(str, network.flavours))}")
        elif name in network.columns.names:
            place = network.columns.names.index(name)
            mean, scale = (float(one[place]) for one in _scaling(network))
            means.append(f"{name} {number(mean)} ± {number(scale)}")
    training = (
        None if member.training is None else member.training.model_dump(exclude_defaults=True)
    )
    seen = member.provenance.get("train_events")
    of_pairs = [*(network.architecture.pair_inputs or ()), *network.architecture.edge_features]
    return {
        "flavours": ", ".join(map(flavour_name, network.flavours)),
        "points": ", ".join(network.points),
        "inputs": "\n".join(means),
        "pairs": ", ".join(of_pairs),
        "training": short(training),
        "events": plural(seen, "training event") if isinstance(seen, int) else "",
    }


def _scaling(network: EfficiencyNetwork) -> tuple[Any, Any]:
    return network.standardise.mean, network.standardise.scale


def describe_map(path: Path, metadata: Mapping[str, Any]) -> tuple[dict[str, str], list[list[str]]]:
    """Return facts and a sketch of an estimator that is stored as a table, or of its replicas.

    Args:
        path: Its file.
        metadata: What the file records.

    Raises:
        DataError: It is damaged.
    """
    from truthtag.cli.kinds import is_known
    from truthtag.cli.scan import names_of
    from truthtag.estimators.ensemble import Ensemble
    from truthtag.estimators.table_file import load_replicas, load_table_estimator

    stored = section(metadata, "estimator")
    kind = short(stored.get("kind"))
    facts = {"kind": kind, "settings": short(stored.get("settings") or None)}
    facts["points"] = ", ".join(map(short, stored.get("points") or ()))
    facts["options"] = short(metadata.get("options"))
    seen = metadata.get("train_jets")
    facts["jets"] = plural(seen, "training jet") if isinstance(seen, int) else ""
    facts["notes"] = short(metadata.get("notes"))
    if not is_known(kind):
        facts["kind"] += ", which truthtag does not know: it was not loaded"
        return facts, []
    if "replica" in names_of(path):
        replicas = load_replicas(path)
        facts["replicas"] = number(len(replicas))
        member: Any = replicas[0]
        model: Any = Ensemble(replicas)
    else:
        member = model = load_table_estimator(path)
        facts["says"] = member.describe()
    points = getattr(member, "points", ())
    return facts, [efficiency_sketch(model, grid_of(member), points)]


def describe_estimator(folder: Path) -> Report:
    """Say what the folder of an estimator is: an ensemble, a map with its replicas, or folds.

    Raises:
        DataError: A file is damaged or missing, or the files do not belong together.
        ConfigError: Its kind is not known.
    """
    from truthtag.cli.kinds import kinds_in, load_model
    from truthtag.estimators.cross_fitting import CrossFitted

    model = load_model(folder)
    members = getattr(model, "members", [model])
    nominal = getattr(model, "nominal", None)
    facts = {"kind": ", ".join(dict.fromkeys(kind for _, kind in kinds_in(folder)))}
    first = nominal or members[0]
    if first is not model:
        facts["members"] = model.describe()
        facts["left out"] = "\n".join(map(str, getattr(model, "left_out", ())))
    if isinstance(model, CrossFitted):
        first = model.parts[0].nominal or first
        facts["folds"] = (
            f"{model.folds.count} by {model.folds.by}: events of the training samples are weighted "
            "by what did not see their fold, others by all"
        )
    facts["each"] = first.describe()
    provenance = _provenance_of(first, folder)
    grid = grid_of(first)
    if hasattr(first, "network"):
        facts |= _of_network(first)
        grid = _trained_on(grid, folder)
    mine = origin(provenance)
    mine.pop("folds", None)
    points = getattr(first, "points", ())
    return Report("an estimator", facts | mine, [efficiency_sketch(model, grid, points)])


def _provenance_of(member: Any, folder: Path) -> Mapping[str, Any]:
    """Return where the first of the members comes from."""
    from truthtag.data.files import read_metadata
    from truthtag.estimators.ensemble import NOMINAL

    if hasattr(member, "provenance"):
        found: Mapping[str, Any] = member.provenance
        return found
    files = sorted(folder.rglob(NOMINAL))
    return read_metadata(files[0]) if files else {}


# ---- what was exported


def describe_onnx(path: Path) -> Report:
    """Say what an ONNX file of truthtag is; files of others are refused, and never computed.

    Raises:
        DataError: It is damaged, or truthtag did not write it.
        ConfigError: onnx or onnxruntime is not installed.
    """
    from truthtag.exports.onnx_file import read_onnx

    model = read_onnx(path)
    content = model.content
    units = dict(zip(content.features, content.units, strict=True))
    lines = []
    for name, unit in units.items():
        text = name if unit in ("", "1") else f"{name} [{unit}]"
        if name in content.categories:
            text += f", one of {', '.join(map(str, content.categories[name]))}"
        if name in content.ranges:
            low, high = content.ranges[name]
            text += f", trained on {number(low)} to {number(high)}"
        lines.append(text)
    facts = {
        "layout": content.layout,
        "networks": number(content.networks),
        "features": "\n".join(lines),
        "flavours": ", ".join(map(flavour_name, content.flavours)),
        "points": ", ".join(content.working_points),
        "folds": _folds_of(content.folds),
        **origin(content.provenance),
    }
    ranges = ranges_of(model)
    grid = None
    if "pt" in ranges:
        known = content.categories
        further = {}
        for name in content.features:
            if name not in ("pt", "eta", "phi", "mass", "flavour"):
                further[name] = known[name][0] if name in known else ranges.get(name, (0.0,))[0]
        flavours = sorted(content.flavours, reverse=True)
        grid = Grid(flavours, *ranges["pt"], further, known)
    return Report("an ONNX model", facts, [efficiency_sketch(model, grid, content.working_points)])


def _folds_of(folds: Mapping[str, Any]) -> str:
    """Say for which events a file is."""
    if not folds:
        return ""
    how = f"{short(folds.get('count'))} by {short(folds.get('by'))}"
    if "fold" in folds:
        return f"fold {short(folds['fold'])} of {how}, for the events of which it is"
    return f"{how}; this file is for samples that nothing was trained on"
