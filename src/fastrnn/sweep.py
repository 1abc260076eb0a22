"""Many runs with different settings side by side, the worst of them stopped early."""

import contextlib
import csv
import hashlib
import io
import itertools
import json
import math
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from . import recipe
from .data.source import Source
from .files.store import check_writable, replacing
from .model.model import Model
from .presets import PLAN
from .screen import show
from .settings import ModelSettings, TrainerSettings, TrainSettings, checked, declared, given_to
from .train import check, read_source
from .training.checkpoint import load
from .training.divergence import DivergenceError
from .training.trainer import Trainer
from .validate import positive_int, suggestion

MOST_STAGES = 4
TABLE = "sweep.json"  # in the directory of the runs
# what is the sweep's own, or would be written by all runs
NOT_SWEPT = ("checkpoint", "overwrite", "callback", "callback_every", "on_event", "log",
             "log_every", "tensorboard", "preset", "init_from", "resume", "repeat", "threads",
             "seed")


@dataclass(frozen=True)
class Sweep:
    """The results of `fastrnn.sweep`.

    Attributes
    ----------
    rows : list of dict
        A row for each run, that of the lowest loss first: ``run`` (its number), the settings that
        differ, ``seed``, ``loss`` (the lowest validation loss so far, of one prediction, in nats or
        squared error; infinity for a run that diverged), ``updates``, ``planned`` (how many a whole
        run has), ``seconds`` (of training, on one core) and ``file`` (its checkpoint; "" where none
        was to be kept).
    settings : list of str
        The names of the settings that differ.
    """

    rows: list[dict[str, Any]]
    settings: list[str]

    @property
    def best(self) -> dict[str, Any]:
        """The settings that differ, of the lowest mean loss over the seeds among the configurations
        that were trained to the end."""
        done = [row for row in self.rows if row["updates"] >= row["planned"]] or self.rows
        losses: dict[str, list[float]] = {}
        for row in done:
            losses.setdefault(_key({name: row[name] for name in self.settings}), []).append(
                row["loss"])
        best = min(losses, key=lambda key: float(np.mean(losses[key])))
        row = next(row for row in done
                   if _key({name: row[name] for name in self.settings}) == best)
        return {name: row[name] for name in self.settings}

    def best_model(self) -> Model:
        """The model of the run of the lowest loss, with its parameters at that loss; ValueError
        where no files were kept."""
        if not self.rows[0]["file"]:
            raise ValueError("the sweep kept no files: give it a directory")
        return load(self.rows[0]["file"])

    def to_csv(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the table as a CSV file. OSError if that cannot be done, or if there is a file and
        not `overwrite`."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        _write(path, text.getvalue(), overwrite)

    def to_json(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the table as JSON, a list with an object for each run, a loss of infinity as null.
        OSError as `to_csv`."""
        _write(path, json.dumps(_finite(self.rows), indent=1) + "\n", overwrite)

    def to_dataframe(self) -> Any:
        """The table as a pandas.DataFrame."""
        import pandas

        return pandas.DataFrame(self.rows)

    def __str__(self) -> str:
        names = ["run", *self.settings, "seed", "loss", "updates", "planned", "seconds"]
        table = [names, *([_shown(row[name]) for name in names] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        return "\n".join("  ".join(f"{cell:>{width}}" for cell, width in
                                   zip(line, widths, strict=True)) for line in table)


def sweep(source: Any, grid: Mapping[str, Any], *, trials: int | None = None,
          seeds: int | Sequence[int] = 1, jobs: int | None = None, halving: int = 3,
          directory: str | os.PathLike[str] | None = None,
          **settings: Unpack[TrainSettings]) -> Sweep:
    """Train with many settings side by side, each run on one core, and compare the validation
    losses.

    Runs are stopped early by successive halving (Jamieson and Talwalkar 2016): all are trained for
    a part of their updates, the best third goes on for three times as many, and so on. Each run has
    the learning rates of its whole plan from the start, so the parts compare.

    Parameters
    ----------
    source : path, Corpus or Sequences
        As for `fastrnn.train`. Processes share its arrays.
    grid : dict of str -> list or distribution
        Settings of `fastrnn.train`, each with the values to try. Lists alone make all combinations;
        with `trials` combinations are drawn, and a value may also be anything with the method
        ``rvs``, such as scipy.stats.loguniform(1e-4, 1e-1).
    trials : int, optional
        How many combinations are drawn at random, the same in each sweep.
    seeds : int or sequence of int
        How many seeds each combination is trained with, or which; combinations are compared by
        their mean.
    jobs : int, optional
        Processes side by side, by default one for each core. joblib runs them: inside a
        ``joblib.parallel_config`` they go to its Dask or Ray.
    halving : int
        Which part goes on: 3 for the best third. 1: all runs are trained to the end.
    directory : path, optional
        Where checkpoints and the table, sweep.json, are kept. A sweep that was interrupted, and
        one with more seeds or a longer list, takes from there what was trained before.
    **settings
        What all runs have: keywords of `fastrnn.train`. With `progress` a line is shown for each
        part of a run; `minutes` are those of one whole run on one
        core of this machine, counted in updates. Settings that are not given are chosen for each
        run as `fastrnn.train` chooses them.

    Returns
    -------
    Sweep
        The table of the runs.

    Raises
    ------
    ValueError, TypeError
        A setting or value that `fastrnn.train` refuses, one that cannot be swept, data without
        a validation part, or a directory with runs of other settings or data.
    ImportError
        joblib is not installed: ``pip install "fastrnn[sweep]"``.
    KeyboardInterrupt
        After Ctrl-C. What was trained is in the directory, if there is one.

    Examples
    --------
    >>> found = fastrnn.sweep("book.txt", {"hidden_size": [64, 128], "dropout": [0, 0.3]},
    ...                       minutes=1, directory="runs")
    >>> print(found)
    """
    source, progress = read_source(source), settings.pop("progress", True)
    runs = _runs(grid, trials, seeds, dict(settings))
    how = _How(positive_int("halving", halving, 1), len({_key(run.differs) for run in runs}))
    given = dict(settings) | {"threads": 1, "progress": False}
    with _folder(directory) as folder:
        for run in runs:
            run.path = str(folder / f"run-{_digest(given | run.differs)}-{run.seed}.safetensors")
        found: dict[int, dict[str, Any]] = {}
        going = runs
        for stage in range(how.stages):
            for run, row in _side_by_side(source, going, given, how, stage, jobs):
                row["seconds"] += found.get(run.number, row | {"seconds": 0})["seconds"]
                found[run.number] = row
                if directory is not None:
                    _keep(folder / TABLE, found.values())
                if progress:
                    show(_line(run, row, list(grid)), error=True)
            going = _best(going, found, how)
        rows = sorted(found.values(), key=lambda row: (row["loss"], row["run"]))
        if directory is None:
            rows = [row | {"file": ""} for row in rows]
        return Sweep(rows, list(grid))


@dataclass
class _Run:
    """A run: its number, the settings that differ, and its seed."""

    number: int
    differs: dict[str, Any]
    seed: int
    path: str = field(default="", compare=False)


@dataclass(frozen=True)
class _How:
    """How a sweep is cut: the factor from stage to stage, and how many combinations there are."""

    factor: int
    combinations: int

    @property
    def stages(self) -> int:
        if self.factor == 1:
            return 1
        whole = 1 + int(math.log(max(1, self.combinations), self.factor) + 1e-9)
        return min(MOST_STAGES, whole)

    def parts(self, stage: int) -> int:
        """How many times a run of this stage fits into a whole one."""
        return int(self.factor ** (self.stages - 1 - stage))


def _runs(grid: Mapping[str, Any], trials: int | None, seeds: int | Sequence[int],
          settings: dict[str, Any]) -> list[_Run]:
    """The runs of a sweep, their settings checked."""
    known = {name: one for name, one in declared(TrainSettings).items() if name not in NOT_SWEPT}
    if not isinstance(grid, Mapping) or not grid:
        raise TypeError("grid must be a dict of settings and the values to try, such as "
                        '{"hidden_size": [64, 128]}')
    for name in grid:
        if name not in known:
            hint = suggestion(name, known)
            raise ValueError(f"{name!r} cannot be swept{hint and ': '}{hint}")
        if name in settings:
            raise ValueError(f"{name} is in the grid and given for all runs: leave one out")
    for name in NOT_SWEPT:
        if settings.get(name) is not None:
            raise ValueError(f"leave {name} out: a sweep has many runs (seeds, jobs and directory "
                             "are its own)")
    combinations = _drawn(grid, positive_int("trials", trials)) if trials is not None else \
        _product(grid)
    chosen = list(range(positive_int("seeds", seeds))) if isinstance(seeds, int) else \
        [positive_int("seeds", seed, 0) for seed in seeds]
    for differs in combinations:
        check(settings | differs)
    return [_Run(number, differs, seed) for number, (differs, seed) in enumerate(
        itertools.product(combinations, chosen))]


def _product(grid: Mapping[str, Any]) -> list[dict[str, Any]]:
    for name, values in grid.items():
        if hasattr(values, "rvs"):
            raise ValueError(f"{name} is a distribution: give trials, how many are to be drawn")
        if isinstance(values, str) or not isinstance(values, Iterable) or not list(values):
            raise TypeError(f"{name} must be a list of values to try, not {values!r}")
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def _drawn(grid: Mapping[str, Any], trials: int) -> list[dict[str, Any]]:
    """Distinct combinations, at most so many."""
    rng = np.random.default_rng(0)
    found: dict[str, dict[str, Any]] = {}
    for _ in range(20 * trials):
        one = {}
        for name, values in grid.items():
            if hasattr(values, "rvs"):
                value = values.rvs(random_state=rng)
            else:
                value = list(values)[rng.integers(len(values))]
            one[name] = value.item() if isinstance(value, np.generic) else value
        found.setdefault(_key(one), one)
        if len(found) == trials:
            break
    return list(found.values())


def _side_by_side(source: Any, runs: list[_Run], given: dict[str, Any], how: _How, stage: int,
                  jobs: int | None) -> Iterator[tuple[_Run, dict[str, Any]]]:
    """Each run and its row as they come to the end of a stage."""
    try:
        from joblib import Parallel, delayed
    except ImportError:
        raise ImportError('a sweep needs joblib: pip install "fastrnn[sweep]"') from None
    parallel = Parallel(n_jobs=-1 if jobs is None else positive_int("jobs", jobs),
                        return_as="generator_unordered")
    yield from parallel(delayed(_advance)(source, run, given, how, stage) for run in runs)


def _advance(source: Any, run: _Run, given: dict[str, Any], how: _How,
             stage: int) -> tuple[_Run, dict[str, Any]]:
    """Train a run to the end of a stage, from its checkpoint if there is one; in a process of its
    own."""
    began = time.perf_counter()
    trainer = _resumed(source, run) if Path(run.path).exists() else _begun(source, run, given, how)
    planned = trainer.planned or 1
    target = min(planned, -(-planned // how.parts(stage)))
    losses: Any = []  # where it diverges
    with contextlib.suppress(DivergenceError):
        if trainer.update < target:
            trainer.run(updates=target - trainer.update)
        history = trainer.history  # an earlier sweep may have gone further
        losses = history.valid_loss[history.valid_updates <= target]
    return run, {"run": run.number, **run.differs, "seed": run.seed,
                 "loss": float(np.nanmin([*losses, math.inf])),
                 "updates": min(trainer.update, target), "planned": planned,
                 "seconds": round(time.perf_counter() - began, 1), "file": run.path}


def _begun(source: Any, run: _Run, given: dict[str, Any], how: _How) -> Trainer:
    """A new trainer, its plan a number of updates that all stages divide."""
    own = given | run.differs | {"seed": run.seed}
    settings, _ = recipe.choose(source, own)
    if not settings.get("valid_fraction") and settings.get("valid") is None:
        raise ValueError("a sweep compares validation losses: give a valid_fraction above 0, or "
                         "validation data as valid")
    labels = {"labels": list(source.labels) or None} | given_to(ModelSettings, settings)
    model = Model(source.vocabulary or source.sizes, **labels)
    minutes = settings.pop("minutes", None)
    if minutes:
        pace, _ = recipe.measured(source, settings)
        settings["updates"] = max(1, int(60 * minutes * pace))
    plain = given_to(TrainerSettings, settings)
    planned = Trainer(model, source, **plain).planned or 1
    parts = how.parts(0)
    first = -(-planned // parts)  # of the first stage
    plain |= dict.fromkeys(PLAN) | {"updates": first * parts, "checkpoint": run.path}
    return Trainer(model, source, **{"valid_every": first} | {
        name: value for name, value in plain.items() if value is not None})


def _resumed(source: Any, run: _Run) -> Trainer:
    trainer = Trainer.from_checkpoint(run.path, source, checkpoint=run.path, threads=1,
                                      progress=False)
    config = trainer.model.config | trainer.config
    for name, value in checked(TrainSettings, run.differs, "sweep").items():
        if name in run.differs and config.get(name) != value:
            raise ValueError(f"{run.path!r} is a run with {name}={config.get(name)!r}, not "
                             f"{value!r}: give another directory")
    return trainer


def _best(runs: list[_Run], found: Mapping[int, dict[str, Any]], how: _How) -> list[_Run]:
    """The runs of the best combinations, by their mean loss over the seeds."""
    groups: dict[str, list[_Run]] = {}
    for run in runs:
        groups.setdefault(_key(run.differs), []).append(run)

    def mean(key: str) -> float:
        return float(np.mean([found[run.number]["loss"] for run in groups[key]]))

    left = sorted(groups, key=mean)[: -(-len(groups) // how.factor)]
    return [run for key in left for run in groups[key]]


@contextlib.contextmanager
def _folder(directory: str | os.PathLike[str] | None) -> Iterator[Path]:
    """The directory, made if it is not there; or one that is removed at the end."""
    if directory is None:
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)
        return
    folder = Path(directory).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    check_writable(folder / TABLE, True)
    yield folder


def _keep(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with replacing(path, True) as file:
        file.write((json.dumps(_finite(list(rows)), indent=1) + "\n").encode())


def _write(path: str | os.PathLike[str], text: str, overwrite: bool) -> None:
    with replacing(path, overwrite) as file:
        file.write(text.encode())


def _finite(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows for JSON, which has no infinity."""
    return [{name: None if value == math.inf else value for name, value in row.items()}
            for row in rows]


def _line(run: _Run, row: dict[str, Any], names: list[str]) -> str:
    """What is shown of a run at the end of a stage."""
    differs = ", ".join(f"{name} {_shown(run.differs[name])}" for name in names)
    return (f"run {run.number:<4}{differs}, seed {run.seed}: validation loss {row['loss']:.4f} "
            f"after {row['updates']:,} of {row['planned']:,} updates")


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _key(differs: Mapping[str, Any]) -> str:
    return json.dumps(differs, sort_keys=True, default=str)


def _digest(settings: Mapping[str, Any]) -> str:
    """Of the name of a file: a sweep with a longer list finds the runs of the same settings."""
    plain = {name: value.fingerprint() if isinstance(value, Source) else value
             for name, value in settings.items()}
    return hashlib.sha256(_key(plain).encode()).hexdigest()[:12]
