"""Every compiled kernel against its twin in reference.py, for each instruction set.

T, N, H and K always differ, T is at least 3, the initial state is random. float64 must agree to
1e-12 of a tensor's largest entry. float32 is compared with the reference in float64 from the very
same parameters: see `tolerance`.
"""
import contextlib
import functools
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import fastrnn
from fastrnn import _core, reference
from fastrnn.model import Model, time_major

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

from numpy_hoisted import NumpyHoisted

CELLS = pytest.mark.parametrize("cell", _core.CELLS)
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def tolerance(dtype, *lengths):
    """Largest error allowed, relative to the tensor's largest entry.

    float32 rounds to u = 2^-24 of a number. A sum of n terms of either sign gathers about sqrt(n) u
    of them; tanh and exp err by 2.5 ulp, 5 u at most. A gradient passes four sums (the scores, dh,
    the steps back in time, the sum over T N), which the recurrence, kept contracting here, does not
    blow up, and the terms of the last may be about twice as large as their sum. 8 (5 + sqrt(n)) u
    covers that: 4e-6 for a longest sum of n = 16, 2e-5 for n = 1000.
    """
    return 1e-12 if dtype == "float64" else 8 * (5 + max(lengths) ** 0.5) * 2.0**-24


def assert_close(actual, expected, limit, name):
    error = np.abs(np.asarray(actual, np.float64) - expected).max()
    largest = np.abs(expected).max()
    assert error <= limit * largest, f"{name}: off by {error / largest:.2e} of its largest entry"


def vocabulary(K):
    return fastrnn.Vocabulary([chr(0x100 + i) for i in range(K)])


def random_model(cell, dtype, K, H, seed=0):
    """Weights large enough that every tensor matters, Wh contracting, most ReLUs at work."""
    model = Model(vocabulary(K), cell=cell, hidden_size=H, dtype=dtype)
    rng = np.random.default_rng(seed)
    spread = {"layer0.Wh": 0.8 / H**0.5, "head.W": 2 / H**0.5}
    for name, p in model.params.items():
        p[:] = rng.normal(0.8 if name == "layer0.b" else 0, spread.get(name, 0.5), p.shape)
    return model


def random_window(model, T, N, seed=1):
    """inputs, targets (N, T), state (N, H)"""
    rng = np.random.default_rng(seed)
    K = len(model.vocabulary)
    state = rng.uniform(-1, 1, (N, model.config["hidden_size"])).astype(model.config["dtype"])
    return rng.integers(0, K, (N, T)), rng.integers(0, K, (N, T)), state


def wide(params):
    """A copy in float64."""
    return {name: p.astype(np.float64) for name, p in params.items()}


def reference_losses(params, inputs, targets, state, cell):
    """The cross-entropy of each prediction, (N, T), and all states (N, T, H)."""
    x = np.eye(len(params["layer0.Wx"]))[inputs]
    h = reference.rnn_forward(
        x, state, *(params[f"layer0.{name}"] for name in ("Wx", "Wh", "b")), cell)
    scores = h @ params["head.W"] + params["head.b"]
    n, t = np.ogrid[: len(inputs), : inputs.shape[1]]
    return np.log(np.exp(scores).sum(axis=2)) - scores[n, t, targets], h


# ---- the unroll ----

def assert_unroll(cell, dtype, K, H, T, N):
    model = random_model(cell, dtype, K, H, seed=K + H)
    inputs, targets, state = random_window(model, T, N)
    params, start = wide(model.params), state.astype(np.float64)
    limit = tolerance(dtype, K, H, T * N)

    loss, grads, last = model.loss_and_gradients(inputs, targets, state)
    expected, expected_grads, expected_last = reference.loss_and_gradients(
        params, inputs, targets, start, cell)
    assert loss == pytest.approx(expected, rel=limit)
    assert last.dtype == dtype
    assert_close(last, expected_last, limit, "state")
    assert list(grads) == list(expected_grads)
    for name, g in grads.items():
        assert g.dtype == dtype
        assert np.abs(expected_grads[name]).max() > 1e-4  # there is something to compare
        assert_close(g, expected_grads[name], limit, name)

    each, _ = reference_losses(params, inputs, targets, start, cell)
    assert_close(model.losses(inputs, targets, state), each, limit, "losses")
    return model, inputs, targets, state


# One row, 2 to 6 and more; H and K of one unit, one register, a whole panel, one more than that,
# partial panels; K below a register and as large as a vocabulary of words.
SIZES = [  # K, H, T, N
    (2, 1, 3, 4), (3, 2, 4, 1), (7, 5, 3, 2), (5, 16, 4, 3), (17, 64, 3, 1), (83, 65, 5, 4),
    (40, 33, 3, 5), (70, 20, 4, 6), (65, 100, 3, 7), (3, 130, 5, 8), (1000, 48, 7, 2),
    (129, 12, 25, 1), (64, 128, 6, 13), (90, 31, 4, 12), (16, 8, 9, 1),
]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@DTYPES
@CELLS
def test_losses_state_and_gradients(isa, cell, dtype, sizes):
    assert len(set(sizes)) == 4 and sizes[2] >= 3
    assert_unroll(cell, dtype, *sizes)


