"""Threads: the same bits for any number of them, one pool for all. And: the update loop allocates
nothing."""
import functools
import itertools
import math
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl
from networks import KINDS, Run, generators_of, network_of, random_model, random_window, unroll

import fastrnn
from fastrnn import nn, optim
from fastrnn.data.source import time_major
from fastrnn.kernels import MIXED
from fastrnn.kernels.blas import cores
from fastrnn.kernels.team import end_helpers, helpers

THREADS = (1, 2, 3)
BATCHES = (1, 2, 7, 8, 9, 50, 65, 130)  # one slice, two and more


def in_a_process(script, seconds=300, **environment):
    """What a script prints; a deadlock there ends in an error here."""
    here = Path(__file__).parent
    places = [str(here), str(here.parent), str(Path(fastrnn.__file__).parents[1])]
    environment = os.environ | environment | {"PYTHONPATH": os.pathsep.join(places)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True,
                          timeout=seconds, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def build(source, path, *flags, input=None):
    """Compile a C program, from standard input where the source is "-"."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if not compiler:
        pytest.skip("needs a C compiler")
    done = subprocess.run([compiler, "-O1", *flags, "-x", "c", source, "-o", path],
                          input=input, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


# ---- the same bits ----

def start(kind, N, dtype="float64", threads=1, **settings):
    """A run of two layers with dropout, and of some N with weight drop, its parameters in several
    chunks; one of two optimizers."""
    settings = {"num_layers": 2, "dropout": 0.2, "weight_drop": 0.3 if N % 2 else 0.0,
                "embedding_size": 9 if N % 2 else None} | settings
    model = random_model(kind, dtype, 150, 52, **settings)
    ids = np.random.default_rng(3).integers(0, 150, 40 * N)
    optimizer, rate = ("adagrad", 0.05) if N % 3 else ("adam", 0.003)
    return Run(model, ids, 5, N, optimizer, rate, threads, clip_norm=0.8, best_every=10)


@functools.cache
def alone(kind, N, dtype):
    run = start(kind, N, dtype)
    return *(a.tobytes() for a in run.run(25)), run.everything()


@pytest.mark.parametrize("threads", THREADS[1:])
@pytest.mark.parametrize(("N", "dtype"), [*zip(BATCHES, ["float32", "float64"] * 4, strict=True),
                                          (1, MIXED), (9, MIXED), (50, MIXED)])
@pytest.mark.parametrize("kind", KINDS)
def test_training_gives_the_same_bits(kind, N, dtype, threads):
    """Losses, parameters, the optimizer's memories, states, the best parameters and what the
    generators will draw next; over three epochs."""
    run = start(kind, N, dtype, threads)
    loss, smooth = run.run(25)
    assert run.training.epoch == 3 and len(loss) == 25
    assert run.training.counters["best_update"] > 0
    assert run.model.block.size > 16384
    assert (loss.tobytes(), smooth.tobytes(), run.everything()) == alone(kind, N, dtype)


@pytest.mark.parametrize("kind", ["lstm", "memory"])
def test_the_number_of_threads_may_change_on_the_way(kind):
    runs = {threads: start(kind, 65, threads=threads) for threads in THREADS}
    one = start(kind, 65)
    one.run(15)
    for threads in (2, 1, 3):
        run = runs[threads]
        run.run(5)
        for other in runs.values():  # go on from there
            for a, b in zip((other.model.block, other.state, other.best, *other.memories),
                            (run.model.block, run.state, run.best, *run.memories), strict=True):
                a[:] = b
            other.training.counters = run.training.counters
            for a, b in zip(other.generators, run.generators, strict=True):
                a.bit_generator.state = b.bit_generator.state
    assert run.everything() == one.everything()


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "plain"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_unroll_gives_the_same_bits(isa, kind, packed):
    for N, dtype in zip(BATCHES, ["float64", "float32"] * 4, strict=True):
        model = random_model(kind, dtype, 12, 17, num_layers=2, dropout=0.2, weight_drop=0.3)
        network, window = network_of(model, 4, N, packed), random_window(model, 4, N)
        results = []
        for threads in (*THREADS, 100):  # also more than there are slices
            generators = generators_of(model, network)
            losses, grads, last = unroll(model, network, *window, generators, threads)
            results.append([losses.tobytes(), last.tobytes(), [g.tobytes() for g in grads.values()],
                            [g.bit_generator.state for g in generators]])
        assert all(result == results[0] for result in results)


@pytest.mark.parametrize("kind", KINDS)
def test_products_of_bfloat16_give_the_same_bits(mixed_isa, kind):
    """Of every way to compute them, at sizes with whole tiles and parts of them."""
    for N, T, H in ((1, 4, 17), (9, 4, 33), (50, 3, 64), (65, 2, 40)):
        model = random_model(kind, MIXED, 12, H, num_layers=2, dropout=0.2, weight_drop=0.3)
        network, window = network_of(model, T, N), random_window(model, T, N)
        results = []
        for threads in (*THREADS, 100):
            generators = generators_of(model, network)
            losses, grads, last = unroll(model, network, *window, generators, threads)
            results.append([a.tobytes() for a in (losses, last, *grads.values())])
        assert all(result == results[0] for result in results)


@pytest.mark.parametrize("threads", THREADS)
def test_the_gradients_of_slices_are_added_in_a_tree(threads):
    """Those of each alone, found by a mask that leaves out the others: ((0 + 1) + (2 + 3)) +
    (4 + 5), in float32, which one after the other differ."""
    model = random_model("gru", "float32", 12, 17, num_layers=2)
    inputs, targets, state = random_window(model, 5, 70)
    network = network_of(model, 5, 70)

    def gradients(mask):
        block = np.full_like(model.block, np.nan)
        network.unroll(model.block, time_major(inputs), state.copy(), time_major(targets), block,
                       threads=threads, mask=mask)
        return block

    alone = []
    for first, count in network.slices:
        mask = np.zeros((5, 70), np.uint8)
        mask[:, first : first + count] = 1
        alone.append(gradients(mask))
    assert len(alone) == 6
    tree = ((alone[0] + alone[1]) + (alone[2] + alone[3])) + (alone[4] + alone[5])
    found = gradients(np.ones((5, 70), np.uint8))
    assert np.array_equal(found, tree)
    assert not np.array_equal(found, functools.reduce(np.add, alone))


@pytest.mark.parametrize("kind", KINDS)
def test_samples_are_the_same(isa, kind):
    """Of many texts at once, with marks of the symbols that were seen, and the last states."""
    for N, dtype in zip(BATCHES, ["float64", "float32"] * 4, strict=True):
        model = random_model(kind, dtype, 12, 17, num_layers=2)
        network, results = network_of(model, 1, N), []
        for threads in (*THREADS, 16):
            rng = np.random.default_rng(N)
            state = random_window(model, 1, N)[2].copy()
            seen = np.zeros((N, 12), np.uint8)
            ids = network.sample(model.block, state, rng.integers(0, 12, N, np.int32), 1.3,
                                 rng.random((20, N)), penalty=1.5, seen=seen, threads=threads)
            results.append([ids.tobytes(), state.tobytes(), seen.tobytes()])
        assert len(np.unique(ids)) > 4 and all(result == results[0] for result in results)


@pytest.mark.usefixtures("many_cores")
@pytest.mark.parametrize("optimizer", ["rmsprop", "sgd"])
def test_a_trainer_gives_the_same_bits(optimizer):
    corpus = fastrnn.Corpus.from_text("".join(
        np.random.default_rng(0).choice([*"abcdefgh \n"], 2000)))
    results = []
    for threads in THREADS:
        model = fastrnn.Model(corpus.vocabulary, cell="lstm", hidden_size=40, num_layers=2,
                              dropout=0.3, seed=1)
        trainer = fastrnn.Trainer(model, corpus, seq_length=10, batch_size=50, threads=threads,
                                  optimizer=optimizer, learning_rate=0.01, seed=2, progress=False)
        trainer.run(updates=20)
        results.append([model.block.tobytes(), trainer.state.tobytes(),
                        trainer.history.loss.tobytes(), trainer.history.smooth_loss.tobytes()])
    assert results[1] == results[0] and results[2] == results[0]


def test_no_threads_are_one():
    """In a process of its own: a leader that waits for less than nobody waits for ever."""
    assert in_a_process("""
from test_threads import *
for threads in (0, -1):
    run = start("lstm", 9, threads=threads)
    loss, smooth = run.run(25)
    same = (loss.tobytes(), smooth.tobytes(), run.everything()) == alone("lstm", 9, "float64")
    print(same)
""").split() == ["True", "True"]


# ---- in threads of the caller ----

@pytest.mark.parametrize("threads", THREADS)
def test_runs_in_other_threads_of_python(threads):
    """One alone, then three at once."""
    def work(kind):
        run = start(kind, 9, threads=threads)
        loss, smooth = run.run(25)
        return loss.tobytes(), smooth.tobytes(), run.everything()

    kinds = ("lstm", "rnn", "gru")
    for workers in (1, 3):
        with ThreadPoolExecutor(workers) as pool:
            for kind, result in zip(kinds, pool.map(work, kinds), strict=True):
                assert result == alone(kind, 9, "float64")


@pytest.mark.parametrize("threads", THREADS)
def test_one_workspace_is_used_by_one_thread_at_a_time(threads):
    model = random_model("gru", "float64", 12, 30, num_layers=2)
    network = network_of(model, 20, 16)
    windows = [random_window(model, 20, 16, seed) for seed in range(4)]
    expected = [unroll(model, network_of(model, 20, 16), *window)[0] for window in windows]
    barrier = threading.Barrier(4)

    def work(i):
        barrier.wait()
        return [unroll(model, network, *windows[i], threads=threads)[0] for _ in range(20)]

    with ThreadPoolExecutor(4) as pool:
        for losses, all_of_them in zip(expected, pool.map(work, range(4)), strict=True):
            assert all(np.array_equal(losses, each) for each in all_of_them)


def in_threads(count, work):
    """work(0), ..., work(count - 1), each in a thread of its own, all beginning together."""
    barrier = threading.Barrier(count)

    def one(i):
        barrier.wait()
        return work(i)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("count", [2, 4])
def test_one_training_in_several_threads(count, threads):
    """Each call is a whole one: the updates are those of one thread that makes all calls, and so is
    what another thread sees of the counters."""
    one, run = start("gru", 9), start("gru", 9, threads=threads)
    serial = [one.run(5) for _ in range(10 * count)]
    seen = []

    def work(i):
        calls = [run.run(5) for _ in range(10)] if i < count else []
        while i == count and run.training.update < 50 * count:
            seen.append(run.training.counters)
        return calls

    calls = [call for calls in in_threads(count + 1, work) for call in calls]
    assert run.everything() == one.everything()
    for kind in (0, 1):  # losses, smoothed losses; a call is known by its first
        assert (sorted(map(tuple, (call[kind] for call in calls)))
                == sorted(map(tuple, (call[kind] for call in serial))))
    assert all(counters["update"] % 5 == 0 for counters in seen)
    assert all(a["update"] <= b["update"] for a, b in itertools.pairwise(seen))


def trainers(batches, **settings):
    """Of one model, on the text of all tests here."""
    text = "".join(np.random.default_rng(0).choice([*"abcdefgh \n"], 5000))
    corpus = fastrnn.Corpus.from_text(text)
    model = fastrnn.Model(corpus.vocabulary, hidden_size=16, dropout=0.1)
    return model, [fastrnn.Trainer(model, corpus, progress=False, batch_size=batch, **settings)
                   for batch in batches]


@pytest.mark.parametrize("batches", [(8, 8), (8, 9), (8, 8, 30)])
def test_trainers_of_one_model_take_turns(batches):
    """With the same batch they share a workspace, with others the parameters: these are what calls
    in some order make."""
    rates = np.full(60, 0.1)

    def result(order=None):
        model, all_of_them = trainers(batches, threads=2)
        calls = [trainer._updates.training.run for trainer in all_of_them]
        if order is None:
            losses = in_threads(len(calls), lambda i: calls[i](rates)[0])
        else:
            losses = dict(sorted((i, calls[i](rates)[0]) for i in order)).values()
        return model.block.tobytes(), *(loss.tobytes() for loss in losses)

    possible = {result(order) for order in itertools.permutations(range(len(batches)))}
    assert len(possible) == math.factorial(len(batches))
    assert all(result() in possible for _ in range(5))


def test_trainers_of_one_model_run_and_save(tmp_path):
    model, all_of_them = trainers((4, 4, 9))
    for trainer in all_of_them:
        trainer.threads = 2

    def work(i):
        if i < 3:
            return all_of_them[i].run(updates=300)
        return [model.sample(20, seed=0), *(model.score("abc def") for _ in range(10))]

    in_threads(4, work)
    for i, trainer in enumerate(all_of_them):
        assert trainer.update == 300 and np.isfinite(trainer.history.loss).all()
        trainer.save(tmp_path / f"{i}.safetensors")
        assert fastrnn.load(tmp_path / f"{i}.safetensors").block.tobytes() == model.block.tobytes()


def test_copies_and_files_are_whole(tmp_path):
    """Taken while another thread trains the model: the parameters are those between two calls."""
    path, rates = tmp_path / "m.safetensors", np.full(5, 0.1)
    (_, (one,)), (model, (trainer,)) = trainers((8,)), trainers((8,), threads=2)
    between = {one.model.block.tobytes()}
    for _ in range(200):
        one._updates.training.run(rates)
        between.add(one.model.block.tobytes())
    run = trainer._updates.training.run
    thread = threading.Thread(target=lambda: [run(rates) for _ in range(200)])
    thread.start()
    while thread.is_alive():
        assert model.copy().block.tobytes() in between
        model.save(path)
        assert fastrnn.load(path).block.tobytes() in between
    assert len(between) == 201 and model.block.tobytes() == one.model.block.tobytes()


def test_a_history_is_read_while_it_grows():
    """Nothing that is added gets lost, and every reader sees a beginning of it."""
    history, whole = fastrnn.History(seq_length=1), np.arange(6000.0)

    def work(i):
        if not i:
            for n in range(0, 6000, 2):
                history.extend(whole[n : n + 2], whole[n : n + 2], whole[n : n + 2])
        while len(history) < 6000:
            n = len(history)
            loss, other = history.loss, history.copy()
            assert n <= len(loss) <= len(other) == len(other.loss)
            assert np.array_equal(loss, whole[: len(loss)])
            assert np.array_equal(other.loss, whole[: len(other)])
            assert len(history.train_loss) >= n

    in_threads(4, work)
    assert np.array_equal(history.loss, whole) and len(history) == 6000


@pytest.mark.parametrize("bits", ["PCG64", "MT19937"])
def test_generators_are_drawn_from_by_one_thread_at_a_time(bits):
    """Two networks and the caller share them: as many numbers are drawn as in one thread, and no
    place in MT19937's table is passed."""
    model = random_model("lstm", "float64", 12, 17, num_layers=2, dropout=0.2)
    window = random_window(model, 4, 9)

    def final(run):
        generators = [np.random.Generator(getattr(np.random, bits)(i)) for i in range(2)]
        networks = [network_of(model, 4, 9) for _ in range(2)]

        def work(i):
            for _ in range(200):
                if i < 2:  # in both orders: no deadlock
                    unroll(model, networks[i], *window, generators[:: 1 - 2 * i], threads=2)
                else:
                    generators[0].bit_generator.random_raw(10)

        run(work)
        return [str(g.bit_generator.state) for g in generators]

    assert final(lambda work: in_threads(3, work)) == final(lambda work: [*map(work, range(3))])
    same = np.random.default_rng(0)
    with pytest.raises(ValueError, match="a generator of its own for each slice"):
        unroll(model, network_of(model, 4, 9), *window, [same, same])
    with pytest.raises(ValueError, match="a generator of its own for each slice"):
        unroll(model, network_of(model, 4, 9), *window,
               [same, np.random.Generator(same.bit_generator)])


LAYERS = {
    "rnn": lambda: nn.RNN(5, 20, threads=2), "gru": lambda: nn.GRU(5, 20, threads=1),
    "lstm": lambda: nn.LSTM(5, 20, threads=2), "linear": lambda: nn.Linear(5, 20),
    "several": lambda: nn.Sequential(nn.LSTM(5, 20), nn.Linear(20, 9), nn.RNN(9, 4))}


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_in_several_threads(kind):
    """Each thread gets the gradients of its own forward, bit for bit, whatever the others do."""
    rng = np.random.default_rng(0)
    layer, given = LAYERS[kind](), [rng.normal(size=(9, 7, 5)) for _ in range(4)]
    waiting = threading.Barrier(4)

    def gradients(i, wait):
        out = []
        for _ in range(20):
            y = layer.forward(given[i])
            wait()
            dx = layer.backward(y + i)
            wait()
            dx = dx if isinstance(dx, tuple) else (dx,)
            out.append([a.tobytes() for a in (y, *dx, *layer.grads.values())])
            assert out[-1] == out[0]
        return out[0]

    alone_ = [gradients(i, lambda: None) for i in range(4)]
    kept = [g.tobytes() for g in layer.grads.values()]
    assert in_threads(4, lambda i: gradients(i, waiting.wait)) == alone_
    assert [g.tobytes() for g in layer.grads.values()] == kept  # this thread's
    assert not any(in_threads(1, lambda _: len(layer.grads)))
    with pytest.raises(RuntimeError, match="in this thread: call forward first"):
        in_threads(1, lambda _: layer.backward(given[0]))


def test_layers_that_change_in_several_threads():
    """Threads that go on with one layer while its parameters are replaced: each pass is one of the
    old or of the new ones."""
    layer, x = nn.GRU(3, 30, threads=1), np.random.default_rng(0).normal(size=(2, 4, 3))
    old = layer.params["Wx"]
    new = old * 2

    def passed():
        h = layer.forward(x)
        return h.tobytes(), layer.backward(np.ones_like(h))[0].tobytes()

    possible = set()
    for layer.params["Wx"] in (old, new):
        possible.add(passed())
    assert len(possible) == 2

    def work(i):
        for n in range(200):
            if i:
                assert passed() in possible
            else:
                layer.params["Wx"] = (old, new)[n % 2]

    in_threads(4, work)


def test_steps_in_several_threads():
    """A cache belongs to no thread."""
    layer, rng = nn.LSTM(3, 8), np.random.default_rng(0)
    x, h, c = (rng.normal(size=(2, n)) for n in (3, 8, 8))
    cache = layer.step(x, h, c)[2]
    expected = [a.tobytes() for a in layer.step_backward(h, c, cache)]

    def work(i):
        for _ in range(50):
            layer.step(x + i, h, c)
            assert [a.tobytes() for a in layer.step_backward(h, c, cache)] == expected

    in_threads(4, work)


def test_losses_in_several_threads():
    loss, rng = nn.SoftmaxCrossEntropy(), np.random.default_rng(0)
    scores, labels = rng.normal(size=(4, 2, 3, 5)), rng.integers(0, 5, (4, 2, 3))
    waiting = threading.Barrier(4)

    def gradients(i, wait):
        loss.forward(scores[i], labels[i])
        wait()
        return loss.backward().tobytes()

    alone_ = [gradients(i, lambda: None) for i in range(4)]
    assert in_threads(4, lambda i: gradients(i, waiting.wait)) == alone_


SIGNALS = """
import signal
from test_threads import *
model, (trainer,) = trainers((16,), threads=2)
samples = []
signal.signal(signal.SIGALRM, lambda *_: samples.append((model.sample(5), trainer.update)))
rng = np.random.default_rng(0)
for _ in range(300):
    signal.setitimer(signal.ITIMER_REAL, 1e-6 + rng.uniform(0, 2e-3))
    trainer._updates.training.run(np.full(2, 0.01))
    model.sample(5)
signal.setitimer(signal.ITIMER_REAL, 0)
assert len(samples) > 10
print(trainer.update > 0 and np.isfinite(model.block).all())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no interval timer")
def test_a_handler_of_a_signal_may_use_the_model():
    """It interrupts the thread that is about to train it, which has the lock."""
    assert in_a_process(SIGNALS).split() == ["True"]


# ---- the pool of helpers ----

def os_threads():
    """How many threads the process has, where Linux tells it."""
    tasks = Path("/proc/self/task")
    return len([*tasks.iterdir()]) if tasks.exists() else helpers()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_pool_has_the_helpers_that_were_needed(isa, dtype):
    """As many as had something to do, and no more later; the caller's flags are as they were."""
    from test_kernels import subnormals_live

    end_helpers()
    before, most, model = os_threads(), 0, random_model("lstm", dtype, 12, 17)
    for N, threads in [(1, 2), (7, 3), (9, 1), (9, 2), (65, 3), (65, 19), (130, 4), (9, 2)]:
        network, window = network_of(model, 4, N), random_window(model, 4, N)
        unroll(model, network, *window, threads=threads)
        most = max(most, min(threads, len(network.slices)) - 1)
        run = Run(model, np.random.default_rng(0).integers(0, 12, 20 * N), N=N, threads=threads)
        run.run(6)
        assert helpers() == os_threads() - before == most and subnormals_live()
    assert most > 1
    model.block[:] = np.nan
    assert len(run.run(6)[0]) == 0  # also where the run ends early
    end_helpers()
    assert helpers() == 0 and os_threads() == before and subnormals_live()


@pytest.mark.parametrize("dtype", ["float32", "float64", MIXED])
def test_subnormals_are_zero_in_helpers(isa, dtype):
    """States that halve at each step end as zeros in every slice, whoever takes it."""
    from test_kernels import fading_model

    model, factor, state = fading_model("lstm", dtype)
    state = np.repeat(state, 130, axis=0)
    network = network_of(model, 3, 130)
    for _ in range(50):
        moved = state.copy()
        network.unroll(model.block, np.zeros((3, 130), np.int32), moved, threads=3)
        assert not moved.any()


@pytest.mark.parametrize("flags", ["", "-U__linux__"], ids=["here", "elsewhere"])
def test_many_calls_share_the_pool(tmp_path, flags):
    """Each job is done once, in no more threads than its call has; however the threads wait."""
    program = tmp_path / "pool"
    build(Path(__file__).with_name("pool.c"), program, "-pthread", *flags.split())
    for calls, rounds, threads in ((1, 2000, 2), (8, 500, 5), (40, 100, 16), (2, 2000, 3)):
        done = subprocess.run([program, *map(str, (calls, rounds, threads))], text=True,
                              capture_output=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) == threads - 1


def test_eight_threads_of_python_share_the_pool():
    def work(i):
        kind, N = KINDS[i % len(KINDS)], (9, 65)[i % 2]
        run = start(kind, N, threads=(16, 2)[i % 2])
        loss, smooth = run.run(25)
        return (loss.tobytes(), smooth.tobytes(), run.everything()) == alone(kind, N, "float64")

    assert all(in_threads(8, work))


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_more_threads_than_cores_give_the_same_bits(kind):
    run = start(kind, 130, threads=16)
    loss, smooth = run.run(25)
    assert (loss.tobytes(), smooth.tobytes(), run.everything()) == alone(kind, 130, "float64")


SCARCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

int threads_left = 1000;

int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *x) {
    int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    *(void **)&create = dlsym(RTLD_NEXT, "pthread_create");
    return threads_left-- > 0 ? create(thread, how, run, x) : EAGAIN;
}
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs LD_PRELOAD")
def test_a_system_without_more_threads(tmp_path):
    """Then fewer do the work, and as soon as it has some, more."""
    library = tmp_path / "scarce.so"
    build("-", library, "-shared", "-fPIC", "-ldl", input=SCARCE)
    assert in_a_process("""
import ctypes
from test_threads import *
threads_left = ctypes.c_int.in_dll(ctypes.CDLL(None), "threads_left")
expected = alone("lstm", 130, "float64")
for threads_left.value in (0, 1, 1000):
    run = start("lstm", 130, threads=3)
    loss, smooth = run.run(25)
    print(helpers(), (loss.tobytes(), smooth.tobytes(), run.everything()) == expected)
""", LD_PRELOAD=str(library)).split() == ["0", "True", "1", "True", "2", "True"]


