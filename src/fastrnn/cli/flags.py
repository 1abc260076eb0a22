"""A flag for each declared setting, ``--hidden-size`` for ``hidden_size``.

A flag that is not given is not in the result: then a configuration file can set it, and otherwise
the Python call has the only default. Flags may be written with underscores and with one dash, as
in char-rnn and torch-rnn, and may be abbreviated.
"""

import argparse
import difflib
import re
import shlex
from collections.abc import Callable, Collection, Sequence
from typing import Any, NoReturn, get_origin

from ..screen import show
from ..settings import Declared, declared
from ..validate import finite_float

# The names of karpathy/char-rnn and jcjohnson/torch-rnn where theirs differ from ours.
OTHER_NAMES = {
    "cell": ["--model-type"],  # char-rnn's --model is in the parser of train
    "hidden_size": ["--rnn-size"],
    "embedding_size": ["--wordvec-size"],
    "epochs": ["--max-epochs"],
    "clip_value": ["--grad-clip"],
    "learning_rate": ["--lr"],
    "learning_rate_decay": ["--lr-decay-factor"],
    "valid_fraction": ["--val-frac"],
    "valid_every": ["--eval-val-every"],
    "checkpoint": ["--checkpoint-name"],
    "prime": ["--primetext", "--start-text"],
    "n": ["-n"],
}
# settings that are said in other words on the command line, where they are not what they are in
# Python
IN_OTHER_WORDS = {
    "callback_every": argparse.SUPPRESS,  # there is no callback
    "column": "In place of --columns: the column of records that are learned without labels, by "
              "name or number.",
    "epochs": "Number of passes over the training data.",
    "labels": "The labels of records, which are inputs of the model; where not given those of the "
              "data.",
    "prime": "Text that the model reads first. Without it the first symbol is one with which a "
             "line (or, of words, a sentence) of the training text begins, as often as there.",
    "stop": "The text ends before the first occurrence of this string.",
    "teacher": "A trained model whose probabilities are learned beside the text, by a smaller one "
               "for example. It has the same symbols.",
    "valid": "A file of validation data, in place of --valid-fraction, read as the training data. "
             "Its symbols must be among those of the training data.",
    "vocabulary": "The symbols, where the file does not have them: a fastrnn model that has the "
                  "same, or a .json file with a list of the symbols in the order of their ids. "
                  "Where not given symbols are only known by number.",
}
# where 0 means on the command line, as in those programs, what None means in Python
ZERO_IS_NONE = ("clip_value", "clip_norm", "embedding_size", "patience", "valid_every")
COLOR = ("auto", "always", "never")  # when to colour
# the first setting of each group in --help
GROUPS = {"cell": "network", "seq_length": "batches", "optimizer": "optimizer",
          "epochs": "length and validation", "threads": "screen and files",
          "preset": "where to start"}


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with the nearest flag for one that it does not know."""

    def error(self, message: str) -> NoReturn:
        message = message.removeprefix("argument ")
        for kind, name in (("int", "a whole number"), ("float", "a number")):
            message = re.sub(rf": invalid {kind}( or none)? value: ", f" must be {name}, not ",
                             message)
        message = message.replace("the following arguments are required: ", "give ")
        message = message.replace("-o/--output", "-o and the file to write")
        wrong = re.match(r"(\S+): invalid choice: '(.*)' \(choose from (.*)\)", message)
        if wrong:
            choices = wrong[3].replace("'", "")
            near = difflib.get_close_matches(wrong[2], choices.split(", "), n=1)
            message = (f"{wrong[1]} must be one of {choices}, not {wrong[2]!r}"
                       + (f": did you mean {near[0]}?" if near else ""))
        show(f"fastrnn: error: {message} (see {self.prog} --help)", error=True)
        raise SystemExit(2)

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """End with an error for arguments that nothing takes."""
        first = unknown[0]
        if not first.startswith("-"):
            self.error(f"{first!r} is one argument too many: quote a name that has blanks, and "
                       "write files before the flags")
        flag = first.partition("=")[0]
        near = difflib.get_close_matches(flag, self._option_string_actions, n=1)
        self.error(f"there is no flag {flag}" + (f": did you mean {near[0]}?" if near else ""))


def with_hyphens(arguments: Sequence[str]) -> list[str]:
    """The arguments with flags such as --hidden_size and -rnn_size spelled --hidden-size and
    --rnn-size."""
    spelled: list[str] = []
    for i, argument in enumerate(arguments):
        if argument == "--":
            return spelled + list(arguments[i:])
        flag = re.fullmatch(r"(--?)([A-Za-z][\w-]+)(=.*)?", argument, re.DOTALL)
        if flag and not re.fullmatch(r"-n\d+", argument):
            argument = "--" + flag[2].replace("_", "-") + (flag[3] or "")
        if argument == "--color" and not {*arguments[i + 1 : i + 2]} & {*COLOR}:
            argument = "--color=auto"  # what follows is no value of it
        spelled.append(argument)
    return spelled


def in_flags(message: str, settings: Collection[str]) -> str:
    """An error or a note of a Python call in the words of the command line."""
    names = "|".join(sorted(settings, key=len, reverse=True))

    def flag(name: str) -> str:
        return f"--{name.replace('_', '-')}"

    def value(match: re.Match[str]) -> str:
        shown = match[2].strip("'\"")
        if shown in ("True", "False"):
            return flag(match[1]) if shown == "True" else flag(f"no_{match[1]}")
        # a pair of columns is no single value
        return f"{flag('column' if match[1] == 'columns' else match[1])} {shlex.quote(shown)}"

    message = re.sub(rf"""(?<![\w-])({names})=('[^']*'|"[^"]*"|[\w.+-]*\w)""", value, message)
    message = re.sub(rf"(?<![\w.-])({names})(?= must | can be | is for | needs | are for |: leave)",
                     lambda m: flag(m[1]), message)
    message = re.sub(rf"(?<=leave )({names})(?= out)", lambda m: flag(m[1]), message)
    if message.startswith("give one of "):
        message = re.sub(rf"(?<![\w-])({names})(?![\w-])", lambda m: flag(m[1]), message)
    long = "|".join(name for name in names.split("|") if "_" in name)
    if not long:
        return message
    return re.sub(rf"(?<![\w.-])({long})(?![\w(-]|\.\w)", lambda m: flag(m[1]), message)


