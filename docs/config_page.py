"""Write config/README.md from the schema: what every key means, allows and defaults to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
INTRODUCTION = """# Configs

| file | for |
|---|---|
| `config.yaml` | the default: the paper's figures on a laptop |
| `quick.yaml` | a first look in two minutes, fewer events and networks, figures marked as such |
| `paper.yaml` | the paper's scale: width 256, 20 networks, a million events |
| `tiny.yaml` | the whole chain in a minute, too small for physics: tests, and trying a cluster |
| `studies/nonfactorised.yaml` | a toy whose efficiency is no product over neighbours |
| `studies/learning_curve.yaml` | regret of maps, of a fit of the right form and of networks against the number of training events |
| `studies/repeated.yaml` | independent training samples, to see whether the errors that replicas give are right |
| `studies/tenth.yaml` | a tenth of the training events: larger errors, the same closure |
| `studies/mu.yaml` | the weight of non-tagged jets in Eq. 5 |
| `studies/schedule.yaml` | a dozen ways to train the same network, by loss and time |

`make run CONFIG=config/paper.yaml` or `snakemake --configfile config/paper.yaml` uses another one. A config states only what differs from `config.yaml`, which is always read first;
several can be given, later ones win. Each needs a `results` folder of its own.
What an earlier file has and a later one does not want, it sets to `null`: `networks: {gnn: null}` trains no `gnn`, an optional key takes its default again.
A fault is refused before any job starts, by its path, with what is allowed.

This page is made from `workflow/schemas/config.schema.yaml` by `make docs`.
"""


def page() -> str:
    """Return the whole page."""
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    rows = [
        f"| `{path}` | {kind} | {default} | {text} |"
        for path, kind, default, text in keys(schema, schema, "")
    ]
    return "\n".join(
        [INTRODUCTION, "| key | type | default | meaning |", "|---|---|---|---|", *rows, ""]
    )


def keys(
    part: dict[str, Any], root: dict[str, Any], path: str
) -> Iterator[tuple[str, str, str, str]]:
    """Go through all keys below a part of the schema: path, type, default, meaning."""
    for name, inner in part.get("properties", {}).items():
        if "const" not in inner:
            yield from one(resolve(inner, root), root, f"{path}{name}")
    if isinstance(part.get("additionalProperties"), dict):
        yield from one(resolve(part["additionalProperties"], root), root, f"{path}<name>")


def one(
    inner: dict[str, Any], root: dict[str, Any], path: str
) -> Iterator[tuple[str, str, str, str]]:
    """Describe a key, then those below it."""
    # Axes and Gaussians are described once, in the row of the key that uses them.
    leaf = "properties" in inner and set(inner["properties"]) <= {
        "bins",
        "mean",
        "width",
        "low",
        "high",
    }
    kind = inner.get("type", "object")
    kind = (
        f"{{{', '.join(inner['properties'])}}}" + (" or list of edges" if "array" in kind else "")
        if leaf
        else kind
    )
    default = f"`{inner['default']}`" if "default" in inner else ""
    if inner.get("description") or leaf:
        yield path, kind, default, inner.get("description", "") + limits(inner)
    # One level: what lies deeper has the keys of another section.
    items = (
        resolve(inner["items"], root)
        if "items" in inner and "array" in inner["type"] and not leaf
        else {}
    )
    if "properties" in items:
        for name, option in items["properties"].items():
            yield f"{path}.<n>.{name}", option["type"], "", option["description"] + limits(option)
    if not leaf:
        yield from keys(inner, root, f"{path}.")
        for branch in inner.get("allOf", []):
            (rule,) = branch["if"]["properties"].values()
            yield from keys(
                resolve(branch["then"], root),
                root,
                f"{path.removesuffix('<name>')}<{rule['const']}>.",
            )


def limits(inner: dict[str, Any]) -> str:
    """Say which values are allowed."""
    words = {
        "enum": "One of {}.",
        "minimum": "At least {}.",
        "exclusiveMinimum": "Above {}.",
        "maximum": "At most {}.",
        "exclusiveMaximum": "Below {}.",
        "multipleOf": "A multiple of {}.",
    }
    values = {
        key: ", ".join(f"`{v}`" for v in inner[key]) if key == "enum" else inner[key]
        for key in words
        if key in inner
    }
    return "".join(" " + words[key].format(value) for key, value in values.items())


def resolve(part: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference; keys beside it stay."""
    if "$ref" not in part:
        return part
    return {
        **root["$defs"][part["$ref"].rsplit("/", 1)[1]],
        **{k: v for k, v in part.items() if k != "$ref"},
    }


if __name__ == "__main__":
    (ROOT / "config/README.md").write_text(page())
