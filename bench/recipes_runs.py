"""The sources, paces and runs of bench/recipes.py, and the file that has them."""

import fcntl
import json
import math
import os
import platform
import re
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import fastrnn
from fastrnn.data.source import Source
from fastrnn.insight.confusion import confusion
from fastrnn.presets import PLAN, PRESETS
from fastrnn.settings import ModelSettings, TrainerSettings, given_to

RUNS = Path(__file__).with_name("recipes.jsonl")
MINUTES = (0.5, 1, 3, 10, 60)
SOURCES = ("shakespeare:20000", "shakespeare:150000", "shakespeare", "long:10000000", "names",
           "lines:shakespeare:400000", "words")
DTYPES = ("float32", "mixed_bfloat16")
LOOKS = 12  # validations in a run
SLACK = 1.02  # a run may take so much longer than its cell
WARMUP = 20  # updates
BOTH = 0.54  # the time of an update with two threads, as a part of that with one
# what all runs have but those of presets
FIXED = {"cell": "lstm", "optimizer": "adam", "schedule": "cosine", "clip_norm": 1.0,
         "clip_value": None}


@dataclass(frozen=True)
class Data:
    """A source, and its last tenth (random records) in two halves."""

    name: str
    train: Source
    tenth: Source
    choose: Source
    report: Source


def paced_as(source: str) -> str:
    """What has the same pace: texts of characters, or this source alone."""
    return source if source in ("names", "words") or source.startswith("lines:") else "text"


@cache
def data_of(name: str) -> Data:
    """names, words; or FILE, FILE:LENGTH and lines:FILE:LENGTH, of the folder FASTRNN_DATA or
    FASTRNN_TEXTS, without .txt."""
    source = source_of(name)
    train, tenth = source.hold_out(0.1, 0)
    choose, report = tenth.hold_out(0.5, 0)
    return Data(name, train, tenth, choose, report)


def source_of(name: str) -> Source:
    if name == "names":
        return fastrnn.Corpus.from_table(path_of("names.tsv"))
    if name == "words":
        return fastrnn.Corpus.from_text(text_of("alice"), "word")
    if name.startswith("lines:"):
        lines = [line for line in text_of(name.removeprefix("lines:")).splitlines() if line.strip()]
        return fastrnn.Corpus.from_records(lines, too_long="cut", max_length=140)
    return fastrnn.Corpus.from_text(text_of(name))


def text_of(name: str) -> str:
    stem, _, length = name.partition(":")
    text = path_of({"shakespeare": "tinyshakespeare"}.get(stem, stem) + ".txt").read_text("utf-8")
    if length and len(text) < int(length):
        raise ValueError(f"{stem} has {len(text):,} characters, fewer than {length}")
    return text[: int(length)] if length else text


def path_of(name: str) -> Path:
    for folder in filter(None, map(os.environ.get, ("FASTRNN_DATA", "FASTRNN_TEXTS"))):
        if (path := Path(folder, name)).exists():
            return path
    raise FileNotFoundError(f"no {name}: set FASTRNN_DATA or FASTRNN_TEXTS to its folder")


# ---- the lines of the file ----

class Lines:
    """The runs and paces that are known, in a file of a line of JSON each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        text = path.read_text("utf-8") if path.exists() else ""
        self.all: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]

    def add(self, line: dict[str, Any]) -> None:
        self.all.append(line)
        with open(self.path, "a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(json.dumps(line) + "\n")

    @property
    def runs(self) -> list[dict[str, Any]]:
        return [line for line in self.all if "choose" in line]

    @property
    def machine(self) -> str:
        """The machine whose paces count: that of the last one."""
        return next((str(line["machine"]) for line in reversed(self.all) if "ms" in line), "")

    def run(self, **same: Any) -> dict[str, Any] | None:
        """The run of this source, settings, updates and seed."""
        return next((line for line in self.runs
                     if all(line[name] == value for name, value in same.items())), None)

    def pace(self, of: str, settings: dict[str, Any], dtype: str) -> float | None:
        """Seconds of an update with two threads; None where it was not measured."""
        wanted = {"pace_of": of, "settings": shape_of(settings), "dtype": dtype,
                  "machine": self.machine}
        return next((line["ms"] / 1e3 for line in reversed(self.all)
                     if "ms" in line and wanted.items() <= line.items()), None)


def shape_of(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings on which the time of an update depends."""
    other = {"cell", "embedding_size", "optimizer"} & settings.keys()
    return {name: settings[name] for name in (
        "preset", "hidden_size", "batch_size", "seq_length", "num_layers", *sorted(other))
        if name in settings and settings[name] != FIXED.get(name)}


# ---- paces and runs ----