@DTYPES
@CELLS
def test_every_tile(isa, cell, dtype):
    """1 to 7 rows times every number of vectors, within one panel and over several, the last of
    them filled by 1, all but 1 or all of its lanes."""
    lanes = _core.lanes(dtype)
    for N in range(1, 8):
        for vectors in (*range(1, 10), 16, 17) if N == 1 else range(1, 7):
            H = (vectors - 1) * lanes + (1, lanes - 1, lanes)[(N + vectors) % 3]
            K = (1 + (vectors + 2 * N) % 6) * lanes + (N - vectors) % lanes
            K += (K == H) * lanes
            T = next(T for T in range(3, 7) if T not in (K, H, N))
            if K > 1:
                assert_unroll(cell, dtype, K, H, T, N)


@DTYPES
@CELLS
def test_one_prediction(isa, cell, dtype):
    """T = 1: with N = 1 the output layer too meets a single row."""
    lanes = _core.lanes(dtype)
    for K in (*range(2, 4), *(v * lanes + 1 for v in range(1, 10)), 16 * lanes, 17 * lanes):
        for N in (1, 2):
            assert_unroll(cell, dtype, K, 5 + K % 3, 1, N)


@DTYPES
def test_no_loss_is_negative(isa, dtype):
    """Where the target has all the probability the loss is 0, not what rounding makes of it."""
    rng = np.random.default_rng(0)
    for K in (2, 9, 65):
        model = random_model("rnn", dtype, K, 6)
        for scale in (1, 30, 1000):
            model.params["head.b"][:] = rng.normal(0, scale, K)
            inputs = rng.integers(0, K, (4, 5))
            targets = np.full((4, 5), np.argmax(model.params["head.b"]))
            assert model.losses(inputs, targets).min() >= 0
    assert model.losses(inputs, targets).max() == 0


@DTYPES
@CELLS
def test_unroll_fills_every_gradient_and_nothing_else(isa, cell, dtype):
    """grads may hold anything before; inputs, targets and parameters stay; without targets the
    state alone moves."""
    model = random_model(cell, dtype, 11, 9)
    inputs, targets, state = random_window(model, 4, 3)
    _, expected, last = model.loss_and_gradients(inputs, targets, state)
    network = model.network(4, 3)
    x, y = time_major(inputs), time_major(targets)
    before = [a.copy() for a in (model.block, x, y)]
    for fill in (np.nan, np.inf, 7):
        grads, moved = np.full_like(model.block, fill), state.copy()
        network.unroll(model.block, x, moved, y, grads)
        for name, g in model.views(grads).items():
            assert np.array_equal(g, expected[name]), name
        assert np.array_equal(moved, last)
    moved = state.copy()
    assert not network.unroll(model.block, x, moved).any()
    assert np.array_equal(moved, last)
    for a, b in zip(before, (model.block, x, y), strict=True):
        assert np.array_equal(a, b)


@DTYPES
@CELLS
def test_a_part_of_the_longest_unroll(isa, cell, dtype):
    """Fewer steps than the workspace holds, after more of them, give what a fitting one gives."""
    model = random_model(cell, dtype, 10, 7)
    network = model.network(9, 2)
    for T in (9, 4, 3, 9):
        inputs, targets, state = random_window(model, T, 2, seed=T)
        loss, grads, last = model.loss_and_gradients(inputs, targets, state)
        block = np.empty_like(model.block)
        losses = network.unroll(
            model.block, time_major(inputs), state, time_major(targets), block)
        assert losses.sum() / 2 == pytest.approx(loss, rel=1e-15)
        assert np.array_equal(state, last)
        for name, g in model.views(block).items():
            assert np.array_equal(g, grads[name]), name


@DTYPES
@CELLS
def test_a_bad_unroll_leaves_nothing_behind(isa, cell, dtype):
    """Once numbers are no longer finite they must not stay in the workspace."""
    for K in (5, 9, 65):
        model = random_model(cell, dtype, K, 6)
        inputs, targets, state = random_window(model, 3, 2)
        good = model.block.copy()
        loss, grads, last = model.loss_and_gradients(inputs, targets, state)
        ids = model.draw(50, model.zero_state(), 1, 1.0, np.random.default_rng(0))
        for value in (np.nan, np.inf):
            for name, p in model.params.items():
                p[:] = value
                model.draw(3, model.zero_state(), 1, 1.0, np.random.default_rng(0))
                bad, _, _ = model.loss_and_gradients(inputs, targets, state)
                if np.isnan(value):  # tanh of infinity is 1
                    assert not np.isfinite(bad), f"{name} of {value} gave a loss of {bad}"
                model.block[:] = good
        again, grads_again, last_again = model.loss_and_gradients(inputs, targets, state)
        assert again == loss
        assert np.array_equal(last_again, last)
        for name, g in grads_again.items():
            assert np.array_equal(g, grads[name]), name
        ids_again = model.draw(50, model.zero_state(), 1, 1.0, np.random.default_rng(0))
        assert np.array_equal(ids_again, ids)


# ---- gradients against differences ----

