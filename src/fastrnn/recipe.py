"""Settings chosen for a source, a time and a machine: what `fastrnn.train` takes where neither a
keyword nor a preset says it.

The numbers were chosen by runs on texts of 10 kB to 1 MB and on 3,000 names, at most a minute each
(bench/NOTES.md has them).
"""

import contextlib
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .data.source import Source
from .model.model import Model
from .presets import PLAN
from .settings import ModelSettings, TrainerSettings, given_to
from .training.trainer import Trainer

MINUTES = 1.0  # where nothing says how long
WARMUP = 20  # updates
PROBE = 0.2  # seconds in which the speed of one hidden size is measured
SIZES = (64, 96, 128, 192, 256, 320, 384, 512, 640, 768, 1024)  # hidden sizes to choose from
# of Adam, at most; other cells take that of the scale
LEARNING_RATES = {"rnn": 1e-3, "relu": 1e-3, "memory": 2e-3, "mgu": 5e-3}
LEAST_VALID = 500  # predictions; a source that leaves fewer is not divided
# the settings that are chosen
CHOSEN = frozenset((
    "cell", "hidden_size", "embedding_size", "dropout", "seq_length", "batch_size", "optimizer",
    "learning_rate", "schedule", "warmup", "clip_value", "clip_norm", "valid_fraction", *PLAN))
WORDS = 300  # distinct symbols from which on an embedding pays


@dataclass(frozen=True)
class Scale:
    """What suits sources of at least so many predictions in all."""

    predictions: int
    passes: float  # the fewest in the time for which a larger network is chosen
    most_passes: int  # a longer run would only over-fit
    largest: int  # hidden size
    batch_size: int
    dropout: float
    learning_rate: float = 5e-3
    seq_length: int = 64


# the first whose number of predictions the source has
TEXT = (
    Scale(600_000, 2.4, 20, 1024, 16, 0.0, 1e-2),
    Scale(250_000, 3, 12, 640, 16, 0.1, 1e-2),
    Scale(60_000, 8, 8, 384, 4, 0.5),
    Scale(0, 6, 6, 384, 2, 0.6, seq_length=32),
)
RECORDS = (
    Scale(600_000, 3, 12, 512, 64, 0.1),
    Scale(100_000, 5, 16, 384, 32, 0.4),
    Scale(0, 9, 11, 256, 16, 0.6),
)
SEQUENCES = (Scale(0, 10, 400, 128, 64, 0.0),)
SERIES = (Scale(0, 10, 400, 128, 16, 0.0),)  # that are read in windows
# sequences, fewer than these and of at least so many steps, are read in windows: whole they would
# make few updates, each through more steps than a gradient reaches
FEW, LONG = 16, 512


