"""Several estimators as one, and reading any estimator from its file or folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from truthtag.arrays import FloatArray
from truthtag.data.files import atomic_write, read_metadata
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.estimators.cross_fitting import CrossFitted, Engine, Folds
from truthtag.estimators.failures import LEFT_OUT, Failure, require_enough, without_failed
from truthtag.estimators.protocol import KINDS, Efficiency, kind_in_file
from truthtag.estimators.table_file import kind_name, load_replicas, load_table_estimator
from truthtag.registry import load_object

__all__ = [
    "MANIFEST",
    "NOMINAL",
    "REPLICAS",
    "Ensemble",
    "accelerated",
    "files_by_fold",
    "load",
    "members_listed",
    "write_manifest",
]

MANIFEST = "ensemble.json"
"""The file of a folder that lists the members of an ensemble."""

NOMINAL = "nominal.parquet"
"""The file of a folder that holds the fit to the whole training sample."""

REPLICAS = "replicas.parquet"
"""The file of a folder that holds the fits to bootstrap samples."""

FOLDS = "folds"
"""Where a file's metadata, and the list of an ensemble, hold what folds were seen."""

DIGEST = "digest"
"""Where the list of an ensemble holds the SHA-256 of all else that it says."""

ENTRIES = {"kind", "members", LEFT_OUT, FOLDS}
"""What the list of an ensemble may say beside."""

PARQUET_MAGIC = b"PAR1"

ONNX_READER = "truthtag.estimators.network.onnx_efficiency:OnnxEfficiency"
"""What reads a file of networks that left truthtag; it does not load torch."""


@runtime_checkable
class OnDevice(Protocol):
    """What can be moved to a GPU."""

    def to(self, device: str) -> Any:
        """Move to a device by its name."""
        ...


