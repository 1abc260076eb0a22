"""dtype="mixed_bfloat16": the kernels against reference.py whose products round their operands too,
and against float32.

A finite difference cannot check these gradients: rounded weights stand still and jump, so that the
loss is a staircase. The twin is exact but for the roundings of float32, which the kernels have too;
but where such a rounding decides on which side of the middle between two bfloat16 numbers a value
lies, an operand moves by 2^-8 of itself. So a case begins with the first seed at which that cannot
happen, as the twin alone tells (`clear_seed`), and there both agree to 1e-5 of each tensor's norm.
"""
from contextlib import contextmanager
from fractions import Fraction
from functools import cache, partial

import numpy as np
import pytest
from networks import (
    TRAINED_KINDS,
    Run,
    cell_of,
    generators_of,
    masks_of,
    network_of,
    random_model,
    random_window,
    unroll,
    vocabulary,
)

import fastrnn
from fastrnn import kernels, nn
from fastrnn.checks import reference
from fastrnn.checks.reference import Rounded
from fastrnn.data.source import Sizes
from fastrnn.kernels import MIXED, round_to_bfloat16

CLOSE = 1e-5  # of a tensor's norm


# ---- rounding ----

def neighbours(x):
    """The bfloat16 numbers next to a finite float32 number, as exact fractions: towards 0, away."""
    bits = int(np.float32(abs(x)).view(np.uint32)) >> 16
    top = Fraction(2) ** 128  # what would follow the largest

    def value(upper):
        number = np.array(upper << 16, np.uint32).view(np.float32)
        return Fraction(float(number)) if np.isfinite(number) else top

    return value(bits), value(bits + 1), bits % 2 == 0


def test_rounding_is_to_the_nearest_and_to_even():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, 20_000, dtype=np.uint64).astype(np.uint32)
    bits[:8_000] = bits[:8_000] & 0xFFFF0000 | 0x8000  # middles
    bits[8_000:9_000] = bits[8_000:9_000] & 0xFFFF0000 | 0x8001
    bits[9_000:10_000] = bits[9_000:10_000] & 0xFFFF0000 | 0x7FFF
    bits[10_000:11_000] &= 0x807FFFFF  # subnormals
    x = bits.view(np.float32)
    x = x[np.isfinite(x)]
    for given, found in zip(x.tolist(), round_to_bfloat16(x).tolist(), strict=True):
        below, above, even = neighbours(given)
        exact = abs(Fraction(given))
        near = below if exact - below < above - exact or (
            exact - below == above - exact and even) else above
        wanted = np.inf if near == Fraction(2) ** 128 else float(near)
        assert found == np.copysign(wanted, given), given.hex()


def test_rounding_of_what_is_no_number():
    x = np.array([0.0, -0.0, np.inf, -np.inf], np.float32)
    assert round_to_bfloat16(x).tobytes() == x.tobytes()
    payloads = np.array([0x7F800001, 0xFFC00000, 0x7FFFFFFF], np.uint32).view(np.float32)
    assert np.isnan(round_to_bfloat16(payloads)).all()
    assert round_to_bfloat16(1 + 2.0**-8) == 1  # of a Python number, to even
    assert round_to_bfloat16(1 + 3 * 2.0**-8) == 1 + 2.0**-6
    assert round_to_bfloat16(np.zeros((0, 3))).shape == (0, 3)


def middles(rng, *shape):
    """Positive numbers of many sizes: middles of two bfloat16 numbers, those beside them, any."""
    bits = rng.integers(0x30000000, 0x50000000, shape, dtype=np.uint32)
    ends = rng.choice(np.array([0x8000, 0x8001, 0x7FFF, 0, 0xFFFF], np.uint32), shape)
    return np.where(rng.random(shape) < 0.7, bits & 0xFFFF0000 | ends, bits).view(np.float32)