@CELLS
@pytest.mark.parametrize("sizes", [(7, 5, 4, 3), (9, 17, 3, 1), (5, 1, 6, 2)], ids=str)
def test_gradcheck(isa, cell, sizes):
    K, H, T, N = sizes
    model = random_model(cell, "float64", K, H, seed=2)
    inputs, targets, state = random_window(model, T, N)
    report = fastrnn.gradcheck(model, inputs, targets, state=state, step=1e-5)
    assert list(report.worst) == list(model.params)
    for name, p in model.params.items():
        assert report.worst[name].checked == p.size
        assert report[name] < 1e-6, report


@pytest.mark.parametrize("start", ["zero", "random"])
def test_gradcheck_on_a_real_text(isa, alice, start):
    """The assignment's check: H = 5, 25 steps, step 1e-4."""
    corpus = fastrnn.Corpus.from_file(alice)
    model = Model(corpus.vocabulary, hidden_size=5, dtype="float64", seed=0, init_scale=0.1)
    state = model.zero_state() if start == "zero" else random_window(model, 1, 1)[2]
    window = corpus.ids[:26].astype(int)
    report = fastrnn.gradcheck(model, window[None, :-1], window[None, 1:], state=state, step=1e-4)
    assert report.max_error < 1e-5, report


@pytest.mark.parametrize("wrong", [1e-4, np.nan, np.inf])
@pytest.mark.parametrize("name", ["layer0.Wx", "layer0.Wh", "layer0.b", "head.W", "head.b"])
def test_gradcheck_finds_one_wrong_entry(monkeypatch, name, wrong):
    model = random_model("rnn", "float64", 7, 5)
    inputs, targets, state = random_window(model, 4, 3)
    inputs[0, 0] = 2
    right = Model.loss_and_gradients
    index = {"layer0.Wx": (2, 3), "layer0.Wh": (1, 4), "layer0.b": (2,), "head.W": (3, 5),
             "head.b": (6,)}[name]

    def corrupted(self, *args):
        loss, grads, last = right(self, *args)
        grads[name][index] += wrong
        return loss, grads, last

    monkeypatch.setattr(Model, "loss_and_gradients", corrupted)
    report = fastrnn.gradcheck(model, inputs, targets, state=state)
    assert not report[name] < 1e-6
    assert not report.max_error < 1e-6
    assert report.worst[name].index == index
    for other in model.params:
        assert other == name or report[other] < 1e-6


# ---- optimizers ----

IDS = np.random.default_rng(4).integers(0, 9, 61)  # of 11 symbols two never come
UPDATES = 33  # T = 4: over 2 epoch ends with 1 stream (14 updates), over 8 with 3
# small enough that most entries, or the norm, exceed them
CLIPS = {"none": {"clip_value": None}, "value": {"clip_value": 0.05},
         "norm": {"clip_value": None, "clip_norm": 0.5},
         "norm of some": {"clip_value": None, "clip_norm": 6.0},
         "both": {"clip_value": 0.04, "clip_norm": 0.6}}
RATES = {"adagrad": 0.1, "rmsprop": 0.01, "adam": 0.01, "sgd": 0.1}


def trainer_on(model, ids, **settings):
    corpus = fastrnn.Corpus(ids, model.vocabulary)
    settings = {"seq_length": 4, "progress": False} | settings
    return fastrnn.Trainer(model, corpus, **settings)


@functools.cache
def reference_run(cell, optimizer, clip, batch_size):
    params = wide(random_model(cell, "float64", 11, 9).params)
    run = reference.train(params, IDS, 4, batch_size, cell, optimizer, RATES[optimizer],
                          **CLIPS[clip])
    losses = np.array([next(run) for _ in range(UPDATES)])  # (updates, 2)
    return params, losses


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("optimizer", _core.OPTIMIZERS)
@DTYPES
def test_training_equals_the_reference(isa, dtype, optimizer, clip, batch_size):
    cell = "relu" if batch_size == 3 else "rnn"
    model = random_model(cell, dtype, 11, 9)
    start = wide(model.params)
    trainer = trainer_on(model, IDS, batch_size=batch_size, optimizer=optimizer,
                         learning_rate=RATES[optimizer], **CLIPS[clip])
    trainer.run(UPDATES)
    params, losses = reference_run(cell, optimizer, clip, batch_size)
    # float32 rounds each of the updates anew, and starts from rounded parameters
    limit = 1e-10 if dtype == "float64" else 3e-4
    np.testing.assert_allclose(trainer.history.loss, losses[:, 0], rtol=limit)
    np.testing.assert_allclose(trainer.history.smooth_loss, losses[:, 1], rtol=limit)
    for name, p in model.params.items():
        assert_close(p, params[name], limit, name)
        assert np.abs(params[name] - start[name]).max() > 0.01  # it has moved
    assert trainer.epoch >= 2
    # the rows of symbols that never come
    assert np.array_equal(model.params["layer0.Wx"][9:], start["layer0.Wx"][9:])
    for memory in trainer.snapshot()[0].items():
        if memory[0].startswith("optimizer."):
            assert not model.views(memory[1])["layer0.Wx"][9:].any()


