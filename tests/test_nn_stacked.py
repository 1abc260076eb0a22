"""fastrnn.nn: several layers, both directions, lengths, no bias, against the twins in NumPy, finite
differences and PyTorch."""
import copy
import itertools
import pickle
from functools import partial

import numpy as np
import pytest

import fastrnn
from fastrnn import nn
from fastrnn.checks import reference

KINDS = {"rnn": (nn.RNN, {}), "relu": (nn.RNN, {"nonlinearity": "relu"}), "lstm": (nn.LSTM, {}),
         "gru": (nn.GRU, {}), "gru_before": (nn.GRU, {"reset_after": False})}
N, T, D, H = 4, 5, 3, 6
LENGTHS = np.array([3, 5, 1, 4])
kinds = pytest.mark.parametrize("cell", KINDS)


def made(cell, num_layers=2, bidirectional=True, seed=0, **settings):
    """A layer with random weights and biases, and its arguments."""
    kind, more = KINDS[cell]
    layer = kind(D, H, num_layers=num_layers, bidirectional=bidirectional, **more | settings)
    rng = np.random.default_rng(seed)
    for p in layer.params.values():
        p[...] = rng.normal(0, 0.5, p.shape)
    S = num_layers * (1 + bidirectional)
    states = [rng.normal(size=(S, N, H)) for _ in range(2 if cell == "lstm" else 1)]
    x = rng.normal(size=(N, T, D))
    dh = rng.normal(size=(N, T, (1 + bidirectional) * H))
    return layer, x, states, dh, [rng.normal(size=s.shape) for s in states]


def by_twin(cell, layer, x, states, lengths):
    """The outputs and last states, each row by itself by reference.layer_forward, and flipped for
    the reverse direction."""
    twin = "gru" if cell == "gru_before" else cell
    out = np.zeros((N, T, (1 + layer.bidirectional) * H))
    last = [np.zeros_like(s) for s in states]
    for n in range(N):
        row = x[n : n + 1, : lengths[n]]
        for level in range(layer.num_layers):
            parts = []
            for back in range(1 + layer.bidirectional):
                k = level * (1 + layer.bidirectional) + back
                weights = {tensor: layer.params[name] for tensor, name in layer._names[k].items()}
                for tensor, shape in layer._scans[k].shapes.items():
                    weights.setdefault(tensor, np.zeros(shape))
                start = np.hstack([s[k, n : n + 1] for s in states])
                h, end, *_ = reference.layer_forward(row[:, ::-1] if back else row, start, weights,
                                                     twin)
                for i, s in enumerate(last):
                    s[k, n] = end[0, i * H : (i + 1) * H]
                parts.append(h[:, ::-1] if back else h)
            row = np.concatenate(parts, axis=2)
        out[n, : lengths[n]] = row[0]
    return out, last


@kinds
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_forward_follows_the_equations(isa, cell, num_layers, bidirectional, bias, lengths):
    layer, x, states, *_ = made(cell, num_layers, bidirectional, bias=bias)
    given = x.copy()
    if lengths is not None:  # what is in the padding is not read
        given[np.arange(T) >= lengths[:, None]] = np.nan
    h = layer.forward(given, *states, lengths=lengths)
    out, last = by_twin(cell, layer, x, states, [T] * N if lengths is None else lengths)
    assert np.abs(h - out).max() < 1e-13
    assert np.abs(layer.h_n - last[0]).max() < 1e-13
    if cell == "lstm":
        assert np.abs(layer.c_n - last[1]).max() < 1e-13


@kinds
@pytest.mark.parametrize(("num_layers", "bidirectional", "bias", "lengths"), [
    (1, False, True, LENGTHS), (2, False, False, None), (1, True, True, None),
    (2, True, True, LENGTHS), (3, True, False, LENGTHS)])
