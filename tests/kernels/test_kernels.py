"""Every compiled kernel against its twin in reference.py, for each instruction set.

T, N, H, E and K always differ, T is at least 3, the initial state is random. float64 must agree to
1e-12 of a tensor's largest entry. float32 is compared with the reference in float64 from the very
same parameters: see `tolerance`.
"""
import functools
import itertools
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from networks import (
    ALL_KINDS,
    DTYPES,
    EVERY_KIND,
    KINDS,
    PACKED,
    TRAINED_KINDS,
    Run,
    all_weights,
    cell_of,
    expected_unroll,
    generators_of,
    network_of,
    random_model,
    random_window,
    unroll,
    vocabulary,
    wide,
)
from peers.numpy_hoisted import NumpyHoisted
from scipy import stats

import fastrnn
from fastrnn import cells, kernels
from fastrnn.checks import reference
from fastrnn.data.source import time_major
from fastrnn.model.model import Model

CELLS = pytest.mark.parametrize("cell", cells.CELLS)


def tolerance(dtype, *lengths):
    """Largest error allowed, relative to the tensor's largest entry.

    float32 rounds to u = 2^-24 of a number. A sum of n terms of either sign gathers about sqrt(n) u
    of them; tanh and exp err by 2.5 ulp, 5 u at most. A gradient passes four sums (the scores, dh,
    the steps back in time, the sum over T N), which the recurrence, kept contracting here, does not
    blow up, and the terms of the last may be about twice as large as their sum. 8 (5 + sqrt(n)) u
    covers that: 4e-6 for a longest sum of n = 16, 2e-5 for n = 1000.
    """
    return 1e-12 if dtype == "float64" else 8 * (5 + max(lengths) ** 0.5) * 2.0**-24


def assert_close(actual, expected, limit, name, least=0.0):
    """Errors relative to the largest entry, or to `least`."""
    assert np.isfinite(expected).all(), name
    error = np.abs(np.asarray(actual, np.float64) - expected).max()
    largest = max(least, np.abs(expected).max())
    assert error <= limit * largest, f"{name}: off by {error / largest:.2e} of its largest entry"


# ---- the unroll ----

def assert_unroll(kind, dtype, K, H, T, N, least=1e-4, **settings):
    """On packed weights, on these shared by threads, and on plain BLAS. Every gradient has an entry
    of `least`, so that there is something to compare, but for Wm and bm where T is 1: what they add
    is not read yet."""
    model = random_model(kind, dtype, K, H, seed=K + H + N, **settings)
    window = random_window(model, T, N)
    limit = model.config["num_layers"] * tolerance(dtype, K, H, T * N)
    networks = [network_of(model, T, N, packed) for packed in (True, True, False)]
    networks[1].cut_for = 5
    twins = generators_of(model, networks[0])
    each, expected, end = expected_unroll(model, networks[0].slices, *window, twins)
    # float32: a few large terms that cancel each other leave little, and their rounding
    large = (dtype == "float32") * max(np.abs(g).max() for g in expected.values()) / 10
    for network in networks:
        generators = generators_of(model, network)
        losses, grads, last = unroll(model, network, *window, generators, 2)
        assert_close(losses, each, limit, "losses", least=1)  # differences of scores
        assert_close(last, end, limit, "state")
        assert list(grads) == list(expected)
        for name, g in grads.items():
            unread = T == 1 and name.endswith(("Wm", "bm"))
            assert unread or np.abs(expected[name]).max() > least
            assert_close(g, expected[name], limit, name, large)
        for generator, twin in zip(generators or (), twins or (), strict=True):
            assert generator.bit_generator.state == twin.bit_generator.state


# One row, 2 to 6 and more, two slices and more; H and K of one unit, one register, a whole panel,
# one more than that, partial panels; K below a register and as large as a vocabulary of words;
# H and T N that are more than a cache's share.
SIZES = [  # K, H, T, N
    (2, 1, 3, 4), (3, 2, 4, 1), (7, 5, 3, 2), (5, 16, 4, 3), (17, 64, 3, 1), (83, 65, 5, 4),
    (40, 33, 3, 5), (70, 20, 4, 6), (65, 100, 3, 7), (3, 130, 5, 8), (1000, 48, 7, 2),
    (129, 12, 25, 1), (64, 128, 6, 13), (90, 31, 4, 12), (16, 8, 9, 1), (6, 10, 3, 66),
    (20, 70, 33, 7), (9, 270, 3, 50),
]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@DTYPES
@ALL_KINDS
def test_losses_state_and_gradients(isa, kind, dtype, sizes):
    assert len(set(sizes)) == 4 and sizes[2] >= 3
    assert_unroll(kind, dtype, *sizes)


@pytest.mark.parametrize(("sizes", "E"), [((5, 3, 13, 6), 2), ((4, 7, 3, 9), 5)], ids=str)
@DTYPES
@ALL_KINDS
def test_layers_embedding_and_dropout(isa, kind, dtype, sizes, E):
    """One slice of many rows T n, and two of few."""
    for L, embedding, dropout in itertools.product((1, 2, 3), (None, E), (0.0, 0.3)):
        assert_unroll(kind, dtype, *sizes, num_layers=L, embedding_size=embedding, dropout=dropout)


@pytest.mark.parametrize(("sizes", "settings"), [
    ((5, 7, 4, 6), {}), ((9, 33, 3, 13), {"num_layers": 2, "dropout": 0.3}),
    ((4, 21, 5, 9), {"num_layers": 3, "embedding_size": 6})], ids=str)
@DTYPES
@TRAINED_KINDS
def test_weight_drop(isa, kind, dtype, sizes, settings):
    """One slice and two; numbers of weights of a slice that are no multiples of 4."""
    assert_unroll(kind, dtype, *sizes, weight_drop=0.3, **settings)


@pytest.mark.parametrize(("sizes", "settings"), [
    ((65, 100, 6, 3), {"num_layers": 2, "dropout": 0.1}),
    ((30, 16, 5, 1), {"num_layers": 3, "embedding_size": 33}),
    ((500, 20, 4, 10), {"embedding_size": 15, "dropout": 0.5}),
    ((20, 65, 3, 34), {"num_layers": 2, "embedding_size": 64, "dropout": 0.25}),
], ids=str)
@DTYPES
@ALL_KINDS
def test_deep_networks(isa, kind, dtype, sizes, settings):
    assert_unroll(kind, dtype, *sizes, **settings)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru", "gru, reset before"])
def test_the_deepest_network(isa, kind):
    """Where gradients fade they must fade as the reference's."""
    assert_unroll(kind, "float64", 9, 4, 3, 2, least=1e-30, num_layers=kernels.MOST_LAYERS)


@DTYPES
@ALL_KINDS
def test_every_tile(isa, kind, dtype):
    """1 to 7 rows times every number of vectors, within one panel and over several, the last of
    them filled by 1, all but 1 or all of its lanes."""
    lanes = kernels.lanes(dtype)
    for N in range(1, 8):
        for vectors in (*range(1, 10), 16, 17) if N == 1 else range(1, 7):
            H = (vectors - 1) * lanes + (1, lanes - 1, lanes)[(N + vectors) % 3]
            K = (1 + (vectors + 2 * N) % 6) * lanes + (N - vectors) % lanes
            K += (K == H) * lanes
            T = next(T for T in range(3, 7) if T not in (K, H, N))
            if K > 1:
                assert_unroll(kind, dtype, K, H, T, N)


