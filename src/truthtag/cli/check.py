"""``truthtag check``: what a config of the workflow would do, or its faults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truthtag.cli.output import GAP, Report, number, plural
from truthtag.errors import ConfigError, DataError

if TYPE_CHECKING:
    from truthtag.workflow.layout import Layout
    from truthtag.workflow.options import Config

__all__ = ["check", "checked_config"]


def check(configs: Sequence[str | Path], workflow: str | Path | None = None) -> Iterator[str]:
    """Go through the lines that say what a config would do; nothing is started or written.

    Args:
        configs: YAML files; a later one is laid on those before it, and all on their base.
        workflow: Folder of the workflow; None to look for it.

    Raises:
        ConfigError: There is a fault; one line for each. Or a file is no YAML, or pyyaml is not
            installed.
        DataError: A file is missing.
    """
    from truthtag.figures.catalogue import figures_of
    from truthtag.workflow.layout import Layout
    from truthtag.workflow.sample_files import check_files

    checked = checked_config(configs, workflow)
    shown = _shown(configs)
    with _named(shown):
        check_files(checked)
        catalogue = figures_of(checked.model_dump(mode="json"))
    facts = facts_of(checked, Layout(checked), list(catalogue))
    yield from Report(f"no faults; lies on the base {checked.base}", facts).lines(shown)


def checked_config(configs: Sequence[str | Path], workflow: str | Path | None = None) -> Config:
    """Return a config of the workflow, checked; the files that it reads need not be there.

    Arguments and errors are those of :func:`check`.
    """
    from truthtag.workflow.bases import on_base
    from truthtag.workflow.options import check_config

    stated: dict[str, Any] = {}
    for path in map(Path, configs):
        stated = laid(stated, read_config(path))
    folder = bases_folder(configs, workflow)
    with _named(_shown(configs)):
        return check_config(on_base(stated, folder))


def laid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config laid on another one, as Snakemake lays those of ``--configfile``.

    Sections are joined key by key; of everything else that both state, what is above holds. An
    empty section changes nothing.

    Example:
        >>> laid({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 4}, "d": {}})
        {'a': {'b': 4, 'c': 2}, 'd': 3}
    """
    result = dict(below)
    for key, value in above.items():
        before = result.get(key)
        if not isinstance(value, Mapping):
            result[key] = value
        elif value:
            result[key] = laid(before if isinstance(before, Mapping) else {}, value)
        else:
            result.setdefault(key, {})
    return result


def _shown(configs: Sequence[str | Path]) -> str:
    return " + ".join(map(str, configs))


@contextmanager
def _named(shown: str) -> Iterator[None]:
    """Put the names of the configs before what is wrong with them."""
    try:
        yield
    except ConfigError as error:
        msg = f"{shown}: {error}"
        raise ConfigError(msg) from error


