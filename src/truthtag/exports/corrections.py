"""Maps and fits as files of correctionlib, for coffea, columnflow, RDataFrame and C++.

The JSON is written without any package; correctionlib reads it. What it holds is exact: bins are
those of the map, on every edge too, and what is smooth is a formula. A further kind is one more
entry of :data:`~truthtag.exports.correction_contents.CONTENTS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from truthtag.errors import ConfigError
from truthtag.estimators.cross_fitting import CrossFitted
from truthtag.exports.correction_contents import Content, Correction, content_of
from truthtag.exports.correction_json import renamed, variable, write_corrections
from truthtag.exports.correction_options import CorrectionOptions, names_of, sorted_inputs
from truthtag.exports.correction_tables import DELTA_R

__all__ = ["CorrectionOptions", "export_corrections", "export_corrections_by_fold"]


def export_corrections(
    estimator: Any,
    path: str | Path,
    options: CorrectionOptions | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write an efficiency as a file of correctionlib.

    Maps become one correction of flavour, pT, eta and further axes. Beside the efficiency it holds
    the ends of what that may be: of a binned map those of the interval of each bin, of other maps
    with replicas one standard deviation of these. A map with a factor for the nearest jet has the
    further input ``delta_r``, which the caller computes. Parametric fits and additive models become
    two corrections, whose product over the neighbours is the efficiency. What was fitted without
    each fold becomes its mean over the folds, for events of other samples.

    Args:
        estimator: A map or one of these fits, for one working point or several, or an ensemble of
            such, as :func:`truthtag.load` reads it.
        path: The file: ``.json``, or ``.json.gz`` to compress it.
        options: Names, and what is written.
        provenance: What to record about its origin, anything that JSON holds.

    Raises:
        ConfigError: It is of a kind that no correction can hold, or an option does not suit it.
        DataError: The file cannot be written, or members of the ensemble are not alike.

    Example:
        >>> import tempfile
        >>> from truthtag.data.jets import Jets
        >>> from truthtag.estimators.binned import BinnedMap, BinnedOptions
        >>> from truthtag.exports.correction_json import read_corrections
        >>> jets = Jets.from_columns(
        ...     {**row, "event": np.zeros(3, int), "is_tagged": np.array([True, False, False])}
        ... )
        >>> options = BinnedOptions(pt=[20.0, 600.0], eta=[0.0, 2.5], abs_eta=True)
        >>> fitted = BinnedMap.fit(jets, jets, options, seed=(1,))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     export_corrections(fitted, f"{folder}/map.json")
        ...     (correction,) = read_corrections(f"{folder}/map.json").corrections
        >>> correction.name, correction.inputs
        ('efficiency', ('systematic', 'flavor', 'abseta', 'pt'))
    """
    options = options or CorrectionOptions()
    content = content_of(estimator, options)
    note = ""
    if isinstance(estimator, CrossFitted):
        note = (
            f" It is the mean over {estimator.folds.count} folds, for events of other samples than "
            "those it was fitted to."
        )
    _write(content, path, options, note, provenance or {})


def export_corrections_by_fold(
    fitted: Any,
    path: str | Path,
    options: CorrectionOptions | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write a file for each fold of the training samples, with what was fitted without that fold.

    Args:
        fitted: What was fitted without each of the folds, a
            :class:`~truthtag.estimators.cross_fitting.CrossFitted`.
        path: The file; ``map.json`` becomes ``map.fold_0.json`` and so on.
        options: Names, and what is written.
        provenance: What to record about its origin, anything that JSON holds.

    Returns:
        The files, in the order of the folds.

    Raises:
        ConfigError: There are no folds, or as :func:`export_corrections`.
        DataError: As :func:`export_corrections`.
    """
    if not isinstance(fitted, CrossFitted):
        msg = "there are no folds: the efficiency is not cross-fitted. Use export_corrections"
        raise ConfigError(msg)
    options = options or CorrectionOptions()
    base = Path(path)
    stem, dot, suffix = base.name.partition(".json")
    paths = []
    rule = "the remainder of a hash of" if fitted.folds.by == "hash" else "the remainder of"
    for fold, part in enumerate(fitted.parts):
        of_fold = base.with_name(f"{stem}.fold_{fold}{dot}{suffix}")
        note = (
            f" It is for events of the training samples in fold {fold} of {fitted.folds.count}, by "
            f"{rule} the number of the event, and was fitted without them."
        )
        folds = {"count": fitted.folds.count, "by": fitted.folds.by, "fold": fold}
        content = content_of(part, options)
        _write(content, of_fold, options, note, {**(provenance or {}), "folds": folds})
        paths.append(of_fold)
    return paths


# ---- the file


def _write(
    content: Content,
    path: str | Path,
    options: CorrectionOptions,
    note: str,
    provenance: Mapping[str, Any],
) -> None:
    corrections = []
    for one in content.corrections:
        noted = replace(one, description=f"{one.description}{note}")
        corrections.append(_as_json(noted, content.choices, options))
    record = {**content.record, "provenance": provenance}
    write_corrections(corrections, path, f"{content.description}{note}", record)


def _as_json(
    correction: Correction, choices: Mapping[str, Sequence[str]], options: CorrectionOptions
) -> dict[str, Any]:
    """Return a correction as it stands in the file, its inputs called as the options say."""
    described = {name: ("string", f"one of {', '.join(c)}") for name, c in choices.items()}
    listed = ", ".join(str(one) for one in correction.flavours)
    flavour = f"hadron flavour of {correction.flavour_of}, one of {listed}"
    described["flavour"] = ("int", flavour)
    for name, whose in correction.further_flavours.items():
        described[name] = ("int", f"hadron flavour of {whose}, one of {listed}")
    for name in correction.inputs:
        described[name] = ("real", TEXTS.get(name, f"{name} of the jet"))
    used = sorted_inputs(list(described))
    content: dict[str, Any] = {
        "name": correction.name,
        "description": correction.description,
        "version": 1,
        "inputs": [variable(name, *described[name]) for name in used],
        "output": variable("efficiency", "real", "in [0, 1]"),
    }
    if correction.formulas:
        content["generic_formulas"] = list(correction.formulas)
    content["data"] = correction.data
    result: dict[str, Any] = renamed(content, names_of(used, options))
    return result


TEXTS = {
    "pt": "transverse momentum of the jet [GeV]",
    "eta": "pseudorapidity of the jet, with its sign",
    "abs_eta": "absolute pseudorapidity of the jet",
    "phi": "azimuthal angle of the jet [rad]",
    "mass": "mass of the jet [GeV]",
    DELTA_R: "Delta R to the other jet, as the caller computes it",
}
"""What the file says of each input."""