@dataclass(frozen=True)
class Ensemble:
    r"""Several efficiencies as one: the nominal one, or else their mean, and each of them.

    .. math:: \epsilon = \frac{1}{K} \sum_k \epsilon_k

    is the mean of K networks. A map with its replicas has a nominal fit, to the whole training
    sample, and no mean is taken.

    Source: Section 5 of arXiv:2004.02665, with K = 20 networks.

    Args:
        members: What each member says is a replica; at least one.
        nominal: What to return as the efficiency; the mean of the members by default.
        engine: What computes the members, by default each itself.
        left_out: Members that failed, and are no members therefore.

    Raises:
        DataError: There is no member.
    """

    members: Sequence[Efficiency]
    nominal: Efficiency | None = None
    engine: Engine | None = None
    left_out: Sequence[Failure] = ()

    def __post_init__(self) -> None:
        if not self.members:
            msg = "an ensemble needs at least one member; there is none"
            raise DataError(msg)

    @classmethod
    def load(
        cls, paths: Sequence[str | Path], device: str = "cpu", *, kind: str | None = None
    ) -> Self:
        """Read the members of an ensemble from their files; their mean is the efficiency.

        Args:
            paths: A file for each member.
            device: Where members predict that can choose: ``auto``, ``cpu`` or ``cuda``.
            kind: What the files hold, where they do not say so themselves.

        Raises:
            DataError: A file is missing, damaged or foreign, or two members differ in kind,
                architecture or training; the error names the two files.
        """
        members = [_on_device(_load_file(Path(path), kind), device) for path in paths]
        _require_alike(paths, members)
        return cls(members)

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the nominal efficiency, or the mean over the members.

        The shape is (n_jets,), or (n_jets, n_points) where there are several working points.
        """
        if self.nominal is not None:
            return self.nominal.efficiency(jets)
        return self.with_replicas(jets)[0]

    def with_replicas(self, jets: Jets) -> tuple[FloatArray, FloatArray]:
        """Return the efficiency, and by each member.

        Shapes are (n_jets,) and (n_members, n_jets), with a last axis of working points where there
        are several.
        """
        if self.engine is not None:
            values = self.engine.efficiencies(jets)
        else:
            values = np.stack([member.efficiency(jets) for member in self.members])
        if self.nominal is not None:
            return self.nominal.efficiency(jets), values
        return values.mean(axis=0), values

    def accelerated(self) -> Self:
        """Return the same ensemble, its members computed by the fastest engine that they know.

        A kind of estimator that has one says so by ``engine_of``, ``module:function``: given the
        members, the function returns their engine, or None. An engine keeps a copy of the members
        as they are now, and may differ from them in the last digits of single precision.
        """
        place = getattr(type(self.members[0]), "engine_of", None)
        if place is None or len({type(member) for member in self.members}) > 1:
            return self
        return replace(self, engine=load_object(place, "engine_of")(self.members))

    def describe(self) -> str:
        """Return a few words for the log."""
        text = f"{len(self.members)} members, {'the mean' if self.nominal is None else 'a nominal'}"
        return f"{text}, {len(self.left_out)} left out" if self.left_out else text


def load(path: str | Path, device: str = "cpu", *, kind: str | None = None) -> Any:
    """Read any estimator.

    Args:
        path: Its file, an ONNX file that truthtag wrote, or the folder of an ensemble: with
            ``ensemble.json``, the members that it lists; else ``nominal.parquet`` with
            ``replicas.parquet``; or folders ``fold_0``, ``fold_1`` and so on, that each hold these.
        device: Where members predict that can choose: ``auto``, ``cpu`` or ``cuda``.
        kind: The kind that is expected, ``module:Class`` say, whose module then is imported. A file
            alone makes nobody import what truthtag and the installed packages do not announce.

    Returns:
        The estimator; an :class:`Ensemble` where there are several, a
        :class:`~truthtag.estimators.cross_fitting.CrossFitted` where there are folds.

    Raises:
        DataError: Nothing is there, or it is damaged, foreign, or not of one training.
        ConfigError: Its kind cannot be loaded: a package is not installed, say.
    """
    if kind is not None:
        KINDS.load(kind, "kind")
    path = Path(path)
    if not path.is_dir():
        return _on_device(_load_file(path, _listed_kind(path)), device)
    if (path / MANIFEST).is_file():
        return _load_listed(path, device)
    if (path / "fold_0").is_dir():
        return _load_folds(path)
    return _load_resampled(path)


def accelerated(fitted: Any) -> Any:
    """Return an estimator as it is, its members computed by the fastest engine that they know.

    Args:
        fitted: What :func:`load` returns; see :meth:`Ensemble.accelerated`.

    Returns:
        The same efficiency. The attribute ``engine`` of an ensemble says what computes it.
    """
    return fitted.accelerated() if isinstance(fitted, Ensemble | CrossFitted) else fitted


def _load_resampled(path: Path) -> Any:
    """Read a nominal fit, with its replicas where they are there."""
    if not (path / NOMINAL).is_file():
        msg = (
            f"{path}: holds neither {MANIFEST} nor {NOMINAL}; give the folder or the file of one "
            "estimator, or run the workflow to make it"
        )
        raise DataError(msg)
    nominal = load_table_estimator(path / NOMINAL)
    if not (path / REPLICAS).exists():
        return nominal
    replicas = load_replicas(path / REPLICAS)
    files = [path / NOMINAL, path / REPLICAS]
    _require_alike(files, [nominal, replicas[0]])
    _require_same_options(files)
    return Ensemble(replicas, nominal)


def _load_folds(path: Path) -> CrossFitted:
    """Read what was fitted without each fold, from a folder for each."""
    stored = read_metadata(path / "fold_0" / NOMINAL).get(FOLDS)
    if not isinstance(stored, Mapping) or not {"count", "by"} <= set(stored):
        msg = f"{path / 'fold_0' / NOMINAL}: does not say how folds were cut. Fit it again."
        raise DataError(msg)
    folds = Folds(int(stored["count"]), str(stored["by"]))
    parts = []
    for fold in range(folds.count):
        folder = path / f"fold_{fold}"
        part = _load_resampled(folder)
        own = read_metadata(folder / NOMINAL).get(FOLDS)
        if own is None or (own["count"], own["by"], own["fold"]) != (folds.count, folds.by, fold):
            msg = (
                f"{folder / NOMINAL}: belongs to other folds than {path / 'fold_0' / NOMINAL}: "
                f"{own} and {dict(stored)}. Fit both again."
            )
            raise DataError(msg)
        parts.append(part if isinstance(part, Ensemble) else Ensemble([part], part))
    return CrossFitted(folds, parts)


def _load_file(path: Path, kind: str | None) -> Any:
    """Read one estimator from its file.

    Args:
        path: The file.
        kind: What it holds; a Parquet file says so itself, and a network's file needs no word.
    """
    if not path.is_file():
        msg = f"{path}: no such file. Check the path, or run the workflow to make it."
        raise DataError(msg)
    with path.open("rb") as file:
        is_parquet = file.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC
    if is_parquet or path.suffix == ".parquet":
        return load_table_estimator(path)
    if path.suffix == ".onnx":
        return load_object(ONNX_READER, str(path)).load(path)
    if kind is None and path.suffix != ".pt":
        msg = (
            f"{path}: holds no estimator that truthtag knows; give a .parquet, .pt or .onnx file "
            f"that truthtag wrote, or a folder with {MANIFEST}"
        )
        raise DataError(msg)
    return kind_in_file(kind or "network", str(path)).load(path)


def _on_device(member: Any, device: str) -> Any:
    if device != "cpu" and isinstance(member, OnDevice):
        return member.to(device)
    return member


def files_by_fold(folder: str | Path) -> dict[int, list[str]]:
    """Return the files of a cross-fitted estimator that weight the events of each fold.

    Args:
        folder: The folder of the estimator.

    Returns:
        Paths relative to the folder, by fold; nothing where there are no folds.

    Raises:
        DataError: The list of an ensemble is damaged.
    """
    folder = Path(folder)
    files: dict[int, list[str]] = {}
    if (folder / MANIFEST).is_file():
        for member in _read_manifest(folder / MANIFEST)["members"]:
            if member["fold"] is not None:
                files.setdefault(member["fold"], []).append(member["file"])
        return files
    for inner in sorted(folder.glob("fold_*")):
        fold = int(inner.name.removeprefix("fold_"))
        files[fold] = [f"{inner.name}/{name}" for name in (NOMINAL, REPLICAS)]
    return files


# ---- members must be alike


def _settings(member: Any) -> dict[str, Any]:
    """Return what members of one ensemble share: kind, and what they call their settings."""
    kind = type(member)
    settings = {"kind": f"{kind.__module__}:{kind.__qualname__}"}
    return settings | _flat(getattr(member, "settings", {}))


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings by their paths: ``architecture.width``, say."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            for inner, setting in _flat(value).items():
                flat[f"{name}.{inner}"] = setting
        else:
            flat[name] = value
    return flat


def _require_alike(paths: Sequence[str | Path], members: Sequence[Any]) -> None:
    """Refuse members that differ in kind or settings, naming the two files."""
    if not members:
        return
    first = _settings(members[0])
    for path, member in zip(paths, members, strict=True):
        other = _settings(member)
        if other == first:
            continue
        # The kind comes first: where it differs, the rest means something else.
        names = dict.fromkeys([*first, *other])
        different = [name for name in names if first.get(name) != other.get(name)]
        _refuse_mixed(paths[0], path, different[0], first, other)


def _require_same_options(paths: Sequence[Path]) -> None:
    """Refuse a nominal fit and replicas that were made with other options, where files say so."""
    nominal, replicas = (read_metadata(path).get("options") for path in paths)
    if not isinstance(nominal, dict) or not isinstance(replicas, dict):
        return
    for name in sorted({*nominal, *replicas} - {"replicas"}):
        if nominal.get(name) != replicas.get(name):
            _refuse_mixed(paths[0], paths[1], name, nominal, replicas)


def _refuse_mixed(
    one: str | Path,
    other: str | Path,
    name: str,
    first: Mapping[str, Any],
    second: Mapping[str, Any],
) -> None:
    msg = (
        f"{one} and {other} do not belong to one ensemble: they differ in {name} "
        f"({first.get(name)} and {second.get(name)}). Leave out what an earlier config left "
        "behind, or fit them again."
    )
    raise DataError(msg)


# ---- the manifest


def write_manifest(
    paths: Sequence[str | Path],
    target: str | Path,
    *,
    kind: str | None = None,
    folds: Folds | None = None,
    fold_of_member: Sequence[int] = (),
) -> list[Failure]:
    """Write which files are the members of an ensemble, with a digest of the bytes of each.

    Those that failed are named apart, and left out.

    Args:
        paths: A file for each member, all in the folder of ``target`` or below it.
        target: The manifest, ``ensemble.json`` of that folder.
        kind: What the files hold, where they do not say so themselves.
        folds: How the training samples were cut into folds, or None.
        fold_of_member: The fold that each member did not see; every fold has as many.

    Returns:
        Why members are left out, for each of these.

    Raises:
        DataError: There is no member, a file lies elsewhere, is damaged or foreign, two differ in
            kind, architecture or training, or too many failed.
    """
    target = Path(target)
    used, failed = without_failed(paths, kind)
    # Reads every member, and refuses those that do not belong together.
    ensemble = Ensemble.load(used, kind=kind)
    listed = [_listing(Path(path), target, failed.get(path)) for path in paths]
    name = kind or kind_name(type(ensemble.members[0]))
    described: dict[str, Any] = {"kind": name}
    if folds is not None:
        for member, fold in zip(listed, fold_of_member, strict=True):
            member["fold"] = fold
        for fold in range(folds.count):
            of_fold = [path for path, one in zip(paths, fold_of_member, strict=True) if one == fold]
            failed_of_fold = [failed[path] for path in of_fold if path in failed]
            require_enough(len(of_fold), failed_of_fold, f" of fold {fold}")
    described["members"] = [member for member in listed if "reason" not in member]
    if failed:
        described[LEFT_OUT] = [member for member in listed if "reason" in member]
    if folds is not None:
        described[FOLDS] = {"count": folds.count, "by": folds.by}
    described[DIGEST] = _content_digest(described)
    content = json.dumps(described, indent=1)
    with atomic_write(target) as temporary:
        temporary.write_text(content + "\n")
    return list(failed.values())


def _listing(path: Path, manifest: Path, failure: Failure | None) -> dict[str, Any]:
    """Return how a manifest names a file: by its place below, and the digest of its bytes.

    Args:
        path: The file.
        manifest: Where the manifest will be.
        failure: Why its member is left out, which then is told, too.
    """
    folder = manifest.parent.resolve()
    if not path.resolve().is_relative_to(folder):
        msg = f"{path}: a member must lie beside the manifest or below, in {manifest.parent}"
        raise DataError(msg)
    inner = path.resolve().relative_to(folder).as_posix()
    listing: dict[str, Any] = {"file": inner, "digest": _file_digest(path)}
    if failure is not None:
        listing |= {"seed": list(failure.seed), "reason": failure.reason}
    return listing


def members_listed(manifest: str | Path) -> tuple[int, list[Failure]]:
    """Return how many members an ensemble has, and why others are left out.

    Args:
        manifest: The list of its members.

    Raises:
        DataError: It is damaged.
    """
    content = _read_manifest(Path(manifest))
    return len(content["members"]), [failure for failure, _ in content[LEFT_OUT]]


def _load_listed(folder: Path, device: str) -> Ensemble | CrossFitted:
    """Read the members that a manifest lists, and no others."""
    manifest = _read_manifest(folder / MANIFEST)
    paths = []
    for member in manifest["members"]:
        path = folder / member["file"]
        if not path.is_file():
            msg = f"{path}: no such file, and {folder / MANIFEST} lists it. Train it again."
            raise DataError(msg)
        if _file_digest(path) != member["digest"]:
            msg = (
                f"{path}: is not the file that {folder / MANIFEST} lists; it was changed since. "
                "Run the workflow again, which writes both."
            )
            raise DataError(msg)
        paths.append(path)
    ensemble = Ensemble.load(paths, device, kind=manifest["kind"])
    failures = manifest[LEFT_OUT]
    folds = manifest[FOLDS]
    if folds is None:
        return replace(ensemble, left_out=[failure for failure, _ in failures])
    parts = []
    for fold in range(folds.count):
        own = [
            member
            for member, listed in zip(ensemble.members, manifest["members"], strict=True)
            if listed["fold"] == fold
        ]
        left_out = [failure for failure, of_fold in failures if of_fold == fold]
        parts.append(Ensemble(own, left_out=left_out))
    return CrossFitted(folds, parts)


def _read_manifest(path: Path) -> dict[str, Any]:
    """Return the manifest of a folder, its shape checked."""
    try:
        content = json.loads(path.read_text())
        members: list[dict[str, Any]] = []
        for listed in content["members"]:
            file = str(listed["file"])
            members.append(
                {"file": file, "digest": str(listed["digest"]), "fold": _fold_of(listed)}
            )
        failed = content.get(LEFT_OUT, ())
        failures = [(Failure.from_plain(listed), _fold_of(listed)) for listed in failed]
        kind = content["kind"]
        stored = content.get(FOLDS)
        folds = Folds(int(stored["count"]), str(stored["by"])) if stored else None
        written = content.pop(DIGEST, None)
    except (OSError, ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
        msg = f"{path}: is damaged ({error}). Delete it and run the workflow again."
        raise DataError(msg) from error
    # Lists of version 0.2.0 and before have no digest.
    if not set(content) <= ENTRIES or written not in (None, _content_digest(content)):
        msg = (
            f"{path}: is damaged, or was changed by hand: it is not what was written. Delete it "
            "and run the workflow again."
        )
        raise DataError(msg)
    inside = all(_lies_below(PurePosixPath(member["file"])) for member in members)
    if not isinstance(kind, str) or not members or not inside:
        msg = (
            f"{path}: is damaged: it must name a kind, and files of its own folder. Make it again."
        )
        raise DataError(msg)
    if folds is not None and not _are_all({m["fold"] for m in members}, folds.count):
        msg = (
            f"{path}: is damaged: its members are not those of {folds.count} folds. Make it again."
        )
        raise DataError(msg)
    return {"kind": kind, "members": members, LEFT_OUT: failures, FOLDS: folds}


def _fold_of(listed: Mapping[str, Any]) -> int | None:
    fold = listed.get("fold")
    return None if fold is None else int(fold)


def _are_all(folds: set[Any], count: int) -> bool:
    """Return whether these are the folds 0 to count - 1."""
    return len(folds) == count and folds == set(range(len(folds)))


def _content_digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _lies_below(path: PurePosixPath) -> bool:
    """Return whether a path names a file of a folder, or of a folder in it."""
    return not path.is_absolute() and ".." not in path.parts and path.name != ""


def _listed_kind(path: Path) -> str | None:
    """Return the kind that the manifest beside a file gives it, None without one."""
    manifest = path.parent / MANIFEST
    if not manifest.is_file():
        return None
    content = _read_manifest(manifest)
    names = [member["file"] for member in content["members"]]
    return str(content["kind"]) if path.name in names else None


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
