"""Networks as one ONNX file: for onnxruntime in Python or C++, and for ATLAS's Athena."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator

from truthtag.data.columns import UNITS
from truthtag.data.files import atomic_write
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.cross_fitting import CrossFitted, HeldOut
from truthtag.estimators.ensemble import Ensemble
from truthtag.estimators.network.estimator import NetworkEstimator
from truthtag.estimators.network.onnx_content import DIGEST, OnnxContent, model_digest
from truthtag.estimators.network.onnx_efficiency import OnnxEfficiency, unit_factor
from truthtag.estimators.network.options import FEATURES
from truthtag.estimators.network.runtime import require_onnx
from truthtag.exports.athena import input_order, input_unit, require_bins
from truthtag.exports.onnx_parity import require_parity
from truthtag.options import Options, as_tuple
from truthtag.registry import did_you_mean

if TYPE_CHECKING:
    from truthtag.estimators.network.model import EfficiencyNetwork

__all__ = ["OnnxOptions", "export_folds", "export_onnx", "read_onnx", "training_ranges"]

JETS_OF_EVENT = "n_jets"
"""The name under which ranges hold the number of jets of an event."""

Ranges = Mapping[str, tuple[float, float]]


class OnnxOptions(Options):
    """What an ONNX file looks like from outside.

    Example:
        >>> OnnxOptions(layout="athena", points=["tight"]).points
        ('tight',)
    """

    layout: Literal["truthtag", "athena"] = "truthtag"
    """`truthtag`: events of one number of jets together, efficiencies and their spread. `athena`:
    one event, MeV, and tag bins, as ATLAS's truth tagging tool reads them."""

    points: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    """Names of the working points of the file, the loosest first; by default all."""


def export_onnx(
    model: Any,
    path: str | Path,
    options: OnnxOptions | None = None,
    provenance: Mapping[str, Any] | None = None,
    ranges: Ranges | None = None,
) -> float:
    """Write networks to one ONNX file, which is compared with them before it is there.

    Args:
        model: A network, an ensemble of networks, or networks that were fitted without each fold:
            then their file is the one for samples that nothing was trained on.
        path: The file to write; the same networks give the same bytes.
        options: Layout and working points.
        provenance: Where the networks come from (config digest, versions); anything that JSON
            holds.
        ranges: Lowest and highest values in the training sample, in units of the jets, as
            :func:`training_ranges` finds them.

    Returns:
        The largest relative difference between the efficiencies of file and networks on a few
        events.

    Raises:
        ConfigError: The model is no network, the layout has no place for the working points, one of
            them is not known, or onnx or onnxruntime is not installed.
        DataError: Networks of different kinds, inputs or points; ranges of something that the
            networks do not see; provenance that JSON cannot hold; or file and networks do not
            agree.
    """
    folds = _folds_of(model) if isinstance(model, CrossFitted) else {}
    return _export(networks_of(model), path, options or OnnxOptions(), provenance, ranges, folds)


def export_folds(
    model: Any,
    path: str | Path,
    options: OnnxOptions | None = None,
    provenance: Mapping[str, Any] | None = None,
    ranges: Ranges | None = None,
) -> list[Path]:
    """Write a file for the events of each fold of the training samples.

    Events of fold f, by their number as the property ``folds`` of the file says, need the file of
    fold f: its networks did not see them. ONNX has no number of an event, so that one file cannot
    choose.

    Args:
        model: Networks that were fitted without each fold.
        path: ``networks.onnx`` say, for ``networks.fold_0.onnx`` and so on.
        options: As of :func:`export_onnx`.
        provenance: Likewise.
        ranges: Likewise.

    Returns:
        The files, by fold.

    Raises:
        ConfigError: As of :func:`export_onnx`, or there are no folds.
        DataError: As of :func:`export_onnx`.
    """
    if not isinstance(model, CrossFitted):
        msg = "there are no folds: the model was fitted to all events; use export_onnx"
        raise ConfigError(msg)
    path = Path(path)
    written = []
    for fold, part in enumerate(model.parts):
        target = path.with_name(f"{path.stem}.fold_{fold}{path.suffix}")
        folds = {**_folds_of(model), "fold": fold}
        _export(networks_of(part), target, options or OnnxOptions(), provenance, ranges, folds)
        written.append(target)
    return written


def read_onnx(path: str | Path) -> OnnxEfficiency:
    """Read a file of :func:`export_onnx` as an efficiency, without torch.

    Raises:
        ConfigError: onnx or onnxruntime is not installed.
        DataError: The file is missing, no ONNX file, foreign, of another version, hostile or
            damaged.
    """
    return OnnxEfficiency.load(path)


def training_ranges(jets: Jets, names: Sequence[str] = FEATURES) -> dict[str, tuple[float, float]]:
    """Return the lowest and highest value of some columns, and of the number of jets of an event.

    Args:
        jets: The training sample.
        names: Its columns; flavours are left out, they have no order.

    Returns:
        Two values by name; nothing of a sample without jets.
    """
    if not jets.n_jets:
        return {}
    found = {}
    for name in names:
        if name != "flavour":
            values = jets.per_jet(name)
            found[name] = (float(values.min()), float(values.max()))
    found[JETS_OF_EVENT] = (float(jets.multiplicity.min()), float(jets.multiplicity.max()))
    return found


