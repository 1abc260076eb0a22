"""fastrnn.nn: the layers against the notebook's numbers, NumPy, finite differences and PyTorch."""
import copy
import pickle
from functools import partial

import numpy as np
import pytest

import fastrnn
from fastrnn import nn
from fastrnn.checks import reference
from fastrnn.nn.recurrent import Recurrent

LAYERS = [("rnn", nn.RNN, {}), ("relu", nn.RNN, {"nonlinearity": "relu"}), ("lstm", nn.LSTM, {}),
          ("gru", nn.GRU, {}), ("gru", nn.GRU, {"reset_after": False})]
layers = pytest.mark.parametrize(("cell", "kind", "keywords"), LAYERS)
# N, T, D, H; a wide input, and a single stream of many units, which runs on plain BLAS
SIZES = [(3, 4, 5, 6), (1, 3, 2, 7), (2, 1, 3, 4), (9, 5, 20, 33), (2, 3, 40, 5), (1, 3, 2, 230)]


def ramp(low, high, *shape):
    return np.linspace(low, high, np.prod(shape)).reshape(shape)


def random_layer(kind, D, H, seed=0, **keywords):
    layer = kind(D, H, **keywords)
    rng = np.random.default_rng(seed)
    for p in layer.params.values():
        p[:] = rng.normal(0, 0.6 if p.ndim == 2 else 0.3, p.shape) / np.sqrt(p.shape[0] / 4)
    return layer


def arguments(kind, N, T, D, H, seed=1):
    """x, the states before (h0, or h0 and c0) and a gradient by h."""
    rng = np.random.default_rng(seed)
    states = [rng.normal(size=(N, H)) for _ in range(2 if kind is nn.LSTM else 1)]
    return rng.normal(size=(N, T, D)), states, rng.normal(size=(N, T, H))


# ---- the numbers of the "Language Modeling with RNNs" notebook ----

def test_notebook_rnn_step():
    N, D, H = 3, 10, 4
    rnn = nn.RNN(D, H)
    rnn.params |= {"Wx": ramp(-0.1, 0.9, D, H), "Wh": ramp(-0.3, 0.7, H, H),
                   "b": ramp(-0.2, 0.4, H)}
    h, _ = rnn.step(ramp(-0.4, 0.7, N, D), ramp(-0.2, 0.5, N, H))
    assert np.allclose(h[0], [-0.58172089, -0.50182032, -0.41232771, -0.31410098], atol=1e-8)


def test_notebook_rnn_forward():
    N, T, D, H = 2, 3, 4, 5
    rnn = nn.RNN(D, H)
    rnn.params |= {"Wx": ramp(-0.2, 0.4, D, H), "Wh": ramp(-0.4, 0.1, H, H),
                   "b": ramp(-0.7, 0.1, H)}
    h = rnn.forward(ramp(-0.1, 0.3, N, T, D), ramp(-0.3, 0.1, N, H))
    assert np.allclose(
        h[0, 0], [-0.42070749, -0.27279261, -0.11074945, 0.05740409, 0.22236251], atol=1e-8)


def test_notebook_lstm_step():
    N, D, H = 3, 4, 5
    lstm = nn.LSTM(D, H)
    lstm.params |= {"Wx": ramp(-2.1, 1.3, D, 4 * H), "Wh": ramp(-0.7, 2.2, H, 4 * H),
                    "b": ramp(0.3, 0.7, 4 * H)}
    h, c, _ = lstm.step(ramp(-0.4, 1.2, N, D), ramp(-0.3, 0.7, N, H), ramp(-0.4, 0.9, N, H))
    assert np.allclose(
        h[0], [0.24635157, 0.28610883, 0.32240467, 0.35525807, 0.38474904], atol=1e-8)
    assert np.allclose(c[0], [0.32986176, 0.39145139, 0.451556, 0.51014116, 0.56717407], atol=1e-8)


