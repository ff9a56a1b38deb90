"""The command ``truthtag``: its options, its exit codes, and errors without tracebacks.

Nothing heavy is imported before a command runs: help comes at once.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from truthtag.cli.arguments import make_parser
from truthtag.cli.output import Terminal, say
from truthtag.errors import TruthtagError

__all__ = ["main"]

GOOD = 0
BAD_INPUT = 1
STOPPED = 130
"""What a shell gives a process that Ctrl-C ended."""
NO_READER = 141
"""What a shell gives a process whose output nobody reads any more: that of ``| head``, say."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: What follows the name of the program; by default those of the process.

    Returns:
        The exit code: 0; 1 for bad input; 2 for bad usage; 130 where Ctrl-C ended it; 141 where
        nobody reads its output.
    """
    terminal = Terminal(sys.stdout, sys.stderr)
    try:
        code = _run(arguments, terminal)
        terminal.out.flush()
    except BrokenPipeError:
        _forget_output()
        return NO_READER
    except KeyboardInterrupt as stop:
        say(f"truthtag: stopped. {str(stop) or 'What was written is whole.'}", terminal.err)
        return STOPPED
    return code


def _run(arguments: Sequence[str] | None, terminal: Terminal) -> int:
    """Run a command, and say what is wrong with its input."""
    try:
        given = make_parser().parse_args(arguments)
    except SystemExit as end:
        # Help, the version, and errors of usage, which argparse has written.
        return int(end.code or 0)
    try:
        with _log_shown(terminal):
            code = _COMMANDS[given.command](given, terminal)
    except TruthtagError as error:
        say(f"truthtag: error: {error}", terminal.err)
        return BAD_INPUT
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is None:
            _say_fault(terminal)
            raise
        say(f"truthtag: error: {error.filename}: {error.strerror}. Check the path.", terminal.err)
        return BAD_INPUT
    except Exception:
        _say_fault(terminal)
        raise
    return code


def _say_fault(terminal: Terminal) -> None:
    text = (
        "truthtag: this is a fault of the program, not of its input. Please report it with what "
        "follows:"
    )
    say(text, terminal.err)


def _forget_output() -> None:
    """Send what is still to be written to nowhere, so that the end of the process is quiet."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Shown(logging.Handler):
    """Writes progress and warnings of the library to a terminal."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__(logging.INFO)
        self.terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        what = " warning:" if record.levelno >= logging.WARNING else ""
        say(f"truthtag:{what} {record.getMessage()}", self.terminal.err)


@contextmanager
def _log_shown(terminal: Terminal) -> Iterator[None]:
    """Show what the library logs while the block runs."""
    logger = logging.getLogger("truthtag")
    level = logger.level
    handler = _Shown(terminal)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _check(given: argparse.Namespace, terminal: Terminal) -> int:
    from truthtag.cli.check import check

    for line in check(given.configs, given.workflow):
        say(line, terminal.out)
    return GOOD


def _inspect(given: argparse.Namespace, terminal: Terminal) -> int:
    from truthtag.cli.inspect import inspect

    code = GOOD
    for position, path in enumerate(given.paths):
        if position:
            say("", terminal.out)
        try:
            for line in inspect(path):
                say(line, terminal.out)
        except TruthtagError as error:
            # The others are looked at all the same.
            say(f"truthtag: error: {error}", terminal.err)
            code = BAD_INPUT
    return code


def _export(given: argparse.Namespace, terminal: Terminal) -> int:
    from truthtag.cli.export import Request, export

    request = Request(
        model=given.model,
        target=given.to,
        output=given.output,
        point=given.point,
        working_points=tuple(given.working_point),
        names=given.names,
        domain=given.domain,
        by_fold=given.by_fold,
        trusted=tuple(given.trust),
    )
    for line in export(request):
        say(line, terminal.out)
    return GOOD


def _weigh(given: argparse.Namespace, terminal: Terminal) -> int:
    from truthtag.cli.reading import Request
    from truthtag.cli.weigh import weigh

    request = Request(
        model=given.model,
        inputs=tuple(given.inputs),
        output=given.output,
        parquet=given.parquet,
        trusted=tuple(given.trust),
        domain=given.domain,
        point=given.point,
        held_out=given.held_out,
        tags=given.tags,
        leading=given.leading,
        keep_tags_of=tuple(given.keep_tags_of),
        direct=given.direct,
        configs=tuple(given.config),
        workflow=given.workflow,
        reader=given.reader,
        stated=_stated(given),
        working_points=dict(given.working_point),
        branches=dict(given.input),
    )
    for line in weigh(request):
        say(line, terminal.out)
    return GOOD


def _stated(given: argparse.Namespace) -> dict[str, object]:
    """Return the options of a reader that the command line states."""
    options = {
        "format": given.format,
        "tree": given.tree,
        "discriminant": given.discriminant,
        "columns": dict(given.column) or None,
        "pt": None if given.pt_min is None else [given.pt_min, None],
        "abs_eta": None if given.abs_eta_max is None else [None, given.abs_eta_max],
    }
    return {name: value for name, value in options.items() if value is not None}


_COMMANDS: Mapping[str, Callable[[argparse.Namespace, Terminal], int]] = {
    "check": _check,
    "inspect": _inspect,
    "export": _export,
    "weigh": _weigh,
}
