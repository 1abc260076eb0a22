"""Generate text with a trained model."""

import argparse
from collections.abc import Sequence
from typing import Any

from ..model.continuing import with_surprisal
from ..model.ensemble import Average, average
from ..model.model import Model
from ..screen import show
from ..settings import SampleSettings
from ..training.checkpoint import load
from .flags import OTHER_NAMES, add_settings, read_label
from .shades import add_color, legend, show_symbols, wanted
from .sources import read_source

EXAMPLES = """examples:
  fastrnn sample model.safetensors --length 1000 --temperature 0.7
  fastrnn sample model.safetensors --prime "Harry " --stream
  fastrnn sample model.safetensors --color
  fastrnn sample model.safetensors --adapt-to letter.txt
  fastrnn sample names.safetensors --label Netherlands --n 30"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument("model", metavar="MODEL", help="a checkpoint")
    parser.add_argument("--best", action=argparse.BooleanOptionalAction, default=None,
                        help="the model of the lowest validation loss, or else smoothed loss, in "
                             "place of the last (default: if there were validations)")
    parser.add_argument("--with", dest="others", metavar="MODEL", action="append", default=[],
                        help="a checkpoint of the same symbols: they are drawn from the average of "
                             "its probabilities and those of the first MODEL; may be given several "
                             "times")
    parser.add_argument("--stream", action="store_true", help="print each symbol as it is sampled")
    add_color(parser)
    parser.add_argument("--sample", type=int, choices=(0, 1), default=1,
                        help="0: always take the likeliest symbol, as --temperature 0 (default: 1)")
    parser.add_argument("--length", type=int, default=200, metavar="LENGTH",
                        help="number of symbols to generate; for records the most (default: 200)")
    parser.add_argument("--n", *OTHER_NAMES["n"], type=int, metavar="N",
                        help="number of texts to generate")
    parser.add_argument("--label", default=argparse.SUPPRESS, metavar="LABEL",
                        help="for records with labels: a label, or a mixture such as "
                             "Netherlands=0.5,Poland=0.5")
    parser.add_argument("--adapt-to", default=argparse.SUPPRESS, metavar="FILE",
                        help="a text, or for a model of records one with a record on each line: a "
                             "copy of the model reads it, learns from it and writes on from its "
                             "end; - is standard input")
    parser.add_argument("--echo", action=argparse.BooleanOptionalAction, default=True,
                        help="print the prime before the text (default: yes)")
    add_settings(parser, SampleSettings, leave_out={"label", "echo"})
    parser.add_argument("--verbose", "--gpu", "--gpuid", "--gpu-backend", dest="without_effect",
                        help=argparse.SUPPRESS)


def run(model: str, best: bool | None, sample: int, stream: bool, color: str, length: int,
        n: int | None, without_effect: Any, others: Sequence[str] = (), **settings: Any) -> int:
    first = load(model, best=best)
    records = first.text_vocabulary.stop is not None
    if "label" in settings:
        settings["label"] = read_label(settings["label"], first.config["labels"])
    if sample == 0:
        settings["temperature"] = 0
    colored = wanted(color)
    if settings.get("new_only") and (stream or colored):
        raise ValueError("--new-only looks at whole texts: leave out --stream and --color")
    if others and (stream or colored):
        raise ValueError("--stream and --color are for one model: leave out --with")
    if others and "adapt_to" in settings:
        raise ValueError("--adapt-to is for one model: leave out --with")
    adapt_to: dict[str, Any] = {}
    if "adapt_to" in settings:
        file = {"records" if records else "file": settings.pop("adapt_to")}
        adapt_to["adapt_to"] = read_source(file, first.text_vocabulary)
    generator: Model | Average = first
    if others:
        generator = average([first, *(load(name, best=best) for name in others)])
    if stream or colored:
        first, after = first.adapted(adapt_to.get("adapt_to"))
        texts = with_surprisal(first, first.text_vocabulary, first.starts, length, n, settings,
                               after)
        if colored:
            show(legend(first.text_vocabulary.unit), harmless=True)
        for i, symbols in enumerate(texts, 1):
            if n is not None and not records:
                show(f"---- {i} of {n} ----")
            show_symbols(symbols, colored)
    elif n is None:
        show(generator.sample(length, **adapt_to, **settings))
    else:
        for i, text in enumerate(generator.sample(length, n=n, **adapt_to, **settings), 1):
            show(text if records else f"---- {i} of {n} ----\n{text}")
    return 0