@pytest.mark.parametrize("optimizer", _core.OPTIMIZERS)
def test_clipping_matters_in_these_tests(optimizer):
    ends = [reference_run("rnn", optimizer, clip, 1)[0]["head.W"] for clip in CLIPS]
    for i, a in enumerate(ends):
        for b in ends[:i]:
            assert np.abs(a - b).max() > 1e-4


@pytest.mark.parametrize("optimizer", _core.OPTIMIZERS)
@DTYPES
def test_rows_that_are_skipped_lose_nothing(isa, dtype, optimizer):
    """The loop's update, which leaves out rows of Wx, equals one over the whole block, bit for
    bit."""
    for K, H in ((11, 1), (11, 9), (30, 16), (70, 65)):
        model, other = (random_model("rnn", dtype, K, H) for _ in range(2))
        ids = IDS % K
        trainer = trainer_on(model, ids, batch_size=3, optimizer=optimizer, clip_value=0.1)
        numbers = {"rmsprop": (0.9,), "adam": (0.9, 0.999)}.get(optimizer, ())
        rule = _core.Optimizer(optimizer, trainer.config["learning_rate"], *numbers, clip_value=0.1)
        stored = [m for name, m in trainer.snapshot()[0].items() if name.startswith("optimizer.")]
        memories = [np.zeros_like(other.block) for _ in stored]
        streams, state = ids[:60].reshape(3, 20), other.zero_state(3)
        for update in range(1, 5):
            window = streams[:, 4 * update - 4 : 4 * update + 1]
            _, grads, state = other.loss_and_gradients(window[:, :-1], window[:, 1:], state)
            flat = np.concatenate([g.ravel() for g in grads.values()])
            rule.step(update, other.block, flat, memories)
            trainer.run(1)
            assert np.array_equal(model.block, other.block)
            for a, b in zip(stored, memories, strict=True):
                assert np.array_equal(a, b)


@pytest.mark.parametrize("optimizer", _core.OPTIMIZERS)
@DTYPES
def test_a_step_at_every_length_and_place(isa, dtype, optimizer):
    """Blocks of 1 to some registers, at any place in memory: the same entries, the reference's
    values, nothing written outside."""
    rng = np.random.default_rng(3)
    lanes = _core.lanes(dtype)
    size = 3 * lanes + 2
    step, count = reference.OPTIMIZERS[optimizer]
    numbers = {"rmsprop": (0.9,), "adam": (0.9, 0.999)}.get(optimizer, ())
    rule = _core.Optimizer(optimizer, 0.1, *numbers, clip_value=1.0)
    start = rng.normal(0, 1, (4, size)).astype(dtype)
    start[2:] **= 2
    start[1, ::5] *= 1e-6
    expected = start.astype(np.float64)
    memories = [expected[2 + i] for i in range(count)]
    step(expected[0], np.clip(expected[1], -1, 1), memories, 3, 0.1)
    limit = 1e-14 if dtype == "float64" else 1e-6
    whole = start.copy()
    rule.step(3, whole[0], whole[1], list(whole[2 : 2 + count]))
    assert_close(whole, expected, limit, "step")
    assert np.array_equal(whole[1], start[1])
    for begin in range(lanes + 1):
        for n in range(1, size - begin + 1):
            part = start.copy()
            p, g, *m = part[: 2 + count, begin : begin + n]
            rule.step(3, p, g, m)
            inside = np.zeros(size, bool)
            inside[begin : begin + n] = True
            assert np.array_equal(part[:, inside], whole[:, inside])
            assert np.array_equal(part[:, ~inside], start[:, ~inside])


# ---- sampling ----

def scores_only(scores, dtype, H=6):
    """A model whose scores are always these."""
    model = Model(vocabulary(len(scores)), hidden_size=H, dtype=dtype, init_scale=0)
    model.params["head.b"][:] = scores
    return model


def draw(model, uniforms, temperature, symbol=0, state=None):
    state = model.zero_state() if state is None else state
    return model.network(1, 1).sample(model.block, state, symbol, temperature,
                                      np.array(uniforms, np.float64))


@pytest.mark.parametrize("temperature", [0, 0.5, 1, 2])
@CELLS
def test_samples_equal_the_reference(isa, cell, temperature):
    for K, H in ((2, 5), (11, 7), (83, 33), (300, 10)):
        model = random_model(cell, "float64", K, H)
        state = random_window(model, 1, 1)[2]
        uniforms = np.random.default_rng(9).random(150)
        expected = reference.sample(model.params, state[0], 1, uniforms, temperature, cell)
        inputs = np.array([[1, *expected[:-1]]])
        last = reference_losses(model.params, inputs, inputs, state, cell)[1][:, -1]
        assert draw(model, uniforms, temperature, 1, state).tolist() == expected
        assert temperature == 0 or len(set(expected)) > 1
        assert_close(state, last, 1e-12, "state")


