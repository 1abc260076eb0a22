"""Flags made of the declared settings, ``--hidden-size`` for ``hidden_size``.

An option that is not given is not in the result, so that a configuration file can fill it in and
the Python calls keep the only defaults.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from typing import Any, get_origin

from ..settings import Declared, declared

# The names of karpathy/char-rnn and jcjohnson/torch-rnn where theirs differ from ours.
OTHER_NAMES = {
    "cell": ["--model-type", "--model_type"],  # char-rnn's --model is in the parser of train
    "hidden_size": ["--rnn-size", "--rnn_size"],
    "embedding_size": ["--wordvec-size", "--wordvec_size"],
    "epochs": ["--max-epochs", "--max_epochs"],
    "clip_value": ["--grad-clip", "--grad_clip"],
    "learning_rate_decay": ["--lr-decay-factor", "--lr_decay_factor"],
    "valid_fraction": ["--val-frac", "--val_frac"],
    "valid_every": ["--eval-val-every", "--eval_val_every"],
    "checkpoint": ["--checkpoint-name", "--checkpoint_name"],
    "resume": ["--init-from", "--init_from"],
    "prime": ["--primetext", "--start-text", "--start_text"],
    "n": ["-n"],
}


def add_settings(
    parser: argparse.ArgumentParser, settings: type, leave_out: Collection[str] = ()
) -> None:
    """A flag for each setting of a TypedDict."""
    for name, one in declared(settings).items():
        if name not in leave_out:
            add_flag(parser, name, one)


def add_flag(parser: argparse.ArgumentParser, name: str, one: Declared) -> None:
    """A flag for one setting, in our spelling, Python's and char-rnn's."""
    setting = one.setting
    text = (f"{{{', '.join(setting.choices)}}}: " if setting.choices else "") + setting.text
    if setting.default not in (None, ""):
        text += f" (default: {setting.default})"
    text = text.replace("%", "%%")
    flags = dict.fromkeys([f"--{name.replace('_', '-')}", f"--{name}", *OTHER_NAMES.get(name, [])])
    settings: dict[str, Any] = {"dest": name, "default": argparse.SUPPRESS, "help": text}
    if bool in one.kinds:
        parser.add_argument(*flags, action=argparse.BooleanOptionalAction, **settings)
    elif any(get_origin(kind) for kind in one.kinds) and str not in one.kinds:
        parser.add_argument(*flags, action="append", metavar=name.upper(),
                            **settings | {"help": f"{text} May be given several times."})
    else:
        parser.add_argument(*flags, type=converter(one), metavar=name.upper(), **settings)


def converter(one: Declared) -> Callable[[str], Any]:
    """How a flag's text becomes a value."""
    number = next((kind for kind in (int, float) if kind in one.kinds), None)
    if number is None:
        return str
    if type(None) not in one.kinds:
        return number

    def number_or_none(text: str) -> Any:
        return None if text.lower() == "none" else number(text)

    number_or_none.__name__ = f"{number.__name__} or none"
    return number_or_none