def test_notebook_lstm_forward():
    N, D, H, T = 2, 5, 4, 3
    lstm = nn.LSTM(D, H)
    lstm.params |= {"Wx": ramp(-0.2, 0.9, D, 4 * H), "Wh": ramp(-0.3, 0.6, H, 4 * H),
                    "b": ramp(0.2, 0.7, 4 * H)}
    h = lstm.forward(ramp(-0.4, 0.6, N, T, D), ramp(-0.4, 0.8, N, H))
    assert np.allclose(h[0, 0], [0.01764008, 0.01823233, 0.01882671, 0.0194232], atol=1e-8)


@pytest.mark.parametrize(("kind", "expected"), [(nn.RNN, 51.0949189134), (nn.LSTM, 49.2140256354)])
def test_notebook_loss(kind, expected):
    N, T, D, H = 10, 13, 20, 40
    layer = kind(D, H)
    for name, p in layer.params.items():
        layer.params[name] = ramp(-1.4, 1.3, *p.shape)
    h = layer.forward(ramp(-1.5, 0.3, N, T, D), ramp(-1.5, 0.5, N, H))
    labels = (np.arange(N * T) % 4).reshape(N, T)
    assert nn.SoftmaxCrossEntropy().forward(h, labels) == pytest.approx(expected, abs=1e-9)


# ---- against the NumPy twin ----

def twin_forward(cell, layer, x, states):
    """What reference.layer_forward says: h, the last state, and what its backward needs."""
    weights = {name: np.asarray(p, np.float64) for name, p in layer.params.items()}
    return (*reference.layer_forward(x, np.hstack(states), weights, cell), weights)


@layers
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 2e-5)])
def test_forward_follows_the_equations(isa, cell, kind, keywords, sizes, dtype, tolerance):
    N, T, D, H = sizes
    layer = random_layer(kind, D, H, dtype=dtype, **keywords)
    x, states, _ = arguments(kind, *sizes)
    h = layer.forward(x, *states)
    expected, last, *_ = twin_forward(cell, layer, x, states)
    assert h.dtype == dtype and h.shape == (N, T, H)
    assert np.allclose(h, expected, atol=tolerance, rtol=0)
    if kind is nn.LSTM:
        assert np.allclose(layer.c, last[:, H:], atol=tolerance, rtol=0)


@layers
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 3e-4)])
def test_backward_follows_the_twin(isa, cell, kind, keywords, sizes, dtype, tolerance):
    layer = random_layer(kind, *sizes[2:], dtype=dtype, **keywords)
    x, states, dh = arguments(kind, *sizes)
    layer.forward(x, *states)
    dx, *_ = layer.backward(dh)
    _, _, kept, weights = twin_forward(cell, layer, x, states)
    twin_dx, grads = reference.layer_backward(dh, x, np.hstack(states), kept, weights, cell)
    assert np.allclose(dx, twin_dx, atol=tolerance, rtol=0)
    for name, g in zip(weights, grads, strict=True):
        assert layer.grads[name].dtype == dtype
        assert np.allclose(layer.grads[name], g, atol=tolerance, rtol=0), name


@layers
@pytest.mark.parametrize("sizes", SIZES)
def test_gradients_against_finite_differences(isa, cell, kind, keywords, sizes):
    layer = random_layer(kind, *sizes[2:], **keywords)
    x, states, dh = arguments(kind, *sizes)
    layer.forward(x, *states)
    dx, *dstates = layer.backward(dh)
    assert len(dstates) == len(states)

    def check(f, at, df):
        entries = None if at.size < 60 else 12
        return fastrnn.gradcheck(f, at, df, dout=dh, entries=entries, tolerance=5e-7)

    assert check(lambda v: layer.forward(v, *states), x, dx).passed
    for k, d in enumerate(dstates):
        def from_state(v, k=k):
            return layer.forward(x, *(v if i == k else s for i, s in enumerate(states)))
        assert check(from_state, states[k], d).passed, k
    for name, g in layer.grads.copy().items():
        def f(v, name=name):
            before = layer.params[name]
            layer.params[name] = v
            try:
                return layer.forward(x, *states)
            finally:
                layer.params[name] = before
        assert check(f, layer.params[name], g).passed, name