@pytest.mark.parametrize(("N", "D"), [(1, 3), (5, 20), (20, 32), (33, 70)])
def test_the_kernels_round_to_the_nearest_and_to_even(mixed_isa, N, D):
    """Each operand of each product, seen through the identity matrix or ones: h = max(0, x Wx),
    dx = dh Wx^T, dWx = x^T dh."""
    rng, layer = np.random.default_rng(D), nn.RNN(D, D, nonlinearity="relu", dtype=MIXED)
    x, dh, ones = middles(rng, N, 1, D), middles(rng, N, 1, D), np.ones((N, 1, D), np.float32)
    layer.params["Wh"][:] = 0
    layer.params["Wx"][:] = np.eye(D)
    assert np.array_equal(layer.forward(x), round_to_bfloat16(x))
    dx, _ = layer.backward(dh)
    assert np.array_equal(dx, round_to_bfloat16(dh))
    assert np.array_equal(layer.grads["b"], dh[0, 0]) or N > 1
    layer.forward(x[:1])
    layer.backward(dh[:1])
    assert np.array_equal(layer.grads["Wx"], np.outer(
        round_to_bfloat16(x[0, 0]), round_to_bfloat16(dh[0, 0])))
    weights = middles(rng, D)
    layer.params["Wx"][:] = np.diag(weights)
    assert np.array_equal(layer.forward(ones), round_to_bfloat16(weights) * ones)
    assert np.array_equal(layer.backward(ones)[0], round_to_bfloat16(weights) * ones)
    layer.params["Wx"][:] = 0
    layer.params["Wh"][:] = np.eye(D)
    h0 = middles(rng, N, D)
    assert np.array_equal(layer.forward(ones, h0)[:, 0], round_to_bfloat16(h0))
    assert np.array_equal(layer.backward(dh)[1], round_to_bfloat16(dh[:, 0]))


def test_arrays_of_a_precision():
    assert kernels.PRECISIONS == ("float32", "float64", MIXED)
    assert [kernels.array_dtype(name) for name in kernels.PRECISIONS] == [
        np.float32, np.float64, np.float32]
    assert kernels.array_dtype(np.dtype("float64")) == np.float64


# ---- the twin ----

def distance(found, expected):
    """||found - expected|| / ||expected||"""
    apart = np.linalg.norm(np.asarray(found, np.float64) - expected)
    return float(apart / np.linalg.norm(expected)) if apart else 0.0


def farthest(found, expected):
    """The largest distance of two dicts of arrays, and the name of its tensor."""
    assert found.keys() == expected.keys()
    return max((distance(found[name], expected[name]), name) for name in expected)


@contextmanager
def products_of(change):
    """reference.py with `change` in place of the rounding of operands."""
    reference.round_to_bfloat16 = change
    try:
        yield
    finally:
        reference.round_to_bfloat16 = round_to_bfloat16


def moved(rng, x):
    """Rounded after an error such as float32 sums have, of a few of its roundings."""
    room = np.abs(x) + np.abs(x).max(initial=0) / 32
    return round_to_bfloat16(x + 2.0**-23 * rng.uniform(-1, 1, x.shape) * room)


def as_numbers(array):
    """Numbers in float64, Rounded; symbols as they are."""
    array = np.asarray(array)
    return array.astype(np.float64).view(Rounded) if array.dtype.kind == "f" else array


def twin(model, inputs, targets, state, **more):
    """What reference.py says: the loss, the last state and all gradients, by name."""
    params = {name: as_numbers(p) for name, p in model.params.items()}
    loss, grads, last = reference.loss_and_gradients(
        params, as_numbers(inputs), targets, as_numbers(state), model.config["cell"], **more)
    return {"loss": np.asarray(loss), "state": np.asarray(last)} | {
        name: np.asarray(g) for name, g in grads.items()}


def clear_seed(expected_of):
    """The first seed for which errors of float32 move no operand to another bfloat16 number, or
    none that matters: sixteen twins whose values have such errors are as close as the kernels must
    be. `expected_of` makes the twin's dict of arrays of a seed."""
    for seed in range(200):
        expected = expected_of(seed)
        for draw in range(16):
            with products_of(partial(moved, np.random.default_rng(draw))):
                if farthest(expected_of(seed), expected)[0] > CLOSE / 4:
                    break
        else:
            return seed, expected
    raise AssertionError("no seed is clear: take a smaller case")


