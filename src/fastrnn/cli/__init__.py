"""The command line: ``fastrnn train``, ``sample``, ``gradcheck`` and ``info``, one file each."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from ..kernels.build import build_info
from . import gradcheck, info, sample, train

COMMANDS = (train, sample, gradcheck, info)


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
    options = vars(_parser().parse_args(arguments))
    run: Callable[..., int] = options.pop("run")
    try:
        status = run(**options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # head, or another reader, has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13 if run is train.run else 0  # a training that was cut off has failed
    except (ValueError, TypeError, OSError, ImportError, FloatingPointError) as error:
        print(f"fastrnn: error: {error}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"fastrnn: error: out of memory ({error}): choose smaller sizes", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastrnn", description="Small recurrent networks, trained on a CPU.")
    parser.add_argument("--version", action="version", version=build_info()["version"])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        name = command.__name__.rpartition(".")[2]
        sub = commands.add_parser(name, help=command.__doc__, description=command.__doc__)
        sub.set_defaults(run=command.run)
        command.add_arguments(sub)
    return parser
