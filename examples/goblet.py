"""The experiment of KTH's course DD2424: a small recurrent network learns to write from a book.

    python examples/goblet.py                                # your copy in data/goblet_book.txt
    python examples/goblet.py FILE --updates 300000          # any other text
    python examples/goblet.py --dataset tiny-shakespeare --output results

Checks the gradients of a model with 5 units; trains one of 100 with the classic settings, which
are fastrnn's defaults (25 characters an unroll, AdaGrad 0.1, gradients cut to [-5, 5]); draws the
smoothed loss; and lets the best model write. The picture needs pip install "fastrnn[plot]".
"""

import argparse
import importlib.util
import time
from pathlib import Path

import fastrnn

BOOK = Path("data/goblet_book.txt")


def main() -> None:
    parser = argparse.ArgumentParser(description="The KTH DD2424 experiment on any text.")
    text = parser.add_mutually_exclusive_group()
    text.add_argument("file", metavar="FILE", nargs="?", help=f"a UTF-8 text (default: {BOOK})")
    text.add_argument("--dataset", metavar="NAME", help=", ".join(fastrnn.datasets.names()))
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=int, default=7, help="default: %(default)s")
    length.add_argument("--updates", type=int, help="in place of epochs, such as 300000")
    parser.add_argument("--output", metavar="DIR", type=Path, default=Path("."),
                        help="where goblet.png and goblet.safetensors go (default: here)")
    options = parser.parse_args()
    try:
        run(options)
    except (OSError, ValueError, ImportError) as error:
        parser.error(str(error))


def run(options: argparse.Namespace) -> None:
    if importlib.util.find_spec("matplotlib") is None:  # better known before the training
        raise ImportError('the picture needs matplotlib: pip install "fastrnn[plot]"')
    corpus = load_text(options)
    print(f"{corpus.name}: {len(corpus):,} characters, {len(corpus.vocabulary)} distinct\n")
    check_gradients(corpus)

    options.output.mkdir(parents=True, exist_ok=True)
    checkpoint, picture = options.output / "goblet.safetensors", options.output / "goblet.png"
    start = time.perf_counter()
    model = fastrnn.train(
        corpus, epochs=None if options.updates is not None else options.epochs,
        updates=options.updates, sample_every=10_000, sample_length=200, checkpoint=checkpoint)
    seconds = time.perf_counter() - start
    history = model.history
    print(f"{len(history):,} updates in {seconds:.1f} s: smoothed loss from "
          f"{history.smooth_loss[0]:.2f} to {history.smooth_loss[-1]:.2f} nats per 25 characters")

    axes = history.plot()
    axes.set(title=f"tanh RNN with 100 units on {corpus.name}",
             xlabel="update (25 characters each)",
             ylabel="smoothed loss (nats per 25 characters)")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.figure.savefig(picture, dpi=150)

    best = fastrnn.load(checkpoint, best=True)
    print(f"the picture is in {picture}, the model in {checkpoint}\n"
          f"---- 1,000 characters from the best model ----\n{best.sample(1000, seed=0)}")


def load_text(options: argparse.Namespace) -> fastrnn.Corpus:
    """The text that the command line asks for."""
    if options.dataset is not None:
        return fastrnn.datasets.load(options.dataset)
    if options.file is None and not BOOK.is_file():
        raise FileNotFoundError(
            f"there is no {BOOK}: put your own copy of the book there (it is under copyright), or "
            "give any other text: a FILE, or --dataset tiny-shakespeare")
    return fastrnn.Corpus.from_file(options.file or BOOK)


def check_gradients(corpus: fastrnn.Corpus) -> None:
    """Print how far backpropagation is from central differences, on the first 25 characters."""
    model = fastrnn.Model(corpus.vocabulary, hidden_size=5, dtype="float64")
    window = corpus.ids[None, :26]  # (N, T + 1) = (1, 26)
    print(fastrnn.gradcheck(model, window[:, :-1], window[:, 1:], step=1e-4), end="\n\n")


if __name__ == "__main__":
    main()
