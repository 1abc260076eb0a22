"""Word models of the first chapter of Alice in Wonderland: an LSTM and a tanh RNN.

    python examples/alice_words.py                 # the chapter, downloaded
    python examples/alice_words.py FILE --epochs 20

The task of the "Language Modeling with RNNs" notebook: 2,169 words, 778 of them distinct, embedding
15, 100 hidden units, windows of 50 words from every offset in shuffled order, batches of 30, Adam
5e-4, 50 epochs. Plots the loss and the accuracy of both models to alice_words.png and prints 40
words that each generates, sampled and most likely. The picture needs pip install "fastrnn[plot]".
"""

import argparse
import time
from pathlib import Path

import common
import numpy as np

import fastrnn

CELLS = ("lstm", "rnn")
PRIME = "alice was"
CHAPTER = 11_251  # characters of the chapter, and of a text that takes its place


def main() -> None:
    parser = common.parser(
        "Word models of a short text, two cells.",
        'a UTF-8 text (default: the data set "alice", downloaded)',
        epochs=50, min_count=(1, "rarer words become <unk>"), threads=None)
    parser.add_argument("--prime", metavar="WORDS", help="words that the samples go on from "
                        f'(default: "{PRIME}", or the first two words of a text without them)')
    common.run(compare, parser, picture="alice_words.png")


def compare(options: argparse.Namespace) -> None:
    corpus = common.load_text(options.file, "alice", CHAPTER, unit="word",
                              min_count=options.min_count)
    if options.prime is None:
        known = set(PRIME.split()) <= set(corpus.vocabulary.symbols)
        options.prime = PRIME if known else corpus.vocabulary.decode(corpus.ids[:2])
    corpus.vocabulary.encode(options.prime)  # an error for an unknown word before the training
    print(f"{corpus.name}: {len(corpus):,} words, {len(corpus.vocabulary)} distinct\n")
    draw({cell: train(corpus, cell, options) for cell in CELLS}, corpus, options.picture)


def train(corpus: fastrnn.Corpus, cell: str, options: argparse.Namespace) -> fastrnn.Model:
    start = time.perf_counter()
    model = fastrnn.train(
        corpus, preset="alice", cell=cell, epochs=options.epochs, threads=options.threads,
        sample_every=0)
    seconds = time.perf_counter() - start
    history = model.history
    print(f"{cell}: {len(history):,} updates in {seconds:.1f} s, loss {history.loss[-1] / 50:.4f} "
          f"nats per word, accuracy {history.accuracy[-1]:.2%} of the chapter's words")
    for name, temperature in (("sampled", 1.0), ("most likely", 0.0)):
        text = model.sample(40, prime=options.prime, temperature=temperature, seed=0)
        print(f"---- {cell}, 40 words, {name} ----\n{options.prime} {text}\n")
    return model


def draw(models: dict[str, fastrnn.Model], corpus: fastrnn.Corpus, picture: Path) -> None:
    figure = common.figure(10, 4.2)
    left, right = figure.subplots(1, 2)
    for cell, model in models.items():
        history = model.history
        epochs = np.arange(1, len(history.accuracy) + 1)
        updates = len(history) // len(epochs)  # of an epoch
        loss = history.loss[: len(epochs) * updates].reshape(-1, updates).mean(1)
        left.plot(epochs, loss / history.seq_length, label=cell)
        right.plot(epochs, history.accuracy, label=cell)
    left.set(xlabel="epoch", ylabel="training loss (nats per word)", yscale="log")
    right.set(xlabel="epoch", ylabel="accuracy of the next word", ylim=(0, 1.02))
    figure.suptitle(f"word models with 100 units on {corpus.name}")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    common.save(figure, picture)


if __name__ == "__main__":
    main()
