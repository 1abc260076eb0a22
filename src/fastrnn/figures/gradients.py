"""How far back gradients reach, as curves: what `fastrnn.plot.gradients` draws."""

from collections.abc import Mapping
from typing import Any

from .axes import COLORS, DASHES, MARKERS, as_name, axes_for, legend, tidy


def draw_gradients(norms: Mapping[str, Any], ax: Any = None) -> list[Any]:
    """Draw the norms against the lag, and the mean absolute gradients against the length.

    Parameters
    ----------
    norms : mapping of str -> GradientNorms
        By their names, which are shown where there are several.
    ax : pair of matplotlib.axes.Axes, optional

    Returns
    -------
    list of two matplotlib.axes.Axes
    """
    left, right = axes_for(ax, 9, 4, columns=2)
    for number, (name, found) in enumerate(norms.items()):
        style: dict[str, Any] = {"color": COLORS[number % len(COLORS)], "label": as_name(name),
                                 "linestyle": DASHES[number % len(DASHES)], "linewidth": 1.6}
        left.semilogy(found.lags, found.norms, **style)
        right.loglog(found.lengths, found.mean_absolute, **style, markersize=4,
                     marker=MARKERS[number % len(MARKERS)])
    left.set(xlabel="lag (steps before the last)",
             ylabel="norm of the gradient with respect to the state")
    right.set(xlabel="sequence length (steps)", ylabel="mean absolute gradient of a parameter")
    for axes in (left, right):
        tidy(axes)
    legend(right)
    return [left, right]