def test_gradients_against_finite_differences(isa, cell, num_layers, bidirectional, bias, lengths):
    """Of a loss that reads h and the last states, with respect to x, the first states and all
    parameters."""
    layer, x, states, dh, dlast = made(cell, num_layers, bidirectional, bias=bias)

    def loss(x, *states):
        h = layer.forward(x, *states, lengths=lengths)
        ends = (layer.h_n, layer.c_n) if cell == "lstm" else (layer.h_n,)
        return np.array([(h * dh).sum() + sum((e * d).sum() for e, d in
                                              zip(ends, dlast, strict=True))])

    loss(x, *states)
    d = layer.backward(dh, *dlast)
    grads = layer.grads
    assert [part.shape for part in d] == [x.shape, *(s.shape for s in states)]
    assert list(grads) == list(layer.params)
    check = partial(fastrnn.gradcheck, dout=np.ones(1), entries=40, tolerance=1e-6)
    for i, at in enumerate((x, *states)):
        def moved(v, i=i):
            return loss(*(v if j == i else a for j, a in enumerate((x, *states))))
        assert check(moved, at, d[i]).passed, i
    if lengths is not None:
        assert not d[0][np.arange(T) >= lengths[:, None]].any()
    for name, p in layer.params.items():
        def changed(v, name=name, p=p):
            before = p.copy()
            p[...] = v
            try:
                return loss(x, *states)
            finally:
                p[...] = before
        assert check(changed, p.copy(), grads[name]).passed, name


@kinds
def test_the_last_states_alone(cell):
    """dh may be None: then the gradient comes from the last states."""
    layer, x, states, dh, dlast = made(cell)
    layer.forward(x, *states, lengths=LENGTHS)
    a = layer.backward(None, *dlast)
    layer.forward(x, *states, lengths=LENGTHS)
    b = layer.backward(np.zeros_like(dh), *dlast)
    assert all((i == j).all() for i, j in zip(a, b, strict=True)) and np.abs(a[0]).max() > 0.01


@kinds
def test_time_first_is_the_same_turned(cell):
    layer, x, states, dh, dlast = made(cell)
    other = made(cell, batch_first=False)[0]
    h = layer.forward(x, *states, lengths=LENGTHS)
    turned = other.forward(x.swapaxes(0, 1), *states, lengths=LENGTHS)
    assert turned.flags.c_contiguous and (turned.swapaxes(0, 1) == h).all()
    dx, *d = layer.backward(dh, *dlast)
    other_dx, *other_d = other.backward(dh.swapaxes(0, 1), *dlast)
    assert (other_dx.swapaxes(0, 1) == dx).all()
    assert all((i == j).all() for i, j in zip(d, other_d, strict=True))
    assert all((other.grads[name] == g).all() for name, g in layer.grads.items())


@kinds
def test_one_layer_has_the_bits_of_one_of_a_stack(cell):
    """A stack is its layers, each called by itself."""
    layer, x, states, dh, _ = made(cell, 2, False)
    kind, more = KINDS[cell]
    alone = [kind(width, H, **more) for width in (D, H)]
    for k, one in enumerate(alone):
        for name, p in one.params.items():
            p[...] = layer.params[f"layer{k}.{name}"]
    middle = alone[0].forward(x, *(s[0] for s in states))
    h = alone[1].forward(middle, *(s[1] for s in states))
    assert (layer.forward(x, *states) == h).all()
    dx, *_ = layer.backward(dh)
    below, *_ = alone[1].backward(dh)
    assert (alone[0].backward(below)[0] == dx).all()
    assert all((layer.grads[f"layer{k}.{name}"] == g).all()
               for k, one in enumerate(alone) for name, g in one.grads.items())


def test_dropout_between_the_layers():
    """The same mask on the way back; none after the last layer, none without training."""
    layer, x, states, dh, _ = made("lstm", 2, False, dropout=0.5)
    plain = made("lstm", 2, False)[0]
    h, again = layer.forward(x, *states), layer.forward(x, *states)
    assert np.abs(h - again).max() > 1e-3  # another mask
    mask = layer._dropouts[0]._last()[0]
    assert set(np.unique(mask)) == {0.0, 2.0}
    dx, *_ = layer.backward(dh)
    alone = [nn.LSTM(width, H) for width in (D, H)]
    for k, one in enumerate(alone):
        for name, p in one.params.items():
            p[...] = layer.params[f"layer{k}.{name}"]
    middle = alone[0].forward(x, *(s[0] for s in states))
    assert (alone[1].forward(middle * mask, *(s[1] for s in states)) == again).all()
    assert (alone[0].backward(alone[1].backward(dh)[0] * mask)[0] == dx).all()
    deep = nn.LSTM(D, H, num_layers=3, dropout=0.5)
    deep.forward(x)
    masks = [one._last()[0] for one in deep._dropouts]
    assert (masks[0] != masks[1]).any()
    layer.training = False
    assert (layer.forward(x, *states) == plain.forward(x, *states)).all()


