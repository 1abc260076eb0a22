"""Figures, where matplotlib is installed: axes to draw on, what all have in common, files."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, BinaryIO

from ..files.store import replacing
from ..html import plain

MARK = "drawn by fastrnn"  # in the metadata of pictures
# of Okabe and Ito (2008), told apart by the colour-blind; in grey by dashes and markers
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (7, 2, 1.5, 2)), (0, (9, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LONGEST = 40  # characters of a name in a legend


def axes_for(ax: Any, width: float, height: float, columns: int = 1,
             shown: bool | None = None) -> list[Any]:
    """The `columns` axes to draw on: `ax` (one, or a sequence) where given, else those of a new
    figure of width x height inches, which is pyplot's if it is to be `shown`: where not said, if
    someone may look at it."""
    if ax is not None:
        given = list(ax) if columns > 1 and hasattr(ax, "__iter__") else [ax]
        if len(given) != columns or not all(hasattr(each, "plot") for each in given):
            wanted = "a matplotlib Axes" if columns == 1 else f"{columns} matplotlib Axes"
            raise TypeError(f"ax must be {wanted}, such as fig, ax = plt.subplots({columns})")
        return given
    if shown is None:
        shown = in_notebook() or "matplotlib.pyplot" in sys.modules
    new = _of_matplotlib("pyplot").figure if shown else _of_matplotlib("figure").Figure
    figure = new(figsize=(width, height), layout="constrained")
    return list(figure.subplots(1, columns, squeeze=False).flat)


def tidy(axes: Any) -> None:
    """A pale grid behind the curves, and no frame where there is no scale."""
    axes.grid(alpha=0.3, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def legend(axes: Any, lines: Sequence[Any] | None = None, least: int = 2, **how: Any) -> None:
    """A legend of some lines, or of all that have a name, whose names are shown as they are; none
    if there are fewer than `least`."""
    if lines is None:
        lines = axes.get_legend_handles_labels()[0]
    if len(lines) >= least:
        shown = axes.legend(lines, [line.get_label() for line in lines],
                            **{"fontsize": "small", "framealpha": 0.85, "edgecolor": "none"} | how)
        for text in shown.get_texts():
            text.set_parse_math(False)


def as_name(text: str) -> str:
    """A name as it can stand in a legend: visible, not too long, not taken for a hidden one."""
    shown = plain(text).replace("\n", " ")
    if len(shown) > LONGEST:
        shown = f"{shown[: LONGEST - 1]}…"
    return f" {shown}" if shown.startswith("_") else shown


def count(axis: Any) -> None:
    """Whole numbers along an axis, with commas."""
    tell_steps(axis)
    axis.set_major_formatter("{x:,.0f}")


def tell_steps(axis: Any) -> None:
    """Whole numbers along an axis."""
    locator = _of_matplotlib("ticker").MaxNLocator("auto", integer=True, steps=[1, 2, 2.5, 5, 10])
    axis.set_major_locator(locator)


def tell_dates(axis: Any) -> None:
    """Dates along an axis, each part of them only where it changes."""
    dates = _of_matplotlib("dates")
    locator = dates.AutoDateLocator()
    axis.set_major_locator(locator)
    axis.set_major_formatter(dates.ConciseDateFormatter(locator))


def write(axes: Any, path: str | os.PathLike[str] | None) -> None:
    """Write the figure of some axes to a file in one step, if there is a path."""
    if path is None:
        return
    check_kind(path)
    with replacing(path, overwrite=True) as file:
        save(axes, file, _kind(path), dpi=150)


def save(axes: Any, file: BinaryIO, kind: str, dpi: int) -> None:
    """Write the figure of some axes to an open file, as a picture of this kind."""
    key = {"png": "Software", "pdf": "Creator", "svg": "Creator"}.get(kind)
    axes.figure.canvas.figure.savefig(file, format=kind, dpi=dpi, metadata=key and {key: MARK})


def drawn_here(path: str | os.PathLike[str]) -> bool:
    """Whether there is such a file, a picture that fastrnn drew."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        picture = file.read()
    return picture.startswith((b"\x89PNG", b"%PDF", b"<?xml")) and MARK.encode() in picture


def in_notebook() -> bool:
    """Whether a notebook's kernel runs this program, and not only a library that imports one."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return hasattr(shell, "kernel")


def check_kind(path: str | os.PathLike[str]) -> None:
    """Raise ValueError if matplotlib cannot write files with this ending."""
    kinds = _of_matplotlib("backend_bases").FigureCanvasBase.get_supported_filetypes()
    if _kind(path) not in kinds:
        raise ValueError(f"{os.fspath(path)!r}: the name of a plot ends in one of "
                         f"{', '.join(f'.{kind}' for kind in sorted(kinds))}")


def _of_matplotlib(name: str) -> Any:
    """A module of matplotlib, which is imported only where something is drawn."""
    try:
        return import_module(f"matplotlib.{name}")
    except ImportError:
        raise ImportError('plots need matplotlib: pip install "fastrnn[plot]"') from None


def _kind(path: str | os.PathLike[str]) -> str:
    return os.path.splitext(os.fspath(path))[1][1:].lower()
