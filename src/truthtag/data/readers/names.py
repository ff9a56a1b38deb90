"""Names of branches, found in a file however the format spells them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from truthtag.data.readers.formats import Format
from truthtag.errors import DataError

__all__ = ["Branch", "Names"]

_FEW = 20
"""Most branches that an error lists one by one."""


@dataclass(frozen=True)
class Branch:
    """A branch that was found.

    Args:
        name: What a formula calls it.
        key: What the file calls it.
        link: Keys of the branches of the jets that say where in this branch each jet is (index,
            key of the container); None where the branch is parallel to the jets.
    """

    name: str
    key: str
    link: tuple[str, str] | None = None


class Names:
    """The branches of a file.

    Args:
        keys: What the file calls them.
        layout: The format.
        source: What the error messages call the file.
    """

    def __init__(self, keys: Sequence[str], layout: Format, source: str) -> None:
        self.layout = layout
        self.source = source
        self._keys = dict.fromkeys(keys)
        # A branch inside another has a long key, folders and all, and is known by its own name.
        self._last: dict[str, str] = {}
        for key in keys:
            self._last.setdefault(key.rpartition("/")[2], key)

    def find(self, name: str) -> Branch | None:
        """Return the branch of a name, or None."""
        for spelling in self._spellings(name):
            key = spelling if spelling in self._keys else self._last.get(spelling)
            if key is not None:
                return Branch(name, key, self._link(spelling))
        return None

    def require(self, name: str, wanted_for: str, remedy: str = "") -> Branch:
        """Return the branch of a name.

        Args:
            name: Its name, or a short name.
            wanted_for: What it is needed for, as the error says it.
            remedy: What else to do, as the error ends.

        Raises:
            DataError: There is none; the message names those that are near.
        """
        found = self.find(name)
        if found is None:
            hint = self._hint(name)
            msg = f"{self.source}: there is no branch {name!r}, {wanted_for}; {hint}{remedy}"
            raise DataError(msg)
        return found

    def _hint(self, name: str) -> str:
        """Say which branches are near, or what there is."""
        keys = list(self._keys)
        if len(keys) <= _FEW:
            return f"there are {', '.join(keys) or 'none'}. State the right one under 'columns'."
        short = name.rpartition(".")[2]
        near = difflib.get_close_matches(name, keys, n=3)
        near += [key for key in keys if key.rpartition(".")[2] == short and key not in near][:3]
        if not near:
            return (
                f"there are {len(keys)} others, none of a name near it. Look at them with uproot."
            )
        return f"near it are {', '.join(near)} (of {len(keys)}). State the right one."

    def _spellings(self, name: str) -> Iterator[str]:
        """Go through the ways a file may spell a name."""
        for prefix in ("", *self.layout.prefixes):
            yield prefix + name
            yield _other_separator(prefix + name)

    def _link(self, spelling: str) -> tuple[str, str] | None:
        """Return the keys of the link that leads from jets to a branch, if it needs one."""
        for prefix, link in self.layout.links.items():
            if spelling.startswith((prefix, _other_separator(prefix))):
                index = self._link_member(spelling, link, "m_persIndex")
                return index, self._link_member(spelling, link, "m_persKey")
        return None

    def _link_member(self, spelling: str, link: str, member: str) -> str:
        for start in (link, _other_separator(link)):
            name = f"{start}.{member}"
            key = name if name in self._keys else self._last.get(name)
            if key is not None:
                return key
        msg = (
            f"{self.source}: branch {spelling!r} is not parallel to the jets, and the link that "
            f"leads there is missing ({link}.{member}). Keep it when the file is made, or state a "
            "discriminant whose branches are those of the jets."
        )
        raise DataError(msg)


def _other_separator(name: str) -> str:
    """Write the first dot as a colon, as RNTuple does, or the first colon as a dot.

    Where there is neither, the first underscore becomes the dot of a field in a list of records.

    Example:
        >>> _other_separator("AnalysisJetsAuxDyn.pt"), _other_separator("Jet_pt")
        ('AnalysisJetsAuxDyn:pt', 'Jet.pt')
    """
    for old, new in ((".", ":"), (":", "."), ("_", ".")):
        if old in name:
            return name.replace(old, new, 1)
    return name
