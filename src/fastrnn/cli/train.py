"""Train a model on a text; without FILE on Python's own documentation."""

import argparse
import os
import shlex
import sys
from itertools import chain, count
from pathlib import Path
from typing import Any

from ..cells import CELLS
from ..data import datasets
from ..data.corpus import Corpus
from ..files.store import check_writable
from ..model.model import Model
from ..plots import check_kind
from ..settings import SourceSettings, TrainSettings, WordSettings, declared, given_to
from ..train import train
from ..training.checkpoint import read
from ..training.trainer import PLAN
from ..validate import positive_float
from .config import read_config
from .flags import add_settings

# flags of char-rnn without a meaning here: which device computes, how often to print
WITHOUT_EFFECT = ["--gpuid", "--gpu", "--opencl", "--gpu_backend", "--print_every"]
DEFAULT_CHECKPOINT = "model.safetensors"
DEFAULT_TEXT = "pydoc-topics"
DEFAULT_EPOCHS = 35  # of the first run, without a file: about a minute
SHOWN = 5  # generated records, at the end
SOURCES = ("file", "data_dir", "records", "table", "dataset")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", nargs="?", default=argparse.SUPPRESS,
                        help="a text file in UTF-8")
    parser.add_argument("--config", metavar="TOML", default=None,
                        help="a file with settings, named as these flags: hidden_size = 200; flags "
                             "given beside it win")
    parser.add_argument("--dataset", metavar="DATASET", default=argparse.SUPPRESS,
                        help=f"one of {', '.join(datasets.names())}")
    add_settings(parser, SourceSettings, leave_out={"file", "dataset", "columns"})
    parser.add_argument("--columns", nargs=2, default=argparse.SUPPRESS, metavar=("TEXT", "LABEL"),
                        help="columns of the table, by name (in its first row) or number "
                             "(default: 0 1)")
    add_settings(parser, TrainSettings, leave_out={"callback"})
    theirs = parser.add_argument_group("names of karpathy/char-rnn and jcjohnson/torch-rnn")
    theirs.add_argument("--model", dest="cell", choices=CELLS, default=argparse.SUPPRESS,
                        help="as --cell")
    theirs.add_argument("--data-dir", "--data_dir", metavar="DIR", default=argparse.SUPPRESS,
                        help="learn from DIR/input.txt")
    theirs.add_argument("--lr-decay-every", "--lr_decay_every", type=int, metavar="EPOCHS",
                        help="as --learning-rate-decay-after and --learning-rate-decay-every")
    theirs.add_argument("--train-frac", "--train_frac", type=float, metavar="FRACTION",
                        help="without --valid-fraction: the rest is for validation")
    theirs.add_argument(*WITHOUT_EFFECT, dest="without_effect", metavar="ANY",
                        help="accepted, but without effect")


def run(config: str | None, lr_decay_every: int | None, train_frac: float | None,
        without_effect: Any, **given: Any) -> int:
    if config is not None:
        given = _with_config(config, given)
    if lr_decay_every is not None:  # in torch-rnn also the number of epochs before the first decay
        given |= dict.fromkeys(("learning_rate_decay_after", "learning_rate_decay_every"),
                               lr_decay_every)
    if train_frac is not None and not given.get("valid_fraction"):
        given["valid_fraction"] = 1 - positive_float("train_frac", train_frac)
    settings = given_to(TrainSettings, given)
    settings["checkpoint"] = (settings.get("checkpoint") or settings.get("resume")
                              or _new_name(DEFAULT_CHECKPOINT))
    corpus = _source(given, settings.get("resume"))
    if not any(given.get(name) for name in (*SOURCES, *PLAN, "resume")):
        settings["epochs"] = DEFAULT_EPOCHS
    plot, progress = given.get("plot"), settings.get("progress", True)
    if plot is not None:
        check_kind(plot)  # before an hour of training, not after it
        check_writable(plot)
    if progress:
        print(f"learning from {corpus.describe()}", flush=True)
    model = train(corpus, **settings)
    if plot is not None:
        model.history.plot(plot)
    if progress:
        _report(model, settings["checkpoint"])
    if model.history.stopped == "interrupted":
        print("to go on:", _resuming(given, settings["checkpoint"]), file=sys.stderr)
        return 130
    return 0