def add_settings(parser: Any, settings: type, leave_out: Collection[str] = (),
                 chosen: Collection[str] = ()) -> None:
    """Add a flag for each setting of a TypedDict to a parser or a group of one, in groups for
    --help. Those that are `chosen` for the data have no fixed default."""
    group, known = parser, declared(settings)
    for name, one in known.items():
        if name in GROUPS and isinstance(parser, argparse.ArgumentParser):
            group = parser.add_argument_group(GROUPS[name])
        if name in leave_out:
            continue
        setting = one.setting
        text = IN_OTHER_WORDS.get(name) or in_flags(setting.text, known)
        text = re.sub(r"`(\w+)`", lambda m: m[0] if m[1] not in known else f"--{m[1]}", text)
        text = text.replace("None: ", "none: ")
        if text == argparse.SUPPRESS:
            pass
        elif name in chosen:
            text += " (default: chosen for the data)"
        elif setting.default not in (None, ""):
            text += f" (default: {setting.default})"
        how: dict[str, Any] = {"dest": name, "default": argparse.SUPPRESS}
        if bool in one.kinds:
            how["action"] = argparse.BooleanOptionalAction
        elif any(get_origin(kind) for kind in one.kinds) and str not in one.kinds:
            how |= {"action": "append", "metavar": name.upper()}
            text += " May be given several times."
            if int in one.elements:  # --samples-at 5 50 500
                how |= {"action": "extend", "nargs": "+", "metavar": "N", "type": _number_text}
        else:
            shown = f"{{{','.join(setting.choices)}}}" if setting.choices else name.upper()
            how |= {"type": converter(one), "metavar": shown}
        group.add_argument(f"--{name.replace('_', '-')}", help=text.replace("%", "%%"), **how)
        for other in OTHER_NAMES.get(name, []):
            group.add_argument(other, help=argparse.SUPPRESS, **how)


def _number_text(text: str) -> str:
    if not re.match("[0-9]", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number: write FILE before this flag, or "
                                         "the numbers with commas")
    return text


def weighted(name: str, value: str) -> dict[str, float]:
    """Weights of labels, such as "Netherlands=0.5,Poland=0.5"."""
    weights = {}
    for part in value.split(","):
        label, equals, weight = part.rpartition("=")
        if not equals:
            raise ValueError(f"{name} must be weights such as Netherlands=0.5,Poland=0.5, not "
                             f"{value!r}")
        weights[label.strip()] = finite_float(f"weight of {label.strip()!r}", weight)
    return weights


def read_label(text: str, names: Sequence[str] | None) -> str | dict[str, float]:
    """A label, or a mixture of a model's labels such as "Netherlands=0.5,Poland=0.5"."""
    return text if "=" not in text or text in (names or ()) else weighted("label", text)


def converter(one: Declared) -> Callable[[str], Any]:
    """The function that makes a value of a flag's text."""
    number = next((kind for kind in (int, float) if kind in one.kinds), None)
    if number is None:
        return str
    if type(None) not in one.kinds:
        return number

    def number_or_none(text: str) -> Any:
        value = None if text.lower() == "none" else number(text)
        return None if value == 0 and one.name in ZERO_IS_NONE else value

    number_or_none.__name__ = f"{number.__name__} or none"
    return number_or_none