@DTYPES
def test_the_edges_of_the_uniform_number(isa, dtype):
    """The last symbol takes what rounding leaves over; a symbol that cannot be is not drawn."""
    below_one = np.nextafter(1, 0)
    rng = np.random.default_rng(1)
    for K in (2, 3, 7, 64, 65, 1000):
        model = scores_only(rng.normal(0, 1, K), dtype)
        ids = draw(model, [below_one, 0, below_one, 1 - 1e-9, 0.0], 1)
        assert ids.tolist() == [K - 1, 0, K - 1, K - 1, 0]
        model.params["head.b"][0] = -1e4
        assert draw(model, [0, 0], 1).tolist() == [1, 1]
    for scores in rng.normal(0, 3, (200, 65)):
        ids = draw(scores_only(scores, dtype), [below_one] * 3, 0.5)
        assert ((ids >= 0) & (ids < 65)).all()


@pytest.mark.parametrize("temperature", [0.5, 1, 2])
@DTYPES
def test_draws_follow_the_softmax(isa, dtype, temperature):
    scores = np.random.default_rng(0).normal(0, 1, 19)
    p = np.exp(scores / temperature)
    ids = draw(scores_only(scores, dtype), np.random.default_rng(1).random(20_000), temperature)
    counts = np.bincount(ids, minlength=19)
    assert stats.chisquare(counts, 20_000 * p / p.sum()).pvalue > 1e-3
    # and it would notice another temperature
    p = np.exp(scores / (1.3 * temperature))
    assert stats.chisquare(counts, 20_000 * p / p.sum()).pvalue < 1e-6


@pytest.mark.parametrize("temperature", [0, 1e-300])
@DTYPES
def test_temperature_zero_takes_the_likeliest(isa, dtype, temperature):
    uniforms = np.array([0, 0.3, 0.5, 0.9, np.nextafter(1, 0)])
    for likeliest in (0, 3, 40):
        scores = np.zeros(41)
        scores[likeliest] = 1e-6
        model = scores_only(scores, dtype)
        assert draw(model, uniforms, temperature).tolist() == [likeliest] * 5
    # two scores that differ by little more than the precision can tell
    near = np.array([1, 1 + 2 * np.finfo(dtype).eps, 1], dtype)
    assert draw(scores_only(near, dtype), uniforms, temperature).tolist() == [1] * 5


@DTYPES
def test_temperature_zero_of_equal_scores_does_not_depend_on_chance(isa, dtype):
    """As argmax: the first of them."""
    scores = [0, 1, 1, 0, 1]
    assert draw(scores_only(scores, dtype), [0, 0.3, 0.5, 0.9], 0).tolist() == [1] * 4
    model = scores_only([0.0] * 70, dtype)
    assert {model.sample(5, prime=chr(0x105), temperature=0, seed=seed) for seed in range(5)} == {
        chr(0x100) * 5}


@pytest.mark.parametrize("temperature", [1e10, 1e30, 1e300])
@DTYPES
def test_a_huge_temperature_makes_all_symbols_alike(isa, dtype, temperature):
    for K in (5, 19, 65):
        model = scores_only(np.linspace(-9, 9, K), dtype)
        ids = draw(model, np.random.default_rng(1).random(5_000), temperature)
        assert stats.chisquare(np.bincount(ids, minlength=K)).pvalue > 1e-3


@pytest.mark.parametrize("temperature", [0, 1e-310, 1e-300, 1e-30, 1e-8, 1, 1e8, 1e30, 1e300])
@DTYPES
@CELLS
def test_every_id_is_a_symbol(isa, cell, dtype, temperature):
    model = random_model(cell, dtype, 13, 6)
    for scale in (1, 1e3, 1e30, np.nan):
        model.params["head.W"][:] *= scale
        ids = draw(model, np.random.default_rng(1).random(50), temperature, state=np.ones_like(
            model.zero_state()))
        assert ((ids >= 0) & (ids < 13)).all()


def test_two_threads_sample_from_one_model_at_once(isa):
    model = random_model("rnn", "float32", 30, 40)
    alone = [model.sample(20_000, prime=chr(0x100 + seed), seed=seed) for seed in range(4)]
    start = threading.Barrier(4)

    def work(seed):
        start.wait()
        return model.sample(20_000, prime=chr(0x100 + seed), seed=seed)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == alone


def test_another_thread_may_empty_the_store_of_workspaces():
    """It does so when it meets a fourth size, between any two lines of this one."""
    class Emptied(dict):
        def __setitem__(self, key, value):
            pass

    model = random_model("rnn", "float64", 7, 5)
    inputs, targets, state = random_window(model, 4, 2)
    expected = model.losses(inputs, targets, state)
    model._networks = Emptied()
    assert np.array_equal(model.losses(inputs, targets, state), expected)


@pytest.mark.parametrize(("optimizer", "count"), [("adagrad", 0), ("adam", 1), ("sgd", 3)])
def test_the_border_counts_an_optimizer_s_memories(optimizer, count):
    """In a process of its own: the kernels would write where nothing is."""
    script = (
        "import numpy as np; from fastrnn import _core; x = np.ones(20); "
        f"_core.Optimizer({optimizer!r}, 0.1).step(1, x, x.copy(), [x.copy()] * {count})")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1, f"exit code {done.returncode}"
    assert "ValueError" in done.stderr and "memor" in done.stderr


# ---- the training loop ----