CTRL_C = """
import signal
from test_threads import *
signal.signal(signal.SIGALRM, signal.default_int_handler)
model = random_model("lstm", "float32", 12, 40)
network, window = network_of(model, 10, 65), random_window(model, 10, 65)
expected, interrupted = unroll(model, network, *window)[0], 0
rng = np.random.default_rng(0)
for _ in range(100):
    try:
        signal.setitimer(signal.ITIMER_REAL, 1e-6 + rng.uniform(0, 4e-3))
        for _ in range(100):  # Python loses an interrupt that falls into a callback of its own
            unroll(model, network, *window, threads=3)
            if not rng.integers(3):
                end_helpers()
    except KeyboardInterrupt:
        interrupted += 1
assert np.array_equal(unroll(model, network, *window, threads=3)[0], expected)
print(interrupted > 50, helpers())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no interval timer")
def test_ctrl_c_leaves_the_pool_whole():
    """At any point: while helpers start, while they work, while they end."""
    assert in_a_process(CTRL_C).split() == ["True", "2"]


ENDS = """
from test_threads import *
one = start("lstm", 65, threads=3)
one.run(25)
assert helpers() == 2
{last}
"""


@pytest.mark.parametrize("last", [
    "pass", "sys.exit()", "os._exit(0)", "end_helpers(), end_helpers()",
    "threading.Thread(target=lambda: [one.run(5) for _ in range(10**6)], daemon=True).start()",
    "import atexit; atexit.register(lambda: one.run(25))",  # after the pool's own end, too
    "atexit = __import__('atexit'); atexit.unregister(end_helpers)",
    "import multiprocessing as m; p = m.Process(target=one.run, args=(25,)); p.start(); p.join()\n"
    "assert p.exitcode == 0"])
def test_a_process_ends(last):
    """Whatever its helpers do at that moment."""
    in_a_process(ENDS.format(last=last), 60)


# ---- nothing is allocated in the loop ----

COUNTER = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static long calls;
long allocations(void) { return __atomic_load_n(&calls, __ATOMIC_SEQ_CST); }
#define COUNT __atomic_fetch_add(&calls, 1, __ATOMIC_SEQ_CST)

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

void *malloc(size_t n) { COUNT; return __libc_malloc(n); }
void *calloc(size_t n, size_t size) { COUNT; return __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { COUNT; return __libc_realloc(p, n); }
void *memalign(size_t step, size_t n) { COUNT; return __libc_memalign(step, n); }
void *aligned_alloc(size_t step, size_t n) { COUNT; return __libc_memalign(step, n); }
int posix_memalign(void **p, size_t step, size_t n) {
    COUNT;
    *p = __libc_memalign(step, n);
    return *p ? 0 : ENOMEM;
}
void *mmap(void *at, size_t n, int may, int flags, int file, off_t offset) {
    COUNT;
    return (void *)syscall(SYS_mmap, at, n, may, flags, file, offset);
}
"""

