"""The command ``truthtag``: its options, its exit codes, and errors without tracebacks.

Nothing heavy is imported before a command runs: help comes at once.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from truthtag import __version__
from truthtag.cli.output import Terminal, say
from truthtag.errors import TruthtagError

__all__ = ["main", "make_parser"]

GOOD = 0
BAD_INPUT = 1
STOPPED = 130
"""What a shell gives a process that Ctrl-C ended."""
NO_READER = 141
"""What a shell gives a process whose output nobody reads any more: that of ``| head``, say."""

DESCRIPTION = "Tagging efficiencies that know the whole event, as event weights."
EPILOG = (
    "Exit codes: 0 done; 1 an input, a config or a file is not as it must be; 2 the command is not "
    "written as it must be; 130 stopped by Ctrl-C. docs/command-line.md has examples."
)


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
        say(f"truthtag: stopped. {str(stop) or 'Nothing was written.'}", terminal.err)
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
            code: int = given.run(given, terminal)
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


def make_parser() -> argparse.ArgumentParser:
    """Return what understands the command line."""
    parser = argparse.ArgumentParser(prog="truthtag", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"truthtag {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (_add_check, _add_inspect):
        add(commands)
    return parser


Commands = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "Check a config of the workflow: say what it would do, or what is wrong with it."
    epilog = (
        "Several configs are one: a later one is laid on those before it, as with "
        "snakemake --configfile. Paths of samples are those from the working folder, where "
        "snakemake is started. Nothing is started or written."
    )
    parser = commands.add_parser("check", help=text, description=text, epilog=epilog)
    parser.add_argument("configs", metavar="CONFIG", nargs="+", help="config, a YAML file")
    parser.add_argument(
        "--workflow",
        metavar="FOLDER",
        help="folder of the workflow, which holds Snakefile and config/ with the configs that "
        "others lie on; by default the working folder, one above a CONFIG, or where truthtag was "
        "installed from",
    )
    parser.set_defaults(run=_check)


def _check(given: argparse.Namespace, terminal: Terminal) -> int:
    from truthtag.cli.check import check

    for line in check(given.configs, given.workflow):
        say(line, terminal.out)
    return GOOD


def _add_inspect(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "Say what a file or folder of truthtag is: schema, provenance, ranges, a sketch."
    epilog = (
        "A sample, a table of events, a prediction, weights, histograms, a map, a network, an "
        "ensemble, an ONNX model, a correctionlib file, a friend tree. Nothing in a file is ever "
        "executed."
    )
    parser = commands.add_parser("inspect", help=text, description=text, epilog=epilog)
    parser.add_argument("paths", metavar="FILE", nargs="+", help="file or folder")
    parser.set_defaults(run=_inspect)


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
