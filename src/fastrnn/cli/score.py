"""Measure how well a model predicts a text: nats, bits, perplexity and accuracy."""

import argparse
import math
from typing import Any

import numpy as np

from ..data.corpus import Corpus, RecordCorpus
from ..model.continuing import paired
from ..model.model import Model
from ..model.scoring import surprisal_of_rows
from ..screen import show
from ..training.checkpoint import load
from .shades import add_color, legend, show_symbols, wanted
from .sources import add_sources, check_fits, read_source

EXAMPLES = """examples:
  fastrnn score model.safetensors other.txt
  fastrnn score model.safetensors other.txt --color=always | less -R
  fastrnn score names.safetensors --table names.tsv"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument("model", metavar="MODEL", help="a checkpoint")
    add_sources(parser, reading=False)
    add_color(parser)
    parser.add_argument("--best", action=argparse.BooleanOptionalAction, default=None,
                        help="the model of the lowest validation loss, or without validation of "
                             "the lowest smoothed loss, in place of the last (default: if there "
                             "were validations)")


def run(model: str, best: bool | None, color: str, **given: Any) -> int:
    network = load(model, best=best)
    vocabulary = network.text_vocabulary
    check_fits(model, network, given)
    labels = {} if network.config["labels"] else {"file_labels": False}
    corpus = read_source(given, vocabulary, **labels)
    if corpus is None:
        raise ValueError("give the FILE to score, or --records, --table or --dataset")
    if wanted(color):
        _show_text(network, corpus)
    nats = network.score(corpus)
    for name, value in {
        "data": corpus.describe(), "predicted": f"{corpus.predictions:,} {corpus.unit}s",
        "loss": f"{nats:.4f} nats per {corpus.unit}",
        "": f"{nats / math.log(2):.4f} bits per {corpus.unit}",
        "perplexity": f"{math.exp(min(nats, 700)):.3f}",
        "accuracy": f"{network.accuracy(corpus):.2%} of the {corpus.unit}s were the likeliest",
    }.items():
        show(f"{name:11}{value}")
    return 0


def _show_text(network: Model, corpus: Corpus) -> None:
    """Print a text, or each record on a line, in the shades of its surprisal. Nothing predicts the
    first symbol of a text."""
    show(legend(corpus.unit), harmless=True)
    starts = corpus.records.starts + 1 if isinstance(corpus, RecordCorpus) else [0]
    for start, nats in zip(starts, surprisal_of_rows(network, corpus), strict=True):
        if not start:
            nats = np.concatenate([[np.nan], nats])
        ids = corpus.ids[start : start + len(nats)]
        show_symbols(paired(corpus.vocabulary, [(ids[:, None], nats[: len(ids), None])]), True)
    show("")
