"""Write what is made from the config's models: its JSON schema, and the page on every key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from truthtag.workflow.schema import config_schema

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "config/README.md"
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
INTRODUCTION = """# Configs

| file | for |
|---|---|
| `config.yaml` | the default: the paper's figures on a laptop |
| `quick.yaml` | a first look in a minute and a half, fewer events and networks, figures say so |
| `twenty.yaml` | the default with twenty networks of each kind, the paper's number |
| `paper.yaml` | the paper's scale: width 256, 20 networks, a million events |
| `samples.yaml` | what serves for samples of your own; others lie on it, `base: samples` |
| `nanoaod.yaml` | CMS NanoAOD: [the tutorial](../docs/your-samples.md) |
| `physlite.yaml` | ATLAS DAOD_PHYSLITE, a hundred events |
| `parquet.yaml` | jets in Parquet, a row per jet |
| `tiny.yaml` | the whole chain in a minute, too small for physics: tests, and trying a cluster |
| `studies/nonfactorised.yaml` | a toy whose efficiency is no product over neighbours |
| `studies/other_truth.yaml` | a toy whose flavours do not act in the order of their numbers |
| `studies/sharp_step.yaml` | a toy whose efficiency jumps, which no smooth model follows |
| `studies/further_variable.yaml` | a toy whose efficiency depends on a fifth variable |
| `studies/two_points.yaml` | two working points, and the bin between them |
| `studies/learning_curve.yaml` | regret of maps, of a fit of the right form and of networks |
| `studies/repeated.yaml` | independent training samples, to see whether the errors are right |
| `studies/tenth.yaml` | a tenth of the training events: larger errors, the same closure |
| `studies/trees.yaml` | boosted trees on neighbour features made by hand, beside the maps |
| `studies/mu.yaml` | the weight of non-tagged jets in Eq. 5 |
| `studies/schedule.yaml` | a dozen ways to train the same network, by loss and time |

`make run CONFIG=config/paper.yaml` or `snakemake --configfile config/paper.yaml` uses another one.
A config states only what differs from its base: `config.yaml`, or with `base: samples` the file
`samples.yaml`. Several can be given, later ones win. Each needs a `results` folder of its own.

What an earlier file has and a later one does not want, it sets to `null`: `estimators: {gnn: null}`
trains no `gnn`, an optional key takes its default again. Keys of a kind that an entry no longer has
are set to `null`, too.

A fault is refused before any job starts, by its path, with what is allowed. Whole numbers may be
written as floats, `1.0e+5`. YAML takes `1e5` and `1e-3`, without a point or a sign, for text; the
error then says what to write. NaN and infinity are refused; only the last edge of a map's axis may
be `.inf`.

Names of samples, estimators, flavours, generators, readers and distributions become names of files
and columns: they begin with a letter, and hold letters, digits and `_`, 64 at most.

**A config is code, to this extent:** `kind: package.module:Class` and `observable: module:function`
import what they name. Run a stranger's config as you would run a stranger's script
([what else was tried](../docs/reliability.md)).

This page is made from the models in `src/truthtag/workflow/options.py` by `make docs`.
"""
TABLE = ("| key | type | default | meaning |", "|---|---|---|---|")
WORDS = {
    "enum": "One of {}.",
    "minimum": "At least {}.",
    "exclusiveMinimum": "Above {}.",
    "maximum": "At most {}.",
    "exclusiveMaximum": "Below {}.",
    "multipleOf": "A multiple of {}.",
}
"""How the page puts the limits of a value."""


def page() -> str:
    """Return the whole page."""
    schema = config_schema()
    lines = [INTRODUCTION, *TABLE]
    for path, kind, default, text in keys(schema, schema, ""):
        lines.append(f"| `{path}` | {kind} | {default} | {text} |")
    return "\n".join([*lines, ""])


def schema_file() -> str:
    """Return the content of the schema's file."""
    content: str = yaml.safe_dump(config_schema(), sort_keys=False, width=80)
    header = "# Made from src/truthtag/workflow/options.py by `make docs`; changes here are lost.\n"
    return header + content


