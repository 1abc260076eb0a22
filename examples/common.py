"""What the examples share: command-line options, one-line errors, texts and pictures.

An example describes its options by their defaults and hands its own function to `run`:

    parser = common.parser("Sine curves.", curves=10_000, minutes=(1.0, "for each network"))
    common.run(example, parser, picture="sine.png")
"""

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import fastrnn
from fastrnn.screen import show as show  # prints a sample: no terminal obeys what is in it

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASUREMENTS = 40  # of the accuracy in a run of `learning_curve`


def parser(description: str, file: str | None = None, **options: Any) -> argparse.ArgumentParser:
    """A parser with one option for each keyword.

    Parameters
    ----------
    description : str
        The first line of --help.
    file : str, optional
        Help of the positional argument FILE, which may be left out; without it there is none.
    **options
        hidden_size=64 makes --hidden-size, an integer that is 64 by default; a pair such as
        (64, "units of the LSTM") adds a help text. threads=None is the number of threads.
    """
    made = argparse.ArgumentParser(description=description)
    if file:
        made.add_argument("file", metavar="FILE", nargs="?", help=file)
    for name, value in options.items():
        default, text = value if isinstance(value, tuple) else (value, "")
        shown = "default: all cores" if default is None else "default: %(default)s"
        made.add_argument("--" + name.replace("_", "-"), default=default,
                          type=int if default is None else type(default),
                          help=f"{text} ({shown})" if text else shown)
    return made


def add_length(parser: argparse.ArgumentParser, minutes: float | None, text: str = "") -> None:
    """Add --minutes with this default (None: no such option), or in its place --epochs or
    --updates, which give the same numbers again; and --seed."""
    length = parser.add_mutually_exclusive_group()
    if minutes is not None:
        length.add_argument("--minutes", type=float, default=minutes,
                            help=f"{text} (default: %(default)s); another run of the same time "
                            "makes more updates or fewer")
    length.add_argument("--epochs", type=int, help=f"{text}, in place of the default length: the "
                        "same on every machine")
    length.add_argument("--updates", type=int, help=f"{text}, in place of epochs")
    parser.add_argument("--seed", type=int, default=0,
                        help="of the initial weights and the order (default: %(default)s)")


def length_of(options: argparse.Namespace) -> dict[str, Any]:
    """epochs, updates or minutes, as the command line says, for `fastrnn.train`."""
    for name in ("epochs", "updates"):
        if getattr(options, name) is not None:
            return {name: getattr(options, name)}
    return {"minutes": options.minutes}


def run(example: Callable[[argparse.Namespace], None], parser: argparse.ArgumentParser,
        picture: str | None = None) -> None:
    """Call example(options) with the parsed command line; bad input ends in one line on stderr.

    An option --output is the directory of models and of the picture, and is made; with a picture's
    file name options.picture is its path.
    """
    parser.add_argument("--output", metavar="DIR", type=Path, default=Path("."),
                        help=f"directory of {f'{picture} and ' if picture else ''}what is saved "
                        "(default: this one)")
    options = parser.parse_args()
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        if picture:  # an error now is better than one after the training
            if importlib.util.find_spec("matplotlib") is None:
                raise ImportError('the picture needs matplotlib: pip install "fastrnn[plot]"')
            options.picture = options.output / picture
        example(options)
    except (OSError, ValueError, ImportError, FloatingPointError) as error:
        parser.error(str(error))


def load_text(file: str | None, data_set: str, at_most: int | None = None,
              **settings: Any) -> fastrnn.Corpus:
    """The text in a file or, where none is given, a data set; settings as of `fastrnn.Corpus`.

    Where the data set is not here and cannot be downloaded, Python's documentation takes its place,
    at most so many characters of it.
    """
    if file:
        return fastrnn.Corpus.from_file(file, **settings)
    try:
        return fastrnn.datasets.load(data_set, **settings)
    except OSError as error:  # it says from where to get the text, and where to put it
        print(f"{error}; or give the path of any text as FILE")
        print(instead(data_set, "Python's documentation"), flush=True)
    topics = fastrnn.datasets.load("pydoc-topics")
    text = topics.vocabulary.decode(topics.ids)[:at_most]
    return fastrnn.Corpus.from_text(text, name=topics.name, **settings)


