"""Where a file comes from, as its metadata say: in words, whatever the metadata hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["origin", "section", "short", "texts"]

MOST_LETTERS = 300
"""Letters of a value that are shown."""


def short(value: Any) -> str:
    """Return a value of JSON in one line, cut where it is long.

    Example:
        >>> short({"bins": 2}), short("map"), short(None)
        ('{"bins": 2}', 'map', '')
    """
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]} ..."


def section(metadata: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a section of metadata; an empty one where there is none."""
    found = metadata.get(name)
    return found if isinstance(found, Mapping) else {}


def texts(metadata: Mapping[str, Any], name: str) -> list[str]:
    """Return a list of metadata as texts; an empty one where there is none."""
    found = metadata.get(name)
    return [short(one) for one in found] if isinstance(found, list | tuple) else []


def origin(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return where a file comes from: sample, seed, folds, digest of the config, versions.

    Args:
        metadata: What a file records; keys that it lacks are left out.

    Example:
        >>> origin({"seed": 1, "versions": {"truthtag": "0.2.0", "numpy": "2.4"}})
        {'seed': '1', 'made by': 'truthtag 0.2.0, numpy 2.4'}
    """
    facts = {
        "sample": short(metadata.get("sample")),
        "file": short(metadata.get("file")),
        "estimator": _name_of(metadata.get("estimator")),
        "seed": _seed(metadata.get("seed")),
        "folds": _folds(section(metadata, "folds")),
        "config": short(metadata.get("config")),
        "made by": _versions(section(metadata, "versions")),
    }
    return {name: text for name, text in facts.items() if text}


def _name_of(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _seed(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(short, value))
    return short(value)


def _versions(versions: Mapping[str, Any]) -> str:
    """Return versions of software, truthtag's first."""
    names = sorted(versions, key=lambda name: (name != "truthtag", str(name)))
    return ", ".join(f"{name} {short(versions[name])}" for name in names)


def _folds(folds: Mapping[str, Any]) -> str:
    """Say what folds a fit saw, or that a prediction was made by what did not see each event."""
    if not folds:
        return ""
    how = f"{short(folds.get('count'))} by {short(folds.get('by'))}"
    if "fold" not in folds:
        return f"{how}; each event by what did not see its fold"
    learned = ", ".join(texts(folds, "learned_from"))
    text = f"number {short(folds['fold'])} of {how} not seen; learned from {learned}"
    chosen = ", ".join(texts(folds, "chosen_on"))
    return f"{text}; epoch chosen on {chosen}" if chosen else text
