"""What the command line writes: lines, aligned tables, reports; one function writes them all."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TextIO

__all__ = ["Report", "Terminal", "number", "plural", "say", "table", "visible"]

GAP = "  "
"""What separates columns of a table."""

WIDTH = 100
"""Letters of a line, where its words allow."""

PLAIN = str.maketrans("▁▂▃▄▅▆▇█±×", ".:-=+*#@~x")
"""What stands for letters that a stream does not have."""


class Terminal(NamedTuple):
    """Where a command writes.

    Attributes:
        out: For results.
        err: For errors and progress.
    """

    out: TextIO
    err: TextIO


def say(text: str, stream: TextIO) -> None:
    """Write text and a line end to a stream.

    Names and metadata of a file can hold anything: what is no printable character, or not one of
    the stream's encoding, is written as an escape, so that no file steers the terminal.

    Args:
        text: A line, or several.
        stream: Where to write.
    """
    encoding = getattr(stream, "encoding", None) or "utf-8"
    shown = visible(text)
    try:
        shown.encode(encoding)
    except UnicodeEncodeError:
        shown = shown.translate(PLAIN).encode(encoding, "backslashreplace").decode(encoding)
    stream.write(shown + "\n")


def visible(text: str) -> str:
    r"""Return text with all that cannot be printed as escapes; line ends stay.

    Example:
        >>> print(visible("pt\x1b[2J"))
        pt\x1b[2J
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


@dataclass(frozen=True)
class Report:
    """What is said of a file: what it is, facts by name, and blocks of lines.

    Args:
        what: What it is, in a few words.
        facts: What is known of it, by name; those without a text are left out.
        blocks: Tables and sketches, each some lines.
    """

    what: str
    facts: Mapping[str, str] = field(default_factory=dict)
    blocks: Sequence[Sequence[str]] = ()

    def lines(self, name: str) -> Iterator[str]:
        """Go through the lines of the report.

        Args:
            name: What the first line calls the file.
        """
        yield f"{name}: {self.what}"
        stated = {fact: text for fact, text in self.facts.items() if text}
        width = max(map(len, stated), default=0)
        for fact, text in stated.items():
            first, *rest = _wrapped(text, WIDTH - width - 2 * len(GAP))
            yield f"{GAP}{fact:<{width}}{GAP}{first}"
            for line in rest:
                yield f"{GAP}{'':<{width}}{GAP}{line}"
        for block in self.blocks:
            if block:
                yield ""
            for line in block:
                yield f"{GAP}{line}".rstrip()


def _wrapped(text: str, width: int) -> list[str]:
    """Return text in lines that are no longer than so many letters, where it has spaces."""
    lines = []
    for line in text.splitlines():
        lines += textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False)
    return lines or [""]


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    r"""Return a table as lines, its columns aligned.

    Args:
        header: What the columns are called.
        rows: A text for each column.
        left: How many of the columns begin at their left end; numbers end at their right one.

    Example:
        >>> print("\n".join(table(["column", "least"], [["pt", "20"], ["eta", "-2.5"]])))
        column  least
        pt         20
        eta      -2.5
    """
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    found = []
    for line in lines:
        cells = []
        for position, (text, width) in enumerate(zip(line, widths, strict=True)):
            cells.append(text.ljust(width) if position < left else text.rjust(width))
        found.append(GAP.join(cells).rstrip())
    return found


def number(value: float) -> str:
    """Return a number as a reader wants it: integers as they are, others rounded.

    Example:
        >>> number(35143), number(0.123456789), number(20.0)
        ('35143', '0.123457', '20')
    """
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def plural(count: int, what: str, several: str = "") -> str:
    """Return a count with what is counted.

    Example:
        >>> plural(1, "event"), plural(1200, "event"), plural(2, "entry", "entries")
        ('1 event', '1,200 events', '2 entries')
    """
    return f"{count:,} {what if count == 1 else several or what + 's'}"
