"""Updates of each work, sampling, AdaGrad and layers alone, and memory: fastrnn beside its peers.

All contestants of a race start from the same numbers and are measured in turn.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import count
from pathlib import Path

import memory
import numpy as np
import pytest
import reservoirs
import torch_peer
from contestants import (
    fastrnn_model,
    fastrnn_updates,
    numpy_updates,
    repeated,
    torch_updates,
)
from numpy_hoisted import NumpyHoisted
from numpy_step import NumpyStep
from race import race
from threadpoolctl import threadpool_limits
from torch_peer import TorchPeer, TorchRecords, TorchSequences
from works import (
    CLIP,
    RECORD_TASKS,
    RESERVOIRS,
    STEPS,
    TASKS,
    WORKS,
    RecordTask,
    Reservoir,
    Task,
    Work,
    flops,
    make_text,
    record_flops,
    task_flops,
)

import fastrnn
from fastrnn import _core, nn, reference

RUNNING = fastrnn.build_info()["isa"]
OTHERS = [isa for isa in fastrnn.build_info()["isas"] if isa != RUNNING]
THREADS = range(1, min(2, os.cpu_count()) + 1)
CLASSIC = WORKS["rnn-1"]  # all its settings are defaults of fastrnn and of the peers


@dataclass
class Contestant:
    make: Callable[[], Callable[[int], object]]  # returns what does so many units
    threads: int = 1


@dataclass
class Race:
    unit: str
    dtype: str
    contestants: dict[str, Contestant]
    flops: int | None = None  # of a unit, where it is mostly products


@cache
def corpus_of(K: int) -> fastrnn.Corpus:
    return fastrnn.Corpus.from_text(make_text(K), name="Markov chain")


def start_of(work: Work) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Initial parameters and ids, for a peer."""
    corpus = corpus_of(work.K)
    return fastrnn_model(work, corpus.vocabulary, "float64").params, corpus.ids


def torch_contestants(make: Callable[..., Callable[[int], object]]) -> dict[str, Contestant]:
    if not torch_peer.available():
        return {}
    return {f"PyTorch, {n} thread{'s' * (n > 1)}": Contestant(partial(make, threads=n), n)
            for n in THREADS}


def update_race(work: Work, dtype: str) -> Race:
    def ours(threads=1, isa=RUNNING):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FASTRNN_ISA", isa)  # obeyed when the kernels are made
            return fastrnn_updates(work, corpus_of(work.K), dtype, threads)

    def torch(threads):
        return torch_updates(work, *start_of(work), dtype, threads)

    if work.N == 1:
        contestants = {"fastrnn": Contestant(ours)}
    else:  # a batch is shared out
        contestants = {"fastrnn": Contestant(partial(ours, THREADS[-1]), THREADS[-1]),
                       "fastrnn, 1 thread": Contestant(ours)}
    if work == CLASSIC:
        contestants |= {f"fastrnn, {isa}": Contestant(partial(ours, isa=isa)) for isa in OTHERS}
        contestants["NumPy, step by step, float64"] = Contestant(
            lambda: repeated(NumpyStep(*start_of(work), work.K)))
        contestants["NumPy, hoisted"] = Contestant(
            lambda: repeated(NumpyHoisted(*start_of(work), work.K, dtype=dtype)))
    else:
        contestants["NumPy, hoisted"] = Contestant(
            lambda: numpy_updates(work, *start_of(work), dtype))
    return Race("update", dtype, contestants | torch_contestants(torch), flops(work))