COUNTING = """
import ctypes
from test_threads import *
allocations = ctypes.CDLL(None).allocations
allocations.restype = ctypes.c_long
before = allocations()
kept = [np.empty(5000) for _ in range(100)]
assert allocations() - before >= 100
rates = {{n: np.full(n, 1e-3) for n in (150, 600)}}  # NumPy keeps smaller arrays to itself
for kind in {kinds}:
    if {large}:
        run = start(kind, 9, threads={threads})
    else:
        model = random_model(kind, "float32", 12, 7, num_layers=2, dropout=0.2, embedding_size=5)
        ids = np.random.default_rng(3).integers(0, 12, 400)
        run = Run(model, ids, 5, 9, "adam", 0.01, {threads}, clip_norm=0.8)
    counts = {{n: [] for n in rates}}
    for _ in range(4):
        for n in rates:
            before = allocations()
            assert len(run.training.run(rates[n])[0]) == n
            counts[n].append(allocations() - before)
    print(*(min(c) for c in counts.values()))
"""


@pytest.fixture(scope="module")
def counter(tmp_path_factory):
    """A library that counts how often memory is asked for."""
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("needs glibc, whose malloc can be replaced")
    if "-fsanitize=" in fastrnn.build_info()["compiler"]:
        pytest.skip("the sanitizers have a malloc of their own")
    path = tmp_path_factory.mktemp("counter") / "counter.so"
    build("-", path, "-shared", "-fPIC", "-O1", "-w", input=COUNTER)
    return path