class Memory(Recurrent):
    """The additive memory as a layer: the kernels have it, though fastrnn.nn does not."""

    def __init__(self, D, H):
        super().__init__("memory", D, H, {"threads": 1})

    def forward(self, x, m0):
        return self._run(x, (("m0", m0),))

    def backward(self, du):
        return self._back(du, (("dm_n", None),))


def test_the_memory_cell_gives_dx_and_dm0(isa):
    layer = random_layer(Memory, 5, 6)
    x, (m0,), du = arguments(nn.RNN, 3, 4, 5, 6)
    u = layer.forward(x, m0)
    expected, _, kept, weights = twin_forward("memory", layer, x, [m0])
    assert np.allclose(u, expected, atol=1e-13)
    dx, dm0 = layer.backward(du)
    twin_dx, grads = reference.layer_backward(du, x, m0, kept, weights, "memory")
    assert np.allclose(dx, twin_dx, atol=1e-12)
    for name, g in zip(weights, grads, strict=True):
        assert np.allclose(layer.grads[name], g, atol=1e-12), name
    assert fastrnn.gradcheck(lambda m: layer.forward(x, m), m0, dm0, dout=du, tolerance=5e-7).passed


@layers
def test_step_and_its_backward_make_the_whole(cell, kind, keywords):
    N, T, D, H = 3, 4, 5, 6
    layer = random_layer(kind, D, H, **keywords)
    x, states, dh = arguments(kind, N, T, D, H)
    whole = layer.forward(x, *states)
    dx, *d0 = layer.backward(dh)
    grads = layer.grads
    caches, state = [], states
    for t in range(T):
        *state, cache = layer.step(x[:, t], *state)
        caches.append(cache)
        assert np.allclose(state[0], whole[:, t], atol=1e-14)
    d = [np.zeros_like(s) for s in states]
    total = {name: 0.0 for name in grads}
    for t in reversed(range(T)):
        d[0] = d[0] + dh[:, t]
        dxt, *rest = layer.step_backward(*d, caches[t])
        d, parts = rest[: len(states)], rest[len(states) :]
        assert np.allclose(dxt, dx[:, t], atol=1e-13)
        total = {name: total[name] + g for name, g in zip(grads, parts, strict=True)}
    for mine, theirs in zip(d, d0, strict=True):
        assert np.allclose(mine, theirs, atol=1e-13)
    for name, g in grads.items():
        assert np.allclose(total[name], g, atol=1e-12), name


def test_step_gradients_at_the_notebooks_bar():
    N, D, H = 4, 5, 6
    lstm = random_layer(nn.LSTM, D, H)
    x, (h, c), dh = arguments(nn.LSTM, N, 1, D, H)
    dh, dc = dh[:, 0], dh[:, 0][::-1].copy()
    *_, cache = lstm.step(x[:, 0], h, c)
    gradients = lstm.step_backward(dh, dc, cache)

    def f(v, place):
        given = [x[:, 0], h, c]
        given[place] = v
        return np.stack(lstm.step(*given)[:2])

    for place, at in enumerate((x[:, 0], h, c)):
        report = fastrnn.gradcheck(partial(f, place=place), at, gradients[place],
                                   dout=np.stack([dh, dc]), step=2e-5, tolerance=1e-8)
        assert report.passed, report


