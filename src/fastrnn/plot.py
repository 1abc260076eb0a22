"""Figures of runs and models, by matplotlib: ``pip install "fastrnn[plot]"``.

>>> import fastrnn
>>> model = fastrnn.train("book.txt")
>>> fastrnn.plot.loss(model, path="loss.png")
>>> fastrnn.plot.loss({"LSTM": "lstm.safetensors", "GRU": "gru.safetensors"}, x="epochs")
>>> fastrnn.plot.activations(model, 'He said: "No." And left.')
>>> fastrnn.plot.gates(model, "Some text that it reads.")
>>> fastrnn.plot.gradients(fastrnn.gradient_norms(model, "Some text that it reads."))

Each function draws on the axes `ax`, or on a new figure, writes the figure to `path` (PNG, PDF,
SVG, by its ending) where that is given, and returns the axes. A new figure is one of pyplot's in a
notebook, and where matplotlib.pyplot is imported: notebooks show it, and plt.show() does. Curves
differ in their dashes and marks as well as in their colours, which are those of Okabe and Ito
(2008), told apart by the colour-blind.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .checks.gradient_norms import GradientNorms
from .data.corpus import Corpus
from .figures.activations import draw_curves, draw_map, written
from .figures.axes import as_name, axes_for, tidy, write
from .figures.forecasts import bands_of, column, draw_forecast
from .figures.gates import draw_over_updates, draw_units
from .figures.gradients import draw_gradients
from .figures.live import Live
from .figures.losses import draw_losses
from .insight.activations import activations as read_activations
from .insight.gates import GATES, saturation
from .model.history import History
from .model.model import Model
from .model.scoring import ids_of_text
from .training.checkpoint import load, read
from .training.trainer import Trainer

__all__ = ["activations", "forecast", "gates", "gradients", "live", "loss"]

File = str | os.PathLike[str]
Run = Model | Trainer | History | File
MOST_READ = 5_000  # symbols of a text whose gates are counted
MOST_SYMBOLS, MOST_WORDS = 80, 40  # of a text whose activations are drawn
MOST_CURVES, MOST_UNITS = 4, 24  # drawn as curves; drawn where none are named
VALUES = {"h": "output h", "c": "cell state c", "g": "candidate g", "n": "candidate n",
          "m": "memory m"} | {name: f"{gate} {name}" for name, gate in GATES.items()}


def loss(runs: Run | Sequence[Run] | Mapping[str, Run], *, x: str = "updates", ax: Any = None,
         path: File | None = None) -> Any:
    """Draw the training and the validation loss of one run or several.

    Pale, of at most three runs, the training loss of each update, ``History.loss`` divided by
    `seq_length`; over it its mean over the last 1 % of the updates, and at least 30 of them,
    ``History.train_loss``; dashed and with marks the validation loss. All are of one prediction:
    nats per symbol, or squared error per step. Of texts that are read as one stream without
    validation the smoothed loss of a window is drawn in place of the mean, as in min-char-rnn. The
    upper edge counts epochs. Of a single run, short lines at the lower edge are the updates of its
    samples, and accuracies have a scale on the right.

    Parameters
    ----------
    runs : Model, Trainer, History, path of a checkpoint, or a sequence or mapping of these
        A mapping is from names, which the legend shows; in a sequence a path is named by its file,
        another run by its number.
    x : {"updates", "epochs"}
        What is counted below.
    ax : matplotlib.axes.Axes, optional
    path : str or path-like, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        matplotlib is not installed.
    ValueError
        A run without losses, losses of different units, epochs of an unknown length, or an ending
        of `path` that is not known.
    TypeError
        Something else than a run.
    OSError
        A file that cannot be read, or written.
    """
    axes = draw_losses({name: _history(run) for name, run in _named(runs).items()}, x, ax)
    write(axes, path)
    return axes


def live(path: File | None = None) -> Live:
    """What draws the losses while a model is trained, as `on_event` of `fastrnn.train` and of a
    `fastrnn.Trainer`: ``fastrnn.train("book.txt", on_event=fastrnn.plot.live("loss.png"))``.

    It draws what `loss` draws of one run, at most every 2 seconds, so that the drawing takes at
    most 2 % of the time of the training, and once more at its end, also after Ctrl-C.

    Parameters
    ----------
    path : str or path-like, optional
        Write to this file, each time in one step. Where not given the picture is in the output of
        a notebook's cell, and each takes the place of the one before.

    Returns
    -------
    Live
        A function of a `fastrnn.Event`. A file that cannot be written is a warning, and the
        training goes on.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    ValueError
        No path outside of a notebook, or one whose ending is not known.
    """
    return Live(path)


def gradients(norms: GradientNorms | Mapping[str, GradientNorms], *, ax: Any = None,
              path: File | None = None) -> list[Any]:
    """Draw how far back in time gradients reach: `fastrnn.gradient_norms` of one model or several.

    On the left the norm of the gradient of the last prediction's loss with respect to the state,
    for each number of steps before it; on the right the mean absolute gradient of a parameter
    against the length of the sequences. Straight lines are exponential decay on the left, and
    powers on the right (Pascanu, Mikolov and Bengio 2013).

    Parameters
    ----------
    norms : GradientNorms, or mapping of str -> GradientNorms
        Several by their names, which the legend shows.
    ax : pair of matplotlib.axes.Axes, optional
    path : str or path-like, optional

    Returns
    -------
    list of two matplotlib.axes.Axes

    Raises
    ------
    ImportError
        matplotlib is not installed.
    TypeError
        Something else than the result of gradient_norms.
    ValueError
        No result, or an ending of `path` that is not known.
    """
    several = norms if isinstance(norms, Mapping) else {"": norms}
    for each in several.values():
        if not isinstance(each, GradientNorms):
            raise TypeError("gradients draws what fastrnn.gradient_norms returns, not "
                            f"{type(each).__name__}")
    if not several:
        raise ValueError("give at least one result of fastrnn.gradient_norms")
    axes = draw_gradients({str(name): each for name, each in several.items()}, ax)
    write(axes[0], path)
    return axes


def gates(model: Model | File | Mapping[int, Model | File], text: str | bytes | Corpus, *,
          label: Any = None, ax: Any = None, path: File | None = None) -> list[Any]:
    """Draw how far the gates saturate while a model, or the models of a run, read a text.

    Of one model each mark is a unit: at which fraction of the steps its gate is above 0.9 (to the
    right), and below 0.1 (upwards). On the dotted line it is nearly always open or shut, at the
    origin neither (Karpathy, Johnson and Fei-Fei 2015, "Visualizing and understanding recurrent
    networks"). The legend has the fractions of all units and steps together. Of several models
    these fractions are drawn against their updates.

    Parameters
    ----------
    model : Model or path of a checkpoint, or mapping of int -> Model or path
        A mapping is from the number of updates after which each model was saved; of a checkpoint
        the last model is read. Of a single path the best one, as `fastrnn.load` does.
    text : str, bytes (for unit "byte") or Corpus of a text
        Its first 5,000 symbols are read; of a model of records one record.
    label : str or dict of str -> float, optional
        For a model of records with labels.
    ax : sequence of matplotlib.axes.Axes, optional
        As many as the cell has gates.
    path : str or path-like, optional

    Returns
    -------
    list of matplotlib.axes.Axes
        One for each gate: i, f and o of an LSTM, r and z of a GRU, f of the minimal gated unit.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    ValueError
        Cells without gates, models of different cells or depths, symbols that the vocabulary does
        not have, an empty text, or an ending of `path` that is not known.
    TypeError
        Something else than a model.
    OSError
        A file that cannot be read, or written.
    """
    over = isinstance(model, Mapping)  # several, of which the last ones are meant, not the best
    models = ({at: _model(each, False) for at, each in model.items()}
              if isinstance(model, Mapping) else {0: _model(model)})
    if not models or not all(isinstance(at, int | np.integer) for at in models):
        raise ValueError("several models are given by their updates: {100: model, 200: another}")
    found = {at: saturation(models[at], _beginning(models[at], text, MOST_READ)[0], label)
             for at in sorted(models)}
    one = next(iter(found.values()))
    kinds = {(tuple(each), len(next(iter(each.values())))) for each in found.values()}
    if len(kinds) > 1:
        raise ValueError("the models have different cells or numbers of layers: draw them apart")
    places = axes_for(ax, 0.6 + 3.6 * len(one), 3.9, columns=len(one))
    for axes, gate in zip(places, one, strict=True):
        if over:
            draw_over_updates(axes, {at: each[gate] for at, each in found.items()})
        else:
            draw_units(axes, one[gate])
        axes.set_title(f"{GATES[gate]} {gate}", fontsize="medium")
        tidy(axes)
    for axes in places[1:]:
        axes.set_ylabel("")
        if over:
            axes.get_legend().remove()
    write(places[0], path)
    return places


def activations(model: Model | File, text: str | bytes | Corpus,
                units: Iterable[int] | None = None, *, layer: int = -1, value: str = "h",
                label: Any = None, ax: Any = None, path: File | None = None) -> Any:
    """Draw what units do while a model reads a text: up to 4 as curves, more as a heat map.

    Parameters
    ----------
    model : Model or path of a checkpoint
    text : str, bytes (for unit "byte") or Corpus of a text
        Its first 80 symbols (40 words) are read, from the zero state or ``model.state``. Blanks and
        control characters are made visible. Of a model of records one record.
    units : iterable of int, optional
        Numbers of units from 0, drawn in this order. Where not given up to 24, those whose values
        vary most (by their standard deviation) first.
    layer : int
        From 0; -1 is the last one.
    value : str
        What of them: the output "h", of an LSTM also "c", "i", "f", "o" and "g", of a GRU "r", "z"
        and "n", of the minimal gated unit "f" and "n", of the memory cell "m".
    label : str or dict of str -> float, optional
        For a model of records with labels.
    ax : matplotlib.axes.Axes, optional
    path : str or path-like, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        matplotlib is not installed.
    ValueError
        A unit, layer or value that does not exist, symbols that the vocabulary does not have, an
        empty text, a model that reads no text, or an ending of `path` that is not known.
    TypeError
        Something else than a model, or units that are not numbers.
    OSError
        A file that cannot be read, or written.
    """
    model = _model(model)
    words = model.vocabulary is not None and model.vocabulary.unit in ("word", "bpe")
    most = MOST_WORDS if words else MOST_SYMBOLS
    given, length = _beginning(model, text, most)
    found = read_activations(model, given, label)
    values, layer = _values(found.layers, layer, value)  # (T, H)
    chosen, order = _units(units, values)
    values, T = values[:most, chosen], min(len(found.ids), most)
    assert model.vocabulary is not None  # else it could not have been read
    vocabulary = model.vocabulary
    texts = vocabulary.texts if vocabulary.unit == "bpe" else vocabulary.symbols
    symbols = [written(texts[i]) for i in found.ids[:T]]
    curves = len(chosen) <= MOST_CURVES
    (axes,) = axes_for(ax, max(4.5, 1.6 + T * (0.25 if words else 0.14)),
                       3.5 if curves else 1.5 + 0.2 * len(chosen))
    name = f"{VALUES.get(value, value)} of layer {layer}"
    if curves:
        draw_curves(axes, chosen, values, name)
    else:
        draw_map(axes, chosen, values, name, order)
    axes.set_xticks(range(T), symbols, parse_math=False, fontsize=8,
                    **({"rotation": 90} if words else {"family": "monospace"}))
    axes.tick_params(axis="x", length=0)
    part = f" (the first {T} of {length:,} {model.vocabulary.symbol_name}s)" if length > T else ""
    axes.set(xlabel=f"{model.vocabulary.symbol_name} that is read{part}", xlim=(-0.5, T - 0.5))
    write(axes, path)
    return axes


def forecast(series: ArrayLike, forecasts: ArrayLike | Mapping[str, ArrayLike],
             intervals: Any = None, *, start: int | None = None, times: ArrayLike | None = None,
             level: float | None = None, name: str = "series", unit: str = "value",
             step: str = "step", ax: Any = None, path: File | None = None) -> Any:
    """Draw a series, forecasts of how it goes on, and their intervals.

    Parameters
    ----------
    series : array_like of float, shape (T,) or (T, 1)
        What is known, and where a forecast began earlier also what came. NaN is a gap.
    forecasts : array_like of float, shape (h,) or (h, 1), or mapping of str -> such arrays
        The first value is of the step `start`. Several by their names, which the legend shows.
    intervals : pair of array_like of float, each (h,), or mapping of str -> such pairs, optional
        The lower and the upper ends, drawn as bands.
    start : int, optional
        The step of the first forecast value, T where not given.
    times : array_like, shape (n,), optional
        The time of each step from 0, dates (datetime64) or numbers, at least to the last step that
        is drawn. Numbers from 0 where not given.
    level : float, optional
        The fraction of values that intervals shall hold, for the legend.
    name, unit, step : str
        Of the series in the legend; of its values and of a step on the axes, such as "load in MW"
        and "hour".
    ax : matplotlib.axes.Axes, optional
    path : str or path-like, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        matplotlib is not installed.
    ValueError
        Arrays of other shapes, intervals of a forecast that is not there, too few times, or an
        ending of `path` that is not known.
    """
    known = column("series", series)
    found = {str(key): column("forecasts", each) for key, each in
             (forecasts.items() if isinstance(forecasts, Mapping) else [("forecast", forecasts)])}
    begin = len(known) if start is None else start
    if not found or not 0 <= begin <= len(known):
        raise ValueError(f"give at least one forecast, and start must be from 0 to {len(known)}")
    bands = bands_of(intervals, found)
    last = max(len(known), *(begin + len(each) for each in found.values()), 0)
    along = np.arange(last) if times is None else np.asarray(times)
    if along.ndim != 1 or len(along) < last:
        raise ValueError(f"times must have at least {last} entries, one for each step to the end "
                         f"of the forecasts, not the shape {along.shape}")
    (axes,) = axes_for(ax, 8, 4)
    draw_forecast(axes, along, known, found, bands, begin,
                  "interval" if level is None else f"{level:.0%} interval", as_name(name))
    axes.set(xlabel=step, ylabel=unit)
    write(axes, path)
    return axes


def _named(runs: Any) -> dict[str, Any]:
    """Runs by their names."""
    if isinstance(runs, Mapping):
        return {str(name): run for name, run in runs.items()}
    if isinstance(runs, str | os.PathLike | History) or hasattr(runs, "history"):
        runs = [runs]
    if not isinstance(runs, Iterable):
        raise _no_run(runs)
    listed = list(runs)
    names = [Path(run).stem if isinstance(run, str | os.PathLike) else f"run {number}"
             for number, run in enumerate(listed, 1)]
    if len(set(names)) < len(names):
        names = [f"{number}: {name}" for number, name in enumerate(names, 1)]
    return dict(zip(names, listed, strict=True))


def _history(run: Any) -> History:
    """The history of a run: a History, what has one, or a file."""
    if isinstance(run, str | os.PathLike):
        run = read(run)[0]
    found = getattr(run, "history", run)
    if not isinstance(found, History):
        raise _no_run(run)
    return found


def _no_run(given: Any) -> TypeError:
    return TypeError("loss draws a Model, a History, the path of a checkpoint, or several of them, "
                     f"not {type(given).__name__}")


def _model(given: Any, best: bool | None = None) -> Model:
    """A model, or the one of a file, as `fastrnn.load` chooses it."""
    if isinstance(given, str | os.PathLike):
        return load(given, best=best)
    if not isinstance(given, Model):
        raise TypeError(f"give a Model or the path of a checkpoint, not {type(given).__name__}")
    return given


def _beginning(model: Model, text: Any, most: int) -> tuple[Any, int]:
    """The first symbols of a text, at most so many, and how many there are; a record as it is."""
    vocabulary = model.vocabulary
    if vocabulary is None or vocabulary.stop is not None:
        return text, 0
    ids = ids_of_text(model, vocabulary, text)
    return Corpus(ids[:most], vocabulary), len(ids)


def _values(layers: list[dict[str, Any]], layer: int,
            value: str) -> tuple[NDArray[np.float64], int]:
    """The values (T, H) of a layer, and its number from 0."""
    if not -len(layers) <= layer < len(layers):
        raise ValueError(f"layer {layer} does not exist: the model has the layers 0 to "
                         f"{len(layers) - 1}")
    layer %= len(layers)
    if value not in layers[layer]:
        raise ValueError(f"value must be one of {', '.join(layers[layer])}, not {value!r}")
    return layers[layer][value], layer


def _units(units: Iterable[int] | None, values: NDArray[np.float64]) -> tuple[list[int], str]:
    """The numbers of the units that are drawn, and a note on their order."""
    H = values.shape[1]
    if units is None:
        found = np.argsort(-values.std(axis=0), kind="stable")[:MOST_UNITS]
        return found.tolist(), " (the most varying at the top)"
    chosen = np.asarray(list(units))
    if not chosen.size or chosen.ndim != 1 or chosen.dtype.kind not in "iu":
        raise TypeError("units must be a list of numbers of units, such as [0, 3]")
    for unit in chosen[(chosen < 0) | (chosen >= H)]:
        raise ValueError(f"unit {unit} does not exist: the layer has the units 0 to {H - 1}")
    return chosen.tolist(), ""