@DTYPES
@ALL_KINDS
def test_every_tile_of_a_gradient(isa, kind, dtype):
    """Over so many rows T n that they are summed in tiles, on whose sides lie 1 to 13 inputs and
    every number of vectors; over some more than a cache's share."""
    lanes = kernels.lanes(dtype)
    for i, E in enumerate(range(1, 14)):
        H = i // 2 * lanes + (1, lanes - 1, lanes)[i % 3] + lanes * (lanes <= 2)
        K = (7 - i // 2) * lanes + (lanes - 1, 1, 0)[i % 3]
        T, N = (23, 3 + (E == 3)) if i % 4 else (67, 6)
        assert_unroll(kind, dtype, K + lanes * (K < 2), H, T, N, num_layers=1 + i % 2,
                      embedding_size=E)


@DTYPES
@ALL_KINDS
def test_one_prediction(isa, kind, dtype):
    """T = 1: with N = 1 all products meet a single row."""
    lanes = kernels.lanes(dtype)
    for v, K in enumerate((*range(2, 4), *(v * lanes + 1 for v in range(1, 10)), 16 * lanes,
                           17 * lanes)):
        H = 5 + K % 3 + v * lanes * (v < 7)
        for N in (1, 2):
            assert_unroll(kind, dtype, K, H, 1, N)
        assert_unroll(kind, dtype, 4, H, 1, 1 + v % 2, num_layers=2, embedding_size=K)


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


# all that a network may have, in one slice and in two
RICH = {"num_layers": 2, "embedding_size": 3, "dropout": 0.3}


@PACKED
@DTYPES
@ALL_KINDS
def test_unroll_fills_every_gradient_and_nothing_else(isa, kind, dtype, packed):
    """grads may hold anything before; inputs, targets and parameters stay; without grads the losses
    are the same bits, without targets the state alone moves."""
    for N, settings in ((4, {}), (5, RICH), (9, RICH)):
        model = random_model(kind, dtype, 11, 7, **settings)
        network = network_of(model, 6, N, packed)
        inputs, targets, state = random_window(model, 6, N)
        losses, expected, last = unroll(
            model, network, inputs, targets, state, generators_of(model, network))
        x, y = time_major(inputs), time_major(targets)
        before = [a.copy() for a in (model.block, x, y)]
        for fill in (np.inf, 7):
            grads, moved = np.full_like(model.block, fill), state.copy()
            network.unroll(model.block, x, moved, y, grads, generators_of(model, network))
            for name, g in model.views(grads).items():
                assert np.array_equal(g, expected[name]), name
            assert np.array_equal(moved, last)
        moved = state.copy()
        same = network.unroll(model.block, x, moved, y, None, generators_of(model, network))
        assert np.array_equal(same.T, losses) and np.array_equal(moved, last)
        moved = state.copy()
        nothing = network.unroll(model.block, x, moved, None, None, generators_of(model, network))
        assert not nothing.any() and np.array_equal(moved, last)
        for a, b in zip(before, (model.block, x, y), strict=True):
            assert np.array_equal(a, b)


@PACKED
@DTYPES
@ALL_KINDS
def test_a_part_of_the_longest_unroll(isa, kind, dtype, packed):
    """Fewer steps than the workspace holds, after more of them, give what a fitting one gives."""
    for N, settings in ((1, {}), (2, RICH), (10, RICH)):
        model = random_model(kind, dtype, 12, 7, **settings)
        network = network_of(model, 9, N, packed)
        for T in (9, 4, 1, 3, 9):
            window = random_window(model, T, N, seed=T)
            results = [unroll(model, which, *window, generators_of(model, which))
                       for which in (network, network_of(model, T, N, packed))]
            (losses, grads, last), (losses2, grads2, last2) = results
            assert np.array_equal(losses, losses2) and np.array_equal(last, last2)
            for name, g in grads.items():
                assert np.array_equal(g, grads2[name]), name


@pytest.mark.parametrize(("K", "N", "settings"), [(5, 2, {}), (9, 10, RICH), (65, 2, RICH)],
                         ids=["K=5", "K=9", "K=65"])
@DTYPES
@ALL_KINDS
def test_a_bad_unroll_leaves_nothing_behind(isa, kind, dtype, K, N, settings):
    """Once numbers are no longer finite they must not stay in the workspace."""
    model = random_model(kind, dtype, K, 6, **settings)
    networks = [network_of(model, 3, N, packed) for packed in (True, False)]
    window = random_window(model, 3, N)
    good = model.block.copy()

    def look():
        return [unroll(model, network, *window, generators_of(model, network))
                for network in networks]

    def draw():
        return model.draw(50, model.zero_state(), [1], 1.0, np.random.default_rng(0))

    before, ids = look(), draw()
    for value in (np.nan, np.inf):
        for name, p in model.params.items():
            p[:] = value
            draw()
            for losses, _, _ in look():
                if np.isnan(value):  # tanh of infinity is 1
                    assert not np.isfinite(losses.sum()), name
            model.block[:] = good
    for (losses, grads, last), (losses2, grads2, last2) in zip(look(), before, strict=True):
        assert np.array_equal(losses, losses2) and np.array_equal(last, last2)
        for name, g in grads.items():
            assert np.array_equal(g, grads2[name]), name
    assert np.array_equal(draw(), ids)


# ---- dropout ----

@PACKED
@ALL_KINDS
def test_unroll_after_unroll_takes_the_numbers_that_come_next(isa, kind, packed):
    model = random_model(kind, "float64", 6, 5, num_layers=2, dropout=0.4,
                         weight_drop=0.3 * (kind != "esn"))
    network = network_of(model, 4, 9, packed)
    generators, twins = (generators_of(model, network) for _ in range(2))
    for seed, T in enumerate((4, 3, 4)):  # T n H is not always a multiple of 4
        window = random_window(model, T, 9, seed)
        losses, _, _ = unroll(model, network, *window, generators)
        each, _, _ = expected_unroll(model, network.slices, *window, twins)
        assert_close(losses, each, 1e-12, "losses")


@pytest.mark.parametrize("source", [np.random.PCG64, np.random.MT19937, np.random.Philox,
                                    np.random.SFC64])
def test_every_source_of_bits(source):
    """MT19937 makes 32 bits at a time; random_raw hands them out one by one."""
    model = random_model("rnn", "float64", 6, 5, dropout=0.4)
    network = network_of(model, 4, 2)
    window = random_window(model, 4, 2)
    generators, twins = ([np.random.Generator(source(3))] for _ in range(2))
    losses, _, _ = unroll(model, network, *window, generators)
    each, _, _ = expected_unroll(model, network.slices, *window, twins)
    assert_close(losses, each, 1e-12, "losses")


@pytest.mark.parametrize("name", ["dropout", "weight_drop"])
def test_without_generators_or_without_dropout_nothing_is_dropped(isa, name):
    model, plain = (random_model("lstm", "float64", 6, 5, num_layers=2, **{name: probability})
                    for probability in (0.4, 0.0))
    window = random_window(model, 4, 9)
    network, other = (network_of(m, 4, 9) for m in (model, plain))
    generators = generators_of(model, network)
    expected = unroll(plain, other, *window)
    for losses, grads, last in (unroll(model, network, *window),
                                unroll(plain, other, *window, generators)):
        assert np.array_equal(losses, expected[0]) and np.array_equal(last, expected[2])
        for name, g in grads.items():
            assert np.array_equal(g, expected[1][name])
    assert generators[0].random() == generators_of(model, network)[0].random()  # untouched
    dropped, _, _ = unroll(model, network, *window, generators)
    assert not np.allclose(dropped, expected[0])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_each_slice_needs_its_generator(count):
    model = random_model("rnn", "float64", 6, 5, dropout=0.4)
    network = network_of(model, 4, 9)
    assert network.slices == [(0, 4), (4, 5)]
    window = random_window(model, 4, 9)
    with pytest.raises(ValueError, match=f"needs 2 generators, not {count}"):
        unroll(model, network, *window, np.random.default_rng(0).spawn(count))


@TRAINED_KINDS
def test_dropped_weights_have_no_gradient_and_the_others_one(isa, kind):
    """At the rate of weight_drop; layers and unrolls differ in their masks."""
    model = random_model(kind, "float64", 6, 40, num_layers=2, weight_drop=0.3)
    network, window = network_of(model, 4, 9), random_window(model, 4, 9)
    generators, dropped = generators_of(model, network), []
    for _ in range(2):
        _, grads, _ = unroll(model, network, *window, generators)
        dropped += [grads["layer0.Wh"] == 0, grads["layer1.Wh"] == 0]
        assert all((grads[name] != 0).mean() > 0.9 for name in ("layer0.b", "layer1.Wx"))
    for zeros in dropped[: None if kind not in ("relu", "memory") else 0]:  # whose units may be 0
        assert abs(zeros.mean() - 0.3) < 4 * (0.21 / zeros.size) ** 0.5
    assert not any(np.array_equal(a, b) for a, b in itertools.combinations(dropped, 2))


# ---- gradients against differences ----

# Depth, embedding, dropout: every combination, each with the seed of its weights and its window, in
# the order of `product`. With these no ReLU lies within a step of its kink, every tensor has
# gradients, and none of their entries is so small that the rounding of losses would show: the
# worst is off by 1e-7 or less on any instruction set.
COMBINATIONS = list(itertools.product((1, 2, 3), (False, True), (False, True)))
PLAINEST, RICHEST = COMBINATIONS.index((1, False, False)), COMBINATIONS.index((2, True, True))
SEEDS = {
    "rnn": (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1),
    "relu": (0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 0, 1),
    "lstm": (1, 1, 0, 0, 0, 2, 0, 1, 0, 25, 8, 10),
    "gru": (0, 2, 0, 0, 5, 2, 5, 1, 27, 14, 3, 12),
    "memory": (0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0),
    "gru, reset before": (0, 2, 1, 0, 0, 2, 1, 3, 23, 2, 0, 22),
    "mgu": (0,) * 12,
    "mlstm": (0,) * 12,
    "esn": (0,) * 12,
}


def small_case(kind, case, dtype="float64"):
    """A model, and inputs, targets, state"""
    L, embedding, dropout = COMBINATIONS[case]
    seed = SEEDS[kind][case]
    model = random_model(kind, dtype, 5, 3, seed, num_layers=L,
                         embedding_size=2 if embedding else None, dropout=0.3 if dropout else 0.0)
    return model, random_window(model, 4, 2, seed)


def assert_gradients(kind, case):
    model, (inputs, targets, state) = small_case(kind, case)
    dropout = model.config["dropout"] > 0
    report = fastrnn.gradcheck(model, inputs, targets, state=state, dropout=dropout)
    assert list(report.worst) == list(model.params)
    for name, p in model.params.items():
        assert report.worst[name].checked == p.size
        assert report[name] < 1e-6, report
    assert report.passed, report


@pytest.mark.parametrize("case", range(len(COMBINATIONS)), ids=lambda i: str(COMBINATIONS[i]))
@ALL_KINDS
def test_gradients_are_those_of_differences(kind, case):
    assert_gradients(kind, case)


@ALL_KINDS
def test_gradients_of_each_instruction_set(isa, kind):
    assert_gradients(kind, RICHEST)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("N", [2, 9], ids=["one slice", "two slices"])
@TRAINED_KINDS
def test_gradients_with_weight_drop_are_those_of_differences(kind, N, dropout):
    """With the same masks in every pass."""
    model = random_model(kind, "float64", 5, 6, num_layers=2, weight_drop=0.4, dropout=dropout)
    inputs, targets, state = random_window(model, 4, N)
    report = fastrnn.gradcheck(model, inputs, targets, state=state, dropout=True)
    assert all(report.worst[name].checked == p.size for name, p in model.params.items())
    assert report.passed and report.max_error < 1e-6, report
    plain = fastrnn.gradcheck(model, inputs, targets, state=state)
    assert plain.passed and plain["layer0.Wh"] != report["layer0.Wh"]


@pytest.mark.parametrize("case", range(len(COMBINATIONS)), ids=lambda i: str(COMBINATIONS[i]))
@ALL_KINDS
def test_float32_gradients_are_near_those_of_float64(kind, case):
    model, window = small_case(kind, case, "float32")
    peer, _ = small_case(kind, case)
    peer.block[:] = model.block
    (_, grads, _), (_, expected, _) = (
        m.loss_and_gradients(*window, generators=generators_of(m, m.network(4, 2)))
        for m in (model, peer))
    for name, g in grads.items():
        norm = np.linalg.norm(expected[name])
        assert norm > 1e-3
        assert np.linalg.norm(g.astype(np.float64) - expected[name]) < 1e-4 * norm, name


@pytest.mark.parametrize(("kind", "case", "name", "wrong"), [
    *((kind, RICHEST, name, 1e-4) for kind in EVERY_KIND
      for name in small_case(kind, RICHEST)[0].params),
    *(("rnn", PLAINEST, name, wrong) for name in small_case("rnn", PLAINEST)[0].params
      for wrong in (np.nan, np.inf))])
def test_gradcheck_finds_one_wrong_entry(monkeypatch, kind, case, name, wrong):
    """The largest of a tensor, off by so much."""
    model, (inputs, targets, state) = small_case(kind, case)
    right = Model.loss_and_gradients
    index = None

    def corrupted(self, *args, **settings):
        nonlocal index
        loss, grads, last = right(self, *args, **settings)
        index = np.unravel_index(np.abs(grads[name]).argmax(), grads[name].shape)
        grads[name][index] += wrong
        return loss, grads, last

    monkeypatch.setattr(Model, "loss_and_gradients", corrupted)
    report = fastrnn.gradcheck(model, inputs, targets, state=state,
                               dropout=model.config["dropout"] > 0)
    assert report.passed is False and report.verdict.startswith("FAILED: 1 of ")
    assert not report[name] < 1e-6
    assert not report.max_error < 1e-6
    assert report.worst[name].index == index
    for other in model.params:
        assert other == name or report[other] < 1e-6


@pytest.mark.parametrize("start", ["zero", "random"])
def test_gradcheck_on_a_real_text(isa, alice, start):
    """The assignment's check: H = 5, 25 steps, step 1e-4."""
    corpus = fastrnn.Corpus.from_file(alice)
    model = Model(corpus.vocabulary, hidden_size=5, dtype="float64", seed=0, init_scale=0.1)
    state = model.zero_state() if start == "zero" else random_window(model, 1, 1)[2]
    window = corpus.ids[:26].astype(int)
    report = fastrnn.gradcheck(model, window[None, :-1], window[None, 1:], state=state, step=1e-4)
    assert report.max_error < 1e-6 and report.passed, report


# ---- against PyTorch ----

def blocks(w, order):
    """Blocks of rows, PyTorch's gates, in our order, and back: both orders are their own inverse"""
    return np.concatenate([np.split(w, len(order))[gate] for gate in order])


@pytest.mark.parametrize("kind", ["rnn", "relu", "lstm", "gru"])
def test_pytorch_agrees(isa, kind):
    """Two layers and a linear head: all log-probabilities, last states and gradients."""
    torch = pytest.importorskip("torch")
    K, H, T, N = 11, 7, 6, 9
    model = random_model(kind, "float64", K, H, num_layers=2)
    inputs, targets, state = random_window(model, T, N)
    cls = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}.get(kind, torch.nn.RNN)
    options = {"nonlinearity": {"rnn": "tanh", "relu": "relu"}[kind]} if cls is torch.nn.RNN else {}
    peer = cls(K, H, num_layers=2, batch_first=True, dtype=torch.float64, **options)
    head = torch.nn.Linear(H, K, dtype=torch.float64)
    order = {"lstm": (0, 1, 3, 2), "gru": (0, 1, 2)}.get(kind, (0,))  # PyTorch's LSTM: i f g o

    def peers(layer):
        """Our names, for what PyTorch calls them; bias_hh is 0 but for the GRU's bhn"""
        return {"Wx": f"weight_ih_l{layer}", "Wh": f"weight_hh_l{layer}", "b": f"bias_ih_l{layer}"}

    with torch.no_grad():
        for layer in range(2):
            for ours, theirs in peers(layer).items():
                p = model.params[f"layer{layer}.{ours}"].T
                getattr(peer, theirs).copy_(torch.tensor(blocks(p, order)))
            second = getattr(peer, f"bias_hh_l{layer}")
            second.zero_()
            if kind == "gru":
                second[2 * H :] = torch.tensor(model.params[f"layer{layer}.bhn"])
        head.weight.copy_(torch.tensor(model.params["head.W"].T))
        head.bias.copy_(torch.tensor(model.params["head.b"]))

    kinds = 2 if kind == "lstm" else 1  # (N, P) -> (kinds, L, N, H)
    start = torch.tensor(state.reshape(N, 2, kinds, H).transpose(2, 1, 0, 3).copy())
    one_hot = torch.nn.functional.one_hot(torch.tensor(inputs), K).double()
    out, last = peer(one_hot, tuple(start) if kind == "lstm" else start[0])
    scores = torch.log_softmax(head(out), dim=2)
    (-scores.gather(2, torch.tensor(targets)[:, :, None]).sum() / N).backward()

    each = np.stack([model.losses(inputs, np.full((N, T), k), state) for k in range(K)], axis=2)
    assert_close(each, -scores.detach().numpy(), 1e-10, "log-probabilities")
    loss, grads, end = model.loss_and_gradients(inputs, targets, state)
    assert loss == pytest.approx(np.take_along_axis(each, targets[:, :, None], 2).sum() / N)
    last = torch.stack(last) if kind == "lstm" else last[None]
    assert_close(end.reshape(N, 2, kinds, H).transpose(2, 1, 0, 3), last.detach().numpy(), 1e-10,
                 "state")
    for layer in range(2):
        for ours, theirs in peers(layer).items():
            g = blocks(getattr(peer, theirs).grad.numpy(), order)
            assert_close(grads[f"layer{layer}.{ours}"].T, g, 1e-10, f"layer{layer}.{ours}")
        if kind == "gru":
            g = getattr(peer, f"bias_hh_l{layer}").grad.numpy()[2 * H :]
            assert_close(grads[f"layer{layer}.bhn"], g, 1e-10, f"layer{layer}.bhn")
    assert_close(grads["head.W"].T, head.weight.grad.numpy(), 1e-10, "head.W")
    assert_close(grads["head.b"], head.bias.grad.numpy(), 1e-10, "head.b")


