"""Figures, where matplotlib is installed."""

import os
import sys
from typing import Any

MARK = "drawn by fastrnn"  # in the metadata of pictures


def axes_for(ax: Any, width: float, height: float, columns: int = 1) -> list[Any]:
    """The `columns` axes to draw on: `ax` (one, or a sequence) where given, else those of a new
    figure of width x height inches, which is pyplot's where someone may look at it."""
    if ax is not None:
        given = list(ax) if columns > 1 else [ax]
        if len(given) != columns or not all(hasattr(each, "plot") for each in given):
            wanted = "a matplotlib Axes" if columns == 1 else f"{columns} matplotlib Axes"
            raise TypeError(f"ax must be {wanted}, such as fig, ax = plt.subplots({columns})")
        return given
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError('plots need matplotlib: pip install "fastrnn[plot]"') from None
    look: dict[str, Any] = {"figsize": (width, height), "layout": "constrained"}
    if in_notebook() or "matplotlib.pyplot" in sys.modules:
        from matplotlib import pyplot
        canvas = pyplot.figure(**look)
    else:
        canvas = Figure(**look)
    return list(canvas.subplots(1, columns, squeeze=False).flat)


def write(axes: Any, path: str | os.PathLike[str] | None) -> None:
    """Write the figure of some axes to a file, if there is a path."""
    if path is not None:
        kind = os.path.splitext(path)[1].lower()
        key = {".png": "Software", ".pdf": "Creator", ".svg": "Creator"}.get(kind)
        axes.figure.savefig(path, dpi=150, metadata=key and {key: MARK})


def drawn_here(path: str | os.PathLike[str]) -> bool:
    """Whether there is such a file, a picture that fastrnn drew."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        picture = file.read()
    return picture.startswith((b"\x89PNG", b"%PDF", b"<?xml")) and MARK.encode() in picture


def in_notebook() -> bool:
    """Whether this program is a notebook's kernel."""
    return "ipykernel" in sys.modules


def check_kind(path: str) -> None:
    """Raise ValueError if matplotlib cannot write files with this extension."""
    kinds = axes_for(None, 1, 1)[0].figure.canvas.get_supported_filetypes()
    kind = os.path.splitext(path)[1][1:].lower()
    if kind and kind not in kinds:
        raise ValueError(f"{path!r}: plots can be {', '.join(sorted(kinds))}, not {kind!r}")
