"""reference.py itself: against scalar loops over the formulas, finite differences and PyTorch.

N, T, D, E, H and K always differ, initial states are random, everything is float64.
"""
import math

import numpy as np
import pytest

from fastrnn.checks import reference

KINDS = ("rnn", "relu", "lstm", "gru", "gru, reset before", "memory", "mgu", "mlstm")
ALL_KINDS = pytest.mark.parametrize("kind", KINDS)
N, H, T, K, E = 2, 3, 4, 5, 6


def cell_of(kind):
    return kind.split(",")[0]


def layer_shapes(kind, D, H):
    G = {"lstm": 4, "gru": 3, "mgu": 2, "mlstm": 6}.get(cell_of(kind), 1)
    more = {"gru": {"bhn": (H,)}, "memory": {"Wm": (H, H), "bm": (H,)},
            "mlstm": {"Wh": (H, 4 * H)}}.get(kind, {})
    return {"Wx": (D, G * H), "Wh": (H, G * H), "b": (G * H,)} | more


def random_arrays(rng, shapes):
    """Biases have a mean of 0.3, so that most ReLUs work."""
    return {name: rng.normal(0.3 if len(shape) == 1 else 0, 0.6, shape)
            for name, shape in shapes.items()}


def random_params(kind, L, embedding, seed=0):
    shapes = {"embedding.W": (K, E)} if embedding else {}
    for layer in range(L):
        D = H if layer else E if embedding else K
        shapes |= {f"layer{layer}.{name}": shape
                   for name, shape in layer_shapes(kind, D, H).items()}
    return random_arrays(np.random.default_rng(seed), shapes | {"head.W": (H, K), "head.b": (K,)})


def random_window(kind, L, seed=1):
    """inputs, targets (N, T), state (N, P), masks: L times (N, T, H)"""
    rng = np.random.default_rng(seed)
    P = L * H * (2 if kind in ("lstm", "mlstm") else 1)
    return (rng.integers(0, K, (N, T)), rng.integers(0, K, (N, T)), rng.normal(0, 1, (N, P)),
            [rng.choice([0, 1.6], (N, T, H), p=[0.3, 0.7]) for _ in range(L)])


def random_layer(kind, D=E, seed=2):
    """x (N, T, D), initial states (N, H) and weights, by their names"""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (N, T, D))
    starts = {name: rng.normal(0, 1, (N, H)) for name in start_names(kind)}
    return x, starts, random_arrays(rng, layer_shapes(kind, D, H))


def start_names(kind):
    return {"lstm": ("h0", "c0"), "mlstm": ("h0", "c0"), "memory": ("m0",)}.get(kind, ("h0",))


def twin_forward(kind, x, starts, weights):
    """A tuple, the layer's output first."""
    if kind in ("rnn", "relu"):
        return (reference.rnn_forward(x, **starts, **weights, cell=kind),)
    return getattr(reference, f"{cell_of(kind)}_forward")(x, **starts, **weights)


def twin_backward(kind, dout, x, starts, kept, weights):
    """Gradients by x, the initial states and the weights, by their names."""
    used = {name: w for name, w in weights.items() if name not in ("b", "bm")}
    if kind in ("rnn", "relu"):
        grads = reference.rnn_backward(dout, x, *starts.values(), *kept, **used, cell=kind)
    else:
        backward = getattr(reference, f"{cell_of(kind)}_backward")
        grads = backward(dout, x, *starts.values(), *kept, **used)
    return dict(zip(("x", *starts, *weights), grads, strict=True))


def assert_close(actual, expected, limit, name=""):
    """Errors relative to the tensor's largest entry."""
    assert actual.shape == expected.shape, name
    error, largest = np.abs(actual - expected).max(), np.abs(expected).max()
    assert error <= limit * largest, f"{name}: off by {error / largest:.2e} of its largest entry"


# ---- what the formulas say, one number after another ----