def assert_close(found, expected):
    error, name = farthest(found, expected)
    assert error <= CLOSE, f"{name}: off by {error:.1e} of its norm"


# K, H, T, N: less than a tile and a piece of 32 numbers, more, several; one stream, several slices
SIZES = [(5, 3, 4, 2), (13, 11, 5, 9), (34, 33, 3, 17), (70, 18, 2, 34), (21, 66, 3, 4),
         (11, 40, 7, 1)]


def make(kind, sizes, seed, dtype=MIXED, **settings):
    K, H, T, N = sizes
    model = random_model(kind, dtype, K, H, seed, **settings)
    return model, *random_window(model, T, N, seed + 1000)


@cache
def case(kind, sizes, **settings):
    seed, expected = clear_seed(lambda seed: twin(*make(kind, sizes, seed, **settings)))
    return make(kind, sizes, seed, **settings), expected


@TRAINED_KINDS
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_gradients_equal_the_rounded_twin(mixed_isa, kind, sizes):
    L, E = 1 + SIZES.index(sizes) % 2, (None, 6, None, 35, 35, 5)[SIZES.index(sizes)]
    (model, x, y, state), expected = case(kind, sizes, num_layers=L, embedding_size=E)
    model = model.copy()  # its kernels are those of mixed_isa
    network = network_of(model, x.shape[1], len(x))
    assert network.isa == mixed_isa and network.dtype == np.float32
    losses, grads, last = unroll(model, network, x, y, state, threads=2)
    loss = losses.sum() / len(x)
    assert_close({"loss": loss, "state": last} | grads, expected)


# ---- other data and losses, through Model ----

SYMBOLS = {"input_symbols": 9, "output_symbols": 9}
LABELS = ["Dutch", "Polish", "Czech"]
# sizes, settings of the model
DATA = {
    "masked": (SYMBOLS, {}),
    "labels": (SYMBOLS, {"labels": LABELS, "num_layers": 2}),
    "labels and an embedding": (SYMBOLS, {"labels": LABELS, "embedding_size": 5}),
    "binary cross-entropy": (SYMBOLS, {"loss": "binary_cross_entropy"}),
    "dropout": (SYMBOLS, {"num_layers": 2, "dropout": 0.3}),
    "weight drop": (SYMBOLS, {"num_layers": 2, "dropout": 0.3, "weight_drop": 0.4}),
    "numbers": ({"input_size": 5, "output_size": 4}, {}),
    "numbers to symbols": ({"input_size": 3, "output_symbols": 7}, {"num_layers": 2}),
    "numbers and labels": ({"input_size": 3, "output_symbols": 7}, {"labels": LABELS}),
    "embedded symbols to numbers": ({"input_symbols": 9, "output_size": 2}, {"embedding_size": 4}),
}