@kinds
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_go_back_through_the_same_forward(cell, copied):
    layer, x, states, dh, dlast = made(cell, dropout=0.3)
    layer.forward(x, *states, lengths=LENGTHS)
    other = copied(layer)
    a, b = layer.backward(dh, *dlast), other.backward(dh, *dlast)
    assert all((i == j).all() for i, j in zip(a, b, strict=True))


@kinds
def test_the_same_bits_on_any_number_of_threads(cell):
    found = []
    for threads in (1, 3):
        layer, x, states, dh, dlast = made(cell, threads=threads)
        layer.threads = threads
        h = layer.forward(x, *states, lengths=LENGTHS)
        found.append([h, *layer.backward(dh, *dlast), *layer.grads.values()])
    assert all((a == b).all() for a, b in zip(*found, strict=True))


@kinds
@pytest.mark.parametrize("dtype", ["float64", "float32", "mixed_bfloat16"])
def test_many_rows_are_as_each_alone(isa, cell, dtype):
    """40 rows make several slices, whose rows end at other steps."""
    N, T, H = 40, 7, 9
    kind, more = KINDS[cell]
    layer = kind(D, H, num_layers=2, bidirectional=True, dtype=dtype, seed=3, **more)
    rng = np.random.default_rng(0)
    S, count = 4, 2 if cell == "lstm" else 1
    lengths, x = rng.integers(1, T + 1, N), rng.normal(size=(N, T, D))
    states, dlast = rng.normal(size=(2, count, S, N, H))
    dh = rng.normal(size=(N, T, 2 * H))
    h = layer.forward(x, *states, lengths=lengths)
    ends = [layer.h_n, layer.c_n] if count == 2 else [layer.h_n]
    dx, *d = layer.backward(dh, *dlast)
    grads, total = layer.grads, {name: 0.0 for name in layer.params}
    rough = {"float64": 1e-13, "float32": 1e-6, "mixed_bfloat16": 2e-5}[dtype]
    for n in range(N):
        own, end = slice(n, n + 1), lengths[n]
        alone = layer.forward(x[own, :end], *(s[:, own] for s in states))
        assert np.abs(h[own, :end] - alone).max() < rough and not h[n, end:].any()
        for part, one in zip(ends, [layer.h_n, layer.c_n] if count == 2 else [layer.h_n],
                             strict=True):
            assert np.abs(part[:, own] - one).max() < rough
        dx_alone, *d_alone = layer.backward(dh[own, :end], *(s[:, own] for s in dlast))
        assert np.abs(dx[own, :end] - dx_alone).max() < 3 * rough and not dx[n, end:].any()
        for part, one in zip(d, d_alone, strict=True):
            assert np.abs(part[:, own] - one).max() < 3 * rough
        total = {name: total[name] + g for name, g in layer.grads.items()}
    for name, g in grads.items():
        assert np.abs(g - total[name]).max() < 40 * rough, name


@kinds
@pytest.mark.parametrize("cut_for", [2, 3])
def test_threads_that_share_a_slice_give_the_same_bits(isa, cell, cut_for):
    """Each stage of a step is cut, as where there are more threads than slices."""
    found = []
    for cut, threads in ((0, 1), (cut_for, 1), (cut_for, cut_for)):
        layer, x, states, dh, dlast = made(cell, threads=threads)
        layer.threads = threads
        for scan in layer._scans:
            scan._network(N, T).cut_for = cut
        h = layer.forward(x, *states, lengths=LENGTHS)
        found.append([h, *layer.backward(dh, *dlast), *layer.grads.values()])
    for other in found[1:]:
        assert all((a == b).all() for a, b in zip(found[0], other, strict=True))


def test_names_and_shapes_of_parameters():
    assert list(nn.LSTM(3, 6, bidirectional=True).params) == [
        "Wx", "Wh", "b", "Wx_reverse", "Wh_reverse", "b_reverse"]
    stack = nn.GRU(3, 6, num_layers=2, bidirectional=True, bias=False)
    assert {name: p.shape for name, p in stack.params.items()} == {
        "layer0.Wx": (3, 18), "layer0.Wh": (6, 18), "layer0.Wx_reverse": (3, 18),
        "layer0.Wh_reverse": (6, 18), "layer1.Wx": (12, 18), "layer1.Wh": (6, 18),
        "layer1.Wx_reverse": (12, 18), "layer1.Wh_reverse": (6, 18)}
    forget = nn.LSTM(3, 6, num_layers=2, forget_bias=2.0)
    assert (forget.params["layer1.b"][6:12] == 2).all()