def task_race(task: Task) -> Race:
    """Sequences with the zero state before each: what fastrnn reads in random order the peers read
    as it comes."""
    sequences = task.sequences()

    def start(dtype="float32"):
        return fastrnn.Model(sequences.sizes, cell=task.cell, hidden_size=task.H, dtype=dtype,
                             init="xavier")

    def ours(threads=1):
        return fastrnn.Trainer(start(), sequences, **task.training, clip_value=None,
                               threads=threads, progress=False).run

    def numpy_twin():
        N, update = task.training["batch_size"], count(1)
        params = dict(start().params)
        memories = {name: [np.zeros_like(p) for _ in range(2)] for name, p in params.items()}
        x, y = (a if a.ndim == 2 else a.astype(np.float32)
                for a in (sequences.inputs, sequences.targets))
        state = start().zero_state(N)

        def updates(n):
            for i in range(n):
                part = slice(i % (len(x) // N) * N, (i % (len(x) // N) + 1) * N)
                _, grads, _ = reference.loss_and_gradients(
                    params, x[part], y[part], state, task.cell)
                now = next(update)
                for name, g in reference.clip(grads, None, CLIP).items():
                    reference.adam(params[name], g, memories[name], now, 1e-3)

        return updates

    def torch(threads):
        return repeated(TorchSequences(start().params, sequences, cell=task.cell,
                                       threads=threads, **task.training))

    return Race("update", "float32", {
        "fastrnn": Contestant(partial(ours, THREADS[-1]), THREADS[-1]),
        "fastrnn, 1 thread": Contestant(ours), "NumPy": Contestant(numpy_twin),
    } | torch_contestants(torch), task_flops(task, sequences))


def record_race(task: RecordTask) -> Race:
    """Epochs of all records: fastrnn reads such of about the same length together, PyTorch packed
    sequences."""
    corpus = fastrnn.Corpus.from_records(task.records())
    H, K = task.H, len(corpus.vocabulary)

    def start():
        return fastrnn.Model(corpus.vocabulary, cell="lstm", hidden_size=H)

    def ours(threads=1):
        trainer = fastrnn.Trainer(start(), corpus, **task.training, clip_value=None,
                                  threads=threads, progress=False)
        return lambda n: trainer.run(n * trainer.updates_per_epoch)

    def torch(threads):
        peer = TorchRecords(start().params, corpus.pieces(), cell="lstm", threads=threads,
                            **task.training)

        def epochs(n):
            for _ in range(n):
                peer.epoch()

        return epochs

    return Race("epoch", "float32", {
        "fastrnn": Contestant(partial(ours, THREADS[-1]), THREADS[-1]),
        "fastrnn, 1 thread": Contestant(ours),
    } | torch_contestants(torch), record_flops(task, int(corpus.records.steps.sum()), K))


@cache
def trained() -> fastrnn.Model:
    return fastrnn.train(corpus_of(CLASSIC.K), updates=2000, dtype="float64", progress=False)


def sample_race(dtype: str) -> Race:
    def ours():
        model = fastrnn.Model(trained().vocabulary, dtype=dtype)
        model.block[:] = trained().block
        first = model.vocabulary.decode([0])
        return lambda n: model.sample(n, prime=first, seed=0)

    def peer(kind, **arguments):
        peer = kind(trained().params, corpus_of(CLASSIC.K).ids, CLASSIC.K, **arguments)
        return lambda n: peer.sample(peer.h, 0, n, np.random.default_rng(0))

    return Race("character", dtype, {
        "fastrnn": Contestant(ours),
        "NumPy, step by step, float64": Contestant(partial(peer, NumpyStep)),
        "NumPy, hoisted": Contestant(partial(peer, NumpyHoisted, dtype=dtype)),
    } | torch_contestants(partial(peer, TorchPeer, dtype=dtype)))


def fastrnn_adagrad(p, g):
    optimizer, memory = _core.Optimizer("adagrad", clip_value=CLIP), np.zeros_like(p)
    return lambda: optimizer.step(1, CLASSIC.learning_rate, p, g, [memory])


def numpy_adagrad(p, g):
    m, s = np.zeros_like(p), np.empty_like(p)

    def step():
        np.clip(g, -CLIP, CLIP, out=g)
        np.multiply(g, g, out=s)
        np.add(m, s, out=m)
        np.add(m, 1e-8, out=s)
        np.sqrt(s, out=s)
        np.divide(g, s, out=s)
        np.multiply(s, CLASSIC.learning_rate, out=s)
        np.subtract(p, s, out=p)

    return step


def torch_adagrad(p, g):
    import torch

    tensor = torch.nn.Parameter(torch.from_numpy(p))
    tensor.grad = torch.from_numpy(g)
    optimizer = torch.optim.Adagrad([tensor], lr=CLASSIC.learning_rate, fused=True,
                                    initial_accumulator_value=1e-8, eps=0.0)

    def step():
        torch.set_num_threads(1)  # so few elements are not shared out
        tensor.grad.clamp_(-CLIP, CLIP)
        optimizer.step()

    return step


def adagrad_race(dtype: str) -> Race:
    def contestant(make):
        p = fastrnn.Model(corpus_of(CLASSIC.K).vocabulary, dtype=dtype).block  # (26783)
        g = np.random.default_rng(1).normal(0, CLIP, p.size).astype(dtype)
        clipped = np.clip(g, -CLIP, CLIP)
        expected = p - CLASSIC.learning_rate * clipped / np.sqrt(clipped**2 + 1e-8)
        step = make(p, g)
        step()
        np.testing.assert_allclose(p, expected, atol=1e-6 if dtype == "float32" else 1e-14)

        def steps(n):
            for _ in range(n):
                step()

        return steps

    makers = {"fastrnn": fastrnn_adagrad, "NumPy, in place": numpy_adagrad}
    if torch_peer.available():
        makers["PyTorch, fused"] = torch_adagrad
    return Race("step", dtype, {name: Contestant(partial(contestant, make))
                                for name, make in makers.items()})


def layer_race(cell: str, dtype: str) -> Race:
    """A layer forward and backward, at the sizes of the "Language Modeling with RNNs" notebook."""
    N, T, D, H = 30, 50, 15, 100
    rng = np.random.default_rng(0)
    layer = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[cell](D, H, dtype=dtype)
    x, dh = (rng.normal(size=(N, T, width)).astype(dtype) for width in (D, H))
    state = np.zeros((N, H * (2 if cell == "lstm" else 1)), dtype)

    def ours(threads=1):
        mine = type(layer)(D, H, dtype=dtype, threads=threads)

        def passes(n):
            for _ in range(n):
                mine.forward(x)
                mine.backward(dh)

        return passes

    def numpy_twin():
        def passes(n):
            for _ in range(n):
                _, _, kept = reference.layer_forward(x, state, layer.params, cell)
                reference.layer_backward(dh, x, state, kept, layer.params, cell)

        return passes

    def torch(threads):
        return torch_peer.layer_passes(cell, x, dh, H, threads)

    return Race("pass", dtype, {
        "fastrnn": Contestant(partial(ours, THREADS[-1]), THREADS[-1]),
        "fastrnn, 1 thread": Contestant(ours), "NumPy": Contestant(numpy_twin),
    } | torch_contestants(torch), 3 * 2 * layer.params["Wh"].size * (D + H) // H * N * T)


def reservoir_race(work: Reservoir, dtype: str) -> Race:
    contestants = {
        "fastrnn": Contestant(partial(reservoirs.ours, work, dtype), THREADS[-1]),
        "fastrnn, 1 thread": Contestant(partial(reservoirs.ours, work, dtype, own_thread=True)),
        "NumPy and SciPy": Contestant(partial(reservoirs.scipy_loop, work, dtype)),
    }
    if reservoirs.available():
        contestants["reservoirpy"] = Contestant(partial(reservoirs.reservoirpy, work, dtype))
    return Race(f"{STEPS:,} steps", dtype, contestants)


def search_race(work: Reservoir, dtype: str) -> Race:
    return Race(f"{STEPS:,} steps of {reservoirs.SIDE_BY_SIDE} networks", dtype, {
        name: Contestant(partial(reservoirs.several, work, dtype, threads), threads)
        for name, threads in (("fastrnn", THREADS[-1]), ("fastrnn, 1 thread", 1))})


def all_races() -> dict[str, Race]:
    dtypes = "float32", "float64"
    races = {f"{CLASSIC.name}, {dtype}": update_race(CLASSIC, dtype) for dtype in dtypes}
    for work in WORKS.values():
        if work != CLASSIC:
            races[f"{work.name}, float32"] = update_race(work, "float32")
    races |= {f"{task.name}, float32": task_race(task) for task in TASKS.values()}
    races |= {f"{task.name}, float32": record_race(task) for task in RECORD_TASKS.values()}
    races |= {f"{name}, {dtype}": reservoir_race(work, dtype)
              for name, work in RESERVOIRS.items() for dtype in dtypes}
    races["reservoir-500 search, float64"] = search_race(RESERVOIRS["reservoir-500"], "float64")
    races |= {f"nn layer {cell}, {dtype}": layer_race(cell, dtype)
              for cell in ("rnn", "lstm", "gru") for dtype in dtypes}
    races |= {f"sample, {dtype}": sample_race(dtype) for dtype in dtypes}
    return races | {f"AdaGrad with clip, {dtype}": adagrad_race(dtype) for dtype in dtypes}


RACES = all_races()


def peaks(dtype: str) -> dict[int, float]:
    """By number of threads: the floating point operations per second that so many cores reach at
    the same time when they do nothing but multiply and add in registers."""
    with ThreadPoolExecutor(THREADS[-1]) as pool:
        return {n: sum(pool.map(_core.peak, [dtype] * n)) for n in THREADS}


@pytest.fixture(scope="session")
def measured(request, quick):
    """measured(group): that race, run once with those of its contestants that are to be tested."""
    tests = [item.callspec.params for item in request.session.items
             if getattr(item, "originalname", None) == "test_race"]

    @cache
    def run(group):
        this = RACES[group]
        probe = partial(peaks, this.dtype) if this.flops and hasattr(_core, "peak") else None
        with threadpool_limits(1, user_api="blas"):
            works = {test["name"]: this.contestants[test["name"]].make()
                     for test in tests if test["group"] == group}
            return race(works, probe, quick)

    return run


@pytest.mark.parametrize(
    ("group", "name"), [(group, name) for group, this in RACES.items()
                        for name in this.contestants])
def test_race(benchmark, measured, group, name):
    laps, probes = measured(group)
    this = RACES[group]
    benchmark.group = group
    benchmark.extra_info.update(contestant=name, unit=this.unit, dtype=this.dtype)
    if probes:
        threads = this.contestants[name].threads
        benchmark.extra_info.update(flops=this.flops, threads=threads,
                                    peaks=[peak[threads] for peak in probes])
    # pytest-benchmark can only measure one test after another, not in turn. So its record of a
    # test is made here as its own `pedantic` makes it, and filled with what `race` measured.
    benchmark._mode = "race"
    record = benchmark._make_stats(laps[name].units)
    for seconds in laps[name].seconds:
        record.update(seconds)


@pytest.mark.skipif(not memory.STATUS.exists(), reason="peak memory is read from Linux's /proc")
@pytest.mark.parametrize("name", ["fastrnn", "PyTorch"])
def test_memory(benchmark, tmp_path, name):
    if name == "PyTorch" and not torch_peer.available():
        pytest.skip("PyTorch is not installed")
    work = WORKS["lstm-512"]
    params, ids = start_of(work)
    np.savez(tmp_path / "start.npz", ids=ids, **params)
    command = [sys.executable, Path(memory.__file__), name, work.name, tmp_path / "start.npz"]
    benchmark.group = f"{work.name}, peak memory"
    done = benchmark.pedantic(
        subprocess.run, (command,), {"stdout": subprocess.PIPE, "check": True})
    benchmark.extra_info.update(contestant=name, megabytes=int(done.stdout) / 1e6)


@pytest.mark.skipif(not memory.STATUS.exists(), reason="peak memory is read from Linux's /proc")
def test_memory_of_a_long_series(benchmark, quick):
    steps = 10_000 if quick else 1_000_000
    benchmark.group = "echo state network on 1,000,000 steps, peak memory"
    done = benchmark.pedantic(
        subprocess.run, ([sys.executable, Path(memory.__file__), "echo", str(steps)],),
        {"stdout": subprocess.PIPE, "check": True})
    benchmark.extra_info.update(contestant="fastrnn", megabytes=int(done.stdout) / 1e6)