@pytest.mark.parametrize(("kinds", "threads", "large"), [
    (KINDS, 1, False), (["rnn"], 2, False), (["lstm"], 2, True)])
def test_the_update_loop_allocates_nothing(counter, kinds, threads, large):
    """600 updates in one call ask for memory as often as 150 do, which is to start threads, and
    for what the call returns."""
    script = COUNTING.format(kinds=kinds, threads=threads, large=large)
    lines = in_a_process(script, LD_PRELOAD=str(counter)).splitlines()
    for kind, line in zip(kinds, lines, strict=True):
        few, many = map(int, line.split())
        assert few == many < 100, kind


# ---- NumPy's BLAS in layers of one's own ----

def linear_work():
    layer, x = nn.Linear(300, 400), np.ones((40, 50, 300))
    return lambda: layer.backward(layer.forward(x))


def sequential_work():
    network, x = nn.Sequential(nn.Linear(300, 400), nn.Linear(400, 200)), np.ones((2000, 300))
    return lambda: network.backward(network.forward(x))


def vector_work():
    layer, x = nn.Linear(3000, 1500, dtype="float32"), np.ones((1, 3000), np.float32)
    return lambda: layer.backward(layer.forward(x))


def clip_work():
    grads = {"a": np.ones(2_000_000)}
    return lambda: optim.clip_norm_(grads, 1e9)


def orthogonal_work():
    return lambda: nn.RNN(300, 300, init="orthogonal", threads=1)


@pytest.mark.skipif(cores() < 2, reason="one core")
@pytest.mark.parametrize("work", [linear_work, sequential_work, vector_work, clip_work,
                                  orthogonal_work])
def test_layers_run_on_one_blas_thread(work):
    """No other thread of this process computes meanwhile: on a loaded machine they would wait for
    each other. BLAS has its threads back afterwards."""
    limits = threadpoolctl.ThreadpoolController().select(user_api="blas")
    with limits.limit(limits={"blas": 2}):
        before = [library["num_threads"] for library in threadpoolctl.threadpool_info()
                  if library["user_api"] == "blas"]
        once = work()
        once()
        whole, own = time.process_time(), time.thread_time()
        while time.thread_time() - own < 0.2:
            once()
        own, whole = time.thread_time() - own, time.process_time() - whole
        assert whole < 1.1 * own
        assert before == [library["num_threads"] for library in threadpoolctl.threadpool_info()
                          if library["user_api"] == "blas"]
