"""A ReLU RNN learns to memorize: Wh initialized as the identity or with random numbers.

    python examples/memorization.py                                   # 8 symbols, 90 seconds each
    python examples/memorization.py --length 13 --hidden-size 128 --minutes 5
    python examples/memorization.py --epochs 20 --seed 1 --symbols 9 --one-hot   # reproducible

An exercise of RWTH Aachen after Le, Jaitly and Hinton (2015): the network reads a sequence of
symbols (8 kinds), then a delimiter, and must output the sequence again. Trains one network from
each initialization on the same sequences, prints the fraction of recalled symbols that are right in
1,000 fresh sequences, plots it over the training to memorization.png, and saves both models. The
network reads ids, each as a row of Wx, and has an output for each id; --one-hot gives it vectors of
numbers and no output for the delimiter, as the exercise writes it. The picture needs
pip install "fastrnn[plot]".
"""

import argparse
import time

import common

import fastrnn

FRESH = 1000  # sequences, of another seed
SYMBOLS = 8


def main() -> None:
    parser = common.parser(
        "A ReLU RNN learns to memorize, from two initializations of Wh.",
        length=(8, "symbols to memorize"), symbols=(SYMBOLS, "kinds of symbols"), hidden_size=100,
        learning_rate=1e-3, batch_size=100, scale=(0.1, "of random weights: N(0, scale)"),
        sequences=(50_000, "to learn from"), threads=None)
    common.add_length(parser, 1.5, "for each")
    parser.add_argument("--one-hot", action="store_true",
                        help="one-hot vectors as inputs, and no output for the delimiter")
    common.run(compare, parser, picture="memorization.png")


def compare(options: argparse.Namespace) -> None:
    sequences, fresh = (
        fastrnn.tasks.memorization(n, options.length, options.symbols, seed=seed)
        for n, seed in ((options.sequences, 1), (FRESH, 2)))
    if options.one_hot:
        sequences, fresh = common.one_hot(sequences), common.one_hot(fresh)
    print(f"{options.length} symbols of {options.symbols} kinds ({sequences.sizes}), ReLU RNN with "
          f"{options.hidden_size} units, batches of {options.batch_size}, Adam "
          f"{options.learning_rate:g}, norm clipped to 5, seed {options.seed}\n")
    curves = {}
    for name, init in (("identity", "identity"), (f"N(0, {options.scale:g})", "normal")):
        start = time.perf_counter()
        model, curve = common.learning_curve(
            sequences, fresh, options.length, options, cell="relu",
            hidden_size=options.hidden_size, batch_size=options.batch_size, init=init,
            init_scale=options.scale, learning_rate=options.learning_rate,
            threads=options.threads, callback_every=50)
        seconds, accuracy = time.perf_counter() - start, curve[-1][1]
        print(f"start {name}: {len(model.history):,} updates in {seconds:.1f} s, loss "
              f"{model.history.recent_loss():.4f} nats per step, "
              f"{accuracy:.2%} of the symbols of {FRESH:,} fresh sequences recalled")
        common.save_model(model, options, init)
        curves[f"Wh starts as {name}"] = curve, {}
    title = f"ReLU RNN with {options.hidden_size} units memorizes {options.length} symbols"
    common.draw_curves(curves, title, 1 / options.symbols, options)


if __name__ == "__main__":
    main()
