"""The experiment of KTH's course DD2424: a small recurrent network learns to write like a book.

    python examples/goblet.py              # your copy in data/goblet_book.txt, or tiny-shakespeare
    python examples/goblet.py FILE --updates 300000                      # any other text
    python examples/goblet.py --dataset tiny-shakespeare --output results

Checks the gradients of a model with 5 units; trains one of 100 units with the classic settings,
which are fastrnn's defaults (25 steps of back-propagation, AdaGrad 0.1, gradients clipped to
[-5, 5]); plots the smoothed loss to goblet.png; saves the model as goblet.safetensors; and prints
1,000 characters from the best model. Shows the text before the first and after each 10,000th
update: 11 samples of 100,000 updates (`fastrnn info goblet.safetensors --samples` prints them).

Starts differ: on the course's Goblet text the lowest smoothed loss up to 300,000 updates lay
between 39.9 and 44.6 over ten starts. A difference between two settings means something only where
it is larger than that. The picture needs pip install "fastrnn[plot]".
"""

import argparse
import time
from pathlib import Path

import common

import fastrnn

BOOK = Path("data/goblet_book.txt")


def main() -> None:
    parser = argparse.ArgumentParser(description="The KTH DD2424 experiment on any text.")
    text = parser.add_mutually_exclusive_group()
    text.add_argument("file", metavar="FILE", nargs="?",
                      help=f"a UTF-8 text (default: {BOOK}, else tiny-shakespeare)")
    text.add_argument("--dataset", metavar="NAME", help=", ".join(fastrnn.datasets.names()))
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=int, default=7, help="default: %(default)s")
    length.add_argument("--updates", type=int, help="in place of epochs, such as 300000")
    parser.add_argument("--seed", type=int, default=0, help="of the initial weights and samples: "
                        "the lowest smoothed loss differs by up to 5 nats between starts "
                        "(default: %(default)s)")
    common.run(learn, parser, picture="goblet.png")


def learn(options: argparse.Namespace) -> None:
    corpus = read_text(options)
    print(f"{corpus.name}: {len(corpus):,} characters, {len(corpus.vocabulary)} distinct\n")
    check_gradients(corpus)
    checkpoint = options.picture.with_suffix(".safetensors")
    start = time.perf_counter()
    model = fastrnn.train(
        corpus, preset="goblet", epochs=None if options.updates is not None else options.epochs,
        updates=options.updates, sample_every=10_000, sample_length=200, checkpoint=checkpoint,
        seed=options.seed)
    seconds = time.perf_counter() - start
    history = model.history
    print(f"{len(history):,} updates in {seconds:.1f} s: smoothed loss from "
          f"{history.smooth_loss[0]:.2f} to {history.smooth_loss[-1]:.2f} nats per 25 characters, "
          f"lowest {history.smooth_loss.min():.2f} at update {history.smooth_loss.argmin() + 1:,} "
          f"(seed {options.seed}; other starts differ, see --help)")

    axes = history.plot()
    axes.set(title=f"tanh RNN with 100 units on {corpus.name}",
             xlabel="update (25 characters each)", ylabel="loss (nats per 25 characters)")
    common.save(axes.figure, options.picture)

    best = fastrnn.load(checkpoint, best=True)
    print(f"the model is in {checkpoint}")
    common.show(f"---- 1,000 characters from the best model ----\n{best.sample(1000, seed=0)}")


def read_text(options: argparse.Namespace) -> fastrnn.Corpus:
    """The text that the command line asks for."""
    if options.dataset is not None:
        return fastrnn.datasets.load(options.dataset)
    if options.file is None and not BOOK.is_file():
        print(f"there is no {BOOK}, which is under copyright (put your own copy there): "
              "tiny-shakespeare takes its place", flush=True)
        return common.load_text(None, "tiny-shakespeare")
    return fastrnn.Corpus.from_file(options.file or BOOK)


def check_gradients(corpus: fastrnn.Corpus) -> None:
    """Print how far back-propagation is from central differences, on the first 25 characters."""
    model = fastrnn.Model(corpus.vocabulary, hidden_size=5, dtype="float64")
    window = corpus.ids[None, :26]  # (N, T + 1) = (1, 26)
    print(fastrnn.gradcheck(model, window[:, :-1], window[:, 1:], step=1e-4), end="\n\n")


if __name__ == "__main__":
    main()