def read_config(path: Path) -> dict[str, Any]:
    """Return what a config states.

    Raises:
        DataError: The file is missing.
        ConfigError: It is no YAML, or holds no keys; or pyyaml is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        msg = "configs are read with pyyaml, which is not installed: pip install truthtag[workflow]"
        raise ConfigError(msg) from error
    if not path.is_file():
        what = "is a folder, a config is a file" if path.is_dir() else "no such file"
        msg = f"{path}: {what}. Check the path."
        raise DataError(msg)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        msg = f"{path}: is no YAML ({reason}). Correct the place that it names."
        raise ConfigError(msg) from error
    if not isinstance(content, dict):
        msg = f"{path}: holds no keys; a config is `key: value` in each line. Correct it."
        raise ConfigError(msg)
    return content


def bases_folder(configs: Sequence[str | Path], workflow: str | Path | None) -> Path:
    """Return the folder with the configs that others lie on.

    Args:
        configs: The configs; a folder above one of them may be that of the workflow.
        workflow: The folder of the workflow; None to look for it.

    Raises:
        ConfigError: It is not found.
    """
    from truthtag.workflow.bases import BASES

    if workflow is not None:
        places = [Path(workflow)]
    else:
        above = [parent for path in configs for parent in Path(path).resolve().parents]
        places = [Path(), *above, Path(__file__).resolve().parents[3]]
    for place in places:
        files = [place / "config" / name for name in BASES.values()]
        if all(file.is_file() for file in files):
            return place / "config"
    where = "no folder here, or above a config, has"
    if workflow is not None:
        where = f"{workflow}: has no"
    msg = (
        f"{where} config/{BASES['paper']}, which configs lie on. State the folder of the "
        "workflow, the one with its Snakefile: --workflow FOLDER"
    )
    raise ConfigError(msg)


def _exports(config: Config, layout: Layout) -> Iterator[str]:
    """Go through the forms in which estimators leave."""
    for form in type(config.exports).model_fields:
        names = layout.exported(form)
        if names:
            yield f"{form} of {', '.join(names)}"


def facts_of(config: Config, layout: Layout, figures: Sequence[str]) -> dict[str, str]:
    """Return what a config would do, in a few words for each part of it.

    Args:
        config: The config, checked.
        layout: Where its results go.
        figures: Names of the figures that can be made.
    """
    facts = {"results": config.results}
    facts |= {"flavours": _pairs(config.flavours), "points": _points(config)}
    facts["inputs"] = ", ".join(config.inputs)
    facts["samples"] = "\n".join(_samples(config, layout))
    facts["roles"] = _roles(config)
    facts["estimators"] = "\n".join(_estimators(config))
    facts["distributions"] = ", ".join(config.distributions)
    facts["weights"] = f"up to {plural(config.weights.tags, 'tag')}"
    if config.weights.scale_factors is not None:
        facts["weights"] += ", with scale factors"
    facts["exports"] = "\n".join(_exports(config, layout))
    chosen = config.figures.only
    facts["figures"] = ", ".join(chosen) if chosen else f"{len(figures)} are possible"
    return facts


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _points(config: Config) -> str:
    """Return the working points with their thresholds."""
    points = config.working_points
    return ", ".join(f"{name} above {number(value)}" for name, value in points.items())


def _samples(config: Config, layout: Layout) -> Iterator[str]:
    """Say of each sample where its events come from."""
    width = max(map(len, config.samples))
    for name, sample in config.samples.items():
        if sample.reader is None:
            text = f"{plural(sample.events or 0, 'event')} of the generator {sample.generator}"
        else:
            form = config.readers[sample.reader].format
            files = len(layout.files(name))
            text = f"{plural(files, 'file')} ({form}) of the reader {sample.reader}"
            if sample.take is not None:
                shares = ", ".join(map(str, sample.take.remainders))
                text += f", shares {shares} of {sample.take.of} by {sample.take.by}"
        yield f"{name:<{width}}{GAP}{text}"


def _roles(config: Config) -> str:
    """Say what samples are used for."""
    roles = config.roles
    used = {"train": roles.train, "validation": roles.validation, "judged": roles.judged}
    lines = [f"{role:<10}{GAP}{', '.join(names)}" for role, names in used.items()]
    if roles.folds > 1:
        lines.append(f"{'folds':<10}{GAP}{roles.folds}, by {roles.fold_by}")
    return "\n".join(lines)


def _estimators(config: Config) -> Iterator[str]:
    """Say of each estimator its kind, and how many fits it takes."""
    width = max(map(len, config.estimators), default=0)
    for name, options in config.estimators.items():
        if options.members == "seeds":
            count = getattr(options, "seeds", 1)
            text = plural(count, "seed")
        else:
            count = getattr(options, "replicas", 0)
            text = plural(count, "replica")
            if config.roles.folds > 1:
                text += f" without each of {config.roles.folds} folds"
        yield f"{name:<{width}}{GAP}{options.kind}, {text}"
