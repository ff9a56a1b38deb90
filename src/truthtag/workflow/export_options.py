"""The section `exports` of the config: what leaves the workflow, and in which form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from truthtag.estimators.additive.options import AdditiveOptions
from truthtag.estimators.network.options import DistilOptions
from truthtag.estimators.protocol import EstimatorOptions
from truthtag.exports.correction_options import CorrectionOptions
from truthtag.exports.spline_form import has_product
from truthtag.options import Options, all_different, as_names, as_tuple
from truthtag.registry import did_you_mean

__all__ = ["Exports", "exported", "faults_of_exports"]

ALL = "all"
"""Stands for all estimators that have the form."""

IN_CORRECTIONS = ("binned", "smoothed", "nearest_jet", "parametric", "additive")
"""Kinds of estimator that a file of correctionlib can hold."""

PRODUCTS = ("parametric", "additive")
"""Those of them that are products of factors, which their mean over folds is not."""


Estimators = Annotated[
    tuple[str, ...],
    BeforeValidator(as_names, json_schema_input_type=str | list[str]),
    AfterValidator(all_different),
    Field(min_length=1),
]


class OnnxExport(Options):
    """Networks as ONNX files, `exports/onnx/`."""

    of: Estimators = (ALL,)
    """Names of estimators, or `all`: each ensemble of networks."""


class AthenaExport(Options):
    """Networks as ONNX files that ATLAS's truth tagging tool reads, `exports/athena/`."""

    of: Estimators = (ALL,)
    """Names of estimators, or `all`: each ensemble of networks."""

    points: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    """Names of the working points of the file, the loosest first; by default all. One, or those of
    85, 77, 70 and 60%."""


class CorrectionsExport(CorrectionOptions):
    """Maps, parametric fits and additive models as files of correctionlib,
    `exports/correctionlib/`."""

    of: Estimators = (ALL,)
    """Names of estimators, or `all`: each of kind `binned`, `smoothed`, `nearest_jet`, `parametric`
    or `additive`, where its terms are of pT, eta and Delta R."""


class DistilledExport(DistilOptions):
    """One network that says what an ensemble says, `exports/distilled/`: its file, what it costs,
    and the forms of the sections `onnx` and `athena`, where these are there."""

    of: Estimators = (ALL,)
    """Names of estimators, or `all`: each ensemble of networks."""


class FriendsExport(Options):
    """Friend trees of the files that samples were read from, `exports/friends/`: efficiencies and
    weights, entry by entry."""

    of: Estimators = (ALL,)
    """Names of estimators, or `all`."""

    formats: Annotated[
        tuple[Literal["root", "parquet"], ...],
        BeforeValidator(as_names, json_schema_input_type=str | list[str]),
        AfterValidator(all_different),
        Field(min_length=1),
    ] = ("root", "parquet")
    """Files to write. Files that are no ROOT files have a Parquet friend only."""


class Exports(Options):
    """What leaves the workflow for other frameworks."""

    onnx: OnnxExport | None = None
    """Networks as ONNX files."""

    athena: AthenaExport | None = None
    """Networks as ONNX files that ATLAS's truth tagging tool reads."""

    correctionlib: CorrectionsExport | None = None
    """Maps, parametric fits and additive models as files of correctionlib."""

    distilled: DistilledExport | None = None
    """One network in place of an ensemble, where every event is asked by itself."""

    friends: FriendsExport | None = None
    """Friend trees of the files that samples were read from."""

    def has(self, form: str) -> bool:
        """Return whether anything leaves in a form."""
        return getattr(self, form) is not None


def _can(form: str, options: EstimatorOptions, folds: int) -> bool:
    """Return whether an estimator has a form."""
    if form == "friends":
        return True
    if form != "correctionlib":
        return options.kind == "network"
    if options.kind in PRODUCTS and folds > 1:
        return False
    if isinstance(options, AdditiveOptions) and not has_product(options):
        return False
    return options.kind in IN_CORRECTIONS


def exported(
    exports: Exports, form: str, estimators: dict[str, EstimatorOptions], folds: int
) -> list[str]:
    """Return the names of the estimators that leave in a form, in the order of the config.

    Args:
        exports: The section.
        form: ``onnx``, ``athena``, ``correctionlib``, ``distilled`` or ``friends``.
        estimators: The estimators of the config.
        folds: Number of folds of the training samples.
    """
    section = getattr(exports, form)
    if section is None:
        return []
    if section.of == (ALL,):
        return [name for name, options in estimators.items() if _can(form, options, folds)]
    return [name for name in estimators if name in section.of]


def faults_of_exports(config: Any) -> Iterator[str]:
    """Go through what is wrong with the section."""
    known = config.estimators
    for form in Exports.model_fields:
        section = getattr(config.exports, form)
        if section is None or section.of == (ALL,):
            continue
        folds = config.roles.folds
        able = [name for name, options in known.items() if _can(form, options, folds)]
        for name in section.of:
            if name not in able:
                why = "is of a kind that has no such form" if name in known else "is no estimator"
                allowed = ", ".join([ALL, *able])
                hint = did_you_mean(name, able)
                yield f"exports.{form}.of: {name!r} {why}. Allowed: {allowed}{hint}"
    friends = config.exports.friends
    if friends is not None and not any(config.is_read(name) for name in config.samples):
        yield (
            "exports.friends: no sample is read from files, so that no file can have a friend; "
            "leave the section out"
        )
    athena = config.exports.athena
    for point in athena.points if athena else ():
        if point not in config.working_points:
            allowed = ", ".join(config.working_points) or "none, since there is one point"
            yield f"exports.athena.points: {point!r} is no working point. Allowed: {allowed}"