def everything(trainer):
    """Copies of all that an update may change."""
    tensors, about = trainer.snapshot()
    return ([a.copy() for a in (trainer.model.block, *tensors.values())], about["counters"],
            trainer.history.loss.copy(), trainer.history.smooth_loss.copy())


def assert_same(a, b):
    for x, y in zip((*a[0], *a[2:]), (*b[0], *b[2:]), strict=True):
        assert np.array_equal(x, y)
    assert a[1] == b[1]


def long_run(dtype="float64", optimizer="adagrad", cell="rnn", **settings):
    """On a text that can be learnt: one symbol after the other, here and there any symbol."""
    rng = np.random.default_rng(5)
    ids = np.where(rng.random(400) < 0.8, np.arange(400) % 11, rng.integers(0, 11, 400))
    return trainer_on(random_model(cell, dtype, 11, 9), ids, optimizer=optimizer, **settings)


@pytest.mark.parametrize("optimizer", _core.OPTIMIZERS)
@DTYPES
def test_many_calls_equal_one(isa, dtype, optimizer):
    whole, parts = (long_run(dtype, optimizer, batch_size=2) for _ in range(2))
    whole.run(100)
    for n in (1, 2, 7, 90):
        parts.run(n)
    assert_same(everything(whole), everything(parts))
    # and one call into the kernels equals many
    once, singly = (long_run(dtype, optimizer, batch_size=2) for _ in range(2))
    loss, smooth = once._training.run(100)
    for i in range(100):
        a, b = singly._training.run(1)
        assert (a[0], b[0]) == (loss[i], smooth[i])
    assert_same(everything(once), everything(singly))
    assert np.array_equal(once.model.block, whole.model.block)


@pytest.mark.parametrize(("width", "K"), [("uint8", 256), ("uint16", 300), ("uint32", 70_000)])
@DTYPES
def test_ids_of_every_width(isa, dtype, width, K):
    """The loop reads the text as it is stored, `losses` from int32 arrays of one window."""
    model = random_model("rnn", dtype, K, 2)
    ids = np.random.default_rng(2).integers(0, K, 60).astype(width)
    ids[::7] = K - 1
    memory, best = (np.zeros_like(model.block) for _ in range(2))
    state = model.zero_state(3)
    training = _core.Training(model.network(4, 3), _core.Optimizer("adagrad", 0.1), model.block,
                              [memory], state, best, ids)
    for start in range(0, 12, 4):
        window = ids.reshape(3, 20)[:, start : start + 5].astype(int)
        expected = model.losses(window[:, :-1], window[:, 1:], state).sum() / 3
        assert training.run(1)[0][0] == pytest.approx(expected, rel=1e-14)


def test_the_best_parameters_are_those_of_the_lowest_smoothed_loss(isa):
    """Looked at every 100 updates; kept although the run goes on and gets worse, or better."""
    trainer, twin = long_run(), long_run()
    trainer.run(99)
    assert trainer.best_update == 0 and trainer.best_loss == np.inf
    trainer.run(121)  # past 100 and 200 in one call
    twin.run(200)
    assert trainer.best_update == 200
    assert trainer.best_loss == twin.history.smooth_loss[199] < twin.history.smooth_loss[99]
    assert np.array_equal(trainer.best_model().block, twin.model.block)
    trainer.model.params["head.b"][0] = 500  # from here on it only gets worse
    trainer.run(200)
    assert trainer.history.smooth_loss[[299, 399]].min() > trainer.history.smooth_loss[199]
    assert trainer.best_update == 200
    assert trainer.best_loss == trainer.history.smooth_loss[199]
    assert np.array_equal(trainer.best_model().block, twin.model.block)


@pytest.mark.parametrize("optimizer", _core.OPTIMIZERS)
@pytest.mark.parametrize("name", ["layer0.Wx", "layer0.Wh", "layer0.b", "head.W", "head.b"])
def test_a_loss_that_is_not_finite_stops_before_the_update(isa, optimizer, name):
    trainer = long_run("float32", optimizer)
    trainer.run(5)
    trainer.model.params[name][:] = np.nan
    before = everything(trainer)
    with pytest.raises(FloatingPointError, match="update 6"):
        trainer.run(10)
    for a, b in zip(before[0], everything(trainer)[0], strict=True):
        assert np.array_equal(a, b, equal_nan=True)
    assert trainer.snapshot()[1]["counters"] == before[1]
    assert len(trainer.history) == 5


@DTYPES
def test_a_loss_that_overflows_within_a_call_stops_there(isa, dtype):
    rate = 1e30 if dtype == "float32" else 1e300
    whole, single = (long_run(dtype, "sgd", "relu", learning_rate=rate) for _ in range(2))
    loss, _ = whole._training.run(50)  # one call into the kernels
    assert 0 < len(loss) < 50
    assert np.isfinite(loss).all()
    single._training.run(len(loss))
    assert_same(everything(whole), everything(single))
    assert len(whole._training.run(1)[0]) == 0


