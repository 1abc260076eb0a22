"""Karpathy's min-char-rnn experiment, with fastrnn.

    python examples/min_char_rnn.py [FILE]             # without FILE tiny-shakespeare

A tanh RNN of 100 units reads a text 25 characters at a time and learns with AdaGrad to predict the
next one. Checks the gradients and prints the smoothed loss and a sample after 5, 50, 500, 5,000 and
50,000 updates. The original: https://gist.github.com/karpathy/d4dee566867f8291f086
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
                           "a UTF-8 text (default: tiny-shakespeare, downloaded)")
    common.run(learn, parser)


def learn(options: argparse.Namespace) -> None:
    corpus = common.load_text(options.file, "tiny-shakespeare")
    model = fastrnn.Model(corpus.vocabulary, hidden_size=HIDDEN_SIZE)
    trainer = fastrnn.Trainer(
        model, corpus, seq_length=SEQ_LENGTH, optimizer="adagrad", learning_rate=LEARNING_RATE,
        clip_value=5.0, progress=False)
    print(f"{corpus.name}: {len(corpus):,} characters, {len(corpus.vocabulary)} distinct\n")

    # Ten random entries of each tensor, by back-propagation and by central differences.
    window = corpus.ids[None, : SEQ_LENGTH + 1]  # (N, T + 1) = (1, 26)
    print(fastrnn.gradcheck(model, window[:, :-1], window[:, 1:], entries=10))

    for n in STOPS:
        trainer.run(updates=n - trainer.update)
        print(f"\n---- n = {n:,}, smoothed loss {trainer.history.smooth_loss[-1]:.2f} nats ----")
        print(trainer.sample(200))


if __name__ == "__main__":
    main()