@layers
def test_against_pytorch(cell, kind, keywords):
    torch = pytest.importorskip("torch")
    if keywords.get("reset_after") is False:
        pytest.skip("PyTorch's GRU resets after the product")
    N, T, D, H = 5, 7, 6, 9
    make = {nn.RNN: torch.nn.RNN, nn.LSTM: torch.nn.LSTM, nn.GRU: torch.nn.GRU}[kind]
    theirs = make(D, H, batch_first=True, dtype=torch.float64, **keywords)
    ours = random_layer(kind, D, H, **keywords)
    G = ours.params["Wx"].shape[1] // H
    order = [0, 1, 3, 2] if G == 4 else list(range(G))  # theirs: i, f, g, o

    def from_theirs(p):
        return p.detach().numpy().reshape(G, H, -1)[order].reshape(G * H, -1).T

    with torch.no_grad():
        for p, q in zip(theirs.parameters(), [
                ours.params["Wx"], ours.params["Wh"], ours.params["b"][None], None], strict=True):
            if q is None:
                p[:] = 0
                if G == 3:
                    p[2 * H :] = torch.tensor(ours.params["bhn"])
            else:
                p[:] = torch.tensor(q.T.reshape(G, H, -1)[order].reshape(p.shape))
    x, states, dh = arguments(kind, N, T, D, H)
    given = [torch.tensor(a, requires_grad=True) for a in (x, *(s[None] for s in states))]
    out, _ = theirs(given[0], tuple(given[1:]) if kind is nn.LSTM else given[1])
    (out * torch.tensor(dh)).sum().backward()
    assert np.abs(ours.forward(x, *states) - out.detach().numpy()).max() < 1e-10
    for mine, t in zip(ours.backward(dh), given, strict=True):
        assert np.abs(mine - t.grad.numpy().reshape(mine.shape)).max() < 1e-10
    Wx, Wh, b, bh = (from_theirs(p.grad) for p in theirs.parameters())
    for name, g in {"Wx": Wx, "Wh": Wh, "b": b[0]}.items():
        assert np.abs(ours.grads[name] - g).max() < 1e-10, name
    if G == 3:
        assert np.abs(ours.grads["bhn"] - bh[0, 2 * H :]).max() < 1e-10


# ---- the other layers ----

def test_embedding():
    layer = nn.Embedding(7, 3)
    ids = np.array([[0, 2, 2], [6, 2, 0]])
    y = layer.forward(ids)
    assert np.array_equal(y, layer.params["W"][ids])
    dout = np.random.default_rng(0).normal(size=y.shape)
    assert layer.backward(dout) is None
    expected = np.zeros((7, 3))
    for place in np.ndindex(ids.shape):
        expected[ids[place]] += dout[place]
    assert np.allclose(layer.grads["W"], expected, atol=1e-15)

    def f(W):
        layer.params["W"] = W
        return layer.forward(ids)

    report = fastrnn.gradcheck(f, layer.params["W"], layer.grads["W"], dout=dout, step=0.5)
    assert report.max_error < 1e-11


def test_linear():
    layer = nn.Linear(4, 3)
    layer.params["b"][:] = [0.3, -0.2, 0.9]
    rng = np.random.default_rng(0)
    x, dout = rng.normal(size=(2, 5, 4)), rng.normal(size=(2, 5, 3))
    y = layer.forward(x)
    assert np.allclose(y, np.einsum("ntd,dm->ntm", x, layer.params["W"]) + layer.params["b"])
    dx = layer.backward(dout)
    assert fastrnn.gradcheck(layer.forward, x, dx, dout=dout, step=0.1).max_error < 1e-9
    for name, g in layer.grads.copy().items():
        def f(v, name=name):
            layer.params[name] = v
            return layer.forward(x)
        assert fastrnn.gradcheck(f, layer.params[name].copy(), g, dout=dout,
                                 step=0.1).max_error < 1e-9
    assert layer.forward(rng.normal(size=(6, 4))).shape == (6, 3)


def test_dropout():
    layer = nn.Dropout(0.25, seed=3)
    x = np.full((40, 50, 2), 3.0)
    y = layer.forward(x)
    assert set(np.unique(y)) == {0.0, 4.0}
    assert 0.22 < np.mean(y == 0) < 0.28
    assert np.array_equal(layer.backward(np.ones_like(x)), y / 3)
    assert not np.array_equal(layer.forward(x), y)
    layer.training = False
    assert np.array_equal(layer.forward(x), x)
    assert np.array_equal(layer.backward(x), x)


