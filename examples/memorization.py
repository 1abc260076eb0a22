"""A ReLU RNN learns to memorize: Wh initialized as the identity or with random numbers.

    python examples/memorization.py                                   # 8 symbols, 90 seconds each
    python examples/memorization.py --length 13 --hidden-size 128 --minutes 5

An exercise of RWTH Aachen after Le, Jaitly and Hinton (2015): the network reads a sequence of
symbols (8 kinds), then a delimiter, and must output the sequence again. Trains one network from
each initialization on the same sequences, prints the fraction of recalled symbols that are right in
1,000 fresh sequences, and plots it over the training time to memorization.png. The picture needs
pip install "fastrnn[plot]".
"""

import argparse

import common

import fastrnn

FRESH = 1000  # sequences, of another seed
SYMBOLS = 8


def main() -> None:
    parser = common.parser(
        "A ReLU RNN learns to memorize, from two initializations of Wh.",
        length=(8, "symbols to memorize"), hidden_size=100, minutes=(1.5, "for each"),
        learning_rate=1e-3, batch_size=100, scale=(0.1, "of random weights: N(0, scale)"),
        sequences=(50_000, "to learn from"), threads=None)
    common.run(compare, parser, picture="memorization.png")


def compare(options: argparse.Namespace) -> None:
    sequences = fastrnn.tasks.memorization(options.sequences, options.length, SYMBOLS, seed=1)
    fresh = fastrnn.tasks.memorization(FRESH, options.length, SYMBOLS, seed=2)
    print(f"{options.length} symbols, ReLU RNN with {options.hidden_size} units, batches of "
          f"{options.batch_size}, Adam {options.learning_rate:g}, norm clipped to 5\n")
    curves = {}
    for name, init in (("identity", "identity"), (f"N(0, {options.scale:g})", "normal")):
        model, curve = common.learning_curve(
            sequences, fresh, options.length, options.minutes, cell="relu",
            hidden_size=options.hidden_size, batch_size=options.batch_size, init=init,
            init_scale=options.scale, learning_rate=options.learning_rate,
            threads=options.threads, callback_every=50)
        seconds, accuracy = curve[-1]
        print(f"start {name}: {len(model.history):,} updates in {seconds:.1f} s, loss "
              f"{model.history.smooth_loss[-1] / options.length:.4f} nats per recalled symbol, "
              f"{accuracy:.2%} of the symbols of {FRESH:,} fresh sequences recalled")
        curves[f"Wh starts as {name}"] = curve, {}
    title = f"ReLU RNN with {options.hidden_size} units memorizes {options.length} symbols"
    common.draw_curves(curves, title, 1 / SYMBOLS, options.picture)


if __name__ == "__main__":
    main()
