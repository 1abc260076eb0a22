"""What units do along a text: what `fastrnn.plot.activations` draws."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..html import plain
from .axes import COLORS, DASHES, MARKERS, legend, tidy

WRITTEN = {" ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍", "": "␣"}  # symbols that leave no mark


def draw_curves(axes: Any, units: Sequence[int], values: NDArray[np.float64], name: str) -> None:
    for number, unit in enumerate(units):
        axes.plot(values[:, number], color=COLORS[number], linestyle=DASHES[number], linewidth=1.6,
                  marker=MARKERS[number], markersize=3.5, label=f"unit {unit}")
    axes.set_ylabel(f"{name}, unit {units[0]}" if len(units) == 1 else name)
    tidy(axes)
    legend(axes, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(units))


def draw_map(axes: Any, units: Sequence[int], values: NDArray[np.float64], name: str,
              order: str) -> None:
    least, most = float(values.min()), float(values.max())
    bound = max(-least, most)
    low, high = (0.0, max(1.0, most)) if least >= 0 else (-bound, bound)
    picture = axes.imshow(values.T, aspect="auto", cmap="cividis", vmin=low, vmax=high,
                          interpolation="nearest")
    axes.set_yticks(range(len(units)), [str(unit) for unit in units], fontsize=8)
    axes.set_ylabel(f"unit{order}")
    axes.figure.colorbar(picture, ax=axes, pad=0.01, label=name)


def written(symbol: str | int) -> str:
    """A symbol as it is shown below a picture; a byte as the character that it is in ASCII."""
    if isinstance(symbol, int):
        symbol = chr(symbol) if symbol < 128 else f"\\x{symbol:02x}"
    return plain("".join(WRITTEN.get(character, character) for character in symbol) or "␣")