@pytest.mark.parametrize("masked", [False, True])
def test_softmax_cross_entropy(masked):
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(0, 3, (4, 3, 5)), rng.integers(0, 5, (4, 3))
    mask = rng.random((4, 3)) < 0.6 if masked else None
    loss = nn.SoftmaxCrossEntropy()
    value = loss.forward(scores, labels, mask)
    p = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    each = -np.log(np.take_along_axis(p, labels[..., None], -1))[..., 0]
    assert value == pytest.approx((each * (1 if mask is None else mask)).sum() / 4, rel=1e-13)
    d = loss.backward()
    f = partial(nn.SoftmaxCrossEntropy().forward, labels=labels, mask=mask)
    assert fastrnn.gradcheck(f, scores, d, tolerance=1e-7).passed
    if masked:
        assert not d[~mask].any() and d[mask].all()
    assert nn.SoftmaxCrossEntropy().forward(np.array([[1e4, 0.0]]), [1]) == 1e4  # no overflow
    assert nn.SoftmaxCrossEntropy().forward(scores[:, 0], labels[:, 0]) > 0  # (N, M)


@pytest.mark.parametrize("masked", [False, True])
def test_mean_squared_error(masked):
    rng = np.random.default_rng(0)
    y, targets = rng.normal(size=(4, 3, 2)), rng.normal(size=(4, 3, 2))
    mask = rng.random((4, 3)) < 0.6 if masked else np.ones((4, 3), bool)
    loss = nn.MeanSquaredError()
    value = loss.forward(y, targets, mask if masked else None)
    assert value == pytest.approx(np.mean((y - targets)[mask] ** 2), rel=1e-14)
    f = partial(nn.MeanSquaredError().forward, targets=targets, mask=mask)
    assert fastrnn.gradcheck(f, y, loss.backward(), step=1e-3, tolerance=1e-9).passed


def test_sequential_of_two_recurrent_layers():
    N, T = 2, 4
    model = nn.Sequential(nn.Embedding(6, 3), random_layer(nn.LSTM, 3, 5),
                          random_layer(nn.GRU, 5, 4), nn.Dropout(0.5), nn.Linear(4, 6))
    model.training = False
    assert not model.training and not model.layers[3].training
    rng = np.random.default_rng(0)
    ids, labels = rng.integers(0, 6, (N, T)), rng.integers(0, 6, (N, T))
    loss = nn.SoftmaxCrossEntropy()
    loss.forward(model.forward(ids), labels)
    assert model.backward(loss.backward()) is None
    assert list(model.params) == list(model.grads) == [
        "0.W", "1.Wx", "1.Wh", "1.b", "2.Wx", "2.Wh", "2.b", "2.bhn", "4.W", "4.b"]
    for name, g in dict(model.grads).items():
        p = model.params[name]

        def f(v, p=p):
            before = p.copy()
            p[...] = v
            value = nn.SoftmaxCrossEntropy().forward(model.forward(ids), labels)
            p[...] = before
            return value

        assert fastrnn.gradcheck(f, p, g).passed, name
    with pytest.raises(TypeError):
        model.params["0.W"] = np.zeros((6, 3))  # would be lost: it must go to the layer
    params = model.params
    model.layers[0].params["W"] = np.ones((6, 3))
    assert params["0.W"] is model.layers[0].params["W"] and len(params) == 10
    nested = nn.Sequential(model, nn.Linear(6, 2))
    assert [*nested.params][:2] == ["0.0.W", "0.1.Wx"]
    assert nested.params["0.0.W"] is params["0.W"]
    with pytest.raises(KeyError):
        nested.params["0.9.W"]


def test_recurrent_first_in_a_sequential_gives_dx():
    model = nn.Sequential(random_layer(nn.RNN, 3, 4), nn.Linear(4, 2))
    x, _, _ = arguments(nn.RNN, 2, 3, 3, 4)
    dout = np.random.default_rng(5).normal(size=(2, 3, 2))
    model.forward(x)
    assert fastrnn.gradcheck(model.forward, x, model.backward(dout), dout=dout,
                             tolerance=1e-7).passed


