"""The losses of runs as curves: what `fastrnn.plot.loss` and `History.plot` draw."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..svg import thinned
from .axes import COLORS, DASHES, MARKERS, as_name, axes_for, count, legend, tidy

COLUMNS = 2000  # of each the lowest and the highest loss is drawn
PALE = {"linewidth": 0.8, "alpha": 0.4, "zorder": 1.5}
HIGHEST = 0.999  # of the losses of the updates are surely inside the picture
MOST_PALE = 3  # runs whose losses of each update are drawn
MOST_MARKS = 20  # on a line
MEAN = "mean of the last 1 % of the updates, at least 30"  # `History.train_loss`
SMOOTHED = "smoothed: s = 0.999 s + 0.001 loss"
NO_LOSSES = "there are no losses to plot yet: train the model first"


def draw_losses(runs: Mapping[str, Any], x: str = "updates", ax: Any = None) -> Any:
    """Draw the training and validation losses of runs.

    Parameters
    ----------
    runs : mapping of str -> History
        By their names, which are shown where there are several.
    x : {"updates", "epochs"}
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    _check(runs, x)
    (axes,) = axes_for(ax, 8, 4.5)
    histories = list(runs.values())
    whole = _per_window(histories)
    for number, (name, run) in enumerate(runs.items()):
        each = 1 if x == "updates" else run.updates_per_epoch
        _draw_run(axes, run, number, f"{as_name(name)}: " if len(runs) > 1 else "", whole,
                  1 / each, len(runs) <= MOST_PALE)
    unit, step = histories[0].measure
    axes.set(xlabel=x.removesuffix("s"),
             ylabel=f"loss ({unit} per window of {histories[0].seq_length:g} {step}s)" if whole
             else f"loss ({unit} per {step})")
    tidy(axes)
    if x == "updates":
        count(axes.xaxis)
        _mark_epochs(axes, histories)
    if len(runs) > 1:
        main = SMOOTHED if whole else MEAN
        pale = "\npale: each update" if len(runs) <= MOST_PALE else ""
        legend(axes, loc="upper right", title=f"training: {main}{pale}", title_fontsize="x-small")
    else:
        _finish_alone(axes, histories[0], x)
    return axes


def _check(runs: Mapping[str, Any], x: str) -> None:
    if x not in ("updates", "epochs"):
        raise ValueError(f"x must be 'updates' or 'epochs', not {x!r}")
    if not runs:
        raise ValueError("give at least one run to plot")
    for name, run in runs.items():
        of = f"{name}: " if name else ""
        if not len(run):
            raise ValueError(f"{of}{NO_LOSSES}")
        if x == "epochs" and not run.updates_per_epoch:
            raise ValueError(f"{of}the history does not say how many updates an epoch has: leave "
                             "x at 'updates'")
    measures = {run.measure for run in runs.values()}
    if len(measures) > 1:
        raise ValueError("the losses are in different units "
                         f"({', '.join(sorted(' per '.join(m) for m in measures))}): draw them "
                         "apart")


def _per_window(histories: list[Any]) -> bool:
    """Whether the smoothed loss of a window is drawn, as in the courses, in place of the training
    loss of one prediction."""
    return (all(run.one_stream and not run.valid_loss.size for run in histories)
            and len({run.seq_length for run in histories}) == 1)


def _draw_run(axes: Any, run: Any, number: int, name: str, whole: bool, each: float,
              pale: bool) -> None:
    """Draw one run; `each` is the length of an update along x."""
    color = COLORS[number % len(COLORS)]
    marker = MARKERS[number % len(MARKERS)]
    along = np.arange(1, len(run) + 1) * each
    main = run.smooth_loss if whole else run.train_loss
    if pale:
        _draw_pale(axes, along, run.loss if whole else run.loss / (run.seq_length or 1), main,
                   color=color, label="_each update" if name else "training, each update")
    kept = np.unique(np.append(np.arange(0, len(run), max(1, len(run) // 5000)), len(run) - 1))
    marks = {"marker": marker, "markersize": 5, "markevery": (0.05, 0.1)} if name else {}
    kind = SMOOTHED if whole else f"training, {MEAN}"
    axes.plot(along[kept], main[kept], color=color, linewidth=1.8,
              label=f"{name}training" if name else kind, **marks)
    validations = run.valid_loss.size
    if validations:
        best = int(np.nanargmin(run.valid_loss)) if np.isfinite(run.valid_loss).any() else 0
        axes.plot(run.valid_updates * each, run.valid_loss, linewidth=1.8, linestyle=DASHES[1],
                  color=color if name else COLORS[1], marker=marker,
                  markersize=5,
                  markevery=max(1, validations // MOST_MARKS),
                  label=f"{name}validation (lowest {run.valid_loss[best]:.4g} after "
                        f"{run.valid_updates[best]:,} updates)")


def _draw_pale(axes: Any, along: Any, losses: Any, main: Any, **style: Any) -> None:
    """Draw the losses of all updates. A few very high ones, as the first ones often are, may lie
    above the picture, which else would show little of the others."""
    known = np.isfinite(losses)
    along, losses = along[known], losses[known]
    if not losses.size:
        return
    (line,) = axes.plot([], [], **PALE, **style)
    x, y = thinned(along, losses, COLUMNS)
    line.set_data(x, y)
    top = max(np.quantile(losses, HIGHEST), np.max(main[np.isfinite(main)], initial=-np.inf))
    axes.update_datalim(np.column_stack([x, np.minimum(y, top)]))


def _mark_epochs(axes: Any, runs: Sequence[Any]) -> None:
    """A scale of epochs at the upper edge, where all runs have epochs of one length."""
    length, longest = runs[0].updates_per_epoch, max(map(len, runs))
    if not length or any(run.updates_per_epoch != length for run in runs):
        return

    def by(factor: float) -> Callable[[Any], Any]:
        return lambda values: np.asarray(values) * factor

    top = axes.secondary_xaxis("top", functions=(by(1 / length), by(length)))
    top.set_xlabel("epoch", fontsize="small")
    top.tick_params(labelsize="small")
    if longest > 2 * length:
        count(top.xaxis)
    top.spines["top"].set_visible(False)


def _finish_alone(axes: Any, run: Any, x: str) -> None:
    """Mark the samples, draw the accuracy with an axis of its own, and name the lines."""
    each = 1 if x == "updates" else run.updates_per_epoch
    if run.samples:
        axes.vlines([at / each for at, _ in run.samples], 0, 0.035, linewidth=1.2,
                    color=axes.xaxis.label.get_color(), transform=axes.get_xaxis_transform())
        axes.set_xlabel(f"{axes.get_xlabel()} (short lines: {run.count_samples()})")
    lines = axes.get_legend_handles_labels()[0]
    if run.accuracy.size:
        epoch = run.updates_per_epoch or len(run) // len(run.accuracy)
        right = axes.twinx()
        lines += right.plot(epoch * np.arange(1, len(run.accuracy) + 1) / each, run.accuracy,
                            color=COLORS[2], linestyle=DASHES[3], marker=MARKERS[2], markersize=4,
                            label="accuracy on the training data")
        right.set(ylabel="accuracy (fraction of the predictions)", ylim=(0, 1.02))
        right.spines["top"].set_visible(False)
        legend(axes, lines, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)
    else:
        legend(axes, lines, loc="upper right")
