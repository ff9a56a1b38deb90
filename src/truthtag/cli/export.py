"""``truthtag export``: an efficiency as a file of ONNX or correctionlib."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from truthtag.cli.kinds import load_model
from truthtag.cli.output import plural
from truthtag.cli.ranges import Ranges, domain_beside, ranges_of_domain
from truthtag.errors import ConfigError

__all__ = ["Request", "export"]


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Args:
        model: File or folder of an estimator.
        target: ``onnx``, ``athena`` or ``correctionlib``.
        output: The file to write.
        point: For ONNX, the working point; None for all.
        working_points: For correctionlib, what working points are called, the loosest first.
        names: For correctionlib, whose names the inputs have; None for CMS's.
        domain: For ONNX, the file of the domain, which has the ranges of training; None for the one
            beside the estimator, if there is one.
        by_fold: Whether to write a file for each fold of the training sample.
        trusted: Kinds of estimator, ``module:Class``, that may be imported.
    """

    model: str
    target: str
    output: str
    point: str | None = None
    working_points: tuple[str, ...] = ()
    names: str | None = None
    domain: str | None = None
    by_fold: bool = False
    trusted: tuple[str, ...] = ()


def export(request: Request) -> Iterator[str]:
    """Write an efficiency for other programs, and say what was written.

    Args:
        request: What is asked for.

    Yields:
        A line for each file.

    Raises:
        ConfigError: The efficiency is of a kind that the target cannot hold, an option does not
            suit it, the output is an input, or a package is missing.
        DataError: The efficiency is missing, damaged or foreign, or the file cannot be written.
    """
    _require_options(request)
    output = Path(request.output)
    _require_apart(output, Path(request.model))
    model = load_model(request.model, request.trusted)
    writers = {"onnx": _to_onnx, "athena": _to_onnx, "correctionlib": _to_corrections}
    for path in writers[request.target](model, output, request, _provenance(request)):
        yield f"{path}: {plural(path.stat().st_size, 'byte')}; truthtag inspect says what it holds"


def _require_options(request: Request) -> None:
    """Refuse options of another target, which would do nothing."""
    is_map = request.target == "correctionlib"
    of_networks = {"--point": request.point, "--domain": request.domain}
    of_maps = {"--working-point": request.working_points, "--names": request.names}
    for name, value in (of_networks if is_map else of_maps).items():
        if value:
            msg = f"{name} does nothing with --to {request.target}; leave it out"
            raise ConfigError(msg)


def _require_apart(output: Path, model: Path) -> None:
    """Refuse to write over the efficiency itself."""
    if output.is_dir():
        msg = f"{output}: is a folder; name the file to write: {output / 'efficiency.onnx'}, say"
        raise ConfigError(msg)
    inside = model.is_dir() and output.resolve().is_relative_to(model.resolve())
    if output.exists() and (inside or output.samefile(model)):
        msg = f"{output}: belongs to the efficiency that is exported. Name another file."
        raise ConfigError(msg)


def _provenance(request: Request) -> dict[str, Any]:
    """Return what an export records about its origin."""
    from truthtag.workflow.digests import versions

    return {"estimator": request.model, "versions": versions(("truthtag", "numpy", "torch"))}


def _to_corrections(
    model: Any, output: Path, request: Request, provenance: Mapping[str, Any]
) -> list[Path]:
    from truthtag.exports.corrections import (
        CorrectionOptions,
        export_corrections,
        export_corrections_by_fold,
    )
    from truthtag.registry import validated

    stated: dict[str, Any] = {"working_points": list(request.working_points)}
    if request.names is not None:
        stated["names"] = request.names
    options = validated(CorrectionOptions, stated, "the export")
    if request.by_fold:
        return export_corrections_by_fold(model, output, options, provenance)
    export_corrections(model, output, options, provenance)
    return [output]


def _to_onnx(
    model: Any, output: Path, request: Request, provenance: Mapping[str, Any]
) -> list[Path]:
    from truthtag.exports.onnx_file import OnnxOptions, export_folds, export_onnx
    from truthtag.registry import validated

    stated = {
        "layout": "athena" if request.target == "athena" else "truthtag",
        "points": [] if request.point is None else [request.point],
    }
    options = validated(OnnxOptions, stated, "the export")
    ranges = _ranges_of(model, request)
    if request.by_fold:
        return export_folds(model, output, options, provenance, ranges)
    export_onnx(model, output, options, provenance, ranges)
    return [output]


def _ranges_of(model: Any, request: Request) -> Ranges:
    """Return the ranges of training, from the domain that is stated or lies beside the model."""
    from truthtag.estimators.knowledge import inputs_of
    from truthtag.statistics.domain import Domain

    beside = domain_beside(Path(request.model))
    path = beside if request.domain is None else Path(request.domain)
    if path is None:
        return {}
    seen = ("pt", "eta", "n_jets", *inputs_of(model))
    return ranges_of_domain(Domain.read(path), seen)