Row = tuple[str, str, str, str]


def keys(part: dict[str, Any], root: dict[str, Any], path: str) -> Iterator[Row]:
    """Go through all keys below a part of the schema: path, type, default, meaning."""
    for name, inner in part.get("properties", {}).items():
        yield from one(resolve(inner, root), root, f"{path}{name}")


def one(inner: dict[str, Any], root: dict[str, Any], path: str) -> Iterator[Row]:
    """Describe a key, then those below it."""
    default = f"`{inner['default']}`" if "default" in inner else ""
    if default == "``":
        default = "empty"
    is_section = "properties" in inner or "additionalProperties" in inner
    if is_section and inner.get("default"):
        # What its keys are is said beside them.
        default = ""
    yield path, type_of(inner), default, inner.get("description", "") + limits(inner)
    if is_axis(inner) or is_gaussian(inner):
        return
    yield from keys(inner, root, f"{path}.")
    yield from branches(inner, root, path, f"{path}.kind")
    entries = inner.get("additionalProperties")
    if isinstance(entries, dict):
        entry = resolve(entries, root)
        yield from keys(entry, root, f"{path}.<name>.")
        yield from branches(entry, root, path, f"{path}.<name>.kind")
    if inner.get("type") == "array" and isinstance(inner.get("items"), dict):
        yield from keys(resolve(inner["items"], root), root, f"{path}.<n>.")


def branches(
    inner: dict[str, Any], root: dict[str, Any], path: str, path_of_kind: str
) -> Iterator[Row]:
    """Describe the keys of each kind; that of the kind itself once."""
    for number, branch in enumerate(inner.get("allOf", [])):
        kind = branch["if"]["properties"]["kind"]["const"]
        options = resolve(branch["then"], root)
        described = {key: value for key, value in options["properties"].items() if key != "kind"}
        if number == 0:
            text = "What it is; the keys below depend on it. A name, or `module:Class`."
            names = [one["if"]["properties"]["kind"]["const"] for one in inner["allOf"]]
            text += f" One of {', '.join(f'`{name}`' for name in names)}."
            yield path_of_kind, "string", "", text
        yield f"{path}.<{kind}>", "section", "", options.get("description", "")
        yield from keys({"properties": described}, root, f"{path}.<{kind}>.")


def is_axis(inner: dict[str, Any]) -> bool:
    """Return whether a key holds bin edges, which are described once, in its row."""
    return "oneOf" in inner


def is_gaussian(inner: dict[str, Any]) -> bool:
    """Return whether a key holds a Gaussian, which is described once, in its row."""
    return set(inner.get("properties", {})) == {"mean", "width", "low", "high"}


def type_of(inner: dict[str, Any]) -> str:
    """Return what kind of value a key has, in words."""
    if is_axis(inner):
        return "{bins, low, high} or list of edges"
    if is_gaussian(inner):
        return "{mean, width, low, high}"
    names = {"object": "section", "array": "list"}
    kind = inner.get("type", "string" if "enum" in inner else "section")
    return str(names.get(kind, kind))


def limits(inner: dict[str, Any]) -> str:
    """Say which values are allowed."""
    sentences = []
    for key, words in WORDS.items():
        if key not in inner:
            continue
        value = inner[key]
        if key == "enum":
            value = ", ".join(f"`{one}`" for one in value)
        elif isinstance(value, float) and value.is_integer():
            value = int(value)
        sentences.append(" " + words.format(value))
    return "".join(sentences)


def resolve(part: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference; keys beside it stay."""
    if "$ref" not in part:
        return part
    beside = {key: value for key, value in part.items() if key != "$ref"}
    name = part["$ref"].rsplit("/", 1)[1]
    return {**root["$defs"][name], **beside}


if __name__ == "__main__":
    PAGE.write_text(page())
    SCHEMA.write_text(schema_file())
