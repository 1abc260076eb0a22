"""Settings chosen for a source, a time and a machine: what `fastrnn.train` takes where neither a
keyword nor a preset says it.

The numbers are those of `recipe_table`, for as much as the machine is measured to read in the time.
"""

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import kernels, recipe_table
from .data.source import Source
from .model.model import Model
from .presets import PLAN
from .recipe_table import REFERENCE, Row, Table, depends_on_time, fewest_passes, look_up, with_size
from .screen import without_warnings
from .settings import ModelSettings, TrainerSettings, given_to
from .training.trainer import Trainer

MINUTES = 1.0  # where nothing says how long
WARMUP = 20  # updates
PROBE = 0.2  # seconds in which the speed of one network is measured
SIZES = (64, 96, 128, 192, 256, 320, 384, 512, 640, 768, 1024)  # hidden sizes to choose from
# of Adam, at most; other cells take that of the table
LEARNING_RATES = {"rnn": 1e-3, "relu": 1e-3, "memory": 2e-3, "mgu": 5e-3}
LEAST_VALID = 500  # predictions; a source that leaves fewer is not divided
# the settings that are chosen
CHOSEN = frozenset((
    "cell", "hidden_size", "embedding_size", "dropout", "seq_length", "batch_size", "optimizer",
    "learning_rate", "schedule", "warmup", "clip_value", "clip_norm", "valid_fraction", "dtype",
    "weight_average", *PLAN))
MANY = 300  # distinct symbols from which on an embedding pays
# of a model of symbols that has more time than it needs: the lowest of its validation losses is
# then lower than with a learning rate that falls to 0
AVERAGED = {"schedule": "constant", "weight_average": 0.15}
# sequences, fewer than these and of at least so many steps, are read in windows: whole they would
# make few updates, each through more steps than a gradient reaches
FEW, LONG = 16, 512
# mixed_bfloat16 is taken where the processor has instructions for it, for networks of at least so
# many units, if it is measured to be so many times as fast
UNITS, LEAST_SIZE, FASTER = ("amx", "avx512_bf16"), 128, 1.1

Settings = dict[str, Any]
Speed = Callable[[Source, Settings], tuple[float, int]]  # updates in a second, and in an epoch