def scalar_layer(kind, x, states, W):
    """One sequence through the formulas of the cells, without any array operation.

    x: T lists of D numbers; states: h, or h and c, or m, lists of H -> outputs, last states
    """
    Wx, Wh, b = W["Wx"], W["Wh"], W["b"]
    H, outputs = len(Wh), []
    units = range(H)

    def sigma(v):
        return 1 / (1 + math.exp(-v))

    def from_h(j, h, W):
        return sum(h[k] * W[k][j] for k in units)

    for x_t in x:
        h = states[0]
        a = [b[j] + sum(x_t[d] * Wx[d][j] for d in range(len(x_t))) for j in range(len(b))]
        if kind in ("rnn", "relu"):
            f = math.tanh if kind == "rnn" else lambda v: max(v, 0.0)
            out = [f(a[j] + from_h(j, h, Wh)) for j in units]
            states = [out]
        elif kind in ("lstm", "mlstm"):
            if kind == "mlstm":
                h = [a[4 * H + j] * h[j] for j in units]
            i, f, o, g = ([a[gate * H + j] + from_h(gate * H + j, h, Wh) for j in units]
                          for gate in range(4))
            c = [sigma(f[j]) * states[1][j] + sigma(i[j]) * math.tanh(g[j]) for j in units]
            out = [sigma(o[j]) * math.tanh(c[j]) for j in units]
            if kind == "mlstm":
                out = [out[j] + a[5 * H + j] for j in units]
            states = [out, c]
        elif kind == "memory":
            m = h
            out = [max(a[j] + from_h(j, m, Wh), 0.0) for j in units]
            states = [[m[j] + from_h(j, out, W["Wm"]) + W["bm"][j] for j in units]]
        elif kind == "mgu":
            f = [sigma(a[j] + from_h(j, h, Wh)) for j in units]
            kept = [f[j] * h[j] for j in units]
            n = [math.tanh(a[H + j] + from_h(H + j, kept, Wh)) for j in units]
            out = [(1 - f[j]) * h[j] + f[j] * n[j] for j in units]
            states = [out]
        else:
            r = [sigma(a[j] + from_h(j, h, Wh)) for j in units]
            z = [sigma(a[H + j] + from_h(H + j, h, Wh)) for j in units]
            reset = [r[j] * h[j] for j in units]
            if kind == "gru":
                n = [a[2 * H + j] + r[j] * (from_h(2 * H + j, h, Wh) + W["bhn"][j])
                     for j in units]
            else:
                n = [a[2 * H + j] + from_h(2 * H + j, reset, Wh) for j in units]
            out = [(1 - z[j]) * math.tanh(n[j]) + z[j] * h[j] for j in units]
            states = [out]
        outputs.append(out)
    return outputs, states


