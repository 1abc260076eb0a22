"""A flag for each declared setting, ``--hidden-size`` for ``hidden_size``.

A flag that is not given is not in the result: then a configuration file can set it, and otherwise
the Python call has the only default.
"""

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


def add_settings(parser: argparse.ArgumentParser, settings: type,
                 leave_out: Collection[str] = ()) -> None:
    """Add a flag for each setting of a TypedDict, spelled with hyphens, underscores and as in
    char-rnn."""
    for name, one in declared(settings).items():
        if name in leave_out:
            continue
        setting = one.setting
        text = (f"{{{', '.join(setting.choices)}}}: " if setting.choices else "") + setting.text
        if setting.default not in (None, ""):
            text += f" (default: {setting.default})"
        how: dict[str, Any] = {"dest": name, "default": argparse.SUPPRESS}
        if bool in one.kinds:
            how["action"] = argparse.BooleanOptionalAction
        elif any(get_origin(kind) for kind in one.kinds) and str not in one.kinds:
            how |= {"action": "append", "metavar": name.upper()}
            text += " May be given several times."
        else:
            how |= {"type": _converter(one), "metavar": name.upper()}
        names = [f"--{name.replace('_', '-')}", f"--{name}", *OTHER_NAMES.get(name, [])]
        parser.add_argument(*dict.fromkeys(names), help=text.replace("%", "%%"), **how)


def _converter(one: Declared) -> Callable[[str], Any]:
    """The function that makes a value of a flag's text."""
    number = next((kind for kind in (int, float) if kind in one.kinds), None)
    if number is None:
        return str
    if type(None) not in one.kinds:
        return number

    def number_or_none(text: str) -> Any:
        return None if text.lower() == "none" else number(text)

    number_or_none.__name__ = f"{number.__name__} or none"
    return number_or_none
