"""Train a model on a text; without FILE on Python's own documentation."""

import argparse
import math
import os
import shlex
import time
from itertools import chain, count
from typing import Any

from ..cells import CELLS
from ..data import datasets
from ..data.corpus import Corpus
from ..figures.axes import check_kind, drawn_here
from ..files.store import check_writable, existing, is_ours
from ..insight.comparison import characters_of
from ..insight.figures import split_of
from ..model.history import accuracy_in_words, averaged, in_words, training_in_words
from ..model.model import Model
from ..plot import live
from ..presets import PLAN, PRESETS
from ..recipe import CHOSEN
from ..screen import show
from ..settings import SourceSettings, TrainSettings, WordSettings, declared, given_to
from ..train import check, train
from ..training.checkpoint import read
from ..training.describing import block
from ..training.following import Together
from ..validate import positive_float
from .config import read_config
from .flags import add_settings
from .sources import SOURCES, TABLE, add_sources, load_with, read_source, read_valid, source_flags

# flags of char-rnn and torch-rnn without a meaning here: which device computes, what is printed
WITHOUT_EFFECT = ["--gpuid", "--gpu", "--opencl", "--gpu-backend", "--print-every", "--batchnorm",
                  "--speed-benchmark", "--memory-benchmark", "--reset-iterations"]