def instead(data_set: str, other: str) -> str:
    """A line that says what takes the place of a data set."""
    return (f"the data set {data_set} is not here and could not be downloaded (data/README.md says "
            f"how to get it by hand): {other} takes its place")


def save_model(model: Any, options: argparse.Namespace, name: str = "",
               samples: Sequence[str] = ()) -> Path:
    """Write a model, with its history and the samples in it, into the directory of --output, and
    print where it is: sine.safetensors for the example sine.py, or sine-lstm.safetensors with the
    name "lstm". `samples` are added to those in the history first."""
    for sample in samples:
        model.history.add_sample(len(model.history), sample)
    stem = Path(sys.argv[0]).stem + (f"-{name}" if name else "")
    path: Path = options.output / f"{stem}.safetensors"
    model.save(path)
    print(f"the model is in {path}")
    return path


def one_hot(sequences: fastrnn.Sequences) -> fastrnn.Sequences:
    """Sequences of symbols whose inputs are one-hot vectors, and whose outputs are only the symbols
    that are targets (of `fastrnn.tasks.memorization` not the delimiter, which has the highest
    number)."""
    K = sequences.sizes.input_symbols
    return fastrnn.Sequences(np.eye(K)[sequences.inputs], sequences.targets, sequences.mask,
                             symbols=K - 1, name=sequences.name)


def learning_curve(
    sequences: fastrnn.Sequences, fresh: fastrnn.Sequences, last: int,
    options: argparse.Namespace, **settings: Any,
) -> tuple[fastrnn.Model, list[tuple[float, float]]]:
    """Train on sequences with Adam, a cosine schedule and the gradients' norm clipped to 5, as long
    as the options say.

    Returns
    -------
    model : fastrnn.Model
    curve : list of (float, float)
        Seconds (updates where the length is not given in minutes) and accuracy of the last symbols
        of fresh sequences, during the training and at its end.
    """
    curve: list[tuple[float, float]] = []
    length = length_of(options)
    minutes = length.get("minutes")
    planned = length.get("updates") or (length.get("epochs") or 0) * -(
        -len(sequences) // settings["batch_size"])

    def measure(trainer: fastrnn.Trainer) -> None:
        if minutes is None:
            curve.append((trainer.update, trainer.model.accuracy(fresh, last=last)))
        elif trainer.seconds >= len(curve) * 60 * minutes / MEASUREMENTS:
            curve.append((trainer.seconds, trainer.model.accuracy(fresh, last=last)))

    if minutes is None:
        settings["callback_every"] = max(1, planned // MEASUREMENTS)
    start = time.perf_counter()
    model = fastrnn.train(sequences, preset="classic", optimizer="adam", schedule="cosine",
                          clip_value=None, clip_norm=5.0, callback=measure, seed=options.seed,
                          **length, **settings)
    if minutes is not None:
        curve.append((time.perf_counter() - start, model.accuracy(fresh, last=last)))
    return model, curve


def draw_curves(curves: dict[str, tuple[list[tuple[float, float]], dict[str, Any]]], title: str,
                chance: float, options: argparse.Namespace) -> None:
    """Accuracies over the seconds or updates of training, and what guessing reaches.

    curves has for each label what `learning_curve` returns, and the style of its line.
    """
    along = "seconds" if "minutes" in length_of(options) else "updates"
    image = figure(8, 4.5)
    axes = image.add_subplot()
    for label, (curve, style) in curves.items():
        axes.plot(*zip(*curve, strict=True), label=label, **style)
    axes.axhline(chance, color="gray", linestyle=":", label="by chance")
    axes.set(xlabel=along, ylabel="fraction of symbols recalled", ylim=(0, 1.02), title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    save(image, options.picture)


def figure(width: float, height: float) -> "Figure":
    """An empty picture, in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save(image: "Figure", picture: Path) -> None:
    """Write the picture and print where it is."""
    image.savefig(picture, dpi=150)
    print(f"the picture is in {picture}")