class Batch:
    """A model, and what it reads and is to predict, with steps that do not count and padding."""

    T, N, H = 5, 10, 11

    def __init__(self, kind, data, seed):
        sizes, settings = DATA[data]
        self.rng = rng = np.random.default_rng(seed)
        self.model = model = fastrnn.Model(
            Sizes(**sizes), **cell_of(kind), hidden_size=self.H, dtype=MIXED, **settings)
        for p in model.params.values():
            scale = 0.4 if p.ndim == 1 else 0.8 / len(p) ** 0.5
            p[:] = rng.normal(0.3 if p.ndim == 1 else 0, scale, p.shape)
        self.x = self.values(model.sizes.input_symbols, model.sizes.input_size)
        self.y = self.values(model.sizes.output_symbols, model.sizes.output_size)
        self.state = rng.uniform(-1, 1, model.zero_state(self.N).shape).astype(np.float32)
        self.lengths = rng.integers(1, self.T + 1, self.N)
        self.lengths[:2] = self.T
        self.mask = rng.random((self.N, self.T)) < 0.8
        self.mask[:, 0] = True
        self.labels = None
        if model.config["labels"]:
            self.labels = rng.dirichlet(np.ones(3), self.N).astype(np.float32)

    def values(self, symbols, size):
        if symbols:
            return self.rng.integers(symbols, size=(self.N, self.T))
        return self.rng.normal(size=(self.N, self.T, size)).astype(np.float32)

    def generators(self):
        return np.random.default_rng(4).spawn(len(self.model.network(self.T, self.N).slices))

    def expected(self):
        config = self.model.config
        masks = masks_of(self.model, self.model.network(self.T, self.N).slices, self.T, self.N,
                         self.generators())
        counted = self.mask & (np.arange(self.T) < self.lengths[:, None])
        loss = reference.binary_cross_entropy if config["loss"].startswith("binary") else None
        targets = self.y if self.y.ndim == 2 else self.y.astype(np.float64)
        shares = None if self.labels is None else self.labels.astype(np.float64)
        expected = twin(self.model, self.x, targets, self.state, labels=shares, **masks,
                        mask=counted.astype(np.float64), loss=loss)
        del expected["state"]  # that after padding
        return expected

    def found(self):
        labels = None if self.labels is None else [
            dict(zip(LABELS, map(float, row), strict=True)) for row in self.labels]
        loss, grads, _ = self.model.loss_and_gradients(
            self.x, self.y, self.state, mask=self.mask, lengths=self.lengths, labels=labels,
            generators=self.generators())
        return {"loss": loss} | grads


@cache
def clear_batch(kind, data):
    return clear_seed(lambda seed: Batch(kind, data, seed).expected())


@TRAINED_KINDS
@pytest.mark.parametrize("data", DATA)
def test_all_data_and_losses_equal_the_rounded_twin(mixed_isa, kind, data):
    """Labels and one-hot symbols are no operands of products: they, their weights' rows and those
    rows' gradients are not rounded."""
    seed, expected = clear_batch(kind, data)
    assert_close(Batch(kind, data, seed).found(), expected)


# ---- layers ----

LAYERS = {"rnn": nn.RNN, "relu": partial(nn.RNN, nonlinearity="relu"), "lstm": nn.LSTM,
          "gru": nn.GRU, "gru, reset before": partial(nn.GRU, reset_after=False)}
LAYER_SIZES = [(3, 4, 5, 6), (1, 3, 2, 7), (9, 3, 40, 33), (34, 2, 20, 18)]  # N, T, D, H


def layer_case(kind, sizes, seed):
    """A layer, x, the states before, and the gradients with respect to h."""
    N, T, D, H = sizes
    rng = np.random.default_rng(seed)
    layer = LAYERS[kind](D, H, dtype=MIXED)
    for p in layer.params.values():
        p[:] = rng.normal(0, 0.3 if p.ndim == 1 else 0.8 / len(p) ** 0.5, p.shape)
    return layer, *(rng.normal(size=shape).astype(np.float32) for shape in (
        (N, T, D), (2 if kind == "lstm" else 1, N, H), (N, T, H)))


def layer_twin(kind, sizes, seed):
    layer, x, states, dh = layer_case(kind, sizes, seed)
    weights = {name: as_numbers(p) for name, p in layer.params.items()}
    cell, x, start = kind.split(",")[0], as_numbers(x), as_numbers(np.hstack(states))
    h, _, kept = reference.layer_forward(x, start, weights, cell)
    dx, *more = reference.CELLS[cell].backward(
        as_numbers(dh), x, *np.split(start, len(states), axis=1), *kept,
        *(weights[name] for name in reference.CELLS[cell].needs if name in weights))
    return {name: np.asarray(a) for name, a in zip(
        ("h", "x", *("h0", "c0")[: len(states)], *weights), (h, dx, *more), strict=True)}


