"""The command line: a file for each command, such as ``fastrnn train``."""

import argparse
import contextlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

from ..distributed import started
from ..kernels.build import build_info
from ..screen import show
from ..settings import (
    ExportSettings,
    LookSettings,
    SampleSettings,
    SourceSettings,
    TrainSettings,
    declared,
)
from . import (
    chat,
    completion,
    exercise,
    export,
    gradcheck,
    import_,
    info,
    look,
    plot,
    presets,
    rank,
    report,
    sample,
    score,
    sweep,
    train,
    watch,
)
from .config import ConfigError
from .flags import Parser, in_flags, with_hyphens

COMMANDS = (train, sweep, watch, sample, chat, score, rank, report, plot, look, export, import_,
            gradcheck, exercise, info, presets, completion)
EXAMPLES = """to begin with:
  fastrnn train book.txt               a minute; without book.txt Python's own documentation
  fastrnn sample model.safetensors
  fastrnn train --help                 each command has its own help"""
NAMES = {*declared(TrainSettings), *declared(SampleSettings), *declared(SourceSettings),
         *declared(LookSettings), *declared(ExportSettings), "prior", "n"}


def name_of(command: ModuleType) -> str:
    """The name of a command, which is that of its file; ``import``, a word of Python, cannot be."""
    return command.__name__.rpartition(".")[2].rstrip("_")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        0; 1 where a gradient check fails, or a function of an exercise is not right, 3 where a
        gradient check is not conclusive; 2 on bad input; 130 after Ctrl-C, 143 after SIGTERM, 129
        after SIGHUP.
    """
    _open_streams()
    try:
        with _ending_signals() as ended, _one_speaker(arguments):
            status = _run(arguments)
        return ended() if status == 130 else status
    except KeyboardInterrupt:  # one more, while the first one was answered
        return 130


@contextlib.contextmanager
def _one_speaker(arguments: Sequence[str] | None) -> Iterator[None]:
    """A context in which of several processes that train together only rank 0 prints."""
    silent = (sys.argv[1:] if arguments is None else arguments)[:1] == ["train"] and started()[0]
    with contextlib.ExitStack() as stack:
        if silent:
            nowhere = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
            stack.enter_context(contextlib.redirect_stderr(nowhere))
        yield


@contextlib.contextmanager
def _ending_signals() -> Iterator[Callable[[], int]]:
    """A context in which SIGTERM and SIGHUP, unless they are ignored or handled, end a command as
    Ctrl-C does. Yields a function that returns the status of one that was ended."""
    status, before = 130, {}

    def on_signal(number: int, _: Any) -> None:
        nonlocal status
        status = 128 + number
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, on_signal)
    try:
        yield lambda: status
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(arguments: Sequence[str] | None) -> int:
    """Run the command line and return its status; 130 for one that a signal ended."""
    run: Callable[..., int] | None = None
    try:
        run, options = _parsed(sys.argv[1:] if arguments is None else arguments)
        with warnings.catch_warnings():  # a program that calls main keeps its own
            warnings.showwarning = _note
            return run(**options)
    except BrokenPipeError:  # head, or another reader, has left
        return 128 + 13 if run is train.run else 0  # a training that was cut off has failed
    except (ValueError, TypeError, OSError, ImportError, FloatingPointError) as error:
        text = str(error) if isinstance(error, ConfigError) else in_flags(str(error), NAMES)
        show(f"fastrnn: error: {text}", error=True)
        return 2
    except MemoryError as error:
        show(f"fastrnn: error: out of memory ({error}): choose smaller sizes", error=True)
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        _flush_streams()


def _open_streams() -> None:
    """Make standard output and standard error fit to be written to."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or getattr(stream, "closed", False):
            # else a file that is opened later, a checkpoint, would have its number
            setattr(sys, name, open(os.devnull, "w"))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a narrow terminal must not end a training


def _flush_streams() -> None:
    """Drop what could not be written, which Python would try again, and fail, when it ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _parsed(arguments: Sequence[str]) -> tuple[Callable[..., int], dict[str, Any]]:
    """The function of the command that is called, and its arguments."""
    parser, commands = _parser()
    try:
        known, unknown = parser.parse_known_args(with_hyphens(arguments))
    except SystemExit:
        show("", end="")  # help that could not be written is an error
        raise
    options = vars(known)
    if unknown:
        commands[options["command"]].refuse(unknown)
    del options["command"]
    return options.pop("run"), options


def _note(message: Warning | str, category: type[Warning], *where: Any,
          **more: Any) -> None:
    """Show a warning as one line, in the words of the command line; those that libraries have for
    programmers are left out."""
    if category is UserWarning:
        show(f"fastrnn: note: {in_flags(str(message), NAMES)}", error=True)


def _parser() -> tuple[Parser, dict[str, Parser]]:
    """The parser, and those of the commands by name."""
    how: dict[str, Any] = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = Parser(prog="fastrnn", description="Small recurrent networks, trained on a CPU.",
                    epilog=EXAMPLES, **how)
    parser.add_argument("--version", action="version", version=build_info()["version"])
    subs = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    commands = {}
    for command in COMMANDS:
        name = name_of(command)
        sub = commands[name] = subs.add_parser(
            name, help=command.__doc__, description=command.__doc__, **how)
        sub.set_defaults(run=command.run)
        command.add_arguments(sub)
    commands["completion"].set_defaults(parser=parser, commands=commands)
    return parser, commands