def networks_of(model: Any) -> list[EfficiencyNetwork]:
    """Return the networks of an efficiency, in the order of its members.

    Raises:
        ConfigError: It is none of networks.
        DataError: Folds have different numbers of networks.
    """
    from truthtag.estimators.network.model import EfficiencyNetwork

    if isinstance(model, EfficiencyNetwork):
        return [model]
    if isinstance(model, NetworkEstimator):
        return [model.network]
    if isinstance(model, CrossFitted):
        _require_equal_folds(model)
    if isinstance(model, CrossFitted) or (isinstance(model, Ensemble) and model.nominal is None):
        found = []
        for member in model.members:
            found += networks_of(member)
        return found
    if isinstance(model, HeldOut):
        msg = "events of the training samples need a file for each fold: use export_folds"
        raise ConfigError(msg)
    described = getattr(model, "nominal", None) or model
    msg = (
        f"{type(described).__name__} cannot be written as ONNX, only networks can. Maps, "
        "parametric fits and additive models have a file of correctionlib "
        "(truthtag.exports.corrections); weights of any estimator can be written as friend trees "
        "(truthtag.exports.friends)."
    )
    raise ConfigError(msg)


def _require_equal_folds(model: CrossFitted) -> None:
    """Refuse folds of different numbers of networks, whose mean is not that of all networks."""
    counts = [len(part.members) for part in model.parts]
    if len(set(counts)) > 1:
        msg = (
            f"the folds have {', '.join(map(str, counts))} networks; the mean over folds is that "
            "of all networks only where each has as many. Train the missing ones."
        )
        raise DataError(msg)


def _folds_of(model: CrossFitted) -> dict[str, Any]:
    return {"count": model.folds.count, "by": model.folds.by}


# ---- writing


def _export(
    networks: Sequence[EfficiencyNetwork],
    path: str | Path,
    options: OnnxOptions,
    provenance: Mapping[str, Any] | None,
    ranges: Ranges | None,
    folds: Mapping[str, Any],
) -> float:
    """Write networks to a file that agrees with them."""
    require_onnx("writing an ONNX file")
    from onnx import checker, helper

    from truthtag.exports.onnx_layout import exported_model

    _require_one_kind(networks)
    content = _content(networks, options, provenance, ranges, folds)
    model = exported_model(networks, content)
    helper.set_model_props(model, {**content.to_properties(), DIGEST: model_digest(model)})
    checker.check_model(model, full_check=True)
    with atomic_write(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))
        return require_parity(OnnxEfficiency.load(temporary), networks, path)


def _require_one_kind(networks: Sequence[EfficiencyNetwork]) -> None:
    """Refuse networks that cannot be one: of other sizes, inputs, categories or points."""
    like = networks[0]
    for number, network in enumerate(networks):
        if network.architecture != like.architecture or network.meaning != like.meaning:
            msg = (
                f"network {number} differs from network 0 in its architecture, working points or "
                "categories: they are not one ensemble. Export each ensemble to a file of its own."
            )
            raise DataError(msg)


def _content(
    networks: Sequence[EfficiencyNetwork],
    options: OnnxOptions,
    provenance: Mapping[str, Any] | None,
    ranges: Ranges | None,
    folds: Mapping[str, Any],
) -> OnnxContent:
    """Return what the file is to say of itself."""
    like = networks[0]
    features = (*FEATURES, *like.columns.further)
    units = {name: UNITS.get(name, "") for name in features}
    points = _chosen_points(like.points, options.points)
    if options.layout == "athena":
        require_bins(points)
        features = input_order(features)
        units = {name: input_unit(unit) for name, unit in units.items()}
    return OnnxContent(
        layout=options.layout,
        features=features,
        units=tuple(units[name] for name in features),
        flavours=_shared_flavours(networks),
        working_points=points,
        categories=dict(like.columns.categories),
        ranges=_in_units(ranges or {}, units),
        networks=len(networks),
        folds=dict(folds),
        provenance=_plain(provenance or {}),
    )


def _chosen_points(known: tuple[str, ...], chosen: tuple[str, ...]) -> tuple[str, ...]:
    """Return the working points of the file: those chosen, in the order of the networks."""
    for name in chosen:
        if name not in known:
            listed = ", ".join(known) or "one without a name"
            hint = did_you_mean(name, list(known))
            msg = f"points: the networks have no working point {name!r}; they have {listed}{hint}"
            raise ConfigError(msg)
    return tuple(name for name in known if name in chosen) or known


def _shared_flavours(networks: Sequence[EfficiencyNetwork]) -> tuple[int, ...]:
    """Return the flavours that all networks know."""
    shared = networks[0].flavours
    for network in networks[1:]:
        shared = tuple(flavour for flavour in shared if flavour in network.flavours)
    return shared


def _plain(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return provenance as JSON holds it.

    Raises:
        DataError: JSON cannot hold it.
    """
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(provenance), allow_nan=False))
    except (TypeError, ValueError) as error:
        msg = f"provenance: cannot be written as JSON ({error}); give text, numbers and lists"
        raise DataError(msg) from error
    return plain


def _in_units(ranges: Ranges, units: Mapping[str, str]) -> dict[str, tuple[float, float]]:
    """Return ranges in the units of the file.

    Raises:
        DataError: They are those of something that the networks do not see, or no ranges.
    """
    found = {}
    for name, (low, high) in ranges.items():
        if name not in (*units, JETS_OF_EVENT) or not -np.inf < low <= high < np.inf:
            msg = (
                f"ranges: {name!r} is given as [{low}, {high}]; allowed are two rising numbers for "
                f"{', '.join((*units, JETS_OF_EVENT))}"
            )
            raise DataError(msg)
        factor = unit_factor(name, units[name]) if name in units else 1.0
        found[name] = (low * (factor or 1.0), high * (factor or 1.0))
    return found