@ALL_KINDS
def test_forward_is_what_the_formulas_say(kind):
    x, starts, weights = random_layer(kind)
    kept = twin_forward(kind, x, starts, weights)
    last = kept[1:] if kind == "memory" else kept[: len(starts)]
    for row in range(N):
        outputs, states = scalar_layer(kind, x[row], [s[row] for s in starts.values()], weights)
        np.testing.assert_allclose(kept[0][row], outputs, rtol=1e-12, atol=1e-14)
        for array, expected in zip(last, states, strict=True):
            np.testing.assert_allclose(array[row, -1], expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("embedding", [False, True])
@ALL_KINDS
def test_the_model_is_what_the_formulas_say(kind, embedding, dropout):
    """Layers, embedding, the places of masks and of states in (N, P), head and loss."""
    L = 3
    params = random_params(kind, L, embedding)
    inputs, targets, state, masks = random_window(kind, L)
    masks = masks if dropout else None
    loss, _, last = reference.loss_and_gradients(
        params, inputs, targets, state, cell_of(kind), masks)
    assert last.shape == state.shape
    expected = 0
    for row in range(N):
        x = params["embedding.W"][inputs[row]] if embedding else np.eye(K)[inputs[row]]
        ends = []
        for layer in range(L):
            weights = {name: params[f"layer{layer}.{name}"] for name in layer_shapes(kind, 1, 1)}
            width = state.shape[1] // L
            own = state[row, layer * width : (layer + 1) * width]
            starts = [own[:H], own[H:]] if len(own) == 2 * H else [own]
            outputs, states = scalar_layer(kind, x, starts, weights)
            x = np.array(outputs) * (masks[layer][row] if dropout else 1)
            ends += [number for part in states for number in part]
        np.testing.assert_allclose(last[row], ends, rtol=1e-11, atol=1e-13)
        for t, target in enumerate(targets[row]):
            scores = [params["head.b"][k] + sum(x[t] * params["head.W"][:, k]) for k in range(K)]
            expected += math.log(sum(map(math.exp, scores))) - scores[target]
    assert loss == pytest.approx(expected / N, rel=1e-12)


@pytest.mark.parametrize("z", [0.0, -0.5, 3.0, -30.0, 30.0, -700.0])
def test_sigmoid(z):
    assert reference.sigmoid(np.array(z)) == pytest.approx(1 / (1 + math.exp(-z)), rel=1e-12)


def test_sigmoid_of_large_numbers():
    with np.errstate(over="raise", invalid="raise"):
        assert reference.sigmoid(np.array([-1e4, 1e4])).tolist() == [0, 1]


@ALL_KINDS
def test_a_window_may_be_cut(kind):
    L, cell = 2, cell_of(kind)
    params = random_params(kind, L, True)
    inputs, targets, state, _ = random_window(kind, L)
    loss, _, last = reference.loss_and_gradients(params, inputs, targets, state, cell)
    total = 0
    for part in (slice(0, 1), slice(1, T)):
        piece, _, state = reference.loss_and_gradients(
            params, inputs[:, part], targets[:, part], state, cell)
        total += piece
    assert total == pytest.approx(loss, rel=1e-13)
    np.testing.assert_allclose(state, last, rtol=1e-12)


# ---- finite differences ----

def slope(terms, p, direction, step=1e-3):
    """d sum(terms()) / d p along a direction, to the fourth order of step.

    The differences of the terms come before their sum, which would round them away.
    """
    before, values = p.copy(), []
    for k in (-2, -1, 1, 2):
        p[...] = before + k * step * direction
        values.append(np.array(terms()))
    p[...] = before
    return (8 * (values[2] - values[1]) - (values[3] - values[0])).sum() / (12 * step)


def relative_error(a, n):
    return np.abs(a - n) / np.maximum(1e-12, np.abs(a) + np.abs(n))


@ALL_KINDS
def test_every_entry_of_a_cell_s_gradients(kind):
    x, starts, weights = random_layer(kind)
    weight = np.random.default_rng(3).normal(0, 1, (N, T, H))  # of each output in the loss
    kept = twin_forward(kind, x, starts, weights)
    if kind in ("relu", "memory"):  # some units at work, some not
        assert 0.2 < (kept[0] > 0).mean() < 0.9
    grads = twin_backward(kind, weight, x, starts, kept, weights)
    for name, p in ({"x": x} | starts | weights).items():
        numeric = np.empty_like(p)
        for index in np.ndindex(p.shape):
            one = np.zeros_like(p)
            one[index] = 1
            numeric[index] = slope(lambda: weight * twin_forward(kind, x, starts, weights)[0],
                                   p, one)
        assert grads[name].shape == p.shape, name
        assert np.abs(numeric).max() > 0.1, name  # there is something to compare
        assert relative_error(grads[name], numeric).max() < 1e-7, name


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("embedding", [False, True])
@pytest.mark.parametrize("L", [1, 2, 3])
@ALL_KINDS
def test_gradients_of_the_model(kind, L, embedding, dropout):
    """Along random directions in each tensor."""
    params = random_params(kind, L, embedding, seed=L)
    inputs, targets, state, masks = random_window(kind, L, seed=L)
    cell, masks = cell_of(kind), masks if dropout else None
    _, grads, _ = reference.loss_and_gradients(params, inputs, targets, state, cell, masks)
    assert list(grads) == list(params)
    n, t = np.ogrid[:N, :T]

    def losses():  # (N, T)
        scores = reference.forward(params, inputs, state, cell, masks)[0]
        return (np.log(np.exp(scores).sum(axis=2)) - scores[n, t, targets]) / N

    rng = np.random.default_rng(4)
    for name, p in params.items():
        assert grads[name].shape == p.shape, name
        assert np.abs(grads[name]).max() > 1e-3, name
        for _ in range(3):
            direction = rng.normal(0, 1, p.shape)
            direction /= np.linalg.norm(direction)
            numeric = slope(losses, p, direction)
            assert relative_error((grads[name] * direction).sum(), numeric) < 1e-7, name


@ALL_KINDS
def test_gradients_are_means_over_the_rows(kind):
    """The loss is summed over time and averaged over the batch, for each gradient too."""
    params, cell = random_params(kind, 2, True), cell_of(kind)
    inputs, targets, state, masks = random_window(kind, 2)
    loss, grads, last = reference.loss_and_gradients(params, inputs, targets, state, cell, masks)
    rows = [reference.loss_and_gradients(params, inputs[i : i + 1], targets[i : i + 1],
                                         state[i : i + 1], cell, [m[i : i + 1] for m in masks])
            for i in range(N)]
    assert loss == pytest.approx(np.mean([row[0] for row in rows]), rel=1e-13)
    np.testing.assert_allclose(last, np.concatenate([row[2] for row in rows]), rtol=1e-12)
    for name, g in grads.items():
        assert_close(g, np.mean([row[1][name] for row in rows], axis=0), 1e-12, name)


# ---- PyTorch ----

def blocks(w, order):
    """PyTorch's gates, blocks of rows, in our order, and back: both orders are their own inverse"""
    return np.concatenate([np.split(w, len(order))[gate] for gate in order])


@pytest.mark.parametrize("kind", ["rnn", "relu", "lstm", "gru"])
def test_pytorch_agrees(kind):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    rng = np.random.default_rng(5)
    N, H, T, D = 3, 7, 6, 5
    cls = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}.get(kind, torch.nn.RNN)
    options = {"nonlinearity": {"rnn": "tanh", "relu": "relu"}[kind]} if cls is torch.nn.RNN else {}
    peer = cls(D, H, num_layers=2, batch_first=True, dtype=torch.float64, **options)
    with torch.no_grad():
        for p in peer.parameters():
            p.normal_(0, 0.5)
    order = {"lstm": (0, 1, 3, 2), "gru": (0, 1, 2)}.get(kind, (0,))  # PyTorch's LSTM: i f g o

    def named(numbers):
        """Two layers' arrays in PyTorch's shape, by our names; its two biases by one, where they
        only come as a sum."""
        layers = []
        for layer in range(2):
            Wx, Wh, b, b2 = (blocks(numbers(f"{name}_l{layer}"), order) for name in
                             ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
            layers.append(({"Wx": Wx.T, "Wh": Wh.T, "b": b}, b2))
        return layers

    weights = named(lambda name: getattr(peer, name).detach().numpy())
    weights = [w | {"b": w["b"] + b2} if kind != "gru" else
               w | {"b": w["b"] + np.append(b2[: 2 * H], np.zeros(H)), "bhn": b2[2 * H :]}
               for w, b2 in weights]
    x, weight = rng.normal(0, 1, (N, T, D)), rng.normal(0, 1, (N, T, H))
    starts = [{name: rng.normal(0, 1, (N, H)) for name in start_names(kind)} for _ in range(2)]

    their_x = torch.tensor(x, requires_grad=True)
    theirs = [torch.tensor(np.stack([s[name] for s in starts]), requires_grad=True)
              for name in start_names(kind)]  # (2, N, H) each
    output, last = peer(their_x, tuple(theirs) if kind == "lstm" else theirs[0])
    (output * torch.tensor(weight)).sum().backward()
    last = last if kind == "lstm" else (last,)

    below = twin_forward(kind, x, starts[0], weights[0])
    above = twin_forward(kind, below[0], starts[1], weights[1])
    assert (above[0] != 0).mean() > 0.2
    assert_close(above[0], output.detach().numpy(), 1e-10, "output")
    for layer, kept in enumerate((below, above)):
        for i, end in enumerate(last):  # h_T, c_T
            assert_close(kept[i][:, -1], end[layer].detach().numpy(), 1e-10, "last state")

    upper = twin_backward(kind, weight, below[0], starts[1], above, weights[1])
    lower = twin_backward(kind, upper["x"], x, starts[0], below, weights[0])
    assert_close(lower["x"], their_x.grad.numpy(), 1e-10, "x")
    expected = named(lambda name: getattr(peer, name).grad.numpy())
    for layer, grads in enumerate((lower, upper)):
        for name, start in zip(start_names(kind), theirs, strict=True):
            assert_close(grads[name], start.grad[layer].numpy(), 1e-10, name)
        tensors, b2 = expected[layer]
        for name, g in tensors.items():
            assert_close(grads[name], g, 1e-10, name)
        if kind == "gru":
            assert_close(grads["bhn"], b2[2 * H :], 1e-10, "bhn")


# ---- dropout ----

def test_masks_come_from_the_slices_generators_word_by_word():
    """The 16 bits of each unit from single words, lowest bits first, through two unrolls."""
    T, N, H, L, dropout = 3, 6, 5, 2, 0.3
    slices = [(0, 3), (3, 2), (5, 1)]  # T n H = 45, 30, 15: the last word of each is not used up
    generators = np.random.default_rng(7).spawn(3)
    words = [g.bit_generator for g in np.random.default_rng(7).spawn(3)]
    limit = round(0.3 * 65536)
    for _ in range(2):
        masks = reference.dropout_masks(generators, slices, T, N, H, L, dropout)
        assert [mask.shape for mask in masks] == [(N, T, H)] * L
        for (first, n), source in zip(slices, words, strict=True):
            for mask in masks:
                bits = []
                while len(bits) < T * n * H:
                    word = int(source.random_raw())
                    bits += [word >> shift & 0xFFFF for shift in (0, 16, 32, 48)]
                bits = iter(bits)
                for t in range(T):
                    for row in range(first, first + n):
                        for unit in range(H):
                            expected = 0 if next(bits) < limit else 65536 / (65536 - limit)
                            assert mask[row, t, unit] == pytest.approx(expected, rel=1e-15)


def test_masks_of_weights_come_from_the_slices_generators_word_by_word():
    """Of slice s the rows from H s / S on, each layer from a whole word on, through two unrolls."""
    H, width, L = 5, 7, 2  # 1, 2, 2 rows: 7 and 14 bits of a layer
    generators = np.random.default_rng(7).spawn(3)
    words = [g.bit_generator for g in np.random.default_rng(7).spawn(3)]
    limit = round(0.3 * 65536)
    for _ in range(2):
        masks = reference.weight_drop_masks(generators, [(0, 3), (3, 2), (5, 1)], H, width, L, 0.3)
        assert [mask.shape for mask in masks] == [(H, width)] * L
        for rows, source in zip(([0], [1, 2], [3, 4]), words, strict=True):
            for mask in masks:
                bits = []
                while len(bits) < len(rows) * width:
                    word = int(source.random_raw())
                    bits += [word >> shift & 0xFFFF for shift in (0, 16, 32, 48)]
                for i, row in enumerate(rows):
                    for column in range(width):
                        kept = bits[i * width + column] >= limit
                        expected = 65536 / (65536 - limit) if kept else 0
                        assert mask[row, column] == pytest.approx(expected, rel=1e-15)


@ALL_KINDS
def test_weight_drop_is_a_network_of_other_weights(kind):
    """Its loss is that of the masked Wh, and its gradient that of the entries which stay, times
    1 / keep."""
    params = random_params(kind, 2, True, seed=1)
    inputs, targets, state, masks = random_window(kind, 2)
    rng, cell = np.random.default_rng(6), cell_of(kind)
    weight_masks = [(rng.random(params[f"layer{i}.Wh"].shape) < 0.6) / 0.6 for i in range(2)]
    loss, grads, last = reference.loss_and_gradients(
        params, inputs, targets, state, cell, masks, weight_masks=weight_masks)
    other = {name: p.copy() for name, p in params.items()}
    for i, mask in enumerate(weight_masks):
        other[f"layer{i}.Wh"][mask == 0] = 0
        other[f"layer{i}.Wh"] /= 0.6
    plain = reference.loss_and_gradients(other, inputs, targets, state, cell, masks)
    assert loss == pytest.approx(plain[0], rel=1e-12)
    np.testing.assert_allclose(last, plain[2], rtol=1e-12)
    for name, g in grads.items():
        factor = weight_masks[int(name[5])] if name.endswith("Wh") else 1
        np.testing.assert_allclose(g, plain[1][name] * factor, rtol=1e-9, atol=1e-15)
        assert np.abs(g).max() > 1e-3


def test_a_unit_at_the_limit_is_kept():
    first = int(np.random.default_rng(7).bit_generator.random_raw()) & 0xFFFF
    for limit, dropped in ((first, False), (first + 1, True)):
        (mask,) = reference.dropout_masks(
            [np.random.default_rng(7)], [(0, 1)], 1, 1, 1, 1, limit / 65536)
        assert (mask[0, 0, 0] == 0) == dropped


@pytest.mark.parametrize("dropout", [0.0, 0.1, 0.5, 0.9])
def test_masks_keep_the_mean(dropout):
    (mask,) = reference.dropout_masks(
        [np.random.default_rng(8)], [(0, 4)], 50, 4, 250, 1, dropout)
    share = (mask == 0).mean()  # of 50000
    assert abs(share - dropout) <= 4 * math.sqrt(dropout * (1 - dropout) / mask.size)
    assert mask.max() == pytest.approx(1 / (1 - dropout), rel=1e-4)
    assert len(np.unique(mask)) == (2 if dropout else 1)


# ---- training ----

IDS = np.random.default_rng(9).integers(0, K, 41)


def train_by_hand(params, kind, rates, rule, masks=None):
    """Two streams of 20 in windows of 4, 4 to an epoch; rule(memories, g, rate) -> change of p"""
    streams, memories = IDS[:40].reshape(2, 20), {name: {} for name in params}
    zero = random_window(kind, 2)[2] * 0
    losses, state, updates = [], zero, 0
    for rate in rates:
        begin = updates % 4 * 4  # 16 + 4 + 1 >= 20
        if begin == 0:
            state = zero
        loss, grads, state = reference.loss_and_gradients(
            params, streams[:, begin : begin + 4], streams[:, begin + 1 : begin + 5], state,
            cell_of(kind), masks() if masks else None)
        for name, g in grads.items():
            params[name] = params[name] + rule(memories[name], np.clip(g, -0.3, 0.3), rate)
        losses.append(loss)
        updates += 1
    return losses


def assert_trained(kind, optimizer, rates, rule, masks=None, **settings):
    ours, expected = random_params(kind, 2, True), random_params(kind, 2, True)
    losses = train_by_hand(expected, kind, rates, rule, masks)
    rows = reference.train(ours, IDS, 4, 2, cell_of(kind), optimizer, iter(rates), 0.3, **settings)
    rows = list(rows)  # ends with the rates
    np.testing.assert_allclose([loss for loss, _ in rows], losses, rtol=1e-10)
    smooth = losses[0]
    for loss, (_, s) in zip(losses, rows, strict=True):
        smooth = 0.999 * smooth + 0.001 * loss
        assert s == pytest.approx(smooth, rel=1e-10)
    for name, p in ours.items():
        assert_close(p, expected[name], 1e-10, name)


RATES = [0.1, 0.02, 0.3, 0.0, 0.1, 0.2, 0.05, 0.1, 0.1, 0.01, 0.1]


@ALL_KINDS
def test_sgd_with_momentum(kind):
    def rule(memory, g, rate):
        memory["v"] = 0.8 * memory.get("v", 0) + g
        return -rate * memory["v"]

    assert_trained(kind, "sgd", RATES, rule, momentum=0.8)


def test_sgd_without_momentum():
    assert_trained("lstm", "sgd", RATES, lambda memory, g, rate: -rate * g)


def test_rmsprop_with_another_decay():
    def rule(memory, g, rate):
        memory["m"] = 0.7 * memory.get("m", 0) + 0.3 * g**2
        return -rate * g / np.sqrt(memory["m"] + 1e-8)

    assert_trained("gru", "rmsprop", RATES, rule, decay=0.7)


@ALL_KINDS
def test_training_with_dropout(kind):
    slices, generators = [(0, 1), (1, 1)], np.random.default_rng(10).spawn(2)
    assert_trained(
        kind, "sgd", RATES, lambda memory, g, rate: -rate * g,
        lambda: reference.dropout_masks(generators, slices, T, N, H, 2, 0.4),
        dropout=0.4, generators=np.random.default_rng(10).spawn(2), slices=slices)


# ---- sampling ----

def always(scores):
    """A model whose scores are always these, and its state."""
    k = len(scores)
    return {"layer0.Wx": np.zeros((k, 1)), "layer0.Wh": np.zeros((1, 1)), "layer0.b": np.zeros(1),
            "head.W": np.zeros((1, k)), "head.b": np.array(scores, np.float64)}, np.zeros(1)


def shares(scores, **settings):
    """How often each symbol is drawn by 1000 evenly spread numbers"""
    ids = reference.sample(*always(scores), 0, (np.arange(1000) + 0.5) / 1000, **settings)
    return np.bincount(ids, minlength=len(scores)) / 1000


P = np.array([0.1, 0.3, 0.4, 0.05, 0.15])


@pytest.mark.parametrize(("settings", "left"), [
    ({}, [0, 1, 2, 3, 4]), ({"top_k": 1}, [2]), ({"top_k": 3}, [1, 2, 4]),
    ({"top_k": 5}, [0, 1, 2, 3, 4]), ({"top_k": 9}, [0, 1, 2, 3, 4]), ({"top_p": 0.01}, [2]),
    ({"top_p": 0.39}, [2]), ({"top_p": 0.41}, [1, 2]), ({"top_p": 0.84}, [1, 2, 4]),
    ({"top_p": 0.86}, [0, 1, 2, 4]), ({"top_p": 1.0}, [0, 1, 2, 3, 4]),
    # of 0.3 and 0.4 left by top_k, 0.4 is 0.571
    ({"top_k": 2, "top_p": 0.55}, [2]), ({"top_k": 2, "top_p": 0.6}, [1, 2]),
], ids=str)
@pytest.mark.parametrize("temperature", [1, 0.5])
def test_what_top_k_and_top_p_leave(settings, left, temperature):
    scores = np.log(P) * temperature + 3  # the temperature is undone first
    expected = np.zeros(5)
    expected[left] = P[left] / P[left].sum()
    drawn = shares(scores, temperature=temperature, **settings)
    np.testing.assert_allclose(drawn, expected, atol=0.0021)
    assert np.array_equal(drawn > 0, expected > 0)


def test_equals_at_the_edge():
    """The lowest ids come first; a share that is reached exactly is enough."""
    assert shares([0, 1, 0, 0, 1], top_k=3).nonzero()[0].tolist() == [0, 1, 4]
    assert shares([0, 0, 0, 0], top_p=0.5).tolist() == [0.5, 0.5, 0, 0]
    assert shares([0, 0, 0, 0], top_p=0.75).nonzero()[0].tolist() == [0, 1, 2]
    assert shares([0, 0, 0, 0], top_p=0.76).tolist() == [0.25] * 4


def test_temperature_0_takes_the_likeliest():
    for settings in ({}, {"top_k": 2}, {"top_p": 0.1}):
        assert shares([0, 2, 1, 2], temperature=0, **settings).tolist() == [0, 1, 0, 0]


def test_a_number_just_below_one_never_draws_what_was_left_out():
    rng = np.random.default_rng(11)
    for scores in rng.normal(0, 3, (300, 65)):
        left = np.sort(np.argsort(-scores)[:20])
        drawn = reference.sample(*always(scores), 0, [np.nextafter(1, 0), 0.0], top_k=20)
        assert drawn == [left[-1], left[0]]


@ALL_KINDS
def test_samples_move_through_the_network(kind):
    """The likeliest symbols are those of one long window of their own."""
    L, cell = 2, cell_of(kind)
    params = random_params(kind, L, True, seed=4)
    params["head.W"] *= 5
    state = random_window(kind, L)[2][0]
    ids = [1, *reference.sample(params, state, 1, [0.5] * 30, 0, cell)]
    scores = reference.forward(params, np.array([ids[:-1]]), state[None], cell)[0]
    assert scores[0].argmax(axis=1).tolist() == ids[1:]
    assert len(set(ids)) > 1
