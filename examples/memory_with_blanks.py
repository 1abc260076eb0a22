"""Remembering across blanks: an LSTM and a tanh RNN with equally many parameters.

    python examples/memory_with_blanks.py                      # 5 and 20 blanks, 8 minutes in all
    python examples/memory_with_blanks.py --blanks 5 --minutes 1

An exercise of RWTH Aachen: the network reads 8 of 8 symbols, waits over some blanks, reads a
delimiter, and says the 8 again. Prints the share of recalled symbols that are right on 1,000 fresh
sequences and draws its way up into memory_with_blanks.png. The picture needs pip install
"fastrnn[plot]".
"""

import argparse
import importlib.util
import time
from pathlib import Path

import fastrnn

LENGTH, FRESH = 8, 1000
LOOKS = 40  # in a run


def main() -> None:
    parser = argparse.ArgumentParser(description="Remembering across blanks, LSTM against RNN.")
    parser.add_argument("--blanks", type=int, nargs="+", default=[5, 20], metavar="N",
                        help="how many, one comparison for each (default: 5 20)")
    parser.add_argument("--hidden-size", type=int, default=128,
                        help="of the LSTM (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=2.0, help="each (default: %(default)s)")
    parser.add_argument("--learning-rate", type=float, nargs=2, default=[5e-3, 1e-3],
                        metavar=("LSTM", "RNN"), help="default: 5e-3 1e-3")
    parser.add_argument("--batch-size", type=int, default=100, help="default: %(default)s")
    parser.add_argument("--sequences", type=int, default=50_000, help="default: %(default)s")
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--output", metavar="DIR", type=Path, default=Path("."),
                        help="where memory_with_blanks.png goes (default: here)")
    options = parser.parse_args()
    try:
        run(options)
    except (OSError, ValueError, ImportError, FloatingPointError) as error:
        parser.error(str(error))


def run(options: argparse.Namespace) -> None:
    if importlib.util.find_spec("matplotlib") is None:  # better known before the training
        raise ImportError('the picture needs matplotlib: pip install "fastrnn[plot]"')
    options.output.mkdir(parents=True, exist_ok=True)
    runs = {}
    for blanks in options.blanks:
        sequences = fastrnn.tasks.memorization(options.sequences, LENGTH, blanks=blanks, seed=1)
        fresh = fastrnn.tasks.memorization(FRESH, LENGTH, blanks=blanks, seed=2)
        lstm = fastrnn.Model(sequences.sizes, cell="lstm", hidden_size=options.hidden_size)
        H = fastrnn.hidden_size_for("rnn", fastrnn.parameter_count(lstm), sequences.sizes)
        for cell, size, rate in (("lstm", options.hidden_size, options.learning_rate[0]),
                                 ("rnn", H, options.learning_rate[1])):
            runs[blanks, cell] = learn(sequences, fresh, blanks, cell, size, rate, options)
    picture = options.output / "memory_with_blanks.png"
    draw(runs, picture)
    print(f"the picture is in {picture}")


def learn(sequences, fresh, blanks, cell, size, rate, options) -> list[tuple[float, float]]:
    """Seconds and accuracies on the way."""
    way: list[tuple[float, float]] = []

    def look(trainer: fastrnn.Trainer) -> None:
        if trainer.seconds >= len(way) * 60 * options.minutes / LOOKS:
            way.append((trainer.seconds, trainer.model.accuracy(fresh, last=LENGTH)))

    began = time.perf_counter()
    model = fastrnn.train(
        sequences, cell=cell, hidden_size=size, init="xavier", batch_size=options.batch_size,
        optimizer="adam", learning_rate=rate, schedule="cosine", clip_value=None, clip_norm=5.0,
        minutes=options.minutes, threads=options.threads, sample_every=20, callback=look)
    seconds = time.perf_counter() - began
    accuracy = model.accuracy(fresh, last=LENGTH)
    way.append((seconds, accuracy))
    print(f"{blanks} blanks, {cell} with {size} units and {fastrnn.parameter_count(model):,} "
          f"parameters: {len(model.history):,} updates in {seconds:.1f} s, {accuracy:.2%} of the "
          f"symbols of {FRESH:,} fresh sequences recalled")
    return way


def draw(runs, picture) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    colors = {}
    for (blanks, cell), way in runs.items():
        (line,) = axes.plot(*zip(*way, strict=True), color=colors.get(blanks),
                            linestyle="-" if cell == "lstm" else "--",
                            label=f"{cell}, {blanks} blanks")
        colors[blanks] = line.get_color()
    axes.axhline(1 / 8, color="gray", linestyle=":", label="by chance")
    axes.set(xlabel="seconds", ylabel="share of recalled symbols", ylim=(0, 1.02),
             title=f"{LENGTH} symbols remembered across blanks, equally many parameters")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(picture, dpi=150)


if __name__ == "__main__":
    main()