def test_what_is_refused():
    layer, x, states, dh, _ = made("lstm")
    for lengths, message in [([3, 6, 1, 1], r"lengths has 6 at \[1\]"), ([1, 2], "shape"),
                             ([3, 0, 1, 1], r"lengths has 0 at \[1\]")]:
        with pytest.raises(ValueError, match=message):
            layer.forward(x, lengths=lengths)
    with pytest.raises(TypeError, match="whole numbers"):
        layer.forward(x, lengths=[1.5, 2, 3, 4])
    with pytest.raises(ValueError, match=r"h0 has the shape \(4, 6\) and must have \(4, 4, 6\)"):
        layer.forward(x, states[0][0])
    with pytest.raises(ValueError, match="step is for one layer in one direction"):
        layer.step(x[:, 0], states[0][0], states[1][0])
    layer.forward(x)
    with pytest.raises(ValueError, match=r"dh has the shape \(4, 5, 6\) and must have"):
        layer.backward(dh[..., :6])
    with pytest.raises(TypeError, match="has no argument 'proj_size'"):
        nn.LSTM(3, 6, proj_size=2)
    for wrong in ({"num_layers": 0}, {"dropout": 1.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            nn.LSTM(3, 6, **wrong)
    with pytest.raises(TypeError, match="bidirectional must be True or False"):
        nn.LSTM(3, 6, bidirectional="yes")


# ---- PyTorch ----

def theirs_and_ours(torch, kind, dtype, **settings):
    module = getattr(torch.nn, kind)(D, H, dtype=dtype, **settings)
    return module, getattr(nn, kind).from_torch(module)


def compare(torch, module, ours, x, states, lengths, tolerance):
    """Outputs, last states and all gradients."""
    N = states[0].shape[1]
    rng = np.random.default_rng(5)
    leaves = [torch.tensor(a, dtype=next(module.parameters()).dtype, requires_grad=True)
              for a in (x, *states)]
    read = leaves[0]
    if lengths is not None:
        read = torch.nn.utils.rnn.pack_padded_sequence(
            read, torch.tensor(lengths), batch_first=module.batch_first, enforce_sorted=False)
    out, last = module(read, tuple(leaves[1:]) if len(states) > 1 else leaves[1])
    if lengths is not None:
        out, _ = torch.nn.utils.rnn.pad_packed_sequence(
            out, batch_first=module.batch_first, total_length=T)
    last = last if len(states) > 1 else (last,)
    d = [rng.normal(size=o.shape) for o in (out, *last)]
    sum((o * torch.tensor(g, dtype=o.dtype)).sum()
        for o, g in zip((out, *last), d, strict=True)).backward()
    mine = ours.forward(x, *states, lengths=lengths)
    ends = [ours.h_n, ours.c_n] if len(states) > 1 else [ours.h_n]
    for a, b in zip((mine, *ends), (out, *last), strict=True):
        assert a.shape == tuple(b.shape)
        assert np.abs(a - b.detach().numpy()).max() < tolerance
    for a, b in zip(ours.backward(*d), leaves, strict=True):
        assert np.abs(a - b.grad.numpy()).max() < 10 * tolerance
    wanted = type(ours).from_torch({name: p.grad for name, p in module.named_parameters()})
    for name, g in wanted.params.items():
        if name.split(".")[-1].startswith("b_") or name.endswith(".b") or name == "b":
            g = g / 2  # both biases have the gradient, and from_torch adds them
            if isinstance(ours, nn.GRU):
                g[2 * H :] *= 2
        assert np.abs(ours.grads[name] - g).max() < 20 * tolerance * max(1, N / 4), name


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-6)])
@pytest.mark.parametrize("num_layers", [1, 2, 4])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_against_pytorch(kind, dtype, tolerance, num_layers, bidirectional, batch_first, lengths):
    torch = pytest.importorskip("torch")
    torch.manual_seed(3)
    for bias in (True, False):
        module, ours = theirs_and_ours(
            torch, kind, getattr(torch, dtype), num_layers=num_layers, bias=bias,
            bidirectional=bidirectional, batch_first=batch_first)
        assert ours.dtype == dtype and ours.batch_first == batch_first and ours.bias == bias
        rng = np.random.default_rng(1)
        x = rng.normal(size=(N, T, D) if batch_first else (T, N, D))
        S = num_layers * (1 + bidirectional)
        states = [rng.normal(size=(S, N, H)) for _ in range(2 if kind == "LSTM" else 1)]
        compare(torch, module, ours, x, states, lengths, tolerance)