def _with_config(path: str, given: dict[str, Any]) -> dict[str, Any]:
    """The settings of a file and the given ones, which win."""
    known = declared(TrainSettings) | declared(SourceSettings)
    del known["callback"]
    found = read_config(path, known)
    for rivals in (PLAN, SOURCES):
        if any(name in given for name in rivals):
            found = {name: value for name, value in found.items() if name not in rivals}
    return found | given


def _source(given: dict[str, Any], resume: str | None) -> Corpus:
    """The training data, read with the vocabulary of the model that is resumed, if any."""
    if sum(given.get(name) is not None for name in SOURCES) > 1:
        raise ValueError("give one of FILE, --data-dir, --records, --table and --dataset")
    records, table = given.get("records"), given.get("table")
    words = given_to(WordSettings, given)
    limited = "max_length" in given or given.get("too_long", "refuse") != "refuse"
    if limited and not (records or table):
        raise ValueError("--max-length and --too-long are for --records and --table")
    earlier, _, about = read(resume) if resume else (None, None, {})
    how: dict[str, Any] = ({"vocabulary": earlier.text_vocabulary} if earlier
                           else {"unit": given.get("unit", "char")} | words)
    limits = {name: given[name] for name in ("max_length", "too_long") if name in given}
    if records:
        return Corpus.from_lines(records, **limits, **how)
    if table:
        columns = [int(c) if c.isdecimal() else c for c in given.get("columns", ["0", "1"])]
        return Corpus.from_table(table, columns, given.get("separator"), **limits, **how)
    if "data_dir" in given:
        return Corpus.from_file(Path(given["data_dir"], "input.txt"), **how)
    file = given.get("file")
    if file is not None:  # as a Path, since the error for a str speaks of Corpus.from_text
        return Corpus.from_file(Path(file) if file else file, **how)
    dataset = given.get("dataset")
    if earlier:
        how = {"unit": earlier.text_vocabulary.unit} | words
        text = about.get("trainer", {}).get("text", {}).get("name")
        if dataset is None and text not in (None, DEFAULT_TEXT):
            raise ValueError(f"{resume} was trained on {text!r}: give that FILE too")
    return datasets.load(dataset or DEFAULT_TEXT, **how)


def _report(model: Model, path: str) -> None:
    """Print a sample and the losses of the trained model."""
    history, labels = model.history, model.config["labels"]
    records = model.text_vocabulary.stop is not None
    texts = model.sample(200, n=SHOWN if records else 1, label=labels and labels[0], seed=0)
    title = "a sample of the trained model" + (f", {labels[0]}" if labels else "")
    print(f"---- {title} ----\n" + "\n".join(texts) + "\n")
    last = history.smooth_loss[-1]
    print(f"{len(history):,} updates, smoothed loss {last:.2f} nats per "
          f"unroll ({last / (history.seq_length or 1):.3f} per symbol)")
    if history.valid_loss.size:
        print(f"lowest validation loss {history.valid_loss.min():.4f} nats per symbol; that "
              "model is the one kept")
    print(f"the model is in {path}; to generate text: fastrnn sample {path}")


def _resuming(given: dict[str, Any], path: str) -> str:
    """The command that resumes from a checkpoint."""
    source = [given["file"]] if given.get("file") else []
    for name in (*SOURCES[1:], "columns", "separator", "max_length", "too_long"):
        if given.get(name) is not None:
            value = given[name] if isinstance(given[name], list) else [str(given[name])]
            source += [f"--{name.replace('_', '-')}", *value]
    return shlex.join(["fastrnn", "train", *source, "--resume", path])


def _new_name(path: str) -> str:
    """The path or, where there is such a file, one with a number: that file is to be kept."""
    stem, suffix = os.path.splitext(path)
    names = chain([path], (f"{stem}-{number}{suffix}" for number in count(2)))
    return next(name for name in names if not os.path.lexists(name))
