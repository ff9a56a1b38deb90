"""What the command ``truthtag`` understands. Only argparse is imported: help comes at once."""

from __future__ import annotations

import argparse
from importlib import import_module

__all__ = ["make_parser"]

DESCRIPTION = "Tagging efficiencies that know the whole event, as event weights."
EPILOG = (
    "Exit codes: 0 done; 1 an input, a config or a file is not as it must be; 2 the command is not "
    "written as it must be; 130 stopped by Ctrl-C. docs/command-line.md has examples."
)


def make_parser() -> argparse.ArgumentParser:
    """Return what understands the command line."""
    parser = argparse.ArgumentParser(prog="truthtag", description=DESCRIPTION, epilog=EPILOG)
    # The package itself is no room that a module could import from.
    version = import_module("truthtag").__version__
    parser.add_argument("--version", action="version", version=f"truthtag {version}")
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
    parser.set_defaults(command="check")


def _add_inspect(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "Say what a file or folder of truthtag is: schema, provenance, ranges, a sketch."
    epilog = (
        "A sample, a table of events, a prediction, weights, histograms, a map, a network, an "
        "ensemble, an ONNX model, a correctionlib file, a friend tree. Nothing in a file is ever "
        "executed."
    )
    parser = commands.add_parser("inspect", help=text, description=text, epilog=epilog)
    parser.add_argument("paths", metavar="FILE", nargs="+", help="file or folder")
    parser.set_defaults(command="inspect")


def _add_export(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "Write an efficiency as a file that other programs read: ONNX or correctionlib."
    parser = commands.add_parser("export", help=text, description=text)
    parser.add_argument("model", metavar="MODEL", help="file or folder of an estimator")
    parser.add_argument(
        "--to",
        required=True,
        choices=("onnx", "athena", "correctionlib"),
        help="onnx: networks, for onnxruntime; athena: the same with the inputs and outputs that "
        "ATLAS's truth tagging expects; correctionlib: maps, parametric fits "
        "and additive models",
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
        "--domain",
        metavar="FILE",
        help="for ONNX: domain.parquet of the results, for the ranges of training in the metadata; "
        "by default the one beside MODEL, if it is there",
    )
    parser.add_argument(
        "--by-fold",
        action="store_true",
        help="write a file for each fold of the training sample: what did not see its events",
    )
    _add_trust(parser)
    parser.set_defaults(command="export")


def _add_trust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trust",
        metavar="MODULE:CLASS",
        action="append",
        default=[],
        help="kind of estimator of your own that may be imported; those of installed packages are "
        "known",
    )


def _add_weigh(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "Weight the events of files with an efficiency: a friend tree or table for each."
    epilog = (
        "An INPUT is a sample that truthtag wrote, or a file of your own: NanoAOD or PHYSLITE, or "
        "what --config with --reader, or --format and what follows it, say. Jets count with pt "
        "above 20 GeV and abs(eta) below 2.5 unless stated otherwise. Tags are not needed, "
        "flavours are. Memory does not grow with the number of events."
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
        "--held-out",
        action="store_true",
        help="INPUT is a training sample of an efficiency with folds: weigh each event with what "
        "did not see it",
    )
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
        "--domain",
        metavar="FILE",
        help="domain.parquet of the results: count the jets outside it, which takes some time; by "
        "default those outside the ranges of training are counted, where they are known",
    )
    _add_reading(parser)
    _add_trust(parser)
    parser.set_defaults(command="weigh")


def _add_reading(parser: argparse.ArgumentParser) -> None:
    """Add options that say how files are read."""
    config = parser.add_argument_group("files read as a config of the workflow says")
    config.add_argument(
        "--config", metavar="CONFIG", action="append", default=[], help="config, a YAML file"
    )
    config.add_argument("--reader", metavar="NAME", help="its reader, where it has several")
    config.add_argument("--workflow", metavar="FOLDER", help="as for truthtag check")
    stated = parser.add_argument_group("or as is stated here")
    stated.add_argument(
        "--format",
        choices=("nanoaod", "physlite", "root", "parquet"),
        help="by default as the names and trees of files tell: nanoaod, physlite or parquet",
    )
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