DEFAULT_CHECKPOINT = "model.safetensors"
DEFAULT_TEXT = "pydoc-topics"
SHOWN, TEMPERATURE = 5, 0.8  # generated records, and how they are drawn, at the end
EXAMPLES = """examples:
  fastrnn train book.txt                        one minute, settings chosen for this text
  fastrnn train book.txt --minutes 10 --cell lstm
  fastrnn train book.txt --preset goblet        fixed settings; `fastrnn presets` lists them
  fastrnn train --table names.tsv               records with labels
  fastrnn train book.txt --resume model.safetensors --epochs 20
  fastrnn train letters.txt --init-from model.safetensors

Flags may be abbreviated. Those of karpathy/char-rnn and jcjohnson/torch-rnn work too, with one dash
or two: -rnn_size, -wordvec_size, -max_epochs, -grad_clip, -val_frac, -data_dir and others."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage, parser.epilog = "fastrnn train [FILE] [FLAGS]", EXAMPLES
    parser.add_argument("--config", metavar="TOML", default=None,
                        help="a file with settings, named as these flags: hidden_size = 200; flags "
                             "given beside it win")
    add_sources(parser, reading=True)
    add_settings(parser, TrainSettings, leave_out={"callback", "on_event"}, chosen=CHOSEN)
    hidden: dict[str, Any] = {"help": argparse.SUPPRESS}
    parser.add_argument("--model", dest="cell", choices=CELLS, default=argparse.SUPPRESS, **hidden)
    parser.add_argument("--data-dir", metavar="DIR", default=argparse.SUPPRESS, **hidden)
    parser.add_argument("--lr-decay-every", type=int, metavar="EPOCHS", **hidden)
    parser.add_argument("--train-frac", type=float, metavar="FRACTION", **hidden)
    parser.add_argument(*WITHOUT_EFFECT, dest="without_effect", metavar="ANY", **hidden)


def run(**given: Any) -> int:
    with Together(None, given) as ranks:  # from here on rank 0 of several processes works alone
        if ranks.follows:
            return 130 if ranks.follow().history.stopped == "interrupted" else 0
        return _run(**given)


def _run(config: str | None, lr_decay_every: int | None, train_frac: float | None,
         without_effect: Any, **given: Any) -> int:
    if config is not None:
        given = _with_config(config, given)
    if lr_decay_every:  # in torch-rnn also the number of epochs before the first decay
        given |= dict.fromkeys(("learning_rate_decay_after", "learning_rate_decay_every"),
                               lr_decay_every)
    if train_frac is not None and not given.get("valid_fraction"):
        given["valid_fraction"] = 1 - positive_float("train_frac", train_frac)
    settings = given_to(TrainSettings, given)
    check(settings)  # before a large text is read
    resume = settings.get("resume")
    if resume is not None:
        settings["resume"] = resume = existing(resume)
    settings["checkpoint"] = (_with_suffix(settings.get("checkpoint"))
                              or resume or _new_name(DEFAULT_CHECKPOINT))
    plot, progress = given.get("plot"), settings.get("progress", True)
    overwrite = settings.get("overwrite", False)
    if plot is not None:
        check_kind(plot)  # before an hour of training, not after it
        check_writable(plot, overwrite or drawn_here(plot))
        settings["on_event"] = drawing = live(plot)
    if settings["checkpoint"] != resume:  # which is read first
        check_writable(settings["checkpoint"], overwrite)
    corpus = _corpus(given, settings)
    if settings.get("valid") is not None:
        settings["valid"] = read_valid(settings["valid"], given, corpus)
    began = time.perf_counter()
    model = train(corpus, **settings)
    interrupted = model.history.stopped == "interrupted"
    # what is shown below was checked: the file is there, and holds all updates
    _, _, stored = read(settings["checkpoint"])
    if interrupted and not stored["trainer"]["over"]:
        again = _command("train", *source_flags(given), "--resume", settings["checkpoint"])
        show(f"to go on: {again}", error=True)
    if plot is not None and not drawing.current and len(model.history):
        model.history.plot(plot)  # the disk was full then
    if progress and not interrupted:
        _show_sample(model)
    try:
        _report(model, corpus, settings["checkpoint"], given, time.perf_counter() - began)
    except OSError:  # after SIGHUP the terminal is gone
        if not interrupted:
            raise
    return 130 if interrupted else 0


def _with_suffix(path: str | None) -> str | None:
    """The name of a new checkpoint, completed; ValueError for one that looks like another kind of
    file."""
    if path is None or is_ours(path) or os.path.isdir(path):
        return path
    stem, suffix = os.path.splitext(path)
    if not suffix and os.path.basename(path):
        return f"{path}.safetensors"
    if suffix not in (".safetensors", ".st"):
        raise ValueError(f"--checkpoint {path}: a model is a .safetensors file, give such a name: "
                         f"--checkpoint {stem}.safetensors")
    return path


def _with_config(path: str, given: dict[str, Any]) -> dict[str, Any]:
    """The settings of a file and the given ones, which win."""
    known = declared(TrainSettings) | declared(SourceSettings)
    del known["callback"], known["on_event"]
    found = read_config(path, known)
    for new, replaced in ((PLAN, PLAN), (SOURCES, SOURCES + (() if "table" in given else TABLE)),
                          (("column", "columns"), ("column", "columns"))):
        if any(name in given for name in new):
            found = {name: value for name, value in found.items() if name not in replaced}
    return found | given


def _corpus(given: dict[str, Any], settings: dict[str, Any]) -> Corpus:
    """The training data, read with the vocabulary of the model that is resumed or repeated, and for
    init_from as that model reads."""
    preset = settings.get("preset")
    reading = dict(PRESETS[preset].reading) if preset else {}
    if not any(given.get(name) is not None for name in ("records", "table")):
        reading = {name: value for name, value in reading.items()
                   if name not in ("max_length", "too_long")}
    earlier = settings.get("resume") or settings.get("repeat")
    if earlier is None:
        if settings.get("init_from"):
            vocabulary = read(settings["init_from"])[0].text_vocabulary
            words = {"split": vocabulary.split, "lower": vocabulary.lower}
            reading = {"unit": vocabulary.unit} | (words if vocabulary.unit == "word" else {})
        return read_source(given, **reading) or datasets.load(
            DEFAULT_TEXT, given.get("unit", reading.get("unit", "char")),
            **{name: given[name] for name in WordSettings.__annotations__ if name in given})
    model, _, about = read(earlier)
    corpus = read_source(given, model.text_vocabulary)
    if corpus is None:
        text = about.get("trainer", {}).get("text", {}).get("name")
        if text not in (None, DEFAULT_TEXT):
            raise ValueError(f"{earlier} was trained on {text!r}: give that FILE too")
        corpus = load_with(model.text_vocabulary, DEFAULT_TEXT)
    return corpus


def _show_sample(model: Model) -> None:
    labels = model.config["labels"]
    records = model.text_vocabulary.stop is not None
    texts = model.sample(400, n=SHOWN if records else 1, label=labels and labels[0], seed=0,
                         temperature=TEMPERATURE)
    of = f", {labels[0]}" if labels else ""
    title = f"a sample of the trained model{of}, temperature {TEMPERATURE}"
    show(f"---- {title} ----\n" + "\n".join(texts) + "\n")


def _report(model: Model, corpus: Corpus, path: str, given: dict[str, Any], seconds: float) -> None:
    """Print the losses of the trained model, where it is, and what can be done with it."""
    history, unit, n = model.history, corpus.unit, len(model.history)
    lines = {"trained": f"{n:,} updates in {seconds:.1f} seconds"}
    if n:
        lines["training"] = (f"{training_in_words(history, model.config['loss'], unit)}, mean of "
                             f"the last {min(n, averaged(n))} updates")
    if history.valid_loss.size:
        lowest, at = history.lowest_validation()
        lines["validation"] = (
            f"{in_words(lowest, history.measure, unit)}, the lowest, after "
            f"{at:,} updates: that model is the one kept")
    if unit != "char" and history.valid_loss.size and model.config["loss"] == "cross_entropy":
        lines["per char"] = _per_character(model, corpus, history.lowest_validation()[0])
    if history.accuracy.size:
        lines["accuracy"] = accuracy_in_words(history, unit)
    if history.one_stream and n:
        lines["smoothed"] = (f"{history.smooth_loss[-1]:.2f} nats per window of "
                             f"{history.seq_length:g} {unit}s (0.999 s + 0.001 loss)")
    show(block(lines))
    # commands stand in one line, so that they can be pasted
    label = ["--label", model.config["labels"][0]] if model.config["labels"] else []
    show(f"{'model':12}{path}\n{'sample':12}{_command('sample', path, *label)}\n"
         f"{'chat':12}{_command('chat', path, *label)}\n"
         f"{'score':12}{_command('score', path)} {'--table ' if label else ''}FILE\n"
         f"{'more':12}fastrnn --help")
    if given.get("minutes") or not any(given.get(name) for name in (*PLAN, "preset", "repeat")):
        again = _command("train", *source_flags(given), "--repeat", path)
        timed = model.run is not None and model.run["config"]["minutes"]
        show(f"{'repeat':12}{again}\n{'':12}makes these {n:,} updates again" + (
            f"; another run of the same time\n{'':12}has more or fewer" if timed else ""))


def _per_character(model: Model, corpus: Corpus, loss: float) -> str:
    """A validation loss in bits per character, so that units can be compared."""
    held = None if model.run is None or model.run["valid"] else split_of(model, corpus).held
    read: Any = corpus if held is None else held
    each = characters_of(read) / read.predictions
    of = "the validation data" if read is held else "the training data"
    return (f"{loss / math.log(2) / each:.3f} bits per character (validation loss; {each:.2f} "
            f"characters per {corpus.unit} in {of})")


def _command(*arguments: str) -> str:
    """A command that can be pasted into a shell."""
    return shlex.join(["fastrnn", *arguments])


def _new_name(path: str) -> str:
    """The path or, where there is such a file, one with a number: that file is to be kept."""
    stem, suffix = os.path.splitext(path)
    names = chain([path], (f"{stem}-{number}{suffix}" for number in count(2)))
    return next(name for name in names if not os.path.lexists(name))
