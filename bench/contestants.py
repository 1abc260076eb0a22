"""fastrnn's contestants: for each race a function that does so many units of the work.

`races.py` adds the peers, and `compare.py` races two installations of fastrnn with these alone. So
they use the public API, and of the compiled part only the optimizer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import cycle, islice
from unittest.mock import patch

import numpy as np
from race import Units, repeated
from works import (
    CLASSIC,
    CLIP,
    RECORD_TASKS,
    RESERVOIRS,
    SEARCH,
    SEARCH_UNITS,
    SERIES,
    STEPS,
    TASKS,
    WORKS,
    RecordTask,
    Reservoir,
    SeriesWork,
    Task,
    Work,
    flops,
    make_text,
    record_flops,
    task_flops,
    wave,
)

import fastrnn
from fastrnn import kernels, nn

try:
    from fastrnn import kernels
except ImportError:  # fastrnn 0.1.0
    from fastrnn import _core as kernels

DTYPES = "float32", "float64"
THREADS = min(2, os.cpu_count() or 1)  # of a contestant that may use several
SIDE_BY_SIDE = 8  # networks of a parameter search


@dataclass
class Contestant:
    make: Callable[[], Units]
    threads: int = 1


@dataclass
class Race:
    unit: str
    dtype: str
    contestants: dict[str, Contestant]
    flops: int | None = None  # of a unit, where it is mostly matrix products


def races() -> Iterator[tuple[str, Callable[..., Race], tuple]]:
    """The name of each race, and the function and arguments that make it."""
    for work in WORKS.values():
        for dtype in DTYPES if work == CLASSIC else DTYPES[:1]:
            yield title(work.name, dtype), update_race, (work, dtype)
    for task in TASKS.values():
        yield task.name, task_race, (task,)
    for records in RECORD_TASKS.values():
        yield records.name, record_race, (records,)
    for name, reservoir in RESERVOIRS.items():
        for dtype in DTYPES:
            yield title(name, dtype), reservoir_race, (reservoir, dtype)
    yield "reservoir-500 search, float64", search_race, (RESERVOIRS["reservoir-500"], "float64")
    yield "grid search of 16, float64", grid_race, ()
    yield SERIES.name, series_race, (SERIES,)
    yield "step lstm-64", step_race, (SERIES,)
    yield "step reservoir-500, float64", reservoir_step_race, (
        RESERVOIRS["reservoir-500"], "float64")
    for cell in ("rnn", "lstm", "gru"):
        for dtype in DTYPES:
            yield title(f"nn layer {cell}", dtype), layer_race, (cell, dtype)
    for dtype in DTYPES:
        yield title("sample", dtype), sample_race, (dtype,)
    for dtype in DTYPES:
        yield title("AdaGrad with clip", dtype), adagrad_race, (dtype,)


def title(name: str, dtype: str) -> str:
    """The name of a race; without more it is one in float32."""
    return name if dtype == "float32" else f"{name}, {dtype}"


def one_and_more_threads(make: Callable[..., Units], bfloat16: bool = False,
                         most: int = THREADS) -> dict[str, Contestant]:
    """make(threads), and where there is `bfloat16` also make(threads, dtype="mixed_bfloat16")."""
    found = {}
    for name, more in [("fastrnn", {})] + bfloat16 * [
            ("fastrnn, bfloat16", {"dtype": "mixed_bfloat16"})]:
        for threads in range(most, 0, -1):
            found[name + ", 1 thread" * (threads < most)] = Contestant(
                partial(make, threads, **more), threads)
    return found


@cache
def corpus_of(K: int) -> fastrnn.Corpus:
    return fastrnn.Corpus.from_text(make_text(K), name="Markov chain")


def model_of(work: Work, vocabulary: fastrnn.Vocabulary, dtype: str) -> fastrnn.Model:
    return fastrnn.Model(vocabulary, cell=work.cell, hidden_size=work.H, num_layers=work.layers,
                         embedding_size=work.E, dtype=dtype)


def updates(work: Work, corpus: fastrnn.Corpus, dtype: str, threads: int) -> Units:
    model = model_of(work, corpus.vocabulary, dtype)
    return fastrnn.Trainer(model, corpus, **work.training, threads=threads, progress=False).run


def update_race(work: Work, dtype: str) -> Race:
    def make(threads: int = 1, dtype: str = dtype) -> Units:
        return updates(work, corpus_of(work.K), dtype, threads)

    def make_isa(isa: str) -> Units:
        with patch.dict(os.environ, FASTRNN_ISA=isa):  # read when the network is made
            return make()

    def make_plain() -> Units:
        """On BLAS alone, as SciPy has it, in place of packed weights."""
        network = kernels.Network

        def plain(*arguments, **more):  # up to N; some versions give packed=None after it
            return network(*arguments[:8], **more, packed=False)

        with patch.object(kernels, "Network", plain):
            return make(most)

    # one stream of a small network is not divided among threads
    most = 1 if work.N == 1 and work.H < 512 else THREADS
    contestants = one_and_more_threads(make, dtype == "float32", most)
    contestants["fastrnn, plain BLAS"] = Contestant(make_plain, most)
    if work == CLASSIC:
        running, isas = (fastrnn.build_info()[key] for key in ("isa", "isas"))
        contestants |= {f"fastrnn, {isa}": Contestant(partial(make_isa, isa))
                        for isa in isas[: isas.index(running)]}
    return Race("update", dtype, contestants, flops(work))


@cache
def sequences_of(task: Task) -> fastrnn.Sequences:
    return task.sequences()


def task_model(task: Task, dtype: str = "float32") -> fastrnn.Model:
    return fastrnn.Model(sequences_of(task).sizes, cell=task.cell, hidden_size=task.H,
                         init="xavier", dtype=dtype)


def task_race(task: Task) -> Race:
    def make(threads: int, dtype: str = "float32") -> Units:
        return fastrnn.Trainer(task_model(task, dtype), sequences_of(task), **task.training,
                               clip_value=None, threads=threads, progress=False).run

    return Race("update", "float32", one_and_more_threads(make, bfloat16=True),
                task_flops(task, sequences_of(task)))


@cache
def records_of(task: RecordTask) -> fastrnn.Corpus:
    return fastrnn.Corpus.from_records(task.records())


def record_model(task: RecordTask, dtype: str = "float32") -> fastrnn.Model:
    return fastrnn.Model(records_of(task).vocabulary, cell="lstm", hidden_size=task.H, dtype=dtype)


def record_race(task: RecordTask) -> Race:
    """Epochs of all records: fastrnn puts records of about the same length into a batch."""
    def make(threads: int, dtype: str = "float32") -> Units:
        trainer = fastrnn.Trainer(record_model(task, dtype), records_of(task), **task.training,
                                  clip_value=None, threads=threads, progress=False)
        return lambda n: trainer.run(n * trainer.updates_per_epoch)

    steps = sum(len(record) + 1 for record in task.records())  # each with its stop symbol
    return Race("epoch", "float32", one_and_more_threads(make, bfloat16=True),
                record_flops(task, steps, len(records_of(task).vocabulary)))


def series(dtype: str) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (STEPS, 1)).astype(dtype)


def fitted(work: Reservoir, dtype: str, seed: int = 0) -> fastrnn.EchoStateNetwork:
    """A fitted network: one that is not would draw its reservoir in each call of `states`."""
    u = series(dtype)
    network = fastrnn.EchoStateNetwork(work.units, density=work.density, bias_scale=0.1, ridge=1.0,
                                       seed=seed, dtype=dtype)
    return network.fit(u[:-1], u[1:])


def reservoir_race(work: Reservoir, dtype: str) -> Race:
    def make(threads: int) -> Units:
        network, u = fitted(work, dtype), series(dtype)
        if threads > 1:
            return repeated(lambda: network.states(u))
        pool = ThreadPoolExecutor(1)  # outside the main thread a reservoir runs on one thread
        return repeated(lambda: pool.submit(network.states, u).result())

    return Race(f"{STEPS:,} steps", dtype, one_and_more_threads(make))


def search_race(work: Reservoir, dtype: str) -> Race:
    """Networks of several seeds at the same time."""
    def make(threads: int) -> Units:
        networks = [fitted(work, dtype, seed) for seed in range(SIDE_BY_SIDE)]
        u, pool = series(dtype), ThreadPoolExecutor(threads)
        return repeated(lambda: list(pool.map(lambda network: network.states(u), networks)))

    return Race(f"{STEPS:,} steps of {SIDE_BY_SIDE} networks", dtype, one_and_more_threads(make))


def grid_race() -> Race:
    """scikit-learn's search for the best of 16 settings, each fitted on three folds, on as many
    processes as there may be threads, or on one."""
    from sklearn.model_selection import GridSearchCV, TimeSeriesSplit

    def make(processes: int) -> Units:
        x = wave(STEPS + 1)[:, None]
        search = GridSearchCV(
            fastrnn.EchoStateNetwork(SEARCH_UNITS, bias_scale=0.1, ridge=1e-6), SEARCH,
            cv=TimeSeriesSplit(3), n_jobs=processes)
        return repeated(lambda: search.fit(x[:-1], x[1:, 0]))

    return Race("search", "float64", {
        "fastrnn": Contestant(partial(make, THREADS), THREADS),
        "fastrnn, 1 process": Contestant(partial(make, 1))})


@cache
def wave_of(work: SeriesWork) -> fastrnn.Sequences:
    """The next number of one series is the target."""
    x = wave(work.steps + 1)
    return fastrnn.Sequences(x[None, :-1, None], x[None, 1:, None])


def wave_model(work: SeriesWork, dtype: str = "float32") -> fastrnn.Model:
    return fastrnn.Model(wave_of(work).sizes, cell="lstm", hidden_size=work.H, init="xavier",
                         dtype=dtype)


def series_race(work: SeriesWork) -> Race:
    """Truncated back-propagation on one long series."""
    def make(threads: int, dtype: str = "float32") -> Units:
        return fastrnn.Trainer(wave_model(work, dtype), wave_of(work), **work.training,
                               clip_value=None, threads=threads, progress=False).run

    return Race("update", "float32", one_and_more_threads(make, bfloat16=True), work.flops)


def each_sample(step: Callable[[np.ndarray], object], series: np.ndarray) -> Units:
    """A contestant whose unit is one call of step with one sample (1,) of a series (T, 1)."""
    samples = cycle(list(series))

    def run(n: int) -> None:
        for sample in islice(samples, n):
            step(sample)

    return run


def step_race(work: SeriesWork) -> Race:
    """Samples that come one by one, each followed by a prediction."""
    def make() -> Units:
        model = wave_model(work)
        # gives it the scaling that a trained model has
        fastrnn.Trainer(model, wave_of(work), **work.training, clip_value=None, progress=False
                        ).run(updates=1)
        return each_sample(model.step, wave_of(work).inputs[0])

    return Race("step", "float32", {"fastrnn": Contestant(make)})


def reservoir_step_race(work: Reservoir, dtype: str) -> Race:
    return Race("step", dtype, {"fastrnn": Contestant(
        lambda: each_sample(fitted(work, dtype).step, series(dtype)))})


LAYER = {"N": 30, "T": 50, "D": 15, "H": 100}  # as the "Language Modeling with RNNs" notebook's


def make_layer(cell: str, dtype: str, threads: int = 1):
    kind = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[cell]
    return kind(LAYER["D"], LAYER["H"], dtype=dtype, threads=threads)


def layer_data(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (N, T, D) and gradients with respect to the outputs (N, T, H)."""
    rng = np.random.default_rng(0)
    x, dh = (rng.normal(size=(LAYER["N"], LAYER["T"], LAYER[width])).astype(dtype)
             for width in "DH")
    return x, dh


