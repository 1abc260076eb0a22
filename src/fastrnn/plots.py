"""Figures, where matplotlib is installed."""

import os
from typing import Any


def figure(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    """A new figure of width x height inches, and its axes (for several columns an array)."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError('plots need matplotlib: pip install "fastrnn[plot]"') from None
    canvas = Figure(figsize=(width, height), layout="constrained")
    return canvas, canvas.subplots(1, columns)


def check_kind(path: str) -> None:
    """Raise ValueError if matplotlib cannot write files with this extension."""
    kinds = figure(1, 1)[0].canvas.get_supported_filetypes()
    kind = os.path.splitext(path)[1][1:].lower()
    if kind and kind not in kinds:
        raise ValueError(f"{path!r}: plots can be {', '.join(sorted(kinds))}, not {kind!r}")
