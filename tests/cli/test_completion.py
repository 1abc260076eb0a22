"""Completion in a real shell, of the script that fastrnn prints for it."""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from fastrnn import cli
from fastrnn.cells import CELLS
from fastrnn.data import datasets
from fastrnn.presets import PRESETS

pytest.importorskip("shtab")
ASK = """
source ./script
ask() {
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE} COMPREPLY=()
    $(complete -p fastrnn | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
    printf '%s\\n' "${COMPREPLY[@]}"
}
"""


def script(shell, capsys):
    assert cli.main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.fixture
def ask(tmp_path, monkeypatch, capsys):
    """What bash offers for the last of some words."""
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "script").write_text(script("bash", capsys))
    (tmp_path / "book.txt").touch()
    (tmp_path / "texts").mkdir()

    def ask(*words):
        done = subprocess.run(["bash", "--norc", "-c", f'{ASK}ask "$@"', "bash", "fastrnn", *words],
                              capture_output=True, text=True)
        assert done.stderr == ""
        return done.stdout.split()

    return ask


def offered(parser):
    """The flags of a command that --help shows."""
    return {flag for action in parser._actions if action.help != argparse.SUPPRESS
            for flag in action.option_strings}


def test_commands(ask):
    names = [cli.name_of(command) for command in cli.COMMANDS]
    assert ask("") == names and ask("trai") == ["train"] and ask("nothing") == []


@pytest.mark.parametrize("command", ["train", "sample", "chat", "score", "gradcheck", "info"])
def test_flags_and_no_hidden_ones(ask, command):
    shown = offered(cli._parser()[1][command])
    assert {*ask(command, "--")} == {flag for flag in shown if flag.startswith("--")}
    if command == "train":
        assert ask("train", "--hid") == ["--hidden-size"] and "--no-accuracy" in shown
        for hidden in ("--rnn", "--model", "--data-dir", "--gpu", "--lr"):
            assert hidden not in ask("train", hidden)


@pytest.mark.parametrize(("words", "values"), [
    (("train", "--cell"), CELLS), (("train", "book.txt", "--preset"), PRESETS),
    (("train", "--dataset"), datasets.names()), (("score", "m", "--dataset"), datasets.names()),
    (("train", "--optimizer"), ["adagrad", "rmsprop", "adam", "sgd"]),
    (("gradcheck", "--dtype"), ["float32", "float64"]), (("presets",), PRESETS),
    (("sample", "m", "--color"), ["auto", "always", "never"]),
    (("completion",), ["bash", "zsh", "tcsh"])])
def test_values(ask, words, values):
    assert {*values} <= {*ask(*words, "")}
    first = next(iter(values))
    assert ask(*words, first) == [one for one in values if one.startswith(first)]


@pytest.mark.parametrize("words", [("train",), ("sample",), ("info",), ("score", "m"),
                                   ("train", "--config"), ("train", "--checkpoint"),
                                   ("train", "--table"), ("plot", "m"), ("train", "a", "--valid")])
def test_files(ask, words):
    assert ask(*words, "b") == ["book.txt"] and ask(*words, "te") == ["texts"]


def test_each_script_is_one_of_its_shell(capsys, tmp_path):
    for shell in ("bash", "zsh", "tcsh"):
        (tmp_path / shell).write_text(script(shell, capsys))
        if shutil.which(shell):
            check = ["-n", str(tmp_path / shell)]
            assert subprocess.run([shell, *check], capture_output=True).stderr == b"", shell


def test_zsh_loads_its_script(capsys, tmp_path):
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    (tmp_path / "_fastrnn").write_text(script("zsh", capsys))
    done = subprocess.run(["zsh", "-fc", f"fpath=({tmp_path} $fpath); autoload -U compinit; "
                           f"compinit -D -u; print $_comps[fastrnn]; autoload +X _fastrnn && "
                           "print loaded"], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("_fastrnn\nloaded\n", "")


def test_without_shtab(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert cli.main(["completion", "bash"]) == 2
    assert capsys.readouterr().err == (
        'fastrnn: error: fastrnn completion needs shtab: pip install "fastrnn[completion]"\n')


def test_a_command_imports_nothing_that_it_does_not_need():
    """What takes long to import, and the extras, come with the command that uses them."""
    code = ("import json, sys\nfrom fastrnn import cli\ncli._parser()\n"
            "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
    found = {*json.loads(done.stdout)}
    assert {"numpy", "fastrnn"} <= found
    assert not found & {"matplotlib", "shtab", "plotext", "rich", "sklearn", "pandas", "torch",
                        "tensorboardX", "tensorboard", "readline", "selenium", "IPython"}


def test_help_says_how_it_is_installed(capsys):
    with pytest.raises(SystemExit):
        cli.main(["completion", "--help"])
    out = capsys.readouterr().out
    assert re.search(r"fastrnn completion bash > ~/\S+/bash-completion/completions/fastrnn$", out,
                     re.M)