@pytest.mark.parametrize("clip_value", [5.0, None])
@pytest.mark.parametrize("optimizer", _core.OPTIMIZERS)
@DTYPES
def test_a_gradient_that_is_not_finite_is_not_applied(isa, dtype, optimizer, clip_value):
    """Two streams whose states and losses are finite, and the biases' gradients too, while those of
    Wh would be the sum of numbers that overflow, of one sign in one stream and the other in the
    other."""
    huge = (np.finfo(dtype).max / 30) ** 0.5
    model = Model(vocabulary(3), cell="relu", hidden_size=2, dtype=dtype, init="identity")
    model.params["layer0.Wx"][:] = huge
    little = 2.0**-10
    model.params["head.W"][:] = huge * np.array([[0, 1 - little, -1 - little], [0, -1, 1]])
    trainer = trainer_on(model, np.repeat([1, 2], 60), seq_length=25, batch_size=2,
                         optimizer=optimizer, clip_value=clip_value)
    inputs = np.repeat([[1], [2]], 25, axis=1)
    loss, grads, _ = model.loss_and_gradients(inputs, inputs)
    assert np.isfinite(loss)
    assert np.isfinite(grads["layer0.b"]).all() and np.isfinite(grads["head.b"]).all()
    assert not np.isfinite(grads["layer0.Wh"]).any()
    before = everything(trainer)
    with pytest.raises(FloatingPointError, match="update 1"):
        trainer.run(5)
    assert_same(everything(trainer), before)


@pytest.mark.parametrize("optimizer", ["adagrad", "rmsprop", "adam"])
@DTYPES
def test_a_gradient_whose_square_overflows_makes_no_nan(isa, dtype, optimizer):
    huge = 1e25 if dtype == "float32" else 1e200
    model = Model(vocabulary(3), cell="relu", hidden_size=2, dtype=dtype, init="identity")
    model.params["head.W"][:] = huge * np.array([[3, 0, 1], [1, 2, 1]])
    model.params["layer0.Wx"][:] = np.array([[1, 2], [3, 1], [2, 2]]) / huge
    trainer = trainer_on(model, np.arange(60) % 3, optimizer=optimizer, clip_value=None)
    with contextlib.suppress(FloatingPointError):  # it may be refused
        trainer.run(5)
    assert np.isfinite(model.block).all()


@DTYPES
@pytest.mark.parametrize("batch_size", [1, 3])
def test_other_work_between_runs_changes_nothing(isa, dtype, batch_size):
    quiet, busy = (long_run(dtype, batch_size=batch_size) for _ in range(2))
    text = busy.model.vocabulary.decode(busy.corpus.ids[:300])
    for n in (1, 3, 10, 20):
        for N, T in ((batch_size, 4), (batch_size, 3), (2, 4), (5, 6)):
            busy.model.loss_and_gradients(*random_window(busy.model, T, N))
        busy.model.sample(30, seed=0)
        busy.model.score(text)
        fastrnn.gradcheck(busy.model, *random_window(busy.model, 4, batch_size)[:2], entries=2)
        busy.run(n)
        quiet.run(n)
    assert_same(everything(quiet), everything(busy))


# ---- subnormal numbers ----

def subnormals_live():
    """A product and a sum of subnormal numbers, in both precisions."""
    for dtype in (np.float32, np.float64):
        x = np.full(3, np.finfo(dtype).tiny / 8, dtype)
        if not ((x * dtype(1)).all() and (x + x).all() and (np.finfo(dtype).tiny * x[:1] == 0)):
            return False
    return np.float32(1e-40) * np.float32(1) != 0


@DTYPES
def test_subnormals_are_back_after_every_call(isa, dtype):
    assert subnormals_live()
    trainer = long_run(dtype)
    model = trainer.model
    inputs, targets, state = random_window(model, 4, 2)
    for call in (lambda: trainer.run(3), lambda: model.sample(5, seed=0),
                 lambda: model.losses(inputs, targets, state),
                 lambda: model.loss_and_gradients(inputs, targets, state)):
        call()
        assert subnormals_live()
    model.block[:] = np.nan
    with pytest.raises(FloatingPointError):
        trainer.run(3)
    assert subnormals_live()


def fading_model(cell, dtype):
    """h_t = h_{t-1} / 2, and the smallest state that is still normal for two more steps."""
    model = Model(vocabulary(5), cell=cell, hidden_size=6, dtype=dtype, init_scale=0)
    model.params["layer0.Wh"][:] = np.eye(6) / 2
    return model, np.full((1, 6), 4 * np.finfo(dtype).tiny, dtype)


@DTYPES
@CELLS
def test_subnormals_are_zero_inside(isa, cell, dtype):
    model, state = fading_model(cell, dtype)
    inputs = np.zeros((1, 3), int)
    # the reference, which flushes nothing, ends in a subnormal number
    kept = reference.loss_and_gradients(model.params, inputs, inputs, state, cell)[2]
    assert (kept > 0).all() and (kept < np.finfo(dtype).tiny).all()

    _, _, two = model.loss_and_gradients(inputs[:, :2], inputs[:, :2], state)
    assert np.array_equal(two, state / 4)  # normal still
    _, _, three = model.loss_and_gradients(inputs, inputs, state)
    assert not three.any()
    network = model.network(3, 1)
    for moved in (state.copy(), state / 8):  # the second comes in subnormal
        network.unroll(model.block, np.zeros((3, 1), np.int32), moved)
        assert not moved.any()
    moved = state.copy()
    draw(model, [0.5] * 3, 1, state=moved)
    assert not moved.any()
    trainer = trainer_on(model, np.tile(np.arange(5), 4), seq_length=3)
    trainer.run(1)  # the first window of an epoch starts from zero; this moves head.b alone
    trainer.state[:] = state
    trainer.run(1)
    assert not trainer.state.any()
    trainer.state[:] = 4 * state
    trainer.run(1)
    assert np.array_equal(trainer.state, state / 2)  # normal