# ---- optimizers ----

IDS = np.random.default_rng(4).integers(0, 9, 61)  # of 11 symbols two never come
UPDATES = 33  # T = 4: over 2 epoch ends with 1 stream (14 updates), over 8 with 3
# small enough that most entries, or the norm, exceed them
CLIPS = {"none": {"clip_value": None}, "value": {"clip_value": 0.05},
         "norm": {"clip_value": None, "clip_norm": 0.5},
         "norm of some": {"clip_value": None, "clip_norm": 6.0},
         "both": {"clip_value": 0.04, "clip_norm": 0.6}}
# name -> kind, learning rate, its number that is called decay
RULES = {  # optimizer, learning rate, its numbers
    "adagrad": ("adagrad", 0.1, {}), "rmsprop": ("rmsprop", 0.01, {"decay": 0.9}),
    "adam": ("adam", 0.01, {"beta1": 0.9, "beta2": 0.999}), "sgd": ("sgd", 0.1, {}),
    "momentum": ("sgd", 0.03, {"momentum": 0.7})}
OTHERS = {  # rules with other numbers than the defaults
    "adagrad outside": ("adagrad", 0.1, {"epsilon": 0.03, "epsilon_inside": False}),
    "adagrad decay": ("adagrad", 0.1, {"weight_decay": 0.3, "epsilon": 0.02}),
    "rmsprop outside": ("rmsprop", 0.01, {"decay": 0.8, "epsilon": 0.01, "epsilon_inside": False}),
    "adamw": ("adam", 0.01, {"beta1": 0.7, "beta2": 0.95, "epsilon": 0.01, "weight_decay": 0.5}),
    "sgd decay": ("sgd", 0.1, {"weight_decay": 0.2}),
    "dynamic": ("dynamic", 0.1, {"decay": 0.7, "epsilon": 0.4}),
    "momentum decay": ("sgd", 0.03, {"momentum": 0.7, "weight_decay": 0.4})}


def kernel_numbers(numbers):
    """The names of the reference as the kernels have them."""
    names = {"beta1": "decay", "beta2": "decay2", "momentum": "decay"}
    return {names.get(name, name): value for name, value in numbers.items()}


