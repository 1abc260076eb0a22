"""Show what a checkpoint contains; without MODEL what fastrnn runs on."""

import argparse
from typing import Any

from ..kernels.build import build_info
from ..model.history import History, accuracy_in_words, in_words
from ..model.model import Model
from ..presets import PLAN
from ..screen import show
from ..settings import TrainSettings, declared
from ..training.checkpoint import read
from .config import write_config


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
        _print(build_info())
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
        _print({"file": model} | _about(network, stored))
    return 0


def _print(about: dict[str, Any]) -> None:
    for name, value in about.items():
        show(f"{name:22} {value}")


def _about(network: Model, stored: dict[str, Any]) -> dict[str, Any]:
    vocabulary, run = network.vocabulary, stored.get("trainer", {})
    about: dict[str, Any] = ({"symbols": len(vocabulary), "unit": vocabulary.unit} if vocabulary
                             else {"sizes": network.sizes})
    about["parameters"] = network.block.size
    about |= network.config | run.get("config", {})
    about["seed"] = network.config["seed"]
    if run:
        counters = run["counters"]
        about |= {f"{plan} planned": about.pop(plan) for plan in PLAN}
        if run["valid"] is not None:
            about["validation data"] = run["valid"]["name"]
        about |= {"text": run["text"]["name"], "updates": counters["update"],
                  "epochs completed": counters["epoch"], "position": counters["position"]}
        about |= _losses(network.history, vocabulary.unit if vocabulary else "step",
                         counters["best_update"])
    return about | {name: "x".join(map(str, p.shape)) for name, p in network.params.items()}


def _losses(history: History, unit: str, best_update: int) -> dict[str, Any]:
    about: dict[str, Any] = {}
    if len(history):
        about["training loss"] = in_words(history.recent_loss(), history.measure, unit)
    if history.valid_loss.size:
        best = history.valid_loss.argmin()
        about |= {"lowest validation loss": in_words(history.valid_loss[best], history.measure,
                                                     unit),
                  "at update": history.valid_updates[best]}
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


def _settings(network: Model, stored: dict[str, Any]) -> dict[str, Any]:
    """The settings that make `fastrnn train` do the same again on the same text."""
    vocabulary = network.vocabulary
    config = network.config | stored.get("trainer", {}).get("config", {})
    if vocabulary is None or vocabulary.stop is not None:  # records and sequences say it
        config.pop("seq_length", None)
    settings: dict[str, Any] = {}
    if vocabulary is not None:
        settings["unit"] = vocabulary.unit
        if vocabulary.unit == "word":
            settings |= {"split": vocabulary.split, "lower": vocabulary.lower}
    for name, one in declared(TrainSettings).items():
        if name in config and (config[name] is not None or one.setting.default is not None):
            settings[name] = config[name]
    return settings