@cache
def clear_layer(kind, sizes):
    return clear_seed(partial(layer_twin, kind, sizes))


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("sizes", LAYER_SIZES, ids=str)
def test_layers_equal_the_rounded_twin(mixed_isa, kind, sizes):
    seed, expected = clear_layer(kind, sizes)
    layer, x, states, dh = layer_case(kind, sizes, seed)
    h = layer.forward(x, *states)
    dx, *dstates = layer.backward(dh)
    assert {h.dtype, dx.dtype, *(g.dtype for g in layer.grads.values())} == {np.dtype(np.float32)}
    assert_close({"h": h, "x": dx} | dict(zip(("h0", "c0"), dstates, strict=False)) | layer.grads,
                 expected)


def test_linear_rounds_its_operands_and_nothing_else():
    layer, rng = nn.Linear(33, 21, dtype=MIXED), np.random.default_rng(0)
    layer.params["b"][:] = rng.normal(size=21)
    x, dy = (rng.normal(size=(4, 5, size)).astype(np.float32) for size in (33, 21))
    rounded, W, upper = (as_numbers(a) for a in (x, layer.params["W"], dy))
    y, dx = layer.forward(x), layer.backward(dy)
    assert_close({"y": y, "x": dx} | layer.grads, {
        "y": np.asarray(rounded @ W + layer.params["b"]), "x": np.asarray(upper @ W.T),
        "W": np.asarray(rounded.reshape(-1, 33).T @ upper.reshape(-1, 21)),
        "b": dy.sum((0, 1), dtype=np.float64)})
    exact = x.astype(np.float64) @ layer.params["W"] + layer.params["b"]
    assert distance(y, exact) > 1e-3


def test_layers_without_products_are_those_of_float32():
    ids = np.random.default_rng(0).integers(9, size=(3, 4))
    outcomes = []
    for dtype in ("float32", MIXED):
        rows, drop = nn.Embedding(9, 5, dtype=dtype, seed=1), nn.Dropout(0.4, dtype=dtype, seed=2)
        y = drop.forward(rows.forward(ids))
        rows.backward(drop.backward(y))
        outcomes.append((y.tobytes(), rows.grads["W"].tobytes()))
    assert outcomes[0] == outcomes[1]


# ---- what rounding costs, against float32 ----

def perturbed(rng, x):
    """Not rounded, but off by at most what rounding to bfloat16 can change, 2^-8 of itself."""
    return x * (1 + 2.0**-8 * rng.uniform(-1, 1, x.shape))


@TRAINED_KINDS
@pytest.mark.parametrize(("L", "T"), [(1, 3), (2, 5), (1, 25)])
def test_gradients_are_as_near_to_those_of_float32_as_rounding_explains(mixed_isa, kind, L, T):
    """bfloat16 has 8 significant bits, so that rounding changes an operand by at most 2^-8 of
    itself, and a product of two by 2^-7 (and 2^-16). A path from a loss to a weight crosses at most
    T recurrent products, L - 1 from layer to layer and the head's on the way up, as many on the way
    down, and the one that makes the weight's gradient: P = 2 (T + L) + 1 products. Where nothing
    cancels or grows, as in these contracting networks, the gradient is off by P 2^-7 at most; half
    of them as errors that have no common sign would be sqrt(P) 2^-8.

    How much cancels a twin tells: without rounding, but with operands that are off by random parts
    of the same 2^-8, which is more than rounding on the average. The kernels lie no farther off
    than one and a half times the farthest of twelve of these, and not as near as float32."""
    model, x, y, state = make(kind, (13, 24, T, 9), 5, num_layers=L)
    with products_of(lambda x: x):
        exact = twin(model, x, y, state)
    others = []
    for seed in range(12):
        with products_of(partial(perturbed, np.random.default_rng(seed))):
            others.append(twin(model, x, y, state))
    loss, grads, last = model.loss_and_gradients(x, y, state)
    for name, found in ({"loss": np.float64(loss), "state": last} | grads).items():
        off = distance(found, exact[name])
        assert off <= (2 * (T + L) + 1) * 2.0**-7, name
        assert off <= 1.5 * max(distance(other[name], exact[name]) for other in others), name
        assert off > 3e-7 or name == "loss", name


# ---- updates, samples ----