ALL_RULES = pytest.mark.parametrize("rule", RULES)
NETWORKS = {  # streams, more; the classic network has one stream and nothing more
    "rnn": (1, {}), "relu": (3, {}), "lstm": (9, RICH), "gru": (1, {"num_layers": 2}),
    "memory": (9, {"embedding_size": 4, "weight_drop": 0.2}),
    "gru, reset before": (1, {"dropout": 0.2, "weight_drop": 0.3}),
    "mgu": (9, {"embedding_size": 4}), "mlstm": (9, {"weight_drop": 0.2}),
    "esn": (9, {"dropout": 0.2}),
}


def rates_of(rule):
    """Another for each update."""
    return (RULES | OTHERS)[rule][1] * (1 + 0.5 * np.sin(np.arange(UPDATES)))


def run_on(kind, dtype, rule, ids=IDS, **settings):
    N, more = NETWORKS[kind]
    optimizer, rate, numbers = (RULES | OTHERS)[rule]
    model = random_model(kind, dtype, 11, 9, **more)
    return Run(model, ids, N=N, optimizer=optimizer, rate=rate, **kernel_numbers(numbers),
               **settings)


@functools.cache
def reference_run(kind, rule, clip):
    """Parameters before and after, losses and smoothed losses (updates, 2)"""
    N, more = NETWORKS[kind]
    model = random_model(kind, "float64", 11, 9, **more)
    before, params = wide(model.params), all_weights(model)
    network = network_of(model, 4, N)
    optimizer, _, numbers = (RULES | OTHERS)[rule]
    run = reference.train(
        params, IDS, 4, N, model.config["cell"], optimizer, rates_of(rule), **CLIPS[clip],
        **numbers, dropout=model.config["dropout"], weight_drop=model.config["weight_drop"],
        generators=generators_of(model, network), slices=network.slices)
    return before, params, np.array(list(run))


@pytest.mark.parametrize(("kind", "clip"), [
    *itertools.product(("rnn", "relu"), CLIPS),
    *itertools.product(KINDS[2:], ("value", "norm of some"))])
@ALL_RULES
@DTYPES
def test_training_equals_the_reference(isa, dtype, rule, kind, clip):
    assert_reference_run(dtype, rule, kind, clip)


@pytest.mark.parametrize(("kind", "clip"), [("rnn", "value"), ("lstm", "norm of some")])
@pytest.mark.parametrize("rule", OTHERS)
@DTYPES
def test_training_with_other_numbers_equals_the_reference(isa, dtype, rule, kind, clip):
    assert_reference_run(dtype, rule, kind, clip)


def assert_reference_run(dtype, rule, kind, clip):
    run = run_on(kind, dtype, rule, **CLIPS[clip])
    before, expected, losses = reference_run(kind, rule, clip)
    loss, smooth = run.run(rates_of(rule))
    # float32 rounds each of the updates anew, and starts from rounded parameters
    limit = 1e-9 if dtype == "float64" else 4e-4
    np.testing.assert_allclose(loss, losses[:, 0], rtol=limit)
    np.testing.assert_allclose(smooth, losses[:, 1], rtol=limit)
    params = run.model.params
    for tensor, p in params.items():
        assert_close(p, expected[tensor], limit, tensor)
        assert np.abs(expected[tensor] - before[tensor]).max() > 0.003  # it has moved
    assert run.training.epoch >= 2
    # the rows of symbols that never come
    rows = next(iter(params))
    start, decay = before[rows][9:].astype(dtype), OTHERS.get(rule, [{}])[-1].get("weight_decay", 0)
    assert_close(params[rows][9:], start * np.prod(1 - decay * rates_of(rule)), limit, rows)
    assert decay or np.array_equal(params[rows][9:], start)
    for memory in run.memories:
        assert not run.model.views(memory)[rows][9:].any()


# with a plain adagrad or sgd the rows that a batch does not pick are averaged too
@pytest.mark.parametrize("kind", ["rnn", "lstm", "memory"])
@pytest.mark.parametrize("rule", ["adagrad", "adamw", "sgd"])
@DTYPES
def test_the_average_equals_the_reference(isa, dtype, rule, kind):
    N, more = NETWORKS[kind]
    optimizer, _, numbers = (RULES | OTHERS)[rule]
    model = random_model(kind, "float64", 11, 9, **more)
    params = all_weights(model)
    expected = {name: np.zeros_like(p) for name, p in params.items()}
    network = network_of(model, 4, N)
    reference_run = reference.train(
        params, IDS, 4, N, model.config["cell"], optimizer, rates_of(rule), **CLIPS["both"],
        **numbers, dropout=model.config["dropout"], weight_drop=model.config["weight_drop"],
        generators=generators_of(model, network), slices=network.slices, averages=expected,
        weight_average=0.3)
    smooth, averages = [], []
    for _, s in reference_run:
        smooth.append(s)
        averages.append({name: mean.copy() for name, mean in expected.items()})
    run = run_on(kind, dtype, rule, **CLIPS["both"], averaged=0.3, best_every=11)
    run.run(rates_of(rule)[:5])  # the average goes on from call to call
    run.run(rates_of(rule)[5:])
    limit = 1e-9 if dtype == "float64" else 4e-4
    best = min((11, 22, 33), key=lambda update: smooth[update - 1])
    assert run.training.counters["best_update"] == best
    for name, p in run.model.params.items():
        mean = run.model.views(run.average)[name]
        assert_close(mean, expected[name], limit, name)
        assert np.abs(expected[name] - params[name]).max() > 1e-3
        assert_close(p, params[name], limit, name)
        assert_close(run.model.views(run.best)[name], averages[best - 1][name], limit, name)


@pytest.mark.parametrize("dtype", kernels.PRECISIONS)
def test_the_average_of_several_chunks(isa, dtype):
    """Every number of a block that several jobs share, whatever the number of threads."""
    runs = [Run(random_model("lstm", dtype, 11, 69), IDS, N=3, optimizer="adam", rate=0.01,
                averaged=0.4, threads=threads) for threads in (1, 3)]
    assert runs[0].model.block.size > 16384
    expected = np.zeros(runs[0].average.shape)
    for update in range(1, 7):
        runs[0].run(1)
        reference.average(expected, runs[0].model.block, update, 0.4)
        limit = 1e-14 if dtype == "float64" else 1e-6
        np.testing.assert_allclose(runs[0].average, expected, rtol=limit, atol=limit)
    runs[1].run(6)
    assert runs[1].everything() == runs[0].everything()
    plain = Run(random_model("lstm", dtype, 11, 69), IDS, N=3, optimizer="adam", rate=0.01)
    plain.run(6)
    assert plain.model.block.tobytes() == runs[0].model.block.tobytes()


@ALL_RULES
def test_clipping_matters_in_these_tests(rule):
    ends = [reference_run("rnn", rule, clip)[1]["head.W"] for clip in CLIPS]
    for i, a in enumerate(ends):
        for b in ends[:i]:
            assert np.abs(a - b).max() > 1e-4


@pytest.mark.parametrize("rule", RULES | OTHERS)
@DTYPES
def test_rows_that_are_skipped_lose_nothing(isa, dtype, rule):
    """The loop's update, which leaves out rows that no input picks, equals one over the whole
    block, bit for bit."""
    optimizer, rate, numbers = (RULES | OTHERS)[rule]
    for kind, K, H, N, more in (
            ("rnn", 11, 1, 3, {}), ("rnn", 11, 9, 3, {}), ("relu", 30, 16, 3, {}),
            ("rnn", 70, 65, 3, {}), ("lstm", 30, 5, 9, {}), ("gru", 40, 5, 2, {"num_layers": 2}),
            ("memory", 30, 5, 9, {"embedding_size": 7}), ("lstm", 70, 33, 2, {})):
        model, other = (random_model(kind, dtype, K, H, **more) for _ in range(2))
        ids = np.random.default_rng(4).integers(0, K, 20 * N)
        run = Run(model, ids, N=N, optimizer=optimizer, rate=rate, clip_value=0.1,
                  **kernel_numbers(numbers))
        memories = [np.zeros_like(other.block) for _ in run.memories]
        streams, state = ids.reshape(N, 20), other.zero_state(N)
        for update in range(1, 5):
            window = streams[:, 4 * update - 4 : 4 * update + 1]
            _, grads, state = other.loss_and_gradients(window[:, :-1], window[:, 1:], state)
            flat = np.concatenate([g.ravel() for g in grads.values()])
            run.rule.step(update, rate, other.block, flat, memories)
            run.run(1)
            assert np.array_equal(model.block, other.block)
            for a, b in zip(run.memories, memories, strict=True):
                assert np.array_equal(a, b)