def test_starts():
    """As a model's: rows that ids pick of variance 1, all other weights by rows and columns."""
    W = nn.Embedding(300, 40).params["W"]
    assert abs(W.std() - 1) < 0.02 and abs(np.abs(W).max() - 3**0.5) < 0.01
    lstm = nn.LSTM(150, 100, forget_bias=2.0)
    for name, rows in (("Wx", 150), ("Wh", 100)):
        assert abs(lstm.params[name].std() / (2 / (rows + 100)) ** 0.5 - 1) < 0.02, name
    assert lstm.params["b"].reshape(4, 100).tolist() == [
        [value] * 100 for value in (0.0, 2.0, 0.0, 0.0)]
    q = nn.RNN(20, 20, init="orthogonal").params["Wh"]
    assert np.allclose(q @ q.T, np.eye(20), atol=1e-12)
    assert np.array_equal(nn.RNN(3, 4, "relu", init="identity").params["Wh"], np.eye(4))
    assert not np.array_equal(nn.Linear(3, 4, seed=1).params["W"], nn.Linear(3, 4).params["W"])


# ---- a layer's life ----

@layers
def test_backward_twice_gives_the_same(cell, kind, keywords):
    layer = random_layer(kind, 5, 6, **keywords)
    x, states, dh = arguments(kind, 3, 4, 5, 6)
    layer.forward(x, *states)
    first = layer.backward(dh)
    for mine, again in zip(first, layer.backward(dh), strict=True):
        assert np.array_equal(mine, again)
    # a step in between uses the same kernels, and other parameters belong to the next forward
    layer.step(x[:, 0], *states)
    layer.params["Wx"] = layer.params["Wx"] * 2
    for mine, again in zip(first, layer.backward(dh), strict=True):
        assert np.array_equal(mine, again)


def test_a_step_of_the_same_shape_leaves_forward_whole():
    layer = random_layer(nn.RNN, 5, 6)
    x, states, dh = arguments(nn.RNN, 3, 1, 5, 6)
    layer.forward(x, *states)
    expected = layer.backward(dh)
    layer.forward(x, *states)
    layer.step(x[:, 0] + 1, states[0] - 1)  # T = 1 too
    for mine, theirs in zip(layer.backward(dh), expected, strict=True):
        assert np.array_equal(mine, theirs)


@pytest.mark.usefixtures("many_cores")
@layers
def test_the_same_bits_on_any_number_of_threads(cell, kind, keywords):
    x, states, dh = arguments(kind, 40, 5, 6, 20)
    results = []
    for threads in (1, 2, 3):
        layer = random_layer(kind, 6, 20, threads=threads, **keywords)
        h = layer.forward(x, *states)
        results.append([h, *layer.backward(dh), *layer.grads.values()])
    for one, two, three in zip(*results, strict=True):
        assert np.array_equal(one, two) and np.array_equal(one, three)


def test_the_border_refuses_a_backward_without_its_forward():
    layer = random_layer(nn.RNN, 5, 6)
    x, (h0,), dh = arguments(nn.RNN, 3, 4, 5, 6)
    network, block = layer._scans[0]._network(3, 4), layer._block(0)
    grads = np.empty_like(block)
    for wrong in (dh, np.zeros((3, 9, 6)), dh[:, :2].copy()):
        with pytest.raises(ValueError, match="no forward of . time steps"):
            network.backward(block, wrong, np.zeros((3, 6)), grads)
    network.forward(block, x, h0.copy())
    with pytest.raises(ValueError, match="no forward of 9 time steps"):
        network.backward(block, np.zeros((3, 9, 6)), np.zeros((3, 6)), grads)
    network.backward(block, dh, np.zeros((3, 6)), grads)
    with pytest.raises(ValueError, match="no forward of 4 time steps"):  # used up
        network.backward(block, dh, np.zeros((3, 6)), grads)


