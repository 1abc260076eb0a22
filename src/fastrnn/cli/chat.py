"""Go on with what you type: a small model continues a text, it does not answer questions."""

import argparse
import contextlib
import importlib
import math
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypedDict

import numpy as np

from ..model.continuing import Conversation
from ..model.labels import probabilities
from ..model.model import Model
from ..screen import is_terminal, show
from ..settings import SampleSettings, Setting, declared, whole
from ..training.checkpoint import load
from ..validate import boolean
from .flags import add_settings, converter, read_label
from .shades import show_symbols

LENGTH = {"char": 200, "byte": 200, "word": 40, "bpe": 60}  # of an answer, where it is not given
ABOUT = """What you type is read by the model, which goes on from there until the line ends, or for
--length symbols. Its answers are as its training text goes on, not what a person would answer. It
remembers the lines before. For a model of records, such as names, each line that you type is the
beginning of a record.

While it runs, lines that begin with / are commands: /help lists them. Ctrl-C ends an answer, Ctrl-D
the program. Without a terminal each line of standard input is answered.

examples:
  fastrnn chat model.safetensors --temperature 0.7
  fastrnn chat names.safetensors --label Netherlands
  echo "ROMEO:" | fastrnn chat model.safetensors --seed 1"""


class AnswerSettings(TypedDict, total=False):
    """How long an answer is, and what is read before it."""

    length: Annotated[int | None, whole(
        None, "The most symbols of an answer, or of a record (default: 200, 40 words or "
        "60 tokens).")]
    line_end: Annotated[bool, Setting(False, boolean, "Whether a line end is read after each line "
                                      "that you type, so that the answer begins a new line.")]


DRAWN = declared(SampleSettings)
SETTINGS = declared(AnswerSettings) | DRAWN
LEFT_OUT = ("prime", "echo", "max_length", "new_only", "stop", "seed")
SWITCH = {"on": True, "off": False}
COMMANDS = {"again": "another answer to the same line",
            "reset": "forget all that was read and written",
            "help": "list these commands", "quit": "end, as Ctrl-D does"}
LABEL = "A label, or a mixture such as Netherlands=0.5,Poland=0.5."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = ABOUT
    parser.add_argument("model", metavar="MODEL", help="a checkpoint")
    parser.add_argument("--best", action=argparse.BooleanOptionalAction, default=None,
                        help="the model of the lowest validation loss, or else smoothed loss, in "
                             "place of the last (default: if there were validations)")
    parser.add_argument("--label", default=argparse.SUPPRESS, metavar="LABEL",
                        help=f"for records with labels. {LABEL}")
    add_settings(parser, AnswerSettings)
    add_settings(parser, SampleSettings, leave_out={*LEFT_OUT, "label"} - {"seed"})


def run(model: str, best: bool | None, **given: Any) -> int:
    chat = Chat(load(model, best=best), given)
    typed = is_terminal(sys.stdin) and is_terminal(sys.stdout)
    if typed:
        with contextlib.suppress(ImportError):  # with it arrows bring back the lines before
            importlib.import_module("readline")
        show(chat.welcome())
    failed = False
    for line in _lines(typed):
        try:
            if not chat.take(line, typed):
                break
        except (ValueError, TypeError) as error:
            show(f"error: {error}", error=True)
            failed = True
    return 2 if failed and not typed else 0


def _lines(typed: bool) -> Iterator[str]:
    """The lines of standard input."""
    if sys.stdin is None or sys.stdin.closed:
        return
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="surrogateescape")  # what is no UTF-8 are unknown characters
    if not typed:
        for line in sys.stdin:
            yield line.rstrip("\r\n")
        return
    try:
        while True:
            yield input("> ")
    except EOFError:
        show("")
    except KeyboardInterrupt:
        show("")
        raise