def choose(source: Source, given: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Keywords of `fastrnn.train` for a source, the given ones among them, and a sentence that says
    what was chosen and why."""
    source = _in_windows(source, given)
    scale = _scale(source)
    settings: dict[str, Any] = {
        "cell": "lstm", "batch_size": scale.batch_size,
        "valid_fraction": _valid_fraction(source) if given.get("valid") is None else 0.0}
    if source.sizes.input_symbols > WORDS:
        settings["embedding_size"] = 128
    settings |= {"optimizer": "adam", "schedule": "cosine", "clip_norm": 1.0,
                 "clip_value": None, "dropout": scale.dropout} | dict(given)
    if "learning_rate" not in given and settings["optimizer"] == "adam":
        settings["learning_rate"] = min(
            scale.learning_rate, LEARNING_RATES.get(settings["cell"], 1.0))
    if given.get("clip_value") is not None and "clip_norm" not in given:
        del settings["clip_norm"]
    if given.get("learning_rate_decay", 1.0) < 1 and "schedule" not in given:
        del settings["schedule"]
    if settings["cell"] == "esn":
        settings["dropout"] = given.get("dropout", 0.0)
        settings.pop("embedding_size", None)
    if source.steps is None:
        settings |= _windows(source, settings, given, scale)
    elif source.rows is not None and "batch_size" not in given:
        left = int(source.rows * (1 - settings["valid_fraction"]))
        settings["batch_size"] = max(1, min(settings["batch_size"], left // 4))
    return _sized(source, settings, given, scale)


def _in_windows(source: Source, given: Mapping[str, Any]) -> Source:
    """The source as it is read with the given seq_length, or with one that is chosen for few long
    sequences of which most steps have a target."""
    T, rows, steps = given.get("seq_length"), source.rows or 0, source.steps or 0
    if T is None and (source.vocabulary is None and rows < FEW and steps >= LONG
                      and 2 * source.predictions >= rows * steps):
        with contextlib.suppress(ValueError):  # of a source that is always read whole
            return source.in_windows(LONG // 8)
    return source.in_windows(T)


def _scale(source: Source) -> Scale:
    whole, other = (RECORDS, TEXT) if source.vocabulary else (SEQUENCES, SERIES)
    scales = other if source.steps is None else whole
    return next(scale for scale in scales if source.predictions >= scale.predictions)


def _valid_fraction(source: Source) -> float:
    fraction = 0.1 if source.predictions < 2_000_000 else 0.05
    enough = fraction * source.predictions >= LEAST_VALID and fraction * (source.rows or 10) >= 1
    return fraction if enough else 0.0


def _windows(source: Source, settings: Mapping[str, Any],
             given: Mapping[str, Any], scale: Scale) -> dict[str, Any]:
    """seq_length and batch_size that a text or a series is long enough for, with some windows to
    each epoch."""
    length = source.predictions * (1 - settings["valid_fraction"])
    T = given.get("seq_length", max(1, min(scale.seq_length, int(length / 20))))
    N = given.get("batch_size", max(1, min(settings["batch_size"], int(length / (8 * (T + 2))))))
    return {"seq_length": T, "batch_size": N}


def _sized(source: Source, settings: dict[str, Any], given: Mapping[str, Any],
           scale: Scale) -> tuple[dict[str, Any], str]:
    """Choose the hidden size by measuring, and the length of the run."""
    seconds = 60 * (given.get("minutes") or MINUTES)
    size = given.get("hidden_size")
    candidates = [size] if size else [s for s in SIZES if s <= scale.largest]
    passes = 0.0
    for candidate in candidates:
        pace, whole_updates = _speed(source, settings | {"hidden_size": candidate})
        updates = whole_updates * (1 - settings["valid_fraction"])  # in an epoch
        possible = seconds * pace / updates
        if given.get("minutes") and seconds * pace < 1 and candidate == candidates[0]:
            raise ValueError(f"minutes={given['minutes']:g} is too short for one update, which "
                             f"takes {1 / pace:.2g} seconds: give more minutes, or a smaller model")
        if settings.get("hidden_size") and not size and possible < scale.passes:
            break
        settings["hidden_size"], passes = candidate, possible
    if not any(given.get(name) for name in PLAN):
        if passes > scale.most_passes:
            settings["epochs"] = scale.most_passes
        else:
            settings["minutes"] = MINUTES
    planned = (given.get("updates") or updates * (settings.get("epochs") or passes))
    settings.setdefault("warmup", min(WARMUP, int(planned) // 10))
    if size:
        why = f"{size} units as given"
    else:
        largest = settings["hidden_size"] == candidates[-1]
        limit = ("the most that is tried for so much data" if largest else
                 f"the largest that makes {scale.passes:g} passes in {seconds:.0f} seconds")
        why = f"{settings['hidden_size']} units, {limit}"
    why = (f"chosen for {source.predictions:,} {source.unit}s: {why} (measured: {passes:.1f} "
           f"passes in {seconds:.0f} seconds)")
    return settings, why


def _speed(source: Source, settings: dict[str, Any]) -> tuple[float, int]:
    """Updates in a second of training, and in an epoch of all data."""
    labels = {"labels": list(source.labels) or None} | given_to(ModelSettings, settings)
    plan = dict.fromkeys(PLAN) | {"updates": 10**6, "schedule": "constant", "warmup": 0}
    quiet = {"progress": False, "checkpoint": None, "callback": None, "on_event": None,
             "log": None, "tensorboard": None, "accuracy": False,
             "valid_fraction": 0.0, "valid_every": None, "patience": None, "valid": None}
    model = Model(source.vocabulary or source.sizes, **labels)
    with warnings.catch_warnings():  # the run itself gives them
        warnings.simplefilter("ignore")
        trainer = Trainer(model, source, **given_to(TrainerSettings, settings) | plan | quiet)
    paces, n = [], 1
    with contextlib.suppress(KeyboardInterrupt):  # the run itself answers it
        trainer.run(updates=1)  # packs weights, makes threads
        began = time.perf_counter()
        while (start := time.perf_counter()) - began < PROBE:
            trainer.run(updates=n)
            paces.append(n / (time.perf_counter() - start))
            n = max(1, int(PROBE / 3 * paces[-1]))
    # the best: other programs come and go
    return max(paces, default=1.0), trainer.updates_per_epoch
