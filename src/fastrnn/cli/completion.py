"""Print a script by which a shell completes commands, flags and their values."""

import argparse
import re
from collections.abc import Mapping

from ..data import datasets
from ..presets import PRESETS
from ..screen import show

SHELLS = ("bash", "zsh", "tcsh")
EXAMPLES = """Once, and again after an update of fastrnn:
  bash  fastrnn completion bash > ~/.local/share/bash-completion/completions/fastrnn
        (read by the package bash-completion; without it: source the file in ~/.bashrc)
  zsh   fastrnn completion zsh > ~/.zsh/_fastrnn
        (with fpath=(~/.zsh $fpath) before compinit in ~/.zshrc)
  tcsh  fastrnn completion tcsh > ~/.fastrnn.tcsh
        (with source ~/.fastrnn.tcsh in ~/.tcshrc)"""
# what --help calls a value: of these the shell offers files, or their names
FILES = {"MODEL", "FILE", "LOG", "PAGE", "OUTPUT", "REPORT", "TOML", "TABLE", "PLOT", "VALID",
         "CHECKPOINT", "TENSORBOARD", "INIT_FROM", "RESUME", "REPEAT"}
NAMES = {"PRESET": tuple(PRESETS), "DATASET": datasets.names()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument("shell", choices=SHELLS, help="for which shell")


def run(shell: str, commands: Mapping[str, argparse.ArgumentParser],
        parser: argparse.ArgumentParser) -> int:
    try:
        import shtab
    except ImportError:
        raise ImportError('fastrnn completion needs shtab: pip install "fastrnn[completion]"'
                          ) from None
    for command in commands.values():
        for action in command._actions:
            called = action.metavar if isinstance(action.metavar, str) else ""
            listed = re.fullmatch(r"\{(.+)\}", called)
            if called in FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
            elif action.choices is None:
                action.choices = listed[1].split(",") if listed else NAMES.get(called)
            else:  # a dict is taken for commands
                action.choices = [*action.choices]
    show(shtab.complete(parser, shell, root_prefix="fastrnn"))
    if shell == "bash":  # a folder is completed to be gone on with, not with a blank behind it
        show("complete -o bashdefault -o filenames -F _shtab_fastrnn fastrnn")
    return 0