def test_pytorchs_own_cases():
    """The samples of torch.testing for RNN, GRU and LSTM, with packed sequences, and their cells.

    64 of the 540 have a proj_size, which we have not. Samples without an axis of the batch get
    one."""
    torch = pytest.importorskip("torch")
    common = pytest.importorskip("torch.testing._internal.common_modules")
    counts = {"same": 0, "proj_size": 0}
    wanted = [(torch.nn.RNN, "RNN"), (torch.nn.GRU, "GRU"), (torch.nn.LSTM, "LSTM"),
              (torch.nn.RNNCell, "RNN"), (torch.nn.GRUCell, "GRU"), (torch.nn.LSTMCell, "LSTM")]
    infos = {info.module_cls: info for info in common.module_db}
    for (kind, ours), dtype, training in itertools.product(
            wanted, (torch.float32, torch.float64), (False, True)):
        packed = {"with_packed_sequence": True} if kind in (torch.nn.RNN, torch.nn.GRU) else {}
        info = infos[kind]
        for sample in info.module_inputs_func(info, "cpu", dtype, False, training, **packed):
            made, given = sample.constructor_input, sample.forward_input
            module = kind(*made.args, **made.kwargs, dtype=dtype).train(training)
            if made.kwargs.get("proj_size"):
                with pytest.raises(ValueError, match="proj_size"):
                    getattr(nn, ours).from_torch(module)
                counts["proj_size"] += 1
                continue
            layer = getattr(nn, ours).from_torch(module)
            layer.training = training
            with torch.no_grad():
                expected = module(*given.args, **given.kwargs)
            tolerance = 1e-12 if dtype is torch.float64 else 1e-6
            for a, b in zip(run_sample(torch, layer, kind, given.args), flat(torch, expected),
                            strict=True):
                assert np.abs(a.reshape(b.shape) - b.numpy()).max() < tolerance * max(
                    1, b.abs().max())  # ReLU gives numbers of about 10
            counts["same"] += 1
    assert counts == {"same": 476, "proj_size": 64}


def flat(torch, result):
    """The tensors of a result, packed ones padded."""
    if isinstance(result, torch.nn.utils.rnn.PackedSequence):
        return [torch.nn.utils.rnn.pad_packed_sequence(result)[0]]
    if isinstance(result, tuple):
        return [tensor for part in result for tensor in flat(torch, part)]
    return [result]


def run_sample(torch, layer, kind, args):
    """What our layer gives for a sample of torch.testing: outputs and last states."""
    x, *states = flat(torch, args)
    if kind.__name__.endswith("Cell"):
        out = layer.step(x[None].numpy(), *(s[None].numpy() for s in states))
        return out[:-1]
    packed, lengths = isinstance(args[0], torch.nn.utils.rnn.PackedSequence), None
    if packed:
        lengths = torch.nn.utils.rnn.pad_packed_sequence(args[0])[1].numpy()
        x = x.swapaxes(0, 1) if layer.batch_first else x
    else:
        x = x[None] if layer.batch_first else x[:, None]
    h = layer.forward(x.numpy(), *(s[:, None].numpy() for s in states), lengths=lengths)
    h = h.swapaxes(0, 1) if packed and layer.batch_first else h
    return [h, layer.h_n] + ([layer.c_n] if isinstance(layer, nn.LSTM) else [])


# ---- there and back ----

@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("settings", [
    {}, {"num_layers": 3, "bidirectional": True, "batch_first": False, "dropout": 0.25},
    {"num_layers": 2, "bias": False}, {"D": 24}])