def test_results_belong_to_the_caller():
    layer = random_layer(nn.LSTM, 5, 6)
    x, states, dh = arguments(nn.LSTM, 3, 4, 5, 6)
    given = [a.copy() for a in (x, *states, dh)]
    h = layer.forward(x, *states)
    kept = h.copy()
    dx, *_ = layer.backward(dh)
    layer.forward(x + 1, *states)
    assert np.array_equal(h, kept)
    for before, after in zip(given, (x, *states, dh), strict=True):
        assert np.array_equal(before, after)


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_arrays_that_are_not_contiguous(kind):
    layer = random_layer(kind, 5, 6)
    x, states, dh = arguments(kind, 3, 4, 5, 6)
    h = layer.forward(x, *states)
    dx, *_ = layer.backward(dh)
    layer.params["Wh"] = np.asfortranarray(layer.params["Wh"])
    wide = np.zeros((3, 4, 10))
    wide[:, :, ::2] = x
    assert np.array_equal(layer.forward(wide[:, :, ::2], *map(np.asfortranarray, states)), h)
    assert np.array_equal(layer.backward(np.asfortranarray(dh))[0], dx)


def test_dtypes():
    layer = nn.LSTM(3, 4, dtype="float32")
    assert layer.params["Wx"].dtype == np.float32
    assert layer.forward(np.zeros((2, 3, 3))).dtype == np.float32
    assert nn.Linear(3, 4).forward(np.zeros((2, 3, 3), np.float32)).dtype == np.float64
    assert nn.RNN(3, 4).forward(np.zeros((2, 3, 3), int)).dtype == np.float64


# ---- bad input ----

@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_wrong_shapes_name_both_and_the_argument(kind):
    layer = kind(5, 6)
    x, states, dh = arguments(kind, 3, 4, 5, 6)
    for given, message in (
            ((x[..., :4],), r"x has the shape \(3, 4, 4\) and must have \(N, T, 5\)"),
            ((x[0],), r"x has the shape \(4, 5\) and must have \(N, T, 5\)"),
            ((x[:, :0],), r"x has the shape \(3, 0, 5\)"),
            ((x, states[0][:2]), r"h0 has the shape \(2, 6\) and must have \(3, 6\)")):
        with pytest.raises(ValueError, match=message):
            layer.forward(*given)
    with pytest.raises(RuntimeError, match="call forward first"):
        layer.backward(dh)
    layer.forward(x, *states)
    with pytest.raises(ValueError, match=r"dh has the shape \(3, 4, 5\) and must have \(3, 4, 6\)"):
        layer.backward(dh[..., :5])
    with pytest.raises(ValueError, match=r"x has the shape \(3, 4\) and must have \(N, 5\)"):
        layer.step(x[:, 0, :4], *states)
    with pytest.raises(TypeError, match="the one that step returned"):
        layer.step_backward(*(s for s in states), None)
    layer.params["Wh"] = np.zeros((6, 5))
    with pytest.raises(ValueError, match=r'params\["Wh"\] has the shape \(6, 5\) and must have'):
        layer.forward(x)


def test_what_layers_refuse():
    x = np.zeros((2, 3, 4))
    for layer in (nn.RNN(4, 2), nn.Linear(4, 2), nn.Dropout(0.5)):
        for wrong in (x.astype(object), x.astype(complex)):
            with pytest.raises(TypeError, match="must be an array of numbers, not of"):
                layer.forward(wrong)
        fresh = type(layer)(0.5) if isinstance(layer, nn.Dropout) else type(layer)(4, 2)
        with pytest.raises(RuntimeError, match="call forward first"):
            fresh.backward(x)
    for loss in (nn.SoftmaxCrossEntropy(), nn.MeanSquaredError()):
        with pytest.raises(RuntimeError, match="call forward first"):
            loss.backward()
    with pytest.raises(ValueError, match=r"ids has 7 at \[1, 0\]: they go from 0 to 6"):
        nn.Embedding(7, 2).forward([[0, 6], [7, 1]])
    with pytest.raises(TypeError, match="whole numbers"):
        nn.Embedding(7, 2).forward([[0.5]])
    with pytest.raises(ValueError, match=r"labels has 4 at \[0, 1\]"):
        nn.SoftmaxCrossEntropy().forward(x, [[0, 4, 1], [0, 0, 0]])
    with pytest.raises(ValueError, match=r"labels has the shape \(3,\) and must have \(2, 3\)"):
        nn.SoftmaxCrossEntropy().forward(x, [0, 1, 1])
    with pytest.raises(ValueError, match=r"targets has the shape \(2, 3, 1\) and must have"):
        nn.MeanSquaredError().forward(x, x[..., :1])
    with pytest.raises(ValueError, match="mask hides every step"):
        nn.MeanSquaredError().forward(x, x, np.zeros((2, 3)))
    with pytest.raises(TypeError, match="takes 1 positional argument"):
        nn.MeanSquaredError(3)
    with pytest.raises(ValueError, match="p must be at least 0 and below 1"):
        nn.Dropout(1.0)
    with pytest.raises(ValueError, match="did you mean 'tanh'"):
        nn.RNN(2, 3, "than")
    with pytest.raises(TypeError, match="layer 1 must be one of fastrnn.nn"):
        nn.Sequential(nn.Linear(2, 3), np.tanh)
    with pytest.raises(ValueError, match="at least one layer"):
        nn.Sequential()
    with pytest.raises(ValueError, match="dtype must be one of"):
        nn.LSTM(2, 3, dtype="float16")


