"""Memory over blanks: an LSTM and a tanh RNN with equally many parameters.

    python examples/memory_with_blanks.py                      # 5 and 20 blanks, 8 minutes in all
    python examples/memory_with_blanks.py --blanks 5 --minutes 1
    python examples/memory_with_blanks.py --epochs 10 --seed 1 --symbols 9 --one-hot  # reproducible

An exercise of RWTH Aachen: the network reads 8 symbols (8 kinds), then some blanks, then a
delimiter, and must output the 8 symbols again. Prints the fraction of recalled symbols that are
right in 1,000 fresh sequences, plots it over the training to memory_with_blanks.png, and saves the
models. --one-hot gives the networks vectors of numbers in place of ids, and no output for the
delimiter, as the exercise writes it. The picture needs pip install "fastrnn[plot]".
"""

import argparse
import time

import common

import fastrnn

LENGTH, SYMBOLS, FRESH = 8, 8, 1000


def main() -> None:
    parser = common.parser(
        "Memory over blanks, an LSTM and a tanh RNN.", hidden_size=(128, "units of the LSTM"),
        symbols=(SYMBOLS, "kinds of symbols"), batch_size=100,
        sequences=(50_000, "to learn from"), threads=None)
    common.add_length(parser, 2.0, "for each")
    parser.add_argument("--one-hot", action="store_true",
                        help="one-hot vectors as inputs, and no output for the delimiter")
    parser.add_argument("--blanks", type=int, nargs="+", default=[5, 20], metavar="N",
                        help="how many, one comparison for each (default: 5 20)")
    parser.add_argument("--learning-rate", type=float, nargs=2, default=[5e-3, 1e-3],
                        metavar=("LSTM", "RNN"), help="default: 5e-3 1e-3")
    common.run(compare, parser, picture="memory_with_blanks.png")


def compare(options: argparse.Namespace) -> None:
    curves = {}
    for number, blanks in enumerate(options.blanks):
        sequences, fresh = (
            fastrnn.tasks.memorization(count, LENGTH, options.symbols, blanks=blanks, seed=seed)
            for count, seed in ((options.sequences, 1), (FRESH, 2)))
        if options.one_hot:
            sequences, fresh = common.one_hot(sequences), common.one_hot(fresh)
        lstm = fastrnn.Model(sequences.sizes, cell="lstm", hidden_size=options.hidden_size)
        H = fastrnn.hidden_size_for("rnn", fastrnn.parameter_count(lstm), sequences.sizes)
        for cell, size, rate, line in (("lstm", options.hidden_size, options.learning_rate[0], "-"),
                                       ("rnn", H, options.learning_rate[1], "--")):
            start = time.perf_counter()
            model, curve = common.learning_curve(
                sequences, fresh, LENGTH, options, cell=cell, hidden_size=size,
                init="xavier", batch_size=options.batch_size, learning_rate=rate,
                threads=options.threads, callback_every=20)
            seconds, accuracy = time.perf_counter() - start, curve[-1][1]
            print(f"{blanks} blanks, {cell} with {size} units and "
                  f"{fastrnn.parameter_count(model):,} parameters: {len(model.history):,} updates "
                  f"in {seconds:.1f} s, {accuracy:.2%} of the symbols of {FRESH:,} fresh sequences "
                  "recalled")
            common.save_model(model, options, f"{cell}-{blanks}")
            curves[f"{cell}, {blanks} blanks"] = curve, {"color": f"C{number}", "linestyle": line}
    title = f"{LENGTH} symbols memorized over blanks, equally many parameters"
    common.draw_curves(curves, title, 1 / options.symbols, options)


if __name__ == "__main__":
    main()
