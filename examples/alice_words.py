"""Word models of the first chapter of Alice in Wonderland, an LSTM beside a tanh RNN.

    python examples/alice_words.py                 # the chapter in data/ or $FASTRNN_DATA
    python examples/alice_words.py FILE --epochs 20

The task of the "Language Modeling with RNNs" notebook: 2,169 words, 778 of them distinct, embedding
15, 100 hidden units, windows of 50 words from every offset in shuffled order, 30 at a time, Adam
5e-4, 50 epochs. Draws the loss and the accuracy of both models into alice_words.png and lets each
write 40 words, drawn and likeliest. The picture needs pip install "fastrnn[plot]".
"""

import argparse
import importlib.util
import time
from pathlib import Path

import numpy as np

import fastrnn

CELLS = ("lstm", "rnn")


def main() -> None:
    parser = argparse.ArgumentParser(description="Word models of a short text, two cells.")
    parser.add_argument("file", metavar="FILE", nargs="?",
                        help='a UTF-8 text (default: the data set "alice")')
    parser.add_argument("--epochs", type=int, default=50, help="default: %(default)s")
    parser.add_argument("--min-count", type=int, default=1,
                        help="words that come less often become <unk> (default: %(default)s)")
    parser.add_argument("--prime", default="alice was", help='default: "%(default)s"')
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--output", metavar="DIR", type=Path, default=Path("."),
                        help="where alice_words.png goes (default: here)")
    options = parser.parse_args()
    try:
        run(options)
    except (OSError, ValueError, ImportError) as error:
        parser.error(str(error))


def run(options: argparse.Namespace) -> None:
    if importlib.util.find_spec("matplotlib") is None:  # better known before the training
        raise ImportError('the picture needs matplotlib: pip install "fastrnn[plot]"')
    words = {"unit": "word", "min_count": options.min_count}
    corpus = (fastrnn.Corpus.from_file(options.file, **words) if options.file
              else fastrnn.datasets.load("alice", **words))
    corpus.vocabulary.encode(options.prime)  # an unknown word is better known now
    print(f"{corpus.name}: {len(corpus):,} words, {len(corpus.vocabulary)} distinct\n")
    options.output.mkdir(parents=True, exist_ok=True)
    models = {cell: train(corpus, cell, options) for cell in CELLS}
    picture = options.output / "alice_words.png"
    draw(models, corpus, picture)
    print(f"the picture is in {picture}")


def train(corpus: fastrnn.Corpus, cell: str, options: argparse.Namespace) -> fastrnn.Model:
    start = time.perf_counter()
    model = fastrnn.train(
        corpus, cell=cell, hidden_size=100, embedding_size=15, init="xavier", seq_length=50,
        batch_size=30, order="shuffled", optimizer="adam", learning_rate=5e-4, clip_value=5.0,
        epochs=options.epochs, accuracy=True, threads=options.threads, sample_every=0)
    seconds = time.perf_counter() - start
    history = model.history
    print(f"{cell}: {len(history):,} updates in {seconds:.1f} s, loss {history.loss[-1] / 50:.4f} "
          f"nats per word, accuracy {history.accuracy[-1]:.2%} of the chapter's words")
    for name, temperature in (("drawn", 1.0), ("likeliest", 0.0)):
        text = model.sample(40, prime=options.prime, temperature=temperature, seed=0)
        print(f"---- {cell}, 40 words, {name} ----\n{options.prime} {text}\n")
    return model


def draw(models: dict[str, fastrnn.Model], corpus: fastrnn.Corpus, picture: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for cell, model in models.items():
        history = model.history
        epochs = np.arange(1, len(history.accuracy) + 1)
        updates = len(history) // len(epochs)  # of an epoch
        loss = history.loss[: len(epochs) * updates].reshape(-1, updates).mean(1)
        left.plot(epochs, loss / history.seq_length, label=cell)
        right.plot(epochs, history.accuracy, label=cell)
    left.set(xlabel="epoch", ylabel="training loss (nats per word)", yscale="log")
    right.set(xlabel="epoch", ylabel="share of right next words", ylim=(0, 1.02))
    figure.suptitle(f"word models with 100 units on {corpus.name}")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(picture, dpi=150)


if __name__ == "__main__":
    main()