@TRAINED_KINDS
def test_each_update_is_an_unroll_and_a_step_of_float32(mixed_isa, kind):
    """The optimizer's memories and the parameters stay float32 and are not rounded."""
    ids = np.random.default_rng(3).integers(0, 13, 200)
    model, other = (random_model(kind, MIXED, 13, 20, 1, num_layers=2) for _ in range(2))
    run, N, T = Run(model, ids, 5, 3, "adagrad", clip_value=None), 3, 5
    streams, memory = ids[: len(ids) // N * N].reshape(N, -1), np.zeros_like(model.block)
    network = network_of(other, T, N)
    for _ in range(4):
        at = run.training.position
        window = streams[:, at : at + T + 1]
        losses, grads, last = unroll(other, network, window[:, :-1], window[:, 1:],
                                     run.state.copy(), generators_of(other, network))
        loss, _ = run.run(1)
        assert loss[0] == pytest.approx(losses.sum() / N, rel=1e-12)
        assert np.array_equal(run.state, last)
        g = np.concatenate([grad.ravel() for grad in grads.values()]).astype(np.float64)
        memory = memory + g**2
        expected = other.block - 0.1 * g / np.sqrt(memory + 1e-8)
        assert np.abs(model.block - expected).max() < 1e-6
        assert np.abs(run.memories[0] - memory).max() <= 1e-6 * memory.max()
        other.block[:] = model.block
    assert (round_to_bfloat16(model.block) != model.block).mean() > 0.9


def test_subnormals_are_zero_as_operands(mixed_isa):
    """As in float32; and results below the smallest normal number too."""
    model = fastrnn.Model(vocabulary(5), cell="relu", hidden_size=6, dtype=MIXED, init_scale=0)
    tiny = np.finfo(np.float32).tiny
    for weight, start, end in ((1e6, tiny / 8, 0), (2.0**-9, 256 * tiny, 0), (4, 2 * tiny, 8)):
        model.params["layer0.Wh"][:] = weight * np.eye(6)
        state = np.full((1, 6), start, np.float32)
        _, _, state = model.loss_and_gradients([[0]], [[1]], state)
        assert np.array_equal(state, np.full((1, 6), end * tiny, np.float32))


def test_numbers_that_are_not_finite_stay_so(mixed_isa):
    """What has overflowed is not rounded to a number: training stops there, as in float32."""
    for value in (np.nan, np.inf, np.float32(3.4e38)):  # the last is infinite in bfloat16
        model = fastrnn.Model(vocabulary(5), cell="relu", hidden_size=40, dtype=MIXED)
        model.params["layer0.b"][:] = 1
        model.params["layer0.Wh"][3, :] = value
        losses = model.losses([[0, 1, 2]], [[1, 2, 0]], np.ones((1, 40), np.float32))
        assert np.isfinite(losses).sum() == 0, value


@pytest.mark.parametrize("L", [1, 2])
@TRAINED_KINDS
def test_samples_equal_the_rounded_twin(mixed_isa, kind, L):
    """The most probable symbols, which no error of float32 changes, and draws. Where a rounding of
    float32 decides over an operand, a draw may differ, but no two of three texts."""
    same = 0
    for seed in range(3):
        model = fastrnn.Model(vocabulary(23), **cell_of(kind), hidden_size=19, num_layers=L,
                              dtype=MIXED)
        rng = np.random.default_rng(seed)
        for p in model.params.values():
            p[:] = rng.normal(0, 0.3 if p.ndim == 1 else 2 / len(p) ** 0.5, p.shape)
        params = {name: as_numbers(p) for name, p in model.params.items()}
        for temperature in (0.0, 1.0):
            uniforms, state = rng.random((12, 2)), model.zero_state(2)
            ids = network_of(model, 1, 2).sample(model.block, state, np.array([3, 7], np.int32),
                                                 temperature, uniforms)
            wanted = [reference.sample(params, as_numbers(model.zero_state()[0]), first,
                                       uniforms[:, n], temperature, model.config["cell"])
                      for n, first in enumerate((3, 7))]
            same += np.array_equal(ids.T, wanted)
    assert same >= 5
