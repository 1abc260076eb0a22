"""The parts of a report that say what was trained, how, and how to make it again."""

import math
import os
import platform
import re
import shlex
from functools import partial
from typing import Any

import numpy as np

from .. import svg
from ..cells import CELLS
from ..checks.gradcheck import Report
from ..data import datasets
from ..insight.figures import Figures
from ..kernels.build import build_info
from ..model.history import MEASURES, averaged, in_words, training_in_words
from ..presets import OWNERS
from ..settings import ReservoirSettings, TrainSettings, declared
from .blocks import Block, Chart, Command, Sample, Samples, Table, Text

MOST_SAMPLES, MOST_SYMBOLS = 12, 700  # samples of the training shown, and symbols of each
MOST_EPOCHS = 40  # whose ends are marked in a chart
RANGE = 20  # of the largest loss to the smallest one, from which on an axis is logarithmic


class Missing(Exception):
    """Why a part is left out, and what to do about it."""


def plural(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def loss_in_words(figures: Figures, loss: float) -> str:
    if figures.model.sizes.loss == "mean_squared_error":
        return f"{loss:.4g} (mean squared error)"
    return in_words(loss, MEASURES[figures.model.sizes.loss], figures.unit)


def in_short(figures: Figures) -> list[Block]:
    """The model, its data, and its losses, in a table."""
    model, run, history = figures.model, figures.model.run, figures.model.history
    config = model.config
    cell = re.sub("^(the|an?) ", "", CELLS[config["cell"]].summary)
    layers = f"{config['num_layers']} layers of " if config["num_layers"] > 1 else ""
    rows = [("model", f"{cell}, {layers}{config['hidden_size']} hidden units: "
             f"{model.block.size:,} parameters, {config['dtype']}")]
    if figures.split is not None:
        rows.append(("data", figures.split.whole.describe()))
    elif run is not None:
        rows.append(("data", run["text"]["name"]))
    if figures.held is not None:
        rows.append(("validation data", f"{figures.held.predictions:,} {figures.unit}s to predict"))
    if len(history):
        epochs = len(history) / (history.updates_per_epoch or math.inf)
        passes = f", {epochs:.3g} epoch{'s' * (epochs != 1)}" if epochs else ""
        last = min(len(history), int(averaged(len(history))))
        rows += [("training", plural(len(history), "update") + passes),
                 ("training loss", f"{_training_loss(figures)}, mean of the last {last} updates")]
    if history.valid_loss.size:
        lowest, at = history.lowest_validation()
        rows.append(("lowest validation loss",
                     f"{loss_in_words(figures, lowest)}, after {plural(at, 'update')}"))
    rows.append(("this is", _which(figures)))
    return [Table(rows)]


def _training_loss(figures: Figures) -> str:
    history, loss = figures.model.history, figures.model.config["loss"]
    if loss == "binary_cross_entropy":
        return training_in_words(history, loss, figures.unit)
    return loss_in_words(figures, history.recent_loss())


def _which(figures: Figures) -> str:
    """Which state of the run the model is."""
    model, run = figures.model, figures.model.run
    if run is None:
        return "the model as it is, without a training run that is known"
    at, best, last = run["at"], run["counters"]["best_update"], run["counters"]["update"]
    what = "validation" if model.history.valid_loss.size else "smoothed"
    return f"the model after {at:,} of {last:,} updates" + (
        f", that of the lowest {what} loss" if at == best else ", the last one")


def settings(figures: Figures) -> list[Block]:
    """All settings with what they are in words, and where they come from."""
    run = figures.model.run
    config = {**figures.model.config, **(run["config"] if run else {})}
    others = [name for name, owners in OWNERS.items() if config.get("optimizer") not in owners]
    others += declared(ReservoirSettings) if config["cell"] != "esn" else ()
    others += ("reset_after",) if config["cell"] != "gru" else ()
    others += ("labels", "balance") if not figures.of_records else ()
    others += ("long_rows",) if figures.of_text else ()
    others += ("order",) if figures.of_records else ()
    others += ("scale",) if figures.vocabulary else ()
    rows = []
    for name, one in declared(TrainSettings).items():
        if name in config and name not in others:
            shown = "none" if config[name] is None else _shown(config[name])
            source = _source(name, config[name], one.setting.default, run)
            if name == "seq_length" and source != "given" and not figures.of_text:
                source = "the data"
            rows.append((name, shown[:200], source))
    blocks: list[Block] = [Table(rows, ("setting", "value", "where it comes from"))]
    origin = run and run["origin"]
    if origin:
        blocks.append(Text(f"The settings: {origin['note']}.", note=True))
    elif run:
        blocks.append(Text("The file does not say which of them were given: it was made by an "
                           "earlier version, or by a Trainer of your own.", note=True))
    return blocks


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _source(name: str, value: Any, default: Any, run: dict[str, Any] | None) -> str:
    """Where the value of a setting comes from, as far as the file knows."""
    origin = run and run["origin"]
    if origin and name in origin["given"]:
        return "given"
    if origin and name in origin["chosen"]:
        return f"preset {origin['preset']}" if origin["preset"] else "chosen for the data"
    if name == "labels" and value:
        return "the data"
    return "default" if origin or value == default else "given or chosen"


def repeat(figures: Figures, model: str | None, flags: list[str]) -> list[Block]:
    """The command that makes the run again. `model` is its file, `flags` name the data."""
    if figures.obstacle:
        raise Missing(f"The run cannot be made again: {figures.obstacle}.")
    run, count = figures.model.run, len(figures.model.history)
    assert run is not None
    if figures.vocabulary is None:
        command = f"fastrnn.train(data, repeat={model or 'MODEL'!r})"
        return [Command(command), Text(f"makes these {plural(count, 'update')} again, where data "
                                       "are the same sequences.", note=True)]
    name = run["text"]["name"]
    kind = ["--dataset"] if name in datasets.names() else [] if figures.of_text else (
        ["--table"] if figures.model.config["labels"] else ["--records"])
    data = flags or [*kind, name]
    again = shlex.join(["fastrnn", "train", *data, "--repeat", model or "MODEL"])
    toml = shlex.join(["fastrnn", "info", model or "MODEL", "--toml"]) + " > run.toml"
    isa = f" on a processor with {run['isa']}" if run["isa"] else ""
    return [Command(again), Text(
        f"makes these {plural(count, 'update')} again, to the last bit{isa}."
        + ("" if flags or "--dataset" in kind else " Name the data as for the training.")),
        Command(toml), Text("writes the settings as a file for fastrnn train --config.")]


def gradient(figures: Figures) -> list[Block]:
    """The verdict of the gradient check, and the worst entry of each tensor."""
    blocks: list[Block] = []
    for weights, report in figures.gradient:
        if blocks:
            blocks.append(Text("With trained weights that is often so: units saturate, and their "
                               "gradients are nearly 0. The initial weights show whether the code "
                               "is right:"))
        blocks += _of_report(figures, weights, report)
    return blocks


def _of_report(figures: Figures, weights: str, report: Report) -> list[Block]:
    config = figures.model.config
    checked = len(report.entries())
    verdict = report.verdict[0].upper() + report.verdict[1:]
    rows = [(name, w.size, w.checked, sum(e.analytic != 0 for e in report.found[name]),
             f"{w.error:.1e}",
             *((f"{report.float32.errors[name]:.1e}",) if report.float32 else ()))
            for name, w in report.worst.items()]
    head = ("tensor", "entries", "checked", "of them not 0", "largest relative error",
            *(("float32 beside float64",) if report.float32 else ()))
    what = (f"The gradients of this model ({config['cell']}, {config['hidden_size']} units, "
            f"{config['num_layers']} layer{'s' * (config['num_layers'] != 1)}) with its {weights} "
            "weights, by back-propagation through 5 time steps of a batch of 3, beside central "
            f"differences with the step {report.step:g}, both in float64: {checked} entries, "
            "chosen at random.")
    return [Text(f"{verdict}."), Table(rows, head), Text(
        f"{what} The relative error is |a - n| / (|a| + |n|) of the analytic gradient a and the "
        "numerical one n."
        + (" The last column: how far the gradients in float32, in which the model is trained, "
           "are from those in float64, as a fraction of their norm." if report.float32 else ""),
        note=True)]


def loss(figures: Figures) -> list[Block]:
    """Losses against updates."""
    history, unit = figures.model.history, figures.unit
    if not len(history):
        raise Missing("The model has no history of losses: it was not trained, or by a loop of "
                      "your own.")
    updates = np.arange(1, len(history) + 1)
    per = history.seq_length or 1
    lines = [svg.Line("each update", updates, history.loss / per, pale=True),
             svg.Line("training, mean of the last 1 % of the updates (at least 30)", updates,
                      history.train_loss)]
    if history.valid_loss.size:
        lines.append(svg.Line("validation", history.valid_updates, history.valid_loss,
                              marked=history.valid_loss.size <= 60))
    what = f"nats per {unit}" if history.measure[0] == "nats" else "mean squared error"
    finite = history.loss[np.isfinite(history.loss)] / per
    log = bool(finite.size and 0 < RANGE * finite.min() < finite.max())
    chart = partial(
        svg.line_chart, lines, "update", f"loss ({what}{', logarithmic axis' * log})", log=log,
        title="Loss against updates", ticks=_sample_ticks(figures), verticals=_epochs(figures))
    blocks: list[Block] = [Chart(chart, _caption(figures))]
    if history.accuracy.size:
        epoch = history.updates_per_epoch or len(history) / len(history.accuracy)
        at = epoch * np.arange(1, len(history.accuracy) + 1)
        line = svg.Line("", at, 100 * history.accuracy, marked=len(at) <= 60)
        blocks.append(Chart(partial(
            svg.line_chart, [line], "update", f"accuracy (% of the {unit}s)", height=260,
            title="Accuracy on the training data"),
            f"The {unit}s of the training data that are predicted right, that is, to which the "
            f"model gives the highest probability; after each epoch, {history.accuracy[-1]:.1%} at "
            "the end."))
    return blocks


def _epochs(figures: Figures) -> list[float]:
    """The ends of epochs, or of some of them."""
    each, updates = figures.model.history.updates_per_epoch, len(figures.model.history)
    if not each:
        return []
    step = each * max(1, math.ceil(updates / each / MOST_EPOCHS))
    return [float(at) for at in range(step, updates + 1, step)]


def _sample_ticks(figures: Figures) -> list[tuple[float, str]]:
    return [(at, f"sample after {at:,} updates") for at, _ in figures.model.history.samples]


def _caption(figures: Figures) -> str:
    history = figures.model.history
    marks = []
    if ends := _epochs(figures):
        every = round(ends[0] / (history.updates_per_epoch or 1))
        marks.append("upright lines: the end of " + (
            "each epoch" if every == 1 else f"every {every} epochs"))
    if history.samples:
        marks.append("short lines below: samples")
    if figures.model.config["loss"] == "binary_cross_entropy" and history.valid_loss.size:
        marks.append("training minimizes the binary cross-entropy, which is larger than the "
                     "cross-entropy of the validation")
    said = "; ".join(marks)
    return said[:1].upper() + said[1:] + "." * bool(marks)


def smoothed(figures: Figures) -> list[Block] | None:
    """The smoothed loss of a window, as courses draw it."""
    history = figures.model.history
    if not history.one_stream or not len(history):
        return None
    window = f"{history.seq_length:g} {figures.unit}s"
    lowest = int(history.smooth_loss.argmin())
    line = svg.Line("", np.arange(1, len(history) + 1), history.smooth_loss)
    chart = partial(
        svg.line_chart, [line], "update", f"smoothed loss (nats per {window})",
        title="Smoothed loss against updates", ticks=_sample_ticks(figures),
        verticals=_epochs(figures))
    return [Chart(chart, _caption(figures)), Text(
        f"The smoothed loss s = 0.999 s + 0.001 (loss of a window of {window}) is "
        f"{history.smooth_loss[0]:.2f} nats at the first update, {history.smooth_loss[-1]:.2f} at "
        f"the last, and lowest at update {lowest + 1:,}: {history.smooth_loss[lowest]:.2f}.")]


def evolution(figures: Figures) -> list[Block] | None:
    """The samples of the training, at most `MOST_SAMPLES`, side by side."""
    history = figures.model.history
    if figures.vocabulary is None:
        return None
    if not history.samples:
        raise Missing("No samples were generated during the training: train with --sample-every "
                      "or --samples-at.")
    count = len(history.samples)
    chosen = np.unique(np.linspace(0, count - 1, min(count, MOST_SAMPLES)).round().astype(int))
    losses = history.train_loss if len(history) else None
    shown = []
    for at, text in (history.samples[i] for i in chosen):
        title = f"after {plural(at, 'update')}"
        if losses is not None and 0 < at <= len(losses):
            title += f", training loss {losses[at - 1]:.2f}"
        shown.append(Sample(title, _cut(text)))
    blocks: list[Block] = [Samples(shown)]
    if count > len(chosen):
        blocks.append(Text(f"{len(chosen)} of {count:,} samples; fastrnn info MODEL --samples "
                           "prints all.", note=True))
    return blocks


def _cut(text: str) -> str:
    return text if len(text) <= MOST_SYMBOLS else f"{text[:MOST_SYMBOLS]} ..."


def speed(figures: Figures) -> list[Block]:
    """How fast a copy of the model trains on this machine, and what the run took."""
    run, count = figures.model.run, len(figures.model.history)
    rows = []
    if run and run.get("seconds"):
        rows.append(("the run", f"{count:,} updates in {run['seconds']:.1f} seconds, validation "
                     f"and samples included: {count / run['seconds']:,.1f} updates a second"))
    if figures.speed:
        pace, symbols = figures.speed
        rows.append(("measured for this report", f"{pace:,.1f} updates and {symbols:,.0f} "
                     f"{figures.unit}s a second"))
    if not rows:
        raise Missing("The file does not say how long the run took, and without its data the speed "
                      "cannot be measured.")
    return [Table(rows)]


def machine() -> list[Block]:
    """Where the report was made."""
    info = build_info()
    names = {"version": "fastrnn", "python": "Python", "numpy": "NumPy", "scipy": "SciPy",
             "isa": "instruction set in use", "compiler": "compiler"}
    rows = [(shown, str(info[name])) for name, shown in names.items()]
    rows.append(("BLAS", ", ".join(info["blas"])))
    rows.append(("processor", f"{_processor()}, {plural(os.cpu_count() or 1, 'core')}"))
    rows.append(("system", f"{platform.system()} {platform.release()} ({platform.machine()})"))
    return [Table(rows), Text("The machine on which this report was made.", note=True)]


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            found = re.search(r"^model name\s*: (.*)$", file.read(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()
