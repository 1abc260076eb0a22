"""A ReLU RNN learns to remember: the identity as the start of Wh against random numbers.

    python examples/memorization.py                                   # 8 symbols, 90 seconds each
    python examples/memorization.py --length 13 --hidden-size 128 --minutes 5

An exercise of RWTH Aachen after Le, Jaitly and Hinton (2015): the network reads some of 8 symbols,
then a delimiter, and says them again. Trains one network from each start, on the same sequences,
prints the share of recalled symbols that are right on 1,000 fresh ones, and draws its way up into
memorization.png. The picture needs pip install "fastrnn[plot]".
"""

import argparse
import importlib.util
import time
from pathlib import Path

import fastrnn

FRESH = 1000  # sequences, of another seed
LOOKS = 40  # at them in a run


def main() -> None:
    parser = argparse.ArgumentParser(description="A ReLU RNN learns to remember, from two starts.")
    parser.add_argument("--length", type=int, default=8, help="default: %(default)s symbols")
    parser.add_argument("--hidden-size", type=int, default=100, help="default: %(default)s")
    parser.add_argument("--minutes", type=float, default=1.5, help="each (default: %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="default: %(default)s")
    parser.add_argument("--batch-size", type=int, default=100, help="default: %(default)s")
    parser.add_argument("--scale", type=float, default=0.1,
                        help="of random weights: N(0, scale) (default: %(default)s)")
    parser.add_argument("--sequences", type=int, default=50_000, help="default: %(default)s")
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--output", metavar="DIR", type=Path, default=Path("."),
                        help="where memorization.png goes (default: here)")
    options = parser.parse_args()
    try:
        run(options)
    except (OSError, ValueError, ImportError, FloatingPointError) as error:
        parser.error(str(error))


def run(options: argparse.Namespace) -> None:
    if importlib.util.find_spec("matplotlib") is None:  # better known before the training
        raise ImportError('the picture needs matplotlib: pip install "fastrnn[plot]"')
    sequences = fastrnn.tasks.memorization(options.sequences, options.length, seed=1)
    fresh = fastrnn.tasks.memorization(FRESH, options.length, seed=2)
    print(f"{options.length} symbols, ReLU RNN with {options.hidden_size} units, batches of "
          f"{options.batch_size}, Adam {options.learning_rate:g}, norm clipped to 5\n")
    options.output.mkdir(parents=True, exist_ok=True)
    starts = {
        "identity": {"init": "identity", "init_scale": options.scale},
        f"N(0, {options.scale:g})": {"init": "normal", "init_scale": options.scale},
    }
    runs = {name: learn(sequences, fresh, name, start, options) for name, start in starts.items()}
    picture = options.output / "memorization.png"
    draw(runs, options, picture)
    print(f"the picture is in {picture}")


def learn(sequences, fresh, name, start, options) -> list[tuple[float, float]]:
    """Seconds and accuracies on the way."""
    way: list[tuple[float, float]] = []

    def look(trainer: fastrnn.Trainer) -> None:
        if trainer.seconds >= len(way) * 60 * options.minutes / LOOKS:
            way.append((trainer.seconds, trainer.model.accuracy(fresh, last=options.length)))

    began = time.perf_counter()
    model = fastrnn.train(
        sequences, cell="relu", hidden_size=options.hidden_size, batch_size=options.batch_size,
        optimizer="adam", learning_rate=options.learning_rate, schedule="cosine", clip_value=None,
        clip_norm=5.0, minutes=options.minutes, threads=options.threads, sample_every=50,
        callback=look, **start)
    seconds = time.perf_counter() - began
    accuracy = model.accuracy(fresh, last=options.length)
    way.append((seconds, accuracy))
    print(f"start {name}: {len(model.history):,} updates in {seconds:.1f} s, loss "
          f"{model.history.smooth_loss[-1] / options.length:.4f} nats per recalled symbol, "
          f"{accuracy:.2%} of the symbols of {FRESH:,} fresh sequences recalled")
    return way


def draw(runs, options, picture) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name, way in runs.items():
        axes.plot(*zip(*way, strict=True), label=f"Wh starts as {name}")
    axes.axhline(1 / 8, color="gray", linestyle=":", label="by chance")
    axes.set(xlabel="seconds", ylabel="share of recalled symbols", ylim=(0, 1.02),
             title=f"ReLU RNN with {options.hidden_size} units remembers {options.length} symbols")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(picture, dpi=150)


if __name__ == "__main__":
    main()