def layer_race(cell: str, dtype: str) -> Race:
    """Passes of a layer, forward and backward."""
    x, dh = layer_data(dtype)

    def make(threads: int, dtype: str = dtype) -> Units:
        layer = make_layer(cell, dtype, threads)

        def run() -> None:
            layer.forward(x)
            layer.backward(dh)

        return repeated(run)

    weights = sum(make_layer(cell, dtype).params[name].size for name in ("Wx", "Wh"))
    return Race("pass", dtype, one_and_more_threads(make, dtype == "float32"),
                3 * 2 * weights * LAYER["N"] * LAYER["T"])


@cache
def trained() -> fastrnn.Model:
    corpus = corpus_of(CLASSIC.K)
    model = fastrnn.Model(corpus.vocabulary, dtype="float64")
    fastrnn.Trainer(model, corpus, updates=2000, progress=False).run()
    return model


def sample_race(dtype: str) -> Race:
    def make() -> Units:
        model = fastrnn.Model(trained().vocabulary, dtype=dtype)
        for name, p in trained().params.items():
            model.params[name][...] = p
        first = model.vocabulary.decode([0])
        return lambda n: model.sample(n, prime=first, seed=0)

    return Race("character", dtype, {"fastrnn": Contestant(make)})


Step = Callable[[], object]


