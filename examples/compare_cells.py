"""RNN, LSTM, GRU and echo state network: the same text, the same training time.

    python examples/compare_cells.py                         # tiny-shakespeare, 2 minutes each
    python examples/compare_cells.py FILE --minutes 0.5
    python examples/compare_cells.py FILE --epochs 3 --seed 1  # reproducible

The four architectures of a course task on char-rnn. Each is trained with Adam and a cosine schedule
on all but the last tenth of the text, in batches of 50 streams and 50 steps; the echo state network
has more units, since only its output layer is trained, and a second one has that layer solved by
ridge regression on one-hot targets, in one pass. Prints for each the training and validation loss,
the number of trained parameters, characters per second and a sample, plots the losses to
compare_cells.png, and saves the models. How far a cell gets in some minutes depends on what else
the machine does: with --epochs or --updates all read the same text as often, and the numbers are
the same in every run. The picture needs pip install "fastrnn[plot]".
"""

import argparse
import time

import common
import numpy as np

import fastrnn

CELLS = ("rnn", "lstm", "gru", "esn")
ESN = {"spectral_radius": 0.9, "input_scale": 0.7, "density": 0.05}
VALID_FRACTION = 0.1
SAMPLE = 300  # characters
MEAN = 100  # updates; the smoothed loss would need more to forget its start than a short run has


def main() -> None:
    parser = common.parser(
        "Four cells on one text for the same time.",
        "a UTF-8 text (default: tiny-shakespeare, downloaded)",
        hidden_size=(256, "units of RNN, LSTM and GRU"),
        esn_size=(1000, "units of the echo state network"), threads=None)
    common.add_length(parser, 2.0, "for each")
    common.run(compare, parser, picture="compare_cells.png")


def compare(options: argparse.Namespace) -> None:
    corpus = common.load_text(options.file, "tiny-shakespeare")
    print(f"{corpus.name}: {len(corpus):,} characters, {len(corpus.vocabulary)} distinct")
    models = {cell: learn(corpus, cell, options) for cell in CELLS}
    solve(corpus, options)
    if any(model.history.stopped == "interrupted" for model in models.values()):
        print("interrupted: some cells had less time")
    draw(corpus, models, options)


def learn(corpus, cell, options) -> fastrnn.Model:
    size = options.esn_size if cell == "esn" else options.hidden_size
    more = ESN if cell == "esn" else {}
    start = time.perf_counter()
    model = fastrnn.train(
        corpus, preset="classic", cell=cell, hidden_size=size, seq_length=50, batch_size=50,
        optimizer="adam", learning_rate=2e-3, schedule="cosine", seed=options.seed,
        valid_fraction=VALID_FRACTION, threads=options.threads, sample_every=0,
        **common.length_of(options), **more)
    seconds = time.perf_counter() - start
    report(f"{cell}, {size} units", model, model.history.loss[-MEAN:].mean() / 50,
         model.history.valid_loss.min(), len(model.history) * 2500 / seconds, options, cell)
    return model


def solve(corpus, options) -> None:
    """An echo state network whose output layer is solved by ridge regression."""
    held_out = int(len(corpus) * VALID_FRACTION)
    text, rest = (corpus.vocabulary.decode(part)
                  for part in (corpus.ids[:-held_out], corpus.ids[-held_out:]))
    model = fastrnn.Model(corpus.vocabulary, cell="esn", hidden_size=options.esn_size,
                          seed=options.seed, **ESN)
    start = time.perf_counter()
    loss = model.fit_head(text)
    speed = len(text) / (time.perf_counter() - start)
    report(f"esn by ridge regression, {options.esn_size} units", model, loss, model.score(rest),
           speed, options, "esn-ridge")


def report(name, model, loss, valid_loss, speed, options, short) -> None:
    sample = model.sample(SAMPLE, seed=0)
    print(f"---- {name}: loss {loss:.3f}, validation loss {valid_loss:.3f} nats per character, "
          f"{fastrnn.parameter_count(model):,} trained parameters, {speed:,.0f} characters/s ----")
    common.show(f"{sample}\n")
    common.save_model(model, options, short, [sample])


def draw(corpus, models, options) -> None:
    figure = common.figure(8, 5)
    axes = figure.subplots()
    for number, (cell, model) in enumerate(models.items()):
        updates = len(model.history)
        # minutes of an update: they all take about as long
        time_of = options.minutes / updates if "minutes" in common.length_of(options) else 1
        width = min(MEAN, updates)
        mean = np.convolve(model.history.loss / 50, np.full(width, 1 / width), "valid")
        axes.plot(np.arange(updates - len(mean), updates) * time_of, mean, color=f"C{number}",
                  alpha=0.4)
        axes.plot(model.history.valid_updates * time_of, model.history.valid_loss,
                  color=f"C{number}", marker=".", label=f"{cell}, validation")
    along = "minutes" if "minutes" in common.length_of(options) else "update"
    axes.set(xlabel=along, ylabel="nats per character",
             title=f"{corpus.name}: loss (pale, mean of {MEAN} updates) and validation loss")
    axes.grid(alpha=0.3)
    axes.legend()
    common.save(figure, options.picture)


if __name__ == "__main__":
    main()
