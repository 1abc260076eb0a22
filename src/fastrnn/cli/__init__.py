"""The command line: a file for each command, such as ``fastrnn train``."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from ..kernels.build import build_info
from ..settings import SampleSettings, SourceSettings, TrainSettings, declared
from . import gradcheck, info, presets, sample, score, train
from .config import ConfigError
from .flags import Parser, in_flags, with_hyphens

COMMANDS = (train, sample, score, gradcheck, info, presets)
NAMES = {*declared(TrainSettings), *declared(SampleSettings), *declared(SourceSettings)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        0; 1 where a gradient check fails, 3 where it is not conclusive; 2 on bad input; 130
        after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):  # a narrow terminal must not end an hour of training
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    parser, commands = _parser()
    given = with_hyphens(sys.argv[1:] if arguments is None else arguments)
    known, unknown = parser.parse_known_args(given)
    options = vars(known)
    if unknown:
        commands[options["command"]].refuse(unknown)
    del options["command"]
    run: Callable[..., int] = options.pop("run")
    try:
        with warnings.catch_warnings():  # a program that calls main keeps its own
            warnings.showwarning = _note
            status = run(**options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # head, or another reader, has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13 if run is train.run else 0  # a training that was cut off has failed
    except (ValueError, TypeError, OSError, ImportError, FloatingPointError) as error:
        text = str(error) if isinstance(error, ConfigError) else in_flags(str(error), NAMES)
        print(f"fastrnn: error: {text}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"fastrnn: error: out of memory ({error}): choose smaller sizes", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _note(message: Warning | str, category: type[Warning], *where: Any,
          **more: Any) -> None:
    """Show a warning as one line, in the words of the command line; those that libraries have for
    programmers are left out."""
    if category is UserWarning:
        print(f"fastrnn: note: {in_flags(str(message), NAMES)}", file=sys.stderr)


def _parser() -> tuple[Parser, dict[str, Parser]]:
    """The parser, and those of the commands by name."""
    parser = Parser(prog="fastrnn", description="Small recurrent networks, trained on a CPU.")
    parser.add_argument("--version", action="version", version=build_info()["version"])
    subs = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    commands = {}
    for command in COMMANDS:
        name = command.__name__.rpartition(".")[2]
        sub = commands[name] = subs.add_parser(
            name, help=command.__doc__, description=command.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter)
        sub.set_defaults(run=command.run)
        command.add_arguments(sub)
    return parser, commands