def test_reprs_tell_the_sizes():
    assert repr(nn.RNN(2, 3)) == "<nn.RNN: Wx (2, 3), Wh (3, 3), b (3,)>"
    assert repr(nn.Sequential(nn.Dropout(0.1), nn.Linear(2, 3))) == (
        "<nn.Sequential of <nn.Dropout>, <nn.Linear: W (2, 3), b (3,)>>")


# ---- copies ----

@pytest.mark.parametrize("copied", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))],
                         ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("layer", [nn.RNN(3, 7), nn.GRU(3, 7), nn.LSTM(3, 7), nn.Linear(3, 7),
                                   nn.Dropout(0.4), nn.Sequential(nn.LSTM(3, 7), nn.Linear(7, 2))],
                         ids=lambda layer: type(layer).__name__)
def test_copies_go_back_through_the_same_forward(layer, copied):
    """They have its gradients too, and share nothing with the layer."""
    x = np.random.default_rng(0).normal(size=(9, 5, 3))
    y = layer.forward(x)
    twin = copied(layer)
    dx = layer.backward(y)
    after = copied(layer)
    for other in (twin, after):
        assert [a.tobytes() for a in other.backward(y)] == [a.tobytes() for a in dx]
        assert other.grads.keys() == layer.grads.keys()
        for kind in ("params", "grads"):
            for name, array in getattr(layer, kind).items():
                assert np.array_equal(getattr(other, kind)[name], array)
                assert not np.shares_memory(getattr(other, kind)[name], array)
    if not isinstance(layer, nn.Dropout):
        assert np.array_equal(after.forward(x), y)


def test_copies_of_losses():
    loss, rng = nn.SoftmaxCrossEntropy(), np.random.default_rng(0)
    loss.forward(rng.normal(size=(2, 3, 5)), rng.integers(0, 5, (2, 3)))
    for other in (copy.copy(loss), copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert np.array_equal(other.backward(), loss.backward())


def test_linear_without_a_bias():
    rng = np.random.default_rng(5)
    x, dout = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 5))
    layer, usual = nn.Linear(4, 5, bias=False, seed=3), nn.Linear(4, 5, seed=3)
    assert list(layer.params) == ["W"] and np.array_equal(layer.params["W"], usual.params["W"])
    assert np.array_equal(layer.forward(x), usual.forward(x))
    assert np.array_equal(layer.backward(dout), usual.backward(dout))
    assert list(layer.grads) == ["W"] and np.array_equal(layer.grads["W"], usual.grads["W"])


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_backward_reads_gradients_that_may_not_be_written(kind):
    rng = np.random.default_rng(3)
    layer, x, dh = kind(3, 5), rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 4, 5))
    layer.forward(x)
    of_a_copy, grads = layer.backward(dh.copy()), layer.grads
    before = dh.copy()
    dh.flags.writeable = False
    layer.forward(x)
    for one, other in zip(of_a_copy, layer.backward(dh), strict=True):
        np.testing.assert_array_equal(one, other)
    for name, one in grads.items():
        np.testing.assert_array_equal(one, layer.grads[name])
    np.testing.assert_array_equal(dh, before)