def test_to_pytorch_and_back_bit_for_bit(kind, dtype, settings):
    """Also where D = 4 H (of the GRU 3 H), where weights fit untransposed."""
    torch = pytest.importorskip("torch")
    settings = dict(settings)
    D = settings.pop("D", 3)
    D = 18 if (D, kind) == (24, "GRU") else D
    layer = getattr(nn, kind)(D, H, dtype=dtype, seed=4, **settings)
    rng = np.random.default_rng(0)
    for name, p in layer.params.items():
        p[...] = rng.normal(0, 0.4, p.shape)
        if "b" in name.split(".")[-1]:
            p[1], p[2] = -0.0, 0.0
    module = layer.to_torch()
    assert type(module) is getattr(torch.nn, kind)
    back = type(layer).from_torch(module)
    for name in ("num_layers", "bidirectional", "bias", "batch_first", "dropout", "dtype"):
        assert getattr(back, name) == getattr(layer, name), name
    assert all(back.params[name].tobytes() == p.tobytes() for name, p in layer.params.items())
    x = rng.normal(size=(4, 5, D)).astype(dtype)
    with torch.no_grad():
        expected = module.eval()(torch.tensor(x))[0].numpy()
    layer.training = False
    assert np.abs(layer.forward(x) - expected).max() < (1e-12 if dtype == "float64" else 1e-6)


def test_one_layer_and_one_direction_of_a_module():
    torch = pytest.importorskip("torch")
    module = torch.nn.LSTM(3, 6, 2, bidirectional=True, batch_first=True)
    whole = nn.LSTM.from_torch(module)
    upper = nn.LSTM.from_torch(module, 1, True)
    assert upper.D == 12 and not upper.bidirectional and upper.num_layers == 1
    for name, p in upper.params.items():
        assert (p == whole.params[f"layer1.{name}_reverse"]).all()
    lower = nn.LSTM.from_torch(module.state_dict(), layer=0)
    assert lower.bidirectional and (lower.params["Wh"] == whole.params["layer0.Wh"]).all()
    with pytest.raises(ValueError, match="layer must be a whole number of at least 0 and below 2"):
        nn.LSTM.from_torch(module, 2)
    with pytest.raises(ValueError, match="not bidirectional: leave reverse out"):
        nn.LSTM.from_torch(torch.nn.LSTM(3, 6), reverse=True)


def test_a_state_dict_of_a_whole_network():
    torch = pytest.importorskip("torch")
    network = torch.nn.ModuleDict({"emb": torch.nn.Embedding(5, 3), "rnn": torch.nn.GRU(3, 6),
                                   "out": torch.nn.Linear(6, 5)})
    for given in (network, {n: p for n, p in network.state_dict().items() if n[:3] == "rnn"}):
        gru = nn.GRU.from_torch(given)
        assert (gru.params["bhn"] == network["rnn"].bias_hh_l0[12:].detach().numpy()).all()
    arrays = {name: tensor.numpy() for name, tensor in network["rnn"].state_dict().items()}
    assert (nn.GRU.from_torch(arrays).params["Wx"] == gru.params["Wx"]).all()


@pytest.mark.parametrize("bias", [False, True])
def test_other_layers(bias):
    torch = pytest.importorskip("torch")
    theirs = [torch.nn.Embedding(7, 3, padding_idx=0), torch.nn.Dropout(0.4),
              torch.nn.Linear(3, 3, bias=bias)]
    with torch.no_grad():
        theirs[0].weight[0] = 1.5
    ours = nn.Sequential.from_torch(theirs)
    assert {p.dtype.name for p in ours.params.values()} == {"float32"} and ours.layers[1].p == 0.4
    ids = np.arange(7).reshape(1, 7)
    ours.training = False
    with torch.no_grad():
        expected = theirs[2](theirs[0](torch.tensor(ids))).numpy()
    assert np.abs(ours.forward(ids) - expected).max() < 1e-6
    again = nn.Sequential.from_torch([layer.to_torch() for layer in ours.layers])
    assert all((again.params[name] == p).all() for name, p in ours.params.items())


def with_peepholes(torch):
    module = torch.nn.LSTM(3, 6)
    module.peephole = torch.nn.Parameter(torch.ones(6))
    return torch.nn.Sequential(module)


