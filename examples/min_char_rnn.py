"""Karpathy's min-char-rnn experiment, with fastrnn.

    python examples/min_char_rnn.py [FILE]             # without FILE tiny-shakespeare
    python examples/min_char_rnn.py FILE --epochs 5 50 500

A tanh RNN of 100 units reads a text 25 characters at a time and learns with AdaGrad to predict the
next one. Checks the gradients, prints the smoothed loss and a sample after 5, 50, 500, 5,000 and
50,000 updates, or after 5, 50 and 500 epochs, and saves the model with its samples. 500 epochs of a
million characters take 20 minutes. The original:
https://gist.github.com/karpathy/d4dee566867f8291f086
"""

import argparse

import common

import fastrnn

HIDDEN_SIZE = 100
SEQ_LENGTH = 25  # T, steps of back-propagation
LEARNING_RATE = 0.1
STOPS = (5, 50, 500, 5_000, 50_000)


def main() -> None:
    parser = common.parser("Karpathy's min-char-rnn experiment.",
                           "a UTF-8 text (default: tiny-shakespeare, downloaded)", seed=0)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--updates", type=int, nargs="+", default=STOPS, metavar="N",
                        help="numbers of updates after which there is a sample (default: 5 50 500 "
                        "5000 50000)")
    length.add_argument("--epochs", type=int, nargs="+", metavar="N", help="the same in epochs, "
                        "such as 5 50 500")
    common.run(learn, parser)


def learn(options: argparse.Namespace) -> None:
    corpus = common.load_text(options.file, "tiny-shakespeare")
    model = fastrnn.Model(corpus.vocabulary, hidden_size=HIDDEN_SIZE, seed=options.seed)
    stops = options.epochs or options.updates
    samples_at = [f"{n}e" for n in options.epochs] if options.epochs else list(stops)
    trainer = fastrnn.Trainer(
        model, corpus, seq_length=SEQ_LENGTH, optimizer="adagrad", learning_rate=LEARNING_RATE,
        clip_value=5.0, progress=False, samples_at=samples_at, sample_length=200,
        callback=show, seed=options.seed,
        **{"epochs" if options.epochs else "updates": max(stops)})
    print(f"{corpus.name}: {len(corpus):,} characters, {len(corpus.vocabulary)} distinct; "
          f"{trainer.updates_per_epoch:,} updates in an epoch\n")

    # Ten random entries of each tensor, by back-propagation and by central differences.
    window = corpus.ids[None, : SEQ_LENGTH + 1]  # (N, T + 1) = (1, 26)
    print(fastrnn.gradcheck(model, window[:, :-1], window[:, 1:], entries=10))

    trainer.run()
    print()
    common.save_model(model, options)


def show(trainer: fastrnn.Trainer) -> None:
    """Called when a sample is due, and at the end."""
    epochs = f" ({trainer.epoch:,} epochs)" if trainer.config["epochs"] else ""
    print(f"\n---- n = {trainer.update:,}{epochs}, smoothed loss "
          f"{trainer.history.smooth_loss[-1]:.2f} nats ----")
    common.show(trainer.history.samples[-1][1])


if __name__ == "__main__":
    main()
