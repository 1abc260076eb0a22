"""A model as its user sees it, against NumPy and reference.py."""
import copy

import numpy as np
import pytest
from networks import KINDS, cell_of, random_model, unroll

import fastrnn
from fastrnn.checks import reference
from fastrnn.data.source import READ_STEPS

SYMBOLS = "abcdefghijk"
K, H, N, T = len(SYMBOLS), 7, 3, 5
ALL_KINDS = pytest.mark.parametrize("kind", KINDS)


def make(dtype="float64", kind="rnn", **settings):
    """A model with weights large enough to matter, and biases that are not zero."""
    settings = cell_of(kind) | {"hidden_size": H, "init": "normal", "init_scale": 0.5, "seed": 1,
                                "dtype": dtype} | settings
    model = fastrnn.Model(fastrnn.Vocabulary(SYMBOLS), **settings)
    rng = np.random.default_rng(2)
    for p in model.params.values():
        if p.ndim == 1:
            p[:] = rng.normal(0, 0.3, p.shape)
    return model


def ids(*shape, seed=3):
    return np.random.default_rng(seed).integers(K, size=shape)


def states(model, n, seed=5):
    return np.random.default_rng(seed).normal(0, 1, model.zero_state(n).shape)


def in_float64(model):
    return {name: p.astype(np.float64) for name, p in model.params.items()}


def log_likelihoods(model, inputs, targets, state):
    """ln p of each target (N, T) and the last state, by reference.py in float64."""
    scores, last, _, _ = reference.forward(
        in_float64(model), inputs, np.asarray(state, np.float64), model.config["cell"])
    n, t = np.ogrid[: len(inputs), : inputs.shape[1]]
    return scores[n, t, targets] - np.log(np.exp(scores).sum(axis=2)), last


# ---- the start ----

def shapes(kind, L, E):
    """Names and shapes in the order of the block, written out."""
    G = {"lstm": 4, "gru": 3, "gru, reset before": 3, "mgu": 2, "mlstm": 6}.get(kind, 1)
    more = {"gru": {"bhn": (H,)}, "memory": {"Wm": (H, H), "bm": (H,)},
            "mlstm": {"Wh": (H, 4 * H)}}.get(kind, {})
    out = {"embedding.W": (K, E)} if E else {}
    for layer, D in enumerate([E or K, H, H][:L]):
        of_layer = {"Wx": (D, G * H), "Wh": (H, G * H), "b": (G * H,)} | more
        out |= {f"layer{layer}.{name}": shape for name, shape in of_layer.items()}
    return out | {"head.W": (H, K), "head.b": (K,)}


def orthogonal(rng, rows, columns, scale):
    q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
    q = q * np.sign(np.diag(r))
    return scale * (q if rows >= columns else q.T)


