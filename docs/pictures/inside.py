"""Draw the pictures of docs/inside/.

    pip install ".[plot]" && python docs/pictures/inside.py        # a minute, for chaos.svg

chaos.svg is measured, on the data set pydoc-topics, Python's own documentation, which differs a
little between versions of Python.
"""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

import fastrnn

HERE = Path(__file__).parent
INK, FORWARD, BACK, PALE = "#222222", "#1f5fa8", "#c0392b", "#dce8f5"
COLOURS = ["#dce8f5", "#f6dfd3", "#dff0dc", "#efe3f5"]
matplotlib.rcParams.update({"font.size": 11, "svg.hashsalt": "fastrnn",
                            "savefig.facecolor": "white"})


def main() -> None:
    for draw in (unroll, streams, packing, tile, tree, chaos):
        figure = draw()
        figure.savefig(HERE / f"{draw.__name__}.svg", bbox_inches="tight", pad_inches=0.1,
                       metadata={"Date": None})


def canvas(width: float, height: float, size: tuple[float, float]) -> tuple[Figure, Axes]:
    """Axes without a frame, of width x height units, in a figure of `size` inches."""
    figure = Figure(figsize=size)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    return figure, axes


def box(axes: Axes, x: float, y: float, w: float, h: float, text: str = "", colour: str = PALE,
        **words: object) -> None:
    axes.add_patch(Rectangle((x, y), w, h, facecolor=colour, edgecolor=INK, linewidth=0.8))
    axes.text(x + w / 2, y + h / 2, text, ha="center", va="center", color=INK, **words)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = FORWARD,
          bend: float = 0.0, dashed: bool = False) -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, color=colour,
                                   connectionstyle=f"arc3,rad={bend}", linewidth=1.4,
                                   linestyle="--" if dashed else "-", shrinkA=0, shrinkB=0))


def unroll() -> Figure:
    """Two windows of three steps: states go on, gradients stop between them."""
    figure, axes = canvas(13.2, 5.6, (6, 2.55))
    steps = [1.6, 3.4, 5.2, 7.8, 9.6, 11.4]
    axes.text(0.75, 2.6, "$h_0$", ha="center", va="center", color=INK)
    for t, x in enumerate(steps, 1):
        box(axes, x, 2.2, 0.9, 0.8, f"$h_{t}$")
        axes.text(x + 0.45, 0.75, f"$x_{t}$", ha="center", va="center", color=INK)
        axes.text(x + 0.45, 4.6, f"loss$_{t}$", ha="center", va="center", color=INK)
        arrow(axes, (x + 0.33, 1.1), (x + 0.33, 2.2))
        arrow(axes, (x + 0.33, 3.0), (x + 0.33, 4.3))
        arrow(axes, (x + 0.62, 4.3), (x + 0.62, 3.0), BACK, dashed=True)
        before = 1.05 if t == 1 else steps[t - 2] + 0.9
        arrow(axes, (before, 2.75), (x, 2.75))
        if t not in (1, 4):
            arrow(axes, (x, 2.42), (before, 2.42), BACK, dashed=True)
    axes.plot([6.95, 6.95], [0.3, 5.0], color=INK, linewidth=1, linestyle=":")
    axes.text(3.85, 5.25, "window of update 1", ha="center", va="center", color=INK)
    axes.text(10.05, 5.25, "window of update 2", ha="center", va="center", color=INK)
    axes.text(3.85, 0.05, "forward: states go on", ha="center", color=FORWARD)
    axes.text(10.05, 0.05, "backward: gradients stop here", ha="center", color=BACK)
    return figure


