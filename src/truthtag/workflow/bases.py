"""What a config lies on: it states only what differs from its base."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["BASES", "on_base"]

BASES = {"paper": "config.yaml", "samples": "samples.yaml"}
"""The file of each base, in the folder of configs."""


def on_base(stated: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """Return a config with all that its base states and it does not.

    Sections are joined key by key; the keys of the base come first, in its order, which is that of
    tables and legends.

    Args:
        stated: A config as it is read from YAML; its key ``base`` names the base, ``paper`` by
            default. A base that is not known is left for the check of the config to refuse.
        folder: The folder of configs.
    """
    import yaml

    name = stated.get("base", "paper")
    file = BASES.get(name, BASES["paper"]) if isinstance(name, str) else BASES["paper"]
    below = yaml.safe_load((Path(folder) / file).read_text())
    return _joined(below, stated)


def _joined(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    joined = dict(below)
    for key, value in above.items():
        before = joined.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            joined[key] = _joined(before, value)
        else:
            joined[key] = value
    return joined
