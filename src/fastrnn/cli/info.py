"""Show what a checkpoint contains; without MODEL what fastrnn runs on."""

import argparse
import math
import os
import sys
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files.store import existing
from ..kernels.build import build_info
from ..model.history import History, accuracy_in_words, in_words, training_in_words
from ..model.model import Model
from ..presets import PLAN
from ..screen import show
from ..settings import TrainSettings, declared
from ..training.checkpoint import read
from .config import write_config

COLUMNS = 40  # of a curve
DEFAULTS = "settings, by default"
WIDTH = 26  # of names
BLOCKS, PLAIN = "▁▂▃▄▅▆▇█", "_.-:=+*#"  # from the lowest loss to the highest; where these cannot be


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", nargs="?", help="a checkpoint")
    parser.add_argument("--toml", action="store_true",
                        help="print its settings as a file for `fastrnn train --config`")
    parser.add_argument("--samples", action="store_true",
                        help="print the samples of its training, each with its update")


def run(model: str | None, toml: bool, samples: bool) -> int:
    if model is None:
        for what, given in (("toml prints the settings", toml), ("samples prints those", samples)):
            if given:
                raise ValueError(f"--{what} of a checkpoint: give MODEL")
        show(_table(build_info()))
        return 0
    network, _, stored = read(model)
    if toml:
        show(write_config(_settings(network, stored)), end="")
    elif samples:
        for update, text in network.history.samples:
            show(f"---- update {update} ----\n{text}\n")
        if not network.history.samples:
            show(f"{model} holds no samples: train with --sample-every or --samples-at",
                 error=True)
    else:
        sections = _model(network, model) | _training(network, stored) | _settings_by_origin(
            network, stored)
        show("\n\n".join(f"---- {title} ----\n{_table(about)}" for title, about in
                         sections.items() if about))
    return 0


def _table(about: dict[str, Any]) -> str:
    return "\n".join(f"{name:{WIDTH}} {value}" for name, value in about.items())


def _model(network: Model, path: str) -> dict[str, dict[str, Any]]:
    """What is in the file, with the shape of each tensor and how many parameters it has."""
    vocabulary = network.vocabulary
    about: dict[str, Any] = {"file": path, "bytes": f"{os.path.getsize(existing(path)):,}"}
    about |= ({"symbols": f"{len(vocabulary):,}", "unit": vocabulary.unit} if vocabulary
              else {"sizes": network.sizes})
    about["parameters"] = f"{network.block.size:,}"
    for name, p in network.params.items():
        about[name] = "x".join(map(str, p.shape)) + (f" = {p.size:,}" if p.ndim > 1 else "")
    return {"model": about}