def streams() -> Figure:
    """A text of 24 symbols in three streams, two windows of four each."""
    figure, axes = canvas(13.2, 5.6, (6, 2.55))
    text = "the quick brown fox jumps"[:24]
    for i, letter in enumerate(text):
        box(axes, 0.5 + 0.51 * i, 4.55, 0.51, 0.6, letter, COLOURS[i // 8], family="monospace")
    axes.text(0.5, 5.3, "the text, cut into N = 3 streams", color=INK)
    for n in range(3):
        axes.text(0.5, 2.75 - 1.05 * n + 0.3, f"stream {n + 1}", va="center", color=INK)
        for i, letter in enumerate(text[8 * n : 8 * n + 8]):
            box(axes, 2.7 + 0.8 * i + 0.8 * (i > 3), 2.75 - 1.05 * n, 0.8, 0.6, letter, COLOURS[n],
                family="monospace")
        arrow(axes, (5.95, 3.05 - 1.05 * n), (6.65, 3.05 - 1.05 * n))
    for x, update in ((4.3, 1), (8.3, 2)):
        axes.text(x, 3.65, f"update {update}", ha="center", color=INK)
        axes.text(x, 0.05, "T = 4", ha="center", color=INK)
    axes.text(10.3, 2.3, "arrow: the state\nat the end of a\nwindow starts\nthe next one",
              color=FORWARD, va="center")
    return figure


def packing() -> Figure:
    """Where the columns of the first panel of an LSTM's Wh of 128 units lie, before and after."""
    figure, axes = canvas(13.2, 7.2, (6, 3.3))
    axes.text(0.3, 6.8, "Wh: 128 rows of 512 numbers (2,048 bytes)", color=INK, va="center")
    for g, gate in enumerate("ifog"):
        left = 0.3 + 1.75 * g
        box(axes, left, 2.2, 1.75, 3.6, colour="white")
        box(axes, left, 2.2, 0.3, 3.6, colour=COLOURS[g])
        axes.text(left + 0.9, 6.15, f"${gate}$", ha="center", va="center", color=INK)
    axes.plot([0.3, 7.3], [5.5, 5.5], color=INK, linewidth=0.8)
    axes.text(0.3, 1.75, "in each row the tile needs 4 x 64 bytes,\n512 bytes apart", color=INK,
              va="top")
    arrow(axes, (7.6, 4.0), (8.7, 4.0), INK)
    axes.text(8.15, 4.3, "pack", ha="center", color=INK)
    axes.text(9.0, 6.8, "panel 1 of 8", color=INK, va="center")
    for k in range(7):
        for g, gate in enumerate("ifog"):
            box(axes, 9.0 + 0.95 * g, 5.3 - 0.45 * k, 0.95, 0.45, f"${gate}$" if k == 0 else "",
                COLOURS[g])
    axes.text(10.9, 2.3, "...", ha="center", va="center", color=INK, rotation=90)
    axes.text(9.0, 1.75, "128 x 256 bytes,\none after the other", color=INK, va="top")
    axes.text(9.0, 6.15, "16 units", va="center", color=INK)
    return figure


def tile() -> Figure:
    """One tile: six rows of the batch, sixteen units, four gates."""
    figure, axes = canvas(13.2, 7.4, (6, 3.4))
    axes.text(0.3, 7.0, "$h_{t-1}$: 6 rows, 128 wide", color=INK, va="center")
    for r in range(6):
        box(axes, 0.3, 6.1 - 0.42 * r, 4.4, 0.42)
    box(axes, 1.6, 4.0, 0.35, 2.52, colour="#8fb7dd")
    axes.text(1.78, 3.6, "$k$", ha="center", va="center", color=INK)
    axes.text(6.3, 7.0, "the panel: 128 rows, in turn", color=INK, va="center")
    for k in range(6):
        for g in range(4):
            box(axes, 6.3 + 1.2 * g, 6.1 - 0.42 * k, 1.2, 0.42,
                f"$k$, ${'ifog'[g]}$" if k == 2 else "", COLOURS[g] if k == 2 else "white",
                fontsize=9)
    axes.text(5.5, 5.2, "times", ha="center", va="center", color=INK)
    arrow(axes, (5.5, 3.9), (5.5, 3.0), INK)
    axes.text(5.8, 3.4, "24 sums in registers, row by row $k$", va="center", color=INK)
    for r in range(6):
        for g in range(4):
            box(axes, 3.1 + 1.2 * g, 2.3 - 0.42 * r, 1.2, 0.42, f"${'ifog'[g]}$" if r == 0 else "",
                COLOURS[g], fontsize=9)
    axes.text(0.3, 1.45, "6 rows x 4\nregisters of\n16 numbers", va="center", color=INK)
    arrow(axes, (8.1, 1.45), (9.5, 1.45), INK)
    axes.text(8.75, 1.75, "gates", ha="center", color=INK)
    for r in range(6):
        box(axes, 9.7, 2.3 - 0.42 * r, 1.2, 0.42, "$c_t$" if r == 0 else "", "#f7efc8", fontsize=9)
        box(axes, 11.1, 2.3 - 0.42 * r, 1.2, 0.42, "$h_t$" if r == 0 else "", fontsize=9)
    return figure


def tree() -> Figure:
    """A batch of 50 in four slices, and how their gradients are added."""
    figure, axes = canvas(13.2, 7.0, (6, 3.2))
    sizes, first = (12, 13, 12, 13), 1
    for i, n in enumerate(sizes):
        x = 0.3 + 3.2 * i
        box(axes, x, 5.3, 2.8, 0.75, f"{first} to {first + n - 1}", COLOURS[i // 2])
        axes.text(x + 1.4, 6.45, f"slice {i + 1}", ha="center", color=INK)
        box(axes, x, 3.7, 2.8, 0.75, f"gradient {i + 1}", COLOURS[i // 2])
        arrow(axes, (x + 1.4, 5.3), (x + 1.4, 4.45), INK)
        arrow(axes, (x + 1.4, 3.7), (1.7 + 6.4 * (i // 2) + 1.6, 2.75), INK)
        first += n
    for half, text in enumerate(("1 + 2", "3 + 4")):
        box(axes, 1.9 + 6.4 * half, 2.0, 2.8, 0.75, text, COLOURS[half])
        arrow(axes, (3.3 + 6.4 * half, 2.0), (6.5, 1.05), INK)
    box(axes, 4.6, 0.3, 3.8, 0.75, "(1 + 2) + (3 + 4)", "white")
    return figure


def losses(updates: int, rate: float, nudge: float, seed: int = 0) -> np.ndarray:
    """Of the classic model in float64, in nats per character, one weight changed by `nudge`."""
    corpus = fastrnn.datasets.load("pydoc-topics")
    model = fastrnn.Model(corpus.vocabulary, hidden_size=100, dtype="float64", seed=seed)
    model.params["layer0.Wh"][0, 0] += nudge
    trainer = fastrnn.Trainer(model, corpus, learning_rate=rate, progress=False)
    trainer.run(updates=updates)
    return trainer.history.loss / 25


def chaos() -> Figure:
    """How a change of 1e-15 grows; and where eight pairs of runs end."""
    figure = Figure(figsize=(6, 6.6), layout="constrained")
    above, below = figure.subplots(2, height_ratios=(3, 2))
    for rate, colour in ((0.1, BACK), (0.03, "#d99a1c"), (0.01, FORWARD)):
        apart = abs(losses(1000, rate, 0) - losses(1000, rate, 1e-15))
        print(f"rate {rate}: apart after 1, 11, 21, 51, 101, 1000 updates",
              *(f"{x:.0e}" for x in apart[[0, 10, 20, 50, 100, 999]]))
        above.plot(np.arange(1, 1001), np.maximum(apart, 1e-17), color=colour, linewidth=1.2,
                   label=f"learning rate {rate}")
    above.set(yscale="log", xscale="log", ylim=(5e-18, 10), xlim=(1, 1000), xlabel="update",
              ylabel="difference of the losses")
    above.set_yticks([1e-17, 1e-15, 1e-12, 1e-9, 1e-6, 1e-3, 1],
                     ["0", "1e-15", "1e-12", "1e-9", "1e-6", "1e-3", "1"])
    above.grid(axis="y", color="#dddddd")
    above.legend(loc="upper left", fontsize=9)
    ends = np.array([[losses(2000, 0.1, nudge, seed)[-500:].mean() for seed in range(8)]
                     for nudge in (0, 1e-15)])
    print("means and deviations of the final losses", ends.mean(axis=1), ends.std(axis=1, ddof=1))
    for y, (end, colour) in enumerate(zip(ends, (FORWARD, BACK), strict=True)):
        below.scatter(end, np.full(8, y), s=36, facecolors="none", edgecolors=colour, zorder=3)
        below.scatter(end.mean(), y, marker="|", s=400, color=colour)
    below.plot(ends, (0, 1), color="#bbbbbb", linewidth=0.8, zorder=1)
    below.set_yticks((0, 1), ("as drawn", "one weight\n+ 1e-15"))
    below.set(ylim=(-0.5, 1.5), xlabel="loss of updates 1,501 to 2,000, eight seeds, rate 0.1")
    return figure


if __name__ == "__main__":
    main()
