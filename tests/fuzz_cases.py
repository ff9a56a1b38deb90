"""What fuzzing tests share: how many examples, odd values, changed bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

__all__ = ["ODD_NAMES", "ODD_VALUES", "changed_bytes", "changed_config", "fuzzing"]


def fuzzing(usual: int) -> settings:
    """Return settings for so many examples in the tests, and 20 times as many in a campaign."""
    share = settings.default.max_examples / 50 if settings.default else 1
    return settings(max_examples=round(usual * share), suppress_health_check=list(HealthCheck))


ODD_NAMES = (
    "../x", "..", ".", "/abs", "a/b", "a\\b", ".hidden", "-rf", "con", "a b", "a\nb", "a\0b", "",
    "x" * 300, "ｇｎｎ", "gnnʹ", "гнн", "tést", "{seed}", "$HOME", "%s", "~", "*", "a.b", "nan",
)  # fmt: skip
"""Names that must not become those of files."""

ODD_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([0, 1, -1, 10**9, 10**400, 1e308, -1e-320, float("nan"), float("inf")])
    | st.sampled_from(ODD_NAMES)
    | st.sampled_from(["os:system", "binned", "1e3", "module:Class", "a:b:c", "Jet_pt[", "pt +"])
    | st.text(max_size=5)
    | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=4) | st.sampled_from(ODD_NAMES) | st.integers() | st.none(),
            inner,
            max_size=3,
        )
    ),
    max_leaves=5,
)
"""What a config may hold where something else is wanted."""


@st.composite
def changed_config(draw: st.DrawFn, config: Mapping[str, Any]) -> dict[str, Any]:
    """Change a config in one to three places: other values, keys left out, added or renamed."""
    changed = _copy(config)
    for _ in range(draw(st.integers(1, 3))):
        holder: Any = changed
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            inner = holder[key]
            if isinstance(inner, dict | list) and inner and draw(st.integers(0, 3)):
                holder = inner
                continue
            _change(draw, holder, key)
            break
    return changed


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(inner) for key, inner in value.items()}
    return [_copy(inner) for inner in value] if isinstance(value, list | tuple) else value


def _change(draw: st.DrawFn, holder: Any, key: Any) -> None:
    how = draw(st.sampled_from(["replace", "replace", "drop", "add", "rename"]))
    if how == "replace" or (isinstance(holder, list) and how != "drop"):
        holder[key] = draw(ODD_VALUES)
    elif how == "drop":
        del holder[key]
    elif how == "add":
        holder[draw(st.sampled_from(ODD_NAMES) | st.text(max_size=4))] = draw(ODD_VALUES)
    else:
        holder[draw(st.sampled_from(ODD_NAMES))] = holder.pop(key)


@st.composite
def changed_bytes(draw: st.DrawFn, whole: bytes) -> bytes:
    """Cut bytes, change some, put some in or leave some out."""
    changed = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(changed) - 1, 0)))
        how = draw(st.sampled_from(["flip", "flip", "overwrite", "insert", "drop", "cut"]))
        some = draw(st.binary(min_size=1, max_size=8))
        if how == "flip" and changed:
            changed[place] ^= 1 << draw(st.integers(0, 7))
        elif how == "overwrite":
            changed[place : place + len(some)] = some
        elif how == "insert":
            changed[place:place] = some
        elif how == "drop":
            del changed[place : place + len(some)]
        elif how == "cut":
            del changed[place:]
    return bytes(changed)