@pytest.mark.parametrize("rule", RULES | OTHERS)
@DTYPES
def test_a_step_at_every_length_and_place(isa, dtype, rule):
    """Blocks of 1 to some registers, at any place in memory: the same entries, the reference's
    values, nothing written outside."""
    rng = np.random.default_rng(3)
    lanes = kernels.lanes(dtype)
    size = 3 * lanes + 2
    optimizer, _, numbers = (RULES | OTHERS)[rule]
    kernel = kernels.Optimizer(optimizer, **kernel_numbers(numbers), clip_value=1.0)
    weight_decay = numbers.get("weight_decay", 0)
    numbers = {name: value for name, value in numbers.items() if name != "weight_decay"}
    count = kernel.memories
    start = rng.normal(0, 1, (4, size)).astype(dtype)
    start[2:] **= 2
    start[1, ::5] *= 1e-6
    expected = start.astype(np.float64)
    expected[0] *= 1 - 0.1 * weight_decay
    reference.OPTIMIZERS[optimizer][0](
        expected[0], np.clip(expected[1], -1, 1), [expected[2 + i] for i in range(count)], 3, 0.1,
        **numbers)
    limit = 1e-14 if dtype == "float64" else 1e-6
    whole = start.copy()
    kernel.step(3, 0.1, whole[0], whole[1], list(whole[2 : 2 + count]))
    assert_close(whole, expected, limit, "step")
    assert np.array_equal(whole[1], start[1])
    for begin in range(lanes + 1):
        for n in range(1, size - begin + 1):
            part = start.copy()
            p, g, *m = part[: 2 + count, begin : begin + n]
            kernel.step(3, 0.1, p, g, m)
            inside = np.zeros(size, bool)
            inside[begin : begin + n] = True
            assert np.array_equal(part[:, inside], whole[:, inside])
            assert np.array_equal(part[:, ~inside], start[:, ~inside])


@pytest.mark.parametrize("N", [1, 8])
@pytest.mark.parametrize(("kind", "H"), [("rnn", 7), ("rnn", 130), ("lstm", 130)])
def test_the_norm_of_many_chunks(isa, kind, H, N):
    """An update is done in chunks of 16384 entries; the norm is that of them all."""
    model, other = (random_model(kind, "float64", 5, H) for _ in range(2))
    ids = np.random.default_rng(4).integers(0, 5, 20 * N)
    run = Run(model, ids, N=N, optimizer="sgd", rate=0.1, clip_value=None, clip_norm=0.5)
    run.run(1)
    window = ids.reshape(N, 20)[:, :5]
    _, grads, _ = other.loss_and_gradients(window[:, :-1], window[:, 1:])
    norm = np.sqrt(sum((g**2).sum() for g in grads.values()))
    assert norm > 1 and (H == 7 or model.block.size > 16384)
    for name, g in grads.items():
        other.params[name] -= 0.1 * g * 0.5 / norm
        assert_close(model.params[name], other.params[name], 1e-13, name)


# ---- sampling ----

def writer(kind, K, H, layers=1, E=None, dtype="float64", seed=0):
    """A random model whose choices matter and whose states stay small."""
    cell, *before = kind.split(", ")
    model = Model(vocabulary(K), cell=cell, hidden_size=H, num_layers=layers, embedding_size=E,
                  reset_after=not before, dtype=dtype)
    rng = np.random.default_rng(seed)
    spread = {"Wh": 0.8 / H**0.5, "Wm": 0.1 / H**0.5, "bm": 0.1}
    for name, p in model.params.items():
        p[:] = rng.normal(0, spread.get(name.split(".")[1], 0.6), p.shape)
    model.params["head.W"][:] *= 3 / H**0.5
    return model


def scores_only(scores, dtype, H=6):
    """A model whose scores are always these."""
    model = Model(vocabulary(len(scores)), hidden_size=H, dtype=dtype, init_scale=0)
    model.params["head.b"][:] = scores
    return model


def draw(model, uniforms, temperature, symbols=0, state=None, **settings):
    """Ids like uniforms: (n,) of one stream or (n, N); symbols is an id or (N,)."""
    uniforms = np.array(uniforms, np.float64)
    N = uniforms.shape[1] if uniforms.ndim == 2 else 1
    state = model.zero_state(N) if state is None else state
    ids = model.network(1, N).sample(model.block, state, np.full(N, symbols, np.int32), temperature,
                                     uniforms, **settings)
    assert ids.shape == (len(uniforms), N)
    return ids.reshape(uniforms.shape)


def twin(model, uniforms, temperature, symbol, state, top_k=0, top_p=1.0):
    """The reference's ids of one stream, from state (P)."""
    return reference.sample(model.params, state, symbol, uniforms, temperature,
                            model.config["cell"], top_k or None, top_p)


CHOICES = [(1, 0, 1.0), (0.5, 0, 1.0), (2, 0, 1.0), (0, 0, 1.0), (1, 4, 1.0), (2, 1, 1.0),
           (1, 10**6, 1.0), (1, 0, 0.8), (0.5, 0, 0.3), (1, 0, 1e-9), (2, 5, 0.7), (0, 3, 0.5)]


@functools.cache
def written(kind, layers):
    """[(K, H, E, N), (temperature, top_k, top_p), state, uniforms, ids, last state] of reference.py
    for one model of each size."""
    rng, rows = np.random.default_rng(9), []
    for i, size in enumerate([(2, 5, None, 1), (11, 7, 3, 3), (83, 33, None, 2), (1000, 9, 4, 2),
                              (40, 20, None, 9), (7, 18, 2, 17)]):
        K, H, E, N = size
        model = writer(kind, K, H, layers, E)
        choice = CHOICES[(3 * KINDS.index(kind) + 5 * layers + i) % len(CHOICES)]
        temperature, top_k, top_p = choice
        state = rng.uniform(-1, 1, model.zero_state(N).shape)
        symbols, uniforms = rng.integers(K, size=N), rng.random((25, N))
        ids = np.stack([twin(model, uniforms[:, j], temperature, symbols[j], state[j], top_k, top_p)
                        for j in range(N)], axis=1)
        read = np.vstack([symbols, ids[:-1]])  # (25, N)
        last = reference.forward(model.params, read.T, state, model.config["cell"])[1]
        rows.append((size, choice, state, uniforms, ids, read, last))
    return rows


@pytest.mark.parametrize("layers", [1, 2, 3])
@TRAINED_KINDS
def test_samples_equal_the_reference(isa, kind, layers):
    """Every stream for itself, and the state moves as `unroll` moves it."""
    for (K, H, E, N), (temperature, top_k, top_p), start, uniforms, ids, read, last in written(
            kind, layers):
        model = writer(kind, K, H, layers, E)
        for packed in (True, False):
            state, unrolled = start.copy(), start.copy()
            network = network_of(model, 25, N, packed)
            drawn = network.sample(model.block, state, read[0].astype(np.int32), temperature,
                                   uniforms, top_k, top_p)
            assert np.array_equal(drawn, ids)
            assert_close(state, last, 1e-11, "state")
            network.unroll(model.block, read.astype(np.int32), unrolled)
            assert_close(state, unrolled, 1e-12, "state of unroll")


@DTYPES
@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize(("temperature", "top_k", "top_p", "min_p", "penalty"), [
    (1.0, 0, 1.0, 0.3, 1.0), (1.0, 0, 1.0, 0.0, 1.7), (0.7, 5, 0.9, 0.1, 1.3), (0, 0, 1.0, 0, 2.0),
    (1.0, 0, 1.0, 0.0, 0.5)])
def test_min_p_and_repetition_penalty_equal_the_reference(
        isa, kind, dtype, temperature, top_k, top_p, min_p, penalty):
    rng, K, N = np.random.default_rng(3), 13, 3
    model = writer(kind, K, 11, 2, dtype=dtype)
    for name, p in model.params.items():  # scores of either sign, far apart
        if name == "head.W":
            p *= 2
    start = rng.uniform(-1, 1, model.zero_state(N).shape).astype(dtype)
    symbols, uniforms = rng.integers(K, size=N), rng.random((40, N))
    seen = rng.integers(2, size=(N, K)).astype(np.uint8)
    expected = [reference.sample(
        all_weights(model), start[j].astype(np.float64), symbols[j], uniforms[:, j], temperature,
        kind, top_k or None, top_p, min_p, penalty, np.flatnonzero(seen[j])) for j in range(N)]
    marked = seen.copy()
    ids = draw(model, uniforms, temperature, symbols, start.copy(), top_k=top_k, top_p=top_p,
               min_p=min_p, penalty=penalty, seen=marked)
    if dtype == "float64":
        assert np.array_equal(ids.T, expected)
    else:  # rounding may decide a draw at an edge, and all that follow
        assert all(np.array_equal(ids[:10, j], expected[j][:10]) for j in range(N))
    for j in range(N):
        assert {*np.flatnonzero(marked[j])} == {*np.flatnonzero(seen[j]), *ids[:, j]}
    assert len(np.unique(ids)) > 1 or temperature == 0
    plain = draw(model, uniforms, temperature, symbols, start.copy())
    assert not np.array_equal(ids, plain)


def test_the_reference_s_samples_are_worth_comparing():
    """They vary, but where they must not."""
    rows = [row for kind in KINDS for layers in (1, 2, 3) for row in written(kind, layers)]
    assert {row[1] for row in rows} == {*CHOICES}
    for (K, *_), (temperature, top_k, top_p), *_, ids, _, _ in rows:
        if temperature and top_k != 1 and top_p > 0.5 and K > 2:
            assert len(np.unique(ids)) > 2