def first_weights(rng, init, scale, name, rows, columns, first=False):
    """Of a tensor with so many columns, those of layers in gates of H."""
    gates = columns // H if name.startswith("layer") else 1
    if init == "identity" and name.endswith("Wh"):
        return np.hstack([np.eye(H)] * gates)
    if init == "orthogonal":
        return np.hstack([orthogonal(rng, rows, columns // gates, scale) for _ in range(gates)])
    if init == "uniform":
        return rng.uniform(-scale, scale, (rows, columns))
    if init == "xavier":  # a uniform number in [-a, a] has the variance a^2 / 3
        a = scale * np.sqrt(3 if first else 6 / (rows + columns // gates))
        return rng.uniform(-a, a, (rows, columns))
    return rng.normal(0, scale, (rows, columns))


@pytest.mark.parametrize(("L", "E", "dtype"), [(1, None, "float64"), (3, 4, "float32")])
@pytest.mark.parametrize("init", ["normal", "uniform", "xavier", "orthogonal", "identity"])
@ALL_KINDS
def test_a_numpy_script_can_start_from_the_same_numbers(kind, init, L, E, dtype):
    """Names, shapes, their order and that of the draws."""
    model = fastrnn.Model(fastrnn.Vocabulary(SYMBOLS), **cell_of(kind), hidden_size=H,
                          num_layers=L, embedding_size=E, init=init, init_scale=0.3, dtype=dtype,
                          forget_bias=2.5, seed=42)
    rng = np.random.default_rng(42)
    expected = shapes(kind, L, E)
    assert list(model.params) == list(expected)
    for name, p in model.params.items():
        shape = expected[name]
        assert p.dtype == dtype and p.shape == shape, name
        if len(shape) == 2:
            numbers = first_weights(rng, init, 0.3, name, *shape,
                                    first=name == next(iter(expected)))
            if kind == "mlstm" and name.endswith(".Wx"):
                numbers[:, 5 * H :] = 0
        else:
            numbers = np.zeros(shape)
            if "lstm" in kind and name.endswith(".b") and name.startswith("layer"):
                numbers[H : 2 * H] = 2.5
                numbers[4 * H : 5 * H] = 1
        np.testing.assert_array_equal(p, numbers.astype(dtype), err_msg=name)
    np.testing.assert_array_equal(
        model.block, np.concatenate([p.ravel() for p in model.params.values()]))


def wide_model(init, scale=None, **settings):
    return fastrnn.Model(fastrnn.Vocabulary(SYMBOLS), hidden_size=150, embedding_size=90,
                         init=init, init_scale=scale, dtype="float64", **settings)


@pytest.mark.parametrize(("init", "scale"), [("normal", 0.01), ("uniform", 0.08), ("xavier", 1.0),
                                             ("orthogonal", 1.0), ("identity", 0.01)])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "memory"])
def test_statistics_of_the_first_weights(cell, init, scale):
    """With the scale where none is given, and with twice that."""
    for times in (1, 2):
        model = wide_model(init, None if times == 1 else 2 * scale, cell=cell)
        assert model.config["init_scale"] == times * scale
        for name, p in model.params.items():
            if p.ndim == 1:
                continue
            gate = p[:, :150] if name.startswith("layer") else p
            rows, columns = gate.shape
            if init == "identity" and name.endswith("Wh"):
                assert np.array_equal(gate, np.eye(150))
                continue
            picked = model._offsets[name] == 0  # an input is one row
            deviation = times * scale * {
                "uniform": 3**-0.5, "xavier": 1 if picked else (2 / (rows + columns)) ** 0.5,
                "orthogonal": max(rows, columns) ** -0.5}.get(init, 1)
            n = gate.size
            # four deviations of mean and variance; an even spread has a variance of less
            assert abs(gate.mean()) < 4 * deviation / n**0.5, name
            assert abs(gate.std() / deviation - 1) < 4 / (2 * n) ** 0.5, name
            if init in ("uniform", "xavier"):
                assert 0.98 < np.abs(gate).max() / (3**0.5 * deviation) <= 1, name
            if init in ("normal", "identity"):
                assert np.abs(gate).max() > 2.5 * deviation, name


@pytest.mark.parametrize("scale", [1.0, 1.7])
def test_orthogonal_weights(scale):
    """Each gate of its own, by the shorter side of the matrix."""
    model = wide_model("orthogonal", scale, cell="lstm")
    for name, p in model.params.items():
        if p.ndim == 1:
            continue
        gates = np.split(p, 4, axis=1) if name.startswith("layer") else [p]
        for gate in gates:
            square = gate.T @ gate if len(gate) >= gate.shape[1] else gate @ gate.T
            np.testing.assert_allclose(square, scale**2 * np.eye(len(square)), atol=1e-12)
        assert all(np.abs(gates[0] - other).max() > 0.05 for other in gates[1:])


def test_no_rotation_is_likelier_than_another():
    """QR alone leaves signs that depend on the library."""
    first = [fastrnn.Model(fastrnn.Vocabulary(SYMBOLS), hidden_size=2, init="orthogonal", seed=seed
                           ).params["layer0.Wh"] for seed in range(200)]
    for entry in ((0, 0), (0, 1), (1, 1)):
        positive = np.mean([w[entry] > 0 for w in first])
        assert 0.36 < positive < 0.64  # four deviations
    assert 0.36 < np.mean([np.linalg.det(w) > 0 for w in first]) < 0.64


def test_forget_bias():
    for settings, expected in (({}, 1.0), ({"forget_bias": 0}, 0.0), ({"forget_bias": -2.5}, -2.5)):
        model = fastrnn.Model(fastrnn.Vocabulary(SYMBOLS), cell="lstm", hidden_size=H,
                              num_layers=2, **settings)
        for layer in range(2):
            i, f, o, g = np.split(model.params[f"layer{layer}.b"], 4)
            assert (f == expected).all() and not np.concatenate([i, o, g]).any()
        assert not model.params["head.b"].any()


def test_the_classic_defaults():
    model = fastrnn.Model(fastrnn.Vocabulary(SYMBOLS))
    assert model.config == {
        "cell": "rnn", "hidden_size": 100, "num_layers": 1, "embedding_size": None, "dropout": 0.0,
        "weight_drop": 0.0, "reset_after": True, "forget_bias": 1.0, "init": "normal",
        "init_scale": 0.01,
        "labels": None, "loss": "cross_entropy", "dtype": "float32", "seed": 0}
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(
        model.params["layer0.Wx"], rng.normal(0, 0.01, (K, 100)).astype(np.float32))


@pytest.mark.parametrize(("cell", "init", "scale"), [
    ("rnn", "normal", 0.01), ("relu", "normal", 0.01), ("memory", "normal", 0.01),
    ("lstm", "xavier", 1.0), ("gru", "xavier", 1.0), ("mgu", "xavier", 1.0),
    ("mlstm", "xavier", 1.0)])
def test_the_start_where_none_is_named(cell, init, scale):
    model, named = (fastrnn.Model(fastrnn.Vocabulary(SYMBOLS), cell=cell, hidden_size=H, **settings)
                    for settings in ({}, {"init": init, "init_scale": scale}))
    assert (model.config["init"], model.config["init_scale"]) == (init, scale)
    assert np.array_equal(model.block, named.block)


def test_seeds():
    vocabulary = fastrnn.Vocabulary(SYMBOLS)
    one, same, other, any_, any_other = (
        fastrnn.Model(vocabulary, hidden_size=H, seed=seed).block for seed in (1, 1, 2, None, None))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert not np.array_equal(any_, any_other)


@pytest.mark.parametrize("init", ["normal", "uniform", "xavier", "orthogonal"])
def test_init_scale_zero_is_all_zero(init):
    assert not fastrnn.Model(fastrnn.Vocabulary(SYMBOLS), init=init, init_scale=0).block.any()


@ALL_KINDS
def test_params_are_writable_views_of_one_block(kind):
    model = make(kind=kind, num_layers=2, embedding_size=4)
    assert model.block.size == sum(p.size for p in model.params.values())
    np.testing.assert_array_equal(
        model.block, np.concatenate([p.ravel() for p in model.params.values()]))
    for i, p in enumerate(model.params.values()):
        assert np.shares_memory(p, model.block)
        assert p.flags.writeable and p.flags.c_contiguous
        p[:] = i
    sizes = [p.size for p in model.params.values()]
    np.testing.assert_array_equal(model.block, np.repeat(np.arange(float(len(sizes))), sizes))
    model.block[:] = 7
    assert all((p == 7).all() for p in model.params.values())


@ALL_KINDS
def test_the_kernels_see_what_is_written_into_params(kind):
    model = make(kind=kind)
    for p in model.params.values():
        p[:] = 0
    loss, _, state = model.loss_and_gradients(ids(N, T), ids(N, T, seed=4))
    assert loss == pytest.approx(T * np.log(K), rel=1e-14)
    assert not state.any()


@pytest.mark.parametrize(("settings", "message"), [
    ({"hidden_size": 0}, "hidden_size must be a whole number of at least 1, not 0"),
    ({"hidden_size": -3}, "hidden_size"),
    ({"hidden_size": True}, "hidden_size"),
    ({"hidden_size": 60_000}, "hidden_size 60000 makes .* parameters: too many"),
    ({"num_layers": 0}, "num_layers must be a whole number of at least 1, not 0"),
    ({"num_layers": 33}, "num_layers must be at most 32, not 33"),
    ({"embedding_size": 0}, "embedding_size must be a whole number of at least 1, not 0"),
    ({"dropout": -0.1}, "dropout must be at least 0 and below 1, not -0.1"),
    ({"dropout": 1}, "dropout must be at least 0 and below 1, not 1"),
    ({"dropout": 1.5}, "dropout"),
    ({"dropout": float("nan")}, "dropout"),
    ({"dropout": True}, "dropout"),
    ({"weight_drop": 1}, "weight_drop must be at least 0 and below 1, not 1"),
    ({"weight_drop": -0.1}, "weight_drop must be at least 0 and below 1, not -0.1"),
    ({"cell": "esn", "weight_drop": 0.1}, "weight_drop is for recurrent weights that are trained, "
     "which an esn has not: leave it out"),
    ({"forget_bias": float("inf")}, "forget_bias must be a finite number, not inf"),
    ({"cell": "rn"}, "cell must be one of .*did you mean 'rnn'"),
    ({"cell": "ltsm"}, "cell must be one of .*did you mean 'lstm'"),
    ({"cell": "memroy"}, "did you mean 'memory'"),  # codespell:ignore
    ({"cell": None}, "cell"),
    ({"init": "identiy"}, "did you mean 'identity'"),  # codespell:ignore
    ({"init": "orthonormal"}, "init must be one of 'normal', .*did you mean 'orthogonal'"),
    ({"init": "glorot"}, "init must be one of 'normal', 'uniform', 'xavier', "),
    ({"init_scale": -1}, "init_scale"),
    ({"init_scale": float("nan")}, "init_scale"),
    ({"dtype": "float16"}, "dtype must be one of 'float32', 'float64', 'mixed_bfloat16', not"),
    ({"dtype": "long double trouble"}, "dtype"),
    ({"seed": -1}, "seed"),
])
def test_bad_arguments(settings, message):
    with pytest.raises(ValueError, match=message):
        fastrnn.Model(fastrnn.Vocabulary(SYMBOLS), **settings)


@pytest.mark.parametrize("settings", [
    {"hidden_size": 2.5}, {"hidden_size": "100"}, {"seed": 1.5}, {"init_scale": "much"},
    {"num_layers": 1.5}, {"num_layers": "2"}, {"embedding_size": 3.0}, {"dropout": "some"},
    {"dropout": None}, {"forget_bias": "one"}, {"forget_bias": None}])
def test_arguments_of_the_wrong_type(settings):
    (name,) = settings
    with pytest.raises(TypeError, match=f"{name} must be a"):
        fastrnn.Model(fastrnn.Vocabulary(SYMBOLS), **settings)


def test_a_vocabulary_must_be_one():
    with pytest.raises(TypeError, match="vocabulary must be a fastrnn.Vocabulary"):
        fastrnn.Model(SYMBOLS)


# ---- loss and gradients ----

# Bounds of what float32 rounds are those of test_kernels.py; here shapes, types and names count.
TOLERANCES = pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])


def same_numbers(model, inputs, targets, state, tolerance):
    """Compare with reference.py in float64."""
    loss, grads, last = model.loss_and_gradients(inputs, targets, state)
    start = model.zero_state(len(inputs)) if state is None else np.asarray(state)
    expected_loss, expected, expected_last = reference.loss_and_gradients(
        in_float64(model), np.asarray(inputs), np.asarray(targets), start.astype(np.float64),
        model.config["cell"])
    assert isinstance(loss, float)
    assert loss == pytest.approx(expected_loss, rel=tolerance)
    assert list(grads) == list(model.params)
    for name, g in grads.items():
        assert g.dtype == model.config["dtype"]
        assert g.shape == model.params[name].shape
        np.testing.assert_allclose(g, expected[name], rtol=tolerance, atol=tolerance,
                                   err_msg=name)
        if state is not None:
            assert np.abs(expected[name]).max() > 1e-3  # no comparison of zeros
    assert last.dtype == model.config["dtype"]
    np.testing.assert_allclose(last, expected_last, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("settings", [
    {}, {"num_layers": 2, "embedding_size": 4}, {"num_layers": 3, "dropout": 0.5}], ids=str)
@TOLERANCES
@ALL_KINDS
def test_loss_and_gradients(kind, dtype, tolerance, settings):
    """No generators: no dropout."""
    model = make(dtype, kind, **settings)
    state = np.abs(states(model, N))
    same_numbers(model, ids(N, T), ids(N, T, seed=4), state, tolerance)
    same_numbers(model, ids(N, T), ids(N, T, seed=4), None, tolerance)
    same_numbers(model, ids(1, 1), ids(1, 1, seed=4), None, tolerance)


@ALL_KINDS
def test_dropout_takes_a_generator_for_each_slice(kind):
    model = random_model(kind, "float64", K, H, num_layers=2, embedding_size=4, dropout=0.4)
    for n in (N, 12):
        x, y, state = ids(n, T), ids(n, T, seed=4), states(model, n)
        slices = model.network(T, n).slices
        assert sum(rows for _, rows in slices) == n and (len(slices) > 1) == (n == 12)
        generators, twins = (np.random.default_rng(6).spawn(len(slices)) for _ in range(2))
        masks = reference.dropout_masks(twins, slices, T, n, H, 2, 0.4)
        expected = reference.loss_and_gradients(
            in_float64(model), x, y, state, model.config["cell"], masks)
        loss, grads, last = model.loss_and_gradients(x, y, state, generators=generators)
        assert loss == pytest.approx(expected[0], rel=1e-12)
        for name, g in grads.items():
            np.testing.assert_allclose(g, expected[1][name], rtol=1e-11, atol=1e-13, err_msg=name)
        np.testing.assert_allclose(last, expected[2], rtol=1e-12)
        again = np.random.default_rng(6).spawn(len(slices))
        losses = model.losses(x, y, state, generators=again)
        assert losses.sum() / n == pytest.approx(loss, rel=1e-14)
        kernels = unroll(model, model.network(T, n), x, y, state,
                         np.random.default_rng(6).spawn(len(slices)))[0]
        assert np.array_equal(kernels, losses)
        with pytest.raises(ValueError, match=f"needs {len(slices)} generators, not 5"):
            model.losses(x, y, state, generators=np.random.default_rng(6).spawn(5))


@ALL_KINDS
def test_each_layer_has_its_place_in_the_state(kind):
    """(N, P): layer by layer h, an LSTM's c behind its h. What a layer holds at the start reaches
    its own place and those of the layers above, and no other."""
    model = make(kind=kind, num_layers=3)
    parts = ["h0", "c0", "h1", "c1", "h2", "c2"] if "lstm" in kind else ["h0", "h1", "h2"]
    assert model.state.shape == (1, len(parts) * H) and model.state.dtype == "float64"
    assert model.zero_state(4).shape == (4, len(parts) * H) and not model.zero_state(4).any()
    if kind in ("relu", "memory"):  # no unit may be off
        np.abs(model.block, out=model.block)
    x = ids(1, T)
    base = model.loss_and_gradients(x, x)[2]
    for i, part in enumerate(parts):
        state = model.zero_state()
        state[:, i * H : (i + 1) * H] = 0.3
        moved = model.loss_and_gradients(x, x, state)[2] != base
        for j, other in enumerate(parts):
            reached = moved[:, j * H : (j + 1) * H]
            if other[1] < part[1]:
                assert not reached.any(), (part, other)
            else:
                assert reached.all(), (part, other)


@ALL_KINDS
def test_streams_do_not_meet(kind):
    """Each of a batch ends where it would alone."""
    model = make(kind=kind, num_layers=2)
    for n in (4, 9):
        x, y, state = ids(n, T), ids(n, T, seed=4), states(model, n)
        losses, last = model.losses(x, y, state), model.loss_and_gradients(x, y, state)[2]
        for i in range(n):
            row = slice(i, i + 1)
            np.testing.assert_allclose(model.losses(x[row], y[row], state[row]), losses[row],
                                       rtol=1e-12)
            np.testing.assert_allclose(model.loss_and_gradients(x[row], y[row], state[row])[2],
                                       last[row], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("arrange", [
    lambda x: x.tolist(),
    lambda x: tuple(map(tuple, x.tolist())),
    lambda x: np.asfortranarray(x),
    lambda x: np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)[::2, ::3],
    lambda x: np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
    lambda x: x.astype(np.uint8),
    lambda x: x.astype(">i8"),
    lambda x: x.astype(np.uint64),
], ids=["list", "tuple", "fortran", "strided", "backwards", "uint8", "big-endian", "uint64"])
def test_any_layout_and_integer_type(arrange):
    model, x, y = make(kind="lstm"), ids(N, T), ids(N, T, seed=4)
    state = states(model, N)
    expected = model.loss_and_gradients(x, y, state)
    loss, grads, last = model.loss_and_gradients(arrange(x), arrange(y), state.tolist())
    assert loss == expected[0]
    for name, g in grads.items():
        np.testing.assert_array_equal(g, expected[1][name])
    np.testing.assert_array_equal(last, expected[2])


def test_nothing_that_goes_in_is_changed():
    model, x, y = make(kind="gru", num_layers=2), ids(N, T), ids(N, T, seed=4)
    state = states(model, N)
    before = [a.copy() for a in (model.block, x, y, state)]
    for a in (x, y, state):
        a.flags.writeable = False
    _, grads, last = model.loss_and_gradients(x, y, state)
    assert all(np.array_equal(a, b) for a, b in zip((model.block, x, y, state), before,
                                                    strict=True))
    assert not np.shares_memory(last, state)
    kept = {name: g.copy() for name, g in grads.items()}, last.copy()
    model.loss_and_gradients(y, x, last)  # a later call must not write into an earlier result
    for name, g in grads.items():
        np.testing.assert_array_equal(g, kept[0][name])
        assert not np.shares_memory(g, model.block)
    np.testing.assert_array_equal(last, kept[1])


@ALL_KINDS
def test_the_state_carries_on(kind):
    model, x, y = make(kind=kind, num_layers=2), ids(N, T), ids(N, T, seed=4)
    whole, _, last = model.loss_and_gradients(x, y)
    first, _, state = model.loss_and_gradients(x[:, :2], y[:, :2])
    second, _, state = model.loss_and_gradients(x[:, 2:], y[:, 2:], state)
    assert first + second == pytest.approx(whole, rel=1e-14)
    np.testing.assert_allclose(state, last, rtol=1e-12, atol=1e-14)


def test_many_shapes_one_after_the_other():
    """Each shape has its own workspace, and only a few of them are kept."""
    model = make()
    for n, t in [(1, 9), (2, 3), (5, 1), (1, 2), (3, 40), (1, 9), (17, 2), (2, 3)]:
        state = np.random.default_rng(5).normal(0, 1, (n, H))
        same_numbers(model, ids(n, t), ids(n, t, seed=4), state, 1e-12)


@pytest.mark.parametrize("settings", [{}, {"num_layers": 3, "embedding_size": 4, "dropout": 0.5}],
                         ids=str)
@ALL_KINDS
def test_losses_of_each_prediction(kind, settings):
    model = make(kind=kind, **settings)
    x, y, state = ids(N, T), ids(N, T, seed=4), states(model, N)
    losses = model.losses(x, y, state)
    assert losses.shape == (N, T) and losses.dtype == np.float64
    np.testing.assert_allclose(losses, -log_likelihoods(model, x, y, state)[0], rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@ALL_KINDS
def test_a_nan_in_the_parameters_is_not_swallowed(kind, dtype):
    for name in make(kind=kind, num_layers=2, embedding_size=4).params:
        model = make(dtype, kind, num_layers=2, embedding_size=4)
        model.params[name][:] = np.nan
        state = np.ones_like(model.zero_state(N))
        assert np.isnan(model.loss_and_gradients(ids(N, T), ids(N, T), state)[0]), name


@pytest.mark.parametrize(("inputs", "targets", "state", "message"), [
    ([[0, 1]], [[0, 1, 2]], None, r"inputs are \(1, 2\) and targets \(1, 3\)"),
    ([0, 1], [0, 1], None, r"inputs of type int64 must have the shape \(N, T\), not \(2,\)"),
    ([[]], [[]], None, r"inputs are empty: their shape is \(1, 0\)"),
    ([[[0]]], [[[0]]], None, r"inputs .* must have the shape \(N, T\), not \(1, 1, 1\)"),
    ([[0, K]], [[0, 1]], None, f"id {K} at position .* ids go from 0 to {K - 1}"),
    ([[0, 1]], [[-1, 1]], None, "id -1 at position"),
    ([[0, 1]], [[0, 1]], np.zeros((2, H)), rf"state is \(2, {H}\) and must be \(1, {H}\)"),
    ([[0, 1]], [[0, 1]], np.zeros(H), r"state is \(7,\) and must be"),
])
def test_bad_inputs(inputs, targets, state, message):
    with pytest.raises(ValueError, match=message):
        make().loss_and_gradients(inputs, targets, state)


def test_ids_must_be_integers():
    with pytest.raises(TypeError, match="ids must be integers"):
        make().loss_and_gradients([[0.0, 1.0]], [[1, 2]])


# ---- score ----

@pytest.mark.parametrize("settings", [{}, {"num_layers": 2, "embedding_size": 4, "dropout": 0.5}],
                         ids=str)
@pytest.mark.parametrize(
    "length", [2, 3, READ_STEPS, READ_STEPS + 1, READ_STEPS + 2, 2 * READ_STEPS + 1, 1000])
@ALL_KINDS
def test_score(kind, length, settings):
    """From the state that training has left; the same as one unroll of the whole text; nothing is
    dropped, and the state stays."""
    model, x = make(kind=kind, **settings), ids(1, length)
    model.state[:] = np.linspace(-0.5, 0.5, model.state.size)
    start = model.state.copy()
    for name, p in model.params.items():  # ReLUs must not run away over 1000 steps
        if name.endswith("Wh"):
            p *= 0.3
        if name.endswith("Wm"):
            p[:] = -0.5 * model.params[name.replace("Wm", "Wh")].T
        if name.endswith("bm"):
            p[:] = 0
    expected = -log_likelihoods(model, x[:, :-1], x[:, 1:], start)[0].mean()
    assert np.isfinite(expected)
    text = model.vocabulary.decode(x[0])
    assert model.score(text) == pytest.approx(expected, rel=1e-11)
    whole = model.losses(x[:, :-1], x[:, 1:], start).mean()
    assert model.score(text) == pytest.approx(whole, rel=1e-12)
    assert model.score(fastrnn.Corpus(x[0], model.vocabulary)) == model.score(text)
    assert np.array_equal(model.state, start)


@pytest.mark.parametrize(("unit", "text", "n"), [
    ("char", "ha ha hum", 9), ("word", "Ha ha hum\nha", 4), ("byte", "hé".encode(), 3)])
def test_score_of_each_unit(unit, text, n):
    model = fastrnn.Model(fastrnn.Vocabulary.from_text(text, unit), init_scale=0)
    assert len(model.vocabulary.encode(text)) == n
    assert model.score(text) == pytest.approx(np.log(len(model.vocabulary)))
    assert isinstance(model.score(text), float)


def test_score_refuses():
    model = make()
    with pytest.raises(ValueError, match="at least 2 symbols, not 0"):
        model.score("")
    with pytest.raises(ValueError, match="at least 2 symbols, not 1"):
        model.score("a")
    with pytest.raises(ValueError, match="char 'z' at position 2 is not in the vocabulary"):
        model.score("abz")
    with pytest.raises(ValueError, match="another vocabulary"):
        model.score(fastrnn.Corpus.from_text("abc"))
    with pytest.raises(TypeError, match="must be a str"):
        model.score(b"abc")


# ---- files ----

@pytest.mark.parametrize("dtype", ["float32", "float64"])
@ALL_KINDS
def test_save_and_load_keep_every_bit(tmp_path, kind, dtype):
    model = make(dtype, kind, num_layers=2, embedding_size=4, dropout=0.25, forget_bias=0.5)
    model.params["layer0.b"][:3] = [np.nextafter(0, 1, dtype=dtype), -0.0, np.inf]
    model.state[:] = states(model, 1)
    path = tmp_path / "model.safetensors"
    model.save(path)
    twin = fastrnn.load(str(path))
    assert twin.state.tobytes() == model.state.tobytes()
    assert twin.block.tobytes() == model.block.tobytes()
    assert twin.config == model.config
    assert twin.vocabulary == model.vocabulary
    assert twin.block.flags.writeable and np.shares_memory(twin.params["head.W"], twin.block)
    assert list(tmp_path.iterdir()) == [path]  # no temporary file stays
    model.params["layer0.b"][:3] = 0.1
    model.save(path)  # over an old file
    assert fastrnn.load(path).sample(100, seed=1) == model.sample(100, seed=1)


@pytest.mark.parametrize("vocabulary", [
    fastrnn.Vocabulary("\0\n\r\x85\u2028\"\\é𝄞\ud800"),
    fastrnn.Vocabulary(["to", "naïve", "\"", "{}"], "word"),
    fastrnn.Vocabulary(range(256), "byte"),
], ids=["char", "word", "byte"])
def test_every_vocabulary_comes_back(tmp_path, vocabulary):
    path = tmp_path / "model.safetensors"
    fastrnn.Model(vocabulary, hidden_size=3).save(path)
    assert fastrnn.load(path).vocabulary == vocabulary


def test_the_history_comes_back(tmp_path):
    model = make()
    model.history.extend(np.array([3.0, 2.0]), np.array([3.0, 2.999]),
                         np.array([0.1, 0.2]))
    model.save(tmp_path / "m")
    history = fastrnn.load(tmp_path / "m").history
    assert history.loss.tolist() == [3.0, 2.0]
    assert history.smooth_loss.tolist() == [3.0, 2.999]
    assert history.learning_rate.tolist() == [0.1, 0.2]
    assert history.loss.dtype == history.smooth_loss.dtype == np.float64


def test_a_model_without_a_run_has_no_best(tmp_path):
    make().save(tmp_path / "m")
    with pytest.raises(ValueError, match="without a training run"):
        fastrnn.load(tmp_path / "m", best=True)


def test_repr():
    assert repr(make()) == f"<Model rnn, {H} units, {K} symbols, 221 parameters, float64>"
    # 11 4 + (4 + 7) 28 + 28 + (7 + 7) 28 + 28 + 7 11 + 11
    assert repr(make(kind="lstm", num_layers=2, embedding_size=4)) == (
        f"<Model lstm, 2 layers of {H} units, {K} symbols, 888 parameters, float64>")


@ALL_KINDS
def test_copies_share_nothing(kind):
    model = fastrnn.Model(fastrnn.Vocabulary("abcd"), **cell_of(kind), hidden_size=5, num_layers=2,
                          embedding_size=3, dropout=0.1, seed=1)
    model.params["layer0.Wh"][:] = 0.1
    model.state[:] = 0.5
    for other in (model.copy(), copy.deepcopy(model)):
        assert other.config == model.config and list(other.params) == list(model.params)
        assert np.array_equal(other.block, model.block) and np.array_equal(other.state, model.state)
        other.params["layer0.Wh"][:] = 0
        other.state[:] = 0
        assert model.params["layer0.Wh"].all() and (model.state == 0.5).all()
