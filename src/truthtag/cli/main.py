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
    for add in (_add_check, _add_inspect, _add_export, _add_weigh):
        add(commands)
    return parser


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


def _add_export(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "Write an efficiency as a file that other programs read: ONNX or correctionlib."
    parser = commands.add_parser("export", help=text, description=text)
    parser.add_argument("model", metavar="MODEL", help="file or folder of an estimator")
    parser.add_argument(
        "--to",
        required=True,
        choices=("onnx", "athena", "correctionlib"),
        help="onnx: networks, for onnxruntime; athena: the same with the inputs and outputs that "
        "ATLAS's truth tagging expects; correctionlib: maps and parametric fits",
    )
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="file to write")
    parser.add_argument("--point", metavar="NAME", help="for ONNX: the working point, of several")
    parser.add_argument(
        "--working-point",
        metavar="NAME",
        action="append",
        default=[],
        help="for correctionlib: what a working point is called in the file, L say; once for each, "
        "the loosest first",
    )
    parser.add_argument(
        "--names",
        choices=("cms", "truthtag"),
        help="for correctionlib: names of the inputs, those of CMS (default) or of truthtag",
    )
    parser.add_argument(
        "--by-fold",
        action="store_true",
        help="write a file for each fold of the training sample, FILE.fold_0 and so on",
    )
    _add_trust(parser)
    parser.set_defaults(run=_export)


def _add_trust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trust",
        metavar="MODULE:CLASS",
        action="append",
        default=[],
        help="kind of estimator of your own that may be imported; those of installed packages are "
        "known",
    )


def _export(given: argparse.Namespace, terminal: Terminal) -> int:
    from truthtag.cli.export import Request, export

    request = Request(
        model=given.model,
        target=given.to,
        output=given.output,
        point=given.point,
        working_points=tuple(given.working_point),
        names=given.names,
        by_fold=given.by_fold,
        trusted=tuple(given.trust),
    )
    for line in export(request):
        say(line, terminal.out)
    return GOOD


def _add_weigh(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "Weight the events of files with an efficiency: a friend tree or table for each."
    epilog = (
        "An INPUT is a sample that truthtag wrote, or a file of your own: NanoAOD by default, else "
        "as --config with --reader, or --format and what follows it, say. Jets count with pt above "
        "20 GeV and abs(eta) below 2.5 unless stated otherwise. Tags are not needed, flavours are. "
        "Memory does not grow with the number of events."
    )
    parser = commands.add_parser("weigh", help=text, description=text, epilog=epilog)
    parser.add_argument("model", metavar="MODEL", help="file or folder of an efficiency, .onnx too")
    parser.add_argument("inputs", metavar="INPUT", nargs="+", help="file or folder with events")
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUTPUT",
        required=True,
        help="folder, or for a single INPUT a .root or .parquet file; never an INPUT",
    )
    parser.add_argument(
        "--parquet", action="store_true", help="write a Parquet table beside each tree"
    )
    parser.add_argument("--point", metavar="NAME", help="weigh at one working point, of several")
    parser.add_argument(
        "--tags", metavar="N", type=int, help="largest number of tags that is told apart (3)"
    )
    parser.add_argument(
        "--leading", metavar="N", type=int, help="count the N hardest jets of an event only"
    )
    parser.add_argument(
        "--keep-tags-of",
        metavar="FLAVOUR",
        type=int,
        action="append",
        default=[],
        help="hybrid tagging: jets of this flavour, 5 say, keep their tag",
    )
    parser.add_argument(
        "--direct",
        action="store_true",
        help="read the tags, too, and say what tagged events sum to",
    )
    parser.add_argument(
        "--domain", metavar="FILE", help="domain.parquet of the results: count the jets outside it"
    )
    _add_reading(parser)
    _add_trust(parser)
    parser.set_defaults(run=_weigh)


def _add_reading(parser: argparse.ArgumentParser) -> None:
    """Add options that say how files are read."""
    config = parser.add_argument_group("files read as a config of the workflow says")
    config.add_argument(
        "--config", metavar="CONFIG", action="append", default=[], help="config, a YAML file"
    )
    config.add_argument("--reader", metavar="NAME", help="its reader, where it has several")
    config.add_argument("--workflow", metavar="FOLDER", help="as for truthtag check")
    stated = parser.add_argument_group("or as is stated here")
    stated.add_argument("--format", choices=("nanoaod", "physlite", "root", "parquet"))
    stated.add_argument("--tree", metavar="NAME", help="tree with a row per event")
    stated.add_argument(
        "--column",
        metavar="NAME=BRANCH",
        type=_assigned,
        action="append",
        default=[],
        help="branch or formula of a column: weight=1 where events have no weight",
    )
    stated.add_argument(
        "--input",
        metavar="NAME=BRANCH",
        type=_assigned,
        action="append",
        default=[],
        help="branch of a further column that the efficiency needs",
    )
    stated.add_argument("--discriminant", metavar="BRANCH", help="discriminant of the tagger")
    stated.add_argument(
        "--working-point",
        metavar="NAME=THRESHOLD",
        type=_threshold,
        action="append",
        default=[],
        help="working point of the tagger; once for each, the loosest first",
    )
    stated.add_argument("--pt-min", metavar="GEV", type=float, help="jets count above (20)")
    stated.add_argument("--abs-eta-max", metavar="ETA", type=float, help="jets count below (2.5)")


def _assigned(text: str) -> tuple[str, str]:
    """Return name and value of ``name=value``."""
    name, sign, value = text.partition("=")
    if not (name and sign and value):
        msg = f"{text!r} is no NAME=VALUE"
        raise argparse.ArgumentTypeError(msg)
    return name, value


def _threshold(text: str) -> tuple[str, float]:
    """Return name and threshold of a working point."""
    name, value = _assigned(text)
    try:
        return name, float(value)
    except ValueError as error:
        msg = f"{value!r} is no number; NAME=THRESHOLD is wanted"
        raise argparse.ArgumentTypeError(msg) from error


def _weigh(given: argparse.Namespace, terminal: Terminal) -> int:
    from truthtag.cli.weigh import Request, weigh

    request = Request(
        model=given.model,
        inputs=tuple(given.inputs),
        output=given.output,
        parquet=given.parquet,
        trusted=tuple(given.trust),
        domain=given.domain,
        point=given.point,
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