def _training(network: Model, stored: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the model was trained on, how far, and its losses."""
    run, about = stored.get("trainer"), dict[str, Any]()
    if run:
        counters = run["counters"]
        about["text"] = run["text"]["name"]
        if run["valid"] is not None:
            about["validation data"] = run["valid"]["name"]
        about |= {"updates": counters["update"], "epochs completed": counters["epoch"],
                  "position": counters["position"]}
        unit = network.vocabulary.symbol_name if network.vocabulary else "step"
        about |= _losses(network, unit, counters["best_update"])
        if run.get("origin"):
            about["settings"] = run["origin"]["note"]
    return {"training": about}


def _settings_by_origin(network: Model, stored: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """All settings, apart those that were given and chosen, where the file says which."""
    run = stored.get("trainer", {})
    values = network.config | run.get("config", {}) | {"seed": network.config["seed"]}
    if run:
        values |= {f"{plan} planned": values.pop(plan) for plan in PLAN}
    origin = run.get("origin")
    if origin is None:
        return {"settings": values}
    by = f"by preset {origin['preset']}" if origin["preset"] else "chosen"
    titles = {"given": "settings, given", "chosen": f"settings, {by}"}
    found: dict[str, dict[str, Any]] = {title: {} for title in (*titles.values(), DEFAULTS)}
    for name, value in values.items():
        kinds = [kind for kind in titles if name.removesuffix(" planned") in origin[kind]]
        found[titles[kinds[0]] if kinds else DEFAULTS][name] = value
    return found


def _losses(network: Model, unit: str, best_update: int) -> dict[str, Any]:
    about, history = dict[str, Any](), network.history
    if len(history):
        about |= _curves(history, unit)
        about["training loss"] = training_in_words(history, network.config["loss"], unit)
    if history.valid_loss.size:
        lowest, at = history.lowest_validation()
        about |= {"lowest validation loss": in_words(lowest, history.measure, unit),
                  "at update": at}
    elif best_update:
        about["best model"] = f"after {best_update} updates (lowest smoothed loss)"
    if history.accuracy.size:
        about["accuracy at the end"] = accuracy_in_words(history, unit)
    if history.one_stream and len(history):
        about["smoothed loss"] = (f"{history.smooth_loss[-1]:.2f} nats per window of "
                                  f"{history.seq_length:g} {unit}s")
    if history.samples:
        about["samples"] = (f"{history.count_samples()}, the last after {history.samples[-1][0]:,} "
                            "updates; --samples prints them")
    return about


def _curves(history: History, unit: str) -> dict[str, str]:
    """The losses of training and validation over the updates, as characters on one scale: from the
    lowest of both to the highest."""
    measure = f"nats per {unit}" if history.measure[0] == "nats" else history.measure[0]
    updates = np.arange(1, len(history) + 1)
    curves = {"training": (history.train_loss, updates),
              "validation": (history.valid_loss, history.valid_updates)}
    means = {name: _columns(losses, at, len(history)) for name, (losses, at) in curves.items()}
    about = {}
    for name, (losses, _) in curves.items():
        if losses.size:
            about[f"{name} curve"] = (
                f"{sparkline(means[name], [*chain(*means.values())])}\n{'':{WIDTH}} "
                f"first {losses[0]:.3f}, lowest {np.fmin.reduce(losses):.3f}, "
                f"last {losses[-1]:.3f} {measure}")
    return about


def _columns(losses: NDArray[np.float64], at: NDArray[np.int64],
             updates: int) -> list[float | None]:
    """The mean of the losses at the updates of each column; None for one without a loss."""
    count = min(COLUMNS, updates)
    column = np.clip((at - 1) * count // updates, 0, count - 1)
    return [float(losses[column == c].mean()) if (column == c).any() else None
            for c in range(count)]


def sparkline(values: Sequence[float | None], scale: Sequence[float | None]) -> str:
    """A character for each value, a higher one for a higher value, from the lowest value of `scale`
    to its highest: a blank for None, and "?" for one that is not finite."""
    blocks = BLOCKS
    try:
        blocks.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        blocks = PLAIN
    finite = [value for value in scale if value is not None and math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)

    def shown(value: float | None) -> str:
        if value is None or not math.isfinite(value):
            return " " if value is None else "?"
        part = (value - low) / (high - low) if high > low else 0.0
        return blocks[min(int(part * len(blocks)), len(blocks) - 1)]

    return "".join(map(shown, values)).rstrip()


def _settings(network: Model, stored: dict[str, Any]) -> dict[str, Any]:
    """The settings that make `fastrnn train` do the same again on the same text."""
    vocabulary = network.vocabulary
    config = network.config | stored.get("trainer", {}).get("config", {})
    if vocabulary is not None and vocabulary.stop is not None:  # records say it
        config.pop("seq_length", None)
    settings: dict[str, Any] = {}
    if vocabulary is not None:
        settings["unit"] = vocabulary.unit
        if vocabulary.unit == "word":
            settings |= {"split": vocabulary.split, "lower": vocabulary.lower}
        if vocabulary.unit == "bpe":  # without a merge there are the 256 bytes
            settings["vocabulary_size"] = max(257, len(vocabulary))
    for name, one in declared(TrainSettings).items():
        if name in config and (config[name] is not None or one.setting.default is not None):
            settings[name] = config[name]
    return settings
