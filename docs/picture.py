"""Draw docs/run.png, the picture of a run that README shows: its losses and a sample.

    pip install ".[plot]" && python docs/picture.py        # one or two minutes

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

PRIME, TEMPERATURE = "The ", 0.6
WINDOW = 20  # updates over which the training loss is averaged
COLUMNS, LINES = 72, 21  # of the sample that is shown
PAPER, INK, PALE = "#ffffff", "#1f2933", "#5f6c78"
TRAINING, VALIDATION = "#2166ac", "#c2410c"


def main() -> None:
    corpus = fastrnn.datasets.load("pydoc-topics")
    model = fastrnn.train(corpus, preset="classic", cell="lstm", hidden_size=256, dropout=0.3,
                          batch_size=32, seq_length=64, optimizer="adam", learning_rate=1e-2,
                          schedule="cosine", epochs=4, valid_fraction=0.1, valid_every=20,
                          sample_every=0)
    text = "".join(model.stream(length=2000, prime=PRIME, temperature=TEMPERATURE, seed=10))
    figure = Figure(figsize=(11, 4.4), facecolor=PAPER,
                    layout=ConstrainedLayoutEngine(wspace=0.04, w_pad=0.12, h_pad=0.12))
    left, right = figure.subplots(1, 2)
    draw_losses(left, model.history)
    draw_sample(right, PRIME + text)
    file = Path(__file__).with_name("run.png")
    figure.savefig(file, dpi=110)
    print(f"{file}: {model!r}, {len(corpus):,} characters, Python {sys.version.split()[0]}, lowest "
          f"validation loss {model.history.valid_loss.min():.3f}")


def draw_losses(axes: Axes, history: fastrnn.History) -> None:
    """The loss per character: of training the mean over each window of updates, drawn at its
    middle, and of every validation."""
    losses = history.loss / (history.seq_length or 1)
    whole = len(losses) // WINDOW
    means = losses[: whole * WINDOW].reshape(whole, WINDOW).mean(axis=1)
    axes.plot((np.arange(whole) + 0.5) * WINDOW, means, color=TRAINING, linewidth=1.8,
              label=f"training (with dropout), mean over {WINDOW} updates")
    axes.plot(history.valid_updates, history.valid_loss, color=VALIDATION, linewidth=1.8,
              label="validation, the last tenth of the text")
    last = history.valid_loss[-1]
    axes.annotate(f"{last:.2f}", (history.valid_updates[-1], last), (-4, 6),
                  textcoords="offset points", ha="center", color=VALIDATION, fontweight="bold")
    axes.set(xlim=(0, len(losses) * 1.02), ylim=(0.9, None))
    axes.set_xlabel("update", color=PALE)
    axes.set_ylabel("loss in nats per character", color=PALE)
    axes.set_title("An LSTM of 256 units reads Python's documentation ...", loc="left", color=INK,
                   fontsize=11)
    axes.grid(color="#d9dee3", linewidth=0.7)
    axes.tick_params(colors=PALE)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(PALE)
    axes.legend(frameon=False, labelcolor=INK, fontsize=10)


def draw_sample(axes: Axes, text: str) -> None:
    """The beginning of a sample, long lines folded."""
    lines = [part for line in text.split("\n")
             for part in textwrap.wrap(line, COLUMNS, replace_whitespace=False) or [""]]
    axes.set_axis_off()
    axes.set_title(f"... and goes on after {PRIME.strip()!r} (temperature {TEMPERATURE})",
                   loc="left", color=INK, fontsize=11)
    axes.text(0, 0.97, "\n".join(lines[:LINES]), va="top", family="monospace", fontsize=8.2,
              linespacing=1.4, color=INK, transform=axes.transAxes, parse_math=False)


if __name__ == "__main__":
    main()
