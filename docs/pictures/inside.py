"""Draw the pictures of docs/inside/.

    pip install ".[plot]" && python docs/pictures/inside.py
"""

from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

HERE = Path(__file__).parent
INK, FORWARD, BACK, PALE = "#222222", "#1f5fa8", "#c0392b", "#dce8f5"
COLOURS = ["#dce8f5", "#f6dfd3", "#dff0dc", "#efe3f5"]
matplotlib.rcParams.update({"font.size": 11, "svg.hashsalt": "fastrnn",
                            "savefig.facecolor": "white"})


def main() -> None:
    for draw in (unroll, streams):
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


if __name__ == "__main__":
    main()