def test_what_cannot_be_expressed():
    torch = pytest.importorskip("torch")
    state = torch.nn.LSTM(3, 6, 2).state_dict()
    refused = [
        (nn.LSTM, torch.nn.LSTM(3, 6, proj_size=2), ValueError, "proj_size"),
        (nn.LSTM, torch.nn.GRU(3, 6), ValueError, "a GRU of PyTorch, and no LSTM: use nn.GRU"),
        (nn.LSTM, torch.nn.Linear(3, 6), ValueError, "Linear has 0 recurrent modules"),
        (nn.LSTM, torch.nn.ModuleList([torch.nn.LSTM(3, 6), torch.nn.GRU(3, 6)]), ValueError,
         "2 recurrent modules: '0', '1'"),
        (nn.LSTM, torch.nn.LSTM(3, 6).half(), TypeError, "float16.*convert the module with .float"),
        (nn.LSTM, torch.nn.LSTM(3, 6, device="meta"), TypeError, "no numbers"),
        (nn.LSTM, 7, TypeError, "a module of PyTorch or its state_dict, not int"),
        (nn.LSTM, {}, ValueError, "no recurrent layer"),
        (nn.LSTM, {n: t for n, t in state.items() if n != "bias_hh_l1"}, ValueError,
         "bias_hh_l1 is missing"),
        (nn.LSTM, {n: t for n, t in state.items() if n != "weight_ih_l0"}, ValueError,
         "weight_ih_l0 is missing"),
        (nn.LSTM, {"weight_ih_l0": np.ones((5, 2)), "weight_hh_l0": np.ones((5, 2))}, ValueError,
         r"weight_hh_l0 is \(5, 2\): an RNN, GRU or LSTM has 1, 3 or 4 times"),
        (nn.LSTM, with_peepholes(torch), ValueError, "'peephole' is no tensor of an RNN, LSTM"),
        (nn.LSTM, state | {"weight_ci_l0": state["bias_hh_l0"]}, ValueError,
         "'weight_ci_l0' is no tensor of an RNN, LSTM or GRU"),
        (nn.LSTM, state | {"weight_ih_l1": state["weight_ih_l0"]}, ValueError,
         r"weight_ih_l1 is \(24, 3\), and .* would be \(24, 6\)"),
        (nn.LSTM, state | {"weight_hh_l1": state["weight_hh_l1"].double()}, TypeError, "float64"),
        (nn.LSTM, {"a.weight_ih_l0": state["weight_ih_l0"], "b.weight_hh_l0":
                   state["weight_hh_l0"]}, ValueError, "several recurrent modules"),
        (nn.Linear, torch.nn.Embedding(3, 4), ValueError, "give a torch.nn.Linear, not Embedding"),
        (nn.Embedding, torch.nn.Embedding(3, 4, max_norm=1.0), ValueError, "max_norm"),
        (nn.Sequential, [torch.nn.Conv1d(1, 1, 1)], ValueError, "module 0 is a Conv1d"),
    ]
    for kind, given, error, message in refused:
        with pytest.raises(error, match=message):
            kind.from_torch(given)
    with pytest.raises(ValueError, match="reset_after=False"):
        nn.GRU(3, 6, reset_after=False).to_torch()


def test_a_weight_of_pytorch_does_not_go_in_untransposed():
    """Of (4 H, D) with 4 H = D, whose shape fits."""
    torch = pytest.importorskip("torch")
    layer, module = nn.LSTM(24, 6, dtype="float32"), torch.nn.LSTM(24, 6)
    before = layer.params["Wx"].copy()
    weight = module.weight_ih_l0.detach()
    with pytest.raises(TypeError, match="is a tensor of PyTorch.*use from_torch"):
        layer.load_state_dict(layer.state_dict() | {"Wx": weight})
    assert (layer.params["Wx"] == before).all()
    layer.params["Wx"] = weight
    with pytest.raises(TypeError, match=r'params\["Wx"\] is a tensor of PyTorch'):
        layer.forward(np.zeros((1, 2, 24)))
    layer.params["Wx"] = before
    with pytest.raises(TypeError, match="from_torch"):
        layer.load_state_dict(module.state_dict())


def test_without_pytorch(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    for layer in (nn.LSTM(3, 6), nn.Linear(3, 6), nn.Embedding(3, 6), nn.Dropout(0.5)):
        with pytest.raises(ImportError, match=r'pip install "fastrnn\[torch\]"'):
            layer.to_torch()
    state = {"weight_ih_l0": np.ones((24, 3)), "weight_hh_l0": np.ones((24, 6))}
    assert nn.LSTM.from_torch(state).H == 6  # arrays under PyTorch's names need no torch
