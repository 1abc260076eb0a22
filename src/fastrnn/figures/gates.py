"""How far gates saturate: what `fastrnn.plot.gates` draws."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .axes import COLORS, DASHES, MARKERS, count, legend

SHUT, OPEN = "below 0.1", "above 0.9"
# of each unit, the fractions of the steps at which its gate is nearly shut, and open
Fractions = tuple[NDArray[np.float64], NDArray[np.float64]]


def draw_units(axes: Any, layers: Sequence[Fractions]) -> None:
    """A mark for each unit of each layer."""
    axes.plot([0, 1], [1, 0], linestyle=":", color="gray", linewidth=1)
    for number, (shut, opened) in enumerate(layers):
        axes.plot(opened, shut, linestyle="", marker=MARKERS[number % len(MARKERS)], markersize=5,
                  markerfacecolor="none", alpha=0.8, color=COLORS[number % len(COLORS)],
                  clip_on=False, label=f"layer {number}: {shut.mean():.0%} {SHUT}, "
                                       f"{opened.mean():.0%} {OPEN}")
    axes.set(xlabel=f"{OPEN} (fraction of the steps)", xlim=(0, 1), ylim=(0, 1),
             ylabel=f"{SHUT} (fraction of the steps)", aspect="equal")
    legend(axes, least=1, loc="upper right", fontsize="x-small")


def draw_over_updates(axes: Any, found: Mapping[int, Sequence[Fractions]]) -> None:
    """The fractions of all units of each layer, against the updates."""
    updates = list(found)
    for number, each in enumerate(zip(*found.values(), strict=True)):
        style: dict[str, Any] = {"color": COLORS[number % len(COLORS)], "markersize": 5,
                                 "marker": MARKERS[number % len(MARKERS)]}
        for which, dash, name in ((1, DASHES[0], OPEN), (0, DASHES[1], SHUT)):
            axes.plot(updates, [layer[which].mean() for layer in each], linestyle=dash,
                      label=f"layer {number}: {name}", **style)
    axes.set(xlabel="update", ylabel="fraction of all units and steps", ylim=(0, 1))
    count(axes.xaxis)
    legend(axes, fontsize="x-small")