@DTYPES
def test_subnormals_are_zero_as_operands_and_as_results(isa, dtype):
    model = Model(vocabulary(5), cell="relu", hidden_size=6, dtype=dtype, init_scale=0)
    model.params["layer0.Wh"][:] = 1e6 * np.eye(6)
    tiny = np.finfo(dtype).tiny
    state = np.full((1, 6), tiny / 8, dtype)
    model.network(3, 1).unroll(model.block, np.zeros((3, 1), np.int32), state)
    assert not state.any()
    # a symbol so unlikely that the square of its gradient is subnormal
    model.params["head.b"][4] = 0.52 * np.log(tiny)
    trainer = trainer_on(model, np.tile([0, 1, 1, 2, 1, 3], 4))
    trainer.run(1)
    memory = model.views(trainer.snapshot()[0]["optimizer.0"])["head.b"]
    assert memory[4] == 0 and memory[[0, 1, 3]].all()
    # and one whose exponential is still normal, while the probability, a quarter of it, is not
    model.params["head.b"][:] = [0, 0, 0, 0, np.log(1.6 * tiny)]
    _, grads, _ = model.loss_and_gradients([[0]], [[1]])
    assert grads["head.b"][4] == 0 and grads["head.b"][:4].all()


# ---- the numbers of the mathematics, on real texts ----

def text_ids(path, length=None):
    corpus = fastrnn.Corpus.from_file(path)
    return corpus.vocabulary, corpus.ids[:length]


@pytest.mark.parametrize(("H", "rate"), [(20, 0.1), (100, 0.01)])
def test_2000_losses_equal_numpy_s(alice, H, rate):
    """At the classic settings (H 100, rate 0.1) rounding grows until any two programs differ; at
    these it does not."""
    symbols, ids = text_ids(alice)
    model = Model(symbols, hidden_size=H, dtype="float64", seed=1)
    peer = NumpyHoisted(model.params, ids, len(symbols), learning_rate=rate, dtype=np.float64)
    trainer = trainer_on(model, ids, seq_length=25, learning_rate=rate)
    trainer.run(2000)
    np.testing.assert_allclose(
        trainer.history.loss, [peer.update() for _ in range(2000)], rtol=1e-9)
    assert trainer.history.smooth_loss[-1] == pytest.approx(peer.smooth_loss, rel=1e-9)
    assert trainer.epoch == peer.epoch >= 4
    assert trainer.position == peer.position


def test_each_of_2000_classic_updates_equals_numpy_s(alice):
    """NumPy starts each update from fastrnn's parameters, memory and state."""
    symbols, ids = text_ids(alice)
    model = Model(symbols, dtype="float64", seed=1)
    peer = NumpyHoisted(model.params, ids, len(symbols), dtype=np.float64)
    trainer = trainer_on(model, ids, seq_length=25)
    memory = model.views(trainer.snapshot()[0]["optimizer.0"])
    for update in range(2000):
        for name, p in model.params.items():
            peer.params[name][...] = p
            peer.memory[name][...] = memory[name]
        peer.h = trainer.state[0] * (trainer.position > 0)  # an epoch starts from zero
        trainer.run(1)
        assert trainer.history.loss[-1] == pytest.approx(peer.update(), rel=1e-9)
        for name, p in model.params.items():
            assert_close(p, peer.params[name], 1e-9, f"{name} after update {update + 1}")
            assert_close(memory[name], peer.memory[name], 1e-9, f"memory of {name}")
        if peer.position:
            np.testing.assert_allclose(trainer.state[0], peer.h, rtol=0, atol=1e-9)
    assert trainer.epoch >= 4


@pytest.mark.parametrize(("rate", "limit"), [(0.01, 0.0005), (0.1, 0.06)])
def test_float32_learns_as_float64(shakespeare, rate, limit):
    """Smoothed loss after 20,000 updates of the classic model. At its own rate, 0.1, a change of
    one bit in one float64 weight moves that loss by up to a few percent, so no two programs can be
    expected to agree better; at 0.01 they do."""
    symbols, ids = text_ids(shakespeare)
    ends = []
    for dtype in ("float32", "float64"):
        trainer = trainer_on(Model(symbols, dtype=dtype), ids, seq_length=25, learning_rate=rate)
        trainer.run(20_000)
        ends.append(trainer.history.smooth_loss[-1])
    assert ends[0] == pytest.approx(ends[1], rel=limit)
    assert ends[0] < 58  # from 104: it has learned
