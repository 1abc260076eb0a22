"""The command line: ``fastrnn train``, ``sample``, ``gradcheck`` and ``info``.

One flag for each keyword of the Python calls, ``--hidden-size`` for ``hidden_size``, made from
their signatures and docstrings, so that there is no second list.
"""

from __future__ import annotations

import argparse
import inspect
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any

from . import datasets
from ._core import CELLS
from .build import build_info
from .checkpoint import check_writable, load, read
from .corpus import Corpus
from .gradcheck import gradcheck
from .model import Model
from .records import TOO_LONG
from .train import train
from .validate import finite_float, generator, positive_float, positive_int
from .vocabulary import SPLITS, UNITS, Vocabulary

# The names of karpathy/char-rnn and jcjohnson/torch-rnn where theirs differ from ours.
OTHER_NAMES = {
    "cell": ["--model-type", "--model_type"],  # char-rnn's --model is in _train's parser
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
# Theirs that take a value and have no meaning here: where to compute, how often to print.
WITHOUT_MEANING = ["--gpuid", "--gpu", "--opencl", "--gpu_backend", "--print_every"]
DEFAULT_CHECKPOINT = "model.safetensors"
SHOWN = 5  # records of a trained model
DEFAULT_EPOCHS = 35  # of the first run, without a file: about half a minute


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        0; 1 where a gradient check fails; 2 on bad input; 130 after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):  # a narrow terminal must not end an hour of training
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    options = vars(_parser().parse_args(arguments))
    command: Callable[..., int] = options.pop("command")
    try:
        status = command(**options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13 if command is _train else 0  # a training that is cut off has no success
    except (ValueError, TypeError, OSError, ImportError, FloatingPointError) as error:
        print(f"fastrnn: error: {error}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"fastrnn: error: out of memory ({error}): choose smaller sizes", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _train(
    file: str | None, data_dir: str | None, records: str | None, table: str | None,
    columns: list[str], separator: str | None, max_length: int | None, too_long: str, unit: str,
    split: str, lower: bool, min_count: int,
    dataset: str | None, plot: str | None, lr_decay_every: int | None, train_frac: float | None,
    without_meaning: Any, **settings: Any,
) -> int:
    words: dict[str, Any] = {"split": split, "lower": lower, "min_count": min_count}
    if sum(source is not None for source in (file, data_dir, records, table, dataset)) > 1:
        raise ValueError("give one of FILE, --data-dir, --records, --table and --dataset")
    if (max_length or too_long != "refuse") and not (records or table):
        raise ValueError("--max-length and --too-long are for --records and --table")
    if data_dir is not None:
        file = os.path.join(data_dir, "input.txt")
    if lr_decay_every is not None:  # torch-rnn's first comes after as many epochs as each other
        settings["learning_rate_decay_after"] = lr_decay_every
        settings["learning_rate_decay_every"] = lr_decay_every
    if train_frac is not None and not settings["valid_fraction"]:
        settings["valid_fraction"] = 1 - positive_float("train_frac", train_frac)
    resume = settings["resume"]
    earlier, _, about = read(resume) if resume else (None, None, {})
    settings["checkpoint"] = settings["checkpoint"] or resume or _new_name(DEFAULT_CHECKPOINT)
    if records or table:
        read_file = Corpus.from_lines if records else Corpus.from_table
        how = {"vocabulary": earlier.text_vocabulary} if earlier else {"unit": unit} | words
        if table:
            how |= {"separator": separator,
                    "columns": [int(c) if c.isdecimal() else c for c in columns]}
        corpus = read_file(records or table, max_length=max_length, too_long=too_long, **how)
    elif file is not None:
        corpus = (Corpus.from_file(file, vocabulary=earlier.text_vocabulary) if earlier
                  else Corpus.from_file(file, unit, **words))
    else:
        if earlier:
            unit = earlier.text_vocabulary.unit
            text = about.get("trainer", {}).get("text", {}).get("name")
            if dataset is None and text not in (None, "pydoc-topics"):
                raise ValueError(f"{resume} was trained on {text!r}: give that FILE too")
        corpus = datasets.load(dataset or "pydoc-topics", unit, **words)
        if not (dataset or resume or any(settings[plan] for plan in ("epochs", "updates",
                                                                    "minutes"))):
            settings["epochs"] = DEFAULT_EPOCHS
    if plot is not None:
        _check_plot(plot)  # an hour of training must not end in an error
    if settings["progress"]:
        print(f"learning from {corpus.name}: {len(corpus):,} {corpus.vocabulary.unit}s, "
              f"{len(corpus.vocabulary)} distinct" + _about_records(corpus), flush=True)
    model = train(corpus, **settings)
    history, path = model.history, settings["checkpoint"]
    if plot is not None:
        history.plot(plot)
    if settings["progress"]:
        labels = model.config["labels"]
        texts = model.sample(200, n=SHOWN if corpus.records else 1, label=labels and labels[0],
                             seed=0)
        title = "a sample of the trained model" + (f", {labels[0]}" if labels else "")
        print(f"---- {title} ----\n" + "\n".join(texts) + "\n")
        print(f"{len(history):,} updates, smoothed loss {history.smooth_loss[-1]:.2f} nats per "
              f"unroll ({history.smooth_loss[-1] / history.seq_length:.3f} per symbol)")
        if history.valid_loss.size:
            print(f"lowest validation loss {history.valid_loss.min():.4f} nats per symbol; that "
                  "model is the one kept")
        print(f"the model is in {path}; to let it write: fastrnn sample {path}")
    if history.stopped == "interrupted":
        source = ([file] if file else ["--dataset", dataset] if dataset
                  else ["--records", records] if records
                  else ["--table", table, "--columns", *columns] if table else [])
        source += ["--separator", separator] if separator else []
        if max_length:
            source += ["--max-length", str(max_length), "--too-long", too_long]
        print("to go on:", shlex.join(["fastrnn", "train", *source, "--resume", path]),
              file=sys.stderr)
        return 130
    return 0


def _about_records(corpus: Corpus) -> str:
    if corpus.records is None:
        return ""
    counts = "".join(f", {count} {what}" for what, count in corpus.records.counts.items() if count)
    names = corpus.records.names
    labels = f" with {len(names)} labels" if names else ""
    return f"; {len(corpus.records):,} records{labels}{counts}"


def _new_name(path: str) -> str:
    """The path, or one with a number where a file has it: nobody asked to replace that one."""
    stem, suffix = os.path.splitext(path)
    number, name = 1, path
    while os.path.lexists(name):
        number += 1
        name = f"{stem}-{number}{suffix}"
    return name


def _check_plot(path: str) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError('plots need matplotlib: pip install "fastrnn[plot]"') from None

    kinds = Figure().canvas.get_supported_filetypes()
    kind = os.path.splitext(path)[1][1:].lower()
    if kind and kind not in kinds:
        raise ValueError(f"{path!r}: plots can be {', '.join(sorted(kinds))}, not {kind!r}")
    check_writable(path)


def _sample(model: str, best: bool | None, sample: int, stream: bool, **settings: Any) -> int:
    writer, n = load(model, best=best), settings["n"]
    records = writer.text_vocabulary.stop is not None
    label = settings["label"]
    if label and "=" in label and label not in (writer.config["labels"] or ()):  # a mixture
        parts = [part.rpartition("=") for part in label.split(",")]
        settings["label"] = {name.strip(): finite_float(f"share of {name.strip()!r}", share)
                             for name, _, share in parts}
    if sample == 0:
        settings["temperature"] = 0
    if stream:
        if settings.pop("n") is not None:
            raise ValueError("--stream writes one text: leave out --n")
        for symbol in writer.stream(**settings):
            print(symbol, end="", flush=True)
        print()
    elif n is None:
        print(writer.sample(**settings))
    else:
        for i, text in enumerate(writer.sample(**settings), 1):
            print(text if records else f"---- {i} of {n} ----\n{text}")
    return 0


def _gradcheck(
    cell: str, hidden_size: int, num_layers: int, embedding_size: int | None, seq_length: int,
    batch_size: int, dropout_share: float, reset_after: bool, init_scale: float, tolerance: float,
    **settings: Any,
) -> int:
    rng = generator(settings["seed"])
    positive_int("seq_length", seq_length)
    positive_int("batch_size", batch_size)
    positive_float("tolerance", tolerance)
    vocabulary = Vocabulary("abcdefghijklmnopqrstuvw")
    # a few units have few weights
    dense: dict[str, Any] = {"density": 1.0} if cell == "esn" else {}
    model = Model(vocabulary, cell=cell, hidden_size=hidden_size, num_layers=num_layers,
                  embedding_size=embedding_size, dropout=dropout_share, reset_after=reset_after,
                  init_scale=init_scale, seed=settings["seed"], **dense)
    for p in model.params.values():
        if p.ndim == 1:  # no ReLU should sit at its kink
            p[:] = rng.normal(0, init_scale, p.shape)
    ids = rng.integers(len(vocabulary), size=(2, batch_size, seq_length))
    report = gradcheck(model, ids[0], ids[1], **settings)
    passed = report.certain_error < tolerance
    print(f"cell {cell}, L {num_layers}, K {len(vocabulary)}, H {hidden_size}, T {seq_length}, "
          f"N {batch_size}")
    print(report)
    print(f"{'passed' if passed else 'FAILED'}: the bar is {tolerance:g}")
    return 0 if passed else 1


def _info(model: str | None) -> int:
    if model is None:
        about: dict[str, Any] = build_info()
    else:
        network, tensors, stored = read(model)
        run = stored.get("trainer", {})
        vocabulary = network.vocabulary
        about = {"file": model}
        about |= ({"symbols": len(vocabulary), "unit": vocabulary.unit} if vocabulary
                  else {"sizes": network.sizes})
        about["parameters"] = network.block.size
        about |= network.config | run.get("config", {})
        about["seed"] = network.config["seed"]
        if run:
            counters = run["counters"]
            about["epochs planned"] = about.pop("epochs")
            about["updates planned"] = about.pop("updates")
            about["minutes planned"] = about.pop("minutes")
            lowest = "validation" if network.history.valid_loss.size else "smoothed"
            about |= {"text": run["text"]["name"], "updates": counters["update"],
                      "epochs completed": counters["epoch"], "position": counters["position"],
                      "smoothed loss": counters["smooth_loss"],
                      f"lowest {lowest} loss": counters["best_loss"],
                      "at update": counters["best_update"]}
        about |= {name: "x".join(map(str, p.shape)) for name, p in network.params.items()}
    for name, value in about.items():
        print(f"{name:22} {value}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastrnn", description="Small recurrent networks, trained on a CPU.")
    parser.add_argument("--version", action="version", version=build_info()["version"])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[..., int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        return sub

    sub = add("train", _train, "Learn from a text; without FILE from Python's own documentation.")
    sub.add_argument("file", metavar="FILE", nargs="?", help="a text file in UTF-8")
    sub.add_argument("--dataset", metavar="NAME", help=f"one of {', '.join(datasets.names())}")
    sub.add_argument("--records", metavar="FILE",
                     help="a text file with a short text on each line, each read by itself")
    sub.add_argument("--table", metavar="FILE",
                     help="a TSV or CSV file with such a text and its label in each row")
    sub.add_argument("--columns", nargs=2, default=["0", "1"], metavar=("TEXT", "LABEL"),
                     help="of the table, by their names in its first row or their places "
                          "(default: 0 1)")
    sub.add_argument("--separator", metavar="CHAR",
                     help="between columns (default: a tab, or else a comma)")
    sub.add_argument("--max-length", "--max_length", type=int, metavar="SYMBOLS",
                     help="of the longest record that is let through")
    sub.add_argument("--too-long", "--too_long", choices=TOO_LONG, default="refuse",
                     help="what becomes of longer ones (default: refuse)")
    sub.add_argument("--unit", choices=UNITS, default="char",
                     help="what a symbol is (default: char)")
    sub.add_argument("--split", choices=SPLITS, default="blank",
                     help="where words end: at each blank and line end, at runs of white space, or "
                          "before marks too (default: blank)")
    _add_flag(sub, "lower", bool, True, "lower-case the text of words")
    _add_flag(sub, "min_count", int, 1, "words that come less often become <unk>")
    sub.add_argument("--plot", metavar="PNG", help="draw the smoothed loss into this file")
    _add_keywords(sub, train, leave_out={"source", "callback"})
    theirs = sub.add_argument_group("names of karpathy/char-rnn and jcjohnson/torch-rnn")
    theirs.add_argument("--model", dest="cell", choices=CELLS, default=argparse.SUPPRESS,
                        help="as --cell")
    theirs.add_argument("--data-dir", "--data_dir", metavar="DIR",
                        help="the FILE is DIR/input.txt")
    theirs.add_argument("--lr-decay-every", "--lr_decay_every", type=int, metavar="EPOCHS",
                        help="as --learning-rate-decay-after and --learning-rate-decay-every")
    theirs.add_argument("--train-frac", "--train_frac", type=float, metavar="SHARE",
                        help="without --valid-fraction: what it leaves is scored")
    theirs.add_argument(*WITHOUT_MEANING, dest="without_meaning", metavar="ANY",
                        help="accepted, without meaning here")

    sub = add("sample", _sample, "Let a trained model write.")
    sub.add_argument("model", metavar="MODEL", help="a checkpoint")
    sub.add_argument("--best", action=argparse.BooleanOptionalAction, default=None,
                     help="the model of the lowest validation loss, or else smoothed loss, not the "
                          "last (default: where there was a validation)")
    sub.add_argument("--stream", action="store_true", help="write each symbol as it is drawn")
    sub.add_argument("--sample", type=int, choices=(0, 1), default=1,
                     help="0: the likeliest symbol each time, as --temperature 0 (default: 1)")
    _add_keywords(sub, Model.sample, leave_out={"model"})

    sub = add("gradcheck", _gradcheck, "Hold the gradients against finite differences.")
    sub.add_argument("--cell", choices=CELLS, default="rnn",
                     help="the recurrent cell (default: rnn)")
    for flag, default in (("hidden_size", 5), ("num_layers", 1), ("seq_length", 7),
                          ("batch_size", 3)):
        _add_flag(sub, flag, int, default, "size of the random model")
    _add_flag(sub, "embedding_size", _kind("int | None"), None,
              "size of its embedding; without it inputs are one-hot")
    _add_flag(sub, "dropout_share", float, 0.4, "share that --dropout drops")
    _add_flag(sub, "reset_after", bool, True, "where its GRU resets")
    _add_flag(sub, "init_scale", float, 0.3, "standard deviation of its weights")
    _add_flag(sub, "tolerance", float, 1e-6, "largest relative error to pass, beyond rounding")
    _add_keywords(sub, gradcheck,
                  leave_out={"model", "inputs", "targets", "state", "mask", "lengths", "labels",
                             "dout", "tolerance"})

    sub = add("info", _info, "Tell what is in a checkpoint; without MODEL what fastrnn runs on.")
    sub.add_argument("model", metavar="MODEL", nargs="?", help="a checkpoint")
    return parser


def _add_keywords(
    parser: argparse.ArgumentParser, function: Callable[..., Any], leave_out: set[str]
) -> None:
    """A flag for each keyword of a function, with the help of its docstring."""
    # numpydoc: a line "name : type", then the text, indented once more
    documented = re.findall(r"^(\w+) : (.*)\n((?:    .*\n)+)", inspect.getdoc(function) or "",
                            re.MULTILINE)
    texts = {name: f"{kind}: {text}" if kind.startswith("{") else text
             for name, kind, text in documented}
    for name, parameter in inspect.signature(function).parameters.items():
        if name in leave_out:
            continue
        _add_flag(parser, name, _kind(str(parameter.annotation)), parameter.default,
                  " ".join(texts.get(name, "").split()))


def _kind(annotation: str) -> Callable[[str], Any]:
    """How a flag's text becomes the value that the annotation asks for."""
    if annotation == "bool":
        return bool
    if "Sequence[str]" in annotation:
        return list
    number = {"int": int, "float": float}.get(annotation.split(" | ")[0])
    if number is None:
        return str
    if not annotation.endswith("None"):
        return number

    def number_or_none(text: str) -> Any:
        return None if text.lower() == "none" else number(text)

    number_or_none.__name__ = f"{number.__name__} or none"
    return number_or_none


def _add_flag(
    parser: argparse.ArgumentParser, name: str, kind: Callable[[str], Any], default: Any, text: str
) -> None:
    text = text.replace("%", "%%") or "as in the Python call"
    if default not in (None, "", inspect.Parameter.empty):
        text += f" (default: {default})"
    flags = dict.fromkeys([f"--{name.replace('_', '-')}", f"--{name}", *OTHER_NAMES.get(name, [])])
    if kind is bool:
        parser.add_argument(*flags, dest=name, action=argparse.BooleanOptionalAction,
                            default=default, help=text)
    elif kind is list:
        parser.add_argument(*flags, dest=name, action="append", metavar=name.upper(),
                            help=f"{text} May be given several times.")
    else:
        parser.add_argument(*flags, dest=name, type=kind, default=default, help=text,
                            metavar=name.upper())