@DTYPES
@TRAINED_KINDS
def test_every_draw_is_the_one_that_its_number_asks_for(isa, kind, dtype):
    """Given the symbols that the kernel drew: up to an error of 1e-4 in probabilities where it
    counts in float32, which makes the numbers close to an edge undecided."""
    error = 1e-4 if dtype == "float32" else 1e-9
    rng = np.random.default_rng(5)
    for (K, N), (temperature, top_k, top_p) in zip(
            [(2, 1), (90, 3), (700, 2), (30, 9)], [(1, 0, 1.0), (1, 0, 0.6), (0.5, 9, 1.0),
                                                   (2, 20, 0.9)], strict=True):
        model = writer(kind, K, 12, 2, 5, dtype)
        state = rng.uniform(-1, 1, model.zero_state(N).shape).astype(dtype)
        start = state.astype(np.float64)
        uniforms, first = rng.random((30, N)), rng.integers(K, size=N)
        ids = draw(model, uniforms, temperature, first, state, top_k=top_k, top_p=top_p)
        read = np.vstack([first, ids[:-1]]).T  # (N, 30)
        scores = reference.forward(all_weights(model), read, start, model.config["cell"])[0]
        undecided = 0
        for (t, j), u in np.ndenumerate(uniforms):
            fixed = {"embedding.W": np.zeros((K, 1)), "layer0.Wx": np.zeros((1, 1)),
                     "layer0.Wh": np.zeros((1, 1)), "layer0.b": np.zeros(1),
                     "head.W": np.zeros((1, K)), "head.b": scores[j, t]}
            near = [max(u - error, 0), u, min(u + error, 1 - 1e-12)]
            may_be = {i for q in ({1.0} if top_p == 1 else {top_p - error, top_p + error})
                      for i in reference.sample(fixed, np.zeros(1), 0, near, temperature, "rnn",
                                                top_k or None, q)}
            assert ids[t, j] in may_be
            undecided += len(may_be) > 1
        assert undecided <= 0.2 * uniforms.size


@TRAINED_KINDS
def test_gradients_where_rows_are_longer_than_the_units(isa, kind):
    """Rows of 1,024 bytes lie a line further apart (spread_row() of csrc/workspace.h)."""
    N, T, K, H = 9, 3, 5, 128
    model = writer(kind, K, H, 2)
    rng = np.random.default_rng(1)
    x, y = rng.integers(K, size=(2, N, T))
    state = rng.uniform(-1, 1, model.zero_state(N).shape)
    loss, grads, last = model.loss_and_gradients(x, y, state)
    expected = reference.loss_and_gradients(model.params, x, y, state, model.config["cell"])
    assert loss == pytest.approx(expected[0], rel=1e-13)
    for name, g in grads.items():
        assert_close(g, expected[1][name], 1e-12, name)
    assert_close(last, expected[2], 1e-12, "state")