def choose(source: Source, given: Mapping[str, Any],
           speed: Speed | None = None) -> tuple[Settings, str]:
    """Keywords of `fastrnn.train` for a source, the given ones among them, and a sentence that says
    what was chosen and why.

    `speed` tells of a source and settings how many updates a second has, and an epoch, where they
    are not to be measured."""
    task = _Task(_in_windows(source, given), given, speed or measured)
    reads = task.reads() if depends_on_time(task.table) else 1.0
    found = task.sized(reads)
    faster = task.gain(found)
    if faster >= FASTER:
        found = task.sized(reads * faster, kernels.MIXED)
    settings, row = found.settings, found.row
    if found.passes > row.most_passes and not task.counted:
        settings.pop("minutes", None)  # there is time to spare
        settings["epochs"] = max(1, round(row.most_passes))
        if task.source.vocabulary and not given.keys() & {"learning_rate_decay", *AVERAGED}:
            settings |= AVERAGED
    elif not task.counted:
        settings.setdefault("minutes", MINUTES)
    passes = settings.get("epochs") or found.passes
    updates = settings.get("updates") or passes * found.updates
    settings.setdefault("warmup", min(WARMUP, int(updates) // 10))
    # a run that is shorter than the best one over-fits less
    settings.setdefault("dropout", round(
        row.dropout * min(1, updates / found.updates / row.passes), 2))
    return settings, task.why(found, faster)


@dataclass
class _Found:
    """Settings and the row of the table that they are from; updates in a second and in an epoch,
    and the passes that there is time for; `enough` of them, if a larger network would not make
    these."""

    settings: Settings
    row: Row
    pace: float
    updates: float
    passes: float
    enough: float | None


@dataclass(frozen=True)
class _Task:
    """A source to find settings for, beside given ones."""

    source: Source
    given: Mapping[str, Any]
    speed: Speed

    @property
    def seconds(self) -> float:
        return 60 * float(self.given.get("minutes") or MINUTES)

    @property
    def counted(self) -> bool:
        """Whether the length of the run is given as a number, not as a time."""
        return bool(self.given.get("epochs") or self.given.get("updates"))

    @property
    def table(self) -> Table:
        whole = self.source.steps is not None
        if self.source.vocabulary is None:
            return recipe_table.SEQUENCES if whole else recipe_table.SERIES
        if whole:
            return recipe_table.RECORDS
        return recipe_table.WORDS if self.many else recipe_table.TEXT

    @property
    def many(self) -> bool:
        """Whether there are as many symbols as words have."""
        return self.source.sizes.input_symbols > MANY

    def common(self) -> Settings:
        """What does not depend on the time, and what is given."""
        given = dict(self.given)
        valid = 0.0 if given.get("valid") is not None else _valid_fraction(self.source)
        settings: Settings = {"cell": "lstm", "valid_fraction": valid, "optimizer": "adam",
                              "schedule": "cosine", "clip_norm": 1.0, "clip_value": None}
        if given.get("cell") == "esn":
            settings["dropout"] = 0.0
        elif self.many:
            settings["embedding_size"] = 128
        if given.get("clip_value") is not None:
            del settings["clip_norm"]
        if given.get("learning_rate_decay", 1.0) < 1:
            del settings["schedule"]
        return settings | given

    def reads(self) -> float:
        """Millions of time steps that the reference network reads in the time."""
        kept = ("embedding_size", "threads", "valid_fraction")
        settings = {k: v for k, v in self.common().items() if k in kept} | REFERENCE
        pace, updates = self.speed(self.source, settings | self.batches(16, 64, {}))
        return self.seconds * pace * self.source.predictions / updates / 1e6

    def batches(self, N: int, T: int, given: Mapping[str, Any]) -> Settings:
        """seq_length and batch_size, unless given those that the source is large enough for, with
        some updates to each epoch."""
        kept = 1 - self.common()["valid_fraction"]
        if self.source.steps is None:
            length = self.source.predictions * kept
            T = given.get("seq_length") or max(1, min(T, int(length / 20)))
            N = max(1, min(N, int(length / (8 * (T + 2)))))
            return {"seq_length": T, "batch_size": given.get("batch_size") or N}
        if self.source.rows is not None:
            N = max(1, min(N, int(self.source.rows * kept) // 4))
        return {"batch_size": given.get("batch_size") or N}

    def sized(self, reads: float, dtype: str | None = None) -> _Found:
        """The settings of the table for so much reading, with the largest network up to its own
        that makes half of its passes in the time."""
        row = look_up(self.table, self.source.predictions, reads)
        settings = self.common() | ({"dtype": dtype} if dtype else {})
        settings |= self.batches(_power(row.batch_size), _power(row.seq_length), self.given)
        if "learning_rate" not in settings and settings["optimizer"] == "adam":
            scale = math.sqrt(settings["batch_size"] / _power(row.batch_size))
            rate = row.learning_rate * min(2.0, max(0.5, scale))
            settings["learning_rate"] = min(
                float(f"{rate:.2g}"), LEARNING_RATES.get(settings["cell"], 1.0))
        given_size = self.given.get("hidden_size")
        most = min(SIZES, key=lambda size: abs(math.log(size / row.hidden_size)))
        sizes = [given_size] if given_size else [size for size in SIZES if size <= most]
        enough = fewest_passes(self.table, row, self.source.predictions)
        while True:
            settings["hidden_size"] = size = sizes.pop()
            pace, updates = self._pace({"dropout": row.dropout} | settings)
            passes = self.seconds * pace / updates
            if self.given.get("minutes") and not sizes and self.seconds * pace < 1:
                raise ValueError(f"minutes={self.given['minutes']:g} is too short for one update, "
                                 f"which takes {1 / pace:.2g} seconds: give more minutes, or a "
                                 "smaller model")
            if passes >= enough or not sizes:
                row = row if size == most else with_size(row, size)
                limit = enough if size < most else None
                return _Found(settings, row, pace, updates, passes, limit)
            while len(sizes) > 1 and passes * (size / sizes[-1]) ** 1.5 < enough:
                sizes.pop()  # not worth a measurement

    def _pace(self, settings: Settings) -> tuple[float, float]:
        """Updates in a second, and in an epoch of what is not held out."""
        pace, updates = self.speed(self.source, settings)
        return pace, updates * (1 - settings["valid_fraction"])

    def gain(self, found: _Found) -> float:
        """How many times as fast the network is in mixed_bfloat16, where that may be chosen: the
        processor has instructions for it, a model of symbols could use more time, and the length of
        the run depends on the clock anyway."""
        settings = found.settings
        if ("dtype" in self.given or self.counted or self.source.vocabulary is None
                or settings["hidden_size"] < LEAST_SIZE or found.passes >= found.row.most_passes
                or kernels.running_isa(kernels.MIXED) not in UNITS or settings["cell"] == "esn"):
            return 1.0
        mixed = {"dropout": found.row.dropout} | settings | {"dtype": kernels.MIXED}
        return self._pace(mixed)[0] / found.pace

    def why(self, found: _Found, faster: float) -> str:
        """The sentence."""
        settings, source = found.settings, self.source
        what = f"{settings['hidden_size']} units"
        if "hidden_size" in self.given:
            what += " as given"
        elif "epochs" in settings and not self.counted:
            what += f" and {settings['epochs']} passes, since more would over-fit"
        elif found.enough and found.passes < found.enough:
            what += f", the fewest that are tried: none makes {found.enough:.2g} passes in the time"
        elif found.enough:
            what += f", the largest that makes {found.enough:.2g} passes in the time"
        else:
            what += ", found best for so much data in so much time"
        gain = ""
        if faster >= FASTER:
            what += f", in {kernels.MIXED}"
            gain = f"; {faster:.1f} times as fast as in float32"
        return (f"chosen for {source.predictions:,} {source.unit}s: {what} (measured: "
                f"{found.passes:.1f} passes in {self.seconds:.0f} seconds{gain})")


def _in_windows(source: Source, given: Mapping[str, Any]) -> Source:
    """The source as it is read with the given seq_length, or with one that is chosen for few long
    sequences of which most steps have a target."""
    T, rows, steps = given.get("seq_length"), source.rows or 0, source.steps or 0
    if T is None and (source.vocabulary is None and rows < FEW and steps >= LONG
                      and 2 * source.predictions >= rows * steps):
        with contextlib.suppress(ValueError):  # of a source that is always read whole
            return source.in_windows(LONG // 8)
    return source.in_windows(T)


def _valid_fraction(source: Source) -> float:
    fraction = 0.1 if source.predictions < 2_000_000 else 0.05
    enough = fraction * source.predictions >= LEAST_VALID and fraction * (source.rows or 10) >= 1
    return fraction if enough else 0.0


def _power(x: float) -> int:
    """The nearest power of two."""
    return int(2 ** round(math.log2(x)))


def measured(source: Source, settings: dict[str, Any]) -> tuple[float, int]:
    """Updates in a second of training, and in an epoch of all data."""
    labels = {"labels": list(source.labels) or None} | given_to(ModelSettings, settings)
    # with next to no steps, so that it is the run itself that diverges
    plan = dict.fromkeys(PLAN) | {"updates": 10**6, "schedule": "constant", "warmup": 0,
                                  "learning_rate": 1e-9}
    quiet = {"progress": False, "checkpoint": None, "callback": None, "on_event": None,
             "log": None, "tensorboard": None, "accuracy": False, "teacher": None,
             "valid_fraction": 0.0, "valid_every": None, "patience": None, "valid": None}
    model = Model(source.vocabulary or source.sizes, **labels)
    with without_warnings():  # the run itself gives them
        trainer = Trainer(model, source, **given_to(TrainerSettings, settings) | plan | quiet)
    paces, n = [], 1
    # the run itself answers an interrupt, and warns
    with contextlib.suppress(KeyboardInterrupt), without_warnings():
        trainer.run(updates=1)  # packs weights, makes threads
        began = time.perf_counter()
        while (start := time.perf_counter()) - began < PROBE:
            trainer.run(updates=n)
            paces.append(n / (time.perf_counter() - start))
            n = max(1, int(PROBE / 3 * paces[-1]))
    # the best: other programs come and go
    return max(paces, default=1.0), trainer.updates_per_epoch
