"""RNN, LSTM, GRU and echo state network learn the same text for the same time.

    python examples/compare_cells.py                         # tiny-shakespeare, 2 minutes each
    python examples/compare_cells.py FILE --minutes 0.5

The four architectures of a course task on char-rnn. Each trains with Adam and a cosine schedule on
all but the last tenth of the text, 50 streams of 50 characters; the echo state network has more
units, since only its readout is trained, and a second one has that readout solved by ridge
regression on one-hot targets, in one pass. Prints for each the loss, the validation loss, trained
parameters, characters a second and a sample, and draws the losses over the time into
compare_cells.png. The picture needs pip install "fastrnn[plot]".
"""

import argparse
import importlib.util
import time
from pathlib import Path

import numpy as np

import fastrnn

CELLS = ("rnn", "lstm", "gru", "esn")
ESN = {"spectral_radius": 0.9, "input_scale": 0.7, "density": 0.05}
VALID_FRACTION = 0.1
SAMPLE = 300  # characters
MEAN = 100  # updates: fewer than smoothed losses forget in, of which a minute may have too few


def main() -> None:
    parser = argparse.ArgumentParser(description="Four cells on one text for the same time.")
    parser.add_argument("file", metavar="FILE", nargs="?",
                        help="a UTF-8 text (default: tiny-shakespeare, downloaded)")
    parser.add_argument("--minutes", type=float, default=2.0, help="each (default: %(default)s)")
    parser.add_argument("--hidden-size", type=int, default=256,
                        help="of RNN, LSTM and GRU (default: %(default)s)")
    parser.add_argument("--esn-size", type=int, default=1000,
                        help="of the echo state network (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--output", metavar="DIR", type=Path, default=Path("."),
                        help="where compare_cells.png goes (default: here)")
    options = parser.parse_args()
    try:
        run(options)
    except (OSError, ValueError, ImportError, FloatingPointError) as error:
        parser.error(str(error))


def run(options: argparse.Namespace) -> None:
    if importlib.util.find_spec("matplotlib") is None:  # better known before the training
        raise ImportError('the picture needs matplotlib: pip install "fastrnn[plot]"')
    corpus = (fastrnn.Corpus.from_file(options.file) if options.file
              else fastrnn.datasets.load("tiny-shakespeare"))
    print(f"{corpus.name}: {len(corpus):,} characters, {len(corpus.vocabulary)} distinct")
    models = {cell: learn(corpus, cell, options) for cell in CELLS}
    solve(corpus, options)
    if any(model.history.stopped == "interrupted" for model in models.values()):
        print("interrupted: those behind had less time")
    options.output.mkdir(parents=True, exist_ok=True)
    picture = options.output / "compare_cells.png"
    draw(corpus, models, options.minutes, picture)
    print(f"the picture is in {picture}")


def learn(corpus, cell, options) -> fastrnn.Model:
    size = options.esn_size if cell == "esn" else options.hidden_size
    more = ESN if cell == "esn" else {}
    start = time.perf_counter()
    model = fastrnn.train(
        corpus, cell=cell, hidden_size=size, seq_length=50, batch_size=50, optimizer="adam",
        learning_rate=2e-3, schedule="cosine", minutes=options.minutes,
        valid_fraction=VALID_FRACTION, threads=options.threads, sample_every=0, **more)
    seconds = time.perf_counter() - start
    tell(f"{cell}, {size} units", model, model.history.loss[-MEAN:].mean() / 50,
         model.history.valid_loss.min(), len(model.history) * 2500 / seconds)
    return model


def solve(corpus, options) -> None:
    """The readout of an echo state network by ridge regression."""
    held_out = int(len(corpus) * VALID_FRACTION)
    text, rest = (corpus.vocabulary.decode(part)
                  for part in (corpus.ids[:-held_out], corpus.ids[-held_out:]))
    model = fastrnn.Model(corpus.vocabulary, cell="esn", hidden_size=options.esn_size, **ESN)
    start = time.perf_counter()
    loss = model.fit_head(text)
    pace = len(text) / (time.perf_counter() - start)
    tell(f"esn by ridge regression, {options.esn_size} units", model, loss, model.score(rest), pace)


def tell(name, model, loss, valid_loss, pace) -> None:
    print(f"---- {name}: loss {loss:.3f}, validation loss {valid_loss:.3f} nats a character, "
          f"{fastrnn.parameter_count(model):,} trained parameters, {pace:,.0f} characters/s ----\n"
          f"{model.sample(SAMPLE, seed=0)}\n", flush=True)


def draw(corpus, models, minutes, picture) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for number, (cell, model) in enumerate(models.items()):
        updates = len(model.history)
        time_of = minutes / updates  # of an update: they all take about as long
        width = min(MEAN, updates)
        mean = np.convolve(model.history.loss / 50, np.full(width, 1 / width), "valid")
        axes.plot(np.arange(updates - len(mean), updates) * time_of, mean, color=f"C{number}",
                  alpha=0.4)
        axes.plot(model.history.valid_updates * time_of, model.history.valid_loss,
                  color=f"C{number}", marker=".", label=f"{cell}, validation")
    axes.set(xlabel="minutes", ylabel="nats a character", ylim=(1, 3.5),
             title=f"{corpus.name}: loss (pale, mean of {MEAN} updates) and validation loss")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(picture, dpi=150)


if __name__ == "__main__":
    main()
