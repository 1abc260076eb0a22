"""What the examples share: command-line options, one-line errors, texts and pictures.

An example describes its options by their defaults and hands its own function to `run`:

    parser = common.parser("Sine curves.", curves=10_000, minutes=(1.0, "for each network"))
    common.run(example, parser, picture="sine.png")
"""

import argparse
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastrnn

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


def run(example: Callable[[argparse.Namespace], None], parser: argparse.ArgumentParser,
        picture: str | None = None) -> None:
    """Call example(options) with the parsed command line; bad input ends in one line on stderr.

    With a picture's file name there is an option --output for its directory, which is made, and
    options.picture is the path.
    """
    if picture:
        parser.add_argument("--output", metavar="DIR", type=Path, default=Path("."),
                            help=f"directory of {picture} (default: this one)")
    options = parser.parse_args()
    try:
        if picture:  # an error now is better than one after the training
            if importlib.util.find_spec("matplotlib") is None:
                raise ImportError('the picture needs matplotlib: pip install "fastrnn[plot]"')
            options.output.mkdir(parents=True, exist_ok=True)
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
    except OSError:
        print(instead(data_set, "Python's documentation"), flush=True)
    topics = fastrnn.datasets.load("pydoc-topics")
    text = topics.vocabulary.decode(topics.ids)[:at_most]
    return fastrnn.Corpus.from_text(text, name=topics.name, **settings)


def instead(data_set: str, other: str) -> str:
    """A line that says what takes the place of a data set."""
    return (f"the data set {data_set} is not here and could not be downloaded (data/README.md says "
            f"how to get it by hand): {other} takes its place")


def learning_curve(
    sequences: fastrnn.Sequences, fresh: fastrnn.Sequences, last: int, minutes: float,
    **settings: Any,
) -> tuple[fastrnn.Model, list[tuple[float, float]]]:
    """Train on sequences with Adam, a cosine schedule and the gradients' norm clipped to 5.

    Returns
    -------
    model : fastrnn.Model
    curve : list of (float, float)
        Seconds and accuracy of the last symbols of fresh sequences, during the training and at
        its end.
    """
    curve: list[tuple[float, float]] = []

    def measure(trainer: fastrnn.Trainer) -> None:
        if trainer.seconds >= len(curve) * 60 * minutes / MEASUREMENTS:
            curve.append((trainer.seconds, trainer.model.accuracy(fresh, last=last)))

    start = time.perf_counter()
    model = fastrnn.train(sequences, preset="classic", optimizer="adam", schedule="cosine",
                          clip_value=None, clip_norm=5.0, minutes=minutes, callback=measure,
                          **settings)
    curve.append((time.perf_counter() - start, model.accuracy(fresh, last=last)))
    return model, curve


def draw_curves(curves: dict[str, tuple[list[tuple[float, float]], dict[str, Any]]], title: str,
                chance: float, picture: Path) -> None:
    """Accuracies over the seconds of training, and what guessing reaches.

    curves has for each label what `learning_curve` returns, and the style of its line.
    """
    image = figure(8, 4.5)
    axes = image.add_subplot()
    for label, (curve, style) in curves.items():
        axes.plot(*zip(*curve, strict=True), label=label, **style)
    axes.axhline(chance, color="gray", linestyle=":", label="by chance")
    axes.set(xlabel="seconds", ylabel="fraction of symbols recalled", ylim=(0, 1.02), title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    save(image, picture)


def figure(width: float, height: float) -> "Figure":
    """An empty picture, in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save(image: "Figure", picture: Path) -> None:
    """Write the picture and print where it is."""
    image.savefig(picture, dpi=150)
    print(f"the picture is in {picture}")