def pace(lines: Lines, data: Data, settings: dict[str, Any], dtype: str, busy: bool) -> float:
    """Seconds of an update, measured where it is not known: with two threads, or if the machine is
    busy from the processor time of one."""
    known = lines.pace(paced_as(data.name), settings, dtype)
    if known is None:
        trainer = trainer_of(data, settings | {"dtype": dtype}, 10**6, 0, 1 if busy else 2)
        clock, times = time.thread_time if busy else time.perf_counter, []
        trainer.run(updates=2)
        for _ in range(6):
            n = max(2, math.ceil(0.05 / min(times, default=0.01)))
            start = clock()
            trainer.run(updates=n)
            times.append((clock() - start) / n)
        known = min(times) * (BOTH if busy else 1)
        lines.add({"pace_of": paced_as(data.name), "settings": shape_of(settings), "dtype": dtype,
                   "ms": round(1e3 * known, 4), "how": "thread_time" if busy else "2 threads",
                   "machine": machine()})
    return known


def trainer_of(data: Data, settings: dict[str, Any], updates: int, seed: int, threads: int,
               **more: Any) -> fastrnn.Trainer:
    train = data.train
    if "preset" in settings:
        preset = PRESETS[settings["preset"]].beside({"updates": updates, "valid": data.choose},
                                                    train.kind)
        every = preset | {"dtype": settings.get("dtype", "float32"), "patience": None}
    else:
        every = FIXED | {"warmup": min(WARMUP, updates // 10)} | settings
    every = {k: v for k, v in every.items() if k not in (*PLAN, "seed", "valid")}
    model = fastrnn.Model(train.vocabulary, labels=list(train.labels) or None, seed=seed,
                          **given_to(ModelSettings, every))
    config = given_to(TrainerSettings, every) | more
    return fastrnn.Trainer(model, train, updates=updates, seed=seed, threads=threads,
                           progress=False, **config)


def updates_of(data: Data, settings: dict[str, Any], minutes: float, seconds: float) -> int:
    """The updates of a run: those of its passes, or all that there is time for."""
    possible = 60 * minutes / seconds
    preset = PRESETS.get(settings.get("preset", ""))
    passes = preset.settings.get("epochs") if preset else settings.get("passes")
    if passes:
        trainer = trainer_of(data, settings, 10**6, 0, 1)
        possible = min(possible, passes * trainer.updates_per_epoch)
    return max(1, round(possible))


def run(lines: Lines, data: Data, settings: dict[str, Any], updates: int, seed: int,
        threads: int = 1) -> dict[str, Any]:
    """Train and score, unless that was done."""
    settings = {k: v for k, v in settings.items() if k != "passes"}
    same = {"source": data.name, "settings": settings, "updates": updates, "seed": seed}
    if known := lines.run(**same):
        return known
    began = time.process_time()
    trainer = trainer_of(data, settings, updates, seed, threads, valid=data.choose,
                         valid_every=max(1, updates // LOOKS), sample_every=0)
    trainer.run()
    model, curve = trainer.best_model(), trainer.history.valid_loss
    lines.add(same | scores(model, data) | {
        "passes": round(updates / trainer.updates_per_epoch, 2), "best_at": trainer.best_update,
        "last": round(float(curve[-1]), 4), "cpu": round(time.process_time() - began, 1),
        "date": time.strftime("%Y-%m-%d"), "machine": machine()})
    return lines.all[-1]


def scores(model: fastrnn.Model, data: Data) -> dict[str, float]:
    """Plain losses on the half that chooses, the other half and the whole last tenth."""
    if data.train.steps is None:
        losses = model.surprisal(data.tenth)
        n = data.choose.predictions
        found = {"choose": losses[:n].mean(), "report": losses[n:].mean(), "whole": losses.mean()}
    else:
        found = {part: model.score(getattr(data, part)) for part in ("choose", "report")}
        found["whole"] = model.score(data.tenth)
    if data.train.labels:
        found |= {"first": confusion(model, data.tenth).accuracy,
                  "first_prior": confusion(model, data.tenth, "training").accuracy}
    return {name: round(float(value), 4) for name, value in found.items()}


@cache
def machine() -> str:
    name = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        models = re.findall(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text("utf-8"))
        name = models[0] if models else name
    build = fastrnn.build_info()
    return f"{name}, {os.cpu_count()} cores, {build['isa']}, {build['mixed_bfloat16']}"


def fitting(lines: Lines, source: str, minutes: float, dtype: str) -> list[dict[str, Any]]:
    """The runs of a source, but for those of presets, that take at most so long with this dtype,
    the best first."""
    found = []
    for line in lines.runs:
        if line["source"] == source and "preset" not in line["settings"]:
            seconds = lines.pace(paced_as(source), line["settings"], dtype)
            if seconds and line["updates"] * seconds <= 60 * minutes * SLACK:
                found.append(line)
    return sorted(found, key=lambda line: float(line["choose"]))
