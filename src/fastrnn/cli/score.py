"""Measure how well a model predicts a text: nats, bits, perplexity and accuracy."""

import argparse
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..data.corpus import Corpus
from ..insight import comparison
from ..model.continuing import paired
from ..model.ensemble import average
from ..model.model import Model
from ..model.scoring import surprisal_of_rows
from ..screen import show
from ..training.checkpoint import load
from .shades import add_color, legend, show_symbols, wanted
from .sources import add_sources, check_fits, read_source, read_valid

EXAMPLES = """examples:
  fastrnn score model.safetensors other.txt
  fastrnn score model.safetensors other.txt --color=always | less -R
  fastrnn score names.safetensors --table names.tsv
  fastrnn score model.safetensors other.txt --adapt
  fastrnn score model.safetensors book.txt --compare
  fastrnn score model.safetensors other.txt --compare --train book.txt
  fastrnn score a.safetensors other.txt --with b.safetensors"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument("model", metavar="MODEL", help="a checkpoint")
    add_sources(parser, reading=False)
    add_color(parser)
    parser.add_argument("--compare", action="store_true",
                        help="beside simple models: a uniform guess, unigrams, 5-grams, PPM and "
                             "xz; and beside published figures, if the text is known for them. If "
                             "FILE is the text of the training, its validation data are scored")
    parser.add_argument("--train", metavar="FILE", default=argparse.SUPPRESS,
                        help="with --compare: the text of the training, from which the simple "
                             "models learn (default: if FILE is another text, they learn from "
                             "nine tenths of FILE, and the last tenth is scored)")
    parser.add_argument("--with", dest="others", metavar="MODEL", action="append", default=[],
                        help="a checkpoint of the same symbols: the average of its probabilities "
                             "and those of the first MODEL is scored; may be given several times")
    parser.add_argument("--best", action=argparse.BooleanOptionalAction, default=None,
                        help="the model of the lowest validation loss, or without validation of "
                             "the lowest smoothed loss, in place of the last (default: if there "
                             "were validations)")
    parser.add_argument("--adapt", action="store_true",
                        help="print also the loss of a copy of the model that learns from each "
                             "window of the text after it was scored (dynamic evaluation)")


def run(model: str, best: bool | None, color: str, compare: bool = False,
        train: str | None = None, others: Sequence[str] = (), adapt: bool = False,
        **given: Any) -> int:
    if train is not None and not compare:
        raise ValueError("--train is for --compare")
    if others and (compare or wanted(color)):
        raise ValueError("--compare and --color are for one model: leave out --with")
    if adapt and (compare or others):
        raise ValueError("--adapt is for one model by itself: leave out --compare and --with")
    network = load(model, best=best)
    vocabulary = network.text_vocabulary
    check_fits(model, network, given)
    labels = {} if network.config["labels"] else {"file_labels": False}
    corpus = read_source(given, vocabulary, **labels)
    if corpus is None:
        raise ValueError("give the FILE to score, or --records, --table or --dataset")
    if wanted(color):
        _show_text(network, corpus)
    if compare:
        known = None if train is None else read_valid(train, given, corpus)
        _show_comparison(comparison.compare(network, corpus, known))
        return 0
    if others:
        models = [network, *(load(name, best=best) for name in others)]
        _show({"average": f"of the probabilities of {len(models)} models"}
              | _losses(corpus, average(models).score(corpus)))
    else:
        _show(_losses(corpus, network.score(corpus)) | {
            "accuracy": f"{network.accuracy(corpus):.2%} of the {corpus.unit}s were the likeliest"})
    if adapt:
        nats = network.score(corpus, adapt=True)
        show(f"adapted    {nats:.4f} nats per {corpus.unit} ({nats / math.log(2):.4f} bits), "
             "adapted while reading (prequential):\n           each window was scored before a "
             "copy of the model learned from it")
    return 0


def _losses(corpus: Corpus, nats: float) -> dict[str, str]:
    bits = f"{nats / math.log(2):.4f} bits per {corpus.unit}"
    if corpus.unit != "char":  # so that units can be compared
        each = nats / math.log(2) * corpus.predictions / comparison.characters_of(corpus)
        bits += f", {each:.4f} bits per character"
    return {
        "data": corpus.describe(), "predicted": f"{corpus.predictions:,} {corpus.unit}s",
        "loss": f"{nats:.4f} nats per {corpus.unit}", "": bits,
        "perplexity": f"{math.exp(min(nats, 700)):.3f}",
    }


def _show(lines: Mapping[str, str]) -> None:
    for name, value in lines.items():
        show(f"{name:11}{value}")


def _show_comparison(found: comparison.Comparison) -> None:
    """Print how a model compares with simple ones, as a table, and published figures."""
    show(f"scored         {found.scored}: {found.predictions:,} {found.unit}s predicted\n"
         f"simple models  learned from {found.learned}; only xz learns while it reads\n"
         f"this model     learned {found.model_learned}")
    show(f"\n{'bits per':>29}{'nats per':>12}\n{'character':>29}{found.unit:>12}")
    for row in found.rows:
        show(f"{row.name:17}{row.bits_per_character:12.3f}{row.nats:12.3f}  {row.what}")
    better = [row.name for row in found.rows if row.nats <= found.own.nats and row != found.own]
    show(f"\nas good as this model or better: {', '.join(better) or 'none of the simple ones'}")
    if found.unit == "word":
        show("characters are those of the words as the model reads them, with the blank before "
             "each")
    if found.published:
        show(f"\npublished figures of {found.published.name}, in bits per character; compare the "
             "parts of the text")
        for figure in found.published.figures:
            show(f"{figure.bits:6.3f}  {figure.model}; on {figure.part} ({figure.source})")


def _show_text(network: Model, corpus: Corpus) -> None:
    """Print a text, or each record on a line, in the shades of its surprisal. Nothing predicts the
    first symbol of a text."""
    show(legend(corpus.unit), harmless=True)
    starts = corpus.records.starts + 1 if corpus.records else [0]
    for start, nats in zip(starts, surprisal_of_rows(network, corpus), strict=True):
        if not start:
            nats = np.concatenate([[np.nan], nats])
        ids = corpus.ids[start : start + len(nats)]
        show_symbols(paired(corpus.vocabulary, [(ids[:, None], nats[: len(ids), None])]), True)
    show("")
