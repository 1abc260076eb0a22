"""Draw pictures of the documentation into this folder: run.png, the losses and a sample of a run,
which README shows, and activations.png, what some of its units do.

    pip install ".[plot]" && python docs/pictures/draw.py        # one or two minutes

The text is the data set pydoc-topics, Python's own documentation, which differs a little between
versions of Python: so do the numbers.
"""

import sys
import textwrap
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

import fastrnn
from fastrnn.insight.activations import activations
from fastrnn.insight.units import correlations

PRIME, TEMPERATURE = "The ", 0.6
COLUMNS, LINES = 72, 21  # of the sample that is shown
READ = 'A method "__eq__(self, other)" is called (see "hash()" below) by "sort".'
FOLLOWED = "inside quotation marks", "characters since the last blank", "vowel"
HERE = Path(__file__).parent


def main() -> None:
    corpus = fastrnn.datasets.load("pydoc-topics")
    model = fastrnn.train(corpus, preset="classic", cell="lstm", hidden_size=256, dropout=0.3,
                          batch_size=32, seq_length=64, optimizer="adam", learning_rate=1e-2,
                          schedule="cosine", epochs=4, valid_fraction=0.1, valid_every=20,
                          sample_every=0)
    draw(model)
    print(f"{model!r}, {len(corpus):,} characters, Python {sys.version.split()[0]}, lowest "
          f"validation loss {model.history.valid_loss.min():.3f}")


def draw(model: fastrnn.Model) -> None:
    text = "".join(model.stream(length=2000, prime=PRIME, temperature=TEMPERATURE, seed=10))
    figure = Figure(figsize=(11, 4.4), layout=ConstrainedLayoutEngine(wspace=0.04, w_pad=0.12))
    left, right = figure.subplots(1, 2)
    fastrnn.plot.loss(model, ax=left)
    left.set(ylabel="loss (nats per character)", ylim=(0.9, 3.1))
    left.set_title("An LSTM of 256 units reads Python's documentation ...", loc="left", fontsize=11)
    draw_sample(right, PRIME + text)
    figure.savefig(HERE / "run.png", dpi=110)
    axes = fastrnn.plot.activations(model, READ, following(model))
    axes.figure.savefig(HERE / "activations.png", dpi=100)


def following(model: fastrnn.Model) -> list[int]:
    """The four units whose outputs follow each of `FOLLOWED` most closely."""
    corpus = fastrnn.datasets.load("pydoc-topics")
    text = corpus.vocabulary.decode(corpus.ids[-20_000:])
    found = correlations(activations(model, text), model.text_vocabulary)
    outputs = np.array([name == "h" for _, name, _ in found.units])
    units: list[int] = []
    for feature in FOLLOWED:
        r = abs(found.r[list(found.features).index(feature)]) * outputs
        best = np.argsort(-r)[:4]
        print(f"{feature}:", *(f"unit {found.units[u][2]} with |r| {r[u]:.2f}" for u in best))
        units += [found.units[u][2] for u in best]
    return units


def draw_sample(axes: Axes, text: str) -> None:
    """The beginning of a sample, long lines folded."""
    lines = [part for line in text.split("\n")
             for part in textwrap.wrap(line, COLUMNS, replace_whitespace=False) or [""]]
    axes.set_axis_off()
    axes.set_title(f"... and goes on after {PRIME.strip()!r} (temperature {TEMPERATURE})",
                   loc="left", fontsize=11)
    axes.text(0, 0.97, "\n".join(lines[:LINES]), va="top", family="monospace", fontsize=8.2,
              linespacing=1.4, transform=axes.transAxes, parse_math=False)


if __name__ == "__main__":
    main()