@DTYPES
@pytest.mark.parametrize("K", [2, 15, 16, 17, 31, 100, 257, 778])
def test_of_equal_weights_the_first_stay_wherever_the_limit_falls(isa, dtype, K):
    """Weights that are powers of 1/2, many of them equal or 0, whose sums are exact;
    a number for the middle of each symbol's part draws this symbol, and all of them no other."""
    rng = np.random.default_rng(K)
    powers = rng.integers(0, 9, K)
    powers[rng.random(K) < 0.2] = 2000  # weights of 0
    powers[rng.integers(K)] = 0
    model = scores_only(-powers * np.log(2), dtype)
    order = np.argsort(powers, kind="stable")
    for top_k, top_p, min_p in ((0, 1.0, 0), (1, 1.0, 0), (K // 2, 1.0, 0), (K - 1, 1.0, 0),
                                (0, 0.4, 0), (0, 0.97, 0), (K // 2, 0.8, 0), (0, 1.0, 0.03),
                                (K, 0.9, 0.1)):
        p = 0.5 ** powers.astype(float)
        p[order[top_k or K :]] = 0
        if top_p < 1:
            p[order[np.searchsorted(np.cumsum(p[order]), top_p * p.sum()) + 1 :]] = 0
        p[p < min_p] = 0
        likely, ends = np.flatnonzero(p), np.cumsum(p) / p.sum()
        uniforms = np.append((ends - p / p.sum() / 2)[likely], [0, 1 - 2**-53])
        ids = draw(model, uniforms, 1, top_k=top_k, top_p=top_p, min_p=min_p)
        assert ids.tolist() == [*likely, likely[0], likely[-1]]


@pytest.mark.parametrize("N", [2, 3, 7, 8, 9, 16, 33])
@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_each_stream_writes_as_it_would_alone(isa, kind, N):
    """A batch is cut in slices from N = 8 on or so; no stream meets another."""
    model = writer(kind, 19, 13, 2)
    rng = np.random.default_rng(N)
    state = rng.uniform(-1, 1, model.zero_state(N).shape)
    symbols, uniforms = rng.integers(19, size=N), rng.random((40, N))
    for settings in ({}, {"top_k": 6, "top_p": 0.8}):
        together = state.copy()
        ids = draw(model, uniforms, 1, symbols, together, **settings)
        for j in range(N):
            alone = state[j : j + 1].copy()
            assert np.array_equal(
                draw(model, uniforms[:, j], 1, symbols[j], alone, **settings), ids[:, j])
            assert_close(together[j], alone[0], 1e-12, "state")


@DTYPES
def test_draws_go_on_where_the_last_ended(isa, dtype):
    """In pieces of any size the ids and the state are those of one draw, to the bit."""
    uniforms = np.random.default_rng(3).random((50, 3))
    for kind in KINDS:
        model = writer(kind, 19, 13, 2, dtype=dtype)
        whole, state = model.zero_state(3), model.zero_state(3)
        ids = draw(model, uniforms, 1, 4, whole)
        part, last = [], 4
        for start, end in ((0, 1), (1, 2), (2, 20), (20, 20), (20, 50)):
            part.append(draw(model, uniforms[start:end], 1, last, state))
            last = part[-1][-1] if end > start else last
        assert np.array_equal(np.vstack(part), ids)
        assert np.array_equal(state, whole)


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


def left(scores, temperature, top_k=0, top_p=1.0):
    """What may be drawn: ids in their order, and their probabilities, by the definitions."""
    p = np.exp((np.asarray(scores, float) - max(scores)) / temperature)
    order = sorted(range(len(p)), key=lambda k: (-scores[k], k))[: top_k or None]
    shares = [0, *np.cumsum(p[order])]  # of those before each, and of all
    kept = [k for k, share in zip(order, shares, strict=False)
            if top_p == 1 or share < top_p * shares[-1]]
    kept.sort()
    return kept, p[kept] / p[kept].sum()


@pytest.mark.parametrize("settings", [
    {"top_k": 1}, {"top_k": 5}, {"top_k": 18}, {"top_p": 0.01}, {"top_p": 0.5}, {"top_p": 0.95},
    {"top_k": 8, "top_p": 0.7}, {"top_k": 3, "top_p": 0.99}], ids=str)
@DTYPES
def test_draws_follow_what_is_left(isa, dtype, settings):
    scores = np.random.default_rng(0).normal(0, 1.5, 19).astype(dtype)
    for temperature in (1, 0.6):
        kept, p = left(scores, temperature, **settings)
        uniforms = np.random.default_rng(1).random((2_000, 9))  # nine streams
        counts = np.bincount(draw(scores_only(scores, dtype), uniforms, temperature,
                                  **settings).ravel(), minlength=19)
        assert counts.nonzero()[0].tolist() == kept
        if len(kept) > 1:
            assert stats.chisquare(counts[kept], 18_000 * p).pvalue > 1e-3


@DTYPES
def test_nothing_outside_the_nucleus_is_ever_drawn(isa, dtype):
    """Even by the numbers at both ends."""
    rng = np.random.default_rng(4)
    for K in (2, 3, 8, 17, 65, 300, 1000):
        for spread in (0.5, 3, 20):
            scores = rng.normal(0, spread, K).astype(dtype)
            model = scores_only(scores, dtype)
            for settings in ({"top_k": 1 + K // 3}, {"top_p": 0.77}, {"top_k": K - 1, "top_p": 0.4},
                             {"top_p": 1 - 1e-3}):
                kept, _ = left(scores, 1, **settings)
                ids = draw(model, [0, np.nextafter(1, 0), *rng.random(60)], 1, **settings)
                assert {*ids.tolist()} <= {*kept}
                assert ids[0] == kept[0]
                if spread < 20:  # else the last may be too unlikely
                    assert ids[1] == kept[-1]


@DTYPES
def test_of_equal_scores_the_first_are_left(isa, dtype):
    for K in (2, 5, 16, 17, 200, 1000):
        scores = np.random.default_rng(K).integers(0, 3, K)
        model = scores_only(scores, dtype)
        uniforms = (np.arange(4 * K) + 0.5) / (4 * K)
        for settings in ({"top_k": 1}, {"top_k": K // 2}, {"top_k": K - 1}, {"top_p": 0.3771},
                         {"top_p": 0.9113}, {"top_k": 2 * K // 3, "top_p": 0.6117}):
            ids = draw(model, uniforms, 1, **settings)
            kept, _ = left(scores, 1, **settings)
            assert np.unique(ids).tolist() == kept
    # a share that is reached exactly is enough
    assert {*draw(scores_only([0] * 8, dtype), uniforms, 1, top_p=0.5).tolist()} == {0, 1, 2, 3}
    assert {*draw(scores_only([0, 2, 2, 1], dtype), uniforms, 1, top_k=1).tolist()} == {1}


@DTYPES
def test_what_has_no_probability_is_not_drawn_because_top_k_has_room(isa, dtype):
    model = scores_only([-1e4, 0, -1e4, 0, -1e4], dtype)
    uniforms = [0, 0.4, 0.6, np.nextafter(1, 0)]
    for settings in ({"top_k": 3}, {"top_k": 4, "top_p": 0.999}, {"top_p": 0.999}):
        assert draw(model, uniforms, 1, **settings).tolist() == [1, 1, 3, 3]


@DTYPES
def test_limits_that_leave_everything_change_no_bit(isa, dtype):
    model = writer("gru", 30, 11, dtype=dtype)
    uniforms = np.random.default_rng(2).random((300, 2))
    ids = draw(model, uniforms, 1.3)
    for settings in ({"top_k": 30}, {"top_k": 2**31 - 1}, {"top_p": 1.0}, {"top_k": 0}):
        assert np.array_equal(draw(model, uniforms, 1.3, **settings), ids)


@pytest.mark.parametrize("temperature", [0, 1e-300])
@DTYPES
def test_temperature_zero_takes_the_likeliest(isa, dtype, temperature):
    uniforms = np.array([0, 0.3, 0.5, 0.9, np.nextafter(1, 0)])
    for likeliest in (0, 3, 40):
        scores = np.zeros(41)
        scores[likeliest] = 1e-6
        model = scores_only(scores, dtype)
        for settings in ({}, {"top_k": 2}, {"top_p": 0.2}):
            ids = draw(model, uniforms, temperature, **settings)
            assert ids.tolist() == [likeliest] * 5
    # two scores that differ by little more than the precision can tell
    near = np.array([1, 1 + 2 * np.finfo(dtype).eps, 1], dtype)
    assert draw(scores_only(near, dtype), uniforms, temperature).tolist() == [1] * 5


@DTYPES
def test_temperature_zero_of_equal_scores_does_not_depend_on_chance(isa, dtype):
    """As argmax: the first of them."""
    scores = [0, 1, 1, 0, 1]
    for settings in ({}, {"top_k": 2}, {"top_k": 3, "top_p": 0.9}):
        ids = draw(scores_only(scores, dtype), [0, 0.3, 0.5, 0.9], 0, **settings)
        assert ids.tolist() == [1] * 4
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
    model = writer(cell, 13, 6, dtype=dtype)
    for scale in (1, 1e3, 1e30, np.nan):
        model.params["head.W"][:] *= scale
        for settings in ({}, {"top_k": 4}, {"top_p": 0.5}):
            ids = draw(model, np.random.default_rng(1).random((50, 2)), temperature,
                       state=np.ones_like(model.zero_state(2)), **settings)
            assert ((ids >= 0) & (ids < 13)).all()


@pytest.mark.parametrize(("change", "message"), [
    ({"ids": [5, 0]}, "ids must hold ids from 0 to 4"),
    ({"ids": [0, -1]}, "ids must hold ids from 0 to 4"),
    ({"ids": [0]}, "ids must be a C-contiguous int32 array of 2 elements"),
    ({"uniforms": np.zeros((3, 1))}, "uniforms must be .* of 6 elements"),
    ({"uniforms": np.zeros((3, 2), np.float32)}, "uniforms must be .* float64"),
    ({"state": np.zeros((1, 4))}, "state must be .* of 8 elements"),
    ({"temperature": -1}, "temperature of 0 or more"),
    ({"temperature": np.nan}, "temperature of 0 or more"),
    ({"temperature": np.inf}, "temperature of 0 or more"),
    ({"top_k": -1}, "top_k of 0 or more"), ({"top_p": 0}, "top_p above 0 up to 1"),
    ({"top_p": 1.1}, "top_p above 0 up to 1"), ({"top_p": np.nan}, "top_p above 0 up to 1"),
], ids=str)
def test_the_border_lets_nothing_wrong_through(change, message):
    model = writer("rnn", 5, 4)
    given = {"state": np.zeros((2, 4)), "ids": [1, 2], "temperature": 1.0,
             "uniforms": np.zeros((3, 2))} | change
    given["ids"] = np.array(given["ids"], np.int32)
    with pytest.raises(ValueError, match=message):
        model.network(1, 2).sample(model.block, **given)


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
        "import numpy as np; from fastrnn import kernels; x = np.ones(20); "
        f"kernels.Optimizer({optimizer!r}).step(1, 0.1, x, x.copy(), [x.copy()] * {count})")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1, f"exit code {done.returncode}"
    assert "ValueError" in done.stderr and "memor" in done.stderr


# ---- the training loop ----

def long_run(dtype="float64", rule="adagrad", kind="rnn", **settings):
    """On a text that can be learnt: one symbol after the other, here and there any symbol."""
    rng = np.random.default_rng(5)
    ids = np.where(rng.random(400) < 0.8, np.arange(400) % 11, rng.integers(0, 11, 400))
    return run_on(kind, dtype, rule, ids, **settings)


@pytest.mark.parametrize(("kind", "rule"), [
    *(("rnn", rule) for rule in RULES), *((kind, "adam") for kind in NETWORKS)])
@DTYPES
def test_many_calls_equal_one(isa, dtype, kind, rule):
    whole, parts = (long_run(dtype, rule, kind) for _ in range(2))
    loss, smooth = whole.run(60)
    got = [parts.run(n) for n in (1, 2, 7, 0, 1, 49)]
    assert np.array_equal(np.concatenate([a for a, _ in got]), loss)
    assert np.array_equal(np.concatenate([b for _, b in got]), smooth)
    assert whole.everything() == parts.everything()


@ALL_KINDS
def test_each_update_is_an_unroll_and_a_step(isa, kind):
    """From the state that the one before left, or from zero where an epoch starts."""
    N, more = NETWORKS[kind]
    run = run_on(kind, "float64", "sgd", clip_value=None)
    other, network = random_model(kind, "float64", 11, 9, **more), network_of(run.model, 4, N)
    generators = generators_of(other, network)
    streams = IDS[: len(IDS) // N * N].reshape(N, -1)
    for _ in range(18):
        position = run.training.position
        window = streams[:, position : position + 5]
        state = run.state.copy() if position else other.zero_state(N)
        losses, grads, last = unroll(
            other, network, window[:, :-1], window[:, 1:], state, generators)
        loss, _ = run.run(1)
        assert loss[0] == pytest.approx(losses.sum() / N, rel=1e-14)
        assert np.array_equal(run.state, last)
        for tensor, g in grads.items():
            other.params[tensor] -= 0.1 * g
            assert_close(run.model.params[tensor], other.params[tensor], 1e-14, tensor)
        other.block[:] = run.model.block
    assert run.training.epoch > 0


@pytest.mark.parametrize(("width", "K"), [("uint8", 256), ("uint16", 300), ("uint32", 70_000)])
@DTYPES
def test_ids_of_every_width(isa, dtype, width, K):
    """The loop reads the text as it is stored, `losses` from int32 arrays of one window."""
    model = random_model("rnn", dtype, K, 2)
    ids = np.random.default_rng(2).integers(0, K, 60).astype(width)
    ids[::7] = K - 1
    run = Run(model, ids, N=3)
    for start in range(0, 12, 4):
        window = ids.reshape(3, 20)[:, start : start + 5].astype(int)
        expected = model.losses(window[:, :-1], window[:, 1:], run.state).sum() / 3
        assert run.run(1)[0][0] == pytest.approx(expected, rel=1e-14)


def test_the_best_parameters_are_those_of_the_lowest_smoothed_loss(isa):
    """Looked at every 100 updates; kept although the run goes on and gets worse, or better."""
    run, twin = long_run(), long_run()

    def best(run):
        return run.training.counters["best_update"], run.training.counters["best_loss"]

    run.run(99)
    assert best(run) == (0, np.inf)
    run.run(121)  # past 100 and 200 in one call
    _, smooth = twin.run(200)
    assert best(run) == (200, smooth[199])
    assert smooth[199] < smooth[99]
    assert np.array_equal(run.best, twin.model.block)
    run.model.params["head.b"][0] = 500  # from here on it only gets worse
    _, later = run.run(200)
    assert later[[79, 179]].min() > smooth[199]
    assert best(run) == (200, smooth[199])
    assert np.array_equal(run.best, twin.model.block)


@ALL_RULES
@ALL_KINDS
def test_a_loss_that_is_not_finite_stops_before_the_update(isa, kind, rule):
    for tensor in run_on(kind, "float32", rule).model.params:
        run = long_run("float32", rule, kind)
        assert len(run.run(2)[0]) == 2
        run.model.params[tensor][:] = np.nan
        arrays, counters, _ = run.everything()
        assert len(run.run(10)[0]) == 0
        assert run.everything()[:2] == (arrays, counters)


@DTYPES
def test_a_loss_that_overflows_within_a_call_stops_there(isa, dtype):
    rate = 1e30 if dtype == "float32" else 1e300
    whole, single = (long_run(dtype, "sgd", "relu") for _ in range(2))
    loss, _ = whole.run(np.full(50, rate))  # one call into the kernels
    assert 0 < len(loss) < 50
    assert np.isfinite(loss).all()
    single.run(np.full(len(loss), rate))
    assert whole.everything() == single.everything()
    assert len(whole.run(np.full(1, rate))[0]) == 0


@pytest.mark.parametrize("clip_value", [5.0, None])
@ALL_RULES
@DTYPES
def test_a_gradient_that_is_not_finite_is_not_applied(isa, dtype, rule, clip_value):
    """Two streams whose states and losses are finite, and the biases' gradients too, while those of
    Wh would be the sum of numbers that overflow, of one sign in one stream and the other in the
    other."""
    huge = (np.finfo(dtype).max / 30) ** 0.5
    model = Model(vocabulary(3), cell="relu", hidden_size=2, dtype=dtype, init="identity")
    model.params["layer0.Wx"][:] = huge
    little = 2.0**-10
    model.params["head.W"][:] = huge * np.array([[0, 1 - little, -1 - little], [0, -1, 1]])
    optimizer, rate, decay = RULES[rule]
    run = Run(model, np.repeat([1, 2], 60), 25, 2, optimizer, rate, clip_value=clip_value)
    inputs = np.repeat([[1], [2]], 25, axis=1)
    loss, grads, _ = model.loss_and_gradients(inputs, inputs)
    assert np.isfinite(loss)
    assert np.isfinite(grads["layer0.b"]).all() and np.isfinite(grads["head.b"]).all()
    assert not np.isfinite(grads["layer0.Wh"]).any()
    before = run.everything()
    assert len(run.run(5)[0]) == 0
    assert run.everything() == before


@pytest.mark.parametrize(("N", "where"), [(1, "head.W"), (1, "layer1.Wx"), (9, "layer1.Wx")])
@pytest.mark.parametrize("clip_value", [5.0, None])
@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru", "gru, reset before"])
@DTYPES
def test_a_gradient_that_overflows_on_its_way_down(isa, dtype, kind, clip_value, N, where):
    """All states and scores are 0; what the head hands down is infinite, or what the second layer
    does."""
    huge = np.finfo(dtype).max
    model = Model(vocabulary(4), **cell_of(kind), hidden_size=6, num_layers=2, dtype=dtype,
                  init_scale=0)
    model.params["head.W"][:] = np.array([1, -1, -1, -1]) * (huge if where == "head.W" else 10)
    model.params["layer1.Wx"][:] = huge if where == "layer1.Wx" else 0.0
    run = Run(model, np.tile([0, 0, 0, 1], 20), N=N, clip_value=clip_value)
    inputs = np.zeros((N, 4), int)
    loss, grads, _ = model.loss_and_gradients(inputs, inputs)
    assert np.isfinite(loss) and np.isfinite(grads["head.b"]).all()
    assert np.isfinite(grads["layer1.b"]).all() == (where == "layer1.Wx")
    assert not np.isfinite(grads["layer0.b"]).all()
    before = run.everything()
    assert len(run.run(5)[0]) == 0
    assert run.everything() == before


@pytest.mark.parametrize("rule", RULES | OTHERS)
@DTYPES
def test_a_gradient_whose_square_overflows_makes_no_nan(isa, dtype, rule):
    huge = 1e25 if dtype == "float32" else 1e200
    model = Model(vocabulary(3), cell="relu", hidden_size=2, dtype=dtype, init="identity")
    model.params["head.W"][:] = huge * np.array([[3, 0, 1], [1, 2, 1]])
    model.params["layer0.Wx"][:] = np.array([[1, 2], [3, 1], [2, 2]]) / huge
    optimizer, rate, numbers = (RULES | OTHERS)[rule]
    run = Run(model, np.arange(60) % 3, optimizer=optimizer, rate=rate, clip_value=None,
              **kernel_numbers(numbers))
    run.run(5)  # it may be refused
    assert np.isfinite(model.block).all()


@DTYPES
@ALL_KINDS
def test_other_work_between_runs_changes_nothing(isa, dtype, kind):
    """Also with the network that trains."""
    quiet, busy = (long_run(dtype, kind=kind) for _ in range(2))
    model, N = busy.model, NETWORKS[kind][0]
    for n in (1, 3, 10):
        for streams, T in ((N, 4), (N, 3), (2, 4), (11, 6)):
            model.loss_and_gradients(*random_window(model, T, streams))
        unroll(model, busy.network, *random_window(model, 4, N))
        model.draw(30, model.zero_state(), [1], 1.0, np.random.default_rng(0))
        model.score(model.vocabulary.decode(np.arange(300) % 11))
        fastrnn.gradcheck(model, *random_window(model, 4, N)[:2], entries=2)
        busy.run(n)
        quiet.run(n)
    assert quiet.everything() == busy.everything()


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
    run = long_run(dtype)
    model = run.model
    inputs, targets, state = random_window(model, 4, 2)
    for call in (lambda: run.run(3), lambda: model.sample(5, seed=0),
                 lambda: model.losses(inputs, targets, state),
                 lambda: model.loss_and_gradients(inputs, targets, state)):
        call()
        assert subnormals_live()
    model.block[:] = np.nan
    assert len(run.run(3)[0]) == 0
    assert subnormals_live()


def fading_model(kind, dtype):
    """A model in which what carries (h, an LSTM's c, m) becomes `factor` of itself at each step,
    that factor, and a state that is normal for two more steps."""
    drawn = {"spectral_radius": 0, "leak_rate": 0.5, "input_scale": 0, "density": 1}
    model = Model(vocabulary(5), **cell_of(kind), hidden_size=6, dtype=dtype, init_scale=0,
                  forget_bias=0, **(drawn if kind == "esn" else {}))
    factor = 0.5
    if kind in ("rnn", "relu"):
        model.params["layer0.Wh"][:] = np.eye(6) / 2
    if kind == "memory":  # u_t = m_{t-1}, m_t = m_{t-1} - 3/4 u_t, the product of which is normal
        model.params["layer0.Wh"][:] = np.eye(6)
        model.params["layer0.Wm"][:] = -0.75 * np.eye(6)
        factor = 0.25
    tiny = np.finfo(model.block.dtype).tiny
    return model, factor, np.full_like(model.zero_state(), 1.6 / factor**2 * tiny)


@DTYPES
@ALL_KINDS
def test_subnormals_are_zero_inside(isa, kind, dtype):
    model, factor, state = fading_model(kind, dtype)
    inputs, tiny = np.zeros((1, 3), int), np.finfo(dtype).tiny
    # the reference, which flushes nothing, ends in a subnormal number
    kept = reference.loss_and_gradients(
        all_weights(model), inputs, inputs, state, model.config["cell"])[2]
    assert (kept > 0).all() and (kept < tiny).all()

    _, _, two = model.loss_and_gradients(inputs[:, :2], inputs[:, :2], state)
    np.testing.assert_allclose(two[:, -6:], factor**2 * state[:, -6:], rtol=1e-6)  # normal still
    _, _, three = model.loss_and_gradients(inputs, inputs, state)
    assert not three.any()
    network = model.network(3, 1)
    for moved in (state.copy(), factor**3 * state):  # the second comes in subnormal
        network.unroll(model.block, np.zeros((3, 1), np.int32), moved)
        assert not moved.any()
    moved = state.copy()
    model.draw(3, moved, [1], 1.0, np.random.default_rng(0))
    assert not moved.any()
    run = Run(model, np.tile(np.arange(5), 4), T=3)
    run.run(1)  # the first window of an epoch starts from zero; this moves head.b alone
    run.state[:] = state
    run.run(1)
    assert not run.state.any()
    run.state[:] = state / factor
    run.run(1)
    np.testing.assert_allclose(run.state[:, -6:], factor**2 * state[:, -6:], rtol=1e-6)


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
    run = Run(model, np.tile([0, 1, 1, 2, 1, 3], 4))
    run.run(1)
    memory = model.views(run.memories[0])["head.b"]
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
    run = Run(model, ids, T=25, rate=rate)
    loss, smooth = run.run(2000)
    np.testing.assert_allclose(loss, [peer.update() for _ in range(2000)], rtol=1e-9)
    assert smooth[-1] == pytest.approx(peer.smooth_loss, rel=1e-9)
    assert run.training.epoch == peer.epoch >= 4
    assert run.training.position == peer.position


def test_each_of_2000_classic_updates_equals_numpy_s(alice):
    """NumPy starts each update from fastrnn's parameters, memory and state."""
    symbols, ids = text_ids(alice)
    model = Model(symbols, dtype="float64", seed=1)
    peer = NumpyHoisted(model.params, ids, len(symbols), dtype=np.float64)
    run = Run(model, ids, T=25)
    memory = model.views(run.memories[0])
    for update in range(2000):
        for name, p in model.params.items():
            peer.params[name][...] = p
            peer.memory[name][...] = memory[name]
        peer.h = run.state[0] * (run.training.position > 0)  # an epoch starts from zero
        assert run.run(1)[0][0] == pytest.approx(peer.update(), rel=1e-9)
        for name, p in model.params.items():
            assert_close(p, peer.params[name], 1e-9, f"{name} after update {update + 1}")
            assert_close(memory[name], peer.memory[name], 1e-9, f"memory of {name}")
        if peer.position:
            np.testing.assert_allclose(run.state[0], peer.h, rtol=0, atol=1e-9)
    assert run.training.epoch >= 4


@pytest.mark.parametrize(("rate", "limit"), [(0.01, 1e-5), (0.1, 0.06)])
def test_float32_learns_as_float64(shakespeare, rate, limit):
    """Smoothed loss after 10,000 updates of the classic model. At its own rate, 0.1, a change of
    one bit in one float64 weight moves that loss by up to a few percent, so no two programs can be
    expected to agree better; at 0.01 they do."""
    symbols, ids = text_ids(shakespeare)
    ends = [Run(Model(symbols, dtype=dtype), ids, T=25, rate=rate).run(10_000)[1][-1]
            for dtype in ("float32", "float64")]
    assert ends[0] == pytest.approx(ends[1], rel=limit)
    assert ends[0] < 60  # from 104: it has learned
