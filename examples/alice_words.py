"""Word models of the first chapter of Alice in Wonderland: an LSTM and a tanh RNN.

    python examples/alice_words.py                 # the chapter, downloaded the first time
    python examples/alice_words.py FILE --epochs 20 --seq-length 20 --words 100

Without a network put the chapter as alice.txt into data/ (data/README.md says from where; `fastrnn
train --dataset alice` reads it too), or give the path of any text; of a long one --first 2000 reads
the first 2,000 words.

The task of the "Language Modeling with RNNs" notebook: 2,169 words, 778 of them distinct, embedding
15, 100 hidden units, windows of 50 words from every offset in shuffled order, batches of 30, Adam
5e-4, 50 epochs. Prints the loss and the accuracy of each epoch, plots both of both models to
alice_words.png, prints 40 words that each generates, sampled and most likely, and saves the models.
The picture needs pip install "fastrnn[plot]".
"""

import argparse
import time
from pathlib import Path

import common
import numpy as np

import fastrnn

CELLS = ("lstm", "rnn")
BATCH = 30  # windows, of the preset
PRIME = "alice was"
CHAPTER = 11_251  # characters of the chapter, and of a text that takes its place


def main() -> None:
    parser = common.parser(
        "Word models of a short text, two cells.",
        'a UTF-8 text (default: the data set "alice", downloaded)',
        epochs=50, seq_length=(50, "words in a window"),
        words=(40, "that each model generates"), first=(0, "read only so many words; 0: all"),
        min_count=(1, "rarer words become <unk>"), seed=0, threads=None)
    parser.add_argument("--prime", metavar="WORDS", help="words that the samples go on from "
                        f'(default: "{PRIME}", or the first two words of a text without them)')
    common.run(compare, parser, picture="alice_words.png")


def compare(options: argparse.Namespace) -> None:
    corpus = common.load_text(options.file, "alice", CHAPTER, unit="word",
                              min_count=options.min_count)
    if options.first:
        words = corpus.vocabulary.decode(corpus.ids[: options.first])
        corpus = fastrnn.Corpus.from_text(words, unit="word", name=corpus.name)
    if options.prime is None:
        known = set(PRIME.split()) <= set(corpus.vocabulary.symbols)
        options.prime = PRIME if known else corpus.vocabulary.decode(corpus.ids[:2])
    corpus.vocabulary.encode(options.prime)  # an error for an unknown word before the training
    print(f"{corpus.name}: {len(corpus):,} words, {len(corpus.vocabulary)} distinct\n")
    draw({cell: train(corpus, cell, options) for cell in CELLS}, corpus, options.picture)


def train(corpus: fastrnn.Corpus, cell: str, options: argparse.Namespace) -> fastrnn.Model:
    start, printed = time.perf_counter(), 0

    def show(trainer: fastrnn.Trainer) -> None:
        nonlocal printed
        losses = epoch_losses(trainer.history)
        while printed < len(losses):
            print(f"{cell}, epoch {printed + 1:3}: loss {losses[printed]:.4f} nats per word, "
                  f"accuracy {trainer.history.accuracy[printed]:.2%} of the words read", flush=True)
            printed += 1

    model = fastrnn.train(
        corpus, preset="alice", cell=cell, epochs=options.epochs, seq_length=options.seq_length,
        seed=options.seed, threads=options.threads, sample_every=0, callback=show,
        callback_every=max(1, (len(corpus) - options.seq_length) // BATCH))
    seconds = time.perf_counter() - start
    history = model.history
    print(f"{cell}: {len(history):,} updates in {seconds:.1f} s, loss "
          f"{epoch_losses(history)[-1]:.4f} nats per word (mean of the last epoch), accuracy "
          f"{history.accuracy[-1]:.2%} of the text's words")
    samples = []
    for name, temperature in (("sampled", 1.0), ("most likely", 0.0)):
        text = model.sample(options.words, prime=options.prime, temperature=temperature, seed=0)
        samples.append(f"{options.prime} {text}")
        common.show(f"---- {cell}, {options.words} words, {name} ----\n{samples[-1]}\n")
    common.save_model(model, options, cell, samples)
    return model


def epoch_losses(history: fastrnn.model.history.History) -> np.ndarray:
    """Mean training loss of each complete epoch, in nats per word."""
    updates = history.updates_per_epoch
    whole = history.loss[: len(history) // updates * updates]
    return whole.reshape(-1, updates).mean(axis=1) / history.seq_length


def draw(models: dict[str, fastrnn.Model], corpus: fastrnn.Corpus, picture: Path) -> None:
    figure = common.figure(10, 4.2)
    left, right = figure.subplots(1, 2)
    for cell, model in models.items():
        history = model.history
        epochs, losses = np.arange(1, len(history.accuracy) + 1), epoch_losses(history)
        left.plot(epochs[: len(losses)], losses, marker=".", label=cell)
        right.plot(epochs, history.accuracy, marker=".", label=cell)
    left.set(xlabel="epoch", ylabel="training loss (nats per word)", yscale="log")
    right.set(xlabel="epoch", ylabel="accuracy of the next word", ylim=(0, 1.02))
    figure.suptitle(f"word models with 100 units on {corpus.name}")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    common.save(figure, picture)


if __name__ == "__main__":
    main()
