"""Draw losses of models, or what their units, gates and gradients do on a text."""

import argparse
import os
import re
from pathlib import Path

from .. import plot
from ..checks.gradient_norms import gradient_norms
from ..data.corpus import Corpus
from ..figures.axes import check_kind, drawn_here
from ..files.store import check_writable
from ..model.model import Model
from ..screen import show
from ..training.checkpoint import load

WHAT = ("loss", "activations", "gates", "gradients")
EXAMPLES = """examples:
  fastrnn plot model.safetensors -o loss.pdf
  fastrnn plot lstm.safetensors gru.safetensors --x epochs
  fastrnn plot model.safetensors --what activations --text 'He said: "No." And left.'
  fastrnn plot early.safetensors late.safetensors --what gates --text book.txt"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument("models", metavar="MODEL", nargs="+", help="checkpoints; several in one "
                        "picture, for gates in the order of their updates")
    parser.add_argument("--output", "-o", metavar="FILE", help="a PNG, PDF or SVG, by its ending "
                        "(default: named after the model, beside it)")
    parser.add_argument("--what", choices=WHAT, default="loss", metavar=f"{{{','.join(WHAT)}}}",
                        help="losses against updates; or, while a text is read, outputs of the "
                             "last layer's units, how far gates saturate, how far back gradients "
                             "reach (default: loss)")
    parser.add_argument("--text", metavar="TEXT", help="what is read: a file, or else the text "
                        "itself; for a model of records one record")
    parser.add_argument("--label", metavar="LABEL", help="of the record")
    parser.add_argument("--units", metavar="N", type=int, nargs="+", help="of --what activations: "
                        "numbers from 0 (default: those that vary most)")
    parser.add_argument("--x", choices=("updates", "epochs"), default="updates",
                        metavar="{updates,epochs}", help="of --what loss (default: updates)")
    parser.add_argument("--overwrite", action="store_true",
                        help="replace a file that fastrnn did not draw")


def run(models: list[str], output: str | None, what: str, text: str | None, label: str | None,
        units: list[int] | None, x: str, overwrite: bool) -> int:
    _check(models, what, text, label, units, x)
    if output is None:
        output = str(Path(models[0]).with_suffix("")) + f"-{what}.png"
    check_kind(output)
    check_writable(output, overwrite or drawn_here(output))
    if what == "loss":
        plot.loss(models, x=x, path=output)
    else:
        assert text is not None
        _draw_read(models, what, text, label, units, output)
    show(f"the picture is in {output}")
    return 0


def _check(models: list[str], what: str, text: str | None, label: str | None,
           units: list[int] | None, x: str) -> None:
    """Raise ValueError for flags that do not go together."""
    if what == "loss" and (text is not None or label is not None):
        raise ValueError("--text and --label are for --what activations, gates and gradients")
    if what != "loss" and not text:
        raise ValueError(f"--what {what} needs --text, a file or the text itself")
    if what != "loss" and x != "updates":
        raise ValueError("--x is for --what loss")
    if what != "activations" and units is not None:
        raise ValueError("--units is for --what activations")
    if what == "activations" and len(models) > 1:
        raise ValueError("--what activations takes one MODEL")


def _draw_read(models: list[str], what: str, text: str, label: str | None,
               units: list[int] | None, output: str) -> None:
    if what == "gates" and len(models) > 1:  # not the best ones: their updates are counted
        by_update = {len(model.history): model for model in
                     (load(path, best=False) for path in models)}
        if len(by_update) < len(models):
            raise ValueError("two of the models have the same number of updates: --what gates of "
                             "several is for models of one run at different times")
        first = next(iter(by_update.values()))
        plot.gates(by_update, _given(text, first), label=label, path=output)
        return
    loaded = {path: load(path) for path in models}
    model = loaded[models[0]]
    if what == "gates":
        plot.gates(model, _given(text, model), label=label, path=output)
    elif what == "activations":
        plot.activations(model, _given(text, model), units, label=label, path=output)
    else:
        names = [Path(path).stem for path in loaded]
        if len({*names}) < len(names):  # of the same name in other folders
            names = [*loaded]
        plot.gradients({name: gradient_norms(each, _given(text, each), label=label)
                        for name, each in zip(names, loaded.values(), strict=True)}, path=output)


def _given(text: str, model: Model) -> str | Corpus:
    """The text of a file where there is one of this name, else the text itself."""
    if not os.path.isfile(text):
        if re.fullmatch(r"\S*[/\\.]\w+", text):
            raise ValueError(f"--text {text}: there is no such file")
        return text
    if model.text_vocabulary.stop is not None:
        raise ValueError(f"--text {text}: for a model of records give one record, not a file")
    return Corpus.from_file(Path(text), vocabulary=model.text_vocabulary)