def adagrad_contestant(make: Callable[[np.ndarray, np.ndarray], Step], dtype: str) -> Contestant:
    """Steps on as many parameters as the classic model has; the first one is checked."""
    def steps() -> Units:
        params = fastrnn.Model(corpus_of(CLASSIC.K).vocabulary, dtype=dtype).params
        p = np.concatenate([a.ravel() for a in params.values()])  # (26783)
        g = np.random.default_rng(1).normal(0, CLIP, p.size).astype(dtype)
        clipped = np.clip(g, -CLIP, CLIP)
        expected = p - CLASSIC.learning_rate * clipped / np.sqrt(clipped**2 + 1e-8)
        step = make(p, g)
        step()
        np.testing.assert_allclose(p, expected, atol=1e-6 if dtype == "float32" else 1e-14)
        return repeated(step)

    return Contestant(steps)


def adagrad_step(p: np.ndarray, g: np.ndarray) -> Step:
    optimizer, memory = kernels.Optimizer("adagrad", clip_value=CLIP), np.zeros_like(p)
    return lambda: optimizer.step(1, CLASSIC.learning_rate, p, g, [memory])


def adagrad_race(dtype: str) -> Race:
    return Race("step", dtype, {"fastrnn": adagrad_contestant(adagrad_step, dtype)})