class Chat:
    """A model that goes on with lines: its settings, and what was read and written so far."""

    def __init__(self, model: Model, given: dict[str, Any]) -> None:
        self.model, self.vocabulary = model, model.text_vocabulary
        unit, symbols = self.vocabulary.unit, self.vocabulary.symbols
        self.records = self.vocabulary.stop is not None
        self.has_lines = not self.records and bool({"\n", ord("\n")} & {*symbols})
        self.rng = np.random.default_rng(given.pop("seed", None))
        left_out = {*LEFT_OUT, *(() if model.config["labels"] else ("label",)),
                    *(() if self.has_lines else ("line_end",))}
        self.settings = {name: one for name, one in SETTINGS.items() if name not in left_out}
        self.values = {name: one.setting.default for name, one in self.settings.items()}
        self.values["length"] = LENGTH[unit]
        for name, value in given.items():
            if name not in self.settings:
                raise ValueError(f"--{name.replace('_', '-')} is not for this model: leave it out")
            self.change(name, value)
        self.line: str | None = None  # the last that was answered
        self.reset()
        if model.config["labels"]:  # says which there are, where none is given
            probabilities(model.config["labels"], self.values["label"], 1, model.block.dtype)

    def reset(self) -> None:
        """Forget all that was read and written."""
        self.line = None
        self.before = self.text = Conversation(self.model, self.vocabulary, self.model.starts)

    def welcome(self) -> str:
        what = ("Type the beginning of a record, and the model completes it." if self.records else
                "The model goes on with what you type"
                + (" until the line ends." if self.has_lines else "."))
        return (f"{what} It does not answer questions.\n"
                "/help lists commands; Ctrl-C ends an answer, Ctrl-D the program.")

    def take(self, line: str, typed: bool) -> bool:
        """Answer a line, or obey it; False at the end."""
        if not line.startswith("/") or line.startswith("//"):
            self._answer(line.removeprefix("/") if line.startswith("//") else line, typed)
            return True
        word, _, text = line[1:].strip().partition(" ")
        name = self._command(word)
        if name in self.settings:
            if text:
                self._set(name, text.strip())
            show(self._shown(name))
        elif name == "help":
            show(self._help())
        elif name == "reset":
            self.reset()
        elif name == "again":
            if self.line is None:
                raise ValueError("there is no answer yet: type a line first")
            self.text = self.before
            self._answer(self.line, typed)
        return name != "quit"

    def _command(self, word: str) -> str:
        """The name of a command, which may be abbreviated."""
        names, name = [*COMMANDS, *self.settings], word.replace("-", "_")
        found = [name] if name in names else [one for one in names if one.startswith(name)]
        if len(found) != 1 or not name:
            near = ", ".join(_slashed(one) for one in found) if name else ""
            raise ValueError(f"there is no command /{word}: {near or '/help'} "
                             f"{'could be meant' if near else 'lists them'}; a text that begins "
                             "with / is typed with //")
        return found[0]

    def change(self, name: str, value: Any) -> None:
        """Set a setting; ValueError or TypeError for a wrong value."""
        if name == "label":
            value = read_label(value, self.model.config["labels"])
            probabilities(self.model.config["labels"], value, 1, self.model.block.dtype)
        self.values[name] = self.settings[name].checked(value)

    def _set(self, name: str, text: str) -> None:
        """Set a setting to what was typed; errors call it as it is typed."""
        one = self.settings[name]
        kind = "on or off" if bool in one.kinds else (
            "a whole number" if int in one.kinds else "a number")
        try:
            value = SWITCH[text] if bool in one.kinds else converter(one)(text)
        except (KeyError, ValueError):
            raise ValueError(f"{_slashed(name)} must be {kind}, not {text!r}") from None
        try:
            self.change(name, value)
        except (ValueError, TypeError) as error:
            raise ValueError(str(error).replace(f"{name} must", f"{_slashed(name)} must")) from None

    def _shown(self, name: str) -> str:
        """A setting as it is typed."""
        value = self.values[name]
        if isinstance(value, bool):
            value = {on: word for word, on in SWITCH.items()}[value]
        elif isinstance(value, dict):
            value = ",".join(f"{label}={weight:g}" for label, weight in value.items())
        elif isinstance(value, float):
            value = f"{value:g}"
        return f"{_slashed(name)} {'none' if value is None else value}"

    def _help(self) -> str:
        texts = {f"/{name}": text for name, text in COMMANDS.items()} | {
            self._shown(name): LABEL if name == "label" else one.setting.text
            for name, one in self.settings.items()}
        return "\n".join(textwrap.fill(text, 80, initial_indent=f"{name:<23} ",
                                       subsequent_indent=24 * " ") for name, text in texts.items())

    def _answer(self, line: str, typed: bool) -> None:
        """Read a line and print what the model writes."""
        missing = [*map(repr, self.vocabulary.missing(line))]
        if missing:
            what = "words" if self.vocabulary.unit == "word" else "characters"
            raise ValueError(f"the model has never read the {what} {', '.join(missing[:9])}: "
                             "nothing was read, type the line without them")
        given: Any = line
        if self.vocabulary.unit == "byte":
            given = line.encode("utf-8", "surrogateescape")
        with _stopping(typed) as stopped:
            show_symbols(_until(stopped, self._symbols(given)), colored=False)
        self.line = line

    def _symbols(self, given: Any) -> Iterator[str]:
        """What the model writes after a line; of a record all of it."""
        how = {name: value for name, value in self.values.items() if name in DRAWN}
        how["seed"] = int(self.rng.integers(2**31))
        if self.records:
            return self.model.stream(length=self.values["length"], prime=given, echo=True, **how)
        self.before = self.text.copy()
        if given and self.has_lines and self.text.last not in (None, "\n", ord("\n")):
            self.text.read("\n")  # a line that is typed begins a line, as on the screen
        self.text.read(given)
        if self.values.get("line_end"):
            self.text.read("\n")
        symbols = self.text.write(self.values["length"], how)
        return _one_line(symbols) if self.has_lines else symbols


def _slashed(name: str) -> str:
    return f"/{name.replace('_', '-')}"


def _one_line(symbols: Iterator[str]) -> Iterator[str]:
    """The symbols up to the end of the first line that is not empty."""
    written = False
    for symbol in symbols:
        if symbol == "\n":
            if written:
                return
        else:
            written = written or symbol != "\r"
            yield symbol


def _until(stopped: Callable[[], bool],
           symbols: Iterator[str]) -> Iterator[tuple[str, float]]:
    """The symbols, without surprisal, up to the one after which it is stopped."""
    for symbol in symbols:
        yield symbol, math.nan
        if stopped():
            return


@contextlib.contextmanager
def _stopping(typed: bool) -> Iterator[Callable[[], bool]]:
    """A context that yields a function which says whether Ctrl-C was typed: the first one only
    sets this flag, so that an answer ends and the program goes on."""
    stopped = False

    def on_signal(*_: Any) -> None:
        nonlocal stopped
        if stopped:
            raise KeyboardInterrupt
        stopped = True

    before = signal.getsignal(signal.SIGINT)
    usual = typed and before is signal.default_int_handler and (
        threading.current_thread() is threading.main_thread())
    if usual:
        signal.signal(signal.SIGINT, on_signal)
    try:
        yield lambda: stopped
    finally:
        if usual:
            signal.signal(signal.SIGINT, before)
